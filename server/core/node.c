#include "server/core/state.h"

#include <stdlib.h>

#include "common/base/cleanup.h"

struct node *node_by_id(struct core *c, int64_t id)
{
	return map_get(&c->nodes, &id);
}

struct node *node_by_key(struct core *c, const struct node_pub *key)
{
	return map_get(&c->nodes_by_key, key);
}

struct machine *machine_get(struct core *c, const struct machine_pub *key)
{
	return map_get(&c->machines, key);
}

static err machine_add(struct core *c, struct node *n)
{
	struct machine *m = machine_get(c, &n->row.machine);

	if (!m) {
		m = calloc(1, sizeof *m);
		if (!m)
			return ERR_NOMEM;
		m->key = n->row.machine;
		list_init(&m->nodes);
		err e = map_put(&c->machines, m);
		if (e != OK) {
			free(m);
			return e;
		}
	}
	list_add_tail(&m->nodes, &n->of_machine);
	return OK;
}

static void machine_leave(struct core *c, struct node *n)
{
	struct machine *m = machine_get(c, &n->row.machine);

	list_del(&n->of_machine);
	if (m && list_is_empty(&m->nodes)) {
		map_del(&c->machines, &m->key);
		free(m);
	}
}

/* ---- dirty marks ---- */

void node_info_stale(struct node *n)
{
	node_info_unref(n->info);
	n->info = NULL;
}

static void on_damp(struct core *c, struct timer *timer)
{
	struct tailnet *t = container_of(timer, struct tailnet, damp);

	(void)c;
	t->flush |= !list_is_empty(&t->dirty);
}

/* A node that says something else all the time must not keep the streams of all its peers busy. What changes who sees whom, or
 * can be said by its whole node only, never waits; nor does a round that others begin leave it out. */
static bool may_tell(struct node *n, unsigned what)
{
	struct core *c = n->t->c;

	if (what & ~(unsigned)(PATCH_ONLINE | PATCH_ENDPOINTS | PATCH_HOME | PATCH_DISCO))
		return true;
	if (c->now.mono_ms - n->told.since_ms >= FLAP_WINDOW_MS)
		n->told = (struct node_rate){ .since_ms = c->now.mono_ms };
	if (n->told.used < FLAP_BURST) {
		n->told.used++;
		return true;
	}
	n->t->damp.fire = on_damp;
	if (!n->t->damp.index)
		timer_arm(&c->timers, &n->t->damp, c->now.mono_ms + FLAP_MERGE_MS);
	return false;
}

void node_dirty(struct node *n, unsigned what)
{
	node_info_stale(n);
	n->dirty |= what;
	if (n->t->map.n_apps && n->hi && n->hi->app_connector == TAILCFG_TRUE && (what & (DIRTY_WHOLE | DIRTY_SEEN | PATCH_EXPIRY)))
		n->t->services_dirty = true; /* who is told to ask it */
	map_cache_touch(n->t->cache, &n->m);
	if (list_is_empty(&n->of_dirty))
		list_add_tail(&n->t->dirty, &n->of_dirty);
	n->t->flush |= may_tell(n, what);
}

void node_self_dirty(struct node *n)
{
	if (n->session)
		n->session->self = true;
	if (n->reader)
		n->reader->self = true;
	if (n->session || n->reader)
		n->t->flush = true;
}

void node_lazy(struct core *c, struct node *n)
{
	if (!list_is_empty(&n->of_lazy))
		return;
	list_add_tail(&c->lazy, &n->of_lazy);
	if (!c->lazy_timer.index)
		timer_arm(&c->timers, &c->lazy_timer, c->now.mono_ms + LAZY_MS);
}

bool node_is_expired(const struct core *c, const struct node *n)
{
	return n->row.expires_ms && n->row.expires_ms <= c->now.wall_ms;
}

/* ---- indexes ---- */

static void index_name(struct node *n)
{
	size_t len = strlen(or_empty(n->row.given_name));

	memset(n->name_key, 0, sizeof n->name_key);
	memcpy(n->name_key, or_empty(n->row.given_name), MIN_OF(len, (size_t)GIVEN_NAME_MAX));
	n->has_name = map_put(&n->t->nodes_by_name, n) == OK;
}

static void unindex_name(struct node *n)
{
	if (n->has_name)
		map_del(&n->t->nodes_by_name, n->name_key);
	n->has_name = false;
}

static err index_addresses(struct node *n)
{
	if (n->row.v4.family) {
		TRY(map_put(&n->t->nodes_by_v4, n));
		n->has_v4 = true;
	}
	if (n->row.v6.family) {
		TRY(map_put(&n->t->nodes_by_v6, n));
		n->has_v6 = true;
	}
	address_note(n->t, n->row.v4, n->row.v6);
	return OK;
}

static void unindex_addresses(struct node *n)
{
	if (n->has_v4)
		map_del(&n->t->nodes_by_v4, &n->row.v4);
	if (n->has_v6)
		map_del(&n->t->nodes_by_v6, &n->row.v6);
	n->has_v4 = n->has_v6 = false;
}

static void index_disco(struct core *c, struct node *n)
{
	n->has_disco = !disco_pub_is_zero(&n->row.disco) && map_put(&c->nodes_by_disco, n) == OK;
}

static void unindex_disco(struct core *c, struct node *n)
{
	if (n->has_disco)
		map_del(&c->nodes_by_disco, &n->row.disco);
	n->has_disco = false;
}

static void user_join(struct core *c, struct node *n)
{
	struct user *u = user_by_id(c, n->row.user_id);

	n->m.user_id = u ? u->row.id : TAGGED_USER_ID;
	if (u) {
		list_add_tail(&u->nodes, &n->of_user);
		u->n_nodes++;
	}
}

static void user_leave(struct core *c, struct node *n)
{
	struct user *u = user_by_id(c, n->row.user_id);

	if (u && !list_is_empty(&n->of_user)) {
		list_del(&n->of_user);
		u->n_nodes--;
	}
}

static err parse_hostinfo(struct node *n)
{
	struct arena a = arena_make(0);
	struct tailcfg_hostinfo *hi;
	struct json_why why;

	err e = tailcfg_hostinfo_parse(bytes_str(or_empty(n->row.hostinfo_json)), &a, &hi, &why);
	if (e != OK && e != ERR_NOMEM) { /* stored by another version: the node tells us again */
		arena_done(&a);
		a = arena_make(0);
		e = tailcfg_hostinfo_parse(BYTES_LIT(""), &a, &hi, &why);
	}
	if (e != OK) {
		arena_done(&a);
		return e;
	}
	arena_done(&n->hi_arena);
	n->hi_arena = a;
	n->hi = hi;
	n->m.hi = hi;
	return OK;
}

static const char *lower(const char *s, char *out, size_t cap)
{
	size_t n = 0;

	for (; s[n] && n + 1 < cap; n++)
		out[n] = (char)(s[n] >= 'A' && s[n] <= 'Z' ? s[n] + 32 : s[n]);
	out[n] = 0;
	return out;
}

_Static_assert((int)USER_MEMBER == POLICY_ROLE_MEMBER && (int)USER_OWNER == POLICY_ROLE_OWNER &&
		(int)USER_ADMIN == POLICY_ROLE_ADMIN && (int)USER_NETWORK_ADMIN == POLICY_ROLE_NETWORK_ADMIN &&
		(int)USER_IT_ADMIN == POLICY_ROLE_IT_ADMIN && (int)USER_AUDITOR == POLICY_ROLE_AUDITOR &&
		(int)USER_BILLING_ADMIN == POLICY_ROLE_BILLING_ADMIN, "roles are stored as policies know them");

struct policy_user user_facts(const struct user *u)
{
	return (struct policy_user){ u->row.id, u->row.name, or_empty(u->row.email),
		u->row.email && *u->row.email ? u->row.email : u->row.name, (enum policy_role)u->row.role, u->groups, u->n_groups };
}

void facts_of_hostinfo(const struct tailcfg_hostinfo *hi, struct node_facts *f)
{
	const char *v = or_empty(hi->ipn_version), *dot = strchr(v, '.');
	bool unstable = dot && strtoul(dot + 1, NULL, 10) % 2; /* odd minor versions are of that track */
	const struct policy_attr known[] = {
		{ "node:os", lower(or_empty(hi->os), f->os, sizeof f->os) },
		{ "node:osVersion", hi->os_version },
		{ "node:tsVersion", v },
		{ "node:tsReleaseTrack", !*v ? NULL : unstable ? "unstable" : "stable" },
		{ "node:tsAutoUpdate", hi->allows_update ? "true" : "false" },
		{ "node:tsStateEncrypted", hi->state_encrypted == TAILCFG_UNSET ? NULL : hi->state_encrypted == TAILCFG_TRUE ? "true" : "false" },
	};
	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		if (known[i].value && *known[i].value)
			f->attr[f->node.n_attrs++] = known[i];
}

void node_facts(struct core *c, const struct node *n, struct node_facts *f)
{
	struct user *u = user_by_id(c, n->row.user_id);

	*f = (struct node_facts){ .node = {
		.id = n->row.id, .user_id = n->row.user_id, .tags = (const char *const *)n->row.tags, .n_tags = n->row.n_tags,
		.v4 = n->row.v4, .v6 = n->row.v6, .routes = n->cand, .n_routes = n->n_cand, .attrs = f->attr,
		.connector = n->hi && n->hi->app_connector == TAILCFG_TRUE,
	} };
	if (u) {
		f->user = user_facts(u);
		f->node.user = &f->user;
	}
	if (!n->hi)
		return;
	facts_of_hostinfo(n->hi, f);
	for (size_t i = 0; i < n->row.n_attrs; i++)
		if (!(n->attrs_over >> i & 1))
			f->attr[f->node.n_attrs++] = (struct policy_attr){ n->row.attrs[i].name, n->row.attrs[i].value };
}

static err note_facts(const struct node *n, const struct node_facts *f)
{
	if (n->m.slot == UINT32_MAX)
		return OK;
	if (n->shut != SHUT_NO) /* as if it were not there */
		return snapshot_set(&n->t->facts, n->m.slot, NULL);
	size_t k = MIN_OF(n->hi ? n->hi->n_routable_ips : 0, (size_t)NODE_ROUTES_MAX);
	CLEANUP(freep) struct prefix *announced = malloc((k + 1) * sizeof *announced);

	if (!announced)
		return ERR_NOMEM;
	for (size_t i = 0; i < k; i++)
		announced[i] = prefix_mask(n->hi->routable_ips[i]);
	struct record *r = record_new(&f->node, or_empty(n->row.given_name), announced, k);
	return r ? snapshot_set(&n->t->facts, n->m.slot, r) : ERR_NOMEM;
}

err node_note_facts(struct core *c, struct node *n)
{
	struct node_facts f;

	node_facts(c, n, &f);
	return note_facts(n, &f);
}

/* Also of a class that has its number by chance, in another policy. */
void node_note_no_ipv4(struct node *n, bool no_ipv4)
{
	if (no_ipv4 == n->no_ipv4)
		return;
	n->no_ipv4 = no_ipv4;
	node_dirty(n, DIRTY_WHOLE);
	node_self_dirty(n);
}

err node_classify(struct core *c, struct node *n)
{
	struct policy_changes changes = { 0 };
	struct node_facts f;
	uint32_t cls = UINT32_MAX;
	err e = OK;

	node_facts(c, n, &f);
	TRY(note_facts(n, &f));
	if (n->shut == SHUT_NO)
		e = policy_view_put(n->t->map.policy, &f.node, &cls, &changes);
	else if (n->m.cls != UINT32_MAX)
		e = policy_view_del(n->t->map.policy, n->row.id, &changes);
	if (e != OK) {
		policy_changes_done(&changes);
		return e;
	}
	node_note_no_ipv4(n, policy_view_no_ipv4(n->t->map.policy, cls));
	if (cls != n->m.cls) {
		n->m.cls = cls;
		node_dirty(n, DIRTY_SEEN);
		routes_reclassed(c, n);
		n->t->reveal |= n->m.announced;
		if (n->session)
			n->session->compare = true;
		if (n->reader)
			n->reader->compare = true;
	}
	tailnet_note_changes(n->t, &changes);
	return OK;
}

/* ---- into memory and out ---- */

static err insert(struct core *c, struct node *n)
{
	TRY(timers_reserve(&c->timers, c->timers.n + 6 * (c->nodes.n + 2) + 64));
	TRY(parse_hostinfo(n));
	TRY(map_put(&c->nodes_by_key, n));
	TRY(machine_add(c, n));
	TRY(index_addresses(n));
	index_name(n);
	if (!n->has_name)
		return ERR_EXISTS;
	index_disco(c, n);
	user_join(c, n);
	TRY(tailnet_take_slot(n->t, n));
	n->m.expired = node_is_expired(c, n);
	gate_first(c, n);
	attrs_look(c, n);
	TRY(node_classify(c, n));
	TRY(routes_update(c, n));
	node_dirty(n, DIRTY_WHOLE);
	return OK;
}

static err replace(struct core *c, struct node *n, struct node_row *taken)
{
	struct node_row *row = &n->row;

	unindex_name(n);
	unindex_addresses(n);
	user_leave(c, n);
	map_del(&c->nodes_by_key, &row->key);
#define SWAP(field)                                                                                                    \
	do {                                                                                                           \
		__typeof__(row->field) t_ = row->field;                                                                \
		row->field = taken->field;                                                                             \
		taken->field = t_;                                                                                     \
	} while (0)
	/* What the node tells us of its whereabouts is not part of what is undone. */
	SWAP(disco);
	SWAP(home_derp);
	SWAP(hostinfo_json);
	SWAP(endpoints);
	SWAP(n_endpoints);
	SWAP(last_seen_ms);
	SWAP(was_online);
	SWAP(presence);
	SWAP(n_presence);
	SWAP(carried);
	SWAP(n_carried);
	SWAP(capver);
#undef SWAP
	struct node_row old = n->row;
	n->row = *taken; /* with the fields above as they were in memory */
	*taken = (struct node_row){ 0 };
	node_row_done(&old);
	TRY(map_put(&c->nodes_by_key, n));
	TRY(index_addresses(n));
	index_name(n);
	user_join(c, n);
	n->m.expired = node_is_expired(c, n);
	node_arm_expiry(c, n);
	presence_ephemeral(c, n);
	TRY(gate_update(c, n));
	attrs_look(c, n);
	TRY(node_classify(c, n));
	TRY(routes_update(c, n));
	node_dirty(n, DIRTY_WHOLE);
	node_self_dirty(n);
	return OK;
}

err node_put_memory(struct core *c, struct node_row *taken)
{
	struct node *n = node_by_id(c, taken->id);
	struct tailnet *t = core_tailnet(c, taken->tailnet_id);

	if (!t || !taken->given_name || !*taken->given_name)
		return ERR_INVALID;
	if (n)
		return replace(c, n, taken);
	n = calloc(1, sizeof *n);
	if (!n)
		return ERR_NOMEM;
	list_init(&n->of_machine);
	list_init(&n->of_user);
	list_init(&n->of_lazy);
	list_init(&n->of_dirty);
	list_init(&n->of_router);
	list_init(&n->of_rerouted);
	presence_timers_init(n);
	n->t = t;
	n->row = *taken;
	*taken = (struct node_row){ 0 };
	n->m.row = &n->row;
	n->m.slot = UINT32_MAX;
	n->m.cls = UINT32_MAX;
	n->m.hi = n->hi = NULL;
	err e = map_put(&c->nodes, n);
	if (e != OK) {
		node_row_done(&n->row);
		free(n);
		return e;
	}
	e = insert(c, n);
	if (e != OK)
		node_drop_memory(c, n->row.id);
	return e;
}

void node_drop_memory(struct core *c, int64_t id)
{
	struct node *n = node_by_id(c, id);
	struct policy_changes changes = { 0 };

	if (!n)
		return;
	if (n->session)
		session_drop(c, n->session, true);
	if (n->reader)
		session_drop(c, n->reader, true);
	presence_timers_stop(c, n);
	if (n->m.online)
		c->n_online--;
	routes_drop(c, n);
	if (n->m.cls != UINT32_MAX && policy_view_del(n->t->map.policy, id, &changes) != OK)
		n->t->compare_all = n->t->reveal = true;
	tailnet_note_changes(n->t, &changes);
	user_leave(c, n);
	unindex_disco(c, n);
	unindex_name(n);
	unindex_addresses(n);
	machine_leave(c, n);
	if (map_get(&c->nodes_by_key, &n->row.key) == n)
		map_del(&c->nodes_by_key, &n->row.key);
	if (n->m.slot != UINT32_MAX)
		tailnet_leave_slot(n->t, n);
	map_del(&c->nodes, &id);
	list_del(&n->of_lazy);
	list_del(&n->of_dirty);
	node_info_unref(n->info);
	service_forget_advertised(n);
	arena_done(&n->hi_arena);
	free(n->routes_text);
	free(n->cand);
	free(n->serving);
	free(n->refusal);
	node_row_done(&n->row);
	free(n);
}

/* ---- changes; the caller has touched the node ---- */

err node_set_key(struct core *c, struct node *n, const struct node_pub *key)
{
	struct node_pub old = n->row.key;

	if (node_pub_eq(&old, key))
		return OK;
	if (node_by_key(c, key))
		return ERR_EXISTS;
	map_del(&c->nodes_by_key, &old);
	n->row.key = *key;
	err e = map_put(&c->nodes_by_key, n);
	if (e != OK) { /* a slot was just freed, so this does not happen; if it does, the node is found by id again */
		n->row.key = old;
		return map_put(&c->nodes_by_key, n) == OK ? e : ERR_NOMEM;
	}
	if (n->shut == SHUT_NO)
		fx_admit(c, key);
	fx_revoke(c, &old);
	node_dirty(n, PATCH_KEY | PATCH_DISCO | PATCH_ENDPOINTS | PATCH_EXPIRY);
	if (n->t->map.lock_on) /* its signature goes with it, which a patch of ours does not say */
		node_dirty(n, DIRTY_WHOLE);
	node_self_dirty(n);
	return OK;
}

static err set_text(char **at, const char *text)
{
	char *copy = strdup(or_empty(text));

	if (!copy)
		return ERR_NOMEM;
	free(*at);
	*at = copy;
	return OK;
}

err node_set_name(struct core *c, struct node *n, const char *given, bool automatic)
{
	if (strcmp(or_empty(n->row.given_name), given) == 0) {
		n->row.given_name_auto = automatic;
		return OK;
	}
	TRY(set_text(&n->row.given_name, given));
	n->row.given_name_auto = automatic;
	unindex_name(n);
	index_name(n);
	node_dirty(n, DIRTY_WHOLE);
	node_self_dirty(n);
	TRY(node_note_facts(c, n));
	return n->has_name ? OK : ERR_EXISTS;
}

/* A disco key is one node's. Another node of the same machine gives it up (one daemon, two profiles), and so does one that is
 * not connected; a connected node keeps it, and the newcomer is not believed. */
err node_set_disco(struct core *c, struct node *n, const struct disco_pub *disco)
{
	if (disco_pub_eq(disco, &n->row.disco))
		return OK;
	struct node *other = disco_pub_is_zero(disco) ? NULL : map_get(&c->nodes_by_disco, disco);
	if (other && other->session && !machine_pub_eq(&other->row.machine, &n->row.machine))
		return ERR_EXISTS;
	if (other) {
		unindex_disco(c, other);
		other->row.disco = (struct disco_pub){ 0 };
		node_lazy(c, other);
		node_dirty(other, PATCH_DISCO);
	}
	unindex_disco(c, n);
	n->row.disco = *disco;
	index_disco(c, n);
	node_lazy(c, n);
	node_dirty(n, PATCH_DISCO);
	return OK;
}

/* Peers see these of a Hostinfo (common/wire/tailcfg_hostinfo.h). */
static bool peers_see_change(const struct tailcfg_hostinfo *a, const struct tailcfg_hostinfo *b)
{
	struct buf x = buf_make(HOSTINFO_JSON_MAX * 2), y = buf_make(HOSTINFO_JSON_MAX * 2);
	struct jsonw wx = jsonw_init(&x), wy = jsonw_init(&y);

	tailcfg_hostinfo_write(&wx, a, false);
	tailcfg_hostinfo_write(&wy, b, false);
	bool same = !x.bad && !y.bad && bytes_eq(buf_view(&x), buf_view(&y));
	buf_done(&x);
	buf_done(&y);
	return !same;
}

static bool same_routes(const struct tailcfg_hostinfo *a, const struct tailcfg_hostinfo *b)
{
	if (a->n_routable_ips != b->n_routable_ips || a->n_routes_left_out != b->n_routes_left_out)
		return false;
	for (size_t i = 0; i < a->n_routable_ips; i++)
		if (prefix_cmp(a->routable_ips[i], b->routable_ips[i]) != 0)
			return false;
	return true;
}

/* Routes that were cut off are not in what is kept: how many they are may change alone. */
static void note_left_out(struct core *c, struct node *n, size_t left_out)
{
	if (!n->hi || n->hi->n_routes_left_out == left_out)
		return;
	n->hi->n_routes_left_out = left_out;
	routes_tell(c, n);
}

err node_set_hostinfo(struct core *c, struct node *n, const struct tailcfg_hostinfo *hi, bool *changed)
{
	struct arena a = arena_make(0);
	struct tailcfg_hostinfo *mine, *kept = NULL;
	struct json_why why;

	*changed = false;
	if (n->hi && bytes_eq_str(hi->raw, or_empty(n->row.hostinfo_json)) && strcmp(n->hi->hostname, or_empty(n->row.hostname)) == 0) {
		note_left_out(c, n, hi->n_routes_left_out);
		return OK; /* as most reports: nothing to parse */
	}
	err e = tailcfg_hostinfo_parse(hi->raw, &a, &mine, &why);
	if (e == OK && !(kept = tailcfg_hostinfo_keep_netinfo(mine, n->hi, &a)))
		e = ERR_NOMEM;
	/* The hostname is undone with its event, the rest is not: both are compared. */
	bool renamed = e == OK && strcmp(kept->hostname, or_empty(n->row.hostname)) != 0;
	if (e == OK && !renamed && bytes_eq_str(kept->raw, or_empty(n->row.hostinfo_json))) {
		note_left_out(c, n, hi->n_routes_left_out);
		arena_done(&a);
		return OK;
	}
	char *json = e == OK ? bytes_dup(kept->raw) : NULL;
	if (!json) {
		arena_done(&a);
		return e == OK ? ERR_NOMEM : e;
	}
	bool whole = peers_see_change(n->hi, kept);
	if (kept)
		kept->n_routes_left_out = hi->n_routes_left_out;
	bool routes = !same_routes(n->hi, kept) || (n->hi && n->hi->n_routes_left_out != kept->n_routes_left_out);
	bool facts = n->hi && (strcmp(or_empty(n->hi->os), or_empty(kept->os)) != 0 || n->hi->allows_update != kept->allows_update ||
			       n->hi->state_encrypted != kept->state_encrypted || n->hi->app_connector != kept->app_connector ||
			       strcmp(or_empty(n->hi->os_version), or_empty(kept->os_version)) != 0 ||
			       strcmp(or_empty(n->hi->ipn_version), or_empty(kept->ipn_version)) != 0);
	free(n->row.hostinfo_json);
	n->row.hostinfo_json = json;
	arena_done(&n->hi_arena);
	n->hi_arena = a;
	n->hi = kept;
	n->m.hi = kept;
	tailnet_note_connector(n->t, n, kept->app_connector == TAILCFG_TRUE);
	*changed = true;
	node_lazy(c, n);
	node_info_stale(n);
	if (whole)
		node_dirty(n, DIRTY_WHOLE);
	if (routes || facts)
		audit_report(c, n);
	if (routes) {
		node_self_dirty(n);
		TRY(routes_update(c, n));
		TRY(node_note_facts(c, n));
	}
	if (facts || renamed)
		node_self_dirty(n); /* it may be in its DNS settings */
	if (facts && n->m.cls != UINT32_MAX)
		TRY(node_classify(c, n)); /* postures may ask for them */
	if (renamed && kept->hostname[0]) {
		char base[GIVEN_NAME_MAX + 1], given[GIVEN_NAME_MAX + 1];
		TRY(touch_node(c, n));
		TRY(set_text(&n->row.hostname, kept->hostname));
		if (n->row.given_name_auto) {
			name_sanitise(kept->hostname, base);
			name_unique(n->t, base, n, n->row.user_id, &n->row.machine, given);
			TRY(node_set_name(c, n, given, true));
		}
		node_self_dirty(n);
	}
	return OK;
}

static err copy_tags(char *const *tags, size_t n_tags, char ***out)
{
	char **list = n_tags ? calloc(n_tags, sizeof(*list)) : NULL;

	if (n_tags && !list)
		return ERR_NOMEM;
	for (size_t i = 0; i < n_tags; i++) {
		list[i] = strdup(tags[i]);
		if (!list[i]) {
			while (i--)
				free(list[i]);
			free(list);
			return ERR_NOMEM;
		}
	}
	*out = list;
	return OK;
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

err node_set_owner(struct core *c, struct node *n, int64_t user_id, char *const *tags, size_t n_tags)
{
	char **list;

	TRY(copy_tags(tags, n_tags, &list));
	if (n_tags) {
		size_t k = 0;
		qsort(list, n_tags, sizeof(*list), by_text);
		for (size_t i = 0; i < n_tags; i++) {
			if (k && strcmp(list[k - 1], list[i]) == 0)
				free(list[i]);
			else
				list[k++] = list[i];
		}
		n_tags = k;
	}
	user_leave(c, n);
	for (size_t i = 0; i < n->row.n_tags; i++)
		free(n->row.tags[i]);
	free(n->row.tags);
	n->row.tags = list;
	n->row.n_tags = n_tags;
	if (n->row.user_id != (n_tags ? 0 : user_id))
		node_dirty(n, DIRTY_OWNER);
	if (n_tags && (user_id || n->row.user_id))
		n->row.former_user_id = user_id ? user_id : n->row.user_id;
	else if (!n_tags)
		n->row.former_user_id = 0;
	n->row.user_id = n_tags ? 0 : user_id;
	user_join(c, n);
	if (n_tags)
		node_set_expires(c, n, 0); /* a tagged node is a machine's, not a person's: its key does not expire */
	node_dirty(n, DIRTY_WHOLE);
	node_self_dirty(n);
	TRY(gate_update(c, n));
	TRY(node_classify(c, n));
	return routes_update(c, n);
}

err node_set_addresses(struct core *c, struct node *n, struct addr v4, struct addr v6)
{
	unindex_addresses(n);
	n->row.v4 = v4;
	n->row.v6 = v6;
	TRY(index_addresses(n));
	node_dirty(n, DIRTY_WHOLE);
	node_self_dirty(n);
	return node_classify(c, n);
}

void node_arm_expiry(struct core *c, struct node *n)
{
	if (!n->row.expires_ms) {
		timer_stop(&c->timers, &n->expiry);
		return;
	}
	int64_t left = n->row.expires_ms - c->now.wall_ms;
	timer_arm(&c->timers, &n->expiry, c->now.mono_ms + (left > 0 && left < TIMER_STEP_MS ? left : TIMER_STEP_MS));
}

void node_set_expires(struct core *c, struct node *n, int64_t expires_ms)
{
	bool was = n->m.expired;

	if (n->row.expires_ms == expires_ms)
		return;
	n->row.expires_ms = expires_ms;
	n->m.expired = node_is_expired(c, n);
	node_arm_expiry(c, n);
	node_dirty(n, was && !n->m.expired ? DIRTY_WHOLE : PATCH_EXPIRY);
	node_self_dirty(n);
	if (was != n->m.expired && routes_update(c, n) != OK)
		c->fx_failed = true;
}

err node_delete(struct core *c, struct node *n)
{
	struct session *sessions[] = { n->session, n->reader };

	TRY(ssh_forget_node(c, n));
	TRY(touch_node(c, n));
	for (size_t i = 0; i < ARRAY_LEN(sessions); i++) {
		struct session *s = sessions[i];
		struct map_msg *msg = NULL;
		if (!s)
			continue;
		/* The client logs out when it sees its own key expired; an ended stream alone would leave it running (T42). */
		n->row.expires_ms = 1000;
		n->m.expired = true;
		map_cache_touch(n->t->cache, &n->m);
		if (map_delta_msg(n->t->cache, &n->t->map, &(struct map_delta){ .self = &n->m }, c->now.wall_ms, &msg) == OK && msg)
			fx_map_one(c, msg, s->sink);
		session_drop(c, s, true);
	}
	TRY(name_hold(c, n));
	fx_revoke(c, &n->row.key);
	node_drop_memory(c, n->row.id);
	return OK;
}

/* ---- how lists show it ---- */

static char *dup_or_empty(const char *s)
{
	return strdup(or_empty(s));
}

/* Of a Linux its distribution: the version of the kernel tells nobody anything. */
static char *system_of(const struct tailcfg_hostinfo *hi)
{
	const char *distro = or_empty(hi->distro), *version = or_empty(hi->distro_version);
	char *text = NULL;

	if (!*distro)
		return dup_or_empty(hi->os_version);
	if (asprintf(&text, "%c%s%s%s", *distro >= 'a' && *distro <= 'z' ? *distro - 'a' + 'A' : *distro, distro + 1, *version ? " " : "", version) < 0)
		return NULL;
	return text;
}

static err fill_info(struct core *c, struct node *n, struct node_info *i)
{
	struct user *u = user_by_id(c, n->row.user_id);
	struct authkey *k = n->row.authkey_id ? map_get(&c->authkeys, &n->row.authkey_id) : NULL;

	TRY(node_row_copy(&n->row, &i->row));
	if (u) {
		TRY(user_row_copy(&u->row, &i->user));
		if (!user_waits(u))
			i->user.waits_ms = 0;
	} else {
		struct user_row tagged = { .id = TAGGED_USER_ID, .tailnet_id = n->t->row.id };
		TRY(user_row_copy(&tagged, &i->user));
		free(i->user.name);
		free(i->user.display_name);
		i->user.name = strdup("tagged-devices");
		i->user.display_name = strdup("Tagged Devices");
		if (!i->user.name || !i->user.display_name)
			return ERR_NOMEM;
	}
	if (k)
		TRY(authkey_row_copy(&k->row, &i->authkey));
	i->online = n->m.online;
	i->expired = node_is_expired(c, n);
	i->approved = n->row.authorized || !n->t->set.devices_approval;
	i->client_version = dup_or_empty(n->hi->ipn_version);
	i->os = dup_or_empty(n->hi->os);
	i->os_version = system_of(n->hi);
	i->ssh = n->hi->n_ssh_host_keys > 0;
	i->refusal_ms = n->refusal_ms;
	if (n->refusal && !(i->refusal = strdup(n->refusal)))
		return ERR_NOMEM;
	i->announced = malloc((n->hi->n_routable_ips + 1) * sizeof *i->announced);
	i->serving = malloc((n->n_serving + 1) * sizeof *i->serving);
	if (!i->client_version || !i->os || !i->os_version || !i->announced || !i->serving)
		return ERR_NOMEM;
	i->n_announced = n->hi->n_routable_ips;
	for (size_t k2 = 0; k2 < i->n_announced; k2++)
		i->announced[k2] = prefix_mask(n->hi->routable_ips[k2]);
	i->n_serving = n->n_serving;
	if (n->n_serving)
		memcpy(i->serving, n->serving, n->n_serving * sizeof *i->serving);
	return OK;
}

struct node_info *node_info_get(struct core *c, struct node *n)
{
	if (n->info)
		return node_info_ref(n->info);
	struct node_info *i = calloc(1, sizeof *i);
	if (!i)
		return NULL;
	i->refs = 1;
	if (fill_info(c, n, i) != OK) {
		node_info_unref(i);
		return NULL;
	}
	n->info = i;
	return node_info_ref(i);
}
