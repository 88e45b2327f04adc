/* Clients on two threads of one relay: packets in order and to the right key, switches of the active connection,
 * connects and closes all at once. Run under TSan by make test-tsan. */
#include "derp/relay.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "common/base/cleanup.h"
#include "common/base/random.h"
#include "tests/lib/derp_join.h"
#include "tests/lib/test.h"

enum { WORKERS = 2, PACKETS = 3000, EVERY = 16 };

struct side {
	struct relay_worker *w;
	sem_t wake;
	struct joined j;
	struct node_pub peer;
	unsigned received, last;
	bool saw_gone;
	_Atomic bool connected, done;
	struct side *other;
};

static void wake(void *ctx)
{
	sem_post(&((struct side *)ctx)->wake);
}

static void drain_events(struct side *s)
{
	struct derp_client_event ev;

	while (join_event(&s->j, &ev)) {
		if (ev.kind == DERP_CLIENT_PEER_GONE) {
			s->saw_gone = true;
			continue;
		}
		if (ev.kind == DERP_CLIENT_HEALTH)
			continue;
		assert_int_equal(ev.kind, DERP_CLIENT_PACKET);
		assert_true(node_pub_eq(&ev.packet.key, &s->peer));
		unsigned n;
		assert_int_equal(ev.packet.packet.n, sizeof n);
		memcpy(&n, ev.packet.packet.p, sizeof n);
		assert_true(n > s->last); /* in order, none twice; some may be lost in full queues */
		s->last = n;
		s->received++;
	}
}

static void *run_side(void *arg)
{
	struct side *s = arg;
	struct joined extra;
	unsigned sent = 0;

	join_connect(&s->j, s->w, &s->j.key, 0);
	atomic_store(&s->connected, true);
	while (!atomic_load(&s->other->connected))
		sched_yield();
	while (sent < PACKETS || !atomic_load(&s->other->done)) {
		for (unsigned i = 0; i < EVERY && sent < PACKETS; i++) {
			sent++;
			assert_ok(derp_client_send(&s->j.near, &s->peer, bytes_of(&sent, sizeof sent)));
		}
		join_move(&s->j, 0);
		if (sent % 160 == 0 && sent < PACKETS) { /* another connection of the same key comes and goes */
			join_connect(&extra, s->w, &s->j.key, 0);
			join_close(&extra);
		}
		relay_worker_run(s->w, 0);
		relay_flush(s->w);
		drain_events(s);
		if (sent == PACKETS)
			atomic_store(&s->done, true);
	}
	relay_worker_run(s->w, 0);
	relay_flush(s->w);
	drain_events(s);
	return NULL;
}

static void two_threads_exchange(void **state)
{
	static struct side s[WORKERS];
	struct relay_opts o = { .workers = WORKERS };
	struct relay *r;
	struct relay_stats st;
	pthread_t t[WORKERS];

	(void)state;
	node_key_new(&o.key);
	assert_ok(relay_new(&o, &r));
	for (unsigned i = 0; i < WORKERS; i++) {
		sem_init(&s[i].wake, 0, 0);
		assert_ok(relay_worker_new(r, wake, &s[i], &s[i].w));
		node_key_new(&s[i].j.key);
		s[i].other = &s[1 - i];
	}
	s[0].peer = s[1].j.key.pub;
	s[1].peer = s[0].j.key.pub;
	for (unsigned i = 0; i < WORKERS; i++)
		assert_int_equal(pthread_create(&t[i], NULL, run_side, &s[i]), 0);
	for (unsigned i = 0; i < WORKERS * 50; i++) { /* any thread may read and ask */
		relay_stats_read(r, &st);
		relay_count_keys(r);
		assert_ok(relay_health(r, BYTES_LIT("")));
	}
	for (unsigned i = 0; i < WORKERS; i++)
		pthread_join(t[i], NULL);
	relay_stats_read(r, &st);
	assert_int_equal(st.packets_received, WORKERS * PACKETS);
	assert_true(s[0].received > 0 && s[1].received > 0);

	/* One goes: the other, on another thread, is told. */
	join_close(&s[0].j);
	relay_flush(s[0].w);
	relay_worker_run(s[1].w, 0);
	relay_flush(s[1].w);
	s[1].saw_gone = false;
	drain_events(&s[1]);
	assert_true(s[1].saw_gone);
	/* Revoked from outside. */
	assert_ok(relay_close_key(r, &s[1].j.key.pub));
	relay_worker_run(s[1].w, 0);
	relay_flush(s[1].w);
	assert_true(s[1].j.closed);
	join_close(&s[1].j);
	relay_free(r);
}

static struct side x[WORKERS];

/* Connections of one key on two threads: the one that was active last gets the packet. */
static void one_key_on_two_threads(void **state)
{
	struct relay_opts o = { .workers = WORKERS };
	struct relay *r;
	struct joined a, b0, b1;
	struct derp_client_event ev;

	(void)state;
	node_key_new(&o.key);
	assert_ok(relay_new(&o, &r));
	for (unsigned i = 0; i < WORKERS; i++) {
		sem_init(&x[i].wake, 0, 0);
		assert_ok(relay_worker_new(r, wake, &x[i], &x[i].w));
	}
	join_connect(&a, x[0].w, NULL, 0);
	join_connect(&b0, x[0].w, NULL, 0);
	join_connect(&b1, x[1].w, &b0.key, 0);
	assert_ok(derp_client_send(&a.near, &b0.key.pub, BYTES_LIT("1")));
	join_move(&a, 0);
	assert_false(join_event(&b0, &ev));
	assert_int_equal(sem_trywait(&x[1].wake), 0);
	relay_worker_run(x[1].w, 0);
	relay_flush(x[1].w);
	assert_true(join_event(&b1, &ev));
	assert_true(bytes_eq_str(ev.packet.packet, "1"));
	assert_ok(derp_client_note_preferred(&b0.near, true));
	join_move(&b0, 0);
	assert_ok(derp_client_send(&a.near, &b0.key.pub, BYTES_LIT("2")));
	join_move(&a, 0);
	assert_true(join_event(&b0, &ev));
	assert_true(bytes_eq_str(ev.packet.packet, "2"));
	join_close(&b0);
	assert_ok(derp_client_send(&a.near, &b1.key.pub, BYTES_LIT("3")));
	join_move(&a, 0);
	relay_worker_run(x[1].w, 0);
	relay_flush(x[1].w);
	assert_true(join_event(&b1, &ev));
	assert_true(bytes_eq_str(ev.packet.packet, "3"));

	/* What waits for a thread that does not run is bounded in bytes. */
	uint8_t *big = calloc(1, DERP_PACKET_MAX);
	for (unsigned i = 0; i < 400; i++) {
		assert_ok(derp_client_send(&a.near, &b1.key.pub, bytes_of(big, DERP_PACKET_MAX)));
		join_move(&a, 0);
	}
	struct relay_stats st;
	relay_stats_read(r, &st);
	assert_true(st.dropped_queue_head >= 400 - RELAY_INBOX_BYTES / DERP_PACKET_MAX);
	free(big);
	join_close(&a);
	join_close(&b1);
	relay_free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_key_on_two_threads),
		cmocka_unit_test(two_threads_exchange),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
