#!/usr/bin/env python3
"""api.py [--nodes 5000] [--seconds 5]: what `make bench-api` prints: how long lists of N nodes take over the TLS front, and how many small
GETs the server answers in a second of its CPU. Client and server share the machine; requests a CPU second do not mind that."""
import argparse, json, os, shutil, ssl, subprocess, sys, tempfile, time, http.client

here = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(here), "integration"))
os.environ.setdefault("BUILD", "build/release")
from lib.kit import Server

p = argparse.ArgumentParser()
p.add_argument("--nodes", type=int, default=5000)
p.add_argument("--seconds", type=int, default=5)
a = p.parse_args()
build = os.environ["BUILD"]
LIMITS = "".join(f"{k} = 100000\n" for k in ("max_connections", "max_connections_per_address", "max_handshakes", "max_handshakes_per_address",
                                             "max_unregistered_sessions", "max_unregistered_per_address"))


def load(s, key, path, *flags):
    cmd = [f"{build}/tests/bench/apiload", "--to", f"127.0.0.1:{s.tls}", "--pid", str(s.p.pid), "--seconds", str(a.seconds), "--key", key, *flags, path]
    return json.loads(subprocess.run(cmd, check=True, capture_output=True, text=True).stdout)


folder = tempfile.mkdtemp(prefix="fairlead-bench.")
subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", "key.pem", "-out",
                "cert.pem", "-subj", "/CN=localhost", "-days", "2"], cwd=folder, check=True, capture_output=True)
s = Server(folder, tables=f"[limits]\n{LIMITS}api_requests_per_second = 0\n")
try:
    s.start()
    key = s.must("apikeys", "create", "--expiration", "2h").strip()
    auth = s.auth_key("--reusable")
    t0 = time.time()
    subprocess.run([f"{build}/tests/bench/swarm", "--url", f"http://127.0.0.1:{s.port}", "--auth-key", auth, "--nodes", str(a.nodes), "--mode", "register"],
                   check=True, capture_output=True)
    print(f"{a.nodes} nodes joined in {time.time() - t0:.1f} s", flush=True)
    s.end()
    s.keys = f'tls_cert_path = "{folder}/cert.pem"\ntls_key_path = "{folder}/key.pem"\n'  # the same database behind the TLS front
    s.write()
    s.tls = s.port
    s.start()
    print(f"{'call':44} {'p50 ms':>8} {'p99 ms':>8} {'KB':>8} {'a second':>9} {'a CPU second':>13}   target")
    for path, flags, target in (("/api/v1/node", ("--connections", "1"), "100 ms"), ("/api/v2/tailnet/-/devices", ("--connections", "1"), "100 ms"),
                                ("/api/v2/tailnet/-/devices?fields=all", ("--connections", "1"), ""),
                                ("/api/fairlead/v1/machines", ("--connections", "1"), ""), ("/api/fairlead/v1/machines", ("--connections", "1", "--gzip"), ""),
                                ("/health", (), "10000"), ("/api/v1/user", (), "10000"), ("/api/v2/tailnet/-/dns/preferences", (), "10000"),
                                ("/api/v1/user", ("--connections", "1"), "")):
        r = load(s, key, path, *flags)
        name = path + (" gzip" if "--gzip" in flags else "") + (" (1)" if "1" in flags else "")
        print(f"{name:44} {r['p50_ms']:8.2f} {r['p99_ms']:8.2f} {r['bytes'] / 1000:8.1f} {r['per_s']:9.0f} {r['per_cpu_s']:13.0f}   {target}", flush=True)
finally:
    s.end()
    shutil.rmtree(folder, ignore_errors=True)
