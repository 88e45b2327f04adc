/* netmap_node: a node as one block of memory, and its opened form in which parsers and patches write.
 *
 * For client/netmap.c and client/control/mapparse.c. */
#pragma once

#include "client/netmap.h"

enum { NM_DRAFT_TEXT_MAX = 32 * 1024 }; /* all texts of a node */

/* Texts are offsets into text; 0 is "". */
struct nm_draft {
	struct nm_node n; /* plain fields; its pointers and counts are not used */
	uint32_t stable_id, name, hostname, os;
	struct prefix addresses[NM_ADDRESSES_MAX];
	size_t n_addresses;
	struct prefix allowed[NM_ALLOWED_MAX];
	size_t n_allowed;
	bool has_allowed; /* false: as addresses */
	struct prefix routes[NM_ALLOWED_MAX];
	size_t n_routes;
	struct addrport endpoints[NM_ENDPOINTS_MAX];
	size_t n_endpoints;
	struct nm_service services[NM_SERVICES_MAX];
	size_t n_services;
	uint32_t tags[NM_TAGS_MAX], caps[NM_CAPS_MAX];
	size_t n_tags, n_caps;
	char text[NM_DRAFT_TEXT_MAX];
	size_t n_text;
};

void nm_draft_reset(struct nm_draft *d);
/* Keeps a stranger's text: cut to NM_TEXT_MAX, control characters and bad UTF-8 shown as '?'. 0 when it is empty or the
 * draft is full. */
uint32_t nm_draft_text(struct nm_draft *d, struct bytes text);

void nm_draft_load(struct nm_draft *d, const struct nm_node *n);
/* *out is owned: free(). */
MUST_USE err nm_draft_pack(const struct nm_draft *d, struct nm_node **out);

/* What differs, as NM_KEY … NM_OTHER; 0: nothing. */
unsigned nm_node_diff(const struct nm_node *a, const struct nm_node *b);

/* A copy of a stranger's text made printable: at most max bytes, cut between characters. cap > max. Returns its length. */
size_t nm_clean(char *out, size_t max, struct bytes text);
