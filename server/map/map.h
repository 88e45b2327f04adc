/* map: from the state of a tailnet to the exact bytes that each viewer must get. Pure: no sockets, no clock, no policy of
 * its own; it asks policy/ who sees whom.
 *
 * A node's JSON as a peer is a fragment, written once and cached until the node changes. Fragments are kept in blocks of
 * MAP_BLOCK nodes of one class, each a part of its own (part.h), compressed once; a full map is a list of parts: the
 * viewer's own head, the blocks it sees whole, blocks written for this viewer where it does not, a tail. A delta is written
 * once and sent to all who get the same.
 *
 * Facts: protocol/control.md 6 (fields, presence, delta rules) and 9.3 (traps T16-T45). */
#pragma once

#include "common/base/arena.h"
#include "server/map/part.h"
#include "server/map/settings.h"
#include "server/policy/policy.h"
#include "server/store/rows.h"

enum { MAP_BLOCK = 64 };

/* The one user that stands for the owner of all tagged nodes. */
#define TAGGED_USER_ID 2147455555LL

/* What a client shows its user until it is taken back (DisplayMessages; Health for old ones). */
struct map_message {
	const char *id, *title, *text;
	const char *severity; /* "high", "medium", "low" */
	bool impacts;	      /* connectivity */
};

/* What the encoder needs of a node. The core keeps one in each of its nodes and owns what it points to. */
struct map_node {
	uint32_t slot; /* dense, reused after the node is gone (its id is not); UINT32_MAX: none yet */
	uint32_t cls;  /* identity class (policy_view_put); UINT32_MAX: none yet */
	const struct node_row *row;
	const struct tailcfg_hostinfo *hi; /* parsed row->hostinfo_json; never NULL */
	bool online, expired;
	bool announced; /* false: in nobody's map, and has no peers in its own (trap T43) */
	bool unauthorized; /* MachineAuthorized false in its own map: it is told that it has no access (never announced then) */
	const struct map_message *message; /* for itself; NULL: none */
	int64_t user_id; /* as shown: the owner, or TAGGED_USER_ID */
	const struct prefix *serving; /* routes it carries now; its own map shows these */
	size_t n_serving;
	const struct prefix *cand; /* routes it may carry, sorted: a viewer's policy can choose it without it being elected */
	size_t n_cand;
};

/* A VIP service. Borrowed from the core's row. */
struct map_service {
	int64_t id;
	const char *name; /* "svc:web" */
	struct addr v4, v6; /* family 0: none */
	char *const *ports;
	size_t n_ports;
};

/* The tailnet as the encoder sees it; the core owns and fills it. */
struct map_tailnet {
	const struct core_settings *set;
	struct map_node **nodes; /* by slot; NULL holes */
	size_t n_slots;
	struct policy_view *policy;
	const struct map_service *services; /* by id */
	size_t n_services;
	/* Apps of the policy, and the nodes that offer to be connectors, by slot. */
	const struct policy_app *apps;
	size_t n_apps;
	const struct map_node **connectors;
	size_t n_connectors;
	/* Tailnet lock: on, with this head; or ended (lock_off). Neither: it never was. */
	bool lock_on, lock_off;
	const char *lock_head;
	/* Whom the tailnet elected for a route, 0: nobody. NULL: each node carries what it serves. */
	int64_t (*carrier)(void *ctx, struct prefix route);
	/* The user with this id, or NULL; TAGGED_USER_ID is answered by the encoder itself. */
	const struct user_row *(*user)(void *ctx, int64_t id);
	void *ctx;
};

struct map_cache; /* fragments and blocks of one tailnet */

MUST_USE err map_cache_new(size_t max_bytes, struct map_cache **out);
void map_cache_free(struct map_cache *c);
/* Call after every change of what peers see of a node (also class, announced, gone), before the next map is made. */
void map_cache_touch(struct map_cache *c, const struct map_node *n);
void map_cache_gone(struct map_cache *c, uint32_t slot);
void map_cache_drop(struct map_cache *c); /* everything: after an undo, a new policy, new settings */
size_t map_cache_bytes(const struct map_cache *c);
/* How many blocks have no text, so that the next full map must write them; 0: too full to write them ahead. */
size_t map_cache_cold(const struct map_cache *c);
/* Writes up to n of them. What there is no memory for is left to that map. */
void map_cache_warm(struct map_cache *c, const struct map_tailnet *t, size_t n);

/* Bit sets over slots, for what a session was told. Grows on set. */
struct slots {
	uint64_t *w; /* owned */
	size_t n;    /* words */
};
void slots_done(struct slots *s);
bool slots_has(const struct slots *s, uint32_t slot);
MUST_USE err slots_set(struct slots *s, uint32_t slot);
MUST_USE err slots_add(struct slots *s, size_t word, uint64_t bits); /* 64 slots at a time */
void slots_clear(struct slots *s, uint32_t slot);

/* The complete first message (control.md 6.5): everything that is needed in it. told is filled with the peers in it.
 * filters: the named filters it contains, with their hashes, for later comparison. viewer->announced false: no peers. */
MUST_USE err map_full(struct map_cache *c, const struct map_tailnet *t, const struct map_node *viewer, int64_t wall_ms,
		struct slots *told, struct policy_filter filters[POLICY_FILTERS_MAX], size_t *n_filters, struct map_msg **out);

/* The routes of node that go into the viewer's AllowedIPs, and but for the exit routes into PrimaryRoutes: into out, which has
 * room for node->n_cand. What a policy's via says of this viewer is in it. */
size_t map_routes_shown(const struct map_tailnet *t, const struct map_node *viewer, const struct map_node *node, struct prefix *out);
/* A number for that list; 0: none. Two viewers with equal ones have the same text of the node. */
uint64_t map_routes_hash(const struct map_tailnet *t, const struct map_node *viewer, const struct map_node *node);

/* What may have changed of a peer, for patches. */
enum {
	PATCH_ONLINE = 1,    /* Online, and LastSeen when it went offline */
	PATCH_ENDPOINTS = 2,
	PATCH_HOME = 4,	     /* DERPRegion */
	PATCH_EXPIRY = 8,    /* KeyExpiry */
	PATCH_KEY = 16,	     /* Key; comes with DISCO, ENDPOINTS, EXPIRY */
	PATCH_DISCO = 32,    /* DiscoKey alone or with ENDPOINTS and HOME (control.md 6.6) */
	PATCH_CAP = 64,	     /* Cap */
};
struct map_patch {
	const struct map_node *node;
	unsigned what;
};

/* One delta message. Absent things stay unchanged at the client. All borrowed for the call. */
struct map_delta {
	const struct map_node *const *changed; /* whole nodes: PeersChanged */
	size_t n_changed;
	const int64_t *removed; /* node ids: PeersRemoved */
	size_t n_removed;
	const struct map_patch *patches; /* PeersChangedPatch */
	size_t n_patches;
	const int64_t *users; /* UserProfiles to send along; those of changed nodes are added by the encoder */
	size_t n_users;
	const struct map_node *viewer; /* whose routes the changed nodes show; NULL: those that they carry */
	const struct map_node *self; /* the viewer's own Node, whole (trap T34) */
	const struct policy_filter *filters; /* named filters to set; rules NULL: delete this one */
	size_t n_filters;
	bool message; /* self's message, or that it has none any more */
	bool dns, derp; /* DNSConfig, DERPMap from settings */
	bool lock;	/* TKAInfo */
	/* An owner whom viewers may not know yet: newer clients take profiles that come with incremental changes, but show them
	 * (tailscale status) only after a full rebuild, so the message carries Domain, which causes one (control.md 6.6). */
	bool new_owner;
	struct bytes ssh; /* SSHPolicy, JSON; n 0: unchanged */
};
/* A patch that cannot be expressed (home relay back to 0, …) is written as a whole node by the encoder. *out NULL: the
 * delta is empty. */
MUST_USE err map_delta_msg(struct map_cache *c, const struct map_tailnet *t, const struct map_delta *d, int64_t wall_ms,
		struct map_msg **out);

/* For a key that was deleted or never known (trap T42b): a self node with this key that expired long ago, an empty filter,
 * a profile, the real DERP map. */
MUST_USE err map_gone_msg(const struct map_tailnet *t, const struct node_pub *key, const struct machine_pub *machine,
		const struct disco_pub *disco, int64_t wall_ms, struct map_msg **out);

/* Of what messages a node's own map has; 0: none. */
uint64_t map_message_hash(const struct map_node *n);

/* Clients of this age take pinned relay certificates: the others get another DERPMap. */
bool map_pins_certs(int capver);

/* Does each node get a DNSConfig of its own (NextDNS)? */
bool map_dns_is_own(const struct core_settings *set);
/* Of the texts that DNSConfig and DERPMap would have: equal numbers, equal texts. */
uint64_t map_dns_hash(const struct core_settings *set);
uint64_t map_derp_hash(const struct core_settings *set);

/* Of all that this viewer is told of services and of apps' connectors; 0: there are none. */
uint64_t map_services_hash(const struct map_tailnet *t, const struct map_node *viewer);

/* "host.tail.example.com." ; returns a string in a. */
char *map_fqdn(struct arena *a, const struct core_settings *set, const char *given_name);

/* What clients show for a user, and what LoginName of a RegisterResponse is: the e-mail address, else the name. Borrowed from u. */
const char *map_login_name(const struct user_row *u);
