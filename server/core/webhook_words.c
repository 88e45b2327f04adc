#include "server/core/webhook_words.h"

#include <stdio.h>
#include <string.h>

#include "common/base/bytes.h"
#include "common/base/cleanup.h"

/* What webhook_body.c makes of audit records. */
static const char *const managed[] = { "nodeCreated", "nodeNeedsApproval", "nodeApproved", "nodeKeyExpiringInOneDay", "nodeKeyExpired",
	"nodeDeleted", "nodeSigned", "policyUpdate", "userCreated", "userSuspended", "userRestored", "userDeleted", "userRoleUpdated", "userNeedsApproval",
	"userApproved" };
/* They happen, and are not noticed here: who subscribed would wait for ever. */
static const char *const unsent[] = { "nodeNeedsSignature", "subnetIPForwardingNotEnabled", "exitNodeIPForwardingNotEnabled",
	"categoryDeviceMisconfigurations" };
static const char *const always[] = { "test", "webhookUpdated", "webhookDeleted" };

#define MANAGEMENT "categoryTailnetManagement"

static bool in(const char *word, const char *const *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(word, list[i]) == 0)
			return true;
	return false;
}

bool webhook_is_subscription(const char *word)
{
	return in(word, managed, ARRAY_LEN(managed)) || strcmp(word, MANAGEMENT) == 0;
}

bool webhook_is_unsent(const char *word)
{
	return in(word, unsent, ARRAY_LEN(unsent));
}

static bool has_word(const char *words, const char *word)
{
	struct bytes rest = bytes_str(words);

	while (rest.n)
		if (bytes_eq_str(bytes_cut(rest, ' ', &rest), word))
			return true;
	return false;
}

bool webhook_wants(const char *subscriptions, const char *event)
{
	if (in(event, always, ARRAY_LEN(always)) || has_word(subscriptions, event))
		return true;
	return in(event, managed, ARRAY_LEN(managed)) && has_word(subscriptions, MANAGEMENT);
}

bool webhook_is_provider(const char *word)
{
	static const char *const providers[] = { "", "slack", "mattermost", "googlechat", "discord" };

	return in(word, providers, ARRAY_LEN(providers));
}

void webhook_url_masked(const char *url, char *out, size_t cap)
{
	const char *host = strstr(url, "://");
	size_t n = host ? 3 + (size_t)(host - url) : 0;

	n += strcspn(url + n, "/?");
	bool more = url[n] && strcmp(url + n, "/") != 0;
	snprintf(out, cap, "%.*s%s", (int)MIN_OF(n, (size_t)1000), url, more ? "/…" : "/");
}
