#include "derp/status.h"

#include <curl/curl.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/cleanup.h"
#include "common/base/clock.h"
#include "common/base/version.h"
#include "common/text/jsonw.h"
#include "derp/relay_list.h"
#include "derp/relay_mesh.h"

/* ---- what is shown ---------------------------------------------------------------------------------------------- */

struct figure {
	struct buf *out;
	struct jsonw *w; /* NULL: Prometheus */
	char family[64]; /* the last one whose type was told */
};

/* "packets_dropped{reason="queue_head",kind="disco"}" as a key of its own: packets_dropped_queue_head_disco. */
static void flat_name(const char *name, char *out, size_t cap)
{
	size_t n = strcspn(name, "{");
	bool quoted = false;

	n = MIN_OF(n, cap - 1);
	memcpy(out, name, n);
	for (const char *p = name + n; *p && n + 1 < cap; p++) {
		quoted ^= *p == '"';
		if (quoted)
			out[n++] = *p == '"' ? '_' : *p;
	}
	out[n] = 0;
}

static void show(void *ctx, const char *name, uint64_t value, int is_gauge)
{
	struct figure *f = ctx;

	if (f->w) {
		char flat[96];

		flat_name(name, flat, sizeof flat);
		jsonw_key_bytes(f->w, bytes_str(flat));
		jsonw_uint(f->w, value);
		return;
	}
	const char *prefix = strncmp(name, "stun_", 5) == 0 ? "" : "derp_"; /* as derper */
	int n = (int)strcspn(name, "{");
	if (strncmp(f->family, name, (size_t)n) != 0 || f->family[n]) {
		snprintf(f->family, sizeof f->family, "%.*s", n, name);
		buf_printf(f->out, "# TYPE %s%s %s\n", prefix, f->family, is_gauge ? "gauge" : "counter");
	}
	buf_printf(f->out, "%s%s %llu\n", prefix, name, (unsigned long long)value);
}

static void show_all(const struct status_ctx *s, struct figure *f)
{
	struct directory_counts keys = relay_count_keys(s->relay);
	struct relay_stats st;

	relay_stats_read(s->relay, &st);
	stats_each(&st, show, f);
	show(f, "clients_total", keys.keys + relay_remote_keys(s->relay), 1);
	show(f, "clients_local", keys.keys, 1);
	show(f, "clients_remote", relay_remote_keys(s->relay), 1);
	show(f, "current_dup_client_keys", keys.dup_keys, 1);
	show(f, "current_dup_client_conns", keys.dup_conns, 1);
	show(f, "uptime_seconds", (uint64_t)(clock_mono_ms() - s->started_ms) / 1000, 1);
	if (!s->stun)
		return;
	show(f, "stun_requests{disposition=\"success\"}", atomic_load(&s->stun->success), 0);
	show(f, "stun_requests{disposition=\"not_stun\"}", atomic_load(&s->stun->not_stun), 0);
	show(f, "stun_requests{disposition=\"read_error\"}", atomic_load(&s->stun->read_error), 0);
	show(f, "stun_requests{disposition=\"write_error\"}", atomic_load(&s->stun->write_error), 0);
	show(f, "stun_addrfamily{family=\"ipv4\"}", atomic_load(&s->stun->ipv4), 0);
	show(f, "stun_addrfamily{family=\"ipv6\"}", atomic_load(&s->stun->ipv6), 0);
}

static void put_row(struct jsonw *w, const struct relay_row *r)
{
	char addr[ADDRPORT_TEXT_MAX];

	jsonw_obj(w);
	jsonw_key(w, "key"), jsonw_hex(w, "nodekey:", bytes_of(r->key.b, sizeof r->key.b));
	jsonw_key(w, "address"), jsonw_str(w, addrport_text(r->addr, addr));
	jsonw_key(w, "age_seconds"), jsonw_int(w, r->age_ms / 1000);
	jsonw_key(w, "bytes_in"), jsonw_uint(w, r->bytes_in);
	jsonw_key(w, "bytes_out"), jsonw_uint(w, r->bytes_out);
	jsonw_key(w, "packets_out"), jsonw_uint(w, r->packets_out);
	jsonw_key(w, "dropped"), jsonw_uint(w, r->dropped);
	jsonw_key(w, "queued"), jsonw_uint(w, r->queued);
	jsonw_key(w, "home"), jsonw_bool(w, r->home);
	jsonw_key(w, "mesh"), jsonw_bool(w, r->mesh);
	jsonw_key(w, "websocket"), jsonw_bool(w, r->websocket);
	jsonw_key(w, "blocked"), jsonw_bool(w, r->blocked);
	jsonw_obj_end(w);
}

static err put_clients(const struct status_ctx *s, struct jsonw *w)
{
	CLEANUP(freep) struct relay_row *rows = NULL;
	size_t n = 0, total = 0;

	TRY(relay_list(s->relay, STATUS_CLIENTS_MAX, &rows, &n, &total));
	jsonw_key(w, "clients"), jsonw_arr(w);
	for (size_t i = 0; i < n; i++)
		put_row(w, &rows[i]);
	jsonw_arr_end(w);
	jsonw_key(w, "clients_total"), jsonw_uint(w, total);
	return OK;
}

/* ---- HTTP ------------------------------------------------------------------------------------------------------- */

static void put_answer(const struct http1_request *r, unsigned status, const char *type, struct bytes body, struct buf *out)
{
	http1_put_status(out, status);
	http1_put_header(out, "Content-Type", bytes_str(type));
	http1_put_header(out, "Cache-Control", BYTES_LIT("no-store"));
	buf_printf(out, "Content-Length: %zu\r\n", body.n);
	if (!r->keep_alive)
		http1_put_header(out, "Connection", BYTES_LIT("close"));
	http1_put_end(out);
	if (!bytes_eq_str(r->method, "HEAD"))
		buf_append(out, body);
}

static bool is_near(const struct http1_request *r, struct addr from)
{
	return !http1_header(&r->headers, "X-Forwarded-For").p && (addr_is_loopback(from) || addr_is_tailscale(from));
}

static void answer_json(const struct status_ctx *s, const struct http1_request *r, bool clients, struct buf *out)
{
	CLEANUP(buf_done) struct buf body = buf_make(STATUS_OUT_MAX);
	struct jsonw w = jsonw_init(&body);
	struct figure f = { .w = &w };
	err e = OK;

	jsonw_obj(&w);
	jsonw_key(&w, "version"), jsonw_str(&w, fairlead_version);
	jsonw_key(&w, "derp"), jsonw_obj(&w);
	show_all(s, &f);
	jsonw_obj_end(&w);
	if (clients)
		e = put_clients(s, &w);
	jsonw_obj_end(&w);
	if (e == OK && jsonw_ok(&w))
		put_answer(r, 200, "application/json", buf_view(&body), out);
	else
		put_answer(r, 503, "text/plain; charset=utf-8", BYTES_LIT("the relay is too busy to tell\n"), out);
}

bool status_answer(const struct status_ctx *s, const struct http1_request *r, struct addr from, bool local, struct buf *out)
{
	static const char text[] = "text/plain; charset=utf-8";
	bool varz = bytes_eq_str(r->path, "/debug/varz") || bytes_eq_str(r->path, "/metrics");

	if (!varz && !bytes_has_prefix(r->path, BYTES_LIT("/debug/")))
		return false;
	if (!local && !is_near(r, from)) {
		put_answer(r, 403, text, BYTES_LIT("debug access denied\n"), out);
	} else if (varz) {
		CLEANUP(buf_done) struct buf body = buf_make(STATUS_OUT_MAX);
		struct figure f = { .out = &body };

		buf_printf(&body, "# TYPE derp_build_info gauge\nderp_build_info{version=\"%s\",commit=\"%s\"} 1\n", fairlead_version,
			fairlead_commit);
		show_all(s, &f);
		put_answer(r, 200, "text/plain; version=0.0.4; charset=utf-8", buf_view(&body), out);
	} else if (bytes_eq_str(r->path, "/debug/vars")) {
		answer_json(s, r, false, out);
	} else if (bytes_eq_str(r->path, "/debug/clients") && local) {
		answer_json(s, r, true, out);
	} else if (bytes_eq_str(r->path, "/debug/traffic") && s->traffic) {
		CLEANUP(buf_done) struct buf body = buf_make(STATUS_OUT_MAX);

		traffic_tell(s->traffic, clock_mono_ms(), &body);
		put_answer(r, 200, text, buf_view(&body), out);
	} else if (bytes_eq_str(r->path, "/debug/derp-map") && s->map) {
		put_answer(r, 200, "application/json", bytes_str(s->map), out);
	} else if (bytes_eq_str(r->path, "/debug/")) {
		put_answer(r, 200, text, BYTES_LIT("/debug/vars   counters, JSON\n/debug/varz   counters, Prometheus (also /metrics)\n"
						   "/debug/traffic  what goes through each connection now\n"
						   "/debug/derp-map  the entry for a DERP map\n"
						   "Who is connected: fairlead-derp status\n"), out);
	} else {
		put_answer(r, 404, text, BYTES_LIT("404 page not found\n"), out);
	}
	return true;
}

/* ---- the command ------------------------------------------------------------------------------------------------ */

char *status_socket_path(const char *state_dir)
{
	char *path = NULL;

	return asprintf(&path, "%s/status.sock", state_dir) < 0 ? NULL : path;
}

static size_t on_data(char *p, size_t size, size_t n, void *ctx)
{
	struct buf *b = ctx;

	buf_append(b, bytes_of(p, size * n));
	return b->bad ? 0 : size * n;
}

static const char *human(uint64_t v, char out[16])
{
	static const char units[] = " kMGT";
	double d = (double)v;
	size_t i = 0;

	for (; d >= 1000 && i < sizeof units - 2; i++)
		d /= 1000;
	snprintf(out, 16, i ? "%.1f%c" : "%.0f%c", d, units[i]);
	return out;
}

static void print_table(const json_t *root, bool rates, FILE *out)
{
	const json_t *derp = json_object_get(root, "derp"), *list = json_object_get(root, "clients"), *c;
	char in[16], sent[16];
	size_t i;

#define N(name) ((unsigned long long)json_integer_value(json_object_get(derp, name)))
	fprintf(out, "clients %llu here, %llu through the mesh; connections %llu; up %llu s\n", N("clients_local"), N("clients_remote"),
		N("current_connections"), N("uptime_seconds"));
	fprintf(out, "packets %llu in, %llu out, %llu forwarded in, %llu forwarded out\n", N("packets_received"), N("packets_sent"),
		N("packets_forwarded_in"), N("packets_forwarded_out"));
	fprintf(out, "dropped %llu full queue, %llu unknown destination, %llu gone; %llu refused, %llu over a limit\n\n",
		N("packets_dropped_queue_head_disco") + N("packets_dropped_queue_head_other") +
			N("packets_dropped_queue_tail_disco") + N("packets_dropped_queue_tail_other"),
		N("packets_dropped_unknown_dest_disco") + N("packets_dropped_unknown_dest_other"),
		N("packets_dropped_gone_disconnected_disco") + N("packets_dropped_gone_disconnected_other"), N("refused_admission"), N("refused_limit"));
#undef N
	fprintf(out, "%-20s %-28s %8s %8s %8s %8s %6s  %s\n", "KEY", "ADDRESS", "AGE", rates ? "IN/s" : "IN", rates ? "OUT/s" : "OUT", "DROPPED", "QUEUED", "");
	json_array_foreach(list, i, c) {
#define T(name) json_string_value(json_object_get(c, name))
#define I(name) ((long long)json_integer_value(json_object_get(c, name)))
#define B(name, text) (json_is_true(json_object_get(c, name)) ? text : "")
		fprintf(out, "%-20.20s %-28s %7llds %8s %8s %8lld %6lld  %s%s%s%s\n", T("key") + 8, T("address"), I("age_seconds"),
			human((uint64_t)I("bytes_in"), in), human((uint64_t)I("bytes_out"), sent), I("dropped"), I("queued"),
			B("home", "home "), B("mesh", "mesh "), B("websocket", "websocket "), B("blocked", "slow"));
#undef T
#undef I
#undef B
	}
}

/* One answer of the relay that runs; NULL, told in errors. */
static json_t *ask_relay(const char *path, FILE *errors)
{
	CLEANUP(buf_done) struct buf body = buf_make(STATUS_OUT_MAX);
	CURL *c = curl_easy_init();
	long status = 0;

	if (!c) {
		fputs("fairlead-derp: out of memory\n", errors);
		return NULL;
	}
	curl_easy_setopt(c, CURLOPT_UNIX_SOCKET_PATH, path);
	curl_easy_setopt(c, CURLOPT_URL, "http://relay/debug/clients");
	curl_easy_setopt(c, CURLOPT_TIMEOUT_MS, 5000L);
	curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_data);
	curl_easy_setopt(c, CURLOPT_WRITEDATA, &body);
	CURLcode e = curl_easy_perform(c);
	curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &status);
	curl_easy_cleanup(c);
	if (e != CURLE_OK || status != 200) {
		fprintf(errors, "fairlead-derp: no relay answers at %s (%s): is it running, with this --state?\n", path,
			e != CURLE_OK ? curl_easy_strerror(e) : "it is too busy to tell");
		return NULL;
	}
	struct bytes v = buf_view(&body);
	json_t *root = json_loadb((const char *)v.p, v.n, 0, NULL);
	if (!root)
		fputs("fairlead-derp: the relay told no JSON\n", errors);
	return root;
}

/* bytes_in and bytes_out of each connection become what they grew by since before; one that is new has all of it. */
static void subtract(json_t *now, const json_t *before)
{
	static const char *const what[] = { "bytes_in", "bytes_out" };
	json_auto_t *by_address = json_object();
	json_t *c;
	size_t i;

	json_array_foreach(json_object_get(before, "clients"), i, c)
		json_object_set(by_address, json_string_value(json_object_get(c, "address")), c);
	json_array_foreach(json_object_get(now, "clients"), i, c) {
		const json_t *was = json_object_get(by_address, json_string_value(json_object_get(c, "address")));

		for (size_t k = 0; was && k < ARRAY_LEN(what); k++)
			json_object_set_new(c, what[k], json_integer(json_integer_value(json_object_get(c, what[k])) -
								     json_integer_value(json_object_get(was, what[k]))));
	}
}

int status_run(const char *state_dir, bool json, bool rates, FILE *out, FILE *errors)
{
	CLEANUP(freep) char *path = status_socket_path(state_dir);
	json_auto_t *before = rates && path ? ask_relay(path, errors) : NULL;

	if (!path || (rates && !before))
		return 1;
	if (rates)
		usleep(1000000);
	json_auto_t *root = ask_relay(path, errors);
	if (!root)
		return 1;
	if (rates)
		subtract(root, before);
	if (json) {
		json_dumpf(root, out, JSON_COMPACT);
		fputc('\n', out);
		return 0;
	}
	print_table(root, rates, out);
	return 0;
}
