/* query: questions about a policy, answered as JSON from a view that holds all nodes. Pure, for the worker (server/core/job.h).
 *
 * Who is meant is written as in a policy (tag:web, group:ops, autogroup:member, ann@example.com, an address, a host), or is a
 * node's name. A destination may end in a port and a protocol: "web:443", "[fd7a::1]:53/udp", "10.0.0.0/24:22/tcp". */
#pragma once

#include "common/base/buf.h"
#include "server/policy/policy.h"

struct policy_named { /* a node of the view, with what people call it */
	const char *name;
	const struct policy_node *node;
};

struct policy_world {
	struct policy_view *view;
	const struct policy_named *node; /* by id ascending */
	size_t n;
};

enum { QUERY_TEXT_MAX = 300, QUERY_ANSWER_MAX = 32 << 20 };

/* Does src reach dst? An object: source, destination, allowed (yes, no, some), pairs: for nodes that no rule tells apart one
 * entry with a count; in it the rules that let through, or the hop that fails and the rules that came nearest.
 * ERR_INVALID: the question cannot be read; why says so. A name that nobody has is an answer, not an error. */
MUST_USE err policy_explain(const struct policy_world *w, const char *src, const char *dst, struct buf *out, char *why, size_t why_cap);
/* nodes that reach dst, each with the rules and ports; others: address ranges and the like that rules name as sources. */
MUST_USE err policy_who_can_reach(const struct policy_world *w, const char *dst, struct buf *out, char *why, size_t why_cap);
/* nodes that src reaches; beyond: ranges behind routers, and the internet. */
MUST_USE err policy_what_can_reach(const struct policy_world *w, const char *src, struct buf *out, char *why, size_t why_cap);

/* What would change if the policy of is stood where the one of was stands; both hold the same nodes. An object: connections
 * (pairs of nodes) gained, lost and changed with examples, nodes that get another filter, SSH policy or attributes, and who
 * sees whom. */
MUST_USE err policy_preview(const struct policy_world *was, const struct policy_world *is, struct buf *out);

/* Two texts as a unified diff, without head. */
MUST_USE err policy_diff(struct bytes a, struct bytes b, struct buf *out);
