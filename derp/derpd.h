/* derpd: the process around a relay that stands alone: listeners, wire threads, STUN, the plain port, signals. */
#pragma once

#include "derp/options.h"
#include "derp/stats.h"

enum {
	DERPD_DRAIN_SPREAD_MS = 15000, /* clients are closed one by one over this time */
	DERPD_DRAIN_MAX_MS = 20000,
	DERPD_TRY_FOR_MS = 30000,
};

struct derpd;
/* Opens everything. o is borrowed for the life of d, and so are argc and argv, which SIGHUP reads again with the file that
 * they name: limits change then, certificate and key list are read anew. why: one sentence (which port, which file). */
MUST_USE err derpd_start(const struct derpd_options *o, int argc, char **argv, char *why, size_t why_cap, struct derpd **out);
/* The derpMap entry by which clients find this relay, as JSON. */
void derpd_print_map(const struct derpd *d, FILE *to);
void derpd_run(struct derpd *d); /* until SIGTERM or SIGINT, and then until clients have left; twice: at once */
void derpd_free(struct derpd *d);
