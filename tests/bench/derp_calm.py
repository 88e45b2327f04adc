#!/usr/bin/env python3
"""derp_calm.py [--seconds S] [--churn-seconds S] [--rate MBPS] [--idle N] [--tap] [MODE...]: a relay while it is abused.

For each MODE of derpabuse: two pairs of derpload send RATE MB a second through the relay, alone and then beside the abuse;
newcomers connect all the while. Printed: what share of its throughput the load kept, how long newcomers took, what the abuse
managed, and what of the relay's memory is left when all have gone and it has been quiet for a while. --idle N holds N idle
connections at last. --tap asks for what must be true on any machine, however busy, and prints TAP (tests/integration/derp_calm.py).
BUILD= names the build folder (build/release).
"""
import argparse, json, os, resource, subprocess, sys, time

import derp

ABUSE = os.path.join(derp.B, "tests", "bench", "derpabuse")
MODES = ("none", "halfopen", "heads", "churn", "onekey", "pings", "gone", "keyupdate", "stun")
COUNT = {"halfopen": 5000, "churn": 1000, "onekey": 1000, "stun": 20000}

p = argparse.ArgumentParser()
p.add_argument("--seconds", type=float, default=5)
p.add_argument("--churn-seconds", type=float, default=0, help="how long churn lasts; 0: as the others")
p.add_argument("--rate", type=float, default=10)
p.add_argument("--idle", type=int, default=0)
p.add_argument("--divide", type=int, default=1, help="abuse by so much less: for builds with sanitizers")
p.add_argument("--tap", action="store_true")
p.add_argument("mode", nargs="*")
a = p.parse_args()
modes = a.mode or MODES
QUIET_S = 1 if a.tap else 12  # the look that gives memory back comes every few seconds
# The load generators end as they are; the relay must not leak.
ENV = dict(os.environ, ASAN_OPTIONS=os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0")
bad = 0
tests = 0


def say(name, ok, text):
    global bad, tests
    tests += 1
    bad += not ok
    if a.tap:
        print(f"{'ok' if ok else 'not ok'} {tests} - {name}\n# {text}", flush=True)
    else:
        print(f"{name:10} {text}{'' if ok else '   <- NO'}", flush=True)


def rss(r):
    with open(f"/proc/{r.p.pid}/status") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("VmRSS:"))


def load(r, seconds):
    cmd = derp.pin(1, [derp.LOAD, *r.flags, "--pairs", "2", "--seconds", str(seconds), "rate", str(a.rate)])
    return subprocess.Popen(cmd, stdout=subprocess.PIPE, text=True, env=ENV)


def result(p, seconds):
    out, _ = p.communicate(timeout=seconds + 60)  # seconds: what it was told to take
    return json.loads(out) if p.returncode == 0 else None


def abuse(r, mode, seconds, count=None):
    count = COUNT.get(mode, 0) // a.divide if count is None else count
    return subprocess.Popen([ABUSE, "--to", f"127.0.0.1:{r.port}", "--stun", str(r.stun), "--seconds", str(seconds), "--count", str(count),
                             mode], stdout=subprocess.PIPE, text=True, env=ENV)


def relay():
    stun = derp.free_port()
    r = derp.Relay("ours", True, threads=2, cores=range(len(derp.CORES)), stun=f"127.0.0.1:{stun}", per_address="1024")
    r.stun = stun
    return r


def one(mode):
    seconds = a.churn_seconds if mode == "churn" and a.churn_seconds else a.seconds
    r = relay()
    try:
        result(abuse(r, "churn", 1.5, 0), 2)  # warm: what the first clients of a process cost once
        alone = result(load(r, 1 if a.tap else min(seconds, 5)), seconds)
        time.sleep(QUIET_S)
        before = rss(r)
        bully = abuse(r, mode, seconds + 1.5)
        time.sleep(0.5)
        beside = result(load(r, seconds), seconds)
        b = result(bully, seconds)
        top = rss(r)
        assert r.p.poll() is None, "the relay died"
        if not b or not beside or not alone:
            return say(mode, False, "the load was cut off" if b else "the abuse ended")
        end = time.monotonic() + QUIET_S + 15  # half-open ones are ended after ten seconds
        while time.monotonic() < end and rss(r) - before > (32768 if a.tap else 1024):
            time.sleep(0.5)
        left = rss(r) - before
        kept = 100 * beside["mb_s"] / alone["mb_s"]
        text = (f"kept {kept:.0f} %; newcomers {b['newcomers']}, p50 {b['p50_ms']:.1f} p90 {b['p90_ms']:.1f} max {b['max_ms']:.1f} ms, refused "
                f"{b['refused']}; abuse {b['did'] / b['seconds']:.0f}/s, failed {b['failed']}; RSS {before} +{top - before} KiB, left {left:+d}")
        if mode == "stun":
            text += f"; {b['stun_out'] / 1e6:.1f} MB asked, {b['stun_in'] / 1e6:.1f} answered"
        ok = b["refused"] == 0 and b["newcomers"] > 0 and b["stun_in"] <= b["stun_out"] and b["did"] > 0 or mode == "none"
        if a.tap:  # a busy machine, a build with sanitizers: what it does to times is no fault of the relay
            ok = ok and kept >= 30 and b["p50_ms"] < 1000 and left < 48 * 1024
        else:
            ok = ok and kept >= 90 and b["p90_ms"] <= 50 and left <= 1024
        say(mode, ok, text)
    finally:
        r.stop()


def idle():
    """Many idle connections in one process: half of the descriptors are ours, half the relay's."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    r = derp.Relay("ours", True, threads=2, cores=range(len(derp.CORES)))
    try:
        out = r.load("idle", str(a.idle))
        say("idle", out is not None and out["kib_each"] <= 16,
            f"{a.idle} connections: {out['kib_each']:.2f} KiB each, {out['kib_left_each']:.2f} left, {out['cpu_us_each']:.0f} us of CPU each" if out else "failed")
    finally:
        r.stop()


for m in modes:
    one(m)
if a.idle:
    idle()
if a.tap:
    print(f"1..{tests}")
sys.exit(1 if bad else 0)
