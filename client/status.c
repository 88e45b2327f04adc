/* The official `status --json`: field names and values of ipnstate.Status (protocol/control.md 7.4). */
#include <stdio.h>

#include "client/daemon.h"
#include "client/dataplane.h"
#include "client/route/route.h"
#include "common/base/cleanup.h"
#include "common/base/version.h"
#include "common/text/jsonw.h"

static void put_texts(struct jsonw *w, const char *const *t, size_t n)
{
	jsonw_arr(w);
	for (size_t i = 0; i < n; i++)
		jsonw_str(w, t[i]);
	jsonw_arr_end(w);
}

static void put_prefixes(struct jsonw *w, const struct prefix *p, size_t n)
{
	char text[PREFIX_TEXT_MAX];

	jsonw_arr(w);
	for (size_t i = 0; i < n; i++)
		jsonw_str(w, prefix_text(p[i], text));
	jsonw_arr_end(w);
}

static void put_ips(struct jsonw *w, const struct nm_node *n)
{
	char text[ADDR_TEXT_MAX];

	jsonw_arr(w);
	for (size_t i = 0; i < n->n_addresses; i++)
		jsonw_str(w, addr_text(n->addresses[i].addr, text));
	jsonw_arr_end(w);
}

static void put_time(struct jsonw *w, int64_t ms)
{
	if (ms)
		jsonw_time(w, ms);
	else
		jsonw_str(w, "0001-01-01T00:00:00Z");
}

static void put_peerapi(struct jsonw *w, const struct nm_node *n)
{
	char url[ADDRPORT_TEXT_MAX + 16], at[ADDRPORT_TEXT_MAX];
	bool any = false;

	for (size_t i = 0; i < n->n_services; i++)
		any |= strncmp(n->services[i].proto, "peerapi", 7) == 0;
	if (!any) {
		jsonw_null(w);
		return;
	}
	jsonw_arr(w);
	for (size_t i = 0; i < n->n_services; i++) {
		int family = strcmp(n->services[i].proto, "peerapi4") == 0 ? 4 : strcmp(n->services[i].proto, "peerapi6") == 0 ? 6 : 0;
		struct addr a = nm_address(n, family);

		if (!family || !a.family)
			continue;
		snprintf(url, sizeof url, "http://%s", addrport_text((struct addrport){ a, n->services[i].port }, at));
		jsonw_str(w, url);
	}
	jsonw_arr_end(w);
}

static const char *region_code(const struct daemon *d, int id)
{
	const struct tailcfg_derp_region *r = d->netmap.derp && id ? tailcfg_derp_region_by_id(d->netmap.derp, id) : NULL;

	return r ? r->region_code : "";
}

static void put_reach(struct daemon *d, struct jsonw *w, const struct nm_node *n, bool is_self)
{
	struct dataplane_peer s = { 0 };
	char text[ADDRPORT_TEXT_MAX];
	bool known = !is_self && d->dp && dataplane_peer_status(d->dp, &n->key, &s);

	jsonw_key(w, "Addrs");
	if (is_self) {
		jsonw_arr(w);
		for (size_t i = 0; i < d->self.n_endpoints; i++)
			jsonw_str(w, addrport_text(d->self.endpoints[i].at, text));
		jsonw_arr_end(w);
	} else {
		jsonw_null(w);
	}
	jsonw_key(w, "CurAddr"), jsonw_str(w, s.direct.addr.family ? addrport_text(s.direct, text) : "");
	jsonw_key(w, "Relay"), jsonw_str(w, region_code(d, is_self ? d->self.preferred_derp : n->home_derp));
	jsonw_key(w, "PeerRelay"), jsonw_str(w, "");
	jsonw_key(w, "RxBytes"), jsonw_uint(w, s.rx_bytes);
	jsonw_key(w, "TxBytes"), jsonw_uint(w, s.tx_bytes);
	jsonw_key(w, "LastHandshake"), put_time(w, s.handshake_ms);
	jsonw_key(w, "Active"), jsonw_bool(w, s.active);
	jsonw_key(w, "InMagicSock"), jsonw_bool(w, known);
	jsonw_key(w, "InEngine"), jsonw_bool(w, known);
}

/* In use. NULL: none is wanted, or it is not there. */
static const struct nm_node *exit_node(const struct daemon *d)
{
	const char *wanted = d->state.prefs.exit_node;

	return *wanted ? netmap_exit_node(&d->netmap, bytes_str(wanted)) : NULL;
}

static void put_node(struct daemon *d, struct jsonw *w, const struct nm_node *n, bool is_self)
{
	bool online = is_self ? control_state(d->control) == CONTROL_SYNCED : n->online;

	jsonw_obj(w);
	jsonw_key(w, "ID"), jsonw_str(w, n->stable_id);
	jsonw_key(w, "NodeID"), jsonw_int(w, n->id);
	jsonw_key(w, "PublicKey"), jsonw_hex(w, "nodekey:", bytes_of(n->key.b, 32));
	jsonw_key(w, "HostName"), jsonw_str(w, is_self && !*n->hostname ? d->self.hostname : n->hostname);
	jsonw_key(w, "DNSName"), jsonw_str(w, n->name);
	jsonw_key(w, "OS"), jsonw_str(w, is_self && !*n->os ? "linux" : n->os);
	jsonw_key(w, "UserID"), jsonw_int(w, n->user);
	jsonw_key(w, "TailscaleIPs"), put_ips(w, n);
	jsonw_key(w, "AllowedIPs"), put_prefixes(w, n->allowed_ips, n->n_allowed_ips);
	if (n->n_primary_routes)
		jsonw_key(w, "PrimaryRoutes"), put_prefixes(w, n->primary_routes, n->n_primary_routes);
	if (n->n_tags)
		jsonw_key(w, "Tags"), put_texts(w, n->tags, n->n_tags);
	put_reach(d, w, n, is_self);
	jsonw_key(w, "Created"), put_time(w, n->created_ms);
	jsonw_key(w, "LastWrite"), put_time(w, 0);
	jsonw_key(w, "LastSeen"), put_time(w, online ? 0 : n->last_seen_ms);
	jsonw_key(w, "Online"), jsonw_bool(w, online);
	jsonw_key(w, "ExitNode"), jsonw_bool(w, n == exit_node(d));
	jsonw_key(w, "ExitNodeOption"), jsonw_bool(w, !is_self && nm_is_exit_node(n));
	jsonw_key(w, "PeerAPIURL"), put_peerapi(w, n);
	jsonw_key(w, "TaildropTarget"), jsonw_int(w, 0);
	jsonw_key(w, "NoFileSharingReason"), jsonw_str(w, "");
	if (n->n_caps) {
		jsonw_key(w, "Capabilities"), put_texts(w, n->caps, n->n_caps);
		jsonw_key(w, "CapMap"), jsonw_obj(w);
		for (size_t i = 0; i < n->n_caps; i++)
			jsonw_key_bytes(w, bytes_str(n->caps[i])), jsonw_null(w);
		jsonw_obj_end(w);
	}
	jsonw_key(w, "InNetworkMap"), jsonw_bool(w, true);
	if (n->key_expiry_ms)
		jsonw_key(w, "KeyExpiry"), jsonw_time(w, n->key_expiry_ms);
	if (!nm_is_usable(&d->netmap, n, loop_wall_ms(d->loop)))
		jsonw_key(w, "Expired"), jsonw_bool(w, true);
	if (n->sharee)
		jsonw_key(w, "ShareeNode"), jsonw_bool(w, true);
	jsonw_obj_end(w);
}

static void put_health(struct daemon *d, struct jsonw *w)
{
	const struct netmap *nm = &d->netmap;
	char line[CONTROL_TEXT_MAX + 64];

	jsonw_arr(w);
	if (d->state.prefs.want_running && nm->self && !nm_is_usable(nm, nm->self, loop_wall_ms(d->loop)))
		jsonw_str(w, "This machine's key has expired. Run: fairlead-client up");
	if (d->state.prefs.want_running && control_state(d->control) == CONTROL_WAITING) {
		snprintf(line, sizeof line, "Not connected to the coordination server: %s", control_last_error(d->control));
		jsonw_str(w, line);
	}
	if (d->state.prefs.want_running && *d->state.prefs.exit_node && !exit_node(d)) {
		snprintf(line, sizeof line, "The exit node %.200s is not available: nothing leaves for the internet. Choose another, or: "
			"fairlead-client set --exit-node=", d->state.prefs.exit_node);
		jsonw_str(w, line);
	}
	if (exit_node(d) && route_filters_strictly())
		jsonw_str(w, "net.ipv4.conf.all.rp_filter is 1, which breaks exit nodes: set it to 2");
	if ((d->state.prefs.n_routes || d->state.prefs.advertise_exit) && !route_kernel_forwards())
		jsonw_str(w, "This machine offers routes but does not forward packets: set net.ipv4.ip_forward (and net.ipv6.conf.all.forwarding) to 1");
	if (d->dp && dataplane_dns_is_overruled(d->dp))
		jsonw_str(w, "Another program wrote over /etc/resolv.conf: names of this tailnet may not resolve");
	for (size_t i = 0; i < nm->n_health; i++) {
		snprintf(line, sizeof line, "Coordination server reports an issue: %.300s", nm->health[i]);
		jsonw_str(w, line);
	}
	jsonw_arr_end(w);
}

static void put_users(struct daemon *d, struct jsonw *w)
{
	const struct nm_user *u;

	jsonw_obj(w);
	for (size_t at = 0; (u = map_next(&d->netmap.users, &at));) {
		jsonw_key_int(w, u->id), jsonw_obj(w);
		jsonw_key(w, "ID"), jsonw_int(w, u->id);
		jsonw_key(w, "LoginName"), jsonw_str(w, u->login_name);
		jsonw_key(w, "DisplayName"), jsonw_str(w, u->display_name);
		if (*u->profile_pic_url)
			jsonw_key(w, "ProfilePicURL"), jsonw_str(w, u->profile_pic_url);
		jsonw_obj_end(w);
	}
	jsonw_obj_end(w);
}

static void put_records(struct jsonw *w, const struct tailcfg_dns_config *c)
{
	if (!c->n_extra_records) {
		jsonw_null(w);
		return;
	}
	jsonw_arr(w);
	for (size_t i = 0; i < c->n_extra_records; i++) {
		const struct tailcfg_dns_record *r = &c->extra_records[i];

		jsonw_obj(w);
		jsonw_key(w, "Name"), jsonw_str(w, r->name);
		if (*r->type)
			jsonw_key(w, "Type"), jsonw_str(w, r->type);
		jsonw_key(w, "Value"), jsonw_str(w, r->value);
		jsonw_obj_end(w);
	}
	jsonw_arr_end(w);
}

static void put_tailnet(struct daemon *d, struct jsonw *w)
{
	char suffix[NM_TEXT_MAX + 1];

	jsonw_key(w, "MagicDNSSuffix"), jsonw_str(w, netmap_suffix(&d->netmap, suffix, sizeof suffix));
	jsonw_key(w, "CurrentTailnet");
	if (d->netmap.self) {
		jsonw_obj(w);
		jsonw_key(w, "Name"), jsonw_str(w, d->netmap.domain);
		jsonw_key(w, "MagicDNSSuffix"), jsonw_str(w, suffix);
		jsonw_key(w, "MagicDNSEnabled"), jsonw_bool(w, d->netmap.dns->proxied);
		jsonw_obj_end(w);
	} else {
		jsonw_null(w);
	}
	jsonw_key(w, "CertDomains");
	if (d->netmap.dns->n_cert_domains)
		put_texts(w, d->netmap.dns->cert_domains, d->netmap.dns->n_cert_domains);
	else
		jsonw_null(w);
	jsonw_key(w, "ExtraRecords");
	put_records(w, d->netmap.dns);
}

void status_write_begin(struct daemon *d, struct jsonw *w, bool peers)
{
	const struct nm_node *self = d->netmap.self;

	jsonw_obj(w);
	jsonw_key(w, "Version"), jsonw_str(w, fairlead_version);
	jsonw_key(w, "TUN"), jsonw_bool(w, d->dp != NULL);
	jsonw_key(w, "BackendState"), jsonw_str(w, daemon_backend_state(d));
	jsonw_key(w, "HaveNodeKey"), jsonw_bool(w, !node_pub_is_zero(&d->state.node.pub));
	jsonw_key(w, "AuthURL"), jsonw_str(w, control_auth_url(d->control));
	jsonw_key(w, "TailscaleIPs");
	if (self)
		put_ips(w, self);
	else
		jsonw_null(w);
	jsonw_key(w, "Self");
	if (self)
		put_node(d, w, self, true);
	else
		jsonw_null(w);
	const struct nm_node *exit = exit_node(d);
	if (exit) {
		jsonw_key(w, "ExitNodeStatus"), jsonw_obj(w);
		jsonw_key(w, "ID"), jsonw_str(w, exit->stable_id);
		jsonw_key(w, "Online"), jsonw_bool(w, exit->online);
		jsonw_key(w, "TailscaleIPs"), put_ips(w, exit);
		jsonw_obj_end(w);
	}
	jsonw_key(w, "Health"), put_health(d, w);
	put_tailnet(d, w);
	jsonw_key(w, "Peer");
	if (peers)
		jsonw_obj(w);
	else
		jsonw_null(w);
}

void status_write_peer(struct daemon *d, struct jsonw *w, const struct nm_node *n)
{
	char key[KEY_TEXT_MAX];

	jsonw_key_bytes(w, bytes_str(node_pub_text(&n->key, key))), put_node(d, w, n, false);
}

void status_write_end(struct daemon *d, struct jsonw *w, bool peers)
{
	if (peers)
		jsonw_obj_end(w);
	jsonw_key(w, "User"), put_users(d, w);
	jsonw_key(w, "ClientVersion"), jsonw_null(w);
	jsonw_obj_end(w);
}
