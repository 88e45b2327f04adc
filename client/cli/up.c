/* up and set: settings from flags, what is remembered, and the progress of a login. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/cli/cli.h"
#include "common/base/cleanup.h"
#include "common/base/clock.h"

enum { AUTH_KEY_FILE_MAX = 600 };

enum kind { TEXT, FLAG, LIST };

/* The settings that are remembered. */
static const struct setting {
	const char *flag, *pref;
	enum kind kind;
	bool otherwise; /* default of a FLAG */
} settings[] = {
	{ "login-server", "LoginServer", TEXT, false },
	{ "hostname", "Hostname", TEXT, false },
	{ "accept-dns", "AcceptDNS", FLAG, true },
	{ "accept-routes", "AcceptRoutes", FLAG, false },
	{ "shields-up", "ShieldsUp", FLAG, false },
	{ "advertise-tags", "AdvertiseTags", LIST, false },
	{ "exit-node", "ExitNode", TEXT, false },
	{ "exit-node-allow-lan-access", "ExitNodeAllowLANAccess", FLAG, false },
	{ "advertise-routes", "AdvertiseRoutes", LIST, false },
	{ "advertise-exit-node", "AdvertiseExitNode", FLAG, false },
};
enum { SETTINGS = ARRAY_LEN(settings), OPT_AUTH_KEY = 100, OPT_TIMEOUT, OPT_RESET, OPT_FORCE, OPT_QR };

struct up_args {
	bool given[SETTINGS], any;
	const char *auth_key;
	char *auth_key_owned;
	int64_t timeout_ms; /* < 0: none */
	bool reset, force, qr;
};

static json_t *list_of(const char *text)
{
	json_t *l = json_array();
	struct bytes rest = bytes_str(text);

	while (rest.n) {
		struct bytes one = bytes_trim(bytes_cut(rest, ',', &rest));

		if (one.n)
			json_array_append_new(l, json_stringn((const char *)one.p, one.n));
	}
	return l;
}

/* The flag's value into prefs. False: it is none. */
static bool put(json_t *prefs, const struct setting *s, const char *arg)
{
	json_t *v = NULL;

	if (s->kind == TEXT)
		v = json_string(arg ? arg : "");
	else if (s->kind == LIST)
		v = list_of(arg ? arg : "");
	else if (!arg || strcmp(arg, "true") == 0 || strcmp(arg, "1") == 0)
		v = json_true();
	else if (strcmp(arg, "false") == 0 || strcmp(arg, "0") == 0)
		v = json_false();
	return v && json_object_set_new(prefs, s->pref, v) == 0;
}

static bool is_default(const json_t *prefs, const struct setting *s)
{
	const json_t *v = json_object_get(prefs, s->pref);

	switch (s->kind) {
	case TEXT:
		return !v || !*json_string_value(v);
	case LIST:
		return json_array_size(v) == 0;
	case FLAG:
		return !v || json_is_true(v) == s->otherwise;
	}
	return true;
}

static void print_setting(const json_t *prefs, const struct setting *s)
{
	const json_t *v = json_object_get(prefs, s->pref), *one;
	size_t i;

	fprintf(stderr, " --%s=", s->flag);
	if (s->kind == TEXT)
		fprintf(stderr, "%s", json_string_value(v));
	else if (s->kind == FLAG)
		fprintf(stderr, "%s", json_is_true(v) ? "true" : "false");
	else
		json_array_foreach(v, i, one)
			fprintf(stderr, "%s%s", i ? "," : "", json_string_value(one));
}

/* A key in a file: "file:PATH". */
static const char *read_auth_key(struct up_args *a, const char *arg)
{
	FILE *f;

	if (strncmp(arg, "file:", 5) != 0)
		return arg;
	f = fopen(arg + 5, "re");
	a->auth_key_owned = calloc(1, AUTH_KEY_FILE_MAX);
	if (!f || !a->auth_key_owned || !fgets(a->auth_key_owned, AUTH_KEY_FILE_MAX, f)) {
		fprintf(stderr, "fairlead-client: %s: %m\n", arg + 5);
		if (f)
			fclose(f);
		return NULL;
	}
	fclose(f);
	a->auth_key_owned[strcspn(a->auth_key_owned, "\r\n")] = 0;
	return a->auth_key_owned;
}

/* 0, or the exit status. */
static int parse(int argc, char **argv, bool is_set, json_t *prefs, struct up_args *a)
{
	struct option o[SETTINGS + 6] = { 0 };
	size_t n = 0;
	int got;

	for (; n < SETTINGS; n++)
		o[n] = (struct option){ settings[n].flag, settings[n].kind == FLAG ? optional_argument : required_argument, NULL, (int)n + 1 };
	if (!is_set) {
		o[n++] = (struct option){ "auth-key", required_argument, NULL, OPT_AUTH_KEY };
		o[n++] = (struct option){ "timeout", required_argument, NULL, OPT_TIMEOUT };
		o[n++] = (struct option){ "reset", no_argument, NULL, OPT_RESET };
		o[n++] = (struct option){ "force-reauth", no_argument, NULL, OPT_FORCE };
		o[n++] = (struct option){ "qr", optional_argument, NULL, OPT_QR };
	}
	optind = 1;
	while ((got = getopt_long(argc, argv, "", o, NULL)) != -1) {
		if (got >= 1 && got <= (int)SETTINGS) {
			if (!put(prefs, &settings[got - 1], optarg)) {
				fprintf(stderr, "fairlead-client: --%s: true or false\n", settings[got - 1].flag);
				return 2;
			}
			a->given[got - 1] = a->any = true;
		} else if (got == OPT_AUTH_KEY) {
			a->auth_key = read_auth_key(a, optarg);
			if (!a->auth_key)
				return 1;
		} else if (got == OPT_TIMEOUT) {
			if (duration_parse(bytes_str(optarg), &a->timeout_ms) != OK) {
				fprintf(stderr, "fairlead-client: --timeout: such as 30s or 2m\n");
				return 2;
			}
			if (a->timeout_ms == 0)
				a->timeout_ms = -1;
		} else if (got == OPT_RESET) {
			a->reset = true;
		} else if (got == OPT_FORCE) {
			a->force = true;
		} else if (got == OPT_QR) {
			a->qr = !optarg || strcmp(optarg, "false") != 0;
		} else {
			return 2;
		}
	}
	if (optind != argc) {
		fprintf(stderr, "fairlead-client: what is \"%s\"?\n", argv[optind]);
		return 2;
	}
	return 0;
}

static json_t *remembered(struct cli *c)
{
	json_t *line = cli_call(c, json_pack("{s:s}", "cmd", "prefs"));
	json_t *prefs = line ? json_deep_copy(json_object_get(line, "prefs")) : NULL;

	json_decref(line);
	return prefs;
}

/* An `up` with some flags means exactly these settings: one that it would silently drop is named instead. */
static bool would_forget(const json_t *before, const struct up_args *a, char **argv, int argc)
{
	bool any = false;

	for (size_t i = 0; i < SETTINGS; i++)
		any |= !a->given[i] && i != 0 && !is_default(before, &settings[i]);
	if (!a->any || a->reset || !any)
		return false;
	fprintf(stderr, "fairlead-client: this up would drop settings that are remembered. Repeat them:\n\n\tfairlead-client");
	for (int i = 0; i < argc; i++)
		if (strncmp(argv[i], "--auth-key", 10) != 0)
			fprintf(stderr, " %s", argv[i]);
	for (size_t i = 0; i < SETTINGS; i++)
		if (!a->given[i] && i != 0 && !is_default(before, &settings[i]))
			print_setting(before, &settings[i]);
	fprintf(stderr, "\n\nor give --reset, which sets all that are not given to their defaults;\n"
			"or change one with: fairlead-client set\n");
	return true;
}

static void say_done(const json_t *line)
{
	const json_t *ips = json_object_get(line, "ips"), *ip;
	size_t i;

	printf("Connected:");
	json_array_foreach(ips, i, ip)
		printf("%s %s", i ? "," : "", json_string_value(ip));
	const char *relay = cli_text(line, "relay");

	printf(" (%s); ", cli_text(line, "name"));
	if (json_is_true(json_object_get(line, "udp_blocked")))
		printf("UDP is blocked here: peers are reached by relay (%s)\n", *relay ? relay : "none yet");
	else
		printf("peers are reached directly where that works, else by relay (%s)\n", *relay ? relay : "none yet");
}

/* The daemon's words for where it is; those that the next line explains say nothing here. */
static void say_progress(const char *state)
{
	static const struct {
		const char *state, *text;
	} steps[] = { { "NoState", "Connecting to the server …" }, { "NeedsMachineAuth", "Logged in. An administrator must approve this machine; waiting …" },
		{ "Starting", "Logged in. Looking for a relay …" } };

	for (size_t i = 0; i < ARRAY_LEN(steps); i++)
		if (strcmp(state, steps[i].state) == 0)
			fprintf(stderr, "%s\n", steps[i].text);
}

static int follow(struct cli *c, const struct up_args *a)
{
	int64_t end = clock_mono_ms() + a->timeout_ms;
	json_t *line;
	bool timed_out;

	for (;;) {
		int64_t left = a->timeout_ms < 0 ? -1 : MAX_OF(end - clock_mono_ms(), (int64_t)0);

		if (!cli_next(c, (int)left, &line, &timed_out)) {
			if (timed_out)
				fprintf(stderr, "fairlead-client: not connected in time; the daemon goes on trying\n");
			return 1;
		}
		if (*cli_text(line, "auth_url")) {
			printf("\nTo log in, visit:\n\n\t%s\n\n", cli_text(line, "auth_url"));
			if (a->qr)
				cli_print_qr(cli_text(line, "auth_url"));
		} else {
			say_progress(cli_text(line, "state"));
		}
		fflush(stdout);
		bool done = cli_is_done(line);
		const char *e = cli_error(line);
		if (e)
			fprintf(stderr, "fairlead-client: %s\n", e);
		else if (done)
			say_done(line);
		int rc = e ? 1 : 0;
		json_decref(line);
		if (done)
			return rc;
	}
}

int cli_up(struct cli *c, int argc, char **argv)
{
	struct up_args a = { .timeout_ms = -1, .qr = true };
	json_t *before = remembered(c), *fresh = json_object(), *v;
	int rc = before ? parse(argc, argv, false, fresh, &a) : 1;
	const char *key;

	if (rc == 0 && would_forget(before, &a, argv, argc))
		rc = 1;
	if (rc == 0 && a.reset)
		for (size_t i = 1; i < SETTINGS; i++)
			put(before, &settings[i], settings[i].kind == FLAG ? settings[i].otherwise ? "true" : "false" : "");
	if (rc == 0)
		json_object_foreach(fresh, key, v)
			json_object_set(before, key, v);
	if (rc == 0 && !*cli_text(before, "LoginServer")) {
		fprintf(stderr, "fairlead-client: which server? --login-server=https://…\n");
		rc = 2;
	}
	if (rc == 0)
		rc = cli_ask(c, json_pack("{s:s,s:O,s:s,s:b}", "cmd", "up", "prefs", before, "auth_key", a.auth_key ? a.auth_key : "",
					"force_reauth", a.force))
			? follow(c, &a)
			: 1;
	json_decref(before);
	json_decref(fresh);
	free(a.auth_key_owned);
	return rc;
}

int cli_set(struct cli *c, int argc, char **argv)
{
	struct up_args a = { 0 };
	json_t *prefs = remembered(c), *line;
	int rc = prefs ? parse(argc, argv, true, prefs, &a) : 1;

	if (rc == 0 && !a.any) {
		fprintf(stderr, "usage: fairlead-client set --hostname=… --accept-dns=… --accept-routes=… --shields-up=… --advertise-tags=…\n"
				"       --exit-node=… --exit-node-allow-lan-access=… --advertise-routes=… --advertise-exit-node=…\n");
		rc = 2;
	}
	if (rc == 0 && a.given[0]) {
		fprintf(stderr, "fairlead-client: another login server is a matter of up\n");
		rc = 2;
	}
	if (rc == 0) {
		line = cli_call(c, json_pack("{s:s,s:O}", "cmd", "set", "prefs", prefs));
		rc = line ? 0 : 1;
		json_decref(line);
	}
	json_decref(prefs);
	return rc;
}
