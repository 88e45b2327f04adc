#include "common/base/buf.h"
#include "common/base/cleanup.h"
#include "server/store/rows.h"

enum { ATTRS_TEXT_MAX = 65536 };

char *custom_attrs_text(const struct custom_attr *a, size_t n)
{
	struct buf b = buf_make(ATTRS_TEXT_MAX + 1);

	for (size_t i = 0; i < n; i++) {
		buf_printf(&b, "%s\t%c\t%s\t%lld\t", a[i].name, a[i].type, a[i].value, (long long)a[i].set_ms);
		if (a[i].expires_ms)
			buf_printf(&b, "%lld", (long long)a[i].expires_ms);
		buf_append_u8(&b, '\n');
	}
	buf_append_u8(&b, 0);
	char *text = b.bad ? NULL : bytes_dup(bytes_of(b.p, buf_len(&b) - 1));
	buf_done(&b);
	return text;
}

static err parse_line(struct bytes line, struct custom_attr *out)
{
	struct bytes rest, name = bytes_cut(line, '\t', &rest), type = bytes_cut(rest, '\t', &rest);
	struct bytes value = bytes_cut(rest, '\t', &rest), at = bytes_cut(rest, '\t', &rest);
	uint64_t set = 0, expires = 0;

	if (!name.n || type.n != 1 || bytes_parse_u64(at, INT64_MAX, &set) != OK ||
			(rest.n && bytes_parse_u64(rest, INT64_MAX, &expires) != OK))
		return ERR_MALFORMED;
	*out = (struct custom_attr){ .name = bytes_dup(name), .value = bytes_dup(value), .type = (char)type.p[0], .set_ms = (int64_t)set,
		.expires_ms = (int64_t)expires };
	return out->name && out->value ? OK : ERR_NOMEM;
}

err custom_attrs_parse(struct bytes text, struct custom_attr **out, size_t *n)
{
	struct custom_attr *list = calloc(NODE_ATTRS_MAX, sizeof *list);
	size_t k = 0;
	err e = list ? OK : ERR_NOMEM;

	while (e == OK && text.n) {
		struct bytes line = bytes_cut(text, '\n', &text);
		if (!line.n)
			continue;
		e = k == NODE_ATTRS_MAX ? ERR_MALFORMED : parse_line(line, &list[k]);
		k++;
	}
	if (e != OK || !k) {
		custom_attrs_free(list, MIN_OF(k, (size_t)NODE_ATTRS_MAX));
		list = NULL;
		k = 0;
	}
	*out = list;
	*n = k;
	return e;
}

void custom_attrs_free(struct custom_attr *a, size_t n)
{
	for (size_t i = 0; a && i < n; i++) {
		free(a[i].name);
		free(a[i].value);
	}
	free(a);
}

err custom_attrs_copy(const struct custom_attr *from, size_t n, struct custom_attr **out, size_t *n_out)
{
	struct custom_attr *list = n ? calloc(n, sizeof *list) : NULL;

	if (n && !list)
		return ERR_NOMEM;
	for (size_t i = 0; i < n; i++) {
		list[i] = from[i];
		list[i].name = strdup(from[i].name);
		list[i].value = strdup(from[i].value);
		if (!list[i].name || !list[i].value) {
			custom_attrs_free(list, i + 1);
			return ERR_NOMEM;
		}
	}
	*out = list;
	*n_out = n;
	return OK;
}
