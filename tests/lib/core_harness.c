#include "tests/lib/core_harness.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/base/cleanup.h"
#include "common/base/random.h"
#include "server/core/state.h"
#include "tests/lib/test.h"

/* ---- the store, played ---- */

#define DB_FIND(list, n, cond)                                                                                         \
	({                                                                                                             \
		size_t at_ = (n);                                                                                      \
		for (size_t i = 0; i < (n); i++)                                                                       \
			if (cond) {                                                                                    \
				at_ = i;                                                                               \
				break;                                                                                 \
			}                                                                                              \
		at_;                                                                                                   \
	})

#define DB_PUT(name, list, n, cond)                                                                                    \
	do {                                                                                                           \
		size_t at = DB_FIND(list, n, cond);                                                                    \
		if (at == (n)) {                                                                                       \
			(list) = realloc((list), ((n) + 1) * sizeof *(list));                                          \
			assert_non_null(list);                                                                         \
			(n)++;                                                                                         \
		} else {                                                                                               \
			name##_row_done(&(list)[at]);                                                                  \
		}                                                                                                      \
		assert_ok(name##_row_copy(&op->name, &(list)[at]));                                                    \
	} while (0)

#define DB_DEL(name, list, n, cond)                                                                                    \
	do {                                                                                                           \
		size_t at = DB_FIND(list, n, cond);                                                                    \
		if (at < (n)) {                                                                                        \
			name##_row_done(&(list)[at]);                                                                  \
			memmove(&(list)[at], &(list)[at + 1], ((n) - at - 1) * sizeof *(list));                        \
			(n)--;                                                                                         \
		}                                                                                                      \
	} while (0)

static void db_seen(struct store_image *db, const struct store_op *op)
{
	size_t at = DB_FIND(db->nodes, db->n_nodes, db->nodes[i].id == op->node.id);
	struct node_row now;

	if (at == db->n_nodes)
		return;
	struct node_row *old = &db->nodes[at];
	assert_ok(node_row_copy(&op->node, &now));
#define KEEP(f)                                                                                                        \
	do {                                                                                                           \
		__typeof__(now.f) t = now.f;                                                                           \
		now.f = old->f;                                                                                        \
		old->f = t;                                                                                            \
	} while (0)
	now.user_id = old->user_id;
	now.key = old->key;
	now.nl = old->nl;
	now.v4 = old->v4;
	now.v6 = old->v6;
	now.given_name_auto = old->given_name_auto;
	now.ephemeral = old->ephemeral;
	now.method = old->method;
	now.authkey_id = old->authkey_id;
	now.expires_ms = old->expires_ms;
	KEEP(hostname);
	KEEP(given_name);
	KEEP(tags);
	KEEP(n_tags);
	KEEP(approved_routes);
	KEEP(key_sig);
	KEEP(n_key_sig);
	KEEP(n_approved);
#undef KEEP
	node_row_done(old);
	*old = now;
}

static void db_apply(struct store_image *db, const struct store_op *op)
{
	switch (op->kind) {
	case STORE_PUT_TAILNET:
		DB_PUT(tailnet, db->tailnets, db->n_tailnets, db->tailnets[i].id == op->tailnet.id);
		break;
	case STORE_PUT_USER:
		DB_PUT(user, db->users, db->n_users, db->users[i].id == op->user.id);
		break;
	case STORE_DEL_USER:
		DB_DEL(user, db->users, db->n_users, db->users[i].id == op->user.id);
		break;
	case STORE_PUT_NODE:
		DB_PUT(node, db->nodes, db->n_nodes, db->nodes[i].id == op->node.id);
		break;
	case STORE_DEL_NODE:
		DB_DEL(node, db->nodes, db->n_nodes, db->nodes[i].id == op->node.id);
		break;
	case STORE_NODE_SEEN:
		db_seen(db, op);
		break;
	case STORE_PUT_AUTHKEY:
		DB_PUT(authkey, db->authkeys, db->n_authkeys, db->authkeys[i].id == op->authkey.id);
		break;
	case STORE_DEL_AUTHKEY:
		DB_DEL(authkey, db->authkeys, db->n_authkeys, db->authkeys[i].id == op->authkey.id);
		break;
	case STORE_PUT_APIKEY:
		DB_PUT(apikey, db->apikeys, db->n_apikeys, db->apikeys[i].id == op->apikey.id);
		break;
	case STORE_DEL_APIKEY:
		DB_DEL(apikey, db->apikeys, db->n_apikeys, db->apikeys[i].id == op->apikey.id);
		break;
	case STORE_PUT_PENDING:
		DB_PUT(pending, db->pendings, db->n_pendings, strcmp(db->pendings[i].auth_id, op->pending.auth_id) == 0);
		break;
	case STORE_DEL_PENDING:
		DB_DEL(pending, db->pendings, db->n_pendings, strcmp(db->pendings[i].auth_id, op->pending.auth_id) == 0);
		break;
	case STORE_PUT_SSH_APPROVAL:
		DB_PUT(ssh_approval, db->ssh_approvals, db->n_ssh_approvals, memcmp(&db->ssh_approvals[i].pair, &op->ssh_approval.pair, sizeof op->ssh_approval.pair) == 0);
		break;
	case STORE_DEL_SSH_APPROVAL:
		DB_DEL(ssh_approval, db->ssh_approvals, db->n_ssh_approvals, memcmp(&db->ssh_approvals[i].pair, &op->ssh_approval.pair, sizeof op->ssh_approval.pair) == 0);
		break;
	case STORE_PUT_IDENTITY:
		DB_PUT(identity, db->identities, db->n_identities, db->identities[i].id == op->identity.id);
		break;
	case STORE_DEL_IDENTITY:
		DB_DEL(identity, db->identities, db->n_identities, db->identities[i].id == op->identity.id);
		break;
	case STORE_PUT_ACCOUNT:
		DB_PUT(account, db->accounts, db->n_accounts, db->accounts[i].id == op->account.id);
		break;
	case STORE_DEL_ACCOUNT:
		DB_DEL(account, db->accounts, db->n_accounts, db->accounts[i].id == op->account.id);
		break;
	case STORE_PUT_WISH:
		DB_PUT(wish, db->wishes, db->n_wishes, db->wishes[i].id == op->wish.id);
		break;
	case STORE_DEL_WISH:
		DB_DEL(wish, db->wishes, db->n_wishes, db->wishes[i].id == op->wish.id);
		break;
	case STORE_PUT_PASSKEY:
		DB_PUT(passkey, db->passkeys, db->n_passkeys, db->passkeys[i].id == op->passkey.id);
		break;
	case STORE_DEL_PASSKEY:
		DB_DEL(passkey, db->passkeys, db->n_passkeys, db->passkeys[i].id == op->passkey.id);
		break;
	case STORE_PUT_SIGNIN:
		DB_PUT(signin, db->signins, db->n_signins, db->signins[i].id == op->signin.id);
		break;
	case STORE_DEL_SIGNIN:
		DB_DEL(signin, db->signins, db->n_signins, db->signins[i].id == op->signin.id);
		break;
	case STORE_PUT_LOCK_AUM:
		DB_PUT(lock_aum, db->lock_aums, db->n_lock_aums, memcmp(db->lock_aums[i].hash, op->lock_aum.hash, 32) == 0);
		break;
	case STORE_DEL_LOCK_AUM:
		DB_DEL(lock_aum, db->lock_aums, db->n_lock_aums, memcmp(db->lock_aums[i].hash, op->lock_aum.hash, 32) == 0);
		break;
	case STORE_PUT_SERVICE:
		DB_PUT(service, db->services, db->n_services, db->services[i].id == op->service.id);
		break;
	case STORE_DEL_SERVICE:
		DB_DEL(service, db->services, db->n_services, db->services[i].id == op->service.id);
		break;
	case STORE_PUT_POLICY:
		DB_PUT(policy, db->policies, db->n_policies, db->policies[i].id == op->policy.id);
		break;
	case STORE_DEL_POLICY:
		DB_DEL(policy, db->policies, db->n_policies, db->policies[i].id == op->policy.id);
		break;
	case STORE_PUT_SETTING:
		if (op->setting.value)
			DB_PUT(setting, db->settings, db->n_settings, db->settings[i].tailnet_id == op->setting.tailnet_id &&
					strcmp(db->settings[i].key, op->setting.key) == 0);
		else
			DB_DEL(setting, db->settings, db->n_settings, db->settings[i].tailnet_id == op->setting.tailnet_id &&
					strcmp(db->settings[i].key, op->setting.key) == 0);
		break;
	case STORE_PUT_DRAFT:
		DB_PUT(draft, db->drafts, db->n_drafts, db->drafts[i].id == op->draft.id);
		break;
	case STORE_DEL_DRAFT:
		DB_DEL(draft, db->drafts, db->n_drafts, db->drafts[i].id == op->draft.id);
		break;
	case STORE_PUT_WEBHOOK:
		DB_PUT(webhook, db->webhooks, db->n_webhooks, db->webhooks[i].id == op->webhook.id);
		break;
	case STORE_DEL_WEBHOOK:
		DB_DEL(webhook, db->webhooks, db->n_webhooks, db->webhooks[i].id == op->webhook.id);
		break;
	case STORE_WEBHOOK_CURSOR: /* lazy: nothing depends on it */
	case STORE_PUT_SERVER_KEY:
	case STORE_PUT_AUDIT: /* the image has none of it */
	case STORE_TRIM_AUDIT:
		break;
	}
}

static void on_store(void *ctx, struct store_batch *b)
{
	struct harness *h = ctx;

	if (b->seq == 0)
		h->lazy_batches++;
	else
		assert_int_equal(b->epoch, h->epoch);
	b->next = NULL;
	*h->last = b;
	h->last = &b->next;
}

static struct store_batch *take_batch(struct harness *h)
{
	struct store_batch *b = h->first;

	h->first = b->next;
	if (!h->first)
		h->last = &h->first;
	return b;
}

static void on_job(void *ctx, struct job *j)
{
	struct harness *h = ctx;

	assert_true(h->n_jobs < ARRAY_LEN(h->jobs));
	h->jobs[h->n_jobs++] = j;
}

static void on_admit(void *ctx, const struct node_pub *key)
{
	(void)key;
	((struct harness *)ctx)->admitted++;
}

static void on_revoke(void *ctx, const struct node_pub *key)
{
	struct harness *h = ctx;

	h->revoked++;
	h->last_revoked = *key;
}

/* ---- the machinery ---- */

static void apply(struct harness *h, struct event *e)
{
	core_apply(h->core, e, h->now, &h->fx);
	assert_ok(release_add(&h->release, &h->fx));
}

/* Keeps the records, which the image does not have, and sees to it that no change is without one. */
static void note_audit(struct harness *h, const struct store_batch *b)
{
	size_t changes = 0, records = 0;

	for (size_t i = 0; i < b->n; i++) {
		const struct store_op *op = &b->op[i];

		changes += op->kind == STORE_DEL_USER || op->kind == STORE_DEL_NODE || op->kind == STORE_PUT_POLICY ||
			op->kind == STORE_DEL_AUTHKEY;
		if (op->kind != STORE_PUT_AUDIT)
			continue;
		records++;
		assert_true(!h->n_audits || h->audits[h->n_audits - 1].id < op->audit.id);
		h->audits = realloc(h->audits, (h->n_audits + 1) * sizeof *h->audits);
		assert_non_null(h->audits);
		assert_ok(audit_row_copy(&op->audit, &h->audits[h->n_audits++]));
	}
	assert_true(records >= changes);
}

void harness_commit(struct harness *h)
{
	while (h->first) {
		struct store_batch *b = take_batch(h);
		note_audit(h, b);
		for (size_t i = 0; i < b->n; i++)
			db_apply(&h->db, &b->op[i]);
		if (b->seq) {
			assert_int_equal(b->seq, h->durable + 1);
			h->durable = b->seq;
			struct event *e = event_new(EV_STORE_DURABLE);
			e->seq = h->durable;
			release_durable(&h->release, h->durable);
			apply(h, e);
		}
		store_batch_free(b);
	}
}

void harness_fail_after(struct harness *h, uint64_t seq)
{
	struct event *e = event_new(EV_STORE_FAILED);

	while (h->first) {
		struct store_batch *b = take_batch(h);
		if (b->seq <= seq) {
			note_audit(h, b);
			for (size_t i = 0; i < b->n; i++)
				db_apply(&h->db, &b->op[i]);
			if (b->seq)
				h->durable = b->seq;
		}
		store_batch_free(b);
	}
	e->seq = h->durable;
	e->epoch = ++h->epoch;
	release_failed(&h->release, h->durable, "disk full");
	apply(h, e);
}

void harness_fail(struct harness *h)
{
	harness_fail_after(h, h->durable);
	harness_settle(h);
}

void harness_settle(struct harness *h)
{
	for (;;) {
		if (!h->hold)
			harness_commit(h);
		if (h->n_jobs && !h->hold_jobs) {
			struct job *j = h->jobs[0];

			h->n_jobs--;
			memmove(h->jobs, h->jobs + 1, h->n_jobs * sizeof h->jobs[0]);
			job_run(j);
			apply(h, MOVE(j->home));
			continue;
		}
		if (h->hold_rounds || !core_wants_flush(h->core))
			break;
		h->rounds++;
		apply(h, event_new(EV_FLUSH));
	}
	if (!h->hold)
		harness_commit(h);
}

void harness_apply(struct harness *h, struct event *e)
{
	apply(h, e);
	harness_settle(h);
}

void harness_step(struct harness *h, int64_t ms)
{
	int64_t end = h->now.mono_ms + ms;

	for (;;) {
		int64_t at = core_deadline_ms(h->core);
		if (at > end)
			break;
		if (at > h->now.mono_ms) {
			h->now.wall_ms += at - h->now.mono_ms;
			h->now.mono_ms = at;
		}
		harness_apply(h, event_new(EV_TICK));
	}
	h->now.wall_ms += end - h->now.mono_ms;
	h->now.mono_ms = end;
}

struct core_settings harness_settings(void)
{
	static struct tailcfg_derp_node node = { .name = "900a", .region_id = 900, .host_name = "derp.example.com" };
	static struct tailcfg_derp_region region = { .region_id = 900, .region_code = "home", .region_name = "Home", .nodes = &node,
		.n_nodes = 1 };
	static struct tailcfg_derp_map map = { .regions = &region, .n_regions = 1 };
	struct core_settings s = {
		.server_url = "https://vpn.example.com", .base_domain = "tail.example.com", .domain = "example.com",
		.v4 = { .addr = addr_v4(100, 64, 0, 0), .bits = 10 },
		.magic_dns = true, .derp_map = &map, .node_expiry_ms = 180LL * 86400 * 1000, .ephemeral_timeout_ms = 120000,
		.offline_grace_ms = 3000, .restart_grace_ms = 45000, .announce_wait_ms = 2000, .pending_ttl_ms = 7LL * 86400 * 1000,
		.max_pending = 100, .max_pending_per_addr = 4, .taildrop = true, .min_capver = 113,
	};

	assert_ok(prefix_parse(BYTES_LIT("fd7a:115c:a1e0::/48"), &s.v6));
	return s;
}

void harness_start(struct harness *h, const struct core_settings *cfg)
{
	char why[300];

	memset(h, 0, sizeof *h);
	test_random_seed(42);
	h->set = cfg ? *cfg : harness_settings();
	h->now = (struct now){ .mono_ms = 1000000, .wall_ms = 1800000000000LL };
	h->epoch = 1;
	h->last = &h->first;
	h->release.hooks = (struct release_hooks){ h, on_store, on_admit, on_revoke, on_job };
	struct store_image none = { 0 };
	err e = core_new(&h->set, &none, h->now, why, sizeof why, &h->core);
	if (e != OK)
		fail_msg("core_new: %s", why);
}

static void copy_image(const struct store_image *from, struct store_image *to)
{
	memset(to, 0, sizeof *to);
#define COPY(name, list, n_list)                                                                                       \
	do {                                                                                                           \
		to->n_list = from->n_list;                                                                             \
		to->list = calloc(from->n_list + 1, sizeof *to->list);                                                 \
		assert_non_null(to->list);                                                                             \
		for (size_t i = 0; i < from->n_list; i++)                                                              \
			assert_ok(name##_row_copy(&from->list[i], &to->list[i]));                                      \
	} while (0)
	COPY(tailnet, tailnets, n_tailnets);
	COPY(user, users, n_users);
	COPY(node, nodes, n_nodes);
	COPY(authkey, authkeys, n_authkeys);
	COPY(apikey, apikeys, n_apikeys);
	COPY(pending, pendings, n_pendings);
	COPY(identity, identities, n_identities);
	COPY(account, accounts, n_accounts);
	COPY(passkey, passkeys, n_passkeys);
	COPY(wish, wishes, n_wishes);
	COPY(signin, signins, n_signins);
	COPY(ssh_approval, ssh_approvals, n_ssh_approvals);
	COPY(lock_aum, lock_aums, n_lock_aums);
	COPY(service, services, n_services);
	COPY(policy, policies, n_policies);
	COPY(webhook, webhooks, n_webhooks);
	COPY(setting, settings, n_settings);
#undef COPY
}

static struct core *core_of_db(struct harness *h)
{
	struct store_image image;
	struct core *c;
	char why[300];

	copy_image(&h->db, &image);
	err e = core_new(&h->set, &image, h->now, why, sizeof why, &c);
	if (e != OK)
		fail_msg("core_new: %s", why);
	return c;
}

static void kill_core(struct harness *h)
{
	core_close(h->core, h->now, &h->fx);
	assert_ok(release_add(&h->release, &h->fx));
	release_done(&h->release);
	effects_done(&h->fx);
	core_free(h->core);
	h->n_jobs = 0;
	while (h->first)
		store_batch_free(take_batch(h));
}

void harness_restart(struct harness *h)
{
	kill_core(h);
	h->durable = 0;
	h->epoch = 1;
	h->release.hooks = (struct release_hooks){ h, on_store, on_admit, on_revoke, on_job };
	h->core = core_of_db(h);
	core_admit_all(h->core, &h->fx);
	assert_ok(release_add(&h->release, &h->fx));
	harness_settle(h);
}

void harness_stop(struct harness *h)
{
	kill_core(h);
	reply_free(h->reply);
	store_image_done(&h->db);
	for (size_t i = 0; i < h->n_audits; i++)
		audit_row_done(&h->audits[i]);
	free(h->audits);
	test_random_end();
}

/* ---- commands ---- */

struct harness_call {
	struct call call;
	struct harness *h;
	struct reply *reply;
	bool abandoned;
};

static void on_reply(struct call *call, struct reply *taken)
{
	struct harness_call *hc = container_of(call, struct harness_call, call);

	hc->reply = taken;
	if (hc->abandoned) { /* late: the test looks at h->reply */
		reply_free(hc->h->reply);
		hc->h->reply = taken;
		free(hc);
	}
}

struct reply *harness_command(struct harness *h, struct command *m)
{
	struct harness_call *hc = calloc(1, sizeof *hc);
	struct event *e = event_new(EV_COMMAND);

	hc->call.deliver = on_reply;
	hc->h = h;
	e->command = m;
	e->call = &hc->call;
	harness_apply(h, e);
	reply_free(h->reply);
	h->reply = hc->reply;
	if (hc->reply)
		free(hc);
	else
		hc->abandoned = true;
	return h->reply;
}

int64_t harness_user(struct harness *h, const char *name)
{
	struct command *m = command_new(CMD_USER_CREATE);

	m->name = arena_str(&m->arena, bytes_str(name));
	struct reply *r = harness_command(h, m);
	if (!r)
		return 0;
	assert_ok(r->e);
	return r->users[0].id;
}

const char *harness_authkey_tags(struct harness *h, const char *user, unsigned flags, const char *tag)
{
	struct command *m = command_new(CMD_AUTHKEY_CREATE);
	static char text[8][128];
	static unsigned at;

	m->user = arena_str(&m->arena, bytes_str(user ? user : ""));
	m->reusable = flags & AK_REUSABLE;
	m->ephemeral = flags & AK_EPHEMERAL;
	const char **tags = arena_array(&m->arena, 1, sizeof(*tags));
	tags[0] = tag;
	m->tags = tags;
	m->n_tags = tag != NULL;
	struct reply *r = harness_command(h, m);
	assert_non_null(r);
	assert_ok(r->e);
	char *out = text[at++ % 8];
	snprintf(out, 128, "%s", r->secret);
	return out;
}

const char *harness_authkey(struct harness *h, const char *user, unsigned flags)
{
	return harness_authkey_tags(h, user, flags, NULL);
}

struct reply *harness_node_command(struct harness *h, enum command_kind kind, int64_t id)
{
	struct command *m = command_new(kind);

	m->id = id;
	return harness_command(h, m);
}

/* ---- dumps ---- */

static int by_line(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static char *dump(struct core *c)
{
	struct buf out = buf_make(16 << 20);
	size_t at = 0, n = 0;
	char k[KEY_TEXT_MAX], a4[ADDR_TEXT_MAX], a6[ADDR_TEXT_MAX], route[PREFIX_TEXT_MAX];

	for (struct node *x; (x = map_next(&c->nodes, &at));) {
		assert_true(node_by_key(c, &x->row.key) == x);
		assert_true(map_get(&x->t->nodes_by_name, x->name_key) == x);
		assert_true(!x->row.v4.family || map_get(&x->t->nodes_by_v4, &x->row.v4) == x);
		assert_true(!x->row.v6.family || map_get(&x->t->nodes_by_v6, &x->row.v6) == x);
		buf_printf(&out, "node %lld user=%lld shown=%lld key=%s v4=%s v6=%s name=%s auto=%d exp=%lld eph=%d ok=%d attrs=%zu tags=", (long long)x->row.id,
				(long long)x->row.user_id, (long long)x->m.user_id, node_pub_text(&x->row.key, k), addr_text(x->row.v4, a4),
				addr_text(x->row.v6, a6), x->row.given_name, x->row.given_name_auto, (long long)x->row.expires_ms, x->row.ephemeral,
				x->row.authorized, x->row.n_attrs);
		for (size_t i = 0; i < x->row.n_tags; i++)
			buf_printf(&out, "%s,", x->row.tags[i]);
		for (size_t i = 0; i < x->row.n_approved; i++)
			buf_printf(&out, " route=%s", prefix_text(x->row.approved_routes[i], route));
		buf_append_str(&out, "\n");
		n++;
	}
	at = 0;
	for (struct user *x; (x = map_next(&c->users, &at)); n++)
		buf_printf(&out, "user %lld %s nodes=%zu role=%d suspended=%d waits=%d\n", (long long)x->row.id, x->row.name, x->n_nodes, (int)x->row.role,
				x->row.suspended_ms != 0, x->row.waits_ms != 0);
	at = 0;
	for (struct authkey *x; (x = map_next(&c->authkeys, &at)); n++) {
		assert_true(map_get(&c->authkeys_by_prefix, x->row.prefix) == x);
		buf_printf(&out, "authkey %lld %s used=%d revoked=%lld\n", (long long)x->row.id, x->row.prefix, x->row.used, (long long)x->row.revoked_ms);
	}
	at = 0;
	for (struct apikey *x; (x = map_next(&c->apikeys, &at)); n++)
		buf_printf(&out, "apikey %lld %s exp=%lld\n", (long long)x->row.id, x->row.prefix, (long long)x->row.expires_ms);
	at = 0;
	for (struct pending *x; (x = map_next(&c->pendings, &at)); n++) {
		assert_true(map_get(&c->pendings_by_key, &x->row.key) == x);
		assert_true(map_get(&c->pendings_by_machine, &x->row.machine) == x);
		buf_printf(&out, "pending %s %s\n", x->row.auth_id, x->row.hostname);
	}
	at = 0;
	for (struct identity *x; (x = map_next(&c->identities, &at)); n++)
		buf_printf(&out, "identity %lld user=%lld %s %s groups=%zu gone=%lld\n", (long long)x->row.id, (long long)x->row.user_id,
				x->row.subject, x->row.login, x->row.n_groups, (long long)x->row.gone_ms);
	at = 0;
	for (struct account *x; (x = map_next(&c->accounts, &at)); n++)
		buf_printf(&out, "account %lld user=%lld %s step=%lld\n", (long long)x->row.id, (long long)x->row.user_id, x->row.password,
				(long long)x->row.totp_step);
	at = 0;
	for (struct wish *x; (x = map_next(&c->wishes, &at)); n++)
		buf_printf(&out, "wish %lld user=%lld %s (%s)\n", (long long)x->row.id, (long long)x->row.user_id, x->row.what, x->row.why);
	at = 0;
	for (struct passkey *x; (x = map_next(&c->passkeys, &at)); n++) {
		assert_true(map_get(&c->passkeys_by_hash, x->hash) == x);
		buf_printf(&out, "passkey %lld user=%lld %s count=%lld used=%lld of %zu\n", (long long)x->row.id, (long long)x->row.user_id,
				x->row.name, (long long)x->row.sign_count, (long long)x->row.used_ms, x->row.n_cose);
	}
	at = 0;
	for (struct signin *x; (x = map_next(&c->signins, &at)); n++) {
		assert_true(map_get(&c->signins_by_hash, x->row.hash) == x);
		buf_printf(&out, "signin %lld user=%lld until=%lld\n", (long long)x->row.id, (long long)x->row.user_id, (long long)x->row.expires_ms);
	}
	at = 0;
	for (struct service *x; (x = map_next(&c->services, &at)); n++)
		buf_printf(&out, "service %s %s hosts=%zu approved=%zu\n", x->row.name, addr_text(x->row.v4, a4), x->row.n_hosts, x->row.n_approved);
	at = 0;
	for (struct lock_aum *x; (x = map_next(&c->lock_aums, &at)); n++)
		buf_printf(&out, "update %lld of %zu\n", (long long)x->row.id, x->row.n_raw);
	for (size_t i = 0; i < c->n_tailnets; i++, n++)
		buf_printf(&out, "lock %d %d %s\n", c->tailnets[i]->map.lock_on, c->tailnets[i]->map.lock_off, c->tailnets[i]->map.lock_head ? c->tailnets[i]->map.lock_head : "");
	at = 0;
	for (struct ssh_approval *x; (x = map_next(&c->ssh_approvals, &at)); n++)
		buf_printf(&out, "ssh %lld to %lld user=%lld at=%lld\n", (long long)x->row.pair.src, (long long)x->row.pair.dst,
				(long long)x->row.user_id, (long long)x->row.approved_ms);
	for (size_t i = 0; i < c->n_tailnets; i++)
		for (size_t ver = 0; ver < c->tailnets[i]->n_versions; ver++, n++) {
			struct policy_row *p = &c->tailnets[i]->versions[ver]->row;
			buf_printf(&out, "policy %lld version %lld %s\n", (long long)p->id, (long long)p->version, p->text);
		}
	buf_append_u8(&out, 0);
	assert_false(out.bad);
	/* sorted lines */
	char **lines = calloc(n + 1, sizeof *lines), *text = (char *)out.p, *sorted = calloc(1, buf_len(&out) + 1), *p = sorted;
	size_t k2 = 0;
	for (char *line = text, *end; (end = strchr(line, '\n')); line = end + 1) {
		*end = 0;
		lines[k2++] = line;
	}
	qsort(lines, k2, sizeof *lines, by_line);
	for (size_t i = 0; i < k2; i++) {
		size_t len = strlen(lines[i]);
		memcpy(p, lines[i], len);
		p[len] = '\n';
		p += len + 1;
	}
	free(lines);
	buf_done(&out);
	return sorted;
}

char *harness_dump(struct harness *h)
{
	return dump(h->core);
}

char *harness_dump_db(struct harness *h)
{
	struct core *c = core_of_db(h);
	char *text = dump(c);

	core_free(c);
	return text;
}

/* ---- devices ---- */

static void sink_send(struct map_sink *s, struct map_msg *m)
{
	struct fake_sink *f = container_of(s, struct fake_sink, sink);
	uint8_t head[4];
	size_t len;
	struct buf text = buf_make(64 << 20);
	json_error_t je;

	if (f->hung_up)
		return; /* was on its way */
	assert_false(f->ended);
	assert_ok(map_msg_head(m, false, head, &len));
	for (size_t i = 0;; i++) {
		struct bytes b = map_msg_piece(m, false, i);
		if (!b.n)
			break;
		buf_append(&text, b);
	}
	assert_int_equal(buf_len(&text), len);
	json_t *v = json_loadb((const char *)buf_view(&text).p, buf_len(&text), 0, &je);
	if (!v)
		fail_msg("map is no JSON: %s", je.text);
	buf_done(&text);
	if (f->n == f->cap) {
		f->cap = f->cap ? f->cap * 2 : 8;
		f->msg = realloc(f->msg, f->cap * sizeof *f->msg);
	}
	f->msg[f->n++] = v;
}

static void sink_end(struct map_sink *s)
{
	container_of(s, struct fake_sink, sink)->ended = true;
}

static void sink_refuse(struct map_sink *s, int status, const char *why)
{
	struct fake_sink *f = container_of(s, struct fake_sink, sink);

	(void)why;
	f->refused = status;
	f->ended = true;
}

static void sink_free(struct fake_sink *f)
{
	for (size_t i = 0; i < f->n; i++)
		json_decref(f->msg[i]);
	free(f->msg);
	free(f);
}

static void sink_destroy(struct map_sink *s)
{
	sink_free(container_of(s, struct fake_sink, sink));
}

void device_init(struct device *d, struct harness *h, const char *hostname)
{
	unsigned i = ++h->devices;

	memset(d, 0, sizeof *d);
	d->h = h;
	snprintf(d->hostname, sizeof d->hostname, "%s", hostname);
	random_fill(&d->machine, 32);
	random_fill(&d->key, 32);
	random_fill(&d->disco, 32);
	d->from = addr_v4(192, 0, 2, (uint8_t)i);
	d->version = 130;
	d->home = 900;
	d->endpoint = (struct addrport){ addr_v4(198, 51, 100, (uint8_t)i), 41641 };
}

static void drop_stream(struct device *d)
{
	if (d->stream)
		map_sink_unref(&d->stream->sink);
	d->stream = NULL;
}

void device_done(struct device *d)
{
	drop_stream(d);
	json_decref(d->resp);
	d->resp = NULL;
}

void device_new_key(struct device *d)
{
	d->old_key = d->key;
	random_fill(&d->key, 32);
}

static void on_device_reply(struct call *call, struct reply *r)
{
	struct device *d = container_of(call, struct device, call);

	d->waiting = false;
	d->status = r->e == ERR_CLOSED ? -1 : r->http_status ? r->http_status : 200;
	json_decref(d->resp);
	d->resp = r->body.n ? json_loadb((const char *)r->body.p, r->body.n, 0, NULL) : NULL;
	reply_free(r);
}

static struct tailcfg_hostinfo *hostinfo(struct device *d, struct arena *a, bool net)
{
	struct tailcfg_hostinfo *hi;
	struct json_why why;
	struct buf text = buf_make(1 << 20);

	buf_printf(&text, "{\"Hostname\":\"%s\",\"OS\":\"linux\"", d->hostname);
	if (d->request_tag)
		buf_printf(&text, ",\"RequestTags\":[\"%s\"]", d->request_tag);
	if (d->route)
		buf_printf(&text, ",\"RoutableIPs\":[\"%s\"]", d->route);
	if (net && d->home)
		buf_printf(&text, ",\"NetInfo\":{\"PreferredDERP\":%d}", d->home);
	if (d->services_hash && *d->services_hash)
		buf_printf(&text, ",\"ServicesHash\":\"%s\"", d->services_hash);
	buf_append_u8(&text, '}');
	assert_ok(tailcfg_hostinfo_parse(buf_view(&text), a, &hi, &why));
	buf_done(&text);
	return hi;
}

static json_t *send_register(struct device *d, const char *auth_key, const char *followup, bool has_expiry, int64_t expiry_ms)
{
	struct event *e = event_new(EV_REGISTER);
	struct tailcfg_register_request *r = arena_alloc(&e->arena, sizeof *r);

	r->version = d->version;
	r->node_key = d->key;
	r->old_node_key = d->old_key;
	r->auth_key = arena_str(&e->arena, bytes_str(auth_key ? auth_key : ""));
	r->followup = arena_str(&e->arena, bytes_str(followup ? followup : ""));
	r->has_expiry = has_expiry;
	r->expiry_ms = expiry_ms;
	r->hostinfo = hostinfo(d, &e->arena, false);
	r->ephemeral = d->ephemeral;
	r->signature_type = "";
	r->tailnet = "";
	e->reg = r;
	e->machine = d->machine;
	e->remote = d->from;
	d->call.deliver = on_device_reply;
	d->status = 0;
	d->waiting = true;
	json_decref(d->resp);
	d->resp = NULL;
	e->call = &d->call;
	harness_apply(d->h, e);
	return d->resp;
}

json_t *device_register(struct device *d, const char *auth_key)
{
	return send_register(d, auth_key, NULL, false, 0);
}

json_t *device_followup(struct device *d, const char *url)
{
	return send_register(d, NULL, url, false, 0);
}

json_t *device_logout(struct device *d)
{
	return send_register(d, NULL, NULL, true, 123000);
}

json_t *device_register_expiry(struct device *d, int64_t expiry_ms)
{
	return send_register(d, NULL, NULL, true, expiry_ms);
}

static struct tailcfg_map_request *map_request(struct device *d, struct event *e, bool full)
{
	struct tailcfg_map_request *m = arena_alloc(&e->arena, sizeof *m);

	m->version = d->version;
	m->keep_alive = true;
	m->node_key = d->key;
	m->has_hostinfo = full;
	m->hostinfo = hostinfo(d, &e->arena, true);
	if (full) {
		m->disco_key = d->disco;
		if (d->endpoint.port) {
			m->has_endpoints = true;
			m->endpoints = arena_alloc(&e->arena, sizeof *m->endpoints);
			m->endpoints[0] = (struct tailcfg_endpoint){ d->endpoint, 1 };
			m->n_endpoints = 1;
		}
	}
	e->map = m;
	e->machine = d->machine;
	e->remote = d->from;
	return m;
}

void device_lite(struct device *d)
{
	struct event *e = event_new(EV_MAP_LITE);
	struct tailcfg_map_request *m = map_request(d, e, true);

	m->omit_peers = true;
	d->call.deliver = on_device_reply;
	d->status = 0;
	d->waiting = true;
	e->call = &d->call;
	harness_apply(d->h, e);
}

void device_stream(struct device *d)
{
	struct event *e = event_new(EV_MAP_STREAM);
	struct fake_sink *f = calloc(1, sizeof *f);

	struct tailcfg_map_request *m = map_request(d, e, false);
	m->stream = true;
	if (d->stream_says_disco)
		m->disco_key = d->disco;
	f->sink = (struct map_sink){ .refs = 1, .send = sink_send, .end = sink_end, .refuse = sink_refuse, .destroy = sink_destroy };
	drop_stream(d);
	d->stream = f;
	e->sink = map_sink_ref(&f->sink);
	harness_apply(d->h, e);
}

void device_hang_up(struct device *d)
{
	if (!d->stream)
		return;
	struct event *e = event_new(EV_SINK_CLOSED);
	e->sink = map_sink_ref(&d->stream->sink);
	d->stream->hung_up = true;
	harness_apply(d->h, e);
	drop_stream(d);
}

json_t *device_next(struct device *d)
{
	struct fake_sink *f = d->stream;

	return f && f->at < f->n ? f->msg[f->at++] : NULL;
}

void device_skip(struct device *d)
{
	if (d->stream)
		d->stream->at = d->stream->n;
}

int64_t device_node_id(struct device *d)
{
	struct node *n = node_by_key(d->h->core, &d->key);

	return n ? n->row.id : 0;
}

int64_t device_join(struct device *d, const char *auth_key)
{
	json_t *resp = device_register(d, auth_key);
	const char *error = resp ? json_string_value(json_object_get(resp, "Error")) : "no answer";

	if (error && *error)
		fail_msg("register: %s", error);
	device_stream(d);
	device_lite(d);
	assert_int_equal(d->status, 200);
	device_skip(d);
	return device_node_id(d);
}

int device_request(struct device *d, const char *path, const char *body)
{
	struct event *e = event_new(EV_NODE_REQUEST);

	e->method = "POST";
	e->path = arena_str(&e->arena, bytes_str(path));
	e->body = bytes_str(arena_str(&e->arena, bytes_str(body)));
	e->machine = d->machine;
	e->call = &d->call;
	d->call.deliver = on_device_reply;
	d->status = 0;
	harness_apply(d->h, e);
	return d->status;
}
