#include <string.h>

#include "server/api/backup.h"
#include "server/api/handlers.h"

static const struct route routes[] = {
	{ "GET", "/", ACCESS_OPEN, api_page_root },
	{ "GET", "/admin", ACCESS_OPEN, api_page_admin },
	{ "GET", "/robots.txt", ACCESS_OPEN, api_page_robots },
	{ "GET", "/style.css", ACCESS_OPEN, api_page_style },
	{ "GET", "/register/{}", ACCESS_OPEN, api_page_register },
	{ "GET", "/auth/{}", ACCESS_OPEN, api_page_auth },
	{ "GET", "/health", ACCESS_OPEN, api_health },
	{ "GET", "/version", ACCESS_OPEN, api_version },
	{ "GET", "/metrics", ACCESS_METRICS, api_metrics },
	{ "POST", "/verify", ACCESS_OPEN, api_verify },

	{ "GET", "/api/v1/health", ACCESS_OPEN, api_health_v1 },
	{ "POST", "/api/v1/user", ACCESS_KEY, api_user_create },
	{ "GET", "/api/v1/user", ACCESS_KEY, api_user_list },
	{ "POST", "/api/v1/user/{}/rename/{}", ACCESS_KEY, api_user_rename },
	{ "DELETE", "/api/v1/user/{}", ACCESS_KEY, api_user_delete },

	{ "GET", "/api/v1/node", ACCESS_KEY, api_node_list },
	{ "POST", "/api/v1/node/register", ACCESS_KEY, api_node_register },
	{ "POST", "/api/v1/node/backfillips", ACCESS_KEY, api_node_backfill },
	{ "GET", "/api/v1/node/{}", ACCESS_KEY, api_node_get },
	{ "DELETE", "/api/v1/node/{}", ACCESS_KEY, api_node_delete },
	{ "POST", "/api/v1/node/{}/expire", ACCESS_KEY, api_node_expire },
	{ "POST", "/api/v1/node/{}/rename/{}", ACCESS_KEY, api_node_rename },
	{ "POST", "/api/v1/node/{}/tags", ACCESS_KEY, api_node_tags },
	{ "POST", "/api/v1/node/{}/approve_routes", ACCESS_KEY, api_node_approve },
	{ "POST", "/api/v1/node/{}/user", ACCESS_KEY, api_node_move },
	{ "GET", "/api/v1/node/{}/routes", ACCESS_KEY, api_routes_of_node },
	{ "GET", "/api/v1/routes", ACCESS_KEY, api_routes_list },
	{ "POST", "/api/v1/routes/{}/enable", ACCESS_KEY, api_routes_enable },
	{ "POST", "/api/v1/routes/{}/disable", ACCESS_KEY, api_routes_disable },
	{ "DELETE", "/api/v1/routes/{}", ACCESS_KEY, api_routes_disable },

	{ "POST", "/api/v1/auth/register", ACCESS_KEY, api_auth_register },
	{ "POST", "/api/v1/auth/approve", ACCESS_KEY, api_auth_approve },
	{ "POST", "/api/v1/auth/reject", ACCESS_KEY, api_auth_reject },

	{ "POST", "/api/v1/preauthkey", ACCESS_KEY, api_authkey_create },
	{ "GET", "/api/v1/preauthkey", ACCESS_KEY, api_authkey_list },
	{ "DELETE", "/api/v1/preauthkey", ACCESS_KEY, api_authkey_delete },
	{ "POST", "/api/v1/preauthkey/expire", ACCESS_KEY, api_authkey_expire },

	{ "POST", "/api/v1/apikey", ACCESS_KEY, api_apikey_create },
	{ "GET", "/api/v1/apikey", ACCESS_KEY, api_apikey_list },
	{ "DELETE", "/api/v1/apikey", ACCESS_KEY, api_apikey_delete_by_query },
	{ "POST", "/api/v1/apikey/expire", ACCESS_KEY, api_apikey_expire },
	{ "DELETE", "/api/v1/apikey/{}", ACCESS_KEY, api_apikey_delete },

	{ "GET", "/api/v1/policy", ACCESS_KEY, api_policy_get },
	{ "PUT", "/api/v1/policy", ACCESS_KEY, api_policy_set },
	{ "POST", "/api/v1/policy/check", ACCESS_KEY, api_policy_check },

	{ "GET", "/api/fairlead/v1/derp-map", ACCESS_KEY, api_native_derp_map },
	{ "GET", "/api/fairlead/v1/stats", ACCESS_KEY, api_native_stats },
	{ "PUT", "/api/fairlead/v1/dns/records", ACCESS_KEY, api_native_dns_records },
	{ "GET", "/api/fairlead/v1/config", ACCESS_KEY, api_native_config },
	{ "GET", "/api/fairlead/v1/pending", ACCESS_KEY, api_native_pendings },
	{ "POST", "/api/fairlead/v1/node/{}/c2n", ACCESS_KEY, api_native_node_c2n },
	{ "GET", "/api/fairlead/v1/settings", ACCESS_KEY, api_native_settings },
	{ "GET", "/api/fairlead/v1/settings/{}", ACCESS_KEY, api_native_setting_get },
	{ "PUT", "/api/fairlead/v1/settings/{}", ACCESS_KEY, api_native_setting_set },
	{ "DELETE", "/api/fairlead/v1/settings/{}", ACCESS_KEY, api_native_setting_reset },
	{ "POST", "/api/fairlead/v1/user/{}/role", ACCESS_KEY, api_native_user_role },
	{ "POST", "/api/fairlead/v1/user/{}/suspend", ACCESS_KEY, api_native_user_suspend },
	{ "POST", "/api/fairlead/v1/user/{}/restore", ACCESS_KEY, api_native_user_restore },
	{ "GET", "/api/fairlead/v1/audit", ACCESS_KEY, api_native_audit },
	{ "POST", "/api/fairlead/v1/backup", ACCESS_LOCAL, begin_backup },
};

/* Segment by segment; what stands at a "{}" goes to param, borrowed from path. */
static bool matches(const char *pattern, const char *path, struct bytes param[REQUEST_PARAMS_MAX])
{
	struct bytes want = bytes_str(pattern), have = bytes_str(path);
	size_t n = 0;

	while (want.p && have.p) {
		struct bytes w = bytes_cut(want, '/', &want), h = bytes_cut(have, '/', &have);
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
	if (strcmp(method, "HEAD") == 0)
		method = "GET"; /* the daemon leaves the body out */
	for (size_t i = 0; i < sizeof routes / sizeof routes[0]; i++) {
		memset(param, 0, sizeof param);
		if (!matches(routes[i].pattern, plain, param))
			continue;
		*known = true;
		if (strcmp(routes[i].method, method) != 0)
			continue;
		for (size_t p = 0; p < REQUEST_PARAMS_MAX; p++) {
			r->param[p] = param[p].n ? arena_str(&r->arena, param[p]) : "";
			if (!r->param[p])
				return NULL;
		}
		return &routes[i];
	}
	return NULL;
}
