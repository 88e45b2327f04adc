/* run: other programs (nft, resolvectl), without a shell. Blocks until they end. */
#pragma once

#include <stddef.h>

/* argv ends with NULL; argv[0] is looked for in PATH. Its output goes to out as text, cut to cap; its messages nowhere. The
 * exit status, or -1: it could not be run. */
int run_command(const char *const argv[], char *out, size_t cap);
