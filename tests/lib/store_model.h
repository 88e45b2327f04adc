/* store_model: what the database would hold after a list of store operations, and what it would have refused.
 *
 * A struct store_image stands for the tables: rows sorted by key, each owned. The constraints of db/migrations/ that an
 * operation of the core could break are checked, so that a simulation sees what SQLite would have said. */
#pragma once

#include "server/store/store.h"

/* why: one sentence when the operation breaks a constraint; then the whole batch would have failed. False then. */
bool store_model_apply(struct store_image *db, const struct store_op *op, char *why, size_t why_cap);
/* Deep copy, as store_load would give it. Aborts when memory is out. */
void store_model_copy(const struct store_image *from, struct store_image *to);
struct node_row *store_model_node(struct store_image *db, int64_t id); /* borrowed; NULL: none */
