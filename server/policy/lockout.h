/* lockout: would a policy cut those who could take it back off the server? Pure.
 *
 * A policy can take no role from anybody, and the console is usually reached by the public URL, which no policy touches. It locks out
 * where the console is reached through the tailnet: the server's own machine is a node, and the URL, or the way by which somebody is
 * asking, leads to that node. Then the last administrator's way to it must stay. SSH from administrators is looked at, too. */
#pragma once

#include "server/policy/query.h"

struct policy_lockout_asked {
	struct addr from;	   /* who asks; family 0: on the server itself */
	const struct addr *server; /* tailnet addresses of the server's machine */
	size_t n_server;
	uint16_t port;		   /* of the console there */
	bool inside;		   /* its URL leads to such an address: there is no other way */
};

enum { LOCKOUT_CONSOLE, LOCKOUT_OWN_WAY, LOCKOUT_SSH, LOCKOUTS_N };

struct policy_lockout {
	bool is;
	bool refused; /* only with force */
	char text[300];
};
/* What holds in was and no more in is. out has LOCKOUTS_N. */
void policy_lockout(const struct policy_world *was, const struct policy_world *is, const struct policy_lockout_asked *asked,
		struct policy_lockout out[LOCKOUTS_N]);
/* Could it refuse at all? Else two views need not be made to find out. */
bool policy_lockout_possible(const struct policy_lockout_asked *asked);
const char *policy_lockout_kind(int i); /* "console" */

struct jsonw;
void policy_lockout_write(const struct policy_lockout list[LOCKOUTS_N], struct jsonw *out); /* a list */
