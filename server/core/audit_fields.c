#include "server/core/audit.h"

#include <sodium.h>
#include <stdio.h>

#include "common/base/cleanup.h"
#include "common/text/hex.h"
#include "common/text/jsonw.h"
#include "server/core/webhook_words.h"

/* ---- members ---- */

static void put(struct audit_fields *f, const char *name, struct buf *json, const struct jsonw *w)
{
	char *copy = jsonw_ok(w) ? arena_str(&f->a, buf_view(json)) : NULL;

	if (f->n < AUDIT_FIELDS_MAX && copy)
		f->f[f->n++] = (__typeof__(f->f[0])){ name, bytes_of(copy, buf_len(json)) };
	else
		f->failed = true;
	buf_done(json);
}

#define PUT(f, name, write)                                                                                            \
	do {                                                                                                           \
		struct buf out_ = buf_make(64 * 1024);                                                                 \
		struct jsonw w = jsonw_init(&out_);                                                                    \
		write;                                                                                                 \
		put(f, name, &out_, &w);                                                                               \
	} while (0)

void audit_put_text(struct audit_fields *f, const char *name, const char *v)
{
	size_t n = v ? strlen(v) : 0;

	if (n <= AUDIT_VALUE_MAX) {
		PUT(f, name, jsonw_str(&w, v));
		return;
	}
	/* Two long values that differ must not look the same: what is cut off shows as a hash of the whole. */
	uint8_t hash[16];
	char hex[2 * sizeof hash + 1];
	crypto_generichash(hash, sizeof hash, (const uint8_t *)v, n, NULL, 0);
	hex_encode(bytes_of(hash, sizeof hash), hex);
	char *cut = arena_printf(&f->a, "%.*s… (%zu bytes, blake2b %s)", AUDIT_VALUE_MAX / 2, v, n, hex);
	PUT(f, name, jsonw_str(&w, cut));
}

void audit_put_int(struct audit_fields *f, const char *name, int64_t v)
{
	PUT(f, name, jsonw_int(&w, v));
}

void audit_put_id(struct audit_fields *f, const char *name, int64_t v)
{
	char text[24];

	snprintf(text, sizeof text, "%lld", (long long)v);
	PUT(f, name, v ? jsonw_str(&w, text) : jsonw_null(&w));
}

void audit_put_time(struct audit_fields *f, const char *name, int64_t ms)
{
	PUT(f, name, ms ? jsonw_time(&w, ms) : jsonw_null(&w));
}

void audit_put_bool(struct audit_fields *f, const char *name, bool v)
{
	PUT(f, name, jsonw_bool(&w, v));
}

void audit_put_texts(struct audit_fields *f, const char *name, char *const *v, size_t n)
{
	struct buf out = buf_make(64 * 1024);
	struct jsonw w = jsonw_init(&out);

	jsonw_arr(&w);
	for (size_t i = 0; i < n; i++)
		jsonw_str(&w, v[i]);
	jsonw_arr_end(&w);
	put(f, name, &out, &w);
}

static void put_addr(struct audit_fields *f, const char *name, struct addr a)
{
	char text[ADDR_TEXT_MAX];

	audit_put_text(f, name, a.family ? addr_text(a, text) : "");
}

static void put_prefixes(struct audit_fields *f, const char *name, const struct prefix *p, size_t n)
{
	struct buf out = buf_make(64 * 1024);
	struct jsonw w = jsonw_init(&out);
	char text[PREFIX_TEXT_MAX];

	jsonw_arr(&w);
	for (size_t i = 0; i < n; i++)
		jsonw_str(&w, prefix_text(p[i], text));
	jsonw_arr_end(&w);
	put(f, name, &out, &w);
}

/* ---- kinds of rows ---- */

void audit_fields_user(struct audit_fields *f, const struct user_row *r)
{
	audit_put_text(f, "name", r->name);
	audit_put_text(f, "displayName", r->display_name);
	audit_put_text(f, "email", r->email);
	audit_put_text(f, "pictureUrl", r->picture_url);
	audit_put_text(f, "provider", r->provider);
	audit_put_text(f, "providerId", r->provider_id);
	audit_put_text(f, "role", user_role_text(r->role));
	audit_put_time(f, "suspended", r->suspended_ms);
	audit_put_bool(f, "approved", !r->waits_ms);
}

void audit_fields_node(struct audit_fields *f, const struct node_row *r)
{
	char text[KEY_TEXT_MAX];

	audit_put_bool(f, "keySigned", r->n_key_sig > 0);
	audit_put_text(f, "name", r->given_name);
	audit_put_text(f, "hostname", r->hostname);
	audit_put_id(f, "user", r->user_id);
	audit_put_texts(f, "tags", r->tags, r->n_tags);
	audit_put_text(f, "machineKey", machine_pub_text(&r->machine, text));
	audit_put_text(f, "nodeKey", node_pub_text(&r->key, text));
	put_addr(f, "ipv4", r->v4);
	put_addr(f, "ipv6", r->v6);
	audit_put_time(f, "expires", r->expires_ms);
	audit_put_bool(f, "keyExpiryDisabled", r->expiry_disabled);
	audit_put_bool(f, "ephemeral", r->ephemeral);
	audit_put_id(f, "authKey", r->authkey_id);
	put_prefixes(f, "approvedRoutes", r->approved_routes, r->n_approved);
	audit_put_bool(f, "approved", r->authorized);
	CLEANUP(freep) char *attrs = custom_attrs_text(r->attrs, r->n_attrs);
	audit_put_text(f, "attributes", attrs);
}

void audit_fields_authkey(struct audit_fields *f, const struct authkey_row *r)
{
	audit_put_text(f, "prefix", r->prefix);
	audit_put_id(f, "user", r->user_id);
	audit_put_texts(f, "tags", r->tags, r->n_tags);
	audit_put_bool(f, "reusable", r->reusable);
	audit_put_bool(f, "preauthorized", r->preauthorized);
	audit_put_bool(f, "ephemeral", r->ephemeral);
	audit_put_bool(f, "used", r->used);
	audit_put_time(f, "expires", r->expires_ms);
	audit_put_time(f, "revoked", r->revoked_ms);
	audit_put_text(f, "description", r->description);
}

void audit_fields_apikey(struct audit_fields *f, const struct apikey_row *r)
{
	audit_put_text(f, "prefix", r->prefix);
	audit_put_text(f, "type", apikey_is_federated(r) ? "federated" : r->kind == APIKEY_CLIENT ? "client" : r->kind == APIKEY_TOKEN ? "token" : "api");
	if (r->kind == APIKEY_TOKEN)
		audit_put_id(f, "client", r->parent_id);
	audit_put_id(f, "user", r->user_id);
	audit_put_text(f, "scopes", r->scopes);
	audit_put_texts(f, "tags", r->tags, r->n_tags);
	audit_put_text(f, "description", r->description);
	audit_put_time(f, "expires", r->expires_ms);
	audit_put_time(f, "revoked", r->revoked_ms);
	if (apikey_is_federated(r)) {
		audit_put_text(f, "issuer", r->issuer);
		audit_put_text(f, "subject", r->subject);
		audit_put_text(f, "audience", r->audience);
		audit_put_text(f, "claimRules", r->claim_rules);
	}
}

/* Of the secret only that it changed, and of the URL, which may be another one, where it leads. */
void audit_fields_webhook(struct audit_fields *f, const struct webhook_row *r)
{
	uint8_t hash[crypto_generichash_BYTES_MIN];
	char hex[2 * sizeof hash + 1], url[600];
	const char *secret = r->secret ? r->secret : "";

	crypto_generichash(hash, sizeof hash, (const uint8_t *)secret, strlen(secret), NULL, 0);
	hex_encode(bytes_of(hash, sizeof hash), hex);
	webhook_url_masked(r->url ? r->url : "", url, sizeof url);
	audit_put_text(f, "url", url);
	audit_put_text(f, "provider", r->provider);
	audit_put_text(f, "subscriptions", r->subscriptions);
	audit_put_text(f, "secretFingerprint", hex);
}

/* Every policy stays in its table: the log names the version. */
void audit_fields_policy(struct audit_fields *f, const struct policy_row *r)
{
	uint8_t hash[crypto_hash_sha256_BYTES];
	char hex[2 * sizeof hash + 1];
	size_t n = r->text ? strlen(r->text) : 0;

	crypto_hash_sha256(hash, (const uint8_t *)(r->text ? r->text : ""), n);
	hex_encode(bytes_of(hash, sizeof hash), hex);
	audit_put_int(f, "version", r->version);
	audit_put_text(f, "sha256", hex);
	audit_put_int(f, "bytes", (int64_t)n);
	audit_put_text(f, "note", r->note);
}

void audit_fields_service(struct audit_fields *f, const struct service_row *r)
{
	audit_put_text(f, "name", r->name);
	put_addr(f, "v4", r->v4);
	put_addr(f, "v6", r->v6);
	audit_put_text(f, "comment", r->comment);
	audit_put_text(f, "annotations", r->annotations);
	audit_put_texts(f, "ports", r->ports, r->n_ports);
	audit_put_texts(f, "tags", r->tags, r->n_tags);
	audit_put_texts(f, "approved", r->approved, r->n_approved);
	audit_put_texts(f, "hosts", r->hosts, r->n_hosts);
}

void audit_fields_setting(struct audit_fields *f, const struct setting_row *r)
{
	audit_put_text(f, "value", r->value);
}

void audit_fields_pending(struct audit_fields *f, const struct pending_row *r)
{
	char text[KEY_TEXT_MAX];

	audit_put_text(f, "hostname", r->hostname);
	audit_put_text(f, "os", r->os);
	audit_put_text(f, "machineKey", machine_pub_text(&r->machine, text));
	audit_put_text(f, "nodeKey", node_pub_text(&r->key, text));
	audit_put_texts(f, "requestTags", r->request_tags, r->n_request_tags);
}

void audit_fields_identity(struct audit_fields *f, const struct identity_row *r)
{
	audit_put_id(f, "user", r->user_id);
	audit_put_text(f, "provider", r->provider);
	audit_put_text(f, "issuer", r->issuer);
	audit_put_text(f, "subject", r->subject);
	audit_put_text(f, "login", r->login);
	audit_put_texts(f, "groups", r->groups, r->n_groups);
	audit_put_time(f, "gone", r->gone_ms);
}

void audit_fields_signin(struct audit_fields *f, const struct signin_row *r)
{
	audit_put_id(f, "user", r->user_id);
	audit_put_id(f, "identity", r->identity_id);
	audit_put_bool(f, "link", r->kind == SIGNIN_LINK);
	audit_put_text(f, "from", r->remote);
	audit_put_time(f, "expires", r->expires_ms);
}

/* Secrets are not recorded; that they changed is. */
void audit_fields_account(struct audit_fields *f, const struct account_row *r)
{
	audit_put_id(f, "user", r->user_id);
	audit_put_time(f, "changed", r->changed_ms);
}

void audit_fields_wish(struct audit_fields *f, const struct wish_row *r)
{
	audit_put_id(f, "user", r->user_id);
	audit_put_text(f, "what", r->what);
	audit_put_text(f, "why", r->why);
}

/* Not its counter and last use: they are no changes of the tailnet. */
void audit_fields_passkey(struct audit_fields *f, const struct passkey_row *r)
{
	audit_put_id(f, "user", r->user_id);
	audit_put_text(f, "name", r->name);
	audit_put_time(f, "created", r->created_ms);
}
