#!/bin/sh
# test.sh: the console's types and its unit tests, as TAP.
cd "$(dirname "$0")" || exit 1
. ../deploy/toolenv.sh
sh build.sh >&2 || exit 1
if node node_modules/typescript/bin/tsc --noEmit; then echo 'ok 1 - types'; else echo 'not ok 1 - types'; fi
exec node scripts/test.mjs
