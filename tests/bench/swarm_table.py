#!/usr/bin/env python3
"""make bench-swarm [N=300] [TLS=1]: N simulated official nodes against our server, with two policies, and a table beside what the
issue gives of Headscale (0.30-dev, SQLite, same kind of machine, 300 nodes).

  allow-all   everyone sees everyone: register, streams, changes, joins, edits of the policy, a SIGKILL and the return
  realistic   20 users in 5 groups with autogroup:self, and 10 tags that groups reach: register, streams, edits, a return

The server and swarm (tests/bench/swarm.c, which speaks the protocol alone and runs against any ts2021 server: --url, --auth-key)
share the machine. An edit is timed from the API call to the last node that was told its new filter.
"""
import argparse, http.client, json, os, shutil, signal, socket, subprocess, sys, tempfile, time

p = argparse.ArgumentParser()
p.add_argument("--nodes", type=int, default=300)
p.add_argument("--rounds", type=int, default=100)
p.add_argument("--edits", type=int, default=20)
p.add_argument("--plain", action="store_true", help="no TLS")
p.add_argument("--program", default="build/release/fairlead")
p.add_argument("--swarm", default="build/release/tests/bench/swarm")
a = p.parse_args()
USERS, GROUPS, TAGS = 20, 5, 10


def free_port(kind=socket.SOCK_STREAM):
    with socket.socket(socket.AF_INET, kind) as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class UnixHTTP(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost")
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self.path)


class Server:
    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix="bench-swarm-")
        self.http, self.tls = free_port(), free_port()
        names = "max_connections max_connections_per_address max_handshakes max_handshakes_per_address max_unregistered_sessions max_unregistered_per_address"
        with open(f"{self.dir}/config.toml", "w") as f:
            f.write(f'server_url = "http://127.0.0.1:{self.http}"\nlisten_addr = ["127.0.0.1:{self.http}"]\n'
                    f'unix_socket = "{self.dir}/fairlead.sock"\n[database]\npath = "{self.dir}/fairlead.db"\n'
                    f'[derp.server]\nlisten_addr = ["127.0.0.1:{self.tls}"]\n'
                    f'stun_listen_addr = "127.0.0.1:{free_port(socket.SOCK_DGRAM)}"\n[limits]\n'
                    + "".join(f"{k} = 50000\n" for k in names.split()))
        self.start()

    def start(self):
        self.log = open(f"{self.dir}/log", "ab")
        self.p = subprocess.Popen([a.program, "serve", "-c", f"{self.dir}/config.toml"], stdout=self.log, stderr=self.log)
        for _ in range(2000):
            try:
                socket.create_connection(("127.0.0.1", self.http), 1).close()
                return
            except OSError:
                if self.p.poll() is not None:
                    sys.exit("the server ended:\n" + open(f"{self.dir}/log").read()[-2000:])
                time.sleep(0.005)
        sys.exit("the server does not start")

    def stop(self, how=signal.SIGTERM):
        self.p.send_signal(how)
        self.p.wait()
        self.log.close()

    def call(self, method, path, body):
        c = UnixHTTP(f"{self.dir}/fairlead.sock")
        c.request(method, path, json.dumps(body), {"Content-Type": "application/json"})
        r = c.getresponse()
        text = r.read().decode()
        c.close()
        if r.status != 200:
            sys.exit(f"{method} {path}: {r.status} {text}")
        return json.loads(text)

    def cpu_s(self):
        f = open(f"/proc/{self.p.pid}/stat").read().rpartition(")")[2].split()
        return (int(f[11]) + int(f[12])) / os.sysconf("SC_CLK_TCK")

    def key(self, user=None, tag=None):
        body = {"reusable": True, "expiration": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 86400))}
        if user:
            body["user"] = self.call("POST", "/api/v1/user", {"name": user})["user"]["id"]
        if tag:
            body["aclTags"] = [tag]
        return self.call("POST", "/api/v1/preauthkey", body)["preAuthKey"]["key"]


def policy(realistic, port):
    if not realistic:
        return {"acls": [{"action": "accept", "src": ["*"], "dst": ["*:*"]}, {"action": "accept", "src": ["*"], "dst": [f"*:{port}"]}]}
    groups = {f"group:g{g}": [f"user{u}@" for u in range(USERS) if u % GROUPS == g] for g in range(GROUPS)}
    acls = [{"action": "accept", "src": ["autogroup:member"], "dst": ["autogroup:self:*"]}]
    acls += [{"action": "accept", "src": [f"group:g{t % GROUPS}"], "dst": [f"tag:t{t}:443,{port}"]} for t in range(TAGS)]
    return {"groups": groups, "tagOwners": {f"tag:t{t}": ["group:g0"] for t in range(TAGS)}, "acls": acls}


def run(realistic):
    s = Server()
    if realistic:
        keys = [s.key(user=f"user{u}") for u in range(USERS)]
        s.call("PUT", "/api/v1/policy", {"policy": json.dumps(policy(True, 1))})
        keys += [s.key(tag=f"tag:t{t}") for t in range(TAGS)]
    else:
        keys = [s.key(user="bench")]
        s.call("PUT", "/api/v1/policy", {"policy": json.dumps(policy(False, 1))})
    url = f"http://127.0.0.1:{s.http}" if a.plain else f"https://127.0.0.1:{s.tls}"
    cmd = [a.swarm, "--url", url, "--auth-key", ",".join(keys), "--nodes", str(a.nodes), "--rounds", str(a.rounds), "--edits", str(a.edits),
           "--mode", "restart", "--pid", str(s.p.pid), "--json"]
    if realistic:
        cmd += ["--skip", "fanout,join", "--policy-from", str(USERS)]
    proc = subprocess.Popen(cmd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    words, restart_cpu = [], None
    for line in proc.stderr:
        words.append(line)
        if "policy now" in line:
            s.call("PUT", "/api/v1/policy", {"policy": json.dumps(policy(realistic, int(line.split()[-1])))})
        elif "restart now" in line:
            s.stop(signal.SIGKILL)
            s.start()
    text = proc.stdout.read()
    if proc.wait() != 0:
        sys.exit("swarm: " + "".join(words[-3:]))
    m = json.loads(text)
    m["restart.cpu_s"] = s.cpu_s()
    time.sleep(1)
    cpu = s.cpu_s()
    time.sleep(10)
    m["idle.core_percent"] = (s.cpu_s() - cpu) * 10
    s.stop()
    shutil.rmtree(s.dir, ignore_errors=True)
    return m


def main():
    for f in (a.program, a.swarm):
        if not os.access(f, os.X_OK):
            sys.exit(f"{f} is not there: make bench-swarm builds it")
    busy = os.getloadavg()[0]
    print(f"{a.nodes} nodes over {'plain HTTP' if a.plain else 'TLS'}" + (f"; the machine is busy with other work (load {busy:.1f})" if busy > 0.7 else ""))
    all_, real = run(False), run(True)
    n300 = a.nodes <= 300
    rows = [  # words, figure, target, Headscale at 300
        ("allow-all: CPU a registration, ms", all_["register.cpu_ms"], 1, 54),
        ("  a change to the last peer, p50, ms", all_["fanout.last.p50_ms"], None, 436),
        ("  p99, ms", all_["fanout.last.p99_ms"], 10 if n300 else 25, 824),
        ("  server CPU a change, ms", all_["fanout.cpu_ms"], 4 if n300 else 12, 60),
        ("  a new node to the last peer, p99, ms", all_["join.last.p99_ms"], None, None),
        ("  a policy edit in force everywhere, p99, ms", all_["policy.last.p99_ms"], 50, None),
        ("  server CPU an edit, ms", all_["policy.cpu_ms"], None, None),
        ("  KiB a live node", (all_["idle.rss_kib"] - all_["empty.rss_kib"]) / a.nodes, None, 322),
        ("  SIGKILL, and all back with full maps, s", all_["restart.seconds"], 5, 50),
        ("  CPU of that, start included, s", all_["restart.cpu_s"], None, 20),
        ("  idle, % of a core", all_["idle.core_percent"], 1, None),
        ("realistic: CPU a registration, ms", real["register.cpu_ms"], None, None),
        ("  connect storm, CPU a stream, ms", real["streams.cpu_ms"], None, 55000 / 300),
        ("  a policy edit in force everywhere, p99, ms", real["policy.last.p99_ms"], 50, 27000),
        ("  server CPU an edit, ms", real["policy.cpu_ms"], None, 57000),
        ("  SIGKILL, and all back with full maps, s", real["restart.seconds"], 5, None),
    ]
    missed = 0
    print(f"{'':50}{'here':>10}{'target':>9}{'':5}{'Headscale':>10}{'better':>9}")
    for words, v, target, theirs in rows:
        ok = target is None or v <= target
        missed += not ok
        fmt = lambda x: f"{x:.2f}" if x < 20 else f"{x:.0f}"
        print(f"{words:50}{fmt(v):>10}{'' if target is None else '<= %g' % target:>9}{'' if target is None else ' ok' if ok else ' NO':5}"
              f"{'' if theirs is None else fmt(theirs):>10}{'' if theirs is None or not v else '%.0fx' % (theirs / v):>9}")
    print("Headscale: 0.30-dev, SQLite, 300 nodes, as measured for the issue, not in this run")
    print(f"{missed} targets missed")


main()
