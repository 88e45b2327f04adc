/* migrate: brings a database to this binary's schema: forward only, one transaction a migration, each stored with its
 * hash, so that an edited one is noticed. */
#pragma once

#include <stddef.h>

#include "common/base/err.h"

struct sqlite3;

struct migration {
	int version; /* 1, 2, … without gaps */
	const char *name;
	const char *sql;
	size_t n;
};
extern const struct migration migrations[]; /* generated from db/migrations by the Makefile */
extern const size_t migrations_n;

/* why: one sentence (newer schema, edited migration, failed statement). */
MUST_USE err migrate(struct sqlite3 *db, char *why, size_t why_cap);
