/* vectors: the JSON files of ../shared/protocol/vectors, which are read at run time and never copied here. */
#pragma once

#include <jansson.h>

#include "tests/lib/test.h"

/* "noise_ik.json" -> its root (json_decref it). Where the file is absent the test says so and is skipped. */
json_t *vectors_load(const char *name);

/* Members that must be there: a string, bytes from hex (test_exact_free), exactly 32 or n bytes from hex. */
const char *vec_str(json_t *o, const char *name);
struct bytes vec_hex(json_t *o, const char *name);
void vec_copy(json_t *o, const char *name, void *out, size_t n);
int64_t vec_int(json_t *o, const char *name);

/* The member's hex is these bytes. */
void vec_assert(json_t *o, const char *name, struct bytes got);

/* The object in the array o.list whose "name" is name. */
json_t *vec_named(json_t *o, const char *list, const char *name);
