#include "server/core/federation.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/base/cleanup.h"
#include "common/text/json.h"

static err say(struct federation_why *why, err e, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
static err say(struct federation_why *why, err e, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why->text, sizeof why->text, fmt, ap);
	va_end(ap);
	return e;
}

/* Going back to the last * is enough: what an earlier one takes more, the later one could take as well. */
bool federation_pattern_fits(const char *pattern, const char *text)
{
	const char *star = NULL, *from = NULL;

	while (*text) {
		if (*pattern == '*') {
			star = pattern++;
			from = text;
		} else if (*pattern == *text) {
			pattern++;
			text++;
		} else if (star) {
			pattern = star + 1;
			text = ++from;
		} else {
			return false;
		}
	}
	while (*pattern == '*')
		pattern++;
	return !*pattern;
}

/* ---- a definition ---- */

static bool is_clean(const char *s, bool empty_too)
{
	size_t n = strlen(s);

	for (size_t i = 0; i < n; i++)
		if ((unsigned char)s[i] < ' ' || s[i] == 0x7f)
			return false;
	return n <= FEDERATION_TEXT_MAX && (n || empty_too);
}

static bool is_issuer(const char *s, bool insecure)
{
	size_t scheme = strncmp(s, "https://", 8) == 0 ? 8 : insecure && strncmp(s, "http://", 7) == 0 ? 7 : 0;

	for (const unsigned char *c = (const unsigned char *)s; *c; c++)
		if (*c <= ' ' || *c >= 0x7f || strchr("\"<>\\@?#", *c))
			return false;
	return scheme && s[scheme] && s[scheme] != '/' && strlen(s) <= FEDERATION_TEXT_MAX;
}

static err rules_of(const char *text, json_t **out)
{
	if (!*text) {
		*out = json_object();
		return *out ? OK : ERR_NOMEM;
	}
	TRY(json_parse(bytes_str(text), CLAIM_RULES_TEXT_MAX, 2, out, NULL));
	if (json_is_object(*out))
		return OK;
	json_decref(*out);
	*out = NULL;
	return ERR_INVALID;
}

err federation_check(const struct federation *f, bool insecure, struct federation_why *why)
{
	json_auto_t *rules = NULL;
	const char *name;
	json_t *v;

	if (!is_issuer(f->issuer, insecure))
		return say(why, ERR_INVALID, "issuer: an https:// URL is needed, without query and user");
	if (!is_clean(f->subject, false))
		return say(why, ERR_INVALID, "subject: a text is needed, at most %d bytes, in which * stands for anything", FEDERATION_TEXT_MAX);
	if (!is_clean(f->audience, true))
		return say(why, ERR_INVALID, "audience: at most %d bytes", FEDERATION_TEXT_MAX);
	if (rules_of(f->claim_rules, &rules) != OK || json_object_size(rules) > CLAIM_RULES_MAX)
		return say(why, ERR_INVALID, "customClaimRules: at most %d names of claims with a text each", CLAIM_RULES_MAX);
	json_object_foreach(rules, name, v) {
		if (strcmp(name, "sub") == 0 || strcmp(name, "iss") == 0 || strcmp(name, "aud") == 0)
			return say(why, ERR_INVALID, "customClaimRules: %s has a member of its own", name);
		if (!*name || strlen(name) > CLAIM_NAME_MAX || !json_is_string(v) || !is_clean(json_string_value(v), false))
			return say(why, ERR_INVALID, "customClaimRules: %.60s needs a text", name);
	}
	return OK;
}

/* ---- a token ---- */

static const char *text_in(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s ? s : "";
}

static bool time_in(const json_t *o, const char *key, int64_t *out)
{
	const json_t *v = json_object_get(o, key);
	double d = json_is_number(v) ? json_number_value(v) : 0;

	*out = d > 0 && d < (double)(1LL << 40) ? (int64_t)d : 0;
	return *out != 0;
}

static err check_times(const json_t *claims, int64_t now, struct federation_why *why)
{
	int64_t exp, iat, nbf;

	if (!time_in(claims, "exp", &exp))
		return say(why, ERR_AUTH, "the token does not say when it ends (exp)");
	if (exp <= now - FEDERATION_SKEW_S)
		return say(why, ERR_AUTH, "the token has expired (exp)");
	if (!time_in(claims, "iat", &iat))
		return say(why, ERR_AUTH, "the token does not say when it was made (iat)");
	if (iat > now + FEDERATION_SKEW_S)
		return say(why, ERR_AUTH, "the token is from the future (iat)");
	if (iat < now - FEDERATION_AGE_S)
		return say(why, ERR_AUTH, "the token is too old (iat)");
	if (json_object_get(claims, "nbf") && (!time_in(claims, "nbf", &nbf) || nbf > now + FEDERATION_SKEW_S))
		return say(why, ERR_AUTH, "the token is not valid yet (nbf)");
	return OK;
}

static bool is_for(const json_t *aud, const char *audience)
{
	size_t i;
	json_t *v;

	if (json_is_string(aud))
		return strcmp(json_string_value(aud), audience) == 0;
	json_array_foreach(aud, i, v)
		if (json_is_string(v) && strcmp(json_string_value(v), audience) == 0)
			return true;
	return false;
}

/* Texts as they are, numbers and truth as JSON writes them; of a list any. */
static bool claim_fits(const json_t *v, const char *pattern, int depth)
{
	char text[32];
	size_t i;
	json_t *one;

	if (json_is_string(v)) /* a NUL inside would hide what comes behind it */
		return strlen(json_string_value(v)) == json_string_length(v) && federation_pattern_fits(pattern, json_string_value(v));
	if (json_is_boolean(v))
		return federation_pattern_fits(pattern, json_is_true(v) ? "true" : "false");
	if (json_is_integer(v)) {
		snprintf(text, sizeof text, "%" JSON_INTEGER_FORMAT, json_integer_value(v));
		return federation_pattern_fits(pattern, text);
	}
	if (json_is_array(v) && depth == 0)
		json_array_foreach(v, i, one)
			if (claim_fits(one, pattern, 1))
				return true;
	return false;
}

err federation_accepts(const struct apikey_row *k, const json_t *claims, int64_t wall_ms, struct federation_why *why)
{
	json_auto_t *rules = NULL;
	const char *name;
	json_t *v;

	if (!apikey_is_federated(k) || strcmp(text_in(claims, "iss"), k->issuer) != 0)
		return say(why, ERR_AUTH, "the token is of another issuer (iss)");
	if (!k->audience || !*k->audience || !is_for(json_object_get(claims, "aud"), k->audience))
		return say(why, ERR_AUTH, "the token is for somebody else (aud)");
	TRY(check_times(claims, wall_ms / 1000, why));
	if (!*text_in(claims, "sub") || !claim_fits(json_object_get(claims, "sub"), k->subject, 1))
		return say(why, ERR_AUTH, "the token is of another subject (sub)");
	if (rules_of(k->claim_rules ? k->claim_rules : "", &rules) != OK)
		return say(why, ERR_AUTH, "this identity's claim rules cannot be read");
	json_object_foreach(rules, name, v)
		if (!claim_fits(json_object_get(claims, name), json_string_value(v) ? json_string_value(v) : "", 0))
			return say(why, ERR_AUTH, "the token's claim %.60s is another one", name);
	return OK;
}
