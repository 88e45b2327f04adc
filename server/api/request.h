/* request: one HTTP request on its way through: head, body, up to a few commands one after the other, answer.
 *
 * Everything runs on the daemon's thread but deliver, which only wakes it. A handler looks at the request, and either
 * answers, or asks the core and names the function that goes on with the reply. */
#pragma once

#include <jansson.h>
#include <microhttpd.h>

#include "common/text/jsonw.h"
#include "server/api/api.h"

struct request;

typedef enum MHD_Result handler(struct request *r);
typedef enum MHD_Result reply_handler(struct request *r, const struct reply *reply);

enum access {
	ACCESS_OPEN,
	ACCESS_KEY,   /* an API key, or the unix socket */
	ACCESS_METRICS, /* the metrics listener, the unix socket, or an API key */
	ACCESS_LOCAL, /* the unix socket only: it touches the server's own files */
};

struct route {
	const char *method;
	const char *pattern; /* "{}" is one path segment, "{*}" at the end all that comes */
	enum access access;
	handler *begin;
	scope_set need; /* what a key must have; 0: all */
};

enum { REQUEST_PARAMS_MAX = 3 };

struct request {
	struct call call; /* first: deliver gets back to us */
	struct api *api;
	struct MHD_Connection *conn;
	bool head_checked; /* who asks, and whether by this way */
	const struct route *route;
	struct arena arena;
	const char *param[REQUEST_PARAMS_MAX]; /* what stood at the "{}" */
	struct buf body;
	size_t body_max;
	bool too_big, no_room; /* the body is not kept: more than the call takes; more than all may have at once */
	bool asks_early;       /* who asks is looked up before the body is read */
	struct reply *verdict; /* what that gave, once it is there; owned */
	size_t body_counted;   /* of api.body_bytes */
	json_t *json; /* the body, once it was asked for */
	const char *actor;
	scope_set may;
	const char *key_text;		      /* what the head showed, in the arena */
	int64_t key_id, key_parent, key_user; /* of the key that asks; 0: none */
	int64_t key_expires_ms;		      /* 0: never */
	bool by_cookie;			      /* a signed-in browser asks the native API; its session's token is in `token` */
	int64_t signin, signin_user, signin_ms, signin_expires_ms; /* then: the session, whose, since and until when */
	uint64_t events_at;		      /* the hub's count before the key was looked at */
	bool by_token;			      /* an OAuth token, not a user's key */
	bool is_api;			      /* below /api/ */
	bool v2;			      /* errors in Tailscale's form */
	unsigned retry_after_s;
	const char *etag; /* of the answer; NULL: none */
	const char *page_policy; /* Content-Security-Policy of the console; NULL: that of our plain pages */
	const char *download; /* its file name; NULL: it is shown */
	const char *cache; /* Cache-Control; NULL: no-store */
	bool trusted;
	const char *cookie[4];	 /* lines of Set-Cookie, in the arena */
	size_t n_cookies;
	const char *location;	 /* of a redirect, in the arena */
	unsigned refresh_s;	 /* of a page that looks again by itself; 0: it does not */
	bool page_wide, page_script; /* page.h: cards; it loads the script of passkeys */
	char id[24]; /* X-Request-Id: of this process, and counted */
	const char *fault; /* the first thing wrong with what was sent, a sentence */

	reply_handler *next;
	bool delivered;
	bool exporting; /* counts in api.exports */
	struct reply *reply; /* delivered and not yet looked at; NULL: memory was short */
	const char *token;   /* of the browser's session, see browser.h */
	reply_handler *after_signin;
	void *keep;	     /* of the handlers, in the arena */
	struct buf made;     /* by a worker: the answer; freed with the request if nobody takes it */
	const char *encoding; /* of the answer; NULL: none */
};

/* ---- what was sent ---- */

const char *query(struct request *r, const char *name); /* "" when absent */
/* The whole body; NULL and a fault when it is no JSON object. */
const json_t *body_object(struct request *r);
/* A member that is text; absent and null are NULL. Other types are a fault. */
const char *body_text(struct request *r, const char *name);
/* The same for an id or what may be one: a number becomes its decimal text. */
const char *body_id(struct request *r, const char *name);
bool body_bool(struct request *r, const char *name);
/* RFC 3339. Absent, null and "" give otherwise; Go's zero time gives 0 (never). */
int64_t body_time(struct request *r, const char *name, int64_t otherwise);
/* *n texts in the arena. Absent and null are none; *given tells. */
const char **body_texts(struct request *r, const char *name, size_t *n, bool *given);
/* A decimal id. 0, and a fault that calls it `what`, when it is none. */
int64_t parse_id(struct request *r, const char *text, const char *what);

/* ---- asking ---- */

struct addr client_of(struct request *r); /* family 0: over the unix socket */
/* A command for the default tailnet with the actor set; NULL: out of memory, answer with that. */
struct command *command_for(struct request *r, enum command_kind kind);
const char *command_str(struct command *c, const char *s); /* copied to its arena; NULL stays NULL */
/* c is taken (NULL: answers that memory is short). A fault is answered instead of asking. */
enum MHD_Result ask(struct request *r, struct command *c, reply_handler *next);

/* The same of fairlead-oidc (server/login/helper.h); request is taken. */
enum MHD_Result ask_helper(struct request *r, json_t *request, reply_handler *next);

/* ---- answering ---- */

enum MHD_Result answer_json(struct request *r, unsigned status, struct buf *body); /* body is taken */
enum MHD_Result answer_text(struct request *r, unsigned status, const char *type, const char *body);
enum MHD_Result answer_buf(struct request *r, unsigned status, const char *type, struct buf *body); /* body is taken */
const char *cors_origin(struct request *r);
bool accepts_encoding(struct request *r, const char *name); /* "gzip", "br" */
enum MHD_Result answer_response(struct request *r, unsigned status, const char *type, struct MHD_Response *taken);
enum MHD_Result answer_page(struct request *r, unsigned status, struct buf *html); /* html is taken */
/* The error body that all tools of Headscale can read: {code, message, details, status, title, detail, errors}. */
enum MHD_Result answer_error(struct request *r, unsigned status, const char *message);
enum MHD_Result answer_fault(struct request *r, const struct reply *reply, const char *prefix);
enum MHD_Result answer_unauthorized(struct request *r);
enum MHD_Result answer_empty(struct request *r); /* {} */

/* Writes {...}; the handler writes its members. */
struct jsonw answer_begin(struct buf *out);
enum MHD_Result answer_end(struct request *r, struct jsonw *w, struct buf *out);

/* If the reply is an error, answers it and returns from the caller. */
#define FAIL_ON(r, reply)                                                                                              \
	do {                                                                                                           \
		if ((reply)->e != OK)                                                                                  \
			return answer_fault((r), (reply), "");                                                         \
	} while (0)

unsigned status_of(err e);

const struct route *route_at(size_t i); /* NULL: no more */
/* route.c: NULL: none; *known tells whether the path exists with another method. */
const struct route *route_find(struct request *r, const char *method, const char *path, bool *known);
