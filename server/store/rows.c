#include "server/store/rows.h"

#include "common/base/cleanup.h"

static const char *const role_texts[] = {
	[USER_MEMBER] = "member", [USER_OWNER] = "owner", [USER_ADMIN] = "admin", [USER_NETWORK_ADMIN] = "network-admin",
	[USER_IT_ADMIN] = "it-admin", [USER_AUDITOR] = "auditor", [USER_BILLING_ADMIN] = "billing-admin",
};

const char *user_role_text(enum user_role r)
{
	return (size_t)r < ARRAY_LEN(role_texts) ? role_texts[r] : "member";
}

err user_role_parse(const char *text, enum user_role *out)
{
	for (size_t i = 0; i < ARRAY_LEN(role_texts); i++)
		if (strcmp(text, role_texts[i]) == 0) {
			*out = (enum user_role)i;
			return OK;
		}
	return ERR_INVALID;
}

/* Copies of one row are made field by field into a zeroed *out; on the first failure all of it is given back. */

static err copy_str(char **out, const char *s)
{
	if (!s)
		return OK;
	*out = strdup(s);
	return *out ? OK : ERR_NOMEM;
}

static err copy_array(void **out, const void *p, size_t n, size_t each)
{
	size_t bytes;

	if (!n)
		return OK;
	if (__builtin_mul_overflow(n, each, &bytes))
		return ERR_NOMEM;
	*out = malloc(bytes);
	if (!*out)
		return ERR_NOMEM;
	memcpy(*out, p, bytes);
	return OK;
}

/* *n is counted up as strings are copied, so that a half-made list can be freed. */
static err copy_strs(char ***out, size_t *n, char *const *from, size_t count)
{
	if (!count)
		return OK;
	*out = calloc(count, sizeof **out);
	if (!*out)
		return ERR_NOMEM;
	for (; *n < count; (*n)++) {
		(*out)[*n] = strdup(from[*n] ? from[*n] : "");
		if (!(*out)[*n])
			return ERR_NOMEM;
	}
	return OK;
}

static void free_strs(char **s, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(s[i]);
	free(s);
}

/* The deep part of each row. The flat part was copied and its pointers cleared by the caller. */

static err copy_blob(uint8_t **out, size_t *n_out, const uint8_t *p, size_t n)
{
	TRY(copy_array((void **)out, p, n, 1));
	*n_out = n;
	return OK;
}

static err tailnet_deep(const struct tailnet_row *from, struct tailnet_row *out)
{
	return copy_str(&out->name, from->name);
}

static void tailnet_clear(struct tailnet_row *r)
{
	r->name = NULL;
}

static err user_deep(const struct user_row *from, struct user_row *out)
{
	TRY(copy_str(&out->name, from->name));
	TRY(copy_str(&out->display_name, from->display_name));
	TRY(copy_str(&out->email, from->email));
	TRY(copy_str(&out->picture_url, from->picture_url));
	TRY(copy_str(&out->provider, from->provider));
	return copy_str(&out->provider_id, from->provider_id);
}

static void user_clear(struct user_row *r)
{
	r->name = r->display_name = r->email = r->picture_url = r->provider = r->provider_id = NULL;
}

static err node_deep(const struct node_row *from, struct node_row *out)
{
	TRY(copy_str(&out->hostname, from->hostname));
	TRY(copy_str(&out->given_name, from->given_name));
	TRY(copy_str(&out->hostinfo_json, from->hostinfo_json));
	TRY(copy_array((void **)&out->endpoints, from->endpoints, from->n_endpoints, sizeof *from->endpoints));
	out->n_endpoints = from->n_endpoints;
	TRY(copy_array((void **)&out->approved_routes, from->approved_routes, from->n_approved,
			sizeof *from->approved_routes));
	out->n_approved = from->n_approved;
	TRY(copy_array((void **)&out->carried, from->carried, from->n_carried, sizeof *from->carried));
	out->n_carried = from->n_carried;
	TRY(custom_attrs_copy(from->attrs, from->n_attrs, &out->attrs, &out->n_attrs));
	TRY(copy_blob(&out->key_sig, &out->n_key_sig, from->key_sig, from->n_key_sig));
	TRY(copy_blob(&out->presence, &out->n_presence, from->presence, from->n_presence));
	return copy_strs(&out->tags, &out->n_tags, from->tags, from->n_tags);
}

static void node_clear(struct node_row *r)
{
	r->hostname = r->given_name = r->hostinfo_json = NULL;
	r->endpoints = NULL;
	r->approved_routes = r->carried = NULL;
	r->tags = NULL;
	r->attrs = NULL;
	r->key_sig = r->presence = NULL;
	r->n_endpoints = r->n_approved = r->n_carried = r->n_tags = r->n_attrs = r->n_key_sig = r->n_presence = 0;
}

static err authkey_deep(const struct authkey_row *from, struct authkey_row *out)
{
	TRY(copy_str(&out->description, from->description));
	return copy_strs(&out->tags, &out->n_tags, from->tags, from->n_tags);
}

static void authkey_clear(struct authkey_row *r)
{
	r->description = NULL;
	r->tags = NULL;
	r->n_tags = 0;
}

static err apikey_deep(const struct apikey_row *from, struct apikey_row *out)
{
	TRY(copy_str(&out->scopes, from->scopes));
	TRY(copy_str(&out->description, from->description));
	TRY(copy_str(&out->issuer, from->issuer));
	TRY(copy_str(&out->subject, from->subject));
	TRY(copy_str(&out->audience, from->audience));
	TRY(copy_str(&out->claim_rules, from->claim_rules));
	return copy_strs(&out->tags, &out->n_tags, from->tags, from->n_tags);
}

static void apikey_clear(struct apikey_row *r)
{
	r->scopes = r->description = r->issuer = r->subject = r->audience = r->claim_rules = NULL;
	r->tags = NULL;
	r->n_tags = 0;
}

static err pending_deep(const struct pending_row *from, struct pending_row *out)
{
	TRY(copy_str(&out->hostname, from->hostname));
	TRY(copy_str(&out->os, from->os));
	TRY(copy_str(&out->remote, from->remote));
	TRY(copy_str(&out->hostinfo_json, from->hostinfo_json));
	TRY(copy_blob(&out->key_sig, &out->n_key_sig, from->key_sig, from->n_key_sig));
	return copy_strs(&out->request_tags, &out->n_request_tags, from->request_tags, from->n_request_tags);
}

static void pending_clear(struct pending_row *r)
{
	r->hostname = r->os = r->remote = r->hostinfo_json = NULL;
	r->request_tags = NULL;
	r->key_sig = NULL;
	r->n_request_tags = r->n_key_sig = 0;
}

static err identity_deep(const struct identity_row *from, struct identity_row *out)
{
	TRY(copy_str(&out->provider, from->provider));
	TRY(copy_str(&out->issuer, from->issuer));
	TRY(copy_str(&out->subject, from->subject));
	TRY(copy_str(&out->login, from->login));
	TRY(copy_str(&out->refresh_token, from->refresh_token));
	return copy_strs(&out->groups, &out->n_groups, from->groups, from->n_groups);
}

static void identity_clear(struct identity_row *r)
{
	r->provider = r->issuer = r->subject = r->login = r->refresh_token = NULL;
	r->groups = NULL;
	r->n_groups = 0;
}

static err account_deep(const struct account_row *from, struct account_row *out)
{
	return copy_str(&out->password, from->password);
}

static void account_clear(struct account_row *r)
{
	r->password = NULL;
}

static err wish_deep(const struct wish_row *from, struct wish_row *out)
{
	TRY(copy_str(&out->what, from->what));
	return copy_str(&out->why, from->why);
}

static void wish_clear(struct wish_row *r)
{
	r->what = r->why = NULL;
}

static err passkey_deep(const struct passkey_row *from, struct passkey_row *out)
{
	TRY(copy_blob(&out->credential, &out->n_credential, from->credential, from->n_credential));
	TRY(copy_blob(&out->cose, &out->n_cose, from->cose, from->n_cose));
	return copy_str(&out->name, from->name);
}

static void passkey_clear(struct passkey_row *r)
{
	r->credential = r->cose = NULL;
	r->n_credential = r->n_cose = 0;
	r->name = NULL;
}

static err signin_deep(const struct signin_row *from, struct signin_row *out)
{
	TRY(copy_str(&out->provider_sid, from->provider_sid));
	TRY(copy_str(&out->remote, from->remote));
	return copy_str(&out->agent, from->agent);
}

static void signin_clear(struct signin_row *r)
{
	r->provider_sid = r->remote = r->agent = NULL;
}

static err policy_deep(const struct policy_row *from, struct policy_row *out)
{
	TRY(copy_str(&out->text, from->text));
	TRY(copy_str(&out->author, from->author));
	return copy_str(&out->note, from->note);
}

static void policy_clear(struct policy_row *r)
{
	r->text = r->author = r->note = NULL;
}

static err setting_deep(const struct setting_row *from, struct setting_row *out)
{
	TRY(copy_str(&out->key, from->key));
	return copy_str(&out->value, from->value);
}

static void setting_clear(struct setting_row *r)
{
	r->key = r->value = NULL;
}

static err audit_deep(const struct audit_row *from, struct audit_row *out)
{
	TRY(copy_str(&out->via, from->via));
	TRY(copy_str(&out->actor, from->actor));
	TRY(copy_str(&out->address, from->address));
	TRY(copy_str(&out->action, from->action));
	TRY(copy_str(&out->kind, from->kind));
	TRY(copy_str(&out->target_id, from->target_id));
	TRY(copy_str(&out->target, from->target));
	TRY(copy_str(&out->before, from->before));
	return copy_str(&out->after, from->after);
}

static void audit_clear(struct audit_row *r)
{
	r->via = r->actor = r->address = r->action = r->kind = r->target_id = r->target = r->before = r->after = NULL;
}

static err draft_deep(const struct draft_row *from, struct draft_row *out)
{
	TRY(copy_str(&out->owner, from->owner));
	return copy_str(&out->text, from->text);
}

static void draft_clear(struct draft_row *r)
{
	r->owner = r->text = NULL;
}

static err webhook_deep(const struct webhook_row *from, struct webhook_row *out)
{
	TRY(copy_str(&out->url, from->url));
	TRY(copy_str(&out->provider, from->provider));
	TRY(copy_str(&out->secret, from->secret));
	TRY(copy_str(&out->subscriptions, from->subscriptions));
	return copy_str(&out->creator, from->creator);
}

static void webhook_clear(struct webhook_row *r)
{
	r->url = r->provider = r->secret = r->subscriptions = r->creator = NULL;
}

static err server_key_deep(const struct server_key_row *from, struct server_key_row *out)
{
	TRY(copy_str(&out->name, from->name));
	TRY(copy_array((void **)&out->value, from->value, from->n, 1));
	out->n = from->n;
	return OK;
}

static void server_key_clear(struct server_key_row *r)
{
	r->name = NULL;
	r->value = NULL;
	r->n = 0;
}

static err service_deep(const struct service_row *from, struct service_row *out)
{
	TRY(copy_str(&out->name, from->name));
	TRY(copy_str(&out->comment, from->comment));
	TRY(copy_str(&out->annotations, from->annotations));
	TRY(copy_strs(&out->ports, &out->n_ports, from->ports, from->n_ports));
	TRY(copy_strs(&out->tags, &out->n_tags, from->tags, from->n_tags));
	TRY(copy_strs(&out->approved, &out->n_approved, from->approved, from->n_approved));
	return copy_strs(&out->hosts, &out->n_hosts, from->hosts, from->n_hosts);
}

static void service_clear(struct service_row *r)
{
	r->name = r->comment = r->annotations = NULL;
	r->ports = r->tags = r->approved = r->hosts = NULL;
	r->n_ports = r->n_tags = r->n_approved = r->n_hosts = 0;
}

static err lock_aum_deep(const struct lock_aum_row *from, struct lock_aum_row *out)
{
	return copy_blob(&out->raw, &out->n_raw, from->raw, from->n_raw);
}

static void lock_aum_clear(struct lock_aum_row *r)
{
	r->raw = NULL;
	r->n_raw = 0;
}

static err ssh_approval_deep(const struct ssh_approval_row *from, struct ssh_approval_row *out)
{
	(void)from, (void)out;
	return OK;
}

static void ssh_approval_clear(struct ssh_approval_row *r)
{
	(void)r;
}

#define ROW_COPY(kind)                                                                                                 \
	err kind##_row_copy(const struct kind##_row *from, struct kind##_row *out)                                     \
	{                                                                                                              \
		struct kind##_row r = *from;                                                                           \
                                                                                                                       \
		kind##_clear(&r);                                                                                      \
		err e = kind##_deep(from, &r);                                                                         \
		if (e != OK) {                                                                                         \
			kind##_row_done(&r);                                                                           \
			return e;                                                                                      \
		}                                                                                                      \
		*out = r;                                                                                              \
		return OK;                                                                                             \
	}
ROW_COPY(tailnet)
ROW_COPY(user)
ROW_COPY(node)
ROW_COPY(authkey)
ROW_COPY(apikey)
ROW_COPY(pending)
ROW_COPY(identity)
ROW_COPY(signin)
ROW_COPY(account)
ROW_COPY(passkey)
ROW_COPY(wish)
ROW_COPY(policy)
ROW_COPY(ssh_approval)
ROW_COPY(lock_aum)
ROW_COPY(service)
ROW_COPY(setting)
ROW_COPY(audit)
ROW_COPY(webhook)
ROW_COPY(draft)
ROW_COPY(server_key)

void tailnet_row_done(struct tailnet_row *r)
{
	free(r->name);
	*r = (struct tailnet_row){ 0 };
}

void user_row_done(struct user_row *r)
{
	free(r->name);
	free(r->display_name);
	free(r->email);
	free(r->picture_url);
	free(r->provider);
	free(r->provider_id);
	*r = (struct user_row){ 0 };
}

void identity_row_done(struct identity_row *r)
{
	free(r->provider);
	free(r->issuer);
	free(r->subject);
	free(r->login);
	free(r->refresh_token);
	free_strs(r->groups, r->n_groups);
	*r = (struct identity_row){ 0 };
}

void account_row_done(struct account_row *r)
{
	free(r->password);
	*r = (struct account_row){ 0 };
}

void wish_row_done(struct wish_row *r)
{
	free(r->what);
	free(r->why);
	*r = (struct wish_row){ 0 };
}

void passkey_row_done(struct passkey_row *r)
{
	free(r->credential);
	free(r->cose);
	free(r->name);
	*r = (struct passkey_row){ 0 };
}

void signin_row_done(struct signin_row *r)
{
	free(r->provider_sid);
	free(r->remote);
	free(r->agent);
	*r = (struct signin_row){ 0 };
}

void node_row_done(struct node_row *r)
{
	free(r->hostname);
	free(r->given_name);
	free(r->hostinfo_json);
	free(r->endpoints);
	free(r->approved_routes);
	free(r->carried);
	custom_attrs_free(r->attrs, r->n_attrs);
	free(r->key_sig);
	free(r->presence);
	free_strs(r->tags, r->n_tags);
	*r = (struct node_row){ 0 };
}

void authkey_row_done(struct authkey_row *r)
{
	free(r->description);
	free_strs(r->tags, r->n_tags);
	*r = (struct authkey_row){ 0 };
}

void apikey_row_done(struct apikey_row *r)
{
	free(r->scopes);
	free(r->description);
	free(r->issuer);
	free(r->subject);
	free(r->audience);
	free(r->claim_rules);
	free_strs(r->tags, r->n_tags);
	*r = (struct apikey_row){ 0 };
}

void pending_row_done(struct pending_row *r)
{
	free(r->hostname);
	free(r->os);
	free(r->remote);
	free(r->hostinfo_json);
	free(r->key_sig);
	free_strs(r->request_tags, r->n_request_tags);
	*r = (struct pending_row){ 0 };
}

void service_row_done(struct service_row *r)
{
	free(r->name);
	free(r->comment);
	free(r->annotations);
	free_strs(r->ports, r->n_ports);
	free_strs(r->tags, r->n_tags);
	free_strs(r->approved, r->n_approved);
	free_strs(r->hosts, r->n_hosts);
	*r = (struct service_row){ 0 };
}

void lock_aum_row_done(struct lock_aum_row *r)
{
	free(r->raw);
	*r = (struct lock_aum_row){ 0 };
}

void ssh_approval_row_done(struct ssh_approval_row *r)
{
	*r = (struct ssh_approval_row){ 0 };
}

void policy_row_done(struct policy_row *r)
{
	free(r->text);
	free(r->author);
	free(r->note);
	*r = (struct policy_row){ 0 };
}

void setting_row_done(struct setting_row *r)
{
	free(r->key);
	free(r->value);
	*r = (struct setting_row){ 0 };
}

void audit_row_done(struct audit_row *r)
{
	free(r->via);
	free(r->actor);
	free(r->address);
	free(r->action);
	free(r->kind);
	free(r->target_id);
	free(r->target);
	free(r->before);
	free(r->after);
	*r = (struct audit_row){ 0 };
}

void draft_row_done(struct draft_row *r)
{
	free(r->owner);
	free(r->text);
	*r = (struct draft_row){ 0 };
}

void webhook_row_done(struct webhook_row *r)
{
	free(r->url);
	free(r->provider);
	if (r->secret)
		sodium_memzero(r->secret, strlen(r->secret));
	free(r->secret);
	free(r->subscriptions);
	free(r->creator);
	*r = (struct webhook_row){ 0 };
}

void server_key_row_done(struct server_key_row *r)
{
	free(r->name);
	if (r->value)
		sodium_memzero(r->value, r->n);
	free(r->value);
	*r = (struct server_key_row){ 0 };
}
