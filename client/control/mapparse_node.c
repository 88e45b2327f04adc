#include "client/control/mapparse_internal.h"

#include "client/netmap_node.h"
#include "common/base/clock.h"

static bool bad(struct map_parse *p, const char *why)
{
	jp_fail(&p->jp, ERR_MALFORMED, why);
	return false;
}

bool map_read_node_key(struct map_parse *p, struct node_pub *out)
{
	if (jp_null(&p->jp))
		return false;
	return node_pub_parse(jp_str(&p->jp), out) == OK || bad(p, "not a node key");
}

bool map_read_disco_key(struct map_parse *p, struct disco_pub *out)
{
	if (jp_null(&p->jp))
		return false;
	return disco_pub_parse(jp_str(&p->jp), out) == OK || bad(p, "not a disco key");
}

static bool read_machine_key(struct map_parse *p, struct machine_pub *out)
{
	if (jp_null(&p->jp))
		return false;
	return machine_pub_parse(jp_str(&p->jp), out) == OK || bad(p, "not a machine key");
}

bool map_read_time(struct map_parse *p, int64_t *out)
{
	if (jp_null(&p->jp))
		return false;
	if (time_parse_rfc3339(jp_str(&p->jp), out) != OK)
		return bad(p, "not a time");
	if (*out == TIME_ZERO_MS)
		*out = 0;
	return true;
}

/* Packets go nowhere that only this machine or this link would take them to by mistake. */
static bool is_usable(struct addrport a)
{
	return a.port && !addr_is_loopback(a.addr) && !addr_is_multicast(a.addr) && !addr_is_unspecified(a.addr) &&
		!addr_is_link_local(a.addr);
}

void map_read_endpoints(struct map_parse *p, struct nm_draft *d)
{
	if (!jp_array(&p->jp))
		return;
	while (jp_item(&p->jp)) {
		struct bytes text = jp_str(&p->jp);
		struct addrport a;

		if (d->n_endpoints < NM_ENDPOINTS_MAX && addrport_parse(text, &a) == OK && is_usable(a))
			d->endpoints[d->n_endpoints++] = a;
	}
}

/* Only a tailnet's addresses, and not the one that is our resolver. */
static void read_addresses(struct map_parse *p, struct nm_draft *d)
{
	struct addr resolver = addr_v4(100, 100, 100, 100);

	d->n_addresses = 0;
	if (!jp_array(&p->jp))
		return;
	while (jp_item(&p->jp)) {
		struct prefix x;

		if (prefix_parse(jp_str(&p->jp), &x) != OK) {
			bad(p, "not a prefix");
			return;
		}
		if (d->n_addresses < NM_ADDRESSES_MAX && x.bits == addr_bits(x.addr) && addr_is_tailscale(x.addr) &&
			!addr_eq(x.addr, resolver))
			d->addresses[d->n_addresses++] = x;
	}
}

static void read_prefixes(struct map_parse *p, struct prefix *out, size_t *n, size_t max)
{
	*n = 0;
	if (!jp_array(&p->jp))
		return;
	while (jp_item(&p->jp)) {
		struct prefix x;

		if (prefix_parse(jp_str(&p->jp), &x) != OK) {
			bad(p, "not a prefix");
			return;
		}
		if (*n < max)
			out[(*n)++] = prefix_mask(x);
	}
}

static void read_services(struct map_parse *p, struct nm_draft *d)
{
	struct jsonpull *jp = &p->jp;

	d->n_services = 0;
	if (!jp_array(jp))
		return;
	while (jp_item(jp)) {
		struct nm_service s = { 0 };

		if (!jp_object(jp))
			continue;
		while (jp_member(jp)) {
			if (jp_key_is(jp, "Proto"))
				nm_clean(s.proto, sizeof s.proto - 1, jp_str(jp));
			else if (jp_key_is(jp, "Port"))
				s.port = (uint16_t)jp_int(jp, 0, 65535);
			else
				jp_skip(jp);
		}
		if (d->n_services < NM_SERVICES_MAX)
			d->services[d->n_services++] = s;
	}
}

static void read_hostinfo(struct map_parse *p, struct nm_draft *d)
{
	struct jsonpull *jp = &p->jp;

	if (!jp_object(jp))
		return;
	while (jp_member(jp)) {
		if (jp_key_is(jp, "Hostname")) {
			d->hostname = nm_draft_text(d, jp_str(jp));
		} else if (jp_key_is(jp, "OS")) {
			d->os = nm_draft_text(d, jp_str(jp));
		} else if (jp_key_is(jp, "Services")) {
			read_services(p, d);
		} else if (jp_key_is(jp, "ShareeNode")) {
			d->n.sharee = jp_bool(jp);
		} else if (jp_key_is(jp, "sshHostKeys")) {
			d->n.ssh = jp_peek(jp) == '[';
			jp_skip(jp);
		} else {
			jp_skip(jp);
		}
	}
}

static void read_texts(struct map_parse *p, struct nm_draft *d, uint32_t *out, size_t *n, size_t max)
{
	*n = 0;
	if (!jp_array(&p->jp))
		return;
	while (jp_item(&p->jp)) {
		struct bytes text = jp_str(&p->jp);

		if (*n < max)
			out[(*n)++] = nm_draft_text(d, text);
	}
}

static void read_caps(struct map_parse *p, struct nm_draft *d)
{
	d->n_caps = 0;
	if (!jp_object(&p->jp))
		return;
	while (jp_member(&p->jp)) {
		if (d->n_caps < NM_CAPS_MAX)
			d->caps[d->n_caps++] = nm_draft_text(d, jp_key(&p->jp));
		jp_skip(&p->jp);
	}
}

/* "127.3.3.40:7", the form before HomeDERP. */
static int legacy_home(struct bytes text)
{
	struct bytes magic = BYTES_LIT("127.3.3.40:");
	uint64_t id = 0;

	if (!bytes_has_prefix(text, magic) ||
		bytes_parse_u64(bytes_skip(text, magic.n), TAILCFG_DERP_REGION_ID_MAX, &id) != OK)
		return 0;
	return (int)id;
}

static bool read_identity(struct map_parse *p, struct nm_draft *d)
{
	struct jsonpull *jp = &p->jp;

	if (jp_key_is(jp, "ID"))
		d->n.id = jp_int(jp, 0, INT64_MAX);
	else if (jp_key_is(jp, "StableID"))
		d->stable_id = nm_draft_text(d, jp_str(jp));
	else if (jp_key_is(jp, "Name"))
		d->name = nm_draft_text(d, jp_str(jp));
	else if (jp_key_is(jp, "User"))
		d->n.user = jp_int(jp, INT64_MIN + 1, INT64_MAX);
	else if (jp_key_is(jp, "Key"))
		map_read_node_key(p, &d->n.key);
	else if (jp_key_is(jp, "Machine"))
		read_machine_key(p, &d->n.machine);
	else if (jp_key_is(jp, "DiscoKey"))
		map_read_disco_key(p, &d->n.disco);
	else if (jp_key_is(jp, "Hostinfo"))
		read_hostinfo(p, d);
	else if (jp_key_is(jp, "Tags"))
		read_texts(p, d, d->tags, &d->n_tags, NM_TAGS_MAX);
	else if (jp_key_is(jp, "CapMap"))
		read_caps(p, d);
	else if (jp_key_is(jp, "Cap"))
		d->n.cap = (int)jp_int(jp, 0, INT32_MAX);
	else
		return false;
	return true;
}

static bool read_reach(struct map_parse *p, struct nm_draft *d, int *legacy)
{
	struct jsonpull *jp = &p->jp;

	if (jp_key_is(jp, "Addresses")) {
		read_addresses(p, d);
	} else if (jp_key_is(jp, "AllowedIPs")) {
		d->has_allowed = jp_peek(jp) == '[';
		read_prefixes(p, d->allowed, &d->n_allowed, NM_ALLOWED_MAX);
	} else if (jp_key_is(jp, "PrimaryRoutes")) {
		read_prefixes(p, d->routes, &d->n_routes, NM_ALLOWED_MAX);
	} else if (jp_key_is(jp, "Endpoints")) {
		d->n_endpoints = 0;
		map_read_endpoints(p, d);
	} else if (jp_key_is(jp, "HomeDERP")) {
		d->n.home_derp = (int)jp_int(jp, 0, TAILCFG_DERP_REGION_ID_MAX);
	} else if (jp_key_is(jp, "DERP")) {
		*legacy = legacy_home(jp_str(jp));
	} else {
		return false;
	}
	return true;
}

static bool read_standing(struct map_parse *p, struct nm_draft *d)
{
	struct jsonpull *jp = &p->jp;

	if (jp_key_is(jp, "KeyExpiry")) {
		map_read_time(p, &d->n.key_expiry_ms);
	} else if (jp_key_is(jp, "Created")) {
		map_read_time(p, &d->n.created_ms);
	} else if (jp_key_is(jp, "LastSeen")) {
		map_read_time(p, &d->n.last_seen_ms);
	} else if (jp_key_is(jp, "Online")) {
		d->n.has_online = !jp_null(jp);
		d->n.online = d->n.has_online && jp_bool(jp);
	} else if (jp_key_is(jp, "MachineAuthorized")) {
		d->n.machine_authorized = jp_bool(jp);
	} else if (jp_key_is(jp, "Expired")) {
		d->n.expired = jp_bool(jp);
	} else if (jp_key_is(jp, "IsWireGuardOnly")) {
		d->n.wireguard_only = jp_bool(jp);
	} else if (jp_key_is(jp, "IsJailed")) {
		d->n.jailed = jp_bool(jp);
	} else if (jp_key_is(jp, "UnsignedPeerAPIOnly")) {
		d->n.unsigned_peerapi_only = jp_bool(jp);
	} else {
		return false;
	}
	return true;
}

bool map_read_node(struct map_parse *p)
{
	struct jsonpull *jp = &p->jp;
	struct nm_draft *d = p->draft;
	int legacy = 0;

	nm_draft_reset(d);
	if (!jp_object(jp))
		return bad(p, "a node that is no object");
	while (jp_member(jp))
		if (!read_identity(p, d) && !read_reach(p, d, &legacy) && !read_standing(p, d))
			jp_skip(jp);
	if (jp->e != OK)
		return false;
	if (d->n.id == 0 || node_pub_is_zero(&d->n.key))
		return bad(p, "a node without ID or Key");
	if (d->n.home_derp == 0)
		d->n.home_derp = legacy;
	if (d->n.unsigned_peerapi_only) /* it may be spoken to at its own addresses only */
		d->has_allowed = false;
	return true;
}
