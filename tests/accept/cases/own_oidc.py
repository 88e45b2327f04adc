"""Login by OpenID Connect with the official daemon: npm's oidc-provider of tests/browser is the identity provider, in a
namespace of its own, and the person a browser without scripts."""
import html, os, re, ssl, subprocess, time, urllib.parse
from accept import case
from lab import *

here = os.path.abspath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../browser"))
IDP_IP, IDP_PORT = "203.0.113.12", 9000


class Person:
    """A browser without scripts on host h, over the world's network."""

    def __init__(self, w, h):
        self.w, self.h, self.jar = w, h, {}

    def one(self, method, url, body=None):
        u = urllib.parse.urlsplit(url)
        port = u.port or (443 if u.scheme == "https" else 80)
        ip = SRV_IP if u.hostname == SRV_NAME else u.hostname
        ctx = ssl.create_default_context(cafile=self.w.ca[0]) if u.scheme == "https" else None
        c = NsHTTPS(self.w.ns(self.h), ip, port, u.hostname, ctx, 20)
        jar = self.jar.setdefault(u.netloc, {})
        headers = {"Cookie": "; ".join(f"{k}={v}" for k, v in jar.items())} if jar else {}
        if body is not None:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        try:
            c.request(method, (u.path or "/") + ("?" + u.query if u.query else ""), body, headers)
            r = c.getresponse()
            text = r.read().decode(errors="replace")
            for line in r.headers.get_all("Set-Cookie") or []:
                n, v = line.split(";")[0].split("=", 1)
                jar[n] = v
            return r.status, r.headers.get("Location"), text
        finally:
            c.close()

    def sign_in(self, url):
        """Through every redirect, and then the first form, as a person would press its button."""
        for _ in range(20):
            status, to, text = self.one("GET", url)
            if status not in (301, 302, 303):
                break
            url = urllib.parse.urljoin(url, to)
        form = re.search(r'<form[^>]*action="([^"]*)"[^>]*>(.*?)</form>', text, re.S)
        if status != 200 or not form:
            return status, text
        fields = {n: html.unescape(v) for n, v in re.findall(r'name="([^"]*)" value="([^"]*)"', form[2])}
        status, to, text = self.one("POST", urllib.parse.urljoin(url, html.unescape(form[1])), urllib.parse.urlencode(fields))
        return status, text


def world(name, **env):
    w = World(name, server=False)
    w.mkns("idp")
    w.attach("idp", IDP_IP)
    p = w.popen("idp", ["node", os.path.join(here, "idp.mjs"), str(IDP_PORT), f"https://{SRV_NAME}/oidc/callback", "plain",
                        IDP_IP], cwd=here, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    check(p.stdout.readline().startswith("listening"), "the identity provider did not start")
    w.server = Server(w, A_OIDC_ISSUER=f"http://{IDP_IP}:{IDP_PORT}", A_OIDC_ID="fairlead", A_OIDC_SECRET="a secret/with+signs", **env)
    w.server.start()
    return w


def say_user(w, name):
    c = NsHTTPS(w.ns("idp"), IDP_IP, IDP_PORT, IDP_IP, None)
    c.request("POST", "/test/user", name)
    check(c.getresponse().status == 200, "the provider's switch")


@case()
def login():
    """tailscale up, the browser, and the client is Running as the person; a second device; another person; re-authentication"""
    with world("oidc") as w:
        s = w.server
        a = w.client("a")
        p, url = a.up_bg()
        check(url.startswith(s.env["A_URL"] + "/"), url)
        t0 = time.monotonic()
        status, text = Person(w, "a").sign_in(url)
        check(status == 200, f"{status}: {text[:300]}")
        a.wait_state("Running", 20)
        took = time.monotonic() - t0
        check(p.wait(10) == 0, "tailscale up")
        a.refresh()
        row = s.node(a)
        check(row["user"]["name"] == "alice" and row["user"]["email"] == "alice@example.com" and row["user"]["provider"] == "oidc", row["user"])
        check(row["registerMethod"] == "REGISTER_METHOD_OIDC", row["registerMethod"])
        me = a.status()
        check(me["User"][str(me["Self"]["UserID"])]["LoginName"] == "alice@example.com", "login name")
        b = w.client("b")
        _, url = b.up_bg()
        check(Person(w, "b").sign_in(url)[0] == 200, "second device")
        b.wait_state("Running", 20)
        say_user(w, "bob")
        c = w.client("c")
        _, url = c.up_bg()
        check(Person(w, "c").sign_in(url)[0] == 200, "another person")
        c.wait_state("Running", 20)
        check(sorted(u["name"] for u in s.users()) == ["alice", "bob"], s.users())
        # Re-authentication keeps node and addresses.
        say_user(w, "alice")
        before = s.node(a)["id"]
        _, url = a.up_bg("--force-reauth")
        check(Person(w, "a").sign_in(url)[0] == 200, "re-authentication")
        until(lambda: a.state() == "Running" and s.node(a), 20, "running again")
        check(s.node(a)["id"] == before and len(s.nodes()) == 3, "another node was made")
        return f"Running {took:.2f} s after the URL was opened"


@case()
def expired():
    """a key that was ended by REST: the client asks for a login, and one brings it back to the same node"""
    with world("oidcx") as w:
        s = w.server
        a = w.client("a")
        _, url = a.up_bg()
        Person(w, "a").sign_in(url)
        a.wait_state("Running", 20)
        a.refresh()
        row = s.node(a)
        s.expire(row)
        a.wait_state("NeedsLogin", 20)
        _, url = a.up_bg()
        check(Person(w, "a").sign_in(url)[0] == 200, "login")
        a.wait_state("Running", 20)
        check(s.node(a)["id"] == row["id"], "another node")
