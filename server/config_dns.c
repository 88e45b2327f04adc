#include <ctype.h>
#include <errno.h>
#include <stdio.h>

#include "common/base/arena.h"
#include "common/base/cleanup.h"
#include "common/text/json.h"
#include "common/text/toml.h"
#include "server/config_table.h"
#include "server/dns_records.h"

err config_read_split(struct config_load *l, struct toml *t)
{
	if (t->kind != TOML_TABLE)
		return config_wrong(l, t, "dns.nameservers.split must be a table: \"corp.example\" = [\"10.0.0.1\"]");
	toml_use_all(t);
	if (t->list.n > DNS_LIST_MAX)
		return config_wrong(l, t, "dns.nameservers.split takes at most %d domains", DNS_LIST_MAX);
	struct dns_split *split = arena_array(l->arena, t->list.n + 1, sizeof *split);
	size_t n = 0;
	if (!split)
		return ERR_NOMEM;
	for (const struct toml *d = t->list.first; d; d = d->next) {
		if (!dns_is_domain(d->key) || d->kind != TOML_ARRAY)
			return config_wrong(l, d, "dns.nameservers.split: '%s' must be a domain with a list of addresses", d->key);
		const char **resolvers = arena_array(l->arena, d->list.n + 1, sizeof *resolvers);
		if (!resolvers)
			return ERR_NOMEM;
		split[n] = (struct dns_split){ .domain = d->key, .resolvers = resolvers };
		for (const struct toml *r = d->list.first; r; r = r->next) {
			if (r->kind != TOML_STRING || !dns_is_resolver((const char *)r->s.p))
				return config_wrong(l, r, "dns.nameservers.split.%s: an address or https:// URL is needed", d->key);
			resolvers[split[n].n++] = (const char *)r->s.p;
		}
		n++;
	}
	l->c->dns.split = split;
	l->c->dns.n_split = n;
	return OK;
}

static const char *text_member(struct toml *t, const char *key)
{
	struct toml *v = toml_child(t, bytes_str(key));

	return v && v->kind == TOML_STRING ? (const char *)v->s.p : "";
}

err config_read_records(struct config_load *l, struct toml *t)
{
	if (t->kind != TOML_ARRAY)
		return config_wrong(l, t, "dns.extra_records must be a list: [[dns.extra_records]] with name, type, value");
	toml_use_all(t);
	if (t->list.n > EXTRA_RECORDS_MAX)
		return config_wrong(l, t, "dns.extra_records takes at most %d records", EXTRA_RECORDS_MAX);
	struct dns_record *list = arena_array(l->arena, t->list.n + 1, sizeof *list);
	size_t n = 0;
	if (!list)
		return ERR_NOMEM;
	for (struct toml *item = t->list.first; item; item = item->next) {
		if (item->kind != TOML_TABLE)
			return config_wrong(l, item, "dns.extra_records: a record needs name, type and value");
		list[n] = (struct dns_record){ text_member(item, "name"), text_member(item, "type"), text_member(item, "value") };
		char why[200];
		err e = dns_record_check(&list[n++], l->arena, why, sizeof why);
		if (e == ERR_INVALID)
			return config_wrong(l, item, "dns.extra_records: %s", why);
		TRY(e);
	}
	l->c->dns.extra_records = list;
	l->c->dns.n_extra = n;
	return OK;
}
