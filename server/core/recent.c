#include <inttypes.h>
#include <stdlib.h>

#include "common/base/buf.h"
#include "common/base/cleanup.h"
#include "server/core/state.h"

/* Addresses (IPv4, or IPv6 /64) behind which nodes of ours live. Limits per address do not count there: an office behind one
 * NAT logs in together, and after a restart of ours comes back together. So the list is kept in a setting of the server,
 * written some time after it changed: a line an address, with the wall-clock second at which a node was last seen there. */

static const char setting_name[] = "recent_addrs";

static bool is_recent(const struct core *c, const struct recent_addr *a)
{
	return a->registered && c->now.mono_ms - a->registered_ms <= RECENT_ADDR_MS;
}

static void sweep(struct core *c)
{
	size_t at = 0;

	for (struct recent_addr *a; (a = map_next(&c->addrs, &at));)
		if (!a->pendings && !is_recent(c, a)) {
			map_del(&c->addrs, &a->addr);
			free(a);
		}
}

/* max: of all addresses in the table. NULL: full, or out of memory. */
static struct recent_addr *make(struct core *c, struct addr key, size_t max)
{
	struct recent_addr *a;

	if (c->addrs.n >= max)
		sweep(c);
	if (c->addrs.n >= max || !(a = calloc(1, sizeof *a)))
		return NULL;
	a->addr = key;
	if (map_put(&c->addrs, a) != OK) {
		free(a);
		return NULL;
	}
	return a;
}

void addr_registered(struct core *c, struct addr from)
{
	struct addr key = addr_limit_key(from);
	struct recent_addr *a = key.family ? map_get(&c->addrs, &key) : NULL;

	if (!a && key.family)
		a = make(c, key, RECENT_ADDRS_MAX);
	if (!a)
		return;
	a->registered_ms = c->now.mono_ms;
	a->registered = true;
	if (a->is_written && c->now.mono_ms - a->written_ms < RECENT_ADDR_REWRITE_MS)
		return;
	if (!c->addrs_timer.index)
		timer_arm(&c->timers, &c->addrs_timer, c->now.mono_ms + RECENT_ADDRS_WRITE_MS);
}

struct recent_addr *addr_count(struct core *c, struct addr from, bool *full)
{
	struct addr key = addr_limit_key(from);
	struct recent_addr *a = key.family ? map_get(&c->addrs, &key) : NULL;

	*full = a && !is_recent(c, a) && c->set.max_pending_per_addr && a->pendings >= c->set.max_pending_per_addr;
	/* Logins have a ceiling of their own, so they find room beside the addresses that are remembered. */
	return a || !key.family ? a : make(c, key, RECENT_ADDRS_MAX + c->set.max_pending + 1);
}

err addrs_write(struct core *c)
{
	CLEANUP(buf_done) struct buf text = buf_make(RECENT_ADDRS_MAX * 64);
	size_t at = 0, n = 0;

	timer_stop(&c->timers, &c->addrs_timer);
	sweep(c);
	for (struct recent_addr *a; (a = map_next(&c->addrs, &at));) {
		if (!is_recent(c, a) || n == RECENT_ADDRS_MAX)
			continue;
		char shown[ADDR_TEXT_MAX];
		buf_printf(&text, "%s %" PRId64 "\n", addr_text(a->addr, shown), (c->now.wall_ms - (c->now.mono_ms - a->registered_ms)) / 1000);
		a->written_ms = a->registered_ms;
		a->is_written = true;
		n++;
	}
	buf_append(&text, BYTES_LIT("\0"));
	if (text.bad)
		return ERR_NOMEM;
	return setting_put(c, 0, setting_name, (const char *)buf_view(&text).p);
}

void on_addrs_timer(struct core *c, struct timer *t)
{
	(void)t;
	if (addrs_write(c) != OK)
		timer_arm(&c->timers, &c->addrs_timer, c->now.mono_ms + RECENT_ADDRS_WRITE_MS);
}

void addrs_load(struct core *c)
{
	const char *value = setting_get(c, 0, setting_name);
	struct bytes rest = bytes_str(value ? value : "");

	while (rest.n) {
		struct bytes when, line = bytes_cut(rest, '\n', &rest);
		struct bytes which = bytes_cut(line, ' ', &when);
		struct addr key;
		uint64_t s;

		/* A hint, no truth: a line that cannot be read is one address less. */
		if (addr_parse(which, &key) != OK || bytes_parse_u64(when, INT64_MAX / 1000, &s) != OK)
			continue;
		int64_t age = c->now.wall_ms - (int64_t)s * 1000;
		if (age < 0) /* the clock went back */
			age = 0;
		struct recent_addr *a = age <= RECENT_ADDR_MS && !map_get(&c->addrs, &key) ? make(c, key, RECENT_ADDRS_MAX) : NULL;
		if (a) {
			a->registered_ms = a->written_ms = c->now.mono_ms - age;
			a->registered = a->is_written = true;
		}
	}
}

void core_each_recent_addr(const struct core *c, void (*fn)(void *ctx, struct addr a), void *ctx)
{
	size_t at = 0;

	for (struct recent_addr *a; (a = map_next(&c->addrs, &at));)
		if (is_recent(c, a))
			fn(ctx, a->addr);
}
