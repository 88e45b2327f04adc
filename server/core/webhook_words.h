/* What a webhook can subscribe to, in Tailscale's words. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

enum {
	WEBHOOKS_MAX = 100,
	FAREWELLS_MAX = 20,	      /* deleted ones that are still to be told so; further ones go without */
	FAREWELL_MS = 10 * 60 * 1000, /* then they go, told or not */
};

/* An event's name, or "categoryTailnetManagement". */
bool webhook_is_subscription(const char *word);
/* Tailscale has it, and it is not noticed here. */
bool webhook_is_unsent(const char *word);
/* Is the event wanted by who subscribed to these words (spaces between)? Those that nobody need subscribe to always are. */
bool webhook_wants(const char *subscriptions, const char *event);
/* Only scheme and host, where more follows: the rest of such a URL often is the secret that lets one write there. */
void webhook_url_masked(const char *url, char *out, size_t cap);
bool webhook_is_provider(const char *word); /* "", slack, mattermost, googlechat, discord */
