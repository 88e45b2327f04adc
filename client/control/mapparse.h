/* mapparse: one message of the map stream -> a struct map_update, without a JSON tree: zstd is decoded and read piece by
 * piece (common/text/jsonpull.h), and what is kept is kept within the bounds of client/netmap.h.
 *
 * A message is staged whole before any of it counts, because its members come in any order and are applied in a fixed one
 * (netmap_apply). Facts: protocol/control.md 6.3, 6.5 to 6.14. */
#pragma once

#include "client/netmap.h"

struct ZSTD_DCtx_s;

enum {
	MAP_PACKED_MAX = 16 << 20, /* bytes of a message as it comes */
	MAP_PLAIN_MAX = 64 << 20,  /* … decoded */
	MAP_WINDOW_LOG_MAX = 23,   /* 8 MiB, which RFC 8878 asks of decoders; a zstd frame that wants more memory is refused */
	MAP_URL_MAX = 2048,
	MAP_PAYLOAD_MAX = 64 << 10, /* of a PingRequest, decoded */
};

struct nm_patch {
	int64_t id;
	bool has_derp, has_cap, has_caps, has_endpoints, has_key, has_disco, has_online, has_last_seen, has_expiry;
	int derp, cap;
	struct node_pub key;
	struct disco_pub disco;
	bool online;
	int64_t last_seen_ms, expiry_ms;
	struct addrport *endpoints; /* owned */
	size_t n_endpoints;
	char **caps; /* owned, each too */
	size_t n_caps;
};

struct nm_flag {
	int64_t id;
	bool value;
};

/* A named part of the filter. */
struct nm_chunk {
	struct nm_chunk *next;
	char *name; /* in the arena, like all of it */
	struct arena arena;
	struct nm_rule *rules;
	size_t n_rules;
	size_t items;
};
void nm_chunk_free(struct nm_chunk *c);

struct chunk_change {
	char *name;	    /* owned; "*" with chunk NULL: all go */
	struct nm_chunk *chunk; /* owned; NULL: it goes */
};

/* Asked for by a PingRequest. */
struct map_ping {
	char *url; /* owned */
	bool is_noise;
	char types[64];
	struct addr ip;
	uint8_t *payload; /* owned */
	size_t n_payload;
};

struct map_update {
	bool keepalive;
	struct nm_node *self; /* all owned until netmap_apply takes them */
	struct nm_node **peers, **changed;
	size_t n_peers, cap_peers, n_changed, cap_changed;
	int64_t *same; /* of Peers: ids of those that the known netmap has just so */
	size_t n_same, cap_same;
	int64_t *removed;
	size_t n_removed, cap_removed;
	struct nm_patch *patches;
	size_t n_patches, cap_patches;
	struct nm_flag *online, *seen;
	size_t n_online, cap_online, n_seen, cap_seen;
	struct nm_user **users;
	size_t n_users, cap_users;
	size_t bytes; /* of all nodes and users */
	struct arena derp_arena, dns_arena, health_arena;
	const struct tailcfg_derp_map *derp;
	const struct tailcfg_dns_config *dns;
	struct nm_chunk *filter; /* PacketFilter: the chunk "base", before the named ones */
	struct chunk_change *chunks;
	size_t n_chunks, cap_chunks;
	const char **health; /* in health_arena */
	size_t n_health;
	bool has_health;
	char *domain, *pop_url; /* owned, NULL: absent */
	int64_t control_time_ms; /* 0: absent */
	bool has_ping;
	struct map_ping ping;
};
void map_update_done(struct map_update *u);

struct map_why {
	char text[160];
};

/* decoder: for zstd, kept by the caller between messages; NULL: payload is JSON. scratch: see map_scratch_new.
 * ERR_MALFORMED, ERR_TOO_BIG, ERR_NOMEM: *u is empty, the stream must be ended. */
struct map_scratch; /* the opened node and other large buffers, reused */
struct map_scratch *map_scratch_new(void); /* NULL: no memory */
void map_scratch_free(struct map_scratch *s);
/* What messages will be applied to; NULL: nothing. Peers that it has already are not staged a second time, so that a
 * reconnect costs no second netmap. It must not change between map_parse and netmap_apply. Borrowed. */
void map_scratch_know(struct map_scratch *s, const struct netmap *known);
MUST_USE err map_parse(struct map_scratch *s, struct bytes payload, struct ZSTD_DCtx_s *decoder, struct map_update *u,
	struct map_why *why);
