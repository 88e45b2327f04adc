#include "server/api/handlers.h"
#include "server/api/render.h"

/* Accounts at identity providers and signed-in browsers, for admins. */

static void render_identity(struct jsonw *w, const struct identity_row *i)
{
	jsonw_obj(w);
	jsonw_key(w, "id"), render_id(w, i->id);
	jsonw_key(w, "userId"), render_id(w, i->user_id);
	jsonw_key(w, "provider"), jsonw_str(w, i->provider);
	jsonw_key(w, "issuer"), jsonw_str(w, i->issuer);
	jsonw_key(w, "subject"), jsonw_str(w, i->subject);
	jsonw_key(w, "login"), jsonw_str(w, i->login);
	jsonw_key(w, "groups"), jsonw_arr(w);
	for (size_t g = 0; g < i->n_groups; g++)
		jsonw_str(w, i->groups[g]);
	jsonw_arr_end(w);
	jsonw_key(w, "createdAt"), render_time(w, i->created_ms);
	jsonw_key(w, "lastLogin"), render_time(w, i->login_ms);
	jsonw_key(w, "checkedAt"), render_time(w, i->checked_ms);
	jsonw_key(w, "goneAt"), render_time(w, i->gone_ms);
	jsonw_obj_end(w);
}

void render_identities(struct jsonw *w, const struct reply *reply)
{
	jsonw_arr(w);
	for (size_t i = 0; i < reply->n_identities; i++)
		render_identity(w, &reply->identities[i]);
	jsonw_arr_end(w);
}

static enum MHD_Result on_identity(struct request *r, const struct reply *reply)
{
	FAIL_ON(r, reply);
	struct buf out;
	struct jsonw w = answer_begin(&out);
	jsonw_key(&w, "identity"), render_identity(&w, &reply->identities[0]);
	return answer_end(r, &w, &out);
}

static enum MHD_Result on_identities(struct request *r, const struct reply *reply)
{
	FAIL_ON(r, reply);
	struct buf out;
	struct jsonw w = answer_begin(&out);
	jsonw_key(&w, "identities"), render_identities(&w, reply);
	return answer_end(r, &w, &out);
}

enum MHD_Result api_identity_list(struct request *r)
{
	struct command *c = command_for(r, CMD_IDENTITY_LIST);

	if (c)
		c->user = command_str(c, query(r, "user"));
	return ask(r, c, on_identities);
}

/* {"user", "issuer", "subject"}: that account signs in as this user from now on. */
enum MHD_Result api_identity_link(struct request *r)
{
	const char *user = body_id(r, "user"), *issuer = body_text(r, "issuer"), *subject = body_text(r, "subject");
	struct login_facts *f = arena_alloc(&r->arena, sizeof *f);
	struct command *c = f ? command_for(r, CMD_IDENTITY_LINK) : NULL;

	if (!r->fault && (!user || !issuer || !subject))
		r->fault = "user, issuer and subject are needed";
	if (c && !r->fault) {
		*f = (struct login_facts){ .provider = "", .issuer = issuer, .subject = subject, .login = "", .email = "", .name = "",
			.display_name = "", .picture_url = "", .refresh_token = "", .provider_sid = "" };
		c->login = f;
		c->user = command_str(c, user);
	}
	return ask(r, c, on_identity);
}

enum MHD_Result api_identity_unlink(struct request *r)
{
	struct command *c = command_for(r, CMD_IDENTITY_UNLINK);

	if (c)
		c->id = parse_id(r, r->param[0], "the identity's id");
	return ask(r, c, on_done);
}

void render_signins(struct jsonw *w, const struct reply *reply)
{
	jsonw_arr(w);
	for (size_t i = 0; i < reply->n_signins; i++) {
		const struct signin_row *s = &reply->signins[i];
		jsonw_obj(w);
		jsonw_key(w, "id"), render_id(w, s->id);
		jsonw_key(w, "userId"), render_id(w, s->user_id);
		jsonw_key(w, "user"), jsonw_str(w, reply->users[i].name);
		jsonw_key(w, "kind"), jsonw_str(w, s->kind == SIGNIN_LINK ? "link" : "browser");
		jsonw_key(w, "by"), jsonw_str(w, s->identity_id ? "provider" : "local");
		jsonw_key(w, "remote"), jsonw_str(w, s->remote);
		jsonw_key(w, "agent"), jsonw_str(w, s->agent);
		jsonw_key(w, "createdAt"), render_time(w, s->created_ms);
		jsonw_key(w, "signedInAt"), render_time(w, s->auth_ms);
		jsonw_key(w, "expiresAt"), render_time(w, s->expires_ms);
		jsonw_obj_end(w);
	}
	jsonw_arr_end(w);
}

static enum MHD_Result on_signins(struct request *r, const struct reply *reply)
{
	FAIL_ON(r, reply);
	struct buf out;
	struct jsonw w = answer_begin(&out);
	jsonw_key(&w, "sessions"), render_signins(&w, reply);
	return answer_end(r, &w, &out);
}

enum MHD_Result api_signin_list(struct request *r)
{
	struct command *c = command_for(r, CMD_SIGNIN_LIST);

	if (c)
		c->user = command_str(c, query(r, "user"));
	return ask(r, c, on_signins);
}

enum MHD_Result api_signin_end(struct request *r)
{
	struct command *c = command_for(r, CMD_SIGNIN_END);

	if (c)
		c->id = parse_id(r, r->param[0], "the session's id");
	return ask(r, c, on_done);
}

/* ?user=: all of that user's. */
enum MHD_Result api_signin_end_all(struct request *r)
{
	struct command *c = command_for(r, CMD_SIGNIN_END);

	if (!query(r, "user")[0])
		r->fault = "user: whose sessions?";
	if (c)
		c->user = command_str(c, query(r, "user"));
	return ask(r, c, on_done);
}
