#!/usr/bin/env python3
"""run.py [--budget S] [--run REGEX] [--versions new,old] [--count N]: the official client as a Go library against build/release.

Builds the test module once for each version of tailscale.com (go.mod: the newest that Go 1.26 builds; go.v180.mod:
1.80), then runs each in a fresh set of namespaces: loopback, one private address on a cable that ends in the same namespace and
also takes the default route, so that no packet leaves, and an /etc/hosts with the server's name. Everything started in there ends
with it. Leaves the counts in build/results/interop. In CI (CI=true) nothing may be skipped but what a test says an old
client cannot do.
"""
import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
HERE = os.path.join(TOP, "tests", "interop")
OUT = os.path.join(TOP, "build", "interop")
MODULES = {"new": "go.mod", "old": "go.v180.mod"}
IP = "10.90.0.1"
NAME = "ctl.interop.test"
CI = os.environ.get("CI") == "true"

# Runs inside the namespaces: $1 hosts file, $2 resolv.conf, $3... the test program.
INSIDE = f"""
set -e
[ -e /etc/hosts ] || : >/etc/hosts
mount --bind "$1" /etc/hosts
mount --bind "$2" /etc/resolv.conf; shift; shift
ip link set lo up
ip link add d0 type veth peer name d1
ip addr add {IP}/24 dev d0
ip -6 addr add fd00:90::1/64 dev d0 nodad
ip link set d0 up
ip link set d1 up
ip route add default dev d0
# Networks behind routers, for tests of routes: who asks the kernel and not the tunnel is refused at once.
ip route add local 10.77.0.0/16 dev lo
ip route add local 192.0.2.0/24 dev lo
ip -6 route add local fd00:77::/64 dev lo
exec "$@"
"""


def plain(text):
    """Text of a log without what would make a terminal or grep take it for something else."""
    return "".join(c if c.isprintable() or c in "\n\t" else "?" for c in text)


def result(passed, failed, skipped):
    os.makedirs(os.path.join(TOP, "build", "results"), exist_ok=True)
    with open(os.path.join(TOP, "build", "results", "interop"), "w") as f:
        f.write(f"{passed} {failed} {skipped}\n")
    print(f"interop: {passed} passed, {failed} failed, {skipped} skipped")
    return 1 if failed else 0


def cannot(why):
    """The suite cannot run here: skipped on a developer's machine, a failure in CI."""
    print("interop: cannot run:", why)
    return result(0, 1, 0) if CI else result(0, 0, 1)


def namespaces():
    """The unshare command that makes them, or None."""
    base = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
    for extra in ([], ["--user", "--map-root-user"]):
        cmd = base + extra
        if subprocess.run(cmd + ["ip", "link", "add", "d0", "type", "veth", "peer", "name", "d1"], capture_output=True).returncode == 0:
            return cmd
    return None


def build(version):
    """The test program for one version of tailscale.com; None and the compiler's words if it does not build."""
    exe = os.path.join(OUT, version + ".test")
    p = subprocess.run(["go", "test", "-c", "-mod=readonly", "-modfile=" + MODULES[version],
                        "-tags=ts_debug_websockets,interop_" + version, "-o", exe, "."], cwd=HERE,
                       capture_output=True, text=True, env=dict(os.environ, GOTOOLCHAIN="local"))
    if p.returncode:
        print(p.stdout + p.stderr)
        return None
    return exe


def run(version, exe, unshare, pattern, count, budget):
    """One version's tests; returns counts. A line for each test as it ends, the whole output of those that failed."""
    with tempfile.TemporaryDirectory(prefix="interop-") as tmp:
        hosts = os.path.join(tmp, "hosts")
        with open(hosts, "w") as f:
            f.write(f"127.0.0.1 localhost\n::1 localhost\n{IP} {NAME}\n")
        resolv = os.path.join(tmp, "resolv.conf")
        with open(resolv, "w") as f:
            f.write("nameserver 10.77.53.9\n")
        env = {k: v for k, v in os.environ.items() if not k.startswith(("TS_", "SSL_")) and not k.lower().endswith("_proxy")}
        env.update(INTEROP_BIN=os.path.join(TOP, "build", "release"), INTEROP_BROWSER=os.path.join(TOP, "tests", "browser"), INTEROP_IP=IP, TMPDIR=tmp, HOME=tmp,
                   TS_NO_LOGS_NO_SUPPORT="true")
        cmd = ["go", "tool", "test2json", "-t", "-p", version] + unshare + [
            "sh", "-c", INSIDE, "inside", hosts, resolv, exe, "-test.v=test2json", "-test.timeout", f"{int(budget)}s"]
        if pattern:
            cmd += ["-test.run", pattern]
        if count > 1:  # stops at the first failure: what a race leaves behind is in its folder's logs, printed below
            cmd += ["-test.count", str(count), "-test.failfast"]
        p = subprocess.Popen(cmd, cwd=HERE, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                             text=True, errors="replace", env=env)
        running, parents, output, stray = set(), set(), {}, []
        tally = {"pass": 0, "fail": 0, "skip": 0}
        for line in p.stdout:
            try:
                e = json.loads(line)
            except ValueError:
                stray.append(line)
                continue
            name, action = e.get("Test"), e.get("Action")
            if action == "output":
                if name:
                    output.setdefault(name, []).append(e["Output"])
                else:
                    stray.append(e["Output"])
            elif name and action == "run":
                running.add(name)
                parents.add(name.rpartition("/")[0])
            elif name and action in tally:
                running.discard(name)
                shown = output.pop(name, [])
                if name in parents and not (action == "fail" and not tally["fail"]):
                    continue  # its parts have been counted
                tally[action] += 1
                print(f"{'FAIL' if action == 'fail' else action} {version} {name} ({e.get('Elapsed', 0):.1f} s)")
                if action != "fail":  # what the test noted: figures, or why it was skipped
                    shown = [l for l in shown if "_test.go:" in l and "derphttp" not in l][:12]
                cut = [l for l in shown[:-400] if "_test.go:" in l]  # what the test said is never lost
                print(plain("".join("    " + l for l in cut + shown[-400:])), end="")
                sys.stdout.flush()
        rc = p.wait()
    endless = sorted(t for t in running if t not in parents)
    if endless:
        print(f"FAIL {version}: did not end: {', '.join(endless)}")
        tally["fail"] += len(endless)
    if rc and not tally["fail"]:
        print(f"FAIL {version}: exit status {rc}")
        tally["fail"] = 1
    if rc:
        print(plain("".join("    " + l for l in stray[-60:])))
    return tally["pass"], tally["fail"], tally["skip"]


def main():
    ap = argparse.ArgumentParser(description=__doc__)
    ap.add_argument("--budget", type=int, default=1200, help="seconds for all versions, builds included")
    ap.add_argument("--run", default="", help="only tests that match this regular expression")
    ap.add_argument("--versions", default="new,old")
    ap.add_argument("--count", type=int, default=1, help="each test so many times, until one fails")
    a = ap.parse_args()
    start = time.monotonic()
    if not shutil.which("go"):
        return cannot("no Go here; deploy/deps.sh installs it")
    unshare = namespaces()
    if not unshare:
        return cannot("no right to make network namespaces; run it as root")
    if not os.access(os.path.join(TOP, "build", "release", "fairlead"), os.X_OK):
        print("interop: build/release/fairlead is missing; run make first")
        return result(0, 1, 0)
    os.makedirs(OUT, exist_ok=True)
    total = [0, 0, 0]
    for v in a.versions.split(","):
        t0 = time.monotonic()
        exe = build(v)
        print(f"interop: {MODULES[v]} built in {time.monotonic() - t0:.0f} s")
        left = a.budget - (time.monotonic() - start)
        if not exe or left < 10:
            total[1] += 1
            continue
        counts = run(v, exe, unshare, a.run, a.count, left)
        total = [x + y for x, y in zip(total, counts)]
    print(f"interop: {time.monotonic() - start:.0f} s of {a.budget} s")
    return result(*total)


if __name__ == "__main__":
    sys.exit(main())
