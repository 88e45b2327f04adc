#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/arena.h"
#include "common/base/cleanup.h"
#include "common/text/toml.h"
#include "server/config_table.h"

/* [oidc]: one provider's keys stand there directly, as Headscale has them; [[oidc.providers]] adds more, each with the same keys
 * and defaults. */

enum { PROVIDERS_MAX = 15, SECRET_FILE_MAX = 4096, PROVIDER_NAME_MAX = 32 };

bool config_is_provider_key(const struct config_key *k)
{
	size_t at = offsetof(struct config, oidc);

	return k->offset >= at && k->offset < at + sizeof(struct config_oidc);
}

err config_read_params(struct config_load *l, const struct config_key *k, struct toml *t)
{
	struct config_list *list = config_field(k, l->c);

	if (t->kind != TOML_TABLE)
		return config_wrong(l, t, "%s must be a table of texts, such as { prompt = \"login\" }", k->path);
	toml_use_all(t);
	const char **s = arena_array(l->arena, t->list.n * 2 + 1, sizeof *s);
	size_t n = 0;
	if (!s)
		return ERR_NOMEM;
	for (const struct toml *v = t->list.first; v; v = v->next) {
		if (v->kind != TOML_STRING)
			return config_wrong(l, v, "%s.%s must be a text in quotes", k->path, v->key);
		s[n++] = v->key;
		s[n++] = (const char *)v->s.p;
	}
	*list = (struct config_list){ s, n };
	return OK;
}

static err read_provider(struct config_load *l, struct toml *t, struct config_oidc *out)
{
	struct config one = { .file = l->c->file };
	struct config_load sub = *l;

	sub.c = &one;
	for (size_t i = 0; i < config_keys_n; i++) {
		const struct config_key *k = &config_keys[i];
		if (!config_is_provider_key(k))
			continue;
		struct toml *v = toml_get(t, k->path + strlen("oidc."));
		TRY(v ? config_read_value(&sub, k, v) : config_read_default(&sub, k));
	}
	*out = one.oidc;
	return OK;
}

err config_read_providers(struct config_load *l, struct toml *t)
{
	if (t->kind != TOML_ARRAY || t->list.n > PROVIDERS_MAX)
		return config_wrong(l, t, "oidc.providers must be at most %d tables: [[oidc.providers]]", PROVIDERS_MAX);
	t->used = !t->list.n; /* what nobody takes inside is a mistake */
	struct config_oidc *list = arena_array(l->arena, t->list.n + 1, sizeof *list);
	size_t n = 0;
	if (!list)
		return ERR_NOMEM;
	for (struct toml *item = t->list.first; item; item = item->next) {
		if (item->kind != TOML_TABLE)
			return config_wrong(l, item, "oidc.providers: a provider is a table");
		TRY(read_provider(l, item, &list[n]));
		if (!list[n].issuer[0])
			return config_wrong(l, item, "oidc.providers: a provider needs an issuer");
		n++;
	}
	l->c->oidc_more = list;
	l->c->n_oidc_more = n;
	return OK;
}

/* ---- what belongs together ---- */

static err read_secret(struct config_load *l, struct config_oidc *p)
{
	char text[SECRET_FILE_MAX + 1];

	if (!!p->client_secret[0] + !!p->client_secret_path[0] + !!p->client_secret_env[0] > 1)
		return config_wrong(l, NULL, "oidc.%s: give one of client_secret, client_secret_path and client_secret_env", p->name);
	if (p->client_secret_env[0]) {
		const char *v = getenv(p->client_secret_env);
		if (!v || !v[0])
			return config_wrong(l, NULL, "oidc.%s: client_secret_env: the environment has no %s", p->name, p->client_secret_env);
		p->client_secret = arena_str(l->arena, bytes_str(v));
	} else if (p->client_secret_path[0]) {
		FILE *f = fopen(p->client_secret_path, "re");
		if (!f)
			return config_wrong(l, NULL, "oidc.%s: client_secret_path: %s: %s", p->name, p->client_secret_path, strerror(errno));
		size_t n = fread(text, 1, sizeof text, f);
		fclose(f);
		struct bytes b = bytes_trim(bytes_of(text, n));
		if (n > SECRET_FILE_MAX || !b.n)
			return config_wrong(l, NULL, "oidc.%s: client_secret_path: %s must hold the secret and nothing else", p->name,
					p->client_secret_path);
		p->client_secret = arena_str(l->arena, b);
	}
	return p->client_secret ? OK : ERR_NOMEM;
}

static bool is_name(const char *s)
{
	size_t n = strlen(s);

	for (size_t i = 0; i < n; i++)
		if (!isalnum((unsigned char)s[i]) && s[i] != '-')
			return false;
	return n && n <= PROVIDER_NAME_MAX;
}

static err check_provider(struct config_load *l, struct config_oidc *p)
{
	bool https = strncmp(p->issuer, "https://", 8) == 0, http = strncmp(p->issuer, "http://", 7) == 0, openid = false;
	size_t own = strlen(l->c->server_url);

	if (!is_name(p->name))
		return config_wrong(l, NULL, "oidc.name: \"%s\" must be letters, digits and \"-\", at most %d", p->name, PROVIDER_NAME_MAX);
	if ((!https && !http) || strpbrk(p->issuer, " ?#@\"<>\\") || !p->issuer[https ? 8 : 7])
		return config_wrong(l, NULL, "oidc.%s: issuer must be an https:// URL, not \"%s\"", p->name, p->issuer);
	/* Our own workload tokens must not sign anybody in. */
	if (strncmp(p->issuer, l->c->server_url, own) == 0 && (!p->issuer[own] || p->issuer[own] == '/'))
		return config_wrong(l, NULL, "oidc.%s: this server itself cannot be a login provider", p->name);
	if (!p->client_id[0])
		return config_wrong(l, NULL, "oidc.%s: client_id is missing", p->name);
	for (size_t i = 0; i < p->scope.n; i++)
		openid |= strcmp(p->scope.s[i], "openid") == 0;
	if (!openid)
		return config_wrong(l, NULL, "oidc.%s: scope must have \"openid\"", p->name);
	return read_secret(l, p);
}

static bool same_text_in(const struct config_list *a, const struct config_list *b, const char **out)
{
	for (size_t i = 0; i < a->n; i++)
		for (size_t k = 0; k < b->n; k++)
			if (bytes_eq_nocase(bytes_str(a->s[i]), bytes_str(b->s[k]))) {
				*out = a->s[i];
				return true;
			}
	return false;
}

err config_check_oidc(struct config_load *l)
{
	struct config *c = l->c;
	size_t n = c->n_oidc_more + (c->oidc.issuer[0] != 0);
	struct config_oidc *all = arena_array(l->arena, n + 1, sizeof *all);
	const char *same;

	if (!all)
		return ERR_NOMEM;
	if (!c->oidc.issuer[0] && c->oidc.client_id[0])
		return config_wrong(l, toml_get(l->root, "oidc.client_id"), "oidc.issuer is missing");
	if (c->oidc.issuer[0])
		all[0] = c->oidc;
	for (size_t i = 0; i < c->n_oidc_more; i++)
		all[n - c->n_oidc_more + i] = c->oidc_more[i];
	for (size_t i = 0; i < n; i++) {
		TRY(check_provider(l, &all[i]));
		for (size_t k = 0; k < i; k++) {
			if (strcmp(all[k].name, all[i].name) == 0)
				return config_wrong(l, NULL, "oidc.providers: two are called \"%s\"; give each a name", all[i].name);
			if (strcmp(all[k].issuer, all[i].issuer) == 0)
				return config_wrong(l, NULL, "oidc.providers: two have the issuer %s", all[i].issuer);
			if (same_text_in(&all[k].domains, &all[i].domains, &same))
				return config_wrong(l, NULL, "oidc.providers: the mail domain %s belongs to one provider only", same);
		}
	}
	c->oidc_all = all;
	c->n_oidc_all = n;
	return OK;
}
