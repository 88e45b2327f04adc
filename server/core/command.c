#include "server/core/command.h"

#include "common/base/cleanup.h"

enum {
	COMMAND_BYTES_MAX = 16 << 20, /* a policy of 4 MiB is the largest thing in one */
	REPLY_BYTES_MAX = 256 << 20,
};

struct command *command_new(enum command_kind kind)
{
	struct command *c = calloc(1, sizeof *c);

	if (!c)
		return NULL;
	c->kind = kind;
	c->arena = arena_make(COMMAND_BYTES_MAX);
	return c;
}

void command_free(struct command *c)
{
	if (!c)
		return;
	arena_done(&c->arena);
	free(c);
}

struct node_info *node_info_ref(struct node_info *i)
{
	__atomic_add_fetch(&i->refs, 1, __ATOMIC_RELAXED);
	return i;
}

void node_info_unref(struct node_info *i)
{
	if (!i || __atomic_sub_fetch(&i->refs, 1, __ATOMIC_ACQ_REL) > 0)
		return;
	node_row_done(&i->row);
	user_row_done(&i->user);
	authkey_row_done(&i->authkey);
	free(i->client_version);
	free(i->os);
	free(i->os_version);
	free(i->refusal);
	free(i->announced);
	free(i->serving);
	free(i);
}

struct reply *reply_new(void)
{
	struct reply *r = calloc(1, sizeof *r);

	if (r)
		r->arena = arena_make(REPLY_BYTES_MAX);
	return r;
}

void reply_free(struct reply *r)
{
	if (!r)
		return;
	for (size_t i = 0; i < r->n_nodes; i++)
		node_info_unref(r->nodes[i]);
	arena_done(&r->arena);
	free(r);
}
