/* mesh_link: our connection to another relay of the region, on a relay thread's loop. It dials, shows the mesh key, asks
 * who is connected there and keeps the relay's claims (relay_mesh.h) in step; when it breaks they are forgotten, and it
 * is dialled again. A relay that turns out to be ourselves is left alone for good.
 *
 * Specification: protocol/derp.md 7. TLS always; the certificate is checked as clients check it. */
#pragma once

#include "derp/conn.h"

enum {
	MESH_LINK_RETRY_MIN_MS = 250,	 /* after the first failure; then twice as long each time */
	MESH_LINK_RETRY_MAX_MS = 5000,
	MESH_LINK_DIAL_MS = 10000,	 /* from the name's look-up to ServerInfo */
	MESH_LINK_SILENT_MS = 120 * 1000, /* not even a keepalive */
	MESH_TARGET_HOST_MAX = 254,
};

/* "host[:port][/dialhost[:port]][=sha256-raw:HEX]": URL, SNI and certificate go by host, TCP by dialhost where given. */
struct mesh_target {
	char host[MESH_TARGET_HOST_MAX], dial[MESH_TARGET_HOST_MAX];
	uint16_t port, dial_port;
	char sha256_raw[65]; /* "": the certificate is checked against the system's roots */
};
/* ERR_INVALID: not such a text. */
MUST_USE err mesh_target_parse(struct bytes text, struct mesh_target *out);

struct mesh_link;
struct mesh_link_opts {
	struct derp_thread *thread;
	const struct mesh_target *target; /* copied */
	const struct node_key *key;	  /* the relay's own; copied */
	const struct secret32 *mesh_key;  /* copied */
	const char *ca_file;		  /* borrowed for ever; NULL: the system's roots */
};
/* Dials as soon as the loop runs. Made before the loop's thread starts. */
MUST_USE err mesh_link_new(const struct mesh_link_opts *o, struct mesh_link **out);
/* When the loop has stopped, before loop_free. NULL is fine. */
void mesh_link_free(struct mesh_link *l);
