#include "server/front/answers.h"

#include "derp/http.h"

enum { CAPVER_WITH_NOISE = 39 }; /* older clients cannot speak to us at all: protocol/control.md 1.1 */

static void put_answer(const struct http1_request *r, unsigned status, const char *type, struct bytes body, struct buf *out)
{
	http1_put_status(out, status);
	http1_put_header(out, "Content-Type", bytes_str(type));
	http1_put_header(out, "Access-Control-Allow-Origin", BYTES_LIT("*")); /* browser clients fetch /key: control.md 2.2 */
	http1_put_header(out, "Cache-Control", BYTES_LIT("no-store"));
	http1_put_header(out, "X-Content-Type-Options", BYTES_LIT("nosniff"));
	buf_printf(out, "Content-Length: %zu\r\n", body.n);
	if (!r->keep_alive)
		http1_put_header(out, "Connection", BYTES_LIT("close"));
	http1_put_end(out);
	if (!bytes_eq_str(r->method, "HEAD"))
		buf_append(out, body);
}

/* GET /key?v=142: the Noise key. The legacy key is zero, so clients read this again at each registration. */
static void answer_key(const struct front_opts *o, const struct http1_request *r, struct buf *out)
{
	char key[KEY_TEXT_MAX], body[256];
	uint64_t v;

	if (!bytes_eq_str(r->method, "GET") && !bytes_eq_str(r->method, "HEAD")) {
		put_answer(r, 405, "text/plain", BYTES_LIT("GET only\n"), out);
	} else if (bytes_parse_u64(http1_query(r->query, "v"), UINT32_MAX, &v) != OK) {
		put_answer(r, 400, "text/plain", BYTES_LIT("the query needs v=<capability version>\n"), out);
	} else if (v < CAPVER_WITH_NOISE) {
		put_answer(r, 400, "text/plain", BYTES_LIT("this client is too old for this server\n"), out);
	} else {
		int n = snprintf(body, sizeof body, "{\"legacyPublicKey\":\"mkey:%064d\",\"publicKey\":\"%s\"}", 0,
			machine_pub_text(&o->noise->pub, key));

		put_answer(r, 200, "application/json", bytes_of(body, (size_t)n), out);
	}
}

bool front_answer(const struct front_opts *o, const struct http1_request *r, struct buf *out)
{
	if (bytes_eq_str(r->path, "/key")) {
		answer_key(o, r, out);
		return true;
	}
	return o->relay && derp_http_answer(r, out);
}
