#include "server/core/state.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/base/cleanup.h"
#include "common/base/log.h"
#include "common/text/json.h"
#include "server/core/c2n.h"

/* VIP services (protocol/control.md 8.11): a name with two addresses of its own. Nodes say by c2n which they advertise; whom an
 * admin or the policy approves is a host. To the rest of the core a service is two host routes: elected, shown, filtered and failed
 * over as subnet routes are (route.c). What clients hear of it beside that is in server/map/services.c. */

enum { ASK_TRIES = 3, ASK_MS = 10000, ADVERTISED_MAX = SERVICES_MAX };

static bool has_text(char *const *list, size_t n, const char *text)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(list[i], text) == 0)
			return true;
	return false;
}

static bool has_id(char *const *list, size_t n, int64_t id)
{
	char text[24];

	snprintf(text, sizeof text, "%lld", (long long)id);
	return has_text(list, n, text);
}

/* ---- rows, and what is built from them ---- */

err service_put_memory(struct core *c, struct service_row *taken)
{
	struct service *s = map_get(&c->services, &taken->id);
	struct tailnet *t = core_tailnet(c, taken->tailnet_id);

	if (!t)
		return ERR_INVALID;
	if (!s) {
		s = calloc(1, sizeof *s);
		if (!s)
			return ERR_NOMEM;
		s->t = t;
		s->row.id = taken->id;
		err e = map_put(&c->services, s);
		if (e != OK) {
			free(s);
			return e;
		}
	}
	service_row_done(&s->row);
	s->row = *taken;
	*taken = (struct service_row){ 0 };
	t->services_stale = true;
	c->services_stale |= c->replaying;
	return OK;
}

void service_drop_memory(struct core *c, int64_t id)
{
	struct service *s = map_del(&c->services, &id);

	if (!s)
		return;
	s->t->services_stale = true;
	c->services_stale |= c->replaying;
	service_row_done(&s->row);
	free(s);
}

static int by_id(const void *a, const void *b)
{
	const struct map_service *x = a, *y = b;

	return (x->id > y->id) - (x->id < y->id);
}

/* The lists for map and policy; borrowed from the rows. */
static err list_services(struct core *c, struct tailnet *t)
{
	size_t at = 0, n = 0;
	struct map_service *list = calloc(c->services.n + 1, sizeof *list);
	CLEANUP(freep) struct policy_service *names = calloc(c->services.n + 1, sizeof *names);
	struct policy_services *made = NULL;

	if (!list || !names) {
		free(list);
		return ERR_NOMEM;
	}
	for (struct service *s; (s = map_next(&c->services, &at));)
		if (s->t == t)
			list[n++] = (struct map_service){ s->row.id, s->row.name, s->row.v4, s->row.v6, s->row.ports, s->row.n_ports };
	if (n)
		qsort(list, n, sizeof *list, by_id);
	for (size_t i = 0; i < n; i++)
		names[i] = (struct policy_service){ list[i].name, list[i].v4, list[i].v6 };
	err e = policy_services_are(t->services, names, n) ? OK : policy_services_new(names, n, &made);
	if (e != OK) {
		free(list);
		return e;
	}
	free((void *)(uintptr_t)t->map.services);
	t->map.services = list;
	t->map.n_services = n;
	if (made) {
		policy_services_unref(t->services);
		t->services = made;
	}
	t->services_dirty = t->flush = true;
	t->services_stale = false;
	return OK;
}

/* Names in the policy stand for other addresses now. The text was accepted before: it reads again. Here and now: at a start, and when
 * a change is undone. */
static err reread_policy(struct core *c, struct tailnet *t)
{
	struct policy_faults faults;
	struct policy *p;

	if (!t->policy || !policy_names_services(t->policy))
		return OK;
	TRY(policy_parse_with(bytes_str(or_empty(policy_in_force(t)->text)), t->services, &p, &faults));
	return tailnet_apply_policy(c, t, p);
}

/* Of those whose routes services can change: routers, and hosts. */
static err routes_of_hosts(struct core *c, struct tailnet *t)
{
	size_t at = 0;

	for (struct node *n; (n = map_next(&c->nodes, &at));)
		if (n->t == t && n->n_cand)
			TRY(routes_update(c, n));
	at = 0;
	for (struct service *s; (s = map_next(&c->services, &at));)
		for (size_t i = 0; s->t == t && i < s->row.n_hosts; i++) {
			uint64_t id;
			struct node *n = bytes_parse_u64(bytes_str(s->row.hosts[i]), INT64_MAX, &id) == OK ? node_by_id(c, (int64_t)id) : NULL;
			if (n && n->t == t)
				TRY(routes_update(c, n));
		}
	return OK;
}

/* After a service came, went, or has other addresses. Until a worker has read the policy again, a new one is nobody's. */
static err services_changed(struct core *c, struct tailnet *t)
{
	const struct policy_services *before = t->services;

	TRY(list_services(c, t));
	if (c->replaying)
		TRY(reread_policy(c, t));
	else if (before != t->services && policy_names_services(t->policy))
		t->policy_behind = true;
	return routes_of_hosts(c, t);
}

err services_rebuild(struct core *c)
{
	c->services_stale = false;
	for (size_t i = 0; i < c->n_tailnets; i++)
		if (c->tailnets[i]->services_stale)
			TRY(services_changed(c, c->tailnets[i]));
	return OK;
}

err services_policy_changed(struct core *c, struct tailnet *t)
{
	return t->map.n_services ? routes_of_hosts(c, t) : OK;
}

void services_keep_up(struct core *c)
{
	for (size_t i = 0; i < c->n_tailnets; i++) {
		struct tailnet *t = c->tailnets[i];

		if (t->policy_behind && !t->rereads) /* short of memory: with the next event */
			t->rereads = job_reread(c, t) != NULL;
	}
}

void services_reread_done(struct core *c, struct tailnet *t, struct job *j)
{
	err e = j->reply->e;

	t->rereads = false;
	/* Another policy, or other services, since: it is read once more. */
	if (!t->policy_behind || (e == OK && (j->base != t->policy || j->services != t->services)))
		return;
	if (e == OK)
		e = tailnet_adopt_policy(c, t, j);
	else
		e = reread_policy(c, t);
	if (e != OK) {
		core_abort(c);
		t->policy_behind = false; /* until a service changes */
		log_error("the policy cannot be read again for the services that changed", "error=\"%s\"", err_text(e));
	}
}

void services_free(struct tailnet *t)
{
	free((void *)(uintptr_t)t->map.services);
	policy_services_unref(t->services);
}

static struct service *by_name(struct core *c, struct tailnet *t, const char *name)
{
	size_t at = 0;

	for (struct service *s; (s = map_next(&c->services, &at));)
		if (s->t == t && strcmp(s->row.name, name) == 0)
			return s;
	return NULL;
}

bool service_has_label(const struct tailnet *t, const char *label)
{
	for (size_t i = 0; i < t->map.n_services; i++)
		if (strcmp(t->map.services[i].name + 4, label) == 0)
			return true;
	return false;
}

bool service_has_addr(const struct tailnet *t, struct addr a)
{
	for (size_t i = 0; i < t->map.n_services; i++)
		if (addr_eq(t->map.services[i].v4, a) || addr_eq(t->map.services[i].v6, a))
			return true;
	return false;
}

/* ---- hosts ---- */

enum approval { NOT_APPROVED, APPROVED_BY_POLICY, APPROVED_BY_HAND };

static enum approval approval_of(struct core *c, const struct service *s, const struct node *n)
{
	struct node_facts f;

	if (has_id(s->row.approved, s->row.n_approved, n->row.id))
		return APPROVED_BY_HAND;
	if (!n->t->policy)
		return NOT_APPROVED;
	node_facts(c, n, &f);
	return policy_approves_service(n->t->policy, &f.node, s->row.name, s->row.tags, s->row.n_tags) ? APPROVED_BY_POLICY : NOT_APPROVED;
}

size_t services_hosted(struct core *c, const struct node *n, struct prefix *out)
{
	size_t at = 0, k = 0;

	if (!n->t->map.n_services)
		return 0;
	for (struct service *s; (s = map_next(&c->services, &at));) {
		if (s->t != n->t || !has_id(s->row.hosts, s->row.n_hosts, n->row.id) || approval_of(c, s, n) == NOT_APPROVED)
			continue;
		if (s->row.v4.family)
			out[k++] = addr_prefix(s->row.v4);
		if (s->row.v6.family)
			out[k++] = addr_prefix(s->row.v6);
	}
	return k;
}

static err add_id(char ***list, size_t *n, int64_t id)
{
	char **grown = realloc(*list, (*n + 1) * sizeof(*grown)), text[24];

	if (!grown)
		return ERR_NOMEM;
	*list = grown;
	snprintf(text, sizeof text, "%lld", (long long)id);
	grown[*n] = strdup(text);
	if (!grown[*n])
		return ERR_NOMEM;
	++*n;
	return OK;
}

static void drop_id(char **list, size_t *n, int64_t id)
{
	char text[24];

	snprintf(text, sizeof text, "%lld", (long long)id);
	for (size_t i = 0; i < *n; i++)
		if (strcmp(list[i], text) == 0) {
			free(list[i]);
			memmove(list + i, list + i + 1, (*n - i - 1) * sizeof(*list));
			--*n;
			return;
		}
}

/* Nodes that are no more make room. */
static void sweep_hosts(struct core *c, struct service *s)
{
	for (size_t i = s->row.n_hosts; i-- > 0;) {
		uint64_t id;
		if (bytes_parse_u64(bytes_str(s->row.hosts[i]), INT64_MAX, &id) != OK || !node_by_id(c, (int64_t)id))
			drop_id(s->row.hosts, &s->row.n_hosts, (int64_t)id);
	}
}

/* What a node advertises, into the rows. */
static err note_advertised(struct core *c, struct node *n)
{
	size_t at = 0;

	for (struct service *s; (s = map_next(&c->services, &at));) {
		bool is = s->t == n->t && has_text(n->advertised, n->n_advertised, s->row.name);
		bool was = has_id(s->row.hosts, s->row.n_hosts, n->row.id);

		if (is == was)
			continue;
		TRY(touch_service(c, s));
		if (is && s->row.n_hosts >= SERVICE_HOSTS_MAX)
			sweep_hosts(c, s);
		if (is && s->row.n_hosts < SERVICE_HOSTS_MAX)
			TRY(add_id(&s->row.hosts, &s->row.n_hosts, n->row.id));
		else if (!is)
			drop_id(s->row.hosts, &s->row.n_hosts, n->row.id);
		log_info(is ? "service advertised" : "service no more advertised", "service=%s node=%" PRId64, s->row.name, n->row.id);
	}
	return routes_update(c, n);
}

void service_forget_advertised(struct node *n)
{
	for (size_t i = 0; i < n->n_advertised; i++)
		free(n->advertised[i]);
	free(n->advertised);
	n->advertised = NULL;
	n->n_advertised = 0;
}

static void on_advertised(struct core *c, struct node *n, void *ctx, int64_t arg, const struct c2n_answer *a);

static void ask(struct core *c, struct node *n, int64_t tries)
{
	err e = c2n_ask(c, n, &(struct c2n_request){ .path = "/vip-services", .timeout_ms = ASK_MS, .done = on_advertised, .arg = tries });

	if (e != OK)
		n->services_hash[0] = 0; /* with its next stream or Hostinfo */
}

/* {"VIPServices": [{"Name": "svc:x", "Active": true}], …} */
static err take_advertised(struct node *n, struct bytes body)
{
	json_auto_t *v = NULL;
	struct json_why why = { 0 };

	TRY(json_parse_why(body, 256 * 1024, 8, &v, &why));
	struct json_at root = json_root(v, &why), list = json_member(&root, "VIPServices");
	size_t count = json_count(&list, ADVERTISED_MAX);
	char **names = calloc(count + 1, sizeof(*names));
	if (!names)
		return ERR_NOMEM;
	service_forget_advertised(n);
	n->advertised = names;
	for (size_t i = 0; i < count; i++) {
		struct json_at item = json_item(&list, i);
		const char *name = json_str(&item, "Name", SERVICE_NAME_MAX);
		if (!json_bool(&item, "Active", false) || !*name)
			continue;
		names[n->n_advertised] = strdup(name);
		if (!names[n->n_advertised])
			return ERR_NOMEM;
		n->n_advertised++;
	}
	return why.e;
}

static void on_advertised(struct core *c, struct node *n, void *ctx, int64_t arg, const struct c2n_answer *a)
{
	(void)ctx;
	if (!n)
		return;
	if (a->e != OK || a->status != 200) {
		if (arg > 1)
			ask(c, n, arg - 1);
		else
			n->services_hash[0] = 0;
		return;
	}
	err e = take_advertised(n, a->body);
	if (e == OK)
		e = note_advertised(c, n);
	if (e != OK)
		log_warn("a node's services cannot be taken in", "node=%" PRId64 " error=\"%s\"", n->row.id, err_text(e));
}

err service_hostinfo(struct core *c, struct node *n)
{
	const char *hash = or_empty(n->hi->services_hash);

	if (c->replaying || strcmp(hash, n->services_hash) == 0)
		return OK;
	snprintf(n->services_hash, sizeof n->services_hash, "%s", hash);
	if (*hash) {
		if (n->session)
			ask(c, n, ASK_TRIES);
		else
			n->services_hash[0] = 0;
		return OK;
	}
	service_forget_advertised(n);
	return note_advertised(c, n);
}

/* ---- commands ---- */

static bool is_name(const char *s)
{
	return strncmp(s, "svc:", 4) == 0 && name_is_label(s + 4) && strlen(s) <= SERVICE_NAME_MAX;
}

static bool is_port(const char *s, size_t n_all)
{
	struct bytes last, ports = bytes_str(s), first;
	uint64_t a, b;

	if (strcmp(s, "do-not-validate") == 0)
		return n_all == 1;
	if (bytes_has_prefix(ports, BYTES_LIT("tcp:")) || bytes_has_prefix(ports, BYTES_LIT("udp:")))
		ports = bytes_skip(ports, 4);
	else
		return false;
	first = bytes_cut(ports, '-', &last);
	if (bytes_parse_u64(first, 65535, &a) != OK || !a)
		return false;
	return !last.p || (bytes_parse_u64(last, 65535, &b) == OK && b >= a);
}

static bool is_annotations(const char *text)
{
	json_auto_t *v = NULL;
	const char *key;
	json_t *x;

	if (!*text)
		return true;
	if (json_parse(bytes_str(text), SERVICE_ANNOTATIONS_MAX, 3, &v, NULL) != OK || !json_is_object(v))
		return false;
	json_object_foreach (v, key, x)
		if (!json_is_string(x))
			return false;
	return true;
}

/* The sentence that refuses it; NULL: it is fine. */
static const char *fault_of(const struct command *m)
{
	if (!is_name(m->name))
		return "a service is called svc: and a DNS label in lower case, such as svc:web";
	if (m->n_ports > SERVICE_PORTS_MAX || m->n_tags > NODE_TAGS_MAX)
		return "too many ports or tags";
	for (size_t i = 0; i < m->n_ports; i++)
		if (!is_port(m->ports[i], m->n_ports))
			return "a port is written tcp:443 or tcp:80-90 (or udp:…); do-not-validate stands alone";
	for (size_t i = 0; i < m->n_tags; i++)
		if (strncmp(m->tags[i], "tag:", 4) != 0 || strlen(m->tags[i]) > 100 || strpbrk(m->tags[i], "\n\r"))
			return "a tag looks like tag:server";
	if (!is_annotations(m->text))
		return "annotations are a JSON object whose values are texts";
	if (strlen(m->note) > 4096)
		return "the comment is too long";
	return NULL;
}

static err copy_list(const char *const *from, size_t n, char ***out, size_t *n_out)
{
	char **list = calloc(n + 1, sizeof(*list));

	if (!list)
		return ERR_NOMEM;
	*out = list;
	for (*n_out = 0; *n_out < n; ++*n_out)
		if (!(list[*n_out] = strdup(from[*n_out])))
			return ERR_NOMEM;
	return OK;
}

static err fill(struct service_row *row, const struct command *m)
{
	row->name = strdup(m->name);
	row->comment = strdup(m->note);
	row->annotations = strdup(*m->text ? m->text : "{}");
	if (!row->name || !row->comment || !row->annotations)
		return ERR_NOMEM;
	TRY(copy_list(m->ports, m->n_ports, &row->ports, &row->n_ports));
	return copy_list(m->tags, m->n_tags, &row->tags, &row->n_tags);
}

/* Who advertised it before it was there. */
static err find_hosts(struct core *c, struct service *s)
{
	size_t at = 0;

	for (struct node *n; (n = map_next(&c->nodes, &at));)
		if (n->t == s->t && has_text(n->advertised, n->n_advertised, s->row.name) && s->row.n_hosts < SERVICE_HOSTS_MAX)
			TRY(add_id(&s->row.hosts, &s->row.n_hosts, n->row.id));
	return OK;
}

/* An IPv4 address that an administrator chose for a new service; IPv6 follows. */
static err chosen_address(struct tailnet *t, struct addr want, struct service_row *row, struct reply *r)
{
	char text[ADDR_TEXT_MAX];

	if (want.family != 4 || !t->set.v4.addr.family || !prefix_contains(t->set.v4, want) || address_is_reserved(t, want))
		reply_fail(r, ERR_INVALID, "%s cannot be a service's address: one IPv4 address of the tailnet's range is needed", addr_text(want, text));
	else if (map_get(&t->nodes_by_v4, &want) || service_has_addr(t, want))
		reply_fail(r, ERR_EXISTS, "%s is taken", addr_text(want, text));
	TRY(r->e);
	row->v4 = want;
	return t->set.v6.addr.family ? address_next_v6(t, want, &row->v6) : OK;
}

/* Tools send back what they read: what a service has stays, other addresses are refused. */
static err same_addresses(const struct service *s, const struct command *m, struct reply *r)
{
	for (size_t i = 0; i < m->n_addrs; i++)
		if (!addr_eq(m->addrs[i], s->row.v4) && !addr_eq(m->addrs[i], s->row.v6)) {
			reply_fail(r, ERR_INVALID, "the addresses of a service stay as they are; delete it to get others");
			return r->e;
		}
	return OK;
}

static err set(struct core *c, struct tailnet *t, const struct command *m, struct reply *r)
{
	const char *fault = fault_of(m);
	struct service *s = fault ? NULL : by_name(c, t, m->name);
	struct service_row row = { 0 };
	char label[GIVEN_NAME_MAX + 1] = { 0 };

	if (fault) {
		reply_fail(r, ERR_INVALID, "%s", fault);
		return r->e;
	}
	memcpy(label, m->name + 4, strlen(m->name + 4));
	if (!s && map_get(&t->nodes_by_name, label)) {
		reply_fail(r, ERR_EXISTS, "a node is called \"%s\" already", label);
		return r->e;
	}
	const char *reserved = s ? NULL : name_reserved(t, label);
	if (reserved) {
		reply_fail(r, ERR_EXISTS, "\"%s\" cannot be a service's name: %s", label, reserved);
		return r->e;
	}
	if (!s && t->map.n_services >= SERVICES_MAX) {
		reply_fail(r, ERR_TOO_BIG, "there may be %d services", SERVICES_MAX);
		return r->e;
	}
	if (s)
		TRY(same_addresses(s, m, r));
	err e = s ? service_row_copy(&s->row, &row) : OK;
	if (e == OK && s) { /* what was said anew replaces, addresses and hosts stay */
		struct service_row kept = { .id = row.id, .tailnet_id = row.tailnet_id, .v4 = row.v4, .v6 = row.v6, .approved = row.approved,
			.n_approved = row.n_approved, .hosts = row.hosts, .n_hosts = row.n_hosts, .created_ms = row.created_ms };
		row.approved = row.hosts = NULL;
		row.n_approved = row.n_hosts = 0;
		service_row_done(&row);
		row = kept;
		e = touch_service(c, s);
	} else if (e == OK) {
		row.tailnet_id = t->row.id;
		row.created_ms = c->now.wall_ms;
		e = next_id(c, &row.id);
		if (e == OK)
			e = m->n_addrs ? chosen_address(t, m->addrs[0], &row, r) : address_next(t, NULL, &row.v4, &row.v6);
		if (e == OK)
			e = touch_new_service(c, row.id);
	}
	int64_t id = row.id;
	if (e == OK)
		e = fill(&row, m);
	if (e == OK)
		e = service_put_memory(c, &row);
	service_row_done(&row);
	TRY(e);
	if (!s) {
		s = map_get(&c->services, &id);
		s->touched = c->tx;
		address_note(t, s->row.v4, s->row.v6);
		TRY(find_hosts(c, s));
	}
	return services_changed(c, t);
}

static err approve(struct core *c, struct tailnet *t, struct service *s, const struct command *m, struct reply *r)
{
	struct node *n = node_by_id(c, m->id);

	if (!n || n->t != t) {
		reply_fail(r, ERR_NOT_FOUND, "there is no node %lld", (long long)m->id);
		return r->e;
	}
	TRY(touch_service(c, s));
	bool has = has_id(s->row.approved, s->row.n_approved, m->id);
	if (m->disable && has)
		drop_id(s->row.approved, &s->row.n_approved, m->id);
	else if (!m->disable && !has && s->row.n_approved >= SERVICE_HOSTS_MAX)
		return ERR_TOO_BIG;
	else if (!m->disable && !has)
		TRY(add_id(&s->row.approved, &s->row.n_approved, m->id));
	t->services_dirty = t->flush = true;
	return routes_update(c, n);
}

static err delete(struct core *c, struct tailnet *t, struct service *s)
{
	TRY(touch_service(c, s));
	service_drop_memory(c, s->row.id);
	return services_changed(c, t);
}

/* ---- as JSON ---- */

static void write_texts(struct jsonw *w, const char *key, char *const *list, size_t n)
{
	jsonw_key_bytes(w, bytes_str(key)), jsonw_arr(w);
	for (size_t i = 0; i < n; i++)
		jsonw_str(w, list[i]);
	jsonw_arr_end(w);
}

static void write_host(struct core *c, struct jsonw *w, const struct service *s, const struct node *n)
{
	static const char *const level[] = { "not-approved", "approved:auto", "approved:manual" };
	bool serving = (s->row.v4.family && route_carrier(s->t, addr_prefix(s->row.v4)) == n->row.id) ||
		(s->row.v6.family && route_carrier(s->t, addr_prefix(s->row.v6)) == n->row.id);

	jsonw_obj(w);
	jsonw_key(w, "id"), jsonw_int(w, n->row.id);
	jsonw_key(w, "name"), jsonw_str(w, n->row.given_name);
	jsonw_key(w, "advertised"), jsonw_bool(w, has_id(s->row.hosts, s->row.n_hosts, n->row.id));
	jsonw_key(w, "approval"), jsonw_str(w, level[approval_of(c, s, n)]);
	jsonw_key(w, "serving"), jsonw_bool(w, serving);
	jsonw_obj_end(w);
}

static void write_service(struct core *c, struct jsonw *w, const struct service *s)
{
	char text[ADDR_TEXT_MAX];

	jsonw_obj(w);
	jsonw_key(w, "name"), jsonw_str(w, s->row.name);
	jsonw_key(w, "addrs"), jsonw_arr(w);
	if (s->row.v4.family)
		jsonw_str(w, addr_text(s->row.v4, text));
	if (s->row.v6.family)
		jsonw_str(w, addr_text(s->row.v6, text));
	jsonw_arr_end(w);
	jsonw_key(w, "comment"), jsonw_str(w, s->row.comment);
	jsonw_key(w, "annotations"), jsonw_raw(w, bytes_str(s->row.annotations));
	write_texts(w, "ports", s->row.ports, s->row.n_ports);
	write_texts(w, "tags", s->row.tags, s->row.n_tags);
	jsonw_key(w, "created"), jsonw_time(w, s->row.created_ms);
	jsonw_key(w, "hosts"), jsonw_arr(w);
	for (size_t i = 0; i < s->row.n_hosts + s->row.n_approved; i++) {
		bool second = i >= s->row.n_hosts;
		uint64_t id = 0;
		if (bytes_parse_u64(bytes_str(second ? s->row.approved[i - s->row.n_hosts] : s->row.hosts[i]), INT64_MAX, &id) != OK ||
				(second && has_id(s->row.hosts, s->row.n_hosts, (int64_t)id)))
			continue;
		struct node *n = node_by_id(c, (int64_t)id);
		if (n && n->t == s->t)
			write_host(c, w, s, n);
	}
	jsonw_arr_end(w);
	jsonw_obj_end(w);
}

static err answer(struct core *c, struct tailnet *t, const char *only, struct reply *r)
{
	struct buf out = buf_make(64 << 20);
	struct jsonw w = jsonw_init(&out);

	jsonw_obj(&w);
	jsonw_key(&w, "services"), jsonw_arr(&w);
	for (size_t i = 0; i < t->map.n_services; i++) {
		struct service *s = map_get(&c->services, &t->map.services[i].id);
		if (!only || strcmp(s->row.name, only) == 0)
			write_service(c, &w, s);
	}
	jsonw_arr_end(&w);
	jsonw_obj_end(&w);
	r->text = jsonw_ok(&w) ? arena_str(&r->arena, buf_view(&out)) : NULL;
	buf_done(&out);
	return r->text ? OK : ERR_NOMEM;
}

void on_command_service(struct core *c, const struct command *m, struct reply *r)
{
	struct tailnet *t = core_tailnet(c, m->tailnet_id);
	struct service *s = *m->name ? by_name(c, t, m->name) : NULL;

	if (m->kind == CMD_SERVICE_LIST && !*m->name) {
		r->e = answer(c, t, NULL, r);
		return;
	}
	if (!s && m->kind != CMD_SERVICE_SET) {
		reply_fail(r, ERR_NOT_FOUND, "there is no service \"%.80s\"", m->name);
		return;
	}
	if (m->kind == CMD_SERVICE_SET)
		r->e = set(c, t, m, r);
	else if (m->kind == CMD_SERVICE_APPROVE)
		r->e = approve(c, t, s, m, r);
	else if (m->kind == CMD_SERVICE_DELETE)
		r->e = delete(c, t, s);
	if (r->e == OK && m->kind != CMD_SERVICE_DELETE)
		r->e = answer(c, t, m->name, r);
}
