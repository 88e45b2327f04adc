/* DNSConfig. */
#include <stdlib.h>

#include "client/control/mapparse_internal.h"
#include "client/netmap_node.h"

enum {
	DNS_ARENA_MAX = 1 << 20,
	DNS_RESOLVERS_MAX = 32,
	DNS_ROUTES_MAX = 1024,
	DNS_NAMES_MAX = 256,
	DNS_RECORDS_MAX = 4096,
};

static const char *dns_text(struct map_parse *p)
{
	char text[NM_TEXT_MAX + 1];
	size_t n = nm_clean(text, NM_TEXT_MAX, jp_str(&p->jp));
	const char *kept = arena_str(&p->u->dns_arena, bytes_of(text, n));

	if (!kept)
		map_fail(p, ERR_TOO_BIG, "the DNS configuration is too long");
	return kept ? kept : "";
}

static const char *const *dns_texts(struct map_parse *p, size_t *n)
{
	const char *found[DNS_NAMES_MAX];

	*n = 0;
	if (!jp_array(&p->jp))
		return NULL;
	while (jp_item(&p->jp)) {
		if (*n == DNS_NAMES_MAX)
			jp_skip(&p->jp);
		else
			found[(*n)++] = dns_text(p);
	}
	const char **kept = arena_array(&p->u->dns_arena, *n, sizeof *kept);
	if (*n && kept)
		memcpy(kept, found, *n * sizeof *kept);
	if (!kept)
		*n = 0;
	return kept;
}

static struct tailcfg_resolver dns_resolver(struct map_parse *p)
{
	struct tailcfg_resolver r = { .addr = "" };
	struct addr found[8];
	size_t n = 0;

	if (!jp_object(&p->jp))
		return r;
	while (jp_member(&p->jp)) {
		if (jp_key_is(&p->jp, "Addr")) {
			r.addr = dns_text(p);
		} else if (jp_key_is(&p->jp, "UseWithExitNode")) {
			r.use_with_exit_node = jp_bool(&p->jp);
		} else if (jp_key_is(&p->jp, "BootstrapResolution") && jp_array(&p->jp)) {
			while (jp_item(&p->jp)) {
				struct bytes text = jp_str(&p->jp);

				if (n < ARRAY_LEN(found) && addr_parse(text, &found[n]) == OK)
					n++;
			}
		} else if (!jp_key_is(&p->jp, "BootstrapResolution")) {
			jp_skip(&p->jp);
		}
	}
	struct addr *kept = arena_array(&p->u->dns_arena, n, sizeof *kept);
	if (kept && n) {
		memcpy(kept, found, n * sizeof *kept);
		r.bootstrap = kept;
		r.n_bootstrap = n;
	}
	return r;
}

static const struct tailcfg_resolver *dns_resolvers(struct map_parse *p, size_t *n)
{
	struct tailcfg_resolver found[DNS_RESOLVERS_MAX];

	*n = 0;
	if (!jp_array(&p->jp))
		return NULL;
	while (jp_item(&p->jp)) {
		if (*n == DNS_RESOLVERS_MAX)
			jp_skip(&p->jp);
		else
			found[(*n)++] = dns_resolver(p);
	}
	struct tailcfg_resolver *kept = arena_array(&p->u->dns_arena, *n, sizeof *kept);
	if (*n && kept)
		memcpy(kept, found, *n * sizeof *kept);
	if (!kept)
		*n = 0;
	return kept;
}

static void dns_routes(struct map_parse *p, struct tailcfg_dns_config *d)
{
	struct tailcfg_dns_route *r = NULL;
	size_t cap = 0, n = 0;

	if (!jp_object(&p->jp))
		return;
	while (jp_member(&p->jp)) {
		struct tailcfg_dns_route *at = MAP_GROW(p, r, n, cap, DNS_ROUTES_MAX);
		char name[JSONPULL_KEY_MAX + 1];

		if (!at)
			break;
		size_t len = nm_clean(name, JSONPULL_KEY_MAX, jp_key(&p->jp));
		while (len && name[len - 1] == '.')
			len--;
		*at = (struct tailcfg_dns_route){ .suffix = arena_str(&p->u->dns_arena, bytes_of(name, len)) };
		if (!at->suffix) {
			map_fail(p, ERR_TOO_BIG, "the DNS configuration is too long");
			break;
		}
		at->resolvers = dns_resolvers(p, &at->n_resolvers);
	}
	struct tailcfg_dns_route *kept = arena_array(&p->u->dns_arena, n, sizeof *kept);
	if (n && kept) {
		memcpy(kept, r, n * sizeof *kept);
		d->routes = kept;
		d->n_routes = n;
	}
	free(r);
}

static void dns_records(struct map_parse *p, struct tailcfg_dns_config *d)
{
	struct tailcfg_dns_record *r = NULL;
	size_t cap = 0, n = 0;

	if (!jp_array(&p->jp))
		return;
	while (jp_item(&p->jp)) {
		struct tailcfg_dns_record *at = MAP_GROW(p, r, n, cap, DNS_RECORDS_MAX);

		if (!at)
			break;
		*at = (struct tailcfg_dns_record){ "", "", "" };
		if (!jp_object(&p->jp))
			continue;
		while (jp_member(&p->jp)) {
			if (jp_key_is(&p->jp, "Name"))
				at->name = dns_text(p);
			else if (jp_key_is(&p->jp, "Type"))
				at->type = dns_text(p);
			else if (jp_key_is(&p->jp, "Value"))
				at->value = dns_text(p);
			else
				jp_skip(&p->jp);
		}
	}
	struct tailcfg_dns_record *kept = arena_array(&p->u->dns_arena, n, sizeof *kept);
	if (n && kept) {
		memcpy(kept, r, n * sizeof *kept);
		d->extra_records = kept;
		d->n_extra_records = n;
	}
	free(r);
}

void map_read_dns(struct map_parse *p)
{
	struct jsonpull *jp = &p->jp;

	if (!jp_object(jp))
		return;
	arena_done(&p->u->dns_arena);
	p->u->dns_arena = arena_make(DNS_ARENA_MAX);
	struct tailcfg_dns_config *d = arena_alloc(&p->u->dns_arena, sizeof *d);
	if (!d) {
		map_fail(p, ERR_NOMEM, "out of memory");
		return;
	}
	while (jp_member(jp)) {
		if (jp_key_is(jp, "Resolvers"))
			d->resolvers = dns_resolvers(p, &d->n_resolvers);
		else if (jp_key_is(jp, "FallbackResolvers"))
			d->fallback_resolvers = dns_resolvers(p, &d->n_fallback_resolvers);
		else if (jp_key_is(jp, "Routes"))
			dns_routes(p, d);
		else if (jp_key_is(jp, "Domains"))
			d->domains = dns_texts(p, &d->n_domains);
		else if (jp_key_is(jp, "Proxied"))
			d->proxied = jp_bool(jp);
		else if (jp_key_is(jp, "CertDomains"))
			d->cert_domains = dns_texts(p, &d->n_cert_domains);
		else if (jp_key_is(jp, "ExtraRecords"))
			dns_records(p, d);
		else
			jp_skip(jp);
	}
	p->u->dns = d;
}
