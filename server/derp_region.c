#include "server/derp_region.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/cleanup.h"
#include "common/net/sock.h"
#include "server/derp_fetch.h"

const char *server_url_host(struct arena *a, const char *server_url)
{
	const char *p = strstr(server_url, "://");
	struct bytes host, rest;

	if (!p)
		return NULL;
	host = bytes_cut(bytes_str(p + 3), '/', &rest);
	if (host.n && host.p[0] == '[') {
		host = bytes_cut(bytes_skip(host, 1), ']', &rest);
		return host.n ? arena_str(a, host) : NULL;
	}
	host = bytes_cut(host, ':', &rest);
	return host.n ? arena_str(a, host) : NULL;
}

static bool is_ip(const char *host, uint8_t family)
{
	struct addr a;

	return addr_parse(bytes_str(host), &a) == OK && a.family == family;
}

/* An IP literal needs no DNS and says which family there is. Who names addresses names all: a client with IPv6 that has to
 * ask DNS for an address which is not there waits for its answer to STUN, 3 s in every full netcheck, and comes up late. */
static void put_addresses(const struct config *c, const char *host, struct tailcfg_derp_node *n)
{
	n->ipv4 = c->derp_server.ipv4;
	n->ipv6 = c->derp_server.ipv6;
	if (n->ipv4[0] == 0 && n->ipv6[0] == 0) {
		if (is_ip(host, 4))
			n->ipv4 = host;
		else if (is_ip(host, 6))
			n->ipv6 = host;
		else
			return;
	}
	if (n->ipv4[0] == 0)
		n->ipv4 = "none";
	if (n->ipv6[0] == 0)
		n->ipv6 = "none";
}

static int stun_port(const struct config *c)
{
	struct addrport at;

	if (!c->derp_server.stun_listen_addr[0] || sock_parse_listen(bytes_str(c->derp_server.stun_listen_addr), &at) != OK)
		return -1;
	return at.port;
}

static err own_region(const struct config *c, const char *pin, uint16_t tls_port, struct arena *a,
	struct tailcfg_derp_map *out)
{
	bool second = c->derp_server.stun_second_port && stun_port(c) > 0;
	struct tailcfg_derp_region *r = arena_array(a, 1, sizeof *r);
	struct tailcfg_derp_node *n = arena_array(a, 2, sizeof *n);
	const char *host = c->derp_server.hostname[0] ? c->derp_server.hostname : server_url_host(a, c->server_url);
	int id = (int)c->derp_server.region_id, port = (int)c->derp_server.port;

	if (!r || !n || !host)
		return ERR_NOMEM;
	if (port == 0)
		port = tls_port;
	n[0] = (struct tailcfg_derp_node){
		.name = arena_printf(a, "%da", id),
		.region_id = id,
		.host_name = host,
		.cert_name = pin[0] ? arena_printf(a, "sha256-raw:%s", pin) : "",
		.stun_port = stun_port(c),
		.derp_port = port == 443 ? 0 : port,
	};
	put_addresses(c, host, &n[0]);
	/* A second STUN address, so that a client can see whether its NAT maps by destination (protocol/stun.md 7). */
	n[1] = (struct tailcfg_derp_node){
		.name = arena_printf(a, "%db", id),
		.region_id = id,
		.host_name = host,
		.stun_port = (int)c->derp_server.stun_second_port,
		.stun_only = true,
	};
	put_addresses(c, host, &n[1]);
	*r = (struct tailcfg_derp_region){
		.region_id = id,
		.region_code = c->derp_server.region_code,
		.region_name = c->derp_server.region_name,
		.nodes = n,
		.n_nodes = second ? 2 : 1,
	};
	*out = (struct tailcfg_derp_map){ .regions = r, .n_regions = 1, .omit_default_regions = true };
	return OK;
}

/* Reads at most TAILCFG_DERP_MAP_MAX bytes into the arena. */
static err read_file(const char *path, struct arena *a, struct bytes *out)
{
	FILE *f = fopen(path, "rb");
	char *p = f ? arena_alloc(a, TAILCFG_DERP_MAP_MAX + 1) : NULL;

	if (!f)
		return ERR_SYS;
	size_t n = p ? fread(p, 1, TAILCFG_DERP_MAP_MAX + 1, f) : 0;
	fclose(f);
	if (!p)
		return ERR_NOMEM;
	if (n > TAILCFG_DERP_MAP_MAX)
		return ERR_TOO_BIG;
	*out = bytes_of(p, n);
	return OK;
}

err derp_region_map(const struct config *c, const struct derp_texts *fetched, const char *pin, uint16_t tls_port, struct arena *a,
	char *why, size_t why_cap, const struct tailcfg_derp_map **out)
{
	struct tailcfg_derp_map *m = arena_alloc(a, sizeof *m);

	if (!m)
		return ERR_NOMEM;
	if (c->derp_server.enabled)
		TRY(own_region(c, pin, tls_port, a, m));
	m->omit_default_regions = true;
	for (size_t i = 0; i < c->derp_urls.n; i++) {
		const char *text = derp_text_of(fetched, c->derp_urls.s[i]);
		struct tailcfg_derp_map *over;
		struct json_why jw = { 0 };

		if (!text)
			continue; /* not there yet */
		TRY(tailcfg_derp_map_parse(bytes_str(text), a, &over, &jw));
		TRY(tailcfg_derp_map_merge(m, over, a, &m));
		m->omit_default_regions = true;
	}
	for (size_t i = 0; i < c->derp_paths.n; i++) {
		struct tailcfg_derp_map *over;
		struct json_why jw = { 0 };
		struct bytes text;
		err e = read_file(c->derp_paths.s[i], a, &text);

		if (e != OK) {
			snprintf(why, why_cap, "derp.paths: cannot read %s: %s", c->derp_paths.s[i],
				e == ERR_SYS ? strerror(errno) : err_text(e));
			return e;
		}
		e = tailcfg_derp_map_parse(text, a, &over, &jw);
		if (e != OK) {
			snprintf(why, why_cap, "derp.paths: %s: %s", c->derp_paths.s[i], jw.text);
			return e;
		}
		TRY(tailcfg_derp_map_merge(m, over, a, &m));
		m->omit_default_regions = true;
	}
	if (m->n_regions == 0 && (fetched || !c->derp_urls.n)) { /* without fetched this is only a look at the configuration */
		snprintf(why, why_cap, "there is no DERP region: set derp.server.enabled or give derp.paths or derp.urls, or clients never "
				       "come up");
		return ERR_INVALID;
	}
	*out = m;
	return OK;
}
