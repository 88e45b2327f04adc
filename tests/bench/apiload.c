/* apiload: GETs of one path over kept-alive connections, TLS or plain, one a thread, each sent when the last was answered.
 *
 *   apiload --to 127.0.0.1:443 [--plain] [--pid PID] [--connections 16] [--seconds 5] [--key KEY] [--gzip] PATH
 *
 * Prints one line of JSON: requests, seconds, requests a second, and a second of the server's CPU (--pid), milliseconds of the median
 * and the slowest, bytes of an answer. Certificates are not checked: it measures a server of ours. */
#include <arpa/inet.h>
#include <getopt.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/openssl.h"

enum { CONNECTIONS_MAX = 256, SAMPLES_MAX = 1 << 20, ANSWER_MAX = 64 << 20 };

static struct options {
	struct sockaddr_in to;
	const char *key, *path;
	bool plain, gzip;
	int connections, seconds;
	pid_t pid;
} opt = { .connections = 16, .seconds = 5, .key = "" };

static int64_t stop_us;

struct line {
	pthread_t thread;
	int fd;
	SSL *ssl;
	uint8_t *buf;
	size_t have, bytes, requests, n;
	float *ms;
	const char *fault;
};

static ssize_t put(struct line *l, const void *p, size_t n)
{
	return l->ssl ? SSL_write(l->ssl, p, (int)n) : write(l->fd, p, n);
}

static ssize_t get(struct line *l)
{
	size_t room = ANSWER_MAX - l->have;

	return l->ssl ? SSL_read(l->ssl, l->buf + l->have, (int)room) : read(l->fd, l->buf + l->have, room);
}

/* One answer, by its Content-Length. */
static bool read_answer(struct line *l)
{
	size_t whole = 0;

	for (l->have = 0; !whole || l->have < whole;) {
		ssize_t got = get(l);
		if (got <= 0) {
			l->fault = "the connection ended";
			return false;
		}
		l->have += (size_t)got;
		uint8_t *end = whole ? NULL : memmem(l->buf, l->have, "\r\n\r\n", 4);
		if (!end)
			continue;
		const char *length = memmem(l->buf, (size_t)(end - l->buf), "Content-Length: ", 16);
		if (strncmp((char *)l->buf, "HTTP/1.1 200", 12) != 0 || !length) {
			l->fault = "the answer is not 200 with a Content-Length";
			return false;
		}
		l->bytes = strtoul(length + 16, NULL, 10);
		whole = (size_t)(end - l->buf) + 4 + l->bytes;
	}
	l->bytes = whole;
	return true;
}

static void *ask(void *arg)
{
	struct line *l = arg;
	char text[1024];
	int n = snprintf(text, sizeof text, "GET %s HTTP/1.1\r\nHost: x\r\n%s%s%s%s\r\n", opt.path, *opt.key ? "Authorization: Bearer " : "", opt.key,
			*opt.key ? "\r\n" : "", opt.gzip ? "Accept-Encoding: gzip\r\n" : "");

	while (clock_mono_us() < stop_us) {
		int64_t t0 = clock_mono_us();
		if (put(l, text, (size_t)n) != n)
			l->fault = "it takes no request";
		if (l->fault || !read_answer(l))
			break;
		l->requests++;
		if (l->n < SAMPLES_MAX)
			l->ms[l->n++] = (float)(clock_mono_us() - t0) / 1000;
	}
	return NULL;
}

static const char *open_line(struct line *l, SSL_CTX *ctx)
{
	*l = (struct line){ .fd = socket(AF_INET, SOCK_STREAM, 0), .buf = malloc(ANSWER_MAX), .ms = malloc(SAMPLES_MAX * sizeof(float)) };
	if (l->fd < 0 || !l->buf || !l->ms || connect(l->fd, (struct sockaddr *)&opt.to, sizeof opt.to) != 0)
		return "no connection";
	if (opt.plain)
		return NULL;
	l->ssl = SSL_new(ctx);
	return l->ssl && SSL_set_fd(l->ssl, l->fd) == 1 && SSL_connect(l->ssl) == 1 ? NULL : "no TLS";
}

static double cpu_s(void)
{
	char path[64], text[1024];
	unsigned long user = 0, sys = 0;

	snprintf(path, sizeof path, "/proc/%d/stat", (int)opt.pid);
	FILE *f = opt.pid ? fopen(path, "r") : NULL;
	size_t n = f ? fread(text, 1, sizeof text - 1, f) : 0;
	if (f)
		fclose(f);
	text[n] = 0;
	char *rest = strrchr(text, ')');
	if (rest)
		sscanf(rest + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &sys);
	return (double)(user + sys) / (double)sysconf(_SC_CLK_TCK);
}

static int by_size(const void *a, const void *b)
{
	float x = *(const float *)a, y = *(const float *)b;

	return (x > y) - (x < y);
}

static bool read_options(int argc, char **argv)
{
	static const struct option names[] = { { "to", 1, NULL, 't' }, { "plain", 0, NULL, 'p' }, { "pid", 1, NULL, 'i' }, { "connections", 1, NULL, 'c' },
		{ "seconds", 1, NULL, 's' }, { "key", 1, NULL, 'k' }, { "gzip", 0, NULL, 'g' }, { NULL, 0, NULL, 0 } };
	char host[64];
	unsigned port;

	for (int c; (c = getopt_long(argc, argv, "", names, NULL)) != -1;)
		switch (c) {
		case 't':
			if (sscanf(optarg, "%63[^:]:%u", host, &port) != 2 || inet_pton(AF_INET, host, &opt.to.sin_addr) != 1)
				return false;
			opt.to.sin_family = AF_INET;
			opt.to.sin_port = htons((uint16_t)port);
			break;
		case 'p':
			opt.plain = true;
			break;
		case 'i':
			opt.pid = (pid_t)strtol(optarg, NULL, 10);
			break;
		case 'c':
			opt.connections = (int)strtol(optarg, NULL, 10);
			break;
		case 's':
			opt.seconds = (int)strtol(optarg, NULL, 10);
			break;
		case 'k':
			opt.key = optarg;
			break;
		case 'g':
			opt.gzip = true;
			break;
		default:
			return false;
		}
	opt.path = argv[optind];
	return opt.path && opt.to.sin_port && opt.connections > 0 && opt.connections <= CONNECTIONS_MAX;
}

int main(int argc, char **argv)
{
	static struct line line[CONNECTIONS_MAX];
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	size_t requests = 0, n = 0;

	if (!read_options(argc, argv) || !ctx) {
		fprintf(stderr, "apiload: see the top of tests/bench/apiload.c\n");
		return 2;
	}
	for (int i = 0; i < opt.connections; i++) {
		const char *fault = open_line(&line[i], ctx);
		if (fault) {
			fprintf(stderr, "apiload: %s\n", fault);
			return 1;
		}
	}
	double cpu = cpu_s();
	int64_t t0 = clock_mono_us();
	stop_us = t0 + opt.seconds * 1000000LL;
	for (int i = 0; i < opt.connections; i++)
		pthread_create(&line[i].thread, NULL, ask, &line[i]);
	for (int i = 0; i < opt.connections; i++)
		pthread_join(line[i].thread, NULL);
	double took = (double)(clock_mono_us() - t0) / 1e6;
	cpu = cpu_s() - cpu;
	float *all = malloc((size_t)opt.connections * SAMPLES_MAX * sizeof *all);
	for (int i = 0; all && i < opt.connections; i++) {
		if (line[i].fault) {
			fprintf(stderr, "apiload: %s\n", line[i].fault);
			return 1;
		}
		requests += line[i].requests;
		memcpy(all + n, line[i].ms, line[i].n * sizeof *all);
		n += line[i].n;
	}
	if (!all || !n)
		return 1;
	qsort(all, n, sizeof *all, by_size);
	printf("{\"requests\": %zu, \"seconds\": %.2f, \"per_s\": %.0f, \"per_cpu_s\": %.0f, \"p50_ms\": %.2f, \"p99_ms\": %.2f, \"max_ms\": %.2f, "
	       "\"bytes\": %zu}\n", requests, took, (double)requests / took, cpu > 0 ? (double)requests / cpu : 0, (double)all[n / 2],
			(double)all[n * 99 / 100], (double)all[n - 1], line[0].bytes);
	return 0;
}
