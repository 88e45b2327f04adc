#!/usr/bin/env python3
"""console.py [PART]: the web console in Debian's Chromium, against real servers with machines that come and go. Prints TAP (console.mjs does);
pictures are left in build/console. PART picks tests by a regular expression. BUILD= names the build folder (default build/asan)."""
import json, os, shutil, subprocess, sys, tempfile

top = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(top, "tests/browser"))
from harbour import Harbour, end_started


def fresh(h):
    """A server with an owner and two people, and no machine."""
    h.s.must("users", "create", "lena", "--display-name", "Lena Hoffmann")
    h.s.must("users", "role", "lena", "owner")
    h.s.must("users", "create", "mia", "--display-name", "Mia Brandt")
    h.s.must("users", "create", "omar", "--display-name", "Omar Haddad")


def full(h):
    h.fill()


def walk(script, worlds, folder):
    """script with servers of these names, each filled by its function; leaves when it has ended."""
    folders, world, harbours, rc = [], {}, [], 1
    try:
        for name, fill in worlds.items():
            folders.append(tempfile.mkdtemp(prefix="fairlead-console."))
            h = Harbour(folders[-1])
            harbours.append(h)
            fill(h)
            world[name] = {"base": h.base, "commands": h.commands()}
        out = os.environ.get("OUT") or os.path.join(top, folder)
        shutil.rmtree(out, ignore_errors=True)
        rc = subprocess.run(["node", script, out, *sys.argv[1:]], cwd=os.path.join(top, "tests/browser"), input=json.dumps(world), text=True).returncode
        for h in harbours:
            h.s.is_well()
            h.s.end()
    finally:
        end_started()
        for f in folders:
            shutil.rmtree(f, ignore_errors=True)
    return rc


if __name__ == "__main__":
    sys.exit(walk("console.mjs", {"fresh": fresh, "full": full}, "build/console"))
