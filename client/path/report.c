#include "client/path/report.h"

#include "common/base/cleanup.h"
#include "common/text/jsonw.h"

static int64_t v4_of(const struct path_latency *l)
{
	return l->v4_us;
}
static int64_t v6_of(const struct path_latency *l)
{
	return l->v6_us;
}
static int64_t best_of(const struct path_latency *l)
{
	return l->v4_us && l->v6_us ? MIN_OF(l->v4_us, l->v6_us) : l->v4_us ? l->v4_us : l->v6_us ? l->v6_us : l->derp_us;
}

/* Nanoseconds by region id, as the official client has it; null: none. */
static void put_latencies(struct jsonw *w, const char *key, const struct path_report *r, int64_t (*of)(const struct path_latency *))
{
	bool any = false;

	jsonw_key_bytes(w, bytes_str(key));
	for (size_t i = 0; i < r->n; i++)
		any |= of(&r->latency[i]) != 0;
	if (!any) {
		jsonw_null(w);
		return;
	}
	jsonw_obj(w);
	for (size_t i = 0; i < r->n; i++)
		if (of(&r->latency[i]))
			jsonw_key_int(w, r->latency[i].region), jsonw_int(w, of(&r->latency[i]) * 1000);
	jsonw_obj_end(w);
}

static void put_region(struct jsonw *w, const struct path_latency *l, const struct tailcfg_derp_map *map)
{
	const struct tailcfg_derp_region *r =
		map ? tailcfg_derp_region_by_id(map, l->region) : NULL;
	int64_t us = best_of(l);

	jsonw_obj(w);
	jsonw_key(w, "ID"), jsonw_int(w, l->region);
	jsonw_key(w, "Code"), jsonw_str(w, r ? r->region_code : "");
	jsonw_key(w, "Name"), jsonw_str(w, r ? r->region_name : "");
	jsonw_key(w, "Latency"), jsonw_double(w, (double)us / 1e6);
	jsonw_obj_end(w);
}

void report_write(struct jsonw *w, const struct path_report *r, const struct tailcfg_derp_map *map)
{
	const struct tailcfg_derp_region *home =
		map ? tailcfg_derp_region_by_id(map, r->home) : NULL;
	char text[ADDRPORT_TEXT_MAX];

	jsonw_obj(w);
	jsonw_key(w, "UDP"), jsonw_bool(w, r->udp);
	jsonw_key(w, "IPv4"), jsonw_bool(w, r->v4);
	jsonw_key(w, "IPv6"), jsonw_bool(w, r->v6);
	jsonw_key(w, "MappingVariesByDestIP");
	if (r->varies == PATH_UNKNOWN)
		jsonw_null(w);
	else
		jsonw_bool(w, r->varies == PATH_YES);
	jsonw_key(w, "GlobalV4"), jsonw_str(w, r->global_v4.addr.family ? addrport_text(r->global_v4, text) : "");
	jsonw_key(w, "GlobalV6"), jsonw_str(w, r->global_v6.addr.family ? addrport_text(r->global_v6, text) : "");
	jsonw_key(w, "PreferredDERP"), jsonw_int(w, r->home);
	jsonw_key(w, "PreferredDERPName"), jsonw_str(w, home ? home->region_name : "");
	put_latencies(w, "RegionLatency", r, best_of);
	put_latencies(w, "RegionV4Latency", r, v4_of);
	put_latencies(w, "RegionV6Latency", r, v6_of);
	jsonw_key(w, "Regions"), jsonw_arr(w);
	for (size_t i = 0; i < r->n; i++)
		put_region(w, &r->latency[i], map);
	jsonw_arr_end(w);
	jsonw_obj_end(w);
}

void report_write_paths(struct jsonw *w, const struct path_peer_status *s)
{
	char text[ADDRPORT_TEXT_MAX];

	jsonw_obj(w);
	jsonw_key(w, "Active"), jsonw_bool(w, s->active);
	jsonw_key(w, "Home"), jsonw_int(w, s->home);
	jsonw_key(w, "Best"), jsonw_str(w, s->best.addr.family ? addrport_text(s->best, text) : "");
	jsonw_key(w, "Trusted"), jsonw_bool(w, s->trusted);
	jsonw_key(w, "LatencyMs"), jsonw_double(w, (double)s->latency_us / 1000);
	jsonw_key(w, "Candidates"), jsonw_arr(w);
	for (size_t i = 0; i < s->n_candidates; i++) {
		jsonw_obj(w);
		jsonw_key(w, "At"), jsonw_str(w, addrport_text(s->candidate[i].at, text));
		jsonw_key(w, "LatencyMs"), jsonw_double(w, (double)s->candidate[i].latency_us / 1000);
		jsonw_obj_end(w);
	}
	jsonw_arr_end(w);
	jsonw_obj_end(w);
}
