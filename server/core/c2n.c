#include "server/core/c2n.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/base/cleanup.h"
#include "common/base/random.h"
#include "common/http/http1.h"
#include "common/text/hex.h"
#include "common/text/jsonw.h"
#include "server/core/state.h"

enum { TOKEN_BYTES = 16 };

struct c2n {
	char token[2 * TOKEN_BYTES + 1];
	int64_t node_id;
	int64_t asked_ms; /* mono */
	c2n_done *done;
	void *ctx;
	int64_t arg;
	struct timer limit;
};

struct asker { /* who waits for it */
	struct call *call;
	struct list all; /* core.c2n_askers */
};

struct map c2n_map(void)
{
	return MAP_OF(struct c2n, token);
}

static void finish(struct core *c, struct c2n *q, const struct c2n_answer *a)
{
	struct c2n_answer answer = *a;

	answer.took_ms = c->now.mono_ms - q->asked_ms;
	map_del(&c->c2n, q->token);
	timer_stop(&c->timers, &q->limit);
	struct node *n = node_by_id(c, q->node_id);
	if (n)
		n->n_c2n--;
	q->done(c, n, q->ctx, q->arg, &answer);
	free(q);
}

static void on_limit(struct core *c, struct timer *t)
{
	finish(c, container_of(t, struct c2n, limit), &(struct c2n_answer){ .e = ERR_TIMEOUT });
}

void c2n_close(struct core *c)
{
	size_t at = 0;

	for (struct c2n *q; (q = map_next(&c->c2n, &at)); at = 0)
		finish(c, q, &(struct c2n_answer){ .e = ERR_CLOSED });
}

void c2n_free_all(struct core *c)
{
	size_t at = 0;

	for (struct c2n *q; (q = map_next(&c->c2n, &at));) {
		timer_stop(&c->timers, &q->limit);
		free(q);
	}
	map_done(&c->c2n);
	list_each_safe(it, &c->c2n_askers)
		free(container_of(it, struct asker, all));
}

static void write_http(struct buf *out, const struct c2n_request *r)
{
	char text[32];

	http1_put_request(out, r->method ? r->method : "GET", bytes_str(r->path));
	http1_put_header(out, "Host", BYTES_LIT("c2n"));
	snprintf(text, sizeof text, "%lldms", (long long)r->timeout_ms);
	http1_put_header(out, "C2n-Handler-Timeout", bytes_str(text));
	if (r->body.n) {
		snprintf(text, sizeof text, "%zu", r->body.n);
		http1_put_header(out, "Content-Length", bytes_str(text));
	}
	http1_put_end(out);
	buf_append(out, r->body);
}

static struct map_msg *message(const struct c2n *q, const struct c2n_request *r)
{
	struct buf http = buf_make(C2N_BODY_MAX + 4096), text = buf_make(2 * (C2N_BODY_MAX + 8192));
	struct jsonw w = jsonw_init(&text);
	struct part *p = NULL;
	char url[96];

	write_http(&http, r);
	/* The client posts to the path of this URL through Noise and looks up no host. */
	snprintf(url, sizeof url, "https://unused/machine/c2n/%s", q->token);
	jsonw_obj(&w);
	jsonw_key(&w, "PingRequest"), jsonw_obj(&w);
	jsonw_key(&w, "URL"), jsonw_str(&w, url);
	jsonw_key(&w, "URLIsNoise"), jsonw_bool(&w, true);
	jsonw_key(&w, "Types"), jsonw_str(&w, "c2n");
	jsonw_key(&w, "Payload"), jsonw_base64(&w, buf_view(&http));
	jsonw_obj_end(&w);
	jsonw_obj_end(&w);
	if (http.bad || !jsonw_ok(&w))
		buf_done(&text);
	else
		p = part_new(&text);
	buf_done(&http);
	return p ? map_msg_new(&p, 1) : NULL;
}

err c2n_ask(struct core *c, struct node *n, const struct c2n_request *r)
{
	uint8_t random[TOKEN_BYTES];
	struct session *s = n->session;

	if (!s || !s->begun) /* the first message of a stream must be a whole map (T16) */
		return ERR_STATE;
	if (c->c2n.n >= C2N_MAX || n->n_c2n >= C2N_PER_NODE || strlen(r->path) > C2N_PATH_MAX || r->body.n > C2N_BODY_MAX)
		return ERR_TOO_BIG;
	TRY(timers_reserve(&c->timers, c->timers.n + 8));
	CLEANUP(freep) struct c2n *q = calloc(1, sizeof *q);
	if (!q)
		return ERR_NOMEM;
	random_fill(random, sizeof random);
	hex_encode(bytes_of(random, sizeof random), q->token);
	q->node_id = n->row.id;
	q->asked_ms = c->now.mono_ms;
	q->done = r->done;
	q->ctx = r->ctx;
	q->arg = r->arg;
	q->limit.fire = on_limit;
	struct map_msg *msg = message(q, r);
	if (!msg)
		return ERR_NOMEM;
	err e = map_put(&c->c2n, q);
	if (e != OK) {
		map_msg_unref(msg);
		return e;
	}
	n->n_c2n++;
	timer_arm(&c->timers, &q->limit, c->now.mono_ms + MIN_OF(r->timeout_ms, (int64_t)C2N_TIMEOUT_MAX_MS));
	q = NULL;
	session_note_sent(c, s, map_msg_text_len(msg));
	fx_map_one(c, msg, s->sink);
	return OK;
}

/* ---- the client's answer ---- */

static void parse_answer(struct bytes body, struct c2n_answer *out)
{
	struct http1_response resp;

	*out = (struct c2n_answer){ .e = ERR_MALFORMED };
	if (http1_parse_response(body, false, &resp) != OK)
		return;
	struct bytes rest = bytes_skip(body, resp.head_len);
	switch (resp.framing) {
	case HTTP1_BODY_NONE:
		rest = (struct bytes){ 0 };
		break;
	case HTTP1_BODY_LENGTH:
		if (resp.body_len > rest.n)
			return;
		rest = bytes_first(rest, (size_t)resp.body_len);
		break;
	case HTTP1_BODY_CHUNKED:
		return; /* clients do not */
	case HTTP1_BODY_UNTIL_CLOSE:
		break;
	}
	*out = (struct c2n_answer){ .e = OK, .status = resp.status, .body = rest };
}

void on_c2n_answer(struct core *c, struct event *e)
{
	const char *token = strrchr(e->path, '/') + 1;
	char key[2 * TOKEN_BYTES + 1] = { 0 };
	struct c2n *q = NULL;

	if (strlen(token) == sizeof key - 1) {
		memcpy(key, token, sizeof key - 1);
		q = map_get(&c->c2n, key);
	}
	struct node *n = q ? node_by_id(c, q->node_id) : NULL;
	if (!n || !machine_pub_eq(&n->row.machine, &e->machine)) {
		answer_http(c, e->call, 404, "nobody waits for this answer\n");
		return;
	}
	struct c2n_answer a;
	parse_answer(e->body, &a);
	answer_http(c, e->call, 204, "");
	finish(c, q, &a);
}

/* ---- CMD_NODE_C2N: an administrator asks ---- */

/* What only reads. */
static bool may_ask(const char *path)
{
	static const char *const paths[] = { "/echo", "/posture/identity", "/debug/netmap", "/debug/health", "/debug/prefs",
		"/debug/metrics", "/debug/goroutines", "/sockstats", "/ssh/usernames", "/appconnector/routes", "/vip-services",
		"/tls-cert-status", "/debug/tka/log", "/update" };
	size_t n = strcspn(path, "?");

	for (size_t i = 0; i < ARRAY_LEN(paths); i++)
		if (strlen(paths[i]) == n && strncmp(paths[i], path, n) == 0)
			return true;
	return false;
}

static void on_asked(struct core *c, struct node *n, void *ctx, int64_t arg, const struct c2n_answer *a)
{
	struct asker *k = ctx;
	struct reply *r = k->call ? reply_new() : NULL;

	(void)n;
	(void)arg;
	list_del(&k->all);
	if (r && a->e != OK) {
		reply_fail(r, a->e, a->e == ERR_TIMEOUT ? "the device did not answer in %lld ms" : a->e == ERR_CLOSED ? "the server is stopping" :
				"the device's answer cannot be read (after %lld ms)", (long long)a->took_ms);
	} else if (r) {
		r->text = arena_str(&r->arena, a->body);
		r->status = a->status;
		r->took_ms = a->took_ms;
		if (!r->text)
			reply_fail(r, ERR_NOMEM, "out of memory");
	}
	if (r)
		fx_reply(c, k->call, r);
	free(k);
}

void on_command_c2n(struct core *c, const struct command *m, struct call *call, struct reply *r)
{
	struct node *n = node_by_id(c, m->id);

	if (!n || n->t->row.id != m->tailnet_id) {
		reply_fail(r, ERR_NOT_FOUND, "there is no node with id %lld", (long long)m->id);
		return;
	}
	if (!may_ask(m->text)) {
		reply_fail(r, ERR_INVALID, "\"%.64s\" is nothing that devices are asked here", m->text);
		return;
	}
	struct asker *k = calloc(1, sizeof *k);
	if (!k) {
		r->e = ERR_NOMEM;
		return;
	}
	k->call = call;
	list_init(&k->all);
	list_add_tail(&c->c2n_askers, &k->all);
	err e = c2n_ask(c, n, &(struct c2n_request){ .path = m->text, .timeout_ms = m->at_ms ? m->at_ms : 5000, .done = on_asked, .ctx = k });
	if (e == OK) {
		r->deferred = true;
		return;
	}
	list_del(&k->all);
	free(k);
	if (e == ERR_STATE)
		reply_fail(r, e, "node %s is not connected", n->row.given_name);
	else
		r->e = e;
}

bool c2n_call_gone(struct core *c, struct call *call)
{
	list_each(it, &c->c2n_askers) {
		struct asker *k = container_of(it, struct asker, all);
		if (k->call != call)
			continue;
		k->call = NULL;
		answer_err(c, call, ERR_CLOSED, "cancelled");
		return true;
	}
	return false;
}
