#include "common/wire/ts2021.h"

#include "tests/lib/vectors.h"

static void test_initiation_vectors(void **state)
{
	json_t *root = vectors_load("noise_ik.json"), *t;
	size_t at;

	(void)state;
	json_array_foreach(json_object_get(root, "transcripts"), at, t)
	{
		struct bytes in = vec_hex(t, "initiation_message");
		struct ts2021_initiation m;
		uint8_t back[TS2021_INITIATION_LEN];
		struct writer w = wr_init(back, sizeof back);

		assert_ok(ts2021_parse_initiation(in, &m));
		assert_int_equal(m.version, vec_int(t, "protocol_version"));
		vec_assert(t, "initiator_ephemeral_public", m.ephemeral_pub);
		assert_true(m.noise.n == 96 && m.machine_pub.n == 48 && m.tag.n == 16);
		assert_true(m.noise.p == m.ephemeral_pub.p && m.tag.p + m.tag.n == in.p + in.n);
		ts2021_write_initiation(&w, m.version, m.noise);
		assert_true(!w.bad && bytes_eq(wr_view(&w), in));
		test_exact_free(in);
	}
	assert_int_equal(at, 4);
	json_decref(root);
}

static void test_initiation_refused(void **state)
{
	uint8_t f[TS2021_INITIATION_LEN] = { 0, 142, TS2021_INITIATION, 0, 96 };
	struct ts2021_initiation m = { .version = 7 };

	(void)state;
	assert_ok(ts2021_parse_initiation(bytes_of(f, sizeof f), &m));
	assert_int_equal(ts2021_parse_initiation(bytes_of(f, sizeof f - 1), &m), ERR_TRUNCATED);
	f[2] = TS2021_RESPONSE;
	assert_int_equal(ts2021_parse_initiation(bytes_of(f, 5), &m), ERR_MALFORMED); /* known from the header */
	f[2] = TS2021_INITIATION;
	f[4] = 95;
	assert_int_equal(ts2021_parse_initiation(bytes_of(f, sizeof f), &m), ERR_MALFORMED);
	f[3] = 1;
	f[4] = 96;
	assert_int_equal(ts2021_parse_initiation(bytes_of(f, sizeof f), &m), ERR_MALFORMED);
}

static void test_answers(void **state)
{
	uint8_t f[TS2021_FRAME_MAX + 1] = { 0 }, noise[48] = { 7 };
	struct writer w = wr_init(f, sizeof f);
	struct ts2021_frame got;

	(void)state;
	ts2021_write_response(&w, bytes_of(noise, sizeof noise));
	assert_int_equal(w.n, TS2021_RESPONSE_LEN);
	assert_ok(ts2021_parse_answer(wr_view(&w), &got));
	assert_true(got.type == TS2021_RESPONSE && got.len == 51 && bytes_eq(got.body, bytes_of(noise, 48)));

	w = wr_init(f, sizeof f);
	ts2021_write_error(&w, BYTES_LIT("unsupported client version"));
	struct bytes example = test_unhex("03001a756e737570706f7274656420636c69656e742076657273696f6e");
	assert_true(bytes_eq(wr_view(&w), example));
	test_exact_free(example);
	assert_ok(ts2021_parse_answer(wr_view(&w), &got));
	assert_true(got.type == TS2021_ERROR && bytes_eq_str(got.body, "unsupported client version"));

	static uint8_t long_text[TS2021_FRAME_MAX * 2];
	w = wr_init(f, sizeof f);
	ts2021_write_error(&w, bytes_of(long_text, sizeof long_text));
	assert_true(!w.bad && w.n == TS2021_FRAME_MAX);
	assert_ok(ts2021_parse_answer(wr_view(&w), &got));

	static const uint8_t wrong_len[] = { 2, 0, 47 }, record[] = { 4, 0, 48 }, huge[] = { 3, 0x0f, 0xfe };
	assert_int_equal(ts2021_parse_answer(bytes_of(wrong_len, 3), &got), ERR_MALFORMED);
	assert_int_equal(ts2021_parse_answer(bytes_of(record, 3), &got), ERR_MALFORMED);
	assert_int_equal(ts2021_parse_answer(bytes_of(huge, 3), &got), ERR_TOO_BIG);
	assert_int_equal(ts2021_parse_answer(bytes_of(huge, 2), &got), ERR_TRUNCATED);
}

static void test_record_header(void **state)
{
	uint8_t f[3];
	struct writer w = wr_init(f, 3);

	(void)state;
	ts2021_write_record_header(&w, TS2021_BODY_MAX);
	assert_false(w.bad);
	assert_memory_equal(f, "\x04\x0f\xfd", 3);
	w = wr_init(f, 3);
	ts2021_write_record_header(&w, TS2021_BODY_MAX + 1);
	assert_true(w.bad);
	w = wr_init(f, 3);
	ts2021_write_record_header(&w, 15);
	assert_true(w.bad);
}

static void test_early_payload(void **state)
{
	uint8_t f[64];
	struct writer w = wr_init(f, sizeof f);
	struct bytes json, want = BYTES_LIT("{\"nodeKeyChallenge\":\"\"}");
	size_t used;

	(void)state;
	ts2021_write_early_header(&w, (uint32_t)want.n);
	assert_int_equal(w.n, TS2021_EARLY_HEADER_LEN);
	wr_bytes(&w, want);
	wr_u8(&w, 'x'); /* HTTP/2 follows */
	assert_ok(ts2021_parse_early(wr_view(&w), &json, &used));
	assert_true(bytes_eq(json, want) && used == w.n - 1);
	for (size_t n = 0; n < used; n++)
		assert_int_equal(ts2021_parse_early(bytes_first(wr_view(&w), n), &json, &used), ERR_TRUNCATED);

	struct bytes settings = test_unhex("000000040000000000"), huge = test_unhex("ffffff545300a00001");
	assert_int_equal(ts2021_parse_early(settings, &json, &used), ERR_NOT_FOUND);
	assert_int_equal(ts2021_parse_early(bytes_first(settings, 1), &json, &used), ERR_NOT_FOUND);
	assert_int_equal(ts2021_parse_early(huge, &json, &used), ERR_TOO_BIG);
	test_exact_free(settings);
	test_exact_free(huge);
}

static void parse_all(struct bytes in, void *ctx)
{
	struct ts2021_initiation m;
	struct ts2021_frame f;
	struct bytes json;
	size_t used;

	(void)ctx;
	if (ts2021_parse_initiation(in, &m) == OK)
		assert_true(m.noise.n == 96 && m.noise.p + 96 <= in.p + in.n);
	if (ts2021_parse_answer(in, &f) == OK)
		assert_true(f.len <= in.n && f.body.p + f.body.n == in.p + f.len);
	if (ts2021_parse_record(in, &f) == OK)
		assert_true(f.len <= in.n && f.len <= TS2021_FRAME_MAX && f.body.n >= 16);
	if (ts2021_parse_early(in, &json, &used) == OK)
		assert_true(used <= in.n && json.p + json.n == in.p + used);
}

static void test_torture_frames(void **state)
{
	uint8_t f[128] = { 0 };
	static const uint8_t noise[96];
	struct writer w = wr_init(f, sizeof f);

	(void)state;
	ts2021_write_initiation(&w, 113, bytes_of(noise, 96));
	test_torture(wr_view(&w), parse_all, NULL);
	w = wr_init(f, sizeof f);
	ts2021_write_response(&w, bytes_of(noise, 48));
	test_torture(wr_view(&w), parse_all, NULL);
	w = wr_init(f, sizeof f);
	ts2021_write_record_header(&w, 20);
	test_torture(bytes_of(f, 23), parse_all, NULL);
	w = wr_init(f, sizeof f);
	ts2021_write_early_header(&w, 20);
	test_torture(bytes_of(f, 29), parse_all, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_initiation_vectors),
		cmocka_unit_test(test_initiation_refused),
		cmocka_unit_test(test_answers),
		cmocka_unit_test(test_record_header),
		cmocka_unit_test(test_early_payload),
		cmocka_unit_test(test_torture_frames),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
