#include <stdlib.h>

#include "common/base/cleanup.h"
#include "server/map/encode.h"

/* Nodes that go out whole: those that changed, and those whose patch says what a patch cannot. */
struct whole {
	const struct map_node **node; /* owned array */
	size_t n;
};

static bool is_in(const struct whole *w, const struct map_node *n)
{
	for (size_t i = 0; i < w->n; i++)
		if (w->node[i] == n)
			return true;
	return false;
}

static err collect(const struct map_delta *d, struct whole *out)
{
	out->node = calloc(d->n_changed + d->n_patches + 1, sizeof(struct map_node *));
	if (!out->node)
		return ERR_NOMEM;
	for (size_t i = 0; i < d->n_changed; i++)
		out->node[out->n++] = d->changed[i];
	for (size_t i = 0; i < d->n_patches; i++)
		if (!patch_fits(&d->patches[i]) && !is_in(out, d->patches[i].node))
			out->node[out->n++] = d->patches[i].node;
	return OK;
}

static void write_peers(struct jsonw *w, struct map_cache *c, const struct map_tailnet *t, const struct map_delta *d,
			const struct whole *whole, int64_t wall_ms)
{
	if (whole->n) {
		jsonw_key(w, "PeersChanged"), jsonw_arr(w);
		for (size_t i = 0; i < whole->n; i++) {
			struct bytes text;

			if (cache_peer(c, t, whole->node[i], d->viewer, whole->n >= MAP_BLOCK, &text))
				jsonw_raw(w, text);
			else
				peer_write(w, t, whole->node[i], d->viewer);
		}
		jsonw_arr_end(w);
	}
	if (d->n_removed) {
		jsonw_key(w, "PeersRemoved"), jsonw_arr(w);
		for (size_t i = 0; i < d->n_removed; i++)
			jsonw_int(w, d->removed[i]);
		jsonw_arr_end(w);
	}

	bool open = false;
	for (size_t i = 0; i < d->n_patches; i++) {
		struct map_patch p = d->patches[i];

		if (!patch_fits(&p)) /* it goes whole; only this would be lost on the way */
			p.what &= PATCH_ONLINE;
		if (!p.what)
			continue;
		if (!open) {
			jsonw_key(w, "PeersChangedPatch"), jsonw_arr(w);
			open = true;
		}
		patch_write(w, &p, wall_ms);
	}
	if (open)
		jsonw_arr_end(w);
}

static err write_users(struct jsonw *w, const struct map_tailnet *t, const struct map_delta *d, const struct whole *whole)
{
	CLEANUP(id_set_done) struct id_set users = { 0 };

	for (size_t i = 0; i < d->n_users; i++)
		id_set_add(&users, d->users[i]);
	for (size_t i = 0; i < whole->n; i++)
		id_set_add(&users, whole->node[i]->user_id);
	if (d->self)
		id_set_add(&users, d->self->user_id);
	id_set_sort(&users);
	if (!users.n)
		return users.bad ? ERR_NOMEM : OK;
	jsonw_key(w, "UserProfiles"), jsonw_arr(w);
	for (size_t i = 0; i < users.n; i++)
		profile_write(w, t, users.id[i]);
	jsonw_arr_end(w);
	return users.bad ? ERR_NOMEM : OK;
}

static bool is_about_time(const struct map_delta *d)
{
	for (size_t i = 0; i < d->n_patches; i++)
		if (d->patches[i].what & (PATCH_EXPIRY | PATCH_KEY))
			return true;
	return d->self || d->n_changed;
}

static bool is_empty(const struct map_delta *d)
{
	return !d->n_changed && !d->n_removed && !d->n_patches && !d->n_users && !d->self && !d->n_filters && !d->dns &&
	       !d->derp && !d->lock && !d->ssh.n;
}

static err build(struct map_cache *c, const struct map_tailnet *t, const struct map_delta *d, const struct whole *whole,
		 int64_t wall_ms, struct composer *m)
{
	struct jsonw w = jsonw_init(&m->text);

	jsonw_obj(&w);
	if (d->self)
		jsonw_key(&w, "Node"), self_write(&w, t, d->self);
	if (d->self && d->message)
		messages_write(&w, d->self);
	write_peers(&w, c, t, d, whole, wall_ms);
	TRY(write_users(&w, t, d, whole));
	if (d->derp && t->set->derp_map)
		jsonw_key(&w, "DERPMap"), derp_write(&w, t->set->derp_map, d->viewer ? d->viewer->row->capver : 0);
	if (d->dns)
		jsonw_key(&w, "DNSConfig"), dns_write(&w, t, d->viewer);
	if (d->lock)
		lock_write(&w, t);
	if (d->new_owner)
		jsonw_key(&w, "Domain"), jsonw_str(&w, t->set->domain && t->set->domain[0] ? t->set->domain : t->set->base_domain);
	if (d->n_filters) {
		jsonw_key(&w, "PacketFilters");
		compose_filters(m, d->filters, d->n_filters, false);
		w.comma = true;
	}
	if (d->ssh.n)
		jsonw_key(&w, "SSHPolicy"), jsonw_raw(&w, d->ssh);
	if (is_about_time(d)) /* expiry is reckoned by the server's clock */
		jsonw_key(&w, "ControlTime"), jsonw_time(&w, wall_ms);
	jsonw_obj_end(&w);
	return OK;
}

err map_delta_msg(struct map_cache *c, const struct map_tailnet *t, const struct map_delta *d, int64_t wall_ms,
		  struct map_msg **out)
{
	CLEANUP(composer_done) struct composer m = composer_make();
	struct whole whole = { 0 };

	if (is_empty(d)) {
		*out = NULL;
		return OK;
	}
	err e = collect(d, &whole);
	if (e == OK)
		e = build(c, t, d, &whole, wall_ms, &m);
	free(whole.node);
	return e == OK ? compose_msg(&m, out) : e;
}
