#include "derp/relay_mesh.h"

#include <stdlib.h>

#include "derp/relay_state.h"

/* ---- packets ---------------------------------------------------------------------------------------------------- */

bool mesh_is_peer(const struct relay_client *c)
{
	const struct relay_opts *o = &c->w->r->opts;

	return o->has_mesh_key && c->s.info.has_mesh_key &&
	       sodium_memcmp(c->s.info.mesh_key.b, o->mesh_key.b, sizeof o->mesh_key.b) == 0;
}

bool mesh_forward(struct relay_worker *w, const struct node_pub *src, const struct node_pub *dst, struct session_packet *pkt)
{
	unsigned link;

	if (!atomic_load_explicit(&w->r->n_links, memory_order_relaxed) || !forwarders_find(w->r->remote, dst, &link))
		return false;
	size_t packet_n = pkt->n - DERP_RECV_HEADER_LEN, n = DERP_FORWARD_HEADER_LEN + packet_n;
	uint8_t *frame = malloc(n);
	struct writer out = wr_init(frame, frame ? n : 0);
	struct relay_msg *m = NULL;

	if (frame) {
		derp_write_forward_header(&out, src, dst, packet_n);
		memcpy(frame + DERP_FORWARD_HEADER_LEN, pkt->p + DERP_RECV_HEADER_LEN, packet_n);
		m = msg_new(MSG_FORWARD, dst, frame, n);
	}
	free(pkt->base);
	if (!m) {
		worker_count_drop(w, SESSION_DROP_QUEUE_TAIL, pkt->disco);
		return true;
	}
	m->id = link;
	m->disco = pkt->disco;
	STATS_ADD(&w->stats, forwarded_out, 1);
	worker_post(w, w->r->link[link].w->index, m);
	return true;
}

/* From another relay: delivered here or dropped, never sent on, so that there are no loops. */
void mesh_on_forward(struct session *s, const struct node_pub *src, const struct node_pub *dst, struct session_packet pkt,
	int64_t now_ms)
{
	struct relay_worker *w = client_of(s)->w;

	(void)now_ms;
	STATS_ADD(&w->stats, forwarded_in, 1);
	if (worker_deliver(w, dst, &pkt, NULL)) {
		forwarders_note(w->r->remote, src, dst);
		return;
	}
	free(pkt.base);
	STATS_DROP(&w->stats, dropped_unknown_dest_on_fwd, 1, pkt.disco);
}

/* ---- watchers -------------------------------------------------------------------------------------------------- */

static uint8_t present_flags(const struct relay_client *c)
{
	uint8_t flags = 0;

	if (c->s.trusted)
		flags |= DERP_PRESENT_MESH;
	if (c->s.info.is_prober)
		flags |= DERP_PRESENT_PROBER;
	if (c->opts.not_ideal)
		flags |= DERP_PRESENT_NOT_IDEAL;
	return flags ? flags : DERP_PRESENT_REGULAR;
}

struct directory_info mesh_info(const struct relay_client *c)
{
	return (struct directory_info){ .addr = c->opts.peer, .flags = present_flags(c) };
}

/* A key came or left: every worker with watchers looks at the directory and tells them what is there then, so that the
 * order in which workers' messages arrive does not matter. */
static void announce(struct relay_worker *w, const struct node_pub *key, const struct directory_info *came)
{
	unsigned n = atomic_load(&w->r->n_workers);

	for (unsigned i = 0; i < n; i++) {
		uint8_t *data = NULL;

		if (!atomic_load(&w->r->watched[i]))
			continue;
		if (came && (data = malloc(sizeof *came)))
			memcpy(data, came, sizeof *came);
		struct relay_msg *m = came && !data ? NULL : msg_new(came ? MSG_CAME : MSG_LEFT, key, data, data ? sizeof *came : 0);

		if (m)
			worker_post(w, (uint16_t)i, m);
		/* else out of memory: watchers miss it until the key moves again or they return */
	}
}

void mesh_came(struct relay_client *c)
{
	struct directory_info info = mesh_info(c);

	announce(c->w, &c->s.key, &info);
}

void mesh_left(struct relay_worker *w, const struct node_pub *key)
{
	announce(w, key, NULL);
}

void mesh_tell_watchers(struct relay_worker *w, const struct relay_msg *m)
{
	struct directory_info info = { 0 };
	struct conn_handle h;
	bool here = directory_find(w->r->dir, &m->key, &h, NULL), came = m->kind == MSG_CAME;

	if (here != came)
		return; /* another message says what is so now */
	if (came)
		memcpy(&info, m->data, sizeof info);
	struct derp_peer_present p = { .key = m->key, .addr = info.addr, .flags = info.flags };

	list_each_safe(it, &w->watchers) {
		struct relay_client *c = container_of(it, struct relay_client, watching);

		if (came)
			session_tell_came(&c->s, &p);
		else
			session_tell_left(&c->s, &m->key);
	}
}

static void tell_present(void *ctx, const struct node_pub *key, const struct directory_info *info)
{
	struct relay_client *c = ctx;
	struct derp_peer_present p = { .key = *key, .addr = info->addr, .flags = info->flags };

	session_tell_came(&c->s, &p);
}

void mesh_on_watch(struct session *s)
{
	struct relay_client *c = client_of(s);
	struct relay_worker *w = c->w;

	if (!list_is_empty(&c->watching))
		return;
	list_add_tail(&w->watchers, &c->watching);
	atomic_store(&w->r->watched[w->index], true); /* before the list: who comes meanwhile is told twice, not never */
	STATS_ADD(&w->stats, watchers, 1);
	session_watch(s);
	directory_each(w->r->dir, tell_present, c);
}

void mesh_unwatch(struct relay_client *c)
{
	struct relay_worker *w = c->w;

	if (list_is_empty(&c->watching))
		return;
	list_del(&c->watching);
	STATS_ADD(&w->stats, watchers, -1);
	if (list_is_empty(&w->watchers))
		atomic_store(&w->r->watched[w->index], false);
}

void mesh_on_close_peer(struct session *s, const struct node_pub *key)
{
	if (relay_close_key(client_of(s)->w->r, key) != OK)
		session_close(s, "out of memory"); /* it comes back and asks again */
}

/* ---- links to other relays -------------------------------------------------------------------------------------- */

err relay_link_new(struct relay_worker *w, void (*forward_fn)(void *ctx, struct bytes frame), void *ctx, unsigned *link)
{
	struct relay *r = w->r;
	unsigned n = atomic_load(&r->n_links);

	if (n == FORWARDERS_LINKS_MAX)
		return ERR_TOO_BIG;
	r->link[n] = (struct relay_link){ .w = w, .forward = forward_fn, .ctx = ctx };
	atomic_store(&r->n_links, n + 1);
	*link = n;
	return OK;
}

void relay_link_came(struct relay_worker *w, unsigned link, const struct node_pub *key)
{
	/* Too many keys, or no memory: that key is not reachable through us; its own relay still serves it. */
	err ignored = forwarders_add(w->r->remote, key, link);

	(void)ignored;
}

static void remote_gone(void *ctx, const struct node_pub *key, const struct peer_set *heard)
{
	struct relay_worker *w = ctx;
	const struct node_pub *dst;
	struct conn_handle h;
	uint32_t at = 0;

	if (directory_find(w->r->dir, key, &h, NULL))
		return; /* it is connected here, too */
	while ((dst = peer_set_next(heard, &at)))
		worker_tell_gone(w, dst, key);
}

void relay_link_left(struct relay_worker *w, unsigned link, const struct node_pub *key)
{
	struct peer_set heard = { 0 };

	if (!forwarders_del(w->r->remote, key, link, &heard))
		return;
	remote_gone(w, key, &heard);
	peer_set_done(&heard);
}

void relay_link_lost(struct relay_worker *w, unsigned link)
{
	forwarders_drop(w->r->remote, link, remote_gone, w);
}

size_t relay_remote_keys(struct relay *r)
{
	return forwarders_count(r->remote);
}
