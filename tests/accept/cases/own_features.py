"""Smaller features between official daemons: Taildrop, Taildrive, peer relay, Serve."""
import os

from accept import case
from lab import World, check, join, settle_in, until

ACLS = [{"action": "accept", "src": ["*"], "dst": ["*:*"]}]


@case()
def taildrop():
    """a file arrives at the same user's other device; another user's device is no target, and takes nothing"""
    with World("drop") as w:
        s = w.server
        u = s.user("alice")
        a, b = join(w, u, "a", "b")
        c, = join(w, s.user("bob"), "c")
        settle_in([a, b, c])
        with open(a.dir + "/hello.txt", "w") as f:
            f.write("hi there")
        r = a.cli("file", "cp", a.dir + "/hello.txt", "b:", timeout=30)
        check(r.returncode == 0, f"cp: {r.stderr}")
        b.cli("file", "get", b.dir, timeout=20)
        check(open(b.dir + "/hello.txt").read() == "hi there", "another content")
        targets = a.cli("file", "cp", "--targets").stdout
        check(b.ip4 in targets and c.ip4 not in targets, f"targets: {targets}")
        check(a.cli("file", "cp", a.dir + "/hello.txt", "c:", timeout=30).returncode != 0, "another user's device took a file")


@case(breaks=["policy"])
def taildrive():
    """a folder that one device shares is read through another's WebDAV"""
    with World("drive") as w:
        s = w.server
        u = s.user("alice")
        s.policy({"acls": ACLS, "nodeAttrs": [{"target": ["*"], "attr": ["drive:share", "drive:access"]}],
                  "grants": [{"src": ["autogroup:member"], "dst": ["autogroup:self"], "app": {"tailscale.com/cap/drive": [{"shares": ["*"], "access": "rw"}]}}]})
        a, b = join(w, u, "a", "b")
        settle_in([a, b])
        os.makedirs(b.dir + "/share", exist_ok=True)
        with open(b.dir + "/share/f.txt", "w") as f:
            f.write("drive works")
        os.chmod(b.dir, 0o755)
        r = b.cli("drive", "share", "docs", b.dir + "/share")
        check(r.returncode == 0, r.stderr + r.stdout)
        url = "http://100.100.100.100:8080/tail.accept.test/b/docs/f.txt"
        until(lambda: w.exec("a", "curl", "-s", "-m", "8", url).stdout == "drive works", 20, "the file is read")


@case(breaks=["policy"])
def peer_relay():
    """two devices behind hard NATs meet at a relay of their tailnet"""
    with World("relay") as w:
        s = w.server
        u = s.user("alice")
        s.policy({"tagOwners": {"tag:relay": ["alice@"]}, "grants": [{"src": ["*"], "dst": ["*"], "ip": ["*"]},
                 {"src": ["alice@"], "dst": ["tag:relay"], "app": {"tailscale.com/cap/relay": []}}]})
        a, b = join(w, u, "a", "b", nat="hard")
        r, = join(w, u, "r", key=s.authkey(u, tags=["tag:relay"]))
        x = r.cli("set", "--relay-server-port=40000")
        check(x.returncode == 0, x.stderr)
        settle_in([a, b, r])
        via, dt = until(lambda: (a.disco(b.ip4) or {}).get("PeerRelay"), 60, "the relay is used", 0.5)
        return f"{via} after {dt:.1f} s"


@case()
def serve():
    """Serve by TCP and HTTP; Funnel, HTTPS and certificates are declined in words"""
    with World("serve") as w:
        u = w.server.user("alice")
        a, b = join(w, u, "a", "b")
        settle_in([a, b])
        w.serve("b", 9000, ip="127.0.0.1", reply="inner")
        x = b.cli("serve", "--bg", "--tcp=7000", "tcp://127.0.0.1:9000", timeout=20)
        check(x.returncode == 0, f"serve tcp: {x.stdout} {x.stderr}")
        until(lambda: a.tcp(b.ip4, 7000), 15, "TCP through serve")
        x = b.cli("serve", "--bg", "--http=80", "text:hello", timeout=20)
        check(x.returncode == 0, f"serve http: {x.stdout} {x.stderr}")
        until(lambda: "hello" in w.exec("a", "curl", "-s", "-m", "5", "-H", "Host: b.tail.accept.test", f"http://{b.ip4}/").stdout, 15, "HTTP through serve")
        x = b.cli("funnel", "--bg", "9000", timeout=20)
        check("not available" in x.stdout + x.stderr, f"funnel: {x.stdout} {x.stderr}")
        check(b.cli("cert", "b.tail.accept.test", timeout=20).returncode != 0, "a certificate out of nowhere")
