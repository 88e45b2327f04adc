#!/usr/bin/env python3
"""client_beside.py: fairlead-client on a machine that has other programs' rules: tailscaled's and Docker's.

    ns S: bridge 10.78.0.1/24, fairlead (with relay)      ns A: 10.78.0.2      ns B: 10.78.0.3

What tailscaled puts into the kernel is put there by nft and ip (seen with tailscaled 1.103.0-pre beside our client; a real
one is tried by hand, see docs/client.md). Needs root; prints TAP."""
import difflib, os, signal, sys, time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from netlab import *

TAILSCALED = """
    table ip filter {
        chain INPUT { type filter hook input priority filter; policy accept; counter jump ts-input; }
        chain ts-input {
            iifname "lo*" ip saddr 100.64.0.77 counter accept
            iifname "tailscale0*" counter accept
            iifname != "tailscale0*" ip saddr 100.115.92.0/23 counter return
            iifname != "tailscale0*" ip saddr 100.64.0.0/10 counter drop
        }
    }"""
DOCKER = """
    table ip nat {
        chain PREROUTING { type nat hook prerouting priority dstnat; policy accept; fib daddr type local counter jump DOCKER; }
        chain OUTPUT { type nat hook output priority -100; policy accept; ip daddr != 127.0.0.0/8 fib daddr type local counter jump DOCKER; }
        chain POSTROUTING { type nat hook postrouting priority srcnat; policy accept; oifname != "docker0" ip saddr 172.17.0.0/16 counter masquerade; }
        chain DOCKER { iifname "docker0" counter return; }
    }
    table ip filter {
        chain FORWARD { type filter hook forward priority filter; policy drop; counter jump DOCKER-USER; oifname "docker0" ct state related,established counter accept; }
        chain DOCKER-USER { counter return; }
    }"""


def setup():
    global server, a, b
    s = Space("S")
    s.bridge("10.78.0.1/24")
    spaces = [Space("A"), Space("B")]
    for i, x in enumerate(spaces):
        x.plug(s, f"10.78.0.{i + 2}/24", gateway="10.78.0.1")
    server = Server(s, "10.78.0.1")
    a, b = (Client(x, resolv="nameserver 10.78.0.1\n") for x in spaces)


def state():
    """What is in the kernel of A's namespace, without counters and kernel-made link-local addresses."""
    rules = re.sub(r"counter packets \d+ bytes \d+", "counter", a.space.run("nft", "list", "ruleset"))
    routes = "".join(l + "\n" for l in a.space.ip("route", "show", "table", "all").splitlines() if "fe80" not in l)
    return "\n".join([rules, a.space.ip("rule"), a.space.ip("-6", "rule"), routes, open(f"{a.etc}/resolv.conf").read(),
                      " ".join(sorted(os.listdir(a.etc)))])


def is_as_before():
    assert state() == before, "\n".join(difflib.unified_diff(before.splitlines(), state().splitlines(), lineterm=""))


def works():
    until("ping to it", lambda: b.pings("100.64.0.1"), 5)
    assert a.pings("100.64.0.2", "2") and a.pings("100.64.0.1", "2"), "to the peer, to itself"
    assert "beta.tail.internal" in a.inside("getent", "hosts", "beta")


def beside_tailscaled_and_docker():
    global before
    a.space.nft(TAILSCALED)
    a.space.nft(DOCKER)
    a.space.ip("link", "add", "docker0", "type", "bridge")
    a.space.addr("docker0", "172.17.0.1/16")
    a.space.ip("tuntap", "add", "tailscale0", "mode", "tun")
    a.space.addr("tailscale0", "100.64.0.77/32")
    for f in ("-4", "-6"):
        a.space.ip(f, "rule", "add", "pref", "5210", "fwmark", "0x80000/0xff0000", "lookup", "main")
        a.space.ip(f, "rule", "add", "pref", "5270", "lookup", "52")
    a.space.ip("route", "add", "100.100.100.100/32", "dev", "tailscale0", "table", "52")
    time.sleep(0.5)  # the kernel's own addresses of the new devices
    before = state()
    a.up(server, "--hostname=alpha")
    b.up(server, "--hostname=beta")
    works()
    assert "100.100.100.101" in open(f"{a.etc}/resolv.conf").read(), "quad-100 is taken: another address"
    assert "tailscale0" in a.space.run("ip", "route", "get", "100.100.100.100")


def repairs_a_flushed_chain():
    """tailscaled empties its chain when it starts. Seen within 30 s."""
    a.space.run("nft", "flush", "chain", "ip", "filter", "ts-input")
    a.space.run("nft", "add", "rule", "ip", "filter", "ts-input", "ip", "saddr", "100.64.0.0/10", "counter", "drop")
    assert not b.pings("100.64.0.1", "1")
    took = until("it works again", lambda: b.pings("100.64.0.1"), 40)
    print(f"# repaired after {took / 1000:.0f} s")
    a.space.run("nft", "flush", "chain", "ip", "filter", "ts-input")
    for rule in TAILSCALED.split("chain ts-input {")[1].split("}")[0].strip().split("\n"):
        a.space.run("nft", "add", "rule", "ip", "filter", "ts-input", *rule.split())


def takes_everything_away():
    a.cli("down")
    until("all is taken away", lambda: state() == before or time.sleep(0.1), 5)
    is_as_before()
    a.cli("up")  # and put again by one that comes right behind
    a.cli("down")
    a.cli("up")
    works()
    a.cli("down")
    until("all is taken away", lambda: state() == before or time.sleep(0.1), 5)


def on_exit_too():
    a.cli("up")
    works()
    a.stop()
    is_as_before()
    a.start()
    works()


def and_after_a_kill():
    a.stop(signal.SIGKILL)
    assert state() != before  # what a killed one leaves
    a.start()
    works()
    a.cli("down")
    until("all is taken away", lambda: state() == before or time.sleep(0.1), 5)


def overruled():
    """Another program writes its own resolv.conf over ours: said in status, and left alone at the end."""
    a.cli("up")
    works()
    path = f"{a.etc}/resolv.conf"
    with open(path, "w") as f:
        f.write("# another program's\nnameserver 10.78.0.1\n")
    assert "wrote over /etc/resolv.conf" in a.cli("status", check=False)
    a.cli("down")
    assert open(path).read().startswith("# another program's")
    assert os.listdir(a.etc).count("resolv.conf.before-fairlead") == 0


if __name__ == "__main__":
    main([beside_tailscaled_and_docker, repairs_a_flushed_chain, takes_everything_away, on_exit_too, and_after_a_kill, overruled],
         setup)
