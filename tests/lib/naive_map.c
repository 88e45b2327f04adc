#include "tests/lib/naive_map.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/base/clock.h"
#include "common/text/base64.h"

static void put(json_t *o, const char *key, json_t *v)
{
	json_object_set_new(o, key, v);
}

static json_t *prefix_json(struct prefix p)
{
	char text[PREFIX_TEXT_MAX];

	return json_string(prefix_text(p, text));
}

static json_t *time_json(int64_t ms)
{
	char text[RFC3339_MAX];

	return json_string(time_rfc3339(ms, text));
}

static json_t *hostinfo_json(const struct tailcfg_hostinfo *h)
{
	json_t *o = json_object();

	if (h->os && h->os[0])
		put(o, "OS", json_string(h->os));
	if (h->hostname && h->hostname[0])
		put(o, "Hostname", json_string(h->hostname));
	if (h->sharee_node)
		put(o, "ShareeNode", json_true());
	if (h->n_services) {
		json_t *a = json_array();

		for (size_t i = 0; i < h->n_services; i++) {
			json_t *s = json_pack("{s:s,s:i}", "Proto", h->services[i].proto, "Port", (int)h->services[i].port);

			if (h->services[i].description && h->services[i].description[0])
				put(s, "Description", json_string(h->services[i].description));
			json_array_append_new(a, s);
		}
		put(o, "Services", a);
	}
	if (h->n_ssh_host_keys) {
		json_t *a = json_array();

		for (size_t i = 0; i < h->n_ssh_host_keys; i++)
			json_array_append_new(a, json_string(h->ssh_host_keys[i]));
		put(o, "sshHostKeys", a);
	}
	if (h->location)
		put(o, "Location", json_object());
	return o;
}

/* Whom the tailnet elected: the one that serves it (some tests let several do so). */
static int64_t naive_carrier(const struct map_tailnet *t, const struct map_node *n, struct prefix p)
{
	for (size_t k = 0; k < n->n_serving; k++)
		if (prefix_cmp(n->serving[k], p) == 0)
			return n->row->id;
	for (size_t i = 0; p.bits && i < t->n_slots; i++)
		for (size_t k = 0; t->nodes[i] && k < t->nodes[i]->n_serving; k++)
			if (prefix_cmp(t->nodes[i]->serving[k], p) == 0)
				return t->nodes[i]->row->id;
	return 0;
}

json_t *naive_peer_to(const struct map_tailnet *t, struct policy_view *view, const struct map_node *viewer, const struct map_node *n)
{
	struct policy_view *v = view ? view : t->policy;
	json_t *o = naive_peer(t, n), *allowed, *primary = json_array();

	if (policy_view_no_ipv4(t->policy, viewer->cls)) /* who has no IPv4 is shown nobody's */
		put(o, "Addresses", n->row->v6.family ? json_pack("[o]", prefix_json(addr_prefix(n->row->v6))) : json_array());
	allowed = json_copy(json_object_get(o, "Addresses"));

	for (size_t i = 0; i < n->n_cand; i++) {
		if (!policy_view_shows_route(v, viewer->row->id, n->row->id, n->cand[i], naive_carrier(t, n, n->cand[i])))
			continue;
		json_array_append_new(allowed, prefix_json(n->cand[i]));
		if (n->cand[i].bits)
			json_array_append_new(primary, prefix_json(n->cand[i]));
	}
	put(o, "AllowedIPs", allowed);
	json_object_del(o, "PrimaryRoutes");
	if (json_array_size(primary))
		put(o, "PrimaryRoutes", json_incref(primary));
	json_decref(primary);
	return o;
}

json_t *naive_peer(const struct map_tailnet *t, const struct map_node *n)
{
	const struct node_row *r = n->row;
	json_t *o = json_object(), *own = json_array(), *allowed, *eps = json_array(), *tags = json_array(), *primary = json_array();
	bool is_exit = false;
	char text[600], key[KEY_TEXT_MAX], ep[ADDRPORT_TEXT_MAX];

	put(o, "ID", json_integer(r->id));
	snprintf(text, sizeof text, "%lld", (long long)r->id);
	put(o, "StableID", json_string(text));
	snprintf(text, sizeof text, "%s.%s.", r->given_name, t->set->base_domain);
	put(o, "Name", json_string(text));
	put(o, "User", json_integer(n->user_id));
	put(o, "Key", json_string(node_pub_text(&r->key, key)));
	if (r->expires_ms)
		put(o, "KeyExpiry", time_json(r->expires_ms));
	if (t->lock_on && r->n_key_sig) {
		char *b64 = malloc(r->n_key_sig * 2 + 8);

		put(o, "KeySignature", json_string(base64_encode(bytes_of(r->key_sig, r->n_key_sig), b64)));
		free(b64);
	}
	if (!disco_pub_is_zero(&r->disco))
		put(o, "DiscoKey", json_string(disco_pub_text(&r->disco, key)));
	if (r->v4.family && !policy_view_no_ipv4(t->policy, n->cls))
		json_array_append_new(own, prefix_json(addr_prefix(r->v4)));
	if (r->v6.family)
		json_array_append_new(own, prefix_json(addr_prefix(r->v6)));
	allowed = json_copy(own);
	for (size_t i = 0; i < n->n_serving; i++) {
		json_array_append_new(allowed, prefix_json(n->serving[i]));
		if (n->serving[i].bits)
			json_array_append_new(primary, prefix_json(n->serving[i]));
		else
			is_exit = true;
	}
	put(o, "Addresses", own);
	put(o, "AllowedIPs", allowed);
	for (size_t i = 0; i < n->n_serving; i++)
		if (!n->serving[i].bits)
			put(o, "CapMap", json_pack("{s:n}", "suggest-exit-node"));
	if (json_array_size(primary))
		put(o, "PrimaryRoutes", json_incref(primary));
	json_decref(primary);
	for (size_t i = 0; i < r->n_endpoints; i++)
		json_array_append_new(eps, json_string(addrport_text(r->endpoints[i], ep)));
	put(o, "Endpoints", eps);
	put(o, "HomeDERP", json_integer(r->home_derp));
	put(o, "Hostinfo", hostinfo_json(n->hi));
	if (r->created_ms)
		put(o, "Created", time_json(r->created_ms));
	put(o, "Cap", json_integer(r->capver));
	for (size_t i = 0; i < r->n_tags; i++)
		json_array_append_new(tags, json_string(r->tags[i]));
	if (r->n_tags)
		put(o, "Tags", json_incref(tags));
	json_decref(tags);
	if (!n->online && r->last_seen_ms)
		put(o, "LastSeen", time_json(r->last_seen_ms));
	put(o, "Online", json_boolean(n->online));
	put(o, "MachineAuthorized", json_true());
	if (n->expired)
		put(o, "Expired", json_true());
	if (is_exit)
		put(o, "CapMap", json_pack("{s:n}", "suggest-exit-node"));
	return o;
}

static bool is_peer(const struct map_tailnet *t, const struct map_node *viewer, const struct map_node *n, naive_sees sees, void *ctx)
{
	if (!n || n == viewer || !n->announced || !viewer->announced)
		return false;
	return sees ? sees(ctx, viewer, n) : policy_view_sees(t->policy, viewer->cls, n->cls);
}

static void put_id(json_t *o, int64_t id, json_t *v)
{
	char key[24];

	snprintf(key, sizeof key, "%lld", (long long)id);
	put(o, key, v);
}

json_t *naive_peers(const struct map_tailnet *t, const struct map_node *viewer, naive_sees sees, void *ctx)
{
	json_t *o = json_object();

	for (size_t i = 0; i < t->n_slots; i++)
		if (is_peer(t, viewer, t->nodes[i], sees, ctx))
			put_id(o, t->nodes[i]->row->id, naive_peer_to(t, NULL, viewer, t->nodes[i]));
	return o;
}

static bool exit_too(const struct core_settings *s, const char *addr)
{
	for (size_t i = 0; i < s->n_exit_resolvers; i++)
		if (strcmp(s->exit_resolvers[i], addr) == 0)
			return true;
	return false;
}

static json_t *resolvers_json(const struct core_settings *s, const char *const *list, size_t n, bool with_exit_node)
{
	json_t *a = json_array();

	for (size_t i = 0; i < n; i++)
		json_array_append_new(a, with_exit_node || exit_too(s, list[i]) ? json_pack("{s:s,s:b}", "Addr", list[i], "UseWithExitNode", 1) : json_pack("{s:s}", "Addr", list[i]));
	return a;
}

/* Domains of apps, for a viewer that is no connector: the first four connectors by id that may carry one and answer the viewer. */
static void put_apps(json_t *routes, const struct map_tailnet *t, const struct policy_view *view, const struct map_node *viewer, naive_sees sees, void *ctx)
{
	if (!viewer->announced || viewer->hi->app_connector == TAILCFG_TRUE)
		return;
	for (size_t i = 0; i < t->n_apps; i++)
		for (size_t d = 0; d < t->apps[i].n_domains; d++) {
			const char *domain = t->apps[i].domains[d];
			json_t *list = json_array();

			for (int64_t after = 0; json_array_size(list) < 4;) {
				const struct map_node *best = NULL;
				bool has = false;

				for (size_t s = 0; s < t->n_slots; s++) {
					const struct map_node *n = t->nodes[s];
					if (n && n->row->id > after && (!best || n->row->id < best->row->id) && n->hi->app_connector == TAILCFG_TRUE)
						best = n;
				}
				if (!best)
					break;
				after = best->row->id;
				for (size_t k = 0; k < t->n_apps; k++)
					for (size_t x = 0; x < t->apps[k].n_domains; x++)
						for (size_t c = 0; c < t->apps[k].n_connectors; c++)
							for (size_t g = 0; strcmp(t->apps[k].domains[x], domain) == 0 && g <= best->row->n_tags; g++)
								has |= g == best->row->n_tags ? strcmp(t->apps[k].connectors[c], "*") == 0
											      : strcmp(t->apps[k].connectors[c], best->row->tags[g]) == 0;
				if (!has || !best->announced || best->expired || !sees(ctx, viewer, best) ||
						!policy_view_may_ask(view, viewer->row->id, best->row->id))
					continue;
				for (size_t v = 0; v < best->hi->n_services; v++)
					if (strcmp(best->hi->services[v].proto, "peerapi4") == 0) {
						char at[ADDR_TEXT_MAX], text[ADDR_TEXT_MAX + 40];
						snprintf(text, sizeof text, "http://%s:%u/dns-query", addr_text(best->row->v4, at), best->hi->services[v].port);
						json_array_append_new(list, json_pack("{s:s}", "Addr", text));
						break;
					}
			}
			if (json_array_size(list) && !json_object_get(routes, domain))
				put(routes, domain, json_incref(list));
			json_decref(list);
		}
}

json_t *naive_dns(const struct map_tailnet *t, const struct policy_view *view, const struct map_node *viewer, naive_sees sees, void *ctx)
{
	const struct core_settings *s = t->set;
	json_t *o = json_object(), *routes = json_object(), *domains = json_array(), *records = json_array(), *filtered = json_array();

	if (s->n_resolvers)
		put(o, s->override_local_dns ? "Resolvers" : "FallbackResolvers", resolvers_json(s, s->resolvers, s->n_resolvers, s->with_exit_node));
	for (size_t i = 0; i < s->n_split; i++)
		put(routes, s->split[i].domain, resolvers_json(s, s->split[i].resolvers, s->split[i].n, false));
	put_apps(routes, t, view, viewer, sees, ctx);
	put(o, "Routes", routes);
	if (s->magic_dns && s->base_domain && *s->base_domain)
		json_array_append_new(domains, json_string(s->base_domain));
	for (size_t i = 0; i < s->n_search; i++)
		if (!s->magic_dns || strcasecmp(s->search_domains[i], s->base_domain) != 0)
			json_array_append_new(domains, json_string(s->search_domains[i]));
	put(o, "Domains", domains);
	if (s->magic_dns)
		put(o, "Proxied", json_true());
	for (size_t i = 0; i < s->n_exit_filtered; i++)
		json_array_append_new(filtered, json_string(s->exit_filtered[i]));
	if (s->n_exit_filtered)
		put(o, "ExitNodeFilteredSet", json_incref(filtered));
	json_decref(filtered);
	for (size_t i = 0; i < s->n_extra; i++)
		json_array_append_new(records, json_pack("{s:s,s:s,s:s}", "Name", s->extra_records[i].name, "Type", s->extra_records[i].type,
					"Value", s->extra_records[i].value));
	for (size_t i = 0; i < s->n_policy_records; i++)
		json_array_append_new(records, json_pack("{s:s,s:s,s:s}", "Name", s->policy_records[i].name, "Type", s->policy_records[i].type,
					"Value", s->policy_records[i].value));
	if (json_array_size(records))
		put(o, "ExtraRecords", json_incref(records));
	json_decref(records);
	return o;
}

static void put_user(const struct map_tailnet *t, json_t *o, int64_t id)
{
	const struct user_row *u = id == TAGGED_USER_ID ? NULL : t->user(t->ctx, id);

	put_id(o, id, json_string(id == TAGGED_USER_ID ? "tagged-devices" : u ? map_login_name(u) : "unknown"));
}

json_t *naive_users(const struct map_tailnet *t, const struct map_node *viewer, naive_sees sees, void *ctx)
{
	json_t *o = json_object();

	put_user(t, o, viewer->user_id);
	for (size_t i = 0; i < t->n_slots; i++)
		if (is_peer(t, viewer, t->nodes[i], sees, ctx))
			put_user(t, o, t->nodes[i]->user_id);
	return o;
}

/* ---- the client's side ---- */

static bool expired_by(const json_t *node, int64_t wall_ms)
{
	const char *at = json_string_value(json_object_get(node, "KeyExpiry"));
	int64_t ms;

	return at && time_parse_rfc3339(bytes_str(at), &ms) == OK && ms <= wall_ms;
}

static bool field_agrees(const json_t *has, const json_t *want, const char *field, int64_t wall_ms)
{
	if (strcmp(field, "LastSeen") == 0 && json_is_true(json_object_get(want, "Online")))
		return true; /* shown for offline nodes only, and no message can clear it */
	if (strcmp(field, "Expired") == 0 && !wall_ms)
		return true;
	if (strcmp(field, "Expired") == 0 && json_is_true(json_object_get(want, "Expired")))
		return json_is_true(json_object_get(has, "Expired")) || expired_by(has, wall_ms); /* clients reckon it, too */
	json_t *x = json_object_get(has, field), *y = json_object_get(want, field);
	return x && y ? json_equal(x, y) : !x && !y;
}

const char *naive_node_differs(const json_t *has, const json_t *want, int64_t wall_ms)
{
	const char *field;
	json_t *v;

	json_object_foreach ((json_t *)(uintptr_t)want, field, v)
		if (!field_agrees(has, want, field, wall_ms))
			return field;
	json_object_foreach ((json_t *)(uintptr_t)has, field, v)
		if (!field_agrees(has, want, field, wall_ms))
			return field;
	return NULL;
}

bool naive_peers_agree(const json_t *has, const json_t *want, int64_t wall_ms, char *why, size_t why_cap)
{
	const char *id, *field;
	json_t *v;

	json_object_foreach ((json_t *)(uintptr_t)want, id, v) {
		json_t *mine = json_object_get(has, id);

		if (!mine) {
			snprintf(why, why_cap, "node %s is missing", id);
			return false;
		}
		if ((field = naive_node_differs(mine, v, wall_ms))) {
			char *x = json_dumps(json_object_get(mine, field), JSON_COMPACT | JSON_ENCODE_ANY);
			char *y = json_dumps(json_object_get(v, field), JSON_COMPACT | JSON_ENCODE_ANY);

			snprintf(why, why_cap, "node %s has %s %.200s and should have %.200s", id, field, x ? x : "-", y ? y : "-");
			free(x);
			free(y);
			return false;
		}
	}
	json_object_foreach ((json_t *)(uintptr_t)has, id, v) {
		if (!json_object_get(want, id)) {
			snprintf(why, why_cap, "node %s should not be there", id);
			return false;
		}
	}
	return true;
}

json_t *naive_lock(const struct map_tailnet *t)
{
	if (t->lock_on)
		return json_pack("{s:s}", "Head", t->lock_head);
	return t->lock_off ? json_pack("{s:b}", "Disabled", 1) : json_null();
}

json_t *naive_client_new(void)
{
	return json_pack("{s:{},s:{},s:{},s:{}}", "Peers", "PacketFilters", "UserProfiles", "DisplayMessages");
}

static json_t *peer_by_id(json_t *client, const json_t *id)
{
	char key[24];

	snprintf(key, sizeof key, "%lld", (long long)json_integer_value(id));
	return json_object_get(json_object_get(client, "Peers"), key);
}

#define TIME_NEVER "0001-01-01T00:00:00Z"

/* A patch with a disco key, "offline" and no newer LastSeen is taken for a late one (clients from v1.98 on). */
static bool looks_late(const json_t *peer, const json_t *patch)
{
	const char *seen = json_string_value(json_object_get(patch, "LastSeen"));
	const char *had = json_string_value(json_object_get(peer, "LastSeen"));

	return json_object_get(patch, "DiscoKey") && json_is_false(json_object_get(patch, "Online")) &&
	       (!seen || (had && strcmp(seen, had) <= 0));
}

static bool is_zero_key(const json_t *v)
{
	const char *s = json_string_value(v);

	return s && strncmp(s, "discokey:", 9) == 0 && strspn(s + 9, "0") == strlen(s + 9);
}

static const char *apply_patch(json_t *client, const json_t *patch)
{
	json_t *p = peer_by_id(client, json_object_get(patch, "NodeID"));
	const char *key;
	json_t *v;

	if (!p || looks_late(p, patch))
		return NULL; /* unknown ids are ignored */
	json_object_foreach ((json_t *)(uintptr_t)patch, key, v) {
		const char *field = key;

		if (strcmp(key, "NodeID") == 0)
			continue;
		if (strcmp(key, "DERPRegion") == 0) {
			if (json_integer_value(v) == 0)
				return "DERPRegion 0 says nothing";
			field = "HomeDERP";
		}
		if (json_is_null(v) || is_zero_key(v) || (json_is_object(v) && !json_object_size(v)) || (json_is_string(v) && strcmp(json_string_value(v), TIME_NEVER) == 0))
			json_object_del(p, field);
		else
			json_object_set(p, field, v);
	}
	return NULL;
}

static bool same(const json_t *a, const json_t *b, const char *field)
{
	json_t *x = json_object_get(a, field), *y = json_object_get(b, field);

	return x && y ? json_equal(x, y) : !x && !y;
}

/* What a client makes of a PeersChanged entry for a peer that it has (control.md 6.6): the difference as a patch. NULL: the
 * entry cannot be told as a patch and replaces the peer. Owned. */
static json_t *entry_as_patch(const json_t *had, const json_t *node)
{
	static const char *const fixed[] = { "StableID", "Name", "User", "Machine", "Addresses", "AllowedIPs", "Hostinfo", "Created",
		"Tags", "PrimaryRoutes", "MachineAuthorized", "Expired" };
	static const char *const told_only[] = { "Online", "LastSeen" }; /* a change from or to "absent" is not seen */
	json_t *patch, *v;

	for (size_t i = 0; i < sizeof fixed / sizeof fixed[0]; i++)
		if (!same(had, node, fixed[i]))
			return NULL;
	patch = json_object();
	put(patch, "NodeID", json_incref(json_object_get(node, "ID")));
	if (!same(had, node, "Key"))
		put(patch, "Key", json_incref(json_object_get(node, "Key")));
	if (!same(had, node, "KeyExpiry"))
		put(patch, "KeyExpiry", (v = json_object_get(node, "KeyExpiry")) ? json_incref(v) : json_string(TIME_NEVER));
	if (!same(had, node, "KeySignature") && (v = json_object_get(node, "KeySignature")))
		put(patch, "KeySignature", json_incref(v));
	if (!same(had, node, "DiscoKey"))
		put(patch, "DiscoKey", (v = json_object_get(node, "DiscoKey")) ? json_incref(v) : json_null());
	if (!same(had, node, "Endpoints") && (v = json_object_get(node, "Endpoints")))
		put(patch, "Endpoints", json_incref(v));
	if (!same(had, node, "HomeDERP") && json_integer_value(json_object_get(node, "HomeDERP")))
		put(patch, "DERPRegion", json_incref(json_object_get(node, "HomeDERP")));
	if (!same(had, node, "Cap") && json_integer_value(json_object_get(node, "Cap")))
		put(patch, "Cap", json_incref(json_object_get(node, "Cap")));
	if (!same(had, node, "CapMap"))
		put(patch, "CapMap", (v = json_object_get(node, "CapMap")) ? json_incref(v) : json_object());
	for (size_t i = 0; i < sizeof told_only / sizeof told_only[0]; i++)
		if (json_object_get(had, told_only[i]) && (v = json_object_get(node, told_only[i])) && !same(had, node, told_only[i]))
			put(patch, told_only[i], json_incref(v));
	return patch;
}

static const char *upsert(json_t *client, json_t *node)
{
	json_t *had = peer_by_id(client, json_object_get(node, "ID"));

	if (had && !json_object_get(node, "Endpoints"))
		return "absent Endpoints in PeersChanged are lost";
	if (!json_object_get(node, "Online"))
		return "a peer without Online is shown as offline for good";
	put_id(json_object_get(client, "Peers"), json_integer_value(json_object_get(node, "ID")), json_deep_copy(node));
	return NULL;
}

/* Entries are turned into patches before anything of the message is applied, and these come after its own patches. */
static const char *apply_changes(json_t *client, const json_t *msg)
{
	json_t *whole = json_array(), *patches = json_array(), *v;
	const char *bad = NULL;
	size_t i;

	json_array_extend(patches, json_object_get(msg, "PeersChangedPatch"));
	json_array_foreach (json_object_get(msg, "PeersChanged"), i, v) {
		json_t *had = peer_by_id(client, json_object_get(v, "ID")), *patch = had ? entry_as_patch(had, v) : NULL;

		if (patch)
			json_array_append_new(patches, patch);
		else
			json_array_append(whole, v);
	}
	json_array_foreach (json_object_get(msg, "PeersRemoved"), i, v) {
		char key[24];

		snprintf(key, sizeof key, "%lld", (long long)json_integer_value(v));
		json_object_del(json_object_get(client, "Peers"), key);
	}
	json_array_foreach (whole, i, v)
		bad = bad ? bad : upsert(client, v);
	json_array_foreach (patches, i, v)
		bad = bad ? bad : apply_patch(client, v);
	json_decref(whole);
	json_decref(patches);
	return bad;
}

static void apply_named(json_t *client, const char *field, const json_t *msg)
{
	const char *key;
	json_t *v;

	if (json_is_null(json_object_get(json_object_get(msg, field), "*")))
		json_object_clear(json_object_get(client, field));
	json_object_foreach (json_object_get(msg, field), key, v) {
		if (json_is_null(v))
			json_object_del(json_object_get(client, field), key);
		else
			json_object_set(json_object_get(client, field), key, v);
	}
}

static void apply_rest(json_t *client, const json_t *msg)
{
	static const char *const whole[] = { "Node", "DERPMap", "DNSConfig", "Domain", "SSHPolicy", "Debug", "CollectServices", "Health", "TKAInfo" };
	size_t i;
	json_t *u;

	for (size_t k = 0; k < sizeof whole / sizeof whole[0]; k++)
		if (json_object_get(msg, whole[k]))
			json_object_set(client, whole[k], json_object_get(msg, whole[k]));
	apply_named(client, "PacketFilters", msg);
	apply_named(client, "DisplayMessages", msg);
	json_array_foreach (json_object_get(msg, "UserProfiles"), i, u)
		put_id(json_object_get(client, "UserProfiles"), json_integer_value(json_object_get(u, "ID")), json_incref(u));
}

bool naive_client_apply(json_t *client, const json_t *msg, const char **why)
{
	json_t *list = json_object_get(msg, "Peers"), *v;
	const char *bad = NULL;
	size_t i;

	if (!json_object_get(client, "Node") && !json_object_get(msg, "Node"))
		bad = "the first message lacks Node";
	if (json_array_size(list)) {
		json_object_clear(json_object_get(client, "Peers"));
		json_array_foreach (list, i, v)
			bad = bad ? bad : upsert(client, v);
	} else if (!bad) {
		bad = apply_changes(client, msg);
	}
	apply_rest(client, msg);
	*why = bad;
	return !bad;
}

json_t *naive_msg_json(struct map_msg *m)
{
	struct buf b = buf_make(1u << 30);
	uint8_t head[4];
	size_t payload;
	json_t *v = NULL;

	if (map_msg_head(m, false, head, &payload) == OK) {
		for (size_t i = 0; map_msg_piece(m, false, i).n; i++)
			buf_append(&b, map_msg_piece(m, false, i));
		v = json_loadb((const char *)buf_view(&b).p, buf_len(&b), JSON_REJECT_DUPLICATES, NULL);
	}
	buf_done(&b);
	return v;
}
