/* relay_mesh: a relay among others of its region. Each relay dials every other (mesh_link.h) and watches who is connected
 * there; packets for those go over the link, and packets that others send us are delivered here and never sent on.
 *
 * This is the side of the relay: claims of links, and what watchers are told. Specification: protocol/derp.md 7. */
#pragma once

#include "derp/relay.h"

/* A link to another relay, at home on worker w; its functions below are called on that worker's thread. forward gets a
 * whole ForwardPacket frame (borrowed), on the same thread. ERR_TOO_BIG: FORWARDERS_LINKS_MAX. Links live as long as the
 * relay. One call at a time. */
MUST_USE err relay_link_new(
	struct relay_worker *w, void (*forward)(void *ctx, struct bytes frame), void *ctx, unsigned *link);
/* The other relay says that key has come or left there. */
void relay_link_came(struct relay_worker *w, unsigned link, const struct node_pub *key);
void relay_link_left(struct relay_worker *w, unsigned link, const struct node_pub *key);
/* The link broke: all that it claimed is forgotten. */
void relay_link_lost(struct relay_worker *w, unsigned link);

/* How many keys are reachable through links. Any thread. */
size_t relay_remote_keys(struct relay *r);
