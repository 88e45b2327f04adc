#!/usr/bin/env python3
"""run.py [--nodes N] [--rounds N] [--keep]: what `make bench` prints: figures of this machine, each beside its target and
Headscale's figure, and how many times better ours is. Everything runs once, on loopback, in under three minutes:

  size and start-up     the program as built and stripped; from exec to the first answer on /key, median of several
  plain HTTP, then TLS  a fresh server, swarm's N nodes (tests/bench/swarm.c): register, stream, changes, joins;
                        over TLS also a SIGKILL and the return of all of them
  memory                of 3 N idle sessions over TLS: what they take more than N is what a session takes, its node and
                        all that the core keeps of it included

The server and swarm share the machine, so that times include swarm's own work. Figures are left in build/results/bench.json.
"""
import argparse, http.client, json, os, shutil, signal, socket, statistics, subprocess, sys, tempfile, threading, time

p = argparse.ArgumentParser()
p.add_argument("--nodes", type=int, default=500)
p.add_argument("--rounds", type=int, default=200, help="changes whose way to the last session is timed")
p.add_argument("--program", default="build/release/fairlead")
p.add_argument("--swarm", default="build/release/tests/bench/swarm")
p.add_argument("--budget", type=int, default=180, help="seconds for everything")
p.add_argument("--keep", action="store_true", help="keep the servers' folder and logs")
a = p.parse_args()

STARTS = 7
MANY = 3
end = time.monotonic() + a.budget
top = os.getcwd()
program, swarm = os.path.join(top, a.program), os.path.join(top, a.swarm)


def fail(text):
    sys.exit(f"bench: {text}")


def left():
    s = end - time.monotonic()
    if s <= 0:
        fail(f"not done after {a.budget} s")
    return s


def free_port(kind=socket.SOCK_STREAM):
    with socket.socket(socket.AF_INET, kind) as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class UnixHTTP(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=10)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Server:
    """A fairlead with a folder, ports and limits of its own. Nobody is limited by address: all nodes come from here."""

    def __init__(self, dir):
        self.dir, self.proc = dir, None
        self.http, self.tls = free_port(), free_port()
        os.makedirs(dir)
        limits = "".join(
            f"{k} = 50000\n"
            for k in (
                "max_connections max_connections_per_address max_handshakes max_handshakes_per_address "
                "max_unregistered_sessions max_unregistered_per_address"
            ).split()
        )
        self.config = os.path.join(dir, "config.toml")
        with open(self.config, "w") as f:
            f.write(
                f'server_url = "http://127.0.0.1:{self.http}"\nlisten_addr = ["127.0.0.1:{self.http}"]\n'
                f'unix_socket = "{dir}/fairlead.sock"\n[database]\npath = "{dir}/fairlead.db"\n'
                f'[derp.server]\nlisten_addr = ["127.0.0.1:{self.tls}"]\n'
                f'stun_listen_addr = "127.0.0.1:{free_port(socket.SOCK_DGRAM)}"\n[limits]\n{limits}'
            )

    def start(self):
        """Seconds until /key answers."""
        log = open(os.path.join(self.dir, "log"), "ab")
        t0 = time.monotonic()
        self.proc = subprocess.Popen([program, "serve", "-c", self.config], stdout=log, stderr=log)
        log.close()
        while True:
            try:
                with socket.create_connection(("127.0.0.1", self.http), timeout=5) as s:
                    s.sendall(b"GET /key?v=142 HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
                    if s.recv(4096).startswith(b"HTTP/1.1 200"):
                        return time.monotonic() - t0
            except OSError:
                pass
            if self.proc.poll() is not None or time.monotonic() - t0 > 10:
                fail("the server does not start:\n" + open(os.path.join(self.dir, "log")).read()[-2000:])
            time.sleep(0.0005)

    def stop(self, sig=signal.SIGTERM):
        if not self.proc:
            return
        self.proc.send_signal(sig)
        try:
            self.proc.wait(10)
        except subprocess.TimeoutExpired:
            self.proc.kill()
            self.proc.wait()
        self.proc = None

    def call(self, path, body):
        c = UnixHTTP(os.path.join(self.dir, "fairlead.sock"))
        c.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
        r = c.getresponse()
        text = r.read()
        c.close()
        if r.status != 200:
            fail(f"POST {path}: {r.status} {text.decode(errors='replace')}")
        return json.loads(text)

    def auth_key(self):
        user = self.call("/api/v1/user", {"name": "bench"})["user"]["id"]
        year = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 86400))
        return self.call("/api/v1/preauthkey", {"user": user, "reusable": True, "expiration": year})["preAuthKey"]["key"]

    def cpu_s(self):
        f = open(f"/proc/{self.proc.pid}/stat").read().rpartition(")")[2].split()
        return (int(f[11]) + int(f[12])) / os.sysconf("SC_CLK_TCK")


def run_swarm(server, tls, mode, nodes=a.nodes):
    """swarm's figures. In mode restart the server is killed and started when swarm asks for it."""
    url = f"https://127.0.0.1:{server.tls}" if tls else f"http://127.0.0.1:{server.http}"
    cmd = [swarm, "--url", url, "--auth-key", server.auth_key(), "--nodes", str(nodes), "--rounds", str(a.rounds)]
    cmd += ["--mode", mode, "--pid", str(server.proc.pid), "--json", "--skip", "policy"]  # edits: swarm_table.py
    proc = subprocess.Popen(cmd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    timer = threading.Timer(left(), proc.kill)
    timer.start()
    words, extra = [], {}
    try:
        for line in proc.stderr:
            words.append(line)
            if "restart now" in line:
                server.stop(signal.SIGKILL)
                server.start()
        text = proc.stdout.read()
        proc.wait()
    finally:
        timer.cancel()
        if proc.poll() is None:
            proc.kill()
            proc.wait()
    if proc.returncode != 0:
        fail(f"swarm over {'TLS' if tls else 'plain HTTP'}: " + ("".join(words[-3:]).strip() or f"exit {proc.returncode}"))
    if mode == "restart":
        extra["restart.cpu_ms"] = server.cpu_s() * 1000 / a.nodes
    return {**json.loads(text), **extra}


def measure(dir):
    m = {"size": os.path.getsize(program)}
    stripped = os.path.join(dir, "stripped")
    m["stripped"] = m["size"]
    if subprocess.run(["strip", "-o", stripped, program], capture_output=True).returncode == 0:
        m["stripped"] = os.path.getsize(stripped)

    servers = []
    try:
        s = Server(os.path.join(dir, "start"))
        servers.append(s)
        m["first_start"] = s.start()
        s.stop()
        starts = []
        for _ in range(STARTS):
            starts.append(s.start())
            s.stop()
        m["start"] = statistics.median(starts)
        for name, tls, mode, nodes in (
            ("plain", False, "join", a.nodes),
            ("tls", True, "restart", a.nodes),
            ("many", True, "idle", a.nodes * MANY),
        ):
            s = Server(os.path.join(dir, name))
            servers.append(s)
            s.start()
            m[name] = run_swarm(s, tls, mode, nodes)
            s.stop()
    finally:
        for s in servers:
            s.stop(signal.SIGKILL)
    return m


# Headscale's figures: version 0.29 on a machine of this class, as the issue gives them.
def table(m):
    plain, tls, n = m["plain"], m["tls"], a.nodes
    rows = []

    def row(what, value, unit, target=None, theirs=None, more_is_better=False, digits=1):
        """theirs: (low, high) of Headscale's figure, in the same unit."""
        cell = f"{value:.{digits}f} {unit}"
        verdict = "" if target is None else ("ok" if (value >= target if more_is_better else value <= target) else "MISSED")
        goal = "" if target is None else f"{'>=' if more_is_better else '<='} {target:g}"
        hs = ratio = ""
        if theirs:
            lo, hi = theirs
            hs = f"{lo:g}" if lo == hi else f"{lo:g}-{hi:g}"
            best, worst = ((value / hi, value / lo) if more_is_better else (lo / value, hi / value)) if value else (0, 0)
            ratio = f"{best:.0f}x" if f"{best:.0f}" == f"{worst:.0f}" else f"{best:.0f}-{worst:.0f}x"
        rows.append((what, cell, goal, verdict, hs, ratio))

    row("binary, as built (with symbols)", m["size"] / 2**20, "MiB", digits=2)
    row("binary, stripped", m["stripped"] / 2**20, "MiB", digits=2)
    row("start-up, to the first answer on /key", m["start"] * 1000, "ms")
    row("first start, makes database and keys", m["first_start"] * 1000, "ms")
    row("RSS empty", plain["empty.rss_kib"] / 1024, "MiB")
    more = m["many"]["idle.rss_kib"] - tls["idle.rss_kib"]
    row(f"RSS of each idle session, TLS, all told: from {n} to {n * MANY}", more / (n * (MANY - 1)), "KiB", 34, (320, 830))
    for name, d in (("TLS", tls), ("plain", plain)):
        used = d["idle.rss_kib"] - d["empty.rss_kib"]
        row(f"  {name}: from none to {n}, with what the first ones leave", used / n, "KiB", None, (320, 830))
    for name, d in (("plain", plain), ("TLS", tls)):
        row(f"durable registrations, {name}", d["register.rate"], "1/s", 500, (22, 22), True, 0)
        row("  CPU a registration, connecting included", d["register.cpu_ms"], "ms", 1, (54, 54), digits=2)
        row("  latency p99, 64 at a time", d["register.p99_ms"], "ms", digits=0)
    for name, d in (("plain", plain), ("TLS", tls)):
        row(f"a change to the last of {n} sessions, {name}: p50", d["fanout.last.p50_ms"], "ms", None, (800, 1200))
        row("  p99", d["fanout.last.p99_ms"], "ms", 25)
        row("  max", d["fanout.last.max_ms"], "ms")
        row("  server CPU a change", d["fanout.cpu_ms"], "ms", digits=2)
    row(f"a new node to the last of {n} sessions, plain: p50", plain["join.last.p50_ms"], "ms")
    row("  p99", plain["join.last.p99_ms"], "ms")
    row(f"{n} streams opened, TLS, to the last full map", tls["streams.seconds"], "s", digits=2)
    row("  server CPU a stream", tls["streams.cpu_ms"], "ms", digits=2)
    row(f"SIGKILL, and {n} back over TLS with a full map", tls["restart.seconds"], "s", digits=2)
    row("  server CPU a node, start included", tls["restart.cpu_ms"], "ms", digits=2)

    head = ("figure", "here", "target", "", "Headscale", "better")
    widths = [max(len(r[i]) for r in rows + [head]) for i in range(len(head))]
    for r in [head] + rows:
        left_part = f"{r[0]:<{widths[0]}}  {r[1]:>{widths[1]}}  {r[2]:>{widths[2]}} {r[3]:<{widths[3]}}"
        print(f"{left_part}  {r[4]:>{widths[4]}}  {r[5]:>{widths[5]}}".rstrip())
    missed = [r[0].strip() for r in rows if r[3] == "MISSED"]
    return missed


for f in (program, swarm):
    if not os.access(f, os.X_OK):
        fail(f"{f} is not there: run `make bench`")
os.makedirs("build/results", exist_ok=True)
load = [open("/proc/loadavg").read().split()[0]]
t0 = time.monotonic()
# Beside the build, so that the database lies on a disk and not in memory.
dir = tempfile.mkdtemp(prefix="bench.", dir="build")
try:
    m = measure(os.path.abspath(dir))
finally:
    if a.keep:
        print(f"kept: {dir}")
    else:
        shutil.rmtree(dir, ignore_errors=True)
with open("build/results/bench.json", "w") as f:
    json.dump(m, f, indent=1)
missed = table(m)
load.append(open("/proc/loadavg").read().split()[0])
print(f"{os.cpu_count()} cores, load {load[0]} before and {load[1]} after, {time.monotonic() - t0:.0f} s; "
      f"{len(missed)} targets missed")
if float(load[0]) > os.cpu_count() / 2:
    print("others kept this machine busy: rates and times are worse than its own; memory and CPU figures hold")
