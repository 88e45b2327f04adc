#include "server/api/reach_text.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "common/base/cleanup.h"
#include "server/api/page.h"

enum { NETWORKS_SHOWN = 3, PARTS_MAX = NETWORKS_SHOWN + 3 };

struct parts {
	char text[PARTS_MAX][96];
	size_t n;
};

static void add_count(struct parts *p, size_t n, enum word one, enum word many)
{
	if (n && p->n < PARTS_MAX)
		snprintf(p->text[p->n++], sizeof p->text[0], "%zu %s", n, word(n == 1 ? one : many));
}

static size_t machines(const json_t *answer)
{
	const char *self = json_string_value(json_object_get(json_object_get(answer, "source"), "text"));
	const json_t *nodes = json_object_get(answer, "nodes");
	size_t n = 0;

	for (size_t i = 0; i < json_array_size(nodes); i++) {
		const char *name = json_string_value(json_object_get(json_array_get(nodes, i), "name"));
		n += name && self && strcmp(name, self) != 0;
	}
	return n;
}

/* Ranges that somebody leads to, each once; how many exit nodes there are. */
static void add_beyond(struct parts *p, const json_t *answer)
{
	CLEANUP(json_decrefp) json_t *seen = json_object(), *exits = json_object();
	const json_t *beyond = json_object_get(answer, "beyond");
	size_t networks = 0;

	for (size_t i = 0; seen && exits && i < json_array_size(beyond); i++) {
		const json_t *d = json_array_get(beyond, i), *routers = json_object_get(d, "routers");
		const char *to = json_string_value(json_object_get(d, "destination"));
		if (!to || !json_array_size(routers))
			continue;
		if (strcmp(to, "autogroup:internet") == 0) {
			for (size_t k = 0; k < json_array_size(routers); k++)
				(void)json_object_set_new(exits, json_string_value(json_array_get(routers, k)), json_true());
			continue;
		}
		if (json_object_get(seen, to) || json_object_set_new(seen, to, json_true()) != 0)
			continue;
		if (networks++ < NETWORKS_SHOWN)
			snprintf(p->text[p->n++], sizeof p->text[0], "%.80s", to);
	}
	if (networks > NETWORKS_SHOWN)
		add_count(p, networks - NETWORKS_SHOWN, W_MORE_NETWORKS, W_MORE_NETWORKS);
	add_count(p, json_object_size(exits), W_EXIT_NODE, W_EXIT_NODES);
}

void reach_put(struct buf *b, const struct reply *reply)
{
	CLEANUP(json_decrefp) json_t *answer = reply->e == OK && reply->text ? json_loads(reply->text, 0, NULL) : NULL;
	struct parts p = { 0 };

	if (!answer) /* too much at once, or just now: the page does without */
		return;
	add_count(&p, machines(answer), W_MACHINE, W_MACHINES);
	add_beyond(&p, answer);
	buf_printf(b, "<dt>%s</dt><dd>", word(W_WILL_REACH));
	if (!p.n)
		buf_append_str(b, word(W_NOTHING_YET));
	for (size_t i = 0; i < p.n; i++) {
		if (i && i + 1 < p.n)
			buf_append_str(b, ", ");
		else if (i)
			buf_printf(b, " %s ", word(W_AND));
		put_escaped(b, p.text[i]);
	}
	buf_append_str(b, "</dd>");
}
