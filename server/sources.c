#include "server/sources.h"

#include <stdio.h>

#include "common/base/cleanup.h"
#include "server/derp_region.h"
#include "server/dns_records.h"

void sources_done(struct sources *s)
{
	arena_done(&s->arena);
	*s = (struct sources){ 0 };
}

static err load(const struct config *c, const struct derp_texts *fetched, const char *pin, uint16_t tls_port, char *why, size_t why_cap,
		struct sources *s)
{
	char fault[400];

	TRY(derp_region_map(c, fetched, pin, tls_port, &s->arena, why, why_cap, &s->derp_map));
	s->records = c->dns.extra_records;
	s->n_records = c->dns.n_extra;
	if (!c->dns.extra_records_path[0])
		return OK;
	err e = dns_records_read(c->dns.extra_records_path, &s->arena, fault, sizeof fault, &s->records, &s->n_records);
	if (e == ERR_INVALID || e == ERR_SYS)
		snprintf(why, why_cap, "dns.extra_records_path: %s", fault);
	return e;
}

err sources_load(const struct config *c, const struct derp_texts *fetched, const char *pin, uint16_t tls_port, char *why, size_t why_cap,
		 struct sources *out)
{
	struct sources s = { .arena = arena_make(0) };
	err e = load(c, fetched, pin, tls_port, why, why_cap, &s);

	if (e != OK)
		sources_done(&s);
	else
		*out = s;
	return e;
}

size_t sources_paths(const struct config *c, const char *out[SOURCES_PATHS_MAX])
{
	size_t n = 0;

	if (c->dns.extra_records_path[0])
		out[n++] = c->dns.extra_records_path;
	for (size_t i = 0; i < c->derp_paths.n && n < SOURCES_PATHS_MAX; i++)
		out[n++] = c->derp_paths.s[i];
	return n;
}

void sources_settings(const struct config *c, const struct sources *s, struct core_settings *out)
{
	config_core_settings(c, s->derp_map, out);
	out->extra_records = s->records;
	out->n_extra = s->n_records;
}
