#include "server/policy/rules.h"

#include <stdlib.h>

#include "common/base/cleanup.h"
#include "common/text/jsonw.h"

/* The SSH rules that a node is sent, and the same rules asked one question.
 *
 * A rule with localpart is written once for each user among its sources, each with its own name; the sources' own machines
 * take part as if they were named, too (the service does so: conformance/policy ssh-d2, ssh-e5). */

enum { SSH_TEXT_MAX = 16 << 20, LOCALPART_MAX = 64 };

/* The part before the @ where the address is in one of the rule's domains; n 0: it is not. */
static struct bytes localpart_of(const struct ssh_rule *r, const char *email)
{
	struct bytes domain, local = bytes_cut(bytes_str(email), '@', &domain);

	for (size_t i = 0; domain.p && i < r->n_localparts; i++)
		if (bytes_eq_nocase(domain, bytes_str(r->localpart[i])) && local.n && local.n <= LOCALPART_MAX)
			return local;
	return (struct bytes){ 0 };
}

bool ssh_is_dst(const struct policy_class *c, const struct ssh_rule *r)
{
	for (size_t i = 0; i < r->n_dst; i++)
		if (class_has(c->by_who, c->n_who, r->dst[i]))
			return true;
	return false;
}

/* ---- as JSON ---- */

static void write_recorders(struct policy_view *v, const struct ssh_rule *r, struct jsonw *w)
{
	struct sel_set s = { .sel = r->recorder, .n = r->n_recorders };
	char text[ADDRPORT_TEXT_MAX];
	size_t n;
	CLEANUP(freep) struct view_node **list = view_members(v, &s, 0, &n);

	if (!r->n_recorders || !list)
		return;
	jsonw_key(w, "recorders"), jsonw_arr(w);
	for (size_t i = 0; i < n; i++) {
		if (list[i]->v4.family)
			jsonw_str(w, addrport_text((struct addrport){ list[i]->v4, 80 }, text));
		if (list[i]->v6.family)
			jsonw_str(w, addrport_text((struct addrport){ list[i]->v6, 80 }, text));
	}
	jsonw_arr_end(w);
	if (!r->enforce_recorder)
		return;
	jsonw_key(w, "onRecordingFailure"), jsonw_obj(w);
	jsonw_key(w, "RejectSessionWithMessage"), jsonw_str(w, "the session cannot be recorded, and the policy asks for it");
	jsonw_key(w, "TerminateSessionWithMessage"), jsonw_str(w, "the recording has stopped, and the policy asks for it");
	jsonw_obj_end(w);
}

static void write_accept(struct policy_view *v, const struct ssh_rule *r, struct jsonw *w)
{
	jsonw_key(w, "accept"), jsonw_bool(w, true);
	jsonw_key(w, "allowAgentForwarding"), jsonw_bool(w, true);
	jsonw_key(w, "allowLocalPortForwarding"), jsonw_bool(w, true);
	jsonw_key(w, "allowRemotePortForwarding"), jsonw_bool(w, true);
	write_recorders(v, r, w);
}

static void write_action(struct policy_view *v, const struct ssh_rule *r, struct jsonw *w)
{
	jsonw_key(w, "action"), jsonw_obj(w);
	if (r->check) {
		/* the client puts the IDs and the user in, and asks there (control.md 4.8) */
		jsonw_key(w, "holdAndDelegate");
		jsonw_str(w, "https://unused/machine/ssh/action/$SRC_NODE_ID/to/$DST_NODE_ID?local_user=$LOCAL_USER");
	} else {
		write_accept(v, r, w);
	}
	jsonw_obj_end(w);
}

static void write_principal(struct jsonw *w, struct addr a)
{
	char text[ADDR_TEXT_MAX];

	if (!a.family)
		return;
	jsonw_obj(w);
	jsonw_key(w, "nodeIP"), jsonw_str(w, addr_text(a, text));
	jsonw_obj_end(w);
}

static void write_users(const struct ssh_rule *r, struct jsonw *w)
{
	if (r->nonroot)
		jsonw_key(w, "*"), jsonw_str(w, "=");
	jsonw_key(w, "root"), jsonw_str(w, r->root ? "root" : "");
	for (size_t i = 0; i < r->n_users; i++) {
		bool again = false;

		for (size_t k = 0; k < i && !again; k++)
			again = strcmp(r->user[k], r->user[i]) == 0;
		if (again)
			continue;
		jsonw_key_bytes(w, bytes_str(r->user[i]));
		jsonw_str(w, r->user[i]);
	}
}

/* local: instead of the rule's users this one; n 0: the rule's. */
static void write_rule(struct policy_view *v, const struct ssh_rule *r, struct view_node *const *who, size_t n, struct bytes local,
		       struct jsonw *w)
{
	if (!n)
		return;
	jsonw_obj(w);
	jsonw_key(w, "principals"), jsonw_arr(w);
	for (size_t i = 0; i < n; i++) {
		write_principal(w, who[i]->v4);
		write_principal(w, who[i]->v6);
	}
	jsonw_arr_end(w);
	jsonw_key(w, "sshUsers"), jsonw_obj(w);
	if (local.n) {
		jsonw_key_bytes(w, local);
		jsonw_bytes(w, local);
	} else {
		write_users(r, w);
	}
	jsonw_obj_end(w);
	write_action(v, r, w);
	if (r->n_env) {
		jsonw_key(w, "acceptEnv"), jsonw_arr(w);
		for (size_t i = 0; i < r->n_env; i++)
			jsonw_str(w, r->env[i]);
		jsonw_arr_end(w);
	}
	jsonw_obj_end(w);
}

static int by_user(const void *a, const void *b)
{
	const struct view_node *const *x = a, *const *y = b;

	if (!(*x)->user_id != !(*y)->user_id)
		return !(*x)->user_id - !(*y)->user_id; /* tagged ones last */
	if ((*x)->user_id != (*y)->user_id)
		return ((*x)->user_id > (*y)->user_id) - ((*x)->user_id < (*y)->user_id);
	return ((*x)->id > (*y)->id) - ((*x)->id < (*y)->id);
}

/* One rule for each user, then one with the user's own name. only: of this node alone, when a source is tagged. */
static void write_by_user(struct policy_view *v, const struct ssh_rule *r, struct view_node **who, size_t n, struct jsonw *w)
{
	if (n)
		qsort(who, n, sizeof(struct view_node *), by_user);
	for (size_t i = 0, end; i < n; i = end) {
		for (end = i + 1; end < n && who[end]->user_id == who[i]->user_id;)
			end++;
		write_rule(v, r, who + i, end - i, (struct bytes){ 0 }, w);
		struct bytes local = localpart_of(r, who[i]->email);
		if (local.n)
			write_rule(v, r, who + i, end - i, local, w);
	}
}

/* Those of the list that share the node's user; of a tagged node itself alone. */
static size_t keep_own(const struct view_node *node, struct view_node **list, size_t n)
{
	size_t k = 0;

	for (size_t i = 0; i < n; i++)
		if (node->user_id ? list[i]->user_id == node->user_id : list[i]->id == node->id)
			list[k++] = list[i];
	return k;
}

static void write_for(struct policy_view *v, const struct view_node *node, const struct ssh_rule *r, struct jsonw *w)
{
	const struct policy_class *c = v->cls[node->cls];
	bool dst = ssh_is_dst(c, r), own = (r->self && node->user_id) || (r->n_localparts && class_in_set(v, c, &v->p->set[r->src]));
	size_t n;

	if (!dst && !own)
		return;
	CLEANUP(freep) struct view_node **who = view_members(v, &v->p->set[r->src], 0, &n);
	if (!who) {
		w->out->bad = true;
		return;
	}
	if (!dst)
		n = keep_own(node, who, n);
	if (r->n_localparts)
		write_by_user(v, r, who, n, w);
	else
		write_rule(v, r, who, n, (struct bytes){ 0 }, w);
}

struct bytes policy_view_ssh(struct policy_view *v, int64_t node_id)
{
	const struct policy *p = v->p;
	struct view_node *node = map_get(&v->by_id, &node_id);

	if (!node || !p->has_ssh)
		return (struct bytes){ 0 };
	struct policy_class *c = v->cls[node->cls];
	bool shared = c->user_id || !p->needs_user; /* else a tagged node's own rules differ from its neighbour's */
	struct bytes *kept = shared ? &c->ssh : &node->ssh;
	uint64_t *gen = shared ? &c->ssh_gen : &node->ssh_gen;
	if (kept->p && *gen == v->ssh_gen)
		return *kept;
	struct buf out = buf_make(SSH_TEXT_MAX);
	struct jsonw w = jsonw_init(&out);
	jsonw_obj(&w);
	jsonw_key(&w, "rules"), jsonw_arr(&w);
	for (int check = 1; check >= 0; check--) /* the stricter first: the first that fits decides */
		for (size_t i = 0; i < p->n_ssh; i++)
			if (p->ssh[i].check == (bool)check)
				write_for(v, node, &p->ssh[i], &w);
	jsonw_arr_end(&w);
	jsonw_obj_end(&w);
	free((void *)(uintptr_t)kept->p);
	*kept = out.bad ? (struct bytes){ 0 } : bytes_of(bytes_dup(buf_view(&out)), buf_len(&out));
	*gen = v->ssh_gen;
	buf_done(&out);
	return kept->p ? *kept : (struct bytes){ 0 };
}

/* ---- one question ---- */

static bool allows_user(const struct ssh_rule *r, const char *user, const char *email)
{
	struct bytes local = localpart_of(r, email);

	if (strcmp(user, "root") == 0)
		return r->root;
	for (size_t i = 0; i < r->n_users; i++)
		if (strcmp(r->user[i], user) == 0)
			return true;
	return r->nonroot || (local.n && bytes_eq_str(local, user));
}

bool ssh_fits(const struct policy_view *v, const struct ssh_rule *r, const struct view_node *src, const struct view_node *dst)
{
	if (!class_in_set(v, v->cls[src->cls], &v->p->set[r->src]))
		return false;
	if (ssh_is_dst(v->cls[dst->cls], r))
		return true;
	return (r->self || r->n_localparts) && (src->user_id ? src->user_id == dst->user_id : r->n_localparts && src == dst);
}

static const struct ssh_rule *rule_for(struct policy_view *v, int64_t src_id, int64_t dst_id, const char *user)
{
	const struct view_node *src = map_get(&v->by_id, &src_id), *dst = map_get(&v->by_id, &dst_id);

	for (int check = 1; src && dst && check >= 0; check--)
		for (size_t i = 0; i < v->p->n_ssh; i++) {
			const struct ssh_rule *r = &v->p->ssh[i];

			if (r->check != (bool)check || !ssh_fits(v, r, src, dst) || !allows_user(r, user, src->email))
				continue;
			return r;
		}
	return NULL;
}

enum policy_ssh policy_view_ssh_action(struct policy_view *v, int64_t src, int64_t dst, const char *user, int64_t *period_ms)
{
	const struct ssh_rule *r = rule_for(v, src, dst, user);

	if (!r)
		return POLICY_SSH_NO;
	*period_ms = r->period_ms;
	return r->check ? POLICY_SSH_CHECK : POLICY_SSH_ACCEPT;
}

void policy_view_ssh_accept(struct policy_view *v, int64_t src, int64_t dst, const char *user, struct buf *out)
{
	const struct ssh_rule *r = rule_for(v, src, dst, user);
	struct jsonw w = jsonw_init(out);

	if (!r) {
		out->bad = true;
		return;
	}
	jsonw_obj(&w);
	write_accept(v, r, &w);
	jsonw_obj_end(&w);
}
