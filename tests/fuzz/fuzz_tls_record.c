/* Records as a peer may send them: the input as it is, and the input sealed with the right keys, as types of its own choice.
 * Nothing may be written past what is promised, and what is bad stays bad. */
#include <stdlib.h>
#include <string.h>

#include "common/base/cleanup.h"
#include "common/net/tls_record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { ROOM = TLS_RECORD_PLAIN_MAX + 256 };

static void open_all(struct tls_record *r, struct bytes raw, size_t cap)
{
	uint8_t *dst = malloc(cap ? cap : 1);
	enum tls_record_step step = TLS_RECORD_NONE;

	while (dst && (step == TLS_RECORD_NONE || step == TLS_RECORD_GOT)) {
		size_t used = 0, n = 0;

		step = tls_record_open(r, raw, dst, cap, &used, &n);
		if (used > raw.n || n > cap || (step == TLS_RECORD_ROOM && cap >= ROOM))
			abort();
		if ((step == TLS_RECORD_NONE || step == TLS_RECORD_GOT) && !used)
			abort();
		raw = bytes_skip(raw, used);
	}
	if (step == TLS_RECORD_BAD && !tls_record_why(r)[0])
		abort();
	free(dst);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const unsigned suites[] = { TLS_SUITE_AES128, TLS_SUITE_AES256, TLS_SUITE_CHACHA };
	struct tls_secrets s = { .in = { 1 }, .out = { 1 } }; /* the same both ways: it opens what it seals */
	struct tls_record *r;
	static uint8_t sealed[4 * TLS_RECORD_MAX];
	size_t at = 0;

	if (size < 2)
		return 0;
	unsigned suite = suites[data[0] % 3];
	size_t cap = data[0] & 0x80 ? data[1] : ROOM;
	s.in_n = s.out_n = suite == TLS_SUITE_AES256 ? 48 : 32;
	struct bytes in = bytes_skip(bytes_of(data, size), 2);
	if (tls_record_new(suite, &s, &r) != OK)
		abort();
	if (data[0] & 0x40) {
		open_all(r, in, cap);
	} else {
		while (in.n >= 2 && at + TLS_RECORD_MAX < sizeof sealed) { /* type, length, content */
			struct bytes piece = bytes_first(bytes_skip(in, 2), in.p[1]);
			size_t n = tls_record_seal(r, (enum tls_record_type)in.p[0], piece, sealed + at);

			if (n != piece.n + TLS_RECORD_OVERHEAD)
				abort();
			at += n;
			in = bytes_skip(in, 2 + piece.n);
		}
		open_all(r, bytes_of(sealed, at), cap);
	}
	tls_record_free(r);
	return 0;
}
