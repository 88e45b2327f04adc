/* log: one line an event, logfmt, to stderr: `ts=… level=info msg="node registered" node=7 user="ann"`.
 *
 * Info is for operators, debug for us. Text from a peer goes through log_q (escaped, cut); secrets never. */
#pragma once

#include <inttypes.h>
#include <stdbool.h>

#include "common/base/bytes.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

void log_set_level(enum log_level min);
/* Leave out the timestamp (a service manager adds its own). */
void log_set_timestamps(bool on);

void log_event(enum log_level level, const char *msg, const char *fields_fmt, ...) __attribute__((format(printf, 3, 4)));

#define log_debug(...) log_event(LOG_DEBUG, __VA_ARGS__)
#define log_info(...)  log_event(LOG_INFO, __VA_ARGS__)
#define log_warn(...)  log_event(LOG_WARN, __VA_ARGS__)
#define log_error(...) log_event(LOG_ERROR, __VA_ARGS__)

/* The newest lines, kept in memory for whoever looks at them from afar. Not before log_keep; then n of them, each cut at LOG_KEPT_MAX. */
enum { LOG_KEPT_MAX = 400 };
struct log_kept {
	uint64_t number; /* from 1, in order */
	int64_t at_ms;	 /* wall clock */
	enum log_level level;
	char msg[80], fields[LOG_KEPT_MAX];
};
void log_keep(size_t n);
/* Newest first: those of min or worse with a smaller number than before (0: any), at most max of them. */
size_t log_kept(struct log_kept *out, size_t max, enum log_level min, uint64_t before);

enum { LOG_Q_MAX = 96 };
struct log_quoted {
	char s[LOG_Q_MAX + 8];
};

/* Printable form of a stranger's text, quoted, at most LOG_Q_MAX bytes: log_info("x", "name=%s", log_q(name).s). */
struct log_quoted log_q(struct bytes text);
struct log_quoted log_qs(const char *text);

/* At most n lines an interval from one place: static struct log_limit l = LOG_LIMIT(5, 60000); if (log_allow(&l)) … */
struct log_limit {
	int64_t interval_ms, window_start_ms;
	unsigned n, used, suppressed;
};
#define LOG_LIMIT(count, ms) { .interval_ms = (ms), .n = (count) }
bool log_allow(struct log_limit *l);
