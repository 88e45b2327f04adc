#include "server/core/c2n.h"
#include "server/core/state.h"

#include "common/base/cleanup.h"
#include "common/base/log.h"

/* Routers that stand in for each other are asked over their streams whether they live (c2n /echo), for a machine that loses its
 * network says nothing and its stream stays open for minutes. Who does not answer in time stands badly in elections until it
 * has answered PROBES_TO_TRUST times in a row, so that one on a bad line does not make its routes move to and fro. Routes with
 * one router are not asked about: nobody could take over. */

enum { PROBES_TO_TRUST = 3 };

static void set_unhealthy(struct core *c, struct node *n, bool unhealthy)
{
	n->good_probes = 0;
	if (n->unhealthy == unhealthy)
		return;
	n->unhealthy = unhealthy;
	log_info(unhealthy ? "router does not answer" : "router answers again", "node=%" PRId64, n->row.id);
	node_info_stale(n);
	routes_elect(c, n);
}

static void on_answer(struct core *c, struct node *n, void *ctx, int64_t arg, const struct c2n_answer *a)
{
	(void)ctx;
	if (!n)
		return;
	n->probing = false;
	if (a->e == ERR_CLOSED || !n->session || n->session->number != (uint64_t)arg)
		return; /* asked over another stream than it has now: its end says what is to be said */
	if (a->e == ERR_TIMEOUT)
		set_unhealthy(c, n, true);
	else if (n->unhealthy && ++n->good_probes >= PROBES_TO_TRUST)
		set_unhealthy(c, n, false);
}

static void ask(struct core *c, struct node *n)
{
	if (n->probing || !n->session)
		return;
	const struct c2n_request q = {
		.path = "/echo", .timeout_ms = n->t->set.probe_timeout_ms, .done = on_answer, .arg = (int64_t)n->session->number,
	};
	n->probing = c2n_ask(c, n, &q) == OK; /* without a stream that has begun there is nothing to ask over */
}

static void on_probe(struct core *c, struct timer *timer)
{
	struct tailnet *t = container_of(timer, struct tailnet, probe);

	list_each(it, &t->routers) {
		struct node *n = container_of(it, struct node, of_router);
		if (n->n_shared)
			ask(c, n);
	}
	routes_probe(c, t);
}

/* It came back over a new stream: that says more than a probe. */
void routes_fresh_stream(struct core *c, struct node *n)
{
	set_unhealthy(c, n, false);
}

void routes_probe(struct core *c, struct tailnet *t)
{
	t->probe.fire = on_probe;
	if (!t->n_shared_routes || t->set.probe_interval_ms <= 0)
		timer_stop(&c->timers, &t->probe);
	else if (!t->probe.index || t->probe.at_ms > c->now.mono_ms + t->set.probe_interval_ms)
		timer_arm(&c->timers, &t->probe, c->now.mono_ms + t->set.probe_interval_ms);
}
