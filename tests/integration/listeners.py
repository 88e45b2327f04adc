#!/usr/bin/env python3
"""listeners.py: where a server listens, and what it therefore tells clients about its relay. Prints TAP.

BUILD= names the build folder (default build/asan); arguments pick tests by name."""
import os, socket, subprocess, sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from lib.kit import Server, prog, run


def answers(host, port):
    try:
        with socket.create_connection((host, port), 3) as c:
            c.sendall(b"GET /health HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n")
            return b"200" in c.recv(100)
    except OSError:
        return False


class At(Server):
    """Listening elsewhere than on loopback alone. listen: with {port}."""

    def __init__(self, folder, listen, wires=2, keys="", derp="", url=None):
        self.listen, self.url, self.derp = listen, url, derp
        super().__init__(folder, keys=f"wire_threads = {wires}\n{keys}")

    def write(self):
        with open(self.config, "w") as f:
            f.write(f'server_url = "{self.url or f"http://127.0.0.1:{self.port}"}"\nlisten_addr = {self.listen.format(port=self.port)}\n'
                    f'unix_socket = "{self.socket}"\n{self.keys}\n[database]\npath = "{self.database}"\n[derp.server]\n' +
                    (self.derp or f'listen_addr = "127.0.0.1:{self.derp_port}"\n').format(derp=self.derp_port) +
                    f'stun_listen_addr = "127.0.0.1:{self.stun_port}"\nstun_second_port = 0\n')

    def region(self):
        status, m = self.ask("GET", "/api/fairlead/v1/derp-map")
        assert status == 200, m
        (region,) = m["Regions"].values()
        return region["Nodes"][0]


def both_wildcards_of_one_port(folder):
    """The IPv6 wildcard takes IPv4 as well, unless the IPv4 one is named beside it: `cannot listen on [::]` it said once."""
    for i, listen in enumerate(('["0.0.0.0:{port}", "[::]:{port}"]', '["[::]:{port}", "0.0.0.0:{port}"]', '"[::]:{port}"', '":{port}"')):
        for wires in 1, 2:
            sub = os.path.join(folder, f"{i}{wires}")
            os.mkdir(sub)
            s = At(sub, listen, wires).start()
            assert answers("127.0.0.1", s.port) and answers("::1", s.port), (listen, wires)
            r = subprocess.run([prog, "serve", "--config", s.config], capture_output=True, text=True, timeout=20)
            assert r.returncode == 1 and len(r.stderr.splitlines()) == 1, r.stderr  # not beside itself
            s.end()
    s = At(folder, '"0.0.0.0:{port}"').start()
    assert answers("127.0.0.1", s.port) and not answers("::1", s.port)
    s.end()


def one_family_named_is_all(folder):
    """A client that has to ask DNS for an address which is not there waits seconds in every netcheck."""
    def node(name, **more):
        sub = os.path.join(folder, name)
        os.mkdir(sub)
        s = At(sub, '"127.0.0.1:{port}"', **more).start()
        n = s.region()
        s.end()
        return n.get("IPv4", ""), n.get("IPv6", ""), n["HostName"]

    here = 'listen_addr = "127.0.0.1:{derp}"\n'
    assert node("a") == ("127.0.0.1", "none", "127.0.0.1")
    assert node("b", url="http://[::1]:8080") == ("none", "::1", "::1")
    assert node("c", url="http://vpn.example.com") == ("", "", "vpn.example.com")
    assert node("d", url="http://vpn.example.com", derp=here + 'ipv4 = "192.0.2.7"\n') == ("192.0.2.7", "none", "vpn.example.com")
    assert node("e", url="http://vpn.example.com", derp=here + 'ipv6 = "2001:db8::7"\n') == ("none", "2001:db8::7", "vpn.example.com")
    assert node("f", url="http://vpn.example.com", derp=here + 'ipv4 = "192.0.2.7"\nipv6 = "2001:db8::7"\n') == (
        "192.0.2.7", "2001:db8::7", "vpn.example.com")


def a_relay_behind_a_proxy_needs_no_certificate(folder):
    """TLS ends in the proxy: there is no listener of ours with a certificate that clients could pin."""
    s = At(folder, '"127.0.0.1:{port}"', keys='trusted_proxies = ["127.0.0.1/32"]', derp="port = 443\n", url="https://vpn.example.com").start()
    n = s.region()
    assert not n.get("CertName") and not n.get("DERPPort") and n["HostName"] == "vpn.example.com", n
    s.end()
    sub = os.path.join(folder, "own")
    os.mkdir(sub)
    s = At(sub, '"127.0.0.1:{port}"').start()  # our own TLS listener: pinned
    n = s.region()
    assert n["CertName"].startswith("sha256-raw:") and n["DERPPort"] == s.derp_port, n
    s.end()


run([both_wildcards_of_one_port, one_family_named_is_all, a_relay_behind_a_proxy_needs_no_certificate])
