/* The JSON inside the boxes of ClientInfo and ServerInfo. */
#include "common/base/cleanup.h"
#include "common/text/hex.h"
#include "common/text/json.h"
#include "common/text/jsonw.h"
#include "common/wire/derp_frame.h"

enum { DEPTH_MAX = 8 }; /* of JSON that has no business to be nested at all; unknown fields may be */

static void json_freep(json_t **j)
{
	json_decref(*j);
}

static err parse_object(struct bytes json, json_t **out)
{
	CLEANUP(json_freep) json_t *root = NULL;

	TRY(json_parse(json, DERP_INFO_JSON_MAX, DEPTH_MAX, &root, NULL));
	if (!json_is_object(root))
		return ERR_MALFORMED;
	*out = MOVE(root);
	return OK;
}

/* A whole character is given up rather than split: what is kept stays UTF-8. */
static struct bytes cut_text(struct bytes text, size_t max)
{
	struct bytes kept = bytes_first(text, max);

	while (kept.n < text.n && !bytes_is_utf8(kept))
		kept.n--;
	return kept;
}

err derp_parse_client_info_json(struct bytes json, struct derp_client_info *out)
{
	CLEANUP(json_freep) json_t *root = NULL;
	struct json_why why = { 0 };
	struct derp_client_info ci = { 0 };

	TRY(parse_object(json, &root));
	struct json_at o = json_root(root, &why);
	struct json_at mesh = json_member(&o, "meshKey");

	ci.version = json_int(&o, "version", INT64_MIN, INT64_MAX, 0);
	ci.can_ack_pings = json_bool(&o, "CanAckPings", false);
	ci.is_prober = json_bool(&o, "IsProber", false);
	struct bytes app = cut_text(json_bytes(&o, "AppName", DERP_INFO_JSON_MAX), DERP_APP_NAME_MAX - 1);
	TRY(bytes_copy(ci.app_name, DERP_APP_NAME_MAX - 1, app)); /* its NUL is there already */
	if (json_is_set(&mesh)) {
		TRY(hex_decode(json_to_bytes(&mesh, DERP_INFO_JSON_MAX), ci.mesh_key.b, sizeof ci.mesh_key.b));
		ci.has_mesh_key = true;
	}
	if (why.e != OK)
		return ERR_MALFORMED;
	*out = ci;
	return OK;
}

err derp_write_client_info_json(const struct derp_client_info *ci, struct buf *out)
{
	struct jsonw w = jsonw_init(out);

	jsonw_obj(&w);
	if (ci->has_mesh_key) {
		jsonw_key(&w, "meshKey");
		jsonw_hex(&w, "", bytes_of(ci->mesh_key.b, sizeof ci->mesh_key.b));
	}
	jsonw_key(&w, "version"), jsonw_int(&w, ci->version);
	jsonw_key(&w, "CanAckPings"), jsonw_bool(&w, ci->can_ack_pings);
	if (ci->is_prober)
		jsonw_key(&w, "IsProber"), jsonw_bool(&w, true);
	if (ci->app_name[0])
		jsonw_key(&w, "AppName"), jsonw_str(&w, ci->app_name);
	jsonw_obj_end(&w);
	return jsonw_ok(&w) ? OK : ERR_TOO_BIG;
}

err derp_parse_server_info_json(struct bytes json, struct derp_server_info *out)
{
	CLEANUP(json_freep) json_t *root = NULL;
	struct json_why why = { 0 };
	struct derp_server_info si;

	TRY(parse_object(json, &root));
	struct json_at o = json_root(root, &why);

	si.version = json_int(&o, "version", INT64_MIN, INT64_MAX, 0);
	si.bytes_per_second = json_int(&o, "TokenBucketBytesPerSecond", INT64_MIN, INT64_MAX, 0);
	si.bytes_burst = json_int(&o, "TokenBucketBytesBurst", INT64_MIN, INT64_MAX, 0);
	if (why.e != OK)
		return ERR_MALFORMED;
	*out = si;
	return OK;
}

err derp_write_server_info_json(const struct derp_server_info *si, struct buf *out)
{
	struct jsonw w = jsonw_init(out);

	jsonw_obj(&w);
	jsonw_key(&w, "version"), jsonw_int(&w, si->version);
	if (si->bytes_per_second)
		jsonw_key(&w, "TokenBucketBytesPerSecond"), jsonw_int(&w, si->bytes_per_second);
	if (si->bytes_burst)
		jsonw_key(&w, "TokenBucketBytesBurst"), jsonw_int(&w, si->bytes_burst);
	jsonw_obj_end(&w);
	return jsonw_ok(&w) ? OK : ERR_TOO_BIG;
}
