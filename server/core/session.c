#include "server/core/state.h"

#include <stdlib.h>

#include "common/base/cleanup.h"

/* ---- what nodes report ---- */

static bool usable_endpoint(struct addrport at)
{
	return at.port && at.addr.family && !addr_is_loopback(at.addr) && !addr_is_multicast(at.addr) &&
			!addr_is_unspecified(at.addr) && !addr_is_link_local(at.addr);
}

static bool has_endpoint(const struct addrport *list, size_t n, struct addrport at)
{
	for (size_t i = 0; i < n; i++)
		if (addrport_eq(list[i], at))
			return true;
	return false;
}

static err set_endpoints(struct core *c, struct node *n, const struct tailcfg_endpoint *from, size_t n_from)
{
	struct addrport list[NODE_ENDPOINTS_MAX];
	size_t k = 0;

	for (size_t i = 0; i < n_from && k < NODE_ENDPOINTS_MAX; i++)
		if (usable_endpoint(from[i].at) && !has_endpoint(list, k, from[i].at))
			list[k++] = from[i].at;
	bool same = k == n->row.n_endpoints; /* another order says nothing new */
	for (size_t i = 0; same && i < k; i++)
		same = has_endpoint(n->row.endpoints, n->row.n_endpoints, list[i]);
	if (same)
		return OK;
	struct addrport *copy = malloc((k + 1) * sizeof *copy);
	if (!copy)
		return ERR_NOMEM;
	memcpy(copy, list, k * sizeof *copy);
	free(n->row.endpoints);
	n->row.endpoints = copy;
	n->row.n_endpoints = k;
	node_lazy(c, n);
	node_dirty(n, PATCH_ENDPOINTS);
	return OK;
}

static void set_home(struct core *c, struct node *n, int region)
{
	if (region <= 0 || region == n->row.home_derp)
		return;
	n->row.home_derp = region;
	audit_report(c, n);
	node_lazy(c, n);
	node_dirty(n, PATCH_HOME);
	node_self_dirty(n);
}

static void set_capver(struct core *c, struct node *n, int version)
{
	if (version <= 0 || version == n->row.capver)
		return;
	n->row.capver = version;
	node_lazy(c, n);
	node_dirty(n, PATCH_CAP);
	node_self_dirty(n);
}

static err set_hostinfo(struct core *c, struct node *n, const struct tailcfg_hostinfo *hi)
{
	bool changed;

	if (hi->netinfo)
		set_home(c, n, hi->netinfo->preferred_derp);
	TRY(node_set_hostinfo(c, n, hi, &changed));
	return service_hostinfo(c, n);
}

/* A lite update says how things are. */
static err report_lite(struct core *c, struct node *n, const struct tailcfg_map_request *m)
{
	set_capver(c, n, m->version);
	if (!disco_pub_is_zero(&m->disco_key) && node_set_disco(c, n, &m->disco_key) != OK)
		return ERR_EXISTS;
	TRY(set_endpoints(c, n, m->endpoints, m->n_endpoints));
	if (m->has_hostinfo || *or_empty(m->hostinfo_fault))
		node_hostinfo_fault(c, n, or_empty(m->hostinfo_fault));
	if (m->has_hostinfo)
		TRY(set_hostinfo(c, n, m->hostinfo));
	n->reported = true;
	n->report_ms = c->now.wall_ms;
	presence_may_announce(c, n);
	return OK;
}

/* A long poll may carry the same things, or zeros: it fills what is not known. What the database remembers counts as not
 * known until the node spoke once since our start, for clients do not repeat a lite update when they reconnect. */
static err report_stream(struct core *c, struct node *n, const struct tailcfg_map_request *m)
{
	bool first = !n->reported;

	set_capver(c, n, m->version);
	if (!disco_pub_is_zero(&m->disco_key) && (first || disco_pub_is_zero(&n->row.disco))) {
		err e = node_set_disco(c, n, &m->disco_key);
		if (e != OK && e != ERR_EXISTS)
			return e;
	}
	if (m->n_endpoints && (first || !n->row.n_endpoints))
		TRY(set_endpoints(c, n, m->endpoints, m->n_endpoints));
	if (m->has_hostinfo && m->hostinfo->raw.n > 2 && (first || !n->row.hostinfo_json || strlen(n->row.hostinfo_json) <= 2))
		TRY(set_hostinfo(c, n, m->hostinfo));
	n->reported = true;
	n->report_ms = c->now.wall_ms;
	if (!n->ready && n->t->set.only_own_region && !n->row.home_derp && !disco_pub_is_zero(&n->row.disco))
		set_home(c, n, n->t->set.own_region); /* until it says so itself */
	presence_may_announce(c, n);
	return OK;
}

void on_map_lite(struct core *c, struct event *e)
{
	struct node *n = node_by_key(c, &e->map->node_key);

	if (!n) {
		answer_http(c, e->call, 404, "unknown node key\n");
		return;
	}
	if (!machine_pub_eq(&n->row.machine, &e->machine)) {
		answer_http(c, e->call, 401, "this node key belongs to another machine\n");
		return;
	}
	if (!e->map->read_only) {
		err er = report_lite(c, n, e->map);
		if (er == ERR_EXISTS) {
			node_refused(c, n, "its disco key belongs to another node that is connected");
			answer_http(c, e->call, 409, "this disco key belongs to another node\n");
			return;
		}
		if (er != OK) {
			core_abort(c);
			answer_http(c, e->call, 503, "out of memory\n");
			return;
		}
	}
	struct reply *r = reply_new();
	if (!r)
		return;
	r->http_status = 200;
	r->registered = true;
	fx_reply(c, e->call, r);
}

/* ---- sessions ---- */

err session_filters_room(struct session *s, size_t n)
{
	if (n <= s->cap_filters)
		return OK;
	struct told_filter *more = realloc(s->filters, n * sizeof *more);
	if (!more)
		return ERR_NOMEM;
	s->filters = more;
	s->cap_filters = n;
	return OK;
}

static size_t routes_place(const struct session *s, uint32_t slot)
{
	size_t low = 0, n = s->n_routes;

	while (low < n) {
		size_t mid = low + (n - low) / 2;

		if (s->routes[mid].slot < slot)
			low = mid + 1;
		else
			n = mid;
	}
	return low;
}

uint64_t session_told_routes(const struct session *s, uint32_t slot)
{
	size_t i = routes_place(s, slot);

	return i < s->n_routes && s->routes[i].slot == slot ? s->routes[i].hash : 0;
}

err session_note_routes(struct session *s, uint32_t slot, uint64_t hash)
{
	size_t i = routes_place(s, slot);
	bool there = i < s->n_routes && s->routes[i].slot == slot;

	if (there && !hash) {
		s->n_routes--;
		memmove(&s->routes[i], &s->routes[i + 1], (s->n_routes - i) * sizeof *s->routes);
	} else if (there) {
		s->routes[i].hash = hash;
	} else if (hash) {
		if (s->n_routes == s->cap_routes) {
			size_t cap = s->cap_routes ? 2 * s->cap_routes : 4;
			struct told_routes *grown = reallocarray(s->routes, cap, sizeof *grown);

			if (!grown)
				return ERR_NOMEM;
			s->routes = grown;
			s->cap_routes = cap;
		}
		memmove(&s->routes[i + 1], &s->routes[i], (s->n_routes - i) * sizeof *s->routes);
		s->routes[i] = (struct told_routes){ slot, hash };
		s->n_routes++;
	}
	return OK;
}

/* All of them, as a full map tells. */
static err note_all_routes(struct session *s)
{
	struct tailnet *t = s->node->t;

	s->n_routes = 0;
	list_each(it, &t->routers) {
		struct node *n = container_of(it, struct node, of_router);

		if (slots_has(&s->told, n->m.slot))
			TRY(session_note_routes(s, n->m.slot, map_routes_hash(&t->map, &s->node->m, &n->m)));
	}
	return OK;
}

void session_note_filters(struct session *s, const struct policy_filter *filters, size_t n)
{
	s->n_filters = n;
	for (size_t i = 0; i < n; i++) {
		struct told_filter *f = &s->filters[i];
		size_t len = strnlen(filters[i].name, sizeof f->name - 1);

		memcpy(f->name, filters[i].name, len);
		f->name[len] = 0;
		f->hash = filters[i].hash;
	}
}

static void note_told(struct session *s, const struct policy_filter *filters, size_t n)
{
	struct bytes ssh = policy_view_ssh(s->node->t->map.policy, s->node->row.id);
	struct bytes caps = policy_view_self_caps(s->node->t->map.policy, s->node->row.id);

	session_note_filters(s, filters, n);
	s->ssh_hash = ssh.n ? map_hash(ssh.p, ssh.n) : 0;
	s->caps_hash = caps.n ? map_hash(caps.p, caps.n) : 0;
	s->services_hash = map_services_hash(&s->node->t->map, &s->node->m);
	s->dns = false;
	s->message_hash = map_message_hash(&s->node->m);
	s->need_full = s->compare = s->self = false;
	s->no_ipv4 = policy_view_no_ipv4(s->node->t->map.policy, s->node->m.cls);
}

void session_want_full(struct session *s)
{
	s->need_full = s->node->t->full_wanted = true;
}

void session_note_sent(struct core *c, struct session *s, size_t bytes)
{
	s->last_seq = c->seq + (c->n_image > 0);
	s->last_ms = c->now.mono_ms;
	s->n_messages++;
	s->n_bytes += bytes;
}

/* A full map in a stream that had one cannot say "no peers" and "no SSH rules": absent means unchanged. */
static err take_back(struct core *c, struct session *s, const struct slots *told)
{
	struct tailnet *t = s->node->t;
	struct map_delta d = { 0 };
	struct map_msg *msg = NULL;
	size_t n = 0, left = 0;

	for (size_t i = 0; i < told->n; i++)
		left += told->w[i] != 0;
	for (size_t i = 0; i < s->told.n; i++)
		n += (size_t)__builtin_popcountll(s->told.w[i]);
	CLEANUP(freep) int64_t *ids = malloc((n + 1) * sizeof *ids);
	if (!ids)
		return ERR_NOMEM;
	for (size_t i = 0; !left && i < s->told.n; i++)
		for (uint64_t w = s->told.w[i]; w; w &= w - 1)
			ids[d.n_removed++] = t->slot_id[i * 64 + (unsigned)__builtin_ctzll(w)];
	d.removed = ids;
	if (s->ssh_hash && !policy_view_ssh(t->map.policy, s->node->row.id).n)
		d.ssh = BYTES_LIT("{\"rules\":[]}");
	TRY(map_delta_msg(t->cache, &t->map, &d, c->now.wall_ms, &msg));
	if (msg)
		fx_map_one(c, msg, s->sink);
	return OK;
}

err session_send_full(struct core *c, struct session *s)
{
	struct tailnet *t = s->node->t;
	struct policy_filter filters[POLICY_FILTERS_MAX];
	struct slots told = { 0 };
	struct map_msg *msg;
	size_t n = 0;

	err e = map_full(t->cache, &t->map, &s->node->m, c->now.wall_ms, &told, filters, &n, &msg);
	if (e == OK && ((e = session_filters_room(s, n)) != OK || (e = take_back(c, s, &told)) != OK))
		map_msg_unref(msg);
	if (e != OK) {
		slots_done(&told);
		return e;
	}
	slots_done(&s->told);
	s->told = told;
	s->begun = true;
	if (note_all_routes(s) != OK) {
		map_msg_unref(msg);
		return ERR_NOMEM;
	}
	note_told(s, filters, n);
	c->map_full++;
	c->map_bytes += map_msg_text_len(msg);
	session_note_sent(c, s, map_msg_text_len(msg));
	fx_map_one(c, msg, s->sink);
	return s->reader ? OK : service_hostinfo(c, s->node);
}

void session_drop(struct core *c, struct session *s, bool end)
{
	struct node *n = s->node;

	list_del(&s->all);
	n->t->n_sessions--;
	c->n_sessions--;
	if (n->session == s) {
		n->session = NULL;
		presence_stream_closed(c, n);
	} else {
		n->reader = NULL;
	}
	s->sink->core_session = NULL;
	if (end)
		fx_map_end(c, s->sink, 0, NULL);
	fx_sink_unref(c, s->sink);
	slots_done(&s->told);
	free(s->filters);
	free(s->routes);
	free(s);
}

/* A stream of a key that is unknown or was deleted: the client must learn that it is logged out, which a refusal does not
 * tell it (trap T42b). So it gets a map in which it expired, and the stream stays open for a while. */
static void gone_end(struct core *c, struct timer *t)
{
	struct gone_sink *g = container_of(t, struct gone_sink, end);

	list_del(&g->all);
	c->n_gone--;
	timer_stop(&c->timers, &g->end);
	g->sink->core_session = NULL;
	fx_map_end(c, g->sink, 0, NULL);
	fx_sink_unref(c, g->sink);
	free(g);
}

static bool is_gone(struct core *c, const void *session)
{
	list_each(it, &c->gone)
		if (container_of(it, struct gone_sink, all) == session)
			return true;
	return false;
}

void gone_done(struct core *c)
{
	while (!list_is_empty(&c->gone))
		gone_end(c, &container_of(c->gone.next, struct gone_sink, all)->end);
}

static void gone_open(struct core *c, struct event *e)
{
	struct tailnet *t = core_tailnet(c, 1);
	struct gone_sink *g = c->n_gone < GONE_SINKS_MAX ? calloc(1, sizeof *g) : NULL;
	struct map_msg *msg = NULL;

	if (!g || timers_reserve(&c->timers, c->timers.n + 8) != OK ||
			map_gone_msg(&t->map, &e->map->node_key, &e->machine, &e->map->disco_key, c->now.wall_ms, &msg) != OK) {
		free(g);
		fx_map_end(c, e->sink, 404, "unknown node key\n");
		return;
	}
	g->sink = MOVE(e->sink);
	g->sink->core_session = g;
	g->end.fire = gone_end;
	list_add_tail(&c->gone, &g->all);
	c->n_gone++;
	timer_arm(&c->timers, &g->end, c->now.mono_ms + GONE_HOLD_MS);
	fx_map_one(c, msg, g->sink);
}

static struct node *stream_node(struct core *c, struct event *e)
{
	struct node *n = node_by_key(c, &e->map->node_key);

	if (n && !machine_pub_eq(&n->row.machine, &e->machine)) {
		fx_map_end(c, e->sink, 401, "this node key belongs to another machine\n");
		return NULL;
	}
	if (!n)
		gone_open(c, e);
	else
		e->sink->known = true;
	return n;
}

void session_open(struct core *c, struct event *e)
{
	struct node *n = stream_node(c, e);

	if (!n)
		return;
	struct session *s = calloc(1, sizeof *s);
	if (!s) {
		fx_map_end(c, e->sink, 503, "out of memory\n");
		return;
	}
	s->reader = e->map->read_only;
	s->opened_ms = c->now.mono_ms;
	addr_registered(c, e->remote);
	struct session *old = s->reader ? n->reader : n->session;
	if (old)
		session_drop(c, old, true);
	s->node = n;
	s->sink = MOVE(e->sink);
	s->number = ++c->streams;
	s->sink->core_session = s;
	list_add_tail(&n->t->sessions, &s->all);
	n->t->n_sessions++;
	c->n_sessions++;
	if (s->reader) {
		n->reader = s;
	} else {
		n->session = s;
		presence_online(c, n);
		err er = report_stream(c, n, e->map);
		if (er != OK) {
			core_abort(c);
			session_drop(c, s, true);
			return;
		}
		presence_hold(c, n);
	}
	if (n->t->reveal) {
		session_want_full(s);
		n->t->flush = true;
	} else if (session_send_full(c, s) != OK) {
		session_drop(c, s, true);
	}
}

void session_once(struct core *c, struct event *e)
{
	struct node *n = stream_node(c, e);
	struct policy_filter filters[POLICY_FILTERS_MAX];
	struct slots told = { 0 };
	struct map_msg *msg;
	size_t k = 0;

	if (!n)
		return;
	if (!e->map->read_only && report_stream(c, n, e->map) != OK) {
		core_abort(c);
		fx_map_end(c, e->sink, 503, "out of memory\n");
		return;
	}
	if (map_full(n->t->cache, &n->t->map, &n->m, c->now.wall_ms, &told, filters, &k, &msg) != OK) {
		fx_map_end(c, e->sink, 503, "out of memory\n");
	} else {
		c->map_full++;
		fx_map_one(c, msg, e->sink);
		fx_map_end(c, e->sink, 0, NULL);
	}
	slots_done(&told);
}

void session_closed(struct core *c, struct map_sink *sink)
{
	void *s = sink->core_session;

	if (!s)
		return; /* replaced, or ended by us */
	if (is_gone(c, s))
		gone_end(c, &((struct gone_sink *)s)->end);
	else
		session_drop(c, s, false);
}

/* Messages beyond what is durable were dropped on their way: what these sessions were told is no longer known. */
void sessions_undo(struct core *c, uint64_t durable)
{
	for (size_t i = 0; i < c->n_tailnets; i++)
		list_each_safe(it, &c->tailnets[i]->sessions) {
			struct session *s = container_of(it, struct session, all);
			if (s->last_seq > durable)
				session_drop(c, s, true);
		}
}
