#include "server/derp_fetch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/cleanup.h"
#include "common/base/log.h"
#include "common/net/fetch.h"
#include "common/text/json.h"

struct answer {
	char *url, *text; /* owned; text NULL: why */
	char why[300];
};

struct job { /* the worker's; it outlives us when we end first */
	struct derp_fetch *owner; /* NULL: gone */
	struct answer answer[DERP_URLS_MAX];
	size_t n;
};

struct derp_fetch {
	struct loop *loop;
	struct loop_timer timer;
	void (*changed)(void *ctx);
	void *ctx;
	char *url[DERP_URLS_MAX]; /* owned */
	size_t n_urls;
	int64_t every_ms; /* 0: only when told to */
	struct derp_texts texts;
	struct job *job; /* under way */
	bool again;	 /* the URLs changed meanwhile */
};

const char *derp_text_of(const struct derp_texts *t, const char *url)
{
	for (size_t i = 0; t && i < t->n; i++)
		if (strcmp(t->item[i].url, url) == 0)
			return t->item[i].text;
	return NULL;
}

static void job_free(struct job *j)
{
	for (size_t i = 0; i < j->n; i++) {
		free(j->answer[i].url);
		free(j->answer[i].text);
	}
	free(j);
}

/* Something that clients could use: checked here, so that the loop need not. */
static char *usable(struct buf *body, char *why, size_t why_cap)
{
	CLEANUP(arena_done) struct arena a = arena_make(TAILCFG_DERP_MAP_MAX * 8);
	struct tailcfg_derp_map *m;
	struct json_why jw = { 0 };

	if (tailcfg_derp_map_parse(buf_view(body), &a, &m, &jw) == OK)
		return bytes_dup(buf_view(body));
	snprintf(why, why_cap, "no DERP map: %s", jw.text);
	return NULL;
}

static void work(void *arg)
{
	struct job *j = arg;

	for (size_t i = 0; i < j->n; i++) {
		CLEANUP(buf_done) struct buf body = buf_make(TAILCFG_DERP_MAP_MAX);
		struct answer *x = &j->answer[i];

		if (fetch_url(x->url, NULL, DERP_FETCH_MS, &body, x->why, sizeof x->why) == OK)
			x->text = usable(&body, x->why, sizeof x->why);
	}
}

/* true: it is another text than before. */
static bool take(struct derp_fetch *f, struct answer *x)
{
	for (size_t i = 0; i < f->texts.n; i++) {
		struct derp_text *t = &f->texts.item[i];

		if (strcmp(t->url, x->url) != 0)
			continue;
		if (strcmp(t->text, x->text) == 0)
			return false;
		free(t->text);
		t->text = MOVE(x->text);
		return true;
	}
	if (f->texts.n == DERP_URLS_MAX) { /* the oldest is of a URL that is no more */
		free(f->texts.item[0].url);
		free(f->texts.item[0].text);
		memmove(&f->texts.item[0], &f->texts.item[1], --f->texts.n * sizeof f->texts.item[0]);
	}
	f->texts.item[f->texts.n++] = (struct derp_text){ MOVE(x->url), MOVE(x->text) };
	return true;
}

static void begin(struct derp_fetch *f);

static bool take_all(struct derp_fetch *f, struct job *j)
{
	bool another = false;

	for (size_t i = 0; i < j->n; i++) {
		struct answer *x = &j->answer[i];

		if (x->text)
			another |= take(f, x);
		else
			log_error("derp.urls: what was there before stays", "url=%s cause=%s", log_qs(x->url).s, log_qs(x->why).s);
	}
	return another;
}

static void on_done(void *arg)
{
	struct job *j = arg;
	struct derp_fetch *f = j->owner;

	if (f) {
		bool another = take_all(f, j);
		f->job = NULL;
		if (f->every_ms && f->n_urls)
			loop_timer_in(&f->timer, f->every_ms);
		if (another)
			f->changed(f->ctx);
		if (f->again)
			begin(f);
	}
	job_free(j);
}

static struct job *job_new(struct derp_fetch *f)
{
	struct job *j = calloc(1, sizeof *j);

	for (size_t i = 0; j && i < f->n_urls; i++) {
		j->answer[j->n].url = strdup(f->url[i]);
		if (j->answer[j->n].url)
			j->n++;
	}
	if (j)
		j->owner = f;
	return j;
}

static void begin(struct derp_fetch *f)
{
	f->again = f->job != NULL;
	if (f->job || !f->n_urls)
		return;
	struct job *j = job_new(f);
	if (!j || loop_work(f->loop, work, on_done, j) != OK) {
		if (j)
			job_free(j);
		loop_timer_in(&f->timer, 1000);
		return;
	}
	f->job = j;
}

static void on_timer(struct loop_timer *t)
{
	begin(container_of(t, struct derp_fetch, timer));
}

err derp_fetch_new(struct loop *l, void (*changed)(void *ctx), void *ctx, struct derp_fetch **out)
{
	struct derp_fetch *f = calloc(1, sizeof *f);

	if (!f)
		return ERR_NOMEM;
	f->loop = l;
	f->changed = changed;
	f->ctx = ctx;
	loop_timer_init(&f->timer, l, on_timer);
	*out = f;
	return OK;
}

static void forget_urls(struct derp_fetch *f)
{
	for (size_t i = 0; i < f->n_urls; i++)
		free(f->url[i]);
	f->n_urls = 0;
}

void derp_fetch_free(struct derp_fetch *f)
{
	if (!f)
		return;
	if (f->job)
		f->job->owner = NULL;
	loop_timer_done(&f->timer);
	forget_urls(f);
	for (size_t i = 0; i < f->texts.n; i++) {
		free(f->texts.item[i].url);
		free(f->texts.item[i].text);
	}
	free(f);
}

void derp_fetch_from(struct derp_fetch *f, const struct config *c, bool wait)
{
	forget_urls(f);
	for (size_t i = 0; i < c->derp_urls.n && f->n_urls < DERP_URLS_MAX; i++) {
		f->url[f->n_urls] = strdup(c->derp_urls.s[i]);
		if (f->url[f->n_urls])
			f->n_urls++;
	}
	f->every_ms = c->derp_auto_update ? c->derp_update_ms : 0;
	loop_timer_stop(&f->timer);
	struct job *j = wait ? job_new(f) : NULL;
	if (!j) {
		begin(f);
		return;
	}
	work(j);
	take_all(f, j);
	job_free(j);
	if (f->every_ms && f->n_urls)
		loop_timer_in(&f->timer, f->every_ms);
}

const struct derp_texts *derp_fetch_texts(const struct derp_fetch *f)
{
	return f ? &f->texts : NULL;
}
