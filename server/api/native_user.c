#include "server/api/handlers.h"

static struct command *command_for_user(struct request *r, enum command_kind kind)
{
	struct command *c = command_for(r, kind);

	if (c)
		c->id = parse_id(r, r->param[0], "user id");
	return c;
}

/* {role} */
enum MHD_Result api_native_user_role(struct request *r)
{
	struct command *c = command_for_user(r, CMD_USER_ROLE);
	const char *role = body_text(r, "role");

	if (!role && !r->fault)
		r->fault = "role: a text is needed";
	if (c)
		c->role = command_str(c, role);
	return ask(r, c, on_user);
}

enum MHD_Result api_native_user_suspend(struct request *r)
{
	return ask(r, command_for_user(r, CMD_USER_SUSPEND), on_user);
}

enum MHD_Result api_native_user_restore(struct request *r)
{
	return ask(r, command_for_user(r, CMD_USER_RESTORE), on_user);
}

enum MHD_Result api_native_user_approve(struct request *r)
{
	return ask(r, command_for_user(r, CMD_USER_APPROVE), on_user);
}
