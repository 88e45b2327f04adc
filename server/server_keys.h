/* server_keys: the keys that make this server itself: Noise, DERP, and the self-made certificate. Rows of the database, so
 * that one file is the whole server; made at the first start, in memory that is wiped. */
#pragma once

#include "common/crypto/keys.h"
#include "server/store/store.h"

struct server_keys {
	struct machine_key noise;
	struct node_key derp;
	struct secret32 web; /* seals cookies and forms */
	char *tls_cert_pem, *tls_key_pem; /* owned; self-made, for host */
};

/* Takes them out of image, makes and stores (durably, at once) what is missing. The self-made certificate is made anew
 * when it is not for this host (a name or an IP literal). Before store_start. why: one sentence. */
MUST_USE err server_keys_load(struct store *s, const struct store_image *image, const char *host, char *why, size_t why_cap,
	struct server_keys *out);
void server_keys_done(struct server_keys *k);
