/* session: one connection's DERP, seen from the relay: bytes in -> calls on its host, frames out -> bytes.
 *
 * No sockets, no clock, no table of peers: the owner moves bytes (session_feed, session_pull) and the host (relay.h)
 * decides what a client may do and where a packet goes. Specification: protocol/derp.md 4 to 6.
 *
 * Packets are not copied on their way through a thread: a SendPacket is rewritten in place into the RecvPacket that its
 * receiver gets, and the receiver's queue borrows it from the bytes that were fed. Before those bytes are reused, the
 * owner pulls what it can and calls session_settle, which copies what had to stay.
 *
 * The struct is open so that it lies inside the relay's client; its fields belong to session.c, but for those marked. */
#pragma once

#include "common/base/buf.h"
#include "common/crypto/box.h"
#include "common/crypto/keys.h"
#include "common/wire/derp_frame.h"

enum {
	SESSION_QUEUE_PACKETS = 128,	     /* of each kind; derper has 32, and no bound in bytes */
	SESSION_QUEUE_BYTES = 256 << 10,     /* of each kind */
	SESSION_PUSH_PACKETS = 96,	     /* from here on the owner should pull, without waiting for the turn's end */
	SESSION_PUSH_BYTES = 64 << 10,
	SESSION_CONTROL_BYTES = 16 << 10,    /* notices that wait for a slow reader; more are dropped */
	/* Of a mesh peer, which must not miss one: more closes it. FORWARDERS_KEYS_MAX keys of 56 bytes, and what comes meanwhile. */
	SESSION_WATCH_BYTES = 64 << 20,
	SESSION_HELD_BYTES = 512 << 10,	     /* what a client sent on while its admission is decided; more closes it */
	SESSION_HANDSHAKE_MS = 10000,	     /* from the start to the end of admission */
	SESSION_KEEPALIVE_MS = 60000,	     /* plus up to SESSION_KEEPALIVE_SPREAD_MS, fixed for a connection */
	SESSION_KEEPALIVE_SPREAD_MS = 5000,
};

/* One frame ready to go out. base NULL: p is borrowed from what was fed, until session_settle. */
struct session_packet {
	uint8_t *base; /* owned (free) */
	uint8_t *p;
	uint32_t n;
	bool disco;
};

enum session_drop {
	SESSION_DROP_QUEUE_HEAD, /* the oldest made room for a fresh one */
	SESSION_DROP_QUEUE_TAIL, /* no memory */
	SESSION_DROP_GONE,	 /* the connection ended with it in the queue */
};

struct session;

/* What a session asks of its relay. All calls come from within session_feed, session_enqueue or session_done. */
struct session_host {
	/* The client has proved its key (s->key, s->info): answer with session_admit or session_close, now or later. */
	void (*on_client)(struct session *s, int64_t now_ms);
	/* Any whole frame of an admitted client, before it is acted on. */
	void (*on_activity)(struct session *s);
	/* pkt is the RecvPacket for dst; taken. */
	void (*on_packet)(struct session *s, const struct node_pub *dst, struct session_packet pkt, int64_t now_ms);
	/* From a mesh peer (s->trusted): pkt is the RecvPacket for dst, from src; taken. */
	void (*on_forward)(struct session *s, const struct node_pub *src, const struct node_pub *dst, struct session_packet pkt,
		int64_t now_ms);
	void (*on_watch)(struct session *s);
	void (*on_close_peer)(struct session *s, const struct node_pub *key);
	void (*on_home)(struct session *s, bool home);
	void (*on_ping)(struct session *s);
	/* Output was queued, or the session has closed: pull and settle before the fed bytes go. Often called. */
	void (*on_output)(struct session *s);
	void (*on_drop)(struct session *s, enum session_drop why, const struct session_packet *pkt);
	/* Packets in queues, all sessions of a thread together: changes by this many bytes. */
	void (*on_queued)(struct session *s, int64_t bytes);
};

/* Rings of packets, handed from session to session so that an idle one owns none. One pool a thread. */
struct session_ring;
struct session_pool {
	struct session_ring *free;
	unsigned n_free;
};
void session_pool_done(struct session_pool *p);

enum session_state {
	SESSION_HELLO,	   /* ServerKey is out, ClientInfo awaited */
	SESSION_ADMISSION, /* the host decides; input is held */
	SESSION_OPEN,
	SESSION_CLOSED,
};

struct session {
	enum session_state state;	     /* public to read */
	const char *close_why;		     /* public to read, once closed: a static phrase */
	struct node_pub key;		     /* public to read, from on_client on */
	struct derp_client_info info;	     /* the same; the mesh key is wiped with the session */
	uint64_t packets_out;		     /* public to read */
	bool trusted;			     /* a mesh peer; set by the host in on_client */
	const struct session_host *host;
	const struct node_key *self; /* borrowed: the server's key */
	struct session_pool *pool;   /* borrowed */
	struct box_shared shared;    /* from ClientInfo to ServerInfo, then wiped */
	int64_t due_ms;
	int64_t drain_ms; /* close then; 0: not draining */
	uint32_t keepalive_ms;
	/* in */
	uint8_t head[DERP_HEADER_LEN];
	uint8_t head_n;
	uint32_t skip;		     /* bytes of a frame that nobody wants */
	uint8_t *partial;	     /* owned: a frame that came in pieces; its length is partial_len */
	uint32_t partial_len, partial_n;
	struct buf held;
	/* out */
	struct buf control;
	struct session_ring *disco, *bulk; /* NULL when empty */
	struct session_packet cur;	   /* partly out; p NULL when there is none */
	uint32_t cur_at;
	struct derp_ping pong;
	bool has_pong;
};

/* Queues ServerKey. jitter_ms below SESSION_KEEPALIVE_SPREAD_MS. All pointers are borrowed for the session's life. */
void session_init(struct session *s, const struct session_host *host, const struct node_key *self,
	struct session_pool *pool, uint32_t jitter_ms, int64_t now_ms);
void session_done(struct session *s);

/* Bytes from the client, any cut. They are changed in place, and borrowed by queues until session_settle of every
 * session of the thread. After a bad frame the session is closed. */
void session_feed(struct session *s, uint8_t *p, size_t n, int64_t now_ms);
/* False while it cannot use more bytes: stop reading. */
bool session_wants_input(const struct session *s);

/* In SESSION_ADMISSION: queues ServerInfo and goes on with what was held. Does nothing in another state. */
void session_admit(struct session *s, int64_t now_ms);
/* why is a static phrase for logs. The client is told nothing, as the protocol has no message for it. */
void session_close(struct session *s, const char *why);

/* A packet for this client; taken. Drops the oldest of its kind when the queue is full. */
void session_enqueue(struct session *s, struct session_packet pkt);
/* Notices. False: not an open session, or too many wait already. */
bool session_peer_gone(struct session *s, const struct node_pub *key, enum derp_gone reason);
bool session_health(struct session *s, struct bytes text);
/* To a mesh peer that watches; the session is closed when it does not read them. */
void session_watch(struct session *s); /* from now on */
void session_tell_came(struct session *s, const struct derp_peer_present *p);
void session_tell_left(struct session *s, const struct node_pub *key);
/* Tells the client to come back in in_ms, and closes the session then (official clients do not act on the frame). */
void session_drain(struct session *s, uint32_t in_ms, uint32_t try_for_ms, int64_t now_ms);

/* Moves the next output to dst: control frames, then disco, then bulk; whole frames while they fit, and a piece of one
 * that is larger than all of dst. cap is at least DERP_SHORT_MAX. Returns the bytes written; 0: nothing to send. */
size_t session_pull(struct session *s, uint8_t *dst, size_t cap);
uint32_t session_queued(const struct session *s); /* packets that wait */
/* A queue is about to drop: pull now if the socket takes more. */
bool session_is_pressed(const struct session *s);
bool session_has_output(const struct session *s);
/* Queued packets stop borrowing. */
void session_settle(struct session *s);

/* Keepalive and deadlines. Call it at session_due_ms or later. */
void session_tick(struct session *s, int64_t now_ms);
int64_t session_due_ms(const struct session *s);
