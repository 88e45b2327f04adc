#include <stdlib.h>

#include "common/base/cleanup.h"
#include "server/policy/check.h"

/* VIP services in a policy: a name that stands for the two addresses of the service. */

struct policy_services {
	_Atomic unsigned refs;
	struct arena arena; /* owns the list and its names */
	struct policy_service *list;
	size_t n;
};

err policy_services_new(const struct policy_service *list, size_t n, struct policy_services **out)
{
	struct policy_services *s = calloc(1, sizeof *s);

	if (!s)
		return ERR_NOMEM;
	atomic_init(&s->refs, 1);
	s->arena = arena_make(0);
	s->list = arena_array(&s->arena, n + 1, sizeof *s->list);
	for (size_t i = 0; s->list && i < n; i++) {
		s->list[i] = list[i];
		s->list[i].name = arena_str(&s->arena, bytes_str(list[i].name));
		if (!s->list[i].name)
			s->list = NULL;
	}
	if (!s->list) {
		policy_services_unref(s);
		return ERR_NOMEM;
	}
	s->n = n;
	*out = s;
	return OK;
}

bool policy_services_are(const struct policy_services *s, const struct policy_service *list, size_t n)
{
	bool same = s ? s->n == n : !n;

	for (size_t i = 0; s && same && i < n; i++)
		same = strcmp(s->list[i].name, list[i].name) == 0 && addr_eq(s->list[i].v4, list[i].v4) && addr_eq(s->list[i].v6, list[i].v6);
	return same;
}

struct policy_services *policy_services_ref(struct policy_services *s)
{
	if (s)
		atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
	return s;
}

void policy_services_unref(struct policy_services *s)
{
	if (!s || atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) != 1)
		return;
	arena_done(&s->arena);
	free(s);
}

bool check_is_service(const char *name)
{
	size_t n = strlen(name);

	if (!starts_with(name, "svc:") || n < 5 || n > 4 + 63 || name[4] == '-' || name[n - 1] == '-')
		return false;
	return strspn(name + 4, "abcdefghijklmnopqrstuvwxyz0123456789-") == n - 4;
}

/* A service that is not defined yet has no addresses: the rule takes effect when it is. */
bool parse_service(struct check *c, const struct syntax *at, struct sel *out, const char *where)
{
	struct range *r = check_array(c, 2, sizeof *r);

	if (strcmp(where, "src") == 0) {
		FAULT(c, at, "%s=\"%s\": a service is a destination: it opens no connections", where, out->name);
		return false;
	}
	if (!check_is_service(out->name)) {
		FAULT(c, at, "%s=\"%s\" is no service: svc: and a DNS label in lower case, as in \"svc:web\"", where, out->name);
		return false;
	}
	if (!r)
		return false;
	out->kind = SEL_RANGES;
	out->ranges = r;
	c->p->names_services = true;
	for (size_t i = 0; c->services && i < c->services->n; i++) {
		const struct policy_service *s = &c->services->list[i];
		if (strcmp(s->name, out->name) != 0)
			continue;
		if (s->v4.family)
			r[out->n_ranges++] = range_of(addr_prefix(s->v4));
		if (s->v6.family)
			r[out->n_ranges++] = range_of(addr_prefix(s->v6));
	}
	return true;
}

bool policy_names_services(const struct policy *p)
{
	return p->names_services;
}
