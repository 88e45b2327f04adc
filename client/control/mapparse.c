#include "client/control/mapparse.h"

#include <stdio.h>
#include <stdlib.h>
#include <zstd.h>

#include "client/control/mapparse_internal.h"
#include "client/netmap_node.h"
#include "common/base/clock.h"
#include "common/text/base64.h"

enum {
	DECODE_STEP = 32 * 1024,
	DERP_JSON_MAX = 512 << 10,
	DERP_ARENA_MAX = 4 << 20,
	HEALTH_ARENA_MAX = 64 << 10,
	HEALTH_TEXT_MAX = 512,
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

void map_fail(struct map_parse *p, err e, const char *why)
{
	jp_fail(&p->jp, e, why);
}

void *map_grow(struct map_parse *p, void *at, size_t *n, size_t *cap, size_t each, size_t max)
{
	void **v = at;

	if (*n >= max) {
		map_fail(p, ERR_TOO_BIG, "a list is too long");
		return NULL;
	}
	if (*n == *cap) {
		size_t more = *cap ? *cap * 2 : 16;
		void *bigger = realloc(*v, more * each);

		if (!bigger) {
			map_fail(p, ERR_NOMEM, "out of memory");
			return NULL;
		}
		*v = bigger;
		*cap = more;
	}
	return (char *)*v + (*n)++ * each;
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
		map_fail(p, e, why.text[0] ? why.text : "a bad DERP map");
	else if (m->n_regions) /* none: as before */
		p->u->derp = m;
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
		u->self = jp_null(jp) ? NULL : map_take_node(p);
	} else if (jp_key_is(jp, "Peers")) {
		map_read_nodes(p, &u->peers, &u->n_peers, &u->cap_peers, true);
	} else if (jp_key_is(jp, "PeersChanged")) {
		map_read_nodes(p, &u->changed, &u->n_changed, &u->cap_changed, false);
	} else if (jp_key_is(jp, "PeersRemoved")) {
		map_read_removed(p);
	} else if (jp_key_is(jp, "PeersChangedPatch")) {
		map_read_patches(p);
	} else if (jp_key_is(jp, "OnlineChange")) {
		map_read_flags(p, &u->online, &u->n_online, &u->cap_online);
	} else if (jp_key_is(jp, "PeerSeenChange")) {
		map_read_flags(p, &u->seen, &u->n_seen, &u->cap_seen);
	} else if (jp_key_is(jp, "UserProfiles")) {
		if (jp_array(jp))
			while (jp_item(jp))
				map_read_user(p);
	} else if (jp_key_is(jp, "DERPMap")) {
		read_derp(p);
	} else if (jp_key_is(jp, "DNSConfig")) {
		map_read_dns(p);
	} else if (jp_key_is(jp, "Domain")) {
		u->domain = read_owned(p, u->domain, NM_TEXT_MAX);
	} else if (jp_key_is(jp, "PacketFilter")) {
		nm_chunk_free(u->filter);
		u->filter = map_read_filter(p, BYTES_LIT("base"));
	} else if (jp_key_is(jp, "PacketFilters")) {
		map_read_filters(p);
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
		map_fail(p, ERR_TOO_BIG, "a message is too long");
	if (!jp_object(&p->jp))
		map_fail(p, ERR_MALFORMED, "not an object");
	while (jp_member(&p->jp))
		read_member(p);
	err e = jp_end(&p->jp);
	if (e != OK) {
		snprintf(why->text, sizeof why->text, "%s", p->jp.why);
		map_update_done(u);
	}
	return e;
}
