#!/usr/bin/env python3
"""admin_crash.py: the server as a process with its admin commands: killed in the middle of writing, restored from a
backup, started twice, and with configurations that are wrong.

Runs alone, or from tests/integration/run.py; prints TAP. BUILD= names the build folder (default build/asan).
"""
import http.client, json, os, random, re, shutil, signal, socket, subprocess, sys, tempfile, time, traceback

from lib.kit import free_port

top = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
prog = os.path.join(top, os.environ.get("BUILD", "build/asan"), "fairlead")
START_S = 20
started = []  # processes of the test that runs


class Admin(http.client.HTTPConnection):
    """HTTP over the unix socket."""

    def __init__(self, path):
        super().__init__("localhost", timeout=20)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(20)
        self.sock.connect(self.path)

    def ask(self, method, path, body=None):
        self.request(method, path, json.dumps(body) if body is not None else None)
        r = self.getresponse()
        return r.status, json.loads(r.read() or b"null")


class Server:
    def __init__(self, folder, name="fairlead.db"):
        self.folder, self.port = folder, free_port()
        self.socket = os.path.join(folder, "admin.sock")
        self.config = os.path.join(folder, "config.toml")
        with open(self.config, "w") as f:
            f.write(f'server_url = "http://127.0.0.1:{self.port}"\nlisten_addr = "127.0.0.1:{self.port}"\n'
                    f'unix_socket = "{self.socket}"\n[database]\npath = "{folder}/{name}"\n[derp.server]\n'
                    f'listen_addr = "127.0.0.1:{free_port()}"\nstun_listen_addr = ""\n')
        self.p = None

    def start(self):
        self.log = open(os.path.join(self.folder, "log"), "w+")
        self.p = subprocess.Popen([prog, "serve", "--config", self.config], stdout=self.log, stderr=subprocess.STDOUT)
        started.append(self.p)
        end = time.time() + START_S
        while time.time() < end and self.p.poll() is None:
            try:
                return self.admin().ask("GET", "/health")
            except OSError:
                time.sleep(0.05)
        raise AssertionError("the server did not start: " + open(self.log.name).read())

    def admin(self):
        return Admin(self.socket)

    def cli(self, *words):
        r = subprocess.run([prog, "-c", self.config, *words], capture_output=True, text=True, timeout=30)
        return r.returncode, r.stdout, r.stderr

    def end(self, how=signal.SIGTERM):
        if self.p and self.p.poll() is None:
            self.p.send_signal(how)
            rc = self.p.wait(20)
            assert how == signal.SIGKILL or rc == 0, f"exit status {rc}: " + open(self.log.name).read()

    def key(self):
        c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        c.request("GET", "/key?v=113")
        return json.loads(c.getresponse().read())["publicKey"]


def what_was_answered_survives_a_kill(folder):
    s, told, n = Server(folder), set(), 0
    for _ in range(4):
        s.start()
        a, end = s.admin(), time.time() + random.uniform(0.3, 0.7)
        have = {u["name"] for u in a.ask("GET", "/api/v1/user")[1]["users"]}
        assert told <= have, f"lost {sorted(told - have)[:5]}"
        while time.time() < end:
            n += 1
            status, _ = a.ask("POST", "/api/v1/user", {"name": f"u{n}"})
            assert status == 200
            told.add(f"u{n}")
        a.request("POST", "/api/v1/user", json.dumps({"name": f"unanswered{n}"}))
        s.end(signal.SIGKILL)
    s.start()
    users = s.admin().ask("GET", "/api/v1/user")[1]["users"]
    assert told <= {u["name"] for u in users}
    assert len({u["id"] for u in users}) == len(users)
    assert len(told) > 20, f"only {len(told)} were written"
    s.end()


def a_backup_is_the_same_server(folder):
    s = Server(folder)
    s.start()
    rc, _, err = s.cli("users", "create", "ann")
    assert rc == 0, err
    rc, out, err = s.cli("apikeys", "create", "--expiration", "24h")
    api_key = out.strip().splitlines()[-1]
    assert rc == 0 and api_key.startswith("hskey-api-"), err
    copy = os.path.join(folder, "copy.db")
    rc, out, err = s.cli("backup", copy)
    assert rc == 0 and os.stat(copy).st_mode & 0o777 == 0o600, err
    rc, _, err = s.cli("backup", copy)
    assert rc == 1 and "already" in err, err
    key = s.key()
    s.cli("users", "create", "later")
    s.end()

    t = Server(folder, "restored.db")
    shutil.copy(copy, os.path.join(folder, "restored.db"))
    t.start()
    assert t.key() == key  # clients know it by this
    c = http.client.HTTPConnection("127.0.0.1", t.port, timeout=10)
    c.request("GET", "/api/v1/user", headers={"Authorization": "Bearer " + api_key})
    r = c.getresponse()
    names = [u["name"] for u in json.loads(r.read())["users"]]
    assert r.status == 200 and names == ["ann"], names
    t.end()


def one_server_to_a_database(folder):
    s = Server(folder)
    s.start()
    r = subprocess.run([prog, "serve", "--config", s.config], capture_output=True, text=True, timeout=20)
    assert r.returncode == 1 and len(r.stderr.strip().splitlines()) == 1, r.stderr
    assert "another server" in r.stderr or "in use" in r.stderr or "uses that port" in r.stderr, r.stderr
    s.end()


def the_command_line_tells_what_is_wrong(folder):
    s = Server(folder)
    rc, _, err = s.cli("nodes", "list")
    assert rc == 1 and "is it running?" in err, err
    rc, _, err = s.cli("nodes", "lsit")
    assert rc == 2 and "did you mean 'list'" in err, err
    with open(s.config, "a") as f:
        f.write("enabeld = true\n")
    rc, _, err = s.cli("config", "check")
    assert rc == 1 and re.search(r"config\.toml:\d+: unknown key .*did you mean 'derp.server.enabled'", err), err
    r = subprocess.run([prog, "serve", "--config", s.config], capture_output=True, text=True, timeout=20)
    assert r.returncode == 1 and "unknown key" in r.stderr, r.stderr


tests = [what_was_answered_survives_a_kill, a_backup_is_the_same_server, one_server_to_a_database,
         the_command_line_tells_what_is_wrong]
print(f"1..{len(tests)}")
failed = 0
for i, test in enumerate(tests, 1):
    folder = tempfile.mkdtemp(prefix="fairlead-admin.")
    started.clear()
    try:
        test(folder)
        print(f"ok {i} - {test.__name__}", flush=True)
    except Exception:  # the next ones still say something
        failed += 1
        print(f"not ok {i} - {test.__name__}\n# " + traceback.format_exc().replace("\n", "\n# "), flush=True)
    finally:
        for p in started:
            if p.poll() is None:
                p.kill()
                p.wait()
        shutil.rmtree(folder, ignore_errors=True)
sys.exit(1 if failed else 0)
