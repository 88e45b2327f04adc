"""derp: a relay client's half of DERP, small and easily made to misbehave. libsodium lends its boxes."""
import ctypes, json, os, struct

from lib.ts2021 import Closed, sodium, x25519_public

MAGIC = b"DERP\xf0\x9f\x94\x91"
(SERVER_KEY, CLIENT_INFO, SERVER_INFO, SEND, RECV, KEEP_ALIVE, PREFERRED, GONE, PRESENT, FORWARD) = range(1, 11)
WATCH, CLOSE_PEER, PING, PONG = 0x10, 0x11, 0x12, 0x13
UPGRADE = b"GET /derp HTTP/1.1\r\nHost: t\r\nUpgrade: DERP\r\nConnection: Upgrade\r\n\r\n"


def frame(kind, payload=b"", length=None):
    return struct.pack(">BI", kind, len(payload) if length is None else length) + payload


def box(plain, server, secret):
    nonce, out = os.urandom(24), ctypes.create_string_buffer(len(plain) + 16)
    assert sodium.crypto_box_easy(out, plain, ctypes.c_ulonglong(len(plain)), nonce, server, secret) == 0
    return nonce + out.raw


class Derp:
    """A connection up to the server's key; hello() is the rest of the handshake."""

    def __init__(self, sock, secret=None, request=UPGRADE):
        self.s, self.buf = sock, b""
        self.secret = secret or os.urandom(32)
        self.public = x25519_public(self.secret)
        self.s.sendall(request)
        while b"\r\n\r\n" not in self.buf:
            self.more()
        head, self.buf = self.buf.split(b"\r\n\r\n", 1)
        if not head.startswith(b"HTTP/1.1 101"):
            raise Closed(head.decode(errors="replace"))
        kind, p = self.frame()
        assert kind == SERVER_KEY and p[:8] == MAGIC, (kind, p)
        self.server = p[8:40]

    def close(self):
        self.s.close()

    def more(self):
        try:
            b = self.s.recv(65536)
        except (ConnectionError, TimeoutError) as e:
            raise Closed(str(e))
        if not b:
            raise Closed("end")
        self.buf += b

    def frame(self):
        while len(self.buf) < 5 or len(self.buf) < 5 + struct.unpack(">I", self.buf[1:5])[0]:
            self.more()
        kind, n = struct.unpack(">BI", self.buf[:5])
        p, self.buf = self.buf[5:5 + n], self.buf[5 + n:]
        return kind, p

    def client_info(self, info=None):
        text = json.dumps({"version": 2, "CanAckPings": True}).encode() if info is None else info
        return self.public + box(text, self.server, self.secret)

    def hello(self, info=None):
        self.s.sendall(frame(CLIENT_INFO, self.client_info(info)))
        kind, _ = self.frame()
        assert kind == SERVER_INFO, kind
        return self

    def answers(self):
        """Pings, and waits for the answer, past whatever else comes; what came before it."""
        data, seen = os.urandom(8), []
        self.s.sendall(frame(PING, data))
        while True:
            kind, p = self.frame()
            if kind == PONG and p == data:
                return seen
            seen.append((kind, p))
