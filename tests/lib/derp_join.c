#include "tests/lib/derp_join.h"

#include <stdlib.h>

#include "tests/lib/test.h"

static void push(void *ctx)
{
	struct joined *j = ctx;
	struct session *s = relay_client_session(j->far);
	uint8_t out[16384];
	size_t n;

	if (s->state == SESSION_CLOSED) {
		j->closed = true;
		j->why = s->close_why;
		return;
	}
	while (!j->stopped && (n = relay_client_pull(j->far, out, sizeof out)))
		assert_ok(derp_client_feed(&j->near, bytes_of(out, n)));
}

void join_open(struct joined *j, struct relay_worker *w, const struct node_key *key, int64_t now_ms)
{
	join_open_mesh(j, w, key, NULL, now_ms);
}

void join_open_mesh(struct joined *j, struct relay_worker *w, const struct node_key *key, const struct secret32 *mesh_key,
	int64_t now_ms)
{
	struct relay_client_opts o = { .push = push, .ctx = j, .peer = { addr_v4(192, 0, 2, 1), 1 } };
	struct derp_client_opts co = { .key = &j->key, .host = "relay.example", .raw = true };

	struct node_key k;

	if (key)
		k = *key;
	else
		node_key_new(&k);
	*j = (struct joined){ .w = w, .key = k };
	co.info = (struct derp_client_info){ .version = DERP_PROTOCOL_VERSION, .can_ack_pings = true };
	if (mesh_key) {
		co.info.has_mesh_key = true;
		co.info.mesh_key = *mesh_key;
	}
	assert_ok(derp_client_init(&j->near, &co));
	assert_ok(relay_client_new(w, &o, now_ms, &j->far));
}

void join_move(struct joined *j, int64_t now_ms)
{
	while (buf_len(&j->near.out) && !j->closed) {
		size_t cap;
		uint8_t *area = relay_area(j->w, &cap);
		struct bytes v = bytes_first(buf_view(&j->near.out), j->step && j->step < cap ? j->step : cap);

		memcpy(area, v.p, v.n);
		relay_area_used(j->w, v.n);
		relay_client_feed(j->far, area, v.n, now_ms);
		buf_consume(&j->near.out, v.n);
		if (j->step)
			relay_flush(j->w);
	}
	relay_flush(j->w);
}

bool join_event(struct joined *j, struct derp_client_event *ev)
{
	err e = derp_client_next(&j->near, ev);

	if (e != OK)
		assert_int_equal(e, ERR_TRUNCATED);
	return e == OK;
}

void join_connect(struct joined *j, struct relay_worker *w, const struct node_key *key, int64_t now_ms)
{
	join_connect_mesh(j, w, key, NULL, now_ms);
}

void join_connect_mesh(struct joined *j, struct relay_worker *w, const struct node_key *key,
	const struct secret32 *mesh_key, int64_t now_ms)
{
	struct derp_client_event ev;

	join_open_mesh(j, w, key, mesh_key, now_ms);
	relay_flush(w);
	assert_false(join_event(j, &ev)); /* ServerKey is no event; it queues ClientInfo */
	join_move(j, now_ms);
	assert_true(join_event(j, &ev));
	assert_int_equal(ev.kind, DERP_CLIENT_CONNECTED);
}

void join_close(struct joined *j)
{
	relay_client_end(j->far);
	j->far = NULL;
	derp_client_done(&j->near);
}
