/* What loaders do with the tree that toml.c makes. */
#include <stdio.h>

#include "common/text/toml.h"

struct toml *toml_child(struct toml *t, struct bytes key)
{
	if (t->kind != TOML_TABLE)
		return NULL;
	for (struct toml *c = t->list.first; c; c = c->next)
		if (bytes_eq_str(key, c->key))
			return c;
	return NULL;
}

struct toml *toml_get(struct toml *t, const char *path)
{
	struct bytes rest = bytes_str(path);

	do {
		struct bytes key = bytes_cut(rest, '.', &rest);

		t = toml_child(t, key);
	} while (t && rest.p);
	if (t)
		t->used = true;
	return t;
}

static bool is_list(const struct toml *t)
{
	return t->kind == TOML_TABLE || t->kind == TOML_ARRAY;
}

void toml_use_all(struct toml *t)
{
	t->used = true;
	if (is_list(t))
		for (struct toml *c = t->list.first; c; c = c->next)
			toml_use_all(c); /* a few times TOML_DEPTH_MAX deep */
}

struct toml *toml_unused(struct toml *t)
{
	if (!is_list(t) || (!t->list.first && t->up))
		return t->used ? NULL : t;
	if (t->kind == TOML_ARRAY && t->list.first->kind != TOML_TABLE) /* who takes a list takes what is in it */
		return t->used ? NULL : t;
	for (struct toml *c = t->list.first; c; c = c->next) {
		struct toml *found = toml_unused(c);

		if (found)
			return found;
	}
	return NULL;
}

char *toml_path(const struct toml *t, char *out, size_t cap)
{
	size_t start = cap - 1;

	out[start] = 0;
	for (; t->up; t = t->up) {
		char part[64];
		int n;

		if (t->key) {
			n = snprintf(part, sizeof part, "%s%.50s", t->up->up ? "." : "", t->key);
		} else {
			size_t index = 0;

			for (const struct toml *c = t->up->list.first; c != t; c = c->next)
				index++;
			n = snprintf(part, sizeof part, "[%zu]", index);
		}
		if (n < 0 || (size_t)n > start)
			break;
		start -= (size_t)n;
		memcpy(out + start, part, (size_t)n);
	}
	return memmove(out, out + start, cap - start);
}

const char *toml_kind_text(enum toml_kind kind)
{
	switch (kind) {
	case TOML_STRING:
		return "a string";
	case TOML_INT:
		return "an integer";
	case TOML_FLOAT:
		return "a number with a fraction";
	case TOML_BOOL:
		return "true or false";
	case TOML_ARRAY:
		return "an array";
	case TOML_TABLE:
		return "a table";
	}
	return "nothing";
}
