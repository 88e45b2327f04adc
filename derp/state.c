#include "derp/state.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/cleanup.h"
#include "common/text/hex.h"

enum {
	PATH_BYTES = 512,
	CERT_DAYS = 3650,
	TEXT_MAX = 64 << 10,
};

static err fail(char *why, size_t cap, const char *what, const char *path)
{
	snprintf(why, cap, "cannot %s %s: %s", what, path, strerror(errno));
	return ERR_SYS;
}

static err path_of(const char *dir, const char *name, char out[PATH_BYTES], char *why, size_t why_cap)
{
	int n = snprintf(out, PATH_BYTES, "%s/%s", dir, name);

	if (n > 0 && n < PATH_BYTES)
		return OK;
	snprintf(why, why_cap, "the state folder's path is too long");
	return ERR_INVALID;
}

static err write_all(int fd, struct bytes b)
{
	while (b.n) {
		ssize_t n = write(fd, b.p, b.n);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return ERR_SYS;
		b = bytes_skip(b, (size_t)n);
	}
	return fsync(fd) == 0 ? OK : ERR_SYS;
}

static err put_file(const char *dir, const char *name, struct bytes text, char *why, size_t why_cap)
{
	char path[PATH_BYTES], aside[PATH_BYTES];
	CLEANUP(closep) int fd = -1;
	CLEANUP(closep) int folder = -1;

	TRY(path_of(dir, name, path, why, why_cap));
	int n = snprintf(aside, sizeof aside, "%s/%s.new", dir, name);
	if (n < 0 || n >= (int)sizeof aside)
		return ERR_INVALID;
	fd = open(aside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0 || fchmod(fd, 0600) != 0 || write_all(fd, text) != OK)
		return fail(why, why_cap, "write", aside);
	if (rename(aside, path) != 0)
		return fail(why, why_cap, "write", path);
	folder = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (folder >= 0)
		fsync(folder); /* so that the name survives a power cut, too */
	return OK;
}

/* Owned text; ERR_NOT_FOUND: no such file. */
static err get_file(const char *dir, const char *name, char **out, size_t *n, char *why, size_t why_cap)
{
	char path[PATH_BYTES];
	CLEANUP(closep) int fd = -1;
	CLEANUP(freep) char *text = malloc(TEXT_MAX + 1);

	if (!text)
		return ERR_NOMEM;
	TRY(path_of(dir, name, path, why, why_cap));
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? ERR_NOT_FOUND : fail(why, why_cap, "read", path);
	ssize_t got = read(fd, text, TEXT_MAX);
	if (got < 0)
		return fail(why, why_cap, "read", path);
	text[got] = 0;
	*n = (size_t)got;
	*out = MOVE(text);
	return OK;
}

err state_key(const char *dir, struct node_key *out, char *why, size_t why_cap)
{
	static const char prefix[] = "privkey:"; /* as derper's file has it */
	char text[sizeof prefix + 64 + 1], *old = NULL;
	size_t n;

	if (mkdir(dir, 0700) != 0 && errno != EEXIST)
		return fail(why, why_cap, "make the state folder", dir);
	err e = get_file(dir, "derp.key", &old, &n, why, why_cap);
	if (e == OK) {
		struct bytes b = bytes_trim(bytes_of(old, n));

		e = bytes_has_prefix(b, bytes_str(prefix)) ?
			hex_decode(bytes_skip(b, sizeof prefix - 1), out->secret.b, sizeof out->secret.b) :
			ERR_MALFORMED;
		sodium_memzero(old, n);
		free(old);
		if (e != OK) {
			snprintf(why, why_cap, "%s/derp.key is no key file (\"privkey:\" and 64 hex digits)", dir);
			return ERR_INVALID;
		}
		node_key_derive(out);
		return OK;
	}
	if (e != ERR_NOT_FOUND)
		return e;
	node_key_new(out);
	memcpy(text, prefix, sizeof prefix - 1);
	hex_encode(bytes_of(out->secret.b, sizeof out->secret.b), text + sizeof prefix - 1);
	text[sizeof prefix - 1 + 64] = '\n';
	e = put_file(dir, "derp.key", bytes_of(text, sizeof prefix - 1 + 65), why, why_cap);
	sodium_memzero(text, sizeof text);
	return e;
}

static err make_certificate(const char *dir, const char *hostname, char *why, size_t why_cap)
{
	char *cert = NULL, *key = NULL;
	err e = tls_self_signed(&hostname, 1, CERT_DAYS, &cert, &key);

	if (e != OK)
		snprintf(why, why_cap, "cannot make a certificate for %s", hostname);
	if (e == OK)
		e = put_file(dir, "tls.key", bytes_str(key), why, why_cap);
	if (e == OK)
		e = put_file(dir, "tls.crt", bytes_str(cert), why, why_cap);
	if (e == OK) /* last: without it the certificate is made again */
		e = put_file(dir, "tls.name", bytes_str(hostname), why, why_cap);
	if (key)
		sodium_memzero(key, strlen(key));
	free(cert);
	free(key);
	return e;
}

err state_certificate(const char *dir, const char *hostname, struct tls_ctx **out, char *why, size_t why_cap)
{
	char cert[PATH_BYTES], key[PATH_BYTES], *name = NULL;
	size_t n = 0;
	err e = get_file(dir, "tls.name", &name, &n, why, why_cap);
	bool same = e == OK && bytes_eq_str(bytes_of(name, n), hostname);

	free(name);
	if (e != OK && e != ERR_NOT_FOUND)
		return e;
	TRY(path_of(dir, "tls.crt", cert, why, why_cap));
	TRY(path_of(dir, "tls.key", key, why, why_cap));
	if (same && tls_server_new(cert, key, why, why_cap, out) == OK)
		return OK;
	TRY(make_certificate(dir, hostname, why, why_cap));
	return tls_server_new(cert, key, why, why_cap, out);
}
