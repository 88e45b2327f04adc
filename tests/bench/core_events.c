/* core_events: how long one event takes in a tailnet of N nodes that all stream: mean and longest, by kind. Prints a line a
 * kind. The store is played (durable at once), messages are counted and dropped.
 *
 *	build/release/tests/bench/core_events [nodes, default 10000] */
#include <stdio.h>
#include <stdlib.h>

#include "common/base/cleanup.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/random.h"
#include "server/core/state.h"

static struct core *core;
static struct job *job;
static struct now now = { 1000000, 1800000000000LL };
static struct effects fx;
static uint64_t durable;
static char secret[128];

struct kind {
	const char *name;
	int64_t sum_us, max_us;
	size_t n;
};
static struct kind kinds[] = { { "register", 0, 0, 0 }, { "stream", 0, 0, 0 }, { "lite", 0, 0, 0 }, { "flush", 0, 0, 0 },
	{ "close", 0, 0, 0 }, { "tick", 0, 0, 0 }, { "command", 0, 0, 0 }, { "job", 0, 0, 0 } };
enum { K_REGISTER, K_STREAM, K_LITE, K_FLUSH, K_CLOSE, K_TICK, K_COMMAND, K_JOB };

static void no_send(struct map_sink *s, struct map_msg *m)
{
	(void)s;
	(void)m;
}

static void no_end(struct map_sink *s)
{
	(void)s;
}

static void on_reply(struct call *c, struct reply *r)
{
	(void)c;
	if (r->e != OK || (r->http_status && r->http_status != 200))
		fprintf(stderr, "error: %s\n", r->message ? r->message : "?");
	if (r->secret)
		snprintf(secret, sizeof secret, "%s", r->secret);
	reply_free(r);
}
static struct call call = { on_reply };

static void apply(int kind, struct event *e)
{
	uint64_t seq = durable;
	int64_t t = clock_mono_us();

	core_apply(core, e, now, &fx);
	t = clock_mono_us() - t;
	if (kind >= 0) {
		kinds[kind].sum_us += t;
		kinds[kind].n++;
		kinds[kind].max_us = MAX_OF(kinds[kind].max_us, t);
	}
	for (size_t i = 0; i < fx.n; i++) {
		struct effect *x = &fx.e[i];
		if (x->kind == FX_REPLY) {
			x->call->deliver(x->call, x->reply);
			x->reply = NULL;
		} else if (x->kind == FX_JOB) {
			job = x->job;
		} else if (x->kind == FX_STORE && x->batch && x->batch->seq) {
			seq = x->batch->seq;
		}
		effect_done(x);
	}
	fx.n = 0;
	if (job) { /* a worker has it meanwhile: its time is not the core's */
		struct job *j = job;

		job = NULL;
		job_run(j);
		apply(K_JOB, MOVE(j->home));
	}
	if (seq != durable) {
		durable = seq;
		struct event *d = event_new(EV_STORE_DURABLE);
		d->seq = seq;
		apply(-1, d);
	}
}

static void flush(void)
{
	while (core_wants_flush(core))
		apply(K_FLUSH, event_new(EV_FLUSH));
}

static void tick(int64_t ms)
{
	int64_t end = now.mono_ms + ms;

	while (core_deadline_ms(core) <= end) {
		int64_t at = MAX_OF(core_deadline_ms(core), now.mono_ms);
		now.wall_ms += at - now.mono_ms;
		now.mono_ms = at;
		apply(K_TICK, event_new(EV_TICK));
		flush();
	}
}

struct member {
	struct map_sink sink;
	struct machine_pub machine;
	struct node_pub key;
	struct disco_pub disco;
};

static void request(struct event *e, const struct member *m, bool lite)
{
	struct tailcfg_map_request *r = arena_alloc(&e->arena, sizeof *r);
	struct json_why why;

	r->version = 130;
	r->node_key = m->key;
	r->has_hostinfo = lite;
	if (tailcfg_hostinfo_parse(BYTES_LIT("{\"Hostname\":\"node\",\"OS\":\"linux\",\"NetInfo\":{\"PreferredDERP\":900},\"Services\":[{\"Proto\":"
			"\"peerapi4\",\"Port\":1234}]}"), &e->arena, &r->hostinfo, &why) != OK)
		abort();
	if (lite) {
		r->disco_key = m->disco;
		r->endpoints = arena_alloc(&e->arena, sizeof *r->endpoints);
		r->endpoints[0] = (struct tailcfg_endpoint){ { addr_v4(198, 51, 100, 7), (uint16_t)(1 + random_below(60000)) }, 1 };
		r->n_endpoints = 1;
	}
	e->map = r;
	e->machine = m->machine;
}

int main(int argc, char **argv)
{
	size_t n = argc > 1 ? strtoul(argv[1], NULL, 10) : 10000;
	struct core_settings set = {
		.server_url = "https://vpn.example.com", .base_domain = "tail.example.com", .domain = "example.com",
		.v4 = { .addr = addr_v4(100, 64, 0, 0), .bits = 10 }, .magic_dns = true, .offline_grace_ms = 3000,
		.restart_grace_ms = 45000, .announce_wait_ms = 2000, .ephemeral_timeout_ms = 120000, .max_pending = 100,
		.node_expiry_ms = 180LL * 86400 * 1000, .min_capver = 113,
	};
	struct store_image image = { 0 };
	struct member *m = calloc(n, sizeof *m);
	char why[200];

	log_set_level(LOG_ERROR);
	if (!m || core_new(&set, &image, now, why, sizeof why, &core) != OK)
		return 1;
	struct event *e = event_new(EV_COMMAND);
	e->command = command_new(CMD_USER_CREATE);
	e->command->name = "ann";
	e->call = &call;
	apply(-1, e);
	e = event_new(EV_COMMAND);
	e->command = command_new(CMD_AUTHKEY_CREATE);
	e->command->user = "ann";
	e->command->reusable = true;
	e->call = &call;
	apply(-1, e);
	for (size_t i = 0; i < n; i++) {
		random_fill(&m[i].machine, 32);
		random_fill(&m[i].key, 32);
		random_fill(&m[i].disco, 32);
		m[i].sink = (struct map_sink){ .refs = 1, .send = no_send, .end = no_end, .destroy = no_end };
		e = event_new(EV_REGISTER);
		request(e, &m[i], false);
		struct tailcfg_register_request *r = arena_alloc(&e->arena, sizeof *r);
		*r = (struct tailcfg_register_request){ .version = 130, .node_key = m[i].key, .auth_key = secret, .followup = "",
			.hostinfo = e->map->hostinfo, .tailnet = "", .signature_type = "" };
		e->map = NULL;
		e->reg = r;
		e->call = &call;
		apply(K_REGISTER, e);
		e = event_new(EV_MAP_STREAM);
		request(e, &m[i], false);
		e->sink = map_sink_ref(&m[i].sink);
		apply(K_STREAM, e);
		e = event_new(EV_MAP_LITE);
		request(e, &m[i], true);
		e->call = &call;
		apply(K_LITE, e);
		if (i % 50 == 0)
			flush();
	}
	flush();
	printf("%zu nodes joined\n", n);
	for (size_t k = 0; k < ARRAY_LEN(kinds); k++)
		if (kinds[k].n)
			printf("  %-9s n=%-6zu mean=%lld us  max=%lld us\n", kinds[k].name, kinds[k].n,
					(long long)(kinds[k].sum_us / (int64_t)kinds[k].n), (long long)kinds[k].max_us);
	for (size_t k = 0; k < ARRAY_LEN(kinds); k++)
		kinds[k].n = 0, kinds[k].sum_us = kinds[k].max_us = 0;
	for (size_t i = 0; i < 200; i++) {
		struct member *x = &m[random_below(n)];
		e = event_new(EV_MAP_LITE);
		request(e, x, true);
		e->call = &call;
		apply(K_LITE, e);
		flush();
		e = event_new(EV_SINK_CLOSED);
		e->sink = map_sink_ref(&x->sink);
		apply(K_CLOSE, e);
		flush();
		e = event_new(EV_MAP_STREAM);
		request(e, x, false);
		e->sink = map_sink_ref(&x->sink);
		apply(K_STREAM, e);
		flush();
		tick(100);
	}
	e = event_new(EV_COMMAND);
	e->command = command_new(CMD_NODE_LIST);
	e->call = &call;
	apply(K_COMMAND, e);
	printf("then single changes\n");
	for (size_t k = 0; k < ARRAY_LEN(kinds); k++)
		if (kinds[k].n)
			printf("  %-9s n=%-6zu mean=%lld us  max=%lld us\n", kinds[k].name, kinds[k].n,
					(long long)(kinds[k].sum_us / (int64_t)kinds[k].n), (long long)kinds[k].max_us);
	core_free(core);
	effects_done(&fx);
	free(m);
	return 0;
}
