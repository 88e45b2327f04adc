#include "common/http/websocket.h"

#include <stdlib.h>
#include <wslay/wslay.h>

#include "common/base/cleanup.h"
#include "common/base/random.h"

enum { READ_SLICE = 4096 }; /* bounds how many pongs wait at a time */

struct websocket {
	wslay_event_context_ptr ws;
	struct bytes in;	/* during websocket_read: what is left */
	struct buf *data, *out; /* during a call */
	bool in_binary;		/* the frame that arrives is part of a binary message */
	bool violated;
};

static ssize_t on_recv(wslay_event_context_ptr ws, uint8_t *p, size_t cap, int flags, void *user)
{
	struct websocket *w = user;
	struct bytes part = bytes_first(w->in, cap);

	(void)flags;
	if (part.n == 0) {
		wslay_event_set_error(ws, WSLAY_ERR_WOULDBLOCK);
		return -1;
	}
	memcpy(p, part.p, part.n);
	w->in = bytes_skip(w->in, part.n);
	return (ssize_t)part.n;
}

static ssize_t on_send(wslay_event_context_ptr ws, const uint8_t *p, size_t n, int flags, void *user)
{
	struct websocket *w = user;

	(void)flags;
	buf_append(w->out, bytes_of(p, n));
	if (w->out->bad) {
		wslay_event_set_error(ws, WSLAY_ERR_CALLBACK_FAILURE);
		return -1;
	}
	return (ssize_t)n;
}

static int on_mask(wslay_event_context_ptr ws, uint8_t *p, size_t n, void *user)
{
	(void)ws;
	(void)user;
	random_fill(p, n);
	return 0;
}

static void on_frame_start(wslay_event_context_ptr ws, const struct wslay_event_on_frame_recv_start_arg *f, void *user)
{
	struct websocket *w = user;

	w->in_binary = f->opcode == WSLAY_BINARY_FRAME || f->opcode == WSLAY_CONTINUATION_FRAME;
	if (f->opcode == WSLAY_TEXT_FRAME && !w->violated) {
		w->violated = true;
		wslay_event_queue_close(ws, WSLAY_CODE_UNSUPPORTED_DATA, NULL, 0);
	}
}

static void on_frame_chunk(wslay_event_context_ptr ws, const struct wslay_event_on_frame_recv_chunk_arg *c, void *user)
{
	struct websocket *w = user;

	(void)ws;
	if (w->in_binary && !w->violated)
		buf_append(w->data, bytes_of(c->data, c->data_length));
}

static void websocket_freep(struct websocket **w)
{
	websocket_free(*w);
}

err websocket_new(bool client, struct websocket **out)
{
	static const struct wslay_event_callbacks callbacks = {
		.recv_callback = on_recv,
		.send_callback = on_send,
		.genmask_callback = on_mask,
		.on_frame_recv_start_callback = on_frame_start,
		.on_frame_recv_chunk_callback = on_frame_chunk,
	};
	CLEANUP(websocket_freep) struct websocket *w = calloc(1, sizeof *w);

	if (!w)
		return ERR_NOMEM;
	if ((client ? wslay_event_context_client_init(&w->ws, &callbacks, w) :
		      wslay_event_context_server_init(&w->ws, &callbacks, w)) != 0)
		return ERR_NOMEM;
	wslay_event_config_set_no_buffering(w->ws, 1); /* payload goes to data as it comes */
	wslay_event_config_set_max_recv_msg_length(w->ws, WEBSOCKET_RECEIVE_MAX);
	*out = MOVE(w);
	return OK;
}

void websocket_free(struct websocket *w)
{
	if (!w)
		return;
	if (w->ws)
		wslay_event_context_free(w->ws);
	free(w);
}

static err flush(struct websocket *w, struct buf *out)
{
	w->out = out;
	int e = wslay_event_send(w->ws);
	w->out = NULL;
	if (out->bad)
		return ERR_TOO_BIG;
	return e == 0 ? OK : e == WSLAY_ERR_NOMEM ? ERR_NOMEM : ERR_MALFORMED;
}

err websocket_read(struct websocket *w, struct bytes in, struct buf *data, struct buf *out)
{
	err e = OK;

	while (in.n && e == OK) {
		int r;

		w->in = bytes_first(in, READ_SLICE);
		w->data = data;
		in = bytes_skip(in, w->in.n);
		r = wslay_event_recv(w->ws);
		w->data = NULL;
		if (data->bad)
			return ERR_TOO_BIG;
		if (r == WSLAY_ERR_NOMEM)
			return ERR_NOMEM;
		if (r != 0) /* a frame that cannot be read; wslay has queued a close without a code */
			w->violated = true;
		e = flush(w, out);
		if (e != OK)
			return e;
		if (wslay_event_get_close_received(w->ws) && !w->violated)
			e = ERR_CLOSED;
		else if (w->violated || !wslay_event_get_read_enabled(w->ws))
			e = ERR_MALFORMED;
	}
	return e;
}

err websocket_send(struct websocket *w, struct bytes data, struct buf *out)
{
	if (!wslay_event_get_write_enabled(w->ws) || wslay_event_get_close_sent(w->ws))
		return ERR_CLOSED;
	while (data.n) {
		struct bytes part = bytes_first(data, WEBSOCKET_SEND_MAX);
		const struct wslay_event_msg m = { .opcode = WSLAY_BINARY_FRAME, .msg = part.p, .msg_length = part.n };
		int e = wslay_event_queue_msg(w->ws, &m);

		if (e != 0)
			return e == WSLAY_ERR_NOMEM ? ERR_NOMEM : ERR_CLOSED;
		TRY(flush(w, out));
		data = bytes_skip(data, part.n);
	}
	return OK;
}

err websocket_ping(struct websocket *w, struct buf *out)
{
	const struct wslay_event_msg m = { .opcode = WSLAY_PING };

	if (wslay_event_queue_msg(w->ws, &m) != 0)
		return ERR_CLOSED;
	return flush(w, out);
}

err websocket_close(struct websocket *w, unsigned code, struct buf *out)
{
	int e = wslay_event_queue_close(w->ws, (uint16_t)code, NULL, 0);

	if (e == WSLAY_ERR_NOMEM)
		return ERR_NOMEM;
	return e == 0 ? flush(w, out) : OK; /* said already */
}

unsigned websocket_close_code(const struct websocket *w)
{
	return wslay_event_get_close_received(w->ws) ? wslay_event_get_status_code_received(w->ws) : 0;
}
