#include "server/policy/policy.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/lib/test.h"

/* The engine beside a second one that is as dumb as can be: it asks every rule about every pair of nodes. Random policies,
 * random nodes, random changes; after each the classes, who sees whom and what the filters let through must agree. */

enum { NODES = 12, USERS = 3, TAGS = 3, RULES = 6, SIDES = 3, STEPS = 40, PORT = 80 };

static const char *const names[] = {
	"*", "ann@example.com", "bob@", "group:g", "tag:a", "tag:b", "tag:c", "autogroup:member", "autogroup:tagged", "100.64.0.3",
	"100.64.0.0/29", "10.1.0.0/16", "autogroup:admin", "user:*@example.com",
};
enum { N_NAMES = sizeof names / sizeof names[0], NAME_SELF = N_NAMES, NAME_NETS = 9 };

static const char *const net[] = { "100.64.0.3/32", "100.64.0.0/29", "10.1.0.0/16" };
static const char *const user_mail[] = { "", "ann@example.com", "bob@example.com", "eve@other.example" };
static const char *const user_name[] = { "", "ann", "bob", "eve" };

struct rule {
	unsigned src[SIDES], dst[SIDES], n_src, n_dst;
	uint16_t port[SIDES]; /* 0: all */
	bool udp, via;	      /* via tag:c */
};

struct node {
	bool there;
	unsigned user, tags; /* user 0: tagged, by bits */
	bool routes;	     /* 10.1.0.0/16 */
	uint32_t cls;
};

struct world {
	struct test_rng rng;
	struct rule rule[RULES];
	struct node node[NODES];
	struct policy *p;
	struct policy_view *v;
	struct policy_changes changes;
	struct buf text;
};

/* ---- the dumb one ---- */

static bool in_net(unsigned which, const struct node *n, unsigned id, bool behind)
{
	struct prefix p;

	assert_ok(prefix_parse(bytes_str(net[which]), &p));
	return behind ? which == 2 && n->routes : prefix_contains(p, addr_v4(100, 64, 0, (uint8_t)id));
}

static bool is_by_name(unsigned name, const struct node *n, unsigned id)
{
	switch (name) {
	case 0: return true;
	case 1: return n->user == 1;
	case 2: return n->user == 2;
	case 3: return n->user == 1 || n->user == 3; /* group:g */
	case 4:
	case 5:
	case 6: return n->tags >> (name - 4) & 1;
	case 7: return n->user != 0;
	case 8: return n->user == 0;
	case 12: return n->user == 1; /* ann is the owner, and so an admin */
	case 13: return n->user == 1 || n->user == 2;
	default: return in_net(name - NAME_NETS, n, id, false);
	}
}

/* Who by its own address or name may be a source. */
static bool is_src(const struct rule *r, const struct node *n, unsigned id)
{
	for (unsigned i = 0; i < r->n_src; i++)
		if (is_by_name(r->src[i], n, id))
			return true;
	return false;
}

static bool lan_is_src(const struct rule *r)
{
	for (unsigned i = 0; i < r->n_src; i++)
		if (r->src[i] == 11)
			return true;
	return false;
}

/* Does the destination mean b itself, when a asks? */
static bool is_dst(const struct world *w, const struct rule *r, unsigned at, unsigned a, unsigned b)
{
	const struct node *x = &w->node[a], *y = &w->node[b];

	if (r->via)
		return false;
	if (r->dst[at] == NAME_SELF)
		return x->user && x->user == y->user;
	return is_by_name(r->dst[at], y, b);
}

static bool is_behind(const struct rule *r, unsigned at, const struct node *n)
{
	if (r->via && !(n->tags & 4))
		return false;
	return n->routes && (r->dst[at] == 11 || (r->via && r->dst[at] == 0));
}

static bool reaches(const struct world *w, unsigned a, unsigned b)
{
	for (unsigned i = 0; i < RULES; i++) {
		const struct rule *r = &w->rule[i];
		bool src = is_src(r, &w->node[a], a) || (w->node[a].routes && lan_is_src(r));

		for (unsigned k = 0; src && k < r->n_dst; k++)
			if (is_dst(w, r, k, a, b) || is_behind(r, k, &w->node[b]))
				return true;
	}
	return false;
}

/* TCP from a's address to b's own address and this port. */
static bool lets_through(const struct world *w, unsigned a, unsigned b, uint16_t port)
{
	for (unsigned i = 0; i < RULES; i++) {
		const struct rule *r = &w->rule[i];

		for (unsigned k = 0; !r->udp && is_src(r, &w->node[a], a) && k < r->n_dst; k++)
			if ((r->port[k] == 0 || r->port[k] == port) && is_dst(w, r, k, a, b))
				return true;
	}
	return false;
}

/* ---- the policy's text ---- */

static void write_side(struct world *w, const char *key, const unsigned *name, unsigned n)
{
	buf_printf(&w->text, "\"%s\":[", key);
	for (unsigned i = 0; i < n; i++)
		buf_printf(&w->text, "%s\"%s\"", i ? "," : "", name[i] == NAME_SELF ? "autogroup:self" : names[name[i]]);
	buf_append_str(&w->text, "]");
}

static void write_rule(struct world *w, const struct rule *r)
{
	write_side(w, "src", r->src, r->n_src);
	buf_append_str(&w->text, ",");
	write_side(w, "dst", r->dst, r->n_dst);
	if (r->port[0])
		buf_printf(&w->text, ",\"ip\":[\"%s:%u\"]", r->udp ? "udp" : "tcp", r->port[0]);
	else
		buf_printf(&w->text, ",\"ip\":[\"%s*\"]", r->udp ? "udp:" : "");
	if (r->via)
		buf_append_str(&w->text, ",\"via\":[\"tag:c\"]");
}

static void random_rule(struct world *w, struct rule *r)
{
	static const unsigned people[] = { 1, 2, 3, 7, 12, 13 };
	bool self = rng_below(&w->rng, 6) == 0;

	*r = (struct rule){ .n_src = 1 + (unsigned)rng_below(&w->rng, SIDES), .n_dst = 1 + (unsigned)rng_below(&w->rng, SIDES) };
	for (unsigned i = 0; i < r->n_src; i++)
		r->src[i] = self ? people[rng_below(&w->rng, 6)] : (unsigned)rng_below(&w->rng, N_NAMES);
	for (unsigned i = 0; i < r->n_dst; i++)
		r->dst[i] = self && i == 0 ? (unsigned)NAME_SELF : (unsigned)rng_below(&w->rng, N_NAMES);
	uint16_t port = rng_below(&w->rng, 2) ? PORT : rng_below(&w->rng, 2) ? 443 : 0;
	for (unsigned i = 0; i < r->n_dst; i++)
		r->port[i] = port;
	r->udp = rng_below(&w->rng, 5) == 0;
	r->via = !self && rng_below(&w->rng, 5) == 0;
}

static void new_policy(struct world *w)
{
	struct policy_faults f;

	buf_clear(&w->text);
	buf_append_str(&w->text, "{\"groups\":{\"group:g\":[\"ANN@example.com\",\"eve@\"]},\"tagOwners\":{\"tag:a\":[],\"tag:b\":[],\"tag:c\":[]},"
				 "\"grants\":[");
	for (unsigned i = 0; i < RULES; i++) {
		random_rule(w, &w->rule[i]);
		buf_printf(&w->text, "%s{", i ? "," : "");
		write_rule(w, &w->rule[i]);
		buf_append_str(&w->text, "}\n");
	}
	buf_append_str(&w->text, "]}");
	if (policy_parse(buf_view(&w->text), &w->p, &f) != OK)
		fail_msg("%u:%u %s in %.*s", f.fault[0].line, f.fault[0].column, f.fault[0].text, (int)buf_len(&w->text),
			 (const char *)buf_view(&w->text).p);
	assert_ok(policy_view_new(w->p, &w->v));
}

/* ---- nodes ---- */

static void change_node(struct world *w)
{
	unsigned id = (unsigned)rng_below(&w->rng, NODES), n_tags = 0;
	struct node *n = &w->node[id];
	static const char *const tag[] = { "tag:a", "tag:b", "tag:c" };
	const char *tags[TAGS];
	struct prefix route;

	policy_changes_done(&w->changes);
	if (n->there && rng_below(&w->rng, 4) == 0) {
		assert_ok(policy_view_del(w->v, (int64_t)id + 1, &w->changes));
		n->there = false;
		return;
	}
	*n = (struct node){ .there = true, .user = (unsigned)rng_below(&w->rng, USERS + 1), .routes = rng_below(&w->rng, 4) == 0 };
	if (!n->user)
		n->tags = 1 + (unsigned)rng_below(&w->rng, 7);
	for (unsigned i = 0; i < TAGS; i++)
		if (n->tags >> i & 1)
			tags[n_tags++] = tag[i];
	struct policy_user u = { n->user, user_name[n->user], user_mail[n->user], user_mail[n->user],
				 n->user == 1 ? POLICY_ROLE_OWNER : POLICY_ROLE_MEMBER, NULL, 0 };
	struct policy_node x = { .id = (int64_t)id + 1, .user_id = n->user, .user = n->user ? &u : NULL, .tags = tags, .n_tags = n_tags,
				 .v4 = addr_v4(100, 64, 0, (uint8_t)id) };
	assert_ok(prefix_parse(BYTES_LIT("10.1.0.0/16"), &route));
	x.routes = &route;
	x.n_routes = n->routes;
	assert_ok(policy_view_put(w->v, &x, &n->cls, &w->changes));
}

/* ---- what the filters say ---- */

static bool text_has(const char *text, struct addr a)
{
	struct bytes last, first = bytes_cut(bytes_str(text), '-', &last);
	struct prefix p;
	struct addr x, y;

	if (strcmp(text, "*") == 0)
		return true;
	if (last.p && addr_parse(first, &x) == OK && addr_parse(last, &y) == OK)
		return x.family == a.family && addr_cmp(x, a) <= 0 && addr_cmp(a, y) <= 0;
	assert_ok(prefix_parse(first, &p));
	return prefix_contains(p, a);
}

static bool rule_lets(json_t *rule, struct addr from, struct addr to, uint16_t port)
{
	json_t *proto = json_object_get(rule, "IPProto"), *x;
	bool tcp = !proto, src = false;
	size_t i;

	json_array_foreach(proto, i, x)
		tcp |= json_integer_value(x) == 6;
	json_array_foreach(json_object_get(rule, "SrcIPs"), i, x)
		src |= text_has(json_string_value(x), from);
	json_array_foreach(json_object_get(rule, "DstPorts"), i, x) {
		json_t *ports = json_object_get(x, "Ports");

		if (tcp && src && json_integer_value(json_object_get(ports, "First")) <= port &&
		    port <= json_integer_value(json_object_get(ports, "Last")) &&
		    text_has(json_string_value(json_object_get(x, "IP")), to))
			return true;
	}
	return false;
}

static json_t *filter_of(struct world *w, unsigned id)
{
	struct policy_filter f[POLICY_FILTERS_MAX];
	size_t n = policy_view_filters(w->v, (int64_t)id + 1, f);
	json_t *all = json_array();

	for (size_t i = 0; i < n; i++) {
		struct bytes t = part_text(f[i].rules);
		json_t *chunk = json_loadb((const char *)t.p, t.n, 0, NULL);

		assert_non_null(chunk);
		json_array_extend(all, chunk);
		json_decref(chunk);
	}
	return all;
}

static void compare(struct world *w)
{
	for (unsigned b = 0; b < NODES; b++) {
		if (!w->node[b].there)
			continue;
		json_t *filter = filter_of(w, b), *rule;
		size_t i;

		for (unsigned a = 0; a < NODES; a++) {
			if (!w->node[a].there)
				continue;
			bool want = reaches(w, a, b) || reaches(w, b, a);

			if (a != b && policy_view_sees(w->v, w->node[a].cls, w->node[b].cls) != want)
				fail_msg("%u and %u: %s in %.*s", a, b, want ? "should see each other" : "should not see each other",
					 (int)buf_len(&w->text), (const char *)buf_view(&w->text).p);
			for (unsigned k = 0; k < 2; k++) {
				uint16_t port = k ? 443 : PORT;
				bool yes = false;

				json_array_foreach(filter, i, rule)
					yes |= rule_lets(rule, addr_v4(100, 64, 0, (uint8_t)a), addr_v4(100, 64, 0, (uint8_t)b), port);
				if (yes != lets_through(w, a, b, port))
					fail_msg("%u to %u port %u: %s in %.*s\n%s", a, b, port, yes ? "let through" : "stopped",
						 (int)buf_len(&w->text), (const char *)buf_view(&w->text).p, json_dumps(filter, 0));
			}
		}
		json_decref(filter);
	}
}

static void agrees_with_the_dumb_one(void **state)
{
	struct world w = { .rng = { 4711 }, .text = buf_make(1 << 20) };

	(void)state;
	for (int round = 0; round < 60; round++) {
		for (unsigned i = 0; i < NODES; i++)
			w.node[i] = (struct node){ 0 };
		new_policy(&w);
		for (int step = 0; step < STEPS; step++) {
			change_node(&w);
			if (step % 5 == 4)
				compare(&w);
		}
		policy_changes_done(&w.changes);
		policy_view_free(w.v);
		policy_unref(w.p);
	}
	buf_done(&w.text);
}

/* ---- postures, and the tests of a policy ---- */

static struct policy_view *view_of(const char *text)
{
	struct policy_faults f;
	struct policy_view *v;
	struct policy *p;

	if (policy_parse(bytes_str(text), &p, &f) != OK)
		fail_msg("%u:%u %s", f.fault[0].line, f.fault[0].column, f.fault[0].text);
	assert_ok(policy_view_new(p, &v));
	policy_unref(p);
	return v;
}

static void postures_are_asked_of_sources(void **state)
{
	struct policy_view *v = view_of("{\"postures\":{\"posture:new\":[\"node:tsVersion >= '1.9'\",\"node:os IN ['linux']\"],"
					"\"posture:boss\":[\"custom:rank IS SET\"]},"
					"\"grants\":[{\"src\":[\"*\"],\"dst\":[\"100.64.0.9\"],\"ip\":[\"*\"],\"srcPosture\":[\"posture:new\",\"posture:boss\"]}]}");
	const struct policy_attr fresh[] = { { "node:os", "linux" }, { "node:tsVersion", "1.10.2" } },
				 old[] = { { "node:os", "linux" }, { "node:tsVersion", "1.8" } }, boss[] = { { "custom:rank", "3" } };
	struct policy_user u = { 1, "ann", "", "ann", POLICY_ROLE_MEMBER, NULL, 0 };
	struct policy_changes c = { 0 };
	const struct {
		const struct policy_attr *attrs;
		size_t n;
		bool in;
	} cases[] = { { fresh, 2, true }, { old, 2, false }, { boss, 1, true }, { NULL, 0, false } };
	uint32_t cls[4], target;

	(void)state;
	struct policy_node n = { .id = 9, .user_id = 1, .user = &u, .v4 = addr_v4(100, 64, 0, 9) };
	assert_ok(policy_view_put(v, &n, &target, &c));
	for (size_t i = 0; i < 4; i++) {
		n = (struct policy_node){ .id = (int64_t)i + 1, .user_id = 1, .user = &u, .v4 = addr_v4(100, 64, 0, (uint8_t)(i + 1)),
					  .attrs = cases[i].attrs, .n_attrs = cases[i].n };
		assert_ok(policy_view_put(v, &n, &cls[i], &c));
	}
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(policy_view_sees(v, cls[i], target), cases[i].in);
	struct policy_filter f[POLICY_FILTERS_MAX];
	size_t k = policy_view_filters(v, 9, f);
	assert_int_equal(k, 2);
	struct bytes t = part_text(f[1].rules);
	assert_true(bytes_has_prefix(t, BYTES_LIT("[{\"SrcIPs\":[\"100.64.0.1\",\"100.64.0.3\"],")));
	policy_changes_done(&c);
	policy_view_free(v);
}

/* Two tagged nodes of one class have SSH rules of their own; what was said of the first stays when the second is asked. */
static void ssh_texts_stay_until_a_change(void **state)
{
	(void)state;
	static const char text[] = "{\"tagOwners\":{\"tag:a\":[]},\"ssh\":[{\"action\":\"accept\",\"src\":[\"autogroup:member\",\"tag:a\"],"
				   "\"dst\":[\"tag:a\"],\"users\":[\"root\",\"localpart:*@example.com\"]}]}";
	static const char *const tags[] = { "tag:a" };
	struct policy_faults faults;
	struct policy_changes c = { 0 };
	struct policy_view *v;
	struct policy *p;
	uint32_t cls[2];

	assert_ok(policy_parse(bytes_str(text), &p, &faults));
	assert_ok(policy_view_new(p, &v));
	for (unsigned i = 0; i < 2; i++)
		assert_ok(policy_view_put(v, &(struct policy_node){ .id = i + 1, .tags = tags, .n_tags = 1, .v4 = addr_v4(100, 64, 0, (uint8_t)(i + 1)) },
					  &cls[i], &c));
	assert_int_equal(cls[0], cls[1]);
	struct bytes first = policy_view_ssh(v, 1), second = policy_view_ssh(v, 2);
	assert_true(first.n > 20 && second.n > 20);
	assert_non_null(memmem(first.p, first.n, "100.64.0.1", 10));
	policy_changes_done(&c);
	policy_view_free(v);
	policy_unref(p);
}

static void failing_tests_are_named(void **state)
{
	struct policy_view *v = view_of("{\"tagOwners\":{\"tag:web\":[]},\"acls\":[{\"action\":\"accept\",\"src\":[\"ann@\"],\"dst\":[\"tag:web:80\"]}],\n"
					"\"ssh\":[{\"action\":\"check\",\"src\":[\"ann@\"],\"dst\":[\"tag:web\"],\"users\":[\"autogroup:nonroot\"]}],\n"
					"\"tests\":[{\"src\":\"ann@\",\"accept\":[\"tag:web:80\"],\"deny\":[\"tag:web:81\"]},\n"
					" {\"src\":\"ann@\",\"accept\":[\"tag:web:81\"]}, {\"src\":\"bob@\",\"accept\":[\"tag:web:80\"]}],\n"
					"\"sshTests\":[{\"src\":\"ann@\",\"dst\":[\"tag:web\"],\"check\":[\"alice\"],\"deny\":[\"root\"]},\n"
					" {\"src\":\"ann@\",\"dst\":[\"tag:web\"],\"accept\":[\"root\"]}]}");
	static const char *const web[] = { "tag:web" };
	struct policy_user ann = { 1, "ann", "", "ann", POLICY_ROLE_MEMBER, NULL, 0 };
	struct policy_node a = { .id = 1, .user_id = 1, .user = &ann, .v4 = addr_v4(100, 64, 0, 1) },
			   b = { .id = 2, .tags = web, .n_tags = 1, .v4 = addr_v4(100, 64, 0, 2) };
	struct policy_changes c = { 0 };
	struct policy_faults f;
	uint32_t cls;
	int64_t period;

	(void)state;
	assert_ok(policy_view_put(v, &a, &cls, &c));
	assert_ok(policy_view_put(v, &b, &cls, &c));
	assert_int_equal(policy_verify(v, NULL, 0, &f), ERR_INVALID);
	assert_int_equal(f.n, 3);
	assert_int_equal(f.fault[0].line, 4);
	assert_non_null(strstr(f.fault[0].text, "tag:web:81"));
	assert_non_null(strstr(f.fault[1].text, "bob@"));
	assert_int_equal(f.fault[2].line, 6);
	assert_non_null(strstr(f.fault[2].text, "root"));
	assert_int_equal(policy_view_ssh_action(v, 1, 2, "alice", &period), POLICY_SSH_CHECK);
	assert_int_equal(period, 12 * 3600 * 1000);
	assert_int_equal(policy_view_ssh_action(v, 1, 2, "root", &period), POLICY_SSH_NO);
	assert_int_equal(policy_view_ssh_action(v, 2, 1, "alice", &period), POLICY_SSH_NO);
	policy_changes_done(&c);
	policy_view_free(v);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(agrees_with_the_dumb_one),
		cmocka_unit_test(postures_are_asked_of_sources),
		cmocka_unit_test(ssh_texts_stay_until_a_change),
		cmocka_unit_test(failing_tests_are_named),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
