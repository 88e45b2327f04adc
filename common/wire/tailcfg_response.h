/* tailcfg_response: what the server says: structs and their writers (protocol/control.md 5.2, 6.8 to 6.12).
 *
 * Strings may be NULL, which is the same as "". Fields that are zero are left out where Go leaves them out. Writers put one
 * JSON value where the jsonw stands. The DERP map is also read: from files of the configuration, and by clients. */
#pragma once

#include "common/base/arena.h"
#include "common/net/addr.h"
#include "common/text/json.h"
#include "common/text/jsonw.h"

/* ---- register ---------------------------------------------------------------------------------------------------- */

struct tailcfg_login { /* User and Login of a RegisterResponse are this one person */
	int64_t id;    /* 0: none yet */
	const char *provider, *login_name, *display_name, *profile_pic_url;
	int64_t created_ms; /* 0: unknown */
};

struct tailcfg_register_response {
	const char *error;		 /* not "": all else is ignored by the client, and the text shown */
	const char *auth_url;		 /* not "": a person must open this */
	bool node_key_expired;		 /* the client makes a new key and comes back */
	bool machine_authorized;
	struct tailcfg_login login;
	struct bytes node_key_signature; /* n 0: none */
};
void tailcfg_register_response_write(struct jsonw *w, const struct tailcfg_register_response *r);

/* ---- users ------------------------------------------------------------------------------------------------------- */

struct tailcfg_user_profile {
	int64_t id;
	const char *login_name, *display_name, *profile_pic_url;
	const char *const *groups;
	size_t n_groups;
};
void tailcfg_user_profile_write(struct jsonw *w, const struct tailcfg_user_profile *u);

/* ---- DERP map ---------------------------------------------------------------------------------------------------- */

enum {
	TAILCFG_DERP_MAP_MAX = 1 << 20, /* bytes of JSON */
	TAILCFG_DERP_REGIONS_MAX = 1024,
	TAILCFG_DERP_NODES_MAX = 64,	/* of one region */
	TAILCFG_DERP_REGION_ID_MAX = 65535, /* clients keep it in a port field */
};

struct tailcfg_derp_node {
	const char *name; /* "900a"; unique */
	int region_id;
	const char *host_name; /* required */
	const char *cert_name; /* expected TLS name, or "sha256-raw:<hex>" to pin a self-signed certificate */
	const char *ipv4, *ipv6; /* "": ask DNS; "none": not this family */
	int stun_port;		 /* 0: 3478, -1: none */
	bool stun_only;
	int derp_port; /* 0: 443 */
	bool insecure_for_tests;
	const char *stun_test_ip;
	bool can_port80;
};

struct tailcfg_derp_region {
	int region_id;
	const char *region_code, *region_name;
	double latitude, longitude;
	bool avoid, no_measure_no_home;
	bool removed; /* read from a file as null: takes the region out in a merge; never written */
	struct tailcfg_derp_node *nodes;
	size_t n_nodes;
};

struct tailcfg_derp_score {
	int region_id;
	double factor;
};

struct tailcfg_derp_map {
	struct tailcfg_derp_region *regions; /* by region_id, ascending */
	size_t n_regions;
	bool omit_default_regions;
	bool has_home_params; /* scores present, maybe empty (which resets) */
	struct tailcfg_derp_score *scores;
	size_t n_scores;
};
void tailcfg_derp_map_write(struct jsonw *w, const struct tailcfg_derp_map *m);
/* Strings are in the arena, never NULL. Region ids and map keys must agree, host names must be there. */
MUST_USE err tailcfg_derp_map_parse(struct bytes json, struct arena *a, struct tailcfg_derp_map **out, struct json_why *why);
/* base with over's regions put over it by id; null regions take out. Strings stay where they are, arrays are in the arena. */
MUST_USE err tailcfg_derp_map_merge(const struct tailcfg_derp_map *base, const struct tailcfg_derp_map *over, struct arena *a,
		struct tailcfg_derp_map **out);
/* The region with this id, or NULL. */
const struct tailcfg_derp_region *tailcfg_derp_region_by_id(const struct tailcfg_derp_map *m, int region_id);

/* ---- DNS --------------------------------------------------------------------------------------------------------- */

struct tailcfg_resolver {
	const char *addr; /* "1.1.1.1", "1.1.1.1:53", "https://…" */
	const struct addr *bootstrap;
	size_t n_bootstrap;
	bool use_with_exit_node;
};

struct tailcfg_dns_route {
	const char *suffix; /* no leading dot */
	const struct tailcfg_resolver *resolvers; /* none: answered by the client itself */
	size_t n_resolvers;
};

struct tailcfg_dns_record {
	const char *name, *type, *value; /* type "", "A" or "AAAA" */
};

struct tailcfg_dns_config {
	const struct tailcfg_resolver *resolvers; /* override the system's */
	size_t n_resolvers;
	const struct tailcfg_dns_route *routes;
	size_t n_routes;
	const struct tailcfg_resolver *fallback_resolvers;
	size_t n_fallback_resolvers;
	const char *const *domains; /* search list, no trailing dot; the MagicDNS suffix first */
	size_t n_domains;
	bool proxied; /* MagicDNS */
	const char *const *cert_domains;
	size_t n_cert_domains;
	const struct tailcfg_dns_record *extra_records;
	size_t n_extra_records;
	const char *const *exit_node_filtered_set;
	size_t n_exit_node_filtered_set;
};
void tailcfg_resolver_write(struct jsonw *w, const struct tailcfg_resolver *r);
void tailcfg_dns_config_write(struct jsonw *w, const struct tailcfg_dns_config *d);

/* ---- packet filter ----------------------------------------------------------------------------------------------- */

struct tailcfg_net_port_range {
	const char *ip; /* address, masked CIDR, "a-b" or "*" */
	uint16_t first, last;
};

struct tailcfg_cap {
	const char *name;
	const struct bytes *values; /* JSON each */
	size_t n_values;
};

struct tailcfg_cap_grant {
	const struct prefix *dsts;
	size_t n_dsts;
	const struct tailcfg_cap *caps; /* written as CapMap */
	size_t n_caps;
};

/* Either dst_ports or cap_grants. CIDRs must have no host bits: clients skip such entries (trap T21). */
struct tailcfg_filter_rule {
	const char *const *src_ips;
	size_t n_src_ips;
	const struct tailcfg_net_port_range *dst_ports;
	size_t n_dst_ports;
	const int *ip_proto; /* none: TCP, UDP and both ICMP */
	size_t n_ip_proto;
	const struct tailcfg_cap_grant *cap_grants;
	size_t n_cap_grants;
};
void tailcfg_filter_rule_write(struct jsonw *w, const struct tailcfg_filter_rule *r);

/* A list of texts as JSON; [] when there is none. */
void tailcfg_texts_write(struct jsonw *w, const char *const *texts, size_t n);
