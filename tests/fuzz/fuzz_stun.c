/* Both parsers; an accepted answer is written again and read back to the same address. */
#include <stdlib.h>
#include <string.h>

#include "common/wire/stun.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes in = bytes_of(data, size);
	struct stun_txid txid, again_txid;
	struct addrport a, again;
	uint8_t out[STUN_RESPONSE_MAX];

	if (stun_parse_request(in, &txid) == OK && !stun_looks_like(in))
		abort();
	if (stun_parse_response(in, &txid, &a) == OK) {
		size_t n = stun_write_response(out, &txid, a);

		if (n > STUN_RESPONSE_MAX || stun_parse_response(bytes_of(out, n), &again_txid, &again) != OK ||
			memcmp(&txid, &again_txid, sizeof txid) != 0 || !addrport_eq(a, again))
			abort();
	}
	return 0;
}
