#include "client/wg/message.h"

#include <assert.h>

#include "common/base/reader.h"
#include "common/base/writer.h"

_Static_assert(WG_INITIATION_LEN == 4 + 4 + 32 + 48 + 28 + 2 * WG_MAC_LEN, "initiation");
_Static_assert(WG_RESPONSE_LEN == 4 + 4 + 4 + 32 + 16 + 2 * WG_MAC_LEN, "response");
_Static_assert(WG_COOKIE_REPLY_LEN == 4 + 4 + 24 + 32, "cookie reply");

err wg_message_type(struct bytes in, enum wg_type *out)
{
	struct reader r = rd_init(in);
	uint32_t type = rd_u32le(&r); /* so that the reserved bytes count */

	if (r.bad)
		return ERR_MALFORMED;
	bool ok = (type == WG_INITIATION && in.n == WG_INITIATION_LEN) ||
		  (type == WG_RESPONSE && in.n == WG_RESPONSE_LEN) ||
		  (type == WG_COOKIE_REPLY && in.n == WG_COOKIE_REPLY_LEN) ||
		  (type == WG_TRANSPORT && in.n >= WG_OVERHEAD);
	if (!ok)
		return ERR_MALFORMED;
	*out = (enum wg_type)type;
	return OK;
}

/* The reader behind the type, which must be this one. Bad otherwise. */
static struct reader after_type(struct bytes in, enum wg_type want)
{
	enum wg_type type;
	struct reader r = rd_init(in);

	if (wg_message_type(in, &type) != OK || type != want)
		r.bad = true;
	rd_take(&r, 4);
	return r;
}

static struct writer begin(enum wg_type type, uint8_t *out, size_t n)
{
	struct writer w = wr_init(out, n);

	wr_u32le(&w, type);
	return w;
}

static void end_with_zeros(struct writer *w)
{
	uint8_t *at;

	assert(!w->bad);
	if (w->n < w->cap && (at = wr_room(w, w->cap - w->n)))
		memset(at, 0, (size_t)(w->p + w->cap - at));
}

err wg_parse_initiation(struct bytes in, struct wg_initiation *out)
{
	struct reader r = after_type(in, WG_INITIATION);
	struct wg_initiation m;

	m.sender = rd_u32le(&r);
	rd_copy(&r, m.ephemeral, sizeof m.ephemeral);
	rd_copy(&r, m.sealed_static, sizeof m.sealed_static);
	rd_copy(&r, m.sealed_timestamp, sizeof m.sealed_timestamp);
	if (r.bad)
		return ERR_MALFORMED;
	*out = m;
	return OK;
}

void wg_write_initiation(const struct wg_initiation *m, uint8_t out[WG_INITIATION_LEN])
{
	struct writer w = begin(WG_INITIATION, out, WG_INITIATION_LEN);

	wr_u32le(&w, m->sender);
	wr_bytes(&w, bytes_of(m->ephemeral, sizeof m->ephemeral));
	wr_bytes(&w, bytes_of(m->sealed_static, sizeof m->sealed_static));
	wr_bytes(&w, bytes_of(m->sealed_timestamp, sizeof m->sealed_timestamp));
	end_with_zeros(&w);
}

err wg_parse_response(struct bytes in, struct wg_response *out)
{
	struct reader r = after_type(in, WG_RESPONSE);
	struct wg_response m;

	m.sender = rd_u32le(&r);
	m.receiver = rd_u32le(&r);
	rd_copy(&r, m.ephemeral, sizeof m.ephemeral);
	rd_copy(&r, m.sealed_nothing, sizeof m.sealed_nothing);
	if (r.bad)
		return ERR_MALFORMED;
	*out = m;
	return OK;
}

void wg_write_response(const struct wg_response *m, uint8_t out[WG_RESPONSE_LEN])
{
	struct writer w = begin(WG_RESPONSE, out, WG_RESPONSE_LEN);

	wr_u32le(&w, m->sender);
	wr_u32le(&w, m->receiver);
	wr_bytes(&w, bytes_of(m->ephemeral, sizeof m->ephemeral));
	wr_bytes(&w, bytes_of(m->sealed_nothing, sizeof m->sealed_nothing));
	end_with_zeros(&w);
}

err wg_parse_cookie_reply(struct bytes in, struct wg_cookie_reply *out)
{
	struct reader r = after_type(in, WG_COOKIE_REPLY);
	struct wg_cookie_reply m;

	m.receiver = rd_u32le(&r);
	rd_copy(&r, m.nonce, sizeof m.nonce);
	rd_copy(&r, m.sealed_cookie, sizeof m.sealed_cookie);
	if (!rd_done(&r))
		return ERR_MALFORMED;
	*out = m;
	return OK;
}

void wg_write_cookie_reply(const struct wg_cookie_reply *m, uint8_t out[WG_COOKIE_REPLY_LEN])
{
	struct writer w = begin(WG_COOKIE_REPLY, out, WG_COOKIE_REPLY_LEN);

	wr_u32le(&w, m->receiver);
	wr_bytes(&w, bytes_of(m->nonce, sizeof m->nonce));
	wr_bytes(&w, bytes_of(m->sealed_cookie, sizeof m->sealed_cookie));
	assert(!w.bad && w.n == WG_COOKIE_REPLY_LEN);
}

err wg_parse_transport(struct bytes in, struct wg_transport *out)
{
	struct reader r = after_type(in, WG_TRANSPORT);
	struct wg_transport m;

	m.receiver = rd_u32le(&r);
	m.counter = rd_u64le(&r);
	m.sealed = r.rest;
	if (r.bad)
		return ERR_MALFORMED;
	*out = m;
	return OK;
}

void wg_write_transport(uint32_t receiver, uint64_t counter, uint8_t out[WG_HEADER_LEN])
{
	struct writer w = begin(WG_TRANSPORT, out, WG_HEADER_LEN);

	wr_u32le(&w, receiver);
	wr_u64le(&w, counter);
	assert(!w.bad);
}

struct wg_macs wg_message_macs(struct bytes m)
{
	assert(m.n == WG_INITIATION_LEN || m.n == WG_RESPONSE_LEN);
	struct bytes under1 = bytes_first(m, m.n - 2 * WG_MAC_LEN), under2 = bytes_first(m, m.n - WG_MAC_LEN);

	return (struct wg_macs){
		.under_mac1 = under1,
		.mac1 = bytes_skip(under2, under1.n),
		.under_mac2 = under2,
		.mac2 = bytes_skip(m, under2.n),
	};
}

uint32_t wg_message_sender(struct bytes m)
{
	struct reader r = rd_init(bytes_skip(m, 4));

	return rd_u32le(&r);
}
