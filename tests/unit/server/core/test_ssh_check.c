/* Check mode of Tailscale SSH: hold, confirm, remember, refuse; who may ask and who may decide. */
#include <stdio.h>

#include "server/core/state.h"
#include "tests/lib/core_harness.h"
#include "tests/lib/test.h"

static const char policy[] =
	"{\"acls\": [{\"action\": \"accept\", \"src\": [\"*\"], \"dst\": [\"*:*\"]}], \"ssh\": ["
	"{\"action\": \"check\", \"src\": [\"autogroup:member\"], \"dst\": [\"autogroup:self\"], \"users\": [\"root\"], \"checkPeriod\": \"1h\"},"
	"{\"action\": \"check\", \"src\": [\"autogroup:member\"], \"dst\": [\"autogroup:self\"], \"users\": [\"always\"], \"checkPeriod\": \"always\"},"
	"{\"action\": \"accept\", \"src\": [\"autogroup:member\"], \"dst\": [\"autogroup:self\"], \"users\": [\"guest\"]}]}";

struct pair {
	struct harness h;
	struct device src, dst, other;
	int64_t src_id, dst_id;
};

static void set_policy(struct harness *h, const char *text)
{
	struct command *m = command_new(CMD_POLICY_SET);

	m->text = text;
	struct reply *r = harness_command(h, m);
	if (r->e != OK)
		fail_msg("%s", r->message);
}

static void begin(struct pair *p)
{
	harness_start(&p->h, NULL);
	harness_user(&p->h, "ann");
	harness_user(&p->h, "bob");
	set_policy(&p->h, policy);
	const char *key = harness_authkey(&p->h, "ann", AK_REUSABLE);
	device_init(&p->src, &p->h, "src");
	device_init(&p->dst, &p->h, "dst");
	device_init(&p->other, &p->h, "other");
	p->src_id = device_join(&p->src, key);
	p->dst_id = device_join(&p->dst, key);
	device_join(&p->other, harness_authkey(&p->h, "bob", 0));
}

static void end(struct pair *p)
{
	device_done(&p->src);
	device_done(&p->dst);
	device_done(&p->other);
	harness_stop(&p->h);
}

/* The destination's question. auth_id NULL: the first one. */
static int question(struct pair *p, struct device *asks, const char *user, const char *auth_id)
{
	char path[300];

	snprintf(path, sizeof path, "/machine/ssh/action/%lld/to/%lld?local_user=%s%s%s", (long long)p->src_id, (long long)p->dst_id, user,
			auth_id ? "&auth_id=" : "", auth_id ? auth_id : "");
	return device_request(asks, path, "");
}

static bool says(struct device *d, const char *key)
{
	return json_is_true(json_object_get(d->resp, key));
}

/* Asks, and takes the id of the check out of the answer. */
static const char *held(struct pair *p, const char *user, char out[64])
{
	assert_int_equal(question(p, &p->dst, user, NULL), 200);
	const char *url = json_string_value(json_object_get(p->dst.resp, "holdAndDelegate"));
	assert_non_null(url);
	assert_non_null(strstr(url, "/machine/ssh/action/$SRC_NODE_ID/to/$DST_NODE_ID?local_user=$LOCAL_USER&auth_id="));
	snprintf(out, 64, "%s", strstr(url, "auth_id=") + 8);
	const char *message = json_string_value(json_object_get(p->dst.resp, "message"));
	assert_non_null(strstr(message, "/auth/"));
	assert_non_null(strstr(message, out));
	return out;
}

static void signed_in(struct harness *h, const char *user, char token[64])
{
	struct command *m = command_new(CMD_LINK_MAKE);
	char link[64];

	m->user = user;
	m->expires_ms = h->now.wall_ms + 3600000;
	struct reply *r = harness_command(h, m);
	assert_ok(r->e);
	snprintf(link, sizeof link, "%s", r->secret);
	m = command_new(CMD_LINK_USE);
	m->key_text = link;
	m->expires_ms = h->now.wall_ms + 3600000;
	r = harness_command(h, m);
	assert_ok(r->e);
	snprintf(token, 64, "%s", r->secret);
}

static const char *decider; /* the token of the session with which a user decides */

static struct reply *decide(struct pair *p, enum command_kind kind, const char *auth_id, const char *user)
{
	struct command *m = command_new(kind);

	m->key_text = user ? decider : NULL;

	m->auth_id = auth_id;
	m->user = user;
	return harness_command(&p->h, m);
}

static void a_confirmation_lets_in_and_is_remembered(void **state)
{
	struct pair p;
	char id[64];

	(void)state;
	begin(&p);
	held(&p, "root", id);
	assert_int_equal(question(&p, &p.dst, "root", id), 0); /* waits */
	struct reply *r = harness_command(&p.h, command_new(CMD_AUTH_LIST));
	assert_int_equal(r->n_ssh_checks, 1);
	assert_string_equal(r->ssh_checks[0].auth_id, id);
	assert_string_equal(r->ssh_checks[0].src_name, "src");
	assert_string_equal(r->ssh_checks[0].dst_name, "dst");
	assert_string_equal(r->ssh_checks[0].local_user, "root");
	assert_ok(decide(&p, CMD_AUTH_APPROVE, id, NULL)->e);
	assert_int_equal(p.dst.status, 200);
	assert_true(says(&p.dst, "accept") && says(&p.dst, "allowAgentForwarding"));
	assert_int_equal(decide(&p, CMD_AUTH_APPROVE, id, NULL)->e, ERR_NOT_FOUND); /* it is used up */

	harness_restart(&p.h); /* a row */
	harness_step(&p.h, 59 * 60 * 1000);
	assert_int_equal(question(&p, &p.dst, "root", NULL), 200);
	assert_true(says(&p.dst, "accept"));
	harness_step(&p.h, 2 * 60 * 1000);
	held(&p, "root", id); /* the hour is over */
	end(&p);
}

static void always_asks_each_time(void **state)
{
	struct pair p;
	char id[64];

	(void)state;
	begin(&p);
	held(&p, "always", id);
	assert_ok(decide(&p, CMD_AUTH_APPROVE, id, NULL)->e); /* before the destination waits: kept for it */
	assert_int_equal(question(&p, &p.dst, "always", id), 200);
	assert_true(says(&p.dst, "accept"));
	held(&p, "always", id);
	held(&p, "root", id); /* and it holds for no other rule */
	end(&p);
}

static void refused_is_refused(void **state)
{
	struct pair p;
	char id[64];

	(void)state;
	begin(&p);
	held(&p, "root", id);
	assert_int_equal(question(&p, &p.dst, "root", id), 0);
	assert_ok(decide(&p, CMD_AUTH_REJECT, id, NULL)->e);
	assert_int_equal(p.dst.status, 200);
	assert_true(says(&p.dst, "reject"));
	held(&p, "root", id);
	end(&p);
}

static void the_policy_of_now_decides(void **state)
{
	struct pair p;
	char id[64];

	(void)state;
	begin(&p);
	assert_int_equal(question(&p, &p.dst, "guest", NULL), 200);
	assert_true(says(&p.dst, "accept")); /* needs no check */
	assert_int_equal(question(&p, &p.dst, "nobody", NULL), 200);
	assert_true(says(&p.dst, "reject"));
	held(&p, "root", id);
	assert_int_equal(question(&p, &p.dst, "root", id), 0);
	set_policy(&p.h, "{\"acls\": [{\"action\": \"accept\", \"src\": [\"*\"], \"dst\": [\"*:*\"]}]}");
	assert_ok(decide(&p, CMD_AUTH_APPROVE, id, NULL)->e);
	assert_true(says(&p.dst, "reject"));
	assert_int_equal(p.h.core->ssh_approvals.n, 0);
	end(&p);
}

static void only_the_destination_asks_and_only_the_owner_decides(void **state)
{
	struct pair p;
	char id[64];

	(void)state;
	begin(&p);
	assert_int_equal(question(&p, &p.other, "root", NULL), 401);
	assert_int_equal(question(&p, &p.src, "root", NULL), 401);
	char early[64], late[64];
	signed_in(&p.h, "ann", early);
	p.h.now.wall_ms++;
	held(&p, "root", id);
	assert_int_equal(question(&p, &p.dst, "always", id), 401); /* another session's check */
	assert_int_equal(decide(&p, CMD_AUTH_APPROVE, id, "ann")->e, ERR_AUTH); /* not signed in */
	decider = early;
	assert_int_equal(decide(&p, CMD_AUTH_APPROVE, id, "ann")->e, ERR_AUTH); /* before it was asked for */
	p.h.now.wall_ms++;
	signed_in(&p.h, "ann", late);
	decider = late;
	assert_int_equal(decide(&p, CMD_AUTH_APPROVE, id, "bob")->e, ERR_AUTH);
	assert_int_equal(decide(&p, CMD_AUTH_REGISTER, id, "ann")->e, ERR_STATE);
	assert_ok(decide(&p, CMD_AUTH_GET, id, NULL)->e);
	assert_int_equal(p.h.reply->n_ssh_checks, 1);
	assert_ok(decide(&p, CMD_AUTH_APPROVE, id, "ann")->e);
	assert_int_equal(device_request(&p.dst, "/machine/ssh/action/x/to/y", ""), 400);
	assert_int_equal(device_request(&p.dst, "/machine/ssh/action/1/to/2?local_user=%zz", ""), 400);
	assert_int_equal(device_request(&p.dst, "/machine/ssh/action/1", ""), 400);
	end(&p);
}

static void what_waits_is_bounded_and_ends(void **state)
{
	struct pair p;
	char id[64];

	(void)state;
	begin(&p);
	for (int i = 0; i < 8; i++)
		held(&p, "root", id);
	assert_int_equal(question(&p, &p.dst, "root", NULL), 200);
	assert_true(says(&p.dst, "reject"));
	assert_int_equal(question(&p, &p.dst, "root", id), 0);
	harness_step(&p.h, 16 * 60 * 1000);
	assert_int_equal(p.dst.status, 200);
	assert_true(says(&p.dst, "reject"));
	assert_int_equal(p.h.core->ssh_checks.n, 0);
	/* one that was forgotten is asked anew */
	assert_int_equal(question(&p, &p.dst, "root", id), 200);
	assert_non_null(json_object_get(p.dst.resp, "holdAndDelegate"));
	end(&p);
}

static void confirmations_go_with_their_nodes_and_owners(void **state)
{
	struct pair p;
	char id[64];

	(void)state;
	begin(&p);
	held(&p, "root", id);
	assert_ok(decide(&p, CMD_AUTH_APPROVE, id, NULL)->e);
	assert_int_equal(p.h.core->ssh_approvals.n, 1);
	p.h.hold = true; /* a failing commit takes neither the node nor its confirmation */
	harness_node_command(&p.h, CMD_NODE_DELETE, p.src_id);
	assert_int_equal(p.h.core->ssh_approvals.n, 0);
	harness_fail(&p.h);
	p.h.hold = false;
	assert_int_equal(p.h.core->ssh_approvals.n, 1);
	char *memory = harness_dump(&p.h), *db = harness_dump_db(&p.h);
	assert_string_equal(memory, db);
	free(memory);
	free(db);
	assert_ok(harness_node_command(&p.h, CMD_NODE_DELETE, p.src_id)->e);
	assert_int_equal(p.h.core->ssh_approvals.n, 0);
	assert_int_equal(p.h.db.n_ssh_approvals, 0);
	end(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_confirmation_lets_in_and_is_remembered),
		cmocka_unit_test(always_asks_each_time),
		cmocka_unit_test(refused_is_refused),
		cmocka_unit_test(the_policy_of_now_decides),
		cmocka_unit_test(only_the_destination_asks_and_only_the_owner_decides),
		cmocka_unit_test(what_waits_is_bounded_and_ends),
		cmocka_unit_test(confirmations_go_with_their_nodes_and_owners),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
