/* test: what all unit tests share. Include this instead of cmocka.h. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/bytes.h"

/* A seeded generator (splitmix64): same seed, same test. */
struct test_rng {
	uint64_t s;
};
uint64_t rng_u64(struct test_rng *r);
uint64_t rng_below(struct test_rng *r, uint64_t below);
void rng_fill(struct test_rng *r, void *p, size_t n);

/* All of random_fill comes from this seed until test_random_end. */
void test_random_seed(uint64_t seed);
void test_random_end(void);

/* A heap copy of exactly b.n bytes, so that ASan sees one byte over. Owned: free(copy.p cast). */
struct bytes test_exact(struct bytes b);
void test_exact_free(struct bytes b);

/* Calls parse on b cut at each length, and on b with each byte flipped (xor 0xff and xor 1), from exact copies. */
void test_torture(struct bytes b, void (*parse)(struct bytes in, void *ctx), void *ctx);

/* "00 01ff" -> bytes; spaces ignored. Owned copy (test_exact_free). Fails the test on bad hex. */
struct bytes test_unhex(const char *hex);

/* ../shared/NAME when it is there, else NULL: then print why and skip(). */
const char *test_shared(const char *name, char *path, size_t cap);

/* The whole file as an owned, NUL-terminated string; NULL when unreadable. */
char *test_read_file(const char *path, size_t *n);

#define assert_ok(e) assert_int_equal((e), OK)
