#include "common/wire/tailcfg_hostinfo.h"

#include "common/base/cleanup.h"
#include "common/wire/tailcfg_in.h"
#include "common/wire/tailcfg_out.h"
#include "common/wire/tailcfg_response.h"

const struct tailcfg_hostinfo tailcfg_hostinfo_none = {
	.hostname = "", .os = "", .os_version = "", .ipn_version = "", .backend_log_id = "", .distro = "", .distro_version = "",
	.distro_code_name = "", .device_model = "", .package = "", .app = "", .machine = "", .go_arch = "", .go_version = "",
	.cloud = "", .services_hash = "", .exit_node_id = "", .raw = { (const uint8_t *)"{}", 2 },
};

/* Depth of a Hostinfo on its own; inside a request the request's bound holds. */
enum { HOSTINFO_DEPTH_MAX = 31 };

static enum tailcfg_opt read_opt(const struct json_at *o, const char *key)
{
	struct json_at at = json_member(o, key);

	if (!json_is_set(&at))
		return TAILCFG_UNSET;
	return json_to_bool(&at, false) ? TAILCFG_TRUE : TAILCFG_FALSE;
}

static const char *text(const struct json_at *o, const char *key, struct arena *a)
{
	return tailcfg_in_cut(o, key, TAILCFG_TEXT_MAX, a);
}

static void read_latency(const struct json_at *net, struct tailcfg_netinfo *n, struct arena *a)
{
	struct json_at at = json_member(net, "DERPLatency");
	const char *key;
	json_t *value;

	if (!json_is_set(&at))
		return;
	if (!json_is_object(at.v)) {
		json_note(&at, ERR_INVALID, "not an object");
		return;
	}
	size_t count = MIN_OF(json_object_size(at.v), (size_t)TAILCFG_LATENCIES_MAX);
	n->latency = tailcfg_in_room(&at, a, count, sizeof *n->latency);
	if (!n->latency)
		return;
	json_object_foreach((json_t *)(uintptr_t)at.v, key, value) { /* jansson's iteration takes no const */
		struct tailcfg_latency l;

		if (n->n_latency == count)
			break;
		if (json_is_null(value))
			continue;
		if (!json_is_number(value)) {
			json_note(&at, ERR_INVALID, "a latency is not a number");
			return;
		}
		l.region = tailcfg_in_keep(&at, bytes_first(bytes_str(key), 32), a);
		l.seconds = json_number_value(value);
		n->latency[n->n_latency++] = l;
	}
}

static struct tailcfg_netinfo *read_netinfo(const struct json_at *at, struct arena *a)
{
	struct tailcfg_netinfo *n;

	if (!json_is_set(at) || !(n = tailcfg_in_room(at, a, 1, sizeof *n)))
		return NULL;
	n->mapping_varies_by_dest_ip = read_opt(at, "MappingVariesByDestIP");
	n->working_ipv6 = read_opt(at, "WorkingIPv6");
	n->os_has_ipv6 = read_opt(at, "OSHasIPv6");
	n->working_udp = read_opt(at, "WorkingUDP");
	n->working_icmpv4 = read_opt(at, "WorkingICMPv4");
	n->upnp = read_opt(at, "UPnP");
	n->pmp = read_opt(at, "PMP");
	n->pcp = read_opt(at, "PCP");
	n->have_port_map = json_bool(at, "HavePortMap", false);
	n->preferred_derp = (int)json_int(at, "PreferredDERP", 0, UINT16_MAX, 0);
	n->link_type = text(at, "LinkType", a);
	n->firewall_mode = text(at, "FirewallMode", a);
	read_latency(at, n, a);
	n->raw = tailcfg_in_raw(at, TAILCFG_HOSTINFO_MAX, a);
	return n;
}

static struct tailcfg_location *read_location(const struct json_at *at, struct arena *a)
{
	struct tailcfg_location *l;

	if (!json_is_set(at) || !(l = tailcfg_in_room(at, a, 1, sizeof *l)))
		return NULL;
	l->country = text(at, "Country", a);
	l->country_code = text(at, "CountryCode", a);
	l->city = text(at, "City", a);
	l->city_code = text(at, "CityCode", a);
	l->latitude = json_double(at, "Latitude", 0);
	l->longitude = json_double(at, "Longitude", 0);
	l->priority = (int)json_int(at, "Priority", INT32_MIN, INT32_MAX, 0);
	return l;
}

/* Before anything is read: a long list alone must not make the whole report one that is refused, its endpoints included. */
static size_t cut_routes(const struct json_at *o)
{
	struct json_at list = json_member(o, "RoutableIPs");
	json_t *v = (json_t *)(uintptr_t)list.v;
	size_t n = json_is_array(v) ? json_array_size(v) : 0;

	for (size_t i = n; i > TAILCFG_ROUTES_MAX; i--)
		json_array_remove(v, i - 1);
	return n > TAILCFG_ROUTES_MAX ? n - TAILCFG_ROUTES_MAX : 0;
}

static void read_routes(const struct json_at *o, struct tailcfg_hostinfo *h, struct arena *a)
{
	struct json_at list = json_member(o, "RoutableIPs");
	size_t n = json_count(&list, TAILCFG_ROUTES_MAX);

	h->routable_ips = n ? tailcfg_in_room(&list, a, n, sizeof *h->routable_ips) : NULL;
	for (size_t i = 0; h->routable_ips && i < n; i++) {
		struct json_at at = json_item(&list, i);
		struct bytes s = json_to_bytes(&at, PREFIX_TEXT_MAX);

		if (s.n == 0) /* Go's zero prefix: no route */
			continue;
		if (!memchr(s.p, '/', s.n) || prefix_parse(s, &h->routable_ips[h->n_routable_ips]) != OK) {
			json_note(&at, ERR_INVALID, "not a prefix");
			return;
		}
		h->n_routable_ips++;
	}
}

static void read_tags(const struct json_at *o, struct tailcfg_hostinfo *h, struct arena *a)
{
	struct json_at list = json_member(o, "RequestTags");
	size_t n = json_count(&list, TAILCFG_TAGS_MAX);

	h->request_tags = n ? tailcfg_in_room(&list, a, n, sizeof *h->request_tags) : NULL;
	for (size_t i = 0; h->request_tags && i < n; i++) {
		struct json_at at = json_item(&list, i);
		struct bytes s = json_to_bytes(&at, TAILCFG_TAG_LEN_MAX);

		if (s.n)
			h->request_tags[h->n_request_tags++] = tailcfg_in_keep(&at, s, a);
	}
}

static void read_services(const struct json_at *o, struct tailcfg_hostinfo *h, struct arena *a)
{
	struct json_at list = json_member(o, "Services");
	size_t n = MIN_OF(json_count(&list, SIZE_MAX), (size_t)TAILCFG_SERVICES_MAX);

	h->services = n ? tailcfg_in_room(&list, a, n, sizeof *h->services) : NULL;
	for (size_t i = 0; h->services && i < n; i++) {
		struct json_at at = json_item(&list, i);

		if (!json_is_set(&at))
			continue;
		h->services[h->n_services++] = (struct tailcfg_service){
			.proto = tailcfg_in_cut(&at, "Proto", 32, a),
			.port = (uint16_t)json_int(&at, "Port", 0, UINT16_MAX, 0),
			.description = text(&at, "Description", a),
		};
	}
}

static void read_ssh_keys(const struct json_at *o, struct tailcfg_hostinfo *h, struct arena *a)
{
	struct json_at list = json_member(o, "sshHostKeys");
	size_t n = json_count(&list, SIZE_MAX), room = MIN_OF(n, (size_t)TAILCFG_SSH_KEYS_MAX);

	h->ssh_host_keys = room ? tailcfg_in_room(&list, a, room, sizeof *h->ssh_host_keys) : NULL;
	for (size_t i = 0; h->ssh_host_keys && i < n && h->n_ssh_host_keys < room; i++) {
		struct json_at at = json_item(&list, i);
		struct bytes s = json_to_bytes(&at, SIZE_MAX);

		if (s.n && s.n <= TAILCFG_SSH_KEY_LEN_MAX)
			h->ssh_host_keys[h->n_ssh_host_keys++] = tailcfg_in_keep(&at, s, a);
	}
}

struct tailcfg_hostinfo *tailcfg_hostinfo_read(const struct json_at *o, struct arena *a)
{
	struct tailcfg_hostinfo *h = tailcfg_in_room(o, a, 1, sizeof *h);

	if (!h)
		return NULL;
	*h = tailcfg_hostinfo_none;
	if (!json_is_set(o))
		return h;
	h->hostname = text(o, "Hostname", a);
	h->os = text(o, "OS", a);
	h->os_version = text(o, "OSVersion", a);
	h->ipn_version = text(o, "IPNVersion", a);
	h->backend_log_id = text(o, "BackendLogID", a);
	h->distro = text(o, "Distro", a);
	h->distro_version = text(o, "DistroVersion", a);
	h->distro_code_name = text(o, "DistroCodeName", a);
	h->device_model = text(o, "DeviceModel", a);
	h->package = text(o, "Package", a);
	h->app = text(o, "App", a);
	h->machine = text(o, "Machine", a);
	h->go_arch = text(o, "GoArch", a);
	h->go_version = text(o, "GoVersion", a);
	h->cloud = text(o, "Cloud", a);
	h->services_hash = text(o, "ServicesHash", a);
	h->exit_node_id = text(o, "ExitNodeID", a);
	h->shields_up = json_bool(o, "ShieldsUp", false);
	h->sharee_node = json_bool(o, "ShareeNode", false);
	h->wire_ingress = json_bool(o, "WireIngress", false);
	h->ingress_enabled = json_bool(o, "IngressEnabled", false);
	h->allows_update = json_bool(o, "AllowsUpdate", false);
	h->peer_relay = json_bool(o, "PeerRelay", false);
	h->app_connector = read_opt(o, "AppConnector");
	h->container = read_opt(o, "Container");
	h->desktop = read_opt(o, "Desktop");
	h->userspace = read_opt(o, "Userspace");
	h->userspace_router = read_opt(o, "UserspaceRouter");
	h->state_encrypted = read_opt(o, "StateEncrypted");
	h->n_routes_left_out = cut_routes(o);
	read_routes(o, h, a);
	read_tags(o, h, a);
	read_services(o, h, a);
	read_ssh_keys(o, h, a);
	struct json_at at = json_member(o, "Location");
	h->location = read_location(&at, a);
	at = json_member(o, "NetInfo");
	h->netinfo = read_netinfo(&at, a);
	if (json_is_object(o->v))
		h->raw = tailcfg_in_raw(o, TAILCFG_HOSTINFO_MAX, a);
	return h;
}

err tailcfg_hostinfo_parse(struct bytes json, struct arena *a, struct tailcfg_hostinfo **out, struct json_why *why)
{
	CLEANUP(json_decrefp) json_t *v = NULL;

	*why = (struct json_why){ 0 };
	TRY(json_parse_why(json.n ? json : BYTES_LIT("{}"), TAILCFG_HOSTINFO_MAX, HOSTINFO_DEPTH_MAX, &v, why));
	struct json_at at = json_root(v, why);
	struct tailcfg_hostinfo *h = tailcfg_hostinfo_read(&at, a);
	if (why->e == OK)
		*out = h;
	return why->e;
}

struct tailcfg_hostinfo *tailcfg_hostinfo_keep_netinfo(struct tailcfg_hostinfo *now, const struct tailcfg_hostinfo *before,
		struct arena *a)
{
	struct json_why why;
	struct tailcfg_hostinfo *h;

	if (now->netinfo || !before->netinfo || before->netinfo->raw.n == 0)
		return now;
	/* At the end, so that it counts over a "NetInfo":null inside: the last of duplicate keys does. */
	struct bytes open = bytes_first(now->raw, now->raw.n - 1), net = before->netinfo->raw;
	char *joined = arena_printf(a, "%.*s%s\"NetInfo\":%.*s}", (int)open.n, (const char *)open.p, open.n > 1 ? "," : "",
			(int)net.n, (const char *)net.p);

	if (!joined)
		return NULL;
	err e = tailcfg_hostinfo_parse(bytes_str(joined), a, &h, &why);
	if (e == ERR_NOMEM)
		return NULL;
	return e == OK ? h : now; /* both together over the bound: the older half gives way */
}

/* ---- writing ----------------------------------------------------------------------------------------------------- */

static void write_location(struct jsonw *w, const struct tailcfg_location *l)
{
	jsonw_key(w, "Location");
	jsonw_obj(w);
	OUT_TEXT(w, "Country", l->country);
	OUT_TEXT(w, "CountryCode", l->country_code);
	OUT_TEXT(w, "City", l->city);
	OUT_TEXT(w, "CityCode", l->city_code);
	OUT_DOUBLE(w, "Latitude", l->latitude);
	OUT_DOUBLE(w, "Longitude", l->longitude);
	OUT_INT(w, "Priority", l->priority);
	jsonw_obj_end(w);
}

void tailcfg_hostinfo_write(struct jsonw *w, const struct tailcfg_hostinfo *h, bool for_self)
{
	jsonw_obj(w);
	OUT_TEXT(w, "OS", h->os);
	OUT_TEXT(w, "Hostname", h->hostname);
	OUT_FLAG(w, "ShareeNode", h->sharee_node);
	if (h->n_services) {
		jsonw_key(w, "Services");
		jsonw_arr(w);
		for (size_t i = 0; i < h->n_services; i++) {
			jsonw_obj(w);
			jsonw_key(w, "Proto");
			jsonw_str(w, h->services[i].proto);
			jsonw_key(w, "Port");
			jsonw_uint(w, h->services[i].port);
			OUT_TEXT(w, "Description", h->services[i].description);
			jsonw_obj_end(w);
		}
		jsonw_arr_end(w);
	}
	if (h->n_ssh_host_keys) {
		jsonw_key(w, "sshHostKeys");
		tailcfg_texts_write(w, h->ssh_host_keys, h->n_ssh_host_keys);
	}
	if (h->location)
		write_location(w, h->location);
	if (for_self) {
		OUT_TEXT(w, "IPNVersion", h->ipn_version);
		OUT_TEXT(w, "OSVersion", h->os_version);
		OUT_FLAG(w, "ShieldsUp", h->shields_up);
		OUT_FLAG(w, "WireIngress", h->wire_ingress);
		OUT_FLAG(w, "IngressEnabled", h->ingress_enabled);
		OUT_OPT(w, "AppConnector", h->app_connector);
		if (h->n_routable_ips) {
			jsonw_key(w, "RoutableIPs");
			jsonw_arr(w);
			for (size_t i = 0; i < h->n_routable_ips; i++) {
				char s[PREFIX_TEXT_MAX];

				jsonw_str(w, prefix_text(h->routable_ips[i], s));
			}
			jsonw_arr_end(w);
		}
		if (h->n_request_tags) {
			jsonw_key(w, "RequestTags");
			tailcfg_texts_write(w, h->request_tags, h->n_request_tags);
		}
	}
	jsonw_obj_end(w);
}
