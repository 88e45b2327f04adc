#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/statvfs.h>
#include <sys/timex.h>

#include "common/base/cleanup.h"
#include "common/base/clock.h"
#include "server/api/console.h"
#include "server/api/render.h"
#include "server/api/server_checks.h"
#include "server/api/state.h"

/* Is this server set up right? What a new one needs; and the search of the palette. */

enum { DATABASE_SLOW_MS = 200, CERTIFICATE_SOON_MS = 14 * 24 * 3600 * 1000, RESULTS_DEFAULT = 20, RESULTS_MAX = 100 };
#define DISK_LOW (512ull << 20)
#define DISK_FULL (64ull << 20)

struct look { /* what is known by now */
	struct buf metrics;
	int64_t asked_mono_ms;
	size_t machines;
	const char *owner;
	bool first_run;
};

/* ---- single checks ---- */

static void put_check(struct server_checks *k, const char *id, enum check_state state, const char *text, const char *fix, const char *value)
{
	if (k->n < CHECKS_MAX)
		k->check[k->n++] = (struct server_check){ id, text, state == CHECK_OK ? "" : fix, value ? value : "", state };
}

/* A counter of /metrics; 0: it is not there. */
static uint64_t counter(const struct look *l, const char *name)
{
	struct bytes rest = buf_view(&l->metrics);
	uint64_t number = 0;

	while (rest.n) {
		struct bytes value, line = bytes_cut(rest, '\n', &rest);
		if (bytes_eq_str(bytes_cut(line, ' ', &value), name))
			return bytes_parse_u64(value, UINT64_MAX, &number) == OK ? number : 0;
	}
	return 0;
}

static void check_database(struct request *r, struct server_checks *k, const struct look *l, const struct reply *reply)
{
	int64_t ms = clock_mono_ms() - l->asked_mono_ms;
	const char *value = arena_printf(&r->arena, "%lld ms", (long long)ms);

	if (reply->e != OK)
		put_check(k, "database", CHECK_FAIL, "The database does not take what is written.", "Look at the server's log; is the disk full?", "");
	else if (ms > DATABASE_SLOW_MS)
		put_check(k, "database", CHECK_WARN, "The database is slow to write.", "Put it on a disk of its own, or a faster one.", value);
	else
		put_check(k, "database", CHECK_OK, "The database writes in time.", "", value);
}

/* Bytes that are left where the database is. false: not known. */
static bool disk_left(struct request *r, unsigned long long *left)
{
	const char *path = r->api->cfg.database_path, *slash = path ? strrchr(path, '/') : NULL;
	const char *dir = slash ? arena_str(&r->arena, bytes_of(path, (size_t)(slash - path) + 1)) : ".";
	struct statvfs v;

	if (!path || !dir || statvfs(dir, &v) != 0)
		return false;
	*left = (unsigned long long)v.f_bavail * v.f_frsize;
	return true;
}

size_t console_failures(struct request *r, const char *failed[CONSOLE_FAILURES_MAX])
{
	int64_t ends = r->api->cfg.certificate_ends ? r->api->cfg.certificate_ends(r->api->cfg.ctx) : 0;
	unsigned long long left;
	size_t n = 0;

	if (disk_left(r, &left) && left < DISK_LOW)
		failed[n++] = "disk";
	if (ends && ends - clock_wall_ms() < CERTIFICATE_SOON_MS)
		failed[n++] = "certificate";
	return n;
}

static void check_disk(struct request *r, struct server_checks *k)
{
	unsigned long long left;

	if (!disk_left(r, &left)) {
		put_check(k, "disk", CHECK_UNKNOWN, "The space on the disk is not known.", "", "");
		return;
	}
	const char *value = arena_printf(&r->arena, "%llu MB", left >> 20);
	if (left < DISK_FULL)
		put_check(k, "disk", CHECK_FAIL, "The disk is full.", "Make room where the database is.", value);
	else if (left < DISK_LOW)
		put_check(k, "disk", CHECK_WARN, "The disk is nearly full.", "Make room where the database is.", value);
	else
		put_check(k, "disk", CHECK_OK, "There is room on the disk.", "", value);
}

/* Keys expire and sign-ins are checked by the clock. */
static void check_clock(struct server_checks *k)
{
	struct timex t = { 0 };

	if (adjtimex(&t) < 0)
		put_check(k, "clock", CHECK_UNKNOWN, "Whether the clock is right is not known.", "", "");
	else if (t.status & STA_UNSYNC)
		put_check(k, "clock", CHECK_WARN, "The clock is not kept by a time server.", "Run chrony or systemd-timesyncd on this machine.", "");
	else
		put_check(k, "clock", CHECK_OK, "The clock is kept by a time server.", "", "");
}

static bool is_loopback(const char *url)
{
	const char *host = strstr(url, "//");

	return host && (strncmp(host + 2, "127.", 4) == 0 || strncmp(host + 2, "localhost", 9) == 0 || strncmp(host + 2, "[::1]", 5) == 0);
}

static void check_address(struct request *r, struct server_checks *k)
{
	const char *url = r->api->cfg.server_url;

	if (strncmp(url, "https://", 8) == 0)
		put_check(k, "address", CHECK_OK, "People and clients reach the server by https.", "", url);
	else if (is_loopback(url))
		put_check(k, "address", CHECK_WARN, "The server's address is this machine's own: nobody else reaches it.",
				"Set server_url to an https:// address that your machines can reach.", url);
	else
		put_check(k, "address", CHECK_WARN, "The server's address is http: passwords and sessions travel in the clear.",
				"Set server_url to https://, with a certificate here or at the proxy.", url);
}

static void check_certificate(struct request *r, struct server_checks *k)
{
	int64_t ends = r->api->cfg.certificate_ends ? r->api->cfg.certificate_ends(r->api->cfg.ctx) : 0, left = ends - clock_wall_ms();
	char *text = arena_alloc(&r->arena, RFC3339_MAX);

	if (!text)
		return;
	if (!ends) /* the proxy's, if there is one */
		put_check(k, "certificate", CHECK_UNKNOWN, "This server shows no certificate of its own; a proxy before it may.", "", "");
	else if (left <= 0)
		put_check(k, "certificate", CHECK_FAIL, "The certificate has expired.", "Renew it; the server takes the new file on SIGHUP.", time_rfc3339(ends, text));
	else if (left < CERTIFICATE_SOON_MS)
		put_check(k, "certificate", CHECK_WARN, "The certificate ends within two weeks.", "Renew it; the server takes the new file on SIGHUP.", time_rfc3339(ends, text));
	else
		put_check(k, "certificate", CHECK_OK, "The certificate is good.", "", time_rfc3339(ends, text));
}

static void check_clients(struct server_checks *k, const struct look *l)
{
	if (counter(l, "fairlead_ts2021_sessions_total"))
		put_check(k, "clients", CHECK_OK, "Clients connect.", "", "");
	else if (counter(l, "fairlead_ts2021_refused_total"))
		put_check(k, "clients", CHECK_FAIL, "Clients arrive and cannot connect: the upgrade of their connection is lost on the way.",
				"Let the proxy pass on the headers Upgrade and Connection of /ts2021.", "");
	else
		put_check(k, "clients", CHECK_UNKNOWN, "No client has connected since the server started.",
				"If one should have: let the proxy pass on the headers Upgrade and Connection of /ts2021.", "");
}

static void check_relay(struct server_checks *k, const struct look *l)
{
	if (counter(l, "derp_accepts"))
		put_check(k, "relay", CHECK_OK, "Machines reach the relay of this server.", "", "");
	else
		put_check(k, "relay", CHECK_UNKNOWN, "No machine has connected to the relay of this server since it started.",
				"If it should be used: let the proxy pass on the headers Upgrade and Connection of /derp.", "");
	if (counter(l, "stun_requests_success"))
		put_check(k, "stun", CHECK_OK, "Machines learn their public address here (STUN).", "", "");
	else
		put_check(k, "stun", l->machines ? CHECK_WARN : CHECK_UNKNOWN, "No machine has asked for its public address here (STUN).",
				"Open UDP port 3478 in the firewall; without it, more connections go by the relay.", "");
}

static void look_at_all(struct request *r, const struct look *l, const struct reply *health, struct server_checks *k)
{
	check_address(r, k);
	check_certificate(r, k);
	check_clients(k, l);
	check_relay(k, l);
	check_database(r, k, l, health);
	check_disk(r, k);
	check_clock(k);
}

static struct buf metrics_of(struct request *r)
{
	struct buf b = buf_make(1 << 20);

	if (r->api->cfg.metrics)
		r->api->cfg.metrics(r->api->cfg.ctx, &b);
	return b;
}

void server_checks_look(struct request *r, const struct reply *health, int64_t asked_mono_ms, size_t machines, struct server_checks *out)
{
	struct look l = { .metrics = metrics_of(r), .asked_mono_ms = asked_mono_ms, .machines = machines };

	look_at_all(r, &l, health, out);
	buf_done(&l.metrics);
}

static void put_checks(struct request *r, struct jsonw *w, const struct look *l, const struct reply *health)
{
	static const char *const names[] = { [CHECK_OK] = "ok", [CHECK_UNKNOWN] = "unknown", [CHECK_WARN] = "warn", [CHECK_FAIL] = "fail" };
	struct server_checks k = { 0 };

	look_at_all(r, l, health, &k);
	jsonw_key(w, "checks"), jsonw_arr(w);
	for (size_t i = 0; i < k.n; i++) {
		const struct server_check *c = &k.check[i];
		jsonw_obj(w);
		jsonw_key(w, "id"), jsonw_str(w, c->id);
		jsonw_key(w, "state"), jsonw_str(w, names[c->state]);
		jsonw_key(w, "text"), jsonw_str(w, c->text);
		jsonw_key(w, "fix"), jsonw_str(w, c->fix);
		jsonw_key(w, "value"), jsonw_str(w, c->value);
		jsonw_obj_end(w);
	}
	jsonw_arr_end(w);
}

static enum MHD_Result on_health(struct request *r, const struct reply *reply)
{
	struct look *l = r->keep;
	struct buf out;

	l->metrics = metrics_of(r);
	struct jsonw w = console_begin(&out);
	if (l->first_run) {
		const char *command = arena_printf(&r->arena, "tailscale up --login-server %s", r->api->cfg.server_url);
		jsonw_key(&w, "done"), jsonw_bool(&w, l->owner[0] && l->machines);
		jsonw_key(&w, "owner"), jsonw_str(&w, l->owner);
		jsonw_key(&w, "machines"), jsonw_uint(&w, l->machines);
		jsonw_key(&w, "serverUrl"), jsonw_str(&w, r->api->cfg.server_url);
		jsonw_key(&w, "command"), jsonw_str(&w, command);
	}
	put_checks(r, &w, l, reply);
	jsonw_key(&w, "atMs"), jsonw_int(&w, clock_wall_ms());
	buf_done(&l->metrics);
	return console_end(r, &w, &out);
}

static enum MHD_Result on_stats(struct request *r, const struct reply *reply)
{
	struct look *l = r->keep;

	FAIL_ON(r, reply);
	l->machines = reply->stats.nodes;
	l->owner = arena_str(&r->arena, bytes_str(reply->text));
	if (!l->owner)
		return answer_error(r, 500, "out of memory");
	l->asked_mono_ms = clock_mono_ms();
	return ask(r, command_for(r, CMD_HEALTH), on_health);
}

static enum MHD_Result look(struct request *r, bool first_run)
{
	struct look *l = arena_alloc(&r->arena, sizeof *l);

	if (!l)
		return answer_error(r, 500, "out of memory");
	l->first_run = first_run;
	r->keep = l;
	return ask(r, command_for(r, CMD_ME), on_stats);
}

enum MHD_Result console_checks(struct request *r)
{
	return look(r, false);
}

enum MHD_Result console_first_run(struct request *r)
{
	return look(r, true);
}

/* ---- search ---- */

struct result {
	const char *kind, *id, *name, *detail;
	unsigned rank; /* less is better */
};

struct search {
	struct console_nodes k;
	const char *q;
	struct result *list;
	size_t n, limit;
};

enum { RANK_EXACT, RANK_PREFIX, RANK_WORD, RANK_INSIDE, RANK_NONE };

static unsigned rank_of(const char *text, const char *q)
{
	size_t n = strlen(q);

	if (!text || !*text)
		return RANK_NONE;
	if (strcasecmp(text, q) == 0)
		return RANK_EXACT;
	if (strncasecmp(text, q, n) == 0)
		return RANK_PREFIX;
	const char *at = strcasestr(text, q);
	if (!at)
		return RANK_NONE;
	return strchr("-._:@ ", at[-1]) ? RANK_WORD : RANK_INSIDE;
}

/* Keeps the best: a full list loses its worst. Texts are borrowed. */
static void note(struct search *s, struct result x)
{
	if (x.rank == RANK_NONE)
		return;
	if (s->n < s->limit) {
		s->list[s->n++] = x;
		return;
	}
	size_t worst = 0;
	for (size_t i = 1; i < s->n; i++)
		if (s->list[i].rank >= s->list[worst].rank)
			worst = i;
	if (x.rank < s->list[worst].rank)
		s->list[worst] = x;
}

static unsigned better(unsigned a, unsigned b)
{
	return MIN_OF(a, b);
}

static const char *id_text(struct request *r, int64_t id)
{
	const char *text = arena_printf(&r->arena, "%lld", (long long)id);

	return text ? text : "";
}

static void look_at_node(struct request *r, struct search *s, const struct node_info *n)
{
	const struct node_row *row = &n->row;
	char v4[ADDR_TEXT_MAX] = "", v6[ADDR_TEXT_MAX] = "";
	unsigned rank = better(rank_of(row->given_name, s->q), rank_of(row->hostname, s->q) + (rank_of(row->hostname, s->q) < RANK_NONE));

	if (row->v4.family)
		addr_text(row->v4, v4);
	if (row->v6.family)
		addr_text(row->v6, v6);
	/* Addresses and ids match whole. */
	if (strcmp(v4, s->q) == 0 || strcasecmp(v6, s->q) == 0 || strcmp(id_text(r, row->id), s->q) == 0)
		rank = RANK_EXACT;
	if (rank < RANK_NONE)
		note(s, (struct result){ "machine", id_text(r, row->id), arena_str(&r->arena, bytes_str(row->given_name)), arena_str(&r->arena, bytes_str(v4)), rank });
	for (size_t i = 0; i < row->n_tags; i++) {
		bool known = false;
		for (size_t k = 0; k < s->n && !known; k++)
			known = strcmp(s->list[k].kind, "tag") == 0 && strcmp(s->list[k].id, row->tags[i]) == 0;
		unsigned tag = better(rank_of(row->tags[i], s->q), rank_of(row->tags[i] + 4, s->q));
		const char *copy = !known && tag < RANK_NONE ? arena_str(&r->arena, bytes_str(row->tags[i])) : NULL;
		if (copy)
			note(s, (struct result){ "tag", copy, copy, "", tag });
	}
	if (!console_may_read(r, SCOPE_DEVICES_ROUTES))
		return;
	for (size_t i = 0; i < n->n_announced; i++) {
		char text[PREFIX_TEXT_MAX];
		prefix_text(n->announced[i], text);
		if (!is_exit_prefix(n->announced[i]) && strncmp(text, s->q, strlen(s->q)) == 0)
			note(s, (struct result){ "route", arena_str(&r->arena, bytes_str(text)), arena_str(&r->arena, bytes_str(text)),
				arena_str(&r->arena, bytes_str(row->given_name)), RANK_PREFIX });
	}
}

static int by_rank(const void *a, const void *b)
{
	const struct result *x = a, *y = b;

	if (x->rank != y->rank)
		return x->rank < y->rank ? -1 : 1;
	return strcmp(x->name ? x->name : "", y->name ? y->name : "");
}

static void make_results(struct request *r, struct reply *reply)
{
	struct search *s = r->keep;

	(void)reply;
	for (size_t i = 0; i < s->k.n; i++)
		look_at_node(r, s, s->k.node[i]);
	if (s->n)
		qsort(s->list, s->n, sizeof *s->list, by_rank);
	struct jsonw w = answer_begin(&r->made);
	jsonw_key(&w, "results"), jsonw_arr(&w);
	for (size_t i = 0; i < s->n; i++) {
		jsonw_obj(&w);
		jsonw_key(&w, "kind"), jsonw_str(&w, s->list[i].kind);
		jsonw_key(&w, "id"), jsonw_str(&w, s->list[i].id);
		jsonw_key(&w, "name"), jsonw_str(&w, s->list[i].name);
		jsonw_key(&w, "detail"), jsonw_str(&w, s->list[i].detail);
		jsonw_obj_end(&w);
	}
	jsonw_arr_end(&w);
	jsonw_obj_end(&w);
	console_nodes_done(&s->k);
	console_finish(r);
}

static enum MHD_Result on_results(struct request *r, const struct reply *reply)
{
	FAIL_ON(r, reply);
	return console_answer_made(r);
}

static enum MHD_Result on_search_nodes(struct request *r, const struct reply *reply)
{
	struct search *s = r->keep;

	FAIL_ON(r, reply);
	if (console_keep_nodes(r, reply, &s->k) != OK)
		return answer_error(r, 500, "out of memory");
	return console_work(r, make_results, on_results, &s->k);
}

static enum MHD_Result search_machines(struct request *r)
{
	struct search *s = r->keep;

	if (console_may_read(r, SCOPE_DEVICES_CORE))
		return ask(r, command_for(r, CMD_NODE_LIST), on_search_nodes);
	return console_work(r, make_results, on_results, &s->k);
}

static enum MHD_Result on_search_users(struct request *r, const struct reply *reply)
{
	struct search *s = r->keep;

	FAIL_ON(r, reply);
	for (size_t i = 0; i < reply->n_users; i++) {
		const struct user_row *u = &reply->users[i];
		unsigned rank = better(rank_of(u->name, s->q), better(rank_of(u->display_name, s->q), rank_of(u->email, s->q)));
		if (rank < RANK_NONE)
			note(s, (struct result){ "user", id_text(r, u->id), arena_str(&r->arena, bytes_str(u->display_name && u->display_name[0] ? u->display_name : u->name)),
				arena_str(&r->arena, bytes_str(u->name)), rank });
	}
	return search_machines(r);
}

/* ?q=&limit=: machines, people, tags and routes, the best first; of those that the caller may read. */
enum MHD_Result console_search(struct request *r)
{
	struct search *s = arena_alloc(&r->arena, sizeof *s);
	uint64_t limit = RESULTS_DEFAULT;

	if (query(r, "limit")[0] && (bytes_parse_u64(bytes_str(query(r, "limit")), RESULTS_MAX, &limit) != OK || !limit))
		r->fault = "limit: a number from 1 to 100";
	if (s)
		s->list = arena_array(&r->arena, (size_t)limit, sizeof *s->list);
	if (!s || !s->list)
		return answer_error(r, 500, "out of memory");
	s->q = query(r, "q");
	s->limit = (size_t)limit;
	if (!s->q[0] && !r->fault)
		r->fault = "q: what is looked for?";
	r->keep = s;
	if (console_may_read(r, SCOPE_USERS) || r->fault)
		return ask(r, command_for(r, CMD_USER_LIST), on_search_users);
	return search_machines(r);
}
