#include "server/core/settings.h"

#include <stdio.h>

#include "common/base/cleanup.h"
#include "common/text/json.h"
#include "common/text/jsonw.h"
#include "server/dns_records.h"

/* Readers and writers of the DNS settings; the table is in settings.c. */

static err refuse(char *why, size_t why_cap, const char *what, const char *text)
{
	snprintf(why, why_cap, "\"%.80s\" %s", text, what);
	return ERR_INVALID;
}

static err read_checked(const char *text, int64_t max, struct arena *a, bool (*good)(const char *), const char *what,
		const char *const **out, size_t *n, char *why, size_t why_cap)
{
	const char **list;

	TRY(setting_read_list(text, max, a, &list, n, why, why_cap));
	for (size_t i = 0; i < *n; i++)
		if (!good(list[i]))
			return refuse(why, why_cap, what, list[i]);
	*out = list;
	return OK;
}

#define NO_RESOLVER "is neither an address nor an https:// URL"
#define NO_DOMAIN "is no domain name"

err dns_read_global(const char *text, struct arena *a, struct core_settings *out, char *why, size_t why_cap)
{
	return read_checked(text, DNS_LIST_MAX, a, dns_is_resolver, NO_RESOLVER, &out->resolvers, &out->n_resolvers, why, why_cap);
}

void dns_show_global(const struct core_settings *s, struct buf *out)
{
	setting_show_list(s->resolvers, s->n_resolvers, out);
}

err dns_read_with_exit(const char *text, struct arena *a, struct core_settings *out, char *why, size_t why_cap)
{
	bool all = strcmp(text, "true") == 0;

	out->exit_resolvers = NULL;
	out->n_exit_resolvers = 0;
	out->with_exit_node = all;
	if (all || strcmp(text, "false") == 0)
		return OK;
	return read_checked(text, DNS_LIST_MAX, a, dns_is_resolver, "is neither true, false nor a list of name servers", &out->exit_resolvers,
			&out->n_exit_resolvers, why, why_cap);
}

void dns_show_with_exit(const struct core_settings *s, struct buf *out)
{
	if (s->n_exit_resolvers)
		setting_show_list(s->exit_resolvers, s->n_exit_resolvers, out);
	else
		buf_append_str(out, s->with_exit_node ? "true" : "false");
}

err dns_read_search(const char *text, struct arena *a, struct core_settings *out, char *why, size_t why_cap)
{
	return read_checked(text, DNS_LIST_MAX, a, dns_is_domain, NO_DOMAIN, &out->search_domains, &out->n_search, why, why_cap);
}

void dns_show_search(const struct core_settings *s, struct buf *out)
{
	setting_show_list(s->search_domains, s->n_search, out);
}

err dns_read_filtered(const char *text, struct arena *a, struct core_settings *out, char *why, size_t why_cap)
{
	return read_checked(text, DNS_LIST_MAX, a, dns_is_filter, "is no lower-case domain name, with or without a dot before it",
			&out->exit_filtered, &out->n_exit_filtered, why, why_cap);
}

void dns_show_filtered(const struct core_settings *s, struct buf *out)
{
	setting_show_list(s->exit_filtered, s->n_exit_filtered, out);
}

static err read_split(const json_t *root, struct arena *a, struct core_settings *out, char *why, size_t why_cap)
{
	struct dns_split *split = arena_array(a, json_object_size(root) + 1, sizeof *split);
	const char *domain;
	json_t *list;
	size_t n = 0, i;

	if (!split)
		return ERR_NOMEM;
	json_object_foreach ((json_t *)(uintptr_t)root, domain, list) {
		if (!dns_is_domain(domain))
			return refuse(why, why_cap, NO_DOMAIN, domain);
		if (!json_is_array(list) || json_array_size(list) > DNS_LIST_MAX)
			return refuse(why, why_cap, "needs a list of name servers", domain);
		const char **resolvers = arena_array(a, json_array_size(list) + 1, sizeof *resolvers);
		split[n] = (struct dns_split){ arena_str(a, bytes_str(domain)), resolvers, json_array_size(list) };
		if (!resolvers || !split[n].domain)
			return ERR_NOMEM;
		json_t *item;
		json_array_foreach (list, i, item) {
			if (!json_is_string(item) || !dns_is_resolver(json_string_value(item)))
				return refuse(why, why_cap, NO_RESOLVER, json_is_string(item) ? json_string_value(item) : "?");
			resolvers[i] = arena_str(a, bytes_str(json_string_value(item)));
			if (!resolvers[i])
				return ERR_NOMEM;
		}
		n++;
	}
	out->split = split;
	out->n_split = n;
	return OK;
}

err dns_read_split(const char *text, struct arena *a, struct core_settings *out, char *why, size_t why_cap)
{
	json_auto_t *root = NULL;
	struct json_why jw = { 0 };

	if (json_parse_why(bytes_str(text), DNS_RECORDS_TEXT_MAX, 4, &root, &jw) != OK || !json_is_object(root) ||
			json_object_size(root) > DNS_LIST_MAX) {
		snprintf(why, why_cap, "a JSON object of at most %d domains is needed: {\"corp.example\": [\"10.0.0.53\"]}", DNS_LIST_MAX);
		return ERR_INVALID;
	}
	return read_split(root, a, out, why, why_cap);
}

void dns_show_split(const struct core_settings *s, struct buf *out)
{
	struct jsonw w = jsonw_init(out);

	jsonw_obj(&w);
	for (size_t i = 0; i < s->n_split; i++) {
		jsonw_key_bytes(&w, bytes_str(s->split[i].domain)), jsonw_arr(&w);
		for (size_t k = 0; k < s->split[i].n; k++)
			jsonw_str(&w, s->split[i].resolvers[k]);
		jsonw_arr_end(&w);
	}
	jsonw_obj_end(&w);
}

err dns_read_records(const char *text, struct arena *a, struct core_settings *out, char *why, size_t why_cap)
{
	return dns_records_parse(bytes_str(text), a, why, why_cap, &out->extra_records, &out->n_extra);
}

void dns_show_records(const struct core_settings *s, struct buf *out)
{
	struct jsonw w = jsonw_init(out);

	jsonw_arr(&w);
	for (size_t i = 0; i < s->n_extra; i++) {
		jsonw_obj(&w);
		jsonw_key(&w, "name"), jsonw_str(&w, s->extra_records[i].name);
		jsonw_key(&w, "type"), jsonw_str(&w, s->extra_records[i].type);
		jsonw_key(&w, "value"), jsonw_str(&w, s->extra_records[i].value);
		jsonw_obj_end(&w);
	}
	jsonw_arr_end(&w);
}

err dns_check(const struct core_settings *s, char *why, size_t why_cap)
{
	if (s->override_local_dns && !s->n_resolvers) {
		snprintf(why, why_cap, "dns.override_local_dns needs at least one of dns.nameservers.global, or clients resolve nothing");
		return ERR_INVALID;
	}
	if (s->base_domain && (s->magic_dns || *s->base_domain) && (!dns_is_domain(s->base_domain) || !dns_is_filter(s->base_domain)))
		return refuse(why, why_cap, "is no lower-case domain name", s->base_domain);
	if (s->server_url && s->base_domain && dns_holds_host(s->base_domain, s->server_url)) {
		snprintf(why, why_cap, "\"%.80s\" holds the host of server_url: clients could not reach the server by its name", s->base_domain);
		return ERR_INVALID;
	}
	return OK;
}
