/* local: the unix socket on which the CLI asks the daemon. One JSON object a line each way; an answer is one or more
 * lines, the last of which has "done":true, and "error":"…" when it failed.
 *
 *	{"cmd":"status","peers":true}		{"status":{…},"done":true}
 *	{"cmd":"prefs"}				{"prefs":{…},"done":true}
 *	{"cmd":"up","prefs":{…},"auth_key":"…"}	{"auth_url":"…"} {"state":"…"} … {"done":true,"ips":[…]}
 *	{"cmd":"down"} {"cmd":"logout"} {"cmd":"set","prefs":{…}} {"cmd":"wait"}
 *	{"cmd":"ping","ip":"…"}			{"ping":{…},"done":true}	one attempt
 *	{"cmd":"netcheck"} {"cmd":"debug","what":"netmap"|"paths"|"filter"}
 *
 * Who may connect is the file's mode: 0660, root's group. */
#pragma once

#include "client/daemon.h"

enum {
	LOCAL_CLIENTS_MAX = 32,
	LOCAL_LINE_MAX = 64 << 10,
	LOCAL_OUT_MAX = 32 << 20,
};

MUST_USE err local_new(struct daemon *d, const char *path, struct local **out);
void local_free(struct local *l);
/* Something changed that an `up` or `wait` may be waiting for. */
void local_notify(struct local *l);
void local_ping_result(struct local *l, uint64_t id, bool lost, int64_t latency_us, struct addrport via, int region);
void local_netcheck_done(struct local *l);
