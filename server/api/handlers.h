/* handlers: the begin of every call; route.c has the table. One file a resource. */
#pragma once

#include "server/api/request.h"

/* v1_user.c */
handler user_create, user_list, user_rename, user_delete;
/* v1_node.c */
handler node_list, node_get, node_del, node_expire, node_rename, node_tags, node_approve, node_move, node_register,
	node_backfill;
/* v1_routes.c: what Headscale had before 0.26 */
handler routes_list, routes_of_node, routes_enable, routes_disable;
/* v1_key.c */
handler authkey_create, authkey_list, authkey_expire, authkey_delete;
handler apikey_create, apikey_list, apikey_expire, apikey_delete, apikey_delete_by_query;
/* v1_policy.c */
handler policy_get, policy_set, policy_check;
/* v1_auth.c */
handler auth_register, auth_approve, auth_reject;
/* native.c */
handler native_derp_map, native_stats, native_dns_records, native_config, native_pendings;
/* pages.c */
handler page_root, page_admin, page_robots, page_register, health, health_v1, version, verify;

/* Shared by those that name a waiting login: adds the prefix that some tools leave out. NULL (and a fault): not an id. */
const char *auth_id_from(struct request *r, const char *text);
bool is_auth_id(const char *text);
/* Answers with {"node": …}. */
reply_handler on_node;
/* Answers with {}. */
reply_handler on_done;
/* 90 days from now: what a key gets whose maker said nothing. */
int64_t default_key_expiry(void);
