/* derpload: load for a DERP relay, any: pairs of clients that send packets through it, over TLS or plain.
 *
 *   derpload --to 127.0.0.1:8443 [--plain] [--pid PID] [--pairs 10] [--size 1400] [--seconds 5] MODE
 *
 *   window W    each pair keeps W packets under way (at most 24, so that no queue of 32 overflows): what the relay can do
 *   flood       senders never wait: what it delivers when it is asked for more than it can do
 *   rate MBPS   so many MB a second in all, evenly
 *   idle N      N connections that do nothing: memory and CPU of each
 *   stopped MBPS  as rate, and 10 further senders flood one receiver that does not read
 *   floor CPU     no relay: a child on that core copies bytes from one connection to another. What a round trip takes on this
 *                 machine before a relay does anything
 *
 * In every mode but idle one more pair measures round trips, a packet each 5 ms. One thread, TLS records by common/net/tls_record.h
 * and written many at a time, one record a frame, as official clients send: cheaper a byte than any relay, so that a relay in
 * window mode never waits for its load. Prints one line of JSON; CPU and
 * resident memory of the relay are read from /proc of --pid. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/base/cleanup.h"
#include "common/base/openssl.h"
#include "common/net/tls_record.h"
#include "common/wire/derp_client.h"

enum {
	CHUNK = 256 << 10,
	OUT_MAX = 128 << 10,	/* a flooding sender has so much ready for when its socket takes more */
	PROBE_US = 5000,
	PROBES_MAX = 1 << 16,
	FLOODERS = 10,
	BATCH = 16,		/* packets that a pair sends in one go */
	OPENING = 16,		/* handshakes under way at a time */
};

enum mode { MODE_WINDOW, MODE_FLOOD, MODE_RATE, MODE_IDLE, MODE_STOPPED, MODE_FLOOR };

struct end { /* one connection */
	int fd;
	SSL *ssl; /* until the handshake is done */
	struct derp_client *client; /* until the relay has let it in */
	struct tls_secrets secrets;
	struct tls_record *rec; /* NULL: plain */
	struct buf raw;		/* the beginning of a record */
	struct node_key key;
	struct buf out; /* for the socket */
	struct buf got; /* from it, in the clear: a frame that is not whole yet */
	bool stopped, want_write;
	uint64_t packets, bytes; /* received */
	struct end *echo;	 /* a probe's far side sends back what it gets */
	bool probe;
};
struct pair {
	struct end a, b;
	uint64_t sent;
	uint8_t *frame; /* SendPacket to b */
	size_t frame_n;
};

static struct {
	struct sockaddr_in to;
	bool plain;
	int pid;
	unsigned pairs, size;
	double seconds, rate_mb;
	unsigned window, idle;
	enum mode mode;
} opt = { .pairs = 10, .size = 1400, .seconds = 5 };

static SSL_CTX *ctx;
static int ep;
static uint8_t chunk[CHUNK];
static double probe_us[PROBES_MAX];
static size_t n_probes;

static void die(const char *what)
{
	fprintf(stderr, "derpload: %s: %s\n", what, strerror(errno));
	exit(1);
}

static int64_t now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

/* ---- the relay's process ---------------------------------------------------------------------------------------- */

static double cpu_s(void)
{
	char path[64], text[1024] = "";
	unsigned long long user = 0, system = 0;

	if (!opt.pid)
		return 0;
	snprintf(path, sizeof path, "/proc/%d/stat", opt.pid);
	FILE *f = fopen(path, "re");
	if (!f || !fgets(text, sizeof text, f))
		die("no such relay process");
	fclose(f);
	const char *rest = strrchr(text, ')');
	if (!rest || sscanf(rest + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu", &user, &system) != 2)
		die("cannot read the relay's times");
	return (double)(user + system) / (double)sysconf(_SC_CLK_TCK);
}

static long rss_kb(void)
{
	char path[64], line[256];
	long kb = 0;

	if (!opt.pid)
		return 0;
	snprintf(path, sizeof path, "/proc/%d/status", opt.pid);
	FILE *f = fopen(path, "re");
	while (f && fgets(line, sizeof line, f))
		if (sscanf(line, "VmRSS: %ld", &kb) == 1)
			break;
	if (f)
		fclose(f);
	return kb;
}

/* ---- bytes ------------------------------------------------------------------------------------------------------ */

static void want(struct end *e)
{
	bool w = buf_len(&e->out) > 0;
	struct epoll_event ev = { .events = (e->stopped ? 0u : EPOLLIN) | (w ? EPOLLOUT : 0u), .data.ptr = e };

	if (w != e->want_write && epoll_ctl(ep, EPOLL_CTL_MOD, e->fd, &ev) != 0)
		die("epoll");
	e->want_write = w;
}

static void flush(struct end *e)
{
	while (buf_len(&e->out)) {
		struct bytes v = buf_view(&e->out);
		ssize_t n = write(e->fd, v.p, v.n);

		if (n < 0 && errno == EAGAIN)
			break;
		if (n <= 0)
			die("write");
		buf_consume(&e->out, (size_t)n);
	}
	want(e);
}

/* Queues p as one TLS record. */
static void put(struct end *e, struct bytes p)
{
	if (!e->rec) {
		buf_append(&e->out, p);
		return;
	}
	uint8_t *to = buf_reserve(&e->out, p.n + TLS_RECORD_OVERHEAD);
	size_t n = to ? tls_record_seal(e->rec, TLS_RECORD_DATA, p, to) : 0;

	if (!n)
		die("sealing");
	buf_commit(&e->out, n);
}

/* Opens the whole records of sealed; keeps the rest. Returns how many bytes came out. */
static size_t open_records(struct end *e, struct bytes sealed, uint8_t *to, size_t cap)
{
	size_t n = 0;

	for (;;) {
		size_t used = 0, got = 0;

		switch (tls_record_open(e->rec, sealed, to + n, cap - n, &used, &got)) {
		case TLS_RECORD_GOT:
			n += got;
			break;
		case TLS_RECORD_NONE:
			break;
		case TLS_RECORD_MORE:
			buf_append(&e->raw, sealed);
			if (e->raw.bad)
				die("memory");
			return n;
		case TLS_RECORD_ROOM:
		case TLS_RECORD_BAD:
		case TLS_RECORD_END:
			fprintf(stderr, "derpload: the relay's records end: %s\n", tls_record_why(e->rec));
			exit(1);
		}
		sealed = bytes_skip(sealed, used);
	}
}

/* The next bytes in the clear; 0: none now. to has room for CHUNK bytes. */
static size_t get(struct end *e, uint8_t *to)
{
	static uint8_t raw[CHUNK];

	for (;;) {
		struct bytes had = buf_view(&e->raw);
		uint8_t *area = e->rec ? raw : to;

		if (had.n)
			memcpy(area, had.p, had.n);
		ssize_t n = read(e->fd, area + had.n, CHUNK - had.n);
		if (n == 0) {
			fprintf(stderr, "derpload: the relay closed a connection\n");
			exit(1);
		}
		if (n < 0 && errno == EAGAIN)
			return 0;
		if (n < 0)
			die("read");
		size_t all = had.n + (size_t)n;
		buf_clear(&e->raw);
		if (!e->rec)
			return all;
		size_t clear = open_records(e, bytes_of(raw, all), to, CHUNK);
		if (clear)
			return clear;
	}
}

/* ---- connecting ------------------------------------------------------------------------------------------------- */

/* "LABEL client-random secret" */
static void take_secret(const SSL *ssl, const char *line)
{
	static const char in[] = "SERVER_TRAFFIC_SECRET_0 ", out[] = "CLIENT_TRAFFIC_SECRET_0 ";
	struct end *e = SSL_get_app_data(ssl);
	const char *hex = strrchr(line, ' ');

	if (hex && strncmp(line, in, sizeof in - 1) == 0)
		sodium_hex2bin(e->secrets.in, sizeof e->secrets.in, hex + 1, strlen(hex + 1), NULL, &e->secrets.in_n, NULL);
	else if (hex && strncmp(line, out, sizeof out - 1) == 0)
		sodium_hex2bin(e->secrets.out, sizeof e->secrets.out, hex + 1, strlen(hex + 1), NULL, &e->secrets.out_n, NULL);
}

/* One step of the handshake; done when it sets e->rec. */
static bool shake(struct end *e)
{
	int r = SSL_do_handshake(e->ssl);

	if (r != 1) {
		if (SSL_get_error(e->ssl, r) != SSL_ERROR_WANT_READ)
			die("handshake");
		return false;
	}
	if (tls_record_new(SSL_CIPHER_get_protocol_id(SSL_get_current_cipher(e->ssl)), &e->secrets, &e->rec) != OK)
		die("handshake");
	tls_record_skip_tickets(e->rec); /* derper's */
	SSL_free(e->ssl); /* it has not read ahead */
	e->ssl = NULL;
	return true;
}

static void start_end(struct end *e)
{
	struct derp_client_opts o = { .key = &e->key, .host = "derpload", .info = { .version = 2, .can_ack_pings = true } };
	int one = 1;

	*e = (struct end){ .out = buf_make(OUT_MAX * 16), .got = buf_make(4 << 20), .raw = buf_make(TLS_RECORD_MAX) };
	e->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (e->fd < 0 || connect(e->fd, (const struct sockaddr *)&opt.to, sizeof opt.to) != 0)
		die("connect");
	setsockopt(e->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	fcntl(e->fd, F_SETFL, O_NONBLOCK);
	if (!opt.plain) {
		e->ssl = SSL_new(ctx);
		if (!e->ssl || SSL_set_fd(e->ssl, e->fd) != 1)
			die("TLS");
		SSL_set_app_data(e->ssl, e);
		SSL_set_connect_state(e->ssl);
	}
	node_key_new(&e->key);
	e->client = calloc(1, sizeof *e->client);
	if (!e->client || derp_client_init(e->client, &o) != OK)
		die("client");
}

/* What can be done without waiting. True: the relay has let us in. */
static bool step_end(struct end *e)
{
	struct derp_client *c = e->client;
	struct derp_client_event ev;
	bool open = false;

	if (e->ssl && !shake(e))
		return false;
	while (!open) {
		if (buf_len(&c->out)) {
			put(e, buf_view(&c->out));
			buf_clear(&c->out);
			struct bytes v = buf_view(&e->out);
			if (write(e->fd, v.p, v.n) != (ssize_t)v.n) /* some hundred bytes into an empty socket */
				die("write");
			buf_clear(&e->out);
		}
		size_t n = get(e, chunk);
		if (!n)
			return false;
		if (derp_client_feed(c, bytes_of(chunk, n)) != OK)
			die("client");
		err k;
		while ((k = derp_client_next(c, &ev)) == OK)
			open = open || ev.kind == DERP_CLIENT_CONNECTED;
		if (k != ERR_TRUNCATED) {
			fprintf(stderr, "derpload: the relay does not let us in\n");
			exit(1);
		}
	}
	derp_client_done(c);
	free(c);
	e->client = NULL;
	buf_release(&e->out);
	buf_release(&e->got);
	return true;
}

/* OPENING at a time, so that the relay is not idle between two steps of one. */
static void open_ends(struct end *e, unsigned n)
{
	unsigned first = 0, started = 0;

	while (first < n) {
		bool moved = false;

		for (; started < n && started - first < OPENING; started++)
			start_end(&e[started]);
		for (unsigned i = first; i < started; i++)
			moved |= e[i].client && step_end(&e[i]);
		while (first < started && !e[first].client)
			first++;
		if (!moved)
			usleep(20);
	}
}

static void watch(struct end *e)
{
	struct epoll_event ev = { .events = e->stopped ? 0 : EPOLLIN, .data.ptr = e };

	if (epoll_ctl(ep, EPOLL_CTL_ADD, e->fd, &ev) != 0)
		die("epoll");
}

static uint8_t *frame_to(const struct node_pub *dst, size_t size, size_t *n)
{
	uint8_t *f = calloc(1, DERP_RECV_HEADER_LEN + size);
	struct writer w = wr_init(f, DERP_RECV_HEADER_LEN);

	derp_write_packet_header(&w, DERP_SEND_PACKET, dst, size);
	*n = DERP_RECV_HEADER_LEN + size;
	return f;
}

/* ---- receiving -------------------------------------------------------------------------------------------------- */

static void on_packet(struct end *e, const uint8_t *packet, size_t n)
{
	int64_t t;

	e->packets++;
	e->bytes += n;
	if (!e->probe || n < sizeof t)
		return;
	if (e->echo) { /* the far side: back to where it came from */
		size_t fn;
		uint8_t *f = frame_to(&e->echo->key.pub, n, &fn);

		memcpy(f + DERP_RECV_HEADER_LEN, packet, n);
		put(e, bytes_of(f, fn));
		flush(e);
		free(f);
		return;
	}
	memcpy(&t, packet, sizeof t);
	if (n_probes < PROBES_MAX)
		probe_us[n_probes++] = (double)(now_us() - t);
}

/* Whole frames in b; returns how many bytes they are. */
static size_t take_frames(struct end *e, struct bytes b)
{
	size_t at = 0;

	for (;;) {
		struct derp_header h;
		struct bytes rest = bytes_skip(b, at);

		if (derp_parse_header(rest, &h) != OK || rest.n - DERP_HEADER_LEN < h.len)
			return at;
		if (h.type == DERP_RECV_PACKET && h.len >= DERP_KEY_LEN)
			on_packet(e, rest.p + DERP_RECV_HEADER_LEN, h.len - DERP_KEY_LEN);
		at += DERP_HEADER_LEN + (size_t)h.len;
	}
}

static void receive(struct end *e)
{
	size_t n;

	for (unsigned turns = 0; turns < 8 && (n = get(e, chunk)); turns++) {
		struct bytes b = bytes_of(chunk, n);

		if (buf_len(&e->got)) {
			buf_append(&e->got, b);
			buf_consume(&e->got, take_frames(e, buf_view(&e->got)));
			continue;
		}
		buf_append(&e->got, bytes_skip(b, take_frames(e, b)));
	}
}

/* ---- the run ---------------------------------------------------------------------------------------------------- */

static void send_some(struct pair *p, uint64_t allowed)
{
	for (; allowed && buf_len(&p->a.out) < OUT_MAX; allowed--, p->sent++)
		put(&p->a, bytes_of(p->frame, p->frame_n));
	if (buf_len(&p->a.out) && !p->a.want_write) /* else epoll tells when it is worth a system call */
		flush(&p->a);
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double quantile(double q)
{
	if (!n_probes)
		return 0;
	qsort(probe_us, n_probes, sizeof probe_us[0], by_value);
	return probe_us[(size_t)(q * (double)(n_probes - 1))];
}

struct totals {
	uint64_t sent, packets, bytes;
};

static struct totals add_up(const struct pair *p)
{
	struct totals t = { 0 };

	for (unsigned i = 0; i < opt.pairs; i++) {
		t.sent += p[i].sent;
		t.packets += p[i].b.packets;
		t.bytes += p[i].b.bytes;
	}
	return t;
}

static void open_pair(struct pair *p, size_t size)
{
	open_ends(&p->a, 1);
	open_ends(&p->b, 1);
	p->frame = frame_to(&p->b.key.pub, size, &p->frame_n);
	watch(&p->a);
}

static uint64_t allowance(const struct pair *p, double per_pair, double elapsed_s)
{
	uint64_t due = (uint64_t)(per_pair * elapsed_s);

	switch (opt.mode) {
	case MODE_WINDOW:
		return p->sent - p->b.packets < opt.window ? opt.window - (p->sent - p->b.packets) : 0;
	case MODE_FLOOD:
		return BATCH;
	case MODE_RATE:
	case MODE_STOPPED:
		return due > p->sent ? MIN_OF(due - p->sent, (uint64_t)BATCH) : 0;
	case MODE_IDLE:
	case MODE_FLOOR:
		break;
	}
	return 0;
}

static void run(struct pair *pair, struct pair *flood, struct pair *probe, double seconds)
{
	int64_t start = now_us(), next_probe = start;
	double per_pair = opt.rate_mb * 1e6 / opt.size / opt.pairs;

	for (int64_t now = start; now < start + (int64_t)(seconds * 1e6); now = now_us()) {
		struct epoll_event ev[64];
		bool paced = opt.mode == MODE_RATE || opt.mode == MODE_STOPPED;
		int n = epoll_wait(ep, ev, 64, opt.mode == MODE_FLOOD ? 0 : paced ? 1 : 5);

		for (int i = 0; i < n; i++) {
			struct end *e = ev[i].data.ptr;

			if (ev[i].events & EPOLLOUT)
				flush(e);
			if (ev[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR))
				receive(e);
		}
		for (unsigned i = 0; i < opt.pairs; i++)
			send_some(&pair[i], allowance(&pair[i], per_pair, (double)(now - start) / 1e6));
		for (unsigned i = 0; flood && i < FLOODERS; i++)
			send_some(&flood[i], BATCH);
		if (now >= next_probe) {
			int64_t sent = now_us(); /* not now: that was before epoll waited */

			next_probe = now + PROBE_US;
			memcpy(probe->frame + DERP_RECV_HEADER_LEN, &sent, sizeof sent);
			put(&probe->a, bytes_of(probe->frame, probe->frame_n));
			flush(&probe->a);
		}
	}
}

static int run_idle(void)
{
	struct end *e = calloc(opt.idle, sizeof *e), first[OPENING];

	open_ends(first, OPENING); /* what the first handshake touches is no memory of a connection's */
	long before = rss_kb();
	double cpu = cpu_s();

	if (!e)
		die("memory");
	open_ends(e, opt.idle);
	double handshakes = cpu_s() - cpu;
	long with = rss_kb();
	for (unsigned i = 0; i < opt.idle; i++)
		close(e[i].fd);
	sleep(8); /* a relay may give memory back when it has become quiet */
	printf("{\"mode\":\"idle\",\"conns\":%u,\"kib_each\":%.2f,\"kib_left_each\":%.2f,\"cpu_us_each\":%.1f}\n", opt.idle,
		(double)(with - before) / opt.idle, (double)(rss_kb() - before) / opt.idle, handshakes * 1e6 / opt.idle);
	return 0;
}

/* Until the parent closes its ends. */
static void copy_between(int listener, unsigned core)
{
	int fd[2], one = 1;
	struct epoll_event ev[2];
	cpu_set_t set;
	static uint8_t b[64 << 10];

	CPU_ZERO(&set);
	CPU_SET(core, &set);
	if (sched_setaffinity(0, sizeof set, &set) != 0)
		die("affinity");
	for (unsigned i = 0; i < 2; i++) {
		fd[i] = accept(listener, NULL, NULL);
		ev[i] = (struct epoll_event){ .events = EPOLLIN, .data.u32 = i };
		if (fd[i] < 0 || epoll_ctl(ep, EPOLL_CTL_ADD, fd[i], &ev[i]) != 0)
			die("accept");
		setsockopt(fd[i], IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	}
	for (;;) {
		int n = epoll_wait(ep, ev, 2, -1);

		for (int i = 0; i < n; i++) {
			ssize_t k = read(fd[ev[i].data.u32], b, sizeof b);

			if (k <= 0)
				exit(0);
			if (write(fd[!ev[i].data.u32], b, (size_t)k) != k)
				exit(1);
		}
	}
}

/* The probes' way without TLS, DERP or a relay: two connections, one thread that copies. */
static int run_floor(unsigned core)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t at_n = sizeof at;
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), fd[2], one = 1;
	struct epoll_event ev[2];

	if (listener < 0 || bind(listener, (struct sockaddr *)&at, sizeof at) != 0 || listen(listener, 2) != 0 ||
		getsockname(listener, (struct sockaddr *)&at, &at_n) != 0)
		die("listen");
	pid_t child = fork();
	if (child < 0)
		die("fork");
	if (child == 0) {
		ep = epoll_create1(EPOLL_CLOEXEC); /* not its parent's */
		copy_between(listener, core);
	}
	for (unsigned i = 0; i < 2; i++) {
		ev[i] = (struct epoll_event){ .events = EPOLLIN, .data.u32 = i };
		fd[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (fd[i] < 0 || connect(fd[i], (struct sockaddr *)&at, sizeof at) != 0 || epoll_ctl(ep, EPOLL_CTL_ADD, fd[i], &ev[i]) != 0)
			die("connect");
		setsockopt(fd[i], IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	}
	int64_t start = now_us(), next_probe = start;
	for (int64_t now = start; now < start + (int64_t)(opt.seconds * 1e6); now = now_us()) {
		int n = epoll_wait(ep, ev, 2, 1);
		int64_t t;

		for (int i = 0; i < n; i++) {
			if (read(fd[ev[i].data.u32], &t, sizeof t) != (ssize_t)sizeof t)
				die("read");
			if (ev[i].data.u32 == 1 && write(fd[1], &t, sizeof t) != (ssize_t)sizeof t)
				die("write");
			if (ev[i].data.u32 == 0 && n_probes < PROBES_MAX)
				probe_us[n_probes++] = (double)(now_us() - t);
		}
		if (now >= next_probe) {
			next_probe = now + PROBE_US;
			t = now_us();
			if (write(fd[0], &t, sizeof t) != (ssize_t)sizeof t)
				die("write");
		}
	}
	close(fd[0]), close(fd[1]);
	if (waitpid(child, NULL, 0) != child)
		die("wait");
	printf("{\"mode\":\"floor\",\"rtt_p50_us\":%.0f,\"rtt_p99_us\":%.0f}\n", quantile(0.5), quantile(0.99));
	return 0;
}

static int run_load(void)
{
	static const char *const names[] = { "window", "flood", "rate", "idle", "stopped", "floor" };
	struct pair *pair = calloc(opt.pairs, sizeof *pair), *flood = NULL, *probe = calloc(1, sizeof *probe);

	if (!pair || !probe)
		die("memory");
	for (unsigned i = 0; i < opt.pairs; i++) {
		open_pair(&pair[i], opt.size);
		watch(&pair[i].b);
	}
	open_pair(probe, 64);
	probe->a.probe = probe->b.probe = true;
	probe->b.echo = &probe->a;
	watch(&probe->b);
	if (opt.mode == MODE_STOPPED) {
		flood = calloc(FLOODERS, sizeof *flood);
		if (!flood)
			die("memory");
		for (unsigned i = 0; i < FLOODERS; i++)
			open_pair(&flood[i], opt.size);
		for (unsigned i = 1; i < FLOODERS; i++) { /* all to the first one's far end, which is never read */
			free(flood[i].frame);
			flood[i].frame = frame_to(&flood[0].b.key.pub, opt.size, &flood[i].frame_n);
		}
	}
	run(pair, flood, probe, 0.5); /* warm */
	struct totals before = add_up(pair);
	double cpu = cpu_s();
	int64_t start = now_us();
	n_probes = 0;
	for (unsigned i = 0; i < opt.pairs; i++) /* paced modes start anew */
		if (opt.mode == MODE_RATE || opt.mode == MODE_STOPPED)
			pair[i].sent = 0;
	if (opt.mode == MODE_RATE || opt.mode == MODE_STOPPED)
		before.sent = 0;
	run(pair, flood, probe, opt.seconds);
	double wall = (double)(now_us() - start) / 1e6;
	cpu = cpu_s() - cpu;
	struct totals after = add_up(pair);
	double mb = (double)(after.bytes - before.bytes) / 1e6;

	printf("{\"mode\":\"%s\",\"tls\":%s,\"size\":%u,\"pairs\":%u,\"seconds\":%.2f,\"sent\":%llu,\"delivered\":%llu,"
	       "\"mb\":%.1f,\"mb_s\":%.1f,\"cpu_s\":%.2f,\"mb_cpu_s\":%.1f,\"rtt_p50_us\":%.0f,\"rtt_p99_us\":%.0f,"
	       "\"rss_kb\":%ld}\n",
		names[opt.mode], opt.plain ? "false" : "true", opt.size, opt.pairs, wall,
		(unsigned long long)(after.sent - before.sent), (unsigned long long)(after.packets - before.packets), mb,
		mb / wall, cpu, cpu > 0 ? mb / cpu : 0, quantile(0.5), quantile(0.99), rss_kb());
	return 0;
}

static int usage(void)
{
	fprintf(stderr, "usage: derpload --to ADDR:PORT [--plain] [--pid PID] [--pairs N] [--size BYTES] [--seconds S] "
			"window W | flood | rate MBPS | idle N | stopped MBPS | floor CPU\n");
	return 2;
}

int main(int argc, char **argv)
{
	char host[64] = "";
	unsigned port = 0;
	int i = 1;

	for (; i + 1 < argc && argv[i][0] == '-'; i++) {
		if (strcmp(argv[i], "--plain") == 0)
			opt.plain = true;
		else if (strcmp(argv[i], "--to") == 0 && sscanf(argv[++i], "%63[0-9.]:%u", host, &port) != 2)
			return usage();
		else if (strcmp(argv[i - 1], "--to") == 0)
			continue;
		else if (strcmp(argv[i], "--pid") == 0)
			opt.pid = (int)strtol(argv[++i], NULL, 10);
		else if (strcmp(argv[i], "--pairs") == 0)
			opt.pairs = (unsigned)strtoul(argv[++i], NULL, 10);
		else if (strcmp(argv[i], "--size") == 0)
			opt.size = (unsigned)strtoul(argv[++i], NULL, 10);
		else if (strcmp(argv[i], "--seconds") == 0)
			opt.seconds = strtod(argv[++i], NULL);
		else
			return usage();
	}
	const char *mode = i < argc ? argv[i] : "", *arg = i + 1 < argc ? argv[i + 1] : "0";
	opt.to = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
	if (strcmp(mode, "floor") == 0)
		opt.mode = MODE_FLOOR;
	else if (!port || inet_pton(AF_INET, host, &opt.to.sin_addr) != 1 || !opt.pairs || opt.size < 16 || opt.size > 65536)
		return usage();
	opt.rate_mb = strtod(arg, NULL);
	opt.window = (unsigned)MIN_OF(strtoul(arg, NULL, 10), 24ul);
	opt.idle = (unsigned)strtoul(arg, NULL, 10);
	if (opt.mode == MODE_FLOOR)
		;
	else if (strcmp(mode, "window") == 0 && opt.window)
		opt.mode = MODE_WINDOW;
	else if (strcmp(mode, "flood") == 0)
		opt.mode = MODE_FLOOD;
	else if (strcmp(mode, "rate") == 0 && opt.rate_mb > 0)
		opt.mode = MODE_RATE;
	else if (strcmp(mode, "stopped") == 0 && opt.rate_mb > 0)
		opt.mode = MODE_STOPPED;
	else if (strcmp(mode, "idle") == 0 && opt.idle)
		opt.mode = MODE_IDLE;
	else
		return usage();
	if (sodium_init() < 0 || (ep = epoll_create1(EPOLL_CLOEXEC)) < 0)
		die("start");
	if (opt.mode == MODE_FLOOR)
		return run_floor((unsigned)strtoul(arg, NULL, 10));
	ctx = SSL_CTX_new(TLS_client_method());
	if (!ctx)
		die("TLS");
	SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION);
	SSL_CTX_set_ciphersuites(ctx, "TLS_AES_128_GCM_SHA256");
	SSL_CTX_set_keylog_callback(ctx, take_secret);
	return opt.mode == MODE_IDLE ? run_idle() : run_load();
}
