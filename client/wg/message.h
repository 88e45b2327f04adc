/* message: the four WireGuard messages as bytes. Formats only: no keys, no state, no allocation. Their numbers are
 * little-endian; the three bytes after the type are zero, and a message where they are not is not WireGuard's.
 *
 * Facts: protocol/wireguard.md 1 to 3 (wireguard-go@f333402b device/noise-protocol.go). */
#pragma once

#include "common/base/bytes.h"

enum wg_type {
	WG_INITIATION = 1,
	WG_RESPONSE = 2,
	WG_COOKIE_REPLY = 3,
	WG_TRANSPORT = 4,
};

enum {
	WG_INITIATION_LEN = 148,
	WG_RESPONSE_LEN = 92,
	WG_COOKIE_REPLY_LEN = 64,
	WG_HANDSHAKE_MAX = WG_INITIATION_LEN, /* the longest message that is not transport */
	WG_HEADER_LEN = 16,                   /* of a transport message */
	WG_TAG_LEN = 16,
	WG_OVERHEAD = WG_HEADER_LEN + WG_TAG_LEN,
	WG_MAC_LEN = 16,
	WG_COOKIE_LEN = 16,
	WG_TIMESTAMP_LEN = 12,
};

struct wg_initiation {
	uint32_t sender;
	uint8_t ephemeral[32];
	uint8_t sealed_static[32 + WG_TAG_LEN];
	uint8_t sealed_timestamp[WG_TIMESTAMP_LEN + WG_TAG_LEN];
};

struct wg_response {
	uint32_t sender, receiver;
	uint8_t ephemeral[32];
	uint8_t sealed_nothing[WG_TAG_LEN];
};

struct wg_cookie_reply {
	uint32_t receiver;
	uint8_t nonce[24];
	uint8_t sealed_cookie[WG_COOKIE_LEN + WG_TAG_LEN];
};

struct wg_transport {
	uint32_t receiver;
	uint64_t counter;
	struct bytes sealed; /* borrowed: everything after the header */
};

/* The two MACs at the end of initiations and responses, and what each is computed over. Borrowed. */
struct wg_macs {
	struct bytes under_mac1, mac1;
	struct bytes under_mac2, mac2;
};

/* ERR_MALFORMED: wrong length for its type, unknown type, or reserved bytes set. One-byte datagrams are normal
 * (official clients send them as a workaround for a kernel fault, wireguard.md 6.3): drop without a word. */
MUST_USE err wg_message_type(struct bytes in, enum wg_type *out);

/* The parsers want a message whose type was told by wg_message_type; anything else is ERR_MALFORMED. */
MUST_USE err wg_parse_initiation(struct bytes in, struct wg_initiation *out);
MUST_USE err wg_parse_response(struct bytes in, struct wg_response *out);
MUST_USE err wg_parse_cookie_reply(struct bytes in, struct wg_cookie_reply *out);
MUST_USE err wg_parse_transport(struct bytes in, struct wg_transport *out);

/* Initiations and responses are written with zeros for both MACs; wg_sign (cookie.h) fills them. */
void wg_write_initiation(const struct wg_initiation *m, uint8_t out[WG_INITIATION_LEN]);
void wg_write_response(const struct wg_response *m, uint8_t out[WG_RESPONSE_LEN]);
void wg_write_cookie_reply(const struct wg_cookie_reply *m, uint8_t out[WG_COOKIE_REPLY_LEN]);
/* The header alone: the sealed packet follows it in place. */
void wg_write_transport(uint32_t receiver, uint64_t counter, uint8_t out[WG_HEADER_LEN]);

/* m: an initiation or response of its exact length. */
struct wg_macs wg_message_macs(struct bytes m);
/* The sender's index of an initiation or response. */
uint32_t wg_message_sender(struct bytes m);
