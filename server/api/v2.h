/* v2: the API as Tailscale speaks it (/api/v2), for Terraform, tscli, the Go client and their like. Errors are {"message"}.
 *
 * Ids are decimal texts; a device's id and nodeId are the same, and what the device itself sees as its StableID. */
#pragma once

#include "server/api/access.h"
#include "server/api/handlers.h"
#include "server/api/render.h"

#define SECOND_MS 1000

/* v2_device.c */
handler api_v2_devices, api_v2_device, api_v2_device_delete, api_v2_device_expire, api_v2_device_routes, api_v2_device_set_routes,
	api_v2_device_authorized, api_v2_device_name, api_v2_device_tags, api_v2_device_key, api_v2_device_ip, api_v2_device_attrs, api_v2_device_attr_set, api_v2_device_attr_delete, api_v2_device_attrs_patch;
/* v2_key.c */
handler api_v2_keys, api_v2_key_create, api_v2_key, api_v2_key_update, api_v2_key_delete, api_v2_token;
/* v2_federated.c */
handler api_v2_token_exchange;
/* v2_key.c, for it: RFC 6749's error; a token that was given; a member of a form body, decoded (NULL: absent). */
enum MHD_Result v2_oauth_error(struct request *r, unsigned status, const char *error, const char *text);
enum MHD_Result v2_oauth_token(struct request *r, const struct reply *reply);
const char *v2_form_value(struct request *r, const char *name);
/* v2_acl.c */
handler api_v2_acl, api_v2_acl_set, api_v2_acl_validate, api_v2_acl_preview;
/* v2_user.c */
handler api_v2_users, api_v2_user, api_v2_user_role, api_v2_user_approve, api_v2_user_suspend, api_v2_user_restore, api_v2_user_delete;
/* v2_invite.c */
handler api_v2_invites, api_v2_invites_make, api_v2_invite;
/* v2_settings.c */
handler api_v2_dns_nameservers, api_v2_dns_preferences, api_v2_dns_search, api_v2_dns_split, api_v2_dns_split_patch,
	api_v2_dns_configuration, api_v2_settings, api_v2_settings_patch;
handler api_v2_contacts, api_v2_contact_update, api_v2_contact_resend;
/* v2_webhook.c */
handler api_v2_webhooks, api_v2_webhook_create, api_v2_webhook, api_v2_webhook_update, api_v2_webhook_rotate, api_v2_webhook_delete,
	api_v2_webhook_test;
/* v2_service.c */
handler api_v2_services, api_v2_service, api_v2_service_set, api_v2_service_delete, api_v2_service_hosts, api_v2_service_approval,
	api_v2_service_approve;
/* v2_log.c */
handler api_v2_log;

/* RFC 3339; Go's zero time for 0. */
void v2_time(struct jsonw *w, int64_t wall_ms);
/* n texts of the request, copied into the command. NULL and a fault: too many. */
const char *const *v2_copy_texts(struct request *r, struct command *c, const char **from, size_t n);
/* A command for the device, user or key that the path names as its last "{}" at index. */
struct command *v2_command(struct request *r, enum command_kind kind, size_t param, const char *what);
