#include "tests/lib/test.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/base/random.h"

uint64_t rng_u64(struct test_rng *r)
{
	uint64_t z = (r->s += 0x9e3779b97f4a7c15u);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

uint64_t rng_below(struct test_rng *r, uint64_t below)
{
	return rng_u64(r) % below;
}

void rng_fill(struct test_rng *r, void *p, size_t n)
{
	uint8_t *b = p;

	for (size_t i = 0; i < n; i++)
		b[i] = (uint8_t)rng_u64(r);
}

static struct test_rng seeded;

static void seeded_fill(void *ctx, void *p, size_t n)
{
	rng_fill(ctx, p, n);
}

void test_random_seed(uint64_t seed)
{
	seeded.s = seed;
	random_replace(seeded_fill, &seeded);
}

void test_random_end(void)
{
	random_replace(NULL, NULL);
}

struct bytes test_exact(struct bytes b)
{
	uint8_t *p = malloc(b.n ? b.n : 1);

	assert_non_null(p);
	if (b.n)
		memcpy(p, b.p, b.n);
	return bytes_of(p, b.n);
}

void test_exact_free(struct bytes b)
{
	free((void *)(uintptr_t)b.p);
}

void test_torture(struct bytes b, void (*parse)(struct bytes in, void *ctx), void *ctx)
{
	for (size_t n = 0; n <= b.n; n++) {
		struct bytes cut = test_exact(bytes_first(b, n));

		parse(cut, ctx);
		test_exact_free(cut);
	}
	for (size_t i = 0; i < b.n; i++)
		for (int k = 0; k < 2; k++) {
			struct bytes copy = test_exact(b);

			((uint8_t *)(uintptr_t)copy.p)[i] ^= k ? 1 : 0xff;
			parse(copy, ctx);
			test_exact_free(copy);
		}
}

struct bytes test_unhex(const char *hex)
{
	size_t n = 0, len = strlen(hex);
	uint8_t *p = malloc(len / 2 + 1);
	int half = -1;

	assert_non_null(p);
	for (size_t i = 0; i < len; i++) {
		char c = (char)tolower((unsigned char)hex[i]);
		int v;

		if (isspace((unsigned char)c))
			continue;
		if (c >= '0' && c <= '9')
			v = c - '0';
		else if (c >= 'a' && c <= 'f')
			v = c - 'a' + 10;
		else
			fail_msg("bad hex digit %c", c);
		if (half < 0) {
			half = v;
		} else {
			p[n++] = (uint8_t)(half << 4 | v);
			half = -1;
		}
	}
	assert_int_equal(half, -1);
	struct bytes out = test_exact(bytes_of(p, n));
	free(p);
	return out;
}

const char *test_shared(const char *name, char *path, size_t cap)
{
	const char *root = getenv("FAIRLEAD_SHARED");

	snprintf(path, cap, "%s/%s", root ? root : "../shared", name);
	return access(path, R_OK) == 0 ? path : NULL;
}

char *test_read_file(const char *path, size_t *n)
{
	FILE *f = fopen(path, "rb");
	char *s = NULL;
	size_t len = 0, cap = 0;

	if (!f)
		return NULL;
	for (;;) {
		if (cap - len < 4096) {
			char *bigger = realloc(s, cap = cap ? cap * 2 : 8192);

			if (!bigger)
				break;
			s = bigger;
		}
		size_t got = fread(s + len, 1, cap - len - 1, f);
		if (got == 0)
			break;
		len += got;
	}
	fclose(f);
	if (s)
		s[len] = 0;
	if (n)
		*n = len;
	return s;
}
