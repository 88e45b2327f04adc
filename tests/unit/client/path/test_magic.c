/* Two magics on loopback with the real relay (derp/derpd.h in a child process, TLS with a pinned certificate, STUN):
 * packets pass by DERP at once and directly soon after. */
#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "client/path/magic.h"
#include "common/base/clock.h"
#include "common/text/json.h"
#include "derp/derpd.h"
#include "tests/lib/test.h"

struct end {
	struct magic *m;
	struct path_peer *other;
	struct node_key key;
	struct disco_key disco;
	unsigned got_udp, got_derp, reports;
	size_t last_n;
};
static struct loop *loop;
static struct end end[2];
static int64_t give_up_ms;
static bool (*done)(void);

static char state_dir[] = "/tmp/test_magicXXXXXX";

/* The relay in a child; its derpMap entry comes back through a pipe. */
static pid_t start_relay(char *map, size_t cap)
{
	int fd[2];

	assert_non_null(mkdtemp(state_dir));
	assert_int_equal(pipe(fd), 0);
	pid_t child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		char why[256];

		prctl(PR_SET_PDEATHSIG, SIGKILL); /* a failed assertion must not leave it holding our output open */
		char *argv[] = { (char[]){ "derp" }, (char[]){ "--listen=127.0.0.1:0" }, (char[]){ "--stun=127.0.0.1:0" },
			(char[]){ "--hostname=127.0.0.1" }, NULL, (char[]){ "--http=off" }, NULL };
		static char state[64];
		struct derpd_options o;
		struct derpd *d;

		snprintf(state, sizeof state, "--state=%s", state_dir);
		argv[4] = state;
		if (options_parse(6, argv, &o, why, sizeof why) != OK || derpd_start(&o, 0, NULL, why, sizeof why, &d) != OK) {
			fprintf(stderr, "relay: %s\n", why);
			_exit(3);
		}
		FILE *to = fdopen(fd[1], "w");
		derpd_print_map(d, to);
		fclose(to);
		close(fd[0]);
		derpd_run(d);
		_exit(0);
	}
	close(fd[1]);
	size_t n = 0;
	ssize_t r;
	while ((r = read(fd[0], map + n, cap - 1 - n)) > 0)
		n += (size_t)r;
	map[n] = 0;
	close(fd[0]);
	return child;
}

static void remove_state(void)
{
	DIR *d = opendir(state_dir);

	assert_non_null(d);
	for (struct dirent *e; (e = readdir(d));)
		unlinkat(dirfd(d), e->d_name, 0);
	closedir(d);
	assert_int_equal(rmdir(state_dir), 0);
}

static void on_wireguard(void *ctx, const struct path_from *from, struct wg_packet *pkts, size_t n)
{
	struct end *e = ctx;

	for (size_t i = 0; i < n; i++) {
		assert_int_equal(pkts[i].p[0], 4);
		pkts[i].p[0] ^= 0xff; /* writable */
		e->last_n = pkts[i].n;
	}
	*(from->addr.addr.family ? &e->got_udp : &e->got_derp) += (unsigned)n;
}
static void on_event(void *ctx, const struct path_event *ev)
{
	struct end *e = ctx;

	e->reports += ev->kind == PATH_EV_REPORT;
}

static void on_tick(struct loop_timer *t)
{
	if (done() || loop_now_ms(loop) > give_up_ms)
		loop_stop(loop);
	else
		loop_timer_in(t, 2);
}
static bool wait_for(bool (*what)(void), int64_t ms)
{
	struct loop_timer t;

	done = what;
	give_up_ms = clock_mono_ms() + ms;
	loop_timer_init(&t, loop, on_tick);
	loop_timer_in(&t, 1);
	loop_run(loop);
	loop_timer_done(&t);
	return what();
}

static bool have_home(void)
{
	return path_home(magic_path(end[0].m)) && path_home(magic_path(end[1].m));
}
static bool derp_passed(void)
{
	return end[1].got_derp > 0;
}
static bool is_direct(void)
{
	struct path_route r;

	path_route(end[0].other, clock_mono_us(), &r);
	magic_flush(end[0].m);
	return r.udp.addr.family && !r.region;
}
static bool all_passed(void)
{
	return end[1].got_udp >= 100;
}
static bool no_home(void)
{
	return !derp_links_is_up(magic_derp(end[0].m), 900);
}

static void test_two_magics(void **state)
{
	static char map_text[16384];
	static uint8_t space[100][1300];
	struct arena a = arena_make(1 << 20);
	struct tailcfg_derp_map *map;
	struct json_why why;
	struct wg_packet pkts[100];

	(void)state;
	pid_t relay = start_relay(map_text, sizeof map_text);
	/* derpd prints an entry; a map has it under Regions. */
	if (tailcfg_derp_map_parse(bytes_str(map_text), &a, &map, &why) != OK || map->n_regions == 0) {
		print_error("map: %s\n", map_text);
		fail();
	}
	assert_ok(loop_new(&loop));
	for (int i = 0; i < 2; i++) {
		struct end *e = &end[i];
		const struct addr local = addr_v4(127, 0, 0, 1);

		node_key_new(&e->key);
		disco_key_new(&e->disco);
		struct magic_config c = { .loop = loop, .key = &e->key, .disco = &e->disco, .on_wireguard = on_wireguard,
			.on_event = on_event, .ctx = e };
		assert_ok(magic_new(&c, &e->m));
		magic_set_local(e->m, &local, 1, false);
		assert_ok(magic_set_derp_map(e->m, map, true));
	}
	assert_true(wait_for(have_home, 20000));
	for (int i = 0; i < 2; i++) {
		struct path_peer_config c = { .key = end[!i].key.pub, .disco = end[!i].disco.pub,
			.home = path_home(magic_path(end[!i].m)) };
		assert_ok(path_set_peer(magic_path(end[i].m), &c, clock_mono_us(), &end[i].other));
	}
	for (size_t i = 0; i < 100; i++) {
		memset(space[i], 0, sizeof space[i]);
		space[i][0] = 4;
		pkts[i] = (struct wg_packet){ .p = space[i], .n = i == 99 ? 77 : sizeof space[i] };
	}
	/* No endpoint of the other is known: the relay, and it calls. */
	/* A packet for one who has not reached the relay yet is lost, as any: WireGuard would send again, and so do we. */
	for (int tries = 0; tries < 40 && !derp_passed() && !is_direct(); tries++) {
		magic_send(end[0].m, end[0].other, pkts, 1);
		wait_for(derp_passed, 500);
	}
	assert_true(derp_passed() || is_direct());
	assert_true(wait_for(is_direct, 10000));
	assert_true(magic_send(end[0].m, end[0].other, pkts, 100));
	assert_true(wait_for(all_passed, 10000));
	assert_int_equal(end[1].last_n, 77);
	const struct path_report *r = path_report(magic_path(end[0].m));
	assert_true(end[0].reports == 0 || (r->udp && r->v4));

	/* Without its relay the direct path stays. */
	kill(relay, SIGKILL);
	assert_int_equal(waitpid(relay, NULL, 0), relay);
	remove_state();
	assert_true(wait_for(no_home, 10000));
	unsigned before = end[1].got_udp;
	assert_true(magic_send(end[0].m, end[0].other, pkts, 100));
	end[1].got_udp = 0;
	assert_true(wait_for(all_passed, 10000));
	assert_true(before >= 100);
	magic_free(end[0].m);
	magic_free(end[1].m);
	loop_free(loop);
	arena_done(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_two_magics) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
