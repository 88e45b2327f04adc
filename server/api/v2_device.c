#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/cleanup.h"
#include "common/base/clock.h"
#include "common/text/json.h"
#include "common/wire/tailcfg_hostinfo.h"
#include "server/api/console.h"
#include "server/api/v2.h"

enum { FILTERS_MAX = 16 };

void v2_time(struct jsonw *w, int64_t wall_ms)
{
	jsonw_time(w, wall_ms ? wall_ms : TIME_ZERO_MS);
}

struct command *v2_command(struct request *r, enum command_kind kind, size_t param, const char *what)
{
	struct command *c = command_for(r, kind);
	uint64_t id = 0;

	/* An id of another shape is no mistake of the caller: it names nothing here. */
	if (c && bytes_parse_u64(bytes_str(r->param[param]), INT64_MAX, &id) != OK)
		id = 0;
	if (c)
		c->id = id ? (int64_t)id : INT64_MAX;
	(void)what;
	return c;
}

const char *const *v2_copy_texts(struct request *r, struct command *c, const char **from, size_t n)
{
	const char **list = arena_array(&c->arena, n ? n : 1, sizeof *list);

	for (size_t i = 0; list && i < n; i++) {
		list[i] = command_str(c, from[i]);
		if (!list[i])
			list = NULL;
	}
	if (!list && !r->fault)
		r->fault = "the list is too long";
	return list;
}

/* ---- a device ---- */

static void texts(struct jsonw *w, char *const *list, size_t n)
{
	jsonw_arr(w);
	for (size_t i = 0; i < n; i++)
		jsonw_str(w, list[i]);
	jsonw_arr_end(w);
}

static void prefixes(struct jsonw *w, const struct prefix *p, size_t n)
{
	char text[PREFIX_TEXT_MAX];

	jsonw_arr(w);
	for (size_t i = 0; i < n; i++)
		jsonw_str(w, prefix_text(p[i], text));
	jsonw_arr_end(w);
}

static bool says(const char *hostinfo, const char *member)
{
	return hostinfo && strstr(hostinfo, member);
}

static void opt(struct jsonw *w, enum tailcfg_opt v)
{
	if (v == TAILCFG_UNSET)
		jsonw_null(w);
	else
		jsonw_bool(w, v == TAILCFG_TRUE);
}

static void connectivity(struct jsonw *w, const struct node_info *n, const struct tailcfg_netinfo *net)
{
	static const struct tailcfg_netinfo none;
	char text[ADDRPORT_TEXT_MAX];

	if (!net)
		net = &none;
	jsonw_obj(w);
	jsonw_key(w, "endpoints"), jsonw_arr(w);
	for (size_t i = 0; i < n->row.n_endpoints; i++)
		jsonw_str(w, addrport_text(n->row.endpoints[i], text));
	jsonw_arr_end(w);
	jsonw_key(w, "derp"), jsonw_str(w, "");
	jsonw_key(w, "mappingVariesByDestIP"), opt(w, net->mapping_varies_by_dest_ip);
	jsonw_key(w, "latency"), jsonw_obj(w);
	for (size_t i = 0; i < net->n_latency; i++) {
		/* "900-v4": the region's number; the better of the two families comes last and counts */
		struct bytes rest, id = bytes_cut(bytes_str(net->latency[i].region), '-', &rest);
		uint64_t region = 0;
		if (!bytes_eq_str(rest, "v4") || bytes_parse_u64(id, 1 << 20, &region) != OK)
			continue;
		jsonw_key_bytes(w, id), jsonw_obj(w);
		if ((int)region == net->preferred_derp)
			jsonw_key(w, "preferred"), jsonw_bool(w, true);
		jsonw_key(w, "latencyMs"), jsonw_double(w, net->latency[i].seconds * 1000);
		jsonw_obj_end(w);
	}
	jsonw_obj_end(w);
	jsonw_key(w, "clientSupports"), jsonw_obj(w);
	jsonw_key(w, "hairPinning"), jsonw_null(w);
	jsonw_key(w, "ipv6"), opt(w, net->working_ipv6);
	jsonw_key(w, "pcp"), opt(w, net->pcp);
	jsonw_key(w, "pmp"), opt(w, net->pmp);
	jsonw_key(w, "udp"), opt(w, net->working_udp);
	jsonw_key(w, "upnp"), opt(w, net->upnp);
	jsonw_obj_end(w);
	jsonw_obj_end(w);
}

static void more_fields(struct jsonw *w, const struct node_info *n)
{
	CLEANUP(arena_done) struct arena a = arena_make(1 << 20);
	struct json_why why = { 0 };
	struct tailcfg_hostinfo *hi = NULL;

	if (tailcfg_hostinfo_parse(bytes_str(n->row.hostinfo_json ? n->row.hostinfo_json : ""), &a, &hi, &why) != OK)
		hi = NULL;
	const struct tailcfg_hostinfo *h = hi ? hi : &tailcfg_hostinfo_none;
	jsonw_key(w, "advertisedRoutes"), prefixes(w, n->announced, n->n_announced);
	jsonw_key(w, "enabledRoutes"), prefixes(w, n->row.approved_routes, n->row.n_approved);
	jsonw_key(w, "clientConnectivity"), connectivity(w, n, h->netinfo);
	jsonw_key(w, "sshEnabled"), jsonw_bool(w, h->n_ssh_host_keys > 0);
	if (h->distro && *h->distro) {
		jsonw_key(w, "distro"), jsonw_obj(w);
		jsonw_key(w, "name"), jsonw_str(w, h->distro);
		jsonw_key(w, "version"), jsonw_str(w, h->distro_version);
		jsonw_key(w, "codeName"), jsonw_str(w, h->distro_code_name);
		jsonw_obj_end(w);
	}
}

static const char *login_of(const struct user_row *u)
{
	return u->email && u->email[0] ? u->email : u->name;
}

static void render_device(struct jsonw *w, const struct node_info *n, const char *domain, bool all)
{
	const struct node_row *row = &n->row;
	char text[KEY_TEXT_MAX], addr[ADDR_TEXT_MAX], name[400];

	snprintf(name, sizeof name, "%s%s%s", row->given_name, domain && *domain ? "." : "", domain ? domain : "");
	jsonw_obj(w);
	jsonw_key(w, "addresses"), jsonw_arr(w);
	if (row->v4.family)
		jsonw_str(w, addr_text(row->v4, addr));
	if (row->v6.family)
		jsonw_str(w, addr_text(row->v6, addr));
	jsonw_arr_end(w);
	jsonw_key(w, "id"), render_id(w, row->id);
	jsonw_key(w, "nodeId"), render_id(w, row->id);
	jsonw_key(w, "user"), jsonw_str(w, login_of(&n->user));
	jsonw_key(w, "name"), jsonw_str(w, name);
	jsonw_key(w, "hostname"), jsonw_str(w, row->hostname);
	jsonw_key(w, "clientVersion"), jsonw_str(w, n->client_version);
	jsonw_key(w, "updateAvailable"), jsonw_bool(w, false);
	jsonw_key(w, "os"), jsonw_str(w, n->os);
	jsonw_key(w, "created"), v2_time(w, row->created_ms);
	jsonw_key(w, "connectedToControl"), jsonw_bool(w, n->online);
	if (!n->online && row->last_seen_ms)
		jsonw_key(w, "lastSeen"), jsonw_time(w, row->last_seen_ms);
	jsonw_key(w, "keyExpiryDisabled"), jsonw_bool(w, row->expiry_disabled || row->n_tags > 0);
	jsonw_key(w, "expires"), v2_time(w, row->expires_ms);
	jsonw_key(w, "authorized"), jsonw_bool(w, row->authorized);
	jsonw_key(w, "isExternal"), jsonw_bool(w, false);
	jsonw_key(w, "isEphemeral"), jsonw_bool(w, row->ephemeral);
	jsonw_key(w, "machineKey"), jsonw_str(w, machine_pub_text(&row->machine, text));
	jsonw_key(w, "nodeKey"), jsonw_str(w, node_pub_text(&row->key, text));
	jsonw_key(w, "blocksIncomingConnections"), jsonw_bool(w, says(row->hostinfo_json, "\"ShieldsUp\":true"));
	jsonw_key(w, "tailnetLockKey"), jsonw_str(w, "");
	jsonw_key(w, "tailnetLockError"), jsonw_str(w, "");
	jsonw_key(w, "tags"), texts(w, row->tags, row->n_tags);
	if (all)
		more_fields(w, n);
	jsonw_obj_end(w);
}

/* ---- lists, with filters: ?name=x&tags=tag:y, all must hold ---- */

struct filters {
	const char *key[FILTERS_MAX], *value[FILTERS_MAX];
	size_t n;
	bool too_many;
};

static enum MHD_Result take_filter(void *ctx, enum MHD_ValueKind kind, const char *key, const char *value)
{
	struct filters *f = ctx;

	(void)kind;
	if (strcmp(key, "fields") == 0)
		return MHD_YES;
	if (f->n == FILTERS_MAX) {
		f->too_many = true;
		return MHD_NO;
	}
	f->key[f->n] = key;
	f->value[f->n++] = value ? value : "";
	return MHD_YES;
}

static bool is_value(const json_t *v, const char *want)
{
	if (json_is_string(v))
		return strcmp(json_string_value(v), want) == 0;
	return json_is_boolean(v) && strcmp(json_is_true(v) ? "true" : "false", want) == 0;
}

static bool passes(const struct filters *f, struct bytes device)
{
	json_auto_t *v = f->n ? json_loadb((const char *)device.p, device.n, 0, NULL) : NULL;

	for (size_t i = 0; i < f->n; i++) {
		const json_t *member = json_object_get(v, f->key[i]);
		bool ok = is_value(member, f->value[i]);
		for (size_t k = 0; !ok && k < json_array_size(member); k++)
			ok = is_value(json_array_get(member, k), f->value[i]);
		if (!ok)
			return false;
	}
	return true;
}

static bool wants_all(struct request *r)
{
	return strcmp(query(r, "fields"), "all") == 0;
}

struct device_list { /* what is listed, while it is written */
	struct console_nodes nodes;
	struct filters filters;
	const char *domain;
	bool all;
};

static void write_devices(struct jsonw *w, const struct device_list *l)
{
	CLEANUP(buf_done) struct buf one = buf_make(1 << 20);

	jsonw_key(w, "devices"), jsonw_arr(w);
	for (size_t i = 0; i < l->nodes.n; i++) {
		if (!l->filters.n) {
			render_device(w, l->nodes.node[i], l->domain, l->all);
			continue;
		}
		buf_clear(&one);
		struct jsonw d = jsonw_init(&one);
		render_device(&d, l->nodes.node[i], l->domain, l->all);
		if (jsonw_ok(&d) && passes(&l->filters, buf_view(&one)))
			jsonw_raw(w, buf_view(&one));
	}
	jsonw_arr_end(w);
	jsonw_obj_end(w);
}

/* On a worker. */
static void make_devices(struct request *r, struct reply *reply)
{
	struct device_list *l = r->keep;
	struct jsonw w = answer_begin(&r->made);

	(void)reply;
	write_devices(&w, l);
	console_nodes_done(&l->nodes);
}

static enum MHD_Result on_devices_made(struct request *r, const struct reply *reply)
{
	FAIL_ON(r, reply);
	return console_answer_made(r);
}

/* Hostinfo is read, and filters look into each device's JSON: hundreds of ms for thousands of devices, so others need not wait for that. */
static enum MHD_Result on_devices(struct request *r, const struct reply *reply)
{
	FAIL_ON(r, reply);
	struct device_list here = { .domain = reply->domain, .all = wants_all(r) }, *l = &here;

	MHD_get_connection_values(r->conn, MHD_GET_ARGUMENT_KIND, take_filter, &here.filters);
	if (here.filters.too_many)
		return answer_error(r, 400, "too many filters");
	if (!here.all && !here.filters.n) {
		struct buf out;
		struct jsonw w = answer_begin(&out);
		here.nodes = (struct console_nodes){ .node = reply->nodes, .n = reply->n_nodes };
		write_devices(&w, &here);
		return answer_json(r, 200, &out);
	}
	l = arena_alloc(&r->arena, sizeof *l);
	if (!l)
		return answer_error(r, 500, "out of memory");
	*l = here;
	l->domain = arena_str(&r->arena, bytes_str(reply->domain ? reply->domain : ""));
	if (!l->domain || console_keep_nodes(r, reply, &l->nodes) != OK)
		return answer_error(r, 500, "out of memory");
	r->keep = l;
	return console_work(r, make_devices, on_devices_made, &l->nodes);
}

enum MHD_Result api_v2_devices(struct request *r)
{
	return ask(r, command_for(r, CMD_NODE_LIST), on_devices);
}

static enum MHD_Result on_device(struct request *r, const struct reply *reply)
{
	FAIL_ON(r, reply);
	struct buf out = buf_make(API_ANSWER_MAX);
	struct jsonw w = jsonw_init(&out);
	render_device(&w, reply->nodes[0], reply->domain, wants_all(r));
	return answer_json(r, 200, &out);
}

static struct command *for_device(struct request *r, enum command_kind kind)
{
	return v2_command(r, kind, 0, "device");
}

enum MHD_Result api_v2_device(struct request *r)
{
	return ask(r, for_device(r, CMD_NODE_GET), on_device);
}

enum MHD_Result api_v2_device_delete(struct request *r)
{
	return ask(r, for_device(r, CMD_NODE_DELETE), on_done);
}

enum MHD_Result api_v2_device_expire(struct request *r)
{
	return ask(r, for_device(r, CMD_NODE_EXPIRE), on_done);
}

/* ---- routes ---- */

static enum MHD_Result on_routes(struct request *r, const struct reply *reply)
{
	FAIL_ON(r, reply);
	const struct node_info *n = reply->nodes[0];
	struct buf out;
	struct jsonw w = answer_begin(&out);
	jsonw_key(&w, "advertisedRoutes"), prefixes(&w, n->announced, n->n_announced);
	jsonw_key(&w, "enabledRoutes"), prefixes(&w, n->row.approved_routes, n->row.n_approved);
	return answer_end(r, &w, &out);
}

enum MHD_Result api_v2_device_routes(struct request *r)
{
	return ask(r, for_device(r, CMD_NODE_GET), on_routes);
}

enum MHD_Result api_v2_device_set_routes(struct request *r)
{
	struct command *c = for_device(r, CMD_NODE_APPROVE_ROUTES);
	bool given;
	size_t n;
	const char **routes = body_texts(r, "routes", &n, &given);
	struct prefix *list = c ? arena_array(&c->arena, n ? n : 1, sizeof *list) : NULL;

	for (size_t i = 0; list && i < n && !r->fault; i++)
		if (prefix_parse(bytes_str(routes[i]), &list[i]) != OK)
			r->fault = arena_printf(&r->arena, "routes: \"%.60s\" is not a prefix such as 10.0.0.0/24", routes[i]);
	if (c) {
		c->routes = list;
		c->n_routes = list ? n : 0;
	}
	return ask(r, c, on_routes);
}

/* ---- what changes a device ---- */

static bool needed_bool(struct request *r, const char *name)
{
	const json_t *body = body_object(r);

	if (body && !json_is_boolean(json_object_get(body, name)) && !r->fault)
		r->fault = arena_printf(&r->arena, "%s: true or false is needed", name);
	return body && json_is_true(json_object_get(body, name));
}

enum MHD_Result api_v2_device_authorized(struct request *r)
{
	struct command *c = for_device(r, CMD_NODE_APPROVE);

	if (c)
		c->disable = !needed_bool(r, "authorized");
	return ask(r, c, on_done);
}

/* "" gives the name that follows from the host's; a full name counts by its first label. */
enum MHD_Result api_v2_device_name(struct request *r)
{
	struct command *c = for_device(r, CMD_NODE_RENAME);
	const char *name = body_text(r, "name");

	if (!name && !r->fault)
		r->fault = "name: a text is needed";
	if (c && name) {
		struct bytes rest, label = bytes_cut(bytes_str(name), '.', &rest);
		c->new_name = arena_str(&c->arena, label);
		c->automatic = !label.n;
	}
	return ask(r, c, on_done);
}

enum MHD_Result api_v2_device_tags(struct request *r)
{
	struct command *c = for_device(r, CMD_NODE_TAGS);
	bool given;
	size_t n;
	const char **tags = body_texts(r, "tags", &n, &given);

	if (c && !r->fault) {
		c->tags = v2_copy_texts(r, c, tags, n);
		c->n_tags = n;
	}
	return ask(r, c, on_done);
}

enum MHD_Result api_v2_device_key(struct request *r)
{
	bool disabled = needed_bool(r, "keyExpiryDisabled");
	struct command *c = for_device(r, disabled ? CMD_NODE_EXPIRE : CMD_NODE_ENABLE_EXPIRY);

	if (c)
		c->disable = disabled;
	return ask(r, c, on_done);
}

enum MHD_Result api_v2_device_ip(struct request *r)
{
	struct command *c = for_device(r, CMD_NODE_SET_IP);
	const char *text = body_text(r, "ipv4");
	struct addr *a = c ? arena_alloc(&c->arena, sizeof *a) : NULL;

	if (a && (!text || addr_parse(bytes_str(text), a) != OK || a->family != 4) && !r->fault)
		r->fault = "ipv4: an IPv4 address is needed";
	if (c) {
		c->addrs = a;
		c->n_addrs = a ? 1 : 0;
	}
	return ask(r, c, on_done);
}

/* ---- posture attributes ---- */

static enum MHD_Result on_attributes(struct request *r, const struct reply *reply)
{
	FAIL_ON(r, reply);
	const struct node_info *n = reply->nodes[0];
	CLEANUP(arena_done) struct arena a = arena_make(1 << 20);
	struct json_why why = { 0 };
	struct tailcfg_hostinfo *hi = NULL;
	struct buf out;
	struct jsonw w = answer_begin(&out);

	if (tailcfg_hostinfo_parse(bytes_str(n->row.hostinfo_json ? n->row.hostinfo_json : ""), &a, &hi, &why) != OK)
		hi = NULL;
	const struct tailcfg_hostinfo *h = hi ? hi : &tailcfg_hostinfo_none;
	jsonw_key(&w, "attributes"), jsonw_obj(&w);
	jsonw_key(&w, "node:os"), jsonw_str(&w, h->os);
	jsonw_key(&w, "node:osVersion"), jsonw_str(&w, h->os_version);
	jsonw_key(&w, "node:tsVersion"), jsonw_str(&w, n->client_version);
	jsonw_key(&w, "node:tsAutoUpdate"), jsonw_bool(&w, h->allows_update);
	if (h->state_encrypted != TAILCFG_UNSET)
		jsonw_key(&w, "node:tsStateEncrypted"), jsonw_bool(&w, h->state_encrypted == TAILCFG_TRUE);
	for (size_t i = 0; i < n->row.n_attrs; i++) {
		const struct custom_attr *x = &n->row.attrs[i];
		jsonw_key_bytes(&w, bytes_str(x->name));
		if (x->type == 's')
			jsonw_str(&w, x->value);
		else
			jsonw_raw(&w, bytes_str(x->value));
	}
	jsonw_obj_end(&w);
	jsonw_key(&w, "expiries"), jsonw_obj(&w);
	for (size_t i = 0; i < n->row.n_attrs; i++)
		if (n->row.attrs[i].expires_ms) {
			jsonw_key_bytes(&w, bytes_str(n->row.attrs[i].name));
			jsonw_time(&w, n->row.attrs[i].expires_ms);
		}
	jsonw_obj_end(&w);
	return answer_end(r, &w, &out);
}

enum MHD_Result api_v2_device_attrs(struct request *r)
{
	return ask(r, for_device(r, CMD_NODE_GET), on_attributes);
}

enum MHD_Result api_v2_device_attr_set(struct request *r)
{
	struct command *c = for_device(r, CMD_NODE_ATTR_SET);
	const json_t *body = body_object(r), *v = body ? json_object_get(body, "value") : NULL;
	size_t n;

	if (!v && !r->fault)
		r->fault = "value: a text, a number, true or false is needed";
	if (c) {
		c->name = command_str(c, r->param[1]);
		c->text = v ? json_dump_compact(&c->arena, v, &n) : "";
		c->expires_ms = body_time(r, "expiry", 0);
		c->note = command_str(c, body_text(r, "comment"));
	}
	return ask(r, c, on_attributes);
}

enum MHD_Result api_v2_device_attr_delete(struct request *r)
{
	struct command *c = for_device(r, CMD_NODE_ATTR_DELETE);

	if (c)
		c->name = command_str(c, r->param[1]);
	return ask(r, c, on_done);
}

/* ---- PATCH /tailnet/-/device-attributes: {"nodes": {id: {name: {"value", "expiry"?} | null}}, "comment"?} ---- */

static enum MHD_Result on_attrs_patched(struct request *r, const struct reply *reply)
{
	FAIL_ON(r, reply);
	return answer_text(r, 200, "application/json", "null");
}

static bool add_attr_change(struct request *r, struct command *c, struct attr_change *to, const char *node, const char *name, const json_t *v)
{
	uint64_t id = 0;
	size_t n;
	const json_t *value = json_object_get(v, "value"), *expiry = json_object_get(v, "expiry");
	int64_t ms = 0;

	if (bytes_parse_u64(bytes_str(node), INT64_MAX, &id) != OK || !id)
		id = INT64_MAX; /* names nothing here */
	*to = (struct attr_change){ .node_id = (int64_t)id, .name = command_str(c, name) };
	if (json_is_null(v))
		return to->name != NULL;
	if (!value)
		r->fault = arena_printf(&r->arena, "%.64s: {\"value\": …} or null is needed", name);
	else if (expiry && !json_is_null(expiry) && (!json_is_string(expiry) || time_parse_rfc3339(bytes_str(json_string_value(expiry)), &ms) != OK))
		r->fault = arena_printf(&r->arena, "%.64s: expiry: a time such as 2027-01-31T12:00:00Z is needed", name);
	else
		to->text = json_dump_compact(&c->arena, value, &n);
	to->expires_ms = ms == TIME_ZERO_MS ? 0 : ms;
	return !r->fault && to->text && to->name;
}

enum MHD_Result api_v2_device_attrs_patch(struct request *r)
{
	struct command *c = command_for(r, CMD_NODE_ATTRS_PATCH);
	const json_t *body = body_object(r), *nodes = body ? json_object_get(body, "nodes") : NULL;
	struct attr_change *list = c ? arena_array(&c->arena, ATTR_CHANGES_MAX, sizeof *list) : NULL;
	const char *node, *name;
	json_t *attrs, *v;

	if (!json_is_object(nodes) && !r->fault)
		r->fault = "nodes: an object is needed";
	json_object_foreach((json_t *)(uintptr_t)nodes, node, attrs) {
		if (!json_is_object(attrs) && !r->fault)
			r->fault = "nodes: an object of attributes is needed for each device";
		json_object_foreach(attrs, name, v) {
			if (!list || r->fault)
				break;
			if (c->n_attr_changes == ATTR_CHANGES_MAX)
				r->fault = arena_printf(&r->arena, "at most %d attributes at once", ATTR_CHANGES_MAX);
			else if (add_attr_change(r, c, &list[c->n_attr_changes], node, name, v))
				c->n_attr_changes++;
			else if (!r->fault)
				r->fault = "out of memory";
		}
	}
	if (c) {
		c->attr_changes = list;
		const char *comment = body_text(r, "comment");
		c->note = command_str(c, comment ? comment : "");
	}
	return ask(r, c, on_attrs_patched);
}
