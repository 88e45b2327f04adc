#!/usr/bin/env python3
"""tls_bodies.py: bodies over TLS whose records come all at once: what the TLS layer holds back for want of room must be asked for,
for no readiness of the socket tells of it. Also a peer that wants small records (max_fragment_length). Prints TAP.

BUILD= names the build folder (default build/asan); arguments pick tests by name."""
import os, socket, ssl, subprocess, sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from lib.certs import make_certificate
from lib.kit import Server, run


def begin(folder):
    _, cert, key = make_certificate(folder)
    s = Server(folder, keys=f'tls_cert_path = "{cert}"\ntls_key_path = "{key}"\n')
    s.start()
    return s, s.must("apikeys", "create", "--expiration", "1h").strip()


class Flight:
    """A TLS connection whose sealed bytes are collected, and sent with one call."""

    def __init__(self, port, version):
        c = ssl.create_default_context()
        c.check_hostname, c.verify_mode = False, ssl.CERT_NONE
        c.minimum_version = c.maximum_version = version
        self.s = socket.create_connection(("127.0.0.1", port), 10)
        self.s.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        self.into, self.out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.t = c.wrap_bio(self.into, self.out, server_hostname="localhost")
        self.wait(self.t.do_handshake)
        self.flush()

    def flush(self):
        self.s.sendall(self.out.read())

    def wait(self, what, *args):
        while True:
            try:
                return what(*args)
            except ssl.SSLWantReadError:
                self.flush()
                self.into.write(self.s.recv(65536))


def post(s, key, n, record, version):
    f = Flight(s.port, version)
    body = b'{"acls":[] ' + b" " * (n - 12) + b"}"
    f.t.write((f"POST /api/v2/tailnet/-/acl/validate HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {key}\r\n"
               f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n").encode())
    for at in range(0, len(body), record):
        f.t.write(body[at:at + record])
    f.flush()
    f.s.settimeout(8)
    line = f.wait(f.t.read, 4096).split(b"\r\n")[0]
    f.s.close()
    return line


def bodies_in_one_flight(folder):
    s, key = begin(folder)
    for version in ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3:
        for n, record in ((1000, 16384), (17000, 16384), (20000, 16384), (33000, 16384), (60000, 16384), (300000, 16384), (60000, 1300), (20000, 4000)):
            try:
                line = post(s, key, n, record, version)
            except TimeoutError:
                line = b"no answer within 8 s"
            assert line == b"HTTP/1.1 200 OK", (version, n, record, line)
    s.end()


def small_records_as_asked(folder):
    s, key = begin(folder)
    for length in "512", "4096":
        r = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{s.port}", "-tls1_3", "-maxfraglen", length, "-quiet"], timeout=20,
                           input=f"GET /api/v1/openapi.json HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {key}\r\nConnection: close\r\n\r\n".encode(), capture_output=True)
        assert r.stdout.startswith(b"HTTP/1.1 200 OK") and len(r.stdout) > 20000 and r.stdout.rstrip().endswith(b"}"), (length, r.stdout[:200], len(r.stdout), r.stderr[-500:])
    s.end()


if __name__ == "__main__":
    run([bodies_in_one_flight, small_records_as_asked])
