#include "server/core/admit.h"

#include <pthread.h>
#include <stdlib.h>

#include "common/base/map.h"

struct admitted {
	struct node_pub key;
};

struct admit_set {
	pthread_rwlock_t lock;
	struct map keys; /* of owned struct admitted */
};

err admit_new(struct admit_set **out)
{
	struct admit_set *a = calloc(1, sizeof *a);

	if (!a)
		return ERR_NOMEM;
	pthread_rwlock_init(&a->lock, NULL);
	a->keys = MAP_OF(struct admitted, key);
	*out = a;
	return OK;
}

void admit_free(struct admit_set *a)
{
	struct admitted *k;
	size_t at = 0;

	if (!a)
		return;
	while ((k = map_next(&a->keys, &at)))
		free(k);
	map_done(&a->keys);
	pthread_rwlock_destroy(&a->lock);
	free(a);
}

bool admit_has(struct admit_set *a, const struct node_pub *key)
{
	pthread_rwlock_rdlock(&a->lock);
	bool has = map_get(&a->keys, key) != NULL;
	pthread_rwlock_unlock(&a->lock);
	return has;
}

err admit_put(struct admit_set *a, const struct node_pub *key)
{
	struct admitted *k = malloc(sizeof *k);

	if (!k)
		return ERR_NOMEM;
	k->key = *key;
	pthread_rwlock_wrlock(&a->lock);
	err e = map_put(&a->keys, k);
	pthread_rwlock_unlock(&a->lock);
	if (e != OK)
		free(k);
	return e == ERR_EXISTS ? OK : e;
}

void admit_del(struct admit_set *a, const struct node_pub *key)
{
	pthread_rwlock_wrlock(&a->lock);
	struct admitted *k = map_del(&a->keys, key);
	pthread_rwlock_unlock(&a->lock);
	free(k);
}
