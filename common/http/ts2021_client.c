#include "common/http/ts2021_client.h"

#include <stdio.h>

#include "common/base/cleanup.h"
#include "common/crypto/noise_record.h"
#include "common/http/upgrade.h"
#include "common/wire/ts2021.h"

enum {
	IN_MAX = HTTP1_HEAD_MAX + 4 * TS2021_FRAME_MAX, /* more is fed in pieces */
	OUT_BATCH = 16 * 1024,                          /* plaintext asked of HTTP/2 at a time */
	PLAIN_MAX = OUT_BATCH + HTTP2_WRITE_OVERSHOOT,
};

static err fail(struct ts2021_client *c, err e, const char *why)
{
	snprintf(c->why, sizeof c->why, "%s", why);
	return e;
}

/* The server's words, printable. */
static err fail_with(struct ts2021_client *c, err e, const char *what, struct bytes text)
{
	size_t n = MIN_OF(text.n, (size_t)120);

	snprintf(c->why, sizeof c->why, "%s%.*s", what, (int)n, (const char *)text.p);
	for (char *p = c->why; *p; p++)
		if ((unsigned char)*p < ' ' || (unsigned char)*p > '~')
			*p = '?';
	return e;
}

err ts2021_client_init(
	struct ts2021_client *c, const struct ts2021_client_opts *o, const struct http2_events *events, void *ctx)
{
	uint8_t noise[NOISE_INITIATION_LEN], frame[TS2021_INITIATION_LEN];
	struct writer w = wr_init(frame, sizeof frame);

	*c = (struct ts2021_client){
		.out = buf_make(TS2021_CLIENT_OUT_MAX),
		.in = buf_make(IN_MAX),
		.early = buf_make(TS2021_EARLY_HEADER_LEN + TS2021_EARLY_MAX),
		.events = events,
		.ctx = ctx,
		.window = o->window,
	};
	TRY(noise_initiator_start(&c->hello, o->version, o->machine, o->server, noise));
	ts2021_write_initiation(&w, o->version, bytes_of(noise, sizeof noise));
	upgrade_write_ts2021_request(&c->out, o->host, wr_view(&w));
	if (w.bad || c->out.bad) {
		ts2021_client_done(c);
		return ERR_NOMEM;
	}
	return OK;
}

void ts2021_client_done(struct ts2021_client *c)
{
	http2_free(MOVE(c->h2));
	noise_initiator_wipe(&c->hello);
	noise_transport_wipe(&c->noise);
	buf_done(&c->out);
	buf_done(&c->in);
	buf_done(&c->early);
}

/* ---- in ------------------------------------------------------------------------------------------------------------
 */

static err read_http(struct ts2021_client *c)
{
	struct http1_response r;
	err e = http1_parse_response(buf_view(&c->in), false, &r);

	if (e == ERR_TRUNCATED)
		return e;
	if (e != OK)
		return fail(c, ERR_MALFORMED, "the answer to the upgrade is no HTTP");
	if (!upgrade_is_accepted(&r, "tailscale-control-protocol", NULL)) {
		snprintf(c->why, sizeof c->why, "HTTP status %u instead of an upgrade", r.status);
		return ERR_DENIED;
	}
	buf_consume(&c->in, r.head_len);
	c->state = TS2021_CLIENT_AT_RESPONSE;
	return OK;
}

static err read_response(struct ts2021_client *c)
{
	CLEANUP(noise_session_wipe) struct noise_session s;
	struct http2_opts o = { .client = true, .window = c->window };
	struct ts2021_frame f;
	err e = ts2021_parse_answer(buf_view(&c->in), &f);

	if (e == ERR_TRUNCATED)
		return e;
	if (e != OK)
		return fail(c, e, "the answer to the handshake is none");
	if (f.type == TS2021_ERROR)
		return fail_with(c, ERR_DENIED, "server error: ", f.body);
	if (noise_initiator_finish(&c->hello, f.body, &s) != OK)
		return fail(c, ERR_AUTH, "the server does not have the key that it published");
	c->noise = s.transport;
	noise_initiator_wipe(&c->hello);
	buf_consume(&c->in, f.len);
	TRY(http2_new(&o, c->events, c->ctx, &c->h2));
	c->state = TS2021_CLIENT_AT_EARLY;
	return OK;
}

static err to_http2(struct ts2021_client *c, struct bytes plain, int64_t now)
{
	err e = plain.n ? http2_read(c->h2, plain, now) : OK;

	return e == OK ? OK : fail(c, e, "bad HTTP/2");
}

/* The first bytes of the plaintext, which may be an early payload: it is skipped, nobody uses its challenge. */
static err to_early(struct ts2021_client *c, struct bytes plain, int64_t now)
{
	struct bytes json;
	size_t used = 0;

	buf_append(&c->early, plain);
	if (c->early.bad)
		return fail(c, ERR_NOMEM, "out of memory");
	err e = ts2021_parse_early(buf_view(&c->early), &json, &used);
	if (e == ERR_TRUNCATED)
		return OK;
	if (e != OK && e != ERR_NOT_FOUND)
		return fail(c, e, "bad early payload");
	c->state = TS2021_CLIENT_AT_HTTP2;
	TRY(to_http2(c, bytes_skip(buf_view(&c->early), used), now));
	buf_done(&c->early);
	return OK;
}

static err read_record(struct ts2021_client *c, int64_t now)
{
	struct bytes plain;
	size_t used;
	err e = noise_record_open(&c->noise, &c->in, &plain, &used);

	if (e == ERR_TRUNCATED)
		return e;
	if (e != OK)
		return fail(c, e, "a record that the server cannot have sent");
	TRY(c->state == TS2021_CLIENT_AT_EARLY ? to_early(c, plain, now) : to_http2(c, plain, now));
	buf_consume(&c->in, used);
	return OK;
}

static err step(struct ts2021_client *c, int64_t now)
{
	switch (c->state) {
	case TS2021_CLIENT_AT_HTTP:
		return read_http(c);
	case TS2021_CLIENT_AT_RESPONSE:
		return read_response(c);
	case TS2021_CLIENT_AT_EARLY:
	case TS2021_CLIENT_AT_HTTP2:
		return read_record(c, now);
	}
	return ERR_STATE;
}

err ts2021_client_feed(struct ts2021_client *c, struct bytes in, int64_t now_mono_ms)
{
	while (in.n) {
		size_t n = MIN_OF(in.n, c->in.max - buf_len(&c->in));
		err e = OK;

		if (n == 0)
			return fail(c, ERR_TOO_BIG, "a head without end");
		buf_append(&c->in, bytes_first(in, n));
		if (c->in.bad)
			return fail(c, ERR_NOMEM, "out of memory");
		in = bytes_skip(in, n);
		while (e == OK && buf_len(&c->in))
			e = step(c, now_mono_ms);
		if (e != OK && e != ERR_TRUNCATED)
			return e;
	}
	buf_release(&c->in);
	return OK;
}

/* ---- out -----------------------------------------------------------------------------------------------------------
 */

err ts2021_client_flush(struct ts2021_client *c)
{
	CLEANUP(buf_done) struct buf plain = buf_make(PLAIN_MAX);

	while (c->h2 && http2_wants_write(c->h2)) {
		buf_clear(&plain);
		if (http2_write(c->h2, &plain, OUT_BATCH) != OK)
			return fail(c, ERR_NOMEM, "out of memory");
		if (buf_len(&plain) == 0)
			break;
		TRY(noise_record_seal(&c->noise, buf_view(&plain), &c->out));
	}
	return OK;
}
