#!/usr/bin/env python3
"""run.py SUITE [--budget SECONDS] [--jobs N] PROGRAM...: runs test programs that print TAP, in parallel.

Prints a line for each program and the full output of those that failed, then `SUITE: N passed, N failed, N skipped`,
and leaves the counts in build/results/SUITE for tests/summary.py. A program that dies, times out or prints no test
counts as one failure. --each bounds a single program; what it started dies with it.
"""
import argparse, concurrent.futures, os, re, signal, subprocess, sys, time

p = argparse.ArgumentParser()
p.add_argument("suite")
p.add_argument("--budget", type=int, default=120, help="seconds for the whole suite")
p.add_argument("--each", type=int, default=0, help="seconds for one program; 0: what is left of the budget")
p.add_argument("--jobs", type=int, default=os.cpu_count() or 2)
p.add_argument("--wrap", default="", help="a command that runs each program")
p.add_argument("program", nargs="*")
a = p.parse_intermixed_args()

env = dict(os.environ, CMOCKA_MESSAGE_OUTPUT="TAP")
env.setdefault("ASAN_OPTIONS", "detect_leaks=1:abort_on_error=0:strict_string_checks=1")
env.setdefault("UBSAN_OPTIONS", "print_stacktrace=1")
env.setdefault("TSAN_OPTIONS", "halt_on_error=1:second_deadlock_stack=1")
end = time.monotonic() + a.budget


def run(prog):
    t0 = time.monotonic()
    left = end - t0
    if left <= 0:
        return prog, 0, 1, 0, 0.0, "the suite's budget was used up before this program could start\n"
    if a.each:
        left = min(left, a.each)
    try:
        p = subprocess.Popen([*a.wrap.split(), prog], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace", env=env,
                             start_new_session=True)
    except OSError as e:
        return prog, 0, 1, 0, 0.0, f"cannot run: {e}\n"
    try:
        out, rc = "".join(p.communicate(timeout=left)), p.returncode
    except subprocess.TimeoutExpired:
        os.killpg(p.pid, signal.SIGKILL)  # its group: also the servers that it started
        out, rc = "".join(p.communicate()) + f"\ntimed out after {left:.0f} s\n", 124
    ok = bad = skip = 0
    for line in out.splitlines():
        if re.match(r"(not )?ok \d+ #\s*skip", line, re.I):  # cmocka says "not ok N # SKIP"
            skip += 1
        elif re.match(r"ok \d+", line):
            if re.search(r"#\s*skip", line, re.I):
                skip += 1
            else:
                ok += 1
        elif re.match(r"not ok \d+", line):
            bad += 1
    if rc != 0 and bad == 0:
        bad = 1
        out += f"\nexit status {rc}\n"
    if ok + bad + skip == 0:
        bad = 1
        out += "\nprinted no test\n"
    return prog, ok, bad, skip, time.monotonic() - t0, out


tot = [0, 0, 0]
t0 = time.monotonic()
with concurrent.futures.ThreadPoolExecutor(a.jobs) as ex:
    for prog, ok, bad, skip, dt, out in ex.map(run, a.program):
        tot[0] += ok
        tot[1] += bad
        tot[2] += skip
        name = re.sub(r"^build/\w+/tests/", "", prog)
        print(f"{'FAIL' if bad else 'ok  '} {name}: {ok} passed, {bad} failed, {skip} skipped ({dt:.1f} s)")
        if bad:
            print("\n".join("    " + l for l in out.splitlines()[-120:]))
        elif skip:
            print("\n".join("    " + l for l in out.splitlines() if re.search(r"skip", l, re.I)))
        for l in out.splitlines():
            if re.match(r"# \S+: \d+ passed, ", l):  # a program's own parts
                print("    " + l[2:])
        sys.stdout.flush()
dt = time.monotonic() - t0
print(f"{a.suite}: {tot[0]} passed, {tot[1]} failed, {tot[2]} skipped ({dt:.0f} s of {a.budget} s)")
os.makedirs("build/results", exist_ok=True)
with open(f"build/results/{a.suite}", "w") as f:
    f.write("%d %d %d\n" % tuple(tot))
sys.exit(1 if tot[1] else 0)
