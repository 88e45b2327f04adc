#include "derp/admit_list.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/cleanup.h"
#include "common/base/map.h"
#include "derp/relay.h"

struct admit_list {
	char *path;
	pthread_rwlock_t lock;
	struct map keys; /* of struct node_pub, owned */
};

static void free_keys(struct map *keys)
{
	struct node_pub *k;
	size_t at = 0;

	while ((k = map_next(keys, &at)))
		free(k);
	map_done(keys);
}

static err add(struct map *keys, const struct node_pub *key)
{
	struct node_pub *k = malloc(sizeof *k);

	if (!k)
		return ERR_NOMEM;
	*k = *key;
	err e = map_put(keys, k);
	if (e != OK)
		free(k);
	return e == ERR_EXISTS ? OK : e;
}

static err read_lines(FILE *f, const char *path, struct map *keys, char *why, size_t why_cap)
{
	CLEANUP(freep) char *line = NULL;
	size_t cap = 0, total = 0;
	ssize_t n;

	for (unsigned at = 1; (n = getline(&line, &cap, f)) >= 0; at++) {
		struct bytes rest, text = bytes_trim(bytes_cut(bytes_of(line, (size_t)n), '#', &rest));
		struct node_pub key;

		total += (size_t)n;
		if (total > ADMIT_LIST_FILE_MAX) {
			snprintf(why, why_cap, "%s is too large", path);
			return ERR_INVALID;
		}
		if (!text.n)
			continue;
		if (node_pub_parse(text, &key) != OK) {
			snprintf(why, why_cap, "%s:%u: not a node key (\"nodekey:\" and 64 hex digits)", path, at);
			return ERR_INVALID;
		}
		TRY(add(keys, &key));
	}
	return OK;
}

static err load(const char *path, struct map *out, char *why, size_t why_cap)
{
	struct map keys = map_make(0, sizeof(struct node_pub));
	FILE *f = fopen(path, "re");

	if (!f) {
		snprintf(why, why_cap, "cannot read %s: %s", path, strerror(errno));
		return ERR_INVALID;
	}
	err e = read_lines(f, path, &keys, why, why_cap);
	fclose(f);
	if (e != OK)
		free_keys(&keys);
	else
		*out = keys;
	return e;
}

err admit_list_new(const char *path, char *why, size_t why_cap, struct admit_list **out)
{
	struct admit_list *l = calloc(1, sizeof *l);

	if (!l)
		return ERR_NOMEM;
	pthread_rwlock_init(&l->lock, NULL);
	l->path = bytes_dup(bytes_str(path));
	err e = l->path ? load(path, &l->keys, why, why_cap) : ERR_NOMEM;
	if (e != OK) {
		admit_list_free(l);
		return e;
	}
	*out = l;
	return OK;
}

void admit_list_free(struct admit_list *l)
{
	if (!l)
		return;
	free_keys(&l->keys);
	pthread_rwlock_destroy(&l->lock);
	free(l->path);
	free(l);
}

err admit_list_reload(struct admit_list *l, struct relay *r, char *why, size_t why_cap)
{
	struct map fresh, old;
	struct node_pub *k;
	size_t at = 0;
	err e = OK;

	TRY(load(l->path, &fresh, why, why_cap));
	pthread_rwlock_wrlock(&l->lock);
	old = l->keys;
	l->keys = fresh;
	pthread_rwlock_unlock(&l->lock);
	while ((k = map_next(&old, &at)))
		if (!admit_list_has(l, k) && relay_close_key(r, k) != OK)
			e = ERR_NOMEM;
	free_keys(&old);
	if (e != OK)
		snprintf(why, why_cap, "out of memory: not every removed client was disconnected");
	return e;
}

bool admit_list_has(struct admit_list *l, const struct node_pub *key)
{
	pthread_rwlock_rdlock(&l->lock);
	bool has = map_get(&l->keys, key->b) != NULL;
	pthread_rwlock_unlock(&l->lock);
	return has;
}
