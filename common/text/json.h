/* json: JSON from outside, parsed by jansson within bounds and read out the way Go's encoding/json reads it.
 *
 * Parsing refuses what is not exactly one JSON value of well-formed UTF-8: trailing bytes, raw control characters,
 * lone surrogates, \u0000, and numbers that fit no 64-bit integer (or double, when written as a fraction). Of duplicate
 * keys the last one counts. Integers are exact.
 *
 * Reading: a struct json_at is a place in the tree that may be absent. Getters take what is there; absent and null give
 * the default; a wrong type gives the default too and is noted, once, in the shared struct json_why with its path
 * ("Hostinfo.Services[2].Port: not an integer"). So a decoder reads all of its fields and checks why.e at the end. */
#pragma once

#include <jansson.h>

#include "common/base/bytes.h"

struct arena;

struct json_error {
	size_t offset;	       /* bytes from the start */
	unsigned line, column; /* from 1; column in bytes */
	char text[160];	       /* what is wrong, one line, printable */
};

/* Line and column of a byte, both from 1, the column in bytes. An offset past the end is the end. */
void text_line_col(struct bytes text, size_t offset, unsigned *line, unsigned *column);

/* *out is owned (json_decref, or CLEANUP(json_decrefp)). ERR_TOO_BIG: over max_bytes or max_depth. ERR_MALFORMED. error may be NULL. */
MUST_USE err json_parse(struct bytes text, size_t max_bytes, unsigned max_depth, json_t **out, struct json_error *error);

/* The text without spaces between its tokens (strings as they are), for storage. It must be valid JSON. NULL: no memory.
 * Lives in the arena; *n is its length, and a NUL follows. */
char *json_compact(struct arena *a, struct bytes text, size_t *n);

/* A standalone text of value, without spaces, keys in their order; NULL: no memory. *n as above. */
char *json_dump_compact(struct arena *a, const json_t *value, size_t *n);

/* The first thing that did not fit. */
struct json_why {
	err e;
	char text[200];
};

/* json_parse with its error put into why as a sentence ("line 2, column 5: nested deeper than 32"). */
MUST_USE err json_parse_why(struct bytes text, size_t max_bytes, unsigned max_depth, json_t **out, struct json_why *why);

struct json_at {
	const json_t *v;	   /* borrowed; NULL: absent. JSON null is also shown as NULL */
	const struct json_at *up;  /* for paths; must outlive this one */
	const char *key;	   /* when up is an object */
	size_t index;		   /* when up is an array */
	struct json_why *why;
};

struct json_at json_root(const json_t *v, struct json_why *why);
/* Exact key first, else the last key that is equal without regard to ASCII case. Noted when o is no object. */
struct json_at json_member(const struct json_at *o, const char *key);
struct json_at json_item(const struct json_at *a, size_t i);
/* Elements of an array; 0 when absent. Noted when it is something else, or longer than max (0 is returned then too). */
size_t json_count(const struct json_at *a, size_t max);

static inline bool json_is_set(const struct json_at *at)
{
	return at->v != NULL;
}

/* Notes a problem at this place (the path is put before it); the first one stays. e is ERR_INVALID as a rule. */
void json_note(const struct json_at *at, err e, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* Where the value of this place begins in the text that its tree was parsed from. ERR_NOT_FOUND: it is absent there. */
MUST_USE err json_locate(struct bytes text, const struct json_at *at, size_t *offset);

bool json_to_bool(const struct json_at *at, bool otherwise);
/* A number without fraction or exponent, as Go wants it, from min to max. */
int64_t json_to_int(const struct json_at *at, int64_t min, int64_t max, int64_t otherwise);
double json_to_double(const struct json_at *at, double otherwise);
/* Borrowed from the tree. Longer than max bytes is noted. Empty when absent. */
struct bytes json_to_bytes(const struct json_at *at, size_t max);
/* The same with a NUL; never NULL. */
const char *json_to_str(const struct json_at *at, size_t max);
/* RFC 3339; "" is an error, as in Go. */
int64_t json_to_time(const struct json_at *at, int64_t otherwise);
/* Standard base64; the bytes live in the arena. */
struct bytes json_to_base64(const struct json_at *at, struct arena *a, size_t max);

/* The same for a member. */
bool json_bool(const struct json_at *o, const char *key, bool otherwise);
int64_t json_int(const struct json_at *o, const char *key, int64_t min, int64_t max, int64_t otherwise);
double json_double(const struct json_at *o, const char *key, double otherwise);
struct bytes json_bytes(const struct json_at *o, const char *key, size_t max);
const char *json_str(const struct json_at *o, const char *key, size_t max);
int64_t json_time(const struct json_at *o, const char *key, int64_t otherwise);
