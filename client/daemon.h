/* daemon: fairlead-client's long-running half. One loop owns everything here:
 *
 *	control/ (engine + link)  -- messages -->  netmap  -- changes -->  dataplane (wg, path, filter, dns, routes)
 *	   ^                                                                   |
 *	   `---------------- endpoints, home relay, netinfo -------------------'
 *	local.c: the unix socket on which `up`, `status` … ask; state.h: what is kept
 *
 * The netmap is written to dir/netmap.zst a while after it changed and used at the next start, before the server answers. */
#pragma once

#include "client/control/control.h"
#include "client/control/link.h"
#include "client/netmap.h"
#include "client/state.h"
#include "common/net/loop.h"

struct dataplane;
struct local;

enum {
	DAEMON_CACHE_SOON_MS = 1000,   /* a changed netmap is written this much later the first time of a run, */
	DAEMON_CACHE_MS = 3000,	       /* then this much, and a large one later, */
	DAEMON_CACHE_BYTES_MS = 20,    /* by so many bytes a millisecond, */
	DAEMON_CACHE_MAX_MS = 30 * 1000, /* up to this */
	DAEMON_CACHE_MAX = 16 << 20,   /* bytes of the file */
	DAEMON_REST_MS = 5000,	       /* after a start or a new map, and nothing since */
};

struct daemon_opts {
	const char *dir;    /* state folder */
	const char *socket; /* path of the unix socket */
	const char *tun;    /* interface name; "": no data plane at all (no privileges needed) */
	unsigned mtu;
	uint16_t port;	    /* UDP; 0: the one used last, or any */
};

struct daemon {
	struct loop *loop;
	struct daemon_opts opts;
	struct client_state state;
	struct nl_pub nl;
	struct netmap netmap;
	bool netmap_is_cached;  /* from disk; the server has not spoken yet */
	struct control_self self;
	struct control *control;
	struct control_link *link;
	struct local *local;
	struct dataplane *dp;   /* NULL: none */
	struct loop_timer cache_timer, state_timer, rest_timer;
	size_t cached_bytes; /* written last; 0: not in this run */
	char refused[CONTROL_TEXT_MAX]; /* the server's last refusal, "" after a success */
	int64_t refused_at_ms;
};

/* Loads, listens, starts what prefs want. ERR with a line on stderr. */
MUST_USE err daemon_new(const struct daemon_opts *o, struct daemon **out);
void daemon_run(struct daemon *d); /* until SIGTERM or SIGINT */
void daemon_free(struct daemon *d); /* takes down what was put in place */

/* ---- what the CLI asks for (local.c) ---- */


/* Prefs as they should be; connects when want_running. auth_key may be "". ERR_INVALID: the login server's URL. */
MUST_USE err daemon_up(struct daemon *d, const struct prefs *p, const char *auth_key, bool force_reauth);
void daemon_down(struct daemon *d);
void daemon_logout(struct daemon *d);
void daemon_set_prefs(struct daemon *d, const struct prefs *p); /* as far as a running daemon can take them over */

/* "NoState", "NeedsLogin", "NeedsMachineAuth", "Stopped", "Starting", "Running". */
const char *daemon_backend_state(const struct daemon *d);

void daemon_save_soon(struct daemon *d); /* the state changed a little */
/* What paths found out changed: tell control. */
void daemon_endpoints_changed(struct daemon *d);

/* One JSON object, the official `status --json`, in parts: its begin, then the peers (none: null, and no peer may follow), its end. */
struct jsonw;
void status_write_begin(struct daemon *d, struct jsonw *w, bool peers);
void status_write_peer(struct daemon *d, struct jsonw *w, const struct nm_node *n);
void status_write_end(struct daemon *d, struct jsonw *w, bool peers);
