/* etag: the name of a policy's text, for those who change it only if nobody else did (If-Match). */
#pragma once

#include <stdbool.h>

#include "common/base/err.h"

/* What stands for a policy that nobody has set, or that was set to nothing: all may reach all. Never changes. */
#define POLICY_DEFAULT_TEXT                                                                                            \
	"// Nobody has set a policy yet: everyone reaches everyone.\n"                                                  \
	"{\n\t\"acls\": [\n\t\t{\"action\": \"accept\", \"src\": [\"*\"], \"dst\": [\"*:*\"]},\n\t],\n}\n"

/* Instead of a tag: only while the default is in force. */
#define POLICY_ETAG_DEFAULT "ts-default"

enum { POLICY_ETAG_LEN = 64 };
/* Lower-case hex of SHA-256; "" or NULL is the default text. */
void policy_etag(const char *text, char out[POLICY_ETAG_LEN + 1]);
/* Does the condition hold for this text? "" always. */
bool policy_etag_matches(const char *text, const char *condition);
