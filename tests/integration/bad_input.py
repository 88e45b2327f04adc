#!/usr/bin/env python3
"""bad_input.py: what strangers and broken clients send, against one server that must serve the others all the while.

Each test ends with the server being well; at the end it stops in order, under ASan without a leak. Prints TAP.
BUILD= names the build folder (default build/asan); arguments pick tests by name.
"""
import json, os, random, re, signal, socket, struct, sys, tempfile, threading, time, zlib

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from lib.kit import Server, everything, run, wait_for
from lib.ts2021 import (CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS, PING, PRIORITY, RST, SETTINGS, WINDOW, Closed,
                        Control, Initiation, Machine, frame, hpack, upgrade, x25519_public)

HANDSHAKE_S = 10  # CONN_HANDSHAKE_MS
BODY_S = 60       # CONN_BODY_MS
HANDSHAKES_PER_ADDRESS = 128
UNREGISTERED_PER_ADDRESS = 64
BODY_MAX = 1280 * 1024


def raw(s, request, tls=False, timeout=5):
    """All that comes back on a connection of its own."""
    c = s.connect(tls=tls, timeout=timeout)
    c.sendall(request)
    try:
        return everything(c)
    finally:
        c.close()


def status_of(answer):
    m = re.match(rb"HTTP/1\.1 (\d+)", answer)
    return int(m[1]) if m else None


def joined(s, source=None, tls=False, **register):
    """A registered node's session."""
    c = Control(s.connect(source, tls), Machine(), s.key())
    a = c.register(s.auth_key(), **register)
    assert a["status"] == 200 and not a["Error"] and a["MachineAuthorized"], a
    return c


def ends(c, within=10):
    """Why the session ended."""
    c.s.settimeout(within)
    try:
        while True:
            c.step()
    except Closed as e:
        return str(e)


# ---- connections -----------------------------------------------------------------------------------------------------

def slow_ones_end_and_others_are_served(s):
    a = "127.0.0.9"
    hello = bytes.fromhex("16030100f8010000f40303") + os.urandom(20)  # a ClientHello that never ends
    t0 = time.time()
    slow = [s.connect(a) for _ in range(4)]
    slow[1].sendall(b"GET /key?v=142 HTT")
    slow[2].sendall(b"POST /ts2021 HTTP/1.1\r\nHost: t\r\n")
    for i in range(3):
        c = socket.create_connection(("127.0.0.1", s.derp_port), 10, (a, 0))
        c.sendall(hello[:i * 10])
        slow.append(c)
    dribble = slow[3]
    more = []
    for _ in range(HANDSHAKES_PER_ADDRESS + 40 - len(slow)):
        more.append(socket.create_connection(("127.0.0.1", s.derp_port), 10, (a, 0)))
    s.is_well()  # from another address
    assert time.time() - t0 < 5
    shed = 0
    for c in more:
        c.setblocking(False)
        try:
            shed += c.recv(1) == b""
        except ConnectionResetError:
            shed += 1
        except BlockingIOError:
            pass
    assert 30 <= shed <= 60, f"{shed} of {len(more)} were shed"
    for c in slow:
        c.settimeout(HANDSHAKE_S + 3)
    dribble.settimeout(0.3)
    while time.time() - t0 < HANDSHAKE_S + 3:
        try:
            dribble.sendall(b"x")
            if dribble.recv(1000) == b"":
                break
        except TimeoutError:
            continue
        except OSError:
            break
    took = time.time() - t0
    assert HANDSHAKE_S - 1 < took < HANDSHAKE_S + 2, f"a slow head ended after {took:.1f} s"
    for c in slow:
        if c is not dribble:
            everything(c)
            c.close()
    assert time.time() - t0 < HANDSHAKE_S + 2.5
    for c in more:
        c.close()
    assert wait_for(lambda: s.http(source=a)[0] == 200)


def big_heads_are_refused(s):
    for head in (b"GET /key?v=142&x=" + b"a" * 70000 + b" HTTP/1.1\r\nHost: t\r\n\r\n",
                 b"GET /key?v=142 HTTP/1.1\r\nHost: t\r\nX: " + b"a" * 70000 + b"\r\n\r\n",
                 b"GET /key?v=142 HTTP/1.1\r\nHost: t\r\n" + b"X: y\r\n" * 65 + b"\r\n",
                 b"GET /key?v=142 HTTP/1.1\r\nHost: t\r\n" + b"X: y\r\n" * 20000):
        for tls in False, True:
            assert status_of(raw(s, head, tls)) in (431, 414), (head[:40], tls)
    s.is_well()


def refusals_arrive_while_more_is_sent(s):
    """A socket closed on unread input is reset, and the reset may overtake the answer: so the rest is read, for a while."""
    for tls in False, True:
        for head, status in ((b"GET /" + b"a" * 70000, 431), (b"GET / HTTP/1.1\r\nHost : t\r\n\r\n", 400),
                             (b"POST /api/v1/user HTTP/1.1\r\nHost: t\r\nContent-Length: 5000000\r\n\r\n", 413),
                             (b"POST /nothing HTTP/1.1\r\nHost: t\r\nContent-Length: 5000000\r\n\r\n", 404)):
            c = s.connect(tls=tls)
            c.sendall(head)
            for _ in range(8):  # a writer that does not look up before it is done
                c.sendall(b"b" * 100000)
                time.sleep(0.01)
            a = b""
            while b := c.recv(65536):  # no reset
                a += b
            assert status_of(a) == status, (tls, head[:30], a[:200])
            c.close()
    c, t0, n = s.connect(), time.time(), 0  # not for ever, and not without end
    c.sendall(b"GET / HTTP/1.1\r\nHost : t\r\n\r\n")
    try:
        while time.time() - t0 < 20:
            n += c.send(b"x")
            time.sleep(0.02)
    except OSError:
        pass
    assert 1 < time.time() - t0 < 6, f"it read on for {time.time() - t0:.1f} s"
    c, n = s.connect(), 0
    c.sendall(b"GET / HTTP/1.1\r\nHost : t\r\n\r\n")
    try:
        while n < 1 << 26:
            n += c.send(b"x" * 65536)
    except OSError:
        pass
    assert n < 1 << 25, f"it read on for {n} bytes"
    s.is_well()


trickled = []  # how a body that comes a byte at a time ended, and after how long


def start_trickling(s):
    """In the background: it takes a minute. With a right key: nothing is awaited from others."""
    key = s.must("apikeys", "create", "--expiration", "1h").strip().splitlines()[-1].encode()
    def trickle():
        c, t0, a = s.connect("127.0.0.90"), time.time(), b""
        c.sendall(b"POST /api/v1/user HTTP/1.1\r\nHost: t\r\nAuthorization: Bearer " + key + b"\r\nContent-Length: 1000\r\n\r\n")
        c.settimeout(1)
        try:
            while time.time() - t0 < BODY_S + 30:
                c.sendall(b" ")
                try:
                    if not (b := c.recv(1000)):
                        break
                    a += b
                except TimeoutError:
                    pass
        except OSError:
            pass
        trickled.append((time.time() - t0, a))
    threading.Thread(target=trickle, daemon=True).start()


def a_trickled_body_has_an_end(s):
    wait_for(lambda: trickled, BODY_S + 30)
    took, a = trickled[0]
    assert BODY_S - 2 < took < BODY_S + 10 and status_of(a) != 200, (took, a)
    s.is_well()


def garbage_on_every_port(s):
    r = random.Random(1)
    junk = [b"\0", b"\n", b"\r\n\r\n", b"\xff" * 3000, b"SSH-2.0-x\r\n", b"GET\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\xff",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"GET / HTTP/0.9\r\n\r\n", b"GET / HTTP/3.0\r\nHost: t\r\n\r\n",
            b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\nGET /key?v=142 HTTP/1.1\r\nHost: t\r\n\r\n",
            b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c" + b"\x7f\0\0\1" * 3]
    junk += [r.randbytes(r.choice((1, 20, 400, 9000))) for _ in range(40)]
    for j in junk:
        for port in s.port, s.derp_port, None:
            c = socket.socket(socket.AF_INET if port else socket.AF_UNIX)
            c.connect(("127.0.0.1", port) if port else s.socket)
            c.settimeout(3 if port else 0.2)  # libmicrohttpd waits for more from local ones
            try:
                c.sendall(j)
                c.shutdown(socket.SHUT_WR)
                a = everything(c)
            except OSError:
                a = b""
            assert b"200 OK" not in a and b"publicKey" not in a, (j[:60], a[:200])
            c.close()
        try:
            a = raw(s, j + b"\r\n\r\n", tls=True, timeout=0.5)
            assert b"200 OK" not in a and b"publicKey" not in a, (j[:60], a[:200])
        except OSError:
            pass
        u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        for b in (j, bytes.fromhex("000100002112a442") + j, bytes.fromhex("0001000c2112a442") + r.randbytes(12) + j[:12]):
            u.sendto(b[:1400], ("127.0.0.1", s.stun_port))
        u.close()
    u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)  # STUN still answers a right request, and nobody was told twice
    u.settimeout(5)
    tx = os.urandom(12)
    attr = struct.pack(">HH8s", 0x8022, 8, b"tailnode")
    m = struct.pack(">HHI12s", 1, len(attr) + 8, 0x2112A442, tx) + attr
    m += struct.pack(">HHI", 0x8028, 4, zlib.crc32(m) ^ 0x5354554E)
    u.sendto(m, ("127.0.0.1", s.stun_port))
    assert u.recv(1500)[8:20] == tx
    s.is_well()


def smuggled_requests_are_refused(s):
    inner = b"GET /key?v=142 HTTP/1.1\r\nHost: t\r\n\r\n"
    bad = {
        "length and chunks": b"POST /api/v1/user HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + inner,
        "two lengths": b"POST /api/v1/user HTTP/1.1\r\nHost: t\r\nContent-Length: 0\r\nContent-Length: 5\r\n\r\n" + inner,
        "a list of lengths": b"POST /api/v1/user HTTP/1.1\r\nHost: t\r\nContent-Length: 0, 5\r\n\r\n" + inner,
        "a signed length": b"POST /api/v1/user HTTP/1.1\r\nHost: t\r\nContent-Length: +5\r\n\r\n" + inner,
        "a negative length": b"POST /api/v1/user HTTP/1.1\r\nHost: t\r\nContent-Length: -1\r\n\r\n" + inner,
        "a huge length": b"POST /api/v1/user HTTP/1.1\r\nHost: t\r\nContent-Length: 99999999999999999999\r\n\r\n" + inner,
        "an unknown coding": b"POST /api/v1/user HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n" + inner,
        "a coding in disguise": b"POST /api/v1/user HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + inner,
        "a space before the colon": b"POST /api/v1/user HTTP/1.1\r\nHost: t\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n" + inner,
        "a folded line": b"GET /key?v=142 HTTP/1.1\r\nHost: t\r\nX: a\r\n b\r\n\r\n",
        "a bare LF": b"GET /key?v=142 HTTP/1.1\nHost: t\n\n",
        "a bare LF in the head": b"GET /key?v=142 HTTP/1.1\r\nHost: t\nX: y\r\n\r\n",
        "a bare CR": b"GET /key?v=142 HTTP/1.1\r\nHost: t\r\nX: a\rb\r\n\r\n",
        "a NUL": b"GET /key?v=142 HTTP/1.1\r\nHost: t\r\nX: a\0b\r\n\r\n",
        "no host": b"GET /key?v=142 HTTP/1.1\r\n\r\n",
        "two hosts": b"GET /key?v=142 HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        "two spaces": b"GET  /key?v=142 HTTP/1.1\r\nHost: t\r\n\r\n",
        "a tab": b"GET\t/key?v=142 HTTP/1.1\r\nHost: t\r\n\r\n",
        "a space in the target": b"GET /key?v=1 42 HTTP/1.1\r\nHost: t\r\n\r\n",
        "an empty name": b"GET /key?v=142 HTTP/1.1\r\nHost: t\r\n: y\r\n\r\n",
    }
    for what, request in bad.items():
        a = raw(s, request)
        assert status_of(a) in (400, 501, 413, 431, 411), (what, a[:300])
        assert a.count(b"HTTP/1.1 ") == 1 and b"publicKey" not in a, (what, a[:300])
    chunk = b"POST /api/v1/user HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n"
    for what, body in {"no size": b"\r\n\r\n", "a signed size": b"+5\r\nhello\r\n0\r\n\r\n", "a big size": b"ffffffffffffffffff\r\n",
                       "0x": b"0x5\r\nhello\r\n0\r\n\r\n", "a bare LF": b"5\nhello\n0\n\n", "no end": b"2\r\nhello\r\n0\r\n\r\n",
                       "a long extension": b"5;" + b"x" * 5000 + b"\r\nhello\r\n0\r\n\r\n",
                       "endless trailers": b"0\r\n" + b"X: y\r\n" * 3000 + b"\r\n"}.items():
        a = raw(s, chunk + body + inner)
        assert b"publicKey" not in a, (what, a[:300])
        assert status_of(a) not in (None, 200), (what, a[:300])
    for target in (b"http://t/ts2021", b"/%74s2021", b"/ts2021/", b"//ts2021", b"/./ts2021", b"/ts2021%00", b"*", b"ts2021"):
        i = Initiation(Machine(), s.key())
        a = raw(s, upgrade(i.frame, path=target.decode()))
        assert status_of(a) in (400, 404, 405), (target, a[:200])
    s.is_well()


def pipelined_requests_are_answered_in_order(s):
    v, k = b"GET /version HTTP/1.1\r\nHost: t\r\n\r\n", b"GET /key?v=142 HTTP/1.1\r\nHost: t\r\n\r\n"
    last = b"GET /nothing HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n"
    a = raw(s, v + k + v + k + k + v + last)
    parts = a.split(b"HTTP/1.1 ")[1:]
    assert [p[:3] for p in parts] == [b"200"] * 6 + [b"404"], a[:600]
    assert [b"publicKey" in p for p in parts] == [False, True, False, True, True, False, False]
    post = b"POST /api/v1/user HTTP/1.1\r\nHost: t\r\nContent-Length: 11\r\n\r\nGET /key?v="
    a = raw(s, post + k + last)
    got = [p[:3] for p in a.split(b"HTTP/1.1 ")[1:]]  # never 401, 404 for "GET /key?v=GET ..."; a refusal before the body may end the connection
    assert got in ([b"401", b"200", b"404"], [b"401"]), a[:600]
    assert len(got) == 3 or b"Connection: close" in a, a[:600]
    m, key = Machine(), s.key()  # an upgrade behind other requests
    c = s.connect()
    i = Initiation(m, key)
    c.sendall(v + k + upgrade(i.frame))
    got = b""
    while b" 101 " not in got:
        b = c.recv(65536)
        assert b, got
        got += b
    assert got.count(b"HTTP/1.1 200") == 2
    c.close()
    many = raw(s, k * 3000 + last)  # far more than fits in any buffer
    assert many.count(b"HTTP/1.1 200") == 3000 and many.count(b"HTTP/1.1 404") == 1
    s.is_well()


# ---- Noise -----------------------------------------------------------------------------------------------------------

def bad_handshakes(s):
    key, m = s.key(), Machine()
    good = Initiation(m, key).frame
    plain = b"POST /ts2021 HTTP/1.1\r\nHost: t\r\nUpgrade: tailscale-control-protocol\r\nConnection: upgrade\r\n"
    assert status_of(raw(s, plain + b"\r\n")) == 400  # no handshake header
    for h in (b"", b"%%%", b"AAAA====", b"A" * 3000):
        assert status_of(raw(s, plain + b"X-Tailscale-Handshake: " + h + b"\r\n\r\n")) in (400, 431), h[:20]
    for f in (good[:50], good + b"x", b"\0"):  # not an initiation's size: told in an error frame
        a = raw(s, upgrade(f))
        assert status_of(a) == 101 and b"\3" in a[-60:] or status_of(a) == 400, (len(f), a)
    wrong = bytearray(good)
    wrong[2] = 4
    assert b"unexpected handshake" in raw(s, upgrade(bytes(wrong)))
    for at in (5, 40, 60, 100):  # ephemeral key, sealed machine key, tag
        wrong = bytearray(good)
        wrong[at] ^= 1
        a = raw(s, upgrade(bytes(wrong)))
        assert status_of(a) == 101 and a.endswith(b"\r\n\r\n"), a  # closed without a word
    for f in (Initiation(m, x25519_public(os.urandom(32))).frame,  # for another server
              Initiation(m, key, prologue=141).frame,              # the version is part of what is signed
              good[:5] + bytes(32) + good[37:],                    # a point of small order
              good[:5] + b"\1" + bytes(31) + good[37:]):
        a = raw(s, upgrade(f))
        assert status_of(a) == 101 and a.endswith(b"\r\n\r\n"), a
    for method in (b"GET", b"PUT"):
        assert status_of(raw(s, upgrade(good).replace(b"POST", method, 1))) in (400, 405, 426), method
    for version in (0, 1, 60):
        c = Control(s.connect(), Machine(), key, version=version)
        a = c.register(s.auth_key())
        assert "too old" in a.get("Error", ""), a
        c.close()
    c = Control(s.connect(), Machine(), key, version=65535)  # the future
    assert c.register(s.auth_key())["MachineAuthorized"]
    c.close()
    for early in (b"\4\0\x20" + os.urandom(32), os.urandom(5000)):  # records beside the initiation, of no key
        try:
            Control(s.connect(), Machine(), key, early=early).ask("GET", "/machine/whoami")
            assert False, "it went on"
        except Closed:
            pass
    s.is_well()


def bad_records(s):
    key = s.key()

    def after(what, http2=True):
        c = Control(s.connect(), Machine(), key, http2=http2)
        if http2:
            c.wait(c.request("GET", "/machine/whoami"))
        try:
            what(c)
            c.s.shutdown(socket.SHUT_WR)
        except OSError:
            pass
        c.s.settimeout(5)
        everything(c.s)  # ends
        c.close()

    def flipped(c):
        r = bytearray(c.record(frame(PING, 0, 0, bytes(8))))
        r[-1] ^= 1
        c.s.sendall(r)
        c.s.settimeout(5)
        assert everything(c.s) is not None

    after(flipped)
    after(lambda c: c.s.sendall(c.record(b"x") * 2))                      # played twice
    after(lambda c: c.s.sendall(b"\4\0\0"))                               # no room for a tag
    after(lambda c: c.s.sendall(b"\4\0\x0f" + bytes(15)))
    after(lambda c: c.s.sendall(b"\4\xff\xff" + os.urandom(65535)))       # over the frame's size
    after(lambda c: c.s.sendall(b"\1\0\x10" + os.urandom(16)))            # another type
    after(lambda c: c.s.sendall(b"\3\0\5hello"))
    after(lambda c: c.s.sendall(c.record(b"") * 1 + c.record(b"")))       # nothing in them
    after(lambda c: c.s.sendall(c.record(frame(PING, 0, 0, bytes(8)))[:-3]))
    after(lambda c: c.send(b"GET / HTTP/1.1\r\n\r\n" * 10), http2=False)  # no HTTP/2
    after(lambda c: c.send(os.urandom(100000)), http2=False)
    s.is_well()


# ---- HTTP/2 ----------------------------------------------------------------------------------------------------------

def http2_floods_end_the_session(s):
    key = s.key()

    def flood(what, n, setup=None):
        """n times what(c, i) until the server ends it."""
        c = Control(s.connect(), Machine(), key)
        c.s.settimeout(10)
        c.step()
        if setup:
            setup(c)
        why = []
        reader = threading.Thread(target=lambda: why.append(ends(c)))
        reader.start()
        try:
            for i in range(n):
                c.send(what(c, i))
        except (Closed, OSError):
            pass
        reader.join(15)
        assert why, "it was not ended"
        c.close()

    def head(c, i, flags=END_HEADERS | END_STREAM, block=None):
        return frame(HEADERS, flags, 2 * i + 1, block or c.headers("GET", "/machine/whoami"))

    before = s.rss_kib()
    flood(lambda c, i: frame(PING, 0, 0, bytes(8)) * 100, 2000)
    flood(lambda c, i: frame(SETTINGS, 0, 0) * 100, 2000)
    flood(lambda c, i: frame(SETTINGS, 0, 0, struct.pack(">HI", 4, i % 65536) * 2000), 2000)
    flood(lambda c, i: b"".join(head(c, i * 20 + k) + frame(RST, 0, 2 * (i * 20 + k) + 1, struct.pack(">I", 8))
                                for k in range(20)), 2000)  # rapid reset
    flood(lambda c, i: frame(PRIORITY, 0, 1, struct.pack(">IB", 3, 1)) * 100, 2000)
    flood(lambda c, i: frame(CONTINUATION, 0, 1, b"") * 10, 2000, lambda c: c.send(head(c, 0, 0)))
    flood(lambda c, i: frame(CONTINUATION, 0, 1, hpack([("x" * 20, "y" * 4000)])), 2000, lambda c: c.send(head(c, 0, 0)))
    flood(lambda c, i: frame(DATA, 0, 1) * 100, 2000, lambda c: c.send(head(c, 0, END_HEADERS)))
    flood(lambda c, i: frame(WINDOW, 0, 0, struct.pack(">I", 0x7FFFFFFF)), 10)
    flood(lambda c, i: frame(WINDOW, 0, 0, bytes(4)), 10)
    flood(lambda c, i: head(c, 5, END_HEADERS | END_STREAM, b"\xff\xff\xff\xff\xff\xff\xff"), 3)  # HPACK of nothing
    flood(lambda c, i: b"\xff\xff\xff" + bytes(16000), 1000)  # a frame of 16 MiB
    flood(lambda c, i: frame(DATA, 0, 0, b"x"), 10)
    flood(lambda c, i: frame(HEADERS, END_HEADERS, 2, c.headers("GET", "/")), 10)  # an even stream
    # streams that never end: those over the ceiling are refused, and too many refusals end it
    flood(lambda c, i: b"".join(head(c, i * 20 + k, END_HEADERS) for k in range(20)), 500)
    s.is_well()
    grown = s.rss_kib() - before
    assert grown < 64 * 1024, f"{grown} KiB more"


def http2_requests_out_of_bounds(s):
    c = Control(s.connect(), Machine(), s.key())
    status, text = c.ask("POST", "/machine/register", b"x" * (BODY_MAX + 1))
    assert status == 200 and json.loads(text)["Error"], (status, text)  # what the client shows (T12)
    assert c.ask("POST", "/machine/map", b" " * (BODY_MAX - 1))[0] == 400
    n, c.stream = c.stream, c.stream + 2
    c.answers[n] = [None, b"", False]
    block = c.headers("GET", "/machine/whoami", [("x", "y" * 9000), ("z", "y" * 9000)])
    c.send(frame(HEADERS, END_STREAM, n, block[:9100]) + frame(CONTINUATION, END_HEADERS, n, block[9100:]))
    assert c.wait(n)[0] == 431
    assert c.wait(c.request("GET", "/machine/whoami", extra=[("x", "y")] * 100))[0] == 431
    assert c.ask("GET", "/machine/" + "a" * 3000)[0] == 414
    assert c.ask("GET", "/machine/register")[0] == 405
    assert c.ask("GET", "/nothing")[0] == 404
    assert c.ask("GET", "/machine/whoami")[0] == 401
    for h in ([(":method", "GET")], [(":method", "GET"), (":path", "/"), (":scheme", "http"), ("Upper", "x")],
              [(":method", "GET"), (":scheme", "http"), (":path", "/"), ("connection", "x")],
              [("x", "y"), (":method", "GET"), (":scheme", "http"), (":path", "/")]):
        n, c.stream = c.stream, c.stream + 2
        c.answers[n] = [None, b"", False]
        c.send(frame(HEADERS, END_HEADERS | END_STREAM, n, hpack(h)))
        assert c.wait(n)[0] in (0, 400)
    c.close()
    c = Control(s.connect(), Machine(), s.key())  # half bodies of many streams: a ceiling for the session
    waits = []
    for _ in range(30):
        waits.append(c.request("POST", "/machine/map", None))
        c.data(waits[-1], b" " * (60 << 10))
    refused = 0
    c.s.settimeout(2)
    try:
        while True:
            c.step()
    except (TimeoutError, Closed):
        refused = sum(c.answers[n][0] in (413, 0) for n in waits if c.answers[n][0] is not None)
    assert 0 < refused < 30, f"{refused} of 30 were refused"
    c.close()
    s.is_well()


def bad_json(s):
    c = joined(s)
    reg, m = {"Version": 142, "NodeKey": c.machine.nodekey}, c.map_body(OmitPeers=True)
    deep = b'{"Version":142,"x":' + b"[" * 100000 + b"]" * 100000 + b"}"
    bad = [b"", b"{", b"null", b"[]", b"1", b'"x"', b"\xff\xfe", deep, b'{"NodeKey":"nodekey:\xff"}', b'{"Version":"142"}',
           b'{"NodeKey":1}', b'{"NodeKey":"nodekey:12"}', b'{"NodeKey":"mkey:' + b"0" * 64 + b'"}', b'{"Version":1e400}',
           b'{"NodeKey":"nodekey:' + b"z" * 64 + b'"}', b'{"a":1}x', b'{"a":\x01}', b'{"a":"\\ud800"}{']
    for path in ("/machine/register", "/machine/map"):
        for b in bad:
            status, text = c.ask("POST", path, b)
            assert 400 <= status < 500 or (path.endswith("register") and status == 200 and json.loads(text)["Error"]), (
                path, b[:60], status, text)
        for name, v in (("Hostinfo", 1), ("Hostinfo", []), ("Hostinfo", {"Hostname": 7}), ("Version", "x"), ("Endpoints", 3),
                        ("Endpoints", [1]), ("Endpoints", ["not an address"]), ("Auth", "x"), ("Expiry", "yesterday"),
                        ("Hostinfo", {"RoutableIPs": ["999.0.0.0/8"]}), ("Hostinfo", {"RequestTags": "tag:a"}),
                        ("Stream", "yes"), ("DiscoKey", "discokey:xyz"), ("Hostinfo", {"NetInfo": []})):
            body = {**(m if path.endswith("map") else reg), name: v}
            status, text = c.ask("POST", path, body)
            assert status in (200, 400), (path, name, v, status, text)
            time.sleep(0.03)  # within the rate of requests
        time.sleep(1)
    assert c.lite(Xyz="a\0b")[0] == 400  # a NUL in text: nothing of ours can keep it
    # unknown fields are ignored; of two keys, one counts
    assert c.lite(Unknown={"a": [1, {"b": None}]}, Xyz="\u0001\u202e")[0] == 200
    text = json.dumps(m).encode()
    status, _ = c.ask("POST", "/machine/map", text[:-1] + b',"Version":142,"Version":142}')
    assert status in (200, 400)
    assert c.lite()[0] == 200
    c.close()
    s.is_well()


def long_and_odd_names(s):
    key = s.auth_key("--reusable")
    names = ["x" * 10000, "", "-", "..", "\u00e9" * 5000, "\U0001f600" * 3000, "a\x1b[31mb", "<script>alert(1)</script>", "A b_C.d",
             "\u202e\u200b", "localhost", "'; DROP TABLE node; --", "%s%n", "xn--a", "1" * 63, "\\", "a\nb\r\nc: d"]
    seen = set()
    for n in names:
        c = Control(s.connect(), Machine(), s.key())
        a = c.register(key, hostinfo={"Hostname": n, "OS": n, "OSVersion": n, "DeviceModel": n, "Unknown" + n[:2000]: 1})
        assert a["status"] == 200 and a["MachineAuthorized"] and not a["Error"], (n[:30], a)
        status, m = c.netmap()
        dns = m["Node"]["Name"]
        assert status == 200 and re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.tail\.internal\.", dns), (n[:30], dns)
        assert dns not in seen, dns
        seen.add(dns)
        assert len(m["Node"]["Hostinfo"].get("Hostname", "")) <= 255
        c.close()
    out = s.must("nodes", "list")
    assert "\0" not in out and "\x1b" not in out and "\u202e" not in out
    log = s.read_log()
    assert "\u202e" not in log and "x" * 1000 not in log
    c = Control(s.connect(), Machine(), s.key())  # what cannot be cut is refused
    for more in ({"RequestTags": [f"tag:a{i}" for i in range(100)]}, {"RequestTags": ["tag:" + "x" * 300]}):
        a = c.register(key, hostinfo=more)
        assert a["status"] in (400, 413) or a["Error"], a
    c.close()
    s.is_well()


# ---- keys ------------------------------------------------------------------------------------------------------------

def a_stolen_node_key_is_refused_everywhere(s):
    """Somebody knows another's node key, which is public, but has a machine key of its own. In both forms of it: a machine
    without any node, and one with a node of its own."""
    victim = joined(s)
    victim.lite()
    poll = victim.poll()
    assert victim.message(poll)
    thieves = [Control(s.connect(), Machine(node=victim.machine.node), s.key())]
    own = joined(s)
    own.machine = Machine(secret=own.machine.secret, node=victim.machine.node)
    thieves.append(own)
    key = victim.machine.nodekey
    before = s.ask("GET", "/api/v1/node")[1]["nodes"]
    other = "nodekey:" + x25519_public(os.urandom(32)).hex()
    for c in thieves:
        a = c.register(s.auth_key())
        assert a["status"] == 401 or a.get("Error"), a
        a = c.register(None)
        assert a["status"] == 401 or a.get("Error"), a
        a = c.register(None, expiry="2001-01-01T00:00:00Z")  # logout
        assert a["status"] == 401 or a.get("Error"), a
        a = c.register(None, node=other, OldNodeKey=key)  # renewal
        assert not a.get("MachineAuthorized"), a
        a = c.register(None, node=other, OldNodeKey=key, expiry="2001-01-01T00:00:00Z")
        assert not a.get("MachineAuthorized"), a
        assert c.lite()[0] in (401, 404)
        assert c.netmap()[0] in (401, 404)
        status, body = c.wait(c.poll())
        assert status in (401, 404), (status, body[:100])
        for method, path in (("POST", "/machine/set-dns"), ("POST", "/machine/update-health"), ("PATCH", "/machine/set-device-attr"),
                             ("POST", "/machine/audit-log"), ("POST", "/machine/id-token"), ("POST", "/machine/webclient/init"),
                             ("GET", "/machine/ssh/action/1/to/2?local_user=root"), ("GET", "/machine/tka/init/begin"),
                             ("POST", "/machine/tka/init/finish"), ("GET", "/machine/tka/bootstrap"),
                             ("GET", "/machine/tka/sync/offer"), ("GET", "/machine/tka/sync/send"), ("GET", "/machine/tka/disable"),
                             ("GET", "/machine/tka/sign"), ("POST", "/machine/feature/query"), ("GET", "/machine/whoami"),
                             ("POST", "/machine/nothing")):
            status, body = c.ask(method, path, {"Version": 142, "CapVersion": 142, "NodeKey": key, "Feature": "serve",
                                                "NodeID": 1})
            assert status == 401, (method, path, status, body[:100])
    after = s.ask("GET", "/api/v1/node")[1]["nodes"]

    def still(nodes):
        n = [n for n in nodes if n["nodeKey"] == key]
        assert len(n) == 1, n
        return {k: v for k, v in n[0].items() if k in ("nodeKey", "machineKey", "expiry", "ipAddresses", "givenName", "discoKey")}

    assert still(before) == still(after)
    assert victim.lite()[0] == 200
    for c in (*thieves, victim):
        c.close()
    s.is_well()


def bad_auth_keys(s):
    used, expiring = s.auth_key(), s.auth_key("--expiration", "1s")
    c = Control(s.connect(), Machine(), s.key())
    assert c.register(used)["MachineAuthorized"]
    c.close()
    time.sleep(1.2)
    revoked = s.auth_key()
    rc, out, err = s.cli("preauthkeys", "expire", "--user", "ann", "--key", revoked)
    if rc != 0:
        rc, out, err = s.cli("preauthkeys", "expire", revoked)
    assert rc == 0, err
    for k in (used, expiring, revoked, "hskey-auth-unknown-" + "0" * 64, "tskey-auth-x", "x", "x" * 500, "'\1\n", used[:-1], used + "x"):
        c = Control(s.connect(), Machine(), s.key())
        a = c.register(k)
        assert a["status"] == 200 and a["Error"] and not a["MachineAuthorized"], (k[:30], a)
        assert len(k) < 20 or k not in json.dumps(a)
        assert c.lite()[0] == 404
        c.close()
    c = Control(s.connect(), Machine(), s.key())
    a = c.register("x" * 5000)
    assert a["Error"] and not a.get("MachineAuthorized"), a  # in words, which the client shows
    c.close()
    log = s.read_log()
    assert used not in log and expiring not in log and revoked not in log
    s.is_well()


# ---- what a node may tell --------------------------------------------------------------------------------------------

def endpoints_and_disco_keys(s):
    a, b = joined(s), joined(s)
    poll = b.poll()
    assert b.message(poll)
    many = [f"10.9.{i}.1:41641" for i in range(33)]
    bad = ["224.0.0.1:1", "[ff02::1]:1", "127.0.0.1:1", "[::1]:1", "0.0.0.0:1", "[::]:1", "255.255.255.255:1", "10.0.0.1:0"]

    def told(endpoints):
        status, body = a.lite(Endpoints=endpoints, EndpointTypes=[1] * len(endpoints))
        assert status in (200, 400), (status, body)
        mine = wait_for(lambda: [p for p in b.netmap()[1].get("Peers") or [] if p["Key"] == a.machine.nodekey], 15, 0.5)
        return mine[0].get("Endpoints") or []

    assert len(told(many)) <= 32
    got = told(bad + ["10.1.2.3:41641"])
    assert not set(got) & set(bad), got
    old = a.machine.disco
    a.machine.disco = b.machine.disco  # b's
    b.lite()
    status, _ = a.lite()
    assert status == 409, status
    a.machine.disco = old
    assert a.lite()[0] == 200
    peers = b.netmap()[1].get("Peers") or []
    assert all(p.get("DiscoKey") != "discokey:" + b.machine.disco.hex() for p in peers)
    a.close(), b.close()
    s.is_well()


def a_busy_node_is_slowed_down(s):
    a, b = joined(s), joined(s)
    t0 = time.time()
    waits = [a.request("POST", "/machine/map", json.dumps(a.map_body(OmitPeers=True, Endpoints=[f"10.3.{i % 250}.1:1"])).encode())
             for i in range(100)]
    got = [a.wait(n)[0] for n in waits]
    waits = [a.request("POST", "/machine/map", json.dumps(a.map_body(OmitPeers=True)).encode()) for i in range(100)]
    got += [a.wait(n)[0] for n in waits]
    assert 429 in got and 200 in got and set(got) <= {200, 429}, {g: got.count(g) for g in got}
    for _ in range(5):  # another session is no second allowance
        again = Control(s.connect(), a.machine, s.key())
        waits = [again.request("POST", "/machine/map", json.dumps(a.map_body(OmitPeers=True)).encode()) for _ in range(30)]
        got += [again.wait(n)[0] for n in waits]
        again.close()
    assert got.count(200) <= 100 + 20 * (time.time() - t0) + 1, (got.count(200), time.time() - t0)
    assert b.lite()[0] == 200  # others are not
    assert wait_for(lambda: a.lite()[0] == 200, 5, 0.3)
    polls = [b.poll() for _ in range(12)]  # more streams of one node than it may have: the newest stays
    assert wait_for(lambda: b.step() or sum(b.answers[n][2] for n in polls) == 11)
    assert b.lite()[0] == 200
    a.close(), b.close()
    s.is_well()


# ---- how many --------------------------------------------------------------------------------------------------------

def sessions_without_a_node_are_limited(s):
    a, key = "127.0.0.21", s.key()
    open_, refused = [], 0
    for _ in range(UNREGISTERED_PER_ADDRESS + 10):
        try:
            open_.append(Control(s.connect(a), Machine(), key))
        except Closed:
            refused += 1
    assert len(open_) == UNREGISTERED_PER_ADDRESS and refused == 10, (len(open_), refused)
    c = Control(s.connect("127.0.0.22"), Machine(), key)  # another address
    assert c.register(s.auth_key())["MachineAuthorized"]
    c.close()
    assert open_[0].register(s.auth_key())["MachineAuthorized"]  # now it is the address of a node: an office
    for _ in range(20):
        open_.append(Control(s.connect(a), Machine(), key))
    for c in open_:
        c.close()
    wait_for(lambda: Control(s.connect("127.0.0.21"), Machine(), key))
    s.is_well()


def an_office_comes_back_after_a_restart(folder_server):
    """Limits an address do not count where nodes live, and that is known again after a restart."""
    folder = tempfile.mkdtemp(prefix="hostile.", dir=folder_server.folder)
    s = Server(folder, tables="[limits]\nmax_unregistered_per_address = 2\n").start()
    office, street = "127.0.0.71", "127.0.0.72"

    def sessions(source, n=6):
        got = []
        for _ in range(n):
            try:
                got.append(Control(s.connect(source), Machine(), s.key()))
            except Closed:
                pass
        for c in got:
            c.close()
        return len(got)

    assert sessions(office) == 2
    wait_for(lambda: Control(s.connect(office), Machine(), s.key()))
    c = joined(s, office)
    c.message(c.poll())
    assert sessions(office) == 6 and sessions(street) == 2
    c.close()
    s.end()
    s.start()
    assert sessions(office) == 6 and sessions(street) == 2
    s.is_well()
    s.end()


def pending_logins_are_limited(folder_server):
    """A server of its own with small limits, and what SIGHUP changes of them."""
    folder = tempfile.mkdtemp(prefix="hostile.", dir=folder_server.folder)
    s = Server(folder, tables="[limits]\nmax_pending_logins = 8\nmax_pending_logins_per_address = 3\n").start()

    def login(source):
        c = Control(s.connect(source), Machine(), s.key())
        a = c.register()
        c.close()
        return a

    urls = [login("127.0.0.31") for _ in range(3)]
    assert all(a["AuthURL"] and not a["Error"] for a in urls), urls
    a = login("127.0.0.31")
    assert not a.get("AuthURL") and (a.get("Error") or a["status"] in (429, 503)), a
    assert login("127.0.0.32")["AuthURL"]
    for i in range(8):
        login(f"127.0.0.{40 + i}")
    a = login("127.0.0.60")  # the total
    assert not a.get("AuthURL") and (a.get("Error") or a["status"] in (429, 503)), a
    c = Control(s.connect("127.0.0.61"), Machine(), s.key())  # a key still joins
    assert c.register(s.auth_key())["MachineAuthorized"]
    c.close()
    s.tables = "[limits]\nmax_pending_logins = 100\nmax_pending_logins_per_address = 3\n"
    s.write()
    s.p.send_signal(signal.SIGHUP)
    wait_for(lambda: "configuration reloaded" in s.read_log())
    assert login("127.0.0.62")["AuthURL"]
    s.is_well()
    s.end()


def proxies(folder_server):
    """PROXY protocol where it is due: garbage there ends the connection, and the client that it names is who is limited."""
    folder = tempfile.mkdtemp(prefix="hostile.", dir=folder_server.folder)
    s = Server(folder, keys='proxy_protocol = ["127.0.0.77/32"]\n').start()
    ask = b"GET /key?v=142 HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n"
    v2 = b"\r\n\r\n\0\r\nQUIT\n"
    good = [b"PROXY TCP4 203.0.113.1 203.0.113.2 1000 2000\r\n", b"PROXY UNKNOWN\r\n",
            v2 + b"\x21\x11\0\x0c" + bytes([203, 0, 113, 1, 203, 0, 113, 2, 0, 1, 0, 2]), v2 + b"\x20\0\0\0"]
    bad = [b"", b"PROXY TCP4 203.0.113.1\r\n", b"PROXY TCP4 1.2.3.4 5.6.7.8 1 99999\r\n", b"PROXY" + b" " * 200 + b"\r\n",
           b"PROXY TCP4 1.2.3.999 5.6.7.8 1 2\r\n", v2 + b"\x31\x11\0\x0c" + bytes(12), v2 + b"\x21\x11\xff\xff" + bytes(12),
           v2 + b"\x21\x11\0\x02" + bytes(2), b"\0" * 300]
    for head, ok in [(g, True) for g in good] + [(b, False) for b in bad]:
        c = s.connect("127.0.0.77", timeout=12)
        c.sendall(head + ask)
        assert (b"publicKey" in everything(c)) == ok, head
        c.close()
    assert b"publicKey" not in raw(s, good[0] + ask)  # from elsewhere it is no header
    s.is_well()
    s.end()


# ---- the API ---------------------------------------------------------------------------------------------------------

def the_api(s):
    token = s.must("apikeys", "create", "--expiration", "1h").strip().splitlines()[-1]
    ok = {"Authorization": "Bearer " + token}
    for end in (b"0\r\n\r\n", b"2\r\n{}\r\n0\r\n\r\n"):  # a body of unknown length, also an empty one
        a = raw(s, b"POST /api/v1/apikey HTTP/1.1\r\nHost: t\r\nConnection: close\r\nAuthorization: Bearer " + token.encode() +
                b"\r\nTransfer-Encoding: chunked\r\n\r\n" + end)
        assert status_of(a) == 200, a
    for h in ({}, {"Authorization": ""}, {"Authorization": "Bearer"}, {"Authorization": "Bearer "}, {"Authorization": "Basic eDp5"},
              {"Authorization": "Bearer x"}, {"Authorization": "Bearer " + "x" * 4000}, {"Authorization": "Bearer " + token[:-1]},
              {"Authorization": "Bearer " + token + "x"}, {"Authorization": token}):
        for method, path in (("GET", "/api/v1/user"), ("POST", "/api/v1/user"), ("DELETE", "/api/v1/user/1"), ("GET", "/api/v1/node"),
                             ("GET", "/api/v1/policy"), ("PUT", "/api/v1/policy"), ("GET", "/api/v1/apikey"),
                             ("POST", "/api/v1/apikey"), ("POST", "/api/v1/auth/approve"), ("GET", "/api/v1/preauthkey")):
            status, body = s.http(method, path, b"{}" if method in ("POST", "PUT") else None, h)
            assert status == 401, (h, method, path, status, body)
    assert s.http("POST", "/api/v1/user", b"x" * (1 << 20) + b"x", ok)[0] == 413
    deep = b'{"name":' + b"[" * 50000 + b"]" * 50000 + b"}"
    for b in (b"", b"{", b"[]", b"null", b'"x"', deep, b'{"name":1}', b'{"name":["a"]}', b"\xff", b'{"name":"\xff"}', b'{"name":"a"}x',
              b'{"name":""}', b'{"name":"' + b"x" * 10000 + b'"}', b'{"name":"a\\u0000b"}', b'{"name":{}}'):
        status, body = s.http("POST", "/api/v1/user", b, ok)
        assert 400 <= status < 500, (b[:40], status, body)
        json.loads(body)
    for method, path in (("GET", "/api/v1/node/99999999999999999999"), ("GET", "/api/v1/node/-1"), ("GET", "/api/v1/node/x"),
                         ("GET", "/api/v1/node/1%00"), ("GET", "/api/v1/node/" + "1" * 5000), ("DELETE", "/api/v1/node/"),
                         ("POST", "/api/v1/node/1/rename/" + "x" * 9000), ("POST", "/api/v1/node/1/nothing"),
                         ("GET", "/api/v1/../v1/user"), ("GET", "/api/v1/%75ser/%2e%2e"), ("BREW", "/api/v1/user"),
                         ("GET", "/register/" + "x" * 3000), ("GET", "/register/<script>"), ("GET", "/register/%3Cscript%3E")):
        status, body = s.http(method, path, None, ok)
        assert 400 <= status < 500 or (status, body[:0]) == (200, b"") and "%75ser" in path, (method, path[:50], status, body[:100])
        assert b"<script>" not in body
    for path in ("/api/v1/backup", "/api/v1/config"):  # only on the unix socket, or not there
        assert s.http("POST", path, b"{}", ok)[0] in (403, 404, 405)
    c = s.connect()  # a body that never comes, and one that is cut
    c.sendall(b"POST /api/v1/user HTTP/1.1\r\nHost: t\r\nContent-Length: 100\r\n\r\n{")
    d = s.connect()
    d.sendall(b"POST /api/v1/user HTTP/1.1\r\nHost: t\r\nContent-Length: 100\r\n\r\n{")
    d.shutdown(socket.SHUT_WR)
    assert b" 200 " not in everything(d)
    s.is_well()
    c.close(), d.close()
    spoof = s.http("GET", "/api/v1/user", None, {"X-Forwarded-For": "127.0.0.1", "X-Real-IP": "::1"}, source="127.0.0.92")
    assert spoof[0] == 401, spoof  # from elsewhere: wrong keys from our own address have used up its tries


tests = [slow_ones_end_and_others_are_served, big_heads_are_refused, refusals_arrive_while_more_is_sent, garbage_on_every_port, smuggled_requests_are_refused,
         pipelined_requests_are_answered_in_order, bad_handshakes, bad_records, http2_floods_end_the_session,
         http2_requests_out_of_bounds, bad_json, long_and_odd_names, a_stolen_node_key_is_refused_everywhere, bad_auth_keys,
         endpoints_and_disco_keys, a_busy_node_is_slowed_down, sessions_without_a_node_are_limited, an_office_comes_back_after_a_restart,
         pending_logins_are_limited, proxies, the_api, a_trickled_body_has_an_end]


def serve(folder):
    s = Server(folder).start()
    start_trickling(s)
    return s


run(tests, shared=serve)
