"""Subnet routers and exit nodes between official daemons: approval, policy, and routers that stand in for each other."""
import json, subprocess, time

from accept import case
from lab import Fail, SRV_IP, World, check, hold, join, settle_in, sh, until

ALL = {"acls": [{"action": "accept", "src": ["*"], "dst": ["*:*"]}]}


def subnet(w, name, cidr, ip, *routers):
    """A host behind routers: a LAN that only they are on. ip is the host's, .1 the first router's, .2 the second's."""
    w.mkns(name)
    net = ip.rsplit(".", 1)[0]
    bridge = name + "-sw"
    w.mkns(bridge)
    sh("ip", "-n", w.ns(bridge), "link", "add", "sw", "type", "bridge")
    sh("ip", "-n", w.ns(bridge), "link", "set", "sw", "up")
    for i, (h, addr) in enumerate([(name, ip)] + [(r, f"{net}.{k + 1}") for k, r in enumerate(routers)]):
        sh("ip", "link", "add", "lan" + name, "netns", w.ns(h), "type", "veth", "peer", "name", f"q{i}", "netns", w.ns(bridge))
        sh("ip", "-n", w.ns(bridge), "link", "set", f"q{i}", "master", "sw", "up")
        sh("ip", "-n", w.ns(h), "addr", "add", addr + "/24", "dev", "lan" + name)
        sh("ip", "-n", w.ns(h), "link", "set", "lan" + name, "up")
        if h != name:
            w.sysctl(h, "net.ipv4.ip_forward=1")
    w.serve(name, 80)


def connects(c, ip, timeout=2.0):
    return c.tcp(ip, 80, timeout) is not None


def world(**env):
    w = World("routes", **env)
    w.server.policy(ALL)
    return w


def routed(w, *routers):
    u = w.server.user("alice")
    cs = join(w, u, "c", *routers, wait=False)
    subnet(w, "box", "10.77.0.0/24", "10.77.0.9", *routers)
    for r in cs[1:]:
        r.cli("set", "--advertise-routes=10.77.0.0/24")
    cs[0].cli("set", "--accept-routes")
    settle_in(cs)
    return cs


def announced(w, c):
    return until(lambda: (w.server.node(c) or {}).get("availableRoutes"), 10, f"{c.h} announces")[0]


@case(breaks=["approve"])
def approval():
    """a subnet is reached only while its route is approved; the API tells announced, approved and served routes apart"""
    with world() as w:
        c, r = routed(w, "r")
        announced(w, r)
        check(not connects(c, "10.77.0.9"), "reached before approval")
        w.server.approve(w.server.node(r), ["10.77.0.0/24"])
        _, dt = until(lambda: connects(c, "10.77.0.9"), 15, "TCP through the router")
        row = w.server.node(r)
        check(row["subnetRoutes"] == ["10.77.0.0/24"] and row["approvedRoutes"] == ["10.77.0.0/24"], f"API: {row}")
        w.server.approve(row, [])
        until(lambda: not connects(c, "10.77.0.9"), 10, "cut off after approval was taken back")
        return f"through the router {dt:.2f} s after approval, cut off without it"


@case(breaks=["policy"])
def auto_and_policy():
    """autoApprovers approve what they cover and nothing else; who may not use a route is not shown it"""
    with world() as w:
        w.server.policy({"acls": [{"action": "accept", "src": ["alice@"], "dst": ["10.77.0.0/24:*", "autogroup:member:*"]},
                                  {"action": "accept", "src": ["bob@"], "dst": ["autogroup:member:*"]}],
                         "autoApprovers": {"routes": {"10.77.0.0/16": ["alice@"]}}})
        c, r = routed(w, "r")
        b, = join(w, w.server.user("bob"), "b", args=("--accept-routes",))
        _, dt = until(lambda: connects(c, "10.77.0.9"), 15, "TCP through the router")
        check("10.77.0.0/24" in (c.peer(r).get("PrimaryRoutes") or []), f"alice is not shown the route: {c.peer(r)}")
        check("10.77.0.0/24" not in (b.peer(r).get("AllowedIPs") or []), f"bob is shown the route: {b.peer(r)}")
        r.cli("set", "--advertise-routes=10.77.0.0/24,192.168.7.0/24")
        until(lambda: len(w.server.node(r)["availableRoutes"]) == 2, 10, "the second route is announced")
        check(w.server.node(r)["approvedRoutes"] == ["10.77.0.0/24"], f"approved: {w.server.node(r)['approvedRoutes']}")
        return f"through the router {dt:.2f} s after it was announced; another user is not shown the route"


@case(breaks=["approve"])
def exit_node():
    """an exit node carries everything once both default routes are approved, of which one was named"""
    with world() as w:
        u = w.server.user("alice")
        c, x = join(w, u, "c", "x", wait=False)
        x.cli("set", "--advertise-exit-node")
        settle_in([c, x])
        w.mkns("net")
        w.link("x", "out", "198.51.100.1", "net", "eth0", "198.51.100.9")
        sh("ip", "-n", w.ns("net"), "route", "add", "default", "via", "198.51.100.1")
        # behind another hop: an exit node does not let others into the networks that it is on itself
        sh("ip", "-n", w.ns("net"), "addr", "add", "192.0.2.9/32", "dev", "lo")
        sh("ip", "-n", w.ns("x"), "route", "add", "192.0.2.9", "via", "198.51.100.9")
        w.sysctl("x", "net.ipv4.ip_forward=1")
        w.serve("net", 80)
        check(sorted(announced(w, x)) == ["0.0.0.0/0", "::/0"], "both default routes are announced")
        w.server.approve(w.server.node(x), ["0.0.0.0/0"])
        check(sorted(w.server.node(x)["approvedRoutes"]) == ["0.0.0.0/0", "::/0"], "one exit route means both")
        until(lambda: c.peer(x).get("ExitNodeOption"), 10, "the exit node is offered")
        check(not connects(c, "192.0.2.9"), "reached without the exit node")
        c.cli("set", "--exit-node=x")
        _, dt = until(lambda: connects(c, "192.0.2.9"), 15, "TCP through the exit node")
        w.server.approve(w.server.node(x), [])
        until(lambda: not c.peer(x).get("ExitNodeOption"), 10, "the exit node is no longer offered")
        return f"through the exit node {dt:.2f} s after it was chosen"


def primary(w, *routers):
    return [r.h for r in routers if w.server.node(r)["subnetRoutes"]]


def pair_of_routers(w):
    c, a, b = routed(w, "a", "b")
    for r in (a, b):
        announced(w, r)
        w.server.approve(w.server.node(r), ["10.77.0.0/24"])
    until(lambda: connects(c, "10.77.0.9"), 15, "TCP through a router")
    check(primary(w, a, b) == ["a"], f"primary: {primary(w, a, b)}")
    return c, a, b


@case(breaks=["approve"])
def ha_stop():
    """the primary router is stopped: the other takes over, and keeps the route when the first returns"""
    with world() as w:
        c, a, b = pair_of_routers(w)
        a.stop()
        t0 = time.monotonic()
        until(lambda: primary(w, b) == ["b"], 10, "the other is primary", 0.02)
        dt = time.monotonic() - t0
        until(lambda: connects(c, "10.77.0.9", 1), 15, "TCP through the other", 0.05)
        conn = time.monotonic() - t0
        a.start()
        a.wait_state("Running", 30)
        hold(lambda: primary(w, a, b) == ["b"] and connects(c, "10.77.0.9"), 8, "the route stays")
        check(dt < 1.5, f"handed over after {dt:.2f} s")
        return f"handed over {dt:.2f} s after the stop, TCP again after {conn:.2f} s; no way back without need"


@case(breaks=["approve"])
def ha_cut():
    """the primary router's network vanishes without a word: found by asking, in under 5 s"""
    with world(A_HA_PROBE="2s", A_HA_TIMEOUT="1500ms") as w:
        c, a, b = pair_of_routers(w)
        hold(lambda: primary(w, a, b) == ["a"], 6, "both answer, nothing moves")
        w.cut("a")
        t0 = time.monotonic()
        until(lambda: primary(w, a, b) == ["b"], 10, "the other is primary", 0.02)
        dt = time.monotonic() - t0
        until(lambda: connects(c, "10.77.0.9", 1), 15, "TCP through the other", 0.05)
        conn = time.monotonic() - t0
        w.cut("a", False)
        hold(lambda: primary(w, a, b) == ["b"], 10, "the route stays")
        check(dt < 5, f"handed over after {dt:.2f} s")
        return f"handed over {dt:.2f} s after the cut, TCP again after {conn:.2f} s"


@case(breaks=["approve", "expire"])
def expired():
    """an expired router carries nothing; the other takes over"""
    with world() as w:
        c, a, b = pair_of_routers(w)
        w.server.expire(w.server.node(a))
        until(lambda: primary(w, a, b) == ["b"], 5, "the other is primary")
        until(lambda: connects(c, "10.77.0.9", 1), 15, "TCP through the other")
        w.server.expire(w.server.node(b))
        until(lambda: not connects(c, "10.77.0.9", 1), 10, "cut off when the second expired")
        return "the second took over, then nobody"


@case(breaks=["approve"])
def via_4via6():
    """a 4via6 route is a route like others"""
    with world() as w:
        c, r = routed(w, "r")
        route = r.cli("debug", "via", "7", "10.77.0.0/24").stdout.strip().split()[-1]
        r.cli("set", "--advertise-routes=" + route)
        until(lambda: (w.server.node(r) or {}).get("availableRoutes") == [route], 10, "the 4via6 route is announced")
        w.server.approve(w.server.node(r), [route])
        until(lambda: route in (c.peer(r).get("PrimaryRoutes") or []), 10, "the route is shown")
        via = r.cli("debug", "via", "7", "10.77.0.9/32").stdout.strip().split()[-1].split("/")[0]
        _, dt = until(lambda: connects(c, via), 15, "TCP to the 4via6 address")
        return f"{via} answers"
