#include "server/api/handlers.h"
#include "server/api/render.h"

enum MHD_Result on_user(struct request *r, const struct reply *reply)
{
	FAIL_ON(r, reply);
	struct buf out;
	struct jsonw w = answer_begin(&out);
	jsonw_key(&w, "user");
	if (reply->n_users)
		render_user(&w, &reply->users[0]);
	else
		jsonw_null(&w);
	return answer_end(r, &w, &out);
}

static enum MHD_Result on_users(struct request *r, const struct reply *reply)
{
	FAIL_ON(r, reply);
	struct buf out;
	struct jsonw w = answer_begin(&out);
	jsonw_key(&w, "users"), jsonw_arr(&w);
	for (size_t i = 0; i < reply->n_users; i++)
		render_user(&w, &reply->users[i]);
	jsonw_arr_end(&w);
	return answer_end(r, &w, &out);
}

enum MHD_Result api_user_create(struct request *r)
{
	struct command *c = command_for(r, CMD_USER_CREATE);

	if (c) {
		c->name = command_str(c, body_text(r, "name"));
		c->display_name = command_str(c, body_text(r, "displayName"));
		c->email = command_str(c, body_text(r, "email"));
		c->picture_url = command_str(c, body_text(r, "pictureUrl"));
	}
	return ask(r, c, on_user);
}

/* Tools send several filters at once: the name counts before the email, and that before the id. */
enum MHD_Result api_user_list(struct request *r)
{
	struct command *c = command_for(r, CMD_USER_LIST);

	if (c && query(r, "name")[0])
		c->name = command_str(c, query(r, "name"));
	else if (c && query(r, "email")[0])
		c->email = command_str(c, query(r, "email"));
	else if (c && query(r, "id")[0])
		c->id = parse_id(r, query(r, "id"), "id");
	return ask(r, c, on_users);
}

enum MHD_Result api_user_rename(struct request *r)
{
	struct command *c = command_for(r, CMD_USER_RENAME);

	if (c) {
		c->id = parse_id(r, r->param[0], "user id");
		c->new_name = command_str(c, r->param[1]);
	}
	return ask(r, c, on_user);
}

enum MHD_Result api_user_delete(struct request *r)
{
	struct command *c = command_for(r, CMD_USER_DELETE);

	if (c)
		c->id = parse_id(r, r->param[0], "user id");
	return ask(r, c, on_done);
}

enum MHD_Result on_done(struct request *r, const struct reply *reply)
{
	FAIL_ON(r, reply);
	return answer_empty(r);
}
