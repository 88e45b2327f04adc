/* Datagrams for the WireGuard engine: the formats must survive being read and written, and an engine with a session
 * must take anything. The input is a list of datagrams, each behind a byte with how to send it: as it is, or with its
 * MAC1 made right, or sealed in the session (so that the fuzzer gets to what is inside). */
#include <stdlib.h>
#include <string.h>

#include "client/wg/internal.h"
#include "common/base/random.h"
#include "common/base/reader.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fill_counting(void *ctx, void *p, size_t n)
{
	static uint8_t next;

	(void)ctx;
	for (size_t i = 0; i < n; i++)
		((uint8_t *)p)[i] = next++ | 1;
}

static void formats(struct bytes in)
{
	uint8_t out[WG_INITIATION_LEN];
	struct wg_initiation i;
	struct wg_response r;
	struct wg_cookie_reply c;

	if (wg_parse_initiation(in, &i) == OK) {
		wg_write_initiation(&i, out);
		if (memcmp(out, in.p, WG_INITIATION_LEN - 2 * WG_MAC_LEN) != 0)
			abort();
	} else if (wg_parse_response(in, &r) == OK) {
		wg_write_response(&r, out);
		if (memcmp(out, in.p, WG_RESPONSE_LEN - 2 * WG_MAC_LEN) != 0)
			abort();
	} else if (wg_parse_cookie_reply(in, &c) == OK) {
		wg_write_cookie_reply(&c, out);
		if (memcmp(out, in.p, WG_COOKIE_REPLY_LEN) != 0)
			abort();
	}
}

static struct wg *a, *b;
static struct wg_peer *ab, *ba;
static struct node_key ka, kb;

static void pass(struct wg *to, const struct wg_out *out)
{
	struct wg_packet pkt = { .p = out->p, .n = out->n };
	struct wg_from from = { .token = 1, .addr = { addr_v4(192, 0, 2, 1), 1 } };

	wg_open(to, &from, &pkt, 1, 1);
	wg_step(to, 10, 1);
}

static void start(void)
{
	struct prefix any = { { .family = 4 }, 0 };
	struct wg_out out;

	random_replace(fill_counting, NULL);
	node_key_new(&ka);
	node_key_new(&kb);
	struct wg_config c = { .key = &ka, .mtu = 1280, .now_ms = 1, .wall_ms = 1 };
	if (wg_new(&c, &a) != OK)
		abort();
	c.key = &kb;
	if (wg_new(&c, &b) != OK ||
		wg_peer_add(a, &(struct wg_peer_config){ .key = kb.pub, .allowed = &any, .n_allowed = 1 }, &ab) != OK ||
		wg_peer_add(b, &(struct wg_peer_config){ .key = ka.pub, .allowed = &any, .n_allowed = 1 }, &ba) != OK)
		abort();
	wg_peer_connect(ab, 1);
	if (!wg_pull(a, 1, &out))
		abort();
	pass(b, &out);
	if (!wg_pull(b, 1, &out))
		abort();
	pass(a, &out);
	if (!wg_pull(a, 1, &out))
		abort();
	pass(b, &out);
	if (!ba->current)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct reader r = rd_init(bytes_of(data, size));
	struct wg_from from = { .token = 2, .addr = { addr_v4(192, 0, 2, 2), 2 } };
	struct wg_event ev;
	struct wg_out out;
	int64_t now = 100;

	start();
	while (!r.bad && r.rest.n) {
		unsigned how = rd_u8(&r);
		size_t n = rd_u16le(&r);
		struct bytes in = rd_take(&r, n < r.rest.n ? n : r.rest.n);
		uint8_t *room = malloc(WG_HEADROOM + in.n + WG_TAILROOM);
		struct wg_packet pkt = { .p = room + WG_HEADROOM, .n = in.n };

		if (!room)
			abort();
		formats(in);
		if (in.n)
			memcpy(pkt.p, in.p, in.n);
		if (how % 3 == 1 && (in.n == WG_INITIATION_LEN || in.n == WG_RESPONSE_LEN)) {
			struct wg_signer s = { 0 };
			wg_sign(&s, &kb.pub, pkt.p, pkt.n, now);
		} else if (how % 3 == 2) {
			wg_route(a, in);
			wg_seal(ab, &pkt, 1, now);
		}
		wg_open(b, &from, &pkt, 1, now);
		if (pkt.n && (pkt.peer != ba || pkt.n < 20))
			abort();
		now += how >> 2;
		wg_step(b, 3, now);
		wg_tick(b, now);
		while (wg_pull(b, now, &out))
			;
		while (wg_next_event(b, &ev))
			;
		free(room);
	}
	wg_free(a);
	wg_free(b);
	random_replace(NULL, NULL);
	return 0;
}
