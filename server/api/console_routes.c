#include "server/api/console.h"
#include "server/api/console_page.h"
#include "server/api/routes.h"
#include "server/api/v2.h"
#include "server/api/wishes.h"

#define NATIVE "/api/fairlead/v1"
#define ANY_ROLE SCOPE_EVERYTHING /* whoever may anything at all */

/* What the console asks of the native API, as server/api/route.c has the others. */
const struct route console_routes[] = {
	{ "GET", "/console", ACCESS_OPEN, console_page, 0 },
	{ "GET", "/console/{*}", ACCESS_OPEN, console_page, 0 },

	{ "GET", NATIVE "/me", ACCESS_KEY, console_me, ANY_ROLE },
	{ "POST", NATIVE "/me/sign-out", ACCESS_KEY, console_sign_out, ANY_ROLE },

	{ "GET", NATIVE "/machines", ACCESS_KEY, console_machines, READ(DEVICES_CORE) },
	{ "GET", NATIVE "/machines/{}", ACCESS_KEY, console_machine, READ(DEVICES_CORE) },
	{ "DELETE", NATIVE "/machines/{}", ACCESS_KEY, console_machine_delete, WRITE(DEVICES_CORE) },
	{ "POST", NATIVE "/machines/{}/approve", ACCESS_KEY, console_machine_approve, WRITE(DEVICES_CORE) },
	{ "POST", NATIVE "/machines/{}/rename", ACCESS_KEY, console_machine_rename, WRITE(DEVICES_CORE) },
	{ "POST", NATIVE "/machines/{}/tags", ACCESS_KEY, console_machine_tags, WRITE(DEVICES_CORE) },
	{ "POST", NATIVE "/machines/{}/routes", ACCESS_KEY, console_machine_routes, WRITE(DEVICES_ROUTES) },
	{ "POST", NATIVE "/machines/{}/expiry", ACCESS_KEY, console_machine_expiry, WRITE(DEVICES_CORE) },
	{ "POST", NATIVE "/machines/{}/sign-out", ACCESS_KEY, console_machine_sign_out, WRITE(DEVICES_CORE) },
	{ "POST", NATIVE "/machines/{}/owner", ACCESS_KEY, console_machine_owner, WRITE(DEVICES_CORE) },
	{ "POST", NATIVE "/machines/{}/address", ACCESS_KEY, console_machine_address, WRITE(DEVICES_CORE) },
	{ "GET", NATIVE "/me/sessions", ACCESS_KEY, console_my_sessions, ANY_ROLE },
	{ "DELETE", NATIVE "/me/sessions/{}", ACCESS_KEY, console_my_session_end, ANY_ROLE },
	{ "GET", NATIVE "/users", ACCESS_KEY, console_users, READ(USERS) },
	{ "POST", NATIVE "/users", ACCESS_KEY, console_user_create, WRITE(USERS) },
	{ "GET", NATIVE "/users/{}", ACCESS_KEY, console_user, READ(USERS) },
	{ "DELETE", NATIVE "/users/{}", ACCESS_KEY, console_user_delete, WRITE(USERS) },
	{ "POST", NATIVE "/users/{}/role", ACCESS_KEY, console_user_role, WRITE(USERS) },
	{ "POST", NATIVE "/users/{}/suspend", ACCESS_KEY, console_user_suspend, WRITE(USERS) },
	{ "POST", NATIVE "/users/{}/restore", ACCESS_KEY, console_user_restore, WRITE(USERS) },
	{ "POST", NATIVE "/users/{}/approve", ACCESS_KEY, console_user_approve, WRITE(USERS) },
	{ "POST", NATIVE "/users/{}/rename", ACCESS_KEY, console_user_rename, WRITE(USERS) },
	{ "GET", NATIVE "/invites", ACCESS_KEY, console_invites, READ(USERS) },
	{ "POST", NATIVE "/invites", ACCESS_KEY, console_invite, WRITE(USERS) },
	{ "DELETE", NATIVE "/invites/{}", ACCESS_KEY, console_invite_end, WRITE(USERS) },
	{ "GET", NATIVE "/keys", ACCESS_KEY, console_keys, ANY_KEY_READ },
	{ "POST", NATIVE "/keys/auth", ACCESS_KEY, console_key_auth, WRITE(AUTH_KEYS) },
	{ "DELETE", NATIVE "/keys/auth/{}", ACCESS_KEY, console_key_auth_end, WRITE(AUTH_KEYS) },
	{ "POST", NATIVE "/keys/api", ACCESS_KEY, console_key_api, WRITE(API_TOKENS) },
	{ "DELETE", NATIVE "/keys/api/{}", ACCESS_KEY, console_key_api_end, WRITE(API_TOKENS) },
	{ "POST", NATIVE "/keys/oauth", ACCESS_KEY, console_key_oauth, WRITE(OAUTH_KEYS) },
	{ "DELETE", NATIVE "/keys/oauth/{}", ACCESS_KEY, console_key_oauth_end, WRITE(OAUTH_KEYS) },
	{ "GET", NATIVE "/audit/histogram", ACCESS_KEY, console_audit_histogram, READ(LOGS_CONFIGURATION) },
	{ "GET", NATIVE "/audit/export", ACCESS_KEY, console_audit_export, READ(LOGS_CONFIGURATION) },
	{ "GET", NATIVE "/connections", ACCESS_KEY, console_connections, READ(DEVICES_CORE) },
	{ "GET", NATIVE "/sign-ins", ACCESS_KEY, console_sign_ins, READ(LOGS_CONFIGURATION) },
	{ "GET", NATIVE "/routes", ACCESS_KEY, console_routes_list, READ(DEVICES_ROUTES) },
	{ "POST", NATIVE "/routes/approve", ACCESS_KEY, console_route_approve, WRITE(DEVICES_ROUTES) },
	{ "GET", NATIVE "/wishes", ACCESS_KEY, console_wishes, READ(POLICY_FILE) },
	{ "DELETE", NATIVE "/wishes/{}", ACCESS_KEY, console_wish_end, WRITE(POLICY_FILE) },
	{ "GET", NATIVE "/relays", ACCESS_KEY, console_relays, READ(NETWORKING_SETTINGS) },
	{ "GET", NATIVE "/dns", ACCESS_KEY, console_dns, READ(DNS) },
	{ "POST", NATIVE "/dns/try", ACCESS_KEY, console_dns_try, READ(DNS) | READ(DEVICES_CORE) }, /* both: it asks for each */
	{ "POST", NATIVE "/dns/check", ACCESS_KEY, console_dns_check, READ(DNS) },
	{ "GET", NATIVE "/checks", ACCESS_KEY, console_checks, READ(FEATURE_SETTINGS) },
	{ "GET", NATIVE "/first-run", ACCESS_KEY, console_first_run, READ(FEATURE_SETTINGS) },
	{ "GET", NATIVE "/backups", ACCESS_KEY, console_backups, 0 },
	{ "POST", NATIVE "/backups", ACCESS_KEY, console_backup_make, 0 },
	{ "GET", NATIVE "/backups/{}", ACCESS_KEY, console_backup_get, 0 },
	{ "DELETE", NATIVE "/backups/{}", ACCESS_KEY, console_backup_delete, 0 },
	{ "POST", NATIVE "/backups/{}/verify", ACCESS_KEY, console_backup_verify, 0 },
	{ "GET", NATIVE "/log", ACCESS_KEY, console_server_log, 0 },
	{ "GET", NATIVE "/search", ACCESS_KEY, console_search, ANY_ROLE }, /* what the caller may read */
	{ "GET", NATIVE "/webhooks", ACCESS_KEY, api_v2_webhooks, READ(WEBHOOKS) },
	{ "POST", NATIVE "/webhooks", ACCESS_KEY, api_v2_webhook_create, WRITE(WEBHOOKS) },
	{ "GET", NATIVE "/webhooks/{}", ACCESS_KEY, api_v2_webhook, READ(WEBHOOKS) },
	{ "PATCH", NATIVE "/webhooks/{}", ACCESS_KEY, api_v2_webhook_update, WRITE(WEBHOOKS) },
	{ "DELETE", NATIVE "/webhooks/{}", ACCESS_KEY, api_v2_webhook_delete, WRITE(WEBHOOKS) },
	{ "POST", NATIVE "/webhooks/{}/test", ACCESS_KEY, api_v2_webhook_test, WRITE(WEBHOOKS) },
	{ "POST", NATIVE "/webhooks/{}/rotate", ACCESS_KEY, api_v2_webhook_rotate, WRITE(WEBHOOKS) },
	{ "GET", NATIVE "/attention", ACCESS_KEY, console_attention, READ(DEVICES_CORE) },
};
const size_t console_routes_n = sizeof console_routes / sizeof console_routes[0];
