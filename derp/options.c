#include "derp/options.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/cleanup.h"
#include "common/net/sock.h"
#include "common/text/hex.h"
#include "common/text/toml.h"

enum {
	FILE_MAX = 64 << 10,
	THREADS_MAX = 256,
	STRINGS_MAX = 1 << 20, /* bytes of all settings together */
};

/* Sets one setting from its text; NULL, or what is wrong with the text. */
typedef const char *set_fn(struct derpd_options *o, const char *text);

static const char *set_string(struct derpd_options *o, const char *text, const char **at)
{
	*at = arena_str(&o->arena, bytes_str(text));
	return *at ? NULL : "is too long";
}

static const char *set_hostname(struct derpd_options *o, const char *text)
{
	if (!text[0] || strlen(text) > 253 || strpbrk(text, "/ :\r\n\"\\%?#@"))
		return "is no host name or address (no port, no https://)";
	return set_string(o, text, &o->hostname);
}

static const char *set_listen(struct derpd_options *o, const char *text)
{
	if (o->n_listen == OPTIONS_LISTEN_MAX)
		return "is one address too many";
	if (sock_parse_listen(bytes_str(text), &o->listen[o->n_listen]) != OK)
		return "is no address to listen on (examples: :443, 192.0.2.1:443, [::]:8443)";
	o->n_listen++;
	return NULL;
}

static const char *set_port(const char *text, struct addrport *at)
{
	*at = (struct addrport){ 0 };
	if (strcmp(text, "off") == 0)
		return NULL;
	return sock_parse_listen(bytes_str(text), at) == OK ? NULL : "is neither off nor an address (examples: :80, 192.0.2.1:3478)";
}

static const char *set_listen_plain(struct derpd_options *o, const char *text)
{
	return set_port(text, &o->listen_plain);
}

static const char *set_http(struct derpd_options *o, const char *text)
{
	return set_port(text, &o->http);
}

static const char *set_stun(struct derpd_options *o, const char *text)
{
	return set_port(text, &o->stun);
}

static const char *set_stun_second(struct derpd_options *o, const char *text)
{
	return set_port(text, &o->stun_second);
}

static const char *set_cert(struct derpd_options *o, const char *text)
{
	return set_string(o, text, &o->cert_path);
}

static const char *set_key(struct derpd_options *o, const char *text)
{
	return set_string(o, text, &o->key_path);
}

static const char *set_state(struct derpd_options *o, const char *text)
{
	return text[0] ? set_string(o, text, &o->state_dir) : "is empty";
}

static const char *set_allow_keys(struct derpd_options *o, const char *text)
{
	return set_string(o, text, &o->allow_keys);
}

static const char *set_admit_url(struct derpd_options *o, const char *text)
{
	if (!bytes_has_prefix(bytes_str(text), BYTES_LIT("https://")) && !bytes_has_prefix(bytes_str(text), BYTES_LIT("http://")))
		return "is no URL (example: https://vpn.example.com/verify)";
	return set_string(o, text, &o->admit_url);
}

static const char *set_admit_fail(struct derpd_options *o, const char *text)
{
	o->admit_fail_closed = strcmp(text, "closed") == 0;
	return o->admit_fail_closed || strcmp(text, "open") == 0 ? NULL : "is neither open nor closed";
}

static const char *set_number(const char *text, uint64_t max, uint64_t *out)
{
	return bytes_parse_u64(bytes_str(text), max, out) == OK ? NULL : "is no number, or too large a one";
}

static const char *set_admit_again(struct derpd_options *o, const char *text)
{
	uint64_t n = 0;
	const char *bad = set_number(text, 86400, &n);

	o->admit_again_s = (unsigned)n;
	return bad;
}

static const char *set_threads(struct derpd_options *o, const char *text)
{
	uint64_t n = 0;
	const char *bad = set_number(text, THREADS_MAX, &n);

	o->threads = (unsigned)n;
	return bad;
}

static const char *set_max_conns(struct derpd_options *o, const char *text)
{
	uint64_t n = 0;
	const char *bad = set_number(text, UINT32_MAX, &n);

	o->max_conns = (uint32_t)n;
	return bad;
}

static const char *set_max_per_addr(struct derpd_options *o, const char *text)
{
	uint64_t n = 0;
	const char *bad = set_number(text, UINT32_MAX, &n);

	o->max_conns_per_addr = (uint32_t)n;
	return bad;
}

static const char *set_max_queued(struct derpd_options *o, const char *text)
{
	uint64_t n = 0;
	const char *bad = set_number(text, 1 << 20, &n);

	o->max_queued_bytes = n << 20;
	return bad;
}

/* Bytes a second, with an optional k, M or G (of 1000). */
static const char *set_rate(const char *text, uint64_t *out)
{
	size_t n = strlen(text);
	const char *unit = n ? strchr("kMG", text[n - 1]) : NULL;
	uint64_t factor = !unit || !*unit ? 1 : *unit == 'k' ? 1000 : *unit == 'M' ? 1000000 : 1000000000, v = 0;

	if (bytes_parse_u64(bytes_of(text, n - (factor > 1)), UINT64_MAX / 1000000000 / 1024, &v) != OK)
		return "is no number of bytes a second (examples: 500k, 20M, 0 for no limit)";
	*out = v * factor;
	return NULL;
}

static const char *set_client_rate(struct derpd_options *o, const char *text)
{
	return set_rate(text, &o->client_rate);
}

static const char *set_client_burst(struct derpd_options *o, const char *text)
{
	return set_rate(text, &o->client_burst);
}

static const char *set_total_rate(struct derpd_options *o, const char *text)
{
	return set_rate(text, &o->total_rate);
}

/* For JSON as it is. */
static bool is_plain(const char *text)
{
	if (!*text || strlen(text) > 64 || !bytes_is_utf8(bytes_str(text)))
		return false;
	for (; *text; text++)
		if ((unsigned char)*text < ' ' || *text == '"' || *text == '\\' || *text == 0x7f)
			return false;
	return true;
}

static const char *set_region(struct derpd_options *o, const char *text)
{
	uint64_t n = 0;
	const char *bad = set_number(text, 65535, &n); /* clients keep it in a port */

	o->region_id = (unsigned)n;
	return bad ? bad : n ? NULL : "must not be 0";
}

/* 64 hex digits, as derper's -mesh-psk-file. */
static const char *set_mesh_key(struct derpd_options *o, const char *text)
{
	char line[128] = "";
	FILE *f = fopen(text, "re");

	if (!f)
		return "cannot be read";
	size_t n = fread(line, 1, sizeof line - 1, f);
	fclose(f);
	while (n && (line[n - 1] == '\n' || line[n - 1] == '\r' || line[n - 1] == ' '))
		n--;
	bool bad = n != 64 || hex_decode(bytes_of(line, n), o->mesh_key.b, sizeof o->mesh_key.b) != OK;
	sodium_memzero(line, sizeof line);
	o->has_mesh_key = !bad;
	return bad ? "does not hold 64 hexadecimal digits" : NULL;
}

static const char *set_mesh_with(struct derpd_options *o, const char *text)
{
	struct bytes rest = bytes_str(text);

	while (rest.n) {
		const uint8_t *comma = memchr(rest.p, ',', rest.n);
		struct bytes one = comma ? bytes_first(rest, (size_t)(comma - rest.p)) : rest;

		if (o->n_mesh == OPTIONS_MESH_MAX)
			return "is one relay too many";
		if (mesh_target_parse(one, &o->mesh[o->n_mesh]) != OK)
			return "is no relay (examples: derp2.example.com, derp2.example.com:8443/10.0.0.2, 192.0.2.7=sha256-raw:…)";
		o->n_mesh++;
		rest = bytes_skip(rest, one.n + (comma != NULL));
	}
	return NULL;
}

static const char *set_proxies(struct derpd_options *o, const char *text)
{
	struct bytes rest = bytes_str(text);

	o->n_proxies = 0;
	while (rest.n) {
		struct bytes one = bytes_trim(bytes_cut(rest, ',', &rest));

		if (o->n_proxies == OPTIONS_PROXIES_MAX)
			return "is one proxy too many";
		if (prefix_parse(one, &o->proxies[o->n_proxies]) != OK)
			return "is no address and no network (examples: 127.0.0.1, 10.0.0.0/8)";
		o->n_proxies++;
	}
	return NULL;
}

static const char *set_mesh_ca(struct derpd_options *o, const char *text)
{
	return set_string(o, text, &o->mesh_ca);
}

static const char *set_region_code(struct derpd_options *o, const char *text)
{
	return is_plain(text) ? set_string(o, text, &o->region_code) : "is no short word";
}

static const char *set_region_name(struct derpd_options *o, const char *text)
{
	return is_plain(text) ? set_string(o, text, &o->region_name) : "is too long, or has quotes or control characters in it";
}

static const char *set_debug(struct derpd_options *o, const char *text)
{
	o->debug = strcmp(text, "debug") == 0;
	return o->debug || strcmp(text, "info") == 0 ? NULL : "is neither info nor debug";
}

static const struct setting {
	const char *flag, *key; /* key: in the file */
	set_fn *set;
	const char *help;
} settings[] = {
	{ "hostname", "hostname", set_hostname, "NAME   name or address by which clients reach this relay" },
	{ "listen", "listen_addr", set_listen, "ADDR     where DERP is served, over TLS; may be given again   (:443)" },
	{ "listen-plain", "listen_plain_addr", set_listen_plain, "ADDR DERP without TLS, for a proxy in front, or off           (off)" },
	{ "trusted-proxies", "trusted_proxies", set_proxies, "NETS whose X-Forwarded-For is believed there, by comma" },
	{ "http", "http_addr", set_http, "ADDR       captive-portal check and redirect, or off            (:80)" },
	{ "stun", "stun_listen_addr", set_stun, "ADDR       STUN over UDP, or off                                (:3478)" },
	{ "stun-second", "stun_second_addr", set_stun_second, "ADDR a second one, for clients to tell hard NATs          (off)" },
	{ "cert", "tls_cert_path", set_cert, "FILE       certificate chain, PEM; without it one is self-made" },
	{ "key", "tls_key_path", set_key, "FILE        its private key, PEM" },
	{ "state", "state_dir", set_state, "DIR       keeps the relay's key and self-made certificate" },
	{ "allow-keys", "allow_keys_path", set_allow_keys, "FILE only these clients: one nodekey:… a line; SIGHUP reads it again" },
	{ "verify-client-url", "verify_client_url", set_admit_url, "URL asked whether a client may come in (Fairlead's and Headscale's: https://…/verify)" },
	{ "verify-fail", "verify_fail", set_admit_fail, "HOW     open or closed: what counts when it does not answer     (open)" },
	{ "verify-again", "verify_again_seconds", set_admit_again, "SECONDS ask again about those who are connected; 0: never         (60)" },
	{ "threads", "threads", set_threads, "N       wire threads                                         (one a core)" },
	{ "max-conns", "max_connections", set_max_conns, "N     connections at most, 0 = no limit                    (100000)" },
	{ "max-conns-per-address", "max_connections_per_address", set_max_per_addr, "N  of one IPv4 address or IPv6 /64          (1024)" },
	{ "max-queued-mib", "max_queued_mib", set_max_queued, "N MiB of packets that wait for slow clients, all together (1024)" },
	{ "rate-client", "rate_client", set_client_rate, "BYTES  a second from each client (k, M, G); reading pauses over it    (0: none)" },
	{ "rate-burst", "rate_burst", set_client_burst, "BYTES   at once above it, at least 65568" },
	{ "rate-total", "rate_total", set_total_rate, "BYTES   a second from all clients together                     (0: none)" },
	{ "mesh-key-file", "mesh_key_file", set_mesh_key, "FILE  64 hex digits that all relays of this region share" },
	{ "mesh-with", "mesh_with", set_mesh_with, "HOST     another relay of this region, host[:port][/dialhost[:port]]; or several, by comma" },
	{ "mesh-ca", "mesh_ca_path", set_mesh_ca, "FILE       roots that other relays' certificates are checked against (the system's)" },
	{ "region-id", "region_id", set_region, "N     for the derpMap entry that is printed                (900)" },
	{ "region-code", "region_code", set_region_code, "CODE  the same                                            (own)" },
	{ "region-name", "region_name", set_region_name, "NAME  the same                                            (Own relay)" },
	{ "log", "log_level", set_debug, "LEVEL       info or debug                                        (info)" },
};

void options_help(FILE *to)
{
	fputs("fairlead-derp: a relay (DERP) and STUN server for Tailscale-compatible networks\n\n"
	      "  fairlead-derp --hostname derp.example.com --cert fullchain.pem --key privkey.pem\n"
	      "  fairlead-derp --hostname 203.0.113.7                  with a self-made certificate, which clients pin\n"
	      "  fairlead-derp --config /etc/fairlead/derp.toml\n"
	      "  fairlead-derp status [--json] [--rates] [--state DIR] who is connected to the relay that runs here\n"
	      "  fairlead-derp join https://vpn.example.com [--state DIR]  puts the relay that runs here on that server's map\n"
	      "  fairlead-derp leave https://vpn.example.com [--state DIR] and takes it off; $FAIRLEAD_CLI_API_KEY is the key to show there\n\n"
	      "It prints the derpMap entry to paste into your server. SIGHUP reads certificate and key list again; SIGTERM\n"
	      "tells clients to move elsewhere, closes them within 20 seconds, and stops.\n\n",
		to);
	for (size_t i = 0; i < ARRAY_LEN(settings); i++)
		fprintf(to, "  --%s %s\n", settings[i].flag, settings[i].help);
	fputs("  --config FILE     these settings as TOML:", to);
	for (size_t i = 0; i < ARRAY_LEN(settings); i++)
		fprintf(to, "%s%s", i % 4 ? " " : "\n                      ", settings[i].key);
	fputs("\n  --version         print the version\n", to);
}

/* ---- the file --------------------------------------------------------------------------------------------------- */

static err set_from_toml(struct derpd_options *o, const char *path, const struct setting *s, struct toml *t, char *why,
	size_t why_cap)
{
	char number[32];
	const char *text = NULL;

	switch (t->kind) {
	case TOML_STRING:
		text = (const char *)t->s.p;
		break;
	case TOML_INT:
		if (snprintf(number, sizeof number, "%lld", (long long)t->i) > 0)
			text = number;
		break;
	case TOML_ARRAY:
		for (struct toml *e = t->list.first; e; e = e->next)
			TRY(set_from_toml(o, path, s, e, why, why_cap));
		return OK;
	case TOML_FLOAT:
	case TOML_BOOL:
	case TOML_TABLE:
		break;
	}
	const char *bad = text ? s->set(o, text) : "is of the wrong kind";
	if (!bad)
		return OK;
	snprintf(why, why_cap, "%s:%u: %s = %s %s", path, t->line, s->key, text ? text : toml_kind_text(t->kind), bad);
	return ERR_INVALID;
}

static err load_file(struct derpd_options *o, const char *path, char *why, size_t why_cap)
{
	CLEANUP(arena_done) struct arena a = arena_make(4 << 20);
	CLEANUP(freep) char *text = malloc(FILE_MAX);
	struct toml *root;
	struct toml_error te;
	FILE *f = fopen(path, "re");

	if (!f || !text) {
		snprintf(why, why_cap, "cannot read %s: %s", path, strerror(errno));
		if (f)
			fclose(f);
		return ERR_INVALID;
	}
	size_t n = fread(text, 1, FILE_MAX, f);
	fclose(f);
	if (n == FILE_MAX) {
		snprintf(why, why_cap, "%s is too large for a configuration", path);
		return ERR_INVALID;
	}
	if (toml_parse(bytes_of(text, n), &a, &root, &te) != OK) {
		snprintf(why, why_cap, "%s:%u: %s", path, te.line, te.text);
		return ERR_INVALID;
	}
	for (size_t i = 0; i < ARRAY_LEN(settings); i++) {
		struct toml *t = toml_get(root, settings[i].key);

		if (!t)
			continue;
		toml_use_all(t);
		TRY(set_from_toml(o, path, &settings[i], t, why, why_cap));
	}
	struct toml *stray = toml_unused(root);
	if (stray) {
		snprintf(why, why_cap, "%s:%u: %s is no setting of fairlead-derp", path, stray->line, stray->key);
		return ERR_INVALID;
	}
	return OK;
}

/* ---- flags ------------------------------------------------------------------------------------------------------ */

/* Splits "--flag value" and "--flag=value"; *i moves to the last argument that was used. NULL value: none was given. */
static const char *flag_at(int argc, char **argv, int *i, const char **value, char *name, size_t cap)
{
	const char *arg = argv[*i], *eq = strchr(arg, '=');
	size_t n = eq ? (size_t)(eq - arg) : strlen(arg);

	*value = NULL;
	if (arg[0] != '-' || arg[1] != '-' || n - 2 >= cap)
		return NULL;
	memcpy(name, arg + 2, n - 2);
	name[n - 2] = 0;
	if (eq)
		*value = eq + 1;
	else if (*i + 1 < argc)
		*value = argv[*i + 1];
	return eq ? "" : " ";
}

static err parse_flags(int argc, char **argv, struct derpd_options *o, bool config_only, char *why, size_t why_cap)
{
	size_t n_file_listen = o->n_listen;
	bool listen_given = false, mesh_given = false;

	for (int i = 1; i < argc; i++) {
		const char *value, *bad = NULL;
		char name[64];
		const struct setting *s = NULL;
		const char *sep = flag_at(argc, argv, &i, &value, name, sizeof name);

		if (sep && strcmp(name, "help") == 0) {
			o->help = true;
			continue;
		}
		if (i == 1 && strcmp(argv[i], "status") == 0) {
			o->status = true;
			continue;
		}
		if (i == 1 && i + 1 < argc && (strcmp(argv[i], "join") == 0 || strcmp(argv[i], "leave") == 0)) {
			*(argv[i][0] == 'j' ? &o->join : &o->leave) = argv[i + 1];
			i++;
			continue;
		}
		if (sep && o->status && strcmp(name, "json") == 0) {
			o->json = true;
			continue;
		}
		if (sep && o->status && strcmp(name, "rates") == 0) {
			o->rates = true;
			continue;
		}
		if (sep && strcmp(name, "version") == 0) {
			o->version = true;
			continue;
		}
		for (size_t k = 0; sep && k < ARRAY_LEN(settings); k++)
			if (strcmp(settings[k].flag, name) == 0)
				s = &settings[k];
		bool is_config = sep && strcmp(name, "config") == 0;
		if (!s && !is_config) {
			snprintf(why, why_cap, "%s is no flag of fairlead-derp (see --help)", argv[i]);
			return ERR_INVALID;
		}
		if (!value) {
			snprintf(why, why_cap, "--%s needs a value (see --help)", name);
			return ERR_INVALID;
		}
		if (sep[0] == ' ')
			i++;
		if (is_config && config_only)
			TRY(load_file(o, value, why, why_cap));
		if (is_config || config_only)
			continue;
		if (s->set == set_mesh_with && !mesh_given)
			o->n_mesh = 0;
		mesh_given |= s->set == set_mesh_with;
		if (s->set == set_listen && !listen_given && n_file_listen) /* the flag replaces the file's */
			o->n_listen = 0;
		listen_given |= s->set == set_listen;
		bad = s->set(o, value);
		if (bad) {
			snprintf(why, why_cap, "--%s %s %s", name, value, bad);
			return ERR_INVALID;
		}
	}
	return OK;
}

err options_parse(int argc, char **argv, struct derpd_options *out, char *why, size_t why_cap)
{
	const char *state = getenv("STATE_DIRECTORY"); /* systemd's */

	*out = (struct derpd_options){
		.arena = arena_make(STRINGS_MAX),
		.hostname = "",
		.state_dir = state && state[0] ? state : "/var/lib/fairlead-derp",
		.max_conns = 100000,
		.max_conns_per_addr = 1024,
		.max_queued_bytes = 1ull << 30,
		.admit_again_s = 60,
		.region_id = 900,
		.region_code = "own",
		.region_name = "Own relay",
		.http = { .addr.family = 6, .port = 80 },
		.stun = { .addr.family = 6, .port = 3478 },
	};
	err e = parse_flags(argc, argv, out, true, why, why_cap);
	if (e == OK)
		e = parse_flags(argc, argv, out, false, why, why_cap);
	if (e == OK && !out->cert_path != !out->key_path) {
		snprintf(why, why_cap, "--cert and --key belong together: one of them is missing");
		e = ERR_INVALID;
	}
	if (e == OK && out->n_mesh && !out->has_mesh_key) {
		snprintf(why, why_cap, "--mesh-with needs --mesh-key-file: the relays of a region know each other by its key");
		e = ERR_INVALID;
	}
	if (e == OK && !out->hostname[0] && !out->help && !out->version && !out->status && !out->join && !out->leave) {
		snprintf(why, why_cap, "--hostname is missing: the name or address by which clients reach this relay");
		e = ERR_INVALID;
	}
	if (e == OK && out->n_listen == 0)
		out->listen[out->n_listen++] = (struct addrport){ .addr.family = 6, .port = 443 };
	if (e != OK)
		options_done(out);
	return e;
}

void options_done(struct derpd_options *o)
{
	secret32_wipe(&o->mesh_key);
	arena_done(&o->arena);
}
