#include "server/config.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "common/base/arena.h"
#include "common/base/cleanup.h"
#include "common/base/clock.h"
#include "common/base/reader.h"
#include "common/text/toml.h"
#include "server/config_table.h"
#include "server/suggest.h"

enum { CONFIG_BYTES_MAX = 16 << 20 };

struct loaded { /* what config_load gives out is its first member */
	struct config c;
	struct arena arena;
};

err config_wrong(struct config_load *l, const struct toml *at, const char *fmt, ...)
{
	char text[300];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	if (at && at->line)
		snprintf(l->why, l->why_cap, "%s:%u: %s", l->c->file, at->line, text);
	else
		snprintf(l->why, l->why_cap, "%s: %s", l->c->file, text);
	return ERR_INVALID;
}

/* ---- values ---- */

static err wrong_type(struct config_load *l, const struct config_key *k, const struct toml *t, const char *wanted)
{
	return config_wrong(l, t, "%s must be %s, not %s", k->path, wanted, toml_kind_text(t->kind));
}

static bool is_choice(const char *choices, const char *text)
{
	struct bytes rest = bytes_str(choices);

	while (rest.p) {
		if (bytes_eq_str(bytes_cut(rest, '|', &rest), text))
			return true;
	}
	return false;
}

static err read_text(struct config_load *l, const struct config_key *k, const struct toml *t)
{
	if (t->kind != TOML_STRING)
		return wrong_type(l, k, t, "a text in quotes");
	const char *text = (const char *)t->s.p;
	if (k->type == KEY_CHOICE && !is_choice(k->choices, text))
		return config_wrong(l, t, "%s must be one of %s, not \"%s\"", k->path, k->choices, text);
	*(const char **)config_field(k, l->c) = text;
	return OK;
}

static err read_int(struct config_load *l, const struct config_key *k, const struct toml *t)
{
	if (t->kind != TOML_INT)
		return wrong_type(l, k, t, "a whole number");
	if (t->i < k->min || t->i > k->max)
		return config_wrong(l, t, "%s must be from %lld to %lld, not %lld", k->path, (long long)k->min, (long long)k->max,
				(long long)t->i);
	*(int64_t *)config_field(k, l->c) = t->i;
	return OK;
}

static err read_duration(struct config_load *l, const struct config_key *k, const struct toml *t)
{
	int64_t ms = 0;
	bool ok = t->kind == TOML_STRING && duration_parse(t->s, &ms) == OK;

	if (t->kind == TOML_INT) {
		ok = t->i >= 0 && t->i <= k->max / 1000;
		ms = ok ? t->i * 1000 : 0;
	}
	if (!ok)
		return config_wrong(l, t, "%s must be a time such as \"30s\", \"12h\" or \"180d\"", k->path);
	if (ms < k->min || ms > k->max)
		return config_wrong(l, t, "%s must be from %lld to %lld seconds", k->path, (long long)(k->min / 1000),
				(long long)(k->max / 1000));
	*(int64_t *)config_field(k, l->c) = ms;
	return OK;
}

static err read_mode(struct config_load *l, const struct config_key *k, const struct toml *t)
{
	int64_t mode = 0;
	bool ok = t->kind == TOML_STRING && t->s.n >= 1 && t->s.n <= 4;
	struct reader r = rd_init(ok ? t->s : (struct bytes){ 0 });

	while (ok && r.rest.n) {
		uint8_t digit = rd_u8(&r);
		ok = digit >= '0' && digit <= '7';
		mode = mode * 8 + (digit - '0');
	}
	if (!ok || mode > k->max)
		return config_wrong(l, t, "%s must be a file mode as text, such as \"0770\"", k->path);
	*(int64_t *)config_field(k, l->c) = mode;
	return OK;
}

static err read_list(struct config_load *l, const struct config_key *k, const struct toml *t)
{
	struct config_list *list = config_field(k, l->c);
	size_t n = t->kind == TOML_ARRAY ? t->list.n : 1;
	const char **s = arena_array(l->arena, n ? n : 1, sizeof *s);

	if (!s)
		return ERR_NOMEM;
	if (t->kind == TOML_STRING) {
		s[0] = (const char *)t->s.p;
	} else if (t->kind == TOML_ARRAY) {
		size_t at = 0;
		for (const struct toml *item = t->list.first; item; item = item->next) {
			if (item->kind != TOML_STRING)
				return config_wrong(l, item, "%s must hold texts in quotes", k->path);
			s[at++] = (const char *)item->s.p;
		}
	} else {
		return wrong_type(l, k, t, "a list of texts");
	}
	*list = (struct config_list){ s, n };
	return OK;
}

err config_read_value(struct config_load *l, const struct config_key *k, struct toml *t)
{
	switch (k->type) {
	case KEY_TEXT:
	case KEY_CHOICE:
	case KEY_SECRET:
		return read_text(l, k, t);
	case KEY_INT:
		return read_int(l, k, t);
	case KEY_BOOL:
		if (t->kind != TOML_BOOL)
			return wrong_type(l, k, t, "true or false");
		*(bool *)config_field(k, l->c) = t->b;
		return OK;
	case KEY_DURATION:
		return read_duration(l, k, t);
	case KEY_MODE:
		return read_mode(l, k, t);
	case KEY_LIST:
		return read_list(l, k, t);
	case KEY_MANAGED:
		TRY(read_list(l, k, t));
		return config_read_managed(l, t);
	case KEY_SPLIT:
		return config_read_split(l, t);
	case KEY_RECORDS:
		return config_read_records(l, t);
	case KEY_PARAMS:
		return config_read_params(l, k, t);
	case KEY_PROVIDERS:
		return config_read_providers(l, t);
	}
	return ERR_INVALID;
}

static err read_default_list(struct config_load *l, const struct config_key *k)
{
	struct bytes rest = bytes_str(k->otherwise);
	size_t n = 0, most = 1;

	for (const char *c = k->otherwise; *c; c++)
		most += *c == ',';
	const char **s = arena_array(l->arena, most, sizeof *s);
	if (!s)
		return ERR_NOMEM;
	while (rest.n) {
		s[n] = arena_str(l->arena, bytes_trim(bytes_cut(rest, ',', &rest)));
		if (!s[n++])
			return ERR_NOMEM;
	}
	*(struct config_list *)config_field(k, l->c) = (struct config_list){ s, n };
	return OK;
}

/* The default is written as its value would be in the file. */
err config_read_default(struct config_load *l, const struct config_key *k)
{
	struct toml t = { .kind = TOML_STRING, .s = bytes_str(k->otherwise) };

	switch (k->type) {
	case KEY_INT: {
		uint64_t v = 0;
		TRY(bytes_parse_u64(t.s, INT64_MAX, &v));
		t = (struct toml){ .kind = TOML_INT, .i = (int64_t)v };
		break;
	}
	case KEY_BOOL:
		t = (struct toml){ .kind = TOML_BOOL, .b = bytes_eq_str(t.s, "true") };
		break;
	case KEY_LIST:
		return read_default_list(l, k);
	case KEY_SPLIT:
	case KEY_RECORDS:
	case KEY_MANAGED:
	case KEY_PARAMS:
	case KEY_PROVIDERS:
		return OK;
	case KEY_TEXT:
	case KEY_CHOICE:
	case KEY_SECRET:
	case KEY_DURATION:
	case KEY_MODE:
		break;
	}
	return config_read_value(l, k, &t);
}

/* ---- the file ---- */

static err refuse_unknown(struct config_load *l)
{
	struct toml *t = toml_unused(l->root);
	char path[128];

	if (!t)
		return OK;
	struct suggest s = suggest_begin(toml_path(t, path, sizeof path));
	for (size_t i = 0; i < config_keys_n; i++)
		suggest_offer(&s, config_keys[i].path);
	/* An empty table of ours, such as [limits] without keys, is no mistake. */
	if (t->kind == TOML_TABLE && !t->list.first) {
		size_t n = strlen(path);
		for (size_t i = 0; i < config_keys_n; i++) {
			if (strncmp(config_keys[i].path, path, n) == 0 && config_keys[i].path[n] == '.') {
				toml_use_all(t);
				return refuse_unknown(l);
			}
		}
	}
	if (s.best)
		return config_wrong(l, t, "unknown key '%s'; did you mean '%s'?", path, s.best);
	return config_wrong(l, t, "unknown key '%s'; config.example.toml has all keys", path);
}

static err read_keys(struct config_load *l)
{
	for (size_t i = 0; i < config_keys_n; i++) {
		const struct config_key *k = &config_keys[i];
		struct toml *t = toml_get(l->root, k->path);
		if (t)
			TRY(config_read_value(l, k, t));
		else if (k->otherwise)
			TRY(config_read_default(l, k));
	}
	TRY(refuse_unknown(l)); /* before what is missing: a mistyped key is both */
	for (size_t i = 0; i < config_keys_n; i++) {
		if (!config_keys[i].otherwise && !toml_get(l->root, config_keys[i].path))
			return config_wrong(l, NULL, "%s is missing", config_keys[i].path);
	}
	return OK;
}

static err read_file(struct config_load *l, struct bytes *out)
{
	FILE *f = fopen(l->c->file, "re");

	if (!f) {
		snprintf(l->why, l->why_cap, "%s: cannot be read: %s", l->c->file, strerror(errno));
		return errno == ENOENT ? ERR_NOT_FOUND : ERR_SYS;
	}
	char *text = arena_alloc(l->arena, TOML_TEXT_MAX + 1);
	size_t n = text ? fread(text, 1, TOML_TEXT_MAX + 1, f) : 0;
	bool failed = ferror(f);
	fclose(f);
	if (!text)
		return ERR_NOMEM;
	if (failed) {
		snprintf(l->why, l->why_cap, "%s: cannot be read: %s", l->c->file, strerror(errno));
		return ERR_SYS;
	}
	*out = bytes_of(text, n);
	return OK;
}

static err load(struct config_load *l)
{
	struct toml_error error = { 0 };
	struct bytes text;

	TRY(read_file(l, &text));
	err e = toml_parse(text, l->arena, &l->root, &error);
	if (e == ERR_NOMEM)
		return e;
	if (e != OK) {
		struct toml at = { .line = error.line };
		return config_wrong(l, &at, "%s", error.text);
	}
	TRY(read_keys(l));
	return config_check(l);
}

err config_load(const char *path, char *why, size_t why_cap, struct config **out)
{
	struct loaded *loaded = calloc(1, sizeof *loaded);

	snprintf(why, why_cap, "out of memory");
	if (!loaded)
		return ERR_NOMEM;
	loaded->arena = arena_make(CONFIG_BYTES_MAX);
	struct config_load l = { .c = &loaded->c, .arena = &loaded->arena, .why = why, .why_cap = why_cap };
	l.c->file = arena_str(l.arena, bytes_str(path));
	err e = l.c->file ? load(&l) : ERR_NOMEM;
	if (e != OK) {
		config_free(&loaded->c);
		return e;
	}
	why[0] = 0;
	*out = &loaded->c;
	return OK;
}

void config_free(struct config *c)
{
	if (!c)
		return;
	struct loaded *loaded = container_of(c, struct loaded, c);
	arena_done(&loaded->arena);
	free(loaded);
}
