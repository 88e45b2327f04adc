#include "server/api/page.h"

#include <stdio.h>
#include <time.h>

#include "common/base/cleanup.h"
#include "common/base/clock.h"
#include "server/api/browser.h"
#include "server/api/handlers.h"
#include "server/api/state.h"

enum { PAGE_MAX = 256 << 10, BUSY_AGAIN_S = 5 };

/* A sheet in the middle; or, wide, a page of cards. who: the person who is signed in; NULL: nobody, or it does not matter. */
static struct buf begin(struct request *r, enum word title, bool wide, const char *who)
{
	struct buf b = buf_make(PAGE_MAX);

	r->page_wide = wide;
	buf_printf(&b,
		"<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">"
		"<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\"><title>%s · %s</title>"
		"<link rel=\"stylesheet\" href=\"/style.css\"><link rel=\"icon\" href=\"/icon.svg\"></head><body><header class=\"bar\">"
		"<svg class=\"mark\" viewBox=\"0 0 20 20\" aria-hidden=\"true\"><circle cx=\"10\" cy=\"10\" r=\"5.75\"/>"
		"<path d=\"M1.5 16.5C5 16 7.5 13.5 10 10s5-6 8.5-6.5\"/></svg><span>%s</span>",
		word(title), word(W_BRAND), word(W_BRAND));
	if (who) {
		buf_append_str(&b, "<div class=\"push\"><span>");
		put_escaped(&b, who);
		buf_append_str(&b, "</span>");
		const char *csrf = r->token ? csrf_of(r, r->token) : NULL;
		if (csrf)
			put_small_button(&b, "quiet", "/logout", csrf, W_SIGN_OUT);
		buf_append_str(&b, "</div>");
	}
	buf_printf(&b, "</header><main class=\"%s\">%s<h1>%s</h1>", wide ? "guide" : "centre", wide ? "" : "<div class=\"sheet\">", word(title));
	return b;
}

struct buf page_begin(struct request *r, enum word title)
{
	return begin(r, title, false, NULL);
}

struct buf page_begin_wide(struct request *r, enum word title, const char *who)
{
	return begin(r, title, true, who);
}

enum MHD_Result page_end(struct request *r, unsigned status, struct buf *b)
{
	buf_printf(b, "%s</main><footer class=\"foot\">", r->page_wide ? "" : "</div>");
	put_escaped(b, r->api->cfg.server_url);
	buf_append_str(b, "</footer>");
	if (r->page_script)
		buf_append_str(b, "<script src=\"/passkey.js\"></script>");
	buf_append_str(b, "</body></html>\n");
	return answer_page(r, status, b);
}

void put_escaped(struct buf *b, const char *text)
{
	put_escaped_bytes(b, bytes_str(text ? text : ""));
}

void put_escaped_bytes(struct buf *b, struct bytes text)
{
	for (size_t i = 0; i < text.n; i++) {
		switch (text.p[i]) {
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
			buf_append_u8(b, text.p[i]);
		}
	}
}

const char *date_text(int64_t wall_ms, char out[DATE_MAX])
{
	time_t s = (time_t)(wall_ms / 1000);
	struct tm tm;

	if (!gmtime_r(&s, &tm))
		tm = (struct tm){ .tm_mday = 1, .tm_year = 70 };
	snprintf(out, DATE_MAX, "%d %s %d", tm.tm_mday, word((enum word)(W_JAN + tm.tm_mon)), tm.tm_year + 1900);
	return out;
}

const char *system_name(const char *os)
{
	static const char *const names[][2] = { { "linux", "Linux" }, { "windows", "Windows" }, { "macOS", "macOS" }, { "iOS", "iOS" },
		{ "android", "Android" }, { "tvOS", "tvOS" }, { "freebsd", "FreeBSD" } };

	for (size_t i = 0; os && i < ARRAY_LEN(names); i++)
		if (strcmp(os, names[i][0]) == 0)
			return names[i][1];
	return os ? os : "";
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

void put_since(struct buf *b, int64_t then_ms, int64_t now_ms)
{
	static const struct {
		int64_t s;
		enum word unit;
	} units[] = { { 2 * 86400, W_AGO_DAYS }, { 2 * 3600, W_AGO_HOURS }, { 120, W_AGO_MINUTES }, { 10, W_AGO_SECONDS } };
	static const int64_t divisor[] = { 86400, 3600, 60, 1 };
	int64_t s = (now_ms - then_ms) / 1000;

	size_t i = 0;
	while (i < sizeof units / sizeof units[0] && s < units[i].s)
		i++;
	if (i == sizeof units / sizeof units[0])
		buf_append_str(b, word(W_AGO_NOW));
	else
		buf_printf(b, "%lld %s", (long long)(s / divisor[i]), word(units[i].unit));
}

void put_ago(struct buf *b, enum word name, int64_t then_ms, int64_t now_ms)
{
	buf_printf(b, "<dt>%s</dt><dd>", word(name));
	put_since(b, then_ms, now_ms);
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
	buf_printf(b, "<a class=\"button\" data-kind=\"%s\" href=\"", kind);
	put_escaped(b, href);
	buf_printf(b, "\">%s</a>", word(w));
}

static void button(struct buf *b, const char *kind, const char *size, const char *action, const char *csrf, enum word w)
{
	put_form(b, action, csrf, "");
	buf_printf(b, "<button type=\"submit\" class=\"button\" data-kind=\"%s\" data-size=\"%s\">%s</button></form>", kind, size, word(w));
}

void put_form(struct buf *b, const char *action, const char *csrf, const char *class)
{
	buf_printf(b, "<form class=\"%s\" method=\"post\" action=\"", class);
	put_escaped(b, action);
	buf_append_str(b, "\">");
	if (csrf)
		buf_printf(b, "<input type=\"hidden\" name=\"csrf\" value=\"%s\">", csrf);
}

void put_hidden(struct buf *b, const char *name, const char *value)
{
	buf_printf(b, "<input type=\"hidden\" name=\"%s\" value=\"", name);
	put_escaped(b, value);
	buf_append_str(b, "\">");
}

void put_button(struct buf *b, const char *kind, const char *action, const char *csrf, enum word w)
{
	button(b, kind, "", action, csrf, w);
}

void put_small_button(struct buf *b, const char *kind, const char *action, const char *csrf, enum word w)
{
	button(b, kind, "small", action, csrf, w);
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

enum MHD_Result page_sorry(struct request *r, unsigned status, enum word title, const char *why, const char *again)
{
	struct buf b = page_begin(r, title);

	buf_append_str(&b, "<p class=\"notice\" data-tone=\"warn\" role=\"alert\">");
	put_escaped(&b, why);
	buf_append_str(&b, "</p>");
	if (again) {
		buf_append_str(&b, "<div class=\"row\">");
		put_link(&b, "", again, W_BACK);
		buf_append_str(&b, "</div>");
	}
	return page_end(r, status, &b);
}

bool page_is_wanted(const struct request *r)
{
	const char *accept = r->is_api || r->trusted ? NULL : MHD_lookup_connection_value(r->conn, MHD_HEADER_KIND, "Accept");

	return accept && strstr(accept, "text/html");
}

enum MHD_Result page_busy(struct request *r, unsigned status)
{
	if (r->route && strcmp(r->route->method, "GET") == 0)
		r->refresh_s = BUSY_AGAIN_S;
	return page_say(r, status, W_BUSY, W_SORRY_BUSY);
}

enum MHD_Result page_trouble(struct request *r, unsigned status)
{
	if (status >= 500)
		return page_busy(r, status);
	if (status == 429)
		return page_say(r, status, W_TOO_MANY, W_LOCAL_WAIT);
	struct buf b = page_begin(r, status == 404 ? W_NOTHING : W_MY_FAILED);
	put_word(&b, status == 404 ? W_NOTHING_TEXT : W_TROUBLE_TEXT);
	buf_append_str(&b, "<div class=\"row\">");
	put_link(&b, "", "/my", W_MY_OPEN);
	buf_append_str(&b, "</div>");
	return page_end(r, status, &b);
}

struct refusal { /* a page that says whom to ask */
	unsigned status;
	enum word title, link;
	const char *why, *html, *again; /* html: more, written already; why and again may be NULL */
};

static enum MHD_Result show_refusal(struct request *r, const char *contact)
{
	const struct refusal *x = r->keep;
	struct buf b = page_begin(r, x->title);

	if (x->why) {
		buf_append_str(&b, "<p>");
		put_escaped(&b, x->why);
		buf_append_str(&b, "</p>");
	}
	buf_append_str(&b, x->html ? x->html : "");
	if (*contact) {
		buf_printf(&b, "<p class=\"muted\">%s <a href=\"mailto:", word(W_REFUSED_ASK_THEM));
		put_escaped(&b, contact);
		buf_append_str(&b, "\">");
		put_escaped(&b, contact);
		buf_append_str(&b, "</a></p>");
	} else {
		buf_printf(&b, "<p class=\"muted\">%s ", word(W_REFUSED_ASK));
		put_escaped(&b, r->api->cfg.server_url);
		buf_append_str(&b, ".</p>");
	}
	if (x->again) {
		buf_append_str(&b, "<div class=\"row\">");
		put_link(&b, "primary", x->again, x->link);
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
static enum MHD_Result ask_contacts(struct request *r, struct refusal *x)
{
	r->keep = x;
	r->fault = NULL;
	return ask(r, command_for(r, CMD_SETTINGS_LIST), on_contacts);
}

enum MHD_Result page_refused(struct request *r, unsigned status, const char *why, const char *again)
{
	struct refusal *x = arena_alloc(&r->arena, sizeof *x);

	if (!x)
		return answer_text(r, status, "text/plain", "refused\n");
	*x = (struct refusal){ .status = status, .title = W_REFUSED, .link = W_REFUSED_AGAIN, .why = arena_str(&r->arena, bytes_str(why)),
		.again = again ? arena_str(&r->arena, bytes_str(again)) : NULL };
	return ask_contacts(r, x);
}

enum MHD_Result page_waits(struct request *r, struct buf *taken, const char *on)
{
	struct refusal *x = arena_alloc(&r->arena, sizeof *x);
	const char *html = taken->bad ? NULL : arena_str(&r->arena, buf_view(taken));

	buf_done(taken);
	if (!x || !html)
		return answer_error(r, 500, "out of memory");
	*x = (struct refusal){ .status = 200, .title = W_DONE_WAITS, .link = W_MY_OPEN, .html = html, .again = on };
	return ask_contacts(r, x);
}
