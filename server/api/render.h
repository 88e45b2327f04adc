/* render: rows as the JSON objects of Headscale's v1 API, in the superset that all its tools read.
 *
 * Ids are decimal texts, times RFC 3339 or null, arrays never null. Two renderings of the same state are the same bytes. */
#pragma once

#include "common/text/jsonw.h"
#include "server/core/command.h"

void render_id(struct jsonw *w, int64_t id);
void render_time(struct jsonw *w, int64_t wall_ms); /* 0: null */
void render_user(struct jsonw *w, const struct user_row *u);
void render_node(struct jsonw *w, const struct node_info *n);
/* owner NULL or id 0: null. secret: the full key at its creation, else NULL and the masked form is shown. */
void render_authkey(struct jsonw *w, const struct authkey_row *k, const struct user_row *owner, const char *secret);
/* signins.c: lists of a reply, users[i] being whose signins[i] is. */
void render_signins(struct jsonw *w, const struct reply *reply);
void render_identities(struct jsonw *w, const struct reply *reply);
struct audit_row;
void render_audit(struct jsonw *w, const struct audit_row *a); /* audit.c */
void render_apikey(struct jsonw *w, const struct apikey_row *k);
/* with_id: for who may approve; the id is what approves. */
void render_pending(struct jsonw *w, const struct pending_row *p, bool with_id);
void render_ssh_check(struct jsonw *w, const struct ssh_check_info *k, bool with_id);

/* A node's routes as the removed routes API of old Headscales showed them: what it announces and what is approved. */
struct legacy_route {
	struct prefix prefix;
	bool advertised, enabled, primary;
};
/* Sorted by prefix. Returns how many, at most cap. */
size_t legacy_routes(const struct node_info *n, struct legacy_route *out, size_t cap);
void render_legacy_route(struct jsonw *w, const struct node_info *n, size_t index, const struct legacy_route *route);
