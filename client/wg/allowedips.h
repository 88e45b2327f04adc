/* allowedips: which peer an address belongs to: the longest prefix wins. Asked for the destination of what we send and
 * for the source of what we receive. A path-compressed binary trie a family; a prefix belongs to one peer. */
#pragma once

#include "common/net/addr.h"

struct wg_peer;
struct allowed_node;

/* Zero-initialised. */
struct allowed {
	struct allowed_node *root[2]; /* owned; IPv4, IPv6 */
	size_t n;                     /* prefixes in it */
};

void allowed_done(struct allowed *t);
/* Host bits are ignored. A prefix that another peer had becomes this one's. ERR_INVALID: no such prefix; ERR_NOMEM:
 * nothing changed. */
MUST_USE err allowed_put(struct allowed *t, struct prefix p, struct wg_peer *peer);
/* Nothing happens unless it is this peer's. */
void allowed_del(struct allowed *t, struct prefix p, const struct wg_peer *peer);
struct wg_peer *allowed_get(const struct allowed *t, struct addr a); /* NULL: nobody's */
/* Addresses as they lie in IP headers. */
struct wg_peer *allowed_get4(const struct allowed *t, const uint8_t a[4]);
struct wg_peer *allowed_get6(const struct allowed *t, const uint8_t a[16]);
