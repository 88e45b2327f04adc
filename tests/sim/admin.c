#include <stdio.h>
#include <stdlib.h>

#include "common/base/cleanup.h"
#include "tests/sim/world.h"

#define PICK(w, list) ((list)[chance((w), ARRAY_LEN(list))])

static const char *const user_names[] = { "ann", "bob", "cleo", "dan", "Ann", "eve@example.com", "no spaces please", "", "x/y" };
static const char *const attr_names[] = { "custom:tier", "custom:tier", "custom:score", "node:os", "custom:" };
static const char *const attr_values[] = { "\"gold\"", "\"silver\"", "7", "true", "null", "[]" };
static const char *const role_names[] = { "owner", "admin", "network-admin", "it-admin", "auditor", "billing-admin", "member", "king" };
static const char *const tag_names[] = { "tag:web", "tag:db", "tag:unknown", "no-tag" };
static const char *const node_names[] = { "web", "db", "web-1", "gateway", "UPPER", "-bad-", "ann-laptop", "node" };
static const char *const route_texts[] = { "10.1.0.0/16", "10.2.0.0/16", "0.0.0.0/0", "::/0", "fd00:1::/48", "10.1.2.3/16", "100.64.7.0/24", "128.0.0.0/1" };

static const char *const settings[][3] = { { "taildrop.enabled", "false", "true" }, { "devices_approval", "true", "false" }, { "users_approval", "true", "true" }, { "users_approval", "true", "false" },
	{ "node.own_attributes", "custom:self", "*" }, { "node.expiry", "1h", "0s" },
	{ "randomize_client_port", "true", "maybe" }, { "node.ephemeral.inactivity_timeout", "70s", "1s" },
	{ "dns.magic_dns", "false", "true" }, { "dns.override_local_dns", "true", "false" }, { "dns.base_domain", "other.example", "-bad-" },
	{ "dns.nameservers.global", "1.1.1.1, 2606:4700:4700::1111", "nonsense" }, { "dns.nameservers.global", "", "https://dns.example/q" },
	{ "dns.nameservers.split", "{\"corp.example\":[\"10.0.0.53\"],\"lab.example\":[]}", "[]" },
	{ "dns.search_domains", "corp.example,lab.example", "tail.example.com" }, { "dns.use_with_exit_node", "true", "false" },
	{ "dns.use_with_exit_node", "[\"10.0.0.53\",\"1.1.1.1\"]", "[\"perhaps\"]" },
	{ "dns.exit_node_filtered", ".corp.example", "UPPER" }, { "dns.extra_records", "[]", "[{\"name\":\"c.example\",\"value\":\"::1\"}]" },
	{ "node.routes.ha.probe_interval", "3s", "0s" }, { "no.such", "1", "2" } };

#define OWNERS "\"tagOwners\": {\"tag:web\": [\"ann@\", \"bob@\"], \"tag:db\": [\"ann@\"]}"
static const char *const policies[] = {
	"",
	"{" OWNERS "}",
	"{" OWNERS ", \"acls\": [{\"action\": \"accept\", \"src\": [\"*\"], \"dst\": [\"*:*\"]}]}",
	"{" OWNERS ", \"acls\": []}",
	"{" OWNERS ", \"acls\": [{\"action\": \"accept\", \"src\": [\"autogroup:member\"], \"dst\": [\"autogroup:self:*\"]}]}",
	"{" OWNERS ", \"acls\": [{\"action\": \"accept\", \"src\": [\"ann@\"], \"dst\": [\"*:*\"]}]}",
	"{" OWNERS ", \"acls\": [{\"action\": \"accept\", \"src\": [\"bob@\", \"tag:web\"], \"dst\": [\"tag:db:5432\", \"ann@:22\"]},"
		" {\"action\": \"accept\", \"src\": [\"tag:db\"], \"dst\": [\"10.1.0.0/16:*\"]}]}",
	"{" OWNERS ", \"groups\": {\"group:ops\": [\"ann@\", \"cleo@\"]},"
		" \"acls\": [{\"action\": \"accept\", \"src\": [\"group:ops\"], \"dst\": [\"tag:web:80,443\", \"group:ops:*\"]}]}",
	"{" OWNERS ", \"hosts\": {\"gw\": \"100.64.0.2\"}, \"acls\": [{\"action\": \"accept\", \"src\": [\"100.64.0.3\", \"tag:web\"],"
		" \"dst\": [\"gw:*\", \"10.2.0.0/16:443\"]}]}",
	"{" OWNERS ", \"autoApprovers\": {\"routes\": {\"10.0.0.0/8\": [\"ann@\", \"tag:web\"]}, \"exitNode\": [\"bob@\"]},"
		" \"acls\": [{\"action\": \"accept\", \"src\": [\"*\"], \"dst\": [\"10.1.0.0/16:*\", \"autogroup:internet:*\", \"ann@:*\"]}]}",
	/* Routes that some see and others do not, and one that a policy steers through another router than the elected one. */
	"{" OWNERS ", \"autoApprovers\": {\"routes\": {\"10.0.0.0/8\": [\"*\"]}, \"exitNode\": [\"*\"]},"
		" \"acls\": [{\"action\": \"accept\", \"src\": [\"ann@\"], \"dst\": [\"10.1.0.0/16:*\", \"autogroup:internet:*\"]},"
		" {\"action\": \"accept\", \"src\": [\"*\"], \"dst\": [\"autogroup:member:*\", \"tag:web:*\"]}]}",
	"{" OWNERS ", \"autoApprovers\": {\"routes\": {\"10.0.0.0/8\": [\"*\"]}},"
		" \"grants\": [{\"src\": [\"*\"], \"dst\": [\"*\"], \"ip\": [\"22\"]},"
		" {\"src\": [\"bob@\", \"tag:db\"], \"dst\": [\"10.1.0.0/16\"], \"ip\": [\"*\"], \"via\": [\"tag:web\"]}]}",
	"{" OWNERS ", \"acls\": [{\"action\": \"accept\", \"src\": [\"*\"], \"dst\": [\"*:*\"]}],"
		" \"nodeAttrs\": [{\"target\": [\"bob@\"], \"attr\": [\"disable-ipv4\"]}]}",
	"{" OWNERS ", \"postures\": {\"posture:gold\": [\"custom:tier == 'gold'\"]}, \"acls\": [{\"action\": \"accept\", \"src\": [\"*\"],"
		" \"srcPosture\": [\"posture:gold\"], \"dst\": [\"*:*\"]}]}",
	"{" OWNERS ", \"acls\": [{\"action\": \"accept\", \"src\": [\"autogroup:admin\"], \"dst\": [\"*:*\"]}]}",
	/* capabilities, also back; postures; SSH with check, localpart and self; attributes; IPv6 only */
	"{" OWNERS ", \"grants\": [{\"src\": [\"autogroup:member\"], \"dst\": [\"tag:web\", \"tag:db\"], \"ip\": [\"tcp:443\"],"
		" \"app\": {\"example.com/cap/x\": [{\"n\": 1}], \"tailscale.com/cap/drive\": [{}]}},"
		" {\"src\": [\"*\"], \"dst\": [\"10.1.0.0/16\"], \"ip\": [\"*\"], \"via\": [\"tag:web\"]}]}",
	"{" OWNERS ", \"postures\": {\"posture:new\": [\"node:tsVersion >= '1.80'\", \"node:os == 'linux'\"]}, \"defaultSrcPosture\": [\"posture:new\"],"
		" \"acls\": [{\"action\": \"accept\", \"src\": [\"*\"], \"dst\": [\"*:*\"]}]}",
	"{" OWNERS ", \"acls\": [{\"action\": \"accept\", \"src\": [\"*\"], \"dst\": [\"*:22\"]}],"
		" \"ssh\": [{\"action\": \"check\", \"src\": [\"ann@\", \"tag:db\"], \"dst\": [\"tag:web\"], \"users\": [\"root\", \"autogroup:nonroot\"]},"
		" {\"action\": \"accept\", \"src\": [\"autogroup:member\"], \"dst\": [\"autogroup:self\"], \"users\": [\"autogroup:nonroot\"]}]}",
	"{" OWNERS ", \"nodeAttrs\": [{\"target\": [\"tag:web\", \"bob@\"], \"attr\": [\"funnel\", \"disable-ipv4\"]}, {\"target\": [\"*\"],"
		" \"attr\": [\"nextdns:abc\"], \"app\": {\"tailscale.com/app-connectors\": [{\"name\": \"x\", \"domains\": [\"example.com\"]}]}}],"
		" \"randomizeClientPort\": true}",
	"{" OWNERS ", \"nodeAttrs\": [{\"target\": [\"*\"], \"app\": {\"tailscale.com/app-connectors\": ["
		"{\"name\": \"x\", \"domains\": [\"*.Example.com\", \"b.test\", \"example.com\"], \"connectors\": [\"tag:web\", \"tag:db\"]},"
		" {\"name\": \"y\", \"domains\": [\"b.test\", \"c.test\"], \"connectors\": [\"*\"]}]}}],"
		" \"acls\": [{\"action\": \"accept\", \"src\": [\"ann@\", \"tag:db\"], \"dst\": [\"autogroup:internet:*\"]},"
		" {\"action\": \"accept\", \"src\": [\"bob@\"], \"dst\": [\"autogroup:internet:443\", \"tag:web:*\"]},"
		" {\"action\": \"accept\", \"src\": [\"cleo@\"], \"dst\": [\"*:53\"]}]}",
	"{" OWNERS ", \"nodeAttrs\": [{\"target\": [\"tag:web\"], \"app\": {\"tailscale.com/app-connectors\": ["
		"{\"name\": \"x\", \"domains\": [\"example.com\"], \"connectors\": [\"tag:web\"]}]}}]}",
	"{" OWNERS ", \"extraDNSRecords\": [{\"Name\": \"nas.example.\", \"Value\": \"100.64.0.9\"}, {\"name\": \"NAS.example\", \"type\": \"AAAA\", \"value\": \"fd00::1\"}]}",
	"{" OWNERS ", \"disableIPv4\": true, \"OneCGNATRoute\": \"mac-never\"}",
	"{" OWNERS ", \"hosts\": {\"lan\": \"10.1.0.0/16\"}, \"ipsets\": {\"ipset:a\": [\"host:lan\", \"remove 10.1.2.0/24\", \"100.64.0.0/28\"]},"
		" \"acls\": [{\"action\": \"accept\", \"src\": [\"autogroup:tagged\", \"ipset:a\"], \"dst\": [\"ipset:a:*\", \"autogroup:tagged:22\"]},"
		" {\"action\": \"accept\", \"src\": [\"autogroup:owner\", \"autogroup:admin\"], \"dst\": [\"*:*\"]}]}",
	"{" OWNERS ", \"acls\": [{\"action\": \"accept\", \"src\": [\"ann@\"], \"dst\": [\"tag:web:80\"]}],"
		" \"tests\": [{\"src\": \"ann@\", \"accept\": [\"tag:web:80\"], \"deny\": [\"tag:web:81\"]}]}",
	"{" OWNERS ", \"grants\": [{\"src\": [\"ann@\"], \"dst\": [\"svc:a\"], \"ip\": [\"*\"]}, {\"src\": [\"bob@\"], \"dst\": [\"svc:b\", \"tag:web\"], \"ip\": [\"*\"]}],"
		" \"autoApprovers\": {\"services\": {\"svc:a\": [\"bob@\", \"tag:web\"]}}}",
	"{\"acls\": [{\"action\": \"maybe\"}]}",
	"{ not json",
	"{\"acls\": [{\"action\": \"accept\", \"src\": [\"tag:nobody-owns\"], \"dst\": [\"*:*\"]}]}",
};

/* ---- answers ---- */

static void note_id(int64_t *list, size_t cap, size_t *n, int64_t id)
{
	list[(*n)++ % cap] = id;
}

static void on_answer(struct sim_call *c, struct reply *r)
{
	struct world *w = c->w;

	for (size_t i = 0; i < r->n_users; i++)
		note_id(w->users, ARRAY_LEN(w->users), &w->n_users, r->users[i].id);
	for (size_t i = 0; i < r->n_nodes; i++)
		note_id(w->nodes, ARRAY_LEN(w->nodes), &w->n_nodes, r->nodes[i]->row.id);
	if (r->e != OK) {
		world_say(w, "admin command %d: %s", c->kind, r->message);
		if (r->secret)
			world_fail(w, "a failed command shows a secret");
		return;
	}
	if (c->kind == CMD_AUTHKEY_CREATE) {
		if (!r->secret || strlen(r->secret) >= sizeof w->keys[0])
			world_fail(w, "a new key without a text");
		snprintf(w->keys[w->n_keys < 256 ? w->n_keys++ : chance(w, 256)], sizeof w->keys[0], "%s", r->secret);
		bool there = false;
		for (size_t i = 0; i < w->db.n_authkeys; i++)
			there |= w->db.authkeys[i].id == r->authkeys[0].id;
		if (!there && map_get(&w->core->authkeys, &r->authkeys[0].id))
			world_fail(w, "an auth key was shown before it was durable");
	}
}

static void ask(struct world *w, struct command *m)
{
	struct sim_call *c = world_call(w, NULL, on_answer);
	struct event *e = event_new(EV_COMMAND);

	c->kind = (int)m->kind;
	c->id = m->id;
	m->actor = "sim";
	e->command = m;
	e->call = &c->call;
	world_apply(w, e);
}

/* ---- commands ---- */

static char *text(struct command *m, const char *s)
{
	return arena_str(&m->arena, bytes_str(s));
}

static int64_t some_node(struct world *w)
{
	struct node *n;
	size_t at = 0, k = w->core->nodes.n ? chance(w, w->core->nodes.n) : 0;

	if (one_in(w, 20))
		return (int64_t)chance(w, 1000);
	/* By id, so that the table's order does not matter. */
	int64_t best = 0;
	for (size_t i = 0; i <= k; i++) {
		int64_t next = 0;
		at = 0;
		while ((n = map_next(&w->core->nodes, &at)))
			if (n->row.id > best && (!next || n->row.id < next))
				next = n->row.id;
		if (next)
			best = next;
	}
	return best;
}

static int64_t some_user(struct world *w)
{
	return w->n_users ? w->users[chance(w, MIN_OF(w->n_users, ARRAY_LEN(w->users)))] : 1;
}

static void set_tags(struct world *w, struct command *m)
{
	const char **tags = arena_array(&m->arena, 2, sizeof(*tags));

	m->n_tags = chance(w, 3);
	for (size_t i = 0; i < m->n_tags; i++)
		tags[i] = PICK(w, tag_names);
	m->tags = tags;
}

static void set_routes(struct world *w, struct command *m)
{
	struct prefix *list = arena_array(&m->arena, 4, sizeof *list);

	m->n_routes = chance(w, 4);
	for (size_t i = 0; i < m->n_routes; i++)
		if (prefix_parse(bytes_str(PICK(w, route_texts)), &list[i]) != OK)
			abort();
	m->routes = list;
}

static const char *const asked[] = { "ann", "bob@", "tag:web", "tag:db:5432", "100.64.0.3", "10.1.2.3:22/tcp", "autogroup:member", "*", "web", "nobody" };

static int64_t some_version(struct world *w)
{
	struct tailnet *t = w->core->tailnets[0];

	return t->n_versions && !one_in(w, 10) ? t->versions[chance(w, t->n_versions)]->row.version : (int64_t)chance(w, 5);
}

static void set_records(struct world *w, struct command *m)
{
	static const char *const records[] = { "[]", "[{\"name\":\"a.example.com\",\"type\":\"A\",\"value\":\"100.64.0.9\"}]",
		"[{\"name\":\"a.example.com\",\"type\":\"A\",\"value\":\"100.64.0.9\"},"
		"{\"name\":\"b.example.com\",\"type\":\"AAAA\",\"value\":\"fd7a:115c:a1e0::9\"}]",
		"[{\"name\":\"\",\"type\":\"A\",\"value\":\"x\"}]", "nonsense" };

	m->text = PICK(w, records);
}

void admin_act(struct world *w)
{
	static const struct {
		enum command_kind kind;
		unsigned weight;
	} mix[] = {
		{ CMD_HEALTH, 1 }, { CMD_USER_CREATE, 3 }, { CMD_USER_LIST, 1 }, { CMD_USER_RENAME, 3 }, { CMD_USER_DELETE, 2 },
		{ CMD_USER_ROLE, 2 }, { CMD_USER_SUSPEND, 2 }, { CMD_USER_RESTORE, 5 },
		{ CMD_NODE_LIST, 1 }, { CMD_NODE_GET, 1 }, { CMD_NODE_DELETE, 3 }, { CMD_NODE_EXPIRE, 3 }, { CMD_NODE_RENAME, 5 },
		{ CMD_NODE_TAGS, 5 }, { CMD_NODE_APPROVE_ROUTES, 6 }, { CMD_NODE_MOVE, 5 }, { CMD_NODE_BACKFILL_IPS, 1 },
		{ CMD_AUTH_GET, 1 }, { CMD_AUTH_LIST, 1 }, { CMD_AUTH_REGISTER, 10 }, { CMD_AUTH_APPROVE, 5 }, { CMD_AUTH_REJECT, 1 },
		{ CMD_AUTHKEY_CREATE, 8 }, { CMD_AUTHKEY_LIST, 1 }, { CMD_AUTHKEY_EXPIRE, 2 }, { CMD_AUTHKEY_DELETE, 1 },
		{ CMD_APIKEY_CREATE, 1 }, { CMD_APIKEY_LIST, 1 }, { CMD_APIKEY_EXPIRE, 1 }, { CMD_APIKEY_DELETE, 1 },
		{ CMD_POLICY_GET, 1 }, { CMD_POLICY_SET, 8 }, { CMD_POLICY_CHECK, 1 }, { CMD_POLICY_ROLLBACK, 2 },
		{ CMD_POLICY_PREVIEW, 1 }, { CMD_POLICY_EXPLAIN, 1 }, { CMD_POLICY_WHO, 1 }, { CMD_POLICY_WHAT, 1 }, { CMD_POLICY_DIFF, 1 },
		{ CMD_POLICY_MATRIX, 1 }, { CMD_POLICY_GRAPH, 1 }, { CMD_POLICY_SSH, 1 }, { CMD_DRAFT_SET, 2 }, { CMD_DRAFT_DELETE, 1 },
		{ CMD_POLICY_HISTORY, 1 }, { CMD_POLICY_VERSION, 1 }, { CMD_DERPMAP_GET, 1 }, { CMD_DNS_RECORDS, 2 },
		{ CMD_SERVICE_SET, 3 }, { CMD_SERVICE_DELETE, 1 }, { CMD_SERVICE_APPROVE, 4 }, { CMD_SERVICE_LIST, 1 }, { CMD_STATS, 1 }, { CMD_NODE_APPROVE, 6 }, { CMD_NODE_SET_IP, 3 }, { CMD_NODE_ATTR_SET, 5 }, { CMD_NODE_ATTR_DELETE, 2 }, { CMD_NODE_ATTRS_PATCH, 3 },
		{ CMD_NODE_C2N, 3 }, { CMD_SETTINGS_SET, 4 }, { CMD_SETTINGS_RESET, 2 }, { CMD_SETTINGS_LIST, 1 },
		{ CMD_SETTINGS_PATCH, 3 },
	};
	unsigned total = 0;

	for (size_t i = 0; i < ARRAY_LEN(mix); i++)
		total += mix[i].weight;
	uint64_t at = chance(w, total);
	size_t k = 0;
	while (at >= mix[k].weight)
		at -= mix[k++].weight;
	struct command *m = command_new(mix[k].kind);

	m->id = m->kind <= CMD_USER_RESTORE ? some_user(w) : some_node(w);
	m->name = m->new_name = text(m, m->kind == CMD_NODE_RENAME ? PICK(w, node_names) : PICK(w, user_names));
	m->user = one_in(w, 2) ? arena_printf(&m->arena, "%lld", (long long)some_user(w)) : text(m, PICK(w, user_names));
	m->role = text(m, PICK(w, role_names));
	m->reusable = chance(w, 3) != 0;
	m->ephemeral = one_in(w, 4);
	m->disable = one_in(w, 4);
	m->at_ms = one_in(w, 2) ? 0 : w->now.wall_ms + (int64_t)chance(w, 600000) - 60000;
	if (w->n_auth_ids)
		m->auth_id = text(m, w->auth_ids[chance(w, MIN_OF(w->n_auth_ids, ARRAY_LEN(w->auth_ids)))]);
	if (w->n_keys)
		m->key_text = text(m, w->keys[chance(w, w->n_keys)]);
	m->expires_ms = m->kind == CMD_AUTHKEY_CREATE && one_in(w, 3) ? w->now.wall_ms + (int64_t)chance(w, 600000) : 0;
	switch (m->kind) {
	case CMD_USER_LIST:
		m->id = 0;
		m->name = "";
		break;
	case CMD_NODE_LIST:
		m->user = "";
		break;
	case CMD_NODE_DELETE: {
		if (node_by_id(w->core, m->id))
			world_life_or_new(w, m->id)->may_go = true;
		break;
	}
	case CMD_NODE_TAGS:
	case CMD_AUTHKEY_CREATE:
		set_tags(w, m);
		break;
	case CMD_NODE_APPROVE_ROUTES:
		set_routes(w, m);
		m->how = one_in(w, 2) ? ROUTES_REPLACE : one_in(w, 2) ? ROUTES_ADD : ROUTES_DROP;
		break;
	case CMD_AUTHKEY_EXPIRE:
	case CMD_AUTHKEY_DELETE:
		m->id = 0;
		break;
	case CMD_APIKEY_EXPIRE:
	case CMD_APIKEY_DELETE:
		m->id = w->db.n_apikeys ? w->db.apikeys[chance(w, w->db.n_apikeys)].id : 7;
		break;
	case CMD_POLICY_SET:
	case CMD_POLICY_CHECK:
	case CMD_POLICY_PREVIEW:
	case CMD_POLICY_MATRIX:
		m->text = PICK(w, policies);
		m->has_text = m->kind != CMD_POLICY_SET && m->kind != CMD_POLICY_CHECK && one_in(w, 2);
		m->ssh = one_in(w, 2);
		m->base = m->kind == CMD_POLICY_SET && one_in(w, 4) ? some_version(w) : 0;
		break;
	case CMD_POLICY_ROLLBACK:
	case CMD_POLICY_VERSION:
	case CMD_POLICY_DIFF:
		m->id = some_version(w);
		m->other = some_version(w);
		break;
	case CMD_DRAFT_SET:
	case CMD_DRAFT_DELETE:
		m->text = PICK(w, policies);
		m->author = one_in(w, 2) ? "user:1" : "cli:root";
		break;
	case CMD_POLICY_EXPLAIN:
	case CMD_POLICY_WHO:
	case CMD_POLICY_WHAT:
	case CMD_POLICY_GRAPH:
	case CMD_POLICY_SSH:
		m->name = PICK(w, asked);
		m->new_name = PICK(w, asked);
		break;
	case CMD_SERVICE_SET:
	case CMD_SERVICE_DELETE:
	case CMD_SERVICE_APPROVE:
	case CMD_SERVICE_LIST:
		m->name = one_in(w, 2) ? "svc:a" : one_in(w, 3) ? "svc:web" : "svc:b";
		break;
	case CMD_DNS_RECORDS:
		set_records(w, m);
		break;
	case CMD_NODE_APPROVE:
		m->disable = one_in(w, 3);
		break;
	case CMD_NODE_SET_IP: {
		struct addr *list = arena_array(&m->arena, 2, sizeof *list);
		list[0] = one_in(w, 8) ? addr_v4(10, 0, 0, 1) : addr_v4(100, 64, 0, (uint8_t)chance(w, 40));
		list[1] = list[0];
		m->addrs = list;
		m->n_addrs = one_in(w, 10) ? 2 : 1;
		if (node_by_id(w->core, m->id))
			world_life_or_new(w, m->id)->may_move = true;
		break;
	}
	case CMD_NODE_ATTR_SET:
	case CMD_NODE_ATTR_DELETE:
		m->name = PICK(w, attr_names);
		m->text = PICK(w, attr_values);
		m->expires_ms = one_in(w, 2) ? 0 : w->now.wall_ms + (int64_t)chance(w, 300000) - 10000;
		break;
	case CMD_NODE_ATTRS_PATCH: {
		struct attr_change *list = arena_array(&m->arena, 3, sizeof *list);
		for (size_t n = 1 + chance(w, 3); m->n_attr_changes < n; m->n_attr_changes++)
			list[m->n_attr_changes] = (struct attr_change){ .node_id = some_node(w), .name = PICK(w, attr_names),
				.text = one_in(w, 3) ? NULL : PICK(w, attr_values), .expires_ms = one_in(w, 2) ? 0 : w->now.wall_ms + (int64_t)chance(w, 300000) };
		m->attr_changes = list;
		break;
	}
	case CMD_SETTINGS_SET:
	case CMD_SETTINGS_RESET: {
		size_t which = chance(w, ARRAY_LEN(settings));
		m->name = settings[which][0];
		m->text = settings[which][1 + chance(w, 2)];
		break;
	}
	case CMD_SETTINGS_PATCH: {
		static const char *const split[] = { "{\"a.example\":[\"10.0.0.1\"]}", "{\"a.example\":null,\"b.example\":[\"10.0.0.2\"]}", "{\"b.example\":[]}", "[]" };
		struct setting_change *list = arena_array(&m->arena, 3, sizeof *list);
		for (; m->n_changes < 2; m->n_changes++) {
			size_t which = chance(w, ARRAY_LEN(settings));
			list[m->n_changes] = (struct setting_change){ .key = settings[which][0], .text = settings[which][1 + chance(w, 2)] };
		}
		list[m->n_changes++] = (struct setting_change){ .key = "dns.nameservers.split", .text = PICK(w, split), .merge = true };
		m->changes = list;
		m->name = "";
		break;
	}
	case CMD_NODE_C2N:
		m->text = "/echo";
		m->at_ms = 1 + (int64_t)chance(w, 5000);
		break;
	case CMD_SETTINGS_LIST:
		m->name = "";
		break;
	default:
		break;
	}
	world_say(w, "admin command %d id %lld name %s user %s", (int)m->kind, (long long)m->id, m->name, m->user);
	ask(w, m);
}

void admin_start(struct world *w)
{
	static const char *const first[] = { "ann", "bob", "cleo" };

	for (size_t i = 0; i < ARRAY_LEN(first); i++) {
		struct command *m = command_new(CMD_USER_CREATE);
		m->name = first[i];
		ask(w, m);
		for (int k = 0; k < 3; k++) {
			m = command_new(CMD_AUTHKEY_CREATE);
			m->user = first[i];
			m->reusable = k != 1;
			m->ephemeral = k == 2;
			if (!k && one_in(w, 2))
				set_tags(w, m);
			ask(w, m);
		}
	}
	world_settle(w);
}
