/* event: all that the core ever sees. core_apply(core, event, now) is deterministic: no I/O, no clock, and randomness
 * only from random_fill, which the simulation seeds. */
#pragma once

#include "common/wire/tailcfg.h"
#include "server/core/command.h"
#include "server/map/part.h"

struct map_sink;
struct job;

enum event_kind {
	EV_COMMAND, /* command, call */
	/* From nodes (server/ts2021). machine is authenticated by Noise; every NodeKey in a request is only a claim. */
	EV_REGISTER,	  /* reg, call -> http_status, body */
	EV_MAP_LITE,	  /* map, call -> http_status */
	EV_MAP_ONCE,	  /* map, sink: one full map, then the sink is ended */
	EV_MAP_STREAM,	  /* map, sink: full map, then deltas until the sink is ended or closed */
	EV_SINK_CLOSED,	  /* sink: its stream is gone; the core forgets it */
	EV_CALL_GONE,	  /* call: the follow-up that waits on it was cancelled; it is delivered (ERR_CLOSED) at once */
	EV_NODE_REQUEST,  /* path, body, call: every other /machine/ path; node key inside body */
	EV_AT_RELAY,	  /* node_key: this node is connected to our own relay */
	/* From the machinery. */
	EV_STORE_DURABLE, /* seq */
	EV_STORE_FAILED,  /* seq = what is durable, epoch = the new one */
	EV_TICK,	  /* time has come to core_deadline_ms */
	EV_JOB_DONE,	  /* job: a worker has run it */
	EV_FLUSH,	  /* send what changed: the machinery posts it after each burst when the wires can take a round */
};

struct event {
	struct event *next; /* mailbox */
	enum event_kind kind;
	struct arena arena; /* owns reg, map, path, body */
	struct command *command; /* owned */
	struct call *call;	 /* borrowed: lives until delivered */
	struct map_sink *sink;	 /* a reference, see map_sink_ref */
	struct job *job;	 /* borrowed: the core keeps all of them */
	struct machine_pub machine;
	struct node_pub node_key; /* EV_AT_RELAY */
	struct addr remote;
	struct tailcfg_register_request *reg;
	struct tailcfg_map_request *map;
	const char *method, *path;
	struct bytes body;
	uint64_t seq;
	uint32_t epoch;
};
struct event *event_new(enum event_kind kind); /* NULL when out of memory */
void event_free(struct event *e);	       /* releases its references */

/* One open map stream, seen from the core. The wire side (server/ts2021) embeds it in its own object, sets the upper
 * part, and provides send, end and refuse, which run on the release thread (never the core's) and only hand over.
 * The core uses the lower part; the wire must not touch it. */
struct map_sink {
	unsigned refs;	 /* atomic */
	unsigned wire;	 /* index of the wire thread, for multicast */
	bool zstd;	 /* Compress was "zstd" */
	void (*send)(struct map_sink *s, struct map_msg *m); /* m is borrowed: take a reference to keep it */
	/* The same for n sinks, all of which have this function; the references are taken, the array is the callee's to change.
	 * NULL: send, one by one. */
	void (*send_all)(struct map_sink **s, size_t n, struct map_msg *m);
	void (*end)(struct map_sink *s);		      /* end the response stream after what was sent */
	/* Instead of a stream: this status with a short text (401: the node key belongs to another machine). Nothing was sent
	 * before, and nothing follows. */
	void (*refuse)(struct map_sink *s, int http_status, const char *why);
	void (*destroy)(struct map_sink *s);		      /* last reference gone */

	bool known;	    /* set by the core before the first message: the stream is a registered node's */
	void *core_session; /* core's */
	size_t behind;	    /* atomic, the wire's: bytes of text that wait for the connection */
};
struct map_sink *map_sink_ref(struct map_sink *s);
void map_sink_unref(struct map_sink *s);
