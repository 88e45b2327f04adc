#include "server/policy/rules.h"

/* Conditions on what is known of a node: "node:os == 'linux'", "node:tsVersion >= '1.60'", "custom:tier IN ['a', 'b']",
 * "custom:tier IS SET". check_posture.c parses them. */

static const char *value_of(const struct policy_node *n, const char *attr)
{
	for (size_t i = 0; i < n->n_attrs; i++)
		if (strcmp(n->attrs[i].name, attr) == 0)
			return n->attrs[i].value;
	return NULL;
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* Like versions: runs of digits by number, the rest by bytes. */
static int compare(const char *a, const char *b)
{
	while (*a && *b) {
		if (is_digit(*a) && is_digit(*b)) {
			size_t n = 0, m = 0;

			while (*a == '0' && is_digit(a[1]))
				a++;
			while (*b == '0' && is_digit(b[1]))
				b++;
			while (is_digit(a[n]))
				n++;
			while (is_digit(b[m]))
				m++;
			int c = n != m ? (n > m) - (n < m) : strncmp(a, b, n);
			if (c)
				return c;
			a += n;
			b += m;
		} else if (*a != *b) {
			return (unsigned char)*a < (unsigned char)*b ? -1 : 1;
		} else {
			a++;
			b++;
		}
	}
	return *a ? 1 : *b ? -1 : 0;
}

static bool is_one_of(const struct cond *c, const char *value)
{
	for (size_t i = 0; i < c->n; i++)
		if (strcmp(c->value[i], value) == 0)
			return true;
	return false;
}

/* What is not known satisfies nothing but NOT SET: a node that reports nothing gains nothing by it. */
static bool holds(const struct cond *c, const struct policy_node *n)
{
	const char *v = value_of(n, c->attr);

	if (!v)
		return c->op == COND_NOT_SET;
	switch (c->op) {
	case COND_EQ:
	case COND_IN:
		return is_one_of(c, v);
	case COND_NE:
	case COND_NOT_IN:
		return !is_one_of(c, v);
	case COND_LT:
		return compare(v, c->value[0]) < 0;
	case COND_LE:
		return compare(v, c->value[0]) <= 0;
	case COND_GT:
		return compare(v, c->value[0]) > 0;
	case COND_GE:
		return compare(v, c->value[0]) >= 0;
	case COND_SET:
		return true;
	case COND_NOT_SET:
		return false;
	}
	return false;
}

uint64_t policy_postures(const struct policy *p, const struct policy_node *n)
{
	uint64_t held = 0;

	for (size_t i = 0; i < p->n_postures; i++) {
		bool all = true;

		for (size_t k = 0; all && k < p->posture[i].n; k++)
			all = holds(&p->posture[i].cond[k], n);
		held |= (uint64_t)all << i;
	}
	return held;
}
