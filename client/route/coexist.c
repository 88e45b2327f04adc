/* Beside tailscaled: its chain ts-input drops 100.64.0.0/10 from other devices. Rules put first there leave the chain
 * (but not the firewall) for packets from our device, and for what this machine sends to its own address or resolver. They
 * are plain ones, which iptables can list as well. */
#include <ctype.h>
#include <errno.h>
#include <linux/netlink.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "client/route/route.h"
#include "client/route/run.h"
#include "common/base/cleanup.h"

enum { NFTABLES_GROUP = 7 /* NFNLGRP_NFTABLES */ };

err route_watch_rules_open(int *fd)
{
	struct sockaddr_nl sa = { .nl_family = AF_NETLINK, .nl_groups = 1u << (NFTABLES_GROUP - 1) };
	CLEANUP(closep) int s = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_NETFILTER);

	if (s < 0 || bind(s, (struct sockaddr *)&sa, sizeof sa) != 0)
		return ERR_SYS;
	*fd = s;
	s = -1;
	return OK;
}

void route_watch_rules_drain(int fd)
{
	uint8_t some[4096];

	while (recv(fd, some, sizeof some, MSG_DONTWAIT) >= 0 || errno == ENOBUFS)
		;
}

enum { OUTPUT_MAX = 64 << 10 };
static const char our_comment[] = "comment \"fairlead\"";

/* Goes into a command's argument: what a device may be called, and nothing that nft could read otherwise. */
bool route_name_ok(const char *name)
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

/* The chain's first rules are ours: the first lines with a handle after the chain's own. */
static bool is_first(struct bytes listing, const char *ifname)
{
	const char *const dev[] = { ifname, "lo" };
	struct bytes line;
	size_t n = 0;
	bool in_chain = false;

	while (n < ARRAY_LEN(dev) && next_line(&listing, &line)) {
		if (has(line, "chain ts-input"))
			in_chain = true;
		else if (in_chain && has(line, "# handle") && !(has(line, our_comment) && has(line, dev[n++])))
			return false;
	}
	return n == ARRAY_LEN(dev);
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

/* Machines without nft, or with the old tables. Its first rules tell all there is to know. */
static err coexist_iptables(const char *ifname, bool *changed)
{
	const char *const list[] = { "iptables", "-w", "5", "-S", "ts-input", NULL };
	const char *const dev[] = { "lo", ifname };
	char out[4096], *first, *second;

	if (run_command(list, out, sizeof out) != 0)
		return OK; /* no tailscaled */
	first = strchr(out, '\n'); /* behind -N */
	second = first ? strchr(first + 1, '\n') : NULL;
	if (second)
		*second = 0;
	if (second && strstr(first, ifname) && strstr(first, "RETURN") && strstr(second + 1, "-i lo") == strstr(second + 1, "-i "))
		return OK;
	*changed = true;
	route_coexist_remove(ifname); /* they lie behind others */
	for (size_t i = 0; i < ARRAY_LEN(dev); i++) {
		const char *const insert[] = { "iptables", "-w", "5", "-I", "ts-input", "1", "-i", dev[i], "-s", "100.64.0.0/10", "-j",
			"RETURN", NULL };

		if (run_command(insert, out, sizeof out) != 0)
			return ERR_SYS;
	}
	return OK;
}

static err insert_rule(const char *ifname)
{
	const char *const insert[] = { "nft", "insert", "rule", "ip", "filter", "ts-input", "iifname", ifname, "ip", "saddr",
		"100.64.0.0/10", "counter", "return", "comment", "\"fairlead\"", NULL };
	char out[64];

	return run_command(insert, out, sizeof out) == 0 ? OK : ERR_SYS;
}

err route_coexist(const char *ifname, bool *changed)
{
	CLEANUP(freep) char *out = malloc(OUTPUT_MAX);

	*changed = false;
	if (!route_name_ok(ifname))
		return ERR_INVALID;
	if (!out)
		return ERR_NOMEM;
	if (list_chain(out, OUTPUT_MAX) != 0)
		return coexist_iptables(ifname, changed);
	if (is_first(bytes_str(out), ifname))
		return OK;
	*changed = true;
	remove_ours(bytes_str(out)); /* they lie behind others, or name a device of before */
	TRY(insert_rule("lo"));
	return insert_rule(ifname);
}

void route_coexist_remove(const char *ifname)
{
	CLEANUP(freep) char *out = malloc(OUTPUT_MAX);
	const char *const dev[] = { ifname, "lo" };

	if (!out || !route_name_ok(ifname))
		return;
	if (list_chain(out, OUTPUT_MAX) == 0) {
		remove_ours(bytes_str(out));
		return;
	}
	for (size_t i = 0; i < ARRAY_LEN(dev); i++) {
		const char *const old[] = { "iptables", "-w", "5", "-D", "ts-input", "-i", dev[i], "-s", "100.64.0.0/10", "-j", "RETURN", NULL };

		run_command(old, out, OUTPUT_MAX);
	}
}
