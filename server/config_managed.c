#include <string.h>

#include "common/base/arena.h"
#include "common/base/cleanup.h"
#include "common/text/toml.h"
#include "server/config_table.h"
#include "server/core/settings.h"
#include "server/suggest.h"

/* A setting, or a table that holds one. */
static bool is_known(const char *key)
{
	size_t n = strlen(key);

	for (size_t i = 0; n && i < setting_defs_n; i++)
		if (strncmp(setting_defs[i].key, key, n) == 0 && (!setting_defs[i].key[n] || setting_defs[i].key[n] == '.'))
			return true;
	return false;
}

err config_read_managed(struct config_load *l, struct toml *t)
{
	struct setting_managed *keys = arena_array(l->arena, l->c->managed.n + 1, sizeof *keys);
	const struct toml *item = t->kind == TOML_ARRAY ? t->list.first : t;

	if (!keys)
		return ERR_NOMEM;
	for (size_t i = 0; i < l->c->managed.n; i++) {
		keys[i] = (struct setting_managed){ l->c->managed.s[i], item->line };
		if (!is_known(keys[i].key)) {
			struct suggest s = suggest_begin(keys[i].key);
			for (size_t k = 0; k < setting_defs_n; k++)
				suggest_offer(&s, setting_defs[k].key);
			return config_wrong(l, item, "managed: \"%s\" is no setting%s%s%s", keys[i].key, s.best ? "; did you mean \"" : "",
					s.best ? s.best : "", s.best ? "\"?" : "");
		}
		if (t->kind == TOML_ARRAY)
			item = item->next;
	}
	l->c->managed_keys = keys;
	return OK;
}
