#!/usr/bin/env python3
"""derp_standalone.py: fairlead-derp as a process on loopback: HTTP answers, TLS, WebSocket, STUN, signals, bad starts.

Runs alone, or from tests/integration/run.py; prints TAP. BUILD= names the build folder (default build/asan).
"""
import base64, hashlib, json, os, re, signal, socket, ssl, struct, subprocess, sys, tempfile, time, zlib

top = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
prog = os.path.join(top, os.environ.get("BUILD", "build/asan"), "fairlead-derp")
MAGIC = b"DERP\xf0\x9f\x94\x91"


class Relay:
    def __init__(self, state, *flags):
        self.p = subprocess.Popen(
            [prog, "--hostname", "127.0.0.1", "--listen", "127.0.0.1:0", "--http", "off", "--stun", "127.0.0.1:0",
             "--state", state, "--threads", "2", *flags],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.out, self.at = "", {}
        want = 3 if "--http" in flags else 2
        while len(self.at) < want:
            line = self.p.stdout.readline()
            if not line:
                raise AssertionError("fairlead-derp ended: " + self.out)
            self.out += line
            m = re.search(r"what=(\w+) at=127\.0\.0\.1:(\d+)", line)
            if m:
                self.at[m[1]] = int(m[2])
        self.pin = re.search(r"sha256-raw:([0-9a-f]{64})", self.out)

    def tls(self, version=None):
        c = ssl.create_default_context()
        c.check_hostname, c.verify_mode = False, ssl.CERT_NONE
        if version:
            c.minimum_version = c.maximum_version = version
        s = c.wrap_socket(socket.create_connection(("127.0.0.1", self.at["derp"]), 5))
        s.settimeout(5)
        return s

    def line(self, text):
        """The next line of its log that holds text."""
        while True:
            line = self.p.stdout.readline()
            assert line, "it ended: " + self.out
            self.out += line
            if text in line:
                return line

    def stop(self, how=signal.SIGTERM, within=10):
        self.p.send_signal(how)
        rc = self.p.wait(within)
        self.out += self.p.stdout.read()
        assert rc == 0, f"exit status {rc}: {self.out}"


def exactly(s, n):
    b = b""
    while len(b) < n:
        more = s.recv(n - len(b))
        assert more, f"closed after {len(b)} of {n} bytes"
        b += more
    return b


def head(s):
    b = b""
    while not b.endswith(b"\r\n\r\n"):
        b += exactly(s, 1)
    return b.decode()


def ask(s, line, *headers):
    s.sendall("\r\n".join([line + " HTTP/1.1", "Host: h", *headers, "", ""]).encode())
    return head(s)


def closed(s):
    try:
        return s.recv(1) == b""
    except ConnectionError:
        return True


def http_answers(r):
    s = r.tls()
    for path in "/derp/probe", "/derp/latency-check":
        for method in "GET", "HEAD":  # one connection, kept alive
            a = ask(s, f"{method} {path}")
            assert a.startswith("HTTP/1.1 200 OK\r\n") and "Access-Control-Allow-Origin: *\r\n" in a, a
    a = ask(s, "GET /generate_204", "X-Tailscale-Challenge: ts_host.name")
    assert a.startswith("HTTP/1.1 204 ") and "X-Tailscale-Response: response ts_host.name\r\n" in a, a
    a = ask(s, "GET /derp")
    assert a.startswith("HTTP/1.1 426 "), a
    assert exactly(s, 33) == b"DERP requires connection upgrade\n"
    assert closed(s)
    s = r.tls()
    s.sendall(b"garbage\r\n\r\n")
    assert head(s).startswith("HTTP/1.1 400 ")


def pinned_certificate(r):
    der = r.tls().getpeercert(True)
    assert hashlib.sha256(der).hexdigest() == r.pin[1]


def server_key(b):
    assert b[:13] == b"\x01\0\0\0\x28" + MAGIC, b
    return b[13:45]


def slow_and_fast_start(r):
    want = None
    for version in ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3:
        s = r.tls(version)
        a = ask(s, "GET /derp", "Connection: Upgrade", "Upgrade: DERP")
        key = server_key(exactly(s, 45))
        assert a == ("HTTP/1.1 101 Switching Protocols\r\nUpgrade: DERP\r\nConnection: Upgrade\r\nDerp-Version: 2\r\n"
                     f"Derp-Public-Key: {key.hex()}\r\n\r\n"), a
        assert want in (None, key)
        want = key
    s = r.tls()
    # The bytes behind the head, in the same record, are DERP: an unknown first frame closes.
    s.sendall(b"GET /derp HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nDerp-Fast-Start: 1\r\nUpgrade: DERP\r\n\r\n"
              b"\x04\0\0\0\x20" + bytes(32))
    try:
        b = exactly(s, 45)
    except (AssertionError, ConnectionError):
        b = None  # closed before it was written: as good
    assert b is None or server_key(b) == want
    assert closed(s)
    s = r.tls()
    s.sendall(b"GET /derp HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nDerp-Fast-Start: 1\r\nUpgrade: DERP\r\n\r\n")
    assert server_key(exactly(s, 45)) == want  # and no HTTP answer


def websocket(r):
    s = r.tls()
    k = base64.b64encode(os.urandom(16)).decode()
    a = ask(s, "GET /derp", "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13",
            f"Sec-WebSocket-Key: {k}", "Sec-WebSocket-Protocol: derp")
    assert a.startswith("HTTP/1.1 101 ") and "Sec-WebSocket-Protocol: derp\r\n" in a, a
    assert exactly(s, 2) == b"\x82\x2d"  # one binary message of 45 bytes
    server_key(exactly(s, 45))
    s.sendall(b"\x89\x82" + bytes(4) + b"hi")  # ping
    assert exactly(s, 4) == b"\x8a\x02hi"
    s.sendall(b"\x82\x85" + bytes(4) + b"\x07\0\0\0\1")  # half a frame that may not come first
    while True:
        try:
            if not s.recv(100):
                break
        except ConnectionError:
            break


def stun(r):
    tx = os.urandom(12)
    q = struct.pack(">HHI", 1, 20, 0x2112A442) + tx + struct.pack(">HH", 0x8022, 8) + b"tailnode"
    q += struct.pack(">HHI", 0x8028, 4, zlib.crc32(q) ^ 0x5354554E)
    u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    u.settimeout(5)
    u.connect(("127.0.0.1", r.at["stun"]))
    u.send(q[:-1] + b"x")  # a wrong fingerprint: silence
    u.send(q)
    a = u.recv(100)
    port = u.getsockname()[1]
    assert len(a) == 32 and a[:2] == b"\1\1" and a[8:20] == tx, a
    assert struct.unpack(">H", a[26:28])[0] ^ 0x2112 == port
    u.settimeout(0.1)
    try:
        raise AssertionError(u.recv(100))
    except TimeoutError:
        pass


def restart_keeps_key_and_certificate(r, state):
    s = r.tls()
    ask(s, "GET /derp", "Connection: Upgrade", "Upgrade: DERP")
    key = exactly(s, 45)
    s.close()
    for f in "derp.key", "tls.key":
        assert os.stat(os.path.join(state, f)).st_mode & 0o777 == 0o600
    r.stop()
    again = Relay(state)
    try:
        assert again.pin[1] == r.pin[1]
        s = again.tls()
        ask(s, "GET /derp", "Connection: Upgrade", "Upgrade: DERP")
        assert exactly(s, 45) == key
        # With a client there, SIGTERM drains: the door is shut at once, and the second signal ends it.
        again.p.send_signal(signal.SIGTERM)
        end = time.monotonic() + 5
        while time.monotonic() < end:
            try:
                socket.create_connection(("127.0.0.1", again.at["derp"]), 1).close()
            except OSError:
                break
            time.sleep(0.02)
        else:
            raise AssertionError("the door stays open while draining")
    finally:
        again.stop()


def plain_port(state):
    free = socket.create_server(("127.0.0.1", 0))
    port = free.getsockname()[1]
    free.close()
    r = Relay(state, "--http", f"127.0.0.1:{port}")
    try:
        s = socket.create_connection(("127.0.0.1", port), 5)
        a = ask(s, "GET /generate_204?t=1", "X-Tailscale-Challenge: ts_1")
        assert a.startswith("HTTP/1.1 204 ") and "response ts_1\r\n" in a, a
        a = ask(s, "GET /x")
        assert a.startswith("HTTP/1.1 302 ") and "Location: https://127.0.0.1/x\r\n" in a, a
        a = ask(s, "GET /derp", "Connection: Upgrade", "Upgrade: DERP")  # nothing is relayed in the clear
        assert a.startswith("HTTP/1.1 302 "), a
    finally:
        r.stop()


def bad_start(*flags):
    r = subprocess.run([prog, *flags], capture_output=True, text=True, timeout=20)
    assert r.returncode == 1, (r.returncode, r.stderr)
    lines = r.stderr.strip().split("\n")
    assert len(lines) == 1 and lines[0].startswith("fairlead-derp: "), r.stderr
    return lines[0]


def bad_starts(state, tmp):
    base = ["--hostname", "127.0.0.1", "--http", "off", "--stun", "off", "--state", state]
    taken = socket.create_server(("127.0.0.1", 0))
    at = "127.0.0.1:%d" % taken.getsockname()[1]
    assert at in bad_start(*base, "--listen", at)
    r = Relay(state)  # one of our own has it: also noticed, though both would share it by SO_REUSEPORT
    assert "another program" in bad_start(*base, "--listen", "127.0.0.1:%d" % r.at["derp"])
    r.stop()
    assert "--hostname" in bad_start("--state", state)
    assert "--bogus" in bad_start(*base, "--bogus")
    assert "--listen" in bad_start(*base, "--listen", "nowhere")
    assert "belong together" in bad_start(*base, "--cert", "x")
    assert "/nonexistent.pem" in bad_start(*base, "--cert", "/nonexistent.pem", "--key", "/nonexistent.key")
    conf = os.path.join(tmp, "derp.toml")
    for text, what in ('hostname = "h"\nfoo = 1\n', ":2: foo"), ("threads = 1.5\n", ":1: threads"), ("hostname =\n", ":1:"):
        with open(conf, "w") as f:
            f.write(text)
        why = bad_start("--config", conf)
        assert conf + what in why, why


def allow_list(state, tmp):
    path = os.path.join(tmp, "keys")
    with open(path, "w") as f:
        f.write("# nobody yet\n\nnodekey:" + "11" * 32 + "  # one\n")
    r = Relay(state, "--allow-keys", path)
    try:
        with open(path, "a") as f:
            f.write("nodekey:zz\n")
        r.p.send_signal(signal.SIGHUP)
        line = r.line("key list not read again")
        assert ":4:" in line, line
    finally:
        r.stop()


def behind_a_proxy(state):
    """Who comes through a trusted proxy counts by the address that it tells; the header of anybody else is not believed."""
    free = socket.create_server(("127.0.0.1", 0))
    port = free.getsockname()[1]
    free.close()
    upgrade = "GET /derp HTTP/1.1\r\nHost: x\r\nUpgrade: DERP\r\nConnection: Upgrade\r\nX-Forwarded-For: 10.1.1.1, {}\r\n\r\n"

    def come(address, source):
        s = socket.create_connection(("127.0.0.1", port), 5, source_address=(source, 0))
        s.sendall(upgrade.format(address).encode())
        s.settimeout(5)
        try:
            got = s.recv(4096)
        except OSError:
            got = b""
        return s if got.startswith(b"HTTP/1.1 101") else None

    r = Relay(state, "--listen-plain", f"127.0.0.1:{port}", "--trusted-proxies", "127.0.0.1/32, 10.2.0.0/16",
              "--max-conns-per-address", "2")
    try:
        deadline = time.time() + 5
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                assert time.time() < deadline
        here = [come("192.0.2.1", "127.0.0.1"), come("192.0.2.1, 10.2.3.4", "127.0.0.1")]
        assert all(here), "two of one address"
        assert come("192.0.2.1", "127.0.0.1") is None, "a third of that address"
        here += [come("192.0.2.2", "127.0.0.1"), come("2001:db8::1", "127.0.0.1")]
        assert all(here), "others"
        here += [come(f"192.0.2.{n}", "127.0.0.7") for n in (10, 11)]  # no proxy of ours: its own address counts
        assert all(here) and come("192.0.2.12", "127.0.0.7") is None, "a stranger's header was believed"
        for s in here:
            s.close()
    finally:
        r.stop()
    bad_start("--hostname", "x", "--trusted-proxies", "nonsense")


def limits_change_live(state, tmp):
    path = os.path.join(tmp, "derp.toml")
    with open(path, "w") as f:
        f.write("rate_client = \"1M\"\n")
    r = Relay(state, "--config", path)
    try:
        with open(path, "w") as f:
            f.write("rate_client = \"2M\"\nmax_connections = 7\n")
        r.p.send_signal(signal.SIGHUP)
        line = r.line("limits read again")
        assert "max_connections=7" in line and "rate_client=2000000" in line, line
        with open(path, "w") as f:
            f.write("rate_client = \"much\"\n")
        r.p.send_signal(signal.SIGHUP)
        line = r.line("the old limits stay")
        assert "derp.toml:1" in line and "examples" in line, line
    finally:
        r.stop()


def status(r, state):
    c = r.tls()
    c.sendall(b"GET /derp HTTP/1.1\r\nHost: x\r\nUpgrade: DERP\r\nConnection: Upgrade\r\n\r\n")
    head(c)
    run = subprocess.run([prog, "status", "--json", "--state", state], capture_output=True, text=True, timeout=10)
    assert run.returncode == 0, run.stderr
    o = json.loads(run.stdout)
    assert o["derp"]["current_connections"] >= 1 and o["clients"] == [], run.stdout  # it has not said who it is
    table = subprocess.run([prog, "status", "--state", state], capture_output=True, text=True, timeout=10)
    assert table.returncode == 0 and "clients 0 here" in table.stdout, table.stdout + table.stderr
    run = subprocess.run([prog, "status", "--state", state + "-none"], capture_output=True, text=True, timeout=10)
    assert run.returncode == 1 and "is it running" in run.stderr, run.stderr
    c.close()
    for path, header, want in (("/metrics", "", 200), ("/debug/varz", "", 200), ("/debug/vars", "", 200), ("/debug/clients", "", 404),
                               ("/metrics", "X-Forwarded-For: 192.0.2.1\r\n", 403)):
        c = r.tls()
        c.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n{header}Connection: close\r\n\r\n".encode())
        h = head(c)
        assert f" {want} " in h.splitlines()[0], (path, h)
        c.close()


def main():
    tmp = tempfile.TemporaryDirectory()
    state = os.path.join(tmp.name, "state")
    r = Relay(state)
    tests = [(f.__name__, f, (r,)) for f in (http_answers, pinned_certificate, slow_and_fast_start, websocket, stun)]
    tests += [("restart_keeps_key_and_certificate", restart_keeps_key_and_certificate, (r, state)),
              ("plain_port", plain_port, (state,)), ("bad_starts", bad_starts, (state, tmp.name)),
              ("allow_list", allow_list, (state, tmp.name)), ("behind_a_proxy", behind_a_proxy, (state,)),
              ("limits_change_live", limits_change_live, (state, tmp.name))]
    tests.insert(5, ("status", status, (r, state)))
    bad = 0
    print(f"1..{len(tests)}")
    for i, (name, f, args) in enumerate(tests, 1):
        try:
            f(*args)
            print(f"ok {i} - {name}", flush=True)
        except Exception as e:  # the next ones still say something
            bad = 1
            print(f"not ok {i} - {name}\n# {type(e).__name__}: {e}", flush=True)
    if r.p.poll() is None:
        r.p.kill()
        r.p.wait()
    sys.exit(bad)


main()
