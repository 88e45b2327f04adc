/* native_policy: what the files of /api/fairlead/v1/policy share. */
#pragma once

#include "server/api/request.h"

/* Names and addresses of machines are for those who may read devices; the policy alone does not open them. */
bool may_see_devices(struct request *r);
/* Where the console is reached, for policy_lockout. */
void take_console(struct request *r, struct command *c);
/* "policy" of the body, where there is one: a draft. */
void take_draft(struct request *r, struct command *c);
/* The reply's text, which is JSON. */
reply_handler on_policy_json;
