#include <stdio.h>

#include "common/base/arena.h"
#include "common/base/cleanup.h"
#include "common/net/sock.h"
#include "common/text/toml.h"
#include "server/config_table.h"
#include "server/dns_records.h"

static struct toml *at(struct config_load *l, const char *path)
{
	return toml_get(l->root, path);
}

/* The line of the list's n-th value where it has one. */
static const struct toml *item_at(struct config_load *l, const char *path, size_t n)
{
	const struct toml *t = at(l, path);

	if (!t || t->kind != TOML_ARRAY)
		return t;
	const struct toml *item = t->list.first;
	while (item && n--)
		item = item->next;
	return item;
}

/* ---- server_url and base_domain ---- */

static struct bytes host_of(const char *url)
{
	struct bytes rest, host;

	bytes_cut(bytes_str(url), ':', &rest);
	rest = bytes_skip(rest, 2); /* "//" */
	if (rest.n && rest.p[0] == '[') {
		host = bytes_cut(bytes_skip(rest, 1), ']', &rest);
		return host;
	}
	host = bytes_cut(rest, '/', &rest);
	return bytes_cut(host, ':', &rest);
}

static err check_server_url(struct config_load *l)
{
	const char *url = l->c->server_url;
	size_t n = strlen(url);
	bool https = strncmp(url, "https://", 8) == 0, http = strncmp(url, "http://", 7) == 0;

	while (n && url[n - 1] == '/')
		n--;
	if ((!http && !https) || !host_of(url).n || memchr(url + (https ? 8 : 7), '/', n - (https ? 8 : 7)) ||
			strpbrk(url, " ?#@"))
		return config_wrong(l, at(l, "server_url"), "server_url must be http:// or https:// with a host and no path, such as"
							    " \"https://vpn.example.com\"");
	l->c->server_url = arena_str(l->arena, bytes_of(url, n));
	return l->c->server_url ? OK : ERR_NOMEM;
}

static err check_base_domain(struct config_load *l)
{
	if (!l->c->dns.magic_dns && !l->c->dns.base_domain[0])
		return OK;
	if (!dns_is_domain(l->c->dns.base_domain))
		return config_wrong(l, at(l, "dns.base_domain"), "dns.base_domain must be a domain name, such as \"tail.internal\"");
	if (dns_holds_host(l->c->dns.base_domain, l->c->server_url))
		return config_wrong(l, at(l, "dns.base_domain"), "dns.base_domain may not hold the host of server_url: clients could "
								 "not reach the server by its name");
	return OK;
}

/* ---- addresses ---- */

static err check_listen(struct config_load *l, const char *path, size_t i, const char *text)
{
	struct addrport ignored;

	if (sock_parse_listen(bytes_str(text), &ignored) == OK)
		return OK;
	return config_wrong(l, item_at(l, path, i), "%s: \"%s\" is not an address with a port, such as \"127.0.0.1:8080\" or \":443\"",
			path, text);
}

static err check_listeners(struct config_load *l, const char *path, const struct config_list *list)
{
	for (size_t i = 0; i < list->n; i++)
		TRY(check_listen(l, path, i, list->s[i]));
	return OK;
}

static err check_trusted(struct config_load *l, const char *path, const struct config_list *list)
{
	for (size_t i = 0; i < list->n; i++) {
		struct prefix p;
		if (prefix_parse(bytes_str(list->s[i]), &p) != OK)
			return config_wrong(l, item_at(l, path, i), "%s: \"%s\" is not a prefix, such as \"10.0.0.0/8\"", path, list->s[i]);
		if (p.bits == 0)
			return config_wrong(l, item_at(l, path, i), "%s: \"%s\" would trust everyone", path, list->s[i]);
	}
	return OK;
}

static err check_pool(struct config_load *l, const char *path, const char *text, unsigned family, unsigned max_bits)
{
	struct prefix p;

	if (!text[0])
		return OK;
	if (prefix_parse(bytes_str(text), &p) != OK || p.addr.family != family || p.bits > max_bits)
		return config_wrong(l, at(l, path), "%s must be an IPv%u prefix of at most %u bits, not \"%s\"", path, family, max_bits, text);
	return OK;
}

static err check_ip(struct config_load *l, const char *path, const char *text, unsigned family)
{
	struct addr a;

	if (!text[0] || (addr_parse(bytes_str(text), &a) == OK && a.family == family))
		return OK;
	return config_wrong(l, at(l, path), "%s must be an IPv%u address, not \"%s\"", path, family, text);
}

static err check_addresses(struct config_load *l)
{
	const struct config *c = l->c;

	if (!c->listen_addr.n)
		return config_wrong(l, at(l, "listen_addr"), "listen_addr must name at least one address");
	TRY(check_listeners(l, "listen_addr", &c->listen_addr));
	TRY(check_listeners(l, "derp.server.listen_addr", &c->derp_server.listen_addr));
	TRY(check_trusted(l, "trusted_proxies", &c->trusted_proxies));
	TRY(check_trusted(l, "proxy_protocol", &c->proxy_protocol));
	if (c->metrics_listen_addr[0])
		TRY(check_listen(l, "metrics_listen_addr", 0, c->metrics_listen_addr));
	if (c->derp_server.stun_listen_addr[0])
		TRY(check_listen(l, "derp.server.stun_listen_addr", 0, c->derp_server.stun_listen_addr));
	TRY(check_pool(l, "prefixes.v4", c->prefixes.v4, 4, 30));
	TRY(check_pool(l, "prefixes.v6", c->prefixes.v6, 6, 120));
	if (!c->prefixes.v4[0] && !c->prefixes.v6[0])
		return config_wrong(l, at(l, "prefixes.v4"), "at least one of prefixes.v4 and prefixes.v6 is needed");
	TRY(check_ip(l, "derp.server.ipv4", c->derp_server.ipv4, 4));
	return check_ip(l, "derp.server.ipv6", c->derp_server.ipv6, 6);
}

/* ---- the rest ---- */

static err check_dns(struct config_load *l)
{
	const struct config *c = l->c;

	for (size_t i = 0; i < c->dns.global.n; i++) {
		if (!dns_is_resolver(c->dns.global.s[i]))
			return config_wrong(l, item_at(l, "dns.nameservers.global", i), "dns.nameservers.global: \"%s\" is not an address or "
											"https:// URL", c->dns.global.s[i]);
	}
	for (size_t i = 0; i < c->dns.search_domains.n; i++) {
		if (!dns_is_domain(c->dns.search_domains.s[i]))
			return config_wrong(l, item_at(l, "dns.search_domains", i), "dns.search_domains: \"%s\" is not a domain name",
					c->dns.search_domains.s[i]);
	}
	for (size_t i = 0; i < c->dns.exit_node_filtered.n; i++) {
		if (!dns_is_filter(c->dns.exit_node_filtered.s[i]))
			return config_wrong(l, item_at(l, "dns.exit_node_filtered", i), "dns.exit_node_filtered: \"%s\" is no lower-case domain"
					" name, with or without a dot before it", c->dns.exit_node_filtered.s[i]);
	}
	if (c->dns.exit_node_filtered.n > DNS_LIST_MAX || c->dns.global.n > DNS_LIST_MAX || c->dns.search_domains.n > DNS_LIST_MAX)
		return config_wrong(l, at(l, "dns.nameservers.global"), "dns lists take at most %d entries", DNS_LIST_MAX);
	if (c->dns.override_local_dns && !c->dns.global.n)
		return config_wrong(l, at(l, "dns.override_local_dns"), "dns.override_local_dns needs at least one of dns.nameservers.global");
	if (c->dns.n_extra && c->dns.extra_records_path[0])
		return config_wrong(l, at(l, "dns.extra_records_path"), "dns.extra_records and dns.extra_records_path exclude each other");
	return OK;
}

/* beside("/var/lib/fairlead/fairlead.db", "fairlead.sock") */
static const char *beside(struct arena *a, const char *file, const char *name)
{
	const char *slash = strrchr(file, '/');

	return slash ? arena_printf(a, "%.*s/%s", (int)(slash - file), file, name) : name;
}

static err check_files(struct config_load *l)
{
	struct config *c = l->c;

	if (!c->database_path[0])
		return config_wrong(l, at(l, "database.path"), "database.path must name a file");
	if (!c->tls_cert_path[0] != !c->tls_key_path[0])
		return config_wrong(l, at(l, c->tls_cert_path[0] ? "tls_cert_path" : "tls_key_path"),
				"tls_cert_path and tls_key_path belong together");
	if (strcmp(c->policy_mode, "file") == 0 && !c->policy_path[0])
		return config_wrong(l, at(l, "policy.mode"), "policy.mode = \"file\" needs policy.path");
	if (!c->unix_socket[0])
		c->unix_socket = beside(l->arena, c->database_path, "fairlead.sock");
	return c->unix_socket ? OK : ERR_NOMEM;
}

static err check_derp_urls(struct config_load *l)
{
	const struct config_list *urls = &l->c->derp_urls;

	if (urls->n > 16)
		return config_wrong(l, at(l, "derp.urls"), "derp.urls takes at most 16");
	for (size_t i = 0; i < urls->n; i++)
		if (strncmp(urls->s[i], "https://", 8) != 0 && strncmp(urls->s[i], "http://", 7) != 0)
			return config_wrong(l, item_at(l, "derp.urls", i), "derp.urls: \"%s\" is no http:// or https:// URL", urls->s[i]);
	return OK;
}

err config_check(struct config_load *l)
{
	TRY(check_derp_urls(l));
	TRY(check_server_url(l));
	TRY(check_base_domain(l));
	TRY(check_addresses(l));
	TRY(check_dns(l));
	TRY(config_check_oidc(l));
	return check_files(l);
}
