#include "server/config_table.h"

#define AT(field) offsetof(struct config, field)
#define TEXT(path, field, otherwise) { path, KEY_TEXT, AT(field), 0, 0, otherwise, NULL, false }
#define CHOICE(path, field, choices, otherwise) { path, KEY_CHOICE, AT(field), 0, 0, otherwise, choices, false }
#define INT(path, field, min, max, otherwise) { path, KEY_INT, AT(field), min, max, otherwise, NULL, false }
#define BOOL(path, field, otherwise) { path, KEY_BOOL, AT(field), 0, 0, otherwise, NULL, false }
#define LIST(path, field, otherwise) { path, KEY_LIST, AT(field), 0, 0, otherwise, NULL, false }
#define LIVE(type, path, field, min, max, otherwise) { path, type, AT(field), min, max, otherwise, NULL, true }

enum { SECOND = 1000, MINUTE = 60 * SECOND, HOUR = 60 * MINUTE };
#define YEAR (365LL * 24 * HOUR)
#define MANY 1000000

const struct config_key config_keys[] = {
	TEXT("server_url", server_url, NULL),
	LIST("listen_addr", listen_addr, "127.0.0.1:8080"),
	TEXT("tls_cert_path", tls_cert_path, ""),
	TEXT("tls_key_path", tls_key_path, ""),
	TEXT("unix_socket", unix_socket, ""),
	{ "unix_socket_permission", KEY_MODE, AT(unix_socket_permission), 0, 0777, "0770", NULL, false },
	LIST("trusted_proxies", trusted_proxies, ""),
	LIST("proxy_protocol", proxy_protocol, ""),
	TEXT("metrics_listen_addr", metrics_listen_addr, ""),
	INT("wire_threads", wire_threads, 0, 256, "0"),
	LIVE(KEY_BOOL, "randomize_client_port", randomize_client_port, 0, 0, "false"),

	LIVE(KEY_BOOL, "devices_approval", devices_approval, 0, 0, "false"),
	LIVE(KEY_BOOL, "users_approval", users_approval, 0, 0, "false"),
	LIVE(KEY_MANAGED, "managed", managed, 0, 0, ""),

	TEXT("database.path", database_path, NULL),

	TEXT("prefixes.v4", prefixes.v4, "100.64.0.0/10"),
	TEXT("prefixes.v6", prefixes.v6, "fd7a:115c:a1e0::/48"),
	CHOICE("prefixes.allocation", prefixes.allocation, "sequential|random", "sequential"),

	BOOL("derp.server.enabled", derp_server.enabled, "true"),
	LIST("derp.server.listen_addr", derp_server.listen_addr, ""),
	INT("derp.server.region_id", derp_server.region_id, 1, TAILCFG_DERP_REGION_ID_MAX, "900"),
	TEXT("derp.server.region_code", derp_server.region_code, "fairlead"),
	TEXT("derp.server.region_name", derp_server.region_name, "Fairlead"),
	TEXT("derp.server.hostname", derp_server.hostname, ""),
	INT("derp.server.port", derp_server.port, 0, 65535, "0"),
	TEXT("derp.server.ipv4", derp_server.ipv4, ""),
	TEXT("derp.server.ipv6", derp_server.ipv6, ""),
	BOOL("derp.server.verify_clients", derp_server.verify_clients, "true"),
	TEXT("derp.server.stun_listen_addr", derp_server.stun_listen_addr, "0.0.0.0:3478"),
	INT("derp.server.stun_second_port", derp_server.stun_second_port, 0, 65535, "0"),
	LIVE(KEY_LIST, "derp.urls", derp_urls, 0, 0, ""),
	LIVE(KEY_BOOL, "derp.auto_update_enabled", derp_auto_update, 0, 0, "true"),
	LIVE(KEY_DURATION, "derp.update_frequency", derp_update_ms, SECOND, YEAR, "3h"),
	LIVE(KEY_LIST, "derp.paths", derp_paths, 0, 0, ""),

	LIVE(KEY_BOOL, "dns.magic_dns", dns.magic_dns, 0, 0, "true"),
	LIVE(KEY_TEXT, "dns.base_domain", dns.base_domain, 0, 0, "tail.internal"),
	LIVE(KEY_BOOL, "dns.override_local_dns", dns.override_local_dns, 0, 0, "false"),
	LIVE(KEY_LIST, "dns.search_domains", dns.search_domains, 0, 0, ""),
	LIVE(KEY_BOOL, "dns.use_with_exit_node", dns.use_with_exit_node, 0, 0, "false"),
	LIVE(KEY_LIST, "dns.exit_node_filtered", dns.exit_node_filtered, 0, 0, ""),
	LIVE(KEY_RECORDS, "dns.extra_records", dns.extra_records, 0, 0, ""),
	LIVE(KEY_TEXT, "dns.extra_records_path", dns.extra_records_path, 0, 0, ""),
	LIVE(KEY_LIST, "dns.nameservers.global", dns.global, 0, 0, ""),
	LIVE(KEY_SPLIT, "dns.nameservers.split", dns.split, 0, 0, ""),

	LIVE(KEY_DURATION, "node.expiry", node_expiry_ms, 0, 100 * YEAR, "0s"),
	LIVE(KEY_LIST, "node.own_attributes", own_attributes, 0, 0, ""),
	LIVE(KEY_DURATION, "node.offline_grace", offline_grace_ms, 0, HOUR, "3s"),
	LIVE(KEY_DURATION, "node.restart_grace", restart_grace_ms, 0, HOUR, "45s"),
	LIVE(KEY_DURATION, "node.routes.ha.probe_interval", probe_interval_ms, 0, HOUR, "2s"),
	LIVE(KEY_DURATION, "node.routes.ha.probe_timeout", probe_timeout_ms, 100, 60 * SECOND, "1500ms"),
	/* Not below: a client that only changes networks is away for up to about a minute. */
	LIVE(KEY_DURATION, "node.ephemeral.inactivity_timeout", ephemeral_timeout_ms, 65 * SECOND, YEAR, "30m"),

	{ "oidc.name", KEY_TEXT, AT(oidc.name), 0, 0, "oidc", NULL, false },
	TEXT("oidc.title", oidc.title, ""),
	TEXT("oidc.issuer", oidc.issuer, ""),
	TEXT("oidc.client_id", oidc.client_id, ""),
	{ "oidc.client_secret", KEY_SECRET, AT(oidc.client_secret), 0, 0, "", NULL, false },
	TEXT("oidc.client_secret_path", oidc.client_secret_path, ""),
	TEXT("oidc.client_secret_env", oidc.client_secret_env, ""),
	CHOICE("oidc.client_auth", oidc.client_auth, "|client_secret_basic|client_secret_post", ""),
	TEXT("oidc.ca_path", oidc.ca_path, ""),
	LIST("oidc.scope", oidc.scope, "openid, profile, email"),
	{ "oidc.extra_params", KEY_PARAMS, AT(oidc.extra_params), 0, 0, "", NULL, false },
	LIST("oidc.allowed_domains", oidc.allowed_domains, ""),
	LIST("oidc.allowed_users", oidc.allowed_users, ""),
	LIST("oidc.allowed_groups", oidc.allowed_groups, ""),
	LIST("oidc.domains", oidc.domains, ""),
	LIST("oidc.login_claims", oidc.login_claims, "email, upn, preferred_username"),
	LIST("oidc.name_claims", oidc.name_claims, "name, given_name"),
	LIST("oidc.picture_claims", oidc.picture_claims, "picture"),
	LIST("oidc.groups_claims", oidc.groups_claims, "groups, roles, realm_access.roles"),
	BOOL("oidc.email_verified_required", oidc.email_verified_required, "true"),
	BOOL("oidc.use_expiry_from_token", oidc.use_expiry_from_token, "false"),
	{ "oidc.expiry", KEY_DURATION, AT(oidc.expiry_ms), 0, 100 * YEAR, "0s", NULL, false },
	{ "oidc.refresh_interval", KEY_DURATION, AT(oidc.refresh_ms), 0, YEAR, "0s", NULL, false },
	{ "oidc.timeout", KEY_DURATION, AT(oidc.timeout_ms), SECOND, 30 * SECOND, "10s", NULL, false },
	BOOL("oidc.expire_nodes_of_gone_users", oidc.expire_nodes, "false"),
	BOOL("oidc.only_start_if_oidc_is_available", oidc_only_start, "false"),
	{ "oidc.providers", KEY_PROVIDERS, AT(oidc_more), 0, 0, "", NULL, false },
	BOOL("oidc.pkce.enabled", oidc.pkce, "true"),
	CHOICE("oidc.pkce.method", oidc.pkce_method, "S256", "S256"),

	CHOICE("policy.mode", policy_mode, "database|file", "database"),
	TEXT("policy.path", policy_path, ""),

	{ "log.level", KEY_CHOICE, AT(log_level), 0, 0, "info", "debug|info|warn|error", true },
	CHOICE("log.format", log_format, "text", "text"),

	LIST("api.cors_origins", cors_origins, ""),
	BOOL("webhooks.allow_private", webhooks_private, "false"),
	BOOL("federation.allow_private", issuers_private, "false"),

	LIVE(KEY_DURATION, "audit.retention", audit_retention_ms, 0, 100 * YEAR, "90d"),
	LIVE(KEY_INT, "audit.max_records", audit_max, 0, 1000 * MANY, "1000000"),

	LIVE(KEY_BOOL, "taildrop.enabled", taildrop, 0, 0, "true"),
	LIVE(KEY_BOOL, "logtail.enabled", logtail, 0, 0, "false"),
	LIVE(KEY_BOOL, "auto_update.enabled", auto_update, 0, 0, "false"),

	LIVE(KEY_INT, "limits.max_connections", limits.max_connections, 16, MANY, "20000"),
	LIVE(KEY_INT, "limits.max_connections_per_address", limits.max_connections_per_address, 4, MANY, "1024"),
	LIVE(KEY_INT, "limits.max_handshakes", limits.max_handshakes, 4, MANY, "1024"),
	LIVE(KEY_INT, "limits.max_handshakes_per_address", limits.max_handshakes_per_address, 2, MANY, "128"),
	LIVE(KEY_INT, "limits.max_unregistered_sessions", limits.max_unregistered_sessions, 4, MANY, "2048"),
	LIVE(KEY_INT, "limits.max_unregistered_per_address", limits.max_unregistered_per_address, 2, MANY, "64"),
	LIVE(KEY_INT, "limits.max_pending_logins", limits.max_pending_logins, 1, MANY, "1024"),
	LIVE(KEY_INT, "limits.max_pending_logins_per_address", limits.max_pending_logins_per_address, 1, MANY, "64"),
	LIVE(KEY_INT, "limits.max_nodes", limits.max_nodes, 0, MANY, "0"),
	INT("limits.api_requests_per_second", limits.api_requests_per_second, 0, MANY, "20000"),
	INT("limits.api_wrong_keys_per_second", limits.api_wrong_keys_per_second, 0, MANY, "10"),
	LIVE(KEY_INT, "limits.max_relay_clients", limits.max_relay_clients, 2, MANY, "10000"),
	LIVE(KEY_INT, "limits.relay_queued_mib", limits.relay_queued_mib, 0, MANY, "256"),
	LIVE(KEY_INT, "limits.relay_rate_client", limits.relay_rate_client, 0, 10000LL * MANY, "0"),
	LIVE(KEY_INT, "limits.relay_rate_total", limits.relay_rate_total, 0, 10000LL * MANY, "0"),
};
const size_t config_keys_n = sizeof config_keys / sizeof config_keys[0];
