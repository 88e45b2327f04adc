/* upgrade: which requests leave HTTP for ts2021 or DERP, and the answers that take them there or refuse them.
 *
 * Facts: protocol/control.md 2.1 and 2.2 (tailscale@de9ec7ee2 control/controlhttp/), protocol/derp.md 2.1 and 2.2
 * (derp/derpserver/handler.go, websocket.go). Bytes of the input after the request's head belong to the new protocol. */
#pragma once

#include "common/http/http1.h"

enum upgrade_kind {
	UPGRADE_NONE,	   /* another path: an ordinary request */
	UPGRADE_TS2021,	   /* native: Noise records follow */
	UPGRADE_TS2021_WS, /* the same inside WebSocket messages */
	UPGRADE_DERP,	   /* native: DERP frames follow */
	UPGRADE_DERP_WS,
	UPGRADE_REFUSED, /* send upgrade_write_refusal and close */
};

enum {
	UPGRADE_INITIATION_MAX = 192,  /* the real one has 101 bytes; Noise judges it */
	UPGRADE_WS_ACCEPT_LEN = 28,
};

struct upgrade {
	enum upgrade_kind kind;
	/* ts2021: the client's Noise initiation, decoded */
	uint8_t initiation[UPGRADE_INITIATION_MAX];
	size_t initiation_len;
	/* DERP */
	bool fast_start;		/* native only: no HTTP answer at all */
	bool not_ideal;			/* the client would rather be at another node (Ideal-Node header) */
	/* WebSocket */
	char ws_accept[UPGRADE_WS_ACCEPT_LEN + 1];
	/* refused */
	unsigned status;
	const char *text; /* static */
};

/* Never fails: what is wrong with an upgrade is told by kind. */
void upgrade_detect(const struct http1_request *r, struct upgrade *out);

/* The 101 answer (nothing for a DERP fast start). derp_pub: the server's node key, for the DERP kinds. */
void upgrade_write_101(const struct upgrade *u, const uint8_t derp_pub[32], struct buf *out);
void upgrade_write_refusal(const struct upgrade *u, struct buf *out);

/* The client's half. host: what the Host header says. */
void upgrade_write_ts2021_request(struct buf *out, const char *host, struct bytes initiation);
void upgrade_write_derp_request(struct buf *out, const char *host, bool fast_start);
/* key: 16 fresh random bytes. protocol: the subprotocol. */
void upgrade_write_ws_request(struct buf *out, const char *host, struct bytes target, const uint8_t key[16],
		const char *protocol);
/* The 101 to a request of ours: the Upgrade value (case ignored) and, with a key, Sec-WebSocket-Accept. */
bool upgrade_is_accepted(const struct http1_response *r, const char *protocol, const uint8_t *ws_key);
