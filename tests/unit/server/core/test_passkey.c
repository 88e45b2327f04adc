/* Passkeys are rows: added and removed by who is signed in, counted upwards, undone, restarted, logged. */
#include <stdio.h>
#include <stdlib.h>

#include "server/core/state.h"
#include "tests/lib/core_harness.h"
#include "tests/lib/test.h"

#define HOUR (3600 * 1000LL)

static char *signed_in(struct harness *h, const char *user)
{
	static char token[2][64];
	static int which;
	char link[64];
	struct command *m = command_new(CMD_LINK_MAKE);

	m->user = user;
	m->expires_ms = h->now.wall_ms + HOUR;
	struct reply *r = harness_command(h, m);
	assert_ok(r->e);
	snprintf(link, sizeof link, "%s", r->secret);
	m = command_new(CMD_LINK_USE);
	m->key_text = link;
	m->expires_ms = h->now.wall_ms + 12 * HOUR;
	r = harness_command(h, m);
	assert_ok(r->e);
	which ^= 1;
	snprintf(token[which], sizeof token[which], "%s", r->secret);
	return token[which];
}

static struct passkey_row row(const char *id, const char *name, int64_t count)
{
	return (struct passkey_row){ .credential = (uint8_t *)(uintptr_t)id, .n_credential = strlen(id), .cose = (uint8_t *)(uintptr_t)"key", .n_cose = 3,
		.name = (char *)(uintptr_t)name, .sign_count = count };
}

static struct reply *ask(struct harness *h, enum command_kind kind, const char *token, int64_t id, const struct passkey_row *p)
{
	struct command *m = command_new(kind);

	m->key_text = token;
	m->id = id;
	m->passkey = p;
	m->new_name = p && p->name ? p->name : "";
	m->expires_ms = h->now.wall_ms + HOUR;
	return harness_command(h, m);
}

static int64_t add(struct harness *h, const char *token, const char *id, const char *name)
{
	struct passkey_row p = row(id, name, 0);
	struct reply *r = ask(h, CMD_PASSKEY_ADD, token, 0, &p);

	assert_ok(r->e);
	return r->passkeys[0].id;
}

static const char *token_of(const struct reply *r)
{
	static char token[64];

	snprintf(token, sizeof token, "%s", r->secret);
	return token;
}

static bool is_signed_in(struct harness *h, const char *token)
{
	return ask(h, CMD_SIGNIN_CHECK, token, 0, NULL)->e == OK;
}

static void added_found_and_used(void **state)
{
	(void)state;
	struct harness h;
	harness_start(&h, NULL);
	harness_user(&h, "ann");
	harness_user(&h, "bob");
	char *ann = signed_in(&h, "ann");
	struct passkey_row p = row("one", "laptop", 0);
	assert_int_equal(ask(&h, CMD_PASSKEY_FIND, "", 0, &p)->e, ERR_NOT_FOUND);
	assert_int_equal(ask(&h, CMD_PASSKEY_ADD, "nonsense", 0, &p)->e, ERR_AUTH);
	int64_t id = add(&h, ann, "one", "laptop");
	assert_int_equal(ask(&h, CMD_PASSKEY_ADD, ann, 0, &p)->e, ERR_EXISTS);
	char *bob = signed_in(&h, "bob");
	assert_int_equal(ask(&h, CMD_PASSKEY_ADD, bob, 0, &p)->e, ERR_EXISTS);
	struct reply *r = ask(&h, CMD_PASSKEY_FIND, "", 0, &p);
	assert_ok(r->e);
	assert_string_equal(r->users[0].name, "ann");
	assert_int_equal(r->passkeys[0].id, id);
	assert_int_equal(r->passkeys[0].n_cose, 3);

	harness_restart(&h);
	h.now.wall_ms += 1000;
	/* One that does not count may go on showing 0; one that counted must go up. */
	static const struct {
		int64_t shown;
		err e;
	} steps[] = { { 0, OK }, { 0, OK }, { 5, OK }, { 5, ERR_AUTH }, { 4, ERR_AUTH }, { 0, ERR_AUTH }, { 6, OK } };
	for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
		p = row("one", "laptop", steps[i].shown);
		r = ask(&h, CMD_PASSKEY_LOGIN, "", id, &p);
		assert_int_equal(r->e, steps[i].e);
		if (r->e == OK)
			assert_true(is_signed_in(&h, token_of(r)));
	}
	r = ask(&h, CMD_PASSKEY_LIST, ann, 0, NULL);
	assert_int_equal(r->n_passkeys, 1);
	assert_int_equal(r->passkeys[0].sign_count, 6);
	assert_int_equal(r->passkeys[0].used_ms, h.now.wall_ms);
	assert_int_equal(ask(&h, CMD_PASSKEY_LOGIN, "", id + 100, &p)->e, ERR_AUTH);
	harness_stop(&h);
}

static void named_and_removed_by_whose_it_is(void **state)
{
	(void)state;
	struct harness h;
	harness_start(&h, NULL);
	harness_user(&h, "ann");
	harness_user(&h, "bob");
	char *ann = signed_in(&h, "ann"), *bob = signed_in(&h, "bob");
	int64_t id = add(&h, ann, "one", "laptop");
	struct passkey_row p = row("one", "work laptop", 1);
	assert_int_equal(ask(&h, CMD_PASSKEY_RENAME, bob, id, &p)->e, ERR_NOT_FOUND);
	assert_int_equal(ask(&h, CMD_PASSKEY_DELETE, bob, id, NULL)->e, ERR_NOT_FOUND);
	assert_int_equal(ask(&h, CMD_PASSKEY_LIST, bob, 0, NULL)->n_passkeys, 0);
	assert_ok(ask(&h, CMD_PASSKEY_RENAME, ann, id, &p)->e);
	p.name = (char[]){ "" };
	assert_int_equal(ask(&h, CMD_PASSKEY_RENAME, ann, id, &p)->e, ERR_INVALID);
	p.name = (char[]){ "two\nlines" };
	assert_int_equal(ask(&h, CMD_PASSKEY_RENAME, ann, id, &p)->e, ERR_INVALID);
	struct reply *r = ask(&h, CMD_PASSKEY_LOGIN, "", id, &p);
	assert_ok(r->e);
	char by_passkey[64];
	snprintf(by_passkey, sizeof by_passkey, "%s", r->secret);
	assert_ok(ask(&h, CMD_PASSKEY_DELETE, ann, id, NULL)->e);
	assert_false(is_signed_in(&h, by_passkey)); /* whoever has it is out, */
	assert_true(is_signed_in(&h, ann));	    /* who removed it is not */
	assert_true(is_signed_in(&h, bob));
	p = row("one", "laptop", 2);
	assert_int_equal(ask(&h, CMD_PASSKEY_FIND, "", 0, &p)->e, ERR_NOT_FOUND);

	for (int i = 0; i < PASSKEYS_PER_USER_MAX; i++) {
		char name[16];
		snprintf(name, sizeof name, "key-%d", i);
		id = add(&h, ann, name, name);
	}
	p = row("more", "more", 0);
	assert_int_equal(ask(&h, CMD_PASSKEY_ADD, ann, 0, &p)->e, ERR_STATE);
	add(&h, bob, "more", "more");
	/* An admin, without a token. */
	assert_int_equal(ask(&h, CMD_PASSKEY_LIST, "", 0, NULL)->n_passkeys, PASSKEYS_PER_USER_MAX + 1);
	assert_ok(ask(&h, CMD_PASSKEY_DELETE, "", id, NULL)->e);
	assert_false(is_signed_in(&h, ann));
	/* The user takes all of them along; the log has what was done. */
	struct command *m = command_new(CMD_USER_LIST);
	m->name = "ann";
	int64_t user = harness_command(&h, m)->users[0].id;
	m = command_new(CMD_USER_DELETE);
	m->id = user;
	assert_ok(harness_command(&h, m)->e);
	assert_int_equal(h.core->passkeys.n, 1);
	bool renamed = false, removed = false;
	for (size_t i = 0; i < h.n_audits; i++) {
		renamed |= strcmp(h.audits[i].kind, "passkey") == 0 && strstr(h.audits[i].after, "work laptop");
		removed |= strcmp(h.audits[i].kind, "passkey") == 0 && strcmp(h.audits[i].action, "delete") == 0;
		assert_null(strstr(h.audits[i].after, "cose"));
	}
	assert_true(renamed && removed);
	harness_restart(&h);
	assert_int_equal(h.core->passkeys.n, 1);
	harness_stop(&h);
}

static void not_for_whom_the_provider_forgot(void **state)
{
	(void)state;
	struct harness h;
	harness_start(&h, NULL);
	struct command *m = command_new(CMD_LOGIN);
	struct login_facts f = { .provider = "oidc", .issuer = "https://id.example.com", .subject = "1", .login = "ann", .email = "", .name = "ann",
		.display_name = "", .picture_url = "", .refresh_token = "", .provider_sid = "" };
	m->login = &f;
	m->expires_ms = h.now.wall_ms + HOUR;
	struct reply *r = harness_command(&h, m);
	assert_ok(r->e);
	char token[64];
	snprintf(token, sizeof token, "%s", r->secret);
	int64_t id = add(&h, token, "one", "laptop");
	struct passkey_row p = row("one", "laptop", 1);
	assert_ok(ask(&h, CMD_PASSKEY_LOGIN, "", id, &p)->e);
	m = command_new(CMD_IDENTITY_LIST);
	int64_t identity = harness_command(&h, m)->identities[0].id;
	m = command_new(CMD_IDENTITY_GONE);
	m->id = identity;
	assert_ok(harness_command(&h, m)->e);
	p.sign_count = 2;
	assert_int_equal(ask(&h, CMD_PASSKEY_LOGIN, "", id, &p)->e, ERR_DENIED);
	m = command_new(CMD_IDENTITY_UNLINK); /* an admin makes a local user of them */
	m->id = identity;
	assert_ok(harness_command(&h, m)->e);
	assert_ok(ask(&h, CMD_PASSKEY_LOGIN, "", id, &p)->e);
	harness_stop(&h);
}

static void what_could_not_be_written_did_not_happen(void **state)
{
	(void)state;
	struct harness h;
	harness_start(&h, NULL);
	harness_user(&h, "ann");
	char *ann = signed_in(&h, "ann");
	int64_t id = add(&h, ann, "one", "laptop");
	char *before = harness_dump(&h);
	struct passkey_row p = row("one", "other", 9), q = row("two", "second", 0);
	h.hold = true;
	assert_null(ask(&h, CMD_PASSKEY_ADD, ann, 0, &q));
	assert_null(ask(&h, CMD_PASSKEY_RENAME, ann, id, &p));
	assert_null(ask(&h, CMD_PASSKEY_LOGIN, "", id, &p));
	assert_null(ask(&h, CMD_PASSKEY_DELETE, ann, id, NULL));
	harness_fail(&h);
	h.hold = false;
	harness_settle(&h);
	char *after = harness_dump(&h), *stored = harness_dump_db(&h);
	assert_string_equal(before, after);
	assert_string_equal(after, stored);
	free(before), free(after), free(stored);
	harness_stop(&h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(added_found_and_used),
		cmocka_unit_test(named_and_removed_by_whose_it_is),
		cmocka_unit_test(not_for_whom_the_provider_forgot),
		cmocka_unit_test(what_could_not_be_written_did_not_happen),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
