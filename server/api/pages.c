#include "common/base/version.h"
#include "server/api/handlers.h"
#include "server/api/state.h"

enum { PAGE_MAX = 64 << 10 };

/* ---- pages: no scripts, nothing loaded, readable on a phone ---- */

/* A file of its own, so that the pages need no inline style and the content policy can forbid it. */
static const char style[] =
	"body{font:17px/1.5 system-ui,sans-serif;max-width:40rem;margin:2rem auto;padding:0 1rem;color:#1b2733;background:#fff}"
	"h1{font-size:1.5rem}dt{color:#566}dd{margin:0 0 .7rem;overflow-wrap:anywhere}"
	"pre{background:#eef2f5;padding:1rem;border-radius:.5rem;white-space:pre-wrap;overflow-wrap:anywhere}"
	"@media(prefers-color-scheme:dark){body{color:#dde5ec;background:#141b22}pre{background:#202a34}dt{color:#9ab}}\n";

enum MHD_Result api_page_style(struct request *r)
{
	return answer_text(r, 200, "text/css; charset=utf-8", style);
}

static struct buf page_begin(const char *title)
{
	struct buf b = buf_make(PAGE_MAX);

	buf_printf(&b,
		"<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">"
		"<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\"><title>%s</title>"
		"<link rel=\"stylesheet\" href=\"/style.css\"></head><body><main><h1>%s</h1>",
		title, title);
	return b;
}

static enum MHD_Result page_end(struct request *r, unsigned status, struct buf *b)
{
	buf_append_str(b, "</main></body></html>\n");
	return answer_page(r, status, b);
}

static void put_escaped(struct buf *b, const char *text)
{
	for (const char *c = text ? text : ""; *c; c++) {
		switch (*c) {
		case '&':
			buf_append_str(b, "&amp;");
			break;
		case '<':
			buf_append_str(b, "&lt;");
			break;
		case '>':
			buf_append_str(b, "&gt;");
			break;
		case '"':
			buf_append_str(b, "&quot;");
			break;
		case '\'':
			buf_append_str(b, "&#39;");
			break;
		default:
			buf_append_u8(b, (uint8_t)*c);
		}
	}
}

static void put_fact(struct buf *b, const char *name, const char *value)
{
	if (!value || !value[0])
		return;
	buf_printf(b, "<dt>%s</dt><dd>", name);
	put_escaped(b, value);
	buf_append_str(b, "</dd>");
}

static enum MHD_Result sorry(struct request *r, unsigned status, const char *text)
{
	struct buf b = page_begin("This link cannot be used");

	buf_printf(&b, "<p>%s</p>", text);
	return page_end(r, status, &b);
}

static enum MHD_Result on_waiting_device(struct request *r, const struct reply *reply)
{
	char key[KEY_SHORT_MAX];

	if (reply->e == ERR_NOT_FOUND || (reply->e == OK && !reply->n_pendings))
		return sorry(r, 404, "No device waits under this link: it has joined already, or the link is too old. "
				     "Run <code>tailscale up</code> on the device again.");
	if (reply->e != OK)
		return sorry(r, status_of(reply->e), "The server cannot answer just now. Try again in a moment.");
	const struct pending_row *p = &reply->pendings[0];
	struct buf b = page_begin("A device wants to join");
	buf_append_str(&b, "<dl>");
	put_fact(&b, "Name", p->hostname);
	put_fact(&b, "System", p->os);
	put_fact(&b, "Key", node_pub_short(&p->key, key));
	buf_append_str(&b, "</dl><p>If this is your device, let it in on the server with this command, "
			   "with the name of its owner for NAME:</p>");
	buf_printf(&b, "<pre>fairlead nodes register --auth-id %s --user NAME</pre>", p->auth_id);
	buf_append_str(&b, "<p>The device goes on by itself then. If you do not know it, do nothing.</p>");
	return page_end(r, 200, &b);
}

enum MHD_Result api_page_register(struct request *r)
{
	if (!is_auth_id(r->param[0]))
		return sorry(r, 400, "This is not a link that a device was given. Copy it whole.");
	struct command *c = command_for(r, CMD_AUTH_GET);
	if (c)
		c->auth_id = command_str(c, r->param[0]);
	return ask(r, c, on_waiting_device);
}

static enum MHD_Result on_waiting_session(struct request *r, const struct reply *reply)
{
	if (reply->e == ERR_NOT_FOUND || (reply->e == OK && !reply->n_ssh_checks))
		return sorry(r, 404, "No SSH session waits under this link: it was confirmed or refused already, or the link is too old. "
				     "Connect again to get a new one.");
	if (reply->e != OK)
		return sorry(r, status_of(reply->e), "The server cannot answer just now. Try again in a moment.");
	const struct ssh_check_info *k = &reply->ssh_checks[0];
	struct buf b = page_begin("An SSH session wants in");
	buf_append_str(&b, "<dl>");
	put_fact(&b, "From", k->src_name);
	put_fact(&b, "Of", k->src_user);
	put_fact(&b, "To", k->dst_name);
	put_fact(&b, "As", k->local_user);
	buf_append_str(&b, "</dl><p>If you have just started it, confirm it on the server with this command:</p>");
	buf_printf(&b, "<pre>fairlead auth approve --auth-id %s</pre>", k->auth_id);
	buf_printf(&b, "<p>If you did not, refuse it:</p><pre>fairlead auth reject --auth-id %s</pre>", k->auth_id);
	return page_end(r, 200, &b);
}

enum MHD_Result api_page_auth(struct request *r)
{
	if (!is_auth_id(r->param[0]))
		return sorry(r, 400, "This is not a link that was given out here. Copy it whole.");
	struct command *c = command_for(r, CMD_AUTH_GET);
	if (c)
		c->auth_id = command_str(c, r->param[0]);
	return ask(r, c, on_waiting_session);
}

enum MHD_Result api_page_root(struct request *r)
{
	struct buf b = page_begin("Fairlead");

	buf_append_str(&b, "<p>This is a coordination server for Tailscale clients. A device joins with</p>"
			   "<pre>tailscale up --login-server ");
	put_escaped(&b, r->api->cfg.server_url);
	buf_append_str(&b, "</pre>");
	return page_end(r, 200, &b);
}

enum MHD_Result api_page_admin(struct request *r)
{
	struct buf b = page_begin("Administration");

	buf_append_str(&b, "<p>This server is administered from its command line:</p><pre>fairlead --help\nfairlead nodes list\n"
			   "fairlead users create NAME</pre><p>or by tools for Headscale&#39;s API, with a key made by</p>"
			   "<pre>fairlead apikeys create --expiration 90d</pre>");
	return page_end(r, 200, &b);
}

enum MHD_Result api_page_robots(struct request *r)
{
	return answer_text(r, 200, "text/plain", "User-agent: *\nDisallow: /\n");
}

/* ---- what machines ask ---- */

static enum MHD_Result on_health(struct request *r, const struct reply *reply)
{
	return answer_text(r, reply->e == OK ? 200 : 500, "application/health+json",
			reply->e == OK ? "{\"status\":\"pass\"}" : "{\"status\":\"fail\"}");
}

enum MHD_Result api_health(struct request *r)
{
	return ask(r, command_for(r, CMD_HEALTH), on_health);
}

static enum MHD_Result on_health_v1(struct request *r, const struct reply *reply)
{
	FAIL_ON(r, reply);
	return answer_text(r, 200, "application/json", "{\"databaseConnectivity\":true}");
}

enum MHD_Result api_health_v1(struct request *r)
{
	return ask(r, command_for(r, CMD_HEALTH), on_health_v1);
}

/* Tools switch into modes for old Headscales by this number; ours stands behind the plus sign. */
#define HEADSCALE_LEVEL "0.30.0"

enum MHD_Result api_version(struct request *r)
{
	struct buf out;
	struct jsonw w = answer_begin(&out);
	struct buf label = buf_make(96);

	buf_printf(&label, "%s+fairlead.%s", HEADSCALE_LEVEL, fairlead_version);
	jsonw_key(&w, "version"), jsonw_bytes(&w, buf_view(&label));
	jsonw_key(&w, "commit"), jsonw_str(&w, fairlead_commit);
	jsonw_key(&w, "dirty"), jsonw_bool(&w, false);
	jsonw_key(&w, "product"), jsonw_str(&w, "fairlead");
	jsonw_key(&w, "productVersion"), jsonw_str(&w, fairlead_version);
	buf_done(&label);
	return answer_end(r, &w, &out);
}

/* A relay elsewhere asks whether a node may use it: {"NodePublic": "nodekey:…"} -> {"Allow": bool}. */
static enum MHD_Result on_verified(struct request *r, const struct reply *reply)
{
	if (reply->e != OK && status_of(reply->e) >= 500)
		return answer_fault(r, reply, "");
	return answer_text(r, 200, "application/json", reply->e == OK ? "{\"Allow\":true}" : "{\"Allow\":false}");
}

enum MHD_Result api_verify(struct request *r)
{
	struct command *c = command_for(r, CMD_VERIFY);
	const char *key = body_text(r, "NodePublic");

	if (!r->fault && (!key || !c || node_pub_parse(bytes_str(key), &c->key) != OK))
		r->fault = "NodePublic: a key such as nodekey:… is needed";
	return ask(r, c, on_verified);
}
