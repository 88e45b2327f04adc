"""kit: the server as a process, its admin socket, and the TAP that tests/run.py counts."""
import http.client, json, os, random, re, shutil, signal, socket, ssl, subprocess, sys, tempfile, time, traceback

top = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
prog = os.path.join(top, os.environ.get("BUILD", "build/asan"), "fairlead")
START_S = 20
STOP_S = 20
started = []  # processes of the test that runs
given = set()  # ports


def free_port():
    """Below the range of outgoing connections: one of them would take the port before the server listens at it."""
    while True:
        port = random.randrange(12000, 32000)
        if port in given:
            continue
        try:
            for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                with socket.socket(type=kind) as s:
                    s.bind(("127.0.0.1", port))
        except OSError:
            continue
        given.add(port)
        return port


def wait_for(what, within=10, every=0.05):
    """The first true value of what()."""
    end = time.time() + within
    while True:
        v = what()
        if v or time.time() > end:
            assert v, f"not within {within} s"
            return v
        time.sleep(every)


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
    """tables: text of further tables; keys: text of further keys before the first table."""

    def __init__(self, folder, keys="", tables="", database=None, host="127.0.0.1"):
        self.host = host  # in server_url
        self.folder, self.port, self.derp_port, self.stun_port = folder, free_port(), free_port(), free_port()
        self.socket = os.path.join(folder, "admin.sock")
        self.config = os.path.join(folder, "config.toml")
        self.database = database or os.path.join(folder, "fairlead.db")
        self.keys, self.tables = keys, tables
        self.write()
        self.p = None

    def write(self):
        with open(self.config, "w") as f:
            f.write(f'server_url = "http://{self.host}:{self.port}"\nlisten_addr = "127.0.0.1:{self.port}"\n'
                    f'unix_socket = "{self.socket}"\n{self.keys}\n[database]\npath = "{self.database}"\n[derp.server]\n'
                    f'listen_addr = "127.0.0.1:{self.derp_port}"\nstun_listen_addr = "127.0.0.1:{self.stun_port}"\n'
                    f'stun_second_port = 0\n{self.tables}')

    def start(self, wrap=()):
        self.log = open(os.path.join(self.folder, "log"), "a+")
        self.p = subprocess.Popen([*wrap, prog, "serve", "--config", self.config], stdout=self.log,
                                  stderr=subprocess.STDOUT)
        started.append(self.p)
        end = time.time() + START_S
        while time.time() < end and self.p.poll() is None:
            try:
                self.ask("GET", "/health")
                return self
            except OSError:
                time.sleep(0.05)
        raise AssertionError("the server did not start: " + self.read_log())

    def read_log(self):
        with open(self.log.name, errors="replace") as f:
            return f.read()

    def ask(self, method, path, body=None):
        a = Admin(self.socket)
        try:
            return a.ask(method, path, body)
        finally:
            a.close()

    def cli(self, *words):
        r = subprocess.run([prog, "-c", self.config, *words], capture_output=True, text=True, timeout=30)
        return r.returncode, r.stdout, r.stderr

    def must(self, *words):
        rc, out, err = self.cli(*words)
        assert rc == 0, err
        return out

    def auth_key(self, *flags):
        """Of the user ann, who is made when she is not there."""
        if not any(u["name"] == "ann" for u in self.ask("GET", "/api/v1/user")[1]["users"]):
            self.must("users", "create", "ann")
        return self.must("preauthkeys", "create", "--user", "ann", *flags).strip().splitlines()[-1].split()[-1]

    def connect(self, source=None, tls=False, timeout=10):
        s = socket.create_connection(("127.0.0.1", self.derp_port if tls else self.port), timeout,
                                     (source, 0) if source else None)
        if tls:
            c = ssl.create_default_context()
            c.check_hostname, c.verify_mode = False, ssl.CERT_NONE
            s = c.wrap_socket(s)
        return s

    def http(self, method="GET", path="/health", body=None, headers={}, source=None):
        c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10, source_address=(source, 0) if source else None)
        try:
            c.request(method, path, body, headers)
            r = c.getresponse()
            return r.status, r.read()
        finally:
            c.close()

    def key(self, source=None):
        return bytes.fromhex(json.loads(self.http(path="/key?v=142", source=source)[1])["publicKey"][5:])

    def is_well(self):
        """Serves /key, the API, and what ASan and UBSan have to say."""
        assert self.p.poll() is None, f"the server ended with {self.p.poll()}: " + self.read_log()[-6000:]
        self.key()
        assert self.http(path="/version")[0] == 200
        assert self.ask("GET", "/health")[0] == 200

    def rss_kib(self):
        with open(f"/proc/{self.p.pid}/status") as f:
            return int(re.search(r"VmRSS:\s+(\d+)", f.read())[1])

    def end(self, how=signal.SIGTERM):
        if self.p:
            if self.p.poll() is None:
                self.p.send_signal(how)
            rc = self.p.wait(STOP_S)
            assert how == signal.SIGKILL or rc == 0, f"exit status {rc}: " + self.read_log()[-6000:]


def everything(s):
    """Until the other side closes, or is silent for the socket's timeout (then None at the end of the list)."""
    out = b""
    try:
        while True:
            b = s.recv(65536)
            if not b:
                return out
            out += b
    except (ConnectionResetError, BrokenPipeError, ssl.SSLError):
        return out


def end_started(keep=0):
    """Whatever the tests left running, but the first keep."""
    for p in started[keep:]:
        if p.poll() is None:
            p.kill()
            p.wait()
    del started[keep:]


def run(tests, shared=None):
    """Each test gets a folder, or what shared(folder) made once for all; shared's value is ended at last."""
    folders, failed = [], 0
    n = len(tests) + (shared is not None)

    def folder():
        folders.append(tempfile.mkdtemp(prefix="fairlead-test."))
        os.chmod(folders[-1], 0o755)
        return folders[-1]

    def tell(i, name, fn):
        nonlocal failed
        t0 = time.time()
        try:
            fn()
            print(f"ok {i} - {name}  # {time.time() - t0:.1f} s", flush=True)
        except Exception:  # the next ones still say something
            failed += 1
            print(f"not ok {i} - {name}\n# " + traceback.format_exc()[-5000:].replace("\n", "\n# "), flush=True)

    print(f"1..{n}")
    only = sys.argv[1:]
    what = shared(folder()) if shared else None
    keep = len(started)
    for i, test in enumerate(tests, 1):
        if only and test.__name__ not in only:
            continue
        tell(i, test.__name__, lambda: test(what if shared else folder()))
        end_started(keep)
    if shared:
        tell(n, "it stops in order, and nothing leaked", what.end)
    end_started()
    for f in folders:
        shutil.rmtree(f, ignore_errors=True)
    sys.exit(1 if failed else 0)
