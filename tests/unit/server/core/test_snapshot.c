/* Snapshots: nothing in one points to what the core may free or change. */
#include "server/core/snapshot.h"

#include <stdlib.h>

#include "common/base/cleanup.h"
#include "tests/lib/test.h"

/* Everything lies on the heap and is gone when it returns. */
static struct record *record_of(int64_t id, const char *word)
{
	char *text = strdup(word);
	const char **list = malloc(2 * sizeof *list);
	struct prefix *route = malloc(sizeof *route);
	struct policy_user *user = malloc(sizeof *user);
	struct policy_attr *attr = malloc(sizeof *attr);

	list[0] = list[1] = text;
	*route = (struct prefix){ addr_v4(10, 0, 0, 0), 8 };
	*user = (struct policy_user){ .id = 7, .name = text, .email = text, .login = text, .groups = list, .n_groups = 2 };
	*attr = (struct policy_attr){ text, text };
	struct record *r = record_new(&(struct policy_node){ .id = id, .user_id = 7, .user = user, .tags = list, .n_tags = 2, .routes = route,
						.n_routes = 1, .attrs = attr, .n_attrs = 1 }, text, route, 1);
	memset(text, 'x', strlen(text));
	free(text);
	free(list);
	free(route);
	free(user);
	free(attr);
	assert_non_null(r);
	return r;
}

static void a_record_owns_what_it_says(void **state)
{
	(void)state;
	struct record *r = record_of(1, "ann");
	assert_string_equal(r->name, "ann");
	assert_string_equal(r->node.tags[1], "ann");
	assert_string_equal(r->node.user->email, "ann");
	assert_int_equal(r->node.user->n_groups, 2);
	assert_string_equal(r->node.user->groups[1], "ann");
	assert_string_equal(r->node.attrs[0].value, "ann");
	assert_int_equal(r->node.routes[0].bits, 8);
	assert_int_equal(r->announced[0].bits, 8);
	record_unref(r);
}

static void a_copy_stays_as_it_was(void **state)
{
	(void)state;
	struct snapshot now = { 0 }, then;
	size_t at = 0, n = 0;
	for (uint32_t i = 0; i < 200; i++)
		assert_ok(snapshot_set(&now, i, record_of(i + 1, "old")));
	assert_ok(snapshot_copy(&now, &then));
	assert_false(snapshot_differs(&then, &now, &at));
	assert_ok(snapshot_set(&now, 3, record_of(4, "new")));
	assert_ok(snapshot_set(&now, 150, NULL));
	assert_ok(snapshot_set(&now, 300, record_of(301, "more")));
	assert_string_equal(snapshot_get(&then, 3)->name, "old");
	assert_string_equal(snapshot_get(&now, 3)->name, "new");
	assert_non_null(snapshot_get(&then, 150));
	assert_null(snapshot_get(&now, 150));
	assert_null(snapshot_get(&then, 300));
	static const size_t want[] = { 3, 150, 300 };
	for (at = 0; snapshot_differs(&then, &now, &at); n++)
		assert_int_equal(at - 1, want[n]);
	assert_int_equal(n, 3);
	snapshot_done(&now);
	assert_string_equal(snapshot_get(&then, 199)->name, "old");
	snapshot_done(&then);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_record_owns_what_it_says),
		cmocka_unit_test(a_copy_stays_as_it_was),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
