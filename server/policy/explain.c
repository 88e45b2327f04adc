#include <stdio.h>
#include <stdlib.h>

#include "common/base/cleanup.h"
#include "server/policy/ask.h"
#include "server/policy/check.h"

/* Does one reach the other, by which rule, or which hop fails. Asked once for each pair of classes. */

enum { PAIRS_SHOWN = 32, RULES_SHOWN = 8, NEAR_SHOWN = 3, WORK_MAX = 20000000 /* pairs times rules */ };

static const char *const hop_name[] = { [HOP_SOURCE] = "source", [HOP_POSTURE] = "posture", [HOP_DESTINATION] = "destination",
	[HOP_ROUTE] = "route", [HOP_PROTOCOL] = "protocol", [HOP_PORT] = "port", [HOP_NONE] = "none" };

struct question {
	const struct policy_world *w;
	const struct party *src, *dst;
	struct jsonw *out;
	size_t most; /* pairs that are looked at */
};

static const char *const hop_why[] = {
	[HOP_SOURCE] = "no rule has this source",
	[HOP_POSTURE] = "a rule would let through, but its posture does not hold for the source",
	[HOP_DESTINATION] = "rules have this source, but none of them this destination",
	[HOP_ROUTE] = "a rule lets through, but no node that takes this carries a route to the address (announced, approved, and as via says)",
	[HOP_PROTOCOL] = "rules lead from this source to this destination, but not with this protocol",
	[HOP_PORT] = "rules lead from this source to this destination, but not to this port",
	[HOP_NONE] = "",
};

static void write_text(struct jsonw *w, const struct rule *r)
{
	struct buf text = buf_make(1 << 20);
	struct jsonw t = jsonw_init(&text);

	if (r->at)
		syntax_write(r->at, &t);
	if (text.bad || buf_len(&text) > 2000)
		buf_clear(&text);
	jsonw_key(w, "text"), jsonw_bytes(w, buf_view(&text));
	buf_done(&text);
}

static void write_postures(struct jsonw *w, const struct policy *p, const struct rule *r)
{
	jsonw_key(w, "postures"), jsonw_arr(w);
	for (size_t i = 0; i < p->n_postures; i++)
		if (p->set[r->src].postures >> i & 1)
			jsonw_str(w, p->posture[i].name);
	jsonw_arr_end(w);
}

/* Its ports, whatever was asked for: what stands there instead. */
static void write_all_ports(const struct question *q, const struct rule *r, const struct probe *src, const struct probe *dst)
{
	struct port_texts t = { 0 };

	rule_takes(q->w, r, src, dst, PROTO_ANY, -1, port_texts_add, &t);
	jsonw_key(q->out, "ports"), write_port_texts(q->out, &t);
}

static enum hop farthest(const struct question *q, const struct probe *src, const struct probe *dst)
{
	enum hop far = HOP_SOURCE;

	for (size_t i = 0; i < q->w->view->p->n_rules && far != HOP_NONE; i++)
		far = MAX_OF(far, rule_takes(q->w, &q->w->view->p->rule[i], src, dst, q->dst->proto, q->dst->port, NULL, NULL));
	return far;
}

static void write_rules(const struct question *q, const struct probe *src, const struct probe *dst)
{
	const struct policy *p = q->w->view->p;
	size_t shown = 0;

	jsonw_key(q->out, "rules"), jsonw_arr(q->out);
	for (size_t i = 0; i < p->n_rules && shown < RULES_SHOWN; i++) {
		struct port_texts t = { 0 };

		if (rule_takes(q->w, &p->rule[i], src, dst, q->dst->proto, q->dst->port, port_texts_add, &t) != HOP_NONE)
			continue;
		shown++;
		jsonw_obj(q->out);
		write_rule_place(q->out, p, &p->rule[i]);
		jsonw_key(q->out, "ports"), write_port_texts(q->out, &t);
		write_text(q->out, &p->rule[i]);
		jsonw_obj_end(q->out);
	}
	jsonw_arr_end(q->out);
}

static void write_near(const struct question *q, const struct probe *src, const struct probe *dst, enum hop hop)
{
	const struct policy *p = q->w->view->p;
	size_t shown = 0;

	jsonw_key(q->out, "near"), jsonw_arr(q->out);
	for (size_t i = 0; hop > HOP_SOURCE && i < p->n_rules && shown < NEAR_SHOWN; i++) {
		if (rule_takes(q->w, &p->rule[i], src, dst, q->dst->proto, q->dst->port, NULL, NULL) != hop)
			continue;
		shown++;
		jsonw_obj(q->out);
		write_rule_place(q->out, p, &p->rule[i]);
		if (hop == HOP_POSTURE)
			write_postures(q->out, p, &p->rule[i]);
		if (hop == HOP_PROTOCOL || hop == HOP_PORT)
			write_all_ports(q, &p->rule[i], src, dst);
		write_text(q->out, &p->rule[i]);
		jsonw_obj_end(q->out);
	}
	jsonw_arr_end(q->out);
}

/* Answers come by themselves, but who is asked about may only be the one who may ask. */
static void write_back(const struct question *q, const struct probe *src, const struct probe *dst)
{
	const struct policy *p = q->w->view->p;

	for (size_t i = 0; i < p->n_rules; i++)
		if (rule_takes(q->w, &p->rule[i], dst, src, q->dst->proto, q->dst->port, NULL, NULL) == HOP_NONE) {
			jsonw_key(q->out, "otherWayRound"), jsonw_obj(q->out);
			write_rule_place(q->out, p, &p->rule[i]);
			jsonw_obj_end(q->out);
			return;
		}
}

/* The first rule that gets that far. */
static const struct rule *first_rule(const struct question *q, const struct probe *src, const struct probe *dst, enum hop hop)
{
	const struct policy *p = q->w->view->p;

	for (size_t i = 0; hop > HOP_SOURCE && i < p->n_rules; i++)
		if (rule_takes(q->w, &p->rule[i], src, dst, q->dst->proto, q->dst->port, NULL, NULL) == hop)
			return &p->rule[i];
	return NULL;
}

static void write_pair(const struct question *q, const struct crowd *a, const struct crowd *b, enum hop hop)
{
	jsonw_obj(q->out);
	jsonw_key(q->out, "source"), write_probe(q->out, q->w, &a->first);
	jsonw_key(q->out, "destination"), write_probe(q->out, q->w, &b->first);
	jsonw_key(q->out, "count"), jsonw_uint(q->out, a->n * b->n);
	jsonw_key(q->out, "allowed"), jsonw_bool(q->out, hop == HOP_NONE);
	write_sentence(q->out, q->w, &a->first, &b->first, q->dst->proto, q->dst->port, hop, first_rule(q, &a->first, &b->first, hop));
	if (hop == HOP_NONE) {
		write_rules(q, &a->first, &b->first);
	} else {
		jsonw_key(q->out, "hop"), jsonw_str(q->out, hop_name[hop]);
		jsonw_key(q->out, "why"), jsonw_str(q->out, hop_why[hop]);
		write_near(q, &a->first, &b->first, hop);
		write_back(q, &a->first, &b->first);
	}
	jsonw_obj_end(q->out);
}

static const char *const kind_name[] = { [PARTY_UNKNOWN] = "unknown", [PARTY_ALL] = "all", [PARTY_NODE] = "node", [PARTY_USER] = "user",
	[PARTY_SELECTOR] = "selector", [PARTY_ADDRESS] = "address", [PARTY_RANGE] = "range", [PARTY_INTERNET] = "internet",
	[PARTY_SELF] = "self" };

static void write_party(struct jsonw *w, const struct policy *policy, const struct party *p, bool is_dst)
{
	char proto[16];
	size_t nodes = 0;

	(void)policy;
	for (size_t i = 0; i < p->n; i++)
		nodes += p->probe[i].node != NULL;
	jsonw_obj(w);
	jsonw_key(w, "text"), jsonw_str(w, p->text);
	jsonw_key(w, "kind"), jsonw_str(w, kind_name[p->kind]);
	jsonw_key(w, "nodes"), jsonw_uint(w, nodes);
	if (is_dst && p->port >= 0)
		jsonw_key(w, "port"), jsonw_int(w, p->port);
	if (is_dst && p->proto != PROTO_ANY)
		jsonw_key(w, "proto"), jsonw_str(w, policy_proto_name(p->proto, proto));
	if (*p->why)
		jsonw_key(w, "why"), jsonw_str(w, p->why);
	jsonw_obj_end(w);
}

/* The own nodes of a source's user. */
static err self_of(const struct policy_world *w, const struct probe *src, struct party *out)
{
	size_t at = 0;

	*out = (struct party){ .kind = PARTY_SELF, .probe = calloc(w->view->by_id.n + 1, sizeof(struct probe)) };
	if (!out->probe)
		return ERR_NOMEM;
	for (struct view_node *n; src->node && src->node->user_id && (n = map_next(&w->view->by_id, &at));)
		if (n->user_id == src->node->user_id)
			out->probe[out->n++] = (struct probe){ .node = n };
	return OK;
}

struct tally {
	size_t yes, no, shown, pairs;
};

static err ask_all(const struct question *q, const struct crowd *from, size_t n_from, struct tally *t)
{
	size_t n_to = 0;
	CLEANUP(freep) struct crowd *to = q->dst->kind == PARTY_SELF ? NULL : crowds_of(q->w, q->dst, &n_to);

	if (q->dst->kind != PARTY_SELF && !to)
		return ERR_NOMEM;
	for (size_t i = 0; i < n_from; i++) {
		if (q->dst->kind == PARTY_SELF) {
			CLEANUP(party_done) struct party own = { 0 };
			TRY(self_of(q->w, &from[i].first, &own));
			free(to);
			to = crowds_of(q->w, &own, &n_to);
			if (!to)
				return ERR_NOMEM;
		}
		for (size_t k = 0; k < n_to && t->pairs < q->most; k++) {
			enum hop hop = farthest(q, &from[i].first, &to[k].first);

			t->pairs++;
			t->yes += hop == HOP_NONE ? from[i].n * to[k].n : 0;
			t->no += hop == HOP_NONE ? 0 : from[i].n * to[k].n;
			if (t->shown++ < PAIRS_SHOWN)
				write_pair(q, &from[i], &to[k], hop);
		}
	}
	return OK;
}

err policy_explain(const struct policy_world *w, const char *src, const char *dst, struct buf *out, char *why, size_t why_cap)
{
	CLEANUP(party_done) struct party a = { 0 }, b = { 0 };
	struct jsonw j = jsonw_init(out);
	struct tally t = { 0 };
	size_t n;

	TRY(party_read(w, src, false, &a, why, why_cap));
	TRY(party_read(w, dst, true, &b, why, why_cap));
	CLEANUP(freep) struct crowd *from = crowds_of(w, &a, &n);
	if (!from)
		return ERR_NOMEM;
	struct question q = { w, &a, &b, &j, WORK_MAX / (w->view->p->n_rules + 1) };
	jsonw_obj(&j);
	jsonw_key(&j, "source"), write_party(&j, w->view->p, &a, false);
	jsonw_key(&j, "destination"), write_party(&j, w->view->p, &b, true);
	jsonw_key(&j, "pairs"), jsonw_arr(&j);
	TRY(ask_all(&q, from, n, &t));
	jsonw_arr_end(&j);
	jsonw_key(&j, "allowed"), jsonw_str(&j, t.yes && t.no ? "some" : t.yes ? "yes" : "no");
	jsonw_key(&j, "allowedPairs"), jsonw_uint(&j, t.yes);
	jsonw_key(&j, "deniedPairs"), jsonw_uint(&j, t.no);
	jsonw_key(&j, "truncated"), jsonw_bool(&j, t.shown > PAIRS_SHOWN || t.pairs >= q.most);
	jsonw_obj_end(&j);
	return jsonw_ok(&j) ? OK : ERR_TOO_BIG;
}
