/* fairlead: the coordination server with its relay, and the admin CLI.
 *
 * A tour. `fairlead serve` is server_main (server.c): it opens what the configuration names, from the database up to the
 * listeners, and takes it down in the mirror order. Then read along the way of a request:
 *
 *   front/    conn.c      a TCP or TLS connection, one strict request head, and where it goes
 *   ts2021/   session.c   /ts2021: Noise, then HTTP/2, then rpc.c: a request becomes an event
 *   core/     core.c      the truth in memory: events in, effects out; runner.c lets nothing leave before it is durable
 *   policy/   policy.h    asked by core: who may reach whom
 *   map/      map.h       asked by core: the bytes that each node must get
 *   store/    store.h     told by core: all SQL
 *   api/      http.c      REST, pages: the same commands as the CLI
 *   cli/      cli.c       everything else that this program does when it is not serving
 *
 * The relay at /derp is derp/ (relay.h, session.h). docs/architecture.md has the picture. */
#include "server/cli/cli.h"

int main(int argc, char **argv)
{
	return cli_main(argc, argv);
}
