#include "client/netmap_node.h"

#include <stdlib.h>

#include "common/base/cleanup.h"

size_t nm_clean(char *out, size_t max, struct bytes text)
{
	size_t n = MIN_OF(text.n, max);

	while (n && n < text.n && (text.p[n] & 0xc0) == 0x80)
		n--;
	bool utf8 = bytes_is_utf8(bytes_first(text, n));
	for (size_t i = 0; i < n; i++) {
		uint8_t c = text.p[i];

		out[i] = c < ' ' || c == 0x7f || (c >= 0x80 && !utf8) ? '?' : (char)c;
	}
	out[n] = 0;
	return n;
}

void nm_draft_reset(struct nm_draft *d)
{
	memset(d, 0, offsetof(struct nm_draft, addresses));
	d->n_addresses = d->n_allowed = d->n_routes = d->n_endpoints = d->n_services = d->n_tags = d->n_caps = 0;
	d->has_allowed = false;
	d->text[0] = 0;
	d->n_text = 1;
}

uint32_t nm_draft_text(struct nm_draft *d, struct bytes text)
{
	size_t room = sizeof d->text - d->n_text;

	if (text.n == 0 || room < NM_TEXT_MAX + 1)
		return 0;
	uint32_t at = (uint32_t)d->n_text;
	d->n_text += nm_clean(d->text + at, NM_TEXT_MAX, text) + 1;
	return at;
}

void nm_draft_load(struct nm_draft *d, const struct nm_node *n)
{
	nm_draft_reset(d);
	d->n = *n;
	d->stable_id = nm_draft_text(d, bytes_str(n->stable_id));
	d->name = nm_draft_text(d, bytes_str(n->name));
	d->hostname = nm_draft_text(d, bytes_str(n->hostname));
	d->os = nm_draft_text(d, bytes_str(n->os));
	for (; d->n_addresses < n->n_addresses; d->n_addresses++)
		d->addresses[d->n_addresses] = n->addresses[d->n_addresses];
	for (; d->n_allowed < n->n_allowed_ips; d->n_allowed++)
		d->allowed[d->n_allowed] = n->allowed_ips[d->n_allowed];
	d->has_allowed = true;
	for (; d->n_routes < n->n_primary_routes; d->n_routes++)
		d->routes[d->n_routes] = n->primary_routes[d->n_routes];
	for (; d->n_endpoints < n->n_endpoints; d->n_endpoints++)
		d->endpoints[d->n_endpoints] = n->endpoints[d->n_endpoints];
	for (; d->n_services < n->n_services; d->n_services++)
		d->services[d->n_services] = n->services[d->n_services];
	for (; d->n_tags < n->n_tags; d->n_tags++)
		d->tags[d->n_tags] = nm_draft_text(d, bytes_str(n->tags[d->n_tags]));
	for (; d->n_caps < n->n_caps; d->n_caps++)
		d->caps[d->n_caps] = nm_draft_text(d, bytes_str(n->caps[d->n_caps]));
}

/* Places arrays behind the node, those of stricter alignment first. */
struct block {
	char *p;
	size_t n;
};

static void *place(struct block *b, const void *src, size_t n, size_t each)
{
	void *at = b->p + b->n;

	if (n)
		memcpy(at, src, n * each);
	b->n += n * each;
	return at;
}

err nm_draft_pack(const struct nm_draft *d, struct nm_node **out)
{
	const struct prefix *allowed = d->has_allowed ? d->allowed : d->addresses;
	size_t n_allowed = d->has_allowed ? d->n_allowed : d->n_addresses;
	size_t size = sizeof(struct nm_node) + (d->n_tags + d->n_caps) * sizeof(char *) +
		d->n_endpoints * sizeof(struct addrport) + d->n_services * sizeof(struct nm_service) +
		(d->n_addresses + n_allowed + d->n_routes) * sizeof(struct prefix) + d->n_text;
	char *p = malloc(size);
	struct block b = { p, sizeof(struct nm_node) };

	if (!p)
		return ERR_NOMEM;
	struct nm_node *n = (void *)p;
	*n = d->n;
	n->bytes = size;
	const char **tags = (void *)(p + b.n);
	b.n += d->n_tags * sizeof(char *);
	const char **caps = (void *)(p + b.n);
	b.n += d->n_caps * sizeof(char *);
	n->endpoints = place(&b, d->endpoints, d->n_endpoints, sizeof(struct addrport));
	n->services = place(&b, d->services, d->n_services, sizeof(struct nm_service));
	n->addresses = place(&b, d->addresses, d->n_addresses, sizeof(struct prefix));
	n->allowed_ips = place(&b, allowed, n_allowed, sizeof(struct prefix));
	n->primary_routes = place(&b, d->routes, d->n_routes, sizeof(struct prefix));
	const char *text = place(&b, d->text, d->n_text, 1);

	for (size_t i = 0; i < d->n_tags; i++)
		tags[i] = text + d->tags[i];
	for (size_t i = 0; i < d->n_caps; i++)
		caps[i] = text + d->caps[i];
	n->tags = tags;
	n->caps = caps;
	n->stable_id = text + d->stable_id;
	n->name = text + d->name;
	n->hostname = text + d->hostname;
	n->os = text + d->os;
	n->n_endpoints = d->n_endpoints;
	n->n_services = d->n_services;
	n->n_addresses = d->n_addresses;
	n->n_allowed_ips = n_allowed;
	n->n_primary_routes = d->n_routes;
	n->n_tags = d->n_tags;
	n->n_caps = d->n_caps;
	*out = n;
	return OK;
}

static bool same(const void *a, size_t n_a, const void *b, size_t n_b, size_t each)
{
	return n_a == n_b && (n_a == 0 || memcmp(a, b, n_a * each) == 0);
}

static bool same_texts(const char *const *a, size_t n_a, const char *const *b, size_t n_b)
{
	if (n_a != n_b)
		return false;
	for (size_t i = 0; i < n_a; i++)
		if (strcmp(a[i], b[i]) != 0)
			return false;
	return true;
}

static bool same_endpoints(const struct nm_node *a, const struct nm_node *b)
{
	if (a->n_endpoints != b->n_endpoints)
		return false;
	for (size_t i = 0; i < a->n_endpoints; i++)
		if (!addrport_eq(a->endpoints[i], b->endpoints[i]))
			return false;
	return true;
}

static bool same_services(const struct nm_node *a, const struct nm_node *b)
{
	if (a->n_services != b->n_services)
		return false;
	for (size_t i = 0; i < a->n_services; i++)
		if (a->services[i].port != b->services[i].port || strcmp(a->services[i].proto, b->services[i].proto) != 0)
			return false;
	return true;
}

static bool same_rest(const struct nm_node *a, const struct nm_node *b)
{
	return a->user == b->user && a->cap == b->cap && a->key_expiry_ms == b->key_expiry_ms &&
		a->created_ms == b->created_ms && a->expired == b->expired &&
		a->machine_authorized == b->machine_authorized && a->wireguard_only == b->wireguard_only &&
		a->jailed == b->jailed && a->unsigned_peerapi_only == b->unsigned_peerapi_only && a->sharee == b->sharee &&
		a->ssh == b->ssh && machine_pub_eq(&a->machine, &b->machine) && strcmp(a->stable_id, b->stable_id) == 0 &&
		strcmp(a->name, b->name) == 0 && strcmp(a->hostname, b->hostname) == 0 && strcmp(a->os, b->os) == 0 &&
		same_texts(a->tags, a->n_tags, b->tags, b->n_tags) && same_texts(a->caps, a->n_caps, b->caps, b->n_caps) &&
		same_services(a, b) &&
		same(a->primary_routes, a->n_primary_routes, b->primary_routes, b->n_primary_routes, sizeof(struct prefix));
}

unsigned nm_node_diff(const struct nm_node *a, const struct nm_node *b)
{
	unsigned what = 0;

	if (!node_pub_eq(&a->key, &b->key))
		what |= NM_KEY;
	if (!disco_pub_eq(&a->disco, &b->disco))
		what |= NM_DISCO;
	if (!same(a->addresses, a->n_addresses, b->addresses, b->n_addresses, sizeof(struct prefix)) ||
		!same(a->allowed_ips, a->n_allowed_ips, b->allowed_ips, b->n_allowed_ips, sizeof(struct prefix)))
		what |= NM_ALLOWED;
	if (!same_endpoints(a, b))
		what |= NM_ENDPOINTS;
	if (a->home_derp != b->home_derp)
		what |= NM_HOME;
	if (a->has_online != b->has_online || a->online != b->online || a->last_seen_ms != b->last_seen_ms)
		what |= NM_ONLINE;
	if (!same_rest(a, b))
		what |= NM_OTHER;
	return what;
}
