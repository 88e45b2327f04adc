#include "tests/lib/map_world.h"

#include <stdio.h>
#include <stdlib.h>

static const struct tailcfg_service services[] = { { "peerapi4", 39123, "" }, { "peerapi6", 39123, "" }, { "peerapi-dns-proxy", 1, "" } };
static const struct tailcfg_derp_node derp_node = { .name = "900a", .region_id = 900, .host_name = "derp.example.com" };
static const struct tailcfg_derp_region region = { .region_id = 900, .region_code = "home", .region_name = "Home",
						   .nodes = (struct tailcfg_derp_node *)(uintptr_t)&derp_node, .n_nodes = 1 };
static const struct tailcfg_derp_map derp_map = { .regions = (struct tailcfg_derp_region *)(uintptr_t)&region, .n_regions = 1 };

static void must(bool ok)
{
	if (!ok)
		abort();
}

static const struct user_row *user_by_id(void *ctx, int64_t id)
{
	const struct map_world *w = ctx;

	return id >= 1 && id <= (int64_t)w->n_users ? &w->users[id - 1] : NULL;
}

static char *dup_printf(const char *fmt, long long v)
{
	char *s = NULL;

	must(asprintf(&s, "%s%lld", fmt, v) >= 0);
	return s;
}

void map_world_init(struct map_world *w, size_t cap, size_t n_users, const char *policy)
{
	struct policy_faults faults;

	*w = (struct map_world){ .cap = cap, .n_users = n_users, .next_id = 1 };
	w->set = (struct core_settings){ .base_domain = "tail.example.com", .domain = "example.com", .magic_dns = true,
					 .derp_map = &derp_map, .taildrop = true };
	w->nodes = calloc(cap, sizeof(struct map_node *));
	w->users = calloc(n_users + 1, sizeof *w->users);
	must(w->nodes && w->users);
	for (size_t i = 0; i < n_users; i++) {
		w->users[i].id = (int64_t)i + 1;
		w->users[i].name = dup_printf("user", (long long)i + 1);
	}
	must(policy_parse(bytes_str(policy), &w->policy, &faults) == OK);
	w->t = (struct map_tailnet){ .set = &w->set, .nodes = w->nodes, .n_slots = cap, .user = user_by_id, .ctx = w };
	must(policy_view_new(w->policy, &w->t.policy) == OK);
}

struct node_row *map_world_row(struct map_node *n)
{
	return (struct node_row *)(uintptr_t)n->row;
}

static void free_node(struct map_node *n)
{
	struct node_row *r = map_world_row(n);

	for (size_t i = 0; i < r->n_tags; i++)
		free(r->tags[i]);
	free(r->tags);
	free(r->hostname);
	free(r->given_name);
	free(r->endpoints);
	free(r);
	free((void *)(uintptr_t)n->hi);
	free((void *)(uintptr_t)n->serving);
	free(n);
}

void map_world_done(struct map_world *w)
{
	for (size_t i = 0; i < w->cap; i++)
		if (w->nodes[i])
			free_node(w->nodes[i]);
	for (size_t i = 0; i < w->n_users; i++)
		free(w->users[i].name);
	policy_view_free(w->t.policy);
	policy_unref(w->policy);
	free(w->nodes);
	free(w->users);
}

void map_world_classify(struct map_world *w, struct map_node *n)
{
	const struct node_row *r = n->row;
	const struct user_row *u = r->user_id ? user_by_id(w, r->user_id) : NULL;
	struct policy_user pu = { r->user_id, u ? u->name : "", "", u ? u->name : "", POLICY_ROLE_MEMBER, NULL, 0 };
	struct policy_node pn = { .id = r->id, .user_id = r->user_id, .user = u ? &pu : NULL,
				  .tags = (const char *const *)r->tags, .n_tags = r->n_tags, .v4 = r->v4, .v6 = r->v6,
				  .routes = n->serving, .n_routes = n->n_serving };
	struct policy_changes c = { 0 };

	must(policy_view_put(w->t.policy, &pn, &n->cls, &c) == OK);
	policy_changes_done(&c);
	n->user_id = r->user_id ? r->user_id : TAGGED_USER_ID;
}

struct map_node *map_world_add(struct map_world *w, int64_t user, const char *tag)
{
	struct map_node *n = calloc(1, sizeof *n);
	struct node_row *r = calloc(1, sizeof *r);
	struct tailcfg_hostinfo *h = malloc(sizeof *h);

	must(n && r && h);
	while (n->slot < w->cap && w->nodes[n->slot])
		n->slot++;
	must(n->slot < w->cap);
	n->row = r;
	n->hi = h;
	*h = tailcfg_hostinfo_none;
	r->id = w->next_id++;
	r->user_id = user;
	r->hostname = dup_printf("host-", (long long)r->id);
	r->given_name = dup_printf("host-", (long long)r->id);
	h->hostname = r->hostname;
	h->os = "linux";
	h->services = (struct tailcfg_service *)(uintptr_t)services;
	h->n_services = 3;
	for (int i = 0; i < 32; i++) {
		uint8_t b = (uint8_t)((uint64_t)r->id >> (i % 4 * 8) ^ (uint64_t)i * 37);

		r->key.b[i] = b;
		r->disco.b[i] = (uint8_t)(b ^ 0x55);
		r->machine.b[i] = (uint8_t)(b ^ 0xaa);
	}
	r->v4 = addr_v4(100, 64, (uint8_t)(r->id >> 8), (uint8_t)r->id);
	r->v6 = (struct addr){ 6, { 0xfd, 0x7a, 0x11, 0x5c, 0xa1, 0xe0, 0, 0, 0, 0, 0, 0, 0, 0, (uint8_t)(r->id >> 8), (uint8_t)r->id } };
	r->created_ms = 1767323045000;
	r->expires_ms = 1782864000000;
	r->capver = 142;
	r->home_derp = 900;
	r->endpoints = calloc(2, sizeof *r->endpoints);
	must(r->endpoints);
	r->endpoints[0] = (struct addrport){ addr_v4(192, 0, 2, (uint8_t)r->id), 41641 };
	r->endpoints[1] = (struct addrport){ addr_v4(10, 0, (uint8_t)(r->id >> 8), (uint8_t)r->id), 41641 };
	r->n_endpoints = 2;
	if (tag) {
		r->tags = calloc(1, sizeof(char *));
		must(r->tags);
		r->tags[0] = bytes_dup(bytes_str(tag));
		r->n_tags = 1;
	}
	n->online = n->announced = true;
	w->nodes[n->slot] = n;
	map_world_classify(w, n);
	return n;
}

void map_world_del(struct map_world *w, struct map_node *n)
{
	struct policy_changes c = { 0 };

	must(policy_view_del(w->t.policy, n->row->id, &c) == OK);
	policy_changes_done(&c);
	w->nodes[n->slot] = NULL;
	free_node(n);
}
