#!/usr/bin/env python3
"""harbour.py: a made-up tailnet on a real server, for the console's tests and for looking at it: eight people, some thirty machines of every
state, a policy with tests, three versions of it. `python3 tests/browser/harbour.py` prints where it is and stays until it is interrupted.

Its machines speak the real control protocol (tests/integration/lib/ts2021.py). A small HTTP port lets a test make them come and go:
POST /join?name=x&key=ci, /leave?name=x, /back?name=x."""
import http.server, json, os, signal, sys, tempfile, threading, urllib.parse

top = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(top, "tests/integration"))
from lib.kit import Server, end_started
from lib.ts2021 import Closed, Control, Machine

PEOPLE = [("lena", "Lena Hoffmann", "owner"), ("tomasz", "Tomasz Zielinski", "network-admin"), ("mia", "Mia Brandt", "member"), ("jonas", "Jonas Weber", "member"),
          ("priya", "Priya Nair", "auditor"), ("chen", "Chen Wei", "member"), ("omar", "Omar Haddad", "member")]

POLICY = """{
  // People who do the same work.
  "groups": {
    "group:eng":         ["mia@", "jonas@", "priya@"],
    "group:ops":         ["lena@", "tomasz@"],
    "group:contractors": ["omar@"],
  },

  // Who may give a machine this tag.
  "tagOwners": {
    "tag:prod":    ["group:ops"],
    "tag:staging": ["group:ops"],
    "tag:ci":      ["group:ops"],
    "tag:router":  ["group:ops"],
    "tag:kiosk":   ["group:ops"],
    "tag:ops":     ["group:ops"],
  },

  "autoApprovers": {
    "exitNode": ["tag:router"],
  },

  "grants": [
    {"src": ["autogroup:member"],  "dst": ["autogroup:self"], "ip": ["*"]},
    {"src": ["group:eng"],         "dst": ["tag:staging"], "ip": ["*"]},
    {"src": ["group:eng"],         "dst": ["tag:prod"],    "ip": ["tcp:443", "tcp:5432"]},
    {"src": ["group:contractors"], "dst": ["tag:staging"], "ip": ["tcp:443"]},
    {"src": ["group:ops"],         "dst": ["*"],           "ip": ["*"]},
    {"src": ["tag:ci"],            "dst": ["tag:prod"],    "ip": ["tcp:22"]},
    {"src": ["tag:prod"],          "dst": ["tag:prod"],    "ip": ["tcp:5432", "tcp:6379"]},
    {"src": ["group:eng", "tag:ci"], "dst": ["10.40.0.0/16"], "ip": ["tcp:443"]},
    {"src": ["autogroup:member"],  "dst": ["autogroup:internet"], "ip": ["*"]},
  ],

  "ssh": [
    {"action": "accept", "src": ["group:ops"], "dst": ["tag:prod", "tag:staging"], "users": ["root", "autogroup:nonroot"]},
  ],

  "tests": [
    {"src": "mia@", "accept": ["tag:prod:443", "tag:staging:22"], "deny": ["tag:ci:22"]},
    {"src": "omar@", "accept": ["tag:staging:443"], "deny": ["tag:prod:443"]},
  ],
}
"""
WIDER = POLICY.replace('"dst": ["tag:staging"], "ip": ["tcp:443"]}', '"dst": ["tag:staging"], "ip": ["*"]}').replace('"deny": ["tag:prod:443"]},\n  ],', '"deny": ["tag:prod:22"]},\n  ],')
FIRST = WIDER.replace(', "tag:ci"], "dst": ["10.40', '], "dst": ["10.40')

# name, key, what it tells of itself
MACHINES = [
    ("edge-gw-01", "router", {"RoutableIPs": ["10.40.0.0/16", "10.48.0.0/16"]}), ("edge-gw-02", "router", {"RoutableIPs": ["10.40.0.0/16"]}),
    ("exit-fra-1", "router", {"RoutableIPs": ["0.0.0.0/0", "::/0"]}), ("exit-nyc-1", "router", {"RoutableIPs": ["0.0.0.0/0", "::/0"]}),
    *[(n, "prod", {"sshHostKeys": ["ssh-ed25519 AAAA"]}) for n in ("api-prod-1", "api-prod-2", "cache-prod-1", "db-primary", "db-replica-1")],
    *[(n, "staging", {}) for n in ("staging-web-1", "staging-web-2")], *[(n, "ci", {}) for n in ("runner-a41f", "runner-b07c")],
    ("grafana", "ops", {}), ("warehouse-scanner-3", "kiosk", {"OS": "android", "IPNVersion": "1.94.1"}), ("lobby-display", "kiosk", {"IPNVersion": "1.94.1"}),
    ("lena-mbp14", "lena", {"OS": "macOS"}), ("lena-pixel-9", "lena", {"OS": "android"}), ("nas-attic", "lena", {"IPNVersion": "1.96.4", "RoutableIPs": ["192.168.178.0/24"]}),
    ("tomasz-xps", "tomasz", {}), ("mia-thinkpad", "mia", {}), ("mia-ipad", "mia", {"OS": "iOS"}), ("jonas-desktop", "jonas", {"OS": "windows"}), ("jonas-iphone", "jonas", {"OS": "iOS"}),
    ("priya-framework", "priya", {}), ("chen-macbook-air", "chen", {"OS": "macOS"}), ("omar-surface", "omar", {"OS": "windows"}),
]
AWAY = ("lobby-display", "omar-surface")


class Harbour:
    def __init__(self, folder, tables=""):
        self.s = Server(folder, tables=tables)
        self.s.start()
        self.base = f"http://127.0.0.1:{self.s.port}"
        self.machines, self.keys, self.known, self.filters, self.lock = {}, {}, {}, {}, threading.Lock()

    def fill(self):
        s = self.s
        for name, full, role in PEOPLE:
            s.must("users", "create", name, "--display-name", full, "--email", f"{name}@harbour.example")
            s.must("users", "role", name, role)
        self.policy(FIRST[:FIRST.index('  "tests"')] + "}\n", "Exit nodes for everybody")
        for name, key, info in MACHINES:
            self.join(name, key, info)
        self.policy(WIDER, "Runners may fetch from the office.")
        self.policy(POLICY, "Contractors only need the staging site.")
        ids = self.ids()
        for name, routes in (("edge-gw-01", ["10.40.0.0/16"]), ("edge-gw-02", ["10.40.0.0/16"]), ("exit-fra-1", ["0.0.0.0/0", "::/0"]), ("exit-nyc-1", ["0.0.0.0/0", "::/0"]), ("nas-attic", ["192.168.178.0/24"])):
            status, answer = s.ask("POST", f"/api/fairlead/v1/machines/{ids[name]}/routes", {"approved": routes})
            assert status == 200, answer
        for name in AWAY:
            self.leave(name)
        s.ask("POST", f"/api/fairlead/v1/machines/{ids['warehouse-scanner-3']}/sign-out", {})
        s.ask("POST", f"/api/fairlead/v1/machines/{ids['mia-thinkpad']}/expiry", {"at": in_days(2)})
        s.ask("PUT", "/api/fairlead/v1/settings/devices_approval", {"value": True})
        self.join("build-runner-7", "waits", {})
        return self

    def policy(self, text, note=""):
        status, answer = self.s.ask("PUT", "/api/fairlead/v1/policy", {"policy": text, "note": note})
        assert status == 200, answer

    def ids(self):
        return {n["givenName"]: n["id"] for n in self.s.ask("GET", "/api/v1/node")[1]["nodes"]}

    def key(self, name):
        if name not in self.keys:
            person = name in [p[0] for p in PEOPLE]
            words = ["preauthkeys", "create", "--user", name if person else "lena", "--reusable", "--expiration", "24h", "--description", name]
            if not person:
                words += ["--tags", "tag:ci" if name in ("waits", "open") else f"tag:{name}"]
            if name == "ci":
                words += ["--ephemeral"]
            if name != "waits":
                words += ["--preauthorized"]
            self.keys[name] = self.s.must(*words).strip().splitlines()[-1].split()[-1]
        return self.keys[name]

    def join(self, name, key, info={}):
        machine = Machine()
        info = {"OS": "linux", "Hostname": name, "IPNVersion": "1.98.2", "Distro": "debian", "DistroVersion": "12", "GoArch": "amd64",
                "NetInfo": {"WorkingUDP": True, "MappingVariesByDestIP": False, "WorkingIPv6": True, "PreferredDERP": 900, "DERPLatency": {"900-v4": 0.009}}, **info}
        self.known[name] = machine, info
        c = Control(self.s.connect(), machine, self.s.key())
        a = c.register(self.key(key), hostinfo=info)
        assert a["status"] == 200 and not a.get("Error"), a
        self.stay(name, c, info)

    def stay(self, name, c, info):
        n = c.poll(Hostinfo=info, Endpoints=["203.0.113.24:41641", "192.168.1.20:41641"])
        c.s.settimeout(None)

        def drain():
            try:
                while True:
                    m = c.message(n)
                    if m is None:
                        return
                    if m.get("PacketFilter") is not None or m.get("PacketFilters"):
                        self.filters[name] = self.filters.get(name, []) + [m.get("PacketFilters") or m["PacketFilter"]]
            except (Closed, OSError, AssertionError, ValueError):
                pass
        threading.Thread(target=drain, daemon=True).start()
        self.machines[name] = c

    def leave(self, name):
        import socket
        c = self.machines.pop(name)
        c.s.shutdown(socket.SHUT_RDWR)
        c.close()

    def back(self, name):
        machine, info = self.known[name]
        self.stay(name, Control(self.s.connect(), machine, self.s.key()), info)

    def refuse(self, name, key):
        """A machine asks again, for a tag that it may not have, and is refused."""
        machine, info = self.known[name]
        a = Control(self.s.connect(), machine, self.s.key()).register(self.key(key), hostinfo={**info, "RequestTags": ["tag:nobody"]})
        assert a.get("Error"), a

    def link(self, user):
        return json.loads(self.s.must("console", "login", "--user", user, "--output", "json"))["url"]

    def commands(self):
        """A port where a test makes machines come and go."""
        harbour = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                url = urllib.parse.urlparse(self.path)
                q = dict(urllib.parse.parse_qsl(url.query))
                try:
                    with harbour.lock:
                        if url.path == "/join":
                            harbour.join(q["name"], q.get("key", "ci"))
                        elif url.path == "/leave":
                            harbour.leave(q["name"])
                        elif url.path == "/back":
                            harbour.back(q["name"])
                        elif url.path == "/refuse":
                            harbour.refuse(q["name"], q["key"])
                        elif url.path == "/stop":
                            harbour.s.end()
                        elif url.path == "/start":  # if it does not run
                            if harbour.s.p.poll() is not None:
                                harbour.s.start()
                        elif url.path == "/pause":  # it is there and says nothing
                            harbour.s.p.send_signal(signal.SIGSTOP)
                        elif url.path == "/resume":
                            harbour.s.p.send_signal(signal.SIGCONT)
                        elif url.path == "/cli":
                            return self.answer(200, {"said": harbour.s.must(*q["words"].split(" "))})
                        elif url.path == "/filters":  # packet filters that a machine was told
                            return self.answer(200, {"filters": harbour.filters.get(q["name"], [])})
                        elif url.path == "/link":
                            return self.answer(200, {"url": harbour.link(q["user"])})
                        else:
                            return self.answer(404, {})
                    self.answer(200, {})
                except Exception as e:
                    self.answer(500, {"error": repr(e)})

            def answer(self, status, body):
                self.send_response(status)
                self.end_headers()
                self.wfile.write(json.dumps(body).encode())

            def log_message(self, *_):
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{server.server_address[1]}"


def in_days(n):
    import datetime
    return (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=n, hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")


if __name__ == "__main__":
    h = Harbour(tempfile.mkdtemp(prefix="fairlead-harbour."))
    try:
        h.fill()
        print(json.dumps({"base": h.base, "link": h.link("lena"), "commands": h.commands()}), flush=True)
        threading.Event().wait()
    except KeyboardInterrupt:
        pass
    finally:
        end_started()
