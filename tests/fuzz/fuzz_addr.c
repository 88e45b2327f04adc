/* Addresses: what parses, prints to a text that parses to the same. Hex and base64 along with them. */
#include <stdlib.h>

#include "common/base/cleanup.h"
#include "common/net/addr.h"
#include "common/text/base64.h"
#include "common/text/hex.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool ok)
{
	if (!ok)
		abort();
}

static void texts(struct bytes in)
{
	uint8_t out[256];
	char text[600];
	size_t n;

	if (in.n > 200)
		return;
	check(hex_decode(bytes_str(hex_encode(in, text)), out, in.n) == OK && bytes_eq(in, bytes_of(out, in.n)));
	check(base64_decode(bytes_str(base64_encode(in, text)), out, sizeof out, &n) == OK && bytes_eq(in, bytes_of(out, n)));
	if (base64_decode(in, out, sizeof out, &n) == OK)
		check(bytes_eq_str(in, base64_encode(bytes_of(out, n), text)));
	if (base64url_decode(in, out, sizeof out, &n) == OK)
		check(bytes_eq_str(in, base64url_encode(bytes_of(out, n), text)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes in = bytes_of(data, size);
	char text[ADDRPORT_TEXT_MAX];
	struct addr a, a2;
	struct addrport ap, ap2;
	struct prefix p, p2;

	texts(in);
	if (addr_parse(in, &a) == OK)
		check(addr_parse(bytes_str(addr_text(a, text)), &a2) == OK && addr_eq(a, a2));
	if (addrport_parse(in, &ap) == OK)
		check(addrport_parse(bytes_str(addrport_text(ap, text)), &ap2) == OK && addrport_eq(ap, ap2));
	if (prefix_parse(in, &p) == OK) {
		check(prefix_parse(bytes_str(prefix_text(p, text)), &p2) == OK && prefix_cmp(p, p2) == 0);
		check(prefix_contains(p, p.addr) && prefix_covers(prefix_mask(p), p));
	}
	return 0;
}
