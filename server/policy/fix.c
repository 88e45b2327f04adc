#include <stdio.h>

#include "common/base/cleanup.h"
#include "common/base/reader.h"
#include "server/policy/check.h"

/* Where a fault is, as an editor counts, and what one click would put there. */

/* Bytes before the place; columns count bytes, too. */
static size_t offset_of(struct bytes text, unsigned line, unsigned column)
{
	struct bytes rest = text;

	while (line > 1 && rest.n) {
		struct bytes next;

		bytes_cut(rest, '\n', &next);
		rest = next.p ? next : bytes_skip(rest, rest.n);
		line--;
	}
	return text.n - rest.n + MIN_OF((size_t)column - 1, rest.n);
}

/* How long the token is that begins here. */
static size_t token_len(struct bytes b)
{
	struct reader r = rd_init(b);
	bool text = b.n && b.p[0] == '"';
	size_t n = 0;

	while (!r.bad && r.rest.n) {
		uint8_t c = rd_u8(&r);

		if (text && c == '\\' && n) {
			rd_u8(&r);
			n += 2;
			continue;
		}
		if (text && n && c == '"')
			return n + 1;
		if (c == '\n' || (!text && n && (c == ' ' || c == ',' || c == ']' || c == '}' || c == '\t' || c == '\r')))
			break;
		n++;
	}
	return MIN_OF(n, b.n);
}

static bool find(struct bytes in, struct bytes what, size_t *at)
{
	for (size_t i = 0; what.n && i + what.n <= in.n; i++)
		if (bytes_has_prefix(bytes_skip(in, i), what)) {
			*at = i;
			return true;
		}
	return false;
}

static bool is_plain(const char *s)
{
	for (; *s; s++)
		if (*s == '"' || *s == '\\' || (unsigned char)*s < 0x20)
			return false;
	return true;
}

/* fix holds what is right and fix_label what is wrong, until here. */
static void locate(struct bytes text, struct policy_fault *f)
{
	char wrong[sizeof f->fix_label];
	size_t at;

	f->from = offset_of(text, f->line, f->column);
	struct bytes token = bytes_first(bytes_skip(text, f->from), token_len(bytes_skip(text, f->from)));
	f->to = f->from + token.n;
	snprintf(wrong, sizeof wrong, "%s", f->fix_label);
	f->fix_label[0] = 0;
	if (!f->fix[0] || !is_plain(f->fix) || !find(token, bytes_str(wrong), &at))
		return;
	f->has_fix = true;
	f->fix_from = f->from + at;
	f->fix_to = f->fix_from + strlen(wrong);
	snprintf(f->fix_label, sizeof f->fix_label, "Change to %s", f->fix);
}

void policy_faults_locate(struct bytes text, struct policy_faults *faults)
{
	for (size_t i = 0; i < faults->n; i++) {
		struct policy_fault *f = &faults->fault[i];

		if (f->line && f->column && !f->to && !f->has_fix)
			locate(text, f);
	}
}

static size_t units_before(struct bytes text, size_t offset)
{
	struct reader r = rd_init(bytes_first(text, offset));
	size_t n = 0;

	while (r.rest.n) {
		uint8_t c = rd_u8(&r);

		n += (c & 0xc0) != 0x80; /* not in the middle of a character … */
		n += c >= 0xf0;		 /* … and those beyond U+FFFF are two units */
	}
	return n;
}

void policy_faults_in_units(struct bytes text, struct policy_faults *faults)
{
	for (size_t i = 0; i < faults->n; i++) {
		struct policy_fault *f = &faults->fault[i];

		f->from = units_before(text, f->from);
		f->to = units_before(text, f->to);
		f->fix_from = units_before(text, f->fix_from);
		f->fix_to = units_before(text, f->fix_to);
	}
}
