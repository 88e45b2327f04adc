/* passkeys: signing in with one, and one's own: added, named, removed. The browser's part is passkey_script.c; what it shows is
 * checked by server/login/webauthn.h.
 *
 *   /login/passkey             a passkey of whoever it is (POST)
 *   /my/passkeys               one's own; a POST adds one
 *   /my/passkeys/ID            a POST renames it; /my/passkeys/ID/remove */
#pragma once

#include "server/api/request.h"

handler passkey_login, passkey_page, passkey_add, passkey_rename, passkey_remove;
handler api_passkey_script, api_passkey_list, api_passkey_delete;

struct buf;
/* A form that signs in with a passkey; nothing when this server's address is of a kind that has none. The page loads the script. */
void passkey_put_login(struct request *r, struct buf *b, const char *auth_id);

struct passkey_owner {
	const char *login; /* what the browser shows */
	int64_t user_id, tailnet_id;
};
/* A form that adds a passkey to whoever is signed in; own: the reply of CMD_PASSKEY_LIST. false: this server's address has none. is_start: on
 * to /welcome afterwards. */
bool passkey_put_add(struct request *r, struct buf *b, const struct reply *own, const struct passkey_owner *p, bool is_start);
