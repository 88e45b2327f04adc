#include "common/base/version.h"
#include "server/api/browser.h"
#include "server/api/handlers.h"
#include "server/api/page.h"
#include "server/api/state.h"

enum MHD_Result api_page_root(struct request *r)
{
	struct buf b = page_begin(r, W_BRAND);

	put_word(&b, W_ROOT_TEXT);
	buf_append_str(&b, "<pre>tailscale up --login-server ");
	put_escaped(&b, r->api->cfg.server_url);
	buf_append_str(&b, "</pre>");
	return page_end(r, 200, &b);
}

/* What `tailscale up` prints when nobody has to approve. */
enum MHD_Result api_page_admin(struct request *r)
{
	if (r->api->cfg.n_assets)
		return answer_redirect(r, 302, "/console/");
	struct buf b = page_begin(r, W_ADMIN);

	put_word(&b, W_ADMIN_CLI);
	put_code(&b, "fairlead --help\nfairlead nodes list\nfairlead users create NAME");
	put_word(&b, W_ADMIN_API);
	put_code(&b, "fairlead apikeys create --expiration 90d");
	return page_end(r, 200, &b);
}

enum MHD_Result api_page_robots(struct request *r)
{
	return answer_text(r, 200, "text/plain", "User-agent: *\nDisallow: /\n");
}

/* ---- what machines ask ---- */

static enum MHD_Result answer_document(struct request *r, const char *text)
{
	return text ? answer_text(r, 200, "application/json", text) : answer_error(r, 404, "no such path");
}

enum MHD_Result api_openid_configuration(struct request *r)
{
	return answer_document(r, r->api->cfg.openid_configuration);
}

enum MHD_Result api_jwks(struct request *r)
{
	return answer_document(r, r->api->cfg.jwks);
}


static enum MHD_Result on_health(struct request *r, const struct reply *reply)
{
	return answer_text(r, reply->e == OK ? 200 : 500, "application/health+json",
			reply->e == OK ? "{\"status\":\"pass\"}" : "{\"status\":\"fail\"}");
}

enum MHD_Result api_health(struct request *r)
{
	return ask(r, command_for(r, CMD_HEALTH), on_health);
}

static enum MHD_Result on_health_v1(struct request *r, const struct reply *reply)
{
	FAIL_ON(r, reply);
	return answer_text(r, 200, "application/json", "{\"databaseConnectivity\":true}");
}

enum MHD_Result api_health_v1(struct request *r)
{
	return ask(r, command_for(r, CMD_HEALTH), on_health_v1);
}

/* Tools switch into modes for old Headscales by this number; ours stands behind the plus sign. */
#define HEADSCALE_LEVEL "0.30.0"

#if defined(__x86_64__)
#define GO_ARCH "amd64"
#elif defined(__aarch64__)
#define GO_ARCH "arm64"
#else
#define GO_ARCH "other"
#endif

enum MHD_Result api_version(struct request *r)
{
	struct buf out;
	struct jsonw w = answer_begin(&out);
	struct buf label = buf_make(96);

	buf_printf(&label, "%s+fairlead.%s", HEADSCALE_LEVEL, fairlead_version);
	jsonw_key(&w, "version"), jsonw_bytes(&w, buf_view(&label));
	jsonw_key(&w, "commit"), jsonw_str(&w, fairlead_commit);
	jsonw_key(&w, "buildTime"), jsonw_str(&w, "unknown");
	jsonw_key(&w, "go"), jsonw_obj(&w); /* a member that Headscale's clients decode */
	jsonw_key(&w, "version"), jsonw_str(&w, "");
	jsonw_key(&w, "os"), jsonw_str(&w, "linux");
	jsonw_key(&w, "arch"), jsonw_str(&w, GO_ARCH);
	jsonw_obj_end(&w);
	jsonw_key(&w, "dirty"), jsonw_bool(&w, false);
	jsonw_key(&w, "product"), jsonw_str(&w, "fairlead");
	jsonw_key(&w, "productVersion"), jsonw_str(&w, fairlead_version);
	buf_done(&label);
	return answer_end(r, &w, &out);
}

/* A relay elsewhere asks whether a node may use it: {"NodePublic": "nodekey:…"} -> {"Allow": bool}. */
static enum MHD_Result on_verified(struct request *r, const struct reply *reply)
{
	if (reply->e != OK && status_of(reply->e) >= 500)
		return answer_fault(r, reply, "");
	return answer_text(r, 200, "application/json", reply->e == OK ? "{\"Allow\":true}" : "{\"Allow\":false}");
}

enum MHD_Result api_verify(struct request *r)
{
	struct command *c = command_for(r, CMD_VERIFY);
	const char *key = body_text(r, "NodePublic");

	if (!r->fault && (!key || !c || node_pub_parse(bytes_str(key), &c->key) != OK))
		r->fault = "NodePublic: a key such as nodekey:… is needed";
	return ask(r, c, on_verified);
}
