#include "derp/conn_limits.h"

#include <stdlib.h>

struct addr_count {
	struct addr addr;
	uint32_t n;
};

void conn_limits_init(struct conn_limits *l, uint32_t max, uint32_t max_per_addr)
{
	*l = (struct conn_limits){ .max = max, .max_per_addr = max_per_addr };
	pthread_mutex_init(&l->lock, NULL);
	l->by_addr = MAP_OF(struct addr_count, addr);
}

void conn_limits_change(struct conn_limits *l, uint32_t max, uint32_t max_per_addr)
{
	atomic_store(&l->max, max);
	atomic_store(&l->max_per_addr, max_per_addr);
}

void conn_limits_done(struct conn_limits *l)
{
	struct addr_count *a;
	size_t at = 0;

	while ((a = map_next(&l->by_addr, &at)))
		free(a);
	map_done(&l->by_addr);
	pthread_mutex_destroy(&l->lock);
}

static err take_addr(struct conn_limits *l, struct addr key)
{
	struct addr_count *a = map_get(&l->by_addr, &key);

	if (!a) {
		a = calloc(1, sizeof *a);
		if (!a)
			return ERR_NOMEM;
		a->addr = key;
		err e = map_put(&l->by_addr, a);
		if (e != OK) {
			free(a);
			return e;
		}
	}
	uint32_t max = atomic_load(&l->max_per_addr);
	if (max && a->n >= max)
		return ERR_BUSY;
	a->n++;
	return OK;
}

err conn_limits_take(struct conn_limits *l, struct addr from)
{
	uint32_t max = atomic_load(&l->max);

	if (atomic_fetch_add(&l->n, 1) >= (max ? max : UINT32_MAX)) {
		atomic_fetch_sub(&l->n, 1);
		return ERR_BUSY;
	}
	pthread_mutex_lock(&l->lock);
	err e = take_addr(l, addr_limit_key(from));
	pthread_mutex_unlock(&l->lock);
	if (e != OK)
		atomic_fetch_sub(&l->n, 1);
	return e;
}

void conn_limits_give(struct conn_limits *l, struct addr from)
{
	struct addr key = addr_limit_key(from);

	pthread_mutex_lock(&l->lock);
	struct addr_count *a = map_get(&l->by_addr, &key);
	if (a && --a->n == 0) {
		map_del(&l->by_addr, &key);
		free(a);
	}
	pthread_mutex_unlock(&l->lock);
	atomic_fetch_sub(&l->n, 1);
}
