/* totp: codes of an authenticator app (RFC 6238: SHA-1, 30 seconds, 6 digits, what all apps do). Pure. */
#pragma once

#include "server/store/rows.h"

enum {
	TOTP_STEP_S = 30,
	TOTP_DIGITS = 6,
	TOTP_SKEW_STEPS = 1, /* one before and one after: clocks and slow fingers */
	TOTP_TEXT_LEN = 32,  /* base32 of the secret */
};

void totp_code(const uint8_t secret[TOTP_SECRET_LEN], int64_t step, char out[TOTP_DIGITS + 1]);
/* The step whose code this is, newer than after; 0: none. Spaces in the code are fine. */
int64_t totp_check(const uint8_t secret[TOTP_SECRET_LEN], const char *code, int64_t wall_ms, int64_t after);
void totp_text(const uint8_t secret[TOTP_SECRET_LEN], char out[TOTP_TEXT_LEN + 1]);
/* ERR_MALFORMED: not such a text. */
MUST_USE err totp_parse(const char *text, uint8_t secret[TOTP_SECRET_LEN]);
