#include <stdlib.h>
#include <string.h>

#include "derp/relay_state.h"

/* What any thread may ask of a relay: messages to its workers, and figures. */

err relay_post_collect(struct relay *r, unsigned i, struct relay_collect *k)
{
	struct relay_msg *m = msg_new(MSG_COLLECT, NULL, NULL, 0);

	if (m)
		m->collect = k;
	return relay_post(r, (uint16_t)i, m);
}

err relay_admit_done(struct relay *r, struct relay_ticket t, bool allow)
{
	struct relay_msg *m = msg_new(MSG_ADMIT, NULL, NULL, 0);

	if (m) {
		m->id = t.h.id;
		m->allow = allow;
	}
	return relay_post(r, t.h.worker, m);
}

struct each {
	void (*fn)(void *ctx, const struct node_pub *key, struct addr from);
	void *ctx;
};

static void on_each(void *ctx, const struct node_pub *key, const struct directory_info *info)
{
	struct each *e = ctx;

	if (!(info->flags & DERP_PRESENT_MESH)) /* other relays were not asked about */
		e->fn(e->ctx, key, info->addr.addr);
}

void relay_each_key(struct relay *r, void (*fn)(void *ctx, const struct node_pub *key, struct addr from), void *ctx)
{
	directory_each(r->dir, on_each, &(struct each){ fn, ctx });
}

/* The same message to every worker. */
static err post_all(struct relay *r, const struct relay_msg *like)
{
	for (unsigned i = 0; i < atomic_load(&r->n_workers); i++) {
		uint8_t *data = like->n ? malloc(like->n) : NULL;

		if (like->n && !data)
			return ERR_NOMEM;
		if (data)
			memcpy(data, like->data, like->n);
		struct relay_msg *m = msg_new(like->kind, &like->key, data, like->n);
		if (m) {
			m->spread_ms = like->spread_ms;
			m->try_for_ms = like->try_for_ms;
		}
		TRY(relay_post(r, (uint16_t)i, m));
	}
	return OK;
}

err relay_close_key(struct relay *r, const struct node_pub *key)
{
	return post_all(r, &(struct relay_msg){ .kind = MSG_CLOSE_KEY, .key = *key });
}

err relay_health(struct relay *r, struct bytes text)
{
	uint8_t copy[1024];

	text = bytes_first(text, sizeof copy);
	if (text.n)
		memcpy(copy, text.p, text.n);
	return post_all(r, &(struct relay_msg){ .kind = MSG_HEALTH, .data = copy, .n = (uint32_t)text.n });
}

err relay_drain(struct relay *r, uint32_t spread_ms, uint32_t try_for_ms)
{
	atomic_store(&r->draining, true);
	return post_all(r, &(struct relay_msg){ .kind = MSG_DRAIN, .spread_ms = spread_ms, .try_for_ms = try_for_ms });
}

void relay_stats_read(struct relay *r, struct relay_stats *out)
{
	*out = (struct relay_stats){ 0 };
	for (unsigned i = 0; i < atomic_load(&r->n_workers); i++)
		stats_sum(&r->worker[i]->stats, out);
}

struct directory_counts relay_count_keys(struct relay *r)
{
	return directory_count(r->dir);
}

uint32_t relay_conns(const struct relay *r)
{
	return atomic_load(&r->limits.n);
}
