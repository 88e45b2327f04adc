/* VIP services, computed the simple way: who carries one, who may reach it, and what its clients must have heard of it. */
#include <stdio.h>

#include <jansson.h>

#include "common/base/cleanup.h"
#include "tests/sim/client.h"

static bool may_carry(const struct node *n, struct addr a)
{
	for (size_t i = 0; i < n->n_cand; i++)
		if (prefix_cmp(n->cand[i], addr_prefix(a)) == 0)
			return true;
	return false;
}

static bool carries(const struct node *n, struct addr a)
{
	for (size_t i = 0; i < n->n_serving; i++)
		if (prefix_cmp(n->serving[i], addr_prefix(a)) == 0)
			return true;
	return false;
}

static bool reaches(struct world *w, struct policy_view *fresh, const struct node *n, struct addr a)
{
	struct tailnet *t = w->core->tailnets[0];

	for (size_t i = 0; a.family && i < t->map.n_slots; i++) {
		struct node *host = t->map.nodes[i] ? container_of(t->map.nodes[i], struct node, m) : NULL;
		if (host && carries(host, a))
			return host == n || policy_view_shows_route(fresh, n->row.id, host->row.id, addr_prefix(a), host->row.id);
	}
	return false;
}

static void add_record(json_t *dns, const char *label, const char *base, struct addr a)
{
	json_t *list = json_object_get(dns, "ExtraRecords");
	char text[ADDR_TEXT_MAX], name[300];

	if (!list) {
		list = json_array();
		json_object_set_new(dns, "ExtraRecords", list);
	}
	snprintf(name, sizeof name, "%s.%s", label, base);
	json_t *r = json_pack("{s:s,s:s}", "Name", name, "Value", addr_text(a, text));
	if (a.family == 6)
		json_object_set_new(r, "Type", json_string("AAAA"));
	json_array_append_new(list, r);
}

static bool is_visible(struct world *w, struct policy_view *fresh, const struct node *n, const struct service *s)
{
	return n->m.announced && (reaches(w, fresh, n, s->row.v4) || reaches(w, fresh, n, s->row.v6));
}

void naive_service_records(struct world *w, struct policy_view *fresh, const struct node *n, json_t *dns)
{
	int64_t last = 0;

	for (;;) { /* by id */
		struct service *next = NULL;
		size_t at = 0;
		for (struct service *s; (s = map_next(&w->core->services, &at));)
			if (s->row.id > last && (!next || s->row.id < next->row.id))
				next = s;
		if (!next)
			return;
		last = next->row.id;
		if (!is_visible(w, fresh, n, next))
			continue;
		add_record(dns, next->row.name + 4, n->t->map.set->base_domain, next->row.v4);
		add_record(dns, next->row.name + 4, n->t->map.set->base_domain, next->row.v6);
	}
}

static bool approved(struct world *w, const struct service *s, const struct node *n)
{
	struct node_facts f;
	char id[24];

	snprintf(id, sizeof id, "%lld", (long long)n->row.id);
	for (size_t i = 0; i < s->row.n_approved; i++)
		if (strcmp(s->row.approved[i], id) == 0)
			return true;
	node_facts(w->core, n, &f);
	return policy_approves_service(n->t->policy, &f.node, s->row.name, NULL, 0);
}

static bool advertised(const struct service *s, const struct node *n)
{
	char id[24];

	snprintf(id, sizeof id, "%lld", (long long)n->row.id);
	for (size_t i = 0; i < s->row.n_hosts; i++)
		if (strcmp(s->row.hosts[i], id) == 0)
			return true;
	return false;
}

bool naive_hosts(struct world *w, const struct node *n, struct prefix p)
{
	size_t at = 0;

	for (struct service *s; n->shut == SHUT_NO && !n->m.expired && (s = map_next(&w->core->services, &at));)
		if ((prefix_cmp(addr_prefix(s->row.v4), p) == 0 || prefix_cmp(addr_prefix(s->row.v6), p) == 0) && advertised(s, n) && approved(w, s, n))
			return true;
	return false;
}

void check_services(struct world *w, struct policy_view *fresh, struct client *c, const struct node *n)
{
	const json_t *caps = json_object_get(json_object_get(c->stream->map, "Node"), "CapMap");
	const json_t *host = json_array_get(json_object_get(caps, "service-host"), 0);
	size_t at = 0;

	for (struct service *s; (s = map_next(&w->core->services, &at));) {
		bool visible = is_visible(w, fresh, n, s);
		bool hosts = n->shut == SHUT_NO && !n->m.expired && advertised(s, n) && approved(w, s, n);
		char key[40];

		snprintf(key, sizeof key, "services/%lld", (long long)s->row.id);
		if (visible != (json_object_get(caps, key) != NULL))
			world_fail(w, "client %zu (node %lld) %s of %s", c->index, (long long)n->row.id, visible ? "did not hear" : "should not hear",
					s->row.name);
		if (hosts != may_carry(n, s->row.v4) || hosts != (json_object_get(host, s->row.name) != NULL))
			world_fail(w, "node %lld %s host of %s, and the core or its client thinks otherwise", (long long)n->row.id,
					hosts ? "is a" : "is no", s->row.name);
	}
}
