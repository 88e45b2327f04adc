/* check: helpers that the sections of a policy share while its tree becomes rules. Inside server/policy/ only. */
#pragma once

#include "server/policy/rules.h"
#include "server/policy/syntax.h"

struct known_ipset {
	bool done;
	struct range *list; /* NULL: it is faulty */
	size_t n;
};

struct check {
	struct policy *p;
	struct arena *arena; /* the policy's */
	struct policy_faults *faults;
	const struct policy_services *services; /* NULL: none */
	const struct syntax *groups, *hosts, *ipsets, *owners, *postures;
	struct map known; /* interned selectors */
	struct map sets;  /* interned sets */
	const char *section;
	uint64_t default_postures;
	bool no_memory, full;
	const char *wrong, *right; /* of the last hint: what the next fault can be mended by; NULL: nothing */
	struct known_ipset *ipset; /* by place in ipsets */
	size_t n_ipsets;
	unsigned ipset_depth, hints;
	size_t n_app_domains, n_ranges, n_targets, n_who, attr_bytes; /* of all sections together */
	struct map attr_names; /* interned names of nodeAttrs */
};

void fault_at(struct check *c, unsigned line, unsigned column, const char *fmt, ...) __attribute__((format(printf, 4, 5)));
#define FAULT(c, v, ...)     fault_at((c), (v)->line, (v)->column, __VA_ARGS__)
#define KEY_FAULT(c, v, ...) fault_at((c), (v)->key_line, (v)->key_column, __VA_ARGS__)

void *check_array(struct check *c, size_t n, size_t each); /* one more than n; NULL is noted */
const char *check_text(struct check *c, struct bytes b);
bool is_kind(struct check *c, const struct syntax *v, enum syntax_kind kind, const char *what);
bool starts_with(const char *s, const char *prefix);

/* services.c */
bool check_is_service(const char *name);
bool parse_service(struct check *c, const struct syntax *at, struct sel *out, const char *where);

/* The field without regard to case, as Go reads it; null is as if absent. */
const struct syntax *check_get(const struct syntax *object, const char *key);
/* Faults for every name that is not among these (NULL ends the list), with the nearest one as a hint. */
void check_fields(struct check *c, const struct syntax *object, const char *const *known, const char *where);
/* ", did you mean \"x\"?" for the nearest of an object's keys, or ""; out has HINT_MAX bytes. */
enum { HINT_MAX = 160 };
const char *hint_key(struct check *c, const struct syntax *object, const char *wrong, char out[HINT_MAX]);
const char *hint_list(struct check *c, const char *const *known, const char *wrong, char out[HINT_MAX]);

/* Which selectors a place takes. */
enum {
	TAKES_ANY = 1 << SEL_ANY,
	TAKES_DANGER = 1 << SEL_DANGER,
	TAKES_USER = 1 << SEL_USER,
	TAKES_GROUP = 1 << SEL_GROUP,
	TAKES_TAG = 1 << SEL_TAG,
	TAKES_RANGES = 1 << SEL_RANGES,
	TAKES_MEMBER = 1 << SEL_MEMBER,
	TAKES_TAGGED = 1 << SEL_TAGGED,
	TAKES_SELF = 1 << SEL_SELF,
	TAKES_INTERNET = 1 << SEL_INTERNET,
	TAKES_ROLE = 1 << SEL_ROLE,
	TAKES_SHARED = 1 << SEL_SHARED,
	TAKES_DOMAIN = 1 << SEL_DOMAIN,
};
/* Parses and interns; NULL: a fault was noted. where: "src", "dst": begins the fault. Spaces around text do not count. */
const struct sel *check_sel(struct check *c, const struct syntax *at, const char *text, unsigned takes, const char *where);
/* A list of texts, null being an empty one; *out in the arena. False: it is no list (noted). */
bool check_sels(struct check *c, const struct syntax *list, unsigned takes, const char *where, uint32_t **out, size_t *n);
/* The number of the set; UINT32_MAX: no memory. */
uint32_t check_set(struct check *c, const uint32_t *sel, size_t n, uint64_t postures);

bool check_proto(struct check *c, const struct syntax *at, struct bytes text, int16_t *out, bool *ports);
/* The same without faults. policy_proto_name: "" for PROTO_ANY; out is used for numbers without a name. */
bool policy_proto(struct bytes text, int16_t *out);
const char *policy_proto_name(int16_t proto, char out[16]);
bool policy_autogroup(const char *name, enum sel_kind *kind, enum policy_role *role);
bool check_port(struct check *c, const struct syntax *at, struct bytes text, struct port_range *out);
bool check_ports(struct check *c, const struct syntax *at, struct bytes text, const struct port_range **out, size_t *n);
/* "name:ports", also "[fd7a::1]:53". */
bool split_ports(struct check *c, const struct syntax *at, const char *text, const char **name, const char **ports);

/* ---- sections ---- */

void check_groups(struct check *c, const struct syntax *v);
void check_hosts(struct check *c, const struct syntax *v);
void check_ipsets(struct check *c, const struct syntax *v);
void check_owners(struct check *c, const struct syntax *v);
void check_approvers(struct check *c, const struct syntax *v);
bool ipset_ranges(struct check *c, const struct syntax *set, struct range **out, size_t *n);

void check_postures(struct check *c, const struct syntax *v);
bool check_is_attribute(const char *name); /* "node:os" */
uint64_t check_posture_names(struct check *c, const struct syntax *v);

void check_rules(struct check *c, const struct syntax *grants, const struct syntax *acls);
void check_ssh(struct check *c, const struct syntax *v);
void check_attrs(struct check *c, const struct syntax *v);
void check_tests(struct check *c, const struct syntax *v);
void check_ssh_tests(struct check *c, const struct syntax *v);
