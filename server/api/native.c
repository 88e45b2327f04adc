#include "common/text/json.h"
#include "server/api/handlers.h"
#include "server/api/render.h"
#include "server/api/routes.h"
#include "server/api/state.h"

static enum MHD_Result on_text(struct request *r, const struct reply *reply)
{
	FAIL_ON(r, reply);
	return answer_text(r, 200, "application/json", reply->text ? reply->text : "{}");
}

/* ---- services: answers are {"services": […]} ---- */

static struct command *service_command(struct request *r, enum command_kind kind)
{
	struct command *c = command_for(r, kind);

	if (c)
		c->name = command_str(c, r->param[0]);
	return c;
}

enum MHD_Result api_native_services(struct request *r)
{
	return ask(r, command_for(r, CMD_SERVICE_LIST), on_text);
}

enum MHD_Result api_native_service_get(struct request *r)
{
	return ask(r, service_command(r, CMD_SERVICE_LIST), on_text);
}

enum MHD_Result api_native_service_delete(struct request *r)
{
	return ask(r, service_command(r, CMD_SERVICE_DELETE), on_done);
}

static const char *const *copy_texts(struct request *r, struct command *c, const char *name, size_t *n)
{
	bool given;
	const char **list = body_texts(r, name, n, &given), **copy = arena_array(&c->arena, *n + 1, sizeof *copy);

	for (size_t i = 0; copy && i < *n; i++)
		copy[i] = command_str(c, list[i]);
	if (!copy)
		*n = 0;
	return copy;
}

/* {"comment", "annotations": {}, "ports": [], "tags": []}; what is left out is empty. */
enum MHD_Result api_native_service_set(struct request *r)
{
	struct command *c = service_command(r, CMD_SERVICE_SET);
	const json_t *body = body_object(r), *annotations = body ? json_object_get(body, "annotations") : NULL;
	size_t n;

	if (c && !r->fault) {
		const char *comment = body_text(r, "comment");
		c->note = command_str(c, comment ? comment : "");
		c->ports = copy_texts(r, c, "ports", &c->n_ports);
		c->tags = copy_texts(r, c, "tags", &c->n_tags);
		if (annotations)
			c->text = json_dump_compact(&c->arena, annotations, &n);
	}
	return ask(r, c, on_text);
}

/* {"node": "12", "approved": true} */
enum MHD_Result api_native_service_approve(struct request *r)
{
	struct command *c = service_command(r, CMD_SERVICE_APPROVE);
	const char *id = body_id(r, "node");
	const json_t *body = body_object(r), *approved = body ? json_object_get(body, "approved") : NULL;
	uint64_t v = 0;

	if (!r->fault && (!id || bytes_parse_u64(bytes_str(id), INT64_MAX, &v) != OK))
		r->fault = "node: the id of a node is needed";
	if (c) {
		c->id = (int64_t)v;
		c->disable = json_is_false(approved);
	}
	return ask(r, c, on_text);
}

enum MHD_Result api_native_lock(struct request *r)
{
	return ask(r, command_for(r, CMD_LOCK_STATUS), on_text);
}

static enum MHD_Result on_stats(struct request *r, const struct reply *reply)
{
	FAIL_ON(r, reply);
	const struct core_stats *s = &reply->stats;
	struct buf out;
	struct jsonw w = answer_begin(&out);
	jsonw_key(&w, "users"), jsonw_uint(&w, s->users);
	jsonw_key(&w, "nodes"), jsonw_uint(&w, s->nodes);
	jsonw_key(&w, "online"), jsonw_uint(&w, s->online);
	jsonw_key(&w, "ephemeral"), jsonw_uint(&w, s->ephemeral);
	jsonw_key(&w, "tagged"), jsonw_uint(&w, s->tagged);
	jsonw_key(&w, "expired"), jsonw_uint(&w, s->expired);
	jsonw_key(&w, "sessions"), jsonw_uint(&w, s->sessions);
	jsonw_key(&w, "pendings"), jsonw_uint(&w, s->pendings);
	jsonw_key(&w, "authkeys"), jsonw_uint(&w, s->authkeys);
	jsonw_key(&w, "apikeys"), jsonw_uint(&w, s->apikeys);
	jsonw_key(&w, "seq"), jsonw_uint(&w, s->seq);
	jsonw_key(&w, "durableSeq"), jsonw_uint(&w, s->durable_seq);
	jsonw_key(&w, "events"), jsonw_uint(&w, s->events);
	jsonw_key(&w, "mapFull"), jsonw_uint(&w, s->map_full);
	jsonw_key(&w, "mapDeltas"), jsonw_uint(&w, s->map_deltas);
	jsonw_key(&w, "mapBytes"), jsonw_uint(&w, s->map_bytes);
	jsonw_key(&w, "maxEventUs"), jsonw_int(&w, s->max_event_us);
	return answer_end(r, &w, &out);
}

enum MHD_Result api_native_stats(struct request *r)
{
	return ask(r, command_for(r, CMD_STATS), on_stats);
}

/* {"records": [{"name", "type", "value"}]}: replaces the extra records. The core checks each. */
enum MHD_Result api_native_dns_records(struct request *r)
{
	struct command *c = command_for(r, CMD_DNS_RECORDS);
	size_t n;

	const json_t *body = body_object(r);
	const json_t *records = body ? json_object_get(body, "records") : NULL;
	if (!json_is_array(records) && !r->fault)
		r->fault = "records: a list of {name, type, value} is needed";
	if (c && !r->fault)
		c->text = json_dump_compact(&c->arena, records, &n);
	return ask(r, c, on_done);
}

enum MHD_Result api_native_config(struct request *r)
{
	const char *text = r->api->cfg.config_text;

	return answer_text(r, 200, "application/toml", text ? text : "");
}

static enum MHD_Result on_pendings(struct request *r, const struct reply *reply)
{
	FAIL_ON(r, reply);
	struct buf out;
	struct jsonw w = answer_begin(&out);
	bool decides = scope_allows(r->may, WRITE(DEVICES_CORE));
	jsonw_key(&w, "pending"), jsonw_arr(&w);
	for (size_t i = 0; i < reply->n_pendings; i++)
		render_pending(&w, &reply->pendings[i], decides);
	for (size_t i = 0; i < reply->n_ssh_checks; i++)
		render_ssh_check(&w, &reply->ssh_checks[i], decides);
	jsonw_arr_end(&w);
	return answer_end(r, &w, &out);
}

enum MHD_Result api_native_pendings(struct request *r)
{
	return ask(r, command_for(r, CMD_AUTH_LIST), on_pendings);
}
