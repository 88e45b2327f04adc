#!/usr/bin/env python3
"""login.py: people sign in by identity providers and let devices in, over plain HTTP, with a browser without scripts.

The providers are npm's oidc-provider in the claim shapes of known products. Prints TAP. BUILD= names the build folder."""
import base64, concurrent.futures, hmac, http.client, json, os, re, signal, struct, sys, time, urllib.parse

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from lib.browser import Browser, Hostile, Idp
from lib.kit import Server, run, wait_for
from lib.ts2021 import Control, Machine


def with_idp(folder, profile="plain", **keys):
    s = Server(folder)
    idp = Idp(f"http://127.0.0.1:{s.port}", profile)
    s.tables = "[oidc]\n" + idp.keys(**keys)
    s.write()
    s.start()
    return s, idp


class Device:
    def __init__(self, s, machine=None):
        self.s, self.machine = s, machine or Machine()
        self.c = Control(s.connect(), self.machine, s.key())

    def login_url(self, **more):
        a = self.c.register(**more)
        assert a["status"] == 200 and a["AuthURL"], a
        self.url = a["AuthURL"]
        return self.url

    def follow(self):
        """The answer that a waiting client gets once somebody decided."""
        c = Control(self.s.connect(), self.machine, self.s.key())
        return c.register(Followup=self.url)


def connected(s, b, d, expect_user=None):
    p = b.go(d.login_url())
    assert p.status == 200 and p.title == "Connect this device?", (p.status, p.url, p.text())
    done = b.submit(p, "Connect")
    assert done.status == 200 and done.title == "Connected", (done.status, done.text())
    a = d.follow()
    assert a["status"] == 200 and a["MachineAuthorized"] and not a.get("Error"), a
    if expect_user:
        assert a["Login"]["LoginName"] == expect_user, a
    return a


def users(s):
    return {u["name"]: u for u in s.ask("GET", "/api/v1/user")[1]["users"]}


def nodes(s):
    return s.ask("GET", "/api/v1/node")[1]["nodes"]


# ---- the way that everybody takes ------------------------------------------------------------------------------------

def two_devices_join_and_one_signs_in_again(folder):
    s, idp = with_idp(folder)
    b = Browser()
    d = Device(s)
    a = connected(s, b, d, "alice@example.com")
    u = users(s)["alice"]
    assert u["provider"] == "oidc" and u["providerId"] == idp.issuer + "/alice" and u["email"] == "alice@example.com", u
    n = nodes(s)
    assert len(n) == 1 and n[0]["registerMethod"] == "REGISTER_METHOD_OIDC" and n[0]["user"]["name"] == "alice", n
    # A second device, in the same browser and in another one.
    connected(s, b, Device(s))
    connected(s, Browser(), Device(s))
    assert len(nodes(s)) == 3 and len(users(s)) == 1
    # --force-reauth: a new node key on the same machine keeps the node.
    again = Device(s, Machine(secret=d.machine.secret))
    connected(s, b, again)
    assert len(nodes(s)) == 3, nodes(s)
    # An expired key.
    s.must("nodes", "expire", "-i", n[0]["id"])
    assert Device(s, again.machine).c.register()["NodeKeyExpired"]
    renewed = Device(s, Machine(secret=d.machine.secret))
    connected(s, b, renewed)
    assert [x["id"] for x in nodes(s)].count(n[0]["id"]) == 1
    # Another person.
    idp.user("bob")
    connected(s, Browser(), Device(s), "bob@example.com")
    assert set(users(s)) == {"alice", "bob"}
    s.is_well()
    s.end()


def what_the_request_carries(folder):
    s, idp = with_idp(folder)
    b, d = Browser(), Device(s)
    p = b.go(d.login_url(), stop=lambda u: u.startswith(idp.issuer))
    q = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(p.url).query))
    assert q["code_challenge_method"] == "S256" and len(q["code_challenge"]) == 43, q
    assert len(q["state"]) == 43 and len(q["nonce"]) == 43 and q["scope"] == "openid profile email", q
    assert q["redirect_uri"] == f"http://127.0.0.1:{s.port}/oidc/callback", q
    jar = b.cookies[f"127.0.0.1:{s.port}"]
    assert list(jar) == ["fairlead-login-" + q["state"][:8]], jar
    raw = Browser().one("GET", d.url)
    line = raw.headers["Set-Cookie"]
    assert "HttpOnly" in line and "SameSite=Lax" in line and "Path=/" in line, line
    s.end()


def a_callback_is_for_one_browser_and_once(folder):
    s, idp = with_idp(folder)
    b, d = Browser(), Device(s)
    back = b.go(d.login_url(), stop=lambda u: "/oidc/callback" in u).url
    stranger = Browser().go(back)
    assert stranger.status == 400 and stranger.title == "This sign-in took too long", stranger.text()
    forged = b.go(re.sub(r"state=[^&]*", "state=" + "A" * 43, back))
    assert forged.status == 400
    keep = dict(b.cookies[f"127.0.0.1:{s.port}"])
    assert b.go(back).title == "Connect this device?"
    replay = Browser()
    replay.cookies[f"127.0.0.1:{s.port}"] = keep
    again = replay.go(back)
    assert again.status == 400, (again.status, again.text())
    s.end()


def consent_is_a_form_of_ours(folder):
    s, idp = with_idp(folder)
    b, d = Browser(), Device(s)
    p = b.go(d.login_url())
    text = p.text()
    assert "alice@example.com" in text and "127.0.0.1" in text and "Not mine" in text, text
    url = f"http://127.0.0.1:{s.port}/connect/" + d.url.rsplit("/", 1)[1]
    # Nobody, somebody without the token, and another site's page are refused.
    r = Browser().one("POST", url, "")
    assert r.status == 303, r.status
    assert b.one("POST", url, "").status == 403
    assert b.one("POST", url, "csrf=" + "0" * 32).status == 403
    for h in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}, {"Host": "evil.example"}, {"Origin": "null"}):
        assert b.submit(p, "Connect", h).status == 403, h
    assert not nodes(s)
    assert b.submit(p, "Connect", {"Origin": f"http://127.0.0.1:{s.port}"}).title == "Connected"
    assert len(nodes(s)) == 1
    # The link is used up.
    gone = b.go(d.url)
    assert gone.status == 404 and "joined already" in gone.text()
    s.end()


def not_mine_ends_it(folder):
    s, idp = with_idp(folder)
    b, d = Browser(), Device(s)
    p = b.go(d.login_url())
    assert b.submit(p, "Not mine").title == "Not connected"
    assert not nodes(s) and "refused by the person" in s.read_log()
    assert Browser().go(d.url).status == 404
    s.end()


# ---- who may ---------------------------------------------------------------------------------------------------------

def some_are_refused_with_the_reason(folder):
    s, idp = with_idp(folder, allowed_domains=["example.com"], allowed_groups=["admins"], allowed_users=["alice@example.com", "bob@example.com"])
    b, d = Browser(), Device(s)
    idp.user("bob")
    p = b.go(d.login_url())
    assert p.status == 403 and "in none of the groups" in p.text() and "Ask the administrator" in p.text(), p.text()
    idp.tell("groups", json.dumps({"bob": ["admins"], "carol": ["admins"], "eve@elsewhere.example": ["admins"]}))
    idp.user("carol")
    assert "not among those" in Browser().go(d.url).text()
    idp.user("eve@elsewhere.example")
    assert "domain may not" in Browser().go(d.url).text()
    idp.user("bob")
    idp.tell("verified", "false")
    assert "did not verify" in Browser().go(d.url).text()
    idp.tell("verified", "true")
    assert Browser().go(d.url).title == "Connect this device?"
    idp.user("nobody")
    p = Browser().go(d.url)
    assert p.status == 403 and "the person said no" in p.text(), p.text()
    assert set(users(s)) == {"bob"}, users(s)
    s.end()


def a_name_is_one_user(folder):
    s, idp = with_idp(folder)
    s.must("users", "create", "ann", "--email", "alice@example.com")
    b, d = Browser(), Device(s)
    p = b.go(d.login_url())
    assert p.status == 403 and "fairlead users link" in p.text(), p.text()
    command = re.search(r"fairlead (users link .*? --subject alice)", p.text())[1].split()
    s.must(*command)
    connected(s, b, Device(s), "alice@example.com")
    assert set(users(s)) == {"ann"}
    # A changed address keeps the user.
    listed = json.loads(s.must("users", "identities", "--output", "json"))
    assert len(listed) == 1 and listed[0]["subject"] == "alice", listed
    s.end()


def a_suspended_user_is_refused(folder):
    s, idp = with_idp(folder)
    b = Browser()
    connected(s, b, Device(s))
    s.must("users", "suspend", "alice")
    d = Device(s)
    p = b.go(d.login_url())
    assert p.status == 403 and "suspended" in p.text(), p.text()
    assert "/login" in b.go(f"http://127.0.0.1:{s.port}/my").url
    s.must("users", "restore", "alice")
    assert b.go(d.url).title == "Connect this device?"
    s.end()


def who_is_new_waits_for_approval(folder):
    s, idp = with_idp(folder)
    s.must("settings", "set", "users_approval", "true")
    s.must("settings", "set", "contacts.account", "help@example.com")
    b, d = Browser(), Device(s)
    p = b.go(d.login_url())
    assert p.title == "Connect this device?" and "waits for an administrator" in p.text(), p.text()
    done = b.submit(p, "Connect")
    assert done.title == "Waits for approval" and "approves your account" in done.text() and "help@example.com" in done.text(), done.text()
    my = b.go(f"http://127.0.0.1:{s.port}/my")
    assert my.title == "Waits for approval" and "alice@example.com" in my.text() and "help@example.com" in my.text(), my.text()
    assert my.headers["Refresh"] == "10", my.headers
    assert b.go(f"http://127.0.0.1:{s.port}/my", stop=lambda u: "/console" in u).title == "Waits for approval"
    s.must("users", "approve", "alice")
    my = b.go(f"http://127.0.0.1:{s.port}/my")
    assert my.title == "My devices" and not my.headers["Refresh"], my.text()
    # A device that waits says so, too.
    s.must("settings", "set", "devices_approval", "true")
    d = Device(s)
    done = b.submit(b.go(d.login_url()), "Connect")
    assert done.title == "Waits for approval" and "joins the network by itself" in done.text() and "help@example.com" in done.text(), done.text()
    s.is_well()
    s.end()


# ---- pages of trouble ------------------------------------------------------------------------------------------------

def trouble_is_a_page(folder):
    s = Server(folder).start()
    base = f"http://127.0.0.1:{s.port}"
    p = Browser().one("GET", base + "/nowhere")
    assert p.status == 404 and p.title == "Nothing is here" and "<script" not in p.body, p.body
    p = Browser().one("DELETE", base + "/my")
    assert p.status == 405 and p.title == "That did not work", p.body
    # Tools, and all of the API, are told as before.
    p = Browser().one("GET", base + "/nowhere", headers={"Accept": "application/json"})
    assert p.status == 404 and p.headers["Content-Type"].startswith("application/"), p.headers
    p = Browser().one("GET", base + "/api/v1/nowhere")
    assert p.status == 404 and p.headers["Content-Type"].startswith("application/"), p.headers
    s.is_well()
    s.end()


# ---- products --------------------------------------------------------------------------------------------------------

def shape(profile, login, name, groups, keys={}):
    def test(folder):
        s, idp = with_idp(folder, profile, **keys)
        connected(s, Browser(), Device(s), login)
        u = list(users(s).values())[0]
        assert u["displayName"] == name, u
        have = json.loads(s.must("users", "identities", "--output", "json"))[0]
        assert have["groups"] == groups, have
        s.end()
    test.__name__ = f"claims_of_{profile}"
    return test


google = shape("google", "alice@example.com", "alice of Google", [])
entra = shape("entra", "alice@example.com", "alice of Entra", ["guid-admins", "guid-staff"], {"email_verified_required": False})
authelia = shape("authelia", "alice@example.com", "alice of Authelia", ["admins", "staff"])
authentik = shape("authentik", "alice@example.com", "alice of Authentik", ["admins", "staff"])
keycloak = shape("keycloak", "alice@example.com", "alice of Keycloak", ["admins", "staff"])


def an_unverified_address_names_nobody(folder):
    """Entra's shape without the admin's word that its addresses are right: the subject is the name."""
    s, idp = with_idp(folder, "entra")
    connected(s, Browser(), Device(s), "alice")
    assert list(users(s).values())[0]["email"] == ""
    s.end()


# ---- several, and none -----------------------------------------------------------------------------------------------

def people_choose_among_two(folder):
    s = Server(folder)
    url = f"http://127.0.0.1:{s.port}"
    one, two = Idp(url, "plain", name="one"), Idp(url, "authelia", name="two")
    s.tables = "[oidc]\n" + one.keys(title="First", domains=["example.com"]) + "[[oidc.providers]]\n" + two.keys(title="Second")
    s.write()
    s.start()
    b, d = Browser(), Device(s)
    p = b.go(d.login_url())
    assert p.title == "Sign in" and "First" in p.text() and "Second" in p.text(), p.text()
    q = b.go(urllib.parse.urljoin(p.url, p.link("Continue with First")))
    assert q.title == "Connect this device?", q.text()
    assert b.submit(q, "Connect").title == "Connected"
    # example.com belongs to the first.
    d = Device(s)
    p = Browser().go(d.login_url())
    other = Browser()
    q = other.go(urllib.parse.urljoin(p.url, p.link("Continue with Second")))
    assert q.status == 403 and "another provider" in q.text(), q.text()
    two.user("zoe@other.example")
    q = Browser().go(urllib.parse.urljoin(p.url, p.link("Continue with Second")))
    assert q.title == "Connect this device?", q.text()
    s.end()


def the_provider_may_come_later(folder):
    s = Server(folder)
    url = f"http://127.0.0.1:{s.port}"
    idp = Idp(url)
    idp.end()
    s.tables = "[oidc]\n" + idp.keys()
    s.write()
    s.start()
    d = Device(s)
    p = Browser().go(d.login_url())
    assert p.status == 503 and "does not answer" in p.text() and "Other ways" in p.text(), p.text()
    wait_for(lambda: "cannot be used now" in s.read_log(), 15)
    idp = Idp(url, port=idp.port)
    wait_for(lambda: "identity provider answers" in s.read_log(), 30)
    assert Browser().go(d.url).title == "Connect this device?"
    s.end()


def the_helper_is_started_again(folder):
    s, idp = with_idp(folder)
    b, d = Browser(), Device(s)
    assert b.go(d.login_url()).title == "Connect this device?"
    pid = int(os.popen(f"ps --no-headers -o pid --ppid {s.p.pid}").read().split()[0])
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: "starting it again" in s.read_log())
    wait_for(lambda: Browser().go(d.url).title == "Connect this device?", 15)
    s.is_well()
    s.end()


# ---- sessions --------------------------------------------------------------------------------------------------------

def sessions_are_listed_and_ended(folder):
    s, idp = with_idp(folder)
    b = Browser("Firefox on a laptop")
    connected(s, b, Device(s))
    base = f"http://127.0.0.1:{s.port}"
    my = b.go(base + "/my")
    assert my.title == "My devices" and "alice@example.com" in my.text() and ("Last seen" in my.text() or "Offline" in my.text()), my.text()
    listed = json.loads(s.must("sessions", "list", "--output", "json"))
    assert len(listed) == 1 and listed[0]["agent"] == "Firefox on a laptop" and listed[0]["remote"] == "127.0.0.1", listed
    # They are rows: a restart keeps them.
    s.end()
    s.start()
    assert b.go(base + "/my").title == "My devices"
    s.must("sessions", "end", "-i", listed[0]["id"])
    assert b.go(base + "/my", stop=lambda u: u.endswith("/login")).url.endswith("/login")
    # Signing out in the browser.
    connected(s, b, Device(s))
    out = b.submit(b.go(base + "/my"), "Sign out")
    assert out.title == "Signed out", out.text()
    assert json.loads(s.must("sessions", "list", "--output", "json")) == []
    s.end()


def the_provider_signs_people_out(folder):
    s, idp = with_idp(folder)
    b = Browser()
    connected(s, b, Device(s))
    assert len(json.loads(s.must("sessions", "list", "--output", "json"))) == 1
    # RP-initiated logout at the provider makes it call us on the back channel.
    p = b.go(idp.issuer + "/session/end")
    xsrf = re.search(r'name="xsrf" value="([^"]*)"', p.body)[1]
    b.go(idp.issuer + "/session/end/confirm", None, "POST", urllib.parse.urlencode({"xsrf": xsrf, "logout": "yes"}))
    wait_for(lambda: json.loads(s.must("sessions", "list", "--output", "json")) == [], 15)
    assert "signed out by the provider" in s.read_log()
    s.end()


# ---- without a provider ----------------------------------------------------------------------------------------------

def totp(text, at=None):
    key = base64.b32decode(text)
    mac = hmac.new(key, struct.pack(">Q", int((at or time.time()) // 30)), "sha1").digest()
    o = mac[19] & 15
    return f"{(struct.unpack('>I', mac[o:o + 4])[0] & 0x7fffffff) % 1000000:06d}"


def post(b, url, **fields):
    return b.go(url, None, "POST", urllib.parse.urlencode(fields))


def a_link_a_password_and_a_code(folder):
    s = Server(folder).start()
    base = f"http://127.0.0.1:{s.port}"
    d = Device(s)
    # Nobody can sign in yet: the page says how.
    p = Browser().go(d.login_url())
    assert p.title == "A device wants to join" and "fairlead nodes register" in p.text(), p.text()
    assert d.url.rsplit("/", 1)[1] in p.body
    s.must("users", "create", "ann")
    link = json.loads(s.must("console", "login", "--user", "ann", "--output", "json"))["url"]
    # Looking at the link, as chat programs do, uses nothing up; another site cannot use it for somebody.
    for _ in range(2):
        assert Browser().go(link).title == "Welcome"
    assert Browser().one("POST", link, "", {"Origin": "https://evil.example"}).status == 403
    b = Browser("Safari")
    my = b.submit(b.go(link), "Sign in")
    assert my.title == "Your network, in two steps" and "Set a password" in my.text() and "tailscale up" in my.text(), my.text()
    assert Browser().one("GET", base + "/welcome").status == 403  # by its link only
    my = b.go(base + "/my")
    assert my.title == "My devices" and "ann" in my.text(), my.text()
    assert b.go(d.url).title == "Connect this device?"  # who has just signed in is not asked again
    assert Browser().go(link).status == 404
    assert Browser().one("POST", link, "").status == 404
    # A password and an app.
    f = b.go(base + "/my/password")
    _, fields, _ = f.forms()[0]
    good = {"password": "correct horse battery", "again": "correct horse battery", "code": totp(fields["totp"])}
    for bad, words in (({"password": "short", "again": "short"}, "10 to 128"), ({"again": "another one"}, "not the same"),
                       ({"code": "000000"}, "code is not right"), ({"totp": "x"}, "code is not right")):
        p = b.submit(f, "Save", **{**good, **bad})
        assert p.status == 400 and words in p.text(), p.text()
    assert b.submit(f, "Save", **{**good, "csrf": "0" * 32}).status == 403
    assert b.submit(f, "Save", **good).title == "Saved"
    raw = open(s.database, "rb").read() + open(s.database + "-wal", "rb").read()
    assert b"$argon2id$" in raw and b"correct horse" not in raw
    # Signing in with them, in another browser, and connecting the device.
    def sign_in(code, password="correct horse battery", name="ann", browser=None, **more):
        return post(browser or Browser(), base + "/login", name=name, password=password, code=code, **more)
    used = totp(fields["totp"])
    wrong = [sign_in(used), sign_in("123456"), sign_in(used, "wrong password"), sign_in(used, name="bob"), sign_in("", name="")]
    assert {p.status for p in wrong} == {403}, [p.status for p in wrong]  # the first: its code was used to save
    fresh = totp(fields["totp"], time.time() + 30)  # a step ahead is within the skew
    other = Browser()
    c = sign_in(fresh, browser=other, connect=d.url.rsplit("/", 1)[1])
    assert c.title == "Connect this device?", c.text()
    assert other.submit(c, "Connect").title == "Connected"
    n = nodes(s)
    assert len(n) == 1 and n[0]["user"]["name"] == "ann", n
    assert sign_in(fresh).status == 403  # once
    # Another origin's form is not ours.
    assert Browser().one("POST", base + "/login", "name=ann&password=x&code=1", {"Origin": "https://evil.example"}).status == 403
    s.must("users", "forget-password", "ann", "--force")
    assert sign_in(totp(fields["totp"], time.time() + 30)).status == 403
    s.is_well()
    s.end()


def guessing_is_slowed_down(folder):
    s = Server(folder).start()
    base = f"http://127.0.0.1:{s.port}"
    s.must("users", "create", "ann")
    seen = [post(Browser(), base + "/login", name="ann", password="guess number %d" % i, code="000000").status for i in range(30)]
    assert seen[0] == 403 and 429 in seen, seen
    assert post(Browser(), base + "/login", name="ann", password="x", code="0").status == 429
    # Her own door, from elsewhere, is still open.
    elsewhere = http.client.HTTPConnection("127.0.0.1", s.port, source_address=("127.0.0.2", 0))
    def knock(c):
        c.request("POST", "/login", "name=ann&password=x&code=0", {"Content-Type": "application/x-www-form-urlencoded", "Origin": base})
        return c.getresponse().status
    assert knock(elsewhere) == 403
    # Many at once are no more than many in turn.
    doors = [http.client.HTTPConnection("127.0.0.1", s.port, source_address=("127.0.0.3", 0)) for _ in range(30)]
    with concurrent.futures.ThreadPoolExecutor(30) as pool:
        seen = list(pool.map(knock, doors))
    assert set(seen) == {403, 429} and 12 <= seen.count(403) <= 16, seen
    s.is_well()
    s.end()


# ---- groups, refreshed -----------------------------------------------------------------------------------------------

POLICY = {"groups": {"group:ops": ["idp:admins"]}, "grants": [{"src": ["group:ops"], "dst": ["*"], "ip": ["*"]}]}


def groups_of_the_provider_are_for_the_policy(folder):
    s, idp = with_idp(folder, scope=["openid", "profile", "email", "offline_access"], refresh_interval="1s",
                      extra_params={"prompt": "consent"}, expire_nodes_of_gone_users=True)
    with open(folder + "/policy", "w") as f:
        json.dump(POLICY, f)
    s.must("policy", "set", "-f", folder + "/policy")
    alice, bob = Device(s), Device(s)
    connected(s, Browser(), alice)
    idp.user("bob")
    connected(s, Browser(), bob)
    # alice is among the admins and sees bob's device; bob's sees hers, for she may reach it.
    def peers(d):
        c = Control(s.connect(), d.machine, s.key())
        return len(c.netmap()[1].get("Peers") or [])
    wait_for(lambda: (peers(alice), peers(bob)) == (1, 1), 10, 0.3)
    # She leaves the group at the provider: nobody reaches anybody.
    idp.tell("groups", json.dumps({"alice": [], "bob": []}))
    wait_for(lambda: (peers(alice), peers(bob)) == (0, 0), 20, 0.5)
    # bob joins it.
    idp.tell("groups", json.dumps({"bob": ["admins"]}))
    wait_for(lambda: peers(bob) == 1, 20, 0.5)
    # bob is gone at the provider: his sessions end, his devices' keys, too, and his groups count no more.
    idp.tell("gone", "bob")
    wait_for(lambda: [x["user"] for x in json.loads(s.must("sessions", "list", "--output", "json"))] == ["alice"], 20, 0.5)
    who = {i["subject"]: i for i in json.loads(s.must("users", "identities", "--output", "json"))}
    assert who["bob"]["goneAt"] and not who["alice"]["goneAt"], who
    assert peers(alice) == 0
    assert Device(s, bob.machine).c.register()["NodeKeyExpired"]
    # A provider that cannot be reached changes nothing.
    idp.end()
    time.sleep(3)
    assert [x["user"] for x in json.loads(s.must("sessions", "list", "--output", "json"))] == ["alice"]
    s.is_well()
    s.end()


def a_provider_in_trouble_ends_nobody(folder):
    s, evil = Server(folder), Hostile()
    s.tables = "[oidc]\n" + evil.keys(timeout="3s", refresh_interval="1s", allowed_groups=["ops"], expire_nodes_of_gone_users=True)
    s.write()
    s.start()
    d = Device(s)
    connected(s, Browser(), d)
    who = lambda: json.loads(s.must("users", "identities", "--output", "json"))[0]
    sessions = lambda: len(json.loads(s.must("sessions", "list", "--output", "json")))
    assert who()["groups"] == ["ops"] and sessions() == 1
    # Its refresh tokens are good for one time: each that came is kept, also when the rest of the answer is of no use.
    for mode in ("bad-client", "forbidden", "not-found", "html", "key", "userinfo-500", "userinfo-401", "userinfo-other"):
        evil.mode(mode)
        wait_for(lambda: evil.hits("/token") >= 2, 20, 0.2)
        assert not who()["goneAt"] and who()["groups"] == ["ops"] and sessions() == 1, (mode, who())
        evil.mode("ok")
        wait_for(lambda: evil.hits("/userinfo") >= 2, 20, 0.2)
        assert not who()["goneAt"] and who()["groups"] == ["ops"] and sessions() == 1, (mode, who())
    assert not Device(s, d.machine).c.register().get("NodeKeyExpired")
    evil.mode("gone")
    wait_for(lambda: who()["goneAt"] and sessions() == 0, 20, 0.2)
    assert Device(s, d.machine).c.register()["NodeKeyExpired"]
    s.is_well()
    s.end()


# ---- expiry ----------------------------------------------------------------------------------------------------------

def keys_end_as_configured(folder):
    s, idp = with_idp(folder, expiry="2h")
    connected(s, Browser(), Device(s))
    left = time.mktime(time.strptime(nodes(s)[0]["expiry"][:19], "%Y-%m-%dT%H:%M:%S")) - time.timezone - time.time()
    assert 7000 < left < 7300, nodes(s)[0]["expiry"]
    s.end()
    os.mkdir(folder + "/second")
    s2, idp2 = with_idp(folder + "/second", use_expiry_from_token=True)
    connected(s2, Browser(), Device(s2))
    left = time.mktime(time.strptime(nodes(s2)[0]["expiry"][:19], "%Y-%m-%dT%H:%M:%S")) - time.timezone - time.time()
    assert 500 < left < 700, nodes(s2)[0]["expiry"]
    s2.end()


run([two_devices_join_and_one_signs_in_again, what_the_request_carries, a_callback_is_for_one_browser_and_once,
     consent_is_a_form_of_ours, not_mine_ends_it, some_are_refused_with_the_reason, a_name_is_one_user,
     a_suspended_user_is_refused, who_is_new_waits_for_approval, trouble_is_a_page, google, entra, authelia, authentik, keycloak, an_unverified_address_names_nobody,
     people_choose_among_two, the_provider_may_come_later, the_helper_is_started_again, sessions_are_listed_and_ended,
     the_provider_signs_people_out, a_link_a_password_and_a_code, guessing_is_slowed_down, groups_of_the_provider_are_for_the_policy,
     a_provider_in_trouble_ends_nobody, keys_end_as_configured])
