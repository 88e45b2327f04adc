/* Numbers of TOML: apart from toml.c, because they are a grammar of their own. */
#include <stdlib.h>

#include "common/base/cleanup.h"
#include "common/text/toml.h"
#include "common/text/toml_number.h"

enum { NUMBER_MAX = 80 };

static int digit_value(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : 99;
}

/* word without its underscores, each of which must stand between two digits of base. */
static bool plain_digits(struct bytes word, int base, char out[NUMBER_MAX])
{
	size_t n = 0;

	for (size_t i = 0; i < word.n; i++) {
		if (word.p[i] == '_') {
			if (i == 0 || i + 1 == word.n || digit_value(word.p[i - 1]) >= base || digit_value(word.p[i + 1]) >= base)
				return false;
			continue;
		}
		if (n + 1 >= NUMBER_MAX)
			return false;
		out[n++] = (char)word.p[i];
	}
	out[n] = 0;
	return n > 0;
}

static err parse_digits(const char *s, int base, uint64_t max, uint64_t *out)
{
	uint64_t v = 0;

	for (const char *c = s; *c; c++)
		if (digit_value((uint8_t)*c) >= base)
			return ERR_MALFORMED;
	for (; *s; s++) {
		uint64_t d = (uint64_t)digit_value((uint8_t)*s);

		if (v > (max - d) / (uint64_t)base)
			return ERR_TOO_BIG;
		v = v * (uint64_t)base + d;
	}
	*out = v;
	return OK;
}

static err parse_int(struct bytes word, int64_t *out)
{
	static const struct {
		const char *prefix;
		int base;
	} bases[] = { { "0x", 16 }, { "0o", 8 }, { "0b", 2 } };
	bool negative = word.p[0] == '-', sign = negative || word.p[0] == '+';
	struct bytes digits = bytes_skip(word, sign);
	char plain[NUMBER_MAX];
	uint64_t v;

	for (size_t i = 0; i < ARRAY_LEN(bases); i++)
		if (!sign && bytes_has_prefix(digits, bytes_str(bases[i].prefix))) {
			if (!plain_digits(bytes_skip(digits, 2), bases[i].base, plain))
				return ERR_MALFORMED;
			TRY(parse_digits(plain, bases[i].base, INT64_MAX, &v));
			*out = (int64_t)v;
			return OK;
		}
	if (!plain_digits(digits, 10, plain) || (plain[0] == '0' && plain[1]))
		return ERR_MALFORMED;
	TRY(parse_digits(plain, 10, negative ? (uint64_t)INT64_MAX + 1 : INT64_MAX, &v));
	*out = negative ? (int64_t)(0 - v) : (int64_t)v;
	return OK;
}

/* Skips digits; false when there are none. */
static bool skip_digits(const char **s)
{
	const char *start = *s;

	while (**s >= '0' && **s <= '9')
		++*s;
	return *s != start;
}

static err parse_float(struct bytes word, double *out)
{
	char plain[NUMBER_MAX];
	bool fraction, exponent;

	if (!plain_digits(word, 10, plain))
		return ERR_MALFORMED;
	const char *s = plain;
	if (*s == '+' || *s == '-')
		s++;
	if ((s[0] == '0' && s[1] >= '0' && s[1] <= '9') || !skip_digits(&s))
		return ERR_MALFORMED;
	fraction = *s == '.';
	if (fraction) {
		s++;
		if (!skip_digits(&s))
			return ERR_MALFORMED;
	}
	exponent = *s == 'e' || *s == 'E';
	if (exponent) {
		s++;
		if (*s == '+' || *s == '-')
			s++;
		if (!skip_digits(&s))
			return ERR_MALFORMED;
	}
	if (*s || (!fraction && !exponent))
		return ERR_MALFORMED;
	*out = strtod(plain, NULL);
	return OK;
}

/* "2026-01-02", "07:32:00" */
static bool looks_like_time(struct bytes w)
{
	return (w.n >= 8 && w.p[2] == ':' && w.p[5] == ':') || (w.n >= 10 && w.p[4] == '-' && w.p[7] == '-');
}

err toml_number_parse(struct bytes word, struct toml *t)
{
	if (word.n == 0)
		return ERR_MALFORMED;
	if (looks_like_time(word))
		return ERR_UNSUPPORTED;
	err e = parse_int(word, &t->i);
	t->kind = TOML_INT;
	if (e == ERR_MALFORMED) {
		e = parse_float(word, &t->f);
		t->kind = TOML_FLOAT;
	}
	return e;
}
