#include "client/route/netlink.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

enum { REPLY_MAX = 64 << 10, RECEIVE_BUFFER = 1 << 20 };

err netlink_open(struct netlink *nl, unsigned groups)
{
	struct sockaddr_nl sa = { .nl_family = AF_NETLINK, .nl_groups = groups };

	*nl = (struct netlink){ .fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | (groups ? SOCK_NONBLOCK : 0), NETLINK_ROUTE) };
	if (nl->fd < 0)
		return ERR_SYS;
	const int room = RECEIVE_BUFFER; /* wished, not needed */
	if (setsockopt(nl->fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room) != 0)
		setsockopt(nl->fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
	if (bind(nl->fd, (struct sockaddr *)&sa, sizeof sa) == 0)
		return OK;
	netlink_close(nl);
	return ERR_SYS;
}

void netlink_close(struct netlink *nl)
{
	if (nl->fd >= 0)
		close(nl->fd);
	nl->fd = -1;
}

/* ---- requests ------------------------------------------------------------------------------------------------- */

static uint8_t *room(struct netlink_request *r, size_t n)
{
	size_t used = r->h.nlmsg_len - sizeof r->h, all = NLMSG_ALIGN(n);

	if (r->bad || all > sizeof r->body - used) {
		r->bad = true;
		return NULL;
	}
	r->h.nlmsg_len += (uint32_t)all;
	memset(r->body + used, 0, all);
	return r->body + used;
}

void netlink_begin(struct netlink_request *r, uint16_t type, uint16_t flags, const void *fixed, size_t n)
{
	*r = (struct netlink_request){ .h = { .nlmsg_len = sizeof r->h, .nlmsg_type = type, .nlmsg_flags = NLM_F_REQUEST | flags } };
	uint8_t *at = room(r, n);

	if (at)
		memcpy(at, fixed, n);
}

void netlink_put(struct netlink_request *r, uint16_t attribute, const void *p, size_t n)
{
	struct rtattr a = { .rta_len = (uint16_t)(sizeof a + n), .rta_type = attribute };
	uint8_t *at = room(r, sizeof a + n);

	if (!at)
		return;
	memcpy(at, &a, sizeof a);
	memcpy(at + sizeof a, p, n);
}

void netlink_put_u32(struct netlink_request *r, uint16_t attribute, uint32_t v)
{
	netlink_put(r, attribute, &v, sizeof v);
}

/* ---- answers -------------------------------------------------------------------------------------------------- */

/* Calls fn for each object; *verdict is set when the kernel is through. False: more is to be read. */
static bool walk(const struct nlmsghdr *h, size_t n, uint32_t seq, void (*fn)(const struct nlmsghdr *, void *), void *ctx,
	int *verdict)
{
	for (; NLMSG_OK(h, n); h = NLMSG_NEXT(h, n)) {
		struct nlmsgerr e;

		if (h->nlmsg_seq != seq)
			continue;
		if (h->nlmsg_type == NLMSG_DONE) {
			*verdict = 0;
			return true;
		}
		if (h->nlmsg_type == NLMSG_ERROR && h->nlmsg_len >= NLMSG_LENGTH(sizeof e)) {
			memcpy(&e, NLMSG_DATA(h), sizeof e);
			*verdict = -e.error;
			return true;
		}
		if (fn)
			fn(h, ctx);
	}
	return false;
}

static int ask(struct netlink *nl, struct netlink_request *r, void (*fn)(const struct nlmsghdr *, void *), void *ctx)
{
	union {
		struct nlmsghdr align;
		uint8_t b[REPLY_MAX];
	} reply;
	int verdict = 0;

	if (r->bad)
		return EMSGSIZE;
	r->h.nlmsg_seq = ++nl->seq;
	if (send(nl->fd, r, r->h.nlmsg_len, 0) < 0)
		return errno;
	for (;;) {
		ssize_t n = recv(nl->fd, &reply, sizeof reply, 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno;
		if (walk(&reply.align, (size_t)n, nl->seq, fn, ctx, &verdict))
			return verdict;
	}
}

/* ---- batches -------------------------------------------------------------------------------------------------- */

void netlink_batch_begin(struct netlink_batch *b, struct netlink *nl, bool (*tolerate)(int e, const struct nlmsghdr *sent))
{
	b->nl = nl;
	b->tolerate = tolerate;
	b->failed = 0;
	b->n = 0;
}

/* True: the batch's last message was answered. */
static bool read_verdicts(struct netlink_batch *b, const struct nlmsghdr *h, size_t n, uint32_t last)
{
	bool done = false;

	for (; NLMSG_OK(h, n); h = NLMSG_NEXT(h, n)) {
		struct nlmsgerr e;

		if (h->nlmsg_type != NLMSG_ERROR || h->nlmsg_len < NLMSG_LENGTH(sizeof e))
			continue;
		memcpy(&e, NLMSG_DATA(h), sizeof e);
		const struct nlmsghdr *sent = &((const struct nlmsgerr *)NLMSG_DATA(h))->msg; /* all of it follows an error */
		if (e.error && !b->failed && !b->tolerate(-e.error, sent))
			b->failed = -e.error;
		done |= h->nlmsg_seq == last;
	}
	return done;
}

/* Sends n bytes, and waits for the answer to the last message. 0 or the errno of a system call. */
static int exchange(struct netlink_batch *b, const void *p, size_t n, uint32_t last)
{
	union {
		struct nlmsghdr align;
		uint8_t b[REPLY_MAX];
	} reply;

	if (send(b->nl->fd, p, n, 0) < 0)
		return errno;
	for (;;) {
		ssize_t got = recv(b->nl->fd, &reply, sizeof reply, 0);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return errno;
		if (read_verdicts(b, &reply.align, (size_t)got, last))
			return 0;
	}
}

/* The answers did not fit the socket's buffer, and which ones are lost is not known. */
static int exchange_singly(struct netlink_batch *b)
{
	struct nlmsghdr *h = &b->out.align;
	size_t left = b->n;
	uint8_t stale[64];
	int e = 0;

	/* Nothing more is queued before the buffer was empty once. */
	while (recv(b->nl->fd, stale, sizeof stale, MSG_DONTWAIT) >= 0 || errno == EINTR || errno == ENOBUFS)
		;
	for (; NLMSG_OK(h, left) && !e; h = NLMSG_NEXT(h, left)) {
		h->nlmsg_flags |= NLM_F_ACK;
		e = exchange(b, h, h->nlmsg_len, h->nlmsg_seq);
	}
	return e;
}

static void send_batch(struct netlink_batch *b, uint32_t last)
{
	int e = exchange(b, &b->out, b->n, last);

	if (e == ENOBUFS)
		e = exchange_singly(b);
	if (e && !b->failed)
		b->failed = e;
	b->n = 0;
}

void netlink_batch_add(struct netlink_batch *b, struct netlink_request *r)
{
	size_t n = NLMSG_ALIGN(r->h.nlmsg_len);
	bool last = b->n + 2 * (sizeof *r) > sizeof b->out.b; /* no room for another one */

	if (r->bad || b->failed) {
		b->failed = b->failed ? b->failed : EMSGSIZE;
		return;
	}
	r->h.nlmsg_seq = ++b->nl->seq;
	if (last)
		r->h.nlmsg_flags |= NLM_F_ACK;
	memcpy(b->out.b + b->n, r, n);
	b->n += n;
	if (last)
		send_batch(b, r->h.nlmsg_seq);
}

int netlink_batch_end(struct netlink_batch *b)
{
	/* The last one that waits asks for an answer after all. */
	struct nlmsghdr *h = &b->out.align, *last = NULL;
	size_t left = b->n;

	for (; NLMSG_OK(h, left); h = NLMSG_NEXT(h, left))
		last = h;
	if (last) {
		last->nlmsg_flags |= NLM_F_ACK;
		send_batch(b, last->nlmsg_seq);
	}
	return b->failed;
}

int netlink_talk(struct netlink *nl, struct netlink_request *r)
{
	r->h.nlmsg_flags |= NLM_F_ACK;
	return ask(nl, r, NULL, NULL);
}

int netlink_dump(struct netlink *nl, struct netlink_request *r, void (*fn)(const struct nlmsghdr *, void *), void *ctx)
{
	r->h.nlmsg_flags |= NLM_F_DUMP;
	return ask(nl, r, fn, ctx);
}

int netlink_get(struct netlink *nl, struct netlink_request *r, void (*fn)(const struct nlmsghdr *h, void *ctx), void *ctx)
{
	r->h.nlmsg_flags |= NLM_F_ACK;
	return ask(nl, r, fn, ctx);
}

void netlink_attributes(const struct nlmsghdr *h, size_t fixed, const struct rtattr **at, size_t n)
{
	size_t skip = NLMSG_LENGTH(NLMSG_ALIGN(fixed));

	memset(at, 0, n * sizeof *at);
	if (h->nlmsg_len < skip)
		return;
	size_t rest = h->nlmsg_len - skip;
	const struct rtattr *a = (const void *)((const uint8_t *)h + skip);
	while (rest >= sizeof *a && a->rta_len >= sizeof *a && a->rta_len <= rest) {
		size_t all = RTA_ALIGN(a->rta_len);

		if (a->rta_type < n)
			at[a->rta_type] = a;
		if (all >= rest)
			return;
		rest -= all;
		a = (const void *)((const uint8_t *)a + all);
	}
}

uint32_t netlink_u32(const struct rtattr *a, uint32_t otherwise)
{
	uint32_t v;

	if (!a || a->rta_len < sizeof *a + sizeof v)
		return otherwise;
	memcpy(&v, (const uint8_t *)a + sizeof *a, sizeof v);
	return v;
}
