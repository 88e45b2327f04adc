#include "client/filter/flows.h"

#include "common/base/map.h"

/* Field by field: what lies between them is anything. */
static bool same(const struct flow *a, const struct flow *b)
{
	return a->proto == b->proto && a->our_port == b->our_port && a->their_port == b->their_port &&
	       addr_eq(a->ours, b->ours) && addr_eq(a->theirs, b->theirs);
}

static size_t set_of(const struct flow *f)
{
	uint8_t key[2 * sizeof(struct addr) + 5];
	const uint8_t rest[5] = { (uint8_t)(f->our_port >> 8), (uint8_t)f->our_port, (uint8_t)(f->their_port >> 8),
		(uint8_t)f->their_port, f->proto };

	memcpy(key, &f->ours, sizeof f->ours);
	memcpy(key + sizeof f->ours, &f->theirs, sizeof f->theirs);
	memcpy(key + 2 * sizeof f->ours, rest, sizeof rest);
	return map_hash(key, sizeof key) % FLOWS_SETS; /* keyed: a peer cannot choose whom it pushes out */
}

static struct flow *find(struct flows *t, size_t set, const struct flow *f)
{
	for (size_t i = 0; i < FLOWS_WAYS; i++) {
		if (same(&t->flow[set][i], f)) {
			t->used[set][i] = ++t->turn;
			return &t->flow[set][i];
		}
	}
	return NULL;
}

bool flows_has(struct flows *t, const struct flow *f)
{
	return find(t, set_of(f), f) != NULL;
}

bool flows_note(struct flows *t, const struct flow *f)
{
	size_t set = set_of(f), oldest = 0;

	if (find(t, set, f))
		return false;
	for (size_t i = 1; i < FLOWS_WAYS; i++) {
		if (t->used[set][i] < t->used[set][oldest])
			oldest = i;
	}
	bool evicts = t->flow[set][oldest].proto != 0;
	t->flow[set][oldest] = *f;
	t->used[set][oldest] = ++t->turn;
	return evicts;
}
