#include "server/core/state.h"

#include <stdlib.h>

#include "common/base/cleanup.h"
#include "common/base/log.h"

/* Online is what the server makes of open streams (trap T44): online at once, offline after a grace that swallows a
 * reconnect. Ephemeral nodes leave some time after that. A new node is announced once others can use it (trap T43). */

static void write_seen(struct core *c, struct node *n)
{
	n->row.last_seen_ms = c->now.wall_ms;
	node_lazy(c, n);
}

void presence_online(struct core *c, struct node *n)
{
	timer_stop(&c->timers, &n->offline);
	timer_stop(&c->timers, &n->ephemeral);
	timer_stop(&c->timers, &n->leave);
	routes_fresh_stream(c, n);
	if (n->away && n->m.online) {
		n->away = false;
		routes_elect(c, n);
	}
	n->away = false;
	if (n->m.online)
		return;
	n->m.online = true;
	c->n_online++;
	n->row.was_online = true;
	history_note(c, n, c->now.wall_ms);
	write_seen(c, n);
	lazy_soon(c);
	node_dirty(n, PATCH_ONLINE);
	routes_elect(c, n);
	audit_presence(c, n);
}

void presence_stream_closed(struct core *c, struct node *n)
{
	write_seen(c, n);
	if (!n->m.online)
		return;
	timer_arm(&c->timers, &n->offline, c->now.mono_ms + c->set.offline_grace_ms);
	if (n->n_shared)
		timer_arm(&c->timers, &n->leave, c->now.mono_ms + ROUTER_LEAVE_MS);
}

/* Another one that carries its routes need not wait until this one counts as offline. */
static void on_leave(struct core *c, struct timer *t)
{
	struct node *n = container_of(t, struct node, leave);

	if (n->session || n->away)
		return;
	n->away = true;
	routes_elect(c, n);
}

void presence_ephemeral(struct core *c, struct node *n)
{
	if (!n->row.ephemeral)
		timer_stop(&c->timers, &n->ephemeral);
	else if (!n->m.online && !n->ephemeral.index) {
		n->idle_since_ms = c->now.mono_ms;
		timer_arm(&c->timers, &n->ephemeral, c->now.mono_ms + n->t->set.ephemeral_timeout_ms);
	}
}

void presence_timeout(struct core *c, struct node *n)
{
	if (!n->ephemeral.index)
		return;
	timer_stop(&c->timers, &n->ephemeral);
	timer_arm(&c->timers, &n->ephemeral, MAX_OF(c->now.mono_ms, n->idle_since_ms + n->t->set.ephemeral_timeout_ms));
}

static void on_offline(struct core *c, struct timer *t)
{
	struct node *n = container_of(t, struct node, offline);

	if (n->session || !n->m.online)
		return;
	n->m.online = false;
	c->n_online--;
	n->row.was_online = false;
	history_note(c, n, n->row.last_seen_ms); /* its stream closed then: the grace is ours */
	node_lazy(c, n);
	lazy_soon(c);
	node_dirty(n, PATCH_ONLINE);
	routes_elect(c, n);
	audit_presence(c, n);
	presence_ephemeral(c, n);
}

static void on_ephemeral(struct core *c, struct timer *t)
{
	struct node *n = container_of(t, struct node, ephemeral);
	int64_t id = n->row.id;

	if (n->session || n->m.online || !n->row.ephemeral)
		return;
	if (clock_unsettled_ms(c)) {
		timer_arm(&c->timers, t, c->now.mono_ms + clock_unsettled_ms(c));
		return;
	}
	if (node_delete(c, n) != OK) {
		core_abort(c);
		n = node_by_id(c, id);
		if (n)
			timer_arm(&c->timers, &n->ephemeral, c->now.mono_ms + 1000);
		return;
	}
	log_info("ephemeral node left", "node=%" PRId64, id);
}

static void on_expiry(struct core *c, struct timer *t)
{
	struct node *n = container_of(t, struct node, expiry);

	bool over = node_is_expired(c, n);
	node_arm_expiry(c, n); /* it may be far away, and a clock that was set forward may be set back */
	if (n->m.expired == over)
		return;
	n->m.expired = over;
	node_dirty(n, over ? PATCH_EXPIRY : DIRTY_WHOLE);
	node_self_dirty(n);
	if (routes_update(c, n) != OK) /* who expired carries nothing */
		c->fx_failed = true;
	if (over)
		audit_key_expiry(c, n, "expired");
	if (over)
		log_info("node key expired", "node=%" PRId64, n->row.id);
}

static void announce(struct core *c, struct node *n)
{
	timer_stop(&c->timers, &n->announce);
	if (n->ready)
		return;
	n->ready = true;
	gate_show(n);
	if (!n->m.announced)
		return;
	node_dirty(n, DIRTY_WHOLE | DIRTY_SEEN);
	n->t->reveal = true;
	/* Both sides learn of each other in the same round. */
	if (n->session)
		session_want_full(n->session);
	if (n->reader)
		session_want_full(n->reader);
}

static void on_announce(struct core *c, struct timer *t)
{
	announce(c, container_of(t, struct node, announce));
}

void presence_may_announce(struct core *c, struct node *n)
{
	/* A handshake that arrives before its receiver knows the sender, or at a home relay that the receiver has not reached
	 * yet, is lost and costs 5 s (trap T43). Where ours is the only region, a new node's home is known from the start:
	 * everyone learns of it, and it of everyone, before it is up, which takes it 100 ms and more. Where there are more
	 * regions it is held back until it is at home: of our own relay we know when it got there. Endpoints alone do not do: a
	 * client sends only pings to those that have not answered one yet. */
	bool at_home = n->row.home_derp && (n->row.home_derp != n->t->set.own_region || n->at_relay || n->t->set.only_own_region);

	if (!n->ready && !disco_pub_is_zero(&n->row.disco) && at_home)
		announce(c, n);
}

void on_at_relay(struct core *c, struct event *e)
{
	struct node *n = node_by_key(c, &e->node_key);

	if (!n || n->ready)
		return;
	n->at_relay = true;
	presence_may_announce(c, n);
}

void presence_hold(struct core *c, struct node *n)
{
	if (!n->ready && !n->announce.index)
		timer_arm(&c->timers, &n->announce, c->now.mono_ms + c->set.announce_wait_ms);
}

void presence_timers_init(struct node *n)
{
	n->offline.fire = on_offline;
	n->ephemeral.fire = on_ephemeral;
	n->expiry.fire = on_expiry;
	n->announce.fire = on_announce;
	n->attrs.fire = on_attrs_timer;
	n->leave.fire = on_leave;
}

void presence_timers_stop(struct core *c, struct node *n)
{
	timer_stop(&c->timers, &n->offline);
	timer_stop(&c->timers, &n->ephemeral);
	timer_stop(&c->timers, &n->expiry);
	timer_stop(&c->timers, &n->announce);
	timer_stop(&c->timers, &n->attrs);
	timer_stop(&c->timers, &n->leave);
}

void presence_start(struct core *c, struct node *n)
{
	n->ready = true;
	gate_show(n);
	n->m.expired = node_is_expired(c, n);
	node_arm_expiry(c, n);
	node_dirty(n, DIRTY_WHOLE | DIRTY_SEEN | PATCH_ONLINE | PATCH_DISCO);
	n->t->reveal = true;
	if (n->row.was_online && c->set.restart_grace_ms > 0) {
		/* Who was online before the restart counts as online until the grace is over, so that nobody flaps. */
		n->m.online = true;
		c->n_online++;
		timer_arm(&c->timers, &n->offline, c->now.mono_ms + c->set.restart_grace_ms);
	}
	presence_ephemeral(c, n);
	routes_elect(c, n);
}

/* ---- lazy columns ---- */

void lazy_flush(struct core *c)
{
	enum { BATCH = 256 }; /* nodes a batch, so that copying them is never a long event */
	struct store_batch *b = calloc(1, sizeof *b + BATCH * sizeof b->op[0]);

	if (!b) {
		timer_arm(&c->timers, &c->lazy_timer, c->now.mono_ms + 1000);
		return;
	}
	b->epoch = c->epoch;
	while (!list_is_empty(&c->lazy) && b->n < BATCH) {
		struct node *n = container_of(c->lazy.next, struct node, of_lazy);
		struct store_op *op = &b->op[b->n];

		if (n->m.online && n->session)
			n->row.last_seen_ms = c->now.wall_ms;
		routes_note_carried(n);
		op->kind = STORE_NODE_SEEN;
		if (node_row_copy(&n->row, &op->node) != OK)
			break;
		b->n++;
		list_del(&n->of_lazy);
	}
	if (b->n)
		fx_store(c, b);
	else
		store_batch_free(b);
	if (!list_is_empty(&c->lazy))
		timer_arm(&c->timers, &c->lazy_timer, c->now.mono_ms + 10);
}

void lazy_soon(struct core *c)
{
	if (c->lazy_timer.index && c->lazy_timer.at_ms > c->now.mono_ms + LAZY_SOON_MS)
		timer_arm(&c->timers, &c->lazy_timer, c->now.mono_ms + LAZY_SOON_MS);
}

void on_lazy_timer(struct core *c, struct timer *t)
{
	(void)t;
	lazy_flush(c);
}
