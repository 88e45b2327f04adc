#include "common/text/hex.h"

char *hex_encode(struct bytes in, char *out)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < in.n; i++) {
		out[2 * i] = digits[in.p[i] >> 4];
		out[2 * i + 1] = digits[in.p[i] & 15];
	}
	out[2 * in.n] = 0;
	return out;
}

static int digit(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

err hex_decode(struct bytes text, void *out, size_t n)
{
	uint8_t *dst = out;

	if (text.n % 2 || text.n / 2 != n)
		return ERR_MALFORMED;
	for (size_t i = 0; i < text.n; i++)
		if (digit(text.p[i]) < 0)
			return ERR_MALFORMED;
	for (size_t i = 0; i < n; i++)
		dst[i] = (uint8_t)(digit(text.p[2 * i]) << 4 | digit(text.p[2 * i + 1]));
	return OK;
}
