#include "server/core/state.h"

#include <sodium.h>
#include <stdlib.h>

#include "common/base/cleanup.h"
#include "common/base/log.h"
#include "server/core/audit.h"

/* Passkeys: into memory and out, and what is asked about them. What a browser shows is checked before it comes here
 * (server/login/webauthn.h); that a passkey is still there, and that its counter went up, is decided here. */

/* ---- memory ---- */

static void hash_of(const uint8_t *credential, size_t n, uint8_t hash[PASSKEY_HASH_LEN])
{
	crypto_generichash(hash, PASSKEY_HASH_LEN, credential, n, NULL, 0);
}

struct passkey *passkey_by_id(struct core *c, int64_t id)
{
	return id ? map_get(&c->passkeys, &id) : NULL;
}

static struct passkey *passkey_find(struct tailnet *t, const struct passkey_row *like)
{
	uint8_t hash[PASSKEY_HASH_LEN];

	hash_of(like->credential, like->n_credential, hash);
	struct passkey *p = map_get(&t->c->passkeys_by_hash, hash);
	return p && p->t == t ? p : NULL;
}

err passkey_put_memory(struct core *c, struct passkey_row *taken)
{
	struct passkey *p = passkey_by_id(c, taken->id);
	struct tailnet *t = core_tailnet(c, taken->tailnet_id);

	if (!t || !taken->n_credential)
		return ERR_INVALID;
	if (!p) {
		p = calloc(1, sizeof *p);
		if (!p)
			return ERR_NOMEM;
		p->t = t;
		p->row.id = taken->id;
		hash_of(taken->credential, taken->n_credential, p->hash);
		err e = map_put(&c->passkeys, p);
		if (e == OK) {
			e = map_put(&c->passkeys_by_hash, p);
			if (e != OK)
				map_del(&c->passkeys, &p->row.id);
		}
		if (e != OK) {
			free(p);
			return e;
		}
	}
	passkey_row_done(&p->row); /* id and credential never change, so the indexes hold */
	p->row = *taken;
	*taken = (struct passkey_row){ 0 };
	return OK;
}

void passkey_drop_memory(struct core *c, int64_t id)
{
	struct passkey *p = map_del(&c->passkeys, &id);

	if (!p)
		return;
	map_del(&c->passkeys_by_hash, p->hash);
	passkey_row_done(&p->row);
	free(p);
}

err passkey_delete(struct core *c, struct passkey *p)
{
	TRY(touch_passkey(c, p));
	passkey_drop_memory(c, p->row.id);
	return OK;
}

/* ---- replies ---- */

static err to_arena(struct arena *a, const struct passkey_row *from, struct passkey_row *out)
{
	*out = *from;
	out->credential = arena_alloc(a, from->n_credential + 1);
	out->cose = arena_alloc(a, from->n_cose + 1);
	out->name = arena_str(a, bytes_str(or_empty(from->name)));
	if (!out->credential || !out->cose || !out->name)
		return ERR_NOMEM;
	memcpy(out->credential, from->credential, from->n_credential);
	memcpy(out->cose, from->cose, from->n_cose);
	return OK;
}

static err give(struct reply *r, const struct passkey *p)
{
	r->passkeys = arena_array(&r->arena, 1, sizeof *r->passkeys);
	if (!r->passkeys)
		return ERR_NOMEM;
	TRY(to_arena(&r->arena, &p->row, &r->passkeys[0]));
	r->n_passkeys = 1;
	return OK;
}

/* ---- commands ---- */

static err find(struct core *c, struct tailnet *t, const struct command *m, struct reply *r)
{
	struct passkey *p = passkey_find(t, m->passkey);
	struct user *u = p ? user_by_id(c, p->row.user_id) : NULL;

	if (!u) {
		reply_fail(r, ERR_NOT_FOUND, "this passkey is not known here, or was removed");
		return r->e;
	}
	TRY(give(r, p));
	return reply_give_user(r, u);
}

static size_t count_of(struct core *c, int64_t user_id)
{
	size_t at = 0, n = 0;

	for (struct passkey *p; (p = map_next(&c->passkeys, &at));)
		n += p->row.user_id == user_id;
	return n;
}

static bool name_ok(const char *name, struct reply *r)
{
	size_t n = strlen(name);
	bool plain = true;

	for (const char *p = name; *p; p++)
		plain &= (unsigned char)*p >= ' ' && *p != 127;
	if (n && n <= PASSKEY_NAME_MAX && plain && bytes_is_utf8(bytes_of(name, n)))
		return true;
	reply_fail(r, ERR_INVALID, "a passkey's name has 1 to %d characters", PASSKEY_NAME_MAX);
	return false;
}

static err add(struct core *c, struct tailnet *t, const struct command *m, struct reply *r)
{
	struct user *u;
	struct signin *s = signin_asking(c, t, m, r, &u);
	struct passkey_row row;

	if (!s || !name_ok(m->passkey->name, r))
		return r->e;
	if (passkey_find(t, m->passkey)) {
		reply_fail(r, ERR_EXISTS, "this passkey is known here already");
		return r->e;
	}
	if (count_of(c, u->row.id) >= PASSKEYS_PER_USER_MAX) {
		reply_fail(r, ERR_STATE, "you have %d passkeys; remove one first", PASSKEYS_PER_USER_MAX);
		return r->e;
	}
	TRY(passkey_row_copy(m->passkey, &row));
	row.tailnet_id = t->row.id;
	row.user_id = u->row.id;
	row.created_ms = c->now.wall_ms;
	row.used_ms = 0;
	err e = next_id(c, &row.id);
	int64_t id = row.id;
	if (e == OK)
		e = touch_new_passkey(c, id);
	if (e == OK)
		e = passkey_put_memory(c, &row);
	passkey_row_done(&row);
	TRY(e);
	struct passkey *p = passkey_by_id(c, id);
	if (!p)
		return ERR_STATE;
	p->touched = c->tx;
	log_info("passkey added", "user=%" PRId64 " passkey=%" PRId64, u->row.id, id);
	TRY(give(r, p));
	return reply_give_user(r, u);
}

/* An authenticator that counts shows a higher number each time: the same or a lower one is a copy's. */
static bool count_fits(const struct passkey *p, int64_t shown)
{
	return (!p->row.sign_count && !shown) || shown > p->row.sign_count;
}

static err login(struct core *c, struct tailnet *t, const struct command *m, struct reply *r)
{
	struct passkey *p = passkey_by_id(c, m->id);
	struct user *u = p && p->t == t ? user_by_id(c, p->row.user_id) : NULL;

	if (!u) {
		reply_fail(r, ERR_AUTH, "this passkey was removed");
		return r->e;
	}
	if (!count_fits(p, m->passkey->sign_count)) {
		log_warn("a passkey's counter did not go up: there may be a copy of it", "user=%" PRId64 " passkey=%" PRId64
				" kept=%" PRId64 " shown=%" PRId64, u->row.id, p->row.id, p->row.sign_count, m->passkey->sign_count);
		reply_fail(r, ERR_AUTH, "this passkey showed an old counter: there may be a copy of it. It was not accepted");
		return r->e;
	}
	if (!user_may_sign_in(u, r) || !user_may_sign_in_locally(c, u, r))
		return r->e;
	audit_who(c, "web", m->from, "user:%s", u->row.name);
	TRY(touch_passkey(c, p));
	p->row.sign_count = m->passkey->sign_count;
	p->row.synced = m->passkey->synced;
	p->row.used_ms = c->now.wall_ms;
	TRY(signin_make(c, u, SIGNIN_BROWSER, 0, m, r));
	log_info("signed in", "user=%" PRId64 " name=%s provider=passkey from=%s", u->row.id, log_qs(u->row.name).s, c->who.address);
	return reply_give_user(r, u);
}

static int by_number(const void *a, const void *b)
{
	const struct passkey_row *x = a, *y = b;

	return (x->id > y->id) - (x->id < y->id);
}

static err list(struct core *c, struct tailnet *t, const struct command *m, struct reply *r)
{
	struct user *u = NULL;
	size_t at = 0;

	if (*m->key_text && !signin_asking(c, t, m, r, &u))
		return r->e;
	if (!u && *m->user && !(u = user_find(t, m->user))) {
		reply_fail(r, ERR_NOT_FOUND, "there is no user \"%.64s\"", m->user);
		return r->e;
	}
	r->passkeys = arena_array(&r->arena, c->passkeys.n + 1, sizeof *r->passkeys);
	r->users = arena_array(&r->arena, c->passkeys.n + 1, sizeof *r->users);
	if (!r->passkeys || !r->users)
		return ERR_NOMEM;
	for (struct passkey *p; (p = map_next(&c->passkeys, &at));)
		if (p->t == t && (!u || p->row.user_id == u->row.id))
			TRY(to_arena(&r->arena, &p->row, &r->passkeys[r->n_passkeys++]));
	if (r->n_passkeys)
		qsort(r->passkeys, r->n_passkeys, sizeof *r->passkeys, by_number);
	for (size_t i = 0; i < r->n_passkeys; i++) { /* users[i] is whose passkeys[i] is */
		struct user *its = user_by_id(c, r->passkeys[i].user_id);
		if (its)
			TRY(user_to_arena(&r->arena, its, &r->users[i]));
	}
	r->n_users = r->n_passkeys;
	return OK;
}

/* Renames or removes: with a token only one's own. */
static err change(struct core *c, struct tailnet *t, const struct command *m, struct reply *r)
{
	struct user *u = NULL;
	struct signin *s = NULL;
	struct passkey *p = passkey_by_id(c, m->id);

	if (*m->key_text && !(s = signin_asking(c, t, m, r, &u)))
		return r->e;
	if (!p || p->t != t || (u && p->row.user_id != u->row.id)) {
		reply_fail(r, ERR_NOT_FOUND, "there is no passkey %lld", (long long)m->id);
		return r->e;
	}
	if (!s && !apikey_may_act_on(c, m, user_by_id(c, p->row.user_id), r))
		return r->e;
	if (m->kind == CMD_PASSKEY_RENAME) {
		if (!name_ok(m->new_name, r))
			return r->e;
		char *name = bytes_dup(bytes_str(m->new_name));
		err e = name ? touch_passkey(c, p) : ERR_NOMEM;
		if (e != OK) {
			free(name);
			return e;
		}
		free(p->row.name);
		p->row.name = name;
		return give(r, p);
	}
	/* Whoever has it is out: it was lost, perhaps. Browsers keep no note of the passkey that let them in, so all local ones end. */
	int64_t user_id = p->row.user_id;
	size_t at = 0;
	TRY(passkey_delete(c, p));
	for (struct signin *other; (other = map_next(&c->signins, &at));)
		if (other != s && other->row.user_id == user_id && !other->row.identity_id && other->row.kind == SIGNIN_BROWSER)
			TRY(signin_delete(c, other));
	log_info("passkey removed", "user=%" PRId64 " passkey=%" PRId64, user_id, m->id);
	return OK;
}

void on_command_passkey(struct core *c, const struct command *m, struct reply *r)
{
	struct tailnet *t = core_tailnet(c, m->tailnet_id);

	if (m->kind == CMD_PASSKEY_FIND)
		r->e = find(c, t, m, r);
	else if (m->kind == CMD_PASSKEY_ADD)
		r->e = add(c, t, m, r);
	else if (m->kind == CMD_PASSKEY_LOGIN)
		r->e = login(c, t, m, r);
	else if (m->kind == CMD_PASSKEY_LIST)
		r->e = list(c, t, m, r);
	else
		r->e = change(c, t, m, r);
}
