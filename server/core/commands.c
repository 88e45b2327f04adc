#include "server/core/state.h"

#include "common/base/cleanup.h"
#include "common/text/jsonw.h"

/* ---- rows in a reply's arena ---- */

static bool text_to(struct arena *a, const char *from, char **out)
{
	*out = arena_str(a, bytes_str(or_empty(from)));
	return *out != NULL;
}

static bool texts_to(struct arena *a, char *const *from, size_t n, char ***out)
{
	*out = arena_array(a, n + 1, sizeof(**out));
	if (!*out)
		return false;
	for (size_t i = 0; i < n; i++)
		if (!text_to(a, from[i], &(*out)[i]))
			return false;
	return true;
}

err user_to_arena(struct arena *a, const struct user *u, struct user_row *out)
{
	const struct user_row *from = &u->row;

	*out = *from;
	if (!user_waits(u))
		out->waits_ms = 0;
	return text_to(a, from->name, &out->name) && text_to(a, from->display_name, &out->display_name) &&
			text_to(a, from->email, &out->email) && text_to(a, from->picture_url, &out->picture_url) &&
			text_to(a, from->provider, &out->provider) && text_to(a, from->provider_id, &out->provider_id) ?
		OK : ERR_NOMEM;
}

err authkey_to_arena(struct arena *a, const struct authkey_row *from, struct authkey_row *out)
{
	*out = *from;
	return text_to(a, from->description, &out->description) && texts_to(a, from->tags, from->n_tags, &out->tags) ? OK : ERR_NOMEM;
}

err apikey_to_arena(struct arena *a, const struct apikey_row *from, struct apikey_row *out)
{
	*out = *from;
	return text_to(a, from->scopes, &out->scopes) && text_to(a, from->description, &out->description) &&
			text_to(a, from->issuer, &out->issuer) && text_to(a, from->subject, &out->subject) &&
			text_to(a, from->audience, &out->audience) && text_to(a, from->claim_rules, &out->claim_rules) &&
			texts_to(a, from->tags, from->n_tags, &out->tags) ?
		OK : ERR_NOMEM;
}

err pending_to_arena(struct arena *a, const struct pending_row *from, struct pending_row *out)
{
	*out = *from;
	return text_to(a, from->hostname, &out->hostname) && text_to(a, from->os, &out->os) && text_to(a, from->remote, &out->remote) &&
			text_to(a, from->hostinfo_json, &out->hostinfo_json) &&
			texts_to(a, from->request_tags, from->n_request_tags, &out->request_tags) ?
		OK : ERR_NOMEM;
}

err policy_to_arena(struct arena *a, const struct policy_row *from, struct policy_row *out)
{
	*out = *from;
	return text_to(a, from->text, &out->text) && text_to(a, from->author, &out->author) && text_to(a, from->note, &out->note) ?
		OK : ERR_NOMEM;
}

err reply_room_nodes(struct reply *r, size_t n)
{
	r->nodes = arena_array(&r->arena, n + 1, sizeof(*r->nodes));
	return r->nodes ? OK : ERR_NOMEM;
}

err reply_add_node(struct core *c, struct reply *r, struct node *n)
{
	struct node_info *i = node_info_get(c, n);

	if (!i)
		return ERR_NOMEM;
	r->nodes[r->n_nodes++] = i;
	return OK;
}

/* ---- dispatch ---- */

static void stats(struct core *c, struct reply *r)
{
	struct core_stats *s = &r->stats;
	size_t at = 0;

	*s = (struct core_stats){
		.users = c->users.n, .nodes = c->nodes.n, .online = c->n_online, .sessions = c->n_sessions,
		.pendings = c->pendings.n, .authkeys = c->authkeys.n, .apikeys = c->apikeys.n, .seq = c->seq,
		.durable_seq = c->durable, .max_event_us = c->max_event_us, .events = c->events, .map_full = c->map_full, .map_deltas = c->map_deltas,
		.map_bytes = c->map_bytes,
	};
	for (struct node *n; (n = map_next(&c->nodes, &at));) {
		s->ephemeral += n->row.ephemeral;
		s->tagged += n->row.n_tags > 0;
		s->expired += node_is_expired(c, n);
	}
}

static void derp_map_text(struct core *c, struct tailnet *t, struct reply *r)
{
	struct buf out = buf_make(TAILCFG_DERP_MAP_MAX);
	struct jsonw w = jsonw_init(&out);

	(void)c;
	if (t->set.derp_map)
		tailcfg_derp_map_write(&w, t->set.derp_map);
	else
		jsonw_obj(&w), jsonw_obj_end(&w);
	r->text = jsonw_ok(&w) ? arena_str(&r->arena, buf_view(&out)) : NULL;
	buf_done(&out);
	if (!r->text)
		reply_fail(r, ERR_NOMEM, "out of memory");
}

/* What the caller left out is empty, and the default tailnet is meant. */
static void fill_defaults(struct command *m)
{
	const char **texts[] = { &m->actor, &m->via, &m->name, &m->new_name, &m->display_name, &m->email, &m->picture_url, &m->user, &m->role,
		&m->scopes, &m->if_match,
		&m->key_text, &m->auth_id, &m->text, &m->author, &m->note, &m->description,
		&m->agent };

	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		if (!*texts[i])
			*texts[i] = "";
	if (!m->tailnet_id)
		m->tailnet_id = 1;
}

void audit_who_asks(struct core *c, const struct command *m)
{
	audit_who(c, *m->via ? m->via : "cli", m->from, "%s", *m->actor ? m->actor : "unknown");
}

void on_command(struct core *c, struct event *e)
{
	struct command *m = e->command;

	fill_defaults(m);
	audit_who_asks(c, m);
	struct reply *r = reply_new();
	struct tailnet *t = core_tailnet(c, m->tailnet_id);

	if (!r)
		return; /* nothing can be said; the caller's own time limit ends its wait */
	if (!t) {
		reply_fail(r, ERR_NOT_FOUND, "there is no tailnet %lld", (long long)m->tailnet_id);
		fx_reply(c, e->call, r);
		return;
	}
	/* The key was looked at by another event: it may have been deleted, revoked or replaced since. */
	struct apikey *by = m->by_key ? map_get(&c->apikeys, &m->by_key) : NULL;
	if (m->by_key && (!by || !apikey_is_valid(c, by))) {
		reply_fail(r, ERR_AUTH, "this key is no longer valid");
		fx_reply(c, e->call, r);
		return;
	}
	if (m->by_signin && !signin_user(c, m->by_signin)) {
		reply_fail(r, ERR_AUTH, "your session has ended");
		fx_reply(c, e->call, r);
		return;
	}
	r->last_event = c->next_audit - 1;
	switch (m->kind) {
	case CMD_HEALTH:
		break;
	case CMD_VERIFY:
		if (!node_by_key(c, &m->key) || node_by_key(c, &m->key)->shut != SHUT_NO)
			reply_fail(r, ERR_NOT_FOUND, "this node key is not known here");
		break;
	case CMD_USER_CREATE:
	case CMD_USER_LIST:
	case CMD_USER_RENAME:
	case CMD_USER_DELETE:
	case CMD_USER_ROLE:
	case CMD_USER_SUSPEND:
	case CMD_USER_RESTORE:
	case CMD_USER_APPROVE:
		on_command_user(c, m, r);
		break;
	case CMD_NODE_LIST:
	case CMD_NODE_GET:
	case CMD_NODE_DELETE:
	case CMD_NODE_EXPIRE:
	case CMD_NODE_RENEW:
	case CMD_NODE_ENABLE_EXPIRY:
	case CMD_NODE_RENAME:
	case CMD_NODE_TAGS:
	case CMD_NODE_APPROVE_ROUTES:
	case CMD_NODE_MOVE:
	case CMD_NODE_BACKFILL_IPS:
	case CMD_NODE_APPROVE:
	case CMD_NODE_DEBUG:
	case CMD_NODE_SET_IP:
	case CMD_NODE_ATTR_SET:
	case CMD_NODE_ATTR_DELETE:
	case CMD_NODE_ATTRS_PATCH:
		on_command_node(c, m, r);
		break;
	case CMD_NODE_C2N:
		on_command_c2n(c, m, e->call, r);
		break;
	case CMD_AUTH_GET:
	case CMD_AUTH_LIST:
	case CMD_AUTH_REGISTER:
	case CMD_AUTH_APPROVE:
	case CMD_AUTH_REJECT:
		on_command_auth(c, m, r);
		break;
	case CMD_LINK_MAKE:
	case CMD_LINK_LOOK:
	case CMD_LINK_USE:
	case CMD_ACCOUNT_GET:
	case CMD_ACCOUNT_SET:
	case CMD_ACCOUNT_LOGIN:
	case CMD_ACCOUNT_DELETE:
		on_command_account(c, m, r);
		break;
	case CMD_BACKUP_NOTE:
		r->e = audit_note_backup(c, m->tailnet_id, m->name, m->new_name);
		break;
	case CMD_WISH_ADD:
	case CMD_WISH_LIST:
	case CMD_WISH_DELETE:
		on_command_wish(c, m, r);
		break;
	case CMD_PASSKEY_FIND:
	case CMD_PASSKEY_ADD:
	case CMD_PASSKEY_LOGIN:
	case CMD_PASSKEY_LIST:
	case CMD_PASSKEY_RENAME:
	case CMD_PASSKEY_DELETE:
		on_command_passkey(c, m, r);
		break;
	case CMD_LOGIN:
	case CMD_IDENTITY_LIST:
	case CMD_IDENTITY_LINK:
	case CMD_IDENTITY_UNLINK:
	case CMD_IDENTITY_REFRESH:
	case CMD_IDENTITY_TOKEN:
	case CMD_IDENTITY_GONE:
	case CMD_BACK_CHANNEL:
	case CMD_SIGNIN_CHECK:
	case CMD_SIGNIN_LIST:
	case CMD_SIGNIN_END:
	case CMD_AUTH_CONNECT:
	case CMD_AUTH_DENY:
		on_command_login(c, m, r);
		break;
	case CMD_AUTHKEY_CREATE:
	case CMD_AUTHKEY_LIST:
	case CMD_AUTHKEY_EXPIRE:
	case CMD_AUTHKEY_DELETE:
		on_command_key(c, m, r);
		break;
	case CMD_APIKEY_CREATE:
	case CMD_APIKEY_LIST:
	case CMD_APIKEY_EXPIRE:
	case CMD_APIKEY_DELETE:
	case CMD_APIKEY_CHECK:
	case CMD_APIKEY_LOOK:
	case CMD_APIKEY_UPDATE:
	case CMD_APIKEY_REVOKE:
	case CMD_APIKEY_TOKEN:
		on_command_apikey(c, m, r);
		break;
	case CMD_POLICY_SET:
	case CMD_POLICY_CHECK:
	case CMD_POLICY_ROLLBACK:
	case CMD_POLICY_PREVIEW:
	case CMD_POLICY_EXPLAIN:
	case CMD_POLICY_MATCHES:
	case CMD_POLICY_WHO:
	case CMD_POLICY_WHAT:
	case CMD_POLICY_MATRIX:
	case CMD_POLICY_GRAPH:
	case CMD_POLICY_SSH:
	case CMD_POLICY_FORMAT:
	case CMD_POLICY_DIFF:
		if (job_begin(c, e, t, r))
			return;
		break;
	case CMD_POLICY_GET:
	case CMD_POLICY_HISTORY:
	case CMD_POLICY_VERSION:
		on_command_policy(c, m, r);
		break;
	case CMD_POLICY_REREAD: /* nobody asks for it */
		reply_fail(r, ERR_INVALID, "no such command");
		break;
	case CMD_DRAFT_GET:
	case CMD_DRAFT_SET:
	case CMD_DRAFT_DELETE:
		on_command_draft(c, m, r);
		break;
	case CMD_SETTINGS_LIST:
	case CMD_SETTINGS_SET:
	case CMD_SETTINGS_RESET:
	case CMD_SETTINGS_PATCH:
	case CMD_DNS_RECORDS:
		on_command_settings(c, m, r);
		break;
	case CMD_SERVICE_LIST:
	case CMD_SERVICE_SET:
	case CMD_SERVICE_DELETE:
	case CMD_SERVICE_APPROVE:
		on_command_service(c, m, r);
		break;
	case CMD_LOCK_STATUS:
		on_command_lock(c, t, r);
		break;
	case CMD_WEBHOOK_CREATE:
	case CMD_WEBHOOK_LIST:
	case CMD_WEBHOOK_UPDATE:
	case CMD_WEBHOOK_ROTATE:
	case CMD_WEBHOOK_DELETE:
	case CMD_WEBHOOK_FORGET:
	case CMD_WEBHOOK_CURSOR:
		on_command_webhook(c, m, r);
		break;
	case CMD_DERPMAP_GET:
		derp_map_text(c, t, r);
		break;
	case CMD_STATS:
		stats(c, r);
		break;
	case CMD_ME:
		stats(c, r);
		on_command_console(c, t, m, r);
		break;
	case CMD_PEOPLE:
		on_command_console(c, t, m, r);
		break;
	}
	if (r->deferred) {
		reply_free(r);
		return;
	}
	if (r->e != OK) {
		core_abort(c);
		if (!r->message)
			reply_fail(r, r->e, "%s", err_text(r->e));
	}
	fx_reply(c, e->call, r);
}
