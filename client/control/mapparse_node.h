/* mapparse_node: a Node of a map message, read into the draft. Part of mapparse.c. */
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

void *map_grow(struct map_parse *p, void *at, size_t *n, size_t *cap, size_t each, size_t max);

/* The node that comes next -> p->draft. False: the parse failed. */
bool map_read_node(struct map_parse *p);

/* null is false; a bad one fails the parse, as in Go. */
bool map_read_node_key(struct map_parse *p, struct node_pub *out);
bool map_read_disco_key(struct map_parse *p, struct disco_pub *out);
bool map_read_time(struct map_parse *p, int64_t *out); /* Go's zero time is 0 */
/* Appends to the draft's endpoints; unusable ones are left out. */
void map_read_endpoints(struct map_parse *p, struct nm_draft *d);
