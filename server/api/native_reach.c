#include <ifaddrs.h>
#include <string.h>

#include "common/base/cleanup.h"
#include "server/api/handlers.h"
#include "server/api/native_policy.h"
#include "server/api/render.h"
#include "server/api/state.h"

/* /api/fairlead/v1/policy: questions, of the policy in force and of drafts. */

enum { SERVER_ADDRS_MAX = 16 };

bool may_see_devices(struct request *r)
{
	return scope_allows(r->may, SCOPE_READ(SCOPE_DEVICES_CORE));
}

static enum MHD_Result refuse_devices(struct request *r)
{
	return answer_error(r, 403, "this tells about devices: devices:core:read is needed, too");
}

enum MHD_Result on_policy_json(struct request *r, const struct reply *reply)
{
	FAIL_ON(r, reply);
	return answer_text(r, 200, "application/json", reply->text ? reply->text : "{}");
}

/* ---- where the console is ---- */

static bool is_inside(struct addr a)
{
	return a.family && addr_is_tailscale(a);
}

/* Of this machine, where it is a node itself. */
static size_t own_addrs(struct addr *out, size_t max)
{
	struct ifaddrs *all = NULL;
	size_t n = 0;

	if (getifaddrs(&all) != 0)
		return 0;
	for (struct ifaddrs *i = all; i && n < max; i = i->ifa_next) {
		struct addr a = { 0 };

		if (i->ifa_addr)
			a = addrport_from_sockaddr(i->ifa_addr).addr;
		if (is_inside(a))
			out[n++] = a;
	}
	freeifaddrs(all);
	return n;
}

/* Port and, when it is an address, host of server_url. */
static void look_at_url(const char *url, struct addr *host, uint16_t *port)
{
	bool tls = strncmp(url, "https://", 8) == 0;
	struct bytes rest = bytes_str(tls ? url + 8 : strncmp(url, "http://", 7) == 0 ? url + 7 : url), head = bytes_cut(rest, '/', &(struct bytes){ 0 });
	uint64_t given;

	*host = (struct addr){ 0 };
	*port = tls ? 443 : 80;
	if (head.n && head.p[0] == '[') {
		struct bytes after, inner = bytes_cut(bytes_skip(head, 1), ']', &after);

		if (addr_parse(inner, host) != OK)
			*host = (struct addr){ 0 };
		if (after.n > 1 && bytes_parse_u64(bytes_skip(after, 1), 65535, &given) == OK)
			*port = (uint16_t)given;
		return;
	}
	struct bytes after, name = bytes_cut(head, ':', &after);
	if (addr_parse(name, host) != OK)
		*host = (struct addr){ 0 };
	if (after.n && bytes_parse_u64(after, 65535, &given) == OK)
		*port = (uint16_t)given;
}

void take_console(struct request *r, struct command *c)
{
	struct addr *list = arena_array(&c->arena, SERVER_ADDRS_MAX + 1, sizeof *list), host;

	if (!list)
		return;
	c->n_addrs = own_addrs(list, SERVER_ADDRS_MAX);
	look_at_url(r->api->cfg.server_url ? r->api->cfg.server_url : "", &host, &c->console_port);
	c->console_inside = is_inside(host);
	if (c->console_inside)
		list[c->n_addrs++] = host;
	c->addrs = list;
}

/* ---- drafts ---- */

void take_draft(struct request *r, struct command *c)
{
	const char *text = body_text(r, "policy");

	c->has_text = text != NULL;
	c->text = command_str(c, text ? text : "");
}

/* {"policy", "base"} */
enum MHD_Result api_native_policy_preview(struct request *r)
{
	struct command *c = command_for(r, CMD_POLICY_PREVIEW);
	const char *text = body_text(r, "policy"), *base = body_id(r, "base");

	if (!text && !r->fault)
		r->fault = "policy: the text is missing";
	if (c) {
		take_draft(r, c);
		take_console(r, c);
		c->base = base ? parse_id(r, base, "base") : 0;
		c->hidden = !may_see_devices(r);
	}
	return ask(r, c, on_policy_json);
}

enum MHD_Result api_native_policy_format(struct request *r)
{
	struct command *c = command_for(r, CMD_POLICY_FORMAT);

	if (!body_text(r, "policy") && !r->fault)
		r->fault = "policy: the text is missing";
	if (c)
		take_draft(r, c);
	return ask(r, c, on_policy_json);
}

/* ---- questions ---- */

static enum MHD_Result ask_about(struct request *r, enum command_kind kind)
{
	struct command *c = may_see_devices(r) ? command_for(r, kind) : NULL;

	if (!may_see_devices(r))
		return refuse_devices(r);
	if (c) {
		c->name = command_str(c, query(r, "src"));
		c->new_name = command_str(c, query(r, "dst"));
	}
	return ask(r, c, on_policy_json);
}

enum MHD_Result api_native_policy_explain(struct request *r)
{
	return ask_about(r, CMD_POLICY_EXPLAIN);
}

enum MHD_Result api_native_policy_who(struct request *r)
{
	return ask_about(r, CMD_POLICY_WHO);
}

enum MHD_Result api_native_policy_what(struct request *r)
{
	return ask_about(r, CMD_POLICY_WHAT);
}

static const char *text_or(const char *text)
{
	return text ? text : "";
}

/* {"src", "dst", "user", "policy", "of", "direction", "ssh"}: what the question has use for. */
static enum MHD_Result ask_by_body(struct request *r, enum command_kind kind)
{
	struct command *c = may_see_devices(r) ? command_for(r, kind) : NULL;

	if (!may_see_devices(r))
		return refuse_devices(r);
	const char *src = text_or(body_text(r, kind == CMD_POLICY_GRAPH ? "of" : "src")), *dst = text_or(body_text(r, "dst"));
	const char *direction = text_or(body_text(r, "direction")), *user = text_or(body_text(r, "user"));
	if (*direction && strcmp(direction, "from") != 0 && strcmp(direction, "to") != 0 && !r->fault)
		r->fault = "direction: from or to";
	if (c) {
		take_draft(r, c);
		c->name = command_str(c, src);
		c->new_name = command_str(c, dst);
		c->user = command_str(c, user);
		c->ssh = body_bool(r, "ssh");
		c->towards = strcmp(direction, "to") == 0;
	}
	return ask(r, c, on_policy_json);
}

enum MHD_Result api_native_policy_explain_draft(struct request *r)
{
	return ask_by_body(r, CMD_POLICY_EXPLAIN);
}

enum MHD_Result api_native_policy_who_draft(struct request *r)
{
	return ask_by_body(r, CMD_POLICY_WHO);
}

enum MHD_Result api_native_policy_what_draft(struct request *r)
{
	return ask_by_body(r, CMD_POLICY_WHAT);
}

enum MHD_Result api_native_policy_ssh(struct request *r)
{
	return ask_by_body(r, CMD_POLICY_SSH);
}

enum MHD_Result api_native_policy_matrix(struct request *r)
{
	return ask_by_body(r, CMD_POLICY_MATRIX);
}

enum MHD_Result api_native_policy_graph(struct request *r)
{
	return ask_by_body(r, CMD_POLICY_GRAPH);
}
