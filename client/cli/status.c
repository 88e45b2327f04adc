/* status, ip, whois: all from the daemon's status. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/cli/cli.h"
#include "common/base/cleanup.h"
#include "common/base/clock.h"

static json_t *get_status(struct cli *c, bool peers)
{
	json_t *line = cli_call(c, json_pack("{s:s,s:b}", "cmd", "status", "peers", peers));
	json_t *s = line ? json_incref(json_object_get(line, "status")) : NULL;

	json_decref(line);
	return s;
}

/* "host" of "host.tailnet.example.com.", where the rest is ours. */
static const char *short_name(const json_t *status, const json_t *node, char *out, size_t cap)
{
	const char *dns = cli_text(node, "DNSName"), *suffix = cli_text(status, "MagicDNSSuffix");
	size_t n = strlen(dns), s = strlen(suffix);

	while (n && dns[n - 1] == '.')
		n--;
	if (s && n > s + 1 && dns[n - s - 1] == '.' && strncmp(dns + n - s, suffix, s) == 0)
		n -= s + 1;
	if (n == 0)
		snprintf(out, cap, "\"%s\"", cli_text(node, "HostName"));
	else
		snprintf(out, cap, "%.*s", (int)n, dns);
	return out;
}

/* "alice@" of "alice@example.com". */
static const char *owner(const json_t *status, const json_t *node, char *out, size_t cap)
{
	char id[32];
	json_int_t user = json_integer_value(json_object_get(node, "UserID"));

	snprintf(id, sizeof id, "%lld", (long long)user);
	const char *login = cli_text(json_object_get(json_object_get(status, "User"), id), "LoginName");
	if (json_array_size(json_object_get(node, "Tags")))
		snprintf(out, cap, "tagged-devices");
	else if (user == 0)
		snprintf(out, cap, "-");
	else if (!*login)
		snprintf(out, cap, "userid:%s", id);
	else
		snprintf(out, cap, "%.*s", (int)(strchr(login, '@') ? strchr(login, '@') - login + 1 : (long)strlen(login)), login);
	return out;
}

static void print_since(const char *when)
{
	int64_t then, s;

	if (time_parse_rfc3339(bytes_str(when), &then) != OK || then <= 0)
		return;
	s = (clock_wall_ms() - then) / 1000;
	if (s < 120)
		printf(", last seen %llds ago", (long long)s);
	else if (s < 2 * 3600)
		printf(", last seen %lldm ago", (long long)(s / 60));
	else if (s < 48 * 3600)
		printf(", last seen %lldh ago", (long long)(s / 3600));
	else
		printf(", last seen %lldd ago", (long long)(s / 86400));
}

static void print_node(const json_t *status, const json_t *node, bool is_self)
{
	char name[300], user[80];
	json_int_t tx = json_integer_value(json_object_get(node, "TxBytes")), rx = json_integer_value(json_object_get(node, "RxBytes"));
	bool active = json_is_true(json_object_get(node, "Active")), online = json_is_true(json_object_get(node, "Online"));
	const char *direct = cli_text(node, "CurAddr"), *relay = cli_text(node, "Relay"), *ip =
		json_string_value(json_array_get(json_object_get(node, "TailscaleIPs"), 0));

	printf("%-15s %-20s %-12s %-7s ", ip ? ip : "", short_name(status, node, name, sizeof name),
		owner(status, node, user, sizeof user), cli_text(node, "OS"));
	bool is_exit = json_is_true(json_object_get(node, "ExitNode")), offers_exit = json_is_true(json_object_get(node, "ExitNodeOption"));
	bool says_offline = !is_self && !online;

	if (active)
		printf("active");
	if (is_exit || offers_exit)
		printf("%s; %s", active ? "" : "idle", is_exit ? "exit node" : "offers exit node");
	else if (!active && (tx || rx))
		printf("idle");
	else if (!active && says_offline)
		printf("offline"), print_since(cli_text(node, "LastSeen")), says_offline = false;
	else if (!active)
		putchar('-');
	if (active && *direct)
		printf("; direct %s", direct);
	else if (active && *relay)
		printf("; relay \"%s\"", relay);
	if (says_offline)
		printf("; offline"), print_since(cli_text(node, "LastSeen"));
	if (tx || rx)
		printf(", tx %lld rx %lld", (long long)tx, (long long)rx);
	putchar('\n');
}

static int by_name(const void *a, const void *b)
{
	const json_t *x = *(json_t *const *)a, *y = *(json_t *const *)b;

	return strcmp(cli_text(x, "DNSName"), cli_text(y, "DNSName"));
}

static void print_peers(const json_t *status, bool active_only)
{
	json_t *peers = json_object_get(status, "Peer"), *p;
	size_t n = 0, room = json_object_size(peers);
	json_t **list = calloc(room + 1, sizeof *list);
	const char *key;

	if (!list)
		return;
	json_object_foreach(peers, key, p)
		if (!json_is_true(json_object_get(p, "ShareeNode")) &&
			(!active_only || json_is_true(json_object_get(p, "Active"))))
			list[n++] = p;
	qsort(list, n, sizeof *list, by_name);
	for (size_t i = 0; i < n; i++)
		print_node(status, list[i], false);
	free(list);
}

static void print_health(const json_t *s)
{
	const json_t *health = json_object_get(s, "Health"), *line;
	size_t i;

	if (json_array_size(health))
		printf("\n# Health check:\n");
	json_array_foreach(health, i, line)
		printf("#     - %s\n", json_string_value(line));
}

static int print_status(const json_t *s, bool peers, bool active, bool with_self)
{
	const char *state = cli_text(s, "BackendState");

	if (strcmp(state, "Stopped") == 0) {
		printf("fairlead-client is stopped.\n");
		return 1;
	}
	if (strcmp(state, "NeedsLogin") == 0) {
		bool had = json_is_object(json_object_get(s, "Self"));

		printf(had ? "This machine must log in again.\n" : "Logged out.\n");
		if (*cli_text(s, "AuthURL"))
			printf("Log in at: %s\n", cli_text(s, "AuthURL"));
		print_health(s);
		return 1;
	}
	if (strcmp(state, "NeedsMachineAuth") == 0)
		printf("This machine waits to be approved by an administrator.\n");
	else if (strcmp(state, "Running") != 0)
		printf("State: %s\n", state);
	if (with_self && json_is_object(json_object_get(s, "Self")))
		print_node(s, json_object_get(s, "Self"), true);
	if (peers)
		print_peers(s, active);
	print_health(s);
	return strcmp(state, "Running") == 0 ? 0 : 1;
}

static bool flag_value(const char *arg)
{
	return !arg || (strcmp(arg, "false") != 0 && strcmp(arg, "0") != 0);
}

int cli_status(struct cli *c, int argc, char **argv)
{
	static const struct option o[] = { { "json", optional_argument, NULL, 'j' }, { "peers", optional_argument, NULL, 'p' },
		{ "active", optional_argument, NULL, 'a' }, { "self", optional_argument, NULL, 's' }, { 0 } };
	bool json = false, peers = true, active = false, self = true;
	int got, rc = 0;

	optind = 1;
	while ((got = getopt_long(argc, argv, "", o, NULL)) != -1) {
		if (got == '?')
			return 2;
		*(got == 'j' ? &json : got == 'p' ? &peers : got == 'a' ? &active : &self) = flag_value(optarg);
	}
	json_t *s = get_status(c, peers);
	if (!s)
		return 1;
	if (json) {
		json_dumpf(s, stdout, JSON_INDENT(2));
		putchar('\n');
	} else {
		rc = print_status(s, peers, active, self);
	}
	json_decref(s);
	return rc;
}

/* ---- ip, whois ----------------------------------------------------------------------------------------------------- */

static bool has_ip(const json_t *node, const char *ip)
{
	const json_t *v;
	size_t i;

	json_array_foreach(json_object_get(node, "TailscaleIPs"), i, v)
		if (strcmp(json_string_value(v), ip) == 0)
			return true;
	return false;
}

static bool is_called(const json_t *status, const json_t *node, const char *what)
{
	char name[300];
	const char *dns = cli_text(node, "DNSName");
	size_t n = strlen(what);

	return has_ip(node, what) || strcasecmp(short_name(status, node, name, sizeof name), what) == 0 ||
		strcasecmp(dns, what) == 0 || (n && strncasecmp(dns, what, n) == 0 && strcmp(dns + n, ".") == 0);
}

/* Borrowed from status. */
static const json_t *find(const json_t *status, const char *what)
{
	json_t *peers = json_object_get(status, "Peer"), *p, *self = json_object_get(status, "Self");
	const char *key;

	if (json_is_object(self) && is_called(status, self, what))
		return self;
	json_object_foreach(peers, key, p)
		if (is_called(status, p, what))
			return p;
	return NULL;
}

int cli_ip(struct cli *c, int argc, char **argv)
{
	bool only4 = false, only6 = false, first = false;
	const char *who = NULL;
	const json_t *ip;
	size_t i, printed = 0;

	for (int k = 1; k < argc; k++) {
		if (strcmp(argv[k], "-4") == 0)
			only4 = true;
		else if (strcmp(argv[k], "-6") == 0)
			only6 = true;
		else if (strcmp(argv[k], "-1") == 0)
			first = true;
		else if (argv[k][0] != '-' && !who)
			who = argv[k];
		else {
			fprintf(stderr, "usage: fairlead-client ip [-1] [-4|-6] [PEER]\n");
			return 2;
		}
	}
	json_t *s = get_status(c, who != NULL);
	if (!s)
		return 1;
	const json_t *node = who ? find(s, who) : json_object_get(s, "Self");
	json_array_foreach(json_object_get(node, "TailscaleIPs"), i, ip) {
		bool six = strchr(json_string_value(ip), ':');

		if ((only4 && six) || (only6 && !six) || (first && printed))
			continue;
		puts(json_string_value(ip));
		printed++;
	}
	if (!printed)
		fprintf(stderr, "fairlead-client: %s\n", who && !node ? "no such peer" : "no address");
	json_decref(s);
	return printed ? 0 : 1;
}

int cli_whois(struct cli *c, int argc, char **argv)
{
	char ip[64], id[32];

	if (argc != 2) {
		fprintf(stderr, "usage: fairlead-client whois IP[:PORT]\n");
		return 2;
	}
	/* A port is of no interest: a node has its addresses to itself. */
	const char *colon = strchr(argv[1], ':');
	bool has_port = colon && colon == strrchr(argv[1], ':');
	snprintf(ip, sizeof ip, "%.*s", has_port ? (int)(colon - argv[1]) : (int)sizeof ip, argv[1]);
	json_t *s = get_status(c, true);
	if (!s)
		return 1;
	const json_t *n = find(s, ip);
	if (!n) {
		fprintf(stderr, "fairlead-client: nobody in the tailnet has %s\n", ip);
		json_decref(s);
		return 1;
	}
	const char *dns = cli_text(n, "DNSName");
	size_t len = strlen(dns);
	printf("Machine:\n  Name:          %.*s\n  ID:            %s\n  Addresses:    ", (int)(len && dns[len - 1] == '.' ? len - 1 : len), dns,
		cli_text(n, "ID"));
	const json_t *v;
	size_t i;
	json_array_foreach(json_object_get(n, "TailscaleIPs"), i, v)
		printf(" %s", json_string_value(v));
	putchar('\n');
	if (json_array_size(json_object_get(n, "Tags"))) {
		printf("  Tags:         ");
		json_array_foreach(json_object_get(n, "Tags"), i, v)
			printf(" %s", json_string_value(v));
		putchar('\n');
	} else {
		json_int_t user = json_integer_value(json_object_get(n, "UserID"));
		snprintf(id, sizeof id, "%lld", (long long)user);
		const json_t *u = json_object_get(json_object_get(s, "User"), id);
		printf("User:\n  Name:          %s\n  ID:            %s\n", cli_text(u, "LoginName"), id);
	}
	json_decref(s);
	return 0;
}
