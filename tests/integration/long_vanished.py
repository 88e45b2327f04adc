#!/usr/bin/env python3
"""long_vanished.py: a node whose cable is cut, so that no FIN comes: it must be offline within 75 s, and online at once when it
is back. Takes more than a minute, so it belongs to `make soak`.

    ns S: bridge 10.78.0.1/24, fairlead      ns A: 10.78.0.2, a node      ns B: 10.78.0.3, a node that stays

Needs root; skipped otherwise. Prints TAP. BUILD= names the build folder.
"""
import json, os, socket, subprocess, sys, time, urllib.request

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))

OFFLINE_S = 75
ONLINE_S = 2


def be_a_node(secret, node):
    """In a namespace: registers when it has a key, opens a map stream and reads it until somebody ends us."""
    from lib.ts2021 import Control, Machine
    host, key, auth = "10.78.0.1", bytes.fromhex(sys.argv[4]), sys.argv[5]
    c = Control(socket.create_connection((host, 18080), 10), Machine(bytes.fromhex(secret), bytes.fromhex(node)), key)
    if auth != "-":
        a = c.register(auth)
        assert a["MachineAuthorized"], a
    n = c.poll()
    c.s.settimeout(None)
    while c.message(n):
        print("message", flush=True)


if len(sys.argv) > 1:
    be_a_node(sys.argv[2], sys.argv[3])
    sys.exit(0)

from netlab import *

server = spaces = None
nodes = {}


def setup():
    global server, spaces
    s = Space("S")
    s.bridge("10.78.0.1/24")
    spaces = [Space("A"), Space("B")]
    for i, x in enumerate(spaces):
        x.plug(s, f"10.78.0.{i + 2}/24", gateway="10.78.0.1")
    server = Server(s, "10.78.0.1")


class Node:
    def __init__(self, space):
        from lib.ts2021 import x25519_public
        self.space, self.secret, self.node = space, os.urandom(32), x25519_public(os.urandom(32))
        made.append(self)
        self.p = None

    def start(self, auth="-"):
        key = json.loads(server.space.run("curl", "-s", server.url + "/key?v=142"))["publicKey"][5:]
        self.p = subprocess.Popen(["ip", "netns", "exec", self.space.name, sys.executable, os.path.abspath(__file__), "node",
                                   self.secret.hex(), self.node.hex(), key, auth], stdout=subprocess.PIPE)
        assert self.p.stdout.readline() == b"message\n"

    def online(self):
        (me,) = [n for n in json.loads(server.run("nodes", "list", "-o", "json")) if n["nodeKey"] == "nodekey:" + self.node.hex()]
        return me["online"]

    def close(self):
        if self.p:
            self.p.kill()
            self.p.wait()
            self.p = None


def a_cut_cable_is_noticed():
    a, b = Node(spaces[0]), Node(spaces[1])
    a.start(server.key)
    b.start(server.key)
    until("both are online", lambda: a.online() and b.online(), 5)
    spaces[0].ip("link", "set", "eth0", "down")
    took = until("the node without a cable is offline", lambda: not a.online() or time.sleep(0.2), OFFLINE_S) / 1000
    assert b.online()
    print(f"# offline after {took:.1f} s")
    a.close()
    spaces[0].ip("link", "set", "eth0", "up")
    spaces[0].ip("route", "replace", "default", "via", "10.78.0.1", check=False)
    a.start()
    print(f"# online again after {until('it is back', a.online, ONLINE_S):.0f} ms")


main([a_cut_cable_is_noticed], setup)
