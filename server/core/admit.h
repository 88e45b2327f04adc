/* admit: the node keys that may use the relay, published by the core for other threads to ask. Read often, changed
 * seldom; a reader never waits for the core. */
#pragma once

#include "common/crypto/keys.h"

struct admit_set;

MUST_USE err admit_new(struct admit_set **out);
void admit_free(struct admit_set *a);

bool admit_has(struct admit_set *a, const struct node_pub *key); /* any thread */
MUST_USE err admit_put(struct admit_set *a, const struct node_pub *key); /* twice is fine */
void admit_del(struct admit_set *a, const struct node_pub *key);
