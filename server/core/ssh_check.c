#include "server/core/state.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/base/cleanup.h"
#include "common/base/log.h"
#include "common/base/random.h"
#include "common/http/http1.h"
#include "common/text/hex.h"

/* Tailscale SSH in check mode (protocol/control.md 4.8). The destination asks whether to let a session in; where the policy
 * wants the person to confirm, it gets a text with a link for the user and a second URL to wait at. What the policy says now
 * is asked at each step, never taken from the URL.
 *
 * Sessions that wait live in memory: after a restart of the server the destination's next question gets a new link.
 * Confirmations are rows. One holds for a source and a destination, as long as the rule at hand says, and dies with the
 * source's owner. */

enum {
	SSH_CHECK_MS = 15 * 60 * 1000,		      /* a session waits at most this long */
	SSH_CHECKS_MAX = 4096,			      /* sessions that wait, in all */
	SSH_CHECKS_PER_PAIR = 8,		      /* … from one node to another */
	SSH_APPROVAL_MS = 7 * 24 * 3600 * 1000,	      /* the longest checkPeriod: older confirmations are swept */
	SSH_USER_MAX = 64,
	SSH_JSON_MAX = 64 * 1024,
	AUTH_ID_BYTES = 12,
};

enum verdict { UNDECIDED, APPROVED, REJECTED };

struct ssh_check {
	char auth_id[AUTH_ID_LEN + 1];
	struct core *c;
	struct tailnet *t;
	struct ssh_pair pair;
	char local_user[SSH_USER_MAX + 1];
	enum verdict verdict;	/* decided while nobody waited: kept for the next question */
	struct call *waiter;	/* NULL: the destination is not asking just now */
	int64_t created_ms;	/* wall */
	struct timer expiry;
};

struct map ssh_checks_map(void)
{
	return MAP_OF(struct ssh_check, auth_id);
}

static struct ssh_check *check_by_id(struct core *c, struct bytes auth_id)
{
	char key[AUTH_ID_LEN + 1] = { 0 };

	if (auth_id.n != AUTH_ID_LEN)
		return NULL;
	memcpy(key, auth_id.p, AUTH_ID_LEN);
	return map_get(&c->ssh_checks, key);
}

static void check_drop(struct core *c, struct ssh_check *k)
{
	map_del(&c->ssh_checks, k->auth_id);
	timer_stop(&c->timers, &k->expiry);
	free(k);
}

/* ---- rows ---- */

err ssh_approval_put_memory(struct core *c, struct ssh_approval_row *taken)
{
	struct ssh_approval *a = map_get(&c->ssh_approvals, &taken->pair);

	if (!a) {
		a = calloc(1, sizeof *a);
		if (!a)
			return ERR_NOMEM;
		a->row.pair = taken->pair;
		err e = map_put(&c->ssh_approvals, a);
		if (e != OK) {
			free(a);
			return e;
		}
	}
	a->row = *taken;
	*taken = (struct ssh_approval_row){ 0 };
	return OK;
}

void ssh_approval_drop_memory(struct core *c, const struct ssh_approval_row *key)
{
	free(map_del(&c->ssh_approvals, &key->pair));
}

static err approval_delete(struct core *c, struct ssh_approval *a)
{
	struct ssh_approval_row key = a->row;

	TRY(touch_ssh_approval(c, a));
	ssh_approval_drop_memory(c, &key);
	return OK;
}

/* Those that no rule can ask for any more. */
static err sweep(struct core *c)
{
	size_t at = 0;

	for (struct ssh_approval *a; !clock_unsettled_ms(c) && (a = map_next(&c->ssh_approvals, &at));)
		if (c->now.wall_ms - a->row.approved_ms > SSH_APPROVAL_MS)
			TRY(approval_delete(c, a));
	return OK;
}

static err approve_pair(struct core *c, const struct ssh_check *k, const struct node *src)
{
	struct ssh_approval_row row = {
		.pair = k->pair, .tailnet_id = k->t->row.id, .user_id = src->row.user_id, .approved_ms = c->now.wall_ms,
	};

	TRY(sweep(c));
	struct ssh_approval *a = map_get(&c->ssh_approvals, &k->pair);
	TRY(a ? touch_ssh_approval(c, a) : touch_new_ssh_approval(c, &k->pair));
	return ssh_approval_put_memory(c, &row);
}

static bool is_approved(struct core *c, const struct node *src, const struct node *dst, int64_t period_ms)
{
	struct ssh_pair pair = { src->row.id, dst->row.id };
	const struct ssh_approval *a = map_get(&c->ssh_approvals, &pair);

	return a && a->row.user_id == src->row.user_id && a->row.approved_ms <= c->now.wall_ms &&
		c->now.wall_ms - a->row.approved_ms < period_ms;
}

/* ---- answers to the destination ---- */

static void answer_reject(struct core *c, struct call *call, const char *text)
{
	struct buf out = buf_make(SSH_JSON_MAX);
	struct jsonw w = jsonw_init(&out);
	char line[240];

	snprintf(line, sizeof line, "# %s\n", text);
	jsonw_obj(&w);
	jsonw_key(&w, "message"), jsonw_str(&w, line);
	jsonw_key(&w, "reject"), jsonw_bool(&w, true);
	jsonw_obj_end(&w);
	answer_node_json(c, call, &out);
}

static void answer_accept(struct core *c, struct call *call, struct tailnet *t, struct ssh_pair pair, const char *user)
{
	struct buf out = buf_make(SSH_JSON_MAX);

	policy_view_ssh_accept(t->map.policy, pair.src, pair.dst, user, &out);
	answer_node_json(c, call, &out);
}

static void answer_hold(struct core *c, struct call *call, const struct ssh_check *k)
{
	struct buf out = buf_make(SSH_JSON_MAX);
	struct jsonw w = jsonw_init(&out);
	char text[1024];

	snprintf(text, sizeof text, "# Fairlead SSH requires an additional check.\n# To authenticate, visit: %.800s/auth/%s\n",
			c->set.server_url, k->auth_id);
	jsonw_obj(&w);
	jsonw_key(&w, "message"), jsonw_str(&w, text);
	snprintf(text, sizeof text, "https://unused/machine/ssh/action/$SRC_NODE_ID/to/$DST_NODE_ID?local_user=$LOCAL_USER&auth_id=%s",
			k->auth_id);
	jsonw_key(&w, "holdAndDelegate"), jsonw_str(&w, text);
	jsonw_obj_end(&w);
	answer_node_json(c, call, &out);
}

/* ---- sessions that wait ---- */

static void on_expiry(struct core *c, struct timer *t)
{
	struct ssh_check *k = container_of(t, struct ssh_check, expiry);

	if (k->waiter)
		answer_reject(c, k->waiter, "The session was not confirmed in time.");
	check_drop(c, k);
}

static err check_new(struct core *c, const struct node *src, const struct node *dst, const char *user, struct ssh_check **out)
{
	struct ssh_pair pair = { src->row.id, dst->row.id };
	uint8_t random[AUTH_ID_BYTES];
	size_t at = 0, same = 0;

	for (struct ssh_check *k; (k = map_next(&c->ssh_checks, &at));)
		same += k->pair.src == pair.src && k->pair.dst == pair.dst;
	if (same >= SSH_CHECKS_PER_PAIR || c->ssh_checks.n >= SSH_CHECKS_MAX)
		return ERR_TOO_BIG;
	TRY(timers_reserve(&c->timers, c->timers.n + 64));
	struct ssh_check *k = calloc(1, sizeof *k);
	if (!k)
		return ERR_NOMEM;
	k->c = c;
	k->t = dst->t;
	k->pair = pair;
	k->created_ms = c->now.wall_ms;
	snprintf(k->local_user, sizeof k->local_user, "%s", user);
	random_fill(random, sizeof random);
	memcpy(k->auth_id, "hskey-authreq-", sizeof "hskey-authreq-");
	hex_encode(bytes_of(random, sizeof random), k->auth_id + strlen(k->auth_id));
	err e = map_put(&c->ssh_checks, k);
	if (e != OK) {
		free(k);
		return e;
	}
	k->expiry.fire = on_expiry;
	timer_arm(&c->timers, &k->expiry, c->now.mono_ms + SSH_CHECK_MS);
	log_info("SSH session waits to be confirmed", "auth_id=%s src=%" PRId64 " dst=%" PRId64 " user=%s", k->auth_id, pair.src,
			pair.dst, log_qs(k->local_user).s);
	*out = k;
	return OK;
}

static void hold(struct core *c, struct call *call, const struct node *src, const struct node *dst, const char *user)
{
	struct ssh_check *k;
	err e = check_new(c, src, dst, user, &k);

	if (e == OK)
		answer_hold(c, call, k);
	else if (e == ERR_TOO_BIG)
		answer_reject(c, call, "Too many sessions wait to be confirmed; try again later.");
	else
		answer_http(c, call, 503, "out of memory\n");
}

/* The decision reaches who waits, or is kept for it. */
static void tell_verdict(struct core *c, struct ssh_check *k, struct call *call)
{
	int64_t period;
	bool still = policy_view_ssh_action(k->t->map.policy, k->pair.src, k->pair.dst, k->local_user, &period) != POLICY_SSH_NO;

	if (k->verdict == APPROVED && still)
		answer_accept(c, call, k->t, k->pair, k->local_user);
	else
		answer_reject(c, call, k->verdict == APPROVED ? "The policy does not allow this session any more." :
				"The session was refused.");
	check_drop(c, k);
}

/* The destination waits at the second URL. */
static void follow_up(struct core *c, struct event *e, struct ssh_check *k)
{
	if (k->waiter)
		answer_http(c, k->waiter, 409, "the session asked anew\n");
	k->waiter = NULL;
	if (k->verdict == UNDECIDED)
		k->waiter = e->call;
	else
		tell_verdict(c, k, e->call);
}

/* ---- the question ---- */

struct question {
	int64_t src, dst;
	char user[SSH_USER_MAX + 1];
	struct bytes auth_id; /* n 0: the first question */
};

/* /machine/ssh/action/SRC/to/DST?local_user=…&auth_id=… */
static err parse_question(const char *path, struct question *q)
{
	struct bytes query, rest, at = bytes_cut(bytes_str(path), '?', &query);
	uint8_t encoded[3 * SSH_USER_MAX];
	uint64_t src, dst;
	size_t n;

	at = bytes_skip(at, sizeof "/machine/ssh/action/" - 1);
	struct bytes first = bytes_cut(at, '/', &rest);
	if (!bytes_has_prefix(rest, BYTES_LIT("to/")))
		return ERR_MALFORMED;
	TRY(bytes_parse_u64(first, INT64_MAX, &src));
	TRY(bytes_parse_u64(bytes_skip(rest, 3), INT64_MAX, &dst));
	struct bytes user = http1_query(query, "local_user");
	TRY(bytes_copy(encoded, sizeof encoded, user));
	for (size_t i = 0; i < user.n; i++)
		if (encoded[i] == '+') /* how a query writes a space */
			encoded[i] = ' ';
	TRY(http1_percent_decode(bytes_of(encoded, user.n), (uint8_t *)q->user, SSH_USER_MAX, &n));
	q->user[n] = 0;
	if (!n || strlen(q->user) != n || !bytes_is_utf8(bytes_of(q->user, n)))
		return ERR_MALFORMED;
	q->src = (int64_t)src;
	q->dst = (int64_t)dst;
	q->auth_id = http1_query(query, "auth_id");
	return OK;
}

void on_ssh_action(struct core *c, struct event *e)
{
	struct question q = { 0 };
	int64_t period = 0;

	if (parse_question(e->path, &q) != OK) {
		answer_http(c, e->call, 400, "no such SSH action\n");
		return;
	}
	struct node *src = node_by_id(c, q.src), *dst = node_by_id(c, q.dst);
	/* Only the destination may ask (trap T40): its answers decide who comes in there. */
	if (!dst || !machine_pub_eq(&dst->row.machine, &e->machine)) {
		answer_http(c, e->call, 401, "the destination is not a node of this machine\n");
		return;
	}
	if (!src || src->t != dst->t) {
		answer_reject(c, e->call, "The source is not known here any more.");
		return;
	}
	enum policy_ssh action = policy_view_ssh_action(dst->t->map.policy, q.src, q.dst, q.user, &period);
	struct ssh_check *k = q.auth_id.n ? check_by_id(c, q.auth_id) : NULL;
	if (k && (k->pair.src != q.src || k->pair.dst != q.dst || strcmp(k->local_user, q.user) != 0)) {
		answer_http(c, e->call, 401, "this check belongs to another session\n");
		return;
	}
	switch (action) {
	case POLICY_SSH_NO:
		answer_reject(c, e->call, "The policy does not allow this session.");
		return;
	case POLICY_SSH_ACCEPT:
		answer_accept(c, e->call, dst->t, (struct ssh_pair){ q.src, q.dst }, q.user);
		return;
	case POLICY_SSH_CHECK:
		if (k)
			follow_up(c, e, k);
		else if (is_approved(c, src, dst, period))
			answer_accept(c, e->call, dst->t, (struct ssh_pair){ q.src, q.dst }, q.user);
		else /* also where the check was forgotten, by a restart or after its time */
			hold(c, e->call, src, dst, q.user);
		return;
	}
}

bool ssh_check_call_gone(struct core *c, struct call *call)
{
	size_t at = 0;

	for (struct ssh_check *k; (k = map_next(&c->ssh_checks, &at));)
		if (k->waiter == call) {
			k->waiter = NULL; /* it asks again, or the check ends with its time */
			answer_err(c, call, ERR_CLOSED, "cancelled");
			return true;
		}
	return false;
}

err ssh_forget_node(struct core *c, struct node *n)
{
	size_t at = 0;

	for (struct ssh_check *k; (k = map_next(&c->ssh_checks, &at));) {
		if (k->pair.src != n->row.id && k->pair.dst != n->row.id)
			continue;
		if (k->waiter)
			answer_reject(c, k->waiter, "The session's device is not known here any more.");
		check_drop(c, k);
	}
	at = 0;
	for (struct ssh_approval *a; (a = map_next(&c->ssh_approvals, &at));)
		if (a->row.pair.src == n->row.id || a->row.pair.dst == n->row.id)
			TRY(approval_delete(c, a));
	return OK;
}

void ssh_checks_close(struct core *c)
{
	size_t at = 0;

	for (struct ssh_check *k; (k = map_next(&c->ssh_checks, &at));) {
		if (k->waiter)
			answer_err(c, k->waiter, ERR_CLOSED, "the server is stopping");
		k->waiter = NULL;
	}
}

void ssh_checks_free(struct core *c)
{
	size_t at = 0;

	for (struct ssh_check *k; (k = map_next(&c->ssh_checks, &at));)
		check_drop(c, k);
	map_done(&c->ssh_checks);
}

/* ---- what people do ---- */

static const char *name_of(struct reply *r, const char *text)
{
	return arena_str(&r->arena, bytes_str(or_empty(text)));
}

static err add(struct core *c, const struct ssh_check *k, struct reply *r)
{
	struct node *src = node_by_id(c, k->pair.src), *dst = node_by_id(c, k->pair.dst);
	struct user *u = src ? user_by_id(c, src->row.user_id) : NULL;
	struct ssh_check_info *i = &r->ssh_checks[r->n_ssh_checks];

	*i = (struct ssh_check_info){
		.src_id = k->pair.src, .dst_id = k->pair.dst, .src_user_id = u ? u->row.id : 0,
		.src_name = name_of(r, src ? src->row.given_name : ""), .dst_name = name_of(r, dst ? dst->row.given_name : ""),
		.src_user = name_of(r, u ? map_login_name(&u->row) : "tagged-devices"), .local_user = name_of(r, k->local_user),
		.created_ms = k->created_ms, .expires_ms = k->created_ms + SSH_CHECK_MS,
	};
	memcpy(i->auth_id, k->auth_id, sizeof i->auth_id);
	if (!i->src_name || !i->dst_name || !i->src_user || !i->local_user)
		return ERR_NOMEM;
	r->n_ssh_checks++;
	return OK;
}

static int by_time(const void *a, const void *b)
{
	const struct ssh_check_info *x = a, *y = b;

	return (x->created_ms > y->created_ms) - (x->created_ms < y->created_ms);
}

err ssh_checks_list(struct core *c, struct tailnet *t, struct reply *r)
{
	size_t at = 0;

	r->ssh_checks = arena_array(&r->arena, c->ssh_checks.n + 1, sizeof *r->ssh_checks);
	if (!r->ssh_checks)
		return ERR_NOMEM;
	for (struct ssh_check *k; (k = map_next(&c->ssh_checks, &at));)
		if (k->t == t && k->verdict == UNDECIDED)
			TRY(add(c, k, r));
	if (r->n_ssh_checks)
		qsort(r->ssh_checks, r->n_ssh_checks, sizeof *r->ssh_checks, by_time);
	return OK;
}

/* A person may confirm only sessions that come from an own device; an admin any. */
static bool may_decide(struct core *c, const struct ssh_check *k, const struct command *m)
{
	struct node *src = node_by_id(c, k->pair.src);
	struct user *u = *m->user ? user_find(k->t, m->user) : NULL;

	return src && (!*m->user || (u && u->row.id == src->row.user_id));
}

static void decide(struct core *c, struct ssh_check *k, const struct command *m, struct reply *r)
{
	struct node *src = node_by_id(c, k->pair.src);
	int64_t period = 0;

	if (*m->user) { /* who was signed in already before it was asked for has not confirmed anything */
		struct signin *s = signin_by_token(c, m->key_text, SIGNIN_BROWSER);
		if (!s || s->row.auth_ms < k->created_ms) {
			reply_fail(r, ERR_AUTH, "sign in again, now that the session asks for it");
			return;
		}
	}
	if (!may_decide(c, k, m)) {
		reply_fail(r, ERR_AUTH, "this session does not come from a device of yours");
		return;
	}
	bool approve = m->kind == CMD_AUTH_APPROVE;
	if (approve && policy_view_ssh_action(k->t->map.policy, k->pair.src, k->pair.dst, k->local_user, &period) == POLICY_SSH_CHECK &&
			period > 0 && (r->e = approve_pair(c, k, src)) != OK)
		return;
	k->verdict = approve ? APPROVED : REJECTED;
	log_info(approve ? "SSH session confirmed" : "SSH session refused", "auth_id=%s src=%" PRId64 " dst=%" PRId64 " user=%s by=%s",
			k->auth_id, k->pair.src, k->pair.dst, log_qs(k->local_user).s, log_qs(m->actor).s);
	if (k->waiter)
		tell_verdict(c, k, k->waiter);
}

bool on_command_ssh(struct core *c, const struct command *m, struct reply *r)
{
	struct ssh_check *k = check_by_id(c, bytes_str(m->auth_id));

	if (!k || k->t->row.id != m->tailnet_id || k->verdict != UNDECIDED)
		return false;
	if (m->kind == CMD_AUTH_GET) {
		r->ssh_checks = arena_array(&r->arena, 1, sizeof *r->ssh_checks);
		r->e = r->ssh_checks ? add(c, k, r) : ERR_NOMEM;
	} else if (m->kind == CMD_AUTH_REGISTER) {
		reply_fail(r, ERR_STATE, "this is an SSH session that waits to be confirmed, not a device: approve it");
	} else {
		decide(c, k, m, r);
	}
	return true;
}
