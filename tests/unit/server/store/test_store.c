/* The store as the core sees it: batches in, durable sequences out, failures, crashes, backups. */
#include <pthread.h>
#include <signal.h>
#include <sqlite3.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "common/base/clock.h"
#include "tests/unit/server/store/sample.h"

enum { WAIT_S = 20 };

struct watcher {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	uint64_t durable, failed_durable;
	uint32_t epoch;
	unsigned failures, reports;
	bool went_back;
	char why[200];
};

static void on_durable(void *ctx, uint64_t seq)
{
	struct watcher *w = ctx;

	pthread_mutex_lock(&w->lock);
	w->went_back |= seq <= w->durable;
	w->durable = seq;
	w->reports++;
	pthread_cond_broadcast(&w->changed);
	pthread_mutex_unlock(&w->lock);
}

static void on_failed(void *ctx, uint64_t durable_seq, uint32_t new_epoch, const char *why)
{
	struct watcher *w = ctx;

	pthread_mutex_lock(&w->lock);
	w->failed_durable = durable_seq;
	w->epoch = new_epoch;
	w->failures++;
	snprintf(w->why, sizeof w->why, "%s", why);
	pthread_cond_broadcast(&w->changed);
	pthread_mutex_unlock(&w->lock);
}

static void watcher_init(struct watcher *w)
{
	*w = (struct watcher){ .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER };
}

static void wait_for(struct watcher *w, uint64_t durable, unsigned failures)
{
	struct timespec until;
	int rc = 0;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += WAIT_S;
	pthread_mutex_lock(&w->lock);
	while ((w->durable < durable || w->failures < failures) && rc == 0)
		rc = pthread_cond_timedwait(&w->changed, &w->lock, &until);
	pthread_mutex_unlock(&w->lock);
	assert_int_equal(rc, 0);
}

static struct store *open_store(const char *path)
{
	struct store *s = NULL;
	char why[300] = "";
	err e = store_open(path, why, sizeof why, &s);

	if (e != OK)
		print_message("%s\n", why);
	assert_ok(e);
	return s;
}

static struct store *start_store(const char *path, struct watcher *w)
{
	struct store *s = open_store(path);

	watcher_init(w);
	assert_ok(store_start(s, &(struct store_callbacks){ w, on_durable, on_failed }));
	return s;
}

static struct store_image load(const char *path)
{
	struct store *s = open_store(path);
	struct store_image i;

	assert_ok(store_load(s, &i));
	store_stop(s);
	return i;
}

static void assert_same_node(const struct node_row *a, const struct node_row *b)
{
	assert_int_equal(a->id, b->id);
	assert_int_equal(a->tailnet_id, b->tailnet_id);
	assert_int_equal(a->user_id, b->user_id);
	assert_memory_equal(a->machine.b, b->machine.b, 32);
	assert_memory_equal(a->key.b, b->key.b, 32);
	assert_memory_equal(a->disco.b, b->disco.b, 32);
	assert_memory_equal(a->nl.b, b->nl.b, 32);
	assert_memory_equal(&a->v4, &b->v4, sizeof a->v4);
	assert_memory_equal(&a->v6, &b->v6, sizeof a->v6);
	assert_string_equal(a->hostname, b->hostname);
	assert_string_equal(a->given_name, b->given_name);
	assert_int_equal(a->given_name_auto, b->given_name_auto);
	assert_int_equal(a->ephemeral, b->ephemeral);
	assert_int_equal(a->method, b->method);
	assert_int_equal(a->authkey_id, b->authkey_id);
	assert_int_equal(a->created_ms, b->created_ms);
	assert_int_equal(a->expires_ms, b->expires_ms);
	assert_int_equal(a->last_seen_ms, b->last_seen_ms);
	assert_int_equal(a->was_online, b->was_online);
	assert_int_equal(a->capver, b->capver);
	assert_int_equal(a->home_derp, b->home_derp);
	assert_string_equal(a->hostinfo_json, b->hostinfo_json);
	assert_int_equal(a->n_endpoints, b->n_endpoints);
	for (size_t i = 0; i < a->n_endpoints; i++)
		assert_true(addrport_eq(a->endpoints[i], b->endpoints[i]));
	assert_int_equal(a->authorized, b->authorized);
	assert_int_equal(a->n_attrs, b->n_attrs);
	for (size_t i = 0; i < a->n_attrs; i++) {
		assert_string_equal(a->attrs[i].name, b->attrs[i].name);
		assert_string_equal(a->attrs[i].value, b->attrs[i].value);
		assert_int_equal(a->attrs[i].type, b->attrs[i].type);
		assert_int_equal(a->attrs[i].set_ms, b->attrs[i].set_ms);
		assert_int_equal(a->attrs[i].expires_ms, b->attrs[i].expires_ms);
	}
	assert_int_equal(a->n_tags, b->n_tags);
	for (size_t i = 0; i < a->n_tags; i++)
		assert_string_equal(a->tags[i], b->tags[i]);
	assert_int_equal(a->n_approved, b->n_approved);
	assert_int_equal(a->n_carried, b->n_carried);
	for (size_t i = 0; i < a->n_carried; i++)
		assert_memory_equal(&a->carried[i], &b->carried[i], sizeof a->carried[i]);
	assert_int_equal(a->n_key_sig, b->n_key_sig);
	assert_memory_equal(a->key_sig, b->key_sig, a->n_key_sig);
	assert_int_equal(a->n_presence, b->n_presence);
	assert_memory_equal(a->presence, b->presence, a->n_presence);
	for (size_t i = 0; i < a->n_approved; i++)
		assert_memory_equal(&a->approved_routes[i], &b->approved_routes[i], sizeof a->approved_routes[i]);
}

static void every_row_comes_back(void **state)
{
	(void)state;
	struct folder f = folder_new();
	struct watcher w;
	struct store *s = start_store(f.file, &w);
	struct store_batch *b = batch_new(1, 1, 27);
	size_t at = 0;

	b->op[at++] = (struct store_op){ .kind = STORE_PUT_TAILNET, .tailnet = { 1, dup_str("default") } };
	b->op[at++] = (struct store_op){ .kind = STORE_PUT_USER, .user = sample_user(4) };
	b->op[at++] = (struct store_op){ .kind = STORE_PUT_NODE, .node = sample_node(9, 4) };
	b->op[at++] = (struct store_op){ .kind = STORE_PUT_NODE,
					 .node = { .id = 10, .tailnet_id = 1, .given_name = dup_str("bare") } };
	b->op[at++] = (struct store_op){ .kind = STORE_PUT_AUTHKEY, .authkey = sample_authkey(2, 4) };
	b->op[at++] = (struct store_op){ .kind = STORE_PUT_APIKEY, .apikey = sample_apikey(3) };
	b->op[at++] = (struct store_op){ .kind = STORE_PUT_PENDING, .pending = sample_pending(5) };
	b->op[at++] = (struct store_op){ .kind = STORE_PUT_IDENTITY, .identity = sample_identity(6, 4) };
	b->op[at++] = (struct store_op){ .kind = STORE_PUT_ACCOUNT, .account = { .id = 12, .tailnet_id = 1, .user_id = 4,
		.password = dup_str("$argon2id$"), .totp = { 1, [19] = 20 }, .totp_step = 55, .created_ms = 1, .changed_ms = 2 } };
	b->op[at++] = (struct store_op){ .kind = STORE_PUT_PASSKEY, .passkey = { .id = 15, .tailnet_id = 1, .user_id = 4,
		.credential = (uint8_t *)dup_str("cred"), .n_credential = 4, .cose = (uint8_t *)dup_str("cose key"), .n_cose = 8, .sign_count = 4294967295,
		.name = dup_str("laptop"), .synced = true, .created_ms = 5, .used_ms = 6 } };
	b->op[at++] = (struct store_op){ .kind = STORE_DEL_PASSKEY, .passkey = { .id = 16 } };
	b->op[at++] = (struct store_op){ .kind = STORE_PUT_WISH, .wish = { .id = 18, .tailnet_id = 1, .user_id = 4, .what = dup_str("web"), .why = dup_str("work"),
		.created_ms = 7 } };
	b->op[at++] = (struct store_op){ .kind = STORE_DEL_WISH, .wish = { .id = 19 } };
	b->op[at++] = (struct store_op){ .kind = STORE_DEL_ACCOUNT, .account = { .id = 13 } };
	b->op[at++] = (struct store_op){ .kind = STORE_PUT_SIGNIN, .signin = sample_signin(7, 4) };
	b->op[at++] = (struct store_op){ .kind = STORE_DEL_SIGNIN, .signin = { .id = 8 } };
	b->op[at++] = (struct store_op){ .kind = STORE_DEL_IDENTITY, .identity = { .id = 8 } };
	b->op[at++] = (struct store_op){ .kind = STORE_PUT_SERVICE,
					 .service = { .id = 14, .tailnet_id = 1, .name = dup_str("svc:web"), .v4 = { 4, { 100, 64, 9, 9 } },
						      .annotations = dup_str("{}"), .ports = dup_list(1, "tcp:443"), .n_ports = 1,
						      .hosts = dup_list(1, "9"), .n_hosts = 1, .created_ms = 6 } };
	b->op[at++] = (struct store_op){ .kind = STORE_PUT_LOCK_AUM,
					 .lock_aum = { .hash = { 3 }, .tailnet_id = 1, .id = 12, .raw = (uint8_t *)dup_str("cbor"), .n_raw = 4 } };
	b->op[at++] = (struct store_op){ .kind = STORE_PUT_SSH_APPROVAL,
					 .ssh_approval = { .pair = { 9, 10 }, .tailnet_id = 1, .user_id = 4, .approved_ms = 77 } };
	b->op[at++] = (struct store_op){ .kind = STORE_PUT_POLICY, .policy = { .id = 1, .tailnet_id = 1, .version = 1, .text = dup_str("old") } };
	b->op[at++] = (struct store_op){ .kind = STORE_PUT_POLICY, .policy = { 2, 1, dup_str("new"), dup_str("cli"), dup_str("n"), 8, 2 } };
	b->op[at++] = (struct store_op){ .kind = STORE_PUT_POLICY, .policy = { .id = 3, .tailnet_id = 1, .version = 3, .text = dup_str("gone") } };
	b->op[at++] = (struct store_op){ .kind = STORE_DEL_POLICY, .policy = { .id = 3 } };
	b->op[at++] = (struct store_op){ .kind = STORE_PUT_SETTING, .setting = { 0, dup_str("next_id"), dup_str("11") } };
	b->op[at++] = (struct store_op){ .kind = STORE_PUT_SETTING, .setting = { 0, dup_str("gone"), NULL } };
	b->op[at++] = (struct store_op){ .kind = STORE_PUT_SERVER_KEY, .server_key = { dup_str("noise"), calloc(1, 32), 32 } };
	assert_int_equal(at, b->n);
	store_submit(s, b);
	wait_for(&w, 1, 0);
	store_stop(s);

	struct store_image i = load(f.file);
	struct node_row want = sample_node(9, 4);
	struct user_row user = sample_user(4);
	struct authkey_row key = sample_authkey(2, 4);
	struct pending_row pending = sample_pending(5);
	assert_int_equal(i.n_tailnets, 1);
	assert_string_equal(i.tailnets[0].name, "default");
	assert_int_equal(i.n_users, 1);
	assert_string_equal(i.users[0].name, user.name);
	assert_string_equal(i.users[0].display_name, user.display_name);
	assert_string_equal(i.users[0].email, user.email);
	assert_string_equal(i.users[0].picture_url, user.picture_url);
	assert_string_equal(i.users[0].provider_id, user.provider_id);
	assert_int_equal(i.users[0].role, USER_AUDITOR);
	assert_int_equal(i.users[0].suspended_ms, 1700000000009);
	assert_int_equal(i.users[0].waits_ms, 1700000000008);
	assert_int_equal(i.users[0].created_ms, user.created_ms);
	assert_int_equal(i.n_nodes, 2);
	assert_same_node(&i.nodes[0], &want);
	assert_int_equal(i.nodes[1].user_id, 0);
	assert_int_equal(i.nodes[1].v4.family, 0);
	assert_int_equal(i.nodes[1].n_endpoints, 0);
	assert_true(disco_pub_is_zero(&i.nodes[1].disco));
	assert_string_equal(i.nodes[1].hostname, "");
	assert_int_equal(i.n_authkeys, 1);
	assert_string_equal(i.authkeys[0].prefix, key.prefix);
	assert_memory_equal(i.authkeys[0].hash, key.hash, 32);
	assert_true(i.authkeys[0].reusable && i.authkeys[0].used && i.authkeys[0].preauthorized && !i.authkeys[0].ephemeral);
	assert_int_equal(i.authkeys[0].revoked_ms, 7);
	assert_int_equal(i.authkeys[0].n_tags, 3);
	assert_string_equal(i.authkeys[0].tags[2], "tag:k02");
	assert_string_equal(i.authkeys[0].description, "for CI");
	assert_int_equal(i.n_apikeys, 1);
	assert_int_equal(i.apikeys[0].last_seen_ms, 3);
	assert_int_equal(i.apikeys[0].kind, APIKEY_CLIENT);
	assert_string_equal(i.apikeys[0].scopes, "devices:core dns:read");
	assert_int_equal(i.apikeys[0].n_tags, 2);
	assert_string_equal(i.apikeys[0].description, "terraform");
	assert_int_equal(i.apikeys[0].user_id + i.apikeys[0].parent_id + i.apikeys[0].updated_ms + i.apikeys[0].revoked_ms, 22);
	assert_int_equal(i.n_pendings, 1);
	assert_string_equal(i.pendings[0].auth_id, pending.auth_id);
	assert_memory_equal(i.pendings[0].old_key.b, pending.old_key.b, 32);
	assert_string_equal(i.pendings[0].os, "iOS");
	assert_string_equal(i.pendings[0].remote, "192.0.2.7");
	assert_int_equal(i.n_identities, 1);
	assert_int_equal(i.identities[0].user_id, 4);
	assert_string_equal(i.identities[0].provider, "oidc");
	assert_string_equal(i.identities[0].issuer, "https://id.example.com");
	assert_string_equal(i.identities[0].subject, "248289761001");
	assert_string_equal(i.identities[0].login, "ann@example.com");
	assert_int_equal(i.identities[0].n_groups, 2);
	assert_string_equal(i.identities[0].groups[1], "team01");
	assert_string_equal(i.identities[0].refresh_token, "again");
	assert_int_equal(i.identities[0].login_ms, 2);
	assert_int_equal(i.identities[0].checked_ms, 3);
	assert_int_equal(i.identities[0].gone_ms, 4);
	assert_int_equal(i.n_accounts, 1);
	assert_int_equal(i.accounts[0].user_id, 4);
	assert_string_equal(i.accounts[0].password, "$argon2id$");
	assert_int_equal(i.accounts[0].totp[19], 20);
	assert_int_equal(i.accounts[0].totp_step, 55);
	assert_int_equal(i.accounts[0].changed_ms, 2);
	assert_int_equal(i.n_wishes, 1);
	assert_int_equal(i.wishes[0].user_id, 4);
	assert_string_equal(i.wishes[0].what, "web");
	assert_string_equal(i.wishes[0].why, "work");
	assert_int_equal(i.wishes[0].created_ms, 7);
	assert_int_equal(i.n_passkeys, 1);
	assert_int_equal(i.passkeys[0].user_id, 4);
	assert_int_equal(i.passkeys[0].n_credential, 4);
	assert_memory_equal(i.passkeys[0].credential, "cred", 4);
	assert_memory_equal(i.passkeys[0].cose, "cose key", 8);
	assert_int_equal(i.passkeys[0].sign_count, 4294967295);
	assert_string_equal(i.passkeys[0].name, "laptop");
	assert_true(i.passkeys[0].synced);
	assert_int_equal(i.passkeys[0].created_ms + i.passkeys[0].used_ms, 11);
	assert_int_equal(i.n_signins, 1);
	assert_int_equal(i.signins[0].identity_id, 6);
	assert_int_equal(i.signins[0].kind, SIGNIN_LINK);
	assert_int_equal(i.signins[0].hash[31], 0x33);
	assert_string_equal(i.signins[0].provider_sid, "sid");
	assert_string_equal(i.signins[0].remote, "2001:db8::1");
	assert_string_equal(i.signins[0].agent, "Firefox");
	assert_int_equal(i.signins[0].auth_ms, 2);
	assert_int_equal(i.signins[0].expires_ms, 3);
	assert_int_equal(i.signins[0].node_expires_ms, 4);
	assert_int_equal(i.n_services, 1);
	assert_string_equal(i.services[0].name, "svc:web");
	assert_int_equal(i.services[0].v4.b[3], 9);
	assert_int_equal(i.services[0].v6.family, 0);
	assert_int_equal(i.services[0].n_ports, 1);
	assert_int_equal(i.services[0].n_hosts, 1);
	assert_int_equal(i.services[0].created_ms, 6);
	assert_int_equal(i.n_lock_aums, 1);
	assert_int_equal(i.lock_aums[0].hash[0], 3);
	assert_int_equal(i.lock_aums[0].n_raw, 4);
	assert_memory_equal(i.lock_aums[0].raw, "cbor", 4);
	assert_int_equal(i.n_ssh_approvals, 1);
	assert_int_equal(i.ssh_approvals[0].pair.dst, 10);
	assert_int_equal(i.ssh_approvals[0].user_id, 4);
	assert_int_equal(i.ssh_approvals[0].approved_ms, 77);
	assert_int_equal(i.n_policies, 2);
	assert_string_equal(i.policies[0].text, "old");
	assert_int_equal(i.policies[0].version, 1);
	assert_string_equal(i.policies[1].text, "new");
	assert_string_equal(i.policies[1].author, "cli");
	assert_int_equal(i.policies[1].version, 2);
	assert_int_equal(i.n_settings, 1);
	assert_string_equal(i.settings[0].value, "11");
	assert_int_equal(i.n_server_keys, 1);
	assert_int_equal(i.server_keys[0].n, 32);
	node_row_done(&want);
	user_row_done(&user);
	authkey_row_done(&key);
	pending_row_done(&pending);
	store_image_done(&i);
	folder_free(&f);
}

static void put_changes_and_del_removes(void **state)
{
	(void)state;
	struct folder f = folder_new();
	struct watcher w;
	struct store *s = start_store(f.file, &w);
	uint64_t seq = 0;

	store_submit(s, batch_tailnet(++seq));
	for (int64_t id = 1; id <= 3; id++)
		store_submit(s, batch_node(++seq, 1, id));
	struct store_batch *b = batch_node(++seq, 1, 1);
	free(b->op[0].node.given_name);
	b->op[0].node.given_name = dup_str("renamed");
	store_submit(s, b);
	b = batch_node(0, 1, 2); /* lazy: only the lazy columns may change */
	b->op[0].kind = STORE_NODE_SEEN;
	b->op[0].node.given_name[0] = 'X';
	b->op[0].node.last_seen_ms = 4711;
	b->op[0].node.n_endpoints = 1;
	b->op[0].node.n_presence = 8;
	store_submit(s, b);
	b = batch_node(++seq, 1, 3);
	b->op[0].kind = STORE_DEL_NODE;
	store_submit(s, b);
	store_stop(s); /* writes what was submitted */
	assert_int_equal(w.durable, seq);

	struct store_image i = load(f.file);
	assert_int_equal(i.n_nodes, 2);
	assert_string_equal(i.nodes[0].given_name, "renamed");
	assert_string_equal(i.nodes[1].given_name, "laptop-2");
	assert_int_equal(i.nodes[1].last_seen_ms, 4711);
	assert_int_equal(i.nodes[1].n_endpoints, 1);
	assert_int_equal(i.nodes[1].n_presence, 8);
	store_image_done(&i);
	folder_free(&f);
}

static void what_waits_shares_a_commit(void **state)
{
	(void)state;
	enum { N = 2000 };
	struct folder f = folder_new();
	struct watcher w;
	struct store *s = open_store(f.file);

	watcher_init(&w);
	store_submit(s, batch_tailnet(1));
	for (int i = 2; i <= N; i++)
		store_submit(s, batch_node((uint64_t)i, 1, i));
	assert_ok(store_start(s, &(struct store_callbacks){ &w, on_durable, on_failed }));
	wait_for(&w, N, 0);
	struct store_stats st;
	store_stats(s, &st);
	assert_int_equal(w.reports, 1);
	assert_int_equal(st.commits, 1);
	assert_int_equal(st.ops, N);
	assert_int_equal(st.queued, 0);
	store_stop(s);
	folder_free(&f);
}

static void single_commits_are_fast_enough(void **state)
{
	(void)state;
	enum { N = 200 };
	struct folder f = folder_new();
	struct watcher w;
	struct store *s = start_store(f.file, &w);

	store_submit(s, batch_tailnet(1));
	wait_for(&w, 1, 0);
	int64_t start_us = clock_mono_us();
	for (uint64_t i = 2; i <= N + 1; i++) {
		store_submit(s, batch_node(i, 1, (int64_t)i));
		wait_for(&w, i, 0);
	}
	int64_t took_us = MAX_OF(clock_mono_us() - start_us, 1);
	print_message("%d durable commits one after the other: %lld/s\n", N, (long long)(N * 1000000LL / took_us));
	assert_false(w.went_back);
	store_stop(s);
	folder_free(&f);
}

static void a_failure_drops_its_epoch(void **state)
{
	static const int codes[] = { SQLITE_FULL, SQLITE_IOERR };
	(void)state;

	for (size_t c = 0; c < ARRAY_LEN(codes); c++) {
		struct folder f = folder_new();
		struct watcher w;
		struct store *s = start_store(f.file, &w);

		store_submit(s, batch_tailnet(1));
		store_submit(s, batch_node(2, 1, 1));
		wait_for(&w, 2, 0);
		store_fail_next(s, 1, codes[c]);
		store_submit(s, batch_node(3, 1, 2));
		wait_for(&w, 0, 1);
		assert_int_equal(w.failed_durable, 2);
		assert_int_equal(w.epoch, 2);
		assert_true(strlen(w.why) > 0);
		store_submit(s, batch_node(4, 1, 3)); /* still of the old epoch: dropped, and not reported again */
		store_submit(s, batch_node(3, 2, 4)); /* the sequence goes on from what is durable */
		wait_for(&w, 3, 1);
		store_stop(s);
		assert_int_equal(w.failures, 1);

		struct store_image i = load(f.file);
		assert_int_equal(i.n_nodes, 2);
		assert_int_equal(i.nodes[0].id, 1);
		assert_int_equal(i.nodes[1].id, 4);
		store_image_done(&i);
		folder_free(&f);
	}
}

static void a_batch_is_all_or_nothing(void **state)
{
	(void)state;
	struct folder f = folder_new();
	struct watcher w;
	struct store *s = start_store(f.file, &w);

	store_submit(s, batch_tailnet(1));
	wait_for(&w, 1, 0);
	struct store_batch *b = batch_new(2, 1, 2);
	b->op[0] = (struct store_op){ .kind = STORE_PUT_NODE, .node = sample_node(1, 0) };
	b->op[1] = (struct store_op){ .kind = STORE_PUT_NODE, .node = sample_node(2, 99) }; /* no such user */
	store_submit(s, b);
	wait_for(&w, 0, 1);
	assert_int_equal(w.failed_durable, 1);
	assert_non_null(strstr(w.why, "FOREIGN KEY"));
	store_stop(s);
	struct store_image i = load(f.file);
	assert_int_equal(i.n_nodes, 0);
	store_image_done(&i);
	folder_free(&f);
}

/* The kernel refuses to let any file grow: writes of the log fail as they do on a broken disk. In a child, because the
 * limit is the whole process's. */
static void real_write_errors_are_survived(void **state)
{
	(void)state;
	struct folder f = folder_new();
	pid_t child = fork();

	assert_true(child >= 0);
	if (child == 0) {
		struct watcher w;
		struct store *s = start_store(f.file, &w);
		struct rlimit all, little = { 0 };
		store_submit(s, batch_tailnet(1));
		for (uint64_t i = 2; i <= 40; i++)
			store_submit(s, batch_node(i, 1, (int64_t)i));
		wait_for(&w, 40, 0);
		signal(SIGXFSZ, SIG_IGN);
		getrlimit(RLIMIT_FSIZE, &all);
		little = all;
		little.rlim_cur = 4096;
		setrlimit(RLIMIT_FSIZE, &little);
		for (uint64_t i = 41; i <= 60; i++)
			store_submit(s, batch_node(i, 1, (int64_t)i));
		usleep(300000); /* nothing may be reported while the disk says no */
		bool silent = w.failures == 0 && w.durable == 40;
		setrlimit(RLIMIT_FSIZE, &all);
		wait_for(&w, 0, 1);
		bool right = w.failed_durable == 40 && w.epoch == 2;
		store_submit(s, batch_node(41, 2, 1000));
		wait_for(&w, 41, 1);
		store_stop(s);
		_exit(silent && right ? 0 : 1);
	}
	int status = -1;
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	struct store_image i = load(f.file);
	assert_int_equal(i.n_nodes, 40);
	assert_int_equal(i.nodes[39].id, 1000);
	store_image_done(&i);
	folder_free(&f);
}

/* A child commits and tells each durable sequence through a pipe until it is killed: what it told must be there. */
static void what_was_reported_survives_a_kill(void **state)
{
	(void)state;
	for (int round = 0; round < 3; round++) {
		struct folder f = folder_new();
		int tell[2];
		assert_int_equal(pipe(tell), 0);
		pid_t child = fork();
		assert_true(child >= 0);
		if (child == 0) {
			struct watcher w;
			struct store *s = start_store(f.file, &w);
			store_submit(s, batch_tailnet(1));
			for (uint64_t seq = 2;; seq++) {
				store_submit(s, batch_node(seq, 1, (int64_t)seq));
				if (seq % 5 == 0) {
					wait_for(&w, seq, 0);
					if (write(tell[1], &w.durable, sizeof w.durable) < 0)
						_exit(1);
				}
			}
		}
		close(tell[1]);
		uint64_t told = 0, last = 0;
		for (int i = 0; i < 10 + round * 7 && read(tell[0], &told, sizeof told) == sizeof told; i++)
			last = told;
		kill(child, SIGKILL);
		while (read(tell[0], &told, sizeof told) == sizeof told)
			last = told;
		waitpid(child, NULL, 0);
		close(tell[0]);
		struct store_image i = load(f.file);
		assert_true(last >= 50);
		assert_true(i.n_nodes + 1 >= last);
		for (size_t n = 0; n < i.n_nodes; n++)
			assert_int_equal(i.nodes[n].id, n + 2); /* and nothing is missing in between */
		store_image_done(&i);
		folder_free(&f);
	}
}

static void copy_file(const char *from, const char *to)
{
	size_t n;
	char *data = test_read_file(from, &n);
	FILE *out = fopen(to, "we");

	assert_non_null(data);
	assert_non_null(out);
	assert_int_equal(fwrite(data, 1, n, out), n);
	fclose(out);
	free(data);
}

static void a_backup_can_be_verified(void **state)
{
	char copy[160], odd[160], why[200];
	(void)state;

	char folder[] = "/tmp/fairlead-verify-XXXXXX";
	assert_non_null(mkdtemp(folder));
	snprintf(odd, sizeof odd, "%s/a?b#c%%20.db", folder); /* SQLite's URIs give these signs a meaning */
	snprintf(copy, sizeof copy, "%s/copy.db", folder);
	struct store *s;
	assert_ok(store_open(odd, why, sizeof why, &s));
	assert_ok(store_backup(s, copy, why, sizeof why));
	assert_int_equal(store_verify_backup(copy, why, sizeof why), ERR_INVALID); /* no server ever started from this: it has no keys */
	uint8_t key[32] = { 1 };
	assert_ok(store_put_server_key(s, "noise", bytes_of(key, sizeof key)));
	assert_int_equal(unlink(copy), 0);
	assert_ok(store_backup(s, copy, why, sizeof why));
	store_stop(s);
	assert_ok(store_verify_backup(copy, why, sizeof why));
	assert_ok(store_verify_backup(odd, why, sizeof why));

	/* Cut, overwritten in the middle, another program's, no file: each is told. */
	FILE *f = fopen(copy, "r+");
	assert_non_null(f);
	assert_int_equal(fseek(f, 5000, SEEK_SET), 0);
	for (int i = 0; i < 20000; i++)
		fputc(0x5a, f);
	fclose(f);
	assert_int_equal(store_verify_backup(copy, why, sizeof why), ERR_INVALID);
	assert_int_equal(truncate(copy, 3000), 0);
	assert_int_equal(store_verify_backup(copy, why, sizeof why), ERR_INVALID);
	assert_int_equal(truncate(copy, 0), 0);
	assert_int_equal(store_verify_backup(copy, why, sizeof why), ERR_INVALID);
	assert_int_equal(unlink(copy), 0);
	assert_int_equal(store_verify_backup(copy, why, sizeof why), ERR_INVALID);
	assert_true(strlen(why) > 0);
	unlink(odd);
	assert_int_equal(rmdir(folder), 0);
}

static void a_backup_is_a_whole_server(void **state)
{
	(void)state;
	struct folder f = folder_new();
	struct watcher w;
	struct store *s = start_store(f.file, &w);
	char copy[160], restored[160], why[300];
	struct stat st;

	snprintf(copy, sizeof copy, "%s/copy.db", f.path);
	snprintf(restored, sizeof restored, "%s/restored.db", f.path);
	store_submit(s, batch_tailnet(1));
	for (uint64_t i = 2; i <= 1500; i++)
		store_submit(s, batch_node(i, 1, (int64_t)i));
	wait_for(&w, 1500, 0);
	for (uint64_t i = 1501; i <= 3000; i++) /* these commit beside the backup */
		store_submit(s, batch_node(i, 1, (int64_t)i));
	assert_ok(store_backup(s, copy, why, sizeof why));
	assert_int_equal(stat(copy, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(store_backup(s, copy, why, sizeof why), ERR_EXISTS);
	assert_non_null(strstr(why, "already"));
	wait_for(&w, 3000, 0);
	store_stop(s);

	copy_file(copy, restored);
	struct store_image i = load(restored);
	assert_true(i.n_nodes >= 1499);
	for (size_t n = 0; n < i.n_nodes; n++)
		assert_int_equal(i.nodes[n].id, n + 2);
	store_image_done(&i);
	folder_free(&f);
}

static void the_log_moves_when_it_is_quiet(void **state)
{
	(void)state;
	struct folder f = folder_new();
	struct watcher w;
	struct store *s = start_store(f.file, &w);
	struct stat st;
	off_t before, after = 0;

	stat(f.file, &st);
	before = st.st_size;
	store_submit(s, batch_tailnet(1));
	for (uint64_t i = 2; i <= 300; i++)
		store_submit(s, batch_node(i, 1, (int64_t)i));
	wait_for(&w, 300, 0);
	for (int i = 0; i < 100 && after <= before; i++) {
		usleep(50000);
		stat(f.file, &st);
		after = st.st_size;
	}
	assert_true(after > before);
	store_stop(s);
	folder_free(&f);
}

static mode_t mode_of(const char *path, const char *suffix)
{
	char name[160];
	struct stat st;

	snprintf(name, sizeof name, "%s%s", path, suffix);
	assert_int_equal(stat(name, &st), 0);
	return st.st_mode & 0777;
}

static void files_are_the_owners_only(void **state)
{
	(void)state;
	struct folder f = folder_new();
	struct watcher w;
	mode_t old = umask(0);
	struct store *s = start_store(f.file, &w);

	store_submit(s, batch_tailnet(1));
	wait_for(&w, 1, 0);
	assert_int_equal(mode_of(f.file, ""), 0600);
	assert_int_equal(mode_of(f.file, "-wal"), 0600);
	assert_int_equal(mode_of(f.file, "-shm"), 0600);
	store_stop(s);
	umask(old);
	folder_free(&f);
}

static void a_second_server_is_kept_out(void **state)
{
	(void)state;
	struct folder f = folder_new();
	struct store *s = open_store(f.file), *second = NULL;
	char why[300];

	assert_int_equal(store_open(f.file, why, sizeof why, &second), ERR_BUSY);
	assert_null(second);
	assert_non_null(strstr(why, "another server"));
	store_stop(s);
	folder_free(&f);
}

static void bad_places_are_named(void **state)
{
	(void)state;
	struct store *s = NULL;
	char why[300];

	assert_int_equal(store_open("/nonexistent/folder/x.db", why, sizeof why, &s), ERR_SYS);
	assert_non_null(strstr(why, "/nonexistent/folder/x.db"));
	assert_non_null(strstr(why, "No such file"));
	assert_int_equal(store_open("/tmp", why, sizeof why, &s), ERR_SYS);
	assert_int_equal(store_open("/dev/null", why, sizeof why, &s), ERR_INVALID);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_row_comes_back),
		cmocka_unit_test(put_changes_and_del_removes),
		cmocka_unit_test(what_waits_shares_a_commit),
		cmocka_unit_test(single_commits_are_fast_enough),
		cmocka_unit_test(a_failure_drops_its_epoch),
		cmocka_unit_test(a_batch_is_all_or_nothing),
		cmocka_unit_test(real_write_errors_are_survived),
		cmocka_unit_test(what_was_reported_survives_a_kill),
		cmocka_unit_test(a_backup_is_a_whole_server),
		cmocka_unit_test(a_backup_can_be_verified),
		cmocka_unit_test(the_log_moves_when_it_is_quiet),
		cmocka_unit_test(files_are_the_owners_only),
		cmocka_unit_test(a_second_server_is_kept_out),
		cmocka_unit_test(bad_places_are_named),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
