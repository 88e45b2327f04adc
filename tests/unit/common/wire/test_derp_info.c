#include "common/base/buf.h"
#include "common/wire/derp_frame.h"
#include "tests/lib/vectors.h"

static struct derp_client_info parse_ci(const char *json)
{
	struct derp_client_info ci;

	assert_ok(derp_parse_client_info_json(bytes_str(json), &ci));
	return ci;
}

/* What the vectors' clients say is read, and written again in the same bytes. */
static void test_vectors(void **state)
{
	json_t *root = vectors_load("derp_clientinfo.json"), *v;
	size_t at;

	(void)state;
	json_array_foreach(json_object_get(root, "handshake"), at, v)
	{
		struct buf out = buf_make(1024);
		const char *name = vec_str(v, "name");

		if (strncmp(name, "client_info", 11) == 0) {
			struct derp_client_info ci = parse_ci(vec_str(v, "json"));

			assert_ok(derp_write_client_info_json(&ci, &out));
			if (!strstr(name, "empty_object") && !strstr(name, "case_insensitive"))
				assert_true(bytes_eq_str(buf_view(&out), vec_str(v, "json")));
			if (strstr(name, "mesh"))
				vec_assert(json_object_get(root, "keys"), "mesh_key", bytes_of(ci.mesh_key.b, 32));
			assert_int_equal(ci.has_mesh_key, strstr(name, "mesh") != NULL);
			assert_int_equal(ci.can_ack_pings, !strstr(name, "empty_object") && !strstr(name, "mesh"));
			assert_int_equal(ci.version, strstr(name, "empty_object") ? 0 : 2);
			assert_int_equal(ci.is_prober, strstr(name, "prober") != NULL);
			assert_string_equal(ci.app_name, strstr(name, "app") ? "example" : "");
		} else if (strncmp(name, "server_info", 11) == 0) {
			struct derp_server_info si;

			assert_ok(derp_parse_server_info_json(bytes_str(vec_str(v, "json")), &si));
			assert_int_equal(si.version, 2);
			assert_int_equal(si.bytes_per_second, strstr(name, "bucket") ? 1250000 : 0);
			assert_int_equal(si.bytes_burst, strstr(name, "bucket") ? 2500000 : 0);
			assert_ok(derp_write_server_info_json(&si, &out));
			assert_true(bytes_eq_str(buf_view(&out), vec_str(v, "json")));
		}
		buf_done(&out);
	}
	assert_true(at >= 7);
	json_decref(root);
}

static void test_refused(void **state)
{
	static const char *const bad[] = {
		"",
		"[]",
		"2",
		"null",
		"{",
		"{}x",
		"{\"version\":\"2\"}",
		"{\"version\":2.5}",
		"{\"CanAckPings\":1}",
		"{\"meshKey\":\"\"}",
		"{\"meshKey\":7}",
		"{\"meshKey\":\"00\"}",
		"{\"meshKey\":\"zz59de74c716da293f094c27404d4e17b5a6a17571fe9a6eaf536e2f60533978\"}",
		"{\"AppName\":[]}",
		"{\"IsProber\":\"yes\"}",
	};
	struct derp_client_info ci = { .version = 77 };

	(void)state;
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		if (derp_parse_client_info_json(bytes_str(bad[i]), &ci) != ERR_MALFORMED)
			fail_msg("not refused: %s", bad[i]);
		assert_int_equal(ci.version, 77);
	}
	struct derp_server_info si;
	assert_int_equal(
		derp_parse_server_info_json(BYTES_LIT("{\"TokenBucketBytesBurst\":true}"), &si), ERR_MALFORMED);

	static char big[DERP_INFO_JSON_MAX + 2];
	memset(big, ' ', sizeof big);
	memcpy(big, "{}", 2);
	assert_ok(derp_parse_client_info_json(bytes_of(big, DERP_INFO_JSON_MAX), &ci));
	assert_int_equal(derp_parse_client_info_json(bytes_of(big, DERP_INFO_JSON_MAX + 1), &ci), ERR_TOO_BIG);
	memset(big, '[', sizeof big);
	assert_int_not_equal(derp_parse_client_info_json(bytes_of(big, DERP_INFO_JSON_MAX), &ci), OK);
}

static void test_lenient(void **state)
{
	(void)state;
	struct derp_client_info ci =
		parse_ci("{\"version\":null,\"meshKey\":null,\"Other\":{\"a\":[1]},\"ISPROBER\":true}");
	assert_true(ci.version == 0 && !ci.has_mesh_key && ci.is_prober);
}

/* A long name is cut at a whole character. */
static void test_app_name_is_cut(void **state)
{
	char json[400] = "{\"AppName\":\"", want[DERP_APP_NAME_MAX] = "x";

	(void)state;
	/* one byte, then two-byte characters: 63 would split one… at an odd place */
	strncat(json, "x", 2);
	for (int i = 0; i < 60; i++)
		strncat(json, "\xc3\xa9", 3);
	strncat(json, "\"}", 3);
	for (int i = 0; i < 31; i++)
		strncat(want, "\xc3\xa9", 3);
	struct derp_client_info ci = parse_ci(json);
	assert_string_equal(ci.app_name, want);
	assert_int_equal(strlen(ci.app_name), 63);
	memmove(json + 13, json + 12, strlen(json + 12) + 1); /* "xx…": now the limit falls inside a character */
	json[12] = 'x';
	ci = parse_ci(json);
	assert_int_equal(strlen(ci.app_name), 62);
	assert_true(bytes_is_utf8(bytes_str(ci.app_name)));
}

static void test_write_has_a_bound(void **state)
{
	struct derp_client_info ci = { .version = 2 };
	struct buf out = buf_make(10);

	(void)state;
	assert_int_equal(derp_write_client_info_json(&ci, &out), ERR_TOO_BIG);
	buf_done(&out);
}

static void parse_any(struct bytes in, void *ctx)
{
	struct derp_client_info ci;
	struct derp_server_info si;

	(void)ctx;
	if (derp_parse_client_info_json(in, &ci) == OK)
		assert_true(strlen(ci.app_name) < DERP_APP_NAME_MAX);
	(void)!derp_parse_server_info_json(in, &si);
}

static void test_torture_json(void **state)
{
	(void)state;
	test_torture(BYTES_LIT("{\"version\":2,\"CanAckPings\":true,\"AppName\":\"caf\xc3\xa9\",\"meshKey\":"
			       "\"fb59de74c716da293f094c27404d4e17b5a6a17571fe9a6eaf536e2f60533978\"}"),
		parse_any, NULL);
	test_torture(BYTES_LIT("{\"version\":2,\"TokenBucketBytesPerSecond\":1250000}"), parse_any, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vectors),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_lenient),
		cmocka_unit_test(test_app_name_is_cut),
		cmocka_unit_test(test_write_has_a_bound),
		cmocka_unit_test(test_torture_json),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
