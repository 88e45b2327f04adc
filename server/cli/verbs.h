/* verbs: the commands themselves, and what they share. cli.c has the table. Each returns an exit status. */
#pragma once

#include <jansson.h>

#include "common/base/buf.h"
#include "server/cli/output.h"

typedef int verb_run(struct cli *x);

verb_run run_completion;
verb_run run_policy_get_offline, run_policy_set_offline, run_policy_check_offline; /* verbs_offline.c */
#define POLICY_BYPASS "bypass-server-and-access-database-directly"
verb_run run_serve, run_version, run_health, run_stats, run_backup, run_config_check, run_config_show, run_derp_map, run_derp_list, run_derp_add, run_derp_remove;
verb_run run_users_create, run_users_list, run_users_rename, run_users_destroy, run_users_role, run_users_suspend, run_users_restore,
	run_users_approve;
verb_run run_dns_get, run_dns_set, run_dns_reset, run_dns_records, run_dns_add, run_dns_remove;
verb_run run_settings_list, run_settings_get, run_settings_set, run_settings_reset;
verb_run run_nodes_list, run_nodes_routes, run_nodes_register, run_nodes_expire, run_nodes_rename, run_nodes_delete,
	run_nodes_tag, run_nodes_approve, run_nodes_move, run_nodes_backfill, run_nodes_debug, run_nodes_ping, run_nodes_ask, run_nodes_approve_device, run_nodes_set_ip,
	run_nodes_attrs, run_nodes_set_attr, run_nodes_unset_attr;
verb_run run_authkeys_create, run_authkeys_list, run_authkeys_expire, run_authkeys_delete;
verb_run run_apikeys_create, run_apikeys_list, run_apikeys_expire, run_apikeys_delete;
verb_run run_oauth_create, run_oauth_list, run_oauth_delete;
verb_run run_policy_get, run_policy_set, run_policy_check, run_policy_preview, run_policy_format, run_policy_matrix, run_policy_ssh, run_policy_history, run_policy_show, run_policy_diff,
	run_policy_rollback, run_policy_explain, run_policy_who, run_policy_what;
verb_run run_audit_list, run_audit_export;
verb_run run_services_list, run_services_hosts, run_services_set, run_services_delete, run_services_approve, run_services_reject;
verb_run run_lock_status;
verb_run run_auth_list, run_auth_register, run_auth_approve, run_auth_reject;

verb_run run_users_identities, run_users_link, run_users_unlink, run_sessions_list, run_sessions_end, run_passkeys_list, run_passkeys_delete, run_console_login,
	run_users_forget_password;

enum { ID_TEXT_MAX = 24, PATH_MAX_LEN = 1024 };

/* ---- verbs_common.c ---- */

/* The first file that is there, in the order that the help tells; "" when there is none. */
const char *find_config(const struct cli *x);

/* The server's answer, owned; NULL: it was an error, which is printed. body is taken; NULL: none. */
json_t *server_call(const struct cli *x, const char *method, const char *target, json_t *body);
/* server_call where only success matters; says done in tables. */
int server_do(const struct cli *x, const char *method, const char *target, json_t *body, const char *done);
/* Target from path segments that are encoded: "%" stands for the next of them. Owned; NULL: out of memory. */
char *target(const char *pattern, const char *const *parts, size_t n);

/* Prints what is wrong with the command line. */
int usage(const struct cli *x, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* The flag, else the first argument; NULL: neither. */
const char *flag_or_argument(const struct cli *x, const char *flag);
/* An id as it is, or a name that is looked up. EXIT_OK, or the error was printed. */
int find_user_id(const struct cli *x, const char *text, char out[ID_TEXT_MAX]);
int find_node_id(const struct cli *x, const char *text, char out[ID_TEXT_MAX]);

/* ["a,b", "c"] -> ["a","b","c"]; owned. */
json_t *split_values(const struct cli *x, const char *flag);
/* "24h", "90d", "never" -> RFC 3339 as an owned JSON text (Go's zero time for never); NULL: not a duration. */
json_t *expiration_from(const char *text);
/* Asks before something is destroyed; --force answers yes. */
bool confirm(const struct cli *x, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* A whole file, "-" is stdin; owned. NULL: the error was printed. */
char *read_whole(const struct cli *x, const char *path);
