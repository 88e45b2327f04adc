/* Keys of sessions: made, moved from next to current to previous, and forgotten. */
#include "client/wg/internal.h"

#include <stdlib.h>

#include "common/base/cleanup.h"
#include "common/base/random.h"

err slot_take(struct wg *wg, struct wg_slot *s)
{
	err e;

	do {
		random_fill(&s->index, sizeof s->index);
		e = s->index ? map_put(&wg->by_index, s) : ERR_EXISTS;
	} while (e == ERR_EXISTS);
	if (e != OK)
		s->index = 0;
	return e;
}

void slot_give(struct wg *wg, struct wg_slot *s)
{
	if (s->index && map_get(&wg->by_index, &s->index) == s)
		map_del(&wg->by_index, &s->index);
	s->index = 0;
}

void keypair_free(struct wg_keypair *k)
{
	if (!k)
		return;
	if (k->slot.peer->heard == k)
		k->slot.peer->heard = NULL;
	slot_give(k->slot.peer->wg, &k->slot);
	aead_key_free(k->send);
	aead_key_free(k->recv);
	free(k);
}

static void keypair_freep(struct wg_keypair **k)
{
	keypair_free(*k);
}

err keypair_new(struct wg_peer *p, const struct wg_keys *keys, uint32_t index, uint32_t remote, bool initiator,
	int64_t now_ms, struct wg_keypair **out)
{
	CLEANUP(keypair_freep) struct wg_keypair *k = calloc(1, sizeof *k);

	if (!k)
		return ERR_NOMEM;
	k->slot = (struct wg_slot){ .peer = p, .keypair = k };
	k->remote = remote;
	k->initiator = initiator;
	k->born_ms = now_ms;
	TRY(aead_key_new(&keys->send, AEAD_SEAL, &k->send));
	TRY(aead_key_new(&keys->recv, AEAD_OPEN, &k->recv));
	if (index) {
		k->slot.index = index;
		TRY(map_put(&p->wg->by_index, &k->slot));
	} else {
		TRY(slot_take(p->wg, &k->slot));
	}
	*out = MOVE(k);
	return OK;
}

void handshake_free(struct wg_peer *p)
{
	if (!p->handshake)
		return;
	slot_give(p->wg, &p->handshake->slot);
	wg_initiator_wipe(&p->handshake->state);
	free(p->handshake);
	p->handshake = NULL;
}

static void replace(struct wg_keypair **at, struct wg_keypair *k)
{
	keypair_free(*at);
	*at = k;
}

void session_begin_initiator(struct wg_peer *p, struct wg_keypair *k)
{
	/* The keys that the peer goes on sending with until it hears us on the new ones stay as previous. Mostly these
	 * are the current ones; where both sides began a session at once, each sends with what the other calls
	 * previous. */
	if (p->next)
		replace(&p->previous, MOVE(p->next));
	else if (p->current && !(p->previous && p->heard == p->previous))
		replace(&p->previous, MOVE(p->current));
	replace(&p->current, k);
}

void session_begin_responder(struct wg_peer *p, struct wg_keypair *k)
{
	replace(&p->next, k);
}

void session_confirm(struct wg_peer *p)
{
	if (p->current)
		replace(&p->previous, MOVE(p->current));
	p->current = MOVE(p->next);
}

void session_forget(struct wg_peer *p)
{
	replace(&p->previous, NULL);
	replace(&p->current, NULL);
	replace(&p->next, NULL);
}
