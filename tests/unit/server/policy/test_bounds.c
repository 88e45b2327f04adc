/* Policies that mean harm, or are merely huge: refused in words, or compiled, in a moment. Times are of the CPU and generous,
 * for sanitizers and busy machines; without the bounds each of these takes minutes or all memory. */
#include "common/text/jsonw.h"
#include "server/policy/query.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "common/base/buf.h"
#include "tests/lib/test.h"

enum { SECONDS_MAX = 12 };

static double cpu_s(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static const struct policy_user ann = { 1, "ann", "ann@example.com", "ann@example.com", POLICY_ROLE_MEMBER, NULL, 0 };

/* Some nodes under it: with routes, tagged, a person's. */
/* What the console asks while somebody writes such a thing. */
static void ask_all(struct policy *p, struct policy_view *v)
{
	static struct policy_node node[40];
	struct policy_named named[40];
	const struct policy_world w = { v, named, 40 };
	struct policy_faults faults;
	struct buf out = buf_make(QUERY_ANSWER_MAX);
	struct jsonw j = jsonw_init(&out);

	for (unsigned i = 0; i < 40; i++) {
		node[i] = (struct policy_node){ .id = i + 1 };
		named[i] = (struct policy_named){ "some", &node[i] };
	}
	policy_warn(p, (struct bytes){ 0 }, &faults);
	jsonw_obj(&j);
	assert_ok(policy_changes_write(&w, &w, &j, NULL));
	assert_ok(policy_matrix(&w, &w, false, &j));
	jsonw_obj_end(&j);
	buf_done(&out);
}

static void use(struct policy *p)
{
	static const char *const tags[] = { "tag:t1" };
	struct policy_changes c = { 0 };
	struct policy_filter f[POLICY_FILTERS_MAX];
	struct policy_faults faults;
	struct policy_view *v;
	struct prefix routes[64];
	uint32_t cls;

	for (unsigned i = 0; i < 64; i++)
		routes[i] = (struct prefix){ addr_v4(10, (uint8_t)i, 0, 0), 16 };
	assert_ok(policy_view_new(p, &v));
	for (unsigned i = 0; i < 40; i++) {
		struct policy_node n = { .id = i + 1, .v4 = addr_v4(100, 64, 1, (uint8_t)i) };

		if (i % 2)
			n.user_id = 1, n.user = &ann;
		else
			n.tags = tags, n.n_tags = 1;
		if (i % 8 == 0)
			n.routes = routes, n.n_routes = 64;
		assert_ok(policy_view_put(v, &n, &cls, &c));
	}
	for (int64_t i = 1; i <= 40; i++) {
		policy_view_filters(v, i, f);
		policy_view_ssh(v, i);
		policy_view_self_caps(v, i);
	}
	policy_tags_may_tag(p, tags, 1, "tag:t0");
	policy_may_tag(p, &ann, "tag:t0");
	if (policy_verify(v, NULL, 0, &faults) == ERR_INVALID)
		assert_true(faults.n > 0);
	ask_all(p, v);
	policy_changes_done(&c);
	policy_view_free(v);
}

/* says: a part of the refusal; NULL: it may be accepted, too. */
static void try(const char *what, struct buf *text, const char *says)
{
	struct policy_faults faults;
	struct policy *p;
	double start = cpu_s();

	assert_false(text->bad);
	err e = policy_parse(buf_view(text), &p, &faults);
	if (e == OK) {
		use(p);
		policy_unref(p);
	}
	double took = cpu_s() - start;
	print_message("%-40s %8zu bytes, %6.2f s: %s\n", what, buf_len(text), took, e == OK ? "accepted" : faults.n ? faults.fault[0].text : "?");
	buf_done(text);
	if (took > SECONDS_MAX)
		fail_msg("%s took %.1f s", what, took);
	if (says)
		assert_true(e == ERR_INVALID && faults.n && strstr(faults.fault[0].text, says));
	else
		assert_true(e == OK || (e == ERR_INVALID && faults.n));
}

static struct buf begin(const char *s)
{
	struct buf b = buf_make(64 << 20);

	buf_append_str(&b, s);
	return b;
}

static void too_long(void **state)
{
	(void)state;
	struct buf b = begin("{}");
	while (buf_len(&b) < 10 << 20)
		buf_append_str(&b, "                                                                ");
	try("10 MB", &b, "more than");
}

static void nested(void **state)
{
	(void)state;
	struct buf b = begin("{\"acls\":");
	for (int i = 0; i < 10000; i++)
		buf_append_u8(&b, '[');
	try("10,000 lists in each other", &b, "nested too deeply");
	b = begin("");
	for (int i = 0; i < 10000; i++)
		buf_append_str(&b, "{\"a\":");
	try("10,000 objects in each other", &b, "nested too deeply");
	b = begin("{\"acls\":[");
	for (int i = 0; i < 1900000; i++)
		buf_append_str(&b, "1,");
	try("two million numbers", &b, "too many values");
}

static void rings(void **state)
{
	(void)state;
	struct buf b = begin("{\"tagOwners\":{");
	for (int i = 0; i < 20000; i++)
		buf_printf(&b, "\"tag:t%d\":[\"tag:t%d\"],", i, (i + 1) % 20000);
	buf_append_str(&b, "}}");
	try("20,000 tags own each other in a ring", &b, NULL);
	b = begin("{\"ipsets\":{");
	for (int i = 0; i < 2000; i++)
		buf_printf(&b, "\"ipset:s%d\":[\"ipset:s%d\",\"ipset:s%d\"],", i, (i + 1) % 2000, (i + 7) % 2000);
	buf_append_str(&b, "}}");
	try("ipsets that contain each other", &b, "ipsets contain each other");
	b = begin("{\"groups\":{");
	for (int i = 0; i < 20000; i++)
		buf_printf(&b, "\"group:g%d\":[\"group:g%d\"],", i, (i + 1) % 20000);
	buf_append_str(&b, "}}");
	try("groups that contain each other", &b, "cannot contain groups");
}

static void many_hosts(void **state)
{
	(void)state;
	struct buf b = begin("{\"hosts\":{");
	for (int i = 0; i < 100000; i++)
		buf_printf(&b, "\"h%d\":\"10.%d.%d.%d\",", i, i >> 16, i >> 8 & 255, i & 255);
	buf_append_str(&b, "},\"acls\":[{\"action\":\"accept\",\"src\":[");
	for (int i = 0; i < 60000; i++)
		buf_printf(&b, "\"h%d\",", i);
	buf_append_str(&b, "],\"dst\":[\"h1:22\"]}]}");
	try("100,000 hosts", &b, NULL);
	b = begin("{\"hosts\":{");
	for (int i = 0; i < 40000; i++)
		buf_printf(&b, "\"a-host-with-a-quite-long-name-number-%d\":\"10.0.0.1\",", i);
	buf_append_str(&b, "},\"acls\":[{\"action\":\"accept\",\"src\":[");
	for (int i = 0; i < 20000; i++)
		buf_printf(&b, "\"a-host-with-a-quite-wrong-name-number-%d\",", i);
	buf_append_str(&b, "],\"dst\":[\"*:22\"]}]}");
	try("wrong names among many hosts", &b, "did you mean");
	b = begin("{\"hosts\":{");
	for (int i = 0; i < 20000; i++)
		buf_printf(&b, "\"a-host-with-a-quite-long-name-number-%d\":\"10.0.0.1\",", i);
	buf_append_str(&b, "},\"tests\":[");
	for (int i = 0; i < 1500; i++) {
		buf_append_str(&b, "{\"src\":\"ann@\",\"accept\":[");
		for (int k = 0; k < 40; k++)
			buf_printf(&b, "\"a-host-with-a-wrong-name-%d-%d:1\",", i, k);
		buf_append_str(&b, "]},");
	}
	buf_append_str(&b, "]}");
	try("wrong names in many tests", &b, NULL);
}

static void groups_by_groups(void **state)
{
	(void)state;
	struct buf b = begin("{\"groups\":{");
	for (int i = 0; i < 20000; i++)
		buf_printf(&b, "\"group:g%d\":[\"u%d@\",\"ann@\"],", i, i);
	buf_append_str(&b, "},\"acls\":[{\"action\":\"accept\",\"src\":[");
	for (int i = 0; i < 20000; i++)
		buf_printf(&b, "\"group:g%d\",", i);
	buf_append_str(&b, "],\"dst\":[");
	for (int i = 0; i < 20000; i++)
		buf_printf(&b, "\"group:g%d:*\",", i);
	buf_append_str(&b, "]}]}");
	try("20,000 groups to 20,000 groups", &b, NULL);
}

static void many_rules(void **state)
{
	(void)state;
	struct buf b = begin("{\"acls\":[");
	for (int i = 0; i < 20000; i++)
		buf_printf(&b, "{\"action\":\"accept\",\"src\":[\"*\"],\"dst\":[\"*:%d\"]},", i + 1);
	buf_append_str(&b, "]}");
	try("20,000 rules for everybody", &b, NULL);
	b = begin("{\"acls\":[");
	for (int i = 0; i < 20001; i++)
		buf_append_str(&b, "{\"action\":\"accept\",\"src\":[\"*\"],\"dst\":[\"*:1\"]},");
	buf_append_str(&b, "]}");
	try("a rule too many", &b, "at most 20000 rules");
	b = begin("{\"acls\":[");
	for (int i = 0; i < 100000; i++)
		buf_append_str(&b, "{\"src\":[\"*\"],\"dst\":[\"*:*\"]},");
	buf_append_str(&b, "]}");
	try("100,000 rules", &b, "at most 20000 rules");
	b = begin("{\"acls\":[");
	for (int i = 0; i < 6; i++) {
		buf_append_str(&b, "{\"action\":\"accept\",\"src\":[\"*\"],\"dst\":[");
		for (int k = 0; k < 20000; k++)
			buf_printf(&b, "\"10.%d.%d.%d:1\",", i, k >> 8, k & 255);
		buf_append_str(&b, "]},");
	}
	buf_append_str(&b, "]}");
	try("120,000 destinations", &b, "at most 100000 destinations");
}

static void one_big_group(void **state)
{
	(void)state;
	for (int more = 0; more < 2; more++) {
		struct buf b = begin("{\"groups\":{\"group:all\":[");
		for (int i = 0; i < 100000 + more; i++)
			buf_printf(&b, "\"user%d@example.com\",", i);
		buf_append_str(&b, "]},\"acls\":[{\"action\":\"accept\",\"src\":[\"group:all\"],\"dst\":[\"group:all:*\"]}],"
				   "\"ssh\":[{\"action\":\"check\",\"src\":[\"group:all\"],\"dst\":[\"autogroup:self\"],\"users\":[\"root\"]}]}");
		try(more ? "a group of 100,001" : "a group of 100,000", &b, more ? "at most 100000 members" : NULL);
	}
}

/* Each is of two others: whoever follows every way goes 2^n of them. */
static void cascades(void **state)
{
	(void)state;
	struct buf b = begin("{\"ipsets\":{");
	for (int i = 0; i < 15; i++)
		buf_printf(&b, "\"ipset:s%d\":[\"ipset:s%d\",\"ipset:s%d\",\"remove ipset:s%d\",\"add ipset:s%d\"],", i, i + 1, i + 1, i + 1, i + 1);
	buf_append_str(&b, "\"ipset:s15\":[\"10.0.0.0/8\"]},\"acls\":[{\"action\":\"accept\",\"src\":[\"ipset:s0\"],\"dst\":[\"ipset:s0:*\"]}]}");
	try("ipsets of two ipsets each", &b, NULL);
	b = begin("{\"ipsets\":{");
	for (int i = 0; i < 5000; i++)
		buf_printf(&b, "\"ipset:s%d\":[\"ipset:s%d\"],", i, i + 1);
	buf_append_str(&b, "\"ipset:s5000\":[\"10.0.0.0/8\"]}}");
	try("5,000 ipsets in each other", &b, "deep");
	b = begin("{\"tagOwners\":{");
	for (int i = 0; i < 20000; i++)
		buf_printf(&b, "\"tag:t%d\":[\"tag:t%d\",\"tag:t%d\",\"tag:t0\"],", i, (i + 1) % 20000, (i + 2) % 20000);
	buf_append_str(&b, "},\"tests\":[{\"src\":\"tag:t0\",\"deny\":[\"tag:t1:22\"]}]}");
	try("20,000 tags of two tags each", &b, NULL);
	b = begin("{\"postures\":{");
	for (int i = 0; i < 64; i++)
		buf_printf(&b, "\"posture:p%d\":[\"posture:p%d\",\"node:os == 'linux'\"],", i, (i + 1) % 64);
	buf_append_str(&b, "}}");
	try("postures of postures", &b, "is no attribute");
	b = begin("{\"postures\":{");
	for (int i = 0; i < 65; i++)
		buf_printf(&b, "\"posture:p%d\":[\"node:os == 'linux'\"],", i);
	buf_append_str(&b, "}}");
	try("65 postures", &b, "at most 64 postures");
}

static void long_lists_in_texts(void **state)
{
	(void)state;
	struct buf b = begin("{\"acls\":[{\"action\":\"accept\",\"src\":[\"*\"],\"dst\":[\"*:1");
	for (int i = 0; i < 400000; i++)
		buf_printf(&b, ",%d", i % 65535 + 1);
	buf_append_str(&b, "\"]}]}");
	try("400,000 ports of a destination", &b, "at most 256 ports");
	b = begin("{\"grants\":[{\"src\":[\"*\"],\"dst\":[\"*\"],\"ip\":[");
	for (int i = 0; i < 65535; i++)
		buf_printf(&b, "\"tcp:%d\",", i + 1);
	buf_append_str(&b, "]}]}");
	try("65,535 ports of a grant", &b, "at most 256 ports");
	b = begin("{\"postures\":{\"posture:p\":[\"node:os IN ['x'");
	for (int i = 0; i < 300000; i++)
		buf_printf(&b, ",'v%d'", i);
	buf_append_str(&b, "]\"]},\"defaultSrcPosture\":[\"posture:p\"]}");
	try("300,000 values of a condition", &b, NULL);
	b = begin("{\"acls\":[{\"action\":\"accept\",\"src\":[\"");
	while (buf_len(&b) < 3 << 20)
		buf_append_str(&b, "a-name-without-an-end-");
	buf_append_str(&b, "\"],\"dst\":[\"*:*\"]}]}");
	try("a name of 3 MB", &b, "src");
	b = begin("{\"hosts\":{\"");
	while (buf_len(&b) < 3 << 20)
		buf_append_str(&b, "x.");
	buf_append_str(&b, "\":\"10.0.0.1\"}}");
	try("a host's name of 3 MB", &b, NULL);
	b = begin("{/*");
	while (buf_len(&b) < 3 << 20)
		buf_append_str(&b, "/* // * ");
	buf_append_str(&b, "*/}");
	try("a comment of 3 MB", &b, NULL);
	b = begin("{\"grants\":[{\"src\":[\"*\"],\"dst\":[\"*\"],\"app\":{\"example.com/x\":[");
	for (int i = 0; i < 100000; i++)
		buf_printf(&b, "{\"a%d\":[1,2]},", i);
	buf_append_str(&b, "]}}]}");
	try("100,000 values of a capability", &b, NULL);
}

static void approvers(void **state)
{
	(void)state;
	struct buf b = begin("{\"autoApprovers\":{\"routes\":{");
	for (int i = 0; i < 4096; i++)
		buf_printf(&b, "\"10.%d.%d.0/24\":[\"ann@\",\"bob@\",\"eve@\",\"autogroup:member\"],", i >> 8, i & 255);
	buf_append_str(&b, "},\"exitNode\":[\"ann@\"]}}");
	try("4,096 ranges that approve themselves", &b, NULL);
	b = begin("{\"autoApprovers\":{\"routes\":{");
	for (int i = 0; i < 4097; i++)
		buf_printf(&b, "\"10.%d.%d.0/24\":[],", i >> 8, i & 255);
	buf_append_str(&b, "}}}");
	try("one range more", &b, "at most 4096 ranges");
}

static void many_tests(void **state)
{
	(void)state;
	struct buf b = begin("{\"acls\":[");
	for (int i = 0; i < 5000; i++)
		buf_printf(&b, "{\"action\":\"accept\",\"src\":[\"10.0.0.1\"],\"dst\":[\"*:%d\"]},", i + 1);
	buf_append_str(&b, "],\"tests\":[");
	for (int i = 0; i < 2000; i++) {
		buf_append_str(&b, "{\"src\":\"autogroup:member\",\"accept\":[");
		for (int k = 0; k < 50; k++)
			buf_printf(&b, "\"autogroup:tagged:%d\",", k + 1);
		buf_append_str(&b, "]},");
	}
	buf_append_str(&b, "]}");
	try("2,000 tests of everybody", &b, NULL);
	b = begin("{\"tests\":[");
	for (int i = 0; i < 20000; i++)
		buf_append_str(&b, "{\"src\":\"ann@\",\"deny\":[\"tag:t:1\"]},");
	buf_append_str(&b, "]}");
	try("20,000 tests", &b, "at most 2000 tests");
	b = begin("{\"sshTests\":[");
	for (int i = 0; i < 20000; i++)
		buf_append_str(&b, "{\"src\":\"ann@\",\"dst\":[\"ann@\"],\"deny\":[\"root\"]},");
	buf_append_str(&b, "]}");
	try("20,000 tests of ssh", &b, "at most 2000");
	b = begin("{\"ssh\":[");
	for (int i = 0; i < 2000; i++)
		buf_append_str(&b, "{\"action\":\"accept\",\"src\":[\"autogroup:member\"],\"dst\":[\"autogroup:tagged\"],\"users\":[\"u\"]},");
	buf_append_str(&b, "],\"tagOwners\":{\"tag:t1\":[]},\"sshTests\":[");
	for (int i = 0; i < 2000; i++)
		buf_append_str(&b, "{\"src\":\"ann@\",\"dst\":[\"tag:t1\"],\"accept\":[\"u\"],\"deny\":[\"root\",\"v\",\"w\"]},");
	buf_append_str(&b, "]}");
	try("2,000 tests of 2,000 rules of ssh", &b, NULL);
}

static void ranges(void **state)
{
	(void)state;
	struct buf b = begin("{\"ipsets\":{\"ipset:a\":[");
	for (int i = 0; i < 4000; i++)
		buf_printf(&b, "\"10.%d.%d.0/25\",", i >> 8, i & 255);
	buf_append_str(&b, "],");
	for (int i = 0; i < 2000; i++)
		buf_printf(&b, "\"ipset:b%d\":[\"ipset:a\",\"1.1.%d.%d\"],", i, i >> 8, i & 255);
	buf_append_str(&b, "},\"acls\":[{\"action\":\"accept\",\"src\":[\"*\"],\"dst\":[");
	for (int i = 0; i < 2000; i++)
		buf_printf(&b, "\"ipset:b%d:*\",", i);
	buf_append_str(&b, "]}]}");
	try("ipsets of ipsets", &b, NULL);
}

static void attributes(void **state)
{
	(void)state;
	struct buf b = begin("{\"nodeAttrs\":[");
	for (int i = 0; i < 1000; i++) {
		buf_append_str(&b, "{\"target\":[\"*\"],\"attr\":[");
		for (int k = 0; k < 300; k++)
			buf_printf(&b, "\"x%d\",", i * 300 + k);
		buf_append_str(&b, "]},");
	}
	buf_append_str(&b, "]}");
	try("300,000 attributes", &b, "more than 524288 bytes");
	b = begin("{\"nodeAttrs\":[{\"attr\":[\"x\"],\"target\":[");
	for (int i = 0; i < 20000; i++)
		buf_printf(&b, "\"u%d@\",", i);
	buf_append_str(&b, "]}]}");
	try("20,000 targets", &b, "at most 10000 targets");
}

static void ssh(void **state)
{
	(void)state;
	struct buf b = begin("{\"ssh\":[");
	for (int i = 0; i < 4000; i++)
		buf_append_str(&b, "{\"action\":\"accept\",\"src\":[\"autogroup:member\"],\"dst\":[\"autogroup:tagged\",\"autogroup:self\"],\"users\":[\"root\",\"u\"]},");
	buf_append_str(&b, "]}");
	try("4,000 rules of ssh", &b, NULL);
	b = begin("{\"ssh\":[{\"action\":\"accept\",\"src\":[\"ann@\"],\"dst\":[\"autogroup:tagged\"],\"users\":[");
	for (int i = 0; i < 5000; i++)
		buf_printf(&b, "\"u%d\",", i);
	buf_append_str(&b, "]}]}");
	try("5,000 users of a machine", &b, "at most 1024 users");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(too_long), cmocka_unit_test(nested), cmocka_unit_test(rings), cmocka_unit_test(many_hosts),
		cmocka_unit_test(groups_by_groups), cmocka_unit_test(many_rules), cmocka_unit_test(many_tests), cmocka_unit_test(ranges),
		cmocka_unit_test(attributes), cmocka_unit_test(ssh), cmocka_unit_test(one_big_group), cmocka_unit_test(cascades),
		cmocka_unit_test(long_lists_in_texts), cmocka_unit_test(approvers),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
