/* ts2021: frames that carry the Noise handshake and records between a node and the control server.
 *
 * Bytes in, structs out, and back: no sockets, no keys, no allocation. The Noise maths is in common/crypto/noise_ik.h,
 * the stream of records in common/crypto/noise_record.h; the socket side is server/ts2021/ and client/control/.
 * All integers are big-endian. Facts: protocol/control.md 3.2 to 3.6 (tailscale@de9ec7ee2
 * control/controlbase/messages.go, conn.go; control/ts2021/conn.go). */
#pragma once

#include "common/base/bytes.h"
#include "common/base/writer.h"

enum ts2021_type {
	TS2021_INITIATION = 1,
	TS2021_RESPONSE = 2,
	TS2021_ERROR = 3,
	TS2021_RECORD = 4,
};

enum {
	TS2021_INITIATION_LEN = 101, /* bytes, the 5-byte header included */
	TS2021_RESPONSE_LEN = 51,
	TS2021_HEADER_LEN = 3,   /* of every frame but the initiation */
	TS2021_FRAME_MAX = 4096, /* header included; a client drops the connection above it */
	TS2021_BODY_MAX = TS2021_FRAME_MAX - TS2021_HEADER_LEN, /* of a record: ciphertext and tag */
	TS2021_PLAIN_MAX = TS2021_BODY_MAX - 16,
	TS2021_EARLY_HEADER_LEN = 9, /* magic and length */
	TS2021_EARLY_MAX = 10 << 20, /* bytes of JSON that a client accepts */
};

/* First frame from a node; over HTTP it travels in the upgrade request, in base64. Views are borrowed from the input.
 */
struct ts2021_initiation {
	uint16_t version;           /* capability version; also mixed into the Noise prologue */
	struct bytes noise;         /* the 96 bytes that noise_respond takes; the next three are its parts */
	struct bytes ephemeral_pub; /* 32 bytes, clear */
	struct bytes machine_pub;   /* 32 + 16 bytes, sealed */
	struct bytes tag;           /* 16 bytes */
};

/* ERR_TRUNCATED: come back with more bytes. ERR_MALFORMED: drop the connection. Bytes after the frame do not matter. */
MUST_USE err ts2021_parse_initiation(struct bytes in, struct ts2021_initiation *out);
/* noise: the 96 bytes that noise_initiator_start wrote. */
void ts2021_write_initiation(struct writer *w, uint16_t version, struct bytes noise);

/* What the server answers, and every later frame: type and body. */
struct ts2021_frame {
	enum ts2021_type type;
	struct bytes body; /* borrowed */
	size_t len;        /* whole frame, header included */
};

/* The answer to an initiation, as a client reads it. TS2021_RESPONSE: body is the 48 bytes that noise_initiator_finish
 * takes. TS2021_ERROR: body is the server's text, in the clear and from whoever sits in between: show, never trust.
 * ERR_MALFORMED: another type, or a response of another length. ERR_TOO_BIG: an error text above FRAME_MAX. */
MUST_USE err ts2021_parse_answer(struct bytes in, struct ts2021_frame *out);
void ts2021_write_response(struct writer *w, struct bytes noise); /* noise: 48 bytes from noise_respond */
/* text is cut to TS2021_BODY_MAX. */
void ts2021_write_error(struct writer *w, struct bytes text);

/* A record, header and sealed body. ERR_MALFORMED: another type, or a body without room for a tag.
 * ERR_TOO_BIG: longer than a frame may be. Both are known once the three header bytes are there. */
MUST_USE err ts2021_parse_record(struct bytes in, struct ts2021_frame *out);
/* body_len: plaintext + 16. */
void ts2021_write_record_header(struct writer *w, size_t body_len);

/* The optional early payload, first thing in the server's plaintext stream: magic, length, JSON.
 * OK: *json is borrowed from in and *used is what to skip. ERR_NOT_FOUND: the stream starts with something else, which
 * is HTTP/2. ERR_TRUNCATED: too few bytes to tell, or the JSON is not complete. ERR_TOO_BIG: above TS2021_EARLY_MAX. */
MUST_USE err ts2021_parse_early(struct bytes in, struct bytes *json, size_t *used);
void ts2021_write_early_header(struct writer *w, uint32_t json_len);
