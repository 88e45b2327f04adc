#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/cleanup.h"
#include "common/text/json.h"
#include "server/api/access.h"
#include "server/api/console.h"
#include "server/api/dns_ask.h"
#include "server/api/render.h"

/* The DNS settings on one page, and what a client would do with a name: computed as its resolver does; a packet is sent only when that is
 * asked for, and only to name servers of the settings. */

enum { NAME_MAX_LEN = 253 };

static const struct setting_info *setting(const struct reply *reply, const char *key)
{
	for (size_t i = 0; i < reply->n_settings; i++)
		if (strcmp(reply->settings[i].key, key) == 0)
			return &reply->settings[i];
	return NULL;
}

static const char *value_of(const struct reply *reply, const char *key, const char *otherwise)
{
	const struct setting_info *s = setting(reply, key);

	return s && s->value && s->value[0] ? s->value : otherwise;
}

static bool is_on(const struct reply *reply, const char *key)
{
	return strcmp(value_of(reply, key, "false"), "true") == 0;
}

/* ---- the page ---- */

static void put_split(struct jsonw *w, const char *text)
{
	json_auto_t *split = json_loads(text, 0, NULL);
	const char *domain;
	json_t *servers, *server;
	size_t i;

	jsonw_key(w, "split"), jsonw_arr(w);
	json_object_foreach(split, domain, servers) {
		jsonw_obj(w);
		jsonw_key(w, "domain"), jsonw_str(w, domain);
		jsonw_key(w, "servers"), jsonw_arr(w);
		json_array_foreach(servers, i, server)
			jsonw_str(w, json_string_value(server));
		jsonw_arr_end(w);
		jsonw_obj_end(w);
	}
	jsonw_arr_end(w);
}

static enum MHD_Result on_dns(struct request *r, const struct reply *reply)
{
	FAIL_ON(r, reply);
	struct buf out;
	struct jsonw w = console_begin(&out);

	jsonw_key(&w, "domain"), jsonw_str(&w, value_of(reply, "dns.base_domain", ""));
	jsonw_key(&w, "magicDns"), jsonw_bool(&w, is_on(reply, "dns.magic_dns"));
	jsonw_key(&w, "overrideLocal"), jsonw_bool(&w, is_on(reply, "dns.override_local_dns"));
	jsonw_key(&w, "global"), jsonw_raw(&w, bytes_str(value_of(reply, "dns.nameservers.global", "[]")));
	put_split(&w, value_of(reply, "dns.nameservers.split", "{}"));
	jsonw_key(&w, "search"), jsonw_raw(&w, bytes_str(value_of(reply, "dns.search_domains", "[]")));
	jsonw_key(&w, "records"), jsonw_raw(&w, bytes_str(value_of(reply, "dns.extra_records", "[]")));
	jsonw_key(&w, "useWithExitNode"), jsonw_bool(&w, is_on(reply, "dns.use_with_exit_node"));
	jsonw_key(&w, "exitNodeFiltered"), jsonw_raw(&w, bytes_str(value_of(reply, "dns.exit_node_filtered", "[]")));
	jsonw_key(&w, "managed"), jsonw_arr(&w);
	for (size_t i = 0; i < reply->n_settings; i++)
		if (reply->settings[i].file && strncmp(reply->settings[i].key, "dns.", 4) == 0)
			jsonw_str(&w, reply->settings[i].key);
	jsonw_arr_end(&w);
	return console_end(r, &w, &out);
}

enum MHD_Result console_dns(struct request *r)
{
	return ask(r, command_for(r, CMD_SETTINGS_LIST), on_dns);
}

/* ---- try a name ---- */

struct trial {
	const char *name; /* lower case, without a dot at the end */
	bool v6;	  /* AAAA is asked for */
	const char *domain, *global, *split, *search, *records, *services; /* JSON texts, but domain */
	bool magic, override;
	int64_t from; /* the machine that asks; 0: any */
	bool send;
	/* the answer */
	struct dns_question question; /* that was sent */
	bool sent;
	const char *by, *why, *machine;
	const char *answer[16], *ask[16];
	size_t n_answers, n_ask;
};

static void add(const char **list, size_t *n, const char *text)
{
	if (text && *n < 16)
		list[(*n)++] = text;
}

static const char *in_arena(struct request *r, const char *text)
{
	const char *copy = arena_str(&r->arena, bytes_str(text));

	return copy ? copy : "";
}

static bool is_below(const char *name, const char *domain)
{
	size_t n = strlen(name), d = strlen(domain);

	return d && (n == d || (n > d && name[n - d - 1] == '.')) && strcmp(name + n - d, domain) == 0;
}

/* Of the asked family; the other one is no answer. */
static void add_address(struct request *r, struct trial *t, struct addr a)
{
	char text[ADDR_TEXT_MAX];

	if (a.family == (t->v6 ? 6 : 4))
		add(t->answer, &t->n_answers, in_arena(r, addr_text(a, text)));
}

static bool try_record(struct request *r, struct trial *t, const char *name)
{
	json_auto_t *records = json_loads(t->records, 0, NULL);
	bool found = false;
	json_t *v;
	size_t i;

	json_array_foreach(records, i, v) {
		struct addr a;
		const char *have = json_string_value(json_object_get(v, "name")), *value = json_string_value(json_object_get(v, "value"));
		if (!have || !value || strcmp(have, name) != 0)
			continue;
		found = true;
		if (addr_parse(bytes_str(value), &a) == OK)
			add_address(r, t, a);
	}
	if (found) {
		t->by = "record";
		t->why = "An extra record says so.";
	}
	return found;
}

static bool try_service(struct request *r, struct trial *t, const char *label)
{
	json_auto_t *root = json_loads(t->services, 0, NULL);
	json_t *v, *text;
	size_t i, k;

	json_array_foreach(json_object_get(root, "services"), i, v) {
		const char *name = json_string_value(json_object_get(v, "name"));
		struct addr a;
		if (!name || strncmp(name, "svc:", 4) != 0 || strcmp(name + 4, label) != 0)
			continue;
		json_array_foreach(json_object_get(v, "addrs"), k, text)
			if (json_is_string(text) && addr_parse(bytes_str(json_string_value(text)), &a) == OK)
				add_address(r, t, a);
		t->by = "service";
		t->why = "It is a service of the tailnet.";
		return true;
	}
	return false;
}

/* true: MagicDNS answers for this name, if only that there is none. */
static bool try_magic(struct request *r, struct trial *t, const struct reply *reply, const char *name)
{
	size_t n = strlen(name), d = strlen(t->domain);

	if (!t->magic || !is_below(name, t->domain) || n == d)
		return false;
	const char *label = arena_str(&r->arena, bytes_of(name, n - d - 1));
	for (size_t i = 0; label && i < reply->n_nodes; i++) {
		const struct node_row *row = &reply->nodes[i]->row;
		if (strcmp(row->given_name, label) != 0)
			continue;
		add_address(r, t, row->v4);
		add_address(r, t, row->v6);
		t->machine = arena_printf(&r->arena, "%lld", (long long)row->id);
		t->by = "magic-dns";
		t->why = t->n_answers ? "It is a machine of the tailnet; those that may see it get this answer." :
			"It is a machine of the tailnet, without an address of this kind.";
		return true;
	}
	if (label && try_service(r, t, label))
		return true;
	t->by = "nobody";
	t->why = "No machine and no service has this name, and nobody else is asked about the tailnet's own domain.";
	return true;
}

static void add_servers(struct request *r, struct trial *t, const json_t *list)
{
	json_t *v;
	size_t i;

	json_array_foreach((json_t *)(uintptr_t)list, i, v)
		if (json_is_string(v))
			add(t->ask, &t->n_ask, in_arena(r, json_string_value(v)));
}

static bool try_split(struct request *r, struct trial *t, const char *name)
{
	json_auto_t *split = json_loads(t->split, 0, NULL);
	const char *domain, *best = NULL;
	json_t *servers, *best_servers = NULL;

	json_object_foreach(split, domain, servers)
		if (is_below(name, domain) && (!best || strlen(domain) > strlen(best))) {
			best = domain;
			best_servers = servers;
		}
	if (!best)
		return false;
	add_servers(r, t, best_servers);
	t->by = t->n_ask ? "split" : "local";
	t->why = arena_printf(&r->arena, t->n_ask ? "Names below %s are asked of these name servers." :
			"Names below %s are asked of the machine's own name servers.", best);
	return true;
}

static void try_rest(struct request *r, struct trial *t)
{
	json_auto_t *global = json_loads(t->global, 0, NULL);

	if (t->override && json_array_size(global)) {
		add_servers(r, t, global);
		t->by = "global";
		t->why = "All other names are asked of the global name servers.";
	} else {
		t->by = "local";
		t->why = "All other names are asked of the machine's own name servers.";
	}
}

static bool try_all(struct request *r, struct trial *t, const struct reply *reply, const char *name)
{
	return try_record(r, t, name) || try_magic(r, t, reply, name) || try_split(r, t, name);
}

/* A name of one label is looked for below the tailnet's domain and the search domains, in that order. */
static void try_name(struct request *r, struct trial *t, const struct reply *reply)
{
	json_auto_t *search = json_loads(t->search, 0, NULL);
	json_t *v;
	size_t i;

	if (strchr(t->name, '.')) {
		if (!try_all(r, t, reply, t->name))
			try_rest(r, t);
		return;
	}
	const char *full = t->magic ? arena_printf(&r->arena, "%s.%s", t->name, t->domain) : NULL;
	if (full && try_all(r, t, reply, full) && strcmp(t->by, "nobody") != 0)
		return;
	json_array_foreach(search, i, v) {
		full = json_is_string(v) ? arena_printf(&r->arena, "%s.%s", t->name, json_string_value(v)) : NULL;
		if (full && try_all(r, t, reply, full) && strcmp(t->by, "nobody") != 0)
			return;
	}
	if (!t->by)
		try_rest(r, t);
}

static void put_list(struct jsonw *w, const char *const *list, size_t n)
{
	jsonw_arr(w);
	for (size_t i = 0; i < n; i++)
		jsonw_str(w, list[i]);
	jsonw_arr_end(w);
}

/* Of what the debugging answer says that a machine's stream was told. false: it has no stream. */
static bool was_told(const char *debug, const char *id, bool *knows)
{
	static const char head[] = "\"told\":{\"peers\":[";
	const char *at = strstr(debug, head), *end = at ? strchr(at + sizeof head - 1, ']') : NULL;
	size_t n = strlen(id);

	if (!end)
		return false;
	*knows = false;
	for (at += sizeof head - 1; at < end; at += strcspn(at, ",]") + 1)
		*knows |= strncmp(at, id, n) == 0 && (at[n] == ',' || at[n] == ']');
	return true;
}

static enum MHD_Result put_trial(struct request *r)
{
	const struct trial *t = r->keep;
	struct buf out;
	struct jsonw w = console_begin(&out);

	jsonw_key(&w, "by"), jsonw_str(&w, t->by);
	jsonw_key(&w, "answers"), put_list(&w, t->answer, t->n_answers);
	jsonw_key(&w, "ask"), put_list(&w, t->ask, t->n_ask);
	jsonw_key(&w, "machine"), jsonw_str(&w, t->machine);
	jsonw_key(&w, "why"), jsonw_str(&w, t->why);
	jsonw_key(&w, "asked");
	if (t->sent)
		console_put_dns_answer(&w, &t->question);
	else
		jsonw_null(&w);
	return console_end(r, &w, &out);
}

static enum MHD_Result on_sent(struct request *r, const struct reply *reply)
{
	FAIL_ON(r, reply);
	return put_trial(r);
}

/* On a worker: it waits for an answer. */
static void send_it(struct request *r, struct reply *reply)
{
	struct trial *t = r->keep;

	(void)reply;
	dns_ask(&t->question, 1, CONSOLE_DNS_WAIT_MS);
	t->sent = true;
}

static enum MHD_Result send_or_put(struct request *r)
{
	struct trial *t = r->keep;

	if (!t->send || !t->n_ask)
		return put_trial(r);
	t->question = (struct dns_question){ .server = t->ask[0], .name = t->name, .type = t->v6 ? DNS_TYPE_AAAA : DNS_TYPE_A };
	return work_for(r, send_it, on_sent);
}

static enum MHD_Result on_debug(struct request *r, const struct reply *reply)
{
	struct trial *t = r->keep;
	bool knows = true;

	FAIL_ON(r, reply);
	if (!was_told(reply->text ? reply->text : "", t->machine, &knows)) {
		t->why = arena_printf(&r->arena, "%s The machine that would ask is offline: whether it may see this one is not looked at.", t->why);
	} else if (!knows) {
		t->by = "nobody";
		t->n_answers = 0;
		t->why = "It is a machine of the tailnet, but the policy does not let the two see each other: the asking machine is not told its name.";
	}
	return put_trial(r);
}

static enum MHD_Result on_nodes(struct request *r, const struct reply *reply)
{
	struct trial *t = r->keep;

	FAIL_ON(r, reply);
	try_name(r, t, reply);
	if (!t->from || strcmp(t->by, "magic-dns") != 0 || (t->machine[0] && strtoll(t->machine, NULL, 10) == t->from))
		return send_or_put(r);
	struct command *c = command_for(r, CMD_NODE_DEBUG);
	if (c)
		c->id = t->from;
	return ask(r, c, on_debug);
}

static enum MHD_Result on_services(struct request *r, const struct reply *reply)
{
	struct trial *t = r->keep;

	FAIL_ON(r, reply);
	t->services = in_arena(r, reply->text ? reply->text : "{}");
	return ask(r, command_for(r, CMD_NODE_LIST), on_nodes);
}

static enum MHD_Result on_settings(struct request *r, const struct reply *reply)
{
	struct trial *t = r->keep;

	FAIL_ON(r, reply);
	t->domain = in_arena(r, value_of(reply, "dns.base_domain", ""));
	t->global = in_arena(r, value_of(reply, "dns.nameservers.global", "[]"));
	t->split = in_arena(r, value_of(reply, "dns.nameservers.split", "{}"));
	t->search = in_arena(r, value_of(reply, "dns.search_domains", "[]"));
	t->records = in_arena(r, value_of(reply, "dns.extra_records", "[]"));
	t->magic = is_on(reply, "dns.magic_dns");
	t->override = is_on(reply, "dns.override_local_dns");
	return ask(r, command_for(r, CMD_SERVICE_LIST), on_services);
}

static const char *lower_name(struct request *r, const char *name)
{
	size_t n = strlen(name);
	char *copy = n && n <= NAME_MAX_LEN ? arena_str(&r->arena, bytes_of(name, name[n - 1] == '.' ? n - 1 : n)) : NULL;

	for (char *c = copy; c && *c; c++) {
		if (!isalnum((unsigned char)*c) && !strchr("-_.", *c))
			return NULL;
		*c = (char)tolower((unsigned char)*c);
	}
	return copy && *copy ? copy : NULL;
}

/* {"name": "db.tail.example", "type": "A" | "AAAA", "machine": "5", "send": true} */
enum MHD_Result console_dns_try(struct request *r)
{
	struct trial *t = arena_alloc(&r->arena, sizeof *t);
	const char *name = body_text(r, "name"), *type = body_text(r, "type");
	enum MHD_Result refused;

	if (!may_else_refuse(r, SCOPE_READ(SCOPE_DNS), &refused) || !may_else_refuse(r, SCOPE_READ(SCOPE_DEVICES_CORE), &refused)) /* it tells of machines */
		return refused;
	if (!t)
		return answer_error(r, 500, "out of memory");
	t->name = name ? lower_name(r, name) : NULL;
	if (!t->name && !r->fault)
		r->fault = "name: a name of letters, digits, hyphens and dots is needed";
	t->v6 = type && strcmp(type, "AAAA") == 0;
	if (type && !t->v6 && strcmp(type, "A") != 0 && !r->fault)
		r->fault = "type: A or AAAA";
	const char *from = body_id(r, "machine");
	t->from = from && *from ? parse_id(r, from, "machine") : 0;
	t->send = body_bool(r, "send");
	t->machine = "";
	r->keep = t;
	return ask(r, command_for(r, CMD_SETTINGS_LIST), on_settings);
}
