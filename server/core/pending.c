#include "server/core/state.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/base/cleanup.h"
#include "common/base/log.h"

/* Logins that wait for a person: rows, so that they survive a restart; bounded in all and per address, for anyone can make
 * them. An address that has a registered node is not counted: an office behind one NAT logs in together. */

struct pending *pending_by_id(struct core *c, const char *auth_id)
{
	char key[AUTH_ID_LEN + 1] = { 0 };

	if (!auth_id || strlen(auth_id) != AUTH_ID_LEN)
		return NULL;
	memcpy(key, auth_id, AUTH_ID_LEN);
	return map_get(&c->pendings, key);
}

static void arm(struct core *c, struct pending *p)
{
	int64_t left = p->row.expires_ms - c->now.wall_ms;

	if (left > TIMER_STEP_MS)
		left = TIMER_STEP_MS;
	timer_arm(&c->timers, &p->expiry, c->now.mono_ms + (left > 0 ? left : 0));
}

void pending_expire(struct core *c, struct timer *t)
{
	struct pending *p = container_of(t, struct pending, expiry);

	if (p->row.expires_ms > c->now.wall_ms) {
		arm(c, p);
		return;
	}
	if (clock_unsettled_ms(c)) {
		timer_arm(&c->timers, t, c->now.mono_ms + clock_unsettled_ms(c));
		return;
	}
	pending_answer_all(c, p, 200, "this login was not finished in time; start it again", NULL);
	if (pending_delete(c, p) != OK)
		timer_arm(&c->timers, &p->expiry, c->now.mono_ms + 1000);
}

err pending_put_memory(struct core *c, struct pending_row *taken)
{
	struct pending *p = map_get(&c->pendings, taken->auth_id);
	struct tailnet *t = core_tailnet(c, taken->tailnet_id);

	if (!t)
		return ERR_INVALID;
	if (!p) {
		p = calloc(1, sizeof *p);
		if (!p)
			return ERR_NOMEM;
		p->t = t;
		p->expiry.fire = pending_expire;
		memcpy(p->row.auth_id, taken->auth_id, sizeof p->row.auth_id);
		err e = timers_reserve(&c->timers, c->timers.n + 64);
		if (e == OK)
			e = map_put(&c->pendings, p);
		if (e != OK) {
			free(p);
			return e;
		}
	} else {
		if (map_get(&c->pendings_by_key, &p->row.key) == p)
			map_del(&c->pendings_by_key, &p->row.key);
		if (map_get(&c->pendings_by_machine, &p->row.machine) == p)
			map_del(&c->pendings_by_machine, &p->row.machine);
	}
	pending_row_done(&p->row);
	p->row = *taken;
	*taken = (struct pending_row){ 0 };
	/* One login a machine and key; should an old database hold more, the first one found counts. */
	err e = map_put(&c->pendings_by_key, p);
	if (e == OK || e == ERR_EXISTS)
		e = map_put(&c->pendings_by_machine, p);
	arm(c, p);
	return e == ERR_EXISTS ? OK : e;
}

void pending_drop_memory(struct core *c, const char *auth_id)
{
	struct pending *p = pending_by_id(c, auth_id);

	if (!p)
		return;
	pending_answer_all(c, p, 503, "this login is gone; try again", NULL);
	map_del(&c->pendings, p->row.auth_id);
	if (map_get(&c->pendings_by_key, &p->row.key) == p)
		map_del(&c->pendings_by_key, &p->row.key);
	if (map_get(&c->pendings_by_machine, &p->row.machine) == p)
		map_del(&c->pendings_by_machine, &p->row.machine);
	timer_stop(&c->timers, &p->expiry);
	struct recent_addr *a = p->from.family ? map_get(&c->addrs, &p->from) : NULL;
	if (a && a->pendings)
		a->pendings--;
	pending_row_done(&p->row);
	free(p);
}

err pending_delete(struct core *c, struct pending *p)
{
	char id[AUTH_ID_LEN + 1];

	TRY(touch_pending(c, p));
	memcpy(id, p->row.auth_id, sizeof id);
	pending_drop_memory(c, id);
	return OK;
}

void pending_answer_all(struct core *c, struct pending *p, int status, const char *error, struct node *n)
{
	for (size_t i = 0; i < p->n_waiters; i++) {
		struct reply *r = n ? reply_registered(c, n) : status == 200 ? reply_register_error(c, error) : NULL;
		if (r)
			fx_reply(c, p->waiter[i].call, r);
		else
			answer_http(c, p->waiter[i].call, status == 200 ? 503 : status, error ? error : "out of memory\n");
	}
	p->n_waiters = 0;
}

void on_call_gone(struct core *c, struct call *call)
{
	size_t at = 0;

	if (ssh_check_call_gone(c, call) || lock_call_gone(c, call) || c2n_call_gone(c, call))
		return;
	for (struct pending *p; (p = map_next(&c->pendings, &at));)
		for (size_t i = 0; i < p->n_waiters; i++)
			if (p->waiter[i].call == call) {
				p->waiter[i] = p->waiter[--p->n_waiters];
				answer_err(c, call, ERR_CLOSED, "cancelled");
				return;
			}
}
