#include <stdio.h>

#include "common/text/jsonw.h"
#include "server/dns_records.h"
#include "server/policy/check.h"

enum {
	TAKES_TARGET = TAKES_ANY | TAKES_USER | TAKES_GROUP | TAKES_TAG | TAKES_RANGES | TAKES_MEMBER | TAKES_TAGGED | TAKES_ROLE |
		       TAKES_DOMAIN | TAKES_SHARED,
	ATTRS_MAX = 4096,
	FUNNEL_CAPS = 3,
};

struct known_name {
	struct class_key key;
	uint32_t number;
};

static uint32_t number_of(struct check *c, const char *name)
{
	struct class_key key = { map_hash(name, strlen(name)), strlen(name) };
	struct known_name *k = map_get(&c->attr_names, &key);

	if (k)
		return k->number;
	k = arena_alloc(c->arena, sizeof *k);
	if (!k) {
		c->no_memory = true;
		return 0;
	}
	*k = (struct known_name){ key, (uint32_t)c->p->n_attr_names++ };
	c->no_memory |= map_put(&c->attr_names, k) != OK;
	return k->number;
}

static void add(struct check *c, struct node_attr *a, const char *name, const char *values)
{
	if (!name || !values)
		return; /* out of memory, which is noted */
	c->attr_bytes += strlen(name) + strlen(values);
	a->name_id[a->n] = number_of(c, name);
	a->name[a->n] = name;
	a->values[a->n++] = values;
}

static void check_names(struct check *c, const struct syntax *v, struct node_attr *a)
{
	for (const struct syntax *e = v->first; e; e = e->next) {
		if (!is_kind(c, e, SYNTAX_STRING, "expected an attribute in double quotes, such as \"randomize-client-port\""))
			continue;
		const char *name = check_text(c, bytes_trim(bytes_str(e->text)));
		if (!name)
			return;
		if (!*name) {
			FAULT(c, e, "an attribute's name is missing");
			continue;
		}
		add(c, a, name, "null");
		a->disable_ipv4 |= strcmp(name, "disable-ipv4") == 0;
		if (strcmp(name, "funnel") == 0) { /* what the client asks for before it offers Funnel */
			add(c, a, "https://tailscale.com/cap/funnel-ports?ports=443,8443,10000", "null");
			add(c, a, "https://tailscale.com/cap/warn-funnel-no-https", "null");
		}
	}
}

/* A list of texts; others are left out. */
static const char *const *texts_of(struct check *c, const struct syntax *v, bool domains, size_t *n)
{
	const char **list = check_array(c, (v ? v->n : 0) + 1, sizeof *list);

	for (const struct syntax *e = list && v && v->kind == SYNTAX_LIST ? v->first : NULL; e; e = e->next) {
		if (e->kind != SYNTAX_STRING)
			continue;
		struct bytes text = bytes_trim(bytes_str(e->text));
		if (domains && text.n > 2 && text.p[0] == '*' && text.p[1] == '.')
			text = bytes_skip(text, 2);
		if (domains && text.n && text.p[text.n - 1] == '.')
			text.n--;
		char *copy = arena_str(c->arena, text);
		c->no_memory |= !copy;
		for (char *s = copy; domains && s && *s; s++)
			*s = (char)(*s >= 'A' && *s <= 'Z' ? *s + 32 : *s);
		if (copy && (!domains || dns_is_domain(copy)))
			list[(*n)++] = copy;
	}
	return list;
}

/* What other devices are told of a connector's app: clients read the same values by themselves. */
static void note_app(struct check *c, const struct syntax *v)
{
	struct policy *p = c->p;

	if (v->kind != SYNTAX_OBJECT)
		return;
	struct policy_app app = { 0 };
	app.domains = texts_of(c, check_get(v, "domains"), true, &app.n_domains);
	app.connectors = texts_of(c, check_get(v, "connectors"), false, &app.n_connectors);
	c->n_app_domains += app.n_domains;
	if (p->n_apps >= POLICY_APPS_MAX || c->n_app_domains > POLICY_APP_DOMAINS_MAX) {
		FAULT(c, v, "at most %d apps with %d domains together", POLICY_APPS_MAX, POLICY_APP_DOMAINS_MAX);
		return;
	}
	if (!p->app)
		p->app = check_array(c, POLICY_APPS_MAX, sizeof *p->app);
	if (p->app && app.n_domains && app.n_connectors)
		p->app[p->n_apps++] = app;
}

/* app: {"tailscale.com/app-connectors": [{…}]} */
static void check_values(struct check *c, const struct syntax *v, struct node_attr *a)
{
	for (const struct syntax *k = v->first; k; k = k->next) {
		struct buf text = buf_make(POLICY_TEXT_MAX);
		struct jsonw w = jsonw_init(&text);

		if (!is_kind(c, k, SYNTAX_LIST, "a capability has a list of values: [{…}]"))
			continue;
		syntax_write(k, &w);
		c->no_memory |= text.bad;
		for (const struct syntax *e = strcmp(k->key, "tailscale.com/app-connectors") == 0 ? k->first : NULL; e; e = e->next)
			note_app(c, e);
		if (!text.bad)
			add(c, a, k->key, check_text(c, buf_view(&text)));
		buf_done(&text);
	}
}

static void check_pool(struct check *c, const struct syntax *v, struct node_attr *a)
{
	struct range r, *list;

	if (!is_kind(c, v, SYNTAX_LIST, "ipPool is a list of ranges inside 100.64.0.0/10"))
		return;
	list = check_array(c, v->n, sizeof *list);
	for (const struct syntax *e = v->first; list && e; e = e->next) {
		if (!is_kind(c, e, SYNTAX_STRING, "expected a range such as \"100.81.0.0/16\""))
			continue;
		if (range_parse(bytes_str(e->text), &r) != OK || r.first.family != 4 || !addr_is_tailscale(r.first) || !addr_is_tailscale(r.last))
			FAULT(c, e, "ipPool: \"%s\" is no range inside 100.64.0.0/10", e->text);
		else
			list[a->n_pools++] = r;
	}
	a->pool = list;
}

static void check_attr(struct check *c, const struct syntax *v, struct node_attr *a)
{
	static const char *const known[] = { "target", "attr", "app", "ipPool", NULL };

	if (!is_kind(c, v, SYNTAX_OBJECT, "an entry of nodeAttrs is an object with target, and attr or app"))
		return;
	check_fields(c, v, known, " in nodeAttrs");
	const struct syntax *target = check_get(v, "target"), *attr = check_get(v, "attr"), *app = check_get(v, "app"),
			    *pool = check_get(v, "ipPool");

	if (target && target->kind == SYNTAX_LIST && (c->n_targets += target->n) > ATTR_TARGETS_MAX) {
		FAULT(c, target, "at most %d targets in all entries of nodeAttrs together: name groups and tags", ATTR_TARGETS_MAX);
		return;
	}
	if (target) /* without: nobody, as with [] */
		check_sels(c, target, TAKES_TARGET, "target", &a->target, &a->n_targets);
	if (attr && !is_kind(c, attr, SYNTAX_LIST, "attr is a list of attributes"))
		return;
	if (app && !is_kind(c, app, SYNTAX_OBJECT, "app is an object: {\"tailscale.com/app-connectors\": [{…}]}"))
		return;
	if (pool)
		check_pool(c, pool, a);
	size_t n = FUNNEL_CAPS * (attr ? attr->n : 0) + (app ? app->n : 0);
	a->name = check_array(c, n, sizeof *a->name);
	a->values = check_array(c, n, sizeof *a->values);
	a->name_id = check_array(c, n, sizeof *a->name_id);
	if (!a->name || !a->values || !a->name_id)
		return;
	bool fitted = c->attr_bytes <= ATTR_BYTES_MAX;
	if (attr && fitted)
		check_names(c, attr, a);
	if (app && fitted)
		check_values(c, app, a);
	if (fitted && c->attr_bytes > ATTR_BYTES_MAX)
		FAULT(c, v, "the attributes of all entries of nodeAttrs have more than %d bytes together", ATTR_BYTES_MAX);
}

void check_attrs(struct check *c, const struct syntax *v)
{
	if (!is_kind(c, v, SYNTAX_LIST, "nodeAttrs is a list: [{\"target\": [\"*\"], \"attr\": [\"…\"]}]"))
		return;
	if (v->n > ATTRS_MAX) {
		FAULT(c, v, "at most %d entries in nodeAttrs", ATTRS_MAX);
		return;
	}
	c->p->attr = check_array(c, v->n, sizeof *c->p->attr);
	for (const struct syntax *e = v->first; c->p->attr && e; e = e->next)
		check_attr(c, e, &c->p->attr[c->p->n_attrs++]);
}
