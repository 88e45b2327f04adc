#include "server/api/words.h"

static const char *const english[WORDS_N] = {
#define X(name, en) [W_##name] = en,
	WORDS(X)
#undef X
};

const char *word(enum word w)
{
	return english[w];
}
