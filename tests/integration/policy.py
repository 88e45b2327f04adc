#!/usr/bin/env python3
"""policy.py: the policy by the admin's tools: faults with their place, versions, questions, previews, and a policy that lives
in a watched file. Nodes are played over the real protocol.

Runs alone, or from tests/integration/run.py; prints TAP. BUILD= names the build folder (default build/asan)."""
import json, os, sys, threading, time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
import kit, ts2021
from kit import Server, wait_for

OPEN = '{\n\t"acls": [{"action": "accept", "src": ["*"], "dst": ["*:*"]}],\n}\n'
WEB = """{
	// who may what
	"groups": {"group:ops": ["ann@"]},
	"acls": [
		{"action": "accept", "src": ["group:ops"], "dst": ["bob@:80,443"]},
	],
}
"""
NATIVE = "/api/fairlead/v1/policy"


def write(path, text):
    with open(path + ".new", "w") as f:
        f.write(text)
    os.rename(path + ".new", path)
    return path


def join(s, user, name):
    """A node that is known and reported; its connection is closed again."""
    if not any(u["name"] == user for u in s.ask("GET", "/api/v1/user")[1]["users"]):
        s.must("users", "create", user)
    key = s.must("preauthkeys", "create", "--user", user).strip().splitlines()[-1].split()[-1]
    c = ts2021.Control(s.connect(), ts2021.Machine(), s.key())
    a = c.register(auth_key=key, hostinfo={"Hostname": name, "OS": "linux"})
    assert a["status"] == 200 and a.get("MachineAuthorized"), a
    c.close()


def tailnet(folder):
    s = Server(folder).start()
    join(s, "ann", "laptop")
    join(s, "bob", "desk")
    return s


def faults_are_told_with_their_place(folder):
    s = Server(folder).start()
    bad = write(folder + "/bad", '{\n\t"acls": [\n\t\t{"action": "accept", "src": ["group:opps"], "dst": ["*:x"]},\n\t\t{"acton": 1}\n\t],\n'
                '\t"groups": {"group:ops": []},\n}\n')
    rc, out, err = s.cli("policy", "set", "-f", bad)
    assert rc == 1 and "line 3, column 32:" in err and 'did you mean "group:ops"?' in err, err
    assert "line 3, column 55:" in err and "line 4" in err, err
    status, body = s.ask("PUT", NATIVE, {"policy": open(bad).read()})
    assert status == 400 and body["errors"][0]["line"] == 3 and body["errors"][0]["column"] == 32, body
    assert s.ask("GET", NATIVE)[1]["version"] == 0
    status, body = s.ask("POST", NATIVE + "/check", {"policy": OPEN})
    assert (status, body) == (200, {"valid": True})
    assert s.ask("PUT", NATIVE, {})[0] == 400
    s.end()


def versions(folder):
    s = Server(folder).start()
    a, b = write(folder + "/a", OPEN), write(folder + "/b", WEB)
    s.must("policy", "set", a, "--note", "all of it")
    s.must("policy", "set", b, "--note", "web only")
    out = s.must("policy", "history")
    assert "all of it" in out and "web only" in out and out.index("web only") < out.index("all of it"), out
    assert s.must("policy", "show", "1").strip() == OPEN.strip()
    assert "+\t// who may what" in s.must("policy", "diff", "1", "2")
    assert "0 gained, 0 lost" in s.must("policy", "diff", "2")
    assert "version 3" in s.must("policy", "rollback", "1", "--note", "too tight")
    assert s.must("policy", "get").strip() == OPEN.strip()
    rc, out, err = s.cli("policy", "rollback", "9")
    assert rc == 1 and "no version 9" in err, err
    s.end()
    s.start()
    v = s.ask("GET", NATIVE + "/versions")[1]["versions"]
    assert [x["version"] for x in v] == [3, 2, 1] and v[0]["note"] == "too tight" and v[0]["inForce"], v
    assert v[2]["author"], v
    s.end()


def questions(folder):
    s = tailnet(folder)
    s.must("policy", "set", write(folder + "/p", WEB))
    out = s.must("policy", "explain", "laptop", "desk:443")
    assert "laptop -> desk: allowed" in out and "line 5, acls[0]" in out, out
    out = s.must("policy", "explain", "ann@", "desk:22")
    assert "denied" in out and "port:" in out and "near: line 5" in out, out
    out = s.must("policy", "explain", "desk", "laptop")
    assert "source: no rule has this source" in out and "the other way round it is allowed: line 5" in out, out
    out = s.must("policy", "explain", "ghost", "laptop")
    assert 'nothing is called "ghost"' in out, out
    out = s.must("policy", "who-can-reach", "bob@:80")
    assert "laptop" in out and "desk" not in out, out
    out = s.must("policy", "what-can-reach", "laptop")
    assert "desk" in out and "80, 443" in out, out
    status, a = s.ask("GET", NATIVE + "/explain?src=laptop&dst=desk%3A443")
    assert status == 200 and a["allowed"] == "yes" and a["version"] == 1, a
    assert s.ask("GET", NATIVE + "/explain?src=laptop&dst=desk%3Ahttp")[0] == 400
    assert s.ask("GET", NATIVE + "/explain")[0] == 400
    s.end()


def preview(folder):
    s = tailnet(folder)
    p = write(folder + "/p", WEB)
    out = s.must("policy", "preview", p)
    assert "0 gained, 2 lost" in out and "2 of 2" in out and "keeps 80, 443" in out, out
    assert s.ask("GET", NATIVE)[1]["version"] == 0  # nothing was set
    s.must("policy", "set", p)
    out = s.must("policy", "preview", p)
    assert "0 gained, 0 lost" in out and "0 of 2" in out, out
    tested = WEB.rstrip()[:-1] + '\t"tests": [{"src": "ann@", "accept": ["bob@:22"]}],\n}\n'
    out = s.must("policy", "preview", write(folder + "/t", tested))
    assert "tests: 0 of 1 passed" in out and "line 7" in out and "would be refused" in out, out
    rc, out, err = s.cli("policy", "set", folder + "/t")
    assert rc == 1 and "test(s) failed" in err, err
    s.end()


def all_at_once(folder):
    s = tailnet(folder)
    p = write(folder + "/p", WEB.rstrip()[:-1] + '\t"ssh": [{"action": "check", "src": ["ann@"], "dst": ["ann@"], "users": ["root"]}],\n}\n')
    s.must("policy", "set", p)
    out = s.must("policy", "matrix")
    assert "-> bob" in out and "80, 443" in out and "line 5" in out, out
    out = s.must("policy", "matrix", "--ssh")
    assert "as root, after a check" in out, out
    out = s.must("policy", "ssh", "laptop", "desk")
    assert "laptop -> desk: no" in out, out
    out = s.must("policy", "format", p)
    assert out == s.must("policy", "format", write(folder + "/q", out)) and "// who may what" in out, out
    rc, out, err = s.cli("policy", "format", write(folder + "/r", '{"acls": [] "hosts": {}}'))
    assert rc == 1 and "line 1, column 13: expected , or }" in err, err
    # a draft is one person's, and survives a restart
    assert s.ask("GET", NATIVE + "/draft")[0] == 404
    assert s.ask("PUT", NATIVE + "/draft", {"policy": "{ // soon", "base": 1})[0] == 200
    s.end()
    s.start()
    status, d = s.ask("GET", NATIVE + "/draft")
    assert status == 200 and d["policy"] == "{ // soon" and d["base"] == 1 and d["conflict"] is None, d
    status, a = s.ask("PUT", NATIVE, {"policy": OPEN, "base": 7})
    assert status == 409 and a["conflict"]["version"] == 1, a
    s.end()


def in_a_file(folder):
    path = write(folder + "/policy.hujson", WEB)
    s = Server(folder, tables=f'[policy]\nmode = "file"\npath = "{path}"\n').start()
    assert s.ask("GET", NATIVE)[1]["policy"] == WEB
    version = lambda: s.ask("GET", NATIVE)[1]["version"]
    assert version() == 1 and s.ask("GET", NATIVE)[1]["file"] == path
    for how in (("set", path), ("rollback", "1")):
        rc, out, err = s.cli("policy", *how)
        assert rc == 1 and path in err, err
    assert s.ask("PUT", "/api/v1/policy", {"policy": OPEN})[0] == 400
    write(path, OPEN)  # replaced by a rename
    wait_for(lambda: version() == 2)
    with open(path, "w") as f:  # written in place
        f.write(WEB)
    wait_for(lambda: version() == 3)
    write(path, '{\n"acls": [{"action": "deny"}]}\n')
    wait_for(lambda: "is refused" in s.read_log())
    assert "line 2, column" in s.read_log(), s.read_log()
    assert version() == 3 and s.ask("GET", NATIVE)[1]["policy"] == WEB
    os.unlink(path)
    wait_for(lambda: "cannot be used" in s.read_log())
    write(path, WEB)  # what is in force is no new version
    time.sleep(0.5)
    assert version() == 3
    s.end()
    s.start()
    assert version() == 3
    write(path, "{")
    s.end()
    s.start()  # broken, but there is one that can stay
    assert s.ask("GET", NATIVE)[1]["policy"] == WEB
    s.end()


def a_broken_file_does_not_open_a_fresh_server(folder):
    path = write(folder + "/policy.hujson", "{")
    s = Server(folder, tables=f'[policy]\nmode = "file"\npath = "{path}"\n')
    try:
        s.start()
        raise RuntimeError("it started")
    except AssertionError as e:
        assert "line 1, column 2" in str(e) and path in str(e), e
    os.unlink(path)
    try:
        s.start()
        raise RuntimeError("it started")
    except AssertionError as e:
        assert "No such file" in str(e), e


def hostile_texts():
    """(what, text, what the refusal says or None where it is taken)"""
    rule = '{"action": "accept", "src": ["*"], "dst": ["*:1"]},'
    yield "10 MB", "{" + " " * (10 << 20) + "}", "has more than 8388608 bytes"
    yield "6 MB", "{" + " " * (6 << 20) + "}", "larger than this call takes"
    yield "4 MiB and a bit", "{" + " " * (4 << 20) + "}", "the policy has more than 4194304 bytes"
    yield "lists in lists", '{"acls":' + "[" * 10000, "nested too deeply"
    yield "objects in objects", '{"a":' * 10000, "nested too deeply"
    yield "100,000 rules", '{"acls": [' + rule * 80000 + "]}", "at most 20000 rules"
    yield "groups in a ring", '{"groups": {"group:a": ["group:b"], "group:b": ["group:a"]}}', "cannot contain groups"
    yield "ipsets in a ring", '{"ipsets": {"ipset:a": ["ipset:b"], "ipset:b": ["ipset:a"]}}', "contain each other"
    yield "10,000 tests", '{"tests": [' + '{"src": "ann@", "deny": ["bob@:1"]},' * 10000 + "]}", "at most 2000 tests"
    yield "many ports", '{"acls": [{"action": "accept", "src": ["*"], "dst": ["*:1' + ",2" * 500000 + '"]}]}', "at most 256 ports"
    yield "a big group", '{"groups": {"group:a": [' + "".join(f'"u{i}@example.com",' for i in range(100001)) + "]}}", "at most 100000 members"
    yield "tests that ask for all", ('{"acls": [' + "".join(f'{{"action":"accept","src":["10.0.0.1"],"dst":["*:{i + 1}"]}},' for i in range(5000)) +
           '], "tests": [' + '{"src":"autogroup:member","accept":["ann@:1","bob@:2"]},' * 2000 + "]}"), "test(s) failed"
    yield "tags in a ring", '{"tagOwners": {' + "".join(f'"tag:t{i}": ["tag:t{(i + 1) % 20000}"],' for i in range(20000)) + "}}", None
    yield "100,000 hosts", ('{"hosts": {' + "".join(f'"h{i}": "10.{i >> 16}.{i >> 8 & 255}.{i & 255}",' for i in range(100000)) +
           '}, "acls": [{"action": "accept", "src": ["h1", "ann@"], "dst": ["*:22"]}]}'), None
    yield "20,000 rules", '{"acls": [' + "".join(f'{{"action":"accept","src":["*"],"dst":["*:{i + 1}"]}},' for i in range(20000)) + "]}", None


def hostile(folder):
    """Each is refused in words, by every way in, or taken, in seconds; the server answers others meanwhile, and what is in force stays."""
    s = tailnet(folder)
    s.must("policy", "set", write(folder + "/web", WEB))
    version, before = 1, s.rss_kib()
    for what, text, says in hostile_texts():
        path, began, slowest, done = write(folder + "/p", text), time.monotonic(), 0, threading.Event()
        answers = []

        def put(path):
            try:
                return s.ask("PUT", path, {"policy": text})
            except (BrokenPipeError, ConnectionResetError):
                return 413, "closed in the middle of a body that is too long"

        def give():
            try:
                answers.append(s.cli("policy", "set", path))
                answers.extend(put(p) for p in ((NATIVE, "/api/v1/policy") if says else ()))
            finally:
                done.set()
        t = threading.Thread(target=give)
        t.start()
        while not done.wait(0.05):
            asked = time.monotonic()
            assert s.ask("GET", "/api/v1/node")[0] == 200
            slowest = max(slowest, time.monotonic() - asked)
        t.join()
        took = time.monotonic() - began
        print(f"# {what}: {len(text)} bytes, {took:.1f} s, others waited at most {slowest:.2f} s, {s.rss_kib() - before} KiB more")
        assert took < 60 and slowest < 10, what
        (rc, out, err), *http = answers
        in_force = s.ask("GET", NATIVE)[1]
        if says:
            assert rc == 1 and says in err and len(err) < 8000, (what, rc, err[:500])
            for status, body in http:
                assert status in (400, 413, 500) and (status == 413 or says in json.dumps(body)), (what, status, str(body)[:500])
            assert in_force["version"] == version and in_force["policy"] == WEB, what
        else:
            assert rc == 0, (what, err[:500])
            s.must("policy", "set", folder + "/web")
            version += 2
    out = s.must("policy", "explain", "laptop", "desk:443")
    assert "allowed" in out, out
    s.is_well()
    s.end()


kit.run([faults_are_told_with_their_place, versions, questions, preview, all_at_once, in_a_file, hostile, a_broken_file_does_not_open_a_fresh_server])
