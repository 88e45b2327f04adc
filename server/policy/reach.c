#include <stdio.h>
#include <stdlib.h>

#include "common/base/cleanup.h"
#include "server/policy/ask.h"
#include "server/policy/check.h"

/* Who can reach a destination, and what a source can reach: one question a class, answered for all its nodes. */

enum { NODES_SHOWN = 20000, LINES_SHOWN = 8, WORK_MAX = 200000000 /* classes times classes times rules */ };

struct found { /* by which rules, and to which ports */
	const struct rule *rule[LINES_SHOWN];
	size_t n_rules, reaches; /* how many of those asked about */
	struct port_texts ports;
	bool more;
};

static void found_rule(struct found *f, const struct rule *r)
{
	for (size_t i = 0; i < f->n_rules; i++)
		if (f->rule[i] == r)
			return;
	if (f->n_rules < LINES_SHOWN)
		f->rule[f->n_rules++] = r;
	else
		f->more = true;
}

/* From one probe to one crowd: all rules, for their ports. */
static void look(const struct policy_world *w, const struct probe *src, const struct crowd *dst, int16_t proto, int port, struct found *f)
{
	const struct policy *p = w->view->p;
	bool some = false;

	for (size_t i = 0; i < p->n_rules; i++) {
		const struct policy_class *a = src->node ? w->view->cls[src->node->cls] : NULL;

		if (a && !bit_has(a->src, i))
			continue;
		if (rule_takes(w, &p->rule[i], src, &dst->first, proto, port, port_texts_add, &f->ports) != HOP_NONE)
			continue;
		some = true;
		found_rule(f, &p->rule[i]);
	}
	f->reaches += some ? dst->n : 0;
}

static void write_found(struct jsonw *w, const struct policy *p, const struct found *f)
{
	jsonw_key(w, "ports"), write_port_texts(w, &f->ports);
	jsonw_key(w, "rules"), jsonw_arr(w);
	for (size_t i = 0; i < f->n_rules; i++) {
		jsonw_obj(w);
		write_rule_place(w, p, f->rule[i]);
		jsonw_obj_end(w);
	}
	jsonw_arr_end(w);
	if (f->more)
		jsonw_key(w, "more"), jsonw_bool(w, true);
}

static void write_crowd(const struct policy_world *world, const struct crowd *c, const struct found *f, size_t of, struct jsonw *w,
			size_t *shown)
{
	list_each(it, &c->cls->nodes) {
		const struct policy_named *n = named_by_id(world, container_of(it, struct view_node, link)->id);

		if (!n || ++*shown > NODES_SHOWN)
			continue;
		jsonw_obj(w);
		write_node_members(w, n);
		if (of > 1) {
			jsonw_key(w, "reaches"), jsonw_uint(w, f->reaches);
			jsonw_key(w, "of"), jsonw_uint(w, of);
		}
		write_found(w, world->view->p, f);
		jsonw_obj_end(w);
	}
}

static void write_head(struct jsonw *w, const char *key, const struct party *p)
{
	char proto[16];

	jsonw_obj(w);
	jsonw_key_bytes(w, bytes_str(key)), jsonw_obj(w);
	jsonw_key(w, "text"), jsonw_str(w, p->text);
	jsonw_key(w, "matches"), jsonw_uint(w, p->n);
	if (p->port >= 0)
		jsonw_key(w, "port"), jsonw_int(w, p->port);
	if (p->proto != PROTO_ANY)
		jsonw_key(w, "proto"), jsonw_str(w, policy_proto_name(p->proto, proto));
	if (*p->why)
		jsonw_key(w, "why"), jsonw_str(w, p->why);
	jsonw_obj_end(w);
}

static bool work_fits(const struct policy_world *w, size_t classes)
{
	size_t rules = w->view->p->n_rules + 1;

	return classes <= WORK_MAX / rules / (w->view->n_cls + 1);
}

static bool is_beyond(const struct sel *s)
{
	return s->kind == SEL_RANGES || s->kind == SEL_DANGER;
}

/* Address ranges among the sources of rules that lead there: what comes from behind routers, or from anywhere. */
static void write_others(const struct policy_world *w, const struct crowd *to, size_t n_to, const struct party *b, struct jsonw *j)
{
	const struct policy *p = w->view->p;

	jsonw_key(j, "others"), jsonw_arr(j);
	for (size_t i = 0; i < p->n_rules; i++) {
		const struct sel_set *set = &p->set[p->rule[i].src];

		for (size_t k = 0; !set->postures && k < set->n; k++) {
			const struct sel *s = p->sel[set->sel[k]];
			struct probe from = { .addr = s->n_ranges ? s->ranges[0].first : addr_v4(1, 1, 1, 1) };
			struct found f = { 0 };

			if (!is_beyond(s))
				continue;
			for (size_t d = 0; d < n_to; d++)
				if (rule_takes(w, &p->rule[i], &from, &to[d].first, b->proto, b->port, port_texts_add, &f.ports) == HOP_NONE)
					found_rule(&f, &p->rule[i]);
			if (!f.n_rules)
				continue;
			jsonw_obj(j);
			jsonw_key(j, "source"), jsonw_str(j, s->name);
			write_found(j, p, &f);
			jsonw_obj_end(j);
		}
	}
	jsonw_arr_end(j);
}

err policy_who_can_reach(const struct policy_world *w, const char *dst, struct buf *out, char *why, size_t why_cap)
{
	CLEANUP(party_done) struct party b = { 0 };
	struct jsonw j = jsonw_init(out);
	size_t n_to, n_from, shown = 0;

	TRY(party_read(w, dst, true, &b, why, why_cap));
	CLEANUP(freep) struct crowd *to = crowds_of(w, &b, &n_to), *from = crowds_of_all(w, &n_from);
	if (!to || !from)
		return ERR_NOMEM;
	if (b.kind == PARTY_SELF || !work_fits(w, n_to)) {
		snprintf(why, why_cap, b.kind == PARTY_SELF ? "autogroup:self is another one for each source: name a node or a user" :
							     "that is too much at once: ask for a part of it");
		return ERR_INVALID;
	}
	write_head(&j, "destination", &b);
	jsonw_key(&j, "nodes"), jsonw_arr(&j);
	for (size_t i = 0; i < n_from; i++) {
		struct found f = { 0 };

		for (size_t k = 0; k < n_to; k++)
			look(w, &from[i].first, &to[k], b.proto, b.port, &f);
		if (f.n_rules)
			write_crowd(w, &from[i], &f, b.n, &j, &shown);
	}
	jsonw_arr_end(&j);
	write_others(w, to, n_to, &b, &j);
	jsonw_key(&j, "truncated"), jsonw_bool(&j, shown > NODES_SHOWN);
	jsonw_obj_end(&j);
	return jsonw_ok(&j) ? OK : ERR_TOO_BIG;
}

/* ---- what a source reaches ---- */

static void write_routers(const struct policy_world *w, const struct rule *r, const struct sel *s, struct jsonw *j)
{
	const struct rule_dst d = { .sel = s->id, .rule = (uint32_t)(r - w->view->p->rule) };

	jsonw_key(j, "routers"), jsonw_arr(j);
	list_each(it, &w->view->routers) {
		const struct view_node *n = container_of(it, struct view_node, routing);
		const struct policy_named *named = named_by_id(w, n->id);

		if (named && dst_is_behind(w->view->p, w->view->cls[n->cls], &d))
			jsonw_str(j, named->name);
	}
	jsonw_arr_end(j);
}

static bool is_source_of(const struct policy_world *w, const struct crowd *from, size_t n, const struct rule *r)
{
	for (size_t i = 0; i < n; i++)
		if (probe_is_source(w->view, r, &from[i].first))
			return true;
	return false;
}

/* Ranges behind routers, and the internet. */
static void write_beyond(const struct policy_world *w, const struct crowd *from, size_t n_from, struct jsonw *j)
{
	const struct policy *p = w->view->p;

	jsonw_key(j, "beyond"), jsonw_arr(j);
	for (size_t i = 0; i < p->n_rules; i++) {
		const struct rule *r = &p->rule[i];

		if (!is_source_of(w, from, n_from, r))
			continue;
		for (size_t d = r->first_dst; d < r->first_dst + r->n_dst; d++) {
			const struct sel *s = p->sel[p->dst[d].sel];
			struct found f = { .rule = { r }, .n_rules = 1 };

			if (!p->dst[d].n_ports || (s->kind != SEL_RANGES && s->kind != SEL_INTERNET && !(s->kind == SEL_ANY && r->n_via)))
				continue;
			port_texts_add(&f.ports, &p->dst[d]);
			jsonw_obj(j);
			jsonw_key(j, "destination"), jsonw_str(j, s->name);
			write_found(j, p, &f);
			write_routers(w, r, s, j);
			jsonw_obj_end(j);
		}
	}
	jsonw_arr_end(j);
}

err policy_what_can_reach(const struct policy_world *w, const char *src, struct buf *out, char *why, size_t why_cap)
{
	CLEANUP(party_done) struct party a = { 0 };
	struct jsonw j = jsonw_init(out);
	size_t n_to, n_from, shown = 0;

	TRY(party_read(w, src, false, &a, why, why_cap));
	CLEANUP(freep) struct crowd *from = crowds_of(w, &a, &n_from), *to = crowds_of_all(w, &n_to);
	if (!to || !from)
		return ERR_NOMEM;
	if (!work_fits(w, n_from)) {
		snprintf(why, why_cap, "that is too much at once: ask for a part of it");
		return ERR_INVALID;
	}
	write_head(&j, "source", &a);
	jsonw_key(&j, "nodes"), jsonw_arr(&j);
	for (size_t k = 0; k < n_to; k++) {
		struct found f = { 0 };

		for (size_t i = 0; i < n_from; i++) {
			struct crowd one = to[k];

			one.n = from[i].n; /* counts the sources that get there */
			look(w, &from[i].first, &one, PROTO_ANY, -1, &f);
		}
		if (f.n_rules)
			write_crowd(w, &to[k], &f, a.n, &j, &shown);
	}
	jsonw_arr_end(&j);
	write_beyond(w, from, n_from, &j);
	jsonw_key(&j, "truncated"), jsonw_bool(&j, shown > NODES_SHOWN);
	jsonw_obj_end(&j);
	return jsonw_ok(&j) ? OK : ERR_TOO_BIG;
}
