#!/usr/bin/env python3
"""tsan_server.py: all threads of a running server at once, for ThreadSanitizer: nodes join, stream, update and leave, packets cross
the relay between wires, the API is asked and changes things, the configuration is reloaded, a backup is made, and it stops, in
order and once in the middle of all that. Part of make test-tsan (BUILD=build/tsan); prints TAP.

TSan ends the server at the first race: its exit status and its log tell."""
import json, os, random, signal, socket, sys, threading, time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from lib.derp import SEND, Derp, frame
from lib.kit import Server, run
from lib.ts2021 import Closed, Control, Machine, x25519_public

ALL_S = float(os.environ.get("TSAN_SECONDS", "12"))  # how long everything goes on


class Crowd:
    """Threads that each do one thing over and over. What fails while the server runs is kept."""

    def __init__(self, s):
        self.s, self.end, self.wrong, self.done, self.threads = s, time.time() + ALL_S, [], {}, []
        self.key, self.auth = s.key(), s.auth_key("--reusable")
        self.ephemeral = s.auth_key("--reusable", "--ephemeral")

    def runs(self):
        return time.time() < self.end

    def go(self, fn, n=1):
        def loop(i):
            rng = random.Random(i)
            while self.runs():
                try:
                    fn(rng)
                    self.done[fn.__name__] = self.done.get(fn.__name__, 0) + 1
                except (Closed, OSError) as e:
                    if self.runs():
                        self.wrong.append(f"{fn.__name__}: {e!r}")
                        time.sleep(0.1)
                except Exception as e:
                    self.wrong.append(f"{fn.__name__}: {e!r}")
                    time.sleep(0.1)
        for i in range(n):
            self.threads.append(threading.Thread(target=loop, args=(i,), daemon=True))
            self.threads[-1].start()

    def join(self):
        for t in self.threads:
            t.join(20)
            assert not t.is_alive(), "a thread hangs"

    # ---- what they do ----

    def node_comes_and_goes(self, rng):
        c = Control(self.s.connect(tls=rng.random() < 0.5), Machine(), self.key)
        a = c.register(rng.choice((self.auth, self.ephemeral)))
        assert a["MachineAuthorized"], a
        n = c.poll(Endpoints=[f"10.1.{rng.randrange(250)}.1:41641"], EndpointTypes=[1])
        assert c.message(n)
        for _ in range(rng.randrange(4)):
            assert c.lite(Endpoints=[f"10.2.{rng.randrange(250)}.1:41641"], EndpointTypes=[1])[0] == 200
        if rng.random() < 0.3:
            c.register(None, expiry="2001-01-01T00:00:00Z")  # logout
        c.close()

    def node_stays_and_listens(self, rng):
        c = Control(self.s.connect(), Machine(), self.key)
        assert c.register(self.auth)["MachineAuthorized"]
        n = c.poll()
        c.s.settimeout(3)
        try:
            for _ in range(200):
                if not self.runs() or not c.message(n):
                    break
        except TimeoutError:
            pass
        c.close()

    def login_waits(self, rng):
        c = Control(self.s.connect(), Machine(), self.key)
        a = c.register()
        auth_id = a["AuthURL"].rsplit("/", 1)[1]
        assert self.s.http(path="/register/" + auth_id)[0] == 200
        n = c.request("POST", "/machine/register", json.dumps({
            "Version": 142, "NodeKey": c.machine.nodekey, "Followup": a["AuthURL"], "Hostinfo": c.hostinfo()}).encode())
        if rng.random() < 0.7:
            self.s.ask("POST", "/api/v1/auth/register", {"user": "ann", "authId": auth_id})
            c.wait(n)
        c.close()

    def packets_cross(self, rng):
        ends = []
        for _ in range(2):
            secret = os.urandom(32)
            c = Control(self.s.connect(), Machine(node=x25519_public(secret)), self.key)
            assert c.register(self.auth)["MachineAuthorized"]
            c.close()
            ends.append(Derp(self.s.connect(tls=True), secret).hello())
        a, b = ends
        for i in range(300):
            a.s.sendall(frame(SEND, b.public + os.urandom(rng.choice((40, 1300)))))
            b.s.sendall(frame(SEND, a.public + os.urandom(100)))
            if i % 50 == 49:
                a.answers(), b.answers()
        if rng.random() < 0.5:  # deleted while connected
            for n in self.s.ask("GET", "/api/v1/node")[1]["nodes"]:
                if n["nodeKey"] == "nodekey:" + a.public.hex():
                    self.s.ask("DELETE", "/api/v1/node/" + n["id"])
        a.close(), b.close()

    def admin(self, rng):
        name = f"u{rng.randrange(10**9)}"
        status, a = self.s.ask("POST", "/api/v1/user", {"name": name})
        assert status == 200, a
        nodes = self.s.ask("GET", "/api/v1/node")[1]["nodes"]
        for n in rng.sample(nodes, min(2, len(nodes))):
            self.s.ask("POST", f"/api/v1/node/{n['id']}/rename/{name}-{n['id']}")
            if rng.random() < 0.2:
                self.s.ask("POST", f"/api/v1/node/{n['id']}/expire")
        if len(nodes) > 40:
            for n in nodes[:20]:
                self.s.ask("DELETE", "/api/v1/node/" + n["id"])
        self.s.ask("DELETE", "/api/v1/user/" + a["user"]["id"])

    def policy(self, rng):
        text = rng.choice(('{"acls":[{"action":"accept","src":["*"],"dst":["*:*"]}]}',
                           '{"grants":[{"src":["autogroup:member"],"dst":["autogroup:self"],"ip":["*"]}]}'))
        status, a = self.s.ask("PUT", "/api/v1/policy", {"policy": text})
        assert status == 200, a
        time.sleep(0.2)

    def watch(self, rng):
        for path in ("/api/v1/node", "/api/v1/user", "/api/v1/preauthkey", "/api/v1/policy", "/api/fairlead/v1/stats", "/metrics",
                     "/health", "/version", "/key?v=142"):
            self.s.http(path=path, headers={"Authorization": "Bearer " + self.api})

    def reload(self, rng):
        self.s.p.send_signal(signal.SIGHUP)
        time.sleep(0.4)

    def backup(self, rng):
        to = os.path.join(self.s.folder, f"copy{rng.randrange(10**9)}.db")
        status, a = self.s.ask("POST", "/api/fairlead/v1/backup", {"path": to})
        assert status == 200, a
        time.sleep(1)

    def strangers(self, rng):
        for b in (b"GET / HTTP/1.1\r\n\r\n", rng.randbytes(100), b"\x16\x03\x01"):
            for port in self.s.port, self.s.derp_port:
                with socket.create_connection(("127.0.0.1", port), 5) as c:
                    c.sendall(b)
        time.sleep(0.05)

    def start(self):
        self.api = self.s.must("apikeys", "create", "--expiration", "1h").strip().splitlines()[-1]
        self.go(self.node_comes_and_goes, 4)
        self.go(self.node_stays_and_listens, 3)
        self.go(self.login_waits, 2)
        self.go(self.packets_cross, 2)
        for fn in (self.admin, self.policy, self.watch, self.reload, self.backup, self.strangers):
            self.go(fn)


def server(folder):
    return Server(folder, keys="wire_threads = 4\n").start()


def clean(s):
    log = s.read_log()
    assert "ThreadSanitizer" not in log and "AddressSanitizer" not in log, log[-8000:]


def everything_at_once(folder):
    s = server(folder)
    c = Crowd(s)
    c.start()
    c.join()
    assert s.p.poll() is None, s.read_log()[-8000:]
    s.is_well()
    s.end()
    clean(s)
    print("# " + ", ".join(f"{k} {v}" for k, v in sorted(c.done.items())))
    assert not c.wrong, c.wrong[:5]
    assert len(c.done) == 10 and min(c.done.values()) >= 2, c.done


def stopped_in_the_middle(folder):
    s = server(folder)
    c = Crowd(s)
    c.start()
    time.sleep(3)
    c.end = 0  # from now on calls may fail
    s.end()
    clean(s)
    c.join()
    s.start()  # and all is there
    s.is_well()
    s.end()
    clean(s)


run([everything_at_once, stopped_in_the_middle])
