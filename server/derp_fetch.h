/* derp_fetch: DERP maps at URLs (derp.urls): fetched by a worker at the start, after a reload and every derp.update_frequency, bounded
 * in size and time. What a URL gave last stays until it gives something usable again. */
#pragma once

#include "common/net/loop.h"
#include "server/config.h"

struct derp_fetch;

enum { DERP_URLS_MAX = 16, DERP_FETCH_MS = 10000 };

struct derp_texts { /* the newest usable answer of each URL */
	size_t n;
	struct derp_text {
		char *url, *text; /* owned */
	} item[DERP_URLS_MAX];
};
const char *derp_text_of(const struct derp_texts *t, const char *url); /* NULL: nothing yet */

/* changed: on the loop's thread, when an answer is another one than before. Own thread, as all of this. */
MUST_USE err derp_fetch_new(struct loop *l, void (*changed)(void *ctx), void *ctx, struct derp_fetch **out);
void derp_fetch_free(struct derp_fetch *f); /* before the loop; a fetch under way ends by itself */
/* The URLs and the times of c from now on; fetches at once. wait: comes back when that is done, for a start without any relay. */
void derp_fetch_from(struct derp_fetch *f, const struct config *c, bool wait);
const struct derp_texts *derp_fetch_texts(const struct derp_fetch *f);
