/* What devices do with tailnet lock: start it, sign, change keys, end it; and what they get wrong. */
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/cleanup.h"
#include "common/crypto/argon2i.h"
#include "common/text/base64.h"
#include "tests/lib/naive_map.h"
#include "tests/lib/tka_make.h"
#include "tests/sim/client.h"

enum { BODY_MAX = 200000 };

static const char secret[] = "the secret that ends it";

/* The same in each history, and dear: computed once. */
static const uint8_t *disablement(void)
{
	static uint8_t value[ARGON2I_LEN];
	static bool known;
	struct argon2i *a;

	if (known)
		return value;
	if (argon2i_new(bytes_str(secret), BYTES_LIT("tailscale network-lock disablement salt"), (struct argon2i_cost){ 4, 16 * 1024, 4 }, &a) != OK)
		abort();
	while (!argon2i_step(a, SIZE_MAX))
		;
	argon2i_result(a, value);
	argon2i_free(a);
	known = true;
	return value;
}

static void on_answer(struct sim_call *c, struct reply *r)
{
	if (r->e == OK && r->http_status == 200 && c->stolen)
		world_fail(c->w, "a lock request that is wrong was taken");
}

static void ask(struct client *c, const char *what, const char *fields, bool wrong)
{
	struct event *e = event_new(EV_NODE_REQUEST);
	struct sim_call *sc = world_call(c->w, c, on_answer);
	char key[KEY_TEXT_MAX];

	e->machine = c->machine;
	e->method = "GET";
	e->path = arena_printf(&e->arena, "/machine/tka/%s", what);
	char *body = arena_printf(&e->arena, "{\"NodeKey\":\"%s\"%s}", node_pub_text(&c->key, key), fields);
	e->body = bytes_str(body);
	sc->stolen = wrong;
	e->call = &sc->call;
	world_say(c->w, "client %zu asks %s", c->index, what);
	world_apply(c->w, e);
}

/* ,"name":"base64 of b". b is emptied. */
static void put_b64(struct buf *out, const char *name, struct buf *b)
{
	char *text = malloc(buf_len(b) * 2 + 8);

	buf_printf(out, "%s\"%s\":\"%s\"", out->end && buf_view(out).p[buf_len(out) - 1] == '{' ? "" : ",", name, base64_encode(buf_view(b), text));
	free(text);
	buf_done(b);
}

static void ask_with(struct client *c, const char *what, struct buf *fields, bool wrong)
{
	buf_append_u8(fields, 0);
	ask(c, what, (const char *)buf_view(fields).p, wrong);
	buf_done(fields);
}

static void start(struct client *c, struct node *n)
{
	struct tka_signer one = tka_signer(1), two = tka_signer(2);
	const struct tka_signer *trusted[] = { &one, &two };
	struct buf genesis = buf_make(4096), fields = buf_make(BODY_MAX);
	struct world *w = c->w;
	size_t at = 0;

	if (n->row.user_id && !one_in(w, 4)) {
		struct event *e = event_new(EV_COMMAND);
		e->command = command_new(CMD_USER_ROLE);
		e->command->id = n->row.user_id;
		e->command->role = "admin";
		e->call = &world_call(w, NULL, on_answer)->call;
		world_apply(w, e);
	}
	make_genesis(&genesis, &one, trusted, 2, disablement());
	put_b64(&fields, "GenesisAUM", &genesis);
	ask_with(c, "init/begin", &fields, n->t->map.lock_on);
	fields = buf_make(BODY_MAX);
	buf_append_str(&fields, ",\"Signatures\":{");
	for (struct node *x; (x = map_next(&w->core->nodes, &at));) {
		struct buf sig = buf_make(4096);
		char id[24];

		if (one_in(w, 6))
			continue;
		make_direct(&sig, &one, &x->row.key, NULL);
		snprintf(id, sizeof id, "%lld", (long long)x->row.id);
		put_b64(&fields, id, &sig);
	}
	buf_append_str(&fields, "}");
	ask_with(c, "init/finish", &fields, false);
}

static void sign(struct client *c)
{
	struct world *w = c->w;
	bool wrong = one_in(w, 4);
	struct tka_signer s = tka_signer(wrong ? 9 : 1);
	struct node *x = NULL, *any = NULL;
	struct buf sig = buf_make(4096), fields = buf_make(BODY_MAX);
	size_t at = 0, k = chance(w, w->core->nodes.n);

	while ((any = map_next(&w->core->nodes, &at)) && k--)
		x = any;
	if (x) {
		make_direct(&sig, &s, &x->row.key, NULL);
		put_b64(&fields, "Signature", &sig);
		ask_with(c, "sign", &fields, wrong);
	}
	buf_done(&sig);
	buf_done(&fields);
}

static void change_keys(struct client *c, struct node *n)
{
	struct world *w = c->w;
	bool wrong = one_in(w, 4);
	struct tka_signer s = tka_signer(wrong ? 9 : 1), three = tka_signer(3);
	const struct tka_signer *by[] = { &s };
	struct buf aum = buf_make(4096), fields = buf_make(BODY_MAX);
	struct tka_hash head;

	if (!n->t->map.lock_on || tka_hash_parse(bytes_str(n->t->map.lock_head), &head) != OK)
		return;
	if (one_in(w, 10))
		head.b[0] ^= 1, wrong = true; /* follows what nobody knows */
	if (one_in(w, 2))
		make_add_key(&aum, &s, &head, &three, 1);
	else
		make_remove_key(&aum, by, 1, &head, &three);
	char *text = malloc(buf_len(&aum) * 2 + 8);
	buf_printf(&fields, ",\"Head\":\"%s\",\"MissingAUMs\":[\"%s\"],\"Interactive\":true", n->t->map.lock_head,
			base64_encode(buf_view(&aum), text));
	free(text);
	buf_done(&aum);
	ask_with(c, "sync/send", &fields, wrong);
}

static void end(struct client *c)
{
	bool wrong = one_in(c->w, 3);
	struct buf s = buf_make(64), fields = buf_make(BODY_MAX);

	buf_append_str(&s, wrong ? "another secret" : secret);
	put_b64(&fields, "DisablementSecret", &s);
	ask_with(c, "disable", &fields, wrong);
}

void lock_act(struct world *w)
{
	struct client *c = w->clients[chance(w, w->n_clients)];
	struct node *n = node_by_key(w->core, &c->key);
	uint64_t what = chance(w, 40);

	if (!n || !machine_pub_eq(&n->row.machine, &c->machine))
		return;
	if (what < 16 || !n->t->map.lock_on)
		start(c, n);
	else if (what < 26)
		sign(c);
	else if (what < 36)
		change_keys(c, n);
	else if (what < 37)
		end(c);
	else if (what < 38)
		ask(c, "bootstrap", "", false);
	else if (what < 39)
		ask(c, "affected-sigs", ",\"KeyID\":\"AAAA\"", true);
	else
		ask(c, "sync/offer", ",\"Head\":\"nonsense\",\"Ancestors\":[7]", true);
}

void check_lock(struct world *w, struct client *c, const struct node *n)
{
	json_t *want = naive_lock(&n->t->map), *has = json_object_get(c->stream->map, "TKAInfo");

	if (has ? !json_equal(has, want) : !json_is_null(want))
		world_fail(w, "client %zu (node %lld) believes another state of tailnet lock", c->index, (long long)n->row.id);
	json_decref(want);
}
