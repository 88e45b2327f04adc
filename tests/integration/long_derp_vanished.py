#!/usr/bin/env python3
"""long_derp_vanished.py: a relay's client whose cable is cut, so that no FIN comes: the relay has it until it writes to it, and drops it
15 seconds later (TCP_USER_TIMEOUT), which who sends disco to it hears. Takes twenty seconds, so it belongs to `make soak`.

    ns S: bridge 10.79.0.1/24, fairlead-derp      ns A: 10.79.0.2, the client      ns B: 10.79.0.3, who sends to it

Needs root; skipped otherwise. Prints TAP. BUILD= names the build folder.
"""
import os, socket, ssl, subprocess, sys, time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from lib.derp import GONE, SEND, Derp, frame

AFTER_S = (13, 25)  # DERP_CONN_USER_TIMEOUT_MS, and what the kernel's retransmissions add
HOST = "10.79.0.1"
DISCO = b"TS\xf0\x9f\x92\xac" + bytes(56)  # a sender of disco hears when nobody has the key any more


def client(secret):
    c = ssl.create_default_context()
    c.check_hostname, c.verify_mode = False, ssl.CERT_NONE
    s = c.wrap_socket(socket.create_connection((HOST, 8443), 10))
    s.settimeout(60)
    return Derp(s, bytes.fromhex(secret)).hello()


if len(sys.argv) > 2:
    d = client(sys.argv[2])
    print(d.public.hex(), flush=True)
    if sys.argv[1] == "wait":
        time.sleep(300)
    for i in range(40):  # sends, and tells when the other is gone
        d.s.sendall(frame(SEND, bytes.fromhex(sys.argv[3]) + DISCO))
        d.s.settimeout(1)
        try:
            kind, p = d.frame()
        except Exception:
            continue
        if kind == GONE and p[:32].hex() == sys.argv[3]:
            print("gone", flush=True)
            break
    sys.exit(0)

from netlab import *


def start(space, *args):
    return subprocess.Popen(["ip", "netns", "exec", space.name, sys.executable, os.path.abspath(__file__), *args],
                            stdout=subprocess.PIPE, text=True)


def a_client_whose_cable_is_cut():
    s, a, b = Space("S"), Space("A"), Space("B")
    s.bridge(HOST + "/24")
    a.plug(s, "10.79.0.2/24")
    b.plug(s, "10.79.0.3/24")
    Relay(s, HOST)
    waits = start(a, "wait", os.urandom(32).hex())
    sends = None
    try:
        key = waits.stdout.readline().strip()
        assert len(key) == 64, key
        a.ip("link", "set", "eth0", "down")
        sends = start(b, "send", os.urandom(32).hex(), key)
        assert len(sends.stdout.readline().strip()) == 64
        start_s = time.monotonic()
        assert sends.stdout.readline() == "gone\n", "nobody told"
        took = time.monotonic() - start_s
        print(f"# dropped after {took:.1f} s")
        assert AFTER_S[0] <= took <= AFTER_S[1], took
    finally:
        for p in (waits, sends):
            if p:
                p.kill()
                p.wait()


main([a_client_whose_cable_is_cut])
