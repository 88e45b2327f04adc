/* ports: what a connection may use, as sorted spans by protocol, each set there once. Inside server/policy/ only. */
#pragma once

#include "common/text/jsonw.h"
#include "server/policy/rules.h"

struct span {
	int16_t proto;
	uint16_t first, last;
};

struct port_set {
	struct class_key key; /* of the spans: equal sets are the same object */
	const struct span *span;
	size_t n; /* 0: nothing */
};

enum { PORT_SPANS_MAX = 4096 }; /* in one set; what is over is not counted */

struct port_sets {
	struct map known; /* struct port_set */
	struct arena arena;
	struct span *scratch; /* owned */
	size_t n_scratch;
	bool bad; /* out of memory */
};
MUST_USE err port_sets_init(struct port_sets *s);
void port_sets_done(struct port_sets *s);

/* A set is begun, filled from entries of rules, and made. */
void port_sets_add(struct port_sets *s, const struct rule_dst *d);
void port_sets_add_set(struct port_sets *s, const struct port_set *x);
const struct port_set *port_sets_make(struct port_sets *s); /* never NULL; empty when memory is short (bad) */
const struct port_set *port_sets_minus(struct port_sets *s, const struct port_set *a, const struct port_set *b);

bool port_set_meets(const struct port_set *a, const struct rule_dst *d); /* has the entry some of them? */

/* {"all", "text", "short", "list"}; of nothing: null. */
void write_port_set(struct jsonw *w, const struct port_set *x);
/* "all ports", "tcp 443, 5432; udp 53" */
void port_set_words(const struct port_set *x, struct buf *out);
