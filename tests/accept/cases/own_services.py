"""VIP services between official daemons: hosts advertise, approval, who may reach it and who may not, failover, a restart."""
from accept import case
from lab import World, check, join, until

POLICY = {"tagOwners": {"tag:web": ["alice@"]}, "grants": [{"src": ["alice@"], "dst": ["svc:web"], "ip": ["tcp:80"]}],
          "autoApprovers": {"services": {"svc:web": ["tag:web"]}}}
NAME = "web.tail.accept.test"


def state(s):
    return s.api("GET", "/api/fairlead/v1/services/svc:web")["services"][0]


def answer_of(r, other_than):
    return r if r and other_than not in r else None


@case(breaks=["policy"])
def life():
    """two tagged hosts are approved by the policy; alice reaches the service by name, bob neither reaches nor resolves it; the other host
    takes over when one is gone; it is there after a restart, and gone when the service is deleted"""
    with World("vip") as w:
        s = w.server
        u, v = s.user("alice"), s.user("bob")
        s.policy(POLICY)
        a, = join(w, u, "a", args=("--accept-routes",), wait=False)
        b, = join(w, v, "b", args=("--accept-routes",), wait=False)
        h1, h2 = join(w, u, "h1", "h2", key=s.authkey(u, tags=["tag:web"]), wait=False)
        ip = s.api("PUT", "/api/fairlead/v1/services/svc:web", {"ports": ["tcp:80"], "comment": "the web"})["services"][0]["addrs"][0]
        for h in (h1, h2):
            h.serve(9000, ip="127.0.0.1", reply=f"from {h.h}")
            x = h.cli("serve", "--service=svc:web", "--tcp=80", "tcp://127.0.0.1:9000", timeout=20)
            check(x.returncode == 0, f"serve: {x.stdout} {x.stderr}")
        until(lambda: len(state(s)["hosts"]) == 2, 20, "both hosts are known")
        check(all(x["approval"] == "approved:auto" for x in state(s)["hosts"]), f"not approved: {state(s)}")
        got, _ = until(lambda: a.tcp(ip, 80), 20, "alice reaches it")
        check(w.dns("a", NAME) == [ip], f"its name: {w.dns('a', NAME)}")
        check(not w.dns("b", NAME), "bob resolves what he may not reach")
        check(b.tcp(ip, 80) is None, "bob reaches it")
        first, second = (h1, h2) if "h1" in got else (h2, h1)
        first.stop()
        _, dt = until(lambda: answer_of(a.tcp(ip, 80), first.h), 30, "the other host answers")
        s.stop()
        s.start()
        until(lambda: a.tcp(ip, 80), 20, "after a restart")
        s.api("DELETE", "/api/fairlead/v1/services/svc:web")
        until(lambda: not w.dns("a", NAME), 10, "its name is gone")
        return f"the other host answered {dt:.1f} s after the first was stopped"
