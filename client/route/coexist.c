/* Beside tailscaled: its chain ts-input drops 100.64.0.0/10 from other devices. A rule put first there leaves the chain
 * (but not the firewall) for packets from our device. */
#include <ctype.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>

#include "client/route/route.h"
#include "client/route/run.h"
#include "common/base/cleanup.h"

enum { OUTPUT_MAX = 64 << 10 };
static const char our_comment[] = "comment \"fairlead\"";

/* Goes into a command's argument: what a device may be called, and nothing that nft could read otherwise. */
static bool name_ok(const char *name)
{
	size_t n = strlen(name);

	for (size_t i = 0; i < n; i++) {
		if (!isalnum((unsigned char)name[i]) && !strchr("._-", name[i]))
			return false;
	}
	return n > 0 && n < IFNAMSIZ;
}

static int list_chain(char *out, size_t cap)
{
	const char *const argv[] = { "nft", "-a", "list", "chain", "ip", "filter", "ts-input", NULL };

	return run_command(argv, out, cap);
}

static bool has(struct bytes line, const char *text)
{
	return memmem(line.p, line.n, text, strlen(text)) != NULL;
}

/* The next line of *listing; false: no more. */
static bool next_line(struct bytes *listing, struct bytes *line)
{
	if (!listing->n)
		return false;
	*line = bytes_cut(*listing, '\n', listing);
	return true;
}

/* The chain's first rule is ours: the first line with a handle after the chain's own. */
static bool is_first(struct bytes listing, const char *ifname)
{
	struct bytes line;
	bool in_chain = false;

	while (next_line(&listing, &line)) {
		if (has(line, "chain ts-input"))
			in_chain = true;
		else if (in_chain && has(line, "# handle"))
			return has(line, our_comment) && has(line, ifname);
	}
	return false;
}

static void remove_ours(struct bytes listing)
{
	static const char mark[] = "# handle ";
	struct bytes line;

	while (next_line(&listing, &line)) {
		const uint8_t *at = memmem(line.p, line.n, mark, sizeof mark - 1);
		uint64_t handle;
		char text[24], out[64];

		if (!at || !has(line, our_comment))
			continue;
		struct bytes digits = bytes_trim(bytes_skip(line, (size_t)(at - line.p) + sizeof mark - 1));
		if (bytes_parse_u64(digits, UINT32_MAX, &handle) != OK)
			continue;
		snprintf(text, sizeof text, "%llu", (unsigned long long)handle);
		const char *const argv[] = { "nft", "delete", "rule", "ip", "filter", "ts-input", "handle", text, NULL };
		run_command(argv, out, sizeof out);
	}
}

/* Machines without nft, or with the old tables. Its first rule tells all there is to know. */
static err coexist_iptables(const char *ifname, bool *changed)
{
	const char *const first[] = { "iptables", "-w", "-S", "ts-input", "1", NULL };
	const char *const insert[] = { "iptables", "-w", "-I", "ts-input", "1", "-i", ifname, "-s", "100.64.0.0/10", "-j", "RETURN",
		NULL };
	char out[1024];

	if (run_command(first, out, sizeof out) != 0 || (strstr(out, ifname) && strstr(out, "RETURN")))
		return OK; /* no tailscaled, or all is well */
	*changed = true;
	return run_command(insert, out, sizeof out) == 0 ? OK : ERR_SYS;
}

err route_coexist(const char *ifname, bool *changed)
{
	CLEANUP(freep) char *out = malloc(OUTPUT_MAX);
	const char *const insert[] = { "nft", "insert", "rule", "ip", "filter", "ts-input", "iifname", ifname, "ip", "saddr",
		"100.64.0.0/10", "counter", "return", "comment", "\"fairlead\"", NULL };

	*changed = false;
	if (!name_ok(ifname))
		return ERR_INVALID;
	if (!out)
		return ERR_NOMEM;
	if (list_chain(out, OUTPUT_MAX) != 0)
		return coexist_iptables(ifname, changed);
	if (is_first(bytes_str(out), ifname))
		return OK;
	*changed = true;
	if (list_chain(out, OUTPUT_MAX) == 0)
		remove_ours(bytes_str(out)); /* it lies behind another, or names a device of before */
	return run_command(insert, out, OUTPUT_MAX) == 0 ? OK : ERR_SYS;
}

void route_coexist_remove(const char *ifname)
{
	CLEANUP(freep) char *out = malloc(OUTPUT_MAX);
	const char *const old[] = { "iptables", "-w", "-D", "ts-input", "-i", ifname, "-s", "100.64.0.0/10", "-j", "RETURN", NULL };

	if (!out || !name_ok(ifname))
		return;
	if (list_chain(out, OUTPUT_MAX) == 0)
		remove_ours(bytes_str(out));
	else
		run_command(old, out, OUTPUT_MAX);
}
