#include "common/net/tls.h"

#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <sodium.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "common/base/cleanup.h"
#include "common/base/openssl.h"
#include "common/crypto/tls_aead.h"
#include "common/net/tls_cert.h"
#include "common/net/tls_wire.h"

enum {
	PEER_CERTS_MAX = 8, /* certificates that tls_peer_cert shows */
	SHA256_HEX_LEN = 64,
};

/* Streams of several threads are made from one context while another thread reloads it: lock covers ssl, metacert and
 * the hash. Streams hold references of their own. */
struct tls_ctx {
	pthread_mutex_t lock;
	SSL_CTX *ssl;
	X509 *metacert;	     /* servers; may be NULL */
	char cert_sha256[SHA256_HEX_LEN + 1];
	char *cert_path, *key_path; /* servers made from files */
	/* clients */
	char *verify_name;
	char *pin; /* lower-case hex */
	bool once;
};

struct tls {
	SSL *ssl; /* NULL: a plain stream, or wire has taken over */
	struct tls_wire *wire; /* servers, TLS 1.3, after the handshake; else NULL */
	struct tls_secrets *secrets; /* for wire, while the handshake runs; wiped */
	int fd;
	int version; /* once ready */
	bool ready;  /* the handshake is done */
	bool once;   /* the context is this stream's alone */
	bool broken; /* no more SSL calls that write: SSL_shutdown after a fatal error is not allowed */
	const char *why; /* static text */
	X509 *metacert;	 /* until the handshake is done */
	char *pin, *pin_name; /* clients that pin; pin_name: the SNI name, which the certificate must match too */
	struct bytes *peer_cert; /* PEER_CERTS_MAX of them once asked for; DER owned */
};

/* ---- contexts ---------------------------------------------------------------------------------------------------- */

/* Upgrade does not exist in HTTP/2, so it is never chosen. A client that offers only protocols unknown to us goes on
 * without ALPN. */
static int select_alpn(SSL *s, const unsigned char **out, unsigned char *out_len, const unsigned char *in,
		unsigned in_len, void *arg)
{
	static const unsigned char http11[] = "http/1.1";

	(void)s;
	(void)arg;
	for (unsigned at = 0; at < in_len && in[at] < in_len - at; at += 1u + in[at])
		if (bytes_eq_str(bytes_of(in + at + 1, in[at]), "http/1.1")) {
			*out = http11;
			*out_len = sizeof http11 - 1;
			return SSL_TLSEXT_ERR_OK;
		}
	return SSL_TLSEXT_ERR_NOACK;
}

/* Runs once the version is known: the metacert in a TLS 1.2 chain would travel in the clear (derp.md 3.2). */
static int add_metacert(SSL *s, void *arg)
{
	const struct tls *t = SSL_get_app_data(s);

	(void)arg;
	if (t && t->metacert && SSL_version(s) >= TLS1_3_VERSION)
		return SSL_add1_chain_cert(s, t->metacert) == 1;
	return 1;
}

/* Hex digits up to the end of the text or to cap bytes; returns how many bytes they are. */
static size_t take_hex(const char *hex, uint8_t *out, size_t cap)
{
	size_t n = 0;

	return sodium_hex2bin(out, cap, hex, strlen(hex), NULL, &n, NULL) == 0 ? n : 0;
}

/* "LABEL client-random secret": OpenSSL's way to tell the secrets that a stream goes on with. */
static void take_secret(const SSL *s, const char *line)
{
	static const char in[] = "CLIENT_TRAFFIC_SECRET_0 ", out[] = "SERVER_TRAFFIC_SECRET_0 ";
	struct tls *t = SSL_get_app_data(s);
	const char *secret = strrchr(line, ' ');

	if (!t || !t->secrets || !secret)
		return;
	if (strncmp(line, in, sizeof in - 1) == 0)
		t->secrets->in_n = take_hex(secret + 1, t->secrets->in, sizeof t->secrets->in);
	else if (strncmp(line, out, sizeof out - 1) == 0)
		t->secrets->out_n = take_hex(secret + 1, t->secrets->out, sizeof t->secrets->out);
}

static SSL_CTX *make_ssl(const SSL_METHOD *method)
{
	SSL_CTX *c = SSL_CTX_new(method);

	if (!c)
		return NULL;
	SSL_CTX_set_min_proto_version(c, TLS1_2_VERSION);
	/* Buffers go back when empty (libraries.md 2). */
	SSL_CTX_set_mode(c, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
			SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_NO_AUTO_CHAIN);
	SSL_CTX_set_session_cache_mode(c, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_num_tickets(c, 0);
	SSL_CTX_clear_options(c, SSL_OP_ENABLE_KTLS); /* the system's openssl.cnf may set it; servers' records become ours (take_over) */
	SSL_CTX_set_options(c, SSL_OP_NO_TICKET | SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION |
			SSL_OP_IGNORE_UNEXPECTED_EOF | SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
	return c;
}

static void say(char *why, size_t cap, const char *what, const char *path)
{
	if (why && cap && snprintf(why, cap, "%s: %s", path, what) < 0)
		why[0] = 0;
}

static err make_server(struct bytes cert_pem, struct bytes key_pem, const char *cert_path, const char *key_path,
		char *why, size_t why_cap, SSL_CTX **ssl, char sha256[SHA256_HEX_LEN + 1])
{
	CLEANUP(tls_pair_done) struct tls_pair pair = { 0 };

	if (!tls_pair_read_cert(&pair, cert_pem))
		return say(why, why_cap, "holds no usable PEM certificate", cert_path), ERR_INVALID;
	if (!tls_pair_read_key(&pair, key_pem))
		return say(why, why_cap, "holds no usable PEM private key (encrypted ones are not taken)", key_path), ERR_INVALID;
	if (X509_check_private_key(pair.leaf, pair.key) != 1)
		return say(why, why_cap, "does not belong to the certificate", key_path), ERR_INVALID;
	SSL_CTX *c = make_ssl(TLS_server_method());
	if (!c)
		return ERR_NOMEM;
	if (SSL_CTX_use_cert_and_key(c, pair.leaf, pair.key, pair.chain, 1) != 1) {
		SSL_CTX_free(c);
		return say(why, why_cap, "was refused by OpenSSL (too weak?)", cert_path), ERR_INVALID;
	}
	SSL_CTX_set_alpn_select_cb(c, select_alpn, NULL);
	SSL_CTX_set_cert_cb(c, add_metacert, NULL);
	SSL_CTX_set_keylog_callback(c, take_secret);
	tls_aead_prepare();
	tls_cert_sha256(pair.leaf, sha256);
	*ssl = c;
	return OK;
}

static err read_pem(const char *path, char *why, size_t why_cap, struct bytes *out)
{
	err e = tls_read_file(path, out);

	if (e == ERR_SYS)
		say(why, why_cap, strerrordesc_np(errno), path);
	else if (e == ERR_TOO_BIG)
		say(why, why_cap, "is too large for a PEM file", path);
	return e == OK || e == ERR_NOMEM ? e : ERR_INVALID;
}

static void free_pem(struct bytes *b)
{
	tls_free_file(*b);
}

static err make_server_from_files(const char *cert_path, const char *key_path, char *why, size_t why_cap, SSL_CTX **ssl,
		char sha256[SHA256_HEX_LEN + 1])
{
	CLEANUP(free_pem) struct bytes cert = { 0 };
	CLEANUP(free_pem) struct bytes key = { 0 };

	if (why && why_cap)
		why[0] = 0;
	TRY(read_pem(cert_path, why, why_cap, &cert));
	TRY(read_pem(key_path, why, why_cap, &key));
	return make_server(cert, key, cert_path, key_path, why, why_cap, ssl, sha256);
}

static struct tls_ctx *ctx_alloc(void)
{
	struct tls_ctx *c = calloc(1, sizeof *c);

	if (c)
		pthread_mutex_init(&c->lock, NULL);
	return c;
}

static void ctx_freep(struct tls_ctx **c)
{
	tls_ctx_free(*c);
}

void tls_ctx_free(struct tls_ctx *c)
{
	if (!c)
		return;
	SSL_CTX_free(c->ssl);
	X509_free(c->metacert);
	free(c->cert_path);
	free(c->key_path);
	free(c->verify_name);
	free(c->pin);
	pthread_mutex_destroy(&c->lock);
	free(c);
}

err tls_server_new(const char *cert_path, const char *key_path, char *why, size_t why_cap, struct tls_ctx **out)
{
	CLEANUP(ctx_freep) struct tls_ctx *c = ctx_alloc();

	if (!c || !(c->cert_path = bytes_dup(bytes_str(cert_path))) || !(c->key_path = bytes_dup(bytes_str(key_path))))
		return ERR_NOMEM;
	TRY(make_server_from_files(cert_path, key_path, why, why_cap, &c->ssl, c->cert_sha256));
	*out = MOVE(c);
	return OK;
}

err tls_server_new_pem(struct bytes cert_pem, struct bytes key_pem, struct tls_ctx **out)
{
	CLEANUP(ctx_freep) struct tls_ctx *c = ctx_alloc();

	if (!c)
		return ERR_NOMEM;
	TRY(make_server(cert_pem, key_pem, "", "", NULL, 0, &c->ssl, c->cert_sha256));
	*out = MOVE(c);
	return OK;
}

err tls_server_reload(struct tls_ctx *c, char *why, size_t why_cap)
{
	char sha256[SHA256_HEX_LEN + 1];
	SSL_CTX *fresh, *old;

	if (!c->cert_path)
		return ERR_STATE; /* made from memory: there is nothing to read again */
	TRY(make_server_from_files(c->cert_path, c->key_path, why, why_cap, &fresh, sha256));
	pthread_mutex_lock(&c->lock);
	old = c->ssl;
	c->ssl = fresh;
	memcpy(c->cert_sha256, sha256, sizeof sha256);
	pthread_mutex_unlock(&c->lock);
	SSL_CTX_free(old);
	return OK;
}

err tls_server_set_metacert(struct tls_ctx *c, struct bytes der)
{
	const unsigned char *p = der.p;
	X509 *fresh = der.n <= LONG_MAX ? d2i_X509(NULL, &p, (long)der.n) : NULL, *old;

	if (!fresh)
		return ERR_MALFORMED;
	pthread_mutex_lock(&c->lock);
	old = c->metacert;
	c->metacert = fresh;
	pthread_mutex_unlock(&c->lock);
	X509_free(old);
	return OK;
}

int64_t tls_server_cert_ends_ms(struct tls_ctx *c)
{
	struct tm tm;

	pthread_mutex_lock(&c->lock);
	const X509 *cert = SSL_CTX_get0_certificate(c->ssl);
	bool told = cert && ASN1_TIME_to_tm(X509_get0_notAfter(cert), &tm) == 1;
	pthread_mutex_unlock(&c->lock);
	return told ? (int64_t)timegm(&tm) * 1000 : 0;
}

void tls_server_cert_sha256(const struct tls_ctx *c, char out[65])
{
	/* The lock is the one field that a const context changes. */
	pthread_mutex_t *lock = (pthread_mutex_t *)(uintptr_t)&c->lock;

	pthread_mutex_lock(lock);
	memcpy(out, c->cert_sha256, sizeof c->cert_sha256);
	pthread_mutex_unlock(lock);
}

/* ---- what a client accepts --------------------------------------------------------------------------------------- */

/* derp.md 3.1: metacerts do not count, exactly one other certificate, its hash, its dates, and the SNI name if any. */
static int check_pin(X509_STORE_CTX *store, void *arg)
{
	SSL *s = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
	const struct tls *t = s ? SSL_get_app_data(s) : NULL;
	X509 *leaf = NULL;
	STACK_OF(X509) *sent = X509_STORE_CTX_get0_untrusted(store);
	char sha256[SHA256_HEX_LEN + 1];

	(void)arg;
	X509_STORE_CTX_set_error(store, X509_V_ERR_APPLICATION_VERIFICATION);
	if (!t || !t->pin)
		return 0;
	for (int i = 0; i < sk_X509_num(sent); i++) {
		X509 *x = sk_X509_value(sent, i);

		if (tls_cert_is_metacert(x))
			continue;
		if (leaf)
			return 0;
		leaf = x;
	}
	if (!leaf)
		return 0;
	tls_cert_sha256(leaf, sha256);
	if (!bytes_eq_str(bytes_str(sha256), t->pin))
		return 0;
	if (X509_cmp_current_time(X509_get0_notBefore(leaf)) > 0) {
		X509_STORE_CTX_set_error(store, X509_V_ERR_CERT_NOT_YET_VALID);
		return 0;
	}
	if (X509_cmp_current_time(X509_get0_notAfter(leaf)) < 0) {
		X509_STORE_CTX_set_error(store, X509_V_ERR_CERT_HAS_EXPIRED);
		return 0;
	}
	if (t->pin_name && X509_check_host(leaf, t->pin_name, 0, 0, NULL) != 1) {
		X509_STORE_CTX_set_error(store, X509_V_ERR_HOSTNAME_MISMATCH);
		return 0;
	}
	X509_STORE_CTX_set_error(store, X509_V_OK);
	return 1;
}

/* 64 hex digits in either case, kept in lower case. */
static err take_pin(const char *hex, char **out)
{
	char *pin = bytes_dup(bytes_str(hex));

	if (!pin)
		return ERR_NOMEM;
	for (size_t i = 0; pin[i]; i++)
		if (pin[i] >= 'A' && pin[i] <= 'F')
			pin[i] = (char)(pin[i] + ('a' - 'A'));
	if (strspn(pin, "0123456789abcdef") != SHA256_HEX_LEN || pin[SHA256_HEX_LEN]) {
		free(pin);
		return ERR_INVALID;
	}
	*out = pin;
	return OK;
}

err tls_client_new(const struct tls_client_opts *o, struct tls_ctx **out)
{
	CLEANUP(ctx_freep) struct tls_ctx *c = ctx_alloc();

	if (!c || !(c->ssl = make_ssl(TLS_client_method())))
		return ERR_NOMEM;
	c->once = o->once;
	if (o->sha256_raw) { /* a pin holds even where the rest is not checked */
		TRY(take_pin(o->sha256_raw, &c->pin));
		SSL_CTX_set_cert_verify_callback(c->ssl, check_pin, NULL);
	} else if (!o->insecure) {
		if (o->verify_name && !(c->verify_name = bytes_dup(bytes_str(o->verify_name))))
			return ERR_NOMEM;
		if (o->ca_file ? SSL_CTX_load_verify_file(c->ssl, o->ca_file) != 1 :
				 SSL_CTX_set_default_verify_paths(c->ssl) != 1)
			return ERR_INVALID;
	}
	SSL_CTX_set_verify(c->ssl, o->insecure && !c->pin ? SSL_VERIFY_NONE : SSL_VERIFY_PEER, NULL);
	*out = MOVE(c);
	return OK;
}

/* ---- streams ----------------------------------------------------------------------------------------------------- */

static bool is_ip_literal(const char *name)
{
	uint8_t b[16];

	return inet_pton(AF_INET, name, b) == 1 || inet_pton(AF_INET6, name, b) == 1;
}

static err set_client_checks(struct tls *t, const struct tls_ctx *c, const char *server_name)
{
	const char *check = c->verify_name ? c->verify_name : server_name;
	bool sni = server_name && !is_ip_literal(server_name);

	/* No SNI for an IP literal: RFC 6066 3, and what official clients do. */
	if (sni && SSL_set_tlsext_host_name(t->ssl, server_name) != 1)
		return ERR_INVALID;
	if (c->pin) {
		if (!(t->pin = bytes_dup(bytes_str(c->pin))) || (sni && !(t->pin_name = bytes_dup(bytes_str(server_name)))))
			return ERR_NOMEM;
		return OK;
	}
	if (SSL_get_verify_mode(t->ssl) == SSL_VERIFY_NONE)
		return OK;
	if (!check)
		return ERR_INVALID; /* any certificate of any name would do */
	X509_VERIFY_PARAM *p = SSL_get0_param(t->ssl);
	X509_VERIFY_PARAM_set_hostflags(p, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	int ok = is_ip_literal(check) ? X509_VERIFY_PARAM_set1_ip_asc(p, check) : X509_VERIFY_PARAM_set1_host(p, check, 0);
	return ok == 1 ? OK : ERR_INVALID;
}

static void tls_freep(struct tls **t)
{
	tls_free(*t);
}

err tls_new(struct tls_ctx *c, int fd, const char *server_name, struct tls **out)
{
	CLEANUP(tls_freep) struct tls *t = calloc(1, sizeof *t);

	if (!t)
		return ERR_NOMEM;
	t->fd = fd;
	t->why = "";
	if (c) {
		t->once = c->once;
		pthread_mutex_lock(&c->lock);
		t->ssl = SSL_new(c->ssl);
		if (c->metacert && X509_up_ref(c->metacert))
			t->metacert = c->metacert;
		pthread_mutex_unlock(&c->lock);
		if (!t->ssl || SSL_set_fd(t->ssl, fd) != 1)
			return ERR_NOMEM;
		SSL_set_app_data(t->ssl, t);
		if (SSL_is_server(t->ssl)) {
			SSL_set_accept_state(t->ssl);
			if (!(t->secrets = calloc(1, sizeof *t->secrets)))
				return ERR_NOMEM;
		} else {
			SSL_set_connect_state(t->ssl);
			TRY(set_client_checks(t, c, server_name));
		}
	}
	*out = MOVE(t);
	return OK;
}

static void forget_secrets(struct tls *t)
{
	if (t->secrets)
		sodium_memzero(t->secrets, sizeof *t->secrets);
	free(t->secrets);
	t->secrets = NULL;
}

void tls_free(struct tls *t)
{
	if (!t)
		return;
	if (t->wire && !t->broken)
		tls_wire_end(t->wire);
	tls_wire_free(t->wire);
	forget_secrets(t);
	if (t->ssl) {
		if (t->ready && !t->broken) {
			ERR_clear_error();
			SSL_shutdown(t->ssl);
		}
		ERR_clear_error();
		SSL_free(t->ssl);
	}
	X509_free(t->metacert);
	if (t->peer_cert)
		for (size_t i = 0; i < PEER_CERTS_MAX; i++)
			OPENSSL_free((void *)(uintptr_t)t->peer_cert[i].p);
	free(t->peer_cert);
	free(t->pin);
	free(t->pin_name);
	free(t);
}

void tls_end(struct tls *t)
{
	if (t->ssl && t->ready && !t->broken) {
		ERR_clear_error();
		SSL_shutdown(t->ssl);
	}
	if (t->wire && !t->broken)
		tls_wire_end(t->wire);
	t->broken = true;
	shutdown(t->fd, SHUT_WR);
}

enum tls_io tls_discard(struct tls *t, size_t *n)
{
	uint8_t area[16 * 1024]; /* sealed or not, it goes nowhere */

	for (int i = 0; i < 16; i++) { /* then others get their turn */
		ssize_t got = recv(t->fd, area, sizeof area, 0);

		if (got == 0)
			return TLS_EOF;
		if (got < 0)
			return errno == EAGAIN || errno == EINTR ? TLS_WANT_READ : TLS_EOF;
		*n += (size_t)got;
	}
	return TLS_WANT_READ;
}

static enum tls_io fail(struct tls *t, const char *why)
{
	t->broken = true;
	t->why = why ? why : "unknown error";
	return TLS_FAIL;
}

static enum tls_io from_errno(struct tls *t, int e, enum tls_io again)
{
	if (e == EAGAIN || e == EINTR)
		return again;
	if (e == ECONNRESET || e == EPIPE) {
		t->broken = true;
		return TLS_EOF;
	}
	return fail(t, strerrordesc_np(e));
}

/* After an SSL call that returned ret <= 0. */
static enum tls_io from_ssl(struct tls *t, int ret)
{
	int e = errno;
	long verify;

	switch (SSL_get_error(t->ssl, ret)) {
	case SSL_ERROR_WANT_READ:
		return TLS_WANT_READ;
	case SSL_ERROR_WANT_WRITE:
		return TLS_WANT_WRITE;
	case SSL_ERROR_ZERO_RETURN:
		return TLS_EOF;
	case SSL_ERROR_SYSCALL:
		if (e == 0) {
			t->broken = true;
			return TLS_EOF;
		}
		return from_errno(t, e, TLS_WANT_READ);
	default:
		verify = SSL_get_verify_result(t->ssl);
		if (!t->ready && verify == X509_V_ERR_APPLICATION_VERIFICATION)
			return fail(t, "the certificate is not the pinned one");
		if (!t->ready && verify != X509_V_OK && SSL_get_verify_mode(t->ssl) != SSL_VERIFY_NONE)
			return fail(t, X509_verify_cert_error_string(verify));
		return fail(t, ERR_reason_error_string(ERR_peek_last_error()));
	}
}

/* What the peer asked for by max_fragment_length (RFC 6066), to which OpenSSL agreed. */
static size_t fragment_max(SSL *ssl)
{
	unsigned mode = SSL_SESSION_get_max_fragment_length(SSL_get0_session(ssl));

	return mode >= TLSEXT_max_fragment_length_512 && mode <= TLSEXT_max_fragment_length_4096 ? 256u << mode : TLS_RECORD_PLAIN_MAX;
}

/* From here on records are our own affair (tls_wire.h says why), where the version is 1.3; otherwise, or without memory, OpenSSL
 * goes on. It has read nothing beyond the handshake, for it was not allowed to read ahead. */
static void take_over(struct tls *t)
{
	const SSL_CIPHER *suite = SSL_get_current_cipher(t->ssl);

	if (t->version == TLS1_3_VERSION && t->secrets && suite && !SSL_has_pending(t->ssl) &&
		tls_wire_new(t->fd, SSL_CIPHER_get_protocol_id(suite), t->secrets, fragment_max(t->ssl), &t->wire) == OK) {
		SSL_free(t->ssl);
		t->ssl = NULL;
	} else {
		SSL_set_read_ahead(t->ssl, 1); /* one recv a batch of records instead of two a record (libraries.md 2) */
	}
	forget_secrets(t);
}

enum tls_io tls_handshake(struct tls *t)
{
	if (!t->ssl || t->ready)
		return TLS_OK;
	if (t->broken)
		return TLS_FAIL;
	ERR_clear_error();
	errno = 0;
	int ret = SSL_do_handshake(t->ssl);
	if (ret != 1)
		return from_ssl(t, ret);
	t->ready = true;
	X509_STORE *none = t->once ? X509_STORE_new() : NULL;
	if (none)
		SSL_CTX_set_cert_store(SSL_get_SSL_CTX(t->ssl), none); /* taken */
	X509_free(t->metacert);
	t->metacert = NULL;
	t->version = SSL_version(t->ssl);
	take_over(t);
	return TLS_OK;
}

/* After tls_wire_read or tls_wire_write. */
static enum tls_io from_wire(struct tls *t, enum tls_io io)
{
	if (io == TLS_FAIL)
		t->why = tls_wire_why(t->wire);
	return io;
}

enum tls_io tls_read(struct tls *t, void *p, size_t cap, size_t *n)
{
	if (t->wire)
		return t->broken ? TLS_EOF : from_wire(t, tls_wire_read(t->wire, p, cap, n));
	if (!t->ssl) {
		ssize_t got = recv(t->fd, p, cap, 0);

		if (got > 0)
			return *n = (size_t)got, TLS_OK;
		return got == 0 ? TLS_EOF : from_errno(t, errno, TLS_WANT_READ);
	}
	if (t->broken)
		return t->why[0] ? TLS_FAIL : TLS_EOF;
	ERR_clear_error();
	errno = 0;
	int ret = SSL_read_ex(t->ssl, p, cap, n);
	return ret == 1 ? TLS_OK : from_ssl(t, ret);
}

bool tls_has_more(const struct tls *t)
{
	if (t->wire)
		return tls_wire_holds(t->wire) > 0;
	return t->ssl && SSL_has_pending(t->ssl);
}

enum tls_io tls_write(struct tls *t, struct bytes b, size_t *n)
{
	if (b.n == 0)
		return *n = 0, TLS_OK;
	if (t->wire)
		return t->broken ? TLS_EOF : from_wire(t, tls_wire_write(t->wire, b, n));
	if (!t->ssl) {
		ssize_t put = send(t->fd, b.p, b.n, MSG_NOSIGNAL);

		return put >= 0 ? (*n = (size_t)put, TLS_OK) : from_errno(t, errno, TLS_WANT_WRITE);
	}
	if (t->broken)
		return t->why[0] ? TLS_FAIL : TLS_EOF;
	ERR_clear_error();
	errno = 0;
	int ret = SSL_write_ex(t->ssl, b.p, b.n, n);
	return ret == 1 ? TLS_OK : from_ssl(t, ret);
}

size_t tls_holds(const struct tls *t)
{
	return t->wire ? tls_wire_holds(t->wire) : 0;
}

void tls_warm(const struct tls *t, unsigned step)
{
	if (t->wire)
		tls_wire_warm(t->wire, step);
}

const char *tls_why(const struct tls *t)
{
	return t->why;
}

int tls_version(const struct tls *t)
{
	return t->version;
}

struct bytes tls_peer_cert(const struct tls *t, size_t i)
{
	STACK_OF(X509) *sent = t->ssl && t->ready ? SSL_get_peer_cert_chain(t->ssl) : NULL;
	struct tls *self = (struct tls *)(uintptr_t)t; /* remembers the DER it lends */

	if (!sent || i >= PEER_CERTS_MAX || i >= (size_t)sk_X509_num(sent))
		return (struct bytes){ 0 };
	if (!self->peer_cert && !(self->peer_cert = calloc(PEER_CERTS_MAX, sizeof *self->peer_cert)))
		return (struct bytes){ 0 };
	if (!self->peer_cert[i].p) {
		unsigned char *der = NULL;
		int n = i2d_X509(sk_X509_value(sent, (int)i), &der);

		if (n > 0)
			self->peer_cert[i] = bytes_of(der, (size_t)n);
	}
	return self->peer_cert[i];
}
