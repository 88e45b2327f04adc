#!/usr/bin/env python3
"""client_lan.py: two fairlead-clients and a fairlead on one LAN, in network namespaces of their own.

    ns S: bridge 10.77.0.1/24, fairlead (with relay)      ns A: 10.77.0.2      ns B: 10.77.0.3

Needs root; skipped otherwise. Runs alone, or from tests/integration/run.py; prints TAP. BUILD= names the build folder.
"""
import os, signal, sys, time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from netlab import *

BEFORE = "nameserver 10.77.0.1\n"  # the clients' resolv.conf


def setup():
    global server, a, b
    s = Space("S")
    s.bridge("10.77.0.1/24")
    spaces = [Space("A"), Space("B")]
    for i, x in enumerate(spaces):
        x.plug(s, f"10.77.0.{i + 2}/24", gateway="10.77.0.1")
    server = Server(s, "10.77.0.1")
    a, b = (Client(x, resolv=BEFORE) for x in spaces)


def logs_in_and_pings():
    a.up(server, "--hostname=alpha")
    start = time.monotonic()
    out = b.up(server, "--hostname=beta")
    assert "100.64.0.2" in out, out
    first = until("first ping", lambda: a.pings("100.64.0.2"), 5)
    until("a direct path", lambda: next(iter(a.status()["Peer"].values()))["CurAddr"], 5)
    print(f"# up of the second {(time.monotonic() - start) * 1000 - first:.0f} ms, first ping {first:.0f} ms after it")
    assert a.pings("fd7a:115c:a1e0:ab12:4843:cd96:6240:2", "2")
    assert "via 10.77.0.3:" in a.cli("ping", "-c", "5", "beta")


def shows_who_is_there():
    table = a.cli("status")
    assert re.search(r"100\.64\.0\.2 +beta +ann +linux +active; direct 10\.77\.0\.3:\d+", table), table
    assert a.cli("ip", "-4").strip() == "100.64.0.1"
    assert a.cli("ip", "-6", "beta").startswith("fd7a:")
    assert "beta" in a.cli("whois", "100.64.0.2")
    assert json.loads(a.cli("netcheck", "--json"))["UDP"]
    assert json.loads(a.cli("debug", "netmap"))["Node"]["Name"] == "alpha.tail.internal."


def resolves_names():
    until("resolv.conf names us", lambda: "100.100.100.100" in open(f"{a.etc}/resolv.conf").read(), 5)
    assert "beta.tail.internal" in a.inside("getent", "hosts", "beta")
    a.cli("set", "--accept-dns=false")
    until("resolv.conf is back", lambda: open(f"{a.etc}/resolv.conf").read() == BEFORE, 5)


def remembers_flags():
    out = a.cli("up", "--shields-up", check=False)
    assert "--hostname=alpha" in out and "--accept-dns=false" in out, out
    a.cli("set", "--shields-up")
    until("shields are up", lambda: not b.pings("100.64.0.1"), 5)
    a.cli("set", "--shields-up=false")
    until("shields are down", lambda: b.pings("100.64.0.1"), 5)


def flows_without_the_server():
    server.stop()
    assert a.pings("100.64.0.2", "2")
    until("status says so", lambda: "Not connected" in a.cli("status", check=False), 5)
    server.start()
    until("it is back", lambda: "Not connected" not in a.cli("status", check=False), 40)
    assert a.pings("100.64.0.2", "2")


def survives_a_kill():
    a.stop(signal.SIGKILL)
    start = time.monotonic()
    a.start()
    until("first ping", lambda: a.pings("100.64.0.2"), 10)
    print(f"# {(time.monotonic() - start) * 1000:.0f} ms from start to the first ping")


def goes_down_and_up():
    a.cli("down")
    assert "fairlead0" not in a.space.ip("link")
    assert "5353" not in a.space.ip("rule")
    assert "stopped" in a.cli("status", check=False)
    a.cli("up")
    until("ping", lambda: a.pings("100.64.0.2"), 5)


def logs_out():
    a.cli("logout")
    assert "Logged out" in a.cli("status", check=False)
    assert "fairlead0" not in a.space.ip("link")
    a.cli("up", f"--auth-key={server.key}")
    until("ping", lambda: a.pings("100.64.0.2"), 10)


if __name__ == "__main__":
    main([logs_in_and_pings, shows_who_is_there, resolves_names, remembers_flags, flows_without_the_server, survives_a_kill,
          goes_down_and_up, logs_out], setup)
