#include "common/wire/disco.h"

#include "common/base/reader.h"
#include "common/wire/ip16.h"

static const uint8_t magic[DISCO_MAGIC_LEN] = { 'T', 'S', 0xf0, 0x9f, 0x92, 0xac }; /* "TS" and U+1F4AC */

/* ---- envelope ------------------------------------------------------------------------------------------------- */

static bool has_magic(struct bytes packet)
{
	return bytes_has_prefix(packet, bytes_of(magic, sizeof magic));
}

bool disco_looks_like(struct bytes packet)
{
	return packet.n >= DISCO_ENVELOPE_LEN && has_magic(packet);
}

bool disco_looks_like_on_derp(struct bytes packet)
{
	return packet.n >= DISCO_ENVELOPE_LEN + BOX_NONCE_LEN && has_magic(packet);
}

err disco_parse_envelope(struct bytes packet, struct disco_envelope *out)
{
	struct reader r = rd_init(packet);
	struct disco_envelope e;

	if (packet.n < DISCO_OVERHEAD || !has_magic(packet))
		return ERR_MALFORMED;
	rd_take(&r, sizeof magic);
	rd_copy(&r, e.sender.b, sizeof e.sender.b);
	e.sealed = r.rest;
	*out = e;
	return OK;
}

void disco_write_envelope(struct writer *w, const struct disco_pub *sender)
{
	wr_bytes(w, bytes_of(magic, sizeof magic));
	wr_bytes(w, bytes_of(sender->b, sizeof sender->b));
}

/* ---- pieces of messages ---------------------------------------------------------------------------------------- */

static void wr_disco_pub(struct writer *w, const struct disco_pub *k)
{
	wr_bytes(w, bytes_of(k->b, sizeof k->b));
}

/* All that is left is addresses. */
static void rd_endpoints(struct reader *r, struct disco_endpoints *out)
{
	while (r->rest.n >= IP16_PORT_LEN && out->n < DISCO_ENDPOINTS_MAX)
		out->at[out->n++] = rd_ip16_port(r);
}

static void wr_endpoints(struct writer *w, const struct disco_endpoints *e)
{
	for (size_t i = 0; i < e->n && i < DISCO_ENDPOINTS_MAX; i++)
		wr_ip16_port(w, e->at[i]);
}

static void rd_bind(struct reader *r, struct disco_bind *b)
{
	b->vni = rd_u32be(r);
	b->generation = rd_u32be(r);
	rd_copy(r, b->remote.b, sizeof b->remote.b);
	rd_copy(r, b->challenge, sizeof b->challenge);
}

static void wr_bind(struct writer *w, const struct disco_bind *b)
{
	wr_u32be(w, b->vni);
	wr_u32be(w, b->generation);
	wr_disco_pub(w, &b->remote);
	wr_bytes(w, bytes_of(b->challenge, sizeof b->challenge));
}

/* A relay endpoint and its addresses: one at least, and whole ones only. */
static void rd_relay(struct reader *r, struct disco_relay *x, struct disco_endpoints *e)
{
	rd_copy(r, x->server.b, sizeof x->server.b);
	rd_copy(r, x->client[0].b, sizeof x->client[0].b);
	rd_copy(r, x->client[1].b, sizeof x->client[1].b);
	x->lamport_id = rd_u64be(r);
	x->vni = rd_u32be(r);
	x->bind_lifetime_ns = rd_u64be(r);
	x->steady_lifetime_ns = rd_u64be(r);
	if (r->rest.n == 0 || r->rest.n % IP16_PORT_LEN != 0)
		r->bad = true;
	else
		rd_endpoints(r, e);
}

static void wr_relay(struct writer *w, const struct disco_relay *x, const struct disco_endpoints *e)
{
	wr_disco_pub(w, &x->server);
	wr_disco_pub(w, &x->client[0]);
	wr_disco_pub(w, &x->client[1]);
	wr_u64be(w, x->lamport_id);
	wr_u32be(w, x->vni);
	wr_u64be(w, x->bind_lifetime_ns);
	wr_u64be(w, x->steady_lifetime_ns);
	if (e->n == 0)
		w->bad = true;
	wr_endpoints(w, e);
}

/* ---- messages -------------------------------------------------------------------------------------------------- */

static void rd_ping(struct reader *r, struct disco_ping *p)
{
	rd_copy(r, p->txid.b, sizeof p->txid.b);
	p->has_node_key = r->rest.n >= sizeof p->node_key.b;
	if (p->has_node_key)
		rd_copy(r, p->node_key.b, sizeof p->node_key.b);
	p->padding = r->rest.n;
}

static void wr_ping(struct writer *w, const struct disco_ping *p)
{
	wr_bytes(w, bytes_of(p->txid.b, sizeof p->txid.b));
	if (p->has_node_key)
		wr_bytes(w, bytes_of(p->node_key.b, sizeof p->node_key.b));
	uint8_t *pad = wr_room(w, p->padding);
	if (pad && p->padding)
		memset(pad, 0, p->padding);
}

err disco_parse_message(struct bytes plain, struct disco_message *out)
{
	struct reader r = rd_init(plain);
	struct disco_message m = { .type = rd_u8(&r) };

	m.version = rd_u8(&r);
	if (r.bad)
		return ERR_MALFORMED;
	if (m.type < DISCO_PING || m.type > DISCO_ALLOCATE_RESPONSE)
		return ERR_UNSUPPORTED;
	switch (m.type) {
	case DISCO_PING:
		rd_ping(&r, &m.ping);
		break;
	case DISCO_PONG:
		rd_copy(&r, m.pong.txid.b, sizeof m.pong.txid.b);
		m.pong.src = rd_ip16_port(&r);
		break;
	case DISCO_CALL_ME_MAYBE:
		/* A body that makes no sense means "no endpoints", not an error: disco/disco.go parseCallMeMaybe. */
		if (m.version == 0 && r.rest.n % IP16_PORT_LEN == 0)
			rd_endpoints(&r, &m.endpoints);
		break;
	case DISCO_BIND:
	case DISCO_BIND_CHALLENGE:
	case DISCO_BIND_ANSWER:
		rd_bind(&r, &m.bind);
		break;
	case DISCO_CALL_ME_MAYBE_VIA:
		rd_relay(&r, &m.relay, &m.endpoints);
		break;
	case DISCO_ALLOCATE_REQUEST:
		rd_copy(&r, m.allocate.client[0].b, sizeof m.allocate.client[0].b);
		rd_copy(&r, m.allocate.client[1].b, sizeof m.allocate.client[1].b);
		m.allocate.generation = rd_u32be(&r);
		break;
	case DISCO_ALLOCATE_RESPONSE:
		m.generation = rd_u32be(&r);
		rd_relay(&r, &m.relay, &m.endpoints);
		break;
	}
	if (r.bad)
		return ERR_MALFORMED;
	*out = m;
	return OK;
}

void disco_write_message(struct writer *w, const struct disco_message *m)
{
	wr_u8(w, (uint8_t)m->type);
	wr_u8(w, 0);
	switch (m->type) {
	case DISCO_PING:
		wr_ping(w, &m->ping);
		break;
	case DISCO_PONG:
		wr_bytes(w, bytes_of(m->pong.txid.b, sizeof m->pong.txid.b));
		wr_ip16_port(w, m->pong.src);
		break;
	case DISCO_CALL_ME_MAYBE:
		wr_endpoints(w, &m->endpoints);
		break;
	case DISCO_BIND:
	case DISCO_BIND_CHALLENGE:
	case DISCO_BIND_ANSWER:
		wr_bind(w, &m->bind);
		break;
	case DISCO_CALL_ME_MAYBE_VIA:
		wr_relay(w, &m->relay, &m->endpoints);
		break;
	case DISCO_ALLOCATE_REQUEST:
		wr_disco_pub(w, &m->allocate.client[0]);
		wr_disco_pub(w, &m->allocate.client[1]);
		wr_u32be(w, m->allocate.generation);
		break;
	case DISCO_ALLOCATE_RESPONSE:
		wr_u32be(w, m->generation);
		wr_relay(w, &m->relay, &m->endpoints);
		break;
	}
}
