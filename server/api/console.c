#include "server/api/console.h"

#include <string.h>
#include <zlib.h>

#include "common/base/cleanup.h"
#include "common/base/clock.h"
#include "common/base/version.h"
#include "server/api/browser.h"
#include "server/api/events.h"
#include "server/api/render.h"
#include "server/api/state.h"

/* ---- answers ---- */

bool accepts_encoding(struct request *r, const char *name)
{
	const char *accept = MHD_lookup_connection_value(r->conn, MHD_HEADER_KIND, "Accept-Encoding");
	struct bytes rest = bytes_str(accept ? accept : "");

	while (rest.n) {
		struct bytes q, word = bytes_trim(bytes_cut(bytes_trim(bytes_cut(rest, ',', &rest)), ';', &q));
		if (bytes_eq_nocase(word, bytes_str(name)))
			return !bytes_eq_str(bytes_trim(q), "q=0");
	}
	return false;
}

/* false: it stays as it is. */
static bool gzip(struct buf *b)
{
	enum { LEVEL = 4, GZIP_WINDOW = 15 + 16, MEMORY = 8 };
	z_stream z = { 0 };

	if (b->bad || deflateInit2(&z, LEVEL, Z_DEFLATED, GZIP_WINDOW, MEMORY, Z_DEFAULT_STRATEGY) != Z_OK)
		return false;
	struct bytes in = buf_view(b);
	struct buf out = buf_make(API_ANSWER_MAX);
	size_t room = deflateBound(&z, in.n);
	uint8_t *to = buf_reserve(&out, room);
	z.next_in = (z_const Bytef *)(uintptr_t)in.p;
	z.avail_in = (uInt)in.n;
	z.next_out = to;
	z.avail_out = to ? (uInt)room : 0;
	bool ok = to && deflate(&z, Z_FINISH) == Z_STREAM_END;
	if (ok)
		buf_commit(&out, z.total_out);
	deflateEnd(&z);
	if (!ok) {
		buf_done(&out);
		return false;
	}
	buf_done(b);
	*b = out;
	return true;
}

static void compress_for(struct request *r, struct buf *b)
{
	if (buf_len(b) >= CONSOLE_GZIP_MIN && accepts_encoding(r, "gzip") && gzip(b))
		r->encoding = "gzip";
}

enum MHD_Result console_answer(struct request *r, struct buf *body)
{
	compress_for(r, body);
	return answer_json(r, 200, body);
}

void console_finish(struct request *r)
{
	compress_for(r, &r->made);
}

enum MHD_Result console_answer_made(struct request *r)
{
	struct buf taken = r->made;

	r->made = (struct buf){ 0 };
	return answer_json(r, 200, &taken);
}

struct jsonw console_begin(struct buf *out)
{
	return answer_begin(out);
}

enum MHD_Result console_end(struct request *r, struct jsonw *w, struct buf *out)
{
	jsonw_obj_end(w);
	return console_answer(r, out);
}

/* ---- what was asked ---- */

void console_take_ids(struct request *r, struct command *c)
{
	struct bytes rest = bytes_str(query(r, "ids"));
	int64_t *list = rest.n && c ? arena_array(&c->arena, CONSOLE_IDS_MAX, sizeof *list) : NULL;
	size_t n = 0;

	while (list && rest.n && !r->fault) {
		uint64_t id = 0;
		if (n == CONSOLE_IDS_MAX || bytes_parse_u64(bytes_cut(rest, ',', &rest), INT64_MAX, &id) != OK)
			r->fault = "ids: at most 500 decimal numbers with commas between";
		else
			list[n++] = (int64_t)id;
	}
	if (c && list) {
		c->ids = list;
		c->n_ids = n;
	}
}

bool console_may_read(const struct request *r, enum scope area)
{
	return scope_allows(r->may, SCOPE_READ(area));
}

err console_keep_nodes(struct request *r, const struct reply *reply, struct console_nodes *out)
{
	struct console_nodes k = { .node = arena_array(&r->arena, reply->n_nodes + 1, sizeof *k.node), .lock_on = reply->lock_on,
		.now_ms = clock_wall_ms(), .last_event = reply->last_event };

	if (!k.node)
		return ERR_NOMEM;
	for (; k.n < reply->n_nodes; k.n++)
		k.node[k.n] = node_info_ref(reply->nodes[k.n]);
	*out = k;
	return OK;
}

void console_nodes_done(struct console_nodes *k)
{
	for (size_t i = 0; i < k->n; i++)
		node_info_unref(k->node[i]);
	k->n = 0;
}

/* Whether it was taken is seen by what waits: work_for answers at once when it does not begin. */
enum MHD_Result console_work(struct request *r, work *run, reply_handler *next, struct console_nodes *k)
{
	enum MHD_Result result;

	if (work_begins(r, run, next, &result))
		return MHD_YES;
	console_nodes_done(k);
	return result;
}

/* ---- who am I ---- */

static void put_may(struct jsonw *w, scope_set may)
{
	jsonw_key(w, "may"), jsonw_obj(w);
	for (int s = 0; s < SCOPES_N; s++) {
		bool writes = may & SCOPE_WRITE_BIT(s);
		if (!writes && !(may & SCOPE_READ_BIT(s)))
			continue;
		jsonw_key_bytes(w, bytes_str(scope_text((enum scope)s)));
		jsonw_str(w, writes ? "write" : "read");
	}
	jsonw_obj_end(w);
}

void console_put_person(struct jsonw *w, const struct user_row *u)
{
	jsonw_obj(w);
	jsonw_key(w, "id"), render_id(w, u->id);
	jsonw_key(w, "name"), jsonw_str(w, u->name);
	jsonw_key(w, "displayName"), jsonw_str(w, u->display_name);
	jsonw_key(w, "email"), jsonw_str(w, u->email);
	jsonw_key(w, "picture"), jsonw_str(w, u->picture_url);
	jsonw_key(w, "role"), jsonw_str(w, user_role_text(u->role));
	jsonw_obj_end(w);
}

static void put_caller(struct request *r, struct jsonw *w, const struct reply *reply)
{
	jsonw_key(w, "by"), jsonw_str(w, r->by_cookie ? "session" : r->key_id ? "key" : "unix");
	jsonw_key(w, "user");
	if (reply->n_users)
		console_put_person(w, &reply->users[0]);
	else
		jsonw_null(w);
	jsonw_key(w, "key");
	if (r->key_id) {
		const char *colon = strchr(r->actor, ':');
		jsonw_obj(w);
		jsonw_key(w, "prefix"), jsonw_str(w, colon ? colon + 1 : "");
		jsonw_key(w, "expiresMs"), jsonw_int(w, r->key_expires_ms);
		jsonw_obj_end(w);
	} else {
		jsonw_null(w);
	}
	put_may(w, r->may);
	jsonw_key(w, "csrf"), jsonw_str(w, r->by_cookie ? csrf_of(r, r->token) : "");
	jsonw_key(w, "session");
	if (r->by_cookie) {
		jsonw_obj(w);
		jsonw_key(w, "id"), render_id(w, r->signin);
		jsonw_key(w, "signedInMs"), jsonw_int(w, r->signin_ms);
		jsonw_key(w, "expiresMs"), jsonw_int(w, r->signin_expires_ms);
		jsonw_obj_end(w);
	} else {
		jsonw_null(w);
	}
}

static enum MHD_Result on_me(struct request *r, const struct reply *reply)
{
	FAIL_ON(r, reply);
	struct buf out;
	struct jsonw w = console_begin(&out);
	char event[EVENT_ID_MAX];

	put_caller(r, &w, reply);
	jsonw_key(&w, "tailnet"), jsonw_obj(&w);
	jsonw_key(&w, "id"), jsonw_str(&w, "1");
	jsonw_key(&w, "name"), jsonw_str(&w, "default");
	jsonw_key(&w, "domain"), jsonw_str(&w, reply->domain);
	jsonw_obj_end(&w);
	jsonw_key(&w, "server"), jsonw_obj(&w);
	jsonw_key(&w, "version"), jsonw_str(&w, fairlead_version);
	jsonw_key(&w, "url"), jsonw_str(&w, r->api->cfg.server_url);
	jsonw_key(&w, "startedMs"), jsonw_int(&w, r->api->started_ms);
	jsonw_obj_end(&w);
	jsonw_key(&w, "policyInFile"), jsonw_str(&w, r->api->cfg.policy_in_file && r->api->cfg.policy_path ? r->api->cfg.policy_path : "");
	jsonw_key(&w, "firstRun"), jsonw_obj(&w);
	jsonw_key(&w, "done"), jsonw_bool(&w, reply->text[0] && reply->stats.nodes);
	jsonw_key(&w, "owner"), jsonw_bool(&w, reply->text[0] != 0);
	jsonw_key(&w, "machines"), jsonw_uint(&w, reply->stats.nodes);
	jsonw_obj_end(&w);
	jsonw_key(&w, "lastEvent"), jsonw_str(&w, event_id_text(r->api->events, reply->last_event, event));
	return console_end(r, &w, &out);
}

enum MHD_Result console_me(struct request *r)
{
	struct command *c = command_for(r, CMD_ME);

	if (c)
		c->id = r->by_cookie ? r->signin_user : r->key_user;
	return ask(r, c, on_me);
}

static enum MHD_Result on_signed_out(struct request *r, const struct reply *reply)
{
	FAIL_ON(r, reply);
	signin_forget(r);
	return answer_empty(r);
}

/* This browser's session ends. A key has none. */
enum MHD_Result console_sign_out(struct request *r)
{
	struct command *c = r->by_cookie ? command_for(r, CMD_SIGNIN_END) : NULL;

	if (!r->by_cookie)
		return answer_error(r, 400, "a key has no session; delete the key");
	if (c)
		c->key_text = command_str(c, r->token);
	return ask(r, c, on_signed_out);
}
