/* Every command there is: those that change something leave records that say who, by what, from where, what before and after, in the
 * transaction of the change; the others leave none. A new command without a line here does not compile (the switch over all of them). */
#include <stdio.h>
#include <stdlib.h>

#include "common/base/cleanup.h"
#include "server/core/state.h"
#include "tests/lib/core_harness.h"
#include "tests/lib/test.h"

#define HOUR (3600 * 1000LL)

static const char policy[] = "{\"tagOwners\": {\"tag:web\": [\"autogroup:admin\"]},"
	"\"acls\": [{\"action\": \"accept\", \"src\": [\"*\"], \"dst\": [\"*:*\"]}],"
	"\"ssh\": [{\"action\": \"check\", \"src\": [\"autogroup:member\"], \"dst\": [\"autogroup:self\"], \"users\": [\"root\"]}]}";

/* One of everything. */
struct world {
	struct harness h;
	struct device laptop, desk, waiting;
	int64_t ann, bob, laptop_id, desk_id, authkey, apikey, client, webhook, identity, passkey, wish;
	char client_secret[128], token[64], link[64], idp_token[64], pending[64], check[64];
};

static struct command *by(enum command_kind kind)
{
	struct command *m = command_new(kind);

	m->actor = "apikey:0123456789ab";
	m->via = "v2";
	m->from = addr_v4(192, 0, 2, 7);
	return m;
}

static struct reply *done(struct world *w, struct command *m)
{
	enum command_kind kind = m->kind;
	struct reply *r = harness_command(&w->h, m);

	if (!r || r->e != OK)
		fail_msg("command %d: %s", (int)kind, r ? r->message : "no answer");
	return r;
}

static const struct passkey_row passkey = { .credential = (uint8_t *)(uintptr_t)"one", .n_credential = 3,
	.cose = (uint8_t *)(uintptr_t)"key", .n_cose = 3, .name = (char *)(uintptr_t)"laptop" };
static const struct passkey_row other_passkey = { .credential = (uint8_t *)(uintptr_t)"two", .n_credential = 3,
	.cose = (uint8_t *)(uintptr_t)"key", .n_cose = 3, .name = (char *)(uintptr_t)"phone" };
static const char *const groups[] = { "ops" }, *const other_groups[] = { "dev" };

static struct login_facts facts(const char *subject, const char *const *list)
{
	return (struct login_facts){ .provider = "oidc", .issuer = "https://id.example.com", .subject = subject, .login = "cleo@example.com",
		.email = "cleo@example.com", .name = "cleo", .display_name = "", .picture_url = "", .groups = list, .n_groups = 1,
		.refresh_token = "again", .provider_sid = "sid-1" };
}
static char password1[] = "$argon2id$1", password2[] = "$argon2id$2";
static struct login_facts cleo, cleo_moved, third, newcomer;

static void new_world(struct world *w)
{
	struct command *m;
	struct reply *r;

	memset(w, 0, sizeof *w);
	cleo = facts("1", groups), cleo_moved = facts("1", other_groups), third = facts("3", groups), newcomer = facts("9", groups);
	newcomer.login = newcomer.email = "dave@example.com", newcomer.name = "dave";
	harness_start(&w->h, NULL);
	w->ann = harness_user(&w->h, "ann");
	w->bob = harness_user(&w->h, "bob");
	m = by(CMD_POLICY_SET), m->text = policy, done(w, m);
	const char *key = harness_authkey(&w->h, "ann", AK_REUSABLE);
	device_init(&w->laptop, &w->h, "laptop");
	w->laptop.route = "10.1.0.0/16";
	w->laptop_id = device_join(&w->laptop, key);
	device_init(&w->desk, &w->h, "desk");
	w->desk_id = device_join(&w->desk, key);
	w->authkey = done(w, by(CMD_AUTHKEY_LIST))->authkeys[0].id;
	m = by(CMD_APIKEY_CREATE), m->expires_ms = w->h.now.wall_ms + HOUR;
	w->apikey = done(w, m)->apikeys[0].id;
	m = by(CMD_APIKEY_CREATE), m->oauth_client = true, m->scopes = "all:read";
	r = done(w, m);
	w->client = r->apikeys[0].id;
	snprintf(w->client_secret, sizeof w->client_secret, "%s", r->secret);
	m = by(CMD_WEBHOOK_CREATE), m->text = "https://hooks.example.com/x", m->name = "", m->scopes = "nodeCreated";
	w->webhook = done(w, m)->webhooks[0].id;
	m = by(CMD_SERVICE_SET), m->name = "svc:web", done(w, m);
	m = by(CMD_SETTINGS_SET), m->name = "contacts.support", m->text = "help@example.com", done(w, m);
	m = by(CMD_NODE_ATTR_SET), m->id = w->laptop_id, m->name = "custom:floor", m->text = "3", done(w, m);
	/* A browser of ann's, with an account and a passkey; a link for another one; cleo by a provider. */
	m = by(CMD_LINK_MAKE), m->user = "ann", m->expires_ms = w->h.now.wall_ms + HOUR;
	snprintf(w->link, sizeof w->link, "%s", done(w, m)->secret);
	m = by(CMD_LINK_USE), m->key_text = w->link, m->expires_ms = w->h.now.wall_ms + HOUR;
	snprintf(w->token, sizeof w->token, "%s", done(w, m)->secret);
	m = by(CMD_ACCOUNT_SET), m->key_text = w->token;
	m->account = (struct account_row){ .password = password1, .totp_step = 100 };
	done(w, m);
	m = by(CMD_PASSKEY_ADD), m->key_text = w->token, m->passkey = &passkey;
	w->passkey = done(w, m)->passkeys[0].id;
	m = by(CMD_WISH_ADD), m->key_text = w->token, m->name = "web", m->note = "";
	w->wish = done(w, m)->wishes[0].id;
	m = by(CMD_LINK_MAKE), m->user = "ann", m->expires_ms = w->h.now.wall_ms + HOUR;
	snprintf(w->link, sizeof w->link, "%s", done(w, m)->secret);
	m = by(CMD_LOGIN), m->login = &cleo, m->expires_ms = w->h.now.wall_ms + HOUR;
	snprintf(w->idp_token, sizeof w->idp_token, "%s", done(w, m)->secret);
	m = by(CMD_IDENTITY_LIST), m->user = "";
	w->identity = done(w, m)->identities[0].id;
	device_init(&w->waiting, &w->h, "waiting");
	device_register(&w->waiting, NULL);
	snprintf(w->pending, sizeof w->pending, "%s", done(w, by(CMD_AUTH_LIST))->pendings[0].auth_id);
	/* desk asks whether the session from laptop may begin. */
	char path[160];
	snprintf(path, sizeof path, "/machine/ssh/action/%lld/to/%lld?local_user=root", (long long)w->laptop_id, (long long)w->desk_id);
	assert_int_equal(device_request(&w->desk, path, ""), 200);
	r = done(w, by(CMD_AUTH_LIST));
	assert_int_equal(r->n_ssh_checks, 1);
	snprintf(w->check, sizeof w->check, "%s", r->ssh_checks[0].auth_id);
}

static void end_world(struct world *w)
{
	device_done(&w->laptop), device_done(&w->desk), device_done(&w->waiting);
	harness_stop(&w->h);
}

/* ---- what each does ---- */

struct expect {
	enum { READS, KEPT_OUT, CHANGES } what; /* KEPT_OUT: it changes what is nobody's rule: a draft, what was sent or seen last */
	const char *kind, *action; /* of a record */
	const char *actor;	   /* begins so; NULL: who asked */
};

#define CHANGE(k, a) (struct expect){ CHANGES, k, a, NULL }
#define CHANGE_BY(k, a, who) (struct expect){ CHANGES, k, a, who }

static const struct prefix *a_route(struct command *m)
{
	struct prefix *p = arena_array(&m->arena, 1, sizeof *p);

	assert_ok(prefix_parse(BYTES_LIT("10.1.0.0/16"), p));
	m->n_routes = 1;
	return p;
}

static const char **one_text(struct command *m, const char *text)
{
	const char **list = arena_array(&m->arena, 1, sizeof *list);

	list[0] = text;
	return list;
}

/* Fills m so that it succeeds in a new world, and says what it must leave. */
static struct expect prepare(struct world *w, struct command *m)
{
	static const struct setting_change changes[] = { { "contacts.security", "sec@example.com", false } };
	static struct attr_change attrs[] = { { 0, "custom:room", "\"12\"", 0 } };
	struct addr *addrs;

	switch (m->kind) {
	case CMD_HEALTH:
	case CMD_USER_LIST:
	case CMD_NODE_LIST:
	case CMD_AUTH_LIST:
	case CMD_IDENTITY_LIST:
	case CMD_SIGNIN_LIST:
	case CMD_AUTHKEY_LIST:
	case CMD_APIKEY_LIST:
	case CMD_POLICY_GET:
	case CMD_POLICY_HISTORY:
	case CMD_SETTINGS_LIST:
	case CMD_WEBHOOK_LIST:
	case CMD_DERPMAP_GET:
	case CMD_SERVICE_LIST:
	case CMD_LOCK_STATUS:
	case CMD_STATS:
	case CMD_PEOPLE:
	case CMD_ME:
	case CMD_PASSKEY_LIST:
	case CMD_WISH_LIST:
		return (struct expect){ READS, NULL, NULL, NULL };
	case CMD_VERIFY:
		m->key = w->laptop.key;
		return (struct expect){ READS, NULL, NULL, NULL };
	case CMD_NODE_GET:
	case CMD_NODE_DEBUG:
		m->id = w->laptop_id;
		return (struct expect){ READS, NULL, NULL, NULL };
	case CMD_NODE_C2N: /* answered when the device has; what it says is no change */
		m->id = w->laptop_id;
		m->text = "/echo";
		m->at_ms = 1000;
		return (struct expect){ READS, NULL, NULL, NULL };
	case CMD_AUTH_GET:
		m->auth_id = w->pending;
		return (struct expect){ READS, NULL, NULL, NULL };
	case CMD_LINK_LOOK:
		m->key_text = w->link;
		return (struct expect){ READS, NULL, NULL, NULL };
	case CMD_ACCOUNT_GET:
		m->user = "ann";
		return (struct expect){ READS, NULL, NULL, NULL };
	case CMD_PASSKEY_FIND:
		m->passkey = &passkey;
		return (struct expect){ READS, NULL, NULL, NULL };
	case CMD_POLICY_CHECK:
	case CMD_POLICY_PREVIEW:
	case CMD_POLICY_FORMAT:
		m->text = policy;
		m->has_text = true;
		return (struct expect){ READS, NULL, NULL, NULL };
	case CMD_POLICY_EXPLAIN:
		m->name = "laptop", m->new_name = "desk:22";
		return (struct expect){ READS, NULL, NULL, NULL };
	case CMD_POLICY_MATCHES:
	case CMD_POLICY_WHAT:
	case CMD_POLICY_GRAPH:
		m->name = "laptop";
		return (struct expect){ READS, NULL, NULL, NULL };
	case CMD_POLICY_WHO:
		m->new_name = "desk:22";
		return (struct expect){ READS, NULL, NULL, NULL };
	case CMD_POLICY_REREAD: /* the core's own, refused to everybody */
	case CMD_POLICY_MATRIX:
		return (struct expect){ READS, NULL, NULL, NULL };
	case CMD_POLICY_SSH:
		m->name = "laptop", m->new_name = "desk", m->user = "root";
		return (struct expect){ READS, NULL, NULL, NULL };
	case CMD_POLICY_DIFF:
		m->id = 1, m->other = 1;
		return (struct expect){ READS, NULL, NULL, NULL };
	case CMD_POLICY_VERSION:
		m->id = 1;
		return (struct expect){ READS, NULL, NULL, NULL };
	case CMD_DRAFT_GET: /* there is none */
		m->author = "ann";
		return (struct expect){ READS, NULL, NULL, NULL };

	case CMD_SIGNIN_CHECK: /* when it was last used */
		m->key_text = w->token;
		return (struct expect){ KEPT_OUT, NULL, NULL, NULL };
	case CMD_APIKEY_LOOK:
		m->id = w->apikey;
		return (struct expect){ READS, NULL, NULL, NULL };
	case CMD_APIKEY_CHECK: /* the same */
		m->key_text = w->client_secret;
		return (struct expect){ KEPT_OUT, NULL, NULL, NULL };
	case CMD_DRAFT_SET:
		m->author = "ann", m->text = "{}", m->base = 1;
		return (struct expect){ KEPT_OUT, NULL, NULL, NULL };
	case CMD_DRAFT_DELETE:
		m->author = "ann";
		return (struct expect){ KEPT_OUT, NULL, NULL, NULL };
	case CMD_WEBHOOK_CURSOR:
		m->id = w->webhook, m->at_ms = 1 << 30;
		return (struct expect){ KEPT_OUT, NULL, NULL, NULL };
	case CMD_WEBHOOK_FORGET: { /* that it was deleted is in the log */
		struct command *gone = by(CMD_WEBHOOK_DELETE);
		gone->id = m->id = w->webhook;
		bool hold = w->h.hold;
		w->h.hold = false;
		harness_command(&w->h, gone);
		w->h.hold = hold;
		return (struct expect){ KEPT_OUT, NULL, NULL, NULL };
	}
	case CMD_IDENTITY_TOKEN: /* a secret between the provider and us */
		m->id = w->identity, m->login = &cleo;
		return (struct expect){ KEPT_OUT, NULL, NULL, NULL };

	case CMD_USER_CREATE:
		m->name = "dora";
		return CHANGE("user", "create");
	case CMD_USER_RENAME:
		m->id = w->bob, m->new_name = "bert";
		return CHANGE("user", "update");
	case CMD_USER_DELETE:
		m->id = w->bob;
		return CHANGE("user", "delete");
	case CMD_USER_ROLE:
		m->id = w->bob, m->role = "auditor";
		return CHANGE("user", "update");
	case CMD_USER_SUSPEND:
		m->id = w->bob;
		return CHANGE("user", "update");
	case CMD_USER_RESTORE: {
		struct command *first = by(CMD_USER_SUSPEND);
		first->id = m->id = w->bob;
		bool hold = w->h.hold;
		w->h.hold = false;
		done(w, first);
		w->h.hold = hold;
		return CHANGE("user", "update");
	}
	case CMD_USER_APPROVE: { /* who signs in for the first time waits */
		struct command *first = by(CMD_SETTINGS_SET);
		bool hold = w->h.hold;
		w->h.hold = false;
		first->name = "users_approval", first->text = "true";
		done(w, first);
		first = by(CMD_LOGIN), first->login = &newcomer, first->expires_ms = w->h.now.wall_ms + HOUR;
		m->id = done(w, first)->users[0].id;
		w->h.hold = hold;
		return CHANGE("user", "update");
	}
	case CMD_NODE_DELETE:
		m->id = w->laptop_id;
		return CHANGE("node", "delete");
	case CMD_NODE_EXPIRE:
		m->id = w->laptop_id;
		return CHANGE("node", "update");
	case CMD_NODE_RENEW:
		m->id = w->laptop_id, m->key_text = w->token;
		w->h.now.wall_ms += 60000;
		return CHANGE_BY("node", "update", "user:ann");
	case CMD_NODE_ENABLE_EXPIRY: {
		struct command *first = by(CMD_NODE_EXPIRE);
		first->id = m->id = w->laptop_id;
		first->disable = true;
		bool hold = w->h.hold;
		w->h.hold = false;
		done(w, first);
		w->h.hold = hold;
		return CHANGE("node", "update");
	}
	case CMD_NODE_RENAME:
		m->id = w->laptop_id, m->new_name = "lap";
		return CHANGE("node", "update");
	case CMD_NODE_TAGS:
		m->id = w->laptop_id, m->tags = one_text(m, "tag:web"), m->n_tags = 1;
		return CHANGE("node", "update");
	case CMD_NODE_APPROVE_ROUTES:
		m->id = w->laptop_id, m->routes = a_route(m);
		return CHANGE("node", "update");
	case CMD_NODE_MOVE:
		m->id = w->laptop_id, m->user = "bob";
		return CHANGE("node", "update");
	case CMD_NODE_APPROVE:
		m->id = w->laptop_id, m->disable = true;
		return CHANGE("node", "update");
	case CMD_NODE_SET_IP:
		addrs = arena_array(&m->arena, 1, sizeof *addrs);
		addrs[0] = addr_v4(100, 64, 7, 7);
		m->id = w->laptop_id, m->addrs = addrs, m->n_addrs = 1;
		return CHANGE("node", "update");
	case CMD_NODE_ATTR_SET:
		m->id = w->laptop_id, m->name = "custom:room", m->text = "12";
		return CHANGE("node", "update");
	case CMD_NODE_ATTR_DELETE:
		m->id = w->laptop_id, m->name = "custom:floor";
		return CHANGE("node", "update");
	case CMD_NODE_ATTRS_PATCH:
		attrs[0].node_id = w->laptop_id;
		m->attr_changes = attrs, m->n_attr_changes = 1;
		return CHANGE("node", "update");
	case CMD_NODE_BACKFILL_IPS: /* the IPv6 range was taken out of the configuration */
		core_tailnet(w->h.core, 1)->set.v6 = (struct prefix){ 0 };
		return CHANGE("node", "update");
	case CMD_AUTH_REGISTER:
		m->auth_id = w->pending, m->user = "ann";
		return CHANGE("node", "create");
	case CMD_AUTH_APPROVE:
		m->auth_id = w->check;
		return CHANGE("ssh", "create");
	case CMD_AUTH_REJECT:
		m->auth_id = w->pending;
		return CHANGE("login", "delete");
	case CMD_AUTH_CONNECT:
		m->auth_id = w->pending, m->key_text = w->token;
		return CHANGE_BY("node", "create", "user:ann");
	case CMD_AUTH_DENY:
		m->auth_id = w->pending, m->key_text = w->token;
		return CHANGE_BY("login", "delete", "user:ann");
	case CMD_LOGIN:
		m->login = &cleo, m->expires_ms = w->h.now.wall_ms + HOUR;
		return CHANGE_BY("signin", "create", "user:cleo");
	case CMD_IDENTITY_LINK:
		m->user = "bob", m->login = &third;
		return CHANGE("identity", "create");
	case CMD_IDENTITY_UNLINK:
		m->id = w->identity;
		return CHANGE("identity", "delete");
	case CMD_IDENTITY_REFRESH:
		m->id = w->identity, m->login = &cleo_moved;
		return CHANGE("identity", "update");
	case CMD_IDENTITY_GONE:
		m->id = w->identity, m->disable = true;
		return CHANGE("identity", "update");
	case CMD_BACK_CHANNEL:
		m->login = &cleo;
		return CHANGE("signin", "delete");
	case CMD_LINK_MAKE:
		m->user = "bob", m->expires_ms = w->h.now.wall_ms + HOUR;
		return CHANGE("signin", "create");
	case CMD_LINK_USE:
		m->key_text = w->link, m->expires_ms = w->h.now.wall_ms + HOUR;
		return CHANGE_BY("signin", "create", "user:ann");
	case CMD_ACCOUNT_SET:
		m->key_text = w->token;
		m->account = (struct account_row){ .password = password2, .totp_step = 101 };
		w->h.now.wall_ms += 1000;
		return CHANGE_BY("account", "update", "user:ann");
	case CMD_ACCOUNT_LOGIN:
		m->account = (struct account_row){ .user_id = w->ann, .password = password1, .totp_step = 101 };
		m->expires_ms = w->h.now.wall_ms + HOUR;
		return CHANGE_BY("signin", "create", "user:ann");
	case CMD_ACCOUNT_DELETE:
		m->user = "ann";
		return CHANGE("account", "delete");
	case CMD_WISH_ADD:
		m->key_text = w->token, m->name = "web on port 80", m->note = "work";
		return CHANGE_BY("wish", "create", "user:ann");
	case CMD_BACKUP_NOTE:
		m->name = "fairlead-20261129-013800.db", m->new_name = "fetch";
		return CHANGE("backup", "fetch");
	case CMD_WISH_DELETE:
		m->id = w->wish;
		return CHANGE("wish", "delete");
	case CMD_PASSKEY_ADD:
		m->key_text = w->token, m->passkey = &other_passkey;
		return CHANGE_BY("passkey", "create", "user:ann");
	case CMD_PASSKEY_LOGIN:
		m->id = w->passkey, m->passkey = &passkey, m->expires_ms = w->h.now.wall_ms + HOUR;
		return CHANGE_BY("signin", "create", "user:ann");
	case CMD_PASSKEY_RENAME:
		m->id = w->passkey, m->key_text = w->token, m->new_name = "blue key";
		return CHANGE_BY("passkey", "update", "user:ann");
	case CMD_PASSKEY_DELETE:
		m->id = w->passkey, m->key_text = w->token;
		return CHANGE_BY("passkey", "delete", "user:ann");
	case CMD_SIGNIN_END:
		m->key_text = w->token;
		return CHANGE_BY("signin", "delete", "user:ann");
	case CMD_AUTHKEY_CREATE:
		m->user = "ann", m->expires_ms = w->h.now.wall_ms + HOUR;
		return CHANGE("authkey", "create");
	case CMD_AUTHKEY_EXPIRE:
		m->id = w->authkey;
		return CHANGE("authkey", "update");
	case CMD_AUTHKEY_DELETE:
		m->id = w->authkey;
		return CHANGE("authkey", "delete");
	case CMD_APIKEY_CREATE:
		m->user = "ann", m->expires_ms = w->h.now.wall_ms + HOUR;
		return CHANGE("apikey", "create");
	case CMD_APIKEY_UPDATE:
		m->id = w->client, m->scopes = "devices:core:read", m->description = "less";
		return CHANGE("apikey", "update");
	case CMD_APIKEY_REVOKE:
	case CMD_APIKEY_EXPIRE:
		m->id = w->apikey;
		return CHANGE("apikey", "update");
	case CMD_APIKEY_DELETE:
		m->id = w->apikey;
		return CHANGE("apikey", "delete");
	case CMD_APIKEY_TOKEN:
		m->key_text = w->client_secret;
		return CHANGE_BY("apikey", "create", "oauthclient:");
	case CMD_POLICY_SET:
		m->text = "{\"acls\": []}";
		return CHANGE("policy", "update");
	case CMD_POLICY_ROLLBACK: {
		struct command *first = by(CMD_POLICY_SET);
		bool hold = w->h.hold;
		w->h.hold = false;
		first->text = "{\"acls\": []}";
		done(w, first);
		w->h.hold = hold;
		m->id = 1;
		return CHANGE("policy", "update");
	}
	case CMD_SETTINGS_SET:
		m->name = "contacts.support", m->text = "us@example.com";
		return CHANGE("setting", "update");
	case CMD_SETTINGS_RESET:
		m->name = "contacts.support";
		return CHANGE("setting", "delete");
	case CMD_SETTINGS_PATCH:
		m->changes = changes, m->n_changes = 1;
		return CHANGE("setting", "create");
	case CMD_DNS_RECORDS:
		m->text = "[{\"name\":\"nas.tail.example.com\",\"type\":\"A\",\"value\":\"192.0.2.1\"}]";
		return CHANGE("setting", "create");
	case CMD_WEBHOOK_CREATE:
		m->text = "https://hooks.example.com/y", m->name = "", m->scopes = "";
		return CHANGE("webhook", "create");
	case CMD_WEBHOOK_UPDATE:
		m->id = w->webhook, m->scopes = "nodeDeleted";
		return CHANGE("webhook", "update");
	case CMD_WEBHOOK_ROTATE:
		m->id = w->webhook;
		return CHANGE("webhook", "update");
	case CMD_WEBHOOK_DELETE:
		m->id = w->webhook;
		return CHANGE("webhook", "delete");
	case CMD_SERVICE_SET:
		m->name = "svc:web", m->note = "now with a comment";
		return CHANGE("service", "update");
	case CMD_SERVICE_DELETE:
		m->name = "svc:web";
		return CHANGE("service", "delete");
	case CMD_SERVICE_APPROVE:
		m->name = "svc:web", m->id = w->laptop_id;
		return CHANGE("service", "update");
	}
	fail_msg("command %d has no line here", (int)m->kind);
	return (struct expect){ 0 };
}

/* ---- the walk ---- */

/* With held commits: each transaction that changes a row has its records. *records: in all. */
static void look_at_batches(const struct harness *h, enum command_kind kind, size_t *records)
{
	*records = 0;
	for (const struct store_batch *b = h->first; b; b = b->next) {
		size_t here = 0;
		for (size_t i = 0; i < b->n; i++)
			here += b->op[i].kind == STORE_PUT_AUDIT;
		*records += here;
		if (b->seq && !here)
			fail_msg("command %d: a transaction without a record", (int)kind);
	}
}

static bool is_as_expected(const struct audit_row *a, const struct expect *x)
{
	return strcmp(a->kind, x->kind) == 0 && strcmp(a->action, x->action) == 0 &&
		strncmp(a->actor, x->actor ? x->actor : "apikey:0123456789ab", strlen(x->actor ? x->actor : "apikey:0123456789ab")) == 0;
}

static void one_command(enum command_kind kind)
{
	static struct world w;
	size_t records = 0;

	/* It counts. */
	new_world(&w);
	struct command *m = by(kind);
	struct expect x = prepare(&w, m);
	size_t before = w.h.n_audits;
	struct reply *r = harness_command(&w.h, m);
	if (x.what == CHANGES && (!r || r->e != OK))
		fail_msg("command %d: %s", (int)kind, r ? r->message : "no answer");
	if (x.what != CHANGES && w.h.n_audits != before)
		fail_msg("command %d left a %s record", (int)kind, w.h.audits[before].kind);
	bool found = false;
	for (size_t i = before; i < w.h.n_audits; i++) {
		const struct audit_row *a = &w.h.audits[i];
		found |= is_as_expected(a, &x);
		assert_true(*a->actor && *a->via && *a->target_id);
		assert_string_equal(a->address, "192.0.2.7");
		assert_int_equal(a->at_ms, w.h.now.wall_ms);
		bool made = strcmp(a->action, "create") == 0, gone = strcmp(a->action, "delete") == 0;
		if ((*a->before == 0) != made || (*a->after == 0) != gone)
			fail_msg("command %d: %s %s has before '%s', after '%s'", (int)kind, a->kind, a->action, a->before, a->after);
	}
	if (x.what == CHANGES && !found) {
		for (size_t i = before; i < w.h.n_audits; i++)
			print_message("%s %s by %s\n", w.h.audits[i].kind, w.h.audits[i].action, w.h.audits[i].actor);
		fail_msg("command %d left no record '%s %s'", (int)kind, x.kind, x.action);
	}
	end_world(&w);

	/* Its transaction fails: nothing is logged. */
	new_world(&w);
	w.h.hold = true;
	m = by(kind);
	x = prepare(&w, m);
	before = w.h.n_audits;
	harness_command(&w.h, m);
	if (x.what == CHANGES) {
		look_at_batches(&w.h, kind, &records);
		if (!records)
			fail_msg("command %d: no record in its transaction", (int)kind);
	}
	harness_fail(&w.h);
	assert_int_equal(w.h.n_audits, before);
	w.h.hold = false;
	end_world(&w);
}

static void every_command_is_in_the_log_or_changes_nothing(void **state)
{
	(void)state;
	for (size_t kind = 0; kind < COMMAND_KINDS; kind++)
		one_command((enum command_kind)kind);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_command_is_in_the_log_or_changes_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
