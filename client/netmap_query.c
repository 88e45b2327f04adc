/* Questions to a netmap, and its form on disk. */
#include "client/netmap.h"

#include <stdio.h>

#include "common/base/cleanup.h"
#include "common/text/jsonw.h"

enum { CAP_TEXT_MAX = 4200, PIECE = 64 << 10 };

const struct nm_node *netmap_peer(const struct netmap *nm, int64_t id)
{
	return map_get(&nm->peers, &id);
}

const struct nm_node *netmap_peer_by_key(const struct netmap *nm, const struct node_pub *key)
{
	return map_get(&nm->by_key, key);
}

const struct nm_node *netmap_next(const struct netmap *nm, size_t *at)
{
	return map_next(&nm->peers, at);
}

const struct nm_user *netmap_user(const struct netmap *nm, int64_t id)
{
	return map_get(&nm->users, &id);
}

static bool has_address(const struct nm_node *n, struct addr a)
{
	for (size_t i = 0; i < n->n_addresses; i++)
		if (addr_eq(n->addresses[i].addr, a))
			return true;
	return false;
}

const struct nm_node *netmap_by_address(const struct netmap *nm, struct addr a)
{
	const struct nm_node *n;

	if (nm->self && has_address(nm->self, a))
		return nm->self;
	for (size_t at = 0; (n = netmap_next(nm, &at));)
		if (has_address(n, a))
			return n;
	return NULL;
}

static bool has_name(const struct netmap *nm, const struct nm_node *n, struct bytes what)
{
	char shorter[NM_TEXT_MAX + 1];

	return bytes_eq_nocase(what, bytes_str(nm_short_name(nm, n, shorter, sizeof shorter))) ||
		bytes_eq_nocase(what, bytes_str(n->name)) ||
		(*n->name && bytes_eq_nocase(what, bytes_of(n->name, strlen(n->name) - 1)));
}

const struct nm_node *netmap_find(const struct netmap *nm, struct bytes what)
{
	const struct nm_node *n;
	struct node_pub key;
	struct addr a;

	if (addr_parse(what, &a) == OK)
		return netmap_by_address(nm, a);
	if (node_pub_parse(what, &key) == OK)
		return nm->self && node_pub_eq(&nm->self->key, &key) ? nm->self : netmap_peer_by_key(nm, &key);
	if (nm->self && has_name(nm, nm->self, what))
		return nm->self;
	for (size_t at = 0; (n = netmap_next(nm, &at));)
		if (has_name(nm, n, what))
			return n;
	return NULL;
}

char *netmap_suffix(const struct netmap *nm, char *out, size_t cap)
{
	struct bytes rest = { 0 };

	if (nm->self)
		bytes_cut(bytes_str(nm->self->name), '.', &rest);
	while (rest.n && rest.p[rest.n - 1] == '.')
		rest.n--;
	if (cap)
		snprintf(out, cap, "%.*s", (int)rest.n, rest.n ? (const char *)rest.p : "");
	return out;
}

char *nm_short_name(const struct netmap *nm, const struct nm_node *n, char *out, size_t cap)
{
	char suffix[NM_TEXT_MAX + 1];
	struct bytes name = bytes_str(n->name);

	netmap_suffix(nm, suffix, sizeof suffix);
	size_t s = strlen(suffix);
	while (name.n && name.p[name.n - 1] == '.')
		name.n--;
	if (s && name.n > s + 1 && name.p[name.n - s - 1] == '.' &&
		bytes_eq_nocase(bytes_skip(name, name.n - s), bytes_str(suffix)))
		name.n -= s + 1;
	snprintf(out, cap, "%.*s", (int)name.n, (const char *)name.p);
	return out;
}

struct addr nm_address(const struct nm_node *n, int family)
{
	for (size_t i = 0; i < n->n_addresses; i++)
		if (n->addresses[i].addr.family == family)
			return n->addresses[i].addr;
	return (struct addr){ 0 };
}

bool nm_is_usable(const struct netmap *nm, const struct nm_node *n, int64_t wall_ms)
{
	return !n->expired && (n->key_expiry_ms == 0 || n->key_expiry_ms > wall_ms + nm->clock_delta_ms);
}

/* ---- routes -------------------------------------------------------------------------------------------------------- */

static bool is_own_host(const struct nm_node *n, struct prefix p)
{
	return p.bits == addr_bits(p.addr) && has_address(n, p.addr);
}

/* What no server may take away from this machine. */
static bool is_forbidden(struct prefix p)
{
	static const struct prefix never[] = {
		{ { 4, { 0 } }, 8 },
		{ { 4, { 127 } }, 8 },
		{ { 4, { 169, 254 } }, 16 },
		{ { 4, { 224 } }, 4 },
		{ { 4, { 240 } }, 4 },
		{ { 4, { 100, 100, 100, 100 } }, 31 }, /* resolvers, ours or tailscaled's */
		{ { 6, { 0 } }, 80 }, /* unspecified, loopback, IPv4 in disguise */
		{ { 6, { 0xfe, 0x80 } }, 10 },
		{ { 6, { 0xff } }, 8 },
	};

	if (p.bits == 0)
		return true;
	for (size_t i = 0; i < ARRAY_LEN(never); i++) {
		if (prefix_overlaps(p, never[i]))
			return true;
	}
	return false;
}

/* a is sorted: the first that is not below the prefix is in it, or none is. */
static bool contains_any(struct prefix p, const struct addr *a, size_t n)
{
	size_t low = 0, high = n;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (addr_cmp(a[mid], p.addr) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low < n && prefix_contains(p, a[low]);
}

static bool contains_self(const struct netmap *nm, struct prefix p)
{
	for (size_t i = 0; nm->self && i < nm->self->n_addresses; i++)
		if (prefix_contains(p, nm->self->addresses[i].addr))
			return true;
	return false;
}

bool nm_is_exit_node(const struct nm_node *n)
{
	bool four = false, six = false;

	for (size_t i = 0; i < n->n_allowed_ips; i++)
		if (n->allowed_ips[i].bits == 0)
			*(n->allowed_ips[i].addr.family == 4 ? &four : &six) = true;
	return four && six;
}

const struct nm_node *netmap_exit_node(const struct netmap *nm, struct bytes what)
{
	const struct nm_node *n = netmap_find(nm, what), *p;

	for (size_t at = 0; !n && (p = netmap_next(nm, &at));)
		if (bytes_eq_str(what, p->stable_id))
			n = p;
	return n && n != nm->self && nm_is_exit_node(n) ? n : NULL;
}

size_t netmap_peer_routes(const struct netmap *nm, const struct nm_node *n, bool accept_routes, bool is_exit,
	const struct addr *keep, size_t n_keep, struct prefix *out, size_t cap)
{
	size_t found = 0;

	for (size_t i = 0; i < n->n_allowed_ips && found < cap; i++) {
		struct prefix p = n->allowed_ips[i];

		if (p.bits == 0) {
			if (is_exit)
				out[found++] = p;
			continue;
		}
		if (contains_self(nm, p))
			continue;
		if (is_own_host(n, p) ||
			(accept_routes && !is_forbidden(p) && !contains_any(p, keep, n_keep)))
			out[found++] = p;
	}
	return found;
}

/* ---- on disk ------------------------------------------------------------------------------------------------------- */

static void put_prefixes(struct jsonw *w, const struct prefix *p, size_t n)
{
	char text[PREFIX_TEXT_MAX];

	jsonw_arr(w);
	for (size_t i = 0; i < n; i++)
		jsonw_str(w, prefix_text(p[i], text));
	jsonw_arr_end(w);
}

static void put_node(struct jsonw *w, const struct nm_node *n)
{
	char text[ADDRPORT_TEXT_MAX];

	jsonw_obj(w);
	jsonw_key(w, "ID"), jsonw_int(w, n->id);
	jsonw_key(w, "StableID"), jsonw_str(w, n->stable_id);
	jsonw_key(w, "Name"), jsonw_str(w, n->name);
	jsonw_key(w, "User"), jsonw_int(w, n->user);
	jsonw_key(w, "Key"), jsonw_hex(w, "nodekey:", bytes_of(n->key.b, 32));
	jsonw_key(w, "Machine"), jsonw_hex(w, "mkey:", bytes_of(n->machine.b, 32));
	jsonw_key(w, "DiscoKey"), jsonw_hex(w, "discokey:", bytes_of(n->disco.b, 32));
	jsonw_key(w, "Addresses"), put_prefixes(w, n->addresses, n->n_addresses);
	jsonw_key(w, "AllowedIPs"), put_prefixes(w, n->allowed_ips, n->n_allowed_ips);
	if (n->n_primary_routes)
		jsonw_key(w, "PrimaryRoutes"), put_prefixes(w, n->primary_routes, n->n_primary_routes);
	jsonw_key(w, "Endpoints"), jsonw_arr(w);
	for (size_t i = 0; i < n->n_endpoints; i++)
		jsonw_str(w, addrport_text(n->endpoints[i], text));
	jsonw_arr_end(w);
	jsonw_key(w, "HomeDERP"), jsonw_int(w, n->home_derp);
	jsonw_key(w, "Cap"), jsonw_int(w, n->cap);
	jsonw_key(w, "Hostinfo"), jsonw_obj(w);
	jsonw_key(w, "Hostname"), jsonw_str(w, n->hostname);
	jsonw_key(w, "OS"), jsonw_str(w, n->os);
	if (n->sharee)
		jsonw_key(w, "ShareeNode"), jsonw_bool(w, true);
	if (n->ssh)
		jsonw_key(w, "sshHostKeys"), jsonw_arr(w), jsonw_arr_end(w);
	jsonw_key(w, "Services"), jsonw_arr(w);
	for (size_t i = 0; i < n->n_services; i++) {
		jsonw_obj(w);
		jsonw_key(w, "Proto"), jsonw_str(w, n->services[i].proto);
		jsonw_key(w, "Port"), jsonw_int(w, n->services[i].port);
		jsonw_obj_end(w);
	}
	jsonw_arr_end(w);
	jsonw_obj_end(w);
	if (n->n_tags) {
		jsonw_key(w, "Tags"), jsonw_arr(w);
		for (size_t i = 0; i < n->n_tags; i++)
			jsonw_str(w, n->tags[i]);
		jsonw_arr_end(w);
	}
	jsonw_key(w, "CapMap"), jsonw_obj(w);
	for (size_t i = 0; i < n->n_caps; i++)
		jsonw_key_bytes(w, bytes_str(n->caps[i])), jsonw_null(w);
	jsonw_obj_end(w);
	if (n->key_expiry_ms)
		jsonw_key(w, "KeyExpiry"), jsonw_time(w, n->key_expiry_ms);
	if (n->last_seen_ms)
		jsonw_key(w, "LastSeen"), jsonw_time(w, n->last_seen_ms);
	if (n->created_ms)
		jsonw_key(w, "Created"), jsonw_time(w, n->created_ms);
	if (n->has_online)
		jsonw_key(w, "Online"), jsonw_bool(w, n->online);
	jsonw_key(w, "MachineAuthorized"), jsonw_bool(w, n->machine_authorized);
	if (n->expired)
		jsonw_key(w, "Expired"), jsonw_bool(w, true);
	if (n->wireguard_only)
		jsonw_key(w, "IsWireGuardOnly"), jsonw_bool(w, true);
	if (n->jailed)
		jsonw_key(w, "IsJailed"), jsonw_bool(w, true);
	if (n->unsigned_peerapi_only)
		jsonw_key(w, "UnsignedPeerAPIOnly"), jsonw_bool(w, true);
	jsonw_obj_end(w);
}

static void put_range(struct jsonw *w, struct nm_range r)
{
	char text[2 * ADDR_TEXT_MAX + 2], first[ADDR_TEXT_MAX], last[ADDR_TEXT_MAX];

	snprintf(text, sizeof text, "%s-%s", addr_text(r.first, first), addr_text(r.last, last));
	jsonw_str(w, text);
}

static void put_rule(struct jsonw *w, const struct nm_rule *r)
{
	char cap[CAP_TEXT_MAX];

	jsonw_obj(w);
	jsonw_key(w, "SrcIPs"), jsonw_arr(w);
	for (size_t i = 0; i < r->n_src; i++)
		put_range(w, r->src[i]);
	for (size_t i = 0; i < r->n_src_caps; i++) {
		snprintf(cap, sizeof cap, "cap:%s", r->src_caps[i]);
		jsonw_str(w, cap);
	}
	jsonw_arr_end(w);
	jsonw_key(w, "DstPorts"), jsonw_arr(w);
	for (size_t i = 0; i < r->n_dst; i++) {
		jsonw_obj(w);
		jsonw_key(w, "IP"), put_range(w, r->dst[i].at);
		jsonw_key(w, "Ports"), jsonw_obj(w);
		jsonw_key(w, "First"), jsonw_int(w, r->dst[i].first_port);
		jsonw_key(w, "Last"), jsonw_int(w, r->dst[i].last_port);
		jsonw_obj_end(w);
		jsonw_obj_end(w);
	}
	jsonw_arr_end(w);
	if (r->n_proto) {
		jsonw_key(w, "IPProto"), jsonw_arr(w);
		for (size_t i = 0; i < r->n_proto; i++)
			jsonw_int(w, r->proto[i]);
		jsonw_arr_end(w);
	}
	jsonw_obj_end(w);
}

/* The rules of all chunks as one. */
void netmap_write_rules(const struct netmap *nm, struct jsonw *w)
{
	jsonw_arr(w);
	for (size_t i = 0; i < nm->n_rules; i++)
		put_rule(w, nm->rules[i]);
	jsonw_arr_end(w);
}

void netmap_write_in_pieces(const struct netmap *nm, struct buf *out, void (*take)(void *ctx, struct buf *out), void *ctx)
{
	struct jsonw w = jsonw_init(out);
	const struct nm_node *n;
	const struct nm_user *u;

	jsonw_obj(&w);
	if (nm->self)
		jsonw_key(&w, "Node"), put_node(&w, nm->self);
	jsonw_key(&w, "Peers"), jsonw_arr(&w);
	for (size_t at = 0; (n = netmap_next(nm, &at));) {
		put_node(&w, n);
		if (take && buf_len(out) >= PIECE)
			take(ctx, out);
	}
	jsonw_arr_end(&w);
	jsonw_key(&w, "UserProfiles"), jsonw_arr(&w);
	for (size_t at = 0; (u = map_next(&nm->users, &at));)
		tailcfg_user_profile_write(&w,
			&(struct tailcfg_user_profile){ u->id, u->login_name, u->display_name, u->profile_pic_url, NULL, 0 });
	jsonw_arr_end(&w);
	if (nm->derp)
		jsonw_key(&w, "DERPMap"), tailcfg_derp_map_write(&w, nm->derp);
	jsonw_key(&w, "DNSConfig"), tailcfg_dns_config_write(&w, nm->dns);
	if (*nm->domain)
		jsonw_key(&w, "Domain"), jsonw_str(&w, nm->domain);
	if (nm->has_filter)
		jsonw_key(&w, "PacketFilter"), netmap_write_rules(nm, &w);
	jsonw_obj_end(&w);
	if (take)
		take(ctx, out);
}

void netmap_write(const struct netmap *nm, struct buf *out)
{
	netmap_write_in_pieces(nm, out, NULL, NULL);
}
