/* filter: which packets from the tunnel may come in. Rules are what control sends (FilterRule); replies to what we sent
 * pass. The receiver alone enforces them: without this, every peer reaches every port.
 *
 * One thread owns a filter. No allocation a packet. Both ways in this order (protocol/wireguard.md 11.3, control.md 6.8):
 * not IP or too short: drop; destination multicast or link-local (but 169.254.169.254): drop; inbound also: destination not
 * ours: drop; then by protocol. Later fragments pass: without the first one they mean nothing. */
#pragma once

#include "common/net/addr.h"

struct filter;

enum {
	FILTER_FLOWS = 512,	     /* UDP and SCTP flows of ours whose replies pass; the oldest goes */
	FILTER_CHUNKS_MAX = 64,
	FILTER_NETS_MAX = 400000,    /* sources and destinations of all rules */
	FILTER_NAME_MAX = 256,
};

enum filter_verdict {
	FILTER_ACCEPT,
	FILTER_DROP,
	FILTER_REJECT, /* a refused IPv4 TCP SYN: drop it and answer with filter_write_reject */
};

/* A rule as control writes it; all views are borrowed for the call. */
struct filter_dst {
	struct bytes ip; /* "*", IP, CIDR, "a-b" */
	uint16_t first, last;
};
struct filter_rule {
	const struct bytes *srcs; /* the same, and "cap:NAME" */
	size_t n_srcs;
	const struct filter_dst *dsts;
	size_t n_dsts;
	const int64_t *protos; /* values outside 0…255 are ignored; if that leaves none, the rule matches nothing */
	size_t n_protos;       /* 0: TCP, UDP, ICMP, ICMPv6 */
};

MUST_USE err filter_new(struct filter **out); /* no rules: nothing new comes in */
void filter_free(struct filter *f);

/* Sets or replaces the named chunk (PacketFilter is the chunk "base"). Entries that do not parse are skipped (*skipped
 * counts them; NULL is fine). ERR_TOO_BIG, ERR_NOMEM: the chunk is as it was. */
MUST_USE err filter_set_chunk(
	struct filter *f, struct bytes name, const struct filter_rule *rules, size_t n, size_t *skipped);
void filter_del_chunk(struct filter *f, struct bytes name);
void filter_clear(struct filter *f); /* PacketFilters {"*": null} */
/* Our own addresses and the routes that we serve. */
MUST_USE err filter_set_self(struct filter *f, const struct prefix *p, size_t n);
/* Shields up: no rule applies, only replies pass. */
void filter_set_shields_up(struct filter *f, bool on);
/* Asked for "cap:" sources: does the node that has this address hold the capability? NULL: none does. */
void filter_set_caps(struct filter *f, bool (*has_cap)(void *ctx, struct addr src, struct bytes cap), void *ctx);

enum filter_verdict filter_in(struct filter *f, struct bytes packet);
/* What the host sends into the tunnel: remembered so that the reply passes. Only ACCEPT or DROP. */
enum filter_verdict filter_out(struct filter *f, struct bytes packet);

/* The TSMP packet that tells the sender of a refused packet so: IP protocol 99, addresses swapped. 0: not such a packet. */
enum { FILTER_REJECT_MAX = 40 + 8 };
size_t filter_write_reject(const struct filter *f, struct bytes packet, uint8_t out[FILTER_REJECT_MAX]);

struct filter_stats {
	uint64_t accepted, dropped_rule, dropped_not_ours, dropped_malformed, flows_evicted;
};
const struct filter_stats *filter_stats(const struct filter *f);

/* `debug filter`: one line a rule, to fn. */
void filter_dump(const struct filter *f, void (*fn)(void *ctx, const char *line), void *ctx);
