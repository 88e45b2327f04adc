/* console: what the web console asks of the native API, and nobody else has: /api/fairlead/v1/me, machines, attention, … The calls
 * stand in console_routes.c. They work with a key, too: the console has no power of its own.
 *
 * New shapes, for a page: times are integers (Unix ms, members …Ms, 0: never), ids decimal texts, lists never null. Long lists come
 * as columns, made and compressed on a worker. */
#pragma once

#include "server/api/worker.h"

enum {
	CONSOLE_GZIP_MIN = 1024,
	CONSOLE_IDS_MAX = 500,		 /* of ?ids= */
	CONSOLE_SOON_MS = 7 * 24 * 3600 * 1000, /* keys that end within this want attention */
	PRESENCE_RUNS_MAX = 2 + NODE_PRESENCE_MAX,
};

/* ---- console.c ---- */

handler console_me, console_sign_out;

/* 200 with this JSON, compressed when it is worth it and the caller can read that. body is taken. */
enum MHD_Result console_answer(struct request *r, struct buf *body);
/* The same for r->made, which a worker made with console_finish. */
enum MHD_Result console_answer_made(struct request *r);
/* On a worker: compresses r->made, if so. */
void console_finish(struct request *r);
struct jsonw console_begin(struct buf *out); /* {…; answer_end's twin is console_end */
enum MHD_Result console_end(struct request *r, struct jsonw *w, struct buf *out);
/* ?ids=1,2,3 into the command; a fault when there are too many or one is none. */
void console_take_ids(struct request *r, struct command *c);
bool console_may_read(const struct request *r, enum scope area);

/* A reply's nodes, kept while a worker looks at them. nodes_done on that worker, or if it never ran. */
struct console_nodes {
	struct node_info **node;
	size_t n;
	bool lock_on;
	int64_t now_ms, last_event;
};
MUST_USE err console_keep_nodes(struct request *r, const struct reply *reply, struct console_nodes *out);
void console_nodes_done(struct console_nodes *k);
/* work_for with such nodes: run calls console_nodes_done, and this if it never runs. */
enum MHD_Result console_work(struct request *r, work *run, reply_handler *next, struct console_nodes *k);
void console_put_person(struct jsonw *w, const struct user_row *u); /* {id, name, displayName, email, picture, role} */

/* ---- console_machine.c ---- */

enum machine_flag {
	MACHINE_ONLINE = 1,
	MACHINE_EXPIRED = 2,
	MACHINE_EPHEMERAL = 4,
	MACHINE_WAITS = 8, /* for approval */
	MACHINE_EXPIRY_OFF = 16,
	MACHINE_SSH = 32,
	MACHINE_OFFERS_EXIT = 64,
	MACHINE_EXIT = 128, /* approved */
	MACHINE_ROUTER = 256, /* carries a subnet now */
	MACHINE_ROUTES_WAIT = 512,
	MACHINE_SUSPENDED = 1024, /* its owner is */
	MACHINE_LOCKED_OUT = 2048,
	MACHINE_EXPIRES_SOON = 4096,
};
unsigned machine_flags(const struct node_info *n, bool lock_on, int64_t now_ms);
/* [first, t1, t2, …]: 1 online, 0 offline or 2 not there yet, span_ms ago; then the minutes since at which it changed. */
size_t presence_runs(const struct node_info *n, int64_t now_ms, int64_t span_ms, unsigned out[PRESENCE_RUNS_MAX]);
static inline int64_t presence_time_ms(const struct node_row *r, size_t i)
{
	const uint8_t *p = r->presence + 4 * i;

	return 1000LL * ((int64_t)p[0] << 24 | p[1] << 16 | p[2] << 8 | p[3]);
}
bool is_exit_prefix(struct prefix p);
bool route_waits(const struct node_info *n, struct prefix p); /* announced, not approved */
/* One machine as an object: id, name, … with texts where the list has indexes. */
void render_machine(struct jsonw *w, const struct node_info *n, bool lock_on, int64_t now_ms);
/* Answers with {"machine": …}. */
reply_handler console_on_machine;

handler console_machines, console_machine;

/* ---- console_machine_acts.c ---- */

handler console_machine_approve, console_machine_rename, console_machine_tags, console_machine_routes, console_machine_expiry,
	console_machine_sign_out, console_machine_owner, console_machine_address, console_machine_delete;

/* ---- console_people.c ---- */

handler console_users, console_user, console_user_create, console_user_role, console_user_suspend, console_user_restore, console_user_approve, console_user_rename,
	console_user_delete, console_invites, console_invite, console_invite_end, console_my_sessions, console_my_session_end;

/* ---- console_keys.c ---- */

handler console_keys, console_key_auth, console_key_api, console_key_oauth, console_key_auth_end, console_key_api_end, console_key_oauth_end;

/* ---- console_logs.c ---- */

handler console_audit_histogram, console_audit_export, console_connections, console_sign_ins;

/* ---- console_network.c ---- */

handler console_routes_list, console_route_approve, console_relays;
enum { SILENT_RELAYS_MAX = 32 };
struct silent_relay {
	int id;
	char name[64];
};
/* Regions of the map (JSON) that are the home of some node, and that no node which is online has measured. */
size_t console_silent_relays(const char *map, const struct console_nodes *k, struct silent_relay out[SILENT_RELAYS_MAX]);

/* ---- console_dns.c ---- */

enum { CONSOLE_DNS_WAIT_MS = 1500 };
handler console_dns, console_dns_try, console_dns_check;
struct dns_question;
void console_put_dns_answer(struct jsonw *w, const struct dns_question *q); /* {server, state, ms, there, answers} */

/* ---- console_backups.c ---- */

handler console_backups, console_backup_make, console_backup_get, console_backup_delete, console_backup_verify;

/* ---- console_serverlog.c ---- */

handler console_server_log;

/* ---- console_server.c ---- */

handler console_checks, console_first_run, console_search;
/* Ids of those checks that fail and are quick to look at. */
enum { CONSOLE_FAILURES_MAX = 4 };
size_t console_failures(struct request *r, const char *failed[CONSOLE_FAILURES_MAX]);

/* ---- console_attention.c ---- */

handler console_attention;
