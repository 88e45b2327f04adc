#include <stdarg.h>
#include <stdio.h>

#include "common/base/cleanup.h"
#include "server/policy/check.h"

/* What a policy may say, and yet hardly means. */

enum {
	COVERS_RULES_MAX = 1000,	/* above, rules are not compared with one another … */
	COVERS_WORK_MAX = 20000000,	/* … and no longer than this: destinations looked at */
};

struct warn {
	const struct policy *p;
	struct policy_faults *out;
	struct map used; /* struct used, by name */
	struct arena a;
	size_t work;
};

struct used {
	struct class_key key;
};

static void __attribute__((format(printf, 4, 5))) note(struct warn *w, unsigned line, unsigned column, const char *fmt, ...)
{
	va_list ap;

	if (w->out->n == POLICY_FAULTS_MAX)
		return;
	struct policy_fault *f = &w->out->fault[w->out->n++];
	*f = (struct policy_fault){ .line = line, .column = column };
	va_start(ap, fmt);
	vsnprintf(f->text, sizeof f->text, fmt, ap); /* cut when longer */
	va_end(ap);
}

static struct class_key key_of(struct bytes name)
{
	struct class_key k = { map_hash(name.p, name.n), name.n };

	return k;
}

static void use(struct warn *w, struct bytes name)
{
	struct class_key key = key_of(name);

	if (map_get(&w->used, &key))
		return;
	struct used *u = arena_alloc(&w->a, sizeof *u);
	if (!u)
		return;
	u->key = key;
	if (map_put(&w->used, u) != OK) /* then something is called unused that is not: only a warning */
		return;
}

static bool is_used(const struct warn *w, const char *name)
{
	struct class_key key = key_of(bytes_str(name));

	return map_get(&w->used, &key) != NULL;
}

/* "add ipset:x", "remove host:y": what a set is made of. */
static void use_in_ipset(struct warn *w, const char *text)
{
	const char *at = strstr(text, "ipset:"), *host = strstr(text, "host:");

	if (at)
		use(w, bytes_trim(bytes_str(at)));
	if (host)
		use(w, bytes_trim(bytes_str(host + strlen("host:"))));
	use(w, bytes_trim(bytes_str(text)));
}

static void use_all(struct warn *w)
{
	const struct syntax *sets = check_get(w->p->root, "ipsets");

	for (size_t i = 0; i < w->p->n_sels; i++)
		use(w, bytes_str(w->p->sel[i]->name));
	for (const struct syntax *s = sets && sets->kind == SYNTAX_OBJECT ? sets->first : NULL; s; s = s->next)
		for (const struct syntax *e = s->kind == SYNTAX_LIST ? s->first : NULL; e; e = e->next)
			if (e->kind == SYNTAX_STRING)
				use_in_ipset(w, e->text);
}

static void unused(struct warn *w, const char *section)
{
	const struct syntax *v = check_get(w->p->root, section);

	for (const struct syntax *k = v && v->kind == SYNTAX_OBJECT ? v->first : NULL; k; k = k->next)
		if (k->key[0] != '#' && !is_used(w, k->key))
			note(w, k->key_line, k->key_column, "%s is defined, but nothing uses it", k->key);
}

static void unused_postures(struct warn *w)
{
	const struct syntax *v = check_get(w->p->root, "postures");
	uint64_t asked = 0;

	for (size_t i = 0; i < w->p->n_sets; i++)
		asked |= w->p->set[i].postures;
	for (const struct syntax *k = v && v->kind == SYNTAX_OBJECT ? v->first : NULL; k; k = k->next)
		for (size_t i = 0; i < w->p->n_postures; i++)
			if (strcmp(w->p->posture[i].name, k->key) == 0 && !(asked >> i & 1))
				note(w, k->key_line, k->key_column, "%s is defined, but no rule asks for it", k->key);
}

static void empty_groups(struct warn *w)
{
	const struct syntax *v = check_get(w->p->root, "groups");

	for (const struct syntax *k = v && v->kind == SYNTAX_OBJECT ? v->first : NULL; k; k = k->next)
		if (k->kind == SYNTAX_LIST && !k->n && is_used(w, k->key))
			note(w, k->key_line, k->key_column, "%s has no members: rules that name it let nobody through", k->key);
}

/* ---- rules that change nothing ---- */

static bool has_none(const struct syntax *rule, const char *field, const char *of_old)
{
	const struct syntax *v = check_get(rule, field);

	v = v ? v : check_get(rule, of_old);
	return !v || (v->kind == SYNTAX_LIST && !v->n);
}

static void empty_rules(struct warn *w)
{
	for (size_t i = 0; i < w->p->n_rules; i++) {
		const struct syntax *at = w->p->rule[i].at;

		if (!at)
			continue;
		if (has_none(at, "src", "users"))
			note(w, at->line, at->column, "this rule has no src: it lets nobody through");
		else if (has_none(at, "dst", "ports"))
			note(w, at->line, at->column, "this rule has no dst: it lets nobody through to anything");
	}
}

static bool set_covers(const struct policy *p, const struct sel_set *a, const struct sel_set *b)
{
	if (a->postures) /* asks for something, b perhaps for something else */
		return a == b;
	if (a->danger)
		return true;
	for (size_t i = 0; i < b->n; i++) {
		enum sel_kind k = p->sel[b->sel[i]]->kind;

		if (!set_has(a, b->sel[i]) && !(a->any && k != SEL_DANGER && k != SEL_RANGES))
			return false;
	}
	return true;
}

static bool ports_cover(const struct rule_dst *a, const struct rule_dst *b)
{
	if (a->proto != PROTO_ANY && a->proto != b->proto)
		return false;
	if (a->proto == PROTO_ANY && b->proto != PROTO_ANY && !dst_carries_proto(a, b->proto))
		return false;
	for (size_t i = 0; i < b->n_ports; i++) {
		bool found = false;

		for (size_t k = 0; k < a->n_ports && !found; k++)
			found = a->ports[k].first <= b->ports[i].first && b->ports[i].last <= a->ports[k].last;
		if (!found)
			return false;
	}
	return b->n_ports > 0;
}

static bool rule_covers(struct warn *w, const struct rule *a, const struct rule *b)
{
	const struct policy *p = w->p;
	const struct sel_set *x = &p->set[a->src], *y = &p->set[b->src];

	w->work += x->n * y->n + 1;
	if (w->work > COVERS_WORK_MAX)
		return false;
	if (a->n_via || b->n_via || b->caps || b->back_caps || !set_covers(p, x, y))
		return false;
	w->work += a->n_dst * b->n_dst;
	if (w->work > COVERS_WORK_MAX)
		return false;
	for (size_t i = b->first_dst; i < b->first_dst + b->n_dst; i++) {
		bool found = false;

		for (size_t k = a->first_dst; k < a->first_dst + a->n_dst && !found; k++)
			found = (p->dst[k].sel == p->dst[i].sel || p->sel[p->dst[k].sel]->kind == SEL_ANY) && ports_cover(&p->dst[k], &p->dst[i]);
		if (!found)
			return false;
	}
	return b->n_dst > 0;
}

static void idle_rules(struct warn *w)
{
	const struct policy *p = w->p;

	for (size_t i = 0; p->n_rules <= COVERS_RULES_MAX && i < p->n_rules; i++)
		for (size_t k = 0; k < p->n_rules; k++) {
			/* of two that say the same, the second is the idle one */
			if (k == i || !p->rule[i].at || !rule_covers(w, &p->rule[k], &p->rule[i]) ||
			    (k > i && rule_covers(w, &p->rule[i], &p->rule[k])))
				continue;
			note(w, p->rule[i].line, p->rule[i].at->column, "this rule changes nothing: line %u lets through all that it does", p->rule[k].line);
			break;
		}
}

void policy_warn(const struct policy *p, struct bytes text, struct policy_faults *out)
{
	struct warn w = { .p = p, .out = out, .used = MAP_OF(struct used, key), .a = arena_make(0) };

	out->n = 0;
	if (p->root && p->root->kind == SYNTAX_OBJECT) {
		use_all(&w);
		empty_groups(&w);
		empty_rules(&w);
		idle_rules(&w);
		unused(&w, "groups");
		unused(&w, "hosts");
		unused(&w, "ipsets");
		unused_postures(&w);
	}
	policy_faults_locate(text, out);
	map_done(&w.used);
	arena_done(&w.a);
}
