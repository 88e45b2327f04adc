/* sources: what config.toml only points at and what may change by itself while the server runs: the file with DNS records, and
 * DERP maps in files and at URLs. One load is one value; a later one replaces it when it could be read as a whole. */
#pragma once

#include "common/base/arena.h"
#include "server/config.h"

struct derp_texts; /* what was fetched: server/derp_fetch.h */

struct sources {
	struct arena arena; /* owns all below */
	const struct tailcfg_derp_map *derp_map;
	const struct dns_record *records; /* of the file, else those of config.toml (borrowed from it) */
	size_t n_records;
};
void sources_done(struct sources *s);

/* pin, tls_port: derp_region.h. why: one sentence. */
MUST_USE err sources_load(const struct config *c, const struct derp_texts *fetched, const char *pin, uint16_t tls_port, char *why,
		size_t why_cap, struct sources *out);
/* The paths to watch: at most SOURCES_PATHS_MAX, borrowed from c. */
enum { SOURCES_PATHS_MAX = 32 };
size_t sources_paths(const struct config *c, const char *out[SOURCES_PATHS_MAX]);
/* What the core gets of both. */
void sources_settings(const struct config *c, const struct sources *s, struct core_settings *out);
