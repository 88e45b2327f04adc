#include "server/core/webhook_words.h"

#include <string.h>

#include "common/base/bytes.h"
#include "common/base/cleanup.h"

static const char *const managed[] = { "nodeCreated", "nodeNeedsApproval", "nodeApproved", "nodeKeyExpiringInOneDay", "nodeKeyExpired",
	"nodeDeleted", "nodeSigned", "nodeNeedsSignature", "policyUpdate", "userCreated", "userNeedsApproval", "userSuspended", "userRestored",
	"userDeleted", "userApproved", "userRoleUpdated" };
static const char *const misconfigured[] = { "subnetIPForwardingNotEnabled", "exitNodeIPForwardingNotEnabled" };
static const char *const always[] = { "test", "webhookUpdated", "webhookDeleted" };

#define MANAGEMENT "categoryTailnetManagement"
#define MISCONFIGURATION "categoryDeviceMisconfigurations"

static bool in(const char *word, const char *const *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(word, list[i]) == 0)
			return true;
	return false;
}

bool webhook_is_subscription(const char *word)
{
	return in(word, managed, ARRAY_LEN(managed)) || in(word, misconfigured, ARRAY_LEN(misconfigured)) ||
		strcmp(word, MANAGEMENT) == 0 || strcmp(word, MISCONFIGURATION) == 0;
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
	if (in(event, managed, ARRAY_LEN(managed)))
		return has_word(subscriptions, MANAGEMENT);
	return in(event, misconfigured, ARRAY_LEN(misconfigured)) && has_word(subscriptions, MISCONFIGURATION);
}

bool webhook_is_provider(const char *word)
{
	static const char *const providers[] = { "", "slack", "mattermost", "googlechat", "discord" };

	return in(word, providers, ARRAY_LEN(providers));
}
