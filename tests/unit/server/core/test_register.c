#include <stdio.h>

#include "server/core/state.h"
#include "tests/lib/core_harness.h"
#include "tests/lib/test.h"

static const char *error_of(json_t *resp)
{
	const char *s = resp ? json_string_value(json_object_get(resp, "Error")) : NULL;

	return s ? s : "";
}

static bool flag(json_t *resp, const char *key)
{
	return json_is_true(json_object_get(resp, key));
}

static void key_joins_once(void **state)
{
	struct harness h;
	struct device a, b;

	(void)state;
	harness_start(&h, NULL);
	harness_user(&h, "ann");
	const char *key = harness_authkey(&h, "ann", 0);
	device_init(&a, &h, "laptop");
	device_init(&b, &h, "laptop");
	json_t *r = device_register(&a, key);
	assert_non_null(r);
	assert_string_equal(error_of(r), "");
	assert_true(flag(r, "MachineAuthorized"));
	assert_string_equal(json_string_value(json_object_get(json_object_get(r, "Login"), "LoginName")), "ann");
	/* The same node asks again with the used key: nothing is consumed. */
	r = device_register(&a, key);
	assert_string_equal(error_of(r), "");
	assert_non_null(strstr(error_of(device_register(&b, key)), "already used"));
	assert_non_null(strstr(error_of(device_register(&b, "hskey-auth-000000000000-"
			"0000000000000000000000000000000000000000000000000000000000000000")), "auth key not found"));
	assert_non_null(strstr(error_of(device_register(&b, "nonsense")), "auth key not found"));
	device_done(&a);
	device_done(&b);
	harness_stop(&h);
}


static const char *auth_url(json_t *resp)
{
	const char *s = resp ? json_string_value(json_object_get(resp, "AuthURL")) : NULL;

	return s ? s : "";
}

static const char *auth_id(const char *url)
{
	const char *s = strrchr(url, '/');

	return s ? s + 1 : "";
}

static struct reply *admit(struct harness *h, const char *id, const char *user)
{
	struct command *m = command_new(CMD_AUTH_REGISTER);

	m->auth_id = arena_str(&m->arena, bytes_str(id));
	m->user = arena_str(&m->arena, bytes_str(user));
	return harness_command(h, m);
}

static void revoked_and_expired_keys(void **state)
{
	struct harness h;
	struct device a;

	(void)state;
	harness_start(&h, NULL);
	harness_user(&h, "ann");
	const char *key = harness_authkey(&h, "ann", AK_REUSABLE);
	struct command *m = command_new(CMD_AUTHKEY_EXPIRE);
	m->key_text = arena_str(&m->arena, bytes_str(key));
	assert_ok(harness_command(&h, m)->e);
	device_init(&a, &h, "a");
	assert_non_null(strstr(error_of(device_register(&a, key)), "expired"));
	m = command_new(CMD_AUTHKEY_CREATE);
	m->user = "ann";
	m->expires_ms = h.now.wall_ms + 1000;
	struct reply *r = harness_command(&h, m);
	assert_ok(r->e);
	char text[128];
	snprintf(text, sizeof text, "%s", r->secret);
	harness_step(&h, 2000);
	assert_non_null(strstr(error_of(device_register(&a, text)), "expired"));
	a.version = 90;
	assert_non_null(strstr(error_of(device_register(&a, text)), "too old"));
	device_done(&a);
	harness_stop(&h);
}

static void stolen_node_key_is_refused_everywhere(void **state)
{
	struct harness h;
	struct device a, thief;

	(void)state;
	harness_start(&h, NULL);
	harness_user(&h, "ann");
	const char *key = harness_authkey(&h, "ann", AK_REUSABLE);
	device_init(&a, &h, "a");
	device_join(&a, key);
	device_init(&thief, &h, "thief");
	thief.key = a.key;
	device_register(&thief, key);
	assert_int_equal(thief.status, 401);
	device_logout(&thief);
	assert_int_equal(thief.status, 401);
	device_followup(&thief, "https://vpn.example.com/register/hskey-authreq-000000000000000000000000");
	assert_int_equal(thief.status, 401);
	device_lite(&thief);
	assert_int_equal(thief.status, 401);
	device_stream(&thief);
	assert_int_equal(thief.stream->refused, 401);
	assert_null(device_next(&thief));
	char body[200], k[KEY_TEXT_MAX];
	snprintf(body, sizeof body, "{\"NodeKey\":\"%s\",\"Version\":130,\"Feature\":\"funnel\"}", node_pub_text(&a.key, k));
	static const char *const paths[] = { "/machine/set-dns", "/machine/update-health", "/machine/set-device-attr", "/machine/audit-log",
		"/machine/id-token", "/machine/feature/query", "/machine/tka/sync/offer", "/machine/whoami", "/machine/nothing" };
	for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++)
		assert_int_equal(device_request(&thief, paths[i], body), 401);
	assert_int_equal(device_request(&a, "/machine/update-health", body), 204);
	assert_int_equal(device_request(&a, "/machine/id-token", body), 400); /* no audience */
	assert_int_equal(device_request(&a, "/machine/tka/sync/offer", body), 404);
	assert_int_equal(device_request(&a, "/machine/feature/query", body), 200);
	assert_non_null(json_object_get(a.resp, "Text"));
	assert_int_equal(device_request(&a, "/machine/nothing", body), 404);
	/* An OldNodeKey of another machine rotates nothing. */
	device_new_key(&thief);
	device_register(&thief, key);
	assert_int_not_equal(device_node_id(&thief), device_node_id(&a));
	assert_int_not_equal(device_node_id(&a), 0);
	device_done(&a);
	device_done(&thief);
	harness_stop(&h);
}

static void login_by_a_person(void **state)
{
	struct harness h;
	struct device a;
	char url[200];

	(void)state;
	harness_start(&h, NULL);
	harness_user(&h, "ann");
	device_init(&a, &h, "laptop");
	snprintf(url, sizeof url, "%s", auth_url(device_register(&a, NULL)));
	assert_true(strncmp(url, "https://vpn.example.com/register/hskey-authreq-", 47) == 0);
	/* Asked again, the URL that was shown stays good. */
	assert_string_equal(auth_url(device_register(&a, NULL)), url);
	/* It survives a restart. */
	harness_restart(&h);
	assert_null(device_followup(&a, url));
	assert_true(a.waiting);
	struct reply *r = admit(&h, auth_id(url), "ann");
	assert_ok(r->e);
	assert_int_equal(r->n_nodes, 1);
	int64_t id = r->nodes[0]->row.id;
	assert_false(a.waiting);
	assert_string_equal(error_of(a.resp), "");
	assert_true(flag(a.resp, "MachineAuthorized"));
	/* The follow-up that comes late is answered at once. */
	assert_true(flag(device_followup(&a, url), "MachineAuthorized"));
	assert_int_equal(admit(&h, auth_id(url), "ann")->e, ERR_NOT_FOUND);

	/* Force-reauth: new key, old one works until the person is done; id and address stay. */
	char before[ADDR_TEXT_MAX], after[ADDR_TEXT_MAX];
	addr_text(harness_node_command(&h, CMD_NODE_GET, id)->nodes[0]->row.v4, before);
	struct node_pub old = a.key;
	device_stream(&a);
	device_lite(&a);
	device_skip(&a);
	device_new_key(&a);
	snprintf(url, sizeof url, "%s", auth_url(device_register(&a, NULL)));
	device_followup(&a, url);
	assert_true(a.waiting);
	struct device seen = a;
	seen.key = old;
	device_lite(&seen);
	assert_int_equal(seen.status, 200);
	a.resp = NULL; /* went with the copy's call */
	a.waiting = true;
	r = admit(&h, auth_id(url), "ann");
	assert_ok(r->e);
	assert_int_equal(r->nodes[0]->row.id, id);
	addr_text(r->nodes[0]->row.v4, after);
	assert_string_equal(before, after);
	/* Trap T35: the self node shows the new key. */
	json_t *m = device_next(&a), *node = NULL;
	for (; m; m = device_next(&a))
		if (json_object_get(m, "Node"))
			node = json_object_get(m, "Node");
	char k[KEY_TEXT_MAX];
	assert_string_equal(json_string_value(json_object_get(node, "Key")), node_pub_text(&a.key, k));
	json_decref(seen.resp);
	device_done(&a);
	harness_stop(&h);
}

/* An office stays one over a restart, for a day, and is written once, not with each stream. */
static void an_office_is_remembered(void **state)
{
	struct harness h;
	struct device at_work, waits[6];
	char url[200];

	(void)state;
	harness_start(&h, NULL);
	harness_user(&h, "ann");
	const char *key = harness_authkey(&h, "ann", AK_REUSABLE);
	device_init(&at_work, &h, "desk");
	at_work.from = addr_v4(203, 0, 113, 5);
	device_join(&at_work, key);
	harness_step(&h, RECENT_ADDRS_WRITE_MS + 1000);
	const char *kept = setting_get(h.core, 0, "recent_addrs");
	assert_non_null(kept);
	assert_int_equal(strncmp(kept, "203.0.113.5 ", 12), 0);
	snprintf(url, sizeof url, "%s", kept);
	for (int i = 0; i < 3; i++) {
		device_stream(&at_work);
		harness_step(&h, RECENT_ADDRS_WRITE_MS + 1000);
	}
	assert_string_equal(setting_get(h.core, 0, "recent_addrs"), url);
	harness_step(&h, 2 * 3600 * 1000);
	device_stream(&at_work);
	harness_step(&h, RECENT_ADDRS_WRITE_MS + 1000);
	assert_string_not_equal(setting_get(h.core, 0, "recent_addrs"), url);

	harness_restart(&h);
	for (int i = 0; i < 6; i++) {
		device_init(&waits[i], &h, "x");
		waits[i].from = addr_v4(203, 0, 113, 5);
		assert_string_not_equal(auth_url(device_register(&waits[i], NULL)), "");
		device_done(&waits[i]);
	}
	harness_step(&h, RECENT_ADDR_MS + 1000);
	device_init(&waits[0], &h, "x");
	waits[0].from = addr_v4(203, 0, 113, 5);
	assert_non_null(strstr(error_of(device_register(&waits[0], NULL)), "too many logins"));
	device_done(&waits[0]);
	device_done(&at_work);
	harness_stop(&h);
}

static void logins_are_bounded_and_expire(void **state)
{
	struct harness h;
	struct device d[6];
	char url[200];

	(void)state;
	harness_start(&h, NULL);
	harness_user(&h, "ann");
	for (int i = 0; i < 6; i++) {
		device_init(&d[i], &h, "x");
		d[i].from = addr_v4(203, 0, 113, 5);
	}
	for (int i = 0; i < 4; i++)
		assert_string_not_equal(auth_url(device_register(&d[i], NULL)), "");
	assert_non_null(strstr(error_of(device_register(&d[4], NULL)), "too many logins"));
	/* Somebody there gets in: the address is an office, and is not counted any more. */
	snprintf(url, sizeof url, "%s", auth_url(device_register(&d[0], NULL)));
	assert_ok(admit(&h, auth_id(url), "ann")->e);
	assert_string_not_equal(auth_url(device_register(&d[4], NULL)), "");
	assert_string_not_equal(auth_url(device_register(&d[5], NULL)), "");
	snprintf(url, sizeof url, "%s", auth_url(device_register(&d[1], NULL)));
	device_followup(&d[1], url);
	assert_true(d[1].waiting);
	harness_step(&h, 8LL * 86400 * 1000);
	assert_false(d[1].waiting);
	assert_string_not_equal(error_of(d[1].resp), "");
	assert_int_equal(admit(&h, auth_id(url), "ann")->e, ERR_NOT_FOUND);
	/* Gone: a fresh URL. */
	assert_string_not_equal(auth_url(device_followup(&d[1], url)), url);
	assert_string_not_equal(auth_url(d[1].resp), "");
	for (int i = 0; i < 6; i++)
		device_done(&d[i]);
	harness_stop(&h);
}

static void logout_and_back(void **state)
{
	struct harness h;
	struct device a, e;

	(void)state;
	harness_start(&h, NULL);
	harness_user(&h, "ann");
	harness_user(&h, "bob");
	const char *key = harness_authkey(&h, "ann", AK_REUSABLE), *bobs = harness_authkey(&h, "bob", AK_REUSABLE);
	device_init(&a, &h, "a");
	int64_t id = device_join(&a, key);
	/* Shorten only. */
	assert_non_null(strstr(error_of(device_register_expiry(&a, h.now.wall_ms + 365LL * 86400 * 1000)), "shortened"));
	assert_string_equal(error_of(device_register_expiry(&a, h.now.wall_ms + 86400 * 1000)), "");
	json_t *r = device_logout(&a);
	assert_true(flag(r, "NodeKeyExpired"));
	r = device_register(&a, NULL);
	assert_true(flag(r, "NodeKeyExpired"));
	device_new_key(&a);
	assert_string_equal(error_of(device_register(&a, key)), "");
	assert_int_equal(device_node_id(&a), id);
	/* Another user's key on the same machine: another node. */
	device_new_key(&a);
	assert_string_equal(error_of(device_register(&a, bobs)), "");
	assert_int_not_equal(device_node_id(&a), id);
	/* And back: the first one again. */
	device_new_key(&a);
	assert_string_equal(error_of(device_register(&a, key)), "");
	assert_int_equal(device_node_id(&a), id);
	/* An ephemeral node is gone at once. */
	const char *eph = harness_authkey(&h, "ann", AK_REUSABLE | AK_EPHEMERAL);
	device_init(&e, &h, "eph");
	device_join(&e, eph);
	device_logout(&e);
	assert_int_equal(device_node_id(&e), 0);
	device_done(&a);
	device_done(&e);
	harness_stop(&h);
}

static struct reply *set_policy(struct harness *h, const char *text)
{
	struct command *m = command_new(CMD_POLICY_SET);

	m->text = text;
	return harness_command(h, m);
}

static void tags(void **state)
{
	struct harness h;
	struct device a, b, c;

	(void)state;
	harness_start(&h, NULL);
	harness_user(&h, "ann");
	struct reply *r = set_policy(&h, "{\"tagOwners\":{\"tag:web\":[\"ann@\"],\"tag:db\":[]}}");
	if (r->e != OK)
		fail_msg("policy: %s", r->message);
	const char *key = harness_authkey(&h, "ann", AK_REUSABLE);
	device_init(&a, &h, "a");
	device_init(&b, &h, "b");
	device_init(&c, &h, "c");
	a.request_tag = "tag:db";
	assert_non_null(strstr(error_of(device_register(&a, key)), "tag"));
	assert_int_equal(device_node_id(&a), 0);
	a.request_tag = "tag:web";
	assert_string_equal(error_of(device_register(&a, key)), "");
	assert_string_equal(json_string_value(json_object_get(json_object_get(a.resp, "Login"), "LoginName")), "tagged-devices");
	r = harness_node_command(&h, CMD_NODE_GET, device_node_id(&a));
	assert_int_equal(r->nodes[0]->row.user_id, 0);
	assert_int_equal(r->nodes[0]->row.expires_ms, 0);
	assert_int_equal(r->nodes[0]->user.id, TAGGED_USER_ID);
	/* A key with tags: the same machine's user node becomes the tagged one. */
	int64_t id = device_join(&b, key);
	const char *tagged = harness_authkey_tags(&h, NULL, AK_REUSABLE, "tag:db");
	device_new_key(&b);
	assert_string_equal(error_of(device_register(&b, tagged)), "");
	assert_int_equal(device_node_id(&b), id);
	/* The wish of a node that is in already. */
	device_join(&c, key);
	c.request_tag = "tag:db";
	assert_non_null(strstr(error_of(device_register(&c, NULL)), "tag"));
	c.request_tag = "tag:web";
	assert_string_equal(error_of(device_register(&c, NULL)), "");
	r = harness_node_command(&h, CMD_NODE_GET, device_node_id(&c));
	assert_int_equal(r->nodes[0]->row.n_tags, 1);
	device_done(&a);
	device_done(&b);
	device_done(&c);
	harness_stop(&h);
}

static void single_use_survives_undo(void **state)
{
	struct harness h;
	struct device a, b;

	(void)state;
	harness_start(&h, NULL);
	harness_user(&h, "ann");
	const char *key = harness_authkey(&h, "ann", 0);
	device_init(&a, &h, "a");
	device_init(&b, &h, "b");
	char *before = harness_dump(&h);
	h.hold = true;
	assert_null(device_register(&a, key)); /* not durable: not answered */
	assert_int_equal(a.status, 0);
	assert_null(device_register(&b, key));
	harness_fail(&h);
	assert_int_equal(a.status, 503);
	char *after = harness_dump(&h);
	assert_string_equal(before, after);
	h.hold = false;
	assert_string_equal(error_of(device_register(&b, key)), "");
	assert_non_null(strstr(error_of(device_register(&a, key)), "already used"));
	free(before);
	free(after);
	device_done(&a);
	device_done(&b);
	harness_stop(&h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(key_joins_once),
		cmocka_unit_test(revoked_and_expired_keys),
		cmocka_unit_test(stolen_node_key_is_refused_everywhere),
		cmocka_unit_test(login_by_a_person),
		cmocka_unit_test(logins_are_bounded_and_expire),
		cmocka_unit_test(an_office_is_remembered),
		cmocka_unit_test(logout_and_back),
		cmocka_unit_test(tags),
		cmocka_unit_test(single_use_survives_undo),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
