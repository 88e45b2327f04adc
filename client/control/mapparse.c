#include "client/control/mapparse.h"

#include <stdio.h>
#include <stdlib.h>
#include <zstd.h>

#include "client/control/mapparse_node.h"
#include "client/netmap_node.h"
#include "common/base/clock.h"
#include "common/text/base64.h"

enum {
	DECODE_STEP = 32 * 1024,
	DERP_JSON_MAX = 512 << 10,
	DERP_ARENA_MAX = 4 << 20,
	DNS_ARENA_MAX = 1 << 20,
	HEALTH_ARENA_MAX = 64 << 10,
	HEALTH_TEXT_MAX = 512,
	CHUNK_ARENA_MAX = 12 << 20,
	CHUNK_NAME_MAX = 128,
	CHANGES_MAX = 4 * NM_PEERS_MAX, /* entries of a list of changes */
	DNS_RESOLVERS_MAX = 32,
	DNS_ROUTES_MAX = 1024,
	DNS_NAMES_MAX = 256,
	DNS_RECORDS_MAX = 4096,
	CAPS_KEPT_MAX = 64, /* cap: sources of a rule */
	PROTOS_MAX = 64,
};

struct map_scratch {
	struct map_parse p;
	struct nm_draft draft;
	uint8_t plain[DECODE_STEP];
};

struct map_scratch *map_scratch_new(void)
{
	return calloc(1, sizeof(struct map_scratch));
}

void map_scratch_know(struct map_scratch *s, const struct netmap *known)
{
	s->p.known = known;
}

void map_scratch_free(struct map_scratch *s)
{
	free(s);
}

/* ---- the source: zstd ---------------------------------------------------------------------------------------------- */

struct zsource {
	ZSTD_DCtx *d;
	ZSTD_inBuffer in;
	uint8_t *out;
	size_t plain, left;
};

static err zmore(void *ctx, struct bytes *out)
{
	struct zsource *z = ctx;
	ZSTD_outBuffer o = { z->out, DECODE_STEP, 0 };

	/* left 0: the last frame is complete and nothing of it waits inside. */
	while (o.pos == 0 && (z->in.pos < z->in.size || z->left != 0)) {
		size_t was = z->in.pos;

		z->left = ZSTD_decompressStream(z->d, &o, &z->in);
		if (ZSTD_isError(z->left) || (o.pos == 0 && z->in.pos == was))
			return ERR_MALFORMED; /* broken, or cut off */
	}
	z->plain += o.pos;
	if (z->plain > MAP_PLAIN_MAX)
		return ERR_TOO_BIG;
	*out = bytes_of(z->out, o.pos);
	return OK;
}

/* ---- what a message is made of ------------------------------------------------------------------------------------- */

static void free_nodes(struct nm_node **n, size_t count)
{
	for (size_t i = 0; i < count; i++)
		free(n[i]);
	free(n);
}

static void patch_done(struct nm_patch *p)
{
	free(p->endpoints);
	for (size_t i = 0; i < p->n_caps; i++)
		free(p->caps[i]);
	free(p->caps);
}

void nm_chunk_free(struct nm_chunk *c)
{
	if (!c)
		return;
	arena_done(&c->arena);
	free(c);
}

void map_update_done(struct map_update *u)
{
	free(u->self);
	free_nodes(u->peers, u->n_peers);
	free_nodes(u->changed, u->n_changed);
	free(u->same);
	free(u->removed);
	for (size_t i = 0; i < u->n_patches; i++)
		patch_done(&u->patches[i]);
	free(u->patches);
	free(u->online);
	free(u->seen);
	for (size_t i = 0; i < u->n_users; i++)
		free(u->users[i]);
	free(u->users);
	arena_done(&u->derp_arena);
	arena_done(&u->dns_arena);
	arena_done(&u->health_arena);
	nm_chunk_free(u->filter);
	for (size_t i = 0; i < u->n_chunks; i++) {
		free(u->chunks[i].name);
		nm_chunk_free(u->chunks[i].chunk);
	}
	free(u->chunks);
	free(u->domain);
	free(u->pop_url);
	free(u->ping.url);
	free(u->ping.payload);
	*u = (struct map_update){ 0 };
}

/* ---- the message --------------------------------------------------------------------------------------------------- */

static void fail(struct map_parse *p, err e, const char *why)
{
	jp_fail(&p->jp, e, why);
}

/* Room for one more of *at, which then holds n + 1; NULL: the parse failed. */
void *map_grow(struct map_parse *p, void *at, size_t *n, size_t *cap, size_t each, size_t max)
{
	void **v = at;

	if (*n >= max) {
		fail(p, ERR_TOO_BIG, "a list is too long");
		return NULL;
	}
	if (*n == *cap) {
		size_t more = *cap ? *cap * 2 : 16;
		void *bigger = realloc(*v, more * each);

		if (!bigger) {
			fail(p, ERR_NOMEM, "out of memory");
			return NULL;
		}
		*v = bigger;
		*cap = more;
	}
	return (char *)*v + (*n)++ * each;
}
#define GROW(p, list, n, cap, max) map_grow((p), &(list), &(n), &(cap), sizeof *(list), (max))

static struct nm_node *read_node(struct map_parse *p)
{
	struct nm_node *n = NULL;

	if (!map_read_node(p))
		return NULL;
	if (nm_draft_pack(p->draft, &n) != OK) {
		fail(p, ERR_NOMEM, "out of memory");
		return NULL;
	}
	p->u->bytes += n->bytes;
	if (p->u->bytes > NM_BYTES_MAX) {
		fail(p, ERR_TOO_BIG, "the peers are too much");
		free(n);
		return NULL;
	}
	return n;
}

static bool is_known(const struct map_parse *p, const struct nm_node *n)
{
	const struct nm_node *was = p->known ? netmap_peer(p->known, n->id) : NULL;

	return was && nm_node_diff(was, n) == 0;
}

/* is_all: what is not in the list goes, so those that are known are noted. */
static void read_nodes(struct map_parse *p, struct nm_node ***list, size_t *n, size_t *cap, bool is_all)
{
	struct map_update *u = p->u;

	if (!jp_array(&p->jp))
		return;
	while (jp_item(&p->jp)) {
		struct nm_node *node = read_node(p);

		if (node && is_all && is_known(p, node)) {
			int64_t *id = GROW(p, u->same, u->n_same, u->cap_same, NM_PEERS_MAX);

			if (id)
				*id = node->id;
			u->bytes -= node->bytes;
			free(node);
			continue;
		}
		struct nm_node **at = node ? map_grow(p, list, n, cap, sizeof *at, NM_PEERS_MAX) : NULL;

		if (at)
			*at = node;
		else
			free(node);
	}
}

static void read_removed(struct map_parse *p)
{
	struct map_update *u = p->u;

	if (!jp_array(&p->jp))
		return;
	while (jp_item(&p->jp)) {
		int64_t id = jp_int(&p->jp, INT64_MIN + 1, INT64_MAX);
		int64_t *at = GROW(p, u->removed, u->n_removed, u->cap_removed, CHANGES_MAX);

		if (at)
			*at = id;
	}
}

/* {"7":true} */
static void read_flags(struct map_parse *p, struct nm_flag **list, size_t *n, size_t *cap)
{
	if (!jp_object(&p->jp))
		return;
	while (jp_member(&p->jp)) {
		uint64_t id = 0;

		if (bytes_parse_u64(jp_key(&p->jp), (uint64_t)INT64_MAX, &id) != OK)
			fail(p, ERR_MALFORMED, "a node id that is no number");
		bool value = jp_bool(&p->jp);
		struct nm_flag *f = map_grow(p, list, n, cap, sizeof *f, CHANGES_MAX);
		if (f)
			*f = (struct nm_flag){ (int64_t)id, value };
	}
}

static void read_patch_caps(struct map_parse *p, struct nm_patch *x)
{
	size_t cap = 0;

	if (!jp_object(&p->jp))
		return;
	x->has_caps = true;
	while (jp_member(&p->jp)) {
		char name[NM_TEXT_MAX + 1];

		nm_clean(name, NM_TEXT_MAX, jp_key(&p->jp));
		jp_skip(&p->jp);
		if (x->n_caps == NM_CAPS_MAX)
			continue;
		char *copy = bytes_dup(bytes_str(name));
		char **at = copy ? GROW(p, x->caps, x->n_caps, cap, NM_CAPS_MAX) : NULL;
		if (at)
			*at = copy;
		else
			free(copy);
	}
}

static void read_patch_endpoints(struct map_parse *p, struct nm_patch *x)
{
	struct nm_draft *d = p->draft;

	d->n_endpoints = 0;
	x->has_endpoints = jp_peek(&p->jp) == '[';
	map_read_endpoints(p, d);
	free(x->endpoints);
	x->endpoints = NULL;
	x->n_endpoints = d->n_endpoints;
	if (d->n_endpoints == 0)
		return;
	x->endpoints = malloc(d->n_endpoints * sizeof *x->endpoints);
	if (!x->endpoints) {
		x->n_endpoints = 0;
		fail(p, ERR_NOMEM, "out of memory");
		return;
	}
	memcpy(x->endpoints, d->endpoints, d->n_endpoints * sizeof *x->endpoints);
}

static void read_patch(struct map_parse *p, struct nm_patch *x)
{
	struct jsonpull *jp = &p->jp;

	if (!jp_object(jp))
		return;
	while (jp_member(jp)) {
		if (jp_key_is(jp, "NodeID")) {
			x->id = jp_int(jp, 0, INT64_MAX);
		} else if (jp_key_is(jp, "DERPRegion")) {
			x->derp = (int)jp_int(jp, 0, TAILCFG_DERP_REGION_ID_MAX);
			x->has_derp = x->derp != 0;
		} else if (jp_key_is(jp, "Cap")) {
			x->cap = (int)jp_int(jp, 0, INT32_MAX);
			x->has_cap = x->cap != 0;
		} else if (jp_key_is(jp, "CapMap") && !x->has_caps) {
			read_patch_caps(p, x);
		} else if (jp_key_is(jp, "Endpoints")) {
			read_patch_endpoints(p, x);
		} else if (jp_key_is(jp, "Key")) {
			x->has_key = map_read_node_key(p, &x->key);
		} else if (jp_key_is(jp, "DiscoKey")) {
			x->has_disco = map_read_disco_key(p, &x->disco);
		} else if (jp_key_is(jp, "Online")) {
			x->has_online = !jp_null(jp);
			x->online = x->has_online && jp_bool(jp);
		} else if (jp_key_is(jp, "LastSeen")) {
			x->has_last_seen = map_read_time(p, &x->last_seen_ms);
		} else if (jp_key_is(jp, "KeyExpiry")) {
			x->has_expiry = map_read_time(p, &x->expiry_ms);
		} else {
			jp_skip(jp);
		}
	}
}

static void read_patches(struct map_parse *p)
{
	struct map_update *u = p->u;

	if (!jp_array(&p->jp))
		return;
	while (jp_item(&p->jp)) {
		struct nm_patch *x = GROW(p, u->patches, u->n_patches, u->cap_patches, CHANGES_MAX);

		if (!x)
			return;
		*x = (struct nm_patch){ 0 };
		read_patch(p, x);
		u->bytes += sizeof *x + x->n_endpoints * sizeof *x->endpoints + x->n_caps * (NM_TEXT_MAX + 1);
		if (u->bytes > NM_BYTES_MAX)
			fail(p, ERR_TOO_BIG, "the patches are too much");
	}
}

static void read_user(struct map_parse *p)
{
	char login[NM_TEXT_MAX + 1] = "", display[NM_TEXT_MAX + 1] = "", pic[NM_TEXT_MAX + 1] = "";
	struct map_update *u = p->u;
	int64_t id = 0;
	struct jsonpull *jp = &p->jp;

	if (!jp_object(jp))
		return;
	while (jp_member(jp)) {
		if (jp_key_is(jp, "ID"))
			id = jp_int(jp, INT64_MIN + 1, INT64_MAX);
		else if (jp_key_is(jp, "LoginName"))
			nm_clean(login, NM_TEXT_MAX, jp_str(jp));
		else if (jp_key_is(jp, "DisplayName"))
			nm_clean(display, NM_TEXT_MAX, jp_str(jp));
		else if (jp_key_is(jp, "ProfilePicURL"))
			nm_clean(pic, NM_TEXT_MAX, jp_str(jp));
		else
			jp_skip(jp);
	}
	if (jp->e != OK)
		return;
	size_t l = strlen(login) + 1, d = strlen(display) + 1, c = strlen(pic) + 1;
	size_t size = sizeof(struct nm_user) + l + d + c;
	char *m = malloc(size);
	struct nm_user **at = m ? GROW(p, u->users, u->n_users, u->cap_users, NM_USERS_MAX) : NULL;
	if (!at) {
		fail(p, ERR_NOMEM, "out of memory");
		free(m);
		return;
	}
	struct nm_user *user = (void *)m;
	char *text = m + sizeof *user;
	memcpy(text, login, l);
	memcpy(text + l, display, d);
	memcpy(text + l + d, pic, c);
	*user = (struct nm_user){ id, text, text + l, text + l + d, size };
	*at = user;
	u->bytes += size;
	if (u->bytes > NM_BYTES_MAX)
		fail(p, ERR_TOO_BIG, "the user profiles are too much");
}

static void read_derp(struct map_parse *p)
{
	CLEANUP(buf_done) struct buf json = buf_make(DERP_JSON_MAX);
	struct tailcfg_derp_map *m = NULL;
	struct json_why why = { 0 };

	jp_raw(&p->jp, &json);
	if (p->jp.e != OK || bytes_eq_str(buf_view(&json), "null"))
		return;
	arena_done(&p->u->derp_arena);
	p->u->derp_arena = arena_make(DERP_ARENA_MAX);
	err e = tailcfg_derp_map_parse(buf_view(&json), &p->u->derp_arena, &m, &why);
	if (e != OK)
		fail(p, e, why.text[0] ? why.text : "a bad DERP map");
	else if (m->n_regions) /* none: as before */
		p->u->derp = m;
}

/* ---- the packet filter --------------------------------------------------------------------------------------------- */

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
			struct nm_range *at = GROW(p, r->src, r->n_src, r->cap_src, NM_RULE_ITEMS_MAX);

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
		struct nm_dst *at = GROW(p, r->dst, r->n_dst, r->cap_dst, NM_RULE_ITEMS_MAX);

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
	struct nm_rule *at = GROW(p, c->rules, c->n_rules, *cap, NM_RULES_MAX);

	c->items += r->n_src + r->n_dst;
	if (!at)
		return;
	*at = (struct nm_rule){ 0 };
	if ((r->n_src && !src) || (r->n_dst && !dst) || (r->n_caps && !caps) || (r->n_proto && !proto) ||
		c->items > NM_RULE_ITEMS_MAX) {
		fail(p, ERR_TOO_BIG, "the packet filter is too much");
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
static struct nm_chunk *read_chunk(struct map_parse *p, struct bytes name)
{
	struct nm_chunk *c;
	size_t cap = 0;

	if (jp_null(&p->jp))
		return NULL;
	c = calloc(1, sizeof *c);
	if (!c) {
		fail(p, ERR_NOMEM, "out of memory");
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
		fail(p, ERR_TOO_BIG, "the packet filter is too much");
	free(c->rules);
	c->rules = rules;
	if (p->jp.e == OK)
		return c;
	nm_chunk_free(c);
	return NULL;
}

static void read_chunks(struct map_parse *p)
{
	struct map_update *u = p->u;

	if (!jp_object(&p->jp))
		return;
	while (jp_member(&p->jp)) {
		if (jp_key(&p->jp).n == 0 || jp_key(&p->jp).n > CHUNK_NAME_MAX) {
			fail(p, ERR_TOO_BIG, "a name in PacketFilters is empty or too long");
			return;
		}
		char *name = bytes_dup(jp_key(&p->jp));
		struct nm_chunk *c = read_chunk(p, bytes_str(name));
		struct chunk_change *at = name ? GROW(p, u->chunks, u->n_chunks, u->cap_chunks, NM_CHUNKS_MAX) : NULL;

		if (at) {
			*at = (struct chunk_change){ name, c };
		} else {
			fail(p, ERR_NOMEM, "out of memory");
			free(name);
			nm_chunk_free(c);
		}
	}
}

/* ---- DNS ----------------------------------------------------------------------------------------------------------- */

static const char *dns_text(struct map_parse *p)
{
	char text[NM_TEXT_MAX + 1];
	size_t n = nm_clean(text, NM_TEXT_MAX, jp_str(&p->jp));
	const char *kept = arena_str(&p->u->dns_arena, bytes_of(text, n));

	if (!kept)
		fail(p, ERR_TOO_BIG, "the DNS configuration is too long");
	return kept ? kept : "";
}

static const char *const *dns_texts(struct map_parse *p, size_t *n)
{
	const char *found[DNS_NAMES_MAX];

	*n = 0;
	if (!jp_array(&p->jp))
		return NULL;
	while (jp_item(&p->jp)) {
		if (*n == DNS_NAMES_MAX)
			jp_skip(&p->jp);
		else
			found[(*n)++] = dns_text(p);
	}
	const char **kept = arena_array(&p->u->dns_arena, *n, sizeof *kept);
	if (*n && kept)
		memcpy(kept, found, *n * sizeof *kept);
	if (!kept)
		*n = 0;
	return kept;
}

static struct tailcfg_resolver dns_resolver(struct map_parse *p)
{
	struct tailcfg_resolver r = { .addr = "" };
	struct addr found[8];
	size_t n = 0;

	if (!jp_object(&p->jp))
		return r;
	while (jp_member(&p->jp)) {
		if (jp_key_is(&p->jp, "Addr")) {
			r.addr = dns_text(p);
		} else if (jp_key_is(&p->jp, "UseWithExitNode")) {
			r.use_with_exit_node = jp_bool(&p->jp);
		} else if (jp_key_is(&p->jp, "BootstrapResolution") && jp_array(&p->jp)) {
			while (jp_item(&p->jp)) {
				struct bytes text = jp_str(&p->jp);

				if (n < ARRAY_LEN(found) && addr_parse(text, &found[n]) == OK)
					n++;
			}
		} else if (!jp_key_is(&p->jp, "BootstrapResolution")) {
			jp_skip(&p->jp);
		}
	}
	struct addr *kept = arena_array(&p->u->dns_arena, n, sizeof *kept);
	if (kept && n) {
		memcpy(kept, found, n * sizeof *kept);
		r.bootstrap = kept;
		r.n_bootstrap = n;
	}
	return r;
}

static const struct tailcfg_resolver *dns_resolvers(struct map_parse *p, size_t *n)
{
	struct tailcfg_resolver found[DNS_RESOLVERS_MAX];

	*n = 0;
	if (!jp_array(&p->jp))
		return NULL;
	while (jp_item(&p->jp)) {
		if (*n == DNS_RESOLVERS_MAX)
			jp_skip(&p->jp);
		else
			found[(*n)++] = dns_resolver(p);
	}
	struct tailcfg_resolver *kept = arena_array(&p->u->dns_arena, *n, sizeof *kept);
	if (*n && kept)
		memcpy(kept, found, *n * sizeof *kept);
	if (!kept)
		*n = 0;
	return kept;
}

static void dns_routes(struct map_parse *p, struct tailcfg_dns_config *d)
{
	struct tailcfg_dns_route *r = NULL;
	size_t cap = 0, n = 0;

	if (!jp_object(&p->jp))
		return;
	while (jp_member(&p->jp)) {
		struct tailcfg_dns_route *at = GROW(p, r, n, cap, DNS_ROUTES_MAX);
		char name[JSONPULL_KEY_MAX + 1];

		if (!at)
			break;
		size_t len = nm_clean(name, JSONPULL_KEY_MAX, jp_key(&p->jp));
		while (len && name[len - 1] == '.')
			len--;
		*at = (struct tailcfg_dns_route){ .suffix = arena_str(&p->u->dns_arena, bytes_of(name, len)) };
		if (!at->suffix) {
			fail(p, ERR_TOO_BIG, "the DNS configuration is too long");
			break;
		}
		at->resolvers = dns_resolvers(p, &at->n_resolvers);
	}
	struct tailcfg_dns_route *kept = arena_array(&p->u->dns_arena, n, sizeof *kept);
	if (n && kept) {
		memcpy(kept, r, n * sizeof *kept);
		d->routes = kept;
		d->n_routes = n;
	}
	free(r);
}

static void dns_records(struct map_parse *p, struct tailcfg_dns_config *d)
{
	struct tailcfg_dns_record *r = NULL;
	size_t cap = 0, n = 0;

	if (!jp_array(&p->jp))
		return;
	while (jp_item(&p->jp)) {
		struct tailcfg_dns_record *at = GROW(p, r, n, cap, DNS_RECORDS_MAX);

		if (!at)
			break;
		*at = (struct tailcfg_dns_record){ "", "", "" };
		if (!jp_object(&p->jp))
			continue;
		while (jp_member(&p->jp)) {
			if (jp_key_is(&p->jp, "Name"))
				at->name = dns_text(p);
			else if (jp_key_is(&p->jp, "Type"))
				at->type = dns_text(p);
			else if (jp_key_is(&p->jp, "Value"))
				at->value = dns_text(p);
			else
				jp_skip(&p->jp);
		}
	}
	struct tailcfg_dns_record *kept = arena_array(&p->u->dns_arena, n, sizeof *kept);
	if (n && kept) {
		memcpy(kept, r, n * sizeof *kept);
		d->extra_records = kept;
		d->n_extra_records = n;
	}
	free(r);
}

static void read_dns(struct map_parse *p)
{
	struct jsonpull *jp = &p->jp;

	if (!jp_object(jp))
		return;
	arena_done(&p->u->dns_arena);
	p->u->dns_arena = arena_make(DNS_ARENA_MAX);
	struct tailcfg_dns_config *d = arena_alloc(&p->u->dns_arena, sizeof *d);
	if (!d) {
		fail(p, ERR_NOMEM, "out of memory");
		return;
	}
	while (jp_member(jp)) {
		if (jp_key_is(jp, "Resolvers"))
			d->resolvers = dns_resolvers(p, &d->n_resolvers);
		else if (jp_key_is(jp, "FallbackResolvers"))
			d->fallback_resolvers = dns_resolvers(p, &d->n_fallback_resolvers);
		else if (jp_key_is(jp, "Routes"))
			dns_routes(p, d);
		else if (jp_key_is(jp, "Domains"))
			d->domains = dns_texts(p, &d->n_domains);
		else if (jp_key_is(jp, "Proxied"))
			d->proxied = jp_bool(jp);
		else if (jp_key_is(jp, "CertDomains"))
			d->cert_domains = dns_texts(p, &d->n_cert_domains);
		else if (jp_key_is(jp, "ExtraRecords"))
			dns_records(p, d);
		else
			jp_skip(jp);
	}
	p->u->dns = d;
}

/* ---- small ones ---------------------------------------------------------------------------------------------------- */

static void add_health(struct map_parse *p, struct bytes text)
{
	struct map_update *u = p->u;
	char line[HEALTH_TEXT_MAX + 1];

	if (u->n_health == NM_MESSAGES_MAX || text.n == 0)
		return;
	size_t n = nm_clean(line, HEALTH_TEXT_MAX, text);
	const char *kept = arena_str(&u->health_arena, bytes_of(line, n));
	if (u->health && kept)
		u->health[u->n_health++] = kept;
}

static void start_health(struct map_parse *p)
{
	struct map_update *u = p->u;

	arena_done(&u->health_arena);
	u->health_arena = arena_make(HEALTH_ARENA_MAX);
	u->health = arena_array(&u->health_arena, NM_MESSAGES_MAX, sizeof *u->health);
	u->n_health = 0;
	u->has_health = true;
}

static void read_health(struct map_parse *p)
{
	if (!jp_array(&p->jp))
		return;
	start_health(p);
	while (jp_item(&p->jp))
		add_health(p, jp_str(&p->jp));
}

static void read_ping(struct map_parse *p)
{
	struct map_ping *g = &p->u->ping;
	struct jsonpull *jp = &p->jp;
	CLEANUP(buf_done) struct buf raw = buf_make(MAP_PAYLOAD_MAX * 4 / 3 + 64);

	if (!jp_object(jp))
		return;
	while (jp_member(jp)) {
		if (jp_key_is(jp, "URL")) {
			struct bytes url = jp_str(jp);

			free(g->url);
			g->url = url.n && url.n <= MAP_URL_MAX ? bytes_dup(url) : NULL;
		} else if (jp_key_is(jp, "URLIsNoise")) {
			g->is_noise = jp_bool(jp);
		} else if (jp_key_is(jp, "Types")) {
			nm_clean(g->types, sizeof g->types - 1, jp_str(jp));
		} else if (jp_key_is(jp, "IP")) {
			if (addr_parse(jp_str(jp), &g->ip) != OK)
				g->ip = (struct addr){ 0 };
		} else if (jp_key_is(jp, "Payload") && !g->payload) {
			jp_raw(jp, &raw); /* a string without escapes: base64 */
		} else {
			jp_skip(jp);
		}
	}
	struct bytes b = bytes_trim(buf_view(&raw));
	if (b.n > 2 && jp->e == OK) {
		b = bytes_of(b.p + 1, b.n - 2);
		g->payload = malloc(b.n);
		if (!g->payload || base64_decode(b, g->payload, b.n, &g->n_payload) != OK)
			g->n_payload = 0;
	}
	p->u->has_ping = g->url != NULL;
}

static char *read_owned(struct map_parse *p, char *was, size_t max)
{
	struct bytes text = jp_str(&p->jp);
	char clean[MAP_URL_MAX + 1];

	free(was);
	if (text.n == 0 || text.n > max)
		return NULL;
	nm_clean(clean, max, text);
	return bytes_dup(bytes_str(clean));
}

static void read_member(struct map_parse *p)
{
	struct jsonpull *jp = &p->jp;
	struct map_update *u = p->u;

	if (jp_key_is(jp, "KeepAlive")) {
		u->keepalive = jp_bool(jp);
	} else if (jp_key_is(jp, "Node")) {
		free(u->self);
		u->self = jp_null(jp) ? NULL : read_node(p);
	} else if (jp_key_is(jp, "Peers")) {
		read_nodes(p, &u->peers, &u->n_peers, &u->cap_peers, true);
	} else if (jp_key_is(jp, "PeersChanged")) {
		read_nodes(p, &u->changed, &u->n_changed, &u->cap_changed, false);
	} else if (jp_key_is(jp, "PeersRemoved")) {
		read_removed(p);
	} else if (jp_key_is(jp, "PeersChangedPatch")) {
		read_patches(p);
	} else if (jp_key_is(jp, "OnlineChange")) {
		read_flags(p, &u->online, &u->n_online, &u->cap_online);
	} else if (jp_key_is(jp, "PeerSeenChange")) {
		read_flags(p, &u->seen, &u->n_seen, &u->cap_seen);
	} else if (jp_key_is(jp, "UserProfiles")) {
		if (jp_array(jp))
			while (jp_item(jp))
				read_user(p);
	} else if (jp_key_is(jp, "DERPMap")) {
		read_derp(p);
	} else if (jp_key_is(jp, "DNSConfig")) {
		read_dns(p);
	} else if (jp_key_is(jp, "Domain")) {
		u->domain = read_owned(p, u->domain, NM_TEXT_MAX);
	} else if (jp_key_is(jp, "PacketFilter")) {
		nm_chunk_free(u->filter);
		u->filter = read_chunk(p, BYTES_LIT("base"));
	} else if (jp_key_is(jp, "PacketFilters")) {
		read_chunks(p);
	} else if (jp_key_is(jp, "Health")) {
		read_health(p);
	} else if (jp_key_is(jp, "ControlTime")) {
		if (!map_read_time(p, &u->control_time_ms))
			u->control_time_ms = 0;
	} else if (jp_key_is(jp, "PingRequest")) {
		read_ping(p);
	} else if (jp_key_is(jp, "PopBrowserURL")) {
		u->pop_url = read_owned(p, u->pop_url, MAP_URL_MAX);
	} else {
		jp_skip(jp);
	}
}

err map_parse(struct map_scratch *s, struct bytes payload, struct ZSTD_DCtx_s *decoder, struct map_update *u, struct map_why *why)
{
	struct map_parse *p = &s->p;
	struct zsource z = { .d = decoder, .in = { payload.p, payload.n, 0 }, .out = s->plain };

	*u = (struct map_update){ 0 };
	p->u = u;
	p->draft = &s->draft;
	if (decoder) {
		ZSTD_DCtx_reset(decoder, ZSTD_reset_session_only);
		ZSTD_DCtx_setParameter(decoder, ZSTD_d_windowLogMax, MAP_WINDOW_LOG_MAX);
		jp_init(&p->jp, (struct bytes){ 0 }, zmore, &z);
	} else {
		jp_init(&p->jp, payload, NULL, NULL);
	}
	if (payload.n > MAP_PACKED_MAX)
		fail(p, ERR_TOO_BIG, "a message is too long");
	if (!jp_object(&p->jp))
		fail(p, ERR_MALFORMED, "not an object");
	while (jp_member(&p->jp))
		read_member(p);
	err e = jp_end(&p->jp);
	if (e != OK) {
		snprintf(why->text, sizeof why->text, "%s", p->jp.why);
		map_update_done(u);
	}
	return e;
}
