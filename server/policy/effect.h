/* effect: what one policy lets through and another does not, from bunch to bunch. Inside server/policy/ only. */
#pragma once

#include "server/policy/bunch.h"

/* Two policies over the same nodes, sorted. was and is may be the same world: then there is no difference. */
struct effect {
	const struct policy_world *was, *is;
	struct rights old, new;
	struct kinds kinds;
	struct bunches rows, columns;
	struct port_sets ports;
	struct map known;	 /* struct pair_ports */
	struct arena arena;
	uint64_t *meeting;	 /* owned, scratch: bits over rules */
	const struct port_set **self[2]; /* owned, by row: what autogroup:self gives, then and now */
	uint32_t *both;		 /* owned, rows times columns: nodes that are in both */
	uint32_t *own;		 /* owned, rows times columns: pairs of one user's nodes, with themselves; NULL: autogroup:self plays no part */
	struct beyond *beyond;	 /* owned: destinations that are no nodes */
	size_t n_beyond;
	uint64_t *open[2];	 /* owned, by place beyond: bits over the rules that open it */
	bool too_much;		 /* rows times columns times rules: nothing is reckoned */
};

struct beyond { /* a range behind routers, the internet, or what a router of via carries */
	const char *kind, *name; /* as written */
	const struct sel *sel[2]; /* in the old and the new policy; NULL: it does not name it */
};

MUST_USE err effect_make(const struct policy_world *was, const struct policy_world *is, struct effect *e);
/* Sorted by what the rules of ssh say; nothing else is reckoned. */
MUST_USE err effect_make_ssh(const struct policy_world *was, const struct policy_world *is, struct effect *e);
void effect_end(struct effect *e);

enum { OLD, NEW };
/* What machines of a row may use at those of a column that are not their own user's, or at a place beyond. */
const struct port_set *effect_ports(struct effect *e, int side, size_t row, size_t column);
const struct port_set *effect_beyond(struct effect *e, int side, size_t row, const struct beyond *b);
/* Pairs of a machine of the row and another of the column: *own of the same user, *foreign the others. */
void effect_pairs(const struct effect *e, size_t row, size_t column, uint64_t *own, uint64_t *foreign);
/* Rules by which a row may use some of these ports there; at most max. to: EFFECT_SELF, a column, or columns.n + place beyond. */
enum { EFFECT_SELF = -1, EFFECT_RULES_MAX = 8 };
size_t effect_rules(struct effect *e, int side, size_t row, int64_t to, const struct port_set *ports, const struct rule **out);
/* The kinds of some rows (columns), ascending. Bits over bunches. */
size_t effect_kinds(const struct effect *e, bool rows, const uint64_t *which, uint32_t *out);

/* sums.c: what a kind is sent that it was not, EFFECT_*; out by kind, zeroed. */
enum { EFFECT_FILTER = 1, EFFECT_SSH = 2, EFFECT_ATTRS = 4 };
MUST_USE err effect_machines(const struct effect *e, uint8_t *out);
