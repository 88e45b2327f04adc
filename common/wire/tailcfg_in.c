#include "common/wire/tailcfg_in.h"

const char *tailcfg_in_keep(const struct json_at *at, struct bytes text, struct arena *a)
{
	if (text.n == 0)
		return "";
	const char *s = arena_str(a, text);
	if (s)
		return s;
	json_note(at, ERR_NOMEM, "out of memory");
	return "";
}

const char *tailcfg_in_cut(const struct json_at *o, const char *key, size_t max, struct arena *a)
{
	struct json_at at = json_member(o, key);
	struct bytes text = json_to_bytes(&at, SIZE_MAX);

	if (text.n > max) {
		while (max && (text.p[max] & 0xc0) == 0x80)
			max--;
		text.n = max;
	}
	return tailcfg_in_keep(&at, text, a);
}

const char *tailcfg_in_text(const struct json_at *o, const char *key, size_t max, struct arena *a)
{
	struct json_at at = json_member(o, key);

	return tailcfg_in_keep(&at, json_to_bytes(&at, max), a);
}

void *tailcfg_in_room(const struct json_at *at, struct arena *a, size_t count, size_t each)
{
	void *p = arena_array(a, count, each);

	if (!p)
		json_note(at, ERR_NOMEM, "out of memory");
	return p;
}

int tailcfg_in_version(const struct json_at *o, const char *key)
{
	return (int)json_int(o, key, 0, INT32_MAX, 0);
}

struct bytes tailcfg_in_raw(const struct json_at *at, size_t max, struct arena *a)
{
	struct bytes none = BYTES_LIT("");
	size_t n;

	if (!at->v)
		return none;
	char *text = json_dump_compact(a, at->v, &n);
	if (!text) {
		json_note(at, ERR_NOMEM, "out of memory");
		return none;
	}
	if (n > max) {
		json_note(at, ERR_TOO_BIG, "longer than %zu bytes", max);
		return none;
	}
	return bytes_of(text, n);
}
