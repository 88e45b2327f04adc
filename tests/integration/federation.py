#!/usr/bin/env python3
"""federation.py: a workload shows a token of its own issuer and gets one of ours (federated identities, oauth/token-exchange).

The issuer is a small HTTP server of this file, its keys made and used by openssl. Prints TAP. BUILD= names the build folder."""
import base64, http.server, json, os, subprocess, sys, threading, time, urllib.parse

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from lib.kit import Server, run

V2 = "/api/v2/tailnet/-/keys"


def b64(b):
    return base64.urlsafe_b64encode(b).rstrip(b"=").decode()


class Key:
    """An RSA key in a file, as the issuer signs and shows it."""

    def __init__(self, folder, kid):
        self.kid, self.file = kid, os.path.join(folder, kid + ".pem")
        subprocess.run(["openssl", "genrsa", "-out", self.file, "2048"], check=True, capture_output=True)
        out = subprocess.run(["openssl", "rsa", "-in", self.file, "-noout", "-modulus"], check=True, capture_output=True, text=True).stdout
        self.n = bytes.fromhex(out.strip().split("=")[1])

    def jwk(self):
        return {"kty": "RSA", "kid": self.kid, "alg": "RS256", "use": "sig", "n": b64(self.n), "e": "AQAB"}

    def sign(self, claims, alg="RS256"):
        head = b64(json.dumps({"alg": alg, "typ": "JWT", "kid": self.kid}).encode())
        body = head + "." + b64(json.dumps(claims).encode())
        if alg == "none":
            return body + "."
        if alg == "HS256":  # with the public key as the secret
            pem = subprocess.run(["openssl", "rsa", "-in", self.file, "-pubout"], check=True, capture_output=True).stdout
            args = ["openssl", "dgst", "-sha256", "-mac", "HMAC", "-macopt", "hexkey:" + pem.hex(), "-binary"]
        else:
            args = ["openssl", "dgst", "-sha256", "-sign", self.file]
        return body + "." + b64(subprocess.run(args, input=body.encode(), check=True, capture_output=True).stdout)


class Issuer:
    """What a CI system shows of itself: metadata without any login, and its keys."""

    def __init__(self, folder, name="issuer"):
        self.keys, self.asked, self.says = [Key(folder, name + "1")], 0, None
        issuer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                issuer.asked += 1
                answer = {"/.well-known/openid-configuration": {"issuer": issuer.says or issuer.url, "jwks_uri": issuer.url + "/keys"},
                          "/keys": {"keys": [k.jwk() for k in issuer.keys]}}.get(self.path)
                self.send_response(200 if answer else 404)
                self.end_headers()
                self.wfile.write(json.dumps(answer).encode())

            def log_message(self, *a):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def token(self, audience, sign=None, alg="RS256", **more):
        now = int(time.time())
        claims = {"iss": self.url, "sub": "repo:acme/app:ref:refs/heads/main", "aud": audience, "iat": now, "exp": now + 300,
                  "repo_name": "app", "run": 7, "protected": True, "envs": ["staging", "prod"], **more}
        return (sign or self.keys[-1]).sign({k: v for k, v in claims.items() if v is not None}, alg)


def exchange(s, client_id, jwt, **more):
    form = urllib.parse.urlencode({"client_id": client_id, "jwt": jwt, **more}).encode()
    status, body = s.http("POST", "/api/v2/oauth/token-exchange", form, {"Content-Type": "application/x-www-form-urlencoded"})
    return status, json.loads(body)


def begin(folder, private=True):
    s = Server(folder, tables=("[federation]\nallow_private = true\n" if private else "") + "[limits]\napi_wrong_keys_per_second = 1000\n")
    s.start()
    return s


def identity(s, issuer, status=200, **more):
    got, body = s.ask("POST", V2, {"keyType": "federated", "scopes": ["dns", "devices:core:read"], "issuer": issuer.url if issuer else "https://ci.example",
                                  "subject": "repo:acme/*:ref:refs/heads/main", **more})
    assert got == status, (got, body)
    return body


def a_workload_gets_a_token(folder):
    s, issuer = begin(folder), Issuer(folder)
    k = identity(s, issuer, customClaimRules={"repo_name": "a*", "run": "7", "protected": "true", "envs": "prod"}, description="ci of app")
    assert k["keyType"] == "federated" and "key" not in k and "expires" not in k, k
    assert k["audience"] == f"127.0.0.1:{s.port}/{k['id']}" and k["customClaimRules"]["repo_name"] == "a*", k
    status, got = exchange(s, k["id"], issuer.token(k["audience"]), grant_type="authorization_code", code="")
    assert status == 200 and got["token_type"] == "Bearer" and got["expires_in"] == 3600 and got["scope"] == "dns devices:core:read", got
    by = {"Authorization": "Bearer " + got["access_token"]}
    assert s.http("GET", "/api/v2/tailnet/-/devices", headers=by)[0] == 200
    assert s.http("GET", "/api/v2/tailnet/-/acl", headers=by)[0] == 403
    assert s.http("POST", "/api/v2/tailnet/-/dns/preferences", b'{"magicDNS":true}', by)[0] == 200
    # Who did it leads from the change to the token, and from that to the identity.
    log = s.ask("GET", "/api/fairlead/v1/audit?kind=apikey&action=create")[1]["records"]
    made = [r for r in log if r["actor"].startswith("federated:")]
    assert len(made) == 1 and made[0]["after"]["client"] == k["id"], log
    changes = s.ask("GET", "/api/fairlead/v1/audit?actor=oauthtoken:" + made[0]["after"]["prefix"])[1]["records"]
    assert all(r["via"] == "v2" for r in changes), changes
    # The audience in a list; the issuer's keys are asked for once, not for every token.
    asked = issuer.asked
    assert exchange(s, k["id"] + "?ephemeral=true", issuer.token(["x", k["audience"]]))[0] == 200
    assert issuer.asked == asked
    s.end()


def what_does_not_fit_is_refused(folder):
    s, issuer, other = begin(folder), Issuer(folder), Issuer(folder, "other")
    k = identity(s, issuer, customClaimRules={"repo_name": "a*", "envs": "prod"})
    id, aud, now = k["id"], k["audience"], int(time.time())
    bad = {
        "another audience": issuer.token("else"), "no audience": issuer.token(None), "another subject": issuer.token(aud, sub="repo:acme/app:ref:refs/heads/dev"),
        "a part of the subject": issuer.token(aud, sub="repo:acme/"), "no subject": issuer.token(aud, sub=None), "expired": issuer.token(aud, exp=now - 600),
        "no end": issuer.token(aud, exp=None), "from the future": issuer.token(aud, iat=now + 900), "not yet": issuer.token(aud, nbf=now + 900),
        "no beginning": issuer.token(aud, iat=None), "from a drawer": issuer.token(aud, iat=now - 200000, exp=now + 300),
        "another claim": issuer.token(aud, repo_name="b"), "no claim": issuer.token(aud, repo_name=None), "not in the list": issuer.token(aud, envs=["dev"]),
        "a claim of another kind": issuer.token(aud, repo_name={"a": 1}), "another issuer's word": issuer.token(aud, iss=other.url),
        "another issuer": other.token(aud), "another's key, this name": issuer.token(aud, sign=other.keys[0]), "alg none": issuer.token(aud, alg="none"),
        "alg confusion": issuer.token(aud, alg="HS256"), "cut": issuer.token(aud)[:-9], "changed": issuer.token(aud).replace(".", ".e", 1), "text": "x", "dots": "..",
    }
    for what, token in bad.items():
        status, got = exchange(s, id, token)
        assert status == 401 and got["error"] == "invalid_client" and "access_token" not in got, (what, status, got)
    good = issuer.token(aud)
    for wrong in ("", "0", "999999", "x", s.ask("POST", V2, {"keyType": "client", "scopes": ["dns"]})[1]["id"]):
        assert exchange(s, wrong, good)[0] in (400, 401), wrong
    assert exchange(s, id, "")[0] == 400
    assert exchange(s, id, "x" * 70000)[0] == 413
    # No client's secret, and no key: the secret that was made for the identity is told to nobody.
    assert exchange(s, id, good)[0] == 200
    # Another definition counts at once, and ends the tokens that were given; so does its end.
    token = exchange(s, id, good)[1]["access_token"]
    status, body = s.ask("PUT", f"{V2}/{id}", {"keyType": "federated", "scopes": ["dns"], "issuer": issuer.url, "subject": "else"})
    assert status == 200 and body["audience"] == aud and body["customClaimRules"] == {}, body
    assert exchange(s, id, good)[0] == 401
    assert s.http("GET", "/api/v2/tailnet/-/dns/preferences", headers={"Authorization": "Bearer " + token})[0] == 401
    assert s.ask("PUT", f"{V2}/{id}", {"scopes": ["dns"]})[0] == 400  # it stays what it is
    s.ask("PUT", f"{V2}/{id}", {"scopes": ["dns"], "issuer": issuer.url, "subject": "*"})
    assert exchange(s, id, good)[0] == 200
    assert s.ask("DELETE", f"{V2}/{id}")[0] == 200
    assert exchange(s, id, good)[0] == 401
    gone = s.ask("GET", f"{V2}/{id}")[1]
    assert gone["invalid"] and gone["revoked"], gone
    # An issuer that calls itself otherwise, or is away.
    k = identity(s, other)
    other.says = issuer.url
    assert exchange(s, k["id"], other.token(k["audience"]))[0] == 401
    away = identity(s, None)
    away_status, got = exchange(s, away["id"], good)
    assert away_status == 503 and got["error"] == "temporarily_unavailable", (away_status, got)
    s.end()


def nobody_is_called_at_private_addresses(folder):
    s, issuer = begin(folder, private=False), Issuer(folder)
    identity(s, issuer, status=400)  # without TLS
    https = issuer.url.replace("http://", "https://")
    for url in (https, https.replace("127.0.0.1", "localhost"), "https://[::1]:" + https.split(":")[-1]):
        status, k = s.ask("POST", V2, {"keyType": "federated", "scopes": ["dns"], "issuer": url, "subject": "*"})
        assert status == 200, k
        status, got = exchange(s, k["id"], issuer.token(k["audience"]))
        assert status == 503, (status, got)
    assert issuer.asked == 0
    for wrong in ({"issuer": "ftp://x"}, {"issuer": "https://"}, {"issuer": "https://u@x"}, {"issuer": "https://x?y"}, {"subject": ""}, {"subject": "x" * 2000},
                  {"audience": "x" * 2000}, {"customClaimRules": {"sub": "x"}}, {"customClaimRules": {"a": 1}}, {"customClaimRules": []},
                  {"customClaimRules": {str(i): "x" for i in range(21)}}, {"scopes": []}, {"scopes": ["auth_keys"]}, {"scopes": ["nonsense"]}, {"issuer": None}):
        body = {"keyType": "federated", "scopes": ["dns"], "issuer": "https://ci.example", "subject": "*", **wrong}
        status, got = s.ask("POST", V2, body)
        assert status == 400, (wrong, status, got)
    # Its own scope, and no more than the maker has.
    key = s.must("apikeys", "create", "--scopes", "federated_keys,dns:read", "--expiration", "1h").strip()
    by = {"Authorization": "Bearer " + key, "Content-Type": "application/json"}
    make = lambda scopes, type: s.http("POST", V2, json.dumps({"keyType": type, "scopes": scopes, "issuer": "https://ci.example", "subject": "x"}).encode(), by)[0]
    assert (make(["dns:read"], "federated"), make(["dns"], "federated"), make(["dns:read"], "client")) == (200, 403, 403)
    s.end()


run([a_workload_gets_a_token, what_does_not_fit_is_refused, nobody_is_called_at_private_addresses])
