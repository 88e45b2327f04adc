#include "server/api/page.h"

#include "common/base/clock.h"
#include "server/api/handlers.h"
#include "server/api/state.h"

enum { PAGE_MAX = 256 << 10 };

/* A file of its own, so that the pages need no inline style and the content policy can forbid it. Every pair of colours
 * passes 4.5:1. */
static const char style[] =
	":root{color-scheme:light dark;--canvas:#f6f7f8;--surface:#fff;--sunken:#f1f3f5;--line:#e4e7ea;--control:#838c96;"
	"--text:#12171c;--muted:#4f5964;--accent:#1a5fb4;--fill:#1a5fb4;--press:#144c91;--warn:#845000;--warn-soft:#fdf2dc}"
	"@media(prefers-color-scheme:dark){:root{--canvas:#0c0f13;--surface:#12161b;--sunken:#1b2129;--line:#242a32;"
	"--control:#6a7480;--text:#e9ecef;--muted:#a7b0ba;--accent:#83b7f7;--fill:#2f6fce;--press:#285fb2;--warn:#e6b450;"
	"--warn-soft:#2d2311}}"
	"*{box-sizing:border-box}"
	"body{margin:0;min-height:100vh;display:flex;flex-direction:column;align-items:center;padding:1rem;background:var(--canvas);"
	"color:var(--text);font:1rem/1.5 Inter,ui-sans-serif,system-ui,-apple-system,\"Segoe UI\",Roboto,sans-serif}"
	"header{width:100%;max-width:34rem;color:var(--muted);font-weight:600;padding:.5rem 0 1.5rem}"
	"main{width:100%;max-width:34rem;background:var(--surface);border:1px solid var(--line);border-radius:.75rem;padding:1.5rem}"
	"footer{padding:1.5rem 0;color:var(--muted);font-size:.8125rem}"
	"h1{font-size:1.375rem;line-height:1.3;font-weight:600;margin:0 0 .75rem;overflow-wrap:anywhere}"
	"h2{font-size:1rem;font-weight:600;margin:1.5rem 0 .5rem}"
	"p{margin:.75rem 0}a{color:var(--accent)}"
	"dl{display:grid;grid-template-columns:minmax(6rem,max-content) 1fr;gap:.375rem 1.25rem;margin:1rem 0}"
	"dt{color:var(--muted)}dd{margin:0;overflow-wrap:anywhere}"
	"pre{background:var(--sunken);padding:.75rem 1rem;border-radius:.5rem;white-space:pre-wrap;overflow-wrap:anywhere;"
	"font:.875rem/1.5 ui-monospace,Menlo,Consolas,\"DejaVu Sans Mono\",monospace}"
	".notice{background:var(--warn-soft);color:var(--warn);border-radius:.5rem;padding:.75rem 1rem;margin:1rem 0}"
	".bar{display:flex;flex-wrap:wrap;gap:.75rem;margin-top:1.25rem}.bar form{margin:0}"
	".button{display:inline-block;font:inherit;font-weight:500;line-height:1.25;padding:.625rem 1.125rem;border-radius:.5rem;"
	"border:1px solid var(--control);background:var(--surface);color:var(--text);text-decoration:none;cursor:pointer}"
	".button.primary{background:var(--fill);border-color:var(--fill);color:#fff}.button.primary:hover{background:var(--press)}"
	".button:focus-visible,a:focus-visible,input:focus-visible{outline:3px solid var(--accent);outline-offset:2px}"
	"label{display:block;font-weight:500;margin:.75rem 0 .25rem}"
	"input[type=text],input[type=password]{width:100%;font:inherit;padding:.5rem .75rem;border:1px solid var(--control);"
	"border-radius:.5rem;background:var(--surface);color:var(--text)}"
	"ul{list-style:none;padding:0;margin:1rem 0}li{border-top:1px solid var(--line);padding:.625rem 0;display:flex;gap:.75rem;"
	"flex-wrap:wrap;justify-content:space-between}li span:first-child{overflow-wrap:anywhere}.muted{color:var(--muted)}\n";

enum MHD_Result api_page_style(struct request *r)
{
	return answer_text(r, 200, "text/css; charset=utf-8", style);
}

/* A line led through an eye: what a fairlead does. */
static const char icon[] = "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 20 20\" fill=\"none\" stroke=\"#1a5fb4\" stroke-width=\"2\">"
			   "<circle cx=\"10\" cy=\"10\" r=\"6\"/><path d=\"M1 17c4 0 6-4 9-7s5-7 9-7\"/></svg>\n";

enum MHD_Result api_page_icon(struct request *r)
{
	return answer_text(r, 200, "image/svg+xml", icon);
}

struct buf page_begin(struct request *r, enum word title)
{
	struct buf b = buf_make(PAGE_MAX);

	(void)r;
	buf_printf(&b,
		"<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">"
		"<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\"><title>%s · %s</title>"
		"<link rel=\"stylesheet\" href=\"/style.css\"><link rel=\"icon\" href=\"/icon.svg\"></head><body><header>%s</header><main><h1>%s</h1>",
		word(title), word(W_BRAND), word(W_BRAND), word(title));
	return b;
}

enum MHD_Result page_end(struct request *r, unsigned status, struct buf *b)
{
	buf_append_str(b, "</main><footer>");
	put_escaped(b, r->api->cfg.server_url);
	buf_append_str(b, "</footer></body></html>\n");
	return answer_page(r, status, b);
}

void put_escaped(struct buf *b, const char *text)
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

void put_word(struct buf *b, enum word w)
{
	buf_printf(b, "<p>%s</p>", word(w));
}

void put_fact(struct buf *b, enum word name, const char *value)
{
	if (!value || !value[0])
		return;
	buf_printf(b, "<dt>%s</dt><dd>", word(name));
	put_escaped(b, value);
	buf_append_str(b, "</dd>");
}

void put_ago(struct buf *b, enum word name, int64_t then_ms, int64_t now_ms)
{
	static const struct {
		int64_t s;
		enum word unit;
	} units[] = { { 2 * 86400, W_AGO_DAYS }, { 2 * 3600, W_AGO_HOURS }, { 120, W_AGO_MINUTES }, { 10, W_AGO_SECONDS } };
	static const int64_t divisor[] = { 86400, 3600, 60, 1 };
	int64_t s = (now_ms - then_ms) / 1000;

	buf_printf(b, "<dt>%s</dt><dd>", word(name));
	size_t i = 0;
	while (i < sizeof units / sizeof units[0] && s < units[i].s)
		i++;
	if (i == sizeof units / sizeof units[0])
		buf_append_str(b, word(W_AGO_NOW));
	else
		buf_printf(b, "%lld %s", (long long)(s / divisor[i]), word(units[i].unit));
	buf_append_str(b, "</dd>");
}

void put_code(struct buf *b, const char *text)
{
	buf_append_str(b, "<pre>");
	put_escaped(b, text);
	buf_append_str(b, "</pre>");
}

void put_link(struct buf *b, const char *kind, const char *href, enum word w)
{
	buf_printf(b, "<a class=\"button %s\" href=\"", kind);
	put_escaped(b, href);
	buf_printf(b, "\">%s</a>", word(w));
}

void put_button(struct buf *b, const char *kind, const char *action, const char *csrf, enum word w)
{
	buf_append_str(b, "<form method=\"post\" action=\"");
	put_escaped(b, action);
	buf_append_str(b, "\">");
	if (csrf)
		buf_printf(b, "<input type=\"hidden\" name=\"csrf\" value=\"%s\">", csrf);
	buf_printf(b, "<button type=\"submit\" class=\"button %s\">%s</button></form>", kind, word(w));
}

enum MHD_Result page_say(struct request *r, unsigned status, enum word title, enum word text)
{
	struct buf b = page_begin(r, title);

	put_word(&b, text);
	return page_end(r, status, &b);
}

enum MHD_Result page_gone(struct request *r)
{
	struct buf b = page_begin(r, W_SORRY);

	put_word(&b, W_SORRY_GONE);
	put_word(&b, W_SORRY_AGAIN);
	buf_append_str(&b, "<pre>tailscale up --login-server ");
	put_escaped(&b, r->api->cfg.server_url);
	buf_append_str(&b, "</pre>");
	return page_end(r, 404, &b);
}

struct refusal {
	unsigned status;
	const char *why, *again;
};

static enum MHD_Result show_refusal(struct request *r, const char *contact)
{
	const struct refusal *x = r->keep;
	struct buf b = page_begin(r, W_REFUSED);

	buf_append_str(&b, "<p>");
	put_escaped(&b, x->why);
	buf_append_str(&b, "</p>");
	if (*contact) {
		buf_printf(&b, "<p class=\"muted\">%s <a href=\"mailto:", word(W_REFUSED_ASK_THEM));
		put_escaped(&b, contact);
		buf_append_str(&b, "\">");
		put_escaped(&b, contact);
		buf_append_str(&b, "</a></p>");
	} else {
		buf_printf(&b, "<p class=\"muted\">%s ", word(W_REFUSED_ASK));
		put_escaped(&b, r->api->cfg.server_url);
		buf_append_str(&b, "</p>");
	}
	if (x->again) {
		buf_append_str(&b, "<div class=\"bar\">");
		put_link(&b, "primary", x->again, W_REFUSED_AGAIN);
		buf_append_str(&b, "</div>");
	}
	return page_end(r, x->status, &b);
}

static enum MHD_Result on_contacts(struct request *r, const struct reply *reply)
{
	const char *support = "", *account = "";

	for (size_t i = 0; i < reply->n_settings; i++) {
		const struct setting_info *s = &reply->settings[i];
		if (strcmp(s->key, "contacts.support") == 0)
			support = s->value;
		else if (strcmp(s->key, "contacts.account") == 0)
			account = s->value;
	}
	return show_refusal(r, *support ? support : account);
}

/* Whom to ask is a setting: the page waits for it. */
enum MHD_Result page_refused(struct request *r, unsigned status, const char *why, const char *again)
{
	struct refusal *x = arena_alloc(&r->arena, sizeof *x);

	if (!x)
		return answer_text(r, status, "text/plain", "refused\n");
	*x = (struct refusal){ .status = status, .why = arena_str(&r->arena, bytes_str(why)), .again = again ? arena_str(&r->arena, bytes_str(again)) : NULL };
	r->keep = x;
	r->fault = NULL;
	return ask(r, command_for(r, CMD_SETTINGS_LIST), on_contacts);
}
