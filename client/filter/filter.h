/* filter: which packets from the tunnel may come in. Rules are what control sends (client/netmap.h, nm_rule); replies to
 * what we sent pass. The receiver alone enforces them: without this, every peer reaches every port.
 *
 * One thread owns a filter. No allocation a packet. Both ways in this order (protocol/wireguard.md 11.3, control.md 6.8):
 * not IP, or its lengths disagree: drop; destination multicast or link-local (but 169.254.169.254): drop; inbound also:
 * destination not ours: drop; then by protocol. Later fragments pass: without the first one they mean nothing. */
#pragma once

#include "common/net/addr.h"

struct filter;
struct nm_rule;

enum {
	FILTER_FLOWS = 512,	   /* UDP and SCTP flows of ours whose replies pass; old ones go */
	FILTER_ITEMS_MAX = 1 << 19, /* sources and destinations of all rules */
	FILTER_SELF_MAX = 4096,
};

enum filter_verdict {
	FILTER_ACCEPT,
	FILTER_DROP,
	FILTER_REJECT, /* a refused IPv4 TCP SYN: drop it and answer with filter_write_reject */
};

MUST_USE err filter_new(struct filter **out); /* no rules: nothing new comes in */
void filter_free(struct filter *f);

/* Replaces all rules; they are copied. ERR_TOO_BIG, ERR_NOMEM: those before stay. */
MUST_USE err filter_set_rules(struct filter *f, const struct nm_rule *const *rules, size_t n);
/* Our own addresses and the routes that we serve. */
MUST_USE err filter_set_self(struct filter *f, const struct prefix *p, size_t n);
/* We are an exit node: destinations on the internet are ours as well, private and tailnet ones are not. */
void filter_set_exit(struct filter *f, bool on);
/* Shields up: no rule applies, only replies pass. */
void filter_set_shields_up(struct filter *f, bool on);
/* Asked for "cap:" sources: does the node that has this address hold the capability? NULL: none does. */
void filter_set_caps(struct filter *f, bool (*has_cap)(void *ctx, struct addr src, const char *cap), void *ctx);

enum filter_verdict filter_in(struct filter *f, struct bytes packet);
/* From a peer that may only answer (IsJailed): as with shields up. */
enum filter_verdict filter_in_jailed(struct filter *f, struct bytes packet);
/* What the host sends into the tunnel: remembered so that the reply passes. Only ACCEPT or DROP. */
enum filter_verdict filter_out(struct filter *f, struct bytes packet);

/* The TSMP packet that tells the sender of a refused packet so (wireguard.md 11.2): from its destination, to its source.
 * Its length; 0: not a packet that is answered. */
enum { FILTER_REJECT_MAX = 40 };
size_t filter_write_reject(const struct filter *f, struct bytes packet, uint8_t out[FILTER_REJECT_MAX]);

struct filter_stats {
	uint64_t accepted, dropped_rule, dropped_not_ours, dropped_malformed, dropped_scope, flows_evicted;
};
const struct filter_stats *filter_stats(const struct filter *f);

/* `debug filter`: one line a rule, to fn. */
void filter_dump(const struct filter *f, void (*fn)(void *ctx, const char *line), void *ctx);
