#include "server/policy/ports.h"

#include <stdlib.h>

#include "common/base/cleanup.h"
#include "server/policy/check.h"

static const struct port_set nothing;

err port_sets_init(struct port_sets *s)
{
	*s = (struct port_sets){ .known = MAP_OF(struct port_set, key), .arena = arena_make(0) };
	s->scratch = calloc(PORT_SPANS_MAX, sizeof *s->scratch);
	return s->scratch ? OK : ERR_NOMEM;
}

void port_sets_done(struct port_sets *s)
{
	map_done(&s->known);
	arena_done(&s->arena);
	free(s->scratch);
	*s = (struct port_sets){ 0 };
}

static void add(struct port_sets *s, int16_t proto, uint16_t first, uint16_t last)
{
	if (s->n_scratch < PORT_SPANS_MAX)
		s->scratch[s->n_scratch++] = (struct span){ proto, first, last };
}

/* Protocols of an entry that names none. */
static const int16_t common[] = { 1, 6, 17, 58 };

static bool is_icmp(int16_t proto)
{
	return proto == 1 || proto == 58;
}

/* Of ICMP, which has no ports, only the whole counts. */
static void add_common(struct port_sets *s, struct port_range p)
{
	for (size_t k = 0; k < ARRAY_LEN(common); k++)
		if (!is_icmp(common[k]) || (p.first == 0 && p.last == 65535))
			add(s, common[k], p.first, p.last);
}

void port_sets_add(struct port_sets *s, const struct rule_dst *d)
{
	for (size_t i = 0; i < d->n_ports; i++)
		if (d->proto == PROTO_ANY)
			add_common(s, d->ports[i]);
		else
			add(s, d->proto, d->ports[i].first, d->ports[i].last);
}

void port_sets_add_set(struct port_sets *s, const struct port_set *x)
{
	for (size_t i = 0; i < x->n; i++)
		add(s, x->span[i].proto, x->span[i].first, x->span[i].last);
}

static int by_span(const void *a, const void *b)
{
	const struct span *x = a, *y = b;

	if (x->proto != y->proto)
		return x->proto - y->proto;
	return x->first != y->first ? x->first - y->first : x->last - y->last;
}

static size_t tidy(struct span *list, size_t n)
{
	size_t k = 0;

	if (n)
		qsort(list, n, sizeof *list, by_span);
	for (size_t i = 0; i < n; i++) {
		struct span *last = k ? &list[k - 1] : NULL, x = list[i];

		if (last && last->proto == x.proto && x.first <= last->last + 1)
			last->last = MAX_OF(last->last, x.last);
		else
			list[k++] = x;
	}
	return k;
}

const struct port_set *port_sets_make(struct port_sets *s)
{
	size_t n = tidy(s->scratch, s->n_scratch);
	struct span *copy;

	s->n_scratch = 0;
	if (!n)
		return &nothing;
	struct class_key key = { map_hash(s->scratch, n * sizeof *s->scratch), n };
	struct port_set *x = map_get(&s->known, &key);
	if (x)
		return x;
	x = arena_alloc(&s->arena, sizeof *x);
	copy = arena_array(&s->arena, n, sizeof *copy);
	if (!x || !copy) {
		s->bad = true;
		return &nothing;
	}
	for (size_t i = 0; i < n; i++)
		copy[i] = s->scratch[i];
	*x = (struct port_set){ key, copy, n };
	if (map_put(&s->known, x) != OK)
		s->bad = true;
	return x;
}

const struct port_set *port_sets_minus(struct port_sets *s, const struct port_set *a, const struct port_set *b)
{
	if (a == b || !a->n)
		return &nothing;
	if (!b->n)
		return a;
	for (size_t i = 0; i < a->n; i++) {
		struct span x = a->span[i];
		bool left = true;

		for (size_t k = 0; k < b->n && left; k++) {
			struct span y = b->span[k];

			if (y.proto != x.proto || y.last < x.first || y.first > x.last)
				continue;
			if (y.first > x.first)
				add(s, x.proto, x.first, (uint16_t)(y.first - 1));
			left = y.last < x.last;
			if (left)
				x.first = (uint16_t)(y.last + 1);
		}
		if (left)
			add(s, x.proto, x.first, x.last);
	}
	return port_sets_make(s);
}

bool port_set_meets(const struct port_set *a, const struct rule_dst *d)
{
	for (size_t i = 0; i < a->n; i++)
		for (size_t k = 0; k < d->n_ports; k++)
			if (dst_carries_proto(d, a->span[i].proto) && d->ports[k].first <= a->span[i].last && a->span[i].first <= d->ports[k].last)
				return true;
	return false;
}

/* ---- words ---- */

static bool has_span(const struct port_set *x, int16_t proto, uint16_t first, uint16_t last)
{
	for (size_t i = 0; i < x->n; i++)
		if (x->span[i].proto == proto && x->span[i].first <= first && last <= x->span[i].last)
			return true;
	return false;
}

static bool is_whole(const struct span *s)
{
	return s->first == 0 && s->last == 65535;
}

/* Said once for all protocols: a span of TCP that the others have, too. */
static bool is_for_all(const struct port_set *x, const struct span *s)
{
	for (size_t i = 0; i < ARRAY_LEN(common); i++)
		if ((!is_icmp(common[i]) || is_whole(s)) && !has_span(x, common[i], s->first, s->last))
			return false;
	return true;
}

static bool is_all(const struct port_set *x)
{
	const struct span whole = { 6, 0, 65535 };

	return is_for_all(x, &whole);
}

/* Covered by what is said for all protocols. */
static bool is_said(const struct port_set *x, const struct span *s)
{
	for (size_t i = 0; i < x->n; i++)
		if (x->span[i].proto == 6 && x->span[i].first <= s->first && s->last <= x->span[i].last && is_for_all(x, &x->span[i]))
			return true;
	return false;
}

static void print_ports(struct buf *out, const struct span *s)
{
	if (is_whole(s))
		buf_append_str(out, "*");
	else if (s->first == s->last)
		buf_printf(out, "%u", s->first);
	else
		buf_printf(out, "%u-%u", s->first, s->last);
}

/* As a grant's ip writes them. */
static void write_list(struct jsonw *w, const struct port_set *x)
{
	char name[16];

	jsonw_arr(w);
	for (size_t i = 0; i < x->n; i++) {
		const struct span *s = &x->span[i];
		bool all = s->proto == 6 && is_for_all(x, s);
		struct buf text = buf_make(64);

		if (!all && is_said(x, s))
			continue;
		if (!all)
			buf_printf(&text, "%s:", policy_proto_name(s->proto, name));
		print_ports(&text, s);
		jsonw_bytes(w, buf_view(&text));
		buf_done(&text);
	}
	jsonw_arr_end(w);
}

static bool has_ports(int16_t proto)
{
	return proto == 6 || proto == 17 || proto == 33 || proto == 132;
}

/* One protocol's ports after its name, those for all protocols first. proto PROTO_ANY: those. */
static bool say(const struct port_set *x, int16_t proto, bool named, bool first, struct buf *out)
{
	char name[16];
	size_t n = 0;

	for (size_t i = 0; i < x->n; i++) {
		const struct span *s = &x->span[i];

		if (proto == PROTO_ANY ? s->proto != 6 || !is_for_all(x, s) : s->proto != proto || is_said(x, s))
			continue;
		buf_append_str(out, n++ ? ", " : first ? "" : "; ");
		if (is_whole(s)) { /* "all udp ports", "icmp" */
			buf_printf(out, has_ports(s->proto) ? "all %s ports" : "%s", policy_proto_name(s->proto, name));
			return true;
		}
		if (n == 1 && proto != PROTO_ANY && named)
			buf_printf(out, "%s ", policy_proto_name(proto, name));
		print_ports(out, s);
	}
	return n > 0;
}

/* named: with the protocol where it is not every one; else only where it is neither TCP nor every one. */
static void words(const struct port_set *x, bool named, struct buf *out)
{
	bool some = false;
	int16_t last = PROTO_ANY;

	if (is_all(x)) {
		buf_append_str(out, "all ports");
		return;
	}
	some = say(x, PROTO_ANY, false, true, out);
	for (size_t i = 0; i < x->n; i++)
		if (i == 0 || x->span[i].proto != last) {
			last = x->span[i].proto;
			some |= say(x, last, named || last != 6, !some, out);
		}
}

void port_set_words(const struct port_set *x, struct buf *out)
{
	words(x, true, out);
}

static void write_words(struct jsonw *w, const struct port_set *x, bool named)
{
	struct buf out = buf_make(64 << 10);

	words(x, named, &out);
	jsonw_bytes(w, buf_view(&out));
	buf_done(&out);
}

void write_port_set(struct jsonw *w, const struct port_set *x)
{
	if (!x || !x->n) {
		jsonw_null(w);
		return;
	}
	jsonw_obj(w);
	jsonw_key(w, "all"), jsonw_bool(w, is_all(x));
	jsonw_key(w, "text"), write_words(w, x, true);
	jsonw_key(w, "short"), write_words(w, x, false);
	jsonw_key(w, "list"), write_list(w, x);
	jsonw_obj_end(w);
}
