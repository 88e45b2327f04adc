/* rules: what a policy text becomes: names resolved, lists typed. Inside server/policy/ only.
 *
 *	parse.c    HuJSON text -> struct policy_text: the known sections with each value's place, unknown ones refused
 *	check.c    struct policy_text -> struct policy: every name resolved, every fault with line and column
 *	compile.c  which selectors match a node; sets of rules with equal sources
 *	view.c     the nodes of a tailnet: classes, who sees whom, what a change changes
 *	filter.c   a node's packet filters as named chunks
 *
 * A destination of a rule has a number, counted over the whole policy: a node is described by two bit sets over these
 * numbers, those it may reach (it is a source of the rule) and those it is. a reaches b when a's first and b's second set
 * meet. Nodes with equal sets are one class. */
#pragma once

#include <stdatomic.h>

#include "common/base/arena.h"
#include "common/base/list.h"
#include "common/base/map.h"
#include "server/policy/policy.h"

enum {
	RULES_MAX = 20000,
	RULE_DSTS_MAX = 100000, /* destinations of all rules together */
	RULE_PORTS_MAX = 256,	/* ranges of one destination */
	GROUP_MEMBERS_MAX = 100000,
};

enum sel_kind { SEL_ANY, SEL_USER, SEL_GROUP, SEL_TAG, SEL_PREFIX, SEL_MEMBER, SEL_TAGGED, SEL_SELF };

struct group {
	const char *name; /* "group:x" */
	const char **members;
	size_t n;
};

struct sel {
	enum sel_kind kind;
	const char *name;	   /* user as written, or "tag:x" */
	const struct group *group;
	struct prefix prefix;	   /* masked */
};

struct port_range {
	uint16_t first, last;
};

struct rule_dst {
	struct sel sel;
	struct port_range *ports;
	size_t n_ports;
	size_t rule; /* index of its rule */
};

struct rule {
	struct sel *src;
	size_t n_src;
	size_t first_dst, n_dst; /* in policy.dst */
	uint8_t *proto;		 /* empty: TCP, UDP and ICMP */
	size_t n_proto;
	size_t set; /* rules with the same sources and protocols share a set and become one FilterRule */
};

struct tag_owner {
	const char *tag;
	struct sel *owner; /* users, groups, tags, autogroup:member */
	size_t n;
};

struct approver {
	struct prefix route;
	bool exit; /* exitNode; route is not set */
	struct sel *who;
	size_t n;
};

struct policy {
	_Atomic unsigned refs;
	struct arena arena; /* owns everything below */
	bool allow_all;	    /* no acls section: everyone reaches everyone */
	struct group *group;
	size_t n_groups;
	struct tag_owner *owner;
	size_t n_owners;
	struct approver *approver;
	size_t n_approvers;
	struct rule *rule;
	size_t n_rules;
	struct rule_dst *dst;
	size_t n_dsts;
	size_t n_sets;
	uint64_t *self; /* bit set of the autogroup:self destinations */
};

/* 64-bit words of a set over destinations. */
static inline size_t policy_words(const struct policy *p)
{
	return (p->n_dsts + 63) / 64;
}

static inline bool bit_has(const uint64_t *w, size_t i)
{
	return w[i / 64] >> (i % 64) & 1;
}

static inline void bit_set(uint64_t *w, size_t i)
{
	w[i / 64] |= (uint64_t)1 << (i % 64);
}

/* ---- compile.c ---- */

/* Numbers the sets and marks autogroup:self, once rules and destinations are there. ERR_NOMEM. */
MUST_USE err policy_finish(struct policy *p);
bool sel_is_user(const struct sel *s, const struct policy_user *u);
bool sel_matches(const struct sel *s, const struct policy_node *n);
/* Both sets of a node; policy_words each, zeroed by the caller. */
void policy_node_bits(const struct policy *p, const struct policy_node *n, uint64_t *src, uint64_t *dst);

/* ---- view.c, seen by filter.c ---- */

struct policy_class {
	uint32_t id;
	size_t members;
	struct list nodes; /* view_node.link */
	uint64_t key[]; /* src set, dst set, user id where autogroup:self plays a part */
};

struct view_node {
	int64_t id;
	uint32_t cls;
	struct list link; /* in its class */
	int64_t user_id;
	struct addr v4, v6;
	struct prefix *routes; /* owned */
	size_t n_routes;
	uint64_t *by_identity; /* owned; bit set over sets: is a source by who it is, so that its addresses are listed */
};

struct shared_part {
	uint64_t hash;
	struct part *part;
	struct shared_part *next; /* all of a view */
};

struct policy_view {
	struct policy *p;
	struct map by_id;	       /* struct view_node */
	struct map by_key;	       /* struct policy_class */
	struct policy_class **cls;     /* owned, by id */
	size_t n_cls, cap_cls;
	struct bytes *sources;	       /* owned texts, by set: the SrcIPs list; p NULL: to be made */
	struct map parts;	       /* struct shared_part, by hash: filters made since the last change */
	struct shared_part *all_parts;
};

static inline const uint64_t *class_src(const struct policy_class *c)
{
	return c->key;
}

static inline const uint64_t *class_dst(const struct policy_view *v, const struct policy_class *c)
{
	return c->key + policy_words(v->p);
}

/* Drops texts that a change of this node may have changed: every filter, and the sources of the sets it is in. */
void view_forget_filters(struct policy_view *v);
