/* login: what api/ needs to sign people in: the providers, the helper that talks to them, and the key of cookies. */
#pragma once

#include "server/login/flow.h"
#include "server/login/helper.h"

struct login {
	const struct config_oidc *providers; /* borrowed */
	size_t n_providers;
	struct helper *helper; /* NULL: no providers */
	struct secret32 seal;
	struct flow_used used, passkeys_used;
	const char *server_url; /* borrowed */
};

static inline const struct config_oidc *login_provider(const struct login *l, const char *name)
{
	for (size_t i = 0; i < l->n_providers; i++)
		if (strcmp(l->providers[i].name, name) == 0)
			return &l->providers[i];
	return NULL;
}
