"""DNS of official daemons: names, split DNS, search domains, records, and every setting changed in the running server."""
import json, os, time

from accept import case
from lab import DOMAIN, World, check, join, sh, until

GLOBAL, SPLIT = "203.0.113.53", "203.0.113.54"


def server_at(w, name, ip, zone):
    w.mkns(name)
    w.attach(name, ip)
    return w.dns_server(name, ip, zone)


def world(**env):
    return World("dns", **env)


def native(w, method, path, body=None):
    return w.server.api(method, "/api/fairlead/v1" + path, body)


def put(w, key, value):
    return native(w, "PUT", "/settings/dns." + key, {"value": value})


@case()
def records_file():
    """records in the file are served when it changes: written in place, replaced by a rename; a broken file changes nothing"""
    with world() as w:
        a, = join(w, w.server.user("alice"), "a")
        path = w.server.records_file
        t0 = time.monotonic()
        w.server.records([{"name": "nas." + DOMAIN, "type": "A", "value": "100.64.0.77"}])
        until(lambda: w.dns("a", "nas." + DOMAIN) == ["100.64.0.77"], 10, "the record is served", 0.05)
        dt = time.monotonic() - t0
        with open(path + ".new", "w") as f:
            json.dump([{"name": "nas." + DOMAIN, "type": "AAAA", "value": "fd00::77"}, {"name": "Box.Example.", "value": "192.0.2.7", "type": "A"}], f)
        os.rename(path + ".new", path)
        until(lambda: w.dns("a", "nas." + DOMAIN, qtype=28) == ["fd00::77"], 10, "the renamed file is read")
        until(lambda: w.dns("a", "box.example") == ["192.0.2.7"], 10, "a name outside of the tailnet")
        with open(path, "w") as f:
            f.write("[{")
        time.sleep(0.5)
        check(w.dns("a", "box.example") == ["192.0.2.7"], "a broken file changed something")
        w.server.records([])
        until(lambda: not w.dns("a", "nas." + DOMAIN, qtype=28), 10, "the record is gone")
        return f"served {dt:.2f} s after the file was written"


@case()
def settings_live():
    """global and split name servers, override, search domains, records and MagicDNS itself, changed by the API without a restart"""
    with world() as w:
        g = server_at(w, "g", GLOBAL, {"www.example.net": "198.51.100.1"})
        s = server_at(w, "s", SPLIT, {"git.corp.example": "10.9.9.9"})
        a, b = join(w, w.server.user("alice"), "a", "b")
        until(lambda: w.dns("a", "b." + DOMAIN) == [b.ip4], 10, "MagicDNS")
        put(w, "nameservers.split", {"corp.example": [SPLIT]})
        until(lambda: w.dns("a", "git.corp.example") == ["10.9.9.9"], 10, "split DNS")
        put(w, "nameservers.global", [GLOBAL])
        put(w, "override_local_dns", True)
        until(lambda: w.dns("a", "www.example.net") == ["198.51.100.1"], 10, "the global name server")
        check("git.corp.example" not in g, "the split domain's question went to the global server")
        put(w, "search_domains", ["corp.example"])
        until(lambda: w.exec("a", "getent", "ahostsv4", "git", ok=True).stdout.split()[:1] == ["10.9.9.9"], 15, "the search domain")
        put(w, "extra_records", [{"name": "nas." + DOMAIN, "type": "A", "value": "100.64.0.77"}])
        until(lambda: w.dns("a", "nas." + DOMAIN) == ["100.64.0.77"], 10, "a record")
        native(w, "DELETE", "/settings/dns.extra_records")
        until(lambda: not w.dns("a", "nas." + DOMAIN), 10, "the record is gone")
        put(w, "base_domain", "other.test")
        until(lambda: w.dns("a", "b.other.test") == [b.ip4], 10, "another base domain")
        put(w, "magic_dns", False)
        until(lambda: a.status()["CurrentTailnet"]["MagicDNSEnabled"] is False, 10, "MagicDNS is off")
        return "each seen by the client"
