/* helper: the server's side of fairlead-oidc (server/oidc_helper/helper.h has the messages): starts it, asks it, starts it again
 * when it ends.
 *
 * An answer comes as a reply to a call, as the core's do: reply->text is the message's JSON (NULL: the helper sent none). ERR_BUSY:
 * the provider, or the helper, cannot be reached now; ERR_DENIED: the provider refuses this person; ERR_AUTH: what it sent is not
 * valid. message is a sentence (it may hold a provider's words). */
#pragma once

#include <jansson.h>

#include "common/net/loop.h"
#include "server/config.h"
#include "server/core/command.h"

struct helper;

enum {
	HELPER_WAITING_MAX = 256,  /* requests that wait for an answer */
	HELPER_ANSWER_WAIT_MS = 40000, /* three HTTP calls and a queue */
	HELPER_RESTART_MS = 1000,
};

/* Loop thread. providers are borrowed as long as the helper. path NULL: fairlead-oidc beside our own program. why: a sentence.
 * Without providers the process is started when somebody asks for the first time. */
MUST_USE err helper_start(struct loop *l, const char *path, const struct config_oidc *providers, size_t n, char *why, size_t why_cap,
		struct helper **out);
/* Any thread. request is taken; its id is set here. The call is delivered exactly once, perhaps before this returns. */
void helper_ask(struct helper *h, json_t *request, struct call *call);
/* Waits for the first provider's first answer. ERR_TIMEOUT, or ERR_BUSY with why. Before the loop runs. */
MUST_USE err helper_wait_ready(struct helper *h, const char *provider, int64_t wait_ms, char *why, size_t why_cap);
/* Loop thread: ends the process, answers what waits, and whatever is asked from now on, with ERR_BUSY. NULL is fine. */
void helper_stop(struct helper *h);
/* Loop thread, after those who ask have stopped. NULL is fine. */
void helper_free(struct helper *h);
