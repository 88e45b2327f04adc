#include "server/core/state.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/base/cleanup.h"
#include "common/base/log.h"
#include "server/core/settings.h"

void image_done(struct image *i)
{
	switch (i->kind) {
	case ROW_SETTING: setting_row_done(&i->setting); break;
	case ROW_USER: user_row_done(&i->user); break;
	case ROW_AUTHKEY: authkey_row_done(&i->authkey); break;
	case ROW_APIKEY: apikey_row_done(&i->apikey); break;
	case ROW_POLICY: policy_row_done(&i->policy); break;
	case ROW_NODE: node_row_done(&i->node); break;
	case ROW_WEBHOOK: webhook_row_done(&i->webhook); break;
	case ROW_DRAFT: draft_row_done(&i->draft); break;
	case ROW_SSH_APPROVAL: ssh_approval_row_done(&i->ssh_approval); break;
	case ROW_LOCK_AUM: lock_aum_row_done(&i->lock_aum); break;
	case ROW_SERVICE: service_row_done(&i->service); break;
	case ROW_PENDING: pending_row_done(&i->pending); break;
	case ROW_IDENTITY: identity_row_done(&i->identity); break;
	case ROW_SIGNIN: signin_row_done(&i->signin); break;
	case ROW_ACCOUNT: account_row_done(&i->account); break;
	case ROW_PASSKEY: passkey_row_done(&i->passkey); break;
	case ROW_WISH: wish_row_done(&i->wish); break;
	}
}

/* Room for one more image; it counts only once the caller says so (n_image++). */
static struct image *image_room(struct core *c)
{
	if (c->n_image == c->cap_image) {
		size_t cap = c->cap_image ? c->cap_image * 2 : 16;
		struct image *list = realloc(c->image, cap * sizeof *list);
		if (!list)
			return NULL;
		c->image = list;
		c->cap_image = cap;
	}
	struct image *i = &c->image[c->n_image];
	*i = (struct image){ 0 };
	return i;
}

#define TOUCH(Kind, name, obj)                                                                                         \
	do {                                                                                                           \
		if ((obj)->touched == c->tx)                                                                           \
			return OK;                                                                                     \
		struct image *i_ = image_room(c);                                                                      \
		if (!i_)                                                                                               \
			return ERR_NOMEM;                                                                              \
		i_->kind = Kind;                                                                                       \
		i_->existed = true;                                                                                    \
		TRY(name##_row_copy(&(obj)->row, &i_->name));                                                          \
		c->n_image++;                                                                                          \
		(obj)->touched = c->tx;                                                                                \
		return OK;                                                                                             \
	} while (0)

err touch_user(struct core *c, struct user *u)
{
	TOUCH(ROW_USER, user, u);
}

err touch_node(struct core *c, struct node *n)
{
	node_info_stale(n);
	TOUCH(ROW_NODE, node, n);
}

err touch_authkey(struct core *c, struct authkey *k)
{
	TOUCH(ROW_AUTHKEY, authkey, k);
}

err touch_draft(struct core *c, struct draft *d)
{
	TOUCH(ROW_DRAFT, draft, d);
}

err touch_webhook(struct core *c, struct webhook *w)
{
	TOUCH(ROW_WEBHOOK, webhook, w);
}

err touch_apikey(struct core *c, struct apikey *k)
{
	TOUCH(ROW_APIKEY, apikey, k);
}

err touch_pending(struct core *c, struct pending *p)
{
	TOUCH(ROW_PENDING, pending, p);
}

err touch_policy(struct core *c, struct policy_version *v)
{
	TOUCH(ROW_POLICY, policy, v);
}

err touch_identity(struct core *c, struct identity *i)
{
	TOUCH(ROW_IDENTITY, identity, i);
}

err touch_account(struct core *c, struct account *a)
{
	TOUCH(ROW_ACCOUNT, account, a);
}

err touch_new_account(struct core *c, int64_t id, int64_t user_id)
{
	struct image *i = image_room(c);

	if (!i)
		return ERR_NOMEM;
	i->kind = ROW_ACCOUNT;
	i->account.id = id;
	i->account.user_id = user_id;
	c->n_image++;
	return OK;
}

err touch_wish(struct core *c, struct wish *w)
{
	TOUCH(ROW_WISH, wish, w);
}

err touch_passkey(struct core *c, struct passkey *p)
{
	TOUCH(ROW_PASSKEY, passkey, p);
}

err touch_signin(struct core *c, struct signin *s)
{
	TOUCH(ROW_SIGNIN, signin, s);
}

err touch_new_policy(struct core *c, struct tailnet *t, int64_t id)
{
	struct image *i = image_room(c);

	if (!i)
		return ERR_NOMEM;
	i->kind = ROW_POLICY;
	i->policy.id = id;
	i->policy.tailnet_id = t->row.id;
	c->n_image++;
	return OK;
}

static void setting_key(int64_t tailnet_id, const char *key, char out[72])
{
	memset(out, 0, 72);
	snprintf(out, 72, "%lld/%s", (long long)tailnet_id, key);
}

static struct setting *setting_find(struct core *c, int64_t tailnet_id, const char *key)
{
	char k[72];

	setting_key(tailnet_id, key, k);
	return map_get(&c->settings, k);
}

err touch_setting(struct core *c, int64_t tailnet_id, const char *key)
{
	struct setting *s = setting_find(c, tailnet_id, key);

	if (s)
		TOUCH(ROW_SETTING, setting, s);
	struct image *i = image_room(c);
	if (!i)
		return ERR_NOMEM;
	i->kind = ROW_SETTING;
	i->setting.tailnet_id = tailnet_id;
	i->setting.key = strdup(key);
	if (!i->setting.key)
		return ERR_NOMEM;
	c->n_image++;
	return OK;
}

#define TOUCH_NEW(Kind, name, id_)                                                                                     \
	do {                                                                                                           \
		struct image *i_ = image_room(c);                                                                      \
		if (!i_)                                                                                               \
			return ERR_NOMEM;                                                                              \
		i_->kind = Kind;                                                                                       \
		i_->name.id = (id_);                                                                                   \
		c->n_image++;                                                                                          \
		return OK;                                                                                             \
	} while (0)

err touch_new_user(struct core *c, int64_t id)
{
	TOUCH_NEW(ROW_USER, user, id);
}

err touch_new_node(struct core *c, int64_t id)
{
	TOUCH_NEW(ROW_NODE, node, id);
}

err touch_new_authkey(struct core *c, int64_t id)
{
	TOUCH_NEW(ROW_AUTHKEY, authkey, id);
}

err touch_new_draft(struct core *c, int64_t id)
{
	TOUCH_NEW(ROW_DRAFT, draft, id);
}

err touch_new_webhook(struct core *c, int64_t id)
{
	TOUCH_NEW(ROW_WEBHOOK, webhook, id);
}

err touch_new_apikey(struct core *c, int64_t id)
{
	TOUCH_NEW(ROW_APIKEY, apikey, id);
}

err touch_lock_aum(struct core *c, struct lock_aum *a)
{
	TOUCH(ROW_LOCK_AUM, lock_aum, a);
}

err touch_new_lock_aum(struct core *c, const uint8_t hash[32])
{
	struct image *i = image_room(c);

	if (!i)
		return ERR_NOMEM;
	i->kind = ROW_LOCK_AUM;
	memcpy(i->lock_aum.hash, hash, sizeof i->lock_aum.hash);
	c->n_image++;
	return OK;
}

err touch_service(struct core *c, struct service *s)
{
	TOUCH(ROW_SERVICE, service, s);
}

err touch_new_service(struct core *c, int64_t id)
{
	TOUCH_NEW(ROW_SERVICE, service, id);
}

err touch_ssh_approval(struct core *c, struct ssh_approval *a)
{
	TOUCH(ROW_SSH_APPROVAL, ssh_approval, a);
}

err touch_new_ssh_approval(struct core *c, const struct ssh_pair *pair)
{
	struct image *i = image_room(c);

	if (!i)
		return ERR_NOMEM;
	i->kind = ROW_SSH_APPROVAL;
	i->ssh_approval.pair = *pair;
	c->n_image++;
	return OK;
}

err touch_new_identity(struct core *c, int64_t id)
{
	TOUCH_NEW(ROW_IDENTITY, identity, id);
}

err touch_new_wish(struct core *c, int64_t id)
{
	TOUCH_NEW(ROW_WISH, wish, id);
}

err touch_new_passkey(struct core *c, int64_t id)
{
	TOUCH_NEW(ROW_PASSKEY, passkey, id);
}

err touch_new_signin(struct core *c, int64_t id)
{
	TOUCH_NEW(ROW_SIGNIN, signin, id);
}

err touch_new_pending(struct core *c, const char *auth_id)
{
	struct image *i = image_room(c);

	if (!i)
		return ERR_NOMEM;
	i->kind = ROW_PENDING;
	snprintf(i->pending.auth_id, sizeof i->pending.auth_id, "%s", auth_id);
	c->n_image++;
	return OK;
}

/* ---- settings and ids ---- */

const char *setting_get(struct core *c, int64_t tailnet_id, const char *key)
{
	struct setting *s = setting_find(c, tailnet_id, key);

	return s ? or_empty(s->row.value) : NULL;
}

err setting_set_memory(struct core *c, struct setting_row *taken)
{
	struct setting *s = setting_find(c, taken->tailnet_id, taken->key);

	if (!taken->value) {
		if (s) {
			map_del(&c->settings, s->name_key);
			setting_row_done(&s->row);
			free(s);
		}
		setting_row_done(taken);
		return OK;
	}
	if (!s) {
		s = calloc(1, sizeof *s);
		if (!s)
			return ERR_NOMEM;
		setting_key(taken->tailnet_id, taken->key, s->name_key);
		err e = map_put(&c->settings, s);
		if (e != OK) {
			free(s);
			return e;
		}
	} else {
		setting_row_done(&s->row);
	}
	s->row = *taken;
	*taken = (struct setting_row){ 0 };
	return OK;
}

err setting_put(struct core *c, int64_t tailnet_id, const char *key, const char *value)
{
	struct setting_row row = { .tailnet_id = tailnet_id, .key = strdup(key), .value = value ? strdup(value) : NULL };
	err e = !row.key || (value && !row.value) ? ERR_NOMEM : touch_setting(c, tailnet_id, key);

	if (e == OK)
		e = setting_set_memory(c, &row);
	setting_row_done(&row);
	return e;
}

/* Ids are never used twice, also when the process dies between giving one out and writing it: the database holds the end of
 * the block that is being used up. */
err next_id(struct core *c, int64_t *out)
{
	if (c->next_id >= c->ids_reserved) {
		char text[24];
		snprintf(text, sizeof text, "%lld", (long long)(c->next_id + ID_BLOCK));
		TRY(setting_put(c, 0, "next_id", text));
		c->ids_reserved = c->next_id + ID_BLOCK;
	}
	*out = c->next_id++;
	return OK;
}

/* ---- the end of an event ---- */

/* The operation that brings the database to what memory has now. false: nothing to do. */
static err op_of(struct core *c, const struct image *i, bool deletes, struct store_op *op, bool *some)
{
	*op = (struct store_op){ 0 };
	*some = false;
	switch (i->kind) {
	case ROW_SETTING:
		if (deletes)
			return OK;
		op->kind = STORE_PUT_SETTING;
		struct setting *s = setting_find(c, i->setting.tailnet_id, i->setting.key);
		*some = true;
		if (s)
			return setting_row_copy(&s->row, &op->setting);
		op->setting.tailnet_id = i->setting.tailnet_id;
		op->setting.key = strdup(i->setting.key); /* value NULL: delete it */
		return op->setting.key ? OK : ERR_NOMEM;
	case ROW_POLICY: {
		struct policy_version *v = map_get(&c->policies, &i->policy.id);

		*some = deletes ? !v && i->existed : v != NULL;
		op->kind = deletes ? STORE_DEL_POLICY : STORE_PUT_POLICY;
		if (!*some)
			return OK;
		if (!deletes)
			return policy_row_copy(&v->row, &op->policy);
		op->policy.id = i->policy.id;
		return OK;
	}
#define CASE(Kind, name, find)                                                                                         \
	case ROW_##Kind: {                                                                                             \
		struct name *o = find;                                                                                 \
		if (deletes ? !o && i->existed : o != NULL)                                                            \
			*some = true;                                                                                  \
		op->kind = deletes ? STORE_DEL_##Kind : STORE_PUT_##Kind;                                              \
		if (*some && o)                                                                                        \
			return name##_row_copy(&o->row, &op->name);                                                    \
		if (*some)                                                                                             \
			return name##_row_copy(&i->name, &op->name);                                                   \
		return OK;                                                                                             \
	}
	CASE(USER, user, user_by_id(c, i->user.id))
	CASE(AUTHKEY, authkey, map_get(&c->authkeys, &i->authkey.id))
	CASE(APIKEY, apikey, map_get(&c->apikeys, &i->apikey.id))
	CASE(DRAFT, draft, map_get(&c->drafts, &i->draft.id))
	CASE(WEBHOOK, webhook, map_get(&c->webhooks, &i->webhook.id))
	CASE(NODE, node, node_by_id(c, i->node.id))
	CASE(SSH_APPROVAL, ssh_approval, map_get(&c->ssh_approvals, &i->ssh_approval.pair))
	CASE(LOCK_AUM, lock_aum, map_get(&c->lock_aums, i->lock_aum.hash))
	CASE(SERVICE, service, map_get(&c->services, &i->service.id))
	CASE(PENDING, pending, pending_by_id(c, i->pending.auth_id))
	CASE(IDENTITY, identity, identity_by_id(c, i->identity.id))
	CASE(SIGNIN, signin, signin_by_id(c, i->signin.id))
	CASE(WISH, wish, wish_by_id(c, i->wish.id))
	CASE(PASSKEY, passkey, passkey_by_id(c, i->passkey.id))
	CASE(ACCOUNT, account, account_of(c, i->account.user_id))
#undef CASE
	}
	return OK;
}

static err add_ops_of(struct core *c, struct store_batch *b, enum row_kind kind, bool deletes)
{
	for (size_t i = 0; i < c->n_image; i++) {
		struct store_op op;
		bool some;

		if (c->image[i].kind != kind)
			continue;
		TRY(op_of(c, &c->image[i], deletes, &op, &some));
		if (some)
			b->op[b->n++] = op;
	}
	return OK;
}

static err add_ops(struct core *c, struct store_batch *b)
{
	/* Owners before what they own; deletions the other way round, and first, so that a freed name can be given again. A user goes
	 * last: its nodes may be somebody else's by then. */
	static const enum row_kind puts[] = { ROW_SETTING, ROW_WEBHOOK, ROW_DRAFT, ROW_USER, ROW_IDENTITY, ROW_ACCOUNT, ROW_PASSKEY, ROW_WISH, ROW_SIGNIN, ROW_AUTHKEY, ROW_APIKEY, ROW_POLICY,
		ROW_NODE, ROW_SSH_APPROVAL, ROW_LOCK_AUM, ROW_SERVICE, ROW_PENDING };
	static const enum row_kind dels[] = { ROW_WEBHOOK, ROW_DRAFT, ROW_PENDING, ROW_SSH_APPROVAL, ROW_LOCK_AUM, ROW_SERVICE, ROW_NODE, ROW_APIKEY, ROW_AUTHKEY, ROW_SIGNIN, ROW_WISH, ROW_PASSKEY, ROW_ACCOUNT, ROW_IDENTITY, ROW_POLICY };

	for (size_t k = 0; k < ARRAY_LEN(dels); k++)
		TRY(add_ops_of(c, b, dels[k], true));
	for (size_t k = 0; k < ARRAY_LEN(puts); k++)
		TRY(add_ops_of(c, b, puts[k], false));
	return add_ops_of(c, b, ROW_USER, true);
}

static void batch_freep(struct store_batch **b)
{
	store_batch_free(*b);
}

err core_commit(struct core *c)
{
	if (!c->n_image && !c->notes.n)
		return OK;
	CLEANUP(audit_list_done) struct audit_list audit = { 0 };
	err noted = audit_collect(c, &audit);
	if (noted != OK) {
		core_abort(c);
		return noted;
	}
	CLEANUP(batch_freep) struct store_batch *b = calloc(1, sizeof *b + (c->n_image + audit.n + c->notes.n) * sizeof b->op[0]);
	CLEANUP(freep) struct undo *u = calloc(1, sizeof *u);
	CLEANUP(freep) struct image *images = malloc((c->n_image + 1) * sizeof *images);

	err e = b && u && images ? add_ops(c, b) : ERR_NOMEM;
	if (e != OK) {
		core_abort(c);
		return e;
	}
	if (!b->n && !c->notes.n) { /* made and gone within the event */
		for (size_t i = 0; i < c->n_image; i++)
			image_done(&c->image[i]);
		c->n_image = 0;
		return OK;
	}
	for (size_t i = 0; e == OK && i < c->notes.n; i++) {
		struct store_op *op = &b->op[b->n];
		*op = (struct store_op){ .kind = STORE_PUT_AUDIT };
		e = audit_row_copy(&c->notes.row[i], &op->audit);
		b->n += e == OK;
	}
	for (size_t i = 0; e == OK && i < audit.n; i++) {
		struct store_op *op = &b->op[b->n];
		*op = (struct store_op){ .kind = STORE_PUT_AUDIT };
		e = audit_row_copy(&audit.row[i], &op->audit);
		b->n += e == OK;
	}
	if (e != OK) {
		core_abort(c);
		return e;
	}
	if (c->n_image)
		memcpy(images, c->image, c->n_image * sizeof *images);
	u->image = MOVE(images);
	u->n = c->n_image;
	c->n_image = 0;
	b->seq = u->seq = ++c->seq;
	b->epoch = c->epoch;
	list_add_tail(&c->undos, &u->all);
	u = NULL;
	fx_store(c, MOVE(b));
	for (size_t i = 0; i < c->notes.n; i++)
		fx_changed(c, &c->notes.row[i]);
	audit_list_done(&c->notes);
	for (size_t i = 0; i < audit.n; i++)
		fx_changed(c, &audit.row[i]);
	return OK;
}

static err restore(struct core *c, struct image *i)
{
	switch (i->kind) {
	case ROW_SETTING: {
		bool is_ids = i->setting.tailnet_id == 0 && strcmp(i->setting.key, "next_id") == 0;
		bool is_audits = i->setting.tailnet_id == 0 && strcmp(i->setting.key, AUDIT_ID_SETTING) == 0;
		bool is_tailnets = i->setting.tailnet_id != 0 &&
			strncmp(i->setting.key, NAME_HELD_PREFIX, sizeof NAME_HELD_PREFIX - 1) != 0;
		struct tailnet *t = core_tailnet(c, i->setting.tailnet_id);
		uint64_t v = 0;

		if ((is_ids || is_audits) && i->existed && bytes_parse_u64(bytes_str(i->setting.value), INT64_MAX, &v) != OK)
			v = 0;
		if (is_ids)
			c->ids_reserved = (int64_t)v; /* the next id reserves anew */
		if (is_audits)
			c->audits_reserved = (int64_t)v;
		TRY(setting_set_memory(c, &i->setting));
		if (!is_tailnets || !t)
			return OK;
		lock_setting_changed(c, t);
		struct settings_seen was = settings_see(&t->set);
		TRY(tailnet_settings(c, t));
		struct settings_seen is = settings_see(&t->set);
		return settings_effects(c, t, settings_differ(&was, &is));
	}
	case ROW_POLICY: {
		struct tailnet *t = core_tailnet(c, i->policy.tailnet_id);
		struct policy_faults faults = { 0 };
		struct policy *p;

		int64_t was = policy_in_force(t)->id;
		if (i->existed)
			TRY(policy_put_memory(c, &i->policy));
		else
			policy_drop_memory(c, i->policy.id);
		if (policy_in_force(t)->id == was)
			return OK;
		TRY(policy_parse_with(bytes_str(or_empty(policy_in_force(t)->text)), t->services, &p, &faults));
		return tailnet_apply_policy(c, t, p);
	}
	case ROW_USER:
		if (i->existed) {
			int64_t id = i->user.id;
			TRY(user_put_memory(c, &i->user));
			return user_changed(c, user_by_id(c, id));
		}
		user_drop_memory(c, i->user.id);
		return OK;
	case ROW_AUTHKEY:
		if (i->existed)
			return authkey_put_memory(c, &i->authkey);
		authkey_drop_memory(c, i->authkey.id);
		return OK;
	case ROW_DRAFT:
		if (i->existed)
			return draft_put_memory(c, &i->draft);
		draft_drop_memory(c, i->draft.id);
		return OK;
	case ROW_WEBHOOK:
		if (i->existed)
			return webhook_put_memory(c, &i->webhook);
		webhook_drop_memory(c, i->webhook.id);
		return OK;
	case ROW_APIKEY:
		if (i->existed)
			return apikey_put_memory(c, &i->apikey);
		apikey_drop_memory(c, i->apikey.id);
		return OK;
	case ROW_NODE: {
		struct node *n = node_by_id(c, i->node.id);

		if (!i->existed) {
			if (n && n->session)
				session_drop(c, n->session, true);
			if (n && n->reader)
				session_drop(c, n->reader, true);
			node_drop_memory(c, i->node.id);
			return OK;
		}
		int64_t id = i->node.id;
		TRY(node_put_memory(c, &i->node));
		if (!n)
			presence_start(c, node_by_id(c, id));
		return OK;
	}
	case ROW_SSH_APPROVAL:
		if (i->existed)
			return ssh_approval_put_memory(c, &i->ssh_approval);
		ssh_approval_drop_memory(c, &i->ssh_approval);
		return OK;
	case ROW_IDENTITY:
		if (i->existed)
			return identity_put_memory(c, &i->identity);
		identity_drop_memory(c, i->identity.id);
		return OK;
	case ROW_ACCOUNT:
		if (i->existed)
			return account_put_memory(c, &i->account);
		account_drop_memory(c, i->account.user_id);
		return OK;
	case ROW_WISH:
		if (i->existed)
			return wish_put_memory(c, &i->wish);
		wish_drop_memory(c, i->wish.id);
		return OK;
	case ROW_PASSKEY:
		if (i->existed)
			return passkey_put_memory(c, &i->passkey);
		passkey_drop_memory(c, i->passkey.id);
		return OK;
	case ROW_SIGNIN:
		if (i->existed)
			return signin_put_memory(c, &i->signin);
		signin_drop_memory(c, i->signin.id);
		return OK;
	case ROW_LOCK_AUM:
		if (i->existed)
			return lock_aum_put_memory(c, &i->lock_aum);
		lock_aum_drop_memory(c, &i->lock_aum);
		return OK;
	case ROW_SERVICE:
		if (i->existed)
			return service_put_memory(c, &i->service);
		service_drop_memory(c, i->service.id);
		return OK;
	case ROW_PENDING:
		if (i->existed)
			return pending_put_memory(c, &i->pending);
		pending_drop_memory(c, i->pending.auth_id);
		return OK;
	}
	return OK;
}

static void restore_all(struct core *c, struct image *list, size_t n)
{
	c->replaying = true;
	for (size_t i = n; i-- > 0;) {
		err e = restore(c, &list[i]);
		if (e != OK) {
			/* Memory is not what the database says, and cannot be made so: a restart reads it back. */
			log_error("undo failed; stopping", "error=\"%s\"", err_text(e));
			abort();
		}
		image_done(&list[i]);
	}
	if (c->services_stale && services_rebuild(c) != OK) {
		log_error("undo failed; stopping", "what=services");
		abort();
	}
	if (c->locks_stale && locks_rebuild(c) != OK) {
		log_error("undo failed; stopping", "what=\"tailnet lock\"");
		abort();
	}
	c->replaying = false;
}

/* Who may use the relay is as before, too. */
static void forget_admissions(struct core *c)
{
	size_t kept = c->fx_first;

	for (size_t i = c->fx_first; c->fx && i < c->fx->n; i++) {
		struct effect *e = &c->fx->e[i];
		if (e->seq != FX_THIS_EVENT || (e->kind != FX_ADMIT && e->kind != FX_REVOKE))
			c->fx->e[kept++] = *e;
	}
	if (c->fx && c->fx->n > c->fx_first)
		c->fx->n = kept;
}

void core_abort(struct core *c)
{
	size_t n = c->n_image;

	forget_admissions(c);
	audit_list_done(&c->notes);

	/* What restoring touches belongs to no event. */
	restore_all(c, c->image, n);
	c->n_image = 0;
	c->tx++;
}

void undo_down_to(struct core *c, uint64_t durable)
{
	while (!list_is_empty(&c->undos)) {
		struct undo *u = container_of(c->undos.prev, struct undo, all);
		if (u->seq <= durable)
			break;
		restore_all(c, u->image, u->n);
		list_del(&u->all);
		free(u->image);
		free(u);
	}
}

void undo_forget(struct core *c, uint64_t durable)
{
	while (!list_is_empty(&c->undos)) {
		struct undo *u = container_of(c->undos.next, struct undo, all);
		if (u->seq > durable)
			break;
		for (size_t i = 0; i < u->n; i++)
			image_done(&u->image[i]);
		list_del(&u->all);
		free(u->image);
		free(u);
	}
}
