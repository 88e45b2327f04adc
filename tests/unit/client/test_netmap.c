#include "client/netmap.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <zstd.h>

#include "client/control/mapparse.h"
#include "client/netmap_node.h"
#include "common/base/cleanup.h"
#include "common/base/random.h"
#include "tests/lib/test.h"

#define KEY(c)                                                                                                         \
	"nodekey:" c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c                                     \
		c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c
#define DISCO(c)                                                                                                       \
	"discokey:" c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c                                    \
		c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c
#define SELF                                                                                                           \
	"\"Node\":{\"ID\":1,\"StableID\":\"n1\",\"Name\":\"alpha.tail.example.com.\",\"User\":1,\"Key\":\"" KEY("a") "\","   \
	"\"Addresses\":[\"100.64.0.1/32\",\"fd7a:115c:a1e0::1/128\"],\"MachineAuthorized\":true}"
#define PEER(id, key, rest)                                                                                            \
	"{\"ID\":" #id ",\"Name\":\"p" #id ".tail.example.com.\",\"User\":7,\"Key\":\"" KEY(key) "\",\"Addresses\":[\"100.64.0." #id   \
	"/32\"]" rest "}"

struct world {
	struct netmap nm;
	struct map_scratch *s;
	unsigned came, changed, gone, done;
	unsigned what, last_what;
	struct node_pub was_key;
};

static void on_peer(void *ctx, const struct nm_node *now, unsigned what, const struct node_pub *was_key)
{
	struct world *w = ctx;

	(void)now;
	if (what == NM_ALL)
		w->came++;
	else
		w->changed++, w->last_what = what, w->was_key = *was_key;
}

static void on_gone(void *ctx, const struct nm_node *was)
{
	struct world *w = ctx;

	assert_null(netmap_peer(&w->nm, was->id));
	w->gone++;
}

static void on_done(void *ctx, unsigned what)
{
	struct world *w = ctx;

	w->done++;
	w->what = what;
}

static int by_addr(const void *a, const void *b)
{
	return addr_cmp(*(const struct addr *)a, *(const struct addr *)b);
}

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof *w);

	netmap_init(&w->nm);
	w->s = map_scratch_new();
	*state = w;
	return w->s ? 0 : -1;
}

static int teardown(void **state)
{
	struct world *w = *state;

	netmap_done(&w->nm);
	map_scratch_free(w->s);
	free(w);
	return 0;
}

static err give(struct world *w, const char *json, bool fresh)
{
	struct nm_listener l = { on_peer, on_gone, on_done, w };
	struct map_update u;
	struct map_why why;
	struct bytes exact = test_exact(bytes_str(json));
	err e = map_parse(w->s, exact, NULL, &u, &why);

	test_exact_free(exact);
	w->came = w->changed = w->gone = w->done = w->what = w->last_what = 0;
	return e == OK ? netmap_apply(&w->nm, &u, fresh, 1767323045000, &l) : e;
}

static const struct nm_node *peer(struct world *w, int64_t id)
{
	const struct nm_node *n = netmap_peer(&w->nm, id);

	assert_non_null(n);
	return n;
}

static void full_then_deltas(void **state)
{
	struct world *w = *state;

	assert_int_equal(give(w, "{\"Peers\":[" PEER(2, "2", "") "]}", true), ERR_INVALID);
	assert_ok(give(w, "{" SELF ",\"Peers\":[" PEER(2, "2", "") "," PEER(3, "3", ",\"Online\":false") "]}", true));
	assert_int_equal(w->came, 2);
	assert_int_equal(peer(w, 2)->n_allowed_ips, 1); /* absent: as Addresses */
	assert_false(peer(w, 2)->has_online);

	/* An empty list is no list. */
	assert_ok(give(w, "{\"Peers\":[],\"PeersRemoved\":[2]}", false));
	assert_int_equal(w->gone, 1);
	assert_int_equal(w->nm.peers.n, 1);

	/* Removed, then changed; patches last, unknown ids are nothing. */
	assert_ok(give(w,
		"{\"PeersChangedPatch\":[{\"NodeID\":4,\"DERPRegion\":9,\"Endpoints\":[\"192.0.2.1:5\",\"127.0.0.1:5\"]},{\"NodeID\":77,\"Cap\":1}],"
		"\"PeersChanged\":[" PEER(4, "4", ",\"HomeDERP\":3") "],\"PeersRemoved\":[4],\"OnlineChange\":{\"3\":true}}",
		false));
	assert_int_equal(peer(w, 4)->home_derp, 9);
	assert_int_equal(peer(w, 4)->n_endpoints, 1); /* loopback is nobody's endpoint */
	assert_true(peer(w, 3)->online);

	/* Peers excludes the other lists of its message. */
	assert_ok(give(w, "{\"Peers\":[" PEER(3, "3", "") "],\"PeersRemoved\":[3]}", false));
	assert_int_equal(w->nm.peers.n, 1);
	assert_false(peer(w, 3)->has_online);
}

static void patches(void **state)
{
	struct world *w = *state;

	assert_ok(give(w, "{" SELF ",\"Peers\":[" PEER(2, "2", ",\"Endpoints\":[\"192.0.2.1:5\"],\"CapMap\":{\"a\":null}") "]}", true));
	assert_ok(give(w, "{\"PeersChangedPatch\":[{\"NodeID\":2,\"Key\":\"" KEY("9") "\"}]}", false));
	assert_int_equal(w->last_what, NM_KEY);
	assert_int_equal(w->was_key.b[0], 0x22);
	assert_non_null(netmap_peer_by_key(&w->nm, &peer(w, 2)->key));
	assert_null(netmap_peer_by_key(&w->nm, &w->was_key));
	assert_ok(give(w, "{\"PeersChangedPatch\":[{\"NodeID\":2,\"Endpoints\":[],\"CapMap\":{\"b\":null,\"c\":[1]}}]}", false));
	assert_int_equal(w->last_what, NM_ENDPOINTS | NM_OTHER);
	assert_int_equal(peer(w, 2)->n_endpoints, 0);
	assert_int_equal(peer(w, 2)->n_caps, 2);
	assert_string_equal(peer(w, 2)->caps[1], "c");
	assert_ok(give(w, "{\"PeersChangedPatch\":[{\"NodeID\":2,\"LastSeen\":\"2026-01-02T00:00:00Z\",\"Online\":true,\"DiscoKey\":\"" DISCO("5") "\"}]}", false));
	/* Late news of an old disco key. */
	assert_ok(give(w, "{\"PeersChangedPatch\":[{\"NodeID\":2,\"LastSeen\":\"2026-01-02T00:00:00Z\",\"Online\":false,\"DiscoKey\":\"" DISCO("6") "\"}]}", false));
	assert_int_equal(peer(w, 2)->disco.b[0], 0x55);
	/* Nothing changed, nobody is told. */
	assert_ok(give(w, "{\"PeersChangedPatch\":[{\"NodeID\":2,\"Online\":true}]}", false));
	assert_int_equal(w->changed + w->done, 0);
	assert_ok(give(w, "{\"PeerSeenChange\":{\"2\":false}}", false));
	assert_int_equal(peer(w, 2)->last_seen_ms, 0);
}

static void another_with_the_same_key(void **state)
{
	struct world *w = *state;

	assert_ok(give(w, "{" SELF ",\"Peers\":[" PEER(2, "2", "") "," PEER(3, "3", "") "]}", true));
	assert_ok(give(w, "{\"PeersChanged\":[" PEER(4, "2", "") "]}", false));
	assert_null(netmap_peer(&w->nm, 2));
	assert_int_equal(netmap_peer_by_key(&w->nm, &peer(w, 4)->key)->id, 4);
	/* Ourselves among the peers: left out. */
	assert_ok(give(w, "{\"PeersChanged\":[" PEER(1, "7", "") "]}", false));
	assert_null(netmap_peer(&w->nm, 1));
}

static void filters(void **state)
{
	struct world *w = *state;

#define RULE(ip) "{\"SrcIPs\":[\"100.64.0.0/16\",\"100.64.0.1/24\",\"100.65.0.1-100.65.0.9\",\"cap:q\"],\"DstPorts\":[{\"IP\":\"" ip "\",\"Ports\":{\"First\":1,\"Last\":2}}]}"
	assert_ok(give(w, "{" SELF "}", true));
	assert_false(w->nm.has_filter);
	assert_ok(give(w, "{\"PacketFilters\":{\"a\":[" RULE("100.64.0.1") "],\"b\":[" RULE("*") "]}}", false));
	assert_int_equal(w->nm.n_rules, 2);
	assert_ok(give(w, "{\"PacketFilters\":{\"a\":null}}", false));
	assert_int_equal(w->nm.n_rules, 1);
	assert_int_equal(w->nm.rules[0]->n_dst, 2); /* "*": both families */
	assert_int_equal(w->nm.rules[0]->n_src, 2); /* the one with host bits is none */
	assert_int_equal(w->nm.rules[0]->n_src_caps, 1);
	assert_int_equal(w->nm.rules[0]->src[0].last.b[3], 255);
	assert_ok(give(w, "{\"PacketFilters\":{\"z\":[" RULE("100.64.0.2") "],\"*\":null}}", false));
	assert_int_equal(w->nm.n_rules, 1);
	assert_int_equal(w->nm.rules[0]->n_dst, 1);
	assert_ok(give(w, "{\"PacketFilter\":[],\"PacketFilters\":{\"z\":null}}", false));
	assert_int_equal(w->nm.n_rules, 0);
	assert_true(w->nm.has_filter);
	assert_ok(give(w, "{\"PacketFilter\":[{\"SrcIPs\":[\"*\"],\"IPProto\":[300],\"DstPorts\":[{\"IP\":\"*\",\"Ports\":{\"First\":0,\"Last\":1}}]},"
			  "{\"SrcIPs\":[\"*\"],\"SrcBits\":[8],\"DstPorts\":[{\"IP\":\"*\",\"Ports\":{\"First\":0,\"Last\":1}}]}]}", false));
	assert_int_equal(w->nm.n_rules, 0);
}

static void routes_and_addresses(void **state)
{
	struct world *w = *state;
	struct addr keep = addr_v4(198, 51, 100, 1);
	struct prefix out[32];

	assert_ok(give(w,
		"{" SELF ",\"Peers\":[{\"ID\":2,\"Name\":\"p2.tail.example.com.\",\"Key\":\"" KEY("2") "\",\"Addresses\":[\"100.64.0.2/32\",\"8.8.8.8/32\",\"100.100.100.100/32\",\"100.64.0.0/16\"],"
		"\"AllowedIPs\":[\"100.64.0.2/32\",\"10.1.2.3/8\",\"0.0.0.0/0\",\"127.0.0.0/8\",\"64.0.0.0/2\",\"198.51.0.0/16\",\"100.64.0.3/32\",\"fe80::/10\"]}]}",
		true));
	const struct nm_node *p = peer(w, 2);
	assert_int_equal(p->n_addresses, 1);
	assert_int_equal(netmap_peer_routes(&w->nm, p, false, false, &keep, 1, out, 32), 1);
	size_t n = netmap_peer_routes(&w->nm, p, true, false, &keep, 1, out, 32);
	assert_int_equal(n, 3); /* itself, 10/8, 100.64.0.3 */
	char text[PREFIX_TEXT_MAX];
	assert_string_equal(prefix_text(out[1], text), "10.0.0.0/8");
	/* As the exit node: its default route, whether its others are accepted or not. This one has no IPv6: it is none. */
	assert_int_equal(netmap_peer_routes(&w->nm, p, false, true, &keep, 1, out, 32), 2);
	assert_string_equal(prefix_text(out[1], text), "0.0.0.0/0");
	assert_false(nm_is_exit_node(p));
	assert_null(netmap_exit_node(&w->nm, BYTES_LIT("p2")));
	assert_ok(give(w,
		"{\"PeersChanged\":[{\"ID\":3,\"StableID\":\"nEXIT\",\"Name\":\"p3.tail.example.com.\",\"Key\":\"" KEY("3") "\",\"Addresses\":[\"100.64.0.3/32\"],"
		"\"AllowedIPs\":[\"100.64.0.3/32\",\"0.0.0.0/0\",\"::/0\"]}]}",
		false));
	assert_ptr_equal(netmap_exit_node(&w->nm, BYTES_LIT("nEXIT")), peer(w, 3));
	assert_ptr_equal(netmap_exit_node(&w->nm, BYTES_LIT("p3")), peer(w, 3));
	assert_ptr_equal(netmap_exit_node(&w->nm, BYTES_LIT("100.64.0.3")), peer(w, 3));
}

/* Addresses that no route may contain are sorted and searched: against looking at each of them. */
static void kept_addresses(void **state)
{
	struct world *w = *state;
	struct addr keep[60];
	struct prefix out[4];
	char text[PREFIX_TEXT_MAX], json[1000];

	test_random_seed(1);
	for (unsigned round = 0; round < 400; round++) {
		size_t n = random_below(ARRAY_LEN(keep) + 1);
		struct prefix p = { .bits = (uint8_t)(1 + random_below(32)) };
		bool contains = false;

		for (size_t i = 0; i < n; i++) /* few bits differ, so that both answers are frequent */
			keep[i] = addr_v4(10, (uint8_t)random_below(4), 0, (uint8_t)(random_below(16) * 16));
		qsort(keep, n, sizeof *keep, by_addr);
		p.addr = addr_v4(10, (uint8_t)random_below(4), (uint8_t)random_below(2), (uint8_t)(random_below(16) * 16));
		p = prefix_mask(p);
		for (size_t i = 0; i < n; i++)
			contains |= prefix_contains(p, keep[i]);
		snprintf(json, sizeof json, "{" SELF ",\"Peers\":[{\"ID\":2,\"Key\":\"" KEY("2") "\",\"AllowedIPs\":[\"%s\"]}]}", prefix_text(p, text));
		assert_ok(give(w, json, true));
		if (p.bits >= 8) /* shorter ones contain what is never allowed */
			assert_int_equal(netmap_peer_routes(&w->nm, peer(w, 2), true, false, keep, n, out, 4), !contains);
	}
	test_random_end();
}

/* Peers that are known just so are not staged: two netmaps, of which one knows itself, hear the same and become the same. */
static void known_peers(void **state)
{
	struct world *w = *state, *other;
	CLEANUP(buf_done) struct buf json = buf_make(1 << 16);

	assert_int_equal(setup((void **)&other), 0);
	map_scratch_know(w->s, &w->nm);
	test_random_seed(3);
	for (unsigned round = 0; round < 500; round++) {
		bool fresh = round == 0 || random_below(4) == 0, any = false;
		unsigned flip = random_below(12) == 0; /* neighbours swap their keys */

		buf_clear(&json);
		buf_printf(&json, "{" SELF ",\"%s\":[", fresh || random_below(2) ? "Peers" : "PeersChanged");
		for (unsigned id = 2; id < 10; id++) {
			if (random_below(4) == 0)
				continue;
			buf_printf(&json, "%s{\"ID\":%u,\"Name\":\"p\",\"Key\":\"nodekey:%064u\",\"Addresses\":[\"100.64.0.%u/32\"],\"HomeDERP\":%u}",
				any ? "," : "", id, id ^ flip, id, (unsigned)random_below(3));
			any = true;
		}
		buf_printf(&json, "]}");
		buf_append_u8(&json, 0);
		assert_ok(give(other, (const char *)buf_view(&json).p, fresh));
		unsigned done = other->came + other->changed;
		assert_ok(give(w, (const char *)buf_view(&json).p, fresh));
		assert_true(w->came + w->changed <= done);
		assert_int_equal(w->nm.peers.n, other->nm.peers.n);
		assert_int_equal(w->nm.bytes, other->nm.bytes);
		for (int64_t id = 2; id < 10; id++) {
			const struct nm_node *x = netmap_peer(&w->nm, id), *y = netmap_peer(&other->nm, id);

			assert_int_equal(!x, !y);
			if (x)
				assert_int_equal(nm_node_diff(x, y), 0);
		}
	}
	test_random_end();
	teardown((void **)&other);
}

/* A stream's first message replaces the users, too: else a server that reconnects would fill the table. */
static void users_of_before(void **state)
{
	struct world *w = *state;

	assert_ok(give(w, "{" SELF ",\"UserProfiles\":[{\"ID\":1,\"LoginName\":\"a\"},{\"ID\":2,\"LoginName\":\"b\"}]}", true));
	assert_ok(give(w, "{\"UserProfiles\":[{\"ID\":3,\"LoginName\":\"c\"}]}", false));
	assert_non_null(netmap_user(&w->nm, 2));
	size_t bytes = w->nm.bytes;
	assert_ok(give(w, "{" SELF ",\"UserProfiles\":[{\"ID\":2,\"LoginName\":\"b\"}]}", true));
	assert_null(netmap_user(&w->nm, 1));
	assert_null(netmap_user(&w->nm, 3));
	assert_string_equal(netmap_user(&w->nm, 2)->login_name, "b");
	assert_true(w->nm.bytes < bytes);
}

static void names(void **state)
{
	struct world *w = *state;
	char name[64];

	assert_ok(give(w, "{" SELF ",\"Peers\":[" PEER(2, "2", "") "," "{\"ID\":3,\"Name\":\"x.other.net.\",\"Key\":\"" KEY("3") "\",\"Hostinfo\":{\"Hostname\":\"a\\u0000\\u001b[31mb\"}}" "],\"Domain\":\"D\",\"Health\":[\"h\"]}", true));
	assert_string_equal(netmap_suffix(&w->nm, name, sizeof name), "tail.example.com");
	assert_string_equal(nm_short_name(&w->nm, peer(w, 2), name, sizeof name), "p2");
	assert_string_equal(nm_short_name(&w->nm, peer(w, 3), name, sizeof name), "x.other.net");
	assert_string_equal(peer(w, 3)->hostname, "a??[31mb");
	assert_ptr_equal(netmap_find(&w->nm, BYTES_LIT("P2")), peer(w, 2));
	assert_ptr_equal(netmap_find(&w->nm, BYTES_LIT("p2.tail.example.com")), peer(w, 2));
	assert_ptr_equal(netmap_find(&w->nm, BYTES_LIT("100.64.0.2")), peer(w, 2));
	assert_ptr_equal(netmap_find(&w->nm, BYTES_LIT("fd7a:115c:a1e0::1")), w->nm.self);
	assert_null(netmap_find(&w->nm, BYTES_LIT("p")));
	assert_string_equal(w->nm.health[0], "h");
}

static void whole_file(const char *name, struct buf *b)
{
	size_t n;
	char *p = test_read_file(name, &n);

	assert_non_null(p);
	buf_append(b, bytes_of(p + 1, n - 1));
	free(p);
}

/* What is written reads back as the same netmap. */
static void cache(void **state)
{
	struct world *w = *state;
	CLEANUP(buf_done) struct buf in = buf_make(1 << 20), a = buf_make(1 << 20), b = buf_make(1 << 20);

	whole_file("tests/fuzz/corpus/mapresponse/full", &in);
	buf_append_u8(&in, 0);
	assert_ok(give(w, (const char *)buf_view(&in).p, true));
	netmap_write(&w->nm, &a);
	buf_append_u8(&a, 0);
	netmap_clear(&w->nm, NULL);
	assert_int_equal(w->nm.peers.n, 0);
	assert_ok(give(w, (const char *)buf_view(&a).p, true));
	netmap_write(&w->nm, &b);
	buf_append_u8(&b, 0);
	assert_true(bytes_eq(buf_view(&a), buf_view(&b)));
	assert_int_equal(peer(w, 2)->home_derp, 900);
	assert_int_equal(w->nm.dns->n_routes, 2);
	assert_int_equal(w->nm.derp->n_regions, 1);
}

static void take_piece(void *ctx, struct buf *out)
{
	buf_append(ctx, buf_view(out));
	buf_clear(out);
}

/* In pieces it is the same text, and a piece is small. */
static void cache_in_pieces(void **state)
{
	struct world *w = *state;
	CLEANUP(buf_done) struct buf in = buf_make(4 << 20), whole = buf_make(4 << 20), piece = buf_make(80 << 10), all = buf_make(4 << 20);

	buf_append_str(&in, "{" SELF ",\"Peers\":[");
	for (unsigned i = 2; i < 1002; i++)
		buf_printf(&in, "%s{\"ID\":%u,\"Name\":\"p%u.tail.example.com.\",\"Key\":\"nodekey:%064x\"}", i > 2 ? "," : "", i, i, i);
	buf_append_str(&in, "]}");
	buf_append_u8(&in, 0);
	assert_ok(give(w, (const char *)buf_view(&in).p, true));
	netmap_write(&w->nm, &whole);
	assert_false(whole.bad);
	assert_true(buf_len(&whole) > 160 << 10); /* so that there are several */
	netmap_write_in_pieces(&w->nm, &piece, take_piece, &all);
	assert_false(piece.bad);
	assert_true(bytes_eq(buf_view(&whole), buf_view(&all)));
}

static void parse_only(struct bytes in, void *ctx)
{
	struct world *w = ctx;
	struct map_update u;
	struct map_why why;

	if (map_parse(w->s, in, NULL, &u, &why) == OK)
		(void)!netmap_apply(&w->nm, &u, true, 0, NULL);
}

static void torture(void **state)
{
	CLEANUP(buf_done) struct buf in = buf_make(1 << 20);

	whole_file("tests/fuzz/corpus/mapresponse/full", &in);
	test_torture(buf_view(&in), parse_only, *state);
	buf_clear(&in);
	whole_file("tests/fuzz/corpus/mapresponse/delta", &in);
	test_torture(buf_view(&in), parse_only, *state);
}

static void compressed(void **state)
{
	struct world *w = *state;
	CLEANUP(buf_done) struct buf in = buf_make(1 << 20);
	uint8_t packed[8192];
	ZSTD_DCtx *d = ZSTD_createDCtx();
	struct map_update u;
	struct map_why why;

	whole_file("tests/fuzz/corpus/mapresponse/full", &in);
	struct bytes all = buf_view(&in);
	/* Two frames and an empty one between them. */
	size_t n = ZSTD_compress(packed, sizeof packed, all.p, 100, 1);
	n += ZSTD_compress(packed + n, sizeof packed - n, all.p, 0, 1);
	n += ZSTD_compress(packed + n, sizeof packed - n, all.p + 100, all.n - 100, 1);
	assert_ok(map_parse(w->s, bytes_of(packed, n), d, &u, &why));
	assert_int_equal(u.n_peers, 1);
	map_update_done(&u);
	for (size_t cut = 0; cut < n; cut++) {
		struct bytes some = test_exact(bytes_of(packed, cut));

		assert_int_not_equal(map_parse(w->s, some, d, &u, &why), OK);
		test_exact_free(some);
	}
	/* 100 MiB of spaces in a few KiB. */
	size_t bomb = 100 << 20;
	char *spaces = malloc(bomb);
	assert_non_null(spaces);
	memset(spaces, ' ', bomb);
	spaces[0] = '{';
	n = ZSTD_compress(packed, sizeof packed, spaces, bomb / 2, 1);
	assert_false(ZSTD_isError(n));
	size_t m = ZSTD_compress(packed + n, sizeof packed - n, spaces + 1, bomb / 2 - 1, 1);
	assert_false(ZSTD_isError(m));
	free(spaces);
	assert_int_equal(map_parse(w->s, bytes_of(packed, n + m), d, &u, &why), ERR_TOO_BIG);
	ZSTD_freeDCtx(d);
}

/* 10,000 peers, as large as real ones, within 40 MB, the message and a second full map included. */
static void ten_thousand(void **state)
{
	struct world *w = *state;
	CLEANUP(buf_done) struct buf in = buf_make(64 << 20);
	struct map_update u;
	struct map_why why;
	ZSTD_DCtx *d = ZSTD_createDCtx();

	buf_append_str(&in, "{" SELF ",\"Peers\":[");
	for (unsigned i = 2; i < 10002; i++)
		buf_printf(&in, "%s{\"ID\":%u,\"StableID\":\"n%u\",\"Name\":\"swarm-%06u.tail.example.com.\",\"User\":1,\"Key\":\"nodekey:%064x\","
				"\"DiscoKey\":\"discokey:%064x\",\"Addresses\":[\"100.%u.%u.%u/32\",\"fd7a:115c:a1e0::%x/128\"],\"Endpoints\":[\"10.0.0.1:1\",\"192.0.2.1:2\"],"
				"\"HomeDERP\":1,\"Online\":true,\"Hostinfo\":{\"OS\":\"linux\",\"Hostname\":\"swarm-%06u\",\"Services\":[{\"Proto\":\"peerapi4\",\"Port\":1}]}}",
			i > 2 ? "," : "", i, i, i, i, i, 64 + (i >> 16), i >> 8 & 255, i & 255, i, i);
	buf_append_str(&in, "]}");
	assert_false(in.bad);
	size_t room = ZSTD_compressBound(buf_len(&in));
	uint8_t *packed = malloc(room);
	size_t n = ZSTD_compress(packed, room, buf_view(&in).p, buf_len(&in), 1);
	buf_done(&in);
	for (int i = 0; i < 2; i++) {
		assert_ok(map_parse(w->s, bytes_of(packed, n), d, &u, &why));
		assert_true(u.bytes < 10 << 20); /* twice, at most: the old and the new ones */
		assert_ok(netmap_apply(&w->nm, &u, true, 0, NULL));
	}
	assert_int_equal(w->nm.peers.n, 10000);
	assert_true(w->nm.bytes < 10 << 20);
	free(packed);
	ZSTD_freeDCtx(d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(full_then_deltas, setup, teardown),
		cmocka_unit_test_setup_teardown(patches, setup, teardown),
		cmocka_unit_test_setup_teardown(another_with_the_same_key, setup, teardown),
		cmocka_unit_test_setup_teardown(filters, setup, teardown),
		cmocka_unit_test_setup_teardown(routes_and_addresses, setup, teardown),
		cmocka_unit_test_setup_teardown(kept_addresses, setup, teardown),
		cmocka_unit_test_setup_teardown(known_peers, setup, teardown),
		cmocka_unit_test_setup_teardown(users_of_before, setup, teardown),
		cmocka_unit_test_setup_teardown(names, setup, teardown),
		cmocka_unit_test_setup_teardown(cache, setup, teardown),
		cmocka_unit_test_setup_teardown(cache_in_pieces, setup, teardown),
		cmocka_unit_test_setup_teardown(torture, setup, teardown),
		cmocka_unit_test_setup_teardown(compressed, setup, teardown),
		cmocka_unit_test_setup_teardown(ten_thousand, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
