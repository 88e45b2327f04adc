/* The CLI against the API over a real unix socket, with a core that answers by a script. */
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/base/cleanup.h"
#include "common/base/clock.h"
#include "common/net/sock.h"
#include "server/api/api.h"
#include "server/cli/cli.h"
#include "server/server.h"
#include "tests/lib/test.h"

static char folder[64], config[96], socket_path[96], captured[96];
static struct api *api;
static int listener;
static pthread_t acceptor;
static struct command *last; /* owned */
static err next_error;
static const char *served;

int server_main(const char *config_path) /* instead of server.c's */
{
	served = config_path;
	return 0;
}

static void add_node(struct reply *r, int64_t id, const char *name)
{
	struct node_info *i = calloc(1, sizeof *i);

	assert_non_null(i);
	i->refs = 1;
	i->row.id = id;
	i->row.given_name = strdup(name);
	i->row.hostname = strdup("evil\x1b[31m\xc2\x9bname");
	i->row.v4 = addr_v4(100, 64, 0, (uint8_t)id);
	i->user = (struct user_row){ .id = 3, .name = strdup("ann") };
	r->nodes[r->n_nodes++] = i;
}

static void fill(struct reply *r, const struct command *c)
{
	switch (c->kind) {
	case CMD_NODE_LIST:
		r->nodes = arena_array(&r->arena, 2, sizeof(void *));
		add_node(r, 7, "box");
		add_node(r, 8, "evil\x1b[31m");
		break;
	case CMD_NODE_GET:
	case CMD_NODE_TAGS:
	case CMD_NODE_EXPIRE:
	case CMD_AUTH_REGISTER:
		r->nodes = arena_array(&r->arena, 1, sizeof(void *));
		add_node(r, 7, "box");
		break;
	case CMD_USER_LIST:
	case CMD_USER_CREATE:
		r->users = arena_array(&r->arena, 1, sizeof *r->users);
		r->users[0] = (struct user_row){ .id = 3, .name = arena_str(&r->arena, BYTES_LIT("ann")) };
		r->n_users = 1;
		break;
	case CMD_AUTHKEY_CREATE:
		r->authkeys = arena_array(&r->arena, 1, sizeof *r->authkeys);
		r->n_authkeys = 1;
		r->secret = "hskey-auth-0123456789ab-full";
		break;
	case CMD_APIKEY_CREATE:
		r->secret = "hskey-api-0123456789ab-full";
		break;
	case CMD_POLICY_GET:
		r->policies = arena_array(&r->arena, 1, sizeof *r->policies);
		r->policies[0].text = arena_str(&r->arena, BYTES_LIT("{ /* mine */ }"));
		r->n_policies = 1;
		break;
	case CMD_POLICY_VERSION:
	case CMD_POLICY_ROLLBACK:
	case CMD_POLICY_HISTORY:
		r->policies = arena_array(&r->arena, 1, sizeof *r->policies);
		r->policies[0] = (struct policy_row){ .version = 7, .text = arena_str(&r->arena, BYTES_LIT("{ /* seventh */ }")),
			.author = arena_str(&r->arena, BYTES_LIT("cli:root")), .note = arena_str(&r->arena, BYTES_LIT("because")) };
		r->policy_bytes = arena_array(&r->arena, 1, sizeof *r->policy_bytes);
		r->n_policies = 1;
		break;
	case CMD_POLICY_EXPLAIN:
		r->text = "{\"version\":7,\"source\":{},\"destination\":{},\"allowed\":\"no\",\"pairs\":[{\"source\":{\"name\":\"laptop\"},"
			"\"destination\":{\"address\":\"10.1.2.3\"},\"count\":1,\"allowed\":false,\"hop\":\"port\",\"why\":\"not to this port\","
			"\"near\":[{\"line\":12,\"section\":\"acls\",\"index\":3,\"ports\":[\"tcp:80\",\"443\"]}]}]}";
		break;
	case CMD_POLICY_WHO:
		r->text = "{\"destination\":{},\"nodes\":[{\"name\":\"laptop\",\"address\":\"100.64.0.1\",\"ports\":[\"22\"],\"rules\":[{\"line\":4,"
			"\"section\":\"grants\",\"index\":0}]}],\"others\":[]}";
		break;
	case CMD_POLICY_PREVIEW:
		r->text = "{\"valid\":true,\"tests\":{\"total\":2,\"passed\":2},\"changes\":{\"exact\":true,\"gained\":3,\"lost\":1,\"more\":0,\"items\":["
			"{\"what\":\"gained\",\"from\":{\"names\":[{\"kind\":\"group\",\"name\":\"group:ops\"}],\"more\":0},\"to\":{\"names\":["
			"{\"kind\":\"self\",\"name\":\"autogroup:self\"}]},\"ports\":{\"text\":\"tcp 22\"},\"now\":null,\"connections\":3,"
			"\"rules\":[{\"line\":9,\"section\":\"acls\",\"index\":0}]}]}}";
		break;
	case CMD_POLICY_DIFF:
		r->text = "{\"diff\":\"@@ -1,1 +1,1 @@\\n-a\\n+b\\n\"}";
		break;
	default:
		break;
	}
	if (next_error != OK) {
		static const char *const lines[] = { "line 3: unknown group" };
		r->e = next_error;
		r->message = "it is refused";
		r->lines = lines;
		r->n_lines = 1;
	}
}

static void post(void *ctx, struct event *e)
{
	struct reply *r = reply_new();
	struct call *call = e->call;

	(void)ctx;
	assert_non_null(r);
	fill(r, e->command);
	command_free(last);
	last = MOVE(e->command);
	event_free(e);
	call->deliver(call, r);
}

static void *accept_all(void *arg)
{
	(void)arg;
	for (;;) {
		int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd < 0)
			return NULL;
		assert_ok(api_add_connection(api, fd, (struct addrport){ 0 }, API_UNIX));
	}
}

static void write_text(const char *path, const char *text)
{
	FILE *f = fopen(path, "we");

	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static int setup(void **state)
{
	(void)state;
	struct api_settings cfg = { .server_url = "http://127.0.0.1:8080", .post = post };
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	char text[400];

	snprintf(folder, sizeof folder, "/tmp/fairlead-cli.XXXXXX");
	assert_non_null(mkdtemp(folder));
	snprintf(config, sizeof config, "%s/config.toml", folder);
	snprintf(socket_path, sizeof socket_path, "%s/api.sock", folder);
	snprintf(captured, sizeof captured, "%s/out", folder);
	snprintf(text, sizeof text, "server_url = \"http://127.0.0.1:8080\"\nunix_socket = \"%s\"\n[database]\npath = \"%s/x.db\"\n",
			socket_path, folder);
	write_text(config, text);
	assert_ok(api_new(&cfg, &api));
	listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	snprintf(at.sun_path, sizeof at.sun_path, "%s", socket_path);
	assert_int_equal(bind(listener, (struct sockaddr *)&at, sizeof at), 0);
	assert_int_equal(listen(listener, 16), 0);
	assert_int_equal(pthread_create(&acceptor, NULL, accept_all, NULL), 0);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	shutdown(listener, SHUT_RDWR);
	pthread_join(acceptor, NULL);
	close(listener);
	api_free(api);
	command_free(last);
	unlink(config);
	unlink(socket_path);
	unlink(captured);
	rmdir(folder);
	return 0;
}

/* Runs `fairlead -c config LINE` with fd 1 and 2 in a file; *status is the exit status. Owned. */
static char *fairlead(const char *line, int *status)
{
	char copy[300], *argv[20] = { (char[]){ "fairlead" }, (char[]){ "-c" }, config };
	int argc = 3, keep[3] = { dup(0), dup(1), dup(2) }, file = open(captured, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC);

	snprintf(copy, sizeof copy, "%s", line);
	for (char *at = copy, *word; argc < 19 && (word = strsep(&at, " "));)
		argv[argc++] = word;
	fflush(stdout);
	dup2(null, 0), dup2(file, 1), dup2(file, 2);
	*status = cli_main(argc, argv);
	fflush(stdout);
	for (int i = 0; i < 3; i++)
		dup2(keep[i], i), close(keep[i]);
	close(file), close(null);
	size_t n;
	return test_read_file(captured, &n);
}

static void expect(const char *line, int status, const char *part)
{
	int got;
	char *out = fairlead(line, &got);

	if (got != status || !strstr(out, part))
		fail_msg("fairlead %s: wanted %d with '%s', got %d: %s", line, status, part, got, out);
	free(out);
}

static void users_and_nodes(void **state)
{
	(void)state;
	next_error = OK;
	expect("users create ann --email a@b", 0, "ann");
	assert_string_equal(last->name, "ann");
	assert_string_equal(last->email, "a@b");
	expect("users list", 0, "DISPLAY NAME");
	expect("users list -o json", 0, "\"name\": \"ann\"");
	expect("users list -o json-line", 0, "\"name\":\"ann\"");
	expect("users destroy ann --force", 0, "deleted");
	assert_int_equal(last->kind, CMD_USER_DELETE);
	assert_int_equal(last->id, 3);
	expect("users destroy ann", 1, "--force"); /* nobody to ask */
	expect("users rename ann anna", 0, "");
	assert_string_equal(last->new_name, "anna");
	expect("users destroy nobody --force", 1, "there is no 'nobody'");
	expect("nodes list", 0, "100.64.0.7");
	int status;
	char *out = fairlead("nodes list", &status);
	assert_null(strchr(out, '\x1b')); /* a device's name cannot reach the terminal as a command */
	free(out);
	expect("nodes tag -i 7 -t tag:a,tag:b -t tag:c", 0, "box");
	assert_int_equal(last->n_tags, 3);
	assert_string_equal(last->tags[2], "tag:c");
	expect("nodes expire box", 0, "box");
	assert_int_equal(last->id, 7);
	expect("nodes register --auth-id hskey-authreq-0123456789abcdef01234567 --user ann", 0, "box");
	assert_string_equal(last->user, "ann");
	expect("nodes register -k 0123456789abcdef01234567 -u ann", 0, "box");
	assert_string_equal(last->auth_id, "hskey-authreq-0123456789abcdef01234567");
	expect("nodes register --user ann", 2, "--auth-id is needed");
}

/* For programs that read YAML: what could be taken for a number, a boolean or a date is quoted, and so is what a device made up. */
static void yaml(void **state)
{
	int status;

	(void)state;
	next_error = OK;
	char *out = fairlead("users list -o yaml", &status);
	assert_int_equal(status, 0);
	assert_non_null(strstr(out, "- id: \"3\"\n  name: ann\n"));
	free(out);
	out = fairlead("nodes list --output=yaml", &status);
	assert_int_equal(status, 0);
	assert_non_null(strstr(out, "  ipAddresses:\n  - \"100.64.0.7\"\n"));
	assert_non_null(strstr(out, "  name: \"evil\\u001B[31m\\x9Bname\"\n"));
	assert_null(strchr(out, '\x1b'));
	free(out);
	expect("users destroy nobody --force -o yaml", 1, "error: \"there is no 'nobody'\"\n");
	expect("users list -o toml", 2, "json, json-line or yaml, not 'toml'");
}

static void completion(void **state)
{
	(void)state;
	expect("completion bash", 0, "complete -o default -F _fairlead fairlead\n");
	expect("completion zsh", 0, "#compdef fairlead\n");
	expect("completion fish", 0, "complete -c fairlead");
	expect("completion tcsh", 2, "none for 'tcsh'");
	expect("completion", 2, "which shell");
}

/* A server elsewhere: the address, and where the key may go. */
static void elsewhere(void **state)
{
	char line[200];

	(void)state;
	next_error = OK;
	snprintf(line, sizeof line, "users list --address unix:%s", socket_path);
	expect(line, 0, "ann");
	expect("users list --address http://vpn.example.com --api-key x", 1, "plain HTTP");
	expect("users list --address https://vpn.example.com/api", 1, "it has a path");
	expect("users list --address https://", 1, "no host");
	expect("users list --address vpn.example.com:0", 1, "port");
	expect("users list --address 127.0.0.1:1 --api-key x", 1, "does not answer at 127.0.0.1 port 1");
	assert_int_equal(setenv("FAIRLEAD_CLI_ADDRESS", "[::1]:1", 1), 0);
	expect("users list", 1, "does not answer at ::1 port 1");
	expect(line, 0, "ann"); /* the flag counts more */
	unsetenv("FAIRLEAD_CLI_ADDRESS");
}

static void keys(void **state)
{
	(void)state;
	int status;
	next_error = OK;
	int64_t now_ms = clock_wall_ms();
	char *out = fairlead("preauthkeys create --user ann --reusable --expiration 24h", &status);
	assert_int_equal(status, 0);
	assert_string_equal(out, "hskey-auth-0123456789ab-full\n");
	free(out);
	assert_true(last->reusable && !last->ephemeral);
	assert_in_range(last->expires_ms, now_ms + 86000000, now_ms + 86800000);
	expect("preauthkeys create --tags tag:a --expiration never", 0, "hskey-auth");
	assert_int_equal(last->expires_ms, 0);
	expect("preauthkeys create", 2, "--user");
	expect("preauthkeys create --user ann --expiration soon", 2, "not 'soon'");
	out = fairlead("apikeys create --expiration 24h", &status);
	assert_string_equal(out, "hskey-api-0123456789ab-full\n");
	free(out);
	expect("apikeys expire -p hskey-api-0123456789ab", 0, "expired");
	assert_string_equal(last->key_text, "hskey-api-0123456789ab");
	expect("preauthkeys expire -i 4", 0, "expired");
	assert_int_equal(last->id, 4);
}

static void policies(void **state)
{
	(void)state;
	char file[120], line[200];
	next_error = OK;
	expect("policy get", 0, "{ /* mine */ }\n");
	snprintf(file, sizeof file, "%s/policy", folder);
	write_text(file, "{ \"acls\": [] }");
	snprintf(line, sizeof line, "policy set -f %s", file);
	expect(line, 0, "Policy set");
	assert_string_equal(last->text, "{ \"acls\": [] }");
	snprintf(line, sizeof line, "policy set %s --note why", file);
	expect(line, 0, "Policy set");
	assert_string_equal(last->note, "why");
	snprintf(line, sizeof line, "policy preview %s", file);
	expect(line, 0, "+ group:ops -> own machines: tcp 22  [3 connections, line 9]\nconnections (from machine to machine): 3 gained, 1 lost");
	expect("policy history", 0, "because");
	expect("policy show 7", 0, "{ /* seventh */ }\n");
	assert_int_equal(last->id, 7);
	expect("policy show", 0, "{ /* mine */ }\n");
	expect("policy show seven", 1, "version");
	expect("policy diff 3 7", 0, "-a\n+b\n");
	assert_int_equal(last->id, 3);
	assert_int_equal(last->other, 7);
	expect("policy rollback 7 --note back", 0, "Policy set: version 7");
	assert_string_equal(last->note, "back");
	expect("policy explain laptop 10.1.2.3:22/tcp", 0, "laptop -> 10.1.2.3: denied\n    port: not to this port\n    near: line 12, acls[3], "
		"ports tcp:80, 443");
	assert_string_equal(last->name, "laptop");
	assert_string_equal(last->new_name, "10.1.2.3:22/tcp");
	expect("policy explain laptop", 2, "who, and what?");
	expect("policy explain laptop web -o json", 0, "\"hop\": \"port\"");
	expect("policy who-can-reach web", 0, "line 4, grants[0]");
	expect("policy what-can-reach web", 0, "nothing");
	snprintf(line, sizeof line, "policy set -f %s", file);
	next_error = ERR_INVALID;
	expect(line, 1, "line 3: unknown group");
	unlink(file);
	expect(line, 1, "No such file");
	next_error = ERR_NOT_FOUND;
	expect("nodes delete -i 9 --force", 1, "fairlead: it is refused");
	expect("nodes delete -i 9 --force -o json", 1, "{\"error\":\"it is refused\"}");
	next_error = OK;
}

static void local_commands(void **state)
{
	(void)state;
	expect("config check", 0, "config.toml");
	expect("config show", 0, "[derp.server]");
	expect("version", 0, "version");
	expect("health", 0, "ok");
	expect("serve", 0, "");
	assert_string_equal(served, config);
	expect("--help", 0, "Commands:");
	expect("nodes --help", 0, "fairlead nodes tag -i 7");
	expect("nodes rename --help", 0, "Example:");
	expect("nodes lsit", 2, "did you mean 'list'?");
	expect("--config /nonexistent/x.toml nodes list", 1, "/nonexistent/x.toml");
}

static void a_silent_server_is_explained(void **state)
{
	(void)state;
	char text[300], other[120], line[200];
	snprintf(other, sizeof other, "%s/other.toml", folder);
	snprintf(text, sizeof text, "server_url = \"http://x\"\nunix_socket = \"%s/none.sock\"\n[database]\npath = \"x.db\"\n", folder);
	write_text(other, text);
	snprintf(line, sizeof line, "--config %s nodes list", other);
	expect(line, 1, "is it running?");
	unlink(other);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(users_and_nodes), cmocka_unit_test(yaml), cmocka_unit_test(completion), cmocka_unit_test(elsewhere),
		cmocka_unit_test(keys),
		cmocka_unit_test(policies),
		cmocka_unit_test(local_commands),
		cmocka_unit_test(a_silent_server_is_explained),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
