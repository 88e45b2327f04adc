#include "derp/inbox.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/cleanup.h"
#include "tests/lib/test.h"

static struct msg_pool pool;
static struct msg_list l;

static void add(uint8_t to, uint32_t number, size_t n, bool disco)
{
	struct node_pub dst = { { to } };
	uint8_t *p = calloc(1, n);

	memcpy(p, &number, sizeof number);
	assert_true(msg_add_packet(&l, &pool, &dst, bytes_of(p, n), disco));
	free(p);
}

/* The numbers that l holds, in order, with those of notices (their id); frees it into the pool. */
static size_t take_all(struct msg_list *from, uint32_t *out, size_t max)
{
	struct msg_list done;
	struct relay_msg *m;
	size_t n = 0;

	msg_list_init(&done);
	while ((m = msg_list_pop(from))) {
		struct node_pub dst;
		uint8_t *p;
		uint32_t len, of_kind = 0;
		size_t at = 0;

		if (m->kind != MSG_PACKETS)
			out[n++] = (uint32_t)m->id;
		while (m->kind == MSG_PACKETS && msg_next_packet(m, &at, &dst, &p, &len)) {
			assert_true(n < max);
			memcpy(&out[n++], p, sizeof out[0]);
			of_kind++;
		}
		assert_int_equal(m->count, of_kind);
		msg_list_add(&done, m);
	}
	msg_recycle(&pool, &done);
	return n;
}

static bool is_disco(uint32_t i)
{
	return i % 31 == 0;
}

/* Large and small, disco and bulk, notices between them: what goes in comes out, in that order but for disco among bulk. */
static void order_is_kept(void **state)
{
	static uint32_t got[4000];
	uint32_t number = 0;

	(void)state;
	for (unsigned round = 0; round < 3; round++) { /* the second with messages that were used before */
		msg_list_init(&l);
		uint32_t first = number, last[2] = { 0 }, notice = 0;
		static bool disco[4000], noticed[4000];
		for (unsigned i = 0; i < 1000; i++) {
			add((uint8_t)(i % 7), number, i % 97 == 0 ? 65573 : 4 + i % 1500, is_disco(i));
			disco[number++] = is_disco(i);
			if (i % 200 == 0) {
				struct relay_msg *m = msg_new(MSG_PEER_GONE, NULL, NULL, 0);

				assert_non_null(m);
				noticed[number] = true;
				m->id = number++;
				msg_list_add(&l, m);
			}
		}
		assert_int_equal(take_all(&l, got, ARRAY_LEN(got)), number - first);
		assert_int_equal(l.packet_bytes, 0);
		for (uint32_t i = 0; i < number - first; i++) {
			assert_true(got[i] >= first && got[i] < number);
			if (noticed[got[i]]) {
				assert_int_equal(got[i], first + i); /* all before it, and none after it */
				notice = got[i];
				continue;
			}
			assert_true(got[i] >= notice);
			assert_true(!last[disco[got[i]]] || got[i] > last[disco[got[i]]]);
			last[disco[got[i]]] = got[i];
		}
	}
	msg_pool_done(&pool);
}

/* Somebody who alternates disco and bulk, and forwards between them, takes about the memory of what it sent: what an inbox has
 * no more room for is other people's packets. */
static void alternating_kinds_take_no_more_room(void **state)
{
	static uint32_t got[4000];

	(void)state;
	for (unsigned round = 0; round < 2; round++) { /* with and without messages that may be used again */
		msg_list_init(&l);
		for (uint32_t i = 0; i < 1000; i++)
			add(1, i, 70, i % 2);
		assert_true(l.packet_bytes >= 1000 * 70);
		assert_true(l.packet_bytes < 1000 * 110 + 2 * (64 << 10));
		assert_int_equal(take_all(&l, got, ARRAY_LEN(got)), 1000);
	}
	assert_true(pool.n > 0);
	for (uint32_t i = 0; i < 100; i++) {
		struct relay_msg *m = msg_new(MSG_FORWARD, NULL, calloc(1, 70), 70);

		assert_non_null(m);
		msg_list_add(&l, m);
		add(1, i, 70, false);
	}
	assert_true(l.packet_bytes < 100 * (70 + 110 + sizeof(struct relay_msg)) + (64 << 10));
	assert_int_equal(take_all(&l, got, ARRAY_LEN(got)), 200);
	msg_list_init(&l);
	add(1, 0, 70, false); /* one packet a turn is not 64 KiB of an inbox's room, whatever the pool holds */
	assert_true(pool.n > 0 && l.packet_bytes < 8 << 10);
	assert_int_equal(take_all(&l, got, ARRAY_LEN(got)), 1);
	msg_pool_done(&pool);
}

/* Over the bound the oldest bulk goes, and is counted by packets; notices stay. */
static void the_oldest_bulk_makes_room(void **state)
{
	static uint32_t got[4000];
	struct msg_list dropped;
	struct inbox b;
	unsigned lost = 0;

	(void)state;
	inbox_init(&b);
	msg_list_init(&dropped);
	for (uint32_t turn = 0; turn < 10; turn++) {
		msg_list_init(&l);
		add(1, turn * 1000, 100, true);
		for (uint32_t i = 1; i < 100; i++)
			add(1, turn * 1000 + i, 1000, false);
		assert_int_equal(inbox_deliver(&b, &l, 300000, &dropped), turn == 0);
		assert_true(atomic_load(&b.waiting) <= 300000);
	}
	for (const struct relay_msg *m = dropped.first; m; m = m->next) {
		assert_false(m->disco);
		lost += m->count;
	}
	inbox_take(&b, &l);
	assert_int_equal(atomic_load(&b.waiting), 0);
	size_t n = take_all(&l, got, ARRAY_LEN(got));
	assert_int_equal(n + lost, 1000);
	assert_true(lost > 500 && n > 100);
	for (size_t i = 1; i < n; i++)
		assert_true(got[i] > got[i - 1]);
	assert_int_equal(got[n - 1], 9099);
	msg_list_done(&dropped);
	msg_pool_done(&pool);
	inbox_done(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(order_is_kept),
		cmocka_unit_test(alternating_kinds_take_no_more_room),
		cmocka_unit_test(the_oldest_bulk_makes_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
