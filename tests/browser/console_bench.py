#!/usr/bin/env python3
"""console_bench.py [N]: what the console weighs, and how fast it is with N machines (default 10000) on a real server: they are registered by
tests/bench/swarm, and some of them come and go while the list is scrolled. The browser, the server and the machines share this machine."""
import json, os, shutil, subprocess, sys, tempfile, threading, time

top = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(top, "tests/browser"))
from harbour import Harbour, end_started

n = int(sys.argv[1]) if len(sys.argv) > 1 else 10000
folder = tempfile.mkdtemp(prefix="fairlead-console-bench.")
names = "max_connections max_connections_per_address max_handshakes max_handshakes_per_address max_unregistered_sessions max_unregistered_per_address"
rc = 1
try:
    h = Harbour(folder, tables="[limits]\n" + "".join(f"{k} = 50000\n" for k in names.split()))
    h.s.must("users", "create", "lena", "--display-name", "Lena Hoffmann")
    h.s.must("users", "role", "lena", "owner")
    h.policy('{"grants": [{"src": ["autogroup:member"], "dst": ["autogroup:self"], "ip": ["*"]}], "tagOwners": {"tag:ci": ["lena@"], "tag:prod": ["lena@"]}}')
    swarm = os.path.join(top, os.environ.get("BUILD", "build/release"), "tests/bench/swarm")
    began = time.time()
    subprocess.run([swarm, "--url", h.base, "--auth-key", h.key("prod"), "--nodes", str(n), "--mode", "register"], check=True, stdout=subprocess.DEVNULL, timeout=500)
    print(f"{n} machines registered in {time.time() - began:.0f} s", flush=True)
    moving = [f"moving-{i}" for i in range(12)]
    for name in moving:
        h.join(name, "ci")
    stop = threading.Event()

    def move():
        while not stop.is_set():
            for name in moving:
                h.leave(name)
                h.back(name)
                if stop.wait(0.05):
                    return
    t = threading.Thread(target=move)
    t.start()
    rc = subprocess.run(["node", "console_bench.mjs", os.path.join(top, "web/dist")], cwd=os.path.join(top, "tests/browser"),
                        input=json.dumps({"base": h.base, "commands": h.commands(), "machines": n}), text=True).returncode
    stop.set()
    t.join()
    h.s.is_well()
    h.s.end()
finally:
    end_started()
    shutil.rmtree(folder, ignore_errors=True)
sys.exit(rc)
