#include "common/wire/derp_frame.h"

#include <assert.h>

#include "common/base/reader.h"
#include "common/wire/ip16.h"

static const uint8_t magic[8] = { 'D', 'E', 'R', 'P', 0xf0, 0x9f, 0x94, 0x91 }; /* "DERP" and U+1F511 */

enum { HEALTH_TEXT_MAX = 1024 };

/* ---- framing -------------------------------------------------------------------------------------------------- */

err derp_parse_header(struct bytes in, struct derp_header *out)
{
	struct reader r = rd_init(in);
	struct derp_header h = { .type = rd_u8(&r) };

	h.len = rd_u32be(&r);
	if (r.bad)
		return ERR_TRUNCATED;
	*out = h;
	return OK;
}

void derp_write_header(struct writer *w, enum derp_type type, size_t len)
{
	if (len > DERP_FRAME_MAX)
		w->bad = true;
	wr_u8(w, (uint8_t)type);
	wr_u32be(w, (uint32_t)len);
}

/* A payload that is not min … max bytes long. */
static err in_range(uint32_t len, uint32_t min, uint32_t max)
{
	if (len < min)
		return ERR_MALFORMED;
	return len > max ? ERR_TOO_BIG : OK;
}

err derp_server_check(struct derp_header h)
{
	switch ((enum derp_type)h.type) {
	case DERP_CLIENT_INFO:
		return in_range(h.len, DERP_CLIENT_INFO_MIN, DERP_CLIENT_INFO_MAX);
	case DERP_SEND_PACKET:
		return in_range(h.len, DERP_KEY_LEN, DERP_KEY_LEN + DERP_PACKET_MAX);
	case DERP_FORWARD_PACKET:
		return in_range(h.len, 2 * DERP_KEY_LEN, 2 * DERP_KEY_LEN + DERP_PACKET_MAX);
	case DERP_NOTE_PREFERRED:
		return h.len == 1 ? OK : ERR_MALFORMED;
	case DERP_WATCH_CONNS:
		return h.len == 0 ? OK : ERR_MALFORMED;
	case DERP_CLOSE_PEER:
		return h.len == DERP_KEY_LEN ? OK : ERR_MALFORMED;
	case DERP_PING:
		return in_range(h.len, DERP_PING_MIN, DERP_PING_MAX);
	case DERP_SERVER_KEY: /* what only servers send, and a client's Pong, are skipped like unknown types */
	case DERP_SERVER_INFO:
	case DERP_RECV_PACKET:
	case DERP_KEEP_ALIVE:
	case DERP_PEER_GONE:
	case DERP_PEER_PRESENT:
	case DERP_PONG:
	case DERP_HEALTH:
	case DERP_RESTARTING:
		break;
	}
	return in_range(h.len, 0, DERP_FRAME_MAX);
}

err derp_client_check(struct derp_header h)
{
	if (h.type == DERP_SERVER_KEY)
		return in_range(h.len, sizeof magic + DERP_KEY_LEN, DERP_SERVER_KEY_MAX);
	return in_range(h.len, 0, DERP_FRAME_MAX);
}

err derp_parse_frame(struct bytes in, err (*check)(struct derp_header h), struct derp_frame *out)
{
	struct derp_header h;
	err e = derp_parse_header(in, &h);

	if (e == OK)
		e = check(h);
	if (e != OK)
		return e;
	struct reader r = rd_init(bytes_skip(in, DERP_HEADER_LEN));
	struct bytes payload = rd_take(&r, h.len);
	if (r.bad)
		return ERR_TRUNCATED;
	*out = (struct derp_frame){ .type = h.type, .payload = payload, .len = DERP_HEADER_LEN + (size_t)h.len };
	return OK;
}

/* ---- opening -------------------------------------------------------------------------------------------------- */

static struct node_pub rd_node_pub(struct reader *r)
{
	struct node_pub k;

	rd_copy(r, k.b, sizeof k.b);
	return k;
}

static void wr_node_pub(struct writer *w, const struct node_pub *k)
{
	wr_bytes(w, bytes_of(k->b, sizeof k->b));
}

err derp_parse_server_key(struct bytes payload, struct node_pub *out)
{
	struct reader r = rd_init(payload);
	struct bytes m = rd_take(&r, sizeof magic);
	struct node_pub key = rd_node_pub(&r);

	if (r.bad || payload.n > DERP_SERVER_KEY_MAX || !bytes_eq(m, bytes_of(magic, sizeof magic)))
		return ERR_MALFORMED;
	*out = key;
	return OK;
}

void derp_write_server_key(struct writer *w, const struct node_pub *key)
{
	derp_write_header(w, DERP_SERVER_KEY, sizeof magic + DERP_KEY_LEN);
	wr_bytes(w, bytes_of(magic, sizeof magic));
	wr_node_pub(w, key);
}

err derp_parse_client_info(struct bytes payload, struct derp_client_info_frame *out)
{
	struct reader r = rd_init(payload);
	struct derp_client_info_frame f = { .key = rd_node_pub(&r) };

	if (payload.n < DERP_CLIENT_INFO_MIN || payload.n > DERP_CLIENT_INFO_MAX || node_pub_is_zero(&f.key))
		return ERR_MALFORMED;
	f.sealed = r.rest;
	*out = f;
	return OK;
}

void derp_write_client_info(struct writer *w, const struct node_pub *key, struct bytes sealed)
{
	derp_write_header(w, DERP_CLIENT_INFO, DERP_KEY_LEN + sealed.n);
	wr_node_pub(w, key);
	wr_bytes(w, sealed);
}

void derp_write_server_info(struct writer *w, struct bytes sealed)
{
	derp_write_header(w, DERP_SERVER_INFO, sealed.n);
	wr_bytes(w, sealed);
}

/* ---- packets -------------------------------------------------------------------------------------------------- */

err derp_parse_packet(struct bytes payload, struct derp_packet *out)
{
	struct reader r = rd_init(payload);
	struct derp_packet p = { .key = rd_node_pub(&r) };

	if (r.bad || r.rest.n > DERP_PACKET_MAX)
		return ERR_MALFORMED;
	p.packet = r.rest;
	*out = p;
	return OK;
}

void derp_write_packet_header(struct writer *w, enum derp_type type, const struct node_pub *key, size_t packet_len)
{
	assert(type == DERP_SEND_PACKET || type == DERP_RECV_PACKET);
	if (packet_len > DERP_PACKET_MAX)
		w->bad = true;
	derp_write_header(w, type, DERP_KEY_LEN + packet_len);
	wr_node_pub(w, key);
}

err derp_parse_forward(struct bytes payload, struct derp_forward *out)
{
	struct reader r = rd_init(payload);
	struct derp_forward f = { .src = rd_node_pub(&r) };

	f.dst = rd_node_pub(&r);
	if (r.bad || r.rest.n > DERP_PACKET_MAX)
		return ERR_MALFORMED;
	f.packet = r.rest;
	*out = f;
	return OK;
}

void derp_write_forward_header(
	struct writer *w, const struct node_pub *src, const struct node_pub *dst, size_t packet_len)
{
	if (packet_len > DERP_PACKET_MAX)
		w->bad = true;
	derp_write_header(w, DERP_FORWARD_PACKET, 2 * DERP_KEY_LEN + packet_len);
	wr_node_pub(w, src);
	wr_node_pub(w, dst);
}

struct bytes derp_send_to_recv(uint8_t *frame, size_t len, const struct node_pub *src)
{
	struct writer w = wr_init(frame, len);

	assert(len >= DERP_RECV_HEADER_LEN && frame[0] == DERP_SEND_PACKET);
	derp_write_packet_header(&w, DERP_RECV_PACKET, src, len - DERP_RECV_HEADER_LEN);
	return bytes_of(frame, len);
}

struct bytes derp_forward_to_recv(uint8_t *frame, size_t len)
{
	struct reader r = rd_init(bytes_of(frame, len));
	struct node_pub src;

	assert(len >= DERP_FORWARD_HEADER_LEN && frame[0] == DERP_FORWARD_PACKET);
	rd_take(&r, DERP_HEADER_LEN);
	src = rd_node_pub(&r);
	/* The shorter header ends where the longer one did: right before the packet. */
	struct writer w = wr_init(frame + DERP_KEY_LEN, len - DERP_KEY_LEN);
	derp_write_packet_header(&w, DERP_RECV_PACKET, &src, len - DERP_FORWARD_HEADER_LEN);
	return bytes_of(frame + DERP_KEY_LEN, len - DERP_KEY_LEN);
}

/* ---- the small ones ------------------------------------------------------------------------------------------- */

void derp_write_keep_alive(struct writer *w)
{
	derp_write_header(w, DERP_KEEP_ALIVE, 0);
}

err derp_parse_note_preferred(struct bytes payload, bool *home)
{
	struct reader r = rd_init(payload);
	uint8_t v = rd_u8(&r);

	if (!rd_done(&r))
		return ERR_MALFORMED;
	*home = v != 0;
	return OK;
}

void derp_write_note_preferred(struct writer *w, bool home)
{
	derp_write_header(w, DERP_NOTE_PREFERRED, 1);
	wr_u8(w, home);
}

err derp_parse_peer_gone(struct bytes payload, struct derp_peer_gone *out)
{
	struct reader r = rd_init(payload);
	struct derp_peer_gone g = { .key = rd_node_pub(&r) };

	if (r.bad)
		return ERR_MALFORMED;
	g.reason = rd_u8(&r); /* old servers leave it out; the reader then gives DERP_GONE_DISCONNECTED */
	*out = g;
	return OK;
}

void derp_write_peer_gone(struct writer *w, const struct node_pub *key, enum derp_gone reason)
{
	derp_write_header(w, DERP_PEER_GONE, DERP_KEY_LEN + 1);
	wr_node_pub(w, key);
	wr_u8(w, (uint8_t)reason);
}

err derp_parse_peer_present(struct bytes payload, struct derp_peer_present *out)
{
	struct reader r = rd_init(payload);
	struct derp_peer_present p = { .key = rd_node_pub(&r) };

	if (r.bad)
		return ERR_MALFORMED;
	/* Old servers stop after the key or after the port. */
	p.addr = rd_ip16_port(&r);
	p.flags = rd_u8(&r);
	*out = p;
	return OK;
}

void derp_write_peer_present(struct writer *w, const struct derp_peer_present *p)
{
	derp_write_header(w, DERP_PEER_PRESENT, DERP_KEY_LEN + IP16_PORT_LEN + 1);
	wr_node_pub(w, &p->key);
	wr_ip16_port(w, p->addr);
	wr_u8(w, p->flags);
}

void derp_write_watch_conns(struct writer *w)
{
	derp_write_header(w, DERP_WATCH_CONNS, 0);
}

err derp_parse_close_peer(struct bytes payload, struct node_pub *out)
{
	struct reader r = rd_init(payload);
	struct node_pub key = rd_node_pub(&r);

	if (!rd_done(&r))
		return ERR_MALFORMED;
	*out = key;
	return OK;
}

void derp_write_close_peer(struct writer *w, const struct node_pub *key)
{
	derp_write_header(w, DERP_CLOSE_PEER, DERP_KEY_LEN);
	wr_node_pub(w, key);
}

err derp_parse_ping(struct bytes payload, struct derp_ping *out)
{
	struct reader r = rd_init(payload);
	struct derp_ping p;

	rd_copy(&r, p.b, sizeof p.b);
	if (r.bad || payload.n > DERP_PING_MAX)
		return ERR_MALFORMED;
	*out = p;
	return OK;
}

void derp_write_ping(struct writer *w, enum derp_type type, const struct derp_ping *p)
{
	assert(type == DERP_PING || type == DERP_PONG);
	derp_write_header(w, type, sizeof p->b);
	wr_bytes(w, bytes_of(p->b, sizeof p->b));
}

void derp_write_health(struct writer *w, struct bytes text)
{
	text = bytes_first(text, HEALTH_TEXT_MAX);
	derp_write_header(w, DERP_HEALTH, text.n);
	wr_bytes(w, text);
}

err derp_parse_restarting(struct bytes payload, struct derp_restarting *out)
{
	struct reader r = rd_init(payload);
	struct derp_restarting x = { .reconnect_in_ms = rd_u32be(&r) };

	x.try_for_ms = rd_u32be(&r);
	if (r.bad)
		return ERR_MALFORMED;
	*out = x;
	return OK;
}

void derp_write_restarting(struct writer *w, const struct derp_restarting *r)
{
	derp_write_header(w, DERP_RESTARTING, 8);
	wr_u32be(w, r->reconnect_in_ms);
	wr_u32be(w, r->try_for_ms);
}
