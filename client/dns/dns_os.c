#include "client/dns/dns_os.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/route/run.h"
#include "common/base/buf.h"
#include "common/base/cleanup.h"

enum { FILE_MAX = 64 << 10, PATH_LEN = 512, NAME_LEN = 260 };
static const char mark[] = "# Written by fairlead-client: names are asked at its resolver. The former file is beside this one.\n";
static const char usual_path[] = "/etc/resolv.conf";
/* Where systemd-resolved tells what it asks itself; resolv.conf names only its stub. */
static const char resolved_path[] = "/run/systemd/resolve/resolv.conf";

/* ---- files ---------------------------------------------------------------------------------------------------- */

static err read_file(const char *path, struct buf *out)
{
	CLEANUP(closep) int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return ERR_SYS;
	for (;;) {
		uint8_t *at = buf_reserve(out, 4096);

		if (!at)
			return ERR_TOO_BIG;
		ssize_t n = read(fd, at, 4096);
		if (n < 0)
			return ERR_SYS;
		if (n == 0)
			return OK;
		buf_commit(out, (size_t)n);
	}
}

static err write_fd(int fd, struct bytes b)
{
	while (b.n) {
		ssize_t n = write(fd, b.p, b.n);

		if (n < 0)
			return ERR_SYS;
		b = bytes_skip(b, (size_t)n);
	}
	return fsync(fd) == 0 ? OK : ERR_SYS;
}

/* In place, and cut at the end only: on a full disk the former text's room is there, and a half written file of ours
 * begins with the mark already. */
static err overwrite(const char *path, struct bytes b)
{
	CLEANUP(closep) int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);

	if (fd < 0)
		return ERR_SYS;
	TRY(write_fd(fd, b));
	return ftruncate(fd, (off_t)b.n) == 0 ? OK : ERR_SYS;
}

static err saved_path(const char *path, char out[PATH_LEN])
{
	return (size_t)snprintf(out, PATH_LEN, "%s.before-fairlead", path) < PATH_LEN ? OK : ERR_TOO_BIG;
}

static bool is_ours(const char *path)
{
	CLEANUP(buf_done) struct buf b = buf_make(FILE_MAX);

	return read_file(path, &b) == OK && bytes_has_prefix(buf_view(&b), bytes_of(mark, sizeof mark - 1));
}

/* A second name for the file, or for the symbolic link as such; a copy where it can have none (a container's mount). */
static err duplicate(const char *path, const struct stat *st, const char *aside)
{
	CLEANUP(buf_done) struct buf b = buf_make(FILE_MAX);
	char target[PATH_LEN];

	if (link(path, aside) == 0)
		return OK;
	if (S_ISLNK(st->st_mode)) {
		ssize_t n = readlink(path, target, sizeof target);

		if (n < 0 || (size_t)n >= sizeof target)
			return ERR_SYS;
		target[n] = 0;
		return symlink(target, aside) == 0 ? OK : ERR_SYS;
	}
	TRY(read_file(path, &b));
	return overwrite(aside, buf_view(&b));
}

/* True: the file was missing and its former self lay aside. */
static bool put_back_missing(const char *path, const char *aside)
{
	struct stat st;

	return lstat(path, &st) != 0 && errno == ENOENT && rename(aside, path) == 0;
}

/* Keeps the file aside; it stays where it is as well, so that a kill at any moment leaves one. */
static err save(const char *path)
{
	char aside[PATH_LEN];
	struct stat st;

	TRY(saved_path(path, aside));
	if (is_ours(path))
		return OK; /* saved already */
	put_back_missing(path, aside);
	if (lstat(path, &st) != 0)
		return errno == ENOENT ? overwrite(aside, (struct bytes){ 0 }) : ERR_SYS;
	if (unlink(aside) != 0 && errno != ENOENT) /* of an earlier file; a newer one stands */
		return ERR_SYS;
	return duplicate(path, &st, aside);
}

bool dns_os_repair(const char *resolv_conf)
{
	CLEANUP(buf_done) struct buf b = buf_make(FILE_MAX);
	const char *path = resolv_conf ? resolv_conf : usual_path;
	char aside[PATH_LEN];
	struct stat st;

	if (saved_path(path, aside) != OK || lstat(aside, &st) != 0)
		return false;
	if (put_back_missing(path, aside))
		return true;
	if (!is_ours(path))
		return false;
	if (rename(aside, path) == 0)
		return true;
	if (read_file(aside, &b) != OK || overwrite(path, buf_view(&b)) != OK)
		return false;
	unlink(aside);
	return true;
}

bool dns_os_overwritten(const char *resolv_conf)
{
	const char *path = resolv_conf ? resolv_conf : usual_path;
	char aside[PATH_LEN];
	struct stat st;

	return saved_path(path, aside) == OK && lstat(aside, &st) == 0 && lstat(path, &st) == 0 && !is_ours(path);
}

static void give_back(const char *path)
{
	char aside[PATH_LEN];

	dns_os_repair(path);
	if (dns_os_overwritten(path) && saved_path(path, aside) == OK)
		unlink(aside); /* the former file itself or somebody else's stands: the one aside is of no use */
}

/* ---- what the system asks ------------------------------------------------------------------------------------- */

static size_t parse_nameservers(struct bytes text, struct addrport *out, size_t cap)
{
	size_t n = 0;

	while (text.n && n < cap) {
		static const struct bytes word = { (const uint8_t *)"nameserver", 10 };
		struct bytes line = bytes_trim(bytes_cut(text, '\n', &text)), value = bytes_skip(line, word.n);
		struct addrport at = { .port = 53 };

		if (bytes_has_prefix(line, word) && value.n && (value.p[0] == ' ' || value.p[0] == '\t') &&
			addr_parse(bytes_trim(value), &at.addr) == OK)
			out[n++] = at;
	}
	return n;
}

err dns_os_system(const char *resolv_conf, struct addrport *out, size_t cap, size_t *n)
{
	CLEANUP(buf_done) struct buf b = buf_make(FILE_MAX);
	const char *path = resolv_conf ? resolv_conf : usual_path;
	char aside[PATH_LEN];

	TRY(saved_path(path, aside));
	TRY(read_file(is_ours(path) ? aside : path, &b));
	*n = parse_nameservers(buf_view(&b), out, cap);
	if (!resolv_conf && *n && addr_eq(out[0].addr, addr_v4(127, 0, 0, 53))) {
		buf_clear(&b);
		if (read_file(resolved_path, &b) == OK)
			*n = parse_nameservers(buf_view(&b), out, cap);
	}
	return OK;
}

/* ---- ours ----------------------------------------------------------------------------------------------------- */

bool dns_os_name_ok(const char *name)
{
	size_t n = strlen(name);

	for (size_t i = 0; i < n; i++) {
		char c = name[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '-' || c == '_'))
			return false;
	}
	return n > 0 && n < NAME_LEN && name[0] != '-';
}

static err check_names(const struct dns_os_config *c)
{
	if (c->n_search + c->n_routes > DNS_OS_NAMES_MAX)
		return ERR_TOO_BIG;
	for (size_t i = 0; i < c->n_search; i++) {
		if (!dns_os_name_ok(c->search[i]))
			return ERR_INVALID;
	}
	for (size_t i = 0; i < c->n_routes; i++) {
		if (!dns_os_name_ok(c->routes[i]))
			return ERR_INVALID;
	}
	return dns_os_name_ok(c->ifname) ? OK : ERR_INVALID;
}

static bool has_resolved(void)
{
	const char *const argv[] = { "resolvectl", "--no-pager", "dns", NULL };
	char out[256];

	return run_command(argv, out, sizeof out) == 0;
}

static bool is_among(const char *const *list, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (bytes_eq_nocase(bytes_str(list[i]), bytes_str(name)))
			return true;
	return false;
}

static err apply_resolved(const struct dns_os_config *c)
{
	char text[ADDR_TEXT_MAX], route[DNS_OS_NAMES_MAX][NAME_LEN + 2], out[256];
	const char *domain[DNS_OS_NAMES_MAX + 6] = { "resolvectl", "domain", c->ifname };
	const char *const dns[] = { "resolvectl", "dns", c->ifname, addr_text(c->resolver, text), NULL };
	const char *const usual[] = { "resolvectl", "default-route", c->ifname, c->all ? "yes" : "no", NULL };
	size_t n = 3;

	for (size_t i = 0; i < c->n_search; i++)
		domain[n++] = c->search[i];
	/* A search domain routes as well, and naming it again with "~" would make it no search domain. */
	for (size_t i = 0; i < c->n_routes; i++) {
		if (is_among(c->search, c->n_search, c->routes[i]))
			continue;
		snprintf(route[i], sizeof route[i], "~%s", c->routes[i]);
		domain[n++] = route[i];
	}
	if (c->all)
		domain[n++] = "~.";
	if (n == 3)
		domain[n++] = "";
	if (run_command(dns, out, sizeof out) != 0 || run_command(domain, out, sizeof out) != 0 ||
		run_command(usual, out, sizeof out) != 0)
		return ERR_SYS;
	return OK;
}

/* The new file is written whole before the former one is touched. */
static err take_over(const char *path, const char *fresh, struct bytes text)
{
	TRY(overwrite(fresh, text));
	TRY(save(path));
	if (rename(fresh, path) == 0)
		return OK;
	/* A mount point cannot be replaced. Any other file may be the one aside, by its second name. */
	if (errno != EBUSY)
		return ERR_SYS;
	TRY(overwrite(path, text));
	unlink(fresh);
	return OK;
}

static err apply_file(const struct dns_os_config *c, const char *path)
{
	CLEANUP(buf_done) struct buf b = buf_make(FILE_MAX);
	char text[ADDR_TEXT_MAX], fresh[PATH_LEN];

	if ((size_t)snprintf(fresh, sizeof fresh, "%s.fairlead-new", path) >= sizeof fresh)
		return ERR_TOO_BIG;
	buf_append_str(&b, mark);
	buf_printf(&b, "nameserver %s\n", addr_text(c->resolver, text));
	for (size_t i = 0; i < c->n_search; i++)
		buf_printf(&b, "%s%s%s", i ? " " : "search ", c->search[i], i + 1 == c->n_search ? "\n" : "");
	if (b.bad)
		return ERR_TOO_BIG;
	err e = take_over(path, fresh, buf_view(&b));
	if (e != OK) {
		int why = errno;

		unlink(fresh);
		give_back(path);
		errno = why;
	}
	return e;
}

err dns_os_apply(const struct dns_os_config *c)
{
	TRY(check_names(c));
	if (!c->resolv_conf && has_resolved() && apply_resolved(c) == OK)
		return OK;
	return apply_file(c, c->resolv_conf ? c->resolv_conf : usual_path);
}

void dns_os_restore(const struct dns_os_config *c)
{
	const char *const revert[] = { "resolvectl", "revert", c->ifname, NULL };
	char out[256];

	if (!c->resolv_conf && dns_os_name_ok(c->ifname) && has_resolved())
		run_command(revert, out, sizeof out);
	give_back(c->resolv_conf ? c->resolv_conf : usual_path);
}
