/* options: the settings of fairlead-derp, from flags and from a small TOML file; a flag wins over the file. */
#pragma once

#include <stdio.h>

#include "common/base/arena.h"
#include "common/net/addr.h"

#include "derp/mesh_link.h"

enum { OPTIONS_LISTEN_MAX = 8, OPTIONS_MESH_MAX = 16, OPTIONS_PROXIES_MAX = 16 };

struct derpd_options {
	struct arena arena; /* strings live here */
	const char *hostname; /* "": none was given */
	struct addrport listen[OPTIONS_LISTEN_MAX];
	size_t n_listen;
	struct addrport listen_plain;		 /* DERP without TLS, for a proxy in front; family 0: off */
	struct prefix proxies[OPTIONS_PROXIES_MAX]; /* whose X-Forwarded-For is believed on the plain listener */
	size_t n_proxies;
	struct addrport http, stun, stun_second; /* family 0: off */
	const char *cert_path, *key_path;	 /* NULL: a self-made certificate */
	const char *state_dir;
	const char *allow_keys; /* file of node keys; NULL: everybody */
	const char *admit_url;	/* asked about each key; NULL: nobody is */
	bool admit_fail_closed;
	unsigned admit_again_s;
	unsigned threads;	/* 0: one a core */
	uint32_t max_conns, max_conns_per_addr;
	uint64_t max_queued_bytes;
	uint64_t client_rate, client_burst, total_rate; /* bytes a second; 0: no limit */
	unsigned region_id;
	bool has_mesh_key;
	struct secret32 mesh_key;
	struct mesh_target mesh[OPTIONS_MESH_MAX];
	size_t n_mesh;
	const char *mesh_ca; /* NULL: the system's roots */
	bool debug;
	bool help, version; /* print and leave */
	bool status, json, rates; /* ask the relay that runs */
	const char *join, *leave; /* URL of the server whose region list the relay that runs joins or leaves */
	const char *region_code, *region_name;
};

/* ERR_INVALID: why holds one sentence (which flag, or which line of which file). */
MUST_USE err options_parse(int argc, char **argv, struct derpd_options *out, char *why, size_t why_cap);
void options_done(struct derpd_options *o);
void options_help(FILE *to);
