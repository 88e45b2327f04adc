#include "common/http/http1.h"

#include <stdio.h>

#include "common/base/cleanup.h"

/* ---- characters ------------------------------------------------------------------------------------------------- */

static bool is_token_char(uint8_t c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       (c && memchr("!#$%&'*+-.^_`|~", c, 15));
}

static bool is_token(struct bytes b)
{
	for (size_t i = 0; i < b.n; i++)
		if (!is_token_char(b.p[i]))
			return false;
	return b.n > 0;
}

/* Text, spaces and tabs: no control characters (so no CR, LF or NUL). */
static bool is_field_text(struct bytes b)
{
	for (size_t i = 0; i < b.n; i++)
		if ((b.p[i] < 0x20 && b.p[i] != '\t') || b.p[i] == 0x7f)
			return false;
	return true;
}

static struct bytes trim_blanks(struct bytes b)
{
	while (b.n && (b.p[0] == ' ' || b.p[0] == '\t'))
		b = bytes_skip(b, 1);
	while (b.n && (b.p[b.n - 1] == ' ' || b.p[b.n - 1] == '\t'))
		b.n--;
	return b;
}

static int hex_digit(uint8_t c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* ---- the head as lines ------------------------------------------------------------------------------------------- */

/* Length of the head with its empty line. Every LF must follow a CR, which is known before the head is complete: a
 * client that ends its lines with LF alone gets its answer now and not after a timeout. */
static err find_head(struct bytes in, size_t *len)
{
	struct bytes seen = bytes_first(in, HTTP1_HEAD_MAX);
	const uint8_t *end = seen.n ? memmem(seen.p, seen.n, "\r\n\r\n", 4) : NULL;
	size_t n = end ? (size_t)(end - seen.p) + 4 : seen.n;

	for (struct bytes rest = bytes_first(seen, n); rest.n;) {
		const uint8_t *lf = memchr(rest.p, '\n', rest.n);

		if (!lf)
			break;
		if (lf == seen.p || lf[-1] != '\r')
			return ERR_MALFORMED;
		rest = bytes_skip(rest, (size_t)(lf - rest.p) + 1);
	}
	if (!end)
		return in.n >= HTTP1_HEAD_MAX ? ERR_TOO_BIG : ERR_TRUNCATED;
	*len = n;
	return OK;
}

/* Takes a line without its CRLF. A CR that is not followed by LF stays in it and is refused as a control character. */
static struct bytes take_line(struct bytes *rest)
{
	const uint8_t *lf = rest->n ? memchr(rest->p, '\n', rest->n) : NULL;
	size_t n = lf ? (size_t)(lf - rest->p) + 1 : rest->n;
	struct bytes line = bytes_first(*rest, n >= 2 ? n - 2 : 0);

	*rest = bytes_skip(*rest, n);
	return line;
}

static err parse_headers(struct bytes rest, struct http1_headers *out)
{
	out->n = 0;
	for (struct bytes line; (line = take_line(&rest)).n;) {
		struct bytes value, name = bytes_cut(line, ':', &value);

		/* A name must reach its colon without a space, which also refuses folded lines. */
		if (!value.p || !is_token(name) || !is_field_text(value))
			return ERR_MALFORMED;
		if (out->n == HTTP1_HEADERS_MAX)
			return ERR_TOO_BIG;
		out->h[out->n++] = (struct http1_header){ name, trim_blanks(value) };
	}
	return OK;
}

struct bytes http1_header(const struct http1_headers *h, const char *name)
{
	for (size_t i = 0; i < h->n; i++)
		if (bytes_eq_nocase(h->h[i].name, bytes_str(name)))
			return h->h[i].value;
	return (struct bytes){ 0 };
}

size_t http1_header_count(const struct http1_headers *h, const char *name)
{
	size_t n = 0;

	for (size_t i = 0; i < h->n; i++)
		n += bytes_eq_nocase(h->h[i].name, bytes_str(name));
	return n;
}

bool http1_has_token(const struct http1_headers *h, const char *name, const char *token)
{
	for (size_t i = 0; i < h->n; i++) {
		if (!bytes_eq_nocase(h->h[i].name, bytes_str(name)))
			continue;
		for (struct bytes rest = h->h[i].value; rest.n;)
			if (bytes_eq_nocase(trim_blanks(bytes_cut(rest, ',', &rest)), bytes_str(token)))
				return true;
	}
	return false;
}

/* "HTTP/1.0" or "HTTP/1.1". */
static err parse_version(struct bytes v, bool *http10)
{
	if (v.n != 8 || !bytes_has_prefix(v, BYTES_LIT("HTTP/")) || v.p[6] != '.')
		return ERR_MALFORMED;
	if (v.p[5] != '1' || (v.p[7] != '0' && v.p[7] != '1'))
		return v.p[5] >= '0' && v.p[5] <= '9' && v.p[7] >= '0' && v.p[7] <= '9' ? ERR_UNSUPPORTED : ERR_MALFORMED;
	*http10 = v.p[7] == '0';
	return OK;
}

/* Content-Length and Transfer-Encoding; *framing stays NONE when there is neither. RFC 9112, 6. */
static err parse_framing(const struct http1_headers *h, bool http10, enum http1_framing *framing, uint64_t *len)
{
	struct bytes te = http1_header(h, "transfer-encoding"), cl = http1_header(h, "content-length");

	*framing = HTTP1_BODY_NONE;
	*len = 0;
	if (te.p) {
		if (cl.p || http10)
			return ERR_MALFORMED;
		if (http1_header_count(h, "transfer-encoding") != 1 || !bytes_eq_nocase(te, BYTES_LIT("chunked")))
			return ERR_UNSUPPORTED;
		*framing = HTTP1_BODY_CHUNKED;
		return OK;
	}
	if (!cl.p)
		return OK;
	for (size_t i = 0; i < h->n; i++)
		if (bytes_eq_nocase(h->h[i].name, BYTES_LIT("content-length")) && !bytes_eq(h->h[i].value, cl))
			return ERR_MALFORMED;
	if (bytes_parse_u64(cl, INT64_MAX, len) != OK)
		return ERR_MALFORMED;
	*framing = *len ? HTTP1_BODY_LENGTH : HTTP1_BODY_NONE;
	return OK;
}

static bool stays_open(const struct http1_headers *h, bool http10)
{
	return !http1_has_token(h, "connection", "close") && (!http10 || http1_has_token(h, "connection", "keep-alive"));
}

/* ---- requests ---------------------------------------------------------------------------------------------------- */

static bool is_upgrade_path(struct bytes path)
{
	return bytes_eq_str(path, "/ts2021") || bytes_eq_str(path, "/derp");
}

/* path is no upgrade path as it stands but becomes one when decoded, once or several times. */
static bool is_disguised(struct bytes path)
{
	uint8_t plain[64]; /* "/ts2021" with each character encoded thrice is longer; deeper disguises decode to no path */
	size_t n;

	if (!memchr(path.p, '%', path.n))
		return false;
	while (memchr(path.p, '%', path.n)) {
		if (http1_percent_decode(path, plain, sizeof plain, &n) != OK)
			return false;
		path = bytes_of(plain, n);
	}
	return is_upgrade_path(path);
}

static err parse_target(struct http1_request *r)
{
	uint8_t plain[HTTP1_HEAD_MAX];
	size_t n;

	if (r->target.n == 0 || r->target.p[0] != '/')
		return ERR_MALFORMED;
	for (size_t i = 0; i < r->target.n; i++)
		if (r->target.p[i] <= 0x20 || r->target.p[i] >= 0x7f || r->target.p[i] == '#')
			return ERR_MALFORMED;
	r->path = bytes_cut(r->target, '?', &r->query);
	TRY(http1_percent_decode(r->path, plain, sizeof plain, &n));
	return is_disguised(r->path) ? ERR_MALFORMED : OK;
}

static err parse_request_line(struct bytes line, struct http1_request *r)
{
	struct bytes rest, version;

	r->method = bytes_cut(line, ' ', &rest);
	r->target = bytes_cut(rest, ' ', &version);
	if (!is_token(r->method) || r->method.n > HTTP1_METHOD_MAX)
		return ERR_MALFORMED;
	TRY(parse_version(version, &r->http10));
	return parse_target(r);
}

/* What cannot become a request line is refused with its first bytes: a TLS hello on a plain port, say. */
static bool may_be_request(struct bytes in)
{
	struct bytes rest, start = bytes_first(in, HTTP1_METHOD_MAX + 1), method = bytes_cut(start, ' ', &rest);

	return in.n == 0 || (is_token(method) && (rest.p || method.n <= HTTP1_METHOD_MAX));
}

err http1_parse_request(struct bytes in, struct http1_request *out)
{
	struct http1_request *r = out;

	if (!may_be_request(in))
		return ERR_MALFORMED;
	TRY(find_head(in, &r->head_len));
	struct bytes rest = bytes_first(in, r->head_len);
	TRY(parse_request_line(take_line(&rest), r));
	TRY(parse_headers(rest, &r->headers));
	size_t hosts = http1_header_count(&r->headers, "host");
	if (hosts > 1 || (hosts == 0 && !r->http10))
		return ERR_MALFORMED;
	r->host = http1_header(&r->headers, "host");
	r->keep_alive = stays_open(&r->headers, r->http10);
	return parse_framing(&r->headers, r->http10, &r->framing, &r->body_len);
}

struct bytes http1_refusal(err e)
{
#define REFUSAL(status, text, len)                                                                                     \
	BYTES_LIT("HTTP/1.1 " status "\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: " len             \
		  "\r\nConnection: close\r\n\r\n" text "\n")
	if (e == ERR_TOO_BIG)
		return REFUSAL("431 Request Header Fields Too Large", "request head too large", "23");
	if (e == ERR_UNSUPPORTED)
		return REFUSAL("501 Not Implemented", "unsupported HTTP version or transfer coding", "44");
	return REFUSAL("400 Bad Request", "bad request", "12");
#undef REFUSAL
}

/* ---- responses --------------------------------------------------------------------------------------------------- */

static err parse_status_line(struct bytes line, struct http1_response *r)
{
	struct bytes rest, reason, version = bytes_cut(line, ' ', &rest), code = bytes_cut(rest, ' ', &reason);
	uint64_t status;

	TRY(parse_version(version, &r->http10));
	if (code.n != 3 || bytes_parse_u64(code, 599, &status) != OK || status < 100 || !is_field_text(reason))
		return ERR_MALFORMED;
	r->status = (unsigned)status;
	return OK;
}

err http1_parse_response(struct bytes in, bool to_head, struct http1_response *out)
{
	struct http1_response *r = out;
	struct bytes start = bytes_first(in, 5);

	if (!bytes_eq(start, bytes_first(BYTES_LIT("HTTP/"), start.n)))
		return ERR_MALFORMED;
	TRY(find_head(in, &r->head_len));
	struct bytes rest = bytes_first(in, r->head_len);
	TRY(parse_status_line(take_line(&rest), r));
	TRY(parse_headers(rest, &r->headers));
	r->keep_alive = stays_open(&r->headers, r->http10);
	TRY(parse_framing(&r->headers, r->http10, &r->framing, &r->body_len));
	if (to_head || r->status < 200 || r->status == 204 || r->status == 304) {
		r->framing = HTTP1_BODY_NONE;
		r->body_len = 0;
	} else if (r->framing == HTTP1_BODY_NONE && !http1_header(&r->headers, "content-length").p) {
		r->framing = HTTP1_BODY_UNTIL_CLOSE;
	}
	return OK;
}

/* ---- bodies ------------------------------------------------------------------------------------------------------ */

enum chunk_state {
	CHUNK_SIZE, /* hex digits, the first still to come */
	CHUNK_SIZE_MORE,
	CHUNK_EXTENSION,
	CHUNK_SIZE_LF,
	CHUNK_DATA,
	CHUNK_DATA_CR,
	CHUNK_DATA_LF,
	TRAILER_START, /* of a line */
	TRAILER_LINE,
	TRAILER_LF,
	TRAILER_LAST_LF,
};

void http1_body_init(struct http1_body *b, enum http1_framing framing, uint64_t body_len)
{
	*b = (struct http1_body){
		.framing = framing,
		.left = framing == HTTP1_BODY_LENGTH ? body_len : 0,
		.state = CHUNK_SIZE,
	};
	b->done = framing == HTTP1_BODY_NONE || (framing == HTTP1_BODY_LENGTH && body_len == 0);
}

/* One byte of chunked framing; *data_next: payload follows it. */
static err chunk_byte(struct http1_body *b, uint8_t c)
{
	const bool text = c == '\t' || (c >= 0x20 && c != 0x7f);
	int digit;

	if (++b->line > (b->state >= TRAILER_START ? HTTP1_TRAILERS_MAX : HTTP1_CHUNK_LINE_MAX))
		return ERR_TOO_BIG;
	switch ((enum chunk_state)b->state) {
	case CHUNK_SIZE:
	case CHUNK_SIZE_MORE:
		digit = hex_digit(c);
		if (digit >= 0) {
			if (b->left >> 58)
				return ERR_TOO_BIG;
			b->left = b->left << 4 | (unsigned)digit;
			b->state = CHUNK_SIZE_MORE;
			return OK;
		}
		if (b->state == CHUNK_SIZE)
			return ERR_MALFORMED;
		b->state = c == '\r' ? CHUNK_SIZE_LF : CHUNK_EXTENSION;
		return c == '\r' || c == ';' ? OK : ERR_MALFORMED;
	case CHUNK_EXTENSION:
		if (c == '\r')
			b->state = CHUNK_SIZE_LF;
		return c == '\r' || text ? OK : ERR_MALFORMED;
	case CHUNK_SIZE_LF:
		b->state = b->left ? CHUNK_DATA : TRAILER_START;
		b->line = 0;
		return c == '\n' ? OK : ERR_MALFORMED;
	case CHUNK_DATA: /* the caller takes payload itself */
		return ERR_MALFORMED;
	case CHUNK_DATA_CR:
		b->state = CHUNK_DATA_LF;
		return c == '\r' ? OK : ERR_MALFORMED;
	case CHUNK_DATA_LF:
		b->state = CHUNK_SIZE;
		b->line = 0;
		return c == '\n' ? OK : ERR_MALFORMED;
	case TRAILER_START:
		b->state = c == '\r' ? TRAILER_LAST_LF : TRAILER_LINE;
		return c == '\r' || is_token_char(c) ? OK : ERR_MALFORMED;
	case TRAILER_LINE:
		if (c == '\r')
			b->state = TRAILER_LF;
		return c == '\r' || text ? OK : ERR_MALFORMED;
	case TRAILER_LF:
		b->state = TRAILER_START;
		return c == '\n' ? OK : ERR_MALFORMED;
	case TRAILER_LAST_LF:
		b->done = true;
		return c == '\n' ? OK : ERR_MALFORMED;
	}
	return ERR_MALFORMED;
}

static struct bytes take_payload(struct http1_body *b, struct bytes in)
{
	struct bytes data = bytes_first(in, in.n < b->left ? in.n : (size_t)b->left);

	b->left -= data.n;
	return data;
}

err http1_body_step(struct http1_body *b, struct bytes in, size_t *used, struct bytes *data)
{
	size_t n = 0;

	*used = 0;
	*data = (struct bytes){ 0 };
	if (b->done || in.n == 0)
		return OK;
	switch (b->framing) {
	case HTTP1_BODY_NONE:
		return OK;
	case HTTP1_BODY_UNTIL_CLOSE:
		*data = in;
		*used = in.n;
		return OK;
	case HTTP1_BODY_LENGTH:
		*data = take_payload(b, in);
		*used = data->n;
		b->done = b->left == 0;
		return OK;
	case HTTP1_BODY_CHUNKED:
		break;
	}
	for (; n < in.n && !b->done && b->state != CHUNK_DATA; n++)
		TRY(chunk_byte(b, in.p[n]));
	if (b->state == CHUNK_DATA) {
		*data = take_payload(b, bytes_skip(in, n));
		n += data->n;
		if (b->left == 0)
			b->state = CHUNK_DATA_CR;
	}
	*used = n;
	return OK;
}

/* ---- targets ----------------------------------------------------------------------------------------------------- */

err http1_percent_decode(struct bytes in, uint8_t *out, size_t cap, size_t *n)
{
	size_t at = 0;

	for (size_t i = 0; i < in.n; i++) {
		uint8_t c = in.p[i];

		if (c == '%') {
			int hi = in.n - i > 2 ? hex_digit(in.p[i + 1]) : -1, lo = in.n - i > 2 ? hex_digit(in.p[i + 2]) : -1;

			if (hi < 0 || lo < 0)
				return ERR_MALFORMED;
			c = (uint8_t)(hi << 4 | lo);
			i += 2;
		}
		if (at == cap)
			return ERR_TOO_BIG;
		out[at++] = c; /* at <= i: in and out may be the same memory */
	}
	*n = at;
	return OK;
}

struct bytes http1_query(struct bytes query, const char *name)
{
	while (query.n) {
		struct bytes pair = bytes_cut(query, '&', &query), value, key = bytes_cut(pair, '=', &value);

		if (bytes_eq_str(key, name))
			return value.p ? value : bytes_of("", 0);
	}
	return (struct bytes){ 0 };
}

/* ---- writing ----------------------------------------------------------------------------------------------------- */

const char *http1_reason(unsigned status)
{
	static const struct {
		unsigned status;
		const char *reason;
	} known[] = {
		{ 100, "Continue" }, { 101, "Switching Protocols" }, { 200, "OK" }, { 201, "Created" }, { 202, "Accepted" },
		{ 204, "No Content" }, { 301, "Moved Permanently" }, { 302, "Found" }, { 303, "See Other" },
		{ 304, "Not Modified" }, { 307, "Temporary Redirect" }, { 308, "Permanent Redirect" },
		{ 400, "Bad Request" }, { 401, "Unauthorized" }, { 403, "Forbidden" }, { 404, "Not Found" },
		{ 405, "Method Not Allowed" }, { 408, "Request Timeout" }, { 409, "Conflict" }, { 410, "Gone" },
		{ 411, "Length Required" }, { 413, "Content Too Large" }, { 415, "Unsupported Media Type" },
		{ 421, "Misdirected Request" }, { 422, "Unprocessable Content" }, { 426, "Upgrade Required" },
		{ 429, "Too Many Requests" }, { 431, "Request Header Fields Too Large" }, { 500, "Internal Server Error" },
		{ 501, "Not Implemented" }, { 502, "Bad Gateway" }, { 503, "Service Unavailable" }, { 504, "Gateway Timeout" },
		{ 505, "HTTP Version Not Supported" },
	};

	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		if (known[i].status == status)
			return known[i].reason;
	return "";
}

void http1_put_request(struct buf *out, const char *method, struct bytes target)
{
	buf_printf(out, "%s ", method);
	if (!is_token(bytes_str(method)) || !is_field_text(target) || memchr(target.p, ' ', target.n))
		out->bad = true;
	buf_append(out, target);
	buf_append_str(out, " HTTP/1.1\r\n");
}

void http1_put_status(struct buf *out, unsigned status)
{
	buf_printf(out, "HTTP/1.1 %u %s\r\n", status, http1_reason(status));
}

void http1_put_header(struct buf *out, const char *name, struct bytes value)
{
	if (!is_token(bytes_str(name)) || !is_field_text(value))
		out->bad = true;
	buf_append_str(out, name);
	buf_append_str(out, ": ");
	buf_append(out, value);
	buf_append_str(out, "\r\n");
}

void http1_put_end(struct buf *out)
{
	buf_append_str(out, "\r\n");
}

void http1_put_text(struct buf *out, unsigned status, const char *text)
{
	char length[24];

	http1_put_status(out, status);
	http1_put_header(out, "Content-Type", BYTES_LIT("text/plain; charset=utf-8"));
	http1_put_header(out, "X-Content-Type-Options", BYTES_LIT("nosniff"));
	snprintf(length, sizeof length, "%zu", strlen(text) + 1);
	http1_put_header(out, "Content-Length", bytes_str(length));
	http1_put_header(out, "Connection", BYTES_LIT("close"));
	http1_put_end(out);
	buf_append_str(out, text);
	buf_append_u8(out, '\n');
}
