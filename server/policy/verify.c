#include "server/policy/rules.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/cleanup.h"

enum {
	VERIFY_WORK_MAX = 300000000, /* rules and classes looked at: seconds of a worker */
	SSH_WORK = 5,		     /* what a rule of ssh costs more than one of acls */
	PAIR_WORK = 64,		     /* of sshTests: pairs are kept, so that they count for more */
};

/* What can only be said of a policy with the tailnet at hand: do its tests hold, are its domains the tailnet's? */

struct verify {
	struct policy_view *v;
	verify_each *each;
	void *ctx;
};

/* One expectation that holds, or does not: then fmt says why. */
static void hold(const struct verify *x, const struct verify_result *r)
{
	struct verify_result done = *r;

	done.passed = true;
	done.text = "";
	x->each(x->ctx, &done);
}

static void __attribute__((format(printf, 3, 4))) fault(const struct verify *x, const struct verify_result *r, const char *fmt, ...)
{
	struct verify_result done = *r;
	char text[sizeof((struct policy_fault *)0)->text];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap); /* cut when longer */
	va_end(ap);
	done.text = text;
	x->each(x->ctx, &done);
}

/* ---- domains ---- */

static bool is_domain(const struct policy_view *v, const char *domain, const char *const *domains, size_t n)
{
	size_t at = 0;

	for (size_t i = 0; i < n; i++)
		if (strcmp(domains[i], domain) == 0)
			return true;
	for (struct view_node *x; !domains && (x = map_next(&v->by_id, &at));) {
		const char *mail = strrchr(x->email, '@');

		if (mail && strcmp(mail + 1, domain) == 0)
			return true;
	}
	return false;
}

static void verify_domains(const struct verify *x, const char *const *domains, size_t n)
{
	const struct policy_view *v = x->v;

	for (size_t i = 0; i < v->p->n_ssh; i++) {
		const struct ssh_rule *r = &v->p->ssh[i];

		for (size_t k = 0; k < r->n_localparts; k++)
			if (!is_domain(v, r->localpart[k], domains, n))
				fault(x, &(struct verify_result){ .line = r->localpart_line, .column = r->localpart_column },
				      "%s is not associated with this Tailnet and cannot be used in localpart:*@<domain>: no user has "
				      "such an address", r->localpart[k]);
	}
}

/* ---- what a name in a test stands for ---- */

struct probes {
	struct probe *list; /* owned */
	size_t n;
};

static bool probes_add(struct probes *p, struct probe one)
{
	struct probe *grown = reallocarray(p->list, p->n + 1, sizeof *grown);

	if (!grown)
		return false;
	p->list = grown;
	p->list[p->n++] = one;
	return true;
}

/* beside: whose own nodes autogroup:self means. */
static err resolve(struct policy_view *v, const struct sel *s, const struct view_node *beside, struct probes *out)
{
	if (s->kind == SEL_RANGES) {
		struct addr a = s->n_ranges ? s->ranges[0].first : (struct addr){ 0 };

		return probes_add(out, (struct probe){ .node = view_node_at(v, a), .addr = a }) ? OK : ERR_NOMEM;
	}
	uint32_t id = s->id;
	struct sel_set set = { .sel = &id, .n = 1 };
	size_t n;
	CLEANUP(freep) struct view_node **list = view_members(v, &set, 0, &n);
	if (!list)
		return ERR_NOMEM;
	for (size_t i = 0; s->kind != SEL_SELF && i < n; i++)
		if (!probes_add(out, (struct probe){ .node = list[i] }))
			return ERR_NOMEM;
	size_t at = 0;
	for (struct view_node *x; s->kind == SEL_SELF && beside && beside->user_id && (x = map_next(&v->by_id, &at));)
		if (x->user_id == beside->user_id && !probes_add(out, (struct probe){ .node = x }))
			return ERR_NOMEM;
	return OK;
}

/* ---- tests ---- */

static bool is_tailnet_source(const struct policy_view *v, struct addr a)
{
	if (addr_is_tailscale(a))
		return true;
	list_each(it, &v->routers) {
		const struct view_node *n = container_of(it, struct view_node, routing);

		for (size_t i = 0; i < n->n_routes; i++)
			if (n->routes[i].bits > 0 && prefix_contains(n->routes[i], a))
				return true;
	}
	return false;
}

bool probe_is_source(const struct policy_view *v, const struct rule *r, const struct probe *src)
{
	const struct policy *p = v->p;
	const struct sel_set *set = &p->set[r->src];

	if (src->node && src->postures) {
		struct policy_class as_if = *v->cls[src->node->cls];

		as_if.postures = *src->postures;
		return class_in_set(v, &as_if, set);
	}
	if (src->node)
		return class_in_set(v, v->cls[src->node->cls], set);
	for (size_t i = 0; !set->postures && i < set->n; i++) {
		const struct sel *s = p->sel[set->sel[i]];

		if (s->kind == SEL_DANGER || (s->kind == SEL_ANY && is_tailnet_source(v, src->addr)) ||
		    (s->kind == SEL_RANGES && ranges_have(s, src->addr)))
			return true;
	}
	return false;
}

bool probe_is_destination(const struct policy_view *v, const struct rule_dst *d, const struct probe *src, const struct probe *dst)
{
	const struct policy *p = v->p;
	const struct sel *s = p->sel[d->sel];

	if (s->kind == SEL_ANY)
		return true;
	if (s->kind == SEL_SELF)
		return src->node && dst->node && src->node->user_id && src->node->user_id == dst->node->user_id;
	if (dst->node)
		return class_has(v->cls[dst->node->cls]->by_who, v->cls[dst->node->cls]->n_who, d->sel);
	if (s->kind == SEL_INTERNET) {
		size_t n;
		const struct range *net = range_internet(&n);

		for (size_t i = 0; i < n; i++)
			if (range_has(net[i], dst->addr))
				return true;
	}
	return s->kind == SEL_RANGES && ranges_have(s, dst->addr);
}

bool dst_carries_proto(const struct rule_dst *d, int16_t proto)
{
	int16_t asked = proto == PROTO_ANY ? 6 : proto;

	return d->proto == PROTO_ANY ? asked == 6 || asked == 17 || asked == 1 || asked == 58 : d->proto == asked;
}

bool dst_carries(const struct rule_dst *d, int16_t proto, uint16_t port)
{
	if (!dst_carries_proto(d, proto))
		return false;
	for (size_t i = 0; i < d->n_ports; i++)
		if (d->ports[i].first <= port && port <= d->ports[i].last)
			return true;
	return false;
}

static bool is_let_through(struct policy_view *v, const struct probe *src, const struct probe *dst, int16_t proto, uint16_t port,
			   const struct rule **by)
{
	const struct policy *p = v->p;

	v->work += p->n_rules + 1;
	for (size_t i = 0; i < p->n_rules; i++) {
		const struct rule *r = &p->rule[i];

		if (!probe_is_source(v, r, src))
			continue;
		for (size_t d = r->first_dst; d < r->first_dst + r->n_dst; d++)
			if (dst_carries(&p->dst[d], proto, port) && probe_is_destination(v, &p->dst[d], src, dst)) {
				*by = r;
				return true;
			}
	}
	return false;
}

#define TEST_FAILED "test(s) failed: "

static err verify_target(const struct verify *k, const struct reach_test *t, const struct probes *from, const struct test_target *x, bool wanted)
{
	struct verify_result r = { .line = x->line, .column = x->column, .src = t->src_text, .dst = x->text,
				   .expected = wanted ? "accept" : "deny", .test = true };
	bool through = false, stopped = false;
	struct policy_view *v = k->v;

	if (!x->sel) {
		fault(k, &r, TEST_FAILED "\"%s\": %s", x->text, x->why ? x->why : "it means nothing here");
		return OK;
	}
	for (size_t i = 0; i < from->n; i++) {
		struct probes to = { 0 };
		err e = resolve(v, x->sel, from->list[i].node, &to);

		v->work += v->n_cls;
		for (size_t m = 0; e == OK && m < to.n && v->work < VERIFY_WORK_MAX; m++) {
			bool yes = is_let_through(v, &from->list[i], &to.list[m], t->proto, x->port, &r.by);

			through |= yes;
			stopped |= !yes;
		}
		stopped |= e == OK && to.n == 0;
		free(to.list);
		TRY(e);
	}
	if (wanted && stopped)
		fault(k, &r, TEST_FAILED "%s should reach \"%s\", but %s", t->src_text, x->text,
		      through ? "does not from or to every node" : "no rule lets it through");
	else if (!wanted && (through || x->sel->kind == SEL_INTERNET))
		fault(k, &r, TEST_FAILED "%s should not reach \"%s\", but %s", t->src_text, x->text,
		      through ? "a rule lets it through" : "nobody can tell for every address of the internet");
	else
		hold(k, &r);
	return OK;
}

static err verify_test(const struct verify *k, const struct reach_test *t)
{
	struct verify_result r = { .line = t->line, .column = t->column, .src = t->src_text, .dst = "", .expected = "accept", .test = true };
	struct policy_view *v = k->v;
	struct probes from = { 0 };

	if (!t->src) {
		fault(k, &r, TEST_FAILED "%s", t->src_why ? t->src_why : "src means nothing here");
		return OK;
	}
	/* One attempt to connect to one port, as the service has it (conformance/policy policytest-proto-icmp). */
	if (t->proto != PROTO_ANY && t->proto != 6 && t->proto != 17 && t->proto != 132) {
		fault(k, &r, TEST_FAILED "src=\"%s\": proto: a test tries tcp, udp or sctp", t->src_text);
		return OK;
	}
	if (!t->n_accept && !t->n_deny) {
		fault(k, &r, TEST_FAILED "src=\"%s\": the test names nothing under accept or deny", t->src_text);
		return OK;
	}
	err e = resolve(v, t->src, NULL, &from);
	const uint64_t postures = policy_postures(v->p, &(struct policy_node){ .attrs = t->attr, .n_attrs = t->n_attrs });
	for (size_t i = 0; t->has_attrs && i < from.n; i++)
		from.list[i].postures = &postures;
	if (e == OK && !from.n)
		fault(k, &r, TEST_FAILED "src=\"%s\": no node is that now", t->src_text);
	for (size_t i = 0; e == OK && from.n && i < t->n_accept; i++)
		e = verify_target(k, t, &from, &t->accept[i], true);
	for (size_t i = 0; e == OK && from.n && i < t->n_deny; i++)
		e = verify_target(k, t, &from, &t->deny[i], false);
	free(from.list);
	return e;
}

/* ---- sshTests ---- */

static const char *const list_name[] = { "accept", "deny", "check" };

static bool is_as_wanted(enum policy_ssh got, int list)
{
	return list == 0 ? got != POLICY_SSH_NO : list == 1 ? got == POLICY_SSH_NO : got == POLICY_SSH_CHECK;
}

struct ssh_pair {
	int64_t src, dst;
};

struct ssh_pairs {
	struct ssh_pair *list; /* owned */
	size_t n;
};

static err pairs_of(struct policy_view *v, const struct probes *from, const struct test_target *x, struct ssh_pairs *out)
{
	for (size_t i = 0; x->sel && i < from->n; i++) {
		struct probes to = { 0 };
		err e = from->list[i].node ? resolve(v, x->sel, from->list[i].node, &to) : OK;

		v->work += v->n_cls + PAIR_WORK * to.n;
		if (e == OK && v->work < VERIFY_WORK_MAX && to.n) {
			struct ssh_pair *grown = reallocarray(out->list, out->n + to.n, sizeof *grown);

			out->list = grown ? grown : out->list;
			e = grown ? OK : ERR_NOMEM;
			for (size_t k = 0; grown && k < to.n; k++)
				if (to.list[k].node)
					grown[out->n++] = (struct ssh_pair){ from->list[i].node->id, to.list[k].node->id };
		}
		free(to.list);
		TRY(e);
	}
	return OK;
}

/* As one local user, from and to all of them. */
static void verify_user(const struct verify *k, const struct ssh_test *t, const struct test_target *x, const struct ssh_pairs *pairs, int list,
			const char *user)
{
	static const char *const got_name[] = { "no rule lets it in", "it is let in", "it is let in after a check" };
	struct verify_result r = { .line = x->line, .column = x->column, .src = t->src_text, .dst = x->text, .expected = list_name[list],
				   .test = true, .ssh = true, .user = user };
	int64_t period;

	for (size_t i = 0; i < pairs->n && k->v->work < VERIFY_WORK_MAX; i++) {
		enum policy_ssh got = policy_view_ssh_action(k->v, pairs->list[i].src, pairs->list[i].dst, user, &period);

		k->v->work += SSH_WORK * (k->v->p->n_ssh + 1);
		if (is_as_wanted(got, list))
			continue;
		fault(k, &r, TEST_FAILED "ssh from %s to %s as \"%s\": %s was expected, but %s", t->src_text, x->text, user, list_name[list],
		      got_name[got]);
		return;
	}
	hold(k, &r);
}

static err verify_ssh_dst(const struct verify *k, const struct ssh_test *t, const struct probes *from, const struct test_target *x)
{
	const struct verify_result r = { .line = x->line, .column = x->column, .src = t->src_text, .dst = x->text, .expected = "accept",
					 .test = true, .ssh = true };
	struct ssh_pairs pairs = { 0 };
	err e = pairs_of(k->v, from, x, &pairs);

	if (e == OK && !pairs.n)
		fault(k, &r, TEST_FAILED "ssh from %s to \"%s\": %s", t->src_text, x->text, x->why ? x->why : "no node is that now");
	for (int list = 0; e == OK && pairs.n && list < 3; list++)
		for (size_t i = 0; i < t->n_users[list]; i++)
			verify_user(k, t, x, &pairs, list, t->user[list][i]);
	free(pairs.list);
	return e;
}

static err verify_ssh(const struct verify *k, const struct ssh_test *t)
{
	const struct verify_result r = { .line = t->line, .column = t->column, .src = t->src_text, .dst = "", .expected = "accept", .test = true,
					 .ssh = true };
	struct probes from = { 0 };
	err e = t->src ? resolve(k->v, t->src, NULL, &from) : OK;

	if (!t->src)
		fault(k, &r, TEST_FAILED "%s", t->src_why ? t->src_why : "src means nothing here");
	else if (e == OK && !from.n)
		fault(k, &r, TEST_FAILED "src=\"%s\": no node is that now", t->src_text);
	else if (e == OK && !t->n_dst)
		fault(k, &r, TEST_FAILED "dst is missing");
	else if (e == OK && !(t->n_users[0] + t->n_users[1] + t->n_users[2]))
		fault(k, &r, TEST_FAILED "the test names no user under accept, deny or check");
	else
		for (size_t i = 0; e == OK && i < t->n_dst; i++)
			e = verify_ssh_dst(k, t, &from, &t->dst[i]);
	free(from.list);
	return e;
}

err policy_verify_each(struct policy_view *v, const char *const *domains, size_t n_domains, verify_each *each, void *ctx)
{
	const struct verify k = { v, each, ctx };

	v->work = 0;
	verify_domains(&k, domains, n_domains);
	for (size_t i = 0; i < v->p->n_tests && v->work < VERIFY_WORK_MAX; i++)
		TRY(verify_test(&k, &v->p->test[i]));
	for (size_t i = 0; i < v->p->n_ssh_tests && v->work < VERIFY_WORK_MAX; i++)
		TRY(verify_ssh(&k, &v->p->ssh_test[i]));
	if (v->work >= VERIFY_WORK_MAX)
		fault(&k, &(struct verify_result){ 0 },
		      "the tests take too long: they ask about too many nodes at once; name single nodes, or fewer rules");
	return OK;
}

static void take_fault(void *ctx, const struct verify_result *r)
{
	struct policy_faults *f = ctx;

	if (r->passed || f->n == POLICY_FAULTS_MAX)
		return;
	f->fault[f->n] = (struct policy_fault){ .line = r->line, .column = r->column };
	snprintf(f->fault[f->n++].text, sizeof f->fault[0].text, "%s", r->text);
}

err policy_verify(struct policy_view *v, const char *const *domains, size_t n_domains, struct policy_faults *faults)
{
	faults->n = 0;
	TRY(policy_verify_each(v, domains, n_domains, take_fault, faults));
	return faults->n ? ERR_INVALID : OK;
}
