#include <stdio.h>

#include "common/base/cleanup.h"
#include "server/policy/ask.h"
#include "server/policy/check.h"
#include "server/policy/bunch.h"

/* An answer as one would say it, and the steps it goes through: machine, person, group, rule, tag, machine. */

struct telling {
	const struct policy_world *w;
	const struct probe *src, *dst;
	const struct rule *rule; /* that lets through, or came nearest; NULL: none */
	enum hop hop;
	int16_t proto;
	int port;
	const struct sel *from, *to; /* of the rule: that match; NULL: none does */
	char from_name[QUERY_TEXT_MAX], to_name[QUERY_TEXT_MAX];
	const char *from_user, *to_user; /* logins; NULL: tagged, or no node */
};

static const char *name_probe(const struct policy_world *w, const struct probe *p, char out[QUERY_TEXT_MAX], const char **user)
{
	const struct policy_named *n = p->node ? named_by_id(w, p->node->id) : NULL;
	char text[ADDR_TEXT_MAX];

	*user = n && !n->node->n_tags && n->node->user ? n->node->user->login : NULL;
	snprintf(out, QUERY_TEXT_MAX, "%s", n ? n->name : addr_text(p->addr, text));
	return out;
}

/* What says most about who it is. */
static int worth(const struct sel *s)
{
	switch (s->kind) {
	case SEL_GROUP:
		return 9;
	case SEL_TAG:
		return 8;
	case SEL_USER:
		return 7;
	case SEL_SELF:
		return 6;
	case SEL_ROLE:
	case SEL_DOMAIN:
		return 5;
	case SEL_RANGES:
		return 4;
	case SEL_MEMBER:
	case SEL_TAGGED:
	case SEL_SHARED:
		return 3;
	case SEL_INTERNET:
		return 2;
	case SEL_ANY:
	case SEL_DANGER:
		return 1;
	}
	return 0;
}

static void find_source(struct telling *t)
{
	const struct policy_view *v = t->w->view;
	const struct sel_set *set = &v->p->set[t->rule->src];

	for (size_t i = 0; i < set->n; i++) {
		const struct sel *s = v->p->sel[set->sel[i]];
		bool is = t->src->node ? class_has(v->cls[t->src->node->cls]->by_who, v->cls[t->src->node->cls]->n_who, s->id) :
			  s->kind == SEL_ANY || s->kind == SEL_DANGER || (s->kind == SEL_RANGES && ranges_have(s, t->src->addr));

		if (is && (!t->from || worth(s) > worth(t->from)))
			t->from = s;
	}
}

static void find_destination(struct telling *t)
{
	const struct policy *p = t->w->view->p;

	for (size_t d = t->rule->first_dst; d < t->rule->first_dst + t->rule->n_dst; d++) {
		const struct sel *s = p->sel[p->dst[d].sel];

		if (probe_is_destination(t->w->view, &p->dst[d], t->src, t->dst) && (!t->to || worth(s) > worth(t->to)))
			t->to = s;
	}
}

/* ---- the sentence ---- */

static const char *source_words(const struct telling *t)
{
	if (!t->from)
		return t->from_name;
	switch (t->from->kind) {
	case SEL_ANY:
	case SEL_DANGER:
		return "everyone";
	case SEL_MEMBER:
		return "every member";
	case SEL_TAGGED:
		return "every tagged machine";
	default:
		return t->from->name;
	}
}

static const char *destination_words(const struct telling *t)
{
	if (!t->to)
		return t->to_name;
	switch (t->to->kind) {
	case SEL_ANY:
		return "everything";
	case SEL_SELF:
		return "their own machines";
	case SEL_INTERNET:
		return "the internet";
	case SEL_MEMBER:
		return "every member's machines";
	case SEL_TAGGED:
		return "every tagged machine";
	default:
		return t->to->name;
	}
}

/* Who the source is: "laptop belongs to ann@example.com, who is in group:ops; ". */
static void say_source(const struct telling *t, struct buf *out)
{
	enum sel_kind k = t->from ? t->from->kind : SEL_ANY;

	if (k == SEL_TAG)
		buf_printf(out, "%s has %s; ", t->from_name, t->from->name);
	else if (t->from_user && k == SEL_GROUP)
		buf_printf(out, "%s belongs to %s, who is in %s; ", t->from_name, t->from_user, t->from->name);
	else if (t->from_user && k == SEL_ROLE)
		buf_printf(out, "%s belongs to %s, who is in %s; ", t->from_name, t->from_user, t->from->name);
	else if (t->from_user && (k == SEL_USER || k == SEL_MEMBER || k == SEL_DOMAIN))
		buf_printf(out, "%s belongs to %s; ", t->from_name, t->from_user);
}

static void say_destination(const struct telling *t, struct buf *out)
{
	if (!t->to)
		return;
	if (t->to->kind == SEL_TAG)
		buf_printf(out, "; %s has that tag", t->to_name);
	else if (t->to->kind == SEL_GROUP && t->to_user)
		buf_printf(out, "; %s belongs to %s, who is in that group", t->to_name, t->to_user);
	else if (t->to->kind == SEL_SELF && t->to_user)
		buf_printf(out, "; both belong to %s", t->to_user);
	else if ((t->to->kind == SEL_USER || t->to->kind == SEL_ROLE || t->to->kind == SEL_DOMAIN) && t->to_user)
		buf_printf(out, "; %s belongs to %s", t->to_name, t->to_user);
	else if (t->to->kind == SEL_RANGES && t->dst->node)
		buf_printf(out, "; %s has such an address", t->to_name);
}

static void say_ports(const struct telling *t, struct buf *out)
{
	const struct policy *p = t->w->view->p;
	struct port_sets sets;

	if (port_sets_init(&sets) == OK) {
		for (size_t d = t->rule->first_dst; d < t->rule->first_dst + t->rule->n_dst; d++)
			if (probe_is_destination(t->w->view, &p->dst[d], t->src, t->dst))
				port_sets_add(&sets, &p->dst[d]);
		port_set_words(port_sets_make(&sets), out);
	}
	port_sets_done(&sets);
}

static void say_asked(const struct telling *t, struct buf *out)
{
	char name[16];

	if (t->proto != PROTO_ANY)
		buf_append_str(out, policy_proto_name(t->proto, name));
	if (t->port >= 0)
		buf_printf(out, "%s%d", t->proto != PROTO_ANY ? " " : "", t->port);
	if (t->proto == PROTO_ANY && t->port < 0)
		buf_append_str(out, "any port");
}

static void say_line(const struct telling *t, const char *word, struct buf *out)
{
	if (!t->rule->at)
		buf_printf(out, "%s rule is set, so everyone may reach everyone", word[0] == 'L' ? "No" : "no");
	else
		buf_printf(out, "%s %u lets %s reach %s", word, t->rule->line, source_words(t), destination_words(t));
}

static void say_postures(const struct telling *t, struct buf *out)
{
	const struct policy *p = t->w->view->p;
	const char *comma = "";

	for (size_t i = 0; i < p->n_postures; i++)
		if (p->set[t->rule->src].postures >> i & 1) {
			buf_printf(out, "%s%s", comma, p->posture[i].name);
			comma = " or ";
		}
}

static void say_no(const struct telling *t, struct buf *out)
{
	buf_append_str(out, "No. ");
	switch (t->hop) {
	case HOP_SOURCE:
		buf_printf(out, "No rule has %s as a source", t->from_name);
		if (t->from_user)
			buf_printf(out, ", nor %s", t->from_user);
		buf_append_str(out, ".");
		return;
	case HOP_DESTINATION:
		buf_printf(out, "Rules let %s reach other machines, but none of them leads to %s.", t->from_name, t->to_name);
		return;
	case HOP_ROUTE:
		say_line(t, "Line", out);
		if (ways_exist(t->w->view, t->dst->addr))
			buf_printf(out, ", but no machine that carries a route to %s takes this from %s.", t->to_name, t->from_name);
		else
			buf_printf(out, ", but no machine carries a route to %s.", t->to_name);
		return;
	case HOP_POSTURE:
		say_line(t, "Line", out);
		buf_append_str(out, ", but only from machines for which ");
		say_postures(t, out);
		buf_printf(out, " holds; for %s it does not.", t->from_name);
		return;
	case HOP_PROTOCOL:
	case HOP_PORT:
		say_line(t, "Line", out);
		buf_append_str(out, ", but only on ");
		say_ports(t, out);
		buf_append_str(out, "; you asked for ");
		say_asked(t, out);
		buf_append_str(out, ".");
		return;
	case HOP_NONE:
		return;
	}
}

static void say_yes(const struct telling *t, struct buf *out)
{
	buf_append_str(out, "Yes. ");
	say_source(t, out);
	size_t at = buf_len(out);
	say_line(t, at > 5 ? "line" : "Line", out);
	if (t->rule->at) {
		buf_append_str(out, " on ");
		say_ports(t, out);
		say_destination(t, out);
	}
	buf_append_str(out, ".");
}

/* ---- the chain ---- */

static void step(struct jsonw *w, const char *kind, const char *text)
{
	jsonw_obj(w);
	jsonw_key(w, "kind"), jsonw_str(w, kind);
	jsonw_key(w, "text"), jsonw_str(w, text);
	jsonw_obj_end(w);
}

static void step_probe(struct jsonw *w, const struct probe *p, const char *name)
{
	char id[24];

	jsonw_obj(w);
	jsonw_key(w, "kind"), jsonw_str(w, p->node ? "machine" : "range");
	jsonw_key(w, "text"), jsonw_str(w, name);
	if (p->node) {
		snprintf(id, sizeof id, "%lld", (long long)p->node->id);
		jsonw_key(w, "id"), jsonw_str(w, id);
	}
	jsonw_obj_end(w);
}

static void step_rule(struct jsonw *w, const struct telling *t)
{
	struct buf text = buf_make(512);

	if (t->hop == HOP_DESTINATION)
		buf_printf(&text, "line %u leads elsewhere", t->rule->line);
	else
		say_line(t, "line", &text);
	jsonw_obj(w);
	jsonw_key(w, "kind"), jsonw_str(w, "rule");
	jsonw_key(w, "text"), jsonw_bytes(w, buf_view(&text));
	jsonw_key(w, "line"), jsonw_uint(w, t->rule->at ? t->rule->line : 0);
	jsonw_obj_end(w);
	buf_done(&text);
}

static void write_chain(struct jsonw *w, const struct telling *t)
{
	jsonw_key(w, "chain"), jsonw_arr(w);
	step_probe(w, t->src, t->from_name);
	if (t->from_user)
		step(w, "person", t->from_user);
	if (t->from && t->from->kind != SEL_USER)
		step(w, sel_kind_name(t->from), t->from->name);
	if (t->rule)
		step_rule(w, t);
	if (t->to && t->to->kind != SEL_USER)
		step(w, sel_kind_name(t->to), t->to->name);
	if (t->to_user && t->to && t->to->kind != SEL_ANY)
		step(w, "person", t->to_user);
	step_probe(w, t->dst, t->to_name);
	jsonw_arr_end(w);
}

void write_sentence(struct jsonw *w, const struct policy_world *world, const struct probe *src, const struct probe *dst, int16_t proto, int port,
		    enum hop hop, const struct rule *rule)
{
	struct telling t = { .w = world, .src = src, .dst = dst, .rule = rule, .hop = hop, .proto = proto, .port = port };
	struct buf out = buf_make(64 << 10);

	name_probe(world, src, t.from_name, &t.from_user);
	name_probe(world, dst, t.to_name, &t.to_user);
	if (rule) {
		find_source(&t);
		if (hop != HOP_DESTINATION) /* a rule with via names it, perhaps, and yet does not lead to it */
			find_destination(&t);
	}
	if (hop == HOP_NONE && rule)
		say_yes(&t, &out);
	else
		say_no(&t, &out);
	jsonw_key(w, "sentence"), jsonw_bytes(w, buf_view(&out));
	write_chain(w, &t);
	buf_done(&out);
}
