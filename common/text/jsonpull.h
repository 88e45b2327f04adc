/* jsonpull: JSON read token by token from a source that gives a piece at a time; no tree, no allocation.
 *
 *	if (jp_object(&jp))
 *		while (jp_member(&jp)) {
 *			if (jp_key_is(&jp, "ID"))
 *				id = jp_int(&jp, 1, INT64_MAX);
 *			else
 *				jp_skip(&jp);
 *		}
 *
 * Every member and item must be read or skipped, exactly once. null stands for an absent value: jp_object and jp_array
 * say false, getters give 0, false or "" (protocol/control.md 0). The first problem is kept in jp.e and jp.why; from then
 * on everything reads as absent and loops end. Keys match without regard to case, as in Go. */
#pragma once

#include "common/base/buf.h"

enum {
	JSONPULL_DEPTH_MAX = 64,
	JSONPULL_KEY_MAX = 128,	 /* longer keys match nothing */
	JSONPULL_TEXT_MAX = 4096, /* decoded bytes of a string that are kept; the rest is dropped and jp.cut set */
};

/* More input. OK with n 0: the end. The view must last until the next call. */
typedef err (*jsonpull_more)(void *ctx, struct bytes *out);

struct jsonpull {
	err e;
	char why[120];
	bool cut; /* the last string was longer than it may be */
	/* The rest is jsonpull.c's. */
	struct bytes in;
	jsonpull_more more;
	void *ctx;
	bool ended;
	unsigned depth;
	bool first[JSONPULL_DEPTH_MAX + 1];
	size_t key_n, text_n;
	char key[JSONPULL_KEY_MAX];
	char text[JSONPULL_TEXT_MAX + 1];
	struct buf *copy; /* what is read is appended here too */
};

/* more NULL: in is all there is. */
void jp_init(struct jsonpull *jp, struct bytes in, jsonpull_more more, void *ctx);
/* Nothing but space follows. The last call: gives jp->e. */
err jp_end(struct jsonpull *jp);
void jp_fail(struct jsonpull *jp, err e, const char *why);

bool jp_object(struct jsonpull *jp);
bool jp_member(struct jsonpull *jp);
bool jp_key_is(const struct jsonpull *jp, const char *name);
struct bytes jp_key(const struct jsonpull *jp); /* as written, escapes decoded, until the next call; cut to JSONPULL_KEY_MAX */
bool jp_array(struct jsonpull *jp);
bool jp_item(struct jsonpull *jp);

/* The next value is null, which is taken then. */
bool jp_null(struct jsonpull *jp);
bool jp_bool(struct jsonpull *jp);
/* No fraction, no exponent; out of range is an error, null is 0. */
int64_t jp_int(struct jsonpull *jp, int64_t min, int64_t max);
/* NUL-terminated behind; until the next call. */
struct bytes jp_str(struct jsonpull *jp);
/* The value is an array (begins with '['), a string, … without taking it: its first character, 0 at the end. */
char jp_peek(struct jsonpull *jp);
void jp_skip(struct jsonpull *jp);
/* The text of the next value, appended to out, which goes bad when it is full (and jp then too: ERR_TOO_BIG). */
void jp_raw(struct jsonpull *jp, struct buf *out);
