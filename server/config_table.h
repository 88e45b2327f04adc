/* config_table: the one list of keys of config.toml. */
#pragma once

#include "server/config.h"

enum key_type {
	KEY_TEXT,     /* const char * */
	KEY_CHOICE,   /* const char *: one of choices, "a|b" */
	KEY_INT,      /* int64_t, min to max */
	KEY_BOOL,
	KEY_DURATION, /* int64_t in ms; "90s", "180d"; a number is seconds; min and max in ms */
	KEY_MODE,     /* int64_t; octal text, "0770" */
	KEY_MANAGED,  /* struct config_list of settings (server/core/settings.h) */
	KEY_LIST,     /* struct config_list; a single text is a list of one */
	KEY_SPLIT,    /* dns.nameservers.split */
	KEY_RECORDS,  /* dns.extra_records */
	KEY_SECRET,   /* const char *, never shown */
	KEY_PARAMS,   /* struct config_list: a table of texts as name, value, name, value */
	KEY_PROVIDERS, /* oidc.providers */
};

struct config_key {
	const char *path;
	enum key_type type;
	size_t offset;
	int64_t min, max;
	const char *otherwise; /* as text: "true", "42", "30m", "a, b" for a list; NULL: the key is required */
	const char *choices;
	bool live; /* a reload changes it in a running server */
};
extern const struct config_key config_keys[];
extern const size_t config_keys_n;

static inline void *config_field(const struct config_key *k, struct config *c)
{
	return (char *)c + k->offset;
}
static inline const void *config_field_const(const struct config_key *k, const struct config *c)
{
	return (const char *)c + k->offset;
}

struct toml;

/* What the loader carries: the struct with its memory, and where the text stood. */
struct config_load {
	struct config *c;
	struct arena *arena;
	struct toml *root;
	char *why;
	size_t why_cap;
};
/* One sentence with file and, where at is not NULL, line. Returns ERR_INVALID. */
err config_wrong(struct config_load *l, const struct toml *at, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* config_check.c: what no single key can tell: texts that must be addresses, keys that belong together. */
MUST_USE err config_check(struct config_load *l);
/* config_dns.c: dns.nameservers.split, dns.extra_records. */
MUST_USE err config_read_split(struct config_load *l, struct toml *t);
MUST_USE err config_read_records(struct config_load *l, struct toml *t);
/* config_managed.c: managed. */
MUST_USE err config_read_managed(struct config_load *l, struct toml *t);
/* config_oidc.c: oidc.providers, and what belongs together in each provider. */
MUST_USE err config_read_params(struct config_load *l, const struct config_key *k, struct toml *t);
MUST_USE err config_read_providers(struct config_load *l, struct toml *t);
MUST_USE err config_check_oidc(struct config_load *l);
/* Is the key one of those that every provider has? */
bool config_is_provider_key(const struct config_key *k);
/* config.c: a value, or the key's default, into l->c. */
MUST_USE err config_read_value(struct config_load *l, const struct config_key *k, struct toml *t);
MUST_USE err config_read_default(struct config_load *l, const struct config_key *k);
