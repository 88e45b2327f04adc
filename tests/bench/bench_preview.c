/* What a draft of a policy would change, as the console asks while somebody types: 1,000 nodes of 300 users and 60 tags, 200 rules,
 * of which the draft changes one. Printed for each part, and whole: reading, classifying twice, comparing, writing. */
#include <stdio.h>
#include <stdlib.h>

#include "common/base/clock.h"
#include "server/policy/policy.h"
#include "server/policy/query.h"

enum { NODES = 1000, RULES = 200, GROUPS = 40, TAGS = 60, USERS = 300, ROUNDS = 20 };

/* The same figures on every run. */
static uint64_t rng_below(uint64_t *rng, uint64_t n)
{
	*rng = *rng * 6364136223846793005u + 1442695040888963407u;
	return (*rng >> 33) % n;
}

/* changed: the rule that a draft has differently; RULES: none. */
static void write_policy(struct buf *b, unsigned changed)
{
	uint64_t rng = 5;

	buf_append_str(b, "{\n\"groups\": {");
	for (unsigned g = 0; g < GROUPS; g++) {
		buf_printf(b, "%s\n\t\"group:g%u\": [", g ? "," : "", g);
		for (unsigned m = 0; m < 12; m++)
			buf_printf(b, "%s\"user%u@example.com\"", m ? "," : "", (unsigned)rng_below(&rng, USERS));
		buf_append_str(b, "]");
	}
	buf_append_str(b, "},\n\"tagOwners\": {");
	for (unsigned t = 0; t < TAGS; t++)
		buf_printf(b, "%s\n\t\"tag:t%u\": [\"group:g%u\"]", t ? "," : "", t, (unsigned)rng_below(&rng, GROUPS));
	buf_append_str(b, "},\n\"grants\": [\n\t{\"src\": [\"autogroup:member\"], \"dst\": [\"autogroup:self\"], \"ip\": [\"*\"]},\n"
			  "\t{\"src\": [\"autogroup:member\"], \"dst\": [\"autogroup:internet\"], \"ip\": [\"*\"]}");
	for (unsigned r = 2; r < RULES; r++) {
		unsigned g = (unsigned)rng_below(&rng, GROUPS), t = (unsigned)rng_below(&rng, TAGS), to = (unsigned)rng_below(&rng, TAGS),
			 port = 1 + (unsigned)rng_below(&rng, 60000);
		buf_printf(b, ",\n\t{\"src\": [\"group:g%u\", \"tag:t%u\"], \"dst\": [\"tag:t%u\"", g, t, r == changed ? (to + 1) % TAGS : to);
		if (r % 10 == 0)
			buf_printf(b, ", \"10.%u.0.0/16\"", r);
		buf_printf(b, "], \"ip\": [\"tcp:%u\", \"443\"]}", port);
	}
	buf_append_str(b, "\n],\n\"ssh\": [{\"action\": \"check\", \"src\": [\"group:g0\"], \"dst\": [\"tag:t0\"], \"users\": [\"root\"]}],\n"
			  "\"tests\": [{\"src\": \"user1@example.com\", \"deny\": [\"10.255.0.1:22\"]}]\n}\n");
}

struct node {
	struct policy_node facts;
	struct policy_user user;
	char name[32], email[64], tag[16], called[16];
	const char *tags[1];
};

static void make_node(struct node *n, unsigned i, uint64_t *rng)
{
	unsigned user = (unsigned)rng_below(rng, USERS);

	*n = (struct node){ .facts = { .id = i + 1, .v4 = addr_v4(100, 64, (uint8_t)(i >> 8), (uint8_t)i) } };
	n->facts.v6 = (struct addr){ 6, { 0xfd, 0x7a, 0x11, 0x5c, 0xa1, 0xe0, 0, 0, 0, 0, 0, 0, 0, 0, (uint8_t)(i >> 8), (uint8_t)i } };
	snprintf(n->called, sizeof n->called, "node%u", i);
	if (i % 3 == 0) {
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

static struct policy *parse(const struct buf *text)
{
	struct policy_faults f;
	struct policy *p;

	if (policy_parse(buf_view(text), &p, &f) != OK) {
		fprintf(stderr, "line %u: %s\n", f.fault[0].line, f.fault[0].text);
		abort();
	}
	return p;
}

static struct policy_view *view_of(struct policy *p, const struct node *node)
{
	struct policy_changes c = { 0 };
	struct policy_view *v;
	uint32_t cls;

	if (policy_view_new(p, &v) != OK)
		abort();
	for (unsigned i = 0; i < NODES; i++) {
		if (policy_view_put(v, &node[i].facts, &cls, &c) != OK)
			abort();
		policy_changes_done(&c);
	}
	return v;
}

int main(void)
{
	struct buf base = buf_make(POLICY_TEXT_MAX), draft = buf_make(POLICY_TEXT_MAX), out = buf_make(QUERY_ANSWER_MAX);
	struct node *node = calloc(NODES, sizeof *node);
	struct policy_named *named = calloc(NODES, sizeof *named);
	int64_t parse_us = 0, view_us = 0, compare_us = 0, most_us = 0;
	struct policy_faults faults = { 0 };
	uint64_t rng = 7;

	if (!node || !named)
		abort();
	for (unsigned i = 0; i < NODES; i++) {
		make_node(&node[i], i, &rng);
		named[i] = (struct policy_named){ node[i].called, &node[i].facts };
	}
	write_policy(&base, RULES);
	write_policy(&draft, 77);
	struct policy *p = parse(&base);
	for (int i = 0; i < ROUNDS; i++) {
		int64_t t0 = clock_mono_us();
		struct policy *q = parse(&draft);
		int64_t t1 = clock_mono_us();
		struct policy_view *v = view_of(p, node), *w = view_of(q, node);
		const struct policy_world was = { v, named, NODES }, is = { w, named, NODES };
		int64_t t2 = clock_mono_us();
		if (policy_verify(w, NULL, 0, &faults) != OK)
			abort();
		buf_clear(&out);
		if (policy_preview(&was, &is, &out) != OK)
			abort();
		int64_t t3 = clock_mono_us();
		parse_us += t1 - t0;
		view_us += t2 - t1;
		compare_us += t3 - t2;
		most_us = t3 - t0 > most_us ? t3 - t0 : most_us;
		policy_view_free(v);
		policy_view_free(w);
		policy_unref(q);
	}
	printf("preview.read %.2f ms\npreview.classify %.2f ms (twice)\npreview.compare %.2f ms (%zu bytes)\n", (double)parse_us / ROUNDS / 1e3,
	       (double)view_us / ROUNDS / 1e3, (double)compare_us / ROUNDS / 1e3, buf_len(&out));
	printf("preview.all %.2f ms on average, %.2f ms at most (%d nodes, %d rules)\n",
	       (double)(parse_us + view_us + compare_us) / ROUNDS / 1e3, (double)most_us / 1e3, NODES, RULES);
	policy_unref(p);
	buf_done(&base);
	buf_done(&draft);
	buf_done(&out);
	free(node);
	free(named);
	return 0;
}
