#include "common/text/base64.h"

static const char standard[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char url_safe[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static char *encode(struct bytes in, char *out, const char *alphabet, bool pad)
{
	char *at = out;

	for (; in.n >= 3; in = bytes_skip(in, 3)) {
		uint32_t v = (uint32_t)in.p[0] << 16 | (uint32_t)in.p[1] << 8 | in.p[2];

		*at++ = alphabet[v >> 18];
		*at++ = alphabet[v >> 12 & 63];
		*at++ = alphabet[v >> 6 & 63];
		*at++ = alphabet[v & 63];
	}
	if (in.n) {
		uint32_t v = (uint32_t)in.p[0] << 16 | (in.n == 2 ? (uint32_t)in.p[1] << 8 : 0);

		*at++ = alphabet[v >> 18];
		*at++ = alphabet[v >> 12 & 63];
		if (in.n == 2)
			*at++ = alphabet[v >> 6 & 63];
		else if (pad)
			*at++ = '=';
		if (pad)
			*at++ = '=';
	}
	*at = 0;
	return out;
}

char *base64_encode(struct bytes in, char *out)
{
	return encode(in, out, standard, true);
}

char *base64url_encode(struct bytes in, char *out)
{
	return encode(in, out, url_safe, false);
}

static int digit(uint8_t c, const char *alphabet)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	if (c == (uint8_t)alphabet[62])
		return 62;
	if (c == (uint8_t)alphabet[63])
		return 63;
	return -1;
}

/* text without padding */
static err decode(struct bytes text, const char *alphabet, void *out, size_t cap, size_t *n)
{
	uint8_t *dst = out;
	size_t tail = text.n % 4, len = text.n / 4 * 3 + (tail ? tail - 1 : 0), at = 0;
	uint32_t v = 0;

	if (tail == 1)
		return ERR_MALFORMED;
	for (size_t i = 0; i < text.n; i++)
		if (digit(text.p[i], alphabet) < 0)
			return ERR_MALFORMED;
	if (tail && digit(text.p[text.n - 1], alphabet) & (tail == 2 ? 15 : 3))
		return ERR_MALFORMED;
	if (len > cap)
		return ERR_TOO_BIG;
	for (size_t i = 0; i < text.n; i++) {
		v = v << 6 | (uint32_t)digit(text.p[i], alphabet);
		if (i % 4 == 3) {
			dst[at++] = (uint8_t)(v >> 16);
			dst[at++] = (uint8_t)(v >> 8);
			dst[at++] = (uint8_t)v;
		}
	}
	if (tail == 2) {
		dst[at++] = (uint8_t)(v >> 4);
	} else if (tail == 3) {
		dst[at++] = (uint8_t)(v >> 10);
		dst[at++] = (uint8_t)(v >> 2);
	}
	*n = at;
	return OK;
}

err base64_decode(struct bytes text, void *out, size_t cap, size_t *n)
{
	if (text.n % 4)
		return ERR_MALFORMED;
	for (int i = 0; i < 2 && text.n && text.p[text.n - 1] == '='; i++)
		text.n--;
	return decode(text, standard, out, cap, n);
}

err base64url_decode(struct bytes text, void *out, size_t cap, size_t *n)
{
	return decode(text, url_safe, out, cap, n);
}
