#include "server/core/state.h"

#include <stdio.h>

#include "common/base/cleanup.h"

/* The rest of /machine/…: first the node of the request must belong to the machine that asks (trap T40), then each path is
 * answered, or refused in the way its client copes with (protocol/control.md 4). */

struct route_answer {
	const char *path; /* ends in "/": a prefix */
	int status;
	const char *text;
};

static const struct route_answer answers[] = {
	{ "/machine/set-dns", 501, "this server does not publish DNS records for certificates\n" },
};

static bool matches(const char *pattern, const char *path)
{
	size_t n = strlen(pattern);
	const char *query = strchr(path, '?');
	size_t len = query ? (size_t)(query - path) : strlen(path);

	if (pattern[n - 1] == '/')
		return len >= n && strncmp(path, pattern, n) == 0;
	return len == n && strncmp(path, pattern, n) == 0;
}

static bool is_path(const struct event *e, const char *path)
{
	return matches(path, or_empty(e->path));
}

/* Some paths have no body: the machine's own registration has to do. */
static struct node *any_node(struct core *c, const struct machine_pub *key)
{
	struct machine *m = machine_get(c, key);

	return m ? container_of(m->nodes.next, struct node, of_machine) : NULL;
}

void answer_node_json(struct core *c, struct call *call, struct buf *out)
{
	struct reply *r = reply_new();
	char *text = r && !out->bad ? arena_str(&r->arena, buf_view(out)) : NULL;

	if (!text) {
		reply_free(r);
		answer_http(c, call, 503, "out of memory\n");
	} else {
		r->http_status = 200;
		r->registered = true;
		r->body = bytes_of(text, buf_len(out));
		fx_reply(c, call, r);
	}
	buf_done(out);
}

static void whoami(struct core *c, struct event *e, const struct node *n)
{
	char a4[ADDR_TEXT_MAX], a6[ADDR_TEXT_MAX];
	char *text = arena_printf(&e->arena, "node %lld\nname %s\naddresses %s %s\n", (long long)n->row.id, n->row.given_name,
			addr_text(n->row.v4, a4), addr_text(n->row.v6, a6));

	answer_http(c, e->call, 200, text);
}

void on_node_request(struct core *c, struct event *e)
{
	struct node_pub key;
	struct json_why why;
	struct node *n;

	if (is_path(e, "/machine/ssh/action/")) { /* names its node in the path */
		on_ssh_action(c, e);
		return;
	}
	if (is_path(e, "/machine/c2n/")) { /* its body is HTTP; its token says whose it is */
		on_c2n_answer(c, e);
		return;
	}
	if (e->body.n) {
		err er = tailcfg_request_node_key(e->body, &key, &why);
		if (er != OK) {
			answer_http(c, e->call, 400, why.text);
			return;
		}
		n = node_by_key(c, &key);
		if (n && !machine_pub_eq(&n->row.machine, &e->machine)) {
			answer_http(c, e->call, 401, "this node key belongs to another machine\n");
			return;
		}
	} else {
		n = any_node(c, &e->machine);
	}
	if (!n) {
		answer_http(c, e->call, 401, "this machine has no such node here\n");
		return;
	}
	if (is_path(e, "/machine/tka/")) {
		on_lock_request(c, e, n);
		return;
	}
	if (on_node_client_request(c, e, n))
		return;
	if (is_path(e, "/machine/set-device-attr")) {
		on_set_device_attr(c, e, n);
		return;
	}
	if (is_path(e, "/machine/whoami")) {
		whoami(c, e, n);
		return;
	}
	for (size_t i = 0; i < ARRAY_LEN(answers); i++)
		if (is_path(e, answers[i].path)) {
			answer_http(c, e->call, answers[i].status, answers[i].text);
			return;
		}
	answer_http(c, e->call, 404, "no such path\n");
}
