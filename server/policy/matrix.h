/* matrix: what matrix.c and graph.c share. Inside server/policy/ only. */
#pragma once

#include "server/policy/effect.h"

struct matrix_line { /* a row or a column, in the order they are shown */
	uint32_t bunch;
	bool tagged;
	size_t first; /* rule that names it first */
};

struct matrix {
	struct effect e;
	struct namer name;
	struct matrix_line *row, *column; /* owned */
	size_t n_rows, n_columns;
	uint32_t *kinds; /* owned, scratch */
	bool truncated;
};
MUST_USE err matrix_make(const struct policy_world *was, const struct policy_world *is, bool ssh, struct matrix *m);
void matrix_done(struct matrix *m); /* also of a half-made one */

enum { BUNCH_KEY_MAX = 40 };
void bunch_key_text(bool row, const struct bunch *b, char out[BUNCH_KEY_MAX]);
size_t bunch_kinds(const struct effect *e, bool row, size_t bunch, uint32_t *out);

bool router_carries(const struct policy_world *world, const struct view_node *x, const struct sel *s);
void write_beyond(struct jsonw *w, const struct effect *e, const struct beyond *b); /* members of a Column */
void write_no_routers(struct jsonw *w, const char *kind);				/* the last members of one */

void ssh_users_text(const struct ssh_rule *r, struct buf *out);
void write_ssh_users(struct jsonw *w, const struct ssh_rule *const *rule, size_t n);
void write_ssh_places(struct jsonw *w, const struct policy *p, const struct ssh_rule *const *rule, size_t n);
