/* jsonw: JSON written straight onto a buf, for maps and other hot answers. No tree, no allocation of its own.
 *
 *	struct jsonw w = jsonw_init(&out);
 *	jsonw_obj(&w);
 *		jsonw_key(&w, "ID"), jsonw_int(&w, 7);
 *		jsonw_key(&w, "Tags"), jsonw_arr(&w);
 *			jsonw_str(&w, "tag:web");
 *		jsonw_arr_end(&w);
 *	jsonw_obj_end(&w);
 *
 * Commas come by themselves. Strings are escaped exactly as Go's encoding/json does by default (< > & U+2028 U+2029
 * too, so that the text may stand in a page); bytes that are no UTF-8 become \ufffd, as there.
 * Out of room: the buf goes bad and stays bad, which is checked once at the end. */
#pragma once

#include "common/base/buf.h"

struct jsonw {
	struct buf *out; /* borrowed */
	bool comma;	 /* what comes next here needs a comma before it */
	unsigned depth;	 /* open objects and arrays */
};

static inline struct jsonw jsonw_init(struct buf *out)
{
	return (struct jsonw){ .out = out };
}

/* All that was opened was closed, and the buf has all of it. */
static inline bool jsonw_ok(const struct jsonw *w)
{
	return w->depth == 0 && !w->out->bad;
}

void jsonw_obj(struct jsonw *w);
void jsonw_obj_end(struct jsonw *w);
void jsonw_arr(struct jsonw *w);
void jsonw_arr_end(struct jsonw *w);

/* A key that is a literal without anything to escape: one copy. */
#define jsonw_key(w, literal) jsonw_key_ready((w), ",\"" literal "\":", sizeof(literal) + 3)
void jsonw_key_ready(struct jsonw *w, const char *with_comma, size_t n);
void jsonw_key_bytes(struct jsonw *w, struct bytes key);
void jsonw_key_int(struct jsonw *w, int64_t key); /* {"7":...}: Go's map with integer keys */

void jsonw_bytes(struct jsonw *w, struct bytes text); /* a string */
void jsonw_str(struct jsonw *w, const char *text);    /* NULL is "" */
void jsonw_bool(struct jsonw *w, bool v);
void jsonw_int(struct jsonw *w, int64_t v);
void jsonw_uint(struct jsonw *w, uint64_t v);
void jsonw_double(struct jsonw *w, double v); /* the shortest text that reads back the same; not finite: null */
void jsonw_null(struct jsonw *w);
void jsonw_time(struct jsonw *w, int64_t wall_ms);			     /* RFC 3339 */
void jsonw_base64(struct jsonw *w, struct bytes b);			     /* standard, padded; [] of Go: "" */
void jsonw_hex(struct jsonw *w, const char *prefix, struct bytes b);	     /* "nodekey:" + lower-case digits */

/* A finished piece of JSON. The caller vouches for it. */
void jsonw_raw(struct jsonw *w, struct bytes value);
void jsonw_raw_members(struct jsonw *w, struct bytes members); /* "a":1,"b":2 inside an object; may be empty */
