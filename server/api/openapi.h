/* openapi: the OpenAPI 3.1 documents of /api/v1, /api/v2 and /api/fairlead/v1: one operation for each route of the table, with
 * what server/api/openapi/ (HuJSON, embedded) says of it. A route without words, words without a route, and a name that nobody
 * defined are faults, which a unit test looks for.
 *
 * A file holds {"schemas": {NAME: SHAPE}, "calls": {"GET /api/v1/node/{nodeId}": CALL}}. Names of schemas are one space for all.
 *
 *	CALL	{"text": "What it does.", "tag"?: "Nodes", "query"?: {NAME: SHAPE}, "body"?: SHAPE, "form"?: SHAPE, "hujson"?: true,
 *		"bodyOptional"?: true, "answer"?: SHAPE (absent: {}), "type"?: "application/hujson" (of the answer, also),
 *		"status"?: 202, "error"?: SHAPE (of every error), "errors"?: [404, 409]: those that this call is known for}
 *	SHAPE	"string" "int" "number" "bool" "time" (RFC 3339) "id" (a decimal text) "ms" (Unix milliseconds) "any"
 *		"enum:a,b" (one of these texts) "Name" (a schema)
 *		…with "|null", and then ": words for people"		"time|null: when it was last seen"
 *		[SHAPE]							a list
 *		{"name": SHAPE, "name?": SHAPE, "*": SHAPE}		an object; ? may be absent, * any other member
 *		{"=": {…}}						JSON Schema as it is
 *		{"=or": [SHAPE, …]}					one of these */
#pragma once

#include <jansson.h>

#include "common/base/err.h"

struct openapi_file {
	const char *name;
	const unsigned char *text;
	size_t n;
};
extern const struct openapi_file openapi_files[];
extern const size_t openapi_files_n;

enum { OPENAPI_FAULT_MAX = 400 };

/* The document of what lies below base ("/api/v1"). *out is owned. ERR_INVALID: fault says what is missing or wrong. */
MUST_USE err openapi_document(const char *base, json_t **out, char fault[OPENAPI_FAULT_MAX]);
