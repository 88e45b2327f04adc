/* Peers of the netmap as peers of WireGuard and of the path engine. */
#include "client/dataplane_internal.h"

#include <stdlib.h>

#include "common/base/cleanup.h"
#include "common/base/clock.h"
#include "common/base/log.h"

struct peer *dp_peer_by_key(const struct dataplane *p, const struct node_pub *key)
{
	struct wg_peer *w = wg_peer_by_key(p->wg, key);

	return w ? wg_peer_user(w) : NULL;
}

static void remove_peer(struct dataplane *p, const struct node_pub *key)
{
	struct peer *x = dp_peer_by_key(p, key);

	if (!x)
		return;
	p->routes_dirty = true;
	if (x->path)
		path_del_peer(x->path);
	wg_peer_del(x->wg);
	free(x);
}

static err set_path(struct dataplane *p, struct peer *x, const struct nm_node *n)
{
	struct path_peer_config c = {
		.key = n->key,
		.disco = n->disco,
		.home = (uint16_t)n->home_derp,
		.endpoints = n->endpoints,
		.n_endpoints = n->n_endpoints,
		.user = x,
	};

	magic_flush(p->magic);
	return path_set_peer(magic_path(p->magic), &c, clock_mono_us(), &x->path);
}

static err add_peer(struct dataplane *p, const struct nm_node *n)
{
	struct prefix allowed[NM_ALLOWED_MAX];
	struct peer *x = calloc(1, sizeof *x);
	struct wg_peer_config c = {
		.key = n->key,
		.allowed = allowed,
		.n_allowed = dp_routes_of(p, n, allowed, NM_ALLOWED_MAX),
		.user = x,
	};

	if (!x)
		return ERR_NOMEM;
	err e = wg_peer_add(p->wg, &c, &x->wg);
	if (e != OK) {
		free(x);
		return e;
	}
	x->jailed = n->jailed;
	p->routes_dirty = true;
	e = set_path(p, x, n);
	if (e != OK)
		remove_peer(p, &n->key);
	return e;
}

static err change_peer(struct dataplane *p, struct peer *x, const struct nm_node *n, unsigned what)
{
	struct prefix allowed[NM_ALLOWED_MAX];

	x->jailed = n->jailed;
	if (what & NM_DISCO) /* it restarted */
		wg_peer_reset(x->wg);
	if (what & NM_ALLOWED) {
		p->routes_dirty = true;
		TRY(wg_peer_set_allowed(x->wg, allowed, dp_routes_of(p, n, allowed, NM_ALLOWED_MAX)));
	}
	return what & (NM_DISCO | NM_HOME | NM_ENDPOINTS) ? set_path(p, x, n) : OK;
}

void dataplane_peer(struct dataplane *p, const struct nm_node *now, unsigned what, const struct node_pub *was_key)
{
	if (!p->running)
		return;
	if (what & NM_KEY && !node_pub_eq(was_key, &now->key))
		remove_peer(p, was_key);
	struct peer *x = dp_peer_by_key(p, &now->key);
	if (!nm_is_usable(&p->d->netmap, now, clock_wall_ms())) {
		remove_peer(p, &now->key);
		return;
	}
	err e = x ? change_peer(p, x, now, what) : add_peer(p, now);
	if (e != OK) {
		static struct log_limit limit = LOG_LIMIT(5, 60000);
		char key[KEY_SHORT_MAX];

		if (log_allow(&limit))
			log_warn("a peer cannot be used", "peer=%s error=%s", node_pub_short(&now->key, key), log_qs(err_text(e)).s);
	}
	dp_queue_turn(p);
}

void dataplane_peer_gone(struct dataplane *p, const struct nm_node *was)
{
	if (p->running)
		remove_peer(p, &was->key);
}

void dp_add_all(struct dataplane *p)
{
	const struct nm_node *n;

	for (size_t at = 0; (n = netmap_next(&p->d->netmap, &at));)
		dataplane_peer(p, n, NM_ALL, &n->key);
}

void dp_remove_all(struct dataplane *p)
{
	struct wg_peer *w;
	size_t at = 0;

	while ((w = wg_next_peer(p->wg, &at))) {
		struct node_pub key = *wg_peer_key(w);

		remove_peer(p, &key);
		at = 0;
	}
}
