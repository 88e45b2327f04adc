"""Tailscale SSH between two official daemons: who gets in, and check mode with its round trip."""
import os, re, time

from accept import case
from lab import O, World, check, join, settle_in, until

ACLS = [{"action": "accept", "src": ["*"], "dst": ["*:*"]}]


def rule(action, users, **more):
    return {"action": action, "src": ["autogroup:member"], "dst": ["autogroup:self"], "users": users, **more}


def policy(*rules):
    return {"acls": ACLS, "ssh": list(rules)}


def pair(w, *rules):
    u = w.server.user("alice")
    w.server.policy(policy(*rules))
    a, = join(w, u, "a")
    b, = join(w, u, "b", args=("--ssh",))
    settle_in([a, b])
    return a, b


def ssh(a, b, user, *args):
    return a.cli("ssh", f"{user}@{b.ip4}", *args, timeout=25)


def ssh_waits(w, a, b, user, command):
    """Starts a session that must be confirmed; returns the process, the file with what it says, and the id of the check."""
    out = os.path.join(a.dir, f"ssh{time.monotonic_ns()}.txt")
    with open(out, "wb") as f:
        p = w.popen(a.h, [O.tailscale, "--socket=" + a.sock, "ssh", f"{user}@{b.ip4}", command], stdout=f, stderr=f)
    m, _ = until(lambda: re.search(r"https://\S+/auth/(hskey-authreq-[0-9a-f]{24})", open(out).read()), 20, "a link to confirm")
    return p, out, m.group(1)


@case(breaks=["policy"])
def rules():
    """root and others by rule, a user that no rule names, environment by acceptEnv; without rules nobody"""
    with World("ssh") as w:
        a, b = pair(w, rule("accept", ["root"], acceptEnv=["LC_FAIR*"]))
        r = ssh(a, b, "root", "id -un")
        check(r.returncode == 0 and r.stdout.split() == ["root"], f"root: {r.returncode} {r.stdout} {r.stderr}")
        r = ssh(a, b, "daemon", "id -un")
        check(r.returncode != 0 and "does not permit" in r.stderr, f"daemon: {r.returncode} {r.stdout} {r.stderr}")
        os.environ["LC_FAIRLEAD"] = "carried"
        r = a.cli("ssh", f"root@{b.ip4}", "-oSendEnv=LC_FAIRLEAD", "echo got $LC_FAIRLEAD", timeout=25)
        check(r.stdout.strip() == "got carried", f"environment: {r.stdout} {r.stderr}")
        w.server.policy(policy())
        until(lambda: ssh(a, b, "root", "id -un").returncode != 0, 10, "nobody gets in without a rule")
        return "root in, daemon refused, environment carried, all refused without rules"


@case(breaks=["policy"])
def check_mode():
    """check: the banner shows a link, approval lets in at once and is remembered, also over a restart; a refusal ends the session"""
    with World("ssh") as w:
        a, b = pair(w, rule("check", ["root"], checkPeriod="1h"))
        p, out, auth_id = ssh_waits(w, a, b, "root", "id -un")
        status, page, _ = w.server.raw("GET", "/auth/" + auth_id)
        check(status == 200 and auth_id in page, f"page: {status} {page}")  # what it shows depends on who may sign in here
        t0 = time.monotonic()
        w.server.api("POST", "/api/v1/auth/approve", {"authId": auth_id})
        p.wait(20)
        dt = time.monotonic() - t0
        check(p.returncode == 0 and open(out).read().rstrip().endswith("root"), f"after approval: {p.returncode} {open(out).read()}")
        w.server.stop()
        w.server.start()
        r, _ = until(lambda: (lambda x: x if x.returncode == 0 else None)(ssh(a, b, "root", "id -un")), 20, "a second session without a question")
        check("auth" not in r.stderr, f"asked again: {r.stderr}")
        a.cli("set", "--ssh")
        until(lambda: b.peer(a).get("sshHostKeys"), 15, "the other's host keys")
        p, out, auth_id = ssh_waits(w, b, a, "root", "id -un")  # the other way is another pair
        w.server.api("POST", "/api/v1/auth/reject", {"authId": auth_id})
        p.wait(20)
        check(p.returncode != 0 and "refused" in open(out).read(), f"after refusal: {p.returncode} {open(out).read()}")
        return f"in {dt:.2f} s after approval, remembered over a restart, refusal ends the session"
