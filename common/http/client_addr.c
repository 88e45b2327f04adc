#include "common/http/client_addr.h"

static bool is_trusted(struct addr a, const struct prefix *trusted, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (prefix_contains(trusted[i], a))
			return true;
	return false;
}

/* "192.0.2.1", "192.0.2.1:5", "2001:db8::1", "[2001:db8::1]", "[2001:db8::1]:5" */
static bool parse_hop(struct bytes hop, struct addr *out)
{
	struct addrport ap;

	if (hop.n > 2 && hop.p[0] == '[' && hop.p[hop.n - 1] == ']')
		hop = bytes_first(bytes_skip(hop, 1), hop.n - 2);
	if (addr_parse(hop, out) != OK) {
		if (addrport_parse(hop, &ap) != OK)
			return false;
		*out = ap.addr;
	}
	*out = addr_unmap(*out);
	return true;
}

/* Walks the list of one header from its end. True: *out is the client; false: all were trusted, or one was bad. */
static bool last_untrusted(struct bytes list, const struct prefix *trusted, size_t n, struct addr *out, bool *bad)
{
	while (list.n) {
		size_t at = list.n;

		while (at && list.p[at - 1] != ',')
			at--;
		if (!parse_hop(bytes_trim(bytes_skip(list, at)), out)) {
			*bad = true;
			return false;
		}
		if (!is_trusted(*out, trusted, n))
			return true;
		list = bytes_first(list, at ? at - 1 : 0);
	}
	return false;
}

struct addrport client_addr(const struct http1_headers *h, struct addrport peer, const struct prefix *trusted, size_t n)
{
	struct addr a;
	bool bad = false;

	if (!is_trusted(peer.addr, trusted, n))
		return peer;
	if (http1_header_count(h, "X-Forwarded-For") == 0) {
		struct bytes real = http1_header(h, "X-Real-IP");

		return real.p && parse_hop(real, &a) ? (struct addrport){ a, 0 } : peer;
	}
	for (size_t i = h->n; i-- > 0;) {
		if (!bytes_eq_nocase(h->h[i].name, BYTES_LIT("X-Forwarded-For")))
			continue;
		if (last_untrusted(h->h[i].value, trusted, n, &a, &bad))
			return (struct addrport){ a, 0 };
		if (bad)
			return peer;
	}
	return peer;
}
