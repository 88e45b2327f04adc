/* websocket: frames of an open WebSocket (RFC 6455) as an engine (wslay inside); it presents a byte stream. The opening
 * is upgrade.h's. Bytes in, bytes out; no sockets, no clock.
 *
 * Binary messages only, whose boundaries mean nothing (protocol/control.md 2.2, derp.md 2.2); pings are answered;
 * text is a violation; no extensions. */
#pragma once

#include "common/base/buf.h"

struct websocket;

enum {
	WEBSOCKET_SEND_MAX = 32768,	     /* of one message that we send: the peer's library reads no larger ones */
	WEBSOCKET_RECEIVE_MAX = 128 * 1024,  /* of one message; clients pack a DERP frame of 64 KiB + 37 into one */
	WEBSOCKET_NORMAL = 1000,	     /* close codes */
	WEBSOCKET_GOING_AWAY = 1001,
	WEBSOCKET_VIOLATION = 1008,
};

MUST_USE err websocket_new(bool client, struct websocket **out);
void websocket_free(struct websocket *w);

/* Takes all of in. Payload is appended to data, which needs room for in.n bytes; answers (pongs, closes) to out.
 * ERR_CLOSED: the peer ended it (data before that has been delivered). ERR_MALFORMED: a violation. ERR_TOO_BIG: data or
 * out is full. After each of them send what is in out and close. */
MUST_USE err websocket_read(struct websocket *w, struct bytes in, struct buf *data, struct buf *out);
/* Appends messages that carry data. ERR_CLOSED: we sent a close already; ERR_TOO_BIG: out is full. */
MUST_USE err websocket_send(struct websocket *w, struct bytes data, struct buf *out);
MUST_USE err websocket_ping(struct websocket *w, struct buf *out);
/* Says why we leave; nothing can be sent after it. Twice is fine. */
MUST_USE err websocket_close(struct websocket *w, unsigned code, struct buf *out);
unsigned websocket_close_code(const struct websocket *w); /* that the peer sent; 1005: it sent none */
