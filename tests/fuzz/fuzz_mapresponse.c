/* A map message from a hostile server, plain or zstd by its first byte: parsed, applied to a netmap that has peers, and
 * written as the cache would be, which must be readable again. */
#include <stdlib.h>
#include <zstd.h>

#include "client/control/mapparse.h"
#include "common/base/cleanup.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	static struct map_scratch *s;
	static ZSTD_DCtx *d;
	CLEANUP(netmap_done) struct netmap nm = { 0 };
	struct map_update u;
	struct map_why why;

	if (!s)
		s = map_scratch_new();
	if (!d)
		d = ZSTD_createDCtx();
	if (n < 1 || !s || !d)
		return 0;
	netmap_init(&nm);
	for (bool fresh = true;; fresh = false) { /* once as the first message, once as a delta */
		if (map_parse(s, bytes_of(p + 1, n - 1), p[0] & 1 ? d : NULL, &u, &why) != OK)
			return 0;
		if (netmap_apply(&nm, &u, fresh, 1700000000000, NULL) != OK)
			return 0;
		if (!fresh)
			break;
	}
	CLEANUP(buf_done) struct buf out = buf_make(MAP_PLAIN_MAX);
	netmap_write(&nm, &out);
	if (out.bad || map_parse(s, buf_view(&out), NULL, &u, &why) != OK)
		abort();
	map_update_done(&u);
	return 0;
}
