/* my: a person's own page: devices, what they reach, adding one, sessions, and how they sign in. Works without scripts, on a phone.
 *
 *   /my                        all of it
 *   /my/devices/ID/…           rename, renew, sign-out (POST); remove (a GET asks first)
 *   /my/add                    a POST makes a key that adds one device within 10 minutes, and shows it once
 *   /my/sessions/ID/end        ends one of one's sessions (POST) */
#pragma once

#include "server/api/request.h"

enum { MY_KEY_TTL_MS = 10 * 60 * 1000, MY_REACH_NAMES = 40 /* of a group, then "and more" */, MY_REACH_GROUPS = 12 };

handler my_page, my_rename, my_renew, my_sign_out, my_page_remove, my_remove, my_add, my_session_end;
