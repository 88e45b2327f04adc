/* request: the JSON that a node sends: register and map requests. Part of control.c. */
#pragma once

#include "client/control/control.h"
#include "common/text/jsonw.h"

enum { REQUEST_MAX = 64 << 10 };

/* expire: log out. */
void request_register(const struct control_self *s, const char *followup, bool expire, struct buf *out);
void request_map(const struct control_self *s, bool stream, struct buf *out);

/* ---- what the server answers to a register ---- */
struct register_answer {
	char error[CONTROL_TEXT_MAX], auth_url[MAP_URL_MAX], login_name[256], display_name[256];
	bool node_key_expired, wants_signature;
	int64_t user_id;
};
MUST_USE err request_parse_answer(struct bytes json, struct register_answer *out);
/* {"publicKey":"mkey:…"}. ERR_NOT_FOUND: none, or zero. */
MUST_USE err request_parse_key(struct bytes json, struct machine_pub *out);
