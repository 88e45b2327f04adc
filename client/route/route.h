/* route: the tunnel device's addresses, routes and policy rules, by rtnetlink; and two nft rules beside tailscaled.
 *
 *	rule 5110  fwmark ROUTE_MARK -> main		our own sockets never go into the tunnel
 *	rule 5130  fwmark ROUTE_MARK -> default
 *	rule 5150  fwmark ROUTE_MARK -> unreachable
 *	rule 5160  -> main, but its default route	where the local network stays reachable beside an exit node
 *	rule 5170  -> table ROUTE_TABLE			peers' addresses and routes, on the device
 *
 * Numbers differ from tailscaled's (52xx, table 52, mark 0x80000/0xff0000), so that both run at once. Everything is
 * recognisable by these numbers: route_cleanup removes it whoever left it, so that a SIGKILL is repaired at the next
 * start. Calls are short netlink exchanges and may run on the control loop. */
#pragma once

#include "common/net/addr.h"

enum {
	ROUTE_TABLE = 5353,
	ROUTE_MARK = 0x02000000, /* for sock_mark_all */
	ROUTE_MARK_MASK = 0x0f000000,
	ROUTE_RULE_FIRST = 5110,
	ROUTE_PREFIXES_MAX = 65536,
};

struct route;

struct route_config {
	const char *ifname;
	unsigned mtu;
	const struct prefix *addrs; /* /32 and /128 of ours, and the resolver's */
	size_t n_addrs;
	const struct prefix *routes; /* what goes into the tunnel */
	size_t n_routes;
	bool local_first; /* routes of the machine's own networks win over ours */
};

/* ERR_SYS: no netlink. */
MUST_USE err route_new(struct route **out);
void route_free(struct route *r); /* leaves the system as it is */
/* Makes the system as c says: only differences are sent. ERR_NOT_FOUND: no such device; ERR_DENIED: no CAP_NET_ADMIN;
 * ERR_SYS. After an error it may be called again. */
MUST_USE err route_apply(struct route *r, const struct route_config *c);
/* Rules and our table away, on exit and before the first apply. Idempotent. */
MUST_USE err route_cleanup(struct route *r);

/* tailscaled drops 100.64.0.0/10 that comes from other devices than its own. Where its chain exists, rules that leave
 * the chain for packets from ifname, and from this machine to itself, are put first; called again it is repaired (tailscaled flushes the chain). Runs nft or
 * iptables for a few milliseconds; off the loop by loop_work. *changed: it was missing. OK where there is no tailscaled. */
MUST_USE err route_coexist(const char *ifname, bool *changed);
void route_coexist_remove(const char *ifname);

/* What may go into a command's argument as a device's name. */
bool route_name_ok(const char *name);

/* For a machine that routes for others: packets of the tailnet that leave by another device than ifname are masqueraded.
 * Blocking, as route_coexist. ERR_SYS: no nft, or not allowed. */
MUST_USE err route_forward(const char *ifname);
void route_forward_remove(void); /* idempotent */
bool route_kernel_forwards(void);   /* net.ipv4.ip_forward */
bool route_filters_strictly(void);  /* net.ipv4.conf.all.rp_filter = 1, which drops what comes back beside an exit node */

/* A route of its own leads to a (no default route), by another device than ifname: another program's. */
bool route_is_taken(struct addr a, const char *ifname);

/* A descriptor that becomes readable when nft rules change, whoever changed them; and what empties it. ERR_SYS: not on this
 * kernel. */
MUST_USE err route_watch_rules_open(int *fd);
void route_watch_rules_drain(int fd);

/* Addresses of all interfaces that are up, but those of ifname: for path_set_local. */
MUST_USE err route_local_addrs(const char *but_ifname, struct addr *out, size_t cap, size_t *n);
/* A descriptor that becomes readable when links, addresses or routes change; route_watch_drain empties it and says
 * whether it was anything but our own device and table. */
MUST_USE err route_watch_open(int *fd);
bool route_watch_drain(int fd, const char *but_ifname);
