/* derp_threads: what a second wire thread is worth to the relay, on two cores, without a load generator in the way.
 *
 *   derp_threads [--tls] [--size BYTES] [--pairs N] [--rounds N] [--way 1|2|3]
 *
 * The relay runs in this process, its threads bound to a core each. A round: the threads are held, every sender's packets are
 * written into its socket, the threads are let go, and the time is taken until the last packet has left; nothing else of ours
 * runs meanwhile, and receivers' sockets have room for all. Three ways: one thread; two, both ends of a pair at the same one; two,
 * the ends of each pair at different ones. Prints a line each: MB a second, MB a CPU-second of the threads, and ns a packet.
 * Needs CAP_NET_ADMIN (large socket buffers). */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "common/base/cleanup.h"
#include "common/base/openssl.h"
#include "common/wire/derp_client.h"
#include "derp/conn.h"

enum { WORKERS = 2, PAIRS_MAX = 64, ROUND_BYTES = 512 << 10, SOCKET_BYTES = 16 << 20 };

static struct {
	bool tls;
	size_t size;
	unsigned pairs, rounds, way;
} opt = { .size = 1400, .pairs = 64, .rounds = 12 };

static struct relay *relay;
static struct worker {
	struct loop *loop;
	struct derp_thread *thread;
	pthread_t id;
	clockid_t cpu;
} worker[WORKERS];
static unsigned n_workers;
static sem_t held, go;
static struct tls_ctx *server_ctx;
static SSL_CTX *client_ctx;

struct end {
	int fd, far; /* ours; the relay's, until it has taken it */
	SSL *ssl;
	struct tls *tls; /* the relay's */
	struct node_key key;
	struct worker *w;
};

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static double seconds(clockid_t c)
{
	struct timespec t;

	clock_gettime(c, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* ---- the relay --------------------------------------------------------------------------------------------------- */

static void *run(void *arg)
{
	struct worker *w = arg;

	loop_run(w->loop);
	return NULL;
}

static void start_relay(unsigned n)
{
	struct relay_opts o = { .workers = n };

	n_workers = n;
	node_key_new(&o.key);
	if (relay_new(&o, &relay) != OK)
		die("relay");
	for (unsigned i = 0; i < n; i++) {
		cpu_set_t core;

		if (loop_new(&worker[i].loop) != OK || derp_thread_new(relay, worker[i].loop, &worker[i].thread) != OK ||
			pthread_create(&worker[i].id, NULL, run, &worker[i]) != 0)
			die("a thread");
		CPU_ZERO(&core);
		CPU_SET(i, &core);
		pthread_setaffinity_np(worker[i].id, sizeof core, &core);
		pthread_getcpuclockid(worker[i].id, &worker[i].cpu);
	}
}

static void stop_relay(void)
{
	for (unsigned i = 0; i < n_workers; i++) {
		loop_stop(worker[i].loop);
		pthread_join(worker[i].id, NULL);
	}
	for (unsigned i = 0; i < n_workers; i++)
		derp_thread_stop(worker[i].thread);
	for (unsigned i = 0; i < n_workers; i++)
		loop_free(worker[i].loop);
	for (unsigned i = 0; i < n_workers; i++)
		derp_thread_free(worker[i].thread);
	relay_free(relay);
}

static void start_conn(void *arg)
{
	struct end *e = arg;
	const struct upgrade u = { .kind = UPGRADE_DERP, .fast_start = true };

	derp_conn_start(e->w->thread, &(struct derp_conn_start){ .fd = e->far, .tls = e->tls, .upgrade = &u });
}

static void hold(void *arg)
{
	(void)arg;
	sem_post(&held);
	sem_wait(&go);
}

/* ---- the clients ------------------------------------------------------------------------------------------------- */

static void two_sockets(struct end *e)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t n = sizeof at;
	int l = socket(AF_INET, SOCK_STREAM, 0), room = SOCKET_BYTES, one = 1;

	e->fd = socket(AF_INET, SOCK_STREAM, 0);
	/* Before the connection is made: it fixes how large the window may get. */
	if (setsockopt(l, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room) != 0 ||
		setsockopt(e->fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room) != 0)
		die("SO_RCVBUFFORCE");
	setsockopt(l, SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof room);
	setsockopt(e->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	if (bind(l, (struct sockaddr *)&at, sizeof at) != 0 || listen(l, 1) != 0 || getsockname(l, (struct sockaddr *)&at, &n) != 0 ||
		connect(e->fd, (struct sockaddr *)&at, sizeof at) != 0 || (e->far = accept4(l, NULL, NULL, SOCK_NONBLOCK)) < 0)
		die("a connection");
	close(l);
}

static void shake(struct end *e)
{

	if (tls_new(opt.tls ? server_ctx : NULL, e->far, NULL, &e->tls) != OK)
		die("tls");
	if (!opt.tls)
		return;
	struct timeval blink = { .tv_usec = 1000 };
	setsockopt(e->fd, SOL_SOCKET, SO_RCVTIMEO, &blink, sizeof blink);
	e->ssl = SSL_new(client_ctx);
	SSL_set_fd(e->ssl, e->fd);
	for (bool near = false, far = false; !near || !far;) {
		if (!near && SSL_connect(e->ssl) == 1)
			near = true;
		enum tls_io io = far ? TLS_OK : tls_handshake(e->tls);
		if (io == TLS_FAIL || io == TLS_EOF)
			die("handshake");
		far = io == TLS_OK;
		ERR_clear_error();
	}
	setsockopt(e->fd, SOL_SOCKET, SO_RCVTIMEO, &(struct timeval){ .tv_sec = 5 }, sizeof blink);
}

static ssize_t put(struct end *e, struct bytes b)
{
	return e->ssl ? SSL_write(e->ssl, b.p, (int)b.n) : send(e->fd, b.p, b.n, MSG_NOSIGNAL);
}

static void end_open(struct end *e, struct worker *w)
{
	struct derp_client_opts o = { .key = &e->key, .host = "bench", .raw = true, .info = { .version = 2 } };
	struct derp_client_event ev;
	struct derp_client c;
	uint8_t chunk[4096];
	bool in = false;

	*e = (struct end){ .w = w };
	node_key_new(&e->key);
	two_sockets(e);
	shake(e);
	if (loop_post(w->loop, start_conn, e) != OK || derp_client_init(&c, &o) != OK)
		die("a client");
	while (!in) {
		struct bytes out = buf_view(&c.out);

		if (out.n && put(e, out) != (ssize_t)out.n)
			die("opening");
		buf_clear(&c.out);
		ssize_t n = e->ssl ? SSL_read(e->ssl, chunk, sizeof chunk) : recv(e->fd, chunk, sizeof chunk, 0);
		if (n <= 0 || derp_client_feed(&c, bytes_of(chunk, (size_t)n)) != OK)
			die("opening");
		while (derp_client_next(&c, &ev) == OK)
			in |= ev.kind == DERP_CLIENT_CONNECTED;
	}
	derp_client_done(&c);
}

static void end_close(struct end *e)
{
	SSL_free(e->ssl);
	close(e->fd);
}

/* One frame a record, as official clients send. */
static void fill(struct end *from, const struct end *to, unsigned packets)
{
	static uint8_t all[ROUND_BYTES * 2];
	struct writer w = wr_init(all, sizeof all);
	size_t frame = DERP_RECV_HEADER_LEN + opt.size;

	for (unsigned i = 0; i < packets; i++) {
		derp_write_packet_header(&w, DERP_SEND_PACKET, &to->key.pub, opt.size);
		memset(wr_room(&w, opt.size), 7, opt.size);
	}
	struct bytes b = wr_view(&w);
	while (b.n) {
		ssize_t n = put(from, from->ssl ? bytes_first(b, frame) : b);

		if (n <= 0)
			die("filling");
		b = bytes_skip(b, (size_t)n);
	}
}

static void empty(struct end *e)
{
	static uint8_t area[1 << 20];

	while (recv(e->fd, area, sizeof area, MSG_DONTWAIT) > 0)
		;
}

/* ---- a way ------------------------------------------------------------------------------------------------------- */

static double cpu(void)
{
	double s = 0;

	for (unsigned i = 0; i < n_workers; i++)
		s += seconds(worker[i].cpu);
	return s;
}

static void measure(const char *name, unsigned threads, bool cross, double *base)
{
	static struct end from[PAIRS_MAX], to[PAIRS_MAX];
	unsigned packets = (unsigned)(ROUND_BYTES / (DERP_RECV_HEADER_LEN + opt.size));
	double wall = 0, used = 0;
	struct relay_stats st;

	start_relay(threads);
	for (unsigned i = 0; i < opt.pairs; i++) {
		end_open(&from[i], &worker[i % threads]);
		end_open(&to[i], &worker[(i + cross) % threads]);
	}
	relay_stats_read(relay, &st);
	uint64_t sent = st.packets_sent, lost = 0, lost_first = 0;
	for (unsigned r = 0; r < opt.rounds; r++) {
		uint64_t want = sent + (uint64_t)opt.pairs * packets;

		for (unsigned i = 0; i < threads; i++)
			if (loop_post(worker[i].loop, hold, NULL) != OK)
				die("hold");
		for (unsigned i = 0; i < threads; i++)
			sem_wait(&held);
		for (unsigned i = 0; i < opt.pairs; i++)
			fill(&from[i], &to[i], packets);
		double start = seconds(CLOCK_MONOTONIC), cpu_start = cpu();
		for (unsigned i = 0; i < threads; i++)
			sem_post(&go);
		do {
			usleep(100);
			relay_stats_read(relay, &st);
			lost = st.dropped_queue_head + st.dropped_queue_tail + st.dropped_unknown_dest;
		} while (st.packets_sent + lost < want && seconds(CLOCK_MONOTONIC) < start + 10);
		if (r > 0) { /* the first warms up */
			wall += seconds(CLOCK_MONOTONIC) - start;
			used += cpu() - cpu_start;
		}
		sent = want;
		if (r == 0)
			lost_first = lost;
		for (unsigned i = 0; i < opt.pairs; i++)
			empty(&to[i]);
	}
	double all = (double)opt.pairs * packets * (opt.rounds - 1), n = all - (double)(lost - lost_first), mb = n * (double)opt.size / 1e6;
	if (!*base)
		*base = mb / wall;
	printf("%-30s %6.0f MB/s %5.2fx   %6.0f MB a CPU-second %6.0f ns a packet   lost %.1f %%\n", name, mb / wall, mb / wall / *base,
		mb / used, used / n * 1e9, 100 * (all - n) / all);
	fflush(stdout);
	for (unsigned i = 0; i < opt.pairs; i++)
		end_close(&from[i]), end_close(&to[i]);
	stop_relay();
}

int main(int argc, char **argv)
{
	double base = 0;
	char *cert = NULL, *key = NULL;

	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--tls") == 0)
			opt.tls = true;
		else if (i + 1 < argc && strcmp(argv[i], "--size") == 0)
			opt.size = strtoul(argv[++i], NULL, 10);
		else if (i + 1 < argc && strcmp(argv[i], "--pairs") == 0)
			opt.pairs = (unsigned)strtoul(argv[++i], NULL, 10);
		else if (i + 1 < argc && strcmp(argv[i], "--way") == 0)
			opt.way = (unsigned)strtoul(argv[++i], NULL, 10);
		else if (i + 1 < argc && strcmp(argv[i], "--rounds") == 0)
			opt.rounds = (unsigned)strtoul(argv[++i], NULL, 10);
	}
	if (opt.size < 1 || opt.size > DERP_PACKET_MAX || opt.pairs < 1 || opt.pairs > PAIRS_MAX || opt.rounds < 2) {
		fprintf(stderr, "usage: derp_threads [--tls] [--size 1..65536] [--pairs 1..64] [--rounds 2...]\n");
		return 2;
	}
	if (sodium_init() < 0)
		return 1;
	if (opt.tls) {
		const char *names[] = { "localhost" };

		client_ctx = SSL_CTX_new(TLS_client_method());
		if (!client_ctx || tls_self_signed(names, 1, 2, &cert, &key) != OK ||
			tls_server_new_pem(bytes_str(cert), bytes_str(key), &server_ctx) != OK)
			die("a certificate");
		SSL_CTX_set_ciphersuites(client_ctx, "TLS_AES_128_GCM_SHA256");
	}
	sem_init(&held, 0, 0);
	sem_init(&go, 0, 0);
	printf("%zu bytes a packet, %s, %u pairs\n", opt.size, opt.tls ? "TLS" : "plain", opt.pairs);
	if (!opt.way || opt.way == 1)
		measure("one thread", 1, false, &base);
	if (!opt.way || opt.way == 2)
		measure("two, pairs at one thread each", 2, false, &base);
	if (!opt.way || opt.way == 3)
		measure("two, pairs across threads", 2, true, &base);
	tls_ctx_free(server_ctx);
	SSL_CTX_free(client_ctx);
	free(cert), free(key);
	return 0;
}
