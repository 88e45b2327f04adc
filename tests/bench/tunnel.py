#!/usr/bin/env python3
"""make bench-tunnel: our WireGuard engine (wgpipe) beside wireguard-go, in one run, between two network namespaces.

    nsA  tun 10.9.0.1 -- [wgpipe or wireguard-go] -- veth 192.0.2.1 ==== 192.0.2.2 veth -- [the same] -- tun 10.9.0.2  nsB

For each: iperf3 TCP with one flow and with four at MTU 1280, CPU seconds of both tunnel processes a GB, their RSS idle and
loaded. With --interop ours is paired with wireguard-go in both roles instead: handshake, ping, IPv6, rekey (--rekey waits
for the two minutes). Needs root; makes and removes its own namespaces only.
"""
import argparse, json, os, re, secrets, signal, subprocess, sys, time

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
PID = os.getpid()
NS = [f"flA{PID}", f"flB{PID}"]
UNDER = ["192.0.2.1", "192.0.2.2"]
OVER = ["10.9.0.1", "10.9.0.2"]
OVER6 = ["fd00:9::1", "fd00:9::2"]
PORT = 51820
HZ = os.sysconf("SC_CLK_TCK")


def sh(*cmd, check=True, timeout=60, **kw):
    r = subprocess.run(cmd, text=True, capture_output=True, timeout=timeout, **kw)
    if check and r.returncode:
        raise SystemExit(f"{' '.join(cmd)}: {r.stderr or r.stdout}")
    return r


def ns(i, *cmd, **kw):
    return sh("ip", "netns", "exec", NS[i], *cmd, **kw)


def lab_up():
    for n in NS:
        sh("ip", "netns", "add", n)
    sh("ip", "link", "add", "under0", "netns", NS[0], "type", "veth", "peer", "name", "under0", "netns", NS[1])
    for i in (0, 1):
        ns(i, "ip", "addr", "add", UNDER[i] + "/24", "dev", "under0")
        ns(i, "ip", "link", "set", "under0", "up")
        ns(i, "ip", "link", "set", "lo", "up")


def lab_down():
    for n in NS:
        sh("ip", "netns", "del", n, check=False)


def keypair():
    private = sh("wg", "genkey").stdout.strip()
    return private, sh("wg", "pubkey", input=private).stdout.strip()


def hexkey(b64):
    import base64
    return base64.b64decode(b64).hex()


def wait_for(what, check, seconds=10):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if check():
            return
        time.sleep(0.02)
    raise SystemExit(f"tunnel: {what} did not happen within {seconds} s")


class End:
    """One side of the tunnel: kind is ours or go."""

    def __init__(self, i, kind, args, keys):
        self.i, self.kind, self.dev = i, kind, f"wgt{PID % 100000}{'ab'[i]}"
        other = 1 - i
        allowed = f"{OVER[other]}/32,{OVER6[other]}/128"
        if kind == "ours":
            cmd = [args.wgpipe, "--tun", self.dev, "--listen", str(PORT), "--private-key", hexkey(keys[i][0]),
                   "--offload", args.offload, "--peer", hexkey(keys[other][1]), "--endpoint", f"{UNDER[other]}:{PORT}",
                   "--allowed-ips", allowed]
            env = os.environ
        else:
            cmd = [args.wireguard_go, "-f", self.dev]
            env = dict(os.environ, LOG_LEVEL="error", WG_PROCESS_FOREGROUND="1")
        self.p = subprocess.Popen(["ip", "netns", "exec", NS[i], *cmd], stdout=subprocess.PIPE, text=True, env=env)
        wait_for(f"{self.dev}", lambda: ns(i, "ip", "link", "show", self.dev, check=False).returncode == 0)
        if kind == "go":
            conf = (f"[Interface]\nPrivateKey={keys[i][0]}\nListenPort={PORT}\n[Peer]\nPublicKey={keys[other][1]}\n"
                    f"Endpoint={UNDER[other]}:{PORT}\nAllowedIPs={allowed}\n")
            wait_for("the wireguard-go socket", lambda: os.path.exists(f"/var/run/wireguard/{self.dev}.sock"))
            ns(i, "wg", "setconf", self.dev, "/dev/stdin", input=conf)
        ns(i, "ip", "link", "set", self.dev, "mtu", "1280", "up")
        ns(i, "ip", "addr", "add", OVER[i] + "/24", "dev", self.dev)
        ns(i, "ip", "addr", "add", OVER6[i] + "/64", "dev", self.dev, "nodad")

    def cpu(self):
        f = open(f"/proc/{self.p.pid}/stat").read().rsplit(")", 1)[1].split()
        return (int(f[11]) + int(f[12])) / HZ

    def rss_kb(self):
        return int(re.search(r"VmRSS:\s+(\d+)", open(f"/proc/{self.p.pid}/status").read()).group(1))

    def stop(self):
        self.p.terminate()
        try:
            self.p.wait(5)
        except subprocess.TimeoutExpired:
            self.p.kill()


def ping(i, to, count=3):
    six = ["-6"] if ":" in to else []
    return ns(i, "ping", *six, "-c", str(count), "-i", "0.05", "-W", "3", to, check=False, timeout=30).stdout


def iperf(flows, seconds):
    server = subprocess.Popen(["ip", "netns", "exec", NS[1], "iperf3", "-s", "-1", "-B", OVER[1]],
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_for("iperf3", lambda: ":5201" in ns(1, "ss", "-tln").stdout)
    r = ns(0, "iperf3", "-c", OVER[1], "-P", str(flows), "-t", str(seconds), "-J", check=False, timeout=seconds + 30)
    server.wait(10)
    out = json.loads(r.stdout)
    if "error" in out:
        raise SystemExit("iperf3: " + out["error"])
    return out["end"]["sum_received"]["bits_per_second"] / 1e9, out["end"]["sum_received"]["bytes"] / 1e9


def measure(kind, args):
    keys = [keypair(), keypair()]
    ends = [End(i, kind, args, keys) for i in (0, 1)]
    res = {}
    try:
        start = time.monotonic()
        if "1 received" not in ping(0, OVER[1], 1):
            raise SystemExit(f"{kind}: no answer through the tunnel")
        res["first_ping_ms"] = (time.monotonic() - start) * 1000
        res["rss_idle_kb"] = max(e.rss_kb() for e in ends)
        before = sum(e.cpu() for e in ends)
        time.sleep(args.idle)
        res["idle_cpu_pct"] = (sum(e.cpu() for e in ends) - before) / 2 / args.idle * 100 if args.idle else 0
        for flows in (1, 4):
            iperf(flows, 1)
            before = sum(e.cpu() for e in ends)
            gbit, gbytes = iperf(flows, args.seconds)
            res[f"gbit_{flows}"] = gbit
            res[f"cpu_s_per_gb_{flows}"] = (sum(e.cpu() for e in ends) - before) / gbytes
        res["rss_loaded_kb"] = max(e.rss_kb() for e in ends)
        if kind == "ours" and args.verbose:
            for e in ends:
                e.p.send_signal(signal.SIGUSR1)
                time.sleep(0.2)
    finally:
        for e in ends:
            e.stop()
        if kind == "ours" and args.verbose:
            for e in ends:
                print(e.p.stdout.read())
    return res


def bench(args):
    rows = {}
    for r in range(args.rounds):
        for kind in ("ours", "go") if r % 2 == 0 else ("go", "ours"):
            for k, v in measure(kind, args).items():
                rows.setdefault(kind, {}).setdefault(k, []).append(v)
    mid = {kind: {k: sorted(v)[len(v) // 2] for k, v in d.items()} for kind, d in rows.items()}
    print(f"MTU 1280, iperf3 TCP, {args.seconds} s, median of {args.rounds} (both ends and iperf3 share {os.cpu_count()} cores)")
    print(f"{'':24}{'ours':>12}{'wireguard-go':>14}{'ratio':>8}")
    for k in mid["ours"]:
        a, b = mid["ours"][k], mid["go"][k]
        print(f"{k:24}{a:12.3f}{b:14.3f}{a / b if b else 0:8.2f}")
    ok = all(mid["ours"][f"gbit_{f}"] >= 1.2 * mid["go"][f"gbit_{f}"] and
             mid["ours"][f"cpu_s_per_gb_{f}"] <= mid["go"][f"cpu_s_per_gb_{f}"] for f in (1, 4))
    ok = ok and mid["ours"]["rss_loaded_kb"] <= 8192
    print("target (1.2 times the throughput at no more CPU a GB, RSS of 8 MB):", "met" if ok else "NOT met")
    return 0 if ok else 1


def interop(args):
    failed = 0

    def case(name, good, detail=""):
        nonlocal failed
        failed += not good
        print(("ok   " if good else "FAIL ") + name + (": " + detail if detail and not good else ""))

    for kinds in (("ours", "go"), ("go", "ours")):
        keys = [keypair(), keypair()]
        ends = [End(i, kinds[i], args, keys) for i in (0, 1)]
        name = f"{kinds[0]} starts, {kinds[1]} answers"
        try:
            out = ping(0, OVER[1])
            case(f"{name}: handshake and ping", "3 received" in out, out)
            out = ping(1, OVER6[0])
            case(f"{name}: IPv6 back", "3 received" in out, out)
            for size in ("1", "700", "1200", "1252"):
                out = ns(0, "ping", "-c", "1", "-W", "2", "-s", size, "-M", "do", OVER[1], check=False).stdout
                case(f"{name}: {int(size) + 28} bytes", "1 received" in out, out)
            gbit, _ = iperf(1, 2)
            case(f"{name}: TCP, {gbit:.2f} Gbit/s", gbit > 0.05)
            r = ns(1, "iperf3", "-s", "-1", "-D", "-B", OVER[1])
            time.sleep(0.3)
            r = ns(0, "iperf3", "-u", "-b", "50M", "-l", "1200", "-w", "2M", "-t", "2", "-c", OVER[1], "-J", check=False)
            lost = json.loads(r.stdout)["end"]["sum"]["lost_percent"]
            case(f"{name}: UDP, {lost:.1f} % lost", lost < 5)
            if args.rekey:
                p = subprocess.run(["ip", "netns", "exec", NS[0], "ping", "-q", "-i", "0.2", "-c", str(5 * 130), OVER[1]],
                                   text=True, capture_output=True)
                case(f"{name}: 130 s of pings through a rekey", " 0% packet loss" in p.stdout, p.stdout)
                go = kinds.index("go")
                age = time.time() - int(ns(go, "wg", "show", ends[go].dev, "latest-handshakes").stdout.split()[1])
                case(f"{name}: the session is {age:.0f} s old", age < 60)
            # The one that answered restarts: its session is gone, and ours must be mended from this side.
            ends[1].stop()
            ends[1] = End(1, kinds[1], args, keys)
            start = time.monotonic()
            wait_for("a new session", lambda: "1 received" in ping(0, OVER[1], 1), 30)
            case(f"{name}: after a restart, {time.monotonic() - start:.1f} s", True)
        finally:
            for e in ends:
                e.stop()
    return 1 if failed else 0


def main():
    a = argparse.ArgumentParser()
    a.add_argument("--wgpipe", default=os.path.join(TOP, "build/release/tests/bench/wgpipe"))
    a.add_argument("--wireguard-go", default=os.path.join(TOP, "build/bench/wireguard-go"))
    a.add_argument("--offload", default="tun,uso,gso,gro")
    a.add_argument("--seconds", type=int, default=5)
    a.add_argument("--rounds", type=int, default=3)
    a.add_argument("--idle", type=int, default=3)
    a.add_argument("--interop", action="store_true")
    a.add_argument("--rekey", action="store_true")
    a.add_argument("--verbose", action="store_true")
    args = a.parse_args()
    if os.geteuid() != 0:
        print("skip: bench-tunnel makes network namespaces and needs root")
        return 0
    if not os.path.exists(args.wireguard_go):
        os.makedirs(os.path.dirname(args.wireguard_go), exist_ok=True)
        r = subprocess.run(["go", "build", "-C", os.path.join(HERE, "wggo"), "-o", args.wireguard_go,
                            "golang.zx2c4.com/wireguard"])
        if r.returncode:
            print("skip: wireguard-go could not be built")
            return 0
    lab_up()
    try:
        return interop(args) if args.interop else bench(args)
    finally:
        lab_down()


if __name__ == "__main__":
    sys.exit(main())
