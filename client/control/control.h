/* control: the node's side of the control protocol: server key, Noise, register (with key, by a person, again after expiry),
 * the long poll, lite updates, pings, logout, and when to try again.
 *
 * An engine: no sockets, no clock. The owner (link.h) does what control_want says: GET /key, or a connection to POST
 * /ts2021 on, whose bytes go in by control_feed and out of control_out. Requests are made from what the owner keeps in
 * struct control_self; after changing it, control_self_changed.
 *
 *	idle -> key -> dial -> register (-> follow-up) -> poll …	any failure -> wait -> key or dial
 *
 * Bounds on the server: REGISTER_ANSWER_MAX, MAP_PACKED_MAX of a message, CONTROL_SILENT_MS without one, and those of
 * mapparse.h. Facts: protocol/control.md 1 to 7 and its appendix A. */
#pragma once

#include "client/control/mapparse.h"
#include "common/base/buf.h"
#include "common/crypto/keys.h"

struct control;

enum {
	CONTROL_VERSION = 117,		/* the capability version that we implement */
	CONTROL_SILENT_MS = 120 * 1000, /* without a complete message: the stream is dead */
	CONTROL_ANSWER_MS = 30 * 1000,	/* a register or lite update without an answer; follow-ups may hang */
	CONTROL_BACKOFF_MAX_MS = 30 * 1000,
	CONTROL_KEY_MAX = 64 << 10,	/* the answer to GET /key */
	CONTROL_TEXT_MAX = 400,
	CONTROL_ENDPOINTS_MAX = 100,
	CONTROL_TAGS_MAX = 32,
};

struct control_endpoint {
	struct addrport at;
	int type; /* tailcfg_endpoint_type */
};

/* All that requests are made of. Owned by the caller, must outlive the engine, changes between calls. */
struct control_self {
	const struct machine_key *machine;
	const struct node_key *node;
	const struct node_pub *old_node;
	const struct disco_pub *disco;
	const struct nl_pub *nl;
	char host[300];	   /* "name:port", for Host and :authority */
	char auth_key[600]; /* "": none; wiped by the engine once it was accepted */
	char hostname[64];
	char os_version[64], distro[64], version[64];
	const char (*tags)[64];
	size_t n_tags;
	const struct prefix *routes; /* advertised, */
	size_t n_routes;
	bool exit_node; /* and the default routes as well */
	bool shields_up;
	/* What paths found out. */
	struct control_endpoint endpoints[CONTROL_ENDPOINTS_MAX];
	size_t n_endpoints;
	bool has_netinfo; /* a netcheck was made */
	int preferred_derp;
	int varies; /* 0 unknown, 1 no, 2 yes */
	bool has_report; /* udp, v6 and varies were found out; else they are unknown */
	bool udp, v6;
};

enum control_state {
	CONTROL_IDLE,	   /* not started, or logged out */
	CONTROL_CONNECTING,
	CONTROL_REGISTERING,
	CONTROL_NEEDS_LOGIN, /* waits for a person at auth_url */
	CONTROL_SYNCED,	   /* the long poll is open and gave a netmap */
	CONTROL_WAITING,   /* failed; tries again */
};

struct control_login {
	int64_t user_id;
	const char *login_name, *display_name;
};

/* Called inside control_feed, control_tick, control_out and control_lost. on_map must change nothing here but by
 * control_self_changed; the others may call anything but control_free. */
struct control_events {
	void (*on_state)(void *ctx, enum control_state s);
	void (*on_auth_url)(void *ctx, const char *url);
	void (*on_registered)(void *ctx, const struct control_login *l);
	/* The server wants another node key: make one (old = the present one), change self, return true. */
	bool (*on_new_key)(void *ctx);
	/* A refusal in the server's words: the next try comes by itself. */
	void (*on_refused)(void *ctx, const char *text);
	/* A message of the stream; u is the callee's. fresh: the first one. Not OK: the stream is ended. */
	err (*on_map)(void *ctx, struct map_update *u, bool fresh);
	void (*on_logged_out)(void *ctx, bool told); /* told: the server knows */
	const struct netmap *known; /* what on_map changes, and nobody else while a message is read; NULL: none */
	void *ctx;
};

MUST_USE err control_new(const struct control_self *self, const struct control_events *ev, struct control **out);
void control_free(struct control *c);

/* Starts (or starts anew, with a fresh connection). interactive: the node key is to be registered whatever the server
 * thinks of it now. */
void control_start(struct control *c, int64_t now_ms);
void control_stop(struct control *c);
/* Expires our key, then on_logged_out and idle. */
void control_logout(struct control *c, int64_t now_ms);
/* Endpoints, hostinfo, disco key, netinfo: a lite update soon. */
void control_self_changed(struct control *c);
/* The machine's network changed: tries at once if it waits, and asks for an early sign of life if it is connected. */
void control_network_changed(struct control *c, int64_t now_ms);

enum control_want {
	CONTROL_WANT_NOTHING, /* no connection: close one that is open */
	CONTROL_WANT_KEY,     /* GET /key?v=CONTROL_VERSION; then control_key */
	CONTROL_WANT_LINK,    /* a connection; a new one if control_link_id differs from that of the one there is */
};
enum control_want control_want(const struct control *c);
uint64_t control_link_id(const struct control *c);
void control_key(struct control *c, struct bytes body, int64_t now_ms);
/* The transport cannot be had or broke; also for /key. */
void control_lost(struct control *c, const char *why, int64_t now_ms);
void control_feed(struct control *c, struct bytes in, int64_t now_ms);
/* Sealed bytes to be written; the owner consumes. NULL: no connection. Flushes what HTTP/2 has to say. */
struct buf *control_out(struct control *c);

int64_t control_due_ms(const struct control *c); /* INT64_MAX: never */
void control_tick(struct control *c, int64_t now_ms);

enum control_state control_state(const struct control *c);
const char *control_auth_url(const struct control *c); /* "" */
const char *control_last_error(const struct control *c); /* "" */
const char *control_state_name(enum control_state s);
