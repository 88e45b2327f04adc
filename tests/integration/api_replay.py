#!/usr/bin/env python3
"""api_replay.py: every call that the OpenAPI documents name, with good, missing, wrong, oversized and unauthorised input. Each
answer is held against the document: a status that it does not know, a member that it does not name and one that is missing are
faults; so is an answer of 500. Prints TAP.

A call that cannot be made with its path's objects and no body has a line in GOOD; one that cannot succeed here, in NEVER."""
import base64, copy, http.client, itertools, json, os, re, sys, urllib.parse

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from lib.browser import Browser
from lib.kit import Server, run
from lib.ts2021 import Control, Machine
try:
    from jsonschema import Draft202012Validator, FormatChecker
except ImportError:  # deploy/deps.sh installs it for the system's Python, which need not be the first in PATH
    if os.path.realpath(sys.executable) == os.path.realpath("/usr/bin/python3"):
        raise
    os.execv("/usr/bin/python3", ["/usr/bin/python3", *sys.argv])

DOCUMENTS = ("/api/v1/openapi.json", "/api/v2/openapi.json", "/api/fairlead/v1/openapi.json")
WORDS = ("get", "post", "put", "patch", "delete")
TOO_LONG = 64 << 20  # more than any call takes
POLICY = '{\n\t// all\n\t"acls": [{"action": "accept", "src": ["*"], "dst": ["*:*"]}],\n\t"tagOwners": {"tag:x": ["autogroup:member"]},\n}\n'
TIMES = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$")
formats = FormatChecker(formats=())


@formats.checks("date-time")
def is_time(v):
    return not isinstance(v, str) or bool(TIMES.match(v))


def strict(v):
    """An answer has no member that its document does not name."""
    if isinstance(v, list):
        return [strict(x) for x in v]
    if not isinstance(v, dict):
        return v
    out = {k: strict(x) for k, x in v.items()}
    if isinstance(v.get("properties"), dict) and v.get("type") == "object":
        out.setdefault("additionalProperties", False)
    return out


class World:
    """The server, and objects of it by need."""

    def __init__(self, folder):
        self.server = Server(folder, tables="[limits]\napi_wrong_keys_per_second = 0\n").start()
        self.key = self.server.must("apikeys", "create", "--expiration", "2h").strip()
        self.count, self.clients, self.kept = itertools.count(1), [], {}
        self.ok("PUT", "/api/v1/policy", {"policy": POLICY})
        self.ok("POST", "/api/v1/user", {"name": "owner"})
        self.documents = {}
        for path in DOCUMENTS:
            self.documents[path] = self.ok("GET", path)

    def end(self):
        for c in self.clients:
            c.close()
        self.server.end()

    def raw(self, method, path, body=None, key=None, headers={}, length=None):
        """status, head, bytes. length: is announced, and nothing sent."""
        c = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=20)
        try:
            h = dict(headers)
            if key is None or key:
                h.setdefault("Authorization", "Bearer " + (key or self.key))
            if length is not None:
                c.putrequest(method, path)
                for k, v in {**h, "Content-Length": str(length)}.items():
                    c.putheader(k, v)
                c.endheaders()
            else:
                c.request(method, path, body, h)
            r = c.getresponse()
            return r.status, r.headers, b"" if "event-stream" in (r.headers["Content-Type"] or "") else r.read()
        finally:
            c.close()

    def ok(self, method, path, body=None):
        status, head, data = self.raw(method, path, None if body is None else json.dumps(body))
        assert 200 <= status < 300, (method, path, status, data)
        return json.loads(data)

    # ---- objects

    def name(self):
        return f"n{next(self.count)}"

    def user(self):
        return self.ok("POST", "/api/v1/user", {"name": self.name()})["user"]["id"]

    def authkey(self, **more):
        return self.ok("POST", "/api/v1/preauthkey", {"user": self.user(), **more})["preAuthKey"]

    def node(self):
        c = Control(self.server.connect(), Machine(), self.server.key())
        self.clients.append(c)
        name = self.name()
        c.register(auth_key=self.authkey()["key"], hostinfo={"Hostname": name, "OS": "linux", "RoutableIPs": ["10.7.0.0/24"]})
        found = [n for n in self.ok("GET", "/api/v1/node")["nodes"] if n["name"] == name]
        assert found, "the device did not join"
        return found[0]["id"]

    def waiting(self):
        c = Control(self.server.connect(), Machine(), self.server.key())
        self.clients.append(c)
        return c.register(hostinfo={"Hostname": self.name(), "OS": "linux"})["AuthURL"].rsplit("/", 1)[1]

    def apikey(self):
        return self.ok("POST", "/api/v1/apikey", {})["apiKey"]

    def newest_apikey(self):
        self.apikey()
        return self.ok("GET", "/api/v1/apikey")["apiKeys"][-1]["id"]

    def service(self):
        name = "svc:" + self.name()
        self.ok("PUT", f"/api/fairlead/v1/services/{name}", {"ports": ["tcp:443"]})
        return name

    def hosted(self):
        name = self.service()
        self.ok("POST", f"/api/fairlead/v1/services/{name}/approve", {"node": self.shared("node"), "approved": True})
        return name

    def webhook(self):
        return self.ok("POST", "/api/v2/tailnet/-/webhooks", {"endpointUrl": "https://example.com/x", "subscriptions": ["nodeCreated"]})["endpointId"]

    def backup(self):
        return self.ok("POST", "/api/fairlead/v1/backups")["backup"]["name"]

    def client_key(self):
        return self.ok("POST", "/api/v2/tailnet/-/keys", {"keyType": "client", "scopes": ["dns:read"]})

    def attribute(self):
        node = self.node()
        self.ok("POST", f"/api/v2/device/{node}/attributes/custom:x", {"value": "a"})
        return node

    def session(self):
        self.ok("POST", "/api/fairlead/v1/login-links", {"user": self.user()})
        return self.ok("GET", "/api/fairlead/v1/sessions")["sessions"][-1]["id"]

    def invite(self):
        self.ok("POST", "/api/fairlead/v1/invites", {"name": self.name()})
        return self.ok("GET", "/api/fairlead/v1/invites")["invites"][-1]["id"]

    def wish(self):
        """Asked on their own page by somebody who came by a link."""
        b, link = Browser(), self.ok("POST", "/api/fairlead/v1/login-links", {"user": self.user()})["url"]
        b.submit(b.go(link), "Sign in")
        b.submit(b.go(urllib.parse.urljoin(link, "/my/missing")), "Ask", what=self.name(), why="")
        return self.ok("GET", "/api/fairlead/v1/wishes")["wishes"][-1]["id"]

    def identity(self):
        j = self.ok("POST", "/api/fairlead/v1/identities", {"user": self.user(), "issuer": "https://idp.example.com", "subject": self.name()})
        return j["identity"]["id"]

    def shared(self, what):
        if what not in self.kept:
            self.kept[what] = getattr(self, what)()
        return self.kept[what]


# What stands for a name in a path, of calls that change nothing.
PARAMS = {"userId": "user", "nodeId": "node", "deviceId": "node", "newName": "name", "endpointId": "webhook", "machineId": "node"}


def P(**params):
    return {"params": params}


def B(body, **more):
    return {"body": body, **more}


V1, V2, N = "/api/v1", "/api/v2", "/api/fairlead/v1"
T = V2 + "/tailnet/{tailnet}"
DNS = {"nameservers": [{"address": "9.9.9.9"}, {"address": "1.1.1.1"}], "splitDNS": {"a.example": [{"address": "10.0.0.1"}]},
       "searchPaths": ["b.example"], "preferences": {"magicDNS": True}}
# "METHOD path": a function of the world that gives params, query, body (an object is sent as JSON, bytes as they are), headers.
GOOD = {
    f"POST {V1}/user": lambda w: B({"name": w.name(), "displayName": "A B", "email": w.name() + "@example.com"}),
    f"DELETE {V1}/user/{{userId}}": lambda w: P(userId=w.user()),
    f"POST {V1}/node/register": lambda w: {"query": f"user={w.user()}&key={w.waiting()}"},
    f"POST {V1}/node/backfillips": lambda w: {"query": "confirmed=true"},
    f"DELETE {V1}/node/{{nodeId}}": lambda w: P(nodeId=w.node()),
    f"POST {V1}/node/{{nodeId}}/tags": lambda w: {**P(nodeId=w.node()), **B({"tags": ["tag:x"]})},
    f"POST {V1}/node/{{nodeId}}/approve_routes": lambda w: B({"routes": ["10.7.0.0/24", "0.0.0.0/0"]}),
    f"POST {V1}/node/{{nodeId}}/user": lambda w: B({"user": w.user()}),
    f"POST {V1}/routes/{{routeId}}/enable": lambda w: P(routeId=str(int(w.node()) * 65536)),
    f"POST {V1}/routes/{{routeId}}/disable": lambda w: P(routeId=str(int(w.node()) * 65536)),
    f"DELETE {V1}/routes/{{routeId}}": lambda w: P(routeId=str(int(w.node()) * 65536)),
    f"POST {V1}/auth/register": lambda w: B({"user": w.user(), "authId": w.waiting()}),
    f"POST {V1}/auth/reject": lambda w: B({"authId": w.waiting()}),
    f"POST {V1}/preauthkey": lambda w: B({"user": w.user(), "reusable": True, "expiration": "2090-01-01T00:00:00Z", "aclTags": []}),
    f"DELETE {V1}/preauthkey": lambda w: {"query": "id=" + w.authkey()["id"]},
    f"POST {V1}/preauthkey/expire": lambda w: B({"id": w.authkey()["id"]}),
    f"DELETE {V1}/apikey": lambda w: {"query": "prefix=" + w.apikey()[:22]},
    f"POST {V1}/apikey/expire": lambda w: B({"prefix": w.apikey()[:22]}),
    f"DELETE {V1}/apikey/{{prefix}}": lambda w: P(prefix=w.apikey()[:22]),
    f"PUT {V1}/policy": lambda w: B({"policy": POLICY}),
    f"POST {V1}/policy/check": lambda w: B({"policy": POLICY}),

    f"DELETE {V2}/device/{{deviceId}}": lambda w: P(deviceId=w.node()),
    f"POST {V2}/device/{{deviceId}}/routes": lambda w: B({"routes": ["10.7.0.0/24", "10.9.0.0/16"]}),
    f"POST {V2}/device/{{deviceId}}/authorized": lambda w: B({"authorized": True}),
    f"POST {V2}/device/{{deviceId}}/name": lambda w: {**P(deviceId=w.node()), **B({"name": w.name()})},
    f"POST {V2}/device/{{deviceId}}/tags": lambda w: {**P(deviceId=w.node()), **B({"tags": ["tag:x"]})},
    f"POST {V2}/device/{{deviceId}}/key": lambda w: B({"keyExpiryDisabled": True}),
    f"POST {V2}/device/{{deviceId}}/ip": lambda w: {**P(deviceId=w.node()), **B({"ipv4": f"100.64.9.{next(w.count) % 250}"})},
    f"POST {V2}/device/{{deviceId}}/attributes/{{key}}": lambda w: {**P(deviceId=w.node(), key="custom:x"), **B({"value": 5, "comment": ""})},
    f"DELETE {V2}/device/{{deviceId}}/attributes/{{key}}": lambda w: P(deviceId=w.attribute(), key="custom:x"),
    f"POST {V2}/oauth/token": lambda w: {"body": ("grant_type=client_credentials&client_secret=" + w.client_key()["key"]).encode(),
                                        "headers": {"Content-Type": "application/x-www-form-urlencoded"}},
    f"POST {T}/keys": lambda w: B({"keyType": "client", "scopes": ["dns:read"], "description": "one"}),
    f"GET {T}/keys/{{keyId}}": lambda w: P(keyId=w.client_key()["id"]),
    f"PUT {T}/keys/{{keyId}}": lambda w: {**P(keyId=w.client_key()["id"]), **B({"scopes": ["dns"], "tags": None})},
    f"DELETE {T}/keys/{{keyId}}": lambda w: P(keyId=w.client_key()["id"]),
    f"POST {T}/acl": lambda w: B(POLICY.encode(), headers={"Content-Type": "application/hujson"}),
    f"POST {T}/acl/preview": lambda w: {"query": "type=user&previewFor=owner", "body": POLICY.encode()},
    f"POST {T}/acl/validate": lambda w: B(POLICY.encode()),
    f"POST {T}/dns/nameservers": lambda w: B({"dns": ["1.1.1.1"]}),
    f"POST {T}/dns/preferences": lambda w: B({"magicDNS": True}),
    f"POST {T}/dns/searchpaths": lambda w: B({"searchPaths": ["a.example"]}),
    f"PUT {T}/dns/split-dns": lambda w: B({"a.example": ["10.0.0.1"]}),
    f"PATCH {T}/dns/split-dns": lambda w: B({"b.example": ["10.0.0.2"], "a.example": None}),
    f"POST {T}/dns/configuration": lambda w: B(DNS),
    **{line: make for kind in ("vip-services", "services") for line, make in {
        f"GET {T}/{kind}/{{name}}": lambda w: P(name=w.shared("service")),
        f"PUT {T}/{kind}/{{name}}": lambda w: {**P(name="svc:" + w.name()), **B({"addrs": None, "ports": ["tcp:443"], "annotations": {"a/b": "c"}, "tags": ["tag:x"]})},
        f"DELETE {T}/{kind}/{{name}}": lambda w: P(name=w.service()),
        f"GET {T}/{kind}/{{name}}/devices": lambda w: P(name=w.hosted()),
        f"GET {T}/{kind}/{{name}}/device/{{deviceId}}/approved": lambda w: P(name=w.hosted()),
        f"POST {T}/{kind}/{{name}}/device/{{deviceId}}/approved": lambda w: {**P(name=w.shared("service")), **B({"approved": True})},
    }.items()},
    f"PATCH {T}/device-attributes": lambda w: B({"nodes": {w.attribute(): {"custom:x": None, "custom:y": {"value": True, "expiry": "2090-01-01T00:00:00Z"}}}, "comment": "c"}),
    f"POST {V2}/users/{{userId}}/role": lambda w: B({"role": "auditor"}),
    f"POST {V2}/users/{{userId}}/suspend": lambda w: P(userId=w.user()),
    f"POST {V2}/users/{{userId}}/delete": lambda w: P(userId=w.user()),
    f"POST {T}/user-invites": lambda w: B([{"role": "auditor", "email": w.name() + "@example.com"}, {"email": w.name() + "@example.com"}]),
    f"GET {V2}/user-invites/{{inviteId}}": lambda w: P(inviteId=w.invite()),
    f"DELETE {V2}/user-invites/{{inviteId}}": lambda w: P(inviteId=w.invite()),
    f"PATCH {T}/contacts/{{contactType}}": lambda w: {**P(contactType="support"), **B({"email": "help@example.com"})},
    f"PATCH {T}/settings": lambda w: B({"devicesApprovalOn": False, "devicesKeyDurationDays": 90, "aclsExternalLink": None}),
    f"GET {T}/logging/configuration": lambda w: {"query": "start=2020-01-01T00:00:00Z&end=2090-01-01T00:00:00Z"},
    f"POST {T}/webhooks": lambda w: B({"endpointUrl": "https://example.com/x", "subscriptions": ["nodeCreated", "policyUpdate"]}),
    f"PATCH {V2}/webhooks/{{endpointId}}": lambda w: B({"subscriptions": ["nodeDeleted"]}),
    f"DELETE {V2}/webhooks/{{endpointId}}": lambda w: P(endpointId=w.webhook()),

    f"PUT {N}/policy": lambda w: B({"policy": POLICY + "\n", "note": "a note"}),
    f"POST {N}/policy/check": lambda w: B({"policy": POLICY}),
    f"POST {N}/policy/preview": lambda w: B({"policy": "{}"}),
    f"POST {N}/policy/rollback": lambda w: B({"version": 1}),
    f"GET {N}/policy/versions/{{version}}": lambda w: P(version="1"),
    f"GET {N}/policy/diff": lambda w: {"query": "from=1"},
    f"POST {N}/policy/format": lambda w: B({"policy": "{}"}),
    f"GET {N}/policy/draft": lambda w: w.ok("PUT", f"{N}/policy/draft", {"policy": "{}"}) and {},
    f"PUT {N}/policy/draft": lambda w: B({"policy": "{}"}),
    f"PUT {N}/derp-map/regions/{{region}}": lambda w: {**P(region="901"), **B({"RegionID": 901, "RegionCode": "x", "Nodes": [
        {"Name": "901a", "RegionID": 901, "HostName": "relay.example.com"}]})},
    f"POST {N}/policy/diff": lambda w: B({"policy": "{}"}),
    f"POST {N}/policy/explain": lambda w: B({"src": w.shared("node"), "dst": w.node() + ":22", "policy": "{}"}),
    f"POST {N}/policy/who-can-reach": lambda w: B({"dst": w.shared("node") + ":22"}),
    f"POST {N}/policy/what-can-reach": lambda w: B({"src": w.shared("node"), "policy": "{}"}),
    f"POST {N}/policy/ssh": lambda w: B({"src": w.shared("node"), "dst": w.node(), "user": "root"}),
    f"POST {N}/policy/matrix": lambda w: B({"policy": "{}"}),
    f"POST {N}/policy/graph": lambda w: B({"of": w.shared("node"), "direction": "from"}),
    f"GET {N}/policy/explain": lambda w: {"query": f"src={w.shared('node')}&dst={w.node()}:22"},
    f"GET {N}/policy/who-can-reach": lambda w: {"query": f"dst={w.shared('node')}:22"},
    f"GET {N}/policy/what-can-reach": lambda w: {"query": f"src={w.shared('node')}"},
    f"GET {N}/services/{{name}}": lambda w: P(name=w.shared("service")),
    f"PUT {N}/services/{{name}}": lambda w: {**P(name="svc:" + w.name()), **B({"ports": ["tcp:80"], "annotations": {"a": "b"}, "comment": "x"})},
    f"DELETE {N}/services/{{name}}": lambda w: P(name=w.service()),
    f"POST {N}/services/{{name}}/approve": lambda w: {**P(name=w.shared("service")), **B({"node": w.shared("node"), "approved": True})},
    f"PUT {N}/dns/records": lambda w: B({"records": [{"name": "db.example.org", "type": "A", "value": "10.0.0.1"}]}),
    f"GET {N}/settings/{{key}}": lambda w: P(key="dns.magic_dns"),
    f"PUT {N}/settings/{{key}}": lambda w: {**P(key="dns.magic_dns"), **B({"value": True})},
    f"DELETE {N}/settings/{{key}}": lambda w: P(key="dns.magic_dns"),
    f"POST {N}/user/{{userId}}/role": lambda w: B({"role": "it-admin"}),
    f"POST {N}/user/{{userId}}/suspend": lambda w: P(userId=w.user()),
    f"POST {N}/node/{{nodeId}}/ip": lambda w: {**P(nodeId=w.node()), **B({"addresses": [f"100.64.8.{next(w.count) % 250}"]})},
    f"POST {N}/node/{{nodeId}}/attributes/{{name}}": lambda w: {**P(name="custom:y"), **B({"value": "b", "expiry": None})},
    f"DELETE {N}/node/{{nodeId}}/attributes/{{name}}": lambda w: P(nodeId=w.attribute(), name="custom:x"),
    f"POST {N}/identities": lambda w: B({"user": w.user(), "issuer": "https://idp.example.com", "subject": w.name()}),
    f"DELETE {N}/identities/{{id}}": lambda w: P(id=w.identity()),
    f"POST {N}/login-links": lambda w: B({"user": w.user()}),
    f"DELETE {N}/sessions": lambda w: {"query": "user=owner"},
    f"DELETE {N}/sessions/{{id}}": lambda w: P(id=w.session()),
    f"POST {N}/keys/auth": lambda w: B({"description": "one", "user": w.user(), "reusable": True, "expires": "1d"}),
    f"POST {N}/keys/api": lambda w: B({"description": "one", "scopes": ["dns:read"], "expires": "1d"}),
    f"POST {N}/keys/oauth": lambda w: B({"description": "one", "scopes": ["dns:read"], "tags": []}),
    f"DELETE {N}/keys/auth/{{id}}": lambda w: P(id=w.authkey()["id"]),
    f"DELETE {N}/keys/api/{{id}}": lambda w: P(id=w.newest_apikey()),
    f"DELETE {N}/keys/oauth/{{id}}": lambda w: P(id=w.client_key()["id"]),
    f"POST {N}/users": lambda w: B({"name": w.name(), "displayName": "A B"}),
    f"POST {N}/users/{{userId}}/role": lambda w: B({"role": "auditor"}),
    f"POST {N}/users/{{userId}}/rename": lambda w: {**P(userId=w.user()), **B({"name": w.name()})},
    f"POST {N}/invites": lambda w: B({"name": w.name(), "role": "member", "expires": "72h"}),
    f"DELETE {N}/invites/{{id}}": lambda w: P(id=w.invite()),
    f"DELETE {N}/wishes/{{id}}": lambda w: P(id=w.wish()),
    f"POST {N}/routes/approve": lambda w: B({"prefix": "10.7.0.0/24", "machine": w.shared("node"), "approved": True}),
    f"POST {N}/dns/try": lambda w: B({"name": "wiki.example.com", "type": "A"}),
    f"GET {N}/backups/{{name}}": lambda w: P(name=w.shared("backup")),
    f"POST {N}/backups/{{name}}/verify": lambda w: P(name=w.shared("backup")),
    f"DELETE {N}/backups/{{name}}": lambda w: P(name=w.backup()),
    f"GET {N}/search": lambda w: {"query": "q=o"},
    f"POST {N}/webhooks": lambda w: B({"endpointUrl": "https://example.com/x", "subscriptions": ["nodeCreated"]}),
    f"PATCH {N}/webhooks/{{endpointId}}": lambda w: B({"subscriptions": ["nodeDeleted"]}),
    f"DELETE {N}/webhooks/{{endpointId}}": lambda w: P(endpointId=w.webhook()),
    f"POST {N}/machines/{{nodeId}}/rename": lambda w: B({"name": w.name()}),
    f"POST {N}/machines/{{nodeId}}/tags": lambda w: {**P(nodeId=w.node()), **B({"tags": ["tag:x"]})},
    f"POST {N}/machines/{{nodeId}}/routes": lambda w: B({"approved": ["10.7.0.0/24"]}),
    f"POST {N}/machines/{{nodeId}}/expiry": lambda w: B({"off": True}),
    f"POST {N}/machines/{{nodeId}}/owner": lambda w: {**P(nodeId=w.node()), **B({"user": w.user()})},
    f"POST {N}/machines/{{nodeId}}/address": lambda w: {**P(nodeId=w.node()), **B({"addresses": [f"100.64.7.{next(w.count) % 250}"]})},
}
# What has no good call in this test, and why.
NEVER = {
    f"POST {V2}/oauth/token-exchange": "needs an issuer: federation.py",
    f"POST {V2}/user-invites/{{inviteId}}/resend": "this server writes no mail",
    f"POST {T}/contacts/{{contactType}}/resend-verification-email": "this server writes no mail",
    f"POST {V1}/auth/approve": "needs an SSH check of two devices",
    f"POST {N}/node/{{nodeId}}/c2n": "needs a device that answers",
    f"DELETE {N}/passkeys/{{id}}": "needs a person with a passkey",
    f"DELETE {N}/accounts": "needs a person with a password",
    f"GET {N}/me/sessions": "needs a person's key or session",
    f"DELETE {N}/me/sessions/{{id}}": "needs a person's key or session",
    f"POST {N}/me/sign-out": "needs a browser's session",
    f"POST {N}/backup": "is answered on the unix socket only",
}


class Call:
    def __init__(self, doc, path, method, op):
        self.doc, self.path, self.method, self.op = doc, path, method.upper(), op
        self.name = f"{self.method} {path}"
        self.secured = bool(op.get("security"))
        self.refused_always = "501" in op["responses"] and not any(c.startswith("2") for c in op["responses"])

    def url(self, params, query=""):
        p = re.sub(r"\{(\w+)\}", lambda m: urllib.parse.quote(str(params[m[1]]), safe=":"), self.path)
        return p + ("?" + query if query else "")

    def judge(self, status, head, data):
        """What is wrong with an answer; None: nothing."""
        known = self.op["responses"].get(str(status)) or (self.op["responses"].get("default") if status >= 400 else None)
        if status in (500, 502) or not known:
            return f"status {status}: {data[:300]}"
        kind = (head["Content-Type"] or "").split(";")[0]
        content = known.get("content", {})
        if kind not in content:
            return f"{status} is {kind}, not one of {list(content)}: {data[:200]}"
        if kind != "application/json":
            want = content[kind]["schema"].get("const")
            return None if want is None or data.decode() == want else f"{data!r} is not {want!r}"
        schema = {**strict(content[kind]["schema"]), "components": self.components}
        faults = sorted(Draft202012Validator(schema, format_checker=formats).iter_errors(json.loads(data)), key=lambda e: len(e.path))
        return f"{status} {list(faults[0].absolute_path)}: {faults[0].message[:300]}" if faults else None


def calls(w):
    for doc in w.documents.values():
        components = strict(doc["components"])
        for path, item in doc["paths"].items():
            for method in WORDS:
                if method in item:
                    c = Call(doc, path, method, item[method])
                    c.components = components
                    yield c


def nowhere(c):
    return {m: "-" if m == "tailnet" else "999999999" for m in re.findall(r"\{(\w+)\}", c.path)}


def complain(faults):
    assert not faults, f"{len(faults)} faults\n" + "\n".join(faults)


def check(c, what, answer, faults, want=None):
    wrong = c.judge(*answer)
    if not wrong and want and not want(answer[0]):
        wrong = f"answered {answer[0]}: {answer[2][:300]}"
    if wrong:
        faults.append(f"{c.name} ({what}): {wrong}")


def good(w):
    faults, done = [], 0
    for c in calls(w):
        if c.name in NEVER:
            continue
        make = GOOD.get(c.name)
        if not make and c.op.get("requestBody", {}).get("required") and not c.refused_always:
            faults.append(f"{c.name}: has a body, and no line in GOOD")
            continue
        g = make(w) if make else {}
        fresh = c.method == "DELETE" or c.path.endswith("sign-out")
        params = {**nowhere(c), **{k: getattr(w, PARAMS[k])() if fresh or k == "newName" else w.shared(PARAMS[k]) for k in nowhere(c)
                                   if k in PARAMS and k not in g.get("params", {})}, **g.get("params", {})}
        body = g.get("body")
        data = body if isinstance(body, bytes) or body is None else json.dumps(body)
        answer = w.raw(c.method, c.url(params, g.get("query", "")), data, headers=g.get("headers", {}))
        check(c, "good", answer, faults, lambda s: s == 501 if c.refused_always else 200 <= s < 300)
        done += 1
    print(f"# {done} calls", flush=True)
    complain(faults)


def unauthorised(w):
    faults = []
    for c in calls(w):
        if not c.secured:
            continue
        answer = w.raw(c.method, c.url(nowhere(c)), "{}" if c.method != "GET" else None, key="", headers={})
        check(c, "no key", answer, faults, lambda s: s == 401 if c.name not in NEVER or s != 403 else True)
    # A wrong key costs tries: a few calls of each kind will do.
    for c in itertools.islice((c for c in calls(w) if c.secured), 0, None, 30):
        check(c, "a wrong key", w.raw(c.method, c.url(nowhere(c)), None, key="hskey-api-0123456789ab-" + "0" * 64), faults, lambda s: s == 401)
    complain(faults)


def missing(w):
    faults = []
    for c in calls(w):
        if "event-stream" in json.dumps(c.op["responses"]):
            continue
        for body in (None, "", "{}"):
            check(c, f"nothing there, body {body!r}", w.raw(c.method, c.url(nowhere(c)), body), faults)
    complain(faults)


WRONG = ({"=": 1}, [], 7, True, "\u0001 <script>", "x" * 5000, "\u00e9" * 70000, ["x" * 300] * 300, None, -1, 1e300)


def wrong(w):
    faults = []
    for c in calls(w):
        if "event-stream" in json.dumps(c.op["responses"]):
            continue
        shared = {**nowhere(c), **{k: w.shared(PARAMS[k]) for k in nowhere(c) if k in PARAMS and c.method != "DELETE"}}
        for body in ("{", "[]", '"x"', "nul", '{"a":', "\xff\xfe".encode("latin-1"), "[" * 1000, '{"a":1} x'):
            check(c, f"body {body[:9]!r}", w.raw(c.method, c.url(nowhere(c)), body), faults)
        schema = c.op.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
        if "$ref" in schema:
            schema = c.doc["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]]
        g = GOOD[c.name](w) if c.name in GOOD and schema.get("properties") else {}
        base = g.get("body") if isinstance(g.get("body"), dict) else {}
        for member in schema.get("properties", {}):
            for value in WRONG:
                body = copy.deepcopy(base)
                body[member] = value
                check(c, f"{member} = {json.dumps(value)[:30]}", w.raw(c.method, c.url({**shared, **g.get("params", {})}, g.get("query", "")), json.dumps(body)), faults)
        for name in nowhere(c):
            for value in ("x", "-1", "0", "99999999999999999999", "a%2Fb", "\u00e9", "..", "'; DROP TABLE node", "a" * 3000):
                check(c, f"{name} = {value[:20]!r}", w.raw(c.method, c.url({**nowhere(c), name: value}), "{}" if c.method != "GET" else None), faults)
        for p in c.op.get("parameters", []):
            if p["in"] == "query":
                for value in ("x", "-1", "", "99999999999999999999", "%00", "%ff", "a" * 3000):
                    check(c, f"?{p['name']}={value[:20]}", w.raw(c.method, c.url(nowhere(c), f"{p['name']}={value}"), "{}" if c.method != "GET" else None), faults)
    complain(faults)


def oversized(w):
    faults = []
    for c in calls(w):
        check(c, "too long", w.raw(c.method, c.url(nowhere(c)), key=w.key, length=TOO_LONG), faults, lambda s: s == 413)
    complain(faults)


def the_documents_are_openapi(w):
    for path, doc in w.documents.items():
        assert doc["openapi"] == "3.1.0" and doc["info"]["version"] and doc["paths"], path
        for schema in doc["components"]["schemas"].values():
            Draft202012Validator.check_schema(schema)
        ids = [op["operationId"] for item in doc["paths"].values() for op in item.values()]
        assert len(ids) == len(set(ids))
        for p, item in doc["paths"].items():
            for op in item.values():
                names = [q["name"] for q in op.get("parameters", []) if q["in"] == "path"]
                assert sorted(names) == sorted(re.findall(r"\{(\w+)\}", p)), p
    unknown = [n for n in [*GOOD, *NEVER] if n not in {c.name for c in calls(w)}]
    assert not unknown, unknown


run([the_documents_are_openapi, good, unauthorised, missing, wrong, oversized], shared=World)
