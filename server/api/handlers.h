/* handlers: the begin of every call; route.c has the table. One file a resource. */
#pragma once

#include "server/api/request.h"

/* v1_user.c */
handler api_user_create, api_user_list, api_user_rename, api_user_delete;
/* native_user.c */
handler api_native_user_role, api_native_user_suspend, api_native_user_restore, api_native_user_approve;
/* v1_node.c */
handler api_node_list, api_node_get, api_node_delete, api_node_expire, api_node_rename, api_node_tags, api_node_approve,
	api_node_move, api_node_register, api_node_backfill;
/* v1_routes.c: what Headscale had before 0.26 */
handler api_routes_list, api_routes_of_node, api_routes_enable, api_routes_disable;
/* v1_key.c */
handler api_authkey_create, api_authkey_list, api_authkey_expire, api_authkey_delete;
handler api_apikey_create, api_apikey_list, api_apikey_expire, api_apikey_delete, api_apikey_delete_by_query;
/* v1_policy.c */
handler api_policy_get, api_policy_set, api_policy_check;
/* native_policy.c */
handler api_native_policy_get, api_native_policy_set, api_native_policy_check, api_native_policy_preview, api_native_policy_history,
	api_native_policy_version, api_native_policy_diff, api_native_policy_diff_draft, api_native_policy_rollback, api_native_draft_get,
	api_native_draft_set, api_native_draft_delete;
/* native_reach.c */
handler api_native_policy_explain, api_native_policy_who, api_native_policy_what, api_native_policy_explain_draft, api_native_policy_who_draft,
	api_native_policy_what_draft, api_native_policy_ssh, api_native_policy_format, api_native_policy_matrix, api_native_policy_graph;
/* v1_auth.c */
handler api_auth_register, api_auth_approve, api_auth_reject;
/* native.c */
handler api_native_services, api_native_service_get, api_native_service_set, api_native_service_delete, api_native_service_approve;
handler api_native_lock, api_native_derp_map, api_native_derp_region_set, api_native_derp_region_delete, api_native_stats, api_native_dns_records, api_native_config, api_native_pendings;
/* audit.c, events.c */
handler api_native_audit, api_native_events;
/* A time of the query; 0: absent, or a fault. */
int64_t query_time(struct request *r, const char *name);
/* native_node.c */
handler api_native_node_debug, api_native_node_c2n, api_native_node_approve, api_native_node_ip, api_native_node_attrs, api_native_node_attr_set,
	api_native_node_attr_delete;
/* pages.c */
handler api_openid_configuration, api_jwks;
/* native_settings.c */
handler api_native_settings, api_native_setting_get, api_native_setting_set, api_native_setting_reset;
/* signins.c */
handler api_identity_list, api_identity_link, api_identity_unlink, api_signin_list, api_signin_end, api_signin_end_all;
/* v2_rest.c: what can have no effect here answers 501 and says why */
handler api_unsupported;
/* v2_settings.c */
handler api_security_txt;
/* openapi.c */
handler api_openapi;
/* metrics.c */
handler api_metrics;
/* pages.c */
handler api_page_root, api_page_admin, api_page_robots, api_page_style, api_page_icon, api_health, api_health_v1, api_version, api_verify;

/* Shared by those that name a waiting login: adds the prefix that some tools leave out. NULL (and a fault): not an id. */
const char *auth_id_from(struct request *r, const char *text);
bool is_auth_id(const char *text);
/* Answers with {"node": …}. */
reply_handler on_node;
/* Answers with {"user": …}. */
reply_handler on_user;
/* Answers with {}. */
reply_handler on_done;
/* 90 days from now: what a key gets whose maker said nothing. */
int64_t default_key_expiry(void);
