#include <stdio.h>

#include "common/base/cleanup.h"
#include "server/policy/check.h"

/* tests and sshTests are read here; verify.c runs them against the nodes. A name in a test that means nothing is no fault of
 * the policy's form: the test fails, and says so. */

enum {
	TAKES_TESTED = TAKES_ANY | TAKES_USER | TAKES_GROUP | TAKES_TAG | TAKES_RANGES | TAKES_MEMBER | TAKES_TAGGED | TAKES_SELF |
		       TAKES_ROLE | TAKES_DOMAIN,
	TARGETS_MAX = 1024, /* of one list */
};

/* Like check_sel, but the fault becomes the reason why the test fails. */
static const struct sel *tested(struct check *c, const struct syntax *at, const char *text, const char *where, const char **why)
{
	struct policy_faults here = { 0 }, *outer = c->faults;

	c->faults = &here;
	const struct sel *s = check_sel(c, at, text, TAKES_TESTED, where);
	c->faults = outer;
	if (!s && here.n)
		*why = check_text(c, bytes_str(here.fault[0].text));
	return s;
}

static void check_src(struct check *c, const struct syntax *v, const char **text, const struct sel **sel, const char **why)
{
	const struct syntax *src = check_get(v, "src");

	*text = src && src->kind == SYNTAX_STRING ? src->text : "";
	if (!**text)
		*why = "src is missing: who is tried, as in \"ann@example.com\"";
	else
		*sel = tested(c, src, *text, "src", why);
}

static void check_target(struct check *c, const struct syntax *v, struct test_target *t)
{
	const char *colon = strrchr(v->text, ':');
	uint64_t port;

	t->text = v->text;
	t->line = v->line;
	t->column = v->column;
	if (!colon) {
		t->why = "it has no port: write host:port";
		return;
	}
	if (bytes_parse_u64(bytes_str(colon + 1), 65535, &port) != OK || port == 0) {
		t->why = "a test asks for one port: write a number after the colon";
		return;
	}
	struct bytes name = bytes_of(v->text, (size_t)(colon - v->text));
	if (name.n >= 2 && name.p[0] == '[' && name.p[name.n - 1] == ']')
		name = bytes_first(bytes_skip(name, 1), name.n - 2);
	const char *text = check_text(c, name);
	if (!text)
		return;
	t->port = (uint16_t)port;
	t->sel = tested(c, v, text, "dst", &t->why);
	if (t->sel && t->sel->kind == SEL_ANY) {
		t->sel = NULL;
		t->why = "a test asks for one host, not for \"*\"";
	}
	if (t->sel && t->sel->kind == SEL_RANGES && (t->sel->n_ranges != 1 || !addr_eq(t->sel->ranges[0].first, t->sel->ranges[0].last))) {
		t->sel = NULL;
		t->why = "a test asks for one address, not for a range";
	}
}

static void check_targets(struct check *c, const struct syntax *v, struct test_target **out, size_t *n)
{
	if (!is_kind(c, v, SYNTAX_LIST, "expected a list of destinations such as [\"tag:web:443\"]"))
		return;
	if (v->n > TARGETS_MAX) {
		FAULT(c, v, "at most %d destinations in one test", TARGETS_MAX);
		return;
	}
	*out = check_array(c, v->n, sizeof **out);
	for (const struct syntax *e = v->first; *out && e; e = e->next)
		if (is_kind(c, e, SYNTAX_STRING, "expected a destination in double quotes"))
			check_target(c, e, &(*out)[(*n)++]);
}

/* {"node:os": "windows", "custom:tier": 3} */
static void check_test_attrs(struct check *c, const struct syntax *v, struct reach_test *t)
{
	if (!is_kind(c, v, SYNTAX_OBJECT, "srcPostureAttrs is an object: {\"node:os\": \"linux\"}"))
		return;
	struct policy_attr *list = check_array(c, v->n, sizeof *list);

	t->has_attrs = true;
	for (const struct syntax *k = v->first; list && k; k = k->next) {
		if (!check_is_attribute(k->key))
			KEY_FAULT(c, k, "\"%s\" is no attribute: write node:…, custom:… or ip:…", k->key);
		else if (k->kind == SYNTAX_STRING || k->kind == SYNTAX_NUMBER || k->kind == SYNTAX_BOOL)
			list[t->n_attrs++] = (struct policy_attr){ k->key, k->text };
		else if (k->kind != SYNTAX_NULL)
			FAULT(c, k, "an attribute's value is a text, a number, true or false");
	}
	t->attr = list;
}

static void check_test(struct check *c, const struct syntax *v, struct reach_test *t)
{
	static const char *const known[] = { "src", "proto", "accept", "deny", "srcPostureAttrs", "allow", NULL };
	bool ports;

	if (!is_kind(c, v, SYNTAX_OBJECT, "a test is an object with src, and accept or deny"))
		return;
	check_fields(c, v, known, " in a test");
	const struct syntax *proto = check_get(v, "proto"), *accept = check_get(v, "accept"), *deny = check_get(v, "deny"),
			    *attrs = check_get(v, "srcPostureAttrs");

	t->line = v->line;
	t->column = v->column;
	t->proto = PROTO_ANY;
	check_src(c, v, &t->src_text, &t->src, &t->src_why);
	if (attrs)
		check_test_attrs(c, attrs, t);
	if (proto && is_kind(c, proto, SYNTAX_STRING, "proto is a text such as \"tcp\"") && *proto->text)
		check_proto(c, proto, bytes_str(proto->text), &t->proto, &ports);
	accept = accept ? accept : check_get(v, "allow"); /* the name of old */
	if (accept)
		check_targets(c, accept, &t->accept, &t->n_accept);
	if (deny)
		check_targets(c, deny, &t->deny, &t->n_deny);
}

static bool are_few(struct check *c, const struct syntax *v, const char *what)
{
	if (!is_kind(c, v, SYNTAX_LIST, what))
		return false;
	if (v->n > TESTS_MAX)
		FAULT(c, v, "at most %d tests", TESTS_MAX);
	return v->n <= TESTS_MAX;
}

void check_tests(struct check *c, const struct syntax *v)
{
	if (!are_few(c, v, "tests is a list: [{\"src\": \"ann@\", \"accept\": [\"tag:web:443\"]}]"))
		return;
	c->p->test = check_array(c, v->n, sizeof *c->p->test);
	for (const struct syntax *t = v->first; c->p->test && t; t = t->next)
		check_test(c, t, &c->p->test[c->p->n_tests++]);
}

/* ---- sshTests ---- */

static void check_ssh_dst(struct check *c, const struct syntax *v, struct test_target *t)
{
	t->text = v->text;
	t->line = v->line;
	t->column = v->column;
	if (starts_with(v->text, "tag:") && (!c->owners || !syntax_get(c->owners, v->text))) {
		FAULT(c, v, "SSH tests dst contains unknown tag \"%s\": define it in tagOwners; no port stands here", v->text);
		return;
	}
	if (strchr(v->text, '/') || strcmp(v->text, "*") == 0 || strcmp(v->text, "autogroup:internet") == 0 ||
	    starts_with(v->text, "group:") || strcmp(v->text, "autogroup:danger-all") == 0) {
		FAULT(c, v, "SSH tests dst contains disallowed element \"%s\": name a tag, a user, a host or an address", v->text);
		return;
	}
	t->sel = tested(c, v, v->text, "dst", &t->why);
}

static void check_ssh_users(struct check *c, const struct syntax *v, const char ***out, size_t *n)
{
	if (!is_kind(c, v, SYNTAX_LIST, "expected a list of users of the machine"))
		return;
	if (v->n > TARGETS_MAX) {
		FAULT(c, v, "at most %d users in one test", TARGETS_MAX);
		return;
	}
	*out = check_array(c, v->n, sizeof **out);
	for (const struct syntax *e = v->first; *out && e; e = e->next) {
		if (!is_kind(c, e, SYNTAX_STRING, "expected a user in double quotes"))
			continue;
		if (!*e->text)
			FAULT(c, e, "user \"\" is not valid");
		(*out)[(*n)++] = e->text;
	}
}

static void check_ssh_test(struct check *c, const struct syntax *v, struct ssh_test *t)
{
	static const char *const known[] = { "src", "dst", "accept", "deny", "check", NULL }, *const lists[] = { "accept", "deny", "check" };

	if (!is_kind(c, v, SYNTAX_OBJECT, "a test is an object with src, dst, and accept, deny or check"))
		return;
	check_fields(c, v, known, " in a test of ssh");
	t->line = v->line;
	t->column = v->column;
	check_src(c, v, &t->src_text, &t->src, &t->src_why);
	const struct syntax *dst = check_get(v, "dst");
	if (dst && is_kind(c, dst, SYNTAX_LIST, "dst is a list such as [\"tag:web\"]")) {
		if (dst->n > TARGETS_MAX) {
			FAULT(c, dst, "at most %d destinations in one test", TARGETS_MAX);
			return;
		}
		t->dst = check_array(c, dst->n, sizeof *t->dst);
		for (const struct syntax *e = dst->first; t->dst && e; e = e->next)
			if (is_kind(c, e, SYNTAX_STRING, "expected a destination in double quotes"))
				check_ssh_dst(c, e, &t->dst[t->n_dst++]);
	}
	for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
		const struct syntax *users = check_get(v, lists[i]);

		if (users)
			check_ssh_users(c, users, &t->user[i], &t->n_users[i]);
	}
}

void check_ssh_tests(struct check *c, const struct syntax *v)
{
	if (!are_few(c, v, "sshTests is a list: [{\"src\": \"ann@\", \"dst\": [\"tag:web\"], \"accept\": [\"root\"]}]"))
		return;
	c->p->ssh_test = check_array(c, v->n, sizeof *c->p->ssh_test);
	for (const struct syntax *t = v->first; c->p->ssh_test && t; t = t->next)
		check_ssh_test(c, t, &c->p->ssh_test[c->p->n_ssh_tests++]);
}
