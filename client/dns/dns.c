#include "client/dns/dns.h"

#include <stdlib.h>

#include "client/dns/message.h"
#include "common/base/arena.h"
#include "common/base/buf.h"
#include "common/base/cleanup.h"
#include "common/base/random.h"

enum { CLASS_IN = 1, OPCODE_MASK = 0x7800, DNS_PORT = 53 };

struct upstreams {
	struct addrport at[DNS_UPSTREAMS_MAX];
	size_t n;
};
struct route {
	const char *suffix; /* lower case, without dots at the ends; "" is everything */
	struct upstreams to; /* n 0: answered here */
};
struct config {
	struct arena arena;
	struct route *route;
	size_t n_routes;
	struct upstreams usual; /* for names that no route takes */
	bool magic;		/* names of the tailnet are ours to answer */
	struct dns_name *extra; /* sorted by name */
	size_t n_extra;
};
struct names {
	struct arena arena;
	struct dns_name *by_name, *by_addr; /* sorted */
	size_t n, n_addr;
};

/* A question that was forwarded. */
struct pending {
	bool used;
	struct dns_client client;
	uint16_t client_id, id, udp_max;
	uint8_t *query; /* owned; with our id */
	size_t n;
	struct upstreams to;
	size_t tried;
	int64_t next_ms, end_ms;
};

struct dns {
	struct config c;
	struct names names;
	struct pending pending[DNS_PENDING_MAX];
	size_t n_pending;
	struct buf out;
	size_t out_used;
};

static void config_done(struct config *c)
{
	arena_done(&c->arena);
}
static void names_done(struct names *n)
{
	arena_done(&n->arena);
}

err dns_new(struct dns **out)
{
	struct dns *d = calloc(1, sizeof *d);

	if (!d)
		return ERR_NOMEM;
	d->out = buf_make(DNS_OUT_MAX);
	*out = d;
	return OK;
}

void dns_free(struct dns *d)
{
	if (!d)
		return;
	for (size_t i = 0; i < DNS_PENDING_MAX; i++)
		free(d->pending[i].query);
	config_done(&d->c);
	names_done(&d->names);
	buf_done(&d->out);
	free(d);
}

/* ---- what is known -------------------------------------------------------------------------------------------- */

/* Lower case, without dots at the ends. NULL: no memory. */
static const char *plain_name(struct arena *a, const char *name)
{
	struct bytes b = bytes_str(name);

	while (b.n && b.p[0] == '.')
		b = bytes_skip(b, 1);
	while (b.n && b.p[b.n - 1] == '.')
		b = bytes_first(b, b.n - 1);
	char *copy = arena_str(a, b);
	for (size_t i = 0; copy && i < b.n; i++) {
		if (copy[i] >= 'A' && copy[i] <= 'Z')
			copy[i] = (char)(copy[i] + 'a' - 'A');
	}
	return copy;
}

static int by_name(const void *a, const void *b)
{
	const struct dns_name *x = a, *y = b;

	return strcmp(x->name, y->name);
}
static int by_addr(const void *a, const void *b)
{
	const struct dns_name *x = a, *y = b;

	return addr_cmp(x->addr, y->addr);
}

err dns_set_names(struct dns *d, const struct dns_name *names, size_t n)
{
	CLEANUP(names_done) struct names fresh = { .arena = arena_make(0) };

	if (n > DNS_NAMES_MAX)
		return ERR_TOO_BIG;
	fresh.by_name = arena_array(&fresh.arena, n + 1, sizeof *fresh.by_name);
	fresh.by_addr = arena_array(&fresh.arena, n + 1, sizeof *fresh.by_addr);
	if (!fresh.by_name || !fresh.by_addr)
		return ERR_NOMEM;
	for (; fresh.n < n; fresh.n++) {
		struct dns_name *to = &fresh.by_name[fresh.n];

		*to = names[fresh.n];
		if (!(to->name = plain_name(&fresh.arena, names[fresh.n].name)))
			return ERR_NOMEM;
		if (to->reverse && strlen(to->name) < DNS_NAME_MAX)
			fresh.by_addr[fresh.n_addr++] = *to;
	}
	qsort(fresh.by_name, fresh.n, sizeof *fresh.by_name, by_name);
	qsort(fresh.by_addr, fresh.n_addr, sizeof *fresh.by_addr, by_addr);
	struct names old = d->names;
	d->names = fresh;
	fresh = old;
	return OK;
}

static bool is_us(struct addr a)
{
	static const struct addr v6 = { .family = 6, .b = { 0xfd, 0x7a, 0x11, 0x5c, 0xa1, 0xe0, [15] = 0x53 } };

	return addr_eq(a, addr_v4(100, 100, 100, 100)) || addr_eq(a, v6);
}

static void add_upstream(struct upstreams *u, struct addrport at)
{
	if (!is_us(at.addr) && at.addr.family && u->n < DNS_UPSTREAMS_MAX)
		u->at[u->n++] = at;
}

static void add_resolvers(struct upstreams *u, const struct tailcfg_resolver *r, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct addrport at = { .port = DNS_PORT };

		if (addr_parse(bytes_str(r[i].addr), &at.addr) == OK || addrport_parse(bytes_str(r[i].addr), &at) == OK)
			add_upstream(u, at);
	}
}

static err add_route(struct config *c, const char *suffix, const struct tailcfg_resolver *r, size_t n)
{
	struct route *to = &c->route[c->n_routes];

	if (!(to->suffix = plain_name(&c->arena, suffix)))
		return ERR_NOMEM;
	add_resolvers(&to->to, r, n);
	/* Resolvers that we cannot speak to: as if the route were not there, rather than no answer. */
	if (n && !to->to.n)
		return OK;
	c->n_routes++;
	return OK;
}

static err add_extra(struct config *c, const struct tailcfg_dns_record *r)
{
	struct dns_name *to = &c->extra[c->n_extra];

	if (addr_parse(bytes_str(r->value), &to->addr) != OK)
		return OK;
	if (!(to->name = plain_name(&c->arena, r->name)))
		return ERR_NOMEM;
	c->n_extra++;
	return OK;
}

err dns_set_config(struct dns *d, const struct tailcfg_dns_config *c, const struct addrport *system, size_t n_system)
{
	CLEANUP(config_done) struct config fresh = { .arena = arena_make(0), .magic = c->proxied };

	if (c->n_routes + c->n_domains > DNS_ROUTES_MAX || c->n_extra_records > DNS_NAMES_MAX)
		return ERR_TOO_BIG;
	fresh.route = arena_array(&fresh.arena, c->n_routes + 2, sizeof *fresh.route);
	fresh.extra = arena_array(&fresh.arena, c->n_extra_records + 1, sizeof *fresh.extra);
	if (!fresh.route || !fresh.extra)
		return ERR_NOMEM;
	for (size_t i = 0; i < c->n_routes; i++)
		TRY(add_route(&fresh, c->routes[i].suffix, c->routes[i].resolvers, c->routes[i].n_resolvers));
	if (c->proxied && c->n_domains) /* the MagicDNS suffix */
		TRY(add_route(&fresh, c->domains[0], NULL, 0));
	for (size_t i = 0; i < c->n_extra_records; i++)
		TRY(add_extra(&fresh, &c->extra_records[i]));
	qsort(fresh.extra, fresh.n_extra, sizeof *fresh.extra, by_name);
	add_resolvers(&fresh.usual, c->resolvers, c->n_resolvers);
	if (!fresh.usual.n)
		add_resolvers(&fresh.usual, c->fallback_resolvers, c->n_fallback_resolvers);
	for (size_t i = 0; i < n_system && !c->n_resolvers; i++)
		add_upstream(&fresh.usual, system[i]);
	struct config old = d->c;
	d->c = fresh;
	fresh = old;
	return OK;
}

/* ---- sending -------------------------------------------------------------------------------------------------- */

struct out_head {
	bool to_client;
	struct dns_client client;
	struct addrport upstream;
	bool tcp;
	size_t n;
};

static void put(struct dns *d, const struct dns_out *o)
{
	struct out_head h;

	memset(&h, 0, sizeof h);
	h.to_client = o->to_client;
	h.client = o->client;
	h.upstream = o->upstream;
	h.tcp = o->tcp;
	h.n = o->packet.n;
	if (buf_len(&d->out) + sizeof h + h.n > DNS_OUT_MAX || !buf_reserve(&d->out, sizeof h + h.n))
		return; /* as if the datagram were lost */
	buf_append(&d->out, bytes_of(&h, sizeof h));
	buf_append(&d->out, o->packet);
}

bool dns_pull(struct dns *d, struct dns_out *out)
{
	struct out_head h;

	buf_consume(&d->out, d->out_used);
	d->out_used = 0;
	struct bytes b = buf_view(&d->out);
	if (b.n < sizeof h)
		return false;
	memcpy(&h, b.p, sizeof h);
	*out = (struct dns_out){ .to_client = h.to_client, .client = h.client, .upstream = h.upstream, .tcp = h.tcp };
	out->packet = bytes_first(bytes_skip(b, sizeof h), h.n);
	d->out_used = sizeof h + h.n;
	return true;
}

static void answer_client(struct dns *d, const struct dns_client *c, struct bytes packet)
{
	put(d, &(struct dns_out){ .to_client = true, .client = *c, .packet = packet });
}

static void answer_code(struct dns *d, const struct dns_client *c, const struct dns_question *q, enum dns_rcode code)
{
	uint8_t space[DNS_HEADER_LEN + DNS_NAME_MAX + 32];
	struct writer w = wr_init(space, sizeof space);

	dns_answer_begin(&w, q, code);
	dns_answer_end(&w, q, 0, sizeof space);
	answer_client(d, c, wr_view(&w));
}

/* ---- our names ------------------------------------------------------------------------------------------------ */

/* Writes the records of name in a sorted list. True: the name is in it, whatever its records are. */
static bool answer_from(const struct dns_name *list, size_t n, const struct dns_question *q, struct writer *w, unsigned *count)
{
	size_t low = 0, high = n;
	bool found = false;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (strcmp(list[mid].name, q->name) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	for (; low < n && strcmp(list[low].name, q->name) == 0; low++) {
		found = true;
		if (q->type != (list[low].addr.family == 4 ? DNS_A : DNS_AAAA))
			continue;
		dns_answer_addr(w, list[low].addr, DNS_TTL_S);
		++*count;
	}
	return found;
}

/* True: it was one of ours and is answered. */
static bool answer_ours(struct dns *d, const struct dns_client *c, const struct dns_question *q)
{
	uint8_t space[DNS_PACKET_MAX];
	struct writer w = wr_init(space, sizeof space);
	struct dns_name key = { 0 };
	unsigned n = 0;
	bool found;

	dns_answer_begin(&w, q, DNS_NOERROR);
	found = answer_from(d->c.extra, d->c.n_extra, q, &w, &n);
	if (d->c.magic)
		found |= answer_from(d->names.by_name, d->names.n, q, &w, &n);
	if (!found && d->c.magic && dns_reverse_addr(q->name, &key.addr)) {
		const struct dns_name *name =
			d->names.n_addr ? bsearch(&key, d->names.by_addr, d->names.n_addr, sizeof key, by_addr) : NULL;

		if (!name && !addr_is_tailscale(key.addr))
			return false;
		if (!name) {
			answer_code(d, c, q, DNS_NXDOMAIN);
			return true;
		}
		found = true;
		if (q->type == DNS_PTR) {
			dns_answer_ptr(&w, name->name, DNS_TTL_S);
			n++;
		}
	}
	if (!found)
		return false;
	dns_answer_end(&w, q, n, q->udp_max);
	answer_client(d, c, wr_view(&w));
	return true;
}

/* ---- others' -------------------------------------------------------------------------------------------------- */

static bool is_under(const char *name, const char *suffix)
{
	size_t n = strlen(name), k = strlen(suffix);

	if (k == 0)
		return true;
	return n >= k && strcmp(name + n - k, suffix) == 0 && (n == k || name[n - k - 1] == '.');
}

/* NULL: no route takes the name. */
static const struct route *route_for(const struct config *c, const char *name)
{
	const struct route *best = NULL;

	for (size_t i = 0; i < c->n_routes; i++) {
		const struct route *r = &c->route[i];

		if (is_under(name, r->suffix) && (!best || strlen(r->suffix) > strlen(best->suffix)))
			best = r;
	}
	return best;
}

static void pending_done(struct dns *d, struct pending *p)
{
	free(p->query);
	*p = (struct pending){ 0 };
	d->n_pending--;
}

static void set_id(uint8_t *packet, uint16_t id)
{
	packet[0] = (uint8_t)(id >> 8);
	packet[1] = (uint8_t)id;
}

static void ask_next(struct dns *d, struct pending *p, int64_t now_ms)
{
	struct addrport to = p->to.at[p->tried % p->to.n];

	p->tried++;
	p->next_ms = now_ms + DNS_TRY_MS;
	put(d, &(struct dns_out){ .upstream = to, .tcp = p->client.tcp, .packet = bytes_of(p->query, p->n) });
}

static bool forward(struct dns *d, const struct dns_client *c, const struct dns_question *q, struct bytes packet,
	const struct upstreams *to, int64_t now_ms)
{
	struct pending *p = d->pending;

	if (!to->n || d->n_pending == DNS_PENDING_MAX)
		return false;
	while (p->used)
		p++;
	uint8_t *copy = malloc(packet.n);
	if (!copy)
		return false;
	memcpy(copy, packet.p, packet.n);
	*p = (struct pending){ .used = true, .client = *c, .client_id = q->id, .id = (uint16_t)random_u64(), .udp_max = q->udp_max,
		.query = copy, .n = packet.n, .to = *to, .end_ms = now_ms + DNS_TIMEOUT_MS };
	set_id(copy, p->id);
	d->n_pending++;
	ask_next(d, p, now_ms);
	return true;
}

void dns_query(struct dns *d, const struct dns_client *client, struct bytes packet, int64_t now_ms)
{
	struct dns_question q;
	err e = dns_parse_question(packet, &q);

	if (e == ERR_TRUNCATED || dns_is_response(&q) || packet.n > DNS_PACKET_MAX)
		return;
	if (e != OK) {
		answer_code(d, client, &q, DNS_FORMERR);
		return;
	}
	if (q.flags & OPCODE_MASK || q.class_ != CLASS_IN) {
		answer_code(d, client, &q, DNS_NOTIMP);
		return;
	}
	if (client->tcp)
		q.udp_max = DNS_TCP_MAX;
	if (answer_ours(d, client, &q))
		return;
	const struct route *r = route_for(&d->c, q.name);
	if (r && !r->to.n)
		answer_code(d, client, &q, DNS_NXDOMAIN);
	else if (!forward(d, client, &q, packet, r ? &r->to : &d->c.usual, now_ms))
		answer_code(d, client, &q, DNS_SERVFAIL);
}

static bool was_asked(const struct pending *p, struct addrport at)
{
	for (size_t i = 0; i < p->to.n && i < p->tried; i++) {
		if (addrport_eq(p->to.at[i], at))
			return true;
	}
	return false;
}

void dns_upstream(struct dns *d, struct addrport from, struct bytes packet, int64_t now_ms)
{
	uint8_t copy[DNS_TCP_MAX];
	struct dns_question q, asked;

	(void)now_ms;
	if (packet.n > sizeof copy || dns_parse_question(packet, &q) != OK || !dns_is_response(&q))
		return;
	for (size_t i = 0; i < DNS_PENDING_MAX && d->n_pending; i++) {
		struct pending *p = &d->pending[i];

		if (!p->used || p->id != q.id || !was_asked(p, from))
			continue;
		if (dns_parse_question(bytes_of(p->query, p->n), &asked) != OK || q.type != asked.type ||
			strcmp(q.name, asked.name) != 0)
			continue;
		memcpy(copy, packet.p, packet.n);
		set_id(copy, p->client_id);
		struct bytes answer = bytes_of(copy, packet.n);
		if (answer.n > p->udp_max) {
			struct writer w = wr_init(copy, sizeof copy);

			q.id = p->client_id;
			q.edns = asked.edns;
			dns_answer_begin(&w, &q, DNS_NOERROR);
			dns_answer_end(&w, &q, 0, 0); /* nothing fits: truncated */
			answer = wr_view(&w);
		}
		answer_client(d, &p->client, answer);
		pending_done(d, p);
		return;
	}
}

/* ---- time ----------------------------------------------------------------------------------------------------- */

int64_t dns_due_ms(const struct dns *d)
{
	int64_t due = INT64_MAX;

	for (size_t i = 0; i < DNS_PENDING_MAX && d->n_pending; i++) {
		const struct pending *p = &d->pending[i];

		if (p->used)
			{
			due = MIN_OF(due, p->next_ms);
			due = MIN_OF(due, p->end_ms);
		}
	}
	return due;
}

void dns_tick(struct dns *d, int64_t now_ms)
{
	for (size_t i = 0; i < DNS_PENDING_MAX && d->n_pending; i++) {
		struct pending *p = &d->pending[i];
		struct dns_question q;

		if (!p->used)
			continue;
		if (now_ms >= p->end_ms) {
			if (dns_parse_question(bytes_of(p->query, p->n), &q) == OK) {
				q.id = p->client_id;
				answer_code(d, &p->client, &q, DNS_SERVFAIL);
			}
			pending_done(d, p);
		} else if (now_ms >= p->next_ms) {
			ask_next(d, p, now_ms);
		}
	}
}
