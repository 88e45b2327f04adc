#!/usr/bin/env python3
"""client_nat.py: two fairlead-clients behind NATs of several kinds: which way they reach each other, and how soon.

    A 192.168.1.2 -- natA 203.0.113.21 --\\                   /-- S 203.0.113.10 fairlead, relay, STUN
                                          >-- inet (bridge) --
    B 192.168.2.2 -- natB 203.0.113.22 --/

    easy: keeps ports, lets in what answers      hard: another port for each destination, lets in what answers
    cone: easy, and UDP 41641 comes in from all

Each test makes its own lab. Runs alone (with names of tests to pick some), or from tests/integration/run.py; prints TAP."""
import os, sys, time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from netlab import *

S = "203.0.113.10"
# In a release build and on a quiet machine these are met many times over; the labs run under sanitizers beside other work.
FIRST_PING_MS, DIRECT_MS = 300, 1000
SLACK = 1 if "release" in build else 5


class Nat(Space):
    def __init__(self, name, inet, wan, lan, kind):
        super().__init__(name)
        self.plug(inet, wan + "/24", dev="wan")
        self.run("sysctl", "-qw", "net.ipv4.ip_forward=1")
        self.lan, self.kind = lan, kind
        self.filter()

    def filter(self, more=""):
        """more: a rule ahead of the others in the forwarding chain."""
        how = "masquerade random,fully-random" if self.kind == "hard" else "masquerade"
        pre = f'iifname "wan" udp dport 41641 dnat to {self.lan}.2:41641' if self.kind == "cone" else ""
        self.nft(f"""flush ruleset
            table ip nat {{
                chain post {{ type nat hook postrouting priority 100; oifname "wan" {how}; }}
                chain pre {{ type nat hook prerouting priority -100; {pre}; }}
            }}
            table ip f {{
                chain forw {{ type filter hook forward priority 0; policy drop;
                    {more}
                    ct state established,related accept
                    iifname "lan" accept
                    ct status dnat accept
                }}
                chain inp {{ type filter hook input priority 0; policy drop;
                    ct state established,related accept
                    iifname {{ "lan", "lo" }} accept
                }}
            }}""")


class Lab:
    def __init__(self, kind_a, kind_b, delay_ms=0, loss=0):
        self.inet = Space("I")
        self.inet.bridge()
        s = Space("S")
        s.plug(self.inet, S + "/24")
        self.server = Server(s, S)
        self.nat, self.home = {}, {}
        for i, (name, kind) in enumerate((("A", kind_a), ("B", kind_b)), 1):
            lan = f"192.168.{i}"
            nat = self.nat[name] = Nat("n" + name, self.inet, f"203.0.113.2{i}", lan, kind)
            home = self.home[name] = Space(name)
            nat.join(home, "lan", "eth0", *((delay_ms, loss) if name == "A" else (0, 0)))
            nat.addr("lan", lan + ".1/24")
            home.addr("eth0", lan + ".2/24")
            home.ip("route", "add", "default", "via", lan + ".1")
        self.a, self.b = Client(self.home["A"]), Client(self.home["B"])
        self.a.up(self.server, "--hostname=a")

    def second_joins(self):
        """B comes up and pings A until the first answer; prints the times."""
        start = time.monotonic()
        self.b.up(self.server, "--hostname=b")
        up = (time.monotonic() - start) * 1000
        self.ip_a = self.a.cli("ip", "-4").strip()
        self.since = time.monotonic()
        first = until("first ping", lambda: self.b.pings(self.ip_a, "0.05" if SLACK == 1 else "0.3"), 10)
        print(f"# up {up:.0f} ms, first ping {first:.0f} ms after it", flush=True)
        return first

    def goes_direct(self, within=10):
        def direct():
            self.b.pings(self.ip_a)
            return self.b.direct("a")
        until("a direct path", direct, within)
        ms = (time.monotonic() - self.since) * 1000
        print(f"# direct by {self.b.direct('a')} {ms:.0f} ms after up", flush=True)
        return ms

    def stays_relayed(self, seconds=4):
        for _ in range(seconds * 5):
            assert self.b.pings(self.ip_a, "1")
            time.sleep(0.2)
        assert not self.b.direct("a") and not self.a.direct("b"), self.b.status()
        assert "via DERP(fairlead)" in self.b.cli("ping", "-c", "1", "a", check=False)  # exit 1: not direct


def both_easy():
    lab = Lab("easy", "easy")
    assert lab.second_joins() < FIRST_PING_MS * SLACK
    assert lab.goes_direct() < DIRECT_MS * SLACK
    assert lab.b.direct("a").startswith("203.0.113.21:")
    assert json.loads(lab.b.cli("netcheck", "--json"))["MappingVariesByDestIP"] is not True


def cone_and_hard():
    lab = Lab("cone", "hard")
    assert lab.second_joins() < FIRST_PING_MS * SLACK
    assert lab.goes_direct() < DIRECT_MS * SLACK
    assert lab.b.direct("a") == "203.0.113.21:41641"


def easy_and_hard():
    """Not possible without guessing ports: it works by the relay."""
    lab = Lab("easy", "hard")
    assert lab.second_joins() < FIRST_PING_MS * SLACK
    lab.stays_relayed(2)


def both_hard():
    lab = Lab("hard", "hard")
    assert lab.second_joins() < FIRST_PING_MS * SLACK
    lab.stays_relayed()
    assert json.loads(lab.b.cli("netcheck", "--json"))["MappingVariesByDestIP"] is True


def udp_blocked_then_not():
    lab = Lab("easy", "easy")
    lab.nat["B"].filter("meta l4proto udp drop")
    assert lab.second_joins() < FIRST_PING_MS * SLACK + 1000
    lab.stays_relayed(3)
    assert json.loads(lab.b.cli("netcheck", "--json"))["UDP"] is False
    lab.nat["B"].filter()
    lab.since = time.monotonic()
    assert lab.goes_direct(30) < 8000
    assert "via 203.0.113.21:" in lab.b.cli("ping", "-c", "1", "a")
    lab.nat["B"].filter("meta l4proto udp drop")  # and back to the relay when it dies
    lost = until("the relay takes over", lambda: lab.b.pings(lab.ip_a), 15)
    print(f"# by relay again {lost:.0f} ms after UDP was blocked")
    assert lost < 5500, lost


def loss_and_delay():
    """100 ms and 5 % loss on A's cable, each way."""
    lab = Lab("easy", "easy", 100, 5)
    start = time.monotonic()
    lab.b.up(lab.server, "--hostname=b")
    lab.ip_a, lab.since = lab.a.cli("ip", "-4").strip(), time.monotonic()
    print(f"# up {(lab.since - start) * 1000:.0f} ms")
    first = until("first ping", lambda: lab.b.pings(lab.ip_a, "0.6"), 10)
    print(f"# first ping {first:.0f} ms after it")
    assert lab.goes_direct() < 3000 * SLACK
    out = lab.home["B"].run("ping", "-i", "0.05", "-c", "100", "-W", "1", "-q", lab.ip_a, check=False)
    answered = int(re.search(r"(\d+) received", out)[1])
    print(f"# {answered} of 100 pings answered")
    assert answered >= 75, out  # two chances of 5 % each to be lost: 90 expected, 75 is five deviations away
    assert lab.b.direct("a")


if __name__ == "__main__":
    main([both_easy, cone_and_hard, easy_and_hard, both_hard, udp_blocked_then_not, loss_and_delay])
