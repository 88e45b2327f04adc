/* Who takes part: users that are suspended lose their devices' access at once, and get it back. */
#include <stdio.h>
#include <stdlib.h>

#include "common/base/cleanup.h"
#include "server/core/state.h"
#include "tests/lib/core_harness.h"
#include "tests/lib/test.h"

static struct command *for_user(enum command_kind kind, int64_t id)
{
	struct command *m = command_new(kind);

	m->id = id;
	return m;
}

static struct reply *set_role(struct harness *h, int64_t id, const char *role)
{
	struct command *m = for_user(CMD_USER_ROLE, id);

	m->role = role;
	return harness_command(h, m);
}

static err verify(struct harness *h, const struct device *d)
{
	struct command *m = command_new(CMD_VERIFY);

	m->key = d->key;
	return harness_command(h, m)->e;
}

static const char *shown(json_t *msg)
{
	const char *id;
	json_t *v;

	json_object_foreach (json_object_get(msg, "DisplayMessages"), id, v)
		if (json_is_object(v))
			return id;
	return NULL;
}

static bool authorized(json_t *msg)
{
	return json_is_true(json_object_get(json_object_get(msg, "Node"), "MachineAuthorized"));
}

static void suspended_devices_are_out_and_come_back(void **state)
{
	struct harness h;
	struct device a, b;

	(void)state;
	harness_start(&h, NULL);
	int64_t ann = harness_user(&h, "ann");
	harness_user(&h, "bob");
	device_init(&a, &h, "a");
	device_init(&b, &h, "b");
	const char *key = harness_authkey(&h, "ann", AK_REUSABLE);
	int64_t id = device_join(&a, key);
	device_join(&b, harness_authkey(&h, "bob", 0));
	device_skip(&a);
	device_skip(&b);
	assert_ok(verify(&h, &a));

	struct reply *r = harness_command(&h, for_user(CMD_USER_SUSPEND, ann));
	assert_ok(r->e);
	assert_true(r->users[0].suspended_ms > 0);
	assert_int_equal(h.revoked, 1);
	assert_memory_equal(h.last_revoked.b, a.key.b, 32);
	assert_int_equal(verify(&h, &a), ERR_NOT_FOUND);
	json_t *m = device_next(&b); /* bob's device loses it … */
	assert_int_equal(json_integer_value(json_array_get(json_object_get(m, "PeersRemoved"), 0)), id);
	m = device_next(&a); /* … and it everybody; it is told why, on a stream that stays */
	assert_false(authorized(m));
	assert_string_equal(shown(m), "user-suspended");
	assert_int_equal(json_array_size(json_object_get(m, "PeersRemoved")), 1);
	assert_null(device_next(&a));
	assert_false(a.stream->ended);

	device_stream(&a); /* a new stream says the same */
	m = device_next(&a);
	assert_false(authorized(m));
	assert_null(json_object_get(m, "Peers"));
	device_new_key(&a); /* and no new key of the user's helps */
	m = device_register(&a, key);
	assert_non_null(strstr(json_string_value(json_object_get(m, "Error")), "ann is suspended"));
	a.key = a.old_key;
	harness_restart(&h);
	assert_int_equal(verify(&h, &a), ERR_NOT_FOUND);
	device_stream(&a);
	assert_false(authorized(device_next(&a)));
	device_stream(&b);
	assert_null(json_object_get(device_next(&b), "Peers"));

	assert_ok(harness_command(&h, for_user(CMD_USER_RESTORE, ann))->e);
	assert_ok(verify(&h, &a));
	bool back = false;
	while ((m = device_next(&a)))
		back |= authorized(m) && !shown(m) && json_array_size(json_object_get(m, "Peers")) == 1;
	assert_true(back);
	m = device_next(&b);
	assert_int_equal(json_integer_value(json_object_get(json_array_get(json_object_get(m, "PeersChanged"), 0), "ID")), id);
	device_done(&a);
	device_done(&b);
	harness_stop(&h);
}

static void a_failed_suspension_changes_nothing(void **state)
{
	struct harness h;
	struct device a, b;

	(void)state;
	harness_start(&h, NULL);
	int64_t ann = harness_user(&h, "ann");
	device_init(&a, &h, "a");
	device_init(&b, &h, "b");
	const char *key = harness_authkey(&h, "ann", AK_REUSABLE);
	device_join(&a, key);
	device_join(&b, key);
	device_skip(&a);
	char *before = harness_dump(&h);
	h.hold = true;
	assert_null(harness_command(&h, for_user(CMD_USER_SUSPEND, ann)));
	harness_fail(&h);
	h.hold = false;
	harness_settle(&h);
	char *after = harness_dump(&h);
	assert_string_equal(before, after);
	assert_int_equal(h.revoked, 0);
	assert_ok(verify(&h, &a));
	device_stream(&a);
	json_t *m = device_next(&a);
	assert_true(authorized(m));
	assert_int_equal(json_array_size(json_object_get(m, "Peers")), 1);
	free(before);
	free(after);
	device_done(&a);
	device_done(&b);
	harness_stop(&h);
}

static void moving_a_node_out_of_a_suspended_account_frees_it(void **state)
{
	struct harness h;
	struct device a;

	(void)state;
	harness_start(&h, NULL);
	int64_t ann = harness_user(&h, "ann");
	harness_user(&h, "bob");
	device_init(&a, &h, "a");
	int64_t id = device_join(&a, harness_authkey(&h, "ann", 0));
	assert_ok(harness_command(&h, for_user(CMD_USER_SUSPEND, ann))->e);
	assert_int_equal(verify(&h, &a), ERR_NOT_FOUND);
	struct command *m = for_user(CMD_NODE_MOVE, id);
	m->user = "bob";
	assert_ok(harness_command(&h, m)->e);
	assert_ok(verify(&h, &a));
	m = for_user(CMD_NODE_MOVE, id);
	m->user = "ann";
	assert_ok(harness_command(&h, m)->e);
	assert_int_equal(verify(&h, &a), ERR_NOT_FOUND);
	device_done(&a);
	harness_stop(&h);
}

static bool has_cap(json_t *msg, const char *cap)
{
	return json_object_get(json_object_get(json_object_get(msg, "Node"), "CapMap"), cap) != NULL;
}

static void roles(void **state)
{
	struct harness h;
	struct device a, b;

	(void)state;
	harness_start(&h, NULL);
	int64_t ann = harness_user(&h, "ann"), bob = harness_user(&h, "bob");
	device_init(&a, &h, "a");
	device_init(&b, &h, "b");
	device_join(&a, harness_authkey(&h, "ann", 0));
	int64_t b_id = device_join(&b, harness_authkey(&h, "bob", 0));
	struct command *m = command_new(CMD_POLICY_SET);
	m->text = "{\"acls\":[{\"action\":\"accept\",\"src\":[\"autogroup:admin\"],\"dst\":[\"autogroup:member:*\"]}]}";
	assert_ok(harness_command(&h, m)->e);
	device_skip(&a);
	device_skip(&b);

	assert_int_equal(set_role(&h, ann, "king")->e, ERR_INVALID);
	assert_int_equal(set_role(&h, 4711, "admin")->e, ERR_NOT_FOUND);
	struct reply *r = set_role(&h, ann, "admin");
	assert_ok(r->e);
	assert_int_equal(r->users[0].role, USER_ADMIN);
	json_t *msg = device_next(&a); /* the policy knows: an admin reaches, and so sees, the members */
	assert_int_equal(json_integer_value(json_object_get(json_array_get(json_object_get(msg, "PeersChanged"), 0), "ID")), b_id);
	assert_true(has_cap(msg, "https://tailscale.com/cap/is-admin"));
	assert_false(has_cap(msg, "https://tailscale.com/cap/is-owner"));

	assert_ok(set_role(&h, ann, "owner")->e);
	assert_ok(set_role(&h, bob, "owner")->e); /* one owner: ann is an admin again */
	m = for_user(CMD_USER_LIST, ann);
	r = harness_command(&h, m);
	assert_int_equal(r->users[0].role, USER_ADMIN);
	r = harness_command(&h, for_user(CMD_USER_SUSPEND, bob));
	assert_int_equal(r->e, ERR_STATE);
	assert_non_null(strstr(r->message, "owns the tailnet"));
	harness_restart(&h);
	r = harness_command(&h, for_user(CMD_USER_LIST, bob));
	assert_int_equal(r->users[0].role, USER_OWNER);
	device_done(&a);
	device_done(&b);
	harness_stop(&h);
}

static void set_setting(struct harness *h, const char *key, const char *value)
{
	struct command *m = command_new(CMD_SETTINGS_SET);

	m->name = key;
	m->text = value;
	assert_ok(harness_command(h, m)->e);
}

static struct reply *approve(struct harness *h, int64_t id, bool yes)
{
	struct command *m = for_user(CMD_NODE_APPROVE, id);

	m->disable = !yes;
	return harness_command(h, m);
}

static void new_devices_wait_for_approval(void **state)
{
	struct harness h;
	struct device a, b, d;

	(void)state;
	harness_start(&h, NULL);
	harness_user(&h, "ann");
	const char *key = harness_authkey(&h, "ann", AK_REUSABLE);
	device_init(&a, &h, "a");
	device_init(&b, &h, "b");
	device_init(&d, &h, "d");
	device_join(&a, key); /* before it was asked for: stays in */
	set_setting(&h, "devices_approval", "true");
	assert_ok(verify(&h, &a));
	device_skip(&a);

	json_t *resp = device_register(&b, key);
	assert_true(json_is_false(json_object_get(resp, "MachineAuthorized")));
	assert_string_equal(json_string_value(json_object_get(resp, "Error")), "");
	device_stream(&b);
	device_lite(&b);
	json_t *m = device_next(&b);
	assert_false(authorized(m));
	assert_string_equal(shown(m), "needs-approval");
	assert_null(json_object_get(m, "Peers"));
	assert_null(device_next(&a));
	assert_int_equal(verify(&h, &b), ERR_NOT_FOUND);
	int64_t id = device_node_id(&b);
	assert_false(harness_node_command(&h, CMD_NODE_GET, id)->nodes[0]->approved);
	harness_restart(&h);
	device_stream(&a);
	device_stream(&b);
	assert_null(json_object_get(device_next(&a), "Peers"));
	assert_false(authorized(device_next(&b)));

	struct reply *r = approve(&h, id, true);
	assert_ok(r->e);
	assert_true(r->nodes[0]->approved);
	m = device_next(&b);
	while (m && !json_array_size(json_object_get(m, "Peers")))
		m = device_next(&b);
	assert_true(authorized(m));
	assert_null(shown(m));
	assert_int_equal(json_integer_value(json_object_get(json_array_get(json_object_get(device_next(&a), "PeersChanged"), 0), "ID")), id);
	assert_ok(verify(&h, &b));
	assert_ok(approve(&h, id, false)->e); /* and back */
	assert_int_equal(json_array_size(json_object_get(device_next(&a), "PeersRemoved")), 1);
	set_setting(&h, "devices_approval", "false"); /* nobody has to: it is in */
	assert_ok(verify(&h, &b));

	set_setting(&h, "devices_approval", "true");
	struct command *k = command_new(CMD_AUTHKEY_CREATE);
	k->user = "ann";
	k->preauthorized = true;
	r = harness_command(&h, k);
	char text[128];
	snprintf(text, sizeof text, "%s", r->secret);
	assert_true(r->authkeys[0].preauthorized);
	device_join(&d, text);
	assert_ok(verify(&h, &d));
	device_done(&a);
	device_done(&b);
	device_done(&d);
	harness_stop(&h);
}

/* Whom an administrator lets in by hand is approved by that. */
static void logins_by_hand_are_approved(void **state)
{
	struct harness h;
	struct device a;

	(void)state;
	harness_start(&h, NULL);
	harness_user(&h, "ann");
	set_setting(&h, "devices_approval", "true");
	device_init(&a, &h, "a");
	const char *url = json_string_value(json_object_get(device_register(&a, NULL), "AuthURL"));
	struct command *m = command_new(CMD_AUTH_REGISTER);
	m->auth_id = arena_str(&m->arena, bytes_str(strrchr(url, '/') + 1));
	m->user = "ann";
	struct reply *r = harness_command(&h, m);
	assert_ok(r->e);
	assert_true(r->nodes[0]->approved);
	assert_ok(verify(&h, &a));
	device_done(&a);
	harness_stop(&h);
}

/* A person who comes by a provider for the first time. */
static struct reply *sign_in(struct harness *h, const char *name, char token[64])
{
	struct command *m = command_new(CMD_LOGIN);
	struct login_facts *f = arena_alloc(&m->arena, sizeof *f);

	*f = (struct login_facts){ .provider = "oidc", .issuer = "https://id.example.com", .subject = name, .login = name, .email = "", .name = name,
		.display_name = "", .picture_url = "", .refresh_token = "", .provider_sid = "" };
	m->login = f;
	m->agent = "Firefox";
	m->expires_ms = h->now.wall_ms + 12 * 3600 * 1000LL;
	struct reply *r = harness_command(h, m);
	if (r && r->e == OK)
		snprintf(token, 64, "%s", r->secret);
	return r;
}

/* The device asks to join, and whoever has the token connects it on the page. */
static struct reply *connect_device(struct harness *h, struct device *d, const char *token)
{
	const char *url = json_string_value(json_object_get(device_register(d, NULL), "AuthURL"));
	struct command *m = command_new(CMD_AUTH_CONNECT);

	assert_non_null(url);
	m->auth_id = arena_str(&m->arena, bytes_str(strrchr(url, '/') + 1));
	m->key_text = arena_str(&m->arena, bytes_str(token));
	return harness_command(h, m);
}

static bool says(struct harness *h, const char *action, const char *member)
{
	for (size_t i = 0; i < h->n_audits; i++)
		if (strcmp(h->audits[i].kind, "user") == 0 && strcmp(h->audits[i].action, action) == 0 && strstr(or_empty(h->audits[i].after), member))
			return true;
	return false;
}

static void people_who_come_by_a_provider_wait_for_approval(void **state)
{
	struct harness h;
	struct device a, b, t;
	char before[64], token[64];

	(void)state;
	harness_start(&h, NULL);
	device_init(&a, &h, "a");
	device_init(&b, &h, "b");
	device_init(&t, &h, "t");
	assert_ok(sign_in(&h, "ann", before)->e); /* before it was asked for: needs none */
	set_setting(&h, "users_approval", "true");
	assert_ok(connect_device(&h, &a, before)->e);
	assert_ok(verify(&h, &a));
	device_stream(&a);
	device_lite(&a);
	device_skip(&a);
	harness_user(&h, "made-by-an-admin");
	struct reply *r = harness_command(&h, for_user(CMD_USER_LIST, 0));
	for (size_t i = 0; i < r->n_users; i++)
		assert_int_equal(r->users[i].waits_ms, 0);

	r = sign_in(&h, "bob", token);
	assert_ok(r->e);
	int64_t bob = r->users[0].id;
	assert_true(r->users[0].waits_ms > 0);
	assert_true(says(&h, "create", "\"approved\":false"));
	r = connect_device(&h, &b, token);
	assert_ok(r->e);
	assert_true(r->nodes[0]->user.waits_ms > 0);
	int64_t id = r->nodes[0]->row.id;
	device_stream(&b);
	device_lite(&b);
	json_t *m = device_next(&b);
	assert_false(authorized(m));
	assert_string_equal(shown(m), "user-needs-approval");
	assert_null(json_object_get(m, "Peers"));
	assert_null(device_next(&a));
	assert_int_equal(verify(&h, &b), ERR_NOT_FOUND);
	/* The role counts from the approval on, and the owner is nobody who waits. */
	assert_int_equal(set_role(&h, bob, "owner")->e, ERR_STATE);
	assert_ok(set_role(&h, bob, "admin")->e);
	assert_int_equal(user_scopes(user_by_id(h.core, bob)), 0);
	/* Tags would take the device out of the account that waits: not by a key either. */
	const char *key = harness_authkey_tags(&h, "bob", 0, "tag:x");
	m = device_register(&t, key);
	assert_non_null(strstr(json_string_value(json_object_get(m, "Error")), "bob waits for an administrator's approval"));
	harness_restart(&h);
	assert_int_equal(verify(&h, &b), ERR_NOT_FOUND);
	device_stream(&a);
	device_stream(&b);
	assert_false(authorized(device_next(&b)));
	device_skip(&a);

	/* A commit that fails lets nobody in. */
	char *was = harness_dump(&h);
	h.hold = true;
	assert_null(harness_command(&h, for_user(CMD_USER_APPROVE, bob)));
	harness_fail(&h);
	h.hold = false;
	harness_settle(&h);
	char *is = harness_dump(&h);
	assert_string_equal(was, is);
	assert_int_equal(verify(&h, &b), ERR_NOT_FOUND);
	free(was);
	free(is);
	device_stream(&a);
	device_stream(&b);
	device_skip(&a);
	device_skip(&b);

	r = harness_command(&h, for_user(CMD_USER_APPROVE, bob));
	assert_ok(r->e);
	assert_int_equal(r->users[0].waits_ms, 0);
	assert_true(says(&h, "update", "\"approved\":true"));
	assert_true(user_scopes(user_by_id(h.core, bob)) == SCOPE_EVERYTHING);
	assert_ok(verify(&h, &b));
	m = device_next(&b);
	while (m && !json_array_size(json_object_get(m, "Peers")))
		m = device_next(&b);
	assert_true(authorized(m));
	assert_null(shown(m));
	assert_int_equal(json_integer_value(json_object_get(json_array_get(json_object_get(device_next(&a), "PeersChanged"), 0), "ID")), id);
	assert_ok(harness_command(&h, for_user(CMD_USER_APPROVE, bob))->e); /* twice is fine */
	assert_int_equal(harness_command(&h, for_user(CMD_USER_APPROVE, 99999))->e, ERR_NOT_FOUND);
	device_done(&a);
	device_done(&b);
	device_done(&t);
	harness_stop(&h);
}

/* Who waits is let in while nobody has to wait, and waits again after it; suspension comes first. */
static void the_setting_decides_whether_people_wait(void **state)
{
	struct harness h;
	struct device b;
	char token[64];

	(void)state;
	harness_start(&h, NULL);
	set_setting(&h, "users_approval", "true");
	device_init(&b, &h, "b");
	int64_t bob = sign_in(&h, "bob", token)->users[0].id;
	assert_ok(connect_device(&h, &b, token)->e);
	device_stream(&b);
	device_lite(&b);
	assert_string_equal(shown(device_next(&b)), "user-needs-approval");
	set_setting(&h, "users_approval", "false");
	assert_ok(verify(&h, &b));
	assert_int_equal(harness_command(&h, for_user(CMD_USER_LIST, bob))->users[0].waits_ms, 0);
	set_setting(&h, "users_approval", "true");
	assert_int_equal(verify(&h, &b), ERR_NOT_FOUND);
	assert_true(harness_command(&h, for_user(CMD_USER_LIST, bob))->users[0].waits_ms > 0);
	device_skip(&b);
	assert_ok(harness_command(&h, for_user(CMD_USER_SUSPEND, bob))->e);
	assert_string_equal(shown(device_next(&b)), "user-suspended");
	assert_ok(harness_command(&h, for_user(CMD_USER_APPROVE, bob))->e);
	assert_int_equal(verify(&h, &b), ERR_NOT_FOUND);
	assert_ok(harness_command(&h, for_user(CMD_USER_RESTORE, bob))->e);
	assert_ok(verify(&h, &b));
	device_done(&b);
	harness_stop(&h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(suspended_devices_are_out_and_come_back),
		cmocka_unit_test(a_failed_suspension_changes_nothing),
		cmocka_unit_test(moving_a_node_out_of_a_suspended_account_frees_it),
		cmocka_unit_test(roles),
		cmocka_unit_test(new_devices_wait_for_approval),
		cmocka_unit_test(logins_by_hand_are_approved),
		cmocka_unit_test(people_who_come_by_a_provider_wait_for_approval),
		cmocka_unit_test(the_setting_decides_whether_people_wait),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
