/* How long the core thinks: a tailnet of many nodes, and the longest event of each kind. Figures, no verdict; the wish of
 * DESIGN 2 is 2 ms an event at 10,000 nodes, in a release build:
 *
 *	make build/release/tests/sim/sim_scale && build/release/tests/sim/sim_scale --nodes 10000
 *
 * What it is asked is what a morning brings: everybody joins, streams, changes a little; an admin renames, deletes, sets a
 * policy; the network breaks and everybody comes back. Messages are counted and dropped: wires have their own time. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "common/base/cleanup.h"
#include "common/base/log.h"
#include "common/base/random.h"
#include "server/core/core.h"
#include "server/core/state.h"
#include "tests/lib/test.h"

enum { NODES = 1000, USERS = 40, BURST = 256 };

struct device {
	struct machine_pub machine;
	struct node_pub key;
	struct map_sink *sink; /* NULL: it does not stream */
};

struct scale {
	struct core *core;
	struct core_settings set;
	struct now now;
	struct effects fx;
	uint64_t durable;
	size_t n;
	struct device *devices;
	char keys[USERS][128];
	size_t n_keys;
	struct reply *reply;
	struct job *jobs[4];
	size_t n_jobs;
	size_t messages, bytes, asked;
	const char *phase;
	int64_t longest_ns, total_ns, flush_ns;
	size_t events;
};

static int64_t cpu_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return ts.tv_sec * INT64_C(1000000000) + ts.tv_nsec;
}

/* ---- what surrounds the core ---- */

static void sink_nothing(struct map_sink *s)
{
	(void)s;
}

static void sink_send(struct map_sink *s, struct map_msg *m)
{
	(void)s, (void)m;
}

static void sink_refuse(struct map_sink *s, int status, const char *why)
{
	(void)s, (void)status, (void)why;
}

static void sink_destroy(struct map_sink *s)
{
	free(s);
}

static struct scale *the;

static void deliver(struct call *c, struct reply *r)
{
	(void)c;
	reply_free(the->reply);
	the->reply = r;
	if (r->e != OK) {
		fprintf(stderr, "%s: %s\n", the->phase, r->message);
		exit(1);
	}
}

static struct call call = { deliver };

static void release(struct scale *s)
{
	for (size_t i = 0; i < s->fx.n; i++) {
		struct effect *e = &s->fx.e[i];

		if (e->kind == FX_STORE && e->batch->seq)
			s->durable = e->batch->seq;
		if (e->kind == FX_JOB)
			s->jobs[s->n_jobs++] = e->job;
		if (e->kind == FX_REPLY) {
			e->call->deliver(e->call, e->reply);
			e->reply = NULL;
		}
		if (e->kind == FX_MAP) {
			s->messages += e->n_sinks;
			s->bytes += e->n_sinks * map_msg_text_len(e->msg);
		}
		effect_done(e);
	}
	s->fx.n = 0;
}

static int64_t apply(struct scale *s, struct event *e)
{
	bool flush = e->kind == EV_FLUSH;
	int64_t start = cpu_ns();

	core_apply(s->core, e, s->now, &s->fx);
	int64_t took = cpu_ns() - start;
	if (!flush)
		s->longest_ns = MAX_OF(s->longest_ns, took);
	else
		s->flush_ns = MAX_OF(s->flush_ns, took);
	s->total_ns += took;
	s->events++;
	release(s);
	while (s->n_jobs) { /* a worker has it: its time is not the core's */
		struct job *j = s->jobs[--s->n_jobs];

		job_run(j);
		apply(s, MOVE(j->home));
	}
	if (s->durable > s->core->durable) {
		struct event *d = event_new(EV_STORE_DURABLE);
		d->seq = s->durable;
		apply(s, d);
	}
	return took;
}

static void flush(struct scale *s)
{
	while (core_wants_flush(s->core))
		apply(s, event_new(EV_FLUSH));
}

static void after(struct scale *s)
{
	if (++s->asked % BURST == 0)
		flush(s);
}

static void step(struct scale *s, int64_t ms)
{
	int64_t end = s->now.mono_ms + ms;

	while (core_deadline_ms(s->core) <= end) {
		int64_t at = core_deadline_ms(s->core);
		if (at > s->now.mono_ms) {
			s->now.wall_ms += at - s->now.mono_ms;
			s->now.mono_ms = at;
		}
		apply(s, event_new(EV_TICK));
		flush(s);
	}
	s->now.wall_ms += end - s->now.mono_ms;
	s->now.mono_ms = end;
}

static void begin(struct scale *s, const char *phase)
{
	step(s, 1000); /* people pause, too: what the core does ahead of time is done then, and counted with nobody */
	s->phase = phase;
	s->longest_ns = s->total_ns = s->flush_ns = 0;
	s->events = s->messages = s->bytes = 0;
}

static void end(struct scale *s)
{
	flush(s);
	printf("# %-44s %7zu events, longest %7.2f ms, longest round %7.2f ms, all %8.1f ms, %8zu messages, %8.1f MB\n", s->phase, s->events,
			(double)s->longest_ns / 1e6, (double)s->flush_ns / 1e6, (double)s->total_ns / 1e6, s->messages, (double)s->bytes / 1e6);
	fflush(stdout);
}

/* ---- requests ---- */

static struct tailcfg_hostinfo *hostinfo(struct event *e, size_t i, bool net)
{
	struct tailcfg_hostinfo *hi;
	struct json_why why;
	char text[300];

	snprintf(text, sizeof text, "{\"Hostname\":\"host-%zu\",\"OS\":\"linux\",\"OSVersion\":\"12\",\"GoArch\":\"amd64\"%s}", i,
			net ? ",\"NetInfo\":{\"PreferredDERP\":900}" : "");
	if (tailcfg_hostinfo_parse(bytes_str(text), &e->arena, &hi, &why) != OK)
		abort();
	return hi;
}

static void join(struct scale *s, size_t i)
{
	struct event *e = event_new(EV_REGISTER);
	struct tailcfg_register_request *r = arena_alloc(&e->arena, sizeof *r);
	struct device *d = &s->devices[i];

	random_fill(&d->machine, sizeof d->machine);
	random_fill(&d->key, sizeof d->key);
	*r = (struct tailcfg_register_request){ .version = 130, .node_key = d->key, .auth_key = s->keys[i % s->n_keys], .followup = "",
		.signature_type = "", .tailnet = "", .hostinfo = hostinfo(e, i, false) };
	e->reg = r;
	e->machine = d->machine;
	e->remote = addr_v4(192, 0, 2, 1);
	e->call = &call;
	apply(s, e);
	after(s);
}

static struct event *map_event(struct scale *s, enum event_kind kind, size_t i, uint16_t port)
{
	struct event *e = event_new(kind);
	struct tailcfg_map_request *m = arena_alloc(&e->arena, sizeof *m);
	struct device *d = &s->devices[i];

	m->version = 130;
	m->zstd = m->keep_alive = true;
	m->node_key = d->key;
	memcpy(&m->disco_key, &d->machine, sizeof m->disco_key);
	m->hostinfo = hostinfo(e, i, true);
	m->has_hostinfo = m->has_endpoints = true;
	m->endpoints = arena_alloc(&e->arena, sizeof *m->endpoints);
	m->endpoints[0] = (struct tailcfg_endpoint){ { addr_v4(198, 51, (uint8_t)(i >> 8), (uint8_t)i), port }, 1 };
	m->n_endpoints = 1;
	m->tka_head = m->attestation_key = m->map_session_handle = "";
	e->map = m;
	e->machine = d->machine;
	return e;
}

static void lite(struct scale *s, size_t i, uint16_t port)
{
	struct event *e = map_event(s, EV_MAP_LITE, i, port);

	e->map->omit_peers = true;
	e->call = &call;
	apply(s, e);
	after(s);
}

static void stream(struct scale *s, size_t i)
{
	struct event *e = map_event(s, EV_MAP_STREAM, i, 41641);
	struct map_sink *k = calloc(1, sizeof *k);

	*k = (struct map_sink){ .refs = 2, .zstd = true, .send = sink_send, .end = sink_nothing, .refuse = sink_refuse, .destroy = sink_destroy };
	e->map->stream = true;
	e->sink = k;
	s->devices[i].sink = k;
	apply(s, e);
	after(s);
}

static void hang_up(struct scale *s, size_t i)
{
	struct event *e = event_new(EV_SINK_CLOSED);

	e->sink = s->devices[i].sink;
	s->devices[i].sink = NULL;
	apply(s, e);
	after(s);
}

static struct reply *command(struct scale *s, struct command *m)
{
	struct event *e = event_new(EV_COMMAND);

	e->command = m;
	e->call = &call;
	apply(s, e);
	return s->reply;
}

static struct command *about(enum command_kind kind, int64_t id)
{
	struct command *m = command_new(kind);

	m->id = id;
	return m;
}

static int64_t id_of(struct scale *s, size_t i)
{
	return node_by_key(s->core, &s->devices[i].key)->row.id;
}

/* ---- the morning ---- */

static void set_policy(struct scale *s, const char *phase, const char *text)
{
	struct command *m = command_new(CMD_POLICY_SET);

	begin(s, phase);
	m->text = text;
	command(s, m);
	end(s);
}

static void morning(struct scale *s)
{
	struct command *m;
	char name[32];

	begin(s, "users and keys");
	for (size_t i = 0; i < USERS; i++) {
		m = command_new(CMD_USER_CREATE);
		snprintf(name, sizeof name, "user%zu", i);
		m->name = name;
		command(s, m);
		m = command_new(CMD_AUTHKEY_CREATE);
		m->user = name;
		m->reusable = true;
		snprintf(s->keys[s->n_keys++], sizeof s->keys[0], "%s", command(s, m)->secret);
	}
	end(s);

	begin(s, "all register");
	for (size_t i = 0; i < s->n; i++)
		join(s, i);
	end(s);
	begin(s, "all report");
	for (size_t i = 0; i < s->n; i++)
		lite(s, i, 41641);
	end(s);
	begin(s, "all stream");
	for (size_t i = 0; i < s->n; i++)
		stream(s, i);
	end(s);

	begin(s, "one has a new endpoint");
	lite(s, s->n / 2, 1000);
	end(s);
	begin(s, "all have new endpoints");
	for (size_t i = 0; i < s->n; i++)
		lite(s, i, 2000);
	end(s);
	begin(s, "one is renamed");
	m = about(CMD_NODE_RENAME, id_of(s, 1));
	m->new_name = "renamed";
	command(s, m);
	end(s);
	begin(s, "one joins");
	s->n++;
	join(s, s->n - 1);
	lite(s, s->n - 1, 41641);
	stream(s, s->n - 1);
	end(s);
	begin(s, "one is deleted");
	hang_up(s, s->n - 1);
	command(s, about(CMD_NODE_DELETE, id_of(s, s->n - 1)));
	s->n--;
	end(s);
	begin(s, "a user with many nodes is renamed");
	m = about(CMD_USER_RENAME, user_find(s->core->tailnets[0], "user1")->row.id);
	m->new_name = "another";
	command(s, m);
	end(s);
	begin(s, "all are listed");
	command(s, command_new(CMD_NODE_LIST));
	end(s);
	begin(s, "all are listed again");
	command(s, command_new(CMD_NODE_LIST));
	end(s);
	begin(s, "statistics");
	command(s, command_new(CMD_STATS));
	end(s);

	set_policy(s, "a policy: all reach all, by rule", "{\"acls\": [{\"action\": \"accept\", \"src\": [\"*\"], \"dst\": [\"*:*\"]}]}");
	set_policy(s, "a policy: each user alone",
			"{\"acls\": [{\"action\": \"accept\", \"src\": [\"autogroup:member\"], \"dst\": [\"autogroup:self:*\"]}]}");
	set_policy(s, "a policy: a service", "{\"grants\": [{\"src\": [\"user2@\"], \"dst\": [\"svc:web\"], \"ip\": [\"tcp:80\"]},"
			" {\"src\": [\"autogroup:member\"], \"dst\": [\"autogroup:self\"], \"ip\": [\"*\"]}]}");
	begin(s, "the service is made");
	m = command_new(CMD_SERVICE_SET);
	m->name = "svc:web";
	command(s, m);
	end(s);
	begin(s, "the service is deleted");
	m = command_new(CMD_SERVICE_DELETE);
	m->name = "svc:web";
	command(s, m);
	end(s);
	begin(s, "one has a new endpoint, users apart");
	lite(s, s->n / 2, 1001);
	end(s);
	set_policy(s, "the first policy again", "");

	begin(s, "all hang up");
	for (size_t i = 0; i < s->n; i++)
		hang_up(s, i);
	end(s);
	begin(s, "all come back");
	for (size_t i = 0; i < s->n; i++)
		stream(s, i);
	end(s);
	begin(s, "all hang up and go offline");
	for (size_t i = 0; i < s->n; i++)
		hang_up(s, i);
	step(s, 5000);
	end(s);
	begin(s, "all come back and are online");
	for (size_t i = 0; i < s->n; i++)
		stream(s, i);
	end(s);
	begin(s, "an hour passes");
	step(s, 3600000);
	end(s);
}

static void init(struct scale *s, size_t nodes)
{
	static struct tailcfg_derp_node node = { .name = "900a", .region_id = 900, .host_name = "derp.example.com" };
	static struct tailcfg_derp_region region = { .region_id = 900, .region_code = "home", .region_name = "Home", .nodes = &node,
		.n_nodes = 1 };
	static struct tailcfg_derp_map map = { .regions = &region, .n_regions = 1 };
	struct store_image none = { 0 };
	char why[300];

	*s = (struct scale){ .n = nodes, .devices = calloc(nodes + 1, sizeof *s->devices), .now = { 1000000, 1800000000000LL } };
	s->set = (struct core_settings){
		.server_url = "https://vpn.example.com", .base_domain = "tail.example.com", .domain = "example.com",
		.v4 = { .addr = addr_v4(100, 64, 0, 0), .bits = 10 }, .magic_dns = true, .derp_map = &map,
		.node_expiry_ms = 180LL * 86400 * 1000, .ephemeral_timeout_ms = 120000, .offline_grace_ms = 3000,
		.restart_grace_ms = 45000, .announce_wait_ms = 2000, .pending_ttl_ms = 86400 * 1000, .max_pending = 100,
		.max_pending_per_addr = 4, .min_capver = 113,
	};
	if (prefix_parse(BYTES_LIT("fd7a:115c:a1e0::/48"), &s->set.v6) != OK ||
			core_new(&s->set, &none, s->now, why, sizeof why, &s->core) != OK)
		abort();
}

int main(int argc, char **argv)
{
	static struct scale s;
	size_t nodes = NODES;

	if (argc == 3 && strcmp(argv[1], "--nodes") == 0)
		nodes = strtoull(argv[2], NULL, 10);
	else if (argc != 1) {
		fprintf(stderr, "usage: %s [--nodes N]\n", argv[0]);
		return 2;
	}
	log_set_level(LOG_ERROR);
	test_random_seed(1);
	the = &s;
	init(&s, nodes);
	printf("# %zu nodes of %d users\n", nodes, USERS);
	morning(&s);
	core_close(s.core, s.now, &s.fx);
	release(&s);
	core_free(s.core);
	for (size_t i = 0; i < s.n; i++)
		if (s.devices[i].sink)
			map_sink_unref(s.devices[i].sink);
	reply_free(s.reply);
	effects_done(&s.fx);
	free(s.devices);
	printf("ok 1 - %zu nodes\n1..1\n", nodes);
	return 0;
}
