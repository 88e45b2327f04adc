#include "server/core/settings.h"

#include <stdio.h>

#include "common/base/cleanup.h"
#include "common/text/json.h"
#include "common/wire/tailcfg_response.h"

/* derp.regions: relays that joined the running server, over those of the configuration and under the policy's. */

enum { DERP_REGIONS_TEXT_MAX = 256 << 10, DERP_REGIONS_MAX = 256 };

/* {"901": {region}, …} as the Regions of a DERP map. */
static err parse_regions(json_t *regions, struct arena *a, struct tailcfg_derp_map **out, char *why, size_t why_cap)
{
	json_auto_t *map = json_pack("{s:O}", "Regions", regions);
	struct json_why jw = { 0 };
	size_t n = 0;
	const char *text = map ? json_dump_compact(a, map, &n) : NULL;

	if (!text)
		return ERR_NOMEM;
	err e = tailcfg_derp_map_parse(bytes_of((const uint8_t *)text, n), a, out, &jw);
	if (e != OK && e != ERR_NOMEM) {
		snprintf(why, why_cap, "%s", jw.text);
		e = ERR_INVALID;
	}
	return e;
}

err derp_read_regions(const char *text, struct arena *a, struct core_settings *out, char *why, size_t why_cap)
{
	json_auto_t *root = NULL;
	struct tailcfg_derp_map *m;
	struct json_why jw = { 0 };
	const char *id;
	json_t *region;
	size_t n;

	if (json_parse_why(bytes_str(text), DERP_REGIONS_TEXT_MAX, 8, &root, &jw) != OK || !json_is_object(root) ||
			json_object_size(root) > DERP_REGIONS_MAX) {
		snprintf(why, why_cap, "a JSON object of at most %d regions by their number is needed: {\"901\": {\"Nodes\": […]}}", DERP_REGIONS_MAX);
		return ERR_INVALID;
	}
	json_object_foreach(root, id, region)
		if (!json_is_object(region)) {
			snprintf(why, why_cap, "region %.20s is no object", id);
			return ERR_INVALID;
		}
	TRY(parse_regions(root, a, &m, why, why_cap));
	out->derp_regions = m;
	out->derp_regions_text = json_dump_compact(a, root, &n);
	return out->derp_regions_text ? OK : ERR_NOMEM;
}

void derp_show_regions(const struct core_settings *s, struct buf *out)
{
	buf_append_str(out, s->derp_regions_text ? s->derp_regions_text : "{}");
}
