#include "server/core/state.h"

#include <ctype.h>
#include <stdio.h>

static bool is_label_char(unsigned char ch)
{
	return (ch >= 'a' && ch <= 'z') || (ch >= '0' && ch <= '9') || ch == '-';
}

void name_sanitise(const char *hostname, char out[GIVEN_NAME_MAX + 1])
{
	size_t n = 0;

	for (const unsigned char *p = (const unsigned char *)or_empty(hostname); *p && n < GIVEN_NAME_MAX; p++) {
		unsigned char ch = *p >= 'A' && *p <= 'Z' ? (unsigned char)(*p + 32) : *p;
		if (ch >= 0x80 || ch == '\'')
			continue; /* "Ann's Mac" is "anns-mac"; what has no ASCII letters at all becomes "node" */
		if (!is_label_char(ch))
			ch = '-';
		if (ch == '-' && (n == 0 || out[n - 1] == '-'))
			continue;
		out[n++] = (char)ch;
	}
	while (n && out[n - 1] == '-')
		n--;
	out[n] = 0;
	if (!n)
		snprintf(out, GIVEN_NAME_MAX + 1, "node");
}

bool name_is_label(const char *s)
{
	size_t n = strlen(s);

	if (!n || n > GIVEN_NAME_MAX || s[0] == '-' || s[n - 1] == '-')
		return false;
	for (size_t i = 0; i < n; i++)
		if (!is_label_char((unsigned char)s[i]))
			return false;
	return true;
}

static bool is_free(struct tailnet *t, const char *name, const struct node *self)
{
	char key[GIVEN_NAME_MAX + 1] = { 0 };

	memcpy(key, name, strlen(name));
	struct node *n = map_get(&t->nodes_by_name, key);
	return !n || n == self;
}

static void with_suffix(const char *base, uint64_t i, char out[GIVEN_NAME_MAX + 1])
{
	char suffix[24];
	int n_suffix = snprintf(suffix, sizeof suffix, "-%llu", (unsigned long long)i);
	size_t keep = strlen(base);

	if (keep > GIVEN_NAME_MAX - (size_t)n_suffix)
		keep = GIVEN_NAME_MAX - (size_t)n_suffix;
	while (keep && base[keep - 1] == '-')
		keep--;
	memcpy(out, base, keep);
	memcpy(out + keep, suffix, (size_t)n_suffix + 1);
}

/* "web", "web-1", "web-2", … Ten thousand nodes with one hostname must not cost ten thousand looks each: beyond the first
 * few the end of the run is found by doubling and halving. */
void name_unique(struct tailnet *t, const char *base, const struct node *self, char out[GIVEN_NAME_MAX + 1])
{
	snprintf(out, GIVEN_NAME_MAX + 1, "%s", base);
	if (is_free(t, out, self))
		return;
	uint64_t i = 1;
	for (; i <= 16; i++) {
		with_suffix(base, i, out);
		if (is_free(t, out, self))
			return;
	}
	uint64_t taken = 16, free_one = 32;
	for (;; free_one *= 2) {
		with_suffix(base, free_one, out);
		if (is_free(t, out, self))
			break;
		taken = free_one;
	}
	while (free_one - taken > 1) {
		uint64_t mid = taken + (free_one - taken) / 2;
		with_suffix(base, mid, out);
		if (is_free(t, out, self))
			free_one = mid;
		else
			taken = mid;
	}
	with_suffix(base, free_one, out);
}
