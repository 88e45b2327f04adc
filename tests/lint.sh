#!/bin/sh
# lint.sh: calls that STYLE rules out, then cppcheck over our own code. Exit 1 when either finds something.
# Suppressed: what this cppcheck takes for faults where it does not follow us (CLEANUP, MOVE, whole-struct copies, arenas).
# clang-tidy runs as well where CLANG_TIDY=1 is set: it takes minutes.
set -u
bad=0
if git grep -nE '\b(strcpy|strcat|sprintf|gets|atoi|strtok|alloca)\(' -- '*.c' '*.h'; then
	echo "lint: forbidden calls (above)"
	bad=1
fi
if ! cppcheck --quiet --std=c11 --enable=warning,portability --inline-suppr --error-exitcode=1 -j"$(nproc)" \
	--suppress=missingIncludeSystem --suppress=memleak --suppress=uninitvar --suppress=internalAstError \
	--suppress=unknownMacro --suppress=autoVariables --suppress=identicalInnerCondition -I. \
	--template='{file}:{line}: {severity}: {message} [{id}]' common server derp client; then
	bad=1
fi
if [ "${CLANG_TIDY:-}" = 1 ]; then
	git ls-files 'common/*.c' 'server/*.c' 'derp/*.c' 'client/*.c' |
		xargs -P "$(nproc)" -n 8 sh -c 'clang-tidy --quiet --checks="-*,bugprone-*,-bugprone-easily-swappable-parameters,-bugprone-narrowing-conversions,clang-analyzer-*" "$@" -- -std=gnu17 -D_GNU_SOURCE -I. -Ibuild/release/gen' sh || bad=1
fi
[ "$bad" = 0 ] && echo "lint: nothing found"
exit "$bad"
