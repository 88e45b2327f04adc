#include "derp/http.h"

enum { CHALLENGE_MAX = 64 };

static bool is_get(const struct http1_request *r)
{
	return bytes_eq_str(r->method, "GET") || bytes_eq_str(r->method, "HEAD");
}

static void end_with_body(const struct http1_request *r, const char *type, struct bytes body, struct buf *out)
{
	if (type)
		http1_put_header(out, "Content-Type", bytes_str(type));
	buf_printf(out, "Content-Length: %zu\r\n", body.n);
	if (!r->keep_alive)
		http1_put_header(out, "Connection", BYTES_LIT("close"));
	http1_put_end(out);
	if (!bytes_eq_str(r->method, "HEAD"))
		buf_append(out, body);
}

/* Pages that a browser may open get what keeps it from doing anything with them. */
static void put_browser_headers(struct buf *out)
{
	http1_put_header(out, "Strict-Transport-Security", BYTES_LIT("max-age=63072000; includeSubDomains"));
	http1_put_header(out, "Content-Security-Policy",
		BYTES_LIT("default-src 'none'; frame-ancestors 'none'; form-action 'none'; base-uri 'none'"));
	http1_put_header(out, "X-Frame-Options", BYTES_LIT("DENY"));
	http1_put_header(out, "X-Content-Type-Options", BYTES_LIT("nosniff"));
}

static void answer_probe(const struct http1_request *r, struct buf *out)
{
	if (!is_get(r)) {
		http1_put_status(out, 405);
		end_with_body(r, "text/plain; charset=utf-8", BYTES_LIT("bogus probe method\n"), out);
		return;
	}
	http1_put_status(out, 200);
	http1_put_header(out, "Access-Control-Allow-Origin", BYTES_LIT("*"));
	end_with_body(r, NULL, (struct bytes){ 0 }, out);
}

static bool is_challenge(struct bytes b)
{
	if (b.n == 0 || b.n > CHALLENGE_MAX)
		return false;
	for (size_t i = 0; i < b.n; i++) {
		uint8_t c = b.p[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' ||
			    c == ':' || c == '-'))
			return false;
	}
	return true;
}

/* Clients that suspect a captive portal ask this; the echo tells that it was really us who answered. */
static void answer_204(const struct http1_request *r, struct buf *out)
{
	struct bytes challenge = http1_header(&r->headers, "X-Tailscale-Challenge");

	http1_put_status(out, 204);
	if (is_challenge(challenge))
		buf_printf(out, "X-Tailscale-Response: response %.*s\r\n", (int)challenge.n, (const char *)challenge.p);
	http1_put_header(out, "Cache-Control", BYTES_LIT("no-cache, no-store, must-revalidate, no-transform, max-age=0"));
	if (!r->keep_alive)
		http1_put_header(out, "Connection", BYTES_LIT("close"));
	http1_put_end(out);
}

static void answer_page(const struct http1_request *r, unsigned status, const char *type, struct bytes body, struct buf *out)
{
	http1_put_status(out, status);
	put_browser_headers(out);
	end_with_body(r, type, body, out);
}

bool derp_http_answer(const struct http1_request *r, struct buf *out)
{
	if (bytes_eq_str(r->path, "/derp/probe") || bytes_eq_str(r->path, "/derp/latency-check"))
		answer_probe(r, out);
	else if (bytes_eq_str(r->path, "/generate_204"))
		answer_204(r, out);
	else if (bytes_eq_str(r->path, "/bootstrap-dns")) /* a private relay publishes no names */
		answer_page(r, 200, "application/json", BYTES_LIT("{}\n"), out);
	else if (bytes_eq_str(r->path, "/robots.txt"))
		answer_page(r, 200, "text/plain; charset=utf-8", BYTES_LIT("User-agent: *\nDisallow: /\n"), out);
	else
		return false;
	return true;
}

void derp_http_answer_plain(const struct http1_request *r, const char *host, struct buf *out)
{
	if (bytes_eq_str(r->path, "/generate_204")) {
		answer_204(r, out);
		return;
	}
	if (!is_get(r)) {
		answer_page(r, 400, "text/plain; charset=utf-8", BYTES_LIT("Use HTTPS\n"), out);
		return;
	}
	http1_put_status(out, 302);
	buf_printf(out, "Location: https://%s%.*s\r\n", host, (int)r->target.n, (const char *)r->target.p);
	end_with_body(r, NULL, (struct bytes){ 0 }, out);
}

void derp_http_answer_other(const struct http1_request *r, struct buf *out)
{
	if (bytes_eq_str(r->path, "/") && is_get(r))
		answer_page(r, 200, "text/plain; charset=utf-8",
			BYTES_LIT("This is a relay for encrypted tunnels (DERP). There is nothing to see here.\n"), out);
	else
		answer_page(r, 404, "text/plain; charset=utf-8", BYTES_LIT("404 page not found\n"), out);
}
