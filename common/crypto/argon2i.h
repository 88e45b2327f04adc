/* argon2i: the memory-hard hash of RFC 9106 (version 0x13, type i), as far as tailnet lock needs it: no secret, no associated
 * data, 32 bytes of output.
 *
 * An engine: the work (tens of milliseconds) is done in steps of the caller's choice, so that it can run between other events. */
#pragma once

#include "common/base/bytes.h"

struct argon2i;

enum { ARGON2I_LEN = 32, ARGON2I_LANES_MAX = 16, ARGON2I_KIB_MAX = 64 * 1024, ARGON2I_SALT_MAX = 64, ARGON2I_PASSWORD_MAX = 4096 };

struct argon2i_cost {
	uint32_t passes, kib, lanes;
};

/* ERR_INVALID: a cost or length outside the limits. ERR_NOMEM: not even kib KiB. */
MUST_USE err argon2i_new(struct bytes password, struct bytes salt, struct argon2i_cost cost, struct argon2i **out);
void argon2i_free(struct argon2i *a); /* wipes */

/* Computes at most blocks KiB more; true when done. */
bool argon2i_step(struct argon2i *a, size_t blocks);
/* After the last step. */
void argon2i_result(struct argon2i *a, uint8_t out[ARGON2I_LEN]);
