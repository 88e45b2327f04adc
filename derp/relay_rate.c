#include "derp/relay_state.h"

/* How fast clients may send: a bucket of bytes a client and one a worker, and one of frames that are of use to nobody.
 * Over them reading pauses, so nothing is lost. */

/* Adds what time has brought, up to burst. */
static void refill(int64_t *tokens, int64_t *at_ms, uint64_t rate, uint64_t burst, int64_t now_ms)
{
	int64_t passed_ms = now_ms - *at_ms, add;

	if (passed_ms <= 0)
		return;
	*at_ms = now_ms;
	if (__builtin_mul_overflow(passed_ms, (int64_t)MIN_OF(rate, (uint64_t)INT64_MAX), &add))
		add = INT64_MAX;
	add /= 1000;
	*tokens = add > (int64_t)burst - *tokens ? (int64_t)burst : *tokens + add;
}

/* Until there are tokens again. */
static int64_t wait_ms(int64_t tokens, uint64_t rate)
{
	return tokens >= 0 ? 0 : (int64_t)(((uint64_t)-tokens * 1000 + rate - 1) / rate);
}

/* What time has brought to the client and to its worker. */
static void refill_both(struct relay_client *c, uint64_t rate, uint64_t all, int64_t now_ms)
{
	uint64_t burst = atomic_load_explicit(&c->w->r->client_burst, memory_order_relaxed);

	if (rate)
		refill(&c->tokens, &c->tokens_ms, rate, burst, now_ms);
	if (all)
		refill(&c->w->tokens, &c->w->tokens_ms, all, MAX_OF(all / 10, (uint64_t)RELAY_AREA_BYTES), now_ms);
}

void rate_charge(struct relay_client *c, size_t n, int64_t now_ms)
{
	uint64_t rate = atomic_load_explicit(&c->w->r->client_rate, memory_order_relaxed);
	uint64_t all = atomic_load_explicit(&c->w->r->worker_rate, memory_order_relaxed);

	if (c->idle && !c->s.trusted) {
		refill(&c->idle_tokens, &c->idle_ms, RELAY_IDLE_RATE, RELAY_IDLE_BURST, now_ms);
		c->idle_tokens -= c->idle;
	}
	c->idle = 0;
	if (c->s.trusted || (!rate && !all))
		return;
	refill_both(c, rate, all, now_ms);
	c->tokens -= rate ? (int64_t)n : 0;
	c->w->tokens -= all ? (int64_t)n : 0;
}

static int64_t idle_wait_ms(struct relay_client *c, int64_t now_ms)
{
	if (c->idle_tokens >= 0)
		return 0;
	refill(&c->idle_tokens, &c->idle_ms, RELAY_IDLE_RATE, RELAY_IDLE_BURST, now_ms);
	int64_t ms = wait_ms(c->idle_tokens, RELAY_IDLE_RATE);

	STATS_ADD(&c->w->stats, idle_pauses, ms > 0);
	return MIN_OF(ms, (int64_t)RELAY_PAUSE_MAX_MS);
}

int64_t relay_client_pause_ms(struct relay_client *c, int64_t now_ms)
{
	struct relay *r = c->w->r;
	uint64_t rate = atomic_load_explicit(&r->client_rate, memory_order_relaxed);
	uint64_t all = atomic_load_explicit(&r->worker_rate, memory_order_relaxed);

	if (c->waits_for && !deliver_is_full(c->w, c->waits_for - 1))
		c->waits_for = 0;
	if (c->waits_for)
		c->yield_ms = MAX_OF(c->yield_ms, now_ms + 1);
	int64_t ms = c->yield_ms - now_ms;
	if (ms <= 0)
		c->yield_ms = ms = 0;
	ms = MAX_OF(ms, idle_wait_ms(c, now_ms));
	if (c->s.trusted || (!rate && !all))
		return ms;
	refill_both(c, rate, all, now_ms);
	int64_t limited_ms = rate ? wait_ms(c->tokens, rate) : 0;
	if (all)
		limited_ms = MAX_OF(limited_ms, wait_ms(c->w->tokens, all));
	if (limited_ms)
		STATS_ADD(&c->w->stats, rate_pauses, 1);
	return MAX_OF(ms, MIN_OF(limited_ms, (int64_t)RELAY_PAUSE_MAX_MS));
}

void relay_set_limits(struct relay *r, const struct relay_limits *l)
{
	conn_limits_change(&r->limits, l->max_conns, l->max_conns_per_addr);
	atomic_store(&r->worker_queued_bytes, l->max_queued_bytes / r->opts.workers);
	atomic_store(&r->client_rate, l->client_rate ? MAX_OF(l->client_rate, (uint64_t)RELAY_RATE_MIN) : 0);
	atomic_store(&r->client_burst, MAX_OF(l->client_burst, (uint64_t)RELAY_BURST_MIN));
	uint64_t each = l->total_rate / r->opts.workers;
	atomic_store(&r->worker_rate, l->total_rate ? MAX_OF(each, (uint64_t)RELAY_RATE_MIN) : 0);
}
