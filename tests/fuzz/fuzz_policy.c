/* A policy text of a stranger, and three nodes under it. */
#include <stdlib.h>

#include "common/text/jsonw.h"
#include "server/policy/draft.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Questions with words from the text itself, and what it would change. */
static void ask(struct policy *p, struct policy_view *v, const struct policy_named *named, size_t n, struct bytes text)
{
	static const char open[] = "{\"acls\":[{\"action\":\"accept\",\"src\":[\"*\"],\"dst\":[\"*:22\"]}]}";
	struct policy_world is = { v, named, n }, was = { .node = named, .n = n };
	char word[64] = "", other[64] = "", why[200];
	struct policy_faults faults;
	struct policy_changes c = { 0 };
	struct policy *base;
	uint32_t cls;

	(void)p;
	for (size_t i = 0; i + 40 < text.n; i += text.n / 4 + 1) {
		struct bytes a = bytes_first(bytes_skip(text, i), 1 + i % 30), b = bytes_first(bytes_skip(text, i + 5), 1 + i % 33);
		struct buf out = buf_make(1 << 20);

		memcpy(word, a.p, a.n), word[a.n] = 0;
		memcpy(other, b.p, b.n), other[b.n] = 0;
		if (policy_explain(&is, word, other, &out, why, sizeof why) == OK && buf_len(&out) == 0)
			abort();
		buf_clear(&out);
		(void)!policy_who_can_reach(&is, other, &out, why, sizeof why);
		buf_clear(&out);
		(void)!policy_what_can_reach(&is, word, &out, why, sizeof why);
		buf_done(&out);
	}
	if (policy_parse(bytes_str(open), &base, &faults) != OK || policy_view_new(base, &was.view) != OK)
		abort();
	for (size_t i = 0; i < n; i++)
		if (policy_view_put(was.view, named[i].node, &cls, &c) != OK)
			abort();
	struct buf out = buf_make(8 << 20);
	if (policy_preview(&was, &is, &out) != OK || policy_preview(&is, &was, &out) != OK)
		abort();
	buf_clear(&out);
	struct jsonw j = jsonw_init(&out);
	jsonw_obj(&j);
	if (policy_matrix(&was, &is, false, &j) != OK || policy_matrix(&is, &is, true, &j) != OK)
		abort();
	(void)!policy_graph(&was, &is, "autogroup:member", false, false, &j, why, sizeof why);
	(void)!policy_graph(&is, &is, "10.0.0.1", true, false, &j, why, sizeof why);
	jsonw_obj_end(&j);
	buf_clear(&out);
	(void)!policy_diff(text, bytes_str(open), &out);
	buf_done(&out);
	policy_changes_done(&c);
	policy_view_free(was.view);
	policy_unref(base);
}

static void apply(struct policy *p, struct bytes text)
{
	struct policy_node nodes[3];
	struct policy_named named[3];
	static const char *const tags[] = { "tag:web" };
	static const struct policy_user ann = { 1, "ann", "ann@example.com", "ann@example.com", POLICY_ROLE_OWNER, NULL, 0 };
	struct policy_changes c = { 0 };
	struct policy_filter f[POLICY_FILTERS_MAX];
	struct policy_faults faults;
	struct policy_view *v;
	uint32_t cls[3];
	int64_t period;
	struct prefix routes[2] = { { .addr = { .family = 4 } }, { addr_v4(10, 33, 0, 0), 16 } };

	if (policy_view_new(p, &v) != OK)
		return;
	for (int64_t i = 0; i < 3; i++) {
		struct policy_node n = { .id = i + 1, .v4 = addr_v4(100, 64, 0, (uint8_t)(i + 1)) };

		if (i < 2)
			n.user_id = 1, n.user = &ann;
		else
			n.tags = tags, n.n_tags = 1, n.routes = routes, n.n_routes = 2;
		if (policy_view_put(v, &n, &cls[i], &c) != OK)
			abort();
		nodes[i] = n;
		named[i] = (struct policy_named){ i == 2 ? "web" : i ? "b" : "a", &nodes[i] };
	}
	ask(p, v, named, 3, text);
	for (int64_t i = 1; i <= 3; i++) {
		if (policy_view_filters(v, i, f) == 0)
			abort();
		if (policy_view_sees(v, cls[0], cls[i - 1]) != policy_view_sees(v, cls[i - 1], cls[0]))
			abort();
	}
	policy_view_shows_route(v, 1, 3, routes[0], 0);
	policy_view_shows_route(v, 1, 3, routes[1], 3);
	for (int64_t i = 1; i <= 3; i++) {
		policy_view_ssh(v, i);
		policy_view_self_caps(v, i);
	}
	policy_view_ssh_action(v, 1, 3, "ann", &period);
	if (policy_verify(v, NULL, 0, &faults) == ERR_INVALID && faults.n == 0)
		abort(); /* a refusal without a reason */
	if (policy_view_del(v, 2, &c) != OK)
		abort();
	policy_changes_done(&c);
	policy_view_free(v);
}

/* As somebody writes it, with all that is wrong. */
static void look(struct bytes text)
{
	static const struct policy_user ann = { 1, "ann", "ann@example.com", "ann@example.com", POLICY_ROLE_OWNER, NULL, 0 };
	static const struct policy_node nodes[] = { { .id = 1, .user_id = 1, .user = &ann, .v4 = { 4, { 100, 64, 0, 1 } } }, { .id = 2, .v4 = { 4, { 100, 64, 0, 2 } } } };
	static const struct policy_named named[] = { { "a", &nodes[0] }, { "b", &nodes[1] } };
	struct policy_draft d = { .text = text };
	struct policy_world was = { NULL, named, 2 };
	struct buf out = buf_make(8 << 20);
	struct jsonw w = jsonw_init(&out);
	struct policy_faults faults;
	struct policy *open;

	err e = policy_format(text, &out, &faults);
	if (e != OK && e != ERR_INVALID)
		abort();
	buf_clear(&out);
	if (policy_parse(BYTES_LIT("{}"), &open, &faults) != OK || policy_world_view(open, &was, &was.view) != OK)
		abort();
	jsonw_obj(&w);
	if (policy_draft_write(&was, &d, &w) != OK)
		abort();
	jsonw_obj_end(&w);
	if (!jsonw_ok(&w))
		abort();
	buf_done(&out);
	policy_view_free(was.view);
	policy_unref(open);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct policy_faults faults;
	struct policy *p;
	err e = policy_parse(bytes_of(data, size), &p, &faults);

	look(bytes_of(data, size));
	if (e == OK) {
		apply(p, bytes_of(data, size));
		policy_unref(p);
	} else if (e == ERR_INVALID && faults.n == 0) {
		abort(); /* a refusal without a reason */
	}
	return 0;
}
