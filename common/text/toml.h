/* toml: the part of TOML 1.0 that a configuration needs, as a tree that remembers lines.
 *
 * Read: tables, dotted keys, arrays over several lines, arrays of tables, inline tables, the four kinds of strings,
 * integers (also 0x 0o 0b, with _), floats, booleans, comments. Not read, and refused with a sentence: dates and times (write
 * them as strings), inf and nan. A key that is given twice is refused, as is a table.
 *
 * A loader takes values by toml_get, or walks the tree and sets used; toml_unused then finds what nobody asked for. */
#pragma once

#include "common/base/bytes.h"

struct arena;

enum {
	TOML_TEXT_MAX = 1 << 20, /* bytes */
	TOML_DEPTH_MAX = 16,	 /* tables and arrays inside each other */
	TOML_KEYS_MAX = 4096,	 /* of one table */
};

enum toml_kind {
	TOML_STRING,
	TOML_INT,
	TOML_FLOAT,
	TOML_BOOL,
	TOML_ARRAY,
	TOML_TABLE,
};

struct toml {
	enum toml_kind kind;
	const char *key;      /* in its table; NULL in an array and for the root */
	unsigned line, column; /* of its key, header or value, from 1 */
	union {
		struct bytes s; /* UTF-8 without NULs inside, and a NUL after it */
		int64_t i;
		double f;
		bool b;
		struct {
			struct toml *first, *last; /* elements of an array or values of a table, in order */
			size_t n;
		} list;
	};
	struct toml *next; /* in the same table or array */
	struct toml *up;   /* NULL: the root */
	bool used;	   /* for the loader: see toml_unused */

	/* the parser's: how it came to be, which says who may still add to it */
	uint8_t how;
};

struct toml_error {
	unsigned line, column;
	char text[160];
};

/* Everything lives in the arena (keys and strings are copied). ERR_MALFORMED, ERR_TOO_BIG, ERR_EXISTS (given twice),
 * ERR_UNSUPPORTED, ERR_NOMEM: error says what and where. */
MUST_USE err toml_parse(struct bytes text, struct arena *a, struct toml **out, struct toml_error *error);

/* The value at "a.b.c" below t, or NULL. Keys with a dot in them are found by toml_child.
 * toml_get marks its result as used, toml_child does not. */
struct toml *toml_get(struct toml *t, const char *path);
struct toml *toml_child(struct toml *t, struct bytes key);

/* The first value in the order of the text that was not taken; NULL: none. A taken list counts with what is in it, a
 * table and a list of tables by what is in them. */
struct toml *toml_unused(struct toml *root);
/* Marks t and all below as used. */
void toml_use_all(struct toml *t);

/* "dns.nameservers.global[2]" into out; returns out. Cut at the front when it is long. */
char *toml_path(const struct toml *t, char *out, size_t cap);

/* "a string", "an integer", … */
const char *toml_kind_text(enum toml_kind kind);
