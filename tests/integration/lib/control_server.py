"""control_server: a control server that says whatever a test wants said: the other half of ts2021.py.

    s = ControlServer("10.0.0.1", 8080, netns)      answers /key, /ts2021, registers, lite updates
    s.answer = lambda body: {...}                   to a register
    p = s.wait_poll()                               the newest map stream
    p.message({...}) p.payload(zstd bytes) p.data(raw bytes) p.alive()

A connection has a thread that reads; what is sent is sent by the caller, as fast as the client takes it."""
import base64, contextlib, ctypes, json, os, socket, struct, threading, time

from ts2021 import *

zstd = ctypes.CDLL("libzstd.so.1")
zstd.ZSTD_compressBound.restype = zstd.ZSTD_compress.restype = zstd.ZSTD_compress2.restype = ctypes.c_size_t
zstd.ZSTD_createCCtx.restype = ctypes.c_void_p
WINDOW_LOG = 101  # ZSTD_c_windowLog


def compress(plain, level=1, window_log=None):
    room = zstd.ZSTD_compressBound(ctypes.c_size_t(len(plain)))
    out = ctypes.create_string_buffer(room)
    c = ctypes.c_void_p(zstd.ZSTD_createCCtx())
    zstd.ZSTD_CCtx_setParameter(c, 100, level)
    zstd.ZSTD_CCtx_setParameter(c, 200, 0)  # no content size: the frame says its window instead
    if window_log:
        zstd.ZSTD_CCtx_setParameter(c, WINDOW_LOG, window_log)
    n = zstd.ZSTD_compress2(c, out, ctypes.c_size_t(room), plain, ctypes.c_size_t(len(plain)))
    assert not zstd.ZSTD_isError(ctypes.c_size_t(n))
    zstd.ZSTD_freeCCtx(c)
    return out.raw[:n]


def into(netns):
    """This thread goes into a network namespace."""
    with open(f"/run/netns/{netns}") as f:
        os.setns(f.fileno(), os.CLONE_NEWNET) if hasattr(os, "setns") else ctypes.CDLL(None).setns(f.fileno(), 0x40000000)


class Session:
    """One connection of a client."""

    def __init__(self, server, sock):
        self.server, self.s = server, sock
        self.buf, self.plain, self.closed = b"", b"", False
        self.cond = threading.Condition()
        self.room, self.initial = {0: 65535}, 65535
        self.bodies, self.heads = {}, {}
        self.inflate = Inflater()
        self.tx_n = self.rx_n = 0

    # ---- bytes ----

    def more(self):
        b = self.s.recv(65536)
        if not b:
            raise Closed("end")
        self.buf += b

    def take(self, n):
        while len(self.buf) < n:
            self.more()
        out, self.buf = self.buf[:n], self.buf[n:]
        return out

    def send(self, plain):
        with self.cond:
            self.send_locked(plain)

    def send_locked(self, plain):
        out = b""
        for i in range(0, len(plain), 4077):
            sealed = seal(self.tx, bytes(4) + struct.pack(">Q", self.tx_n), b"", plain[i:i + 4077])
            self.tx_n += 1
            out += b"\4" + struct.pack(">H", len(sealed)) + sealed
        self.s.sendall(out)

    # ---- handshake ----

    def shake(self, first):
        secret, init = self.server.secret, first[5:]
        self.h = self.ck = blake2s(b"Noise_IK_25519_ChaChaPoly_BLAKE2s")
        self.mix(b"Tailscale Control Protocol v%d" % struct.unpack(">H", first[:2])[0])
        self.mix(self.server.public)
        e, s, tag = init[:32], init[32:80], init[80:96]
        self.mix(e)
        who = self.open(x25519(secret, e), s)
        self.open(x25519(secret, who), tag)
        mine = os.urandom(32)
        pub = x25519_public(mine)
        self.mix(pub)
        self.ck, _ = hkdf2(self.ck, x25519(mine, e))
        self.ck, k = hkdf2(self.ck, x25519(mine, who))
        out = pub + seal(k, bytes(12), self.h, b"")
        self.mix(out[32:])
        self.rx, self.tx = hkdf2(self.ck, b"")
        return b"\2" + struct.pack(">H", len(out)) + out

    def mix(self, b):
        self.h = blake2s(self.h + b)

    def open(self, dh, sealed):
        self.ck, k = hkdf2(self.ck, dh)
        out = unseal(k, bytes(12), self.h, sealed)
        self.mix(sealed)
        return out

    # ---- what the client says ----

    def run(self):
        while b"\r\n\r\n" not in self.buf:
            self.more()
        head, self.buf = self.buf.split(b"\r\n\r\n", 1)
        if head.startswith(b"GET /key"):
            text = json.dumps({"publicKey": "mkey:" + self.server.public.hex()}).encode()
            self.s.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % len(text) + text)
            return
        fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
        raw = next(line for line in head.split(b"\r\n") if line.lower().startswith(b"x-tailscale-handshake: "))
        assert fields[b"upgrade"] == b"tailscale-control-protocol"
        answer = self.shake(base64.b64decode(raw.split(b": ", 1)[1]))
        self.s.sendall(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: tailscale-control-protocol\r\nConnection: upgrade\r\n\r\n" +
                       answer)
        self.send(frame(SETTINGS, 0, 0) + frame(WINDOW, 0, 0, struct.pack(">I", 1 << 24)))
        preface = False
        while True:
            kind, n = struct.unpack(">BH", self.take(3))
            assert kind == 4
            self.plain += unseal(self.rx, bytes(4) + struct.pack(">Q", self.rx_n), b"", self.take(n))
            self.rx_n += 1
            if not preface and len(self.plain) >= 24:
                assert self.plain.startswith(b"PRI * HTTP/2.0")
                self.plain, preface = self.plain[24:], True
            while preface and len(self.plain) >= 9 + int.from_bytes(self.plain[:3], "big"):
                n = int.from_bytes(self.plain[:3], "big")
                p = self.plain[:9 + n]
                self.plain = self.plain[9 + n:]
                self.on_frame(p[3], p[4], int.from_bytes(p[5:9], "big"), p[9:])

    def on_frame(self, kind, flags, n, p):
        if kind == SETTINGS and not flags & ACK:
            for i in range(0, len(p), 6):
                key, value = struct.unpack(">HI", p[i:i + 6])
                if key == 4:
                    with self.cond:
                        for k in self.room:
                            self.room[k] += value - self.initial if k else 0
                        self.initial = value
            self.send(frame(SETTINGS, ACK, 0))
        elif kind == PING and not flags & ACK:
            self.send(frame(PING, ACK, 0, p))
        elif kind == HEADERS:
            with self.cond:
                self.heads[n], self.bodies[n] = dict(self.inflate(p)), b""
                self.room[n] = self.initial
        elif kind == DATA:
            self.bodies[n] += p
            if p:
                self.send(frame(WINDOW, 0, 0, struct.pack(">I", len(p))) +
                          (b"" if flags & END_STREAM else frame(WINDOW, 0, n, struct.pack(">I", len(p)))))
        elif kind == WINDOW:
            with self.cond:
                self.room[n] = self.room.get(n, self.initial) + struct.unpack(">I", p)[0]
                self.cond.notify_all()
        elif kind == RST:
            with self.cond:
                self.room.pop(n, None)
                self.cond.notify_all()
        if kind in (HEADERS, DATA) and flags & END_STREAM:
            self.on_request(n)

    def on_request(self, n):
        path, body = self.heads[n][":path"], self.bodies[n]
        said = json.loads(body) if body.startswith(b"{") and path.startswith("/machine/") else body
        self.server.requests.append((self.heads[n][":method"], path, said))
        if path == "/machine/register":
            self.server.registered = said
            self.respond(n, self.server.answer(said))
        elif path == "/machine/map" and said.get("Stream"):
            self.send(frame(HEADERS, END_HEADERS, n, hpack([(":status", "200")])))
            self.server.polls.append(Poll(self, n, said))
        else:
            self.respond(n, b"")

    def respond(self, n, body):
        body = body if isinstance(body, bytes) else json.dumps(body).encode()
        with self.cond:
            self.send_locked(frame(HEADERS, END_HEADERS | (0 if body else END_STREAM), n, hpack([(":status", "200")])))
            for i in range(0, len(body), 16384):
                part = body[i:i + 16384]
                self.send_locked(frame(DATA, END_STREAM if i + 16384 >= len(body) else 0, n, part))

    def close(self):
        with self.cond:
            self.closed = True
            self.cond.notify_all()
        with contextlib.suppress(OSError):
            self.s.shutdown(socket.SHUT_RDWR)
        self.s.close()


class Poll:
    """A map stream."""

    def __init__(self, session, n, asked):
        self.session, self.n, self.asked = session, n, asked

    def alive(self):
        return not self.session.closed and self.n in self.session.room

    def data(self, b, within=20):
        """False: the client ended it, or did not take it in time."""
        s, at, end = self.session, 0, time.monotonic() + within
        try:
            while at < len(b):
                with s.cond:
                    while not s.closed and self.n in s.room and min(s.room[0], s.room[self.n]) <= 0:
                        if not s.cond.wait(max(0, end - time.monotonic())):
                            return False
                    if not self.alive():
                        return False
                    k = min(16384, s.room[0], s.room[self.n], len(b) - at)
                    s.send_locked(frame(DATA, 0, self.n, b[at:at + k]))
                    s.room[0], s.room[self.n], at = s.room[0] - k, s.room[self.n] - k, at + k
        except OSError:
            s.close()
            return False
        return True

    def payload(self, packed):
        return self.data(struct.pack("<I", len(packed)) + packed)

    def message(self, m):
        return self.payload(compress(m if isinstance(m, bytes) else json.dumps(m).encode()))


class ControlServer:
    def __init__(self, address, port, netns):
        self.secret = os.urandom(32)
        self.public = x25519_public(self.secret)
        self.address, self.port = address, port
        self.url = f"http://{address}:{port}"
        self.answer = lambda body: {"MachineAuthorized": True, "User": {"ID": 1}, "Login": {"LoginName": "eve"}}
        self.polls, self.requests, self.sessions, self.registered, self.wrong = [], [], [], None, []
        self.ready = threading.Event()
        threading.Thread(target=self.listen, args=(netns,), daemon=True).start()
        assert self.ready.wait(5)

    def listen(self, netns):
        into(netns)
        self.s = socket.create_server((self.address, self.port))
        self.ready.set()
        while True:
            try:
                c, _ = self.s.accept()
            except OSError:
                return
            c.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            session = Session(self, c)
            self.sessions.append(session)
            threading.Thread(target=self.serve, args=(session,), daemon=True).start()

    def serve(self, session):
        try:
            session.run()
        except (Closed, OSError):
            pass
        except Exception as e:  # of the test, or a client that speaks badly
            self.wrong.append(repr(e))
        session.close()

    def wait_poll(self, seconds=20):
        """The stream that is open, or the next one."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self.polls and self.polls[-1].alive():
                return self.polls[-1]
            time.sleep(0.01)
        raise AssertionError(f"no map stream within {seconds} s")

    def close(self):
        self.s.close()
        for x in self.sessions:
            x.close()
