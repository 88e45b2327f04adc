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

/* What would change if the policy of is stood where the one of was stands; both hold the same nodes, listed in the same order. Members
 * "changes" (connections gained and lost: ordered pairs of nodes, of which a range or the internet counts as one; by who, what, ports
 * and line) and "machines" (that get other rules). counts may be NULL. */
struct policy_effect {
	uint64_t gained, lost, machines; /* machines: that are sent something else */
	bool exact; /* else it was too much to reckon */
};
struct jsonw;
MUST_USE err policy_changes_write(const struct policy_world *was, const struct policy_world *is, struct jsonw *out,
		struct policy_effect *counts);
/* The same as an object. */
MUST_USE err policy_preview(const struct policy_world *was, const struct policy_world *is, struct buf *out);

/* Who may reach what at once: rows of machines with equal rights, columns of machines that are meant alike, own machines, ranges and the
 * internet; cells with ports and rules. was == is: one policy; else cells that differ say what was before. ssh: who may log in as whom.
 * Members rows, columns, cells, own, truncated. */
MUST_USE err policy_matrix(const struct policy_world *was, const struct policy_world *is, bool ssh, struct jsonw *out);
/* The rules that lead from (or to) a party, in the policy's order: members direction, of, edges. of: a row's or column's key in the matrix
 * of the same two, or what may stand in a question. ERR_INVALID: why. */
MUST_USE err policy_graph(const struct policy_world *was, const struct policy_world *is, const char *of, bool to, bool ssh, struct jsonw *out,
		char *why, size_t why_cap);
/* Who may log in as whom, from src to dst, by Tailscale SSH. user "": as anybody. Member pairs. */
MUST_USE err policy_ssh_question(const struct policy_world *w, const char *src, const char *dst, const char *user, struct jsonw *out,
		char *why, size_t why_cap);

enum { MATCHES_WORK_MAX = 20000000 }; /* classes of sources x destinations x rules */
/* Member matches: the rules that have whom (a user, a node …) among their sources, or, is_dst, that let somebody in there
 * ("100.64.0.1:22"), as they were written: [{users, ports, lineNumber, via?, postures?}]. ERR_INVALID: why. */
MUST_USE err policy_matches(const struct policy_world *w, bool is_dst, const char *whom, struct jsonw *out, char *why, size_t why_cap);

/* The text laid out, comments kept: tabs, a line for each part of what is long or was broken, values under one another. Laying it out
 * again changes nothing, and it means the same. ERR_INVALID: faults says why; what may stand in a policy plays no part. */
MUST_USE err policy_format(struct bytes text, struct buf *out, struct policy_faults *faults);

/* Two texts as a unified diff, without head. */
MUST_USE err policy_diff(struct bytes a, struct bytes b, struct buf *out);
