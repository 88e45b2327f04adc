#include "server/core/state.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/cleanup.h"
#include "common/text/json.h"

/* Attributes that postures ask for and no device reports: "custom:tier". Administrators set them, with a time at which they
 * end, and devices may set those of themselves that the setting node.own_attributes names. An attribute that ended stays in
 * the row until the next change of the list: what ends by the clock comes back when the clock is set right. */

enum { NAME_MAX_LEN = 64, VALUE_MAX = 256 };

static const char prefix[] = "custom:";

static bool is_name(const char *s)
{
	size_t n = strlen(s);

	if (strncmp(s, prefix, sizeof prefix - 1) != 0 || n < sizeof prefix || n > NAME_MAX_LEN)
		return false;
	for (const char *p = s + sizeof prefix - 1; *p; p++)
		if (!isalnum((unsigned char)*p) && *p != '_')
			return false;
	return true;
}

bool attrs_look(struct core *c, struct node *n)
{
	uint64_t over = 0;
	int64_t next = INT64_MAX;

	for (size_t i = 0; i < n->row.n_attrs; i++) {
		int64_t at = n->row.attrs[i].expires_ms;
		if (at && at <= c->now.wall_ms)
			over |= UINT64_C(1) << i;
		if (at) /* one that ended may hold again when the clock is set back */
			next = MIN_OF(next, at > c->now.wall_ms ? at - c->now.wall_ms : TIMER_STEP_MS);
	}
	if (next == INT64_MAX)
		timer_stop(&c->timers, &n->attrs);
	else
		timer_arm(&c->timers, &n->attrs, c->now.mono_ms + MIN_OF(next, (int64_t)TIMER_STEP_MS));
	bool changed = over != n->attrs_over;
	n->attrs_over = over;
	return changed;
}

void on_attrs_timer(struct core *c, struct timer *t)
{
	struct node *n = container_of(t, struct node, attrs);

	if (attrs_look(c, n) && node_classify(c, n) != OK) { /* tried again soon */
		n->attrs_over = ~n->attrs_over;
		timer_arm(&c->timers, t, c->now.mono_ms + 1000);
	}
}

/* ---- changes ---- */

/* A JSON text, number or bool. why: what is wrong. */
static err read_value(struct bytes json, struct arena *a, const char **value, char *type, const char **why)
{
	json_auto_t *v = NULL;
	struct json_error je;
	size_t n;

	*why = "a text, a number, true or false is needed";
	if (json_parse(json, 4 * VALUE_MAX, 1, &v, &je) != OK)
		return ERR_INVALID;
	if (json_is_string(v)) {
		*type = 's';
		*value = arena_str(a, bytes_str(json_string_value(v)));
	} else if (json_is_number(v)) {
		*type = 'n';
		*value = json_dump_compact(a, v, &n);
	} else if (json_is_boolean(v)) {
		*type = 'b';
		*value = json_is_true(v) ? "true" : "false";
	} else {
		return ERR_INVALID;
	}
	if (!*value)
		return ERR_NOMEM;
	*why = "the value may have 256 bytes without control characters";
	if (strlen(*value) > VALUE_MAX)
		return ERR_INVALID;
	for (const char *p = *value; *p; p++)
		if ((unsigned char)*p < ' ' || *p == 0x7f)
			return ERR_INVALID;
	return OK;
}

/* A fresh list without what ended and without name, with room for one more. */
static err rest_of(struct core *c, const struct node *n, const char *name, struct custom_attr **out, size_t *n_out)
{
	struct custom_attr *list = calloc(n->row.n_attrs + 1, sizeof *list);
	size_t k = 0;

	if (!list)
		return ERR_NOMEM;
	for (size_t i = 0; i < n->row.n_attrs; i++) {
		const struct custom_attr *a = &n->row.attrs[i];
		if (strcmp(a->name, name) == 0 || (a->expires_ms && a->expires_ms <= c->now.wall_ms))
			continue;
		list[k] = *a;
		list[k].name = strdup(a->name);
		list[k].value = strdup(a->value);
		if (!list[k].name || !list[k++].value) {
			custom_attrs_free(list, k);
			return ERR_NOMEM;
		}
	}
	*out = list;
	*n_out = k;
	return OK;
}

static err put_list(struct core *c, struct node *n, struct custom_attr *taken, size_t count)
{
	err e = touch_node(c, n);

	if (e != OK) {
		custom_attrs_free(taken, count);
		return e;
	}
	custom_attrs_free(n->row.attrs, n->row.n_attrs);
	n->row.attrs = taken;
	n->row.n_attrs = count;
	attrs_look(c, n);
	return node_classify(c, n);
}

/* value NULL: without it. why: static text, on ERR_INVALID. */
static err change(struct core *c, struct node *n, const char *name, const char *value, char type, int64_t expires_ms, const char **why)
{
	struct custom_attr *list;
	size_t k, at = 0;

	if (!is_name(name)) {
		*why = "attributes are called custom: and then letters, digits and _";
		return ERR_INVALID;
	}
	TRY(rest_of(c, n, name, &list, &k));
	if (!value)
		return put_list(c, n, list, k);
	if (k == NODE_ATTRS_MAX) {
		custom_attrs_free(list, k);
		*why = "the device has as many attributes as it may have";
		return ERR_INVALID;
	}
	while (at < k && strcmp(list[at].name, name) < 0)
		at++;
	memmove(&list[at + 1], &list[at], (k - at) * sizeof *list);
	list[at] = (struct custom_attr){ .name = strdup(name), .value = strdup(value), .type = type, .set_ms = c->now.wall_ms,
		.expires_ms = expires_ms };
	k++;
	if (!list[at].name || !list[at].value) {
		custom_attrs_free(list, k);
		return ERR_NOMEM;
	}
	return put_list(c, n, list, k);
}

static err change_one(struct core *c, struct node *n, const struct attr_change *x, struct reply *r)
{
	const char *value = NULL, *why = "";
	char type = 's';
	err e = OK;

	if (x->text && x->expires_ms && x->expires_ms <= c->now.wall_ms) {
		reply_fail(r, ERR_INVALID, "%.64s: the time at which it ends is over", x->name);
		return r->e;
	}
	if (x->text)
		e = read_value(bytes_str(x->text), &r->arena, &value, &type, &why);
	if (e == OK)
		e = change(c, n, x->name, value, type, x->expires_ms, &why);
	if (e == ERR_INVALID)
		reply_fail(r, e, "%.64s: %s", x->name, why);
	return e;
}

err attr_command(struct core *c, struct node *n, const struct command *m, struct reply *r)
{
	return change_one(c, n,
			&(struct attr_change){ .name = m->name, .text = m->kind == CMD_NODE_ATTR_SET ? m->text : NULL, .expires_ms = m->expires_ms }, r);
}

err attrs_patch(struct core *c, struct tailnet *t, const struct command *m, struct reply *r)
{
	for (size_t i = 0; i < m->n_attr_changes; i++) {
		const struct attr_change *x = &m->attr_changes[i];
		struct node *n = node_by_id(c, x->node_id);
		if (!n || n->t != t) {
			reply_fail(r, ERR_NOT_FOUND, "there is no node with id %lld", (long long)x->node_id);
			return r->e;
		}
		TRY(change_one(c, n, x, r));
	}
	return OK;
}

/* ---- PATCH /machine/set-device-attr ---- */

static bool may_set(const struct tailnet *t, const char *name)
{
	for (size_t i = 0; i < t->set.n_own_attributes; i++)
		if (strcmp(t->set.own_attributes[i], "*") == 0 || strcmp(t->set.own_attributes[i], name) == 0)
			return true;
	return false;
}

void on_set_device_attr(struct core *c, struct event *e, struct node *n)
{
	struct tailcfg_set_device_attr_request *q;
	struct json_why jw;
	char text[300];

	if (tailcfg_set_device_attr_request_parse(e->body, &e->arena, &q, &jw) != OK) {
		answer_http(c, e->call, 400, jw.text);
		return;
	}
	for (size_t i = 0; i < q->n_attrs; i++) {
		const char *value = NULL, *why = "";
		char type = 's';
		err er = OK;

		if (!may_set(n->t, q->attrs[i].name)) {
			core_abort(c);
			snprintf(text, sizeof text, "%.64s may not be set by devices themselves (setting node.own_attributes)\n", q->attrs[i].name);
			answer_http(c, e->call, 403, text);
			return;
		}
		if (q->attrs[i].value.n)
			er = read_value(q->attrs[i].value, &e->arena, &value, &type, &why);
		if (er == OK)
			er = change(c, n, q->attrs[i].name, value, type, 0, &why);
		if (er != OK) {
			core_abort(c);
			snprintf(text, sizeof text, "%.64s: %s\n", q->attrs[i].name, er == ERR_INVALID ? why : err_text(er));
			answer_http(c, e->call, er == ERR_INVALID ? 400 : 503, text);
			return;
		}
	}
	answer_http(c, e->call, 200, "{}\n");
}
