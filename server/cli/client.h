/* client: one HTTP request after the other to the server, each on a connection of its own: to its unix socket, or from elsewhere
 * by HTTPS with an API key. Blocking. */
#pragma once

#include <jansson.h>

#include "common/base/buf.h"

struct answer {
	unsigned status;
	struct buf body; /* owned; answer_done */
	json_t *json;	 /* owned; NULL when the body is no JSON */
};
void answer_done(struct answer *a);

enum { CLIENT_HOST_MAX = 256 };

/* Where the server is. */
struct server_place {
	const char *socket_path; /* borrowed; NULL: by network */
	char host[CLIENT_HOST_MAX], port[6];
	bool tls;
	bool insecure;	     /* the certificate is not checked */
	const char *api_key; /* borrowed; NULL: none, as on the socket */
};

/* "https://vpn.example.com", "vpn.example.com:8443" (HTTPS), "http://127.0.0.1:8080", "unix:/run/fairlead/fairlead.sock" (borrowed).
 * ERR_INVALID: why. */
MUST_USE err server_place_parse(const char *text, struct server_place *out, char *why, size_t why_cap);

/* body NULL: none. why: a sentence when no answer came. */
MUST_USE err client_call(const struct server_place *at, const char *method, const char *target, const json_t *body, struct answer *out,
		char *why, size_t why_cap);

/* Appends a path segment or query value, percent-encoded. */
void put_encoded(struct buf *b, const char *text);
