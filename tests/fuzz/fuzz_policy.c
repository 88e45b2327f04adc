/* A policy text of a stranger, and three nodes under it. */
#include <stdlib.h>

#include "server/policy/policy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void apply(struct policy *p)
{
	static const char *const tags[] = { "tag:web" };
	static const struct policy_user ann = { 1, "ann", "ann@example.com", "ann@example.com", POLICY_ROLE_OWNER };
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
	}
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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct policy_faults faults;
	struct policy *p;
	err e = policy_parse(bytes_of(data, size), &p, &faults);

	if (e == OK) {
		apply(p);
		policy_unref(p);
	} else if (e == ERR_INVALID && faults.n == 0) {
		abort(); /* a refusal without a reason */
	}
	return 0;
}
