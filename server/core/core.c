#include "server/core/core.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/cleanup.h"
#include "common/base/log.h"
#include "server/core/settings.h"
#include "server/core/state.h"

/* ---- effects ---- */

void effect_done(struct effect *e)
{
	reply_free(e->reply);
	map_msg_unref(e->msg);
	for (size_t i = 0; i < e->n_sinks; i++)
		map_sink_unref(e->sinks[i]);
	free(e->sinks);
	store_batch_free(e->batch);
	if (e->changed)
		audit_row_done(e->changed);
	free(e->changed);
	*e = (struct effect){ 0 };
}

void effects_done(struct effects *fx)
{
	for (size_t i = 0; i < fx->n; i++)
		effect_done(&fx->e[i]);
	free(fx->e);
	*fx = (struct effects){ 0 };
}

static bool fx_reserve(struct core *c, size_t more)
{
	struct effects *fx = c->fx;

	if (fx->cap - fx->n >= more)
		return true;
	size_t cap = fx->cap ? fx->cap : 2 * FX_ROOM;
	while (cap - fx->n < more)
		cap *= 2;
	struct effect *e = realloc(fx->e, cap * sizeof *e);
	if (!e)
		return false;
	fx->e = e;
	fx->cap = cap;
	return true;
}

/* e's contents are taken. */
static void fx_add(struct core *c, struct effect e)
{
	/* The last slots belong to replies: dropping one would leave its asker waiting for ever. */
	size_t need = e.kind == FX_REPLY || e.kind == FX_JOB ? 1 : FX_ROOM / 2;

	if (!fx_reserve(c, need) && c->fx->cap == c->fx->n) {
		c->fx_failed = true;
		effect_done(&e);
		return;
	}
	c->fx->e[c->fx->n++] = e;
}

void fx_reply(struct core *c, struct call *call, struct reply *taken)
{
	if (!call) {
		reply_free(taken);
		return;
	}
	fx_add(c, (struct effect){ .kind = FX_REPLY, .seq = FX_THIS_EVENT, .call = call, .reply = taken });
}

void fx_map(struct core *c, struct map_msg *taken, struct map_sink **taken_sinks, size_t n)
{
	fx_add(c, (struct effect){ .kind = FX_MAP, .seq = FX_THIS_EVENT, .msg = taken, .sinks = taken_sinks, .n_sinks = n });
}

static struct map_sink **one_sink(struct core *c, struct map_sink *s)
{
	struct map_sink **list = malloc(sizeof(*list));

	if (!list)
		c->fx_failed = true;
	else
		list[0] = map_sink_ref(s);
	return list;
}

void fx_map_one(struct core *c, struct map_msg *taken, struct map_sink *s)
{
	struct map_sink **list = one_sink(c, s);

	if (list)
		fx_map(c, taken, list, 1);
	else
		map_msg_unref(taken);
}

void fx_map_end(struct core *c, struct map_sink *s, int http_status, const char *why)
{
	struct map_sink **list = one_sink(c, s);

	if (list)
		fx_add(c, (struct effect){ .kind = FX_MAP_END, .seq = FX_THIS_EVENT, .sinks = list, .n_sinks = 1,
				.http_status = http_status, .why = why });
}

void fx_sink_unref(struct core *c, struct map_sink *taken)
{
	struct map_sink **list = malloc(sizeof(*list));

	if (!list) {
		map_sink_unref(taken);
		return;
	}
	list[0] = taken;
	fx_add(c, (struct effect){ .kind = FX_SINK_UNREF, .seq = FX_THIS_EVENT, .sinks = list, .n_sinks = 1 });
}

void fx_admit(struct core *c, const struct node_pub *key)
{
	fx_add(c, (struct effect){ .kind = FX_ADMIT, .seq = FX_THIS_EVENT, .key = *key });
}

void fx_revoke(struct core *c, const struct node_pub *key)
{
	fx_add(c, (struct effect){ .kind = FX_REVOKE, .seq = FX_THIS_EVENT, .key = *key });
}

void fx_store(struct core *c, struct store_batch *taken)
{
	fx_add(c, (struct effect){ .kind = FX_STORE, .batch = taken });
}

void fx_changed(struct core *c, struct audit_row *taken)
{
	struct audit_row *r = malloc(sizeof *r);

	if (r)
		*r = *taken;
	else
		audit_row_done(taken); /* who watches sees a gap in the numbers and asks the log */
	*taken = (struct audit_row){ 0 };
	if (r)
		fx_add(c, (struct effect){ .kind = FX_CHANGED, .seq = FX_THIS_EVENT, .changed = r });
}

void fx_job(struct core *c, struct job *j)
{
	fx_add(c, (struct effect){ .kind = FX_JOB, .job = j });
}

void reply_fail(struct reply *r, err e, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	r->e = e;
	r->message = arena_str(&r->arena, bytes_str(text));
	if (!r->message)
		r->message = "out of memory";
}

void answer_err(struct core *c, struct call *call, err e, const char *fmt, ...)
{
	struct reply *r = call ? reply_new() : NULL;
	char text[512];
	va_list ap;

	if (!r)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	reply_fail(r, e, "%s", text);
	fx_reply(c, call, r);
}

void answer_http(struct core *c, struct call *call, int status, const char *text)
{
	struct reply *r = call ? reply_new() : NULL;

	if (!r)
		return;
	r->http_status = status;
	if (text && *text) {
		char *copy = arena_str(&r->arena, bytes_str(text));
		r->body = bytes_str(copy);
	}
	fx_reply(c, call, r);
}

/* ---- start and end ---- */

struct tailnet *core_tailnet(struct core *c, int64_t id)
{
	for (size_t i = 0; i < c->n_tailnets; i++)
		if (c->tailnets[i]->row.id == id)
			return c->tailnets[i];
	return NULL;
}

static err add_tailnet(struct core *c, struct tailnet_row *taken)
{
	struct tailnet **list = realloc(c->tailnets, (c->n_tailnets + 1) * sizeof(*list));

	if (!list)
		return ERR_NOMEM;
	c->tailnets = list;
	TRY(tailnet_new(c, taken, &c->tailnets[c->n_tailnets]));
	c->n_tailnets++;
	return OK;
}

/* Rows are taken one by one; what is left in the image is freed by the caller. */
/* The newest time that somebody wrote down. */
static int64_t newest_of(const struct store_image *im)
{
	int64_t ms = 0;

	for (size_t i = 0; i < im->n_users; i++)
		ms = MAX_OF(ms, im->users[i].created_ms);
	for (size_t i = 0; i < im->n_authkeys; i++)
		ms = MAX_OF(ms, im->authkeys[i].created_ms);
	for (size_t i = 0; i < im->n_policies; i++)
		ms = MAX_OF(ms, im->policies[i].created_ms);
	for (size_t i = 0; i < im->n_pendings; i++)
		ms = MAX_OF(ms, im->pendings[i].created_ms);
	for (size_t i = 0; i < im->n_nodes; i++)
		ms = MAX_OF(ms, MAX_OF(im->nodes[i].created_ms, im->nodes[i].last_seen_ms));
	return ms;
}

static err load(struct core *c, struct store_image *im, char *why, size_t why_cap)
{
	for (size_t i = 0; i < im->n_settings; i++)
		TRY(setting_set_memory(c, &im->settings[i]));
	const char *next = setting_get(c, 0, "next_id");
	uint64_t reserved = 0;
	if (next && bytes_parse_u64(bytes_str(next), INT64_MAX / 2, &reserved) != OK) {
		snprintf(why, why_cap, "the database is damaged: setting next_id is \"%.40s\"", next);
		return ERR_MALFORMED;
	}
	c->next_id = c->ids_reserved = (int64_t)reserved > 0 ? (int64_t)reserved : 1;
	next = setting_get(c, 0, AUDIT_ID_SETTING);
	reserved = 0;
	if (next && bytes_parse_u64(bytes_str(next), INT64_MAX / 2, &reserved) != OK) {
		snprintf(why, why_cap, "the database is damaged: setting " AUDIT_ID_SETTING " is \"%.40s\"", next);
		return ERR_MALFORMED;
	}
	c->next_audit = c->audits_reserved = (int64_t)reserved > 0 ? (int64_t)reserved : 1;
	addrs_load(c);

	for (size_t i = 0; i < im->n_tailnets; i++)
		TRY(add_tailnet(c, &im->tailnets[i]));
	if (!core_tailnet(c, 1)) {
		struct tailnet_row first = { .id = 1, .name = strdup("default") };
		if (!first.name)
			return ERR_NOMEM;
		err e = add_tailnet(c, &first);
		tailnet_row_done(&first);
		TRY(e);
	}
	for (size_t i = 0; i < im->n_users; i++)
		TRY(user_put_memory(c, &im->users[i]));
	for (size_t i = 0; i < im->n_identities; i++)
		TRY(identity_put_memory(c, &im->identities[i]));
	for (size_t i = 0; i < im->n_accounts; i++)
		TRY(account_put_memory(c, &im->accounts[i]));
	for (size_t i = 0; i < im->n_wishes; i++)
		TRY(wish_put_memory(c, &im->wishes[i]));
	for (size_t i = 0; i < im->n_passkeys; i++)
		TRY(passkey_put_memory(c, &im->passkeys[i]));
	for (size_t i = 0; i < im->n_signins; i++)
		TRY(signin_put_memory(c, &im->signins[i]));
	for (size_t i = 0; i < im->n_authkeys; i++)
		TRY(authkey_put_memory(c, &im->authkeys[i]));
	for (size_t i = 0; i < im->n_apikeys; i++)
		TRY(apikey_put_memory(c, &im->apikeys[i]));
	for (size_t i = 0; i < im->n_drafts; i++)
		TRY(draft_put_memory(c, &im->drafts[i]));
	for (size_t i = 0; i < im->n_webhooks; i++)
		TRY(webhook_put_memory(c, &im->webhooks[i]));
	for (size_t i = 0; i < im->n_policies; i++) {
		if (core_tailnet(c, im->policies[i].tailnet_id))
			TRY(policy_put_memory(c, &im->policies[i]));
	}
	for (size_t i = 0; i < c->n_tailnets; i++) {
		struct tailnet *t = c->tailnets[i];
		struct policy_faults faults = { 0 };
		struct policy *p;

		if (!t->n_versions)
			continue;
		err e = policy_parse(bytes_str(or_empty(policy_in_force(t)->text)), &p, &faults);
		if (e != OK) {
			snprintf(why, why_cap, "the stored policy does not work with this version: %s",
					faults.n ? faults.fault[0].text : err_text(e));
			return e;
		}
		TRY(tailnet_apply_policy(c, t, p));
	}
	for (size_t i = 0; i < im->n_nodes; i++) {
		int64_t id = im->nodes[i].id;
		err e = node_put_memory(c, &im->nodes[i]);
		if (e != OK) {
			snprintf(why, why_cap, "node %" PRId64 " of the database cannot be used: %s", id, err_text(e));
			return e;
		}
		presence_start(c, node_by_id(c, id));
	}
	for (size_t i = 0; i < im->n_services; i++)
		TRY(service_put_memory(c, &im->services[i]));
	TRY(services_rebuild(c));
	for (size_t i = 0; i < im->n_lock_aums; i++)
		TRY(lock_aum_put_memory(c, &im->lock_aums[i]));
	if (locks_rebuild(c) != OK) {
		snprintf(why, why_cap, "the tailnet lock of the database cannot be used");
		return ERR_MALFORMED;
	}
	for (size_t i = 0; i < im->n_ssh_approvals; i++)
		TRY(ssh_approval_put_memory(c, &im->ssh_approvals[i]));
	for (size_t i = 0; i < im->n_pendings; i++)
		TRY(pending_put_memory(c, &im->pendings[i]));
	return OK;
}

err core_new(const struct core_settings *cfg, struct store_image *image, struct now now, char *why, size_t why_cap,
		struct core **out)
{
	struct core *c = calloc(1, sizeof *c);
	struct effects fx = { 0 };

	if (why_cap)
		why[0] = 0;
	if (!c)
		return ERR_NOMEM;
	c->set = *cfg;
	c->now = now;
	c->epoch = 1;
	c->users = MAP_OF(struct user, row.id);
	c->nodes = MAP_OF(struct node, row.id);
	c->nodes_by_key = MAP_OF(struct node, row.key);
	c->nodes_by_disco = MAP_OF(struct node, row.disco);
	c->machines = MAP_OF(struct machine, key);
	c->authkeys = MAP_OF(struct authkey, row.id);
	c->authkeys_by_prefix = MAP_OF(struct authkey, row.prefix);
	c->apikeys = MAP_OF(struct apikey, row.id);
	c->apikeys_by_prefix = MAP_OF(struct apikey, row.prefix);
	c->pendings = MAP_OF(struct pending, row.auth_id);
	c->pendings_by_key = MAP_OF(struct pending, row.key);
	c->pendings_by_machine = MAP_OF(struct pending, row.machine);
	c->c2n = c2n_map();
	list_init(&c->c2n_askers);
	c->identities = MAP_OF(struct identity, row.id);
	c->accounts = MAP_OF(struct account, row.user_id);
	c->wishes = MAP_OF(struct wish, row.id);
	c->passkeys = MAP_OF(struct passkey, row.id);
	c->passkeys_by_hash = MAP_OF(struct passkey, hash);
	c->signins = MAP_OF(struct signin, row.id);
	c->signins_by_hash = MAP_OF(struct signin, row.hash);
	c->webhooks = MAP_OF(struct webhook, row.id);
	c->drafts = MAP_OF(struct draft, row.id);
	c->settings = MAP_OF(struct setting, name_key);
	c->addrs = MAP_OF(struct recent_addr, addr);
	c->services = MAP_OF(struct service, row.id);
	c->lock_aums = MAP_OF(struct lock_aum, row.hash);
	c->ssh_approvals = MAP_OF(struct ssh_approval, row.pair);
	c->ssh_checks = ssh_checks_map();
	list_init(&c->lazy);
	list_init(&c->gone);
	list_init(&c->undos);
	list_init(&c->jobs);
	c->policies = MAP_OF(struct policy_version, row.id);
	c->lazy_timer.fire = on_lazy_timer;
	c->audit_timer.fire = on_audit_timer;
	c->addrs_timer.fire = on_addrs_timer;
	c->fx = &fx;
	c->tx = 1;
	clock_start(c, newest_of(image));
	err e = timers_reserve(&c->timers, 64);
	if (e == OK)
		timer_arm(&c->timers, &c->audit_timer, now.mono_ms + AUDIT_TRIM_MS);
	c->replaying = true;
	if (e == OK)
		e = load(c, image, why, why_cap);
	c->replaying = false;
	for (size_t i = 0; i < c->n_image; i++)
		image_done(&c->image[i]);
	c->n_image = 0;
	effects_done(&fx);
	c->fx = NULL;
	store_image_done(image);
	if (e != OK) {
		if (why_cap && !why[0])
			snprintf(why, why_cap, "the tailnets cannot be loaded: %s", err_text(e));
		core_free(c);
		return e;
	}
	for (size_t i = 0; i < c->n_tailnets; i++) { /* nobody listens yet: nothing to tell */
		struct tailnet *t = c->tailnets[i];
		list_each_safe(it, &t->dirty) {
			struct node *n = container_of(it, struct node, of_dirty);
			n->dirty = 0;
			list_del(it);
		}
		t->flush = t->reveal = t->compare_all = t->full_all = t->dns_dirty = t->derp_dirty = t->lock_dirty = t->services_dirty = false;
		free(t->filter_classes);
		t->filter_classes = NULL;
		t->n_filter_classes = 0;
	}
	*out = c;
	return OK;
}

static void free_all(struct map *m)
{
	size_t at = 0;

	for (void *o; (o = map_next(m, &at));)
		free(o);
	map_done(m);
}

void core_free(struct core *c)
{
	struct effects fx = { 0 };
	size_t at;

	if (!c)
		return;
	c->fx = &fx;
	jobs_drop(c);
	gone_done(c);
	at = 0;
	for (struct node *n; (n = map_next(&c->nodes, &at));) {
		if (n->session)
			session_drop(c, n->session, true);
		if (n->reader)
			session_drop(c, n->reader, true);
		node_drop_memory(c, n->row.id);
	}
	ssh_checks_free(c);
	at = 0;
	for (struct pending *p; (p = map_next(&c->pendings, &at));)
		pending_drop_memory(c, p->row.auth_id);
	at = 0;
	for (struct signin *s; (s = map_next(&c->signins, &at));)
		signin_drop_memory(c, s->row.id);
	at = 0;
	for (struct passkey *p; (p = map_next(&c->passkeys, &at));)
		passkey_drop_memory(c, p->row.id);
	at = 0;
	for (struct wish *w; (w = map_next(&c->wishes, &at));)
		wish_drop_memory(c, w->row.id);
	at = 0;
	for (struct account *a; (a = map_next(&c->accounts, &at));)
		account_drop_memory(c, a->row.user_id);
	at = 0;
	for (struct identity *i; (i = map_next(&c->identities, &at));)
		identity_drop_memory(c, i->row.id);
	at = 0;
	for (struct user *u; (u = map_next(&c->users, &at));)
		user_drop_memory(c, u->row.id);
	at = 0;
	for (struct authkey *k; (k = map_next(&c->authkeys, &at));)
		authkey_drop_memory(c, k->row.id);
	at = 0;
	for (struct apikey *k; (k = map_next(&c->apikeys, &at));)
		apikey_drop_memory(c, k->row.id);
	at = 0;
	for (struct webhook *w; (w = map_next(&c->webhooks, &at));)
		webhook_drop_memory(c, w->row.id);
	map_done(&c->webhooks);
	at = 0;
	for (struct draft *d; (d = map_next(&c->drafts, &at));)
		draft_drop_memory(c, d->row.id);
	map_done(&c->drafts);
	at = 0;
	for (struct policy_version *v; (v = map_next(&c->policies, &at));)
		policy_drop_memory(c, v->row.id);
	at = 0;
	for (struct setting *s; (s = map_next(&c->settings, &at));)
		setting_row_done(&s->row);
	audit_list_done(&c->notes);
	undo_forget(c, UINT64_MAX);
	for (size_t i = 0; i < c->n_image; i++)
		image_done(&c->image[i]);
	free(c->image);
	for (size_t i = 0; i < c->n_tailnets; i++)
		tailnet_free(c->tailnets[i]);
	free(c->tailnets);
	map_done(&c->users);
	map_done(&c->policies);
	map_done(&c->nodes);
	map_done(&c->nodes_by_key);
	map_done(&c->nodes_by_disco);
	free_all(&c->machines);
	map_done(&c->identities);
	map_done(&c->signins);
	map_done(&c->accounts);
	map_done(&c->wishes);
	map_done(&c->passkeys);
	map_done(&c->passkeys_by_hash);
	map_done(&c->signins_by_hash);
	map_done(&c->authkeys);
	map_done(&c->authkeys_by_prefix);
	map_done(&c->apikeys);
	map_done(&c->apikeys_by_prefix);
	map_done(&c->pendings);
	map_done(&c->pendings_by_key);
	map_done(&c->pendings_by_machine);
	free_all(&c->settings);
	at = 0;
	for (struct service *s; (s = map_next(&c->services, &at));)
		service_row_done(&s->row);
	free_all(&c->services);
	at = 0;
	for (struct lock_aum *a; (a = map_next(&c->lock_aums, &at));)
		lock_aum_row_done(&a->row);
	free_all(&c->lock_aums);
	free_all(&c->ssh_approvals);
	free_all(&c->addrs);
	c2n_free_all(c);
	timers_done(&c->timers);
	effects_done(&fx);
	free(c);
}

void core_admit_all(struct core *c, struct effects *fx)
{
	size_t at = 0, first = fx->n;

	c->fx = fx;
	for (struct node *n; (n = map_next(&c->nodes, &at));)
		if (n->shut == SHUT_NO)
			fx_admit(c, &n->row.key);
	for (size_t i = first; i < fx->n; i++)
		fx->e[i].seq = 0; /* they are in the database */
	c->fx = NULL;
}

/* ---- events ---- */

static void on_tick(struct core *c)
{
	/* Bounded, so that ten thousand timers of one moment do not make one long event: the next tick goes on. */
	for (int i = 0; i < 64; i++) {
		struct timer *t = timers_first(&c->timers);

		if (!t || t->at_ms > c->now.mono_ms)
			return;
		timer_stop(&c->timers, t);
		t->fire(c, t);
	}
}

static void on_failed(struct core *c, uint64_t durable, uint32_t epoch)
{
	log_warn("the database refused changes", "undone=%" PRIu64 " durable=%" PRIu64, c->seq - durable, durable);
	undo_down_to(c, durable);
	undo_forget(c, durable);
	sessions_undo(c, durable);
	c->durable = durable;
	c->seq = durable; /* the next batch follows the last that is kept */
	c->epoch = epoch;
	for (size_t i = 0; i < c->n_tailnets; i++) {
		map_cache_drop(c->tailnets[i]->cache);
		c->tailnets[i]->compare_all = c->tailnets[i]->reveal = true;
		c->tailnets[i]->flush = true;
	}
}

static void dispatch(struct core *c, struct event *e)
{
	switch (e->kind) {
	case EV_COMMAND:
		on_command(c, e);
		return;
	case EV_REGISTER:
		audit_who_node(c, e, &e->reg->node_key);
		on_register(c, e);
		return;
	case EV_MAP_LITE:
		audit_who_node(c, e, &e->map->node_key);
		on_map_lite(c, e);
		return;
	case EV_MAP_ONCE:
		session_once(c, e);
		return;
	case EV_MAP_STREAM:
		audit_who_node(c, e, &e->map->node_key);
		session_open(c, e);
		return;
	case EV_SINK_CLOSED:
		session_closed(c, e->sink);
		return;
	case EV_CALL_GONE:
		on_call_gone(c, e->call);
		return;
	case EV_NODE_REQUEST:
		audit_who_node(c, e, NULL);
		on_node_request(c, e);
		return;
	case EV_AT_RELAY:
		on_at_relay(c, e);
		return;
	case EV_STORE_DURABLE:
		if (e->seq > c->durable)
			c->durable = e->seq;
		undo_forget(c, c->durable);
		return;
	case EV_STORE_FAILED:
		on_failed(c, e->seq, e->epoch);
		return;
	case EV_JOB_DONE:
		on_job_done(c, e->job);
		return;
	case EV_TICK:
		on_tick(c);
		return;
	case EV_FLUSH:
		for (size_t i = 0; i < c->n_tailnets; i++)
			if (c->tailnets[i]->flush)
				tailnet_flush(c, c->tailnets[i]);
		return;
	}
}

/* The event's rows could not be kept: nothing of it leaves, and who waits is told. */
static void give_up(struct core *c, size_t first)
{
	for (size_t i = first; i < c->fx->n; i++) {
		struct effect *e = &c->fx->e[i];

		if (e->seq != FX_THIS_EVENT || e->kind == FX_JOB || e->kind == FX_SINK_UNREF || e->kind == FX_MAP_END)
			continue;
		if (e->kind == FX_REPLY) {
			reply_fail(e->reply, ERR_NOMEM, "out of memory; nothing was changed");
			e->reply->http_status = 503;
			e->reply->body = BYTES_LIT("out of memory\n");
		} else {
			enum effect_kind kind = e->kind;
			effect_done(e);
			e->kind = kind == FX_STORE ? FX_STORE : FX_MAP;
		}
	}
}

/* What the event said rests on all that was written before, its own batch included. */
static void stamp(struct core *c, struct effects *fx, size_t first)
{
	for (size_t i = first; i < fx->n; i++)
		if (fx->e[i].seq == FX_THIS_EVENT)
			fx->e[i].seq = c->seq > c->durable ? c->seq : 0;
}

void core_apply(struct core *c, struct event *e, struct now now, struct effects *fx)
{
	size_t first = fx->n;

	c->now = now;
	c->fx = fx;
	c->fx_first = first;
	c->fx_failed = false;
	clock_watch(c);
	c->tx++;
	c->events++;
	if (!fx_reserve(c, FX_ROOM)) {
		log_error("out of memory", "event=%d", (int)e->kind);
		event_free(e);
		return;
	}
	audit_who(c, "system", (struct addr){ 0 }, "fairlead");
	dispatch(c, e);
	if (core_commit(c) != OK)
		give_up(c, first);
	services_keep_up(c);
	stamp(c, fx, first);
	event_free(e);
	c->fx = NULL;
}

void core_note_event_us(struct core *c, int64_t us)
{
	if (us > c->max_event_us)
		c->max_event_us = us;
}

int64_t core_deadline_ms(const struct core *c)
{
	struct timer *t = timers_first(&c->timers);

	return t ? t->at_ms : INT64_MAX;
}

bool core_wants_flush(const struct core *c)
{
	for (size_t i = 0; i < c->n_tailnets; i++)
		if (c->tailnets[i]->flush)
			return true;
	return false;
}

err core_reconfigure(struct core *c, const struct core_settings *cfg, struct now now, struct effects *fx)
{
	size_t first = fx->n;
	err e = OK;

	c->now = now;
	c->fx = fx;
	c->fx_first = first;
	c->set = *cfg;
	for (size_t i = 0; i < c->n_tailnets && e == OK; i++) {
		struct tailnet *t = c->tailnets[i];

		struct settings_seen before = settings_see(&t->set);
		e = tailnet_settings(c, t);
		struct settings_seen after = settings_see(&t->set);
		if (e == OK)
			e = settings_effects(c, t, settings_differ(&before, &after));
	}
	stamp(c, fx, first);
	c->fx = NULL;
	return e;
}

void core_close(struct core *c, struct now now, struct effects *fx)
{
	size_t at = 0;

	c->now = now;
	c->fx = fx;
	for (struct pending *p; (p = map_next(&c->pendings, &at));) {
		for (size_t i = 0; i < p->n_waiters; i++)
			answer_err(c, p->waiter[i].call, ERR_CLOSED, "the server is stopping");
		p->n_waiters = 0;
	}
	ssh_checks_close(c);
	locks_close(c);
	jobs_close(c);
	c2n_close(c);
	gone_done(c);
	for (size_t i = 0; i < c->n_tailnets; i++)
		list_each_safe(it, &c->tailnets[i]->sessions)
			session_drop(c, container_of(it, struct session, all), true);
	for (size_t n = c->nodes.n; n && !list_is_empty(&c->lazy); n--) /* bounded: without memory it would not end */
		lazy_flush(c);
	if (c->addrs_timer.index && (addrs_write(c) != OK || core_commit(c) != OK))
		log_warn("addresses of this minute are not remembered", "cause=\"out of memory\"");
	for (size_t i = 0; i < fx->n; i++)
		if (fx->e[i].seq == FX_THIS_EVENT)
			fx->e[i].seq = 0; /* nothing more becomes durable */
	c->fx = NULL;
}
