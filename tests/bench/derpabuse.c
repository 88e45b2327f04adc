/* derpabuse: what strangers and broken clients do to a DERP relay, while newcomers try to get in beside it.
 *
 *   derpabuse --to 127.0.0.1:8443 [--stun PORT] [--seconds 5] [--count N] MODE
 *
 *   none        nobody does anything: how long a newcomer takes on this machine
 *   halfopen    COUNT connections that send nothing, half a ClientHello or half a request head, from many addresses
 *   heads       request heads without end, megabytes of them
 *   churn       connects, says who it is, and leaves; COUNT a second (0: as fast as it can), in two threads
 *   onekey      the same, all with one key
 *   pings       pings as fast as the relay takes them
 *   gone        disco packets to keys that nobody has, each of which could be answered by a PeerGone
 *   keyupdate   TLS KeyUpdates that ask for one in return
 *   stun        binding requests, and things that look like some, from 200 addresses; COUNT a second
 *
 * A newcomer, every 50 ms and from an address of its own, is timed from connect to ServerInfo. Threads with blocking sockets.
 * Prints one line of JSON. tests/bench/derp_calm.py runs it beside derpload. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "common/base/cleanup.h"
#include "common/base/openssl.h"
#include "common/base/random.h"
#include "common/wire/derp_client.h"
#include "common/wire/stun.h"

enum { TIMES_MAX = 1 << 16, PER_SOURCE = 200, NEWCOMER_US = 50000, STUN_SOURCES = 200 };

static struct {
	struct sockaddr_in to, stun;
	double seconds;
	unsigned count;
} opt = { .seconds = 5 };

static SSL_CTX *ctx;
static atomic_bool over;
static atomic_ullong did, failed; /* of the abuse */
static double times_ms[TIMES_MAX]; /* of newcomers */
static size_t n_times;
static unsigned refused; /* newcomers that did not get in */

static double now_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* ---- one client -------------------------------------------------------------------------------------------------- */

struct peer {
	int fd;
	SSL *ssl;
};

static void peer_close(struct peer *p)
{
	SSL_free(p->ssl);
	closep(&p->fd);
	p->ssl = NULL;
}

/* source: 127.0.source/256.source%256, so that limits by address see many. 0: whatever. */
static int tcp_open(unsigned source)
{
	struct sockaddr_in from = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f000000u + source) };
	struct timeval limit = { .tv_sec = 5 };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;

	if (fd < 0)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	if ((source && bind(fd, (const struct sockaddr *)&from, sizeof from) != 0) ||
		connect(fd, (const struct sockaddr *)&opt.to, sizeof opt.to) != 0) {
		close(fd);
		return -1;
	}
	return fd;
}

static bool peer_shake(struct peer *p, unsigned source)
{
	*p = (struct peer){ .fd = tcp_open(source) };
	if (p->fd < 0)
		return false;
	p->ssl = SSL_new(ctx);
	if (p->ssl && SSL_set_fd(p->ssl, p->fd) == 1 && SSL_connect(p->ssl) == 1)
		return true;
	ERR_clear_error();
	peer_close(p);
	return false;
}

/* Up to ServerInfo. */
static bool peer_open(struct peer *p, unsigned source, const struct node_key *key)
{
	struct derp_client_opts o = { .key = key, .host = "derpabuse", .info = { .version = 2, .can_ack_pings = true } };
	struct derp_client_event ev;
	struct derp_client c;
	uint8_t chunk[4096];
	bool in = false, dead = false;

	if (!peer_shake(p, source))
		return false;
	if (derp_client_init(&c, &o) != OK)
		return peer_close(p), false;
	while (!in && !dead) {
		struct bytes out = buf_view(&c.out);
		int n;

		if (out.n) {
			dead = SSL_write(p->ssl, out.p, (int)out.n) <= 0;
			buf_clear(&c.out);
		}
		n = dead ? 0 : SSL_read(p->ssl, chunk, sizeof chunk);
		dead = n <= 0 || derp_client_feed(&c, bytes_of(chunk, (size_t)n)) != OK;
		err e = ERR_TRUNCATED;
		while (!dead && (e = derp_client_next(&c, &ev)) == OK)
			in |= ev.kind == DERP_CLIENT_CONNECTED;
		dead |= e != ERR_TRUNCATED;
	}
	derp_client_done(&c);
	if (!in) {
		ERR_clear_error();
		peer_close(p);
	}
	return in;
}

static bool peer_put(struct peer *p, struct bytes b)
{
	if (SSL_write(p->ssl, b.p, (int)b.n) == (int)b.n)
		return true;
	ERR_clear_error();
	return false;
}

/* Throws away what has come, so that the relay does not take us for one who does not read. */
static void peer_drain(struct peer *p)
{
	uint8_t area[16384];

	while (SSL_has_pending(p->ssl) || recv(p->fd, area, 1, MSG_PEEK | MSG_DONTWAIT) == 1)
		if (SSL_read(p->ssl, area, sizeof area) <= 0) {
			ERR_clear_error();
			return;
		}
}

/* ---- newcomers --------------------------------------------------------------------------------------------------- */

static void *come_new(void *arg)
{
	(void)arg;
	while (!over) {
		struct node_key key;
		struct peer p;
		double start = now_s();

		node_key_new(&key);
		if (peer_open(&p, 9, &key)) {
			if (n_times < TIMES_MAX)
				times_ms[n_times++] = (now_s() - start) * 1000;
			peer_close(&p);
		} else if (!over) {
			refused++;
		}
		usleep(NEWCOMER_US);
	}
	return NULL;
}

/* ---- abuse ------------------------------------------------------------------------------------------------------- */

static void *do_nothing(void *arg)
{
	(void)arg;
	while (!over)
		usleep(10000);
	return NULL;
}

static void *half_open(void *arg)
{
	static const uint8_t hello[] = { 0x16, 3, 1, 0, 0xf8, 1, 0, 0, 0xf4, 3, 3 };
	struct peer *p = calloc(opt.count ? opt.count : 1, sizeof *p);
	unsigned n = 0;

	(void)arg;
	for (; p && n < opt.count && !over; n++) {
		unsigned source = 256 + n / PER_SOURCE;
		bool ok;

		if (n % 10 == 9) {
			ok = peer_shake(&p[n], source) && peer_put(&p[n], BYTES_LIT("GET /derp HT"));
		} else {
			p[n].fd = tcp_open(source);
			ok = p[n].fd >= 0 && (n % 2 || send(p[n].fd, hello, sizeof hello, MSG_NOSIGNAL) > 0);
		}
		did += ok;
		failed += !ok;
	}
	while (!over)
		usleep(10000);
	for (unsigned i = 0; p && i < n; i++)
		peer_close(&p[i]);
	free(p);
	return NULL;
}

static void *endless_heads(void *arg)
{
	static uint8_t line[16000];
	struct peer p;

	(void)arg;
	memset(line, 'x', sizeof line);
	memcpy(line + sizeof line - 2, "\r\n", 2);
	memcpy(line, "X-Y: ", 5);
	while (!over) {
		if (!peer_shake(&p, 2)) {
			failed++;
			continue;
		}
		bool more = peer_put(&p, BYTES_LIT("GET /derp HTTP/1.1\r\n"));
		for (int i = 0; i < 512 && more && !over; i++) /* eight megabytes */
			more = peer_put(&p, bytes_of(line, sizeof line));
		did++;
		peer_close(&p);
	}
	return NULL;
}

static void *come_and_go(void *arg)
{
	const struct node_key *one = arg;
	double start = now_s();

	for (unsigned n = 0; !over; n++) {
		struct node_key key;
		struct peer p;

		if (one)
			key = *one;
		else
			node_key_new(&key);
		if (peer_open(&p, 3, &key)) {
			did++;
			peer_close(&p);
		} else {
			failed++;
		}
		double due = opt.count ? start + 2.0 * n / opt.count : 0; /* two of us */
		if (due > now_s())
			usleep((useconds_t)((due - now_s()) * 1e6));
	}
	return NULL;
}

/* Writes what over and over, a fresh connection whenever the relay has had enough. */
static void flood(struct bytes what, unsigned each, void (*vary)(uint8_t *p))
{
	uint8_t *p = malloc(what.n);

	while (p && !over) {
		struct node_key key;
		struct peer peer;
		bool more = true;

		node_key_new(&key);
		if (!peer_open(&peer, 4, &key)) {
			failed++;
			usleep(1000);
			continue;
		}
		memcpy(p, what.p, what.n);
		while (more && !over) {
			if (vary)
				vary(p);
			more = peer_put(&peer, bytes_of(p, what.n));
			did += more ? each : 0;
			peer_drain(&peer);
		}
		peer_close(&peer);
	}
	free(p);
}

static void *flood_pings(void *arg)
{
	uint8_t frames[100 * 13];
	struct writer w = wr_init(frames, sizeof frames);

	(void)arg;
	for (int i = 0; i < 100; i++)
		derp_write_ping(&w, DERP_PING, &(struct derp_ping){ 0 });
	flood(wr_view(&w), 100, NULL);
	return NULL;
}

enum { DISCO_FRAME = DERP_RECV_HEADER_LEN + 62 };

static void other_keys(uint8_t *p)
{
	for (int i = 0; i < 50; i++)
		random_fill(p + i * DISCO_FRAME + DERP_HEADER_LEN, 32);
}

static void *flood_gone(void *arg)
{
	static const uint8_t magic[] = { 0x54, 0x53, 0xf0, 0x9f, 0x92, 0xac };
	uint8_t frames[50 * DISCO_FRAME] = { 0 };

	(void)arg;
	for (int i = 0; i < 50; i++) {
		struct writer w = wr_init(frames + i * DISCO_FRAME, DISCO_FRAME);

		derp_write_packet_header(&w, DERP_SEND_PACKET, &(struct node_pub){ { 1 } }, 62);
		wr_bytes(&w, bytes_of(magic, sizeof magic));
	}
	flood(bytes_of(frames, sizeof frames), 50, other_keys);
	return NULL;
}

static void *flood_key_updates(void *arg)
{
	(void)arg;
	while (!over) {
		struct node_key key;
		struct peer p;
		bool more = true;

		node_key_new(&key);
		if (!peer_open(&p, 5, &key)) {
			failed++;
			usleep(1000);
			continue;
		}
		for (int i = 0; more && !over; i++) {
			more = SSL_key_update(p.ssl, SSL_KEY_UPDATE_REQUESTED) == 1 && SSL_do_handshake(p.ssl) == 1;
			did += more;
			if (i % 8 == 7) /* one harmless frame, so that it may go on for ever */
				more = more && peer_put(&p, bytes_of((const uint8_t[]){ 0x77, 0, 0, 0, 0 }, 5));
			peer_drain(&p);
		}
		ERR_clear_error();
		peer_close(&p);
	}
	return NULL;
}

static atomic_ullong stun_out_bytes, stun_in_bytes;

static void *flood_stun(void *arg)
{
	int fd[STUN_SOURCES];
	double start = now_s();

	(void)arg;
	for (unsigned i = 0; i < STUN_SOURCES; i++) {
		struct sockaddr_in from = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f010001u + i) };

		fd[i] = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		if (fd[i] < 0 || bind(fd[i], (const struct sockaddr *)&from, sizeof from) != 0)
			failed++;
	}
	for (unsigned n = 0; !over; n++) {
		uint8_t packet[STUN_REQUEST_LEN], back[1500];
		struct stun_txid id;
		int s = fd[n % STUN_SOURCES];
		ssize_t k;

		random_fill(&id, sizeof id);
		stun_write_request(packet, &id);
		if (n % 4 == 3)
			packet[n % sizeof packet] ^= 0x40; /* nearly one */
		if (sendto(s, packet, sizeof packet, MSG_NOSIGNAL, (const struct sockaddr *)&opt.stun, sizeof opt.stun) > 0) {
			stun_out_bytes += sizeof packet;
			did++;
		}
		while ((k = recv(s, back, sizeof back, 0)) > 0)
			stun_in_bytes += (unsigned long long)k;
		double due = opt.count ? start + (double)n / opt.count : 0;
		if (due > now_s() + 0.001)
			usleep((useconds_t)((due - now_s()) * 1e6));
	}
	for (unsigned i = 0; i < STUN_SOURCES; i++)
		closep(&fd[i]);
	return NULL;
}

/* ---- the run ----------------------------------------------------------------------------------------------------- */

static const struct mode {
	const char *name;
	void *(*run)(void *arg);
	unsigned threads;
} modes[] = {
	{ "none", do_nothing, 1 },
	{ "halfopen", half_open, 1 },
	{ "heads", endless_heads, 1 },
	{ "churn", come_and_go, 2 },
	{ "onekey", come_and_go, 2 },
	{ "pings", flood_pings, 2 },
	{ "gone", flood_gone, 2 },
	{ "keyupdate", flood_key_updates, 2 },
	{ "stun", flood_stun, 1 },
};

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static int usage(void)
{
	fprintf(stderr, "usage: derpabuse --to ADDR:PORT [--stun PORT] [--seconds S] [--count N] MODE\n");
	return 2;
}

int main(int argc, char **argv)
{
	char host[64] = "127.0.0.1";
	unsigned port = 0, stun_port = 0;
	const struct mode *mode = NULL;
	struct rlimit files;
	struct node_key one;
	pthread_t abuser[2], newcomer;
	int i = 1;

	for (; i + 1 < argc && argv[i][0] == '-'; i += 2) {
		const char *v = argv[i + 1];

		if (strcmp(argv[i], "--to") == 0 && sscanf(v, "%63[0-9.]:%u", host, &port) == 2)
			continue;
		else if (strcmp(argv[i], "--stun") == 0)
			stun_port = (unsigned)strtoul(v, NULL, 10);
		else if (strcmp(argv[i], "--seconds") == 0)
			opt.seconds = strtod(v, NULL);
		else if (strcmp(argv[i], "--count") == 0)
			opt.count = (unsigned)strtoul(v, NULL, 10);
		else
			return usage();
	}
	for (size_t k = 0; k < ARRAY_LEN(modes) && i < argc; k++)
		if (strcmp(argv[i], modes[k].name) == 0)
			mode = &modes[k];
	opt.to = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
	if (!mode || !port || inet_pton(AF_INET, host, &opt.to.sin_addr) != 1)
		return usage();
	opt.stun = opt.to;
	opt.stun.sin_port = htons((uint16_t)stun_port);
	signal(SIGPIPE, SIG_IGN);
	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	if (sodium_init() < 0 || !(ctx = SSL_CTX_new(TLS_client_method())))
		return 1;
	SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION);
	node_key_new(&one);
	for (unsigned t = 0; t < mode->threads; t++)
		if (pthread_create(&abuser[t], NULL, mode->run, strcmp(mode->name, "onekey") == 0 ? &one : NULL) != 0)
			return 1;
	if (pthread_create(&newcomer, NULL, come_new, NULL) != 0)
		return 1;
	usleep((useconds_t)(opt.seconds * 1e6));
	unsigned long long n = did, bad = failed;
	over = true;
	for (unsigned t = 0; t < mode->threads; t++)
		pthread_join(abuser[t], NULL);
	pthread_join(newcomer, NULL);
	qsort(times_ms, n_times, sizeof *times_ms, by_value);
	printf("{\"mode\":\"%s\",\"seconds\":%.1f,\"did\":%llu,\"failed\":%llu,\"newcomers\":%zu,\"refused\":%u,\"p50_ms\":%.1f,"
	       "\"p90_ms\":%.1f,\"max_ms\":%.1f,\"stun_out\":%llu,\"stun_in\":%llu}\n",
		mode->name, opt.seconds, n, bad, n_times, refused, n_times ? times_ms[n_times / 2] : 0,
		n_times ? times_ms[n_times * 9 / 10] : 0, n_times ? times_ms[n_times - 1] : 0, (unsigned long long)stun_out_bytes,
		(unsigned long long)stun_in_bytes);
	SSL_CTX_free(ctx);
	return 0;
}
