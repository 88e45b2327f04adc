#include "server/ts2021/rpc.h"

#include <stdio.h>

#include "common/base/cleanup.h"
#include "common/text/json.h"
#include "common/text/jsonw.h"

static void refuse(struct rpc *out, int status, const char *text)
{
	*out = (struct rpc){ .kind = RPC_REFUSE, .status = status };
	snprintf(out->text, sizeof out->text, "%s", text);
}

static void refuse_body(struct rpc *out, err e, const struct json_why *why)
{
	refuse(out, e == ERR_TOO_BIG ? 413 : e == ERR_NOMEM ? 503 : 400, why->text);
}

/* What goes over a bound is told to the person in front of the client, who sees nothing but Error (trap T12). */
static void refuse_register(struct rpc *out, err e, const struct json_why *why)
{
	struct buf text = buf_make(1024);
	struct jsonw w = jsonw_init(&text);
	char sentence[300];

	if (e == ERR_NOMEM || e == ERR_MALFORMED) {
		refuse_body(out, e, why);
		return;
	}
	snprintf(sentence, sizeof sentence, "this server cannot take what the device reports of itself: %.120s", why->text);
	jsonw_obj(&w);
	jsonw_key(&w, "Error"), jsonw_str(&w, sentence);
	jsonw_obj_end(&w);
	buf_append_u8(&text, 0);
	refuse(out, 200, text.bad ? "{\"Error\":\"the device reports too much of itself\"}" : (const char *)buf_view(&text).p);
	buf_done(&text);
}

static struct event *new_event(enum event_kind kind, const struct machine_pub *machine, struct addr remote, struct rpc *out)
{
	struct event *e = event_new(kind);

	if (!e) {
		refuse(out, 503, "out of memory");
		return NULL;
	}
	e->machine = *machine;
	e->remote = remote;
	return e;
}

static void decode_register(struct bytes body, const struct machine_pub *machine, struct addr remote, struct rpc *out)
{
	struct event *e = new_event(EV_REGISTER, machine, remote, out);
	struct json_why why = { 0 };

	if (!e)
		return;
	err bad = tailcfg_register_request_parse(body, &e->arena, &e->reg, &why);
	if (bad != OK) {
		event_free(e);
		refuse_register(out, bad, &why);
		return;
	}
	*out = (struct rpc){ .kind = RPC_CALL, .event = e };
}

static void decode_map(struct bytes body, const struct machine_pub *machine, struct addr remote, struct rpc *out)
{
	struct event *e = new_event(EV_MAP_LITE, machine, remote, out);
	struct json_why why = { 0 };

	if (!e)
		return;
	err bad = tailcfg_map_request_parse(body, &e->arena, &e->map, &why);
	if (bad != OK) {
		event_free(e);
		refuse_body(out, bad, &why);
		return;
	}
	/* protocol/control.md 6.2: Stream, else OmitPeers, else one map */
	e->kind = e->map->stream ? EV_MAP_STREAM : e->map->omit_peers ? EV_MAP_LITE : EV_MAP_ONCE;
	*out = (struct rpc){ .kind = e->kind == EV_MAP_LITE ? RPC_CALL : RPC_STREAM, .event = e, .zstd = e->map->zstd };
}

static void decode_other(struct bytes method, struct bytes path, struct bytes body, const struct machine_pub *machine,
	struct addr remote, struct rpc *out)
{
	struct event *e = new_event(EV_NODE_REQUEST, machine, remote, out);

	if (!e)
		return;
	uint8_t *copy = arena_alloc(&e->arena, body.n + 1);
	e->method = arena_str(&e->arena, method);
	e->path = arena_str(&e->arena, path);
	if (!copy || !e->method || !e->path) {
		event_free(e);
		refuse(out, 503, "out of memory");
		return;
	}
	if (body.n)
		memcpy(copy, body.p, body.n);
	e->body = bytes_of(copy, body.n);
	*out = (struct rpc){ .kind = RPC_CALL, .event = e };
}

void rpc_decode(struct bytes method, struct bytes path, struct bytes body, const struct machine_pub *machine,
	struct addr remote, struct rpc *out)
{
	struct bytes query, plain = bytes_cut(path, '?', &query);
	bool is_register = bytes_eq_str(plain, "/machine/register"), is_map = bytes_eq_str(plain, "/machine/map");

	if (path.n > RPC_PATH_MAX)
		refuse(out, 414, "path too long");
	else if (body.n > RPC_BODY_MAX)
		refuse(out, 413, "body too large");
	else if ((is_register || is_map) && !bytes_eq_str(method, "POST"))
		refuse(out, 405, "POST only");
	else if (is_register)
		decode_register(body, machine, remote, out);
	else if (is_map)
		decode_map(body, machine, remote, out);
	else if (bytes_has_prefix(path, BYTES_LIT("/machine/")))
		decode_other(method, path, body, machine, remote, out);
	else
		refuse(out, 404, "not found");
}
