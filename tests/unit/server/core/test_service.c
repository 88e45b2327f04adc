/* VIP services: made, advertised by c2n, approved, shown only to who may reach them, failing over, kept and undone. */
#include <stdio.h>
#include <stdlib.h>

#include "server/core/c2n.h"
#include "server/core/state.h"
#include "tests/lib/core_harness.h"
#include "tests/lib/test.h"

static const char policy[] =
	"{\"tagOwners\": {\"tag:web\": [\"ann@\"]}, \"grants\": [{\"src\": [\"ann@\"], \"dst\": [\"svc:web\"], \"ip\": [\"tcp:80\"]}],"
	" \"autoApprovers\": {\"services\": {\"svc:web\": [\"tag:web\"]}}}";

struct lab {
	struct harness h;
	struct device ann, bob, h1, h2;
	int64_t id1, id2;
};

static void set_policy(struct harness *h, const char *text)
{
	struct command *m = command_new(CMD_POLICY_SET);

	m->text = text;
	struct reply *r = harness_command(h, m);
	if (r->e != OK)
		fail_msg("%s", r->message);
}

static struct reply *service(struct lab *l, enum command_kind kind, const char *name)
{
	struct command *m = command_new(kind);

	m->name = name;
	return harness_command(&l->h, m);
}

static void begin(struct lab *l)
{
	harness_start(&l->h, NULL);
	harness_user(&l->h, "ann");
	harness_user(&l->h, "bob");
	set_policy(&l->h, policy);
	const char *web = harness_authkey_tags(&l->h, "ann", AK_REUSABLE, "tag:web");
	device_init(&l->ann, &l->h, "a");
	device_init(&l->bob, &l->h, "b");
	device_init(&l->h1, &l->h, "h1");
	device_init(&l->h2, &l->h, "h2");
	device_join(&l->ann, harness_authkey(&l->h, "ann", 0));
	device_join(&l->bob, harness_authkey(&l->h, "bob", 0));
	l->id1 = device_join(&l->h1, web);
	l->id2 = device_join(&l->h2, web);
}

static void end(struct lab *l)
{
	device_done(&l->ann), device_done(&l->bob), device_done(&l->h1), device_done(&l->h2);
	harness_stop(&l->h);
}

/* The client says that it serves something else; the server asks what; it answers with these names. */
static void advertise(struct device *d, const char *hash, const char *list)
{
	char path[200] = "", body[1000], answer[800];
	json_t *m;

	device_skip(d);
	d->services_hash = hash;
	device_lite(d);
	while ((m = device_next(d))) {
		const char *url = json_string_value(json_object_get(json_object_get(m, "PingRequest"), "URL"));
		if (url)
			snprintf(path, sizeof path, "%s", strstr(url, "/machine/") ? strstr(url, "/machine/") : strchr(url + 8, '/'));
	}
	if (!*hash) {
		assert_string_equal(path, ""); /* nothing needs asking */
		return;
	}
	assert_string_not_equal(path, "");
	snprintf(answer, sizeof answer, "{\"VIPServices\":[%s],\"ServicesHash\":\"%s\"}", list, hash);
	snprintf(body, sizeof body, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n%s", strlen(answer), answer);
	assert_int_equal(device_request(d, path, body) / 100, 2);
}

#define WEB "{\"Name\":\"svc:web\",\"Active\":true}"

static json_t *field_of_last(struct device *d, const char *what)
{
	json_t *found = NULL, *m;

	while ((m = device_next(d)))
		if (json_object_get(m, what))
			found = json_object_get(m, what);
	return found;
}

static bool has_record(json_t *dns, const char *name)
{
	json_t *r;
	size_t i;

	json_array_foreach(json_object_get(dns, "ExtraRecords"), i, r)
		if (strcmp(json_string_value(json_object_get(r, "Name")), name) == 0)
			return true;
	return false;
}

static void who_may_reach_it_sees_it(void **state)
{
	struct lab l;

	(void)state;
	begin(&l);
	struct reply *r = service(&l, CMD_SERVICE_SET, "svc:web");
	assert_ok(r->e);
	assert_non_null(strstr(r->text, "\"hosts\":[]"));
	device_skip(&l.ann), device_skip(&l.bob);
	advertise(&l.h1, "aa", WEB);
	r = service(&l, CMD_SERVICE_LIST, "svc:web");
	assert_non_null(strstr(r->text, "\"approval\":\"approved:auto\""));
	assert_non_null(strstr(r->text, "\"serving\":true"));
	assert_true(has_record(field_of_last(&l.ann, "DNSConfig"), "web.tail.example.com"));
	assert_null(field_of_last(&l.bob, "DNSConfig"));
	json_t *self = field_of_last(&l.h1, "Node"), *host = json_array_get(json_object_get(json_object_get(self, "CapMap"), "service-host"), 0);
	assert_int_equal(json_array_size(json_object_get(host, "svc:web")), 2);
	assert_int_equal(json_array_size(json_object_get(self, "AllowedIPs")), 4);

	/* Fresh maps say the same. */
	device_stream(&l.ann);
	assert_true(has_record(field_of_last(&l.ann, "DNSConfig"), "web.tail.example.com"));
	device_stream(&l.bob);
	assert_false(has_record(field_of_last(&l.bob, "DNSConfig"), "web.tail.example.com"));
	device_stream(&l.h1);
	assert_non_null(json_object_get(json_object_get(field_of_last(&l.h1, "Node"), "CapMap"), "service-host"));

	advertise(&l.h1, "", "");
	assert_false(has_record(field_of_last(&l.ann, "DNSConfig"), "web.tail.example.com"));
	end(&l);
}

static void approval_by_hand_and_kept(void **state)
{
	struct lab l;

	(void)state;
	begin(&l);
	advertise(&l.h1, "aa", WEB ",{\"Name\":\"svc:other\",\"Active\":true}"); /* before it is there */
	assert_ok(service(&l, CMD_SERVICE_SET, "svc:other")->e);
	struct reply *r = service(&l, CMD_SERVICE_LIST, "svc:other");
	assert_non_null(strstr(r->text, "\"approval\":\"not-approved\""));
	assert_non_null(strstr(r->text, "\"serving\":false"));
	struct command *m = command_new(CMD_SERVICE_APPROVE);
	m->name = "svc:other";
	m->id = l.id1;
	r = harness_command(&l.h, m);
	assert_ok(r->e);
	assert_non_null(strstr(r->text, "\"approval\":\"approved:manual\""));
	assert_non_null(strstr(r->text, "\"serving\":true"));
	harness_restart(&l.h);
	assert_non_null(strstr(service(&l, CMD_SERVICE_LIST, "svc:other")->text, "\"serving\":true"));
	m = command_new(CMD_SERVICE_APPROVE);
	m->name = "svc:other";
	m->id = l.id1;
	m->disable = true;
	assert_non_null(strstr(harness_command(&l.h, m)->text, "\"serving\":false"));
	assert_ok(service(&l, CMD_SERVICE_DELETE, "svc:other")->e);
	assert_int_equal(service(&l, CMD_SERVICE_LIST, "svc:other")->e, ERR_NOT_FOUND);
	assert_int_equal(l.h.db.n_services, 0);
	end(&l);
}

static void another_host_takes_over(void **state)
{
	struct lab l;

	(void)state;
	begin(&l);
	assert_ok(service(&l, CMD_SERVICE_SET, "svc:web")->e);
	advertise(&l.h1, "aa", WEB);
	advertise(&l.h2, "bb", WEB);
	struct prefix p = addr_prefix(l.h.core->tailnets[0]->map.services[0].v4);
	assert_int_equal(route_carrier(l.h.core->tailnets[0], p), l.id1);
	device_hang_up(&l.h1);
	harness_step(&l.h, 5000);
	assert_int_equal(route_carrier(l.h.core->tailnets[0], p), l.id2);
	end(&l);
}

static void names_and_words_are_checked(void **state)
{
	static const char *const bad[] = { "web", "svc:", "svc:-a", "svc:A", "svc:a.b", "svc:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" };
	static const char *const bad_ports[] = { "443", "tcp:0", "tcp:70000", "tcp:9-8", "sctp:1", "" };
	struct lab l;

	(void)state;
	begin(&l);
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		assert_int_equal(service(&l, CMD_SERVICE_SET, bad[i])->e, ERR_INVALID);
	for (size_t i = 0; i < sizeof bad_ports / sizeof bad_ports[0]; i++) {
		struct command *m = command_new(CMD_SERVICE_SET);
		const char **ports = arena_array(&m->arena, 1, sizeof *ports);
		ports[0] = bad_ports[i];
		m->name = "svc:x";
		m->ports = ports;
		m->n_ports = 1;
		assert_int_equal(harness_command(&l.h, m)->e, ERR_INVALID);
	}
	struct command *m = command_new(CMD_SERVICE_SET);
	m->name = "svc:x";
	m->text = "{\"a\":1}";
	assert_int_equal(harness_command(&l.h, m)->e, ERR_INVALID);
	assert_int_equal(service(&l, CMD_SERVICE_SET, "svc:h1")->e, ERR_EXISTS); /* a node has the name */
	assert_ok(service(&l, CMD_SERVICE_SET, "svc:x")->e);
	m = command_new(CMD_NODE_RENAME);
	m->id = l.id1;
	m->new_name = "x";
	assert_int_equal(harness_command(&l.h, m)->e, ERR_EXISTS);
	struct device n;
	device_init(&n, &l.h, "x");
	int64_t id = device_join(&n, harness_authkey(&l.h, "bob", 0));
	assert_string_equal(harness_node_command(&l.h, CMD_NODE_GET, id)->nodes[0]->row.given_name, "x-1");
	assert_false(addr_eq(harness_node_command(&l.h, CMD_NODE_GET, id)->nodes[0]->row.v4, l.h.core->tailnets[0]->map.services[0].v4));
	device_done(&n);
	end(&l);
}

static void a_failing_commit_takes_it_back(void **state)
{
	struct lab l;

	(void)state;
	begin(&l);
	assert_ok(service(&l, CMD_SERVICE_SET, "svc:web")->e);
	advertise(&l.h1, "aa", WEB);
	l.h.hold = true;
	service(&l, CMD_SERVICE_DELETE, "svc:web");
	assert_int_equal(l.h.core->tailnets[0]->map.n_services, 0);
	harness_fail(&l.h);
	l.h.hold = false;
	harness_settle(&l.h);
	assert_int_equal(l.h.core->tailnets[0]->map.n_services, 1);
	assert_int_equal(route_carrier(l.h.core->tailnets[0], addr_prefix(l.h.core->tailnets[0]->map.services[0].v4)), l.id1);
	char *memory = harness_dump(&l.h), *db = harness_dump_db(&l.h);
	assert_string_equal(memory, db);
	free(memory), free(db);
	end(&l);
}

/* A worker reads the policy again: until it has, a new service is nobody's, and what changes meanwhile is not lost. */
static void the_policy_is_read_again_by_a_worker(void **state)
{
	struct lab l;
	struct tailnet *t;

	(void)state;
	begin(&l);
	t = l.h.core->tailnets[0];
	device_skip(&l.ann);
	device_skip(&l.bob);
	l.h.hold_jobs = true;
	struct policy *before = t->policy;
	assert_ok(service(&l, CMD_SERVICE_SET, "svc:web")->e);
	assert_true(t->policy == before && t->policy_behind && t->rereads);
	assert_int_equal(l.h.n_jobs, 1);
	advertise(&l.h1, "aa", WEB);
	assert_null(device_next(&l.ann)); /* it cannot be reached yet */
	/* Another one while the worker reads; and one whose words change, but not where it is. */
	assert_ok(service(&l, CMD_SERVICE_SET, "svc:other")->e);
	assert_int_equal(l.h.n_jobs, 1);
	l.h.hold_jobs = false;
	harness_settle(&l.h);
	assert_false(t->policy_behind || t->rereads);
	assert_true(t->policy != before);
	assert_true(has_record(field_of_last(&l.ann, "DNSConfig"), "web.tail.example.com"));
	assert_null(device_next(&l.bob)); /* who sees neither hears of neither */
	before = t->policy;
	struct command *m = command_new(CMD_SERVICE_SET);
	m->name = "svc:web";
	m->note = "other words";
	assert_ok(harness_command(&l.h, m)->e);
	assert_true(t->policy == before);

	/* A policy that is set while it reads is not replaced by the one before. */
	l.h.hold_jobs = true;
	assert_ok(service(&l, CMD_SERVICE_DELETE, "svc:web")->e);
	m = command_new(CMD_POLICY_SET);
	m->text = "{\"grants\": [{\"src\": [\"bob@\"], \"dst\": [\"svc:other\"], \"ip\": [\"*\"]}]}";
	assert_null(harness_command(&l.h, m));
	l.h.hold_jobs = false;
	harness_settle(&l.h);
	assert_int_equal(policy_in_force(t)->version, 2);
	assert_false(t->policy_behind || t->rereads);

	/* The change is taken back while the worker reads. */
	l.h.hold_jobs = true;
	l.h.hold = true;
	service(&l, CMD_SERVICE_DELETE, "svc:other");
	assert_true(t->policy_behind && t->rereads);
	harness_fail(&l.h);
	l.h.hold = false;
	assert_false(t->policy_behind);
	l.h.hold_jobs = false;
	harness_settle(&l.h);
	assert_false(t->policy_behind || t->rereads);
	assert_int_equal(t->map.n_services, 1);
	char *memory = harness_dump(&l.h), *db = harness_dump_db(&l.h);
	assert_string_equal(memory, db);
	free(memory), free(db);
	end(&l);
}

/* The core's own job has room beside those that people asked for. */
static void a_full_queue_has_room_for_it(void **state)
{
	struct lab l;

	(void)state;
	begin(&l);
	l.h.hold_jobs = true;
	for (int i = 0; i < JOBS_MAX; i++) {
		struct command *m = command_new(CMD_POLICY_SET);
		m->text = policy;
		assert_null(harness_command(&l.h, m));
	}
	assert_ok(service(&l, CMD_SERVICE_SET, "svc:web")->e);
	assert_int_equal(l.h.n_jobs, JOBS_MAX + 1);
	assert_ok(service(&l, CMD_SERVICE_SET, "svc:other")->e);
	assert_int_equal(l.h.n_jobs, JOBS_MAX + 1);
	l.h.hold_jobs = false;
	harness_settle(&l.h);
	assert_int_equal(policy_in_force(l.h.core->tailnets[0])->version, JOBS_MAX + 1);
	assert_false(l.h.core->tailnets[0]->policy_behind);
	end(&l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(who_may_reach_it_sees_it),
		cmocka_unit_test(approval_by_hand_and_kept),
		cmocka_unit_test(another_host_takes_over),
		cmocka_unit_test(names_and_words_are_checked),
		cmocka_unit_test(a_failing_commit_takes_it_back),
		cmocka_unit_test(the_policy_is_read_again_by_a_worker),
		cmocka_unit_test(a_full_queue_has_room_for_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
