/* login: how a person signs in by an identity provider, and lets a device in. Pages without scripts.
 *
 *   /register/ID            a waiting device: on to the provider, or to a choice
 *   /login                  signing in for its own sake
 *   /login/with/NAME        to one provider (?connect=ID for a device)
 *   /oidc/callback          back from it
 *   /connect/ID             consent, then the device is in; /connect/ID/deny refuses it
 *   /auth/ID                an SSH session that wants a confirmation; /auth/ID/deny refuses it
 *   /logout                 the end of this browser's session
 *   /oidc/backchannel-logout/NAME   the provider says that somebody signed out */
#pragma once

#include "server/api/request.h"

/* login.c */
handler login_page_register, login_page, login_with, login_callback, login_backchannel;
/* login_pages.c */
handler login_page_connect, login_connect, login_deny, login_page_auth, login_auth_confirm, login_auth_deny, login_logout;

/* The reply of CMD_AUTH_GET for the page of a link when nobody can sign in. */
reply_handler login_show_waiting, login_show_ssh;
/* To the provider or the choice. auth_id "" for none. */
enum MHD_Result login_start(struct request *r, const char *auth_id);
/* CMD_AUTH_GET for the link's id. */
enum MHD_Result login_ask_waiting(struct request *r, const char *auth_id, reply_handler *next);
