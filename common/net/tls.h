/* tls: OpenSSL behind a face of our own: contexts (server certificates, client checks) and streams over a descriptor.
 *
 * Streams never block: they say what they wait for, which is level-triggered: one read may say WANT_READ though there is more.
 * TLS 1.2 and 1.3, ALPN http/1.1 only, no tickets, no session cache. A server's TLS 1.3 records are ours after the handshake
 * (tls_wire.h); the rest is OpenSSL's, with SSL_MODE_RELEASE_BUFFERS and read-ahead (reference/libraries.md 2). A plain stream has the same face (ctx NULL), so
 * that connections need not know. */
#pragma once

#include "common/base/bytes.h"

struct tls_ctx;
struct tls;

/* A server context from PEM files. ERR_INVALID with a one-line reason in why (which file, what is wrong). */
MUST_USE err tls_server_new(const char *cert_path, const char *key_path, char *why, size_t why_cap, struct tls_ctx **out);
/* From PEM text held in memory (a self-made certificate kept in the database). */
MUST_USE err tls_server_new_pem(struct bytes cert_pem, struct bytes key_pem, struct tls_ctx **out);
/* Reads the files again and swaps the certificate for new handshakes; on an error the old one stays. */
MUST_USE err tls_server_reload(struct tls_ctx *c, char *why, size_t why_cap);
/* Sent after the chain when TLS 1.3 was negotiated (DERP's metacert, protocol/derp.md 3.2); der is copied. */
MUST_USE err tls_server_set_metacert(struct tls_ctx *c, struct bytes der);
/* Lower-case hex SHA-256 of the leaf's DER, for CertName "sha256-raw:<hex>"; out has room for 65. */
void tls_server_cert_sha256(const struct tls_ctx *c, char out[65]);

/* Wall clock: when the certificate for new handshakes ends; 0: it cannot be told. Any thread. */
int64_t tls_server_cert_ends_ms(struct tls_ctx *c);

/* How a client checks its server. */
struct tls_client_opts {
	const char *ca_file;	 /* NULL: the system's roots */
	const char *sha256_raw;	 /* hex: pin the DER certificate instead of a chain (derp.md 3.1); NULL: no pin */
	const char *verify_name; /* name to check instead of the SNI name; NULL: the SNI name */
	bool insecure;		 /* no check at all: ts2021, where Noise authenticates, and tests */
	bool once;		 /* for one stream: its roots, megabytes perhaps, go when the handshake is done */
};
MUST_USE err tls_client_new(const struct tls_client_opts *o, struct tls_ctx **out);
void tls_ctx_free(struct tls_ctx *c); /* streams keep what they need */

/* A stream over fd (borrowed: the caller closes it after tls_free). server_name: SNI for clients, NULL for none. */
MUST_USE err tls_new(struct tls_ctx *c, int fd, const char *server_name, struct tls **out);
void tls_free(struct tls *t); /* sends close_notify when it can be done at once */
/* Says that nothing more comes from us (close_notify, FIN). What still comes in is then read by tls_discard: closing a socket
 * with unread input would reset it, and the peer would lose the answer that it was just sent. */
void tls_end(struct tls *t);
/* After tls_end: throws away what came, unread. TLS_WANT_READ: more may come; TLS_EOF: the peer closed, too. *n counts up. */
enum tls_io tls_discard(struct tls *t, size_t *n);

enum tls_io {
	TLS_OK,
	TLS_WANT_READ,	/* come back when fd is readable */
	TLS_WANT_WRITE, /* … writable */
	TLS_EOF,	/* the peer closed (cleanly or not) */
	TLS_FAIL,	/* broken; tls_why says why */
};

enum tls_io tls_handshake(struct tls *t);
/* Up to cap bytes; *n > 0 on TLS_OK. Drain until it says WANT_*: bytes may wait inside. */
enum tls_io tls_read(struct tls *t, void *p, size_t cap, size_t *n);
/* Bytes that came may lie inside, unread: then the descriptor does not tell of them. */
bool tls_has_more(const struct tls *t);
/* Takes what it can; *n > 0 on TLS_OK. After WANT_* call again with the same bytes (a moved copy is fine). */
enum tls_io tls_write(struct tls *t, struct bytes b, size_t *n);
/* Bytes that it keeps until the socket takes or brings more; what OpenSSL keeps of its own, a record at most, is not known. */
size_t tls_holds(const struct tls *t);
/* Has the processor fetch what a write needs, in steps 0 and 1 with other work between them. */
void tls_warm(const struct tls *t, unsigned step);
const char *tls_why(const struct tls *t); /* borrowed; "" when nothing failed */
int tls_version(const struct tls *t);	  /* 0x0304 = TLS 1.3; 0 before the handshake */
/* Client streams, after the handshake: DER of each presented certificate, i = 0 the leaf; n 0 = no such one. Borrowed. */
struct bytes tls_peer_cert(const struct tls *t, size_t i);

/* A P-256 key and a certificate, valid for years, self-signed, with each name or IP literal as a SAN. PEM, owned. */
MUST_USE err tls_self_signed(const char *const *names, size_t n_names, unsigned days, char **cert_pem, char **key_pem);
