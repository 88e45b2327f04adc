/* swarm: thousands of simulated official nodes against a ts2021 server, ours or another, from one thread.
 *
 * It registers all nodes with one reusable auth key, and goes on as far as --mode says:
 *   register  nothing more
 *   idle      every node sends its endpoints and opens a map stream; waits until all is quiet
 *   fanout    rounds: a node sends a new endpoint; until the last of the others has it
 *   join      rounds: a new node joins; until the last of the others has it
 *   policy    rounds: says "policy now PORT"; until the last of those concerned was told a filter with that port
 *   restart   says "restart now" and waits until everyone lost the server and has a full map again
 * Several auth keys (--auth-key a,b,c) are given to the nodes in turn: owners and tags for a policy to tell apart.
 * With --pid also what the server's process needed for it. Spread over source addresses, because servers limit them. */
#include <getopt.h>
#include <inttypes.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "common/base/cleanup.h"
#include "common/base/clock.h"
#include "common/base/random.h"
#include "tests/lib/figures.h"
#include "tests/lib/sim_node.h"

enum {
	QUIET_MS = 1000,
	RSS_STEADY_MS = 5000,
	RSS_WAIT_MS = 20000,
	REGISTER_WAIT_MS = 90000,
	STREAMS_WAIT_MS = 90000,
	ROUND_WAIT_MS = 10000,
	RESTART_WAIT_MS = 120000,
	ROUND_GAP_MS = 30,
	BACKOFF_MAX_MS = 30000,
	MARK_MAX = 64,
	SPARE_FDS = 64,
	KEYS_MAX = 64,
	FIRST_PORT = 20000,
};

enum mode { MODE_REGISTER, MODE_IDLE, MODE_FANOUT, MODE_JOIN, MODE_POLICY, MODE_RESTART };
static const char *const mode_name[] = { "register", "idle", "fanout", "join", "policy", "restart" };

static struct options {
	const char *url;
	char *auth_key[KEYS_MAX];
	unsigned n_keys, policy_from; /* policy edits concern nodes with this key and those after it */
	bool skip[MODE_RESTART + 1];
	unsigned nodes, edits, concurrency, rate, rounds, sources, version;
	enum mode mode;
	pid_t pid;
	bool json, verbose;
} opt = { .nodes = 500, .edits = 20, .concurrency = 64, .rounds = 40, .sources = 250, .version = 142, .mode = MODE_FANOUT };

/* What a node of ours is at. */
enum phase { PH_NEW, PH_REGISTERING, PH_REGISTERED, PH_STREAMING };
struct sim_user {
	struct sim_node n;
	enum phase phase;
	bool has_map, waits; /* has_map: since it connected; waits: for the mark of this round */
	int64_t started_us;
	unsigned failures;
	struct loop_timer retry;
};

static struct swarm {
	struct loop *loop;
	struct sim_net net;
	struct sim_user *u; /* nodes and then those that join later */
	unsigned total;
	struct loop_timer clock; /* the deadline of what is waited for, and the pace of starts */
	bool timed_out;
	unsigned started, in_flight, done, failed; /* of this phase */
	int64_t last_message_us, last_done_us, phase_start_us;
	uint64_t messages;
	char mark[MARK_MAX];
	size_t mark_len;
	unsigned waiting;
	int64_t mark_seen_us;
	bool returning; /* lost nodes come back by themselves */
	unsigned lost;
	struct samples latency, each;
	char first_error[SIM_WHY_MAX];
	struct figures out;
} sw;

static struct sim_user *user_of(struct sim_node *n)
{
	return container_of(n, struct sim_user, n);
}

static void note_error(const char *what, const char *why)
{
	if (!sw.first_error[0])
		snprintf(sw.first_error, sizeof sw.first_error, "%s: %s", what, why);
	if (opt.verbose)
		fprintf(stderr, "swarm: %s: %s\n", what, why);
}

static void die(const char *what, const char *why)
{
	fprintf(stderr, "swarm: %s: %s\n", what, why);
	exit(1);
}

/* ---- waiting ------------------------------------------------------------------------------------------------------- */

static void on_clock(struct loop_timer *t)
{
	(void)t;
	sw.timed_out = true;
	loop_stop(sw.loop);
}

/* Runs the loop until something calls loop_stop; false: the time is up. */
static bool run_for(int64_t ms)
{
	sw.timed_out = false;
	loop_timer_in(&sw.clock, ms);
	loop_run(sw.loop);
	loop_timer_stop(&sw.clock);
	return !sw.timed_out;
}

/* Until no message came for QUIET_MS, or max_ms. */
static void run_until_quiet(int64_t max_ms)
{
	int64_t end = clock_mono_ms() + max_ms;

	sw.last_message_us = clock_mono_us();
	do
		run_for(100);
	while (clock_mono_us() - sw.last_message_us < QUIET_MS * 1000 && clock_mono_ms() < end);
}

/* ---- the nodes' life ----------------------------------------------------------------------------------------------- */

static void start_next(void);

static void count(bool ok)
{
	sw.in_flight--;
	if (ok)
		sw.done++;
	else
		sw.failed++;
	sw.last_done_us = clock_mono_us();
	start_next();
}

static void back_off(struct sim_user *u)
{
	u->failures++;
	int64_t ms = MIN_OF((int64_t)u->failures * u->failures * 10, (int64_t)BACKOFF_MAX_MS);

	loop_timer_in(&u->retry, ms / 2 + (int64_t)random_below((uint64_t)ms + 1));
}

static void on_retry(struct loop_timer *t)
{
	struct sim_user *u = container_of(t, struct sim_user, retry);

	if (sim_node_connect(&u->n) != OK)
		back_off(u);
}

static void on_open(struct sim_node *n)
{
	struct sim_user *u = user_of(n);

	if (u->phase == PH_REGISTERING && sim_node_register(n) != OK)
		die("register", "out of memory");
	if (u->phase == PH_STREAMING && sim_node_poll(n) != OK) /* back after a restart */
		die("map", "out of memory");
}

/* {"Error":"…"} or {"AuthURL":"…"} with anything in them. */
static bool has_text(struct bytes body, const char *member, char *out, size_t cap)
{
	char pattern[32];
	int n = snprintf(pattern, sizeof pattern, "\"%s\":\"", member);
	const uint8_t *at = memmem(body.p, body.n, pattern, (size_t)n);
	struct bytes rest;

	if (!at)
		return false;
	struct bytes text = bytes_cut(bytes_skip(body, (size_t)(at - body.p) + (size_t)n), '"', &rest);
	snprintf(out, cap, "%.*s", (int)MIN_OF(text.n, cap - 1), (const char *)text.p);
	return text.n > 0;
}

static void on_registered(struct sim_user *u, unsigned status, struct bytes body)
{
	char why[160];

	if (status != 200) {
		snprintf(why, sizeof why, "HTTP %u: %.*s", status, (int)MIN_OF(body.n, (size_t)100), (const char *)body.p);
		note_error("register", why);
		count(false);
		return;
	}
	if (has_text(body, "Error", why, sizeof why) || has_text(body, "AuthURL", why, sizeof why)) {
		note_error("register", why);
		count(false);
		return;
	}
	u->phase = PH_REGISTERED;
	samples_add(&sw.latency, (double)(clock_mono_us() - u->started_us) / 1000);
	count(true);
}

static void on_answer(struct sim_node *n, enum sim_request what, unsigned status, struct bytes body)
{
	struct sim_user *u = user_of(n);
	char why[160];

	if (what == SIM_REGISTER && u->phase == PH_REGISTERING) {
		on_registered(u, status, body);
	} else if (what == SIM_LITE && status != 200) {
		snprintf(why, sizeof why, "HTTP %u: %.*s", status, (int)MIN_OF(body.n, (size_t)100), (const char *)body.p);
		note_error("lite update", why);
	}
}

static void on_map(struct sim_node *n, struct bytes json, int64_t arrived_us)
{
	struct sim_user *u = user_of(n);

	if (map_is_keepalive(json))
		return;
	sw.messages++;
	sw.last_message_us = arrived_us;
	if (!u->has_map) {
		u->has_map = true;
		u->failures = 0;
		samples_add(&sw.latency, (double)(arrived_us - u->started_us) / 1000);
		count(true);
	}
	if (u->waits && memmem(json.p, json.n, sw.mark, sw.mark_len)) {
		u->waits = false;
		samples_add(&sw.each, (double)(arrived_us - sw.phase_start_us) / 1000);
		if (arrived_us > sw.mark_seen_us)
			sw.mark_seen_us = arrived_us;
		if (--sw.waiting == 0)
			loop_stop(sw.loop);
	}
}

static void on_lost(struct sim_node *n, const char *why)
{
	struct sim_user *u = user_of(n);

	if (sw.returning) {
		if (u->has_map && sw.lost++ == 0)
			sw.phase_start_us = clock_mono_us();
		u->has_map = false;
		back_off(u);
		return;
	}
	note_error("connection lost", why);
	if (u->waits && --sw.waiting == 0)
		loop_stop(sw.loop);
	u->waits = false;
	if (u->phase == PH_REGISTERING || (u->phase == PH_STREAMING && !u->has_map)) {
		u->phase = PH_NEW;
		count(false);
	}
}

static const struct sim_events node_events = {
	.on_open = on_open,
	.on_answer = on_answer,
	.on_map = on_map,
	.on_lost = on_lost,
};

/* ---- register and stream ------------------------------------------------------------------------------------------- */

static void start_registering(struct sim_user *u)
{
	u->phase = PH_REGISTERING;
	u->started_us = clock_mono_us();
	if (sim_node_connect(&u->n) != OK)
		die("connect", "no socket (ulimit -n?)");
}

/* An endpoint that no other node has, unless it is asked for the same k. */
static void endpoint_text(unsigned k, char out[MARK_MAX])
{
	snprintf(out, MARK_MAX, "10.%u.%u.%u:41641", 1 + k / 62500 % 250, k / 250 % 250, 1 + k % 250);
}

static void start_streaming(struct sim_user *u)
{
	char endpoint[MARK_MAX];

	endpoint_text(u->n.index, endpoint);
	u->phase = PH_STREAMING;
	u->has_map = false;
	u->started_us = clock_mono_us();
	if (sim_node_lite(&u->n, endpoint) != OK || sim_node_poll(&u->n) != OK)
		die("map", "a connection is gone");
}

static bool may_start(void)
{
	if (sw.started >= opt.nodes || sw.in_flight >= opt.concurrency)
		return false;
	if (!opt.rate)
		return true;
	return sw.started < (uint64_t)(clock_mono_us() - sw.phase_start_us) * opt.rate / 1000000 + 1;
}

static void (*start_one)(struct sim_user *u);

/* Starts what may start now; ends the phase when all have ended. */
static void start_next(void)
{
	if (!start_one)
		return;
	while (may_start()) {
		struct sim_user *u = &sw.u[sw.started++];

		if (start_one == start_streaming && u->phase != PH_REGISTERED) {
			sw.failed++;
			continue;
		}
		sw.in_flight++;
		start_one(u);
	}
	if (sw.done + sw.failed == opt.nodes)
		loop_stop(sw.loop);
}

static void run_phase(const char *name, void (*start)(struct sim_user *u), int64_t wait_ms)
{
	int64_t end = clock_mono_ms() + wait_ms;

	sw.started = sw.in_flight = sw.done = sw.failed = 0;
	samples_clear(&sw.latency);
	sw.phase_start_us = clock_mono_us();
	start_one = start;
	start_next();
	while (sw.done + sw.failed < opt.nodes && clock_mono_ms() < end) {
		run_for(opt.rate ? 5 : 1000);
		start_next();
	}
	start_one = NULL;
	if (sw.done < opt.nodes) {
		char why[SIM_WHY_MAX + 64];

		snprintf(why, sizeof why, "%u of %u nodes got through; %s", sw.done, opt.nodes,
			sw.first_error[0] ? sw.first_error : "the time is up");
		die(name, why);
	}
}

struct cost {
	int64_t cpu_us, own_us, wall_us;
};

static struct cost cost_now(void)
{
	return (struct cost){ process_cpu_us(opt.pid), process_cpu_us(0), clock_mono_us() };
}

static void report_latency(const char *prefix, struct samples *s)
{
	char name[64];

	snprintf(name, sizeof name, "%s.p50_ms", prefix);
	figure(&sw.out, name, samples_at(s, 0.5), "ms");
	snprintf(name, sizeof name, "%s.p99_ms", prefix);
	figure(&sw.out, name, samples_at(s, 0.99), "ms");
	snprintf(name, sizeof name, "%s.max_ms", prefix);
	figure(&sw.out, name, samples_at(s, 1), "ms");
}

static void report_cpu(const char *name, struct cost a, double per)
{
	struct cost b = cost_now();

	if (opt.pid)
		figure(&sw.out, name, (double)(b.cpu_us - a.cpu_us) / 1000 / per, "ms of the server's CPU");
}

static void report_rss(const char *name)
{
	if (opt.pid)
		figure(&sw.out, name, (double)process_rss_kib(opt.pid), "KiB");
}

static void run_register(void)
{
	report_rss("empty.rss_kib");
	struct cost a = cost_now();

	run_phase("register", start_registering, REGISTER_WAIT_MS);
	figure(&sw.out, "register.rate", opt.nodes / ((double)(sw.last_done_us - sw.phase_start_us) / 1e6), "1/s");
	report_cpu("register.cpu_ms", a, opt.nodes);
	figure(&sw.out, "register.swarm_cpu_ms", (double)(cost_now().own_us - a.own_us) / 1000 / opt.nodes, "ms of our own CPU");
	report_latency("register", &sw.latency);
	report_rss("registered.rss_kib");
}

/* A server may give memory back some time after a burst: until nothing went for RSS_STEADY_MS. */
static void wait_for_rss(void)
{
	int64_t lowest = INT64_MAX, since = clock_mono_ms(), end = since + RSS_WAIT_MS;

	while (clock_mono_ms() < end && clock_mono_ms() - since < RSS_STEADY_MS) {
		int64_t rss = process_rss_kib(opt.pid);

		if (rss < lowest - lowest / 200) { /* half a percent */
			lowest = rss;
			since = clock_mono_ms();
		}
		run_for(200);
	}
}

static void run_idle(void)
{
	struct cost a = cost_now();

	run_phase("streams", start_streaming, STREAMS_WAIT_MS);
	figure(&sw.out, "streams.seconds", (double)(sw.last_done_us - sw.phase_start_us) / 1e6, "s until all have a map");
	report_latency("first_map", &sw.latency);
	run_until_quiet(60000);
	report_cpu("streams.cpu_ms", a, opt.nodes);
	figure(&sw.out, "streams.messages", (double)sw.messages, "messages");
	figure(&sw.out, "streams.mib", (double)sw.net.bytes_in / 1048576, "MiB received so far");
	if (opt.pid)
		wait_for_rss();
	report_rss("idle.rss_kib");
}

/* ---- rounds -------------------------------------------------------------------------------------------------------- */

static void start_round(const char *mark, const struct sim_user *but)
{
	snprintf(sw.mark, sizeof sw.mark, "%s", mark);
	sw.mark_len = strlen(sw.mark);
	sw.waiting = 0;
	for (unsigned i = 0; i < sw.total; i++) {
		struct sim_user *u = &sw.u[i];

		u->waits = u != but && u->phase == PH_STREAMING && u->has_map;
		sw.waiting += u->waits;
	}
	sw.mark_seen_us = 0;
	sw.phase_start_us = clock_mono_us();
}

static void end_round(const char *what, struct samples *last)
{
	if (sw.waiting && !run_for(ROUND_WAIT_MS)) {
		char why[128];

		snprintf(why, sizeof why, "%u nodes never heard of %.60s", sw.waiting, sw.mark);
		die(what, why);
	}
	samples_add(last, (double)(sw.mark_seen_us - sw.phase_start_us) / 1000);
	run_for(ROUND_GAP_MS);
}

static void run_fanout(void)
{
	struct samples last = { 0 };
	struct cost a = cost_now();

	samples_clear(&sw.each);
	for (unsigned r = 0; r < opt.rounds; r++) {
		struct sim_user *u = &sw.u[(uint64_t)r * 7919 % opt.nodes];
		char endpoint[MARK_MAX];

		endpoint_text(1000000 + r, endpoint);
		start_round(endpoint, u);
		if (sim_node_lite(&u->n, endpoint) != OK)
			die("fanout", "a connection is gone");
		end_round("fanout", &last);
	}
	report_latency("fanout.last", &last);
	report_latency("fanout.each", &sw.each);
	report_cpu("fanout.cpu_ms", a, opt.rounds);
	figure(&sw.out, "fanout.swarm_cpu_ms", (double)(cost_now().own_us - a.own_us) / 1000 / opt.rounds, "ms of our own CPU");
	samples_done(&last);
}

/* New nodes, one after the other: registered already, it sends its endpoints and opens its stream. */
static void run_join(void)
{
	struct samples last = { 0 };
	struct cost a = cost_now();

	samples_clear(&sw.each);
	for (unsigned r = 0; r < opt.rounds; r++) {
		struct sim_user *u = &sw.u[opt.nodes + r];
		char name[32];

		sw.in_flight = 1;
		start_registering(u);
		while (u->phase == PH_REGISTERING)
			if (!run_for(5) && clock_mono_us() - u->started_us > ROUND_WAIT_MS * 1000)
				die("join", "no answer to a registration");
		if (u->phase != PH_REGISTERED)
			die("join", sw.first_error);
		start_round(sim_node_name(&u->n, name), u);
		sw.in_flight = 1;
		start_streaming(u);
		end_round("join", &last);
	}
	report_latency("join.last", &last);
	report_cpu("join.cpu_ms", a, opt.rounds);
	samples_done(&last);
}

/* Edits of the policy, made by whoever started us. */
static void run_policy(void)
{
	struct samples last = { 0 };
	struct cost a = cost_now();

	samples_clear(&sw.each);
	for (unsigned r = 0; r < opt.edits; r++) {
		char mark[MARK_MAX];

		snprintf(mark, sizeof mark, "\"First\":%u", FIRST_PORT + r);
		start_round(mark, NULL);
		for (unsigned i = 0; i < sw.total; i++) {
			struct sim_user *u = &sw.u[i];

			if (u->waits && i % opt.n_keys < opt.policy_from) {
				u->waits = false;
				sw.waiting--;
			}
		}
		fprintf(stderr, "swarm: policy now %u\n", FIRST_PORT + r);
		end_round("policy", &last);
	}
	report_latency("policy.last", &last);
	report_cpu("policy.cpu_ms", a, opt.edits);
	samples_done(&last);
}

/* ---- restart ------------------------------------------------------------------------------------------------------- */

static unsigned with_map(void)
{
	unsigned n = 0;

	for (unsigned i = 0; i < opt.nodes; i++)
		n += sw.u[i].has_map;
	return n;
}

static void run_restart(void)
{
	int64_t end = clock_mono_ms() + RESTART_WAIT_MS;
	uint64_t before = sw.messages;

	sw.returning = true;
	sw.lost = 0;
	fprintf(stderr, "swarm: restart now\n");
	while ((sw.lost < opt.nodes || with_map() < opt.nodes) && clock_mono_ms() < end)
		run_for(20);
	if (with_map() < opt.nodes)
		die("restart", "not all nodes came back");
	figure(&sw.out, "restart.seconds", (double)(clock_mono_us() - sw.phase_start_us) / 1e6, "s until all are back");
	run_until_quiet(20000);
	figure(&sw.out, "restart.messages", (double)(sw.messages - before), "messages, a full map for each node among them");
}

/* ---- main ---------------------------------------------------------------------------------------------------------- */

static const char usage[] =
	"usage: swarm --url URL --auth-key KEY [options]\n"
	"  --nodes N         simulated nodes (500)\n"
	"  --mode MODE       register, idle, fanout, join, policy or restart: each does those before it (fanout)\n"
	"  --concurrency N   nodes that start at a time (64);  --connect-rate N  starts a second (0: as fast as it goes)\n"
	"  --rounds N        of fanout and of join (40);  --edits N  of the policy (20)\n"
	"  --skip MODE,…     leave these out\n"
	"  --policy-from K   policy edits concern nodes with the K-th auth key and those after it (0: all)\n"
	"  --sources N       source addresses 127.x.y.z (250; 0: the system's choice)\n"
	"  --version N       capability version (142)\n"
	"  --pid PID         the server's process, to be measured\n"
	"  --json            one JSON object instead of lines\n"
	"  --verbose         errors as they come\n";

static unsigned number(const char *s)
{
	uint64_t v;

	if (bytes_parse_u64(bytes_str(s), 10000000, &v) != OK)
		die("not a number", s);
	return (unsigned)v;
}

static void take_mode(const char *s)
{
	for (size_t i = 0; i < ARRAY_LEN(mode_name); i++)
		if (strcmp(s, mode_name[i]) == 0) {
			opt.mode = (enum mode)i;
			return;
		}
	die("no such mode", s);
}

static void take_keys(char *s)
{
	for (char *rest = NULL, *k = strtok_r(s, ",", &rest); k; k = strtok_r(NULL, ",", &rest)) {
		if (opt.n_keys == KEYS_MAX)
			die("too many auth keys", k);
		opt.auth_key[opt.n_keys++] = k;
	}
}

static void take_skips(char *s)
{
	for (char *rest = NULL, *k = strtok_r(s, ",", &rest); k; k = strtok_r(NULL, ",", &rest)) {
		enum mode keep = opt.mode;

		take_mode(k);
		opt.skip[opt.mode] = true;
		opt.mode = keep;
	}
}

static void take_options(int argc, char **argv)
{
	static const struct option known[] = {
		{ "url", required_argument, NULL, 'u' },	 { "auth-key", required_argument, NULL, 'k' },
		{ "nodes", required_argument, NULL, 'n' },	 { "mode", required_argument, NULL, 'm' },
		{ "concurrency", required_argument, NULL, 'c' }, { "connect-rate", required_argument, NULL, 'r' },
		{ "edits", required_argument, NULL, 'E' },	 { "skip", required_argument, NULL, 'S' },
		{ "policy-from", required_argument, NULL, 'P' },
		{ "rounds", required_argument, NULL, 'o' },	 { "sources", required_argument, NULL, 's' },
		{ "version", required_argument, NULL, 'v' },	 { "pid", required_argument, NULL, 'p' },
		{ "json", no_argument, NULL, 'j' },		 { "verbose", no_argument, NULL, 'e' },
		{ "help", no_argument, NULL, 'h' },		 { 0 },
	};

	for (int c; (c = getopt_long(argc, argv, "", known, NULL)) != -1;)
		switch (c) {
		case 'u': opt.url = optarg; break;
		case 'k': take_keys(optarg); break;
		case 'E': opt.edits = number(optarg); break;
		case 'S': take_skips(optarg); break;
		case 'P': opt.policy_from = number(optarg); break;
		case 'n': opt.nodes = number(optarg); break;
		case 'm': take_mode(optarg); break;
		case 'c': opt.concurrency = number(optarg); break;
		case 'r': opt.rate = number(optarg); break;
		case 'o': opt.rounds = number(optarg); break;
		case 's': opt.sources = number(optarg); break;
		case 'v': opt.version = number(optarg); break;
		case 'p': opt.pid = (pid_t)number(optarg); break;
		case 'j': opt.json = true; break;
		case 'e': opt.verbose = true; break;
		case 'h': fputs(usage, stdout); exit(0);
		default: fputs(usage, stderr); exit(2);
		}
	if (!opt.url || !opt.n_keys || !opt.nodes || !opt.concurrency || optind < argc) {
		fputs(usage, stderr);
		exit(2);
	}
}

static void raise_descriptors(void)
{
	struct rlimit r;

	if (getrlimit(RLIMIT_NOFILE, &r) != 0)
		return;
	r.rlim_cur = r.rlim_max;
	setrlimit(RLIMIT_NOFILE, &r);
	if (r.rlim_cur < sw.total + SPARE_FDS)
		die("too many nodes", "the limit of open files is lower");
}

static void set_up(void)
{
	char why[256];

	sw.total = opt.nodes + (opt.mode >= MODE_JOIN && !opt.skip[MODE_JOIN] ? opt.rounds : 0);
	raise_descriptors();
	if (loop_new(&sw.loop) != OK)
		die("loop", "cannot start");
	if (sim_net_init(&sw.net, sw.loop, opt.url, &node_events, why, sizeof why) != OK)
		die("server", why);
	sw.net.auth_key = opt.auth_key;
	sw.net.n_auth_keys = opt.n_keys;
	sw.net.sources = opt.sources;
	sw.net.version = opt.version;
	loop_timer_init(&sw.clock, sw.loop, on_clock);
	sw.u = calloc(sw.total, sizeof *sw.u);
	if (!sw.u)
		die("nodes", "out of memory");
	for (unsigned i = 0; i < sw.total; i++) {
		sim_node_init(&sw.u[i].n, &sw.net, i);
		loop_timer_init(&sw.u[i].retry, sw.loop, on_retry);
	}
}

static void tear_down(void)
{
	for (unsigned i = 0; i < sw.total; i++) {
		loop_timer_done(&sw.u[i].retry);
		sim_node_free(&sw.u[i].n);
	}
	loop_timer_done(&sw.clock);
	loop_free(sw.loop);
	sim_net_done(&sw.net);
	free(sw.u);
	samples_done(&sw.latency);
	samples_done(&sw.each);
}

int main(int argc, char **argv)
{
	static void (*const run[])(void) = { run_register, run_idle, run_fanout, run_join, run_policy, run_restart };

	/* Buffers of OpenSSL come and go with each message: not to the kernel and back. */
	mallopt(M_TRIM_THRESHOLD, 256 << 20);
	mallopt(M_TOP_PAD, 16 << 20);
	take_options(argc, argv);
	set_up();
	figures_start(&sw.out, opt.json);
	figure(&sw.out, "nodes", opt.nodes, "");
	figure(&sw.out, "tls", sw.net.tls != NULL, "");
	for (size_t i = 0; i <= opt.mode; i++)
		if (!opt.skip[i])
			run[i]();
	figures_end(&sw.out);
	tear_down();
	return 0;
}
