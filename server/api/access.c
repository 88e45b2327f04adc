#include "server/api/access.h"

#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "common/base/cleanup.h"
#include "common/base/clock.h"
#include "common/text/base64.h"
#include "server/api/browser.h"
#include "server/api/events.h"
#include "server/api/handlers.h"
#include "server/api/rate.h"
#include "server/api/state.h"

enum { CREDENTIAL_MAX = 512 };

/* Who asks over the unix socket: the kernel knows. */
static const char *unix_actor(struct request *r)
{
	const union MHD_ConnectionInfo *i = MHD_get_connection_info(r->conn, MHD_CONNECTION_INFO_CONNECTION_FD);
	struct ucred cred;
	socklen_t n = sizeof cred;

	if (!i || getsockopt((int)i->connect_fd, SOL_SOCKET, SO_PEERCRED, &cred, &n) != 0)
		return "cli";
	return cred.uid == 0 ? "cli:root" : arena_printf(&r->arena, "cli:uid-%u", (unsigned)cred.uid);
}

/* How the connection came is told by the address that it was added with: see api_add_connection. */
static enum api_origin origin_of(struct MHD_Connection *conn)
{
	const union MHD_ConnectionInfo *i = MHD_get_connection_info(conn, MHD_CONNECTION_INFO_CLIENT_ADDRESS);

	if (!i || !i->client_addr || i->client_addr->sa_family != AF_UNIX)
		return API_PUBLIC;
	return ((const struct sockaddr_un *)(const void *)i->client_addr)->sun_path[0] == 'm' ? API_METRICS : API_UNIX;
}

/* ---- what was shown ---- */

/* "Bearer KEY", or "Basic" with the key as user name or as password. NULL: none. */
static const char *credential(struct request *r)
{
	const char *header = MHD_lookup_connection_value(r->conn, MHD_HEADER_KIND, "Authorization");
	struct bytes rest;

	if (!header)
		return NULL;
	struct bytes scheme = bytes_cut(bytes_str(header), ' ', &rest);
	rest = bytes_trim(rest);
	if (!rest.n || rest.n > CREDENTIAL_MAX)
		return NULL;
	if (bytes_eq_nocase(scheme, BYTES_LIT("Bearer")))
		return arena_str(&r->arena, rest);
	if (!bytes_eq_nocase(scheme, BYTES_LIT("Basic")))
		return NULL;
	char text[CREDENTIAL_MAX + 1];
	size_t n = 0;
	if (base64_decode(rest, text, CREDENTIAL_MAX, &n) != OK)
		return NULL;
	struct bytes password, user = bytes_cut(bytes_of(text, n), ':', &password);
	return user.n || password.n ? arena_str(&r->arena, user.n ? user : password) : NULL;
}

static void bucket_name(char out[RATE_NAME_LEN], char kind, struct addr a, const char *prefix)
{
	memset(out, 0, RATE_NAME_LEN);
	out[0] = kind;
	if (prefix) {
		size_t n = strlen(prefix);
		memcpy(out + 1, prefix, n < RATE_NAME_LEN - 2 ? n : RATE_NAME_LEN - 2);
	} else {
		struct addr key = addr_limit_key(a);
		out[1] = (char)key.family;
		memcpy(out + 2, key.b, 16);
	}
}

static enum MHD_Result answer_later(struct request *r, unsigned wait_s)
{
	r->retry_after_s = wait_s ? wait_s : 1;
	return answer_error(r, 429, "too many requests; wait as Retry-After says");
}

void note_wrong_key(struct request *r)
{
	char name[RATE_NAME_LEN];
	unsigned wait_s = 0;

	bucket_name(name, 'f', client_of(r), NULL);
	rate_take(&r->api->failures, name, clock_mono_ms(), &wait_s);
}

bool may_try_key(struct request *r, unsigned *wait_s)
{
	char name[RATE_NAME_LEN];

	bucket_name(name, 'f', client_of(r), NULL);
	return rate_has(&r->api->failures, name, clock_mono_ms(), wait_s);
}

/* A wrong key costs; who is out of tries is not even looked at. */
static enum MHD_Result refuse_key(struct request *r)
{
	note_wrong_key(r);
	return answer_unauthorized(r);
}

/* ---- the decision ---- */

static enum MHD_Result refuse_scope(struct request *r, scope_set need)
{
	char word[64];

	scope_need_text(need, word, sizeof word);
	return answer_error(r, 403, arena_printf(&r->arena, "token is missing the required scope %s", word));
}

bool may_else_refuse(struct request *r, scope_set need, enum MHD_Result *result)
{
	if (scope_allows(r->may, need))
		return true;
	*result = refuse_scope(r, need);
	return false;
}

static enum MHD_Result go_on(struct request *r)
{
	if (!scope_allows(r->may, r->route->need))
		return refuse_scope(r, r->route->need);
	return r->route->begin(r);
}

static enum MHD_Result on_key_checked(struct request *r, const struct reply *reply)
{
	char name[RATE_NAME_LEN];
	unsigned wait_s = 0;

	if (reply->e == ERR_AUTH || reply->e == ERR_NOT_FOUND || reply->e == ERR_MALFORMED || reply->e == ERR_INVALID)
		return refuse_key(r);
	FAIL_ON(r, reply);
	if (!reply->n_apikeys)
		return answer_error(r, 500, "no key");
	const struct apikey_row *k = &reply->apikeys[0];
	bucket_name(name, 'k', (struct addr){ 0 }, k->prefix);
	if (!rate_take(&r->api->requests, name, clock_mono_ms(), &wait_s))
		return answer_later(r, wait_s);
	r->actor = arena_printf(&r->arena, "%s:%s", k->kind == APIKEY_TOKEN ? "oauthtoken" : "apikey", k->prefix);
	if (!r->actor)
		return answer_error(r, 500, "out of memory");
	r->may = reply->may;
	r->key_id = k->id;
	r->key_parent = k->parent_id;
	r->key_user = k->user_id;
	r->key_expires_ms = k->expires_ms;
	r->by_token = k->kind == APIKEY_TOKEN;
	return go_on(r);
}

/* Before the body: whoever shows nothing that could be a key, or is out of tries, is answered now. */
static bool check_credential(struct request *r, enum MHD_Result *result)
{
	char name[RATE_NAME_LEN];
	unsigned wait_s = 0;

	bucket_name(name, 'a', client_of(r), NULL);
	if (!may_try_key(r, &wait_s) || !rate_take(&r->api->requests, name, clock_mono_ms(), &wait_s))
		*result = answer_later(r, wait_s);
	else if (!(r->key_text = credential(r)))
		*result = refuse_key(r);
	else
		return true;
	return false;
}

static enum MHD_Result check_key(struct request *r)
{
	unsigned wait_s = 0;

	if (!may_try_key(r, &wait_s)) /* others from there guessed while the body came */
		return answer_later(r, wait_s);
	r->events_at = event_hub_count(r->api->events);
	struct command *c = command_for(r, CMD_APIKEY_CHECK);
	if (c)
		c->key_text = command_str(c, r->key_text);
	return ask(r, c, on_key_checked);
}

/* ---- the console: a signed-in browser ---- */

#define NATIVE_PATH "/api/fairlead/"

/* Only the native API, only where no key is shown: a cookie is never taken for a key, nor beside one. */
static bool is_by_cookie(struct request *r)
{
	return strncmp(r->route->pattern, NATIVE_PATH, sizeof NATIVE_PATH - 1) == 0 && has_session(r) &&
		!MHD_lookup_connection_value(r->conn, MHD_HEADER_KIND, "Authorization");
}

/* Before the body: what comes from another site, or could, goes no further. A session that ended is no guess at a key. */
static bool check_browser(struct request *r, enum MHD_Result *result)
{
	char name[RATE_NAME_LEN];
	unsigned wait_s = 0;
	bool reads = strcmp(r->route->method, "GET") == 0;

	r->by_cookie = true;
	bucket_name(name, 'a', client_of(r), NULL);
	if (!rate_take(&r->api->requests, name, clock_mono_ms(), &wait_s))
		*result = answer_later(r, wait_s);
	else if (!is_own_page(r))
		*result = answer_error(r, 403, "with a cookie, only this server's own pages may call");
	else if (!reads && !csrf_header_ok(r))
		*result = answer_error(r, 403, "the header " CSRF_HEADER " is missing or not this session's");
	else
		return true;
	return false;
}

static enum MHD_Result on_session_checked(struct request *r, const struct reply *reply)
{
	if (reply->e != OK || !reply->n_users || !reply->n_signins)
		return answer_error(r, 401, reply->message ? reply->message : "you are not signed in");
	const struct user_row *u = &reply->users[0];
	r->actor = arena_printf(&r->arena, "user:%s", u->name);
	if (!r->actor)
		return answer_error(r, 500, "out of memory");
	r->may = scope_of_user(u);
	r->signin = reply->signins[0].id;
	r->signin_user = u->id;
	r->signin_ms = reply->signins[0].auth_ms;
	r->signin_expires_ms = reply->signins[0].expires_ms;
	return go_on(r);
}

static enum MHD_Result check_session(struct request *r)
{
	r->events_at = event_hub_count(r->api->events);
	return ask_signin(r, on_session_checked);
}

#define TAILNET_PATH "/api/v2/tailnet/{}"

static bool is_our_tailnet(const char *name)
{
	return strcmp(name, "-") == 0 || strcmp(name, "default") == 0 || strcmp(name, "1") == 0;
}

/* A key is needed for this call, by the way that it came. */
static bool wants_key(const struct request *r, enum api_origin origin)
{
	return r->route->access == ACCESS_KEY ? !r->trusted : r->route->access == ACCESS_METRICS && origin == API_PUBLIC;
}

bool check_head(struct request *r, enum MHD_Result *result)
{
	enum api_origin origin = origin_of(r->conn);

	r->trusted = origin == API_UNIX;
	if (origin == API_METRICS && r->route->access != ACCESS_METRICS && r->route->begin != api_health && r->route->begin != api_version)
		*result = answer_error(r, 404, "the metrics listener answers /metrics, /health and /version");
	else if (strncmp(r->route->pattern, TAILNET_PATH, sizeof TAILNET_PATH - 1) == 0 && !is_our_tailnet(r->param[0]))
		*result = answer_error(r, 404, "tailnet not found");
	else if (r->route->access == ACCESS_LOCAL && !r->trusted)
		*result = answer_error(r, 403, "this call is answered on the server's unix socket only");
	else
		return !wants_key(r, origin) || (is_by_cookie(r) ? check_browser(r, result) : check_credential(r, result));
	return false;
}

bool is_looked_up(const struct request *r)
{
	return wants_key(r, origin_of(r->conn));
}

enum MHD_Result ask_early(struct request *r)
{
	r->asks_early = true;
	return r->by_cookie ? check_session(r) : check_key(r);
}

bool may_send_body(const struct request *r)
{
	if (r->verdict->e != OK)
		return false;
	if (!r->by_cookie)
		return scope_allows(r->verdict->may, r->route->need);
	return r->verdict->n_users && scope_allows(scope_of_user(&r->verdict->users[0]), r->route->need);
}

enum MHD_Result begin_request(struct request *r)
{
	if (r->verdict && !may_send_body(r)) /* what was sent was not even kept */
		return r->by_cookie ? on_session_checked(r, r->verdict) : on_key_checked(r, r->verdict);
	if (r->too_big)
		return answer_error(r, 413, "the body is larger than this call takes");
	if (r->no_room)
		return answer_error(r, 503, "too many large requests are under way");
	if (r->trusted) {
		r->actor = unix_actor(r);
		r->may = SCOPE_EVERYTHING;
	}
	if (!wants_key(r, origin_of(r->conn)))
		return r->route->begin(r);
	/* Also after an early verdict: while the body came, which takes as long as its sender likes, the key or its user may have lost something. */
	return r->by_cookie ? check_session(r) : check_key(r);
}
