/* http: the small HTTP answers of a relay, for server/front and for fairlead-derp (protocol/derp.md 2). Pure. */
#pragma once

#include "common/http/http1.h"

/* Answers /derp/probe, /derp/latency-check, /generate_204, /bootstrap-dns and /robots.txt. False: another path, nothing
 * written. The connection closes after it when the request asked so (!r->keep_alive). */
bool derp_http_answer(const struct http1_request *r, struct buf *out);

/* Everything on a relay's plain port: /generate_204 as above, GET and HEAD of the rest are sent to https://host, other
 * methods are refused (protocol/derp.md 2.6). */
void derp_http_answer_plain(const struct http1_request *r, const char *host, struct buf *out);

/* What fairlead-derp says to a path that is none of its own: a short page at /, 404 elsewhere. */
void derp_http_answer_other(const struct http1_request *r, struct buf *out);
