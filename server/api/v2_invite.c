#include <string.h>

#include "common/base/cleanup.h"
#include "common/base/clock.h"
#include "common/text/json.h"
#include "server/api/state.h"
#include "server/api/v2.h"

/* Invitations of people: a user with a role, who is called by the mail address, and a link that signs a browser in, once, within 30
 * days. The link is told when it is made, and nowhere else: only its hash is kept. No mail is sent. */

enum { INVITES_MAX = 20 /* of one call */ };
#define INVITE_MS (30LL * 24 * 3600 * SECOND_MS)

struct invite {
	const char *role, *email;
};

struct invites {
	struct invite invite[INVITES_MAX];
	size_t n, at;
	struct buf out;
	struct jsonw w;
};

static void render(struct jsonw *w, struct request *r, const struct signin_row *s, const struct user_row *u, const char *secret)
{
	jsonw_obj(w);
	jsonw_key(w, "id"), render_id(w, s->id);
	jsonw_key(w, "role"), jsonw_str(w, user_role_text(u->role));
	jsonw_key(w, "tailnetId"), jsonw_int(w, u->tailnet_id);
	jsonw_key(w, "inviterId"), jsonw_int(w, secret ? r->key_user : 0); /* who made it stands in the audit log */
	if (u->email && *u->email)
		jsonw_key(w, "email"), jsonw_str(w, u->email);
	if (secret) {
		const char *url = arena_printf(&r->arena, "%s/welcome/%s", r->api->cfg.server_url, secret);
		jsonw_key(w, "inviteUrl"), jsonw_str(w, url ? url : "");
	}
	jsonw_obj_end(w);
}

/* ---- making some: each in three steps ---- */

static enum MHD_Result make_next(struct request *r);

static enum MHD_Result give_up(struct request *r, const struct reply *reply)
{
	struct invites *v = r->keep;

	buf_done(&v->out);
	return answer_fault(r, reply, "");
}

static enum MHD_Result on_link(struct request *r, const struct reply *reply)
{
	struct invites *v = r->keep;

	if (reply->e != OK)
		return give_up(r, reply);
	render(&v->w, r, &reply->signins[0], &reply->users[0], reply->secret);
	v->at++;
	return make_next(r);
}

static enum MHD_Result make_link(struct request *r, int64_t user)
{
	struct command *c = command_for(r, CMD_LINK_MAKE);

	if (c) {
		c->user = arena_printf(&c->arena, "%lld", (long long)user);
		c->expires_ms = clock_wall_ms() + INVITE_MS;
	}
	return ask(r, c, on_link);
}

static enum MHD_Result on_role(struct request *r, const struct reply *reply)
{
	return reply->e != OK ? give_up(r, reply) : make_link(r, reply->users[0].id);
}

static enum MHD_Result on_user_made(struct request *r, const struct reply *reply)
{
	struct invites *v = r->keep;
	const struct invite *i = &v->invite[v->at];

	if (reply->e != OK)
		return give_up(r, reply);
	if (strcmp(i->role, user_role_text(USER_MEMBER)) == 0)
		return make_link(r, reply->users[0].id);
	struct command *c = command_for(r, CMD_USER_ROLE);
	if (c) {
		c->id = reply->users[0].id;
		c->role = command_str(c, i->role);
	}
	return ask(r, c, on_role);
}

static enum MHD_Result make_next(struct request *r)
{
	struct invites *v = r->keep;

	if (v->at == v->n) {
		jsonw_arr_end(&v->w);
		return answer_json(r, 200, &v->out);
	}
	struct command *c = command_for(r, CMD_USER_CREATE);
	if (c) {
		c->name = command_str(c, v->invite[v->at].email);
		c->email = command_str(c, v->invite[v->at].email);
	}
	return ask(r, c, on_user_made);
}

/* [{"role"?, "email"}] */
static const char *read_invites(struct request *r, const json_t *list, struct invites *v)
{
	const json_t *item;
	size_t i;

	if (!json_is_array(list) || json_array_size(list) > INVITES_MAX || !json_array_size(list))
		return "a list of 1 to 20 invitations is needed";
	json_array_foreach((json_t *)(uintptr_t)list, i, item) {
		const char *email = json_string_value(json_object_get(item, "email")), *role = json_string_value(json_object_get(item, "role"));
		enum user_role parsed;
		if (!email || !strchr(email, '@'))
			return "email: is needed: a user is called by it (nothing is sent there)";
		role = role && *role ? role : user_role_text(USER_MEMBER);
		if (user_role_parse(role, &parsed) != OK || parsed == USER_OWNER)
			return "role: admin, it-admin, network-admin, billing-admin, auditor or member";
		if (scope_of_role(parsed) & ~r->may)
			return "role: nobody can give one that may do more than they may themselves";
		v->invite[v->n++] = (struct invite){ arena_str(&r->arena, bytes_str(role)), arena_str(&r->arena, bytes_str(email)) };
	}
	return NULL;
}

enum MHD_Result api_v2_invites_make(struct request *r)
{
	struct invites *v = arena_alloc(&r->arena, sizeof *v);
	json_auto_t *list = NULL;
	struct json_error error = { 0 };

	if (!v)
		return answer_error(r, 500, "out of memory");
	if (json_parse(bytes_trim(buf_view(&r->body)), API_BODY_MAX, 4, &list, &error) != OK)
		return answer_error(r, 400, "the body is not JSON");
	const char *fault = read_invites(r, list, v);
	if (fault)
		return answer_error(r, 400, fault);
	v->out = buf_make(API_ANSWER_MAX);
	v->w = jsonw_init(&v->out);
	jsonw_arr(&v->w);
	r->keep = v;
	return make_next(r);
}

/* ---- those that wait to be used ---- */

static enum MHD_Result on_list(struct request *r, const struct reply *reply)
{
	FAIL_ON(r, reply);
	struct buf out = buf_make(API_ANSWER_MAX);
	struct jsonw w = jsonw_init(&out);

	jsonw_arr(&w);
	for (size_t i = 0; i < reply->n_signins; i++)
		if (reply->signins[i].kind == SIGNIN_LINK)
			render(&w, r, &reply->signins[i], &reply->users[i], NULL);
	jsonw_arr_end(&w);
	return answer_json(r, 200, &out);
}

enum MHD_Result api_v2_invites(struct request *r)
{
	return ask(r, command_for(r, CMD_SIGNIN_LIST), on_list);
}

static int64_t invite_id(const struct request *r)
{
	uint64_t id = 0;

	return bytes_parse_u64(bytes_str(r->param[0]), INT64_MAX, &id) == OK ? (int64_t)id : 0;
}

static enum MHD_Result on_one(struct request *r, const struct reply *reply)
{
	FAIL_ON(r, reply);
	for (size_t i = 0; i < reply->n_signins; i++) {
		if (reply->signins[i].kind != SIGNIN_LINK || reply->signins[i].id != invite_id(r))
			continue;
		if (strcmp(r->route->method, "DELETE") == 0) {
			struct command *c = command_for(r, CMD_SIGNIN_END);
			if (c)
				c->id = invite_id(r);
			return ask(r, c, on_done);
		}
		if (strcmp(r->route->method, "POST") == 0)
			return answer_error(r, 400, "this server writes no mail: hand on the inviteUrl that was told when the invitation was made");
		struct buf out = buf_make(API_ANSWER_MAX);
		struct jsonw w = jsonw_init(&out);
		render(&w, r, &reply->signins[i], &reply->users[i], NULL);
		return answer_json(r, 200, &out);
	}
	return answer_error(r, 404, "invitation not found");
}

/* GET, DELETE, POST …/resend */
enum MHD_Result api_v2_invite(struct request *r)
{
	return ask(r, command_for(r, CMD_SIGNIN_LIST), on_one);
}
