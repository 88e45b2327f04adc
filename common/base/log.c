#include "common/base/log.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/clock.h"

enum { LINE_MAX_BYTES = 2048 };

static enum log_level min_level = LOG_INFO;
static bool timestamps = true;
static pthread_mutex_t limit_lock = PTHREAD_MUTEX_INITIALIZER;

void log_set_level(enum log_level min)
{
	__atomic_store_n(&min_level, min, __ATOMIC_RELAXED);
}

void log_set_timestamps(bool on)
{
	timestamps = on;
}

/* ---- what is kept ---- */

static pthread_mutex_t kept_lock = PTHREAD_MUTEX_INITIALIZER; /* the rest */
static struct log_kept *kept;
static size_t n_kept_max;
static uint64_t kept_count;

void log_keep(size_t n)
{
	pthread_mutex_lock(&kept_lock);
	free(kept);
	kept = n ? calloc(n, sizeof *kept) : NULL;
	n_kept_max = kept ? n : 0;
	kept_count = 0;
	pthread_mutex_unlock(&kept_lock);
}

static void keep(enum log_level level, const char *msg, const char *fields, size_t n)
{
	pthread_mutex_lock(&kept_lock);
	if (n_kept_max) {
		struct log_kept *k = &kept[kept_count++ % n_kept_max];
		k->number = kept_count;
		k->at_ms = clock_wall_ms();
		k->level = level;
		snprintf(k->msg, sizeof k->msg, "%s", msg);
		snprintf(k->fields, sizeof k->fields, "%.*s", (int)n, fields);
	}
	pthread_mutex_unlock(&kept_lock);
}

size_t log_kept(struct log_kept *out, size_t max, enum log_level min, uint64_t before)
{
	size_t n = 0;

	pthread_mutex_lock(&kept_lock);
	uint64_t oldest = kept_count > n_kept_max ? kept_count - n_kept_max : 0;
	for (uint64_t i = before && before <= kept_count ? before - 1 : kept_count; i > oldest && n < max; i--) {
		const struct log_kept *k = &kept[(i - 1) % n_kept_max];
		if (k->level >= min)
			out[n++] = *k;
	}
	pthread_mutex_unlock(&kept_lock);
	return n;
}

void log_event(enum log_level level, const char *msg, const char *fields_fmt, ...)
{
	static const char *const names[] = { "debug", "info", "warn", "error" };
	char line[LINE_MAX_BYTES], ts[RFC3339_MAX];
	int n;

	if (level < __atomic_load_n(&min_level, __ATOMIC_RELAXED))
		return;
	if (timestamps)
		n = snprintf(line, sizeof line, "ts=%s level=%s msg=\"%s\" ", time_rfc3339(clock_wall_ms(), ts), names[level], msg);
	else
		n = snprintf(line, sizeof line, "level=%s msg=\"%s\" ", names[level], msg);
	if (n < 0 || (size_t)n >= sizeof line)
		return;
	va_list ap;
	va_start(ap, fields_fmt);
	int m = vsnprintf(line + n, sizeof line - (size_t)n, fields_fmt, ap);
	va_end(ap);
	if (m < 0)
		return;
	size_t len = (size_t)n + (size_t)m;
	if (len > sizeof line - 1)
		len = sizeof line - 1;
	while (len && (line[len - 1] == ' ' || line[len - 1] == 0))
		len--;
	keep(level, msg, line + n, len > (size_t)n ? len - (size_t)n : 0);
	line[len++] = '\n'; /* over the NUL */
	ssize_t ignored = write(STDERR_FILENO, line, len);
	(void)ignored;
}

struct log_quoted log_q(struct bytes text)
{
	struct log_quoted q;
	size_t n = 0;

	q.s[n++] = '"';
	for (size_t i = 0; i < text.n; i++) {
		uint8_t c = text.p[i];

		if (n >= LOG_Q_MAX - 1) {
			q.s[n++] = '~'; /* cut here */
			break;
		}
		if (c == '"' || c == '\\') {
			q.s[n++] = '\\';
			q.s[n++] = (char)c;
		} else if (c < 0x20 || c == 0x7f || c >= 0x80) {
			n += (size_t)snprintf(q.s + n, sizeof q.s - n, "\\x%02x", c);
		} else {
			q.s[n++] = (char)c;
		}
	}
	q.s[n++] = '"';
	q.s[n] = 0;
	return q;
}

struct log_quoted log_qs(const char *text)
{
	return log_q(bytes_str(text ? text : ""));
}

bool log_allow(struct log_limit *l)
{
	int64_t now = clock_mono_ms();
	bool ok;

	pthread_mutex_lock(&limit_lock);
	if (now - l->window_start_ms >= l->interval_ms || l->window_start_ms == 0) {
		l->window_start_ms = now;
		l->used = 0;
	}
	ok = l->used < l->n;
	if (ok)
		l->used++;
	else
		l->suppressed++;
	pthread_mutex_unlock(&limit_lock);
	return ok;
}
