#!/usr/bin/env python3
"""derp_bad_input.py: what strangers and broken clients send to the relay inside a running server, which must serve the others
all the while: frames of wrong lengths and kinds, garbage, handshakes that stop half-way, floods that nobody reads.

Each test ends with the server being well and relaying; at the end it stops in order, under ASan without a leak. Prints TAP.
BUILD= names the build folder (default build/asan); arguments pick tests by name.
"""
import os, random, socket, struct, sys, threading, time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from lib.derp import (CLIENT_INFO, CLOSE_PEER, FORWARD, GONE, PING, PREFERRED, RECV, SEND, UPGRADE, WATCH, Derp, box, frame)
from lib.kit import Server, everything, run, wait_for
from lib.ts2021 import Closed, Control, Machine, x25519_public

HANDSHAKE_S = 10  # CONN_HANDSHAKE_MS, SESSION_HANDSHAKE_MS
FRAME_MAX = 1 << 20
PACKET_MAX = 65536
PER_KEY = 32  # DIRECTORY_CONNS_PER_KEY
# ASan holds freed memory back, 256 MiB by default: what a flood leaves could not be told.
os.environ["ASAN_OPTIONS"] = os.environ.get("ASAN_OPTIONS", "") + ":quarantine_size_mb=8"
LENGTHS = (FRAME_MAX + 1, (1 << 31) - 1, 1 << 31, (1 << 32) - 1)
members = {}  # of the server: two nodes' secrets


def member(s, name):
    """The secret of a node's key that the relay admits."""
    if name not in members:
        secret = os.urandom(32)
        c = Control(s.connect(), Machine(node=x25519_public(secret)), s.key())
        assert c.register(s.auth_key())["MachineAuthorized"]
        c.close()
        members[name] = secret
    return members[name]


def derp(s, name=None):
    """Admitted, or with a key that nobody knows (name None): then only up to the server's key."""
    d = Derp(s.connect(tls=True), member(s, name) if name else None)
    return d.hello() if name else d


def closes(d, within=5):
    """The other side ends it, and says nothing more that makes sense."""
    d.s.settimeout(within)
    t0 = time.time()
    everything(d.s)
    d.s.close()
    assert time.time() - t0 < within, "it was not closed"


def relays(s):
    """The server is well, and a packet still goes from one node to another."""
    s.is_well()
    a, b = derp(s, "a"), derp(s, "b")
    text = os.urandom(40)
    a.s.sendall(frame(SEND, b.public + text))
    kind, p = b.frame()
    assert (kind, p) == (RECV, a.public + text), (kind, p)
    a.close(), b.close()


# ---- before a client is known ----------------------------------------------------------------------------------------

slow = []  # threads that wait until the server ends a connection, from the start on: each takes ten seconds
took = {}  # what of it, and after how many seconds it ended


def ends_by_itself(name, c):
    def wait():
        t0 = time.time()
        c.settimeout(HANDSHAKE_S + 10)
        everything(c)
        took[name] = time.time() - t0
        c.close()
    slow.append(threading.Thread(target=wait, daemon=True))
    slow[-1].start()


def start_slow_ones(s):
    """No TLS hello, half of one, no request, half of one, no ClientInfo, half of it; and WebSocket frames that are none."""
    hello = bytes.fromhex("16030100f8010000f40303") + os.urandom(20)
    for n in (0, 1, len(hello)):
        c = socket.create_connection(("127.0.0.1", s.derp_port), 10)
        c.sendall(hello[:n])
        ends_by_itself(f"TLS {n}", c)
    for first in (b"", b"GET /de", UPGRADE[:-2], UPGRADE):
        c = s.connect(tls=True)
        c.sendall(first)
        ends_by_itself(f"request {len(first)}", c)
    for n in (1, 5, 40, 100):
        d = derp(s)
        d.s.sendall(frame(CLIENT_INFO, d.client_info())[:n])
        ends_by_itself(f"ClientInfo {n}", d.s)
    ask = (b"GET /derp HTTP/1.1\r\nHost: t\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
           b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Protocol: derp\r\n\r\n")
    mask = bytes(4)
    for i, what in enumerate((b"\x82\x05hello", b"\x81\x85" + mask + b"hello", b"\x82\xff\x7f" + b"\xff" * 7 + mask,
                              b"\x82\xff\xff" + b"\xff" * 7 + mask, b"\xf2\x85" + mask + b"hello", b"\x8f\x80" + mask,
                              b"\x89\xfe\x10\0" + mask + bytes(4096), b"\x80\x85" + mask + b"hello", b"\x82\x85" + mask + b"\xff" * 5,
                              b"\x88\x81" + mask + b"x", os.urandom(4000))):
        c = s.connect(tls=True)
        c.sendall(ask)
        got = b""
        while b"\r\n\r\n" not in got:
            got += c.recv(4096)
        assert got.startswith(b"HTTP/1.1 101"), got[:100]
        try:
            c.sendall(what)
        except OSError:
            pass
        ends_by_itself(f"WebSocket {i}", c)


def slow_ones_were_ended(s):
    for t in slow:
        t.join(HANDSHAKE_S + 10)
        assert not t.is_alive(), "a connection is still there"
    for name, seconds in took.items():
        assert (0 if name.startswith("WebSocket") else HANDSHAKE_S - 2) <= seconds < HANDSHAKE_S + 6, (name, seconds)
    assert len(took) == len(slow) == 22, took
    relays(s)


def garbage_instead_of_a_hello(s):
    r = random.Random(2)
    for what in [b"\0" * 5, b"\xff" * 5, b"GET / HTTP/1.1\r\n\r\n", UPGRADE, *(r.randbytes(r.choice((5, 64, 3000))) for _ in range(30))]:
        d = derp(s)
        d.s.sendall(what if what[0] != CLIENT_INFO else b"\0" + what[1:])
        closes(d)
    relays(s)


def wrong_hellos(s):
    def first(what):
        d = derp(s)
        try:
            d.s.sendall(what(d))
        except OSError:  # ended while it still wrote
            pass
        closes(d)

    for n in (0, 1, 55, 256 * 1024 + 1, *LENGTHS):
        first(lambda d: frame(CLIENT_INFO, b"", n))
        first(lambda d: frame(CLIENT_INFO, b"x" * min(n, 200000), n))
    for kind in (0, SEND, PREFERRED, PING, FORWARD, WATCH, CLOSE_PEER, 0x77):  # something else first
        first(lambda d: frame(kind, os.urandom(64)))
    for key in (bytes(32), b"\1" + bytes(31), b"\xff" * 32):  # points of small order, no point
        first(lambda d: frame(CLIENT_INFO, key + box(b"{}", d.server, d.secret)))
    first(lambda d: frame(CLIENT_INFO, d.public + os.urandom(100)))                      # does not open
    first(lambda d: frame(CLIENT_INFO, os.urandom(32) + box(b"{}", d.server, d.secret)))  # another's key
    for text in (b"", b"{", b"[]", b"null", b'{"version":"2"}', b'{"version":2,"meshKey":7}', b'{"meshKey":"zz"}', b"\xff\xfe",
                 b'{"x":' + b"[" * 5000 + b"]" * 5000 + b"}", b"{" + b" " * 20000 + b"}", b'{"version":1e99}', b"\0"):
        first(lambda d: frame(CLIENT_INFO, d.client_info(text)))
    for _ in range(3):  # a right one, of nobody
        first(lambda d: frame(CLIENT_INFO, d.client_info()))
    relays(s)


# ---- admitted nodes that misbehave -----------------------------------------------------------------------------------

def frames_out_of_bounds(s):
    def ends(what):
        d = derp(s, "a")
        try:
            d.s.sendall(what)
        except OSError:  # ended while it still wrote
            pass
        closes(d)

    for n in LENGTHS:
        for kind in (0, SEND, PREFERRED, PING, 0x77, 0xff):
            ends(frame(kind, b"", n))
    ends(frame(0x77, bytes(300000), (1 << 32) - 1))
    for n in (0, 1, 31, 32 + PACKET_MAX + 1):  # no room for a key; too long
        ends(frame(SEND, bytes(n)))
    for n in (0, 7, 1001):
        ends(frame(PING, bytes(n)))
    for n in (0, 2):
        ends(frame(PREFERRED, bytes(n)))
    for kind in (FORWARD, WATCH, CLOSE_PEER):  # for mesh peers only
        ends(frame(kind, bytes(64)))
    relays(s)


def odd_frames_are_skipped(s):
    d = derp(s, "a")
    for kind in (0, 0x01, 0x03, RECV, 0x06, GONE, 0x09, 0x13, 0x14, 0x15, 0x77, 0xff):
        for n in (0, 1, 5000):
            d.s.sendall(frame(kind, os.urandom(n)))
    d.s.sendall(frame(0x77, bytes(FRAME_MAX)))  # the longest
    assert d.answers() == []
    for b in frame(PING, b"12345678") + frame(0x77, b"abc") + frame(PREFERRED, b"\1"):  # cut everywhere
        d.s.sendall(bytes([b]))
    assert d.frame() == (0x13, b"12345678")
    assert d.answers() == []
    d.s.sendall(frame(SEND, d.public + b"to myself") + frame(SEND, d.public))  # nothing in it
    assert {p for p in d.answers()} <= {(RECV, d.public + b"to myself"), (RECV, d.public)}
    d.s.sendall(frame(SEND, os.urandom(32) + b"x") + frame(SEND, bytes(32) + b"x"))
    assert [k for k, _ in d.answers()].count(GONE) <= 2
    d.close()
    relays(s)


def random_frames(s):
    r = random.Random(3)
    for _ in range(40):
        d = derp(s, "a")
        try:
            for _ in range(50):
                what = frame(r.randrange(256), r.randbytes(r.choice((0, 1, 8, 32, 33, 500))))
                if r.random() < 0.1:
                    what = bytearray(what)
                    what[r.randrange(len(what))] ^= 1 << r.randrange(8)
                d.s.sendall(what)
        except OSError:
            pass
        d.close()
    relays(s)


def floods_that_nobody_reads(s):
    """Packets for one who does not read, notices and pongs for oneself: the server keeps little, and goes on."""
    a, b = derp(s, "a"), derp(s, "b")
    before, packet = s.rss_kib(), frame(SEND, b.public + os.urandom(32000))
    a.s.settimeout(30)
    try:
        for _ in range(3000):  # 96 MB
            a.s.sendall(packet)
    except OSError:
        assert False, "the sender was held up by one who does not read"
    a.answers()
    assert s.rss_kib() - before < 48 * 1024, f"{s.rss_kib() - before} KiB more"
    for kind in (lambda: frame(SEND, os.urandom(32) + b"x") * 200, lambda: frame(PING, os.urandom(8)) * 500):
        d = derp(s, "b")
        stop = time.time() + 2
        d.s.settimeout(3)
        try:
            while time.time() < stop:
                d.s.sendall(kind())
        except OSError:  # held up, or ended as one who takes nothing
            pass
        d.close()
    assert s.rss_kib() - before < 48 * 1024, f"{s.rss_kib() - before} KiB more"
    a.close(), b.close()
    relays(s)


def many_connections_of_one_key(s):
    ds = [derp(s, "a") for _ in range(PER_KEY)]
    for _ in range(3):
        try:
            derp(s, "a")
            assert False, "one more was taken"
        except Closed:
            pass
    sender = derp(s, "b")
    for i in range(200):
        sender.s.sendall(frame(SEND, ds[0].public + bytes([i])))
    sender.answers()
    for d in ds:
        d.close()
    sender.close()
    relays(s)


def keys_that_are_deleted(s):
    """A deleted node's relay connection ends, and its key is a stranger's again."""
    d = derp(s, "gone")
    node = [n for n in s.ask("GET", "/api/v1/node")[1]["nodes"] if n["nodeKey"] == "nodekey:" + d.public.hex()]
    assert s.ask("DELETE", "/api/v1/node/" + node[0]["id"])[0] == 200
    closes(d)
    d = Derp(s.connect(tls=True), members["gone"])
    d.s.sendall(frame(CLIENT_INFO, d.client_info()))
    closes(d)
    relays(s)


def serve(folder):
    s = Server(folder).start()
    start_slow_ones(s)
    return s


run([garbage_instead_of_a_hello, wrong_hellos, frames_out_of_bounds, odd_frames_are_skipped, random_frames, floods_that_nobody_reads,
     many_connections_of_one_key, keys_that_are_deleted, slow_ones_were_ended], shared=serve)
