#include "server/core/state.h"

#include "common/base/cleanup.h"
#include "common/base/log.h"

/* Whether a node takes part at all. One that does not is in nobody's map and has no peers in its own, is not in the policy's
 * view (so that no filter names its addresses), carries no routes, and may not use our relay. Its stream stays open: it is
 * how the client learns why, and how it is back at once. */

static enum node_shut shut_of(struct core *c, const struct node *n)
{
	const struct user *u = user_by_id(c, n->row.user_id);

	if (u && u->row.suspended_ms)
		return SHUT_SUSPENDED;
	if (u && user_waits(u))
		return SHUT_USER_WAITS;
	if (n->t->set.devices_approval && !n->row.authorized)
		return SHUT_UNAPPROVED;
	return SHUT_NO;
}

static const struct map_message *message_of(enum node_shut shut)
{
	static const struct map_message suspended = {
		.id = "user-suspended", .title = "Account suspended",
		.text = "An administrator suspended this account. The device has no access until the account is restored.",
		.severity = "high", .impacts = true,
	};

	static const struct map_message unapproved = {
		.id = "needs-approval", .title = "Needs approval",
		.text = "This device waits for an administrator's approval. It has no access until then.",
		.severity = "high", .impacts = true,
	};

	static const struct map_message user_waits_too = {
		.id = "user-needs-approval", .title = "Account needs approval",
		.text = "This account waits for an administrator's approval. The device has no access until then.",
		.severity = "high", .impacts = true,
	};

	switch (shut) {
	case SHUT_NO:
		return NULL;
	case SHUT_SUSPENDED:
		return &suspended;
	case SHUT_USER_WAITS:
		return &user_waits_too;
	case SHUT_UNAPPROVED:
		return &unapproved;
	}
	return NULL;
}

static const struct map_message *message_for(const struct node *n)
{
	static const struct map_message too_much = {
		.id = "report-refused", .title = "Report refused",
		.text = "This device reports more of itself than the server takes (512 routes, 64 tags, 64 KiB in all). What it reported last before that holds.",
		.severity = "medium",
	};

	if (n->shut != SHUT_NO)
		return message_of(n->shut);
	return n->hostinfo_left ? &too_much : n->routes_text ? &n->routes_message : NULL;
}

void node_hostinfo_fault(struct core *c, struct node *n, const char *fault)
{
	bool left = *fault != 0;

	if (left)
		node_refused(c, n, fault);
	if (left == n->hostinfo_left)
		return;
	if (left)
		log_warn("a node reports too much of itself", "node=%" PRId64 " cause=%s", n->row.id, log_qs(fault).s);
	n->hostinfo_left = left;
	n->m.message = message_for(n);
	node_self_dirty(n);
}

void gate_show(struct node *n)
{
	n->m.announced = n->ready && n->shut == SHUT_NO;
}

void gate_message(struct node *n)
{
	n->m.message = message_for(n);
}

void gate_first(struct core *c, struct node *n)
{
	n->shut = shut_of(c, n);
	n->m.unauthorized = n->shut != SHUT_NO;
	n->m.message = message_for(n);
	gate_show(n);
}

err gate_update(struct core *c, struct node *n)
{
	bool was = n->shut == SHUT_NO, is;

	node_info_stale(n);
	if (shut_of(c, n) == n->shut)
		return OK;
	gate_first(c, n);
	is = n->shut == SHUT_NO;
	node_self_dirty(n);
	if (was == is)
		return OK;
	if (!c->replaying && is) /* what an undo takes back was never released */
		fx_admit(c, &n->row.key);
	if (!c->replaying && !is)
		fx_revoke(c, &n->row.key);
	node_dirty(n, DIRTY_WHOLE | DIRTY_SEEN);
	n->t->reveal = true;
	struct session *sessions[] = { n->session, n->reader };
	for (size_t i = 0; i < ARRAY_LEN(sessions); i++) {
		if (sessions[i] && is)
			session_want_full(sessions[i]); /* both sides learn of each other in the same round */
		else if (sessions[i])
			sessions[i]->compare = true; /* it loses all peers */
	}
	TRY(node_classify(c, n));
	return routes_update(c, n);
}
