/* random: the one source of random bytes. Tests and the simulation replace it with a seeded one. */
#pragma once

#include <stddef.h>
#include <stdint.h>

void random_fill(void *p, size_t n); /* cryptographically secure; never fails */
uint64_t random_u64(void);
/* Uniform in [0, below); below > 0. */
uint64_t random_below(uint64_t below);

/* Tests only: all calls of this process go to fill until NULL is given. */
void random_replace(void (*fill)(void *ctx, void *p, size_t n), void *ctx);
