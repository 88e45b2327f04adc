#include "client/route/route.h"

#include <errno.h>
#include <ifaddrs.h>
#include <linux/fib_rules.h>
#include <linux/filter.h>
#include <linux/if_addr.h>
#include <net/if.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "client/route/netlink.h"
#include "common/base/cleanup.h"
#include "common/base/log.h"

enum { OWN_ROUTE_BITS = 8 }; /* a shorter prefix leads everywhere */

struct route {
	struct netlink nl;
};

err route_new(struct route **out)
{
	struct route *r = calloc(1, sizeof *r);

	if (!r)
		return ERR_NOMEM;
	err e = netlink_open(&r->nl, 0);
	if (e != OK) {
		free(r);
		return e;
	}
	*out = r;
	return OK;
}

void route_free(struct route *r)
{
	if (!r)
		return;
	netlink_close(&r->nl);
	free(r);
}

static err to_err(int e)
{
	errno = e;
	return e == 0 ? OK : e == EPERM ? ERR_DENIED : e == ENODEV ? ERR_NOT_FOUND : ERR_SYS;
}

static uint8_t af_of(struct addr a)
{
	return a.family == 4 ? AF_INET : AF_INET6;
}
static size_t len_of(struct addr a)
{
	return a.family == 4 ? 4 : 16;
}

/* Machines without IPv6 (or with it switched off on the device) refuse its half: the other one works. */
static bool is_no_v6(uint8_t family, int e)
{
	return family == AF_INET6 && (e == EOPNOTSUPP || e == EAFNOSUPPORT || e == EACCES || e == EADDRNOTAVAIL || e == ENETDOWN);
}

/* ---- what the kernel has -------------------------------------------------------------------------------------- */

struct have {
	unsigned ifindex; /* addresses: of this device; routes: 0 */
	struct prefix *p; /* owned */
	unsigned *oif;	  /* owned; routes only */
	size_t n, cap;
	bool failed;
};

static void have_done(struct have *h)
{
	free(h->p);
	free(h->oif);
}

static void have_add(struct have *h, struct prefix p, unsigned oif)
{
	if (h->n == h->cap) {
		size_t cap = h->cap ? h->cap * 2 : 64;
		struct prefix *more = reallocarray(h->p, cap, sizeof *more);

		if (more)
			h->p = more;
		unsigned *more_oif = more ? reallocarray(h->oif, cap, sizeof *more_oif) : NULL;
		if (!more_oif) {
			h->failed = true;
			return;
		}
		h->oif = more_oif;
		h->cap = cap;
	}
	h->p[h->n] = p;
	h->oif[h->n++] = oif;
}

static bool read_addr(const struct rtattr *a, uint8_t af, struct addr *out)
{
	size_t n = af == AF_INET ? 4 : 16;

	if ((af != AF_INET && af != AF_INET6) || !a || a->rta_len < sizeof *a + n)
		return false;
	*out = (struct addr){ .family = af == AF_INET ? 4 : 6 };
	memcpy(out->b, (const uint8_t *)a + sizeof *a, n);
	return true;
}

static void on_addr(const struct nlmsghdr *h, void *ctx)
{
	const struct rtattr *at[IFA_MAX + 1];
	struct have *have = ctx;
	struct ifaddrmsg m;
	struct addr a;

	if (h->nlmsg_type != RTM_NEWADDR || h->nlmsg_len < NLMSG_LENGTH(sizeof m))
		return;
	memcpy(&m, NLMSG_DATA(h), sizeof m);
	netlink_attributes(h, sizeof m, at, IFA_MAX + 1);
	const struct rtattr *which = at[IFA_LOCAL] ? at[IFA_LOCAL] : at[IFA_ADDRESS];
	/* The kernel's own link-local address stays. */
	if (m.ifa_index == have->ifindex && read_addr(which, m.ifa_family, &a) && !addr_is_link_local(a))
		have_add(have, (struct prefix){ a, m.ifa_prefixlen }, m.ifa_index);
}

static void on_route(const struct nlmsghdr *h, void *ctx)
{
	const struct rtattr *at[RTA_MAX + 1];
	struct prefix p = { 0 };
	struct rtmsg m;

	if (h->nlmsg_type != RTM_NEWROUTE || h->nlmsg_len < NLMSG_LENGTH(sizeof m))
		return;
	memcpy(&m, NLMSG_DATA(h), sizeof m);
	netlink_attributes(h, sizeof m, at, RTA_MAX + 1);
	if (netlink_u32(at[RTA_TABLE], m.rtm_table) != ROUTE_TABLE)
		return;
	if (!read_addr(at[RTA_DST], m.rtm_family, &p.addr))
		p.addr.family = m.rtm_family == AF_INET ? 4 : 6; /* the default route */
	p.bits = m.rtm_dst_len;
	have_add(ctx, p, netlink_u32(at[RTA_OIF], 0));
}

static err list_addrs(struct route *r, unsigned ifindex, struct have *out)
{
	struct ifaddrmsg m = { .ifa_family = AF_UNSPEC };
	struct netlink_request q;

	out->ifindex = ifindex;
	netlink_begin(&q, RTM_GETADDR, 0, &m, sizeof m);
	TRY(to_err(netlink_dump(&r->nl, &q, on_addr, out)));
	return out->failed ? ERR_NOMEM : OK;
}

static err list_routes(struct route *r, struct have *out)
{
	static const uint8_t families[] = { AF_INET, AF_INET6 };

	for (size_t i = 0; i < ARRAY_LEN(families); i++) {
		struct rtmsg m = { .rtm_family = families[i] };
		struct netlink_request q;

		netlink_begin(&q, RTM_GETROUTE, 0, &m, sizeof m);
		int e = netlink_dump(&r->nl, &q, on_route, out);
		if (e && !is_no_v6(families[i], e))
			return to_err(e);
	}
	return out->failed ? ERR_NOMEM : OK;
}

/* ---- changing it ---------------------------------------------------------------------------------------------- */

static err set_link(struct route *r, unsigned ifindex, unsigned mtu)
{
	struct ifinfomsg m = { .ifi_family = AF_UNSPEC, .ifi_index = (int)ifindex, .ifi_flags = IFF_UP, .ifi_change = IFF_UP };
	struct netlink_request q;

	netlink_begin(&q, RTM_NEWLINK, 0, &m, sizeof m);
	netlink_put_u32(&q, IFLA_MTU, mtu);
	return to_err(netlink_talk(&r->nl, &q));
}

static err change_addr(struct route *r, uint16_t type, unsigned ifindex, struct prefix p)
{
	struct ifaddrmsg m = { .ifa_family = af_of(p.addr), .ifa_prefixlen = p.bits, .ifa_index = ifindex };
	struct netlink_request q;

	if (p.addr.family == 6)
		m.ifa_flags = IFA_F_NODAD; /* nobody else is on the link: usable at once */
	netlink_begin(&q, type, type == RTM_NEWADDR ? NLM_F_CREATE | NLM_F_REPLACE : 0, &m, sizeof m);
	netlink_put(&q, IFA_LOCAL, p.addr.b, len_of(p.addr));
	netlink_put(&q, IFA_ADDRESS, p.addr.b, len_of(p.addr));
	int e = netlink_talk(&r->nl, &q);
	if (is_no_v6(m.ifa_family, e) || (type == RTM_DELADDR && e == EADDRNOTAVAIL))
		return OK;
	return to_err(e);
}

/* from: the preferred source; NULL: the kernel's choice. */
static void add_route_change(
	struct netlink_batch *b, uint16_t type, unsigned oif, struct prefix p, const struct addr *from)
{
	struct rtmsg m = {
		.rtm_family = af_of(p.addr),
		.rtm_dst_len = p.bits,
		.rtm_table = RT_TABLE_UNSPEC,
		.rtm_protocol = RTPROT_STATIC,
		.rtm_type = RTN_UNICAST,
		.rtm_scope = p.addr.family == 4 ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE,
	};
	struct netlink_request q;

	if (type == RTM_DELROUTE) {
		m.rtm_protocol = m.rtm_type = 0;
		m.rtm_scope = RT_SCOPE_NOWHERE;
	}
	p = prefix_mask(p);
	netlink_begin(&q, type, type == RTM_NEWROUTE ? NLM_F_CREATE | NLM_F_REPLACE : 0, &m, sizeof m);
	netlink_put_u32(&q, RTA_TABLE, ROUTE_TABLE);
	if (p.bits)
		netlink_put(&q, RTA_DST, p.addr.b, len_of(p.addr));
	if (oif)
		netlink_put_u32(&q, RTA_OIF, oif);
	if (from && from->family == p.addr.family)
		netlink_put(&q, RTA_PREFSRC, from->b, len_of(*from));
	netlink_batch_add(b, &q);
}

static bool is_no_matter(int e, const struct nlmsghdr *sent)
{
	struct rtmsg m;

	memcpy(&m, NLMSG_DATA(sent), sizeof m);
	return is_no_v6(m.rtm_family, e) || (sent->nlmsg_type == RTM_DELROUTE && e == ESRCH);
}

/* ---- rules ---------------------------------------------------------------------------------------------------- */

static const struct {
	uint32_t priority, table;
	bool marked, no_default; /* no_default: a default route in that table does not count */
	uint8_t action;
} our_rules[] = {
	{ ROUTE_RULE_FIRST, RT_TABLE_MAIN, true, false, FR_ACT_TO_TBL },
	{ ROUTE_RULE_FIRST + 20, RT_TABLE_DEFAULT, true, false, FR_ACT_TO_TBL },
	{ ROUTE_RULE_FIRST + 40, 0, true, false, FR_ACT_UNREACHABLE },
	{ ROUTE_RULE_FIRST + 50, RT_TABLE_MAIN, false, true, FR_ACT_TO_TBL },
	{ ROUTE_RULE_FIRST + 60, ROUTE_TABLE, false, false, FR_ACT_TO_TBL },
};

static int change_rule(struct route *r, uint16_t type, uint8_t family, size_t i)
{
	struct fib_rule_hdr m = { .family = family };
	struct netlink_request q;

	m.action = type == RTM_NEWRULE ? our_rules[i].action : 0;
	netlink_begin(&q, type, type == RTM_NEWRULE ? NLM_F_CREATE | NLM_F_EXCL : 0, &m, sizeof m);
	netlink_put_u32(&q, FRA_PRIORITY, our_rules[i].priority);
	if (our_rules[i].table)
		netlink_put_u32(&q, FRA_TABLE, our_rules[i].table);
	if (our_rules[i].no_default)
		netlink_put_u32(&q, FRA_SUPPRESS_PREFIXLEN, 0);
	if (our_rules[i].marked) {
		netlink_put_u32(&q, FRA_FWMARK, ROUTE_MARK);
		netlink_put_u32(&q, FRA_FWMASK, ROUTE_MARK_MASK);
	}
	return netlink_talk(&r->nl, &q);
}

static const uint8_t rule_families[] = { AF_INET, AF_INET6 };

static err put_rules(struct route *r, bool local_first)
{
	for (size_t f = 0; f < ARRAY_LEN(rule_families); f++) {
		for (size_t i = 0; i < ARRAY_LEN(our_rules); i++) {
			bool want = !our_rules[i].no_default || local_first;
			int e = change_rule(r, want ? RTM_NEWRULE : RTM_DELRULE, rule_families[f], i);

			if (e && e != (want ? EEXIST : ENOENT) && !is_no_v6(rule_families[f], e))
				return to_err(e);
		}
	}
	return OK;
}

/* ---- all of it ------------------------------------------------------------------------------------------------ */

static int by_prefix(const void *a, const void *b)
{
	return prefix_cmp(*(const struct prefix *)a, *(const struct prefix *)b);
}

static bool is_in(const struct prefix *sorted, size_t n, struct prefix p)
{
	return n && bsearch(&p, sorted, n, sizeof *sorted, by_prefix);
}

/* A sorted, masked copy; addresses keep their host bits. Owned; NULL: no memory. */
static struct prefix *sorted(const struct prefix *p, size_t n, bool mask)
{
	struct prefix *copy = calloc(n + 1, sizeof *copy);

	for (size_t i = 0; copy && i < n; i++)
		copy[i] = mask ? prefix_mask(p[i]) : p[i];
	if (copy)
		qsort(copy, n, sizeof *copy, by_prefix);
	return copy;
}

static err apply_addrs(struct route *r, const struct route_config *c, unsigned ifindex)
{
	CLEANUP(have_done) struct have have = { 0 };
	CLEANUP(freep) struct prefix *want = sorted(c->addrs, c->n_addrs, false);

	if (!want)
		return ERR_NOMEM;
	TRY(list_addrs(r, ifindex, &have));
	for (size_t i = 0; i < have.n; i++) {
		if (!is_in(want, c->n_addrs, have.p[i]))
			TRY(change_addr(r, RTM_DELADDR, ifindex, have.p[i]));
	}
	if (have.n)
		qsort(have.p, have.n, sizeof *have.p, by_prefix);
	for (size_t i = 0; i < c->n_addrs; i++) { /* in the caller's order: the first is the usual source */
		if (!is_in(have.p, have.n, c->addrs[i]))
			TRY(change_addr(r, RTM_NEWADDR, ifindex, c->addrs[i]));
	}
	return OK;
}

static const struct addr *source_for(const struct route_config *c, uint8_t family)
{
	for (size_t i = 0; i < c->n_addrs; i++) {
		if (c->addrs[i].addr.family == family)
			return &c->addrs[i].addr;
	}
	return NULL;
}

static err apply_routes(struct route *r, const struct route_config *c, unsigned ifindex)
{
	CLEANUP(have_done) struct have have = { 0 };
	CLEANUP(freep) struct prefix *want = sorted(c->routes, c->n_routes, true);
	struct netlink_batch b;
	size_t n = 0;

	if (!want)
		return ERR_NOMEM;
	TRY(list_routes(r, &have));
	netlink_batch_begin(&b, &r->nl, is_no_matter);
	for (size_t i = 0; i < have.n; i++) {
		if (have.oif[i] != ifindex || !is_in(want, c->n_routes, have.p[i]))
			add_route_change(&b, RTM_DELROUTE, have.oif[i], have.p[i], NULL);
		else
			have.p[n++] = have.p[i];
	}
	if (n)
		qsort(have.p, n, sizeof *have.p, by_prefix);
	for (size_t i = 0; i < c->n_routes; i++) {
		if (!is_in(have.p, n, want[i]))
			add_route_change(&b, RTM_NEWROUTE, ifindex, want[i], source_for(c, want[i].addr.family));
	}
	return to_err(netlink_batch_end(&b));
}

err route_apply(struct route *r, const struct route_config *c)
{
	unsigned ifindex = if_nametoindex(c->ifname);

	if (!ifindex)
		return ERR_NOT_FOUND;
	if (c->n_routes > ROUTE_PREFIXES_MAX || c->n_addrs > ROUTE_PREFIXES_MAX)
		return ERR_TOO_BIG;
	TRY(set_link(r, ifindex, c->mtu));
	TRY(apply_addrs(r, c, ifindex));
	TRY(apply_routes(r, c, ifindex));
	return put_rules(r, c->local_first);
}

err route_cleanup(struct route *r)
{
	CLEANUP(have_done) struct have have = { 0 };
	enum { TWICE_MAX = 16 }; /* a rule may be there more than once */

	for (size_t f = 0; f < ARRAY_LEN(rule_families); f++) {
		for (size_t i = 0; i < ARRAY_LEN(our_rules); i++) {
			int e = 0;

			for (int k = 0; k < TWICE_MAX && !e; k++)
				e = change_rule(r, RTM_DELRULE, rule_families[f], i);
			if (e && e != ENOENT && !is_no_v6(rule_families[f], e))
				return to_err(e);
		}
	}
	struct netlink_batch b;

	TRY(list_routes(r, &have));
	netlink_batch_begin(&b, &r->nl, is_no_matter);
	for (size_t i = 0; i < have.n; i++)
		add_route_change(&b, RTM_DELROUTE, have.oif[i], have.p[i], NULL);
	return to_err(netlink_batch_end(&b));
}

/* ---- the machine's network ------------------------------------------------------------------------------------ */

err route_local_addrs(const char *but_ifname, struct addr *out, size_t cap, size_t *n)
{
	struct ifaddrs *all;

	if (getifaddrs(&all) != 0)
		return ERR_SYS;
	*n = 0;
	for (const struct ifaddrs *i = all; i && *n < cap; i = i->ifa_next) {
		if (!i->ifa_addr || !(i->ifa_flags & IFF_UP) || strcmp(i->ifa_name, but_ifname) == 0)
			continue;
		struct addr a = addrport_from_sockaddr(i->ifa_addr).addr;
		/* Tailnet addresses of other tunnels are no way to us, and link-local ones mean nothing elsewhere. */
		if (a.family && !addr_is_tailscale(a) && !(a.family == 6 && addr_is_link_local(a)))
			out[(*n)++] = a;
	}
	freeifaddrs(all);
	return OK;
}

struct leads {
	unsigned oif, bits;
	bool found;
};

static void on_leads(const struct nlmsghdr *h, void *ctx)
{
	const struct rtattr *at[RTA_MAX + 1];
	struct leads *l = ctx;
	struct rtmsg m;

	if (h->nlmsg_type != RTM_NEWROUTE || h->nlmsg_len < NLMSG_LENGTH(sizeof m))
		return;
	memcpy(&m, NLMSG_DATA(h), sizeof m);
	netlink_attributes(h, sizeof m, at, RTA_MAX + 1);
	*l = (struct leads){ netlink_u32(at[RTA_OIF], 0), m.rtm_dst_len, true };
}

bool route_is_taken(struct addr a, const char *ifname)
{
	struct rtmsg m = { .rtm_family = af_of(a), .rtm_dst_len = (uint8_t)addr_bits(a), .rtm_flags = RTM_F_FIB_MATCH };
	struct netlink_request q;
	struct leads l = { 0 };
	struct netlink nl;

	if (netlink_open(&nl, 0) != OK)
		return false;
	netlink_begin(&q, RTM_GETROUTE, 0, &m, sizeof m);
	netlink_put(&q, RTA_DST, a.b, len_of(a));
	bool known = netlink_get(&nl, &q, on_leads, &l) == 0 && l.found;
	netlink_close(&nl);
	return known && l.bits >= OWN_ROUTE_BITS && l.oif != if_nametoindex(ifname);
}

err route_watch_open(int *fd)
{
	struct netlink nl;

	TRY(netlink_open(&nl,
		RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR | RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_ROUTE));
	/* Not what we do ourselves: thousands of routes would overflow the socket, and that reads as "look anew". Table numbers
	 * over 255 show as RT_TABLE_COMPAT in the fixed header. */
	static struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, offsetof(struct nlmsghdr, nlmsg_type)), /* its low byte */
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, RTM_NEWROUTE, 1, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, RTM_DELROUTE, 0, 3),
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, NLMSG_HDRLEN + offsetof(struct rtmsg, rtm_table)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, RT_TABLE_COMPAT, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, 0),
		BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
	};
	const struct sock_fprog filter = { ARRAY_LEN(code), code };
	(void)setsockopt(nl.fd, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof filter);
	*fd = nl.fd;
	return OK;
}

static bool concerns_others(const struct nlmsghdr *h, unsigned ours)
{
	const struct rtattr *at[RTA_MAX + 1];
	struct ifinfomsg link;
	struct ifaddrmsg addr;
	struct rtmsg route;

	switch (h->nlmsg_type) {
	case RTM_NEWLINK:
	case RTM_DELLINK:
		if (h->nlmsg_len < NLMSG_LENGTH(sizeof link))
			return false;
		memcpy(&link, NLMSG_DATA(h), sizeof link);
		return (unsigned)link.ifi_index != ours;
	case RTM_NEWADDR:
	case RTM_DELADDR:
		if (h->nlmsg_len < NLMSG_LENGTH(sizeof addr))
			return false;
		memcpy(&addr, NLMSG_DATA(h), sizeof addr);
		return addr.ifa_index != ours;
	case RTM_NEWROUTE:
	case RTM_DELROUTE:
		if (h->nlmsg_len < NLMSG_LENGTH(sizeof route))
			return false;
		memcpy(&route, NLMSG_DATA(h), sizeof route);
		netlink_attributes(h, sizeof route, at, RTA_MAX + 1);
		return netlink_u32(at[RTA_TABLE], route.rtm_table) != ROUTE_TABLE && netlink_u32(at[RTA_OIF], 0) != ours &&
		       !(route.rtm_flags & RTM_F_CLONED);
	default:
		return false;
	}
}

bool route_watch_drain(int fd, const char *but_ifname)
{
	union {
		struct nlmsghdr align;
		uint8_t b[32 << 10];
	} got;
	unsigned ours = if_nametoindex(but_ifname);
	bool others = false;

	for (;;) {
		ssize_t len = recv(fd, &got, sizeof got, MSG_DONTWAIT);

		if (len < 0 && errno == ENOBUFS)
			others = true; /* some were lost: look anew */
		else if (len <= 0)
			return others;
		size_t n = len > 0 ? (size_t)len : 0;
		for (const struct nlmsghdr *h = &got.align; NLMSG_OK(h, n); h = NLMSG_NEXT(h, n))
			others |= concerns_others(h, ours);
	}
}
