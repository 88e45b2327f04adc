/* webhook_send: one POST to an address that somebody gave us, driven by a curl multi handle beside others. Addresses of this machine
 * and of private networks are refused when they are dialled, whatever a name says, unless private_too; redirects and proxies of the
 * environment are not followed; the answer's body is thrown away. */
#pragma once

#include <curl/curl.h>

#include "common/base/bytes.h"
#include "common/net/addr.h"

enum {
	WEBHOOK_CONNECT_S = 5,
	WEBHOOK_TOTAL_S = 15,
	WEBHOOK_ANSWER_MAX = 64 << 10, /* of the body */
};

struct sending {
	CURL *c;
	struct curl_slist *headers;
	size_t left; /* of the answer that is read */
	bool private_too;
	char why[CURL_ERROR_SIZE]; /* it failed */
};

/* body is borrowed until the end, and so is *s, which must stay where it is. headers: whole lines, NULL for none.
 * false: out of memory, s->why says so. */
bool sending_begin(struct sending *s, const char *url, const char *const *headers, size_t n_headers, struct bytes body, bool private_too);
/* After the multi handle let go of it. true: it was taken (2xx); else s->why. */
bool sending_end(struct sending *s, CURLcode rc);

/* May it be connected to? */
bool webhook_may_connect(struct addr a, bool private_too);
