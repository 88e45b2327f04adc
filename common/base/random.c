#include "common/base/random.h"

#include <sodium.h>
#include <stdlib.h>

/* Before main, so that no program can forget it: until then libsodium uses its slowest code and sodium_malloc has no
 * canary. It fails only where the kernel gives no random bytes, and then nothing that we do is safe. */
__attribute__((constructor)) static void sodium_start(void)
{
	if (sodium_init() < 0)
		abort();
}

static void (*other_fill)(void *ctx, void *p, size_t n);
static void *other_ctx;

void random_replace(void (*fill)(void *ctx, void *p, size_t n), void *ctx)
{
	other_fill = fill;
	other_ctx = ctx;
}

void random_fill(void *p, size_t n)
{
	if (other_fill)
		other_fill(other_ctx, p, n);
	else
		randombytes_buf(p, n);
}

uint64_t random_u64(void)
{
	uint64_t v;

	random_fill(&v, sizeof v);
	return v;
}

uint64_t random_below(uint64_t below)
{
	uint64_t limit = UINT64_MAX - UINT64_MAX % below, v;

	do
		v = random_u64();
	while (v >= limit);
	return v % below;
}
