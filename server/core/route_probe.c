#include "server/core/state.h"

void routes_probe(struct core *c, struct tailnet *t)
{
	(void)c;
	(void)t;
}
