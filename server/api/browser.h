/* browser: what a signed-in browser brings along: its cookie, the forms that it posts, and whether they come from our own pages.
 *
 * The cookie's value is a random token; the core knows its hash (CMD_SIGNIN_CHECK). Cookies of https servers are __Host- and
 * Secure, all are HttpOnly and SameSite=Lax: a person comes from the provider's site. What changes something is a POST with a
 * CSRF token that is made from the session's, and with our own Origin where the browser says one. */
#pragma once

#include "server/api/request.h"

enum {
	SIGNIN_TTL_MS = 12 * 3600 * 1000,
	SIGNIN_FRESH_MS = 15 * 60 * 1000, /* devices are connected, and SSH confirmed, by somebody who has just signed in */
	FORM_BODY_MAX = 16 << 10,
	CSRF_LEN = 32,
};

const char *cookie_get(struct request *r, const char *name); /* without its prefix; NULL: none */
void cookie_set(struct request *r, const char *name, const char *value, int64_t max_age_s); /* 0: away with it */

/* A field of an application/x-www-form-urlencoded body; "" when absent or not UTF-8. */
const char *form_value(struct request *r, const char *name);

/* Host and, where given, Origin and Sec-Fetch-Site are ours. */
bool is_own_page(struct request *r);

/* It shows a session of ours, of whatever worth. */
bool has_session(struct request *r);
/* Asks who is signed in: next gets the reply of CMD_SIGNIN_CHECK, or one with ERR_AUTH. r->token is set then. */
enum MHD_Result ask_signin(struct request *r, reply_handler *next);
/* Of a command that begins a session: what the browser calls itself, and until when. */
void signin_fill(struct request *r, struct command *c);
/* Where a browser goes that has just signed in: to the device that waits, to a page of ours that it came from, else to /my. NULL: no memory. */
const char *signin_target(struct request *r, const char *auth_id);
/* Where somebody begins who comes from nowhere: who administers in the console, others at their devices. */
const char *signin_home(const struct user_row *u);
void signin_begin(struct request *r, const char *token);
void signin_forget(struct request *r);

/* For forms of the signed-in browser. */
const char *csrf_of(struct request *r, const char *token);
bool csrf_ok(struct request *r, const char *token); /* is_own_page, and the field "csrf" fits */
/* The console's calls: the header X-Fairlead-CSRF fits its session. r->token is set then. */
#define CSRF_HEADER "X-Fairlead-CSRF"
bool csrf_header_ok(struct request *r);

enum MHD_Result answer_redirect(struct request *r, unsigned status, const char *to); /* to lives in the arena */
