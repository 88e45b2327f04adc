#include "server/api/webhook_send.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "common/base/cleanup.h"

static curl_socket_t open_socket(void *ctx, curlsocktype purpose, struct curl_sockaddr *at)
{
	const struct sending *s = ctx;
	struct addrport to = addrport_from_sockaddr(&at->addr);

	(void)purpose;
	/* Here, at the address that is really dialled: a name may change its mind between a look-up and the next. */
	if (!webhook_may_connect(to.addr, s->private_too))
		return CURL_SOCKET_BAD;
	return socket(at->family, at->socktype | SOCK_CLOEXEC, at->protocol);
}

static size_t swallow(char *p, size_t size, size_t n, void *ctx)
{
	size_t *left = ctx;

	(void)p;
	if (size * n > *left)
		return 0;
	*left -= size * n;
	return size * n;
}

bool sending_begin(struct sending *s, const char *url, const char *const *headers, size_t n_headers, struct bytes body, bool private_too)
{
	CURL *c = curl_easy_init();

	*s = (struct sending){ .c = c, .left = WEBHOOK_ANSWER_MAX, .private_too = private_too };
	snprintf(s->why, sizeof s->why, "out of memory");
	if (!c)
		return false;
	for (size_t i = 0; i < n_headers + 2; i++) {
		const char *line = i < n_headers ? headers[i] : i == n_headers ? "Content-Type: application/json" : "Expect:";
		struct curl_slist *more = curl_slist_append(s->headers, line);
		if (!more)
			return false;
		s->headers = more;
	}
	s->why[0] = 0;
	curl_easy_setopt(c, CURLOPT_URL, url);
	curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(c, CURLOPT_PROXY, ""); /* what the environment says would dial for us */
	curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT, (long)WEBHOOK_CONNECT_S);
	curl_easy_setopt(c, CURLOPT_TIMEOUT, (long)WEBHOOK_TOTAL_S);
	/* A look-up that hangs is left to its thread: waiting for it would hold all others. */
	curl_easy_setopt(c, CURLOPT_QUICK_EXIT, 1L);
	curl_easy_setopt(c, CURLOPT_OPENSOCKETFUNCTION, open_socket);
	curl_easy_setopt(c, CURLOPT_OPENSOCKETDATA, s);
	curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, swallow);
	curl_easy_setopt(c, CURLOPT_WRITEDATA, &s->left);
	curl_easy_setopt(c, CURLOPT_USERAGENT, "fairlead");
	curl_easy_setopt(c, CURLOPT_HTTPHEADER, s->headers);
	curl_easy_setopt(c, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body.n);
	curl_easy_setopt(c, CURLOPT_POSTFIELDS, (const char *)body.p);
	curl_easy_setopt(c, CURLOPT_ERRORBUFFER, s->why);
	return true;
}

bool sending_end(struct sending *s, CURLcode rc)
{
	long status = 0;

	if (s->c)
		curl_easy_getinfo(s->c, CURLINFO_RESPONSE_CODE, &status);
	curl_slist_free_all(s->headers);
	curl_easy_cleanup(s->c);
	s->c = NULL;
	s->headers = NULL;
	if (status >= 200 && status < 300) /* what came behind the head, or did not, is nothing to us */
		return true;
	if (rc == CURLE_OK)
		snprintf(s->why, sizeof s->why, "status %ld", status);
	else if (!s->why[0])
		snprintf(s->why, sizeof s->why, "%s", curl_easy_strerror(rc));
	return false;
}

bool webhook_may_connect(struct addr a, bool private_too)
{
	a = addr_unmap(a);
	if (!a.family || addr_is_multicast(a) || addr_is_unspecified(a))
		return false;
	return private_too || addr_is_public(a);
}
