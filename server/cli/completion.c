#include "common/base/cleanup.h"
#include "server/cli/verbs.h"

/* The scripts are thin: each asks `fairlead __complete WORDS...` (args_complete), so that they never go out of date. */

static const char bash_script[] =
	"# fairlead completion for bash: source it, or put it into /etc/bash_completion.d/\n"
	"_fairlead() {\n"
	"\tlocal IFS=$'\\n'\n"
	"\tCOMPREPLY=($(\"${COMP_WORDS[0]}\" __complete \"${COMP_WORDS[@]:1:COMP_CWORD}\" 2>/dev/null | cut -f1))\n"
	"}\n"
	"complete -o default -F _fairlead fairlead\n";

static const char zsh_script[] =
	"#compdef fairlead\n"
	"# fairlead completion for zsh: source it, or put it as _fairlead into a folder of $fpath\n"
	"_fairlead() {\n"
	"\tlocal -a found\n"
	"\tlocal line\n"
	"\tfor line in ${(f)\"$(\"${words[1]}\" __complete \"${(@)words[2,CURRENT]}\" 2>/dev/null)\"}; do\n"
	"\t\tfound+=(\"${line%%$'\\t'*}:${line#*$'\\t'}\")\n"
	"\tdone\n"
	"\tif (( $#found )); then _describe fairlead found; else _files; fi\n"
	"}\n"
	"if [ \"$funcstack[1]\" = _fairlead ]; then _fairlead \"$@\"; else compdef _fairlead fairlead; fi\n";

static const char fish_script[] =
	"# fairlead completion for fish: put it into ~/.config/fish/completions/fairlead.fish\n"
	"function __fairlead_complete\n"
	"\tset -l words (commandline -opc) (commandline -ct)\n"
	"\t$words[1] __complete $words[2..-1] 2>/dev/null\n"
	"end\n"
	"complete -c fairlead -a '(__fairlead_complete)'\n";

int run_completion(struct cli *x)
{
	static const struct {
		const char *shell, *script;
	} all[] = { { "bash", bash_script }, { "zsh", zsh_script }, { "fish", fish_script } };
	const char *shell = argument(x, 0);

	for (size_t i = 0; shell && i < ARRAY_LEN(all); i++)
		if (strcmp(shell, all[i].shell) == 0) {
			fputs(all[i].script, stdout);
			return EXIT_OK;
		}
	return usage(x, shell ? "there is none for '%s': bash, zsh or fish" : "for which shell? bash, zsh or fish", shell);
}
