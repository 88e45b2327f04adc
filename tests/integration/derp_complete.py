#!/usr/bin/env python3
"""derp_complete.py: fairlead-derp as an operator has it: a small TOML, files that are read again, STUN over both families, pages for the
operator, metrics under derper's names, a key taken from the list, and an orderly end with clients connected.

Prints TAP. BUILD= names the build folder (default build/asan).
"""
import hashlib, json, os, re, signal, socket, ssl, struct, subprocess, sys, tempfile, threading, time, zlib

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from lib.derp import PING, PONG, RECV, SEND, Derp, frame
from lib.ts2021 import Closed, x25519_public

top = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
prog = os.path.join(top, os.environ.get("BUILD", "build/asan"), "fairlead-derp")
RESTARTING = 0x15
# protocol/derp.md 13, what of it has a meaning here
DERPER = ("accepts websocket_accepts current_connections current_home_connections current_notideal_connections clients_total clients_local "
          "clients_remote watchers current_dup_client_keys current_dup_client_conns total_dup_client_conns home_moves_in home_moves_out "
          "bytes_received bytes_sent packets_received packets_sent packets_forwarded_out packets_forwarded_in got_ping "
          "peer_gone_disconnected_frames peer_gone_not_here_frames sclient_write_timeouts").split()
REASONS = "unknown_dest unknown_dest_on_fwd gone_disconnected queue_head queue_tail".split()


class Relay:
    def __init__(self, folder, toml, *flags):
        self.folder = folder
        os.makedirs(folder, exist_ok=True)
        path = os.path.join(folder, "derp.toml")
        with open(path, "w") as f:
            f.write(f'hostname = "127.0.0.1"\nlisten_addr = "127.0.0.1:0"\nstate_dir = "{folder}/state"\nthreads = 2\n' + toml)
        self.p = subprocess.Popen([prog, "--config", path, *flags], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.out, self.at = "", {}
        want = {"derp"} | {w for w in ("http", "stun") if w + "_" in toml and f'{w}_addr = "off"' not in toml and f'{w}_listen_addr = "off"' not in toml}
        while not want <= set(self.at):
            line = self.p.stdout.readline()
            assert line, "fairlead-derp ended: " + self.out
            self.out += line
            m = re.search(r"what=(\w+) at=\S+:(\d+)$", line.strip())
            if m:
                self.at[m[1]] = int(m[2])
        self.text = threading.Thread(target=self.read, daemon=True)
        self.text.start()

    def read(self):
        for line in self.p.stdout:
            self.out += line

    def tls(self):
        c = ssl.create_default_context()
        c.check_hostname, c.verify_mode = False, ssl.CERT_NONE
        s = c.wrap_socket(socket.create_connection(("127.0.0.1", self.at["derp"]), 10))
        s.settimeout(10)
        return s

    def client(self, secret=None):
        return Derp(self.tls(), secret).hello()

    def get(self, path, *headers, sock=None):
        s = sock or self.tls()
        s.sendall("\r\n".join([f"GET {path} HTTP/1.1", "Host: x", "Connection: close", *headers, "", ""]).encode())
        b = b""
        while True:
            more = s.recv(65536)
            if not more:
                break
            b += more
        s.close()
        head, _, body = b.partition(b"\r\n\r\n")
        return int(head.split()[1]), head.decode(), body.decode()

    def stop(self):
        if self.p.poll() is None:
            self.p.send_signal(signal.SIGTERM)
        try:
            rc = self.p.wait(2)
        except subprocess.TimeoutExpired:  # it has clients: a second one does not wait for them
            self.p.send_signal(signal.SIGTERM)
            rc = self.p.wait(20)
        self.text.join(5)
        assert rc == 0, f"exit status {rc}: {self.out[-2000:]}"


def until(what, check, seconds=10):
    end = time.time() + seconds
    while not check():
        assert time.time() < end, what
        time.sleep(0.02)


def alive(d):
    d.s.sendall(frame(PING, b"12345678"))
    while True:
        kind, p = d.frame()
        if kind == PONG:
            return p == b"12345678"


def ended(d, seconds=10):
    d.s.settimeout(seconds)
    try:
        while True:
            d.frame()
    except (Closed, OSError):
        return True


def a_small_toml_is_enough(tmp):
    r = Relay(tmp, 'http_addr = "off"\nstun_listen_addr = "off"\nregion_id = 903\n')
    try:
        text = r.out[r.out.index("{"):r.out.rindex("}") + 1]
        node = json.loads(text)["Regions"]["903"]["Nodes"][0]
        der = r.tls().getpeercert(True)
        assert node["CertName"] == "sha256-raw:" + hashlib.sha256(der).hexdigest() and node["DERPPort"] == r.at["derp"], node
        assert node["STUNPort"] == -1 and node["IPv4"] == "127.0.0.1", node
        code, head, body = r.get("/debug/derp-map")
        assert code == 200 and json.loads(body) == json.loads(text), body
        code, head, body = r.get("/bootstrap-dns")
        assert code == 200 and json.loads(body) == {} and "application/json" in head, (head, body)
    finally:
        r.stop()


def stun_over_both_families(tmp):
    r = Relay(tmp, 'http_addr = "off"\nstun_listen_addr = "[::]:0"\n')
    try:
        for family, to in (socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1"):
            tx = os.urandom(12)
            q = struct.pack(">HHI", 1, 20, 0x2112A442) + tx + struct.pack(">HH", 0x8022, 8) + b"tailnode"
            q += struct.pack(">HHI", 0x8028, 4, zlib.crc32(q) ^ 0x5354554E)
            u = socket.socket(family, socket.SOCK_DGRAM)
            u.settimeout(5)
            u.connect((to, r.at["stun"]))
            u.send(q)
            a = u.recv(200)
            assert a[:2] == b"\1\1" and a[8:20] == tx and len(a) == (32 if family == socket.AF_INET else 44), a
            mask = struct.pack(">I", 0x2112A442) + (tx if family == socket.AF_INET6 else b"")
            ip = bytes(x ^ y for x, y in zip(a[28:], mask))
            assert ip == socket.inet_pton(family, to) and struct.unpack(">H", a[26:28])[0] ^ 0x2112 == u.getsockname()[1], a
        body = r.get("/metrics")[2]
        for line in 'stun_requests{disposition="success"} 2', 'stun_addrfamily{family="ipv4"} 1', 'stun_addrfamily{family="ipv6"} 1':
            assert line in body.splitlines(), (line, body)
    finally:
        r.stop()


def certificates_are_read_again(tmp):
    os.makedirs(tmp)
    cert, key = os.path.join(tmp, "c.pem"), os.path.join(tmp, "k.pem")

    def make():
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj",
                        "/CN=relay.test", "-addext", "subjectAltName=DNS:relay.test", "-keyout", key, "-out", cert], check=True, capture_output=True)
        with open(cert) as f:
            return ssl.PEM_cert_to_DER_cert(f.read())

    first = make()
    r = Relay(tmp, f'http_addr = "off"\nstun_listen_addr = "off"\ntls_cert_path = "{cert}"\ntls_key_path = "{key}"\n')
    try:
        d = r.client()
        assert d.s.getpeercert(True) == first and "sha256-raw" not in r.out
        second = make()
        r.p.send_signal(signal.SIGHUP)
        until("the new certificate is shown", lambda: r.tls().getpeercert(True) == second)
        assert alive(d)
        with open(cert, "w") as f:
            f.write("no certificate\n")
        r.p.send_signal(signal.SIGHUP)
        until("a bad one is told", lambda: "the old certificate stays" in r.out)
        assert r.tls().getpeercert(True) == second and alive(d)
        d.close()
    finally:
        r.stop()


def who_leaves_the_list_is_disconnected(tmp):
    os.makedirs(tmp)
    path = os.path.join(tmp, "keys")
    a, b = os.urandom(32), os.urandom(32)

    def write(*secrets):
        with open(path, "w") as f:
            f.write("".join(f"nodekey:{x25519_public(s).hex()}\n" for s in secrets))

    write(a, b)
    r = Relay(tmp, f'http_addr = "off"\nstun_listen_addr = "off"\nallow_keys_path = "{path}"\n')
    try:
        one, two = r.client(a), r.client(b)
        assert alive(one) and alive(two)
        write(a)
        start = time.time()
        r.p.send_signal(signal.SIGHUP)
        assert ended(two) and time.time() - start < 5
        assert alive(one)
        try:
            d = r.client(b)
            assert ended(d)
        except (Closed, OSError):
            pass
    finally:
        r.stop()


def pages_for_the_operator(tmp):
    r = Relay(tmp, 'http_addr = "127.0.0.1:0"\nstun_listen_addr = "off"\n')
    try:
        a, b = r.client(), r.client()
        stop = threading.Event()

        def talk():
            while not stop.is_set():
                a.s.sendall(frame(SEND, b.public + b"x" * 1000))
                time.sleep(0.02)

        def listen():
            try:
                while not stop.is_set():
                    b.frame()
            except (Closed, OSError):
                pass

        for f in talk, listen:
            threading.Thread(target=f, daemon=True).start()
        assert "/debug/traffic" in r.get("/debug/")[2]
        code, _, body = r.get("/debug/traffic")
        assert code == 200 and "ask again" in body, body
        until("rates are told", lambda: re.match(r"2 of 2 connections are busy", r.get("/debug/traffic")[2]), 12)
        rows = [re.search(r"(127\.0\.0\.1:\d+) +in +(\d+) out +(\d+)$", line) for line in r.get("/debug/traffic")[2].splitlines()[1:]]
        rows = {m[1]: (int(m[2]), int(m[3])) for m in rows}
        sent, got = rows["127.0.0.1:%d" % a.s.getsockname()[1]], rows["127.0.0.1:%d" % b.s.getsockname()[1]]
        assert 10000 < sent[0] < 60000 and 10000 < got[1] < 60000, rows
        stop.set()
        for path in "/debug/", "/debug/traffic", "/debug/varz", "/debug/vars", "/debug/derp-map":
            assert r.get(path, "X-Forwarded-For: 192.0.2.1")[0] == 403, path
            plain = socket.create_connection(("127.0.0.1", r.at["http"]), 5)
            assert r.get(path, sock=plain)[0] == 200, path
        body = r.get("/debug/varz")[2]
        names = {line.split(" ")[0] for line in body.splitlines() if not line.startswith("#")}
        missing = [n for n in DERPER if "derp_" + n not in names]
        missing += [n for n in (f'derp_packets_dropped{{reason="{r}",kind="{k}"}}' for r in REASONS for k in ("disco", "other")) if n not in names]
        missing += [n for n in (f'derp_packets_received_kind{{kind="{k}"}}' for k in ("disco", "other")) if n not in names]
        assert not missing, missing
        types = re.findall(r"^# TYPE (\S+)", body, re.M)
        assert len(types) == len(set(types)), "a family in two pieces"
    finally:
        r.stop()


def an_orderly_end(tmp):
    """SIGTERM: nobody new, a restarting frame to each, closed at times that are spread, and the process ends with the last."""
    r = Relay(tmp, 'http_addr = "off"\nstun_listen_addr = "off"\n')
    try:
        clients = [r.client() for _ in range(6)]
        assert all(alive(d) for d in clients)
        told, closed = [], []
        start = time.time()

        def wait(d):
            d.s.settimeout(25)
            try:
                while True:
                    kind, p = d.frame()
                    if kind == RESTARTING:
                        told.append((time.time() - start, struct.unpack(">II", p)))
            except (Closed, OSError):
                closed.append(time.time() - start)

        threads = [threading.Thread(target=wait, args=(d,)) for d in clients]
        for t in threads:
            t.start()
        r.p.send_signal(signal.SIGTERM)
        for t in threads:
            t.join(30)
        assert len(told) == 6 and all(at < 3 for at, _ in told), told
        assert len({p[0] for _, p in told}) > 1 and all(p[0] < 15000 and p[1] > 0 for _, p in told), told
        assert len(closed) == 6 and max(closed) < 20 and max(closed) - min(closed) > 0.2, closed
        assert r.p.wait(5) == 0
    finally:
        r.stop()


def main():
    tests = (a_small_toml_is_enough, stun_over_both_families, certificates_are_read_again, who_leaves_the_list_is_disconnected,
             pages_for_the_operator, an_orderly_end)
    bad = 0
    print(f"1..{len(tests)}")
    with tempfile.TemporaryDirectory() as tmp:
        for i, f in enumerate(tests, 1):
            try:
                f(os.path.join(tmp, f.__name__))
                print(f"ok {i} - {f.__name__}", flush=True)
            except Exception as e:  # the next ones still say something
                bad = 1
                print(f"not ok {i} - {f.__name__}\n# {type(e).__name__}: {e}", flush=True)
    sys.exit(bad)


main()
