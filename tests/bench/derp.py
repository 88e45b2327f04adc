#!/usr/bin/env python3
"""make bench-derp [DERPER=FILE]: our relay under tests/bench/derpload, and derper beside it in the same run where its binary is given.

Relay and load are pinned to a core each (with fewer than two, not at all); TLS 1.3, AES-128-GCM, one record a frame towards
the relay, as official clients send. MB are 10^6 payload bytes delivered; a relay CPU-second counts user and system time
of its process. Each figure is the median of three rounds, in which the relays take turns, so that a slow minute hits both. Without
DERPER= its column shows what was measured of derper (August 2026) on this kind of machine.

A machine is not equally fast at all times. Where derper runs beside, the column "scaled" has each target that is a speed or a
time multiplied by what derper does now over what it did when the targets were set: what they amount to now. "floor" is a
round trip of the same shape through a bare copying loop: what the machine takes before a relay does anything.

PARTS=speed,times,memory runs some of the figures (about 80, 70 and 60 s with derper); SECONDS_EACH= and ROUNDS= change how long.
"""
import json, os, shutil, signal, socket, statistics, subprocess, sys, tempfile, time

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
B = os.path.join(TOP, os.environ.get("BUILD", "build/release"))
LOAD = os.path.join(B, "tests", "bench", "derpload")
OURS = os.path.join(B, "fairlead-derp")
DERPER = os.environ.get("DERPER", "")
SECONDS = os.environ.get("SECONDS_EACH", "2")
ROUNDS = int(os.environ.get("ROUNDS", "3"))
PARTS = os.environ.get("PARTS", "speed,times,memory").split(",")
CORES = sorted(os.sched_getaffinity(0))


def pin(core, cmd):
    return ["taskset", "-c", str(CORES[core]), *cmd] if len(CORES) > 1 else cmd


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Relay:
    def __init__(self, what, tls, threads=1, cores=(0,), stun="off", per_address="0"):
        self.dir = tempfile.mkdtemp(prefix="bench-derp-")
        self.port = free_port()
        at = f"127.0.0.1:{self.port}"
        if what == "derper":
            env = dict(os.environ, GOMAXPROCS=str(threads))
            if tls:
                cert = os.path.join(self.dir, "127.0.0.1.crt")
                subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                                "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout",
                                cert[:-3] + "key", "-out", cert], check=True, capture_output=True)
            cmd = [DERPER, "-a", at, "-c", os.path.join(self.dir, "key"), "-hostname", "127.0.0.1", "-stun=false", "-http-port=-1",
                   "-certmode=manual" if tls else "-certmode=letsencrypt", "-certdir", self.dir]
        else:
            env = None
            cmd = [OURS, "--hostname", "127.0.0.1", "--listen", at if tls else f"127.0.0.1:{free_port()}", "--http", "off",
                   "--stun", stun, "--state", self.dir, "--threads", str(threads), "--max-conns-per-address", per_address]
            if not tls:
                cmd += ["--listen-plain", at]
        if len(CORES) > 1:
            cmd = ["taskset", "-c", ",".join(str(CORES[c]) for c in cores), *cmd]
        self.log = open(os.path.join(self.dir, "log"), "w")
        self.p = subprocess.Popen(cmd, stdout=self.log, stderr=subprocess.STDOUT, env=env)
        for _ in range(100):
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                break
            except OSError:
                if self.p.poll() is not None:
                    sys.exit(f"{what} ended: " + open(self.log.name).read())
                time.sleep(0.05)
        self.flags = ["--to", at, "--pid", str(self.p.pid)] + ([] if tls else ["--plain"])

    def load(self, *args):
        """One run; None where the relay closed a connection or lost its mind."""
        r = subprocess.run(pin(1, [LOAD, *self.flags, *args]), capture_output=True, text=True, timeout=120)
        return json.loads(r.stdout) if r.returncode == 0 else None

    def stop(self):
        self.p.send_signal(signal.SIGINT)
        try:
            self.p.wait(2)
        except subprocess.TimeoutExpired:
            self.p.kill()
            self.p.wait()
        self.log.close()
        shutil.rmtree(self.dir, ignore_errors=True)


def median(rows, key):
    got = [r[key] for r in rows if r]
    return statistics.median(got) if got else None


def share(part, whole):
    return None if part is None or not whole else 100 * part / whole


def rounds(tls, args, n=ROUNDS):
    """args: what derpload is told, by relay. Each round with fresh processes, one relay after the other; rows by relay."""
    rows = {what: [] for what in args}
    for _ in range(n):
        for what in args:
            r = Relay(what, tls)
            try:
                rows[what].append(r.load(*args[what]))
            finally:
                r.stop()
    return rows


def floor():
    r = subprocess.run(pin(1, [LOAD, "--seconds", SECONDS, "floor", str(CORES[0])]), capture_output=True, text=True, timeout=60)
    return json.loads(r.stdout)["rtt_p99_us"] if r.returncode == 0 else None


def speed(out, names):
    timed = ["--seconds", SECONDS]
    for name, tls, size in (("tls150", True, "150"), ("plain1400", False, "1400")):
        for what, rows in rounds(tls, {n: [*timed, "--size", size, "window", "24"] for n in names}).items():
            out[what][name] = median(rows, "mb_cpu_s")
    # The peak and the flood side by side, for one is a share of the other.
    rows = {w: ([], []) for w in names}
    for _ in range(ROUNDS):
        for k, mode in ((0, ["window", "24"]), (1, ["flood"])):
            for what, got in rounds(True, {n: [*timed, *mode] for n in names}, 1).items():
                rows[what][k].extend(got)
    for what in names:
        out[what]["tls1400"] = median(rows[what][0], "mb_cpu_s")
        out[what]["peak"] = median(rows[what][0], "mb_s")
        out[what]["flood"] = share(median(rows[what][1], "mb_s"), out[what]["peak"])


def times(out, names):
    timed = ["--seconds", SECONDS]
    floors = [f for f in (floor() for _ in range(ROUNDS)) if f is not None]
    out["floor"] = statistics.median(floors) if floors else None
    for what, rows in rounds(True, {n: [*timed, "rate", "1"] for n in names}).items():
        out[what]["rtt_idle"] = median(rows, "rtt_p99_us")
    if "speed" not in PARTS:
        for what, rows in rounds(True, {n: [*timed, "window", "24"] for n in names}, 1).items():
            out[what]["peak"] = median(rows, "mb_s")
    for what, rows in rounds(True, {n: [*timed, "rate", f"{out[n]['peak'] * 0.9:.1f}"] for n in names}).items():
        out[what]["rtt_90"] = median(rows, "rtt_p99_us")
    half = {n: f"{out[n]['peak'] * 0.4:.1f}" for n in names}
    alone = rounds(True, {n: [*timed, "rate", half[n]] for n in names}, 1)
    for what, rows in rounds(True, {n: [*timed, "stopped", half[n]] for n in names}).items():
        out[what]["stopped"] = share(median(rows, "mb_s"), median(alone[what], "mb_s"))


def memory(out, names):
    for what, rows in rounds(True, {n: ["idle", "1000"] for n in names}).items():
        out[what].update(kib=median(rows, "kib_each"), kib_left=median(rows, "kib_left_each"), handshake=median(rows, "cpu_us_each"))


ROWS = [  # part, key, words, target, derper as measured in August 2026, larger is better, of this machine's speed
    ("speed", "tls1400", "MB delivered a relay CPU-second, TLS, 1400 B", ">= 650", 220, True, True),
    ("speed", "tls150", "the same, 150 B", ">= 220", 44, True, True),
    ("speed", "plain1400", "the same without TLS, 1400 B", ">= 1400", 222, True, True),
    ("speed", "flood", "delivered when senders never wait, % of the peak", ">= 90", 1, True, False),
    ("times", "rtt_idle", "p99 round trip, idle, us", "<= 250", 290, False, True),
    ("times", "rtt_90", "p99 round trip at 90 % load, us", "<= 600", 4000, False, True),
    ("memory", "kib", "RSS an idle TLS connection, KiB", "<= 16", 57, False, False),
    ("memory", "kib_left", "  of it still there after they closed, KiB", "<= 1", 57, False, False),
    ("memory", "handshake", "CPU a TLS and DERP handshake, us", "<= 250", 429, False, True),
    ("times", "stopped", "others' throughput beside a stopped reader, %", ">= 90", 8, True, False),
]


def shown(x):
    return "-" if x is None else f"{x:.2f}" if abs(x) < 20 else f"{x:.0f}"


def main():
    busy = os.getloadavg()[0]
    if busy > 0.7:
        print(f"the machine is busy with other work (load {busy:.1f}): figures a CPU-second suffer somewhat, times a lot")
    names = ["ours"] + (["derper"] if DERPER else [])
    out = {n: {} for n in names}
    for part in PARTS:
        {"speed": speed, "times": times, "memory": memory}[part](out, names)
    missed = missed_scaled = 0
    print(f"{'':50}{'here':>10}{'target':>10}{'':4}" + (f"{'scaled':>8}{'':4}" if DERPER else "") + f"{'derper':>8}{'better':>9}")
    for part, key, words, target, published, up, scales in ROWS:
        if part not in PARTS:
            continue
        v, d = out["ours"].get(key), out["derper"].get(key) if DERPER else published
        word, bound = target.split()

        def reached(limit):
            return v is not None and (v >= limit if word == ">=" else v <= limit)

        ok = reached(float(bound))
        missed += not ok
        line = f"{words:50}{shown(v):>10}{target:>10}{' ok' if ok else ' NO':4}"
        if DERPER:
            scaled = float(bound) * d / published if scales and d else float(bound)
            missed_scaled += not reached(scaled)
            line += f"{shown(scaled) if scales else '':>8}{(' ok' if reached(scaled) else ' NO') if scales else '':4}"
        ratio = (v / d if up else d / v) if v and d else None
        print(line + f"{shown(d):>8}{'' if ratio is None else f'{ratio:.1f}x':>9}")
        if key == "rtt_idle":
            print(f"{'  floor: the same through a bare copying loop':50}{shown(out['floor']):>10}")
    if DERPER:
        print(f"derper: {DERPER}, measured in this run; scaled: the target times derper here over derper when it was set")
        print(f"{missed} targets missed, {missed_scaled} as scaled to this machine")
    else:
        print("derper: as measured in August 2026 on this kind of machine (DERPER= measures it here)")
        print(f"{missed} targets missed")


if __name__ == "__main__":
    main()
