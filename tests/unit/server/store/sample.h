/* sample: rows with every field set, a folder of one's own, and batches; shared by the tests of server/store. */
#pragma once

#include <stdio.h>
#include <unistd.h>

#include "common/base/cleanup.h"
#include "server/store/store.h"
#include "tests/lib/test.h"

static inline char *dup_str(const char *s)
{
	char *copy = strdup(s);

	assert_non_null(copy);
	return copy;
}

static inline char **dup_list(size_t n, const char *stem)
{
	char **list = calloc(n, sizeof *list);

	assert_non_null(list);
	for (size_t i = 0; i < n; i++)
		assert_true(asprintf(&list[i], "%s%02zu", stem, i) > 0);
	return list;
}

static inline struct user_row sample_user(int64_t id)
{
	struct user_row r = { .id = id, .tailnet_id = 1, .created_ms = 1700000000000 + id,
				.role = USER_AUDITOR, .suspended_ms = 1700000000009, .waits_ms = 1700000000008 };
	char name[32];

	snprintf(name, sizeof name, "user%lld", (long long)id);
	r.name = dup_str(name);
	r.display_name = dup_str("Ann Ümlaut");
	r.email = dup_str("ann@example.com");
	r.picture_url = dup_str("https://example.com/a.png");
	r.provider = dup_str("oidc");
	assert_true(asprintf(&r.provider_id, "https://idp/%lld", (long long)id) > 0);
	return r;
}

static inline struct node_row sample_node(int64_t id, int64_t user_id)
{
	struct test_rng rng = { (uint64_t)id };
	struct node_row r = { .id = id, .tailnet_id = 1, .user_id = user_id };

	rng_fill(&rng, r.machine.b, 32);
	rng_fill(&rng, r.key.b, 32);
	rng_fill(&rng, r.disco.b, 32);
	rng_fill(&rng, r.nl.b, 32);
	r.v4 = (struct addr){ .family = 4, .b = { 100, 64, (uint8_t)(id >> 8), (uint8_t)id } };
	r.v6 = (struct addr){ .family = 6, .b = { 0xfd, 0x7a, [14] = (uint8_t)(id >> 8), (uint8_t)id } };
	r.hostname = dup_str("Ann's laptop");
	assert_true(asprintf(&r.given_name, "laptop-%lld", (long long)id) > 0);
	r.given_name_auto = true;
	r.ephemeral = true;
	r.method = REGISTER_OIDC;
	r.authkey_id = 77;
	r.created_ms = 1700000000001;
	r.expires_ms = 1800000000002;
	r.last_seen_ms = 1700000000003;
	r.was_online = true;
	r.capver = 113;
	r.home_derp = 900;
	r.hostinfo_json = dup_str("{\"OS\":\"linux\"}");
	r.key_sig = (uint8_t *)dup_str("signature");
	r.n_key_sig = 9;
	r.presence = (uint8_t *)dup_str("0001000200030004");
	r.n_presence = 16;
	r.endpoints = calloc(2, sizeof *r.endpoints);
	r.n_endpoints = 2;
	r.endpoints[0] = (struct addrport){ { .family = 4, .b = { 192, 0, 2, 1 } }, 41641 };
	r.endpoints[1] = (struct addrport){ { .family = 6, .b = { 0x20, 1, [15] = 9 } }, 65535 };
	r.tags = dup_list(2, "tag:t");
	r.n_tags = 2;
	r.approved_routes = calloc(2, sizeof *r.approved_routes);
	r.n_approved = 2;
	r.approved_routes[0] = (struct prefix){ { .family = 4, .b = { 10 } }, 8 };
	r.approved_routes[1] = (struct prefix){ { .family = 6 }, 0 };
	r.carried = calloc(1, sizeof *r.carried);
	r.n_carried = 1;
	r.carried[0] = (struct prefix){ { .family = 4, .b = { 10 } }, 8 };
	r.authorized = true;
	r.attrs = calloc(2, sizeof *r.attrs);
	r.n_attrs = 2;
	r.attrs[0] = (struct custom_attr){ dup_str("custom:score"), dup_str("1.5"), 'n', 1700000000004, 1700000000005 };
	r.attrs[1] = (struct custom_attr){ dup_str("custom:tier"), dup_str("göld"), 's', 1700000000006, 0 };
	return r;
}

static inline struct authkey_row sample_authkey(int64_t id, int64_t user_id)
{
	struct authkey_row r = { .id = id, .tailnet_id = 1, .user_id = user_id, .reusable = true, .used = true, .preauthorized = true,
				 .created_ms = 5, .expires_ms = 6, .revoked_ms = 7, .n_tags = 3 };

	snprintf(r.prefix, sizeof r.prefix, "%012llx", (unsigned long long)id);
	memset(r.hash, 0xa5, sizeof r.hash);
	r.description = dup_str("for CI");
	r.tags = dup_list(3, "tag:k");
	return r;
}

static inline struct apikey_row sample_apikey(int64_t id)
{
	struct apikey_row r = { .id = id, .tailnet_id = 1, .created_ms = 1, .expires_ms = 2, .last_seen_ms = 3,
				 .kind = APIKEY_CLIENT, .user_id = 4, .parent_id = 5, .updated_ms = 6, .revoked_ms = 7, .n_tags = 2 };

	r.scopes = dup_str("devices:core dns:read");
	r.description = dup_str("terraform");
	r.tags = dup_list(2, "tag:a");
	snprintf(r.prefix, sizeof r.prefix, "%012llx", (unsigned long long)id);
	memset(r.hash, 0x5a, sizeof r.hash);
	return r;
}

static inline struct pending_row sample_pending(int n)
{
	struct pending_row r = { .tailnet_id = 1, .ephemeral = true, .capver = 113, .created_ms = 1, .expires_ms = 2,
				 .n_request_tags = 1 };

	snprintf(r.auth_id, sizeof r.auth_id, "hskey-authreq-%024x", (unsigned)n);
	memset(r.machine.b, 1, 32);
	memset(r.key.b, 2, 32);
	memset(r.old_key.b, 3, 32);
	memset(r.nl.b, 4, 32);
	r.hostname = dup_str("phone");
	r.os = dup_str("iOS");
	r.remote = dup_str("192.0.2.7");
	r.hostinfo_json = dup_str("{}");
	r.request_tags = dup_list(1, "tag:p");
	return r;
}

static inline struct identity_row sample_identity(int64_t id, int64_t user_id)
{
	struct identity_row r = { .id = id, .tailnet_id = 1, .user_id = user_id, .n_groups = 2, .created_ms = 1, .login_ms = 2,
				  .checked_ms = 3, .gone_ms = 4 };

	r.provider = dup_str("oidc");
	r.issuer = dup_str("https://id.example.com");
	r.subject = dup_str("248289761001");
	r.login = dup_str("ann@example.com");
	r.groups = dup_list(2, "team");
	r.refresh_token = dup_str("again");
	return r;
}

static inline struct signin_row sample_signin(int64_t id, int64_t user_id)
{
	struct signin_row r = { .id = id, .tailnet_id = 1, .user_id = user_id, .identity_id = 6, .kind = SIGNIN_LINK, .created_ms = 1,
				.auth_ms = 2, .expires_ms = 3, .node_expires_ms = 4 };

	memset(r.hash, 0x33, sizeof r.hash);
	r.provider_sid = dup_str("sid");
	r.remote = dup_str("2001:db8::1");
	r.agent = dup_str("Firefox");
	return r;
}

static inline struct store_batch *batch_new(uint64_t seq, uint32_t epoch, size_t n)
{
	struct store_batch *b = calloc(1, sizeof *b + n * sizeof b->op[0]);

	assert_non_null(b);
	b->seq = seq;
	b->epoch = epoch;
	b->n = n;
	return b;
}

static inline struct store_batch *batch_node(uint64_t seq, uint32_t epoch, int64_t id)
{
	struct store_batch *b = batch_new(seq, epoch, 1);

	b->op[0] = (struct store_op){ .kind = STORE_PUT_NODE, .node = sample_node(id, 0) };
	return b;
}

static inline struct store_batch *batch_tailnet(uint64_t seq)
{
	struct store_batch *b = batch_new(seq, 1, 1);

	b->op[0] = (struct store_op){ .kind = STORE_PUT_TAILNET, .tailnet = { 1, dup_str("default") } };
	return b;
}

struct folder {
	char path[64], file[80];
};

static inline struct folder folder_new(void)
{
	struct folder f;

	snprintf(f.path, sizeof f.path, "/tmp/fairlead-store.XXXXXX");
	assert_non_null(mkdtemp(f.path));
	snprintf(f.file, sizeof f.file, "%s/fairlead.db", f.path);
	return f;
}

static inline void folder_free(const struct folder *f)
{
	static const char *const names[] = { "fairlead.db", "fairlead.db-wal", "fairlead.db-shm", "copy.db", "copy.db-wal",
					     "copy.db-shm", "restored.db", "restored.db-wal", "restored.db-shm" };
	char name[160];

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		snprintf(name, sizeof name, "%s/%s", f->path, names[i]);
		unlink(name);
	}
	rmdir(f->path);
}
