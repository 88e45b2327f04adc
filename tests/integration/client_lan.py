#!/usr/bin/env python3
"""client_lan.py: two fairlead-clients and a fairlead on one LAN, in network namespaces of their own.

    ns S: bridge 10.77.0.1/24, fairlead (with relay)      ns A: 10.77.0.2      ns B: 10.77.0.3

Needs root; skipped otherwise. Runs alone, or from tests/integration/run.py; prints TAP. BUILD= names the build folder.
"""
import os, signal, sys, time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from netlab import *

BEFORE = "nameserver 10.77.0.1\n"  # the clients' resolv.conf


# Answers 192.0.2.7 by UDP as truncated, and by TCP as it is.
DNS = '''
import socket, struct, threading
def answer(q, tc):
    head = q[:2] + struct.pack(">HHHHH", 0x8180 | (0x200 if tc else 0), 1, 0 if tc else 1, 0, 0)
    end = q.index(b"\\0", 12) + 5
    return head + q[12:end] + (b"" if tc else b"\\xc0\\x0c" + struct.pack(">HHIH", 1, 1, 60, 4) + bytes([192, 0, 2, 7]))
def udp():
    while True:
        q, who = u.recvfrom(4096)
        u.sendto(answer(q, True), who)
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
u.bind(("10.77.0.1", 53))
t = socket.create_server(("10.77.0.1", 53))
threading.Thread(target=udp, daemon=True).start()
while True:
    c, _ = t.accept()
    n, = struct.unpack(">H", c.recv(2, socket.MSG_WAITALL))
    a = answer(c.recv(n, socket.MSG_WAITALL), False)
    c.sendall(struct.pack(">H", len(a)) + a)
    c.close()
'''


class Resolver(Program):
    def __init__(self, space):
        super().__init__(space, "resolver")
        self.spawn(sys.executable, "-c", DNS)

    def close(self):
        self.stop(signal.SIGKILL)


def setup():
    global server, a, b
    s = Space("S")
    s.bridge("10.77.0.1/24")
    spaces = [Space("A"), Space("B")]
    for i, x in enumerate(spaces):
        x.plug(s, f"10.77.0.{i + 2}/24", gateway="10.77.0.1")
    server = Server(s, "10.77.0.1", tables='[dns.nameservers]\nsplit = { "corp.example" = ["10.77.0.1"] }\n')
    Resolver(s)
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
    assert "beta.tail.internal\n" in a.cli("whois", "100.64.0.2")
    assert json.loads(a.cli("netcheck", "--json"))["UDP"]
    assert json.loads(a.cli("debug", "netmap"))["Node"]["Name"] == "alpha.tail.internal."


def resolves_names():
    until("resolv.conf names us", lambda: "100.100.100.100" in open(f"{a.etc}/resolv.conf").read(), 5)
    assert "beta.tail.internal" in a.inside("getent", "hosts", "beta")
    assert "192.0.2.7" in a.inside("getent", "ahostsv4", "db.corp.example"), "truncated by UDP, so asked again by TCP"
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


def expires():
    id = next(str(n["id"]) for n in json.loads(server.run("nodes", "list", "--output", "json")) if n["name"] == "alpha")
    server.run("nodes", "expire", "-i", id)
    until("it says so", lambda: "key has expired. Run: fairlead-client up" in a.cli("status", check=False), 5)
    until("b hears of it, too", lambda: not b.pings("100.64.0.1", "1"), 5)
    a.cli("up", f"--auth-key={server.key}", "--timeout=20s")
    assert a.cli("ip", "-4").strip() == "100.64.0.1", "the same address"
    until("ping", lambda: b.pings("100.64.0.1"), 5)
    a.cli("up", "--force-reauth", f"--auth-key={server.key}", "--timeout=20s")
    assert a.cli("ip", "-4").strip() == "100.64.0.1"
    until("ping with a new key", lambda: b.pings("100.64.0.1"), 5)


def says_it_as_the_official_client():
    """The names that programs read, as tailscale 1.103.0-pre has them."""
    s = a.status()
    assert set(s) >= set("Version TUN BackendState HaveNodeKey AuthURL TailscaleIPs Self Health MagicDNSSuffix CurrentTailnet CertDomains "
                         "Peer User ClientVersion".split())
    for n in (s["Self"], next(iter(s["Peer"].values()))):
        assert set(n) >= set("ID NodeID PublicKey HostName DNSName OS UserID TailscaleIPs AllowedIPs Addrs CurAddr Relay PeerRelay RxBytes "
                             "TxBytes Created LastWrite LastSeen LastHandshake Online ExitNode ExitNodeOption Active PeerAPIURL "
                             "TaildropTarget NoFileSharingReason InNetworkMap InMagicSock InEngine".split()), n
    assert set(json.loads(a.cli("netcheck", "--json"))) >= set("UDP IPv4 IPv6 MappingVariesByDestIP PreferredDERP RegionLatency "
                                                              "RegionV4Latency RegionV6Latency GlobalV4 GlobalV6".split())
    assert not a.status()["Peer"] or "Peer" in json.loads(a.cli("status", "--json", "--peers=false"))
    assert "beta" not in a.cli("status", "--peers=false") and "beta" in a.cli("status", "--active")
    assert "--exit-node" in a.cli("up", "--help") and "usage" in a.cli("ping", "--help")
    assert "there is no" in a.cli("bogus", check=False) and "no such peer" in a.cli("ping", "nobody", check=False)
    a.cli("wait")


def logs_out():
    a.cli("logout")
    assert "Logged out" in a.cli("status", check=False)
    assert "fairlead0" not in a.space.ip("link")
    a.cli("up", f"--auth-key={server.key}")
    until("ping", lambda: a.pings("100.64.0.2"), 10)


if __name__ == "__main__":
    main([logs_in_and_pings, shows_who_is_there, resolves_names, remembers_flags, flows_without_the_server, survives_a_kill,
          goes_down_and_up, expires, says_it_as_the_official_client, logs_out], setup)
