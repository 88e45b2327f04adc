/* cli: what a person types: `fairlead-client up`, `status` … Each verb asks the daemon (local.h) and prints.
 *
 * Exit status: 0 done; 1 refused or failed, told on stderr; 2 wrong usage. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/base/buf.h"

#define CLI_SOCKET "/run/fairlead-client.sock"
#define CLI_STATE_DIR "/var/lib/fairlead-client"

struct cli {
	const char *socket;
	int fd; /* -1: not connected */
	struct buf in;
};

/* argv[0] is the verb. */
int cli_run(struct cli *c, int argc, char **argv);

/* ---- for the verbs ---- */

/* Sends one request (taken). False: the daemon is not there; said on stderr. */
bool cli_ask(struct cli *c, json_t *request);
/* The next line; *out is owned. False: the daemon went away, or timeout_ms (< 0: none) is over: *timed_out. */
bool cli_next(struct cli *c, int timeout_ms, json_t **out, bool *timed_out);
/* Ask and take the only line of the answer; NULL: failed, and said so. Owned. */
json_t *cli_call(struct cli *c, json_t *request);
bool cli_is_done(const json_t *line);
/* The line's "error", or NULL. */
const char *cli_error(const json_t *line);
const char *cli_text(const json_t *o, const char *key); /* "" when absent */

int cli_up(struct cli *c, int argc, char **argv);
int cli_set(struct cli *c, int argc, char **argv);
int cli_status(struct cli *c, int argc, char **argv);
int cli_ip(struct cli *c, int argc, char **argv);
int cli_whois(struct cli *c, int argc, char **argv);
int cli_ping(struct cli *c, int argc, char **argv);
int cli_netcheck(struct cli *c, int argc, char **argv);
void cli_print_qr(const char *text); /* half-block characters, on stdout */
