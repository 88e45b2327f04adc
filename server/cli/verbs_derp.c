#include <stdio.h>
#include <stdlib.h>

#include "common/base/cleanup.h"
#include "common/text/json.h"
#include "server/cli/cli.h"
#include "server/cli/verbs.h"

/* Relays of regions that join the running server. */

static char *region_target(const struct cli *x)
{
	const char *id = argument(x, 0);
	uint64_t n = 0;
	char *to = NULL;

	if (!id || bytes_parse_u64(bytes_str(id), 65535, &n) != OK || !n)
		return NULL;
	return asprintf(&to, "/api/fairlead/v1/derp-map/regions/%llu", (unsigned long long)n) < 0 ? NULL : to;
}

/* A flag that is a text, put under name when it was given. */
static void put_text(const struct cli *x, const char *flag, json_t *into, const char *name)
{
	if (flag_given(x, flag))
		json_object_set_new(into, name, json_string(flag_value(x, flag)));
}

/* "derp.example.com:8443", "[2001:db8::1]:8443" */
static bool put_host(json_t *node, const char *text)
{
	struct bytes host = bytes_str(text);
	const char *colon = strrchr(text, ':');
	bool brackets = text[0] == '[';
	uint64_t port = 443;

	if (brackets && colon && colon[-1] != ']')
		colon = NULL;
	if (!brackets && colon && strchr(text, ':') != colon)
		colon = NULL; /* an IPv6 address */
	if (colon) {
		host = bytes_first(host, (size_t)(colon - text));
		if (bytes_parse_u64(bytes_str(colon + 1), 65535, &port) != OK || !port)
			return false;
	}
	if (brackets) {
		if (host.n < 3 || host.p[host.n - 1] != ']')
			return false;
		host = bytes_of(host.p + 1, host.n - 2);
	}
	if (!host.n)
		return false;
	json_object_set_new(node, "HostName", json_stringn((const char *)host.p, host.n));
	if (port != 443)
		json_object_set_new(node, "DERPPort", json_integer((json_int_t)port));
	return true;
}

int run_derp_add(struct cli *x)
{
	CLEANUP(freep) char *to = region_target(x);
	const char *host = argument(x, 1), *stun = flag_value(x, "stun-port");
	json_t *node = json_object(), *region = json_pack("{s:[O]}", "Nodes", node);
	CLEANUP(freep) char *name = NULL;
	uint64_t port = 0;

	json_decref(node); /* the region has it */
	if (!to || !host || !put_host(node, host) || (stun && bytes_parse_u64(bytes_str(stun), 65535, &port) != OK)) {
		json_decref(region);
		return usage(x, "a region's number and its relay are needed: derp add 901 derp.example.com");
	}
	if (asprintf(&name, "%sa", argument(x, 0)) < 0)
		return EXIT_FAILED;
	json_object_set_new(node, "Name", json_string(name));
	if (stun)
		json_object_set_new(node, "STUNPort", json_integer(port ? (json_int_t)port : -1));
	put_text(x, "ipv4", node, "IPv4");
	put_text(x, "ipv6", node, "IPv6");
	put_text(x, "cert-name", node, "CertName");
	json_object_set_new(region, "RegionCode", json_string(flag_given(x, "code") ? flag_value(x, "code") : argument(x, 0)));
	json_object_set_new(region, "RegionName", json_string(flag_given(x, "name") ? flag_value(x, "name") : host));
	return server_do(x, "PUT", to, region, "Added");
}

int run_derp_remove(struct cli *x)
{
	CLEANUP(freep) char *to = region_target(x);

	if (!to)
		return usage(x, "the region's number is needed: derp remove 901");
	if (!confirm(x, "Take region %s off the map?", argument(x, 0)))
		return EXIT_FAILED;
	return server_do(x, "DELETE", to, NULL, "Removed");
}
