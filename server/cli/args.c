#include "server/cli/args.h"

#include <string.h>

#include "common/base/bytes.h"
#include "common/base/cleanup.h"
#include "server/suggest.h"

enum { GLOBAL_CONFIG, GLOBAL_OUTPUT, GLOBAL_FORCE, GLOBAL_ADDRESS, GLOBAL_API_KEY, GLOBAL_INSECURE, GLOBAL_HELP, GLOBAL_VERSION };
static const struct flag global_flags[] = {
	{ "config", 'c', "FILE", "the server's configuration; default: $FAIRLEAD_CONFIG, ./config.toml, ./run/config.toml, "
				 "/etc/fairlead/config.toml", NULL },
	{ "output", 'o', "json|json-line|yaml", "machine-readable output", NULL },
	{ "force", 0, NULL, "do not ask before something is deleted; set a policy that locks administrators out", NULL },
	{ "address", 0, "URL", "a server elsewhere, https://vpn.example.com, or unix:FILE; default: $FAIRLEAD_CLI_ADDRESS, "
			       "else the socket that the configuration names", NULL },
	{ "api-key", 0, "KEY", "the key to show there; better in $FAIRLEAD_CLI_API_KEY, where other users do not see it", NULL },
	{ "insecure", 0, NULL, "do not check the certificate there, and let the key go out in plain HTTP; $FAIRLEAD_CLI_INSECURE=1", NULL },
	{ "help", 'h', NULL, "this text; also behind a command", NULL },
	{ "version", 0, NULL, "print the version", NULL },
};

static bool is_named(const char *name, const char *aliases, const char *word)
{
	struct bytes rest = bytes_str(aliases);

	if (strcmp(name, word) == 0)
		return true;
	while (rest.n) {
		if (bytes_eq_str(bytes_cut(rest, '|', &rest), word))
			return true;
	}
	return false;
}

static const struct group *find_group(const struct verbs *all, const char *word)
{
	for (size_t i = 0; i < all->n_groups; i++) {
		if (is_named(all->groups[i].name, all->groups[i].aliases, word))
			return &all->groups[i];
	}
	return NULL;
}

static const struct verb *find_verb(const struct verbs *all, const char *group, const char *word)
{
	for (size_t i = 0; i < all->n_verbs; i++) {
		if (strcmp(all->verbs[i].group, group) == 0 && is_named(all->verbs[i].name, all->verbs[i].aliases, word))
			return &all->verbs[i];
	}
	return NULL;
}

static bool is_flag(const struct flag *f, struct bytes name, char letter)
{
	if (letter)
		return f->letter == letter;
	return bytes_eq_str(name, f->name) || (f->alias && bytes_eq_str(name, f->alias));
}

/* Is the word after this flag its value? */
static bool takes_next_word(const struct verb *v, const char *word)
{
	bool is_long = word[1] == '-';
	struct bytes name = bytes_str(word + (is_long ? 2 : 1));
	char letter = is_long ? 0 : word[1];

	if (strchr(word, '=') || (!is_long && name.n != 1))
		return false;
	for (const struct flag *f = v ? v->flags : NULL; f && f->name; f++)
		if (is_flag(f, name, letter))
			return f->value != NULL;
	for (size_t i = 0; i < ARRAY_LEN(global_flags); i++)
		if (is_flag(&global_flags[i], name, letter))
			return global_flags[i].value != NULL;
	return false;
}

/* ---- parsing ---- */

struct parse {
	const struct verbs *all;
	int argc, at;
	char **argv;
	struct cli *x;
	char *why;
	size_t why_cap;
};

static err unknown_word(struct parse *p, const char *word)
{
	struct suggest s = suggest_begin(word);
	const char *group = p->x->group ? p->x->group->name : "";

	for (size_t i = 0; i < p->all->n_verbs; i++) {
		if (strcmp(p->all->verbs[i].group, group) == 0)
			suggest_offer(&s, p->all->verbs[i].name);
	}
	for (size_t i = 0; !p->x->group && i < p->all->n_groups; i++)
		suggest_offer(&s, p->all->groups[i].name);
	if (s.best)
		snprintf(p->why, p->why_cap, "unknown command '%s%s%s'; did you mean '%s'?", group, group[0] ? " " : "", word, s.best);
	else
		snprintf(p->why, p->why_cap, "unknown command '%s%s%s'; fairlead %s%s--help lists them", group, group[0] ? " " : "", word,
				group, group[0] ? " " : "");
	return ERR_INVALID;
}

static err unknown_flag(struct parse *p, const char *word)
{
	struct suggest s = suggest_begin(word + strspn(word, "-"));

	for (const struct flag *f = p->x->verb ? p->x->verb->flags : NULL; f && f->name; f++)
		suggest_offer(&s, f->name);
	for (size_t i = 0; i < ARRAY_LEN(global_flags); i++)
		suggest_offer(&s, global_flags[i].name);
	if (s.best && strncmp(word, "--", 2) == 0)
		snprintf(p->why, p->why_cap, "unknown flag '%s'; did you mean '--%s'?", word, s.best);
	else
		snprintf(p->why, p->why_cap, "unknown flag '%s'; --help lists them", word);
	return ERR_INVALID;
}

static err take_global(struct parse *p, size_t i, const char *value)
{
	struct cli *x = p->x;

	switch (i) {
	case GLOBAL_CONFIG:
		x->config_path = value;
		return OK;
	case GLOBAL_OUTPUT:
		if (strcmp(value, "json") == 0)
			x->output = OUTPUT_JSON;
		else if (strcmp(value, "json-line") == 0)
			x->output = OUTPUT_JSON_LINE;
		else if (strcmp(value, "yaml") == 0)
			x->output = OUTPUT_YAML;
		else if (strcmp(value, "table") == 0)
			x->output = OUTPUT_TABLE;
		else {
			snprintf(p->why, p->why_cap, "--output must be json, json-line or yaml, not '%s'", value);
			return ERR_INVALID;
		}
		return OK;
	case GLOBAL_FORCE:
		x->force = true;
		return OK;
	case GLOBAL_ADDRESS:
		x->address = value;
		return OK;
	case GLOBAL_API_KEY:
		x->api_key = value;
		return OK;
	case GLOBAL_INSECURE:
		x->insecure = true;
		return OK;
	case GLOBAL_HELP:
		x->help = true;
		return OK;
	default:
		x->version = true;
		return OK;
	}
}

static err take_value(struct parse *p, const struct flag *f, const char *word, const char *inline_value, const char **value)
{
	*value = inline_value;
	if (!f->value) {
		if (inline_value && strcmp(inline_value, "true") != 0) {
			snprintf(p->why, p->why_cap, "%s takes no value", word);
			return ERR_INVALID;
		}
	} else if (!inline_value) {
		if (p->at >= p->argc) {
			snprintf(p->why, p->why_cap, "%s needs a value: %s", word, f->value);
			return ERR_INVALID;
		}
		*value = p->argv[p->at++];
	}
	return OK;
}

/* The verb's own flags come first: a verb may give a letter another meaning. */
static err take_flag(struct parse *p, const char *word)
{
	bool is_long = word[1] == '-';
	const char *equals = strchr(word, '=');
	const char *name = word + (is_long ? 2 : 1);
	struct bytes text = bytes_of(name, equals ? (size_t)(equals - name) : strlen(name));
	char letter = is_long ? 0 : name[0];
	const char *value = NULL;
	struct cli *x = p->x;

	if (!is_long && text.n != 1)
		return unknown_flag(p, word);
	for (size_t i = 0; x->verb && x->verb->flags[i].name; i++) {
		const struct flag *f = &x->verb->flags[i];
		if (!is_flag(f, text, letter))
			continue;
		TRY(take_value(p, f, word, equals ? equals + 1 : NULL, &value));
		if (x->n_values[i] == FLAG_VALUES_MAX) {
			snprintf(p->why, p->why_cap, "%s is given too often", word);
			return ERR_TOO_BIG;
		}
		x->value[i][x->n_values[i]++] = value ? value : "true";
		return OK;
	}
	for (size_t i = 0; i < ARRAY_LEN(global_flags); i++) {
		if (!is_flag(&global_flags[i], text, letter))
			continue;
		TRY(take_value(p, &global_flags[i], word, equals ? equals + 1 : NULL, &value));
		return take_global(p, i, value);
	}
	return unknown_flag(p, word);
}

static err take_word(struct parse *p, const char *word)
{
	struct cli *x = p->x;

	if (!x->verb && !x->group && strcmp(word, "help") == 0) {
		x->help = true;
		return OK;
	}
	if (!x->verb && !x->group && (x->group = find_group(p->all, word)))
		return OK;
	if (!x->verb) {
		x->verb = find_verb(p->all, x->group ? x->group->name : "", word);
		return x->verb ? OK : unknown_word(p, word);
	}
	if (x->n_arguments == x->verb->arguments_max) {
		snprintf(p->why, p->why_cap, "there is a word too many: '%s'", word);
		return ERR_INVALID;
	}
	x->argument[x->n_arguments++] = word;
	return OK;
}

/* A flag of some verb, or one for all of them. */
static bool is_anyones(const struct verbs *all, const char *word)
{
	bool is_long = word[1] == '-';
	const char *name = word + (is_long ? 2 : 1);
	struct bytes text = bytes_of(name, strcspn(name, "="));
	char letter = is_long ? 0 : name[0];

	if (strcmp(word, "--") == 0 || strcmp(word, "-") == 0)
		return true;
	for (size_t i = 0; i < ARRAY_LEN(global_flags); i++)
		if (is_flag(&global_flags[i], text, letter))
			return true;
	for (size_t i = 0; i < all->n_verbs; i++)
		for (const struct flag *f = all->verbs[i].flags; f->name; f++)
			if (is_flag(f, text, letter))
				return true;
	return false;
}

/* A flag may stand before the verb that it belongs to; so the words that name the verb are looked for first. */
static int find_verb_words(struct parse *p)
{
	int used = 0;

	for (int i = 1; i < p->argc && !p->x->verb; i++) {
		const char *word = p->argv[i];
		if (word[0] == '-') {
			if (!is_anyones(p->all, word))
				return unknown_flag(p, word) == OK ? used : -1;
			i += takes_next_word(NULL, word);
			continue;
		}
		if (take_word(p, word) != OK)
			return -1;
		used++;
	}
	return used;
}

err args_parse(const struct verbs *all, int argc, char **argv, struct cli *out, char *why, size_t why_cap)
{
	struct cli x = { .config_path = "" };
	struct parse p = { .all = all, .argc = argc, .at = 1, .argv = argv, .x = &x, .why = why, .why_cap = why_cap };
	bool flags = true;

	why[0] = 0;
	int skip = find_verb_words(&p);
	if (skip < 0)
		return ERR_INVALID;
	while (p.at < argc) {
		const char *word = argv[p.at++];
		if (flags && strcmp(word, "--") == 0)
			flags = false;
		else if (flags && word[0] == '-' && word[1])
			TRY(take_flag(&p, word));
		else if (skip > 0)
			skip--;
		else
			TRY(take_word(&p, word));
	}
	if (!x.verb && !x.version)
		x.help = true;
	*out = x;
	return OK;
}

static size_t flag_index(const struct cli *x, const char *name)
{
	size_t i = 0;

	while (x->verb->flags[i].name && strcmp(x->verb->flags[i].name, name) != 0)
		i++;
	return i;
}

bool flag_given(const struct cli *x, const char *name)
{
	return flag_value(x, name) != NULL;
}

const char *flag_value(const struct cli *x, const char *name)
{
	size_t i = flag_index(x, name);

	return i < FLAGS_MAX && x->n_values[i] ? x->value[i][x->n_values[i] - 1] : NULL;
}

const char *argument(const struct cli *x, size_t n)
{
	return n < x->n_arguments ? x->argument[n] : NULL;
}

/* ---- help ---- */

static void print_flag(FILE *out, const struct flag *f)
{
	char head[64];

	snprintf(head, sizeof head, "%c%c%c --%s %s", f->letter ? '-' : ' ', f->letter ? f->letter : ' ', f->letter ? ',' : ' ', f->name,
			f->value ? f->value : "");
	fprintf(out, "  %-32s %s\n", head, f->help);
}

static void print_global_flags(FILE *out)
{
	fputs("\nEverywhere:\n", out);
	for (size_t i = 0; i < ARRAY_LEN(global_flags); i++)
		print_flag(out, &global_flags[i]);
}

static void help_verb(const struct verb *v, FILE *out)
{
	const char *gap = v->group[0] ? " " : "";

	fprintf(out, "fairlead %s%s%s%s%s: %s\n", v->group, gap, v->name, v->arguments[0] ? " " : "", v->arguments, v->help);
	if (v->aliases[0])
		fprintf(out, "Also: %s\n", v->aliases);
	if (v->flags[0].name)
		fputs("\nFlags:\n", out);
	for (const struct flag *f = v->flags; f->name; f++)
		print_flag(out, f);
	print_global_flags(out);
	fprintf(out, "\nExample:\n  fairlead %s\n", v->example);
}

static void list_verbs(const struct verbs *all, const char *group, FILE *out)
{
	for (size_t i = 0; i < all->n_verbs; i++) {
		const struct verb *v = &all->verbs[i];
		char head[64];
		if (strcmp(v->group, group) != 0)
			continue;
		snprintf(head, sizeof head, "%s %s", v->name, v->arguments);
		fprintf(out, "  %-24s %s\n", head, v->help);
	}
}

static void list_examples(const struct verbs *all, const char *group, FILE *out)
{
	fputs("\nExamples:\n", out);
	for (size_t i = 0; i < all->n_verbs; i++) {
		if (strcmp(all->verbs[i].group, group) == 0)
			fprintf(out, "  fairlead %s\n", all->verbs[i].example);
	}
}

static void help_program(const struct verbs *all, FILE *out)
{
	fputs("fairlead: coordination server for Tailscale clients, and its admin commands.\n\nCommands:\n", out);
	list_verbs(all, "", out);
	for (size_t i = 0; i < all->n_groups; i++)
		fprintf(out, "  %-24s %s\n", all->groups[i].name, all->groups[i].help);
	print_global_flags(out);
	fputs("\nExamples:\n  fairlead serve --config config.toml\n  fairlead users create ann\n"
	      "  fairlead preauthkeys create --user ann --reusable --expiration 24h\n  fairlead nodes list\n"
	      "  fairlead nodes --help\n",
			out);
}

void args_help(const struct verbs *all, const struct cli *x, FILE *out)
{
	if (x->verb) {
		help_verb(x->verb, out);
	} else if (x->group) {
		fprintf(out, "fairlead %s: %s\n", x->group->name, x->group->help);
		if (x->group->aliases[0])
			fprintf(out, "Also: %s\n", x->group->aliases);
		fputs("\nCommands:\n", out);
		list_verbs(all, x->group->name, out);
		print_global_flags(out);
		list_examples(all, x->group->name, out);
	} else {
		help_program(all, out);
	}
}

/* ---- completion ---- */

static void offer(FILE *out, const char *typed, const char *dashes, const char *name, const char *help)
{
	size_t n = strlen(dashes);

	if (strncmp(typed, dashes, strlen(typed) < n ? strlen(typed) : n) != 0 ||
		(strlen(typed) > n && strncmp(typed + n, name, strlen(typed) - n) != 0))
		return;
	fprintf(out, "%s%s\t%s\n", dashes, name, help);
}

static void offer_values(FILE *out, const char *typed, const struct flag *f)
{
	struct bytes rest = bytes_str(strcmp(f->name, "output") == 0 ? f->value : "");

	while (rest.n) {
		struct bytes v = bytes_cut(rest, '|', &rest);
		char name[32];

		if (bytes_copy(name, sizeof name - 1, v) == OK) {
			name[v.n] = 0;
			offer(out, typed, "", name, f->help);
		}
	}
}

static const struct flag *flag_of(const struct verb *v, const char *word)
{
	bool is_long = word[1] == '-';
	struct bytes name = bytes_str(word + (is_long ? 2 : 1));

	for (const struct flag *f = v ? v->flags : NULL; f && f->name; f++)
		if (is_flag(f, name, is_long ? 0 : word[1]))
			return f;
	for (size_t i = 0; i < ARRAY_LEN(global_flags); i++)
		if (is_flag(&global_flags[i], name, is_long ? 0 : word[1]))
			return &global_flags[i];
	return NULL;
}

void args_complete(const struct verbs *all, int n, char *const *words, FILE *out)
{
	const struct group *group = NULL;
	const struct verb *verb = NULL;
	const char *typed = n > 0 ? words[n - 1] : "";
	size_t given = 0;

	for (int i = 0; i < n - 1; i++) {
		if (words[i][0] == '-') {
			if (takes_next_word(verb, words[i]) && ++i == n - 1) {
				const struct flag *f = flag_of(verb, words[i - 1]);

				if (f)
					offer_values(out, typed, f);
				return;
			}
		} else if (!verb && !group && (group = find_group(all, words[i]))) {
			continue;
		} else if (!verb) {
			verb = find_verb(all, group ? group->name : "", words[i]);
			if (!verb)
				return;
		} else {
			given++;
		}
	}
	if (typed[0] == '-') {
		for (const struct flag *f = verb ? verb->flags : NULL; f && f->name; f++)
			offer(out, typed, "--", f->name, f->help);
		for (size_t i = 0; i < ARRAY_LEN(global_flags); i++)
			offer(out, typed, "--", global_flags[i].name, global_flags[i].help);
		return;
	}
	if (verb) { /* "bash|zsh|fish" names what may stand there; NAME and [FILE] do not */
		struct bytes rest = bytes_str(given == 0 && strchr(verb->arguments, '|') ? verb->arguments : "");

		while (rest.n) {
			struct bytes v = bytes_cut(rest, '|', &rest);
			char name[32];

			if (bytes_copy(name, sizeof name - 1, v) == OK) {
				name[v.n] = 0;
				offer(out, typed, "", name, verb->help);
			}
		}
		return;
	}
	for (size_t i = 0; i < all->n_verbs; i++)
		if (strcmp(all->verbs[i].group, group ? group->name : "") == 0)
			offer(out, typed, "", all->verbs[i].name, all->verbs[i].help);
	for (size_t i = 0; !group && i < all->n_groups; i++)
		offer(out, typed, "", all->groups[i].name, all->groups[i].help);
}
