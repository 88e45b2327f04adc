/* rules: what a policy text becomes: names resolved, lists typed. Inside server/policy/ only.
 *
 *	parse.c	       HuJSON text -> tree with each value's place
 *	check.c	       tree -> struct policy; check_*.c: its sections
 *	compile.c      interned selectors and sets; which selectors match a node
 *	view.c	       the nodes of a tailnet: classes, who sees whom, what a change changes
 *	view_routes.c  which peer a viewer uses for a route
 *	filter.c       a node's packet filters as named chunks
 *	ssh.c attrs.c  its SSH rules and node capabilities
 *	verify.c       tests and sshTests
 *	query.c	       who somebody means, and whether one reaches another, with the rule or the hop that fails
 *	ways.c	       to an address that is no machine's: which router, and whether its filter lets it through
 *	reach.c	       who can reach, what can be reached
 *	preview.c      what another policy would change
 *
 * A selector ("tag:web", "ann@", a range) is there once, with a number. What tells one node from another is the sorted
 * list of selectors that match it: nodes with equal lists are one class. A class has bit sets over the rules: those that
 * it is a source of, and those that it is a destination of. a reaches b when the first of a and the second of b meet. */
#pragma once

#include <stdatomic.h>

#include "common/base/arena.h"
#include "common/base/list.h"
#include "common/base/map.h"
#include "server/policy/policy.h"
#include "server/policy/range.h"

enum {
	RULES_MAX = 20000,	/* acls and grants together */
	RULE_DSTS_MAX = 100000, /* destinations of all rules together */
	RULE_PORTS_MAX = 256,	/* ranges of one destination */
	GROUP_MEMBERS_MAX = 100000,
	SELS_MAX = 200000,
	RANGES_MAX = 4096, /* in one ipset … */
	RANGES_ALL_MAX = 500000, /* … and in all selectors together */
	ATTR_TARGETS_MAX = 10000, /* of all nodeAttrs together */
	ATTR_BYTES_MAX = 512 << 10, /* names and values of all nodeAttrs together */
	APPROVERS_MAX = 4096,	  /* ranges in autoApprovers … */
	APPROVERS_WHO_MAX = 20000, /* … and who may have them, together */
	SSH_WORDS_MAX = 1024,	  /* users, and patterns of acceptEnv, in one rule */
	POSTURES_MAX = 64,
	POSTURE_CONDS_MAX = 64, /* in one posture */
	SSH_RULES_MAX = 4096,
	TESTS_MAX = 2000,
	PROTO_ANY = -1, /* none given: TCP, UDP and ICMP */
};

enum sel_kind {
	SEL_ANY,      /* "*" */
	SEL_DANGER,   /* autogroup:danger-all: every address there is */
	SEL_USER,
	SEL_GROUP,
	SEL_TAG,
	SEL_RANGES,   /* an address, a prefix, a range, a host, an ipset */
	SEL_MEMBER,
	SEL_TAGGED,
	SEL_SELF,
	SEL_INTERNET,
	SEL_ROLE,
	SEL_SHARED,   /* users of other tailnets: there are none here */
	SEL_DOMAIN,   /* user:*@example.com */
};

/* A member of a group: whoever the identity provider counts among a group of its own. */
#define IDP_PREFIX "idp:"

struct group {
	const char *name; /* "group:x" */
	const char **members;
	size_t n;
	bool domains; /* some member is "user:*@example.com" */
	uint32_t sel; /* its selector + 1, once one is made */
};

struct sel {
	enum sel_kind kind;
	const char *name; /* as written; what it is interned by, with kind */
	struct group *group;
	const struct range *ranges;
	size_t n_ranges;
	enum policy_role role;
	uint32_t id;
	/* by compile.c */
	const uint32_t *src_rules, *dst_rules; /* rules that name it, ascending */
	uint32_t n_src_rules, n_dst_rules;
};

/* A sorted list of selectors and the postures that narrow it (any of them); there once, with a number. */
struct sel_set {
	const uint32_t *sel;
	size_t n;
	uint64_t postures; /* bit set; 0: none asked */
	bool any, danger;
};

struct port_range {
	uint16_t first, last;
};

struct rule_dst {
	uint32_t sel, rule;
	const struct port_range *ports;
	size_t n_ports; /* 0: of a grant that gives capabilities only */
	int16_t proto;
};

struct syntax;

struct rule {
	unsigned line;
	const struct syntax *at;  /* as written; NULL: of no text (everyone reaches everyone) */
	uint32_t src, dst;	  /* sets; dst for what goes the other way */
	size_t first_dst, n_dst;  /* in policy.dst, ordered by proto */
	const uint32_t *via;	  /* selectors of tags */
	size_t n_via;
	const char *caps;	  /* members of a CapMap; NULL: none */
	const char *back_caps;	  /* what the sources give the destinations in return (drive-sharer, relay-target) */
	bool self;		  /* autogroup:self is among dst */
};

struct tag_owner {
	const char *tag;
	uint32_t *owner; /* selectors: users, groups, tags, roles, member */
	size_t n;
};

struct approver {
	struct prefix route;
	bool exit; /* exitNode; route is not set */
	const char *service; /* "svc:x", or the tag of services; NULL: it is about routes */
	uint32_t *who;
	size_t n;
};

struct node_attr {
	uint32_t *target;
	size_t n_targets;
	const char **name;   /* capability names */
	uint32_t *name_id;   /* numbers of them: equal names, equal numbers */
	const char **values; /* JSON text of each, "null" for a bare name */
	size_t n;
	bool disable_ipv4;
	const struct range *pool;
	size_t n_pools;
};

enum cond_op { COND_EQ, COND_NE, COND_LT, COND_LE, COND_GT, COND_GE, COND_IN, COND_NOT_IN, COND_SET, COND_NOT_SET };

struct cond {
	const char *attr;
	enum cond_op op;
	const char **value;
	size_t n;
};

struct posture {
	const char *name; /* "posture:x" */
	struct cond *cond;
	size_t n;
};

struct ssh_rule {
	unsigned line;
	const struct syntax *at;
	bool check, self;
	int64_t period_ms;	 /* of check; 0: always */
	uint32_t src;		 /* set */
	const uint32_t *dst;
	size_t n_dst;
	const char **user;	 /* plain names */
	size_t n_users;
	bool nonroot, root;
	const char **localpart;	 /* domains */
	size_t n_localparts;
	unsigned localpart_line, localpart_column;
	const char **env;
	size_t n_env;
	const uint32_t *recorder; /* selectors of tags */
	size_t n_recorders;
	bool enforce_recorder;
};

struct test_target {
	const char *text;
	const struct sel *sel;	/* NULL: means nothing here; why says so */
	const char *why;
	uint16_t port;
	unsigned line, column;
};

struct reach_test {
	const char *src_text, *src_why;
	const struct sel *src;
	const struct policy_attr *attr; /* srcPostureAttrs: instead of what the source's nodes say */
	size_t n_attrs;
	bool has_attrs;
	int16_t proto;
	struct test_target *accept, *deny;
	size_t n_accept, n_deny;
	unsigned line, column;
};

struct ssh_test {
	const char *src_text, *src_why;
	const struct sel *src;
	struct test_target *dst;
	size_t n_dst;
	const char **user[3]; /* accept, deny, check */
	size_t n_users[3];
	unsigned line, column;
};

struct policy {
	_Atomic unsigned refs;
	struct arena arena; /* owns everything below */
	const struct syntax *root;  /* the whole text */
	const struct syntax *hosts; /* NULL: none */
	struct group *group;
	size_t n_groups;
	struct tag_owner *owner;
	size_t n_owners;
	struct approver *approver;
	size_t n_approvers;
	struct sel **sel; /* by id */
	size_t n_sels;
	struct sel_set *set;
	size_t n_sets;
	struct rule *rule;
	size_t n_rules, n_grants; /* grants come first */
	struct rule_dst *dst;
	size_t n_dsts;
	struct node_attr *attr;
	size_t n_attrs, n_attr_names;
	const struct dns_record *dns_record;
	size_t n_dns_records;
	struct policy_app *app;
	size_t n_apps;
	struct posture *posture;
	size_t n_postures;
	struct ssh_rule *ssh;
	size_t n_ssh;
	bool has_ssh, names_services;
	struct reach_test *test;
	size_t n_tests;
	struct ssh_test *ssh_test;
	size_t n_ssh_tests;
	struct bytes derp_map; /* JSON; n 0: none */
	bool randomize_port, disable_ipv4;
	int one_cgnat; /* 0: not said; 1: mac-always; -1: mac-never */
	/* by compile.c */
	bool needs_user; /* autogroup:self or localpart is used: users are told apart */
	uint64_t *back_rules; /* bit set over rules */
	const struct sel *internet, *self; /* NULL: not used */
	struct sel_index *index;
};

/* 64-bit words of a set over rules. */
static inline size_t policy_words(const struct policy *p)
{
	return (p->n_rules + 63) / 64;
}

static inline bool bit_has(const uint64_t *w, size_t i)
{
	return w[i / 64] >> (i % 64) & 1;
}

static inline void bit_set(uint64_t *w, size_t i)
{
	w[i / 64] |= (uint64_t)1 << (i % 64);
}

/* for (size_t i ...) over the bits of two sets' meeting */
#define BITS_EACH(i, w, words)                                              \
	for (size_t i##_w = 0; i##_w < (words); i##_w++)                    \
		for (uint64_t i##_left = (w)[i##_w]; i##_left; i##_left &= i##_left - 1) \
			for (size_t i = i##_w * 64 + (size_t)__builtin_ctzll(i##_left), i##_once = 1; i##_once; i##_once = 0)

static inline bool set_has(const struct sel_set *s, uint32_t sel)
{
	for (size_t i = 0; i < s->n; i++)
		if (s->sel[i] == sel)
			return true;
	return false;
}

/* Selectors that match by what a node is; those of addresses stand for themselves in a filter. */
static inline bool sel_is_identity(const struct sel *s)
{
	switch (s->kind) {
	case SEL_USER:
	case SEL_GROUP:
	case SEL_TAG:
	case SEL_MEMBER:
	case SEL_TAGGED:
	case SEL_ROLE:
	case SEL_SHARED:
	case SEL_DOMAIN:
		return true;
	case SEL_ANY:
	case SEL_DANGER:
	case SEL_RANGES:
	case SEL_SELF:
	case SEL_INTERNET:
		return false;
	}
	return false;
}

/* ---- compile.c ---- */

/* What the selectors and postures of a policy say about one node. */
struct facts {
	uint32_t *by_who; /* sorted: identity, and ranges that have its address */
	size_t n_who;
	uint32_t *by_route; /* sorted: ranges that overlap what is behind it */
	size_t n_route;
	uint64_t postures; /* that it satisfies */
	bool exit;	   /* approved as an exit node */
	bool no_ipv4;	   /* attribute disable-ipv4 */
	bool connector;	   /* of apps */
};

/* Interns; *out is the number. */
MUST_USE err policy_intern(struct policy *p, struct map *known, const struct sel *s, const struct sel **out);
/* After all sections: indexes for matching. ERR_NOMEM. */
MUST_USE err policy_finish(struct policy *p);
/* by_who and by_route are the caller's, with room for policy_match_room numbers each. */
size_t policy_match_room(const struct policy *p);
void policy_match(const struct policy *p, const struct policy_node *n, struct facts *f);
bool sel_is_user(const struct sel *s, const struct policy_user *u);
bool sel_matches(const struct sel *s, const struct policy_node *n); /* by identity or own address */
bool ranges_meet(const struct sel *s, struct range r);
bool ranges_have(const struct sel *s, struct addr a);
/* "ann" and "ann@" by name, "ann@example.com" by e-mail or login; case plays no part. */
bool policy_names_user(const char *name, const struct policy_user *u);

/* ---- posture.c ---- */

uint64_t policy_postures(const struct policy *p, const struct policy_node *n);

/* ---- ssh.c ---- */

struct policy_class;
bool ssh_is_dst(const struct policy_class *c, const struct ssh_rule *r); /* but for autogroup:self and localpart */
struct view_node;
bool ssh_fits(const struct policy_view *v, const struct ssh_rule *r, const struct view_node *src, const struct view_node *dst); /* but for users */

/* ---- attrs.c ---- */

bool attrs_disable_ipv4(const struct policy *p, const struct facts *f);
/* Members of a CapMap, appended. */
void attrs_write(const struct policy *p, const struct facts *f, struct buf *out);

/* ---- view.c, seen by filter.c, ssh.c and verify.c ---- */

struct class_key {
	uint64_t a, b;
};

struct policy_class {
	struct class_key key;
	uint32_t id;
	size_t members;
	struct list nodes; /* view_node.link */
	int64_t user_id;   /* where autogroup:self plays a part; else 0 */
	uint32_t *by_who, *by_route;
	size_t n_who, n_route;
	uint64_t postures;
	bool exit, router, no_ipv4, connector;
	uint64_t *src, *dst, *self; /* bit sets over rules; self: rules with autogroup:self that it is in the user's part of */
	struct list own;	    /* with the other classes of user_id */
	uint64_t noted;		    /* the change that it was last told of */
	struct bytes caps;	    /* owned */
	struct bytes ssh;	    /* owned; valid for ssh_gen */
	uint64_t ssh_gen;
};

struct view_node {
	struct bytes ssh; /* owned: where the class's neighbours have another one; valid for ssh_gen */
	uint64_t ssh_gen;
	int64_t id;
	uint32_t cls;
	struct list link;    /* in its class */
	struct list routing; /* in view.routers, when it has routes */
	int64_t user_id;     /* 0: tagged */
	char *email; /* owned; what localpart looks at */
	struct addr v4, v6;
	struct prefix *routes; /* owned */
	size_t n_routes;
	bool outside; /* has an address outside the tailnet's ranges */
};

struct shared_part {
	uint64_t hash;
	struct part *part;
	struct shared_part *next; /* all of a view */
};

struct own_text { /* a user's own nodes in a set, as a filter has them */
	struct class_key key; /* user; set + 1, 0 for all */
	struct bytes text;    /* owned */
	struct own_text *next; /* all of a view */
};

struct class_list {
	uint32_t *id; /* owned */
	size_t n, cap;
	bool all; /* too many to be listed: taken for all of them */
};

struct user_classes {
	int64_t user_id;
	struct list classes; /* policy_class.own */
};

struct policy_view {
	struct policy *p;
	struct map by_id;	   /* struct view_node */
	struct map by_key;	   /* struct policy_class */
	struct policy_class **cls; /* owned, by id */
	size_t n_cls, cap_cls;
	struct list routers;
	size_t n_outside; /* nodes with an address outside the tailnet's ranges */
	struct bytes *sources;	   /* owned texts, by set: the SrcIPs list; p NULL: to be made */
	struct map parts;	   /* struct shared_part, by hash: filters made since the last change */
	struct shared_part *all_parts;
	struct map own; /* struct own_text, made since the last change */
	struct own_text *all_own;
	uint64_t ssh_gen;	   /* grows with every change of nodes */
	struct map by_user;	   /* struct user_classes */
	struct class_list *ssh_classes; /* owned, by rule of ssh: destinations */
	size_t work;			/* of policy_verify: rules looked at */
	struct class_list *dst_classes, *src_classes; /* owned, by rule: who is told of a change; src where something goes back */
	uint64_t *changed, *back_changed; /* scratch: bit sets over rules */
	uint32_t *who, *route;	   /* scratch: policy_match */
	uint64_t n_changes;
	struct ways *ways; /* owned; ways.c: to the address asked about last */
};
void ways_free(struct ways *w);

/* Does the class count as a source of this set? */
bool class_in_set(const struct policy_view *v, const struct policy_class *c, const struct sel_set *s);
bool class_has(const uint32_t *list, size_t n, uint32_t sel);
/* Is a node a destination by this entry of a rule: by itself, or by what is behind it. */
bool dst_is_node(const struct policy *p, const struct policy_class *c, const struct rule_dst *d);
bool dst_is_behind(const struct policy *p, const struct policy_class *c, const struct rule_dst *d);
bool class_carries(const struct rule *r, const struct policy_class *c); /* it has a tag of via */
struct view_node *view_node_at(const struct policy_view *v, struct addr a);
/* Drops what may have changed: every filter. */
void view_forget_filters(struct policy_view *v);
/* The nodes of a set by identity, in the order of ids; owned by the caller. only_user: that user's alone (then s NULL is all of
 * them); 0: everybody's. NULL: no memory. */
struct view_node **view_members(const struct policy_view *v, const struct sel_set *s, int64_t only_user, size_t *n);

/* ---- verify.c, seen by the files of queries ---- */

struct verify_result { /* of one expectation; borrowed for the call */
	unsigned line, column;
	const char *src, *dst, *expected; /* NULL: it is about the policy as a whole */
	const char *user;		  /* of ssh; NULL: none in particular */
	bool test, ssh, passed;
	const char *text;	 /* why not */
	const struct rule *by;	 /* what lets through, where something should not be */
};
typedef void verify_each(void *ctx, const struct verify_result *r);
MUST_USE err policy_verify_each(struct policy_view *v, const char *const *domains, size_t n_domains, verify_each *each, void *ctx);

struct probe { /* a node, or an address that is nobody's */
	struct view_node *node;
	struct addr addr;
	const uint64_t *postures; /* of a source: instead of its own; NULL: its own */
};

/* Does the probe count as a source of the rule, as a destination of the entry? */
bool probe_is_source(const struct policy_view *v, const struct rule *r, const struct probe *src);
bool probe_is_destination(const struct policy_view *v, const struct rule_dst *d, const struct probe *src, const struct probe *dst);
/* A rule without a protocol lets TCP, UDP and ICMP through; who asks without one (PROTO_ANY) asks for TCP. */
bool dst_carries_proto(const struct rule_dst *d, int16_t proto);
bool dst_carries(const struct rule_dst *d, int16_t proto, uint16_t port);
