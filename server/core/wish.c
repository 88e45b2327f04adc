#include "server/core/state.h"

#include <stdlib.h>

#include "common/base/cleanup.h"
#include "common/base/log.h"

/* What people asked to reach, on /my: rows that stay until somebody who writes the policy, or they themselves, take them away. They change
 * nothing by themselves. */

/* ---- memory ---- */

struct wish *wish_by_id(struct core *c, int64_t id)
{
	return id ? map_get(&c->wishes, &id) : NULL;
}

err wish_put_memory(struct core *c, struct wish_row *taken)
{
	struct wish *w = wish_by_id(c, taken->id);
	struct tailnet *t = core_tailnet(c, taken->tailnet_id);

	if (!t)
		return ERR_INVALID;
	if (!w) {
		w = calloc(1, sizeof *w);
		if (!w)
			return ERR_NOMEM;
		w->t = t;
		w->row.id = taken->id;
		err e = map_put(&c->wishes, w);
		if (e != OK) {
			free(w);
			return e;
		}
	}
	wish_row_done(&w->row);
	w->row = *taken;
	*taken = (struct wish_row){ 0 };
	return OK;
}

void wish_drop_memory(struct core *c, int64_t id)
{
	struct wish *w = map_del(&c->wishes, &id);

	if (!w)
		return;
	wish_row_done(&w->row);
	free(w);
}

static err forget(struct core *c, struct wish *w)
{
	TRY(touch_wish(c, w));
	wish_drop_memory(c, w->row.id);
	return OK;
}

err wishes_forget(struct core *c, const struct user *u)
{
	size_t at = 0;

	for (struct wish *w; (w = map_next(&c->wishes, &at));)
		if (w->row.user_id == u->row.id)
			TRY(forget(c, w));
	return OK;
}

/* ---- replies ---- */

static err to_arena(struct arena *a, const struct wish_row *from, struct wish_row *out)
{
	*out = *from;
	out->what = arena_str(a, bytes_str(or_empty(from->what)));
	out->why = arena_str(a, bytes_str(or_empty(from->why)));
	return out->what && out->why ? OK : ERR_NOMEM;
}

static err give(struct reply *r, const struct wish *w)
{
	r->wishes = arena_array(&r->arena, 1, sizeof *r->wishes);
	if (!r->wishes)
		return ERR_NOMEM;
	TRY(to_arena(&r->arena, &w->row, &r->wishes[0]));
	r->n_wishes = 1;
	return OK;
}

/* ---- commands ---- */

static bool is_plain(const char *text, size_t max)
{
	for (const char *p = text; *p; p++)
		if ((unsigned char)*p < ' ' || *p == 127)
			return false;
	return strlen(text) <= max && bytes_is_utf8(bytes_str(text));
}

static size_t count_of(struct core *c, const struct user *u)
{
	size_t at = 0, n = 0;

	for (struct wish *w; (w = map_next(&c->wishes, &at));)
		n += w->row.user_id == u->row.id;
	return n;
}

static err add(struct core *c, struct tailnet *t, const struct command *m, struct reply *r)
{
	struct user *u;
	struct wish_row row = { .tailnet_id = t->row.id, .created_ms = c->now.wall_ms };

	if (!signin_asking(c, t, m, r, &u))
		return r->e;
	if (!*m->name || !is_plain(m->name, WISH_WHAT_MAX) || !is_plain(m->note, WISH_WHY_MAX))
		reply_fail(r, ERR_INVALID, "say what you want to reach in 1 to %d bytes of text, and why in at most %d, each on one line", WISH_WHAT_MAX, WISH_WHY_MAX);
	else if (user_waits(u))
		reply_fail(r, ERR_DENIED, "your account waits for approval first");
	else if (count_of(c, u) >= WISHES_PER_USER_MAX)
		reply_fail(r, ERR_STATE, "%d of your questions wait for an answer already: take one back first", WISHES_PER_USER_MAX);
	if (r->e != OK)
		return r->e;
	TRY(next_id(c, &row.id));
	TRY(touch_new_wish(c, row.id));
	int64_t id = row.id;
	row.user_id = u->row.id;
	row.what = strdup(m->name);
	row.why = strdup(m->note);
	err e = row.what && row.why ? wish_put_memory(c, &row) : ERR_NOMEM;
	wish_row_done(&row);
	TRY(e);
	struct wish *w = wish_by_id(c, id);
	if (!w)
		return ERR_STATE;
	w->touched = c->tx;
	log_info("somebody asked for access", "user=%" PRId64 " name=%s what=%s", u->row.id, log_qs(u->row.name).s, log_qs(w->row.what).s);
	TRY(give(r, w));
	return reply_give_user(r, u);
}

static int by_number(const void *a, const void *b)
{
	const struct wish_row *x = a, *y = b;

	return (x->id > y->id) - (x->id < y->id);
}

static err list(struct core *c, struct tailnet *t, const struct command *m, struct reply *r)
{
	struct user *u = NULL;
	size_t at = 0;

	if (*m->key_text && !signin_asking(c, t, m, r, &u))
		return r->e;
	r->wishes = arena_array(&r->arena, c->wishes.n + 1, sizeof *r->wishes);
	r->users = arena_array(&r->arena, c->wishes.n + 1, sizeof *r->users);
	if (!r->wishes || !r->users)
		return ERR_NOMEM;
	for (struct wish *w; (w = map_next(&c->wishes, &at));)
		if (w->t == t && (!u || w->row.user_id == u->row.id))
			TRY(to_arena(&r->arena, &w->row, &r->wishes[r->n_wishes++]));
	if (r->n_wishes)
		qsort(r->wishes, r->n_wishes, sizeof *r->wishes, by_number);
	for (size_t i = 0; i < r->n_wishes; i++) { /* users[i] is whose wishes[i] is */
		struct user *its = user_by_id(c, r->wishes[i].user_id);
		if (its)
			TRY(user_to_arena(&r->arena, its, &r->users[i]));
	}
	r->n_users = r->n_wishes;
	return OK;
}

static err take_away(struct core *c, struct tailnet *t, const struct command *m, struct reply *r)
{
	struct user *u = NULL;
	struct wish *w = wish_by_id(c, m->id);

	if (*m->key_text && !signin_asking(c, t, m, r, &u))
		return r->e;
	if (!w || w->t != t || (u && w->row.user_id != u->row.id)) {
		reply_fail(r, ERR_NOT_FOUND, "there is no question %lld: it was answered, or taken back", (long long)m->id);
		return r->e;
	}
	TRY(give(r, w));
	return forget(c, w);
}

void on_command_wish(struct core *c, const struct command *m, struct reply *r)
{
	struct tailnet *t = core_tailnet(c, m->tailnet_id);

	if (m->kind == CMD_WISH_ADD)
		r->e = add(c, t, m, r);
	else if (m->kind == CMD_WISH_LIST)
		r->e = list(c, t, m, r);
	else
		r->e = take_away(c, t, m, r);
}
