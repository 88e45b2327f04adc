#include "server/api/dns_ask.h"

#include <ctype.h>
#include <errno.h>
#include <poll.h>
#include <sodium.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/cleanup.h"
#include "common/base/clock.h"

enum { HEAD_LEN = 12, LABEL_MAX = 63, PACKET_MAX = 1232, RCODE_NONE = 0, RCODE_NO_NAME = 3 };

bool dns_server_addr(const char *server, struct addrport *out)
{
	if (addrport_parse(bytes_str(server), out) == OK)
		return out->port != 0;
	*out = (struct addrport){ .port = 53 };
	return addr_parse(bytes_str(server), &out->addr) == OK;
}

/* ---- packets ---- */

static void put_16(uint8_t *at, unsigned v)
{
	at[0] = (uint8_t)(v >> 8);
	at[1] = (uint8_t)v;
}

static unsigned get_16(const uint8_t *at)
{
	return (unsigned)at[0] << 8 | at[1];
}

size_t dns_write_question(const struct dns_question *q, uint16_t id, uint8_t *out, size_t cap)
{
	size_t n = HEAD_LEN, len = strlen(q->name);

	if (cap < HEAD_LEN + len + 2 + 4)
		return 0;
	memset(out, 0, HEAD_LEN);
	put_16(out, id);
	out[2] = 1; /* recursion is wanted */
	out[5] = 1; /* one question */
	for (const char *at = q->name; *at;) {
		size_t label = strcspn(at, ".");
		if (!label || label > LABEL_MAX)
			return 0;
		out[n++] = (uint8_t)label;
		memcpy(out + n, at, label);
		n += label;
		at += label + (at[label] == '.');
	}
	out[n++] = 0;
	put_16(out + n, q->type);
	put_16(out + n + 2, 1); /* IN */
	return n + 4;
}

/* Steps over a name; 0: it is none. What a pointer points to does not matter here. */
static size_t skip_name(struct bytes p, size_t at)
{
	while (at < p.n) {
		unsigned len = p.p[at];
		if (len == 0)
			return at + 1;
		if (len >= 0xc0)
			return at + 2 <= p.n ? at + 2 : 0;
		if (len > LABEL_MAX)
			return 0;
		at += 1 + len;
	}
	return 0;
}

static bool same_question(const uint8_t *a, const uint8_t *b, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (tolower(a[i]) != tolower(b[i]))
			return false;
	return true;
}

static void take_records(struct dns_question *q, struct bytes p, size_t at, unsigned n)
{
	for (; n && q->n_answers < DNS_ANSWERS_MAX; n--) {
		at = skip_name(p, at);
		if (!at || at + 10 > p.n)
			return;
		unsigned type = get_16(p.p + at), len = get_16(p.p + at + 8);
		at += 10;
		if (at + len > p.n)
			return;
		if (type == q->type && ((type == DNS_TYPE_A && len == 4) || (type == DNS_TYPE_AAAA && len == 16))) {
			struct addr *a = &q->answer[q->n_answers++];
			*a = (struct addr){ .family = type == DNS_TYPE_A ? 4 : 6 };
			memcpy(a->b, p.p + at, len);
		}
		at += len;
	}
}

bool dns_read_answer(struct dns_question *q, uint16_t id, struct bytes p)
{
	uint8_t asked[HEAD_LEN + 300];
	size_t n = dns_write_question(q, id, asked, sizeof asked);

	if (!n || p.n < n || get_16(p.p) != id || !(p.p[2] & 0x80) || get_16(p.p + 4) != 1 || !same_question(p.p + HEAD_LEN, asked + HEAD_LEN, n - HEAD_LEN))
		return false;
	unsigned rcode = p.p[3] & 0xf;
	q->verdict = rcode == RCODE_NONE ? DNS_ANSWERS : rcode == RCODE_NO_NAME ? DNS_NO_SUCH_NAME : DNS_FAILS;
	q->n_answers = 0;
	if (rcode == RCODE_NONE)
		take_records(q, p, n, get_16(p.p + 6));
	return true;
}

/* ---- the wire ---- */

struct asked {
	int fd;
	uint16_t id;
	int64_t at_us;
};

static int open_to(const struct dns_question *q, struct asked *a)
{
	struct addrport to;
	struct sockaddr_storage sa;
	uint8_t packet[HEAD_LEN + 300];

	randombytes_buf(&a->id, sizeof a->id);
	size_t n = dns_write_question(q, a->id, packet, sizeof packet);
	if (!n || !dns_server_addr(q->server, &to))
		return DNS_UNCHECKED;
	socklen_t len = addrport_to_sockaddr(to, &sa);
	a->fd = socket(sa.ss_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	a->at_us = clock_mono_us();
	/* Connected: the kernel takes nothing from anybody else, and tells when nobody listens. */
	if (a->fd < 0 || connect(a->fd, (struct sockaddr *)&sa, len) != 0 || send(a->fd, packet, n, MSG_NOSIGNAL) != (ssize_t)n)
		return DNS_UNREACHABLE;
	return DNS_SILENT;
}

static bool done_with(struct dns_question *q, const struct asked *a)
{
	uint8_t packet[PACKET_MAX];
	ssize_t n = recv(a->fd, packet, sizeof packet, 0);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	if (n < 0) {
		q->verdict = DNS_UNREACHABLE;
		return true;
	}
	if (!dns_read_answer(q, a->id, bytes_of(packet, (size_t)n)))
		return false;
	q->ms = (double)(clock_mono_us() - a->at_us) / 1000;
	return true;
}

void dns_ask(struct dns_question *q, size_t n, int timeout_ms)
{
	struct asked a[DNS_ASK_MAX];
	struct pollfd p[DNS_ASK_MAX];
	int64_t end = clock_mono_ms() + timeout_ms;
	size_t open = 0;

	n = MIN_OF(n, (size_t)DNS_ASK_MAX);
	for (size_t i = 0; i < n; i++) {
		a[i].fd = -1;
		q[i].verdict = (enum dns_verdict)open_to(&q[i], &a[i]);
		p[i] = (struct pollfd){ .fd = q[i].verdict == DNS_SILENT ? a[i].fd : -1, .events = POLLIN };
		open += q[i].verdict == DNS_SILENT;
	}
	while (open) {
		int64_t left = end - clock_mono_ms();
		if (left <= 0 || (poll(p, n, (int)left) < 0 && errno != EINTR))
			break;
		for (size_t i = 0; i < n; i++)
			if (p[i].fd >= 0 && p[i].revents && done_with(&q[i], &a[i])) {
				p[i].fd = -1;
				open--;
			}
	}
	for (size_t i = 0; i < n; i++)
		if (a[i].fd >= 0)
			close(a[i].fd);
}
