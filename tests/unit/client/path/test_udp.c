/* Batches over loopback sockets, with each offload on and off: what was sent arrives, in order and in its pieces. */
#include "client/path/udp.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/lib/test.h"

enum { N = 120, SIZE = 1312 };

static struct addrport loopback(uint8_t family)
{
	struct addrport a = { .addr = { .family = family } };

	if (family == 4)
		a.addr = addr_v4(127, 0, 0, 1);
	else
		a.addr.b[15] = 1;
	return a;
}

static uint8_t memory[N * (SIZE + 7)];

/* Sends N datagrams of the lengths that len gives and takes them out at the other side. */
static void exchange(uint8_t family, unsigned tx_want, unsigned rx_want, size_t (*len)(size_t i), size_t gap)
{
	struct udp *tx, *rx;
	struct wg_packet pkts[N], got[16];
	struct udp_rx in[UDP_RX_SLOTS_PLAIN];
	size_t seen = 0, at = 0;

	if (udp_open(loopback(family), 0, tx_want, &tx) != OK) {
		assert_int_equal(family, 6); /* a machine without IPv6 */
		return;
	}
	assert_ok(udp_open(loopback(family), 0, rx_want, &rx));
	for (size_t i = 0; i < N; i++) {
		pkts[i] = (struct wg_packet){ .p = memory + at, .n = len(i) };
		memset(pkts[i].p, (int)i, pkts[i].n);
		at += pkts[i].n + gap;
	}
	assert_ok(udp_send(tx, udp_local(rx), pkts, N));
	assert_int_equal(udp_stats(tx)->sent, N);
	if (tx_want & udp_offloads(tx) & UDP_GSO)
		assert_true(udp_stats(tx)->send_calls < N);
	while (seen < N) {
		struct pollfd p = { .fd = udp_fd(rx), .events = POLLIN };
		size_t n;

		assert_int_equal(poll(&p, 1, 2000), 1);
		n = udp_recv(rx, in);
		for (size_t k = 0; k < n; k++) {
			size_t where = 0, parts;

			assert_true(addrport_eq(in[k].from, udp_local(tx)));
			while ((parts = udp_rx_split(&in[k], &where, got, 16)))
				for (size_t i = 0; i < parts; i++, seen++) {
					assert_true(seen < N);
					assert_int_equal(got[i].n, len(seen));
					assert_int_equal(got[i].p[0], (uint8_t)seen);
					assert_int_equal(got[i].p[got[i].n - 1], (uint8_t)seen);
				}
		}
	}
	assert_int_equal(udp_recv(rx, in), 0);
	udp_close(tx);
	udp_close(rx);
}

static size_t all_equal(size_t i)
{
	(void)i;
	return SIZE;
}

static size_t ragged(size_t i)
{
	return i % 10 == 9 ? 100 + i : i % 17 == 0 ? 1 : SIZE;
}

static size_t shrinking(size_t i)
{
	return SIZE - i;
}

static void test_all(void **state)
{
	(void)state;
	for (unsigned tx = 0; tx < 2; tx++)
		for (unsigned rx = 0; rx < 2; rx++)
			for (uint8_t family = 4; family <= 6; family += 2) {
				unsigned t = tx ? UDP_GSO : 0, r = rx ? UDP_GRO_RX : 0;

				exchange(family, t, r, all_equal, 0);
				exchange(family, t, r, all_equal, 7);
				exchange(family, t, r, ragged, 0);
				exchange(family, t, r, shrinking, 3);
			}
}

static void test_nowhere(void **state)
{
	struct udp *u;
	struct wg_packet p = { .p = memory, .n = 40 };
	struct addrport to = { addr_v4(255, 255, 255, 255), 9 };

	(void)state;
	assert_ok(udp_open(loopback(4), 0, UDP_OFFLOADS, &u));
	assert_int_equal(udp_send(u, to, &p, 1), ERR_SYS); /* broadcasts are not allowed: EACCES */
	assert_int_not_equal(udp_local(u).port, 0);
	struct udp *again;
	assert_int_equal(udp_open(udp_local(u), 0, 0, &again), ERR_SYS);
	udp_close(u);
	udp_close(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all),
		cmocka_unit_test(test_nowhere),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
