/* hujson: JSON for people: with // and block comments and with a comma after the last element. It is turned into standard
 * JSON of the same length, so that every line and column of later errors is one of the text that was written. */
#pragma once

#include "common/text/json.h"

/* Writes text.n bytes and a NUL to out: comments and trailing commas are spaces, line ends stay. What is no JSON for
 * other reasons is left as it is, for json_parse to refuse.
 * ERR_MALFORMED: a comment without end, a lone '/', or a comment that is no UTF-8. */
MUST_USE err hujson_blank(struct bytes text, char *out, struct json_error *error);

/* Both at once; as json_parse. */
MUST_USE err hujson_parse(struct bytes text, size_t max_bytes, unsigned max_depth, json_t **out, struct json_error *error);
