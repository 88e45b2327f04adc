#!/usr/bin/env python3
"""client_hostile.py: fairlead-client under a control server that means it ill.

    ns X: 10.79.0.1 a control server made of this program (lib/control_server.py), a relay that is none
    ns A: 10.79.0.2 fairlead-client, its way out by 10.79.0.1; 127.0.0.1:7777 a service of its own

The daemon may lose its connectivity. It must not crash, take much memory or disk, read files, install a route or a resolver
that nobody allowed, or speak to what is none of the server's. Each test ends with the daemon that began it, well and connected
again. Needs root; prints TAP. BUILD= names the build folder."""
import base64, json, os, socket, struct, sys, threading, time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from control_server import *
from netlab import *

ETC = "nameserver 10.79.0.1\n"
# What it may take at most, whatever it is told. ASan's own shadow and quarantine make its figures useless.
PEAK_KB = 80 << 10
DISK_BYTES = 40 << 20
MEASURES = "asan" not in build and "tsan" not in build
TABLE = "5353"
CONTROL = "10.79.0.1"


def node(i, **more):
    key = b"%032d" % i
    return {"ID": i, "StableID": f"n{i}", "Name": f"h{i}.evil.example.", "User": 1, "Key": "nodekey:" + key.hex(),
            "DiscoKey": "discokey:" + (b"d" + key[1:]).hex(), "Addresses": [address(i)], "AllowedIPs": [address(i)],
            "HomeDERP": 1, "MachineAuthorized": True, "Online": True, "Hostinfo": {"Hostname": f"h{i}", "OS": "linux"}, **more}


def address(i):
    return f"100.{64 + (i >> 16)}.{i >> 8 & 255}.{i & 255}/32"


def relay(**more):
    return {"Regions": {"1": {"RegionID": 1, "RegionCode": "x", "RegionName": "x", "Nodes": [
        {"Name": "1a", "RegionID": 1, "HostName": CONTROL, "IPv4": CONTROL, "IPv6": "none", "DERPPort": 9443, "STUNPort": 9478,
         "InsecureForTests": True, **more}]}}}


def fresh(**more):
    """A whole map."""
    self = {**node(1), "Key": server.registered["NodeKey"]}
    m = {"Node": self, "Peers": [node(2)], "DERPMap": relay(), "Domain": "evil.example", "PacketFilter": [
        {"SrcIPs": ["*"], "DstPorts": [{"IP": "*", "Ports": {"First": 0, "Last": 65535}}]}],
        "UserProfiles": [{"ID": 1, "LoginName": "eve", "DisplayName": "Eve"}]}
    return {**m, **more}


def setup():
    global server, a, x, pid, decoys
    x, s = Space("X"), Space("A")
    x.bridge(CONTROL + "/24")
    s.plug(x, "10.79.0.2/24", gateway=CONTROL)
    server = ControlServer(CONTROL, 8080, x.name)
    made.append(server)
    a = Client(s, resolv=ETC)
    pid = int(sh("sh", "-c", f"pgrep -P {a.p.pid} || echo {a.p.pid}").split()[0])
    threading.Thread(target=lambda: login("--timeout=10s")).start()
    start_over()
    until("it is up", lambda: a.status()["BackendState"] in ("Running", "Starting"), 10)


def login(*more):
    out = a.cli("up", f"--login-server={server.url}", "--auth-key=x", "--reset", "--accept-dns=false", *more, check=False)
    return out


def start_over(**more):
    """A new stream with a whole map, after whatever was: proof that the daemon is well."""
    assert not os.path.exists(f"/proc/{pid}") or open(f"/proc/{pid}/stat").read().split()[2] != "Z", "it died"
    for _ in range(5):
        p = server.wait_poll(40)
        if p.message(fresh(**more)) and settled(p):
            return p
    raise AssertionError("it does not take an honest map")


def tailnet():
    return (json.loads(a.cli("status", "--json", "--peers=false"))["CurrentTailnet"] or {}).get("Name")


def settled(p):
    """It has read what was sent and keeps the stream."""
    mark = f"m{time.monotonic_ns()}.example"
    p.message({"Domain": mark})
    try:
        until("the map", lambda: not p.alive() or tailnet() == mark, 20)
    except AssertionError:
        return False
    return p.alive()


def refused(p):
    until("the stream is ended", lambda: not p.alive(), 20)
    assert a.status()["Self"], "what was known before is kept"


def is_well():
    assert os.path.exists(f"/proc/{pid}"), "the daemon is gone: " + a.tail()
    assert a.cli("status", "--json").startswith("{")
    assert not server.wrong, server.wrong
    state = os.path.join(a.dir, "state")
    disk = os.path.getsize(a.log) + sum(os.path.getsize(os.path.join(state, f)) for f in os.listdir(state))
    assert disk < DISK_BYTES, disk
    if MEASURES:
        peak = int(re.search(r"VmHWM:\s+(\d+)", open(f"/proc/{pid}/status").read())[1])
        print(f"# {sys._getframe(1).f_code.co_name}: peak {peak >> 10} MB, {disk >> 10} KB on disk")
        assert peak < PEAK_KB, peak
        with open(f"/proc/{pid}/clear_refs", "w") as f:
            f.write("5")


def routes():
    return {l.split()[0] for six in ([], ["-6"]) for l in a.space.ip(*six, "route", "show", "table", TABLE, check=False).splitlines()
            if "dev fairlead0" in l}


# ---- routes ----------------------------------------------------------------------------------------------------------

WIDE = ["0.0.0.0/0", "::/0", "8.0.0.0/7", "10.79.0.0/24", "10.0.0.0/8", CONTROL + "/32", "127.0.0.0/8", "126.0.0.0/7", "127.0.0.1/32",
        "169.254.0.0/16", "168.0.0.0/6", "224.0.0.0/4", "0.0.0.0/1", "128.0.0.0/1", "100.64.0.0/10", "100.64.0.1/32", "fe80::/10",
        "::1/128", "ff00::/8", "::/1", "8000::/1", "203.0.113.77/32", "203.0.112.0/20", "100.100.100.100/32", "::ffff:0:0/96",
        "192.168.50.0/24", "2001:db8:7::/48"]


def wide_routes():
    peer = node(2, AllowedIPs=[address(2)] + WIDE, PrimaryRoutes=WIDE)
    peer["Addresses"] += ["192.168.1.1/32", "8.8.8.8/32", "127.0.0.1/32", "100.64.0.0/16", "::1/128"]
    me = {**node(1), "Key": server.registered["NodeKey"], "Addresses": [address(1), "8.8.4.4/32", "10.79.0.1/32", "0.0.0.0/0"]}
    far = relay()
    far["Regions"]["2"] = {"RegionID": 2, "RegionCode": "far", "Nodes": [
        {"Name": "2a", "RegionID": 2, "HostName": "203.0.113.77", "IPv4": "203.0.113.77", "DERPPort": 9443}]}
    start_over(Node=me, Peers=[peer], DERPMap=far)
    until("the peer's route", lambda: "100.64.0.2" in routes(), 5)
    assert routes() == {"100.64.0.2"}, routes()
    assert "8.8.4.4" not in a.space.ip("addr")
    assert "eth0" in a.space.ip("route", "get", "8.8.8.8") and "eth0" in a.space.ip("route", "get", CONTROL)
    a.cli("set", "--accept-routes")
    until("accepted routes", lambda: len(routes()) > 1, 5)
    assert routes() == {"100.64.0.2", "8.0.0.0/7", "192.168.50.0/24", "2001:db8:7::/48"}, routes()
    assert "eth0" in a.space.ip("route", "get", "203.0.113.77")
    # A relay told of later closes routes that were open.
    far["Regions"]["2"]["Nodes"][0].update(HostName="192.168.50.9", IPv4="192.168.50.9")
    server.wait_poll().message({"DERPMap": far})
    until("the relay's network is left alone", lambda: "192.168.50.0/24" not in routes(), 5)
    a.cli("set", "--accept-routes=false")
    until("only the peer", lambda: routes() == {"100.64.0.2"}, 5)
    start_over()
    is_well()


# ---- names -----------------------------------------------------------------------------------------------------------

DNS = {"Resolvers": [{"Addr": "6.6.6.6"}, {"Addr": "file:///etc/shadow"}, {"Addr": "127.0.0.1:7777"}],
       "Routes": {"example.org": [{"Addr": "6.6.6.6"}], ".": [{"Addr": "6.6.6.6"}]}, "Domains": ["evil.example"], "Proxied": True,
       "ExtraRecords": [{"Name": "bank.example.org.", "Value": "6.6.6.6"}]}


def resolv():
    with open(f"{a.etc}/resolv.conf") as f:
        return f.read()


def names_without_leave():
    a.cli("set", "--accept-dns=false")
    until("resolv.conf as it was", lambda: resolv() == ETC, 5)
    start_over(DNSConfig=DNS)
    assert resolv() == ETC and "100.100.100.100" not in a.space.ip("addr")
    assert "fairlead" not in a.space.run("ss", "-Hlnup", "sport = :53")
    is_well()


def names_that_are_tricks():
    tricks = ["../../../etc/passwd", "a b\nnameserver 6.6.6.6", "-h", "$(touch /tmp/x)", "x" * 300, "\0", "%s%n", ";", "ok.example"]
    a.cli("set", "--accept-dns")
    p = start_over(DNSConfig={**DNS, "Domains": tricks, "Routes": {t: [{"Addr": "6.6.6.6"}] for t in tricks}})
    time.sleep(0.5)
    assert "6.6.6.6" not in resolv() and "$(" not in resolv() and "passwd" not in resolv(), resolv()
    p.message({"DNSConfig": {"Proxied": True, "ExtraRecords": [{"Name": f"r{i}.example.", "Value": "1.2.3.4"} for i in range(50000)],
                             "Routes": {f"d{i}.example": [{"Addr": "10.79.0.1"}] * 40 for i in range(5000)}}})
    settled(p)
    for i in range(60):  # each is told to the machine, or the last one
        server.wait_poll(40).message({"DNSConfig": {"Proxied": True, "Domains": [f"d{i}.example"]}})
    start_over()
    a.cli("set", "--accept-dns=false")
    until("resolv.conf as it was", lambda: resolv() == ETC, 5)
    is_well()


# ---- size ------------------------------------------------------------------------------------------------------------

def bombs():
    plain = b'{"Domain":"' + b"a" * (200 << 20) + b'"}'
    p = server.wait_poll()
    p.payload(compress(plain))
    refused(p)
    for log in (24, 26, 27):
        p = start_over()
        p.payload(compress(b'{"x":"' + os.urandom(9 << 20).hex().encode() + b'"}', 1, log))
        start_over()
    p.payload(compress(b'{"Domain":"ok"}' + b" " * (65 << 20)))
    start_over()
    is_well()


def depth():
    for deep in (b"[" * 1000000, b'{"a":' * 1000000, b'{"Node":' * 100, b'{"Peers":[[[[', b'{"Hostinfo":' + b"[" * 65):
        p = start_over()
        p.message(b'{"x":' + deep)
        refused(p)
    is_well()


def lengths():
    for n in (0, (16 << 20) + 1, 0x7fffffff, 0xffffffff):
        p = start_over()
        p.data(struct.pack("<I", n) + b"x" * 100)
        refused(p)
    is_well()


def endless():
    p = start_over()
    p.data(struct.pack("<I", 16 << 20))
    for _ in range(24):  # the length is a promise: not more than that is kept
        if not p.data(os.urandom(1 << 20)):
            break
    refused(p)
    p = start_over()
    small = compress(b'{"KeepAlive":true}')
    p.data((struct.pack("<I", len(small)) + small) * 50000)
    assert settled(p)
    is_well()


def too_many():
    cut = [{"Peers": [node(i) for i in range(2, 100000)]},
           {"Peers": [node(2, AllowedIPs=[address(2)] + [f"{10 + (i >> 16)}.{i >> 8 & 255}.{i & 255}.0/24" for i in range(60000)])]},
           {"UserProfiles": [{"ID": i, "LoginName": "u" * 200, "DisplayName": "v" * 200} for i in range(100000)]},
           {"Health": ["h" * 10000] * 1000},
           {"PacketFilter": [{"SrcIPs": [f"10.{i >> 8 & 255}.{i & 255}.1" for i in range(60000)],
                              "DstPorts": [{"IP": "*", "Ports": {"First": 1, "Last": 2}}] * 1000}] * 10},
           {"PacketFilters": {f"f{i}": [] for i in range(5000)}},
           {"DERPMap": {"Regions": {str(r): {"RegionID": r, "RegionCode": "c" * 200, "Nodes": [
               {"Name": f"{r}n{i}", "RegionID": r, "HostName": f"h{i}.example", "IPv4": CONTROL} for i in range(50)]}
               for r in range(1, 900)}}},
           {"Peers": [node(2, CapMap={f"c{i}": ["x" * 100] for i in range(10000)}, Tags=[f"tag:{i}" for i in range(10000)],
                           Endpoints=[f"10.79.0.{i % 250}:{1000 + i}" for i in range(10000)])]},
           {"OnlineChange": {str(i): True for i in range(100000)}}, {"PeersRemoved": list(range(200000))},
           {"PeersChangedPatch": [{"NodeID": 2, "Endpoints": [f"10.79.0.1:{k + 1}" for k in range(200)]}] * 20000}]
    for m in cut:
        p = start_over()
        p.message(fresh(**m) if "Peers" in m or "UserProfiles" in m else m)
        time.sleep(0.2)
        start_over()
    is_well()


def many_peers():
    """What is honest is taken; its status comes in pieces, and what was asked behind it comes behind it."""
    start_over(Peers=[node(i) for i in range(2, 10002)])
    s = socket.socket(socket.AF_UNIX)
    s.connect(a.sock)
    s.sendall(b'{"cmd":"status"}\n{"cmd":"version"}\n{"cmd":"status","peers":false}\n')
    time.sleep(0.3)  # it does not wait for us
    start_over()
    with s.makefile() as f:
        answers = [json.loads(f.readline()) for _ in range(3)]
    assert 0 < len(answers[0]["status"]["Peer"]) < 10000, "those that left meanwhile are left out"
    assert answers[1]["version"] and answers[2]["status"]["Peer"] is None
    start_over(Peers=[node(i) for i in range(2, 10002)])
    assert len(a.status()["Peer"]) == 10000
    start_over()
    is_well()


def accumulates():
    """Each message is small, what they leave would not be."""
    p = start_over()
    for k in range(30):
        if not p.message({"UserProfiles": [{"ID": k * 2000 + i, "LoginName": "u" * 250, "DisplayName": "v" * 250, "ProfilePicURL": "w" * 250}
                                           for i in range(2000)]}):
            break
    start_over()
    p = server.wait_poll()
    for k in range(20):
        if not p.message({"PeersChanged": [node(10 + k * 2000 + i, AllowedIPs=[address(10 + k * 2000 + i)] + [
                f"10.{j}.0.0/16" for j in range(100)]) for i in range(2000)]}):
            break
    start_over()
    p = server.wait_poll()
    for k in range(300):
        if not p.message({"PacketFilters": {f"n{k}": [{"SrcIPs": [f"10.0.{i >> 8}.{i & 255}" for i in range(2000)],
                                                        "DstPorts": [{"IP": "*", "Ports": {"First": 1, "Last": 2}}]}]}}):
            break
    start_over()
    is_well()


# ---- requests --------------------------------------------------------------------------------------------------------

def tricks_with_files():
    fifo = os.path.join(a.dir, "decoy")
    os.mkfifo(fifo)
    names = ["../decoy", fifo, "state/../../decoy", "file://" + fifo, "../../../../../../" + fifo, "/dev/zero", "/proc/self/mem"]
    for n in names:
        start_over(Peers=[node(2, Name=n, StableID=n, Hostinfo={"Hostname": n, "OS": n}, Tags=[n])], Domain=n, Health=[n],
                   DNSConfig={"Domains": [n], "CertDomains": [n], "Proxied": True},
                   DERPMap=relay(CertName=n, HostName=n, Name=n), PopBrowserURL="file://" + n, CollectServices=True,
                   SSHPolicy={"rules": [{"action": {"holdAndDelegate": "file://" + n}}]},
                   ClientVersion={"NotifyURL": "file://" + n}, ControlDialPlan={"Candidates": [{"IP": "127.0.0.1"}]},
                   Debug={"Exit": 1, "DisableLogTail": True, "SleepSeconds": 100}, DefaultAutoUpdate=True)
    try:
        os.close(os.open(fifo, os.O_WRONLY | os.O_NONBLOCK))
        raise AssertionError("it opened the decoy")
    except OSError:
        pass  # nobody reads it
    assert sorted(os.listdir(os.path.join(a.dir, "state"))) == ["netmap.zst", "state.json"], os.listdir(os.path.join(a.dir, "state"))
    is_well()


def c2n():
    p = start_over()
    asked = [b"GET /../../etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n", b"POST /update HTTP/1.1\r\nHost: x\r\n\r\n",
             b"GET /debug/goroutines HTTP/1.1\r\nHost: x\r\n\r\n", b"GET /debug/prefs HTTP/1.1\r\nHost: x\r\n\r\n",
             b"POST /netfilter-kind HTTP/1.1\r\nHost: x\r\n\r\n", b"GET file:///etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n",
             b"\xff" * 60000, b"", b"GET /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\nabc",
             b"GET /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n99999\r\nabc"]
    del server.requests[:]
    for i, b in enumerate(asked):
        p.message({"PingRequest": {"URL": f"https://unused/machine/c2n/{i}", "Types": "c2n", "Payload": base64.b64encode(b).decode()}})
    for i, url in enumerate(["file:///etc/passwd", "http://127.0.0.1:7777/x", "https://" + "a" * 5000, "\r\nX: y", "://", "gopher://x"]):
        p.message({"PingRequest": {"URL": url, "URLIsNoise": True}})
        p.message({"PingRequest": {"URL": url + "?", "Types": "disco,TSMP,ICMP,peerapi", "IP": "127.0.0.1"}})
    assert settled(p)
    until("answers", lambda: sum("/c2n/" in path for _, path, _ in server.requests) >= 7, 5)
    for method, path, body in server.requests:
        assert b"root:" not in (body if isinstance(body, bytes) else b""), path
    said = {path[-1]: body for method, path, body in server.requests if "/c2n/" in path}
    assert all(b"400" in said[str(i)] for i in range(7)), said
    # Questions that are never answered are not kept for ever.
    n = len(server.requests)
    respond, Session.respond = Session.respond, lambda self, stream, body: None
    for i in range(20000):
        if not p.message({"PingRequest": {"URL": f"https://unused/machine/q/{i}", "Types": "c2n",
                                          "Payload": base64.b64encode(b"GET /echo HTTP/1.1\r\nContent-Length: 4000\r\n\r\n" + b"x" * 4000).decode()}}):
            break
    Session.respond = respond
    assert len(server.requests) - n < 200, len(server.requests) - n
    p.session.close()
    start_over()
    is_well()


def logins():
    answer = server.answer
    size = os.path.getsize(a.log)
    for said in ({"AuthURL": "file:///etc/passwd"}, {"AuthURL": "javascript:alert(1)"}, {"AuthURL": "https://x/\x1b]0;boo\x07\r\nhey"},
                 {"AuthURL": "https://" + "a" * 100000}, {"Error": "\x1b[2J" + "e" * 100000}, {"NodeKeyExpired": True},
                 {"NodeKeySignature": "AAAA"}, b"[" * 100000, b"x" * (2 << 20), b"null"):
        server.answer = lambda body, said=said: said
        out = login("--force-reauth", "--timeout=1s")
        assert "\x1b" not in out and "\x07" not in out and "root:" not in out, out
        assert os.path.exists(f"/proc/{pid}")
    n = [0]

    def another(body):
        n[0] += 1
        return {"AuthURL": f"https://x/{n[0]}"}
    server.answer = another
    login("--force-reauth", "--timeout=3s")
    print(f"# {n[0]} registers in 3 s")
    assert n[0] < 100, f"{n[0]} registers in 3 s"
    assert os.path.getsize(a.log) - size < 1 << 20, "the log is not filled"
    server.answer = answer
    login("--timeout=1s")
    start_over()
    is_well()


# ---- where packets go ------------------------------------------------------------------------------------------------

LISTEN = '''
import socket, sys, threading
t = socket.create_server(("127.0.0.1", 7777))
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
u.bind(("127.0.0.1", 7777))
def udp():
    u.recvfrom(2000)
    print("udp", flush=True)
threading.Thread(target=udp, daemon=True).start()
t.accept()
print("tcp", flush=True)
'''


class Service(Program):
    def __init__(self, space):
        super().__init__(space, "service")
        self.spawn(sys.executable, "-c", LISTEN)
        until("it listens", lambda: ":7777" in space.run("ss", "-Hltn"), 5)

    def close(self):
        self.stop(signal.SIGKILL)


def services_of_this_machine():
    """Relays, STUN servers and peers are no way to this machine's own services or to a cloud's metadata."""
    mine = Service(a.space)
    seen = watch(a.space, "eth0")
    inside = ["127.0.0.1", "::1", "169.254.169.254", "fe80::1", "0.0.0.0", "224.0.0.1", "255.255.255.255", "::ffff:127.0.0.1"]
    for at in inside:
        v = {"IPv6": at, "IPv4": "none"} if ":" in at else {"IPv4": at, "IPv6": "none"}
        p = start_over(DERPMap=relay(HostName=at, DERPPort=7777, STUNPort=7777, **v), Peers=[
            node(2, Endpoints=[f"[{at}]:7777" if ":" in at else f"{at}:7777"])])
        a.pings("100.64.0.2", "0.2")
        time.sleep(0.5)
    p = start_over(DERPMap=relay(HostName="localhost", IPv4="", IPv6="", DERPPort=7777, STUNPort=7777))
    a.pings("100.64.0.2", "0.2")
    time.sleep(0.5)
    assert not mine.tail(), f"its service was spoken to: {mine.tail()}"
    bad = [d for d in seen if d.startswith(("169.254.", "127.", "0.", "224.0.0.1"))]
    assert not bad, bad
    start_over()
    is_well()


def watch(space, dev):
    """The set of IPv4 addresses that are sent to by that device, from now on."""
    seen, ready = set(), threading.Event()

    def look():
        into(space.name)
        s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        s.bind((dev, 3))
        ready.set()
        while True:
            b, (_, proto, kind, *_) = s.recvfrom(2000)
            if kind == socket.PACKET_OUTGOING and proto == 0x800:
                seen.add(socket.inet_ntoa(b[30:34]))
    threading.Thread(target=look, daemon=True).start()
    ready.wait(5)
    return seen


if __name__ == "__main__":
    main([wide_routes, names_without_leave, names_that_are_tricks, bombs, depth, lengths, endless, too_many, many_peers, accumulates,
          tricks_with_files, c2n, logins, services_of_this_machine], setup)
