/* resolv.conf taken over and given back, also after a crash; and what resolvectl is told, by one that
 * writes it down. */
#include "client/dns/dns_os.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/lib/test.h"

static char dir[] = "/tmp/test_dns_osXXXXXX", path[64], aside[96];

static int make_dir(void **state)
{
	(void)state;
	if (!mkdtemp(dir))
		return -1;
	snprintf(path, sizeof path, "%s/resolv.conf", dir);
	snprintf(aside, sizeof aside, "%s.before-fairlead", path);
	return 0;
}
static int remove_dir(void **state)
{
	(void)state;
	return rmdir(dir);
}

static void write_text(const char *text)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}
static bool reads(const char *text)
{
	size_t n;
	char *got = test_read_file(path, &n);
	bool same = got && strcmp(got, text) == 0;

	free(got);
	return same;
}

static void test_take_and_give_back(void **state)
{
	static const char before[] = "# mine\nnameserver\t 1.2.3.4\nnameserver 2001:db8::1 \noptions ndots:1\nnameserver x\nnameserver9 1.1.1.1\n";
	const char *const search[] = { "tail.example.com", "example.com" };
	struct dns_os_config c = { .ifname = "flt0", .resolver = addr_v4(100, 100, 100, 100), .search = search, .n_search = 2,
		.all = true, .resolv_conf = path };
	struct addrport up[4];
	size_t n;

	(void)state;
	write_text(before);
	assert_false(dns_os_repair(path));
	for (int twice = 0; twice < 2; twice++) { /* the second time what was saved stays */
		assert_ok(dns_os_apply(&c));
		size_t len;
		char *text = test_read_file(path, &len);
		assert_non_null(strstr(text, "\nnameserver 100.100.100.100\nsearch tail.example.com example.com\n"));
		free(text);
		assert_ok(dns_os_system(path, up, 4, &n));
		assert_int_equal(n, 2);
		assert_true(addr_eq(up[0].addr, addr_v4(1, 2, 3, 4)) && up[0].port == 53 && up[1].addr.family == 6);
	}
	dns_os_restore(&c);
	assert_true(reads(before));
	assert_int_not_equal(access(aside, F_OK), 0);

	/* After a SIGKILL. */
	assert_ok(dns_os_apply(&c));
	assert_true(dns_os_repair(path));
	assert_true(reads(before));
	/* Somebody else wrote the file meanwhile: theirs stays. */
	assert_ok(dns_os_apply(&c));
	write_text("nameserver 5.5.5.5\n");
	dns_os_restore(&c);
	assert_true(reads("nameserver 5.5.5.5\n"));
	unlink(aside);
	unlink(path);
}

static void test_symlink_and_names(void **state)
{
	const char *bad[] = { "a\nnameserver 6.6.6.6" };
	struct dns_os_config c = { .ifname = "flt0", .resolver = addr_v4(100, 100, 100, 100), .resolv_conf = path };
	char target[96];
	struct stat st;

	(void)state;
	snprintf(target, sizeof target, "%s/target", dir);
	assert_int_equal(symlink(target, path), 0);
	assert_ok(dns_os_apply(&c));
	assert_int_not_equal(access(target, F_OK), 0); /* not written through it */
	dns_os_restore(&c);
	assert_int_equal(lstat(path, &st), 0);
	assert_true(S_ISLNK(st.st_mode));
	unlink(path);
	c.search = bad;
	c.n_search = 1;
	assert_int_equal(dns_os_apply(&c), ERR_INVALID);
	assert_int_not_equal(access(path, F_OK), 0);
}

static void test_resolved(void **state)
{
	const char *const search[] = { "tail.internal" }, *const routes[] = { "Tail.internal", "corp.example" };
	struct dns_os_config c = { .ifname = "flt0", .resolver = addr_v4(100, 100, 100, 101), .search = search, .n_search = 1,
		.routes = routes, .n_routes = 2 };
	char script[96], log[96], was[4096];
	size_t n;

	(void)state;
	snprintf(script, sizeof script, "%s/resolvectl", dir);
	snprintf(log, sizeof log, "%s/log", dir);
	snprintf(was, sizeof was, "%s", getenv("PATH"));
	FILE *f = fopen(script, "w");
	assert_non_null(f);
	fprintf(f, "#!/bin/sh\n[ \"$1\" = --no-pager ] || echo \"$@\" >>%s\n", log);
	fclose(f);
	assert_int_equal(chmod(script, 0755), 0);
	assert_int_equal(setenv("PATH", dir, 1), 0);
	assert_ok(dns_os_apply(&c));
	/* A search domain is named once: as "~tail.internal" again it would be none. */
	char *told = test_read_file(log, &n);
	assert_string_equal(told, "dns flt0 100.100.100.101\ndomain flt0 tail.internal ~corp.example\ndefault-route flt0 no\n");
	free(told);
	unlink(log);
	c.all = true;
	c.n_search = c.n_routes = 0;
	assert_ok(dns_os_apply(&c));
	dns_os_restore(&c);
	told = test_read_file(log, &n);
	assert_string_equal(told, "dns flt0 100.100.100.101\ndomain flt0 ~.\ndefault-route flt0 yes\nrevert flt0\n");
	free(told);
	setenv("PATH", was, 1);
	unlink(log);
	unlink(script);
}

/* As many reverse zones as Headscale names (66), and no more than the bound. */
static void test_many(void **state)
{
	static char name[DNS_OS_NAMES_MAX + 1][40];
	const char *routes[DNS_OS_NAMES_MAX + 1];
	struct dns_os_config c = { .ifname = "flt0", .resolver = addr_v4(100, 100, 100, 100), .routes = routes, .n_routes = 67,
		.resolv_conf = path };

	(void)state;
	for (int i = 0; i <= DNS_OS_NAMES_MAX; i++) {
		snprintf(name[i], sizeof name[i], "%d.100.in-addr.arpa", i);
		routes[i] = name[i];
	}
	write_text("# mine\n");
	assert_ok(dns_os_apply(&c));
	dns_os_restore(&c);
	c.n_routes = DNS_OS_NAMES_MAX + 1;
	assert_int_equal(dns_os_apply(&c), ERR_TOO_BIG);
	assert_true(reads("# mine\n"));
	unlink(path);
}

/* Somebody else wrote over ours: told, and theirs stays. */
static void test_overwritten(void **state)
{
	struct dns_os_config c = { .ifname = "flt0", .resolver = addr_v4(100, 100, 100, 100), .resolv_conf = path };

	(void)state;
	write_text("# mine\n");
	assert_false(dns_os_overwritten(path));
	assert_ok(dns_os_apply(&c));
	assert_false(dns_os_overwritten(path));
	write_text("# theirs\n");
	assert_true(dns_os_overwritten(path));
	dns_os_restore(&c);
	assert_true(reads("# theirs\n"));
	assert_int_not_equal(access(aside, F_OK), 0);
	assert_false(dns_os_overwritten(path));
	unlink(path);
}

/* A file that a killed daemon left aside only, and a disk on which the new one cannot be written. */
static void test_never_lost(void **state)
{
	struct dns_os_config c = { .ifname = "flt0", .resolver = addr_v4(100, 100, 100, 100), .resolv_conf = path };
	char fresh[96];
	struct stat st, before;

	(void)state;
	write_text("# mine\n");
	assert_int_equal(rename(path, aside), 0);
	assert_false(dns_os_overwritten(path));
	assert_true(dns_os_repair(path));
	assert_true(reads("# mine\n"));

	assert_int_equal(rename(path, aside), 0);
	assert_ok(dns_os_apply(&c));
	assert_int_equal(unlink(path), 0); /* ours */
	dns_os_restore(&c);
	assert_true(reads("# mine\n"));

	snprintf(fresh, sizeof fresh, "%s.fairlead-new", path);
	assert_int_equal(mkdir(fresh, 0700), 0);
	assert_int_equal(stat(path, &before), 0);
	assert_int_equal(dns_os_apply(&c), ERR_SYS);
	assert_true(reads("# mine\n"));
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_ino, before.st_ino);
	assert_int_not_equal(access(aside, F_OK), 0);
	assert_int_equal(rmdir(fresh), 0);

	/* An aside of an earlier file gives way to the one that stands now. */
	FILE *f = fopen(aside, "w");
	assert_non_null(f);
	fputs("# older, and longer\n", f);
	fclose(f);
	assert_ok(dns_os_apply(&c));
	dns_os_restore(&c);
	assert_true(reads("# mine\n"));
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_ino, before.st_ino); /* the file itself, with its owner and mode */
	assert_int_not_equal(access(fresh, F_OK), 0);
	unlink(path);
}

/* A file mounted there, as containers have it: written in place, and given back so. Skipped where mounting is not allowed. */
static void test_mount_point(void **state)
{
	struct dns_os_config c = { .ifname = "flt0", .resolver = addr_v4(100, 100, 100, 100), .resolv_conf = path };
	char under[96];

	(void)state;
	snprintf(under, sizeof under, "%s/under", dir);
	write_text("# mine, and longer than what is written over it: the rest of it has to be cut off by the one who writes, "
			   "and has to come back\nnameserver 1.2.3.4\n#\n");
	assert_int_equal(rename(path, under), 0);
	write_text("");
	bool may = unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
		mount(under, path, NULL, MS_BIND, NULL) == 0;
	if (may) {
		assert_ok(dns_os_apply(&c));
		size_t n;
		char *text = test_read_file(under, &n);
		assert_non_null(text);
		assert_non_null(strstr(text, "nameserver 100.100.100.100\n"));
		assert_null(strstr(text, "1.2.3.4"));
		free(text);
		dns_os_restore(&c);
		assert_non_null(text = test_read_file(under, &n));
		assert_non_null(strstr(text, "come back\nnameserver 1.2.3.4\n#\n"));
		assert_null(strstr(text, "100.100.100.100"));
		free(text);
		assert_int_not_equal(access(aside, F_OK), 0);
		assert_int_equal(umount(path), 0);
	}
	unlink(under);
	unlink(path);
	if (!may)
		skip();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_take_and_give_back),
		cmocka_unit_test(test_symlink_and_names),
		cmocka_unit_test(test_resolved),
		cmocka_unit_test(test_many),
		cmocka_unit_test(test_overwritten),
		cmocka_unit_test(test_never_lost),
		cmocka_unit_test(test_mount_point),
	};

	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
