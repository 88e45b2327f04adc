#!/usr/bin/env python3
"""login_hostile.py: identity providers that lie, and people who play with the pages: each attack against the real server.

After every one of them the honest way still works. Prints TAP. BUILD= names the build folder (default build/asan)."""
import http.client, json, os, re, sys, threading, time, urllib.parse

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from lib.browser import Browser, Hostile, Idp
from lib.kit import Server, run, wait_for
from lib.ts2021 import Control, Machine


class World:
    def __init__(self, folder):
        self.s = Server(folder)
        self.evil = Hostile()
        self.s.tables = "[oidc]\n" + self.evil.keys(timeout="3s")
        self.s.write()
        self.s.start()
        self.base = f"http://127.0.0.1:{self.s.port}"
        self.device()

    def device(self):
        """A device that waits, for as long as nobody lets it in."""
        self.url = Control(self.s.connect(), Machine(), self.s.key()).register()["AuthURL"]

    def attempt(self, mode, browser=None):
        self.evil.mode(mode)
        return (browser or Browser()).go(self.url)

    def honest(self):
        p = self.attempt("ok")
        assert p.status == 200 and p.title == "Connect this device?", (p.status, p.text())

    def nobody(self):
        assert self.s.ask("GET", "/api/v1/node")[1]["nodes"] == []
        names = [u["name"] for u in self.s.ask("GET", "/api/v1/user")[1]["users"]]
        assert names in ([], ["mallory@example.com"]), names

    def end(self):
        self.s.is_well()
        self.s.end()


def refused(mode, words, status=403):
    """The page says why, nobody is signed in, nothing is made, and the next honest login works."""
    def test(w):
        b = Browser()
        t0 = time.time()
        p = w.attempt(mode, b)
        assert p.status == status and words in p.text(), (p.status, p.text())
        assert "fairlead" not in b.cookies[f"127.0.0.1:{w.s.port}"], b.cookies
        assert time.time() - t0 < 35
        w.nobody()
        w.honest()
    test.__name__ = "refused: " + mode
    return test


def a_code_is_taken_once(w):
    w.evil.mode("ok")
    b = Browser()
    back = b.go(w.url, stop=lambda u: "/oidc/callback" in u).url
    jar = dict(b.cookies[f"127.0.0.1:{w.s.port}"])
    assert b.go(back).title == "Connect this device?"
    thief = Browser()  # with the very cookie
    thief.cookies[f"127.0.0.1:{w.s.port}"] = jar
    assert thief.go(back).status == 400
    # The same code in a login of the thief's own.
    mine = Browser()
    own = mine.go(w.url, stop=lambda u: "/oidc/callback" in u).url
    code = re.search(r"code=([^&]*)", back)[1]
    p = mine.go(re.sub(r"code=[^&]*", "code=" + code, own))
    assert p.status == 403 and "invalid_grant" in p.text(), p.text()


def a_code_of_another_persons_login_does_not_fit(w):
    """Login CSRF: the victim's browser is sent to the attacker's callback."""
    w.evil.mode("ok")
    attacker = Browser().go(w.url, stop=lambda u: "/oidc/callback" in u).url
    victim = Browser()
    victim.go(w.url, stop=lambda u: "/oidc/callback" in u)
    assert victim.go(attacker).status == 400
    # Injection: the victim's own state with the attacker's code. The nonce in the token is not the victim's.
    own = victim.go(w.url, stop=lambda u: "/oidc/callback" in u).url
    code = re.search(r"code=([^&]*)", attacker)[1]
    p = victim.go(re.sub(r"code=[^&]*", "code=" + code, own))
    assert p.status == 403 and "(nonce)" in p.text(), p.text()


def keys_rotate(w):
    w.honest()
    w.evil.mode("rotate")
    # The set was asked for a moment ago: not every unknown key makes us ask again.
    wait_for(lambda: Browser().go(w.url).title == "Connect this device?", 30, 1)


def unknown_keys_do_not_make_us_ask(w):
    w.evil.mode("kid")
    for _ in range(8):
        assert Browser().go(w.url).status == 403
    c = http.client.HTTPConnection("127.0.0.1", w.evil.port, timeout=10)
    c.request("GET", "/hits")
    hits = json.loads(c.getresponse().read())
    assert hits.get("/jwks", 0) <= 2, hits
    w.honest()


def somebody_elses_userinfo_is_nobodys(w):
    w.attempt("userinfo-other")
    names = [(u["name"], u["email"]) for u in w.s.ask("GET", "/api/v1/user")[1]["users"]]
    assert names == [("mallory@example.com", "mallory@example.com")], names
    who = json.loads(w.s.must("users", "identities", "--output", "json"))
    assert all("admins" not in i["groups"] for i in who), who


def a_slow_userinfo_is_left_out(w):
    t0 = time.time()
    assert w.attempt("userinfo-slow").title == "Connect this device?"
    assert time.time() - t0 < 20
    assert w.attempt("userinfo-big").title == "Connect this device?"


def slow_providers_leave_the_others_alone(w):
    w.evil.mode("slow")
    pages = []
    threads = [threading.Thread(target=lambda: pages.append(Browser().go(w.url).status)) for _ in range(12)]
    for t in threads:
        t.start()
    t0 = time.time()
    w.s.is_well()  # nothing of the server waits with them
    assert time.time() - t0 < 3
    for t in threads:
        t.join(60)
    assert len(pages) == 12 and set(pages) == {503}, pages
    w.honest()


def a_redirect_of_the_token_endpoint_is_not_followed(w):
    p = w.attempt("redirect")
    assert p.status == 403, p.text()
    c = http.client.HTTPConnection("127.0.0.1", w.evil.port, timeout=10)
    c.request("GET", "/hits")
    assert "/elsewhere" not in json.loads(c.getresponse().read())


def what_a_provider_says_is_text(w):
    p = w.attempt("error")
    assert p.status == 403 and "<script>" not in p.body and "&lt;script&gt;" in p.body, p.body
    assert "default-src 'none'" in p.headers["Content-Security-Policy"]


def pages_refuse_nonsense(w):
    b = Browser()
    for path in ("/register/x", "/connect/x", "/auth/x", "/login/with/nobody", "/login/with/hostile?connect=../x",
                 "/oidc/callback", "/oidc/callback?state=a&code=b", "/oidc/callback?state=" + "A" * 43 + "&code=b",
                 "/oidc/callback?error=x", "/oidc/callback?state=%00&code=%ff"):
        p = b.one("GET", w.base + path)
        assert 400 <= p.status < 500, (path, p.status)
        assert p.headers["Content-Security-Policy"] and p.headers["X-Frame-Options"] == "DENY"
    for path in ("/connect/" + w.url[-38:], "/connect/" + w.url[-38:] + "/deny", "/logout", "/auth/" + w.url[-38:]):
        for body in ("", "csrf=" + "x" * 10000, "csrf=%ff%00&&&=&=", "csrf"):
            assert b.one("POST", w.base + path, body).status in (200, 303, 403), path
        assert b.one("POST", w.base + path, "x" * 70000).status == 413
        assert b.one("GET", w.base + path).status < 500
    for value in ("", "x", "A" * 43, "A" * 64, "%00", "a=b"):
        b.cookies[f"127.0.0.1:{w.s.port}"] = {"fairlead": value}
        assert b.one("GET", w.base + "/my").status == 302
    # An API key opens no page, and a cookie no API.
    key = w.s.must("apikeys", "create").split()[-1]
    assert Browser().one("GET", w.base + "/my", headers={"Authorization": "Bearer " + key}).status == 302
    w.evil.mode("ok")
    signed = Browser()
    signed.go(w.url)
    assert signed.go(w.base + "/my").title == "My devices"
    assert signed.one("GET", w.base + "/api/v1/node").status == 401


def logout_tokens_are_checked(w):
    to = w.base + "/oidc/backchannel-logout/hostile"
    b = Browser()
    for t in ("", "x", "a.b.c", "e30.e30.", "x" * 15000):
        assert b.one("POST", to, "logout_token=" + t).status == 400, t
    assert b.one("POST", w.base + "/oidc/backchannel-logout/nobody", "").status == 404
    w.evil.mode("ok")
    signed = Browser()
    signed.go(w.url)
    is_in = lambda: signed.one("GET", w.base + "/my").status == 200
    assert is_in()
    said = lambda token: b.one("POST", to, "logout_token=" + urllib.parse.quote(token)).status
    for kind in ("iss", "aud", "nonce", "events", "no-events", "no-jti", "nobody", "old", "expired", "key", "none"):
        assert said(w.evil.logout_token(kind)) == 400 and is_in(), kind
    assert said(w.evil.logout_token("somebody-else")) == 200 and is_in()
    # A right one signs out, once: who signs in again stays in when it is sent again.
    token = w.evil.logout_token("ok")
    assert said(token) == 200 and not is_in()
    signed.go(w.url)
    assert is_in() and said(token) == 400 and is_in()


def another_address_is_the_same_person(w):
    w.honest()
    before = {u["id"]: u["email"] for u in w.s.ask("GET", "/api/v1/user")[1]["users"]}
    assert w.attempt("new-email").title == "Connect this device?"
    after = {u["id"]: u["email"] for u in w.s.ask("GET", "/api/v1/user")[1]["users"]}
    assert before.keys() == after.keys() and list(after.values()) == ["mallory@new.example.com"], (before, after)
    w.honest()


TOKENS = [("iss", "(iss)"), ("iss-slash", "(iss)"), ("no-iss", "(iss)"), ("aud", "(aud)"), ("no-aud", "(aud)"), ("aud-two", "(azp)"),
          ("azp", "(azp)"), ("nonce", "(nonce)"), ("no-nonce", "(nonce)"), ("replay", "(nonce)"), ("expired", "expired"), ("no-exp", "(exp)"), ("future", "future"),
          ("old", "too old"), ("nbf", "(nbf)"), ("no-sub", "(sub)"), ("sub-number", "(sub)"), ("kid", "no RS256 key"),
          ("key", "signature is wrong"), ("weak", "no RS256 key"), ("embedded", "signature is wrong"), ("jku", "signature is wrong"),
          ("crit", "extensions"), ("b64", "extensions"), ("none", "not allowed"), ("none-case", "not allowed"), ("no-alg", "not allowed"),
          ("hs-key", "not allowed"), ("hs-jwk", "not allowed"), ("hs-secret", "not allowed"), ("alg-other", "no ES256 key"),
          ("signature", "signature is wrong"), ("five-parts", "no signed JWT"), ("two-parts", "no signed JWT"), ("not-json", "signature is wrong"),
          ("big-claims", "larger than 64 KiB"), ("deep", "cannot be read"), ("groups", "larger than 64 KiB"), ("html", "without a JSON object"),
          ("no-token", "no ID token"), ("big-answer", "larger than"), ("mixed-up", "another provider (iss)"),
          ("no-iss-parameter", "another provider (iss)")]

run([refused(m, words) for m, words in TOKENS] +
    [refused("slow", "cannot be reached", 503), refused("drip", "cannot be reached", 503), refused("500", "cannot be reached", 503),
     refused("nul", "signature is wrong"),
     a_code_is_taken_once, a_code_of_another_persons_login_does_not_fit, unknown_keys_do_not_make_us_ask, keys_rotate,
     somebody_elses_userinfo_is_nobodys, a_slow_userinfo_is_left_out, slow_providers_leave_the_others_alone,
     a_redirect_of_the_token_endpoint_is_not_followed, what_a_provider_says_is_text, pages_refuse_nonsense, logout_tokens_are_checked,
     another_address_is_the_same_person],
    World)
