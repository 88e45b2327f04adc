#include "tests/sim/client.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/base/cleanup.h"
#include "common/base/clock.h"
#include "common/base/random.h"
#include "tests/lib/naive_map.h"

static const char *const hostnames[] = { "web", "web", "Ann's Mac", "db", "server.example.org", "phone", "node", "", "büro",
	"a-very-long-name-that-goes-on-and-on-and-on-until-it-is-longer-than-a-label-may-be" };
static const char *const routes[] = { NULL, NULL, "10.1.0.0/16", "10.2.0.0/16", "10.1.0.0/16\",\"0.0.0.0/0\",\"::/0", "fd00:1::/48", "100.64.7.0/24\",\"10.1.0.0/16",
	"128.0.0.0/1" };
static const char *const tags[] = { NULL, NULL, NULL, "tag:web", "tag:db", "tag:unknown" };

#define PICK(w, list) ((list)[chance((w), ARRAY_LEN(list))])

/* ---- sinks: the wire's side of a stream ---- */

static void sink_send(struct map_sink *s, struct map_msg *m)
{
	struct sim_sink *k = container_of(s, struct sim_sink, sink);

	if (k->ended)
		world_fail(k->w, "a message into a stream that was ended");
	k->n_msg++;
	if (k->w->verbose) {
		char *text = json_dumps(world_json(k->w, m), JSON_COMPACT);
		world_say(k->w, "to node %lld: %s", (long long)k->node_id, text);
		free(text);
	}
	if (k->told)
		return; /* its stream is gone: the wire drops it */
	if (k->n_queue == k->cap_queue) {
		k->cap_queue = k->cap_queue ? 2 * k->cap_queue : 8;
		k->queue = realloc(k->queue, k->cap_queue * sizeof(*k->queue));
	}
	k->queue[k->n_queue++] = json_incref(world_json(k->w, m));
}

static void sink_end(struct map_sink *s)
{
	struct sim_sink *k = container_of(s, struct sim_sink, sink);

	k->ended = true; /* may be said twice: a withdrawn message ends it, and so does the undo */
}

static void sink_refuse(struct map_sink *s, int status, const char *why)
{
	struct sim_sink *k = container_of(s, struct sim_sink, sink);

	if (k->ended || k->n_msg)
		world_fail(k->w, "a stream is refused after it had begun");
	if (!why || !*why)
		world_fail(k->w, "a refusal without a reason");
	k->refused = status;
	k->ended = true;
}

static void sink_destroy(struct map_sink *s)
{
	struct sim_sink *k = container_of(s, struct sim_sink, sink);

	for (size_t i = 0; i < k->n_queue; i++)
		json_decref(k->queue[i]);
	free(k->queue);
	json_decref(k->map);
	free(k);
}

static struct sim_sink *sink_new(struct client *c, const struct node_pub *key)
{
	struct sim_sink *k = calloc(1, sizeof *k);
	struct node *n = node_by_key(c->w->core, key);

	k->sink = (struct map_sink){ .refs = 1, .zstd = true, .send = sink_send, .end = sink_end, .refuse = sink_refuse,
		.destroy = sink_destroy };
	k->w = c->w;
	k->owner = c;
	k->node_id = n ? n->row.id : 0;
	return k;
}

/* The wire lets go of a stream. tell: the core hears that it is gone. */
static void sink_drop(struct sim_sink *k, bool tell)
{
	k->owner = NULL;
	if (tell && !k->told) {
		struct event *e = event_new(EV_SINK_CLOSED);
		e->sink = map_sink_ref(&k->sink);
		k->told = true;
		world_apply(k->w, e);
	}
	k->told = true;
	map_sink_unref(&k->sink);
}

static void on_posted(struct sim_call *sc, struct reply *r)
{
	(void)sc;
	(void)r;
}

static void answer_c2n(struct client *c, const json_t *ping)
{
	struct event *e = event_new(EV_NODE_REQUEST);
	const char *path = strstr(json_string_value(json_object_get(ping, "URL")), "/machine/");

	if (!path)
		world_fail(c->w, "a question without a place for the answer");
	e->machine = c->machine;
	e->method = "POST";
	e->path = arena_str(&e->arena, bytes_str(path));
	/* What it advertises, whatever was asked: who wants something else does not read it. */
	char *list = arena_printf(&e->arena, "{\"VIPServices\":[{\"Name\":\"svc:a\",\"Active\":%s},{\"Name\":\"svc:b\",\"Active\":%s}]}",
			c->services & 1 ? "true" : "false", c->services & 2 ? "true" : "false");
	char *answer = arena_printf(&e->arena, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n%s", strlen(list), list);
	e->body = one_in(c->w, 4) ? BYTES_LIT("no HTTP") : bytes_str(answer);
	e->call = &world_call(c->w, c, on_posted)->call;
	world_apply(c->w, e);
}

static void take_in(struct client *c, struct sim_sink *k)
{
	const char *why;

	for (size_t i = 0; i < k->n_queue; i++) {
		if (!k->map)
			k->map = naive_client_new();
		if (!naive_client_apply(k->map, k->queue[i], &why))
			world_fail(c->w, "client %zu: %s", c->index, why);
		c->w->messages++;
		if (!k->reader && json_object_get(k->queue[i], "PingRequest") && !one_in(c->w, 3))
			answer_c2n(c, json_object_get(k->queue[i], "PingRequest"));
		if (!k->reader && json_object_get(k->queue[i], "Node")) {
			json_decref(c->last_self);
			c->last_self = json_incref(json_object_get(k->queue[i], "Node"));
			c->node_id = json_integer_value(json_object_get(c->last_self, "ID"));
		}
		json_decref(k->queue[i]);
	}
	k->n_queue = 0;
}

/* Its own key is over: it stops its data plane and wants a login (control.md 5.5, T42). */
static bool self_expired(const struct client *c)
{
	const char *at = c->last_self ? json_string_value(json_object_get(c->last_self, "KeyExpiry")) : NULL;
	int64_t ms;

	return at && time_parse_rfc3339(bytes_str(at), &ms) == OK && ms != TIME_ZERO_MS && ms <= c->w->now.wall_ms;
}

static void log_out_locally(struct client *c)
{
	c->state = CLIENT_OUT;
	c->reported = false;
}

static void after_end(struct client *c, struct sim_sink **at)
{
	struct sim_sink *k = *at;

	if (!k || !k->ended || k->n_queue)
		return;
	bool self = k == c->stream;
	*at = NULL;
	/* Most wires say goodbye even when it was the core that ended the stream. */
	sink_drop(k, chance(c->w, 4) != 0);
	if (self && c->state == CLIENT_IN && self_expired(c))
		log_out_locally(c);
}

void client_catch_up(struct client *c)
{
	for (int i = 0; i < 2; i++) {
		struct sim_sink **at = i ? &c->reader : &c->stream;
		if (*at)
			take_in(c, *at);
		after_end(c, at);
	}
}

void client_read(struct client *c)
{
	if (!c->slow) {
		client_catch_up(c);
		return;
	}
	struct sim_sink *k = c->stream;
	if (k && k->n_queue > CLIENT_BACKLOG_MAX) { /* the wire gives up on it */
		world_say(c->w, "client %zu is too slow", c->index);
		c->stream = NULL;
		sink_drop(k, true);
		c->slow = false;
	}
}

bool client_is_current(const struct client *c)
{
	return c->stream && !c->stream->ended && !c->stream->n_queue && c->stream->map;
}

/* ---- requests ---- */

static struct tailcfg_hostinfo *hostinfo(struct client *c, struct arena *a, bool net)
{
	struct tailcfg_hostinfo *hi;
	struct json_why why;
	char text[800], tag[64] = "", route[128] = "", info[64] = "", services[64] = "", app[160] = "";

	if (c->tag)
		snprintf(tag, sizeof tag, ",\"RequestTags\":[\"%s\"]", c->tag);
	if (c->route)
		snprintf(route, sizeof route, ",\"RoutableIPs\":[\"%s\"]", c->route);
	if (net && c->home)
		snprintf(info, sizeof info, ",\"NetInfo\":{\"PreferredDERP\":%d}", c->home);
	if (c->services)
		snprintf(services, sizeof services, ",\"ServicesHash\":\"h%d\"", c->services);
	if (c->api)
		snprintf(app, sizeof app, ",\"AppConnector\":true,\"Services\":[{\"Proto\":\"tcp\",\"Port\":22},{\"Proto\":\"peerapi4\",\"Port\":%d}]", c->api);
	snprintf(text, sizeof text, "{\"Hostname\":\"%s\",\"OS\":\"linux\"%s%s%s%s%s}", c->hostname, tag, route, info, services, app);
	if (tailcfg_hostinfo_parse(bytes_str(text), a, &hi, &why) != OK)
		world_fail(c->w, "hostinfo: %s", why.text);
	return hi;
}

static struct event *register_event(struct client *c, const char *auth_key, const char *followup)
{
	struct event *e = event_new(EV_REGISTER);
	struct tailcfg_register_request *r = arena_alloc(&e->arena, sizeof *r);

	r->version = c->version;
	r->node_key = c->key;
	r->old_node_key = c->old_key;
	r->auth_key = arena_str(&e->arena, bytes_str(auth_key ? auth_key : ""));
	r->followup = arena_str(&e->arena, bytes_str(followup ? followup : ""));
	r->hostinfo = hostinfo(c, &e->arena, false);
	r->ephemeral = c->ephemeral;
	r->signature_type = "";
	r->tailnet = "";
	e->reg = r;
	e->machine = c->machine;
	e->remote = c->from;
	return e;
}

/* Told that it is registered: then the database has it. */
static void check_acknowledged(struct sim_call *sc)
{
	struct world *w = sc->w;

	for (size_t i = 0; i < w->db.n_nodes; i++)
		if (node_pub_eq(&w->db.nodes[i].key, &sc->key))
			return;
	if (node_by_key(w->core, &sc->key))
		world_fail(w, "client %zu was told that it is registered, and the database does not have it", sc->client->index);
}

static void new_key(struct client *c)
{
	c->old_key = c->key;
	random_fill(&c->key, sizeof c->key);
	c->reported = false;
}

static void on_registered(struct sim_call *sc, struct reply *r)
{
	struct client *c = sc->client;
	const char *s;

	if (sc->stolen) {
		if (r->e == OK && r->http_status != 401)
			world_fail(sc->w, "client %zu registered with a stolen node key: %d", c->index, r->http_status);
		return;
	}
	if (c->registering == sc)
		c->registering = NULL;
	if (c->following == sc)
		c->following = NULL;
	if (r->e != OK || (r->http_status && r->http_status != 200))
		return; /* tries again some time */
	json_t *v = json_loadb((const char *)r->body.p, r->body.n, 0, NULL);
	if (!v)
		world_fail(sc->w, "a register response is no JSON");
	if ((s = json_string_value(json_object_get(v, "Error"))) && *s) {
		world_say(sc->w, "client %zu: %s", c->index, s);
	} else if (json_object_get(v, "NodeKeySignature")) { /* tailnet lock: it cannot sign, and tries again without */
		world_say(sc->w, "client %zu should sign its new key", c->index);
	} else if (json_is_true(json_object_get(v, "NodeKeyExpired"))) {
		if (node_pub_eq(&sc->key, &c->key)) {
			new_key(c);
			c->state = CLIENT_OUT;
		}
	} else if ((s = json_string_value(json_object_get(v, "AuthURL"))) && *s) {
		if (node_pub_eq(&sc->key, &c->key)) {
			snprintf(c->url, sizeof c->url, "%s", s);
			if (c->state == CLIENT_OUT)
				c->state = CLIENT_LOGIN;
			const char *id = strrchr(s, '/');
			snprintf(sc->w->auth_ids[sc->w->n_auth_ids++ % ARRAY_LEN(sc->w->auth_ids)], AUTH_ID_LEN + 1, "%s", id ? id + 1 : "");
		}
	} else {
		if (!r->registered)
			world_fail(sc->w, "a success that is none");
		check_acknowledged(sc);
		c->reported = false;
		c->report++;
		if (node_pub_eq(&sc->key, &c->key)) {
			c->state = CLIENT_IN;
			c->url[0] = 0;
		}
	}
	json_decref(v);
}

static struct sim_call *send_register(struct client *c, struct event *e)
{
	struct sim_call *sc = world_call(c->w, c, on_registered);

	sc->key = e->reg->node_key;
	e->call = &sc->call;
	c->reported = false; /* it may be another node from now on */
	c->report++;
	return sc;
}

void client_register(struct client *c, const char *auth_key)
{
	struct event *e = register_event(c, auth_key, NULL);

	if (c->registering) {
		event_free(e);
		return;
	}
	c->registering = send_register(c, e);
	world_apply(c->w, e);
}

static void follow(struct client *c)
{
	struct event *e = register_event(c, NULL, c->url);

	if (c->following) {
		event_free(e);
		return;
	}
	c->following = send_register(c, e);
	world_apply(c->w, e);
}

static void cancel_follow(struct client *c)
{
	struct event *e = event_new(EV_CALL_GONE);

	e->call = &c->following->call;
	world_apply(c->w, e);
}

static void log_out(struct client *c, bool shorten)
{
	struct event *e = register_event(c, NULL, NULL);

	e->reg->has_expiry = true;
	e->reg->expiry_ms = shorten ? c->w->now.wall_ms + 1000 + (int64_t)chance(c->w, 600000) : 123000;
	send_register(c, e);
	world_apply(c->w, e);
	if (!shorten) {
		log_out_locally(c);
		random_fill(&c->key, sizeof c->key);
		c->old_key = (struct node_pub){ 0 };
	}
}

/* ---- maps ---- */

static void fill_report(struct client *c, struct event *e, struct tailcfg_map_request *m, bool full)
{
	m->version = c->version;
	m->keep_alive = true;
	m->zstd = true;
	m->node_key = c->key;
	m->hostinfo = hostinfo(c, &e->arena, full);
	m->has_hostinfo = full;
	m->tka_head = m->attestation_key = m->map_session_handle = "";
	if (full) {
		m->disco_key = c->disco;
		m->has_endpoints = true;
		m->endpoints = arena_array(&e->arena, CLIENT_ENDPOINTS, sizeof *m->endpoints);
		for (size_t i = 0; i < c->n_endpoints; i++)
			m->endpoints[m->n_endpoints++] = (struct tailcfg_endpoint){ c->endpoint[i], 1 };
	}
	e->map = m;
	e->machine = c->machine;
	e->remote = c->from;
}

static struct event *map_event(struct client *c, enum event_kind kind, bool full)
{
	struct event *e = event_new(kind);

	fill_report(c, e, arena_alloc(&e->arena, sizeof *e->map), full);
	return e;
}

void client_stream(struct client *c, bool reader)
{
	struct sim_sink **at = reader ? &c->reader : &c->stream, *old = *at;
	struct event *e = map_event(c, EV_MAP_STREAM, !one_in(c->w, 4));
	struct sim_sink *k = sink_new(c, &c->key);

	k->reader = reader;
	e->map->stream = true;
	e->map->read_only = reader;
	e->sink = map_sink_ref(&k->sink);
	*at = k;
	if (old && chance(c->w, 2)) /* the old one's goodbye comes before, or after, or never */
		sink_drop(MOVE(old), true);
	world_apply(c->w, e);
	if (old)
		sink_drop(old, chance(c->w, 2) != 0);
}

void client_hang_up(struct client *c, bool reader)
{
	struct sim_sink **at = reader ? &c->reader : &c->stream, *k = *at;

	*at = NULL;
	if (k)
		sink_drop(k, true);
}

static void on_lite(struct sim_call *sc, struct reply *r)
{
	struct client *c = sc->client;

	if (sc->stolen) {
		if (r->e == OK && r->http_status != 401 && r->http_status != 409)
			world_fail(sc->w, "a stolen key was believed: %d", r->http_status);
		return;
	}
	c->reported = r->e == OK && r->http_status == 200 && node_pub_eq(&sc->key, &c->key) && sc->id == c->report;
	if (r->e == OK && r->http_status != 200 && r->http_status != 404 && r->http_status != 409)
		world_fail(sc->w, "a lite update was answered %d", r->http_status);
}

void client_lite(struct client *c)
{
	struct event *e = map_event(c, EV_MAP_LITE, true);
	struct sim_call *sc = world_call(c->w, c, on_lite);

	e->map->omit_peers = true;
	sc->key = c->key;
	sc->id = ++c->report;
	c->reported = false;
	e->call = &sc->call;
	world_apply(c->w, e);
}

static void one_shot(struct client *c)
{
	struct event *e = map_event(c, EV_MAP_ONCE, true);
	struct sim_sink *k = sink_new(c, &c->key);

	k->once = true;
	e->map->read_only = chance(c->w, 2);
	if (!e->map->read_only)
		c->reported = false;
	e->sink = &k->sink; /* the event has the only reference */
	world_apply(c->w, e);
}

/* ---- thieves: another machine's node key on every endpoint ---- */

static void on_stolen_request(struct sim_call *sc, struct reply *r)
{
	if (r->e == OK && r->http_status != 401 && r->http_status != 404)
		world_fail(sc->w, "a request with a stolen node key was answered %d", r->http_status);
}

static void steal(struct client *c)
{
	struct client *victim = c->w->clients[chance(c->w, c->w->n_clients)];
	struct node *n = node_by_key(c->w->core, &victim->key);
	struct sim_call *sc;
	struct event *e;

	if (victim == c || !n)
		return;
	world_say(c->w, "client %zu steals the key of %zu", c->index, victim->index);
	switch (chance(c->w, 4)) {
	case 0:
		e = register_event(c, c->w->n_keys ? c->w->keys[chance(c->w, c->w->n_keys)] : NULL, NULL);
		e->reg->node_key = victim->key;
		if (one_in(c->w, 2)) {
			e->reg->has_expiry = true; /* logs somebody else out */
			e->reg->expiry_ms = 123000;
		}
		sc = send_register(c, e);
		sc->stolen = true;
		world_apply(c->w, e);
		break;
	case 1:
		e = map_event(c, EV_MAP_LITE, true);
		e->map->node_key = victim->key;
		e->map->omit_peers = true;
		sc = world_call(c->w, c, on_lite);
		sc->stolen = true;
		e->call = &sc->call;
		world_apply(c->w, e);
		break;
	case 2: {
		struct sim_sink *k = sink_new(c, &victim->key);
		e = map_event(c, one_in(c->w, 3) ? EV_MAP_ONCE : EV_MAP_STREAM, true);
		e->map->node_key = victim->key;
		e->map->stream = e->kind == EV_MAP_STREAM;
		k->stolen = true;
		e->sink = map_sink_ref(&k->sink);
		world_apply(c->w, e);
		sink_drop(k, true);
		break;
	}
	default: {
		char key[KEY_TEXT_MAX];
		e = event_new(EV_NODE_REQUEST);
		e->machine = c->machine;
		e->method = "POST";
		e->path = "/machine/update-health";
		char *body = arena_printf(&e->arena, "{\"NodeKey\":\"%s\",\"Subsys\":\"x\"}", node_pub_text(&victim->key, key));
		e->body = bytes_str(body);
		sc = world_call(c->w, c, on_stolen_request);
		e->call = &sc->call;
		world_apply(c->w, e);
	}
	}
}

/* Another's disco key: refused while the owner is there (or the owner's other profile), taken from who is not. */
static void steal_disco(struct client *c)
{
	struct client *victim = c->w->clients[chance(c->w, c->w->n_clients)];
	struct disco_pub mine = c->disco;

	if (victim == c)
		return;
	c->disco = victim->disco;
	client_lite(c);
	c->disco = mine;
	victim->reported = false;
	victim->report++;
	client_lite(c);
}

/* ---- what it does next ---- */

static void change_itself(struct client *c)
{
	struct world *w = c->w;

	switch (chance(w, 7)) {
	case 0:
		c->home = one_in(w, 6) ? 0 : 900 + (int)chance(w, 3);
		break;
	case 1:
		random_fill(&c->disco, sizeof c->disco);
		break;
	case 2:
		snprintf(c->hostname, sizeof c->hostname, "%s", PICK(w, hostnames));
		break;
	case 3:
		c->services = (int)chance(w, 4);
		c->api = one_in(w, 2) ? 0 : 4000 + (int)chance(w, 3);
		c->route = PICK(w, routes);
		break;
	case 4:
		c->version = 113 + (int)chance(w, 20);
		break;
	default:
		c->n_endpoints = chance(w, CLIENT_ENDPOINTS + 1);
		for (size_t i = 0; i < c->n_endpoints; i++)
			c->endpoint[i] = (struct addrport){ addr_v4(198, 51, (uint8_t)c->index, (uint8_t)chance(w, 6)), (uint16_t)(1 + chance(w, 3)) };
	}
}

static void act_out(struct client *c)
{
	struct world *w = c->w;
	uint64_t what = chance(w, 10);

	if (what < 6 && w->n_keys)
		client_register(c, w->keys[chance(w, w->n_keys)]);
	else if (what < 8)
		client_register(c, NULL);
	else if (what == 8)
		c->tag = PICK(w, tags);
	else if (one_in(w, 2))
		client_stream(c, false); /* with a key that nobody knows (T42b) */
	else
		client_register(c, "hskey-auth-000000000000-0000000000000000000000000000000000000000000000000000000000000000");
}

static void act_login(struct client *c)
{
	uint64_t what = chance(c->w, 10);

	if (what < 6)
		follow(c);
	else if (what == 6 && c->following)
		cancel_follow(c);
	else if (what == 7)
		client_register(c, NULL);
	else if (what == 8) {
		log_out_locally(c);
		new_key(c);
	}
}

static void act_in(struct client *c)
{
	struct world *w = c->w;
	uint64_t what = chance(w, 40);

	if (!c->stream && what < 24) {
		client_stream(c, false);
		if (!one_in(w, 4))
			client_lite(c);
	} else if (what < 12) {
		change_itself(c);
		client_lite(c);
	} else if (what < 18) {
		client_hang_up(c, false);
	} else if (what < 20) {
		client_stream(c, false);
	} else if (what == 20) {
		if (c->reader)
			client_hang_up(c, true);
		else
			client_stream(c, true);
	} else if (what == 21) {
		one_shot(c);
	} else if (what == 22) {
		client_register(c, one_in(w, 2) && w->n_keys ? w->keys[chance(w, w->n_keys)] : NULL);
	} else if (what == 23) {
		new_key(c); /* --force-reauth: the old key works on until the new one is in */
		client_register(c, one_in(w, 2) && w->n_keys ? w->keys[chance(w, w->n_keys)] : NULL);
	} else if (what == 24) {
		log_out(c, false);
	} else if (what == 25) {
		log_out(c, true);
	} else if (what == 26) {
		c->slow = !c->slow;
	} else if (what == 27) {
		steal_disco(c);
	} else if (what == 28) {
		c->tag = PICK(w, tags);
		client_register(c, NULL);
	} else if (what == 29 && c->stream) { /* it vanishes; the wire notices some time */
		client_hang_up(c, false);
		log_out_locally(c);
	} else {
		change_itself(c);
		client_lite(c);
	}
}

void client_act(struct client *c)
{
	client_read(c);
	if (one_in(c->w, 40))
		steal(c);
	else if (c->state == CLIENT_OUT)
		act_out(c);
	else if (c->state == CLIENT_LOGIN)
		act_login(c);
	else
		act_in(c);
}

/* ---- life ---- */

struct client *client_new(struct world *w)
{
	struct client *c = calloc(1, sizeof *c);

	c->w = w;
	c->index = w->n_clients;
	random_fill(&c->machine, sizeof c->machine);
	random_fill(&c->key, sizeof c->key);
	random_fill(&c->disco, sizeof c->disco);
	c->from = addr_v4(192, 0, 2, (uint8_t)chance(w, 20));
	snprintf(c->hostname, sizeof c->hostname, "%s", PICK(w, hostnames));
	c->version = 130;
	c->home = 900;
	c->endpoint[0] = (struct addrport){ addr_v4(198, 51, (uint8_t)c->index, 1), 41641 };
	c->n_endpoints = 1;
	c->route = PICK(w, routes);
	c->tag = one_in(w, 4) ? PICK(w, tags) : NULL;
	c->ephemeral = one_in(w, 6);
	w->clients = realloc(w->clients, (w->n_clients + 1) * sizeof(*w->clients));
	w->clients[w->n_clients++] = c;
	return c;
}

void client_server_died(struct client *c)
{
	c->registering = c->following = NULL;
	c->reported = false;
	if (c->stream)
		sink_drop(MOVE(c->stream), false);
	if (c->reader)
		sink_drop(MOVE(c->reader), false);
}

void client_free(struct client *c)
{
	json_decref(c->last_self);
	free(c);
}
