/* A stream of DERP frames, read as a server, then as a client; each payload through each parser; JSON texts. */
#include <stdlib.h>
#include <string.h>

#include "common/wire/derp_frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void parse_json(struct bytes in)
{
	struct derp_client_info ci, again;
	struct derp_server_info si;
	struct buf out = buf_make(1 << 16);

	if (derp_parse_client_info_json(in, &ci) == OK) {
		if (derp_write_client_info_json(&ci, &out) != OK ||
			derp_parse_client_info_json(buf_view(&out), &again) != OK ||
			strcmp(ci.app_name, again.app_name) != 0 || ci.version != again.version)
			abort();
	}
	buf_clear(&out);
	if (derp_parse_server_info_json(in, &si) == OK && derp_write_server_info_json(&si, &out) != OK)
		abort();
	buf_done(&out);
}

static void parse_payload(struct bytes payload)
{
	struct node_pub key;
	struct derp_packet packet;
	struct derp_forward forward;
	struct derp_client_info_frame ci;
	struct derp_peer_gone gone;
	struct derp_peer_present present, again;
	struct derp_ping ping;
	struct derp_restarting restarting;
	uint8_t out[DERP_SHORT_MAX];
	bool home;

	(void)!derp_parse_server_key(payload, &key);
	(void)!derp_parse_client_info(payload, &ci);
	(void)!derp_parse_packet(payload, &packet);
	(void)!derp_parse_forward(payload, &forward);
	(void)!derp_parse_note_preferred(payload, &home);
	(void)!derp_parse_peer_gone(payload, &gone);
	(void)!derp_parse_close_peer(payload, &key);
	(void)!derp_parse_ping(payload, &ping);
	(void)!derp_parse_restarting(payload, &restarting);
	if (derp_parse_peer_present(payload, &present) == OK) {
		struct writer w = wr_init(out, sizeof out);

		derp_write_peer_present(&w, &present);
		if (w.bad || derp_parse_peer_present(bytes_skip(wr_view(&w), DERP_HEADER_LEN), &again) != OK ||
			again.flags != present.flags || again.addr.port != present.addr.port)
			abort();
	}
}

static void relay(struct bytes frame)
{
	static const struct node_pub src = { .b = { 9 } };
	uint8_t *copy = malloc(frame.n);
	struct derp_frame f;

	if (!copy)
		return;
	memcpy(copy, frame.p, frame.n);
	struct bytes out = frame.p[0] == DERP_SEND_PACKET ? derp_send_to_recv(copy, frame.n, &src)
							  : derp_forward_to_recv(copy, frame.n);
	if (derp_parse_frame(out, derp_client_check, &f) != OK || f.len != out.n || f.type != DERP_RECV_PACKET)
		abort();
	free(copy);
}

static void read_stream(struct bytes in, err (*check)(struct derp_header))
{
	struct derp_frame f;

	while (derp_parse_frame(in, check, &f) == OK) {
		if (f.len > in.n || f.payload.n + DERP_HEADER_LEN != f.len)
			abort();
		parse_payload(f.payload);
		if (check == derp_server_check && (f.type == DERP_SEND_PACKET || f.type == DERP_FORWARD_PACKET))
			relay(bytes_first(in, f.len));
		in = bytes_skip(in, f.len);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes in = bytes_of(data, size);

	read_stream(in, derp_server_check);
	read_stream(in, derp_client_check);
	if (size && data[0] == '{')
		parse_json(in);
	return 0;
}
