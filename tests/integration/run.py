#!/usr/bin/env python3
"""run.py [--budget SECONDS] [NAME...]: the tests of this folder, which drive real programs, one after the other: they
measure time and need the machine for themselves. NAME picks some of them; long_*.py run only when named, or with --long
(make soak), tsan_*.py when named (make test-tsan). BUILD= names the build folder."""
import argparse, glob, os, sys

EACH_S = 200
p = argparse.ArgumentParser()
p.add_argument("--budget", default="420")
p.add_argument("--long", action="store_true")
p.add_argument("name", nargs="*")
a = p.parse_args()
here = os.path.dirname(os.path.abspath(__file__))
top = os.path.dirname(os.path.dirname(here))
os.chdir(top)
programs = sorted(f for f in glob.glob("tests/integration/*.py") if os.path.basename(f) != "run.py"
                  and (os.path.basename(f)[:-3] in a.name if a.name else
                       (not os.path.basename(f).startswith("tsan_") and os.path.basename(f).startswith("long_") == a.long)))
os.execv(sys.executable, [sys.executable, "tests/run.py", "integration", "--budget", a.budget, "--each", str(EACH_S),
                          "--jobs", "1", *programs])
