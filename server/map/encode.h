/* encode: what the files of server/map/ share: the writers of single things, and the composer that strings text and
 * shared parts into a message. Inside server/map/ only. */
#pragma once

#include "common/base/list.h"
#include "common/text/jsonw.h"
#include "server/map/map.h"

enum {
	MAP_TEXT_MAX = 256 << 20, /* bytes of one message's own text */
	PART_WORTH = 4096,	  /* texts below this are copied into the message instead of being a part of their own */
};

/* ---- peerjson.c ---- */

/* A node as others see it, and as itself. viewer NULL: with the routes that it carries. */
void peer_write(struct jsonw *w, const struct map_tailnet *t, const struct map_node *n, const struct map_node *viewer);
/* Is the node's text for this viewer the one for NULL? */
bool peer_is_plain(const struct map_tailnet *t, const struct map_node *n, const struct map_node *viewer);
void self_write(struct jsonw *w, const struct map_tailnet *t, const struct map_node *n);
/* The members of one PeerChange; false: a patch cannot say it, send the node whole. */
bool patch_fits(const struct map_patch *p);
void patch_write(struct jsonw *w, const struct map_patch *p, int64_t wall_ms);
void profile_write(struct jsonw *w, const struct map_tailnet *t, int64_t user_id);
/* What the node's user must read, or that there is nothing (any more); the members of a MapResponse. */
void messages_write(struct jsonw *w, const struct map_node *n);
/* "TKAInfo":{…}, or nothing where tailnet lock never was. */
void lock_write(struct jsonw *w, const struct map_tailnet *t);
/* netmap.c: as clients of this age take it; 0: the newest. */
void derp_write(struct jsonw *w, const struct tailcfg_derp_map *m, int capver);
/* viewer: whose services are among the records; NULL: none. */
void dns_write(struct jsonw *w, const struct map_tailnet *t, const struct map_node *viewer);
/* services.c: DNS records of the services that the viewer sees, and capabilities of its own node. *open: the list was begun. */
void services_write_records(struct jsonw *w, const struct map_tailnet *t, const struct map_node *viewer, bool *open);
/* Members of DNSConfig.Routes: domains of apps, with the connectors that this viewer asks. */
void apps_write_routes(struct jsonw *w, const struct map_tailnet *t, const struct map_node *viewer);
void services_write_caps(struct jsonw *w, const struct map_tailnet *t, const struct map_node *n);

/* ---- compose.c: text and parts in order ---- */

struct composer {
	struct part **part; /* owned array, a reference each */
	size_t n, cap;
	struct buf text;    /* what comes after the last part */
	bool bad;
};

struct composer composer_make(void);
void composer_done(struct composer *c);
/* Appends p's text, as a part of its own when it is worth it. Borrowed. */
void compose_part(struct composer *c, struct part *p);
/* The message; the composer is empty afterwards. */
MUST_USE err compose_msg(struct composer *c, struct map_msg **out);
/* The value of PacketFilters. all: these stand for whatever the client had before, in this stream, too. */
void compose_filters(struct composer *c, const struct policy_filter *f, size_t n, bool all);

/* User ids, each once. */
struct id_set {
	int64_t *id; /* owned; each once */
	size_t n, cap;
	uint32_t *place; /* owned: hash table, id's index + 1; maps meet each user once a block */
	size_t n_places; /* a power of two, or 0 */
	bool bad;
};
void id_set_done(struct id_set *s);
void id_set_add(struct id_set *s, int64_t id);
void id_set_sort(struct id_set *s);

/* ---- blocks.c ---- */


/* Peers that the viewer sees: those in blocks that can be shared go to *whole as parts (each text ",{…},{…}"),
 * the others are appended to w, inside an open array. told and users are filled. */
struct visible {
	struct part **whole; /* owned array, a reference each */
	size_t n_whole, n_single;
};
void visible_done(struct visible *v);
MUST_USE err blocks_write(struct map_cache *c, const struct map_tailnet *t, const struct map_node *viewer, struct jsonw *w,
		struct slots *told, struct id_set *users, struct visible *out);
/* The node's text for this viewer (as peer_write) where a block has it; many: blocks are written for it. Borrowed until the next
 * call of anything here. False: write it. */
bool cache_peer(struct map_cache *c, const struct map_tailnet *t, const struct map_node *n, const struct map_node *viewer, bool many,
		struct bytes *out);
/* The same text as one shared part, while the cache has it; text is taken. A reference; NULL: out of memory. */
struct part *cache_intern(struct map_cache *c, struct buf *text);
