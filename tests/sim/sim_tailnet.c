/* A small tailnet lives through everything at once: joins, logins, leaves, admins, policies, thieves, slow readers, failing
 * disks, jumping clocks, crashes. What must hold is in check.c.
 *
 *	sim_tailnet                          a fixed set of seeds, and fresh ones
 *	sim_tailnet --seeds N [--steps N]    N fresh ones, however long it takes (make sim SEEDS=N)
 *	sim_tailnet --seed N [--steps N] [--verbose]    one of them again */
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/base/cleanup.h"
#include "tests/sim/client.h"

/* Seeds that failed once, with what was wrong. They run first, always. */
static const struct {
	uint64_t seed;
	const char *what;
} regressions[] = {
	{ 501969301, "the pause after a jump of the clock begins when the core notices it, not when the clock jumped" },
	{ 521552988, "the same" },
	{ 556531211, "the same" },
	{ 554234701, "an id of which nobody was told before a crash is given again: that node is as old as the second time" },
	{ 552235111, "a node that gave up its disco key, was deleted and put back: clients that have it keep the old key of a whole node" },
};

enum { REGRESSIONS = sizeof regressions / sizeof *regressions };

enum { STEPS = 1500, FIXED_SEEDS = 20, FRESH_SEEDS = 40, BUDGET_S = 60, CLIENTS = 14 };

static void settle_and_check(struct world *w)
{
	world_settle(w);
	check_settled(w);
}

static void one_step(struct world *w)
{
	uint64_t what = chance(w, 200);

	w->step++;
	if (what < 100)
		client_act(w->clients[chance(w, w->n_clients)]);
	else if (what < 130 && one_in(w, 8))
		lock_act(w);
	else if (what < 130 && one_in(w, 5))
		people_act(w);
	else if (what < 130 && one_in(w, 5))
		ssh_act(w);
	else if (what < 130)
		admin_act(w);
	else if (what < 150)
		world_step(w, (int64_t)chance(w, 3000));
	else if (what < 156)
		world_step(w, (int64_t)chance(w, 120000));
	else if (what == 156)
		world_step(w, (int64_t)chance(w, 3 * 3600000));
	else if (what == 157)
		world_jump(w, (int64_t)chance(w, 4 * 3600000) - 2 * 3600000);
	else if (what < 164)
		w->hold_store = !w->hold_store;
	else if (what < 168)
		w->hold_rounds = !w->hold_rounds;
	else if (what < 172)
		world_store_fails(w, chance(w, 4));
	else if (what < 174)
		world_restart(w, chance(w, 2));
	else
		settle_and_check(w);
	world_store_news(w);
	if (one_in(w, 3))
		world_work(w);
	if (!w->hold_store)
		world_commit(w, one_in(w, 3) ? 1 : SIZE_MAX);
	if (!w->hold_rounds)
		world_flush(w);
	for (size_t i = 0; i < w->n_clients; i++)
		client_read(w->clients[i]);
}

static void print_figures(const struct world *w, size_t nodes)
{
	static const char *const names[EVENT_KINDS] = { [EV_COMMAND] = "command", [EV_REGISTER] = "register", [EV_MAP_LITE] = "lite",
		[EV_MAP_ONCE] = "once", [EV_MAP_STREAM] = "stream", [EV_SINK_CLOSED] = "closed", [EV_CALL_GONE] = "gone",
		[EV_NODE_REQUEST] = "request", [EV_STORE_DURABLE] = "durable", [EV_STORE_FAILED] = "failed", [EV_TICK] = "tick",
		[EV_FLUSH] = "flush",
		[EV_JOB_DONE] = "job" };

	printf("# seed %llu: %zu events, %zu rounds, %zu nodes, %zu messages read, %zu failures, %zu restarts, %zu checks, %zu maps"
		" compared; %zu logins, %zu people approved, %zu devices connected (%zu of who waits); %zu SSH sessions held, %zu let in; longest event in us:", (unsigned long long)w->seed, w->events, w->rounds, nodes, w->messages, w->failures,
		w->restarts, w->checks, w->compared, w->logins, w->approved, w->connected, w->waited, w->ssh_held, w->ssh_in);
	for (size_t i = 0; i < EVENT_KINDS; i++)
		if (w->max_ns[i])
			printf(" %s %lld", names[i], (long long)(w->max_ns[i] / 1000));
	printf("\n");
	fflush(stdout);
}

static void run_seed(uint64_t seed, size_t steps, bool verbose)
{
	static struct world w;

	world_init(&w, seed, verbose);
	admin_start(&w);
	for (size_t i = 0; i < CLIENTS; i++)
		client_new(&w);
	while (w.step < steps)
		one_step(&w);
	for (size_t i = 0; i < w.n_clients; i++)
		client_catch_up(w.clients[i]);
	settle_and_check(&w);
	print_figures(&w, w.n_lives);
	world_done(&w);
}

/* In a process of its own, so that a crash is one failed seed, and nothing of one seed is left for the next. */
static bool run_child(uint64_t seed, size_t steps)
{
	int status;

	fflush(stdout);
	pid_t pid = fork();
	if (pid < 0)
		return false;
	if (pid == 0) {
		run_seed(seed, steps, false);
		exit(0);
	}
	return waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static int64_t now_s(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec;
}

int main(int argc, char **argv)
{
	size_t steps = STEPS, n = 0, failed = 0, many = 0;
	uint64_t seed = 0;
	bool verbose = false;
	int64_t start = now_s();

	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--verbose") == 0)
			verbose = true;
		else if (strcmp(argv[i], "--seed") == 0 && i + 1 < argc)
			seed = strtoull(argv[++i], NULL, 10);
		else if (strcmp(argv[i], "--seeds") == 0 && i + 1 < argc)
			many = strtoull(argv[++i], NULL, 10);
		else if (strcmp(argv[i], "--steps") == 0 && i + 1 < argc)
			steps = strtoull(argv[++i], NULL, 10);
		else {
			fprintf(stderr, "usage: %s [--seed N | --seeds N] [--steps N] [--verbose]\n", argv[0]);
			return 2;
		}
	}
	if (seed) {
		run_seed(seed, steps, verbose);
		printf("1..1\nok 1 - seed %llu\n", (unsigned long long)seed);
		return 0;
	}
	uint64_t fresh = (uint64_t)time(NULL) * 1000003u + (uint64_t)getpid();
	for (size_t i = 0; !many && i < REGRESSIONS; i++) {
		bool ok = run_child(regressions[i].seed, STEPS);
		printf("%s %zu - seed %llu: %s\n", ok ? "ok" : "not ok", ++n, (unsigned long long)regressions[i].seed, regressions[i].what);
		failed += !ok;
	}
	size_t fixed = many ? 0 : FIXED_SEEDS, end = many ? many : FIXED_SEEDS + FRESH_SEEDS;
	for (size_t i = 0; i < end; i++) {
		uint64_t s = i < fixed ? i + 1 : (fresh + i * 7919) % 1000000000u;
		if (!many && i >= fixed && now_s() - start > BUDGET_S)
			break;
		bool ok = run_child(s, steps);
		printf("%s %zu - seed %llu\n", ok ? "ok" : "not ok", ++n, (unsigned long long)s);
		if (!ok) {
			printf("# again: %s --seed %llu --steps %zu\n", argv[0], (unsigned long long)s, steps);
			failed++;
		}
	}
	printf("1..%zu\n", n);
	return failed ? 1 : 0;
}
