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

struct asker { /* a machine that asked lately */
	struct machine_pub key;
	int64_t at_ms;
	double tokens; /* as of at_ms */
};

struct limits {
	pthread_mutex_t lock;
	struct map askers; /* of owned askers */
	int64_t askers_swept_ms;
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
	l->askers = MAP_OF(struct asker, key);
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
	at = 0;
	for (struct asker *a; (a = map_next(&l->askers, &at));)
		free(a);
	map_done(&l->askers);
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

static double tokens_now(const struct asker *a, int64_t mono_ms)
{
	double t = a->tokens + (double)(mono_ms - a->at_ms) * LIMITS_REQUESTS_PER_S / 1000;

	return t > LIMITS_REQUESTS_BURST ? LIMITS_REQUESTS_BURST : t;
}

/* Who has its whole burst again is as good as new. At most once a second: a crowd must not make every request a walk. */
static void sweep_askers(struct limits *l, int64_t mono_ms)
{
	size_t at = 0;

	if (l->askers_swept_ms && mono_ms - l->askers_swept_ms < 1000)
		return;
	l->askers_swept_ms = mono_ms;
	for (struct asker *a; (a = map_next(&l->askers, &at));)
		if (tokens_now(a, mono_ms) >= LIMITS_REQUESTS_BURST) {
			map_del(&l->askers, &a->key);
			free(a);
		}
}

static struct asker *asker_for(struct limits *l, const struct machine_pub *machine, int64_t mono_ms)
{
	struct asker *a = map_get(&l->askers, machine);

	if (a)
		return a;
	if (l->askers.n >= LIMITS_MACHINES_MAX)
		sweep_askers(l, mono_ms);
	if (l->askers.n >= LIMITS_MACHINES_MAX || !(a = calloc(1, sizeof *a)))
		return NULL;
	*a = (struct asker){ .key = *machine, .at_ms = mono_ms, .tokens = LIMITS_REQUESTS_BURST };
	if (map_put(&l->askers, a) != OK) {
		free(a);
		return NULL;
	}
	return a;
}

bool limits_request(struct limits *l, const struct machine_pub *machine, int64_t mono_ms)
{
	pthread_mutex_lock(&l->lock);
	struct asker *a = asker_for(l, machine, mono_ms);
	double tokens = a ? tokens_now(a, mono_ms) : 0;
	bool ok = tokens >= 1;

	if (a) {
		a->at_ms = mono_ms;
		a->tokens = ok ? tokens - 1 : tokens;
	}
	pthread_mutex_unlock(&l->lock);
	return ok;
}

void limits_stats(struct limits *l, struct limits_stats *out)
{
	pthread_mutex_lock(&l->lock);
	*out = l->stats;
	pthread_mutex_unlock(&l->lock);
}
