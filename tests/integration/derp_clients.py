#!/usr/bin/env python3
"""derp_clients.py: fairlead-derp and clients that are small and odd: what protocol/derp.md 15 asks for and needs real sockets. The
list of all its items, each with its test, is tests/derp-checklist.md, which is checked here too.

Prints TAP. BUILD= names the build folder (default build/asan).
"""
import base64, json, os, re, signal, socket, ssl, struct, subprocess, sys, tempfile, threading, time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from lib.derp import CLIENT_INFO, GONE, MAGIC, PING, PONG, RECV, SEND, SERVER_INFO, SERVER_KEY, UPGRADE, Derp, box, frame
from lib.ts2021 import Closed

top = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
prog = os.path.join(top, os.environ.get("BUILD", "build/asan"), "fairlead-derp")
STALL_S = 2  # DERP_CONN_STALL_MS
FAST = UPGRADE.replace(b"Upgrade: DERP", b"Derp-Fast-Start: 1\r\nUpgrade: DERP")


class Relay:
    def __init__(self, state):
        self.state = state
        self.p = subprocess.Popen([prog, "--hostname", "127.0.0.1", "--listen", "127.0.0.1:0", "--http", "off", "--stun", "off",
                                   "--state", state, "--threads", "2"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        for line in self.p.stdout:
            m = re.search(r"what=derp at=127\.0\.0\.1:(\d+)", line)
            if m:
                self.port = int(m[1])
                break
        threading.Thread(target=self.p.stdout.read, daemon=True).start()

    def tls(self, rcvbuf=None):
        c = ssl.create_default_context()
        c.check_hostname, c.verify_mode = False, ssl.CERT_NONE
        raw = socket.socket()
        if rcvbuf:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
        raw.connect(("127.0.0.1", self.port))
        s = c.wrap_socket(raw)
        s.settimeout(10)
        return s

    def client(self, secret=None, **kw):
        return Derp(self.tls(**kw), secret).hello()

    def counter(self, name):
        out = subprocess.run([prog, "status", "--json", "--state", self.state], capture_output=True, text=True, timeout=20, check=True)
        return json.loads(out.stdout)["derp"][name]


def until(what, check, seconds=10):
    end = time.time() + seconds
    while not check():
        assert time.time() < end, what
        time.sleep(0.02)


def packet(d, want_from, text):
    while True:
        kind, p = d.frame()
        if kind == RECV:
            assert p == want_from.public + text, (p[32:80], text)
            return


def fast_start_in_one_write(r):
    """Request head and ClientInfo in one TLS record, the server's key known from elsewhere, as official clients do."""
    d = r.client()
    e = Derp.__new__(Derp)
    e.s, e.buf, e.secret, e.public, e.server = r.tls(), b"", d.secret, d.public, d.server
    e.s.sendall(FAST + frame(CLIENT_INFO, e.client_info()))
    kind, p = e.frame()
    assert kind == SERVER_KEY and p == MAGIC + d.server, (kind, p)
    assert e.frame()[0] == SERVER_INFO
    e.s.sendall(frame(PING, b"8 bytes."))
    assert e.frame() == (PONG, b"8 bytes.")
    e.close(), d.close()


def the_largest_packet(r):
    a, b = r.client(), r.client()
    text = os.urandom(65536)
    a.s.sendall(frame(SEND, b.public + text))
    packet(b, a, text)
    b.s.sendall(frame(SEND, a.public + text))
    packet(a, b, text)
    try:
        a.s.sendall(frame(SEND, b.public + text + b"x"))
        while True:
            a.frame()
    except (Closed, ConnectionError, ssl.SSLError):
        pass  # closed at the head of the frame: the rest may find no reader
    a.close(), b.close()


def one_key_twice(r):
    """The second connection gets the packets, after its end the first again, and who is active while both live."""
    sender, first = r.client(), r.client()
    second = r.client(first.secret)
    sender.s.sendall(frame(SEND, first.public + b"to the newer"))
    packet(second, sender, b"to the newer")
    first.s.sendall(frame(PING, b"I am here"[:8]))  # any frame makes it the active one
    assert first.frame()[0] == PONG
    sender.s.sendall(frame(SEND, first.public + b"to the active"))
    packet(first, sender, b"to the active")
    second.s.sendall(frame(PING, b"me again"))
    assert second.frame()[0] == PONG
    second.close()

    def gets():
        sender.s.sendall(frame(SEND, first.public + b"to the last"))
        first.s.settimeout(0.3)
        try:
            packet(first, sender, b"to the last")
            return True
        except (Closed, TimeoutError):
            return False
    until("the first connection has the key again", gets)
    sender.close(), first.close()


def a_reader_that_stops(r):
    """It is disconnected when its socket has taken nothing for two seconds; two others never wait for it."""
    stopped, flood, a, b = r.client(rcvbuf=4096), r.client(), r.client(), r.client()
    before = r.counter("sclient_write_timeouts")
    over = threading.Event()

    def pour():
        what = frame(SEND, stopped.public + os.urandom(8000)) * 8
        while not over.is_set():
            try:
                flood.s.sendall(what)
            except OSError:
                return
    t = threading.Thread(target=pour, daemon=True)
    t.start()
    start, worst = time.time(), 0
    while r.counter("sclient_write_timeouts") == before:
        t0 = time.time()
        a.s.sendall(frame(SEND, b.public + b"hello"))
        packet(b, a, b"hello")
        worst = max(worst, time.time() - t0)
        assert time.time() - start < 30, "it was never disconnected"
    took = time.time() - start
    over.set()
    t.join(10)
    assert took >= STALL_S - 0.5, f"disconnected after {took:.1f} s"
    assert worst < 1, f"the others waited {worst:.2f} s"
    print(f"# disconnected after {took:.1f} s; the others' slowest packet took {1000 * worst:.0f} ms")
    for d in (stopped, flood, a, b):
        d.close()


class Messages:
    """WebSocket towards the relay under a Derp: each piece of `cut` a message, or all that is sent at once in one."""

    def __init__(self, s, cut=None):
        self.s, self.cut, self.raw, self.data = s, cut, b"", b""

    def settimeout(self, t):
        self.s.settimeout(t)

    def close(self):
        self.s.close()

    def sendall(self, b):
        if b.startswith(b"GET "):
            return self.s.sendall(b)
        step = self.cut or len(b)
        for at in range(0, len(b), step):
            piece = b[at:at + step]
            length = bytes([0x80 | len(piece)]) if len(piece) < 126 else b"\xfe" + struct.pack(">H", len(piece))
            self.s.sendall(b"\x82" + length + bytes(4) + piece)

    def recv(self, n):
        while True:
            if self.raw.startswith(b"HTTP/1.1") and b"\r\n\r\n" in self.raw:
                head, self.raw = self.raw.split(b"\r\n\r\n", 1)
                return head + b"\r\n\r\n"
            if self.raw and not self.raw.startswith(b"HTTP") and len(self.raw) >= 4:
                size, at = self.raw[1], 2
                if size == 126:
                    size, at = struct.unpack(">H", self.raw[2:4])[0], 4
                if size != 127 and len(self.raw) >= at + size:
                    data, self.raw = self.raw[at:at + size], self.raw[at + size:]
                    if data:
                        return data
                    continue
            b = self.s.recv(65536)
            if not b:
                return b""
            self.raw += b


def websocket_messages_are_a_stream(r):
    """Frames split over messages, and many frames in one."""
    ask = UPGRADE.replace(b"Upgrade: DERP", b"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: derp\r\n"
                          b"Sec-WebSocket-Key: " + base64.b64encode(os.urandom(16)))
    b = r.client()
    for cut in (1, 7, None):
        a = Derp(Messages(r.tls(), cut), None, ask).hello()
        a.s.sendall(b"".join(frame(SEND, b.public + bytes([i]) * 30) for i in range(20)))
        for i in range(20):
            packet(b, a, bytes([i]) * 30)
        b.s.sendall(b"".join(frame(SEND, a.public + bytes([i]) * 500) for i in range(20)))
        for i in range(20):
            packet(a, b, bytes([i]) * 500)
        a.close()
    b.close()


def websocket_without_the_subprotocol(r):
    """Very old clients said WebSocket and spoke DERP: no WebSocket frames then."""
    d = Derp(r.tls(), None, UPGRADE.replace(b"Upgrade: DERP", b"Upgrade: websocket")).hello()
    d.s.sendall(frame(PING, b"12345678"))
    assert d.frame() == (PONG, b"12345678")
    d.close()


def rates_are_told(r):
    a, b = r.client(), r.client()
    p = subprocess.Popen([prog, "status", "--json", "--rates", "--state", r.state], stdout=subprocess.PIPE, text=True)
    for _ in range(20):
        a.s.sendall(frame(SEND, b.public + bytes(1000)))
        packet(b, a, bytes(1000))
        time.sleep(0.1)
    rows = {c["key"]: c for c in json.loads(p.communicate(timeout=30)[0])["clients"]}
    sent, got = rows["nodekey:" + a.public.hex()]["bytes_in"], rows["nodekey:" + b.public.hex()]["bytes_out"]
    assert 1000 <= sent <= 20 * 1037 and 1000 <= got <= 20 * 1037, (sent, got)
    a.close(), b.close()


def is_run(path, text, name):
    """Go's runner finds what is called Test…, libFuzzer its one function; elsewhere a test is defined and then named where tests are run."""
    if path.endswith(".go") and name.startswith("Test"):
        return f"func {name}(t *testing.T)" in text
    text = re.sub(r'"""(?s:.*?)"""|/\*(?s:.*?)\*/|(?m:^\s*#.*$)', "", text)  # what is only spoken of does not count
    defined = re.search(rf"(?m)^def {name}\(|^static void {name}\(|^int {name}\(|^func {name}\(", text)
    return len(re.findall(rf"\b{name}\b", text)) >= (1 if name == "LLVMFuzzerTestOneInput" or path == "bench/derp_calm.py" else 2) and (defined or path in ("bench/derp_calm.py", "interop/front_test.go"))


def the_checklist_names_tests(r):
    items = []
    with open(os.path.join(top, "tests", "derp-checklist.md")) as f:
        for line in f:
            m = re.match(r"\| ([CKP]?\d+) \|", line)
            if not m:
                continue
            items.append(m[1])
            named = re.findall(r"`([\w./]+)`: ((?:`\w+`(?:, )?)+)", line)
            assert named, f"item {m[1]} names no test"
            for path, names in named:
                with open(os.path.join(top, "tests", path)) as t:
                    text = t.read()
                for name in re.findall(r"`(\w+)`", names):
                    assert is_run(path, text, name), f"item {m[1]}: {path} does not run {name}"
    assert items == [str(i) for i in range(1, 14)] + [f"{k}{i}" for k, n in (("C", 11), ("K", 7), ("P", 6)) for i in range(1, n + 1)], items


def main():
    tmp = tempfile.TemporaryDirectory()
    r = Relay(tmp.name)
    tests = (fast_start_in_one_write, the_largest_packet, one_key_twice, a_reader_that_stops, websocket_messages_are_a_stream,
             websocket_without_the_subprotocol, rates_are_told, the_checklist_names_tests)
    bad = 0
    print(f"1..{len(tests)}")
    for i, f in enumerate(tests, 1):
        try:
            f(r)
            print(f"ok {i} - {f.__name__}", flush=True)
        except Exception as e:  # the next ones still say something
            bad = 1
            print(f"not ok {i} - {f.__name__}\n# {type(e).__name__}: {e}", flush=True)
    r.p.send_signal(signal.SIGTERM)
    try:
        bad |= r.p.wait(20) != 0
    except subprocess.TimeoutExpired:
        r.p.kill()
        bad = 1
    sys.exit(bad)


main()
