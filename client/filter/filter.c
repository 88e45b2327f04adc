#include "client/filter/filter.h"

#include <stdio.h>
#include <stdlib.h>

#include "client/filter/flows.h"
#include "client/filter/inner.h"
#include "client/netmap.h"
#include "common/base/arena.h"
#include "common/base/cleanup.h"
#include "common/base/writer.h"

_Static_assert(FLOWS_SETS * FLOWS_WAYS == FILTER_FLOWS, "the table's size is what the header says");

struct rule {
	struct nm_range *src; /* sorted, and no two overlap */
	size_t n_src;
	const char **cap;
	size_t n_caps;
	struct nm_dst *dst;
	size_t n_dst;
	uint64_t proto[4]; /* a bit each */
};

struct rules {
	struct arena arena; /* all of it lives here */
	struct rule *rule;
	size_t n;
};

struct filter {
	struct rules rules;
	struct prefix *self; /* owned */
	size_t n_self;
	bool shields_up, is_exit;
	bool (*has_cap)(void *ctx, struct addr src, const char *cap);
	void *caps_ctx;
	struct flows flows;
	struct filter_stats stats;
};

/* ---- set ------------------------------------------------------------------------------------------------------ */

err filter_new(struct filter **out)
{
	struct filter *f = calloc(1, sizeof *f);

	if (!f)
		return ERR_NOMEM;
	*out = f;
	return OK;
}

static void rules_done(struct rules *r)
{
	arena_done(&r->arena);
}

void filter_free(struct filter *f)
{
	if (!f)
		return;
	rules_done(&f->rules);
	free(f->self);
	free(f);
}

static int by_first(const void *a, const void *b)
{
	const struct nm_range *x = a, *y = b;

	return addr_cmp(x->first, y->first);
}

static err copy_sources(struct arena *a, const struct nm_rule *from, struct rule *r)
{
	r->src = arena_alloc(a, (from->n_src + 1) * sizeof *r->src);
	if (!r->src)
		return ERR_NOMEM;
	if (from->n_src)
		memcpy(r->src, from->src, from->n_src * sizeof *r->src);
	qsort(r->src, from->n_src, sizeof *r->src, by_first);
	for (size_t i = 0; i < from->n_src; i++) {
		struct nm_range *last = r->n_src ? &r->src[r->n_src - 1] : NULL;

		if (last && last->first.family == r->src[i].first.family && addr_cmp(r->src[i].first, last->last) <= 0) {
			if (addr_cmp(r->src[i].last, last->last) > 0)
				last->last = r->src[i].last;
		} else {
			r->src[r->n_src++] = r->src[i];
		}
	}
	r->cap = arena_alloc(a, (from->n_src_caps + 1) * sizeof *r->cap);
	if (!r->cap)
		return ERR_NOMEM;
	for (size_t i = 0; i < from->n_src_caps; i++) {
		size_t n = strlen(from->src_caps[i]) + 1;
		char *copy = arena_alloc(a, n);

		if (!copy)
			return ERR_NOMEM;
		memcpy(copy, from->src_caps[i], n);
		r->cap[r->n_caps++] = copy;
	}
	return OK;
}

static err copy_rule(struct arena *a, const struct nm_rule *from, struct rule *r)
{
	static const uint8_t usual[] = { IP_TCP, IP_UDP, IP_ICMP, IP_ICMP6 };
	const uint8_t *proto = from->n_proto ? from->proto : usual;
	size_t n = from->n_proto ? from->n_proto : sizeof usual;

	*r = (struct rule){ 0 };
	TRY(copy_sources(a, from, r));
	r->dst = arena_alloc(a, (from->n_dst + 1) * sizeof *r->dst);
	if (!r->dst)
		return ERR_NOMEM;
	if (from->n_dst)
		memcpy(r->dst, from->dst, from->n_dst * sizeof *r->dst);
	r->n_dst = from->n_dst;
	for (size_t i = 0; i < n; i++)
		r->proto[proto[i] / 64] |= 1ULL << proto[i] % 64;
	return OK;
}

err filter_set_rules(struct filter *f, const struct nm_rule *const *rules, size_t n)
{
	CLEANUP(rules_done) struct rules fresh = { .arena = arena_make(0) };
	size_t items = 0;

	for (size_t i = 0; i < n; i++)
		items += rules[i]->n_src + rules[i]->n_src_caps + rules[i]->n_dst + 1;
	if (items > FILTER_ITEMS_MAX)
		return ERR_TOO_BIG;
	fresh.rule = arena_alloc(&fresh.arena, (n + 1) * sizeof *fresh.rule);
	if (!fresh.rule)
		return ERR_NOMEM;
	for (; fresh.n < n; fresh.n++)
		TRY(copy_rule(&fresh.arena, rules[fresh.n], &fresh.rule[fresh.n]));

	struct rules old = f->rules;
	f->rules = fresh;
	fresh = old; /* given back on the way out */
	return OK;
}

err filter_set_self(struct filter *f, const struct prefix *p, size_t n)
{
	if (n > FILTER_SELF_MAX)
		return ERR_TOO_BIG;
	struct prefix *copy = calloc(n + 1, sizeof *copy);
	if (!copy)
		return ERR_NOMEM;
	if (n)
		memcpy(copy, p, n * sizeof *copy);
	free(f->self);
	f->self = copy;
	f->n_self = n;
	return OK;
}

void filter_set_exit(struct filter *f, bool on)
{
	f->is_exit = on;
}

void filter_set_shields_up(struct filter *f, bool on)
{
	f->shields_up = on;
}

void filter_set_caps(struct filter *f, bool (*has_cap)(void *ctx, struct addr src, const char *cap), void *ctx)
{
	f->has_cap = has_cap;
	f->caps_ctx = ctx;
}

/* ---- rules ---------------------------------------------------------------------------------------------------- */

static bool range_has(const struct nm_range *r, struct addr a)
{
	return r->first.family == a.family && addr_cmp(r->first, a) <= 0 && addr_cmp(a, r->last) <= 0;
}

static bool source_ok(const struct filter *f, const struct rule *r, struct addr src)
{
	size_t low = 0, high = r->n_src;

	while (low < high) { /* the last range that starts at or before src */
		size_t mid = low + (high - low) / 2;

		if (addr_cmp(r->src[mid].first, src) <= 0)
			low = mid + 1;
		else
			high = mid;
	}
	if (low && range_has(&r->src[low - 1], src))
		return true;
	for (size_t i = 0; i < r->n_caps; i++) {
		if (f->has_cap && f->has_cap(f->caps_ctx, src, r->cap[i]))
			return true;
	}
	return false;
}

enum ports { PORTS_ONE, PORTS_ALL, PORTS_ANY };

static bool destination_ok(const struct rule *r, const struct inner *in, enum ports ports)
{
	for (size_t i = 0; i < r->n_dst; i++) {
		const struct nm_dst *d = &r->dst[i];

		if (!range_has(&d->at, in->dst))
			continue;
		switch (ports) {
		case PORTS_ONE:
			if (d->first_port <= in->dport && in->dport <= d->last_port)
				return true;
			break;
		case PORTS_ALL:
			if (d->first_port == 0 && d->last_port == 65535)
				return true;
			break;
		case PORTS_ANY:
			return true;
		}
	}
	return false;
}

/* PORTS_ANY does not look at the rule's protocols: an echo request passes wherever anything does. */
static bool rules_let(const struct filter *f, const struct inner *in, enum ports ports)
{
	if (f->shields_up)
		return false;
	for (size_t i = 0; i < f->rules.n; i++) {
		const struct rule *r = &f->rules.rule[i];

		if (ports != PORTS_ANY && !(r->proto[in->proto / 64] >> in->proto % 64 & 1))
			continue;
		if (destination_ok(r, in, ports) && source_ok(f, r, in->src))
			return true;
	}
	return false;
}

/* ---- packets -------------------------------------------------------------------------------------------------- */

static bool is_out_of_scope(struct addr dst)
{
	static const struct addr metadata = { .family = 4, .b = { 169, 254, 169, 254 } };

	return addr_is_multicast(dst) || (addr_is_link_local(dst) && !addr_eq(dst, metadata));
}

static bool is_ours(const struct filter *f, struct addr dst)
{
	for (size_t i = 0; i < f->n_self; i++) {
		if (prefix_contains(f->self[i], dst))
			return true;
	}
	return f->is_exit && !addr_is_private(dst) && !addr_is_tailscale(dst) && !addr_is_loopback(dst) && !addr_is_link_local(dst) &&
		!addr_is_unspecified(dst);
}

/* Answers to what we asked, and news that something of ours did not arrive. */
static bool is_icmp_reply(const struct inner *in)
{
	enum { V4_REPLY = 0, V4_UNREACHABLE = 3, V4_TIME = 11, V4_PARAMETER = 12 };
	enum { V6_UNREACHABLE = 1, V6_PARAMETER = 4, V6_REPLY = 129 };

	if (in->proto == IP_ICMP)
		return in->src.family == 4 && (in->icmp_type == V4_REPLY || in->icmp_type == V4_UNREACHABLE ||
						     in->icmp_type == V4_TIME || in->icmp_type == V4_PARAMETER);
	return in->src.family == 6 && ((in->icmp_type >= V6_UNREACHABLE && in->icmp_type <= V6_PARAMETER) ||
					      in->icmp_type == V6_REPLY);
}

static struct flow flow_of(const struct inner *in, bool inbound)
{
	return (struct flow){
		.ours = inbound ? in->dst : in->src,
		.theirs = inbound ? in->src : in->dst,
		.our_port = inbound ? in->dport : in->sport,
		.their_port = inbound ? in->sport : in->dport,
		.proto = in->proto,
	};
}

static bool lets_in(struct filter *f, const struct inner *in)
{
	struct flow flow;

	switch (in->proto) {
	case IP_TCP:
		if ((in->tcp_flags & (TCP_SYN | TCP_ACK)) != TCP_SYN)
			return true; /* the kernel answers what belongs to nothing with RST */
		return rules_let(f, in, PORTS_ONE);
	case IP_UDP:
	case IP_SCTP:
		flow = flow_of(in, true);
		return flows_has(&f->flows, &flow) || rules_let(f, in, PORTS_ONE);
	case IP_ICMP:
	case IP_ICMP6:
		return is_icmp_reply(in) || rules_let(f, in, PORTS_ANY);
	case IP_TSMP:
		return true;
	default:
		return rules_let(f, in, PORTS_ALL);
	}
}

enum filter_verdict filter_in(struct filter *f, struct bytes packet)
{
	struct inner in;

	if (inner_parse(packet, &in) != OK) {
		f->stats.dropped_malformed++;
		return FILTER_DROP;
	}
	if (is_out_of_scope(in.dst)) {
		f->stats.dropped_scope++;
		return FILTER_DROP;
	}
	if (!is_ours(f, in.dst)) {
		f->stats.dropped_not_ours++;
		return FILTER_DROP;
	}
	if (in.later_fragment || lets_in(f, &in)) {
		f->stats.accepted++;
		return FILTER_ACCEPT;
	}
	f->stats.dropped_rule++;
	return in.proto == IP_TCP && in.src.family == 4 ? FILTER_REJECT : FILTER_DROP;
}

enum filter_verdict filter_in_jailed(struct filter *f, struct bytes packet)
{
	bool was = f->shields_up;

	f->shields_up = true;
	enum filter_verdict v = filter_in(f, packet);
	f->shields_up = was;
	return v;
}

enum filter_verdict filter_out(struct filter *f, struct bytes packet)
{
	struct inner in;

	if (inner_parse(packet, &in) != OK) {
		f->stats.dropped_malformed++;
		return FILTER_DROP;
	}
	if (is_out_of_scope(in.dst)) {
		f->stats.dropped_scope++;
		return FILTER_DROP;
	}
	if (!in.later_fragment && (in.proto == IP_UDP || in.proto == IP_SCTP)) {
		struct flow flow = flow_of(&in, false);

		f->stats.flows_evicted += flows_note(&f->flows, &flow);
	}
	return FILTER_ACCEPT;
}

/* ---- TSMP reject ---------------------------------------------------------------------------------------------- */

static uint16_t checksum(struct bytes header)
{
	uint32_t sum = 0;

	for (size_t i = 0; i + 1 < header.n; i += 2)
		sum += (uint32_t)(header.p[i] << 8 | header.p[i + 1]);
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

size_t filter_write_reject(const struct filter *f, struct bytes packet, uint8_t out[FILTER_REJECT_MAX])
{
	enum { IP_LEN = 20, TSMP_LEN = 7, CHECKSUM_AT = 10 };
	struct writer w = wr_init(out, FILTER_REJECT_MAX);
	struct inner in;

	if (inner_parse(packet, &in) != OK || in.src.family != 4 || in.proto != IP_TCP || in.later_fragment)
		return 0;
	wr_u8(&w, 0x45);
	wr_u8(&w, 0);
	wr_u16be(&w, IP_LEN + TSMP_LEN);
	wr_u32be(&w, 0);
	wr_u8(&w, 64);
	wr_u8(&w, IP_TSMP);
	wr_u16be(&w, 0);
	wr_bytes(&w, bytes_of(in.dst.b, 4));
	wr_bytes(&w, bytes_of(in.src.b, 4));
	uint16_t sum = checksum(wr_view(&w));
	out[CHECKSUM_AT] = (uint8_t)(sum >> 8);
	out[CHECKSUM_AT + 1] = (uint8_t)sum;
	wr_u8(&w, '!');
	wr_u8(&w, in.proto);
	wr_u8(&w, f->shields_up ? 'S' : 'A');
	wr_u16be(&w, in.sport);
	wr_u16be(&w, in.dport);
	return w.bad ? 0 : w.n;
}

/* ---- for people ----------------------------------------------------------------------------------------------- */

const struct filter_stats *filter_stats(const struct filter *f)
{
	return &f->stats;
}

static void put_range(char *line, size_t cap, const struct nm_range *r)
{
	char first[ADDR_TEXT_MAX], last[ADDR_TEXT_MAX];
	size_t n = strlen(line);

	addr_text(r->first, first);
	if (n + 2 * ADDR_TEXT_MAX + 8 > cap)
		return;
	if (addr_eq(r->first, r->last))
		snprintf(line + n, cap - n, " %s", first);
	else
		snprintf(line + n, cap - n, " %s-%s", first, addr_text(r->last, last));
}

void filter_dump(const struct filter *f, void (*fn)(void *ctx, const char *line), void *ctx)
{
	char line[4096];

	if (f->shields_up)
		fn(ctx, "shields up: only replies come in");
	for (size_t i = 0; i < f->rules.n; i++) {
		const struct rule *r = &f->rules.rule[i];

		snprintf(line, sizeof line, "from");
		for (size_t k = 0; k < r->n_src; k++)
			put_range(line, sizeof line / 2, &r->src[k]);
		for (size_t k = 0; k < r->n_caps; k++) {
			size_t n = strlen(line);

			snprintf(line + n, sizeof line - n, " cap:%.100s", r->cap[k]);
		}
		size_t n = strlen(line);
		snprintf(line + n, sizeof line - n, " to");
		for (size_t k = 0; k < r->n_dst; k++) {
			put_range(line, sizeof line - 64, &r->dst[k].at);
			n = strlen(line);
			snprintf(line + n, sizeof line - n, ":%u-%u", r->dst[k].first_port, r->dst[k].last_port);
		}
		fn(ctx, line);
	}
}
