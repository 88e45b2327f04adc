#include <stdlib.h>
#include <string.h>

#include "common/base/cleanup.h"
#include "common/base/clock.h"
#include "server/api/v2.h"

#define IDLE_MS (28LL * 24 * 3600 * 1000)

struct people {
	const struct user_row *users; /* in the request's arena */
	size_t n;
	bool one;
};

struct seen { /* of a user's devices */
	size_t devices;
	bool connected;
	int64_t last_ms;
};

static struct seen look_at(const struct reply *nodes, int64_t user_id)
{
	struct seen s = { 0 };

	for (size_t i = 0; i < nodes->n_nodes; i++) {
		const struct node_info *n = nodes->nodes[i];
		if (n->row.user_id != user_id)
			continue;
		s.devices++;
		s.connected |= n->online;
		s.last_ms = MAX_OF(s.last_ms, n->row.last_seen_ms);
	}
	return s;
}

static void render(struct jsonw *w, const struct user_row *u, const struct seen *s, int64_t now_ms)
{
	bool idle = !s->connected && s->last_ms && now_ms - s->last_ms > IDLE_MS;

	jsonw_obj(w);
	jsonw_key(w, "id"), render_id(w, u->id);
	jsonw_key(w, "displayName"), jsonw_str(w, u->display_name && *u->display_name ? u->display_name : u->name);
	jsonw_key(w, "loginName"), jsonw_str(w, u->email && *u->email ? u->email : u->name);
	jsonw_key(w, "profilePicUrl"), jsonw_str(w, u->picture_url);
	jsonw_key(w, "tailnetId"), render_id(w, u->tailnet_id);
	jsonw_key(w, "created"), jsonw_time(w, u->created_ms);
	jsonw_key(w, "type"), jsonw_str(w, "member");
	jsonw_key(w, "role"), jsonw_str(w, user_role_text(u->role));
	jsonw_key(w, "status"), jsonw_str(w, u->suspended_ms ? "suspended" : u->waits_ms ? "needs-approval" : idle ? "idle" : "active");
	jsonw_key(w, "deviceCount"), jsonw_uint(w, s->devices);
	if (s->last_ms)
		jsonw_key(w, "lastSeen"), jsonw_time(w, s->last_ms);
	jsonw_key(w, "currentlyConnected"), jsonw_bool(w, s->connected);
	jsonw_obj_end(w);
}

static enum MHD_Result on_nodes(struct request *r, const struct reply *reply)
{
	const struct people *p = r->keep;
	const char *type = query(r, "type"), *role = query(r, "role");

	FAIL_ON(r, reply);
	struct buf out = buf_make(API_ANSWER_MAX);
	struct jsonw w = jsonw_init(&out);
	if (!p->one) {
		jsonw_obj(&w);
		jsonw_key(&w, "users"), jsonw_arr(&w);
	}
	for (size_t i = 0; i < p->n; i++) {
		const struct user_row *u = &p->users[i];
		if (!p->one && (strcmp(type, "shared") == 0 || (*role && strcmp(role, "all") != 0 && strcmp(role, user_role_text(u->role)) != 0)))
			continue;
		struct seen s = look_at(reply, u->id);
		render(&w, u, &s, clock_wall_ms());
	}
	if (p->one)
		return answer_json(r, 200, &out);
	jsonw_arr_end(&w);
	return answer_end(r, &w, &out);
}

static enum MHD_Result on_people(struct request *r, const struct reply *reply)
{
	struct people *p = r->keep;

	FAIL_ON(r, reply);
	if (p->one && !reply->n_users)
		return answer_error(r, 404, "user not found");
	struct user_row *copy = arena_array(&r->arena, reply->n_users + 1, sizeof *copy);
	for (size_t i = 0; copy && i < reply->n_users; i++) {
		copy[i] = reply->users[i];
		copy[i].name = arena_str(&r->arena, bytes_str(copy[i].name));
		copy[i].display_name = arena_str(&r->arena, bytes_str(copy[i].display_name));
		copy[i].email = arena_str(&r->arena, bytes_str(copy[i].email));
		copy[i].picture_url = arena_str(&r->arena, bytes_str(copy[i].picture_url));
		if (!copy[i].name || !copy[i].display_name || !copy[i].email || !copy[i].picture_url)
			copy = NULL;
	}
	if (!copy)
		return answer_error(r, 500, "out of memory");
	p->users = copy;
	p->n = reply->n_users;
	return ask(r, command_for(r, CMD_NODE_LIST), on_nodes);
}

static bool is_one_of(const char *text, const char *const *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(text, list[i]) == 0)
			return true;
	return !*text;
}

enum MHD_Result api_v2_users(struct request *r)
{
	static const char *const types[] = { "member", "shared", "all" };
	static const char *const roles[] = { "owner", "member", "admin", "it-admin", "network-admin", "billing-admin", "auditor", "all" };

	if (!is_one_of(query(r, "type"), types, ARRAY_LEN(types)) || !is_one_of(query(r, "role"), roles, ARRAY_LEN(roles)))
		return answer_error(r, 400, "type: member, shared or all; role: a role, or all");
	r->keep = arena_alloc(&r->arena, sizeof(struct people));
	return r->keep ? ask(r, command_for(r, CMD_USER_LIST), on_people) : answer_error(r, 500, "out of memory");
}

static struct command *for_user(struct request *r, enum command_kind kind)
{
	return v2_command(r, kind, 0, "user");
}

enum MHD_Result api_v2_user(struct request *r)
{
	struct people *p = arena_alloc(&r->arena, sizeof *p);

	if (!p)
		return answer_error(r, 500, "out of memory");
	p->one = true;
	r->keep = p;
	return ask(r, for_user(r, CMD_USER_LIST), on_people);
}

/* Nobody acts on the own account by accident. */
static enum MHD_Result act(struct request *r, struct command *c)
{
	if (c && r->key_user && c->id == r->key_user) {
		command_free(c);
		return answer_error(r, 403, "a user cannot do this to the own account");
	}
	return ask(r, c, on_done);
}

enum MHD_Result api_v2_user_role(struct request *r)
{
	struct command *c = for_user(r, CMD_USER_ROLE);
	const char *role = body_text(r, "role");

	if (c)
		c->role = command_str(c, role ? role : "");
	if (role && strcmp(role, "owner") == 0 && !r->fault)
		r->fault = "role: the owner is changed on the server, with fairlead users role";
	return act(r, c);
}

enum MHD_Result api_v2_user_suspend(struct request *r)
{
	return act(r, for_user(r, CMD_USER_SUSPEND));
}

enum MHD_Result api_v2_user_restore(struct request *r)
{
	return act(r, for_user(r, CMD_USER_RESTORE));
}

enum MHD_Result api_v2_user_approve(struct request *r)
{
	return act(r, for_user(r, CMD_USER_APPROVE));
}

/* With all devices, as Tailscale does it. */
enum MHD_Result api_v2_user_delete(struct request *r)
{
	struct command *c = for_user(r, CMD_USER_DELETE);

	if (c)
		c->with_nodes = true;
	return act(r, c);
}
