/* tailcfg_in: what the decoders of tailcfg share. For tailcfg_*.c only. */
#pragma once

#include "common/base/arena.h"
#include "common/text/json.h"
#include "common/wire/tailcfg_hostinfo.h"

/* A string member in the arena, never NULL: cut to max bytes between characters, or refused when longer. */
const char *tailcfg_in_cut(const struct json_at *o, const char *key, size_t max, struct arena *a);
const char *tailcfg_in_text(const struct json_at *o, const char *key, size_t max, struct arena *a);
/* An array element. */
const char *tailcfg_in_keep(const struct json_at *at, struct bytes text, struct arena *a);
/* Zeroed room; NULL (noted) when out of memory. */
void *tailcfg_in_room(const struct json_at *at, struct arena *a, size_t count, size_t each);
int tailcfg_in_version(const struct json_at *o, const char *key);
/* Compact JSON of what is there, with a NUL; n 0 (noted) when longer than max or out of memory. */
struct bytes tailcfg_in_raw(const struct json_at *at, size_t max, struct arena *a);
