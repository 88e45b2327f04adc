#include <stdio.h>
#include <stdlib.h>

#include "common/base/cleanup.h"
#include "common/base/clock.h"
#include "tests/lib/naive_map.h"
#include "tests/lib/store_model.h"
#include "tests/sim/client.h"

/* ---- after every event: what is about to be said ---- */

static bool may_know(struct world *w, const struct node *viewer, int64_t id)
{
	struct node *n = node_by_id(w->core, id);

	return viewer && n && n != viewer && n->m.announced && viewer->m.announced &&
	       policy_view_sees(viewer->t->map.policy, viewer->m.cls, n->m.cls);
}

static void check_ids(struct world *w, const struct node *viewer, int64_t viewer_id, json_t *list, const char *field, bool own_too)
{
	json_t *v;
	size_t i;

	json_array_foreach (list, i, v) {
		int64_t id = json_integer_value(json_object_get(v, field));

		if (!may_know(w, viewer, id) && !(own_too && viewer && id == viewer->row.id))
			world_fail(w, "node %lld is told of node %lld, which it may not see", (long long)viewer_id, (long long)id);
	}
}

static void check_message(struct world *w, json_t *msg, const struct sim_sink *k)
{
	struct node *viewer = k->node_id ? node_by_id(w->core, k->node_id) : NULL;
	json_t *v, *removed;
	size_t i, j;

	if (k->stolen)
		world_fail(w, "a stream with a stolen node key gets a message");
	check_ids(w, viewer, k->node_id, json_object_get(msg, "Peers"), "ID", false);
	check_ids(w, viewer, k->node_id, json_object_get(msg, "PeersChanged"), "ID", false);
	check_ids(w, viewer, k->node_id, json_object_get(msg, "PeersChangedPatch"), "NodeID", true);
	/* A client turns a PeersChanged entry into a patch of the peer that it has, and then PeersRemoved takes it away. */
	json_array_foreach (json_object_get(msg, "PeersRemoved"), i, removed)
		json_array_foreach (json_object_get(msg, "PeersChanged"), j, v)
			if (json_equal(removed, json_object_get(v, "ID")))
				world_fail(w, "node %lld is removed and changed in one message", (long long)json_integer_value(removed));
}

static bool told_of(const struct session *s, const struct node *n)
{
	return slots_has(&s->told, n->m.slot);
}

static struct session *session_of(struct world *w, const struct map_sink *sink)
{
	for (size_t i = 0; i < w->core->n_tailnets; i++)
		list_each(it, &w->core->tailnets[i]->sessions) {
			struct session *s = container_of(it, struct session, all);
			if (s->sink == sink && !s->reader)
				return s;
		}
	return NULL;
}

/* Trap T43: two nodes learn of each other in the same round. s was just told something. */
static void check_both_know(struct world *w, const struct session *s)
{
	struct tailnet *t = s->node->t;

	for (size_t i = 0; i < t->map.n_slots; i++) {
		struct node *n = t->map.nodes[i] ? container_of(t->map.nodes[i], struct node, m) : NULL;

		if (n && n != s->node && n->session && told_of(s, n) && (n->session->need_full || !told_of(n->session, s->node)))
			world_fail(w, "node %lld was told of node %lld, but not the other way round", (long long)s->node->row.id,
					(long long)n->row.id);
	}
}

static bool is_past(const json_t *node, int64_t wall_ms)
{
	const char *at = json_string_value(json_object_get(node, "KeyExpiry"));
	int64_t ms;

	return at && time_parse_rfc3339(bytes_str(at), &ms) == OK && ms != TIME_ZERO_MS && ms <= wall_ms;
}

/* Trap T42: the stream of a node that is deleted ends after a self node that expired. */
static void check_farewell(struct world *w, size_t until, struct map_sink *s, int64_t id)
{
	for (size_t i = 0; i < until; i++) {
		struct effect *e = &w->fx.e[i];

		for (size_t k = 0; e->kind == FX_MAP && k < e->n_sinks; k++)
			if (e->sinks[k] == s && is_past(json_object_get(world_json(w, e->msg), "Node"), w->now.wall_ms))
				return;
	}
	world_fail(w, "node %lld is deleted, and its stream ends without telling it", (long long)id);
}

static bool deletes(const struct effects *fx, int64_t id)
{
	for (size_t i = 0; i < fx->n; i++)
		if (fx->e[i].kind == FX_STORE)
			for (size_t k = 0; k < fx->e[i].batch->n; k++)
				if (fx->e[i].batch->op[k].kind == STORE_DEL_NODE && fx->e[i].batch->op[k].node.id == id)
					return true;
	return false;
}

/* Who has a stream now, had one until now. */
void check_before(struct world *w)
{
	for (size_t i = 0; i < w->core->n_tailnets; i++)
		list_each(it, &w->core->tailnets[i]->sessions) {
			struct session *s = container_of(it, struct session, all);
			struct life *l = s->reader ? NULL : world_life(w, s->node->row.id);
			if (l)
				l->quiet_ms = w->now.mono_ms;
		}
}

void check_effects(struct world *w, enum event_kind kind)
{
	bool maps = false;

	for (size_t i = 0; i < w->fx.n; i++) {
		struct effect *e = &w->fx.e[i];

		if (e->kind == FX_MAP) {
			json_t *msg = world_json(w, e->msg);
			for (size_t k = 0; k < e->n_sinks; k++)
				check_message(w, msg, container_of(e->sinks[k], struct sim_sink, sink));
			maps = true;
		} else if (e->kind == FX_MAP_END && !e->http_status) {
			struct sim_sink *k = container_of(e->sinks[0], struct sim_sink, sink);
			if (k->node_id && !k->once && !node_by_id(w->core, k->node_id) && deletes(&w->fx, k->node_id))
				check_farewell(w, i, e->sinks[0], k->node_id);
		}
	}
	if (!maps || (kind != EV_FLUSH && kind != EV_MAP_STREAM))
		return;
	for (size_t i = 0; i < w->fx.n; i++)
		for (size_t k = 0; w->fx.e[i].kind == FX_MAP && k < w->fx.e[i].n_sinks; k++) {
			struct session *s = session_of(w, w->fx.e[i].sinks[k]);
			if (s)
				check_both_know(w, s);
		}
}

/* ---- what becomes durable ---- */

void check_store_op(struct world *w, const struct store_op *op)
{
	const struct node_row *r = &op->node;
	struct life *l;

	if (op->kind != STORE_PUT_NODE && op->kind != STORE_DEL_NODE)
		return;
	l = world_life_or_new(w, r->id);
	if (op->kind == STORE_DEL_NODE) {
		if (!l->may_go && !r->ephemeral)
			world_fail(w, "node %lld (%s) is lost: nobody deleted it", (long long)r->id, r->given_name);
		l->gone = l->durable;
		return;
	}
	if (l->gone)
		world_fail(w, "id %lld is used again", (long long)r->id);
	if (l->durable && (!machine_pub_eq(&l->machine, &r->machine) || (!l->may_move && (!addr_eq(l->v4, r->v4) || !addr_eq(l->v6, r->v6)))))
		world_fail(w, "node %lld changed its machine or its addresses", (long long)r->id);
	if (!r->v4.family || !r->v6.family || !prefix_contains(w->set.v4, r->v4) || !prefix_contains(w->set.v6, r->v6))
		world_fail(w, "node %lld lacks an address", (long long)r->id);
	l->machine = r->machine;
	l->v4 = r->v4;
	l->v6 = r->v6;
	l->durable = true;
	l->may_go |= r->ephemeral;
	if (r->ephemeral && !l->ephemeral)
		l->ephemeral_ms = w->now.mono_ms;
	l->ephemeral = r->ephemeral;
}

/* ---- when all is said and written: memory and database ---- */

static bool same_text(const char *a, const char *b)
{
	return strcmp(a ? a : "", b ? b : "") == 0;
}

static const char *node_rows_differ(const struct node_row *a, const struct node_row *b)
{
	if (a->user_id != b->user_id)
		return "user";
	if (!machine_pub_eq(&a->machine, &b->machine) || !node_pub_eq(&a->key, &b->key))
		return "keys";
	if (memcmp(&a->nl, &b->nl, sizeof a->nl) != 0)
		return "tailnet-lock key";
	if (!addr_eq(a->v4, b->v4) || !addr_eq(a->v6, b->v6))
		return "addresses";
	if (!same_text(a->hostname, b->hostname) || !same_text(a->given_name, b->given_name) || a->given_name_auto != b->given_name_auto)
		return "name";
	if (a->ephemeral != b->ephemeral || a->method != b->method || a->authkey_id != b->authkey_id || a->created_ms != b->created_ms)
		return "origin";
	if (a->expires_ms != b->expires_ms)
		return "expiry";
	if (a->authorized != b->authorized)
		return "approval";
	if (a->n_attrs != b->n_attrs)
		return "attributes";
	for (size_t i = 0; i < a->n_attrs; i++)
		if (!same_text(a->attrs[i].name, b->attrs[i].name) || !same_text(a->attrs[i].value, b->attrs[i].value) ||
				a->attrs[i].expires_ms != b->attrs[i].expires_ms)
			return "attributes";
	if (!bytes_eq(bytes_of(a->key_sig, a->n_key_sig), bytes_of(b->key_sig, b->n_key_sig)))
		return "signature";
	if (a->n_tags != b->n_tags || a->n_approved != b->n_approved)
		return "tags or routes";
	for (size_t i = 0; i < a->n_tags; i++)
		if (!same_text(a->tags[i], b->tags[i]))
			return "tags";
	for (size_t i = 0; i < a->n_approved; i++)
		if (prefix_cmp(a->approved_routes[i], b->approved_routes[i]) != 0)
			return "routes";
	return NULL;
}

static void check_rows(struct world *w)
{
	struct core *c = w->core;
	const char *what;

	if (c->users.n != w->db.n_users || c->nodes.n != w->db.n_nodes || c->authkeys.n != w->db.n_authkeys ||
			c->apikeys.n != w->db.n_apikeys || c->pendings.n != w->db.n_pendings || c->settings.n != w->db.n_settings)
		world_fail(w, "memory and database differ: %zu/%zu users, %zu/%zu nodes, %zu/%zu auth keys, %zu/%zu API keys, %zu/%zu logins,"
				" %zu/%zu settings", c->users.n, w->db.n_users, c->nodes.n, w->db.n_nodes, c->authkeys.n, w->db.n_authkeys,
				c->apikeys.n, w->db.n_apikeys, c->pendings.n, w->db.n_pendings, c->settings.n, w->db.n_settings);
	for (size_t i = 0; i < w->db.n_nodes; i++) {
		struct node *n = node_by_id(c, w->db.nodes[i].id);
		if (!n)
			world_fail(w, "node %lld is lost in memory", (long long)w->db.nodes[i].id);
		if ((what = node_rows_differ(&n->row, &w->db.nodes[i])))
			world_fail(w, "memory and database have another %s of node %lld", what, (long long)n->row.id);
		if (node_by_key(c, &n->row.key) != n || map_get(&n->t->nodes_by_v4, &n->row.v4) != n ||
				map_get(&n->t->nodes_by_v6, &n->row.v6) != n || map_get(&n->t->nodes_by_name, n->name_key) != n ||
				strcmp(n->name_key, n->row.given_name) != 0)
			world_fail(w, "node %lld is not in every index", (long long)n->row.id);
		if (!name_is_label(n->row.given_name))
			world_fail(w, "node %lld is called \"%s\"", (long long)n->row.id, n->row.given_name);
	}
	for (size_t i = 0; i < w->db.n_users; i++) {
		struct user *u = user_by_id(c, w->db.users[i].id);
		size_t nodes = 0;
		if (!u || !same_text(u->row.name, w->db.users[i].name) || !same_text(u->row.email, w->db.users[i].email) ||
				u->row.role != w->db.users[i].role || u->row.suspended_ms != w->db.users[i].suspended_ms ||
				u->row.waits_ms != w->db.users[i].waits_ms)
			world_fail(w, "user %lld is another one in memory", (long long)w->db.users[i].id);
		for (size_t k = 0; k < w->db.n_nodes; k++)
			nodes += w->db.nodes[k].user_id == u->row.id;
		if (nodes != u->n_nodes)
			world_fail(w, "user %lld has %zu nodes, and %zu are counted", (long long)u->row.id, nodes, u->n_nodes);
	}
	for (size_t i = 0; i < w->db.n_authkeys; i++) {
		const struct authkey_row *r = &w->db.authkeys[i];
		struct authkey *k = map_get(&c->authkeys, &r->id);
		if (!k || k->row.used != r->used || k->row.revoked_ms != r->revoked_ms || k->row.expires_ms != r->expires_ms ||
				memcmp(k->row.hash, r->hash, sizeof r->hash) != 0)
			world_fail(w, "auth key %lld is another one in memory", (long long)r->id);
	}
	for (size_t i = 0; i < w->db.n_apikeys; i++) {
		struct apikey *k = map_get(&c->apikeys, &w->db.apikeys[i].id);
		if (!k || k->row.expires_ms != w->db.apikeys[i].expires_ms)
			world_fail(w, "API key %lld is another one in memory", (long long)w->db.apikeys[i].id);
	}
	for (size_t i = 0; i < w->db.n_pendings; i++)
		if (!map_get(&c->pendings, w->db.pendings[i].auth_id))
			world_fail(w, "login %s is lost in memory", w->db.pendings[i].auth_id);
	if (c->services.n != w->db.n_services)
		world_fail(w, "%zu services in memory, %zu in the database", c->services.n, w->db.n_services);
	if (c->lock_aums.n != w->db.n_lock_aums)
		world_fail(w, "%zu lock updates in memory, %zu in the database", c->lock_aums.n, w->db.n_lock_aums);
	if (c->ssh_approvals.n != w->db.n_ssh_approvals)
		world_fail(w, "%zu SSH confirmations in memory, %zu in the database", c->ssh_approvals.n, w->db.n_ssh_approvals);
	for (size_t i = 0; i < w->db.n_settings; i++)
		if (!same_text(setting_get(c, w->db.settings[i].tailnet_id, w->db.settings[i].key), w->db.settings[i].value))
			world_fail(w, "setting %s is another one in memory", w->db.settings[i].key);
	check_people(w);
	struct tailnet *t = c->tailnets[0];
	if (t->n_versions != w->db.n_policies || c->policies.n != w->db.n_policies)
		world_fail(w, "%zu versions of the policy in memory, %zu in the database", t->n_versions, w->db.n_policies);
	for (size_t i = 0; i < t->n_versions; i++) {
		struct policy_row *p = &t->versions[i]->row, *q = &w->db.policies[i];
		if (p->id != q->id || p->version != q->version || !same_text(p->text, q->text))
			world_fail(w, "version %lld of the policy is another one in memory", (long long)q->version);
	}
}

static bool naive_bool(struct world *w, const char *key, bool otherwise)
{
	for (size_t i = 0; i < w->db.n_settings; i++)
		if (w->db.settings[i].tailnet_id == 1 && strcmp(w->db.settings[i].key, key) == 0)
			return strcmp(w->db.settings[i].value, "true") == 0;
	return otherwise;
}

static const struct node_row *naive_row(struct world *w, int64_t id)
{
	for (size_t i = 0; i < w->db.n_nodes; i++)
		if (w->db.nodes[i].id == id)
			return &w->db.nodes[i];
	world_fail(w, "node %lld is not in the database", (long long)id);
}

/* Does the database say that the node takes no part? */
static bool naive_shut(struct world *w, const struct node *n)
{
	for (size_t i = 0; i < w->db.n_users; i++)
		if (w->db.users[i].id == n->row.user_id &&
				(w->db.users[i].suspended_ms || (w->db.users[i].waits_ms && naive_bool(w, "users_approval", w->set.users_approval))))
			return true;
	return naive_bool(w, "devices_approval", w->set.devices_approval) && !naive_row(w, n->row.id)->authorized;
}

static void check_admitted(struct world *w)
{
	size_t want = 0, at = 0;

	for (struct node *n; (n = map_next(&w->core->nodes, &at));)
		want += !naive_shut(w, n);
	if (w->n_admitted != want)
		world_fail(w, "%zu keys may use the relay, and %zu nodes should", w->n_admitted, want);
	for (size_t i = 0; i < w->n_admitted; i++) {
		struct node *n = node_by_key(w->core, &w->admitted[i]);
		if (!n || naive_shut(w, n))
			world_fail(w, "a key that is no node's, or a shut out one's, may use the relay");
	}
}

static void check_bounds(struct world *w)
{
	struct core *c = w->core;

	if (w->release.n)
		world_fail(w, "%zu effects wait, and everything is durable", w->release.n);
	if (!list_is_empty(&c->undos) || c->seq != c->durable || c->durable != w->durable)
		world_fail(w, "undo records are kept (%s), newest batch %llu, durable %llu, in the database %llu", list_is_empty(&c->undos) ?
				"no" : "yes", (unsigned long long)c->seq, (unsigned long long)c->durable, (unsigned long long)w->durable);
	if (c->n_gone > GONE_SINKS_MAX || c->pendings.n > c->set.max_pending)
		world_fail(w, "a bound is not kept: %zu streams of strangers, %zu logins", c->n_gone, c->pendings.n);
	if (c->addrs.n > RECENT_ADDRS_MAX + c->set.max_pending)
		world_fail(w, "%zu addresses are remembered", c->addrs.n);
	check_admitted(w);
	size_t sessions = 0, online = 0, at = 0;
	for (size_t i = 0; i < c->n_tailnets; i++)
		list_each(it, &c->tailnets[i]->sessions)
			sessions++;
	for (struct node *n; (n = map_next(&c->nodes, &at));)
		online += n->m.online;
	if (sessions != c->n_sessions || online != c->n_online)
		world_fail(w, "%zu sessions and %zu nodes online, counted %zu and %zu", sessions, online, c->n_sessions, c->n_online);
	struct tailnet *t = c->tailnets[0];
	size_t used = 0;
	for (size_t i = 0; i < t->map.n_slots; i++)
		used += t->map.nodes[i] != NULL;
	if (used != c->nodes.n || used + t->n_free_slots != t->map.n_slots || t->n_gone)
		world_fail(w, "%zu of %zu slots are used by %zu nodes, %zu free", used, t->map.n_slots, c->nodes.n, t->n_free_slots);
}

/* ---- time: presence, announcing, expiry, leaving ---- */

static void check_node_times(struct world *w, struct node *n)
{
	struct life *l = world_life(w, n->row.id);
	int64_t now = w->now.mono_ms, grace = w->set.offline_grace_ms;
	bool over = n->row.expires_ms && n->row.expires_ms <= w->now.wall_ms;

	if (!l)
		world_fail(w, "node %lld is in memory and was never written", (long long)n->row.id);
	if (n->session)
		l->quiet_ms = now;
	if (n->session && !n->m.online)
		world_fail(w, "node %lld has a stream and is offline", (long long)n->row.id);
	if (!n->session && n->m.online && now - l->quiet_ms > MAX_OF(grace, w->set.restart_grace_ms) + 1000)
		world_fail(w, "node %lld has had no stream for %lld ms and is online", (long long)n->row.id, (long long)(now - l->quiet_ms));
	/* After a jump of the clock nothing is deleted for ten minutes. */
	if (n->row.ephemeral && !n->session && !n->m.online && now - w->jumped_ms > 601000 &&
			now - MAX_OF(l->quiet_ms, l->ephemeral_ms) > w->set.restart_grace_ms + MAX_OF(w->set.ephemeral_timeout_ms, 70000) + grace + 1000)
		world_fail(w, "ephemeral node %lld should have left", (long long)n->row.id);
	bool shut = naive_shut(w, n);
	if (n->m.announced != (n->ready && !shut))
		world_fail(w, "node %lld is %s, and its maps say otherwise", (long long)n->row.id, shut ? "shut out" : "let in");
	if (!n->ready && now - l->born_ms > w->set.announce_wait_ms + 1000)
		world_fail(w, "node %lld was not announced in time", (long long)n->row.id);
	if (!n->ready && !disco_pub_is_zero(&n->row.disco) && n->row.home_derp)
		world_fail(w, "node %lld can be reached and was not announced", (long long)n->row.id);
	/* A clock that jumped is noticed when a timer looks again. */
	if (n->m.expired != over && now - w->jumped_ms > TIMER_STEP_MS + 1000)
		world_fail(w, "the key of node %lld %s over, and is shown otherwise", (long long)n->row.id, over ? "is" : "is not");
	for (size_t i = 0; i < n->row.n_attrs; i++) {
		int64_t at = n->row.attrs[i].expires_ms;
		if ((n->attrs_over >> i & 1) != (at && at <= w->now.wall_ms) && now - w->jumped_ms > TIMER_STEP_MS + 1000)
			world_fail(w, "an attribute of node %lld is taken for what it is not", (long long)n->row.id);
	}
	if (n->row.n_tags && n->row.user_id)
		world_fail(w, "node %lld has tags and a user", (long long)n->row.id);
}

/* ---- routes ---- */

static bool has_prefix(const struct prefix *list, size_t n, struct prefix p)
{
	for (size_t i = 0; i < n; i++)
		if (prefix_cmp(list[i], p) == 0)
			return true;
	return false;
}

static size_t naive_candidates(struct world *w, const struct node *n, struct prefix *out, size_t cap)
{
	size_t k = 0;

	for (size_t i = 0; n->shut == SHUT_NO && !n->m.expired && i < n->hi->n_routable_ips; i++) {
		struct prefix p = prefix_mask(n->hi->routable_ips[i]);
		struct prefix own = { .addr = addr_v4(100, 64, 0, 0), .bits = 10 };
		if (p.bits && (prefix_overlaps(p, own) || p.bits < 4))
			continue; /* nobody may carry these */
		bool approved = has_prefix(n->row.approved_routes, n->row.n_approved, p);
		for (size_t j = 0; !approved && p.bits == 0 && j < n->row.n_approved; j++)
			approved = n->row.approved_routes[j].bits == 0;
		if (approved && !has_prefix(out, k, p) && k < cap)
			out[k++] = p;
	}
	size_t at = 0;
	for (struct service *v; (v = map_next(&w->core->services, &at));)
		for (int six = 0; six < 2; six++) {
			struct prefix p = addr_prefix(six ? v->row.v6 : v->row.v4);
			if (naive_hosts(w, n, p) && !has_prefix(out, k, p) && k < cap)
				out[k++] = p;
		}
	return k;
}

/* How good a router is: one that is better than the one who carries a route would have got it. */
static int stands(const struct node *n)
{
	return !n->m.online ? 0 : n->away || n->unhealthy ? 1 : 2;
}

static void check_routes(struct world *w, struct tailnet *t)
{
	struct node *n, *other;
	size_t at = 0, at2;

	while ((n = map_next(&w->core->nodes, &at))) {
		struct prefix cand[64];
		size_t k = naive_candidates(w, n, cand, ARRAY_LEN(cand));

		for (size_t i = 0; i < n->n_serving; i++)
			if (!has_prefix(cand, k, n->serving[i]))
				world_fail(w, "node %lld carries a route that it may not", (long long)n->row.id);
		for (size_t i = 0; i < k; i++) {
			size_t servers = 0, shared = 0;
			int best = 0, carrier = -1;
			at2 = 0;
			while ((other = map_next(&w->core->nodes, &at2))) {
				struct prefix more[64];
				if (!has_prefix(more, naive_candidates(w, other, more, ARRAY_LEN(more)), cand[i]))
					continue;
				bool serves = has_prefix(other->serving, other->n_serving, cand[i]);
				servers += serves;
				shared++;
				best = MAX_OF(best, stands(other));
				if (serves)
					carrier = MAX_OF(carrier, stands(other));
			}
			if (cand[i].bits == 0 ? !has_prefix(n->serving, n->n_serving, cand[i]) : servers != 1)
				world_fail(w, "a route of node %lld is carried by %zu nodes", (long long)n->row.id, servers);
			if (carrier < best)
				world_fail(w, "a route of node %lld is carried by a worse node than another that may", (long long)n->row.id);
			if (shared > 1 && cand[i].bits && t->set.probe_interval_ms && !t->probe.index)
				world_fail(w, "routers stand in for each other, and nobody asks whether they live");
		}
	}
}

/* ---- maps ---- */

static struct policy_view *fresh_view(struct world *w, struct tailnet *t)
{
	struct policy_view *v;
	struct policy *p;
	struct policy_faults faults = { 0 };

	struct policy_service list[SERVICES_MAX];
	struct policy_services *services;
	size_t n_services = 0, at = 0;
	for (struct service *x; (x = map_next(&w->core->services, &at));)
		list[n_services++] = (struct policy_service){ x->row.name, x->row.v4, x->row.v6 };
	if (policy_services_new(list, n_services, &services) != OK ||
			policy_parse_with(bytes_str(or_empty(policy_in_force(t)->text)), services, &p, &faults) != OK || policy_view_new(p, &v) != OK)
		world_fail(w, "the policy in force is not accepted");
	policy_services_unref(services);
	policy_unref(p);
	for (size_t i = 0; i < w->db.n_nodes; i++) {
		struct node *n = node_by_id(w->core, w->db.nodes[i].id);
		struct policy_changes changes = { 0 };
		struct node_facts f;
		struct prefix cand[64];
		uint32_t cls;

		if (naive_shut(w, n))
			continue;
		node_facts(w->core, n, &f);
		f.node.routes = cand;
		f.node.n_routes = naive_candidates(w, n, cand, ARRAY_LEN(cand));
		for (size_t k = 1; k < f.node.n_routes; k++) /* sorted */
			for (size_t j = k; j && prefix_cmp(cand[j - 1], cand[j]) > 0; j--) {
				struct prefix x = cand[j];
				cand[j] = cand[j - 1];
				cand[j - 1] = x;
			}
		if (policy_view_put(v, &f.node, &cls, &changes) != OK)
			world_fail(w, "the fresh view does not take node %lld", (long long)n->row.id);
		policy_changes_done(&changes);
	}
	return v;
}

struct seeing {
	struct policy_view *view;
	struct world *w;
	uint32_t *cls; /* by slot, in the fresh view */
};

/* Classes of the fresh view: asked once more, for a put with equal facts changes nothing. */
static void fill_classes(struct seeing *s, struct tailnet *t)
{
	s->cls = calloc(t->map.n_slots + 1, sizeof *s->cls);
	for (size_t i = 0; i < t->map.n_slots; i++) {
		struct node *n = t->map.nodes[i] ? container_of(t->map.nodes[i], struct node, m) : NULL;
		struct policy_changes changes = { 0 };
		struct node_facts f;

		if (!n || naive_shut(s->w, n))
			continue;
		node_facts(s->w->core, n, &f);
		if (policy_view_put(s->view, &f.node, &s->cls[i], &changes) != OK)
			world_fail(s->w, "out of memory");
		policy_changes_done(&changes);
	}
}

static bool fresh_sees(void *ctx, const struct map_node *a, const struct map_node *b)
{
	struct seeing *s = ctx;

	return policy_view_sees(s->view, s->cls[a->slot], s->cls[b->slot]);
}

static json_t *sorted_rules(json_t *filters)
{
	json_t *all = json_object(), *chunk, *rule;
	const char *name;
	size_t i;

	/* The union of all chunks is what counts. */
	json_object_foreach (filters, name, chunk)
		json_array_foreach (chunk, i, rule) {
			char *text = json_dumps(rule, JSON_COMPACT | JSON_SORT_KEYS);
			json_object_set_new(all, text, json_true());
			free(text);
		}
	return all;
}

static json_t *fresh_filters(struct seeing *s, const struct node *n)
{
	struct policy_filter f[POLICY_FILTERS_MAX];
	size_t k = policy_view_filters(s->view, n->row.id, f);
	json_t *o = json_object();

	for (size_t i = 0; i < k; i++) {
		struct bytes b = part_text(f[i].rules);
		json_t *v = json_loadb((const char *)b.p, b.n, 0, NULL);
		if (!v)
			world_fail(s->w, "a filter is no JSON");
		json_object_set_new(o, f[i].name, v);
	}
	return o;
}

static void check_filters(struct seeing *s, struct client *c, const struct node *n)
{
	json_t *want = fresh_filters(s, n), *a = sorted_rules(want), *b = sorted_rules(json_object_get(c->stream->map, "PacketFilters"));

	if (!json_equal(a, b)) {
		char *x = json_dumps(b, JSON_COMPACT), *y = json_dumps(a, JSON_COMPACT);
		world_fail(s->w, "client %zu (node %lld) has the filter %.900s and should have %.900s", c->index, (long long)n->row.id, x, y);
	}
	json_decref(want);
	json_decref(a);
	json_decref(b);
}

static void check_users(struct world *w, struct client *c, json_t *want)
{
	json_t *has = json_object_get(c->stream->map, "UserProfiles"), *v;
	const char *id;

	json_object_foreach (want, id, v) {
		const char *login = json_string_value(json_object_get(json_object_get(has, id), "LoginName"));
		if (!login || strcmp(login, json_string_value(v)) != 0)
			world_fail(w, "client %zu has user %s as \"%s\" and should have \"%s\"", c->index, id, login ? login : "(none)",
					json_string_value(v));
	}
}

/* Routes that nobody may carry: it is told so. */
static bool announces_nonsense(const struct node *n)
{
	struct prefix own = { .addr = addr_v4(100, 64, 0, 0), .bits = 10 };

	for (size_t i = 0; i < n->hi->n_routable_ips; i++)
		if (n->hi->routable_ips[i].bits && (prefix_overlaps(n->hi->routable_ips[i], own) || n->hi->routable_ips[i].bits < 4))
			return true;
	return false;
}

static void check_self(struct world *w, struct client *c, const struct node *n, json_t *want)
{
	static const char *const fields[] = { "ID", "StableID", "Name", "User", "Key", "KeyExpiry", "DiscoKey", "Addresses", "AllowedIPs",
		"PrimaryRoutes", "Tags", "HomeDERP", "Cap", "KeySignature" };
	json_t *has = json_object_get(c->stream->map, "Node");

	if (json_is_true(json_object_get(has, "MachineAuthorized")) == naive_shut(w, n))
		world_fail(w, "client %zu (node %lld) is %s, and was not told", c->index, (long long)n->row.id,
				naive_shut(w, n) ? "shut out" : "let in");
	json_t *shown = json_object_get(c->stream->map, "DisplayMessages"), *health = json_object_get(c->stream->map, "Health");
	bool wants = naive_shut(w, n) || announces_nonsense(n);
	if ((json_object_size(shown) == 1) != wants || (json_array_size(health) == 1) != wants)
		world_fail(w, "client %zu (node %lld) shows the wrong message", c->index, (long long)n->row.id);
	bool drops = json_object_get(json_object_get(has, "CapMap"), "https://tailscale.com/cap/file-sharing") != NULL;
	if (drops != naive_bool(w, "taildrop.enabled", w->set.taildrop))
		world_fail(w, "client %zu (node %lld) did not hear of a setting", c->index, (long long)n->row.id);
	for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
		json_t *x = json_object_get(has, fields[i]), *y = json_object_get(want, fields[i]);
		if (strcmp(fields[i], "DiscoKey") == 0) /* its own: it knows it */
			continue;
		if (x && y ? !json_equal(x, y) : x || y)
			world_fail(w, "client %zu (node %lld) sees its own %s as %s and should see %s", c->index, (long long)n->row.id, fields[i],
					x ? json_dumps(x, JSON_ENCODE_ANY) : "none", y ? json_dumps(y, JSON_ENCODE_ANY) : "none");
	}
}

static void check_dns(struct world *w, struct seeing *s, struct client *c, const struct node *n, struct tailnet *t)
{
	json_t *has = json_object_get(c->stream->map, "DNSConfig"), *want = naive_dns(&t->map, s->view, &n->m, fresh_sees, s);

	naive_service_records(w, s->view, n, want);
	if (!json_equal(has, want))
		world_fail(w, "client %zu has the DNS settings %s and should have %s", c->index, json_dumps(has, JSON_COMPACT), json_dumps(want,
				JSON_COMPACT));
	json_decref(want);
}

static void check_ssh(struct seeing *s, struct client *c, const struct node *n)
{
	struct bytes b = policy_view_ssh(s->view, n->row.id);
	json_t *want = b.n ? json_loadb((const char *)b.p, b.n, 0, NULL) : NULL, *has = json_object_get(c->stream->map, "SSHPolicy");
	bool empty = !has || !json_array_size(json_object_get(has, "rules"));

	if (want ? !json_equal(want, has) : !empty)
		world_fail(s->w, "client %zu has another SSH policy", c->index);
	json_decref(want);
}

/* What nodeAttrs give it. */
static void check_caps(struct seeing *s, struct client *c, const struct node *n)
{
	struct bytes b = policy_view_self_caps(s->view, n->row.id);
	json_t *has = json_object_get(json_object_get(c->stream->map, "Node"), "CapMap"), *v;
	struct buf text = buf_make(1 << 20);
	const char *name;

	buf_append_str(&text, "{");
	buf_append(&text, b);
	buf_append_str(&text, "}");
	json_t *want = json_loadb((const char *)buf_view(&text).p, buf_len(&text), 0, NULL);
	if (!want)
		world_fail(s->w, "the attributes of node %lld are no JSON", (long long)n->row.id);
	json_object_foreach (want, name, v)
		if (!json_object_get(has, name) || !json_equal(v, json_object_get(has, name)))
			world_fail(s->w, "client %zu (node %lld) has not the attribute %s", c->index, (long long)n->row.id, name);
	static const char *const known[] = { "funnel", "nextdns:abc", "disable-ipv4", "tailscale.com/app-connectors",
		"one-cgnat?v=false" };
	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		if (json_object_get(has, known[i]) && !json_object_get(want, known[i]))
			world_fail(s->w, "client %zu (node %lld) still has the attribute %s", c->index, (long long)n->row.id, known[i]);
	json_decref(want);
	buf_done(&text);
}

static void check_map(struct world *w, struct seeing *s, struct client *c, json_t **peers)
{
	struct node *n = node_by_id(w->core, c->stream->node_id);
	struct tailnet *t = w->core->tailnets[0];
	bool settled_clock = w->now.mono_ms - w->jumped_ms > TIMER_STEP_MS + 1000;
	char why[800];

	if (!n || !client_is_current(c))
		return;
	if (!n->session || n->session->sink != &c->stream->sink)
		world_fail(w, "client %zu (node %lld) has a stream that the core forgot", c->index, (long long)n->row.id);
	json_t *want = json_object(), *users;
	for (size_t i = 0; i < t->map.n_slots; i++) {
		struct map_node *m = t->map.nodes[i];
		char id[24];
		if (!m || m == &n->m || !m->announced || !n->m.announced || !fresh_sees(s, &n->m, m))
			continue;
		snprintf(id, sizeof id, "%lld", (long long)m->row->id);
		if (m->n_cand || policy_view_no_ipv4(t->map.policy, n->m.cls))
			json_object_set_new(want, id, naive_peer_to(&t->map, s->view, &n->m, m));
		else
			json_object_set(want, id, peers[i]);
	}
	if (!naive_peers_agree(json_object_get(c->stream->map, "Peers"), want, settled_clock ? w->now.wall_ms : 0, why, sizeof why))
		world_fail(w, "the map of client %zu (node %lld): %s", c->index, (long long)n->row.id, why);
	json_decref(want);
	users = naive_users(&t->map, &n->m, fresh_sees, s);
	check_users(w, c, users);
	json_decref(users);
	check_self(w, c, n, peers[n->m.slot]);
	check_filters(s, c, n);
	check_dns(w, s, c, n, t);
	check_services(w, s->view, c, n);
	check_ssh(s, c, n);
	check_lock(w, c, n);
	check_caps(s, c, n);
	w->compared++;
}

/* What a lite update said is what the core has. */
static void check_report(struct world *w, struct client *c)
{
	struct node *n = node_by_key(w->core, &c->key);

	if (!c->reported || !n || !machine_pub_eq(&n->row.machine, &c->machine))
		return;
	bool disco = disco_pub_eq(&n->row.disco, &c->disco), home = !c->home || n->row.home_derp == c->home, same = true;
	for (size_t i = 0; same && i < c->n_endpoints; i++) {
		bool found = false;
		for (size_t k = 0; k < n->row.n_endpoints; k++)
			found |= addrport_eq(n->row.endpoints[k], c->endpoint[i]);
		same = found;
	}
	const char *what = !disco ? "disco key" : !home ? "home relay" : n->row.capver != c->version ? "version" : !same ? "endpoints" :
		!same_text(n->row.hostname, c->hostname) && *c->hostname ? "hostname" : NULL;
	if (what)
		world_fail(w, "client %zu (node %lld) said its %s, and the core has another one", c->index, (long long)n->row.id, what);
}

void check_settled(struct world *w)
{
	struct tailnet *t = w->core->tailnets[0];
	struct seeing s = { .w = w };
	struct node *n;
	size_t at = 0;

	w->checks++;
	check_rows(w);
	check_bounds(w);
	while ((n = map_next(&w->core->nodes, &at)))
		check_node_times(w, n);
	check_routes(w, t);
	s.view = fresh_view(w, t);
	fill_classes(&s, t);
	json_t **peers = calloc(t->map.n_slots + 1, sizeof(*peers));
	for (size_t i = 0; i < t->map.n_slots; i++)
		if (t->map.nodes[i])
			peers[i] = naive_peer(&t->map, t->map.nodes[i]);
	for (size_t i = 0; i < w->n_clients; i++) {
		struct client *c = w->clients[i];
		if (c->stream)
			check_map(w, &s, c, peers);
		check_report(w, c);
	}
	for (size_t i = 0; i < t->map.n_slots; i++)
		json_decref(peers[i]);
	free(peers);
	free(s.cls);
	policy_view_free(s.view);
}
