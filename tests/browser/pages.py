#!/usr/bin/env python3
"""pages.py: every page that people see, in Debian's Chromium, against real servers and identity providers. Pictures of each, light,
dark and on a phone, are left in build/browser for a person to look at. Prints TAP (tests/browser/pages.mjs does).
BUILD= names the build folder (default build/asan)."""
import json, os, re, shutil, subprocess, sys, tempfile

top = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(top, "tests/integration"))
from lib.browser import Browser, Idp
from lib.kit import Server, end_started, free_port
from lib.ts2021 import Control, Machine


def device(s, machine=None, host="laptop"):
    c = Control(s.connect(), machine or Machine(), s.key())
    return c.register(hostinfo={**c.hostinfo(), "Hostname": host, "OS": "linux"})["AuthURL"]


def local(folder):
    s = Server(folder).start()
    s.must("users", "create", "ann")
    return s, {"base": f"http://127.0.0.1:{s.port}", "device": device(s),
               "link": json.loads(s.must("console", "login", "--user", "ann", "--output", "json"))["url"]}


def passkeys(folder):
    s = Server(folder, host="localhost").start()  # browsers have no passkeys for addresses
    link = lambda: json.loads(s.must("console", "login", "--user", "ann", "--output", "json"))["url"]
    return s, {"base": f"http://localhost:{s.port}", "device": device(s), "link": link(), "second": link()}


def joined(s, machine, host):
    b = Browser()
    b.submit(b.go(device(s, machine, host)), "Connect")
    c = Control(s.connect(), machine, s.key())
    c.lite(Hostinfo={**c.hostinfo(), "Hostname": host})
    return c


def one(folder):
    s = Server(folder)
    base = f"http://127.0.0.1:{s.port}"
    idp = Idp(base)
    s.tables = "[oidc]\n" + idp.keys()
    s.write()
    s.start()
    with open(folder + "/policy", "w") as f:
        json.dump({"acls": [{"action": "accept", "src": ["*"], "dst": ["*:*"]}],
                   "ssh": [{"action": "check", "src": ["autogroup:member"], "dst": ["autogroup:self"], "users": ["root"]}]}, f)
    s.must("policy", "set", "-f", folder + "/policy")
    s.must("settings", "set", "node.expiry", "180d")
    joined(s, Machine(), "desk")
    server = joined(s, Machine(), "server")
    ids = {n["givenName"]: n["id"] for n in s.ask("GET", "/api/v1/node")[1]["nodes"]}
    status, body = server.ask("POST", f"/machine/ssh/action/{ids['desk']}/to/{ids['server']}?local_user=root")
    ssh = re.search(r"http://[^\s\"\\]*/auth/hskey-authreq-[0-9a-f]*", body.decode())
    assert ssh, (status, body)
    return s, {"base": base, "idp": idp.issuer, "device": device(s), "stranger": device(s, host="somebodys-phone"), "other": device(s),
               "ssh": ssh[0]}


def waits(folder):
    s = Server(folder)
    base = f"http://127.0.0.1:{s.port}"
    s.tables = "[oidc]\n" + Idp(base).keys()
    s.write()
    s.start()
    s.must("settings", "set", "users_approval", "true")
    s.must("settings", "set", "contacts.support", "help@example.com")
    return s, {"base": base, "device": device(s)}


def two(folder):
    s = Server(folder)
    idp = Idp(f"http://127.0.0.1:{s.port}", name="first")
    s.tables = (f"[oidc]\n{idp.keys(title='First')}[[oidc.providers]]\nname = \"second\"\ntitle = \"Second\"\n"
                f"issuer = \"http://127.0.0.1:{free_port()}\"\nclient_id = \"x\"\n")
    s.write()
    s.start()
    return s, {"device": device(s)}


folders, servers, world = [], [], {}
rc = 0
try:
    for make in local, one, waits, two, passkeys:
        folders.append(tempfile.mkdtemp(prefix="fairlead-pages."))
        s, world[make.__name__] = make(folders[-1])
        servers.append(s)
    out = os.path.join(top, "build/browser")
    shutil.rmtree(out, ignore_errors=True)
    for script, told in ("pages.mjs", world), ("passkeys.mjs", world["passkeys"]):
        rc |= subprocess.run(["node", script, out], cwd=os.path.join(top, "tests/browser"), input=json.dumps(told), text=True).returncode
    for s in servers:
        s.is_well()
        s.end()
finally:
    end_started()
    for f in folders:
        shutil.rmtree(f, ignore_errors=True)
sys.exit(rc)
