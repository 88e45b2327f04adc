#include "server/core/settings.h"

#include <stddef.h>
#include <stdio.h>

#include "common/base/cleanup.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/text/json.h"
#include "common/text/jsonw.h"
#include "server/core/state.h"
#include "server/suggest.h"

#define AT(field) offsetof(struct core_settings, field)
#define BOOL(key, field, effects, help) { key, SETTING_BOOL, AT(field), 0, 0, 0, effects, help, NULL, NULL, NULL }
#define DURATION(key, field, min, max, effects, help) { key, SETTING_DURATION, AT(field), 0, min, max, effects, help, NULL, NULL, NULL }

enum { SECOND = 1000, HOUR = 3600 * SECOND, SETTING_TEXT_MAX = 1 << 20, CONTACT_MAX = 254, LINK_MAX = 2000 };
#define YEAR (365LL * 24 * HOUR)

static bool is_contact(const char *text)
{
	const char *at = text && *text ? strchr(text, '@') : NULL;

	return !text || !*text || (at && at > text && at[1] && !strpbrk(text, " \t<>\"(),;:\\"));
}

static err check_contacts(const struct core_settings *s, char *why, size_t why_cap)
{
	if (is_contact(s->contact_account) && is_contact(s->contact_support) && is_contact(s->contact_security))
		return OK;
	snprintf(why, why_cap, "a mail address is needed, or nothing");
	return ERR_INVALID;
}

/* A page, for a person to open: nothing else may hide behind a link of the console. */
static err check_link(const struct core_settings *s, char *why, size_t why_cap)
{
	const char *text = s->policy_external_link ? s->policy_external_link : "";
	size_t scheme = strncmp(text, "https://", 8) == 0 ? 8 : strncmp(text, "http://", 7) == 0 ? 7 : 0;

	if (!*text || (scheme && text[scheme] && text[scheme] != '/' && !strpbrk(text, " \t\"<>\\")))
		return OK;
	snprintf(why, why_cap, "an https:// or http:// URL is needed, or nothing");
	return ERR_INVALID;
}

const struct setting_def setting_defs[] = {
	DURATION("node.expiry", node_expiry_ms, 0, 100 * YEAR, 0, "key expiry of nodes that people log in from now on; 0s: never"),
	DURATION("node.ephemeral.inactivity_timeout", ephemeral_timeout_ms, 65 * SECOND, YEAR, EFFECT_EPHEMERAL,
		"ephemeral nodes are deleted this long after they went offline"),
	BOOL("devices_approval", devices_approval, EFFECT_GATE, "new devices wait until an administrator approves them"),
	BOOL("users_approval", users_approval, EFFECT_GATE, "who signs in for the first time waits until an administrator approves them"),
	{ "node.own_attributes", SETTING_LIST, AT(own_attributes), AT(n_own_attributes), 0, 64, 0,
	  "attributes that devices may set of themselves: [\"custom:x\"], [\"*\"] for all", NULL, NULL, NULL },
	{ .key = "contacts.account", .type = SETTING_TEXT, .offset = AT(contact_account), .max = CONTACT_MAX, .check = check_contacts,
	  .help = "mail address of who runs this server; shown to who is refused, where there is no contacts.support" },
	{ .key = "contacts.support", .type = SETTING_TEXT, .offset = AT(contact_support), .max = CONTACT_MAX, .check = check_contacts,
	  .help = "mail address that is shown to who is refused: whom to ask" },
	{ .key = "contacts.security", .type = SETTING_TEXT, .offset = AT(contact_security), .max = CONTACT_MAX, .check = check_contacts,
	  .help = "mail address for reports of weaknesses, told at /.well-known/security.txt" },
	BOOL("policy.externally_managed", policy_external, 0, "the policy is kept elsewhere, and put here by a key or the command line: the console does not change it"),
	{ .key = "policy.external_link", .type = SETTING_TEXT, .offset = AT(policy_external_link), .max = LINK_MAX, .check = check_link,
	  .help = "where the policy is kept then, for people who look for it in the console" },
	BOOL("taildrop.enabled", taildrop, EFFECT_SELF, "sending files between nodes of one user"),
	BOOL("auto_update.enabled", auto_update_default, EFFECT_SELF, "clients without a choice of their own update themselves"),
	BOOL("randomize_client_port", randomize_client_port, EFFECT_SELF, "clients choose a random WireGuard port"),
	{ .key = "dns.magic_dns", .type = SETTING_BOOL, .offset = AT(magic_dns), .effects = EFFECT_DNS, .help = "names for nodes" },
	{ .key = "dns.base_domain", .type = SETTING_TEXT, .offset = AT(base_domain), .max = 253, .effects = EFFECT_NAMES,
	  .check = dns_check, .help = "nodes are called NAME.base_domain" },
	{ .key = "dns.override_local_dns", .type = SETTING_BOOL, .offset = AT(override_local_dns), .effects = EFFECT_DNS,
	  .check = dns_check, .help = "clients ask only the global name servers, not those of their own network" },
	{ .key = "dns.nameservers.global", .type = SETTING_CUSTOM, .effects = EFFECT_DNS, .read = dns_read_global,
	  .show = dns_show_global, .check = dns_check, .help = "addresses, or https:// URLs" },
	{ .key = "dns.nameservers.split", .type = SETTING_CUSTOM, .effects = EFFECT_DNS, .read = dns_read_split, .show = dns_show_split,
	  .help = "name servers of one domain each" },
	{ .key = "dns.search_domains", .type = SETTING_CUSTOM, .effects = EFFECT_DNS, .read = dns_read_search, .show = dns_show_search,
	  .help = "domains in which short names are looked for" },
	{ .key = "dns.extra_records", .type = SETTING_CUSTOM, .effects = EFFECT_DNS, .read = dns_read_records, .show = dns_show_records,
	  .help = "further names with addresses" },
	{ .key = "dns.use_with_exit_node", .type = SETTING_CUSTOM, .effects = EFFECT_DNS, .read = dns_read_with_exit, .show = dns_show_with_exit,
	  .help = "the global name servers are asked also by who uses an exit node; a list: those servers, of split DNS, too" },
	{ .key = "dns.exit_node_filtered", .type = SETTING_CUSTOM, .effects = EFFECT_DNS, .read = dns_read_filtered,
	  .show = dns_show_filtered, .help = "names that exit nodes do not look up for others; .example.com: all below" },
	{ .key = "derp.regions", .type = SETTING_CUSTOM, .effects = EFFECT_DERP, .read = derp_read_regions, .show = derp_show_regions,
	  .help = "relays that joined the running server, by region number, over those of the configuration" },
	DURATION("node.routes.ha.probe_interval", probe_interval_ms, 0, HOUR, EFFECT_ROUTES,
		"routers that stand in for each other are asked this often whether they live; 0s: never"),
	DURATION("node.routes.ha.probe_timeout", probe_timeout_ms, 100, 60 * SECOND, EFFECT_ROUTES, "and must answer within this"),
};
const size_t setting_defs_n = ARRAY_LEN(setting_defs);

const struct setting_def *setting_def_by_key(const char *key)
{
	for (size_t i = 0; i < setting_defs_n; i++)
		if (strcmp(setting_defs[i].key, key) == 0)
			return &setting_defs[i];
	return NULL;
}

/* "dns" manages dns.magic_dns and all else below it. */
const struct setting_managed *setting_managed(const struct core_settings *s, const char *key)
{
	for (size_t i = 0; i < s->n_managed; i++) {
		size_t n = strlen(s->managed[i].key);
		if (strncmp(s->managed[i].key, key, n) == 0 && (!key[n] || key[n] == '.'))
			return &s->managed[i];
	}
	return NULL;
}

/* ---- values ---- */

static err bad(char *why, size_t why_cap, const char *text)
{
	snprintf(why, why_cap, "%s", text);
	return ERR_INVALID;
}

static err read_bool(const char *text, bool *out, char *why, size_t why_cap)
{
	if (strcmp(text, "true") == 0 || strcmp(text, "on") == 0)
		*out = true;
	else if (strcmp(text, "false") == 0 || strcmp(text, "off") == 0)
		*out = false;
	else
		return bad(why, why_cap, "true or false is needed");
	return OK;
}

static err read_number(const struct setting_def *d, const char *text, int64_t *out, char *why, size_t why_cap)
{
	bool is_time = d->type == SETTING_DURATION;
	uint64_t v = 0;
	int64_t ms = 0;
	err e = is_time ? duration_parse(bytes_str(text), &ms) : bytes_parse_u64(bytes_str(text), INT64_MAX, &v);

	if (is_time && strcmp(text, "never") == 0)
		e = OK;
	if (!is_time)
		ms = (int64_t)v;
	if (e != OK)
		return bad(why, why_cap, is_time ? "a time such as 30s, 12h or 180d is needed" : "a whole number is needed");
	if (ms < d->min || ms > d->max) {
		int64_t unit = is_time ? 1000 : 1;
		snprintf(why, why_cap, "it must be from %lld to %lld%s", (long long)(d->min / unit), (long long)(d->max / unit),
				is_time ? " seconds" : "");
		return ERR_INVALID;
	}
	*out = ms;
	return OK;
}

static bool is_line(const char *s)
{
	if (!bytes_is_utf8(bytes_str(s)))
		return false;
	for (; *s; s++)
		if ((unsigned char)*s < ' ' || *s == 0x7f)
			return false;
	return true;
}

static err read_text(const struct setting_def *d, const char *text, struct arena *a, const char **out, char *why, size_t why_cap)
{
	if (!is_line(text) || strlen(text) > (size_t)d->max)
		return bad(why, why_cap, "it is too long, or no text of one line");
	*out = arena_str(a, bytes_str(text));
	return *out ? OK : ERR_NOMEM;
}

static err read_commas(const char *text, int64_t max, struct arena *a, const char ***out, size_t *n, char *why,
		size_t why_cap)
{
	const char **list = arena_array(a, (size_t)max + 1, sizeof *list);
	struct bytes rest = bytes_str(text);

	if (!list)
		return ERR_NOMEM;
	*n = 0;
	while (rest.n) {
		struct bytes item = bytes_trim(bytes_cut(rest, ',', &rest));
		if (!item.n)
			continue;
		if (*n == (size_t)max)
			return bad(why, why_cap, "the list is too long");
		list[*n] = arena_str(a, item);
		if (!list[(*n)++])
			return ERR_NOMEM;
	}
	*out = list;
	return OK;
}

err setting_read_list(const char *text, int64_t max, struct arena *a, const char ***out, size_t *n, char *why,
		size_t why_cap)
{
	json_auto_t *v = NULL;
	struct json_why jw = { 0 };

	if (text[0] != '[')
		return read_commas(text, max, a, out, n, why, why_cap);
	if (json_parse_why(bytes_str(text), SETTING_TEXT_MAX, 4, &v, &jw) != OK)
		return bad(why, why_cap, jw.text);
	if (json_array_size(v) > (size_t)max)
		return bad(why, why_cap, "the list is too long");
	const char **list = arena_array(a, json_array_size(v) + 1, sizeof *list);
	if (!list)
		return ERR_NOMEM;
	for (*n = 0; *n < json_array_size(v); ++*n) {
		const char *s = json_string_value(json_array_get(v, *n));
		if (!s)
			return bad(why, why_cap, "a list of texts is needed");
		list[*n] = arena_str(a, bytes_str(s));
		if (!list[*n])
			return ERR_NOMEM;
	}
	*out = list;
	return OK;
}

err setting_read(const struct setting_def *d, const char *text, struct arena *a, struct core_settings *out, char *why, size_t why_cap)
{
	char *at = (char *)out + d->offset;

	switch (d->type) {
	case SETTING_BOOL:
		return read_bool(text, (bool *)at, why, why_cap);
	case SETTING_INT:
	case SETTING_DURATION:
		return read_number(d, text, (int64_t *)(void *)at, why, why_cap);
	case SETTING_TEXT:
		return read_text(d, text, a, (const char **)(void *)at, why, why_cap);
	case SETTING_LIST: {
		const char **list = NULL;
		size_t n = 0;
		TRY(setting_read_list(text, d->max, a, &list, &n, why, why_cap));
		for (size_t i = 0; i < n; i++)
			if (!is_line(list[i]))
				return bad(why, why_cap, "each must be a text of one line");
		*(const char *const **)(void *)at = list;
		*(size_t *)(void *)((char *)out + d->offset_n) = n;
		return OK;
	}
	case SETTING_CUSTOM:
		return d->read(text, a, out, why, why_cap);
	}
	return ERR_INVALID;
}

static void show_duration(struct buf *b, int64_t ms)
{
	static const struct {
		int64_t ms;
		const char *unit;
	} units[] = { { 86400000, "d" }, { 3600000, "h" }, { 60000, "m" }, { 1000, "s" }, { 1, "ms" } };
	size_t i = ms ? 0 : 3;

	while (ms && ms % units[i].ms)
		i++;
	buf_printf(b, "%lld%s", (long long)(ms / units[i].ms), units[i].unit);
}

void setting_show_list(const char *const *list, size_t n, struct buf *out)
{
	struct jsonw w = jsonw_init(out);

	jsonw_arr(&w);
	for (size_t i = 0; i < n; i++)
		jsonw_str(&w, list[i]);
	jsonw_arr_end(&w);
}

void setting_show(const struct setting_def *d, const struct core_settings *s, struct buf *out)
{
	const char *at = (const char *)s + d->offset;

	switch (d->type) {
	case SETTING_BOOL:
		buf_append_str(out, *(const bool *)at ? "true" : "false");
		return;
	case SETTING_INT:
		buf_printf(out, "%lld", (long long)*(const int64_t *)(const void *)at);
		return;
	case SETTING_DURATION:
		show_duration(out, *(const int64_t *)(const void *)at);
		return;
	case SETTING_TEXT: {
		const char *text = *(const char *const *)(const void *)at;
		buf_append_str(out, text ? text : "");
		return;
	}
	case SETTING_LIST: {
		const char *const *list = *(const char *const *const *)(const void *)at;
		size_t n = *(const size_t *)(const void *)((const char *)s + d->offset_n);
		setting_show_list(list, n, out);
		return;
	}
	case SETTING_CUSTOM:
		d->show(s, out);
		return;
	}
}

/* ---- of a tailnet ---- */

err settings_apply(struct core *c, struct tailnet *t, struct arena *a, struct core_settings *out)
{
	for (size_t i = 0; i < setting_defs_n; i++) {
		const struct setting_def *d = &setting_defs[i];
		const char *text = setting_get(c, t->row.id, d->key);
		char why[200];

		if (!text || setting_managed(out, d->key))
			continue;
		err e = setting_read(d, text, a, out, why, sizeof why);
		if (e == ERR_INVALID) /* of another version: what the file says counts */
			log_warn("a stored setting cannot be used", "key=%s cause=%s", d->key, log_qs(why).s);
		else if (e != OK)
			return e;
	}
	return OK;
}

static uint64_t add_text(uint64_t sum, const char *text)
{
	uint64_t part[2] = { sum, map_hash(or_empty(text), strlen(or_empty(text))) };

	return map_hash(part, sizeof part);
}

struct settings_seen settings_see(const struct core_settings *s)
{
	const uint8_t self[] = { s->taildrop, s->auto_update_default, s->randomize_client_port };

	return (struct settings_seen){
		.dns = map_dns_hash(s),
		.derp = map_derp_hash(s),
		.self = map_hash(self, sizeof self),
		.names = add_text(add_text(s->logtail, s->base_domain), s->domain),
	};
}

unsigned settings_differ(const struct settings_seen *a, const struct settings_seen *b)
{
	return (a->dns != b->dns ? EFFECT_DNS : 0) | (a->derp != b->derp ? EFFECT_DERP : 0) | (a->self != b->self ? EFFECT_SELF : 0) |
		(a->names != b->names ? EFFECT_NAMES : 0) | EFFECT_GATE | EFFECT_EPHEMERAL | EFFECT_ROUTES;
}

err settings_effects(struct core *c, struct tailnet *t, unsigned effects)
{
	size_t at = 0;

	if (effects & EFFECT_DNS)
		t->dns_dirty = t->flush = true;
	if (effects & EFFECT_NAMES) {
		map_cache_drop(t->cache);
		t->full_all = t->flush = true;
	}
	if (effects & EFFECT_ROUTES)
		routes_probe(c, t);
	if (effects & EFFECT_DERP)
		t->derp_dirty = t->flush = true;
	if (effects & EFFECT_SELF) {
		list_each(it, &t->sessions)
			container_of(it, struct session, all)->self = true;
		t->flush = true;
	}
	if (!(effects & (EFFECT_GATE | EFFECT_EPHEMERAL)))
		return OK;
	for (struct node *n; (n = map_next(&c->nodes, &at));) {
		if (n->t != t)
			continue;
		if (effects & EFFECT_GATE)
			TRY(gate_update(c, n));
		if (effects & EFFECT_EPHEMERAL)
			presence_timeout(c, n);
	}
	return OK;
}

static const char *shown(struct arena *a, const struct setting_def *d, const struct core_settings *s)
{
	struct buf b = buf_make(SETTING_TEXT_MAX);

	setting_show(d, s, &b);
	const char *text = b.bad ? NULL : arena_str(a, buf_view(&b));
	buf_done(&b);
	return text;
}

static err add_info(struct core *c, struct tailnet *t, const struct setting_def *d, struct reply *r)
{
	static const char *const types[] = { [SETTING_BOOL] = "bool", [SETTING_INT] = "int", [SETTING_DURATION] = "duration",
		[SETTING_TEXT] = "text", [SETTING_LIST] = "list", [SETTING_CUSTOM] = "json" };
	struct setting_info *i = &r->settings[r->n_settings];
	const struct setting_managed *m = setting_managed(&c->set, d->key);

	*i = (struct setting_info){
		.key = d->key, .type = types[d->type], .help = d->help, .value = shown(&r->arena, d, &t->set),
		.seed = shown(&r->arena, d, &c->set), .set = !m && setting_get(c, t->row.id, d->key) != NULL,
		.min = d->min, .max = d->max,
	};
	if (m) {
		i->file = arena_str(&r->arena, bytes_str(or_empty(c->set.config_file)));
		i->line = m->line;
	}
	if (!i->value || !i->seed || (m && !i->file))
		return ERR_NOMEM;
	r->n_settings++;
	return OK;
}

/* The members of patch put into the object that was, those that are null or [] taken out. In the arena; NULL: why. */
static const char *merged(struct arena *a, const char *was, const char *patch, char *why, size_t why_cap)
{
	CLEANUP(json_decrefp) json_t *have = NULL, *with = NULL;
	struct json_why jw = { 0 };
	const char *key;
	json_t *v;
	size_t n;

	if (json_parse_why(bytes_str(patch), SETTING_TEXT_MAX, 8, &with, &jw) != OK || !json_is_object(with)) {
		snprintf(why, why_cap, "%s", jw.e != OK ? jw.text : "an object is needed");
		return NULL;
	}
	if (json_parse_why(bytes_str(*was ? was : "{}"), SETTING_TEXT_MAX, 8, &have, &jw) != OK || !json_is_object(have)) {
		snprintf(why, why_cap, "it is no object");
		return NULL;
	}
	json_object_foreach(with, key, v) {
		if (json_is_null(v) || (json_is_array(v) && !json_array_size(v)))
			json_object_del(have, key);
		else if (json_object_set(have, key, v) != 0)
			return NULL;
	}
	return json_dump_compact(a, have, &n);
}

/* Into probe and into its row; what it says together with others is checked later. */
static err take(struct core *c, struct tailnet *t, const struct setting_def *d, const struct setting_change *x, struct arena *a,
		struct core_settings *probe, struct reply *r)
{
	const struct setting_managed *m = setting_managed(&c->set, d->key);
	const char *text = x->text;
	char why[300] = "";

	if (m) {
		reply_fail(r, ERR_DENIED, "%s is managed by the configuration file: %s:%u", d->key, or_empty(c->set.config_file), m->line);
		return r->e;
	}
	if (text) {
		if (strlen(text) > SETTING_TEXT_MAX)
			return ERR_TOO_BIG;
		const char *was = x->merge ? shown(a, d, probe) : NULL;
		if (x->merge && !was)
			return ERR_NOMEM;
		if (x->merge)
			text = merged(a, was, text, why, sizeof why);
		err bad_value = text ? setting_read(d, text, a, probe, why, sizeof why) : ERR_INVALID;
		if (bad_value == ERR_INVALID)
			reply_fail(r, bad_value, "%s: %s", d->key, why);
		TRY(bad_value);
		text = shown(a, d, probe); /* one text a value */
		if (!text)
			return ERR_NOMEM;
	}
	TRY(setting_put(c, t->row.id, d->key, text));
	return OK;
}

static err check(const struct setting_def *d, const struct core_settings *probe, struct reply *r)
{
	char why[300] = "";
	err e = d->check ? d->check(probe, why, sizeof why) : OK;

	if (e == ERR_INVALID)
		reply_fail(r, e, "%s: %s", d->key, why);
	return e;
}

static void log_change(const struct setting_def *d, const struct core_settings *s, bool reset, const char *actor)
{
	CLEANUP(arena_done) struct arena a = arena_make(0);
	const char *text = reset ? "(reset)" : shown(&a, d, s);

	log_info("setting changed", "key=%s value=%s actor=%s", d->key, log_qs(text ? text : "").s, log_qs(actor).s);
}

/* Checked by itself and together with all the others. */
static err set(struct core *c, struct tailnet *t, const struct setting_def *d, const char *text, const char *actor, struct reply *r)
{
	CLEANUP(arena_done) struct arena a = arena_make(0);
	struct core_settings probe = t->set;

	TRY(take(c, t, d, &(struct setting_change){ .text = text }, &a, &probe, r));
	if (!text) {
		probe = c->set;
		TRY(settings_apply(c, t, &a, &probe));
	}
	TRY(check(d, &probe, r));
	TRY(tailnet_settings(c, t));
	TRY(settings_effects(c, t, d->effects));
	log_change(d, &probe, !text, actor);
	return OK;
}

static void unknown(const char *key, struct reply *r);

/* All of them, which are checked as they are together, or none: the caller undoes what an error leaves. */
static err set_many(struct core *c, struct tailnet *t, const struct command *m, struct reply *r)
{
	CLEANUP(arena_done) struct arena a = arena_make(0);
	struct core_settings probe = t->set;
	unsigned effects = 0;

	for (size_t i = 0; i < m->n_changes; i++) {
		const struct setting_def *d = setting_def_by_key(m->changes[i].key);
		if (!d) {
			unknown(m->changes[i].key, r);
			return r->e;
		}
		TRY(take(c, t, d, &m->changes[i], &a, &probe, r));
		effects |= d->effects;
	}
	for (size_t i = 0; i < m->n_changes; i++)
		TRY(check(setting_def_by_key(m->changes[i].key), &probe, r));
	TRY(tailnet_settings(c, t));
	TRY(settings_effects(c, t, effects));
	for (size_t i = 0; i < m->n_changes; i++)
		log_change(setting_def_by_key(m->changes[i].key), &probe, false, m->actor);
	return OK;
}

static void unknown(const char *key, struct reply *r)
{
	struct suggest s = suggest_begin(key);

	for (size_t i = 0; i < setting_defs_n; i++)
		suggest_offer(&s, setting_defs[i].key);
	if (s.best)
		reply_fail(r, ERR_NOT_FOUND, "there is no setting \"%.64s\"; did you mean %s?", key, s.best);
	else
		reply_fail(r, ERR_NOT_FOUND, "there is no setting \"%.64s\"", key);
}

void on_command_settings(struct core *c, const struct command *m, struct reply *r)
{
	struct tailnet *t = core_tailnet(c, m->tailnet_id);
	const char *key = m->kind == CMD_DNS_RECORDS ? "dns.extra_records" : m->name;
	const struct setting_def *d = *key ? setting_def_by_key(key) : NULL;
	bool all = m->kind == CMD_SETTINGS_LIST || m->kind == CMD_SETTINGS_PATCH;

	if (!d && (*key || !all)) {
		unknown(key, r);
		return;
	}
	if (m->kind == CMD_SETTINGS_PATCH)
		r->e = set_many(c, t, m, r);
	else if (m->kind != CMD_SETTINGS_LIST)
		r->e = set(c, t, d, m->kind == CMD_SETTINGS_RESET ? NULL : m->text, m->actor, r);
	if (r->e != OK)
		return;
	r->settings = arena_array(&r->arena, setting_defs_n, sizeof *r->settings);
	r->e = r->settings ? OK : ERR_NOMEM;
	for (size_t i = 0; i < setting_defs_n && r->e == OK; i++)
		if (!d || d == &setting_defs[i])
			r->e = add_info(c, t, &setting_defs[i], r);
}
