/* tailcfg_out: how the writers of tailcfg leave out what Go's omitempty leaves out. For tailcfg_*.c only. */
#pragma once

#include "common/text/jsonw.h"

static inline void tailcfg_out_text(struct jsonw *w, const char *key_ready, size_t n, const char *s)
{
	if (!s || !*s)
		return;
	jsonw_key_ready(w, key_ready, n);
	jsonw_str(w, s);
}

static inline void tailcfg_out_int(struct jsonw *w, const char *key_ready, size_t n, int64_t v)
{
	if (v == 0)
		return;
	jsonw_key_ready(w, key_ready, n);
	jsonw_int(w, v);
}

static inline void tailcfg_out_double(struct jsonw *w, const char *key_ready, size_t n, double v)
{
	if (v == 0)
		return;
	jsonw_key_ready(w, key_ready, n);
	jsonw_double(w, v);
}

static inline void tailcfg_out_bool(struct jsonw *w, const char *key_ready, size_t n, bool is_set, bool v)
{
	if (!is_set)
		return;
	jsonw_key_ready(w, key_ready, n);
	jsonw_bool(w, v);
}

/* A member that is there only when it is not zero. */
#define OUT_TEXT(w, name, s)   tailcfg_out_text((w), ",\"" name "\":", sizeof(name) + 3, (s))
#define OUT_INT(w, name, v)    tailcfg_out_int((w), ",\"" name "\":", sizeof(name) + 3, (v))
#define OUT_DOUBLE(w, name, v) tailcfg_out_double((w), ",\"" name "\":", sizeof(name) + 3, (v))
#define OUT_FLAG(w, name, v)   tailcfg_out_bool((w), ",\"" name "\":", sizeof(name) + 3, (v), true)
#define OUT_OPT(w, name, v)    tailcfg_out_bool((w), ",\"" name "\":", sizeof(name) + 3, (v) != TAILCFG_UNSET, (v) == TAILCFG_TRUE)
