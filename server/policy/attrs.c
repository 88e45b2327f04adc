#include <stdlib.h>

#include "common/base/cleanup.h"
#include "common/text/jsonw.h"
#include "server/policy/rules.h"

static bool is_target(const struct node_attr *a, const struct facts *f)
{
	for (size_t i = 0; i < a->n_targets; i++)
		if (class_has(f->by_who, f->n_who, a->target[i]))
			return true;
	return false;
}

size_t policy_ip_pools(const struct policy *p, const struct policy_node *n, struct policy_pool *out, size_t max)
{
	size_t k = 0;

	for (size_t i = 0; i < p->n_attrs; i++) {
		const struct node_attr *a = &p->attr[i];
		bool is_meant = false;

		for (size_t t = 0; a->n_pools && !is_meant && t < a->n_targets; t++)
			is_meant = sel_matches(p->sel[a->target[t]], n);
		for (size_t r = 0; is_meant && r < a->n_pools && k < max; r++)
			out[k++] = (struct policy_pool){ a->pool[r].first, a->pool[r].last };
	}
	return k;
}

const struct dns_record *policy_dns_records(const struct policy *p, size_t *n)
{
	*n = p->n_dns_records;
	return p->dns_record;
}

const struct policy_app *policy_apps(const struct policy *p, size_t *n)
{
	*n = p->n_apps;
	return p->app;
}

bool policy_app_has(const struct policy_app *app, char *const *tags, size_t n_tags)
{
	for (size_t i = 0; i < app->n_connectors; i++) {
		if (strcmp(app->connectors[i], "*") == 0)
			return true;
		for (size_t k = 0; k < n_tags; k++)
			if (strcmp(app->connectors[i], tags[k]) == 0)
				return true;
	}
	return false;
}

struct bytes policy_derp_map(const struct policy *p)
{
	return p->derp_map;
}

bool attrs_disable_ipv4(const struct policy *p, const struct facts *f)
{
	if (p->disable_ipv4)
		return true;
	for (size_t i = 0; i < p->n_attrs; i++)
		if (p->attr[i].disable_ipv4 && is_target(&p->attr[i], f))
			return true;
	return false;
}

static void write_cap(struct jsonw *w, const char *name, const char *values)
{
	jsonw_key_bytes(w, bytes_str(name));
	jsonw_raw(w, bytes_str(values));
}

void attrs_write(const struct policy *p, const struct facts *f, struct buf *out)
{
	struct jsonw w = jsonw_init(out);
	bool randomize = p->randomize_port, no_ipv4 = p->disable_ipv4;
	CLEANUP(freep) uint64_t *given = calloc(p->n_attr_names / 64 + 1, sizeof *given); /* the first of a name stands */

	if (!given) {
		out->bad = true;
		return;
	}
	for (size_t i = 0; i < p->n_attrs; i++) {
		const struct node_attr *a = &p->attr[i];

		if (!is_target(a, f))
			continue;
		for (size_t k = 0; k < a->n; k++) {
			if (bit_has(given, a->name_id[k]))
				continue;
			bit_set(given, a->name_id[k]);
			write_cap(&w, a->name[k], a->values[k]);
			randomize &= strcmp(a->name[k], "randomize-client-port") != 0;
			no_ipv4 &= strcmp(a->name[k], "disable-ipv4") != 0;
		}
	}
	if (randomize)
		write_cap(&w, "randomize-client-port", "null");
	if (no_ipv4)
		write_cap(&w, "disable-ipv4", "null");
	if (p->one_cgnat)
		write_cap(&w, p->one_cgnat > 0 ? "one-cgnat?v=true" : "one-cgnat?v=false", "null");
}

bool policy_pool_has(const struct policy *p, struct addr a)
{
	for (size_t i = 0; i < p->n_attrs; i++)
		for (size_t r = 0; r < p->attr[i].n_pools; r++)
			if (a.family == p->attr[i].pool[r].first.family && addr_cmp(p->attr[i].pool[r].first, a) <= 0 &&
					addr_cmp(a, p->attr[i].pool[r].last) <= 0)
				return true;
	return false;
}
