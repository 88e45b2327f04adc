#include "derp/relay.h"

#include <stdlib.h>

#include "common/base/random.h"
#include "derp/relay_state.h"

/* ---- between threads -------------------------------------------------------------------------------------------- */

void worker_tell_dirty(struct relay_worker *w)
{
	if (w->told_dirty)
		return;
	w->told_dirty = true;
	if (w->on_dirty)
		w->on_dirty(w->on_dirty_ctx);
}

/* Hands over what from holds; packets that the receiver has no room for are dropped. stats may be NULL. */
static void deliver(struct relay_worker *to, struct msg_list *from, struct stats_cells *stats)
{
	struct msg_list dropped;

	msg_list_init(&dropped);
	bool wake = inbox_deliver(&to->inbox, from, RELAY_INBOX_BYTES, &dropped);

	for (struct relay_msg *m; (m = msg_list_pop(&dropped)); msg_free(m)) {
		if (!stats)
			continue;
		unsigned n = m->kind == MSG_PACKETS ? m->count : 1;

		STATS_DROP(stats, dropped_queue_head, n, m->disco);
	}
	if (wake)
		to->wake(to->wake_ctx);
}

void worker_post(struct relay_worker *w, uint16_t to, struct relay_msg *m)
{
	msg_list_add(&w->out[to], m);
	worker_tell_dirty(w);
}

err relay_post(struct relay *r, uint16_t to, struct relay_msg *m)
{
	struct msg_list one;

	if (!m)
		return ERR_NOMEM;
	if (to >= atomic_load(&r->n_workers)) {
		msg_free(m);
		return OK;
	}
	msg_list_init(&one);
	msg_list_add(&one, m);
	deliver(r->worker[to], &one, NULL);
	return OK;
}

/* ---- what a session asks ---------------------------------------------------------------------------------------- */

static err enter_tables(struct relay_client *c)
{
	struct relay_worker *w = c->w;
	struct relay_client *head = map_get(&w->by_key, c->s.key.b);
	struct peer_set none = { 0 };
	struct directory_info info = mesh_info(c);

	TRY(directory_join(w->r->dir, &c->s.key, handle_of(c), &info, &c->entry));
	if (head) {
		list_add_tail(&head->same_key, &c->same_key);
		mesh_came(c);
		return OK;
	}
	w->epoch++;
	err e = map_put(&w->by_key, c);
	if (e != OK) {
		directory_leave(w->r->dir, c->entry, handle_of(c), none, &none);
		peer_set_done(&none);
		c->entry = NULL;
		return e;
	}
	mesh_came(c);
	return OK;
}

static void let_in(struct relay_client *c, int64_t now_ms)
{
	struct relay_worker *w = c->w;

	if (c->s.state != SESSION_ADMISSION)
		return;
	err e = enter_tables(c);
	if (e != OK) {
		session_close(&c->s, e == ERR_BUSY ? "too many connections with one key" : "out of memory");
		return;
	}
	STATS_ADD(&w->stats, dup_conns, directory_is_shared(c->entry));
	session_admit(&c->s, now_ms);
}

static void keep_out(struct relay_client *c)
{
	STATS_ADD(&c->w->stats, refused_admission, 1);
	session_close(&c->s, "not admitted");
}

static void on_client(struct session *s, int64_t now_ms)
{
	struct relay_client *c = client_of(s);
	const struct relay_opts *o = &c->w->r->opts;
	struct addr from = c->opts.peer.addr;
	enum relay_verdict v = RELAY_ALLOW;

	s->trusted = mesh_is_peer(c);
	secret32_wipe(&s->info.mesh_key);
	if (s->trusted) {
		let_in(c, now_ms);
		return;
	}
	if (o->ask)
		v = o->ask(o->admit_ctx, &s->key, from, (struct relay_ticket){ handle_of(c) });
	else if (o->admit)
		v = o->admit(o->admit_ctx, &s->key, from) ? RELAY_ALLOW : RELAY_DENY;
	switch (v) {
	case RELAY_ALLOW:
		let_in(c, now_ms);
		return;
	case RELAY_DENY:
		keep_out(c);
		return;
	case RELAY_LATER:
		return;
	}
}

static void on_activity(struct session *s)
{
	struct relay_client *c = client_of(s);

	c->idle++; /* until it turns out to be a packet that somebody gets */
	if (!c->entry || !directory_is_shared(c->entry))
		return;
	struct conn_handle h = directory_active(c->entry);

	if (h.worker != c->w->index || h.id != c->id)
		directory_touch(c->w->r->dir, c->entry, handle_of(c));
}

static void on_home(struct session *s, bool home)
{
	struct relay_client *c = client_of(s);

	if (c->home == home)
		return;
	c->home = home;
	if (home) {
		STATS_ADD(&c->w->stats, home_connections, 1);
		STATS_ADD(&c->w->stats, home_moves_in, 1);
	} else {
		STATS_ADD(&c->w->stats, home_connections, -1);
		STATS_ADD(&c->w->stats, home_moves_out, 1);
	}
}

static void on_ping(struct session *s)
{
	STATS_ADD(&client_of(s)->w->stats, got_ping, 1);
}

static void on_output(struct session *s)
{
	struct relay_client *c = client_of(s);

	if (!list_is_empty(&c->dirty))
		return;
	list_add_tail(&c->w->dirty, &c->dirty);
	worker_tell_dirty(c->w);
}

static void on_drop(struct session *s, enum session_drop why, const struct session_packet *pkt)
{
	client_of(s)->dropped++;
	worker_count_drop(client_of(s)->w, why, pkt->disco);
}

static void on_queued(struct session *s, int64_t bytes)
{
	struct relay_worker *w = client_of(s)->w;

	w->queued_bytes += bytes;
	STATS_ADD(&w->stats, queued_bytes, bytes);
}

static const struct session_host host = {
	.on_client = on_client,
	.on_activity = on_activity,
	.on_packet = deliver_on_packet,
	.on_forward = mesh_on_forward,
	.on_watch = mesh_on_watch,
	.on_close_peer = mesh_on_close_peer,
	.on_home = on_home,
	.on_ping = on_ping,
	.on_output = on_output,
	.on_drop = on_drop,
	.on_queued = on_queued,
};

/* ---- clients ---------------------------------------------------------------------------------------------------- */

err relay_client_new(
	struct relay_worker *w, const struct relay_client_opts *o, int64_t now_ms, struct relay_client **out)
{
	err e = atomic_load(&w->r->draining) ? ERR_BUSY : conn_limits_take(&w->r->limits, o->peer.addr);

	if (e != OK) {
		STATS_ADD(&w->stats, refused_limit, 1);
		return e;
	}
	struct relay_client *c = calloc(1, sizeof *c);

	if (c) {
		c->id = ++w->last_id;
		if (map_put(&w->by_id, c) != OK) {
			free(c);
			c = NULL;
		}
	}
	if (!c) {
		conn_limits_give(&w->r->limits, o->peer.addr);
		return ERR_NOMEM;
	}
	c->w = w;
	c->opts = *o;
	c->gone_tokens = RELAY_GONE_BURST;
	c->gone_at_ms = now_ms;
	c->since_ms = now_ms;
	c->tokens = (int64_t)atomic_load(&w->r->client_burst);
	c->tokens_ms = now_ms;
	c->idle_tokens = RELAY_IDLE_BURST;
	c->idle_ms = now_ms;
	list_init(&c->same_key);
	list_init(&c->dirty);
	list_init(&c->watching);
	list_add_tail(&w->all, &c->all);
	STATS_ADD(&w->stats, accepts, 1);
	STATS_ADD(&w->stats, websocket_accepts, o->websocket);
	STATS_ADD(&w->stats, connections, 1);
	STATS_ADD(&w->stats, not_ideal, o->not_ideal);
	session_init(
		&c->s, &host, &w->r->opts.key, &w->pool, (uint32_t)random_below(SESSION_KEEPALIVE_SPREAD_MS), now_ms);
	*out = c;
	return OK;
}

void worker_tell_gone(struct relay_worker *w, const struct node_pub *dst, const struct node_pub *gone)
{
	struct relay_client *head = map_get(&w->by_key, dst->b), *c = head;
	struct conn_handle h;

	if (head) {
		do {
			if (session_peer_gone(&c->s, gone, DERP_GONE_DISCONNECTED))
				STATS_ADD(&w->stats, peer_gone_disconnected, 1);
			c = container_of(c->same_key.next, struct relay_client, same_key);
		} while (c != head);
		return;
	}
	if (!directory_find(w->r->dir, dst, &h, NULL) || h.worker == w->index)
		return;
	struct relay_msg *m = msg_new(MSG_PEER_GONE, dst, NULL, 0);
	if (!m)
		return; /* the peer finds out by itself, as with any lost packet */
	m->other = *gone;
	worker_post(w, h.worker, m);
}

static void leave_tables(struct relay_client *c)
{
	struct relay_worker *w = c->w;
	struct peer_set heard = { 0 };
	const struct node_pub *dst;
	uint32_t at = 0;

	if (map_get(&w->by_key, c->s.key.b) == c) {
		w->epoch++;
		map_del(&w->by_key, c->s.key.b);
		if (!list_is_empty(&c->same_key)) {
			struct relay_client *next = container_of(c->same_key.next, struct relay_client, same_key);

			if (map_put(&w->by_key, next) != OK)
				session_close(&next->s, "out of memory");
		}
	}
	list_del(&c->same_key);
	struct peer_set sent_to = c->sent_to;

	c->sent_to = (struct peer_set){ 0 };
	if (!directory_leave(w->r->dir, c->entry, handle_of(c), sent_to, &heard))
		return;
	mesh_left(w, &c->s.key);
	if (forwarders_take_heard(w->r->remote, &c->s.key, &heard))
		return; /* it is at another relay of the region: not gone */
	while ((dst = peer_set_next(&heard, &at)))
		if (!node_pub_eq(dst, &c->s.key))
			worker_tell_gone(w, dst, &c->s.key);
	peer_set_done(&heard);
}

void relay_client_end(struct relay_client *c)
{
	if (!c)
		return;
	struct relay_worker *w = c->w;

	on_home(&c->s, false);
	mesh_unwatch(c);
	if (c->entry)
		leave_tables(c);
	else
		STATS_ADD(&w->stats, handshakes_failed, 1);
	session_done(&c->s);
	relay_client_holds(c, 0);
	peer_set_done(&c->sent_to);
	list_del(&c->dirty);
	list_del(&c->all);
	map_del(&w->by_id, &c->id);
	STATS_ADD(&w->stats, connections, -1);
	STATS_ADD(&w->stats, not_ideal, -(int64_t)c->opts.not_ideal);
	conn_limits_give(&w->r->limits, c->opts.peer.addr);
	free(c);
}

struct session *relay_client_session(struct relay_client *c)
{
	return &c->s;
}

bool relay_client_is_mesh(const struct relay_client *c)
{
	return c->s.trusted;
}

void relay_client_blocked(struct relay_client *c, bool yes)
{
	c->blocked = yes;
	if (!yes && c->entry && !session_is_pressed(&c->s))
		directory_note_congested(c->entry, false);
}

void relay_client_holds(struct relay_client *c, size_t n)
{
	if (n == c->held)
		return;
	on_queued(&c->s, (int64_t)n - (int64_t)c->held);
	c->held = n;
}

void relay_client_feed(struct relay_client *c, uint8_t *p, size_t n, int64_t now_ms)
{
	STATS_ADD(&c->w->stats, bytes_received, n);
	c->bytes_in += n;
	session_feed(&c->s, p, n, now_ms);
	rate_charge(c, n, now_ms);
}

size_t relay_client_pull(struct relay_client *c, uint8_t *dst, size_t cap)
{
	uint64_t before = c->s.packets_out;
	size_t n = session_pull(&c->s, dst, cap);

	STATS_ADD(&c->w->stats, bytes_sent, n);
	c->bytes_out += n;
	STATS_ADD(&c->w->stats, packets_sent, c->s.packets_out - before);
	return n;
}

void relay_client_write_timeout(struct relay_client *c)
{
	STATS_ADD(&c->w->stats, write_timeouts, 1);
	session_close(&c->s, "the client does not read");
}

/* ---- workers ---------------------------------------------------------------------------------------------------- */

static void worker_free(struct relay_worker *w)
{
	if (!w)
		return;
	inbox_done(&w->inbox);
	msg_list_done(&w->lent);
	msg_pool_done(&w->packets);
	for (unsigned i = 0; w->out && i < w->r->opts.workers; i++)
		msg_list_done(&w->out[i]);
	free(w->out);
	session_pool_done(&w->pool);
	map_done(&w->by_key);
	map_done(&w->by_id);
	free(w->area);
	free(w);
}

err relay_worker_new(struct relay *r, void (*wake)(void *ctx), void *ctx, struct relay_worker **out)
{
	unsigned index = atomic_load(&r->n_workers);

	if (index >= r->opts.workers)
		return ERR_STATE;
	struct relay_worker *w = calloc(1, sizeof *w);

	if (!w)
		return ERR_NOMEM;
	*w = (struct relay_worker){ .r = r, .index = (uint16_t)index, .wake = wake, .wake_ctx = ctx };
	inbox_init(&w->inbox);
	msg_list_init(&w->lent);
	w->by_key = MAP_OF(struct relay_client, s.key);
	w->by_id = MAP_OF(struct relay_client, id);
	list_init(&w->all);
	list_init(&w->dirty);
	list_init(&w->watchers);
	w->area = malloc(RELAY_AREA_BYTES);
	w->out = calloc(r->opts.workers, sizeof *w->out);
	if (!w->area || !w->out) {
		worker_free(w);
		return ERR_NOMEM;
	}
	for (unsigned i = 0; i < r->opts.workers; i++)
		msg_list_init(&w->out[i]);
	r->worker[index] = w;
	atomic_store(&r->n_workers, index + 1);
	*out = w;
	return OK;
}

void relay_on_dirty(struct relay_worker *w, void (*fn)(void *ctx), void *ctx)
{
	w->on_dirty = fn;
	w->on_dirty_ctx = ctx;
}

uint8_t *relay_area(struct relay_worker *w, size_t *cap)
{
	if (RELAY_AREA_BYTES - w->area_used < RELAY_AREA_MIN)
		relay_flush(w);
	*cap = RELAY_AREA_BYTES - w->area_used;
	return w->area + w->area_used;
}

void relay_area_used(struct relay_worker *w, size_t n)
{
	w->area_used += n;
	/* Whether anything borrows it or not, the turn's end gives it back. */
	worker_tell_dirty(w);
}

void relay_flush(struct relay_worker *w)
{
	unsigned n = atomic_load(&w->r->n_workers);

	while (!list_is_empty(&w->dirty)) {
		struct relay_client *c = container_of(w->dirty.next, struct relay_client, dirty);

		list_del(&c->dirty);
		c->opts.push(c->opts.ctx);
		session_settle(&c->s);
	}
	msg_recycle(&w->packets, &w->lent);
	for (unsigned i = 0; i < n; i++)
		if (w->out[i].first)
			deliver(w->r->worker[i], &w->out[i], &w->stats);
	w->area_used = 0;
	w->told_dirty = false;
}

/* Also those whose admission is being decided: the answer may have been given before the key was revoked. */
static void close_key(struct relay_worker *w, const struct node_pub *key, const char *why)
{
	list_each(it, &w->all) {
		struct relay_client *c = container_of(it, struct relay_client, all);

		if (c->s.state != SESSION_HELLO && node_pub_eq(&c->s.key, key))
			session_close(&c->s, why);
	}
}

static void drain_all(struct relay_worker *w, const struct relay_msg *m, int64_t now_ms)
{
	list_each(it, &w->all) {
		struct relay_client *c = container_of(it, struct relay_client, all);
		uint32_t in_ms = m->spread_ms ? (uint32_t)random_below(m->spread_ms) : 0;

		session_drain(&c->s, in_ms, m->try_for_ms, now_ms);
	}
}

static void on_msg(struct relay_worker *w, struct relay_msg *m, int64_t now_ms)
{
	struct relay_client *c;

	switch (m->kind) {
	case MSG_PACKETS:
		deliver_arrived(w, m);
		return;
	case MSG_PEER_GONE:
		c = map_get(&w->by_key, m->key.b);
		if (c)
			worker_tell_gone(w, &m->key, &m->other);
		return;
	case MSG_CLOSE_KEY:
		close_key(w, &m->key, "no longer admitted");
		return;
	case MSG_ADMIT:
		c = map_get(&w->by_id, &m->id);
		if (c && c->s.state == SESSION_ADMISSION && m->allow)
			let_in(c, now_ms);
		else if (c && c->s.state == SESSION_ADMISSION)
			keep_out(c);
		return;
	case MSG_HEALTH:
		list_each(it, &w->all)
			session_health(&container_of(it, struct relay_client, all)->s, bytes_of(m->data, m->n));
		return;
	case MSG_DRAIN:
		drain_all(w, m, now_ms);
		return;
	case MSG_FORWARD:
		w->r->link[m->id].forward(w->r->link[m->id].ctx, bytes_of(m->data, m->n));
		return;
	case MSG_COLLECT:
		worker_collect(w, m->collect, now_ms);
		return;
	case MSG_CAME:
	case MSG_LEFT:
		mesh_tell_watchers(w, m);
		return;
	}
}

void relay_worker_run(struct relay_worker *w, int64_t now_ms)
{
	struct msg_list in;
	struct relay_msg *m;

	inbox_take(&w->inbox, &in);
	while ((m = msg_list_pop(&in))) {
		on_msg(w, m, now_ms);
		if (m->kind == MSG_PACKETS)
			msg_list_add(&w->lent, m);
		else
			msg_free(m);
	}
}

/* ---- the relay -------------------------------------------------------------------------------------------------- */

err relay_new(const struct relay_opts *opts, struct relay **out)
{
	struct relay *r;

	if (opts->workers < 1 || opts->workers > RELAY_WORKERS_MAX)
		return ERR_INVALID;
	r = calloc(1, sizeof *r);
	if (!r)
		return ERR_NOMEM;
	r->opts = *opts;
	conn_limits_init(&r->limits, opts->limits.max_conns, opts->limits.max_conns_per_addr);
	relay_set_limits(r, &opts->limits);
	err e = directory_new(&r->dir);
	if (e == OK)
		e = forwarders_new(&r->remote);
	if (e != OK) {
		relay_free(r);
		return e;
	}
	*out = r;
	return OK;
}

void relay_free(struct relay *r)
{
	if (!r)
		return;
	for (unsigned i = 0; i < atomic_load(&r->n_workers); i++)
		worker_free(r->worker[i]);
	directory_free(r->dir);
	forwarders_free(r->remote);
	conn_limits_done(&r->limits);
	secret32_wipe(&r->opts.key.secret);
	secret32_wipe(&r->opts.mesh_key);
	free(r);
}

const struct node_key *relay_key(const struct relay *r)
{
	return &r->opts.key;
}
