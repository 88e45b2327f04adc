#include "client/wg/replay.h"

enum { WORD_BITS = 64 };

bool wg_replay_accept(struct wg_replay *r, uint64_t counter)
{
	uint64_t word = counter / WORD_BITS, newest = r->newest ? r->newest - 1 : 0;
	uint64_t bit = 1ULL << (counter % WORD_BITS);

	if (counter + 1 > r->newest) {
		/* The words between the newest so far and this one leave the window. */
		uint64_t from = newest / WORD_BITS, clear = word - from;

		if (clear > WG_REPLAY_WORDS)
			clear = WG_REPLAY_WORDS;
		for (uint64_t i = 1; i <= clear; i++)
			r->bits[(from + i) % WG_REPLAY_WORDS] = 0;
		r->newest = counter + 1;
	} else if (newest - counter >= WG_REPLAY_WINDOW) {
		return false;
	}
	uint64_t *w = &r->bits[word % WG_REPLAY_WORDS];
	if (*w & bit)
		return false;
	*w |= bit;
	return true;
}
