#include "server/core/state.h"

#include <stdlib.h>

#include "common/base/cleanup.h"
#include "server/core/job.h"

/* A device that waits for its owner's word, as the policy would see it among the others: for the question what it will reach. */

enum { NEWCOMER_ID = -1 };

static int by_text(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static err sorted_tags(const struct pending *p, const char ***out)
{
	const char **list = calloc(p->row.n_request_tags + 1, sizeof(*list));

	if (!list)
		return ERR_NOMEM;
	for (size_t i = 0; i < p->row.n_request_tags; i++)
		list[i] = p->row.request_tags[i];
	qsort(list, p->row.n_request_tags, sizeof(*list), by_text);
	*out = list;
	return OK;
}

/* Signing in again: it is one of the others already. */
static struct node *of_the_same(struct core *c, const struct pending *p, const struct user *u)
{
	struct machine *m = machine_get(c, &p->row.machine);

	if (!m || p->row.n_request_tags)
		return NULL;
	list_each(it, &m->nodes) {
		struct node *n = container_of(it, struct node, of_machine);
		if (n->t == p->t && n->row.user_id == u->row.id && n->shut == SHUT_NO)
			return n;
	}
	return NULL;
}

err newcomer_of(struct core *c, struct tailnet *t, struct command *m, struct reply *r, struct record **out)
{
	struct user *u;
	struct pending *p = pending_by_id(c, m->auth_id);
	CLEANUP(arena_done) struct arena a = arena_make(0);
	struct tailcfg_hostinfo *hi;
	struct json_why why;

	if (!signin_asking(c, t, m, r, &u))
		return r->e;
	if (!p || p->t != t) {
		reply_fail(r, ERR_NOT_FOUND, "no device waits under this link: it has joined already, or the link is too old");
		return r->e;
	}
	/* What it will not become tells nobody what such a one would reach. */
	bool may = !user_waits(u);
	for (size_t i = 0; may && i < p->row.n_request_tags; i++)
		may = register_may_tag(t, u, p->row.request_tags[i]);
	if (!may) {
		reply_fail(r, ERR_DENIED, user_waits(u) ? "your account waits for approval" : "you may not give the device the tags that it asks for");
		return r->e;
	}
	struct node *same = of_the_same(c, p, u);
	m->name = same ? arena_str(&m->arena, bytes_str(same->row.given_name)) : NEWCOMER_NAME;
	if (same)
		return m->name ? OK : ERR_NOMEM;
	bool tagged = p->row.n_request_tags != 0;
	CLEANUP(freep) const char **tags = NULL;
	TRY(sorted_tags(p, &tags));
	TRY(tailcfg_hostinfo_parse(bytes_str(or_empty(p->row.hostinfo_json)), &a, &hi, &why));
	struct node_facts f = { .node = { .id = NEWCOMER_ID, .user_id = tagged ? 0 : u->row.id, .tags = tags, .n_tags = p->row.n_request_tags,
					.attrs = f.attr } };
	f.user = user_facts(u);
	f.node.user = tagged ? NULL : &f.user;
	facts_of_hostinfo(hi, &f);
	*out = record_new(&f.node, NEWCOMER_NAME, NULL, 0);
	return *out ? OK : ERR_NOMEM;
}
