#include <stdio.h>

#include "common/base/buf.h"
#include "common/base/cleanup.h"
#include "server/config_table.h"

enum { SHOW_MAX = 4 << 20 };

/* ---- values as TOML ---- */

static void put_text(struct buf *b, const char *text)
{
	buf_append_u8(b, '"');
	for (const char *c = text; *c; c++) {
		if (*c == '"' || *c == '\\')
			buf_printf(b, "\\%c", *c);
		else if ((unsigned char)*c < 0x20 || *c == 0x7f)
			buf_printf(b, "\\u%04x", (unsigned)*c);
		else
			buf_append_u8(b, (uint8_t)*c);
	}
	buf_append_u8(b, '"');
}

static void put_texts(struct buf *b, const char *const *s, size_t n)
{
	buf_append_u8(b, '[');
	for (size_t i = 0; i < n; i++) {
		buf_append_str(b, i ? ", " : "");
		put_text(b, s[i]);
	}
	buf_append_u8(b, ']');
}

static void put_duration(struct buf *b, int64_t ms)
{
	static const struct {
		int64_t ms;
		const char *unit;
	} units[] = { { 86400000, "d" }, { 3600000, "h" }, { 60000, "m" }, { 1000, "s" }, { 1, "ms" } };
	size_t i = 0;

	while (ms && ms % units[i].ms)
		i++;
	if (!ms)
		i = 3;
	buf_printf(b, "\"%lld%s\"", (long long)(ms / units[i].ms), units[i].unit);
}

static void put_split(struct buf *b, const struct config *c)
{
	buf_append_u8(b, '{');
	for (size_t i = 0; i < c->dns.n_split; i++) {
		buf_append_str(b, i ? ", " : " ");
		put_text(b, c->dns.split[i].domain);
		buf_append_str(b, " = ");
		put_texts(b, c->dns.split[i].resolvers, c->dns.split[i].n);
	}
	buf_append_str(b, c->dns.n_split ? " }" : "}");
}

/* Those that came from a file of their own stay there. */
static void put_records(struct buf *b, const struct config *c)
{
	size_t n = c->dns.extra_records_path[0] ? 0 : c->dns.n_extra;

	buf_append_u8(b, '[');
	for (size_t i = 0; i < n; i++) {
		buf_append_str(b, i ? ", { name = " : "{ name = ");
		put_text(b, c->dns.extra_records[i].name);
		buf_append_str(b, ", type = ");
		put_text(b, c->dns.extra_records[i].type);
		buf_append_str(b, ", value = ");
		put_text(b, c->dns.extra_records[i].value);
		buf_append_str(b, " }");
	}
	buf_append_u8(b, ']');
}

static void put_params(struct buf *b, const struct config_list *list)
{
	buf_append_u8(b, '{');
	for (size_t i = 0; i + 1 < list->n; i += 2) {
		buf_append_str(b, i ? ", " : " ");
		put_text(b, list->s[i]);
		buf_append_str(b, " = ");
		put_text(b, list->s[i + 1]);
	}
	buf_append_str(b, list->n ? " }" : "}");
}

static void put_value(struct buf *b, const struct config_key *k, const struct config *c);

static void put_providers(struct buf *b, const struct config *c)
{
	buf_append_u8(b, '[');
	for (size_t i = 0; i < c->n_oidc_more; i++) {
		struct config one = { .oidc = c->oidc_more[i] };
		bool first = true;

		buf_append_str(b, i ? ", { " : "{ ");
		for (size_t k = 0; k < config_keys_n; k++) {
			if (!config_is_provider_key(&config_keys[k]))
				continue;
			buf_printf(b, "%s%s = ", first ? "" : ", ", config_keys[k].path + strlen("oidc."));
			put_value(b, &config_keys[k], &one);
			first = false;
		}
		buf_append_str(b, " }");
	}
	buf_append_u8(b, ']');
}

static void put_value(struct buf *b, const struct config_key *k, const struct config *c)
{
	const void *at = config_field_const(k, c);
	const struct config_list *list = at;

	switch (k->type) {
	case KEY_TEXT:
	case KEY_CHOICE:
		put_text(b, *(const char *const *)at);
		return;
	case KEY_INT:
		buf_printf(b, "%lld", (long long)*(const int64_t *)at);
		return;
	case KEY_BOOL:
		buf_append_str(b, *(const bool *)at ? "true" : "false");
		return;
	case KEY_DURATION:
		put_duration(b, *(const int64_t *)at);
		return;
	case KEY_MODE:
		buf_printf(b, "\"%04llo\"", (unsigned long long)*(const int64_t *)at);
		return;
	case KEY_LIST:
	case KEY_MANAGED:
		put_texts(b, list->s, list->n);
		return;
	case KEY_SPLIT:
		put_split(b, c);
		return;
	case KEY_RECORDS:
		put_records(b, c);
		return;
	case KEY_SECRET:
		put_text(b, (*(const char *const *)at)[0] ? "(hidden)" : "");
		return;
	case KEY_PARAMS:
		put_params(b, list);
		return;
	case KEY_PROVIDERS:
		put_providers(b, c);
		return;
	}
}

/* NUL-terminated and owned; NULL when memory was short. */
static char *take_text(struct buf *b)
{
	buf_append_u8(b, 0);
	char *text = b->bad ? NULL : bytes_dup(buf_view(b));
	buf_done(b);
	return text;
}

char *config_show(const struct config *c)
{
	struct buf b = buf_make(SHOW_MAX);
	char table[64] = "";

	for (size_t i = 0; i < config_keys_n; i++) {
		const char *path = config_keys[i].path, *dot = strrchr(path, '.');
		int n = dot ? (int)(dot - path) : 0;
		if ((size_t)n != strlen(table) || strncmp(table, path, (size_t)n) != 0) {
			snprintf(table, sizeof table, "%.*s", n, path);
			buf_printf(&b, "\n[%s]\n", table);
		}
		buf_printf(&b, "%s = ", dot ? dot + 1 : path);
		put_value(&b, &config_keys[i], c);
		buf_append_u8(&b, '\n');
	}
	return take_text(&b);
}

char *config_needs_restart(const struct config *now, const struct config *wanted)
{
	struct buf names = buf_make(SHOW_MAX);

	for (size_t i = 0; i < config_keys_n; i++) {
		struct buf a = buf_make(SHOW_MAX), b = buf_make(SHOW_MAX);
		put_value(&a, &config_keys[i], now);
		put_value(&b, &config_keys[i], wanted);
		if (!config_keys[i].live && !bytes_eq(buf_view(&a), buf_view(&b)))
			buf_printf(&names, "%s%s", buf_len(&names) ? ", " : "", config_keys[i].path);
		names.bad |= a.bad || b.bad;
		buf_done(&a);
		buf_done(&b);
	}
	return take_text(&names);
}

/* ---- for the core ---- */

static struct prefix pool(const char *text)
{
	struct prefix p = { 0 };

	if (text[0] && prefix_parse(bytes_str(text), &p) != OK)
		return (struct prefix){ 0 };
	return prefix_mask(p);
}

void config_core_settings(const struct config *c, const struct tailcfg_derp_map *derp_map, struct core_settings *out)
{
	*out = (struct core_settings){
		.server_url = c->server_url,
		.base_domain = c->dns.base_domain,
		.domain = c->dns.base_domain,
		.v4 = pool(c->prefixes.v4),
		.v6 = pool(c->prefixes.v6),
		.own_region = c->derp_server.enabled ? (int)c->derp_server.region_id : 0,
		.only_own_region = c->derp_server.enabled && derp_map && derp_map->n_regions == 1,
		.random_allocation = strcmp(c->prefixes.allocation, "random") == 0,
		.magic_dns = c->dns.magic_dns,
		.override_local_dns = c->dns.override_local_dns,
		.resolvers = c->dns.global.s,
		.n_resolvers = c->dns.global.n,
		.split = c->dns.split,
		.n_split = c->dns.n_split,
		.search_domains = c->dns.search_domains.s,
		.n_search = c->dns.search_domains.n,
		.extra_records = c->dns.extra_records,
		.n_extra = c->dns.n_extra,
		.with_exit_node = c->dns.use_with_exit_node,
		.exit_filtered = c->dns.exit_node_filtered.s,
		.n_exit_filtered = c->dns.exit_node_filtered.n,
		.probe_interval_ms = c->probe_interval_ms,
		.probe_timeout_ms = c->probe_timeout_ms,
		.derp_map = derp_map,
		.node_expiry_ms = c->node_expiry_ms,
		.ephemeral_timeout_ms = c->ephemeral_timeout_ms,
		.offline_grace_ms = c->offline_grace_ms,
		.restart_grace_ms = c->restart_grace_ms,
		.announce_wait_ms = 2000,
		.pending_ttl_ms = 7LL * 24 * 3600 * 1000,
		.max_pending = (size_t)c->limits.max_pending_logins,
		.max_pending_per_addr = (size_t)c->limits.max_pending_logins_per_address,
		.max_nodes = (size_t)c->limits.max_nodes,
		.issuers_private = c->issuers_private,
		.taildrop = c->taildrop,
		.logtail = c->logtail,
		.auto_update_default = c->auto_update,
		.randomize_client_port = c->randomize_client_port,
		.audit_retention_ms = c->audit_retention_ms,
		.audit_max = c->audit_max,
		.devices_approval = c->devices_approval,
		.users_approval = c->users_approval,
		.own_attributes = c->own_attributes.s,
		.n_own_attributes = c->own_attributes.n,
		.managed = c->managed_keys,
		.n_managed = c->managed.n,
		.config_file = c->file,
		.min_capver = 113, /* Tailscale 1.80 */
	};
}
