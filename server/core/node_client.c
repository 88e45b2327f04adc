#include "server/core/state.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/base/cleanup.h"
#include "common/base/log.h"
#include "common/base/random.h"
#include "common/text/hex.h"
#include "common/text/jsonw.h"

/* What clients report of themselves (update-health, audit-log), and small things they ask for (id-token, feature/query,
 * webclient): protocol/control.md 4.2 to 4.7. The node is the asking machine's. */

enum {
	TOKEN_LIFE_MS = 5 * 60 * 1000,
	TOKEN_AUDIENCE_MAX = 512,
	TOKENS_PER_MINUTE = 30, /* of one node: signing costs */
	CLIENT_AUDITS_PER_MINUTE = 30,
};

/* At most n a minute of each node. */
static bool allow(struct core *c, struct node_rate *r, unsigned n)
{
	if (c->now.mono_ms - r->since_ms >= 60000) {
		r->since_ms = c->now.mono_ms;
		r->used = 0;
	}
	return r->used++ < n;
}

/* ---- id-token ---- */

static void write_claims(struct jsonw *w, struct core *c, const struct node *n, const char *audience)
{
	const struct core_settings *set = &n->t->set;
	const char *domain = set->domain && *set->domain ? set->domain : set->base_domain;
	const struct user *u = user_by_id(c, n->row.user_id);
	char key[KEY_TEXT_MAX], addr[ADDR_TEXT_MAX], jti[33];
	uint8_t random[16];
	struct arena a = arena_make(4096);

	random_fill(random, sizeof random);
	hex_encode(bytes_of(random, sizeof random), jti);
	char *name = map_fqdn(&a, set, n->row.given_name);
	if (name && *name)
		name[strlen(name) - 1] = 0; /* without the dot at the end */
	jsonw_obj(w);
	jsonw_key(w, "iss"), jsonw_str(w, set->server_url);
	jsonw_key(w, "sub"), jsonw_str(w, name);
	jsonw_key(w, "aud"), jsonw_str(w, audience);
	jsonw_key(w, "iat"), jsonw_int(w, c->now.wall_ms / 1000);
	jsonw_key(w, "nbf"), jsonw_int(w, c->now.wall_ms / 1000);
	jsonw_key(w, "exp"), jsonw_int(w, (c->now.wall_ms + TOKEN_LIFE_MS) / 1000);
	jsonw_key(w, "jti"), jsonw_str(w, jti);
	jsonw_key(w, "key"), jsonw_str(w, node_pub_text(&n->row.key, key));
	jsonw_key(w, "addresses"), jsonw_arr(w);
	if (n->row.v4.family)
		jsonw_str(w, addr_text(n->row.v4, addr));
	if (n->row.v6.family)
		jsonw_str(w, addr_text(n->row.v6, addr));
	jsonw_arr_end(w);
	jsonw_key(w, "nid"), jsonw_int(w, n->row.id);
	jsonw_key(w, "node"), jsonw_str(w, name);
	jsonw_key(w, "domain"), jsonw_str(w, domain);
	if (n->row.n_tags) {
		jsonw_key(w, "tags"), jsonw_arr(w);
		for (size_t i = 0; i < n->row.n_tags; i++)
			jsonw_str(w, arena_printf(&a, "%s:%s", domain, n->row.tags[i]));
		jsonw_arr_end(w);
	}
	if (u) {
		jsonw_key(w, "user"), jsonw_str(w, arena_printf(&a, "%s:%s", domain, map_login_name(&u->row)));
		jsonw_key(w, "uid"), jsonw_int(w, u->row.id);
	}
	jsonw_obj_end(w);
	arena_done(&a);
}

static void id_token(struct core *c, struct event *e, struct node *n)
{
	struct tailcfg_token_request *q;
	struct json_why why;

	if (tailcfg_token_request_parse(e->body, &e->arena, &q, &why) != OK) {
		answer_http(c, e->call, 400, why.text);
		return;
	}
	if (!*q->audience || strlen(q->audience) > TOKEN_AUDIENCE_MAX) {
		answer_http(c, e->call, 400, "an audience of 1 to 512 bytes is needed\n");
		return;
	}
	if (n->shut != SHUT_NO || node_is_expired(c, n)) {
		answer_http(c, e->call, 403, "this node takes no part in the tailnet now\n");
		return;
	}
	if (!n->t->set.sign_token) {
		answer_http(c, e->call, 501, "this server issues no identity tokens\n");
		return;
	}
	if (!allow(c, &n->tokens, TOKENS_PER_MINUTE)) {
		answer_http(c, e->call, 429, "too many tokens; try again in a minute\n");
		return;
	}
	struct buf claims = buf_make(64 * 1024), out = buf_make(128 * 1024);
	struct jsonw w = jsonw_init(&claims);
	write_claims(&w, c, n, q->audience);
	buf_append_u8(&claims, 0);
	CLEANUP(freep) char *jwt = claims.bad ? NULL : n->t->set.sign_token(n->t->set.sign_ctx, (const char *)buf_view(&claims).p);
	buf_done(&claims);
	if (!jwt) {
		buf_done(&out);
		answer_http(c, e->call, 503, "out of memory\n");
		return;
	}
	w = jsonw_init(&out);
	jsonw_obj(&w);
	jsonw_key(&w, "id_token"), jsonw_str(&w, jwt);
	jsonw_obj_end(&w);
	answer_node_json(c, e->call, &out);
}

/* ---- reports ---- */

/* Clients up to 1.88 send these unasked. For the log of operators; nothing is kept. */
static void update_health(struct core *c, struct event *e, const struct node *n)
{
	struct tailcfg_health_change_request *q;
	struct json_why why;

	if (tailcfg_health_change_request_parse(e->body, &e->arena, &q, &why) != OK) {
		answer_http(c, e->call, 400, why.text);
		return;
	}
	if (*q->error)
		log_debug("a client reports a problem", "node=%" PRId64 " part=%s text=%s", n->row.id, log_qs(q->subsys).s, log_qs(q->error).s);
	answer_http(c, e->call, 204, "");
}

static void audit_log(struct core *c, struct event *e, struct node *n)
{
	struct tailcfg_audit_log_request *q;
	struct json_why why;

	if (tailcfg_audit_log_request_parse(e->body, &e->arena, &q, &why) != OK) {
		answer_http(c, e->call, 400, why.text);
		return;
	}
	if (!*q->action || strlen(q->action) > 64 || strlen(q->details) > 1024) {
		answer_http(c, e->call, 400, "an action of 64 bytes and details of 1024 bytes at most\n");
		return;
	}
	if (!allow(c, &n->audits, CLIENT_AUDITS_PER_MINUTE)) {
		answer_http(c, e->call, 429, "too many records; try again in a minute\n"); /* the client does */
		return;
	}
	audit_who_node(c, e, &n->row.key);
	if (audit_note_node(c, n, q->action, q->details) != OK) {
		core_abort(c);
		answer_http(c, e->call, 503, "out of memory\n");
		return;
	}
	answer_http(c, e->call, 200, "{}\n");
}

/* ---- questions ---- */

/* "serve" asks for HTTPS certificates, "funnel" for a way in from the internet: neither is to be had here. */
static void feature_query(struct core *c, struct event *e)
{
	struct tailcfg_query_feature_request *q;
	struct json_why why;
	struct buf out = buf_make(4096);
	struct jsonw w = jsonw_init(&out);
	char text[240];

	if (tailcfg_query_feature_request_parse(e->body, &e->arena, &q, &why) != OK) {
		buf_done(&out);
		answer_http(c, e->call, 400, why.text);
		return;
	}
	if (strcmp(q->feature, "serve") == 0)
		snprintf(text, sizeof text, "This server gives out no HTTPS certificates. Serve over HTTP or TCP works: tailscale serve --http=80, --tcp=PORT.");
	else if (strcmp(q->feature, "funnel") == 0)
		snprintf(text, sizeof text, "Funnel is not available on this server: it has no way in from the internet.");
	else
		snprintf(text, sizeof text, "%.40s is not available on this server.", *q->feature ? q->feature : "This feature");
	jsonw_obj(&w);
	jsonw_key(&w, "Text"), jsonw_str(&w, text);
	jsonw_obj_end(&w);
	answer_node_json(c, e->call, &out);
}

static bool starts_with(const struct event *e, const char *path)
{
	return strncmp(or_empty(e->path), path, strlen(path)) == 0;
}

bool on_node_client_request(struct core *c, struct event *e, struct node *n)
{
	const char *path = or_empty(e->path);

	if (strcmp(path, "/machine/id-token") == 0)
		id_token(c, e, n);
	else if (strcmp(path, "/machine/update-health") == 0)
		update_health(c, e, n);
	else if (strcmp(path, "/machine/audit-log") == 0)
		audit_log(c, e, n);
	else if (strcmp(path, "/machine/feature/query") == 0)
		feature_query(c, e);
	else if (starts_with(e, "/machine/webclient/"))
		answer_http(c, e->call, 501, "this server does not offer logins to device web interfaces; open the interface from a device of its owner\n");
	else
		return false;
	return true;
}
