#include "client/state.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/buf.h"
#include "common/base/cleanup.h"
#include "common/base/random.h"
#include "common/text/hex.h"
#include "common/text/json.h"
#include "common/text/jsonw.h"

enum { STATE_DEPTH = 8, PATH_LEN = 4096, STATE_FORMAT = 1 };

const struct prefs prefs_default = { .accept_dns = true };

void state_init(struct client_state *s)
{
	*s = (struct client_state){ .prefs = prefs_default };
	machine_key_new(&s->machine);
	disco_key_new(&s->disco);
	random_fill(s->nl_seed.b, sizeof s->nl_seed.b);
}

void state_wipe(struct client_state *s)
{
	sodium_memzero(s, sizeof *s);
}

/* ---- files --------------------------------------------------------------------------------------------------------- */

static err write_all(int fd, struct bytes b)
{
	while (b.n) {
		ssize_t n = write(fd, b.p, b.n);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return ERR_SYS;
		b = bytes_skip(b, (size_t)n);
	}
	return OK;
}

static err sync_folder(const char *path)
{
	char dir[PATH_LEN];
	const char *slash = strrchr(path, '/');
	CLEANUP(closep) int fd = -1;

	if (snprintf(dir, sizeof dir, "%.*s", slash ? (int)(slash - path) + 1 : 1, slash ? path : ".") >= (int)sizeof dir)
		return ERR_TOO_BIG;
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd >= 0 && fsync(fd) == 0 ? OK : ERR_SYS;
}

err file_replace(const char *path, unsigned mode, struct bytes content)
{
	char fresh[PATH_LEN];
	CLEANUP(closep) int fd = -1;

	if (snprintf(fresh, sizeof fresh, "%s.new", path) >= (int)sizeof fresh)
		return ERR_TOO_BIG;
	if (unlink(fresh) != 0 && errno != ENOENT) /* of a crash; its mode is not to be trusted */
		return ERR_SYS;
	fd = open(fresh, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
	if (fd < 0)
		return ERR_SYS;
	if (write_all(fd, content) != OK || fsync(fd) != 0 || rename(fresh, path) != 0) {
		int e = errno;

		unlink(fresh);
		errno = e;
		return ERR_SYS;
	}
	return sync_folder(path);
}

err file_read(const char *path, size_t max, uint8_t **p, size_t *n)
{
	CLEANUP(closep) int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
	struct stat st;
	size_t have = 0;

	if (fd < 0)
		return errno == ENOENT ? ERR_NOT_FOUND : ERR_SYS;
	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
		return ERR_SYS;
	if (st.st_size < 0 || (uint64_t)st.st_size > max)
		return ERR_TOO_BIG;
	CLEANUP(freep) uint8_t *b = malloc((size_t)st.st_size + 1);
	if (!b)
		return ERR_NOMEM;
	while (have < (size_t)st.st_size) {
		ssize_t got = read(fd, b + have, (size_t)st.st_size - have);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return ERR_SYS;
		if (got == 0)
			break;
		have += (size_t)got;
	}
	b[have] = 0;
	*p = MOVE(b);
	*n = have;
	return OK;
}

/* ---- the state ----------------------------------------------------------------------------------------------------- */

static bool is_zero(const struct secret32 *k)
{
	return sodium_is_zero(k->b, sizeof k->b);
}

void prefs_write(struct jsonw *w, const struct prefs *p)
{
	char text[PREFIX_TEXT_MAX];

	jsonw_obj(w);
	jsonw_key(w, "LoginServer"), jsonw_str(w, p->login_server);
	jsonw_key(w, "Hostname"), jsonw_str(w, p->hostname);
	jsonw_key(w, "WantRunning"), jsonw_bool(w, p->want_running);
	jsonw_key(w, "AcceptDNS"), jsonw_bool(w, p->accept_dns);
	jsonw_key(w, "AcceptRoutes"), jsonw_bool(w, p->accept_routes);
	jsonw_key(w, "ShieldsUp"), jsonw_bool(w, p->shields_up);
	jsonw_key(w, "Port"), jsonw_int(w, p->port);
	jsonw_key(w, "ExitNode"), jsonw_str(w, p->exit_node);
	jsonw_key(w, "ExitNodeAllowLANAccess"), jsonw_bool(w, p->exit_lan);
	jsonw_key(w, "AdvertiseExitNode"), jsonw_bool(w, p->advertise_exit);
	jsonw_key(w, "AdvertiseRoutes"), jsonw_arr(w);
	for (size_t i = 0; i < p->n_routes; i++)
		jsonw_str(w, prefix_text(p->routes[i], text));
	jsonw_arr_end(w);
	jsonw_key(w, "AdvertiseTags"), jsonw_arr(w);
	for (size_t i = 0; i < p->n_tags; i++)
		jsonw_str(w, p->tags[i]);
	jsonw_arr_end(w);
	jsonw_obj_end(w);
}

err state_save(const char *dir, const struct client_state *s)
{
	char path[PATH_LEN];
	struct buf out = buf_make(STATE_FILE_MAX);
	struct jsonw w = jsonw_init(&out);
	err e = ERR_NOMEM;

	jsonw_obj(&w);
	jsonw_key(&w, "Format"), jsonw_int(&w, STATE_FORMAT);
	jsonw_key(&w, "MachineKey"), jsonw_hex(&w, "privkey:", bytes_of(s->machine.secret.b, 32));
	if (!is_zero(&s->node.secret))
		jsonw_key(&w, "NodeKey"), jsonw_hex(&w, "privkey:", bytes_of(s->node.secret.b, 32));
	if (!node_pub_is_zero(&s->old_node))
		jsonw_key(&w, "OldNodeKey"), jsonw_hex(&w, "nodekey:", bytes_of(s->old_node.b, 32));
	jsonw_key(&w, "DiscoKey"), jsonw_hex(&w, "privkey:", bytes_of(s->disco.secret.b, 32));
	jsonw_key(&w, "NLSeed"), jsonw_hex(&w, "seed:", bytes_of(s->nl_seed.b, 32));
	jsonw_key(&w, "Registered"), jsonw_bool(&w, s->registered);
	jsonw_key(&w, "NodeID"), jsonw_int(&w, s->node_id);
	jsonw_key(&w, "StableID"), jsonw_str(&w, s->stable_id);
	jsonw_key(&w, "LoginName"), jsonw_str(&w, s->login_name);
	jsonw_key(&w, "LastPort"), jsonw_int(&w, s->last_port);
	jsonw_key(&w, "LastHome"), jsonw_int(&w, s->last_home);
	jsonw_key(&w, "LastInitiation"), jsonw_int(&w, s->last_initiation_ms);
	jsonw_key(&w, "Prefs"), prefs_write(&w, &s->prefs);
	jsonw_obj_end(&w);
	buf_append_str(&out, "\n");
	if (jsonw_ok(&w))
		e = snprintf(path, sizeof path, "%s/state.json", dir) < (int)sizeof path
			? file_replace(path, 0600, buf_view(&out))
			: ERR_TOO_BIG;
	if (out.p)
		sodium_memzero(out.p, out.cap);
	buf_done(&out);
	return e;
}

/* "privkey:<64 digits>" -> k; absent leaves it. */
static void get_secret(const struct json_at *o, const char *key, const char *prefix, struct secret32 *k)
{
	struct bytes text = json_bytes(o, key, KEY_TEXT_MAX), want = bytes_str(prefix);
	struct json_at at = json_member(o, key);

	if (text.n == 0)
		return;
	if (!bytes_has_prefix(text, want) || hex_decode(bytes_skip(text, want.n), k->b, sizeof k->b) != OK)
		json_note(&at, ERR_INVALID, "not a key");
}

static void get_text(const struct json_at *o, const char *key, char *out, size_t cap)
{
	struct bytes b = json_bytes(o, key, cap - 1);

	memcpy(out, b.n ? (const char *)b.p : "", b.n);
	out[b.n] = 0;
}

/* Networks that others may reach through us: whole ones, none twice, and no default route, which has a flag of its own. */
static void read_routes(const struct json_at *list, struct prefs *p)
{
	size_t n = json_count(list, STATE_ROUTES_MAX);

	p->n_routes = 0;
	for (size_t i = 0; i < n; i++) {
		struct json_at at = json_item(list, i);
		struct prefix x;
		bool known = false;

		if (prefix_parse(json_to_bytes(&at, PREFIX_TEXT_MAX), &x) != OK)
			json_note(&at, ERR_INVALID, "no network such as 10.0.0.0/24");
		else if (prefix_cmp(x, prefix_mask(x)) != 0)
			json_note(&at, ERR_INVALID, "has bits behind its length: no network");
		else if (x.bits == 0)
			json_note(&at, ERR_INVALID, "for all of the internet there is --advertise-exit-node");
		else if (addr_is_loopback(x.addr) || addr_is_link_local(x.addr) || addr_is_multicast(x.addr))
			json_note(&at, ERR_INVALID, "cannot be routed");
		for (size_t k = 0; k < p->n_routes; k++)
			known |= prefix_cmp(p->routes[k], x) == 0;
		if (at.why->e == OK && !known)
			p->routes[p->n_routes++] = x;
	}
}

void prefs_read(const struct json_at *o, struct prefs *p)
{
	struct json_at tags = json_member(o, "AdvertiseTags"), routes = json_member(o, "AdvertiseRoutes");

	get_text(o, "LoginServer", p->login_server, sizeof p->login_server);
	get_text(o, "Hostname", p->hostname, sizeof p->hostname);
	p->want_running = json_bool(o, "WantRunning", false);
	p->accept_dns = json_bool(o, "AcceptDNS", true);
	p->accept_routes = json_bool(o, "AcceptRoutes", false);
	p->shields_up = json_bool(o, "ShieldsUp", false);
	get_text(o, "ExitNode", p->exit_node, sizeof p->exit_node);
	p->exit_lan = json_bool(o, "ExitNodeAllowLANAccess", false);
	p->advertise_exit = json_bool(o, "AdvertiseExitNode", false);
	read_routes(&routes, p);
	p->port = (uint16_t)json_int(o, "Port", 0, 65535, 0);
	p->n_tags = json_count(&tags, STATE_TAGS_MAX);
	for (size_t i = 0; i < p->n_tags; i++) {
		struct json_at at = json_item(&tags, i);
		struct bytes b = json_to_bytes(&at, sizeof p->tags[i] - 1);

		memcpy(p->tags[i], b.n ? (const char *)b.p : "", b.n);
		p->tags[i][b.n] = 0;
	}
}

static err read_state(struct bytes text, struct client_state *s, struct json_why *why)
{
	json_t *v;

	TRY(json_parse_why(text, STATE_FILE_MAX, STATE_DEPTH, &v, why));
	struct json_at root = json_root(v, why), prefs = json_member(&root, "Prefs");
	struct bytes old = json_bytes(&root, "OldNodeKey", KEY_TEXT_MAX);

	*s = (struct client_state){ .prefs = prefs_default };
	if (json_int(&root, "Format", 1, 1000, 0) != STATE_FORMAT)
		json_note(&root, ERR_INVALID, "of another version of this program");
	get_secret(&root, "MachineKey", "privkey:", &s->machine.secret);
	get_secret(&root, "NodeKey", "privkey:", &s->node.secret);
	get_secret(&root, "DiscoKey", "privkey:", &s->disco.secret);
	get_secret(&root, "NLSeed", "seed:", &s->nl_seed);
	if (old.n && node_pub_parse(old, &s->old_node) != OK)
		json_note(&root, ERR_INVALID, "OldNodeKey is no key");
	if (is_zero(&s->machine.secret))
		json_note(&root, ERR_INVALID, "no MachineKey");
	s->registered = json_bool(&root, "Registered", false);
	s->node_id = json_int(&root, "NodeID", 0, INT64_MAX, 0);
	get_text(&root, "StableID", s->stable_id, sizeof s->stable_id);
	get_text(&root, "LoginName", s->login_name, sizeof s->login_name);
	s->last_port = (uint16_t)json_int(&root, "LastPort", 0, 65535, 0);
	s->last_home = (int)json_int(&root, "LastHome", 0, 65535, 0);
	s->last_initiation_ms = json_int(&root, "LastInitiation", 0, INT64_MAX, 0);
	prefs_read(&prefs, &s->prefs);
	machine_key_derive(&s->machine);
	if (is_zero(&s->disco.secret)) /* written by a version that kept none */
		disco_key_new(&s->disco);
	else
		disco_key_derive(&s->disco);
	if (!is_zero(&s->node.secret))
		node_key_derive(&s->node);
	err e = why->e;
	json_decref(v);
	return e;
}

err state_load(const char *dir, struct client_state *s, char *why_out, size_t why_cap)
{
	char path[PATH_LEN];
	struct json_why why = { 0 };
	uint8_t *p;
	size_t n;

	if (snprintf(path, sizeof path, "%s/state.json", dir) >= (int)sizeof path)
		return ERR_TOO_BIG;
	err e = file_read(path, STATE_FILE_MAX, &p, &n);
	if (e == ERR_NOT_FOUND) {
		state_init(s);
		return OK;
	}
	if (e != OK) {
		snprintf(why_out, why_cap, "%s: %s", path, e == ERR_SYS ? strerror(errno) : err_text(e));
		return e;
	}
	e = read_state(bytes_of(p, n), s, &why);
	sodium_memzero(p, n);
	free(p);
	if (e != OK) {
		state_wipe(s);
		snprintf(why_out, why_cap, "%s: %s", path, why.text);
		return ERR_MALFORMED;
	}
	return OK;
}
