#include "server/front/limits.h"

#include <pthread.h>
#include <stdlib.h>

#include "common/base/cleanup.h"
#include "common/base/map.h"

struct entry {
	struct addr key; /* addr_limit_key */
	int32_t now[LIMIT_KINDS];
	int64_t exempt_until_ms;
};

struct limits {
	pthread_mutex_t lock;
	struct limit_caps caps[LIMIT_KINDS];
	struct map by_addr; /* of owned entries */
	struct limits_stats stats;
};

err limits_new(const struct limit_caps caps[LIMIT_KINDS], struct limits **out)
{
	struct limits *l = calloc(1, sizeof *l);

	if (!l)
		return ERR_NOMEM;
	pthread_mutex_init(&l->lock, NULL);
	memcpy(l->caps, caps, sizeof l->caps);
	l->by_addr = MAP_OF(struct entry, key);
	*out = l;
	return OK;
}

void limits_free(struct limits *l)
{
	struct entry *e;
	size_t at = 0;

	if (!l)
		return;
	while ((e = map_next(&l->by_addr, &at)))
		free(e);
	map_done(&l->by_addr);
	pthread_mutex_destroy(&l->lock);
	free(l);
}

void limits_set(struct limits *l, const struct limit_caps caps[LIMIT_KINDS])
{
	pthread_mutex_lock(&l->lock);
	memcpy(l->caps, caps, sizeof l->caps);
	pthread_mutex_unlock(&l->lock);
}

static bool is_idle(const struct entry *e)
{
	for (size_t i = 0; i < LIMIT_KINDS; i++)
		if (e->now[i])
			return false;
	return true;
}

static void drop_idle(struct limits *l, int64_t mono_ms)
{
	struct entry *e;
	size_t at = 0;

	while ((e = map_next(&l->by_addr, &at)))
		if (is_idle(e) && e->exempt_until_ms < mono_ms) {
			map_del(&l->by_addr, &e->key);
			free(e);
		}
}

static struct entry *entry_for(struct limits *l, struct addr from, int64_t mono_ms)
{
	struct addr key = addr_limit_key(from);
	struct entry *e = map_get(&l->by_addr, &key);

	if (e)
		return e;
	if (l->by_addr.n >= LIMITS_ADDRESSES_MAX)
		drop_idle(l, mono_ms);
	if (l->by_addr.n >= LIMITS_ADDRESSES_MAX)
		return NULL;
	e = calloc(1, sizeof *e);
	if (!e)
		return NULL;
	e->key = key;
	if (map_put(&l->by_addr, e) != OK) {
		free(e);
		return NULL;
	}
	return e;
}

bool limits_take(struct limits *l, enum limit_kind kind, struct addr from, int64_t mono_ms)
{
	bool ok = false;

	pthread_mutex_lock(&l->lock);
	struct entry *e = entry_for(l, from, mono_ms);
	if (e && l->stats.now[kind] < l->caps[kind].total &&
		(e->now[kind] < l->caps[kind].per_address || e->exempt_until_ms > mono_ms)) {
		e->now[kind]++;
		l->stats.now[kind]++;
		ok = true;
	} else {
		l->stats.shed[kind]++;
	}
	pthread_mutex_unlock(&l->lock);
	return ok;
}

void limits_give(struct limits *l, enum limit_kind kind, struct addr from)
{
	struct addr key = addr_limit_key(from);

	pthread_mutex_lock(&l->lock);
	struct entry *e = map_get(&l->by_addr, &key);
	if (e && e->now[kind] > 0) {
		e->now[kind]--;
		l->stats.now[kind]--;
		if (is_idle(e) && e->exempt_until_ms == 0) {
			map_del(&l->by_addr, &key);
			free(e);
		}
	}
	pthread_mutex_unlock(&l->lock);
}

void limits_exempt(struct limits *l, struct addr from, int64_t mono_ms)
{
	pthread_mutex_lock(&l->lock);
	struct entry *e = entry_for(l, from, mono_ms);
	if (e)
		e->exempt_until_ms = mono_ms + LIMITS_EXEMPT_MS;
	pthread_mutex_unlock(&l->lock);
}

void limits_stats(struct limits *l, struct limits_stats *out)
{
	pthread_mutex_lock(&l->lock);
	*out = l->stats;
	pthread_mutex_unlock(&l->lock);
}
