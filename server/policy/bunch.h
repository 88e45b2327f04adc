/* bunch: the machines of a tailnet sorted by what they may do, under one policy or two, and what a person calls a bunch of them.
 * Inside server/policy/ only.
 *
 *	kind	nodes that share a class in both policies: no rule of either tells them apart; all tagged, or all somebody's
 *	bunch	kinds with the same rights as a source (a row of the matrix), or as a destination (a column)
 *	party	any list of kinds, to be named: "group:eng", "tag:prod", "ann@example.com and 2 others" */
#pragma once

#include "server/policy/ask.h"
#include "server/policy/ports.h"

struct kind {
	uint32_t was, is;    /* classes */
	uint32_t first, n;   /* in kinds.node */
	uint32_t row, column; /* its bunches */
};

struct kinds {
	struct kind *k; /* owned */
	size_t n;
	uint32_t *node; /* owned: places in the world's list, by kind */
	uint32_t *user; /* owned, by place: number of its user + 1; 0: tagged */
	size_t n_users;
};
/* Both worlds hold the same nodes in the same order; may be the same. */
MUST_USE err kinds_of(const struct policy_world *was, const struct policy_world *is, struct kinds *out);
void kinds_done(struct kinds *k);

struct bunch {
	struct class_key key;
	uint32_t kind;	  /* one of it: they are all alike */
	uint32_t n_kinds;
	uint64_t machines;
	bool person;	  /* of a user, not tagged */
};

struct bunches {
	struct bunch *b; /* owned */
	size_t n;
	struct map by_key;
};

/* What a class may do by itself, not what is behind it: bits over rules (of ssh: over its rules). */
struct rights {
	const struct policy_world *w;
	bool ssh;
	size_t words;
	uint64_t *src, *dst; /* owned, by class */
	struct class_key *dst_key; /* owned, by class: which entries of the rules mean it */
};
MUST_USE err rights_of(const struct policy_world *w, bool ssh, struct rights *out);
void rights_done(struct rights *r);
static inline const uint64_t *rights_src(const struct rights *r, uint32_t cls)
{
	return r->src + (size_t)cls * r->words;
}
static inline const uint64_t *rights_dst(const struct rights *r, uint32_t cls)
{
	return r->dst + (size_t)cls * r->words;
}

/* Sets kind.row and kind.column. */
MUST_USE err bunches_make(struct kinds *k, const struct rights *was, const struct rights *is, struct bunches *rows, struct bunches *columns);
void bunches_done(struct bunches *b);

/* ---- names ---- */

struct namer {
	const struct policy_world *w;
	const struct kinds *kinds;
	bool is;	    /* by the second policy's classes */
	uint32_t *total;    /* owned, by selector: nodes */
	uint32_t *count;    /* owned, by selector: scratch */
	uint32_t *user_total, *user_count; /* owned, by user + 1 (0: the tagged): nodes; scratch */
	uint32_t *touched;  /* owned: selectors */
	size_t n_touched;
	bool *covered;	    /* owned, by kind: scratch */
};
MUST_USE err namer_make(const struct policy_world *w, const struct kinds *k, bool is, struct namer *out);
void namer_done(struct namer *n);
/* Members of a Party: key, names, more, people, machines, examples. kind: ascending numbers. */
void write_party_members(struct jsonw *w, struct namer *n, const uint32_t *kind, size_t n_kinds, const char *key);
/* By a name that is known already. */
void write_named_members(struct jsonw *w, struct namer *n, const uint32_t *kind, size_t n_kinds, const char *name_kind, const char *name);
/* The same for what is no machine. */
void write_place_members(struct jsonw *w, const char *kind, const char *name);
const char *sel_kind_name(const struct sel *s);
