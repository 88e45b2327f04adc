#include "common/wire/tailcfg_request.h"

#include "common/base/clock.h"
#include "common/base/cleanup.h"
#include "common/wire/tailcfg_in.h"

/* "" is an error for keys, as in Go; absent is the zero key. */
#define READ_KEY(kind)                                                                                                 \
	static struct kind##_pub read_##kind##_key(const struct json_at *o, const char *key)                           \
	{                                                                                                              \
		struct json_at at = json_member(o, key);                                                               \
		struct kind##_pub k = { 0 };                                                                           \
                                                                                                                       \
		if (json_is_set(&at) && kind##_pub_parse(json_to_bytes(&at, KEY_TEXT_MAX), &k) != OK)                  \
			json_note(&at, ERR_INVALID, "not a " #kind " key");                                            \
		return k;                                                                                              \
	}
READ_KEY(node)
READ_KEY(disco)
READ_KEY(nl)

/* The NodeKey that every request must have. */
static struct node_pub require_node_key(const struct json_at *o)
{
	struct json_at at = json_member(o, "NodeKey");
	struct node_pub k = read_node_key(o, "NodeKey");

	if (node_pub_is_zero(&k))
		json_note(&at, ERR_INVALID, "missing");
	return k;
}

static struct bytes read_base64(const struct json_at *o, const char *key, struct arena *a)
{
	struct json_at at = json_member(o, key);

	return json_to_base64(&at, a, TAILCFG_SIGNATURE_MAX);
}

static err parse_body(struct bytes json, json_t **v, struct json_why *why)
{
	*why = (struct json_why){ 0 };
	TRY(json_parse_why(json, TAILCFG_BODY_MAX, TAILCFG_DEPTH_MAX, v, why));
	if (json_is_object(*v))
		return OK;
	struct json_at at = json_root(*v, why);
	json_note(&at, ERR_INVALID, "not an object");
	return why->e;
}

/* Opens a parser: v is the tree, r the struct in the arena, o its root. */
#define PARSE_BEGIN(type)                                                                                              \
	CLEANUP(json_decrefp) json_t *v = NULL;                                                                        \
	TRY(parse_body(json, &v, why));                                                                                \
	struct json_at root = json_root(v, why), *o = &root;                                                           \
	struct type *r = tailcfg_in_room(o, a, 1, sizeof *r);                                                          \
	if (!r)                                                                                                        \
		return why->e


/* ---- register ---------------------------------------------------------------------------------------------------- */

err tailcfg_register_request_parse(struct bytes json, struct arena *a, struct tailcfg_register_request **out,
		struct json_why *why)
{
	PARSE_BEGIN(tailcfg_register_request);
	r->version = tailcfg_in_version(o, "Version");
	r->node_key = require_node_key(o);
	r->old_node_key = read_node_key(o, "OldNodeKey");
	r->nl_key = read_nl_key(o, "NLKey");
	struct json_at auth = json_member(o, "Auth");
	r->auth_key = tailcfg_in_text(&auth, "AuthKey", TAILCFG_AUTH_KEY_MAX, a);
	r->expiry_ms = json_time(o, "Expiry", TIME_ZERO_MS);
	r->has_expiry = r->expiry_ms != TIME_ZERO_MS;
	r->followup = tailcfg_in_text(o, "Followup", TAILCFG_URL_MAX, a);
	struct json_at host = json_member(o, "Hostinfo");
	r->hostinfo = tailcfg_hostinfo_read(&host, a);
	r->ephemeral = json_bool(o, "Ephemeral", false);
	r->node_key_signature = read_base64(o, "NodeKeySignature", a);
	r->signature_type = tailcfg_in_text(o, "SignatureType", TAILCFG_TEXT_MAX, a);
	r->tailnet = tailcfg_in_text(o, "Tailnet", TAILCFG_TEXT_MAX, a);
	if (why->e != OK)
		return why->e;
	*out = r;
	return OK;
}

/* ---- map --------------------------------------------------------------------------------------------------------- */

/* Others can use it: no IPv6 link-local address, no zone, no empty entry (control.md 6.2). */
static bool usable(struct bytes text, const struct json_at *at, struct addrport *out)
{
	if (text.n == 0 || memchr(text.p, '%', text.n))
		return false;
	if (addrport_parse(text, out) != OK) {
		json_note(at, ERR_INVALID, "not an address and port");
		return false;
	}
	return out->addr.family == 4 || !addr_is_link_local(out->addr);
}

static void read_endpoints(const struct json_at *o, struct tailcfg_map_request *r, struct arena *a)
{
	struct json_at list = json_member(o, "Endpoints"), types = json_member(o, "EndpointTypes");
	size_t n = json_count(&list, SIZE_MAX), n_types = json_count(&types, SIZE_MAX);
	size_t room = MIN_OF(n, (size_t)TAILCFG_ENDPOINTS_MAX);

	r->has_endpoints = json_is_set(&list);
	r->endpoints = room ? tailcfg_in_room(&list, a, room, sizeof *r->endpoints) : NULL;
	for (size_t i = 0; r->endpoints && i < n && r->n_endpoints < room; i++) {
		struct json_at at = json_item(&list, i);
		struct tailcfg_endpoint e = { 0 };

		if (!usable(json_to_bytes(&at, 2 * ADDRPORT_TEXT_MAX), &at, &e.at))
			continue;
		if (i < n_types) {
			struct json_at type = json_item(&types, i);

			e.type = (int)json_to_int(&type, 0, INT32_MAX, TAILCFG_ENDPOINT_UNKNOWN);
		}
		r->endpoints[r->n_endpoints++] = e;
	}
}

static void read_debug_flags(const struct json_at *o, struct tailcfg_map_request *r, struct arena *a)
{
	struct json_at list = json_member(o, "DebugFlags");
	size_t n = MIN_OF(json_count(&list, SIZE_MAX), (size_t)TAILCFG_DEBUG_FLAGS_MAX);

	r->debug_flags = n ? tailcfg_in_room(&list, a, n, sizeof *r->debug_flags) : NULL;
	for (size_t i = 0; r->debug_flags && i < n; i++) {
		struct json_at at = json_item(&list, i);
		struct bytes s = json_to_bytes(&at, SIZE_MAX);

		if (s.n && s.n <= TAILCFG_TEXT_MAX)
			r->debug_flags[r->n_debug_flags++] = tailcfg_in_keep(&at, s, a);
	}
}

static bool read_compress(const struct json_at *o)
{
	struct json_at at = json_member(o, "Compress");
	struct bytes how = json_to_bytes(&at, TAILCFG_TEXT_MAX);

	if (bytes_eq_str(how, "zstd"))
		return true;
	if (how.n)
		json_note(&at, ERR_INVALID, "only zstd is known");
	return false;
}

/* A report that goes over the bounds must not take the endpoints with it: they are what keeps a node reachable. */
static void read_own_hostinfo(struct json_at host, struct tailcfg_map_request *r, struct arena *a)
{
	struct json_why why = { 0 }, *shared = host.why;

	r->has_hostinfo = json_is_set(&host);
	r->hostinfo_fault = "";
	host.why = &why;
	r->hostinfo = tailcfg_hostinfo_read(&host, a);
	host.why = shared;
	if (why.e == OK)
		return;
	if (why.e == ERR_NOMEM) {
		*shared = why;
		return;
	}
	r->has_hostinfo = false;
	r->hostinfo_fault = arena_str(a, bytes_str(why.text));
	host.v = NULL;
	r->hostinfo = tailcfg_hostinfo_read(&host, a);
	if (!r->hostinfo_fault || !r->hostinfo)
		*shared = (struct json_why){ ERR_NOMEM, "out of memory" };
}

err tailcfg_map_request_parse(struct bytes json, struct arena *a, struct tailcfg_map_request **out, struct json_why *why)
{
	PARSE_BEGIN(tailcfg_map_request);
	r->version = tailcfg_in_version(o, "Version");
	r->zstd = read_compress(o);
	r->keep_alive = json_bool(o, "KeepAlive", false);
	r->stream = json_bool(o, "Stream", false);
	r->omit_peers = json_bool(o, "OmitPeers", false);
	r->read_only = json_bool(o, "ReadOnly", false);
	r->node_key = require_node_key(o);
	r->disco_key = read_disco_key(o, "DiscoKey");
	struct json_at host = json_member(o, "Hostinfo");
	read_own_hostinfo(host, r, a);
	read_endpoints(o, r, a);
	read_debug_flags(o, r, a);
	r->tka_head = tailcfg_in_text(o, "TKAHead", TAILCFG_TEXT_MAX, a);
	r->attestation_key = tailcfg_in_text(o, "HardwareAttestationKey", TAILCFG_TEXT_MAX, a);
	r->attestation_signature = read_base64(o, "HardwareAttestationKeySignature", a);
	r->attestation_ms = json_time(o, "HardwareAttestationKeySignatureTimestamp", TIME_ZERO_MS);
	if (r->attestation_ms == TIME_ZERO_MS)
		r->attestation_ms = 0;
	r->map_session_handle = tailcfg_in_text(o, "MapSessionHandle", TAILCFG_TEXT_MAX, a);
	r->map_session_seq = json_int(o, "MapSessionSeq", INT64_MIN, INT64_MAX, 0);
	if (why->e != OK)
		return why->e;
	*out = r;
	return OK;
}

/* ---- the small ones ---------------------------------------------------------------------------------------------- */

err tailcfg_set_dns_request_parse(struct bytes json, struct arena *a, struct tailcfg_set_dns_request **out,
		struct json_why *why)
{
	PARSE_BEGIN(tailcfg_set_dns_request);
	r->version = tailcfg_in_version(o, "Version");
	r->node_key = require_node_key(o);
	r->name = tailcfg_in_text(o, "Name", TAILCFG_TEXT_MAX, a);
	r->type = tailcfg_in_text(o, "Type", TAILCFG_TEXT_MAX, a);
	r->value = tailcfg_in_text(o, "Value", TAILCFG_TEXT_MAX, a);
	if (why->e != OK)
		return why->e;
	*out = r;
	return OK;
}

err tailcfg_health_change_request_parse(struct bytes json, struct arena *a, struct tailcfg_health_change_request **out,
		struct json_why *why)
{
	PARSE_BEGIN(tailcfg_health_change_request);
	r->node_key = require_node_key(o);
	r->subsys = tailcfg_in_cut(o, "Subsys", TAILCFG_TEXT_MAX, a);
	r->error = tailcfg_in_cut(o, "Error", TAILCFG_DETAILS_MAX, a);
	if (why->e != OK)
		return why->e;
	*out = r;
	return OK;
}

static void read_attrs(const struct json_at *update, struct tailcfg_set_device_attr_request *r, struct arena *a)
{
	const char *key;
	json_t *value;

	if (!json_is_set(update))
		return;
	if (!json_is_object(update->v)) {
		json_note(update, ERR_INVALID, "not an object");
		return;
	}
	size_t n = json_object_size(update->v);
	if (n > TAILCFG_ATTRS_MAX) {
		json_note(update, ERR_TOO_BIG, "more than %d attributes", TAILCFG_ATTRS_MAX);
		return;
	}
	r->attrs = n ? tailcfg_in_room(update, a, n, sizeof *r->attrs) : NULL;
	if (!r->attrs)
		return;
	json_object_foreach((json_t *)(uintptr_t)update->v, key, value) { /* jansson's iteration takes no const */
		struct json_at at = json_member(update, key);

		if (strlen(key) > TAILCFG_TEXT_MAX)
			json_note(update, ERR_TOO_BIG, "a name is longer than %d bytes", TAILCFG_TEXT_MAX);
		else if (json_is_object(value) || json_is_array(value))
			json_note(&at, ERR_INVALID, "not a string, number, bool or null");
		else
			r->attrs[r->n_attrs++] = (struct tailcfg_attr){
				.name = tailcfg_in_keep(&at, bytes_str(key), a),
				.value = tailcfg_in_raw(&at, TAILCFG_ATTR_VALUE_MAX, a),
			};
	}
}

err tailcfg_set_device_attr_request_parse(struct bytes json, struct arena *a, struct tailcfg_set_device_attr_request **out,
		struct json_why *why)
{
	PARSE_BEGIN(tailcfg_set_device_attr_request);
	r->version = tailcfg_in_version(o, "Version");
	r->node_key = require_node_key(o);
	struct json_at update = json_member(o, "Update");
	read_attrs(&update, r, a);
	if (why->e != OK)
		return why->e;
	*out = r;
	return OK;
}

err tailcfg_audit_log_request_parse(struct bytes json, struct arena *a, struct tailcfg_audit_log_request **out,
		struct json_why *why)
{
	PARSE_BEGIN(tailcfg_audit_log_request);
	r->version = tailcfg_in_version(o, "Version");
	r->node_key = require_node_key(o);
	r->action = tailcfg_in_cut(o, "Action", TAILCFG_TEXT_MAX, a);
	r->details = tailcfg_in_cut(o, "Details", TAILCFG_DETAILS_MAX, a);
	r->timestamp_ms = json_time(o, "Timestamp", TIME_ZERO_MS);
	if (r->timestamp_ms == TIME_ZERO_MS)
		r->timestamp_ms = 0;
	if (why->e != OK)
		return why->e;
	*out = r;
	return OK;
}

err tailcfg_token_request_parse(struct bytes json, struct arena *a, struct tailcfg_token_request **out, struct json_why *why)
{
	PARSE_BEGIN(tailcfg_token_request);
	r->cap_version = tailcfg_in_version(o, "CapVersion");
	r->node_key = require_node_key(o);
	r->audience = tailcfg_in_text(o, "Audience", TAILCFG_URL_MAX, a);
	if (why->e != OK)
		return why->e;
	*out = r;
	return OK;
}

err tailcfg_query_feature_request_parse(struct bytes json, struct arena *a, struct tailcfg_query_feature_request **out,
		struct json_why *why)
{
	PARSE_BEGIN(tailcfg_query_feature_request);
	r->feature = tailcfg_in_cut(o, "Feature", TAILCFG_TEXT_MAX, a);
	r->node_key = require_node_key(o);
	if (why->e != OK)
		return why->e;
	*out = r;
	return OK;
}

err tailcfg_request_node_key(struct bytes json, struct node_pub *out, struct json_why *why)
{
	CLEANUP(json_decrefp) json_t *v = NULL;

	TRY(parse_body(json, &v, why));
	struct json_at root = json_root(v, why);
	struct node_pub k = require_node_key(&root);
	if (why->e != OK)
		return why->e;
	*out = k;
	return OK;
}
