#include "server/api/wishes.h"

#include <stdio.h>

#include "common/base/clock.h"
#include "server/api/browser.h"
#include "server/api/console.h"
#include "server/api/handlers.h"
#include "server/api/page.h"
#include "server/api/render.h"
#include "server/api/state.h"

/* ---- a person's own ---- */

static void put_input(struct buf *b, enum word label, const char *name, int max, bool needed)
{
	buf_printf(b, "<div class=\"field\"><label for=\"%s\">%s</label><input class=\"input\" type=\"text\" id=\"%s\" name=\"%s\" autocomplete=\"off\" maxlength=\"%d\"%s></div>",
			name, word(label), name, name, max, needed ? " required" : "");
}

static enum MHD_Result show(struct request *r, const struct reply *reply)
{
	const char *csrf = csrf_of(r, r->token);
	char action[64];

	if (reply->e != OK || !csrf)
		return page_busy(r, 503);
	struct buf b = page_begin(r, W_MISSING);
	put_word(&b, W_MISSING_TEXT);
	put_form(&b, "/my/missing", csrf, "stack");
	put_input(&b, W_MISSING_WHAT, "what", WISH_WHAT_MAX, true);
	put_input(&b, W_MISSING_WHY, "why", WISH_WHY_MAX, false);
	buf_printf(&b, "<button type=\"submit\" class=\"button\" data-kind=\"primary\">%s</button></form>", word(W_MISSING_ASK));
	if (reply->n_wishes)
		buf_printf(&b, "<div class=\"card\"><header><h2>%s</h2></header><ul class=\"devices\">", word(W_MISSING_WAIT));
	for (size_t i = 0; i < reply->n_wishes; i++) {
		const struct wish_row *w = &reply->wishes[i];
		buf_append_str(&b, "<li><div><b>");
		put_escaped(&b, w->what);
		buf_append_str(&b, "</b><p>");
		put_escaped(&b, w->why);
		buf_printf(&b, "%s%s ", w->why[0] ? " · " : "", word(W_MISSING_ASKED));
		put_since(&b, w->created_ms, clock_wall_ms());
		buf_append_str(&b, "</p></div>");
		snprintf(action, sizeof action, "/my/missing/%lld/end", (long long)w->id);
		put_small_button(&b, "", action, csrf, W_MISSING_END);
		buf_append_str(&b, "</li>");
	}
	if (reply->n_wishes)
		buf_append_str(&b, "</ul></div>");
	buf_append_str(&b, "<div class=\"row\">");
	put_link(&b, "", "/my", W_BACK);
	buf_append_str(&b, "</div>");
	return page_end(r, 200, &b);
}

/* Who is signed in. false: *result is the answer. */
static bool is_person(struct request *r, const struct reply *reply, enum MHD_Result *result)
{
	r->actor = reply->e == OK ? arena_printf(&r->arena, "user:%s", reply->users[0].name) : NULL;
	if (reply->e == OK && r->actor)
		return true;
	*result = reply->e == OK ? answer_error(r, 500, "out of memory") : answer_redirect(r, 303, "/login?to=/my/missing");
	return false;
}

static bool is_own_form(struct request *r, const struct reply *reply, enum MHD_Result *result)
{
	if (!is_person(r, reply, result))
		return false;
	if (csrf_ok(r, r->token))
		return true;
	*result = page_say(r, 403, W_FORM_OLD, W_FORM_OLD_TEXT);
	return false;
}

static struct command *own(struct request *r, enum command_kind kind)
{
	struct command *c = command_for(r, kind);

	if (c)
		c->key_text = command_str(c, r->token);
	return c;
}

static enum MHD_Result on_page(struct request *r, const struct reply *reply)
{
	enum MHD_Result result;

	return is_person(r, reply, &result) ? ask(r, own(r, CMD_WISH_LIST), show) : result;
}

enum MHD_Result my_page_missing(struct request *r)
{
	return ask_signin(r, on_page);
}

static enum MHD_Result on_changed(struct request *r, const struct reply *reply)
{
	if (reply->e == OK)
		return answer_redirect(r, 303, "/my/missing");
	return page_sorry(r, status_of(reply->e), W_MY_FAILED, reply->message, "/my/missing");
}

static enum MHD_Result on_ask(struct request *r, const struct reply *reply)
{
	enum MHD_Result result;

	if (!is_own_form(r, reply, &result))
		return result;
	struct command *c = own(r, CMD_WISH_ADD);
	if (c) {
		c->name = command_str(c, form_value(r, "what"));
		c->note = command_str(c, form_value(r, "why"));
	}
	return ask(r, c, on_changed);
}

enum MHD_Result my_ask(struct request *r)
{
	return ask_signin(r, on_ask);
}

static enum MHD_Result on_end(struct request *r, const struct reply *reply)
{
	enum MHD_Result result;

	if (!is_own_form(r, reply, &result))
		return result;
	int64_t id = parse_id(r, r->param[0], "the question's id");
	struct command *c = r->fault ? NULL : own(r, CMD_WISH_DELETE);
	if (r->fault)
		return page_say(r, 404, W_SORRY, W_MY_GONE);
	if (c)
		c->id = id;
	return ask(r, c, on_changed);
}

enum MHD_Result my_ask_end(struct request *r)
{
	return ask_signin(r, on_end);
}

/* ---- for those who write the policy ---- */

static enum MHD_Result on_list(struct request *r, const struct reply *reply)
{
	struct buf out;

	FAIL_ON(r, reply);
	struct jsonw w = console_begin(&out);
	jsonw_key(&w, "wishes"), jsonw_arr(&w);
	for (size_t i = 0; i < reply->n_wishes; i++) {
		const struct wish_row *x = &reply->wishes[i];
		jsonw_obj(&w);
		jsonw_key(&w, "id"), render_id(&w, x->id);
		jsonw_key(&w, "userId"), render_id(&w, x->user_id);
		jsonw_key(&w, "user"), jsonw_str(&w, reply->users[i].name ? reply->users[i].name : "");
		jsonw_key(&w, "what"), jsonw_str(&w, x->what);
		jsonw_key(&w, "why"), jsonw_str(&w, x->why);
		jsonw_key(&w, "createdMs"), jsonw_int(&w, x->created_ms);
		jsonw_obj_end(&w);
	}
	jsonw_arr_end(&w);
	return console_end(r, &w, &out);
}

enum MHD_Result console_wishes(struct request *r)
{
	return ask(r, command_for(r, CMD_WISH_LIST), on_list);
}

enum MHD_Result console_wish_end(struct request *r)
{
	struct command *c = command_for(r, CMD_WISH_DELETE);

	if (c)
		c->id = parse_id(r, r->param[0], "the question's id");
	return ask(r, c, on_done);
}
