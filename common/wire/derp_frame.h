/* derp_frame: the frames of the DERP relay protocol, version 2, as a server, a client and a mesh peer see them.
 *
 * Bytes in, structs out, and back: no sockets, no keys, no decisions. The boxes inside ClientInfo and ServerInfo are
 * opened with common/crypto/box.h, between derp_parse_client_info and derp_parse_client_info_json. Frame: type u8, len
 * u32 of the payload, payload; integers big-endian. Facts: protocol/derp.md 4 and 5 (tailscale@de9ec7ee2 derp/derp.go,
 * derp_client.go, derpserver/derpserver.go).
 *
 * Writers put one whole frame; w->bad says that it did not fit. DERP_SHORT_MAX bytes hold any frame but those that
 * carry packets, text or JSON. */
#pragma once

#include "common/base/buf.h"
#include "common/base/bytes.h"
#include "common/base/writer.h"
#include "common/crypto/keys.h"
#include "common/net/addr.h"

enum derp_type {
	DERP_SERVER_KEY = 0x01,
	DERP_CLIENT_INFO = 0x02,
	DERP_SERVER_INFO = 0x03,
	DERP_SEND_PACKET = 0x04,
	DERP_RECV_PACKET = 0x05,
	DERP_KEEP_ALIVE = 0x06,
	DERP_NOTE_PREFERRED = 0x07,
	DERP_PEER_GONE = 0x08,
	DERP_PEER_PRESENT = 0x09,
	DERP_FORWARD_PACKET = 0x0a,
	DERP_WATCH_CONNS = 0x10,
	DERP_CLOSE_PEER = 0x11,
	DERP_PING = 0x12,
	DERP_PONG = 0x13,
	DERP_HEALTH = 0x14,
	DERP_RESTARTING = 0x15,
};

enum {
	DERP_PROTOCOL_VERSION = 2,
	DERP_HEADER_LEN = 5,
	DERP_KEY_LEN = 32,
	DERP_RECV_HEADER_LEN = DERP_HEADER_LEN + DERP_KEY_LEN, /* before the packet in SendPacket and RecvPacket */
	DERP_FORWARD_HEADER_LEN = DERP_HEADER_LEN + 2 * DERP_KEY_LEN, /* and in ForwardPacket */
	DERP_PACKET_MAX = 65536,
	DERP_FRAME_MAX = 1 << 20,   /* payload of any frame; above it the connection closes */
	DERP_SERVER_KEY_MAX = 1024, /* payload; later versions may add bytes after the key */
	DERP_CLIENT_INFO_MIN = 32 + 24,
	DERP_CLIENT_INFO_MAX = 256 << 10,
	DERP_INFO_JSON_MAX = 16 << 10, /* ours: JSON inside ClientInfo and ServerInfo that we take apart */
	DERP_PING_MIN = 8,
	DERP_PING_MAX = 1000,
	DERP_SHORT_MAX = 64,
};

/* ---- framing -------------------------------------------------------------------------------------------------- */

struct derp_header {
	uint8_t type; /* enum derp_type, or one that we do not know: skip its payload */
	uint32_t len; /* payload */
};

/* ERR_TRUNCATED: fewer than five bytes. */
MUST_USE err derp_parse_header(struct bytes in, struct derp_header *out);
void derp_write_header(struct writer *w, enum derp_type type, size_t len);

/* The length rules, to be asked as soon as the header is there. ERR_MALFORMED or ERR_TOO_BIG: close the connection. */
MUST_USE err derp_server_check(struct derp_header h); /* from a client or mesh peer */
MUST_USE err derp_client_check(struct derp_header h); /* from a server: only sizes; short payloads are skipped later */

struct derp_frame {
	uint8_t type;
	struct bytes payload; /* borrowed */
	size_t len;           /* whole frame, header included */
};

/* The frame at the front of in, checked by check (one of the two above). ERR_TRUNCATED: wait for more bytes. */
MUST_USE err derp_parse_frame(struct bytes in, err (*check)(struct derp_header h), struct derp_frame *out);

/* ---- payloads -------------------------------------------------------------------------------------------------
 * Parsers take the payload. ERR_MALFORMED: a server closes the connection, a client skips the frame. */

MUST_USE err derp_parse_server_key(struct bytes payload, struct node_pub *out);
void derp_write_server_key(struct writer *w, const struct node_pub *key);

struct derp_client_info_frame {
	struct node_pub key; /* claimed until the box opens; never the zero key */
	struct bytes sealed; /* nonce || box for box_open; borrowed */
};
MUST_USE err derp_parse_client_info(struct bytes payload, struct derp_client_info_frame *out);
void derp_write_client_info(struct writer *w, const struct node_pub *key, struct bytes sealed);

/* ServerInfo's payload is the sealed JSON itself. */
void derp_write_server_info(struct writer *w, struct bytes sealed);

enum { DERP_APP_NAME_MAX = 64 };
struct derp_client_info {
	int64_t version;
	bool can_ack_pings, is_prober;
	bool has_mesh_key;
	struct secret32 mesh_key;
	char app_name[DERP_APP_NAME_MAX]; /* cut, for statistics; UTF-8 */
};
/* Names are matched without regard to case and unknown ones ignored, as Go does. ERR_MALFORMED: no JSON object, a field
 * of another type, or a mesh key that is not 64 hex digits. ERR_TOO_BIG: above DERP_INFO_JSON_MAX. */
MUST_USE err derp_parse_client_info_json(struct bytes json, struct derp_client_info *out);
/* In the official client's order, without what is unset. ERR_TOO_BIG, ERR_NOMEM: as buf. */
MUST_USE err derp_write_client_info_json(const struct derp_client_info *ci, struct buf *out);

struct derp_server_info {
	int64_t version;
	int64_t bytes_per_second, bytes_burst; /* 0: the server sets no limit */
};
MUST_USE err derp_parse_server_info_json(struct bytes json, struct derp_server_info *out);
MUST_USE err derp_write_server_info_json(const struct derp_server_info *si, struct buf *out);

/* SendPacket (key = destination) and RecvPacket (key = source). The packet is borrowed and may be empty. */
struct derp_packet {
	struct node_pub key;
	struct bytes packet;
};
MUST_USE err derp_parse_packet(struct bytes payload, struct derp_packet *out);
/* Header and key; packet_len bytes must follow. type: DERP_SEND_PACKET or DERP_RECV_PACKET. */
void derp_write_packet_header(struct writer *w, enum derp_type type, const struct node_pub *key, size_t packet_len);

struct derp_forward {
	struct node_pub src, dst;
	struct bytes packet;
};
MUST_USE err derp_parse_forward(struct bytes payload, struct derp_forward *out);
void derp_write_forward_header(
	struct writer *w, const struct node_pub *src, const struct node_pub *dst, size_t packet_len);

/* Relaying without moving the packet. frame is a whole, parsed SendPacket or ForwardPacket; its header and keys are
 * overwritten, and the view returned is the RecvPacket to send on, lying inside frame. */
struct bytes derp_send_to_recv(uint8_t *frame, size_t len, const struct node_pub *src);
struct bytes derp_forward_to_recv(uint8_t *frame, size_t len);

void derp_write_keep_alive(struct writer *w);

MUST_USE err derp_parse_note_preferred(struct bytes payload, bool *home);
void derp_write_note_preferred(struct writer *w, bool home);

enum derp_gone { DERP_GONE_DISCONNECTED = 0x00, DERP_GONE_NOT_HERE = 0x01 };
struct derp_peer_gone {
	struct node_pub key;
	uint8_t reason; /* enum derp_gone, or one of the future */
};
MUST_USE err derp_parse_peer_gone(struct bytes payload, struct derp_peer_gone *out);
void derp_write_peer_gone(struct writer *w, const struct node_pub *key, enum derp_gone reason);

enum { DERP_PRESENT_REGULAR = 1, DERP_PRESENT_MESH = 2, DERP_PRESENT_PROBER = 4, DERP_PRESENT_NOT_IDEAL = 8 };
struct derp_peer_present {
	struct node_pub key;
	struct addrport addr; /* family 0: an old server that does not say */
	uint8_t flags;        /* DERP_PRESENT_…; REGULAR only when no other is set */
};
MUST_USE err derp_parse_peer_present(struct bytes payload, struct derp_peer_present *out);
void derp_write_peer_present(struct writer *w, const struct derp_peer_present *p);

void derp_write_watch_conns(struct writer *w);

MUST_USE err derp_parse_close_peer(struct bytes payload, struct node_pub *out);
void derp_write_close_peer(struct writer *w, const struct node_pub *key);

struct derp_ping {
	uint8_t b[8];
};
MUST_USE err derp_parse_ping(struct bytes payload, struct derp_ping *out); /* Ping and Pong; extra bytes are ignored */
void derp_write_ping(struct writer *w, enum derp_type type, const struct derp_ping *p); /* DERP_PING or DERP_PONG */

/* Health's payload is UTF-8 text, empty when the problem is gone. text is cut to 1024 bytes. */
void derp_write_health(struct writer *w, struct bytes text);

struct derp_restarting {
	uint32_t reconnect_in_ms, try_for_ms;
};
MUST_USE err derp_parse_restarting(struct bytes payload, struct derp_restarting *out);
void derp_write_restarting(struct writer *w, const struct derp_restarting *r);
