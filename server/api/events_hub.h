/* events_hub: the ring of events and the streams that read it, shared by events.c and events_console.c only. */
#pragma once

#include <pthread.h>

#include "server/api/events.h"

enum { FRAME_MAX = 256 << 10, REPLAY_BYTES_MAX = 32 << 20 };

struct frame {
	int64_t id, at_ms;
	char kind[16], action[16], target[96];
	bool quiet;	 /* only for the console: no record, and not told in full */
	struct buf text; /* "id: 7\nevent: node.update\ndata: {…}\n\n" */
};

struct stream {
	struct event_hub *hub;
	struct MHD_Connection *conn;
	struct stream *next;
	uint64_t at;	      /* number of the next frame in the ring's count */
	int64_t after;	      /* ids up to here were sent before */
	struct buf first;     /* what it missed, sent before the ring; of a console's stream: the frame at hand */
	size_t sent;	      /* of the frame at hand */
	int64_t alive_ms;     /* something was sent then */
	bool asleep;
	bool over;		   /* what it lives by has ended or changed */
	int64_t key, parent, user, signin; /* that it lives by; 0: none */
	int64_t expires_ms;	   /* wall clock; 0: never */
	/* A console's: */
	bool console;
	scope_set may;
	int64_t due_ms; /* mono: not before this, so that changes gather */
	bool held;	/* something waits for that */
};

struct event_hub {
	pthread_mutex_t lock; /* the rest */
	pthread_cond_t tick;
	struct frame ring[EVENTS_KEPT];
	uint64_t n; /* frames ever put; the newest is ring[(n - 1) % EVENTS_KEPT] */
	uint64_t boot; /* of this process: numbers of another one mean nothing here */
	struct stream *streams;
	size_t n_streams;
	bool closed;
	pthread_t thread;
	bool running;
};

/* ---- events_console.c: all holding the lock ---- */

/* Fills s->first with the changes that wait, merged. false: there are none that it may see. */
bool console_gather(struct stream *s, int64_t mono_ms);
/* Where a stream begins that has had all up to this ("" nothing: now). */
void console_start(struct stream *s, const char *after);
