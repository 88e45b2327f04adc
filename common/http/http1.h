/* http1: HTTP/1.x heads and body framing. Bytes in, views out; no sockets, no clock, no allocation.
 *
 * The server side is strict, because what it lets through is forwarded byte for byte to another parser: a message that
 * two parsers could read differently is refused. Views are borrowed from the input and die with it. */
#pragma once

#include "common/base/buf.h"

enum {
	HTTP1_HEAD_MAX = 16 * 1024,   /* request or status line and headers, with the empty line */
	HTTP1_HEADERS_MAX = 64,
	HTTP1_METHOD_MAX = 32,
	HTTP1_CHUNK_LINE_MAX = 256,   /* a chunk's size and extensions */
	HTTP1_TRAILERS_MAX = 4 * 1024,
};

struct http1_header {
	struct bytes name, value; /* value without spaces around it */
};

struct http1_headers {
	struct http1_header h[HTTP1_HEADERS_MAX];
	size_t n;
};

/* Where the message ends. */
enum http1_framing {
	HTTP1_BODY_NONE,
	HTTP1_BODY_LENGTH,
	HTTP1_BODY_CHUNKED,
	HTTP1_BODY_UNTIL_CLOSE, /* responses only */
};

struct http1_request {
	struct bytes method, target;
	struct bytes path, query; /* of target; not decoded; query without '?', p NULL when there is none */
	struct bytes host;	  /* "" when an HTTP/1.0 client sends none */
	bool http10;
	bool keep_alive;
	enum http1_framing framing;
	uint64_t body_len; /* HTTP1_BODY_LENGTH */
	size_t head_len;   /* bytes of the input, the empty line included */
	struct http1_headers headers;
};

/* ERR_TRUNCATED: come back with more bytes (all of them again). For the others send http1_refusal and close:
 * ERR_MALFORMED, ERR_TOO_BIG (over HTTP1_HEAD_MAX or HTTP1_HEADERS_MAX), ERR_UNSUPPORTED (HTTP version, transfer
 * coding). Refused besides syntax errors: other targets than origin-form ("/…"), bare LF, folded lines, several Hosts or
 * none with 1.1, Content-Length beside Transfer-Encoding, differing Content-Lengths, and a percent-encoded form of
 * /ts2021 or /derp, which one of two servers behind a name might decode. */
MUST_USE err http1_parse_request(struct bytes in, struct http1_request *out);

/* The whole answer to a request that could not be parsed, "Connection: close" included. Borrowed, static. */
struct bytes http1_refusal(err e);

struct http1_response {
	unsigned status; /* 100 to 599 */
	bool http10;
	bool keep_alive;
	enum http1_framing framing;
	uint64_t body_len;
	size_t head_len;
	struct http1_headers headers;
};

/* to_head: the request was HEAD, so no body follows whatever the headers say. Errors as above. */
MUST_USE err http1_parse_response(struct bytes in, bool to_head, struct http1_response *out);

/* The first header of that name (case ignored); p NULL when there is none, p not NULL and n 0 when it is empty. */
struct bytes http1_header(const struct http1_headers *h, const char *name);
size_t http1_header_count(const struct http1_headers *h, const char *name);
/* token stands in a comma-separated header of that name (case ignored), in any of them. */
bool http1_has_token(const struct http1_headers *h, const char *name, const char *token);

/* Walks a body, so that its owner knows where the next message begins, and finds the payload in it. */
struct http1_body {
	enum http1_framing framing;
	uint64_t left;	/* payload bytes of the body or of this chunk that are to come */
	unsigned state; /* chunked: what comes next */
	size_t line;	/* bytes of this line, or of all trailers, so far */
	bool done;	/* the next byte belongs to another message */
};
void http1_body_init(struct http1_body *b, enum http1_framing framing, uint64_t body_len);
/* Takes *used bytes from the front of in, at most one run of payload among them (*data, borrowed; may be empty). Call
 * again with the rest until used is 0 or b->done. ERR_MALFORMED, ERR_TOO_BIG: close. */
MUST_USE err http1_body_step(struct http1_body *b, struct bytes in, size_t *used, struct bytes *data);

/* Decodes %XX; '+' stays. *n <= in.n bytes go to out. ERR_MALFORMED: a bad escape; ERR_TOO_BIG: over cap. */
MUST_USE err http1_percent_decode(struct bytes in, uint8_t *out, size_t cap, size_t *n);
/* The value of name in a query string, still encoded; p NULL when there is none. Names are compared undecoded. */
struct bytes http1_query(struct bytes query, const char *name);

/* ---- writing: a head is a start line, headers, and the end. A header that would break the head makes out bad. ---- */

void http1_put_request(struct buf *out, const char *method, struct bytes target);
void http1_put_status(struct buf *out, unsigned status);
void http1_put_header(struct buf *out, const char *name, struct bytes value);
void http1_put_end(struct buf *out);
/* A whole text/plain answer that closes the connection. */
void http1_put_text(struct buf *out, unsigned status, const char *text);
const char *http1_reason(unsigned status); /* "Not Found"; "" when unknown */
