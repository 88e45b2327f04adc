#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "server/api/console.h"
#include "server/api/handlers.h"
#include "server/api/render.h"

/* Auth keys, API keys and OAuth clients on one page. A secret is in the answer to its making, and nowhere else. */

#define KEY_DEFAULT_MS (90LL * 24 * 3600 * 1000)
#define KEY_LONGEST_MS (10LL * 365 * 24 * 3600 * 1000)

/* ---- how they look ---- */

static const char *state_of(int64_t revoked_ms, int64_t expires_ms, bool used_up)
{
	if (revoked_ms)
		return "revoked";
	if (expires_ms && expires_ms <= clock_wall_ms())
		return "expired";
	return used_up ? "used" : "active";
}

static void put_user(struct jsonw *w, int64_t id)
{
	jsonw_key(w, "user");
	if (id)
		render_id(w, id);
	else
		jsonw_str(w, "");
}

static void put_texts(struct jsonw *w, char *const *list, size_t n)
{
	jsonw_arr(w);
	for (size_t i = 0; i < n; i++)
		jsonw_str(w, list[i]);
	jsonw_arr_end(w);
}

/* Who came with which auth key; sorted by key. */
struct arrival {
	int64_t key, at_ms;
};
struct arrivals {
	struct jsonw w;
	struct arrival *list;
	size_t n;
};

static int by_key(const void *a, const void *b)
{
	const struct arrival *x = a, *y = b;

	return (x->key > y->key) - (x->key < y->key);
}

static void put_arrivals(struct jsonw *w, const struct arrivals *all, int64_t key)
{
	size_t lo = 0, hi = all->n, n = 0;
	int64_t last = 0;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;
		if (all->list[mid].key < key)
			lo = mid + 1;
		else
			hi = mid;
	}
	for (; lo < all->n && all->list[lo].key == key; lo++, n++)
		last = all->list[lo].at_ms > last ? all->list[lo].at_ms : last;
	jsonw_key(w, "machines"), jsonw_uint(w, n);
	jsonw_key(w, "lastUsedMs"), jsonw_int(w, last);
}

static void put_authkey(struct jsonw *w, const struct authkey_row *k, const struct arrivals *all)
{
	jsonw_obj(w);
	jsonw_key(w, "id"), render_id(w, k->id);
	jsonw_key(w, "prefix"), jsonw_str(w, k->prefix);
	jsonw_key(w, "description"), jsonw_str(w, k->description);
	put_user(w, k->user_id);
	jsonw_key(w, "tags"), put_texts(w, k->tags, k->n_tags);
	jsonw_key(w, "reusable"), jsonw_bool(w, k->reusable);
	jsonw_key(w, "ephemeral"), jsonw_bool(w, k->ephemeral);
	jsonw_key(w, "preauthorized"), jsonw_bool(w, k->preauthorized);
	jsonw_key(w, "used"), jsonw_bool(w, k->used);
	jsonw_key(w, "state"), jsonw_str(w, state_of(k->revoked_ms, k->expires_ms, k->used && !k->reusable));
	jsonw_key(w, "createdMs"), jsonw_int(w, k->created_ms);
	jsonw_key(w, "expiresMs"), jsonw_int(w, k->expires_ms);
	jsonw_key(w, "revokedMs"), jsonw_int(w, k->revoked_ms);
	if (all)
		put_arrivals(w, all, k->id);
	jsonw_obj_end(w);
}

static void put_scopes(struct jsonw *w, const char *scopes)
{
	struct bytes rest = bytes_str(scopes ? scopes : "");

	jsonw_key(w, "scopes"), jsonw_arr(w);
	while (rest.n) {
		struct bytes word = bytes_cut(rest, ' ', &rest);
		if (word.n)
			jsonw_bytes(w, word);
	}
	jsonw_arr_end(w);
}

static void put_apikey(struct jsonw *w, const struct apikey_row *k)
{
	jsonw_obj(w);
	jsonw_key(w, "id"), render_id(w, k->id);
	jsonw_key(w, "prefix"), jsonw_str(w, k->prefix);
	jsonw_key(w, "description"), jsonw_str(w, k->description);
	put_user(w, k->user_id);
	put_scopes(w, k->scopes);
	jsonw_key(w, "tags"), put_texts(w, k->tags, k->n_tags);
	if (apikey_is_federated(k))
		jsonw_key(w, "issuer"), jsonw_str(w, k->issuer);
	jsonw_key(w, "state"), jsonw_str(w, state_of(k->revoked_ms, k->expires_ms, false));
	jsonw_key(w, "createdMs"), jsonw_int(w, k->created_ms);
	jsonw_key(w, "expiresMs"), jsonw_int(w, k->expires_ms);
	jsonw_key(w, "seenMs"), jsonw_int(w, k->last_seen_ms);
	jsonw_key(w, "revokedMs"), jsonw_int(w, k->revoked_ms);
	jsonw_obj_end(w);
}

/* ---- the list: kinds that the caller may not read are not there ---- */

/* Federated identities stand among the OAuth clients, for who may read them. */
static void put_apikeys(struct jsonw *w, const struct reply *reply, enum apikey_kind kind, bool federated_too)
{
	jsonw_arr(w);
	for (size_t i = 0; i < reply->n_apikeys; i++)
		if (reply->apikeys[i].kind == kind && (federated_too || !apikey_is_federated(&reply->apikeys[i])))
			put_apikey(w, &reply->apikeys[i]);
	jsonw_arr_end(w);
}

static enum MHD_Result on_apikeys(struct request *r, const struct reply *reply)
{
	struct jsonw *w = &((struct arrivals *)r->keep)->w;

	FAIL_ON(r, reply);
	if (console_may_read(r, SCOPE_API_TOKENS))
		jsonw_key(w, "api"), put_apikeys(w, reply, APIKEY_KEY, false);
	if (console_may_read(r, SCOPE_OAUTH_KEYS))
		jsonw_key(w, "oauth"), put_apikeys(w, reply, APIKEY_CLIENT, console_may_read(r, SCOPE_FEDERATED_KEYS));
	jsonw_obj_end(w);
	console_finish(r);
	return console_answer_made(r);
}

static enum MHD_Result on_authkeys(struct request *r, const struct reply *reply)
{
	struct arrivals *all = r->keep;
	struct jsonw *w = &all->w;

	FAIL_ON(r, reply);
	*w = answer_begin(&r->made);
	if (console_may_read(r, SCOPE_AUTH_KEYS)) {
		jsonw_key(w, "auth"), jsonw_arr(w);
		for (size_t i = 0; i < reply->n_authkeys; i++)
			put_authkey(w, &reply->authkeys[i], console_may_read(r, SCOPE_DEVICES_CORE) ? all : NULL);
		jsonw_arr_end(w);
	}
	return ask(r, command_for(r, CMD_APIKEY_LIST), on_apikeys);
}

static enum MHD_Result on_key_nodes(struct request *r, const struct reply *reply)
{
	struct arrivals *all = r->keep;

	FAIL_ON(r, reply);
	all->list = arena_array(&r->arena, reply->n_nodes ? reply->n_nodes : 1, sizeof *all->list);
	if (!all->list)
		return answer_error(r, 500, "out of memory");
	for (size_t i = 0; i < reply->n_nodes; i++)
		if (reply->nodes[i]->row.authkey_id)
			all->list[all->n++] = (struct arrival){ reply->nodes[i]->row.authkey_id, reply->nodes[i]->row.created_ms };
	if (all->n)
		qsort(all->list, all->n, sizeof *all->list, by_key);
	return ask(r, command_for(r, CMD_AUTHKEY_LIST), on_authkeys);
}

enum MHD_Result console_keys(struct request *r)
{
	r->keep = arena_alloc(&r->arena, sizeof(struct arrivals));
	if (!r->keep)
		return answer_error(r, 500, "out of memory");
	return console_may_read(r, SCOPE_AUTH_KEYS) && console_may_read(r, SCOPE_DEVICES_CORE) ? ask(r, command_for(r, CMD_NODE_LIST), on_key_nodes) :
			ask(r, command_for(r, CMD_AUTHKEY_LIST), on_authkeys);
}

/* ---- making ---- */

/* "90d"; "never" or "0": 0. */
static int64_t lifetime(struct request *r)
{
	const char *text = body_text(r, "expires");
	int64_t ms = KEY_DEFAULT_MS;

	if (!text || !text[0])
		return ms;
	if (strcmp(text, "never") == 0)
		return 0;
	if ((duration_parse(bytes_str(text), &ms) != OK || ms < 60000 || ms > KEY_LONGEST_MS) && !r->fault)
		r->fault = "expires: a time from 1m to 10 years such as 90d, or never";
	return ms;
}

static const char *const *take_tags(struct request *r, struct command *c, size_t *n)
{
	bool given;
	const char **tags = body_texts(r, "tags", n, &given), **list = arena_array(&c->arena, *n + 1, sizeof *list);

	for (size_t i = 0; list && tags && i < *n; i++)
		list[i] = command_str(c, tags[i]);
	if (!list || !tags)
		*n = 0;
	return list;
}

/* Words with spaces between, of a list. */
static const char *take_scopes(struct request *r, struct command *c)
{
	bool given;
	size_t n;
	const char **words = body_texts(r, "scopes", &n, &given), *all = "";

	for (size_t i = 0; words && i < n && all; i++)
		all = arena_printf(&c->arena, "%s%s%s", all, i ? " " : "", words[i]);
	if (!r->fault && (!given || !n))
		r->fault = "scopes: what may it do?";
	return all;
}

static enum MHD_Result on_made(struct request *r, const struct reply *reply)
{
	FAIL_ON(r, reply);
	struct buf out;
	struct jsonw w = console_begin(&out);

	jsonw_key(&w, "key");
	if (reply->n_authkeys)
		put_authkey(&w, &reply->authkeys[0], NULL);
	else
		put_apikey(&w, &reply->apikeys[0]);
	jsonw_key(&w, "secret"), jsonw_str(&w, reply->secret);
	return console_end(r, &w, &out);
}

/* Whose it is when the body says nobody: the caller's. */
static const char *own_id(struct request *r)
{
	int64_t id = r->by_cookie ? r->signin_user : r->key_user;

	return id ? arena_printf(&r->arena, "%lld", (long long)id) : "";
}

/* {"description", "user", "tags", "reusable", "ephemeral", "preauthorized", "expires"}: of a user, or of tags */
enum MHD_Result console_key_auth(struct request *r)
{
	struct command *c = command_for(r, CMD_AUTHKEY_CREATE);
	const char *user = body_id(r, "user");
	int64_t ms = lifetime(r);

	if (c) {
		c->description = command_str(c, body_text(r, "description"));
		c->tags = take_tags(r, c, &c->n_tags);
		c->user = command_str(c, user && user[0] ? user : c->n_tags ? "" : own_id(r));
		c->reusable = body_bool(r, "reusable");
		c->ephemeral = body_bool(r, "ephemeral");
		c->preauthorized = body_bool(r, "preauthorized");
		c->expires_in_ms = ms;
	}
	return ask(r, c, on_made);
}

/* {"description", "scopes", "expires"} */
enum MHD_Result console_key_api(struct request *r)
{
	struct command *c = command_for(r, CMD_APIKEY_CREATE);
	int64_t ms = lifetime(r);

	if (c) {
		c->description = command_str(c, body_text(r, "description"));
		c->scopes = take_scopes(r, c);
		c->user = command_str(c, own_id(r));
		c->expires_ms = ms ? clock_wall_ms() + ms : 0;
	}
	return ask(r, c, on_made);
}

/* {"description", "scopes", "tags"} */
enum MHD_Result console_key_oauth(struct request *r)
{
	struct command *c = command_for(r, CMD_APIKEY_CREATE);

	if (c) {
		c->description = command_str(c, body_text(r, "description"));
		c->scopes = take_scopes(r, c);
		c->tags = take_tags(r, c, &c->n_tags);
		c->user = command_str(c, own_id(r));
		c->oauth_client = true;
	}
	return ask(r, c, on_made);
}

/* ---- ending: it stays listed as revoked; ?forget=true takes it off the list ---- */

static enum MHD_Result end(struct request *r, enum command_kind revoke, enum command_kind forget)
{
	struct command *c = command_for(r, strcmp(query(r, "forget"), "true") == 0 ? forget : revoke);

	if (c)
		c->id = parse_id(r, r->param[0], "key");
	return ask(r, c, on_done);
}

enum MHD_Result console_key_auth_end(struct request *r)
{
	return end(r, CMD_AUTHKEY_EXPIRE, CMD_AUTHKEY_DELETE);
}

struct ending {
	enum apikey_kind kind;
	int64_t id;
};

/* By /keys/api one ends API keys, by /keys/oauth OAuth clients: the right to one is none to the other. */
static enum MHD_Result on_looked(struct request *r, const struct reply *reply)
{
	const struct ending *e = r->keep;

	FAIL_ON(r, reply);
	for (size_t i = 0; i < reply->n_apikeys; i++)
		if (reply->apikeys[i].id == e->id && reply->apikeys[i].kind == e->kind &&
				(!apikey_is_federated(&reply->apikeys[i]) || scope_allows(r->may, SCOPE_WRITE(SCOPE_FEDERATED_KEYS))))
			return end(r, CMD_APIKEY_REVOKE, CMD_APIKEY_DELETE);
	return answer_error(r, 404, "there is no such key");
}

static enum MHD_Result look_and_end(struct request *r, enum apikey_kind kind)
{
	struct ending *e = arena_alloc(&r->arena, sizeof *e);

	if (!e)
		return answer_error(r, 500, "out of memory");
	*e = (struct ending){ kind, parse_id(r, r->param[0], "key") };
	r->keep = e;
	return ask(r, command_for(r, CMD_APIKEY_LIST), on_looked);
}

enum MHD_Result console_key_api_end(struct request *r)
{
	return look_and_end(r, APIKEY_KEY);
}

enum MHD_Result console_key_oauth_end(struct request *r)
{
	return look_and_end(r, APIKEY_CLIENT);
}
