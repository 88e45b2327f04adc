#!/usr/bin/env python3
"""summary.py [SUITE...]: adds up build/results/* (or the named suites) and prints `N passed, N failed, N skipped`.

Exit 1 if anything failed or nothing passed.
"""
import os
import sys

tot = [0, 0, 0]
d = "build/results"
for f in sys.argv[1:] or (sorted(os.listdir(d)) if os.path.isdir(d) else []):
    with open(os.path.join(d, f)) as r:
        n = [int(x) for x in r.read().split()]
    print(f"  {f}: {n[0]} passed, {n[1]} failed, {n[2]} skipped")
    tot = [a + b for a, b in zip(tot, n)]
print("%d passed, %d failed, %d skipped" % tuple(tot))
sys.exit(1 if tot[1] or not tot[0] else 0)
