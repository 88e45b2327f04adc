/* fuzz_derp_session: a relay with one admitted client, and what it sends after the handshake. The first byte picks the
 * pieces in which the bytes arrive; whether the whole stream before admission is the fuzzer's is its lowest bit; its highest makes the client a mesh peer. */
#include <stdlib.h>

#include "common/base/cleanup.h"
#include "common/base/random.h"
#include "derp/relay.h"

static uint8_t seed;

static void fill(void *ctx, void *p, size_t n)
{
	uint8_t *b = p;

	(void)ctx;
	for (size_t i = 0; i < n; i++)
		b[i] = seed = (uint8_t)(seed * 5 + 3);
}

static struct relay_client *client;

static void push(void *ctx)
{
	uint8_t out[16384];

	(void)ctx;
	while (relay_client_pull(client, out, sizeof out))
		;
}

static void wake(void *ctx)
{
	(void)ctx;
}

static void feed(struct relay_worker *w, struct bytes b, size_t step)
{
	while (b.n && relay_client_session(client)->state != SESSION_CLOSED) {
		struct bytes piece = bytes_first(b, step);
		uint8_t *exact = malloc(piece.n); /* so that ASan sees one byte over */

		if (!exact)
			abort();
		memcpy(exact, piece.p, piece.n);
		relay_client_feed(client, exact, piece.n, 0);
		relay_flush(w);
		free(exact);
		b = bytes_skip(b, piece.n);
	}
}

static void open_session(struct relay_worker *w, const struct node_key *server)
{
	static const char json[] = "{}";
	uint8_t sealed[sizeof json - 1 + BOX_OVERHEAD], frame[256];
	struct writer wr = wr_init(frame, sizeof frame);
	struct box_shared shared;
	struct node_key k;

	node_key_new(&k);
	if (box_shared_init(&shared, &k.secret, server->pub.b) != OK)
		abort();
	box_seal(&shared, bytes_str(json), sealed);
	derp_write_client_info(&wr, &k.pub, bytes_of(sealed, sizeof sealed));
	feed(w, wr_view(&wr), SIZE_MAX);
	if (relay_client_session(client)->state != SESSION_OPEN)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct relay_opts o = { .workers = 1 };
	struct relay_client_opts co = { .push = push };
	struct relay *r;
	struct relay_worker *w;
	struct relay_stats st;

	if (n == 0)
		return 0;
	seed = 1;
	random_replace(fill, NULL);
	node_key_new(&o.key);
	if (relay_new(&o, &r) != OK || relay_worker_new(r, wake, NULL, &w) != OK ||
		relay_client_new(w, &co, 0, &client) != OK)
		abort();
	relay_flush(w);
	if (data[0] & 1)
		open_session(w, &o.key);
	relay_client_session(client)->trusted = data[0] & 0x80;
	feed(w, bytes_of(data + 1, n - 1), (size_t)(data[0] >> 1 & 0x3f) + 1);
	relay_client_end(client);
	relay_stats_read(r, &st);
	if (st.queued_bytes)
		abort(); /* every byte that was counted in was counted out */
	relay_free(r);
	random_replace(NULL, NULL);
	return 0;
}
