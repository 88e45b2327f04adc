/* Datagrams of the client's socket: sorting, envelope, and every message, which must survive being written and read. */
#include <stdlib.h>
#include <string.h>

#include "common/wire/demux.h"
#include "common/wire/disco.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_message(struct bytes in)
{
	static struct disco_message m, again;
	static uint8_t out[1 << 16], twice[1 << 16];

	if (in.n > sizeof out / 2 || disco_parse_message(in, &m) != OK)
		return;
	struct writer w = wr_init(out, sizeof out), x = wr_init(twice, sizeof twice);
	disco_write_message(&w, &m);
	if (w.bad || disco_parse_message(wr_view(&w), &again) != OK)
		abort();
	disco_write_message(&x, &again);
	if (!bytes_eq(wr_view(&w), wr_view(&x)))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes in = bytes_of(data, size), inner = in;
	struct disco_envelope e;
	struct geneve g;

	switch (udp_demux(in, &g, &inner)) {
	case UDP_RELAYED_DISCO:
	case UDP_RELAYED_WIREGUARD: {
		uint8_t header[GENEVE_LEN];
		struct writer w = wr_init(header, sizeof header);

		geneve_write(&w, &g);
		if (w.bad || inner.n != size - GENEVE_LEN)
			abort();
		break;
	}
	case UDP_DISCO:
	case UDP_STUN:
	case UDP_WIREGUARD:
		break;
	}
	/* As if the box had opened to its own bytes. */
	if (disco_parse_envelope(inner, &e) == OK)
		read_message(bytes_skip(e.sealed, BOX_OVERHEAD));
	read_message(in);
	return 0;
}
