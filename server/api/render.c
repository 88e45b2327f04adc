#include "server/api/render.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/base/clock.h"

void render_id(struct jsonw *w, int64_t id)
{
	char text[24];

	snprintf(text, sizeof text, "%lld", (long long)id);
	jsonw_str(w, text);
}

void render_time(struct jsonw *w, int64_t wall_ms)
{
	if (wall_ms)
		jsonw_time(w, wall_ms);
	else
		jsonw_null(w);
}

void render_user(struct jsonw *w, const struct user_row *u)
{
	jsonw_obj(w);
	jsonw_key(w, "id"), render_id(w, u->id);
	jsonw_key(w, "name"), jsonw_str(w, u->name && u->name[0] ? u->name : u->email);
	/* The user of tagged nodes was never made: Go's zero time, for clients that take no null here. */
	jsonw_key(w, "createdAt"), jsonw_time(w, u->created_ms ? u->created_ms : TIME_ZERO_MS);
	jsonw_key(w, "displayName"), jsonw_str(w, u->display_name);
	jsonw_key(w, "email"), jsonw_str(w, u->email);
	jsonw_key(w, "providerId"), jsonw_str(w, u->provider_id);
	jsonw_key(w, "provider"), jsonw_str(w, u->provider);
	jsonw_key(w, "profilePicUrl"), jsonw_str(w, u->picture_url);
	jsonw_key(w, "role"), jsonw_str(w, user_role_text(u->role));
	jsonw_key(w, "status"), jsonw_str(w, u->suspended_ms ? "suspended" : u->waits_ms ? "waiting" : "active");
	jsonw_obj_end(w);
}

static void render_texts(struct jsonw *w, char *const *texts, size_t n)
{
	jsonw_arr(w);
	for (size_t i = 0; i < n; i++)
		jsonw_str(w, texts[i]);
	jsonw_arr_end(w);
}

static void render_prefixes(struct jsonw *w, const struct prefix *p, size_t n)
{
	char text[PREFIX_TEXT_MAX];

	jsonw_arr(w);
	for (size_t i = 0; i < n; i++)
		jsonw_str(w, prefix_text(p[i], text));
	jsonw_arr_end(w);
}

static void render_addresses(struct jsonw *w, const struct node_row *n)
{
	char text[ADDR_TEXT_MAX];

	jsonw_arr(w);
	if (n->v4.family)
		jsonw_str(w, addr_text(n->v4, text));
	if (n->v6.family)
		jsonw_str(w, addr_text(n->v6, text));
	jsonw_arr_end(w);
}

static const char *method_text(enum register_method m)
{
	switch (m) {
	case REGISTER_UNSPECIFIED:
		break;
	case REGISTER_AUTH_KEY:
		return "REGISTER_METHOD_AUTH_KEY";
	case REGISTER_CLI:
		return "REGISTER_METHOD_CLI";
	case REGISTER_OIDC:
		return "REGISTER_METHOD_OIDC";
	}
	return "REGISTER_METHOD_UNSPECIFIED";
}

void render_node(struct jsonw *w, const struct node_info *n)
{
	const struct node_row *row = &n->row;
	char text[KEY_TEXT_MAX];

	jsonw_obj(w);
	jsonw_key(w, "id"), render_id(w, row->id);
	jsonw_key(w, "machineKey"), jsonw_str(w, machine_pub_text(&row->machine, text));
	jsonw_key(w, "nodeKey"), jsonw_str(w, node_pub_text(&row->key, text));
	jsonw_key(w, "discoKey"), jsonw_str(w, disco_pub_text(&row->disco, text));
	jsonw_key(w, "ipAddresses"), render_addresses(w, row);
	jsonw_key(w, "name"), jsonw_str(w, row->hostname);
	jsonw_key(w, "user"), render_user(w, &n->user);
	jsonw_key(w, "lastSeen"), render_time(w, row->last_seen_ms); /* as last written: not the time of asking */
	jsonw_key(w, "expiry"), render_time(w, row->expires_ms);
	jsonw_key(w, "preAuthKey");
	if (n->authkey.id)
		render_authkey(w, &n->authkey, row->user_id ? &n->user : NULL, NULL);
	else
		jsonw_null(w);
	jsonw_key(w, "createdAt"), render_time(w, row->created_ms);
	jsonw_key(w, "registerMethod"), jsonw_str(w, method_text(row->method));
	jsonw_key(w, "givenName"), jsonw_str(w, row->given_name);
	jsonw_key(w, "online"), jsonw_bool(w, n->online);
	jsonw_key(w, "approvedRoutes"), render_prefixes(w, row->approved_routes, row->n_approved);
	jsonw_key(w, "availableRoutes"), render_prefixes(w, n->announced, n->n_announced);
	jsonw_key(w, "subnetRoutes"), render_prefixes(w, n->serving, n->n_serving);
	jsonw_key(w, "tags"), render_texts(w, row->tags, row->n_tags);
	jsonw_key(w, "forcedTags"), render_texts(w, row->tags, row->n_tags);
	jsonw_key(w, "validTags"), render_texts(w, NULL, 0);
	jsonw_key(w, "invalidTags"), render_texts(w, NULL, 0);
	jsonw_key(w, "expired"), jsonw_bool(w, n->expired);
	jsonw_key(w, "ephemeral"), jsonw_bool(w, row->ephemeral);
	jsonw_key(w, "approved"), jsonw_bool(w, n->approved);
	jsonw_key(w, "os"), jsonw_str(w, n->os);
	jsonw_key(w, "clientVersion"), jsonw_str(w, n->client_version);
	jsonw_obj_end(w);
}

void render_authkey(struct jsonw *w, const struct authkey_row *k, const struct user_row *owner, const char *secret)
{
	char masked[64];

	snprintf(masked, sizeof masked, "hskey-auth-%s-***", k->prefix);
	jsonw_obj(w);
	jsonw_key(w, "user");
	if (owner && owner->id)
		render_user(w, owner);
	else
		jsonw_null(w);
	jsonw_key(w, "id"), render_id(w, k->id);
	jsonw_key(w, "key"), jsonw_str(w, secret ? secret : masked);
	jsonw_key(w, "reusable"), jsonw_bool(w, k->reusable);
	jsonw_key(w, "ephemeral"), jsonw_bool(w, k->ephemeral);
	jsonw_key(w, "preauthorized"), jsonw_bool(w, k->preauthorized);
	jsonw_key(w, "used"), jsonw_bool(w, k->used);
	/* A revoked key ended then, if not before. */
	int64_t ends = k->revoked_ms && (!k->expires_ms || k->revoked_ms < k->expires_ms) ? k->revoked_ms : k->expires_ms;
	jsonw_key(w, "expiration"), render_time(w, ends);
	jsonw_key(w, "createdAt"), render_time(w, k->created_ms);
	jsonw_key(w, "aclTags"), render_texts(w, k->tags, k->n_tags);
	jsonw_key(w, "description"), jsonw_str(w, k->description);
	jsonw_obj_end(w);
}

/* The prefix is a literal leading part of the key: tools find their own key by it. */
void render_apikey(struct jsonw *w, const struct apikey_row *k)
{
	char prefix[64];

	snprintf(prefix, sizeof prefix, "hskey-api-%s", k->prefix);
	jsonw_obj(w);
	jsonw_key(w, "id"), render_id(w, k->id);
	jsonw_key(w, "prefix"), jsonw_str(w, prefix);
	int64_t ends = k->revoked_ms && (!k->expires_ms || k->revoked_ms < k->expires_ms) ? k->revoked_ms : k->expires_ms;
	jsonw_key(w, "expiration"), render_time(w, ends);
	jsonw_key(w, "createdAt"), render_time(w, k->created_ms);
	jsonw_key(w, "lastSeen"), render_time(w, k->last_seen_ms);
	jsonw_key(w, "scopes"), jsonw_str(w, k->scopes);
	jsonw_key(w, "user");
	if (k->user_id)
		render_id(w, k->user_id);
	else
		jsonw_null(w);
	jsonw_key(w, "description"), jsonw_str(w, k->description);
	jsonw_obj_end(w);
}

void render_pending(struct jsonw *w, const struct pending_row *p, bool with_id)
{
	char text[KEY_TEXT_MAX];

	jsonw_obj(w);
	jsonw_key(w, "kind"), jsonw_str(w, "device");
	if (with_id)
		jsonw_key(w, "authId"), jsonw_str(w, p->auth_id);
	jsonw_key(w, "hostname"), jsonw_str(w, p->hostname);
	jsonw_key(w, "os"), jsonw_str(w, p->os);
	jsonw_key(w, "machineKey"), jsonw_str(w, machine_pub_text(&p->machine, text));
	jsonw_key(w, "nodeKey"), jsonw_str(w, node_pub_text(&p->key, text));
	jsonw_key(w, "requestTags"), render_texts(w, p->request_tags, p->n_request_tags);
	jsonw_key(w, "ephemeral"), jsonw_bool(w, p->ephemeral);
	jsonw_key(w, "createdAt"), render_time(w, p->created_ms);
	jsonw_key(w, "expiration"), render_time(w, p->expires_ms);
	jsonw_obj_end(w);
}

void render_ssh_check(struct jsonw *w, const struct ssh_check_info *k, bool with_id)
{
	jsonw_obj(w);
	jsonw_key(w, "kind"), jsonw_str(w, "ssh");
	if (with_id)
		jsonw_key(w, "authId"), jsonw_str(w, k->auth_id);
	jsonw_key(w, "hostname"), jsonw_str(w, k->src_name);
	jsonw_key(w, "user"), jsonw_str(w, k->src_user);
	jsonw_key(w, "sourceId"), render_id(w, k->src_id);
	jsonw_key(w, "destinationId"), render_id(w, k->dst_id);
	jsonw_key(w, "destination"), jsonw_str(w, k->dst_name);
	jsonw_key(w, "localUser"), jsonw_str(w, k->local_user);
	jsonw_key(w, "createdAt"), render_time(w, k->created_ms);
	jsonw_key(w, "expiration"), render_time(w, k->expires_ms);
	jsonw_obj_end(w);
}

static bool has_prefix(const struct prefix *list, size_t n, struct prefix p)
{
	for (size_t i = 0; i < n; i++) {
		if (prefix_cmp(list[i], p) == 0)
			return true;
	}
	return false;
}

static int by_prefix(const void *a, const void *b)
{
	const struct legacy_route *x = a, *y = b;

	return prefix_cmp(x->prefix, y->prefix);
}

size_t legacy_routes(const struct node_info *n, struct legacy_route *out, size_t cap)
{
	size_t count = 0;

	for (size_t i = 0; i < n->n_announced + n->row.n_approved && count < cap; i++) {
		bool announced = i < n->n_announced;
		struct prefix p = announced ? n->announced[i] : n->row.approved_routes[i - n->n_announced];
		if (!announced && has_prefix(n->announced, n->n_announced, p))
			continue;
		out[count++] = (struct legacy_route){ .prefix = p, .advertised = announced,
						      .enabled = has_prefix(n->row.approved_routes, n->row.n_approved, p),
						      .primary = has_prefix(n->serving, n->n_serving, p) };
	}
	qsort(out, count, sizeof *out, by_prefix);
	return count;
}

void render_legacy_route(struct jsonw *w, const struct node_info *n, size_t index, const struct legacy_route *route)
{
	char text[PREFIX_TEXT_MAX];

	jsonw_obj(w);
	jsonw_key(w, "id"), render_id(w, n->row.id * 65536 + (int64_t)index);
	jsonw_key(w, "node"), render_node(w, n);
	jsonw_key(w, "prefix"), jsonw_str(w, prefix_text(route->prefix, text));
	jsonw_key(w, "advertised"), jsonw_bool(w, route->advertised);
	jsonw_key(w, "enabled"), jsonw_bool(w, route->enabled);
	jsonw_key(w, "isPrimary"), jsonw_bool(w, route->primary);
	jsonw_key(w, "createdAt"), render_time(w, n->row.created_ms);
	jsonw_key(w, "updatedAt"), render_time(w, n->row.created_ms);
	jsonw_key(w, "deletedAt"), jsonw_null(w);
	jsonw_obj_end(w);
}
