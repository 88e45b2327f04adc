/* tls_record: TLS 1.3 records of an established connection, opened and sealed without OpenSSL's SSL object: bytes in, bytes out.
 *
 * OpenSSL does the handshake and then gives up its traffic secrets (tls.c). What is left is little: AEAD records, alerts and
 * KeyUpdate; everything else that may come after a handshake is refused. Why: SSL_read costs 540 ns a small record, this 240,
 * and an SSL object 14 KiB a connection (docs/architecture.md). Specification: RFC 8446 5, 4.6.3, 6, 7.1 to 7.3. */
#pragma once

#include "common/base/bytes.h"

enum {
	TLS_RECORD_PLAIN_MAX = 16 << 10,
	TLS_RECORD_HEADER_LEN = 5,
	TLS_RECORD_OVERHEAD = TLS_RECORD_HEADER_LEN + 1 + 16,	/* header, inner type, tag: of what we seal */
	TLS_RECORD_MAX = TLS_RECORD_HEADER_LEN + TLS_RECORD_PLAIN_MAX + 256, /* that we take */
	TLS_SECRET_MAX = 48,
	TLS_RECORD_IDLE_MAX = 32,	/* records in a row that carry no data; more closes the connection */
	/* Each KeyUpdate of the peer costs us what thirty records cost: the first 32 are free, then it must have sent so many
	 * records of data for each. No client that we know of makes any. */
	TLS_RECORD_UPDATES_FREE = 32,
	TLS_RECORD_UPDATE_COST = 32,
	TLS_RECORD_REKEY_AFTER = 1 << 24, /* records sealed with one key: RFC 8446 5.5 */
};

/* Cipher suites by their number on the wire: all that TLS 1.3 in OpenSSL offers by default. */
enum tls_suite { TLS_SUITE_AES128 = 0x1301, TLS_SUITE_AES256 = 0x1302, TLS_SUITE_CHACHA = 0x1303 };

/* Application traffic secrets, of the length of the suite's hash. */
struct tls_secrets {
	uint8_t in[TLS_SECRET_MAX], out[TLS_SECRET_MAX];
	size_t in_n, out_n;
};

enum tls_record_type { TLS_RECORD_ALERT = 21, TLS_RECORD_HANDSHAKE = 22, TLS_RECORD_DATA = 23 };
enum tls_alert {
	TLS_ALERT_CLOSE_NOTIFY = 0,
	TLS_ALERT_UNEXPECTED_MESSAGE = 10,
	TLS_ALERT_BAD_RECORD_MAC = 20,
	TLS_ALERT_RECORD_OVERFLOW = 22,
	TLS_ALERT_ILLEGAL_PARAMETER = 47,
	TLS_ALERT_DECODE_ERROR = 50,
	TLS_ALERT_INTERNAL_ERROR = 80,
	TLS_ALERT_USER_CANCELED = 90,
};

struct tls_record;

/* Nothing has been sealed with the secrets yet. ERR_UNSUPPORTED: another suite, or secrets of another length. */
MUST_USE err tls_record_new(unsigned suite, const struct tls_secrets *s, struct tls_record **out);
void tls_record_free(struct tls_record *r); /* wipes keys; NULL is fine */

enum tls_record_step {
	TLS_RECORD_GOT,	 /* n bytes of data are at dst */
	TLS_RECORD_NONE, /* a record without data was used up: go on */
	TLS_RECORD_MORE, /* raw holds no whole record */
	TLS_RECORD_ROOM, /* dst is too small: TLS_RECORD_PLAIN_MAX + 256 is always enough */
	TLS_RECORD_END,	 /* the peer says that it sends no more */
	TLS_RECORD_BAD,	 /* tls_record_why; tls_record_alert is what to tell the peer. Nothing more is opened */
};

/* Opens the record at the front of raw, which takes up used bytes (GOT, NONE, END). dst has room for cap bytes, all of which
 * may be written to; what is there is no data unless the result is GOT. raw and dst do not overlap. */
enum tls_record_step tls_record_open(struct tls_record *r, struct bytes raw, uint8_t *dst, size_t cap, size_t *used, size_t *n);
const char *tls_record_why(const struct tls_record *r); /* static text */
enum tls_alert tls_record_alert(const struct tls_record *r);

/* Seals b, at most TLS_RECORD_PLAIN_MAX bytes, to dst, which has room for TLS_RECORD_OVERHEAD more. Returns how many bytes
 * that made; 0: OpenSSL failed. */
size_t tls_record_seal(struct tls_record *r, enum tls_record_type type, struct bytes b, uint8_t *dst);
/* New keys are due to the peer (it asked for them, or these are worn out): tls_record_update says so to the peer, as one
 * sealed record, and uses them from then on. Same room and result as above. */
bool tls_record_owes_update(const struct tls_record *r);
size_t tls_record_update(struct tls_record *r, uint8_t *dst);
/* For a client whose server offers tickets: they are thrown away instead of refused. */
void tls_record_skip_tickets(struct tls_record *r);
/* Instead of TLS_RECORD_REKEY_AFTER, for tests. */
void tls_record_rekey_after(struct tls_record *r, uint64_t records);
