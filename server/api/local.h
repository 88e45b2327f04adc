/* local: signing in without an identity provider: a link that works once, and a password with a code.
 *
 *   /login            the form (POST)
 *   /welcome/TOKEN    a link of `fairlead console login`; a POST uses it up, so that no preview of the link does
 *   /my/password      a signed-in person sets a password and adds an authenticator app */
#pragma once

#include "server/api/request.h"

handler local_login, local_page_welcome, local_welcome, local_page_password, local_password;
handler api_link_make, api_account_delete;

/* Wrong passwords and codes, from one address; and of one user, from everywhere: more, so that one stranger does not lock
 * somebody out. */
#define GUESSES_PER_S 0.2
#define GUESSES_BURST 12.0
#define USER_GUESSES_PER_S 1.0
#define USER_GUESSES_BURST 60.0

struct buf;
/* The forms, for the page of /login: passkey, then password. */
void local_put_form(struct request *r, struct buf *b, const char *auth_id);
/* A try of this address, paid before it is looked at; false: it has none left. A right one is given back. */
bool local_take_address_try(struct request *r);
void local_give_address_try(struct request *r);
