#include "server/map/encode.h"

#include <ctype.h>

#include "common/base/cleanup.h"
#include "common/base/clock.h"
#include "common/base/map.h"
#include "common/base/writer.h"

char *map_fqdn(struct arena *a, const struct core_settings *set, const char *given_name)
{
	return arena_printf(a, "%s.%s.", given_name, set->base_domain ? set->base_domain : "");
}

/* ---- pieces of a node ---- */

static void write_name(struct jsonw *w, const struct core_settings *set, const struct node_row *r)
{
	char text[512];
	struct writer out = wr_init(text, sizeof text);

	wr_bytes(&out, bytes_str(r->given_name));
	wr_u8(&out, '.');
	wr_bytes(&out, bytes_str(set->base_domain));
	wr_u8(&out, '.');
	jsonw_key(w, "Name"), jsonw_bytes(w, wr_view(&out));
}

static void write_prefix(struct jsonw *w, struct prefix p)
{
	char text[PREFIX_TEXT_MAX];

	jsonw_str(w, prefix_text(p, text));
}

static bool no_ipv4(const struct map_tailnet *t, const struct map_node *n)
{
	return n && t->policy && policy_view_no_ipv4(t->policy, n->cls);
}

/* Who has no IPv4 address is shown nobody's. */
static void write_own_prefixes(struct jsonw *w, const struct map_tailnet *t, const struct map_node *n, const struct map_node *viewer)
{
	const struct node_row *r = n->row;

	if (r->v4.family && !no_ipv4(t, n) && !no_ipv4(t, viewer))
		write_prefix(w, addr_prefix(r->v4));
	if (r->v6.family)
		write_prefix(w, addr_prefix(r->v6));
}

/* ---- routes ---- */

static bool serves(const struct map_node *n, struct prefix route)
{
	for (size_t i = 0; i < n->n_serving; i++)
		if (prefix_cmp(n->serving[i], route) == 0)
			return true;
	return false;
}

static bool shows(const struct map_tailnet *t, const struct map_node *viewer, const struct map_node *node, struct prefix route)
{
	int64_t carrier = 0;

	if (route.bits && t->carrier)
		carrier = t->carrier(t->ctx, route);
	else if (route.bits && serves(node, route))
		carrier = node->row->id;
	return policy_view_shows_route(t->policy, viewer->row->id, node->row->id, route, carrier);
}

size_t map_routes_shown(const struct map_tailnet *t, const struct map_node *viewer, const struct map_node *node, struct prefix *out)
{
	size_t n = 0;

	for (size_t i = 0; i < node->n_cand; i++)
		if (shows(t, viewer, node, node->cand[i]))
			out[n++] = node->cand[i];
	return n;
}

uint64_t map_routes_hash(const struct map_tailnet *t, const struct map_node *viewer, const struct map_node *node)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < node->n_cand; i++) {
		uint8_t text[sizeof sum + sizeof(struct addr) + 1];

		if (!shows(t, viewer, node, node->cand[i]))
			continue;
		memcpy(text, &sum, sizeof sum);
		memcpy(text + sizeof sum, &node->cand[i].addr, sizeof(struct addr));
		text[sizeof text - 1] = node->cand[i].bits;
		sum = map_hash(text, sizeof text) | 1;
	}
	return sum;
}

bool peer_is_plain(const struct map_tailnet *t, const struct map_node *n, const struct map_node *viewer)
{
	size_t shown = 0;

	if (no_ipv4(t, viewer))
		return false;
	for (size_t i = 0; i < n->n_cand; i++) {
		if (!shows(t, viewer, n, n->cand[i]))
			continue;
		if (!serves(n, n->cand[i]))
			return false;
		shown++;
	}
	return shown == n->n_serving;
}

static void write_addresses(struct jsonw *w, const struct map_tailnet *t, const struct map_node *n, const struct map_node *viewer,
			    const struct prefix *routes, size_t n_routes)
{
	jsonw_key(w, "Addresses"), jsonw_arr(w);
	write_own_prefixes(w, t, n, viewer);
	jsonw_arr_end(w);

	jsonw_key(w, "AllowedIPs"), jsonw_arr(w);
	write_own_prefixes(w, t, n, viewer);
	for (size_t i = 0; i < n_routes; i++)
		write_prefix(w, routes[i]);
	jsonw_arr_end(w);

	bool open = false;
	for (size_t i = 0; i < n_routes; i++) {
		if (routes[i].bits == 0) /* exit routes have no primary */
			continue;
		if (!open) {
			jsonw_key(w, "PrimaryRoutes"), jsonw_arr(w);
			open = true;
		}
		write_prefix(w, routes[i]);
	}
	if (open)
		jsonw_arr_end(w);
}

/* The routes of a peer: those that it carries, or those that this viewer uses. */
static void write_routed(struct jsonw *w, const struct map_tailnet *t, const struct map_node *n, const struct map_node *viewer)
{
	struct prefix shown[NODE_ROUTES_MAX];

	if (!viewer || !n->n_cand)
		write_addresses(w, t, n, viewer, n->serving, viewer ? 0 : n->n_serving);
	else
		write_addresses(w, t, n, viewer, shown, map_routes_shown(t, viewer, n, shown));
}

/* Always there, also when empty: an absent list means "unchanged" to a client (6.6). */
static void write_endpoints(struct jsonw *w, const struct node_row *r)
{
	char text[ADDRPORT_TEXT_MAX];

	jsonw_key(w, "Endpoints"), jsonw_arr(w);
	for (size_t i = 0; i < r->n_endpoints; i++)
		jsonw_str(w, addrport_text(r->endpoints[i], text));
	jsonw_arr_end(w);
}

static void write_disco(struct jsonw *w, const struct node_row *r)
{
	if (!disco_pub_is_zero(&r->disco))
		jsonw_key(w, "DiscoKey"), jsonw_hex(w, "discokey:", bytes_of(r->disco.b, 32));
}

static void write_tags(struct jsonw *w, const struct node_row *r)
{
	if (!r->n_tags)
		return;
	jsonw_key(w, "Tags"), jsonw_arr(w);
	for (size_t i = 0; i < r->n_tags; i++)
		jsonw_str(w, r->tags[i]);
	jsonw_arr_end(w);
}

/* Who and when, the same for oneself and others. */
static void write_identity(struct jsonw *w, const struct map_tailnet *t, const struct map_node *n)
{
	const struct node_row *r = n->row;
	char id[24];
	struct writer text = wr_init(id, sizeof id);
	uint64_t left = (uint64_t)r->id;
	char digits[24];
	size_t k = 0;

	do {
		digits[k++] = (char)('0' + left % 10);
		left /= 10;
	} while (left);
	while (k)
		wr_u8(&text, (uint8_t)digits[--k]);

	jsonw_key(w, "ID"), jsonw_int(w, r->id);
	jsonw_key(w, "StableID"), jsonw_bytes(w, wr_view(&text));
	write_name(w, t->set, r);
	jsonw_key(w, "User"), jsonw_int(w, n->user_id);
	jsonw_key(w, "Key"), jsonw_hex(w, "nodekey:", bytes_of(r->key.b, 32));
	if (r->expires_ms)
		jsonw_key(w, "KeyExpiry"), jsonw_time(w, r->expires_ms);
	if (t->lock_on && r->n_key_sig)
		jsonw_key(w, "KeySignature"), jsonw_base64(w, bytes_of(r->key_sig, r->n_key_sig));
}

static void write_state(struct jsonw *w, const struct map_node *n)
{
	const struct node_row *r = n->row;

	jsonw_key(w, "HomeDERP"), jsonw_int(w, r->home_derp);
	if (r->created_ms)
		jsonw_key(w, "Created"), jsonw_time(w, r->created_ms);
	jsonw_key(w, "Cap"), jsonw_int(w, r->capver);
	write_tags(w, r);
	if (!n->online && r->last_seen_ms)
		jsonw_key(w, "LastSeen"), jsonw_time(w, r->last_seen_ms);
	jsonw_key(w, "Online"), jsonw_bool(w, n->online);
	jsonw_key(w, "MachineAuthorized"), jsonw_bool(w, !n->unauthorized);
	if (n->expired)
		jsonw_key(w, "Expired"), jsonw_bool(w, true);
}

/* ---- whole nodes ---- */

static bool is_exit(const struct map_node *n)
{
	for (size_t i = 0; i < n->n_serving; i++)
		if (n->serving[i].bits == 0)
			return true;
	return false;
}

void peer_write(struct jsonw *w, const struct map_tailnet *t, const struct map_node *n, const struct map_node *viewer)
{
	jsonw_obj(w);
	write_identity(w, t, n);
	write_disco(w, n->row);
	write_routed(w, t, n, viewer);
	write_endpoints(w, n->row);
	jsonw_key(w, "Hostinfo"), tailcfg_hostinfo_write(w, n->hi, false);
	write_state(w, n);
	if (is_exit(n)) /* the service shows each exit node as one to suggest (conformance/policy routes-ea3) */
		jsonw_key(w, "CapMap"), jsonw_obj(w), jsonw_key(w, "suggest-exit-node"), jsonw_null(w), jsonw_obj_end(w);
	jsonw_obj_end(w);
}

/* What clients offer to those who may administer the tailnet. */
static void write_role_caps(struct jsonw *w, const struct map_tailnet *t, const struct map_node *n)
{
	const struct user_row *u = n->user_id == TAGGED_USER_ID ? NULL : t->user(t->ctx, n->user_id);

	if (u && u->role == USER_OWNER)
		jsonw_key(w, "https://tailscale.com/cap/is-owner"), jsonw_null(w);
	if (u && (u->role == USER_OWNER || u->role == USER_ADMIN))
		jsonw_key(w, "https://tailscale.com/cap/is-admin"), jsonw_null(w);
}

/* Does the policy give this capability (its name in quotes) itself? */
static bool gives(struct bytes caps, const char *quoted)
{
	return caps.n && memmem(caps.p, caps.n, quoted, strlen(quoted));
}

static void write_own_caps(struct jsonw *w, const struct map_tailnet *t, const struct map_node *n)
{
	jsonw_key(w, "CapMap"), jsonw_obj(w);
	jsonw_key(w, "https://tailscale.com/cap/ssh"), jsonw_null(w);
	jsonw_key(w, "https://tailscale.com/cap/tailnet-lock"), jsonw_null(w);
	if (t->set->taildrop)
		jsonw_key(w, "https://tailscale.com/cap/file-sharing"), jsonw_null(w);
	write_role_caps(w, t, n);
	struct bytes more = t->policy ? policy_view_self_caps(t->policy, n->row->id) : (struct bytes){ 0 };
	if (t->set->randomize_client_port && !gives(more, "\"randomize-client-port\""))
		jsonw_key(w, "randomize-client-port"), jsonw_null(w);
	if (!gives(more, "\"ssh-env-vars\"")) /* without it, acceptEnv of the SSH rules has no effect */
		jsonw_key(w, "ssh-env-vars"), jsonw_null(w);
	jsonw_key(w, "default-auto-update"), jsonw_arr(w);
	jsonw_bool(w, t->set->auto_update_default);
	jsonw_arr_end(w);
	jsonw_raw_members(w, more);
	services_write_caps(w, t, n);
	jsonw_obj_end(w);
}

void self_write(struct jsonw *w, const struct map_tailnet *t, const struct map_node *n)
{
	jsonw_obj(w);
	write_identity(w, t, n);
	jsonw_key(w, "Machine"), jsonw_hex(w, "mkey:", bytes_of(n->row->machine.b, 32));
	write_disco(w, n->row);
	write_addresses(w, t, n, NULL, n->serving, n->n_serving);
	write_endpoints(w, n->row);
	jsonw_key(w, "Hostinfo"), tailcfg_hostinfo_write(w, n->hi, true);
	write_state(w, n);
	write_own_caps(w, t, n);
	jsonw_obj_end(w);
}

/* ---- patches ---- */

bool patch_fits(const struct map_patch *p)
{
	return !(p->what & PATCH_HOME && p->node->row->home_derp == 0);
}

static void write_one_patch(struct jsonw *w, const struct map_node *n, unsigned what, int64_t wall_ms)
{
	const struct node_row *r = n->row;

	jsonw_obj(w);
	jsonw_key(w, "NodeID"), jsonw_int(w, r->id);
	if (what & PATCH_HOME)
		jsonw_key(w, "DERPRegion"), jsonw_int(w, r->home_derp);
	if (what & PATCH_CAP)
		jsonw_key(w, "Cap"), jsonw_int(w, r->capver);
	if (what & PATCH_ENDPOINTS)
		write_endpoints(w, r);
	if (what & PATCH_KEY)
		jsonw_key(w, "Key"), jsonw_hex(w, "nodekey:", bytes_of(r->key.b, 32));
	if (what & PATCH_DISCO) /* all zeros: it has none now */
		jsonw_key(w, "DiscoKey"), jsonw_hex(w, "discokey:", bytes_of(r->disco.b, 32));
	if (what & PATCH_ONLINE) {
		jsonw_key(w, "Online"), jsonw_bool(w, n->online);
		if (!n->online)
			jsonw_key(w, "LastSeen"), jsonw_time(w, r->last_seen_ms ? r->last_seen_ms : wall_ms);
	}
	if (what & PATCH_EXPIRY) /* Go's zero time is "never" */
		jsonw_key(w, "KeyExpiry"), jsonw_time(w, r->expires_ms ? r->expires_ms : TIME_ZERO_MS);
	jsonw_obj_end(w);
}

/* A disco key that comes with "offline" is dropped by clients (6.6), so that becomes an entry of its own. */
void patch_write(struct jsonw *w, const struct map_patch *p, int64_t wall_ms)
{
	unsigned what = p->what;

	if (what & PATCH_KEY)
		what |= PATCH_DISCO | PATCH_ENDPOINTS | PATCH_EXPIRY;
	if (what & PATCH_DISCO && what & PATCH_ONLINE && !p->node->online) {
		write_one_patch(w, p->node, what & ~(unsigned)PATCH_ONLINE, wall_ms);
		what = PATCH_ONLINE;
	}
	write_one_patch(w, p->node, what, wall_ms);
}

/* ---- users and DNS ---- */

const char *map_login_name(const struct user_row *u)
{
	return u->email && u->email[0] ? u->email : u->name ? u->name : "";
}

static bool is_set(const char *s)
{
	return s && s[0];
}

/* Every id that a node carries gets a profile with a login name, or the client's WhoIs and its own profile fail (T5, T22). */
void profile_write(struct jsonw *w, const struct map_tailnet *t, int64_t user_id)
{
	struct tailcfg_user_profile p = { .id = user_id, .login_name = "unknown", .display_name = "Unknown" };
	const struct user_row *u = user_id == TAGGED_USER_ID ? NULL : t->user(t->ctx, user_id);

	if (user_id == TAGGED_USER_ID) {
		p.login_name = "tagged-devices";
		p.display_name = "Tagged Devices";
	} else if (u) {
		p.login_name = is_set(map_login_name(u)) ? map_login_name(u) : "unknown";
		p.display_name = is_set(u->display_name) ? u->display_name : p.login_name;
		p.profile_pic_url = u->picture_url;
	}
	tailcfg_user_profile_write(w, &p);
}

/* ---- NextDNS: its resolvers are told which device asks, and a node attribute can choose another profile ---- */

#define NEXTDNS "https://dns.nextdns.io"

static bool is_nextdns(const char *addr)
{
	size_t n = sizeof NEXTDNS - 1;

	return strncmp(addr, NEXTDNS, n) == 0 && (!addr[n] || addr[n] == '/' || addr[n] == '?');
}

bool map_dns_is_own(const struct core_settings *set)
{
	for (size_t i = 0; i < set->n_resolvers; i++)
		if (is_nextdns(set->resolvers[i]))
			return true;
	for (size_t i = 0; i < set->n_split; i++)
		for (size_t k = 0; k < set->split[i].n; k++)
			if (is_nextdns(set->split[i].resolvers[k]))
				return true;
	return false;
}

/* The profile of a node attribute "nextdns:PROFILE". n 0: none. */
static struct bytes nextdns_profile(struct bytes caps)
{
	static const char key[] = "\"nextdns:";

	while (caps.n) {
		const uint8_t *at = memmem(caps.p, caps.n, key, sizeof key - 1);
		if (!at)
			break;
		caps = bytes_skip(caps, (size_t)(at - caps.p) + sizeof key - 1);
		struct bytes rest, profile = bytes_cut(caps, '"', &rest);
		bool good = profile.n && profile.n <= 64 && !bytes_eq_str(profile, "no-device-info");
		for (size_t i = 0; i < profile.n; i++)
			good &= isalnum(profile.p[i]) || profile.p[i] == '.' || profile.p[i] == '_' || profile.p[i] == '-';
		if (good)
			return profile;
	}
	return (struct bytes){ 0 };
}

static void put_parameter(struct buf *b, char before, const char *name, const char *value)
{
	buf_printf(b, "%c%s=", before, name);
	for (const char *p = value; *p; p++)
		if (isalnum((unsigned char)*p) || strchr("-._~", *p))
			buf_append_u8(b, (uint8_t)*p);
		else
			buf_printf(b, "%%%02X", (unsigned char)*p);
}

static void write_nextdns(struct buf *b, const struct map_tailnet *t, const struct map_node *viewer, const char *addr)
{
	struct bytes caps = policy_view_self_caps(t->policy, viewer->row->id), profile = nextdns_profile(caps);
	char ip[ADDR_TEXT_MAX];

	if (profile.n)
		buf_printf(b, NEXTDNS "/%.*s", (int)profile.n, (const char *)profile.p);
	else
		buf_append_str(b, addr);
	if (caps.n && memmem(caps.p, caps.n, "\"nextdns:no-device-info\"", sizeof "\"nextdns:no-device-info\"" - 1))
		return;
	put_parameter(b, !profile.n && strchr(addr, '?') ? '&' : '?', "device_name", viewer->row->hostname ? viewer->row->hostname : "");
	put_parameter(b, '&', "device_model", viewer->hi->os ? viewer->hi->os : "");
	put_parameter(b, '&', "device_ip", addr_text(viewer->row->v4.family ? viewer->row->v4 : viewer->row->v6, ip));
}

static bool is_with_exit(const struct core_settings *set, const char *addr)
{
	for (size_t i = 0; i < set->n_exit_resolvers; i++)
		if (strcmp(set->exit_resolvers[i], addr) == 0)
			return true;
	return false;
}

static void write_resolvers(struct jsonw *w, const struct map_tailnet *t, const struct map_node *viewer, const char *const *addr, size_t n,
			    bool with_exit_node)
{
	jsonw_arr(w);
	for (size_t i = 0; i < n; i++) {
		CLEANUP(buf_done) struct buf own = buf_make(4096);

		if (viewer && t->policy && is_nextdns(addr[i])) {
			write_nextdns(&own, t, viewer, addr[i]);
			buf_append_u8(&own, 0);
		}
		tailcfg_resolver_write(w, &(struct tailcfg_resolver){
			.addr = buf_len(&own) && !own.bad ? (const char *)buf_view(&own).p : addr[i], 
			.use_with_exit_node = with_exit_node || is_with_exit(t->set, addr[i]) });
	}
	jsonw_arr_end(w);
}

static void write_routes(struct jsonw *w, const struct map_tailnet *t, const struct map_node *viewer)
{
	const struct core_settings *set = t->set;

	jsonw_key(w, "Routes"), jsonw_obj(w);
	for (size_t i = 0; i < set->n_split; i++) {
		struct bytes domain = bytes_str(set->split[i].domain);

		while (domain.n && domain.p[0] == '.')
			domain = bytes_skip(domain, 1);
		if (!domain.n)
			continue;
		jsonw_key_bytes(w, domain);
		write_resolvers(w, t, viewer, set->split[i].resolvers, set->split[i].n, false);
	}
	apps_write_routes(w, t, viewer);
	jsonw_obj_end(w);
}

void lock_write(struct jsonw *w, const struct map_tailnet *t)
{
	if (!t->lock_on && !t->lock_off)
		return;
	jsonw_key(w, "TKAInfo"), jsonw_obj(w);
	if (t->lock_on)
		jsonw_key(w, "Head"), jsonw_str(w, t->lock_head);
	else
		jsonw_key(w, "Disabled"), jsonw_bool(w, true);
	jsonw_obj_end(w);
}

void dns_write(struct jsonw *w, const struct map_tailnet *t, const struct map_node *viewer)
{
	const struct core_settings *set = t->set;
	bool open = false;

	jsonw_obj(w);
	if (set->n_resolvers && set->override_local_dns)
		jsonw_key(w, "Resolvers"), write_resolvers(w, t, viewer, set->resolvers, set->n_resolvers, set->with_exit_node);
	else if (set->n_resolvers)
		jsonw_key(w, "FallbackResolvers"), write_resolvers(w, t, viewer, set->resolvers, set->n_resolvers, set->with_exit_node);
	write_routes(w, t, viewer);
	jsonw_key(w, "Domains"), jsonw_arr(w);
	if (set->magic_dns && is_set(set->base_domain)) /* clients take the first for the tailnet's own */
		jsonw_str(w, set->base_domain);
	for (size_t i = 0; i < set->n_search; i++)
		if (!set->magic_dns || !bytes_eq_nocase(bytes_str(set->search_domains[i]), bytes_str(set->base_domain)))
			jsonw_str(w, set->search_domains[i]);
	jsonw_arr_end(w);
	if (set->magic_dns)
		jsonw_key(w, "Proxied"), jsonw_bool(w, true);
	if (set->n_exit_filtered) {
		jsonw_key(w, "ExitNodeFilteredSet"), jsonw_arr(w);
		for (size_t i = 0; i < set->n_exit_filtered; i++)
			jsonw_str(w, set->exit_filtered[i]);
		jsonw_arr_end(w);
	}
	if (set->n_extra + set->n_policy_records) {
		jsonw_key(w, "ExtraRecords"), jsonw_arr(w);
		open = true;
	}
	for (size_t i = 0; i < set->n_extra + set->n_policy_records; i++) {
		const struct dns_record *x = i < set->n_extra ? &set->extra_records[i] : &set->policy_records[i - set->n_extra];

		jsonw_obj(w);
		jsonw_key(w, "Name"), jsonw_str(w, x->name);
		if (is_set(x->type))
			jsonw_key(w, "Type"), jsonw_str(w, x->type);
		jsonw_key(w, "Value"), jsonw_str(w, x->value);
		jsonw_obj_end(w);
	}
	services_write_records(w, t, viewer, &open);
	if (open)
		jsonw_arr_end(w);
	jsonw_obj_end(w);
}
