#include <stdlib.h>
#include <string.h>

#include "common/base/cleanup.h"
#include "common/base/log.h"
#include "server/api/console.h"
#include "server/api/render.h"

/* The server's own log, as much of it as is kept in memory: for who may do everything, since it names whatever happens. */

enum { LINES_DEFAULT = 200, LINES_MAX = 500 };

static enum log_level level_of(struct request *r)
{
	static const char *const names[] = { "debug", "info", "warn", "error" };
	const char *text = query(r, "level");

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (strcmp(text, names[i]) == 0)
			return (enum log_level)i;
	if (*text && !r->fault)
		r->fault = "level: debug, info, warn or error";
	return LOG_DEBUG;
}

static bool fits(const struct log_kept *k, const char *q)
{
	return !*q || strcasestr(k->msg, q) || strcasestr(k->fields, q);
}

enum MHD_Result console_server_log(struct request *r)
{
	static const char *const names[] = { [LOG_DEBUG] = "debug", [LOG_INFO] = "info", [LOG_WARN] = "warn", [LOG_ERROR] = "error" };
	enum log_level min = level_of(r);
	const char *q = query(r, "q"), *before = query(r, "page");
	uint64_t from = *before ? (uint64_t)parse_id(r, before, "page") : 0, last = 0;
	struct buf out;
	size_t n = 0;

	if (r->fault)
		return answer_error(r, 400, r->fault);
	CLEANUP(freep) struct log_kept *lines = malloc(LINES_MAX * sizeof *lines);
	if (!lines)
		return answer_error(r, 500, "out of memory");
	struct jsonw w = console_begin(&out);
	jsonw_key(&w, "records"), jsonw_arr(&w);
	size_t got = log_kept(lines, LINES_MAX, min, from);
	for (size_t i = 0; i < got && n < LINES_DEFAULT; i++) {
		last = lines[i].number;
		if (!fits(&lines[i], q))
			continue;
		n++;
		jsonw_obj(&w);
		jsonw_key(&w, "id"), render_id(&w, (int64_t)lines[i].number);
		jsonw_key(&w, "atMs"), jsonw_int(&w, lines[i].at_ms);
		jsonw_key(&w, "level"), jsonw_str(&w, names[lines[i].level]);
		jsonw_key(&w, "text"), jsonw_str(&w, lines[i].msg);
		jsonw_key(&w, "fields"), jsonw_str(&w, lines[i].fields);
		jsonw_obj_end(&w);
	}
	jsonw_arr_end(&w);
	jsonw_key(&w, "next");
	if (last > 1 && (got == LINES_MAX || n == LINES_DEFAULT))
		render_id(&w, (int64_t)last);
	else
		jsonw_null(&w);
	return console_end(r, &w, &out);
}
