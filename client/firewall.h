/* firewall: other programs' packet rules, watched while the tunnel stands: our two beside tailscaled's are put first again
 * when somebody changed its chain, and what a router for others needs stands while it is wanted. nft runs off the loop.
 * What stands, and why: client/route/route.h. */
#pragma once

#include "common/net/loop.h"

struct firewall;

enum {
	FIREWALL_LOOK_MS = 30 * 1000, /* for changes that nobody tells of, */
	FIREWALL_SOON_MS = 250,	      /* and after one that nft told of */
};

/* ifname is copied. */
MUST_USE err firewall_new(struct loop *loop, const char *ifname, struct firewall **out);
void firewall_free(struct firewall *f); /* stops it; loop_free waits for what that takes */
void firewall_start(struct firewall *f);
void firewall_forward(struct firewall *f, bool wanted); /* soon; between start and stop */
void firewall_stop(struct firewall *f); /* takes everything away, some milliseconds later */
