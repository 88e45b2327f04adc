#!/bin/sh
# soak.sh SECONDS: the long integration tests (2 minutes), the relay while it is abused, with a thousand connects a second for ten
# minutes and 9,000 idle connections (20 minutes), then half the time simulations with fresh seeds, half the time every
# fuzzer on a copy of its corpus.
# Stops at the first failure, whose seed or input stands in the output. Findings lie in build/soak/.
set -eu
total=$1
mkdir -p build/soak build/results

${MAKE:-make} --no-print-directory SAN=address,undefined all sim-binaries
python3 tests/integration/run.py --long
${MAKE:-make} --no-print-directory bench-derp-calm CALM_FLAGS='--seconds 30 --churn-seconds 600 --idle 9000'
sims=$(find build/asan/tests/sim -maxdepth 1 -name 'sim_*' -perm -u+x -type f 2>/dev/null || true)
runs=0
end=$(($(date +%s) + total / 2))
while [ -n "$sims" ] && [ "$(date +%s)" -lt "$end" ]; do
	for s in $sims; do
		CMOCKA_MESSAGE_OUTPUT=TAP "$s" >"build/soak/$(basename "$s").log" 2>&1 || {
			tail -n 60 "build/soak/$(basename "$s").log"
			echo '0 1 0' >build/results/soak
			exit 1
		}
		runs=$((runs + 1))
	done
done
echo "soak: $runs simulation runs passed"

${MAKE:-make} --no-print-directory fuzz
set -- build/fuzz/fuzz_*
each=$((total / 2 / $#))
for f in "$@"; do
	name=$(basename "$f")
	mkdir -p "build/soak/$name"
	corpus=tests/fuzz/corpus/${name#fuzz_}
	[ ! -d "$corpus" ] || cp -n "$corpus"/* "build/soak/$name/" 2>/dev/null || true
	echo "soak: $name for $each s"
	"$f" -max_total_time="$each" -artifact_prefix=build/soak/ "build/soak/$name" >"build/soak/$name.log" 2>&1 || {
		tail -n 60 "build/soak/$name.log"
		echo '0 1 0' >build/results/soak
		exit 1
	}
done
echo "$((runs + $#)) 0 0" >build/results/soak
