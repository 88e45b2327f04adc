#include "server/core/state.h"

#include <stdlib.h>

#include "common/base/cleanup.h"
#include "server/core/federation.h"

enum {
	APIKEYS_MAX = 20000,	/* of all kinds */
	TOKENS_PER_CLIENT_MAX = 200, /* the oldest goes */
	TOKEN_MS = 3600 * 1000,
	SCOPES_TEXT_MAX = 2000,
	SEEN_STEP_MS = 3600 * 1000, /* last use is written this often at most: it is for people who clean up */
	SWEEP_MAX = 64,
};

static struct apikey *by_id(struct core *c, int64_t id)
{
	return id ? map_get(&c->apikeys, &id) : NULL;
}

static struct apikey *find(struct core *c, struct tailnet *t, const struct command *m, struct reply *r)
{
	static const char *const words[] = { "hskey-api-", "tskey-client-", "hskey-oauthtok-" };
	char prefix[KEY_PREFIX_LEN + 1];
	struct apikey *k = by_id(c, m->id);

	for (size_t i = 0; !m->id && !k && i < ARRAY_LEN(words); i++)
		if (key_prefix_of(m->key_text, words[i], prefix))
			k = map_get(&c->apikeys_by_prefix, prefix);
	if (!k || k->t != t) {
		reply_fail(r, ERR_NOT_FOUND, "API key not found");
		return NULL;
	}
	return k;
}

static err answer_keys(struct reply *r, struct apikey *const *list, size_t n)
{
	r->apikeys = arena_array(&r->arena, n + 1, sizeof *r->apikeys);
	if (!r->apikeys)
		return ERR_NOMEM;
	for (size_t i = 0; i < n; i++) {
		TRY(apikey_to_arena(&r->arena, &list[i]->row, &r->apikeys[i]));
		r->n_apikeys++;
	}
	return OK;
}

static bool is_tag(const char *s)
{
	return strncmp(s, "tag:", 4) == 0 && strlen(s) > 4 && strlen(s) <= 128;
}

/* What a key may be given. */
static bool are_sound(const struct command *m, const char *scopes, struct reply *r)
{
	scope_set set;
	struct bytes bad = { 0 };

	if (strlen(scopes) > SCOPES_TEXT_MAX) {
		reply_fail(r, ERR_INVALID, "scopes: at most %d bytes", SCOPES_TEXT_MAX);
		return false;
	}
	if (scope_parse(scopes, &set, &bad) != OK) {
		reply_fail(r, ERR_INVALID, "scopes: \"%.*s\" is not a scope such as devices:core, devices:core:read or all",
				(int)MIN_OF(bad.n, (size_t)64), bad.n ? (const char *)bad.p : "");
		return false;
	}
	if (m->n_tags > NODE_TAGS_MAX || strlen(m->description) > 1024) {
		reply_fail(r, ERR_INVALID, "a key may have %d tags and a description of 1024 bytes", NODE_TAGS_MAX);
		return false;
	}
	for (size_t i = 0; i < m->n_tags; i++)
		if (!is_tag(m->tags[i])) {
			reply_fail(r, ERR_INVALID, "\"%.64s\" is not a tag; tags look like tag:server", m->tags[i]);
			return false;
		}
	if (m->oauth_client && !m->n_tags &&
			(set & (SCOPE_WRITE_BIT(SCOPE_DEVICES_CORE) | SCOPE_WRITE_BIT(SCOPE_AUTH_KEYS)))) {
		reply_fail(r, ERR_INVALID, "tags are needed with the scopes devices:core and auth_keys");
		return false;
	}
	return true;
}

static err copy_tags(const char *const *from, size_t n, struct apikey_row *row)
{
	row->tags = calloc(n + 1, sizeof(*row->tags));
	if (!row->tags)
		return ERR_NOMEM;
	for (; row->n_tags < n; row->n_tags++)
		if (!(row->tags[row->n_tags] = strdup(from[row->n_tags])))
			return ERR_NOMEM;
	return OK;
}

/* row is taken. Gives it an id and a secret. */
static err put_new(struct core *c, struct apikey_row *row, const char *word, struct reply *r, struct apikey **out)
{
	if (c->apikeys.n >= APIKEYS_MAX) {
		reply_fail(r, ERR_TOO_BIG, "there are %d keys; delete those that nobody needs", APIKEYS_MAX);
		return r->e;
	}
	r->secret = key_fresh(&r->arena, word, row->prefix, row->hash);
	if (!r->secret)
		return ERR_NOMEM;
	TRY(next_id(c, &row->id));
	TRY(touch_new_apikey(c, row->id));
	int64_t id = row->id;
	TRY(apikey_put_memory(c, row));
	struct apikey *k = by_id(c, id);
	if (!k)
		return ERR_NOMEM;
	k->touched = c->tx;
	*out = k;
	return OK;
}

bool apikey_within(struct core *c, const struct command *m, scope_set wanted)
{
	struct apikey *asks = by_id(c, m->by_key);
	struct user *u = asks ? user_by_id(c, asks->row.user_id) : NULL;

	if (m->by_signin) {
		u = signin_user(c, m->by_signin);
		return !(wanted & ~(u ? user_scopes(u) : 0));
	}
	if (!asks)
		return true;
	return !(wanted & ~(asks->may & (u ? user_scopes(u) : SCOPE_EVERYTHING)));
}

static int64_t asking(struct core *c, const struct command *m)
{
	struct apikey *key = by_id(c, m->by_key);
	struct user *person = signin_user(c, m->by_signin);

	return key ? key->row.user_id : person ? person->row.id : 0;
}

bool apikey_may_act_on(struct core *c, const struct command *m, const struct user *u, struct reply *r)
{
	if (!u || asking(c, m) == u->row.id || apikey_within(c, m, scope_of_role(u->row.role)))
		return true;
	reply_fail(r, ERR_DENIED, "user %.64s may do more than who asks", u->row.name);
	return false;
}

/* Nobody can make a key that may do more than the key that asks. */
static bool within(struct core *c, const struct command *m, const char *scopes, struct reply *r)
{
	scope_set wanted = 0;
	struct bytes bad;

	if (scope_parse(scopes, &wanted, &bad) != OK || apikey_within(c, m, wanted))
		return true;
	reply_fail(r, ERR_DENIED, "a key cannot be given more than the key has that makes it");
	return false;
}

/* ---- federated identities ---- */

static err set_text(char **place, const char *text)
{
	char *copy = strdup(text);

	if (!copy)
		return ERR_NOMEM;
	free(*place);
	*place = copy;
	return OK;
}

/* Whose tokens are for us: the server's host and the identity's number, where nobody says otherwise. */
static err set_audience(struct core *c, const char *wanted, struct apikey_row *row)
{
	const char *url = c->set.server_url ? c->set.server_url : "", *host = strstr(url, "://");
	char text[FEDERATION_TEXT_MAX];

	if (*wanted)
		return set_text(&row->audience, wanted);
	if (row->audience && *row->audience)
		return OK; /* it was made once, and stays */
	host = host ? host + 3 : url;
	snprintf(text, sizeof text, "%.*s/%lld", (int)MIN_OF(strcspn(host, "/"), (size_t)900), host, (long long)row->id);
	return set_text(&row->audience, text);
}

static err set_federation(struct core *c, const struct federation *f, struct apikey_row *row)
{
	TRY(set_text(&row->issuer, f->issuer));
	TRY(set_text(&row->subject, f->subject));
	TRY(set_text(&row->claim_rules, f->claim_rules));
	return set_audience(c, f->audience, row);
}

static bool is_federation(struct core *c, const struct command *m, struct reply *r)
{
	struct federation_why why = { "" };

	if (!m->federated.issuer || federation_check(&m->federated, c->set.issuers_private, &why) == OK)
		return true;
	reply_fail(r, ERR_INVALID, "%s", why.text);
	return false;
}

static err create(struct core *c, struct tailnet *t, const struct command *m, struct reply *r)
{
	const char *scopes = *m->scopes ? m->scopes : "all";
	struct user *u = *m->user ? user_find(t, m->user) : NULL;
	struct apikey_row row = { .tailnet_id = t->row.id, .created_ms = c->now.wall_ms, .expires_ms = m->expires_ms,
		.kind = m->oauth_client ? APIKEY_CLIENT : APIKEY_KEY, .user_id = u ? u->row.id : 0,
		.updated_ms = m->oauth_client ? c->now.wall_ms : 0 };
	struct apikey *k;

	if (*m->user && !u) {
		reply_fail(r, ERR_NOT_FOUND, "there is no user \"%.64s\"", m->user);
		return r->e;
	}
	if (!u)
		row.user_id = asking(c, m); /* a user's key makes keys of that user, and so does the user */
	if (!are_sound(m, scopes, r) || !is_federation(c, m, r) || !within(c, m, scopes, r) || !apikey_may_tags(c, t, m, r))
		return r->e;
	if (!apikey_may_act_on(c, m, u, r))
		return r->e;
	row.scopes = strdup(scopes);
	row.description = strdup(m->description);
	err e = row.scopes && row.description ? copy_tags(m->tags, m->n_tags, &row) : ERR_NOMEM;
	if (e == OK)
		e = put_new(c, &row, m->oauth_client ? "tskey-client-" : "hskey-api-", r, &k);
	apikey_row_done(&row);
	TRY(e);
	if (m->oauth_client && m->federated.issuer) {
		r->secret = NULL; /* nobody has it, so nobody can show it */
		TRY(set_federation(c, &m->federated, &k->row));
	}
	return answer_keys(r, &k, 1);
}

static int by_number(const void *a, const void *b)
{
	struct apikey *const *x = a, *const *y = b;

	return ((*x)->row.id > (*y)->row.id) - ((*x)->row.id < (*y)->row.id);
}

static err list(struct core *c, struct tailnet *t, struct reply *r)
{
	CLEANUP(freep) struct apikey **all = malloc((c->apikeys.n + 1) * sizeof(*all));
	size_t at = 0, n = 0;

	if (!all)
		return ERR_NOMEM;
	for (struct apikey *k; (k = map_next(&c->apikeys, &at));)
		if (k->t == t && k->row.kind != APIKEY_TOKEN)
			all[n++] = k;
	if (n)
		qsort(all, n, sizeof(*all), by_number);
	return answer_keys(r, all, n);
}

static err drop(struct core *c, struct apikey *k)
{
	TRY(touch_apikey(c, k));
	apikey_drop_memory(c, k->row.id);
	return OK;
}

static err drop_tokens(struct core *c, int64_t client)
{
	size_t at = 0;

	for (struct apikey *k; (k = map_next(&c->apikeys, &at));)
		if (k->row.parent_id == client)
			TRY(drop(c, k));
	return OK;
}

static err expire(struct core *c, struct apikey *k, struct reply *r)
{
	TRY(touch_apikey(c, k));
	if (!k->row.expires_ms || k->row.expires_ms > c->now.wall_ms)
		k->row.expires_ms = c->now.wall_ms;
	return answer_keys(r, &k, 1);
}

static err revoke_key(struct core *c, struct apikey *k, struct reply *r)
{
	TRY(touch_apikey(c, k));
	if (!k->row.revoked_ms)
		k->row.revoked_ms = c->now.wall_ms;
	TRY(drop_tokens(c, k->row.id));
	return answer_keys(r, &k, 1);
}

static err delete_key(struct core *c, struct apikey *k)
{
	TRY(drop_tokens(c, k->row.id));
	return drop(c, k);
}

static err update(struct core *c, struct tailnet *t, struct apikey *k, struct command *m, struct reply *r)
{
	if (k->row.kind != APIKEY_CLIENT || k->row.revoked_ms) {
		reply_fail(r, ERR_STATE, "only an OAuth client or federated identity that was not revoked can be changed");
		return r->e;
	}
	if (apikey_is_federated(&k->row) != (m->federated.issuer != NULL)) {
		reply_fail(r, ERR_STATE, "an OAuth client stays one, and so does a federated identity");
		return r->e;
	}
	/* Who says whose tokens it takes can be it: its tokens act as its user, also on who is that user. */
	if (m->federated.issuer && !apikey_may_act_on(c, m, user_by_id(c, k->row.user_id), r))
		return r->e;
	m->oauth_client = true;
	if (!are_sound(m, m->scopes, r) || !is_federation(c, m, r) || !within(c, m, m->scopes, r) || !apikey_may_tags(c, t, m, r))
		return r->e;
	struct apikey_row row;
	TRY(touch_apikey(c, k));
	TRY(apikey_row_copy(&k->row, &row));
	free(row.scopes);
	free(row.description);
	for (size_t i = 0; i < row.n_tags; i++)
		free(row.tags[i]);
	free(row.tags);
	row.tags = NULL;
	row.n_tags = 0;
	row.scopes = strdup(m->scopes);
	row.description = strdup(m->description);
	row.updated_ms = MAX_OF(c->now.wall_ms, k->row.updated_ms + 1); /* it tells versions apart, too */
	err e = row.scopes && row.description ? copy_tags(m->tags, m->n_tags, &row) : ERR_NOMEM;
	if (e == OK && m->federated.issuer)
		e = set_federation(c, &m->federated, &row);
	if (e == OK)
		e = apikey_put_memory(c, &row);
	apikey_row_done(&row);
	TRY(e);
	TRY(drop_tokens(c, k->row.id)); /* they were given what it may do no more */
	return answer_keys(r, &k, 1);
}

/* ---- tokens ---- */

bool apikey_is_token(struct core *c, int64_t id)
{
	struct apikey *k = by_id(c, id);

	return k && k->row.kind == APIKEY_TOKEN;
}

static bool has(char *const *tags, size_t n, const char *tag)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(tags[i], tag) == 0)
			return true;
	return false;
}

static bool row_may_tags(struct tailnet *t, const struct apikey_row *k, const struct command *m, struct reply *r)
{
	for (size_t i = 0; i < m->n_tags; i++) {
		if (has(k->tags, k->n_tags, m->tags[i]) ||
				(k->n_tags && policy_tags_may_tag(t->policy, (const char *const *)k->tags, k->n_tags, m->tags[i])))
			continue;
		reply_fail(r, ERR_DENIED, "%.64s: this credential has neither that tag nor one that owns it", m->tags[i]);
		return false;
	}
	return true;
}

bool apikey_may_tags(struct core *c, struct tailnet *t, const struct command *m, struct reply *r)
{
	struct apikey *k = by_id(c, m->by_key);

	return !k || k->row.kind != APIKEY_TOKEN || row_may_tags(t, &k->row, m, r);
}

static err drop_oldest_token(struct core *c, int64_t client)
{
	struct apikey *oldest = NULL;
	size_t at = 0, n = 0;

	for (struct apikey *k; (k = map_next(&c->apikeys, &at));) {
		if (k->row.parent_id != client)
			continue;
		n++;
		if (!oldest || k->row.id < oldest->row.id)
			oldest = k;
	}
	return n >= TOKENS_PER_CLIENT_MAX ? drop(c, oldest) : OK;
}

/* Who shows its secret; or the federated identity that a token was found good for, as long as it is the same still. */
static struct apikey *client_of(struct core *c, struct tailnet *t, const struct command *m, struct reply *r)
{
	struct apikey *k = m->id ? by_id(c, m->id) : apikey_by_text(c, m->key_text);
	bool federated = k && apikey_is_federated(&k->row);

	if (k && k->t == t && k->row.kind == APIKEY_CLIENT && federated == (m->id != 0) && apikey_is_valid(c, k) &&
			(!federated || k->row.updated_ms == m->at_ms)) {
		audit_who(c, m->via, m->from, "%s:%s", federated ? "federated" : "oauthclient", k->row.prefix);
		return k;
	}
	reply_fail(r, ERR_AUTH, m->id ? "this identity is not valid, or was changed just now" : "this client secret is not valid");
	return NULL;
}

static err token(struct core *c, struct tailnet *t, const struct command *m, struct reply *r)
{
	struct apikey *client = client_of(c, t, m, r), *k;
	scope_set wanted;
	struct bytes bad;

	if (!client)
		return r->e;
	const char *scopes = *m->scopes ? m->scopes : client->row.scopes;
	if (!are_sound(m, scopes, r))
		return r->e;
	if (scope_parse(scopes, &wanted, &bad) != OK || (wanted & ~client->may)) {
		reply_fail(r, ERR_INVALID, "scope: the client has less than that");
		return r->e;
	}
	if (!row_may_tags(t, &client->row, m, r))
		return r->e;
	struct apikey_row row = { .tailnet_id = t->row.id, .created_ms = c->now.wall_ms, .expires_ms = c->now.wall_ms + TOKEN_MS,
		.kind = APIKEY_TOKEN, .user_id = client->row.user_id, .parent_id = client->row.id };
	row.scopes = strdup(scopes);
	row.description = strdup("");
	err e = row.scopes && row.description ? OK : ERR_NOMEM;
	if (e == OK)
		e = m->n_tags ? copy_tags(m->tags, m->n_tags, &row) :
				copy_tags((const char *const *)client->row.tags, client->row.n_tags, &row);
	if (e == OK)
		e = drop_oldest_token(c, client->row.id);
	if (e == OK)
		e = put_new(c, &row, "hskey-oauthtok-", r, &k);
	apikey_row_done(&row);
	TRY(e);
	TRY(touch_apikey(c, client));
	client->row.last_seen_ms = c->now.wall_ms;
	return answer_keys(r, &k, 1);
}

void apikeys_sweep(struct core *c)
{
	size_t at = 0, n = 0;

	for (struct apikey *k; n < SWEEP_MAX && (k = map_next(&c->apikeys, &at));) {
		if (k->row.kind != APIKEY_TOKEN || k->row.expires_ms > c->now.wall_ms)
			continue;
		if (drop(c, k) != OK)
			return; /* the next minute finds it again */
		n++;
	}
}

static err check(struct core *c, struct tailnet *t, const struct command *m, struct reply *r)
{
	struct apikey *k = apikey_by_text(c, m->key_text);

	/* A client's secret is no key: it gets one. */
	if (!k || k->t != t || k->row.kind == APIKEY_CLIENT || !apikey_is_valid(c, k)) {
		reply_fail(r, ERR_AUTH, "this API key is not valid");
		return r->e;
	}
	if (c->now.wall_ms - k->row.last_seen_ms > SEEN_STEP_MS) {
		TRY(touch_apikey(c, k));
		k->row.last_seen_ms = c->now.wall_ms;
	}
	struct user *u = user_by_id(c, k->row.user_id);
	r->may = k->may & (u ? user_scopes(u) : SCOPE_EVERYTHING);
	return answer_keys(r, &k, 1);
}

void on_command_apikey(struct core *c, struct command *m, struct reply *r)
{
	struct tailnet *t = core_tailnet(c, m->tailnet_id);
	struct apikey *k = NULL;
	err e = OK;

	if (m->kind == CMD_APIKEY_CREATE)
		e = create(c, t, m, r);
	else if (m->kind == CMD_APIKEY_LIST)
		e = list(c, t, r);
	else if (m->kind == CMD_APIKEY_TOKEN)
		e = token(c, t, m, r);
	else if (m->kind == CMD_APIKEY_CHECK)
		e = check(c, t, m, r);
	else if (!(k = find(c, t, m, r)))
		e = r->e;
	else if (m->kind == CMD_APIKEY_LOOK)
		e = answer_keys(r, &k, 1);
	else if (m->kind == CMD_APIKEY_EXPIRE)
		e = expire(c, k, r);
	else if (m->kind == CMD_APIKEY_DELETE)
		e = delete_key(c, k);
	else if (m->kind == CMD_APIKEY_REVOKE)
		e = revoke_key(c, k, r);
	else
		e = update(c, t, k, m, r);
	r->e = e;
}
