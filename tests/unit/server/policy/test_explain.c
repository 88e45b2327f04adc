/* What explain, who-can-reach and what-can-reach say, beside what a client would do with the packet filters that it is sent: random
 * policies over random tailnets, random questions. The filters are read as a client reads them; nothing of the rules is asked. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/cleanup.h"
#include "server/policy/query.h"
#include "server/policy/range.h"
#include "tests/lib/test.h"

enum { NODES = 12, RULES = 5, ROUNDS = 150, QUESTIONS = 60, ROUTES = 3 };

static const struct policy_user people[] = {
	{ 1, "ann", "ann@example.com", "ann@example.com", POLICY_ROLE_OWNER, NULL, 0 },
	{ 2, "bob", "bob@example.com", "bob@example.com", POLICY_ROLE_MEMBER, NULL, 0 },
	{ 3, "eve", "eve@other.example", "eve@other.example", POLICY_ROLE_MEMBER, NULL, 0 },
};
static const char head[] =
	"{\"groups\": {\"group:g\": [\"ann@example.com\", \"eve@other.example\"], \"group:none\": []}, \"hosts\": {\"three\": \"100.64.0.3\", \"lan\": \"10.1.2.0/24\"},"
	"\"ipsets\": {\"ipset:mix\": [\"100.64.0.2-100.64.0.9\", \"remove 100.64.0.4/31\", \"add host:lan\"]},"
	"\"tagOwners\": {\"tag:a\": [], \"tag:b\": [], \"tag:c\": []}, \"postures\": {\"posture:linux\": [\"node:os == 'linux'\"]},";

/* Those of users first: autogroup:self goes with them alone. */
enum { PERSONS = 5 };
static const char *const sources[] = { "ann@example.com", "bob@example.com", "group:g", "autogroup:member", "autogroup:admin", "*", "tag:a", "tag:b",
	"autogroup:tagged", "autogroup:danger-all", "three", "100.64.0.0/29", "10.1.0.0/16", "ipset:mix", "group:none", "user:*@example.com" };
static const char *const places[] = { "*", "ann@example.com", "bob@example.com", "group:g", "tag:a", "tag:b", "autogroup:member", "autogroup:tagged",
	"three", "100.64.0.0/29", "10.1.0.0/16", "10.0.0.0/8", "lan", "ipset:mix", "autogroup:internet", "192.0.2.0/24", "8.8.8.8", "group:none" };
static const char *const acl_ports[] = { "*", "22", "80,443", "20-90", "443,1000-2000" };
static const char *const acl_protos[] = { "tcp", "udp", "6", "17", "sctp", "" };
static const char *const ips[] = { "*", "22", "tcp:443", "udp:53", "tcp:20-90", "icmp:*", "tcp:*", "sctp:80", "gre:*", "1000-2000" };
static const char *const addresses[] = { "10.1.0.5", "10.1.2.7", "10.9.0.1", "192.0.2.4", "8.8.8.8", "203.0.113.9" };

struct world {
	struct test_rng rng;
	struct policy_node node[NODES];
	struct policy_named named[NODES];
	const char *tags[NODES][2];
	struct prefix routes[NODES][ROUTES];
	char name[NODES][8];
	struct policy_attr os[NODES];
	struct policy_view *v;
	struct policy_world w;
	json_t *filter[NODES];
	char *text;
};

static const char *pick_of(struct test_rng *r, const char *const *list, size_t n)
{
	return list[rng_below(r, n)];
}
#define PICK(w, list) pick_of(&(w)->rng, list, ARRAY_LEN(list))

static struct prefix pfx(const char *text)
{
	struct prefix p;

	assert_ok(prefix_parse(bytes_str(text), &p));
	return p;
}

static int by_prefix(const void *a, const void *b)
{
	return prefix_cmp(*(const struct prefix *)a, *(const struct prefix *)b);
}

static void make_nodes(struct world *w)
{
	static const char *const some[] = { "10.1.0.0/16", "10.1.2.0/24", "192.0.2.0/24", "10.0.0.0/8" };

	for (size_t i = 0; i < NODES; i++) {
		struct policy_node *n = &w->node[i];

		*n = (struct policy_node){ .id = (int64_t)i + 1, .v4 = addr_v4(100, 64, 0, (uint8_t)(i + 1)) };
		n->v6 = (struct addr){ 6, { 0xfd, 0x7a, 0x11, 0x5c, 0xa1, 0xe0, [15] = (uint8_t)(i + 1) } };
		if (rng_below(&w->rng, 2)) {
			n->user = &people[rng_below(&w->rng, 3)];
			n->user_id = n->user->id;
		} else {
			w->tags[i][0] = rng_below(&w->rng, 2) ? "tag:a" : "tag:b";
			w->tags[i][1] = "tag:c";
			n->tags = w->tags[i];
			n->n_tags = 1 + rng_below(&w->rng, 2);
		}
		w->os[i] = (struct policy_attr){ "node:os", rng_below(&w->rng, 2) ? "linux" : "windows" };
		n->attrs = &w->os[i];
		n->n_attrs = 1;
		n->routes = w->routes[i];
		if (rng_below(&w->rng, 3) == 0)
			w->routes[i][n->n_routes++] = pfx(PICK(w, some));
		if (rng_below(&w->rng, 6) == 0) {
			w->routes[i][n->n_routes++] = pfx("0.0.0.0/0");
			w->routes[i][n->n_routes++] = pfx("::/0");
		}
		qsort(w->routes[i], n->n_routes, sizeof w->routes[0][0], by_prefix);
		snprintf(w->name[i], sizeof w->name[i], "n%zu", i + 1);
		w->named[i] = (struct policy_named){ w->name[i], n };
	}
}

static void make_rule(struct world *w, struct buf *b, bool grant)
{
	bool self = rng_below(&w->rng, 6) == 0;
	unsigned n_src = 1 + (unsigned)rng_below(&w->rng, 2), n_dst = 1 + (unsigned)rng_below(&w->rng, 2);
	const char *proto = grant || rng_below(&w->rng, 2) ? "" : PICK(w, acl_protos);

	buf_append_str(b, grant ? "{\"src\": [" : "{\"action\": \"accept\", \"src\": [");
	for (unsigned i = 0; i < n_src; i++)
		buf_printf(b, "%s\"%s\"", i ? "," : "", self ? pick_of(&w->rng, sources, PERSONS) : PICK(w, sources));
	buf_append_str(b, "], \"dst\": [");
	for (unsigned i = 0; i < n_dst; i++)
		buf_printf(b, "%s\"%s%s%s\"", i ? "," : "", self && !i ? "autogroup:self" : PICK(w, places), grant ? "" : ":",
			   grant ? "" : PICK(w, acl_ports));
	buf_append_str(b, "]");
	if (*proto)
		buf_printf(b, ", \"proto\": \"%s\"", proto);
	if (grant && rng_below(&w->rng, 8) == 0)
		buf_append_str(b, ", \"app\": {\"example.com/cap/x\": []}");
	else if (grant)
		buf_printf(b, ", \"ip\": [\"%s\", \"%s\"]", PICK(w, ips), PICK(w, ips));
	if (grant && !self && rng_below(&w->rng, 3) == 0)
		buf_printf(b, ", \"via\": [\"tag:%c\"]", "abc"[rng_below(&w->rng, 3)]);
	if (rng_below(&w->rng, 5) == 0)
		buf_append_str(b, ", \"srcPosture\": [\"posture:linux\"]");
	buf_append_str(b, "},\n");
}

/* False: that is no policy (an app grant for the internet and the like). */
static bool make_policy(struct world *w)
{
	struct buf b = buf_make(1 << 16);
	struct policy_changes changes = { 0 };
	struct policy_faults f;
	struct policy *p;
	uint32_t cls;

	buf_append_str(&b, head);
	for (int grant = 0; grant < 2; grant++) {
		buf_printf(&b, "\n\"%s\": [\n", grant ? "grants" : "acls");
		for (size_t i = 0, n = rng_below(&w->rng, RULES); i < n; i++)
			make_rule(w, &b, grant);
		buf_append_str(&b, grant ? "]}" : "],");
	}
	buf_append_u8(&b, 0);
	assert_false(b.bad);
	free(w->text);
	w->text = bytes_dup(buf_view(&b));
	buf_done(&b);
	if (policy_parse(bytes_str(w->text), &p, &f) != OK) {
		if (!strstr(f.fault[0].text, "app grants") && !strstr(f.fault[0].text, "no ports"))
			fail_msg("%s\n%s", w->text, f.fault[0].text);
		return false;
	}
	assert_ok(policy_view_new(p, &w->v));
	policy_unref(p);
	for (size_t i = 0; i < NODES; i++)
		assert_ok(policy_view_put(w->v, &w->node[i], &cls, &changes));
	policy_changes_done(&changes);
	w->w = (struct policy_world){ w->v, w->named, NODES };
	return true;
}

/* ---- as a client reads it ---- */

static json_t *filter_of(struct world *w, size_t at)
{
	struct policy_filter f[POLICY_FILTERS_MAX];

	if (w->filter[at])
		return w->filter[at];
	w->filter[at] = json_array();
	for (size_t i = 0, n = policy_view_filters(w->v, w->node[at].id, f); i < n; i++) {
		struct bytes t = part_text(f[i].rules);
		json_t *rules = json_loadb((const char *)t.p, t.n, 0, NULL);

		assert_non_null(rules);
		json_array_extend(w->filter[at], rules);
		json_decref(rules);
	}
	return w->filter[at];
}

static bool text_has(const char *text, struct addr a)
{
	struct range r;

	if (strcmp(text, "*") == 0)
		return true;
	assert_ok(range_parse(bytes_str(text), &r));
	return range_has(r, a);
}

/* proto -1: any. port -1: any. */
static bool rule_passes(const json_t *rule, struct addr src, struct addr dst, int proto, int port)
{
	json_t *x, *protos = json_object_get(rule, "IPProto");
	size_t i;
	bool from = false, fits = proto < 0 || (!protos && (proto == 6 || proto == 17 || proto == 1 || proto == 58));

	json_array_foreach(json_object_get(rule, "SrcIPs"), i, x)
		from = from || text_has(json_string_value(x), src);
	json_array_foreach(protos, i, x)
		fits = fits || json_integer_value(x) == proto;
	if (!from || !fits)
		return false;
	json_array_foreach(json_object_get(rule, "DstPorts"), i, x) {
		json_t *p = json_object_get(x, "Ports");

		if (text_has(json_string_value(json_object_get(x, "IP")), dst) &&
		    (port < 0 || (json_integer_value(json_object_get(p, "First")) <= port && port <= json_integer_value(json_object_get(p, "Last")))))
			return true;
	}
	return false;
}

static bool passes(struct world *w, size_t at, struct addr src, struct addr dst, int proto, int port)
{
	size_t i;
	json_t *rule;

	json_array_foreach(filter_of(w, at), i, rule)
		if (rule_passes(rule, src, dst, proto, port))
			return true;
	return false;
}

static int64_t primary_of(const struct world *w, struct prefix route)
{
	for (size_t i = 0; i < NODES; i++)
		for (size_t k = 0; k < w->node[i].n_routes; k++)
			if (prefix_cmp(w->node[i].routes[k], route) == 0)
				return w->node[i].id;
	return 0;
}

/* Through the peer with the narrowest route to it that the source was shown; of exit nodes through any, for the user chooses. */
static bool passes_routed(struct world *w, size_t from, struct addr dst, int proto, int port)
{
	unsigned narrowest = 0;
	bool through = false;

	for (size_t i = 0; i < NODES; i++)
		for (size_t k = 0; i != from && k < w->node[i].n_routes; k++) {
			struct prefix r = w->node[i].routes[k];

			if (!prefix_contains(r, dst) || r.bits < narrowest ||
			    !policy_view_shows_route(w->v, w->node[from].id, w->node[i].id, r, primary_of(w, r)))
				continue;
			if (r.bits > narrowest)
				through = false;
			narrowest = r.bits;
			through = through || passes(w, i, w->node[from].v4, dst, proto, port);
		}
	return through;
}

/* ---- what is said ---- */

static bool carries(const struct world *w, size_t at, struct addr a)
{
	for (size_t k = 0; k < w->node[at].n_routes; k++)
		if (prefix_contains(w->node[at].routes[k], a))
			return true;
	return false;
}

static json_t *parsed(struct buf *out)
{
	json_t *v = json_loadb((const char *)buf_view(out).p, buf_len(out), JSON_REJECT_DUPLICATES, NULL);

	assert_non_null(v);
	buf_done(out);
	return v;
}

static void __attribute__((format(printf, 3, 4))) fail_with(const struct world *w, const json_t *answer, const char *fmt, ...)
{
	char what[300], *said = json_dumps(answer, JSON_COMPACT);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(what, sizeof what, fmt, ap);
	va_end(ap);
	for (size_t i = 0; i < NODES; i++)
		fprintf(stderr, "%s: %s%s %s, %zu routes\n", w->name[i], w->node[i].user ? w->node[i].user->email : w->tags[i][0],
			w->node[i].n_tags > 1 ? " tag:c" : "", w->os[i].value, w->node[i].n_routes);
	fprintf(stderr, "%s\n%s\n", w->text, said);
	free(said);
	fail_msg("%s", what);
}

static void check_explain(struct world *w, const char *src, const char *dst, bool truth)
{
	struct buf out = buf_make(QUERY_ANSWER_MAX);
	char why[200] = "";

	if (policy_explain(&w->w, src, dst, &out, why, sizeof why) != OK)
		fail_msg("%s to %s: %s", src, dst, why);
	json_t *a = parsed(&out), *pair = json_array_get(json_object_get(a, "pairs"), 0);
	const char *allowed = json_string_value(json_object_get(a, "allowed")), *sentence = json_string_value(json_object_get(pair, "sentence"));
	json_t *rules = json_object_get(pair, "rules");
	bool said = strcmp(allowed, "yes") == 0;

	if (said != truth)
		fail_with(w, a, "%s to %s: clients %s it", src, dst, truth ? "take" : "drop");
	if (strncmp(sentence, truth ? "Yes. " : "No. ", truth ? 5 : 4) != 0 || (json_array_size(rules) > 0) != truth)
		fail_with(w, a, "%s to %s, %s", src, dst, truth ? "yes" : "no");
	json_decref(a);
}

static bool lists(const json_t *answer, const char *name)
{
	size_t i;
	json_t *n;

	json_array_foreach(json_object_get(answer, "nodes"), i, n)
		if (strcmp(json_string_value(json_object_get(n, "name")), name) == 0)
			return true;
	return false;
}

static void check_list(struct world *w, bool who, const char *of, bool truth[NODES])
{
	struct buf out = buf_make(QUERY_ANSWER_MAX);
	char why[200] = "";
	err e = who ? policy_who_can_reach(&w->w, of, &out, why, sizeof why) : policy_what_can_reach(&w->w, of, &out, why, sizeof why);

	if (e != OK)
		fail_msg("%s: %s", of, why);
	json_t *a = parsed(&out);
	for (size_t i = 0; i < NODES; i++)
		if (lists(a, w->name[i]) != truth[i])
			fail_with(w, a, "%s %s: %s is %s", who ? "who can reach" : "what can reach", of, w->name[i], truth[i] ? "missing" : "too much");
	json_decref(a);
}

static const struct {
	const char *text;
	int proto, port;
} tails[] = { { "", -1, -1 }, { ":22", 6, 22 }, { ":443", 6, 443 }, { ":1500/tcp", 6, 1500 }, { ":53/udp", 17, 53 }, { ":80/udp", 17, 80 },
	{ ":80/sctp", 132, 80 }, { "/icmp", 1, -1 }, { "/47", 47, -1 }, { ":20/6", 6, 20 }, { "/udp", 17, -1 } };

static void ask(struct world *w)
{
	size_t a = rng_below(&w->rng, NODES), b = rng_below(&w->rng, NODES), t = rng_below(&w->rng, ARRAY_LEN(tails));
	const char *far = PICK(w, addresses);
	char dst[80];
	bool truth[NODES];
	struct addr x;

	if (a != b) {
		snprintf(dst, sizeof dst, "%s%s", w->name[b], tails[t].text);
		check_explain(w, w->name[a], dst, passes(w, b, w->node[a].v4, w->node[b].v4, tails[t].proto, tails[t].port));
		check_explain(w, far, dst, addr_parse(bytes_str(far), &x) == OK && passes(w, b, x, w->node[b].v4, tails[t].proto, tails[t].port));
	}
	assert_ok(addr_parse(bytes_str(far), &x));
	snprintf(dst, sizeof dst, "%s%s", far, tails[t].text);
	if (!carries(w, a, x))
		check_explain(w, w->name[a], dst, passes_routed(w, a, x, tails[t].proto, tails[t].port));
	for (size_t i = 0; i < NODES; i++)
		truth[i] = i != b && passes(w, b, w->node[i].v4, w->node[b].v4, tails[t].proto, tails[t].port);
	truth[b] = passes(w, b, w->node[b].v4, w->node[b].v4, tails[t].proto, tails[t].port);
	snprintf(dst, sizeof dst, "%s%s", w->name[b], tails[t].text);
	check_list(w, true, dst, truth);
	for (size_t i = 0; i < NODES; i++)
		truth[i] = passes(w, i, w->node[a].v4, w->node[i].v4, -1, -1);
	check_list(w, false, w->name[a], truth);
}

static void says_what_filters_do(void **state)
{
	static struct world w;

	(void)state;
	w = (struct world){ .rng = { 20261129 } };
	for (int round = 0; round < ROUNDS; round++) {
		make_nodes(&w);
		if (!make_policy(&w))
			continue;
		for (int i = 0; i < QUESTIONS; i++)
			ask(&w);
		for (size_t i = 0; i < NODES; i++) {
			json_decref(w.filter[i]);
			w.filter[i] = NULL;
		}
		policy_view_free(w.v);
	}
	free(w.text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(says_what_filters_do),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
