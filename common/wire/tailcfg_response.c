#include "common/wire/tailcfg_response.h"

#include "common/base/cleanup.h"
#include "common/wire/tailcfg_out.h"

void tailcfg_texts_write(struct jsonw *w, const char *const *texts, size_t n)
{
	jsonw_arr(w);
	for (size_t i = 0; i < n; i++)
		jsonw_str(w, texts[i]);
	jsonw_arr_end(w);
}

/* ---- register and users ------------------------------------------------------------------------------------------ */

void tailcfg_register_response_write(struct jsonw *w, const struct tailcfg_register_response *r)
{
	const struct tailcfg_login *l = &r->login;

	jsonw_obj(w);
	jsonw_key(w, "User");
	jsonw_obj(w);
	jsonw_key(w, "ID");
	jsonw_int(w, l->id);
	jsonw_key(w, "DisplayName");
	jsonw_str(w, l->display_name);
	OUT_TEXT(w, "ProfilePicURL", l->profile_pic_url);
	if (l->created_ms) {
		jsonw_key(w, "Created");
		jsonw_time(w, l->created_ms);
	}
	jsonw_obj_end(w);
	jsonw_key(w, "Login");
	jsonw_obj(w);
	jsonw_key(w, "ID");
	jsonw_int(w, l->id);
	jsonw_key(w, "Provider");
	jsonw_str(w, l->provider);
	jsonw_key(w, "LoginName");
	jsonw_str(w, l->login_name);
	jsonw_key(w, "DisplayName");
	jsonw_str(w, l->display_name);
	jsonw_key(w, "ProfilePicURL");
	jsonw_str(w, l->profile_pic_url);
	jsonw_obj_end(w);
	jsonw_key(w, "NodeKeyExpired");
	jsonw_bool(w, r->node_key_expired);
	jsonw_key(w, "MachineAuthorized");
	jsonw_bool(w, r->machine_authorized);
	jsonw_key(w, "AuthURL");
	jsonw_str(w, r->auth_url);
	if (r->node_key_signature.n) {
		jsonw_key(w, "NodeKeySignature");
		jsonw_base64(w, r->node_key_signature);
	}
	jsonw_key(w, "Error");
	jsonw_str(w, r->error);
	jsonw_obj_end(w);
}

void tailcfg_user_profile_write(struct jsonw *w, const struct tailcfg_user_profile *u)
{
	jsonw_obj(w);
	jsonw_key(w, "ID");
	jsonw_int(w, u->id);
	jsonw_key(w, "LoginName");
	jsonw_str(w, u->login_name);
	jsonw_key(w, "DisplayName");
	jsonw_str(w, u->display_name);
	OUT_TEXT(w, "ProfilePicURL", u->profile_pic_url);
	if (u->n_groups) {
		jsonw_key(w, "Groups");
		tailcfg_texts_write(w, u->groups, u->n_groups);
	}
	jsonw_obj_end(w);
}

/* ---- DNS --------------------------------------------------------------------------------------------------------- */

void tailcfg_resolver_write(struct jsonw *w, const struct tailcfg_resolver *r)
{
	jsonw_obj(w);
	OUT_TEXT(w, "Addr", r->addr);
	if (r->n_bootstrap) {
		jsonw_key(w, "BootstrapResolution");
		jsonw_arr(w);
		for (size_t i = 0; i < r->n_bootstrap; i++) {
			char s[ADDR_TEXT_MAX];

			jsonw_str(w, addr_text(r->bootstrap[i], s));
		}
		jsonw_arr_end(w);
	}
	OUT_FLAG(w, "UseWithExitNode", r->use_with_exit_node);
	jsonw_obj_end(w);
}

static void write_resolvers(struct jsonw *w, const struct tailcfg_resolver *r, size_t n)
{
	jsonw_arr(w);
	for (size_t i = 0; i < n; i++)
		tailcfg_resolver_write(w, &r[i]);
	jsonw_arr_end(w);
}

void tailcfg_dns_config_write(struct jsonw *w, const struct tailcfg_dns_config *d)
{
	jsonw_obj(w);
	if (d->n_resolvers) {
		jsonw_key(w, "Resolvers");
		write_resolvers(w, d->resolvers, d->n_resolvers);
	}
	if (d->n_routes) {
		jsonw_key(w, "Routes");
		jsonw_obj(w);
		for (size_t i = 0; i < d->n_routes; i++) {
			jsonw_key_bytes(w, bytes_str(d->routes[i].suffix));
			write_resolvers(w, d->routes[i].resolvers, d->routes[i].n_resolvers);
		}
		jsonw_obj_end(w);
	}
	if (d->n_fallback_resolvers) {
		jsonw_key(w, "FallbackResolvers");
		write_resolvers(w, d->fallback_resolvers, d->n_fallback_resolvers);
	}
	if (d->n_domains) {
		jsonw_key(w, "Domains");
		tailcfg_texts_write(w, d->domains, d->n_domains);
	}
	OUT_FLAG(w, "Proxied", d->proxied);
	if (d->n_cert_domains) {
		jsonw_key(w, "CertDomains");
		tailcfg_texts_write(w, d->cert_domains, d->n_cert_domains);
	}
	if (d->n_extra_records) {
		jsonw_key(w, "ExtraRecords");
		jsonw_arr(w);
		for (size_t i = 0; i < d->n_extra_records; i++) {
			jsonw_obj(w);
			jsonw_key(w, "Name");
			jsonw_str(w, d->extra_records[i].name);
			OUT_TEXT(w, "Type", d->extra_records[i].type);
			jsonw_key(w, "Value");
			jsonw_str(w, d->extra_records[i].value);
			jsonw_obj_end(w);
		}
		jsonw_arr_end(w);
	}
	if (d->n_exit_node_filtered_set) {
		jsonw_key(w, "ExitNodeFilteredSet");
		tailcfg_texts_write(w, d->exit_node_filtered_set, d->n_exit_node_filtered_set);
	}
	jsonw_obj_end(w);
}

/* ---- packet filter ----------------------------------------------------------------------------------------------- */

static void write_dst_ports(struct jsonw *w, const struct tailcfg_filter_rule *r)
{
	jsonw_key(w, "DstPorts");
	jsonw_arr(w);
	for (size_t i = 0; i < r->n_dst_ports; i++) {
		jsonw_obj(w);
		jsonw_key(w, "IP");
		jsonw_str(w, r->dst_ports[i].ip);
		jsonw_key(w, "Ports");
		jsonw_obj(w);
		jsonw_key(w, "First");
		jsonw_uint(w, r->dst_ports[i].first);
		jsonw_key(w, "Last");
		jsonw_uint(w, r->dst_ports[i].last);
		jsonw_obj_end(w);
		jsonw_obj_end(w);
	}
	jsonw_arr_end(w);
}

static void write_cap_grant(struct jsonw *w, const struct tailcfg_cap_grant *g)
{
	jsonw_obj(w);
	jsonw_key(w, "Dsts");
	jsonw_arr(w);
	for (size_t i = 0; i < g->n_dsts; i++) {
		char s[PREFIX_TEXT_MAX];

		jsonw_str(w, prefix_text(g->dsts[i], s));
	}
	jsonw_arr_end(w);
	jsonw_key(w, "CapMap");
	jsonw_obj(w);
	for (size_t i = 0; i < g->n_caps; i++) {
		jsonw_key_bytes(w, bytes_str(g->caps[i].name));
		jsonw_arr(w);
		for (size_t k = 0; k < g->caps[i].n_values; k++)
			jsonw_raw(w, g->caps[i].values[k]);
		jsonw_arr_end(w);
	}
	jsonw_obj_end(w);
	jsonw_obj_end(w);
}

void tailcfg_filter_rule_write(struct jsonw *w, const struct tailcfg_filter_rule *r)
{
	jsonw_obj(w);
	jsonw_key(w, "SrcIPs");
	tailcfg_texts_write(w, r->src_ips, r->n_src_ips);
	if (r->n_dst_ports)
		write_dst_ports(w, r);
	if (r->n_ip_proto) {
		jsonw_key(w, "IPProto");
		jsonw_arr(w);
		for (size_t i = 0; i < r->n_ip_proto; i++)
			jsonw_int(w, r->ip_proto[i]);
		jsonw_arr_end(w);
	}
	if (r->n_cap_grants) {
		jsonw_key(w, "CapGrant");
		jsonw_arr(w);
		for (size_t i = 0; i < r->n_cap_grants; i++)
			write_cap_grant(w, &r->cap_grants[i]);
		jsonw_arr_end(w);
	}
	jsonw_obj_end(w);
}
