#include <string.h>

#include "common/text/json.h"
#include "server/api/access.h"
#include "server/api/handlers.h"

/* A key for DNS may set dns.… and nothing else. */
static scope_set need_of(const char *key, bool write)
{
	enum scope area = strncmp(key, "dns.", 4) == 0 ? SCOPE_DNS : strncmp(key, "derp.", 5) == 0 ? SCOPE_NETWORKING_SETTINGS :
			strncmp(key, "contacts.", 9) == 0 ? SCOPE_ACCOUNT_SETTINGS : strncmp(key, "policy.", 7) == 0 ? SCOPE_POLICY_FILE : SCOPE_FEATURE_SETTINGS;

	return write ? SCOPE_WRITE(area) : SCOPE_READ(area);
}

/* A value as JSON has it: numbers and true as such, a time as a text. */
static void render_value(struct jsonw *w, const struct setting_info *i, const char *text)
{
	if (strcmp(i->type, "text") == 0 || strcmp(i->type, "duration") == 0)
		jsonw_str(w, text);
	else
		jsonw_raw(w, bytes_str(text));
}

static void render_setting(struct jsonw *w, const struct setting_info *i)
{
	jsonw_obj(w);
	jsonw_key(w, "key"), jsonw_str(w, i->key);
	jsonw_key(w, "type"), jsonw_str(w, i->type);
	jsonw_key(w, "value"), render_value(w, i, i->value);
	jsonw_key(w, "fileValue"), render_value(w, i, i->seed);
	jsonw_key(w, "isSet"), jsonw_bool(w, i->set);
	jsonw_key(w, "managedBy");
	if (i->file) {
		jsonw_obj(w);
		jsonw_key(w, "file"), jsonw_str(w, i->file);
		jsonw_key(w, "line"), jsonw_int(w, i->line);
		jsonw_obj_end(w);
	} else {
		jsonw_null(w);
	}
	jsonw_key(w, "help"), jsonw_str(w, i->help);
	jsonw_key(w, "min"), jsonw_int(w, i->min);
	jsonw_key(w, "max"), jsonw_int(w, i->max);
	jsonw_key(w, "unit"), jsonw_str(w, strcmp(i->type, "duration") == 0 ? "ms" : "");
	jsonw_obj_end(w);
}

static enum MHD_Result on_settings(struct request *r, const struct reply *reply)
{
	FAIL_ON(r, reply);
	struct buf out;
	struct jsonw w = answer_begin(&out);
	jsonw_key(&w, "settings"), jsonw_arr(&w);
	for (size_t i = 0; i < reply->n_settings; i++)
		if (scope_allows(r->may, need_of(reply->settings[i].key, false)))
			render_setting(&w, &reply->settings[i]);
	jsonw_arr_end(&w);
	return answer_end(r, &w, &out);
}

static enum MHD_Result on_setting(struct request *r, const struct reply *reply)
{
	FAIL_ON(r, reply);
	struct buf out;
	struct jsonw w = answer_begin(&out);
	jsonw_key(&w, "setting");
	if (reply->n_settings)
		render_setting(&w, &reply->settings[0]);
	else
		jsonw_null(&w);
	return answer_end(r, &w, &out);
}

static struct command *command_for_setting(struct request *r, enum command_kind kind)
{
	struct command *c = command_for(r, kind);

	if (c)
		c->name = command_str(c, r->param[0]);
	return c;
}

enum MHD_Result api_native_settings(struct request *r)
{
	return ask(r, command_for(r, CMD_SETTINGS_LIST), on_settings);
}

enum MHD_Result api_native_setting_get(struct request *r)
{
	enum MHD_Result refused;

	if (!may_else_refuse(r, need_of(r->param[0], false), &refused))
		return refused;
	return ask(r, command_for_setting(r, CMD_SETTINGS_LIST), on_setting);
}

/* {value}: text, number, true or a list. */
enum MHD_Result api_native_setting_set(struct request *r)
{
	enum MHD_Result refused;

	if (!may_else_refuse(r, need_of(r->param[0], true), &refused))
		return refused;
	struct command *c = command_for_setting(r, CMD_SETTINGS_SET);
	const json_t *body = body_object(r);
	const json_t *v = body ? json_object_get(body, "value") : NULL;
	size_t n;

	if (!v && !r->fault)
		r->fault = "value: is needed";
	if (c && v && json_is_string(v))
		c->text = command_str(c, json_string_value(v));
	else if (c && v)
		c->text = json_dump_compact(&c->arena, v, &n);
	return ask(r, c, on_setting);
}

enum MHD_Result api_native_setting_reset(struct request *r)
{
	enum MHD_Result refused;

	if (!may_else_refuse(r, need_of(r->param[0], true), &refused))
		return refused;
	return ask(r, command_for_setting(r, CMD_SETTINGS_RESET), on_setting);
}
