#include "server/api/console_page.h"

#include <string.h>

#include "common/base/cleanup.h"
#include "common/text/hex.h"
#include "server/api/browser.h"
#include "server/api/state.h"

/* Scripts and styles are ours, from here, and no text becomes one of them. */
#define CONSOLE_POLICY                                                                                                 \
	"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; manifest-src 'self'; " \
	"base-uri 'none'; form-action 'self'; frame-ancestors 'none'; require-trusted-types-for 'script'"

#define LANDING_COOKIE "fairlead-to"

enum { LANDING_MAX = 512, LANDING_S = 15 * 60 };

/* ---- coming back after signing in ---- */

static bool begins_with(const char *to, const char *page)
{
	size_t n = strlen(page);

	return strncmp(to, page, n) == 0 && strchr("/?", to[n]); /* or its end */
}

static bool is_own_path(const char *to)
{
	static const char plain[] = "/?&=+:.,_~%@!*'()-";
	size_t n = strlen(to);

	if (n > LANDING_MAX || strstr(to, "//") || !(begins_with(to, "/console") || begins_with(to, "/my")))
		return false;
	for (const char *c = to; *c; c++)
		if (!(*c >= '0' && *c <= '9') && !(*c >= 'A' && *c <= 'Z') && !(*c >= 'a' && *c <= 'z') && !strchr(plain, *c))
			return false;
	return true;
}

void signin_remember(struct request *r, const char *to)
{
	char text[2 * LANDING_MAX + 1];

	if (is_own_path(to))
		cookie_set(r, LANDING_COOKIE, hex_encode(bytes_str(to), text), LANDING_S);
}

const char *signin_landing(struct request *r, const char *otherwise)
{
	const char *to = signin_landing_look(r, otherwise);

	if (cookie_get(r, LANDING_COOKIE))
		cookie_set(r, LANDING_COOKIE, "", 0);
	return to;
}

const char *signin_landing_look(struct request *r, const char *otherwise)
{
	const char *kept = cookie_get(r, LANDING_COOKIE);
	size_t n = kept ? strlen(kept) / 2 : 0;
	char to[LANDING_MAX + 1];

	if (!kept)
		return otherwise;
	if (n > LANDING_MAX || hex_decode(bytes_str(kept), to, n) != OK)
		return otherwise;
	to[n] = 0;
	return is_own_path(to) ? arena_str(&r->arena, bytes_str(to)) : otherwise;
}

/* ---- files ---- */

static const struct web_asset *asset_by_path(const struct request *r, const char *path)
{
	const struct web_asset *list = r->api->cfg.assets;

	for (size_t i = 0; i < r->api->cfg.n_assets; i++)
		if (strcmp(list[i].path, path) == 0)
			return &list[i];
	return NULL;
}

static const char *type_of(const char *path)
{
	static const struct {
		const char *tail, *type;
	} types[] = {
		{ ".html", "text/html; charset=utf-8" }, { ".js", "text/javascript; charset=utf-8" }, { ".css", "text/css; charset=utf-8" },
		{ ".svg", "image/svg+xml" }, { ".webmanifest", "application/manifest+json" }, { ".json", "application/json" },
		{ ".png", "image/png" }, { ".woff2", "font/woff2" }, { ".map", "application/json" },
	};
	size_t n = strlen(path);

	for (size_t i = 0; i < ARRAY_LEN(types); i++) {
		size_t t = strlen(types[i].tail);
		if (n > t && strcmp(path + n - t, types[i].tail) == 0)
			return types[i].type;
	}
	return "application/octet-stream";
}

static const struct web_bytes *choose(struct request *r, const struct web_asset *a)
{
	static const char *const names[] = { NULL, "br", "gzip" };

	for (size_t i = 1; i < ARRAY_LEN(names); i++)
		if (a->as[i].from && accepts_encoding(r, names[i])) {
			r->encoding = names[i];
			return &a->as[i];
		}
	return &a->as[0];
}

static enum MHD_Result answer_asset(struct request *r, const struct web_asset *a)
{
	const char *known = MHD_lookup_connection_value(r->conn, MHD_HEADER_KIND, "If-None-Match");
	bool hashed = strncmp(a->path, "assets/", 7) == 0;

	r->page_policy = CONSOLE_POLICY;
	r->etag = a->etag;
	r->cache = hashed ? "public, max-age=31536000, immutable" : "private, no-cache";
	if (known && strstr(known, a->etag))
		return answer_response(r, 304, type_of(a->path), MHD_create_response_from_buffer(0, NULL, MHD_RESPMEM_PERSISTENT));
	const struct web_bytes *b = choose(r, a);
	return answer_response(r, 200, type_of(a->path),
			MHD_create_response_from_buffer((size_t)(b->end - b->from), (void *)(uintptr_t)b->from, MHD_RESPMEM_PERSISTENT));
}

/* ---- the page ---- */

struct asked { /* the path and query that were asked for, for the way back */
	struct buf text;
	char sep;
};

static void put_encoded(struct buf *out, const char *text, const char *plain)
{
	for (const unsigned char *c = (const unsigned char *)text; *c; c++)
		if ((*c >= '0' && *c <= '9') || (*c >= 'A' && *c <= 'Z') || (*c >= 'a' && *c <= 'z') || strchr(plain, *c))
			buf_append_u8(out, *c);
		else
			buf_printf(out, "%%%02X", *c);
}

static enum MHD_Result put_argument(void *ctx, enum MHD_ValueKind kind, const char *key, const char *value)
{
	struct asked *a = ctx;

	(void)kind;
	for (int side = 0; side < 2; side++) {
		buf_append_u8(&a->text, (uint8_t)(side ? '=' : a->sep));
		put_encoded(&a->text, side ? value ? value : "" : key, "-._~:/*!,");
	}
	a->sep = '&';
	return MHD_YES;
}

static enum MHD_Result go_and_sign_in(struct request *r)
{
	struct asked a = { buf_make(LANDING_MAX + 1), '?' };

	buf_printf(&a.text, "/console/%s", r->param[0] ? r->param[0] : "");
	MHD_get_connection_values(r->conn, MHD_GET_ARGUMENT_KIND, put_argument, &a);
	const char *to = a.text.bad ? "/console/" : arena_str(&r->arena, buf_view(&a.text));
	buf_done(&a.text);
	if (!to)
		return answer_redirect(r, 303, NULL);
	signin_remember(r, to);
	struct buf login = buf_make(4 * LANDING_MAX);
	buf_append_str(&login, "/login?to=");
	put_encoded(&login, to, "-._~/");
	const char *url = login.bad ? "/login" : arena_str(&r->arena, buf_view(&login));
	buf_done(&login);
	return answer_redirect(r, 303, url);
}

static enum MHD_Result on_signin_known(struct request *r, const struct reply *reply)
{
	const struct web_asset *page = asset_by_path(r, "index.html");

	if (reply->e != OK || !reply->n_users)
		return go_and_sign_in(r);
	if (!scope_of_user(&reply->users[0]))
		return answer_redirect(r, 303, "/my");
	return answer_asset(r, page);
}

enum MHD_Result console_page(struct request *r)
{
	const char *path = r->param[0] ? r->param[0] : "";
	const struct web_asset *file = strcmp(path, "index.html") != 0 ? asset_by_path(r, path) : NULL;

	if (!asset_by_path(r, "index.html"))
		return answer_text(r, 503, "text/plain", "This program was built without the web console: see docs/running.md.\n");
	if (file)
		return answer_asset(r, file);
	if (strncmp(path, "assets/", 7) == 0) /* of another version: an old page asks, and is told to load itself again */
		return answer_error(r, 404, "there is no such file in this version");
	return ask_signin(r, on_signin_known);
}
