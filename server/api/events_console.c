#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/base/cleanup.h"
#include "common/base/map.h"
#include "common/text/jsonw.h"
#include "server/api/events_hub.h"
#include "server/api/routes.h"

/* ?view=console: which objects changed, not how: the page asks for those that it shows, and gets what its role may see. Changes that
 * wait are merged, one entry an object, and leave at most ten times a second; so a thousand machines that come back are a few
 * frames. Who was away too long gets `resync`. */

enum {
	CONSOLE_GATHER_MS = 100,
	CONSOLE_CHANGES_MAX = 512, /* of one frame */
	SEEN_SLOTS = 2048,	   /* twice that and more, a power of two */
};

static const struct kind {
	const char *audit, *name;
	scope_set need;
	bool attention; /* it may change what somebody must do */
} kinds[] = {
	{ "node", "machine", READ(DEVICES_CORE), true },
	{ "user", "user", READ(USERS), true },
	{ "authkey", "key", READ(AUTH_KEYS), true },
	{ "apikey", "key", READ(API_TOKENS) | READ(OAUTH_KEYS), true },
	{ "policy", "policy", READ(POLICY_FILE), true },
	{ "wish", "wish", READ(POLICY_FILE), true },
	{ "setting", "setting", ANY_SETTING_READ, true },
	{ "webhook", "webhook", READ(WEBHOOKS), false },
	{ "identity", "identity", READ(USERS), false },
	{ "account", "account", READ(USERS), false },
	{ "signin", "session", READ(USERS), false },
	{ "service", "service", READ(SERVICES), true },
	{ "lock", "lock", READ(DEVICES_CORE), true },
	{ "login", "login", READ(DEVICES_CORE), false },
	{ "ssh", "ssh", READ(DEVICES_CORE), false },
};

static const struct kind *kind_of(const char *audit)
{
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		if (strcmp(kinds[i].audit, audit) == 0)
			return &kinds[i];
	return NULL;
}

const char *event_id_text(const struct event_hub *h, int64_t id, char out[EVENT_ID_MAX])
{
	snprintf(out, EVENT_ID_MAX, "%" PRIx64 "-%" PRId64, h->boot, id);
	return out;
}

/* ---- merging ---- */

struct change {
	const struct kind *kind;
	const struct frame *first, *last;
};

struct changes {
	struct change list[CONSOLE_CHANGES_MAX];
	size_t n;
	uint16_t slot[SEEN_SLOTS]; /* index + 1 */
	bool attention, lost;
};

static struct change *change_of(struct changes *c, const struct kind *kind, const char *target)
{
	for (size_t at = (size_t)map_hash(target, strlen(target));; at++) {
		uint16_t *s = &c->slot[at % SEEN_SLOTS];
		if (!*s)
			*s = (uint16_t)++c->n;
		else if (strcmp(c->list[*s - 1].last->target, target) != 0 || strcmp(c->list[*s - 1].kind->name, kind->name) != 0)
			continue;
		return &c->list[*s - 1];
	}
}

/* Takes what waits, up to a full frame. */
static void merge(struct stream *s, struct changes *c)
{
	struct event_hub *h = s->hub;

	for (; s->at < h->n && c->n < CONSOLE_CHANGES_MAX; s->at++) {
		const struct frame *f = &h->ring[s->at % EVENTS_KEPT];
		const struct kind *kind = kind_of(f->kind);
		if (strcmp(f->kind, "more") == 0)
			c->lost = true; /* one change of so many rows that not each has a record */
		if (!kind || f->id <= s->after || !scope_allows(s->may, kind->need))
			continue;
		struct change *change = change_of(c, kind, f->target);
		if (!change->first)
			*change = (struct change){ kind, f, f };
		change->last = f;
		c->attention |= kind->attention;
	}
}

/* What happened to it, seen from before the first to after the last. */
static const char *action_of(const struct change *c)
{
	const char *last = c->last->action;

	if (strcmp(last, "delete") == 0)
		return last;
	if (strcmp(c->first->action, "create") == 0)
		return "create";
	if (c->first != c->last && strcmp(last, "report") == 0)
		return "update";
	if (strcmp(last, "online") == 0 || strcmp(last, "offline") == 0 || strcmp(last, "report") == 0)
		return last;
	return "update";
}

static void put_changes(struct buf *out, const struct stream *s, const struct changes *c)
{
	char id[EVENT_ID_MAX];
	struct jsonw w = jsonw_init(out);

	buf_printf(out, "id: %s\nevent: change\ndata: ", event_id_text(s->hub, s->hub->ring[(s->at - 1) % EVENTS_KEPT].id, id));
	jsonw_obj(&w);
	jsonw_key(&w, "changes"), jsonw_arr(&w);
	for (size_t i = 0; i < c->n; i++) {
		jsonw_obj(&w);
		jsonw_key(&w, "kind"), jsonw_str(&w, c->list[i].kind->name);
		jsonw_key(&w, "id"), jsonw_str(&w, c->list[i].last->target);
		jsonw_key(&w, "action"), jsonw_str(&w, action_of(&c->list[i]));
		jsonw_key(&w, "atMs"), jsonw_int(&w, c->list[i].last->at_ms);
		jsonw_obj_end(&w);
	}
	jsonw_arr_end(&w);
	jsonw_key(&w, "attention"), jsonw_bool(&w, c->attention);
	jsonw_obj_end(&w);
	buf_append_str(out, "\n\n");
}

static void put_resync(struct buf *out, const struct stream *s)
{
	const struct event_hub *h = s->hub;
	char id[EVENT_ID_MAX];

	buf_printf(out, "id: %s\nevent: resync\ndata: {\"reason\":\"changes were missed\"}\n\n",
			event_id_text(h, h->n ? h->ring[(h->n - 1) % EVENTS_KEPT].id : 0, id));
}

bool console_gather(struct stream *s, int64_t mono_ms)
{
	struct event_hub *h = s->hub;
	struct changes c = { .n = 0 };

	if (h->n - s->at > EVENTS_KEPT) {
		c.lost = true;
		s->at = h->n;
	} else {
		merge(s, &c);
	}
	if (c.n)
		put_changes(&s->first, s, &c);
	if (c.lost)
		put_resync(&s->first, s);
	s->held = false;
	if (!c.n && !c.lost)
		return false;
	s->due_ms = mono_ms + CONSOLE_GATHER_MS;
	return true;
}

/* ---- beginning ---- */

/* ERR_NOT_FOUND: it is of another process, or none of ours. */
static err parse_id_text(const struct event_hub *h, const char *text, int64_t *out)
{
	struct bytes number, boot = bytes_cut(bytes_str(text), '-', &number);
	char ours[24];
	uint64_t id;

	snprintf(ours, sizeof ours, "%" PRIx64, h->boot);
	if (!bytes_eq_str(boot, ours) || bytes_parse_u64(number, INT64_MAX, &id) != OK)
		return ERR_NOT_FOUND;
	*out = (int64_t)id;
	return OK;
}

void console_start(struct stream *s, const char *after)
{
	struct event_hub *h = s->hub;
	int64_t id = 0;

	s->at = h->n;
	if (!*after)
		return;
	uint64_t oldest = h->n > EVENTS_KEPT ? h->n - EVENTS_KEPT : 0;
	bool known = parse_id_text(h, after, &id) == OK && (!oldest || h->ring[oldest % EVENTS_KEPT].id <= id + 1);
	if (!known) {
		put_resync(&s->first, s);
		return;
	}
	s->after = id;
	while (s->at > oldest && h->ring[(s->at - 1) % EVENTS_KEPT].id > id)
		s->at--;
}
