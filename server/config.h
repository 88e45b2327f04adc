/* config: config.toml as one constant struct. Process settings and first-run seeds; tailnet settings that live in the
 * database are not here.
 *
 * The table in config.c ({ key, type, offset, min, max, default }) is the only list of keys; config.example.toml shows
 * every one, and a test compares the two. Names follow Headscale's where the meaning is the same. An unknown key is an
 * error with its line. Strings and arrays belong to the struct and live until config_free. */
#pragma once

#include "common/net/addr.h"
#include "common/wire/tailcfg.h"
#include "server/map/settings.h"

struct config_list {
	const char **s;
	size_t n;
};

/* An identity provider: the keys of [oidc] themselves, and of each [[oidc.providers]]. */
struct config_oidc {
	const char *name;	/* of letters, digits, "-": in URLs, logs and lists */
	const char *title;	/* on the page where a person chooses; "": the issuer's host */
	const char *issuer;	/* "": none */
	const char *client_id;
	const char *client_secret; /* from the key, the file or the environment; "": a public client */
	const char *client_secret_path, *client_secret_env;
	const char *client_auth; /* "" | client_secret_basic | client_secret_post */
	const char *ca_path;	 /* "": the system's certificates */
	struct config_list scope;
	struct config_list extra_params; /* name, value, name, value … */
	struct config_list allowed_domains, allowed_users, allowed_groups;
	struct config_list domains; /* mail domains whose users sign in here and nowhere else */
	struct config_list login_claims, name_claims, picture_claims, groups_claims; /* dotted paths, the first that is there */
	bool email_verified_required, use_expiry_from_token, pkce;
	const char *pkce_method;
	int64_t expiry_ms;	/* 0: node.expiry */
	int64_t timeout_ms;	/* of one call to the provider */
	int64_t refresh_ms;	/* 0: groups are as at the last login */
	bool expire_nodes;	/* of a user who is gone at the provider */
};

struct config {
	const char *file; /* path it was read from */

	const char *server_url;		 /* required; "https://vpn.example.com", "http://127.0.0.1:8080" */
	struct config_list listen_addr;	 /* "127.0.0.1:8080", ":443", "[::]:443"; TLS when tls_cert_path is set, else plain */
	const char *tls_cert_path, *tls_key_path;
	const char *unix_socket;	 /* for the admin CLI; default: fairlead.sock beside the database */
	int64_t unix_socket_permission;	 /* "0770" */
	struct config_list trusted_proxies; /* CIDRs whose X-Forwarded-For is believed */
	struct config_list proxy_protocol;  /* CIDRs that must send a PROXY protocol header (v1 or v2) */
	const char *metrics_listen_addr; /* "" = off */
	int64_t wire_threads;		 /* 0: one a core */

	struct config_list managed; /* settings that only this file changes */
	struct setting_managed *managed_keys; /* the same, for the core */

	const char *database_path; /* database.path, required */

	struct {
		const char *v4, *v6; /* "" = family off */
		const char *allocation; /* "sequential" | "random" */
	} prefixes;

	struct {
		bool enabled;
		/* Further listeners that always speak TLS: with tls_cert_path's certificate where given, else with a self-made
		 * one that the DERP map pins. They serve everything, as listen_addr does. */
		struct config_list listen_addr;
		int64_t region_id;
		const char *region_code, *region_name;
		const char *hostname; /* "" = the host of server_url */
		int64_t port;	      /* as clients see it; 0 = that of the first TLS listener */
		const char *ipv4, *ipv6; /* "" = clients resolve hostname */
		bool verify_clients;
		const char *stun_listen_addr; /* "" = no STUN */
		int64_t stun_second_port;     /* a second STUN port, so that clients can tell hard NATs; 0 = none */
	} derp_server;
	struct config_list derp_urls; /* DERP maps as JSON, merged before derp_paths */
	bool derp_auto_update; /* derp.auto_update_enabled */
	int64_t derp_update_ms; /* derp.update_frequency */
	struct config_list derp_paths; /* JSON files: a DERP map each, merged over ours by region id; null deletes */

	struct {
		bool magic_dns, override_local_dns;
		const char *base_domain;
		struct config_list global;	       /* dns.nameservers.global */
		const struct dns_split *split;	       /* [dns.nameservers.split] "corp.example" = ["10.0.0.1"] */
		size_t n_split;
		struct config_list search_domains;
		const struct dns_record *extra_records; /* [[dns.extra_records]] name, type, value */
		size_t n_extra;
		bool use_with_exit_node;
		struct config_list exit_node_filtered;
		const char *extra_records_path; /* a JSON file, read again on SIGHUP and when it changes */
	} dns;

	struct config_oidc oidc;		/* the first provider; issuer "": none */
	const struct config_oidc *oidc_more;	/* [[oidc.providers]] */
	size_t n_oidc_more;
	const struct config_oidc *oidc_all;	/* both, checked, secrets read */
	size_t n_oidc_all;
	bool oidc_only_start; /* oidc.only_start_if_oidc_is_available */

	int64_t node_expiry_ms;		     /* node.expiry */
	int64_t ephemeral_timeout_ms;	     /* node.ephemeral.inactivity_timeout */
	int64_t offline_grace_ms;	     /* node.offline_grace */
	int64_t restart_grace_ms;	     /* node.restart_grace */
	int64_t probe_interval_ms, probe_timeout_ms; /* node.routes.ha.probe_interval, probe_timeout */
	struct config_list cors_origins; /* api.cors_origins */
	bool webhooks_private; /* webhooks.allow_private */
	bool issuers_private;  /* federation.allow_private */
	int64_t audit_retention_ms, audit_max; /* audit.retention, audit.max_records */
	const char *policy_mode, *policy_path; /* "database" | "file" */
	const char *log_level, *log_format;
	bool devices_approval, users_approval;
	struct config_list own_attributes; /* node.own_attributes */
	bool taildrop, logtail, auto_update, randomize_client_port; /* taildrop.enabled, logtail.enabled, auto_update.enabled */

	struct { /* [limits]: what strangers can make us hold; over it is shed, never an exit */
		int64_t max_connections;		/* in all */
		int64_t max_connections_per_address;	/* an IPv4 address or IPv6 /64 */
		int64_t max_handshakes;			/* TLS, request head and Noise not finished yet, in all */
		int64_t max_handshakes_per_address;
		int64_t max_unregistered_sessions;	/* Noise sessions without a registered node, in all */
		int64_t max_unregistered_per_address;
		int64_t max_pending_logins, max_pending_logins_per_address;
		int64_t max_nodes;			/* 0: no ceiling */
		int64_t api_requests_per_second;	/* of one API key, and of one address; 0: no ceiling */
		int64_t api_wrong_keys_per_second;	/* from one address; 0: no ceiling */
		int64_t max_relay_clients;
		int64_t relay_queued_mib;		/* what waits for slow clients of the relay, in all; 0: no ceiling */
		int64_t relay_rate_client, relay_rate_total; /* bytes a second that the relay reads from one, from all; 0: no ceiling */
	} limits;
};

/* why: one sentence with file and line. ERR_INVALID: the text; ERR_SYS, ERR_NOT_FOUND: the file. */
MUST_USE err config_load(const char *path, char *why, size_t why_cap, struct config **out);
void config_free(struct config *c);

/* The result as TOML, every key with its value (for `fairlead config show`). Owned; NULL when out of memory. */
char *config_show(const struct config *c);

/* What the core and the maps need of it. derp_map is borrowed. */
void config_core_settings(const struct config *c, const struct tailcfg_derp_map *derp_map, struct core_settings *out);

/* Names of keys that differ between two loads and cannot change in a running server, joined with ", "; "" = none.
 * Owned; NULL when out of memory. */
char *config_needs_restart(const struct config *now, const struct config *wanted);
