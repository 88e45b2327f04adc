/* Files of every schema come up to date; files that are not ours, edited or newer are refused in plain words. */
#include <sqlite3.h>

#include "server/store/migrate.h"
#include "tests/unit/server/store/sample.h"

static sqlite3 *open_raw(const char *path)
{
	sqlite3 *db = NULL;

	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	return db;
}

static void exec(sqlite3 *db, const char *sql)
{
	char *message = NULL;

	if (sqlite3_exec(db, sql, NULL, NULL, &message) != SQLITE_OK)
		fail_msg("%s", message);
}

static void an_empty_file_gets_all(void **state)
{
	(void)state;
	sqlite3 *db = open_raw(":memory:");
	char why[200];

	assert_ok(migrate(db, why, sizeof why));
	assert_ok(migrate(db, why, sizeof why)); /* and a second time nothing */
	exec(db, "INSERT INTO tailnet (id, name) VALUES (2, 'second')");
	sqlite3_close(db);
}

static void a_newer_schema_is_refused(void **state)
{
	(void)state;
	sqlite3 *db = open_raw(":memory:");
	char why[200];

	assert_ok(migrate(db, why, sizeof why));
	exec(db, "INSERT INTO schema_migration VALUES (9999, '9999_future', zeroblob(32), 0)");
	assert_int_equal(migrate(db, why, sizeof why), ERR_UNSUPPORTED);
	assert_non_null(strstr(why, "9999"));
	assert_non_null(strstr(why, "newer"));
	sqlite3_close(db);
}

static void an_edited_migration_is_noticed(void **state)
{
	(void)state;
	sqlite3 *db = open_raw(":memory:");
	char why[200];

	assert_ok(migrate(db, why, sizeof why));
	exec(db, "UPDATE schema_migration SET hash = zeroblob(32) WHERE version = 1");
	assert_int_equal(migrate(db, why, sizeof why), ERR_INVALID);
	assert_non_null(strstr(why, "0001_init"));
	sqlite3_close(db);
}

static void another_programs_file_is_left_alone(void **state)
{
	(void)state;
	sqlite3 *db = open_raw(":memory:");
	char why[200];

	exec(db, "CREATE TABLE nodes (id INTEGER)");
	assert_int_equal(migrate(db, why, sizeof why), ERR_INVALID);
	assert_non_null(strstr(why, "another program"));
	sqlite3_close(db);
}

static void what_is_no_database_is_said(void **state)
{
	(void)state;
	struct folder f = folder_new();
	FILE *out = fopen(f.file, "we");
	struct store *s = NULL;
	char why[300];

	assert_non_null(out);
	for (int i = 0; i < 200; i++)
		fputs("this is not a database\n", out);
	fclose(out);
	assert_int_equal(store_open(f.file, why, sizeof why, &s), ERR_MALFORMED);
	assert_non_null(strstr(why, "not an SQLite database"));
	folder_free(&f);
}

/* dump_v1.sql is what a server of schema 1 left behind; it must load with every later binary. */
static void version_1_still_loads(void **state)
{
	(void)state;
	struct folder f = folder_new();
	size_t n;
	char *dump = test_read_file("tests/unit/server/store/dump_v1.sql", &n);
	assert_non_null(dump);
	sqlite3 *db = open_raw(f.file);
	exec(db, dump);
	sqlite3_close(db);
	free(dump);

	struct store *s = NULL;
	struct store_image i;
	char why[300];
	assert_ok(store_open(f.file, why, sizeof why, &s));
	assert_ok(store_load(s, &i));
	assert_int_equal(i.n_tailnets, 1);
	assert_int_equal(i.n_users, 1);
	assert_int_equal(i.n_nodes, 1);
	assert_string_equal(i.nodes[0].given_name, "laptop-9");
	assert_int_equal(i.nodes[0].n_endpoints, 2);
	assert_int_equal(i.nodes[0].endpoints[0].port, 41641);
	assert_int_equal(i.nodes[0].n_tags, 2);
	assert_int_equal(i.n_server_keys, 1);
	assert_int_equal(i.n_policies, 1);
	assert_int_equal(i.policies[0].version, 1); /* versions were not counted then */
	store_image_done(&i);
	store_stop(s);
	folder_free(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_empty_file_gets_all),
		cmocka_unit_test(a_newer_schema_is_refused),
		cmocka_unit_test(an_edited_migration_is_noticed),
		cmocka_unit_test(another_programs_file_is_left_alone),
		cmocka_unit_test(what_is_no_database_is_said),
		cmocka_unit_test(version_1_still_loads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
