/* client: one HTTP request after the other to the server's unix socket, each on a connection of its own. */
#pragma once

#include <jansson.h>

#include "common/base/buf.h"

struct answer {
	unsigned status;
	struct buf body; /* owned; answer_done */
	json_t *json;	 /* owned; NULL when the body is no JSON */
};
void answer_done(struct answer *a);

/* body NULL: none. why: a sentence when no answer came. */
MUST_USE err client_call(const char *socket_path, const char *method, const char *target, const json_t *body, struct answer *out,
		char *why, size_t why_cap);

/* Appends a path segment or query value, percent-encoded. */
void put_encoded(struct buf *b, const char *text);
