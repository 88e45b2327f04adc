#include <stdlib.h>
#include <string.h>

#include "common/base/cleanup.h"
#include "common/base/clock.h"
#include "common/base/map.h"
#include "common/wire/tailcfg_hostinfo.h"
#include "server/api/console.h"
#include "server/api/events.h"
#include "server/api/render.h"
#include "server/api/state.h"

enum { MINUTE_MS = 60000, DAY_MS = 24 * 3600 * 1000 };

/* ---- one machine's facts ---- */

bool is_exit_prefix(struct prefix p)
{
	return p.bits == 0;
}

static bool has_prefix(const struct prefix *list, size_t n, struct prefix p)
{
	for (size_t i = 0; i < n; i++)
		if (prefix_cmp(list[i], p) == 0)
			return true;
	return false;
}

bool route_waits(const struct node_info *n, struct prefix p)
{
	return !has_prefix(n->row.approved_routes, n->row.n_approved, p);
}

unsigned machine_flags(const struct node_info *n, bool lock_on, int64_t now_ms)
{
	const struct node_row *row = &n->row;
	int64_t ends = row->expires_ms;
	bool expired = n->expired || (ends && ends <= now_ms);
	unsigned flags = (n->online ? MACHINE_ONLINE : 0) | (expired ? MACHINE_EXPIRED : 0) | (row->ephemeral ? MACHINE_EPHEMERAL : 0) |
		(n->approved ? 0 : MACHINE_WAITS) | (row->expiry_disabled ? MACHINE_EXPIRY_OFF : 0) | (n->ssh ? MACHINE_SSH : 0) |
		(n->user.suspended_ms ? MACHINE_SUSPENDED : 0) | (lock_on && !row->n_key_sig ? MACHINE_LOCKED_OUT : 0) |
		(ends && !expired && ends - now_ms < CONSOLE_SOON_MS ? MACHINE_EXPIRES_SOON : 0);

	for (size_t i = 0; i < n->n_announced; i++) {
		if (is_exit_prefix(n->announced[i]))
			flags |= MACHINE_OFFERS_EXIT;
		if (route_waits(n, n->announced[i]))
			flags |= MACHINE_ROUTES_WAIT;
	}
	for (size_t i = 0; i < row->n_approved; i++)
		if (is_exit_prefix(row->approved_routes[i]))
			flags |= MACHINE_EXIT;
	for (size_t i = 0; i < n->n_serving; i++)
		if (!is_exit_prefix(n->serving[i]))
			flags |= MACHINE_ROUTER;
	return flags;
}

size_t presence_runs(const struct node_info *n, int64_t now_ms, int64_t span_ms, unsigned out[PRESENCE_RUNS_MAX])
{
	size_t times = n->row.n_presence / 4, i = 0, k = 1;
	int64_t start_ms = now_ms - span_ms;

	while (i < times && presence_time_ms(&n->row, i) <= start_ms)
		i++;
	bool first = n->online ^ ((times - i) & 1); /* they alternate, and the last one led to now */
	out[0] = first;
	if (!first && i == 0 && n->row.created_ms > start_ms)
		out[0] = 2;
	for (; i < times && k < PRESENCE_RUNS_MAX; i++) {
		int64_t at = MIN_OF(presence_time_ms(&n->row, i), now_ms) - start_ms;
		out[k++] = (unsigned)(at / MINUTE_MS);
	}
	return k;
}

static void put_runs(struct jsonw *w, const struct node_info *n, int64_t now_ms, int64_t span_ms)
{
	unsigned runs[PRESENCE_RUNS_MAX];
	size_t k = presence_runs(n, now_ms, span_ms, runs);

	jsonw_arr(w);
	for (size_t i = 0; i < k; i++)
		jsonw_uint(w, runs[i]);
	jsonw_arr_end(w);
}

static void put_texts(struct jsonw *w, char *const *list, size_t n)
{
	jsonw_arr(w);
	for (size_t i = 0; i < n; i++)
		jsonw_str(w, list[i]);
	jsonw_arr_end(w);
}

static void put_subnets(struct jsonw *w, const struct prefix *list, size_t n)
{
	char text[PREFIX_TEXT_MAX];

	jsonw_arr(w);
	for (size_t i = 0; i < n; i++)
		if (!is_exit_prefix(list[i]))
			jsonw_str(w, prefix_text(list[i], text));
	jsonw_arr_end(w);
}

static void put_addr(struct jsonw *w, struct addr a)
{
	char text[ADDR_TEXT_MAX];

	jsonw_str(w, a.family ? addr_text(a, text) : "");
}

static const char *host_of(const struct node_row *row)
{
	return row->hostname && row->given_name && strcmp(row->hostname, row->given_name) == 0 ? "" : row->hostname;
}

void render_machine(struct jsonw *w, const struct node_info *n, bool lock_on, int64_t now_ms)
{
	const struct node_row *row = &n->row;

	jsonw_obj(w);
	jsonw_key(w, "id"), render_id(w, row->id);
	jsonw_key(w, "name"), jsonw_str(w, row->given_name);
	jsonw_key(w, "host"), jsonw_str(w, host_of(row));
	jsonw_key(w, "v4"), put_addr(w, row->v4);
	jsonw_key(w, "v6"), put_addr(w, row->v6);
	jsonw_key(w, "user");
	if (row->user_id)
		render_id(w, row->user_id);
	else
		jsonw_str(w, "");
	jsonw_key(w, "tags"), put_texts(w, row->tags, row->n_tags);
	jsonw_key(w, "os"), jsonw_str(w, n->os);
	jsonw_key(w, "osVersion"), jsonw_str(w, n->os_version);
	jsonw_key(w, "version"), jsonw_str(w, n->client_version);
	jsonw_key(w, "flags"), jsonw_uint(w, machine_flags(n, lock_on, now_ms));
	jsonw_key(w, "seenMs"), jsonw_int(w, row->last_seen_ms);
	jsonw_key(w, "createdMs"), jsonw_int(w, row->created_ms);
	jsonw_key(w, "expiresMs"), jsonw_int(w, row->expires_ms);
	jsonw_key(w, "relay"), jsonw_int(w, row->home_derp);
	jsonw_key(w, "routes"), put_subnets(w, n->announced, n->n_announced);
	jsonw_key(w, "approved"), put_subnets(w, row->approved_routes, row->n_approved);
	jsonw_key(w, "presence"), put_runs(w, n, now_ms, DAY_MS);
	jsonw_obj_end(w);
}

enum MHD_Result console_on_machine(struct request *r, const struct reply *reply)
{
	FAIL_ON(r, reply);
	struct buf out;
	struct jsonw w = console_begin(&out);

	jsonw_key(&w, "machine"), render_machine(&w, reply->nodes[0], reply->lock_on, clock_wall_ms());
	return console_end(r, &w, &out);
}

/* ---- the list, as columns ---- */

/* Texts that come again and again, each once. */
struct dictionary {
	const char **text;
	uint32_t *slot; /* index + 1; 0: free */
	size_t n, mask;
};

static bool dictionary_make(struct arena *a, struct dictionary *d, size_t max)
{
	size_t cap = 64;

	while (cap < 2 * max)
		cap *= 2;
	*d = (struct dictionary){ .text = arena_array(a, max + 1, sizeof *d->text), .slot = arena_array(a, cap, sizeof *d->slot), .mask = cap - 1 };
	return d->text && d->slot;
}

static size_t dictionary_index(struct dictionary *d, const char *text)
{
	if (!text)
		text = "";
	for (size_t at = (size_t)map_hash(text, strlen(text));; at++) {
		uint32_t *s = &d->slot[at & d->mask];
		if (!*s) {
			d->text[d->n] = text;
			*s = (uint32_t)++d->n;
		}
		if (strcmp(d->text[*s - 1], text) == 0)
			return *s - 1;
	}
}

struct owners {
	const struct user_row **user; /* sorted by id */
	size_t n;
};

static int by_user(const void *a, const void *b)
{
	const struct user_row *const *x = a, *const *y = b;

	return ((*x)->id > (*y)->id) - ((*x)->id < (*y)->id);
}

static void gather_owners(const struct console_nodes *k, struct owners *o)
{
	for (size_t i = 0; i < k->n; i++)
		if (k->node[i]->row.user_id)
			o->user[o->n++] = &k->node[i]->user;
	if (o->n)
		qsort(o->user, o->n, sizeof(*o->user), by_user);
	size_t kept = 0;
	for (size_t i = 0; i < o->n; i++)
		if (!kept || o->user[kept - 1]->id != o->user[i]->id)
			o->user[kept++] = o->user[i];
	o->n = kept;
}

static int64_t owner_index(const struct owners *o, const struct node_info *n)
{
	const struct user_row *key = &n->user;
	const struct user_row **at = n->row.user_id && o->n ? bsearch(&key, o->user, o->n, sizeof(*o->user), by_user) : NULL;

	return at ? at - o->user : -1;
}

static void put_owners(struct jsonw *w, const struct owners *o)
{
	jsonw_key(w, "owners"), jsonw_arr(w);
	for (size_t i = 0; i < o->n; i++) {
		const struct user_row *u = o->user[i];
		jsonw_obj(w);
		jsonw_key(w, "id"), render_id(w, u->id);
		jsonw_key(w, "name"), jsonw_str(w, u->name);
		jsonw_key(w, "displayName"), jsonw_str(w, u->display_name);
		jsonw_key(w, "picture"), jsonw_str(w, u->picture_url);
		jsonw_obj_end(w);
	}
	jsonw_arr_end(w);
}

/* "1.98.2-t0123" against "1.100.0": numbers, as far as they go. */
static int version_cmp(const char *a, const char *b)
{
	for (;;) {
		char *a_end, *b_end;
		unsigned long x = strtoul(a, &a_end, 10), y = strtoul(b, &b_end, 10);
		if (x != y)
			return x < y ? -1 : 1;
		if (*a_end != '.' || *b_end != '.')
			return 0;
		a = a_end + 1;
		b = b_end + 1;
	}
}

static const char *newest_version(const struct console_nodes *k)
{
	const char *best = "";

	for (size_t i = 0; i < k->n; i++)
		if (version_cmp(k->node[i]->client_version, best) > 0)
			best = k->node[i]->client_version;
	return best;
}

struct columns { /* of one answer */
	struct console_nodes k;
	struct dictionary words;
	struct owners owners;
};

enum column {
	COL_ID, COL_NAME, COL_HOST, COL_V4, COL_V6, COL_USER, COL_TAGS, COL_OS, COL_OS_VERSION, COL_VERSION, COL_FLAGS, COL_SEEN, COL_CREATED,
	COL_EXPIRES, COL_RELAY, COL_ROUTES, COL_APPROVED, COL_PRESENCE, COLUMNS_N
};

static const char *const column_names[COLUMNS_N] = { "id", "name", "host", "v4", "v6", "user", "tags", "os", "osVersion", "version", "flags",
	"seenMs", "createdMs", "expiresMs", "relay", "routes", "approved", "presence" };

static void put_cells(struct jsonw w[COLUMNS_N], struct columns *c, const struct node_info *n)
{
	const struct node_row *row = &n->row;

	render_id(&w[COL_ID], row->id);
	jsonw_str(&w[COL_NAME], row->given_name);
	jsonw_str(&w[COL_HOST], host_of(row));
	put_addr(&w[COL_V4], row->v4);
	put_addr(&w[COL_V6], row->v6);
	jsonw_int(&w[COL_USER], owner_index(&c->owners, n));
	put_texts(&w[COL_TAGS], row->tags, row->n_tags);
	jsonw_uint(&w[COL_OS], dictionary_index(&c->words, n->os));
	jsonw_uint(&w[COL_OS_VERSION], dictionary_index(&c->words, n->os_version));
	jsonw_uint(&w[COL_VERSION], dictionary_index(&c->words, n->client_version));
	jsonw_uint(&w[COL_FLAGS], machine_flags(n, c->k.lock_on, c->k.now_ms));
	jsonw_int(&w[COL_SEEN], row->last_seen_ms);
	jsonw_int(&w[COL_CREATED], row->created_ms);
	jsonw_int(&w[COL_EXPIRES], row->expires_ms);
	jsonw_int(&w[COL_RELAY], row->home_derp);
	put_subnets(&w[COL_ROUTES], n->announced, n->n_announced);
	put_subnets(&w[COL_APPROVED], row->approved_routes, row->n_approved);
	put_runs(&w[COL_PRESENCE], n, c->k.now_ms, DAY_MS);
}

/* All columns grow at once: each machine is looked at once, for it is not in the cache the next time. */
static void put_columns(struct jsonw *w, struct columns *c)
{
	struct buf text[COLUMNS_N];
	struct jsonw cell[COLUMNS_N];

	for (int i = 0; i < COLUMNS_N; i++) {
		text[i] = buf_make(API_ANSWER_MAX);
		cell[i] = jsonw_init(&text[i]);
		jsonw_arr(&cell[i]);
	}
	for (size_t i = 0; i < c->k.n; i++)
		put_cells(cell, c, c->k.node[i]);
	for (int i = 0; i < COLUMNS_N; i++) {
		jsonw_arr_end(&cell[i]);
		jsonw_key_bytes(w, bytes_str(column_names[i]));
		jsonw_raw(w, buf_view(&text[i]));
		if (text[i].bad)
			w->out->bad = true;
		buf_done(&text[i]);
	}
}

static void put_list(struct request *r, struct columns *c)
{
	struct jsonw w = answer_begin(&r->made);
	char event[EVENT_ID_MAX];

	jsonw_key(&w, "nowMs"), jsonw_int(&w, c->k.now_ms);
	jsonw_key(&w, "lastEvent"), jsonw_str(&w, event_id_text(r->api->events, c->k.last_event, event));
	jsonw_key(&w, "n"), jsonw_uint(&w, c->k.n);
	jsonw_key(&w, "newest"), jsonw_str(&w, newest_version(&c->k));
	gather_owners(&c->k, &c->owners);
	put_owners(&w, &c->owners);
	jsonw_key(&w, "columns"), jsonw_obj(&w);
	put_columns(&w, c);
	jsonw_obj_end(&w);
	jsonw_key(&w, "strings"), jsonw_arr(&w);
	for (size_t i = 0; i < c->words.n; i++)
		jsonw_str(&w, c->words.text[i]);
	jsonw_arr_end(&w);
	jsonw_obj_end(&w);
}

/* On a worker. */
static void make_list(struct request *r, struct reply *reply)
{
	struct columns *c = r->keep;

	c->owners.user = arena_array(&r->arena, c->k.n + 1, sizeof(*c->owners.user));
	if (!c->owners.user || !dictionary_make(&r->arena, &c->words, 3 * c->k.n))
		reply->e = ERR_NOMEM;
	else
		put_list(r, c);
	console_nodes_done(&c->k);
	console_finish(r);
}

static enum MHD_Result on_made(struct request *r, const struct reply *reply)
{
	FAIL_ON(r, reply);
	return console_answer_made(r);
}

static enum MHD_Result on_list(struct request *r, const struct reply *reply)
{
	FAIL_ON(r, reply);
	struct columns *c = arena_alloc(&r->arena, sizeof *c);

	if (!c || console_keep_nodes(r, reply, &c->k) != OK)
		return answer_error(r, 500, "out of memory");
	r->keep = c;
	return console_work(r, make_list, on_made, &c->k);
}

enum MHD_Result console_machines(struct request *r)
{
	struct command *c = command_for(r, CMD_NODE_LIST);

	console_take_ids(r, c);
	return ask(r, c, on_list);
}

/* ---- one machine, with all that is known of it ---- */

static void put_opt(struct jsonw *w, enum tailcfg_opt v)
{
	if (v == TAILCFG_UNSET)
		jsonw_null(w);
	else
		jsonw_bool(w, v == TAILCFG_TRUE);
}

static void put_latencies(struct jsonw *w, const struct tailcfg_netinfo *net)
{
	jsonw_key(w, "latencies"), jsonw_arr(w);
	for (size_t i = 0; i < net->n_latency; i++) {
		struct bytes family, id = bytes_cut(bytes_str(net->latency[i].region), '-', &family); /* "900-v4" */
		uint64_t region = 0;
		if (bytes_parse_u64(id, INT32_MAX, &region) != OK)
			continue;
		jsonw_obj(w);
		jsonw_key(w, "region"), jsonw_uint(w, region);
		jsonw_key(w, "ms"), jsonw_double(w, (double)(int64_t)(net->latency[i].seconds * 1e5) / 100);
		jsonw_key(w, "family"), jsonw_int(w, bytes_eq_str(family, "v6") ? 6 : 4);
		jsonw_obj_end(w);
	}
	jsonw_arr_end(w);
}

static void put_port_mapping(struct jsonw *w, const struct tailcfg_netinfo *net)
{
	char text[32] = "";
	const char *sep = "";

#define HAS(member, name)                                                                                              \
	if (net->member == TAILCFG_TRUE) {                                                                             \
		size_t at_ = strlen(text);                                                                             \
		snprintf(text + at_, sizeof text - at_, "%s%s", sep, name);                                            \
		sep = ",";                                                                                             \
	}
	HAS(upnp, "UPnP")
	HAS(pmp, "NAT-PMP")
	HAS(pcp, "PCP")
#undef HAS
	jsonw_key(w, "portMapping"), jsonw_str(w, text);
}

static void put_net(struct jsonw *w, const struct node_info *n, const struct tailcfg_netinfo *net)
{
	static const struct tailcfg_netinfo none = { .link_type = "", .firewall_mode = "" };

	if (!net)
		net = &none;
	jsonw_key(w, "net"), jsonw_obj(w);
	jsonw_key(w, "asOfMs"), jsonw_int(w, n->online ? 0 : n->row.last_seen_ms);
	jsonw_key(w, "udp"), put_opt(w, net->working_udp);
	jsonw_key(w, "mappingVaries"), put_opt(w, net->mapping_varies_by_dest_ip);
	jsonw_key(w, "ipv6"), put_opt(w, net->working_ipv6);
	jsonw_key(w, "ipv6Os"), put_opt(w, net->os_has_ipv6);
	jsonw_key(w, "icmpv4"), put_opt(w, net->working_icmpv4);
	put_port_mapping(w, net);
	jsonw_key(w, "hasPortMap"), jsonw_bool(w, net->have_port_map);
	jsonw_key(w, "relay"), jsonw_int(w, n->row.home_derp);
	jsonw_key(w, "linkType"), jsonw_str(w, net->link_type);
	jsonw_key(w, "firewall"), jsonw_str(w, net->firewall_mode);
	put_latencies(w, net);
	jsonw_obj_end(w);
}

static void put_host(struct jsonw *w, const struct tailcfg_hostinfo *h)
{
	jsonw_key(w, "host"), jsonw_obj(w);
	jsonw_key(w, "os"), jsonw_str(w, h->os);
	jsonw_key(w, "osVersion"), jsonw_str(w, h->os_version);
	jsonw_key(w, "distro"), jsonw_str(w, h->distro);
	jsonw_key(w, "distroVersion"), jsonw_str(w, h->distro_version);
	jsonw_key(w, "deviceModel"), jsonw_str(w, h->device_model);
	jsonw_key(w, "machine"), jsonw_str(w, h->machine);
	jsonw_key(w, "goArch"), jsonw_str(w, h->go_arch);
	jsonw_key(w, "cloud"), jsonw_str(w, h->cloud);
	jsonw_key(w, "app"), jsonw_str(w, h->app);
	jsonw_key(w, "package"), jsonw_str(w, h->package);
	jsonw_key(w, "container"), put_opt(w, h->container);
	jsonw_key(w, "desktop"), put_opt(w, h->desktop);
	jsonw_key(w, "userspace"), put_opt(w, h->userspace);
	jsonw_key(w, "stateEncrypted"), put_opt(w, h->state_encrypted);
	jsonw_key(w, "shieldsUp"), jsonw_bool(w, h->shields_up);
	jsonw_key(w, "ssh"), jsonw_bool(w, h->n_ssh_host_keys > 0);
	jsonw_key(w, "autoUpdate"), jsonw_bool(w, h->allows_update);
	jsonw_key(w, "exitNodeId"), jsonw_str(w, h->exit_node_id);
	jsonw_key(w, "services"), jsonw_arr(w);
	for (size_t i = 0; i < h->n_services; i++) {
		jsonw_obj(w);
		jsonw_key(w, "proto"), jsonw_str(w, h->services[i].proto);
		jsonw_key(w, "port"), jsonw_uint(w, h->services[i].port);
		jsonw_key(w, "description"), jsonw_str(w, h->services[i].description);
		jsonw_obj_end(w);
	}
	jsonw_arr_end(w);
	jsonw_key(w, "requestTags"), jsonw_arr(w);
	for (size_t i = 0; i < h->n_request_tags; i++)
		jsonw_str(w, h->request_tags[i]);
	jsonw_arr_end(w);
	jsonw_obj_end(w);
}

static void put_others(struct jsonw *w, const struct console_nodes *k, const struct node_info *me, struct prefix p)
{
	jsonw_key(w, "others"), jsonw_arr(w);
	for (size_t i = 0; !is_exit_prefix(p) && i < k->n; i++) {
		const struct node_info *n = k->node[i];
		if (n == me || !has_prefix(n->announced, n->n_announced, p))
			continue;
		jsonw_obj(w);
		jsonw_key(w, "id"), render_id(w, n->row.id);
		jsonw_key(w, "name"), jsonw_str(w, n->row.given_name);
		jsonw_key(w, "online"), jsonw_bool(w, n->online);
		jsonw_key(w, "approved"), jsonw_bool(w, !route_waits(n, p));
		jsonw_key(w, "carries"), jsonw_bool(w, has_prefix(n->serving, n->n_serving, p));
		jsonw_obj_end(w);
	}
	jsonw_arr_end(w);
}

static void put_routes(struct jsonw *w, const struct console_nodes *k, const struct node_info *n)
{
	char text[PREFIX_TEXT_MAX];

	jsonw_key(w, "routes"), jsonw_arr(w);
	for (size_t i = 0; i < n->n_announced + n->row.n_approved; i++) {
		bool announced = i < n->n_announced;
		struct prefix p = announced ? n->announced[i] : n->row.approved_routes[i - n->n_announced];
		if (!announced && has_prefix(n->announced, n->n_announced, p))
			continue;
		jsonw_obj(w);
		jsonw_key(w, "prefix"), jsonw_str(w, prefix_text(p, text));
		jsonw_key(w, "announced"), jsonw_bool(w, announced);
		jsonw_key(w, "approved"), jsonw_bool(w, !route_waits(n, p));
		jsonw_key(w, "carries"), jsonw_bool(w, has_prefix(n->serving, n->n_serving, p));
		put_others(w, k, n, p);
		jsonw_obj_end(w);
	}
	jsonw_arr_end(w);
}

static const char *method_text(enum register_method m)
{
	switch (m) {
	case REGISTER_UNSPECIFIED:
		break;
	case REGISTER_AUTH_KEY:
		return "auth-key";
	case REGISTER_CLI:
		return "cli";
	case REGISTER_OIDC:
		return "oidc";
	}
	return "";
}

static void put_origin(struct jsonw *w, const struct node_info *n)
{
	const struct node_row *row = &n->row;
	char text[KEY_TEXT_MAX];

	jsonw_key(w, "nodeKey"), jsonw_str(w, node_pub_text(&row->key, text));
	jsonw_key(w, "machineKey"), jsonw_str(w, machine_pub_text(&row->machine, text));
	jsonw_key(w, "discoKey"), jsonw_str(w, disco_pub_text(&row->disco, text));
	jsonw_key(w, "capver"), jsonw_int(w, row->capver);
	jsonw_key(w, "method"), jsonw_str(w, method_text(row->method));
	jsonw_key(w, "authKey");
	if (n->authkey.id) {
		jsonw_obj(w);
		jsonw_key(w, "id"), render_id(w, n->authkey.id);
		jsonw_key(w, "prefix"), jsonw_str(w, n->authkey.prefix);
		jsonw_key(w, "description"), jsonw_str(w, n->authkey.description);
		jsonw_obj_end(w);
	} else {
		jsonw_null(w);
	}
	jsonw_key(w, "owner");
	if (row->user_id)
		console_put_person(w, &n->user);
	else
		jsonw_null(w);
	jsonw_key(w, "formerOwner");
	if (row->former_user_id)
		render_id(w, row->former_user_id);
	else
		jsonw_str(w, "");
}

static void put_attributes(struct jsonw *w, const struct node_row *row)
{
	jsonw_key(w, "attributes"), jsonw_arr(w);
	for (size_t i = 0; i < row->n_attrs; i++) {
		const struct custom_attr *a = &row->attrs[i];
		jsonw_obj(w);
		jsonw_key(w, "name"), jsonw_str(w, a->name);
		jsonw_key(w, "value");
		if (a->type == 's')
			jsonw_str(w, a->value);
		else
			jsonw_raw(w, bytes_str(a->value));
		jsonw_key(w, "setAt"), render_time(w, a->set_ms);
		jsonw_key(w, "expiry"), render_time(w, a->expires_ms);
		jsonw_obj_end(w);
	}
	jsonw_arr_end(w);
}

static void put_detail(struct request *r, struct jsonw *w, const struct console_nodes *k, const struct node_info *n)
{
	const struct tailcfg_hostinfo *h = &tailcfg_hostinfo_none;
	struct tailcfg_hostinfo *parsed;
	struct json_why why;
	char text[ADDRPORT_TEXT_MAX];

	if (tailcfg_hostinfo_parse(bytes_str(n->row.hostinfo_json ? n->row.hostinfo_json : ""), &r->arena, &parsed, &why) == OK)
		h = parsed;
	unsigned flags = machine_flags(n, k->lock_on, k->now_ms);
	jsonw_obj(w);
	put_origin(w, n);
	jsonw_key(w, "endpoints"), jsonw_arr(w);
	for (size_t i = 0; i < n->row.n_endpoints; i++)
		jsonw_str(w, addrport_text(n->row.endpoints[i], text));
	jsonw_arr_end(w);
	jsonw_key(w, "exitOffered"), jsonw_bool(w, flags & MACHINE_OFFERS_EXIT);
	jsonw_key(w, "exitApproved"), jsonw_bool(w, flags & MACHINE_EXIT);
	put_routes(w, k, n);
	put_net(w, n, h->netinfo);
	put_host(w, h);
	jsonw_key(w, "presence7d"), put_runs(w, n, k->now_ms, 7LL * DAY_MS);
	put_attributes(w, &n->row);
	jsonw_key(w, "refusal"), jsonw_obj(w);
	jsonw_key(w, "text"), jsonw_str(w, n->refusal ? n->refusal : "");
	jsonw_key(w, "atMs"), jsonw_int(w, n->refusal ? n->refusal_ms : 0);
	jsonw_obj_end(w);
	jsonw_obj_end(w);
}

struct detail {
	struct console_nodes k;
	int64_t id;
};

/* On a worker. */
static void make_detail(struct request *r, struct reply *reply)
{
	struct detail *d = r->keep;
	const struct node_info *n = NULL;

	for (size_t i = 0; i < d->k.n && !n; i++)
		if (d->k.node[i]->row.id == d->id)
			n = d->k.node[i];
	if (n) {
		struct jsonw w = answer_begin(&r->made);
		jsonw_key(&w, "machine"), render_machine(&w, n, d->k.lock_on, d->k.now_ms);
		jsonw_key(&w, "detail"), put_detail(r, &w, &d->k, n);
		jsonw_obj_end(&w);
		console_finish(r);
	} else {
		reply->e = ERR_NOT_FOUND;
		reply->message = "there is no such machine; it may have been removed";
	}
	console_nodes_done(&d->k);
}

static enum MHD_Result on_all(struct request *r, const struct reply *reply)
{
	FAIL_ON(r, reply);
	struct detail *d = arena_alloc(&r->arena, sizeof *d);

	if (!d || console_keep_nodes(r, reply, &d->k) != OK)
		return answer_error(r, 500, "out of memory");
	d->id = parse_id(r, r->param[0], "machine");
	r->keep = d;
	return console_work(r, make_detail, on_made, &d->k);
}

enum MHD_Result console_machine(struct request *r)
{
	return ask(r, command_for(r, CMD_NODE_LIST), on_all);
}
