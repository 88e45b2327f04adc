#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/cleanup.h"
#include "common/base/clock.h"
#include "server/cli/verbs.h"
#include "server/config.h"
#include "server/policy/policy.h"
#include "server/store/store.h"

/* Policies without a server: `--bypass-server-and-access-database-directly`, as Headscale has it, for the day when a server does not
 * start because of its policy. The database must not be open in a server: the store refuses that. */

enum { TAILNET = 1 };

struct offline {
	struct store *store;
	struct store_image image;
	atomic_bool failed;
	char why[300];
};

static void offline_done(struct offline *o)
{
	store_stop(o->store);
	store_image_done(&o->image);
}

static void on_durable(void *ctx, uint64_t seq)
{
	(void)ctx;
	(void)seq;
}

static void on_failed(void *ctx, uint64_t seq, uint32_t epoch, const char *why)
{
	struct offline *o = ctx;

	(void)seq;
	(void)epoch;
	snprintf(o->why, sizeof o->why, "%s", why);
	atomic_store(&o->failed, true);
}

static bool open_database(const struct cli *x, struct offline *o)
{
	const char *path = find_config(x);
	struct config *c = NULL;

	if (!path[0])
		snprintf(o->why, sizeof o->why, "no configuration found: name the server's with --config FILE");
	else if (config_load(path, o->why, sizeof o->why, &c) == OK) {
		if (access(c->database_path, R_OK | W_OK) != 0)
			snprintf(o->why, sizeof o->why, "%s: %s", c->database_path, strerror(errno));
		else if (store_open(c->database_path, o->why, sizeof o->why, &o->store) == OK && store_load(o->store, &o->image) != OK)
			snprintf(o->why, sizeof o->why, "%s: it cannot be read", c->database_path);
	}
	config_free(c);
	if (o->why[0])
		print_failure(x, o->why);
	return !o->why[0];
}

static const struct policy_row *newest(const struct store_image *im)
{
	const struct policy_row *found = NULL;

	for (size_t i = 0; i < im->n_policies; i++)
		if (im->policies[i].tailnet_id == TAILNET && (!found || im->policies[i].version > found->version))
			found = &im->policies[i];
	return found;
}

int run_policy_get_offline(struct cli *x)
{
	CLEANUP(offline_done) struct offline o = { 0 };

	if (!open_database(x, &o))
		return EXIT_FAILED;
	const struct policy_row *p = newest(&o.image);
	if (!p) {
		print_failure(x, "no policy was ever set: everyone may reach everyone");
		return EXIT_FAILED;
	}
	print_word(x, "policy", p->text);
	return EXIT_OK;
}

/* Without the policy's own tests: they ask about the nodes of a running server. */
static bool is_valid(const struct cli *x, const char *text)
{
	struct policy_faults faults = { 0 };
	struct policy *p = NULL;
	err e = policy_parse(bytes_str(text), &p, &faults);

	for (size_t i = 0; e != OK && i < faults.n; i++) {
		const struct policy_fault *f = &faults.fault[i];
		char line[300];

		if (f->line)
			snprintf(line, sizeof line, "line %u, column %u: %s", f->line, f->column, f->text);
		else
			snprintf(line, sizeof line, "%s", f->text);
		print_failure(x, line);
	}
	if (e != OK && !faults.n)
		print_failure(x, err_text(e));
	policy_unref(p);
	return e == OK;
}

static char *given_text(struct cli *x, int *status)
{
	const char *path = flag_or_argument(x, "file");

	*status = path ? EXIT_FAILED : usage(x, "which file? Give -f FILE, or -f - for stdin");
	char *text = path ? read_whole(x, path) : NULL;
	if (text && !is_valid(x, text)) {
		free(text);
		return NULL;
	}
	return text;
}

int run_policy_check_offline(struct cli *x)
{
	int status;
	CLEANUP(freep) char *text = given_text(x, &status);

	if (!text)
		return status;
	print_word(x, "result", "Policy is valid (its tests need the server)");
	return EXIT_OK;
}

static const char *setting_of(const struct store_image *im, const char *key)
{
	for (size_t i = 0; i < im->n_settings; i++)
		if (im->settings[i].tailnet_id == 0 && strcmp(im->settings[i].key, key) == 0)
			return im->settings[i].value;
	return NULL;
}

/* The row and the counter that its id comes from, in one commit. */
static err put_policy(struct offline *o, const char *text, const char *note, int64_t *version)
{
	struct store_batch *b = calloc(1, sizeof *b + 2 * sizeof b->op[0]);
	const struct policy_row *last = newest(&o->image);
	const char *counter = setting_of(&o->image, "next_id");
	uint64_t id = 1;
	char next[24];

	if (!b)
		return ERR_NOMEM;
	if (counter && bytes_parse_u64(bytes_str(counter), INT64_MAX / 2, &id) != OK)
		return free(b), ERR_MALFORMED;
	snprintf(next, sizeof next, "%llu", (unsigned long long)id + 1);
	*version = last ? last->version + 1 : 1;
	b->seq = 1;
	b->epoch = 1;
	b->n = 2;
	b->op[0].kind = STORE_PUT_POLICY;
	b->op[0].policy = (struct policy_row){ .id = (int64_t)id, .tailnet_id = TAILNET, .text = strdup(text), .author = strdup("cli (no server)"),
		.note = strdup(note), .created_ms = clock_wall_ms(), .version = *version };
	b->op[1].kind = STORE_PUT_SETTING;
	b->op[1].setting = (struct setting_row){ .tailnet_id = 0, .key = strdup("next_id"), .value = strdup(next) };
	if (!b->op[0].policy.text || !b->op[0].policy.author || !b->op[0].policy.note || !b->op[1].setting.key || !b->op[1].setting.value)
		return store_batch_free(b), ERR_NOMEM;
	err e = store_start(o->store, &(struct store_callbacks){ .ctx = o, .on_durable = on_durable, .on_failed = on_failed });
	if (e != OK)
		return store_batch_free(b), e;
	store_submit(o->store, b);
	store_stop(MOVE(o->store)); /* commits what was submitted */
	return atomic_load(&o->failed) ? ERR_SYS : OK;
}

int run_policy_set_offline(struct cli *x)
{
	CLEANUP(offline_done) struct offline o = { 0 };
	int status;
	CLEANUP(freep) char *text = given_text(x, &status);
	const char *note = flag_value(x, "note");
	int64_t version;
	char done[80];

	if (!text)
		return status;
	if (!open_database(x, &o))
		return EXIT_FAILED;
	err e = put_policy(&o, text, note ? note : "", &version);
	if (e != OK) {
		print_failure(x, o.why[0] ? o.why : err_text(e));
		return EXIT_FAILED;
	}
	snprintf(done, sizeof done, "Policy set: version %lld; the server's next start uses it", (long long)version);
	print_word(x, "result", done);
	return EXIT_OK;
}
