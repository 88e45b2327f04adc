/* netlink: requests to the kernel's rtnetlink and dumps of what it has. Blocking, but the kernel answers at once. */
#pragma once

#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <stddef.h>

#include "common/base/bytes.h"

struct netlink {
	int fd;
	uint32_t seq;
};

/* groups: RTMGRP_… to listen to; 0: none. */
MUST_USE err netlink_open(struct netlink *nl, unsigned groups);
void netlink_close(struct netlink *nl);

enum { NETLINK_REQUEST_MAX = 512 };
/* A request: header, a fixed struct (ifinfomsg, rtmsg, …), attributes. */
struct netlink_request {
	struct nlmsghdr h;
	uint8_t body[NETLINK_REQUEST_MAX];
	bool bad; /* no room */
};
void netlink_begin(struct netlink_request *r, uint16_t type, uint16_t flags, const void *fixed, size_t n);
void netlink_put(struct netlink_request *r, uint16_t attribute, const void *p, size_t n);
void netlink_put_u32(struct netlink_request *r, uint16_t attribute, uint32_t v);

/* Sends it and waits for the verdict: 0 or an errno. */
int netlink_talk(struct netlink *nl, struct netlink_request *r);
/* Asks for all objects and calls fn for each message. 0 or an errno. fn must not use nl. */
int netlink_dump(struct netlink *nl, struct netlink_request *r, void (*fn)(const struct nlmsghdr *h, void *ctx), void *ctx);

/* Asks for one object. 0 or an errno. */
int netlink_get(struct netlink *nl, struct netlink_request *r, void (*fn)(const struct nlmsghdr *h, void *ctx), void *ctx);

/* Many requests, a few system calls: the kernel answers only for those that fail, and for the last. Two packets for each of
 * 20,000 routes take seconds on a busy machine. Where all of a batch fail (routes of a host without IPv6), as many answers
 * must fit the socket's buffer; a batch whose answers did not is sent again, one by one: requests must bear that. */
enum { NETLINK_BATCH_BYTES = 8 << 10 };
struct netlink_batch {
	struct netlink *nl;
	/* Asked for each failure; sent: the request. False: that errno ends the batch. */
	bool (*tolerate)(int e, const struct nlmsghdr *sent);
	int failed; /* the first errno that was not tolerated */
	size_t n;   /* bytes that wait */
	union {
		struct nlmsghdr align;
		uint8_t b[NETLINK_BATCH_BYTES];
	} out;
};
void netlink_batch_begin(struct netlink_batch *b, struct netlink *nl, bool (*tolerate)(int e, const struct nlmsghdr *sent));
void netlink_batch_add(struct netlink_batch *b, struct netlink_request *r);
int netlink_batch_end(struct netlink_batch *b); /* 0, or the first errno */

/* Attributes of a message whose fixed struct is fixed bytes long: at[type] or NULL. */
void netlink_attributes(const struct nlmsghdr *h, size_t fixed, const struct rtattr **at, size_t n);
uint32_t netlink_u32(const struct rtattr *a, uint32_t otherwise);
