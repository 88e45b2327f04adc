#include <stdio.h>
#include <stdlib.h>

#include "common/base/cleanup.h"
#include "server/policy/ask.h"
#include "server/policy/syntax.h"

/* Which rules are about somebody, as they were written: Tailscale's acl/preview. */

static const struct syntax *part(const struct rule *r, const char *name, const char *older)
{
	for (const struct syntax *v = r->at ? r->at->first : NULL; v; v = v->next)
		if (bytes_eq_nocase(bytes_str(v->key), bytes_str(name)) || bytes_eq_nocase(bytes_str(v->key), bytes_str(older)))
			return v;
	return NULL;
}

static void write_part(struct jsonw *w, const struct syntax *list, const char *otherwise)
{
	jsonw_arr(w);
	if (!list)
		jsonw_str(w, otherwise);
	for (const struct syntax *v = list ? list->first : NULL; v; v = v->next)
		if (v->kind == SYNTAX_STRING)
			jsonw_str(w, v->text);
	jsonw_arr_end(w);
}

/* Grants keep ports apart: each destination with each of them. */
static void write_ports(struct jsonw *w, const struct rule *r)
{
	const struct syntax *dst = part(r, "dst", "ports"), *ip = part(r, "ip", "ip");

	if (!ip) {
		write_part(w, dst, "*:*");
		return;
	}
	jsonw_arr(w);
	for (const struct syntax *d = dst ? dst->first : NULL; d; d = d->next)
		for (const struct syntax *p = ip->first; p; p = p->next)
			if (d->kind == SYNTAX_STRING && p->kind == SYNTAX_STRING) {
				CLEANUP(buf_done) struct buf text = buf_make(4096);
				buf_printf(&text, "%s:%s", d->text, p->text);
				jsonw_bytes(w, buf_view(&text));
			}
	jsonw_arr_end(w);
}

static void write_match(struct jsonw *w, const struct rule *r)
{
	const struct syntax *via = part(r, "via", "via"), *postures = part(r, "srcPosture", "srcPosture");

	jsonw_obj(w);
	jsonw_key(w, "users"), write_part(w, part(r, "src", "users"), "*");
	jsonw_key(w, "ports"), write_ports(w, r);
	jsonw_key(w, "lineNumber"), jsonw_uint(w, r->at ? r->line : 0);
	if (via)
		jsonw_key(w, "via"), write_part(w, via, "");
	if (postures)
		jsonw_key(w, "postures"), write_part(w, postures, "");
	jsonw_obj_end(w);
}

static bool is_from(const struct policy_world *w, const struct rule *r, const struct crowd *from, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (probe_is_source(w->view, r, &from[i].first))
			return true;
	return false;
}

static bool lets_in(const struct policy_world *w, const struct rule *r, const struct crowd *from, size_t n_from, const struct crowd *to, size_t n_to,
		const struct party *b)
{
	for (size_t i = 0; i < n_from; i++)
		for (size_t k = 0; k < n_to; k++)
			if (rule_takes(w, r, &from[i].first, &to[k].first, b->proto, b->port, NULL, NULL) == HOP_NONE)
				return true;
	return false;
}

err policy_matches(const struct policy_world *w, bool is_dst, const char *whom, struct jsonw *out, char *why, size_t why_cap)
{
	CLEANUP(party_done) struct party b = { 0 };
	const struct policy *p = w->view->p;
	size_t n, n_all;

	TRY(party_read(w, whom, is_dst, &b, why, why_cap));
	CLEANUP(freep) struct crowd *one = crowds_of(w, &b, &n), *all = crowds_of_all(w, &n_all);
	if (!one || !all)
		return ERR_NOMEM;
	if (is_dst && n_all * n * p->n_rules > MATCHES_WORK_MAX) {
		snprintf(why, why_cap, "that is too much at once: ask for one address");
		return ERR_INVALID;
	}
	jsonw_key(out, "matches"), jsonw_arr(out);
	for (size_t i = 0; i < p->n_rules; i++) {
		const struct rule *r = &p->rule[i];
		if (is_dst ? lets_in(w, r, all, n_all, one, n, &b) : is_from(w, r, one, n))
			write_match(out, r);
	}
	jsonw_arr_end(out);
	return OK;
}
