"""The life of a device between official daemons: logins that come back, end and change hands, names, tags, expiry, deletion."""
import re, time

from accept import case
from lab import ApiError, DOMAIN, UpError, World, check, hold, join, settle_in, until


def host(n):
    return n.status()["Self"]["DNSName"].split(".")[0]


def refused(n, *args):
    """Runs the CLI, which must fail; what it said."""
    r = n.cli(*args)
    check(r.returncode != 0, f"{n.h}: tailscale {' '.join(args)} was not refused")
    return (r.stderr + r.stdout).strip()


def knows(a, name):
    return [p for p in (a.status().get("Peer") or {}).values() if p["DNSName"].split(".")[0] == name]


def sees(a, name, d=10):
    return until(lambda: [p for p in knows(a, name) if p["Online"]], d, f"{a.h} sees {name} online")


@case()
def logout_login():
    """logout: the others see it expired and offline; the same user's key brings back node, addresses and name; another user's makes another node"""
    with World("life") as w:
        s = w.server
        u, v = s.user("alice"), s.user("bob")
        a, b = join(w, u, "a", "b")
        ip, row = b.ip4, s.node(b)
        check(b.cli("logout").returncode == 0, "logout")
        b.wait_state("NeedsLogin", 10)
        until(lambda: s.node(ip) is None or not s.node(ip)["online"], 10, "the API has it offline")
        until(lambda: not a.peer(ip) or not a.peer(ip)["Online"], 10, "the other has it offline")
        check(s.node(ip) and s.node(ip)["id"] == row["id"], "logout deleted the node")
        b.up(s.authkey(u))
        check(b.ip4 == ip and s.node(b)["id"] == row["id"], f"back as {b.ip4}, was {ip}")
        sees(a, "b")
        until(lambda: a.disco(b.ip4), 10, "reached again")
        b.cli("logout")
        b.wait_state("NeedsLogin", 10)
        b.up(s.authkey(v))
        new = s.node(b)
        check(new["user"]["name"] == "bob" and new["id"] != row["id"] and b.ip4 != ip, f"bob's: {new}")
        sees(a, new["givenName"])
        check(s.node(ip) is not None, "alice's node is gone")
        return f"bob's device is called {new['givenName']}"


@case()
def reauth():
    """--force-reauth by the same user's key keeps node and addresses with a new node key; by another user's key it becomes his, and peers see that"""
    with World("life") as w:
        s = w.server
        u, v = s.user("alice"), s.user("bob")
        a, b = join(w, u, "a", "b")
        ip, row = b.ip4, s.node(b)
        b.up(s.authkey(u), "--force-reauth")
        check(b.ip4 == ip, f"addresses changed: {b.ip4}")
        now = s.node(b)
        check(now["id"] == row["id"] and now["nodeKey"] != row["nodeKey"], f"{row} {now}")
        until(lambda: a.disco(b.ip4), 10, "reached with its new key")
        p, url = b.up_bg("--force-reauth")
        s.register(u, re.search(r"/register/([^/?#\s]+)", url).group(1))
        check(p.wait(20) == 0, "interactive re-authentication")
        b.refresh()
        check(b.ip4 == ip and s.node(b)["id"] == row["id"], "the same node after an interactive one")
        until(lambda: a.disco(b.ip4), 10, "reached with its third key")
        b.up(s.authkey(v), "--force-reauth")
        now = s.node(b)
        check(now["user"]["name"] == "bob", f"{now}")
        until(lambda: knows(a, now["givenName"]) and a.disco(b.ip4), 15, "reached as bob's")
        who = a.local("GET", "whois?addr=" + b.ip4)
        check(who["UserProfile"]["LoginName"].startswith("bob"), f"whois: {who['UserProfile']}")
        return f"bob's device: {now['givenName']} {b.ip4}, before {row['givenName']} {ip}"


@case(breaks=["expire"])
def expired():
    """an expired key: NeedsLogin at once, the others see it; up --force-reauth with a key, and by the page, brings it back with its addresses"""
    with World("life") as w:
        s = w.server
        u = s.user("alice")
        a, b = join(w, u, "a", "b")
        ip = b.ip4
        t0 = time.monotonic()
        s.expire(s.node(b))
        b.wait_state("NeedsLogin", 10)
        dt = time.monotonic() - t0
        until(lambda: a.disco(ip) is None, 10, "no longer reached")
        b.up(s.authkey(u), "--force-reauth")
        check(b.ip4 == ip, f"came back as {b.ip4}")
        until(lambda: a.disco(ip), 10, "reached again")
        s.expire(s.node(b))
        b.wait_state("NeedsLogin", 10)
        p, url = b.up_bg()
        s.register(u, re.search(r"/register/([^/?#\s]+)", url).group(1))
        check(p.wait(20) == 0, "up by the page")
        b.refresh()
        check(b.ip4 == ip, f"came back as {b.ip4}")
        until(lambda: a.disco(ip), 10, "reached again")
        row = s.node(b)
        soon = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 4))
        s.api("POST", f"/api/v1/node/{row['id']}/expire", {"expiry": soon})
        until(lambda: b.state() == "NeedsLogin", 15, "it expires at its time")
        s.api("POST", f"/api/v1/node/{row['id']}/expire", {"disableExpiry": True})
        until(lambda: b.state() == "Running", 20, "an expiry that is taken back lets it in again")
        until(lambda: a.disco(ip), 15, "reached again")
        return f"NeedsLogin {dt:.2f} s after the expiry"


@case(breaks=["delete"])
def deleted_online():
    """a device deleted while it runs: the others forget it, it needs a login, a key makes it a new node"""
    with World("life") as w:
        s = w.server
        u = s.user("alice")
        a, b = join(w, u, "a", "b")
        ip, row = b.ip4, s.node(b)
        t0 = time.monotonic()
        s.delete(row)
        until(lambda: a.peer(ip) is None, 5, "the other forgets it")
        forgot = time.monotonic() - t0
        until(lambda: b.state() == "NeedsLogin", 15, "it needs a login")
        needs = time.monotonic() - t0
        b.up(s.authkey(u))
        check(s.node(b)["id"] != row["id"], "the same node")
        sees(a, host(b))
        until(lambda: a.disco(b.ip4), 10, "reached")
        return f"forgotten after {forgot:.2f} s, NeedsLogin after {needs:.2f} s, then {host(b)} {b.ip4} (was {ip})"


@case(breaks=["delete"])
def deleted_offline():
    """a device deleted while it is away: it is told to log in when it comes back, and joins with a key"""
    with World("life") as w:
        s = w.server
        u = s.user("alice")
        a, b = join(w, u, "a", "b")
        ip, row = b.ip4, s.node(b)
        b.stop()
        until(lambda: not a.peer(ip)["Online"], 15, "offline")
        s.delete(row)
        until(lambda: a.peer(ip) is None, 5, "the other forgets it")
        b.start()
        # with the map that it remembers a client of today stays Running, and shows the page
        until(lambda: b.state() == "NeedsLogin" or b.status().get("AuthURL"), 30, "it needs a login")
        b.up(s.authkey(u), "--force-reauth")  # up alone changes nothing where the client says Running
        sees(a, host(b))
        until(lambda: a.disco(b.ip4), 10, "reached")
        return f"{host(b)} {b.ip4} (was {ip})"


@case()
def ephemeral():
    """an ephemeral device leaves at once by logout, and after its time when it is killed; one that comes back in time stays"""
    with World("life", A_EPHEMERAL_TIMEOUT="66s") as w:
        s = w.server
        u = s.user("alice")
        key = s.authkey(u, ephemeral=True)
        a, = join(w, u, "a")
        e, f, g = join(w, u, "e", "f", "g", key=key)
        ipe, ipf, ipg = e.ip4, f.ip4, g.ip4
        e.cli("logout")
        until(lambda: a.peer(ipe) is None and s.node(ipe) is None, 10, "gone by logout")
        f.stop()
        g.stop()
        time.sleep(20)
        check(s.node(ipf) and s.node(ipg), "gone too early")
        g.start()
        until(lambda: (a.peer(ipg) or {}).get("Online"), 30, "back in time")
        until(lambda: s.node(ipf) is None and a.peer(ipf) is None, 80, "gone after its time")
        check(s.node(ipg) is not None, "the one that came back is gone, too")
        hold(lambda: s.node(ipg) is not None, 10, "the one that came back stays")


@case(breaks=["rename"])
def names():
    """renames by the admin and by the client: DNS, status and API follow; a name that is taken is refused or numbered"""
    with World("life") as w:
        s = w.server
        u = s.user("alice")
        a, b = join(w, u, "a", "b")
        s.rename(s.node(b), "desk")
        sees(a, "desk")
        until(lambda: host(b) == "desk", 5, "it knows its own name")
        until(lambda: w.dns("a", "desk." + DOMAIN) == [b.ip4] and not w.dns("a", "b." + DOMAIN), 5, "DNS follows")
        row = s.node(b)
        check(row["givenName"] == "desk" and row["name"] == "b", f"API: {row['givenName']} {row['name']}")
        for bad in ("a", "Upper", "-x", "x-", "a_b", "a.b", "x" * 64, ""):
            try:
                s.rename(row, bad)
                got = s.node(b)["givenName"]
                check(bad == "Upper" and got == "upper", f"renamed to {bad!r}: {got}")
                s.rename(row, "desk")
            except ApiError as e:
                check(400 <= e.status < 500, f"{bad!r}: {e}")
        b.cli("set", "--hostname=other")
        until(lambda: s.node(b)["name"] == "other", 10, "the API has its host's name")
        check(s.node(b)["givenName"] == "desk", "an admin's name was overruled")
        a.cli("set", "--hostname=phone")
        until(lambda: s.node(a)["givenName"] == "phone", 10, "a name that follows the host's")
        sees(b, "phone")
        b.cli("set", "--hostname=phone")
        c, = join(w, u, "c", args=("--hostname=phone",))
        check(re.fullmatch(r"phone-[0-9a-z]+", s.node(c)["givenName"]), f"collision: {s.node(c)['givenName']}")
        until(lambda: w.dns("a", s.node(c)["givenName"] + "." + DOMAIN) == [c.ip4], 5, "its DNS")
        return f"collision: {s.node(c)['givenName']}"


TAGS = {"tagOwners": {"tag:web": ["alice@"], "tag:db": ["alice@"], "tag:no": ["bob@"]}, "acls": [{"action": "accept", "src": ["*"], "dst": ["*:*"]}]}


@case()
def tags():
    """tags by key, by page, by re-authentication, by the admin; those that the user may not give are refused in words that up prints"""
    with World("life") as w:
        s = w.server
        u = s.user("alice")
        s.user("bob")
        s.policy(TAGS)
        a, b = join(w, u, "a", "b")
        k, = join(w, u, "k", key=s.authkey(u, tags=["tag:web"]))
        until(lambda: (a.peer(k) or {}).get("Tags") == ["tag:web"], 10, "tagged by key")
        check(s.node(k)["tags"] == ["tag:web"], f"{s.node(k)}")
        out = {}
        # by page: tags that alice may give
        c = w.client("c")
        p, url = c.up_bg("--advertise-tags=tag:web")
        s.register(u, re.search(r"/register/([^/?#\s]+)", url).group(1))
        check(p.wait(20) == 0, "up with tags by the page")
        c.refresh()
        until(lambda: (a.peer(c) or {}).get("Tags") == ["tag:web"], 10, "tagged by the page")
        # by page: foreign ones
        d = w.client("d")
        p, url = d.up_bg("--advertise-tags=tag:no")
        try:
            s.register(u, re.search(r"/register/([^/?#\s]+)", url).group(1))
            out["page"] = "registered"
        except ApiError as e:
            out["page"] = str(e)
        check("tag:no" in out["page"] and s.node(d) is None, f"a foreign tag by the page: {out['page']}")
        # by re-authentication
        p, url = b.up_bg("--force-reauth", "--advertise-tags=tag:db")
        s.register(u, re.search(r"/register/([^/?#\s]+)", url).group(1))
        check(p.wait(20) == 0, "re-authentication with a tag")
        b.refresh()
        until(lambda: (a.peer(b) or {}).get("Tags") == ["tag:db"], 10, "tagged by re-authentication")
        # and back to a person's device
        p, url = b.up_bg("--force-reauth", "--advertise-tags=")
        s.register(u, re.search(r"/register/([^/?#\s]+)", url).group(1))
        check(p.wait(20) == 0, "re-authentication without tags")
        b.refresh()
        until(lambda: a.peer(b) and not a.peer(b).get("Tags"), 10, "untagged again")
        check(s.node(b)["user"]["name"] == "alice", f"{s.node(b)}")
        # with a key
        e = w.client("e")
        try:
            e.up(s.authkey(u), "--advertise-tags=tag:no")
            out["key"] = "let in with " + str(s.node(e)["tags"])
        except UpError as x:
            out["key"] = str(x)
        check("tag:no" in out["key"] and s.node(e) is None if "let in" not in out["key"] else False, f"a foreign tag by key: {out['key']}")
        # by the admin
        row = s.node(a)
        s.api("POST", f"/api/v1/node/{row['id']}/tags", {"tags": ["tag:db"]})
        until(lambda: (a.status()["Self"].get("Tags") or []) == ["tag:db"], 10, "tagged by the admin")
        until(lambda: (k.peer(a) or {}).get("Tags") == ["tag:db"], 10, "others see it")
        try:
            s.api("POST", f"/api/v1/node/{row['id']}/tags", {"tags": ["tag:nosuch"]})
            check(False, "an undeclared tag was set")
        except ApiError as x:
            check(x.status == 400, f"{x}")
        # set after the login: tags need a new login
        r = k.cli("set", "--advertise-tags=tag:no")
        out["set"] = (r.stderr + r.stdout).strip()[:80]
        return "; ".join(f"{k}: {v[:160]}" for k, v in out.items())


@case()
def expiry_setting():
    """the tailnet's key expiry: a device has it, a tagged one has none; a restart of server and daemon changes nothing"""
    with World("life", A_NODE_EXPIRY="1h") as w:
        s = w.server
        u = s.user("alice")
        s.policy(TAGS)
        a, = join(w, u, "a")
        k, = join(w, u, "k", key=s.authkey(u, tags=["tag:web"]))
        e0 = s.node(a)["expiry"]
        check(e0 and not s.node(k)["expiry"], f"{e0}, tagged {s.node(k)['expiry']}")
        check(a.status()["Self"]["KeyExpiry"], "the client knows its expiry")
        a.stop()
        s.stop()
        s.start()
        a.start()
        a.wait_state("Running", 30)
        check(s.node(a)["expiry"] == e0, f"{s.node(a)['expiry']} was {e0}")
        settle_in([a, k])


@case()
def profiles():
    """one daemon, two users: tailscale login and switch; each has its own node and addresses"""
    with World("life") as w:
        s = w.server
        u, v = s.user("alice"), s.user("bob")
        a, b = join(w, u, "a", "b")
        ip = b.ip4
        r = b.cli("login", "--login-server=https://ctl.accept.test", "--hostname=b", "--auth-key=" + s.authkey(v)["key"], timeout=30)
        check(r.returncode == 0, r.stderr)
        until(lambda: b.state() == "Running" and b.refresh() and b.ip4 != ip, 20, "the second profile")
        ip2 = b.ip4
        check(s.node(ip2)["user"]["name"] == "bob", f"{s.node(ip2)}")
        until(lambda: not s.node(ip)["online"], 15, "the first is offline")
        lst = b.cli("switch", "--list").stdout
        ids = [l.split()[0] for l in lst.splitlines()[1:] if not l.rstrip().endswith("*")]
        check(ids, lst)
        check(b.cli("switch", ids[0]).returncode == 0, "switch")
        until(lambda: b.state() == "Running" and b.refresh() and b.ip4 == ip, 20, "the first again")
        until(lambda: a.disco(ip), 15, "reached")
        return f"{ip} and {ip2}"


@case()
def words():
    """tailscale status, ip, whois, ping, dns status and query, netcheck, debug: what a user types, and what it says"""
    with World("life") as w:
        s = w.server
        u = s.user("alice", displayName="Alice A", email="alice@example.com")
        a, b = join(w, u, "a", "b")
        b.serve(80)
        out = a.cli("status").stdout
        check(re.search(rf"{b.ip4}\s+b\s+alice\S*\s+linux", out), out)
        check(a.cli("ip", "b").stdout.split() == [b.ip4, b.ip6], a.cli("ip", "b").stdout)
        out = a.cli("whois", b.ip4).stdout
        check("b." + DOMAIN in out and "alice" in out, out)
        check("pong from b" in a.cli("ping", "-c", "1", "b").stdout, "ping by name")
        check("pong from b" in a.cli("ping", "--tsmp", "-c", "1", "b").stdout, "TSMP ping")
        check("pong from b" in a.cli("ping", "--icmp", "-c", "1", "b").stdout, "ICMP ping")
        out = a.cli("ping", "--peerapi", "-c", "1", "b")
        check("hit peerapi" in out.stdout, f"peerapi ping: {out.stdout} {out.stderr}")
        out = a.cli("dns", "status", "--all").stdout
        check(DOMAIN in out and "MagicDNS: enabled" in out, out)
        out = a.cli("dns", "query", "b." + DOMAIN).stdout
        check(b.ip4 in out, out)
        check(a.tcp(b.ip4, 80) and a.tcp(b.ip6, 80), "TCP by both families")
        health = a.status().get("Health") or []
        check(not [h for h in health if "unstable version" not in h and "DNS" not in h], f"health: {health}")
        a.cli("down")
        until(lambda: not s.node(a)["online"], 10, "down is offline")
        a.cli("up")
        until(lambda: s.node(a)["online"], 10, "up again")
        return f"health: {health}"
