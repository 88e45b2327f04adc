#include "server/api/browser.h"

#include <sodium.h>

#include "common/base/cleanup.h"
#include "common/base/clock.h"
#include "common/http/http1.h"
#include "common/text/hex.h"
#include "server/api/console_page.h"
#include "server/api/state.h"
#include "server/login/login.h"

#define SESSION_COOKIE "fairlead"

enum { SESSION_TOKEN_MAX = 64 };

static bool is_https(const struct request *r)
{
	return strncmp(r->api->cfg.server_url, "https://", 8) == 0;
}

static const char *full_name(struct request *r, const char *name)
{
	return is_https(r) ? arena_printf(&r->arena, "__Host-%s", name) : name;
}

const char *cookie_get(struct request *r, const char *name)
{
	const char *full = full_name(r, name);

	return full ? MHD_lookup_connection_value(r->conn, MHD_COOKIE_KIND, full) : NULL;
}

void cookie_set(struct request *r, const char *name, const char *value, int64_t max_age_s)
{
	const char *full = full_name(r, name);
	char *line = full ? arena_printf(&r->arena, "%s=%s; Path=/; Max-Age=%lld; HttpOnly; SameSite=Lax%s", full, value,
					  (long long)max_age_s, is_https(r) ? "; Secure" : "")
			   : NULL;

	if (line && r->n_cookies < ARRAY_LEN(r->cookie))
		r->cookie[r->n_cookies++] = line;
}

/* ---- forms ---- */

static const char *form_decoded(struct request *r, struct bytes text)
{
	uint8_t *out = arena_alloc(&r->arena, text.n + 1), *spaced = arena_alloc(&r->arena, text.n + 1);
	size_t n = 0;

	if (!out || !spaced)
		return "";
	for (size_t i = 0; i < text.n; i++)
		spaced[i] = text.p[i] == '+' ? ' ' : text.p[i];
	if (http1_percent_decode(bytes_of(spaced, text.n), out, text.n, &n) != OK)
		return "";
	out[n] = 0;
	return memchr(out, 0, n) || !bytes_is_utf8(bytes_of(out, n)) ? "" : (const char *)out;
}

const char *form_value(struct request *r, const char *name)
{
	struct bytes rest = buf_view(&r->body);

	while (rest.n) {
		struct bytes value, key = bytes_cut(bytes_cut(rest, '&', &rest), '=', &value);
		if (bytes_eq_str(key, name))
			return form_decoded(r, value);
	}
	return "";
}

/* ---- where a request comes from ---- */

/* "https://a.example:443" and "https://a.example" are one origin. */
static struct bytes without_port(struct bytes authority, bool https)
{
	struct bytes tail = https ? BYTES_LIT(":443") : BYTES_LIT(":80");

	if (authority.n > tail.n && bytes_eq(bytes_skip(authority, authority.n - tail.n), tail))
		return bytes_first(authority, authority.n - tail.n);
	return authority;
}

bool is_own_page(struct request *r)
{
	const char *url = r->api->cfg.server_url;
	bool https = is_https(r);
	struct bytes ours = without_port(bytes_skip(bytes_str(url), https ? 8 : 7), https);
	const char *host = MHD_lookup_connection_value(r->conn, MHD_HEADER_KIND, "Host");
	const char *origin = MHD_lookup_connection_value(r->conn, MHD_HEADER_KIND, "Origin");
	const char *site = MHD_lookup_connection_value(r->conn, MHD_HEADER_KIND, "Sec-Fetch-Site");

	if (!host || !bytes_eq_nocase(without_port(bytes_str(host), https), ours))
		return false;
	if (site && strcmp(site, "same-origin") != 0 && strcmp(site, "none") != 0)
		return false;
	if (!origin)
		return true;
	if (!bytes_has_prefix(bytes_str(origin), bytes_str(https ? "https://" : "http://")))
		return false;
	return bytes_eq_nocase(without_port(bytes_skip(bytes_str(origin), https ? 8 : 7), https), ours);
}

/* ---- who is signed in ---- */

static enum MHD_Result on_signin(struct request *r, const struct reply *reply)
{
	return r->after_signin(r, reply);
}

static const char *session_token(struct request *r)
{
	const char *token = cookie_get(r, SESSION_COOKIE);

	return token && strlen(token) <= SESSION_TOKEN_MAX ? arena_str(&r->arena, bytes_str(token)) : NULL;
}

bool has_session(struct request *r)
{
	return cookie_get(r, SESSION_COOKIE) != NULL;
}

enum MHD_Result ask_signin(struct request *r, reply_handler *next)
{
	static const struct reply nobody = { .e = ERR_AUTH, .message = "you are not signed in" };

	r->token = session_token(r);
	if (!r->token)
		return next(r, &nobody);
	struct command *c = command_for(r, CMD_SIGNIN_CHECK);
	if (c)
		c->key_text = command_str(c, r->token);
	r->after_signin = next;
	return ask(r, c, on_signin);
}

void signin_fill(struct request *r, struct command *c)
{
	const char *agent = MHD_lookup_connection_value(r->conn, MHD_HEADER_KIND, "User-Agent");

	c->agent = command_str(c, agent && bytes_is_utf8(bytes_str(agent)) ? agent : "");
	c->expires_ms = clock_wall_ms() + SIGNIN_TTL_MS;
}

const char *signin_target(struct request *r, const char *auth_id)
{
	return auth_id[0] ? arena_printf(&r->arena, "/connect/%s", auth_id) : signin_landing(r, "/my");
}

const char *signin_home(const struct user_row *u)
{
	return u->waits_ms || u->role == USER_MEMBER || u->role == USER_BILLING_ADMIN ? "/my" : "/console/";
}

void signin_begin(struct request *r, const char *token)
{
	cookie_set(r, SESSION_COOKIE, token, SIGNIN_TTL_MS / 1000);
}

void signin_forget(struct request *r)
{
	cookie_set(r, SESSION_COOKIE, "", 0);
}

const char *csrf_of(struct request *r, const char *token)
{
	static const char purpose[] = "fairlead form";
	uint8_t tag[CSRF_LEN / 2];
	struct secret32 *key = &r->api->cfg.login->seal;
	crypto_generichash_state s;

	crypto_generichash_init(&s, key->b, sizeof key->b, sizeof tag);
	crypto_generichash_update(&s, (const unsigned char *)purpose, sizeof purpose);
	crypto_generichash_update(&s, (const unsigned char *)token, strlen(token));
	crypto_generichash_final(&s, tag, sizeof tag);
	char *text = arena_alloc(&r->arena, CSRF_LEN + 1);
	if (text)
		hex_encode(bytes_of(tag, sizeof tag), text);
	return text;
}

bool csrf_ok(struct request *r, const char *token)
{
	const char *given = form_value(r, "csrf"), *wanted = token ? csrf_of(r, token) : NULL;

	return is_own_page(r) && wanted && strlen(given) == CSRF_LEN && sodium_memcmp(given, wanted, CSRF_LEN) == 0;
}

bool csrf_header_ok(struct request *r)
{
	const char *given = MHD_lookup_connection_value(r->conn, MHD_HEADER_KIND, CSRF_HEADER);
	const char *token = session_token(r), *wanted = token ? csrf_of(r, token) : NULL;

	return given && wanted && strlen(given) == CSRF_LEN && sodium_memcmp(given, wanted, CSRF_LEN) == 0;
}

enum MHD_Result answer_redirect(struct request *r, unsigned status, const char *to)
{
	if (!to)
		return answer_error(r, 500, "out of memory");
	r->location = to;
	return answer_text(r, status, "text/plain", "");
}
