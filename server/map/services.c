#include <stdio.h>

#include "common/base/cleanup.h"
#include "common/base/map.h"
#include "common/base/writer.h"
#include "server/map/encode.h"

/* VIP services as clients hear of them: who may reach one gets its DNS name and a "services/…" capability; who may host it gets
 * "service-host". The addresses themselves travel as routes of the host. */

static bool has_prefix(const struct prefix *list, size_t n, struct prefix p)
{
	for (size_t i = 0; i < n; i++)
		if (prefix_cmp(list[i], p) == 0)
			return true;
	return false;
}

static bool hosts(const struct map_node *n, const struct map_service *s)
{
	return (s->v4.family && has_prefix(n->cand, n->n_cand, addr_prefix(s->v4))) ||
	       (s->v6.family && has_prefix(n->cand, n->n_cand, addr_prefix(s->v6)));
}

static bool reaches(const struct map_tailnet *t, const struct map_node *viewer, struct addr a)
{
	int64_t carrier = a.family && t->carrier ? t->carrier(t->ctx, addr_prefix(a)) : 0;

	return carrier && (carrier == viewer->row->id || policy_view_shows_route(t->policy, viewer->row->id, carrier, addr_prefix(a), carrier));
}

static bool is_visible(const struct map_tailnet *t, const struct map_node *viewer, const struct map_service *s)
{
	return viewer->announced && t->policy && (reaches(t, viewer, s->v4) || reaches(t, viewer, s->v6));
}

static void write_addr(struct jsonw *w, struct addr a)
{
	char text[ADDR_TEXT_MAX];

	if (a.family)
		jsonw_str(w, addr_text(a, text));
}

void services_write_records(struct jsonw *w, const struct map_tailnet *t, const struct map_node *viewer, bool *open)
{
	char name[512], text[ADDR_TEXT_MAX];

	for (size_t i = 0; viewer && i < t->n_services; i++) {
		const struct map_service *s = &t->services[i];

		if (!is_visible(t, viewer, s))
			continue;
		for (int k = 0; k < 2; k++) {
			struct addr a = k ? s->v6 : s->v4;
			struct writer out = wr_init(name, sizeof name);

			if (!a.family)
				continue;
			if (!*open)
				jsonw_key(w, "ExtraRecords"), jsonw_arr(w);
			*open = true;
			wr_bytes(&out, bytes_str(s->name + 4));
			wr_u8(&out, '.');
			wr_bytes(&out, bytes_str(t->set->base_domain));
			jsonw_obj(w);
			jsonw_key(w, "Name"), jsonw_bytes(w, wr_view(&out));
			if (k)
				jsonw_key(w, "Type"), jsonw_str(w, "AAAA");
			jsonw_key(w, "Value"), jsonw_str(w, addr_text(a, text));
			jsonw_obj_end(w);
		}
	}
}

void services_write_caps(struct jsonw *w, const struct map_tailnet *t, const struct map_node *n)
{
	bool open = false;
	char key[32];

	for (size_t i = 0; i < t->n_services; i++) {
		const struct map_service *s = &t->services[i];

		if (!hosts(n, s))
			continue;
		if (!open)
			jsonw_key(w, "service-host"), jsonw_arr(w), jsonw_obj(w);
		open = true;
		jsonw_key_bytes(w, bytes_str(s->name)), jsonw_arr(w);
		write_addr(w, s->v4);
		write_addr(w, s->v6);
		jsonw_arr_end(w);
	}
	if (open)
		jsonw_obj_end(w), jsonw_arr_end(w);
	for (size_t i = 0; i < t->n_services; i++) {
		const struct map_service *s = &t->services[i];

		if (!is_visible(t, n, s))
			continue;
		snprintf(key, sizeof key, "services/%lld", (long long)s->id);
		jsonw_key_bytes(w, bytes_str(key)), jsonw_arr(w), jsonw_obj(w);
		jsonw_key(w, "Name"), jsonw_str(w, s->name);
		jsonw_key(w, "Addrs"), jsonw_arr(w);
		write_addr(w, s->v4);
		write_addr(w, s->v6);
		jsonw_arr_end(w);
		jsonw_key(w, "Ports"), jsonw_arr(w);
		for (size_t k = 0; k < s->n_ports; k++)
			if (strcmp(s->ports[k], "do-not-validate") != 0)
				jsonw_str(w, s->ports[k]);
		jsonw_arr_end(w);
		jsonw_obj_end(w), jsonw_arr_end(w);
	}
}

uint64_t map_services_hash(const struct map_tailnet *t, const struct map_node *viewer)
{
	struct buf out = buf_make(4 << 20);
	struct jsonw w = jsonw_init(&out);
	bool open = false;

	if (!t->n_services && (!t->n_apps || !t->n_connectors))
		return 0;
	jsonw_obj(&w);
	apps_write_routes(&w, t, viewer);
	services_write_records(&w, t, viewer, &open);
	if (open)
		jsonw_arr_end(&w);
	services_write_caps(&w, t, viewer);
	jsonw_obj_end(&w);
	/* Who sees none of it is as if there were none, and hears nothing when the first one is made. */
	uint64_t hash = out.bad ? 1 : bytes_eq_str(buf_view(&out), "{}") ? 0 : map_hash(buf_view(&out).p, buf_len(&out));
	buf_done(&out);
	return hash;
}
