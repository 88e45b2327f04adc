/* Requests that go over a bound: what a person can read, and what a node stays reachable by. */
#include <jansson.h>

#include "common/base/cleanup.h"
#include "server/ts2021/rpc.h"
#include "tests/lib/test.h"

#define KEY "nodekey:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static struct rpc decode(const char *path, struct buf *body)
{
	struct machine_pub machine = { { 1 } };
	struct rpc out;

	assert_false(body->bad);
	rpc_decode(BYTES_LIT("POST"), bytes_str(path), buf_view(body), &machine, addr_v4(192, 0, 2, 1), &out);
	buf_done(body);
	return out;
}

static struct buf with_tags(const char *before, size_t n, const char *after)
{
	struct buf b = buf_make(1 << 20);

	buf_printf(&b, "{\"Version\":130,\"NodeKey\":\"" KEY "\",%s\"Hostinfo\":{\"Hostname\":\"a\",\"RequestTags\":[", before);
	for (size_t i = 0; i < n; i++)
		buf_printf(&b, "%s\"tag:t%zu\"", i ? "," : "", i);
	buf_printf(&b, "]}%s}", after);
	return b;
}

static void a_login_is_told_in_words(void **state)
{
	struct buf b = with_tags("", 10000, "");
	struct rpc r = decode("/machine/register", &b);

	(void)state;
	assert_int_equal(r.kind, RPC_REFUSE);
	assert_int_equal(r.status, 200);
	json_t *v = json_loads(r.text, 0, NULL);
	assert_non_null(v);
	assert_non_null(strstr(json_string_value(json_object_get(v, "Error")), "RequestTags"));
	json_decref(v);
	b = with_tags("", 64, "");
	r = decode("/machine/register", &b);
	assert_int_equal(r.kind, RPC_CALL);
	event_free(r.event);
	b = buf_make(100);
	buf_append_str(&b, "{\"Version\":");
	r = decode("/machine/register", &b);
	assert_int_equal(r.status, 400); /* no client sends that */
}

static void an_update_keeps_its_endpoints(void **state)
{
	struct buf b = with_tags("\"OmitPeers\":true,", 10000, ",\"Endpoints\":[\"192.0.2.7:41641\"],\"EndpointTypes\":[2]");
	struct rpc r = decode("/machine/map", &b);

	(void)state;
	assert_int_equal(r.kind, RPC_CALL);
	assert_int_equal(r.event->map->n_endpoints, 1);
	assert_false(r.event->map->has_hostinfo);
	assert_non_null(r.event->map->hostinfo);
	assert_non_null(strstr(r.event->map->hostinfo_fault, "RequestTags"));
	event_free(r.event);
	b = with_tags("\"OmitPeers\":true,", 2, "");
	r = decode("/machine/map", &b);
	assert_true(r.event->map->has_hostinfo);
	assert_string_equal(r.event->map->hostinfo_fault, "");
	event_free(r.event);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_login_is_told_in_words),
		cmocka_unit_test(an_update_keeps_its_endpoints),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
