#include <stdlib.h>
#include <string.h>

#include "common/base/cleanup.h"
#include "common/text/json.h"
#include "server/api/console.h"
#include "server/api/render.h"
#include "server/api/state.h"

/* Routes by prefix, relays by region. Made of lists of rows, on a worker. */

static enum MHD_Result on_made(struct request *r, const struct reply *reply)
{
	FAIL_ON(r, reply);
	return console_answer_made(r);
}

/* ---- routes ---- */

enum { OVERLAPS_MAX = 8 };

struct offer { /* of a prefix by a node */
	struct prefix prefix;
	const struct node_info *node;
	bool announced, approved, carries;
};

struct routes {
	struct console_nodes k;
	struct offer *offer; /* by prefix, then by node */
	size_t n;
};

static bool holds(const struct prefix *list, size_t n, struct prefix p)
{
	for (size_t i = 0; i < n; i++)
		if (prefix_cmp(list[i], p) == 0)
			return true;
	return false;
}

static void gather_offers(struct routes *rs)
{
	for (size_t i = 0; i < rs->k.n; i++) {
		const struct node_info *n = rs->k.node[i];
		for (size_t a = 0; a < n->n_announced + n->row.n_approved; a++) {
			bool announced = a < n->n_announced;
			struct prefix p = announced ? n->announced[a] : n->row.approved_routes[a - n->n_announced];
			if (!announced && holds(n->announced, n->n_announced, p))
				continue;
			rs->offer[rs->n++] = (struct offer){ p, n, announced, !route_waits(n, p), holds(n->serving, n->n_serving, p) };
		}
	}
}

static int by_prefix(const void *a, const void *b)
{
	const struct offer *x = a, *y = b;
	int order = prefix_cmp(x->prefix, y->prefix);

	return order ? order : (x->node->row.id > y->node->row.id) - (x->node->row.id < y->node->row.id);
}

static void put_overlaps(struct jsonw *w, const struct routes *rs, size_t first)
{
	char text[PREFIX_TEXT_MAX];
	size_t told = 0;

	jsonw_key(w, "overlaps"), jsonw_arr(w);
	for (size_t i = 0; i < rs->n && told < OVERLAPS_MAX; i++) {
		struct prefix p = rs->offer[i].prefix;
		bool again = i && prefix_cmp(rs->offer[i - 1].prefix, p) == 0;
		if (again || is_exit_prefix(p) || prefix_cmp(p, rs->offer[first].prefix) == 0 || !prefix_overlaps(p, rs->offer[first].prefix))
			continue;
		jsonw_str(w, prefix_text(p, text));
		told++;
	}
	jsonw_arr_end(w);
}

static const char *state_of(const struct offer *o, size_t n)
{
	bool offered = false, approved = false;

	for (size_t i = 0; i < n; i++) {
		if (o[i].carries && o[i].node->online)
			return "carries";
		offered |= o[i].announced;
		approved |= o[i].approved && o[i].announced;
	}
	return offered && !approved ? "waits" : "nobody";
}

static void put_route(struct jsonw *w, const struct routes *rs, size_t first, size_t n)
{
	const struct offer *o = &rs->offer[first], *carrier = NULL;
	bool waits = false;
	char text[PREFIX_TEXT_MAX];

	for (size_t i = 0; i < n; i++) {
		if (o[i].carries && !carrier)
			carrier = &o[i];
		waits |= o[i].announced && !o[i].approved;
	}
	jsonw_obj(w);
	jsonw_key(w, "prefix"), jsonw_str(w, prefix_text(o->prefix, text));
	jsonw_key(w, "state"), jsonw_str(w, state_of(o, n));
	jsonw_key(w, "waits"), jsonw_bool(w, waits);
	jsonw_key(w, "carrier");
	if (carrier)
		render_id(w, carrier->node->row.id);
	else
		jsonw_str(w, "");
	jsonw_key(w, "routers"), jsonw_arr(w);
	for (size_t i = 0; i < n; i++) {
		jsonw_obj(w);
		jsonw_key(w, "id"), render_id(w, o[i].node->row.id);
		jsonw_key(w, "name"), jsonw_str(w, o[i].node->row.given_name);
		jsonw_key(w, "announced"), jsonw_bool(w, o[i].announced);
		jsonw_key(w, "approved"), jsonw_bool(w, o[i].approved);
		jsonw_key(w, "online"), jsonw_bool(w, o[i].node->online);
		jsonw_key(w, "carries"), jsonw_bool(w, o[i].carries);
		jsonw_obj_end(w);
	}
	jsonw_arr_end(w);
	put_overlaps(w, rs, first);
	jsonw_obj_end(w);
}

/* Machines that are online and say that they use it. */
static size_t users_of_exit(const struct routes *rs, const struct node_info *exit)
{
	char says[64];
	size_t n = 0;

	snprintf(says, sizeof says, "\"ExitNodeID\":\"%lld\"", (long long)exit->row.id);
	for (size_t i = 0; i < rs->k.n; i++)
		n += rs->k.node[i]->online && rs->k.node[i]->row.hostinfo_json && strstr(rs->k.node[i]->row.hostinfo_json, says);
	return n;
}

static void put_exits(struct jsonw *w, const struct routes *rs)
{
	jsonw_key(w, "exits"), jsonw_arr(w);
	for (size_t i = 0; i < rs->k.n; i++) {
		const struct node_info *n = rs->k.node[i];
		unsigned flags = machine_flags(n, rs->k.lock_on, rs->k.now_ms);
		if (!(flags & (MACHINE_OFFERS_EXIT | MACHINE_EXIT)))
			continue;
		jsonw_obj(w);
		jsonw_key(w, "id"), render_id(w, n->row.id);
		jsonw_key(w, "name"), jsonw_str(w, n->row.given_name);
		jsonw_key(w, "offered"), jsonw_bool(w, flags & MACHINE_OFFERS_EXIT);
		jsonw_key(w, "approved"), jsonw_bool(w, flags & MACHINE_EXIT);
		jsonw_key(w, "online"), jsonw_bool(w, n->online);
		jsonw_key(w, "usedBy"), jsonw_uint(w, users_of_exit(rs, n));
		jsonw_obj_end(w);
	}
	jsonw_arr_end(w);
}

static void make_routes(struct request *r, struct reply *reply)
{
	struct routes *rs = r->keep;
	size_t max = 0;

	for (size_t i = 0; i < rs->k.n; i++)
		max += rs->k.node[i]->n_announced + rs->k.node[i]->row.n_approved;
	CLEANUP(freep) struct offer *list = malloc((max + 1) * sizeof *list);
	rs->offer = list;
	if (list) {
		gather_offers(rs);
		if (rs->n)
			qsort(list, rs->n, sizeof *list, by_prefix);
		struct jsonw w = answer_begin(&r->made);
		jsonw_key(&w, "routes"), jsonw_arr(&w);
		for (size_t i = 0, n; i < rs->n; i += n) {
			for (n = 1; i + n < rs->n && prefix_cmp(list[i + n].prefix, list[i].prefix) == 0;)
				n++;
			if (!is_exit_prefix(list[i].prefix))
				put_route(&w, rs, i, n);
		}
		jsonw_arr_end(&w);
		put_exits(&w, rs);
		jsonw_obj_end(&w);
		console_finish(r);
	} else {
		reply->e = ERR_NOMEM;
		reply->message = err_text(ERR_NOMEM);
	}
	console_nodes_done(&rs->k);
}

static enum MHD_Result on_route_nodes(struct request *r, const struct reply *reply)
{
	struct routes *rs = arena_alloc(&r->arena, sizeof *rs);

	FAIL_ON(r, reply);
	if (!rs || console_keep_nodes(r, reply, &rs->k) != OK)
		return answer_error(r, 500, "out of memory");
	r->keep = rs;
	return console_work(r, make_routes, on_made, &rs->k);
}

enum MHD_Result console_routes_list(struct request *r)
{
	return ask(r, command_for(r, CMD_NODE_LIST), on_route_nodes);
}

/* ---- approving one: the list of its machine, with or without it ---- */

struct approval {
	struct prefix prefix[2]; /* an exit node's are two */
	size_t n;
	bool approved;
};

static enum MHD_Result on_approval_node(struct request *r, const struct reply *reply)
{
	const struct approval *a = r->keep;

	FAIL_ON(r, reply);
	const struct node_row *row = &reply->nodes[0]->row;
	struct command *c = command_for(r, CMD_NODE_APPROVE_ROUTES);
	struct prefix *list = c ? arena_array(&c->arena, row->n_approved + 2, sizeof *list) : NULL;
	size_t n = 0;
	for (size_t i = 0; list && i < row->n_approved; i++)
		if (!holds(a->prefix, a->n, row->approved_routes[i]))
			list[n++] = row->approved_routes[i];
	for (size_t i = 0; list && a->approved && i < a->n; i++)
		list[n++] = a->prefix[i];
	if (c) {
		c->id = row->id;
		c->routes = list;
		c->n_routes = n;
	}
	return ask(r, c, console_on_machine);
}

/* {"prefix": "10.0.0.0/24" | "exit", "machine": "5", "approved": true} */
enum MHD_Result console_route_approve(struct request *r)
{
	struct approval *a = arena_alloc(&r->arena, sizeof *a);
	const char *prefix = body_text(r, "prefix"), *machine = body_id(r, "machine");
	const json_t *body = body_object(r);
	struct command *c = command_for(r, CMD_NODE_GET);

	if (!a) {
		command_free(c);
		return answer_error(r, 500, "out of memory");
	}
	a->approved = !json_is_false(body ? json_object_get(body, "approved") : NULL);
	a->n = prefix && strcmp(prefix, "exit") == 0 ? 2 : 1;
	const char *const texts[] = { a->n == 2 ? "0.0.0.0/0" : prefix ? prefix : "", "::/0" };
	for (size_t i = 0; i < a->n; i++)
		if (prefix_parse(bytes_str(texts[i]), &a->prefix[i]) != OK && !r->fault)
			r->fault = "prefix: a route such as 10.0.0.0/24 is needed, or exit";
	for (size_t i = 0; i < a->n; i++)
		a->prefix[i] = prefix_mask(a->prefix[i]);
	r->keep = a;
	if (c)
		c->id = parse_id(r, machine ? machine : "", "machine");
	return ask(r, c, on_approval_node);
}

/* ---- relays ---- */

enum { REGIONS_MAX = 512 };

struct region {
	int id;
	size_t home, online, n_ms, cap_ms;
	float *ms; /* owned: of online machines, the better family */
};

struct relays {
	struct console_nodes k;
	const char *map; /* JSON */
	struct region region[REGIONS_MAX];
	size_t n;
};

static struct region *region_of(struct relays *rs, int id)
{
	for (size_t i = 0; i < rs->n; i++)
		if (rs->region[i].id == id)
			return &rs->region[i];
	return NULL;
}

static void note_ms(struct region *g, float ms)
{
	if (g->n_ms == g->cap_ms) {
		size_t cap = g->cap_ms ? 2 * g->cap_ms : 16;
		float *more = realloc(g->ms, cap * sizeof *more);
		if (!more)
			return;
		g->ms = more;
		g->cap_ms = cap;
	}
	g->ms[g->n_ms++] = ms;
}

/* "DERPLatency":{"1-v4":0.012,"1-v6":0.013,…} of a machine's NetInfo, without parsing all of its Hostinfo. */
static void note_latencies(struct relays *rs, const char *hostinfo)
{
	static const char name[] = "\"DERPLatency\":{";
	const char *at = hostinfo ? strstr(hostinfo, name) : NULL;
	const struct region *last = NULL; /* that the entry before was of: the other family of the same */

	for (at = at ? at + sizeof name - 1 : NULL; at && *at == '"';) {
		char *end;
		long id = strtol(at + 1, &end, 10);
		const char *colon = strstr(end, "\":");
		if (!colon)
			return;
		double s = strtod(colon + 2, &end);
		struct region *g = id > 0 && id < INT32_MAX ? region_of(rs, (int)id) : NULL;
		if (g && s > 0 && s < 60) {
			if (g != last)
				note_ms(g, (float)(s * 1000));
			else if (g->n_ms && g->ms[g->n_ms - 1] > (float)(s * 1000))
				g->ms[g->n_ms - 1] = (float)(s * 1000); /* the better family counts */
			last = g;
		}
		at = *end == ',' ? end + 1 : NULL;
	}
}

static int by_ms(const void *a, const void *b)
{
	float x = *(const float *)a, y = *(const float *)b;

	return (x > y) - (x < y);
}

static void put_ms(struct jsonw *w, double ms)
{
	jsonw_double(w, (double)(int64_t)(ms * 10 + 0.5) / 10);
}

static void put_latency(struct jsonw *w, struct region *g)
{
	jsonw_key(w, "latency");
	if (!g || !g->n_ms) {
		jsonw_null(w);
		return;
	}
	qsort(g->ms, g->n_ms, sizeof *g->ms, by_ms);
	jsonw_obj(w);
	jsonw_key(w, "n"), jsonw_uint(w, g->n_ms);
	jsonw_key(w, "p50"), put_ms(w, (double)g->ms[g->n_ms / 2]);
	jsonw_key(w, "p95"), put_ms(w, (double)g->ms[(g->n_ms * 95) / 100]);
	jsonw_key(w, "max"), put_ms(w, (double)g->ms[g->n_ms - 1]);
	jsonw_obj_end(w);
}

static const char *text_of(const json_t *o, const char *name)
{
	const char *text = json_string_value(json_object_get(o, name));

	return text ? text : "";
}

static bool is_own_host(struct request *r, const char *host)
{
	const char *url = strstr(r->api->cfg.server_url, "//");
	size_t n = strlen(host);

	return url && n && strncmp(url + 2, host, n) == 0 && (url[2 + n] == 0 || url[2 + n] == ':' || url[2 + n] == '/');
}

static bool put_hosts(struct request *r, struct jsonw *w, const json_t *nodes)
{
	bool own = false;
	json_t *node;
	size_t i;

	jsonw_key(w, "hosts"), jsonw_arr(w);
	json_array_foreach((json_t *)(uintptr_t)nodes, i, node) {
		own |= is_own_host(r, text_of(node, "HostName"));
		jsonw_obj(w);
		jsonw_key(w, "name"), jsonw_str(w, text_of(node, "Name"));
		jsonw_key(w, "host"), jsonw_str(w, text_of(node, "HostName"));
		jsonw_key(w, "v4"), jsonw_str(w, text_of(node, "IPv4"));
		jsonw_key(w, "v6"), jsonw_str(w, text_of(node, "IPv6"));
		jsonw_key(w, "port"), jsonw_int(w, json_integer_value(json_object_get(node, "DERPPort")));
		jsonw_key(w, "stunPort"), jsonw_int(w, json_integer_value(json_object_get(node, "STUNPort")));
		jsonw_key(w, "stunOnly"), jsonw_bool(w, json_is_true(json_object_get(node, "STUNOnly")));
		jsonw_obj_end(w);
	}
	jsonw_arr_end(w);
	return own;
}

/* The relay of this server: its counters, by derper's names. */
static void put_own(struct request *r, struct jsonw *w)
{
	CLEANUP(buf_done) struct buf text = buf_make(1 << 20);
	static const char prefix[] = "derp_";

	if (r->api->cfg.metrics)
		r->api->cfg.metrics(r->api->cfg.ctx, &text);
	struct bytes rest = buf_view(&text);
	jsonw_key(w, "own"), jsonw_obj(w);
	while (rest.n) {
		struct bytes value, line = bytes_cut(rest, '\n', &rest), name = bytes_cut(line, ' ', &value);
		uint64_t number;
		if (!bytes_has_prefix(name, BYTES_LIT("derp_")) || bytes_parse_u64(value, UINT64_MAX, &number) != OK)
			continue;
		jsonw_key_bytes(w, bytes_skip(name, sizeof prefix - 1));
		jsonw_uint(w, number);
	}
	jsonw_obj_end(w);
}

static void put_nodes_that(const struct request *r, struct jsonw *w, const struct console_nodes *k, const char *says)
{
	bool may = console_may_read(r, SCOPE_DEVICES_CORE);

	jsonw_arr(w);
	for (size_t i = 0; may && i < k->n; i++)
		if (k->node[i]->online && k->node[i]->row.hostinfo_json && strstr(k->node[i]->row.hostinfo_json, says))
			render_id(w, k->node[i]->row.id);
	jsonw_arr_end(w);
}

static void put_regions(struct request *r, struct jsonw *w, struct relays *rs, const json_t *regions)
{
	const char *key;
	json_t *v;

	jsonw_key(w, "regions"), jsonw_arr(w);
	json_object_foreach((json_t *)(uintptr_t)regions, key, v) {
		struct region *g = region_of(rs, (int)json_integer_value(json_object_get(v, "RegionID")));
		jsonw_obj(w);
		jsonw_key(w, "id"), jsonw_int(w, json_integer_value(json_object_get(v, "RegionID")));
		jsonw_key(w, "code"), jsonw_str(w, text_of(v, "RegionCode"));
		jsonw_key(w, "name"), jsonw_str(w, text_of(v, "RegionName"));
		jsonw_key(w, "avoid"), jsonw_bool(w, json_is_true(json_object_get(v, "Avoid")));
		bool own = put_hosts(r, w, json_object_get(v, "Nodes"));
		jsonw_key(w, "own"), jsonw_bool(w, own);
		jsonw_key(w, "home"), jsonw_uint(w, g ? g->home : 0);
		jsonw_key(w, "homeOnline"), jsonw_uint(w, g ? g->online : 0);
		put_latency(w, g);
		jsonw_obj_end(w);
	}
	jsonw_arr_end(w);
}

static void count_regions(struct relays *rs, const json_t *regions, const struct console_nodes *k)
{
	const char *key;
	json_t *v;

	json_object_foreach((json_t *)(uintptr_t)regions, key, v)
		if (rs->n < REGIONS_MAX)
			rs->region[rs->n++].id = (int)json_integer_value(json_object_get(v, "RegionID"));
	for (size_t i = 0; i < k->n; i++) {
		const struct node_info *n = k->node[i];
		struct region *g = n->row.home_derp ? region_of(rs, n->row.home_derp) : NULL;
		if (g) {
			g->home++;
			g->online += n->online;
		}
		if (n->online)
			note_latencies(rs, n->row.hostinfo_json);
	}
}

size_t console_silent_relays(const char *text, const struct console_nodes *k, struct silent_relay out[SILENT_RELAYS_MAX])
{
	json_auto_t *map = json_loads(text, 0, NULL);
	struct relays *rs = calloc(1, sizeof *rs);
	const char *key;
	json_t *v;
	size_t n = 0;

	if (!rs)
		return 0;
	count_regions(rs, json_object_get(map, "Regions"), k);
	json_object_foreach(json_object_get(map, "Regions"), key, v) {
		const struct region *g = region_of(rs, (int)json_integer_value(json_object_get(v, "RegionID")));
		if (!g || !g->online || g->n_ms || n == SILENT_RELAYS_MAX)
			continue;
		out[n].id = g->id;
		snprintf(out[n++].name, sizeof out[0].name, "%s", text_of(v, "RegionName"));
	}
	for (size_t i = 0; i < rs->n; i++)
		free(rs->region[i].ms);
	free(rs);
	return n;
}

static void make_relays(struct request *r, struct reply *reply)
{
	struct relays *rs = r->keep;
	json_auto_t *map = json_loads(rs->map, 0, NULL);
	const json_t *regions = json_object_get(map, "Regions");

	(void)reply;
	count_regions(rs, regions, &rs->k);
	struct jsonw w = answer_begin(&r->made);
	put_regions(r, &w, rs, regions);
	put_own(r, &w);
	jsonw_key(&w, "noUdp"), put_nodes_that(r, &w, &rs->k, "\"WorkingUDP\":false");
	jsonw_key(&w, "hardNat"), put_nodes_that(r, &w, &rs->k, "\"MappingVariesByDestIP\":true");
	jsonw_obj_end(&w);
	for (size_t i = 0; i < rs->n; i++)
		free(rs->region[i].ms);
	console_nodes_done(&rs->k);
	console_finish(r);
}

static enum MHD_Result on_relay_nodes(struct request *r, const struct reply *reply)
{
	struct relays *rs = r->keep;

	FAIL_ON(r, reply);
	if (console_keep_nodes(r, reply, &rs->k) != OK)
		return answer_error(r, 500, "out of memory");
	return console_work(r, make_relays, on_made, &rs->k);
}

static enum MHD_Result on_map(struct request *r, const struct reply *reply)
{
	struct relays *rs = arena_alloc(&r->arena, sizeof *rs);

	FAIL_ON(r, reply);
	if (!rs || !(rs->map = arena_str(&r->arena, bytes_str(reply->text ? reply->text : "{}"))))
		return answer_error(r, 500, "out of memory");
	r->keep = rs;
	return ask(r, command_for(r, CMD_NODE_LIST), on_relay_nodes);
}

/* Which machines have no UDP is only for who may read machines, too. */
enum MHD_Result console_relays(struct request *r)
{
	return ask(r, command_for(r, CMD_DERPMAP_GET), on_map);
}
