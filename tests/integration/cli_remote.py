#!/usr/bin/env python3
"""cli_remote.py: the admin commands from another machine: HTTPS with an API key, without a configuration file. Prints TAP.

BUILD= names the build folder (default build/asan); arguments pick tests by name."""
import json, os, subprocess, sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from lib.certs import make_certificate
from lib.kit import Server, free_port, prog, run


class Far:
    """`fairlead` somewhere else: an empty folder, nothing of this machine's environment."""

    def __init__(self, folder, **env):
        self.cwd = os.path.join(folder, "far")
        os.makedirs(self.cwd, exist_ok=True)
        self.env = {"PATH": os.environ["PATH"], **env}

    def __call__(self, *words):
        r = subprocess.run([prog, *words], cwd=self.cwd, env=self.env, capture_output=True, text=True, timeout=30)
        return r.returncode, r.stdout, r.stderr


def https_with_a_key(folder):
    ca, cert, key = make_certificate(folder)
    s = Server(folder, keys=f'tls_cert_path = "{cert}"\ntls_key_path = "{key}"\n')
    s.start()
    token = s.must("apikeys", "create", "--expiration", "1h").strip()
    s.must("users", "create", "ann")
    url = f"https://localhost:{s.port}"
    far = Far(folder, FAIRLEAD_CLI_ADDRESS=url, FAIRLEAD_CLI_API_KEY=token, SSL_CERT_FILE=ca)
    rc, out, err = far("users", "list", "-o", "json")
    assert rc == 0 and [u["name"] for u in json.loads(out)] == ["ann"], (rc, out, err)
    rc, out, err = far("preauthkeys", "create", "--user", "ann")
    assert rc == 0 and out.startswith("hskey-auth-"), (rc, out, err)
    rc, out, err = far("oauth-clients", "create", "--scopes", "devices:core:read,dns", "--description", "ci")
    assert rc == 0 and "-" in out and len(out.split()) == 1, (rc, out, err)
    rc, out, err = far("oauth-clients", "list", "-o", "json")
    listed = json.loads(out)
    assert rc == 0 and len(listed) == 1 and listed[0]["description"] == "ci" and listed[0]["scopes"] == ["devices:core:read", "dns"], (rc, out, err)
    rc, out, err = far("oauth-clients", "delete", "-i", listed[0]["id"], "--force")
    assert rc == 0, err
    rc, out, err = far("oauth-clients", "list", "-o", "json")
    assert rc == 0 and [k["state"] for k in json.loads(out)] in ([], ["revoked"]), (rc, out, err)
    rc, out, err = far("oauth-clients", "create")
    assert rc == 2 and "--scopes" in err, (rc, out, err)
    rc, out, err = far("users", "destroy", "ann", "--force")
    assert rc == 0, err
    rc, out, err = far("users", "destroy", "ann", "--force")
    assert rc == 1 and "there is no 'ann'" in err, (rc, out, err)
    rc, out, err = far("backup", "/tmp/never.db")  # touches the server's own files
    assert rc == 1 and "unix socket" in err, (rc, out, err)
    rc, out, err = Far(folder, SSL_CERT_FILE=ca)("--address", f"127.0.0.1:{s.port}", "--api-key", token, "nodes", "list", "-o", "yaml")
    assert rc == 0 and out == "[]\n", (rc, out, err)
    for env, part in (({"FAIRLEAD_CLI_API_KEY": token[:-1] + "x", "SSL_CERT_FILE": ca}, "does not know this API key"),
                      ({"SSL_CERT_FILE": ca}, "does not know this API key"),
                      ({"FAIRLEAD_CLI_API_KEY": token}, "no TLS connection")):
        rc, out, err = Far(folder, FAIRLEAD_CLI_ADDRESS=url, **env)("users", "list")
        assert rc == 1 and part in err and len(err.splitlines()) == 1, (rc, out, err)
    rc, out, err = Far(folder)("--address", url, "--api-key", token, "--insecure", "users", "list")
    assert rc == 0, err
    rc, out, err = far("users", "list", "--address", f"https://127.0.0.1:{free_port()}")
    assert rc == 1 and "does not answer" in err, err
    rc, out, err = far("users", "list", "--address", f"https://name.invalid:{s.port}")
    assert rc == 1 and "name.invalid" in err, err
    s.end()


def plain_http_on_loopback(folder):
    s = Server(folder).start()
    token = s.must("apikeys", "create", "--expiration", "1h").strip()
    far = Far(folder, FAIRLEAD_CLI_API_KEY=token)
    rc, out, err = far("users", "list", "--address", f"http://127.0.0.1:{s.port}")
    assert rc == 0, err
    rc, out, err = far("users", "list", "--address", f"https://127.0.0.1:{s.derp_port}")  # self-made certificate
    assert rc == 1 and "no TLS connection" in err, err
    rc, out, err = far("users", "list", "--address", f"https://127.0.0.1:{s.derp_port}", "--insecure")
    assert rc == 0, err
    rc, out, err = far("users", "list")  # neither an address nor a configuration
    assert rc == 1 and "no configuration found" in err, err
    s.end()


def a_policy_without_a_server(folder):
    """For the day when a server does not start because of its policy."""
    s = Server(folder).start()
    bypass = "--bypass-server-and-access-database-directly"
    first, second = os.path.join(folder, "first"), os.path.join(folder, "second")
    for path, text in (first, '{"acls":[{"action":"accept","src":["*"],"dst":["*:22"]}]}'), (second, '{"acls":[]} // none\n'):
        with open(path, "w") as f:
            f.write(text)
    s.must("policy", "set", "-f", first)
    s.must("users", "create", "ann")
    rc, out, err = s.cli("policy", "get", bypass)  # a server has it
    assert rc == 1 and "another server has it open" in err, (rc, out, err)
    s.end()
    assert '"*:22"' in s.must("policy", "get", bypass)
    assert "valid" in s.must("policy", "check", "-f", second, bypass)
    with open(first, "w") as f:
        f.write('{\n"acls": [{"action": "maybe"}]}')
    for verb in "check", "set":
        rc, out, err = s.cli("policy", verb, "-f", first, bypass)
        assert rc == 1 and "line 2" in err, (rc, out, err)
    assert "version 2" in s.must("policy", "set", "-f", second, bypass, "--note", "rescue")
    assert "// none" in s.must("policy", "get", bypass)
    s.start()
    assert "// none" in s.must("policy", "get") and "rescue" in s.must("policy", "history")
    s.must("users", "create", "bob")  # ids go on
    assert [u["name"] for u in s.ask("GET", "/api/v1/user")[1]["users"]] == ["ann", "bob"]
    s.must("policy", "set", "-f", second)
    s.end()


run([https_with_a_key, plain_http_on_loopback, a_policy_without_a_server])
