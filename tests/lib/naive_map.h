/* naive_map: what a viewer should see, computed the simple way: one node after the other, a JSON library, nothing kept.
 * The second implementation that tests and the simulation compare the real encoder with. And a client's side: the state
 * that messages build up, by the rules of protocol/control.md 6.5 and 6.6. */
#pragma once

#include <jansson.h>

#include "server/map/map.h"

/* May these two know of each other? NULL asks the tailnet's policy view. */
typedef bool (*naive_sees)(void *ctx, const struct map_node *a, const struct map_node *b);

/* The peers of viewer as {"<id>": Node}; owned (json_decref). */
json_t *naive_peers(const struct map_tailnet *t, const struct map_node *viewer, naive_sees sees, void *ctx);
/* As it sees itself, and as viewer sees it with this policy view (NULL: the tailnet's): routes that the viewer does not use are
 * not shown. */
json_t *naive_peer(const struct map_tailnet *t, const struct map_node *n);
json_t *naive_peer_to(const struct map_tailnet *t, struct policy_view *view, const struct map_node *viewer, const struct map_node *n);
/* DNSConfig; owned. view: who may ask a connector. */
json_t *naive_dns(const struct map_tailnet *t, const struct policy_view *view, const struct map_node *viewer, naive_sees sees, void *ctx);
/* The users whose profiles the viewer needs, as {"<id>": "login name"}. */
json_t *naive_users(const struct map_tailnet *t, const struct map_node *viewer, naive_sees sees, void *ctx);

/* What a client must think of tailnet lock: TKAInfo, or null. Owned. */
json_t *naive_lock(const struct map_tailnet *t);

/* A client's state: {"Node":…, "Peers": {"<id>": Node}, "PacketFilters": {name: […]}, "UserProfiles": {"<id>": …}, other
 * fields as last sent}. */
json_t *naive_client_new(void);
/* Does a client's copy of a node agree with the true one at this time? NULL: yes, else the field. A client's LastSeen of an
 * online node does not count, and Expired may follow from KeyExpiry. wall_ms 0: the clock just jumped, Expired does not
 * count. */
const char *naive_node_differs(const json_t *has, const json_t *want, int64_t wall_ms);
/* The same for {"<id>": Node}; why: what differs. */
bool naive_peers_agree(const json_t *has, const json_t *want, int64_t wall_ms, char *why, size_t why_cap);

/* Applies one MapResponse as a client does, its lossy comparison of PeersChanged included. False: a client would have ended the stream (no Node yet), or lost part of the message (the
 * losing cases of 6.6); *why says which. */
bool naive_client_apply(json_t *client, const json_t *msg, const char **why);

/* The message's JSON text parsed; NULL when it is none. Owned. */
json_t *naive_msg_json(struct map_msg *m);
