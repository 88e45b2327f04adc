/* Peers as lists, as patches and as flags, and the users they belong to. */
#include <stdlib.h>

#include "client/control/mapparse_internal.h"
#include "client/netmap_node.h"
#include "common/base/clock.h"

enum {
	CHANGES_MAX = 4 * NM_PEERS_MAX, /* entries of a list of changes */
};

struct nm_node *map_take_node(struct map_parse *p)
{
	struct nm_node *n = NULL;

	if (!map_read_node(p))
		return NULL;
	if (nm_draft_pack(p->draft, &n) != OK) {
		map_fail(p, ERR_NOMEM, "out of memory");
		return NULL;
	}
	p->u->bytes += n->bytes;
	if (p->u->bytes > NM_BYTES_MAX) {
		map_fail(p, ERR_TOO_BIG, "the peers are too much");
		free(n);
		return NULL;
	}
	return n;
}

static bool is_known(const struct map_parse *p, const struct nm_node *n)
{
	const struct nm_node *was = p->known ? netmap_peer(p->known, n->id) : NULL;

	return was && nm_node_diff(was, n) == 0;
}

/* is_all: what is not in the list goes, so those that are known are noted. */
void map_read_nodes(struct map_parse *p, struct nm_node ***list, size_t *n, size_t *cap, bool is_all)
{
	struct map_update *u = p->u;

	if (!jp_array(&p->jp))
		return;
	while (jp_item(&p->jp)) {
		struct nm_node *node = map_take_node(p);

		if (node && is_all && is_known(p, node)) {
			int64_t *id = MAP_GROW(p, u->same, u->n_same, u->cap_same, NM_PEERS_MAX);

			if (id)
				*id = node->id;
			u->bytes -= node->bytes;
			free(node);
			continue;
		}
		struct nm_node **at = node ? map_grow(p, list, n, cap, sizeof *at, NM_PEERS_MAX) : NULL;

		if (at)
			*at = node;
		else
			free(node);
	}
}

void map_read_removed(struct map_parse *p)
{
	struct map_update *u = p->u;

	if (!jp_array(&p->jp))
		return;
	while (jp_item(&p->jp)) {
		int64_t id = jp_int(&p->jp, INT64_MIN + 1, INT64_MAX);
		int64_t *at = MAP_GROW(p, u->removed, u->n_removed, u->cap_removed, CHANGES_MAX);

		if (at)
			*at = id;
	}
}

/* {"7":true} */
void map_read_flags(struct map_parse *p, struct nm_flag **list, size_t *n, size_t *cap)
{
	if (!jp_object(&p->jp))
		return;
	while (jp_member(&p->jp)) {
		uint64_t id = 0;

		if (bytes_parse_u64(jp_key(&p->jp), (uint64_t)INT64_MAX, &id) != OK)
			map_fail(p, ERR_MALFORMED, "a node id that is no number");
		bool value = jp_bool(&p->jp);
		struct nm_flag *f = map_grow(p, list, n, cap, sizeof *f, CHANGES_MAX);
		if (f)
			*f = (struct nm_flag){ (int64_t)id, value };
	}
}

static void read_patch_caps(struct map_parse *p, struct nm_patch *x)
{
	size_t cap = 0;

	if (!jp_object(&p->jp))
		return;
	x->has_caps = true;
	while (jp_member(&p->jp)) {
		char name[NM_TEXT_MAX + 1];

		nm_clean(name, NM_TEXT_MAX, jp_key(&p->jp));
		jp_skip(&p->jp);
		if (x->n_caps == NM_CAPS_MAX)
			continue;
		char *copy = bytes_dup(bytes_str(name));
		char **at = copy ? MAP_GROW(p, x->caps, x->n_caps, cap, NM_CAPS_MAX) : NULL;
		if (at)
			*at = copy;
		else
			free(copy);
	}
}

static void read_patch_endpoints(struct map_parse *p, struct nm_patch *x)
{
	struct nm_draft *d = p->draft;

	d->n_endpoints = 0;
	x->has_endpoints = jp_peek(&p->jp) == '[';
	map_read_endpoints(p, d);
	free(x->endpoints);
	x->endpoints = NULL;
	x->n_endpoints = d->n_endpoints;
	if (d->n_endpoints == 0)
		return;
	x->endpoints = malloc(d->n_endpoints * sizeof *x->endpoints);
	if (!x->endpoints) {
		x->n_endpoints = 0;
		map_fail(p, ERR_NOMEM, "out of memory");
		return;
	}
	memcpy(x->endpoints, d->endpoints, d->n_endpoints * sizeof *x->endpoints);
}

static void read_patch(struct map_parse *p, struct nm_patch *x)
{
	struct jsonpull *jp = &p->jp;

	if (!jp_object(jp))
		return;
	while (jp_member(jp)) {
		if (jp_key_is(jp, "NodeID")) {
			x->id = jp_int(jp, 0, INT64_MAX);
		} else if (jp_key_is(jp, "DERPRegion")) {
			x->derp = (int)jp_int(jp, 0, TAILCFG_DERP_REGION_ID_MAX);
			x->has_derp = x->derp != 0;
		} else if (jp_key_is(jp, "Cap")) {
			x->cap = (int)jp_int(jp, 0, INT32_MAX);
			x->has_cap = x->cap != 0;
		} else if (jp_key_is(jp, "CapMap") && !x->has_caps) {
			read_patch_caps(p, x);
		} else if (jp_key_is(jp, "Endpoints")) {
			read_patch_endpoints(p, x);
		} else if (jp_key_is(jp, "Key")) {
			x->has_key = map_read_node_key(p, &x->key);
		} else if (jp_key_is(jp, "DiscoKey")) {
			x->has_disco = map_read_disco_key(p, &x->disco);
		} else if (jp_key_is(jp, "Online")) {
			x->has_online = !jp_null(jp);
			x->online = x->has_online && jp_bool(jp);
		} else if (jp_key_is(jp, "LastSeen")) {
			x->has_last_seen = map_read_time(p, &x->last_seen_ms);
		} else if (jp_key_is(jp, "KeyExpiry")) {
			x->has_expiry = map_read_time(p, &x->expiry_ms);
		} else {
			jp_skip(jp);
		}
	}
}

void map_read_patches(struct map_parse *p)
{
	struct map_update *u = p->u;

	if (!jp_array(&p->jp))
		return;
	while (jp_item(&p->jp)) {
		struct nm_patch *x = MAP_GROW(p, u->patches, u->n_patches, u->cap_patches, CHANGES_MAX);

		if (!x)
			return;
		*x = (struct nm_patch){ 0 };
		read_patch(p, x);
		u->bytes += sizeof *x + x->n_endpoints * sizeof *x->endpoints + x->n_caps * (NM_TEXT_MAX + 1);
		if (u->bytes > NM_BYTES_MAX)
			map_fail(p, ERR_TOO_BIG, "the patches are too much");
	}
}

void map_read_user(struct map_parse *p)
{
	char login[NM_TEXT_MAX + 1] = "", display[NM_TEXT_MAX + 1] = "", pic[NM_TEXT_MAX + 1] = "";
	struct map_update *u = p->u;
	int64_t id = 0;
	struct jsonpull *jp = &p->jp;

	if (!jp_object(jp))
		return;
	while (jp_member(jp)) {
		if (jp_key_is(jp, "ID"))
			id = jp_int(jp, INT64_MIN + 1, INT64_MAX);
		else if (jp_key_is(jp, "LoginName"))
			nm_clean(login, NM_TEXT_MAX, jp_str(jp));
		else if (jp_key_is(jp, "DisplayName"))
			nm_clean(display, NM_TEXT_MAX, jp_str(jp));
		else if (jp_key_is(jp, "ProfilePicURL"))
			nm_clean(pic, NM_TEXT_MAX, jp_str(jp));
		else
			jp_skip(jp);
	}
	if (jp->e != OK)
		return;
	size_t l = strlen(login) + 1, d = strlen(display) + 1, c = strlen(pic) + 1;
	size_t size = sizeof(struct nm_user) + l + d + c;
	char *m = malloc(size);
	struct nm_user **at = m ? MAP_GROW(p, u->users, u->n_users, u->cap_users, NM_USERS_MAX) : NULL;
	if (!at) {
		map_fail(p, ERR_NOMEM, "out of memory");
		free(m);
		return;
	}
	struct nm_user *user = (void *)m;
	char *text = m + sizeof *user;
	memcpy(text, login, l);
	memcpy(text + l, display, d);
	memcpy(text + l + d, pic, c);
	*user = (struct nm_user){ id, text, text + l, text + l + d, size };
	*at = user;
	u->bytes += size;
	if (u->bytes > NM_BYTES_MAX)
		map_fail(p, ERR_TOO_BIG, "the user profiles are too much");
}
