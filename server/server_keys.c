#include "server/server_keys.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/base/cleanup.h"
#include "common/base/random.h"
#include "common/net/tls.h"

enum { SELF_SIGNED_DAYS = 3650 };

static struct bytes stored(const struct store_image *image, const char *name)
{
	for (size_t i = 0; i < image->n_server_keys; i++)
		if (strcmp(image->server_keys[i].name, name) == 0)
			return bytes_of(image->server_keys[i].value, image->server_keys[i].n);
	return (struct bytes){ 0 };
}

static err load_secret(const struct store_image *image, const char *name, struct secret32 *out)
{
	struct bytes b = stored(image, name);

	if (!b.p)
		return ERR_NOT_FOUND;
	if (b.n != sizeof out->b)
		return ERR_MALFORMED;
	memcpy(out->b, b.p, b.n);
	return OK;
}

static err load_certificate(struct store *s, const struct store_image *image, const char *host, struct server_keys *out)
{
	struct bytes cert = stored(image, "tls_cert"), key = stored(image, "tls_key");

	if (cert.p && key.p && bytes_eq_str(stored(image, "tls_host"), host)) {
		out->tls_cert_pem = bytes_dup(cert);
		out->tls_key_pem = bytes_dup(key);
		return out->tls_cert_pem && out->tls_key_pem ? OK : ERR_NOMEM;
	}
	TRY(tls_self_signed(&host, 1, SELF_SIGNED_DAYS, &out->tls_cert_pem, &out->tls_key_pem));
	TRY(store_put_server_key(s, "tls_cert", bytes_str(out->tls_cert_pem)));
	TRY(store_put_server_key(s, "tls_key", bytes_str(out->tls_key_pem)));
	return store_put_server_key(s, "tls_host", bytes_str(host));
}

static err load_all(struct store *s, const struct store_image *image, const char *host, struct server_keys *out)
{
	err e = load_secret(image, "noise", &out->noise.secret);

	if (e == ERR_NOT_FOUND) {
		machine_key_new(&out->noise);
		e = store_put_server_key(s, "noise", bytes_of(out->noise.secret.b, 32));
	}
	TRY(e);
	machine_key_derive(&out->noise);
	e = load_secret(image, "derp", &out->derp.secret);
	if (e == ERR_NOT_FOUND) {
		node_key_new(&out->derp);
		e = store_put_server_key(s, "derp", bytes_of(out->derp.secret.b, 32));
	}
	TRY(e);
	node_key_derive(&out->derp);
	e = load_secret(image, "web", &out->web);
	if (e == ERR_NOT_FOUND) {
		random_fill(out->web.b, sizeof out->web.b);
		e = store_put_server_key(s, "web", bytes_of(out->web.b, sizeof out->web.b));
	}
	TRY(e);
	return load_certificate(s, image, host, out);
}

err server_keys_load(struct store *s, const struct store_image *image, const char *host, char *why, size_t why_cap,
	struct server_keys *out)
{
	struct server_keys k = { 0 };
	err e = load_all(s, image, host, &k);

	if (e != OK) {
		snprintf(why, why_cap,
			e == ERR_MALFORMED ? "a server key in the database has the wrong length: restore a backup"
					   : "cannot make or store the server's keys");
		server_keys_done(&k);
		return e;
	}
	*out = k;
	return OK;
}

void server_keys_done(struct server_keys *k)
{
	secret32_wipe(&k->noise.secret);
	secret32_wipe(&k->derp.secret);
	secret32_wipe(&k->web);
	if (k->tls_key_pem)
		sodium_memzero(k->tls_key_pem, strlen(k->tls_key_pem));
	free(k->tls_key_pem);
	free(k->tls_cert_pem);
	*k = (struct server_keys){ 0 };
}
