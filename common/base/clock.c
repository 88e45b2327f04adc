#include "common/base/clock.h"

#include <stdio.h>
#include <time.h>

#include "common/base/cleanup.h"

static int64_t read_clock(clockid_t id, int64_t per_s)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (int64_t)ts.tv_sec * per_s + (int64_t)ts.tv_nsec / (1000000000 / per_s);
}

int64_t clock_mono_ms(void)
{
	return read_clock(CLOCK_MONOTONIC, 1000);
}

int64_t clock_mono_us(void)
{
	return read_clock(CLOCK_MONOTONIC, 1000000);
}

int64_t clock_wall_ms(void)
{
	return read_clock(CLOCK_REALTIME, 1000);
}

/* Days since 1970-01-01 of a proleptic Gregorian date, and back (Howard Hinnant's well-known formulas). */
static int64_t days_from_civil(int64_t y, int64_t m, int64_t d)
{
	y -= m <= 2;
	int64_t era = (y >= 0 ? y : y - 399) / 400;
	int64_t yoe = y - era * 400;
	int64_t doy = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1;
	int64_t doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
	return era * 146097 + doe - 719468;
}

static void civil_from_days(int64_t z, int *y, int *m, int *d)
{
	z += 719468;
	int64_t era = (z >= 0 ? z : z - 146096) / 146097;
	int64_t doe = z - era * 146097;
	int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
	int64_t mp = (5 * doy + 2) / 153;
	*d = (int)(doy - (153 * mp + 2) / 5 + 1);
	*m = (int)(mp < 10 ? mp + 3 : mp - 9);
	*y = (int)(yoe + era * 400 + (*m <= 2));
}

/* v in so many digits, and a character after them; returns what follows. By hand, for maps are full of times. */
static char *put_digits(char *out, int v, int digits, char after)
{
	for (int i = digits - 1; i >= 0; i--, v /= 10)
		out[i] = (char)('0' + v % 10);
	out[digits] = after;
	return out + digits + 1;
}

char *time_rfc3339(int64_t ms, char out[RFC3339_MAX])
{
	const int64_t max = 253402300799999LL;
	int y, m, d;

	if (ms < TIME_ZERO_MS)
		ms = TIME_ZERO_MS;
	if (ms > max)
		ms = max;
	int64_t day = ms / 86400000, rest = ms % 86400000;
	if (rest < 0)
		rest += 86400000, day--;
	civil_from_days(day, &y, &m, &d);
	int s = (int)(rest / 1000), frac = (int)(rest % 1000);
	char *at = put_digits(out, y, 4, '-');
	at = put_digits(at, m, 2, '-');
	at = put_digits(at, d, 2, 'T');
	at = put_digits(at, s / 3600, 2, ':');
	at = put_digits(at, s / 60 % 60, 2, ':');
	at = put_digits(at, s % 60, 2, frac ? '.' : 'Z');
	if (frac)
		at = put_digits(at, frac, 3, 'Z');
	*at = 0;
	return out;
}

static bool take_num(struct bytes *s, size_t digits, int64_t *out)
{
	uint64_t v;

	if (s->n < digits || bytes_parse_u64(bytes_first(*s, digits), 9999, &v) != OK)
		return false;
	*out = (int64_t)v;
	*s = bytes_skip(*s, digits);
	return true;
}

static bool take_char(struct bytes *s, char a, char b)
{
	if (s->n == 0 || (s->p[0] != (uint8_t)a && s->p[0] != (uint8_t)b))
		return false;
	*s = bytes_skip(*s, 1);
	return true;
}

err time_parse_rfc3339(struct bytes s, int64_t *wall_ms)
{
	static const int days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
	int64_t y, mo, d, h, mi, sec, frac = 0, off = 0;

	if (!take_num(&s, 4, &y) || !take_char(&s, '-', '-') || !take_num(&s, 2, &mo) || !take_char(&s, '-', '-') ||
			!take_num(&s, 2, &d) || !take_char(&s, 'T', 't') || !take_num(&s, 2, &h) ||
			!take_char(&s, ':', ':') || !take_num(&s, 2, &mi) || !take_char(&s, ':', ':') ||
			!take_num(&s, 2, &sec))
		return ERR_MALFORMED;
	bool leap = (y % 4 == 0 && y % 100 != 0) || y % 400 == 0;
	if (y < 1 || mo < 1 || mo > 12 || d < 1 || d > days[mo - 1] + (mo == 2 && leap) || h > 23 || mi > 59 || sec > 59)
		return ERR_MALFORMED;
	if (take_char(&s, '.', '.')) {
		int64_t scale = 100;
		size_t n = 0;

		for (; s.n && s.p[0] >= '0' && s.p[0] <= '9'; n++, s = bytes_skip(s, 1)) {
			frac += (s.p[0] - '0') * scale;
			scale /= 10;
		}
		if (n == 0 || n > 9)
			return ERR_MALFORMED;
	}
	if (!take_char(&s, 'Z', 'z')) {
		int64_t sign = s.n && s.p[0] == '-' ? -1 : 1, oh, om;

		if (!take_char(&s, '+', '-') || !take_num(&s, 2, &oh) || !take_char(&s, ':', ':') || !take_num(&s, 2, &om) ||
				oh > 23 || om > 59)
			return ERR_MALFORMED;
		off = sign * (oh * 60 + om);
	}
	if (s.n)
		return ERR_MALFORMED;
	*wall_ms = (days_from_civil(y, mo, d) * 86400 + h * 3600 + mi * 60 + sec - off * 60) * 1000 + frac;
	return OK;
}

err duration_parse(struct bytes s, int64_t *ms)
{
	static const struct {
		const char *unit;
		int64_t ms;
	} units[] = { { "ms", 1 }, { "s", 1000 }, { "m", 60000 }, { "h", 3600000 }, { "d", 86400000 },
		{ "w", 604800000 }, { "y", 31536000000 } };
	int64_t sum = 0;

	if (s.n == 0)
		return ERR_MALFORMED;
	while (s.n) {
		size_t digits = 0, letters = 0;
		uint64_t v;
		int64_t scale = 0, part;

		while (digits < s.n && s.p[digits] >= '0' && s.p[digits] <= '9')
			digits++;
		TRY(bytes_parse_u64(bytes_first(s, digits), INT64_MAX, &v));
		s = bytes_skip(s, digits);
		while (letters < s.n && (s.p[letters] < '0' || s.p[letters] > '9'))
			letters++;
		if (letters == 0 && s.n == 0 && sum == 0)
			scale = 1000;
		for (size_t i = 0; i < sizeof units / sizeof units[0]; i++)
			if (bytes_eq_str(bytes_first(s, letters), units[i].unit))
				scale = units[i].ms;
		if (scale == 0)
			return ERR_MALFORMED;
		if (__builtin_mul_overflow((int64_t)v, scale, &part) || __builtin_add_overflow(sum, part, &sum))
			return ERR_TOO_BIG;
		s = bytes_skip(s, letters);
	}
	*ms = sum;
	return OK;
}
