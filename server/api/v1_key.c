#include <string.h>

#include "common/base/clock.h"
#include "server/api/handlers.h"
#include "server/api/render.h"

int64_t default_key_expiry(void)
{
	return clock_wall_ms() + 90LL * 24 * 3600 * 1000;
}

/* ---- auth keys ---- */

static enum MHD_Result on_authkey_created(struct request *r, const struct reply *reply)
{
	FAIL_ON(r, reply);
	struct buf out;
	struct jsonw w = answer_begin(&out);
	jsonw_key(&w, "preAuthKey");
	if (reply->n_authkeys)
		render_authkey(&w, &reply->authkeys[0], reply->authkey_users ? &reply->authkey_users[0] : NULL, reply->secret);
	else
		jsonw_null(&w);
	return answer_end(r, &w, &out);
}

static enum MHD_Result on_authkeys(struct request *r, const struct reply *reply)
{
	FAIL_ON(r, reply);
	struct buf out;
	struct jsonw w = answer_begin(&out);
	jsonw_key(&w, "preAuthKeys"), jsonw_arr(&w);
	for (size_t i = 0; i < reply->n_authkeys; i++)
		render_authkey(&w, &reply->authkeys[i], reply->authkey_users ? &reply->authkey_users[i] : NULL, NULL);
	jsonw_arr_end(&w);
	return answer_end(r, &w, &out);
}

/* Five clients spell "no user" in five ways. */
static const char *user_or_none(const char *user)
{
	return user && strcmp(user, "0") != 0 ? user : "";
}

enum MHD_Result api_authkey_create(struct request *r)
{
	struct command *c = command_for(r, CMD_AUTHKEY_CREATE);
	bool given;
	size_t n;
	const char **tags = body_texts(r, "aclTags", &n, &given);

	if (!c)
		return ask(r, NULL, on_authkey_created);
	const char **copy = arena_array(&c->arena, n ? n : 1, sizeof *copy);
	for (size_t i = 0; copy && i < n; i++)
		copy[i] = command_str(c, tags[i]);
	c->tags = copy;
	c->n_tags = copy ? n : 0;
	c->user = command_str(c, user_or_none(body_id(r, "user")));
	c->reusable = body_bool(r, "reusable");
	c->ephemeral = body_bool(r, "ephemeral");
	c->preauthorized = body_bool(r, "preauthorized");
	c->expires_ms = body_time(r, "expiration", default_key_expiry());
	c->description = command_str(c, body_text(r, "description"));
	return ask(r, c, on_authkey_created);
}

enum MHD_Result api_authkey_list(struct request *r)
{
	struct command *c = command_for(r, CMD_AUTHKEY_LIST);

	if (c)
		c->user = command_str(c, query(r, "user"));
	return ask(r, c, on_authkeys);
}

/* {"id"}, or from older tools {"user","key"} with the whole key or the masked one. */
enum MHD_Result api_authkey_expire(struct request *r)
{
	struct command *c = command_for(r, CMD_AUTHKEY_EXPIRE);
	const char *id = body_id(r, "id"), *key = body_text(r, "key");

	if (c && id && id[0])
		c->id = parse_id(r, id, "id");
	else if (c && key && key[0])
		c->key_text = command_str(c, key);
	else if (!r->fault)
		r->fault = "id: the number of the key is needed";
	return ask(r, c, on_done);
}

enum MHD_Result api_authkey_delete(struct request *r)
{
	struct command *c = command_for(r, CMD_AUTHKEY_DELETE);

	if (c)
		c->id = parse_id(r, query(r, "id"), "id");
	return ask(r, c, on_done);
}

/* ---- API keys ---- */

static enum MHD_Result on_apikey_created(struct request *r, const struct reply *reply)
{
	FAIL_ON(r, reply);
	struct buf out;
	struct jsonw w = answer_begin(&out);
	jsonw_key(&w, "apiKey"), jsonw_str(&w, reply->secret);
	return answer_end(r, &w, &out);
}

static enum MHD_Result on_apikeys(struct request *r, const struct reply *reply)
{
	FAIL_ON(r, reply);
	struct buf out;
	struct jsonw w = answer_begin(&out);
	jsonw_key(&w, "apiKeys"), jsonw_arr(&w);
	for (size_t i = 0; i < reply->n_apikeys; i++)
		if (reply->apikeys[i].kind == APIKEY_KEY)
			render_apikey(&w, &reply->apikeys[i]);
	jsonw_arr_end(&w);
	return answer_end(r, &w, &out);
}

enum MHD_Result api_apikey_create(struct request *r)
{
	struct command *c = command_for(r, CMD_APIKEY_CREATE);

	if (c) {
		c->expires_ms = body_time(r, "expiration", default_key_expiry());
		c->user = command_str(c, user_or_none(body_id(r, "user")));
		c->scopes = command_str(c, body_text(r, "scopes"));
		c->description = command_str(c, body_text(r, "description"));
	}
	return ask(r, c, on_apikey_created);
}

enum MHD_Result api_apikey_list(struct request *r)
{
	return ask(r, command_for(r, CMD_APIKEY_LIST), on_apikeys);
}

static enum MHD_Result name_apikey(struct request *r, enum command_kind kind, const char *id, const char *prefix)
{
	struct command *c = command_for(r, kind);
	bool has_id = id && id[0], has_prefix = prefix && prefix[0];

	if (has_id == has_prefix && !r->fault)
		r->fault = "exactly one of id and prefix is needed";
	if (c && has_id)
		c->id = parse_id(r, id, "id");
	else if (c)
		c->key_text = command_str(c, prefix);
	return ask(r, c, on_done);
}

enum MHD_Result api_apikey_expire(struct request *r)
{
	return name_apikey(r, CMD_APIKEY_EXPIRE, body_id(r, "id"), body_text(r, "prefix"));
}

enum MHD_Result api_apikey_delete(struct request *r)
{
	return name_apikey(r, CMD_APIKEY_DELETE, query(r, "id"), r->param[0]);
}

enum MHD_Result api_apikey_delete_by_query(struct request *r)
{
	return name_apikey(r, CMD_APIKEY_DELETE, query(r, "id"), query(r, "prefix"));
}
