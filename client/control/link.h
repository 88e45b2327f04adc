/* link: moves the bytes of a control engine: names resolved, GET /key, the connection for POST /ts2021, timers. One loop.
 *
 * The login server's URL is http:// or https:// with a name or address and maybe a port. https goes to its port alone.
 * http goes to its port, and where that fails and the host is public, to TLS on 443, whose certificate is not checked there
 * because Noise authenticates (control.md 2.3, in simple form: one after the other, not side by side). */
#pragma once

#include "client/control/control.h"
#include "common/net/loop.h"

struct control_link;

enum { LINK_ADDRESSES_MAX = 8, LINK_CONNECT_MS = 5000 };

struct link_server {
	bool secure, is_private;
	char name[256]; /* without brackets and port */
	uint16_t port;
	char host[300]; /* "name:port": for control_self */
};
/* ERR_INVALID: not such a URL (a path is refused, too). */
MUST_USE err link_parse_url(const char *url, struct link_server *out);

/* Both borrowed. mark: SO_MARK on sockets so that they pass the tunnel by; 0: none. */
MUST_USE err control_link_new(struct loop *l, struct control *c, uint32_t mark, struct control_link **out);
void control_link_free(struct control_link *k);
void control_link_set_server(struct control_link *k, const struct link_server *s);
bool control_link_is_loopback(const struct control_link *k); /* the login server is on this machine */
/* After any call on the engine: does what it wants now. */
void control_link_kick(struct control_link *k);
/* The addresses of the login server as last resolved, for routes that must not cover them. */
size_t control_link_addresses(const struct control_link *k, struct addr *out, size_t cap);
