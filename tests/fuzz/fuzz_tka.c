/* Tailnet lock's objects: an update, and a signature of a node key. What parses must verify or be refused, never crash, and an update's hash
 * must be that of its bytes. */
#include <stdlib.h>
#include <string.h>

#include "common/crypto/blake2s.h"
#include "common/wire/tka_chain.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes in = bytes_of(data, size);
	struct tka_aum a;
	struct tka_chain *c;
	struct tka_hash h;
	struct node_pub node;
	uint8_t key_id[32], hash[32];
	const char *why;

	if (tka_aum_parse(in, &a) == OK) {
		blake2s(hash, sizeof hash, (struct bytes){ 0 }, in);
		if (memcmp(hash, a.hash.b, sizeof hash) != 0)
			abort();
	}
	if (tka_chain_new(&c) == OK) {
		if (tka_chain_add(c, in, &h, &why) == OK && tka_nks_subject(in, &node, key_id) == OK)
			abort(); /* no bytes are both */
		tka_chain_free(c);
	}
	if (tka_nks_subject(in, &node, key_id) == OK) {
		struct tka_state s;
		if (tka_state_init(&s) == OK) {
			if (tka_nks_authorizes(in, &s, &node) == OK)
				abort(); /* nobody is trusted */
			tka_state_done(&s);
		}
	}
	return 0;
}
