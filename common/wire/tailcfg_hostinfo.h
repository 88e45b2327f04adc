/* tailcfg_hostinfo: what a node says about itself (protocol/control.md 6.7), parsed as far as a server acts on it or
 * shows it, and kept whole as compact JSON for storage.
 *
 * Bounds: what only informs is cut or dropped, so that an odd machine can still join; what asks for rights (routes, tags)
 * is refused with a sentence when there is too much of it. */
#pragma once

#include "common/base/arena.h"
#include "common/net/addr.h"
#include "common/text/json.h"
#include "common/text/jsonw.h"

enum {
	TAILCFG_HOSTINFO_MAX = 64 * 1024, /* bytes of compact JSON; more is refused */
	TAILCFG_TEXT_MAX = 255,		  /* bytes of a plain string; cut between characters */
	TAILCFG_ROUTES_MAX = 512,	  /* RoutableIPs; the rest is dropped, and counted */
	TAILCFG_TAGS_MAX = 64,		  /* RequestTags; more are refused, and so is a longer tag than … */
	TAILCFG_TAG_LEN_MAX = 255,
	TAILCFG_SERVICES_MAX = 64,	  /* the rest is dropped */
	TAILCFG_SSH_KEYS_MAX = 16,	  /* the rest is dropped, and so are keys longer than … */
	TAILCFG_SSH_KEY_LEN_MAX = 2048,
	TAILCFG_LATENCIES_MAX = 512,	  /* NetInfo.DERPLatency; the rest is dropped */
};

/* Go's opt.Bool. */
enum tailcfg_opt {
	TAILCFG_UNSET,
	TAILCFG_FALSE,
	TAILCFG_TRUE,
};

struct tailcfg_service {
	const char *proto; /* "tcp", "udp", "peerapi4", "peerapi6", "peerapi-dns-proxy" */
	uint16_t port;
	const char *description;
};

struct tailcfg_latency {
	const char *region; /* "1-v4" */
	double seconds;
};

struct tailcfg_netinfo {
	enum tailcfg_opt mapping_varies_by_dest_ip, working_ipv6, os_has_ipv6, working_udp, working_icmpv4, upnp, pmp, pcp;
	bool have_port_map;
	int preferred_derp; /* 0: none */
	const char *link_type, *firewall_mode;
	struct tailcfg_latency *latency;
	size_t n_latency;
	struct bytes raw; /* compact JSON */
};

struct tailcfg_location {
	const char *country, *country_code, *city, *city_code;
	double latitude, longitude;
	int priority;
};

struct tailcfg_hostinfo {
	const char *hostname, *os, *os_version, *ipn_version, *backend_log_id;
	const char *distro, *distro_version, *distro_code_name, *device_model, *package, *app, *machine, *go_arch, *go_version, *cloud;
	const char *services_hash, *exit_node_id;
	bool shields_up, sharee_node, wire_ingress, ingress_enabled, allows_update, peer_relay;
	enum tailcfg_opt app_connector, container, desktop, userspace, userspace_router, state_encrypted;
	struct prefix *routable_ips; /* as sent: order kept, host bits too */
	size_t n_routable_ips;
	size_t n_routes_left_out; /* of a Hostinfo as it came; not kept in raw */
	const char **request_tags;
	size_t n_request_tags;
	struct tailcfg_service *services;
	size_t n_services;
	const char **ssh_host_keys;
	size_t n_ssh_host_keys;
	struct tailcfg_location *location; /* NULL: none */
	struct tailcfg_netinfo *netinfo;   /* NULL: none; the previous one stays in force (trap T36) */
	struct bytes raw;		   /* compact JSON of all of it, NUL after it; "{}" when there was none */
};

/* An absent or empty Hostinfo with all strings "", for tests and defaults. */
extern const struct tailcfg_hostinfo tailcfg_hostinfo_none;

/* From stored or sent text; "" is an empty one. ERR_MALFORMED, ERR_INVALID, ERR_TOO_BIG, ERR_NOMEM: why says what. */
MUST_USE err tailcfg_hostinfo_parse(struct bytes json, struct arena *a, struct tailcfg_hostinfo **out, struct json_why *why);
/* From a place inside a request; never NULL unless memory is out. Problems are noted at it. */
struct tailcfg_hostinfo *tailcfg_hostinfo_read(const struct json_at *at, struct arena *a);

/* now, or when it has no NetInfo a copy of it with before's; NULL: out of memory. The copy lives in a. */
struct tailcfg_hostinfo *tailcfg_hostinfo_keep_netinfo(struct tailcfg_hostinfo *now, const struct tailcfg_hostinfo *before,
		struct arena *a);

/* Writes the Hostinfo that others may see: OS, Hostname, Services, sshHostKeys, ShareeNode, Location (trap T38).
 * for_self: also what the node's own status shows (RoutableIPs, RequestTags, …). */
void tailcfg_hostinfo_write(struct jsonw *w, const struct tailcfg_hostinfo *h, bool for_self);
