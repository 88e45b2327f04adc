#include "server/banner.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/cleanup.h"
#include "common/base/version.h"
#include "server/derp_region.h"

/* How to type this program's name here: relative to the working directory when it lies below it. */
static void program_name(char *out, size_t cap)
{
	char exe[PATH_MAX], cwd[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 1);

	snprintf(out, cap, "fairlead");
	if (n <= 0)
		return;
	exe[n] = 0;
	if (getcwd(cwd, sizeof cwd) && strncmp(exe, cwd, strlen(cwd)) == 0 && exe[strlen(cwd)] == '/')
		snprintf(out, cap, ".%s", exe + strlen(cwd));
	else if (strncmp(exe, "/usr/", 5) != 0)
		snprintf(out, cap, "%s", exe);
}

/* " -c FILE" unless the CLI finds this configuration by itself. */
static void config_flag(const char *file, char *out, size_t cap)
{
	static const char *const found[] = { "config.toml", "run/config.toml", "/etc/fairlead/config.toml" };
	char want[PATH_MAX], have[PATH_MAX];

	out[0] = 0;
	if (!realpath(file, want))
		return;
	for (size_t i = 0; i < ARRAY_LEN(found); i++)
		if (realpath(found[i], have)) {
			if (strcmp(want, have) == 0)
				return;
			break; /* the CLI would take this other one */
		}
	snprintf(out, cap, " -c %s", file);
}

static bool is_public_plain(const struct config *c)
{
	CLEANUP(arena_done) struct arena a = arena_make(0);
	const char *host = server_url_host(&a, c->server_url);
	struct addr addr;

	if (strncmp(c->server_url, "http://", 7) != 0 || !host || strcmp(host, "localhost") == 0)
		return false;
	return addr_parse(bytes_str(host), &addr) != OK || !(addr_is_private(addr) || addr_is_loopback(addr));
}

void banner_print(const struct banner *b)
{
	const struct config *c = b->cfg;
	char prog[PATH_MAX], flag[PATH_MAX + 8], text[ADDRPORT_TEXT_MAX], data[PATH_MAX];

	program_name(prog, sizeof prog);
	config_flag(c->file, flag, sizeof flag);
	if (!realpath(c->database_path, data))
		snprintf(data, sizeof data, "%s", c->database_path);

	printf("\nFairlead %s is running at %s\n", fairlead_version, c->server_url);
	printf("  listening on");
	for (size_t i = 0; i < b->n_listeners; i++)
		printf("%s %s (%s)", i ? "," : "", addrport_text(b->listeners[i].at, text), b->listeners[i].tls ? "TLS" : "plain HTTP");
	printf("\n\nJoin a first device with the official client:\n");
	printf("  tailscale up --login-server %s\n", c->server_url);
	printf("or with ours, on Linux:\n");
	printf("  fairlead-client up --login-server %s\n", c->server_url);
	if (c->n_oidc_all) {
		printf("It prints a link; whoever opens it signs in at the identity provider and connects the device.\n");
	} else {
		printf("It prints a link; whoever signs in there connects the device. The first to sign in is the owner, by this link:\n");
		printf("  %s%s console login --user alice\n", prog, flag);
		printf("Or let devices in from here: the page of the link shows the one command. Make their owner first:\n");
		printf("  %s%s users create alice\n", prog, flag);
	}
	printf("Without a page, by key:\n");
	printf("  %s%s preauthkeys create --user alice\n", prog, flag);
	printf("  tailscale up --login-server %s --auth-key KEY\n", c->server_url);
	printf("\nAll data, the server's keys included, lies in %s\n", data);
	if (c->derp_server.enabled && b->self_made)
		printf("The relay shows a self-made certificate, which clients pin through the DERP map.\n");
	if (is_public_plain(c))
		printf("First contact is unauthenticated, because %s is plain HTTP on a public address: for a real tailnet get a\n"
		       "certificate and set tls_cert_path, tls_key_path and an https:// server_url.\n",
			c->server_url);
	printf("Stop it with Ctrl-C (or SIGTERM to process %d); started again, it goes on where it was.\n\n", (int)getpid());
	fflush(stdout);
}
