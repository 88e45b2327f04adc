/* answers: the few requests that the front answers by itself: /key (public, needed before anything else works) and the
 * relay's small ones (derp/http.h). Everything else is libmicrohttpd's. */
#pragma once

#include "common/base/buf.h"
#include "common/http/http1.h"
#include "server/front/front.h"

/* True: out has the whole answer, keep-alive or close as the request asked. */
bool front_answer(const struct front_opts *o, const struct http1_request *r, struct buf *out);
