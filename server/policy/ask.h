/* ask: what the files of queries share (query.c). Inside server/policy/ only. */
#pragma once

#include "common/text/jsonw.h"
#include "server/policy/query.h"
#include "server/policy/rules.h"

enum party_kind { PARTY_UNKNOWN, PARTY_ALL, PARTY_NODE, PARTY_USER, PARTY_SELECTOR, PARTY_ADDRESS, PARTY_RANGE, PARTY_INTERNET, PARTY_SELF };

struct party { /* who was meant */
	enum party_kind kind;
	char text[QUERY_TEXT_MAX]; /* as written, without port and protocol */
	char why[200];		   /* of PARTY_UNKNOWN, and of parties without a node: what is missing */
	struct probe *probe;	   /* owned */
	size_t n;
	int port; /* -1: none given */
	int16_t proto;
};
void party_done(struct party *p);

/* ERR_INVALID: why. */
MUST_USE err party_read(const struct policy_world *w, const char *text, bool is_dst, struct party *out, char *why, size_t why_cap);
const char *party_kind_name(const struct party *p); /* as a Name's kind: "machine", "group", "tag", "range" … */
const struct policy_named *named_by_id(const struct policy_world *w, int64_t id);

/* Probes that no rule tells apart. */
struct crowd {
	struct probe first;
	const struct policy_class *cls; /* NULL: an address */
	size_t n;
};
/* Owned; NULL: no memory. */
struct crowd *crowds_of(const struct policy_world *w, const struct party *p, size_t *n);
/* Every class that has nodes. */
struct crowd *crowds_of_all(const struct policy_world *w, size_t *n);

/* ways.c: does a client that sends to such an address (no machine's) come to a router whose filter has the entry? src NULL: some client. */
bool ways_lead(struct policy_view *v, const struct rule_dst *d, const struct probe *src, struct addr a);
bool ways_exist(struct policy_view *v, struct addr a); /* some machine carries a route to it */

/* HOP_POSTURE: all else fits. */
enum hop { HOP_SOURCE, HOP_DESTINATION, HOP_ROUTE, HOP_PROTOCOL, HOP_PORT, HOP_POSTURE, HOP_NONE };

/* How far one rule takes a connection from src to dst; HOP_NONE: all the way. port -1: to any port. Of the entries of the rule,
 * those that let through are given to each. */
enum hop rule_takes(const struct policy_world *w, const struct rule *r, const struct probe *src, const struct probe *dst, int16_t proto,
		    int port, void (*each)(void *ctx, const struct rule_dst *d), void *ctx);

void write_rule_place(struct jsonw *w, const struct policy *p, const struct rule *r); /* members: line, section, index */
void write_probe(struct jsonw *w, const struct policy_world *world, const struct probe *p);
void write_node_members(struct jsonw *w, const struct policy_named *n); /* id, name, address, user or tags */

/* Ports of several entries as texts without repetition: "tcp:443", "80-90", "*". */
struct port_texts {
	const struct rule_dst *d[16];
	size_t n;
	bool more;
};
void port_texts_add(void *ctx, const struct rule_dst *d);
void write_port_texts(struct jsonw *w, const struct port_texts *t);

/* sentence.c: members sentence and chain. rule: that lets through, or came nearest; NULL: none. */
void write_sentence(struct jsonw *w, const struct policy_world *world, const struct probe *src, const struct probe *dst, int16_t proto, int port,
		    enum hop hop, const struct rule *rule);
