/* fairlead-derp: a relay and STUN server that stands alone.
 *
 * The tour: options.h (flags, file) -> derpd.h (threads, listeners, signals) -> door.h (TLS and the request head) ->
 * conn.h (bytes of a client) -> session.h (its protocol) -> relay.h (packets from client to client, directory.h between
 * threads). Beside: relay_mesh.h and mesh_link.h (other relays of the region), admit_list.h and admit_url.h (who may come
 * in), status.h (what an operator sees), join.h (the map of a server), stun_server.h. The server uses the same relay behind its own front. */
#include <stdio.h>
#include <stdlib.h>

#include "common/base/log.h"
#include "common/base/memory.h"
#include "common/base/version.h"
#include "derp/derpd.h"
#include "derp/join.h"
#include "derp/status.h"

static int fail(const char *why)
{
	fprintf(stderr, "fairlead-derp: %s\n", why);
	return 1;
}

int main(int argc, char **argv)
{
	struct derpd_options o;
	struct derpd *d;
	char why[1024] = "";

	if (options_parse(argc, argv, &o, why, sizeof why) != OK)
		return fail(why);
	if (o.help) {
		options_help(stdout);
		options_done(&o);
		return 0;
	}
	if (o.version) {
		printf("fairlead-derp %s (%s)\n", fairlead_version, fairlead_commit);
		options_done(&o);
		return 0;
	}
	if (o.status) {
		int rc = status_run(o.state_dir, o.json, o.rates, stdout, stderr);

		options_done(&o);
		return rc;
	}
	if (o.join || o.leave) {
		int rc = join_run(o.state_dir, o.join ? o.join : o.leave, o.leave != NULL, stdout, stderr);

		options_done(&o);
		return rc;
	}
	memory_settle();
	log_set_level(o.debug ? LOG_DEBUG : LOG_INFO);
	if (derpd_start(&o, argc, argv, why, sizeof why, &d) != OK) {
		options_done(&o);
		return fail(why);
	}
	printf("The derpMap entry for this relay:\n");
	derpd_print_map(d, stdout);
	derpd_run(d);
	derpd_free(d);
	options_done(&o);
	return 0;
}
