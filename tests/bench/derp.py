#!/usr/bin/env python3
"""make bench-derp [DERPER=FILE]: our relay under tests/bench/derpload, and derper beside it in the same run where its binary is given.

Relay and load are pinned to a core each (with fewer than two, not at all); TLS 1.3, AES-128-GCM, one record a frame towards
the relay, as official clients send. MB are 10^6 payload bytes delivered; a relay CPU-second counts user and system time
of its process. Each figure is the median of three rounds. Without DERPER= its column shows what was measured of derper
(August 2026) on this kind of machine.
"""
import json, os, shutil, signal, socket, statistics, subprocess, sys, tempfile, time

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
B = os.path.join(TOP, os.environ.get("BUILD", "build/release"))
LOAD = os.path.join(B, "tests", "bench", "derpload")
OURS = os.path.join(B, "fairlead-derp")
DERPER = os.environ.get("DERPER", "")
SECONDS = os.environ.get("SECONDS_EACH", "3")
ROUNDS = int(os.environ.get("ROUNDS", "3"))
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


def measure(what):
    """Every figure of one relay, each round with a fresh process."""
    out = {}

    def rounds(tls, *args):
        rows = []
        for _ in range(ROUNDS):
            r = Relay(what, tls)
            try:
                rows.append(r.load(*args))
            finally:
                r.stop()
        return rows

    for name, tls, size in (("tls1400", True, "1400"), ("tls150", True, "150"), ("plain1400", False, "1400")):
        rows = rounds(tls, "--seconds", SECONDS, "--size", size, "window", "24")
        out[name] = median(rows, "mb_cpu_s")
        out[name + "_mb_s"] = median(rows, "mb_s")
    rows = rounds(True, "--seconds", SECONDS, "flood")
    out["flood"] = 100 * median(rows, "mb_s") / out["tls1400_mb_s"] if median(rows, "mb_s") is not None else None
    peak = out["tls1400_mb_s"]
    low, high = rounds(True, "--seconds", SECONDS, "rate", "1"), rounds(True, "--seconds", SECONDS, "rate", f"{peak * 0.9:.1f}")
    out["rtt_idle"], out["rtt_90"] = median(low, "rtt_p99_us"), median(high, "rtt_p99_us")
    half = f"{peak * 0.4:.1f}"
    alone, beside = rounds(True, "--seconds", SECONDS, "rate", half), rounds(True, "--seconds", SECONDS, "stopped", half)
    out["stopped"] = 100 * median(beside, "mb_s") / median(alone, "mb_s") if median(beside, "mb_s") is not None else None
    rows = rounds(True, "idle", "1000")
    out["kib"], out["kib_left"], out["handshake"] = median(rows, "kib_each"), median(rows, "kib_left_each"), median(rows, "cpu_us_each")
    return out


ROWS = [  # key, words, target, derper as measured in August 2026, larger is better
    ("tls1400", "MB delivered a relay CPU-second, TLS, 1400 B", ">= 650", 220, True),
    ("tls150", "the same, 150 B", ">= 220", 44, True),
    ("plain1400", "the same without TLS, 1400 B", ">= 1400", 222, True),
    ("flood", "delivered when senders never wait, % of the peak", ">= 90", 1, True),
    ("rtt_idle", "p99 round trip, idle, us", "<= 250", 290, False),
    ("rtt_90", "p99 round trip at 90 % load, us", "<= 600", 4000, False),
    ("kib", "RSS an idle TLS connection, KiB", "<= 16", 57, False),
    ("kib_left", "  of it still there after they closed, KiB", "<= 1", 57, False),
    ("handshake", "CPU a TLS and DERP handshake, us", "<= 250", 429, False),
    ("stopped", "others' throughput beside a stopped reader, %", ">= 90", 8, True),
]


def main():
    busy = os.getloadavg()[0]
    if busy > 0.7:
        print(f"the machine is busy with other work (load {busy:.1f}): figures a CPU-second suffer somewhat, times a lot")
    ours = measure("ours")
    derper = measure("derper") if DERPER else {}
    missed = 0
    print(f"{'':50}{'here':>10}{'target':>10}{'':4}{'derper':>10}{'better':>9}")
    for key, words, target, published, up in ROWS:
        v, d = ours[key], derper.get(key, published)
        word, bound = target.split()
        ok = v is not None and (v >= float(bound) if word == ">=" else v <= float(bound))
        missed += not ok
        ratio = (v / d if up else d / v) if v and d else None
        fmt = lambda x: "-" if x is None else f"{x:.2f}" if abs(x) < 20 else f"{x:.0f}"
        print(f"{words:50}{fmt(v):>10}{target:>10}{' ok' if ok else ' NO':4}{fmt(d):>10}{'' if ratio is None else f'{ratio:.1f}x':>9}")
    print("derper: " + (f"{DERPER}, measured in this run" if DERPER else "as measured in August 2026 on this kind of machine (DERPER= measures it here)"))
    print(f"{missed} targets missed")


if __name__ == "__main__":
    main()
