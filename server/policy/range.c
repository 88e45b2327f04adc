#include "server/policy/range.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/base/cleanup.h"

static struct addr with_tail(struct addr a, unsigned bits, bool ones)
{
	for (unsigned i = 0; i < addr_bits(a) / 8; i++) {
		unsigned keep = bits > 8 * i ? bits - 8 * i : 0;
		uint8_t tail = (uint8_t)(keep >= 8 ? 0 : 0xffu >> keep);

		a.b[i] = (uint8_t)(ones ? a.b[i] | tail : a.b[i] & (uint8_t)~tail);
	}
	return a;
}

struct range range_of(struct prefix p)
{
	return (struct range){ with_tail(p.addr, p.bits, false), with_tail(p.addr, p.bits, true) };
}

err range_parse(struct bytes text, struct range *out)
{
	struct bytes last, first = bytes_cut(text, '-', &last);
	struct prefix p;
	struct range r;

	if (!last.p) {
		TRY(prefix_parse(text, &p));
		*out = range_of(p);
		return OK;
	}
	TRY(addr_parse(first, &r.first));
	TRY(addr_parse(last, &r.last));
	if (r.first.family != r.last.family || addr_cmp(r.first, r.last) > 0)
		return ERR_MALFORMED;
	*out = r;
	return OK;
}

bool range_is_prefix(struct range r, struct prefix *out)
{
	for (unsigned bits = 0; bits <= addr_bits(r.first); bits++) {
		struct prefix p = { r.first, (uint8_t)bits };

		if (addr_eq(with_tail(r.first, bits, false), r.first) && addr_eq(with_tail(r.first, bits, true), r.last)) {
			*out = p;
			return true;
		}
	}
	return false;
}

char *range_text(struct range r, char out[RANGE_TEXT_MAX])
{
	char first[ADDR_TEXT_MAX], last[ADDR_TEXT_MAX];
	struct prefix p;

	if (addr_eq(r.first, r.last))
		return addr_text(r.first, out);
	if (range_is_prefix(r, &p))
		return prefix_text(p, out);
	snprintf(out, RANGE_TEXT_MAX, "%s-%s", addr_text(r.first, first), addr_text(r.last, last));
	return out;
}

/* ---- lists ---- */

/* The next (or, down, the one before) address; false: there is none. */
static bool addr_step(struct addr *a, bool down)
{
	for (unsigned i = addr_bits(*a) / 8; i-- > 0;) {
		a->b[i] = (uint8_t)(down ? a->b[i] - 1 : a->b[i] + 1);
		if (a->b[i] != (down ? 0xff : 0))
			return true;
	}
	return false;
}

static int by_first(const void *a, const void *b)
{
	const struct range *x = a, *y = b;

	return addr_cmp(x->first, y->first);
}

static bool touches(struct range a, struct range b)
{
	struct addr next = a.last;

	return range_overlaps(a, b) || (a.last.family == b.first.family && addr_step(&next, false) && addr_eq(next, b.first));
}

void ranges_tidy(struct range *list, size_t *n)
{
	size_t k = 0;

	if (!*n)
		return;
	qsort(list, *n, sizeof *list, by_first);
	for (size_t i = 1; i < *n; i++)
		if (touches(list[k], list[i])) {
			if (addr_cmp(list[i].last, list[k].last) > 0)
				list[k].last = list[i].last;
		} else {
			list[++k] = list[i];
		}
	*n = k + 1;
}

void ranges_cut(struct range *list, size_t *n, struct range r)
{
	size_t was = *n, k = 0;
	struct range behind;
	bool split = false;

	for (size_t i = 0; i < was; i++) {
		struct range x = list[i];

		if (!range_overlaps(x, r)) {
			list[k++] = x;
			continue;
		}
		bool before = addr_cmp(x.first, r.first) < 0, after = addr_cmp(r.last, x.last) < 0;
		struct range left = { x.first, r.first }, right = { r.last, x.last };

		addr_step(&left.last, true);
		addr_step(&right.first, false);
		if (before)
			list[k++] = left;
		if (before && after) { /* r lies inside x alone: nothing else is cut */
			behind = right;
			split = true;
		} else if (after) {
			list[k++] = right;
		}
	}
	if (split)
		list[k++] = behind;
	*n = k;
	if (split)
		ranges_tidy(list, n);
}

const struct range *range_internet(size_t *n)
{
	static const char *const text[] = {
		"0.0.0.0-9.255.255.255",       "11.0.0.0-100.63.255.255",     "100.128.0.0-169.253.255.255",
		"169.255.0.0-172.15.255.255",  "172.32.0.0-192.167.255.255",  "192.169.0.0-255.255.255.255",
		"2000::/3",
	};
	static _Thread_local struct range list[sizeof text / sizeof text[0]];
	static _Thread_local bool made;

	if (!made) {
		for (size_t i = 0; i < sizeof text / sizeof text[0]; i++)
			if (range_parse(bytes_str(text[i]), &list[i]) != OK)
				abort();
		made = true;
	}
	*n = sizeof text / sizeof text[0];
	return list;
}
