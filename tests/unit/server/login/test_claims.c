/* Whom a provider's answer lets in, claim by claim. */
#include "server/login/claims.h"

#include <stdio.h>

#include "tests/lib/test.h"

#define NOW_S 1800000000LL

static const char *const email_paths[] = { "email", "upn", "preferred_username" };
static const char *const name_paths[] = { "name" };
static const char *const group_paths[] = { "groups", "realm_access.roles" };
static const char *const empty[] = { "" };

static struct config_list list_of(const char *const *s, size_t n)
{
	return (struct config_list){ (const char **)(uintptr_t)s, n };
}

static struct config_oidc provider(void)
{
	return (struct config_oidc){
		.name = "oidc", .issuer = "https://id.example.com", .client_id = "fairlead", .email_verified_required = true,
		.login_claims = list_of(email_paths, 3), .name_claims = list_of(name_paths, 1), .groups_claims = list_of(group_paths, 2),
		.picture_claims = list_of(empty, 0),
	};
}

static json_t *good(void)
{
	return json_pack("{s:{s:s, s:s, s:s, s:I, s:I, s:s, s:s, s:b, s:s, s:[s,s,s]}, s:n, s:s}", "claims", "iss",
			"https://id.example.com", "aud", "fairlead", "sub", "42", "exp", (json_int_t)NOW_S + 300, "iat", (json_int_t)NOW_S,
			"nonce", "n1", "email", "ann@example.com", "email_verified", 1, "name", "Ann", "groups", "b", "a", "b", "userinfo",
			"refresh_token", "r");
}

static err check(const struct config_oidc *p, const json_t *answer, struct arena *a, struct claims_got *got, struct claims_why *why)
{
	struct claims_want w = { .provider = p, .all = p, .n_all = 1, .nonce = "n1", .wall_ms = NOW_S * 1000 };

	return claims_check(&w, answer, a, got, why);
}

/* With this claim instead (value taken; NULL: without it) it ends so, and the sentence has part in it. */
static void with(const char *name, json_t *value, err wanted, const char *part)
{
	struct config_oidc p = provider();
	struct arena a = arena_make(0);
	struct claims_got got = { 0 };
	struct claims_why why = { "" };
	json_t *answer = good(), *claims = json_object_get(answer, "claims");

	if (value)
		json_object_set_new(claims, name, value);
	else
		json_object_del(claims, name);
	err e = check(&p, answer, &a, &got, &why);
	if (e != wanted || !strstr(why.text, part))
		fail_msg("%s: %s (%s), wanted %s (%s)", name, err_text(e), why.text, err_text(wanted), part);
	json_decref(answer);
	arena_done(&a);
}

static void a_good_one_passes(void **state)
{
	(void)state;
	struct config_oidc p = provider();
	struct arena a = arena_make(0);
	struct claims_got got = { 0 };
	struct claims_why why;
	json_t *answer = good();

	assert_ok(check(&p, answer, &a, &got, &why));
	json_decref(answer); /* what was found does not live in it */
	assert_string_equal(got.facts.issuer, "https://id.example.com");
	assert_string_equal(got.facts.subject, "42");
	assert_string_equal(got.facts.login, "ann@example.com");
	assert_string_equal(got.facts.email, "ann@example.com");
	assert_string_equal(got.facts.display_name, "Ann");
	assert_string_equal(got.facts.refresh_token, "r");
	assert_int_equal(got.facts.n_groups, 2); /* sorted, each once */
	assert_string_equal(got.facts.groups[0], "a");
	assert_string_equal(got.facts.groups[1], "b");
	assert_int_equal(got.token_expires_ms, (NOW_S + 300) * 1000);
	arena_done(&a);
}

static void tokens_of_others_are_refused(void **state)
{
	(void)state;
	with("iss", json_string("https://id.example.com/"), ERR_AUTH, "(iss)");
	with("iss", NULL, ERR_AUTH, "(iss)");
	with("aud", json_string("another"), ERR_AUTH, "(aud)");
	with("aud", NULL, ERR_AUTH, "(aud)");
	with("aud", json_pack("[s]", "fairlead"), OK, "");
	with("aud", json_pack("[s,s]", "fairlead", "another"), ERR_AUTH, "(azp)");
	with("aud", json_pack("[i]", 1), ERR_AUTH, "(aud)");
	with("azp", json_string("another"), ERR_AUTH, "(azp)");
	with("azp", json_string("fairlead"), OK, "");
	with("nonce", json_string("n2"), ERR_AUTH, "(nonce)");
	with("nonce", NULL, ERR_AUTH, "(nonce)");
	with("nonce", json_integer(1), ERR_AUTH, "(nonce)");
	with("sub", NULL, ERR_AUTH, "(sub)");
	with("sub", json_string(""), ERR_AUTH, "(sub)");
	with("sub", json_integer(42), ERR_AUTH, "(sub)");
	with("sub", json_string("a\nb"), ERR_AUTH, "(sub)");
}

static void times_are_bounded(void **state)
{
	(void)state;
	with("exp", NULL, ERR_AUTH, "(exp)");
	with("exp", json_string("1800000300"), ERR_AUTH, "(exp)");
	with("exp", json_integer(NOW_S - CLAIMS_SKEW_S - 1), ERR_AUTH, "expired");
	with("exp", json_integer(NOW_S - CLAIMS_SKEW_S + 1), OK, "");
	with("exp", json_real((double)NOW_S + 5.5), OK, "");
	with("exp", json_integer(INT64_MAX), ERR_AUTH, "(exp)");
	with("exp", json_integer(-5), ERR_AUTH, "(exp)");
	with("iat", NULL, ERR_AUTH, "(iat)");
	with("iat", json_integer(NOW_S + CLAIMS_SKEW_S + 1), ERR_AUTH, "future");
	with("iat", json_integer(NOW_S - CLAIMS_AGE_S - 1), ERR_AUTH, "too old");
	with("nbf", json_integer(NOW_S + CLAIMS_SKEW_S + 1), ERR_AUTH, "(nbf)");
	with("nbf", json_string("x"), ERR_AUTH, "(nbf)");
	with("nbf", json_integer(NOW_S + 1), OK, "");
}

/* {claims with more} against a provider; both taken. */
static struct login_facts facts_of(struct config_oidc p, const char *drop, json_t *more, json_t *info, struct arena *a, err wanted,
		const char *part)
{
	struct claims_got got = { 0 };
	struct claims_why why = { "" };
	json_t *answer = good(), *claims = json_object_get(answer, "claims");

	if (drop)
		json_object_del(claims, drop);
	if (more)
		json_object_update(claims, more);
	if (info)
		json_object_set(answer, "userinfo", info);
	err e = check(&p, answer, a, &got, &why);
	if (e != wanted || !strstr(why.text, part))
		fail_msg("%s (%s), wanted %s (%s)", err_text(e), why.text, err_text(wanted), part);
	json_decref(answer);
	json_decref(more);
	json_decref(info);
	return got.facts;
}

static void an_unverified_address_names_nobody(void **state)
{
	(void)state;
	struct arena a = arena_make(0);
	struct config_oidc p = provider();

	struct login_facts f = facts_of(p, "email_verified", NULL, NULL, &a, OK, "");
	assert_string_equal(f.email, "");
	assert_string_equal(f.login, "42");
	f = facts_of(p, "email_verified", json_pack("{s:s}", "email_verified", "true"), NULL, &a, OK, "");
	assert_string_equal(f.email, "ann@example.com");
	/* A name that a person may choose freely is no address either. */
	f = facts_of(p, "email", json_pack("{s:s}", "preferred_username", "boss@example.com"), NULL, &a, OK, "");
	assert_string_equal(f.login, "42");
	assert_string_equal(f.name, "");
	assert_string_equal(f.email, "");
	f = facts_of(p, "email", json_pack("{s:s}", "preferred_username", "ann"), NULL, &a, OK, "");
	assert_string_equal(f.login, "ann");
	p.email_verified_required = false;
	f = facts_of(p, "email", json_pack("{s:s}", "upn", "ann@corp.example"), NULL, &a, OK, "");
	assert_string_equal(f.email, "ann@corp.example");
	arena_done(&a);
}

static void without_userinfo_nobody_gets_in_by_what_is_not_known(void **state)
{
	(void)state;
	struct arena a = arena_make(1 << 20);
	struct config_oidc p = provider();
	const char *ops[] = { "ops" }, *b[] = { "b" };
	json_t *answer = good();
	struct claims_got got = { 0 };
	struct claims_why why;

	json_object_set_new(answer, "userinfo_failed", json_string("status 500"));
	assert_ok(check(&p, answer, &a, &got, &why));
	assert_true(got.facts.partial);
	/* The token names the group: that is enough. It does not: nobody is let in, and told why. */
	p.allowed_groups = (struct config_list){ b, 1 };
	assert_ok(check(&p, answer, &a, &got, &why));
	p.allowed_groups = (struct config_list){ ops, 1 };
	assert_int_equal(check(&p, answer, &a, &got, &why), ERR_DENIED);
	assert_non_null(strstr(why.text, "userinfo"));
	json_object_del(answer, "userinfo_failed");
	assert_int_equal(check(&p, answer, &a, &got, &why), ERR_DENIED);
	assert_non_null(strstr(why.text, "none of the groups"));
	json_decref(answer);
	arena_done(&a);
}

static void userinfo_counts_for_the_same_subject(void **state)
{
	(void)state;
	struct arena a = arena_make(0);
	struct config_oidc p = provider();

	struct login_facts f = facts_of(p, NULL, NULL, json_pack("{s:s, s:s, s:[s]}", "sub", "42", "name", "Ann B", "groups", "z"), &a, OK, "");
	assert_string_equal(f.display_name, "Ann B");
	assert_string_equal(f.groups[0], "z");
	f = facts_of(p, NULL, NULL, json_pack("{s:s, s:s}", "sub", "43", "name", "Eve"), &a, OK, "");
	assert_string_equal(f.display_name, "Ann");
	f = facts_of(p, NULL, NULL, json_pack("{s:s}", "name", "Eve"), &a, OK, "");
	assert_string_equal(f.display_name, "Ann");
	/* Claim paths: below an object, and a name with dots. */
	f = facts_of(p, "groups", json_pack("{s:{s:s}}", "realm_access", "roles", "one"), NULL, &a, OK, "");
	assert_int_equal(f.n_groups, 1);
	assert_string_equal(f.groups[0], "one");
	static const char *const dotted[] = { "https://example.com/groups" };
	p.groups_claims = list_of(dotted, 1);
	f = facts_of(p, NULL, json_pack("{s:[s]}", "https://example.com/groups", "two"), NULL, &a, OK, "");
	assert_string_equal(f.groups[0], "two");
	arena_done(&a);
}

static void the_lists_are_obeyed(void **state)
{
	(void)state;
	static const char *const domains[] = { "Example.com" }, *const others[] = { "other.example" }, *const users[] = { "ann@EXAMPLE.com" },
		     *const groups[] = { "x", "b" }, *const no_groups[] = { "x" };
	struct arena a = arena_make(0);
	struct config_oidc p = provider();

	p.allowed_domains = list_of(domains, 1), p.allowed_users = list_of(users, 1), p.allowed_groups = list_of(groups, 2);
	facts_of(p, NULL, NULL, NULL, &a, OK, "");
	facts_of(p, "email_verified", NULL, NULL, &a, ERR_DENIED, "did not verify");
	p.allowed_groups = list_of(no_groups, 1);
	facts_of(p, NULL, NULL, NULL, &a, ERR_DENIED, "none of the groups");
	p.allowed_groups = list_of(empty, 0), p.allowed_domains = list_of(others, 1);
	facts_of(p, NULL, NULL, NULL, &a, ERR_DENIED, "domain may not");
	p.allowed_domains = list_of(empty, 0);
	facts_of(p, "email", json_pack("{s:s}", "email", "eve@example.com"), NULL, &a, ERR_DENIED, "not among those");
	p.allowed_users = list_of(empty, 0);
	p.domains = list_of(others, 1);
	facts_of(p, NULL, NULL, NULL, &a, ERR_DENIED, "does not belong");

	/* Another provider has the domain. */
	struct config_oidc both[2] = { provider(), provider() };
	both[1].name = "second";
	both[1].domains = list_of(domains, 1);
	struct claims_want w = { .provider = &both[0], .all = both, .n_all = 2, .nonce = "n1", .wall_ms = NOW_S * 1000 };
	struct claims_got got;
	struct claims_why why;
	json_t *answer = good();
	assert_int_equal(claims_check(&w, answer, &a, &got, &why), ERR_DENIED);
	assert_non_null(strstr(why.text, "second"));
	json_decref(answer);
	arena_done(&a);
}

static void groups_are_bounded(void **state)
{
	(void)state;
	struct arena a = arena_make(0);
	json_t *many = json_array();

	for (int i = 0; i < GROUPS_MAX + 1; i++)
		json_array_append_new(many, json_sprintf("group-%d", i));
	facts_of(provider(), NULL, json_pack("{s:o}", "groups", many), NULL, &a, ERR_DENIED, "more groups");
	/* What is no text, or cannot be a line of the row, is left out. */
	struct login_facts f = facts_of(provider(), NULL, json_pack("{s:[i,s,s,s]}", "groups", 1, "", "a\nb", "c"), NULL, &a, OK, "");
	assert_int_equal(f.n_groups, 1);
	assert_string_equal(f.groups[0], "c");
	arena_done(&a);
}

static json_t *logout_token(void)
{
	return json_pack("{s:s, s:s, s:s, s:s, s:s, s:I, s:I, s:{s:{}}}", "iss", "https://id.example.com", "aud", "fairlead", "sub", "42", "sid",
			"s", "jti", "j", "iat", (json_int_t)NOW_S, "exp", (json_int_t)NOW_S + 60, "events",
			"http://schemas.openid.net/event/backchannel-logout");
}

static void logout_with(const char *name, json_t *value, err wanted)
{
	struct config_oidc p = provider();
	struct claims_want w = { .provider = &p, .wall_ms = NOW_S * 1000 };
	struct arena a = arena_make(0);
	struct claims_got got = { 0 };
	struct claims_why why;
	json_t *t = logout_token();

	if (value)
		json_object_set_new(t, name, value);
	else
		json_object_del(t, name);
	assert_int_equal(claims_check_logout(&w, t, &a, &got, &why), wanted);
	json_decref(t);
	arena_done(&a);
}

static void logout_tokens_are_their_own_kind(void **state)
{
	(void)state;
	logout_with("x", NULL, OK);
	logout_with("sid", NULL, OK);
	logout_with("sub", NULL, OK);
	logout_with("events", NULL, ERR_AUTH);
	logout_with("events", json_pack("{s:{}}", "http://other"), ERR_AUTH);
	logout_with("nonce", json_string("n1"), ERR_AUTH); /* an ID token */
	logout_with("jti", NULL, ERR_AUTH);
	logout_with("aud", json_string("another"), ERR_AUTH);
	logout_with("iss", json_string("https://evil.example"), ERR_AUTH);
	logout_with("iat", json_integer(NOW_S - 3600), ERR_AUTH);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_good_one_passes),
		cmocka_unit_test(tokens_of_others_are_refused),
		cmocka_unit_test(times_are_bounded),
		cmocka_unit_test(an_unverified_address_names_nobody),
		cmocka_unit_test(without_userinfo_nobody_gets_in_by_what_is_not_known),
		cmocka_unit_test(userinfo_counts_for_the_same_subject),
		cmocka_unit_test(the_lists_are_obeyed),
		cmocka_unit_test(groups_are_bounded),
		cmocka_unit_test(logout_tokens_are_their_own_kind),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
