/* banner: what a person reads when the server has started: where it is, how to join, where the data lies, how to stop. */
#pragma once

#include "server/config.h"
#include "server/front/front.h"

struct banner {
	const struct config *cfg;
	const struct front_listener *listeners;
	size_t n_listeners;
	bool self_made; /* the TLS listeners show the self-made certificate */
};

/* Plain words to stdout. */
void banner_print(const struct banner *b);
