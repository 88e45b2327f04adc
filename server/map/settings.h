/* settings: what maps and the core need of config.toml. Plain data, built by server/config, copied by the core. */
#pragma once

#include "common/net/addr.h"
#include "common/wire/tailcfg.h"

enum { DNS_LIST_MAX = 64, EXTRA_RECORDS_MAX = 4096 };

struct dns_split {
	const char *domain;
	const char *const *resolvers;
	size_t n;
};

struct dns_record {
	const char *name, *type, *value; /* type "A" or "AAAA" */
};

/* What the file keeps for itself (key `managed`): a setting, or all below "dns". */
struct setting_managed {
	const char *key;
	unsigned line;
};

/* Strings are borrowed from the config that was loaded and live as long as the core, or until core_reconfigure. */
struct core_settings {
	const char *server_url;	 /* "https://vpn.example.com", no slash at the end */
	const char *base_domain; /* MagicDNS suffix without dots at the ends: "tail.example.com" */
	const char *domain;	 /* tailnet display name */
	bool issuers_private;	 /* federated identities may be of issuers without TLS, and on private addresses */
	struct prefix v4, v6;	 /* family 0: not used */
	bool random_allocation;

	bool magic_dns, override_local_dns;
	const char *const *resolvers; /* global */
	size_t n_resolvers;
	const struct dns_split *split;
	size_t n_split;
	const char *const *search_domains;
	size_t n_search;
	const struct dns_record *extra_records;
	size_t n_extra;
	const struct dns_record *policy_records; /* of a tailnet's policy, beside those */
	size_t n_policy_records;
	bool with_exit_node; /* clients ask the global resolvers, too, while they use an exit node */
	const char *const *exit_resolvers; /* … or these, global and of split DNS; with_exit_node is false then */
	size_t n_exit_resolvers;
	const char *const *exit_filtered; /* names that the DNS proxy of an exit node does not answer; ".example.com": all below */
	size_t n_exit_filtered;

	int64_t probe_interval_ms, probe_timeout_ms; /* of routers that stand in for each other; interval 0: none */

	const struct tailcfg_derp_map *derp_map;
	const struct tailcfg_derp_map *derp_regions; /* that joined the running server, not yet in derp_map; NULL: none */
	const char *derp_regions_text;		     /* the same as JSON, without what is around it */
	int own_region; /* the region whose relay tells the core who is connected (EV_AT_RELAY); 0: none */
	bool only_own_region; /* the DERP map has no other */

	int64_t node_expiry_ms;		  /* default key expiry of untagged nodes; 0: never */
	int64_t ephemeral_timeout_ms;	  /* ephemeral nodes go this long after they went offline */
	int64_t offline_grace_ms;	  /* a closed stream becomes "offline" after this; 3000 */
	int64_t restart_grace_ms;	  /* after a start, nodes that were online count as online for this; 45000 */
	int64_t announce_wait_ms;	  /* a new node is held back for its first report at most this; 2000 */
	int64_t pending_ttl_ms;		  /* a login that waits for a person; 7 days */
	size_t max_pending;		  /* logins that wait, in all */
	size_t max_pending_per_addr;	  /* … of one IPv4 address or IPv6 /64 */
	size_t max_nodes;		  /* 0: no ceiling */
	bool taildrop, logtail, auto_update_default;
	bool randomize_client_port;
	const char *policy_file;	  /* the policy is read from it, and set no other way; NULL: none */
	int64_t audit_retention_ms;	  /* audit records go after this; 0: never */
	int64_t audit_max;		  /* records kept; 0: no ceiling */
	bool devices_approval, users_approval;
	bool policy_external;		  /* the policy is kept elsewhere: nobody changes it in the console */
	const char *policy_external_link; /* where; NULL or "": not told */
	const char *contact_account, *contact_support, *contact_security; /* mail addresses; NULL or "": none */
	const char *const *own_attributes; /* that devices may set of themselves */
	size_t n_own_attributes;
	/* Signs claims (JSON) for workloads; the answer is owned. NULL: no tokens here. Called by the core. */
	char *(*sign_token)(void *ctx, const char *claims);
	void *sign_ctx;
	const struct setting_managed *managed;
	size_t n_managed;
	const char *config_file;
	int min_capver; /* older clients get a readable refusal; 113 */
};
