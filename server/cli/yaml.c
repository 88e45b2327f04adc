#include "server/cli/yaml.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/cleanup.h"

/* Words that some reader takes for a boolean or nothing (YAML 1.1 is still around). */
static bool is_reserved(const char *text)
{
	static const char *const words[] = { "true", "false", "null", "yes", "no", "on", "off", "y", "n" };

	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (strcasecmp(text, words[i]) == 0)
			return true;
	return false;
}

/* Plain only where no reader can see anything but a text: what begins with a digit may be a number, a date or an address. */
static bool is_plain(const char *text)
{
	if (!isalpha((unsigned char)text[0]) && text[0] != '/' && text[0] != '_')
		return false;
	for (const char *c = text; *c; c++)
		if (!isalnum((unsigned char)*c) && !strchr("_./@+-", *c) && !(*c == ':' && c[1]))
			return false;
	return !is_reserved(text);
}

/* As in JSON, and control characters that JSON leaves as they are escaped, too: YAML does not allow them. */
static void put_quoted(struct buf *b, const json_t *text)
{
	CLEANUP(freep) char *json = json_dumps(text, JSON_ENCODE_ANY);

	for (const unsigned char *c = (const unsigned char *)(json ? json : "\"\""); *c; c++) {
		if (*c == 0x7f) {
			buf_append_str(b, "\\x7F");
		} else if (*c == 0xc2 && c[1] >= 0x80 && c[1] <= 0x9f) {
			c++;
			buf_printf(b, "\\x%02X", *c);
		} else if (*c == 0xe2 && c[1] == 0x80 && (c[2] == 0xa8 || c[2] == 0xa9)) { /* line ends, to older readers */
			buf_printf(b, "\\u20%02X", c[2] - 0x80);
			c += 2;
		} else {
			buf_append_u8(b, *c);
		}
	}
}

static void put_scalar(struct buf *b, const json_t *v)
{
	if (json_is_string(v) && !is_plain(json_string_value(v))) {
		put_quoted(b, v);
	} else if (json_is_string(v)) {
		buf_append_str(b, json_string_value(v));
	} else { /* numbers, true, false, null, {} and [] */
		CLEANUP(freep) char *text = json_dumps(v, JSON_ENCODE_ANY | JSON_COMPACT);

		buf_append_str(b, text ? text : "null");
	}
}

static bool is_block(const json_t *v)
{
	return (json_is_object(v) && json_object_size(v)) || (json_is_array(v) && json_array_size(v));
}

static void put_indent(struct buf *b, unsigned depth)
{
	for (unsigned i = 0; i < depth; i++)
		buf_append_str(b, "  ");
}

/* The first line of a block is indented already (it stands behind "- ") when inline_first. */
static void put_block(struct buf *b, const json_t *v, unsigned depth, bool inline_first)
{
	const char *key;
	json_t *member, *object = (json_t *)(uintptr_t)v; /* jansson's walkers are not const */
	size_t i;

	if (json_is_object(v)) {
		json_object_foreach(object, key, member) {
			if (!inline_first)
				put_indent(b, depth);
			inline_first = false;
			json_t *name = json_string(key);
			put_scalar(b, name);
			json_decref(name);
			buf_append_str(b, is_block(member) ? ":\n" : ": ");
			if (is_block(member)) {
				put_block(b, member, depth + !json_is_array(member), false);
			} else {
				put_scalar(b, member);
				buf_append_u8(b, '\n');
			}
		}
		return;
	}
	json_array_foreach(object, i, member) {
		if (!inline_first)
			put_indent(b, depth);
		inline_first = false;
		buf_append_str(b, "- ");
		if (is_block(member)) {
			put_block(b, member, depth + 1, true);
		} else {
			put_scalar(b, member);
			buf_append_u8(b, '\n');
		}
	}
}

void yaml_put(struct buf *out, const json_t *value)
{
	if (is_block(value)) {
		put_block(out, value, 0, false);
		return;
	}
	put_scalar(out, value);
	buf_append_u8(out, '\n');
}
