#include "common/base/version.h"
#include "server/api/handlers.h"
#include "server/api/state.h"

/* GET /metrics: Prometheus text. What the core counts, then what the server adds (connections, relay, database). */

static void gauge(struct buf *out, const char *name, const char *help, uint64_t v)
{
	buf_printf(out, "# HELP fairlead_%s %s\n# TYPE fairlead_%s gauge\nfairlead_%s %llu\n", name, help, name, name,
		(unsigned long long)v);
}

static void counter(struct buf *out, const char *name, const char *help, uint64_t v)
{
	buf_printf(out, "# HELP fairlead_%s %s\n# TYPE fairlead_%s counter\nfairlead_%s %llu\n", name, help, name, name,
		(unsigned long long)v);
}

static enum MHD_Result on_stats(struct request *r, const struct reply *reply)
{
	FAIL_ON(r, reply);
	const struct core_stats *s = &reply->stats;
	struct buf out = buf_make(API_ANSWER_MAX);

	buf_printf(&out, "# HELP fairlead_build_info Which build this is.\n# TYPE fairlead_build_info gauge\n"
			 "fairlead_build_info{version=\"%s\",commit=\"%s\"} 1\n",
		fairlead_version, fairlead_commit);
	gauge(&out, "users", "Users.", s->users);
	gauge(&out, "nodes", "Registered nodes.", s->nodes);
	gauge(&out, "nodes_online", "Nodes with an open map stream.", s->online);
	gauge(&out, "nodes_ephemeral", "Ephemeral nodes.", s->ephemeral);
	gauge(&out, "nodes_tagged", "Nodes owned by tags.", s->tagged);
	gauge(&out, "nodes_expired", "Nodes whose key has expired.", s->expired);
	gauge(&out, "map_sessions", "Open map streams.", s->sessions);
	gauge(&out, "pending_logins", "Devices that wait to be let in.", s->pendings);
	gauge(&out, "auth_keys", "Pre-authentication keys.", s->authkeys);
	gauge(&out, "api_keys", "API keys.", s->apikeys);
	counter(&out, "core_events_total", "Events that the core has applied.", s->events);
	counter(&out, "maps_full_total", "Full maps made.", s->map_full);
	counter(&out, "maps_delta_total", "Delta messages made (each sent to all who get the same).", s->map_deltas);
	counter(&out, "map_text_bytes_total", "Bytes of map messages before compression.", s->map_bytes);
	gauge(&out, "core_event_max_microseconds", "The longest that one event has taken.", (uint64_t)s->max_event_us);
	if (r->api->cfg.metrics)
		r->api->cfg.metrics(r->api->cfg.ctx, &out);
	return answer_buf(r, 200, "text/plain; version=0.0.4; charset=utf-8", &out);
}

enum MHD_Result api_metrics(struct request *r)
{
	return ask(r, command_for(r, CMD_STATS), on_stats);
}
