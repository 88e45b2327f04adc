/* map_world: a small tailnet of plain structs for tests and benches of server/map/. */
#pragma once

#include "server/map/map.h"

struct map_world {
	struct core_settings set;
	struct map_tailnet t;
	struct map_node **nodes; /* by slot */
	struct user_row *users;
	size_t n_users, cap;
	struct policy *policy;
	int64_t next_id;
};

/* Up to cap nodes of n_users users under this policy text. Aborts when something fails. */
void map_world_init(struct map_world *w, size_t cap, size_t n_users, const char *policy);
void map_world_done(struct map_world *w);
/* A new node in a free slot, online and announced; user 0: tagged with tag. */
struct map_node *map_world_add(struct map_world *w, int64_t user, const char *tag);
void map_world_del(struct map_world *w, struct map_node *n);
/* After a change of user, tags or routes: asks the policy for the class. */
void map_world_classify(struct map_world *w, struct map_node *n);
struct node_row *map_world_row(struct map_node *n); /* to change it */
