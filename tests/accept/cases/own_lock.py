"""Tailnet lock between official daemons: start, sign, change keys, rotate a node key, end."""
import re, time

from accept import case
from lab import World, check, join, settle_in, until


def own_key(n):
    return re.search(r"This node's tailnet.lock key: (tlpub:[0-9a-f]+)", n.cli("lock", "status").stdout).group(1)


def says(n, text):
    return text in n.cli("lock", "status").stdout


def init(a, *keys):
    return a.cli("lock", "init", "--confirm", "--gen-disablements=1", *keys, timeout=60)


@case()
def life():
    """a member may not start it, an admin may; a newcomer is locked out until signed; keys are added and removed; a rotated key stays
    signed; it survives a restart; only the right secret ends it"""
    with World("lock") as w:
        s = w.server
        u = s.user("alice")
        a, b, c = join(w, u, "a", "b", "c")
        ka, kb, kc = own_key(a), own_key(b), own_key(c)
        x = init(a, ka, kb)
        check(x.returncode != 0 and "admin" in x.stderr, f"a member started it: {x.stdout} {x.stderr}")
        s.api("POST", f"/api/fairlead/v1/user/{u['id']}/role", {"role": "admin"})
        x = init(a, ka, kb)
        check(x.returncode == 0, f"init: {x.stdout} {x.stderr}")
        secret = re.search(r"disablement-secret:[0-9A-F]+", x.stdout).group(0)
        until(lambda: says(c, "Tailnet Lock is ENABLED"), 15, "the third device knows")
        until(lambda: c.disco(a.ip4), 15, "signed devices reach each other")

        d = w.client("d")
        d.up(s.authkey(u))
        until(lambda: says(d, "LOCKED OUT"), 15, "the newcomer knows that it is locked out")
        check(a.disco(d.ip4) is None and a.peer(d) is None, "the newcomer is seen before it is signed")
        m = re.search(r"tailscale lock sign (nodekey:\S+) (tlpub:\S+)", d.cli("lock", "status").stdout)
        y = b.cli("lock", "sign", m.group(1), m.group(2))
        check(y.returncode == 0, f"sign: {y.stdout} {y.stderr}")
        t0 = time.monotonic()
        until(lambda: a.disco(d.ip4), 20, "the newcomer is reached once signed")
        signed = time.monotonic() - t0

        y = a.cli("lock", "add", kc)
        check(y.returncode == 0, f"add: {y.stdout} {y.stderr}")
        until(lambda: says(d, kc), 15, "all know the new key")
        y = a.cli("lock", "remove", kb, timeout=60)  # signs anew what that key had signed
        check(y.returncode == 0, f"remove: {y.stdout} {y.stderr}")
        until(lambda: not says(d, kb), 15, "all know that the key is gone")
        until(lambda: a.disco(d.ip4), 15, "what it had signed was signed anew")

        d.up(s.authkey(u), "--force-reauth")
        until(lambda: a.disco(d.ip4), 30, "a rotated node key carries its signature")
        s.stop()
        s.start()
        f = w.client("f")
        f.up(s.authkey(u))
        until(lambda: says(f, "LOCKED OUT"), 15, "after a restart it is still on")
        y = a.cli("lock", "disable", "disablement-secret:" + "00" * 32, timeout=60)
        check(y.returncode != 0, "a wrong secret ended it")
        y = a.cli("lock", "disable", secret, timeout=60)
        check(y.returncode == 0, f"disable: {y.stdout} {y.stderr}")
        until(lambda: a.disco(f.ip4), 30, "the last newcomer is reached once it is off")
        until(lambda: says(c, "NOT enabled"), 15, "all know that it is off")
        return f"signed newcomer reached in {signed:.2f} s"
