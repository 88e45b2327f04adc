/* server_checks: is this server set up right? For the console and for /welcome. */
#pragma once

#include "server/api/request.h"

enum { CHECKS_MAX = 12 };
enum check_state { CHECK_OK, CHECK_UNKNOWN, CHECK_WARN, CHECK_FAIL };

struct server_check { /* texts are constant, or the request's */
	const char *id, *text, *fix, *value; /* fix: what to do, "" nothing; value: "512 MB", a time …, "" none */
	enum check_state state;
};

struct server_checks {
	struct server_check check[CHECKS_MAX];
	size_t n;
};

/* health: the reply of CMD_HEALTH, asked at asked_mono_ms. */
void server_checks_look(struct request *r, const struct reply *health, int64_t asked_mono_ms, size_t machines, struct server_checks *out);
