#include "server/core/scope.h"

#include <stdio.h>
#include <string.h>

#include "common/base/cleanup.h"

static const char *const names[SCOPES_N] = {
	[SCOPE_DEVICES_CORE] = "devices:core",
	[SCOPE_DEVICES_ROUTES] = "devices:routes",
	[SCOPE_DEVICES_POSTURE] = "devices:posture_attributes",
	[SCOPE_DEVICE_INVITES] = "device_invites",
	[SCOPE_AUTH_KEYS] = "auth_keys",
	[SCOPE_OAUTH_KEYS] = "oauth_keys",
	[SCOPE_FEDERATED_KEYS] = "federated_keys",
	[SCOPE_API_TOKENS] = "api_access_tokens",
	[SCOPE_POLICY_FILE] = "policy_file",
	[SCOPE_DNS] = "dns",
	[SCOPE_USERS] = "users",
	[SCOPE_ACCOUNT_SETTINGS] = "account_settings",
	[SCOPE_FEATURE_SETTINGS] = "feature_settings",
	[SCOPE_NETWORKING_SETTINGS] = "networking_settings",
	[SCOPE_LOGS_CONFIGURATION] = "logs:configuration",
	[SCOPE_LOGS_NETWORK] = "logs:network",
	[SCOPE_LOG_STREAMING] = "log_streaming",
	[SCOPE_SERVICES] = "services",
	[SCOPE_WEBHOOKS] = "webhooks",
	[SCOPE_OAUTH_APPS] = "oauth_apps",
	[SCOPE_ALL] = "all",
};

const char *scope_text(enum scope s)
{
	return names[s];
}

#define READ_BITS 0x5555555555555555ull

static bool word(struct bytes w, scope_set *out)
{
	struct bytes base = w, tail = BYTES_LIT(":read");
	bool read = w.n > tail.n && bytes_eq(bytes_skip(w, w.n - tail.n), tail);

	if (read)
		base = bytes_first(w, w.n - tail.n);
	for (int s = 0; s < SCOPES_N; s++) {
		if (!bytes_eq_str(base, names[s]))
			continue;
		scope_set set = s == SCOPE_ALL ? SCOPE_EVERYTHING : SCOPE_READ_BIT(s) | SCOPE_WRITE_BIT(s);
		*out |= read ? set & READ_BITS : set;
		return true;
	}
	return false;
}

err scope_parse(const char *text, scope_set *out, struct bytes *bad)
{
	struct bytes rest = bytes_trim(bytes_str(text ? text : ""));
	scope_set set = 0;

	*bad = (struct bytes){ 0 };
	while (rest.n) {
		struct bytes w = bytes_cut(rest, ' ', &rest);
		if (w.n && !word(w, &set)) {
			*bad = w;
			return ERR_INVALID;
		}
	}
	if (!set)
		return ERR_INVALID;
	*out = set;
	return OK;
}

void scope_need_text(scope_set need, char *out, size_t cap)
{
	for (int s = 0; s < SCOPES_N; s++)
		if (need & SCOPE_READ(s)) {
			snprintf(out, cap, "%s%s", names[s], need & SCOPE_READ_BIT(s) ? ":read" : "");
			return;
		}
	snprintf(out, cap, "all");
}

#define WRITES(s) (SCOPE_READ_BIT(s) | SCOPE_WRITE_BIT(s))

/* Tailscale's roles: network admins keep the network (policy, DNS, routes, services), IT admins people and devices,
 * auditors look at all of it, billing admins at nothing here, members have no API. */
scope_set scope_of_role(enum user_role role)
{
	const scope_set everything_read = SCOPE_EVERYTHING & READ_BITS & ~SCOPE_READ_BIT(SCOPE_ALL);

	switch (role) {
	case USER_OWNER:
	case USER_ADMIN:
		return SCOPE_EVERYTHING;
	case USER_NETWORK_ADMIN:
		return everything_read | WRITES(SCOPE_POLICY_FILE) | WRITES(SCOPE_DNS) | WRITES(SCOPE_DEVICES_ROUTES) |
			WRITES(SCOPE_NETWORKING_SETTINGS) | WRITES(SCOPE_SERVICES);
	case USER_IT_ADMIN:
		return everything_read | WRITES(SCOPE_DEVICES_CORE) | WRITES(SCOPE_DEVICES_POSTURE) | WRITES(SCOPE_DEVICE_INVITES) |
			WRITES(SCOPE_AUTH_KEYS) | WRITES(SCOPE_USERS) | WRITES(SCOPE_FEATURE_SETTINGS) | WRITES(SCOPE_ACCOUNT_SETTINGS);
	case USER_AUDITOR:
		return everything_read;
	case USER_BILLING_ADMIN:
	case USER_MEMBER:
		return 0;
	}
	return 0;
}

scope_set scope_of_user(const struct user_row *u)
{
	return u->waits_ms ? 0 : scope_of_role(u->role);
}
