"""browser: what a person's browser does without scripts: redirects, cookies, forms. And identity providers to sign in at."""
import html, http.client, json, os, re, subprocess, time, urllib.parse

from lib.kit import free_port, started, top, wait_for

node_tests = os.path.join(top, "tests", "browser")


class Page:
    def __init__(self, url, status, headers, body):
        self.url, self.status, self.headers, self.body = url, status, headers, body
        m = re.search(r"<h1>(.*?)</h1>", body)
        self.title = html.unescape(m[1]) if m else ""

    def forms(self):
        """[(action, {name: value}, button text)]"""
        out = []
        for f in re.finditer(r'<form[^>]*action="([^"]*)"[^>]*>(.*?)</form>', self.body, re.S):
            fields = {n: html.unescape(v) for n, v in re.findall(r'<input[^>]*name="([^"]*)" value="([^"]*)"', f[2])}
            button = re.search(r"<button[^>]*>(.*?)</button>", f[2], re.S)
            out.append((html.unescape(f[1]), fields, html.unescape(button[1]) if button else ""))
        return out

    def text(self):
        return html.unescape(re.sub(r"<[^>]+>", " ", self.body))

    def link(self, words):
        m = re.search(r'<a[^>]*href="([^"]*)"[^>]*>[^<]*' + re.escape(words), self.body)
        assert m, f"no link {words!r} in {self.body}"
        return html.unescape(m[1])


class Browser:
    """Cookies by host and port. follow: redirects are followed to the end, or to a URL that stop(url) names."""

    def __init__(self, agent="Test/1.0"):
        self.cookies, self.agent, self.hops = {}, agent, []

    def one(self, method, url, body=None, headers={}):
        u = urllib.parse.urlsplit(url)
        jar = self.cookies.setdefault(u.netloc, {})
        h = {"User-Agent": self.agent, "Accept": "text/html", **headers}
        if jar:
            h["Cookie"] = "; ".join(f"{k}={v}" for k, v in jar.items())
        if body is not None:
            h["Content-Type"] = "application/x-www-form-urlencoded"
        c = http.client.HTTPConnection(u.hostname, u.port, timeout=60)
        try:
            c.request(method, (u.path or "/") + ("?" + u.query if u.query else ""), body, h)
            r = c.getresponse()
            text = r.read().decode(errors="replace")
            for line in r.headers.get_all("Set-Cookie") or []:
                name, value = line.split(";")[0].split("=", 1)
                if re.search(r"Max-Age=0(;|$)", line) or not value:
                    jar.pop(name, None)
                else:
                    jar[name] = value
            return Page(url, r.status, r.headers, text)
        finally:
            c.close()

    def go(self, url, stop=None, method="GET", body=None, headers={}):
        self.hops = []
        for _ in range(20):
            p = self.one(method, url, body, headers)
            self.hops.append(url)
            if p.status not in (301, 302, 303, 307):
                return p
            url = urllib.parse.urljoin(url, p.headers["Location"])
            if stop and stop(url):
                return Page(url, 0, {}, "")
            method, body = "GET", None
        raise AssertionError("too many redirects: " + " ".join(self.hops))

    def submit(self, page, button, headers={}, **other):
        for action, fields, text in page.forms():
            if text == button:
                return self.go(urllib.parse.urljoin(page.url, action), None, "POST",
                               urllib.parse.urlencode({**fields, **other}), headers)
        raise AssertionError(f"no button {button!r} in {page.body}")


def toml(v):
    return "{ " + ", ".join(f"{n} = {toml(x)}" for n, x in v.items()) + " }" if isinstance(v, dict) else json.dumps(v)


class Process:
    def __init__(self, *argv):
        self.p = subprocess.Popen(argv, cwd=node_tests, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        started.append(self.p)
        line = self.p.stdout.readline()
        assert line.startswith("listening"), f"{argv}: {line!r}"

    def end(self):
        self.p.kill()
        self.p.wait()


class Idp(Process):
    """npm's oidc-provider in a profile of tests/browser/idp.mjs."""

    def __init__(self, server_url, profile="plain", port=None, name="oidc"):
        self.port, self.profile, self.name = port or free_port(), profile, name
        self.issuer = f"http://127.0.0.1:{self.port}"
        self.server_url = server_url
        super().__init__("node", "idp.mjs", str(self.port), f"{server_url}/oidc/callback", profile)

    def tell(self, what, text):
        c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        c.request("POST", "/test/" + what, text)
        assert c.getresponse().status == 200
        c.close()

    def user(self, name):
        self.tell("user", name)

    def keys(self, **more):
        k = {"name": self.name, "issuer": self.issuer, "client_id": "fairlead", "client_secret": "a secret/with+signs", **more}
        return "".join(f"{n} = {toml(v)}\n" for n, v in k.items())


class Hostile(Process):
    """tests/browser/hostile.mjs: a provider that lies in the way that mode says."""

    def __init__(self, port=None):
        self.port = port or free_port()
        self.issuer = f"http://127.0.0.1:{self.port}"
        super().__init__("node", "hostile.mjs", str(self.port))

    def mode(self, text):
        c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        c.request("POST", "/mode", text)
        assert c.getresponse().status == 200
        c.close()

    def logout_token(self, kind):
        c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        c.request("POST", "/logout-token", kind)
        text = c.getresponse().read().decode()
        c.close()
        return text

    def hits(self, path):
        """How often it was asked for this since mode() was called."""
        c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        c.request("GET", "/hits")
        n = json.loads(c.getresponse().read()).get(path, 0)
        c.close()
        return n

    def keys(self, **more):
        k = {"name": "hostile", "issuer": self.issuer, "client_id": "fairlead", "client_secret": "secret", **more}
        return "".join(f"{n} = {toml(v)}\n" for n, v in k.items())
