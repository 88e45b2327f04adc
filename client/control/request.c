#include "client/control/request.h"

#include <stdio.h>
#include <sys/utsname.h>

#include "client/netmap_node.h"
#include "common/base/cleanup.h"
#include "common/text/json.h"

enum { ANSWER_MAX = 1 << 20, ANSWER_DEPTH = 32 };

static void put_opt(struct jsonw *w, int v)
{
	if (v)
		jsonw_bool(w, v == 2);
	else
		jsonw_null(w);
}

static void put_netinfo(struct jsonw *w, const struct control_self *s)
{
	jsonw_key(w, "NetInfo"), jsonw_obj(w);
	jsonw_key(w, "MappingVariesByDestIP"), put_opt(w, s->varies);
	jsonw_key(w, "WorkingIPv6"), jsonw_bool(w, s->v6);
	jsonw_key(w, "WorkingUDP"), jsonw_bool(w, s->udp);
	jsonw_key(w, "PreferredDERP"), jsonw_int(w, s->preferred_derp);
	jsonw_obj_end(w);
}

static void put_hostinfo(struct jsonw *w, const struct control_self *s)
{
	struct utsname u;

	jsonw_key(w, "Hostinfo"), jsonw_obj(w);
	jsonw_key(w, "IPNVersion"), jsonw_str(w, s->version);
	jsonw_key(w, "BackendLogID"), jsonw_hex(w, "", bytes_of(s->machine->pub.b, 32));
	jsonw_key(w, "OS"), jsonw_str(w, "linux");
	if (*s->os_version)
		jsonw_key(w, "OSVersion"), jsonw_str(w, s->os_version);
	if (*s->distro)
		jsonw_key(w, "Distro"), jsonw_str(w, s->distro);
	jsonw_key(w, "Hostname"), jsonw_str(w, s->hostname);
	if (uname(&u) == 0)
		jsonw_key(w, "Machine"), jsonw_str(w, u.machine);
	if (s->shields_up)
		jsonw_key(w, "ShieldsUp"), jsonw_bool(w, true);
	if (s->n_routes || s->exit_node) {
		char text[PREFIX_TEXT_MAX];

		jsonw_key(w, "RoutableIPs"), jsonw_arr(w);
		for (size_t i = 0; i < s->n_routes; i++)
			jsonw_str(w, prefix_text(s->routes[i], text));
		if (s->exit_node)
			jsonw_str(w, "0.0.0.0/0"), jsonw_str(w, "::/0");
		jsonw_arr_end(w);
	}
	if (s->n_tags) {
		jsonw_key(w, "RequestTags"), jsonw_arr(w);
		for (size_t i = 0; i < s->n_tags; i++)
			jsonw_str(w, s->tags[i]);
		jsonw_arr_end(w);
	}
	if (s->has_netinfo)
		put_netinfo(w, s);
	jsonw_obj_end(w);
}

void request_register(const struct control_self *s, const char *followup, bool expire, struct buf *out)
{
	struct jsonw w = jsonw_init(out);

	jsonw_obj(&w);
	jsonw_key(&w, "Version"), jsonw_int(&w, CONTROL_VERSION);
	jsonw_key(&w, "NodeKey"), jsonw_hex(&w, "nodekey:", bytes_of(s->node->pub.b, 32));
	jsonw_key(&w, "OldNodeKey"), jsonw_hex(&w, "nodekey:", bytes_of(s->old_node->b, 32));
	jsonw_key(&w, "NLKey"), jsonw_hex(&w, "nlpub:", bytes_of(s->nl->b, 32));
	if (*s->auth_key) {
		jsonw_key(&w, "Auth"), jsonw_obj(&w);
		jsonw_key(&w, "AuthKey"), jsonw_str(&w, s->auth_key);
		jsonw_obj_end(&w);
	}
	/* Unix second 123 is how the official client says it: control.md 5.6 */
	jsonw_key(&w, "Expiry"), jsonw_str(&w, expire ? "1970-01-01T00:02:03Z" : "0001-01-01T00:00:00Z");
	jsonw_key(&w, "Followup"), jsonw_str(&w, followup);
	put_hostinfo(&w, s);
	jsonw_key(&w, "NodeKeySignature"), jsonw_null(&w);
	jsonw_obj_end(&w);
}

void request_map(const struct control_self *s, bool stream, struct buf *out)
{
	struct jsonw w = jsonw_init(out);
	char text[ADDRPORT_TEXT_MAX];

	jsonw_obj(&w);
	jsonw_key(&w, "Version"), jsonw_int(&w, CONTROL_VERSION);
	jsonw_key(&w, "Compress"), jsonw_str(&w, "zstd");
	jsonw_key(&w, "KeepAlive"), jsonw_bool(&w, true);
	jsonw_key(&w, "NodeKey"), jsonw_hex(&w, "nodekey:", bytes_of(s->node->pub.b, 32));
	jsonw_key(&w, "DiscoKey"), jsonw_hex(&w, "discokey:", bytes_of(s->disco->b, 32));
	if (stream)
		jsonw_key(&w, "Stream"), jsonw_bool(&w, true);
	else
		jsonw_key(&w, "OmitPeers"), jsonw_bool(&w, true);
	put_hostinfo(&w, s);
	if (s->n_endpoints) {
		jsonw_key(&w, "Endpoints"), jsonw_arr(&w);
		for (size_t i = 0; i < s->n_endpoints; i++)
			jsonw_str(&w, addrport_text(s->endpoints[i].at, text));
		jsonw_arr_end(&w);
		jsonw_key(&w, "EndpointTypes"), jsonw_arr(&w);
		for (size_t i = 0; i < s->n_endpoints; i++)
			jsonw_int(&w, s->endpoints[i].type);
		jsonw_arr_end(&w);
	}
	jsonw_obj_end(&w);
}

/* ---- answers ------------------------------------------------------------------------------------------------------- */

static void keep(char *out, size_t cap, const struct json_at *o, const char *key)
{
	nm_clean(out, cap - 1, json_bytes(o, key, ANSWER_MAX));
}

err request_parse_answer(struct bytes json, struct register_answer *out)
{
	struct register_answer a = { 0 };
	struct json_why why = { 0 };
	json_t *v;

	TRY(json_parse(json, ANSWER_MAX, ANSWER_DEPTH, &v, NULL));
	struct json_at root = json_root(v, &why), login = json_member(&root, "Login"), user = json_member(&root, "User");
	keep(a.error, sizeof a.error, &root, "Error");
	keep(a.auth_url, sizeof a.auth_url, &root, "AuthURL");
	keep(a.login_name, sizeof a.login_name, &login, "LoginName");
	keep(a.display_name, sizeof a.display_name, &login, "DisplayName");
	a.user_id = json_int(&user, "ID", INT64_MIN, INT64_MAX, 0);
	a.node_key_expired = json_bool(&root, "NodeKeyExpired", false);
	a.wants_signature = json_bytes(&root, "NodeKeySignature", ANSWER_MAX).n > 0;
	err e = json_is_object(v) ? why.e : ERR_MALFORMED;
	json_decref(v);
	if (e == OK)
		*out = a;
	return e;
}

err request_parse_key(struct bytes json, struct machine_pub *out)
{
	struct json_why why = { 0 };
	struct machine_pub key;
	json_t *v;

	TRY(json_parse(json, CONTROL_KEY_MAX, ANSWER_DEPTH, &v, NULL));
	struct json_at root = json_root(v, &why);
	err e = machine_pub_parse(json_bytes(&root, "publicKey", CONTROL_KEY_MAX), &key);
	json_decref(v);
	if (e != OK || machine_pub_is_zero(&key))
		return ERR_NOT_FOUND;
	*out = key;
	return OK;
}
