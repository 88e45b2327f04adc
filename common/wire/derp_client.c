#include "common/wire/derp_client.h"

#include <sodium.h>
#include <stdlib.h>

#include "common/base/cleanup.h"

/* ---- out -------------------------------------------------------------------------------------------------------- */

static err queue(struct derp_client *c, const struct writer *w)
{
	if (w->bad || w->n > c->out.max - buf_len(&c->out))
		return ERR_TOO_BIG;
	buf_append(&c->out, wr_view(w));
	return c->out.bad ? ERR_NOMEM : OK;
}

static err queue_request(struct derp_client *c, const struct derp_client_opts *o)
{
	/* Header order as Go writes it, so that we look like every other client. */
	buf_printf(&c->out, "GET /derp HTTP/1.1\r\nHost: %s\r\nUser-Agent: Go-http-client/1.1\r\nConnection: Upgrade\r\n",
		o->host);
	if (c->fast)
		buf_append_str(&c->out, "Derp-Fast-Start: 1\r\n");
	if (o->ideal_node)
		buf_printf(&c->out, "Ideal-Node: %s\r\n", o->ideal_node);
	buf_append_str(&c->out, "Upgrade: DERP\r\n\r\n");
	return c->out.bad ? ERR_NOMEM : OK;
}

static err queue_client_info(struct derp_client *c)
{
	uint8_t frame[1024], sealed[512 + BOX_OVERHEAD];
	struct writer w = wr_init(frame, sizeof frame);
	struct buf json = buf_make(512);

	TRY(box_shared_init(&c->shared, &c->key.secret, c->server_key.b));
	err e = derp_write_client_info_json(&c->info, &json);
	if (e == OK) {
		box_seal(&c->shared, buf_view(&json), sealed);
		derp_write_client_info(&w, &c->key.pub, bytes_of(sealed, buf_len(&json) + BOX_OVERHEAD));
		if (json.p)
			sodium_memzero(json.p, json.cap); /* a mesh key */
		if (c->preferred)
			derp_write_note_preferred(&w, true);
		e = queue(c, &w);
	}
	buf_done(&json);
	return e;
}

err derp_client_init(struct derp_client *c, const struct derp_client_opts *o)
{
	*c = (struct derp_client){
		.out = buf_make(DERP_CLIENT_OUT_MAX),
		.in = buf_make(DERP_FRAME_MAX + DERP_HEADER_LEN + (64 << 10)),
		.state = o->raw ? DERP_CLIENT_AT_KEY : DERP_CLIENT_AT_HTTP,
		.key = *o->key,
		.info = o->info,
		.preferred = o->preferred,
		.server_key = o->server_key,
		.fast = !o->raw && !node_pub_is_zero(&o->server_key),
	};
	err e = o->raw ? OK : queue_request(c, o);
	if (e == OK && c->fast) {
		c->state = DERP_CLIENT_AT_INFO;
		e = queue_client_info(c);
	}
	if (e != OK)
		derp_client_done(c);
	return e;
}

void derp_client_done(struct derp_client *c)
{
	buf_done(&c->in);
	buf_done(&c->out);
	secret32_wipe(&c->key.secret);
	secret32_wipe(&c->info.mesh_key);
	box_shared_wipe(&c->shared);
}

err derp_client_send(struct derp_client *c, const struct node_pub *dst, struct bytes packet)
{
	uint8_t head[DERP_RECV_HEADER_LEN];
	struct writer w = wr_init(head, sizeof head);

	if (c->state != DERP_CLIENT_AT_OPEN && c->state != DERP_CLIENT_AT_INFO)
		return ERR_STATE;
	if (packet.n > DERP_PACKET_MAX || packet.n + sizeof head > c->out.max - buf_len(&c->out))
		return ERR_TOO_BIG;
	derp_write_packet_header(&w, DERP_SEND_PACKET, dst, packet.n);
	TRY(queue(c, &w));
	buf_append(&c->out, packet);
	return c->out.bad ? ERR_NOMEM : OK;
}

err derp_client_ping(struct derp_client *c, const struct derp_ping *p)
{
	uint8_t frame[DERP_SHORT_MAX];
	struct writer w = wr_init(frame, sizeof frame);

	if (c->state != DERP_CLIENT_AT_OPEN)
		return ERR_STATE;
	derp_write_ping(&w, DERP_PING, p);
	return queue(c, &w);
}

err derp_client_note_preferred(struct derp_client *c, bool home)
{
	uint8_t frame[DERP_SHORT_MAX];
	struct writer w = wr_init(frame, sizeof frame);

	c->preferred = home;
	if (c->state != DERP_CLIENT_AT_OPEN && c->state != DERP_CLIENT_AT_INFO)
		return OK; /* goes out with ClientInfo */
	derp_write_note_preferred(&w, home);
	return queue(c, &w);
}

err derp_client_watch(struct derp_client *c)
{
	uint8_t frame[DERP_SHORT_MAX];
	struct writer w = wr_init(frame, sizeof frame);

	if (c->state != DERP_CLIENT_AT_OPEN)
		return ERR_STATE;
	derp_write_watch_conns(&w);
	return queue(c, &w);
}

err derp_client_forward(struct derp_client *c, struct bytes frame)
{
	if (c->state != DERP_CLIENT_AT_OPEN)
		return ERR_STATE;
	if (frame.n > c->out.max - buf_len(&c->out))
		return ERR_TOO_BIG;
	buf_append(&c->out, frame);
	return c->out.bad ? ERR_NOMEM : OK;
}

err derp_client_close_peer(struct derp_client *c, const struct node_pub *key)
{
	uint8_t frame[DERP_SHORT_MAX];
	struct writer w = wr_init(frame, sizeof frame);

	if (c->state != DERP_CLIENT_AT_OPEN)
		return ERR_STATE;
	derp_write_close_peer(&w, key);
	return queue(c, &w);
}

/* ---- in --------------------------------------------------------------------------------------------------------- */

err derp_client_feed(struct derp_client *c, struct bytes in)
{
	buf_consume(&c->in, c->used);
	c->used = 0;
	if (in.n > c->in.max - buf_len(&c->in))
		return ERR_TOO_BIG;
	buf_append(&c->in, in);
	return c->in.bad ? ERR_NOMEM : OK;
}

/* The answer to the upgrade; what follows its blank line is DERP. */
static err read_head(struct derp_client *c)
{
	static const char blank[] = "\r\n\r\n", switching[] = "HTTP/1.1 101 ";
	struct bytes v = buf_view(&c->in);
	const uint8_t *end = v.n ? memmem(v.p, v.n, blank, sizeof blank - 1) : NULL;

	if (!end)
		return v.n > DERP_CLIENT_HEAD_MAX ? ERR_TOO_BIG : ERR_TRUNCATED;
	if (!bytes_has_prefix(v, bytes_str(switching)))
		return ERR_DENIED;
	buf_consume(&c->in, (size_t)(end - v.p) + sizeof blank - 1);
	c->state = DERP_CLIENT_AT_KEY;
	return OK;
}

static err on_server_info(struct derp_client *c, struct bytes sealed, struct derp_server_info *out)
{
	if (sealed.n < BOX_OVERHEAD || sealed.n > BOX_OVERHEAD + DERP_INFO_JSON_MAX)
		return ERR_MALFORMED;
	size_t n = sealed.n - BOX_OVERHEAD;
	CLEANUP(freep) uint8_t *json = malloc(n ? n : 1);

	if (!json)
		return ERR_NOMEM;
	TRY(box_open(&c->shared, sealed, json));
	TRY(derp_parse_server_info_json(bytes_of(json, n), out));
	c->state = DERP_CLIENT_AT_OPEN;
	box_shared_wipe(&c->shared);
	return OK;
}

static err answer_ping(struct derp_client *c, struct bytes payload)
{
	uint8_t frame[DERP_SHORT_MAX];
	struct writer w = wr_init(frame, sizeof frame);
	struct derp_ping p;

	if (derp_parse_ping(payload, &p) != OK)
		return OK; /* a short one is skipped, as the official client does */
	derp_write_ping(&w, DERP_PONG, &p);
	return queue(c, &w);
}

/* OK: *ev, or with *is_event false the frame was dealt with. */
static err on_frame(struct derp_client *c, const struct derp_frame *f, struct derp_client_event *ev, bool *is_event)
{
	struct derp_client_event e = { 0 };
	err bad = OK;

	*is_event = false;
	if (c->state == DERP_CLIENT_AT_KEY) {
		if (f->type != DERP_SERVER_KEY)
			return ERR_MALFORMED;
		TRY(derp_parse_server_key(f->payload, &c->server_key));
		c->state = DERP_CLIENT_AT_INFO;
		return queue_client_info(c);
	}
	switch (f->type) {
	case DERP_SERVER_INFO:
		if (c->state != DERP_CLIENT_AT_INFO)
			return OK;
		TRY(on_server_info(c, f->payload, &e.server_info));
		e.kind = DERP_CLIENT_CONNECTED;
		break;
	case DERP_RECV_PACKET:
		bad = derp_parse_packet(f->payload, &e.packet);
		e.kind = DERP_CLIENT_PACKET;
		break;
	case DERP_KEEP_ALIVE:
		e.kind = DERP_CLIENT_KEEP_ALIVE;
		break;
	case DERP_PEER_GONE:
		bad = derp_parse_peer_gone(f->payload, &e.gone);
		e.kind = DERP_CLIENT_PEER_GONE;
		break;
	case DERP_PEER_PRESENT:
		bad = derp_parse_peer_present(f->payload, &e.present);
		e.kind = DERP_CLIENT_PEER_PRESENT;
		break;
	case DERP_PING:
		return answer_ping(c, f->payload);
	case DERP_PONG:
		bad = derp_parse_ping(f->payload, &e.pong);
		e.kind = DERP_CLIENT_PONG;
		break;
	case DERP_HEALTH:
		e.health = f->payload;
		e.kind = DERP_CLIENT_HEALTH;
		break;
	case DERP_RESTARTING:
		bad = derp_parse_restarting(f->payload, &e.restarting);
		e.kind = DERP_CLIENT_RESTARTING;
		break;
	default: /* ServerKey again after a fast start, or of the future */
		return OK;
	}
	if (bad != OK)
		return OK;
	*ev = e;
	*is_event = true;
	return OK;
}

err derp_client_next(struct derp_client *c, struct derp_client_event *ev)
{
	bool is_event = false;

	if (c->state == DERP_CLIENT_AT_HTTP)
		TRY(read_head(c));
	while (!is_event) {
		struct derp_frame f;

		buf_consume(&c->in, c->used);
		c->used = 0;
		TRY(derp_parse_frame(buf_view(&c->in), derp_client_check, &f));
		c->used = f.len;
		TRY(on_frame(c, &f, ev, &is_event));
	}
	return OK;
}
