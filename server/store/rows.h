/* rows: what the database keeps, one struct a table; also the shape in which the core holds it.
 *
 * Plain data. Strings and arrays are owned by the row (malloc); a NULL string reads as "". x_row_copy makes a deep copy
 * into *out (zeroed first; ERR_NOMEM leaves nothing behind), x_row_done frees what a row owns and zeroes it. Times are
 * Unix milliseconds; 0 means never or not yet, as said. Ids come from the core's persisted counters and are never used
 * twice. A new column goes into server/core/audit_fields.c, too, unless it is a secret or lazy. */
#pragma once

#include "common/crypto/keys.h"
#include "common/net/addr.h"

struct tailnet_row {
	int64_t id;
	char *name; /* "default" is the first */
};

/* What a user may do in the console and the API, and what policies ask (autogroup:admin …). As stored. */
enum user_role {
	USER_MEMBER,
	USER_OWNER, /* at most one in a tailnet */
	USER_ADMIN,
	USER_NETWORK_ADMIN,
	USER_IT_ADMIN,
	USER_AUDITOR,
	USER_BILLING_ADMIN,
};
const char *user_role_text(enum user_role r); /* "network-admin" */
MUST_USE err user_role_parse(const char *text, enum user_role *out); /* ERR_INVALID: none of them */

struct user_row {
	int64_t id, tailnet_id;
	char *name; /* unique in its tailnet, as typed; compared without case */
	char *display_name, *email, *picture_url;
	char *provider, *provider_id; /* "" and "" for a local user; "oidc" and issuer/sub otherwise */
	int64_t created_ms;
	enum user_role role;
	int64_t suspended_ms; /* since then its devices are cut off; 0: they are not */
	int64_t waits_ms; /* since then it waits for approval, where users have to (setting users_approval); 0: it was approved */
};

enum register_method { REGISTER_UNSPECIFIED, REGISTER_AUTH_KEY, REGISTER_CLI, REGISTER_OIDC };

enum {
	NODE_ENDPOINTS_MAX = 32,
	NODE_TAGS_MAX = 64,
	NODE_ROUTES_MAX = 512,
	NODE_ATTRS_MAX = 32,
	HOSTINFO_JSON_MAX = 64 * 1024,
};

/* For postures: "custom:tier". The value is a text without control characters, "true", or a number's text. */
struct custom_attr {
	char *name, *value; /* owned */
	char type;	    /* 's' text, 'n' number, 'b' bool */
	int64_t set_ms, expires_ms; /* expires 0: never */
};

struct node_row {
	int64_t id, tailnet_id;
	int64_t user_id; /* 0: tagged, owned by no user */
	struct machine_pub machine;
	struct node_pub key;
	struct disco_pub disco; /* zero: not known yet */
	struct nl_pub nl;	/* tailnet-lock key */
	struct addr v4, v6;	/* family 0: none */
	char *hostname;		/* as the client says */
	char *given_name;	/* DNS label, unique in its tailnet */
	bool given_name_auto;	/* derived from hostname; false once an admin renamed it */
	bool ephemeral;
	enum register_method method;
	int64_t authkey_id; /* 0: none */
	int64_t created_ms;
	int64_t expires_ms;   /* 0: never */
	bool expiry_disabled; /* expires_ms is 0 by an admin's wish … */
	int64_t kept_expires_ms; /* … and was this; 0: none */
	int64_t former_user_id;	 /* of a tagged node: whose it was; 0: nobody's */
	int64_t last_seen_ms; /* lazy */
	bool was_online;      /* at the last lazy write; for the grace after a start */
	int capver;
	int home_derp; /* 0: unknown */
	char *hostinfo_json; /* compact, as the client sent it; "" none */
	struct addrport *endpoints;
	size_t n_endpoints;
	char **tags; /* sorted, "tag:x" */
	size_t n_tags;
	struct prefix *approved_routes; /* sorted, masked */
	size_t n_approved;
	struct prefix *carried; /* lazy: shared routes that it carried; sorted */
	size_t n_carried;
	bool authorized; /* an administrator let it in, or nobody had to (device approval) */
	struct custom_attr *attrs; /* sorted by name */
	size_t n_attrs;
	uint8_t *key_sig; /* tailnet lock's signature of its key; n 0: none */
	size_t n_key_sig;
	uint8_t *presence; /* lazy: when it came and went, see NODE_PRESENCE_MAX */
	size_t n_presence;
};
/* Of a node's presence: 4 bytes a time, seconds since 1970, big-endian, ascending; after the last one it is was_online. */
enum { NODE_PRESENCE_MAX = 96, NODE_PRESENCE_S = 7 * 24 * 3600 };

/* As one text of lines, and back. The text is owned; NULL: no memory, or too long. ERR_MALFORMED, ERR_NOMEM: *out is NULL. */
char *custom_attrs_text(const struct custom_attr *a, size_t n);
MUST_USE err custom_attrs_parse(struct bytes text, struct custom_attr **out, size_t *n);
MUST_USE err custom_attrs_copy(const struct custom_attr *from, size_t n, struct custom_attr **out, size_t *n_out);
void custom_attrs_free(struct custom_attr *a, size_t n);

/* Secrets of keys are 32 random bytes that are shown once; only their BLAKE2b-256 is kept. Text forms:
 * "hskey-auth-" + 12 hex (prefix) + "-" + 64 hex (secret), and the same with "hskey-api-". */
enum { KEY_PREFIX_LEN = 12, KEY_HASH_LEN = 32 };

struct authkey_row {
	int64_t id, tailnet_id;
	int64_t user_id; /* 0: tags only */
	char prefix[KEY_PREFIX_LEN + 1];
	uint8_t hash[KEY_HASH_LEN];
	bool reusable, ephemeral, used;
	bool preauthorized; /* its nodes need no approval */
	int64_t created_ms, expires_ms; /* 0: never */
	int64_t revoked_ms;		/* 0: not */
	char *description;
	char **tags;
	size_t n_tags;
};

enum apikey_kind { APIKEY_KEY, APIKEY_CLIENT /* OAuth */, APIKEY_TOKEN /* that a client got, for an hour */ };

struct apikey_row {
	int64_t id, tailnet_id;
	char prefix[KEY_PREFIX_LEN + 1];
	uint8_t hash[KEY_HASH_LEN];
	int64_t created_ms, expires_ms; /* 0: never */
	int64_t last_seen_ms;		/* lazy */
	enum apikey_kind kind;
	int64_t user_id;   /* it may do at most what this user may; 0: the server's admin made it */
	int64_t parent_id; /* of a token: its client */
	char *scopes;	   /* words with spaces between, as given */
	char **tags;	   /* of a client or token: what it may give to nodes and keys */
	size_t n_tags;
	char *description;
	int64_t updated_ms, revoked_ms; /* 0: never, not */
	/* Of a federated identity, which is a client whose secret nobody has: 0131_federated_identity.sql. issuer NULL or "": it is none. */
	char *issuer, *subject, *audience, *claim_rules;
};
static inline bool apikey_is_federated(const struct apikey_row *r)
{
	return r->kind == APIKEY_CLIENT && r->issuer && r->issuer[0];
}

/* A login that waits for a person. auth_id: "hskey-authreq-" + 24 hex. */
enum { AUTH_ID_LEN = 38 };

struct pending_row {
	char auth_id[AUTH_ID_LEN + 1];
	int64_t tailnet_id;
	struct machine_pub machine;
	struct node_pub key, old_key; /* old_key zero: none */
	struct nl_pub nl;
	char *hostname, *os, *remote; /* for the page; remote: the address that asked, "" not known */
	char *hostinfo_json;
	char **request_tags;
	size_t n_request_tags;
	uint8_t *key_sig; /* came with the request; n 0: none */
	size_t n_key_sig;
	bool ephemeral;
	int capver;
	int64_t created_ms, expires_ms;
};

/* Tailscale SSH in check mode: the newest confirmation of a source for a destination. */
struct ssh_pair {
	int64_t src, dst; /* nodes */
};

struct ssh_approval_row {
	struct ssh_pair pair;
	int64_t tailnet_id;
	int64_t user_id; /* the source's owner at that time; 0: tagged */
	int64_t approved_ms;
};

enum {
	GROUPS_MAX = 512, /* of one person, from the provider */
	GROUP_LEN_MAX = 255,
	ISSUER_LEN_MAX = 2048,
	SUBJECT_LEN_MAX = 255,
	REFRESH_TOKEN_MAX = 8192,
};

/* An account at an identity provider. (issuer, subject) never changes its user but by an admin's hand. */
struct identity_row {
	int64_t id, tailnet_id, user_id;
	char *provider; /* its name in the configuration */
	char *issuer, *subject, *login;
	char **groups; /* sorted */
	size_t n_groups;
	char *refresh_token; /* "": none; a secret */
	int64_t created_ms, login_ms, checked_ms;
	int64_t gone_ms; /* 0: it is there */
};

enum { TOTP_SECRET_LEN = 20 };

/* How a user signs in without a provider. Secrets, all of it. */
struct account_row {
	int64_t id, tailnet_id, user_id;
	char *password; /* crypto_pwhash_str: Argon2id */
	uint8_t totp[TOTP_SECRET_LEN];
	int64_t totp_step; /* of the newest code that was used */
	int64_t created_ms, changed_ms;
};

enum { PASSKEY_NAME_MAX = 64, PASSKEYS_PER_USER_MAX = 16 };

enum { WISH_WHAT_MAX = 120, WISH_WHY_MAX = 400, WISHES_PER_USER_MAX = 8 }; /* bytes */

/* What a person asked to reach. */
struct wish_row {
	int64_t id, tailnet_id, user_id;
	char *what, *why;
	int64_t created_ms;
};

/* A passkey of a user (server/login/webauthn.h). Nothing in it is secret. */
struct passkey_row {
	int64_t id, tailnet_id, user_id;
	uint8_t *credential, *cose; /* owned */
	size_t n_credential, n_cose;
	int64_t sign_count; /* newest that it showed; 0: it does not count */
	char *name;
	bool synced;
	int64_t created_ms, used_ms; /* used 0: never */
};

enum signin_kind {
	SIGNIN_BROWSER, /* a cookie */
	SIGNIN_LINK,	 /* a link that signs a browser in, once */
};

/* Tokens are 32 random bytes that only the browser has; here is their BLAKE2b-256. */
struct signin_row {
	int64_t id, tailnet_id, user_id;
	int64_t identity_id; /* 0: a local login */
	enum signin_kind kind;
	uint8_t hash[KEY_HASH_LEN];
	char *provider_sid, *remote, *agent;
	int64_t created_ms;
	int64_t auth_ms; /* its person proved who they are */
	int64_t expires_ms;
	int64_t node_expires_ms; /* of the key of a device that it connects; 0: the default */
};

enum {
	SERVICES_MAX = 256,	 /* of one tailnet */
	SERVICE_PORTS_MAX = 64,
	SERVICE_HOSTS_MAX = 512, /* of one service */
	SERVICE_ANNOTATIONS_MAX = 65536,
	SERVICE_NAME_MAX = 67,
};

/* A VIP service. Lists of node ids are decimal texts. */
struct service_row {
	int64_t id, tailnet_id;
	char *name; /* "svc:web" */
	struct addr v4, v6;
	char *comment, *annotations; /* annotations: a JSON object of texts */
	char **ports; /* "tcp:443", "tcp:80-90", or "do-not-validate" alone */
	size_t n_ports;
	char **tags;
	size_t n_tags;
	char **approved; /* nodes that an admin approved as hosts */
	size_t n_approved;
	char **hosts; /* nodes that advertise it */
	size_t n_hosts;
	int64_t created_ms;
};

/* One update of a tailnet-lock authority. */
struct lock_aum_row {
	uint8_t hash[32];
	int64_t tailnet_id;
	int64_t id; /* ascending in the order they came */
	uint8_t *raw;
	size_t n_raw;
};

struct policy_row { /* every accepted policy is a version; the newest is in force */
	int64_t id, tailnet_id;
	char *text, *author, *note;
	int64_t created_ms;
	int64_t version; /* 1, 2, 3 … in its tailnet */
	bool weighed; /* the rest counts: see 0080_policy_weight.sql */
	int64_t gained, lost, machines;
};

struct setting_row { /* tailnet settings (tailnet_id > 0) and counters and marks of the server (tailnet_id 0) */
	int64_t tailnet_id;
	char *key, *value;
};

/* Who changed what; see 0050_audit.sql. before and after: compact JSON of the members that differ, "" where there was
 * nothing. What is recorded of a row: server/core/audit_fields.c. */
#define AUDIT_REPORT "report" /* action: a node told of itself. As online and offline only told, never stored */
struct audit_row {
	int64_t id, group_id, tailnet_id, at_ms;
	char *via, *actor, *address, *action, *kind, *target_id, *target, *before, *after;
};

struct draft_row { /* see 0081_policy_draft.sql */
	int64_t id, tailnet_id;
	char *owner, *text;
	int64_t base, updated_ms;
};

struct webhook_row { /* see 0053_webhook.sql, 0130_webhook_deleted.sql */
	int64_t id, tailnet_id;
	char *url, *provider, *secret, *subscriptions, *creator;
	int64_t created_ms, updated_ms;
	int64_t cursor; /* audit id that it has had; lazy */
	int64_t deleted_ms; /* gone, and still to be told so; 0: no */
};

/* Keys of the server itself: "noise", "derp", "tls_cert", "tls_key", … */
struct server_key_row {
	char *name;
	uint8_t *value; /* wiped when freed */
	size_t n;
};

#define ROW_TYPE(kind)                                                                                                 \
	MUST_USE err kind##_row_copy(const struct kind##_row *from, struct kind##_row *out);                           \
	void kind##_row_done(struct kind##_row *r);
ROW_TYPE(tailnet)
ROW_TYPE(user)
ROW_TYPE(node)
ROW_TYPE(authkey)
ROW_TYPE(apikey)
ROW_TYPE(pending)
ROW_TYPE(identity)
ROW_TYPE(signin)
ROW_TYPE(account)
ROW_TYPE(passkey)
ROW_TYPE(wish)
ROW_TYPE(policy)
ROW_TYPE(ssh_approval)
ROW_TYPE(lock_aum)
ROW_TYPE(service)
ROW_TYPE(setting)
ROW_TYPE(audit)
ROW_TYPE(webhook)
ROW_TYPE(draft)
ROW_TYPE(server_key)
