#include "common/http/upgrade.h"

#include "common/base/cleanup.h"
#include "common/base/openssl.h"
#include "common/text/base64.h"
#include "common/text/hex.h"

static const char ts2021_protocol[] = "tailscale-control-protocol";
static const char handshake_name[] = "X-Tailscale-Handshake";

/* ---- WebSocket opening, RFC 6455 4.2 ------------------------------------------------------------------------------ */

static void ws_accept(struct bytes key_text, char out[UPGRADE_WS_ACCEPT_LEN + 1])
{
	static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
	uint8_t text[24 + sizeof guid - 1], hash[20];
	unsigned n = sizeof hash;

	memcpy(text, key_text.p, 24);
	memcpy(text + 24, guid, sizeof guid - 1);
	EVP_Digest(text, sizeof text, hash, &n, EVP_sha1(), NULL);
	base64_encode(bytes_of(hash, sizeof hash), out);
}

static void refuse(struct upgrade *u, unsigned status, const char *text)
{
	u->kind = UPGRADE_REFUSED;
	u->status = status;
	u->text = text;
}

static bool open_websocket(const struct http1_request *r, struct upgrade *u)
{
	struct bytes key = http1_header(&r->headers, "sec-websocket-key");
	uint8_t raw[16];
	size_t n;

	if (!bytes_eq_str(r->method, "GET"))
		return refuse(u, 405, "WebSocket requires GET"), false;
	if (!bytes_eq_str(http1_header(&r->headers, "sec-websocket-version"), "13"))
		return refuse(u, 426, "WebSocket version 13 required"), false;
	if (key.n != 24 || base64_decode(key, raw, sizeof raw, &n) != OK || n != sizeof raw)
		return refuse(u, 400, "invalid Sec-WebSocket-Key"), false;
	ws_accept(key, u->ws_accept);
	return true;
}

/* ---- ts2021 ------------------------------------------------------------------------------------------------------ */

static bool take_initiation(struct bytes text, struct upgrade *u)
{
	if (!text.n)
		return refuse(u, 400, "missing Tailscale handshake header"), false;
	if (base64_decode(text, u->initiation, sizeof u->initiation, &u->initiation_len) != OK)
		return refuse(u, 400, "invalid tailscale handshake header"), false;
	return true;
}

static void detect_ts2021(const struct http1_request *r, struct bytes protocol, struct upgrade *u)
{
	if (!protocol.n)
		return refuse(u, 400, "missing next protocol");
	if (bytes_eq_nocase(protocol, BYTES_LIT("websocket"))) {
		uint8_t text[UPGRADE_INITIATION_MAX * 2];
		size_t n;

		if (!open_websocket(r, u))
			return;
		if (!http1_has_token(&r->headers, "sec-websocket-protocol", ts2021_protocol))
			return refuse(u, 400, "unknown next protocol");
		if (http1_percent_decode(http1_query(r->query, handshake_name), text, sizeof text, &n) != OK)
			return refuse(u, 400, "invalid tailscale handshake header");
		if (take_initiation(bytes_of(text, n), u))
			u->kind = UPGRADE_TS2021_WS;
		return;
	}
	if (!bytes_eq_nocase(protocol, bytes_str(ts2021_protocol)))
		return refuse(u, 400, "unknown next protocol");
	if (!bytes_eq_str(r->method, "POST"))
		return refuse(u, 405, "upgrade requires POST");
	if (take_initiation(http1_header(&r->headers, handshake_name), u))
		u->kind = UPGRADE_TS2021;
}

/* ---- DERP -------------------------------------------------------------------------------------------------------- */

static void detect_derp(const struct http1_request *r, struct bytes protocol, struct upgrade *u)
{
	bool websocket = bytes_eq_nocase(protocol, BYTES_LIT("websocket"));

	if (!websocket && !bytes_eq_nocase(protocol, BYTES_LIT("derp")))
		return refuse(u, 426, "DERP requires connection upgrade");
	if (websocket && http1_has_token(&r->headers, "sec-websocket-protocol", "derp")) {
		if (open_websocket(r, u))
			u->kind = UPGRADE_DERP_WS;
		return;
	}
	if (websocket && http1_header(&r->headers, "sec-websocket-protocol").p)
		return refuse(u, 400, "unknown WebSocket subprotocol");
	/* Very old clients said websocket and meant raw DERP. */
	u->kind = UPGRADE_DERP;
	u->fast_start = bytes_eq_str(http1_header(&r->headers, "derp-fast-start"), "1");
	u->not_ideal = http1_header(&r->headers, "ideal-node").n > 0;
}

void upgrade_detect(const struct http1_request *r, struct upgrade *out)
{
	bool ts2021 = bytes_eq_str(r->path, "/ts2021"), derp = bytes_eq_str(r->path, "/derp");
	struct bytes protocol = http1_header(&r->headers, "upgrade");

	*out = (struct upgrade){ .kind = UPGRADE_NONE };
	if (!ts2021 && !derp)
		return;
	if (r->http10 || !http1_has_token(&r->headers, "connection", "upgrade"))
		protocol = (struct bytes){ 0 }; /* no upgrade was asked for: RFC 9110 7.8 */
	if (ts2021)
		detect_ts2021(r, protocol, out);
	else
		detect_derp(r, protocol, out);
	/* With a body it would be unclear where the new protocol begins. Official clients send none. */
	if (out->kind != UPGRADE_REFUSED && r->framing != HTTP1_BODY_NONE)
		refuse(out, 400, "upgrade request with a body");
}

/* ---- answers ----------------------------------------------------------------------------------------------------- */

static void write_ws_101(const struct upgrade *u, const char *protocol, struct buf *out)
{
	buf_printf(out,
			"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
			"Sec-WebSocket-Accept: %s\r\nSec-WebSocket-Protocol: %s\r\n\r\n",
			u->ws_accept, protocol);
}

void upgrade_write_101(const struct upgrade *u, const uint8_t derp_pub[32], struct buf *out)
{
	char hex[65];

	switch (u->kind) {
	case UPGRADE_NONE:
	case UPGRADE_REFUSED:
		break;
	case UPGRADE_TS2021:
		buf_printf(out, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: %s\r\nConnection: upgrade\r\n\r\n", ts2021_protocol);
		break;
	case UPGRADE_TS2021_WS:
		write_ws_101(u, ts2021_protocol, out);
		break;
	case UPGRADE_DERP:
		if (u->fast_start)
			break;
		buf_printf(out,
				"HTTP/1.1 101 Switching Protocols\r\nUpgrade: DERP\r\nConnection: Upgrade\r\nDerp-Version: 2\r\n"
				"Derp-Public-Key: %s\r\n\r\n",
				hex_encode(bytes_of(derp_pub, 32), hex));
		break;
	case UPGRADE_DERP_WS:
		write_ws_101(u, "derp", out);
		break;
	}
}

void upgrade_write_refusal(const struct upgrade *u, struct buf *out)
{
	if (u->kind != UPGRADE_REFUSED)
		return;
	http1_put_status(out, u->status);
	if (u->status == 405)
		http1_put_header(out, "Allow", BYTES_LIT("GET, POST"));
	if (u->status == 426)
		http1_put_header(out, "Sec-WebSocket-Version", BYTES_LIT("13"));
	buf_printf(out,
			"Content-Type: text/plain; charset=utf-8\r\nContent-Length: %zu\r\nX-Content-Type-Options: nosniff\r\n"
			"Connection: close\r\n\r\n%s\n",
			strlen(u->text) + 1, u->text);
}

/* ---- the client's half ------------------------------------------------------------------------------------------- */

void upgrade_write_ts2021_request(struct buf *out, const char *host, struct bytes initiation)
{
	char text[UPGRADE_INITIATION_MAX * 2];

	if (initiation.n > UPGRADE_INITIATION_MAX) {
		out->bad = true;
		return;
	}
	http1_put_request(out, "POST", BYTES_LIT("/ts2021"));
	http1_put_header(out, "Host", bytes_str(host));
	http1_put_header(out, "Content-Length", BYTES_LIT("0"));
	http1_put_header(out, "Connection", BYTES_LIT("upgrade"));
	http1_put_header(out, "Upgrade", bytes_str(ts2021_protocol));
	http1_put_header(out, handshake_name, bytes_str(base64_encode(initiation, text)));
	http1_put_end(out);
}

void upgrade_write_derp_request(struct buf *out, const char *host, bool fast_start)
{
	http1_put_request(out, "GET", BYTES_LIT("/derp"));
	http1_put_header(out, "Host", bytes_str(host));
	http1_put_header(out, "Connection", BYTES_LIT("Upgrade"));
	if (fast_start)
		http1_put_header(out, "Derp-Fast-Start", BYTES_LIT("1"));
	http1_put_header(out, "Upgrade", BYTES_LIT("DERP"));
	http1_put_end(out);
}

void upgrade_write_ws_request(struct buf *out, const char *host, struct bytes target, const uint8_t key[16],
		const char *protocol)
{
	char text[32];

	http1_put_request(out, "GET", target);
	http1_put_header(out, "Host", bytes_str(host));
	http1_put_header(out, "Connection", BYTES_LIT("Upgrade"));
	http1_put_header(out, "Upgrade", BYTES_LIT("websocket"));
	http1_put_header(out, "Sec-WebSocket-Version", BYTES_LIT("13"));
	http1_put_header(out, "Sec-WebSocket-Key", bytes_str(base64_encode(bytes_of(key, 16), text)));
	http1_put_header(out, "Sec-WebSocket-Protocol", bytes_str(protocol));
	http1_put_end(out);
}

bool upgrade_is_accepted(const struct http1_response *r, const char *protocol, const uint8_t *ws_key)
{
	char text[32], accept[UPGRADE_WS_ACCEPT_LEN + 1];

	if (r->status != 101 || !http1_has_token(&r->headers, "connection", "upgrade") ||
			!bytes_eq_nocase(http1_header(&r->headers, "upgrade"), bytes_str(protocol)))
		return false;
	if (!ws_key)
		return true;
	ws_accept(bytes_str(base64_encode(bytes_of(ws_key, 16), text)), accept);
	return bytes_eq_str(http1_header(&r->headers, "sec-websocket-accept"), accept);
}
