#!/usr/bin/env python3
"""derp_calm.py: fairlead-derp under each kind of abuse for a second and a half, with traffic and newcomers beside it: they get in, the traffic
goes on, and memory comes back. The same with figures, longer: tests/bench/derp_calm.py, which does all of it. Prints TAP."""
import os, sys

top = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
os.environ.setdefault("BUILD", "build/asan")
# ASan holds freed memory back, 256 MiB by default: what a flood leaves could not be told.
os.environ["ASAN_OPTIONS"] = os.environ.get("ASAN_OPTIONS", "") + ":quarantine_size_mb=8"
if not os.path.exists(os.path.join(top, os.environ["BUILD"], "tests", "bench", "derpabuse")):
    print("1..0 # SKIP tests/bench/derpabuse is not built")
    sys.exit(0)
os.chdir(top)
os.execv(sys.executable, [sys.executable, "tests/bench/derp_calm.py", "--tap", "--seconds", "1.5", "--rate", "2", "--divide", "10", *sys.argv[1:]])
