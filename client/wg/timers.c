/* When what is due, of each peer. The data path only writes times into struct wg_timers; the heap holds each peer at or
 * before its first time, so that a busy peer moves in the heap once in ten seconds and not once a packet.
 *
 * Facts: protocol/wireguard.md 4 (wireguard-go@f333402b device/timers.go). */
#include "client/wg/internal.h"

#include "common/base/cleanup.h"
#include "common/base/random.h"

static int64_t sooner(int64_t best, int64_t due)
{
	return due && due < best ? due : best;
}

static int64_t first_due(const struct wg_timers *t)
{
	int64_t due = INT64_MAX;

	due = sooner(due, t->retry_ms);
	due = sooner(due, t->silent_ms);
	due = sooner(due, t->keepalive_ms);
	due = sooner(due, t->persistent_ms);
	return sooner(due, t->erase_ms);
}

void timers_arm(struct wg_peer *p)
{
	int64_t due = first_due(&p->t);

	if (due < INT64_MAX && (!loop_timer_armed(&p->due) || due < p->due.due_ms))
		timer_heap_set(&p->wg->timers, &p->due, due);
}

static int64_t jitter(void)
{
	return (int64_t)random_below(REKEY_JITTER_MS);
}

void timers_initiation_wanted(struct wg_peer *p, int64_t now_ms)
{
	p->t.attempts = 0;
	if (p->last_initiation_ms && now_ms - p->last_initiation_ms < REKEY_TIMEOUT_MS)
		return;
	peer_want(p, OUT_INITIATION);
}

/* The first ones sooner than the specification's 5 s, for a lost packet would cost that much; a responder takes 50 a second.
 * Each takes the place of the one before, whose answer is refused then, so they must be further apart than a round trip. */
static int64_t retry_in(const struct wg_peer *p)
{
	static const int64_t first_ms[] = { 1000, 2000 };

	return p->t.unanswered < ARRAY_LEN(first_ms) ? first_ms[p->t.unanswered] : REKEY_TIMEOUT_MS;
}

void timers_initiation_sent(struct wg_peer *p, int64_t now_ms)
{
	p->last_initiation_ms = now_ms;
	p->t.kicked = false;
	p->t.retry_ms = now_ms + retry_in(p) + jitter();
	p->t.unanswered++;
	timers_sent(p, false, now_ms);
}

void timers_handshake_complete(struct wg_peer *p)
{
	p->t.retry_ms = 0;
	p->t.attempts = p->t.unanswered = 0;
}

void timers_session_derived(struct wg_peer *p, int64_t now_ms)
{
	p->t.erase_ms = now_ms + ERASE_AFTER_MS;
	timers_arm(p);
}

static void traversed(struct wg_peer *p, int64_t now_ms)
{
	if (p->keepalive_s)
		p->t.persistent_ms = now_ms + (int64_t)p->keepalive_s * 1000;
}

void timers_sent(struct wg_peer *p, bool data, int64_t now_ms)
{
	p->t.keepalive_ms = 0;
	if (data && !p->t.silent_ms)
		p->t.silent_ms = now_ms + KEEPALIVE_MS + REKEY_TIMEOUT_MS + jitter();
	traversed(p, now_ms);
	timers_arm(p);
}

void timers_received(struct wg_peer *p, bool data, int64_t now_ms)
{
	p->t.silent_ms = 0;
	if (data && p->t.keepalive_ms)
		p->t.another_keepalive = true;
	else if (data)
		p->t.keepalive_ms = now_ms + KEEPALIVE_MS;
	traversed(p, now_ms);
	timers_arm(p);
}

/* ---- expiry --------------------------------------------------------------------------------------------------- */

static bool expired(int64_t *due, int64_t now_ms)
{
	if (!*due || *due > now_ms)
		return false;
	*due = 0;
	return true;
}

static void on_retry(struct wg_peer *p, int64_t now_ms)
{
	if (p->t.kicked) {
		peer_want(p, OUT_INITIATION);
		return;
	}
	if (p->t.attempts >= REKEY_ATTEMPTS_MAX) {
		handshake_free(p);
		peer_drop_staged(p);
		p->t.keepalive_ms = 0;
		if (!p->t.erase_ms)
			p->t.erase_ms = now_ms + ERASE_AFTER_MS;
		peer_tell(p, WG_GAVE_UP);
		return;
	}
	p->t.attempts++;
	peer_want(p, OUT_INITIATION);
}

static void on_keepalive(struct wg_peer *p, int64_t now_ms)
{
	peer_want(p, OUT_KEEPALIVE);
	if (p->t.another_keepalive) {
		p->t.another_keepalive = false;
		p->t.keepalive_ms = now_ms + KEEPALIVE_MS;
	}
}

static void peer_expire(struct wg_peer *p, int64_t now_ms)
{
	if (expired(&p->t.erase_ms, now_ms)) {
		session_forget(p);
		handshake_free(p);
	}
	if (expired(&p->t.retry_ms, now_ms))
		on_retry(p, now_ms);
	if (expired(&p->t.silent_ms, now_ms))
		timers_initiation_wanted(p, now_ms);
	if (expired(&p->t.keepalive_ms, now_ms))
		on_keepalive(p, now_ms);
	if (expired(&p->t.persistent_ms, now_ms) && p->keepalive_s) {
		/* With no session the handshake it starts sets the time anew; without an answer, this does. */
		p->t.persistent_ms = now_ms + (int64_t)p->keepalive_s * 1000;
		peer_want(p, OUT_KEEPALIVE);
	}
}

int64_t wg_due_ms(const struct wg *wg)
{
	const struct loop_timer *first = timer_heap_first(&wg->timers);

	return first ? first->due_ms : INT64_MAX;
}

void wg_tick(struct wg *wg, int64_t now_ms)
{
	struct loop_timer *first;

	while ((first = timer_heap_first(&wg->timers)) && first->due_ms <= now_ms) {
		struct wg_peer *p = container_of(first, struct wg_peer, due);

		timer_heap_remove(&wg->timers, first);
		peer_expire(p, now_ms);
		timers_arm(p);
	}
}
