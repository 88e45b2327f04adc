#include "server/cli/cli.h"

#include "common/base/cleanup.h"
#include "server/cli/verbs.h"

#define ID(what) { "identifier", 'i', "ID", what, "id" }
#define AUTH_ID { "auth-id", 'k', "ID", "of the waiting device: hskey-authreq-…", "key" }

#define BYPASS                                                                                                         \
	{ POLICY_BYPASS, 0, NULL, "use the database's file, while no server has it open: when none starts", "bypass" }
#define AUDIT_FILTERS                                                                                                  \
	{ "since", 0, "TIME", "from then on: 2027-01-31T12:00:00Z", NULL }, { "until", 0, "TIME", "before then", NULL },       \
		{ "actor", 0, "TEXT", "who: part of it", NULL }, { "kind", 0, "KIND", "node, user, authkey, apikey, policy, setting, login", NULL }, \
		{ "action", 0, "ACTION", "create, update or delete", NULL },                                           \
		{ "via", 0, "WAY", "cli, v1, v2, native, console, node, file, system", NULL },                         \
		{ "target", 0, "TEXT", "an id, or part of a name", NULL }

static const struct group groups[] = {
	{ "users", "user", "people (and things) that own nodes" },
	{ "nodes", "node|machines", "the devices of the network" },
	{ "preauthkeys", "preauthkey|authkeys|authkey|pre", "keys with which devices join without a person" },
	{ "apikeys", "apikey|api", "keys for the REST API" },
	{ "oauth-clients", "oauth-client|oauth", "programs that get tokens for the REST API by a secret of their own" },
	{ "auth", "", "devices that wait to be let in" },
	{ "console", "", "the pages of this server" },
	{ "sessions", "session", "browsers that are signed in" },
	{ "passkeys", "passkey", "passkeys with which people sign in" },
	{ "services", "service|svc", "names with addresses of their own, answered by hosts" },
	{ "lock", "", "tailnet lock: device keys signed by devices" },
	{ "policy", "acl", "who may reach whom" },
	{ "audit", "", "the record of every change" },
	{ "settings", "setting", "what the tailnet decides for itself, changed in the running server" },
	{ "dns", "", "names and name servers of the tailnet" },
	{ "derp", "", "relays" },
	{ "config", "", "the configuration file" },
};

static const struct verb verbs[] = {
	{ "", "serve", "", "", 0, "run the server", "serve --config config.toml", {{0}}, run_serve },
	{ "", "health", "", "", 0, "ask the server whether it is well", "health", {{0}}, run_health },
	{ "", "stats", "", "", 0, "counts of the running server", "stats", {{0}}, run_stats },
	{ "", "backup", "", "FILE", 1, "copy the live database; a server starts from the copy", "backup /var/backups/fairlead.db", {{0}},
	  run_backup },
	{ "", "version", "", "", 0, "version of this program", "version", {{0}}, run_version },
	{ "", "completion", "", "bash|zsh|fish", 1, "print a script with which a shell completes these commands",
	  "completion bash > /etc/bash_completion.d/fairlead", {{0}}, run_completion },
	{ "", "dumpConfig", "", "", 0, "the same as config show", "dumpConfig --config config.toml", {{0}}, run_config_show },
	{ "", "configtest", "", "", 0, "the same as config check", "configtest --config config.toml", {{0}}, run_config_check },

	{ "users", "create", "c|new|add", "NAME", 1, "make a user", "users create ann --email ann@example.com",
	  { { "display-name", 'd', "TEXT", "shown to people", NULL },
	    { "email", 'e', "ADDRESS", "mail address", NULL },
	    { "picture-url", 'p', "URL", "picture", NULL } },
	  run_users_create },
	{ "users", "list", "ls|show", "", 0, "list users", "users list",
	  { ID("only this one"), { "name", 'n', "NAME", "only this one", NULL }, { "email", 'e', "ADDRESS", "only this one", NULL } },
	  run_users_list },
	{ "users", "rename", "mv", "[OLD] NEW", 2, "rename a user", "users rename ann anna",
	  { ID("the user"), { "name", 'n', "NAME", "the user", NULL }, { "new-name", 'r', "NAME", "its new name", NULL } },
	  run_users_rename },
	{ "users", "destroy", "delete|del|rm", "[NAME]", 1, "delete a user that has no nodes", "users destroy ann --force",
	  { ID("the user"), { "name", 'n', "NAME", "the user", NULL } }, run_users_destroy },

	{ "users", "role", "", "[NAME] ROLE", 2, "set what a user may do", "users role ann network-admin",
	  { ID("the user"), { "name", 'n', "NAME", "the user", NULL } }, run_users_role },
	{ "users", "suspend", "", "[NAME]", 1, "cut off a user's devices", "users suspend ann",
	  { ID("the user"), { "name", 'n', "NAME", "the user", NULL } }, run_users_suspend },
	{ "users", "restore", "unsuspend", "[NAME]", 1, "give a suspended user's devices their access back", "users restore ann",
	  { ID("the user"), { "name", 'n', "NAME", "the user", NULL } }, run_users_restore },
	{ "users", "approve", "", "[NAME]", 1, "let in a user who waits for approval (setting users_approval)", "users approve ann",
	  { ID("the user"), { "name", 'n', "NAME", "the user", NULL } }, run_users_approve },

	{ "users", "identities", "", "", 0, "list accounts at identity providers, and whose they are", "users identities --user ann",
	  { { "user", 'u', "USER", "only this user's", NULL } }, run_users_identities },
	{ "users", "link", "", "USER", 1, "let an account at an identity provider sign in as a user",
	  "users link ann --issuer https://id.example.com --subject 248289761001",
	  { { "issuer", 0, "URL", "the provider, as the configuration names it", NULL },
	    { "subject", 0, "TEXT", "who it is there (sub)", NULL } },
	  run_users_link },
	{ "users", "unlink", "", "", 1, "end that", "users unlink -i 12", { ID("the identity") }, run_users_unlink },

	{ "users", "forget-password", "", "USER", 1, "take a user's password and authenticator app away", "users forget-password ann", {{0}},
	  run_users_forget_password },

	{ "console", "login", "", "", 0, "make a link that signs one browser in, once", "console login --user ann",
	  { { "user", 'u', "USER", "who; default: the owner, or the only user. While there is no user, this one is made: the owner", NULL } }, run_console_login },

	{ "sessions", "list", "ls|show", "", 0, "list signed-in browsers", "sessions list --user ann",
	  { { "user", 'u', "USER", "only this user's", NULL } }, run_sessions_list },
	{ "sessions", "end", "delete|rm", "", 0, "sign a browser out, or all of a user's", "sessions end -i 12",
	  { ID("the session"), { "user", 'u', "USER", "all of this user's", NULL } }, run_sessions_end },

	{ "passkeys", "list", "ls|show", "", 0, "list people's passkeys", "passkeys list --user ann",
	  { { "user", 'u', "USER", "only this user's", NULL } }, run_passkeys_list },
	{ "passkeys", "delete", "rm|del", "", 1, "take a passkey away, and sign its user out", "passkeys delete -i 12", { ID("the passkey") },
	  run_passkeys_delete },

	{ "nodes", "list", "ls|show", "", 0, "list nodes", "nodes list --user ann",
	  { { "user", 'u', "USER", "only this user's", NULL } }, run_nodes_list },
	{ "nodes", "list-routes", "lsr|routes", "[NODE]", 1, "list what nodes announce and what is approved", "nodes list-routes",
	  { ID("only this node") }, run_nodes_routes },
	{ "nodes", "register", "", "", 1, "let a waiting device in",
	  "nodes register --auth-id hskey-authreq-0123456789abcdef01234567 --user ann",
	  { AUTH_ID, { "user", 'u', "USER", "its owner: name, mail address or id", NULL } },
	  run_nodes_register },
	{ "nodes", "expire", "logout|exp|e", "[NODE]", 1, "end a node's key", "nodes expire laptop",
	  { ID("the node"), { "expiry", 'e', "TIME", "then, not now: 2027-01-31T12:00:00Z", NULL },
	    { "disable", 'd', NULL, "let it never expire", NULL } },
	  run_nodes_expire },
	{ "nodes", "rename", "", "[NODE] NEW", 2, "rename a node", "nodes rename build-server -i 7", { ID("the node") },
	  run_nodes_rename },
	{ "nodes", "delete", "del|rm", "[NODE]", 1, "delete a node", "nodes delete laptop --force", { ID("the node") },
	  run_nodes_delete },
	{ "nodes", "tag", "tags|t", "[NODE]", 1, "set a node's tags", "nodes tag -i 7 --tags tag:web,tag:prod",
	  { ID("the node"), { "tags", 't', "TAG,…", "all of its tags", NULL } }, run_nodes_tag },
	{ "nodes", "approve-routes", "", "[NODE]", 1, "set which of a node's routes are approved",
	  "nodes approve-routes -i 7 --routes 10.0.0.0/24,0.0.0.0/0",
	  { ID("the node"), { "routes", 'r', "PREFIX,…", "all that are approved; \"\" for none", NULL } }, run_nodes_approve },
	{ "nodes", "move", "mv", "[NODE]", 1, "give a node to another user", "nodes move -i 7 --user bob",
	  { ID("the node"), { "user", 'u', "USER", "its new owner", NULL } }, run_nodes_move },
	{ "nodes", "approve", "", "[NODE]", 1, "approve a device that waits for it (setting devices_approval)", "nodes approve laptop",
	  { ID("the node"), { "revoke", 0, NULL, "take the approval back: it waits again", NULL } }, run_nodes_approve_device },
	{ "nodes", "set-ip", "", "[NODE] ADDRESS", 2, "give a node an address of your choice", "nodes set-ip laptop 100.64.7.7",
	  { ID("the node") }, run_nodes_set_ip },
	{ "nodes", "attrs", "attributes", "[NODE]", 1, "list a node's posture attributes", "nodes attrs laptop", { ID("the node") },
	  run_nodes_attrs },
	{ "nodes", "set-attr", "", "[NODE] NAME=VALUE", 2, "set one; \"true\" and numbers are such", "nodes set-attr laptop custom:tier=gold -e 24h",
	  { ID("the node"), { "expires", 'e', "TIME", "it ends after this: 24h, 90d", NULL } }, run_nodes_set_attr },
	{ "nodes", "unset-attr", "", "[NODE] NAME", 2, "take one away", "nodes unset-attr laptop custom:tier", { ID("the node") },
	  run_nodes_unset_attr },
	{ "nodes", "debug", "", "[NODE]", 1, "a node's stream, what it was told, and the map it should have", "nodes debug laptop", { ID("the node") },
	  run_nodes_debug },
	{ "nodes", "ping", "", "[NODE]", 1, "ask a node's client whether it answers", "nodes ping laptop", { ID("the node") }, run_nodes_ping },
	{ "nodes", "ask", "c2n", "[NODE] PATH", 2, "ask a node's client: /posture/identity, /debug/netmap, /debug/health, /debug/prefs …",
	  "nodes ask laptop /posture/identity", { ID("the node") }, run_nodes_ask },
	{ "nodes", "backfillips", "", "", 0, "give nodes the addresses of a pool that was added", "nodes backfillips --force", {{0}},
	  run_nodes_backfill },

	{ "preauthkeys", "create", "c|new", "", 0, "make a key; it is shown this once",
	  "preauthkeys create --user ann --reusable --expiration 24h",
	  { { "user", 'u', "USER", "owner of the nodes: name, mail address or id", NULL },
	    { "reusable", 0, NULL, "for many devices, not one", NULL },
	    { "ephemeral", 0, NULL, "its nodes go when they are offline", NULL },
	    { "preauthorized", 0, NULL, "its nodes need no approval", NULL },
	    { "expiration", 'e', "TIME", "how long it can be used: 24h, 90d, never; default 1h", NULL },
	    { "tags", 't', "TAG,…", "its nodes get these and belong to no user", NULL },
	    { "description", 'd', "TEXT", "a note", NULL } },
	  run_authkeys_create },
	{ "preauthkeys", "list", "ls|show", "", 0, "list keys", "preauthkeys list",
	  { { "user", 'u', "USER", "only this user's", NULL } }, run_authkeys_list },
	{ "preauthkeys", "expire", "revoke|exp|e", "[KEY]", 1, "end a key", "preauthkeys expire -i 3", { ID("the key") },
	  run_authkeys_expire },
	{ "preauthkeys", "delete", "del|rm", "[ID]", 1, "delete a key", "preauthkeys delete -i 3 --force", { ID("the key") },
	  run_authkeys_delete },

	{ "apikeys", "create", "c|new", "", 0, "make a key; it is shown this once", "apikeys create --expiration 90d",
	  { { "expiration", 'e', "TIME", "how long it can be used: 24h, 90d, never; default 90d", NULL },
	    { "user", 'u', "USER", "it may do what this user's role allows; without, all", NULL },
	    { "scopes", 's', "SCOPE,…", "only that: devices:core, dns:read, all:read …; default all", NULL },
	    { "description", 'd', "TEXT", "a note", NULL } },
	  run_apikeys_create },
	{ "oauth-clients", "create", "c|new", "", 0, "make a client; its secret is shown this once", "oauth-clients create --scopes devices:core,auth_keys --tags tag:ci",
	  { { "scopes", 's', "SCOPE,…", "what its tokens may do: devices:core, dns:read …", NULL },
	    { "tags", 't', "TAG,…", "which tags it may give to devices and keys", NULL },
	    { "description", 'd', "TEXT", "a note", NULL } },
	  run_oauth_create },
	{ "oauth-clients", "list", "ls|show", "", 0, "list clients", "oauth-clients list", {{0}}, run_oauth_list },
	{ "oauth-clients", "delete", "rm|del|revoke", "", 1, "end a client and its tokens", "oauth-clients delete -i 12", { ID("the client") }, run_oauth_delete },
	{ "apikeys", "list", "ls|show", "", 0, "list keys", "apikeys list", {{0}}, run_apikeys_list },
	{ "apikeys", "expire", "revoke|exp|e", "[PREFIX]", 1, "end a key", "apikeys expire -i 3",
	  { ID("the key"), { "prefix", 'p', "PREFIX", "the key, as listed", NULL } }, run_apikeys_expire },
	{ "apikeys", "delete", "remove|del|rm", "[PREFIX]", 1, "delete a key", "apikeys delete -i 3 --force",
	  { ID("the key"), { "prefix", 'p', "PREFIX", "the key, as listed", NULL } }, run_apikeys_delete },

	{ "services", "list", "ls|show", "", 0, "list services", "services list", {{0}}, run_services_list },
	{ "services", "hosts", "", "NAME", 1, "who advertises a service, and who answers for it", "services hosts svc:web", {{0}}, run_services_hosts },
	{ "services", "set", "create|put", "NAME", 1, "make a service, or say anew what it is", "services set svc:web --ports tcp:443 --tags tag:web",
	  { { "ports", 'p', "PORTS", "tcp:443,tcp:80-90, or do-not-validate", NULL }, { "tags", 't', "TAGS", "of the service, for autoApprovers", NULL },
	    { "comment", 'c', "TEXT", "for people", NULL } },
	  run_services_set },
	{ "services", "delete", "del|rm", "NAME", 1, "delete a service", "services delete svc:web --force", {{0}}, run_services_delete },
	{ "services", "approve", "", "NAME NODE", 2, "let a node answer for a service", "services approve svc:web 12", {{0}}, run_services_approve },
	{ "services", "reject", "unapprove", "NAME NODE", 2, "no more", "services reject svc:web 12", {{0}}, run_services_reject },

	{ "lock", "status", "show", "", 0, "is it on, which keys are trusted, who waits to be signed", "lock status", {{0}}, run_lock_status },

	{ "auth", "list", "ls|show", "", 0, "list devices that wait", "auth list", {{0}}, run_auth_list },
	{ "auth", "register", "", "", 1, "let a device in", "auth register --auth-id hskey-authreq-0123456789abcdef01234567 --user ann",
	  { AUTH_ID, { "user", 'u', "USER", "its owner", NULL } }, run_auth_register },
	{ "auth", "approve", "", "", 1, "approve what waits under an id", "auth approve --auth-id hskey-authreq-0123456789abcdef01234567",
	  { AUTH_ID }, run_auth_approve },
	{ "auth", "reject", "", "", 1, "reject what waits under an id", "auth reject --auth-id hskey-authreq-0123456789abcdef01234567",
	  { AUTH_ID }, run_auth_reject },

	{ "policy", "get", "view|fetch", "", 0, "print the policy", "policy get > policy.hujson", { BYPASS }, run_policy_get },
	{ "policy", "set", "put|update", "[FILE]", 1, "put a policy in force", "policy set -f policy.hujson --note 'web for ops'",
	  { { "file", 'f', "FILE", "the policy; - is stdin", NULL }, { "note", 'n', "TEXT", "why, for the history", NULL }, BYPASS },
	  run_policy_set },
	{ "policy", "check", "test", "[FILE]", 1, "check a policy without setting it", "policy check -f policy.hujson",
	  { { "file", 'f', "FILE", "the policy; - is stdin", NULL }, BYPASS }, run_policy_check },

	{ "policy", "preview", "", "[FILE]", 1, "what would change if this policy were set", "policy preview policy.hujson",
	  { { "file", 'f', "FILE", "the policy; - is stdin", NULL } }, run_policy_preview },
	{ "policy", "format", "fmt", "[FILE]", 1, "lay a policy out, comments kept; prints it", "policy format policy.hujson > new.hujson",
	  { { "file", 'f', "FILE", "the policy; - is stdin", NULL } }, run_policy_format },
	{ "policy", "matrix", "", "", 0, "who may reach what, by machines with equal rights", "policy matrix",
	  { { "ssh", 0, NULL, "who may log in as whom by SSH instead", NULL } }, run_policy_matrix },
	{ "policy", "ssh", "", "SRC DST", 2, "who may log in as whom by Tailscale SSH", "policy ssh laptop tag:web --user root",
	  { { "user", 'u', "NAME", "as this local user; else as any", NULL } }, run_policy_ssh },
	{ "policy", "history", "versions|log", "", 0, "versions of the policy, newest first", "policy history", {{0}}, run_policy_history },
	{ "policy", "show", "", "[VERSION]", 1, "print a version; without one, that in force", "policy show 7", {{0}}, run_policy_show },
	{ "policy", "diff", "", "FROM [TO]", 2, "what differs between two versions; TO: else that in force", "policy diff 6 7", {{0}},
	  run_policy_diff },
	{ "policy", "rollback", "revert", "VERSION", 1, "set an older version's text anew", "policy rollback 6 --note 'too open'",
	  { { "note", 'n', "TEXT", "why, for the history", NULL } }, run_policy_rollback },
	{ "policy", "explain", "why", "SRC DST", 2, "the rule that lets SRC reach DST[:PORT][/PROTO], or the hop that fails",
	  "policy explain ann@example.com tag:web:443", {{0}}, run_policy_explain },
	{ "policy", "who-can-reach", "who", "DST", 1, "nodes that can reach DST[:PORT][/PROTO]", "policy who-can-reach db:5432", {{0}},
	  run_policy_who },
	{ "policy", "what-can-reach", "what", "SRC", 1, "what SRC can reach", "policy what-can-reach group:ops", {{0}}, run_policy_what },

	{ "audit", "list", "ls|show", "", 0, "the newest changes: who, what, from where", "audit list --kind node --since 2027-01-31T00:00:00Z",
	  { AUDIT_FILTERS, { "limit", 'n', "N", "so many; default 100, at most 1000", NULL } }, run_audit_list },
	{ "audit", "export", "", "", 0, "all records, oldest first, a JSON object a line", "audit export > audit.jsonl", { AUDIT_FILTERS },
	  run_audit_export },

	{ "settings", "list", "ls|show", "", 0, "list settings with their values", "settings list", {{0}}, run_settings_list },
	{ "settings", "get", "", "KEY", 1, "print a setting's value", "settings get node.expiry", {{0}}, run_settings_get },
	{ "settings", "set", "", "KEY VALUE", 2, "set it; lists as \"a,b\"", "settings set node.expiry 180d", {{0}}, run_settings_set },
	{ "settings", "reset", "unset", "KEY", 1, "back to what the configuration file says", "settings reset node.expiry", {{0}},
	  run_settings_reset },

	{ "dns", "get", "list|ls|show", "[KEY]", 1, "the DNS settings, or one of them", "dns get nameservers.global", {{0}}, run_dns_get },
	{ "dns", "set", "", "KEY VALUE...", 16, "set one; of nameservers.split each domain=ADDRESS,ADDRESS", "dns set nameservers.global 1.1.1.1 9.9.9.9",
	  {{0}}, run_dns_set },
	{ "dns", "reset", "unset", "KEY", 1, "back to what the configuration file says", "dns reset nameservers.global", {{0}}, run_dns_reset },
	{ "dns", "records", "", "", 0, "list the extra records", "dns records", {{0}}, run_dns_records },
	{ "dns", "add", "", "NAME ADDRESS", 2, "add an extra record", "dns add nas.tail.internal 100.64.0.9", {{0}}, run_dns_add },
	{ "dns", "remove", "rm|delete", "NAME [ADDRESS]", 2, "remove extra records", "dns remove nas.tail.internal", {{0}}, run_dns_remove },

	{ "derp", "list", "ls|regions", "", 0, "list the regions that clients get, with their relays", "derp list", {{0}}, run_derp_list },
	{ "derp", "add", "set", "REGION HOST[:PORT]", 2, "put a relay's region on the map that clients get", "derp add 901 derp.example.com --name Berlin",
	  { { "code", 'c', "CODE", "short name of the region; default: its number", NULL }, { "name", 'n', "NAME", "its name; default: the host", NULL },
	    { "stun-port", 's', "PORT", "UDP port of STUN; default 3478, 0: none", NULL }, { "ipv4", '4', "ADDRESS", "instead of a look-up of the name", NULL },
	    { "ipv6", '6', "ADDRESS", "the same", NULL }, { "cert-name", 0, "NAME", "sha256-raw:HEX pins a self-made certificate", NULL } },
	  run_derp_add },
	{ "derp", "remove", "rm|delete", "REGION", 1, "take a region that was added off the map", "derp remove 901 --force", {{0}}, run_derp_remove },
	{ "derp", "map", "show", "", 0, "print the map of relays that clients get", "derp map", {{0}}, run_derp_map },

	{ "config", "check", "test", "", 0, "read the configuration and say what is wrong", "config check --config config.toml", {{0}},
	  run_config_check },
	{ "config", "show", "dump", "", 0, "print every key with its value", "config show", {{0}}, run_config_show },
};

int cli_main(int argc, char **argv)
{
	static const struct verbs all = { groups, ARRAY_LEN(groups), verbs, ARRAY_LEN(verbs) };
	struct cli x = { 0 };
	char why[300];

	if (argc > 1 && strcmp(argv[1], "__complete") == 0) { /* not in the help: completion scripts ask */
		args_complete(&all, argc - 2, argv + 2, stdout);
		return EXIT_OK;
	}
	if (args_parse(&all, argc, argv, &x, why, sizeof why) != OK) {
		fprintf(stderr, "fairlead: %s\n", why);
		return EXIT_USAGE;
	}
	if (x.version && !x.verb)
		return run_version(&x);
	if (x.help) {
		bool asked = argc > 1; /* a bare `fairlead` is a mistake, though a mild one */
		args_help(&all, &x, asked ? stdout : stderr);
		return asked ? EXIT_OK : EXIT_USAGE;
	}
	return x.verb->run(&x);
}
