#include "server/core/state.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/cleanup.h"
#include "common/base/log.h"
#include "common/crypto/argon2i.h"
#include "common/text/base64.h"
#include "common/text/json.h"
#include "common/wire/tka_chain.h"

/* Tailnet lock (protocol/control.md 4.10 and 8.9): the server keeps the authority's updates and the signatures of node keys, and
 * hands them to all. It trusts none of them: what a client sends is verified as clients do, and then the clients verify again.
 *
 * Updates are rows; the chain, its head and state are built from them. Whether the lock is on is a setting, as is the secret that
 * ended it. A lock that is begun and not finished is in memory only. */

enum {
	LOCK_BEGIN_MS = 10 * 60 * 1000,	   /* from begin to finish */
	LOCK_JSON_MAX = 8 << 20,	   /* an answer; clients read up to 10 MiB of offers */
	LOCK_OFFER_MAX = 4 << 20,	   /* … of updates in one; the rest comes with the next offer */
	LOCK_SEND_MAX = 256,		   /* updates in one request */
	LOCK_KDF_STEP = 512,		   /* KiB of the secret's hash between other events */
	LOCK_ANCESTORS_SENT = 64,
	LOCK_ASK_MS = 60 * 1000,	   /* who does not answer with a new signature within this goes without */
};

#define LOCK_SETTING "tka"
#define LOCK_SECRET_SETTING "tka_secret"
static const struct argon2i_cost disablement_cost = { 4, 16 * 1024, 4 };
#define DISABLEMENT_SALT BYTES_LIT("tailscale network-lock disablement salt")

struct lock {
	struct core *c;
	struct tailnet *t;
	struct tka_chain *chain; /* NULL: no updates */
	bool on, stale;
	char head[TKA_HASH_TEXT_MAX];
	/* begun, not finished */
	uint8_t *genesis;
	size_t n_genesis;
	int64_t begun_by, begun_ms;
	/* a disablement secret that is being checked */
	struct argon2i *kdf;
	struct call *kdf_call; /* NULL: who asked is gone */
	struct timer kdf_timer;
	uint8_t secret[TKA_SECRET_MAX];
	size_t n_secret;
};

/* ---- rows and what is built from them ---- */

static void on_kdf_timer(struct core *c, struct timer *timer);

static struct lock *lock_of(struct core *c, struct tailnet *t)
{
	if (t->lock)
		return t->lock;
	if (timers_reserve(&c->timers, c->timers.n + 64) != OK)
		return NULL;
	t->lock = calloc(1, sizeof *t->lock);
	if (!t->lock)
		return NULL;
	t->lock->c = c;
	t->lock->t = t;
	t->lock->kdf_timer.fire = on_kdf_timer;
	return t->lock;
}

static void forget_begun(struct lock *l)
{
	free(l->genesis);
	l->genesis = NULL;
	l->n_genesis = 0;
	l->begun_by = 0;
}

static void end_kdf(struct core *c, struct lock *l)
{
	timer_stop(&c->timers, &l->kdf_timer);
	argon2i_free(l->kdf);
	l->kdf = NULL;
	l->kdf_call = NULL;
	sodium_memzero(l->secret, sizeof l->secret);
}

void lock_free(struct core *c, struct tailnet *t)
{
	if (!t->lock)
		return;
	forget_begun(t->lock);
	end_kdf(c, t->lock);
	tka_chain_free(t->lock->chain);
	free(t->lock);
	t->lock = NULL;
}

err lock_aum_put_memory(struct core *c, struct lock_aum_row *taken)
{
	struct lock_aum *a = map_get(&c->lock_aums, taken->hash);
	struct tailnet *t = core_tailnet(c, taken->tailnet_id);
	struct lock *l = t ? lock_of(c, t) : NULL;

	if (!l)
		return t ? ERR_NOMEM : ERR_INVALID;
	if (!a) {
		a = calloc(1, sizeof *a);
		if (!a)
			return ERR_NOMEM;
		memcpy(a->row.hash, taken->hash, sizeof a->row.hash);
		err e = map_put(&c->lock_aums, a);
		if (e != OK) {
			free(a);
			return e;
		}
	}
	lock_aum_row_done(&a->row);
	a->row = *taken;
	*taken = (struct lock_aum_row){ 0 };
	l->stale |= c->replaying;
	c->locks_stale |= c->replaying;
	return OK;
}

void lock_aum_drop_memory(struct core *c, const struct lock_aum_row *key)
{
	struct lock_aum *a = map_del(&c->lock_aums, key->hash);

	if (!a)
		return;
	struct tailnet *t = core_tailnet(c, a->row.tailnet_id);
	if (t && t->lock) {
		t->lock->stale |= c->replaying;
		c->locks_stale |= c->replaying;
	}
	lock_aum_row_done(&a->row);
	free(a);
}

void lock_setting_changed(struct core *c, struct tailnet *t)
{
	if (t->lock) {
		t->lock->stale = true;
		c->locks_stale = true;
	}
}

/* What maps say of it. Signatures of all nodes come and go with the lock; another head is one field. */
static void publish(struct tailnet *t)
{
	struct lock *l = t->lock;
	const char *setting = setting_get(t->c, t->row.id, LOCK_SETTING);
	char head[TKA_HASH_TEXT_MAX] = "";
	bool on = l->on && l->chain, off = !on && setting != NULL;

	if (on)
		tka_hash_text(tka_chain_head(l->chain), head);
	if (on != t->map.lock_on || off != t->map.lock_off) {
		map_cache_drop(t->cache);
		t->full_all = t->flush = true;
	} else if (strcmp(head, l->head) != 0) {
		t->lock_dirty = t->flush = true;
	}
	memcpy(l->head, head, sizeof l->head);
	t->map.lock_on = on;
	t->map.lock_off = off;
	t->map.lock_head = l->head;
}

static int by_id(const void *a, const void *b)
{
	const struct lock_aum *const *x = a, *const *y = b;

	return ((*x)->row.id > (*y)->row.id) - ((*x)->row.id < (*y)->row.id);
}

static err rebuild(struct core *c, struct tailnet *t)
{
	struct lock *l = t->lock;
	const char *setting = setting_get(c, t->row.id, LOCK_SETTING), *why = "";
	struct tka_chain *chain = NULL;
	size_t at = 0, n = 0;
	struct tka_hash hash;
	CLEANUP(freep) struct lock_aum **list = malloc((c->lock_aums.n + 1) * sizeof(*list));

	if (!list)
		return ERR_NOMEM;
	for (struct lock_aum *a; (a = map_next(&c->lock_aums, &at));)
		if (a->row.tailnet_id == t->row.id)
			list[n++] = a;
	if (n) {
		qsort(list, n, sizeof(*list), by_id);
		TRY(tka_chain_new(&chain));
	}
	for (size_t i = 0; i < n; i++) {
		err e = tka_chain_add(chain, bytes_of(list[i]->row.raw, list[i]->row.n_raw), &hash, &why);
		if (e != OK) {
			log_error("tailnet lock: a stored update cannot be used", "update=%" PRId64 " reason=\"%s\"", list[i]->row.id, why);
			tka_chain_free(chain);
			return e;
		}
	}
	tka_chain_free(l->chain);
	l->chain = chain;
	l->on = setting && strcmp(setting, "on") == 0;
	l->stale = false;
	publish(t);
	return OK;
}

err locks_rebuild(struct core *c)
{
	c->locks_stale = false;
	for (size_t i = 0; i < c->n_tailnets; i++) {
		struct tailnet *t = c->tailnets[i];
		if (!t->lock && setting_get(c, t->row.id, LOCK_SETTING) && !lock_of(c, t))
			return ERR_NOMEM;
		if (t->lock && (t->lock->stale || !t->lock->chain))
			TRY(rebuild(c, t));
	}
	return OK;
}

/* A verified update becomes a row. */
static err keep_update(struct core *c, struct tailnet *t, const struct tka_hash *hash, struct bytes raw)
{
	struct lock_aum_row row = { .tailnet_id = t->row.id, .raw = (uint8_t *)bytes_dup(raw), .n_raw = raw.n };

	memcpy(row.hash, hash->b, sizeof row.hash);
	err e = row.raw ? next_id(c, &row.id) : ERR_NOMEM;
	if (e == OK)
		e = touch_new_lock_aum(c, row.hash);
	if (e == OK)
		e = lock_aum_put_memory(c, &row);
	lock_aum_row_done(&row);
	return e;
}

static err drop_updates(struct core *c, struct tailnet *t)
{
	size_t at = 0;

	for (struct lock_aum *a; (a = map_next(&c->lock_aums, &at));) {
		if (a->row.tailnet_id != t->row.id)
			continue;
		struct lock_aum_row key = { 0 };
		memcpy(key.hash, a->row.hash, sizeof key.hash);
		TRY(touch_lock_aum(c, a));
		lock_aum_drop_memory(c, &key);
	}
	return OK;
}

static bool is_on(const struct tailnet *t)
{
	return t->lock && t->lock->on && t->lock->chain;
}

/* ---- signatures of node keys ---- */

static err set_signature(struct core *c, struct node *n, struct bytes sig)
{
	if (bytes_eq(bytes_of(n->row.key_sig, n->row.n_key_sig), sig))
		return OK;
	TRY(touch_node(c, n));
	uint8_t *copy = (uint8_t *)bytes_dup(sig);
	if (!copy)
		return ERR_NOMEM;
	free(n->row.key_sig);
	n->row.key_sig = copy;
	n->row.n_key_sig = sig.n;
	node_dirty(n, DIRTY_WHOLE);
	node_self_dirty(n);
	return OK;
}

err lock_take_signature(struct core *c, struct node *n, struct bytes sig)
{
	if (!sig.n || !is_on(n->t))
		return OK;
	if (tka_nks_authorizes(sig, tka_chain_state(n->t->lock->chain), &n->row.key) != OK) {
		log_info("tailnet lock: a node brought a signature that does not count", "node=%" PRId64, n->row.id);
		return OK; /* it is locked out until somebody signs it */
	}
	return set_signature(c, n, sig);
}

struct bytes lock_asks_rotation(struct core *c, const struct event *e)
{
	const struct tailcfg_register_request *reg = e->reg;
	struct node *n = node_by_key(c, &reg->old_node_key);

	if (!n || !is_on(n->t) || !n->row.n_key_sig || reg->node_key_signature.n || node_pub_eq(&reg->node_key, &reg->old_node_key) ||
			!machine_pub_eq(&n->row.machine, &e->machine))
		return (struct bytes){ 0 };
	if (n->lock_asked_ms && c->now.mono_ms - n->lock_asked_ms < LOCK_ASK_MS)
		return (struct bytes){ 0 }; /* it cannot, or it would have */
	n->lock_asked_ms = MAX_OF(c->now.mono_ms, 1);
	return bytes_of(n->row.key_sig, n->row.n_key_sig);
}

/* ---- requests ---- */

struct ask { /* one request, parsed */
	struct core *c;
	struct event *e;
	struct node *n;
	struct tailnet *t;
	struct json_at root;
	struct json_why why;
};

static void refuse(struct ask *a, int status, const char *text)
{
	char line[300];

	core_abort(a->c);
	snprintf(line, sizeof line, "%s\n", text);
	answer_http(a->c, a->e->call, status, line);
}

static void fail(struct ask *a, err e)
{
	log_error("tailnet lock: a request failed", "error=\"%s\"", err_text(e));
	refuse(a, 503, "the server cannot do this now; try again");
}

static struct bytes blob(struct ask *a, const struct json_at *o, const char *key, size_t max)
{
	struct json_at m = json_member(o, key);

	return json_to_base64(&m, &a->e->arena, max);
}

static void answer_empty(struct ask *a)
{
	struct buf out = buf_make(16);

	buf_append_str(&out, "{}");
	answer_node_json(a->c, a->e->call, &out);
}

static bool may_init(struct ask *a)
{
	struct user *u = user_by_id(a->c, a->n->row.user_id);

	return u && (u->row.role == USER_OWNER || u->row.role == USER_ADMIN);
}

/* init/begin: the genesis is looked at and kept; the answer lists every node, for its key must be signed. */
static void init_begin(struct ask *a)
{
	struct bytes genesis = blob(a, &a->root, "GenesisAUM", TKA_AUM_MAX);
	struct lock *l = lock_of(a->c, a->t);
	struct tka_chain *probe;
	struct tka_hash hash;
	const char *why;
	size_t at = 0;

	if (!may_init(a)) {
		refuse(a, 403, "only devices of an owner or admin may start tailnet lock (on the server: fairlead users role NAME admin)");
		return;
	}
	if (is_on(a->t)) {
		refuse(a, 409, "tailnet lock is on already");
		return;
	}
	err e = l ? tka_chain_new(&probe) : ERR_NOMEM;
	if (e == OK) {
		e = tka_chain_add(probe, genesis, &hash, &why);
		tka_chain_free(probe);
		if (e != OK && e != ERR_NOMEM) {
			refuse(a, 400, why);
			return;
		}
	}
	uint8_t *copy = e == OK ? (uint8_t *)bytes_dup(genesis) : NULL;
	if (!copy) {
		fail(a, ERR_NOMEM);
		return;
	}
	forget_begun(l);
	l->genesis = copy;
	l->n_genesis = genesis.n;
	l->begun_by = a->n->row.id;
	l->begun_ms = a->c->now.mono_ms;

	struct buf out = buf_make(LOCK_JSON_MAX);
	struct jsonw w = jsonw_init(&out);
	jsonw_obj(&w);
	jsonw_key(&w, "NeedSignatures"), jsonw_arr(&w);
	for (struct node *n; (n = map_next(&a->c->nodes, &at));) {
		if (n->t != a->t)
			continue;
		jsonw_obj(&w);
		jsonw_key(&w, "NodeID"), jsonw_int(&w, n->row.id);
		jsonw_key(&w, "NodePublic"), jsonw_hex(&w, "nodekey:", bytes_of(n->row.key.b, 32));
		if (!nl_pub_is_zero(&n->row.nl))
			jsonw_key(&w, "RotationPubkey"), jsonw_base64(&w, bytes_of(n->row.nl.b, 32));
		jsonw_obj_end(&w);
	}
	jsonw_arr_end(&w);
	jsonw_obj_end(&w);
	answer_node_json(a->c, a->e->call, &out);
}

/* Every signature that came must be good; who joined since begin stays outside until signed. */
static err take_signatures(struct ask *a, const struct tka_state *state, char *why, size_t why_cap)
{
	struct json_at sigs = json_member(&a->root, "Signatures");
	const char *key;
	json_t *v;

	if (!json_is_object(sigs.v))
		return OK;
	json_object_foreach ((json_t *)(uintptr_t)sigs.v, key, v) {
		uint64_t id;
		struct bytes sig = blob(a, &sigs, key, TKA_NKS_MAX);
		err e = bytes_parse_u64(bytes_str(key), INT64_MAX, &id);
		struct node *n = e == OK ? node_by_id(a->c, (int64_t)id) : NULL;
		if (!n || n->t != a->t)
			continue; /* it left meanwhile */
		if (tka_nks_authorizes(sig, state, &n->row.key) != OK) {
			snprintf(why, why_cap, "the signature of node %.20s does not fit its key; begin again", key);
			return ERR_INVALID;
		}
		TRY(set_signature(a->c, n, sig));
	}
	return a->why.e;
}

static err turn_on(struct ask *a, char *why, size_t why_cap)
{
	struct core *c = a->c;
	struct lock *l = a->t->lock;
	struct tka_chain *chain;
	struct tka_hash hash;
	const char *bad;

	TRY(drop_updates(c, a->t)); /* of a lock that was ended */
	TRY(tka_chain_new(&chain));
	tka_chain_free(l->chain);
	l->chain = chain;
	TRY(tka_chain_add(chain, bytes_of(l->genesis, l->n_genesis), &hash, &bad));
	TRY(keep_update(c, a->t, &hash, bytes_of(l->genesis, l->n_genesis)));
	TRY(setting_put(c, a->t->row.id, LOCK_SETTING, "on"));
	TRY(setting_put(c, a->t->row.id, LOCK_SECRET_SETTING, NULL));
	l->on = true;
	return take_signatures(a, tka_chain_state(chain), why, why_cap);
}

static void init_finish(struct ask *a)
{
	struct lock *l = a->t->lock;
	char why[200] = "";

	if (!may_init(a) || !l || !l->genesis || l->begun_by != a->n->row.id || a->c->now.mono_ms - l->begun_ms > LOCK_BEGIN_MS || is_on(a->t)) {
		refuse(a, 400, "this device has not begun to start tailnet lock");
		return;
	}
	err e = turn_on(a, why, sizeof why);
	if (e != OK) {
		l->stale = a->c->locks_stale = true; /* built anew from the rows, which core_abort puts back */
		if (why[0] || e == ERR_INVALID)
			refuse(a, 400, why[0] ? why : "the signatures cannot be read");
		else
			fail(a, e);
		return;
	}
	forget_begun(l);
	publish(a->t);
	log_info("tailnet lock is on", "head=%s by=%" PRId64, l->head, a->n->row.id);
	answer_empty(a);
}

static void bootstrap(struct ask *a)
{
	const char *secret = setting_get(a->c, a->t->row.id, LOCK_SECRET_SETTING);
	struct buf out = buf_make(LOCK_JSON_MAX);
	struct jsonw w = jsonw_init(&out);

	jsonw_obj(&w);
	if (is_on(a->t))
		jsonw_key(&w, "GenesisAUM"), jsonw_base64(&w, tka_chain_raw(a->t->lock->chain, 0));
	else if (secret)
		jsonw_key(&w, "DisablementSecret"), jsonw_str(&w, secret);
	jsonw_obj_end(&w);
	answer_node_json(a->c, a->e->call, &out);
}

static size_t ancestors_in(struct ask *a, struct tka_hash **out)
{
	struct json_at list = json_member(&a->root, "Ancestors");
	size_t n = json_count(&list, TKA_ANCESTORS_MAX);

	*out = arena_array(&a->e->arena, n + 1, sizeof(**out));
	if (!*out)
		return 0;
	for (size_t i = 0; i < n; i++) {
		struct json_at item = json_item(&list, i);
		if (tka_hash_parse(json_to_bytes(&item, TKA_HASH_TEXT_MAX), &(*out)[i]) != OK)
			json_note(&item, ERR_INVALID, "not the hash of an update");
	}
	return n;
}

static void write_offer(struct ask *a, struct jsonw *w, const size_t *missing, size_t n)
{
	struct tka_chain *chain = a->t->lock->chain;
	struct tka_hash known[LOCK_ANCESTORS_SENT];
	size_t n_known = tka_chain_ancestors(chain, known, LOCK_ANCESTORS_SENT), bytes = 0;
	char text[TKA_HASH_TEXT_MAX];

	jsonw_obj(w);
	jsonw_key(w, "Head"), jsonw_str(w, tka_hash_text(tka_chain_head(chain), text));
	jsonw_key(w, "Ancestors"), jsonw_arr(w);
	for (size_t i = 0; i < n_known; i++)
		jsonw_str(w, tka_hash_text(&known[i], text));
	jsonw_arr_end(w);
	jsonw_key(w, "MissingAUMs"), jsonw_arr(w);
	for (size_t i = 0; i < n && bytes < LOCK_OFFER_MAX; i++) {
		struct bytes raw = tka_chain_raw(chain, missing[i]);
		bytes += raw.n * 2;
		jsonw_base64(w, raw);
	}
	jsonw_arr_end(w);
	jsonw_obj_end(w);
}

static void sync_offer(struct ask *a)
{
	struct bytes text = json_bytes(&a->root, "Head", TKA_HASH_TEXT_MAX);
	struct tka_hash head, *ancestors;
	size_t n, *missing = is_on(a->t) ? arena_array(&a->e->arena, tka_chain_len(a->t->lock->chain) + 1, sizeof *missing) : NULL;

	if (!is_on(a->t)) {
		refuse(a, 404, "tailnet lock is not on");
		return;
	}
	size_t n_ancestors = ancestors_in(a, &ancestors);
	if (!missing || !ancestors) {
		fail(a, ERR_NOMEM);
		return;
	}
	if (a->why.e != OK || tka_hash_parse(text, &head) != OK) {
		refuse(a, 400, a->why.e != OK ? a->why.text : "Head: not the hash of an update");
		return;
	}
	if (tka_chain_missing(a->t->lock->chain, &head, ancestors, n_ancestors, missing, &n) != OK) {
		refuse(a, 409, "no common update: this device has another lock than the tailnet");
		return;
	}
	struct buf out = buf_make(LOCK_JSON_MAX);
	struct jsonw w = jsonw_init(&out);
	write_offer(a, &w, missing, n);
	answer_node_json(a->c, a->e->call, &out);
}

/* New updates of a client, or none: then it only says where it stands. */
static void sync_send(struct ask *a)
{
	struct json_at list = json_member(&a->root, "MissingAUMs");
	size_t n = json_count(&list, LOCK_SEND_MAX);
	struct lock *l = a->t->lock;
	struct tka_hash hash;
	const char *why;
	bool added = false; /* only then the chain in memory must be made anew: that costs the verification of all of it */

	if (!is_on(a->t)) {
		refuse(a, 404, "tailnet lock is not on");
		return;
	}
	for (size_t i = 0; i < n; i++) {
		struct json_at item = json_item(&list, i);
		struct bytes raw = json_to_base64(&item, &a->e->arena, TKA_AUM_MAX);
		if (a->why.e != OK)
			break;
		err e = tka_chain_add(l->chain, raw, &hash, &why);
		if (e == ERR_EXISTS)
			continue;
		added |= e == OK;
		if (e == OK)
			e = keep_update(a->c, a->t, &hash, raw);
		if (e != OK) {
			l->stale |= added;
			a->c->locks_stale |= added;
			log_info("tailnet lock: an update was refused", "node=%" PRId64 " reason=\"%s\"", a->n->row.id, why);
			if (e == ERR_NOMEM)
				fail(a, e);
			else
				refuse(a, 400, why);
			return;
		}
		char text[TKA_HASH_TEXT_MAX];
		log_info("tailnet lock: updated", "update=%s by=%" PRId64, tka_hash_text(&hash, text), a->n->row.id);
	}
	if (a->why.e != OK) {
		l->stale |= added;
		a->c->locks_stale |= added;
		refuse(a, 400, a->why.text);
		return;
	}
	publish(a->t);
	struct buf out = buf_make(256);
	struct jsonw w = jsonw_init(&out);
	jsonw_obj(&w);
	jsonw_key(&w, "Head"), jsonw_str(&w, l->head);
	jsonw_obj_end(&w);
	answer_node_json(a->c, a->e->call, &out);
}

static void sign(struct ask *a)
{
	struct bytes sig = blob(a, &a->root, "Signature", TKA_NKS_MAX);
	struct node_pub key;
	uint8_t key_id[32];

	if (!is_on(a->t)) {
		refuse(a, 404, "tailnet lock is not on");
		return;
	}
	if (a->why.e != OK || tka_nks_subject(sig, &key, key_id) != OK) {
		refuse(a, 400, a->why.e != OK ? a->why.text : "the signature cannot be read");
		return;
	}
	struct node *n = node_by_key(a->c, &key);
	if (!n || n->t != a->t) {
		refuse(a, 404, "no node of this tailnet has this key");
		return;
	}
	if (tka_nks_authorizes(sig, tka_chain_state(a->t->lock->chain), &key) != OK) {
		refuse(a, 400, "the signature is not made by a key that the lock trusts");
		return;
	}
	err e = set_signature(a->c, n, sig);
	if (e != OK) {
		fail(a, e);
		return;
	}
	log_info("tailnet lock: a node was signed", "node=%" PRId64 " by=%" PRId64, n->row.id, a->n->row.id);
	answer_empty(a);
}

/* A signature names a node's key: those of nodes that the policy hides are for owners and admins alone. */
static bool may_know(struct ask *a, const struct node *n, bool admin)
{
	return admin || n == a->n || (n->m.announced && policy_view_sees(a->t->map.policy, a->n->m.cls, n->m.cls));
}

/* All signatures that go back to a key: the client wants to know whom its removal locks out. */
static void affected_sigs(struct ask *a)
{
	struct bytes id = blob(a, &a->root, "KeyID", 32);
	struct buf out = buf_make(LOCK_JSON_MAX);
	struct jsonw w = jsonw_init(&out);
	struct node_pub key;
	uint8_t key_id[32];
	bool admin = may_init(a);
	size_t at = 0;

	if (id.n != sizeof key_id) {
		refuse(a, 400, "KeyID: 32 bytes are needed");
		return;
	}
	jsonw_obj(&w);
	jsonw_key(&w, "Signatures"), jsonw_arr(&w);
	for (struct node *n; (n = map_next(&a->c->nodes, &at));) {
		struct bytes sig = bytes_of(n->row.key_sig, n->row.n_key_sig);
		if (n->t == a->t && sig.n && may_know(a, n, admin) && is_on(a->t) && tka_nks_subject(sig, &key, key_id) == OK && memcmp(key_id, id.p, sizeof key_id) == 0)
			jsonw_base64(&w, sig);
	}
	jsonw_arr_end(&w);
	jsonw_obj_end(&w);
	answer_node_json(a->c, a->e->call, &out);
}

/* ---- the end of a lock ---- */

/* The secret's hash takes tens of milliseconds: it is computed between other events, one at a time. */
static void disable(struct ask *a)
{
	struct bytes secret = blob(a, &a->root, "DisablementSecret", TKA_SECRET_MAX);
	struct lock *l = a->t->lock;

	if (!is_on(a->t)) {
		refuse(a, 404, "tailnet lock is not on");
		return;
	}
	if (a->why.e != OK || !secret.n) {
		refuse(a, 400, a->why.e != OK ? a->why.text : "DisablementSecret is needed");
		return;
	}
	if (l->kdf) {
		refuse(a, 429, "another secret is being checked; try again");
		return;
	}
	err e = argon2i_new(secret, DISABLEMENT_SALT, disablement_cost, &l->kdf);
	if (e != OK) {
		fail(a, e);
		return;
	}
	memcpy(l->secret, secret.p, secret.n);
	l->n_secret = secret.n;
	l->kdf_call = a->e->call;
	timer_arm(&a->c->timers, &l->kdf_timer, a->c->now.mono_ms + 1);
}

static err turn_off(struct core *c, struct lock *l)
{
	char text[TKA_SECRET_MAX * 2];

	base64_encode(bytes_of(l->secret, l->n_secret), text);
	TRY(setting_put(c, l->t->row.id, LOCK_SETTING, "off"));
	TRY(setting_put(c, l->t->row.id, LOCK_SECRET_SETTING, text)); /* clients want to see it */
	return drop_updates(c, l->t);
}

static void on_kdf_timer(struct core *c, struct timer *timer)
{
	struct lock *l = container_of(timer, struct lock, kdf_timer);
	uint8_t value[ARGON2I_LEN];
	bool fits = false;

	if (!argon2i_step(l->kdf, LOCK_KDF_STEP)) {
		timer_arm(&c->timers, timer, c->now.mono_ms + 1);
		return;
	}
	argon2i_result(l->kdf, value);
	if (is_on(l->t)) {
		const struct tka_state *s = tka_chain_state(l->chain);
		for (size_t i = 0; i < s->n_disablements; i++)
			fits |= sodium_memcmp(value, s->disablement[i], sizeof value) == 0;
	}
	struct call *call = l->kdf_call;
	err e = fits ? turn_off(c, l) : OK;
	end_kdf(c, l);
	if (!fits || e != OK) {
		answer_http(c, call, fits ? 503 : 403, fits ? "the server cannot do this now; try again\n" : "the disablement secret is wrong\n");
		log_info("tailnet lock: it was not ended", "reason=\"%s\"", fits ? err_text(e) : "wrong secret");
		return;
	}
	tka_chain_free(l->chain);
	l->chain = NULL;
	l->on = false;
	publish(l->t);
	log_info("tailnet lock is off", "tailnet=%" PRId64, l->t->row.id);
	struct buf out = buf_make(16);
	buf_append_str(&out, "{}");
	answer_node_json(c, call, &out);
}

bool lock_call_gone(struct core *c, struct call *call)
{
	for (size_t i = 0; i < c->n_tailnets; i++) {
		struct lock *l = c->tailnets[i]->lock;
		if (l && l->kdf && l->kdf_call == call) {
			end_kdf(c, l);
			answer_err(c, call, ERR_CLOSED, "cancelled");
			return true;
		}
	}
	return false;
}

void locks_close(struct core *c)
{
	for (size_t i = 0; i < c->n_tailnets; i++) {
		struct lock *l = c->tailnets[i]->lock;
		if (!l || !l->kdf)
			continue;
		struct call *call = l->kdf_call;
		end_kdf(c, l);
		answer_err(c, call, ERR_CLOSED, "the server is stopping");
	}
}

/* ---- dispatch ---- */

static const struct {
	const char *path;
	void (*handle)(struct ask *a);
} handlers[] = {
	{ "init/begin", init_begin }, { "init/finish", init_finish }, { "bootstrap", bootstrap }, { "sync/offer", sync_offer },
	{ "sync/send", sync_send }, { "sign", sign }, { "disable", disable }, { "affected-sigs", affected_sigs },
};

void on_lock_request(struct core *c, struct event *e, struct node *n)
{
	struct bytes query, path = bytes_skip(bytes_cut(bytes_str(e->path), '?', &query), sizeof "/machine/tka/" - 1);
	struct ask a = { .c = c, .e = e, .n = n, .t = n->t };
	json_auto_t *v = NULL;

	if (json_parse_why(e->body, TAILCFG_BODY_MAX, 8, &v, &a.why) != OK) {
		answer_http(c, e->call, 400, a.why.text);
		return;
	}
	if (node_is_expired(c, n) || n->shut != SHUT_NO) {
		refuse(&a, 403, "this device has no access to the tailnet");
		return;
	}
	a.root = json_root(v, &a.why);
	for (size_t i = 0; i < ARRAY_LEN(handlers); i++)
		if (bytes_eq_str(path, handlers[i].path)) {
			handlers[i].handle(&a);
			return;
		}
	answer_http(c, e->call, 404, "no such path\n");
}

/* ---- what an admin sees ---- */

static void write_waiting(struct jsonw *w, struct core *c, struct tailnet *t, const struct tka_state *s)
{
	char text[KEY_TEXT_MAX];
	size_t at = 0;

	for (struct node *n; (n = map_next(&c->nodes, &at));) {
		if (n->t != t || (n->row.n_key_sig && tka_nks_authorizes(bytes_of(n->row.key_sig, n->row.n_key_sig), s, &n->row.key) == OK))
			continue;
		jsonw_obj(w);
		jsonw_key(w, "id"), jsonw_int(w, n->row.id);
		jsonw_key(w, "name"), jsonw_str(w, n->row.given_name);
		jsonw_key(w, "nodeKey"), jsonw_str(w, node_pub_text(&n->row.key, text));
		jsonw_key(w, "rotationKey");
		nl_pub_text(&n->row.nl, text);
		jsonw_hex(w, "tlpub:", bytes_of(n->row.nl.b, 32));
		jsonw_obj_end(w);
	}
}

void on_command_lock(struct core *c, struct tailnet *t, struct reply *r)
{
	struct buf out = buf_make(LOCK_JSON_MAX);
	struct jsonw w = jsonw_init(&out);
	const struct tka_state *s = is_on(t) ? tka_chain_state(t->lock->chain) : NULL;

	jsonw_obj(&w);
	jsonw_key(&w, "enabled"), jsonw_bool(&w, s != NULL);
	jsonw_key(&w, "head"), jsonw_str(&w, s ? t->lock->head : "");
	jsonw_key(&w, "updates"), jsonw_uint(&w, s ? tka_chain_len(t->lock->chain) : 0);
	jsonw_key(&w, "keys"), jsonw_arr(&w);
	for (size_t i = 0; s && i < s->n_keys; i++) {
		jsonw_obj(&w);
		jsonw_key(&w, "key"), jsonw_hex(&w, "tlpub:", bytes_of(s->key[i].pub, 32));
		jsonw_key(&w, "votes"), jsonw_uint(&w, s->key[i].votes);
		jsonw_obj_end(&w);
	}
	jsonw_arr_end(&w);
	jsonw_key(&w, "lockedOut"), jsonw_arr(&w);
	if (s)
		write_waiting(&w, c, t, s);
	jsonw_arr_end(&w);
	jsonw_obj_end(&w);
	r->text = jsonw_ok(&w) ? arena_str(&r->arena, buf_view(&out)) : NULL;
	buf_done(&out);
	if (!r->text)
		reply_fail(r, ERR_NOMEM, "out of memory");
}
