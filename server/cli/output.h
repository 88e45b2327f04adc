/* output: what commands print. Tables for people, JSON and YAML for programs. */
#pragma once

#include <jansson.h>

#include "server/cli/args.h"

struct column {
	const char *title;
	const char *path; /* "user.name"; lists are joined, true is yes, null is "-" */
};

/* rows: an array of objects. In the form that x asks for. */
void print_rows(const struct cli *x, const json_t *rows, const struct column *columns, size_t n);
/* One object: as a table of names and values, or JSON. */
void print_object(const struct cli *x, const json_t *object, const struct column *columns, size_t n);
/* Any value, in the form that x asks for (JSON for tables). */
void print_json(const struct cli *x, const json_t *value);
/* A file's text as it is, ending with one line feed at least. */
void print_text(const char *text);
/* What is no list and no object: the text for people, or {"name": text}. */
void print_word(const struct cli *x, const char *name, const char *text);
/* To stderr: "fairlead: message", or {"error": message}. */
void print_failure(const struct cli *x, const char *message);
