#include "client/state.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/lib/test.h"

static char dir[64], file[128], fresh[128];

static int set_up(void **state)
{
	(void)state;
	snprintf(dir, sizeof dir, "/tmp/fl-state-XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	snprintf(file, sizeof file, "%s/state.json", dir);
	snprintf(fresh, sizeof fresh, "%s/state.json.new", dir);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	unlink(file);
	unlink(fresh);
	return rmdir(dir);
}

static struct client_state example(void)
{
	struct client_state s;

	state_init(&s);
	node_key_new(&s.node);
	memset(s.old_node.b, 7, 32);
	s.registered = true;
	s.node_id = INT64_MAX;
	s.last_port = 41641;
	s.last_home = 900;
	s.last_initiation_ms = 1700000000123;
	snprintf(s.stable_id, sizeof s.stable_id, "n\"1");
	s.prefs.want_running = s.prefs.shields_up = true;
	s.prefs.accept_dns = false;
	snprintf(s.prefs.login_server, sizeof s.prefs.login_server, "https://x.example");
	snprintf(s.prefs.tags[0], sizeof s.prefs.tags[0], "tag:a");
	s.prefs.n_tags = 1;
	snprintf(s.prefs.exit_node, sizeof s.prefs.exit_node, "nEXIT");
	s.prefs.exit_lan = s.prefs.advertise_exit = true;
	s.prefs.routes[0] = (struct prefix){ addr_v4(10, 0, 0, 0), 8 };
	s.prefs.n_routes = 1;
	return s;
}

static void round_trip(void **state)
{
	struct client_state s = example(), t;
	struct stat st;
	char why[200];

	(void)state;
	assert_ok(state_load(dir, &t, why, sizeof why)); /* none yet: fresh keys */
	assert_false(sodium_is_zero(t.machine.secret.b, 32));
	assert_true(t.prefs.accept_dns);
	assert_ok(state_save(dir, &s));
	assert_int_equal(stat(file, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_ok(state_load(dir, &t, why, sizeof why));
	assert_memory_equal(&s.machine, &t.machine, sizeof s.machine);
	assert_memory_equal(&s.node, &t.node, sizeof s.node);
	assert_memory_equal(&s.old_node, &t.old_node, sizeof s.old_node);
	assert_memory_equal(&s.nl_seed, &t.nl_seed, sizeof s.nl_seed);
	assert_memory_equal(&s.disco, &t.disco, sizeof s.disco);
	assert_true(t.last_initiation_ms == 1700000000123);
	assert_true(t.registered && t.node_id == INT64_MAX && t.last_port == 41641 && t.last_home == 900);
	assert_string_equal(t.stable_id, "n\"1");
	assert_true(t.prefs.shields_up && !t.prefs.accept_dns && t.prefs.n_tags == 1);
	assert_string_equal(t.prefs.tags[0], "tag:a");
	assert_string_equal(t.prefs.exit_node, "nEXIT");
	assert_true(t.prefs.exit_lan && t.prefs.advertise_exit && t.prefs.n_routes == 1 && t.prefs.routes[0].bits == 8);
}

/* A crash at any byte of the writing leaves a piece of the new file: the old one counts, and saving works again. */
static void crash_while_writing(void **state)
{
	struct client_state s = example(), t;
	char why[200];
	size_t n;

	(void)state;
	assert_ok(state_save(dir, &s));
	char *text = test_read_file(file, &n);
	for (size_t cut = 0; cut <= n; cut += 7) {
		FILE *f = fopen(fresh, "we");

		assert_non_null(f);
		assert_int_equal(fwrite(text, 1, cut, f), cut);
		fclose(f);
		assert_ok(state_load(dir, &t, why, sizeof why));
		assert_memory_equal(&s.machine, &t.machine, sizeof s.machine);
		assert_ok(state_save(dir, &t));
	}
	free(text);
}

/* A damaged file is told of and kept. */
static void damaged(void **state)
{
	struct client_state s = example(), t;
	char why[200];
	size_t n;

	(void)state;
	assert_ok(state_save(dir, &s));
	char *text = test_read_file(file, &n);
	for (size_t cut = 0; cut < n - 2; cut += 5) {
		FILE *f = fopen(file, "we");

		assert_non_null(f);
		assert_int_equal(fwrite(text, 1, cut, f), cut);
		fclose(f);
		assert_int_equal(state_load(dir, &t, why, sizeof why), ERR_MALFORMED);
		assert_non_null(strstr(why, "state.json"));
	}
	free(text);
}

/* What lies under the new file's name is not followed. */
static void no_links(void **state)
{
	struct client_state s = example();
	char other[128];

	(void)state;
	snprintf(other, sizeof other, "%s/other", dir);
	assert_int_equal(symlink(other, fresh), 0);
	assert_ok(state_save(dir, &s));
	assert_int_not_equal(access(other, F_OK), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(round_trip, set_up, tear_down),
		cmocka_unit_test_setup_teardown(crash_while_writing, set_up, tear_down),
		cmocka_unit_test_setup_teardown(damaged, set_up, tear_down),
		cmocka_unit_test_setup_teardown(no_links, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
