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
#include "server/map/settings.h"

struct policy;
struct policy_view;

struct policy_fault { /* one thing wrong with a text */
	unsigned line, column; /* from 1; 0: not tied to a place */
	char text[240];	       /* what is wrong, and a hint, in plain words */
	/* Offsets in bytes (policy_faults_in_units: in UTF-16 code units); of a fault without a place 0. */
	size_t from, to;
	bool has_fix; /* writing fix over fix_from to fix_to would probably mend it */
	size_t fix_from, fix_to;
	char fix[160], fix_label[200]; /* label: "Change to tag:prod" */
};
enum { POLICY_FAULTS_MAX = 16, POLICY_TEXT_MAX = 4 << 20 };
struct policy_faults {
	struct policy_fault fault[POLICY_FAULTS_MAX];
	size_t n;
};

/* text "" or without acls and grants: everyone reaches everyone. ERR_INVALID: faults says why. What can only be said with
 * the tailnet at hand (tests, sshTests, domains of users) is in policy_verify, to be asked before a policy is accepted. */
MUST_USE err policy_parse(struct bytes text, struct policy **out, struct policy_faults *faults);
struct policy *policy_ref(struct policy *p);
/* From line and column what depends on them: from, to, fixes. policy_parse has done so. */
void policy_faults_locate(struct bytes text, struct policy_faults *faults);
/* Bytes become UTF-16 code units, which is what editors in a browser count. Once. */
void policy_faults_in_units(struct bytes text, struct policy_faults *faults);

/* The tailnet's services, which a text calls "svc:name". Immutable, counted. */
struct policy_service {
	const char *name; /* "svc:web" */
	struct addr v4, v6; /* family 0: none */
};
struct policy_services;
MUST_USE err policy_services_new(const struct policy_service *list, size_t n, struct policy_services **out); /* copies */
bool policy_services_are(const struct policy_services *s, const struct policy_service *list, size_t n); /* the same, in the same order */
struct policy_services *policy_services_ref(struct policy_services *s); /* NULL stays NULL */
void policy_services_unref(struct policy_services *s);
/* policy_parse knows no services: their names then stand for nothing. */
MUST_USE err policy_parse_with(struct bytes text, const struct policy_services *services, struct policy **out,
		struct policy_faults *faults);
/* For a look at a text while it is written: what is wrong is left out (a rule loses the names that are wrong, or goes), and noted.
 * Never to be put in force when faults has any. ERR_INVALID: nothing can be made of it. */
MUST_USE err policy_parse_leniently(struct bytes text, const struct policy_services *services, struct policy **out,
		struct policy_faults *faults);
/* What is right, and yet is hardly meant: names that nobody uses, groups without members, rules that change nothing. */
void policy_warn(const struct policy *p, struct bytes text, struct policy_faults *out);
bool policy_names_services(const struct policy *p); /* it means something else when services change */
void policy_unref(struct policy *p);

/* MEMBER stands for every user without a role of its own. */
enum policy_role {
	POLICY_ROLE_MEMBER,
	POLICY_ROLE_OWNER,
	POLICY_ROLE_ADMIN,
	POLICY_ROLE_NETWORK_ADMIN,
	POLICY_ROLE_IT_ADMIN,
	POLICY_ROLE_AUDITOR,
	POLICY_ROLE_BILLING_ADMIN,
};

/* What a policy can ask about a user; borrowed for the call. */
struct policy_user {
	int64_t id;
	const char *name, *email, *login; /* login: as shown, what "user@domain" in a policy is compared with, too */
	enum policy_role role;
	const char *const *groups; /* at the identity provider; a policy's groups name them as "idp:NAME" */
	size_t n_groups;
};

struct policy_attr { /* for postures: "node:os", "node:tsVersion", "custom:tier" */
	const char *name, *value; /* value: text, a number's text, "true" or "false" */
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
	const struct policy_attr *attrs;
	size_t n_attrs;
	bool connector; /* offers to be an app connector: it carries what autogroup:internet stands for, too */
};

/* May this user put this tag on a node (tagOwners)? */
bool policy_may_tag(const struct policy *p, const struct policy_user *user, const char *tag);
/* May a node that carries these tags give this one (to itself, or by a key that gives them)? Tags own tags, also over others. */
bool policy_tags_may_tag(const struct policy *p, const char *const *tags, size_t n_tags, const char *tag);
bool policy_has_tag(const struct policy *p, const char *tag); /* declared in tagOwners */
/* Is it in some pool? Then only whom a pool is for gets it. */
bool policy_pool_has(const struct policy *p, struct addr a);
/* autoApprovers */
bool policy_approves_route(const struct policy *p, const struct policy_node *n, struct prefix route);

/* The ranges of IPv4 addresses that nodeAttrs (ipPool) gives such a node, in the order of the policy; out takes at most max. */
struct policy_pool {
	struct addr first, last;
};
size_t policy_ip_pools(const struct policy *p, const struct policy_node *n, struct policy_pool *out, size_t max);
/* derpMap as JSON: {"OmitDefaultRegions": …, "Regions": {"900": {…}, "1": null}}, checked in form; n 0: the policy has none. */
struct bytes policy_derp_map(const struct policy *p);
/* extraDNSRecords, checked; borrowed from p. */
const struct dns_record *policy_dns_records(const struct policy *p, size_t *n);
/* App connectors (nodeAttrs, tailscale.com/app-connectors): names below these domains are to be asked of a connector that
 * carries one of the tags. Borrowed from p. */
struct policy_app {
	const char *const *domains; /* lower case, without "*." */
	size_t n_domains;
	const char *const *connectors; /* tags; "*": any connector */
	size_t n_connectors;
};
enum { POLICY_APPS_MAX = 64, POLICY_APP_DOMAINS_MAX = 1024 }; /* of a policy; domains: of all apps together */
const struct policy_app *policy_apps(const struct policy *p, size_t *n);
bool policy_app_has(const struct policy_app *app, char *const *tags, size_t n_tags);
/* … services, named or by one of their tags. */
bool policy_approves_service(const struct policy *p, const struct policy_node *n, const char *name, char *const *tags, size_t n_tags);

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

/* UINT32_MAX: no such node. */
uint32_t policy_view_class(const struct policy_view *v, int64_t node_id);
/* Makes ahead what filters are made of, so that the next asks for them cost little. */
void policy_view_warm(struct policy_view *v);

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

/* Does the viewer use this node for this route (in its AllowedIPs)? primary: whom the tailnet elected for the route, 0 for
 * none; a via rule can choose another router. Both nodes are in the view and the viewer sees the node. */
bool policy_view_shows_route(struct policy_view *v, int64_t viewer, int64_t node, struct prefix route, int64_t primary);

/* Does the connector answer this viewer's questions for names? Clients ask their filter for TCP to port 53 of the internet. */
bool policy_view_may_ask(const struct policy_view *v, int64_t viewer, int64_t connector);

/* Nodes of this class have no IPv4 address of their own (nodeAttrs disable-ipv4, disableIPv4). Their IPv4 routes stay. */
bool policy_view_no_ipv4(const struct policy_view *v, uint32_t cls);

/* Runs tests and sshTests against the nodes in the view. domains: the e-mail domains of the tailnet, for localpart:*@domain;
 * NULL: those of the users in the view. ERR_INVALID: faults says what failed. */
MUST_USE err policy_verify(struct policy_view *v, const char *const *domains, size_t n_domains, struct policy_faults *faults);

/* An SSH session's rule: does the source reach this local user at the destination, and must the user confirm (check)?
 * *period_ms: how long a confirmation holds, 0 for not at all. */
enum policy_ssh { POLICY_SSH_NO, POLICY_SSH_ACCEPT, POLICY_SSH_CHECK };
enum policy_ssh policy_view_ssh_action(struct policy_view *v, int64_t src, int64_t dst, const char *user, int64_t *period_ms);

/* The SSHAction (JSON, appended to out) that lets this session in: of the rule that policy_view_ssh_action found. No rule:
 * out goes bad. */
void policy_view_ssh_accept(struct policy_view *v, int64_t src, int64_t dst, const char *user, struct buf *out);

/* JSON object members (without braces) to add to the node's own CapMap (nodeAttrs); "" none. Borrowed likewise. */
struct bytes policy_view_self_caps(struct policy_view *v, int64_t node_id);
/* The same for the CapMap that others see of the node (an approved exit node can be suggested as one). */
struct bytes policy_view_peer_caps(struct policy_view *v, int64_t node_id);
/* The node's SSHPolicy as JSON text, or n 0 for none. Borrowed likewise. */
struct bytes policy_view_ssh(struct policy_view *v, int64_t node_id);
