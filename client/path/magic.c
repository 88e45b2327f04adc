#include "client/path/magic.h"

#include <errno.h>
#include <netdb.h>
#include <stdlib.h>

#include "client/path/udp.h"
#include "common/base/cleanup.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/random.h"
#include "common/net/sock.h"

enum { NAMES_MAX = 256, FAMILIES = 2, READS_A_TURN = 16, DERP_PACKET_ROOM = 64 << 10 };

struct socket {
	struct magic *m;
	struct udp *udp; /* owned; NULL: none of this family */
	struct loop_io *ready;
};

/* A relay's host name and what it resolved to. */
struct name {
	char host[256];
	struct addr v4, v6;
};
/* A look-up of all names, off the loop; it outlives the magic when that goes first. */
struct lookup {
	struct magic *m; /* NULL: gone */
	size_t n;
	struct name name[NAMES_MAX];
	bool failed; /* one of them at least */
};

struct magic {
	struct magic_config c;
	struct path *path;
	struct derp_links *derp;
	struct socket sock[FAMILIES]; /* IPv4, IPv6 */
	struct loop_timer timer, resolve_timer;
	struct loop_post flush;
	bool will_flush, dead;

	/* The map as it came, with addresses where it had some. */
	struct path_region *region; /* owned, n_regions of each */
	struct derp_link_region *relay;
	char (*stun_host)[PATH_NODES_MAX][256]; /* of region's nodes without addresses; "" otherwise */
	size_t n_regions;
	bool may_loop;
	struct addr *relays; /* owned; MAGIC_RELAYS_MAX */
	size_t n_relays;
	struct name *name; /* owned; NAMES_MAX */
	size_t n_names;
	struct lookup *lookup; /* under way */

	uint8_t *copy; /* owned; DERP packets are opened in place in here */
	struct magic_stats stats;
};

static void run_engine(struct magic *m);
static void resolve(struct magic *m);
static err apply_map(struct magic *m);

static void magic_freep(struct magic **m)
{
	magic_free(*m);
}

static struct socket *socket_for(struct magic *m, struct addr a)
{
	return &m->sock[a.family == 6];
}

/* ---- the engine's turn ---------------------------------------------------------------------------------------- */

static void on_flush(struct loop_post *p)
{
	struct magic *m = container_of(p, struct magic, flush);

	m->will_flush = false;
	if (m->dead)
		free(m);
	else
		run_engine(m);
}

void magic_flush(struct magic *m)
{
	if (m->will_flush)
		return;
	m->will_flush = true;
	loop_defer_node(m->c.loop, &m->flush);
}

static void on_timer(struct loop_timer *t)
{
	struct magic *m = container_of(t, struct magic, timer);

	path_tick(m->path, clock_mono_us());
	magic_flush(m);
}

static void on_event(struct magic *m, const struct path_event *ev)
{
	if (ev->kind == PATH_EV_HOME)
		derp_links_set_home(m->derp, path_home(m->path));
	if (ev->kind == PATH_EV_PROBE)
		derp_links_probe(m->derp, ev->region);
	else
		m->c.on_event(m->c.ctx, ev);
}

static void run_engine(struct magic *m)
{
	struct path_out o;
	struct path_event ev;

	while (path_pull(m->path, &o)) {
		struct path_from to = { .addr = o.to, .region = o.region, .key = o.key };

		magic_send_to(m, &to, o.packet);
	}
	while (path_next_event(m->path, &ev))
		on_event(m, &ev);
	int64_t due = path_due_ms(m->path), now = clock_mono_us() / 1000;
	if (due == INT64_MAX)
		loop_timer_stop(&m->timer);
	else
		loop_timer_in(&m->timer, due > now ? due - now : 1);
}

/* ---- in ------------------------------------------------------------------------------------------------------- */

/* Data and handshakes start 1 to 4, 0, 0, 0: nothing else does (disco.md 2). */
static bool is_plainly_wireguard(const uint8_t *p, size_t n)
{
	return n >= 4 && p[0] >= 1 && p[0] <= 4 && !p[1] && !p[2] && !p[3];
}

static void got_buffer(struct magic *m, const struct udp_rx *rx)
{
	struct path_from from = { .addr = rx->from };
	struct wg_packet pkts[MAGIC_BATCH];
	size_t at = 0, got;

	while ((got = udp_rx_split(rx, &at, pkts, MAGIC_BATCH))) {
		size_t n = 0;

		m->stats.udp_rx += got;
		for (size_t i = 0; i < got; i++) {
			if (is_plainly_wireguard(pkts[i].p, pkts[i].n) ||
				path_recv(m->path, &from, bytes_of(pkts[i].p, pkts[i].n), clock_mono_us()) == PATH_WIREGUARD)
				pkts[n++] = pkts[i];
		}
		if (n)
			m->c.on_wireguard(m->c.ctx, &from, pkts, n);
	}
}

static void on_readable(struct loop_io *io, unsigned ready, void *ctx)
{
	struct socket *s = ctx;
	struct udp_rx rx[UDP_RX_SLOTS_PLAIN];
	size_t n;

	(void)io;
	(void)ready;
	for (unsigned turn = 0; turn < READS_A_TURN && (n = udp_recv(s->udp, rx)); turn++) {
		for (size_t i = 0; i < n; i++)
			got_buffer(s->m, &rx[i]);
	}
	if (s->m->c.on_batch_end)
		s->m->c.on_batch_end(s->m->c.ctx);
	magic_flush(s->m);
}

static void on_derp_packet(void *ctx, uint16_t region, const struct node_pub *key, struct bytes packet)
{
	struct magic *m = ctx;
	struct path_from from = { .region = region, .key = *key };

	m->stats.derp_rx++;
	magic_flush(m);
	if (path_recv(m->path, &from, packet, clock_mono_us()) != PATH_WIREGUARD || packet.n > DERP_PACKET_ROOM || !packet.n)
		return;
	memcpy(m->copy, packet.p, packet.n);
	m->c.on_wireguard(m->c.ctx, &from, &(struct wg_packet){ .p = m->copy, .n = packet.n }, 1);
	if (m->c.on_batch_end)
		m->c.on_batch_end(m->c.ctx);
}

static void on_derp_state(void *ctx, uint16_t region, bool up)
{
	struct magic *m = ctx;

	path_derp_up(m->path, region, up, clock_mono_us());
	magic_flush(m);
}
static void on_derp_heard(void *ctx, uint16_t region)
{
	struct magic *m = ctx;

	path_derp_heard(m->path, region, clock_mono_us());
}
static void on_derp_latency(void *ctx, uint16_t region, int64_t us)
{
	struct magic *m = ctx;

	path_derp_latency(m->path, region, us, clock_mono_us());
	magic_flush(m);
}
static void on_derp_gone(void *ctx, uint16_t region, const struct node_pub *peer)
{
	struct magic *m = ctx;

	path_peer_gone(m->path, region, peer, clock_mono_us());
	magic_flush(m);
	if (m->c.on_peer_gone)
		m->c.on_peer_gone(m->c.ctx, region, peer);
}

/* ---- out ------------------------------------------------------------------------------------------------------ */

static void send_derp(struct magic *m, uint16_t region, const struct node_pub *to, struct bytes packet)
{
	m->stats.derp_tx++;
	/* No such region, or it does not read: the packet is lost, as packets may be. */
	if (derp_links_send(m->derp, region, to, packet) != OK)
		m->stats.derp_failed++;
}

/* 0, or the errno of what could not be sent. */
static int send_udp(struct magic *m, struct addrport to, const struct wg_packet *pkts, size_t n)
{
	struct udp *u = socket_for(m, to.addr)->udp;

	m->stats.udp_tx += n;
	if (u && udp_send(u, to, pkts, n) == OK)
		return 0;
	m->stats.udp_failed++;
	return u ? errno : EAFNOSUPPORT;
}

bool magic_send(struct magic *m, struct path_peer *peer, const struct wg_packet *pkts, size_t n)
{
	struct path_route r;
	int64_t now_us = clock_mono_us();

	path_route(peer, now_us, &r);
	if (!r.region && !r.udp.addr.family) {
		magic_flush(m);
		return false;
	}
	if (r.udp.addr.family) {
		int e = send_udp(m, r.udp, pkts, n);

		if (e == EHOSTUNREACH || e == ENETUNREACH || e == EADDRNOTAVAIL || e == EAFNOSUPPORT) {
			path_unreachable(peer, r.udp, now_us);
			path_route(peer, now_us, &r); /* this batch by the relay, then */
		}
	}
	for (size_t i = 0; i < n && r.region; i++)
		send_derp(m, r.region, path_peer_key(peer), bytes_of(pkts[i].p, pkts[i].n));
	magic_flush(m);
	return true;
}

void magic_send_to(struct magic *m, const struct path_from *to, struct bytes packet)
{
	struct wg_packet pkt = { .p = (uint8_t *)(uintptr_t)packet.p, .n = packet.n }; /* which sending only reads */

	if (to->addr.addr.family)
		send_udp(m, to->addr, &pkt, 1);
	else
		send_derp(m, to->region, &to->key, packet);
}

/* ---- relays' names -------------------------------------------------------------------------------------------- */

static void look_up(void *arg)
{
	struct lookup *l = arg;

	for (size_t i = 0; i < l->n; i++) {
		struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *found;

		if (getaddrinfo(l->name[i].host, NULL, &hints, &found) != 0) {
			l->failed = true;
			continue;
		}
		for (const struct addrinfo *a = found; a; a = a->ai_next) {
			struct addr at = addrport_from_sockaddr(a->ai_addr).addr;
			struct addr *slot = at.family == 4 ? &l->name[i].v4 : &l->name[i].v6;

			if (at.family && !slot->family)
				*slot = at;
		}
		freeaddrinfo(found);
	}
}

static void looked_up(void *arg)
{
	struct lookup *l = arg;
	struct magic *m = l->m;

	if (!m) {
		free(l);
		return;
	}
	m->lookup = NULL;
	for (size_t i = 0; i < l->n; i++) {
		for (size_t k = 0; k < m->n_names; k++) {
			/* An old address is better than none. */
			if (strcmp(m->name[k].host, l->name[i].host) == 0 && (l->name[i].v4.family || l->name[i].v6.family))
				m->name[k] = l->name[i];
		}
	}
	loop_timer_in(&m->resolve_timer, l->failed ? MAGIC_RESOLVE_RETRY_MS : MAGIC_RESOLVE_MS);
	free(l);
	if (apply_map(m) != OK)
		log_warn("out of memory for relays", "regions=%zu", m->n_regions);
	if (m->c.on_relays)
		m->c.on_relays(m->c.ctx);
	magic_flush(m);
}

static void resolve(struct magic *m)
{
	struct lookup *l;

	if (!m->n_names || m->lookup)
		return;
	l = calloc(1, sizeof *l);
	if (l) {
		l->m = m;
		l->n = m->n_names;
		for (size_t i = 0; i < m->n_names; i++)
			memcpy(l->name[i].host, m->name[i].host, sizeof l->name[i].host);
		if (loop_work(m->c.loop, look_up, looked_up, l) == OK) {
			m->lookup = l;
			return;
		}
		free(l);
	}
	loop_timer_in(&m->resolve_timer, MAGIC_RESOLVE_RETRY_MS);
}

static void on_resolve_timer(struct loop_timer *t)
{
	resolve(container_of(t, struct magic, resolve_timer));
}

static void want_name(struct magic *m, const char *host)
{
	if (!host[0])
		return;
	for (size_t i = 0; i < m->n_names; i++) {
		if (strcmp(m->name[i].host, host) == 0)
			return;
	}
	if (m->n_names == NAMES_MAX)
		return;
	struct name *n = &m->name[m->n_names++];
	*n = (struct name){ 0 };
	memcpy(n->host, host, strlen(host) + 1); /* it came from an array of this size */
}

/* What names of the map before resolved to, for those that this one has too. */
static void recall_names(struct magic *m, const struct name *was, size_t n)
{
	for (size_t i = 0; i < m->n_names; i++) {
		for (size_t k = 0; k < n; k++) {
			if (strcmp(m->name[i].host, was[k].host) == 0)
				m->name[i] = was[k];
		}
	}
}

/* Fills what is missing from what its host resolved to. */
static void fill(const struct magic *m, const char *host, struct addr *v4, struct addr *v6)
{
	for (size_t i = 0; i < m->n_names && host[0]; i++) {
		if (strcmp(m->name[i].host, host) == 0) {
			*v4 = m->name[i].v4;
			*v6 = m->name[i].v6;
		}
	}
}

/* ---- the map -------------------------------------------------------------------------------------------------- */

static bool copy_text(char *to, size_t cap, const char *from)
{
	if (bytes_copy(to, cap - 1, bytes_str(from)) != OK)
		return false;
	to[strlen(from)] = 0;
	return true;
}

static struct addr literal(const char *text)
{
	struct addr a = { 0 };

	return addr_parse(bytes_str(text), &a) == OK ? a : (struct addr){ 0 };
}

/* The map's word on a node's addresses; *host: to be looked up, or "". */
static void node_addrs(const struct tailcfg_derp_node *n, struct addr *v4, struct addr *v6, const char **host)
{
	struct addr a = literal(n->host_name);

	*v4 = literal(n->ipv4);
	*v6 = literal(n->ipv6);
	*host = "";
	if (v4->family || v6->family)
		return;
	if (a.family == 4)
		*v4 = a;
	else if (a.family == 6)
		*v6 = a;
	else
		*host = n->host_name;
}

static void read_region(struct magic *m, size_t at, const struct tailcfg_derp_map *map, const struct tailcfg_derp_region *r)
{
	struct path_region *p = &m->region[at];
	struct derp_link_region *d = &m->relay[at];

	*p = (struct path_region){ .id = (uint16_t)r->region_id, .no_measure_no_home = r->no_measure_no_home, .avoid = r->avoid };
	*d = (struct derp_link_region){ .id = p->id };
	for (size_t i = 0; i < map->n_scores; i++) {
		if (map->scores[i].region_id == r->region_id)
			p->score = map->scores[i].factor;
	}
	for (size_t i = 0; i < r->n_nodes; i++) {
		const struct tailcfg_derp_node *n = &r->nodes[i];
		struct derp_link_node l = { .port = n->derp_port > 0 ? (uint16_t)n->derp_port : 443, .insecure = n->insecure_for_tests };
		struct addr v4, v6;
		const char *host;

		if (!copy_text(l.host, sizeof l.host, n->host_name) || !copy_text(l.cert_name, sizeof l.cert_name, n->cert_name) ||
			!copy_text(l.name, sizeof l.name, n->name))
			continue;
		node_addrs(n, &v4, &v6, &host);
		want_name(m, host);
		if (p->n_nodes < PATH_NODES_MAX) {
			struct path_node *q = &p->node[p->n_nodes];

			*q = (struct path_node){ .v4 = v4, .v6 = v6, .stun_only = n->stun_only };
			q->stun_port = n->stun_port < 0 ? 0 : n->stun_port == 0 ? 3478 : (uint16_t)n->stun_port;
			if (copy_text(m->stun_host[at][p->n_nodes], sizeof m->stun_host[at][0], host))
				p->n_nodes++;
		}
		if (n->stun_only || d->n_nodes == DERP_LINKS_NODES_MAX)
			continue;
		l.v4 = v4;
		l.v6 = v6;
		d->node[d->n_nodes++] = l;
	}
}

/* Where the internet cannot be meant. */
static bool is_inside(const struct magic *m, struct addr a)
{
	return addr_is_unspecified(a) || addr_is_link_local(a) || addr_is_multicast(a) || (addr_is_loopback(a) && !m->may_loop);
}

/* What is known in the end of a node's addresses; the others are none. */
static void settle(struct magic *m, struct addr *v4, struct addr *v6)
{
	struct addr *const both[] = { v4, v6 };

	for (size_t i = 0; i < ARRAY_LEN(both); i++) {
		struct addr *a = both[i];

		*a = addr_unmap(*a);
		if (!a->family)
			continue;
		if (is_inside(m, *a))
			*a = (struct addr){ 0 };
		else if (m->n_relays < MAGIC_RELAYS_MAX)
			m->relays[m->n_relays++] = *a;
	}
}

static err apply_map(struct magic *m)
{
	CLEANUP(freep) struct path_region *p = NULL;
	CLEANUP(freep) struct derp_link_region *d = NULL;
	size_t n = m->n_regions;

	if (!(p = calloc(n + 1, sizeof *p)) || !(d = calloc(n + 1, sizeof *d)))
		return ERR_NOMEM;
	m->n_relays = 0;
	for (size_t i = 0; i < n; i++) {
		p[i] = m->region[i];
		d[i] = m->relay[i];
		for (size_t k = 0; k < p[i].n_nodes; k++) {
			fill(m, m->stun_host[i][k], &p[i].node[k].v4, &p[i].node[k].v6);
			settle(m, &p[i].node[k].v4, &p[i].node[k].v6);
		}
		for (size_t k = 0; k < d[i].n_nodes; k++) {
			if (!d[i].node[k].v4.family && !d[i].node[k].v6.family)
				fill(m, d[i].node[k].host, &d[i].node[k].v4, &d[i].node[k].v6);
			settle(m, &d[i].node[k].v4, &d[i].node[k].v6);
		}
	}
	TRY(derp_links_set_regions(m->derp, d, n));
	return path_set_regions(m->path, p, n, clock_mono_us());
}

size_t magic_relays(const struct magic *m, struct addr *out, size_t cap)
{
	size_t n = MIN_OF(m->n_relays, cap);

	if (n)
		memcpy(out, m->relays, n * sizeof *out);
	return n;
}

err magic_set_derp_map(struct magic *m, const struct tailcfg_derp_map *map, bool may_loop)
{
	size_t n = MIN_OF(map->n_regions, (size_t)PATH_REGIONS_MAX), kept = 0;
	CLEANUP(freep) struct path_region *region = calloc(n + 1, sizeof *region);
	CLEANUP(freep) struct derp_link_region *relay = calloc(n + 1, sizeof *relay);
	CLEANUP(freep) void *hosts = calloc(n + 1, sizeof *m->stun_host);
	CLEANUP(freep) struct name *was = malloc(NAMES_MAX * sizeof *was);

	if (!region || !relay || !hosts || !was)
		return ERR_NOMEM;
	free(m->region);
	free(m->relay);
	free(m->stun_host);
	m->region = MOVE(region);
	m->relay = MOVE(relay);
	m->stun_host = MOVE(hosts);
	m->may_loop = may_loop;
	memcpy(was, m->name, m->n_names * sizeof *was);
	size_t n_was = m->n_names;
	m->n_names = 0;
	for (size_t i = 0; i < n; i++) {
		const struct tailcfg_derp_region *r = &map->regions[i];

		if (r->region_id > 0 && r->region_id <= UINT16_MAX && !r->removed)
			read_region(m, kept++, map, r);
	}
	m->n_regions = kept;
	recall_names(m, was, n_was);
	TRY(apply_map(m));
	resolve(m);
	magic_flush(m);
	return OK;
}

/* ---- life ----------------------------------------------------------------------------------------------------- */

/* On that port, or on any where it is taken. */
static void open_socket(struct socket *s, int family, uint16_t port)
{
	struct addrport at = { .addr.family = (uint8_t)family, .port = port };
	unsigned want = s->m->c.no_offload ? 0 : UDP_OFFLOADS;

	if (udp_open(at, 0, want, &s->udp) == OK)
		return;
	at.port = 0;
	if (udp_open(at, 0, want, &s->udp) != OK)
		log_info("no UDP socket", "family=%d errno=%d", family, errno);
}

static void open_sockets(struct magic *m)
{
	for (size_t i = 0; i < FAMILIES; i++) {
		m->sock[i].m = m;
		open_socket(&m->sock[i], i ? 6 : 4, i && m->sock[0].udp ? udp_local(m->sock[0].udp).port : m->c.port);
	}
}

err magic_new(const struct magic_config *c, struct magic **out)
{
	CLEANUP(magic_freep) struct magic *m = calloc(1, sizeof *m);

	if (!m)
		return ERR_NOMEM;
	m->c = *c;
	m->flush.fn = on_flush;
	loop_timer_init(&m->timer, c->loop, on_timer);
	loop_timer_init(&m->resolve_timer, c->loop, on_resolve_timer);
	open_sockets(m);
	m->copy = malloc(DERP_PACKET_ROOM);
	m->name = calloc(NAMES_MAX, sizeof *m->name);
	m->relays = calloc(MAGIC_RELAYS_MAX, sizeof *m->relays);
	if (!m->copy || !m->name || !m->relays)
		return ERR_NOMEM;
	if (!m->sock[0].udp && !m->sock[1].udp)
		return ERR_SYS;
	for (size_t i = 0; i < FAMILIES; i++) {
		struct socket *s = &m->sock[i];

		if (!s->udp)
			continue;
		TRY(loop_io_new(c->loop, udp_fd(s->udp), on_readable, s, &s->ready));
		loop_io_want(s->ready, LOOP_READ);
	}
	struct path_config pc = { .key = c->key->pub, .disco = c->disco, .now_us = clock_mono_us() };
	TRY(path_new(&pc, &m->path));
	path_set_families(m->path, m->sock[0].udp, m->sock[1].udp);
	struct derp_links_config dc = { .loop = c->loop, .key = c->key, .ca_file = c->ca_file, .on_packet = on_derp_packet,
		.on_state = on_derp_state, .on_heard = on_derp_heard, .on_latency = on_derp_latency,
		.on_peer_gone = on_derp_gone, .ctx = m };
	TRY(derp_links_new(&dc, &m->derp));
	*out = MOVE(m);
	return OK;
}

void magic_free(struct magic *m)
{
	if (!m)
		return;
	for (size_t i = 0; i < FAMILIES; i++) {
		loop_io_close(m->sock[i].ready);
		udp_close(m->sock[i].udp);
	}
	derp_links_free(m->derp);
	path_free(m->path);
	loop_timer_done(&m->timer);
	loop_timer_done(&m->resolve_timer);
	if (m->lookup)
		m->lookup->m = NULL;
	free(m->region);
	free(m->relay);
	free(m->stun_host);
	free(m->name);
	free(m->relays);
	free(m->copy);
	m->dead = true;
	if (!m->will_flush)
		free(m);
}

struct path *magic_path(struct magic *m)
{
	return m->path;
}

struct derp_links *magic_derp(struct magic *m)
{
	return m->derp;
}

uint16_t magic_port(const struct magic *m, int family)
{
	const struct udp *u = m->sock[family == 6].udp;

	return u ? udp_local(u).port : 0;
}

void magic_set_local(struct magic *m, const struct addr *a, size_t n, bool moved)
{
	struct addrport at[PATH_LOCAL_MAX];
	size_t kept = 0;

	for (size_t i = 0; i < n && kept < PATH_LOCAL_MAX; i++) {
		uint16_t port = magic_port(m, a[i].family);

		if (port)
			at[kept++] = (struct addrport){ a[i], port };
	}
	path_set_local(m->path, at, kept, moved, clock_mono_us());
	if (moved) {
		derp_links_check(m->derp);
		resolve(m);
	}
	magic_flush(m);
}

void magic_set_key(struct magic *m, const struct node_key *key)
{
	path_set_key(m->path, &key->pub);
	derp_links_set_key(m->derp, key);
	magic_flush(m);
}

const struct magic_stats *magic_stats(const struct magic *m)
{
	return &m->stats;
}
