#!/bin/sh
# suites.sh SUITE=TARGET...: makes each target in turn, goes on when one fails, and adds up what they left in
# build/results/SUITE. A target that fails without counting anything (it did not build) counts as one failure.
set -u
mkdir -p build/results
rc=0
for s in "$@"; do
	suite=${s%%=*}
	rm -f "build/results/$suite"
	"${MAKE:-make}" --no-print-directory "${s#*=}" || {
		rc=1
		[ -s "build/results/$suite" ] || echo '0 1 0' >"build/results/$suite"
	}
	[ -s "build/results/$suite" ] || {
		echo "$suite: the target ${s#*=} left no count" >&2
		echo '0 1 0' >"build/results/$suite"
		rc=1
	}
done
python3 tests/summary.py $(for s in "$@"; do echo "${s%%=*}"; done) || rc=1
exit $rc
