#include "server/login/claims.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "common/base/cleanup.h"

struct check { /* one answer on its way */
	const struct claims_want *want;
	const json_t *token, *info; /* info NULL: none that is of the same subject */
	struct arena *a;
	struct claims_why *why;
};

static err say(struct check *k, err e, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
static err say(struct check *k, err e, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(k->why->text, sizeof k->why->text, fmt, ap);
	va_end(ap);
	return e;
}

static const char *text_of(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s ? s : "";
}

/* Seconds since 1970; false: absent, or no number. */
static bool time_of(const json_t *o, const char *key, int64_t *out)
{
	const json_t *v = json_object_get(o, key);

	if (json_is_integer(v) && json_integer_value(v) > 0 && json_integer_value(v) < (1LL << 40))
		*out = json_integer_value(v);
	else if (json_is_real(v) && json_real_value(v) > 0 && json_real_value(v) < (double)(1LL << 40))
		*out = (int64_t)json_real_value(v);
	else
		return false;
	return true;
}

/* ---- is it for us, and for now ---- */

static err check_audience(struct check *k)
{
	const char *id = k->want->provider->client_id, *azp = text_of(k->token, "azp");
	const json_t *aud = json_object_get(k->token, "aud");
	bool ours = json_is_string(aud) && strcmp(json_string_value(aud), id) == 0;
	size_t n = json_array_size(aud);

	for (size_t i = 0; i < n; i++) {
		const char *one = json_string_value(json_array_get(aud, i));
		ours |= one && strcmp(one, id) == 0;
	}
	if (!ours)
		return say(k, ERR_AUTH, "the token is for another program (aud)");
	if ((n > 1 && !*azp) || (*azp && strcmp(azp, id) != 0))
		return say(k, ERR_AUTH, "the token was made for another program (azp)");
	return OK;
}

static err check_times(struct check *k)
{
	int64_t now = k->want->wall_ms / 1000, exp, iat, nbf;

	if (!time_of(k->token, "exp", &exp))
		return say(k, ERR_AUTH, "the token does not say when it ends (exp)");
	if (exp <= now - CLAIMS_SKEW_S)
		return say(k, ERR_AUTH, "the token has expired (exp)");
	if (!time_of(k->token, "iat", &iat))
		return say(k, ERR_AUTH, "the token does not say when it was made (iat)");
	if (iat > now + CLAIMS_SKEW_S)
		return say(k, ERR_AUTH, "the token is from the future (iat): is a clock wrong?");
	if (iat < now - CLAIMS_AGE_S)
		return say(k, ERR_AUTH, "the token is too old (iat): is a clock wrong?");
	if (json_object_get(k->token, "nbf") && (!time_of(k->token, "nbf", &nbf) || nbf > now + CLAIMS_SKEW_S))
		return say(k, ERR_AUTH, "the token is not valid yet (nbf)");
	return OK;
}

static bool is_clean(const char *s)
{
	for (const unsigned char *c = (const unsigned char *)s; *c; c++)
		if (*c < ' ' || *c == 0x7f)
			return false;
	return true;
}

static err check_subject(struct check *k)
{
	const char *sub = text_of(k->token, "sub");

	if (!*sub || strlen(sub) > SUBJECT_LEN_MAX || !is_clean(sub))
		return say(k, ERR_AUTH, "the token names nobody (sub)");
	if (k->want->subject && strcmp(k->want->subject, sub) != 0)
		return say(k, ERR_AUTH, "the token names somebody else (sub)");
	return OK;
}

static err check_token(struct check *k)
{
	const char *nonce = text_of(k->token, "nonce");

	if (strcmp(text_of(k->token, "iss"), k->want->provider->issuer) != 0)
		return say(k, ERR_AUTH, "the token is from another provider (iss)");
	TRY(check_audience(k));
	TRY(check_times(k));
	TRY(check_subject(k));
	/* A refreshed token may leave it out, but may not have another. */
	if (k->want->nonce && strcmp(nonce, k->want->nonce) != 0)
		return say(k, ERR_AUTH, "the token answers another login (nonce)");
	return OK;
}

/* ---- what it says ---- */

static const json_t *at_path(const json_t *o, const char *path)
{
	struct bytes rest = bytes_str(path);
	const json_t *whole = json_object_get(o, path); /* "https://example.com/groups" has dots, too */

	if (whole)
		return whole;
	for (int depth = 0; rest.p && depth < CLAIMS_PATH_DEPTH; depth++) {
		char key[128];
		struct bytes part = bytes_cut(rest, '.', &rest);
		if (bytes_copy(key, sizeof key - 1, part) != OK)
			return NULL;
		key[part.n] = 0;
		o = json_object_get(o, key);
	}
	return o;
}

/* Userinfo is fresher than the token where both speak. */
static const json_t *claim(struct check *k, const char *path)
{
	const json_t *v = k->info ? at_path(k->info, path) : NULL;

	return v && !json_is_null(v) ? v : at_path(k->token, path);
}

/* The first of paths that is a text of use. which: the path. */
static const char *first_text(struct check *k, const struct config_list *paths, const char **which)
{
	for (size_t i = 0; i < paths->n; i++) {
		const json_t *v = claim(k, paths->s[i]);
		const char *s = json_string_value(v);
		if (!s || !*s || strlen(s) > CLAIMS_TEXT_MAX || strlen(s) != json_string_length(v) || !is_clean(s))
			continue;
		if (which)
			*which = paths->s[i];
		return s;
	}
	return "";
}

/* Some providers write "true". */
static bool is_true(const json_t *v)
{
	return json_is_true(v) || (json_is_string(v) && strcmp(json_string_value(v), "true") == 0);
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* A text, or a list of them. */
static err read_groups(struct check *k, struct login_facts *f)
{
	const struct config_list *paths = &k->want->provider->groups_claims;
	const char **list = arena_array(k->a, GROUPS_MAX, sizeof *list);
	size_t n = 0, bytes = 0;

	if (!list)
		return ERR_NOMEM;
	for (size_t i = 0; i < paths->n && !n; i++) {
		const json_t *v = claim(k, paths->s[i]);
		size_t count = json_is_string(v) ? 1 : json_array_size(v);
		for (size_t g = 0; g < count; g++) {
			const char *s = json_string_value(json_is_string(v) ? v : json_array_get(v, g));
			if (!s || !*s || strlen(s) > GROUP_LEN_MAX || !is_clean(s))
				continue;
			if (n == GROUPS_MAX || bytes + strlen(s) + 1 > CLAIMS_GROUPS_TEXT_MAX)
				return say(k, ERR_DENIED, "the provider names more groups than can be kept (%d)", GROUPS_MAX);
			bytes += strlen(s) + 1;
			list[n] = arena_str(k->a, bytes_str(s));
			if (!list[n++])
				return ERR_NOMEM;
		}
	}
	if (n)
		qsort(list, n, sizeof *list, by_text);
	f->groups = list;
	for (size_t i = 0; i < n; i++)
		if (!f->n_groups || strcmp(list[f->n_groups - 1], list[i]) != 0)
			list[f->n_groups++] = list[i];
	return OK;
}

static const char *domain_of(const char *mail)
{
	const char *at = strrchr(mail, '@');

	return at ? at + 1 : "";
}

static bool has_text(const struct config_list *l, const char *text)
{
	for (size_t i = 0; i < l->n; i++)
		if (*text && strcasecmp(l->s[i], text) == 0)
			return true;
	return false;
}

/* ---- may this person sign in ---- */

static bool in_allowed_group(const struct config_list *l, const struct login_facts *f)
{
	for (size_t i = 0; i < l->n; i++)
		for (size_t g = 0; g < f->n_groups; g++)
			if (strcmp(l->s[i], f->groups[g]) == 0)
				return true;
	return false;
}

/* A mail domain that another provider has: its users are not signed in by this one. */
static const char *owner_of(const struct claims_want *w, const char *domain)
{
	for (size_t i = 0; i < w->n_all; i++)
		if (strcmp(w->all[i].name, w->provider->name) != 0 && has_text(&w->all[i].domains, domain))
			return w->all[i].name;
	return NULL;
}

static err may_enter(struct check *k, const struct login_facts *f, bool verified)
{
	const struct config_oidc *p = k->want->provider;
	bool by_mail = p->allowed_domains.n || p->allowed_users.n || p->domains.n;

	if (p->allowed_groups.n && !in_allowed_group(&p->allowed_groups, f))
		return say(k, ERR_DENIED, "your account is in none of the groups that may sign in");
	if (by_mail && p->email_verified_required && !verified)
		return say(k, ERR_DENIED, "the provider did not verify your mail address");
	if (p->allowed_domains.n && !has_text(&p->allowed_domains, domain_of(f->login)))
		return say(k, ERR_DENIED, "your mail domain may not sign in");
	if (p->allowed_users.n && !has_text(&p->allowed_users, f->login))
		return say(k, ERR_DENIED, "your mail address is not among those that may sign in");
	if (p->domains.n && !has_text(&p->domains, domain_of(f->login)))
		return say(k, ERR_DENIED, "your mail domain does not belong to this provider");
	const char *owner = owner_of(k->want, domain_of(f->login));
	if (owner)
		return say(k, ERR_DENIED, "people of your mail domain sign in by another provider: %s", owner);
	return OK;
}

static err read_person(struct check *k, const json_t *answer, struct login_facts *f)
{
	static const char *const short_names[] = { "preferred_username", "nickname" };
	const struct config_oidc *p = k->want->provider;
	const char *which = "";

	f->provider = p->name;
	f->issuer = p->issuer;
	f->subject = text_of(k->token, "sub");
	f->login = first_text(k, &p->login_claims, &which);
	bool verified = strcmp(which, "email") == 0 && is_true(claim(k, "email_verified"));
	if (!p->email_verified_required)
		verified = true;
	f->name = first_text(k, &(struct config_list){ (const char **)(uintptr_t)short_names, ARRAY_LEN(short_names) }, NULL);
	/* What looks like a mail address is one that rules and other people go by: it must be a verified one. Some providers let
	 * their users choose preferred_username freely. */
	if (strchr(f->name, '@'))
		f->name = "";
	if (!*f->login || (strchr(f->login, '@') && !verified))
		f->login = *f->name ? f->name : f->subject;
	f->email = verified && strchr(f->login, '@') ? f->login : "";
	f->display_name = first_text(k, &p->name_claims, NULL);
	f->picture_url = first_text(k, &p->picture_claims, NULL);
	if (strncmp(f->picture_url, "https://", 8) != 0)
		f->picture_url = "";
	f->provider_sid = strlen(text_of(k->token, "sid")) <= SUBJECT_LEN_MAX && is_clean(text_of(k->token, "sid")) ? text_of(k->token, "sid") : "";
	f->refresh_token = text_of(answer, "refresh_token");
	if (strlen(f->refresh_token) > REFRESH_TOKEN_MAX)
		f->refresh_token = "";
	TRY(read_groups(k, f));
	return may_enter(k, f, verified);
}

static err keep(struct arena *a, struct login_facts *f)
{
	const char **texts[] = { &f->provider, &f->issuer, &f->subject, &f->login, &f->email, &f->name, &f->display_name,
		&f->picture_url, &f->refresh_token, &f->provider_sid };

	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		*texts[i] = arena_str(a, bytes_str(*texts[i]));
		if (!*texts[i])
			return ERR_NOMEM;
	}
	return OK;
}

err claims_check(const struct claims_want *want, const json_t *answer, struct arena *a, struct claims_got *out, struct claims_why *why)
{
	struct check k = { .want = want, .token = json_object_get(answer, "claims"), .a = a, .why = why };
	const json_t *info = json_object_get(answer, "userinfo");
	struct login_facts f = { 0 };
	int64_t exp = 0;

	why->text[0] = 0;
	if (!json_is_object(k.token))
		return say(&k, ERR_AUTH, "the provider sent no token");
	TRY(check_token(&k));
	/* Somebody else's userinfo is nobody's. */
	if (json_is_object(info) && strcmp(text_of(info, "sub"), text_of(k.token, "sub")) == 0)
		k.info = info;
	/* Groups and mail addresses may stand in userinfo alone. Without it nobody gets in by what is not known, and nothing that is
	 * known already is taken away. */
	f.partial = json_is_string(json_object_get(answer, "userinfo_failed"));
	err e = read_person(&k, answer, &f);
	if (e == ERR_DENIED && f.partial)
		say(&k, e, "your account's details could not be read (the provider's userinfo endpoint failed), and without them you cannot be let in: "
			   "try again in a moment");
	if (e == OK)
		e = keep(a, &f);
	if (e == ERR_NOMEM)
		return say(&k, e, "out of memory");
	TRY(e);
	if (time_of(k.token, "exp", &exp))
		out->token_expires_ms = exp * 1000;
	out->facts = f;
	return OK;
}

err claims_check_logout(const struct claims_want *want, const json_t *claims, struct arena *a, struct claims_got *out,
		struct claims_why *why)
{
	struct check k = { .want = want, .token = claims, .a = a, .why = why };
	const json_t *events = json_object_get(claims, "events");
	struct login_facts f = { .provider = want->provider->name, .issuer = want->provider->issuer, .login = "", .email = "", .name = "",
		.display_name = "", .picture_url = "", .refresh_token = "" };

	why->text[0] = 0;
	if (!json_is_object(claims) || strcmp(text_of(claims, "iss"), want->provider->issuer) != 0)
		return say(&k, ERR_AUTH, "the token is from another provider (iss)");
	TRY(check_audience(&k));
	TRY(check_times(&k));
	if (json_object_get(claims, "nonce"))
		return say(&k, ERR_AUTH, "an ID token is no logout token (nonce)");
	if (!json_is_object(json_object_get(events, "http://schemas.openid.net/event/backchannel-logout")))
		return say(&k, ERR_AUTH, "this is no logout token (events)");
	if (!*text_of(claims, "jti"))
		return say(&k, ERR_AUTH, "the logout token has no jti");
	f.subject = text_of(claims, "sub");
	f.provider_sid = text_of(claims, "sid");
	if ((!*f.subject && !*f.provider_sid) || strlen(f.subject) > SUBJECT_LEN_MAX || strlen(f.provider_sid) > SUBJECT_LEN_MAX)
		return say(&k, ERR_AUTH, "the logout token names nobody");
	if (keep(a, &f) != OK)
		return say(&k, ERR_NOMEM, "out of memory");
	out->facts = f;
	return OK;
}
