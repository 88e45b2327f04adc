/* ping and netcheck. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/cli/cli.h"
#include "common/base/cleanup.h"
#include "common/base/clock.h"

enum { PING_GAP_MS = 1000, PING_DEFAULT = 10, PING_ANSWER_MS = 6000 };

/* True: it came by a direct path. */
static bool print_pong(const char *peer, const json_t *p, bool *answered)
{
	const char *endpoint = cli_text(p, "endpoint"), *derp = cli_text(p, "derp");
	double ms = (double)json_integer_value(json_object_get(p, "latency_us")) / 1000;

	*answered = !json_is_true(json_object_get(p, "lost"));
	if (!*answered)
		printf("ping %s: no answer\n", peer);
	else if (*endpoint)
		printf("pong from %s via %s in %.1fms\n", peer, endpoint, ms);
	else
		printf("pong from %s via DERP(%s) in %.1fms\n", peer, derp, ms);
	fflush(stdout);
	return *answered && *endpoint;
}

int cli_ping(struct cli *c, int argc, char **argv)
{
	static const struct option o[] = { { "until-direct", optional_argument, NULL, 'u' }, { "c", required_argument, NULL, 'c' }, { 0 } };
	uint64_t count = PING_DEFAULT;
	bool until_direct = true, direct = false;
	unsigned answers = 0;
	int got;

	optind = 1;
	while ((got = getopt_long(argc, argv, "c:", o, NULL)) != -1) {
		if (got == 'u')
			until_direct = !optarg || strcmp(optarg, "false") != 0;
		else if (got != 'c' || bytes_parse_u64(bytes_str(optarg), 1000000, &count) != OK)
			return 2;
	}
	if (optind + 1 != argc) {
		fprintf(stderr, "usage: fairlead-client ping [--until-direct[=false]] [-c N] PEER\n");
		return 2;
	}
	const char *peer = argv[optind];
	for (uint64_t i = 0; (count == 0 || i < count) && !(until_direct && direct); i++) {
		int64_t next = clock_mono_ms() + PING_GAP_MS;
		json_t *line = cli_call(c, json_pack("{s:s,s:s}", "cmd", "ping", "peer", peer));
		bool answered;

		if (!line)
			return 1;
		direct = print_pong(peer, json_object_get(line, "ping"), &answered);
		answers += answered;
		json_decref(line);
		int64_t left = next - clock_mono_ms();
		if (left > 0 && i + 1 != count && !(until_direct && direct))
			usleep((useconds_t)left * 1000);
	}
	if (until_direct && !direct && answers)
		printf("direct connection not established\n");
	return answers == 0 || (until_direct && !direct) ? 1 : 0;
}

static void print_netcheck(const json_t *r)
{
	const json_t *l, *list = json_object_get(r, "Regions");
	size_t i;

	printf("\nReport:\n\t* UDP: %s\n", json_is_true(json_object_get(r, "UDP")) ? "true" : "false");
	printf("\t* IPv4: %s%s\n", *cli_text(r, "GlobalV4") ? "yes, " : "no", cli_text(r, "GlobalV4"));
	printf("\t* IPv6: %s%s\n", *cli_text(r, "GlobalV6") ? "yes, " : "no", cli_text(r, "GlobalV6"));
	const json_t *varies = json_object_get(r, "MappingVariesByDestIP");
	printf("\t* MappingVariesByDestIP: %s\n", json_is_null(varies) ? "" : json_is_true(varies) ? "true" : "false");
	printf("\t* Nearest DERP: %s\n\t* DERP latency:\n", *cli_text(r, "PreferredDERPName") ? cli_text(r, "PreferredDERPName") : "unknown");
	json_array_foreach(list, i, l)
	{
		char ms[32];

		snprintf(ms, sizeof ms, "%.1fms", json_number_value(json_object_get(l, "Latency")) * 1000);
		printf("\t\t- %4s: %-8s (%s)\n", cli_text(l, "Code"), ms, cli_text(l, "Name"));
	}
}

int cli_netcheck(struct cli *c, int argc, char **argv)
{
	bool json = argc == 2 && strcmp(argv[1], "--json") == 0;

	if (argc > 1 && !json) {
		fprintf(stderr, "usage: fairlead-client netcheck [--json]\n");
		return 2;
	}
	json_t *line = cli_call(c, json_pack("{s:s}", "cmd", "netcheck"));
	if (!line)
		return 1;
	if (json) {
		json_dumpf(json_object_get(line, "netcheck"), stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(6));
		putchar('\n');
	} else {
		print_netcheck(json_object_get(line, "netcheck"));
	}
	json_decref(line);
	return 0;
}
