#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "server/api/console.h"
#include "server/api/render.h"
#include "server/api/state.h"

/* GET …/attention: what somebody must decide or mend, newest first, and how many there are of each page, for the badges. Made of
 * lists of rows, on a worker; nothing of it is kept. */

enum { ITEMS_MAX = 2000, REFUSED_LATELY_MS = 24 * 3600 * 1000 };

enum area { AREA_MACHINES, AREA_USERS, AREA_ACCESS, AREA_ROUTES, AREA_RELAYS, AREA_KEYS, AREA_SETTINGS, AREAS_N };

static const char *const area_names[AREAS_N] = { "machines", "users", "access", "routes", "relays", "keys", "settings" };

struct item {
	const char *kind;
	enum area area;
	bool broken; /* else: somebody should act */
	int64_t since_ms, machine, user, key;
	const char *prefix, *text; /* "" none */
};

struct attention {
	struct console_nodes k;
	struct item *item;
	size_t n, count[AREAS_N];
	int64_t now_ms;
	const char *map; /* of relays, JSON; NULL: the caller may not read it */
};

static void put(struct attention *a, struct item i)
{
	a->count[i.area]++;
	if (a->n < ITEMS_MAX)
		a->item[a->n++] = i;
}

static const char *copy_text(struct request *r, const char *text)
{
	const char *copy = arena_str(&r->arena, bytes_str(text ? text : ""));

	return copy ? copy : "";
}

/* ---- machines and their routes ---- */

static bool somebody_carries(const struct attention *a, struct prefix p)
{
	for (size_t i = 0; i < a->k.n; i++) {
		const struct node_info *n = a->k.node[i];
		for (size_t s = 0; n->online && s < n->n_serving; s++)
			if (prefix_cmp(n->serving[s], p) == 0)
				return true;
	}
	return false;
}

static const char *route_text(struct request *r, struct prefix p)
{
	char text[PREFIX_TEXT_MAX];
	const char *copy = arena_str(&r->arena, bytes_str(prefix_text(p, text)));

	return copy ? copy : "";
}

static bool has_exit_above(const struct node_info *n, size_t i)
{
	for (size_t k = 0; k < i; k++)
		if (is_exit_prefix(n->announced[k]) && is_exit_prefix(n->announced[i]))
			return true;
	return false;
}

static void look_at_routes(struct request *r, struct attention *a, const struct node_info *n)
{
	for (size_t i = 0; i < n->n_announced; i++)
		if (route_waits(n, n->announced[i]) && !has_exit_above(n, i)) /* both families of an exit are one question */
			put(a, (struct item){ "route-waits", AREA_ROUTES, false, n->row.created_ms, n->row.id, 0, 0,
				is_exit_prefix(n->announced[i]) ? "exit" : route_text(r, n->announced[i]), "" });
	for (size_t i = 0; !n->online && i < n->row.n_approved; i++) {
		struct prefix p = n->row.approved_routes[i];
		bool announced = false;
		for (size_t k = 0; k < n->n_announced; k++)
			announced |= prefix_cmp(n->announced[k], p) == 0;
		if (announced && !is_exit_prefix(p) && !somebody_carries(a, p))
			put(a, (struct item){ "route-nobody", AREA_ROUTES, true, n->row.last_seen_ms, n->row.id, 0, 0, route_text(r, p), "" });
	}
}

static void look_at_machine(struct request *r, struct attention *a, const struct node_info *n)
{
	unsigned f = machine_flags(n, a->k.lock_on, a->now_ms);
	int64_t id = n->row.id;

	if (f & MACHINE_WAITS)
		put(a, (struct item){ "machine-unapproved", AREA_MACHINES, false, n->row.created_ms, id, 0, 0, "", "" });
	if (f & MACHINE_EXPIRED)
		put(a, (struct item){ "machine-expired", AREA_MACHINES, true, n->row.expires_ms, id, 0, 0, "", "" });
	else if (f & MACHINE_EXPIRES_SOON)
		put(a, (struct item){ "machine-expires", AREA_MACHINES, false, n->row.expires_ms - CONSOLE_SOON_MS, id, 0, 0, "", "" });
	if (n->refusal && a->now_ms - n->refusal_ms < REFUSED_LATELY_MS)
		put(a, (struct item){ "machine-refused", AREA_MACHINES, true, n->refusal_ms, id, 0, 0, "", copy_text(r, n->refusal) });
	if (f & MACHINE_LOCKED_OUT)
		put(a, (struct item){ "machine-locked-out", AREA_MACHINES, false, n->row.created_ms, id, 0, 0, "", "" });
	if (console_may_read(r, SCOPE_DEVICES_ROUTES))
		look_at_routes(r, a, n);
}

/* ---- users ---- */

static void look_at_users(struct request *r, struct attention *a, const struct reply *reply)
{
	for (size_t i = 0; i < reply->n_users; i++) {
		const struct user_row *u = &reply->users[i];
		const char *name = u->waits_ms ? arena_str(&r->arena, bytes_str(u->name ? u->name : "")) : NULL;
		if (u->waits_ms)
			put(a, (struct item){ "user-unapproved", AREA_USERS, false, u->waits_ms, 0, u->id, 0, "", name ? name : "" });
	}
}

/* ---- keys ---- */

static bool ends_soon(const struct attention *a, int64_t revoked_ms, int64_t expires_ms)
{
	return !revoked_ms && expires_ms > a->now_ms && expires_ms - a->now_ms < CONSOLE_SOON_MS;
}

/* One that was made for less than that is no news. */
static bool was_long(int64_t created_ms, int64_t expires_ms)
{
	return expires_ms - created_ms > 2LL * CONSOLE_SOON_MS;
}

static void look_at_authkeys(struct request *r, struct attention *a, const struct reply *reply)
{
	for (size_t i = 0; i < reply->n_authkeys; i++) {
		const struct authkey_row *k = &reply->authkeys[i];
		if (ends_soon(a, k->revoked_ms, k->expires_ms) && was_long(k->created_ms, k->expires_ms) && (k->reusable || !k->used))
			put(a, (struct item){ "key-expires", AREA_KEYS, false, k->expires_ms - CONSOLE_SOON_MS, 0, 0, k->id, "", copy_text(r, k->description) });
	}
}

static void look_at_apikeys(struct request *r, struct attention *a, const struct reply *reply)
{
	for (size_t i = 0; i < reply->n_apikeys; i++) {
		const struct apikey_row *k = &reply->apikeys[i];
		if (k->kind == APIKEY_KEY && ends_soon(a, k->revoked_ms, k->expires_ms) && was_long(k->created_ms, k->expires_ms))
			put(a, (struct item){ "key-expires", AREA_KEYS, false, k->expires_ms - CONSOLE_SOON_MS, 0, 0, k->id, "", copy_text(r, k->description) });
	}
}

/* ---- services and relays ---- */

static void look_at_services(struct request *r, struct attention *a, const char *text)
{
	json_auto_t *all = json_loads(text ? text : "{}", 0, NULL);
	json_t *service, *host;
	size_t i, k;

	json_array_foreach(json_object_get(all, "services"), i, service)
		json_array_foreach(json_object_get(service, "hosts"), k, host) {
			const char *level = json_string_value(json_object_get(host, "approval"));
			int64_t id = json_integer_value(json_object_get(host, "id"));
			if (level && strcmp(level, "not-approved") == 0 && json_is_true(json_object_get(host, "advertised")))
				put(a, (struct item){ "service-waits", AREA_MACHINES, false, 0, id, 0, 0, "",
					copy_text(r, json_string_value(json_object_get(service, "name"))) });
		}
}

/* A relay that is some machine's home, and that no machine which is online has measured. On a worker. */
static void look_at_relays(struct request *r, struct attention *a)
{
	struct silent_relay silent[SILENT_RELAYS_MAX];
	size_t n = a->map ? console_silent_relays(a->map, &a->k, silent) : 0;

	for (size_t i = 0; i < n; i++)
		put(a, (struct item){ "relay-silent", AREA_RELAYS, true, 0, 0, 0, silent[i].id, "", copy_text(r, silent[i].name) });
}

/* ---- the server ---- */

static void look_at_server(struct request *r, struct attention *a)
{
	const char *failed[CONSOLE_FAILURES_MAX];
	size_t n = console_failures(r, failed);

	for (size_t i = 0; i < n; i++)
		put(a, (struct item){ "check-failed", AREA_SETTINGS, true, r->api->started_ms, 0, 0, 0, "", failed[i] });
}

/* ---- the answer ---- */

static int by_time(const void *a, const void *b)
{
	const struct item *x = a, *y = b;

	if (x->since_ms != y->since_ms)
		return x->since_ms < y->since_ms ? 1 : -1;
	return (x->machine > y->machine) - (x->machine < y->machine);
}

static void put_id_or_none(struct jsonw *w, int64_t id)
{
	if (id)
		render_id(w, id);
	else
		jsonw_str(w, "");
}

static void put_item(struct request *r, struct jsonw *w, const struct item *i)
{
	int64_t which = i->machine ? i->machine : i->key ? i->key : i->user;
	const char *more = i->prefix[0] ? i->prefix : strcmp(i->kind, "service-waits") == 0 ? i->text : "";
	const char *id = which ? arena_printf(&r->arena, "%s/%lld%s%s", i->kind, (long long)which, *more ? "/" : "", more) :
			arena_printf(&r->arena, "%s/%s", i->kind, i->text);

	jsonw_obj(w);
	jsonw_key(w, "id"), jsonw_str(w, id);
	jsonw_key(w, "kind"), jsonw_str(w, i->kind);
	jsonw_key(w, "area"), jsonw_str(w, area_names[i->area]);
	jsonw_key(w, "level"), jsonw_str(w, i->broken ? "broken" : "act");
	jsonw_key(w, "sinceMs"), jsonw_int(w, i->since_ms);
	jsonw_key(w, "machine"), put_id_or_none(w, i->machine);
	jsonw_key(w, "user"), put_id_or_none(w, i->user);
	jsonw_key(w, "key"), put_id_or_none(w, i->key);
	jsonw_key(w, "prefix"), jsonw_str(w, i->prefix);
	jsonw_key(w, "text"), jsonw_str(w, i->text);
	jsonw_obj_end(w);
}

/* On a worker. */
static void make(struct request *r, struct reply *reply)
{
	struct attention *a = r->keep;

	(void)reply;
	for (size_t i = 0; i < a->k.n; i++)
		look_at_machine(r, a, a->k.node[i]);
	look_at_relays(r, a);
	if (a->n)
		qsort(a->item, a->n, sizeof *a->item, by_time);
	struct jsonw w = answer_begin(&r->made);
	jsonw_key(&w, "counts"), jsonw_obj(&w);
	for (int i = 0; i < AREAS_N; i++) {
		jsonw_key_bytes(&w, bytes_str(area_names[i]));
		jsonw_uint(&w, a->count[i]);
	}
	jsonw_obj_end(&w);
	jsonw_key(&w, "items"), jsonw_arr(&w);
	for (size_t i = 0; i < a->n; i++)
		put_item(r, &w, &a->item[i]);
	jsonw_arr_end(&w);
	jsonw_obj_end(&w);
	console_nodes_done(&a->k);
	console_finish(r);
}

static enum MHD_Result on_made(struct request *r, const struct reply *reply)
{
	FAIL_ON(r, reply);
	return console_answer_made(r);
}

static enum MHD_Result on_nodes(struct request *r, const struct reply *reply)
{
	struct attention *a = r->keep;

	FAIL_ON(r, reply);
	if (console_keep_nodes(r, reply, &a->k) != OK)
		return answer_error(r, 500, "out of memory");
	return console_work(r, make, on_made, &a->k);
}

static enum MHD_Result ask_list(struct request *r)
{
	struct attention *a = r->keep;

	if (console_may_read(r, SCOPE_FEATURE_SETTINGS))
		look_at_server(r, a);
	return ask(r, command_for(r, CMD_NODE_LIST), on_nodes);
}

static enum MHD_Result on_wishes(struct request *r, const struct reply *reply)
{
	FAIL_ON(r, reply);
	for (size_t i = 0; i < reply->n_wishes; i++) {
		const struct wish_row *w = &reply->wishes[i];
		put(r->keep, (struct item){ "access-asked", AREA_ACCESS, false, w->created_ms, 0, w->user_id, w->id, "", copy_text(r, w->what) });
	}
	return ask_list(r);
}

static enum MHD_Result ask_nodes(struct request *r)
{
	return console_may_read(r, SCOPE_POLICY_FILE) ? ask(r, command_for(r, CMD_WISH_LIST), on_wishes) : ask_list(r);
}

static enum MHD_Result on_map(struct request *r, const struct reply *reply)
{
	FAIL_ON(r, reply);
	((struct attention *)r->keep)->map = copy_text(r, reply->text);
	return ask_nodes(r);
}

static enum MHD_Result ask_map(struct request *r)
{
	return console_may_read(r, SCOPE_NETWORKING_SETTINGS) ? ask(r, command_for(r, CMD_DERPMAP_GET), on_map) : ask_nodes(r);
}

static enum MHD_Result on_services(struct request *r, const struct reply *reply)
{
	FAIL_ON(r, reply);
	look_at_services(r, r->keep, reply->text);
	return ask_map(r);
}

static enum MHD_Result ask_services(struct request *r)
{
	return console_may_read(r, SCOPE_SERVICES) ? ask(r, command_for(r, CMD_SERVICE_LIST), on_services) : ask_map(r);
}

static enum MHD_Result on_apikeys(struct request *r, const struct reply *reply)
{
	FAIL_ON(r, reply);
	look_at_apikeys(r, r->keep, reply);
	return ask_services(r);
}

static enum MHD_Result ask_apikeys(struct request *r)
{
	return console_may_read(r, SCOPE_API_TOKENS) ? ask(r, command_for(r, CMD_APIKEY_LIST), on_apikeys) : ask_services(r);
}

static enum MHD_Result on_authkeys(struct request *r, const struct reply *reply)
{
	FAIL_ON(r, reply);
	look_at_authkeys(r, r->keep, reply);
	return ask_apikeys(r);
}

static enum MHD_Result go_on_with_keys(struct request *r)
{
	return console_may_read(r, SCOPE_AUTH_KEYS) ? ask(r, command_for(r, CMD_AUTHKEY_LIST), on_authkeys) : ask_apikeys(r);
}

static enum MHD_Result on_users(struct request *r, const struct reply *reply)
{
	FAIL_ON(r, reply);
	look_at_users(r, r->keep, reply);
	return go_on_with_keys(r);
}

enum MHD_Result console_attention(struct request *r)
{
	struct attention *a = arena_alloc(&r->arena, sizeof *a);

	if (a)
		a->item = arena_array(&r->arena, ITEMS_MAX, sizeof *a->item);
	if (!a || !a->item)
		return answer_error(r, 500, "out of memory");
	a->now_ms = clock_wall_ms();
	r->keep = a;
	return console_may_read(r, SCOPE_USERS) ? ask(r, command_for(r, CMD_USER_LIST), on_users) : go_on_with_keys(r);
}
