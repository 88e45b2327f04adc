#include "common/text/jsonw.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>

#include "common/base/cleanup.h"
#include "common/base/clock.h"
#include "tests/lib/test.h"

static void expect(struct buf *b, const char *text)
{
	buf_append_u8(b, 0);
	assert_string_equal((const char *)buf_view(b).p, text);
	buf_clear(b);
}

static void test_shapes(void **state)
{
	CLEANUP(buf_done) struct buf b = buf_make(1000);
	struct jsonw w = jsonw_init(&b);

	(void)state;
	jsonw_obj(&w);
	jsonw_key(&w, "A");
	jsonw_int(&w, INT64_MIN);
	jsonw_key(&w, "B");
	jsonw_arr(&w);
	jsonw_arr(&w);
	jsonw_arr_end(&w);
	jsonw_obj(&w);
	jsonw_obj_end(&w);
	jsonw_uint(&w, UINT64_MAX);
	jsonw_bool(&w, true);
	jsonw_bool(&w, false);
	jsonw_null(&w);
	jsonw_arr_end(&w);
	jsonw_key_int(&w, -7);
	jsonw_raw(&w, BYTES_LIT("{\"x\":1}"));
	jsonw_raw_members(&w, BYTES_LIT("\"m\":1,\"n\":2"));
	jsonw_raw_members(&w, BYTES_LIT(""));
	jsonw_key_bytes(&w, BYTES_LIT("a\"b"));
	jsonw_str(&w, NULL);
	jsonw_key(&w, "T");
	jsonw_time(&w, 1767323045000);
	jsonw_key(&w, "K");
	jsonw_hex(&w, "k:", BYTES_LIT("\x01\xff"));
	jsonw_key(&w, "S");
	jsonw_base64(&w, BYTES_LIT("f"));
	assert_false(jsonw_ok(&w));
	jsonw_obj_end(&w);
	assert_true(jsonw_ok(&w));
	expect(&b, "{\"A\":-9223372036854775808,\"B\":[[],{},18446744073709551615,true,false,null],\"-7\":{\"x\":1},"
		   "\"m\":1,\"n\":2,\"a\\\"b\":\"\",\"T\":\"2026-01-02T03:04:05Z\",\"K\":\"k:01ff\",\"S\":\"Zg==\"}");
}

static void one_string(const char *in, size_t n, const char *want)
{
	CLEANUP(buf_done) struct buf b = buf_make(1000);
	struct jsonw w = jsonw_init(&b);
	struct bytes exact = test_exact(bytes_of(in, n));

	jsonw_bytes(&w, exact);
	assert_true(jsonw_ok(&w));
	expect(&b, want);
	test_exact_free(exact);
}

#define STRING(in, want) one_string(in, sizeof(in) - 1, "\"" want "\"")

/* What Go's encoding/json.Marshal gives for the same bytes. */
static void test_escapes_like_go(void **state)
{
	(void)state;
	STRING("", "");
	STRING("plain 16 or more characters \x7f", "plain 16 or more characters \x7f");
	STRING("\"\\/", "\\\"\\\\/");
	STRING("\b\f\n\r\t", "\\b\\f\\n\\r\\t");
	STRING("\0\x01\x1f", "\\u0000\\u0001\\u001f");
	STRING("<a&b>", "\\u003ca\\u0026b\\u003e");
	STRING("\u2028\u2029\u202a", "\\u2028\\u2029\u202a");
	STRING("na\u00efve \u4e2d \U0001F600 end", "na\u00efve \u4e2d \U0001F600 end");
	STRING("\xff", "\\ufffd");
	STRING("a\xc3", "a\\ufffd");
	STRING("\xc3(", "\\ufffd(");
	STRING("\xed\xa0\x80", "\\ufffd\\ufffd\\ufffd"); /* a surrogate */
	STRING("\xc0\xaf", "\\ufffd\\ufffd");		 /* overlong */
	STRING("\xf4\x90\x80\x80", "\\ufffd\\ufffd\\ufffd\\ufffd");
	STRING("\xe2\x80", "\\ufffd\\ufffd");
}

static void test_doubles(void **state)
{
	static const double values[] = { 0, -1.5, 0.1, 1e300, 5e-324, 123456789.125, 1.0 / 3, 48.2082 };
	CLEANUP(buf_done) struct buf b = buf_make(1000);
	struct jsonw w = jsonw_init(&b);

	(void)state;
	for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
		w.comma = false;
		jsonw_double(&w, values[i]);
		buf_append_u8(&b, 0);
		assert_true(strtod((const char *)buf_view(&b).p, NULL) == values[i]);
		buf_clear(&b);
	}
	w.comma = false;
	jsonw_double(&w, 0.1);
	expect(&b, "0.1");
	w.comma = false;
	jsonw_double(&w, NAN);
	expect(&b, "null");
}

static void test_times(void **state)
{
	CLEANUP(buf_done) struct buf b = buf_make(1000);
	struct test_rng rng = { 7 };

	(void)state;
	for (int i = 0; i < 20000; i++) {
		struct jsonw w = jsonw_init(&b);
		int64_t ms = TIME_ZERO_MS + (int64_t)rng_below(&rng, 315537897600000), back; /* years 1 to 9999 */

		if (rng_below(&rng, 2))
			ms -= ms % 1000;
		jsonw_time(&w, ms);
		struct bytes text = buf_view(&b);
		assert_int_equal(text.n, ms % 1000 ? 26 : 22);
		assert_ok(time_parse_rfc3339(bytes_first(bytes_skip(text, 1), text.n - 2), &back));
		assert_true(back == ms);
		buf_clear(&b);
	}
	struct jsonw w = jsonw_init(&b);
	jsonw_time(&w, TIME_ZERO_MS);
	expect(&b, "\"0001-01-01T00:00:00Z\"");
	w = jsonw_init(&b);
	jsonw_time(&w, 253402300799999);
	expect(&b, "\"9999-12-31T23:59:59.999Z\"");
}

/* A random tree, written both ways: jansson reads ours and finds its own tree. */
static json_t *grow(struct test_rng *rng, struct jsonw *w, int depth)
{
	switch (rng_below(rng, depth ? 8 : 6)) {
	case 0:
		jsonw_null(w);
		return json_null();
	case 1:
		jsonw_bool(w, true);
		return json_true();
	case 2: {
		int64_t v = (int64_t)(rng_u64(rng) >> rng_below(rng, 64));

		jsonw_int(w, v);
		return json_integer(v);
	}
	case 3: {
		double v = ((double)(rng_u64(rng) >> 24) - 5e11) / 2 + 0.25;

		jsonw_double(w, v);
		return json_real(v);
	}
	case 4:
	case 5: {
		char text[200];
		size_t n = 0, want = rng_below(rng, 100);

		while (n < want) {
			static const char *const bits[] = { "a", "bcdefghijklmnopqrstuvwxyz", "\"", "\\", "<", "\n", "\x01", "\u00e9",
				"\u2028", "\U0001F600" };
			const char *s = bits[rng_below(rng, 10)];

			memcpy(text + n, s, strlen(s));
			n += strlen(s);
		}
		jsonw_bytes(w, bytes_of(text, n));
		return json_stringn(text, n);
	}
	case 6: {
		json_t *a = json_array();

		jsonw_arr(w);
		for (uint64_t i = rng_below(rng, 5); i; i--)
			json_array_append_new(a, grow(rng, w, depth - 1));
		jsonw_arr_end(w);
		return a;
	}
	default: {
		json_t *o = json_object();

		jsonw_obj(w);
		for (uint64_t i = rng_below(rng, 5); i; i--) {
			char key[8] = { (char)('a' + i), '"', 0 };

			jsonw_key_bytes(w, bytes_str(key));
			json_object_set_new(o, key, grow(rng, w, depth - 1));
		}
		jsonw_obj_end(w);
		return o;
	}
	}
}

static void test_jansson_agrees(void **state)
{
	struct test_rng rng = { 3 };

	(void)state;
	for (int i = 0; i < 2000; i++) {
		CLEANUP(buf_done) struct buf b = buf_make(1 << 20);
		struct jsonw w = jsonw_init(&b);
		json_error_t e;
		json_t *mine = grow(&rng, &w, 5), *read;

		assert_true(jsonw_ok(&w));
		read = json_loadb((const char *)buf_view(&b).p, buf_len(&b), JSON_DECODE_ANY, &e);
		if (!read)
			fail_msg("%s", e.text);
		/* jansson's json_equal does not find a real that was written as an integer equal; none of ours is one */
		assert_true(json_equal(mine, read));
		json_decref(mine);
		json_decref(read);
	}
}

static void test_full(void **state)
{
	(void)state;
	for (size_t max = 0; max < 120; max++) {
		CLEANUP(buf_done) struct buf b = buf_make(max);
		struct jsonw w = jsonw_init(&b);

		jsonw_obj(&w);
		jsonw_key(&w, "Name");
		jsonw_str(&w, "01234567890123456789\n0123456789\xff 01234567890123456789");
		jsonw_key(&w, "Key");
		jsonw_base64(&w, BYTES_LIT("0123456789"));
		jsonw_obj_end(&w);
		if (max < 95) /* its length */
			assert_false(jsonw_ok(&w));
		if (max >= 97) /* it asks for two bytes more than it keeps */
			assert_true(jsonw_ok(&w));
		assert_true(buf_len(&b) <= max);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_shapes),
		cmocka_unit_test(test_escapes_like_go),
		cmocka_unit_test(test_doubles),
		cmocka_unit_test(test_times),
		cmocka_unit_test(test_jansson_agrees),
		cmocka_unit_test(test_full),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
