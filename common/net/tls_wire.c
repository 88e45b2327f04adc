#include "common/net/tls_wire.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "common/base/buf.h"
#include "common/base/cleanup.h"

enum {
	IN_BYTES = 64 << 10, /* of one read, a record that was begun before included */
	OUT_RECORDS = 4,     /* of one write */
	OUT_BYTES = OUT_RECORDS * (TLS_RECORD_PLAIN_MAX + TLS_RECORD_OVERHEAD) + 64, /* and a KeyUpdate */
	READ_LEAST = 4 << 10,
	CLEAR_MAX = TLS_RECORD_PLAIN_MAX + 256, /* what opening a record may write */
};

struct tls_wire {
	int fd;
	struct tls_record *rec;
	struct buf raw;	  /* from the socket, sealed: mostly the beginning of a record */
	struct buf clear; /* opened, for a caller who had no room for a whole record */
	struct buf out;	  /* sealed, for the socket, which took only a part */
	size_t max_out;	  /* content of a record that we send */
	size_t covers;	  /* bytes of the caller's that out holds: it is told of them when out has gone */
	bool whole;	  /* raw may hold a whole record */
	bool dry;	  /* the last read got all that there was: the next one need not ask */
	bool eof, broken;
	const char *why;
};

static _Thread_local uint8_t in_area[IN_BYTES], out_area[OUT_BYTES];

static void freep_wire(struct tls_wire **w)
{
	tls_wire_free(*w);
}

err tls_wire_new(int fd, unsigned suite, const struct tls_secrets *s, size_t max_out, struct tls_wire **out)
{
	CLEANUP(freep_wire) struct tls_wire *w = calloc(1, sizeof *w);

	if (!w)
		return ERR_NOMEM;
	TRY(tls_record_new(suite, s, &w->rec));
	w->fd = fd;
	w->max_out = MIN_OF(max_out, (size_t)TLS_RECORD_PLAIN_MAX);
	w->why = "";
	w->raw = buf_make(IN_BYTES);
	w->clear = buf_make(CLEAR_MAX);
	w->out = buf_make(OUT_BYTES);
	*out = MOVE(w);
	return OK;
}

void tls_wire_free(struct tls_wire *w)
{
	if (!w)
		return;
	tls_record_free(w->rec);
	buf_done(&w->raw);
	buf_done(&w->clear);
	buf_done(&w->out);
	free(w);
}

static enum tls_io fail(struct tls_wire *w, const char *why)
{
	w->broken = true;
	w->why = why;
	return TLS_FAIL;
}

static enum tls_io from_errno(struct tls_wire *w, int e, enum tls_io again)
{
	if (e == EAGAIN || e == EINTR)
		return again;
	if (e == ECONNRESET || e == EPIPE) {
		w->broken = w->eof = true;
		return TLS_EOF;
	}
	return fail(w, strerrordesc_np(e));
}

/* One record that nobody waits for: sent now or never. */
static void say(struct tls_wire *w, enum tls_record_type type, struct bytes b)
{
	if (w->broken || buf_len(&w->out)) /* it would land inside another record */
		return;
	size_t n = tls_record_seal(w->rec, type, b, out_area);

	(void)!send(w->fd, out_area, n, MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* ---- in ---------------------------------------------------------------------------------------------------------- */

static enum tls_io bad_record(struct tls_wire *w)
{
	const uint8_t alert[] = { 2, (uint8_t)tls_record_alert(w->rec) };

	if (alert[1] != TLS_ALERT_CLOSE_NOTIFY) /* else it was the peer that complained */
		say(w, TLS_RECORD_ALERT, bytes_of(alert, sizeof alert));
	return fail(w, tls_record_why(w->rec));
}

static size_t give(struct buf *from, uint8_t *p, size_t cap)
{
	struct bytes v = bytes_first(buf_view(from), cap);

	memcpy(p, v.p, v.n);
	buf_consume(from, v.n);
	buf_release(from);
	return v.n;
}

/* Opens what is whole of raw into p, as many records as fit; *at says how far it came. A failure after some data is told by
 * the next call, as the record says it again. */
static enum tls_io open_records(struct tls_wire *w, struct bytes raw, uint8_t *p, size_t cap, size_t *at, size_t *n)
{
	*n = 0;
	w->whole = false;
	for (;;) {
		size_t used = 0, got = 0;
		uint8_t *room;

		switch (tls_record_open(w->rec, bytes_skip(raw, *at), p + *n, cap - *n, &used, &got)) {
		case TLS_RECORD_GOT:
			*at += used;
			*n += got;
			continue;
		case TLS_RECORD_NONE:
			*at += used;
			continue;
		case TLS_RECORD_MORE:
			return *n ? TLS_OK : TLS_WANT_READ;
		case TLS_RECORD_ROOM:
			if (*n) {
				w->whole = true;
				return TLS_OK;
			}
			room = buf_reserve(&w->clear, CLEAR_MAX);
			if (!room)
				return fail(w, "out of memory");
			switch (tls_record_open(w->rec, bytes_skip(raw, *at), room, CLEAR_MAX, &used, &got)) {
			case TLS_RECORD_GOT:
				buf_commit(&w->clear, got);
				*n = give(&w->clear, p, cap);
				break;
			case TLS_RECORD_NONE:
				buf_release(&w->clear);
				break;
			case TLS_RECORD_END:
				w->eof = true;
				return TLS_EOF;
			case TLS_RECORD_MORE:
			case TLS_RECORD_ROOM:
			case TLS_RECORD_BAD:
				return bad_record(w);
			}
			*at += used;
			w->whole = true;
			if (*n)
				return TLS_OK;
			continue;
		case TLS_RECORD_END:
			w->eof = true;
			return *n ? TLS_OK : TLS_EOF;
		case TLS_RECORD_BAD:
			w->whole = true;
			return *n ? TLS_OK : bad_record(w);
		}
	}
}

/* Keeps what is left of the area. */
static enum tls_io keep(struct tls_wire *w, struct bytes rest, enum tls_io io)
{
	if (w->eof || w->broken)
		return io;
	buf_append(&w->raw, rest);
	return w->raw.bad ? fail(w, "out of memory") : io;
}

enum tls_io tls_wire_read(struct tls_wire *w, void *p, size_t cap, size_t *n)
{
	size_t had, at = 0;
	ssize_t got = 0;

	if (!cap)
		return *n = 0, TLS_OK;
	if (buf_len(&w->clear))
		return *n = give(&w->clear, p, cap), TLS_OK;
	if (w->broken && !w->eof)
		return TLS_FAIL;
	if (w->eof)
		return TLS_EOF;
	if (w->dry && !w->whole) {
		w->dry = false;
		return TLS_WANT_READ;
	}
	for (;;) {
		had = buf_len(&w->raw);
		if (had) {
			memcpy(in_area, buf_view(&w->raw).p, had);
			buf_clear(&w->raw);
			buf_release(&w->raw);
		}
		if (!w->whole) {
			/* As much sealed as there is room for opened, so that little is left over. */
			size_t ask = MIN_OF(sizeof in_area - had, MAX_OF(cap, (size_t)READ_LEAST));

			got = recv(w->fd, in_area + had, ask, 0);
			if (got <= 0) {
				enum tls_io io = got == 0 ? TLS_EOF : from_errno(w, errno, TLS_WANT_READ);

				w->eof |= got == 0;
				return keep(w, bytes_of(in_area, had), io);
			}
			w->dry = (size_t)got < ask;
			had += (size_t)got;
		}
		at = 0;
		enum tls_io io = open_records(w, bytes_of(in_area, had), p, cap, &at, n);

		io = keep(w, bytes_skip(bytes_of(in_area, had), at), io);
		if (io != TLS_WANT_READ)
			return io;
		if (w->dry) {
			w->dry = false;
			return TLS_WANT_READ;
		}
	}
}

/* ---- out --------------------------------------------------------------------------------------------------------- */

/* TLS_OK: out is empty. */
static enum tls_io flush(struct tls_wire *w)
{
	while (buf_len(&w->out)) {
		struct bytes v = buf_view(&w->out);
		ssize_t put = send(w->fd, v.p, v.n, MSG_NOSIGNAL);

		if (put < 0)
			return from_errno(w, errno, TLS_WANT_WRITE);
		buf_consume(&w->out, (size_t)put);
	}
	buf_release(&w->out);
	return TLS_OK;
}

enum tls_io tls_wire_write(struct tls_wire *w, struct bytes b, size_t *n)
{
	size_t at = 0, took = 0;

	if (w->broken)
		return w->why[0] ? TLS_FAIL : TLS_EOF;
	if (buf_len(&w->out)) {
		enum tls_io io = flush(w);

		if (io != TLS_OK)
			return io;
		*n = MIN_OF(w->covers, b.n);
		w->covers = 0;
		return TLS_OK;
	}
	if (tls_record_owes_update(w->rec)) {
		at = tls_record_update(w->rec, out_area);
		if (!at)
			return fail(w, "cannot seal");
	}
	for (unsigned i = 0; i < OUT_RECORDS && took < b.n; i++) {
		struct bytes piece = bytes_first(bytes_skip(b, took), w->max_out);
		size_t k = tls_record_seal(w->rec, TLS_RECORD_DATA, piece, out_area + at);

		if (!k)
			return fail(w, "cannot seal");
		at += k;
		took += piece.n;
	}
	ssize_t put = send(w->fd, out_area, at, MSG_NOSIGNAL);

	if (put < 0) {
		enum tls_io io = from_errno(w, errno, TLS_WANT_WRITE);

		if (io != TLS_WANT_WRITE)
			return io;
		put = 0;
	}
	if ((size_t)put < at) { /* what is sealed must go as it is */
		buf_append(&w->out, bytes_skip(bytes_of(out_area, at), (size_t)put));
		w->covers = took;
		return w->out.bad ? fail(w, "out of memory") : TLS_WANT_WRITE;
	}
	*n = took;
	return TLS_OK;
}

size_t tls_wire_holds(const struct tls_wire *w)
{
	return buf_len(&w->raw) + buf_len(&w->clear) + buf_len(&w->out);
}

void tls_wire_end(struct tls_wire *w)
{
	const uint8_t alert[] = { 1, TLS_ALERT_CLOSE_NOTIFY };

	say(w, TLS_RECORD_ALERT, bytes_of(alert, sizeof alert));
	w->broken = true;
}

void tls_wire_warm(const struct tls_wire *w, unsigned step)
{
	const char *p = step ? (const char *)w->rec : (const char *)w;

	for (size_t i = 0; i < 3; i++)
		__builtin_prefetch(p + i * 64, 1);
}

const char *tls_wire_why(const struct tls_wire *w)
{
	return w->why;
}
