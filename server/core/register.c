#include "server/core/state.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/base/cleanup.h"
#include "common/base/log.h"
#include "common/base/random.h"
#include "common/text/hex.h"

/* /machine/register: the decision procedure of protocol/control.md 5.3. What a person must read goes out as 200 with Error,
 * for clients show nothing else (trap T12). */

enum { AUTH_ID_BYTES = 12 };

/* Who wants to be a node, with what is known of it. Borrowed for the call. */
struct claim {
	struct tailnet *t;
	const struct machine_pub *machine;
	const struct node_pub *key, *old_key;
	const struct nl_pub *nl;
	const struct tailcfg_hostinfo *hi;
	int capver;
	struct user *user; /* NULL: tags only */
	char *const *tags;
	size_t n_tags;
	bool ephemeral;
	enum register_method method;
	int64_t authkey_id;
	bool preauthorized; /* nobody needs to approve it */
	int64_t expires_ms; /* asked for; 0: the default */
	struct bytes key_sig; /* tailnet lock; n 0: none */
};

/* ---- answers ---- */

static struct reply *reply_response(const struct tailcfg_register_response *resp)
{
	struct reply *r = reply_new();
	struct buf out = buf_make(64 * 1024);
	struct jsonw w = jsonw_init(&out);

	if (!r)
		return NULL;
	tailcfg_register_response_write(&w, resp);
	char *text = jsonw_ok(&w) ? arena_str(&r->arena, buf_view(&out)) : NULL;
	if (!text) {
		buf_done(&out);
		reply_free(r);
		return NULL;
	}
	r->body = bytes_of(text, buf_len(&out));
	r->http_status = 200;
	buf_done(&out);
	return r;
}

struct reply *reply_register_error(struct core *c, const char *text)
{
	(void)c;
	return reply_response(&(struct tailcfg_register_response){ .error = text });
}

struct reply *reply_registered(struct core *c, struct node *n)
{
	struct user *u = user_by_id(c, n->row.user_id);
	struct tailcfg_register_response resp = { .machine_authorized = n->shut == SHUT_NO };

	if (u) {
		bool mail = u->row.email && *u->row.email;
		resp.login = (struct tailcfg_login){
			.id = u->row.id,
			.provider = or_empty(u->row.provider),
			.login_name = mail ? u->row.email : u->row.name,
			.display_name = u->row.display_name && *u->row.display_name ? u->row.display_name : u->row.name,
			.profile_pic_url = or_empty(u->row.picture_url),
			.created_ms = u->row.created_ms,
		};
	} else {
		resp.login = (struct tailcfg_login){
			.id = TAGGED_USER_ID, .login_name = "tagged-devices", .display_name = "Tagged Devices",
		};
	}
	struct reply *r = reply_response(&resp);
	if (r)
		r->registered = true;
	return r;
}

static void answer(struct core *c, struct call *call, struct reply *r)
{
	if (r)
		fx_reply(c, call, r);
	else
		answer_http(c, call, 503, "out of memory\n");
}

static void refuse(struct core *c, struct event *e, const char *text)
{
	struct machine *m;

	core_abort(c);
	answer(c, e->call, reply_register_error(c, text));
	m = machine_get(c, &e->machine);
	if (m)
		list_each(it, &m->nodes)
			node_refused(c, container_of(it, struct node, of_machine), text);
	log_info("registration refused", "reason=%s host=%s", log_qs(text).s, log_qs(e->reg->hostinfo->hostname).s);
}

static void fail(struct core *c, struct event *e, err why)
{
	core_abort(c);
	log_error("registration failed", "error=\"%s\"", err_text(why));
	answer_http(c, e->call, 503, "the server cannot do this now; try again\n");
}

static void answer_expired(struct core *c, struct event *e)
{
	answer(c, e->call, reply_response(&(struct tailcfg_register_response){ .node_key_expired = true }));
}

/* ---- tags ---- */

static bool has_tag(char *const *tags, size_t n, const char *tag)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(tags[i], tag) == 0)
			return true;
	return false;
}

bool register_may_tag(const struct tailnet *t, const struct user *u, const char *tag)
{
	if (!u || user_waits(u)) /* what is tagged has no owner, and would not wait */
		return false;
	struct policy_user pu = user_facts(u);
	return policy_may_tag(t->policy, &pu, tag);
}

/* All or nothing. why: one sentence. */
static bool may_all(struct tailnet *t, struct user *u, char *const *have, size_t n_have, const char *const *want,
		size_t n_want, char *why, size_t why_cap)
{
	for (size_t i = 0; i < n_want; i++) {
		if (has_tag(have, n_have, want[i]) || register_may_tag(t, u, want[i]) ||
		    (n_have && policy_tags_may_tag(t->policy, (const char *const *)have, n_have, want[i])))
			continue;
		snprintf(why, why_cap, "requested tags are invalid or not permitted: %s may not use %.64s", u ? u->row.name : "this key",
				want[i]);
		return false;
	}
	return true;
}

/* ---- the node of a claim ---- */

static err new_row(struct core *c, const struct claim *cl, struct node_row *row)
{
	char base[GIVEN_NAME_MAX + 1], given[GIVEN_NAME_MAX + 1];

	*row = (struct node_row){
		.tailnet_id = cl->t->row.id, .machine = *cl->machine, .key = *cl->key, .nl = *cl->nl, .capver = cl->capver,
		.ephemeral = cl->ephemeral, .method = cl->method, .authkey_id = cl->authkey_id, .created_ms = c->now.wall_ms,
		.last_seen_ms = c->now.wall_ms, .given_name_auto = true,
		/* Who is let in by hand is approved; and nobody waits where nobody has to. */
		.authorized = cl->preauthorized || !cl->t->set.devices_approval,
	};
	TRY(next_id(c, &row->id));
	struct policy_user pu = cl->user ? user_facts(cl->user) : (struct policy_user){ 0 };
	struct policy_node who = { .user_id = cl->n_tags || !cl->user ? 0 : cl->user->row.id, .user = cl->n_tags || !cl->user ? NULL : &pu,
		.tags = (const char *const *)cl->tags, .n_tags = cl->n_tags };
	TRY(address_next(cl->t, &who, &row->v4, &row->v6));
	name_sanitise(cl->hi->hostname, base);
	name_unique(cl->t, base, NULL, cl->n_tags || !cl->user ? 0 : cl->user->row.id, cl->machine, given);
	row->hostname = strdup(cl->hi->hostname);
	row->given_name = strdup(given);
	row->hostinfo_json = bytes_dup(cl->hi->raw);
	row->former_user_id = cl->n_tags && cl->user ? cl->user->row.id : 0;
	row->user_id = cl->n_tags || !cl->user ? 0 : cl->user->row.id;
	return row->hostname && row->given_name && row->hostinfo_json ? OK : ERR_NOMEM;
}

int64_t register_expires(const struct core *c, const struct tailnet *t, bool tagged, int64_t asked_ms)
{
	int64_t at = t->set.node_expiry_ms > 0 ? c->now.wall_ms + t->set.node_expiry_ms : 0;

	if (tagged)
		return 0;
	return asked_ms && (!at || asked_ms < at) ? asked_ms : at;
}

static int64_t expiry_of(struct core *c, const struct claim *cl)
{
	return register_expires(c, cl->t, cl->n_tags != 0, cl->expires_ms);
}

static err make_node(struct core *c, const struct claim *cl, struct node **out)
{
	struct node_row row;

	err e = new_row(c, cl, &row);
	int64_t id = row.id;
	if (e == OK)
		e = touch_new_node(c, id);
	if (e == OK)
		e = node_put_memory(c, &row);
	node_row_done(&row);
	TRY(e);
	struct node *n = node_by_id(c, id);
	n->touched = c->tx; /* its image says "was not there"; no other is needed */
	if (cl->n_tags)
		TRY(node_set_owner(c, n, 0, cl->tags, cl->n_tags));
	node_set_expires(c, n, expiry_of(c, cl));
	presence_hold(c, n);
	presence_ephemeral(c, n);
	if (n->shut == SHUT_NO)
		fx_admit(c, cl->key);
	*out = n;
	return OK;
}

static err renew_node(struct core *c, const struct claim *cl, struct node *n)
{
	bool changed;

	TRY(touch_node(c, n));
	TRY(node_set_key(c, n, cl->key));
	int64_t user_id = cl->n_tags || !cl->user ? 0 : cl->user->row.id;
	bool same_tags = cl->n_tags == n->row.n_tags;
	for (size_t i = 0; same_tags && i < cl->n_tags; i++)
		same_tags = has_tag(n->row.tags, n->row.n_tags, cl->tags[i]);
	if (user_id != n->row.user_id || !same_tags)
		TRY(node_set_owner(c, n, user_id, cl->tags, cl->n_tags));
	n->row.nl = *cl->nl;
	if (n->row.capver != cl->capver) {
		n->row.capver = cl->capver;
		node_dirty(n, PATCH_CAP);
	}
	n->row.ephemeral = cl->ephemeral;
	presence_ephemeral(c, n);
	if (!n->row.authorized && cl->preauthorized) {
		n->row.authorized = true;
		TRY(gate_update(c, n));
	}
	n->row.method = cl->method;
	n->row.authkey_id = cl->authkey_id;
	if (n->row.expiry_disabled && !cl->n_tags)
		n->row.kept_expires_ms = expiry_of(c, cl); /* an admin said that it does not expire */
	else
		node_set_expires(c, n, expiry_of(c, cl));
	return node_set_hostinfo(c, n, cl->hi, &changed);
}

/* The node that this claim is about: ids and addresses belong to (machine, owner) for ever. NULL: it is a new one. */
static struct node *claimed_node(struct core *c, const struct claim *cl, bool *ambiguous)
{
	struct machine *m = machine_get(c, cl->machine);
	struct node *tagged = NULL, *owned = NULL, *same_owner = NULL, *old = NULL;
	size_t n_owned = 0;

	*ambiguous = false;
	if (!m)
		return NULL;
	list_each(it, &m->nodes) {
		struct node *n = container_of(it, struct node, of_machine);
		if (n->t != cl->t)
			continue;
		if (node_pub_eq(&n->row.key, cl->key) || (!old && node_pub_eq(&n->row.key, cl->old_key)))
			old = n;
		if (n->row.n_tags) {
			tagged = n;
		} else {
			owned = n;
			n_owned++;
			if (cl->user && n->row.user_id == cl->user->row.id)
				same_owner = n;
		}
	}
	if (cl->n_tags) {
		if (old)
			return old;
		if (tagged)
			return tagged;
		*ambiguous = n_owned > 1;
		return n_owned == 1 ? owned : NULL;
	}
	if (same_owner)
		return same_owner;
	return old && old->row.n_tags ? old : NULL; /* a tagged node goes back to a person */
}

/* ERR_STATE: the client must come back with another node key. Others: why says it. */
static err admit_claim(struct core *c, const struct claim *cl, char *why, size_t why_cap, struct node **out)
{
	bool ambiguous;
	struct node *n = claimed_node(c, cl, &ambiguous), *has_key = node_by_key(c, cl->key);

	if (cl->user && cl->user->row.suspended_ms) {
		snprintf(why, why_cap, "user %.64s is suspended; an administrator can restore it", cl->user->row.name);
		return ERR_DENIED;
	}
	if (cl->user && cl->n_tags && user_waits(cl->user)) {
		snprintf(why, why_cap, "user %.64s waits for an administrator's approval; until then its devices can have no tags", cl->user->row.name);
		return ERR_DENIED;
	}
	if (ambiguous) {
		snprintf(why, why_cap, "this machine has several nodes of users; it is ambiguous which one the tags are for");
		return ERR_INVALID;
	}
	if (has_key && has_key != n) {
		snprintf(why, why_cap, "this node key belongs to another node");
		return ERR_STATE;
	}
	if (n) {
		TRY(renew_node(c, cl, n));
		*out = n;
		return lock_take_signature(c, n, cl->key_sig);
	}
	if (c->set.max_nodes && c->nodes.n >= c->set.max_nodes) {
		snprintf(why, why_cap, "this server has as many nodes as it may have (%zu)", c->set.max_nodes);
		return ERR_TOO_BIG;
	}
	err e = make_node(c, cl, out);
	if (e == ERR_TOO_BIG)
		snprintf(why, why_cap, "no address is left for this device, in the tailnet's prefixes or in its ipPool");
	return e == OK ? lock_take_signature(c, *out, cl->key_sig) : e;
}

/* ---- the cases ---- */

static void log_out(struct core *c, struct event *e, struct node *n)
{
	if (n && n->row.ephemeral) {
		err er = node_delete(c, n);
		if (er != OK) {
			fail(c, e, er);
			return;
		}
	} else if (n && !node_is_expired(c, n)) {
		err er = touch_node(c, n);
		if (er != OK) {
			fail(c, e, er);
			return;
		}
		node_set_expires(c, n, c->now.wall_ms);
		log_info("node logged out", "node=%" PRId64, n->row.id);
	}
	answer_expired(c, e);
}

/* Known, right machine, not expired: nothing is consumed, the expiry stays. */
static void known(struct core *c, struct event *e, struct node *n)
{
	const struct tailcfg_register_request *reg = e->reg;
	const struct tailcfg_hostinfo *hi = reg->hostinfo;
	char why[200] = "";
	bool changed;

	if (reg->has_expiry) {
		if (n->row.expires_ms && reg->expiry_ms > n->row.expires_ms) {
			refuse(c, e, "the expiry of a key can only be shortened here; log in again to extend it");
			return;
		}
		err er = touch_node(c, n);
		if (er != OK) {
			fail(c, e, er);
			return;
		}
		node_set_expires(c, n, reg->expiry_ms);
	}
	/* Only a new wish counts: what was asked at login was decided then. */
	bool wish = hi->n_request_tags != n->hi->n_request_tags;
	for (size_t i = 0; !wish && i < hi->n_request_tags; i++)
		wish = strcmp(hi->request_tags[i], n->hi->request_tags[i]) != 0;
	bool has_all = hi->n_request_tags == n->row.n_tags;
	for (size_t i = 0; has_all && i < hi->n_request_tags; i++)
		has_all = has_tag(n->row.tags, n->row.n_tags, hi->request_tags[i]);
	if (wish && hi->n_request_tags && !has_all) {
		struct user *u = user_by_id(c, n->row.user_id);
		if (!may_all(n->t, u, n->row.tags, n->row.n_tags, hi->request_tags, hi->n_request_tags, why, sizeof why)) {
			refuse(c, e, why);
			return;
		}
		CLEANUP(freep) char **tags = malloc(hi->n_request_tags * sizeof(*tags));
		for (size_t i = 0; tags && i < hi->n_request_tags; i++)
			memcpy(&tags[i], &hi->request_tags[i], sizeof(*tags));
		err er = tags ? touch_node(c, n) : ERR_NOMEM;
		if (er == OK)
			er = node_set_owner(c, n, 0, tags, hi->n_request_tags);
		if (er != OK) {
			fail(c, e, er);
			return;
		}
	}
	if (!nl_pub_is_zero(&reg->nl_key) && !nl_pub_eq(&reg->nl_key, &n->row.nl)) {
		err er = touch_node(c, n);
		if (er != OK) {
			fail(c, e, er);
			return;
		}
		n->row.nl = reg->nl_key;
	}
	err er = hi->raw.n > 2 ? node_set_hostinfo(c, n, hi, &changed) : OK;
	if (er == OK)
		er = lock_take_signature(c, n, reg->node_key_signature);
	if (er != OK) {
		fail(c, e, er);
		return;
	}
	addr_registered(c, e->remote);
	answer(c, e->call, reply_registered(c, n));
}

static const char *key_fault(struct core *c, const struct authkey *k)
{
	if (!k)
		return "auth key not found: it is not a key of this server, or was deleted";
	if (k->row.revoked_ms)
		return "auth key expired: it was revoked";
	if (k->row.expires_ms && k->row.expires_ms <= c->now.wall_ms)
		return "auth key expired";
	if (k->row.used && !k->row.reusable)
		return "auth key already used: it was good for one node";
	if (k->row.user_id && !user_by_id(c, k->row.user_id))
		return "auth key not found: its user was deleted";
	return NULL;
}

static void with_key(struct core *c, struct event *e)
{
	const struct tailcfg_register_request *reg = e->reg;
	struct authkey *k = authkey_by_text(c, reg->auth_key);
	const char *fault = key_fault(c, k);
	char why[240] = "";
	struct node *n;

	if (fault) {
		refuse(c, e, fault);
		return;
	}
	struct user *u = user_by_id(c, k->row.user_id);
	const struct tailcfg_hostinfo *hi = reg->hostinfo;
	if (!may_all(k->t, u, k->row.tags, k->row.n_tags, hi->request_tags, hi->n_request_tags, why, sizeof why)) {
		refuse(c, e, why);
		return;
	}
	audit_who(c, "node", e->remote, "authkey:%s", k->row.prefix);
	/* The key's tags, and those that were asked for and are allowed. */
	size_t n_tags = k->row.n_tags;
	CLEANUP(freep) char **tags = malloc((n_tags + hi->n_request_tags + 1) * sizeof(*tags));
	if (!tags) {
		fail(c, e, ERR_NOMEM);
		return;
	}
	if (n_tags)
		memcpy(tags, k->row.tags, n_tags * sizeof(*tags));
	for (size_t i = 0; i < hi->n_request_tags; i++)
		if (!has_tag(tags, n_tags, hi->request_tags[i]))
			memcpy(&tags[n_tags++], &hi->request_tags[i], sizeof(*tags));
	if (n_tags > NODE_TAGS_MAX) {
		refuse(c, e, "too many tags");
		return;
	}
	struct claim cl = {
		.t = k->t, .machine = &e->machine, .key = &reg->node_key, .old_key = &reg->old_node_key, .nl = &reg->nl_key,
		.hi = hi, .capver = reg->version, .user = u, .tags = tags, .n_tags = n_tags,
		.ephemeral = reg->ephemeral || k->row.ephemeral, .method = REGISTER_AUTH_KEY, .authkey_id = k->row.id,
		.preauthorized = k->row.preauthorized,
		.expires_ms = reg->has_expiry ? reg->expiry_ms : 0, .key_sig = reg->node_key_signature,
	};
	err er = admit_claim(c, &cl, why, sizeof why, &n);
	if (er == ERR_STATE) {
		core_abort(c);
		answer_expired(c, e); /* the client comes back with a fresh key */
		return;
	}
	if (er != OK) {
		if (why[0])
			refuse(c, e, why);
		else
			fail(c, e, er);
		return;
	}
	if (!k->row.reusable) {
		er = touch_authkey(c, k);
		if (er != OK) {
			fail(c, e, er);
			return;
		}
		k->row.used = true;
	}
	struct pending *p = map_get(&c->pendings_by_machine, &e->machine);
	if (p && pending_delete(c, p) != OK) {
		fail(c, e, ERR_NOMEM);
		return;
	}
	addr_registered(c, e->remote);
	log_info("node registered", "node=%" PRId64 " name=%s method=authkey key=%s", n->row.id, log_qs(n->row.given_name).s,
			k->row.prefix);
	answer(c, e->call, reply_registered(c, n));
}

/* ---- interactive logins ---- */

static err copy_texts(const char *const *from, size_t n, char ***out)
{
	char **list = n ? calloc(n, sizeof(*list)) : NULL;

	if (n && !list)
		return ERR_NOMEM;
	for (size_t i = 0; i < n; i++)
		if (!(list[i] = strdup(from[i]))) {
			while (i--)
				free(list[i]);
			free(list);
			return ERR_NOMEM;
		}
	*out = list;
	return OK;
}

static err pending_row_of(struct core *c, const struct event *e, const char *auth_id, struct pending_row *row)
{
	const struct tailcfg_register_request *reg = e->reg;
	char remote[ADDR_TEXT_MAX];

	*row = (struct pending_row){
		.tailnet_id = 1, .machine = e->machine, .key = reg->node_key, .nl = reg->nl_key, .ephemeral = reg->ephemeral,
		.capver = reg->version, .created_ms = c->now.wall_ms, .expires_ms = c->now.wall_ms + c->set.pending_ttl_ms,
	};
	snprintf(row->auth_id, sizeof row->auth_id, "%s", auth_id);
	/* A key of another machine rotates nothing (trap T11). */
	struct node *old = node_by_key(c, &reg->old_node_key);
	if (old && machine_pub_eq(&old->row.machine, &e->machine))
		row->old_key = reg->old_node_key;
	row->hostname = strdup(reg->hostinfo->hostname);
	row->os = strdup(reg->hostinfo->os);
	row->remote = strdup(addr_text(e->remote, remote));
	row->hostinfo_json = bytes_dup(reg->hostinfo->raw);
	if (reg->node_key_signature.n) {
		row->key_sig = (uint8_t *)bytes_dup(reg->node_key_signature);
		row->n_key_sig = row->key_sig ? reg->node_key_signature.n : 0;
	}
	if (!row->hostname || !row->os || !row->remote || !row->hostinfo_json || (reg->node_key_signature.n && !row->key_sig))
		return ERR_NOMEM;
	TRY(copy_texts(reg->hostinfo->request_tags, reg->hostinfo->n_request_tags, &row->request_tags));
	row->n_request_tags = reg->hostinfo->n_request_tags;
	return OK;
}

static void answer_auth_url(struct core *c, struct event *e, const struct pending *p)
{
	char *url = arena_printf(&e->arena, "%s/register/%s", c->set.server_url, p->row.auth_id);

	answer(c, e->call, url ? reply_response(&(struct tailcfg_register_response){ .auth_url = url }) : NULL);
}

static void start_login(struct core *c, struct event *e)
{
	struct pending *p = map_get(&c->pendings_by_machine, &e->machine);
	struct pending_row row = { 0 };
	char auth_id[AUTH_ID_LEN + 1] = "hskey-authreq-";
	uint8_t random[AUTH_ID_BYTES];
	bool full;

	if (p && node_pub_eq(&p->row.key, &e->reg->node_key)) { /* it asks again: the URL that was shown stays good */
		answer_auth_url(c, e, p);
		return;
	}
	if (map_get(&c->pendings_by_key, &e->reg->node_key) && !p) {
		answer_http(c, e->call, 401, "this node key belongs to another machine\n");
		return;
	}
	if (p) { /* one login a machine: the newer one counts */
		pending_answer_all(c, p, 200, "this login was replaced by a newer one", NULL);
		if (pending_delete(c, p) != OK) {
			fail(c, e, ERR_NOMEM);
			return;
		}
	}
	struct recent_addr *a = addr_count(c, e->remote, &full);
	if (full || (c->set.max_pending && c->pendings.n >= c->set.max_pending)) {
		refuse(c, e, full ? "too many logins from your address wait for approval; finish one of them, or try again later" :
				"too many logins wait for approval on this server; try again later");
		return;
	}
	random_fill(random, sizeof random);
	hex_encode(bytes_of(random, sizeof random), auth_id + strlen(auth_id));
	err er = pending_row_of(c, e, auth_id, &row);
	if (er == OK)
		er = touch_new_pending(c, auth_id);
	if (er == OK)
		er = pending_put_memory(c, &row);
	pending_row_done(&row);
	if (er != OK) {
		fail(c, e, er);
		return;
	}
	p = pending_by_id(c, auth_id);
	p->touched = c->tx;
	if (a) {
		p->from = a->addr;
		a->pendings++;
	}
	log_info("login waits", "auth_id=%s host=%s", auth_id, log_qs(e->reg->hostinfo->hostname).s);
	answer_auth_url(c, e, p);
}

static struct pending *followed(struct core *c, struct event *e)
{
	const char *id = strrchr(e->reg->followup, '/');
	struct pending *p = pending_by_id(c, id ? id + 1 : e->reg->followup);

	if (!p || !machine_pub_eq(&p->row.machine, &e->machine) || !node_pub_eq(&p->row.key, &e->reg->node_key))
		return NULL;
	return p;
}

static void follow_up(struct core *c, struct event *e, struct node *n)
{
	struct pending *p = followed(c, e);

	if (p) {
		if (p->n_waiters == WAITERS_MAX) { /* the oldest is most likely dead */
			answer_err(c, p->waiter[0].call, ERR_CLOSED, "replaced by a newer request");
			memmove(p->waiter, p->waiter + 1, (WAITERS_MAX - 1) * sizeof p->waiter[0]);
			p->n_waiters--;
		}
		p->waiter[p->n_waiters++] = (struct waiter){ e->call };
		return;
	}
	if (n && !node_is_expired(c, n)) { /* the person was faster */
		addr_registered(c, e->remote);
		answer(c, e->call, reply_registered(c, n));
		return;
	}
	start_login(c, e);
}

err register_pending(struct core *c, struct pending *p, struct user *u, enum register_method method, bool by_admin, int64_t expires_ms,
	char *why, size_t why_cap, struct node **out)
{
	struct arena a = arena_make(0);
	struct tailcfg_hostinfo *hi;
	struct json_why jw;

	if (!may_all(p->t, u, NULL, 0, (const char *const *)p->row.request_tags, p->row.n_request_tags, why, why_cap))
		return ERR_DENIED;
	err e = tailcfg_hostinfo_parse(bytes_str(or_empty(p->row.hostinfo_json)), &a, &hi, &jw);
	if (e == OK) {
		struct claim cl = {
			.t = p->t, .machine = &p->row.machine, .key = &p->row.key, .old_key = &p->row.old_key, .nl = &p->row.nl,
			.hi = hi, .capver = p->row.capver, .user = u, .tags = p->row.request_tags, .n_tags = p->row.n_request_tags,
			.ephemeral = p->row.ephemeral, .method = method, .preauthorized = by_admin, .expires_ms = expires_ms, .key_sig = bytes_of(p->row.key_sig, p->row.n_key_sig),
		};
		e = admit_claim(c, &cl, why, why_cap, out);
	}
	arena_done(&a);
	TRY(e);
	if (p->from.family)
		addr_registered(c, p->from);
	pending_answer_all(c, p, 200, NULL, *out);
	return pending_delete(c, p);
}

void on_register(struct core *c, struct event *e)
{
	const struct tailcfg_register_request *reg = e->reg;
	struct node *n = node_by_key(c, &reg->node_key);
	char why[200];

	if (n && !machine_pub_eq(&n->row.machine, &e->machine)) {
		answer_http(c, e->call, 401, "this node key belongs to another machine\n");
		return;
	}
	if (reg->version < c->set.min_capver) {
		snprintf(why, sizeof why, "this client is too old for this server (capability version %d, needed is %d); please update it",
				reg->version, c->set.min_capver);
		refuse(c, e, why);
		return;
	}
	if (reg->has_expiry && reg->expiry_ms <= c->now.wall_ms) {
		log_out(c, e, n);
		return;
	}
	struct bytes old_sig = lock_asks_rotation(c, e);
	if (old_sig.n)
		answer(c, e->call, reply_response(&(struct tailcfg_register_response){ .node_key_signature = old_sig }));
	else if (strncmp(reg->tailnet, "required:", 9) == 0 && strcmp(reg->tailnet + 9, c->set.domain) != 0)
		refuse(c, e, "this device may only join another tailnet, by its own settings");
	else if (*reg->followup)
		follow_up(c, e, n);
	else if (n && !node_is_expired(c, n))
		known(c, e, n);
	else if (n && !*reg->auth_key)
		answer_expired(c, e);
	else if (*reg->auth_key)
		with_key(c, e);
	else
		start_login(c, e);
}
