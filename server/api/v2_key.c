#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/cleanup.h"
#include "common/base/clock.h"
#include "common/text/base64.h"
#include "common/text/json.h"
#include "server/api/v2.h"

enum { DESCRIPTION_MAX = 50 };
#define DAYS_90_S (90LL * 24 * 3600)
#define SECONDS_MAX (10LL * 365 * 24 * 3600)

/* ---- what keys look like ---- */

static void texts(struct jsonw *w, char *const *list, size_t n)
{
	jsonw_arr(w);
	for (size_t i = 0; i < n; i++)
		jsonw_str(w, list[i]);
	jsonw_arr_end(w);
}

static bool is_over(int64_t expires_ms)
{
	return expires_ms && expires_ms <= clock_wall_ms();
}

static void user_id(struct jsonw *w, int64_t id)
{
	jsonw_key(w, "userId");
	if (id)
		render_id(w, id);
	else
		jsonw_str(w, "admin"); /* made on the server itself */
}

/* In whole seconds, so that expires is created + expirySeconds exactly. */
static void lifetime(struct jsonw *w, int64_t created_ms, int64_t expires_ms)
{
	jsonw_key(w, "created"), jsonw_time(w, created_ms);
	if (!expires_ms)
		return;
	jsonw_key(w, "expirySeconds"), jsonw_int(w, (expires_ms - created_ms) / SECOND_MS);
	jsonw_key(w, "expires"), jsonw_time(w, expires_ms);
}

static void render_authkey_v2(struct jsonw *w, const struct authkey_row *k, const char *secret)
{
	jsonw_obj(w);
	jsonw_key(w, "id"), render_id(w, k->id);
	jsonw_key(w, "keyType"), jsonw_str(w, "auth");
	jsonw_key(w, "description"), jsonw_str(w, k->description);
	if (secret)
		jsonw_key(w, "key"), jsonw_str(w, secret);
	lifetime(w, k->created_ms, k->expires_ms);
	if (k->revoked_ms)
		jsonw_key(w, "revoked"), jsonw_time(w, k->revoked_ms);
	jsonw_key(w, "invalid"), jsonw_bool(w, k->revoked_ms || is_over(k->expires_ms) || (k->used && !k->reusable));
	user_id(w, k->user_id);
	jsonw_key(w, "capabilities"), jsonw_obj(w);
	jsonw_key(w, "devices"), jsonw_obj(w);
	jsonw_key(w, "create"), jsonw_obj(w);
	jsonw_key(w, "reusable"), jsonw_bool(w, k->reusable);
	jsonw_key(w, "ephemeral"), jsonw_bool(w, k->ephemeral);
	jsonw_key(w, "preauthorized"), jsonw_bool(w, k->preauthorized);
	jsonw_key(w, "tags"), texts(w, k->tags, k->n_tags);
	jsonw_obj_end(w), jsonw_obj_end(w), jsonw_obj_end(w);
	jsonw_obj_end(w);
}

static void scopes_list(struct jsonw *w, const char *scopes)
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

static void render_apikey_v2(struct jsonw *w, const struct apikey_row *k, const char *secret)
{
	bool client = k->kind == APIKEY_CLIENT, federated = apikey_is_federated(k);

	jsonw_obj(w);
	jsonw_key(w, "id"), render_id(w, k->id);
	jsonw_key(w, "keyType"), jsonw_str(w, federated ? "federated" : client ? "client" : "api");
	jsonw_key(w, "description"), jsonw_str(w, k->description);
	if (secret)
		jsonw_key(w, "key"), jsonw_str(w, secret);
	if (client) {
		jsonw_key(w, "created"), jsonw_time(w, k->created_ms);
		jsonw_key(w, "updated"), jsonw_time(w, k->updated_ms ? k->updated_ms : k->created_ms);
	} else {
		lifetime(w, k->created_ms, k->expires_ms);
	}
	if (k->revoked_ms)
		jsonw_key(w, "revoked"), jsonw_time(w, k->revoked_ms);
	jsonw_key(w, "invalid"), jsonw_bool(w, k->revoked_ms || is_over(k->expires_ms));
	user_id(w, k->user_id);
	scopes_list(w, k->scopes);
	if (k->n_tags)
		jsonw_key(w, "tags"), texts(w, k->tags, k->n_tags);
	if (federated) {
		jsonw_key(w, "issuer"), jsonw_str(w, k->issuer);
		jsonw_key(w, "subject"), jsonw_str(w, k->subject);
		jsonw_key(w, "audience"), jsonw_str(w, k->audience);
		jsonw_key(w, "customClaimRules"), jsonw_raw(w, k->claim_rules && *k->claim_rules ? bytes_str(k->claim_rules) : BYTES_LIT("{}"));
	}
	jsonw_obj_end(w);
}

/* ---- the list, and one ---- */

static enum scope area_of(const struct apikey_row *k)
{
	return apikey_is_federated(k) ? SCOPE_FEDERATED_KEYS : k->kind == APIKEY_CLIENT ? SCOPE_OAUTH_KEYS : SCOPE_API_TOKENS;
}

struct keys { /* asked for in two steps */
	int64_t only; /* 0: all */
	struct buf out;
	struct jsonw w;
	size_t found;
};

static bool may_see(const struct request *r, const struct apikey_row *k)
{
	if (k->kind == APIKEY_TOKEN)
		return false;
	/* A credential may always look at itself; a token's is its client. */
	if (k->id == r->key_id || k->id == r->key_parent)
		return true;
	return scope_allows(r->may, SCOPE_READ(area_of(k)));
}

static enum MHD_Result finish(struct request *r, struct keys *k)
{
	if (!k->only) {
		jsonw_arr_end(&k->w);
		return answer_end(r, &k->w, &k->out);
	}
	if (k->found)
		return answer_json(r, 200, &k->out);
	buf_done(&k->out);
	return answer_error(r, 404, "key not found");
}

static enum MHD_Result on_apikeys(struct request *r, const struct reply *reply)
{
	struct keys *k = r->keep;

	if (reply->e != OK) {
		buf_done(&k->out);
		return answer_fault(r, reply, "");
	}
	for (size_t i = 0; i < reply->n_apikeys; i++) {
		if (!may_see(r, &reply->apikeys[i]) || (k->only && reply->apikeys[i].id != k->only))
			continue;
		render_apikey_v2(&k->w, &reply->apikeys[i], NULL);
		k->found++;
	}
	return finish(r, k);
}

static enum MHD_Result on_authkeys(struct request *r, const struct reply *reply)
{
	struct keys *k = r->keep;

	FAIL_ON(r, reply);
	k->out = buf_make(API_ANSWER_MAX);
	k->w = jsonw_init(&k->out);
	if (!k->only) {
		jsonw_obj(&k->w);
		jsonw_key(&k->w, "keys"), jsonw_arr(&k->w);
	}
	for (size_t i = 0; i < reply->n_authkeys; i++) {
		if (!scope_allows(r->may, SCOPE_READ(SCOPE_AUTH_KEYS)) || (k->only && reply->authkeys[i].id != k->only))
			continue;
		render_authkey_v2(&k->w, &reply->authkeys[i], NULL);
		k->found++;
	}
	struct command *c = command_for(r, CMD_APIKEY_LIST);
	if (!c)
		buf_done(&k->out);
	return ask(r, c, on_apikeys);
}

static enum MHD_Result look(struct request *r, int64_t only)
{
	struct keys *k = arena_alloc(&r->arena, sizeof *k);

	if (!k)
		return answer_error(r, 500, "out of memory");
	k->only = only;
	r->keep = k;
	return ask(r, command_for(r, CMD_AUTHKEY_LIST), on_authkeys);
}

enum MHD_Result api_v2_keys(struct request *r)
{
	return look(r, 0);
}

static int64_t key_id_of(struct request *r)
{
	uint64_t id = 0;

	return bytes_parse_u64(bytes_str(r->param[1]), INT64_MAX, &id) == OK && id ? (int64_t)id : INT64_MAX;
}

enum MHD_Result api_v2_key(struct request *r)
{
	return look(r, key_id_of(r));
}

/* ---- making and changing ---- */

static enum MHD_Result on_authkey(struct request *r, const struct reply *reply)
{
	FAIL_ON(r, reply);
	struct buf out = buf_make(API_ANSWER_MAX);
	struct jsonw w = jsonw_init(&out);
	render_authkey_v2(&w, &reply->authkeys[0], reply->secret);
	return answer_json(r, 200, &out);
}

static enum MHD_Result on_apikey(struct request *r, const struct reply *reply)
{
	FAIL_ON(r, reply);
	struct buf out = buf_make(API_ANSWER_MAX);
	struct jsonw w = jsonw_init(&out);
	render_apikey_v2(&w, &reply->apikeys[0], reply->secret);
	return answer_json(r, 200, &out);
}

static bool is_description(const char *s)
{
	size_t n = 0;

	for (; s && *s; s++, n++)
		if (!((*s >= 'a' && *s <= 'z') || (*s >= 'A' && *s <= 'Z') || (*s >= '0' && *s <= '9') || *s == ' ' || *s == '-'))
			return false;
	return n <= DESCRIPTION_MAX;
}

static const char *description(struct request *r)
{
	const char *text = body_text(r, "description");

	if (!is_description(text) && !r->fault)
		r->fault = "description: at most 50 letters, digits, spaces and hyphens";
	return text;
}

static enum MHD_Result create_authkey(struct request *r)
{
	struct json_why why = { 0 };
	const json_t *body = body_object(r);
	struct json_at root = json_root(body, &why), caps = json_member(&root, "capabilities"), devices = json_member(&caps, "devices"),
		       make = json_member(&devices, "create"), tags = json_member(&make, "tags");
	struct command *c = command_for(r, CMD_AUTHKEY_CREATE);
	size_t n = json_count(&tags, NODE_TAGS_MAX);

	if (!c || !body)
		return ask(r, c, on_authkey);
	c->reusable = json_bool(&make, "reusable", false);
	c->ephemeral = json_bool(&make, "ephemeral", false);
	c->preauthorized = json_bool(&make, "preauthorized", false);
	int64_t seconds = json_int(&root, "expirySeconds", 0, SECONDS_MAX, 0);
	c->expires_in_ms = (seconds ? seconds : DAYS_90_S) * SECOND_MS;
	c->description = command_str(c, description(r));
	const char **list = arena_array(&c->arena, n + 1, sizeof *list);
	for (size_t i = 0; list && i < n; i++) {
		struct json_at item = json_item(&tags, i);
		list[i] = command_str(c, json_to_str(&item, 200));
	}
	c->tags = list;
	c->n_tags = list ? n : 0;
	/* Without tags the devices are the user's whose key asks. */
	if (!n && r->key_user)
		c->user = arena_printf(&c->arena, "%lld", (long long)r->key_user);
	if (why.e != OK && !r->fault)
		r->fault = arena_str(&r->arena, bytes_str(why.text));
	return ask(r, c, on_authkey);
}

static const char *joined(struct request *r, struct command *c, const char *name)
{
	CLEANUP(buf_done) struct buf out = buf_make(4096);
	bool given;
	size_t n;
	const char **list = body_texts(r, name, &n, &given);

	for (size_t i = 0; list && i < n; i++)
		buf_printf(&out, "%s%s", i ? " " : "", list[i]);
	if (!n && !r->fault)
		r->fault = arena_printf(&r->arena, "%s: at least one is needed", name);
	if (out.bad && !r->fault)
		r->fault = arena_printf(&r->arena, "%s: too many", name);
	return arena_str(&c->arena, buf_view(&out));
}

static void fill_client(struct request *r, struct command *c)
{
	bool given;
	size_t n;
	const char **tags = body_texts(r, "tags", &n, &given);

	c->oauth_client = true;
	c->scopes = joined(r, c, "scopes");
	c->description = command_str(c, description(r));
	if (!r->fault) {
		c->tags = v2_copy_texts(r, c, tags, n);
		c->n_tags = n;
	}
}

static void fill_federated(struct request *r, struct command *c)
{
	const char *issuer = body_text(r, "issuer"), *subject = body_text(r, "subject"), *audience = body_text(r, "audience");
	const json_t *rules = json_object_get(body_object(r), "customClaimRules");
	size_t n = 0;

	if ((!issuer || !subject) && !r->fault)
		r->fault = "issuer and subject: whose tokens are taken";
	if (rules && !json_is_null(rules) && !json_is_object(rules) && !r->fault)
		r->fault = "customClaimRules: an object of texts is needed";
	const char *text = json_object_size(rules) ? json_dump_compact(&c->arena, rules, &n) : "";
	if (!text && !r->fault)
		r->fault = "customClaimRules: too long";
	fill_client(r, c);
	c->federated = (struct federation){ .issuer = command_str(c, issuer ? issuer : ""), .subject = command_str(c, subject ? subject : ""),
		.audience = command_str(c, audience ? audience : ""), .claim_rules = text ? text : "" };
}

enum MHD_Result api_v2_key_create(struct request *r)
{
	const char *type = body_text(r, "keyType");
	enum MHD_Result refused;

	if (r->fault)
		return answer_error(r, 400, r->fault);
	if (!type || !*type || strcmp(type, "auth") == 0)
		return may_else_refuse(r, SCOPE_WRITE(SCOPE_AUTH_KEYS), &refused) ? create_authkey(r) : refused;
	bool federated = strcmp(type, "federated") == 0;
	if (!federated && strcmp(type, "client") != 0)
		return answer_error(r, 400, "keyType: auth, client or federated");
	if (!may_else_refuse(r, SCOPE_WRITE(federated ? SCOPE_FEDERATED_KEYS : SCOPE_OAUTH_KEYS), &refused))
		return refused;
	struct command *c = command_for(r, CMD_APIKEY_CREATE);
	if (c)
		(federated ? fill_federated : fill_client)(r, c);
	return ask(r, c, on_apikey);
}

enum MHD_Result api_v2_key_update(struct request *r)
{
	/* The core refuses to make one of the other: so who says which it is, is asked for the right scope. */
	bool federated = json_object_get(body_object(r), "issuer") != NULL;
	struct command *c = v2_command(r, CMD_APIKEY_UPDATE, 1, "key");
	enum MHD_Result refused;

	if (!may_else_refuse(r, SCOPE_WRITE(federated ? SCOPE_FEDERATED_KEYS : SCOPE_OAUTH_KEYS), &refused)) {
		command_free(c);
		return refused;
	}
	if (c)
		(federated ? fill_federated : fill_client)(r, c);
	return ask(r, c, on_apikey);
}

/* ---- the end of one: its kind is known only when it was found ---- */

static enum MHD_Result on_key_to_revoke(struct request *r, const struct reply *reply)
{
	FAIL_ON(r, reply);
	int64_t id = key_id_of(r);
	enum MHD_Result refused;

	for (size_t i = 0; i < reply->n_apikeys; i++) {
		if (reply->apikeys[i].id != id)
			continue;
		if (!may_else_refuse(r, SCOPE_WRITE(area_of(&reply->apikeys[i])), &refused))
			return refused;
		return ask(r, v2_command(r, CMD_APIKEY_REVOKE, 1, "key"), on_done);
	}
	return answer_error(r, 404, "key not found");
}

static enum MHD_Result on_authkey_ended(struct request *r, const struct reply *reply)
{
	if (reply->e == ERR_NOT_FOUND)
		return ask(r, command_for(r, CMD_APIKEY_LIST), on_key_to_revoke);
	FAIL_ON(r, reply);
	return answer_empty(r);
}

enum MHD_Result api_v2_key_delete(struct request *r)
{
	if (!scope_allows(r->may, SCOPE_WRITE(SCOPE_AUTH_KEYS)))
		return ask(r, command_for(r, CMD_APIKEY_LIST), on_key_to_revoke);
	return ask(r, v2_command(r, CMD_AUTHKEY_EXPIRE, 1, "key"), on_authkey_ended);
}

/* ---- POST /api/v2/oauth/token: RFC 6749, client_credentials ---- */

enum MHD_Result v2_oauth_error(struct request *r, unsigned status, const char *error, const char *text)
{
	struct buf out;
	struct jsonw w = answer_begin(&out);

	jsonw_key(&w, "error"), jsonw_str(&w, error);
	jsonw_key(&w, "error_description"), jsonw_str(&w, text);
	jsonw_key(&w, "message"), jsonw_str(&w, text);
	jsonw_obj_end(&w);
	return answer_json(r, status, &out);
}

static enum MHD_Result oauth_refused(struct request *r)
{
	note_wrong_key(r);
	return v2_oauth_error(r, 401, "invalid_client", "this client secret is not valid");
}

static enum MHD_Result on_token(struct request *r, const struct reply *reply)
{
	if (reply->e == ERR_AUTH)
		return oauth_refused(r);
	if (reply->e == ERR_DENIED)
		return v2_oauth_error(r, 400, "invalid_target", reply->message);
	if (reply->e == ERR_INVALID)
		return v2_oauth_error(r, 400, "invalid_scope", reply->message);
	if (reply->e != OK)
		return v2_oauth_error(r, 500, "server_error", reply->message ? reply->message : err_text(reply->e));
	return v2_oauth_token(r, reply);
}

enum MHD_Result v2_oauth_token(struct request *r, const struct reply *reply)
{
	struct buf out;
	struct jsonw w = answer_begin(&out);
	jsonw_key(&w, "access_token"), jsonw_str(&w, reply->secret);
	jsonw_key(&w, "token_type"), jsonw_str(&w, "Bearer");
	jsonw_key(&w, "expires_in"), jsonw_int(&w, (reply->apikeys[0].expires_ms - reply->apikeys[0].created_ms) / SECOND_MS);
	jsonw_key(&w, "scope"), jsonw_str(&w, reply->apikeys[0].scopes);
	return answer_end(r, &w, &out);
}

/* A member of a form body, decoded; NULL: absent. */
const char *v2_form_value(struct request *r, const char *name)
{
	struct bytes rest = buf_view(&r->body);

	while (rest.n) {
		struct bytes value, pair = bytes_cut(rest, '&', &rest), key = bytes_cut(pair, '=', &value);
		if (!bytes_eq_str(key, name))
			continue;
		char *text = arena_str(&r->arena, value);
		if (!text)
			return NULL;
		for (char *p = text; *p; p++)
			if (*p == '+')
				*p = ' ';
		MHD_http_unescape(text);
		return text;
	}
	return NULL;
}

/* The secret as password of Basic, percent-encoded as RFC 6749 2.3.1 wants, or in the body. */
static const char *client_secret(struct request *r)
{
	const char *header = MHD_lookup_connection_value(r->conn, MHD_HEADER_KIND, "Authorization");
	struct bytes rest;
	char text[1025];
	size_t n = 0;

	const char *in_body = v2_form_value(r, "client_secret");
	if (in_body && *in_body)
		return in_body;
	if (!header || !bytes_eq_nocase(bytes_cut(bytes_str(header), ' ', &rest), BYTES_LIT("Basic")) ||
			base64_decode(bytes_trim(rest), text, sizeof text - 1, &n) != OK)
		return NULL;
	struct bytes password;
	bytes_cut(bytes_of(text, n), ':', &password);
	char *copy = arena_str(&r->arena, password);
	if (copy)
		MHD_http_unescape(copy);
	return copy;
}

enum MHD_Result api_v2_token(struct request *r)
{
	const char *grant = v2_form_value(r, "grant_type"), *secret = client_secret(r), *tags = v2_form_value(r, "tags");
	struct command *c = command_for(r, CMD_APIKEY_TOKEN);
	unsigned wait_s;

	if (!may_try_key(r, &wait_s)) {
		command_free(c);
		r->retry_after_s = wait_s;
		return v2_oauth_error(r, 429, "slow_down", "too many wrong secrets");
	}
	if (!c || (grant && *grant && strcmp(grant, "client_credentials") != 0)) {
		command_free(c);
		return c ? v2_oauth_error(r, 400, "unsupported_grant_type", "only client_credentials") :
				v2_oauth_error(r, 500, "server_error", "out of memory");
	}
	if (!secret || !*secret) {
		command_free(c);
		return v2_oauth_error(r, 400, "invalid_request", "client_secret is needed");
	}
	c->key_text = command_str(c, secret);
	c->scopes = command_str(c, v2_form_value(r, "scope"));
	const char **list = arena_array(&c->arena, NODE_TAGS_MAX + 1, sizeof *list);
	struct bytes rest = bytes_trim(bytes_str(tags ? tags : ""));
	while (list && rest.n && c->n_tags <= NODE_TAGS_MAX) {
		struct bytes word = bytes_cut(rest, ' ', &rest);
		if (word.n)
			list[c->n_tags++] = arena_str(&c->arena, word);
	}
	c->tags = list;
	return ask(r, c, on_token);
}
