/* flow: what a login remembers between the way to the provider and the way back. It is sealed into a cookie of the browser that
 * began it, so strangers cannot fill a table here, and a callback in another browser has nothing to open.
 *
 * A state is used once: those that came back are remembered until they could not be opened any more. */
#pragma once

#include <pthread.h>

#include "common/base/secret.h"
#include "server/store/rows.h"

enum {
	FLOW_TTL_MS = 15 * 60 * 1000,
	FLOW_RANDOM_LEN = 43,	  /* 32 bytes in base64url */
	FLOW_SEALED_MAX = 1024,	  /* characters */
	FLOW_PROVIDER_MAX = 33,
	FLOW_USED_MAX = 4096, /* the oldest goes; the provider takes a code once in any case */
};

struct flow {
	char state[FLOW_RANDOM_LEN + 1], nonce[FLOW_RANDOM_LEN + 1], verifier[FLOW_RANDOM_LEN + 1];
	char provider[FLOW_PROVIDER_MAX];
	char auth_id[AUTH_ID_LEN + 1]; /* of the waiting device; "": a login for its own sake */
	bool need_iss;		       /* the provider promised the iss parameter (RFC 9207) */
	int64_t expires_ms;
};

/* New random values. */
void flow_begin(struct flow *f, const char *provider, const char *auth_id, int64_t now_ms);
/* The code challenge of a verifier, S256. */
void flow_challenge(const char *verifier, char out[FLOW_RANDOM_LEN + 1]);

/* ERR_TOO_BIG never happens with a flow of flow_begin. */
MUST_USE err flow_seal(const struct secret32 *key, const struct flow *f, char out[FLOW_SEALED_MAX]);
/* ERR_AUTH: not ours, changed, or too old. */
MUST_USE err flow_open(const struct secret32 *key, const char *sealed, int64_t now_ms, struct flow *out);

/* States that came back. */
struct flow_used {
	pthread_mutex_t lock;
	struct {
		uint8_t hash[16];
	} seen[FLOW_USED_MAX];
	size_t at;
};
/* false: it came back before. Any thread. */
bool flow_use(struct flow_used *u, const char *state);
