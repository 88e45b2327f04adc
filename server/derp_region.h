/* derp_region: the DERP map that nodes get: our own region made from the configuration, and files merged over it. */
#pragma once

#include "server/config.h"

/* The host part of server_url, without port and brackets; in the arena. NULL: no such URL. */
const char *server_url_host(struct arena *a, const char *server_url);

/* pin: hex SHA-256 of the self-made certificate that the relay's TLS listener shows, "" when it has a real one.
 * tls_port: of the first TLS listener. fetched: the maps of derp.urls, NULL for none yet. The result lives in the arena. why: one sentence with the file. */
struct derp_texts;
MUST_USE err derp_region_map(const struct config *c, const struct derp_texts *fetched, const char *pin, uint16_t tls_port,
		struct arena *a, char *why, size_t why_cap, const struct tailcfg_derp_map **out);
