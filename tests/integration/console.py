#!/usr/bin/env python3
"""console.py: the native API as the web console uses it, against the real server with devices that come and go: by a signed-in browser's
cookie and by key, every call that reads with each role, what other sites may not do, and the stream of changes. Prints TAP."""
import http.client, json, os, socket, sys, time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from lib.kit import Server, run, wait_for
from lib.ts2021 import Control, Machine

N = "/api/fairlead/v1"


class Person:
    """A signed-in browser, as scripts of the console use it."""

    def __init__(self, s, name):
        self.s, self.host = s, f"127.0.0.1:{s.port}"
        url = s.ask("POST", N + "/login-links", {"user": name})[1]["url"]
        r, _ = self.raw("POST", url[url.index("/welcome/"):], None, {"Origin": "http://" + self.host})
        assert r.status == 303, r.status
        self.cookie = [c.split(";")[0] for c in r.headers.get_all("Set-Cookie") if c.startswith("fairlead=")][0]
        status, me = self.call("GET", "/me")
        self.me, self.csrf = (me, me["csrf"]) if status == 200 else (None, "0" * 32)

    def raw(self, method, path, body=None, headers={}):
        c = http.client.HTTPConnection("127.0.0.1", self.s.port, timeout=20)
        try:
            c.request(method, path, body, headers)
            r = c.getresponse()
            return r, r.read()
        finally:
            c.close()

    def call(self, method, path, body=None, **more):
        headers = {"Cookie": self.cookie}
        if method != "GET":
            headers["X-Fairlead-CSRF"] = self.csrf
        headers.update({k.replace("_", "-"): v for k, v in more.items() if v is not None})
        for k, v in more.items():
            if v is None:
                headers.pop(k.replace("_", "-"), None)
        r, text = self.raw(method, N + path, json.dumps(body) if body is not None else None, headers)
        try:
            return r.status, json.loads(text)
        except ValueError:
            return r.status, text

    def ok(self, method, path, body=None):
        status, j = self.call(method, path, body)
        assert status == 200, (method, path, status, j)
        return j


class Stream:
    """The console's events. until(…) reads on; all: every change that was told."""

    def __init__(self, p, after=None):
        self.sock = socket.create_connection(("127.0.0.1", p.s.port), 20)
        path = N + "/events?view=console" + (f"&after={after}" if after else "")
        self.sock.sendall(f"GET {path} HTTP/1.1\r\nHost: {p.host}\r\nCookie: {p.cookie}\r\nConnection: close\r\n\r\n".encode())
        self.text, self.all, self.resync, self.last, self.ended, self.heard = b"", [], 0, None, False, 0
        self.until(lambda: b"\r\n\r\n" in self.text)
        assert self.text.startswith(b"HTTP/1.1 200"), self.text
        assert b"text/event-stream" in self.text

    def until(self, what, within=10):
        end = time.time() + within
        while not what() and not self.ended:
            self.sock.settimeout(max(end - time.time(), 0.01))
            try:
                got = self.sock.recv(65536)
            except socket.timeout:
                raise AssertionError(("not told", self.all, self.text[-500:]))
            self.ended = not got
            self.text += got
            self.parse()
        return self

    def parse(self):
        *whole, _ = self.text.decode().split("\n\n")
        self.all, self.resync = [], 0
        for block in whole:
            fields = dict(l.split(": ", 1) for l in block.splitlines() if ": " in l and not l.startswith(":"))
            self.last = fields.get("id", self.last)
            self.resync += fields.get("event") == "resync"
            if fields.get("event") == "change":
                self.all += json.loads(fields["data"])["changes"]

    def hears(self, action, **want):
        """Changes that came together are one `update`."""
        self.until(lambda: any(want.items() <= c.items() and c["action"] in (action, "update") for c in self.all[self.heard:]))
        self.heard = len(self.all)
        return self


def people(s):
    for name, role in (("olga", "owner"), ("ada", "auditor"), ("nick", "network-admin"), ("mel", "member")):
        j = s.ask("POST", "/api/v1/user", {"name": name})[1]
        assert s.ask("POST", f"{N}/user/{j['user']['id']}/role", {"role": role})[0] == 200


def device(s, auth_key, **hostinfo):
    c = Control(s.connect(), Machine(), s.key())
    info = c.hostinfo(**hostinfo)
    assert c.register(auth_key, hostinfo=info)["status"] == 200
    return c, info


def every_reading_call_by_role(folder):
    s = Server(folder).start()
    people(s)
    key = s.ask("POST", N + "/keys/auth", {"user": "olga", "reusable": True})[1]["secret"]
    c, _ = device(s, key)
    owner, auditor, member = Person(s, "olga"), Person(s, "ada"), Person(s, "mel")
    assert member.me is None and member.call("GET", "/me")[0] == 403
    assert owner.me["may"]["all"] == "write" and auditor.me["may"]["devices:core"] == "read" and "all" not in auditor.me["may"]
    document = s.ask("GET", N + "/openapi.json")[1]
    node = owner.ok("GET", "/machines")["columns"]["id"][0]
    api_key = s.ask("POST", "/api/v1/apikey", {})[1]["apiKey"]
    asks = {"search": "?q=o", "policy/explain": "?src=olga&dst=olga:22", "policy/who-can-reach": "?dst=olga:22", "policy/what-can-reach": "?src=olga",
            "policy/diff": "?from=1"}
    read = refused = 0
    for path, item in document["paths"].items():
        short = path[len(N) + 1:]
        for method, call in item.items():
            where = "/" + short.replace("{nodeId}", node).replace("{userId}", owner.me["user"]["id"])
            if short == "openapi.json" or short == "events":
                continue  # for everybody; does not end
            if method == "get" and "{" not in where:
                got = owner.call("GET", where + asks.get(short, ""))
                assert got[0] in (200, 404), (where, got)  # 404: there is no version, no draft yet
                r, _ = owner.raw("GET", path if "{" not in path else N + where, None, {"Authorization": "Bearer " + api_key})
                assert r.status in (200, 400, 404), (where, r.status)  # 400: a question is missing, or it is nobody's key
                status = auditor.call("GET", where + asks.get(short, ""))[0]
                reads = not call["x-scope"] or call["x-scope"].endswith(":read")  # a draft is for who may write the policy
                assert status in (200, 404) if reads else status == 403, (where, status, call["x-scope"])
                assert member.call("GET", where + asks.get(short, ""))[0] == 403, where
                read += 1
            elif method != "get" and not short.startswith("me/"):
                where = where.replace("{", "").replace("}", "")
                status, j = auditor.call(method.upper(), where, {})
                assert status == 403 or call["x-scope"].endswith(":read"), (method, where, status, j, call["x-scope"])
                assert member.call(method.upper(), where, {})[0] == 403, where
                refused += 1
    assert read > 30 and refused > 40, (read, refused)
    print(f"# {read} calls that read, {refused} that change")
    c.close()
    s.end()


def other_sites_and_other_apis(folder):
    s = Server(folder).start()
    people(s)
    p, q = Person(s, "olga"), Person(s, "olga")
    put = ("PUT", "/settings/taildrop.enabled", {"value": False})
    own = f"http://{p.host}"
    for more in ({"X_Fairlead_CSRF": None}, {"X_Fairlead_CSRF": q.csrf}, {"X_Fairlead_CSRF": ""}, {"Origin": "https://evil.example"}, {"Origin": "null"},
                 {"Origin": own.replace("http", "https")}, {"Sec_Fetch_Site": "cross-site"}, {"Sec_Fetch_Site": "same-site"}, {"Host": "evil.example"}):
        status, j = p.call(*put, **more)
        assert status == 403, (more, status, j)
    assert p.call("GET", "/me", Sec_Fetch_Site="cross-site")[0] == 403
    assert p.call(*put, Origin=own, Sec_Fetch_Site="same-origin")[0] == 200
    # A cookie is no key, and is not looked at beside one.
    for path in ("/api/v1/node", "/api/v2/tailnet/-/devices"):
        assert p.raw("GET", path, None, {"Cookie": p.cookie})[0].status == 401
    assert p.call("GET", "/me", Authorization="Bearer hskey-api-000000000000-00")[0] == 401
    # Nor is a key a session: the pages do not know it.
    key = s.ask("POST", "/api/v1/apikey", {})[1]["apiKey"]
    r, _ = p.raw("GET", "/console/", None, {"Authorization": "Bearer " + key})
    assert r.status == 303 and r.headers["Location"].startswith("/login?to=/console"), (r.status, r.headers)
    # A session that was ended elsewhere is over at once.
    mine = q.ok("GET", "/me/sessions")
    other = [x["id"] for x in mine["sessions"] if x["id"] != mine["current"]][0]
    q.ok("DELETE", "/me/sessions/" + other)
    assert p.call("GET", "/me")[0] == 401 and q.call("GET", "/me")[0] == 200
    s.end()


def the_page_and_its_files(folder):
    s = Server(folder).start()
    people(s)
    p, member = Person(s, "ada"), Person(s, "mel")
    r, html = p.raw("GET", "/console/machines/5", None, {"Cookie": p.cookie})
    assert r.status == 200 and r.headers["Content-Type"] == "text/html; charset=utf-8", (r.status, html[:200])
    policy = r.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy and "frame-ancestors 'none'" in policy, policy
    assert r.headers["Cross-Origin-Opener-Policy"] == "same-origin" and r.headers["Referrer-Policy"] == "no-referrer"
    again, _ = p.raw("GET", "/console/machines/5", None, {"Cookie": p.cookie, "If-None-Match": r.headers["ETag"]})
    assert again.status == 304
    import re
    files = set(re.findall(rb'"(/console/assets/[^"]+)"', html))
    assert files, html[:500]
    for f in sorted(files):
        f = f.decode()
        r, plain = p.raw("GET", f)
        assert r.status == 200 and "immutable" in r.headers["Cache-Control"], (f, r.status)
        b, _ = p.raw("GET", f, None, {"Accept-Encoding": "gzip, br"})
        assert b.headers["Content-Encoding"] == "br", f
    r, _ = member.raw("GET", "/console/", None, {"Cookie": member.cookie})
    assert r.status == 303 and r.headers["Location"] == "/my"
    s.end()


def devices_come_and_go_in_the_stream(folder):
    s = Server(folder).start()
    people(s)
    p, watcher = Person(s, "olga"), Person(s, "ada")
    key = p.ok("POST", "/keys/auth", {"reusable": True})["secret"]
    stream = Stream(watcher, watcher.ok("GET", "/me")["lastEvent"])
    c, info = device(s, key, Hostname="alpha", RoutableIPs=["10.7.0.0/24"], OS="linux", Distro="debian", DistroVersion="12")
    c.lite(Hostinfo=info, Endpoints=["192.0.2.1:41641"])
    stream.hears(kind="machine", action="create")
    node = [x for x in stream.all if x["kind"] == "machine"][0]["id"]
    n = c.poll(Hostinfo=info)
    assert c.message(n)
    stream.hears(kind="machine", id=node, action="online")
    row = watcher.ok("GET", f"/machines?ids={node}")
    cols = row["columns"]
    assert cols["name"] == ["alpha"] and cols["flags"][0] & 1 and cols["flags"][0] & 512, cols
    assert row["strings"][cols["osVersion"][0]] == "Debian 12", row["strings"]
    assert cols["presence"][0][0] == 2 and len(cols["presence"][0]) == 2, cols["presence"]
    # What waits is asked for, with its mend; the watcher may look at it only.
    items = watcher.ok("GET", "/attention")
    assert items["counts"]["routes"] == 1 and items["items"][0]["prefix"] == "10.7.0.0/24", items
    assert watcher.call("POST", "/routes/approve", {"prefix": "10.7.0.0/24", "machine": node})[0] == 403
    p.ok("POST", "/routes/approve", {"prefix": "10.7.0.0/24", "machine": node})
    stream.hears(kind="machine", id=node, action="update")
    assert watcher.ok("GET", "/routes")["routes"][0]["state"] == "carries"
    assert watcher.ok("GET", "/attention")["counts"]["routes"] == 0
    # It tells of itself: another version.
    c2 = Control(s.connect(), c.machine, s.key())
    c2.lite(Hostinfo={**info, "IPNVersion": "1.104.0"})
    stream.until(lambda: any(x["kind"] == "machine" and x["id"] == node and x["action"] in ("report", "update") for x in stream.all))
    wait_for(lambda: watcher.ok("GET", "/machines")["newest"] == "1.104.0")
    detail = watcher.ok("GET", f"/machines/{node}")["detail"]
    assert detail["routes"][0]["carries"] and detail["host"]["distro"] == "debian" and detail["owner"]["name"] == "olga", detail
    # It goes; who was away in between hears it, once.
    last = stream.last
    c.close(), c2.close()
    stream.hears(kind="machine", id=node, action="offline")
    late = Stream(watcher, last)
    late.hears(kind="machine", id=node, action="offline")
    assert not late.resync
    log = watcher.ok("GET", "/connections")["records"]
    assert [x["online"] for x in log] == [False, True] and log[0]["machine"] == node, log
    # The server starts anew: numbers of its other life mean nothing, what was seen stays.
    s.end()
    s.start()
    assert [x["online"] for x in watcher.ok("GET", "/connections")["records"]] == [False, True]
    other = Stream(watcher, late.last)
    other.until(lambda: other.resync == 1)
    # Names and who did it stand in the log.
    p.ok("POST", f"/machines/{node}/rename", {"name": "beta"})
    other.hears(kind="machine", id=node, action="update")
    record = watcher.ok("GET", "/audit?kind=node&limit=1")["records"][0]
    assert record["actor"] == "user:olga" and record["via"] == "console" and record["after"]["givenName" if "givenName" in record["after"] else "name"] == "beta", record
    # A stream ends with its session.
    me = watcher.ok("GET", "/me")["session"]["id"]
    p.ok("DELETE", "/sessions/" + me)
    other.until(lambda: other.ended)
    assert other.ended
    s.end()


run([every_reading_call_by_role, other_sites_and_other_apis, the_page_and_its_files, devices_come_and_go_in_the_stream])
