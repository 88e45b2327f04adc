/* settings: what a tailnet decides for itself while the server runs: by CLI, API and console.
 *
 * One table (settings.c) is the only list. A setting has a place in struct core_settings, which config.toml fills first: that
 * value holds until somebody sets another one, which is a row of the database (kept as text), and again after a reset. A
 * setting that the file names in `managed` is the file's alone: what the database says of it does not count, and setting
 * it is refused with file and line.
 *
 * To add one: a member in struct core_settings (and, as a rule, a key of the same name in config.toml), and a row in the
 * table. Code reads t->set (struct tailnet), never c->set. Effects say who must hear of a change; what cannot be said with
 * them is done in settings_apply_effects. SETTING_CUSTOM has its own reader and writer, for what is no simple value. */
#pragma once

#include "common/base/arena.h"
#include "common/base/buf.h"
#include "server/map/settings.h"

enum setting_type {
	SETTING_BOOL,	  /* bool: "true", "false" */
	SETTING_INT,	  /* int64_t: min to max */
	SETTING_DURATION, /* int64_t, ms: "90s", "12h", "180d", "0s"; min to max in ms */
	SETTING_TEXT,	  /* const char *: max bytes of UTF-8 without control characters */
	SETTING_LIST,	  /* const char *const * at offset, size_t at offset_n: a JSON list of texts, or "a,b"; max of them */
	SETTING_CUSTOM,
};

enum { /* who hears of a change */
	EFFECT_SELF = 1, /* each node's own Node (capabilities) */
	EFFECT_DNS = 2,
	EFFECT_DERP = 4,
	EFFECT_GATE = 8, /* who takes part (gate.c) */
	EFFECT_EPHEMERAL = 16, /* how long they stay */
	EFFECT_NAMES = 32,     /* names of all nodes: whole maps */
	EFFECT_ROUTES = 64,    /* how routers are probed */
	EFFECT_ALL = 127,
};

struct setting_def {
	const char *key;
	enum setting_type type;
	size_t offset, offset_n;
	int64_t min, max;
	unsigned effects;
	const char *help;
	/* SETTING_CUSTOM: text to value (memory in a; why: one sentence on ERR_INVALID), and value to its one text. */
	err (*read)(const char *text, struct arena *a, struct core_settings *out, char *why, size_t why_cap);
	void (*show)(const struct core_settings *s, struct buf *out);
	/* Together with all the others, before and after a change: ERR_INVALID, why. NULL: nothing to check. */
	err (*check)(const struct core_settings *s, char *why, size_t why_cap);
};
/* What viewers see of settings, to tell after a reload who must hear of it (EFFECT_…). */
struct settings_seen {
	uint64_t dns, derp, self, names;
};
struct settings_seen settings_see(const struct core_settings *s);
unsigned settings_differ(const struct settings_seen *a, const struct settings_seen *b);

/* A list of texts as SETTING_LIST reads it; at most max. */
MUST_USE err setting_read_list(const char *text, int64_t max, struct arena *a, const char ***out, size_t *n, char *why, size_t why_cap);
void setting_show_list(const char *const *list, size_t n, struct buf *out);

/* settings_dns.c */
err dns_read_global(const char *text, struct arena *a, struct core_settings *out, char *why, size_t why_cap);
err dns_read_search(const char *text, struct arena *a, struct core_settings *out, char *why, size_t why_cap);
err dns_read_filtered(const char *text, struct arena *a, struct core_settings *out, char *why, size_t why_cap);
err dns_read_with_exit(const char *text, struct arena *a, struct core_settings *out, char *why, size_t why_cap);
err dns_read_split(const char *text, struct arena *a, struct core_settings *out, char *why, size_t why_cap);
err dns_read_records(const char *text, struct arena *a, struct core_settings *out, char *why, size_t why_cap);
void dns_show_global(const struct core_settings *s, struct buf *out);
void dns_show_search(const struct core_settings *s, struct buf *out);
void dns_show_filtered(const struct core_settings *s, struct buf *out);
void dns_show_with_exit(const struct core_settings *s, struct buf *out);
void dns_show_split(const struct core_settings *s, struct buf *out);
void dns_show_records(const struct core_settings *s, struct buf *out);
err dns_check(const struct core_settings *s, char *why, size_t why_cap);

/* settings_derp.c */
err derp_read_regions(const char *text, struct arena *a, struct core_settings *out, char *why, size_t why_cap);
void derp_show_regions(const struct core_settings *s, struct buf *out);

extern const struct setting_def setting_defs[];
extern const size_t setting_defs_n;

const struct setting_def *setting_def_by_key(const char *key); /* NULL: none */
/* ERR_INVALID: why. */
MUST_USE err setting_read(const struct setting_def *d, const char *text, struct arena *a, struct core_settings *out, char *why,
		size_t why_cap);
void setting_show(const struct setting_def *d, const struct core_settings *s, struct buf *out);
/* Does the file keep it for itself? The entry of `managed` that says so; NULL: no. */
const struct setting_managed *setting_managed(const struct core_settings *s, const char *key);
