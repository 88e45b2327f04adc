/* page: the frame of what people see without the console: nothing loaded but one style sheet, readable on a phone. No scripts, but for
 * passkeys (passkey_script.c), without which everything else works. */
#pragma once

#include "server/api/request.h"
#include "server/api/words.h"

struct buf page_begin(struct request *r, enum word title); /* a sheet */
struct buf page_begin_wide(struct request *r, enum word title, const char *who); /* cards below each other */
/* Footer and end; b is taken. */
enum MHD_Result page_end(struct request *r, unsigned status, struct buf *b);

void put_escaped(struct buf *b, const char *text);
void put_escaped_bytes(struct buf *b, struct bytes text);
enum { DATE_MAX = 32, DAY_MS = 24 * 3600 * 1000 };
const char *date_text(int64_t wall_ms, char out[DATE_MAX]); /* "18 May 2027", in UTC */
const char *system_name(const char *os); /* "macOS", as people know it */
void put_word(struct buf *b, enum word w);	/* <p>…</p> */
void put_fact(struct buf *b, enum word name, const char *value); /* nothing when value is empty */
void put_ago(struct buf *b, enum word name, int64_t then_ms, int64_t now_ms);
void put_since(struct buf *b, int64_t then_ms, int64_t now_ms); /* "5 minutes ago" */
void put_code(struct buf *b, const char *text);
void put_link(struct buf *b, const char *kind, const char *href, enum word w); /* kind: "primary", "danger", "quiet" or "" */
void put_form(struct buf *b, const char *action, const char *csrf, const char *class); /* its begin; csrf may be NULL */
void put_hidden(struct buf *b, const char *name, const char *value);
void put_small_button(struct buf *b, const char *kind, const char *action, const char *csrf, enum word w);
/* A form with one button. csrf may be NULL. */
void put_button(struct buf *b, const char *kind, const char *action, const char *csrf, enum word w);

/* The text as a QR code; nothing when it cannot be made, so the text stands beside it. */
void put_qr(struct buf *b, const char *text, enum word label);

/* A page with a title and a sentence. */
enum MHD_Result page_say(struct request *r, unsigned status, enum word title, enum word text);
/* A link that is too old, with what to do on the device. */
enum MHD_Result page_gone(struct request *r);
/* Something that did not work: a title, a sentence (escaped), and a link to try again (NULL: none). */
enum MHD_Result page_sorry(struct request *r, unsigned status, enum word title, const char *why, const char *again);
/* A browser asks, and not for the API. */
bool page_is_wanted(const struct request *r);
/* What went wrong, as far as the status says it, and how to go on; a page that was only asked for tries again by itself when the server is busy. */
enum MHD_Result page_trouble(struct request *r, unsigned status);
enum MHD_Result page_busy(struct request *r, unsigned status);
/* Somebody or something waits for an administrator: what was written (taken), and whom to ask. on: a link, or NULL. */
enum MHD_Result page_waits(struct request *r, struct buf *taken, const char *on);
/* Why somebody may not enter, and whom to ask. why is escaped. again: a link to start over, or NULL. */
enum MHD_Result page_refused(struct request *r, unsigned status, const char *why, const char *again);
