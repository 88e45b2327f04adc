/* range: stretches of addresses, first to last, and sorted lists of them. Plain values. Inside server/policy/ only. */
#pragma once

#include "common/base/arena.h"
#include "common/net/addr.h"

struct range {
	struct addr first, last; /* of one family; last is not before first */
};

enum { RANGE_TEXT_MAX = 2 * ADDR_TEXT_MAX };

struct range range_of(struct prefix p);
/* "10.0.0.1", "10.0.0.0/8" (host bits are cleared) or "10.0.0.1-10.0.0.9". */
MUST_USE err range_parse(struct bytes text, struct range *out);
/* The address, the prefix where it is one, or "first-last". */
char *range_text(struct range r, char out[RANGE_TEXT_MAX]);
bool range_is_prefix(struct range r, struct prefix *out);

static inline bool range_has(struct range r, struct addr a)
{
	return r.first.family == a.family && addr_cmp(r.first, a) <= 0 && addr_cmp(a, r.last) <= 0;
}

static inline bool range_overlaps(struct range a, struct range b)
{
	return a.first.family == b.first.family && addr_cmp(a.first, b.last) <= 0 && addr_cmp(b.first, a.last) <= 0;
}

static inline bool range_covers(struct range outer, struct range inner)
{
	return outer.first.family == inner.first.family && addr_cmp(outer.first, inner.first) <= 0 &&
	       addr_cmp(inner.last, outer.last) <= 0;
}

/* Sorts and joins what touches; in place. */
void ranges_tidy(struct range *list, size_t *n);
/* list without what lies in r; at most one element more: room for *n + 1. list is tidy and stays so. */
void ranges_cut(struct range *list, size_t *n, struct range r);

/* What an exit node is for: the addresses outside private, link-local and tailnet ranges. Tidy. */
const struct range *range_internet(size_t *n);
