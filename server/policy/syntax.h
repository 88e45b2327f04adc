/* syntax: the tree of a policy text, with the place of every value, so that a fault can say where. HuJSON: JSON with
 * comments and commas before a closing bracket. Inside server/policy/ only. */
#pragma once

#include "common/base/arena.h"
#include "server/policy/policy.h"

enum { SYNTAX_DEPTH_MAX = 32, SYNTAX_VALUES_MAX = 1000000, SYNTAX_KEYS_MAX = 200000 };

enum syntax_kind { SYNTAX_NULL, SYNTAX_BOOL, SYNTAX_NUMBER, SYNTAX_STRING, SYNTAX_LIST, SYNTAX_OBJECT };

struct syntax {
	enum syntax_kind kind;
	unsigned line, column;	     /* of the value, from 1; columns count characters' bytes */
	bool truth;		     /* BOOL */
	const char *text;	     /* STRING, without escapes; NUMBER as written */
	const char *key;	     /* in an object */
	unsigned key_line, key_column;
	uint32_t place;		     /* among its parent's children, from 0 */
	struct syntax *first, *next; /* LIST, OBJECT: children in order */
	size_t n;
	struct syntax **slot; /* OBJECT of many: hash table of its children by key */
	size_t n_slots;	      /* a power of two, or 0 */
};

/* An empty text is an empty object. Nodes and strings live in a. ERR_INVALID: *fault says why. */
MUST_USE err syntax_parse(struct bytes text, struct arena *a, struct syntax **out, struct policy_fault *fault);
const struct syntax *syntax_get(const struct syntax *object, const char *key);

struct jsonw;
void syntax_write(const struct syntax *v, struct jsonw *w); /* the value as JSON, without comments */
