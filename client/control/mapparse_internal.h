/* What the files of mapparse share: mapparse.c is the message and its small members, mapparse_peers.c lists of peers, mapparse_node.c
 * one of them, mapparse_filter.c the packet filter, mapparse_dns.c names. A problem is kept in the jsonpull, from where on all reads as
 * absent. */
#pragma once

#include "client/control/mapparse.h"
#include "common/base/cleanup.h"
#include "common/text/jsonpull.h"

struct nm_draft;

struct map_parse {
	struct jsonpull jp;
	struct map_update *u;
	struct nm_draft *draft;
	const struct netmap *known;
};

void map_fail(struct map_parse *p, err e, const char *why);
/* Room for one more of *at, which then holds n + 1; NULL: the parse failed. */
void *map_grow(struct map_parse *p, void *at, size_t *n, size_t *cap, size_t each, size_t max);
#define MAP_GROW(p, list, n, cap, max) map_grow((p), &(list), &(n), &(cap), sizeof *(list), (max))

/* The node that comes next, owned, counted in u->bytes; NULL: the parse failed. */
struct nm_node *map_take_node(struct map_parse *p);
/* is_all: what is not in the list goes, so those that are known are noted. */
void map_read_nodes(struct map_parse *p, struct nm_node ***list, size_t *n, size_t *cap, bool is_all);
void map_read_removed(struct map_parse *p);
void map_read_flags(struct map_parse *p, struct nm_flag **list, size_t *n, size_t *cap); /* {"7":true} */
void map_read_patches(struct map_parse *p);
void map_read_user(struct map_parse *p);
struct nm_chunk *map_read_filter(struct map_parse *p, struct bytes name); /* a list of rules; NULL: it is null, or the parse failed */
void map_read_filters(struct map_parse *p); /* named ones */
void map_read_dns(struct map_parse *p);

/* The node that comes next -> p->draft. False: the parse failed. */
bool map_read_node(struct map_parse *p);

/* null is false; a bad one fails the parse, as in Go. */
bool map_read_node_key(struct map_parse *p, struct node_pub *out);
bool map_read_disco_key(struct map_parse *p, struct disco_pub *out);
bool map_read_time(struct map_parse *p, int64_t *out); /* Go's zero time is 0 */
/* Appends to the draft's endpoints; unusable ones are left out. */
void map_read_endpoints(struct map_parse *p, struct nm_draft *d);
