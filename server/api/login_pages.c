#include "server/api/login.h"

#include <jansson.h>

#include "common/base/cleanup.h"
#include "common/base/clock.h"
#include "server/api/browser.h"
#include "server/api/handlers.h"
#include "server/api/my.h"
#include "server/api/page.h"
#include "server/api/reach_text.h"
#include "server/api/state.h"
#include "server/login/login.h"

enum {
	PROOF_LEN = 8,		   /* hexadecimal digits: 32 bits of the link */
	DEVICE_TEXT_MAX = 64 << 10, /* names and tags that a device told, escaped */
};

/* ---- a link that nobody can answer by signing in ---- */

static const char *said(const json_t *hostinfo, const char *key)
{
	const char *text = json_string_value(json_object_get(hostinfo, key));

	return text ? text : "";
}

/* "Linux, Debian 12, Tailscale 1.98.2" */
static void put_system(struct buf *b, const struct pending_row *p)
{
	CLEANUP(json_decrefp) json_t *h = json_loads(p->hostinfo_json ? p->hostinfo_json : "", 0, NULL);
	const char *distro = said(h, "Distro"), *version = said(h, distro[0] ? "DistroVersion" : "OSVersion"), *client = said(h, "IPNVersion");

	buf_printf(b, "<dt>%s</dt><dd>", word(W_SYSTEM));
	put_escaped(b, p->os && p->os[0] ? system_name(p->os) : word(W_NOT_KNOWN));
	if (distro[0]) {
		buf_append_str(b, ", ");
		put_escaped(b, distro);
	}
	if (version[0] && (distro[0] || strcmp(p->os ? p->os : "", "linux") != 0)) { /* Linux alone would say its kernel's */
		buf_append_str(b, " ");
		put_escaped(b, version);
	}
	if (client[0]) {
		buf_append_str(b, ", Tailscale ");
		put_escaped_bytes(b, bytes_of(client, strcspn(client, "-")));
	}
	buf_append_str(b, "</dd>");
}

/* The link is what the device shows: whoever sees its end there, and here, has this device before them. */
static void put_device(struct buf *b, const struct pending_row *p)
{
	buf_printf(b, "<div class=\"proof\"><span>%s</span><code>%s</code></div><dl>", word(W_PROOF), p->auth_id + AUTH_ID_LEN - PROOF_LEN);
	put_fact(b, W_NAME, p->hostname);
	put_system(b, p);
	buf_printf(b, "<dt>%s</dt><dd>", word(W_ASKED_FROM));
	put_escaped(b, p->remote && p->remote[0] ? p->remote : word(W_NOT_KNOWN));
	buf_append_str(b, ", ");
	put_since(b, p->created_ms, clock_wall_ms());
	buf_append_str(b, "</dd>");
	for (size_t i = 0; i < p->n_request_tags; i++)
		put_fact(b, W_TAGS, p->request_tags[i]);
}

enum MHD_Result login_show_waiting(struct request *r, const struct reply *reply)
{
	if (reply->e == ERR_NOT_FOUND || (reply->e == OK && !reply->n_pendings))
		return page_gone(r);
	if (reply->e != OK)
		return page_busy(r, status_of(reply->e));
	const struct pending_row *p = &reply->pendings[0];
	struct buf b = page_begin(r, W_WAITING);
	put_device(&b, p);
	buf_append_str(&b, "</dl>");
	buf_printf(&b, "<p><a class=\"button\" data-kind=\"primary\" href=\"/login?connect=%s\">%s</a></p>", p->auth_id, word(W_WAITING_SIGN_IN));
	put_word(&b, W_WAITING_CLI);
	buf_printf(&b, "<pre>fairlead nodes register --auth-id %s --user NAME</pre>", p->auth_id);
	put_word(&b, W_WAITING_ON);
	return page_end(r, 200, &b);
}

static void put_session(struct buf *b, const struct ssh_check_info *k)
{
	buf_append_str(b, "<dl>");
	put_fact(b, W_SSH_FROM, k->src_name);
	put_fact(b, W_SSH_OF, k->src_user);
	put_fact(b, W_SSH_TO, k->dst_name);
	put_fact(b, W_SSH_AS, k->local_user);
	put_ago(b, W_ASKED_AGO, k->created_ms, clock_wall_ms());
	buf_append_str(b, "</dl>");
}

enum MHD_Result login_show_ssh(struct request *r, const struct reply *reply)
{
	if (reply->e == ERR_NOT_FOUND || (reply->e == OK && !reply->n_ssh_checks))
		return page_say(r, 404, W_SORRY, W_SSH_GONE);
	if (reply->e != OK)
		return page_busy(r, status_of(reply->e));
	struct buf b = page_begin(r, W_SSH);
	put_session(&b, &reply->ssh_checks[0]);
	put_word(&b, W_SSH_CLI);
	buf_printf(&b, "<pre>fairlead auth approve --auth-id %s\nfairlead auth reject --auth-id %s</pre>", reply->ssh_checks[0].auth_id,
			reply->ssh_checks[0].auth_id);
	return page_end(r, 200, &b);
}

/* ---- who is here ---- */

struct person { /* copied: the reply that told of them is gone when the next one comes */
	const char *name, *login;
	int64_t id, auth_ms;
	bool waits;	    /* for approval */
	const char *device; /* a piece of the page that is written already */
};

static struct person *note_person(struct request *r, const struct reply *reply)
{
	struct person *p = arena_alloc(&r->arena, sizeof *p);
	const struct user_row *u = &reply->users[0];
	bool mail = u->email && *u->email;

	if (!p)
		return NULL;
	p->name = arena_str(&r->arena, bytes_str(u->name));
	p->login = arena_str(&r->arena, bytes_str(mail ? u->email : u->name));
	p->id = u->id;
	p->waits = u->waits_ms != 0;
	p->auth_ms = reply->signins[0].auth_ms;
	r->keep = p;
	return p->name && p->login ? p : NULL;
}

static bool signed_in(const struct reply *reply)
{
	return reply->e == OK && reply->n_users == 1 && reply->n_signins == 1;
}

static bool is_fresh(const struct reply *reply)
{
	return signed_in(reply) && clock_wall_ms() - reply->signins[0].auth_ms <= SIGNIN_FRESH_MS;
}

static const char *under(struct request *r, const char *path, const char *what)
{
	return arena_printf(&r->arena, "/%s/%s%s", path, r->param[0], what);
}

/* ---- consent ---- */

/* What the device's name says comes from the device: it stands among the facts, and never in the title or on the button. */
static enum MHD_Result show_consent(struct request *r, const struct reply *reply)
{
	const struct person *who = r->keep;
	const char *csrf = csrf_of(r, r->token), *yes = under(r, "connect", ""), *no = under(r, "connect", "/deny");

	if (!csrf || !yes || !no)
		return answer_error(r, 500, "out of memory");
	struct buf b = page_begin(r, W_CONNECT);
	buf_printf(&b, "<p class=\"muted\">%s <b>", word(W_CONNECT_OWNER));
	put_escaped(&b, who->login);
	buf_append_str(&b, "</b>.</p>");
	buf_append_str(&b, who->device);
	reach_put(&b, reply);
	buf_printf(&b, "</dl><p class=\"notice\">%s</p>", word(W_CONNECT_WARN));
	if (who->waits)
		buf_printf(&b, "<p class=\"notice\" data-tone=\"warn\">%s</p>", word(W_CONNECT_WAITS));
	buf_append_str(&b, "<div class=\"row\">");
	put_button(&b, "primary", yes, csrf, W_CONNECT_YES);
	put_button(&b, "", no, csrf, W_CONNECT_NO);
	buf_append_str(&b, "</div>");
	return page_end(r, 200, &b);
}

static enum MHD_Result on_connect_waiting(struct request *r, const struct reply *reply)
{
	struct person *who = r->keep;
	char date[DATE_MAX];

	if (reply->e == OK && reply->n_ssh_checks)
		return answer_redirect(r, 303, under(r, "auth", ""));
	if (reply->e != OK || !reply->n_pendings)
		return login_show_waiting(r, reply);
	struct buf b = buf_make(DEVICE_TEXT_MAX);
	put_device(&b, &reply->pendings[0]);
	if (reply->expires_ms)
		buf_printf(&b, "<dt>%s</dt><dd>%s %lld %s, %s %s</dd>", word(W_SIGN_IN_FACT), word(W_ENDS_IN),
				(long long)((reply->expires_ms - clock_wall_ms() + DAY_MS / 2) / DAY_MS), word(W_DAYS), word(W_ON), date_text(reply->expires_ms, date));
	else
		put_fact(&b, W_SIGN_IN_FACT, word(W_ENDS_NEVER));
	who->device = b.bad ? NULL : arena_str(&r->arena, buf_view(&b));
	buf_done(&b);
	struct command *c = who->device ? command_for(r, CMD_POLICY_WHAT) : NULL;
	if (c) {
		c->auth_id = command_str(c, r->param[0]);
		c->key_text = command_str(c, r->token);
	}
	return ask(r, c, show_consent);
}

static enum MHD_Result on_connect_signin(struct request *r, const struct reply *reply)
{
	if (!is_fresh(reply))
		return answer_redirect(r, 302, under(r, "register", ""));
	if (!note_person(r, reply))
		return answer_error(r, 500, "out of memory");
	struct command *c = command_for(r, CMD_AUTH_GET);
	if (c) {
		c->auth_id = command_str(c, r->param[0]);
		c->key_text = command_str(c, r->token);
	}
	return ask(r, c, on_connect_waiting);
}

enum MHD_Result login_page_connect(struct request *r)
{
	if (!is_auth_id(r->param[0]))
		return page_say(r, 400, W_SORRY, W_SORRY_BAD_LINK);
	return ask_signin(r, on_connect_signin);
}

static enum MHD_Result on_connected(struct request *r, const struct reply *reply)
{
	char text[ADDR_TEXT_MAX], ends[DATE_MAX];

	if (reply->e == ERR_NOT_FOUND)
		return page_gone(r);
	if (reply->e != OK)
		return page_refused(r, status_of(reply->e), reply->message, NULL);
	const struct node_row *n = &reply->nodes[0]->row;
	bool user_waits = reply->n_users && reply->users[0].waits_ms, waits = user_waits || !reply->nodes[0]->approved;
	struct buf b = waits ? buf_make(DEVICE_TEXT_MAX) : page_begin(r, W_DONE);
	put_word(&b, user_waits ? W_DONE_USER_WAITS : waits ? W_DONE_WAITS_TEXT : W_DONE_TEXT);
	buf_append_str(&b, "<dl>");
	put_fact(&b, W_NAME, n->given_name);
	put_fact(&b, W_DONE_OWNER, n->n_tags ? n->tags[0] : reply->n_users ? reply->users[0].name : "");
	put_fact(&b, W_DONE_ADDRESS, addr_text(n->v4.family ? n->v4 : n->v6, text));
	put_fact(&b, W_DONE_KEY_ENDS, n->expires_ms ? date_text(n->expires_ms, ends) : word(W_DONE_NEVER));
	buf_append_str(&b, "</dl>");
	if (waits)
		return page_waits(r, &b, "/my");
	buf_append_str(&b, "<div class=\"row\">");
	put_link(&b, "", "/my", W_MY_OPEN);
	buf_append_str(&b, "</div>");
	return page_end(r, 200, &b);
}

static enum MHD_Result on_denied(struct request *r, const struct reply *reply)
{
	if (reply->e == ERR_NOT_FOUND)
		return page_gone(r);
	if (reply->e != OK)
		return page_refused(r, status_of(reply->e), reply->message, NULL);
	return page_say(r, 200, W_DENIED, W_DENIED_TEXT);
}

static enum MHD_Result decide(struct request *r, const struct reply *reply, enum command_kind kind, reply_handler *next)
{
	if (!is_fresh(reply))
		return answer_redirect(r, 303, under(r, "register", ""));
	if (!csrf_ok(r, r->token))
		return page_say(r, 403, W_FORM_OLD, W_FORM_OLD_TEXT);
	struct command *c = command_for(r, kind);
	if (c) {
		c->auth_id = command_str(c, r->param[0]);
		c->key_text = command_str(c, r->token);
	}
	return ask(r, c, next);
}

static enum MHD_Result on_connect_post(struct request *r, const struct reply *reply)
{
	return decide(r, reply, CMD_AUTH_CONNECT, on_connected);
}

static enum MHD_Result on_deny_post(struct request *r, const struct reply *reply)
{
	return decide(r, reply, CMD_AUTH_DENY, on_denied);
}

enum MHD_Result login_connect(struct request *r)
{
	if (!is_auth_id(r->param[0]))
		return page_say(r, 400, W_SORRY, W_SORRY_BAD_LINK);
	return ask_signin(r, on_connect_post);
}

enum MHD_Result login_deny(struct request *r)
{
	if (!is_auth_id(r->param[0]))
		return page_say(r, 400, W_SORRY, W_SORRY_BAD_LINK);
	return ask_signin(r, on_deny_post);
}

/* ---- SSH in check mode: confirmed by somebody who signed in after it was asked ---- */

static enum MHD_Result on_auth_waiting(struct request *r, const struct reply *reply)
{
	const struct person *who = r->keep;

	if (reply->e != OK || !reply->n_ssh_checks)
		return login_show_ssh(r, reply);
	const struct ssh_check_info *k = &reply->ssh_checks[0];
	if (!who || who->auth_ms < k->created_ms)
		return login_start(r, r->param[0]);
	if (who->id != k->src_user_id)
		return page_say(r, 403, W_REFUSED, W_SSH_NOT_OWNER);
	const char *csrf = csrf_of(r, r->token), *yes = under(r, "auth", ""), *no = under(r, "auth", "/deny");
	if (!csrf || !yes || !no)
		return answer_error(r, 500, "out of memory");
	struct buf b = page_begin(r, W_SSH);
	put_session(&b, k);
	buf_printf(&b, "<p class=\"notice\">%s</p><div class=\"row\">", word(W_SSH_WARN));
	put_button(&b, "primary", yes, csrf, W_SSH_YES);
	put_button(&b, "", no, csrf, W_SSH_NO);
	buf_append_str(&b, "</div>");
	return page_end(r, 200, &b);
}

static enum MHD_Result on_auth_signin(struct request *r, const struct reply *reply)
{
	r->keep = NULL;
	if (signed_in(reply) && !note_person(r, reply))
		return answer_error(r, 500, "out of memory");
	return login_ask_waiting(r, r->param[0], on_auth_waiting);
}

enum MHD_Result login_page_auth(struct request *r)
{
	if (!is_auth_id(r->param[0]))
		return page_say(r, 400, W_SORRY, W_SORRY_BAD_LINK);
	return ask_signin(r, on_auth_signin);
}

static enum MHD_Result on_ssh_decided(struct request *r, const struct reply *reply)
{
	bool deny = strstr(r->route->pattern, "/deny") != NULL;

	if (reply->e == ERR_NOT_FOUND)
		return page_say(r, 404, W_SORRY, W_SSH_GONE);
	if (reply->e != OK)
		return page_refused(r, reply->e == ERR_AUTH ? 403 : status_of(reply->e), reply->message, NULL);
	return deny ? page_say(r, 200, W_SSH_REFUSED, W_SSH_REFUSED_TEXT) : page_say(r, 200, W_SSH_DONE, W_SSH_DONE_TEXT);
}

static enum MHD_Result ssh_decide(struct request *r, const struct reply *reply, enum command_kind kind)
{
	if (!is_fresh(reply))
		return answer_redirect(r, 303, under(r, "auth", ""));
	if (!csrf_ok(r, r->token))
		return page_say(r, 403, W_FORM_OLD, W_FORM_OLD_TEXT);
	r->actor = arena_printf(&r->arena, "user:%s", reply->users[0].name);
	struct command *c = command_for(r, kind);
	if (c) {
		c->auth_id = command_str(c, r->param[0]);
		c->user = command_str(c, reply->users[0].name);
		c->key_text = command_str(c, r->token); /* whose session must be newer than the question */
	}
	return ask(r, c, on_ssh_decided);
}

static enum MHD_Result on_auth_confirm(struct request *r, const struct reply *reply)
{
	return ssh_decide(r, reply, CMD_AUTH_APPROVE);
}

static enum MHD_Result on_auth_deny(struct request *r, const struct reply *reply)
{
	return ssh_decide(r, reply, CMD_AUTH_REJECT);
}

enum MHD_Result login_auth_confirm(struct request *r)
{
	return is_auth_id(r->param[0]) ? ask_signin(r, on_auth_confirm) : page_say(r, 400, W_SORRY, W_SORRY_BAD_LINK);
}

enum MHD_Result login_auth_deny(struct request *r)
{
	return is_auth_id(r->param[0]) ? ask_signin(r, on_auth_deny) : page_say(r, 400, W_SORRY, W_SORRY_BAD_LINK);
}

/* ---- /logout ---- */

static enum MHD_Result on_signed_out(struct request *r, const struct reply *reply)
{
	if (reply->e != OK)
		return page_busy(r, 503);
	signin_forget(r);
	return page_say(r, 200, W_SIGNED_OUT, W_SIGNED_OUT_TEXT);
}

static enum MHD_Result on_logout_signin(struct request *r, const struct reply *reply)
{
	if (!signed_in(reply)) {
		signin_forget(r);
		return page_say(r, 200, W_SIGNED_OUT, W_SIGNED_OUT_TEXT);
	}
	if (!csrf_ok(r, r->token))
		return page_say(r, 403, W_FORM_OLD, W_FORM_OLD_TEXT);
	r->actor = arena_printf(&r->arena, "user:%s", reply->users[0].name);
	struct command *c = command_for(r, CMD_SIGNIN_END);
	if (c)
		c->key_text = command_str(c, r->token);
	return ask(r, c, on_signed_out);
}

enum MHD_Result login_logout(struct request *r)
{
	return ask_signin(r, on_logout_signin);
}
