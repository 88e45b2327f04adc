#include <stdio.h>
#include <stdlib.h>

#include "common/base/cleanup.h"
#include "common/base/log.h"
#include "server/core/state.h"
#include "tests/lib/core_harness.h"
#include "tests/lib/test.h"

/* Random changes of all kinds; commits fail at random places; then memory must be what a core built from the database is,
 * and each stream's idea of its peers must be what a fresh map says. */

enum { DEVICES = 8, STEPS = 400 };

static struct test_rng rng;

static struct reply *command(struct harness *h, struct command *m)
{
	return harness_command(h, m);
}

static void change(struct harness *h, struct device *d, const char *const *keys)
{
	static const char *const names[] = { "one", "two", "three", "four" };
	struct device *x = &d[rng_below(&rng, DEVICES)];
	struct command *m = NULL;
	char name[32];

	switch (rng_below(&rng, 16)) {
	case 0:
	case 1:
		if (!x->waiting)
			device_register(x, keys[rng_below(&rng, 3)]);
		break;
	case 2:
		if (!x->waiting) {
			device_new_key(x);
			device_register(x, keys[rng_below(&rng, 3)]);
		}
		break;
	case 3:
	case 4:
		device_stream(x);
		break;
	case 5:
	case 6:
		if (!x->waiting) {
			x->endpoint.port = (uint16_t)(1000 + rng_below(&rng, 3));
			snprintf(x->hostname, sizeof x->hostname, "%s", names[rng_below(&rng, 4)]);
			x->route = rng_below(&rng, 3) ? NULL : "10.0.0.0/8";
			device_lite(x);
		}
		break;
	case 7:
		device_hang_up(x);
		break;
	case 8:
		m = command_new(CMD_NODE_DELETE);
		break;
	case 9:
		m = command_new(CMD_NODE_RENAME);
		snprintf(name, sizeof name, "n%u", (unsigned)rng_below(&rng, 5));
		m->new_name = arena_str(&m->arena, bytes_str(name));
		break;
	case 10:
		m = command_new(CMD_NODE_EXPIRE);
		m->at_ms = rng_below(&rng, 2) ? 0 : h->now.wall_ms + 100000;
		m->disable = rng_below(&rng, 3) == 0;
		break;
	case 11:
		m = command_new(CMD_USER_CREATE);
		snprintf(name, sizeof name, "u%u", (unsigned)rng_below(&rng, 6));
		m->name = arena_str(&m->arena, bytes_str(name));
		break;
	case 12:
		m = command_new(CMD_AUTHKEY_CREATE);
		m->user = "ann";
		break;
	case 13:
		if (!x->waiting) {
			device_new_key(x);
			device_register(x, NULL);
		}
		break;
	case 14:
		if (!x->waiting && rng_below(&rng, 3) == 0)
			device_logout(x);
		break;
	case 15:
		m = command_new(CMD_NODE_MOVE);
		m->user = rng_below(&rng, 2) ? "ann" : "bob";
		break;
	}
	if (m) {
		m->id = device_node_id(x);
		if (m->kind == CMD_USER_CREATE || m->kind == CMD_AUTHKEY_CREATE)
			m->id = 0;
		command(h, m);
	}
}

/* ---- a client's idea of its peers ---- */

static void set_peer(json_t *peers, json_t *node)
{
	char id[24];

	snprintf(id, sizeof id, "%lld", (long long)json_integer_value(json_object_get(node, "ID")));
	json_object_set_new(peers, id, json_deep_copy(node));
}

static void patch_peer(json_t *peers, json_t *patch)
{
	char id[24];
	const char *key;
	json_t *v;

	snprintf(id, sizeof id, "%lld", (long long)json_integer_value(json_object_get(patch, "NodeID")));
	json_t *p = json_object_get(peers, id);
	if (!p)
		return;
	json_object_foreach(patch, key, v) {
		if (strcmp(key, "NodeID") == 0)
			continue;
		json_object_set(p, strcmp(key, "DERPRegion") == 0 ? "HomeDERP" : key, v);
	}
}

static void model_apply(json_t *peers, json_t *msg)
{
	size_t i;
	json_t *v, *list = json_object_get(msg, "Peers");

	if (json_array_size(list)) {
		json_object_clear(peers);
		json_array_foreach(list, i, v)
			set_peer(peers, v);
		return;
	}
	json_array_foreach(json_object_get(msg, "PeersRemoved"), i, v) {
		char id[24];
		snprintf(id, sizeof id, "%lld", (long long)json_integer_value(v));
		json_object_del(peers, id);
	}
	json_array_foreach(json_object_get(msg, "PeersChanged"), i, v)
		set_peer(peers, v);
	json_array_foreach(json_object_get(msg, "PeersChangedPatch"), i, v)
		patch_peer(peers, v);
}

/* What the two differ in on purpose, or by presence: dropped before they are compared. */
static void normalise(json_t *peers)
{
	const char *id;
	json_t *p;

	json_object_foreach(peers, id, p) {
		json_object_del(p, "LastSeen");
		json_object_del(p, "Expired");
		json_object_del(p, "MachineAuthorized");
		if (json_array_size(json_object_get(p, "Endpoints")) == 0)
			json_object_del(p, "Endpoints");
		const char *disco = json_string_value(json_object_get(p, "DiscoKey"));
		if (disco && strspn(disco + 9, "0") == 64)
			json_object_del(p, "DiscoKey");
		json_t *exp = json_object_get(p, "KeyExpiry");
		if (json_is_null(exp) || (exp && strncmp(json_string_value(exp), "0001-", 5) == 0))
			json_object_del(p, "KeyExpiry");
	}
}

static void check_stream(struct device *d, size_t step)
{
	struct map_sink *sink = &d->stream->sink;

	/* Only a stream of the node that the device is now: not one of a key that was unknown when it was opened. */
	if (d->stream->ended || !sink->known || !node_pub_eq(&((struct session *)sink->core_session)->node->row.key, &d->key))
		return;
	json_t *model = json_object(), *fresh = json_object();
	for (size_t i = 0; i < d->stream->n; i++)
		model_apply(model, d->stream->msg[i]);
	struct event *e = event_new(EV_MAP_ONCE);
	struct tailcfg_map_request *m = arena_alloc(&e->arena, sizeof *m);
	struct json_why why;
	m->node_key = d->key;
	m->read_only = true;
	assert_ok(tailcfg_hostinfo_parse(BYTES_LIT(""), &e->arena, &m->hostinfo, &why));
	e->map = m;
	e->machine = d->machine;
	/* A sink of its own, the same functions. */
	struct fake_sink *f = calloc(1, sizeof *f);
	f->sink = (struct map_sink){ .refs = 2, .send = sink->send, .end = sink->end, .refuse = sink->refuse, .destroy = sink->destroy };
	e->sink = &f->sink;
	harness_apply(d->h, e);
	if (f->n) {
		model_apply(fresh, f->msg[0]);
		normalise(model);
		normalise(fresh);
		if (!json_equal(model, fresh)) {
			char *a = json_dumps(model, JSON_SORT_KEYS | JSON_INDENT(1)), *b = json_dumps(fresh, JSON_SORT_KEYS | JSON_INDENT(1));
			fail_msg("step %zu, %s: deltas give\n%s\na fresh map says\n%s", step, d->hostname, a, b);
		}
	}
	map_sink_unref(&f->sink);
	json_decref(model);
	json_decref(fresh);
}

static void run(uint64_t seed, bool failing)
{
	struct harness h;
	struct device d[DEVICES];
	const char *keys[3];

	harness_start(&h, NULL);
	rng.s = seed;
	harness_user(&h, "ann");
	harness_user(&h, "bob");
	keys[0] = harness_authkey(&h, "ann", AK_REUSABLE);
	keys[1] = harness_authkey(&h, "bob", AK_REUSABLE);
	keys[2] = harness_authkey(&h, "ann", AK_REUSABLE | AK_EPHEMERAL);
	for (int i = 0; i < DEVICES; i++) {
		device_init(&d[i], &h, "dev");
		d[i].from = (struct addr){ 0 };
	}
	for (size_t step = 0; step < STEPS; step++) {
		h.hold = failing;
		for (uint64_t n = 1 + rng_below(&rng, 6); n; n--)
			change(&h, d, keys);
		if (failing && rng_below(&rng, 2)) {
			harness_fail_after(&h, h.durable + rng_below(&rng, 4));
			h.hold = false;
			harness_settle(&h);
			char *a = harness_dump(&h), *b = harness_dump_db(&h);
			if (strcmp(a, b) != 0)
				fail_msg("seed %llu step %zu: memory is\n%s\nthe database\n%s", (unsigned long long)seed, step, a, b);
			free(a);
			free(b);
		}
		h.hold = false;
		harness_settle(&h);
		harness_step(&h, (int64_t)rng_below(&rng, 5000));
		if (step % 5 == 0)
			for (int i = 0; i < DEVICES; i++)
				if (d[i].stream && !d[i].waiting)
					check_stream(&d[i], step);
	}
	for (int i = 0; i < DEVICES; i++)
		device_done(&d[i]);
	harness_stop(&h);
}

static void deltas_converge(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 4; seed++)
		run(seed, false);
}

static void failing_commits_are_undone(void **state)
{
	(void)state;
	log_set_level(LOG_ERROR);
	for (uint64_t seed = 100; seed <= 104; seed++)
		run(seed, true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(deltas_converge),
		cmocka_unit_test(failing_commits_are_undone),
	};

	log_set_level(LOG_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
