#include "common/net/tls.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/buf.h"
#include "common/base/cleanup.h"
#include "common/net/metacert.h"
#include "common/base/openssl.h"
#include "common/net/sock.h"
#include "tests/lib/test.h"

static char *cert_pem, *key_pem;
static struct tls_ctx *server;
static char sha256[65];
static const uint8_t derp_pub[32] = { 0xab, 0xcd };

static int set_up(void **state)
{
	static const char *const names[] = { "derp.example.com", "127.0.0.1", "::1" };
	struct buf der = buf_make(METACERT_LEN);

	(void)state;
	signal(SIGPIPE, SIG_IGN);
	if (tls_self_signed(names, 3, 3650, &cert_pem, &key_pem) != OK ||
			tls_server_new_pem(bytes_str(cert_pem), bytes_str(key_pem), &server) != OK ||
			metacert_make(derp_pub, 1700000000000, &der) != OK ||
			tls_server_set_metacert(server, buf_view(&der)) != OK)
		return -1;
	tls_server_cert_sha256(server, sha256);
	buf_done(&der);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	tls_ctx_free(server);
	free(cert_pem);
	free(key_pem);
	return 0;
}

struct joined {
	int fd[2];
	struct tls *s, *c;
	enum tls_io s_end, c_end;
};

static void join(struct joined *j, struct tls_ctx *sc, struct tls_ctx *cc, const char *name)
{
	assert_ok(sock_pair(j->fd));
	assert_ok(tls_new(sc, j->fd[0], NULL, &j->s));
	assert_ok(tls_new(cc, j->fd[1], name, &j->c));
	j->s_end = j->c_end = TLS_WANT_READ;
	for (int i = 0; i < 20; i++) {
		if (j->c_end == TLS_WANT_READ)
			j->c_end = tls_handshake(j->c);
		if (j->s_end == TLS_WANT_READ)
			j->s_end = tls_handshake(j->s);
	}
}

static void part(struct joined *j)
{
	tls_free(j->c);
	tls_free(j->s);
	close(j->fd[0]);
	close(j->fd[1]);
}

static struct tls_ctx *client(const char *pin, bool insecure)
{
	struct tls_ctx *c;
	struct tls_client_opts o = { .sha256_raw = pin, .insecure = insecure };

	assert_ok(tls_client_new(&o, &c));
	return c;
}

static void move_bytes(struct joined *j)
{
	enum { N = 300000 };
	struct test_rng r = { 7 };
	uint8_t *sent = malloc(N), *got = malloc(N);
	size_t put = 0, have = 0, n;
	enum tls_io io = TLS_OK;

	rng_fill(&r, sent, N);
	for (int turn = 0; have < N && turn < 100000; turn++) {
		/* The same bytes from another place after a refusal. */
		size_t part_n = MIN_OF((size_t)N - put, (size_t)50000);
		struct bytes copy = test_exact(bytes_of(sent + put, part_n));
		if (put < N && (io = tls_write(j->s, copy, &n)) == TLS_OK)
			put += n;
		else if (put < N)
			assert_int_equal(io, TLS_WANT_WRITE);
		test_exact_free(copy);
		while ((io = tls_read(j->c, got + have, MIN_OF((size_t)N - have, (size_t)5000), &n)) == TLS_OK && n) {
			have += n;
			if (have == N)
				break;
		}
		if (have < N)
			assert_int_equal(io, TLS_WANT_READ);
	}
	assert_int_equal(have, N);
	assert_memory_equal(sent, got, N);
	free(sent);
	free(got);
}

static void a_pinned_client_talks(void **state)
{
	struct tls_ctx *cc = client(sha256, false);
	struct joined j;
	char b;
	size_t n;

	(void)state;
	join(&j, server, cc, "derp.example.com");
	assert_string_equal(tls_why(j.c), "");
	assert_int_equal(j.c_end, TLS_OK);
	assert_int_equal(j.s_end, TLS_OK);
	assert_int_equal(tls_version(j.c), 0x0304);
	move_bytes(&j);
	/* Leaf and metacert, and no third. */
	assert_true(tls_peer_cert(j.c, 0).n > 0);
	assert_int_equal(tls_peer_cert(j.c, 1).n, METACERT_LEN);
	assert_int_equal(tls_peer_cert(j.c, 2).n, 0);
	tls_free(j.s);
	j.s = NULL;
	assert_int_equal(tls_read(j.c, &b, 1, &n), TLS_EOF);
	part(&j);
	tls_ctx_free(cc);
}

static void pins_are_refused(struct tls_ctx *cc, const char *name, const char *why)
{
	struct joined j;

	join(&j, server, cc, name);
	assert_int_equal(j.c_end, TLS_FAIL);
	assert_string_equal(tls_why(j.c), why);
	assert_int_not_equal(j.s_end, TLS_OK);
	part(&j);
	tls_ctx_free(cc);
}

static void pin_rules(void **state)
{
	struct joined j;
	char other[65], upper[65];
	struct tls_ctx *cc;

	(void)state;
	memcpy(other, sha256, sizeof other);
	other[0] = other[0] == 'a' ? 'b' : 'a';
	pins_are_refused(client(other, false), "derp.example.com", "the certificate is not the pinned one");
	pins_are_refused(client(other, true), "derp.example.com", "the certificate is not the pinned one");
	pins_are_refused(client(sha256, false), "other.example.com", "hostname mismatch");
	for (size_t i = 0; i < sizeof upper; i++)
		upper[i] = (char)(sha256[i] >= 'a' ? sha256[i] - 32 : sha256[i]);
	/* An IP literal sends no SNI, so there is no name to match: 192.0.2.1 is not in the certificate. */
	cc = client(upper, false);
	join(&j, server, cc, "192.0.2.1");
	assert_int_equal(j.c_end, TLS_OK);
	part(&j);
	tls_ctx_free(cc);
	struct tls_client_opts bad = { .sha256_raw = "abc" };
	assert_int_equal(tls_client_new(&bad, &cc), ERR_INVALID);
}

static void chains_are_checked(void **state)
{
	char dir[] = "/tmp/fairlead-tls-XXXXXX", ca[64];
	struct tls_ctx *cc;
	struct joined j;

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(ca, sizeof ca, "%s/ca.pem", dir);
	FILE *f = fopen(ca, "w");
	assert_non_null(f);
	fputs(cert_pem, f);
	fclose(f);
	struct {
		const char *ca, *verify, *name, *why;
	} cases[] = {
		{ ca, NULL, "derp.example.com", "" },
		{ ca, NULL, "127.0.0.1", "" },
		{ ca, NULL, "127.0.0.2", "IP address mismatch" },
		{ ca, NULL, "evil.example.com", "hostname mismatch" },
		{ ca, "derp.example.com", "front.example.com", "" },
		{ NULL, NULL, "derp.example.com", "self-signed certificate" },
	};
	for (size_t k = 0; k < 2 * ARRAY_LEN(cases); k++) {
		size_t i = k / 2; /* each with a context for many streams and for one */
		struct tls_client_opts o = { .ca_file = cases[i].ca, .verify_name = cases[i].verify, .once = k % 2 };

		assert_ok(tls_client_new(&o, &cc));
		join(&j, server, cc, cases[i].name);
		assert_string_equal(tls_why(j.c), cases[i].why);
		assert_int_equal(j.c_end, cases[i].why[0] ? TLS_FAIL : TLS_OK);
		part(&j);
		tls_ctx_free(cc);
	}
	unlink(ca);
	rmdir(dir);
	/* A chain check without any name would accept anybody. */
	assert_ok(tls_client_new(&(struct tls_client_opts){ 0 }, &cc));
	struct tls *t;
	assert_int_equal(tls_new(cc, 0, NULL, &t), ERR_INVALID);
	tls_ctx_free(cc);
}

/* A client of plain OpenSSL, for what our own never does: TLS 1.2 and ALPN. Returns the number of certificates. */
static int foreign_client(int max_version, const char *alpn, char chosen[16])
{
	SSL_CTX *c = SSL_CTX_new(TLS_client_method());
	SSL *s;
	struct tls *t;
	int fd[2], done = 0;
	unsigned n;
	const unsigned char *p;

	assert_ok(sock_pair(fd));
	SSL_CTX_set_max_proto_version(c, max_version);
	if (alpn)
		SSL_CTX_set_alpn_protos(c, (const unsigned char *)alpn, (unsigned)strlen(alpn));
	s = SSL_new(c);
	SSL_set_fd(s, fd[1]);
	SSL_set_connect_state(s);
	assert_ok(tls_new(server, fd[0], NULL, &t));
	for (int i = 0; i < 10 && !done; i++) {
		done = SSL_do_handshake(s) == 1;
		done = tls_handshake(t) == TLS_OK && done;
	}
	assert_true(done);
	assert_int_equal(tls_version(t), max_version);
	assert_int_equal(SSL_session_reused(s), 0);
	SSL_get0_alpn_selected(s, &p, &n);
	assert_true(n < 16);
	if (n)
		memcpy(chosen, p, n);
	chosen[n] = 0;
	int certs = sk_X509_num(SSL_get_peer_cert_chain(s));
	SSL_free(s);
	SSL_CTX_free(c);
	tls_free(t);
	close(fd[0]);
	close(fd[1]);
	return certs;
}

/* Records are ours after the handshake: OpenSSL at the other end, which changes keys and pads. */
struct foreign {
	SSL_CTX *ctx;
	SSL *ssl;
	struct tls *t;
	int fd[2];
};

static void foreign_open(struct foreign *f, const char *suite, int max_version)
{
	int done = 0, small = 8192;

	f->ctx = SSL_CTX_new(TLS_client_method());
	SSL_CTX_set_max_proto_version(f->ctx, max_version);
	if (suite)
		assert_int_equal(SSL_CTX_set_ciphersuites(f->ctx, suite), 1);
	SSL_CTX_set_mode(f->ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	assert_ok(sock_pair(f->fd));
	setsockopt(f->fd[0], SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
	f->ssl = SSL_new(f->ctx);
	SSL_set_fd(f->ssl, f->fd[1]);
	SSL_set_connect_state(f->ssl);
	assert_ok(tls_new(server, f->fd[0], NULL, &f->t));
	for (int i = 0; i < 10 && !done; i++) {
		done = SSL_do_handshake(f->ssl) == 1;
		/* What follows at once is in the socket together with the end of the handshake. */
		if (done)
			assert_int_equal(SSL_write(f->ssl, "early", 5), 5);
		done = tls_handshake(f->t) == TLS_OK && done;
	}
	assert_true(done);
	assert_int_equal(tls_version(f->t), max_version);
	char early[6] = "";
	size_t n = 0, have = 0;
	for (int i = 0; i < 9 && have < 5; i++) /* in a buffer smaller than the record */
		if (tls_read(f->t, early + have, 2, &n) == TLS_OK)
			have += n;
	assert_string_equal(early, "early");
}

static void foreign_close(struct foreign *f)
{
	SSL_free(f->ssl);
	SSL_CTX_free(f->ctx);
	tls_free(f->t);
	close(f->fd[0]);
	close(f->fd[1]);
}

static void a_foreign_client_talks(struct foreign *f, uint64_t seed)
{
	enum { N = 200000 };
	struct test_rng r = { seed };
	uint8_t *up = malloc(N), *down = malloc(N), *got_up = malloc(N), *got_down = malloc(N);
	size_t put_up = 0, put_down = 0, have_up = 0, have_down = 0, n = 0;
	bool again = false; /* a refused write comes with the same bytes */
	size_t again_n = 0;

	rng_fill(&r, up, N);
	rng_fill(&r, down, N);
	for (int turn = 0; have_up < N || have_down < N; turn++) {
		assert_true(turn < 200000);
		if (turn % 64 == 0 && turn < 64 * 25 && tls_version(f->t) == TLS1_3_VERSION)
			SSL_key_update(f->ssl, rng_below(&r, 2) ? SSL_KEY_UPDATE_REQUESTED : SSL_KEY_UPDATE_NOT_REQUESTED);
		if (rng_below(&r, 20) == 0)
			SSL_set_block_padding(f->ssl, rng_below(&r, 2) ? 0 : 1 + rng_below(&r, 700));
		if (put_up < N && SSL_write_ex(f->ssl, up + put_up, MIN_OF((size_t)N - put_up, 1 + rng_below(&r, 20000)), &n) == 1)
			put_up += n;
		if (put_down < N) {
			size_t k = again ? again_n : MIN_OF((size_t)N - put_down, 1 + rng_below(&r, 90000));
			struct bytes copy = test_exact(bytes_of(down + put_down, k));
			enum tls_io io = tls_write(f->t, copy, &n);

			assert_true(io == TLS_OK || io == TLS_WANT_WRITE);
			again = io != TLS_OK;
			again_n = k;
			put_down += io == TLS_OK ? n : 0;
			test_exact_free(copy);
		}
		if (rng_below(&r, 2) && have_up < N) {
			size_t cap = MIN_OF((size_t)N - have_up, rng_below(&r, 2) ? 1 + rng_below(&r, 50) : 1 + rng_below(&r, 100000));
			enum tls_io io = tls_read(f->t, got_up + have_up, cap, &n);

			assert_true(io == TLS_OK || io == TLS_WANT_READ);
			have_up += io == TLS_OK ? n : 0;
		}
		if (rng_below(&r, 2) && have_down < N && SSL_read_ex(f->ssl, got_down + have_down, N - have_down, &n) == 1)
			have_down += n;
	}
	assert_memory_equal(up, got_up, N);
	assert_memory_equal(down, got_down, N);
	free(up), free(down), free(got_up), free(got_down);
}

/* As a loop would: a read may say that there is nothing once too often. */
static enum tls_io read_now(struct tls *t, void *p, size_t cap, size_t *n)
{
	enum tls_io io = TLS_WANT_READ;

	for (int i = 0; i < 3 && io == TLS_WANT_READ; i++)
		io = tls_read(t, p, cap, n);
	return io;
}

static void foreign_clients_of_every_suite(void **state)
{
	static const char *const suites[] = { "TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256" };
	char b[8];
	size_t n;

	(void)state;
	for (uint64_t seed = 0; seed < 12; seed++) {
		struct foreign f;

		if (seed < 9)
			foreign_open(&f, suites[seed % 3], TLS1_3_VERSION);
		else
			foreign_open(&f, NULL, TLS1_2_VERSION);
		a_foreign_client_talks(&f, seed);
		/* Its end, and ours. */
		if (seed % 2) {
			SSL_shutdown(f.ssl);
			assert_int_equal(read_now(f.t, b, sizeof b, &n), TLS_EOF);
			assert_int_equal(tls_read(f.t, b, sizeof b, &n), TLS_EOF);
			assert_int_equal(tls_write(f.t, BYTES_LIT("still"), &n), TLS_OK);
			assert_int_equal(SSL_read(f.ssl, b, sizeof b), 5);
		} else {
			tls_end(f.t);
			assert_int_equal(SSL_get_error(f.ssl, SSL_read(f.ssl, b, sizeof b)), SSL_ERROR_ZERO_RETURN);
			assert_true(SSL_get_shutdown(f.ssl) & SSL_RECEIVED_SHUTDOWN);
		}
		foreign_close(&f);
	}
}

/* A byte that was changed on the way: what came before it counts, then it is over, and the peer hears why. */
static void a_changed_record_ends_it(void **state)
{
	struct foreign f;
	uint8_t raw[256], b[300];
	size_t n = 0;

	(void)state;
	foreign_open(&f, "TLS_AES_128_GCM_SHA256", TLS1_3_VERSION);
	assert_int_equal(SSL_write(f.ssl, "whole", 5), 5);
	assert_int_equal(SSL_write(f.ssl, "broken", 6), 6);
	assert_int_equal(read_now(f.t, b, sizeof b, &n), TLS_OK);
	assert_int_equal(n, 11);
	/* Sealed by it for us, and changed in between. */
	int fd[2];
	assert_ok(sock_pair(fd));
	SSL_set_wfd(f.ssl, fd[1]);
	assert_int_equal(SSL_write(f.ssl, "whole", 5), 5);
	assert_int_equal(SSL_write(f.ssl, "broken", 6), 6);
	ssize_t k = read(fd[0], raw, sizeof raw);
	assert_true(k > 40);
	raw[k - 1] ^= 1;
	assert_int_equal(write(f.fd[1], raw, (size_t)k), k);
	assert_int_equal(read_now(f.t, b, sizeof b, &n), TLS_OK);
	assert_int_equal(n, 5);
	assert_int_equal(tls_read(f.t, b, sizeof b, &n), TLS_FAIL);
	assert_string_equal(tls_why(f.t), "a record was changed on its way");
	assert_int_equal(tls_read(f.t, b, sizeof b, &n), TLS_FAIL);
	assert_int_equal(tls_write(f.t, BYTES_LIT("x"), &n), TLS_FAIL);
	ERR_clear_error();
	assert_int_equal(SSL_get_error(f.ssl, SSL_read(f.ssl, b, sizeof b)), SSL_ERROR_SSL);
	assert_int_equal(ERR_GET_REASON(ERR_peek_error()), SSL_R_SSLV3_ALERT_BAD_RECORD_MAC);
	ERR_clear_error();
	close(fd[0]), close(fd[1]);
	foreign_close(&f);
}

static void the_metacert_needs_tls13(void **state)
{
	char alpn[16];

	(void)state;
	assert_int_equal(foreign_client(TLS1_3_VERSION, NULL, alpn), 2);
	assert_int_equal(foreign_client(TLS1_2_VERSION, NULL, alpn), 1);
	assert_string_equal(alpn, "");
}

static void alpn_is_http11_or_nothing(void **state)
{
	char alpn[16];

	(void)state;
	foreign_client(TLS1_3_VERSION, "\x02h2\x08http/1.1", alpn);
	assert_string_equal(alpn, "http/1.1");
	foreign_client(TLS1_3_VERSION, "\x02h2", alpn);
	assert_string_equal(alpn, "");
	foreign_client(TLS1_2_VERSION, "\x0a" "acme-tls/1", alpn);
	assert_string_equal(alpn, "");
}

static void plain_streams_have_the_same_face(void **state)
{
	struct joined j;
	char b;
	size_t n;

	(void)state;
	join(&j, NULL, NULL, NULL);
	assert_int_equal(j.c_end, TLS_OK);
	assert_int_equal(tls_version(j.c), 0);
	assert_int_equal(tls_peer_cert(j.c, 0).n, 0);
	move_bytes(&j);
	shutdown(j.fd[0], SHUT_WR);
	assert_int_equal(tls_read(j.c, &b, 1, &n), TLS_EOF);
	part(&j);
}

static void garbage_fails_with_a_reason(void **state)
{
	struct tls *t;
	int fd[2];

	(void)state;
	assert_ok(sock_pair(fd));
	assert_ok(tls_new(server, fd[0], NULL, &t));
	assert_int_equal(tls_handshake(t), TLS_WANT_READ);
	assert_int_equal(write(fd[1], "GET / HTTP/1.1\r\n\r\n", 18), 18);
	assert_int_equal(tls_handshake(t), TLS_FAIL);
	assert_string_equal(tls_why(t), "http request");
	assert_int_equal(tls_handshake(t), TLS_FAIL);
	tls_free(t);
	close(fd[0]);
	close(fd[1]);
}

static void write_file(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static void files_are_read_and_reloaded(void **state)
{
	char dir[] = "/tmp/fairlead-tls-XXXXXX", cert[64], key[64], why[128], first[65], second[65];
	static const char *const names[] = { "b.example.com" };
	struct tls_ctx *c;
	CLEANUP(freep) char *cert2 = NULL;
	CLEANUP(freep) char *key2 = NULL;

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(cert, sizeof cert, "%s/cert.pem", dir);
	snprintf(key, sizeof key, "%s/key.pem", dir);
	assert_int_equal(tls_server_new(cert, key, why, sizeof why, &c), ERR_INVALID);
	assert_non_null(strstr(why, "No such file"));
	assert_non_null(strstr(why, cert));
	write_file(cert, cert_pem);
	write_file(key, "rubbish");
	assert_int_equal(tls_server_new(cert, key, why, sizeof why, &c), ERR_INVALID);
	assert_non_null(strstr(why, "no usable PEM private key"));
	write_file(key, key_pem);
	assert_ok(tls_server_new(cert, key, why, sizeof why, &c));
	tls_server_cert_sha256(c, first);
	assert_string_equal(first, sha256);

	assert_ok(tls_self_signed(names, 1, 30, &cert2, &key2));
	write_file(cert, cert2); /* half an update: the old pair stays */
	assert_int_equal(tls_server_reload(c, why, sizeof why), ERR_INVALID);
	assert_non_null(strstr(why, "does not belong"));
	tls_server_cert_sha256(c, second);
	assert_string_equal(first, second);
	write_file(key, key2);
	assert_ok(tls_server_reload(c, why, sizeof why));
	tls_server_cert_sha256(c, second);
	assert_string_not_equal(first, second);
	struct tls_ctx *cc = client(second, false);
	struct joined j;
	join(&j, c, cc, "b.example.com");
	assert_int_equal(j.c_end, TLS_OK);
	part(&j);
	tls_ctx_free(cc);
	tls_ctx_free(c);
	assert_int_equal(tls_server_reload(server, why, sizeof why), ERR_STATE);
	unlink(cert);
	unlink(key);
	rmdir(dir);
}

struct shaker {
	pthread_t thread;
	struct tls_ctx *server;
	unsigned done;
};

static void *shake_hands(void *arg)
{
	struct shaker *k = arg;
	struct tls_ctx *cc = client(NULL, true);

	for (int i = 0; i < 15; i++) {
		struct joined j;

		join(&j, k->server, cc, "b.example.com");
		k->done += j.c_end == TLS_OK && j.s_end == TLS_OK;
		part(&j);
	}
	tls_ctx_free(cc);
	return NULL;
}

/* The wire threads make streams while the main thread reloads (worth most under TSan). */
static void reloading_beside_handshakes(void **state)
{
	char dir[] = "/tmp/fairlead-tls-XXXXXX", cert[64], key[64], why[128];
	struct shaker k[2] = { 0 };
	struct tls_ctx *c;

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(cert, sizeof cert, "%s/cert.pem", dir);
	snprintf(key, sizeof key, "%s/key.pem", dir);
	write_file(cert, cert_pem);
	write_file(key, key_pem);
	assert_ok(tls_server_new(cert, key, why, sizeof why, &c));
	for (size_t i = 0; i < ARRAY_LEN(k); i++) {
		k[i].server = c;
		assert_int_equal(pthread_create(&k[i].thread, NULL, shake_hands, &k[i]), 0);
	}
	for (int i = 0; i < 10; i++) {
		struct buf der = buf_make(METACERT_LEN);

		assert_ok(tls_server_reload(c, why, sizeof why));
		assert_ok(metacert_make(derp_pub, 1700000000000 + i, &der));
		assert_ok(tls_server_set_metacert(c, buf_view(&der)));
		buf_done(&der);
	}
	for (size_t i = 0; i < ARRAY_LEN(k); i++) {
		pthread_join(k[i].thread, NULL);
		assert_int_equal(k[i].done, 15);
	}
	tls_ctx_free(c);
	unlink(cert);
	unlink(key);
	rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_pinned_client_talks), cmocka_unit_test(pin_rules), cmocka_unit_test(chains_are_checked),
		cmocka_unit_test(foreign_clients_of_every_suite), cmocka_unit_test(a_changed_record_ends_it),
		cmocka_unit_test(the_metacert_needs_tls13), cmocka_unit_test(alpn_is_http11_or_nothing),
		cmocka_unit_test(plain_streams_have_the_same_face), cmocka_unit_test(garbage_fails_with_a_reason),
		cmocka_unit_test(files_are_read_and_reloaded), cmocka_unit_test(reloading_beside_handshakes),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
