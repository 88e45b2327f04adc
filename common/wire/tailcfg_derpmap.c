/* The DERP map's half of tailcfg_response.h: written for nodes, read from files and by clients. */
#include <stdlib.h>

#include "common/base/cleanup.h"
#include "common/wire/tailcfg_in.h"
#include "common/wire/tailcfg_out.h"
#include "common/wire/tailcfg_response.h"

enum { DERP_DEPTH_MAX = 16 };

/* ---- writing ----------------------------------------------------------------------------------------------------- */

static void write_node(struct jsonw *w, const struct tailcfg_derp_node *n)
{
	jsonw_obj(w);
	jsonw_key(w, "Name");
	jsonw_str(w, n->name);
	jsonw_key(w, "RegionID");
	jsonw_int(w, n->region_id);
	jsonw_key(w, "HostName");
	jsonw_str(w, n->host_name);
	OUT_TEXT(w, "CertName", n->cert_name);
	OUT_TEXT(w, "IPv4", n->ipv4);
	OUT_TEXT(w, "IPv6", n->ipv6);
	OUT_INT(w, "STUNPort", n->stun_port);
	OUT_FLAG(w, "STUNOnly", n->stun_only);
	OUT_INT(w, "DERPPort", n->derp_port);
	OUT_FLAG(w, "InsecureForTests", n->insecure_for_tests);
	OUT_TEXT(w, "STUNTestIP", n->stun_test_ip);
	OUT_FLAG(w, "CanPort80", n->can_port80);
	jsonw_obj_end(w);
}

static void write_region(struct jsonw *w, const struct tailcfg_derp_region *r)
{
	jsonw_obj(w);
	jsonw_key(w, "RegionID");
	jsonw_int(w, r->region_id);
	jsonw_key(w, "RegionCode");
	jsonw_str(w, r->region_code);
	jsonw_key(w, "RegionName");
	jsonw_str(w, r->region_name);
	OUT_DOUBLE(w, "Latitude", r->latitude);
	OUT_DOUBLE(w, "Longitude", r->longitude);
	OUT_FLAG(w, "Avoid", r->avoid);
	OUT_FLAG(w, "NoMeasureNoHome", r->no_measure_no_home);
	jsonw_key(w, "Nodes");
	jsonw_arr(w);
	for (size_t i = 0; i < r->n_nodes; i++)
		write_node(w, &r->nodes[i]);
	jsonw_arr_end(w);
	jsonw_obj_end(w);
}

void tailcfg_derp_map_write(struct jsonw *w, const struct tailcfg_derp_map *m)
{
	jsonw_obj(w);
	if (m->has_home_params) {
		jsonw_key(w, "HomeParams");
		jsonw_obj(w);
		jsonw_key(w, "RegionScore");
		jsonw_obj(w);
		for (size_t i = 0; i < m->n_scores; i++) {
			jsonw_key_int(w, m->scores[i].region_id);
			jsonw_double(w, m->scores[i].factor);
		}
		jsonw_obj_end(w);
		jsonw_obj_end(w);
	}
	jsonw_key(w, "Regions");
	jsonw_obj(w);
	for (size_t i = 0; i < m->n_regions; i++) {
		if (m->regions[i].removed)
			continue;
		jsonw_key_int(w, m->regions[i].region_id);
		write_region(w, &m->regions[i]);
	}
	jsonw_obj_end(w);
	OUT_FLAG(w, "omitDefaultRegions", m->omit_default_regions);
	jsonw_obj_end(w);
}

/* ---- reading ----------------------------------------------------------------------------------------------------- */

static void read_node(const struct json_at *at, int region_id, struct tailcfg_derp_node *n, struct arena *a)
{
	n->name = tailcfg_in_text(at, "Name", TAILCFG_TEXT_MAX, a);
	n->region_id = (int)json_int(at, "RegionID", 0, TAILCFG_DERP_REGION_ID_MAX, region_id);
	n->host_name = tailcfg_in_text(at, "HostName", TAILCFG_TEXT_MAX, a);
	n->cert_name = tailcfg_in_text(at, "CertName", TAILCFG_TEXT_MAX, a);
	n->ipv4 = tailcfg_in_text(at, "IPv4", ADDR_TEXT_MAX, a);
	n->ipv6 = tailcfg_in_text(at, "IPv6", ADDR_TEXT_MAX, a);
	n->stun_port = (int)json_int(at, "STUNPort", -1, UINT16_MAX, 0);
	n->stun_only = json_bool(at, "STUNOnly", false);
	n->derp_port = (int)json_int(at, "DERPPort", 0, UINT16_MAX, 0);
	n->insecure_for_tests = json_bool(at, "InsecureForTests", false);
	n->stun_test_ip = tailcfg_in_text(at, "STUNTestIP", ADDR_TEXT_MAX, a);
	n->can_port80 = json_bool(at, "CanPort80", false);
	if (n->region_id != region_id)
		json_note(at, ERR_INVALID, "RegionID %d inside region %d", n->region_id, region_id);
	if (!*n->host_name)
		json_note(at, ERR_INVALID, "HostName is missing");
}

static void read_region(const struct json_at *at, struct tailcfg_derp_region *r, struct arena *a)
{
	if (!json_is_set(at)) {
		r->removed = true;
		r->region_code = r->region_name = "";
		return;
	}
	int64_t id = json_int(at, "RegionID", 0, TAILCFG_DERP_REGION_ID_MAX, r->region_id);
	if (id != r->region_id)
		json_note(at, ERR_INVALID, "RegionID %d under the key %d", (int)id, r->region_id);
	r->region_code = tailcfg_in_text(at, "RegionCode", TAILCFG_TEXT_MAX, a);
	r->region_name = tailcfg_in_text(at, "RegionName", TAILCFG_TEXT_MAX, a);
	r->latitude = json_double(at, "Latitude", 0);
	r->longitude = json_double(at, "Longitude", 0);
	r->avoid = json_bool(at, "Avoid", false);
	r->no_measure_no_home = json_bool(at, "NoMeasureNoHome", false);
	struct json_at list = json_member(at, "Nodes");
	size_t n = json_count(&list, TAILCFG_DERP_NODES_MAX);
	r->nodes = n ? tailcfg_in_room(&list, a, n, sizeof *r->nodes) : NULL;
	for (size_t i = 0; r->nodes && i < n; i++) {
		struct json_at node = json_item(&list, i);

		if (json_is_set(&node))
			read_node(&node, r->region_id, &r->nodes[r->n_nodes++], a);
	}
}

/* "7" -> 7; 0 (noted) when it is no region id. */
static int region_key(const struct json_at *o, const char *key)
{
	uint64_t id;

	if (bytes_parse_u64(bytes_str(key), TAILCFG_DERP_REGION_ID_MAX, &id) == OK && id > 0)
		return (int)id;
	json_note(o, ERR_INVALID, "a key is no region id from 1 to %d", TAILCFG_DERP_REGION_ID_MAX);
	return 0;
}

static int by_id(const void *a, const void *b)
{
	const struct tailcfg_derp_region *x = a, *y = b;

	return (x->region_id > y->region_id) - (x->region_id < y->region_id);
}

/* Members of an object with integer keys; 0 (noted) when it is none or has too many. */
static size_t members(const struct json_at *o)
{
	if (!json_is_set(o))
		return 0;
	if (!json_is_object(o->v)) {
		json_note(o, ERR_INVALID, "not an object");
		return 0;
	}
	size_t n = json_object_size(o->v);
	if (n <= TAILCFG_DERP_REGIONS_MAX)
		return n;
	json_note(o, ERR_TOO_BIG, "more than %d regions", TAILCFG_DERP_REGIONS_MAX);
	return 0;
}

static void read_regions(const struct json_at *o, struct tailcfg_derp_map *m, struct arena *a)
{
	size_t n = members(o);
	const char *key;
	json_t *value;

	m->regions = n ? tailcfg_in_room(o, a, n, sizeof *m->regions) : NULL;
	if (!m->regions)
		return;
	json_object_foreach((json_t *)(uintptr_t)o->v, key, value) { /* jansson's iteration takes no const */
		struct json_at at = json_member(o, key);
		struct tailcfg_derp_region *r = &m->regions[m->n_regions++];

		r->region_id = region_key(o, key);
		read_region(&at, r, a);
	}
	qsort(m->regions, m->n_regions, sizeof *m->regions, by_id);
	for (size_t i = 1; i < m->n_regions; i++) /* "7" and "07" */
		if (m->regions[i].region_id == m->regions[i - 1].region_id)
			json_note(o, ERR_INVALID, "region %d is there twice", m->regions[i].region_id);
}

static void read_home_params(const struct json_at *o, struct tailcfg_derp_map *m, struct arena *a)
{
	struct json_at scores = json_member(o, "RegionScore");
	size_t n = members(&scores);
	const char *key;
	json_t *value;

	m->has_home_params = json_is_set(&scores);
	m->scores = n ? tailcfg_in_room(o, a, n, sizeof *m->scores) : NULL;
	if (!m->scores)
		return;
	json_object_foreach((json_t *)(uintptr_t)scores.v, key, value) {
		struct json_at at = json_member(&scores, key);

		m->scores[m->n_scores++] = (struct tailcfg_derp_score){
			.region_id = region_key(&scores, key),
			.factor = json_to_double(&at, 0),
		};
	}
}

err tailcfg_derp_map_parse(struct bytes json, struct arena *a, struct tailcfg_derp_map **out, struct json_why *why)
{
	CLEANUP(json_decrefp) json_t *v = NULL;

	*why = (struct json_why){ 0 };
	TRY(json_parse_why(json, TAILCFG_DERP_MAP_MAX, DERP_DEPTH_MAX, &v, why));
	struct json_at root = json_root(v, why);
	struct tailcfg_derp_map *m = tailcfg_in_room(&root, a, 1, sizeof *m);
	if (!m)
		return why->e;
	struct json_at regions = json_member(&root, "Regions"), home = json_member(&root, "HomeParams");
	read_regions(&regions, m, a);
	read_home_params(&home, m, a);
	m->omit_default_regions = json_bool(&root, "omitDefaultRegions", false);
	if (why->e != OK)
		return why->e;
	*out = m;
	return OK;
}

/* ---- putting together -------------------------------------------------------------------------------------------- */

err tailcfg_derp_map_merge(const struct tailcfg_derp_map *base, const struct tailcfg_derp_map *over, struct arena *a,
		struct tailcfg_derp_map **out)
{
	struct tailcfg_derp_map *m = arena_alloc(a, sizeof *m);
	const struct tailcfg_derp_region *x = base->regions, *x_end = x + base->n_regions;
	const struct tailcfg_derp_region *y = over->regions, *y_end = y + over->n_regions;

	if (!m || !(m->regions = arena_array(a, base->n_regions + over->n_regions, sizeof *m->regions)))
		return ERR_NOMEM;
	m->omit_default_regions = base->omit_default_regions || over->omit_default_regions;
	m->has_home_params = base->has_home_params || over->has_home_params;
	m->scores = over->has_home_params ? over->scores : base->scores;
	m->n_scores = over->has_home_params ? over->n_scores : base->n_scores;
	while (x < x_end || y < y_end) {
		const struct tailcfg_derp_region *r;

		if (y == y_end || (x < x_end && x->region_id < y->region_id)) {
			r = x++;
		} else {
			if (x < x_end && x->region_id == y->region_id)
				x++;
			r = y++;
		}
		if (!r->removed)
			m->regions[m->n_regions++] = *r;
	}
	*out = m;
	return OK;
}

const struct tailcfg_derp_region *tailcfg_derp_region_by_id(const struct tailcfg_derp_map *m, int region_id)
{
	for (size_t i = 0; i < m->n_regions; i++)
		if (m->regions[i].region_id == region_id && !m->regions[i].removed)
			return &m->regions[i];
	return NULL;
}
