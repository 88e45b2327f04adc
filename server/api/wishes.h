/* wishes: "Something missing?" What a person asks to reach is shown to those who write the policy, until one of them has answered.
 *
 *   /my/missing           a form, and what of one's own waits; a POST asks
 *   /my/missing/ID/end    takes it back (POST)
 *   …/wishes, …/wishes/ID of the native API: all that wait, for the console; DELETE: it was answered */
#pragma once

#include "server/api/request.h"

handler my_page_missing, my_ask, my_ask_end;
handler console_wishes, console_wish_end;
