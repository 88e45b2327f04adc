/* reach_text: what a policy lets a device reach, in a sentence: "9 machines, 10.40.0.0/16 and 2 exit nodes". */
#pragma once

#include "server/api/request.h"

/* Of the reply of CMD_POLICY_WHAT, as a fact of a page; nothing when there is no answer. The device itself is not counted. */
void reach_put(struct buf *b, const struct reply *reply);
