#include "common/net/metacert.h"

#include <sodium.h>

#include "common/base/cleanup.h"
#include "common/base/clock.h"
#include "common/base/random.h"
#include "common/base/secret.h"
#include "common/base/writer.h"

/* Written by hand: OpenSSL refuses a CommonName above 64 characters and this one has 71. All lengths are fixed.
 * Facts: protocol/derp.md 3.2 (tailscale@de9ec7ee2 derp/derpserver/derpserver.go, initMetacert). */
enum {
	TBS_LEN = 281, /* with its header */
	DERP_VERSION = 2,
	VALID_DAYS = 30,
};

static void put_text(struct writer *w, const char *s)
{
	wr_bytes(w, bytes_str(s));
}

#define PUT(w, ...)                                                                                                    \
	do {                                                                                                           \
		static const uint8_t der_[] = { __VA_ARGS__ };                                                         \
		wr_bytes((w), bytes_of(der_, sizeof der_));                                                            \
	} while (0)

/* SEQUENCE { OID 1.3.101.112 }: Ed25519. */
static void put_algorithm(struct writer *w)
{
	PUT(w, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70);
}

/* One RDN: CN = "derpkey" and 64 hex digits, PrintableString. */
static void put_name(struct writer *w, const uint8_t derp_pub[32])
{
	char hex[65];

	sodium_bin2hex(hex, sizeof hex, derp_pub, 32);
	PUT(w, 0x30, 0x52, 0x31, 0x50, 0x30, 0x4e, 0x06, 0x03, 0x55, 0x04, 0x03, 0x13, 0x47);
	put_text(w, "derpkey");
	put_text(w, hex);
}

/* UTCTime, YYMMDDHHMMSSZ. It ends with 2049; later dates are written as its last day. */
static void put_time(struct writer *w, int64_t wall_ms)
{
	const int64_t last_ms = 2524607999000LL; /* 2049-12-31T23:59:59Z */
	char t[RFC3339_MAX];

	time_rfc3339(wall_ms > last_ms ? last_ms : wall_ms - wall_ms % 1000, t);
	PUT(w, 0x17, 0x0d);
	for (size_t i = 2; i < sizeof "2026-01-02T03:04:05" - 1; i += 3)
		wr_bytes(w, bytes_of(t + i, 2));
	wr_u8(w, 'Z');
}

err metacert_make(const uint8_t derp_pub[32], int64_t now_wall_ms, struct buf *der)
{
	const int64_t span_ms = VALID_DAYS * 86400000LL;
	CLEANUP(secret32_wipe) struct secret32 seed;
	uint8_t pub[32], key[64], sig[64], cert[METACERT_LEN];
	struct writer w = wr_init(cert, sizeof cert);

	random_fill(seed.b, sizeof seed.b);
	crypto_sign_seed_keypair(pub, key, seed.b);

	PUT(&w, 0x30, 0x82, 0x01, 0x63);			/* Certificate */
	PUT(&w, 0x30, 0x82, 0x01, 0x15);			/* TBSCertificate */
	PUT(&w, 0xa0, 0x03, 0x02, 0x01, 0x02);			/* version 3 */
	PUT(&w, 0x02, 0x01, DERP_VERSION);			/* serial number */
	put_algorithm(&w);
	put_name(&w, derp_pub);					/* issuer */
	PUT(&w, 0x30, 0x1e);					/* validity */
	put_time(&w, now_wall_ms - span_ms);
	put_time(&w, now_wall_ms + span_ms);
	put_name(&w, derp_pub);					/* subject */
	PUT(&w, 0x30, 0x2a);					/* SubjectPublicKeyInfo */
	put_algorithm(&w);
	PUT(&w, 0x03, 0x21, 0x00);
	wr_bytes(&w, bytes_of(pub, sizeof pub));
	/* extensions: BasicConstraints, critical, empty */
	PUT(&w, 0xa3, 0x10, 0x30, 0x0e, 0x30, 0x0c, 0x06, 0x03, 0x55, 0x1d, 0x13, 0x01, 0x01, 0xff, 0x04, 0x02, 0x30, 0x00);
	crypto_sign_detached(sig, NULL, cert + 4, TBS_LEN, key);
	sodium_memzero(key, sizeof key);
	put_algorithm(&w);
	PUT(&w, 0x03, 0x41, 0x00);
	wr_bytes(&w, bytes_of(sig, sizeof sig));

	buf_append(der, wr_view(&w));
	return der->bad ? ERR_TOO_BIG : OK;
}
