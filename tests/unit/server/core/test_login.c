/* Who a login is for, what a signed-in browser may do, and that all of it is rows: undone, restarted, logged. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/cleanup.h"
#include "server/core/state.h"
#include "tests/lib/core_harness.h"
#include "tests/lib/test.h"

#define HOUR (3600 * 1000LL)

static char token[64];

/* issuer/subject with this mail address ("": none) and short name, in the groups that end with NULL. */
static struct reply *sign_in(struct harness *h, const char *subject, const char *mail, const char *name, const char *group)
{
	struct command *m = command_new(CMD_LOGIN);
	struct login_facts *f = arena_alloc(&m->arena, sizeof *f);
	const char **groups = arena_array(&m->arena, 1, sizeof *groups);

	groups[0] = group;
	*f = (struct login_facts){ .provider = "oidc", .issuer = "https://id.example.com", .subject = subject, .login = *mail ? mail : name,
		.email = mail, .name = name, .display_name = "", .picture_url = "", .groups = groups, .n_groups = group ? 1 : 0,
		.refresh_token = "again", .provider_sid = "sid-1" };
	m->login = f;
	m->agent = "Firefox";
	m->expires_ms = h->now.wall_ms + 12 * HOUR;
	struct reply *r = harness_command(h, m);
	token[0] = 0;
	if (r && r->e == OK)
		snprintf(token, sizeof token, "%s", r->secret);
	return r;
}

static struct reply *ask(struct harness *h, enum command_kind kind, const char *key_text, const char *user, int64_t id)
{
	struct command *m = command_new(kind);

	m->key_text = key_text;
	m->user = user;
	m->id = id;
	return harness_command(h, m);
}

static struct reply *answer_device(struct harness *h, enum command_kind kind, const char *auth_id, const char *with)
{
	struct command *m = command_new(kind);

	m->auth_id = auth_id;
	m->key_text = with;
	return harness_command(h, m);
}

static void a_subject_is_one_user_for_ever(void **state)
{
	(void)state;
	struct harness h;
	harness_start(&h, NULL);
	struct reply *r = sign_in(&h, "1", "ann@example.com", "ann", NULL);
	assert_ok(r->e);
	int64_t ann = r->users[0].id;
	assert_string_equal(r->users[0].name, "ann");
	assert_string_equal(r->users[0].email, "ann@example.com");
	assert_string_equal(r->users[0].provider, "oidc");
	assert_string_equal(r->users[0].provider_id, "https://id.example.com/1");
	/* Another address keeps the user. */
	r = sign_in(&h, "1", "anna@example.com", "anna", NULL);
	assert_int_equal(r->users[0].id, ann);
	assert_string_equal(r->users[0].email, "anna@example.com");
	assert_string_equal(r->users[0].name, "ann");
	/* … but not to one that is somebody else's. */
	assert_ok(sign_in(&h, "2", "bob@example.com", "bob", NULL)->e);
	r = sign_in(&h, "1", "bob@example.com", "ann", NULL);
	assert_ok(r->e);
	assert_string_equal(r->users[0].email, "anna@example.com");
	/* A second subject of the same name is nobody, until an admin links it. */
	r = sign_in(&h, "3", "anna@example.com", "x", NULL);
	assert_int_equal(r->e, ERR_EXISTS);
	assert_non_null(strstr(r->message, "fairlead users link"));
	struct command *m = command_new(CMD_IDENTITY_LINK);
	struct login_facts f = { "", "https://id.example.com", "3", "", "", "", "", "", NULL, 0, "", "", false };
	m->login = &f;
	m->user = "ann";
	assert_ok(harness_command(&h, m)->e);
	r = sign_in(&h, "3", "anna@example.com", "x", NULL);
	assert_ok(r->e);
	assert_int_equal(r->users[0].id, ann);
	/* A name that a local user has is left to it. */
	harness_user(&h, "carol");
	r = sign_in(&h, "4", "carol@example.com", "carol", NULL);
	assert_ok(r->e);
	assert_string_equal(r->users[0].name, "carol@example.com");
	harness_stop(&h);
}

static struct reply *partly(struct harness *h, const char *subject, const char *group)
{
	struct command *m = command_new(CMD_LOGIN);
	struct login_facts *f = arena_alloc(&m->arena, sizeof *f);
	const char **groups = arena_array(&m->arena, 1, sizeof *groups);

	groups[0] = group;
	*f = (struct login_facts){ .provider = "oidc", .issuer = "https://id.example.com", .subject = subject, .login = subject, .email = "", .name = "",
		.display_name = "", .picture_url = "", .groups = groups, .n_groups = group ? 1 : 0, .refresh_token = "", .provider_sid = "", .partial = true };
	m->login = f;
	m->expires_ms = h->now.wall_ms + HOUR;
	return harness_command(h, m);
}

static void what_could_not_be_read_stays_as_it_is(void **state)
{
	(void)state;
	struct harness h;
	harness_start(&h, NULL);
	assert_ok(sign_in(&h, "1", "ann@example.com", "ann", "ops")->e);
	assert_ok(partly(&h, "1", NULL)->e);
	struct user *u = user_find(core_tailnet(h.core, 1), "ann");
	assert_non_null(u);
	assert_string_equal(u->row.email, "ann@example.com");
	assert_int_equal(u->n_groups, 1);
	assert_string_equal(u->groups[0], "ops");
	assert_ok(partly(&h, "1", "dev")->e); /* the token names groups: they count */
	assert_string_equal(u->groups[0], "dev");
	assert_int_equal(partly(&h, "2", NULL)->e, ERR_BUSY); /* nobody is made under a wrong name */
	assert_int_equal(h.core->users.n, 1);
	harness_stop(&h);
}

static void a_token_is_checked_and_ends(void **state)
{
	(void)state;
	struct harness h;
	char first[64], wrong[64];
	harness_start(&h, NULL);
	assert_ok(sign_in(&h, "1", "ann@example.com", "ann", NULL)->e);
	memcpy(first, token, sizeof first);
	assert_ok(ask(&h, CMD_SIGNIN_CHECK, first, "", 0)->e);
	memcpy(wrong, first, sizeof wrong);
	wrong[5] = wrong[5] == 'A' ? 'B' : 'A';
	assert_int_equal(ask(&h, CMD_SIGNIN_CHECK, wrong, "", 0)->e, ERR_AUTH);
	assert_int_equal(ask(&h, CMD_SIGNIN_CHECK, "", "", 0)->e, ERR_AUTH);
	harness_restart(&h); /* rows */
	assert_ok(ask(&h, CMD_SIGNIN_CHECK, first, "", 0)->e);
	harness_step(&h, 12 * HOUR + 1);
	assert_int_equal(ask(&h, CMD_SIGNIN_CHECK, first, "", 0)->e, ERR_AUTH);
	/* Signing out ends one, an admin ends all. */
	assert_ok(sign_in(&h, "1", "ann@example.com", "ann", NULL)->e);
	memcpy(first, token, sizeof first);
	assert_ok(sign_in(&h, "1", "ann@example.com", "ann", NULL)->e);
	assert_ok(ask(&h, CMD_SIGNIN_END, first, "", 0)->e);
	assert_int_equal(ask(&h, CMD_SIGNIN_CHECK, first, "", 0)->e, ERR_AUTH);
	assert_ok(ask(&h, CMD_SIGNIN_CHECK, token, "", 0)->e);
	struct reply *r = ask(&h, CMD_SIGNIN_LIST, "", "", 0);
	assert_int_equal(r->n_signins, 1); /* the expired one was swept out by a login */
	assert_string_equal(r->users[0].name, "ann");
	assert_ok(ask(&h, CMD_SIGNIN_END, "", "ann", 0)->e);
	assert_int_equal(ask(&h, CMD_SIGNIN_CHECK, token, "", 0)->e, ERR_AUTH);
	/* As many as one person may have: the oldest makes room. */
	for (int i = 0; i < SIGNINS_PER_USER_MAX + 3; i++) {
		harness_step(&h, 10);
		assert_ok(sign_in(&h, "1", "ann@example.com", "ann", NULL)->e);
		if (!i)
			memcpy(first, token, sizeof first);
	}
	assert_int_equal(ask(&h, CMD_SIGNIN_LIST, "", "ann", 0)->n_signins, SIGNINS_PER_USER_MAX);
	assert_int_equal(ask(&h, CMD_SIGNIN_CHECK, first, "", 0)->e, ERR_AUTH);
	harness_stop(&h);
}

static const char *waiting_id(struct harness *h)
{
	struct reply *r = ask(h, CMD_AUTH_LIST, "", "", 0);
	static char id[AUTH_ID_LEN + 1];

	assert_int_equal(r->n_pendings, 1);
	snprintf(id, sizeof id, "%s", r->pendings[0].auth_id);
	return id;
}

static void a_signed_in_person_lets_a_device_in(void **state)
{
	(void)state;
	struct harness h;
	struct device d;
	harness_start(&h, NULL);
	device_init(&d, &h, "laptop");
	device_register(&d, NULL);
	const char *id = waiting_id(&h);
	assert_int_equal(answer_device(&h, CMD_AUTH_CONNECT, id, "")->e, ERR_AUTH);
	assert_ok(sign_in(&h, "1", "ann@example.com", "ann", NULL)->e);
	struct reply *r = answer_device(&h, CMD_AUTH_CONNECT, id, token);
	assert_ok(r->e);
	assert_int_equal(r->n_nodes, 1);
	assert_int_equal(r->nodes[0]->row.method, REGISTER_OIDC);
	assert_string_equal(r->nodes[0]->user.name, "ann");
	assert_int_equal(answer_device(&h, CMD_AUTH_CONNECT, id, token)->e, ERR_NOT_FOUND);
	/* Refused: the device hears of it, nothing is made. */
	struct device e;
	device_init(&e, &h, "stranger");
	device_register(&e, NULL);
	id = waiting_id(&h);
	assert_int_equal(answer_device(&h, CMD_AUTH_DENY, id, "x")->e, ERR_AUTH);
	assert_ok(answer_device(&h, CMD_AUTH_DENY, id, token)->e);
	assert_int_equal(h.core->nodes.n, 1);
	/* A suspended person does neither. */
	struct device g;
	device_init(&g, &h, "late");
	device_register(&g, NULL);
	id = waiting_id(&h);
	struct reply *users = ask(&h, CMD_USER_LIST, "", "", 0);
	assert_ok(ask(&h, CMD_USER_SUSPEND, "", "", users->users[0].id)->e);
	assert_int_equal(answer_device(&h, CMD_AUTH_CONNECT, id, token)->e, ERR_DENIED);
	assert_int_equal(sign_in(&h, "1", "ann@example.com", "ann", NULL)->e, ERR_DENIED);
	device_done(&d);
	device_done(&e);
	device_done(&g);
	harness_stop(&h);
}

static void signed_in(struct harness *h, const char *user, char out[64])
{
	struct command *m = command_new(CMD_LINK_MAKE);
	char link[64];

	m->user = user;
	m->expires_ms = h->now.wall_ms + 3600000;
	struct reply *r = harness_command(h, m);
	assert_ok(r->e);
	snprintf(link, sizeof link, "%s", r->secret);
	m = command_new(CMD_LINK_USE);
	m->key_text = link;
	m->expires_ms = h->now.wall_ms + 3600000;
	r = harness_command(h, m);
	assert_ok(r->e);
	snprintf(out, 64, "%s", r->secret);
}

/* Names of what a device that waits will reach, as the answer lists them: "desk,web". */
static const char *will_reach(struct harness *h, const char *auth_id, const char *with)
{
	static char names[256];
	struct reply *r = answer_device(h, CMD_POLICY_WHAT, auth_id, with);
	size_t at = 0;

	assert_ok(r->e);
	json_t *answer = json_loads(r->text, 0, NULL), *nodes = json_object_get(answer, "nodes");
	assert_non_null(answer);
	names[0] = 0;
	for (size_t i = 0; i < json_array_size(nodes); i++)
		at += (size_t)snprintf(names + at, sizeof names - at, "%s%s", i ? "," : "",
				json_string_value(json_object_get(json_array_get(nodes, i), "name")));
	json_decref(answer);
	return names;
}

static void what_a_waiting_device_will_reach(void **state)
{
	(void)state;
	struct harness h;
	struct device desk, web, late;
	char ann[64], bob[64];

	harness_start(&h, NULL);
	harness_user(&h, "ann");
	harness_user(&h, "bob");
	signed_in(&h, "ann", ann);
	signed_in(&h, "bob", bob);
	device_init(&desk, &h, "desk");
	device_init(&web, &h, "web");
	device_init(&late, &h, "late");
	device_join(&desk, harness_authkey(&h, "ann", 0));
	device_join(&web, harness_authkey(&h, "bob", 0));
	struct command *m = command_new(CMD_POLICY_SET);
	m->text = "{\"acls\": [{\"action\": \"accept\", \"src\": [\"autogroup:member\"], \"dst\": [\"autogroup:self:*\"]},"
		  "{\"action\": \"accept\", \"src\": [\"ann@\"], \"dst\": [\"bob@:443\"]}]}";
	assert_ok(harness_command(&h, m)->e);
	device_register(&late, NULL);
	const char *id = waiting_id(&h);
	/* As whose it will be; asking changes nothing, and only somebody who is signed in is answered. */
	assert_string_equal(will_reach(&h, id, ann), "desk,(this device),web");
	assert_string_equal(will_reach(&h, id, bob), "web,(this device)");
	assert_int_equal(answer_device(&h, CMD_POLICY_WHAT, id, "")->e, ERR_AUTH);
	assert_int_equal(answer_device(&h, CMD_POLICY_WHAT, "hskey-authreq-000000000000000000000000", ann)->e, ERR_NOT_FOUND);
	assert_int_equal(h.core->nodes.n, 2);
	assert_int_equal(answer_device(&h, CMD_AUTH_GET, id, ann)->expires_ms, h.now.wall_ms + 180 * 24 * HOUR);
	/* Signing in again: it is one of the others already, and not two. */
	device_new_key(&desk);
	device_register(&desk, NULL);
	assert_ok(answer_device(&h, CMD_AUTH_DENY, id, ann)->e);
	assert_string_equal(will_reach(&h, waiting_id(&h), ann), "desk,web");
	/* A tag that somebody may not give: what it reaches is no business of theirs. */
	m = command_new(CMD_POLICY_SET);
	m->text = "{\"tagOwners\": {\"tag:vault\": [\"ann@\"]}, \"acls\": [{\"action\": \"accept\", \"src\": [\"tag:vault\"], \"dst\": [\"*:*\"]}]}";
	assert_ok(harness_command(&h, m)->e);
	assert_ok(answer_device(&h, CMD_AUTH_DENY, waiting_id(&h), ann)->e);
	device_new_key(&late);
	late.request_tag = "tag:vault";
	device_register(&late, NULL);
	id = waiting_id(&h);
	assert_string_equal(will_reach(&h, id, ann), "desk,web,(this device)");
	assert_int_equal(answer_device(&h, CMD_POLICY_WHAT, id, bob)->e, ERR_DENIED);
	device_done(&desk);
	device_done(&web);
	device_done(&late);
	harness_stop(&h);
}

static void the_first_link_makes_the_owner(void **state)
{
	(void)state;
	struct harness h;
	char with[64];

	harness_start(&h, NULL);
	assert_int_equal(ask(&h, CMD_LINK_MAKE, "", "", 0)->e, ERR_NOT_FOUND); /* for whom? */
	assert_int_equal(ask(&h, CMD_LINK_MAKE, "", "not a name!", 0)->e, ERR_INVALID);
	assert_int_equal(h.core->users.n, 0);
	struct command *m = command_new(CMD_APIKEY_CREATE);
	m->scopes = "users";
	m->expires_ms = h.now.wall_ms + HOUR;
	struct reply *r = harness_command(&h, m);
	assert_ok(r->e);
	m = command_new(CMD_LINK_MAKE);
	m->user = "eve";
	m->by_key = r->apikeys[0].id;
	assert_int_equal(harness_command(&h, m)->e, ERR_DENIED); /* a key that may not do everything */
	assert_int_equal(h.core->users.n, 0);
	signed_in(&h, "ann", with);
	harness_restart(&h); /* a row */
	r = ask(&h, CMD_SIGNIN_CHECK, with, "", 0);
	assert_ok(r->e);
	assert_string_equal(r->users[0].name, "ann");
	assert_int_equal(r->users[0].role, USER_OWNER);
	/* From then on nobody is made by the way. */
	assert_int_equal(ask(&h, CMD_LINK_MAKE, "", "bob", 0)->e, ERR_NOT_FOUND);
	assert_int_equal(h.core->users.n, 1);
	harness_stop(&h);
}

static struct reply *wish(struct harness *h, const char *with, const char *what, const char *why)
{
	struct command *m = command_new(CMD_WISH_ADD);

	m->key_text = with;
	m->name = what;
	m->note = why;
	return harness_command(h, m);
}

static void what_somebody_asks_for_waits_for_an_answer(void **state)
{
	(void)state;
	struct harness h;
	char ann[64], bob[64], text[WISH_WHY_MAX + 2];

	harness_start(&h, NULL);
	harness_user(&h, "ann");
	harness_user(&h, "bob");
	signed_in(&h, "ann", ann);
	signed_in(&h, "bob", bob);
	memset(text, 'x', sizeof text);
	text[WISH_WHY_MAX + 1] = 0;
	assert_int_equal(wish(&h, "", "web", "")->e, ERR_AUTH);
	assert_int_equal(wish(&h, ann, "", "")->e, ERR_INVALID);
	assert_int_equal(wish(&h, ann, "two\nlines", "")->e, ERR_INVALID);
	assert_int_equal(wish(&h, ann, "\xff", "")->e, ERR_INVALID);
	assert_int_equal(wish(&h, ann, "web", text)->e, ERR_INVALID);
	text[WISH_WHY_MAX] = 0;
	int64_t id = 0;
	for (int i = 0; i < WISHES_PER_USER_MAX; i++) {
		struct reply *r = wish(&h, ann, "web", text);
		assert_ok(r->e);
		id = r->wishes[0].id;
	}
	assert_int_equal(wish(&h, ann, "web", "")->e, ERR_STATE);
	assert_ok(wish(&h, bob, "desk", "to print")->e);
	harness_restart(&h); /* rows */
	assert_int_equal(ask(&h, CMD_WISH_LIST, ann, "", 0)->n_wishes, WISHES_PER_USER_MAX);
	struct reply *r = ask(&h, CMD_WISH_LIST, "", "", 0);
	assert_int_equal(r->n_wishes, WISHES_PER_USER_MAX + 1);
	assert_string_equal(r->wishes[WISHES_PER_USER_MAX].why, "to print");
	assert_string_equal(r->users[WISHES_PER_USER_MAX].name, "bob");
	/* One's own are one's own to take back; whoever writes the policy answers all. */
	assert_int_equal(ask(&h, CMD_WISH_DELETE, bob, "", id)->e, ERR_NOT_FOUND);
	assert_ok(ask(&h, CMD_WISH_DELETE, ann, "", id)->e);
	assert_ok(ask(&h, CMD_WISH_DELETE, "", "", id - 1)->e);
	assert_int_equal(ask(&h, CMD_WISH_DELETE, "", "", id)->e, ERR_NOT_FOUND);
	/* What could not be written was not asked. */
	h.hold = true;
	(void)wish(&h, bob, "printer", "");
	harness_fail(&h);
	h.hold = false;
	assert_int_equal(ask(&h, CMD_WISH_LIST, bob, "", 0)->n_wishes, 1);
	/* With their user they go. */
	assert_ok(ask(&h, CMD_USER_DELETE, "", "", ask(&h, CMD_SIGNIN_CHECK, ann, "", 0)->users[0].id)->e);
	assert_int_equal(ask(&h, CMD_WISH_LIST, "", "", 0)->n_wishes, 1);
	char *memory = harness_dump(&h), *db = harness_dump_db(&h);
	assert_string_equal(memory, db);
	free(memory);
	free(db);
	harness_stop(&h);
}

static struct reply *own(struct harness *h, enum command_kind kind, const char *with, int64_t id, const char *name)
{
	struct command *m = command_new(kind);

	m->key_text = with;
	m->id = id;
	m->new_name = name;
	return harness_command(h, m);
}

static void a_person_changes_own_devices_only(void **state)
{
	(void)state;
	struct harness h;
	struct device ann, bob;
	char of_ann[64], of_bob[64], other[64];

	harness_start(&h, NULL);
	harness_user(&h, "ann");
	harness_user(&h, "bob");
	device_init(&ann, &h, "laptop");
	device_init(&bob, &h, "desk");
	int64_t a = device_join(&ann, harness_authkey(&h, "ann", 0)), b = device_join(&bob, harness_authkey(&h, "bob", 0));
	signed_in(&h, "ann", of_ann);
	signed_in(&h, "bob", of_bob);
	static const enum command_kind kinds[] = { CMD_NODE_GET, CMD_NODE_RENAME, CMD_NODE_RENEW, CMD_NODE_EXPIRE, CMD_NODE_DELETE };
	char *before = harness_dump(&h);
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		assert_int_equal(own(&h, kinds[i], of_bob, a, "stolen")->e, ERR_NOT_FOUND);
		assert_int_equal(own(&h, kinds[i], "nonsense", a, "stolen")->e, ERR_AUTH);
	}
	/* What is not for people stays so, also for one's own. */
	static const enum command_kind others[] = { CMD_NODE_TAGS, CMD_NODE_APPROVE, CMD_NODE_APPROVE_ROUTES, CMD_NODE_SET_IP, CMD_NODE_MOVE, CMD_NODE_ENABLE_EXPIRY };
	for (size_t i = 0; i < ARRAY_LEN(others); i++)
		assert_int_equal(own(&h, others[i], of_ann, a, NULL)->e, ERR_NOT_FOUND);
	char *after = harness_dump(&h);
	assert_string_equal(before, after);
	free(before), free(after);

	assert_ok(own(&h, CMD_NODE_RENAME, of_ann, a, "anns")->e);
	assert_string_equal(node_by_id(h.core, a)->row.given_name, "anns");
	assert_ok(own(&h, CMD_NODE_EXPIRE, of_ann, a, NULL)->e);
	assert_true(node_is_expired(h.core, node_by_id(h.core, a)));
	assert_ok(own(&h, CMD_NODE_RENEW, of_ann, a, NULL)->e);
	assert_false(node_is_expired(h.core, node_by_id(h.core, a)));
	struct command *m = command_new(CMD_SETTINGS_SET);
	m->name = "node.expiry";
	m->text = "24h";
	assert_ok(harness_command(&h, m)->e);
	assert_ok(own(&h, CMD_NODE_RENEW, of_ann, a, NULL)->e);
	assert_int_equal(node_by_id(h.core, a)->row.expires_ms, h.now.wall_ms + 24 * HOUR);
	assert_int_equal(own(&h, CMD_NODE_RENEW, NULL, a, NULL)->e, ERR_AUTH); /* nobody asks */
	assert_ok(own(&h, CMD_NODE_DELETE, of_ann, a, NULL)->e);
	assert_null(node_by_id(h.core, a));
	assert_non_null(node_by_id(h.core, b));

	/* Sessions: one's own others. */
	signed_in(&h, "ann", other);
	int64_t id = signin_by_token(h.core, other, SIGNIN_BROWSER)->row.id;
	assert_int_equal(own(&h, CMD_SIGNIN_END, of_bob, id, NULL)->e, ERR_NOT_FOUND);
	assert_ok(own(&h, CMD_SIGNIN_END, of_ann, id, NULL)->e);
	assert_int_equal(ask(&h, CMD_SIGNIN_CHECK, other, "", 0)->e, ERR_AUTH);
	assert_ok(ask(&h, CMD_SIGNIN_CHECK, of_ann, "", 0)->e);
	device_done(&ann), device_done(&bob);
	harness_stop(&h);
}

static void who_is_gone_is_out(void **state)
{
	(void)state;
	struct harness h;
	struct device d;
	harness_start(&h, NULL);
	assert_ok(sign_in(&h, "1", "ann@example.com", "ann", "ops")->e);
	struct user *ann = user_find(core_tailnet(h.core, 1), "ann");
	assert_int_equal(ann->n_groups, 1);
	assert_string_equal(ann->groups[0], "ops");
	assert_ok(sign_in(&h, "1", "ann@example.com", "ann", "dev")->e);
	assert_string_equal(ann->groups[0], "dev");
	harness_restart(&h);
	ann = user_find(core_tailnet(h.core, 1), "ann");
	assert_string_equal(ann->groups[0], "dev");

	device_init(&d, &h, "laptop");
	device_register(&d, NULL);
	assert_ok(answer_device(&h, CMD_AUTH_CONNECT, waiting_id(&h), token)->e);
	struct reply *r = ask(&h, CMD_IDENTITY_LIST, "", "ann", 0);
	assert_int_equal(r->n_identities, 1);
	/* A refresh token that came with nothing else is kept, and nothing else changes. */
	struct login_facts fresh = { .issuer = "https://id.example.com", .subject = "1", .refresh_token = "rotated" };
	int64_t id = r->identities[0].id, checked_ms = r->identities[0].checked_ms;
	h.now.wall_ms += HOUR;
	struct command *m = command_new(CMD_IDENTITY_TOKEN);
	m->id = id;
	m->login = &fresh;
	assert_ok(harness_command(&h, m)->e);
	r = ask(&h, CMD_IDENTITY_LIST, "", "ann", 0);
	assert_string_equal(r->identities[0].refresh_token, "rotated");
	assert_int_equal(r->identities[0].checked_ms, checked_ms);
	assert_string_equal(ann->groups[0], "dev");
	char *have = harness_dump(&h), *stored = harness_dump_db(&h);
	assert_string_equal(have, stored);
	free(have), free(stored);
	fresh.subject = "2";
	m = command_new(CMD_IDENTITY_TOKEN);
	m->id = id;
	m->login = &fresh;
	assert_int_equal(harness_command(&h, m)->e, ERR_NOT_FOUND);
	m = command_new(CMD_IDENTITY_GONE);
	m->id = id;
	m->disable = true;
	assert_ok(harness_command(&h, m)->e);
	assert_int_equal(ann->n_groups, 0);
	assert_int_equal(ask(&h, CMD_SIGNIN_CHECK, token, "", 0)->e, ERR_AUTH);
	size_t at = 0;
	struct node *n = map_next(&h.core->nodes, &at);
	assert_true(node_is_expired(h.core, n));
	/* Signing in again makes it good. */
	assert_ok(sign_in(&h, "1", "ann@example.com", "ann", "dev")->e);
	assert_int_equal(ann->n_groups, 1);

	/* Back-channel logout: of another session, then of this one. */
	struct login_facts f = { "oidc", "https://id.example.com", "", "", "", "", "", "", NULL, 0, "", "sid-2", false };
	m = command_new(CMD_BACK_CHANNEL);
	m->login = &f;
	assert_ok(harness_command(&h, m)->e);
	assert_ok(ask(&h, CMD_SIGNIN_CHECK, token, "", 0)->e);
	f.provider_sid = "sid-1";
	m = command_new(CMD_BACK_CHANNEL);
	m->login = &f;
	assert_ok(harness_command(&h, m)->e);
	assert_int_equal(ask(&h, CMD_SIGNIN_CHECK, token, "", 0)->e, ERR_AUTH);
	device_done(&d);
	harness_stop(&h);
}

static void links_and_passwords(void **state)
{
	(void)state;
	struct harness h;
	char link[64], browser[64];
	harness_start(&h, NULL);
	harness_user(&h, "ann");
	struct command *m = command_new(CMD_LINK_MAKE);
	m->user = "ann";
	m->expires_ms = h.now.wall_ms + HOUR;
	struct reply *r = harness_command(&h, m);
	assert_ok(r->e);
	snprintf(link, sizeof link, "%s", r->secret);
	assert_int_equal(ask(&h, CMD_SIGNIN_CHECK, link, "", 0)->e, ERR_AUTH); /* a link is no session */
	assert_ok(ask(&h, CMD_LINK_LOOK, link, "", 0)->e);
	m = command_new(CMD_LINK_USE);
	m->key_text = link;
	m->expires_ms = h.now.wall_ms + 12 * HOUR;
	r = harness_command(&h, m);
	assert_ok(r->e);
	snprintf(browser, sizeof browser, "%s", r->secret);
	assert_ok(ask(&h, CMD_SIGNIN_CHECK, browser, "", 0)->e);
	assert_int_equal(ask(&h, CMD_LINK_USE, link, "", 0)->e, ERR_AUTH); /* once */

	assert_int_equal(ask(&h, CMD_ACCOUNT_GET, "", "ann", 0)->e, ERR_NOT_FOUND);
	m = command_new(CMD_ACCOUNT_SET);
	m->key_text = browser;
	m->account = (struct account_row){ .password = (char[]){ "$argon2id$1" }, .totp_step = 100 };
	assert_ok(harness_command(&h, m)->e);
	r = ask(&h, CMD_ACCOUNT_GET, "", "ann", 0);
	assert_ok(r->e);
	struct account_row found = { .user_id = r->account.user_id, .password = (char[]){ "$argon2id$1" } };
	for (int64_t step = 100; step <= 101; step++) { /* 100 was used */
		m = command_new(CMD_ACCOUNT_LOGIN);
		m->account = found;
		m->account.totp_step = step;
		m->expires_ms = h.now.wall_ms + HOUR;
		assert_int_equal(harness_command(&h, m)->e, step == 100 ? ERR_AUTH : OK);
	}
	found.password = (char[]){ "$argon2id$2" }; /* what was checked is no longer what is there */
	m = command_new(CMD_ACCOUNT_LOGIN);
	m->account = found;
	m->account.totp_step = 102;
	assert_int_equal(harness_command(&h, m)->e, ERR_AUTH);
	harness_restart(&h);
	assert_ok(ask(&h, CMD_ACCOUNT_GET, "", "ann", 0)->e);
	/* A deleted user takes all of it along. */
	r = ask(&h, CMD_USER_LIST, "", "", 0);
	assert_ok(ask(&h, CMD_USER_DELETE, "", "", r->users[0].id)->e);
	assert_int_equal(h.core->accounts.n + h.core->signins.n + h.core->identities.n, 0);
	/* Secrets are in no audit record. */
	assert_true(h.n_audits > 0);
	for (size_t i = 0; i < h.n_audits; i++) {
		assert_null(strstr(h.audits[i].after, "argon2id"));
		assert_null(strstr(h.audits[i].before, "argon2id"));
		assert_null(strstr(h.audits[i].after, "again"));
	}
	harness_stop(&h);
}

static void what_could_not_be_written_did_not_happen(void **state)
{
	(void)state;
	struct harness h;
	harness_start(&h, NULL);
	assert_ok(sign_in(&h, "1", "ann@example.com", "ann", "ops")->e);
	char *before = harness_dump(&h);
	h.hold = true;
	for (int i = 0; i < 3; i++)
		assert_null(sign_in(&h, i ? "1" : "2", i ? "new@example.com" : "bob@example.com", i ? "ann" : "bob", i == 1 ? "dev" : NULL));
	struct command *m = command_new(CMD_LINK_MAKE);
	m->user = "ann";
	m->expires_ms = h.now.wall_ms + HOUR;
	assert_null(harness_command(&h, m));
	assert_null(ask(&h, CMD_SIGNIN_END, "", "ann", 0));
	harness_fail(&h);
	h.hold = false;
	harness_settle(&h);
	char *after = harness_dump(&h), *stored = harness_dump_db(&h);
	assert_string_equal(before, after);
	assert_string_equal(after, stored);
	assert_string_equal(user_find(core_tailnet(h.core, 1), "ann")->groups[0], "ops");
	free(before), free(after), free(stored);
	harness_stop(&h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_subject_is_one_user_for_ever),
		cmocka_unit_test(what_could_not_be_read_stays_as_it_is),
		cmocka_unit_test(a_token_is_checked_and_ends),
		cmocka_unit_test(a_signed_in_person_lets_a_device_in),
		cmocka_unit_test(what_a_waiting_device_will_reach),
		cmocka_unit_test(the_first_link_makes_the_owner),
		cmocka_unit_test(what_somebody_asks_for_waits_for_an_answer),
		cmocka_unit_test(a_person_changes_own_devices_only),
		cmocka_unit_test(who_is_gone_is_out),
		cmocka_unit_test(links_and_passwords),
		cmocka_unit_test(what_could_not_be_written_did_not_happen),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
