#include <string.h>

#include "common/base/cleanup.h"
#include "common/text/json.h"
#include "server/api/console.h"
#include "server/api/dns_ask.h"

/* Do the name servers of the settings answer? Asked by this server, which is not where the machines are: of one that gives no answer and
 * lies in a private network is said that it could not be checked from here. */

struct check {
	struct dns_question q[DNS_ASK_MAX];
	const char *domain[DNS_ASK_MAX]; /* "" everything else */
	size_t n;
};

static const char *const verdicts[] = {
	[DNS_SILENT] = "silent", [DNS_UNREACHABLE] = "silent", [DNS_UNCHECKED] = "unchecked", [DNS_ANSWERS] = "answers", [DNS_NO_SUCH_NAME] = "answers", [DNS_FAILS] = "fails",
};

static bool may_be_elsewhere(const struct dns_question *q)
{
	struct addrport a;

	return q->verdict == DNS_UNCHECKED || ((q->verdict == DNS_SILENT || q->verdict == DNS_UNREACHABLE) && dns_server_addr(q->server, &a) &&
			(addr_is_private(a.addr) || (a.addr.family == 4 && a.addr.b[0] == 100 && (a.addr.b[1] & 0xc0) == 64)));
}

void console_put_dns_answer(struct jsonw *w, const struct dns_question *q)
{
	bool elsewhere = may_be_elsewhere(q), came = q->verdict >= DNS_ANSWERS;

	jsonw_obj(w);
	jsonw_key(w, "server"), jsonw_str(w, q->server);
	jsonw_key(w, "state"), jsonw_str(w, elsewhere ? "unchecked" : verdicts[q->verdict]);
	jsonw_key(w, "ms");
	if (came)
		jsonw_double(w, (double)(int64_t)(q->ms * 10 + 0.5) / 10);
	else
		jsonw_null(w);
	jsonw_key(w, "there"), jsonw_bool(w, q->verdict == DNS_ANSWERS);
	jsonw_key(w, "answers"), jsonw_arr(w);
	for (size_t i = 0; i < q->n_answers; i++) {
		char text[ADDR_TEXT_MAX];
		jsonw_str(w, addr_text(q->answer[i], text));
	}
	jsonw_arr_end(w);
	jsonw_obj_end(w);
}

static void add_server(struct request *r, struct check *c, const char *domain, const json_t *server)
{
	const char *text = json_string_value(server);

	if (!text || c->n == DNS_ASK_MAX)
		return;
	const char *name = arena_str(&r->arena, bytes_str(domain)), *copy = arena_str(&r->arena, bytes_str(text));
	if (!name || !copy)
		return;
	c->domain[c->n] = name;
	c->q[c->n++] = (struct dns_question){ .server = copy, .name = name, .type = *name ? DNS_TYPE_SOA : DNS_TYPE_NS };
}

static const char *value_of(const struct reply *reply, const char *key, const char *otherwise)
{
	for (size_t i = 0; i < reply->n_settings; i++)
		if (strcmp(reply->settings[i].key, key) == 0 && reply->settings[i].value && reply->settings[i].value[0])
			return reply->settings[i].value;
	return otherwise;
}

/* On a worker: it waits for answers. */
static void look(struct request *r, struct reply *reply)
{
	struct check *c = r->keep;

	(void)reply;
	dns_ask(c->q, c->n, CONSOLE_DNS_WAIT_MS);
}

static enum MHD_Result on_looked(struct request *r, const struct reply *reply)
{
	const struct check *c = r->keep;
	struct buf out;

	FAIL_ON(r, reply);
	struct jsonw w = console_begin(&out);
	jsonw_key(&w, "servers"), jsonw_arr(&w);
	for (size_t i = 0; i < c->n; i++) {
		jsonw_obj(&w);
		jsonw_key(&w, "domain"), jsonw_str(&w, c->domain[i]);
		jsonw_key(&w, "asked"), console_put_dns_answer(&w, &c->q[i]);
		jsonw_obj_end(&w);
	}
	jsonw_arr_end(&w);
	return console_end(r, &w, &out);
}

static enum MHD_Result on_settings(struct request *r, const struct reply *reply)
{
	struct check *c = arena_alloc(&r->arena, sizeof *c);
	const char *domain;
	json_t *servers, *v;
	size_t i;

	FAIL_ON(r, reply);
	if (!c)
		return answer_error(r, 500, "out of memory");
	json_auto_t *global = json_loads(value_of(reply, "dns.nameservers.global", "[]"), 0, NULL);
	json_auto_t *split = json_loads(value_of(reply, "dns.nameservers.split", "{}"), 0, NULL);
	json_object_foreach(split, domain, servers)
		json_array_foreach(servers, i, v)
			add_server(r, c, domain, v);
	json_array_foreach(global, i, v)
		add_server(r, c, "", v);
	r->keep = c;
	return work_for(r, look, on_looked);
}

enum MHD_Result console_dns_check(struct request *r)
{
	return ask(r, command_for(r, CMD_SETTINGS_LIST), on_settings);
}
