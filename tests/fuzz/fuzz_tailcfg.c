/* Requests of nodes and DERP maps: parsed, and what is written of them is JSON that parses. */
#include <stdlib.h>

#include "common/base/cleanup.h"
#include "common/wire/tailcfg.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_hostinfo(const struct tailcfg_hostinfo *h, struct arena *a)
{
	CLEANUP(buf_done) struct buf b = buf_make(4 << 20);
	struct jsonw w = jsonw_init(&b);
	struct tailcfg_hostinfo *again;
	struct json_why why;

	tailcfg_hostinfo_write(&w, h, true);
	if (!jsonw_ok(&w) || tailcfg_hostinfo_parse(buf_view(&b), a, &again, &why) == ERR_MALFORMED)
		abort();
	if (tailcfg_hostinfo_parse(h->raw, a, &again, &why) != OK)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes in = bytes_of(data, size);
	CLEANUP(arena_done) struct arena a = arena_make(0);
	struct json_why why;
	struct tailcfg_register_request *reg;
	struct tailcfg_map_request *map;
	struct tailcfg_set_dns_request *dns;
	struct tailcfg_health_change_request *health;
	struct tailcfg_set_device_attr_request *attr;
	struct tailcfg_audit_log_request *audit;
	struct tailcfg_token_request *token;
	struct tailcfg_query_feature_request *feature;
	struct tailcfg_derp_map *derp;

	if (tailcfg_register_request_parse(in, &a, &reg, &why) == OK)
		check_hostinfo(reg->hostinfo, &a);
	else if (why.e == OK || !why.text[0])
		abort();
	if (tailcfg_map_request_parse(in, &a, &map, &why) == OK)
		check_hostinfo(map->hostinfo, &a);
	err ignored = tailcfg_set_dns_request_parse(in, &a, &dns, &why);
	ignored = tailcfg_health_change_request_parse(in, &a, &health, &why);
	ignored = tailcfg_set_device_attr_request_parse(in, &a, &attr, &why);
	ignored = tailcfg_audit_log_request_parse(in, &a, &audit, &why);
	ignored = tailcfg_token_request_parse(in, &a, &token, &why);
	ignored = tailcfg_query_feature_request_parse(in, &a, &feature, &why);
	(void)ignored;
	if (tailcfg_derp_map_parse(in, &a, &derp, &why) == OK) {
		CLEANUP(buf_done) struct buf b = buf_make(16 << 20);
		struct jsonw w = jsonw_init(&b);

		tailcfg_derp_map_write(&w, derp);
		if (!jsonw_ok(&w))
			abort();
	}
	return 0;
}
