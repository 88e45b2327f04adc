/* What comes out of the tunnel on its way to the TUN: any packets, each behind two bytes of length, put together.
 * Nothing is lost or changed but headers of merged ones, and a merged packet can be cut again into as many. */
#include <stdlib.h>
#include <string.h>

#include "client/tun/offload.h"
#include "common/base/reader.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct tun_merge m;
static uint8_t flat[1 << 17], out[1 << 18];

static void check_group(unsigned i)
{
	struct iovec iov[TUN_GROUP_MAX + 1];
	struct wg_packet pkts[TUN_GROUP_MAX + 1];
	struct tun_split split;
	struct vnet v;
	size_t n = tun_merge_iov(&m, i, iov), len = 0;

	if (n < 2 || n > TUN_GROUP_MAX + 1 || vnet_parse(bytes_of(iov[0].iov_base, iov[0].iov_len), &v) != OK)
		abort();
	for (size_t k = 1; k < n; k++) {
		memcpy(flat + len, iov[k].iov_base, iov[k].iov_len);
		len += iov[k].iov_len;
	}
	if (len > TUN_PACKET_MAX)
		abort();
	if (n == 2)
		return;
	if (tun_split_init(&split, &v, flat, len) != OK ||
		tun_split_step(&split, out, sizeof out, pkts, TUN_GROUP_MAX + 1) != n - 1)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *copy = malloc(size ? size : 1); /* merging writes into what it merges */

	if (!copy)
		abort();
	if (size)
		memcpy(copy, data, size);
	struct reader r = rd_init(bytes_of(copy, size));
	tun_merge_init(&m, true, true);
	while (!r.bad && r.rest.n) {
		size_t n = rd_u16le(&r);
		struct bytes p = rd_take(&r, n < r.rest.n ? n : r.rest.n);

		if (p.n > TUN_PACKET_MAX - 20 || !tun_merge_add(&m, (uint8_t *)(uintptr_t)p.p, p.n))
			break;
	}
	for (unsigned i = 0; i < m.n_groups; i++)
		check_group(i);
	free(copy);
	return 0;
}
