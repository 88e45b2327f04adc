/* fairlead-client: a WireGuard mesh node. The guided tour:
 *
 *	daemon.h	the long-running half and how its parts hang together
 *	control/	the control server: control.h (protocol), link.h (sockets), mapparse.h (what it says)
 *	netmap.h	what came of it: peers, filter, names, relays
 *	dataplane.h	packets: tun/, wg/, path/, filter/, route/, dns/
 *	local.h, cli/	what a person asks for
 *	state.h		what is kept on disk
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "client/cli/cli.h"
#include "client/daemon.h"
#include "common/base/cleanup.h"
#include "common/base/log.h"
#include "common/base/memory.h"

static int run_daemon(const char *socket, int argc, char **argv)
{
	static const struct option o[] = { { "state-dir", required_argument, NULL, 'd' }, { "tun", required_argument, NULL, 't' },
		{ "no-tun", no_argument, NULL, 'n' }, { "port", required_argument, NULL, 'p' }, { "mtu", required_argument, NULL, 'm' },
		{ "socket", required_argument, NULL, 's' }, { "verbose", no_argument, NULL, 'v' }, { 0 } };
	struct daemon_opts opts = { .dir = CLI_STATE_DIR, .socket = socket, .tun = "fairlead0", .mtu = 1280 };
	struct rlimit no_core = { 0 };
	struct daemon *d;
	uint64_t n;
	int got;

	while ((got = getopt_long(argc, argv, "v", o, NULL)) != -1) {
		switch (got) {
		case 'd':
			opts.dir = optarg;
			break;
		case 't':
			opts.tun = optarg;
			break;
		case 'n':
			opts.tun = "";
			break;
		case 's':
			opts.socket = optarg;
			break;
		case 'v':
			log_set_level(LOG_DEBUG);
			break;
		case 'p':
		case 'm':
			if (bytes_parse_u64(bytes_str(optarg), 65535, &n) != OK) {
				fprintf(stderr, "fairlead-client: \"%s\" is no number from 0 to 65535\n", optarg);
				return 2;
			}
			if (got == 'p')
				opts.port = (uint16_t)n;
			else
				opts.mtu = (unsigned)n;
			break;
		default:
			return 2;
		}
	}
	if (optind != argc || opts.mtu < 1280) {
		fprintf(stderr, "usage: fairlead-client daemon [--state-dir=DIR] [--socket=PATH] [--tun=NAME | --no-tun] [--port=N] [--mtu=N]\n");
		return 2;
	}
	memory_settle();
	setrlimit(RLIMIT_CORE, &no_core); /* keys are in memory */
	if (daemon_new(&opts, &d) != OK)
		return 1;
	log_info("ready", "socket=%s state=%s", opts.socket, opts.dir);
	daemon_run(d);
	daemon_free(d);
	return 0;
}

int main(int argc, char **argv)
{
	struct cli c = { .socket = getenv("FAIRLEAD_CLIENT_SOCKET"), .fd = -1 };

	if (!c.socket || !*c.socket)
		c.socket = CLI_SOCKET;
	if (sodium_init() < 0)
		return 1;
	argv++, argc--;
	while (argc && strncmp(argv[0], "--socket=", 9) == 0)
		c.socket = argv[0] + 9, argv++, argc--;
	if (argc && strcmp(argv[0], "daemon") == 0)
		return run_daemon(c.socket, argc, argv);
	return cli_run(&c, argc, argv);
}
