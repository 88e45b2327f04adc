/* sim_node: a simulated official node on an event loop: one socket, TLS or none, and ts2021 over it. For benches and
 * simulations: one thread drives thousands.
 *
 * It does what it is told and says what happened; what a node does next is the owner's. Callbacks may call anything here,
 * sim_node_free excepted. Bytes are read and stamped first and understood at the end of the loop's turn, so that the
 * arrival of a message is that of its bytes, however many others came with it. */
#pragma once

#include "common/crypto/keys.h"
#include "common/http/ts2021_client.h"
#include "common/net/addr.h"
#include "common/net/loop.h"
#include "common/net/tls.h"
#include "common/wire/map_reader.h"

enum sim_request { SIM_REGISTER = 1, SIM_LITE, SIM_POLL };

enum {
	SIM_ANSWER_MAX = 64 * 1024,
	SIM_MAP_MAX = 64 << 20,
	SIM_RAW_MAX = 4 << 20, /* bytes off the socket in one turn */
	SIM_WHY_MAX = 256,
};

struct sim_node;

struct sim_events {
	void (*on_open)(struct sim_node *n); /* the Noise handshake is done: requests may be made */
	/* A request but the poll is over. status 0: it never was answered. */
	void (*on_answer)(struct sim_node *n, enum sim_request what, unsigned status, struct bytes body);
	/* A message of the map stream, keepalives too; json is borrowed. */
	void (*on_map)(struct sim_node *n, struct bytes json, int64_t arrived_us);
	/* The connection, or the poll (then the connection is closed with it), is over; not after sim_node_close. */
	void (*on_lost)(struct sim_node *n, const char *why);
};

/* What all nodes share. Filled by sim_net_init; the rest may be changed before nodes connect. */
struct sim_net {
	struct loop *loop;
	struct tls_ctx *tls; /* owned; NULL: plain */
	struct addrport server;
	char host[TS2021_CLIENT_HOST_MAX]; /* "name:port" */
	char name[TS2021_CLIENT_HOST_MAX]; /* without port */
	struct machine_pub server_key;
	char *const *auth_key; /* given to the nodes in turn; borrowed */
	unsigned n_auth_keys;  /* 0: interactive logins */
	unsigned version;     /* capability version */
	unsigned sources;     /* spread over so many addresses 127.0.x.y; 0: leave it to the system */
	unsigned home_derp;   /* region that nodes call home */
	struct ZSTD_DCtx_s *decoder;
	const struct sim_events *events;
	uint64_t bytes_in;
};

/* url: "http://127.0.0.1:8080" or "https://…"; the host is an address or localhost. Asks for /key, blocking. why: one
 * sentence. sim_net_done also after an error. */
MUST_USE err sim_net_init(struct sim_net *net, struct loop *l, const char *url, const struct sim_events *events, char *why,
	size_t why_cap);
void sim_net_done(struct sim_net *net);

struct sim_node {
	struct sim_net *net;
	unsigned index;
	void *user;
	struct machine_key machine;
	struct node_key node;
	struct disco_key disco;
	bool open;    /* requests may be made */
	bool polling; /* a map stream is open */
	/* The rest is sim_node.c's. */
	enum { SIM_IDLE, SIM_CONNECTING, SIM_TLS, SIM_RUNNING } state;
	int fd;
	struct tls *tls;
	struct loop_io *io;
	struct ts2021_client c;
	struct map_reader maps;
	struct buf raw;
	int64_t raw_us; /* when the first byte of raw came */
	struct buf answer;
	unsigned poll_status;
	struct loop_post turn;
	bool turn_queued, in_turn, wants_close, tls_wants_write, more;
	char lost[SIM_WHY_MAX]; /* why the connection is over; "" = it is not */
};

/* Fresh keys. */
void sim_node_init(struct sim_node *n, struct sim_net *net, unsigned index);
/* What it holds; not n itself, which must live until loop_free. Outside of callbacks. */
void sim_node_free(struct sim_node *n);

MUST_USE err sim_node_connect(struct sim_node *n);
void sim_node_close(struct sim_node *n);
/* ERR_STATE: not open. */
MUST_USE err sim_node_register(struct sim_node *n);
/* A lite update with this endpoint ("10.1.2.3:41641"). */
MUST_USE err sim_node_lite(struct sim_node *n, const char *endpoint);
MUST_USE err sim_node_poll(struct sim_node *n);
/* The name that peers see: "swarm-000007". */
const char *sim_node_name(const struct sim_node *n, char out[32]);
