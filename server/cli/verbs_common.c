#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/cleanup.h"
#include "common/base/clock.h"
#include "common/net/addr.h"
#include "server/cli/client.h"
#include "server/cli/verbs.h"
#include "server/config.h"

enum { FILE_MAX = 8 << 20 };

const char *find_config(const struct cli *x)
{
	static const char *const places[] = { "config.toml", "run/config.toml", "/etc/fairlead/config.toml" };
	const char *env = getenv("FAIRLEAD_CONFIG");

	if (x->config_path[0])
		return x->config_path;
	if (env && env[0])
		return env;
	for (size_t i = 0; i < ARRAY_LEN(places); i++) {
		if (access(places[i], F_OK) == 0)
			return places[i];
	}
	return "";
}

/* ---- asking the server ---- */

/* The message ends with the first fault, for those who read no further: here the faults follow, with their places. */
static size_t without_fault(const char *message, const char *fault)
{
	bool alone = !fault || strcmp(fault, message) == 0; /* what has no place is not told again */
	const char *text = alone ? NULL : strstr(fault, ": "); /* "line 3, column 9: …" */
	size_t all = strlen(message), n = text ? strlen(text) : 0;

	return n && n < all && strcmp(message + all - n, text) == 0 ? all - n : all;
}

static void print_answer_error(const struct cli *x, const struct answer *a)
{
	const char *message = json_string_value(json_object_get(a->json, "message"));
	const json_t *errors = json_object_get(a->json, "errors");
	char status[64];

	if (a->status == 401 && !message)
		message = "the server does not know this API key (fairlead apikeys create makes one): $FAIRLEAD_CLI_API_KEY or --api-key";
	snprintf(status, sizeof status, "the server answered with status %u", a->status);
	char head[600];
	const char *first = json_string_value(json_object_get(json_array_get(errors, 0), "message"));
	snprintf(head, sizeof head, "%.*s", message && x->output == OUTPUT_TABLE ? (int)MIN_OF(without_fault(message, first), sizeof head) : 0,
		 message ? message : "");
	print_failure(x, *head ? head : message ? message : status);
	for (size_t i = 0; i < json_array_size(errors); i++) {
		const char *line = json_string_value(json_object_get(json_array_get(errors, i), "message"));
		if (line && x->output == OUTPUT_TABLE && (!message || strcmp(line, message) != 0)) /* not the same twice */
			fprintf(stderr, "  %s\n", line);
	}
}

/* The socket that the configuration names; owned. */
static char *find_socket(const struct cli *x)
{
	const char *path = find_config(x);
	struct config *c = NULL;
	char why[400];

	if (!path[0]) {
		print_failure(x, "no configuration found: name the server's with --config FILE");
		return NULL;
	}
	if (config_load(path, why, sizeof why, &c) != OK) {
		print_failure(x, why);
		return NULL;
	}
	char *socket_path = strdup(c->unix_socket);
	config_free(c);
	return socket_path;
}

static void json_decref_p(json_t **j)
{
	json_decref(*j);
}

static const char *from_env(const char *name)
{
	const char *v = getenv(name);

	return v && v[0] ? v : NULL;
}

/* By network, or through a socket that is named by hand. False: nobody named one. */
static bool named_place(const struct cli *x, struct server_place *at, char *why, size_t why_cap)
{
	const char *address = x->address ? x->address : from_env("FAIRLEAD_CLI_ADDRESS");
	const char *insecure = from_env("FAIRLEAD_CLI_INSECURE");
	struct addr literal;

	if (!address)
		return false;
	if (server_place_parse(address, at, why, why_cap) != OK || at->socket_path)
		return true;
	at->insecure = x->insecure || (insecure && strcmp(insecure, "0") != 0 && strcasecmp(insecure, "false") != 0);
	at->api_key = x->api_key ? x->api_key : from_env("FAIRLEAD_CLI_API_KEY");
	bool loopback = strcmp(at->host, "localhost") == 0 || (addr_parse(bytes_str(at->host), &literal) == OK && addr_is_loopback(literal));
	if (at->api_key && !at->tls && !loopback && !at->insecure)
		snprintf(why, why_cap, "not sent: %s is plain HTTP, where anyone on the way could read the API key; use https://, or add "
			"--insecure", address);
	return true;
}

json_t *server_call(const struct cli *x, const char *method, const char *to, json_t *body)
{
	CLEANUP(json_decref_p) json_t *taken = body;
	CLEANUP(freep) char *socket_path = NULL;
	struct server_place at = { 0 };
	struct answer a;
	char why[400] = "";

	if (!named_place(x, &at, why, sizeof why)) {
		at.socket_path = socket_path = find_socket(x);
		if (!socket_path)
			return NULL;
	}
	if (why[0] || client_call(&at, method, to, taken, &a, why, sizeof why) != OK) {
		print_failure(x, why);
		return NULL;
	}
	json_t *result = NULL;
	if (a.status >= 400)
		print_answer_error(x, &a);
	else if (!a.json) /* no JSON: its text */
		result = json_stringn((const char *)buf_view(&a.body).p, buf_len(&a.body));
	else
		result = json_incref(a.json);
	answer_done(&a);
	return result;
}

int server_do(const struct cli *x, const char *method, const char *to, json_t *body, const char *done)
{
	CLEANUP(json_decref_p) json_t *answered = server_call(x, method, to, body);

	if (!answered)
		return EXIT_FAILED;
	print_word(x, "result", done);
	return EXIT_OK;
}

char *target(const char *pattern, const char *const *parts, size_t n)
{
	CLEANUP(buf_done) struct buf b = buf_make(64 << 10);
	size_t at = 0;

	for (const char *c = pattern; *c; c++) {
		if (*c == '%' && at < n)
			put_encoded(&b, parts[at++]);
		else
			buf_append_u8(&b, (uint8_t)*c);
	}
	return b.bad ? NULL : bytes_dup(buf_view(&b));
}

/* ---- the command line ---- */

int usage(const struct cli *x, const char *fmt, ...)
{
	char text[300];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	print_failure(x, text);
	if (x->output == OUTPUT_TABLE)
		fprintf(stderr, "See: fairlead %s%s%s --help\n", x->verb->group, x->verb->group[0] ? " " : "", x->verb->name);
	return EXIT_USAGE;
}

const char *flag_or_argument(const struct cli *x, const char *flag)
{
	const char *v = flag_value(x, flag);

	return v ? v : argument(x, 0);
}

static bool is_number(const char *text)
{
	return text[0] && strlen(text) < ID_TEXT_MAX && strspn(text, "0123456789") == strlen(text);
}

static int find_id(const struct cli *x, const char *text, const char *to, const char *list, const char *const *fields,
		size_t n_fields, char out[ID_TEXT_MAX])
{
	if (is_number(text)) {
		snprintf(out, ID_TEXT_MAX, "%s", text);
		return EXIT_OK;
	}
	CLEANUP(json_decref_p) json_t *answered = server_call(x, "GET", to, NULL);
	if (!answered)
		return EXIT_FAILED;
	const json_t *rows = json_object_get(answered, list);
	const char *found = NULL;
	size_t matches = 0;
	for (size_t f = 0; f < n_fields && !matches; f++) {
		for (size_t i = 0; i < json_array_size(rows); i++) {
			const json_t *row = json_array_get(rows, i);
			const char *value = json_string_value(json_object_get(row, fields[f]));
			if (value && strcasecmp(value, text) == 0) {
				found = json_string_value(json_object_get(row, "id"));
				matches++;
			}
		}
	}
	char message[200];
	if (matches == 1 && found) {
		snprintf(out, ID_TEXT_MAX, "%s", found);
		return EXIT_OK;
	}
	snprintf(message, sizeof message, matches ? "'%.100s' names several: use the id" : "there is no '%.100s'", text);
	print_failure(x, message);
	return EXIT_FAILED;
}

int find_user_id(const struct cli *x, const char *text, char out[ID_TEXT_MAX])
{
	static const char *const fields[] = { "name", "email" };

	return find_id(x, text, "/api/v1/user", "users", fields, ARRAY_LEN(fields), out);
}

int find_node_id(const struct cli *x, const char *text, char out[ID_TEXT_MAX])
{
	static const char *const fields[] = { "givenName", "name" };

	return find_id(x, text, "/api/v1/node", "nodes", fields, ARRAY_LEN(fields), out);
}

json_t *split_values(const struct cli *x, const char *flag)
{
	json_t *list = json_array();
	size_t at = 0;

	while (x->verb->flags[at].name && strcmp(x->verb->flags[at].name, flag) != 0)
		at++;
	for (size_t i = 0; at < FLAGS_MAX && i < x->n_values[at]; i++) {
		struct bytes rest = bytes_str(x->value[at][i]);
		while (rest.n) {
			struct bytes item = bytes_trim(bytes_cut(rest, ',', &rest));
			if (item.n)
				json_array_append_new(list, json_stringn((const char *)item.p, item.n));
		}
	}
	return list;
}

json_t *expiration_from(const char *text)
{
	char out[RFC3339_MAX];
	int64_t ms;

	if (strcmp(text, "never") == 0 || strcmp(text, "0") == 0)
		return json_string("0001-01-01T00:00:00Z");
	if (duration_parse(bytes_str(text), &ms) != OK || ms <= 0)
		return NULL;
	return json_string(time_rfc3339(clock_wall_ms() + ms, out));
}

bool confirm(const struct cli *x, const char *fmt, ...)
{
	char line[16];
	va_list ap;

	if (x->force)
		return true;
	if (!isatty(STDIN_FILENO)) {
		print_failure(x, "not done: without a terminal to ask at, add --force");
		return false;
	}
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputs(" [y/N] ", stderr);
	return fgets(line, sizeof line, stdin) && (line[0] == 'y' || line[0] == 'Y');
}

char *read_whole(const struct cli *x, const char *path)
{
	CLEANUP(buf_done) struct buf b = buf_make(FILE_MAX);
	FILE *f = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
	size_t n = 0;
	char message[300];

	if (!f) {
		snprintf(message, sizeof message, "%s: %s", path, strerror(errno));
		print_failure(x, message);
		return NULL;
	}
	do {
		uint8_t *room = buf_reserve(&b, 65536);
		n = room ? fread(room, 1, 65536, f) : 0;
		if (n)
			buf_commit(&b, n);
	} while (n);
	bool failed = ferror(f);
	if (f != stdin)
		fclose(f);
	if (failed || b.bad || !bytes_is_utf8(buf_view(&b))) {
		if (b.bad)
			snprintf(message, sizeof message, "%s has more than %d bytes, which is more than any such text may have", path, FILE_MAX);
		else
			snprintf(message, sizeof message, "%s: %s", path, failed ? "cannot be read" : "is no UTF-8 text");
		print_failure(x, message);
		return NULL;
	}
	return bytes_dup(buf_view(&b));
}
