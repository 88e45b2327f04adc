#include <stdlib.h>
#include <string.h>

#include "common/base/cleanup.h"
#include "server/api/state.h"
#include "server/api/v2.h"
#include "server/api/webhooks.h"
#include "server/core/webhook_words.h"

/* whole: who may change it sees where it leads, too; who may only read sees the host. */
static void render(struct jsonw *w, const struct webhook_row *h, const char *secret, bool whole)
{
	char masked[600];

	struct bytes rest = bytes_str(h->subscriptions);

	webhook_url_masked(h->url, masked, sizeof masked);
	jsonw_obj(w);
	jsonw_key(w, "endpointId"), render_id(w, h->id);
	jsonw_key(w, "endpointUrl"), jsonw_str(w, whole ? h->url : masked);
	jsonw_key(w, "providerType"), jsonw_str(w, h->provider);
	jsonw_key(w, "creatorLoginName"), jsonw_str(w, h->creator);
	jsonw_key(w, "created"), jsonw_time(w, h->created_ms);
	jsonw_key(w, "lastModified"), jsonw_time(w, h->updated_ms);
	jsonw_key(w, "subscriptions"), jsonw_arr(w);
	while (rest.n) {
		struct bytes word = bytes_cut(rest, ' ', &rest);
		if (word.n)
			jsonw_bytes(w, word);
	}
	jsonw_arr_end(w);
	if (secret)
		jsonw_key(w, "secret"), jsonw_str(w, secret);
	jsonw_obj_end(w);
}

static bool sees_whole(const struct request *r)
{
	return scope_allows(r->may, SCOPE_WRITE(SCOPE_WEBHOOKS));
}

static enum MHD_Result on_webhook(struct request *r, const struct reply *reply)
{
	FAIL_ON(r, reply);
	struct buf out = buf_make(API_ANSWER_MAX);
	struct jsonw w = jsonw_init(&out);
	render(&w, &reply->webhooks[0], reply->secret, sees_whole(r));
	return answer_json(r, 200, &out);
}

static enum MHD_Result on_webhooks(struct request *r, const struct reply *reply)
{
	FAIL_ON(r, reply);
	struct buf out;
	struct jsonw w = answer_begin(&out);
	jsonw_key(&w, "webhooks"), jsonw_arr(&w);
	for (size_t i = 0; i < reply->n_webhooks; i++)
		render(&w, &reply->webhooks[i], NULL, sees_whole(r));
	jsonw_arr_end(&w);
	return answer_end(r, &w, &out);
}

enum MHD_Result api_v2_webhooks(struct request *r)
{
	return ask(r, command_for(r, CMD_WEBHOOK_LIST), on_webhooks);
}

static const char *subscriptions(struct request *r, struct command *c)
{
	CLEANUP(buf_done) struct buf out = buf_make(4096);
	bool given;
	size_t n;
	const char **list = body_texts(r, "subscriptions", &n, &given);

	if (!given && !r->fault)
		r->fault = "subscriptions: a list of events is needed";
	for (size_t i = 0; i < n; i++)
		buf_printf(&out, "%s%s", i ? " " : "", list[i]);
	if (out.bad && !r->fault)
		r->fault = "subscriptions: too many";
	return arena_str(&c->arena, buf_view(&out));
}

enum MHD_Result api_v2_webhook_create(struct request *r)
{
	struct command *c = command_for(r, CMD_WEBHOOK_CREATE);
	const char *url = body_text(r, "endpointUrl"), *provider = body_text(r, "providerType");

	if (!url && !r->fault)
		r->fault = "endpointUrl: a URL is needed";
	if (c) {
		c->text = command_str(c, url);
		c->name = command_str(c, provider ? provider : "");
		c->scopes = subscriptions(r, c);
	}
	return ask(r, c, on_webhook);
}

static struct command *for_webhook(struct request *r, enum command_kind kind)
{
	return v2_command(r, kind, 0, "webhook");
}

enum MHD_Result api_v2_webhook(struct request *r)
{
	return ask(r, for_webhook(r, CMD_WEBHOOK_LIST), on_webhook);
}

enum MHD_Result api_v2_webhook_update(struct request *r)
{
	struct command *c = for_webhook(r, CMD_WEBHOOK_UPDATE);

	if (c)
		c->scopes = subscriptions(r, c);
	return ask(r, c, on_webhook);
}

enum MHD_Result api_v2_webhook_rotate(struct request *r)
{
	return ask(r, for_webhook(r, CMD_WEBHOOK_ROTATE), on_webhook);
}

enum MHD_Result api_v2_webhook_delete(struct request *r)
{
	return ask(r, for_webhook(r, CMD_WEBHOOK_DELETE), on_done);
}

static enum MHD_Result on_to_test(struct request *r, const struct reply *reply)
{
	FAIL_ON(r, reply);
	if (!webhooks_test(r->api->webhooks, reply->webhooks[0].id))
		return answer_error(r, 429, "too many tests wait");
	struct buf out;
	struct jsonw w = answer_begin(&out);
	jsonw_obj_end(&w);
	return answer_json(r, 202, &out);
}

enum MHD_Result api_v2_webhook_test(struct request *r)
{
	return ask(r, for_webhook(r, CMD_WEBHOOK_LIST), on_to_test);
}
