/* Every route has words, words have routes, names of schemas exist: each document can be made. */
#include "server/api/openapi.h"

#include <string.h>

#include "common/base/cleanup.h"
#include "server/api/request.h"
#include "tests/lib/test.h"

static const char *const bases[] = { "/api/v1", "/api/v2", "/api/fairlead/v1" };

/* $ref -> its schema must be there. */
static void look_for_refs(const json_t *v, const json_t *schemas)
{
	const char *key, *at;
	json_t *m;
	size_t i;

	json_object_foreach((json_t *)(uintptr_t)v, key, m) {
		if (strcmp(key, "$ref") == 0 && json_is_string(m)) {
			at = strrchr(json_string_value(m), '/');
			if (!at || !json_object_get(schemas, at + 1))
				fail_msg("%s is nowhere", json_string_value(m));
		}
		look_for_refs(m, schemas);
	}
	json_array_foreach((json_t *)(uintptr_t)v, i, m)
		look_for_refs(m, schemas);
}

static void every_route_has_words(void **state)
{
	size_t found = 0, wanted = 0;
	const char *path, *method;
	json_t *item, *op;

	(void)state;
	for (size_t i = 0; route_at(i); i++)
		wanted += strncmp(route_at(i)->pattern, "/api/", 5) == 0;
	for (size_t b = 0; b < ARRAY_LEN(bases); b++) {
		char fault[OPENAPI_FAULT_MAX] = "";
		json_auto_t *doc = NULL;
		if (openapi_document(bases[b], &doc, fault) != OK)
			fail_msg("%s: %s", bases[b], fault);
		look_for_refs(doc, json_object_get(json_object_get(doc, "components"), "schemas"));
		json_auto_t *ids = json_object();
		json_object_foreach(json_object_get(doc, "paths"), path, item)
			json_object_foreach(item, method, op) {
				const char *id = json_string_value(json_object_get(op, "operationId"));
				assert_non_null(id);
				if (json_object_get(ids, id))
					fail_msg("two operations are called %s", id);
				json_object_set_new(ids, id, json_true());
				found++;
			}
	}
	assert_int_equal(found, wanted);
}

static void what_stands_in_it(void **state)
{
	char fault[OPENAPI_FAULT_MAX] = "";
	json_auto_t *doc = NULL;
	json_t *op;

	(void)state;
	assert_ok(openapi_document("/api/v1", &doc, fault));
	op = json_object_get(json_object_get(json_object_get(doc, "paths"), "/api/v1/node/{nodeId}/tags"), "post");
	assert_string_equal(json_string_value(json_object_get(op, "x-scope")), "devices:core");
	assert_non_null(json_object_get(json_object_get(op, "responses"), "200"));
	assert_non_null(json_object_get(json_object_get(op, "responses"), "401"));
	assert_non_null(json_object_get(op, "requestBody"));
	assert_string_equal(json_string_value(json_object_get(json_array_get(json_object_get(op, "parameters"), 0), "name")), "nodeId");
	op = json_object_get(json_object_get(json_object_get(doc, "paths"), "/api/v1/health"), "get");
	assert_null(json_object_get(op, "security"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_route_has_words),
		cmocka_unit_test(what_stands_in_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
