#!/usr/bin/env python3
"""client_routes.py: subnet routes and exit nodes between fairlead-clients.

    A 10.79.0.2 --\\
    R 10.79.0.3 ----- S 10.79.0.1 (bridge; fairlead, relay, and "the internet" 198.51.100.9)
      10.80.0.1 \\
                 -- H 10.80.0.9 and 10.81.0.9, a host without a client

Needs root; prints TAP."""
import json, os, subprocess, sys, time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from netlab import *


def answer_http(space, address):
    """A web server that says who asked."""
    code = ("import http.server as h\n"
            "class H(h.BaseHTTPRequestHandler):\n"
            " def do_GET(s): s.send_response(200); s.end_headers(); s.wfile.write(s.client_address[0].encode())\n"
            " def log_message(s, *a): pass\n"
            f"h.HTTPServer(('{address}', 8000), H).serve_forever()")
    made.append(type("Web", (), {"p": subprocess.Popen(["ip", "netns", "exec", space.name, sys.executable, "-c", code]),
                                 "close": lambda self: (self.p.kill(), self.p.wait())})())
    until("the web server answers", lambda: space.run("curl", "-sm1", f"http://{address}:8000/", check=False), 10)


def asks(who, address, check=False):
    return who.space.run("curl", "-sm2", f"http://{address}:8000/", check=check)


def setup():
    global server, a, r, host
    s = Space("S")
    s.bridge("10.79.0.1/24", "198.51.100.9/32")
    spaces = [Space("A"), Space("R")]
    for i, x in enumerate(spaces):
        x.plug(s, f"10.79.0.{i + 2}/24", gateway="10.79.0.1")
    host = Space("H")
    spaces[1].join(host, "eth1", "eth0")
    spaces[1].addr("eth1", "10.80.0.1/24")
    host.addr("eth0", "10.80.0.9/24")  # and no route back to the tailnet: it needs to be asked by R's address
    spaces[1].run("sysctl", "-qw", "net.ipv4.ip_forward=1")
    server = Server(s, "10.79.0.1")
    a, r = (Client(x, resolv="nameserver 10.79.0.1\n") for x in spaces)
    host.ip("addr", "add", "10.81.0.9/32", "dev", "eth0")
    spaces[1].ip("route", "add", "10.81.0.9/32", "via", "10.80.0.9")
    answer_http(host, "10.80.0.9")
    answer_http(host, "10.81.0.9")
    answer_http(s, "198.51.100.9")


def offers_what_can_be_offered():
    a.up(server, "--hostname=a")
    out = r.cli("up", f"--login-server={server.url}", "--auth-key=x", "--advertise-routes=10.80.0.5/24", check=False)
    assert "AdvertiseRoutes" in out and "no network" in out, out
    r.up(server, "--hostname=r", "--advertise-routes=10.80.0.0/24", "--advertise-exit-node")
    assert "10.80.0.0/24" in server.run("nodes", "list", "--output", "json")


def routes_need_approval_and_acceptance():
    id = next(str(n["id"]) for n in json.loads(server.run("nodes", "list", "--output", "json")) if n["name"] == "r")
    until("ping", lambda: a.pings("100.64.0.2"), 5)
    out = a.cli("set", "--exit-node=r", check=False)
    assert "has not approved it" in out, out
    server.run("nodes", "approve-routes", "-i", id, "-r", "10.80.0.0/24,0.0.0.0/0,::/0")
    time.sleep(0.5)
    assert asks(a, "10.80.0.9") == "", "not accepted here"
    assert "10.80.0.0/24" not in a.space.ip("route", "show", "table", "5353")
    a.cli("set", "--accept-routes")
    until("the route stands", lambda: "10.80.0.0/24" in a.space.ip("route", "show", "table", "5353"), 5)
    assert asks(a, "10.80.0.9", check=True) == "10.80.0.1", "the host is asked by the router's address"
    a.cli("set", "--accept-routes=false")
    until("it is gone", lambda: "10.80.0.0/24" not in a.space.ip("route", "show", "table", "5353"), 5)


def an_exit_node():
    who = asks(a, "198.51.100.9", check=True)
    assert who == "10.79.0.2", who
    assert "offers exit node" in a.cli("status")
    a.cli("set", "--exit-node=r")
    until("by the exit node", lambda: asks(a, "198.51.100.9") == "10.79.0.3", 5)
    assert "exit node" in a.cli("status")
    s = a.status()
    assert s["ExitNodeStatus"]["ID"] == a.peer("r")["ID"] and a.peer("r")["ExitNode"], s
    assert asks(r, "10.81.0.9", check=True) == "10.80.0.1"
    assert asks(a, "10.81.0.9") == "", "private networks that are not offered are not for users of the exit node"
    # The tunnel itself does not go into the tunnel.
    assert a.direct("r").startswith("10.79.0.3:")
    assert "Not connected" not in a.cli("status")


def with_the_local_network():
    assert "fairlead0" in a.space.ip("route", "get", "10.79.0.1")
    a.cli("set", "--exit-node-allow-lan-access")
    assert "eth0" in a.space.ip("route", "get", "10.79.0.1")
    assert "fairlead0" in a.space.ip("route", "get", "198.51.100.9")
    a.cli("set", "--exit-node-allow-lan-access=false")
    assert "fairlead0" in a.space.ip("route", "get", "10.79.0.1")


def gone_means_nothing_leaves():
    r.cli("set", "--advertise-exit-node=false")
    until("it says so", lambda: "is not available" in a.cli("status", check=False), 5)
    assert asks(a, "198.51.100.9") == ""
    r.cli("set", "--advertise-exit-node")
    until("by the exit node again", lambda: asks(a, "198.51.100.9") == "10.79.0.3", 5)
    a.cli("set", "--exit-node=")
    until("as before", lambda: asks(a, "198.51.100.9") == "10.79.0.2", 5)
    assert "5160:" not in a.space.ip("rule") and "default" not in a.space.ip("route", "show", "table", "5353")


def leaves_nothing_behind():
    assert "fairlead_client" in r.space.run("nft", "list", "tables")
    r.cli("set", "--advertise-routes=", "--advertise-exit-node=false")
    until("masquerading ends", lambda: "fairlead_client" not in r.space.run("nft", "list", "tables"), 5)
    r.cli("set", "--advertise-routes=10.80.0.0/24")
    until("and begins", lambda: "fairlead_client" in r.space.run("nft", "list", "tables"), 5)
    r.cli("down")
    until("it is taken away", lambda: "fairlead_client" not in r.space.run("nft", "list", "tables"), 5)


if __name__ == "__main__":
    main([offers_what_can_be_offered, routes_need_approval_and_acceptance, an_exit_node, with_the_local_network,
          gone_means_nothing_leaves, leaves_nothing_behind], setup)
