#include "server/core/audit.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/cleanup.h"
#include "common/text/jsonw.h"
#include "common/wire/tka.h"
#include "server/core/state.h"
#include "server/core/webhook_words.h"

/* ---- who ---- */

void audit_who(struct core *c, const char *via, struct addr from, const char *fmt, ...)
{
	va_list ap;

	snprintf(c->who.via, sizeof c->who.via, "%s", via);
	addr_text(from, c->who.address);
	va_start(ap, fmt);
	vsnprintf(c->who.actor, sizeof c->who.actor, fmt, ap);
	va_end(ap);
}

void audit_who_node(struct core *c, const struct event *e, const struct node_pub *key)
{
	struct node *n = key ? node_by_key(c, key) : NULL;
	char text[KEY_SHORT_MAX];

	if (n && machine_pub_eq(&n->row.machine, &e->machine))
		audit_who(c, "node", e->remote, "node:%" PRId64, n->row.id);
	else
		audit_who(c, "node", e->remote, "machine:%s", machine_pub_short(&e->machine, text));
}

/* ---- ids: their own counter, ascending for ever ---- */

static err next_audit_id(struct core *c, int64_t *out)
{
	if (c->next_audit >= c->audits_reserved) {
		char text[24];
		snprintf(text, sizeof text, "%lld", (long long)(c->next_audit + AUDIT_ID_BLOCK));
		TRY(setting_put(c, 0, AUDIT_ID_SETTING, text));
		c->audits_reserved = c->next_audit + AUDIT_ID_BLOCK;
	}
	*out = c->next_audit++;
	return OK;
}

/* ---- one record ---- */

static bool is_same(struct bytes a, struct bytes b)
{
	return bytes_eq(a, b);
}

/* {"name":value,…} of what other does not have just so; other NULL: all of it. false: nothing differs. */
static bool side_text(const struct audit_fields *f, const struct audit_fields *other, struct buf *out)
{
	struct jsonw w = jsonw_init(out);
	bool some = false;

	jsonw_obj(&w);
	for (size_t i = 0; i < f->n; i++) {
		if (other && i < other->n && is_same(f->f[i].value, other->f[i].value))
			continue;
		if (buf_len(out) + f->f[i].value.n > AUDIT_SIDE_MAX)
			break;
		jsonw_key_bytes(&w, bytes_str(f->f[i].name));
		jsonw_raw(&w, f->f[i].value);
		some = true;
	}
	jsonw_obj_end(&w);
	return some;
}

struct subject { /* of a record */
	const char *kind;
	int64_t tailnet_id;
	char id[600];
	const char *name;
	char masked[600]; /* the name, where all of it would tell a secret */
	bool had, has;
	struct audit_fields before, after;
};

static void subject_done(struct subject *s)
{
	arena_done(&s->before.a);
	arena_done(&s->after.a);
}

static void number_id(struct subject *s, int64_t id)
{
	snprintf(s->id, sizeof s->id, "%lld", (long long)id);
}

/* false: rows of this kind, or this one, are not for the log. */
static bool look(struct core *c, const struct image *i, struct subject *s)
{
	s->had = i->existed;
#define SIDES(what, name_of, now_row)                                                                                  \
	do {                                                                                                           \
		if (s->had)                                                                                            \
			audit_fields_##what(&s->before, &i->what);                                                     \
		if (s->has)                                                                                            \
			audit_fields_##what(&s->after, now_row);                                                       \
		s->tailnet_id = s->has ? (now_row)->tailnet_id : i->what.tailnet_id;                                   \
		s->name = s->has ? (now_row)->name_of : i->what.name_of;                                               \
		s->kind = #what;                                                                                       \
	} while (0)
	switch (i->kind) {
	case ROW_USER: {
		struct user *u = user_by_id(c, i->user.id);
		s->has = u != NULL;
		number_id(s, i->user.id);
		SIDES(user, name, &u->row);
		return true;
	}
	case ROW_NODE: {
		struct node *n = node_by_id(c, i->node.id);
		s->has = n != NULL;
		number_id(s, i->node.id);
		SIDES(node, given_name, &n->row);
		return true;
	}
	case ROW_AUTHKEY: {
		struct authkey *k = map_get(&c->authkeys, &i->authkey.id);
		s->has = k != NULL;
		number_id(s, i->authkey.id);
		SIDES(authkey, prefix, &k->row);
		return true;
	}
	case ROW_DRAFT:
		return false; /* nobody's rule yet */
	case ROW_WEBHOOK: {
		struct webhook *w = map_get(&c->webhooks, &i->webhook.id);
		s->has = w && !w->row.deleted_ms;
		s->had &= !i->webhook.deleted_ms;
		if (!s->had && !s->has)
			return false; /* deleted before, and told so now */
		number_id(s, i->webhook.id);
		SIDES(webhook, url, &w->row);
		webhook_url_masked(s->name, s->masked, sizeof s->masked);
		s->name = s->masked;
		return true;
	}
	case ROW_APIKEY: {
		struct apikey *k = map_get(&c->apikeys, &i->apikey.id);
		s->has = k != NULL;
		bool token = (i->existed ? i->apikey.kind : k ? k->row.kind : APIKEY_TOKEN) == APIKEY_TOKEN;
		if (token && (i->existed || !k))
			return false; /* it goes by itself after an hour, or with its client; which client's it is, is told when it is made */
		number_id(s, i->apikey.id);
		SIDES(apikey, prefix, &k->row);
		return true;
	}
	case ROW_POLICY: {
		struct tailnet *t = core_tailnet(c, i->policy.tailnet_id);
		struct policy_version *v = map_get(&c->policies, &i->policy.id);
		if (!v || i->existed)
			return false; /* an old version went, to make room */
		struct policy_version *before = policy_version(t, v->row.version - 1);
		s->had = before != NULL;
		s->has = true;
		if (before)
			audit_fields_policy(&s->before, &before->row);
		audit_fields_policy(&s->after, &v->row);
		number_id(s, t->row.id);
		s->tailnet_id = t->row.id;
		s->name = t->row.name;
		s->kind = "policy";
		return true;
	}
	case ROW_SETTING: {
		const char *now = setting_get(c, i->setting.tailnet_id, i->setting.key);
		const struct setting_row row = { .tailnet_id = i->setting.tailnet_id, .key = i->setting.key,
			.value = (char *)(uintptr_t)now }; /* only read */
		if (!i->setting.tailnet_id || strcmp(i->setting.key, "tka_secret") == 0 ||
				strncmp(i->setting.key, NAME_HELD_PREFIX, sizeof NAME_HELD_PREFIX - 1) == 0)
			return false; /* counters and marks of the server; the secret that ended tailnet lock; names that are kept */
		s->has = now != NULL;
		snprintf(s->id, sizeof s->id, "%s", i->setting.key);
		SIDES(setting, key, &row);
		return true;
	}
	case ROW_SSH_APPROVAL: {
		struct ssh_approval *a = map_get(&c->ssh_approvals, &i->ssh_approval.pair);
		if (!a)
			return false; /* it grew old */
		s->had = false;
		s->has = true;
		snprintf(s->id, sizeof s->id, "%lld/%lld", (long long)a->row.pair.src, (long long)a->row.pair.dst);
		audit_put_id(&s->after, "from", a->row.pair.src);
		audit_put_id(&s->after, "to", a->row.pair.dst);
		audit_put_id(&s->after, "user", a->row.user_id);
		s->tailnet_id = a->row.tailnet_id;
		s->name = "";
		s->kind = "ssh";
		return true;
	}
	case ROW_IDENTITY: {
		struct identity *d = identity_by_id(c, i->identity.id);
		s->has = d != NULL;
		number_id(s, i->identity.id);
		SIDES(identity, login, &d->row);
		return true;
	}
	case ROW_ACCOUNT: {
		struct account *d = account_of(c, i->account.user_id);
		s->has = d != NULL;
		number_id(s, i->account.id);
		if (s->had)
			audit_fields_account(&s->before, &i->account);
		if (s->has)
			audit_fields_account(&s->after, &d->row);
		s->tailnet_id = s->has ? d->row.tailnet_id : i->account.tailnet_id;
		s->name = "";
		s->kind = "account";
		return true;
	}
	case ROW_WISH: {
		struct wish *w = wish_by_id(c, i->wish.id);
		s->has = w != NULL;
		number_id(s, i->wish.id);
		SIDES(wish, what, &w->row);
		return true;
	}
	case ROW_PASSKEY: {
		struct passkey *p = passkey_by_id(c, i->passkey.id);
		s->has = p != NULL;
		number_id(s, i->passkey.id);
		SIDES(passkey, name, &p->row);
		return true;
	}
	case ROW_SIGNIN: {
		struct signin *g = signin_by_id(c, i->signin.id);
		s->has = g != NULL;
		number_id(s, i->signin.id);
		SIDES(signin, remote, &g->row);
		return true;
	}
	case ROW_SERVICE: {
		struct service *v = map_get(&c->services, &i->service.id);
		s->has = v != NULL;
		number_id(s, i->service.id);
		SIDES(service, name, &v->row);
		return true;
	}
	case ROW_LOCK_AUM: {
		struct lock_aum *a = map_get(&c->lock_aums, i->lock_aum.hash);
		struct tka_hash hash;
		char text[TKA_HASH_TEXT_MAX];
		if (!a || i->existed)
			return false; /* with the lock it belonged to, whose end is a setting */
		memcpy(hash.b, a->row.hash, sizeof hash.b);
		s->has = true;
		snprintf(s->id, sizeof s->id, "%s", tka_hash_text(&hash, text));
		audit_put_int(&s->after, "bytes", (int64_t)a->row.n_raw);
		s->tailnet_id = a->row.tailnet_id;
		s->name = "";
		s->kind = "lock";
		return true;
	}
	case ROW_PENDING: {
		struct pending *p = pending_by_id(c, i->pending.auth_id);
		/* That a stranger asks, or gives up, is no change of the tailnet; that somebody decides is. */
		if (p || !i->existed || strcmp(c->who.via, "node") == 0 || strcmp(c->who.via, "system") == 0)
			return false;
		snprintf(s->id, sizeof s->id, "%s", i->pending.auth_id);
		audit_fields_pending(&s->before, &i->pending);
		s->tailnet_id = i->pending.tailnet_id;
		s->name = i->pending.hostname;
		s->kind = "login";
		return true;
	}
	}
#undef SIDES
	return false;
}

static char *cut_copy(const char *s, size_t max)
{
	size_t n = s ? strlen(s) : 0;

	if (n > max)
		for (n = max; n && ((unsigned char)s[n] & 0xc0) == 0x80;) /* not inside a character */
			n--;
	return bytes_dup(bytes_of(s ? s : "", n));
}

static err make_record(struct core *c, const struct subject *s, int64_t group_id, struct buf *before, struct buf *after,
		struct audit_row *out)
{
	enum { TARGET_MAX = 500 };
	struct audit_row r = { .group_id = group_id, .tailnet_id = s->tailnet_id, .at_ms = c->now.wall_ms };

	err e = next_audit_id(c, &r.id);
	if (!r.group_id)
		r.group_id = r.id;
	r.via = strdup(c->who.via);
	r.actor = cut_copy(c->who.actor, sizeof c->who.actor);
	r.address = strdup(c->who.address);
	r.action = strdup(!s->had ? "create" : !s->has ? "delete" : "update");
	r.kind = strdup(s->kind);
	r.target_id = cut_copy(s->id, TARGET_MAX);
	r.target = cut_copy(s->name, TARGET_MAX);
	r.before = bytes_dup(buf_view(before));
	r.after = bytes_dup(buf_view(after));
	if (e == OK && (!r.via || !r.actor || !r.address || !r.action || !r.kind || !r.target_id || !r.target || !r.before || !r.after ||
			before->bad || after->bad))
		e = ERR_NOMEM;
	if (e != OK) {
		audit_row_done(&r);
		return e;
	}
	*out = r;
	return OK;
}

static err record(struct core *c, const struct image *i, struct audit_list *list)
{
	CLEANUP(subject_done) struct subject s = { 0 };
	CLEANUP(buf_done) struct buf before = buf_make(2 * AUDIT_SIDE_MAX), after = buf_make(2 * AUDIT_SIDE_MAX);

	s.before.a = s.after.a = arena_make(0);
	if (!look(c, i, &s) || (!s.had && !s.has))
		return OK;
	if (s.before.failed || s.after.failed)
		return ERR_NOMEM;
	bool some = false;
	if (s.had)
		some |= side_text(&s.before, s.has ? &s.after : NULL, &before);
	if (s.has)
		some |= side_text(&s.after, s.had ? &s.before : NULL, &after);
	if (!some)
		return OK; /* only what is lazy, or secret */
	TRY(make_record(c, &s, list->n ? list->row[0].group_id : 0, &before, &after, &list->row[list->n]));
	list->n++;
	return OK;
}

static err record_rest(struct core *c, size_t n, struct audit_list *list)
{
	CLEANUP(buf_done) struct buf before = buf_make(64), after = buf_make(64);
	struct subject s = { .kind = "more", .tailnet_id = list->row[0].tailnet_id, .had = true, .has = true };

	buf_printf(&after, "{\"rows\":%zu}", n);
	TRY(make_record(c, &s, list->row[0].group_id, &before, &after, &list->row[list->n]));
	list->n++;
	return OK;
}

err audit_collect(struct core *c, struct audit_list *out)
{
	size_t n = c->n_image; /* what the counter touches comes behind */
	struct audit_list list = { .row = calloc(MIN_OF(n, (size_t)AUDIT_EVENT_MAX) + 1, sizeof *list.row) };
	err e = list.row ? OK : ERR_NOMEM;

	for (size_t i = 0; e == OK && i < n; i++) {
		if (list.n == AUDIT_EVENT_MAX) {
			e = record_rest(c, n - i, &list);
			break;
		}
		/* Reserving ids may move the images. */
		struct image image = c->image[i];
		e = record(c, &image, &list);
	}
	if (e != OK) {
		audit_list_done(&list);
		return e;
	}
	*out = list;
	return OK;
}

void audit_list_done(struct audit_list *l)
{
	for (size_t i = 0; i < l->n; i++)
		audit_row_done(&l->row[i]);
	free(l->row);
	*l = (struct audit_list){ 0 };
}

/* ---- what is no change of a row ---- */

enum { NOTES_MAX = 16 };

static err note(struct core *c, const struct subject *s, struct buf *before, struct buf *after)
{
	if (c->notes.n == NOTES_MAX)
		return ERR_TOO_BIG;
	struct audit_row *list = realloc(c->notes.row, (c->notes.n + 1) * sizeof *list);
	if (!list)
		return ERR_NOMEM;
	c->notes.row = list;
	TRY(make_record(c, s, c->notes.n ? list[0].group_id : 0, before, after, &list[c->notes.n]));
	c->notes.n++;
	return OK;
}

/* Another word for the last note than the rows tell. */
static err call_note(struct core *c, const char *action)
{
	struct audit_row *r = &c->notes.row[c->notes.n - 1];
	char *word = strdup(action);

	if (!word)
		return ERR_NOMEM;
	free(r->action);
	r->action = word;
	return OK;
}

err audit_note_node(struct core *c, const struct node *n, const char *action, const char *text)
{
	struct subject s = { .kind = "node", .tailnet_id = n->t->row.id, .name = n->row.given_name, .had = true, .has = true };
	CLEANUP(buf_done) struct buf before = buf_make(2 * AUDIT_SIDE_MAX), after = buf_make(2 * AUDIT_SIDE_MAX);
	struct jsonw w = jsonw_init(&after);

	number_id(&s, n->row.id);
	buf_append_str(&before, "{}");
	jsonw_obj(&w);
	jsonw_key(&w, "action"), jsonw_str(&w, action);
	jsonw_key(&w, "details"), jsonw_str(&w, text);
	jsonw_obj_end(&w);
	return note(c, &s, &before, &after);
}

err audit_note_backup(struct core *c, int64_t tailnet_id, const char *name, const char *action)
{
	struct subject s = { .kind = "backup", .tailnet_id = tailnet_id, .name = name, .had = true, .has = true };
	CLEANUP(buf_done) struct buf before = buf_make(8), after = buf_make(8);

	if (strcmp(action, "create") != 0 && strcmp(action, "fetch") != 0 && strcmp(action, "delete") != 0)
		return ERR_INVALID;
	snprintf(s.id, sizeof s.id, "%s", name);
	buf_append_str(&before, "{}");
	buf_append_str(&after, "{}");
	TRY(note(c, &s, &before, &after));
	return call_note(c, action);
}

static void tell(struct core *c, const struct node *n, const char *action, struct buf *before, struct buf *after)
{
	struct subject s = { .kind = "node", .tailnet_id = n->t->row.id, .name = n->row.given_name, .had = true, .has = true };
	struct audit_row r;

	if (c->replaying)
		return;
	number_id(&s, n->row.id);
	if (make_record(c, &s, 0, before, after, &r) != OK)
		return; /* who watches misses it; the list of nodes has it */
	free(r.action);
	r.action = strdup(action);
	if (r.action)
		fx_changed(c, &r);
	else
		audit_row_done(&r);
}

void audit_presence(struct core *c, struct node *n)
{
	CLEANUP(buf_done) struct buf before = buf_make(64), after = buf_make(64);

	buf_printf(&before, "{\"online\":%s}", n->m.online ? "false" : "true");
	buf_printf(&after, "{\"online\":%s}", n->m.online ? "true" : "false");
	tell(c, n, n->m.online ? "online" : "offline", &before, &after);
}

void audit_report(struct core *c, const struct node *n)
{
	CLEANUP(buf_done) struct buf before = buf_make(64), after = buf_make(64);

	buf_append_str(&before, "{}");
	buf_append_str(&after, "{}");
	tell(c, n, AUDIT_REPORT, &before, &after);
}

/* As audit_note_node, with the time; what does not fit is in the node itself. */
void audit_key_expiry(struct core *c, struct node *n, const char *action)
{
	char text[64];
	size_t before = c->notes.n;

	snprintf(text, sizeof text, "%lld", (long long)n->row.expires_ms);
	if (audit_note_node(c, n, action, text) != OK || c->notes.n == before)
		return;
	(void)call_note(c, action);
}

/* ---- keeping it bounded ---- */

void on_audit_timer(struct core *c, struct timer *t)
{
	timer_arm(&c->timers, t, c->now.mono_ms + AUDIT_TRIM_MS);
	if (clock_unsettled_ms(c))
		return;
	struct store_batch *b = calloc(1, sizeof *b + sizeof b->op[0]);
	apikeys_sweep(c);
	if (!b)
		return;
	b->epoch = c->epoch;
	b->n = 1;
	b->op[0] = (struct store_op){ .kind = STORE_TRIM_AUDIT, .audit_trim = {
		.before_ms = c->set.audit_retention_ms > 0 ? c->now.wall_ms - c->set.audit_retention_ms : 0, .max = c->set.audit_max } };
	fx_store(c, b);
}
