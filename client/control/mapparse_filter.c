/* The packet filter, whole and in named parts. */
#include <stdlib.h>

#include "client/control/mapparse_internal.h"

enum {
	CHUNK_ARENA_MAX = 12 << 20,
	CHUNK_NAME_MAX = 128,
	CAPS_KEPT_MAX = 64, /* cap: sources of a rule */
	PROTOS_MAX = 64,
};

static struct addr all_ones(int family)
{
	struct addr a = { .family = (uint8_t)family };

	memset(a.b, 0xff, family == 4 ? 4 : 16);
	return a;
}

static struct nm_range range_of(struct prefix m)
{
	struct nm_range r = { m.addr, m.addr };
	unsigned bits = addr_bits(m.addr);

	for (unsigned i = m.bits; i < bits; i++)
		r.last.b[i / 8] |= (uint8_t)(0x80 >> i % 8);
	return r;
}

/* "*" gives two. 0: nothing that can be understood, or a prefix with host bits, which is skipped (trap T21). */
static size_t parse_ranges(struct bytes text, struct nm_range out[2])
{
	struct bytes rest, a = bytes_cut(text, '-', &rest);
	struct prefix m;

	if (bytes_eq_str(text, "*")) {
		out[0] = (struct nm_range){ { .family = 4 }, all_ones(4) };
		out[1] = (struct nm_range){ { .family = 6 }, all_ones(6) };
		return 2;
	}
	if (rest.p) {
		if (addr_parse(a, &out[0].first) != OK || addr_parse(rest, &out[0].last) != OK)
			return 0;
		return out[0].first.family == out[0].last.family && addr_cmp(out[0].first, out[0].last) <= 0;
	}
	if (prefix_parse(text, &m) != OK || prefix_cmp(m, prefix_mask(m)) != 0)
		return 0;
	out[0] = range_of(m);
	return 1;
}

struct rule_draft {
	struct nm_range *src;
	size_t n_src, cap_src;
	struct nm_dst *dst;
	size_t n_dst, cap_dst;
	const char *caps[CAPS_KEPT_MAX];
	size_t n_caps;
	uint8_t proto[PROTOS_MAX];
	size_t n_proto;
	bool says_proto, is_void;
};

static void rule_draft_done(struct rule_draft *r)
{
	free(r->src);
	free(r->dst);
}

static void read_sources(struct map_parse *p, struct nm_chunk *c, struct rule_draft *r)
{
	if (!jp_array(&p->jp))
		return;
	while (jp_item(&p->jp)) {
		struct bytes text = jp_str(&p->jp), cap = BYTES_LIT("cap:");
		struct nm_range found[2];

		if (bytes_has_prefix(text, cap)) {
			if (r->n_caps < CAPS_KEPT_MAX && (r->caps[r->n_caps] = arena_str(&c->arena, bytes_skip(text, cap.n))))
				r->n_caps++;
			continue;
		}
		size_t n = parse_ranges(text, found);
		for (size_t i = 0; i < n; i++) {
			struct nm_range *at = MAP_GROW(p, r->src, r->n_src, r->cap_src, NM_RULE_ITEMS_MAX);

			if (at)
				*at = found[i];
		}
	}
}

static void read_destination(struct map_parse *p, struct rule_draft *r)
{
	struct nm_range found[2];
	size_t n = 0;
	uint16_t first = 0, last = 0;
	struct jsonpull *jp = &p->jp;

	if (!jp_object(jp))
		return;
	while (jp_member(jp)) {
		if (jp_key_is(jp, "IP")) {
			n = parse_ranges(jp_str(jp), found);
		} else if (jp_key_is(jp, "Bits")) {
			r->is_void = true;
			jp_skip(jp);
		} else if (jp_key_is(jp, "Ports") && jp_object(jp)) {
			while (jp_member(jp)) {
				if (jp_key_is(jp, "First"))
					first = (uint16_t)jp_int(jp, 0, 65535);
				else if (jp_key_is(jp, "Last"))
					last = (uint16_t)jp_int(jp, 0, 65535);
				else
					jp_skip(jp);
			}
		} else if (!jp_key_is(jp, "Ports")) {
			jp_skip(jp);
		}
	}
	for (size_t i = 0; i < n && first <= last; i++) {
		struct nm_dst *at = MAP_GROW(p, r->dst, r->n_dst, r->cap_dst, NM_RULE_ITEMS_MAX);

		if (at)
			*at = (struct nm_dst){ found[i], first, last };
	}
}

static void read_protocols(struct map_parse *p, struct rule_draft *r)
{
	if (!jp_array(&p->jp))
		return;
	while (jp_item(&p->jp)) {
		int64_t v = jp_int(&p->jp, INT32_MIN, INT32_MAX);

		r->says_proto = true;
		if (v >= 0 && v <= 255 && r->n_proto < PROTOS_MAX)
			r->proto[r->n_proto++] = (uint8_t)v;
	}
}

static void keep_rule(struct map_parse *p, struct nm_chunk *c, const struct rule_draft *r, size_t *cap)
{
	struct nm_range *src = arena_array(&c->arena, r->n_src, sizeof *src);
	struct nm_dst *dst = arena_array(&c->arena, r->n_dst, sizeof *dst);
	const char **caps = arena_array(&c->arena, r->n_caps, sizeof *caps);
	uint8_t *proto = arena_array(&c->arena, r->n_proto, 1);
	struct nm_rule *at = MAP_GROW(p, c->rules, c->n_rules, *cap, NM_RULES_MAX);

	c->items += r->n_src + r->n_dst;
	if (!at)
		return;
	*at = (struct nm_rule){ 0 };
	if ((r->n_src && !src) || (r->n_dst && !dst) || (r->n_caps && !caps) || (r->n_proto && !proto) ||
		c->items > NM_RULE_ITEMS_MAX) {
		map_fail(p, ERR_TOO_BIG, "the packet filter is too much");
		return;
	}
	if (r->n_src)
		memcpy(src, r->src, r->n_src * sizeof *src);
	if (r->n_dst)
		memcpy(dst, r->dst, r->n_dst * sizeof *dst);
	if (r->n_caps)
		memcpy(caps, r->caps, r->n_caps * sizeof *caps);
	if (r->n_proto)
		memcpy(proto, r->proto, r->n_proto);
	*at = (struct nm_rule){ src, r->n_src, caps, r->n_caps, dst, r->n_dst, proto, r->n_proto };
}

static void read_rule(struct map_parse *p, struct nm_chunk *c, size_t *cap)
{
	CLEANUP(rule_draft_done) struct rule_draft r = { 0 };
	struct jsonpull *jp = &p->jp;

	if (!jp_object(jp))
		return;
	while (jp_member(jp)) {
		if (jp_key_is(jp, "SrcIPs")) {
			read_sources(p, c, &r);
		} else if (jp_key_is(jp, "DstPorts") && jp_array(jp)) {
			while (jp_item(jp))
				read_destination(p, &r);
		} else if (jp_key_is(jp, "IPProto")) {
			read_protocols(p, &r);
		} else if (jp_key_is(jp, "SrcBits")) {
			r.is_void = jp_peek(jp) == '[';
			jp_skip(jp);
		} else if (!jp_key_is(jp, "DstPorts")) {
			jp_skip(jp);
		}
	}
	if (jp->e != OK || r.is_void || r.n_dst == 0 || (r.n_src == 0 && r.n_caps == 0) || (r.says_proto && r.n_proto == 0))
		return;
	keep_rule(p, c, &r, cap);
}

/* A list of rules; NULL: it is null, or the parse failed. */
struct nm_chunk *map_read_filter(struct map_parse *p, struct bytes name)
{
	struct nm_chunk *c;
	size_t cap = 0;

	if (jp_null(&p->jp))
		return NULL;
	c = calloc(1, sizeof *c);
	if (!c) {
		map_fail(p, ERR_NOMEM, "out of memory");
		return NULL;
	}
	c->arena = arena_make(CHUNK_ARENA_MAX);
	c->name = arena_str(&c->arena, name);
	if (jp_array(&p->jp))
		while (jp_item(&p->jp))
			read_rule(p, c, &cap);
	/* The array of rules moves into the arena with the rest. */
	struct nm_rule *rules = arena_array(&c->arena, c->n_rules, sizeof *rules);
	if (c->n_rules && rules)
		memcpy(rules, c->rules, c->n_rules * sizeof *rules);
	if (!c->name || (c->n_rules && !rules))
		map_fail(p, ERR_TOO_BIG, "the packet filter is too much");
	free(c->rules);
	c->rules = rules;
	if (p->jp.e == OK)
		return c;
	nm_chunk_free(c);
	return NULL;
}

void map_read_filters(struct map_parse *p)
{
	struct map_update *u = p->u;

	if (!jp_object(&p->jp))
		return;
	while (jp_member(&p->jp)) {
		if (jp_key(&p->jp).n == 0 || jp_key(&p->jp).n > CHUNK_NAME_MAX) {
			map_fail(p, ERR_TOO_BIG, "a name in PacketFilters is empty or too long");
			return;
		}
		char *name = bytes_dup(jp_key(&p->jp));
		struct nm_chunk *c = map_read_filter(p, bytes_str(name));
		struct chunk_change *at = name ? MAP_GROW(p, u->chunks, u->n_chunks, u->cap_chunks, NM_CHUNKS_MAX) : NULL;

		if (at) {
			*at = (struct chunk_change){ name, c };
		} else {
			map_fail(p, ERR_NOMEM, "out of memory");
			free(name);
			nm_chunk_free(c);
		}
	}
}
