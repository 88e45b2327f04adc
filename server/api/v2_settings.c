#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/cleanup.h"
#include "common/base/clock.h"
#include "common/text/json.h"
#include "server/api/v2.h"

/* DNS and the settings of the tailnet, which are settings of the core (server/core/settings.h) under other names. A call that
 * changes several is one command: all of it counts, or nothing. */

enum { CHANGES_MAX = 12, DAY_H = 24 };

typedef void show(struct request *r, struct jsonw *w, const struct reply *settings);

struct plan {
	struct setting_change change[CHANGES_MAX];
	size_t n;
	show *show;
};

static const char *value_of(const struct reply *reply, const char *key)
{
	for (size_t i = 0; i < reply->n_settings; i++)
		if (strcmp(reply->settings[i].key, key) == 0)
			return reply->settings[i].value;
	return "";
}

static bool is_on(const struct reply *reply, const char *key)
{
	return strcmp(value_of(reply, key), "true") == 0;
}

static enum MHD_Result on_settings(struct request *r, const struct reply *reply)
{
	const struct plan *p = r->keep;

	FAIL_ON(r, reply);
	struct buf out;
	struct jsonw w = answer_begin(&out);
	p->show(r, &w, reply);
	return answer_end(r, &w, &out);
}

static struct plan *plan_for(struct request *r, show *what)
{
	struct plan *p = arena_alloc(&r->arena, sizeof *p);

	if (p)
		p->show = what;
	r->keep = p;
	return p;
}

static void want(struct plan *p, const char *key, const char *text)
{
	if (p->n < CHANGES_MAX)
		p->change[p->n++] = (struct setting_change){ .key = key, .text = text };
}

static enum MHD_Result carry_out(struct request *r, struct plan *p)
{
	if (!p)
		return answer_error(r, 500, "out of memory");
	if (r->fault)
		return answer_error(r, 400, r->fault);
	struct command *c = command_for(r, p->n ? CMD_SETTINGS_PATCH : CMD_SETTINGS_LIST);
	struct setting_change *changes = c ? arena_array(&c->arena, p->n + 1, sizeof *changes) : NULL;
	for (size_t i = 0; changes && i < p->n; i++) {
		changes[i] = p->change[i];
		changes[i].text = command_str(c, p->change[i].text);
		if (!changes[i].text)
			changes = NULL;
	}
	if (!changes) {
		command_free(c);
		return answer_error(r, 413, "the values are too long");
	}
	c->changes = changes;
	c->n_changes = p->n;
	return ask(r, c, on_settings);
}

static const char *json_text(struct request *r, const json_t *v)
{
	size_t n;
	const char *text = json_dump_compact(&r->arena, v, &n);

	if (!text && !r->fault)
		r->fault = "the value is too long";
	return text;
}

/* ---- DNS, one thing at a time ---- */

/* Raw values are JSON already; what was never set reads as its empty form. */
static void put_raw(struct jsonw *w, const char *text, const char *otherwise)
{
	jsonw_raw(w, bytes_str(*text ? text : otherwise));
}

static void show_nameservers(struct request *r, struct jsonw *w, const struct reply *s)
{
	jsonw_key(w, "dns"), put_raw(w, value_of(s, "dns.nameservers.global"), "[]");
	if (strcmp(r->route->method, "POST") == 0)
		jsonw_key(w, "magicDNS"), jsonw_bool(w, is_on(s, "dns.magic_dns"));
}

static void show_preferences(struct request *r, struct jsonw *w, const struct reply *s)
{
	(void)r;
	jsonw_key(w, "magicDNS"), jsonw_bool(w, is_on(s, "dns.magic_dns"));
}

static void show_search(struct request *r, struct jsonw *w, const struct reply *s)
{
	(void)r;
	jsonw_key(w, "searchPaths"), put_raw(w, value_of(s, "dns.search_domains"), "[]");
}

/* The members of an object without its braces. */
static void show_split(struct request *r, struct jsonw *w, const struct reply *s)
{
	struct bytes b = bytes_trim(bytes_str(value_of(s, "dns.nameservers.split")));

	(void)r;
	if (b.n > 2)
		jsonw_raw_members(w, bytes_of(b.p + 1, b.n - 2));
}

/* A list of texts of the body, null and absent being none, as the setting's text. */
static const char *list_setting(struct request *r, const char *name)
{
	const json_t *body = body_object(r), *v = body ? json_object_get(body, name) : NULL;

	if (!v || json_is_null(v))
		return "[]";
	if (!json_is_array(v) && !r->fault)
		r->fault = arena_printf(&r->arena, "%s: a list is needed", name);
	return json_text(r, v);
}

enum MHD_Result api_v2_dns_nameservers(struct request *r)
{
	struct plan *p = plan_for(r, show_nameservers);

	if (p && strcmp(r->route->method, "POST") == 0)
		want(p, "dns.nameservers.global", list_setting(r, "dns"));
	return carry_out(r, p);
}

enum MHD_Result api_v2_dns_preferences(struct request *r)
{
	struct plan *p = plan_for(r, show_preferences);

	if (p && strcmp(r->route->method, "POST") == 0)
		want(p, "dns.magic_dns", body_bool(r, "magicDNS") ? "true" : "false");
	return carry_out(r, p);
}

enum MHD_Result api_v2_dns_search(struct request *r)
{
	struct plan *p = plan_for(r, show_search);

	if (p && strcmp(r->route->method, "POST") == 0)
		want(p, "dns.search_domains", list_setting(r, "searchPaths"));
	return carry_out(r, p);
}

static json_t *split_of(const json_t *from)
{
	json_t *out = json_object(), *v;
	const char *domain;

	json_object_foreach((json_t *)(uintptr_t)from, domain, v)
		if (json_is_array(v) && json_array_size(v))
			json_object_set(out, domain, v);
	return out;
}

enum MHD_Result api_v2_dns_split(struct request *r)
{
	struct plan *p = plan_for(r, show_split);
	bool put = strcmp(r->route->method, "PUT") == 0;
	const json_t *body = put ? body_object(r) : NULL;

	if (p && body) {
		json_auto_t *split = split_of(body);
		want(p, "dns.nameservers.split", json_text(r, split));
	}
	return carry_out(r, p);
}

/* Those named change, null and [] take one out, the others stay: the core puts it together. */
enum MHD_Result api_v2_dns_split_patch(struct request *r)
{
	struct plan *p = plan_for(r, show_split);
	const json_t *body = body_object(r);

	if (p && body) {
		want(p, "dns.nameservers.split", json_text(r, body));
		p->change[0].merge = true;
	}
	return carry_out(r, p);
}

/* ---- DNS as a whole ---- */

/* The servers that are asked also through an exit node: all global ones, or a list; owned. */
static json_t *exit_list(const struct reply *s)
{
	const char *text = value_of(s, "dns.use_with_exit_node");

	return text[0] == '[' ? json_loads(text, 0, NULL) : NULL;
}

static bool is_listed(const json_t *list, const char *text)
{
	size_t i;
	json_t *v;

	json_array_foreach((json_t *)(uintptr_t)list, i, v)
		if (json_is_string(v) && strcmp(json_string_value(v), text) == 0)
			return true;
	return false;
}

static void put_resolvers(struct jsonw *w, const json_t *list, bool all, const json_t *exits)
{
	size_t i;
	json_t *v;

	jsonw_arr(w);
	json_array_foreach((json_t *)(uintptr_t)list, i, v) {
		jsonw_obj(w);
		jsonw_key(w, "address"), jsonw_str(w, json_string_value(v));
		if (all || is_listed(exits, json_string_value(v)))
			jsonw_key(w, "useWithExitNode"), jsonw_bool(w, true);
		jsonw_obj_end(w);
	}
	jsonw_arr_end(w);
}

/* What is empty is left out: Terraform takes [] for a change. */
static void show_configuration(struct request *r, struct jsonw *w, const struct reply *s)
{
	json_auto_t *global = json_loads(value_of(s, "dns.nameservers.global"), 0, NULL);
	json_auto_t *split = json_loads(value_of(s, "dns.nameservers.split"), 0, NULL), *exits = exit_list(s);
	const char *search = value_of(s, "dns.search_domains"), *domain;
	json_t *v;

	(void)r;
	if (json_array_size(global)) {
		jsonw_key(w, "nameservers");
		put_resolvers(w, global, is_on(s, "dns.use_with_exit_node"), exits);
	}
	if (json_object_size(split)) {
		jsonw_key(w, "splitDNS"), jsonw_obj(w);
		json_object_foreach(split, domain, v) {
			jsonw_key_bytes(w, bytes_str(domain));
			put_resolvers(w, v, false, exits);
		}
		jsonw_obj_end(w);
	}
	if (*search && strcmp(search, "[]") != 0)
		jsonw_key(w, "searchPaths"), put_raw(w, search, "[]");
	jsonw_key(w, "preferences"), jsonw_obj(w);
	jsonw_key(w, "overrideLocalDNS"), jsonw_bool(w, is_on(s, "dns.override_local_dns"));
	jsonw_key(w, "magicDNS"), jsonw_bool(w, is_on(s, "dns.magic_dns"));
	jsonw_obj_end(w);
}

/* [{"address", "useWithExitNode"}] -> ["address"]; owned. Those with the flag go to exits, those without to others. */
static json_t *addresses(struct request *r, const json_t *list, json_t *exits, json_t *others)
{
	json_t *out = json_array(), *v;
	size_t i;

	json_array_foreach((json_t *)(uintptr_t)list, i, v) {
		json_t *a = json_object_get(v, "address");
		if (!json_is_string(a)) {
			if (!r->fault)
				r->fault = "nameservers: {\"address\": …} is needed";
			continue;
		}
		json_array_append(out, a);
		json_t *to = json_is_true(json_object_get(v, "useWithExitNode")) ? exits : others;
		if (!is_listed(to, json_string_value(a)))
			json_array_append(to, a);
	}
	return out;
}

enum MHD_Result api_v2_dns_configuration(struct request *r)
{
	struct plan *p = plan_for(r, show_configuration);
	const json_t *body = strcmp(r->route->method, "POST") == 0 ? body_object(r) : NULL, *list;
	const char *domain;
	json_t *v;
	size_t i;

	if (!p || !body)
		return carry_out(r, p);
	const json_t *prefs = json_object_get(body, "preferences");
	bool override = json_is_true(json_object_get(prefs, "overrideLocalDNS"));
	json_auto_t *exits = json_array(), *others = json_array(), *split = json_object();
	json_auto_t *global = addresses(r, json_object_get(body, "nameservers"), exits, others);
	json_object_foreach((json_t *)(uintptr_t)json_object_get(body, "splitDNS"), domain, list)
		if (json_array_size(list))
			json_object_set_new(split, domain, addresses(r, list, exits, others));
	json_array_foreach(exits, i, v)
		if (is_listed(others, json_string_value(v)) && !r->fault)
			r->fault = arena_printf(&r->arena, "%.80s: useWithExitNode is the same wherever a server stands", json_string_value(v));
	want(p, "dns.nameservers.global", json_text(r, global));
	want(p, "dns.override_local_dns", override ? "true" : "false");
	want(p, "dns.use_with_exit_node", json_array_size(exits) ? json_text(r, exits) : "false");
	want(p, "dns.nameservers.split", json_text(r, split));
	want(p, "dns.search_domains", list_setting(r, "searchPaths"));
	want(p, "dns.magic_dns", json_is_true(json_object_get(prefs, "magicDNS")) ? "true" : "false");
	return carry_out(r, p);
}

/* ---- settings of the tailnet ---- */

/* "180d", "12h", "0s" -> whole days */
static int64_t days_of(const char *duration)
{
	int64_t ms = 0;

	return duration_parse(bytes_str(duration), &ms) == OK ? ms / (DAY_H * 3600LL * SECOND_MS) : 0;
}

struct tailnet_setting {
	const char *name, *key; /* key NULL: it has no effect here and cannot be changed from what it is */
	enum scope area;
	bool fixed;
	const char *why;
};

static const struct tailnet_setting tailnet_settings[] = {
	{ "devicesApprovalOn", "devices_approval", SCOPE_FEATURE_SETTINGS, false, NULL },
	{ "devicesAutoUpdatesOn", "auto_update.enabled", SCOPE_FEATURE_SETTINGS, false, NULL },
	{ "usersApprovalOn", "users_approval", SCOPE_FEATURE_SETTINGS, false, NULL },
	{ "networkFlowLoggingOn", NULL, SCOPE_LOGS_NETWORK, false, "this server collects no network flow logs" },
	{ "regionalRoutingOn", NULL, SCOPE_FEATURE_SETTINGS, false, "routers of one prefix stand in for each other; there is no choice by region" },
	{ "postureIdentityCollectionOn", NULL, SCOPE_FEATURE_SETTINGS, false, "device identity is asked for one device at a time (nodes ask)" },
	{ "httpsEnabled", NULL, SCOPE_NETWORKING_SETTINGS, false, "certificates for devices are not part of this call" },
	{ "aclsExternallyManagedOn", "policy.externally_managed", SCOPE_POLICY_FILE, false, NULL },
};

static void show_tailnet(struct request *r, struct jsonw *w, const struct reply *s)
{
	(void)r;
	for (size_t i = 0; i < ARRAY_LEN(tailnet_settings); i++) {
		const struct tailnet_setting *t = &tailnet_settings[i];
		jsonw_key_bytes(w, bytes_str(t->name));
		jsonw_bool(w, t->key ? is_on(s, t->key) : t->fixed);
	}
	jsonw_key(w, "aclsExternalLink"), jsonw_str(w, value_of(s, "policy.external_link"));
	jsonw_key(w, "devicesKeyDurationDays"), jsonw_int(w, days_of(value_of(s, "node.expiry")));
	jsonw_key(w, "usersRoleAllowedToJoinExternalTailnets"), jsonw_str(w, "none");
}

enum MHD_Result api_v2_settings(struct request *r)
{
	return carry_out(r, plan_for(r, show_tailnet));
}

static enum MHD_Result no_effect(struct request *r, const char *name, const char *why)
{
	return answer_error(r, 501, arena_printf(&r->arena, "%s: %s", name, why));
}

/* null is "unchanged", as absent. Each member needs its own scope. */
enum MHD_Result api_v2_settings_patch(struct request *r)
{
	struct plan *p = plan_for(r, show_tailnet);
	const json_t *body = body_object(r);
	enum MHD_Result refused;

	for (size_t i = 0; p && body && i < ARRAY_LEN(tailnet_settings); i++) {
		const struct tailnet_setting *t = &tailnet_settings[i];
		const json_t *v = json_object_get(body, t->name);
		if (!v || json_is_null(v))
			continue;
		if (!may_else_refuse(r, SCOPE_WRITE(t->area), &refused))
			return refused;
		if (!json_is_boolean(v))
			return answer_error(r, 400, arena_printf(&r->arena, "%s: true or false is needed", t->name));
		if (!t->key && json_is_true(v) != t->fixed)
			return no_effect(r, t->name, t->why);
		if (t->key)
			want(p, t->key, json_is_true(v) ? "true" : "false");
	}
	const json_t *days = body ? json_object_get(body, "devicesKeyDurationDays") : NULL;
	const json_t *link = body ? json_object_get(body, "aclsExternalLink") : NULL;
	const json_t *join = body ? json_object_get(body, "usersRoleAllowedToJoinExternalTailnets") : NULL;
	if (days && !json_is_null(days)) {
		if (!may_else_refuse(r, SCOPE_WRITE(SCOPE_FEATURE_SETTINGS), &refused))
			return refused;
		if (!json_is_integer(days) || json_integer_value(days) < 1 || json_integer_value(days) > 180)
			return answer_error(r, 400, "devicesKeyDurationDays: 1 to 180");
		if (p)
			want(p, "node.expiry", arena_printf(&r->arena, "%dd", (int)json_integer_value(days)));
	}
	if (link && !json_is_null(link)) {
		if (!may_else_refuse(r, SCOPE_WRITE(SCOPE_POLICY_FILE), &refused))
			return refused;
		if (!json_is_string(link))
			return answer_error(r, 400, "aclsExternalLink: a text is needed");
		if (p)
			want(p, "policy.external_link", json_string_value(link));
	}
	if (json_is_string(join) && strcmp(json_string_value(join), "none") != 0)
		return no_effect(r, "usersRoleAllowedToJoinExternalTailnets", "there are no other tailnets");
	return carry_out(r, p);
}

/* ---- contacts: who is shown to people who are refused, and to who found a weakness ---- */

static const char *const contact_kinds[] = { "account", "support", "security" };

static void show_contacts(struct request *r, struct jsonw *w, const struct reply *s)
{
	char key[32];

	(void)r;
	for (size_t i = 0; i < ARRAY_LEN(contact_kinds); i++) {
		snprintf(key, sizeof key, "contacts.%s", contact_kinds[i]);
		jsonw_key_bytes(w, bytes_str(contact_kinds[i])), jsonw_obj(w);
		jsonw_key(w, "email"), jsonw_str(w, value_of(s, key));
		jsonw_key(w, "needsVerification"), jsonw_bool(w, false); /* this server writes no mail */
		jsonw_obj_end(w);
	}
}

static void show_nothing(struct request *r, struct jsonw *w, const struct reply *s)
{
	(void)r, (void)w, (void)s;
}

enum MHD_Result api_v2_contacts(struct request *r)
{
	return carry_out(r, plan_for(r, show_contacts));
}

static bool is_contact_kind(const char *kind)
{
	for (size_t i = 0; i < ARRAY_LEN(contact_kinds); i++)
		if (strcmp(contact_kinds[i], kind) == 0)
			return true;
	return false;
}

/* {"email"?} */
enum MHD_Result api_v2_contact_update(struct request *r)
{
	struct plan *p = plan_for(r, show_nothing);
	const char *email = body_text(r, "email");

	if (!is_contact_kind(r->param[1]))
		return answer_error(r, 404, "contacts are account, support and security");
	if (p && email)
		want(p, arena_printf(&r->arena, "contacts.%s", r->param[1]), email);
	return carry_out(r, p);
}

enum MHD_Result api_v2_contact_resend(struct request *r)
{
	if (!is_contact_kind(r->param[1]))
		return answer_error(r, 404, "contacts are account, support and security");
	return answer_error(r, 400, "there is nothing to verify: this server writes no mail");
}

/* RFC 9116 */
static enum MHD_Result on_security_contact(struct request *r, const struct reply *reply)
{
	FAIL_ON(r, reply);
	const char *mail = value_of(reply, "contacts.security");
	char expires[RFC3339_MAX];

	if (!*mail)
		return answer_text(r, 404, "text/plain", "nobody is named here\n");
	time_rfc3339(clock_wall_ms() + 30LL * DAY_H * 3600 * SECOND_MS, expires);
	const char *text = arena_printf(&r->arena, "Contact: mailto:%s\nExpires: %s\n", mail, expires);
	return text ? answer_text(r, 200, "text/plain; charset=utf-8", text) : answer_error(r, 500, "out of memory");
}

enum MHD_Result api_security_txt(struct request *r)
{
	struct command *c = command_for(r, CMD_SETTINGS_LIST);

	if (c)
		c->name = "contacts.security";
	return ask(r, c, on_security_contact);
}
