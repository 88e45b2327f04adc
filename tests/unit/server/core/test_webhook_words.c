/* A subscription is to something that is sent; what never is, is told apart. */
#include "server/core/webhook_words.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/api/webhooks.h"
#include "server/store/rows.h"
#include "tests/lib/test.h"

/* One record for each event. */
static const struct {
	const char *event, *kind, *action, *after;
} records[] = {
	{ "nodeCreated", "node", "create", "{}" }, { "nodeNeedsApproval", "node", "create", "{\"approved\":false}" },
	{ "nodeApproved", "node", "update", "{\"approved\":true}" }, { "nodeKeyExpiringInOneDay", "node", "expiring", "" },
	{ "nodeKeyExpired", "node", "expired", "" }, { "nodeDeleted", "node", "delete", "" }, { "nodeSigned", "node", "update", "{\"keySigned\":true}" },
	{ "policyUpdate", "policy", "update", "{}" }, { "userCreated", "user", "create", "{}" },
	{ "userSuspended", "user", "update", "{\"suspended\":\"2027-01-01T00:00:00Z\"}" }, { "userRestored", "user", "update", "{\"suspended\":null}" },
	{ "userNeedsApproval", "user", "create", "{\"approved\":false}" }, { "userApproved", "user", "update", "{\"approved\":true}" },
	{ "userDeleted", "user", "delete", "" }, { "userRoleUpdated", "user", "update", "{\"role\":\"admin\"}" },
};

static char *text(const char *s)
{
	return (char *)(uintptr_t)s;
}

static void what_can_be_subscribed_to_is_sent(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof records / sizeof records[0]; i++) {
		struct webhook_row hook = { .id = 1, .url = text("https://a.example"), .provider = text(""), .secret = text("tskey-webhook-x"), .subscriptions = text(records[i].event) };
		struct audit_row a = { .id = 2, .at_ms = 3, .kind = text(records[i].kind), .action = text(records[i].action), .after = text(records[i].after),
			.before = text(""), .actor = text("cli:root"), .target = text("x"), .target_id = text("7") };
		struct buf body = buf_make(1 << 16);
		assert_true(webhook_is_subscription(records[i].event));
		assert_false(webhook_is_unsent(records[i].event));
		assert_true(webhook_body(&hook, &a, 1, "https://vpn.example", &body));
		buf_append_u8(&body, 0);
		assert_non_null(strstr((const char *)buf_view(&body).p, records[i].event));
		buf_done(&body);
		hook.subscriptions = text("categoryTailnetManagement");
		body = buf_make(1 << 16);
		assert_true(webhook_body(&hook, &a, 1, "https://vpn.example", &body));
		buf_done(&body);
	}
}

static void what_is_never_sent_is_told_apart(void **state)
{
	(void)state;
	static const char *const words[] = { "nodeNeedsSignature", "subnetIPForwardingNotEnabled", "exitNodeIPForwardingNotEnabled",
		"categoryDeviceMisconfigurations" };
	for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
		assert_true(webhook_is_unsent(words[i]));
		assert_false(webhook_is_subscription(words[i]));
	}
	assert_false(webhook_is_unsent("nonsense"));
	assert_false(webhook_is_subscription("nonsense"));
}

static void only_the_host_of_a_url_is_shown(void **state)
{
	static const struct {
		const char *url, *shown;
	} t[] = { { "https://hooks.slack.com/services/T0/B0/x", "https://hooks.slack.com/…" }, { "http://10.0.0.1:8080/?token=x", "http://10.0.0.1:8080/…" },
		{ "https://example.com", "https://example.com/" }, { "https://example.com/", "https://example.com/" },
		{ "https://example.com?key=x", "https://example.com/…" }, { "nonsense/secret", "nonsense/…" }, { "", "/" } };
	char out[64], tiny[4];

	(void)state;
	for (size_t i = 0; i < sizeof t / sizeof t[0]; i++) {
		webhook_url_masked(t[i].url, out, sizeof out);
		assert_string_equal(out, t[i].shown);
		webhook_url_masked(t[i].url, tiny, sizeof tiny);
		assert_true(strlen(tiny) < sizeof tiny);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_can_be_subscribed_to_is_sent),
		cmocka_unit_test(what_is_never_sent_is_told_apart),
		cmocka_unit_test(only_the_host_of_a_url_is_shown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
