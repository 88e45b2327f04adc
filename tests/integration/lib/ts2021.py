"""ts2021: a node's half of the control protocol, small and easily made to misbehave: Noise IK, records, HTTP/2 frames.

Python has no X25519 and no HPACK; libsodium and libnghttp2, which the server itself needs, lend theirs."""
import base64, ctypes, hashlib, hmac, json, os, socket, struct, time

sodium = ctypes.CDLL("libsodium.so.23")
nghttp2 = ctypes.CDLL("libnghttp2.so.14")
sodium.sodium_init()

DATA, HEADERS, PRIORITY, RST, SETTINGS, PING, GOAWAY, WINDOW, CONTINUATION = 0, 1, 2, 3, 4, 6, 7, 8, 9
END_STREAM, ACK, END_HEADERS = 1, 1, 4


def x25519_public(secret):
    out = ctypes.create_string_buffer(32)
    sodium.crypto_scalarmult_base(out, secret)
    return out.raw


def x25519(secret, public):
    out = ctypes.create_string_buffer(32)
    assert sodium.crypto_scalarmult(out, secret, public) == 0
    return out.raw


def seal(key, nonce, ad, plain):
    out, n = ctypes.create_string_buffer(len(plain) + 16), ctypes.c_ulonglong()
    sodium.crypto_aead_chacha20poly1305_ietf_encrypt(out, ctypes.byref(n), plain, ctypes.c_ulonglong(len(plain)), ad,
                                                     ctypes.c_ulonglong(len(ad)), None, nonce, key)
    return out.raw[:n.value]


def unseal(key, nonce, ad, sealed):
    out, n = ctypes.create_string_buffer(max(len(sealed), 1)), ctypes.c_ulonglong()
    rc = sodium.crypto_aead_chacha20poly1305_ietf_decrypt(out, ctypes.byref(n), None, sealed,
                                                          ctypes.c_ulonglong(len(sealed)), ad,
                                                          ctypes.c_ulonglong(len(ad)), nonce, key)
    assert rc == 0, "bad tag"
    return out.raw[:n.value]


def blake2s(b):
    return hashlib.blake2s(b).digest()


def hkdf2(ck, ikm):
    def mac(k, b):
        return hmac.new(k, b, hashlib.blake2s).digest()
    t = mac(ck, ikm)
    a = mac(t, b"\1")
    return a, mac(t, a + b"\2")


class Machine:
    """A machine with a node key; both may be borrowed from another."""

    def __init__(self, secret=None, node=None):
        self.secret = secret or os.urandom(32)
        self.public = x25519_public(self.secret)
        self.node = node or x25519_public(os.urandom(32))
        self.disco = x25519_public(os.urandom(32))

    @property
    def nodekey(self):
        return "nodekey:" + self.node.hex()


class Nv(ctypes.Structure):
    _fields_ = [("name", ctypes.POINTER(ctypes.c_uint8)), ("value", ctypes.POINTER(ctypes.c_uint8)),
                ("namelen", ctypes.c_size_t), ("valuelen", ctypes.c_size_t), ("flags", ctypes.c_uint8)]


class Inflater:
    def __init__(self):
        self.h = ctypes.c_void_p()
        assert nghttp2.nghttp2_hd_inflate_new(ctypes.byref(self.h)) == 0
        nghttp2.nghttp2_hd_inflate_hd2.restype = ctypes.c_ssize_t

    def __call__(self, block):
        out, nv, flags = [], Nv(), ctypes.c_int()
        while True:
            n = nghttp2.nghttp2_hd_inflate_hd2(self.h, ctypes.byref(nv), ctypes.byref(flags), block,
                                               ctypes.c_size_t(len(block)), 1)
            assert n >= 0
            block = block[n:]
            if flags.value & 2:
                out.append((ctypes.string_at(nv.name, nv.namelen).decode(), ctypes.string_at(nv.value, nv.valuelen).decode()))
            if flags.value & 1:
                nghttp2.nghttp2_hd_inflate_end_headers(self.h)
                return out
            assert n or flags.value & 2


def hpack_int(n, bits, first=0):
    top = (1 << bits) - 1
    if n < top:
        return bytes([first | n])
    out = bytearray([first | top])
    n -= top
    while n > 127:
        out.append(n & 127 | 128)
        n >>= 7
    out.append(n)
    return bytes(out)


def hpack(headers):
    """Literals without indexing, never compressed."""
    out = b""
    for k, v in headers:
        k, v = k.encode(), v.encode() if isinstance(v, str) else v
        out += b"\0" + hpack_int(len(k), 7) + k + hpack_int(len(v), 7) + v
    return out


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


class Closed(Exception):
    pass


class Initiation:
    """What a node sends first, and what it makes of the answer."""

    def __init__(self, machine, server, version=142, prologue=None):
        self.machine, self.version, self.e = machine, version, os.urandom(32)
        e_pub = x25519_public(self.e)
        self.h = self.ck = blake2s(b"Noise_IK_25519_ChaChaPoly_BLAKE2s")
        self.mix(b"Tailscale Control Protocol v%d" % (prologue or version))
        self.mix(server)
        self.mix(e_pub)
        noise = e_pub + self.seal(x25519(self.e, server), machine.public)
        noise += self.seal(x25519(machine.secret, server), b"")
        self.frame = struct.pack(">HBH", version, 1, len(noise)) + noise

    def mix(self, b):
        self.h = blake2s(self.h + b)

    def seal(self, dh, plain):
        self.ck, k = hkdf2(self.ck, dh)
        out = seal(k, bytes(12), self.h, plain)
        self.mix(out)
        return out

    def finish(self, response):
        re = response[:32]
        self.mix(re)
        self.ck, _ = hkdf2(self.ck, x25519(self.e, re))
        self.ck, k = hkdf2(self.ck, x25519(self.machine.secret, re))
        assert unseal(k, bytes(12), self.h, response[32:48]) == b""
        return hkdf2(self.ck, b"")


def upgrade(frame_bytes, extra="", path="/ts2021"):
    return (f"POST {path} HTTP/1.1\r\nHost: t\r\nUpgrade: tailscale-control-protocol\r\nConnection: upgrade\r\n"
            f"X-Tailscale-Handshake: {base64.b64encode(frame_bytes).decode()}\r\n{extra}\r\n").encode()


class Control:
    """One session. sock: connected, plain or TLS."""

    def __init__(self, sock, machine, server, version=142, http2=True, early=b""):
        self.s, self.machine, self.version = sock, machine, version
        self.buf, self.plain = b"", b""
        i = Initiation(machine, server, version)
        self.s.sendall(upgrade(i.frame) + early)
        while b"\r\n\r\n" not in self.buf:
            self.more()
        head, self.buf = self.buf.split(b"\r\n\r\n", 1)
        if not head.startswith(b"HTTP/1.1 101"):
            raise Closed(head.decode(errors="replace"))
        kind, body = self.raw_frame()
        if kind == 3:
            raise Closed(body.decode())
        assert kind == 2 and len(body) == 48
        self.tx, self.rx = i.finish(body)
        self.tx_n = self.rx_n = 0
        self.stream, self.inflate, self.answers = 1, Inflater(), {}
        self.room = {0: 65535}  # what may be sent, of the connection and of each stream
        if http2:
            self.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" +
                      frame(SETTINGS, 0, 0, struct.pack(">HIHI", 2, 0, 4, 1 << 24)) +
                      frame(WINDOW, 0, 0, struct.pack(">I", 1 << 24)))

    def close(self):
        self.s.close()

    def more(self):
        try:
            b = self.s.recv(65536)
        except (ConnectionResetError, BrokenPipeError) as e:
            raise Closed(str(e))
        if not b:
            raise Closed("end")
        self.buf += b

    def raw_frame(self):
        while len(self.buf) < 3 or len(self.buf) < 3 + struct.unpack(">H", self.buf[1:3])[0]:
            self.more()
        kind, n = struct.unpack(">BH", self.buf[:3])
        body, self.buf = self.buf[3:3 + n], self.buf[3 + n:]
        return kind, body

    def record(self, plain):
        out = seal(self.tx, bytes(4) + struct.pack(">Q", self.tx_n), b"", plain)
        self.tx_n += 1
        return b"\4" + struct.pack(">H", len(out)) + out

    def send(self, plain):
        out = b"".join(self.record(plain[i:i + 4077]) for i in range(0, len(plain), 4077))
        try:
            self.s.sendall(out)
        except (ConnectionResetError, BrokenPipeError) as e:
            raise Closed(str(e))

    def frame(self):
        """(kind, flags, stream, payload) of the next frame."""
        while len(self.plain) < 9 or len(self.plain) < 9 + int.from_bytes(self.plain[:3], "big"):
            kind, body = self.raw_frame()
            assert kind == 4, kind
            self.plain += unseal(self.rx, bytes(4) + struct.pack(">Q", self.rx_n), b"", body)
            self.rx_n += 1
        n = int.from_bytes(self.plain[:3], "big")
        out = self.plain[3], self.plain[4], int.from_bytes(self.plain[5:9], "big"), self.plain[9:9 + n]
        self.plain = self.plain[9 + n:]
        return out

    def headers(self, method, path, extra=()):
        return hpack([(":method", method), (":scheme", "http"), (":path", path), (":authority", "t"), *extra])

    def request(self, method, path, body=b"", extra=()):
        """Sends a request; its stream. body None: it comes by data()."""
        n, self.stream = self.stream, self.stream + 2
        self.answers[n] = [None, b"", False]
        self.room[n] = 65535
        head = frame(HEADERS, END_HEADERS | (END_STREAM if body == b"" else 0), n, self.headers(method, path, extra))
        if body is None:
            self.send(head)
        else:
            self.data(n, body, END_STREAM, head)
        return n

    def data(self, n, body, flags=0, before=b""):
        """A body, or part of one, as fast as the server takes it."""
        out, at = before, 0
        while at < len(body) and not self.answers[n][2]:
            k = min(16384, self.room[0], self.room[n], len(body) - at)
            if k <= 0:
                self.send(out)
                out = b""
                self.step()
                continue
            out += frame(DATA, flags if at + k == len(body) else 0, n, body[at:at + k])
            self.room[0], self.room[n], at = self.room[0] - k, self.room[n] - k, at + k
        self.send(out)

    def step(self):
        """Takes one frame into answers."""
        kind, flags, n, p = self.frame()
        a = self.answers.get(n)
        if kind == SETTINGS and not flags & ACK:
            self.send(frame(SETTINGS, ACK, 0))
        elif kind == HEADERS:
            h = dict(self.inflate(p))
            if a is not None:
                a[0], a[2] = int(h[":status"]), bool(flags & END_STREAM)
        elif kind == DATA:
            if a is not None:
                a[1], a[2] = a[1] + p, bool(flags & END_STREAM)
            if p:
                self.send(frame(WINDOW, 0, 0, struct.pack(">I", len(p))))
        elif kind == WINDOW and n in self.room:
            self.room[n] += struct.unpack(">I", p)[0]
        elif kind == RST and a is not None:
            a[0], a[2] = a[0] or 0, True
        elif kind == GOAWAY:
            raise Closed("GOAWAY " + str(struct.unpack(">I", p[4:8])[0]) + " " + p[8:].decode(errors="replace"))

    def wait(self, n):
        while not self.answers[n][2]:
            self.step()
        status, body, _ = self.answers.pop(n)
        return status, body

    def ask(self, method, path, body=b""):
        if not isinstance(body, bytes):
            body = json.dumps(body).encode()
        return self.wait(self.request(method, path, body))

    # ---- what nodes say ----

    def hostinfo(self, **more):
        return {"OS": "linux", "Hostname": "n" + self.machine.node.hex()[:8], "IPNVersion": "1.102.0", **more}

    def register(self, auth_key=None, expiry=None, hostinfo=None, version=None, node=None, **more):
        """The decoded answer, with its HTTP status under "status"."""
        body = {"Version": version or self.version, "NodeKey": node or self.machine.nodekey,
                "OldNodeKey": "nodekey:" + "0" * 64,
                "NLKey": "nlpub:" + "0" * 64, "Hostinfo": hostinfo or self.hostinfo(),
                "Expiry": expiry or "0001-01-01T00:00:00Z", **more}
        if auth_key:
            body["Auth"] = {"AuthKey": auth_key}
        status, text = self.ask("POST", "/machine/register", body)
        try:
            out = json.loads(text)
        except ValueError:
            out = {"text": text.decode(errors="replace")}
        return {**out, "status": status}

    def map_body(self, stream=False, node=None, **more):
        return {"Version": self.version, "KeepAlive": True, "NodeKey": node or self.machine.nodekey,
                "DiscoKey": "discokey:" + self.machine.disco.hex(), "Stream": stream, "Hostinfo": self.hostinfo(),
                **more}

    def lite(self, **more):
        return self.ask("POST", "/machine/map", self.map_body(OmitPeers=True, **more))

    def netmap(self, **more):
        """A whole map, without staying."""
        status, body = self.ask("POST", "/machine/map", self.map_body(**more))
        return status, json.loads(body[4:]) if status == 200 else body

    def poll(self, **more):
        """Opens a map stream; message(n) reads from it."""
        return self.request("POST", "/machine/map", json.dumps(self.map_body(stream=True, **more)).encode())

    def message(self, n):
        """The next message of a map stream that is no keepalive; None: it ended."""
        a = self.answers[n]
        while True:
            while len(a[1]) < 4 or len(a[1]) < 4 + struct.unpack("<I", a[1][:4])[0]:
                if a[2]:
                    return None
                self.step()
            size = struct.unpack("<I", a[1][:4])[0]
            m, a[1] = json.loads(a[1][4:4 + size]), a[1][4 + size:]
            if not m.get("KeepAlive"):
                return m
