/* report: what the path engine found out, as JSON for people: `netcheck --json` and `debug paths`. */
#pragma once

#include "client/path/path.h"
#include "common/wire/tailcfg_response.h"

struct jsonw;

/* map, for the regions' names, may be NULL. */
void report_write(struct jsonw *w, const struct path_report *r, const struct tailcfg_derp_map *map);
void report_write_paths(struct jsonw *w, const struct path_peer_status *s);
