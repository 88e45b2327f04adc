#include "server/core/core.h"

#include "common/base/cleanup.h"
#include "server/core/state.h"
#include "tests/lib/core_harness.h"
#include "tests/lib/test.h"

/* Who carries which route, who is shown it, and that nothing moves without need. */

struct lab { /* two routers, a third device that uses them, and one of another user */
	struct harness h;
	struct device a, b, c, d;
	int64_t id_a, id_b, id_c, id_d;
};

#define SUBNET "10.1.0.0/16"

static struct prefix prefix_of(const char *text)
{
	struct prefix p;

	assert_ok(prefix_parse(bytes_str(text), &p));
	return p;
}

static void approve(struct lab *l, int64_t id, const char *route)
{
	struct command *m = command_new(CMD_NODE_APPROVE_ROUTES);
	struct prefix *list = arena_array(&m->arena, 1, sizeof *list);

	m->id = id;
	if (route)
		list[m->n_routes++] = prefix_of(route);
	m->routes = list;
	assert_ok(harness_command(&l->h, m)->e);
}

static void set_policy(struct lab *l, const char *text)
{
	struct command *m = command_new(CMD_POLICY_SET);

	m->text = text;
	m->author = m->note = m->actor = "";
	struct reply *r = harness_command(&l->h, m);
	if (r->e != OK)
		print_message("%s\n", r->message);
	assert_ok(r->e);
}

static void lab_start(struct lab *l, const struct core_settings *set)
{
	*l = (struct lab){ 0 };
	harness_start(&l->h, set);
	harness_user(&l->h, "ann");
	harness_user(&l->h, "bob");
	const char *ann = harness_authkey(&l->h, "ann", AK_REUSABLE), *bob = harness_authkey(&l->h, "bob", AK_REUSABLE);
	device_init(&l->a, &l->h, "router-a");
	device_init(&l->b, &l->h, "router-b");
	device_init(&l->c, &l->h, "user-c");
	device_init(&l->d, &l->h, "user-d");
	l->id_a = device_join(&l->a, ann);
	l->id_b = device_join(&l->b, ann);
	l->id_c = device_join(&l->c, ann);
	l->id_d = device_join(&l->d, bob);
}

static void skip_all(struct lab *l)
{
	device_skip(&l->a);
	device_skip(&l->b);
	device_skip(&l->c);
	device_skip(&l->d);
}

static void lab_routers(struct lab *l)
{
	l->a.route = l->b.route = SUBNET;
	device_lite(&l->a);
	device_lite(&l->b);
	approve(l, l->id_a, SUBNET);
	approve(l, l->id_b, SUBNET);
	skip_all(l);
}

static void lab_stop(struct lab *l)
{
	device_done(&l->a);
	device_done(&l->b);
	device_done(&l->c);
	device_done(&l->d);
	harness_stop(&l->h);
}

static size_t serving(struct lab *l, int64_t id)
{
	return harness_node_command(&l->h, CMD_NODE_GET, id)->nodes[0]->n_serving;
}

static bool has_text(const json_t *list, const char *text)
{
	size_t i;
	json_t *v;

	json_array_foreach((json_t *)(uintptr_t)list, i, v)
		if (strcmp(json_string_value(v), text) == 0)
			return true;
	return false;
}

/* The peer in a list of nodes. NULL: it is not there. */
static json_t *peer_in(json_t *msg, const char *list, int64_t id)
{
	size_t i;
	json_t *v;

	json_array_foreach(json_object_get(msg, list), i, v)
		if (json_integer_value(json_object_get(v, "ID")) == id)
			return v;
	return NULL;
}

/* All messages that wait: what the newest says of the peer's routes. -1: nothing, 0: not this route, 1: this one. */
static int told(struct device *d, int64_t id, const char *route)
{
	int said = -1;

	for (json_t *m; (m = device_next(d));) {
		json_t *p = peer_in(m, "PeersChanged", id);
		if (!p)
			p = peer_in(m, "Peers", id);
		if (p) {
			said = has_text(json_object_get(p, "AllowedIPs"), route);
			assert_int_equal(has_text(json_object_get(p, "PrimaryRoutes"), route), said && prefix_of(route).bits);
		}
	}
	return said;
}

static void the_other_takes_over_at_once(void **state)
{
	struct lab l;

	(void)state;
	lab_start(&l, NULL);
	lab_routers(&l);
	assert_int_equal(serving(&l, l.id_a), 1);
	assert_int_equal(serving(&l, l.id_b), 0);
	device_hang_up(&l.a);
	harness_step(&l.h, ROUTER_LEAVE_MS - 10);
	assert_int_equal(told(&l.c, l.id_b, SUBNET), -1);
	harness_step(&l.h, 20); /* long before it counts as offline */
	assert_int_equal(told(&l.c, l.id_b, SUBNET), 1);
	assert_int_equal(serving(&l, l.id_a), 0);
	assert_int_equal(serving(&l, l.id_b), 1);
	/* It comes back within the grace, and gets nothing back. */
	device_stream(&l.a);
	harness_step(&l.h, 60000);
	assert_int_equal(serving(&l, l.id_a), 0);
	assert_int_equal(serving(&l, l.id_b), 1);
	lab_stop(&l);
}

static void a_short_break_moves_nothing(void **state)
{
	struct lab l;

	(void)state;
	lab_start(&l, NULL);
	lab_routers(&l);
	for (int i = 0; i < 20; i++) {
		device_hang_up(&l.a);
		harness_step(&l.h, ROUTER_LEAVE_MS / 2);
		device_stream(&l.a);
		device_skip(&l.a);
	}
	assert_null(device_next(&l.c)); /* and nobody hears of it */
	assert_int_equal(serving(&l, l.id_a), 1);
	lab_stop(&l);
}

static void both_gone_the_route_stays(void **state)
{
	struct lab l;

	(void)state;
	lab_start(&l, NULL);
	lab_routers(&l);
	device_hang_up(&l.b);
	harness_step(&l.h, 10000);
	device_hang_up(&l.a);
	harness_step(&l.h, 10000);
	assert_int_equal(serving(&l, l.id_a), 1);
	device_stream(&l.b); /* the first to return gets it */
	harness_settle(&l.h);
	assert_int_equal(serving(&l, l.id_b), 1);
	assert_int_equal(serving(&l, l.id_a), 0);
	lab_stop(&l);
}

/* Answers all questions that wait. Their number. */
static int answer_probes(struct device *d)
{
	int n = 0;

	for (json_t *m; (m = device_next(d));) {
		const char *url = json_string_value(json_object_get(json_object_get(m, "PingRequest"), "URL"));
		char path[96];

		if (!url)
			continue;
		snprintf(path, sizeof path, "%s", url + strlen("https://unused"));
		n += device_request(d, path, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n") == 204; /* 404: too late */
	}
	return n;
}

static void step_answering(struct lab *l, int64_t ms, bool a, bool b, int *asked)
{
	for (; ms > 0; ms -= 100) {
		harness_step(&l->h, 100);
		*asked += a ? answer_probes(&l->a) : 0;
		*asked += b ? answer_probes(&l->b) : 0;
	}
}

static void the_dead_are_found_by_asking(void **state)
{
	struct core_settings s = harness_settings();
	struct lab l;
	int asked = 0;

	(void)state;
	s.probe_interval_ms = 2000;
	s.probe_timeout_ms = 1500;
	lab_start(&l, &s);
	l.a.route = SUBNET;
	device_lite(&l.a);
	approve(&l, l.id_a, SUBNET);
	step_answering(&l, 10000, true, true, &asked);
	assert_int_equal(asked, 0); /* nobody could take over: nobody is asked */
	lab_routers(&l);
	step_answering(&l, 10000, true, true, &asked);
	assert_in_range(asked, 8, 10);
	assert_int_equal(serving(&l, l.id_a), 1);
	skip_all(&l);

	/* a's network is gone, its stream stands open. */
	step_answering(&l, 3600, false, true, &asked);
	assert_int_equal(serving(&l, l.id_b), 1);
	assert_int_equal(told(&l.c, l.id_b, SUBNET), 1);
	/* It answers again, now and then: that is not enough to be trusted, and what it lost it does not get back. */
	for (int i = 0; i < 10; i++) {
		step_answering(&l, 2000, true, true, &asked);
		step_answering(&l, 4000, false, true, &asked);
	}
	step_answering(&l, 20000, true, true, &asked);
	assert_int_equal(told(&l.c, l.id_b, SUBNET), -1);
	assert_int_equal(serving(&l, l.id_b), 1);
	/* Both dead: the route stays where it is. */
	step_answering(&l, 20000, false, false, &asked);
	assert_int_equal(serving(&l, l.id_b), 1);
	device_stream(&l.a); /* a new stream says that it lives */
	step_answering(&l, 1000, true, false, &asked);
	assert_int_equal(serving(&l, l.id_a), 1);
	/* Alone again: no more questions. */
	approve(&l, l.id_b, NULL);
	step_answering(&l, 4000, true, true, &asked);
	asked = 0;
	step_answering(&l, 20000, true, true, &asked);
	assert_int_equal(asked, 0);
	lab_stop(&l);
}

static void who_leaves_hands_over(void **state)
{
	struct lab l;

	(void)state;
	lab_start(&l, NULL);
	lab_routers(&l);
	approve(&l, l.id_a, NULL); /* no longer approved */
	assert_int_equal(told(&l.c, l.id_b, SUBNET), 1);
	approve(&l, l.id_a, SUBNET);
	assert_int_equal(serving(&l, l.id_b), 1);
	l.b.route = NULL; /* no longer announced */
	device_lite(&l.b);
	assert_int_equal(told(&l.c, l.id_a, SUBNET), 1);
	harness_node_command(&l.h, CMD_NODE_DELETE, l.id_a);
	harness_settle(&l.h);
	assert_int_equal(l.h.core->tailnets[0]->routes.n, 0);
	lab_stop(&l);
}

static void expired_routers_carry_nothing(void **state)
{
	struct lab l;
	struct command *m = command_new(CMD_NODE_EXPIRE);

	(void)state;
	lab_start(&l, NULL);
	lab_routers(&l);
	m->id = l.id_a;
	assert_ok(harness_command(&l.h, m)->e);
	assert_int_equal(told(&l.c, l.id_b, SUBNET), 1);
	assert_int_equal(serving(&l, l.id_a), 0);
	m = command_new(CMD_NODE_EXPIRE);
	m->id = l.id_b;
	m->at_ms = l.h.now.wall_ms + 60000;
	assert_ok(harness_command(&l.h, m)->e);
	assert_int_equal(serving(&l, l.id_b), 1);
	harness_step(&l.h, 61000);
	assert_int_equal(serving(&l, l.id_b), 0);
	assert_int_equal(told(&l.c, l.id_b, SUBNET), 0);
	lab_stop(&l);
}

static const char only_ann[] =
	"{\"acls\": [{\"action\": \"accept\", \"src\": [\"autogroup:member\"], \"dst\": [\"autogroup:member:22\"]},"
	" {\"action\": \"accept\", \"src\": [\"ann@\"], \"dst\": [\"10.1.0.0/16:*\", \"autogroup:internet:*\"]}]}";

static void routes_are_shown_to_who_may_use_them(void **state)
{
	struct lab l;

	(void)state;
	lab_start(&l, NULL);
	lab_routers(&l);
	set_policy(&l, only_ann);
	assert_int_equal(told(&l.c, l.id_a, SUBNET), -1); /* sees what it saw: hears nothing of the router */
	assert_int_equal(told(&l.d, l.id_a, SUBNET), 0);
	device_stream(&l.d);
	assert_int_equal(told(&l.d, l.id_a, SUBNET), 0);
	device_stream(&l.c);
	assert_int_equal(told(&l.c, l.id_a, SUBNET), 1);
	/* A change of what the router carries reaches only those who see it. */
	l.a.route = NULL;
	device_lite(&l.a);
	assert_int_equal(told(&l.c, l.id_a, SUBNET), 0);
	assert_null(device_next(&l.d));
	/* Exit routes likewise. */
	l.a.route = "0.0.0.0/0";
	device_lite(&l.a);
	approve(&l, l.id_a, "::/0");
	assert_int_equal(told(&l.c, l.id_a, "0.0.0.0/0"), 1);
	assert_int_equal(told(&l.d, l.id_a, "0.0.0.0/0"), 0); /* it looks otherwise: as one to suggest */
	set_policy(&l, "");
	assert_int_equal(told(&l.d, l.id_a, "0.0.0.0/0"), 1);
	assert_int_equal(told(&l.c, l.id_a, "0.0.0.0/0"), -1);
	lab_stop(&l);
}

static size_t changed(struct lab *l, enum routes_how how, const char *route)
{
	struct command *m = command_new(CMD_NODE_APPROVE_ROUTES);
	struct prefix *list = arena_array(&m->arena, 1, sizeof *list);

	m->id = l->id_a;
	m->how = how;
	list[m->n_routes++] = prefix_of(route);
	m->routes = list;
	struct reply *r = harness_command(&l->h, m);
	assert_ok(r->e);
	return r->nodes[0]->row.n_approved;
}

/* Two who put in one each at the same time lose none: the core makes the list of what holds then. */
static void routes_are_put_in_and_taken_out(void **state)
{
	struct lab l;

	(void)state;
	lab_start(&l, NULL);
	assert_int_equal(changed(&l, ROUTES_ADD, SUBNET), 1);
	assert_int_equal(changed(&l, ROUTES_ADD, "10.2.0.0/16"), 2);
	assert_int_equal(changed(&l, ROUTES_ADD, "10.2.3.4/16"), 2);
	assert_int_equal(changed(&l, ROUTES_ADD, "0.0.0.0/0"), 4); /* an exit node is one thing, of two families */
	assert_int_equal(changed(&l, ROUTES_DROP, "::/0"), 2);
	assert_int_equal(changed(&l, ROUTES_DROP, "10.9.0.0/16"), 2);
	assert_int_equal(changed(&l, ROUTES_DROP, SUBNET), 1);
	assert_int_equal(changed(&l, ROUTES_REPLACE, SUBNET), 1);
	lab_stop(&l);
}

static const char by_tag[] =
	"{\"tagOwners\": {\"tag:east\": [\"ann@\"]}, \"grants\": [{\"src\": [\"autogroup:member\"], \"dst\": [\"autogroup:member\", \"tag:east\"], \"ip\": [\"22\"]},"
	" {\"src\": [\"ann@\"], \"dst\": [\"10.1.0.0/16\"], \"ip\": [\"*\"]},"
	" {\"src\": [\"bob@\"], \"dst\": [\"10.1.0.0/16\"], \"ip\": [\"*\"], \"via\": [\"tag:east\"]}]}";

/* bob is steered to the router with the tag, which is not the elected one. */
static void via_steers_each_viewer(void **state)
{
	struct lab l;
	struct command *m = command_new(CMD_NODE_TAGS);
	const char *tags[] = { "tag:east" };

	(void)state;
	lab_start(&l, NULL);
	lab_routers(&l);
	set_policy(&l, by_tag);
	skip_all(&l);
	m->id = l.id_b;
	m->tags = tags;
	m->n_tags = 1;
	assert_ok(harness_command(&l.h, m)->e);
	assert_int_equal(told(&l.d, l.id_b, SUBNET), 1);
	device_stream(&l.d);
	assert_int_equal(told(&l.d, l.id_b, SUBNET), 1);
	device_stream(&l.d);
	assert_int_equal(told(&l.d, l.id_a, SUBNET), 0);
	device_stream(&l.c);
	assert_int_equal(told(&l.c, l.id_a, SUBNET), 1);
	device_stream(&l.c);
	assert_int_equal(told(&l.c, l.id_b, SUBNET), 0);
	assert_int_equal(serving(&l, l.id_a), 1);
	lab_stop(&l);
}

/* What a policy edit does not change is not sent, also when the classes get other numbers. */
static void a_policy_edit_is_silent_where_nothing_changes(void **state)
{
	struct lab l;

	(void)state;
	lab_start(&l, NULL);
	lab_routers(&l);
	set_policy(&l, "{\"acls\": [{\"action\": \"accept\", \"src\": [\"*\"], \"dst\": [\"*:*\"]}]}");
	skip_all(&l);
	set_policy(&l, "{\"groups\": {\"group:x\": [\"bob@\"]}, \"acls\": [{\"action\": \"accept\", \"src\": [\"*\"], \"dst\": [\"*:*\"]},"
		       " {\"action\": \"accept\", \"src\": [\"group:x\"], \"dst\": [\"100.64.0.1:22\"]}]}");
	for (json_t *msg; (msg = device_next(&l.c));)
		assert_null(json_object_get(msg, "PeersChanged"));
	lab_stop(&l);
}

/* What the device's newest map says of its routes; "" nothing. */
static void message_text(struct device *d, char *out, size_t cap)
{
	for (json_t *m; (m = device_next(d));) {
		json_t *all = json_object_get(m, "DisplayMessages");
		if (all)
			snprintf(out, cap, "%s", json_object_get(all, "routes-refused") ?
				json_string_value(json_object_get(json_object_get(all, "routes-refused"), "Text")) : "");
	}
}

static const char approves_all[] =
	"{\"autoApprovers\": {\"routes\": {\"0.0.0.0/0\": [\"ann@\"], \"::/0\": [\"ann@\"]}, \"exitNode\": [\"ann@\"]},"
	" \"acls\": [{\"action\": \"accept\", \"src\": [\"*\"], \"dst\": [\"*:*\"]}]}";

static void what_nobody_may_carry_is_refused_in_words(void **state)
{
	static const struct {
		const char *route, *why;
	} wrong[] = {
		{ "0.0.0.0/1", "default route in disguise" }, { "128.0.0.0/1", "default route in disguise" }, { "2000::/3", "default route in disguise" },
		{ "100.64.5.0/24", "addresses of the devices" }, { "100.0.0.0/8", "addresses of the devices" },
		{ "fd7a:115c:a1e0:5::/64", "addresses of the devices" }, { "127.0.0.0/8", "no such address" }, { "224.0.0.0/4", "no such address" },
		{ "169.254.0.0/16", "no such address" },
		/* By hand only. */
		{ "198.51.0.0/16", "address of this server" }, { "192.0.2.0/24", "address of a relay" }, { "9.9.9.0/24", "address of a name server" },
	};
	static struct tailcfg_derp_node relay = { .name = "900a", .region_id = 900, .host_name = "derp.example.com", .ipv4 = "192.0.2.5" };
	static struct tailcfg_derp_region region = { .region_id = 900, .region_code = "x", .region_name = "X", .nodes = &relay, .n_nodes = 1 };
	static struct tailcfg_derp_map map = { .regions = &region, .n_regions = 1 };
	static const char *const resolvers[] = { "9.9.9.9" };
	struct core_settings s = harness_settings();
	struct lab l;

	(void)state;
	s.server_url = "https://198.51.100.7:8443";
	s.derp_map = &map;
	s.resolvers = resolvers;
	s.n_resolvers = 1;
	lab_start(&l, &s);
	set_policy(&l, approves_all);
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
		char text[1000] = "";
		l.a.route = wrong[i].route;
		device_lite(&l.a);
		assert_int_equal(serving(&l, l.id_a), 0);
		message_text(&l.a, text, sizeof text);
		assert_non_null(strstr(text, wrong[i].route));
		if (!strstr(text, wrong[i].why))
			fail_msg("%s", text);
		struct command *m = command_new(CMD_NODE_APPROVE_ROUTES);
		struct prefix p = prefix_of(wrong[i].route);
		m->id = l.id_a;
		m->routes = &p;
		m->n_routes = 1;
		struct reply *r = harness_command(&l.h, m);
		if (i < 9) {
			assert_int_equal(r->e, ERR_INVALID);
			assert_non_null(strstr(r->message, wrong[i].why));
		} else { /* an administrator may, and then there is nothing to tell */
			assert_ok(r->e);
			assert_int_equal(serving(&l, l.id_a), 1);
			message_text(&l.a, text, sizeof text);
			assert_string_equal(text, "");
		}
	}
	l.a.route = "fd7a:115c:a1e0:b1a:0:7:a4d:0/120"; /* 4via6 */
	device_lite(&l.a);
	assert_int_equal(serving(&l, l.id_a), 1);
	l.a.route = "0.0.0.0/0";
	device_lite(&l.a);
	assert_int_equal(serving(&l, l.id_a), 1);
	lab_stop(&l);
}

static void too_many_routes_are_cut(void **state)
{
	struct buf b = buf_make(1 << 20), fits = buf_make(1 << 20);
	char text[1000] = "";
	struct lab l;

	(void)state;
	lab_start(&l, NULL);
	set_policy(&l, approves_all);
	for (int i = 0; i < 2000; i++) /* inside a JSON list of texts */
		buf_printf(&b, "%s10.%d.%d.0/24", i ? "\",\"" : "", i / 256, i % 256);
	buf_append_u8(&b, 0);
	skip_all(&l);
	l.a.route = (const char *)buf_view(&b).p;
	device_lite(&l.a);
	assert_int_equal(l.a.status, 200); /* its endpoints and the rest of it count */
	assert_int_equal(serving(&l, l.id_a), TAILCFG_ROUTES_MAX);
	message_text(&l.a, text, sizeof text);
	assert_string_equal(text, "A device may announce 512 routes: 1488 were left out.");
	/* The same that count, and other ones beyond them. */
	b.end--;
	buf_append_str(&b, "\",\"10.99.0.0/24");
	buf_append_u8(&b, 0);
	l.a.route = (const char *)buf_view(&b).p;
	device_lite(&l.a);
	assert_int_equal(l.a.status, 200);
	message_text(&l.a, text, sizeof text);
	assert_string_equal(text, "A device may announce 512 routes: 1489 were left out.");
	for (int i = 0; i < TAILCFG_ROUTES_MAX; i++)
		buf_printf(&fits, "%s10.%d.%d.0/24", i ? "\",\"" : "", i / 256, i % 256);
	buf_append_u8(&fits, 0);
	l.a.route = (const char *)buf_view(&fits).p;
	device_lite(&l.a);
	message_text(&l.a, text, sizeof text);
	assert_string_equal(text, "");
	buf_done(&fits);
	l.a.route = SUBNET;
	device_lite(&l.a);
	message_text(&l.a, text, sizeof text);
	assert_string_equal(text, "");
	buf_done(&b);
	lab_stop(&l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_other_takes_over_at_once),
		cmocka_unit_test(a_short_break_moves_nothing),
		cmocka_unit_test(both_gone_the_route_stays),
		cmocka_unit_test(the_dead_are_found_by_asking),
		cmocka_unit_test(who_leaves_hands_over),
		cmocka_unit_test(expired_routers_carry_nothing),
		cmocka_unit_test(routes_are_shown_to_who_may_use_them),
		cmocka_unit_test(via_steers_each_viewer),
		cmocka_unit_test(what_nobody_may_carry_is_refused_in_words),
		cmocka_unit_test(too_many_routes_are_cut),
		cmocka_unit_test(a_policy_edit_is_silent_where_nothing_changes),
		cmocka_unit_test(routes_are_put_in_and_taken_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
