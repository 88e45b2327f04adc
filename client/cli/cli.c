#include "client/cli/cli.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/base/cleanup.h"
#include "common/base/clock.h"
#include "common/base/version.h"

enum { LINE_MAX_BYTES = 64 << 20, READ_STEP = 64 << 10 };

/* ---- talking to the daemon ----------------------------------------------------------------------------------------- */

static bool dial(struct cli *c)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };

	if (c->fd >= 0)
		return true;
	if (bytes_copy(sa.sun_path, sizeof sa.sun_path - 1, bytes_str(c->socket)) != OK) {
		fprintf(stderr, "fairlead-client: the socket's path is too long: %s\n", c->socket);
		return false;
	}
	c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&sa, sizeof sa) != 0) {
		fprintf(stderr, "fairlead-client: %s: %s\n", c->socket,
			errno == ENOENT || errno == ECONNREFUSED ? "the daemon is not running (start it: fairlead-client daemon)"
								  : strerror(errno));
		return false;
	}
	c->in = buf_make(LINE_MAX_BYTES);
	return true;
}

bool cli_ask(struct cli *c, json_t *request)
{
	bool ok = dial(c);
	char *text = ok && request ? json_dumps(request, JSON_COMPACT) : NULL;

	json_decref(request);
	for (size_t at = 0, n = text ? strlen(text) : 0; ok && at <= n;) {
		/* The newline replaces the NUL. */
		if (at == 0)
			text[n] = '\n';
		ssize_t sent = send(c->fd, text + at, n + 1 - at, MSG_NOSIGNAL);
		if (sent < 0 && errno != EINTR) {
			fprintf(stderr, "fairlead-client: the daemon went away\n");
			ok = false;
		} else if (sent > 0) {
			at += (size_t)sent;
		}
	}
	free(text);
	return ok && text;
}

static bool take_line(struct cli *c, json_t **out)
{
	struct bytes all = buf_view(&c->in);
	const uint8_t *end = all.n ? memchr(all.p, '\n', all.n) : NULL;

	if (!end)
		return false;
	size_t n = (size_t)(end - all.p);
	*out = json_loadb((const char *)all.p, n, 0, NULL);
	buf_consume(&c->in, n + 1);
	return true;
}

bool cli_next(struct cli *c, int timeout_ms, json_t **out, bool *timed_out)
{
	int64_t end = clock_mono_ms() + timeout_ms;

	*timed_out = false;
	while (!take_line(c, out)) {
		struct pollfd p = { .fd = c->fd, .events = POLLIN };
		int64_t left = end - clock_mono_ms();

		if (timeout_ms >= 0 && left <= 0) {
			*timed_out = true;
			return false;
		}
		if (poll(&p, 1, timeout_ms < 0 ? -1 : (int)left) <= 0)
			continue;
		uint8_t *room = buf_reserve(&c->in, READ_STEP);
		ssize_t n = room ? read(c->fd, room, READ_STEP) : 0;
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			fprintf(stderr, "fairlead-client: the daemon went away\n");
			return false;
		}
		buf_commit(&c->in, (size_t)n);
	}
	return *out != NULL;
}

bool cli_is_done(const json_t *line)
{
	return json_is_true(json_object_get(line, "done"));
}

const char *cli_error(const json_t *line)
{
	return json_string_value(json_object_get(line, "error"));
}

const char *cli_text(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s ? s : "";
}

json_t *cli_call(struct cli *c, json_t *request)
{
	json_t *line;
	bool timed_out;

	if (!cli_ask(c, request) || !cli_next(c, -1, &line, &timed_out))
		return NULL;
	if (!cli_error(line))
		return line;
	fprintf(stderr, "fairlead-client: %s\n", cli_error(line));
	json_decref(line);
	return NULL;
}

/* ---- small verbs --------------------------------------------------------------------------------------------------- */

static int simple(struct cli *c, const char *cmd)
{
	json_t *line = cli_call(c, json_pack("{s:s}", "cmd", cmd));

	json_decref(line);
	return line ? 0 : 1;
}

static int cli_down(struct cli *c, int argc, char **argv)
{
	(void)argc;
	(void)argv;
	return simple(c, "down");
}

static int cli_logout(struct cli *c, int argc, char **argv)
{
	(void)argc;
	(void)argv;
	return simple(c, "logout");
}

static int cli_wait(struct cli *c, int argc, char **argv)
{
	(void)argc;
	(void)argv;
	return simple(c, "wait");
}

static int cli_debug(struct cli *c, int argc, char **argv)
{
	if (argc != 2 || (strcmp(argv[1], "netmap") && strcmp(argv[1], "paths") && strcmp(argv[1], "filter"))) {
		fprintf(stderr, "usage: fairlead-client debug netmap|paths|filter\n");
		return 2;
	}
	json_t *line = cli_call(c, json_pack("{s:s,s:s}", "cmd", "debug", "what", argv[1]));
	if (!line)
		return 1;
	json_dumpf(json_object_get(line, "debug"), stdout, JSON_INDENT(2) | JSON_ENCODE_ANY | JSON_REAL_PRECISION(6));
	putchar('\n');
	json_decref(line);
	return 0;
}

static int cli_version(struct cli *c, int argc, char **argv)
{
	(void)c;
	(void)argc;
	(void)argv;
	printf("fairlead-client %s (%s)\n", fairlead_version, fairlead_commit);
	return 0;
}

#define SETTINGS_HELP                                                                                                         \
	"\nSettings are remembered; one that is not given to up keeps its value, or up says which would be lost:\n"        \
	"  --hostname=NAME                     instead of the machine's\n"                                                  \
	"  --accept-dns[=false]                use the tailnet's names and resolvers (default: yes)\n"                      \
	"  --accept-routes[=false]             use the subnet routes that peers offer\n"                                    \
	"  --exit-node=NAME|IP                 send everything else through that peer; empty: none\n"                       \
	"  --exit-node-allow-lan-access[=false]\n"                                                                          \
	"  --advertise-routes=10.0.0.0/24,…    offer them to others\n"                                                      \
	"  --advertise-exit-node[=false]\n"                                                                                 \
	"  --advertise-tags=tag:a,…\n"                                                                                      \
	"  --shields-up[=false]                let nothing in but replies"

static const struct {
	const char *name, *help, *usage;
	int (*run)(struct cli *c, int argc, char **argv);
} verbs[] = {
	{ "up", "connect, logging in where needed", "[--login-server=URL] [--auth-key=KEY|file:PATH] [--timeout=30s] [--qr=false] [--reset]\n"
		"          [--force-reauth] [SETTING…]\n" SETTINGS_HELP, cli_up },
	{ "down", "disconnect, stay logged in", "", cli_down },
	{ "set", "change a setting", "SETTING…\n" SETTINGS_HELP, cli_set },
	{ "logout", "disconnect and expire this machine's key", "", cli_logout },
	{ "status", "this machine and its peers", "[--json] [--active] [--peers=false] [--self=false]", cli_status },
	{ "ip", "addresses of this machine or a peer", "[-1] [-4|-6] [PEER]", cli_ip },
	{ "ping", "ping a peer and say which way it goes", "[--until-direct[=false]] [-c N] PEER", cli_ping },
	{ "netcheck", "what this network lets through", "[--json]", cli_netcheck },
	{ "whois", "who has an address", "IP[:PORT]", cli_whois },
	{ "wait", "until connected", "", cli_wait },
	{ "debug", "netmap, paths, filter", "netmap|paths|filter", cli_debug },
	{ "version", "of this program", "", cli_version },
};

int cli_run(struct cli *c, int argc, char **argv)
{
	for (size_t i = 0; argc && i < ARRAY_LEN(verbs); i++)
		if (strcmp(argv[0], verbs[i].name) == 0) {
			int rc = 0;

			if (argc == 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0))
				printf("%s\n\nusage: fairlead-client %s %s\n", verbs[i].help, verbs[i].name, verbs[i].usage);
			else
				rc = verbs[i].run(c, argc, argv);

			if (c->fd >= 0)
				close(c->fd);
			buf_done(&c->in);
			return rc;
		}
	bool asked = argc && (strcmp(argv[0], "--help") == 0 || strcmp(argv[0], "-h") == 0 || strcmp(argv[0], "help") == 0);
	FILE *to = asked ? stdout : stderr;
	if (argc && !asked)
		fprintf(to, "fairlead-client: there is no \"%s\"\n", argv[0]);
	fprintf(to, "usage: fairlead-client [--socket=PATH] VERB …\n\n  daemon     the long-running half\n");
	for (size_t i = 0; i < ARRAY_LEN(verbs); i++)
		fprintf(to, "  %-10s %s\n", verbs[i].name, verbs[i].help);
	fprintf(to, "\nfairlead-client VERB --help says more.\n");
	return asked ? 0 : 2;
}
