#include "tests/lib/vectors.h"

#include <stdio.h>

json_t *vectors_load(const char *name)
{
	char path[512], shared[128];

	snprintf(shared, sizeof shared, "protocol/vectors/%s", name);
	if (!test_shared(shared, path, sizeof path)) {
		print_message("skipped: no %s\n", path);
		skip();
	}
	json_t *root = json_load_file(path, 0, NULL);
	assert_non_null(root);
	return root;
}

const char *vec_str(json_t *o, const char *name)
{
	const char *s = json_string_value(json_object_get(o, name));

	if (!s)
		fail_msg("the vector has no string %s", name);
	return s;
}

struct bytes vec_hex(json_t *o, const char *name)
{
	return test_unhex(vec_str(o, name));
}

void vec_copy(json_t *o, const char *name, void *out, size_t n)
{
	struct bytes b = vec_hex(o, name);

	assert_int_equal(b.n, n);
	memcpy(out, b.p, n);
	test_exact_free(b);
}

int64_t vec_int(json_t *o, const char *name)
{
	json_t *v = json_object_get(o, name);

	if (!json_is_integer(v))
		fail_msg("the vector has no number %s", name);
	return json_integer_value(v);
}

void vec_assert(json_t *o, const char *name, struct bytes got)
{
	struct bytes want = vec_hex(o, name);

	assert_int_equal(got.n, want.n);
	if (want.n)
		assert_memory_equal(got.p, want.p, want.n);
	test_exact_free(want);
}

json_t *vec_named(json_t *o, const char *list, const char *name)
{
	size_t at;
	json_t *v;

	json_array_foreach(json_object_get(o, list), at, v)
	{
		if (strcmp(vec_str(v, "name"), name) == 0)
			return v;
	}
	fail_msg("the vector has no %s in %s", name, list);
	return NULL;
}
