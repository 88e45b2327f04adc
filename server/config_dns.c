#include <ctype.h>
#include <errno.h>
#include <stdio.h>

#include "common/base/arena.h"
#include "common/base/cleanup.h"
#include "common/text/json.h"
#include "common/text/toml.h"
#include "server/config_table.h"

enum { RECORDS_FILE_MAX = 1 << 20, DOMAIN_MAX = 253 };

bool config_is_resolver(const char *text)
{
	struct addr a;
	struct addrport ap;

	return addr_parse(bytes_str(text), &a) == OK || addrport_parse(bytes_str(text), &ap) == OK ||
	       (strncmp(text, "https://", 8) == 0 && text[8]);
}

/* Labels of letters, digits, "-" and "_", joined by single dots. */
bool config_is_domain(const char *text)
{
	size_t label = 0, n = strlen(text);

	for (size_t i = 0; i < n; i++) {
		if (text[i] == '.') {
			if (!label)
				return false;
			label = 0;
		} else if ((!isalnum((unsigned char)text[i]) && text[i] != '-' && text[i] != '_') || ++label > 63) {
			return false;
		}
	}
	return label && n <= DOMAIN_MAX;
}

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
		if (!config_is_domain(d->key) || d->kind != TOML_ARRAY)
			return config_wrong(l, d, "dns.nameservers.split: '%s' must be a domain with a list of addresses", d->key);
		const char **resolvers = arena_array(l->arena, d->list.n + 1, sizeof *resolvers);
		if (!resolvers)
			return ERR_NOMEM;
		split[n] = (struct dns_split){ .domain = d->key, .resolvers = resolvers };
		for (const struct toml *r = d->list.first; r; r = r->next) {
			if (r->kind != TOML_STRING || !config_is_resolver((const char *)r->s.p))
				return config_wrong(l, r, "dns.nameservers.split.%s: an address or https:// URL is needed", d->key);
			resolvers[split[n].n++] = (const char *)r->s.p;
		}
		n++;
	}
	l->c->dns.split = split;
	l->c->dns.n_split = n;
	return OK;
}

/* NULL: fine; else what is wrong with it. */
static const char *record_fault(const struct dns_record *r)
{
	bool is_a = strcmp(r->type, "A") == 0, is_aaaa = strcmp(r->type, "AAAA") == 0;
	struct addr a;

	if (!config_is_domain(r->name))
		return "name must be a domain name";
	if (!is_a && !is_aaaa)
		return "type must be \"A\" or \"AAAA\"";
	if (addr_parse(bytes_str(r->value), &a) != OK || a.family != (is_a ? 4 : 6))
		return is_a ? "value must be an IPv4 address" : "value must be an IPv6 address";
	return NULL;
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
		const char *fault = record_fault(&list[n++]);
		if (fault)
			return config_wrong(l, item, "dns.extra_records: %s", fault);
	}
	l->c->dns.extra_records = list;
	l->c->dns.n_extra = n;
	return OK;
}

/* A JSON list of {"name", "type", "value"}, as Headscale reads it. */
static err parse_records(struct config_load *l, struct bytes text, const char *path)
{
	CLEANUP(json_decrefp) json_t *root = NULL;
	struct json_why why = { 0 };

	err e = json_parse_why(text, RECORDS_FILE_MAX, 8, &root, &why);
	if (e != OK)
		return config_wrong(l, NULL, "dns.extra_records_path: %s: %s", path, why.text);
	struct json_at at = json_root(root, &why);
	size_t n = json_count(&at, EXTRA_RECORDS_MAX);
	struct dns_record *list = arena_array(l->arena, n + 1, sizeof *list);
	if (!list)
		return ERR_NOMEM;
	for (size_t i = 0; i < n && why.e == OK; i++) {
		struct json_at item = json_item(&at, i);
		struct dns_record r = { json_str(&item, "name", DOMAIN_MAX), json_str(&item, "type", 8), json_str(&item, "value", 64) };
		const char *fault = record_fault(&r);
		if (fault)
			return config_wrong(l, NULL, "dns.extra_records_path: %s: record %zu: %s", path, i + 1, fault);
		list[i] = (struct dns_record){ arena_str(l->arena, bytes_str(r.name)), arena_str(l->arena, bytes_str(r.type)),
					       arena_str(l->arena, bytes_str(r.value)) };
		if (!list[i].name || !list[i].type || !list[i].value)
			return ERR_NOMEM;
	}
	if (why.e != OK)
		return config_wrong(l, NULL, "dns.extra_records_path: %s: %s", path, why.text);
	l->c->dns.extra_records = list;
	l->c->dns.n_extra = n;
	return OK;
}

err config_read_records_file(struct config_load *l)
{
	const char *path = l->c->dns.extra_records_path;

	if (!path[0])
		return OK;
	FILE *f = fopen(path, "re");
	if (!f)
		return config_wrong(l, toml_get(l->root, "dns.extra_records_path"), "dns.extra_records_path: %s: %s", path,
				strerror(errno));
	char *text = arena_alloc(l->arena, RECORDS_FILE_MAX + 1);
	size_t n = text ? fread(text, 1, RECORDS_FILE_MAX + 1, f) : 0;
	fclose(f);
	return text ? parse_records(l, bytes_of(text, n), path) : ERR_NOMEM;
}
