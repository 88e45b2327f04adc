/* policy: who may reach whom. Pure: text in, checked rules out; then, for a tailnet's current nodes, identity classes,
 * visibility between classes, and named packet filters. No I/O, no clock, no sockets.
 *
 * Two objects. struct policy is the compiled text: immutable, reference counted, made on any thread. struct policy_view
 * is that policy applied to the nodes of one tailnet: it changes as nodes come and go, and belongs to the core's thread.
 *
 * Nodes that no rule can tell apart share a class, so that a node's join costs a look-up, and visibility is a bit between
 * two classes (DESIGN 4). Filters are named chunks: only a chunk whose content changed is sent again. */
#pragma once

#include "common/base/buf.h"
#include "common/net/addr.h"
#include "server/map/part.h"

struct policy;
struct policy_view;

struct policy_fault { /* one thing wrong with a text */
	unsigned line, column; /* from 1; 0: not tied to a place */
	char text[240];	       /* what is wrong, and a hint, in plain words */
};
enum { POLICY_FAULTS_MAX = 16, POLICY_TEXT_MAX = 4 << 20 };
struct policy_faults {
	struct policy_fault fault[POLICY_FAULTS_MAX];
	size_t n;
};

/* text "" or without acls and grants: everyone reaches everyone. ERR_INVALID: faults says why. */
MUST_USE err policy_parse(struct bytes text, struct policy **out, struct policy_faults *faults);
struct policy *policy_ref(struct policy *p);
void policy_unref(struct policy *p);

/* What a policy can ask about a user; borrowed for the call. */
struct policy_user {
	int64_t id;
	const char *name, *email, *login; /* login: as shown, what "user@domain" in a policy is compared with, too */
};

/* What it can ask about a node; borrowed for the call. */
struct policy_node {
	int64_t id;
	int64_t user_id; /* 0: tagged */
	const struct policy_user *user; /* NULL: tagged */
	const char *const *tags; /* sorted */
	size_t n_tags;
	struct addr v4, v6;
	const struct prefix *routes; /* approved and announced, sorted */
	size_t n_routes;
};

/* May this user put this tag on a node (tagOwners; tags own tags)? by_tags: the node's own tags, when a tag asks. */
bool policy_may_tag(const struct policy *p, const struct policy_user *user, const char *tag);
bool policy_has_tag(const struct policy *p, const char *tag); /* declared in tagOwners */
/* autoApprovers */
bool policy_approves_route(const struct policy *p, const struct policy_node *n, struct prefix route);

MUST_USE err policy_view_new(struct policy *p, struct policy_view **out); /* takes a reference */
void policy_view_free(struct policy_view *v);

/* What a change of nodes changed for others. Owned arrays, policy_changes_done. */
struct policy_changes {
	uint32_t *filters; /* classes whose named filters changed: compare and send */
	size_t n_filters, cap_filters;
	bool visibility;   /* some pair of classes that existed before sees each other now, or no more: compare all */
};
void policy_changes_done(struct policy_changes *c);

/* A node joined or its facts changed: its class. Changes are appended. */
MUST_USE err policy_view_put(struct policy_view *v, const struct policy_node *n, uint32_t *cls, struct policy_changes *c);
MUST_USE err policy_view_del(struct policy_view *v, int64_t node_id, struct policy_changes *c);

/* Do nodes of these classes see each other (either may reach the other)? Symmetric. Nodes of one class: ask with a == b.
 * Classes are dense small numbers below policy_view_classes. */
bool policy_view_sees(const struct policy_view *v, uint32_t a, uint32_t b);
uint32_t policy_view_classes(const struct policy_view *v);

/* The named packet filters of a node, newest content. Returned parts are borrowed until the next put/del on the view.
 * Each text is a JSON list of FilterRules. */
struct policy_filter {
	const char *name;
	struct part *rules;
	uint64_t hash; /* of the text: equal hash = nothing to send */
};
enum { POLICY_FILTERS_MAX = 16 };
size_t policy_view_filters(struct policy_view *v, int64_t node_id, struct policy_filter out[POLICY_FILTERS_MAX]);

/* JSON object members (without braces) to add to the node's own CapMap (nodeAttrs); "" none. Borrowed likewise. */
struct bytes policy_view_self_caps(struct policy_view *v, int64_t node_id);
/* The node's SSHPolicy as JSON text, or n 0 for none. Borrowed likewise. */
struct bytes policy_view_ssh(struct policy_view *v, int64_t node_id);
