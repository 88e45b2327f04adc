#include <string.h>

#include "common/text/json.h"
#include "server/api/handlers.h"
#include "server/api/render.h"
#include "server/api/state.h"

/* Relays that join the running server: members of the setting derp.regions. */

static enum MHD_Result on_text(struct request *r, const struct reply *reply)
{
	FAIL_ON(r, reply);
	return answer_text(r, 200, "application/json", reply->text ? reply->text : "{}");
}

enum MHD_Result api_native_derp_map(struct request *r)
{
	return ask(r, command_for(r, CMD_DERPMAP_GET), on_text);
}

static enum MHD_Result on_regions(struct request *r, const struct reply *reply)
{
	FAIL_ON(r, reply);
	struct buf out;
	struct jsonw w = answer_begin(&out);
	jsonw_key(&w, "regions");
	jsonw_raw(&w, bytes_str(reply->n_settings && reply->settings[0].value ? reply->settings[0].value : "{}"));
	return answer_end(r, &w, &out);
}

/* Puts region (stolen) under its number, or takes it out (json_null). The core keeps the others as they are. */
static enum MHD_Result change(struct request *r, const char *id, json_t *region)
{
	json_auto_t *patch = json_pack("{s:o}", id, region);
	struct command *c = command_for(r, CMD_SETTINGS_PATCH);
	struct setting_change *x = c ? arena_array(&c->arena, 1, sizeof *x) : NULL;
	size_t n;

	if (!x || !patch) {
		command_free(c);
		return answer_error(r, 500, "out of memory");
	}
	*x = (struct setting_change){ .key = "derp.regions", .text = json_dump_compact(&c->arena, patch, &n), .merge = true };
	if (!x->text) {
		command_free(c);
		return answer_error(r, 413, "the region is too long");
	}
	c->name = command_str(c, x->key); /* the answer shows it alone */
	c->changes = x;
	c->n_changes = 1;
	return ask(r, c, on_regions);
}

/* The body is a region as DERP maps have it; RegionID, and that of its nodes, may be left out. */
enum MHD_Result api_native_derp_region_set(struct request *r)
{
	const json_t *body = body_object(r);
	uint64_t id = 0;
	json_t *node;
	size_t i;

	if (bytes_parse_u64(bytes_str(r->param[0]), TAILCFG_DERP_REGION_ID_MAX, &id) != OK || !id)
		return answer_error(r, 400, "the region is a number from 1 to 65535; private ones are 900 to 999");
	if (!body)
		return answer_error(r, 400, r->fault ? r->fault : "a region is needed");
	json_t *region = json_deep_copy(body);
	if (region && !json_object_get(region, "RegionID"))
		json_object_set_new(region, "RegionID", json_integer((json_int_t)id));
	json_array_foreach(json_object_get(region, "Nodes"), i, node)
		if (json_is_object(node) && !json_object_get(node, "RegionID"))
			json_object_set_new(node, "RegionID", json_integer((json_int_t)id));
	return region ? change(r, r->param[0], region) : answer_error(r, 500, "out of memory");
}

enum MHD_Result api_native_derp_region_delete(struct request *r)
{
	return change(r, r->param[0], json_null());
}
