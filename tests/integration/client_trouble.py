#!/usr/bin/env python3
"""client_trouble.py: what fairlead-clients do when servers and relays go away, and when they are killed themselves.

    A 192.168.1.2 -- natA --\\                   /-- S 203.0.113.10 fairlead (no relay)
                             >-- inet (bridge) ---- R 203.0.113.11 fairlead-derp, region 901
    B 192.168.2.2 -- natB --/                   \\-- Q 203.0.113.12 fairlead-derp, region 902

    NATs are hard (only relays help) or easy, as in client_nat.py.

Each test makes its own lab. Runs alone (with names of tests to pick some), or from tests/integration/run.py; prints TAP."""
import json, os, signal, sys, time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from client_nat import Nat
from netlab import *

S, R, Q = "203.0.113.10", "203.0.113.11", "203.0.113.12"
CODES = {R: "near", Q: "far"}


class Lab:
    def __init__(self, kind, relays=(R,), peers=True):
        inet = Space("I")
        inet.bridge()
        self.relay, spaces = {}, {}
        for name, at in (("S", S), ("R", R), ("Q", Q)):
            spaces[at] = Space(name)
            spaces[at].plug(inet, at + "/24")
        for at in relays:
            self.relay[at] = Relay(spaces[at], at, CODES[at])
        path = os.path.join(folder(), "derp.json")
        with open(path, "w") as f:
            json.dump({"Regions": {str(901 + i): r.region(901 + i, CODES[at]) for i, (at, r) in enumerate(self.relay.items())}}, f)
        self.server = Server(spaces[S], S, relay=False, tables=f'[derp]\npaths = ["{path}"]\n')
        self.client = []
        for i, name in enumerate("AB", 1):
            nat = Nat("n" + name, inet, f"203.0.113.2{i}", f"192.168.{i}", kind)
            home = Space(name)
            nat.join(home, "lan", "eth0")
            nat.addr("lan", f"192.168.{i}.1/24")
            home.addr("eth0", f"192.168.{i}.2/24")
            home.ip("route", "add", "default", "via", f"192.168.{i}.1")
            self.client.append(Client(home))
            self.client[-1].up(self.server, f"--hostname={name.lower()}")
        self.a, self.b = self.client
        self.ip_a, self.ip_b = (c.cli("ip", "-4").strip() for c in self.client)
        until("first ping", lambda: self.b.pings(self.ip_a), 10)

    def home(self, client):
        return client.status()["Self"]["Relay"]


def relay_killed_and_restarted():
    lab = Lab("hard")
    lab.relay[R].stop(signal.SIGKILL)
    until("pings are lost", lambda: not lab.b.pings(lab.ip_a, "1"), 5)
    time.sleep(1)
    lab.relay[R].start()
    back = until("pings are back", lambda: lab.b.pings(lab.ip_a), 20)
    print(f"# pings are back {back:.0f} ms after the relay")
    assert back < 3000, back


def another_relay_takes_over():
    lab = Lab("hard", (R, Q))
    home = next(at for at, code in CODES.items() if code == lab.home(lab.a))
    lab.relay[home].stop(signal.SIGKILL)
    moved = until("pings go on", lambda: lab.b.pings(lab.ip_a), 30)
    print(f"# pings go on by the other relay after {moved:.0f} ms")
    until("nobody is at home there", lambda: CODES[home] not in (lab.home(lab.a), lab.home(lab.b)), 15)
    assert moved < 12000, moved


def direct_paths_need_no_relay():
    lab = Lab("easy")
    until("a direct path", lambda: lab.b.pings(lab.ip_a) and lab.b.direct("a"), 5)
    lab.relay[R].stop(signal.SIGKILL)
    lab.server.stop(signal.SIGKILL)
    for _ in range(40):  # over 8 s: paths are proven again on the way
        assert lab.b.pings(lab.ip_a, "1")
        time.sleep(0.2)
    assert lab.b.direct("a")


def restarts_with_nobody_there():
    """Server and relay are down; a client starts from its cached map and finds its peer where it was, from either side."""
    lab = Lab("easy")
    until("a direct path", lambda: lab.b.pings(lab.ip_a) and lab.b.direct("a") and lab.a.direct("b"), 5)
    caches = [os.path.join(c.dir, "state", "netmap.zst") for c in lab.client]
    until("the maps are on disk, and no later ones wait",
          lambda: all(os.path.exists(f) and time.time() - os.path.getmtime(f) > 4 for f in caches), 30)
    lab.relay[R].stop(signal.SIGKILL)
    lab.server.stop(signal.SIGKILL)
    for who, to, how in ((lab.a, lab.ip_b, signal.SIGKILL), (lab.b, lab.ip_a, signal.SIGTERM)):
        who.stop(how)
        start = time.monotonic()
        who.start()
        until("its ping", lambda: who.pings(to), 10)
        print(f"# {(time.monotonic() - start) * 1000:.0f} ms from start to the first ping")
        assert "Not connected" in who.cli("status", check=False)
    lab.a.stop(signal.SIGKILL)  # and the other one speaks first
    lab.a.start()
    back = until("the peer's ping", lambda: lab.b.pings(lab.ip_a), 10)
    print(f"# {back:.0f} ms until a ping from the other side")
    lab.server.start()
    until("it is back", lambda: "Not connected" not in lab.a.cli("status", check=False), 40)
    assert lab.a.pings(lab.ip_b, "2")


def clock_goes_back():
    """Handshakes carry a clock that must not go back: a restart with a wrong clock is heard all the same."""
    lab = Lab("easy")
    path = os.path.join(lab.a.dir, "state", "state.json")
    lab.a.stop()
    with open(path) as f:
        state = json.load(f)
    assert state["LastInitiation"] > 0
    state["LastInitiation"] += 86400 * 1000  # as after a start with a clock a day behind
    with open(path, "w") as f:
        json.dump(state, f)
    for _ in range(2):
        lab.a.start()
        until("ping", lambda: lab.a.pings(lab.ip_b), 10)
        lab.a.stop()
    with open(path) as f:
        assert json.load(f)["LastInitiation"] >= state["LastInitiation"] + 2 * 600 * 1000
    lab.a.start()


if __name__ == "__main__":
    main([relay_killed_and_restarted, another_relay_takes_over, direct_paths_need_no_relay, restarts_with_nobody_there,
          clock_goes_back])
