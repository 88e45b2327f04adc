/* state: what the daemon keeps between runs, in one file: keys, preferences, login server, who we are there.
 * The disco key is among them, so that peers know a restarted one even while no server can tell them of it.
 *
 * The file is JSON, mode 0600, replaced atomically (new file, fsync, rename, fsync of the folder), so a crash at any byte
 * leaves the old or the new one. The netmap's cache lies beside it as its own file and may be lost without harm.
 * Secrets never leave this file but into the engines. */
#pragma once

#include "common/base/bytes.h"
#include "common/crypto/keys.h"
#include "common/net/addr.h"

enum {
	STATE_FILE_MAX = 256 << 10, /* bytes */
	STATE_URL_MAX = 512,
	STATE_NAME_MAX = 256,
	STATE_TAGS_MAX = 32,
	STATE_ROUTES_MAX = 128, /* advertised */
	STATE_INITIATION_MS = 10 * 60 * 1000,
};

/* What a person chose by up and set. */
struct prefs {
	char login_server[STATE_URL_MAX]; /* "" = never set */
	char hostname[64];		  /* "": the machine's */
	bool want_running;
	bool accept_dns, accept_routes, shields_up;
	char exit_node[STATE_NAME_MAX]; /* "": none; an address, a name or a stable id, as it was given */
	bool exit_lan;			/* the local network stays reachable beside it */
	bool advertise_exit;
	struct prefix routes[STATE_ROUTES_MAX]; /* advertised, masked */
	size_t n_routes;
	char tags[STATE_TAGS_MAX][64]; /* "tag:x" */
	size_t n_tags;
	uint16_t port; /* UDP, 0: any */
};
extern const struct prefs prefs_default;
struct jsonw;
struct json_at;
void prefs_write(struct jsonw *w, const struct prefs *p);
void prefs_read(const struct json_at *o, struct prefs *p); /* problems are noted in o's why */

struct client_state {
	struct machine_key machine;
	struct node_key node;	   /* all zero: none, log in first */
	struct node_pub old_node;  /* the key before it; sticky (control.md 5.1) */
	struct disco_key disco;
	struct secret32 nl_seed;   /* Ed25519; only its public half is ever told */
	struct prefs prefs;
	bool registered;	   /* the server accepted node; cleared by logout */
	/* Who we are, as last told. */
	int64_t node_id;
	char stable_id[STATE_NAME_MAX], login_name[STATE_NAME_MAX];
	uint16_t last_port; /* UDP port used last; tried again, so that peers' paths stay right */
	int last_home;	    /* relay region */
	int64_t last_initiation_ms; /* wall clock: no handshake of ours carried a later time, give or take STATE_INITIATION_MS */
};

/* Fresh machine, disco and lock keys, default preferences. */
void state_init(struct client_state *s);
void state_wipe(struct client_state *s);

/* Reads dir/state.json. A missing file is OK and gives state_init. ERR_MALFORMED with a line in why: never overwritten. */
MUST_USE err state_load(const char *dir, struct client_state *s, char *why, size_t why_cap);
MUST_USE err state_save(const char *dir, const struct client_state *s);

/* Replaces path by content, atomically, with that mode. ERR_SYS: the old file is as it was. */
MUST_USE err file_replace(const char *path, unsigned mode, struct bytes content);
/* All of a regular file, owned; ERR_NOT_FOUND, ERR_TOO_BIG (over max), ERR_SYS. A NUL follows it. */
MUST_USE err file_read(const char *path, size_t max, uint8_t **p, size_t *n);
