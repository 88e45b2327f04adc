/* JSON in: what is accepted is written by jsonw from its tree, and reads back the same. */
#include <stdlib.h>

#include "common/base/cleanup.h"
#include "common/text/json.h"
#include "common/text/jsonw.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void write_value(struct jsonw *w, json_t *v)
{
	const char *key;
	json_t *item;
	size_t i;

	switch (json_typeof(v)) {
	case JSON_OBJECT:
		jsonw_obj(w);
		json_object_foreach(v, key, item) {
			jsonw_key_bytes(w, bytes_str(key));
			write_value(w, item);
		}
		jsonw_obj_end(w);
		break;
	case JSON_ARRAY:
		jsonw_arr(w);
		json_array_foreach(v, i, item)
			write_value(w, item);
		jsonw_arr_end(w);
		break;
	case JSON_STRING:
		jsonw_bytes(w, bytes_of(json_string_value(v), json_string_length(v)));
		break;
	case JSON_INTEGER:
		jsonw_int(w, json_integer_value(v));
		break;
	case JSON_REAL:
		jsonw_double(w, json_real_value(v));
		break;
	case JSON_TRUE:
		jsonw_bool(w, true);
		break;
	case JSON_FALSE:
		jsonw_bool(w, false);
		break;
	case JSON_NULL:
		jsonw_null(w);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	CLEANUP(json_decrefp) json_t *v = NULL, *again = NULL;
	CLEANUP(buf_done) struct buf b = buf_make(16 << 20), c = buf_make(16 << 20);
	struct json_error e;
	struct jsonw w = jsonw_init(&b), x = jsonw_init(&c);

	jsonw_bytes(&x, bytes_of(data, size)); /* any bytes are a string of valid JSON */
	CLEANUP(json_decrefp) json_t *s = json_loadb((const char *)buf_view(&c).p, buf_len(&c), JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
	if (!s)
		abort();
	if (json_parse(bytes_of(data, size), 1 << 20, 32, &v, &e) != OK)
		return 0;
	write_value(&w, v);
	if (!jsonw_ok(&w) || json_parse(buf_view(&b), 16 << 20, 32, &again, &e) != OK)
		abort();
	return 0;
}
