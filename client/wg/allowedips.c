#include "client/wg/allowedips.h"

#include <stdlib.h>

/* An address as a number, most significant bit first; IPv4 lies in the upper half of hi. */
struct key {
	uint64_t hi, lo;
};

struct allowed_node {
	struct key key; /* bits beyond .bits are zero */
	uint8_t bits;
	struct wg_peer *peer; /* NULL: only a fork */
	struct allowed_node *child[2];
};

static uint64_t load_be(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof v);
	return __builtin_bswap64(v);
}

static struct key key4(const uint8_t a[4])
{
	uint32_t v;

	memcpy(&v, a, sizeof v);
	return (struct key){ (uint64_t)__builtin_bswap32(v) << 32, 0 };
}

static struct key key6(const uint8_t a[16])
{
	return (struct key){ load_be(a), load_be(a + 8) };
}

static uint64_t upper(unsigned bits)
{
	return bits == 0 ? 0 : ~0ULL << (64 - bits);
}

static struct key key_cut(struct key k, unsigned bits)
{
	k.hi &= upper(bits < 64 ? bits : 64);
	k.lo &= upper(bits > 64 ? bits - 64 : 0);
	return k;
}

static unsigned key_bit(struct key k, unsigned at)
{
	return at < 64 ? k.hi >> (63 - at) & 1 : k.lo >> (127 - at) & 1;
}

/* How many leading bits they share. */
static unsigned key_common(struct key a, struct key b)
{
	if (a.hi != b.hi)
		return (unsigned)__builtin_clzll(a.hi ^ b.hi);
	if (a.lo != b.lo)
		return 64 + (unsigned)__builtin_clzll(a.lo ^ b.lo);
	return 128;
}

static bool covers(const struct allowed_node *n, struct key k)
{
	return key_common(n->key, k) >= n->bits;
}

static struct allowed_node *node_new(struct key k, unsigned bits, struct wg_peer *peer)
{
	struct allowed_node *n = calloc(1, sizeof *n);

	if (n) {
		n->key = key_cut(k, bits);
		n->bits = (uint8_t)bits;
		n->peer = peer;
	}
	return n;
}

static void node_free(struct allowed_node *n)
{
	if (!n)
		return;
	node_free(n->child[0]); /* at most 128 deep: bits grow on the way down */
	node_free(n->child[1]);
	free(n);
}

void allowed_done(struct allowed *t)
{
	node_free(t->root[0]);
	node_free(t->root[1]);
	*t = (struct allowed){ 0 };
}

static bool prefix_key(struct prefix p, struct key *k, unsigned *family)
{
	if (p.addr.family == 0 || p.bits > addr_bits(p.addr))
		return false;
	*family = p.addr.family == 6;
	*k = key_cut(*family ? key6(p.addr.b) : key4(p.addr.b), p.bits);
	return true;
}

err allowed_put(struct allowed *t, struct prefix p, struct wg_peer *peer)
{
	struct key k;
	unsigned family;

	if (!peer || !prefix_key(p, &k, &family))
		return ERR_INVALID;
	struct allowed_node **at = &t->root[family];
	while (*at && (*at)->bits < p.bits && covers(*at, k))
		at = &(*at)->child[key_bit(k, (*at)->bits)];
	struct allowed_node *below = *at;
	if (below && below->bits == p.bits && covers(below, k)) {
		t->n += !below->peer;
		below->peer = peer;
		return OK;
	}

	struct allowed_node *leaf = node_new(k, p.bits, peer);
	if (!leaf)
		return ERR_NOMEM;
	if (!below) {
		*at = leaf;
	} else {
		unsigned common = key_common(below->key, k);

		if (common >= p.bits) { /* the new one lies above what is there */
			leaf->child[key_bit(below->key, p.bits)] = below;
			*at = leaf;
		} else {
			struct allowed_node *fork = node_new(k, common, NULL);

			if (!fork) {
				free(leaf);
				return ERR_NOMEM;
			}
			fork->child[key_bit(k, common)] = leaf;
			fork->child[key_bit(below->key, common)] = below;
			*at = fork;
		}
	}
	t->n++;
	return OK;
}

/* A node that is nobody's and forks nothing goes; its only child, if any, takes its place. */
static void node_collapse(struct allowed_node **at)
{
	struct allowed_node *n = *at;

	if (n->peer || (n->child[0] && n->child[1]))
		return;
	*at = n->child[0] ? n->child[0] : n->child[1];
	free(n);
}

void allowed_del(struct allowed *t, struct prefix p, const struct wg_peer *peer)
{
	struct key k;
	unsigned family;

	if (!prefix_key(p, &k, &family))
		return;
	struct allowed_node **at = &t->root[family], **above = NULL;
	while (*at && (*at)->bits < p.bits && covers(*at, k)) {
		above = at;
		at = &(*at)->child[key_bit(k, (*at)->bits)];
	}
	struct allowed_node *n = *at;
	if (!n || n->bits != p.bits || !covers(n, k) || n->peer != peer)
		return;
	n->peer = NULL;
	t->n--;
	node_collapse(at);
	if (above)
		node_collapse(above);
}

static struct wg_peer *get(const struct allowed_node *n, struct key k, unsigned bits)
{
	struct wg_peer *best = NULL;

	while (n && covers(n, k)) {
		if (n->peer)
			best = n->peer;
		if (n->bits >= bits)
			break;
		n = n->child[key_bit(k, n->bits)];
	}
	return best;
}

struct wg_peer *allowed_get4(const struct allowed *t, const uint8_t a[4])
{
	return get(t->root[0], key4(a), 32);
}

struct wg_peer *allowed_get6(const struct allowed *t, const uint8_t a[16])
{
	return get(t->root[1], key6(a), 128);
}

struct wg_peer *allowed_get(const struct allowed *t, struct addr a)
{
	if (a.family == 4)
		return allowed_get4(t, a.b);
	return a.family == 6 ? allowed_get6(t, a.b) : NULL;
}
