#include <stdio.h>

#include "common/base/cleanup.h"
#include "server/policy/check.h"

enum {
	TAKES_SSH_SRC = TAKES_USER | TAKES_GROUP | TAKES_TAG | TAKES_MEMBER | TAKES_TAGGED | TAKES_ROLE | TAKES_DOMAIN | TAKES_SHARED,
	TAKES_SSH_DST = TAKES_USER | TAKES_TAG | TAKES_MEMBER | TAKES_TAGGED | TAKES_SELF | TAKES_DOMAIN,
	PERIOD_MAX_HOURS = 168,
	PERIOD_DEFAULT_HOURS = 12,
	HOUR_MS = 3600 * 1000,
};

/* "1h30m", "90s", "1.5h": as Go reads durations. */
static bool parse_duration(struct bytes text, int64_t *out_ms)
{
	static const struct {
		const char *unit;
		double ms;
	} units[] = { { "ms", 1 }, { "us", 1e-3 }, { "ns", 1e-6 }, { "h", 3600e3 }, { "m", 60e3 }, { "s", 1e3 } };
	bool minus = text.n && text.p[0] == '-';
	double sum = 0;

	if (minus || (text.n && text.p[0] == '+'))
		text = bytes_skip(text, 1);
	if (bytes_eq_str(text, "0")) {
		*out_ms = 0;
		return true;
	}
	if (!text.n)
		return false;
	while (text.n) {
		double value = 0, scale = 1;
		bool digits = false, point = false, known = false;

		for (; text.n && ((text.p[0] >= '0' && text.p[0] <= '9') || (text.p[0] == '.' && !point)); text = bytes_skip(text, 1)) {
			if (text.p[0] == '.') {
				point = true;
				continue;
			}
			digits = true;
			value = value * 10 + (text.p[0] - '0');
			scale *= point ? 10 : 1;
		}
		for (size_t i = 0; digits && !known && i < ARRAY_LEN(units); i++)
			if (bytes_has_prefix(text, bytes_str(units[i].unit))) {
				sum += value / scale * units[i].ms;
				text = bytes_skip(text, strlen(units[i].unit));
				known = true;
			}
		if (!known || sum > 1e15)
			return false;
	}
	*out_ms = (int64_t)(minus ? -sum : sum);
	return true;
}

static void check_period(struct check *c, const struct syntax *v, struct ssh_rule *r)
{
	struct bytes text;

	if (!is_kind(c, v, SYNTAX_STRING, "checkPeriod is a duration such as \"12h\", or \"always\""))
		return;
	text = bytes_trim(bytes_str(v->text));
	if (!r->check) {
		KEY_FAULT(c, v, "checkPeriod stands in rules with \"action\": \"check\" only");
		return;
	}
	if (bytes_eq_str(text, "always"))
		r->period_ms = 0;
	else if (!parse_duration(text, &r->period_ms))
		FAULT(c, v, "checkPeriod: invalid duration \"%s\": write it as \"12h\" or \"1h30m\", or \"always\"", v->text);
	else if (r->period_ms < 0)
		FAULT(c, v, "checkPeriod %s must be a positive duration", v->text);
	else if (r->period_ms > (int64_t)PERIOD_MAX_HOURS * HOUR_MS)
		FAULT(c, v, "checkPeriod %s is above the max (%dh)", v->text, PERIOD_MAX_HOURS);
}

/* "localpart:*@example.com": each user logs in as what stands before the @ of the own address. */
static bool is_localpart(const char *user, const char **domain)
{
	static const char head[] = "localpart:*@";

	if (!starts_with(user, head))
		return false;
	*domain = user + sizeof head - 1;
	return true;
}

static void check_user(struct check *c, const struct syntax *v, struct ssh_rule *r)
{
	const char *domain, *user = check_text(c, bytes_trim(bytes_str(v->text)));

	if (!user)
		return;
	if (!*user || strcmp(user, "*") == 0) {
		FAULT(c, v, "user \"%s\" is not valid: name users of the machine, \"root\" or \"autogroup:nonroot\"", v->text);
	} else if (is_localpart(user, &domain)) {
		if (!*domain)
			FAULT(c, v, "user \"%s\" is not valid: a domain is missing after the @", user);
		r->localpart[r->n_localparts++] = domain;
		r->localpart_line = v->line;
		r->localpart_column = v->column;
	} else if (strcmp(user, "autogroup:nonroot") == 0) {
		r->nonroot = true;
	} else if (strcmp(user, "root") == 0) {
		r->root = true;
	} else {
		r->user[r->n_users++] = user;
	}
}

static void check_users(struct check *c, const struct syntax *rule, const struct syntax *v, struct ssh_rule *r)
{
	if (!v || (v->kind == SYNTAX_LIST && !v->n)) {
		FAULT(c, v ? v : rule, "users must be specified: the users of the machine, as in [\"root\", \"autogroup:nonroot\"]");
		return;
	}
	if (!is_kind(c, v, SYNTAX_LIST, "users is a list of users of the machine"))
		return;
	if (v->n > SSH_WORDS_MAX) {
		FAULT(c, v, "at most %d users in one rule", SSH_WORDS_MAX);
		return;
	}
	r->user = check_array(c, v->n, sizeof *r->user);
	r->localpart = check_array(c, v->n, sizeof *r->localpart);
	for (const struct syntax *u = v->first; r->user && r->localpart && u; u = u->next)
		if (is_kind(c, u, SYNTAX_STRING, "expected a user in double quotes"))
			check_user(c, u, r);
}

static void check_env(struct check *c, const struct syntax *v, struct ssh_rule *r)
{
	if (!is_kind(c, v, SYNTAX_LIST, "acceptEnv is a list of names and patterns such as [\"GIT_*\"]"))
		return;
	if (v->n > SSH_WORDS_MAX) {
		FAULT(c, v, "at most %d patterns in one rule", SSH_WORDS_MAX);
		return;
	}
	r->env = check_array(c, v->n, sizeof *r->env);
	for (const struct syntax *e = v->first; r->env && e; e = e->next) {
		if (!is_kind(c, e, SYNTAX_STRING, "expected a name in double quotes"))
			continue;
		if (!*e->text)
			FAULT(c, e, "acceptEnv values cannot be empty");
		r->env[r->n_env++] = e->text;
	}
}

static void check_action(struct check *c, const struct syntax *rule, const struct syntax *v, struct ssh_rule *r)
{
	struct bytes text = v && v->kind == SYNTAX_STRING ? bytes_trim(bytes_str(v->text)) : (struct bytes){ 0 };

	if (!text.n)
		FAULT(c, v ? v : rule, "action must be specified: \"accept\" or \"check\"");
	else if (bytes_eq_str(text, "check"))
		r->check = true;
	else if (!bytes_eq_str(text, "accept"))
		FAULT(c, v, "\"%s\" is not a valid action: \"accept\" or \"check\"", v->text);
}

/* Who comes from a tag is no person: a person's own machines are not for it. */
static void check_pairs(struct check *c, const struct syntax *v, const uint32_t *src, size_t n_src, const struct ssh_rule *r)
{
	bool tags = false;

	for (size_t i = 0; i < n_src; i++)
		tags |= c->p->sel[src[i]]->kind == SEL_TAG || c->p->sel[src[i]]->kind == SEL_TAGGED;
	for (size_t i = 0; i < r->n_dst; i++) {
		const struct sel *d = c->p->sel[r->dst[i]];
		bool person = d->kind == SEL_USER || d->kind == SEL_MEMBER || d->kind == SEL_SELF || d->kind == SEL_DOMAIN;

		if (tags && person)
			FAULT(c, v, "dst \"%s\": tags in src can not reach the machines of users", d->name);
		if (d->kind == SEL_USER && !(n_src == 1 && c->p->sel[src[0]]->kind == SEL_USER && strcmp(c->p->sel[src[0]]->name, d->name) == 0))
			FAULT(c, v, "dst \"%s\": a user's machines are for that user alone: src must be the same user, or write autogroup:self",
			      d->name);
	}
}

static void check_rule(struct check *c, const struct syntax *v, struct ssh_rule *r)
{
	static const char *const known[] = { "action", "src", "dst", "users", "checkPeriod", "acceptEnv", "recorder", "enforceRecorder",
					     "srcPosture", NULL };
	uint32_t *src = NULL, *dst = NULL, *recorder = NULL;
	size_t n_src = 0;

	if (!is_kind(c, v, SYNTAX_OBJECT, "a rule is an object with action, src, dst and users"))
		return;
	check_fields(c, v, known, " in a rule of ssh");
	const struct syntax *s = check_get(v, "src"), *d = check_get(v, "dst"), *period = check_get(v, "checkPeriod"),
			    *env = check_get(v, "acceptEnv"), *rec = check_get(v, "recorder"), *enforce = check_get(v, "enforceRecorder"),
			    *posture = check_get(v, "srcPosture");

	check_action(c, v, check_get(v, "action"), r);
	r->period_ms = (int64_t)PERIOD_DEFAULT_HOURS * HOUR_MS;
	if (period)
		check_period(c, period, r);
	check_users(c, v, check_get(v, "users"), r);
	if (env)
		check_env(c, env, r);
	if (s)
		check_sels(c, s, TAKES_SSH_SRC, "src", &src, &n_src);
	if (d)
		check_sels(c, d, TAKES_SSH_DST, "dst", &dst, &r->n_dst);
	r->dst = dst;
	if (d)
		check_pairs(c, d, src, n_src, r);
	for (size_t i = 0; i < r->n_dst; i++)
		r->self |= c->p->sel[dst[i]]->kind == SEL_SELF;
	if (rec)
		check_sels(c, rec, TAKES_TAG, "recorder", &recorder, &r->n_recorders);
	r->recorder = recorder;
	if (enforce && is_kind(c, enforce, SYNTAX_BOOL, "enforceRecorder is true or false"))
		r->enforce_recorder = enforce->truth;
	r->src = check_set(c, src, n_src, posture ? check_posture_names(c, posture) : 0);
}

void check_ssh(struct check *c, const struct syntax *v)
{
	c->p->has_ssh = true;
	if (!is_kind(c, v, SYNTAX_LIST, "ssh is a list of rules"))
		return;
	if (v->n > SSH_RULES_MAX) {
		FAULT(c, v, "at most %d rules in ssh", SSH_RULES_MAX);
		return;
	}
	c->p->ssh = check_array(c, v->n, sizeof *c->p->ssh);
	for (const struct syntax *r = v->first; c->p->ssh && r; r = r->next) {
		c->p->ssh[c->p->n_ssh].line = r->line;
		c->p->ssh[c->p->n_ssh].at = r;
		check_rule(c, r, &c->p->ssh[c->p->n_ssh++]);
	}
}
