/* wgpipe: our engine as a plain WireGuard tunnel with keys on the command line, for interop with wireguard-go and for
 * make bench-tunnel:
 *
 *	wgpipe --tun NAME --listen PORT --private-key HEX [--mtu N] [--offload tun,uso,gso,gro|none]
 *	       --peer HEX [--endpoint IP:PORT] [--allowed-ips P,P…] [--keepalive S] [--peer …]
 *
 * It runs until SIGTERM; SIGUSR1 prints a line of counters. Addresses and the link's state are the caller's business.
*/
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "client/tun/pump.h"
#include "common/base/cleanup.h"
#include "common/base/clock.h"
#include "common/text/hex.h"

enum { PEERS_MAX = 64, PREFIXES_MAX = 16, DEFAULT_MTU = 1280, SIGNAL_TURNS = 256 };

struct options {
	const char *tun;
	uint16_t port;
	struct node_key key;
	unsigned mtu, tun_want, udp_want;
	size_t n_peers;
	struct option_peer {
		struct wg_peer_config c;
		struct prefix allowed[PREFIXES_MAX];
		struct wg_from endpoint;
	} peer[PEERS_MAX];
};

static volatile sig_atomic_t stop, report;

static void on_signal(int signo)
{
	if (signo == SIGUSR1)
		report = 1;
	else
		stop = 1;
}

static void usage(const char *what)
{
	fprintf(stderr, "wgpipe: bad or missing %s\n", what);
	exit(2);
}

static void key_arg(const char *text, uint8_t out[32], const char *what)
{
	if (strlen(text) != 64 || hex_decode(bytes_str(text), out, 32) != OK)
		usage(what);
}

static unsigned number_arg(const char *text, unsigned max, const char *what)
{
	uint64_t v;

	if (bytes_parse_u64(bytes_str(text), max, &v) != OK)
		usage(what);
	return (unsigned)v;
}

static void allowed_arg(struct option_peer *p, const char *text)
{
	struct bytes rest = bytes_str(text);

	while (rest.n) {
		struct bytes one = bytes_cut(rest, ',', &rest);

		if (p->c.n_allowed == PREFIXES_MAX || prefix_parse(one, &p->allowed[p->c.n_allowed++]) != OK)
			usage("--allowed-ips");
	}
	p->c.allowed = p->allowed;
}

static void offload_arg(struct options *o, const char *text)
{
	o->tun_want = (strstr(text, "tun") ? TUN_TSO : 0u) | (strstr(text, "uso") ? TUN_USO : 0u);
	o->udp_want = (strstr(text, "gso") ? UDP_GSO : 0u) | (strstr(text, "gro") ? UDP_GRO_RX : 0u);
}

static void parse(struct options *o, int argc, char **argv)
{
	static const struct option names[] = {
		{ "tun", 1, NULL, 't' },
		{ "listen", 1, NULL, 'l' },
		{ "private-key", 1, NULL, 'k' },
		{ "mtu", 1, NULL, 'm' },
		{ "offload", 1, NULL, 'o' },
		{ "peer", 1, NULL, 'p' },
		{ "endpoint", 1, NULL, 'e' },
		{ "allowed-ips", 1, NULL, 'a' },
		{ "keepalive", 1, NULL, 'K' },
		{ 0 },
	};
	struct option_peer *p = NULL;
	bool has_key = false;

	*o = (struct options){ .mtu = DEFAULT_MTU, .tun_want = TUN_ALL, .udp_want = UDP_OFFLOADS };
	for (int c; (c = getopt_long(argc, argv, "", names, NULL)) != -1;) {
		if (strchr("eaK", c) && !p)
			usage("--peer before this option");
		switch (c) {
		case 't':
			o->tun = optarg;
			break;
		case 'l':
			o->port = (uint16_t)number_arg(optarg, 65535, "--listen");
			break;
		case 'm':
			o->mtu = number_arg(optarg, WG_MTU_MAX, "--mtu");
			break;
		case 'o':
			offload_arg(o, optarg);
			break;
		case 'k':
			key_arg(optarg, o->key.secret.b, "--private-key");
			node_key_derive(&o->key);
			has_key = true;
			break;
		case 'p':
			if (o->n_peers == PEERS_MAX)
				usage("number of --peer");
			p = &o->peer[o->n_peers++];
			key_arg(optarg, p->c.key.b, "--peer");
			break;
		case 'e':
			if (addrport_parse(bytes_str(optarg), &p->endpoint.addr) != OK)
				usage("--endpoint");
			break;
		case 'a':
			allowed_arg(p, optarg);
			break;
		case 'K':
			p->c.keepalive_s = number_arg(optarg, 65535, "--keepalive");
			break;
		default:
			usage("option");
		}
	}
	if (!o->tun || !has_key || !o->n_peers)
		usage("--tun, --private-key, --peer");
}

static void send_by_udp(
	void *ctx, struct wg_peer *peer, const struct wg_from *to, const struct wg_packet *pkts, size_t n)
{
	struct pump *p = ctx;
	bool six = to->addr.addr.family == 6;

	(void)peer;
	if (to->addr.addr.family && p->udp[six] && udp_send(p->udp[six], to->addr, pkts, n) != OK &&
		errno != ECONNREFUSED)
		fprintf(stderr, "wgpipe: send: %s\n", strerror(errno));
}

static void print_report(const struct pump *p, int64_t now_ms)
{
	const struct tun_stats *t = tun_stats(p->tun);
	const struct udp_stats *u = udp_stats(p->udp[0]);
	struct wg_peer *peer;
	size_t at = 0;

	while ((peer = wg_next_peer(p->wg, &at))) {
		struct wg_peer_status s = wg_peer_status(peer, now_ms);
		printf("peer session=%d age_ms=%" PRId64 " rx=%" PRIu64 " tx=%" PRIu64 "\n", s.has_session,
			s.session_ms ? now_ms - s.session_ms : -1, s.rx_bytes, s.tx_bytes);
	}
	printf("tun offloads=%u reads=%" PRIu64 " read_bytes=%" PRIu64 " writes=%" PRIu64 " written_bytes=%" PRIu64
	       " errors=%" PRIu64 "\n",
		tun_offloads(p->tun), t->read_calls, t->read_bytes, t->write_calls, t->written_bytes, t->write_errors);
	printf("udp offloads=%u sends=%" PRIu64 " sent=%" PRIu64 " recvs=%" PRIu64 " dropped=%" PRIu64 "\n",
		udp_offloads(p->udp[0]), u->send_calls, u->sent, u->recv_calls, u->dropped);
	fflush(stdout);
}

static int run(struct pump *p)
{
	sigset_t none;

	sigemptyset(&none);
	for (unsigned turn = 0; !stop; turn++) {
		int64_t now = clock_mono_ms(), due;
		bool more;

		if (pump_turn(p, now, &more) != OK)
			return 1;
		if (report) {
			report = 0;
			print_report(p, now);
		}
		if (more && turn % SIGNAL_TURNS)
			continue; /* signals are seen in ppoll only */
		due = pump_due_ms(p);
		struct pollfd fds[3] = { { .fd = tun_fd(p->tun), .events = POLLIN },
			{ .fd = udp_fd(p->udp[0]), .events = POLLIN },
			{ .fd = p->udp[1] ? udp_fd(p->udp[1]) : -1, .events = POLLIN } };
		struct timespec wait = { .tv_sec = 3600 };
		if (more || due < INT64_MAX) {
			int64_t ms = !more && due > now ? due - now : 0;
			wait = (struct timespec){ .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 };
		}
		(void)ppoll(fds, 3, &wait, &none);
	}
	return 0;
}

int main(int argc, char **argv)
{
	static struct options o;
	struct pump p = { .hooks = { .send = send_by_udp } };
	struct addrport at = { { .family = 4 }, 0 };
	sigset_t block;
	int rc = 1;

	parse(&o, argc, argv);
	at.port = o.port;
	p.hooks.ctx = &p;
	/* Signals come only while we wait, so that none is missed before it. */
	sigemptyset(&block);
	sigaddset(&block, SIGUSR1);
	sigaddset(&block, SIGTERM);
	sigaddset(&block, SIGINT);
	sigprocmask(SIG_BLOCK, &block, NULL);
	signal(SIGUSR1, on_signal);
	signal(SIGTERM, on_signal);
	signal(SIGINT, on_signal);

	struct wg_config c = { .key = &o.key, .mtu = o.mtu, .now_ms = clock_mono_ms(), .wall_ms = clock_wall_ms() };
	if (wg_new(&c, &p.wg) != OK || tun_open(o.tun, o.tun_want, o.mtu, &p.tun) != OK ||
		udp_open(at, 0, o.udp_want, &p.udp[0]) != OK) {
		fprintf(stderr, "wgpipe: start: %s\n", strerror(errno));
		goto out;
	}
	at = (struct addrport){ { .family = 6 }, o.port };
	if (udp_open(at, 0, o.udp_want, &p.udp[1]) != OK)
		p.udp[1] = NULL;
	for (size_t i = 0; i < o.n_peers; i++) {
		struct wg_peer *peer;

		if (wg_peer_add(p.wg, &o.peer[i].c, &peer) != OK)
			usage("--peer");
		wg_peer_set_from(peer, &o.peer[i].endpoint);
		if (o.peer[i].c.keepalive_s)
			wg_peer_connect(peer, c.now_ms);
	}
	printf("ready %s\n", tun_name(p.tun));
	fflush(stdout);
	rc = run(&p);
out:
	udp_close(p.udp[0]);
	udp_close(p.udp[1]);
	tun_close(p.tun);
	wg_free(p.wg);
	return rc;
}
