#include "tests/lib/store_model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* Rows are kept sorted, so that ten thousand of them can be found. */

static size_t lower_bound(const void *list, size_t n, size_t each, int (*cmp)(const void *row, const void *key), const void *key)
{
	size_t lo = 0, hi = n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		if (cmp((const char *)list + mid * each, key) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

#define COMPARE(name, expr)                                                                                            \
	static int cmp_##name(const void *row, const void *key)                                                        \
	{                                                                                                              \
		const struct name##_row *a = row, *b = key;                                                            \
		return expr;                                                                                           \
	}
#define BY_ID ((a->id > b->id) - (a->id < b->id))
COMPARE(tailnet, BY_ID)
COMPARE(user, BY_ID)
COMPARE(webhook, BY_ID)
COMPARE(draft, BY_ID)
COMPARE(node, BY_ID)
COMPARE(authkey, BY_ID)
COMPARE(apikey, BY_ID)
COMPARE(identity, BY_ID)
COMPARE(signin, BY_ID)
COMPARE(account, BY_ID)
COMPARE(passkey, BY_ID)
COMPARE(wish, BY_ID)
COMPARE(ssh_approval, memcmp(&a->pair, &b->pair, sizeof a->pair))
COMPARE(policy, BY_ID)
COMPARE(lock_aum, memcmp(a->hash, b->hash, 32))
COMPARE(service, BY_ID)
COMPARE(pending, strcmp(a->auth_id, b->auth_id))
COMPARE(setting, a->tailnet_id != b->tailnet_id ? (a->tailnet_id > b->tailnet_id) - (a->tailnet_id < b->tailnet_id) :
	strcmp(a->key, b->key))

static void die_nomem(void)
{
	fprintf(stderr, "store_model: out of memory\n");
	abort();
}

#define TABLE(name, list, n_list)                                                                                      \
	static struct name##_row *find_##name(struct store_image *db, const struct name##_row *key)                    \
	{                                                                                                              \
		size_t at = lower_bound(db->list, db->n_list, sizeof *db->list, cmp_##name, key);                      \
		return at < db->n_list && cmp_##name(&db->list[at], key) == 0 ? &db->list[at] : NULL;                  \
	}                                                                                                              \
	static void put_##name(struct store_image *db, const struct name##_row *row)                                   \
	{                                                                                                              \
		struct name##_row *have = find_##name(db, row), copy;                                                  \
		if (name##_row_copy(row, &copy) != OK)                                                                 \
			die_nomem();                                                                                   \
		if (have) {                                                                                            \
			name##_row_done(have);                                                                         \
			*have = copy;                                                                                  \
			return;                                                                                        \
		}                                                                                                      \
		size_t at = lower_bound(db->list, db->n_list, sizeof *db->list, cmp_##name, row);                      \
		struct name##_row *grown = realloc(db->list, (db->n_list + 1) * sizeof *grown);                        \
		if (!grown)                                                                                            \
			die_nomem();                                                                                   \
		memmove(grown + at + 1, grown + at, (db->n_list - at) * sizeof *grown);                                \
		grown[at] = copy;                                                                                      \
		db->list = grown;                                                                                      \
		db->n_list++;                                                                                          \
	}
#define DELETE(name, list, n_list)                                                                                     \
	static void del_##name(struct store_image *db, const struct name##_row *key)                                   \
	{                                                                                                              \
		struct name##_row *have = find_##name(db, key);                                                        \
		if (!have)                                                                                             \
			return;                                                                                        \
		name##_row_done(have);                                                                                 \
		size_t at = (size_t)(have - db->list);                                                                 \
		memmove(have, have + 1, (db->n_list - at - 1) * sizeof *have);                                         \
		db->n_list--;                                                                                          \
	}
TABLE(tailnet, tailnets, n_tailnets)
TABLE(policy, policies, n_policies)
TABLE(user, users, n_users)
TABLE(webhook, webhooks, n_webhooks)
TABLE(draft, drafts, n_drafts)
TABLE(node, nodes, n_nodes)
TABLE(authkey, authkeys, n_authkeys)
TABLE(apikey, apikeys, n_apikeys)
TABLE(pending, pendings, n_pendings)
TABLE(ssh_approval, ssh_approvals, n_ssh_approvals)
TABLE(identity, identities, n_identities)
TABLE(signin, signins, n_signins)
TABLE(lock_aum, lock_aums, n_lock_aums)
TABLE(account, accounts, n_accounts)
TABLE(passkey, passkeys, n_passkeys)
TABLE(wish, wishes, n_wishes)
TABLE(service, services, n_services)
TABLE(setting, settings, n_settings)
DELETE(policy, policies, n_policies)
DELETE(user, users, n_users)
DELETE(webhook, webhooks, n_webhooks)
DELETE(draft, drafts, n_drafts)
DELETE(node, nodes, n_nodes)
DELETE(authkey, authkeys, n_authkeys)
DELETE(apikey, apikeys, n_apikeys)
DELETE(pending, pendings, n_pendings)
DELETE(ssh_approval, ssh_approvals, n_ssh_approvals)
DELETE(identity, identities, n_identities)
DELETE(signin, signins, n_signins)
DELETE(lock_aum, lock_aums, n_lock_aums)
DELETE(account, accounts, n_accounts)
DELETE(passkey, passkeys, n_passkeys)
DELETE(wish, wishes, n_wishes)
DELETE(service, services, n_services)
DELETE(setting, settings, n_settings)

struct node_row *store_model_node(struct store_image *db, int64_t id)
{
	return find_node(db, &(struct node_row){ .id = id });
}

/* ---- constraints ---- */

static bool node_fits(struct store_image *db, const struct node_row *r, char *why, size_t why_cap)
{
	if (r->user_id && !find_user(db, &(struct user_row){ .id = r->user_id })) {
		snprintf(why, why_cap, "node %lld of a user %lld that is not there", (long long)r->id, (long long)r->user_id);
		return false;
	}
	for (size_t i = 0; i < db->n_nodes; i++) {
		const struct node_row *x = &db->nodes[i];
		const char *what = NULL;

		if (x->id == r->id)
			continue;
		if (node_pub_eq(&x->key, &r->key))
			what = "node key";
		else if (x->tailnet_id == r->tailnet_id && strcmp(x->given_name, r->given_name) == 0)
			what = "name";
		else if (x->tailnet_id == r->tailnet_id && r->v4.family && addr_eq(x->v4, r->v4))
			what = "IPv4 address";
		else if (x->tailnet_id == r->tailnet_id && r->v6.family && addr_eq(x->v6, r->v6))
			what = "IPv6 address";
		if (what) {
			snprintf(why, why_cap, "nodes %lld and %lld have the same %s", (long long)x->id, (long long)r->id, what);
			return false;
		}
	}
	return true;
}

static bool user_fits(struct store_image *db, const struct user_row *r, char *why, size_t why_cap)
{
	for (size_t i = 0; i < db->n_users; i++)
		if (db->users[i].id != r->id && db->users[i].tailnet_id == r->tailnet_id && !r->provider[0] &&
				!db->users[i].provider[0] && strcasecmp(db->users[i].name, r->name) == 0) {
			snprintf(why, why_cap, "users %lld and %lld have the same name", (long long)db->users[i].id, (long long)r->id);
			return false;
		}
	return true;
}

static bool user_may_go(struct store_image *db, const struct user_row *r, char *why, size_t why_cap)
{
	for (size_t i = 0; i < db->n_nodes; i++)
		if (db->nodes[i].user_id == r->id) {
			snprintf(why, why_cap, "user %lld is deleted and still has node %lld", (long long)r->id, (long long)db->nodes[i].id);
			return false;
		}
	for (size_t i = 0; i < db->n_identities; i++)
		if (db->identities[i].user_id == r->id) {
			snprintf(why, why_cap, "user %lld is deleted and still has identity %lld", (long long)r->id,
					(long long)db->identities[i].id);
			return false;
		}
	for (size_t i = 0; i < db->n_signins; i++)
		if (db->signins[i].user_id == r->id) {
			snprintf(why, why_cap, "user %lld is deleted and still signed in", (long long)r->id);
			return false;
		}
	return true;
}

/* ---- operations ---- */

static void seen(struct store_image *db, const struct node_row *op)
{
	struct node_row *row = find_node(db, op), copy;

	if (!row)
		return;
	if (node_row_copy(op, &copy) != OK)
		die_nomem();
	row->last_seen_ms = copy.last_seen_ms;
	row->was_online = copy.was_online;
	row->disco = copy.disco;
	row->home_derp = copy.home_derp;
	row->capver = copy.capver;
	free(row->endpoints);
	row->endpoints = copy.endpoints;
	row->n_endpoints = copy.n_endpoints;
	free(row->carried);
	row->carried = copy.carried;
	row->n_carried = copy.n_carried;
	copy.carried = NULL;
	copy.n_carried = 0;
	free(row->hostinfo_json);
	row->hostinfo_json = copy.hostinfo_json;
	free(row->presence);
	row->presence = copy.presence;
	row->n_presence = copy.n_presence;
	copy.presence = NULL;
	copy.endpoints = NULL;
	copy.n_endpoints = 0;
	copy.hostinfo_json = NULL;
	node_row_done(&copy);
}

bool store_model_apply(struct store_image *db, const struct store_op *op, char *why, size_t why_cap)
{
	bool fits = true;

	switch (op->kind) {
	case STORE_PUT_TAILNET:
		put_tailnet(db, &op->tailnet);
		break;
	case STORE_PUT_USER:
		fits = user_fits(db, &op->user, why, why_cap);
		put_user(db, &op->user);
		break;
	case STORE_DEL_USER:
		fits = user_may_go(db, &op->user, why, why_cap);
		del_user(db, &op->user);
		break;
	case STORE_PUT_NODE:
		fits = node_fits(db, &op->node, why, why_cap);
		put_node(db, &op->node);
		break;
	case STORE_DEL_NODE:
		del_node(db, &op->node);
		break;
	case STORE_NODE_SEEN:
		seen(db, &op->node);
		break;
	case STORE_PUT_AUTHKEY:
		put_authkey(db, &op->authkey);
		break;
	case STORE_DEL_AUTHKEY:
		del_authkey(db, &op->authkey);
		break;
	case STORE_PUT_APIKEY:
		put_apikey(db, &op->apikey);
		break;
	case STORE_DEL_APIKEY:
		del_apikey(db, &op->apikey);
		break;
	case STORE_PUT_PENDING:
		put_pending(db, &op->pending);
		break;
	case STORE_DEL_PENDING:
		del_pending(db, &op->pending);
		break;
	case STORE_PUT_SSH_APPROVAL:
		put_ssh_approval(db, &op->ssh_approval);
		break;
	case STORE_DEL_SSH_APPROVAL:
		del_ssh_approval(db, &op->ssh_approval);
		break;
	case STORE_PUT_IDENTITY:
		put_identity(db, &op->identity);
		break;
	case STORE_DEL_IDENTITY:
		del_identity(db, &op->identity);
		break;
	case STORE_PUT_ACCOUNT:
		put_account(db, &op->account);
		break;
	case STORE_DEL_ACCOUNT:
		del_account(db, &op->account);
		break;
	case STORE_PUT_WISH:
		put_wish(db, &op->wish);
		break;
	case STORE_DEL_WISH:
		del_wish(db, &op->wish);
		break;
	case STORE_PUT_PASSKEY:
		put_passkey(db, &op->passkey);
		break;
	case STORE_DEL_PASSKEY:
		del_passkey(db, &op->passkey);
		break;
	case STORE_PUT_SIGNIN:
		put_signin(db, &op->signin);
		break;
	case STORE_DEL_SIGNIN:
		del_signin(db, &op->signin);
		break;
	case STORE_PUT_LOCK_AUM:
		put_lock_aum(db, &op->lock_aum);
		break;
	case STORE_DEL_LOCK_AUM:
		del_lock_aum(db, &op->lock_aum);
		break;
	case STORE_PUT_SERVICE:
		put_service(db, &op->service);
		break;
	case STORE_DEL_SERVICE:
		del_service(db, &op->service);
		break;
	case STORE_PUT_POLICY:
		put_policy(db, &op->policy);
		break;
	case STORE_DEL_POLICY:
		del_policy(db, &op->policy);
		break;
	case STORE_PUT_SETTING:
		if (op->setting.value)
			put_setting(db, &op->setting);
		else
			del_setting(db, &op->setting);
		break;
	case STORE_PUT_DRAFT:
		put_draft(db, &op->draft);
		break;
	case STORE_DEL_DRAFT:
		del_draft(db, &op->draft);
		break;
	case STORE_PUT_WEBHOOK:
		put_webhook(db, &op->webhook);
		break;
	case STORE_DEL_WEBHOOK:
		del_webhook(db, &op->webhook);
		break;
	case STORE_WEBHOOK_CURSOR:
	case STORE_PUT_SERVER_KEY:
	case STORE_PUT_AUDIT: /* the image has none of it */
	case STORE_TRIM_AUDIT:
		break;
	}
	return fits;
}

void store_model_copy(const struct store_image *from, struct store_image *to)
{
	memset(to, 0, sizeof *to);
#define COPY(name, list, n_list)                                                                                       \
	do {                                                                                                           \
		to->n_list = from->n_list;                                                                             \
		to->list = calloc(from->n_list + 1, sizeof *to->list);                                                 \
		if (!to->list)                                                                                         \
			die_nomem();                                                                                   \
		for (size_t i = 0; i < from->n_list; i++)                                                              \
			if (name##_row_copy(&from->list[i], &to->list[i]) != OK)                                       \
				die_nomem();                                                                           \
	} while (0)
	COPY(tailnet, tailnets, n_tailnets);
	COPY(user, users, n_users);
	COPY(node, nodes, n_nodes);
	COPY(authkey, authkeys, n_authkeys);
	COPY(apikey, apikeys, n_apikeys);
	COPY(pending, pendings, n_pendings);
	COPY(ssh_approval, ssh_approvals, n_ssh_approvals);
	COPY(identity, identities, n_identities);
	COPY(account, accounts, n_accounts);
	COPY(passkey, passkeys, n_passkeys);
	COPY(wish, wishes, n_wishes);
	COPY(signin, signins, n_signins);
	COPY(lock_aum, lock_aums, n_lock_aums);
	COPY(service, services, n_services);
	COPY(policy, policies, n_policies);
	COPY(webhook, webhooks, n_webhooks);
	COPY(draft, drafts, n_drafts);
	COPY(setting, settings, n_settings);
#undef COPY
}
