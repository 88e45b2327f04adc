#include "server/login/totp.h"

#include <sodium.h>
#include <stdio.h>

#include "common/base/openssl.h"
#include <openssl/hmac.h>

static const char base32[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

void totp_code(const uint8_t secret[TOTP_SECRET_LEN], int64_t step, char out[TOTP_DIGITS + 1])
{
	uint8_t message[8], mac[EVP_MAX_MD_SIZE] = { 0 };
	unsigned n = 0;

	for (int i = 0; i < 8; i++)
		message[i] = (uint8_t)((uint64_t)step >> (56 - 8 * i));
	HMAC(EVP_sha1(), secret, TOTP_SECRET_LEN, message, sizeof message, mac, &n);
	unsigned at = mac[19] & 15;
	uint32_t v = (uint32_t)(mac[at] & 0x7f) << 24 | (uint32_t)mac[at + 1] << 16 | (uint32_t)mac[at + 2] << 8 | mac[at + 3];
	snprintf(out, TOTP_DIGITS + 1, "%06u", v % 1000000);
}

int64_t totp_check(const uint8_t secret[TOTP_SECRET_LEN], const char *code, int64_t wall_ms, int64_t after)
{
	char digits[TOTP_DIGITS + 1] = "", want[TOTP_DIGITS + 1];
	int64_t now = wall_ms / 1000 / TOTP_STEP_S, found = 0;
	size_t n = 0;

	for (const char *c = code; *c; c++) {
		if (*c == ' ')
			continue;
		if (*c < '0' || *c > '9' || n == TOTP_DIGITS)
			return 0;
		digits[n++] = *c;
	}
	for (int64_t step = now - TOTP_SKEW_STEPS; n == TOTP_DIGITS && step <= now + TOTP_SKEW_STEPS; step++) {
		totp_code(secret, step, want);
		if (sodium_memcmp(want, digits, TOTP_DIGITS) == 0 && step > after)
			found = step;
	}
	return found;
}

/* 20 bytes are 32 characters, without padding. */
void totp_text(const uint8_t secret[TOTP_SECRET_LEN], char out[TOTP_TEXT_LEN + 1])
{
	for (int i = 0; i < TOTP_TEXT_LEN; i++) {
		int bit = i * 5, byte = bit / 8;
		unsigned pair = (unsigned)secret[byte] << 8 | (byte + 1 < TOTP_SECRET_LEN ? secret[byte + 1] : 0);
		out[i] = base32[(pair >> (11 - bit % 8)) & 31];
	}
	out[TOTP_TEXT_LEN] = 0;
}

err totp_parse(const char *text, uint8_t secret[TOTP_SECRET_LEN])
{
	uint64_t bits = 0;
	int n_bits = 0, n = 0;

	if (strlen(text) != TOTP_TEXT_LEN)
		return ERR_MALFORMED;
	for (const char *c = text; *c; c++) {
		const char *at = strchr(base32, *c);
		if (!at)
			return ERR_MALFORMED;
		bits = bits << 5 | (uint64_t)(at - base32);
		n_bits += 5;
		if (n_bits >= 8) {
			n_bits -= 8;
			secret[n++] = (uint8_t)(bits >> n_bits);
		}
	}
	return OK;
}
