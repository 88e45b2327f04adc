#include "common/net/watch.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/cleanup.h"
#include "tests/lib/test.h"

struct lab {
	struct loop *loop;
	struct watch *watch;
	struct loop_timer stop;
	int changes;
	char dir[64], file[128], other[128];
};

static void on_changed(void *ctx)
{
	struct lab *l = ctx;

	l->changes++;
}

static void on_stop(struct loop_timer *t)
{
	loop_stop(t->loop);
}

static void run_ms(struct lab *l, int64_t ms)
{
	loop_timer_in(&l->stop, ms);
	loop_run(l->loop);
}

static void put(const char *path, const char *text)
{
	FILE *f = fopen(path, "we");

	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static void start(struct lab *l)
{
	*l = (struct lab){ .dir = "/tmp/fairlead-watch-XXXXXX" };
	assert_non_null(mkdtemp(l->dir));
	snprintf(l->file, sizeof l->file, "%s/records.json", l->dir);
	snprintf(l->other, sizeof l->other, "%s/other", l->dir);
	assert_ok(loop_new(&l->loop));
	loop_timer_init(&l->stop, l->loop, on_stop);
	assert_ok(watch_new(l->loop, on_changed, l, &l->watch));
}

static void stop(struct lab *l)
{
	watch_free(l->watch);
	loop_timer_done(&l->stop);
	loop_free(l->loop);
	unlink(l->file);
	unlink(l->other);
	rmdir(l->dir);
}

enum { ENOUGH_MS = WATCH_SETTLE_MS + 60 };

static void changes_are_told(void **state)
{
	struct lab l;
	const char *paths[2] = { l.file, "" };

	(void)state;
	start(&l);
	put(l.file, "1");
	assert_ok(watch_files(l.watch, paths, 2));
	run_ms(&l, ENOUGH_MS);
	assert_int_equal(l.changes, 0);
	put(l.file, "2"); /* in place */
	put(l.file, "3"); /* … twice: one word */
	run_ms(&l, ENOUGH_MS);
	assert_int_equal(l.changes, 1);
	put(l.other, "4"); /* another file: nothing */
	run_ms(&l, ENOUGH_MS);
	assert_int_equal(l.changes, 1);
	assert_int_equal(rename(l.other, l.file), 0); /* an editor's way */
	run_ms(&l, ENOUGH_MS);
	assert_int_equal(l.changes, 2);
	unlink(l.file);
	run_ms(&l, ENOUGH_MS);
	assert_int_equal(l.changes, 3);
	put(l.file, "5"); /* and it is there again */
	run_ms(&l, ENOUGH_MS);
	assert_int_equal(l.changes, 4);
	stop(&l);
}

static void links_are_followed(void **state)
{
	struct lab l;
	char a[128], b[128], fa[160], fb[160], data[128], fresh[128], path[160];
	const char *paths[1] = { path };

	(void)state;
	start(&l);
	/* path -> ..data/f, ..data -> a, then b: as volumes of secrets are turned */
	snprintf(a, sizeof a, "%s/a", l.dir);
	snprintf(b, sizeof b, "%s/b", l.dir);
	snprintf(fa, sizeof fa, "%s/f", a);
	snprintf(fb, sizeof fb, "%s/f", b);
	snprintf(data, sizeof data, "%s/..data", l.dir);
	snprintf(fresh, sizeof fresh, "%s/..fresh", l.dir);
	snprintf(path, sizeof path, "%s/f", l.dir);
	assert_int_equal(mkdir(a, 0700) | mkdir(b, 0700), 0);
	put(fa, "1");
	put(fb, "2");
	assert_int_equal(symlink("a", data) | symlink("..data/f", path), 0);
	assert_ok(watch_files(l.watch, paths, 1));
	run_ms(&l, ENOUGH_MS);
	assert_int_equal(symlink("b", fresh) | rename(fresh, data), 0);
	run_ms(&l, ENOUGH_MS);
	assert_int_equal(l.changes, 1);
	put(fb, "3"); /* where it leads now */
	run_ms(&l, ENOUGH_MS);
	assert_int_equal(l.changes, 2);
	unlink(path);
	unlink(data);
	unlink(fa);
	unlink(fb);
	rmdir(a);
	rmdir(b);
	stop(&l);
}

static void a_folder_may_come_later(void **state)
{
	struct lab l;
	char dir[160], file[200];
	const char *paths[1] = { file };

	(void)state;
	start(&l);
	snprintf(dir, sizeof dir, "%s/sub", l.dir);
	snprintf(file, sizeof file, "%s/f", dir);
	assert_ok(watch_files(l.watch, paths, 1));
	assert_int_equal(mkdir(dir, 0700), 0);
	put(file, "1");
	run_ms(&l, WATCH_RETRY_MS + ENOUGH_MS);
	assert_int_equal(l.changes, 1);
	put(file, "2");
	run_ms(&l, ENOUGH_MS);
	assert_int_equal(l.changes, 2);
	unlink(file);
	rmdir(dir);
	stop(&l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(changes_are_told),
		cmocka_unit_test(links_are_followed),
		cmocka_unit_test(a_folder_may_come_later),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
