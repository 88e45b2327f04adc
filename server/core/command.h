/* command: what admins, tools and pages ask of the core, and what it answers. The CLI (over the unix socket), REST and
 * the console all send these; there is no other way in.
 *
 * A command is built by the caller (strings owned by its arena), given to core_post, and comes back as a reply. */
#pragma once

#include "common/base/arena.h"
#include "server/core/scope.h"
#include "server/store/rows.h"

enum command_kind {
	CMD_HEALTH,  /* answered when everything before it is durable */
	CMD_VERIFY,  /* may this node key use a relay? arg: key */

	CMD_USER_CREATE, /* name, display_name, email, picture_url -> users[0] */
	CMD_USER_LIST,	 /* filters: id, name, email; none = all -> users */
	CMD_USER_RENAME, /* id, new_name -> users[0] */
	CMD_USER_DELETE, /* id, with_nodes, or user: who gets its nodes; else ERR_STATE while it has some */
	CMD_USER_ROLE,	 /* id, role ("network-admin") -> users[0]; a new owner makes the old one an admin */
	CMD_USER_SUSPEND, /* id -> users[0]: its devices are cut off at once; ERR_STATE: the owner */
	CMD_USER_RESTORE, /* id -> users[0] */
	CMD_USER_APPROVE, /* id -> users[0]: it waits no more (setting users_approval), and its devices take part */

	/* With key_text, a token, only one's own node, and only GET, RENAME, RENEW, EXPIRE (now) and DELETE: /my. */
	CMD_NODE_LIST,		 /* filter: user (name, email or id text; "" = all), or ids -> nodes, lock_on */
	CMD_NODE_GET,		 /* id -> nodes[0] */
	CMD_NODE_DELETE,	 /* id */
	CMD_NODE_EXPIRE,	 /* id, at_ms (0 = now), disable (never) -> nodes[0] */
	CMD_NODE_RENEW,		 /* id, key_text: a token: its key lives on, as if its owner had signed in on it now -> nodes[0] */
	CMD_NODE_ENABLE_EXPIRY,	 /* id: after disable -> nodes[0] */
	CMD_NODE_RENAME,	 /* id, new_name -> nodes[0] */
	CMD_NODE_TAGS,		 /* id, tags -> nodes[0] */
	CMD_NODE_APPROVE_ROUTES, /* id, routes: the new list, or how: what is put in, taken out -> nodes[0] */
	CMD_NODE_MOVE,		 /* id, user -> nodes[0] */
	CMD_NODE_APPROVE,	 /* id; disable: it waits again -> nodes[0] */
	CMD_NODE_SET_IP,	 /* id, addrs: one of each family at most -> nodes[0]; ERR_EXISTS: another node's */
	CMD_NODE_ATTR_SET,	 /* id, name "custom:x", text: JSON text, number, true or false, expires_ms -> nodes[0] */
	CMD_NODE_ATTR_DELETE,	 /* id, name -> nodes[0] */
	CMD_NODE_ATTRS_PATCH,	 /* attr_changes: of several nodes, all of them or none */
	CMD_NODE_DEBUG,		 /* id -> text: JSON: its stream, what it was told, the map it should have */
	CMD_NODE_C2N,		 /* id, text: path ("/echo", "/posture/identity"), at_ms: wait so long -> status, text, took_ms */
	CMD_NODE_BACKFILL_IPS,	 /* -> lines: what was given to whom */

	CMD_AUTH_GET,	   /* auth_id -> pendings[0], or ssh_checks[0]; key_text, a token -> expires_ms: when the device's key would end */
	CMD_AUTH_LIST,	   /* -> pendings, ssh_checks */
	CMD_AUTH_REGISTER, /* auth_id, user -> nodes[0] */
	CMD_AUTH_APPROVE,  /* auth_id; of an SSH check with user: only the owner of the source, whose session (key_text, a token) is newer than the check (ERR_AUTH) */
	CMD_AUTH_REJECT,   /* auth_id */

	/* Signing in: command_login.c. A token is what a browser's cookie holds. */
	CMD_LOGIN,	      /* login, agent, expires_ms, at_ms: of nodes' keys, 0 = default -> users[0], signins[0], secret: the token. ERR_EXISTS: an admin must link */
	CMD_IDENTITY_LIST,    /* user: "" = all -> identities */
	CMD_IDENTITY_LINK,    /* user, login: provider, issuer, subject -> identities[0] */
	CMD_IDENTITY_UNLINK,  /* id */
	CMD_IDENTITY_REFRESH, /* id, login: what the provider says now -> identities[0] */
	CMD_IDENTITY_TOKEN,   /* id, login: issuer, subject and refresh_token, which is all that the provider said -> identities[0] */
	CMD_IDENTITY_GONE,    /* id, disable: its user's nodes expire, too -> identities[0] */
	CMD_BACK_CHANNEL,     /* login: issuer, subject and provider_sid ("" = any), disable as above */
	CMD_LINK_MAKE,	      /* user ("" = the owner; who is not there while nobody is, becomes the owner), expires_ms -> users[0], signins[0], secret: signs a browser in, once */
	CMD_LINK_LOOK,	      /* key_text: a link's secret -> users[0]; ERR_AUTH */
	CMD_LINK_USE,	      /* key_text: a link's secret, agent, expires_ms -> users[0], signins[0], secret: a token */
	CMD_ACCOUNT_GET,      /* user: name or mail address -> users[0], account: secrets, for who checks a password; ERR_NOT_FOUND */
	CMD_ACCOUNT_SET,      /* key_text: a token, account: password, totp, totp_step -> users[0] */
	CMD_ACCOUNT_LOGIN,    /* account: what was checked, agent, expires_ms -> as CMD_LOGIN; ERR_AUTH: the code was used, or it changed */
	CMD_ACCOUNT_DELETE,   /* user */
	CMD_PASSKEY_FIND,     /* passkey: credential -> passkeys[0], users[0]; ERR_NOT_FOUND */
	CMD_PASSKEY_ADD,      /* key_text: a token, passkey: credential, cose, sign_count, name, synced -> passkeys[0], users[0] */
	CMD_PASSKEY_LOGIN,    /* id, passkey: sign_count, synced, agent, expires_ms -> as CMD_LOGIN; ERR_AUTH: it was removed, or its counter is old */
	CMD_PASSKEY_LIST,     /* key_text: a token, for one's own; or user: "" = all -> passkeys, users (one each) */
	CMD_PASSKEY_RENAME,   /* id, new_name; key_text: a token, for one's own -> passkeys[0] */
	CMD_PASSKEY_DELETE,   /* id; key_text: a token, for one's own. Its user's local sessions end, but the asking one */
	CMD_WISH_ADD,	      /* key_text: a token, name: what to reach, note: why -> wishes[0], users[0] */
	CMD_WISH_LIST,	      /* key_text: a token, for one's own; else all -> wishes, users (one each), oldest first */
	CMD_WISH_DELETE,      /* id: it was answered; key_text: a token, for one's own */
	CMD_SIGNIN_CHECK,     /* key_text: a token -> users[0], signins[0]; ERR_AUTH */
	CMD_SIGNIN_LIST,      /* user: "" = all -> signins, users (one each) */
	CMD_SIGNIN_END,	      /* id (with key_text: one of one's own), or key_text, or user: all of the user's */
	CMD_AUTH_CONNECT,     /* auth_id, key_text: a token -> users[0], nodes[0] */
	CMD_AUTH_DENY,	      /* auth_id, key_text: the person says that the device is not theirs */

	CMD_AUTHKEY_CREATE, /* user, tags, reusable, ephemeral, preauthorized, expires_ms, description -> authkeys[0], secret */
	CMD_AUTHKEY_LIST,   /* filter: user -> authkeys */
	CMD_AUTHKEY_EXPIRE, /* id, or key text (whole or "hskey-auth-PREFIX…") */
	CMD_AUTHKEY_DELETE, /* id */

	CMD_APIKEY_CREATE, /* expires_ms, user, scopes ("" = all), tags, description, oauth_client, federated -> apikeys[0], secret (of a federated identity none) */
	CMD_APIKEY_LIST,   /* -> apikeys: keys and OAuth clients */
	CMD_APIKEY_LOOK,   /* id -> apikeys[0] */
	CMD_APIKEY_UPDATE, /* id of an OAuth client, scopes, tags, description; of a federated identity: federated, too -> apikeys[0] */
	CMD_APIKEY_REVOKE, /* id -> apikeys[0]; it stays listed as invalid */
	CMD_APIKEY_TOKEN,  /* key_text: an OAuth client's secret; or id of a federated identity that was satisfied, at_ms: its updated_ms then;
			    * scopes, tags: a part of its own -> apikeys[0], secret */
	CMD_APIKEY_EXPIRE, /* id, or key text (prefix as listed, masked, or whole) */
	CMD_APIKEY_DELETE, /* the same */
	CMD_APIKEY_CHECK,  /* key text -> OK or ERR_AUTH; apikeys[0], may */

	CMD_POLICY_GET,	  /* -> policies[0] (text "" and created_ms 0 when none was ever set) */
	CMD_POLICY_SET,	  /* text, author, note, base: the version it was made of (0 any), force, console -> policies[0]; ERR_INVALID with lines = faults; ERR_STATE with conflict, or text: lockouts */
	CMD_POLICY_CHECK, /* text */
	CMD_POLICY_ROLLBACK, /* id: a version, whose text is set anew; the rest as CMD_POLICY_SET -> policies[0] */
	CMD_POLICY_PREVIEW,  /* text, base, hidden, console -> text: JSON, what would change */
	CMD_POLICY_EXPLAIN,  /* name: source, new_name: destination[:port][/proto] -> text: JSON, as all questions (policy/query.h); text: a draft */
	CMD_POLICY_MATCHES,  /* name: who is among the sources, or new_name: where somebody is let in; text: a draft -> text: {matches} */
	CMD_POLICY_WHO,	     /* new_name: destination; text: a draft -> text */
	CMD_POLICY_WHAT,     /* name: source; text: a draft -> text. auth_id, key_text: a token: what the device there will reach as the asker's */
	CMD_POLICY_MATRIX,   /* ssh; text: a draft -> text */
	CMD_POLICY_GRAPH,    /* name: of whom, towards: to it, ssh; text: a draft -> text */
	CMD_POLICY_SSH,	     /* name: source, new_name: destination, user; text: a draft -> text */
	CMD_POLICY_FORMAT,   /* text -> text: JSON {policy, changed} */
	CMD_POLICY_REREAD,   /* the core's own: services stand for other addresses now (service.c) */
	CMD_POLICY_DIFF,     /* id, other: versions; 0: the one in force; text: a draft instead of other; hidden -> text: JSON */
	CMD_DRAFT_GET,	  /* author: whose -> policies[0]: text, version (its base), created_ms; conflict; ERR_NOT_FOUND */
	CMD_DRAFT_SET,	  /* author, text, base -> the same without text */
	CMD_DRAFT_DELETE, /* author */
	CMD_POLICY_HISTORY,  /* -> policies, newest first, without text (policy_bytes) */
	CMD_POLICY_VERSION,  /* id: a version -> policies[0] */

	CMD_SETTINGS_LIST,  /* name: only this one; "" = all -> settings */
	CMD_SETTINGS_SET,   /* name, text -> settings[0]; ERR_DENIED: the configuration file keeps it for itself */
	CMD_SETTINGS_RESET, /* name -> settings[0]: what the file says counts again */
	CMD_SETTINGS_PATCH, /* changes: all of them, or none -> settings: all */

	CMD_WEBHOOK_CREATE, /* text: URL, name: provider, scopes: subscriptions -> webhooks[0], secret */
	CMD_WEBHOOK_LIST,   /* id: only that; 0 all; with_deleted: those that are still to be told so -> webhooks, with their secrets: for the sender */
	CMD_WEBHOOK_UPDATE, /* id, scopes: subscriptions -> webhooks[0] */
	CMD_WEBHOOK_ROTATE, /* id -> webhooks[0], secret: the old one ends */
	CMD_WEBHOOK_DELETE, /* id */
	CMD_WEBHOOK_FORGET, /* id of a deleted one: it was told so */
	CMD_WEBHOOK_CURSOR, /* id, at_ms: the audit id that it has had. Lazy */

	CMD_DERPMAP_GET,   /* -> text: JSON */
	CMD_SERVICE_LIST,    /* name "": all -> text: JSON {services} */
	CMD_SERVICE_SET,     /* name, note (the comment), text (annotations, JSON), ports, tags, addrs (IPv4 of a new one): made, or replaced -> text */
	CMD_SERVICE_DELETE,  /* name */
	CMD_SERVICE_APPROVE, /* name, id (a node); disable: no more -> text */
	CMD_LOCK_STATUS,   /* -> text: JSON {enabled, head, updates, keys, lockedOut} */
	CMD_DNS_RECORDS,   /* text: JSON list of {name,type,value}: replaces the extra records (setting dns.extra_records) */
	CMD_STATS,	   /* -> stats */
	CMD_PEOPLE,	   /* ids: only these -> users, people */
	CMD_BACKUP_NOTE,   /* name: a file's; new_name: "create", "fetch" or "delete": it is recorded, nothing else */
	CMD_ME,		   /* id: a user, 0 none -> users[0], domain, stats, text: the name of the owner, "" none */
};
#define COMMAND_KINDS (CMD_ME + 1) /* the last one, and one more */

struct policy_faults;

/* What an identity provider vouched for (server/login/claims.h made sure of it). No member is NULL. */
struct login_facts {
	const char *provider, *issuer, *subject;
	const char *login;	/* what the person is called: a mail address, else a name */
	const char *email;	/* "": none, or not verified */
	const char *name;	/* a short one, preferred */
	const char *display_name, *picture_url;
	const char *const *groups; /* sorted, each once */
	size_t n_groups;
	const char *refresh_token; /* "": keep what is there */
	const char *provider_sid;
	bool partial; /* the userinfo endpoint failed: what is empty is not known, and stays as it is */
};

struct setting_change {
	const char *key, *text;
	bool merge; /* text is a JSON object: its members replace those of the value's, which null and [] take out */
};

struct attr_change {
	int64_t node_id;
	const char *name, *text; /* NULL: it goes */
	int64_t expires_ms;
};
enum { ATTR_CHANGES_MAX = 500 }; /* of one command */

/* Whose tokens a federated identity takes. All of them texts, or issuer is NULL: it is none. */
struct federation {
	const char *issuer, *subject, *audience; /* subject: with * for anything; audience "": one is made */
	const char *claim_rules; /* JSON: claim to pattern; "" none */
};

enum routes_how {
	ROUTES_REPLACE,
	ROUTES_ADD,
	ROUTES_DROP,
};

struct command {
	enum command_kind kind;
	struct arena arena; /* owns everything below */
	int64_t tailnet_id; /* 1: the default tailnet */
	const char *actor;  /* who asks, for the audit log: "cli:root", "apikey:PREFIX" */
	const char *via;    /* and how: "cli", "v1", "v2", "native", "console", "oidc", "file" */
	struct addr from;   /* and from where; family 0: from this machine */

	int64_t id, other;
	const int64_t *ids; /* CMD_NODE_LIST, CMD_USER_LIST: only these; who is gone is left out. n_ids 0: all */
	size_t n_ids;
	const char *name, *new_name, *display_name, *email, *picture_url;
	const char *user; /* name, email or decimal id */
	const char *role;
	const char *scopes;
	int64_t by_key; /* id of the API key or token that asks; 0: none */
	int64_t by_signin; /* id of the signed-in browser that asks (the console); 0: none */
	const char *key_text, *auth_id, *text, *author, *note, *description;
	const char *agent;		 /* what a browser calls itself */
	const struct login_facts *login; /* in the arena */
	struct account_row account;	 /* its password in the arena */
	const struct passkey_row *passkey; /* in the arena, or the asker's until the reply */
	const char *const *tags;
	size_t n_tags;
	const char *const *ports;
	size_t n_ports;
	const struct prefix *routes;
	size_t n_routes;
	enum routes_how how;
	const struct setting_change *changes;
	size_t n_changes;
	const struct attr_change *attr_changes;
	size_t n_attr_changes;
	bool from_file; /* CMD_POLICY_SET: by policy_file.h; else refused while the policy lives in a file. Unchanged text is no version */
	const struct addr *addrs;
	size_t n_addrs;
	bool reusable, ephemeral, preauthorized, disable, oauth_client;
	struct federation federated; /* CMD_APIKEY_CREATE, _UPDATE with oauth_client */
	const char *if_match; /* CMD_POLICY_SET: what policy_etag of the one in force must be; "" any */
	int64_t base; /* CMD_POLICY_*: the version that a draft was made of; 0: not said */
	bool has_text;	/* CMD_POLICY_*: text is a draft, also an empty one */
	bool force, hidden, ssh, towards; /* hidden: who asks must not learn about nodes */
	bool console_inside;   /* the console's URL leads to a tailnet address; addrs: those of the server's machine */
	uint16_t console_port;
	bool with_deleted; /* CMD_WEBHOOK_LIST: for the sender */
	bool with_nodes; /* CMD_USER_DELETE: they go, too */
	bool automatic; /* CMD_NODE_RENAME: by its host's name again */
	int64_t expires_in_ms; /* CMD_AUTHKEY_CREATE: instead of expires_ms; 0: expires_ms counts */
	int64_t at_ms, expires_ms; /* expires_ms 0: never */
	struct node_pub key;
};

/* Zeroed, with its arena; NULL when out of memory. */
struct command *command_new(enum command_kind kind);
void command_free(struct command *c);

/* A node as API and CLI show it: immutable, shared between the core and those who render it. */
struct node_info {
	unsigned refs; /* atomic */
	struct node_row row;
	struct user_row user; /* of a tagged node: id TAGGED_USER_ID, name "tagged-devices" */
	struct authkey_row authkey; /* id 0: none */
	bool online, expired;
	bool approved; /* false: it waits for an administrator, and takes no part */
	char *client_version, *os; /* from Hostinfo */
	char *os_version; /* "Debian 12", "14.2"; "" not told */
	bool ssh;	  /* it runs Tailscale SSH */
	char *refusal;	  /* the newest thing that it was refused since our start; NULL: none */
	int64_t refusal_ms;
	struct prefix *announced; /* Hostinfo.RoutableIPs */
	size_t n_announced;
	struct prefix *serving; /* routes it carries now (primary, and exit) */
	size_t n_serving;
};
#define TAGGED_USER_ID 2147455555LL
struct node_info *node_info_ref(struct node_info *i);
void node_info_unref(struct node_info *i);

/* A setting of the tailnet (server/core/settings.h). */
struct setting_info {
	const char *key, *type, *help;
	const char *value, *seed; /* in force; of the file */
	bool set;		  /* by somebody: the file's does not count */
	int64_t min, max;	  /* of numbers, and of durations in ms; of texts and lists max is how long; 0 and 0: no bounds */
	const char *file;	  /* NULL: not managed by the file; else where it says so */
	unsigned line;
};

/* What the console shows of a user beside the row. In the reply's arena. */
struct person_info {
	size_t machines, online, identities;
	int64_t seen_ms; /* the newest of what its sessions and machines did; 0: nothing yet */
	bool password;
	const char *const *groups; /* of its providers */
	size_t n_groups;
};

struct core_stats {
	size_t users, nodes, online, ephemeral, tagged, expired, sessions, pendings, authkeys, apikeys;
	uint64_t seq, durable_seq, events, map_full, map_deltas, map_bytes;
	int64_t max_event_us;
};

/* An SSH session that waits for a person to confirm it. Names in the reply's arena. */
struct ssh_check_info {
	char auth_id[AUTH_ID_LEN + 1];
	int64_t src_id, dst_id;
	int64_t src_user_id; /* 0: tagged; then no user can confirm it, only an admin */
	const char *src_name, *dst_name, *src_user, *local_user;
	int64_t created_ms, expires_ms;
};

/* The answer. Owned by whoever it was delivered to: reply_free. */
struct reply {
	err e;
	const char *message; /* on an error: one sentence for a person; never NULL then */
	struct arena arena;  /* owns everything below but the node_infos */
	const char *secret;  /* the full text of a new key; shown this once */
	const char *text;
	const char *const *lines;
	size_t n_lines;
	const struct policy_faults *faults; /* a policy's (policy.h), where lines tells them; NULL: none */
	const char *domain; /* of nodes: the MagicDNS suffix */
	int64_t last_event; /* id of the newest change (audit_row, presence included) that the answer has in it */
	bool changed_since; /* ERR_STATE because of if_match, or base */
	struct policy_row *conflict; /* then: the version in force, without text; NULL: not told */
	const char *lockout; /* CMD_POLICY_SET, ERR_STATE: JSON, whom it would lock out */
	struct user_row *users;
	size_t n_users;
	struct person_info *people; /* CMD_PEOPLE: people[i] is of users[i] */
	struct node_info **nodes; /* a reference each */
	bool lock_on;		  /* tailnet lock is: who has no signature is locked out */
	size_t n_nodes;
	struct authkey_row *authkeys;
	struct user_row *authkey_users; /* owner of authkeys[i]; id 0: none */
	size_t n_authkeys;
	struct apikey_row *apikeys;
	size_t n_apikeys;
	scope_set may; /* CMD_APIKEY_CHECK: what the key may do */
	struct webhook_row *webhooks;
	size_t n_webhooks;
	struct pending_row *pendings;
	size_t n_pendings;
	struct ssh_check_info *ssh_checks;
	size_t n_ssh_checks;
	struct identity_row *identities;
	size_t n_identities;
	struct account_row account; /* its password in the arena */
	struct wish_row *wishes;
	size_t n_wishes;
	struct passkey_row *passkeys;
	size_t n_passkeys;
	struct signin_row *signins;
	size_t n_signins;
	struct policy_row *policies;
	size_t *policy_bytes; /* of CMD_POLICY_HISTORY: how long each text is */
	size_t n_policies;
	struct core_stats stats;
	struct setting_info *settings;
	size_t n_settings;
	/* Answers to nodes (server/core/event.h) travel in replies, too. */
	int http_status;  /* 0: 200 */
	bool registered;  /* the asking machine has a registered node now: the wire lifts its limits for strangers */
	struct bytes body; /* in arena */
	bool deferred;	   /* inside the core: somebody else answers later */
	unsigned status;   /* CMD_NODE_C2N: of the device's HTTP answer */
	int64_t took_ms;
	int64_t expires_ms; /* CMD_AUTH_GET; 0: never */
};
struct reply *reply_new(void);
void reply_free(struct reply *r);

/* Where a reply goes. Embedded in the asker's object; deliver runs on the core's release thread and must only hand over.
 * The core delivers exactly once for each command, also when it shuts down (ERR_CLOSED). */
struct call {
	void (*deliver)(struct call *c, struct reply *taken);
};
