#include "common/text/hujson.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/base/cleanup.h"

static err refuse(struct bytes text, size_t offset, const char *reason, struct json_error *error)
{
	error->offset = offset;
	text_line_col(text, offset, &error->line, &error->column);
	snprintf(error->text, sizeof error->text, "%s", reason);
	return ERR_MALFORMED;
}

/* The length of the comment that begins at b, its line end not included; 0: there is no such comment or no end. */
static size_t comment_len(struct bytes b)
{
	if (b.n >= 2 && b.p[1] == '/') {
		const uint8_t *end = memchr(b.p, '\n', b.n);

		return end ? (size_t)(end - b.p) : b.n;
	}
	if (b.n >= 4 && b.p[1] == '*') {
		const uint8_t *end = memmem(b.p + 2, b.n - 2, "*/", 2);

		return end ? (size_t)(end - b.p) + 2 : 0;
	}
	return 0;
}

/* The length of the string that begins at b, quotes included; to the end of b when it has none. */
static size_t string_len(struct bytes b)
{
	for (size_t i = 1; i < b.n; i++) {
		if (b.p[i] == '"')
			return i + 1;
		if (b.p[i] == '\\')
			i++;
	}
	return b.n;
}

static bool may_trail(uint8_t before)
{
	return before && !strchr("[{,:", before);
}

err hujson_blank(struct bytes text, char *out, struct json_error *error)
{
	uint8_t before = 0, before_comma = 0; /* the last token's last byte, and the one before a comma that was last */
	size_t comma = 0;

	if (text.n)
		memcpy(out, text.p, text.n);
	out[text.n] = 0;
	for (size_t i = 0, n; i < text.n; i += n) {
		struct bytes rest = bytes_skip(text, i);
		uint8_t c = rest.p[0];

		n = 1;
		if (c == '/') {
			n = comment_len(rest);
			if (n == 0)
				return refuse(text, i, rest.n > 1 && rest.p[1] == '*' ? "comment without end" : "lone '/'", error);
			if (!bytes_is_utf8(bytes_first(rest, n)))
				return refuse(text, i, "comment is not UTF-8", error);
			for (size_t k = i; k < i + n; k++)
				if (out[k] != '\n' && out[k] != '\r')
					out[k] = ' ';
			continue;
		}
		if (c == ' ' || c == '\t' || c == '\r' || c == '\n')
			continue;
		if (c == '"') {
			n = string_len(rest);
		} else if (c == ',') {
			comma = i;
			before_comma = before;
		} else if ((c == '}' || c == ']') && before == ',' && may_trail(before_comma)) {
			out[comma] = ' ';
		}
		before = c;
	}
	return OK;
}

err hujson_parse(struct bytes text, size_t max_bytes, unsigned max_depth, json_t **out, struct json_error *error)
{
	struct json_error ignored;

	if (!error)
		error = &ignored;
	*error = (struct json_error){ .line = 1, .column = 1 };
	if (text.n > max_bytes)
		return json_parse(text, max_bytes, max_depth, out, error); /* says why */
	CLEANUP(freep) char *plain = malloc(text.n + 1);
	if (!plain)
		return ERR_NOMEM;
	TRY(hujson_blank(text, plain, error));
	return json_parse(bytes_of(plain, text.n), max_bytes, max_depth, out, error);
}
