#!/bin/sh
# run.sh [FLAGS]: the black-box acceptance suite of ../shared/accept against this checkout's server, with official
# binaries given in TAILSCALED and TAILSCALE, and our own cases of the same kind (cases/, groups own_*). FLAGS go to accept.py (--only, --slow, --jobs, --ts-src, ...).
set -u
top=$(cd "$(dirname "$0")/../.." && pwd)
suite=${ACCEPT:-$top/../shared/accept/accept.py}

refuse() {
	echo "make accept: $1" >&2
	exit 2
}

[ -f "$suite" ] || refuse "the suite is not at $suite; set ACCEPT= to its accept.py"
[ -x "${TAILSCALED:-}" ] && [ -x "${TAILSCALE:-}" ] || refuse 'give the official binaries, built outside this project:
    make accept TAILSCALED=/path/tailscaled TAILSCALE=/path/tailscale [ONLY=auth,net] [ACCEPT_FLAGS=--slow]'
[ "$(id -u)" = 0 ] || refuse 'the suite makes network namespaces and so must run as root'

mkdir -p "$top/build/results"
log=$top/build/accept.log
export TAILSCALED TAILSCALE
{ python3 "$top/tests/accept/own.py" "$suite" --adapter "$top/tests/accept/adapter" "$@"; echo "exit $?"; } 2>&1 | tee "$log"
rc=$(sed -n 's/^exit //p' "$log" | tail -n 1)
python3 - "$log" >"$top/build/results/accept" <<'P'
import re, sys
n = [0, 0, 0]
for line in open(sys.argv[1], errors="replace"):
    m = re.match(r"(PASS|FAIL|SKIP) ", line)
    if m:
        n[("PASS", "FAIL", "SKIP").index(m.group(1))] += 1
print(*n)
P
exit "${rc:-1}"
