#include <string.h>

#include "server/api/handlers.h"

#define AUTH_ID_PREFIX "hskey-authreq-"

bool is_auth_id(const char *text)
{
	size_t at = sizeof AUTH_ID_PREFIX - 1;

	if (strlen(text) != AUTH_ID_LEN || strncmp(text, AUTH_ID_PREFIX, at) != 0)
		return false;
	return strspn(text + at, "0123456789abcdef") == AUTH_ID_LEN - at;
}

const char *auth_id_from(struct request *r, const char *text)
{
	const char *id = text ? text : "";

	if (strncmp(id, AUTH_ID_PREFIX, sizeof AUTH_ID_PREFIX - 1) != 0)
		id = arena_printf(&r->arena, "%s%s", AUTH_ID_PREFIX, id);
	if (id && is_auth_id(id))
		return id;
	if (!r->fault)
		r->fault = "authId: an id such as " AUTH_ID_PREFIX "0123456789abcdef01234567 is needed";
	return NULL;
}

static struct command *command_for_login(struct request *r, enum command_kind kind)
{
	struct command *c = command_for(r, kind);

	if (c)
		c->auth_id = command_str(c, auth_id_from(r, body_text(r, "authId")));
	return c;
}

enum MHD_Result api_auth_register(struct request *r)
{
	struct command *c = command_for_login(r, CMD_AUTH_REGISTER);

	if (c)
		c->user = command_str(c, body_id(r, "user"));
	return ask(r, c, on_node);
}

enum MHD_Result api_auth_approve(struct request *r)
{
	return ask(r, command_for_login(r, CMD_AUTH_APPROVE), on_done);
}

enum MHD_Result api_auth_reject(struct request *r)
{
	return ask(r, command_for_login(r, CMD_AUTH_REJECT), on_done);
}
