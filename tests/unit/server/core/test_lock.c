/* Tailnet lock at the server: who may start it, what everybody is told, what is refused, and that it survives. */
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/crypto/argon2i.h"
#include "common/text/base64.h"
#include "server/core/state.h"
#include "tests/lib/core_harness.h"
#include "tests/lib/test.h"
#include "tests/lib/tka_make.h"

struct lab {
	struct harness h;
	struct device a, b;
	int64_t id_a, id_b;
	struct tka_signer one, two;
	struct tka_hash genesis;
};

static const char secret[] = "end it";

static const uint8_t *disablement(void)
{
	static uint8_t v[32];
	static bool known;
	struct argon2i *a;

	if (!known) {
		assert_ok(argon2i_new(bytes_str(secret), BYTES_LIT("tailscale network-lock disablement salt"), (struct argon2i_cost){ 4, 16384, 4 }, &a));
		while (!argon2i_step(a, SIZE_MAX))
			;
		argon2i_result(a, v);
		argon2i_free(a);
	}
	known = true;
	return v;
}

static void begin_lab(struct lab *l)
{
	harness_start(&l->h, NULL);
	int64_t ann = harness_user(&l->h, "ann");
	harness_user(&l->h, "bob");
	struct command *m = command_new(CMD_USER_ROLE);
	m->id = ann;
	m->role = "admin";
	assert_ok(harness_command(&l->h, m)->e);
	device_init(&l->a, &l->h, "a");
	device_init(&l->b, &l->h, "b");
	l->id_a = device_join(&l->a, harness_authkey(&l->h, "ann", 0));
	l->id_b = device_join(&l->b, harness_authkey(&l->h, "bob", AK_REUSABLE));
	device_skip(&l->a);
	l->one = tka_signer(1);
	l->two = tka_signer(2);
}

static void end_lab(struct lab *l)
{
	device_done(&l->a);
	device_done(&l->b);
	harness_stop(&l->h);
}

static int ask(struct device *d, const char *what, const char *fields)
{
	char key[KEY_TEXT_MAX], path[64];
	size_t cap = strlen(fields) + 200;
	char *body = malloc(cap);

	snprintf(path, sizeof path, "/machine/tka/%s", what);
	snprintf(body, cap, "{\"Version\":130,\"NodeKey\":\"%s\"%s}", node_pub_text(&d->key, key), fields);
	int status = device_request(d, path, body);
	free(body);
	return status;
}

static int ask_blob(struct device *d, const char *what, const char *field, struct buf *b)
{
	size_t cap = buf_len(b) * 2 + 100;
	char *text = malloc(cap), *fields = malloc(cap);

	snprintf(fields, cap, ",\"%s\":\"%s\"", field, base64_encode(buf_view(b), text));
	int status = ask(d, what, fields);
	free(text);
	free(fields);
	buf_done(b);
	return status;
}

static int begin_init(struct lab *l, struct device *d)
{
	const struct tka_signer *trusted[] = { &l->one, &l->two };
	struct buf g = buf_make(4096);
	struct tka_aum aum;

	make_genesis(&g, &l->one, trusted, 2, disablement());
	assert_ok(tka_aum_parse(buf_view(&g), &aum));
	l->genesis = aum.hash;
	return ask_blob(d, "init/begin", "GenesisAUM", &g);
}

/* Signatures for both nodes, by this signer. */
static int finish_init(struct lab *l, struct device *d, const struct tka_signer *s)
{
	struct buf sa = buf_make(4096), sb = buf_make(4096);
	char ta[600], tb[600], fields[1600];

	make_direct(&sa, s, &l->a.key, NULL);
	make_direct(&sb, s, &l->b.key, NULL);
	snprintf(fields, sizeof fields, ",\"Signatures\":{\"%lld\":\"%s\",\"%lld\":\"%s\"}", (long long)l->id_a, base64_encode(buf_view(&sa), ta),
			(long long)l->id_b, base64_encode(buf_view(&sb), tb));
	buf_done(&sa), buf_done(&sb);
	return ask(d, "init/finish", fields);
}

static void start(struct lab *l)
{
	assert_int_equal(begin_init(l, &l->a), 200);
	assert_int_equal(json_array_size(json_object_get(l->a.resp, "NeedSignatures")), 2);
	assert_int_equal(finish_init(l, &l->a, &l->one), 200);
}

/* The newest TKAInfo that a device was told; NULL: none. */
static json_t *told(struct device *d)
{
	json_t *info = NULL, *m;

	while ((m = device_next(d)))
		if (json_object_get(m, "TKAInfo"))
			info = json_object_get(m, "TKAInfo");
	return info;
}

static const char *head_of(json_t *info)
{
	return json_string_value(json_object_get(info, "Head"));
}

static void only_admins_start_it(void **state)
{
	struct lab l;

	(void)state;
	begin_lab(&l);
	assert_int_equal(ask(&l.a, "bootstrap", ",\"Head\":\"\""), 200);
	assert_int_equal(json_object_size(l.a.resp), 0);
	assert_int_equal(ask(&l.a, "sync/offer", ",\"Head\":\"\""), 404);
	assert_int_equal(begin_init(&l, &l.b), 403);
	assert_int_equal(finish_init(&l, &l.a, &l.one), 400); /* not begun */
	assert_int_equal(ask(&l.a, "init/begin", ",\"GenesisAUM\":\"AAAA\""), 400);
	assert_int_equal(begin_init(&l, &l.a), 200);
	struct tka_signer stranger = tka_signer(9);
	assert_int_equal(finish_init(&l, &l.a, &stranger), 400); /* signed by somebody else: nothing is on */
	assert_null(told(&l.b));
	assert_int_equal(l.h.core->lock_aums.n, 0);
	assert_int_equal(finish_init(&l, &l.a, &l.one), 200);
	assert_int_equal(begin_init(&l, &l.a), 409);
	assert_int_equal(ask(&l.a, "nonsense", ""), 404);
	end_lab(&l);
}

static void everybody_hears_of_it(void **state)
{
	struct lab l;
	char text[TKA_HASH_TEXT_MAX];

	(void)state;
	begin_lab(&l);
	start(&l);
	json_t *m = NULL, *got;
	while ((got = device_next(&l.b)))
		m = got;
	assert_non_null(m);
	assert_string_equal(head_of(json_object_get(m, "TKAInfo")), tka_hash_text(&l.genesis, text));
	assert_non_null(json_object_get(json_object_get(m, "Node"), "KeySignature"));
	assert_non_null(json_object_get(json_array_get(json_object_get(m, "Peers"), 0), "KeySignature"));
	assert_int_equal(ask(&l.b, "bootstrap", ",\"Head\":\"\""), 200);
	assert_non_null(json_object_get(l.b.resp, "GenesisAUM"));

	harness_restart(&l.h);
	device_stream(&l.b);
	assert_string_equal(head_of(told(&l.b)), tka_hash_text(&l.genesis, text));
	struct reply *r = harness_command(&l.h, command_new(CMD_LOCK_STATUS));
	assert_ok(r->e);
	assert_non_null(strstr(r->text, "\"enabled\":true"));
	assert_non_null(strstr(r->text, "\"lockedOut\":[]"));
	end_lab(&l);
}

static void keys_change_and_devices_catch_up(void **state)
{
	struct lab l;
	struct tka_signer three = tka_signer(3), stranger = tka_signer(9);
	struct buf aum = buf_make(4096), bad = buf_make(4096);
	char fields[3000], text[2000], head[TKA_HASH_TEXT_MAX];

	(void)state;
	begin_lab(&l);
	start(&l);
	told(&l.a);
	told(&l.b);
	make_add_key(&bad, &stranger, &l.genesis, &three, 1);
	snprintf(fields, sizeof fields, ",\"MissingAUMs\":[\"%s\"],\"Interactive\":true", base64_encode(buf_view(&bad), text));
	assert_int_equal(ask(&l.b, "sync/send", fields), 400);
	assert_null(told(&l.a));
	make_add_key(&aum, &l.one, &l.genesis, &three, 1);
	snprintf(fields, sizeof fields, ",\"MissingAUMs\":[\"%s\"],\"Interactive\":true", base64_encode(buf_view(&aum), text));
	assert_int_equal(ask(&l.a, "sync/send", fields), 200);
	struct tka_aum parsed;
	assert_ok(tka_aum_parse(buf_view(&aum), &parsed));
	assert_string_equal(head_of(l.a.resp), tka_hash_text(&parsed.hash, head));
	assert_string_equal(head_of(told(&l.b)), head); /* in a delta */
	assert_int_equal(ask(&l.a, "sync/send", fields), 200); /* again: nothing new */
	snprintf(fields, sizeof fields, ",\"Head\":\"%s\",\"Ancestors\":[\"%s\"]", tka_hash_text(&l.genesis, text), text);
	assert_int_equal(ask(&l.b, "sync/offer", fields), 200);
	assert_int_equal(json_array_size(json_object_get(l.b.resp, "MissingAUMs")), 1);
	assert_string_equal(head_of(l.b.resp), head);
	assert_int_equal(ask(&l.b, "sync/offer", ",\"Head\":\"x\""), 400);
	assert_int_equal(ask(&l.b, "sync/offer", ",\"Head\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\""), 409);
	harness_restart(&l.h);
	device_stream(&l.b);
	assert_string_equal(head_of(told(&l.b)), head);
	buf_done(&aum), buf_done(&bad);
	end_lab(&l);
}

static void a_newcomer_is_signed(void **state)
{
	struct lab l;
	struct device n;
	struct tka_signer stranger = tka_signer(9);
	struct buf sig = buf_make(4096), bad = buf_make(4096);

	(void)state;
	begin_lab(&l);
	start(&l);
	device_init(&n, &l.h, "n");
	int64_t id = device_join(&n, harness_authkey(&l.h, "bob", 0));
	struct reply *r = harness_command(&l.h, command_new(CMD_LOCK_STATUS));
	assert_non_null(strstr(r->text, "\"name\":\"n\""));
	device_skip(&l.a);
	make_direct(&bad, &stranger, &n.key, NULL);
	assert_int_equal(ask_blob(&l.b, "sign", "Signature", &bad), 400);
	make_direct(&sig, &l.two, &n.key, NULL);
	struct bytes copy = test_exact(buf_view(&sig));
	assert_int_equal(ask_blob(&l.b, "sign", "Signature", &sig), 200);
	json_t *m = device_next(&l.a), *peer = m ? json_array_get(json_object_get(m, "PeersChanged"), 0) : NULL;
	assert_int_equal(json_integer_value(json_object_get(peer, "ID")), id);
	assert_non_null(json_object_get(peer, "KeySignature"));
	char fields[100], text[64];
	snprintf(fields, sizeof fields, ",\"KeyID\":\"%s\"", base64_encode(bytes_of(l.two.pub, 32), text));
	assert_int_equal(ask(&l.a, "affected-sigs", fields), 200);
	assert_int_equal(json_array_size(json_object_get(l.a.resp, "Signatures")), 1);

	/* Another key: first it is told to sign that with the old signature. */
	device_new_key(&n);
	json_t *resp = device_register(&n, harness_authkey(&l.h, "bob", 0));
	assert_non_null(json_object_get(resp, "NodeKeySignature"));
	resp = device_register(&n, harness_authkey(&l.h, "bob", 0)); /* it cannot: it is in, and locked out */
	assert_null(json_object_get(resp, "NodeKeySignature"));
	assert_true(json_is_true(json_object_get(resp, "MachineAuthorized")));
	test_exact_free(copy);
	device_done(&n);
	end_lab(&l);
}

static void the_secret_ends_it(void **state)
{
	struct lab l;
	char fields[200], text[64];

	(void)state;
	begin_lab(&l);
	start(&l);
	told(&l.b);
	snprintf(fields, sizeof fields, ",\"DisablementSecret\":\"%s\"", base64_encode(BYTES_LIT("wrong"), text));
	assert_int_equal(ask(&l.b, "disable", fields), 0); /* it is being checked */
	assert_int_equal(ask(&l.a, "disable", fields), 429);
	harness_step(&l.h, 2000);
	assert_int_equal(l.b.status, 403);
	snprintf(fields, sizeof fields, ",\"DisablementSecret\":\"%s\"", base64_encode(bytes_str(secret), text));
	assert_int_equal(ask(&l.b, "disable", fields), 0);
	harness_step(&l.h, 2000);
	assert_int_equal(l.b.status, 200);
	json_t *info = told(&l.a);
	assert_true(json_is_true(json_object_get(info, "Disabled")));
	assert_int_equal(l.h.db.n_lock_aums, 0);
	harness_restart(&l.h);
	device_stream(&l.a);
	info = told(&l.a);
	assert_true(json_is_true(json_object_get(info, "Disabled")));
	assert_int_equal(ask(&l.b, "bootstrap", ""), 200);
	assert_string_equal(json_string_value(json_object_get(l.b.resp, "DisablementSecret")), text);
	start(&l); /* and it can be started anew */
	assert_non_null(head_of(told(&l.a)));
	end_lab(&l);
}

static void a_failing_commit_takes_it_back(void **state)
{
	struct lab l;

	(void)state;
	begin_lab(&l);
	assert_int_equal(begin_init(&l, &l.a), 200);
	l.h.hold = true;
	finish_init(&l, &l.a, &l.one);
	assert_true(l.h.core->tailnets[0]->map.lock_on);
	harness_fail(&l.h);
	l.h.hold = false;
	assert_false(l.h.core->tailnets[0]->map.lock_on);
	harness_settle(&l.h);
	char *memory = harness_dump(&l.h), *db = harness_dump_db(&l.h);
	assert_string_equal(memory, db);
	free(memory), free(db);
	start(&l);
	assert_true(l.h.core->tailnets[0]->map.lock_on);
	memory = harness_dump(&l.h), db = harness_dump_db(&l.h);
	assert_string_equal(memory, db);
	free(memory), free(db);
	end_lab(&l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_admins_start_it),
		cmocka_unit_test(everybody_hears_of_it),
		cmocka_unit_test(keys_change_and_devices_catch_up),
		cmocka_unit_test(a_newcomer_is_signed),
		cmocka_unit_test(the_secret_ends_it),
		cmocka_unit_test(a_failing_commit_takes_it_back),
	};

	return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
