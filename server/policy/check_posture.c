#include <stdio.h>

#include "common/base/cleanup.h"
#include "server/policy/check.h"

/* postures: {"posture:stable": ["node:os == 'linux'", "node:tsVersion >= '1.60'", "custom:tier IN ['a', 'b']"]} */

struct op {
	const char *text;
	enum cond_op op;
};

static const struct op ops[] = { /* the longer before what it begins with */
	{ "==", COND_EQ }, { "!=", COND_NE },	    { "<=", COND_LE },	     { ">=", COND_GE },		 { "<", COND_LT },
	{ ">", COND_GT },  { "NOT IN", COND_NOT_IN }, { "IN", COND_IN }, { "NOT SET", COND_NOT_SET }, { "IS SET", COND_SET },
};

static bool is_space(uint8_t ch)
{
	return ch == ' ' || ch == '\t';
}

static bool takes(struct bytes *rest, const char *word)
{
	if (!bytes_has_prefix(*rest, bytes_str(word)))
		return false;
	*rest = bytes_trim(bytes_skip(*rest, strlen(word)));
	return true;
}

/* 'text', a number, true or false. */
static const char *take_value(struct check *c, struct bytes *rest)
{
	size_t n = 0;

	if (rest->n && (rest->p[0] == '\'' || rest->p[0] == '"')) {
		uint8_t quote = rest->p[0];
		struct bytes inner = bytes_skip(*rest, 1);

		while (n < inner.n && inner.p[n] != quote)
			n++;
		if (n == inner.n)
			return NULL;
		*rest = bytes_trim(bytes_skip(inner, n + 1));
		return check_text(c, bytes_first(inner, n));
	}
	while (n < rest->n && !is_space(rest->p[n]) && rest->p[n] != ',' && rest->p[n] != ']')
		n++;
	struct bytes word = bytes_first(*rest, n);
	*rest = bytes_trim(bytes_skip(*rest, n));
	return n ? check_text(c, word) : NULL;
}

static bool take_values(struct check *c, struct bytes *rest, struct cond *out)
{
	bool many = out->op == COND_IN || out->op == COND_NOT_IN;
	size_t max = 1;

	if (out->op == COND_SET || out->op == COND_NOT_SET)
		return true;
	if (many && !takes(rest, "["))
		return false;
	for (size_t i = 0; i < rest->n; i++)
		max += rest->p[i] == ',';
	out->value = check_array(c, max, sizeof *out->value);
	do {
		const char *v = out->value && out->n < max ? take_value(c, rest) : NULL;

		if (!v)
			return false;
		out->value[out->n++] = v;
	} while (many && takes(rest, ","));
	return !many || takes(rest, "]");
}

bool check_is_attribute(const char *name)
{
	static const char *const spaces[] = { "node:", "custom:", "ip:", "intune:", "jamfPro:", "kandji:", "falcon:", "kolide:",
					      "sentinelOne:", "huntress:" };

	for (size_t i = 0; i < ARRAY_LEN(spaces); i++)
		if (starts_with(name, spaces[i]) && name[strlen(spaces[i])])
			return true;
	return false;
}

static void check_cond(struct check *c, const struct syntax *v, struct posture *p)
{
	struct bytes rest = bytes_trim(bytes_str(v->text));
	struct cond *out = &p->cond[p->n];
	size_t n = 0;

	while (n < rest.n && !is_space(rest.p[n]) && !strchr("=!<>", rest.p[n]))
		n++;
	out->attr = check_text(c, bytes_first(rest, n));
	rest = bytes_trim(bytes_skip(rest, n));
	if (!out->attr)
		return;
	if (!check_is_attribute(out->attr)) {
		FAULT(c, v, "\"%s\" is no attribute: write node:…, custom:… or ip:…, as in node:os == 'linux'", out->attr);
		return;
	}
	for (size_t i = 0; i < ARRAY_LEN(ops); i++)
		if (takes(&rest, ops[i].text)) {
			out->op = ops[i].op;
			if (take_values(c, &rest, out) && !rest.n) {
				p->n++;
				return;
			}
			break;
		}
	FAULT(c, v, "\"%s\" is no condition: write ATTRIBUTE ==, !=, <, <=, >, >= 'value', IN or NOT IN ['a', 'b'], IS SET or NOT SET",
	      v->text);
}

void check_postures(struct check *c, const struct syntax *v)
{
	if (!is_kind(c, v, SYNTAX_OBJECT, "postures is an object: {\"posture:name\": [\"node:os == 'linux'\"]}"))
		return;
	if (v->n > POSTURES_MAX) {
		FAULT(c, v, "at most %d postures", POSTURES_MAX);
		return;
	}
	c->postures = v;
	c->p->posture = check_array(c, v->n, sizeof *c->p->posture);
	for (const struct syntax *k = v->first; c->p->posture && k; k = k->next) {
		struct posture *p = &c->p->posture[c->p->n_postures++];

		p->name = k->key;
		if (!starts_with(k->key, "posture:") || !k->key[8])
			KEY_FAULT(c, k, "a posture's name begins with posture:, as in \"posture:stable\"");
		if (!is_kind(c, k, SYNTAX_LIST, "expected a list of conditions such as \"node:os == 'linux'\""))
			continue;
		if (k->n > POSTURE_CONDS_MAX) {
			FAULT(c, k, "at most %d conditions in one posture", POSTURE_CONDS_MAX);
			continue;
		}
		p->cond = check_array(c, k->n, sizeof *p->cond);
		for (const struct syntax *e = k->first; p->cond && e; e = e->next)
			if (is_kind(c, e, SYNTAX_STRING, "expected a condition in double quotes"))
				check_cond(c, e, p);
	}
}

uint64_t check_posture_names(struct check *c, const struct syntax *v)
{
	char hint[HINT_MAX];
	uint64_t set = 0;

	if (!is_kind(c, v, SYNTAX_LIST, "expected a list of postures: [\"posture:stable\"]"))
		return 0;
	for (const struct syntax *e = v->first; e; e = e->next) {
		bool found = false;

		if (!is_kind(c, e, SYNTAX_STRING, "expected the name of a posture in double quotes"))
			continue;
		for (size_t i = 0; i < c->p->n_postures; i++)
			if (strcmp(c->p->posture[i].name, e->text) == 0) {
				set |= (uint64_t)1 << i;
				found = true;
			}
		if (!found)
			FAULT(c, e, "posture not found: \"%s\": define it in postures%s", e->text, hint_key(c, c->postures, e->text, hint));
	}
	return set;
}
