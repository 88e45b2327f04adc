/* tailcfg_request: requests of nodes, decoded (protocol/control.md 4, 5.1, 6.1).
 *
 * Every parser: all is in the arena; on an error *out is untouched and why->text is a sentence for the client.
 * ERR_MALFORMED: no JSON. ERR_INVALID: a field is wrong (NodeKey must be there and not zero). ERR_TOO_BIG: over a bound.
 * The caller checks that the node key belongs to the machine key of the session (trap T40). */
#pragma once

#include "common/crypto/keys.h"
#include "common/wire/tailcfg_hostinfo.h"

enum {
	TAILCFG_BODY_MAX = 1280 * 1024,	/* bytes of a request: one with 1 MiB of Hostinfo is read, and answered in words */
	TAILCFG_DEPTH_MAX = 32,
	TAILCFG_AUTH_KEY_MAX = 512,	/* longer is refused */
	TAILCFG_URL_MAX = 2048,		/* Followup; longer is refused */
	TAILCFG_SIGNATURE_MAX = 4096,	/* NodeKeySignature and attestation, decoded; longer is refused */
	TAILCFG_ENDPOINTS_MAX = 32,	/* kept; the rest is dropped */
	TAILCFG_DEBUG_FLAGS_MAX = 32,	/* kept */
	TAILCFG_DETAILS_MAX = 4096,	/* audit details, health error: cut */
	TAILCFG_ATTRS_MAX = 64,		/* set-device-attr; more are refused */
	TAILCFG_ATTR_VALUE_MAX = 1024,	/* bytes of JSON; longer is refused */
};

struct tailcfg_register_request {
	int version; /* capability version */
	struct node_pub node_key;
	struct node_pub old_node_key; /* zero: none. Sticky: look node_key up first (trap T11) */
	struct nl_pub nl_key;	      /* zero: none */
	const char *auth_key;	      /* "": none. Secret */
	bool has_expiry;
	int64_t expiry_ms; /* when has_expiry; in the past: log out (trap T14) */
	const char *followup;
	struct tailcfg_hostinfo *hostinfo; /* never NULL */
	bool ephemeral;
	struct bytes node_key_signature; /* n 0: none */
	const char *signature_type;
	const char *tailnet; /* hint; "required:" before it refuses any other */
};
MUST_USE err tailcfg_register_request_parse(struct bytes json, struct arena *a, struct tailcfg_register_request **out,
		struct json_why *why);

/* tailcfg.EndpointType */
enum tailcfg_endpoint_type {
	TAILCFG_ENDPOINT_UNKNOWN = 0,
	TAILCFG_ENDPOINT_LOCAL = 1,
	TAILCFG_ENDPOINT_STUN = 2,
	TAILCFG_ENDPOINT_PORT_MAPPED = 3,
	TAILCFG_ENDPOINT_STUN_LOCAL_PORT = 4,
	TAILCFG_ENDPOINT_EXPLICIT = 5,
};

struct tailcfg_endpoint {
	struct addrport at;
	int type; /* enum tailcfg_endpoint_type, or a newer one */
};

struct tailcfg_map_request {
	int version;
	bool zstd; /* Compress; other values than "zstd" and "" are refused */
	bool keep_alive, stream, omit_peers, read_only;
	struct node_pub node_key;
	struct disco_pub disco_key; /* zero: unknown */
	bool has_hostinfo;
	struct tailcfg_hostinfo *hostinfo; /* never NULL */
	const char *hostinfo_fault;	   /* why the Hostinfo was left aside (has_hostinfo is false then); "" */
	/* Without IPv6 link-local and zoned ones: others cannot use them. has_endpoints: the field was there. */
	bool has_endpoints;
	struct tailcfg_endpoint *endpoints;
	size_t n_endpoints;
	const char *tka_head;
	const char **debug_flags;
	size_t n_debug_flags;
	const char *attestation_key;	      /* "": none */
	struct bytes attestation_signature;   /* n 0: none */
	int64_t attestation_ms;		      /* 0: none */
	const char *map_session_handle;
	int64_t map_session_seq;
};
MUST_USE err tailcfg_map_request_parse(struct bytes json, struct arena *a, struct tailcfg_map_request **out,
		struct json_why *why);

struct tailcfg_set_dns_request {
	int version;
	struct node_pub node_key;
	const char *name, *type, *value; /* longer than TAILCFG_TEXT_MAX is refused here */
};
MUST_USE err tailcfg_set_dns_request_parse(struct bytes json, struct arena *a, struct tailcfg_set_dns_request **out,
		struct json_why *why);

struct tailcfg_health_change_request {
	struct node_pub node_key;
	const char *subsys, *error; /* error "": cleared */
};
MUST_USE err tailcfg_health_change_request_parse(struct bytes json, struct arena *a,
		struct tailcfg_health_change_request **out, struct json_why *why);

struct tailcfg_attr {
	const char *name;
	struct bytes value; /* compact JSON: string, number, true or false; n 0: delete it */
};
struct tailcfg_set_device_attr_request {
	int version;
	struct node_pub node_key;
	struct tailcfg_attr *attrs;
	size_t n_attrs;
};
MUST_USE err tailcfg_set_device_attr_request_parse(struct bytes json, struct arena *a,
		struct tailcfg_set_device_attr_request **out, struct json_why *why);

struct tailcfg_audit_log_request {
	int version;
	struct node_pub node_key;
	const char *action, *details;
	int64_t timestamp_ms; /* 0: not sent */
};
MUST_USE err tailcfg_audit_log_request_parse(struct bytes json, struct arena *a, struct tailcfg_audit_log_request **out,
		struct json_why *why);

struct tailcfg_token_request {
	int cap_version;
	struct node_pub node_key;
	const char *audience;
};
MUST_USE err tailcfg_token_request_parse(struct bytes json, struct arena *a, struct tailcfg_token_request **out,
		struct json_why *why);

struct tailcfg_query_feature_request {
	const char *feature; /* "serve", "funnel" */
	struct node_pub node_key;
};
MUST_USE err tailcfg_query_feature_request_parse(struct bytes json, struct arena *a,
		struct tailcfg_query_feature_request **out, struct json_why *why);

/* The NodeKey alone, of any request. */
MUST_USE err tailcfg_request_node_key(struct bytes json, struct node_pub *out, struct json_why *why);
