#include "server/core/state.h"

#include <stdlib.h>

#include "common/base/cleanup.h"

static int by_id(const void *a, const void *b)
{
	struct node_info *const *x = a, *const *y = b;

	return ((*x)->row.id > (*y)->row.id) - ((*x)->row.id < (*y)->row.id);
}

static err list_nodes(struct core *c, struct tailnet *t, const struct command *m, struct reply *r)
{
	struct user *u = *m->user ? user_find(t, m->user) : NULL;
	size_t at = 0;

	if (*m->user && !u) {
		reply_fail(r, ERR_NOT_FOUND, "there is no user \"%.64s\"", m->user);
		return r->e;
	}
	r->domain = arena_str(&r->arena, bytes_str(or_empty(t->set.base_domain)));
	r->lock_on = t->map.lock_on;
	TRY(reply_room_nodes(r, m->n_ids ? m->n_ids : u ? u->n_nodes : c->nodes.n));
	if (m->n_ids) {
		for (size_t i = 0; i < m->n_ids; i++) {
			struct node *n = node_by_id(c, m->ids[i]);
			if (n && n->t == t)
				TRY(reply_add_node(c, r, n));
		}
	} else if (u) {
		list_each(it, &u->nodes)
			TRY(reply_add_node(c, r, container_of(it, struct node, of_user)));
	} else {
		for (struct node *n; (n = map_next(&c->nodes, &at));)
			if (n->t == t)
				TRY(reply_add_node(c, r, n));
	}
	if (r->n_nodes)
		qsort(r->nodes, r->n_nodes, sizeof(*r->nodes), by_id);
	return OK;
}

static err one_node(struct core *c, struct reply *r, struct node *n)
{
	TRY(reply_room_nodes(r, 1));
	r->domain = arena_str(&r->arena, bytes_str(or_empty(n->t->set.base_domain)));
	r->lock_on = n->t->map.lock_on;
	return reply_add_node(c, r, n);
}

static err expire(struct core *c, struct node *n, const struct command *m)
{
	TRY(touch_node(c, n));
	if (m->disable && !n->row.expiry_disabled)
		n->row.kept_expires_ms = n->row.expires_ms;
	n->row.expiry_disabled = m->disable;
	if (!m->disable)
		n->row.kept_expires_ms = 0;
	node_set_expires(c, n, m->disable ? 0 : m->at_ms ? m->at_ms : c->now.wall_ms);
	return OK;
}

/* Its owner has just signed in, though not on the device. */
static err renew(struct core *c, struct node *n, const struct signin *s, struct reply *r)
{
	int64_t at = n->t->set.node_expiry_ms > 0 ? c->now.wall_ms + n->t->set.node_expiry_ms : 0;

	if (n->row.expiry_disabled) {
		reply_fail(r, ERR_STATE, "the key of %s does not end", n->row.given_name);
		return r->e;
	}
	if (s->row.node_expires_ms && (!at || s->row.node_expires_ms < at))
		at = s->row.node_expires_ms;
	TRY(touch_node(c, n));
	node_set_expires(c, n, at);
	return OK;
}

/* On again: what it was before counts, or what a login of now would get. */
static err enable_expiry(struct core *c, struct node *n)
{
	if (!n->row.expiry_disabled)
		return OK;
	TRY(touch_node(c, n));
	int64_t at = n->row.kept_expires_ms;
	if (!at && !n->row.n_tags && n->t->set.node_expiry_ms > 0)
		at = c->now.wall_ms + n->t->set.node_expiry_ms;
	n->row.expiry_disabled = false;
	n->row.kept_expires_ms = 0;
	node_set_expires(c, n, at);
	return OK;
}

static err rename_node(struct core *c, struct node *n, const struct command *m, struct reply *r)
{
	char key[GIVEN_NAME_MAX + 1] = { 0 }, base[GIVEN_NAME_MAX + 1], free_name[GIVEN_NAME_MAX + 1];

	if (m->automatic) {
		name_sanitise(or_empty(n->row.hostname), base);
		name_unique(n->t, base, n, n->row.user_id, &n->row.machine, free_name);
		TRY(touch_node(c, n));
		return node_set_name(c, n, free_name, true);
	}

	if (!name_is_label(m->new_name)) {
		reply_fail(r, ERR_INVALID, "\"%.80s\" cannot be a node's name: 1 to %d of a-z, 0-9 and -, not - at the ends", m->new_name,
				GIVEN_NAME_MAX);
		return r->e;
	}
	memcpy(key, m->new_name, strlen(m->new_name));
	struct node *other = map_get(&n->t->nodes_by_name, key);
	if (other && other != n) {
		reply_fail(r, ERR_EXISTS, "node %lld is called %s already", (long long)other->row.id, m->new_name);
		return r->e;
	}
	const char *reserved = name_reserved(n->t, m->new_name);
	if (reserved && !other) {
		reply_fail(r, ERR_EXISTS, "no node can be called %s: %s", m->new_name, reserved);
		return r->e;
	}
	TRY(touch_node(c, n));
	if (strcmp(n->row.given_name, m->new_name) != 0)
		TRY(name_hold(c, n));
	TRY(name_release(c, n->t, m->new_name));
	return node_set_name(c, n, m->new_name, false);
}

static err set_tags(struct core *c, struct node *n, const struct command *m, struct reply *r)
{
	struct user *former = user_by_id(c, n->row.former_user_id);
	if (!m->n_tags && !n->row.n_tags)
		return OK;
	if (!m->n_tags && former) {
		TRY(touch_node(c, n));
		return node_set_owner(c, n, former->row.id, NULL, 0);
	}
	if (!m->n_tags) {
		reply_fail(r, ERR_INVALID, "this node was nobody's before it was tagged: it cannot lose all of its tags; log it in again as a user "
				"instead, or move it to one");
		return r->e;
	}
	if (m->n_tags > NODE_TAGS_MAX) {
		reply_fail(r, ERR_INVALID, "a node may have %d tags", NODE_TAGS_MAX);
		return r->e;
	}
	for (size_t i = 0; i < m->n_tags; i++)
		if (strncmp(m->tags[i], "tag:", 4) != 0 || !policy_has_tag(n->t->policy, m->tags[i])) {
			reply_fail(r, ERR_INVALID, "%.64s is not declared in the policy's tagOwners", m->tags[i]);
			return r->e;
		}
	if (!apikey_may_tags(c, n->t, m, r))
		return r->e;
	CLEANUP(freep) char **tags = malloc(m->n_tags * sizeof(*tags));
	if (!tags)
		return ERR_NOMEM;
	memcpy(tags, m->tags, m->n_tags * sizeof(*tags));
	TRY(touch_node(c, n));
	return node_set_owner(c, n, 0, tags, m->n_tags);
}

static int by_prefix(const void *a, const void *b)
{
	return prefix_cmp(*(const struct prefix *)a, *(const struct prefix *)b);
}

static bool is_among(struct prefix p, const struct prefix *list, size_t n)
{
	for (size_t i = 0; i < n; i++) /* an exit node is one thing, of two families */
		if (prefix_cmp(p, prefix_mask(list[i])) == 0 || (prefix_is_exit(p) && prefix_is_exit(list[i])))
			return true;
	return false;
}

/* The list that shall hold. It is made here, of what holds now, so that two who put in one each do not lose one. */
static size_t routes_wanted(const struct node *n, const struct command *m, struct prefix *list)
{
	size_t k = 0;

	for (size_t i = 0; m->how != ROUTES_REPLACE && i < n->row.n_approved; i++)
		if (m->how == ROUTES_ADD || !is_among(n->row.approved_routes[i], m->routes, m->n_routes))
			list[k++] = n->row.approved_routes[i];
	for (size_t i = 0; m->how != ROUTES_DROP && i < m->n_routes; i++)
		list[k++] = prefix_mask(m->routes[i]);
	return k;
}

static err approve(struct core *c, struct node *n, const struct command *m, struct reply *r)
{
	bool exit4 = false, exit6 = false;

	CLEANUP(freep) struct prefix *list = malloc((m->n_routes + n->row.n_approved + 2) * sizeof *list);
	if (!list)
		return ERR_NOMEM;
	size_t k = routes_wanted(n, m, list), wanted = k;
	if (k + 2 > NODE_ROUTES_MAX) {
		reply_fail(r, ERR_INVALID, "a node may have %d routes", NODE_ROUTES_MAX);
		return r->e;
	}
	for (size_t i = 0; i < wanted; i++) {
		const char *fault = m->how == ROUTES_DROP ? NULL : route_fault(n->t, list[i]);
		char text[PREFIX_TEXT_MAX];
		if (fault) {
			reply_fail(r, ERR_INVALID, "%s cannot be approved: %s", prefix_text(list[i], text), fault);
			return r->e;
		}
		exit4 |= prefix_is_exit(list[i]) && list[i].addr.family == 4;
		exit6 |= prefix_is_exit(list[i]) && list[i].addr.family == 6;
	}
	/* An exit node serves both families or it leaks the other one. */
	if (exit6 && !exit4)
		list[k++] = (struct prefix){ .addr.family = 4 };
	if (exit4 && !exit6)
		list[k++] = (struct prefix){ .addr.family = 6 };
	qsort(list, k, sizeof *list, by_prefix);
	size_t u = 0;
	for (size_t i = 0; i < k; i++)
		if (!u || prefix_cmp(list[u - 1], list[i]) != 0)
			list[u++] = list[i];
	TRY(touch_node(c, n));
	free(n->row.approved_routes);
	n->row.approved_routes = MOVE(list);
	n->row.n_approved = u;
	return routes_update(c, n);
}

err node_move(struct core *c, struct node *n, struct user *u, struct reply *r)
{
	struct machine *mach = machine_get(c, &n->row.machine);

	list_each(it, &mach->nodes) {
		struct node *other = container_of(it, struct node, of_machine);
		if (other != n && other->row.user_id == u->row.id && other->t == n->t) {
			reply_fail(r, ERR_EXISTS, "this machine is node %lld of %s already", (long long)other->row.id, u->row.name);
			return r->e;
		}
	}
	TRY(touch_node(c, n));
	return node_set_owner(c, n, u->row.id, NULL, 0);
}

static err move(struct core *c, struct node *n, const struct command *m, struct reply *r)
{
	struct user *u = user_find(n->t, m->user);

	if (u)
		return apikey_may_act_on(c, m, u, r) ? node_move(c, n, u, r) : r->e;
	reply_fail(r, ERR_NOT_FOUND, "there is no user \"%.64s\"", m->user);
	return r->e;
}

static err set_authorized(struct core *c, struct node *n, bool yes)
{
	if (n->row.authorized == yes)
		return OK;
	TRY(touch_node(c, n));
	n->row.authorized = yes;
	return gate_update(c, n);
}

/* One address an administrator chose. */
static err check_address(struct node *n, struct addr a, struct reply *r)
{
	struct tailnet *t = n->t;
	struct prefix p = a.family == 4 ? t->set.v4 : t->set.v6;
	struct node *other = map_get(a.family == 4 ? &t->nodes_by_v4 : &t->nodes_by_v6, &a);
	char text[ADDR_TEXT_MAX], range[PREFIX_TEXT_MAX];

	if (!p.addr.family)
		reply_fail(r, ERR_INVALID, "%s: this tailnet has no IPv%d addresses", addr_text(a, text), a.family);
	else if (!prefix_contains(p, a))
		reply_fail(r, ERR_INVALID, "%s is not in the tailnet's range %s", addr_text(a, text), prefix_text(p, range));
	else if (service_has_addr(t, a))
		reply_fail(r, ERR_EXISTS, "%s is the address of a service", addr_text(a, text));
	else if (address_is_reserved(t, a))
		reply_fail(r, ERR_INVALID, "%s is reserved", addr_text(a, text));
	else if (other && other != n)
		reply_fail(r, ERR_EXISTS, "%s is the address of node %lld (%s)", addr_text(a, text), (long long)other->row.id,
				other->row.given_name);
	return r->e;
}

/* IPv6 follows IPv4 where it was derived from it and nothing else is said. */
static err set_ip(struct core *c, struct node *n, const struct command *m, struct reply *r)
{
	struct addr v4 = n->row.v4, v6 = n->row.v6;
	bool has4 = false, has6 = false;

	for (size_t i = 0; i < m->n_addrs; i++) {
		struct addr a = m->addrs[i];
		if (a.family == 4 ? has4 : has6) {
			reply_fail(r, ERR_INVALID, "one address of each family at most");
			return r->e;
		}
		TRY(check_address(n, a, r));
		if (a.family == 4) {
			v4 = a;
			has4 = true;
		} else {
			v6 = a;
			has6 = true;
		}
	}
	if (!m->n_addrs) {
		reply_fail(r, ERR_INVALID, "an address is needed");
		return r->e;
	}
	if (has4 && !has6 && n->row.v6.family && !addr_eq(v4, n->row.v4))
		TRY(address_next_v6(n->t, v4, &v6));
	TRY(touch_node(c, n));
	return node_set_addresses(c, n, v4, v6);
}

static err backfill(struct core *c, struct tailnet *t, struct reply *r)
{
	const char **lines = arena_array(&r->arena, c->nodes.n + 1, sizeof(*lines));
	size_t at = 0;

	if (!lines)
		return ERR_NOMEM;
	r->lines = lines;
	for (struct node *n; (n = map_next(&c->nodes, &at));) {
		struct addr v4 = n->row.v4, v6 = n->row.v6, new4, new6;
		char a[ADDR_TEXT_MAX], b[ADDR_TEXT_MAX];
		bool want4 = t->set.v4.addr.family && !v4.family, want6 = t->set.v6.addr.family && !v6.family;
		bool drop4 = !t->set.v4.addr.family && v4.family, drop6 = !t->set.v6.addr.family && v6.family;

		if (n->t != t || (!want4 && !want6 && !drop4 && !drop6))
			continue;
		if (want4) {
			struct node_facts f;
			node_facts(c, n, &f);
			TRY(address_next(t, &f.node, &new4, &new6));
			v4 = new4;
		}
		if (want6)
			TRY(address_next_v6(t, v4, &v6));
		if (drop4)
			v4 = (struct addr){ 0 };
		if (drop6)
			v6 = (struct addr){ 0 };
		TRY(touch_node(c, n));
		TRY(node_set_addresses(c, n, v4, v6));
		lines[r->n_lines] = arena_printf(&r->arena, "node %lld %s: %s%s%s%s", (long long)n->row.id, n->row.given_name,
				want4 ? "assigned " : drop4 ? "removed IPv4 " : "", want4 ? addr_text(v4, a) : "",
				want6 ? " assigned " : drop6 ? " removed IPv6" : "", want6 ? addr_text(v6, b) : "");
		if (!lines[r->n_lines])
			return ERR_NOMEM;
		r->n_lines++;
	}
	return OK;
}

void on_command_node(struct core *c, const struct command *m, struct reply *r)
{
	struct tailnet *t = core_tailnet(c, m->tailnet_id);

	if (m->kind == CMD_NODE_LIST) {
		r->e = list_nodes(c, t, m, r);
		return;
	}
	if (m->kind == CMD_NODE_BACKFILL_IPS) {
		r->e = backfill(c, t, r);
		if (r->e == ERR_TOO_BIG)
			reply_fail(r, ERR_TOO_BIG, "no address is left in the tailnet's prefixes");
		return;
	}
	if (m->kind == CMD_NODE_ATTRS_PATCH) {
		r->e = attrs_patch(c, t, m, r);
		return;
	}
	struct node *n = node_by_id(c, m->id);
	err e = OK;
	if (!n || n->t != t) {
		reply_fail(r, ERR_NOT_FOUND, "there is no node with id %lld", (long long)m->id);
		return;
	}
	struct user *own = NULL;
	struct signin *by = *m->key_text ? signin_asking(c, t, m, r, &own) : NULL;
	if (*m->key_text) {
		bool plain = m->kind == CMD_NODE_GET || m->kind == CMD_NODE_RENAME || m->kind == CMD_NODE_RENEW || m->kind == CMD_NODE_DELETE ||
			(m->kind == CMD_NODE_EXPIRE && !m->disable && !m->at_ms);
		if (!by)
			return;
		if (!plain || n->row.user_id != own->row.id) {
			reply_fail(r, ERR_NOT_FOUND, "none of your devices has the id %lld", (long long)m->id);
			return;
		}
	}
	if (m->kind == CMD_NODE_DEBUG) {
		r->e = node_debug(c, n, r);
		return;
	}
	if (m->kind == CMD_NODE_DELETE) {
		r->e = node_delete(c, n);
		return;
	}
	if (m->kind == CMD_NODE_EXPIRE)
		e = expire(c, n, m);
	else if (m->kind == CMD_NODE_RENEW)
		e = by ? renew(c, n, by, r) : ERR_AUTH;
	else if (m->kind == CMD_NODE_ENABLE_EXPIRY)
		e = enable_expiry(c, n);
	else if (m->kind == CMD_NODE_RENAME)
		e = rename_node(c, n, m, r);
	else if (m->kind == CMD_NODE_TAGS)
		e = set_tags(c, n, m, r);
	else if (m->kind == CMD_NODE_APPROVE_ROUTES)
		e = approve(c, n, m, r);
	else if (m->kind == CMD_NODE_MOVE)
		e = move(c, n, m, r);
	else if (m->kind == CMD_NODE_APPROVE)
		e = set_authorized(c, n, !m->disable);
	else if (m->kind == CMD_NODE_SET_IP)
		e = set_ip(c, n, m, r);
	else if (m->kind == CMD_NODE_ATTR_SET || m->kind == CMD_NODE_ATTR_DELETE)
		e = attr_command(c, n, m, r);
	r->e = e == OK ? one_node(c, r, n) : e;
}
