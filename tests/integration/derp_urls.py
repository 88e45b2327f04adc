#!/usr/bin/env python3
"""derp_urls.py: relays that come from URLs and files while the server runs: fetched, fetched again, and kept when what comes
is nothing usable.

Runs alone, or from tests/integration/run.py; prints TAP. BUILD= names the build folder (default build/asan).
"""
import http.server, json, os, shutil, signal, socket, subprocess, sys, tempfile, threading, time, traceback

from lib.kit import free_port

top = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
prog = os.path.join(top, os.environ.get("BUILD", "build/asan"), "fairlead")


def region(number):
    return {"RegionID": number, "RegionCode": f"r{number}", "RegionName": f"Region {number}",
            "Nodes": [{"Name": f"{number}a", "RegionID": number, "HostName": f"derp{number}.example.net"}]}


def derp_map(*numbers, **more):
    return json.dumps({"Regions": {**{str(n): region(n) for n in numbers}, **more}}).encode()


class Maps(http.server.ThreadingHTTPServer):
    """What a URL gives: status, headers, body."""
    daemon_threads = True

    def __init__(self):
        self.answer, self.asked = (200, {}, b""), 0
        maps = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                maps.asked += 1
                status, headers, body = maps.answer
                if self.path == "/elsewhere":
                    status, headers, body = 200, {}, derp_map(905)
                self.send_response(status)
                for k, v in {"Content-Length": str(len(body)), **headers}.items():
                    self.send_header(k, v)
                self.end_headers()
                try:
                    self.wfile.write(body)
                except OSError:  # it had enough of us
                    pass

            def log_message(self, *args):
                pass
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        threading.Thread(target=self.serve_forever, daemon=True).start()


class Server:
    def __init__(self, folder, more):
        self.config, self.log = os.path.join(folder, "config.toml"), os.path.join(folder, "log")
        port = free_port()
        with open(self.config, "w") as f:
            f.write(f'server_url = "http://127.0.0.1:{port}"\nlisten_addr = "127.0.0.1:{port}"\nunix_socket = "{folder}/s"\n'
                    f'[database]\npath = "{folder}/f.db"\n' + more)
        self.p = subprocess.Popen([prog, "serve", "--config", self.config], stdout=open(self.log, "w"), stderr=subprocess.STDOUT)
        self.until(lambda: self.cli("health").returncode == 0, "the server answers")

    def cli(self, *args):
        return subprocess.run([prog, "--config", self.config, *args], capture_output=True, text=True, timeout=20)

    def regions(self):
        return sorted(json.loads(self.cli("derp", "map").stdout)["Regions"])

    def until(self, fn, what, seconds=15):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if fn():
                return
            assert self.p.poll() is None, open(self.log).read()[-600:]
            time.sleep(0.1)
        raise AssertionError(f"not in time: {what}; log: {open(self.log).read()[-800:]}")

    def logged(self, text):
        return text in open(self.log).read()

    def stop(self):
        self.p.send_signal(signal.SIGTERM)
        assert self.p.wait(20) == 0


def own_relay():
    return f'[derp.server]\nlisten_addr = "127.0.0.1:{free_port()}"\nstun_listen_addr = ""\n'


def fetched_and_kept(folder):
    maps = Maps()
    maps.answer = (200, {}, derp_map(901))
    path = os.path.join(folder, "more.json")
    with open(path, "wb") as f:
        f.write(derp_map(903))
    s = Server(folder, own_relay() + f'[derp]\nurls = ["{maps.url}/map"]\nupdate_frequency = "1s"\npaths = ["{path}"]\n')
    s.until(lambda: s.regions() == ["900", "901", "903"], "three regions")
    maps.answer = (200, {}, derp_map(901, 902))
    s.until(lambda: s.regions() == ["900", "901", "902", "903"], "the URL's second region")
    for answer in ((500, {}, b"no"), (200, {}, b"{"), (200, {}, b"x" * (9 << 20)), (200, {"Content-Length": "5000"}, b"{}"),
                   (302, {"Location": "ftp://127.0.0.1/"}, b""), (302, {"Location": f"{maps.url}/map"}, b"")):
        maps.answer, before = answer, maps.asked
        s.until(lambda: maps.asked >= before + 2, "asked again")
        assert s.regions() == ["900", "901", "902", "903"], f"after {answer[:2]}: {s.regions()}"
    assert s.logged("what was there before stays")
    maps.answer = (302, {"Location": f"{maps.url}/elsewhere"}, b"")
    s.until(lambda: s.regions() == ["900", "903", "905"], "through a redirect")
    with open(path + ".new", "wb") as f:
        f.write(derp_map(904, **{"905": None}))
    os.rename(path + ".new", path)
    s.until(lambda: s.regions() == ["900", "904"], "the file was replaced; null takes a region out")
    s.stop()


def only_a_url(folder):
    maps = Maps()
    maps.answer = (200, {}, derp_map(901))
    s = Server(folder, f'[derp.server]\nenabled = false\n[derp]\nurls = ["{maps.url}"]\nauto_update_enabled = false\n')
    assert s.regions() == ["901"], s.regions()
    asked = maps.asked
    time.sleep(1.5)
    assert maps.asked == asked, "asked again although it may not"
    maps.answer = (200, {}, derp_map(902))
    s.p.send_signal(signal.SIGHUP)
    s.until(lambda: s.regions() == ["902"], "a reload asks again")
    s.stop()
    maps.answer = (500, {}, b"")
    p = subprocess.run([prog, "serve", "--config", s.config], capture_output=True, text=True, timeout=30)
    assert p.returncode and "no DERP region" in p.stderr, p.stderr


tests = [fetched_and_kept, only_a_url]
failed = 0
print(f"1..{len(tests)}")
for i, t in enumerate(tests, 1):
    folder = tempfile.mkdtemp(prefix="fairlead-urls-")
    try:
        t(folder)
        print(f"ok {i} - {t.__name__}")
    except Exception:
        failed += 1
        print(f"not ok {i} - {t.__name__}\n# " + traceback.format_exc().replace("\n", "\n# "))
    shutil.rmtree(folder, ignore_errors=True)
sys.exit(1 if failed else 0)
