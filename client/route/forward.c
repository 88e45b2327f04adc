/* What a router for others needs beside the kernel's forwarding: packets of the tailnet that leave for our networks, or for
 * the internet, carry this machine's address there. In tables of our own, so that taking them away is one word. */
#include <stdio.h>

#include "client/route/route.h"
#include "client/route/run.h"
#include "common/base/cleanup.h"

static const struct {
	const char *family, *tailnet;
} tables[] = { { "ip", "100.64.0.0/10" }, { "ip6", "fd7a:115c:a1e0::/48" } };

void route_forward_remove(void)
{
	char out[64];

	for (size_t i = 0; i < ARRAY_LEN(tables); i++) {
		const char *const argv[] = { "nft", "delete", "table", tables[i].family, "fairlead_client", NULL };

		run_command(argv, out, sizeof out);
	}
}

err route_forward(const char *ifname)
{
	char rules[512], out[64];

	if (!route_name_ok(ifname))
		return ERR_INVALID;
	for (size_t i = 0; i < ARRAY_LEN(tables); i++) {
		const char *const argv[] = { "nft", rules, NULL }, *f = tables[i].family;

		snprintf(rules, sizeof rules,
			"add table %s fairlead_client; flush table %s fairlead_client; "
			"add chain %s fairlead_client post { type nat hook postrouting priority 100; }; "
			"add rule %s fairlead_client post %s saddr %s oifname != \"%s\" oifname != \"lo\" masquerade",
			f, f, f, f, f, tables[i].tailnet, ifname);
		if (run_command(argv, out, sizeof out) != 0 && i == 0) /* IPv6 may be missing */
			return ERR_SYS;
	}
	return OK;
}

static bool is_on(const char *path)
{
	FILE *f = fopen(path, "re");
	int c = f ? fgetc(f) : '0';

	if (f)
		fclose(f);
	return c == '1';
}

bool route_kernel_forwards(void)
{
	return is_on("/proc/sys/net/ipv4/ip_forward");
}

bool route_filters_strictly(void)
{
	return is_on("/proc/sys/net/ipv4/conf/all/rp_filter");
}
