/* TOML: every value of what is accepted has a place, a path and kind, and can be marked. */
#include <stdlib.h>

#include "common/base/arena.h"
#include "common/base/cleanup.h"
#include "common/text/toml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void walk(const struct toml *t)
{
	char path[64];

	toml_path(t, path, sizeof path);
	if (t->line == 0 || t->column == 0 || !toml_kind_text(t->kind)[0])
		abort();
	if (t->kind == TOML_STRING && (t->s.p[t->s.n] || !bytes_is_utf8(t->s)))
		abort();
	if (t->kind == TOML_TABLE || t->kind == TOML_ARRAY)
		for (const struct toml *c = t->list.first; c; c = c->next)
			walk(c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	CLEANUP(arena_done) struct arena a = arena_make(64 << 20);
	struct toml_error e;
	struct toml *t;

	if (toml_parse(bytes_of(data, size), &a, &t, &e) != OK) {
		if (e.line == 0 || e.column == 0 || !e.text[0])
			abort();
		return 0;
	}
	walk(t);
	toml_use_all(t);
	if (toml_unused(t))
		abort();
	return 0;
}
