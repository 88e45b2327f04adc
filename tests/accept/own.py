#!/usr/bin/env python3
"""own.py SUITE [FLAGS]: the black-box suite at SUITE (its accept.py), with the cases of tests/accept/cases added to it.

A case file here is written as those of the suite are: `from accept import case`, `from lab import ...`."""
import importlib.util, os, sys

sys.dont_write_bytecode = True
suite = os.path.abspath(sys.argv.pop(1))
sys.path.insert(0, os.path.dirname(suite))
import accept  # noqa: E402

here = os.path.join(os.path.dirname(os.path.abspath(__file__)), "cases")
for name in sorted(os.listdir(here)):
    if name.endswith(".py"):
        spec = importlib.util.spec_from_file_location("own." + name[:-3], os.path.join(here, name))
        spec.loader.exec_module(importlib.util.module_from_spec(spec))
sys.argv[0] = suite  # with --jobs it starts itself again, case by case
if __name__ == "__main__":
    sys.exit(accept.main())
