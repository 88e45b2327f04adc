#include "tests/sim/world.h"

#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "common/base/cleanup.h"
#include "common/base/log.h"
#include "common/base/random.h"
#include "tests/lib/store_model.h"
#include "tests/sim/client.h"

enum { SETTLE_MAX = 100000 };

/* ---- saying ---- */

void world_fail(struct world *w, const char *fmt, ...)
{
	va_list ap;

	fflush(stdout);
	fprintf(stderr, "seed %llu, step %zu: ", (unsigned long long)w->seed, w->step);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	fflush(stderr);
	_exit(1);
}

void world_say(struct world *w, const char *fmt, ...)
{
	va_list ap;

	if (!w->verbose)
		return;
	printf("# %zu %lld: ", w->step, (long long)w->now.mono_ms);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
	fflush(stdout);
}

uint64_t chance(struct world *w, uint64_t below)
{
	return rng_below(&w->rng, below);
}

bool one_in(struct world *w, uint64_t n)
{
	return rng_below(&w->rng, n) == 0;
}

/* ---- random bytes: the seed decides about all of them, also about those that libsodium takes by itself ---- */

static struct test_rng sodium_rng;

static const char *seeded_name(void)
{
	return "seeded";
}

static uint32_t seeded_u32(void)
{
	return (uint32_t)rng_u64(&sodium_rng);
}

static void seeded_buf(void *const buf, const size_t n)
{
	rng_fill(&sodium_rng, buf, n);
}

static void seed_everything(uint64_t seed)
{
	static struct randombytes_implementation seeded = { .implementation_name = seeded_name, .random = seeded_u32, .buf = seeded_buf };

	sodium_rng.s = seed ^ 0x5eed;
	randombytes_set_implementation(&seeded);
	test_random_seed(seed);
}

/* ---- calls ---- */

static void on_reply(struct call *call, struct reply *taken)
{
	struct sim_call *c = container_of(call, struct sim_call, call);

	list_del(&c->all);
	if (taken->e != OK && (!taken->message || !*taken->message))
		world_fail(c->w, "a failed reply says nothing (error %d)", (int)taken->e);
	c->done(c, taken);
	reply_free(taken);
	free(c);
}

struct sim_call *world_call(struct world *w, struct client *client, void (*done)(struct sim_call *, struct reply *))
{
	struct sim_call *c = calloc(1, sizeof *c);

	*c = (struct sim_call){ .call.deliver = on_reply, .w = w, .client = client, .done = done };
	list_init(&c->all);
	list_add_tail(&w->calls, &c->all);
	return c;
}

/* ---- the store ---- */

static void on_store(void *ctx, struct store_batch *b)
{
	struct world *w = ctx;

	b->next = NULL;
	if (b->epoch != w->epoch) { /* of before a failure */
		store_batch_free(b);
		return;
	}
	*w->last = b;
	w->last = &b->next;
	w->n_batches++;
}

static struct store_batch *take_batch(struct world *w)
{
	struct store_batch *b = w->first;

	w->first = b->next;
	if (!w->first)
		w->last = &w->first;
	w->n_batches--;
	return b;
}

static void write_batch(struct world *w, struct store_batch *b)
{
	char why[200];

	if (b->seq && b->seq != w->durable + 1)
		world_fail(w, "batch %llu after %llu", (unsigned long long)b->seq, (unsigned long long)w->durable);
	for (size_t i = 0; i < b->n; i++) {
		check_store_op(w, &b->op[i]);
		if (!store_model_apply(&w->db, &b->op[i], why, sizeof why))
			world_fail(w, "the database would refuse batch %llu: %s", (unsigned long long)b->seq, why);
	}
	if (b->seq)
		w->durable = b->seq;
	store_batch_free(b);
}

void world_commit(struct world *w, size_t batches)
{
	uint64_t before = w->durable;

	if (w->failed)
		return;
	for (; batches && w->first; batches--)
		write_batch(w, take_batch(w));
	if (w->durable == before)
		return;
	struct event *e = event_new(EV_STORE_DURABLE);
	e->seq = w->durable;
	release_durable(&w->release, w->durable);
	world_apply(w, e);
}

void world_store_fails(struct world *w, size_t keep)
{
	if (w->failed)
		return;
	for (; keep && w->first; keep--)
		write_batch(w, take_batch(w));
	while (w->first)
		store_batch_free(take_batch(w));
	w->failed = true;
	w->epoch++;
	w->failures++;
	world_say(w, "the store fails after %llu", (unsigned long long)w->durable);
}

void world_store_news(struct world *w)
{
	if (!w->failed)
		return;
	struct event *e = event_new(EV_STORE_FAILED);
	e->seq = w->durable;
	e->epoch = w->epoch;
	w->failed = false;
	release_failed(&w->release, w->durable, "disk full");
	for (size_t i = 0; i < w->n_lives; i++)
		w->lives[i].ephemeral_ms = w->lives[i].quiet_ms = w->now.mono_ms; /* who is put back leaves anew */
	world_apply(w, e);
	for (size_t i = 0; i < w->n_lives; i++)
		if (!node_by_id(w->core, w->lives[i].id)) /* its id may come again */
			w->lives[i].born_ms = w->now.mono_ms;
}

/* ---- the worker ---- */

static void on_job(void *ctx, struct job *j)
{
	struct world *w = ctx;

	if (w->n_jobs == ARRAY_LEN(w->jobs))
		world_fail(w, "more jobs than %d", JOBS_MAX);
	w->jobs[w->n_jobs++] = j;
}

bool world_work(struct world *w)
{
	struct job *j = w->jobs[0];

	if (!w->n_jobs)
		return false;
	w->n_jobs--;
	memmove(w->jobs, w->jobs + 1, w->n_jobs * sizeof w->jobs[0]);
	job_run(j);
	world_apply(w, MOVE(j->home));
	return true;
}

/* ---- the relay's list ---- */

static size_t find_admitted(const struct world *w, const struct node_pub *key)
{
	size_t i = 0;

	while (i < w->n_admitted && !node_pub_eq(&w->admitted[i], key))
		i++;
	return i;
}

static void on_admit(void *ctx, const struct node_pub *key)
{
	struct world *w = ctx;

	if (find_admitted(w, key) < w->n_admitted)
		return;
	w->admitted = realloc(w->admitted, (w->n_admitted + 1) * sizeof *w->admitted);
	w->admitted[w->n_admitted++] = *key;
}

static void on_revoke(void *ctx, const struct node_pub *key)
{
	struct world *w = ctx;
	size_t at = find_admitted(w, key);

	if (at < w->n_admitted)
		w->admitted[at] = w->admitted[--w->n_admitted];
}

/* ---- messages ---- */

json_t *world_json(struct world *w, struct map_msg *m)
{
	uint8_t head[4];
	size_t payload;
	json_error_t je;

	for (size_t i = w->n_parsed; i-- > 0;)
		if (w->parsed[i].msg == m)
			return w->parsed[i].json;
	struct buf b = buf_make(1u << 30);
	if (map_msg_head(m, false, head, &payload) != OK)
		world_fail(w, "a message without a head");
	for (size_t i = 0; map_msg_piece(m, false, i).n; i++)
		buf_append(&b, map_msg_piece(m, false, i));
	if (buf_len(&b) != payload)
		world_fail(w, "a message of %zu bytes says %zu", buf_len(&b), payload);
	json_t *v = json_loadb((const char *)buf_view(&b).p, buf_len(&b), JSON_REJECT_DUPLICATES, &je);
	if (!v)
		world_fail(w, "a message is no JSON: %s at %d: %.*s", je.text, je.position, (int)MIN_OF(buf_len(&b), (size_t)2000),
				(const char *)buf_view(&b).p);
	buf_done(&b);
	if (w->n_parsed == w->cap_parsed) {
		w->cap_parsed = w->cap_parsed ? 2 * w->cap_parsed : 64;
		w->parsed = realloc(w->parsed, w->cap_parsed * sizeof *w->parsed);
	}
	w->parsed[w->n_parsed++] = (struct parsed){ map_msg_ref(m), v };
	return v;
}

static void forget_messages(struct world *w)
{
	for (size_t i = 0; i < w->n_parsed; i++) {
		map_msg_unref(w->parsed[i].msg);
		json_decref(w->parsed[i].json);
	}
	w->n_parsed = 0;
}

/* ---- time and turns ---- */

static int64_t cpu_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return ts.tv_sec * INT64_C(1000000000) + ts.tv_nsec;
}

void world_apply(struct world *w, struct event *e)
{
	enum event_kind kind = e->kind;

	check_before(w);
	int64_t start = cpu_ns();

	if (w->jump_unseen)
		w->jumped_ms = w->now.mono_ms;
	w->jump_unseen = false;
	core_apply(w->core, e, w->now, &w->fx);
	w->max_ns[kind] = MAX_OF(w->max_ns[kind], cpu_ns() - start);
	w->events++;
	check_effects(w, kind);
	if (release_add(&w->release, &w->fx) != OK)
		world_fail(w, "out of memory");
	if (!w->release.n)
		forget_messages(w);
}

void world_flush(struct world *w)
{
	if (!core_wants_flush(w->core))
		return;
	w->rounds++;
	world_apply(w, event_new(EV_FLUSH));
}

static bool tick(struct world *w)
{
	if (core_deadline_ms(w->core) > w->now.mono_ms)
		return false;
	world_apply(w, event_new(EV_TICK));
	return true;
}

static bool clients_answer(struct world *w)
{
	size_t events = w->events;

	for (size_t i = 0; i < w->n_clients; i++)
		client_read(w->clients[i]);
	return w->events != events;
}

void world_settle(struct world *w)
{
	w->hold_store = w->hold_rounds = false;
	for (size_t i = 0; i < SETTLE_MAX; i++) {
		world_store_news(w);
		if (tick(w) || world_work(w))
			continue;
		if (w->first)
			world_commit(w, SIZE_MAX);
		else if (core_wants_flush(w->core))
			world_flush(w);
		else if (clients_answer(w)) /* what they read may make them say something */
			continue;
		else if (w->core->tailnets[0]->damp.index) { /* somebody flaps */
			int64_t ms = w->core->tailnets[0]->damp.at_ms - w->now.mono_ms;
			w->now.mono_ms += ms > 0 ? ms : 0;
			w->now.wall_ms += ms > 0 ? ms : 0;
		} else
			break;
		if (i == SETTLE_MAX - 1)
			world_fail(w, "it never settles");
	}
}

void world_step(struct world *w, int64_t ms)
{
	int64_t end = w->now.mono_ms + ms;

	while (core_deadline_ms(w->core) <= end) {
		int64_t at = core_deadline_ms(w->core);

		if (at > w->now.mono_ms) {
			w->now.wall_ms += at - w->now.mono_ms;
			w->now.mono_ms = at;
		}
		tick(w);
		if (one_in(w, 4))
			world_work(w);
		if (!w->hold_store)
			world_commit(w, SIZE_MAX);
		if (!w->hold_rounds)
			world_flush(w);
	}
	w->now.wall_ms += end - w->now.mono_ms;
	w->now.mono_ms = end;
}

void world_jump(struct world *w, int64_t ms)
{
	w->now.wall_ms += ms;
	w->jumped_ms = w->now.mono_ms;
	w->jump_unseen = true;
	world_say(w, "the clock jumps by %lld ms", (long long)ms);
}

/* ---- life ---- */

static struct core *core_of_db(struct world *w)
{
	struct store_image image;
	struct core *c;
	char why[300];

	store_model_copy(&w->db, &image);
	if (core_new(&w->set, &image, w->now, why, sizeof why, &c) != OK)
		world_fail(w, "the core does not start: %s", why);
	return c;
}

static void start(struct world *w)
{
	w->durable = 0;
	w->epoch = 1;
	w->failed = false;
	w->n_admitted = 0;
	w->release.durable = 0;
	w->release.hooks = (struct release_hooks){ w, on_store, on_admit, on_revoke, on_job };
	w->core = core_of_db(w);
	core_admit_all(w->core, &w->fx);
	if (release_add(&w->release, &w->fx) != OK)
		world_fail(w, "out of memory");
}

/* Without a word: what waited for the disk is lost, and so is who asked. */
static void die(struct world *w)
{
	while (w->release.n) {
		effect_done(&w->release.q[w->release.head++ & (w->release.cap - 1)]);
		w->release.n--;
	}
	list_each_safe(it, &w->calls) {
		struct sim_call *c = container_of(it, struct sim_call, all);
		list_del(&c->all);
		if (c->client)
			client_server_died(c->client);
		free(c);
	}
}

static void stop(struct world *w, bool orderly)
{
	world_store_news(w);
	if (orderly) {
		core_close(w->core, w->now, &w->fx);
		if (release_add(&w->release, &w->fx) != OK)
			world_fail(w, "out of memory");
		while (w->first)
			write_batch(w, take_batch(w));
		release_durable(&w->release, w->durable);
		release_done(&w->release);
		w->release.n = w->release.head = 0;
		if (!list_is_empty(&w->calls))
			world_fail(w, "a call was never answered");
	} else {
		die(w);
		while (w->first)
			store_batch_free(take_batch(w));
	}
	effects_done(&w->fx);
	w->n_jobs = 0;
	core_free(w->core);
	w->core = NULL;
	forget_messages(w);
}

/* Routes with more than one router, and who carried each. */
struct held {
	struct prefix prefix;
	int64_t node_id;
};

static struct held *held_routes(struct world *w, size_t *n)
{
	struct tailnet *t = w->core->tailnets[0];
	struct held *list = calloc(t->routes.n + 1, sizeof *list);
	size_t at = 0;

	if (!list)
		world_fail(w, "out of memory");
	for (struct route *r; (r = map_next(&t->routes, &at));) {
		struct node *carrier = node_by_id(w->core, r->node_id);
		if (r->n > 1 && carrier && carrier->session && !carrier->away)
			list[(*n)++] = (struct held){ r->prefix, r->node_id };
	}
	return list;
}

/* After an orderly stop they stay where they were, if who carried one still may. */
static void check_held(struct world *w, const struct held *held, size_t n)
{
	struct tailnet *t = w->core->tailnets[0];

	for (size_t i = 0; i < n; i++) {
		const struct route *r = map_get(&t->routes, &held[i].prefix);
		bool may = false;

		for (size_t k = 0; r && k < r->n; k++)
			may |= r->cand[k]->row.id == held[i].node_id && r->cand[k]->m.online;
		if (may && r->node_id != held[i].node_id)
			world_fail(w, "a route of node %lld moved to %lld at a restart", (long long)held[i].node_id, (long long)r->node_id);
	}
}

void world_restart(struct world *w, bool orderly)
{
	world_say(w, "%s", orderly ? "restart" : "crash");
	size_t n_held = 0;
	struct held *held = orderly ? held_routes(w, &n_held) : NULL;
	stop(w, orderly);
	for (size_t i = 0; i < w->n_clients; i++)
		client_server_died(w->clients[i]);
	w->restarts++;
	if (one_in(w, 3))
		w->now.wall_ms += (int64_t)chance(w, 600000); /* it was away for a while; mono may be another machine's */
	start(w);
	check_held(w, held, n_held);
	free(held);
	for (size_t i = 0; i < w->n_lives; i++) {
		w->lives[i].quiet_ms = w->now.mono_ms;
		if (!node_by_id(w->core, w->lives[i].id)) /* its id may come again, if nobody was told of it */
			w->lives[i].born_ms = w->now.mono_ms;
	}
	w->jumped_ms = w->now.mono_ms;
}

static struct core_settings settings(void)
{
	static struct tailcfg_derp_node node = { .name = "900a", .region_id = 900, .host_name = "derp.example.com" };
	static struct tailcfg_derp_region region = { .region_id = 900, .region_code = "home", .region_name = "Home", .nodes = &node,
		.n_nodes = 1 };
	static struct tailcfg_derp_map map = { .regions = &region, .n_regions = 1 };
	struct core_settings s = {
		.server_url = "https://vpn.example.com", .base_domain = "tail.example.com", .domain = "example.com",
		.v4 = { .addr = addr_v4(100, 64, 0, 0), .bits = 10 },
		.magic_dns = true, .derp_map = &map, .node_expiry_ms = 2LL * 3600 * 1000, .ephemeral_timeout_ms = 60000,
		.offline_grace_ms = 3000, .restart_grace_ms = 45000, .announce_wait_ms = 2000, .pending_ttl_ms = 30LL * 60 * 1000,
		.max_pending = 12, .max_pending_per_addr = 3, .taildrop = true, .min_capver = 113,
	};

	if (prefix_parse(BYTES_LIT("fd7a:115c:a1e0::/48"), &s.v6) != OK)
		abort();
	return s;
}

void world_init(struct world *w, uint64_t seed, bool verbose)
{
	memset(w, 0, sizeof *w);
	seed_everything(seed);
	log_set_level(verbose ? LOG_INFO : LOG_ERROR);
	w->seed = seed;
	w->verbose = verbose;
	w->rng.s = seed * 31 + 7;
	w->set = settings();
	w->set.probe_interval_ms = 2000;
	w->set.probe_timeout_ms = 1500;
	w->set.random_allocation = one_in(w, 4);
	w->now = (struct now){ .mono_ms = 1000000, .wall_ms = 1800000000000LL };
	w->jumped_ms = w->now.mono_ms;
	w->last = &w->first;
	list_init(&w->calls);
	w->lives = calloc(LIVES_MAX, sizeof *w->lives);
	w->keys = calloc(256, sizeof *w->keys);
	start(w);
}

void world_done(struct world *w)
{
	for (size_t i = 0; i < w->n_clients; i++)
		client_server_died(w->clients[i]);
	stop(w, false);
	for (size_t i = 0; i < w->n_clients; i++)
		client_free(w->clients[i]);
	free(w->clients);
	release_done(&w->release);
	store_image_done(&w->db);
	free(w->lives);
	free(w->keys);
	free(w->parsed);
	free(w->admitted);
	test_random_end();
}

struct life *world_life(struct world *w, int64_t id)
{
	size_t lo = 0, hi = w->n_lives;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		if (w->lives[mid].id < id)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < w->n_lives && w->lives[lo].id == id ? &w->lives[lo] : NULL;
}

struct life *world_life_or_new(struct world *w, int64_t id)
{
	struct life *have = world_life(w, id);
	size_t at = w->n_lives;

	if (have)
		return have;
	if (w->n_lives == LIVES_MAX)
		world_fail(w, "too many nodes for this simulation");
	while (at && w->lives[at - 1].id > id)
		at--;
	memmove(&w->lives[at + 1], &w->lives[at], (w->n_lives - at) * sizeof *w->lives);
	w->n_lives++;
	w->lives[at] = (struct life){ .id = id, .born_ms = w->now.mono_ms, .quiet_ms = w->now.mono_ms };
	return &w->lives[at];
}
