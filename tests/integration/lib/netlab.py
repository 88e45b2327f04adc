"""netlab: networks made of namespaces, with a fairlead, relays and fairlead-clients in them.

Needs root and /dev/net/tun: skip_unless_possible() ends the program with a TAP skip otherwise. Names of namespaces begin
with a tag of this process, so that several labs run side by side; close() takes away all that was made. /etc of a client is
a private copy, so that resolv.conf of this machine stays as it is. BUILD= names the build folder (default build/asan)."""
import json, os, re, shutil, signal, subprocess, sys, tempfile, time, traceback

here = os.path.dirname(os.path.abspath(__file__))
top = os.path.dirname(os.path.dirname(os.path.dirname(here)))
build = os.path.join(top, os.environ.get("BUILD", "build/asan"))
tag = f"fl{os.getpid() % 100000}"
made = []  # what close() ends, newest first


def sh(*args, check=True, timeout=30, stdin=None):
    r = subprocess.run(args, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=timeout, input=stdin)
    if check and r.returncode:
        raise AssertionError(f"{' '.join(args)}: {r.returncode}\n{r.stdout}")
    return r.stdout


def until(what, fn, seconds):
    """Calls fn until it is true; returns how long that took, in milliseconds."""
    start = time.monotonic()
    while not fn():
        if time.monotonic() - start > seconds:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(0.02)
    return (time.monotonic() - start) * 1000


def skip_unless_possible():
    if os.geteuid() or not os.path.exists("/dev/net/tun") or \
            subprocess.run(["ip", "netns", "add", tag + "t"], stderr=subprocess.DEVNULL).returncode:
        print("1..0 # SKIP needs root, network namespaces and /dev/net/tun")
        sys.exit(0)
    sh("ip", "netns", "del", tag + "t")


class Space:
    """A network namespace."""
    def __init__(self, name):
        self.name = f"{tag}{name}"
        sh("ip", "netns", "add", self.name)
        made.append(self)
        self.ip("link", "set", "lo", "up")

    def ip(self, *args, check=True):
        return sh("ip", "-n", self.name, *args, check=check)

    def nft(self, rules):
        sh("ip", "netns", "exec", self.name, "nft", "-f", "-", stdin=rules)

    def run(self, *args, **more):
        return sh("ip", "netns", "exec", self.name, *args, **more)

    def addr(self, dev, *addrs):
        for a in addrs:
            self.ip("addr", "add", a, "dev", dev, *(["nodad"] if ":" in a else []))
        self.ip("link", "set", dev, "up")

    def bridge(self, *addrs):
        self.ip("link", "add", "br0", "type", "bridge")
        self.addr("br0", *addrs)

    def plug(self, switch, *addrs, dev="eth0", gateway=None):
        """A cable from our dev to the bridge of switch."""
        port = "p" + self.name[len(tag):]
        switch.ip("link", "add", port, "type", "veth", "peer", "name", dev, "netns", self.name)
        switch.ip("link", "set", port, "master", "br0", "up")
        self.addr(dev, *addrs)
        if gateway:
            self.ip("route", "add", "default", "via", gateway)

    def join(self, other, dev, other_dev, delay_ms=0, loss=0):
        """A cable between two spaces; with delay or loss it is a process."""
        if delay_ms or loss:
            made.append(Cable(self, dev, other, other_dev, delay_ms, loss))
        else:
            self.ip("link", "add", dev, "type", "veth", "peer", "name", other_dev, "netns", other.name)

    def close(self):
        sh("ip", "netns", "del", self.name, check=False)


class Cable:
    def __init__(self, a, dev, b, other_dev, delay_ms, loss):
        self.p = subprocess.Popen([sys.executable, os.path.join(here, "cable.py"), a.name, dev, b.name, other_dev, str(delay_ms),
                                   str(loss)], stdout=subprocess.PIPE)
        assert self.p.stdout.readline() == b"ready\n"

    def close(self):
        self.p.kill()
        self.p.wait()


class Program:
    """One of ours in a space; its log is read when it ends badly."""
    def __init__(self, space, name):
        self.space, self.p = space, None
        self.dir = os.path.join(folder(), name)
        os.mkdir(self.dir)
        self.log = os.path.join(self.dir, "log")
        made.append(self)

    def spawn(self, *args):
        with open(self.log, "a") as log:
            self.p = subprocess.Popen(["ip", "netns", "exec", self.space.name, *args], stdout=log, stderr=log, env=self.env())

    def env(self):
        return dict(os.environ)

    def tail(self):
        with open(self.log) as f:
            return f.read()[-3000:]

    def stop(self, how=signal.SIGTERM):
        p, self.p = self.p, None
        if not p:
            return
        p.send_signal(how)
        try:
            rc = p.wait(20)
        except subprocess.TimeoutExpired:
            p.kill()
            p.wait()
            raise
        assert how == signal.SIGKILL or rc == 0, f"exit status {rc}: {self.tail()}"

    def close(self):
        self.stop()


class Server(Program):
    """A fairlead with its relay; url is http://ADDRESS:18080. tables: further text of its configuration."""
    def __init__(self, space, address, name="server", tables="", relay=True):
        super().__init__(space, name)
        self.url = f"http://{address}:18080"
        self.conf = os.path.join(self.dir, "config.toml")
        with open(self.conf, "w") as f:
            f.write(f'server_url = "{self.url}"\nlisten_addr = ["{address}:18080"]\nunix_socket = "{self.dir}/f.sock"\n'
                    f'[database]\npath = "{self.dir}/f.db"\n[derp.server]\nenabled = {str(relay).lower()}\n' +
                    (f'listen_addr = ["{address}:18443"]\nstun_second_port = 3479\n' if relay else "") + tables)
        self.start()
        self.run("users", "create", "ann")
        self.key = re.search(r"hskey-auth-[\w-]+",
                             self.run("preauthkeys", "create", "--user", "ann", "--reusable", "--expiration", "1h"))[0]

    def start(self):
        self.spawn(f"{build}/fairlead", "serve", "--config", self.conf)
        until("the server answers", lambda: subprocess.run([f"{build}/fairlead", "-c", self.conf, "health"], env=self.env(),
                                                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0, 20)

    def run(self, *args):
        return sh(f"{build}/fairlead", "-c", self.conf, *args)


class Relay(Program):
    """A fairlead-derp of its own; region() is what a DERP map says of it."""
    def __init__(self, space, address, name="relay"):
        super().__init__(space, name)
        self.address = address
        self.start()

    def start(self):
        was = os.path.getsize(self.log) if os.path.exists(self.log) else 0
        self.spawn(f"{build}/fairlead-derp", "--hostname", self.address, "--listen", f"{self.address}:8443", "--http", "off",
                   "--stun", f"{self.address}:3478", "--state", os.path.join(self.dir, "state"))

        def pin():
            with open(self.log) as f:
                f.seek(was)
                self.pin = re.search(r"sha256-raw:[0-9a-f]{64}", f.read())
            return self.pin
        until("the relay listens", pin, 10)

    def region(self, id, code):
        return {"RegionID": id, "RegionCode": code, "RegionName": code, "Nodes": [
            {"Name": f"{id}a", "RegionID": id, "HostName": self.address, "IPv4": self.address, "IPv6": "none",
             "CertName": self.pin[0], "DERPPort": 8443, "STUNPort": 3478}]}


class Client(Program):
    def __init__(self, space, name=None, resolv="", args=()):
        super().__init__(space, name or space.name[len(tag):])
        self.etc, self.sock, self.args = os.path.join(self.dir, "etc"), os.path.join(self.dir, "sock"), args
        keep = ("nsswitch.conf", "ssl", "os-release", "host.conf", "passwd", "group")
        shutil.copytree("/etc", self.etc, symlinks=True, ignore_dangling_symlinks=True,
                        ignore=lambda d, names: [n for n in names if d == "/etc" and n not in keep])
        with open(os.path.join(self.etc, "resolv.conf"), "w") as f:
            f.write(resolv)
        self.start()

    def start(self):
        self.spawn("sh", "-c", 'mount --bind "$1" /etc && shift && exec "$@"', "-", self.etc, f"{build}/fairlead-client", "daemon",
                   f"--state-dir={self.dir}/state", f"--socket={self.sock}", "-v", *self.args)
        until("the daemon listens", lambda: self.cli("status", "--json", check=False).startswith("{"), 10)

    def cli(self, *args, check=True, timeout=30):
        return sh(f"{build}/fairlead-client", f"--socket={self.sock}", *args, check=check, timeout=timeout)

    def inside(self, *args, check=True):
        """In its mount and network namespaces."""
        return sh("nsenter", "-m", "-n", "-t", str(self.p.pid), *args, check=check)

    def status(self):
        return json.loads(self.cli("status", "--json"))

    def up(self, server, *more):
        return self.cli("up", f"--login-server={server.url}", f"--auth-key={server.key}", "--timeout=20s", *more)

    def pings(self, to, wait="0.3"):
        return subprocess.run(["ip", "netns", "exec", self.space.name, "ping", "-c", "1", "-W", wait, to],
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0

    def peer(self, name):
        return next(p for p in self.status()["Peer"].values() if p["HostName"] == name)

    def direct(self, name):
        """Where it reaches that peer directly; "": it does not."""
        return self.peer(name)["CurAddr"]


made_folder = None


def folder():
    global made_folder
    if not made_folder:
        made_folder = tempfile.mkdtemp(prefix="fairlead-lab-")
    return made_folder


def close():
    """Ends and removes all that was made; returns what went wrong."""
    global made_folder
    wrong = []
    while made:
        try:
            made.pop().close()
        except Exception as e:
            wrong.append(str(e))
    if made_folder:
        shutil.rmtree(made_folder, ignore_errors=True)
        made_folder = None
    return wrong


def main(tests, setup=None):
    """Runs tests as TAP. With a setup all share what it made; without one each test makes its own lab."""
    skip_unless_possible()
    wanted = [t for t in tests if len(sys.argv) < 2 or t.__name__ in sys.argv[1:]]
    failed = 0
    print(f"1..{len(wanted)}", flush=True)
    try:
        if setup:
            setup()
        for i, t in enumerate(wanted):
            start, wrong = time.monotonic(), []
            try:
                t()
            except Exception as e:
                if not isinstance(e, AssertionError):
                    traceback.print_exc()
                where = traceback.extract_tb(e.__traceback__)
                wrong.append(f"{'; '.join(f'{f.name}:{f.lineno}' for f in where)}: {e}")
                wrong += [f"{p.dir}:\n{p.tail()}" for p in made if isinstance(p, Client)]
            if not setup:
                wrong += close()
            failed += bool(wrong)
            print(f"{'not ' if wrong else ''}ok {i + 1} - {t.__name__} ({time.monotonic() - start:.1f} s)", flush=True)
            for w in wrong:
                print("# " + w.replace("\n", "\n# "), flush=True)
    finally:
        wrong = close()
        for w in wrong:
            print("# " + w.replace("\n", "\n# "))
    sys.exit(1 if failed or wrong else 0)
