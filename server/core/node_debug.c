#include "server/core/state.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/base/cleanup.h"
#include "common/text/jsonw.h"

/* CMD_NODE_DEBUG: what the core knows of a node's view and its stream, for whoever asks why it sees what it sees. */

enum { DEBUG_TEXT_MAX = 128 << 20 };

void node_refused(struct core *c, struct node *n, const char *text)
{
	char *copy = strndup(text, 200);

	if (!copy)
		return;
	free(n->refusal);
	n->refusal = copy;
	n->refusal_ms = c->now.wall_ms;
	node_info_stale(n);
}

static const char *shut_text(enum node_shut s)
{
	switch (s) {
	case SHUT_NO:
		return NULL;
	case SHUT_SUSPENDED:
		return "its user is suspended";
	case SHUT_USER_WAITS:
		return "its user waits for approval";
	case SHUT_UNAPPROVED:
		return "it waits for approval";
	}
	return NULL;
}

static void write_node(struct jsonw *w, const struct node *n)
{
	jsonw_obj(w);
	jsonw_key(w, "id"), jsonw_int(w, n->row.id);
	jsonw_key(w, "name"), jsonw_str(w, n->row.given_name);
	jsonw_key(w, "online"), jsonw_bool(w, n->m.online);
	jsonw_key(w, "expired"), jsonw_bool(w, n->m.expired);
	jsonw_key(w, "announced"), jsonw_bool(w, n->m.announced);
	jsonw_key(w, "takesNoPart");
	if (shut_text(n->shut))
		jsonw_str(w, shut_text(n->shut));
	else
		jsonw_null(w);
	jsonw_key(w, "class");
	if (n->m.cls == UINT32_MAX)
		jsonw_null(w);
	else
		jsonw_int(w, n->m.cls);
	jsonw_key(w, "capabilityVersion"), jsonw_int(w, n->row.capver);
	jsonw_key(w, "homeRelay"), jsonw_int(w, n->row.home_derp);
	jsonw_key(w, "changesNotSent"), jsonw_bool(w, n->dirty != 0);
	jsonw_obj_end(w);
}

static void write_stream(struct jsonw *w, const struct core *c, const struct session *s)
{
	jsonw_obj(w);
	jsonw_key(w, "ageMs"), jsonw_int(w, c->now.mono_ms - s->opened_ms);
	jsonw_key(w, "messages"), jsonw_uint(w, s->n_messages);
	jsonw_key(w, "bytes"), jsonw_uint(w, s->n_bytes);
	jsonw_key(w, "bytesBehind"), jsonw_uint(w, __atomic_load_n(&s->sink->behind, __ATOMIC_RELAXED));
	jsonw_key(w, "lastMessageMsAgo");
	if (s->n_messages)
		jsonw_int(w, c->now.mono_ms - s->last_ms);
	else
		jsonw_null(w);
	jsonw_key(w, "sequence"), jsonw_uint(w, s->last_seq);
	jsonw_key(w, "waitsForWholeMap"), jsonw_bool(w, s->need_full);
	jsonw_key(w, "waitsForRound"), jsonw_bool(w, s->self || s->compare || s->node->t->flush);
	jsonw_obj_end(w);
}

static void write_told(struct jsonw *w, const struct session *s)
{
	const struct tailnet *t = s->node->t;
	char hash[24];

	jsonw_obj(w);
	jsonw_key(w, "peers"), jsonw_arr(w);
	for (size_t i = 0; i < t->map.n_slots; i++)
		if (slots_has(&s->told, (uint32_t)i))
			jsonw_int(w, t->slot_id[i]);
	jsonw_arr_end(w);
	jsonw_key(w, "filters"), jsonw_obj(w);
	for (size_t i = 0; i < s->n_filters; i++) {
		snprintf(hash, sizeof hash, "%016llx", (unsigned long long)s->filters[i].hash);
		jsonw_key_bytes(w, bytes_str(s->filters[i].name)), jsonw_str(w, hash);
	}
	jsonw_obj_end(w);
	jsonw_obj_end(w);
}

static void put_map(struct jsonw *w, struct map_msg *msg)
{
	CLEANUP(buf_done) struct buf text = buf_make(DEBUG_TEXT_MAX);
	uint8_t head[4];
	size_t payload;

	if (map_msg_head(msg, false, head, &payload) == OK)
		for (size_t i = 0; map_msg_piece(msg, false, i).n; i++)
			buf_append(&text, map_msg_piece(msg, false, i));
	if (text.bad || !buf_len(&text))
		jsonw_null(w);
	else
		jsonw_raw(w, buf_view(&text));
}

/* The map that it would be given now, and whether its stream was told just that. */
static err write_map(struct jsonw *w, struct node *n, int64_t wall_ms)
{
	struct policy_filter filters[POLICY_FILTERS_MAX];
	struct slots told = { 0 };
	struct map_msg *msg;
	size_t k = 0;

	err e = map_full(n->t->cache, &n->t->map, &n->m, wall_ms, &told, filters, &k, &msg);
	if (e != OK) {
		slots_done(&told);
		return e;
	}
	const struct session *s = n->session;
	bool same = s && s->begun && k == s->n_filters;
	for (uint32_t i = 0; same && i < n->t->map.n_slots; i++)
		same = slots_has(&told, i) == slots_has(&s->told, i);
	for (size_t i = 0; same && i < k; i++)
		same = strcmp(filters[i].name, s->filters[i].name) == 0 && filters[i].hash == s->filters[i].hash;
	jsonw_key(w, "toldThisMap"), jsonw_bool(w, same && !s->need_full && !s->self);
	jsonw_key(w, "map"), put_map(w, msg);
	map_msg_unref(msg);
	slots_done(&told);
	return OK;
}

err node_debug(struct core *c, struct node *n, struct reply *r)
{
	CLEANUP(buf_done) struct buf out = buf_make(DEBUG_TEXT_MAX);
	struct jsonw w = jsonw_init(&out);

	jsonw_obj(&w);
	jsonw_key(&w, "node"), write_node(&w, n);
	jsonw_key(&w, "stream");
	if (n->session)
		write_stream(&w, c, n->session);
	else
		jsonw_null(&w);
	jsonw_key(&w, "told");
	if (n->session)
		write_told(&w, n->session);
	else
		jsonw_null(&w);
	jsonw_key(&w, "sequence"), jsonw_uint(&w, c->seq);
	jsonw_key(&w, "durableSequence"), jsonw_uint(&w, c->durable);
	jsonw_key(&w, "lastUpdate"), n->report_ms ? jsonw_time(&w, n->report_ms) : jsonw_null(&w);
	jsonw_key(&w, "lastRefusal");
	if (n->refusal) {
		jsonw_obj(&w);
		jsonw_key(&w, "at"), jsonw_time(&w, n->refusal_ms);
		jsonw_key(&w, "text"), jsonw_str(&w, n->refusal);
		jsonw_obj_end(&w);
	} else {
		jsonw_null(&w);
	}
	TRY(write_map(&w, n, c->now.wall_ms));
	jsonw_obj_end(&w);
	r->text = jsonw_ok(&w) ? arena_str(&r->arena, buf_view(&out)) : NULL;
	return r->text ? OK : ERR_NOMEM;
}
