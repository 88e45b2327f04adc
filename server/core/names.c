#include "server/core/state.h"

#include <ctype.h>
#include <stdio.h>
#include <strings.h>

#include "common/base/cleanup.h"

static bool is_label_char(unsigned char ch)
{
	return (ch >= 'a' && ch <= 'z') || (ch >= '0' && ch <= '9') || ch == '-';
}

void name_sanitise(const char *hostname, char out[GIVEN_NAME_MAX + 1])
{
	size_t n = 0;

	for (const unsigned char *p = (const unsigned char *)or_empty(hostname); *p && n < GIVEN_NAME_MAX; p++) {
		unsigned char ch = *p >= 'A' && *p <= 'Z' ? (unsigned char)(*p + 32) : *p;
		if (ch >= 0x80 || ch == '\'')
			continue; /* "Ann's Mac" is "anns-mac"; what has no ASCII letters at all becomes "node" */
		if (!is_label_char(ch))
			ch = '-';
		if (ch == '-' && (n == 0 || out[n - 1] == '-'))
			continue;
		out[n++] = (char)ch;
	}
	while (n && out[n - 1] == '-')
		n--;
	out[n] = 0;
	if (!n)
		snprintf(out, GIVEN_NAME_MAX + 1, "node");
}

bool name_is_label(const char *s)
{
	size_t n = strlen(s);

	if (!n || n > GIVEN_NAME_MAX || s[0] == '-' || s[n - 1] == '-')
		return false;
	for (size_t i = 0; i < n; i++)
		if (!is_label_char((unsigned char)s[i]))
			return false;
	return true;
}

/* ---- names that are nobody's ---- */

static bool is_fqdn(const struct tailnet *t, const char *name, const char *other)
{
	size_t n = strlen(name), m = strlen(or_empty(other));
	const char *base = or_empty(t->set.base_domain);

	while (m && other[m - 1] == '.')
		m--;
	return m == n + 1 + strlen(base) && strncasecmp(other, name, n) == 0 && other[n] == '.' && strncasecmp(other + n + 1, base, strlen(base)) == 0;
}

static bool is_host_of(const struct tailnet *t, const char *name, const char *url)
{
	const char *host = strstr(or_empty(url), "://");
	char text[300];

	host = host ? host + 3 : or_empty(url);
	snprintf(text, sizeof text, "%.*s", (int)MIN_OF(strcspn(host, ":/"), sizeof text - 1), host);
	return is_fqdn(t, name, text);
}

const char *name_reserved(const struct tailnet *t, const char *name)
{
	const struct tailcfg_derp_map *d = t->set.derp_map;

	if (is_host_of(t, name, t->set.server_url))
		return "it is the server's";
	for (size_t i = 0; d && i < d->n_regions; i++)
		for (size_t k = 0; k < d->regions[i].n_nodes; k++)
			if (is_fqdn(t, name, d->regions[i].nodes[k].host_name))
				return "it is a relay's";
	for (size_t i = 0; i < t->set.n_extra; i++)
		if (is_fqdn(t, name, t->set.extra_records[i].name))
			return "a DNS record has it";
	for (size_t i = 0; i < t->set.n_policy_records; i++)
		if (is_fqdn(t, name, t->set.policy_records[i].name))
			return "a DNS record of the policy has it";
	if (service_has_label(t, name))
		return "a service has it";
	return NULL;
}

/* ---- names that are kept for who had them ---- */

/* One setting a name: "USER-ID MACHINE-KEY UNTIL". A device that takes its name from its host must not become what others
 * know under that name; an administrator may give any name. */
#define HELD NAME_HELD_PREFIX
enum { HELD_KEY_MAX = sizeof HELD + GIVEN_NAME_MAX, HELD_MAX = 4096 };

struct held {
	int64_t user_id, until_ms;
	char machine[KEY_TEXT_MAX];
};

static bool held_read(struct core *c, int64_t tailnet_id, const char *name, struct held *out)
{
	char key[HELD_KEY_MAX + 1];

	snprintf(key, sizeof key, HELD "%s", name);
	const char *text = setting_get(c, tailnet_id, key);
	long long user, until;
	if (!text || sscanf(text, "%lld %79s %lld", &user, out->machine, &until) != 3)
		return false;
	out->user_id = user;
	out->until_ms = until;
	return true;
}

/* Is it kept for somebody else? */
static bool is_held(const struct tailnet *t, const char *name, int64_t user_id, const struct machine_pub *machine)
{
	char text[KEY_TEXT_MAX];
	struct held h;

	if (!held_read(t->c, t->row.id, name, &h) || h.until_ms <= t->c->now.wall_ms)
		return false;
	return !(user_id && h.user_id == user_id) && strcmp(machine_pub_text(machine, text), h.machine) != 0;
}

/* What is over, once they are many. */
static err sweep_held(struct core *c, size_t *left)
{
	char keys[256][HELD_KEY_MAX + 1];
	int64_t ids[256];
	size_t at = 0, n = 0;

	*left = 0;
	for (struct setting *s; (s = map_next(&c->settings, &at));) {
		struct held h;
		if (strncmp(s->row.key, HELD, sizeof HELD - 1) != 0)
			continue;
		++*left;
		bool over = !held_read(c, s->row.tailnet_id, s->row.key + sizeof HELD - 1, &h) || h.until_ms <= c->now.wall_ms;
		if (over && n < ARRAY_LEN(keys) && !clock_unsettled_ms(c)) {
			snprintf(keys[n], sizeof keys[n], "%s", s->row.key);
			ids[n++] = s->row.tailnet_id;
		}
	}
	*left -= n;
	for (size_t i = 0; i < n; i++)
		TRY(setting_put(c, ids[i], keys[i], NULL));
	return OK;
}

err name_hold(struct core *c, const struct node *n)
{
	char key[HELD_KEY_MAX + 1], value[160], machine[KEY_TEXT_MAX];
	size_t left;

	if (n->row.ephemeral) /* they come and go under one name */
		return OK;
	if (++c->names_held % 128 == 0) {
		TRY(sweep_held(c, &left));
		c->names_full = left >= HELD_MAX;
	}
	if (c->names_full)
		return OK;
	snprintf(key, sizeof key, HELD "%s", n->row.given_name);
	snprintf(value, sizeof value, "%lld %s %lld", (long long)n->row.user_id, machine_pub_text(&n->row.machine, machine),
			(long long)(c->now.wall_ms + NAME_HELD_MS));
	return setting_put(c, n->t->row.id, key, value);
}

err name_release(struct core *c, const struct tailnet *t, const char *name)
{
	char key[HELD_KEY_MAX + 1];

	snprintf(key, sizeof key, HELD "%s", name);
	return setting_get(c, t->row.id, key) ? setting_put(c, t->row.id, key, NULL) : OK;
}

/* ---- free names ---- */

struct name_wish { /* who wants a name */
	struct tailnet *t;
	const struct node *self; /* NULL: a new node */
	int64_t user_id;
	const struct machine_pub *machine;
};

static bool is_free(const struct name_wish *w, const char *name)
{
	char key[GIVEN_NAME_MAX + 1] = { 0 };

	memcpy(key, name, strlen(name));
	struct node *n = map_get(&w->t->nodes_by_name, key);
	if (n)
		return n == w->self;
	return !name_reserved(w->t, name) && !is_held(w->t, name, w->user_id, w->machine);
}

static void with_suffix(const char *base, uint64_t i, char out[GIVEN_NAME_MAX + 1])
{
	char suffix[24];
	int n_suffix = snprintf(suffix, sizeof suffix, "-%llu", (unsigned long long)i);
	size_t keep = strlen(base);

	if (keep > GIVEN_NAME_MAX - (size_t)n_suffix)
		keep = GIVEN_NAME_MAX - (size_t)n_suffix;
	while (keep && base[keep - 1] == '-')
		keep--;
	memcpy(out, base, keep);
	memcpy(out + keep, suffix, (size_t)n_suffix + 1);
}

/* "web", "web-1", "web-2", … Ten thousand nodes with one hostname must not cost ten thousand looks each: beyond the first
 * few the end of the run is found by doubling and halving. */
void name_unique(struct tailnet *t, const char *base, const struct node *self, int64_t user_id, const struct machine_pub *machine,
		char out[GIVEN_NAME_MAX + 1])
{
	const struct name_wish w = { t, self, user_id, machine };

	snprintf(out, GIVEN_NAME_MAX + 1, "%s", base);
	if (is_free(&w, out))
		return;
	uint64_t i = 1;
	for (; i <= 16; i++) {
		with_suffix(base, i, out);
		if (is_free(&w, out))
			return;
	}
	uint64_t taken = 16, free_one = 32;
	for (;; free_one *= 2) {
		with_suffix(base, free_one, out);
		if (is_free(&w, out))
			break;
		taken = free_one;
	}
	while (free_one - taken > 1) {
		uint64_t mid = taken + (free_one - taken) / 2;
		with_suffix(base, mid, out);
		if (is_free(&w, out))
			free_one = mid;
		else
			taken = mid;
	}
	with_suffix(base, free_one, out);
}
