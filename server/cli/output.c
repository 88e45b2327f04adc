#include "server/cli/output.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/cleanup.h"
#include "server/cli/yaml.h"

enum { CELL_MAX = 4096, COLUMNS_MAX = 16, YAML_MAX = 512 << 20 };

void print_json(const struct cli *x, const json_t *value)
{
	if (x->output == OUTPUT_YAML) {
		CLEANUP(buf_done) struct buf b = buf_make(YAML_MAX);

		yaml_put(&b, value);
		fwrite(buf_view(&b).p, 1, buf_len(&b), stdout);
		return;
	}
	CLEANUP(freep) char *text = json_dumps(value, JSON_ENCODE_ANY | (x->output == OUTPUT_JSON ? JSON_INDENT(2) : JSON_COMPACT));

	puts(text ? text : "null");
}

/* Names come from devices: nothing in them may reach the terminal as a command. */
static void put_printable(struct buf *b, const char *text)
{
	const unsigned char *c = (const unsigned char *)text;

	for (; *c; c++) {
		bool c1 = c[0] == 0xc2 && c[1] >= 0x80 && c[1] <= 0x9f; /* U+0080 to U+009F */
		if (c1)
			c++;
		buf_append_u8(b, c1 || *c < 0x20 || *c == 0x7f ? '?' : *c);
	}
}

static void put_cell(struct buf *b, const json_t *v)
{
	if (json_is_string(v)) {
		put_printable(b, json_string_value(v));
	} else if (json_is_integer(v)) {
		buf_printf(b, "%" JSON_INTEGER_FORMAT, json_integer_value(v));
	} else if (json_is_boolean(v)) {
		buf_append_str(b, json_is_true(v) ? "yes" : "no");
	} else if (json_is_array(v)) {
		for (size_t i = 0; i < json_array_size(v); i++) {
			buf_append_str(b, i ? ", " : "");
			put_cell(b, json_array_get(v, i));
		}
	}
}

static const json_t *at_path(const json_t *row, const char *path)
{
	struct bytes rest = bytes_str(path);

	while (row && rest.p) {
		struct bytes key = bytes_cut(rest, '.', &rest);
		CLEANUP(freep) char *name = bytes_dup(key);
		row = name ? json_object_get(row, name) : NULL;
	}
	return row;
}

/* Owned; "-" for nothing. */
static char *cell_text(const json_t *row, const char *path)
{
	CLEANUP(buf_done) struct buf b = buf_make(CELL_MAX);

	put_cell(&b, at_path(row, path));
	return buf_len(&b) ? bytes_dup(buf_view(&b)) : strdup("-");
}

/* Characters, not bytes. */
static size_t width_of(const char *text)
{
	size_t n = 0;

	for (; *text; text++)
		n += ((unsigned char)*text & 0xc0) != 0x80;
	return n;
}

static void print_padded(const char *text, size_t width, bool last)
{
	fputs(text, stdout);
	for (size_t have = width_of(text); !last && have < width + 2; have++)
		putchar(' ');
}

static void print_table(const json_t *rows, const struct column *columns, size_t n)
{
	size_t count = json_array_size(rows), width[COLUMNS_MAX];
	char **cells = calloc(count * n + 1, sizeof *cells);

	if (!cells)
		return;
	for (size_t c = 0; c < n; c++)
		width[c] = width_of(columns[c].title);
	for (size_t i = 0; i < count * n; i++) {
		cells[i] = cell_text(json_array_get(rows, i / n), columns[i % n].path);
		if (cells[i])
			width[i % n] = MAX_OF(width[i % n], width_of(cells[i]));
	}
	for (size_t c = 0; c < n; c++)
		print_padded(columns[c].title, width[c], c + 1 == n);
	putchar('\n');
	for (size_t i = 0; i < count * n; i++) {
		print_padded(cells[i] ? cells[i] : "-", width[i % n], (i + 1) % n == 0);
		if ((i + 1) % n == 0)
			putchar('\n');
		free(cells[i]);
	}
	free(cells);
}

void print_rows(const struct cli *x, const json_t *rows, const struct column *columns, size_t n)
{
	switch (x->output) {
	case OUTPUT_TABLE:
		print_table(rows, columns, MIN_OF(n, (size_t)COLUMNS_MAX));
		return;
	case OUTPUT_JSON:
	case OUTPUT_YAML:
		print_json(x, rows);
		return;
	case OUTPUT_JSON_LINE:
		for (size_t i = 0; i < json_array_size(rows); i++)
			print_json(x, json_array_get(rows, i));
		return;
	}
}

void print_object(const struct cli *x, const json_t *object, const struct column *columns, size_t n)
{
	if (x->output != OUTPUT_TABLE) {
		print_json(x, object);
		return;
	}
	for (size_t c = 0; c < n; c++) {
		CLEANUP(freep) char *cell = cell_text(object, columns[c].path);
		printf("%-14s %s\n", columns[c].title, cell ? cell : "-");
	}
}

void print_text(const char *text)
{
	size_t n = strlen(text);

	fwrite(text, 1, n, stdout);
	if (n == 0 || text[n - 1] != '\n')
		putchar('\n');
}

void print_word(const struct cli *x, const char *name, const char *text)
{
	if (x->output == OUTPUT_TABLE) {
		print_text(text);
		return;
	}
	json_t *object = json_pack("{s:s}", name, text);
	print_json(x, object);
	json_decref(object);
}

void print_failure(const struct cli *x, const char *message)
{
	if (x->output == OUTPUT_TABLE) {
		fprintf(stderr, "fairlead: %s\n", message);
		return;
	}
	json_t *object = json_pack("{s:s}", "error", message);

	if (x->output == OUTPUT_YAML) {
		CLEANUP(buf_done) struct buf b = buf_make(YAML_MAX);

		yaml_put(&b, object);
		fwrite(buf_view(&b).p, 1, buf_len(&b), stderr);
		json_decref(object);
		return;
	}
	CLEANUP(freep) char *text = json_dumps(object, JSON_COMPACT);
	fprintf(stderr, "%s\n", text ? text : "{}");
	json_decref(object);
}
