/* A policy of 1,000 rules, 200 groups and 500 tags over 10,000 nodes: reading it, classifying every node, one node's join,
 * one node's filter, and the question who sees whom. Then what administrators ask, with the view that it takes, at 1,000 nodes. */
#include <stdio.h>
#include <stdlib.h>

#include "common/base/clock.h"
#include "server/policy/policy.h"
#include "server/policy/query.h"

enum { NODES = 10000, RULES = 1000, GROUPS = 200, TAGS = 500, USERS = 2000, JOINS = 2000 };

/* The same figures on every run. */
static uint64_t rng_below(uint64_t *rng, uint64_t n)
{
	*rng = *rng * 6364136223846793005u + 1442695040888963407u;
	return (*rng >> 33) % n;
}

static void write_policy(struct buf *b, uint64_t *rng)
{
	buf_append_str(b, "{\"groups\":{");
	for (unsigned g = 0; g < GROUPS; g++) {
		buf_printf(b, "%s\"group:g%u\":[", g ? "," : "", g);
		for (unsigned m = 0; m < 20; m++)
			buf_printf(b, "%s\"user%u@example.com\"", m ? "," : "", (unsigned)rng_below(rng, USERS));
		buf_append_str(b, "]");
	}
	buf_append_str(b, "},\"tagOwners\":{");
	for (unsigned t = 0; t < TAGS; t++)
		buf_printf(b, "%s\"tag:t%u\":[\"group:g%u\"]", t ? "," : "", t, (unsigned)rng_below(rng, GROUPS));
	buf_append_str(b, "},\"acls\":[{\"action\":\"accept\",\"src\":[\"autogroup:member\"],\"dst\":[\"autogroup:self:*\"]}");
	for (unsigned r = 1; r < RULES; r++) {
		buf_printf(b, ",{\"action\":\"accept\",\"src\":[\"group:g%u\",\"tag:t%u\"],\"dst\":[\"tag:t%u:%u\",\"tag:t%u:443\"",
			   (unsigned)rng_below(rng, GROUPS), (unsigned)rng_below(rng, TAGS), (unsigned)rng_below(rng, TAGS),
			   1 + (unsigned)rng_below(rng, 60000), (unsigned)rng_below(rng, TAGS));
		if (r % 10 == 0)
			buf_printf(b, ",\"10.%u.0.0/16:*\"", r % 250);
		buf_append_str(b, "]}");
	}
	buf_append_str(b, "]}");
}

struct node {
	struct policy_node facts;
	struct policy_user user;
	char name[32], email[64], tag[16];
	const char *tags[1];
};

static void make_node(struct node *n, unsigned i, uint64_t *rng)
{
	unsigned user = (unsigned)rng_below(rng, USERS);

	*n = (struct node){ .facts = { .id = i + 1, .v4 = addr_v4(100, 64, (uint8_t)(i >> 8), (uint8_t)i) } };
	n->facts.v6 = (struct addr){ 6, { 0xfd, 0x7a, 0x11, 0x5c, 0xa1, 0xe0, 0, 0, 0, 0, 0, 0, 0, 0, (uint8_t)(i >> 8), (uint8_t)i } };
	if (i % 2) {
		snprintf(n->tag, sizeof n->tag, "tag:t%u", (unsigned)rng_below(rng, TAGS));
		n->tags[0] = n->tag;
		n->facts.tags = n->tags;
		n->facts.n_tags = 1;
		return;
	}
	snprintf(n->name, sizeof n->name, "user%u", user);
	snprintf(n->email, sizeof n->email, "user%u@example.com", user);
	n->user = (struct policy_user){ user + 1, n->name, n->email, n->email, POLICY_ROLE_MEMBER, NULL, 0 };
	n->facts.user = &n->user;
	n->facts.user_id = user + 1;
}

static void put(struct policy_view *v, const struct node *n, uint32_t *cls, struct policy_changes *c)
{
	if (policy_view_put(v, &n->facts, cls, c) != OK)
		abort();
	policy_changes_done(c);
}

enum { ASKED = 1000 };

static struct policy_view *view_of(struct policy *p, const struct node *node)
{
	struct policy_changes c = { 0 };
	struct policy_view *v;
	uint32_t cls;

	if (policy_view_new(p, &v) != OK)
		abort();
	for (unsigned i = 0; i < ASKED; i++)
		put(v, &node[i], &cls, &c);
	return v;
}

static void questions(struct policy *p, const struct node *node)
{
	struct policy_named *named = calloc(ASKED, sizeof *named);
	char (*names)[16] = calloc(ASKED, sizeof *names), why[200];
	struct buf out = buf_make(QUERY_ANSWER_MAX);
	struct policy_faults f;
	struct policy *other;

	if (!named || !names || policy_parse(BYTES_LIT("{}"), &other, &f) != OK)
		abort();
	for (unsigned i = 0; i < ASKED; i++) {
		snprintf(names[i], sizeof names[i], "node%u", i);
		named[i] = (struct policy_named){ names[i], &node[i].facts };
	}
	for (int q = 0; q < 5; q++) {
		static const char *const what[] = { "explain", "explain_many", "who_can_reach", "what_can_reach", "preview" };
		int64_t t0 = clock_mono_us();
		struct policy_view *v = view_of(p, node), *w = q == 4 ? view_of(other, node) : NULL;
		const struct policy_world is = { v, named, ASKED }, was = { w, named, ASKED };

		err e = q == 0 ? policy_explain(&is, "node0", "node1:443", &out, why, sizeof why) :
			q == 1 ? policy_explain(&is, "group:g3", "tag:t7:443", &out, why, sizeof why) :
			q == 2 ? policy_who_can_reach(&is, "tag:t7:443", &out, why, sizeof why) :
			q == 3 ? policy_what_can_reach(&is, "group:g3", &out, why, sizeof why) :
				 policy_preview(&was, &is, &out);
		if (e != OK)
			abort();
		printf("policy.%s %.1f ms (%zu bytes, %d nodes)\n", what[q], (double)(clock_mono_us() - t0) / 1e3, buf_len(&out), ASKED);
		buf_clear(&out);
		policy_view_free(v);
		policy_view_free(w);
	}
	buf_done(&out);
	policy_unref(other);
	free(named);
	free(names);
}

int main(void)
{
	struct buf text = buf_make(POLICY_TEXT_MAX);
	uint64_t rng = 7;
	struct policy_changes c = { 0 };
	struct policy_faults f;
	struct policy *p;
	struct policy_view *v;
	struct policy_filter out[POLICY_FILTERS_MAX];
	struct node *node = calloc(NODES + 1, sizeof *node);
	uint32_t *cls = calloc(NODES + 1, sizeof *cls);
	size_t bytes = 0, pairs = 0;

	if (!node || !cls)
		abort();
	write_policy(&text, &rng);
	int64_t t0 = clock_mono_us();
	if (policy_parse(buf_view(&text), &p, &f) != OK)
		abort();
	int64_t t1 = clock_mono_us();
	if (policy_view_new(p, &v) != OK)
		abort();
	for (unsigned i = 0; i <= NODES; i++)
		make_node(&node[i], i, &rng);
	int64_t t2 = clock_mono_us();
	for (unsigned i = 0; i < NODES; i++)
		put(v, &node[i], &cls[i], &c);
	int64_t t3 = clock_mono_us();
	for (unsigned i = 0; i < JOINS; i++) {
		put(v, &node[NODES], &cls[NODES], &c);
		if (policy_view_del(v, NODES + 1, &c) != OK)
			abort();
		policy_changes_done(&c);
	}
	int64_t t4 = clock_mono_us();
	for (unsigned i = 1; i < 2000; i += 2) {
		size_t n = policy_view_filters(v, i + 1, out);

		for (size_t k = 0; k < n; k++)
			bytes += part_text(out[k].rules).n;
	}
	int64_t t5 = clock_mono_us();
	uint32_t classes = policy_view_classes(v);
	for (uint32_t a = 0; a < classes && a < 1000; a++)
		for (uint32_t b = 0; b < classes; b++)
			pairs += policy_view_sees(v, a, b);
	int64_t t6 = clock_mono_us();

	printf("policy.parse %.1f ms (%zu bytes, %d rules)\n", (double)(t1 - t0) / 1e3, buf_len(&text), RULES);
	printf("policy.classify %.1f ms (%d nodes, %u classes)\n", (double)(t3 - t2) / 1e3, NODES, classes);
	printf("policy.compile %.1f ms (both)\n", (double)(t1 - t0 + t3 - t2) / 1e3);
	printf("policy.join_and_leave %.1f us\n", (double)(t4 - t3) / JOINS);
	printf("policy.filter %.1f us (%zu bytes on average)\n", (double)(t5 - t4) / 1000, bytes / 1000);
	printf("policy.sees %.0f ns (%zu pairs see each other)\n", (double)(t6 - t5) * 1e3 / (double)(classes < 1000 ? classes : 1000) / classes, pairs);
	policy_view_free(v);
	questions(p, node);
	policy_unref(p);
	buf_done(&text);
	free(node);
	free(cls);
	return 0;
}
