/* What a provider says of a person, as fairlead-oidc hands it over; and what a browser says of a login under way. */
#include <stdlib.h>

#include "common/text/json.h"
#include "server/login/claims.h"
#include "server/login/flow.h"
#include "server/login/totp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct config_list list_of(const char **s, size_t n)
{
	return (struct config_list){ s, n };
}

static void check(const json_t *answer, bool refresh)
{
	static const char *login[] = { "email", "upn", "preferred_username" }, *name[] = { "name" }, *picture[] = { "picture" },
		   *groups[] = { "groups", "roles", "realm_access.roles", "a.b.c.d.e.f.g.h.i.j" }, *domains[] = { "example.com" };
	struct config_oidc p = { .name = "oidc", .issuer = "https://id.example.com", .client_id = "fairlead", .email_verified_required = !refresh,
		.login_claims = list_of(login, 3), .name_claims = list_of(name, 1), .picture_claims = list_of(picture, 1),
		.groups_claims = list_of(groups, 4), .allowed_domains = list_of(domains, refresh ? 0 : 1) };
	struct claims_want want = { .provider = &p, .all = &p, .n_all = 1, .nonce = refresh ? NULL : "n1", .subject = refresh ? "42" : NULL,
		.wall_ms = 1800000000000 };
	struct arena a = arena_make(1 << 20);
	struct claims_got got = { 0 };
	struct claims_why why;

	if (claims_check(&want, answer, &a, &got, &why) == OK) {
		const struct login_facts *f = &got.facts;
		/* Whoever gets in is somebody, and no mail address came in unverified. */
		if (!*f->subject || !*f->login || f->n_groups > GROUPS_MAX || (p.email_verified_required && strchr(f->login, '@') && !*f->email))
			abort();
	}
	(void)!claims_check_logout(&want, json_object_get(answer, "claims"), &a, &got, &why);
	arena_done(&a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct secret32 key;
	json_t *answer = NULL;
	struct flow flow;
	uint8_t secret[TOTP_SECRET_LEN];

	if (json_parse(bytes_of(data, size), 1 << 18, 32, &answer, NULL) == OK) {
		check(answer, false);
		check(answer, true);
		json_decref(answer);
	}
	char *text = bytes_dup(bytes_of(data, size));
	if (!text)
		return 0;
	if (flow_open(&key, text, 1000, &flow) == OK)
		abort(); /* nobody can seal by chance */
	(void)!totp_parse(text, secret);
	(void)totp_check(secret, text, 1800000000000, 0);
	free(text);
	return 0;
}
