#include <string.h>

#include "server/api/backup.h"
#include "server/api/handlers.h"
#include "server/api/local.h"
#include "server/api/login.h"
#include "server/api/my.h"
#include "server/api/passkeys.h"
#include "server/api/routes.h"
#include "server/api/welcome.h"
#include "server/api/wishes.h"

/* The one list of what there is, who may ask it, and what a key needs for it. Without a need a key must have "all". The calls of
 * /api/v2 stand in v2_routes.c. */
static const struct route routes[] = {
	{ "GET", "/", ACCESS_OPEN, api_page_root, 0 },
	{ "GET", "/admin", ACCESS_OPEN, api_page_admin, 0 },
	{ "GET", "/robots.txt", ACCESS_OPEN, api_page_robots, 0 },
	{ "GET", "/icon.svg", ACCESS_OPEN, api_page_icon, 0 },
	{ "GET", "/style.css", ACCESS_OPEN, api_page_style, 0 },
	{ "GET", "/register/{}", ACCESS_OPEN, login_page_register, 0 },
	{ "GET", "/connect/{}", ACCESS_OPEN, login_page_connect, 0 },
	{ "POST", "/connect/{}", ACCESS_OPEN, login_connect, 0 },
	{ "POST", "/connect/{}/deny", ACCESS_OPEN, login_deny, 0 },
	{ "GET", "/auth/{}", ACCESS_OPEN, login_page_auth, 0 },
	{ "POST", "/auth/{}", ACCESS_OPEN, login_auth_confirm, 0 },
	{ "POST", "/auth/{}/deny", ACCESS_OPEN, login_auth_deny, 0 },
	{ "GET", "/login", ACCESS_OPEN, login_page, 0 },
	{ "GET", "/login/with/{}", ACCESS_OPEN, login_with, 0 },
	{ "GET", "/oidc/callback", ACCESS_OPEN, login_callback, 0 },
	{ "POST", "/oidc/backchannel-logout/{}", ACCESS_OPEN, login_backchannel, 0 },
	{ "POST", "/login", ACCESS_OPEN, local_login, 0 },
	{ "POST", "/login/passkey", ACCESS_OPEN, passkey_login, 0 },
	{ "GET", "/passkey.js", ACCESS_OPEN, api_passkey_script, 0 },
	{ "GET", "/welcome", ACCESS_OPEN, welcome_page, 0 },
	{ "GET", "/my/passkeys", ACCESS_OPEN, passkey_page, 0 },
	{ "POST", "/my/passkeys", ACCESS_OPEN, passkey_add, 0 },
	{ "POST", "/my/passkeys/{}", ACCESS_OPEN, passkey_rename, 0 },
	{ "POST", "/my/passkeys/{}/remove", ACCESS_OPEN, passkey_remove, 0 },
	{ "GET", "/welcome/{}", ACCESS_OPEN, local_page_welcome, 0 },
	{ "POST", "/welcome/{}", ACCESS_OPEN, local_welcome, 0 },
	{ "GET", "/my/password", ACCESS_OPEN, local_page_password, 0 },
	{ "POST", "/my/password", ACCESS_OPEN, local_password, 0 },
	{ "GET", "/my", ACCESS_OPEN, my_page, 0 },
	{ "POST", "/my/add", ACCESS_OPEN, my_add, 0 },
	{ "POST", "/my/devices/{}/rename", ACCESS_OPEN, my_rename, 0 },
	{ "POST", "/my/devices/{}/renew", ACCESS_OPEN, my_renew, 0 },
	{ "POST", "/my/devices/{}/sign-out", ACCESS_OPEN, my_sign_out, 0 },
	{ "GET", "/my/devices/{}/remove", ACCESS_OPEN, my_page_remove, 0 },
	{ "POST", "/my/devices/{}/remove", ACCESS_OPEN, my_remove, 0 },
	{ "POST", "/my/sessions/{}/end", ACCESS_OPEN, my_session_end, 0 },
	{ "GET", "/my/missing", ACCESS_OPEN, my_page_missing, 0 },
	{ "POST", "/my/missing", ACCESS_OPEN, my_ask, 0 },
	{ "POST", "/my/missing/{}/end", ACCESS_OPEN, my_ask_end, 0 },
	{ "POST", "/logout", ACCESS_OPEN, login_logout, 0 },
	{ "GET", "/health", ACCESS_OPEN, api_health, 0 },
	{ "GET", "/version", ACCESS_OPEN, api_version, 0 },
	{ "GET", "/metrics", ACCESS_METRICS, api_metrics, 0 },
	{ "POST", "/verify", ACCESS_OPEN, api_verify, 0 },

	{ "GET", "/.well-known/openid-configuration", ACCESS_OPEN, api_openid_configuration, 0 },
	{ "GET", "/.well-known/jwks.json", ACCESS_OPEN, api_jwks, 0 },
	{ "GET", "/.well-known/security.txt", ACCESS_OPEN, api_security_txt, 0 },

	{ "GET", "/api/v1/openapi.json", ACCESS_OPEN, api_openapi, 0 },
	{ "GET", "/api/v2/openapi.json", ACCESS_OPEN, api_openapi, 0 },
	{ "GET", "/api/fairlead/v1/openapi.json", ACCESS_OPEN, api_openapi, 0 },

	{ "GET", "/api/v1/health", ACCESS_OPEN, api_health_v1, 0 },
	{ "POST", "/api/v1/user", ACCESS_KEY, api_user_create, WRITE(USERS) },
	{ "GET", "/api/v1/user", ACCESS_KEY, api_user_list, READ(USERS) },
	{ "POST", "/api/v1/user/{}/rename/{}", ACCESS_KEY, api_user_rename, WRITE(USERS) },
	{ "DELETE", "/api/v1/user/{}", ACCESS_KEY, api_user_delete, WRITE(USERS) },

	{ "GET", "/api/v1/node", ACCESS_KEY, api_node_list, READ(DEVICES_CORE) },
	{ "POST", "/api/v1/node/register", ACCESS_KEY, api_node_register, WRITE(DEVICES_CORE) },
	{ "POST", "/api/v1/node/backfillips", ACCESS_KEY, api_node_backfill, WRITE(DEVICES_CORE) },
	{ "GET", "/api/v1/node/{}", ACCESS_KEY, api_node_get, READ(DEVICES_CORE) },
	{ "DELETE", "/api/v1/node/{}", ACCESS_KEY, api_node_delete, WRITE(DEVICES_CORE) },
	{ "POST", "/api/v1/node/{}/expire", ACCESS_KEY, api_node_expire, WRITE(DEVICES_CORE) },
	{ "POST", "/api/v1/node/{}/rename/{}", ACCESS_KEY, api_node_rename, WRITE(DEVICES_CORE) },
	{ "POST", "/api/v1/node/{}/tags", ACCESS_KEY, api_node_tags, WRITE(DEVICES_CORE) },
	{ "POST", "/api/v1/node/{}/approve_routes", ACCESS_KEY, api_node_approve, WRITE(DEVICES_ROUTES) },
	{ "POST", "/api/v1/node/{}/user", ACCESS_KEY, api_node_move, WRITE(DEVICES_CORE) },
	{ "GET", "/api/v1/node/{}/routes", ACCESS_KEY, api_routes_of_node, READ(DEVICES_ROUTES) },
	{ "GET", "/api/v1/routes", ACCESS_KEY, api_routes_list, READ(DEVICES_ROUTES) },
	{ "POST", "/api/v1/routes/{}/enable", ACCESS_KEY, api_routes_enable, WRITE(DEVICES_ROUTES) },
	{ "POST", "/api/v1/routes/{}/disable", ACCESS_KEY, api_routes_disable, WRITE(DEVICES_ROUTES) },
	{ "DELETE", "/api/v1/routes/{}", ACCESS_KEY, api_routes_disable, WRITE(DEVICES_ROUTES) },

	{ "POST", "/api/v1/auth/register", ACCESS_KEY, api_auth_register, WRITE(DEVICES_CORE) },
	{ "POST", "/api/v1/auth/approve", ACCESS_KEY, api_auth_approve, WRITE(DEVICES_CORE) },
	{ "POST", "/api/v1/auth/reject", ACCESS_KEY, api_auth_reject, WRITE(DEVICES_CORE) },

	{ "POST", "/api/v1/preauthkey", ACCESS_KEY, api_authkey_create, WRITE(AUTH_KEYS) },
	{ "GET", "/api/v1/preauthkey", ACCESS_KEY, api_authkey_list, READ(AUTH_KEYS) },
	{ "DELETE", "/api/v1/preauthkey", ACCESS_KEY, api_authkey_delete, WRITE(AUTH_KEYS) },
	{ "POST", "/api/v1/preauthkey/expire", ACCESS_KEY, api_authkey_expire, WRITE(AUTH_KEYS) },

	{ "POST", "/api/v1/apikey", ACCESS_KEY, api_apikey_create, WRITE(API_TOKENS) },
	{ "GET", "/api/v1/apikey", ACCESS_KEY, api_apikey_list, READ(API_TOKENS) },
	{ "DELETE", "/api/v1/apikey", ACCESS_KEY, api_apikey_delete_by_query, WRITE(API_TOKENS) },
	{ "POST", "/api/v1/apikey/expire", ACCESS_KEY, api_apikey_expire, WRITE(API_TOKENS) },
	{ "DELETE", "/api/v1/apikey/{}", ACCESS_KEY, api_apikey_delete, WRITE(API_TOKENS) },

	{ "GET", "/api/v1/policy", ACCESS_KEY, api_policy_get, READ(POLICY_FILE) },
	{ "PUT", "/api/v1/policy", ACCESS_KEY, api_policy_set, WRITE(POLICY_FILE) },
	{ "POST", "/api/v1/policy/check", ACCESS_KEY, api_policy_check, READ(POLICY_FILE) },

	{ "POST", "/api/v1/debug/node", ACCESS_KEY, api_unsupported, 0 },

	{ "GET", "/api/fairlead/v1/policy", ACCESS_KEY, api_native_policy_get, READ(POLICY_FILE) },
	{ "PUT", "/api/fairlead/v1/policy", ACCESS_KEY, api_native_policy_set, WRITE(POLICY_FILE) },
	{ "POST", "/api/fairlead/v1/policy/check", ACCESS_KEY, api_native_policy_check, READ(POLICY_FILE) },
	{ "POST", "/api/fairlead/v1/policy/preview", ACCESS_KEY, api_native_policy_preview, READ(POLICY_FILE) },
	{ "POST", "/api/fairlead/v1/policy/rollback", ACCESS_KEY, api_native_policy_rollback, WRITE(POLICY_FILE) },
	{ "GET", "/api/fairlead/v1/policy/versions", ACCESS_KEY, api_native_policy_history, READ(POLICY_FILE) },
	{ "GET", "/api/fairlead/v1/policy/versions/{}", ACCESS_KEY, api_native_policy_version, READ(POLICY_FILE) },
	{ "GET", "/api/fairlead/v1/policy/diff", ACCESS_KEY, api_native_policy_diff, READ(POLICY_FILE) },
	{ "POST", "/api/fairlead/v1/policy/format", ACCESS_KEY, api_native_policy_format, READ(POLICY_FILE) },
	{ "GET", "/api/fairlead/v1/policy/draft", ACCESS_KEY, api_native_draft_get, WRITE(POLICY_FILE) },
	{ "PUT", "/api/fairlead/v1/policy/draft", ACCESS_KEY, api_native_draft_set, WRITE(POLICY_FILE) },
	{ "DELETE", "/api/fairlead/v1/policy/draft", ACCESS_KEY, api_native_draft_delete, WRITE(POLICY_FILE) },
	{ "POST", "/api/fairlead/v1/policy/diff", ACCESS_KEY, api_native_policy_diff_draft, READ(POLICY_FILE) },
	/* These tell about devices: whoever may not read devices gets 403 (native_reach.c). */
	{ "GET", "/api/fairlead/v1/policy/explain", ACCESS_KEY, api_native_policy_explain, READ(POLICY_FILE) },
	{ "GET", "/api/fairlead/v1/policy/who-can-reach", ACCESS_KEY, api_native_policy_who, READ(POLICY_FILE) },
	{ "GET", "/api/fairlead/v1/policy/what-can-reach", ACCESS_KEY, api_native_policy_what, READ(POLICY_FILE) },
	{ "POST", "/api/fairlead/v1/policy/explain", ACCESS_KEY, api_native_policy_explain_draft, READ(POLICY_FILE) },
	{ "POST", "/api/fairlead/v1/policy/who-can-reach", ACCESS_KEY, api_native_policy_who_draft, READ(POLICY_FILE) },
	{ "POST", "/api/fairlead/v1/policy/what-can-reach", ACCESS_KEY, api_native_policy_what_draft, READ(POLICY_FILE) },
	{ "POST", "/api/fairlead/v1/policy/ssh", ACCESS_KEY, api_native_policy_ssh, READ(POLICY_FILE) },
	{ "POST", "/api/fairlead/v1/policy/matrix", ACCESS_KEY, api_native_policy_matrix, READ(POLICY_FILE) },
	{ "POST", "/api/fairlead/v1/policy/graph", ACCESS_KEY, api_native_policy_graph, READ(POLICY_FILE) },
	{ "GET", "/api/fairlead/v1/services", ACCESS_KEY, api_native_services, READ(SERVICES) },
	{ "GET", "/api/fairlead/v1/services/{}", ACCESS_KEY, api_native_service_get, READ(SERVICES) },
	{ "PUT", "/api/fairlead/v1/services/{}", ACCESS_KEY, api_native_service_set, WRITE(SERVICES) },
	{ "DELETE", "/api/fairlead/v1/services/{}", ACCESS_KEY, api_native_service_delete, WRITE(SERVICES) },
	{ "POST", "/api/fairlead/v1/services/{}/approve", ACCESS_KEY, api_native_service_approve, WRITE(SERVICES) },
	{ "GET", "/api/fairlead/v1/lock", ACCESS_KEY, api_native_lock, READ(DEVICES_CORE) },

	{ "GET", "/api/fairlead/v1/derp-map", ACCESS_KEY, api_native_derp_map, READ(NETWORKING_SETTINGS) },
	{ "PUT", "/api/fairlead/v1/derp-map/regions/{}", ACCESS_KEY, api_native_derp_region_set, WRITE(NETWORKING_SETTINGS) },
	{ "DELETE", "/api/fairlead/v1/derp-map/regions/{}", ACCESS_KEY, api_native_derp_region_delete, WRITE(NETWORKING_SETTINGS) },
	{ "GET", "/api/fairlead/v1/stats", ACCESS_KEY, api_native_stats, READ(DEVICES_CORE) },
	{ "PUT", "/api/fairlead/v1/dns/records", ACCESS_KEY, api_native_dns_records, WRITE(DNS) },
	{ "GET", "/api/fairlead/v1/config", ACCESS_KEY, api_native_config, 0 },
	{ "GET", "/api/fairlead/v1/pending", ACCESS_KEY, api_native_pendings, READ(DEVICES_CORE) },
	/* A setting's own scope is looked up by its name: native_settings.c. */
	{ "GET", "/api/fairlead/v1/settings", ACCESS_KEY, api_native_settings, ANY_SETTING_READ },
	{ "GET", "/api/fairlead/v1/settings/{}", ACCESS_KEY, api_native_setting_get, ANY_SETTING_READ },
	{ "PUT", "/api/fairlead/v1/settings/{}", ACCESS_KEY, api_native_setting_set, ANY_SETTING },
	{ "DELETE", "/api/fairlead/v1/settings/{}", ACCESS_KEY, api_native_setting_reset, ANY_SETTING },
	{ "POST", "/api/fairlead/v1/user/{}/role", ACCESS_KEY, api_native_user_role, WRITE(USERS) },
	{ "POST", "/api/fairlead/v1/user/{}/suspend", ACCESS_KEY, api_native_user_suspend, WRITE(USERS) },
	{ "POST", "/api/fairlead/v1/user/{}/restore", ACCESS_KEY, api_native_user_restore, WRITE(USERS) },
	{ "POST", "/api/fairlead/v1/user/{}/approve", ACCESS_KEY, api_native_user_approve, WRITE(USERS) },
	{ "POST", "/api/fairlead/v1/node/{}/approve", ACCESS_KEY, api_native_node_approve, WRITE(DEVICES_CORE) },
	{ "POST", "/api/fairlead/v1/node/{}/ip", ACCESS_KEY, api_native_node_ip, WRITE(DEVICES_CORE) },
	{ "GET", "/api/fairlead/v1/node/{}/attributes", ACCESS_KEY, api_native_node_attrs, READ(DEVICES_POSTURE) },
	{ "POST", "/api/fairlead/v1/node/{}/attributes/{}", ACCESS_KEY, api_native_node_attr_set, WRITE(DEVICES_POSTURE) },
	{ "DELETE", "/api/fairlead/v1/node/{}/attributes/{}", ACCESS_KEY, api_native_node_attr_delete, WRITE(DEVICES_POSTURE) },
	{ "GET", "/api/fairlead/v1/node/{}/debug", ACCESS_KEY, api_native_node_debug, 0 },
	{ "POST", "/api/fairlead/v1/node/{}/c2n", ACCESS_KEY, api_native_node_c2n, 0 },
	{ "GET", "/api/fairlead/v1/events", ACCESS_KEY, api_native_events, SCOPE_EVERYTHING }, /* the records: READ(LOGS_CONFIGURATION), events.c */
	{ "GET", "/api/fairlead/v1/audit", ACCESS_KEY, api_native_audit, READ(LOGS_CONFIGURATION) },
	{ "GET", "/api/fairlead/v1/identities", ACCESS_KEY, api_identity_list, READ(USERS) },
	{ "POST", "/api/fairlead/v1/identities", ACCESS_KEY, api_identity_link, WRITE(USERS) },
	{ "DELETE", "/api/fairlead/v1/identities/{}", ACCESS_KEY, api_identity_unlink, WRITE(USERS) },
	{ "POST", "/api/fairlead/v1/login-links", ACCESS_KEY, api_link_make, WRITE(USERS) },
	{ "DELETE", "/api/fairlead/v1/accounts", ACCESS_KEY, api_account_delete, WRITE(USERS) },
	{ "GET", "/api/fairlead/v1/passkeys", ACCESS_KEY, api_passkey_list, READ(USERS) },
	{ "DELETE", "/api/fairlead/v1/passkeys/{}", ACCESS_KEY, api_passkey_delete, WRITE(USERS) },
	{ "GET", "/api/fairlead/v1/sessions", ACCESS_KEY, api_signin_list, READ(USERS) },
	{ "DELETE", "/api/fairlead/v1/sessions", ACCESS_KEY, api_signin_end_all, WRITE(USERS) },
	{ "DELETE", "/api/fairlead/v1/sessions/{}", ACCESS_KEY, api_signin_end, WRITE(USERS) },
	{ "POST", "/api/fairlead/v1/backup", ACCESS_LOCAL, begin_backup, 0 },
};

/* Segment by segment; what stands at a "{}" goes to param, borrowed from path. */
static bool matches(const char *pattern, const char *path, struct bytes param[REQUEST_PARAMS_MAX])
{
	struct bytes want = bytes_str(pattern), have = bytes_str(path);
	size_t n = 0;

	while (want.p && have.p) {
		struct bytes w = bytes_cut(want, '/', &want), whole = have, h = bytes_cut(have, '/', &have);
		if (bytes_eq_str(w, "{*}")) {
			param[n++] = whole;
			return true;
		}
		if (bytes_eq_str(w, "{}")) {
			if (!h.n)
				return false;
			param[n++] = h;
		} else if (!bytes_eq(w, h)) {
			return false;
		}
	}
	return !want.p && !have.p;
}

const struct route *route_find(struct request *r, const char *method, const char *path, bool *known)
{
	struct bytes param[REQUEST_PARAMS_MAX];
	size_t n = strlen(path);
	const char *plain = n > 1 && path[n - 1] == '/' ? arena_str(&r->arena, bytes_of(path, n - 1)) : path;

	if (!plain)
		return NULL;
	const struct route *route;
	if (strcmp(method, "HEAD") == 0)
		method = "GET"; /* the daemon leaves the body out */
	for (size_t i = 0; (route = route_at(i)); i++) {
		memset(param, 0, sizeof param);
		if (!matches(route->pattern, plain, param))
			continue;
		*known = true;
		if (strcmp(route->method, method) != 0)
			continue;
		for (size_t p = 0; p < REQUEST_PARAMS_MAX; p++) {
			r->param[p] = param[p].n ? arena_str(&r->arena, param[p]) : "";
			if (!r->param[p])
				return NULL;
		}
		return route;
	}
	return NULL;
}

const struct route *route_at(size_t i)
{
	const size_t n = sizeof routes / sizeof routes[0];

	if (i < n)
		return &routes[i];
	if (i - n < v2_routes_n)
		return &v2_routes[i - n];
	return i - n - v2_routes_n < console_routes_n ? &console_routes[i - n - v2_routes_n] : NULL;
}
