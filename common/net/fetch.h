/* fetch: gets one small thing by HTTP or HTTPS and waits for it: for worker threads (loop_work), never for a loop.
 *
 * The server's certificate is checked against the system's roots. Redirects are followed FETCH_REDIRECTS times, and from https to
 * nothing less. The request is HTTP/1.0, so that the answer is one piece. */
#pragma once

#include "common/base/buf.h"

enum { FETCH_REDIRECTS = 3, FETCH_URL_MAX = 1000, FETCH_HEAD_MAX = 16 * 1024 };

/* out, made by the caller with its maximum, gets the body of a 200. ca_file NULL: the system's roots. why: one sentence.
 * ERR_INVALID: no such URL; ERR_TOO_BIG: the body is larger than out takes; ERR_TIMEOUT; ERR_SYS: the rest. */
MUST_USE err fetch_url(const char *url, const char *ca_file, int64_t timeout_ms, struct buf *out, char *why, size_t why_cap);
