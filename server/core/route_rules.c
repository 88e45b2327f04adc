#include "server/core/state.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/base/cleanup.h"
#include "common/base/log.h"

/* Which announced routes are not used whatever is approved, which are never approved by a policy alone, and how the device is
 * told of both: in words, in its own map. */

enum {
	HALF_BITS = 3,	 /* a prefix this short or shorter is a default route in disguise */
	TELL_ROUTES = 4, /* named in the message; the rest is counted */
	TELL_MAX = 900,	 /* bytes of it */
};

static bool is_4via6(struct prefix p)
{
	/* fd7a:115c:a1e0:b1a::/64, a site's 32 bits, then an IPv4 prefix (protocol/control.md 8.2) */
	static const struct prefix via = { { 6, { 0xfd, 0x7a, 0x11, 0x5c, 0xa1, 0xe0, 0x0b, 0x1a } }, 64 };

	return p.bits >= 96 && prefix_covers(via, p);
}

const char *route_fault(const struct tailnet *t, struct prefix p)
{
	static const struct prefix shared = { { 4, { 100, 64 } }, 10 };

	if (prefix_is_exit(p) || is_4via6(p))
		return NULL;
	if (p.bits <= HALF_BITS)
		return "a default route in disguise; an exit node offers 0.0.0.0/0 and ::/0";
	if (addr_is_loopback(p.addr) || addr_is_multicast(p.addr) || addr_is_link_local(p.addr) || addr_is_unspecified(p.addr))
		return "no such address can be reached through another device";
	if (prefix_overlaps(p, shared) || (t->set.v4.addr.family && prefix_overlaps(p, t->set.v4)) ||
			(t->set.v6.addr.family && prefix_overlaps(p, t->set.v6)))
		return "overlaps the addresses of the devices themselves";
	return NULL;
}

static bool holds_text(struct prefix p, struct bytes text)
{
	struct addr a;
	struct addrport ap;

	if (addr_parse(text, &a) == OK)
		return prefix_contains(p, a);
	return addrport_parse(text, &ap) == OK && prefix_contains(p, ap.addr);
}

static bool holds_host(struct prefix p, const char *url)
{
	const char *at = strstr(or_empty(url), "://");
	struct bytes rest, host = at ? bytes_cut(bytes_str(at + 3), '/', &rest) : (struct bytes){ 0 };

	if (host.n && host.p[0] == '[')
		return holds_text(p, bytes_cut(bytes_skip(host, 1), ']', &rest));
	return holds_text(p, bytes_cut(host, ':', &rest));
}

const char *route_by_hand(const struct tailnet *t, struct prefix p)
{
	const struct tailcfg_derp_map *m = t->set.derp_map;

	if (prefix_is_exit(p)) /* clients keep these apart from what goes through an exit node */
		return NULL;
	if (holds_host(p, t->set.server_url))
		return "holds the address of this server: it needs an administrator's approval";
	for (size_t i = 0; m && i < m->n_regions; i++)
		for (size_t k = 0; k < m->regions[i].n_nodes; k++) {
			const struct tailcfg_derp_node *n = &m->regions[i].nodes[k];
			if (holds_text(p, bytes_str(or_empty(n->ipv4))) || holds_text(p, bytes_str(or_empty(n->ipv6))) ||
					holds_text(p, bytes_str(or_empty(n->host_name))))
				return "holds the address of a relay: it needs an administrator's approval";
		}
	for (size_t i = 0; i < t->set.n_resolvers; i++)
		if (holds_text(p, bytes_str(t->set.resolvers[i])))
			return "holds the address of a name server that clients ask: it needs an administrator's approval";
	return NULL;
}

static const char *cause(struct node *n, const struct node_facts *f, struct prefix p)
{
	const char *fault = route_fault(n->t, p);

	if (fault || route_is_approved(n, p) || !n->t->policy || !policy_approves_route(n->t->policy, &f->node, p))
		return fault;
	return route_by_hand(n->t, p);
}

static void write_text(struct core *c, struct node *n, struct buf *out)
{
	size_t told = 0, more = 0;
	struct node_facts f;

	node_facts(c, n, &f);
	for (size_t i = 0; i < n->hi->n_routable_ips; i++) {
		struct prefix p = prefix_mask(n->hi->routable_ips[i]);
		const char *why = cause(n, &f, p);
		char text[PREFIX_TEXT_MAX];

		if (!why)
			continue;
		if (told++ < TELL_ROUTES)
			buf_printf(out, "%s%s: %s.", told > 1 ? " " : "", prefix_text(p, text), why);
		else
			more++;
	}
	if (more)
		buf_printf(out, " And %zu more.", more);
	if (n->hi->n_routes_left_out)
		buf_printf(out, "%sA device may announce %d routes: %zu were left out.", told ? " " : "", TAILCFG_ROUTES_MAX,
				n->hi->n_routes_left_out);
}

void routes_tell(struct core *c, struct node *n)
{
	struct buf text = buf_make(TELL_MAX);

	write_text(c, n, &text);
	if (text.bad || bytes_eq_str(buf_view(&text), or_empty(n->routes_text))) {
		buf_done(&text);
		return;
	}
	char *copy = buf_len(&text) ? bytes_dup(buf_view(&text)) : NULL;
	if (copy && !c->replaying)
		log_info("routes are not used", "node=%" PRId64 " cause=%s", n->row.id, log_qs(copy).s);
	free(n->routes_text);
	n->routes_text = copy;
	n->routes_message = (struct map_message){ .id = "routes-refused", .title = "Some routes are not used", .text = copy, .severity = "medium" };
	buf_done(&text);
	gate_message(n);
	node_self_dirty(n);
}
