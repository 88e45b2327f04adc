/* store: durable registrations a second. One after the other (each waits for its own commit), and with CALLERS waiting at
 * the same time, as when devices return together; then how long a start takes with what was written.
 *
 *	build/release/tests/bench/store_commits [FOLDER]    default: the current folder, for /tmp may be memory */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/base/cleanup.h"
#include "common/base/clock.h"
#include "common/base/random.h"
#include "server/store/store.h"

enum { ALONE = 500, CALLERS = 64, TOGETHER = 20000 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static uint64_t durable;

static void on_durable(void *ctx, uint64_t seq)
{
	(void)ctx;
	pthread_mutex_lock(&lock);
	durable = seq;
	pthread_cond_broadcast(&changed);
	pthread_mutex_unlock(&lock);
}

static void on_failed(void *ctx, uint64_t durable_seq, uint32_t new_epoch, const char *why)
{
	(void)ctx, (void)durable_seq, (void)new_epoch;
	fprintf(stderr, "a commit failed: %s\n", why);
	exit(1);
}

static void wait_durable(uint64_t seq)
{
	pthread_mutex_lock(&lock);
	while (durable < seq)
		pthread_cond_wait(&changed, &lock);
	pthread_mutex_unlock(&lock);
}

/* A node of the usual size: 600 bytes of Hostinfo, three endpoints. */
static struct store_batch *registration(uint64_t seq)
{
	static const char hostinfo[601] = "{\"OS\":\"linux\",\"Padding\":\"";
	struct store_batch *b = calloc(1, sizeof *b + sizeof b->op[0]);
	char name[32];

	if (!b)
		exit(1);
	snprintf(name, sizeof name, "node-%llu", (unsigned long long)seq);
	*b = (struct store_batch){ .seq = seq, .epoch = 1, .n = 1 };
	b->op[0].kind = STORE_PUT_NODE;
	struct node_row *n = &b->op[0].node;
	*n = (struct node_row){ .id = (int64_t)seq, .tailnet_id = 1, .v4 = addr_v4(100, (uint8_t)(64 + (seq >> 16)), (uint8_t)(seq >> 8),
					(uint8_t)seq), .hostname = strdup(name), .given_name = strdup(name),
				.hostinfo_json = malloc(sizeof hostinfo), .endpoints = calloc(3, sizeof *n->endpoints), .n_endpoints = 3,
				.created_ms = 1, .capver = 113 };
	if (!n->hostname || !n->given_name || !n->hostinfo_json || !n->endpoints)
		exit(1);
	memset(n->hostinfo_json, 'x', sizeof hostinfo - 1);
	n->hostinfo_json[sizeof hostinfo - 1] = 0;
	for (size_t i = 0; i < 3; i++)
		n->endpoints[i] = (struct addrport){ addr_v4(192, 0, 2, (uint8_t)i), 41641 };
	random_fill(n->key.b, sizeof n->key.b);
	random_fill(n->machine.b, sizeof n->machine.b);
	random_fill(n->disco.b, sizeof n->disco.b);
	return b;
}

static double seconds_since(int64_t start_us)
{
	return (double)(clock_mono_us() - start_us) / 1e6;
}

static void run(struct store *s)
{
	int64_t start_us = clock_mono_us();
	uint64_t seq = 0;

	while (seq < ALONE) {
		store_submit(s, registration(++seq));
		wait_durable(seq);
	}
	printf("one after the other: %8.0f durable registrations/s\n", ALONE / seconds_since(start_us));

	start_us = clock_mono_us();
	for (uint64_t sent = 0; sent < TOGETHER; sent++) {
		store_submit(s, registration(++seq));
		if (seq > ALONE + CALLERS)
			wait_durable(seq - CALLERS);
	}
	wait_durable(seq);
	printf("%d at a time:       %8.0f durable registrations/s\n", CALLERS, TOGETHER / seconds_since(start_us));
	struct store_stats st;
	store_stats(s, &st);
	printf("commits %llu, longest %lld us\n", (unsigned long long)st.commits, (long long)st.max_commit_us);
}

static void start_again(const char *path)
{
	struct store *s;
	struct store_image image;
	char why[300];
	int64_t start_us = clock_mono_us();

	if (store_open(path, why, sizeof why, &s) != OK || store_load(s, &image) != OK) {
		fprintf(stderr, "%s\n", why);
		exit(1);
	}
	printf("start with %zu nodes: %.3f s\n", image.n_nodes, seconds_since(start_us));
	store_image_done(&image);
	store_stop(s);
}

int main(int argc, char **argv)
{
	static const char *const suffixes[] = { "", "-wal", "-shm" };
	char folder[200], path[240], file[260], why[300];
	struct store *s;

	snprintf(folder, sizeof folder, "%s/store-bench.XXXXXX", argc > 1 ? argv[1] : ".");
	if (!mkdtemp(folder))
		return 1;
	snprintf(path, sizeof path, "%s/bench.db", folder);
	if (store_open(path, why, sizeof why, &s) != OK) {
		fprintf(stderr, "%s\n", why);
		return 1;
	}
	if (store_start(s, &(struct store_callbacks){ NULL, on_durable, on_failed }) != OK)
		return 1;
	run(s);
	store_stop(s);
	start_again(path);
	for (size_t i = 0; i < ARRAY_LEN(suffixes); i++) {
		snprintf(file, sizeof file, "%s%s", path, suffixes[i]);
		unlink(file);
	}
	rmdir(folder);
	return 0;
}
