# SPDX-License-Identifier: Apache-2.0
"""Runs the tests part by part, a line a test, and ends with `N passed, N failed[, N skipped]`.

Called by tests/run, which has set the machine up. A part is a generator of outcomes; what it builds it builds
in build/PRESET. Ctrl-C stops the running part and still prints the last line.
"""
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import tidy  # noqa: E402

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
FUZZ_SECONDS = {False: 5, True: 600}
PART_SECONDS_MAX = 3600
# Benchmarks that are not of Google's library, and what makes them short.
OWN_BENCHES = {"xdp_bench": ["--rounds=2"], "observe_bench": ["--rounds=2", "--milliseconds=2"]}


class Tally:
    """Counts outcomes and prints a line for each."""

    def __init__(self):
        self.passed, self.failed, self.skipped = 0, 0, []
        self.started = time.monotonic()

    def ok(self, name, count=1, seconds=None):
        self.passed += count
        cases = f" ({count} cases)" if count != 1 else ""
        print(f"ok   {name}{cases}" + (f"  {seconds:.1f} s" if seconds is not None else ""), flush=True)

    def fail(self, name, log=""):
        self.failed += 1
        print(f"FAIL {name}", flush=True)
        for line in log.rstrip().splitlines()[-60:]:
            print("     " + line, flush=True)

    def skip(self, name, reason):
        self.skipped.append(name)
        print(f"SKIP {name}: {reason}", flush=True)

    def last_line(self):
        print(f"{time.monotonic() - self.started:.0f} seconds")
        tail = f", {len(self.skipped)} skipped" if self.skipped else ""
        print(f"{self.passed} passed, {self.failed} failed{tail}", flush=True)


def run(command, seconds=PART_SECONDS_MAX, **more):
    """(exit status, output) of a command in its own process group, which ends with it."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                               errors="replace", stdin=subprocess.DEVNULL, start_new_session=True, **more)
    try:
        output, _ = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        output = process.communicate()[0] + f"\nnot done after {seconds} s"
        return 124, output
    except BaseException:
        os.killpg(process.pid, signal.SIGTERM)  # tests clean up after themselves
        try:
            process.communicate(timeout=20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
        raise
    return process.returncode, output


def yield_to_others():
    """In a child, before it executes: the last to get a CPU, with all that it starts."""
    os.setsid()
    os.nice(19)
    try:
        with open("/proc/self/autogroup", "w", encoding="ascii") as file:  # nice counts inside a session alone
            file.write("19")
    except OSError:
        pass


@contextlib.contextmanager
def preparing(commands):
    """What later parts will build and check is made ready meanwhile, by what the tests leave of the CPUs: it changes
    nothing but how long those parts take. Not done when the block ends: stopped, and they do the rest."""
    script = "; ".join(commands)
    process = subprocess.Popen(["sh", "-c", script], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL, preexec_fn=yield_to_others)
    try:
        yield
    finally:
        try:
            os.killpg(process.pid, signal.SIGINT)  # ninja keeps what is done
        except ProcessLookupError:
            pass
        try:
            process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def step(tally, name, command, **more):
    """One command that is one test. True: it passed."""
    begin = time.monotonic()
    status, output = run(command, **more)
    if status == 0:
        tally.ok(name, seconds=time.monotonic() - begin)
    else:
        tally.fail(name, output)
    return status == 0


def build(tally, preset, targets=("all",)):
    return step(tally, f"build {preset}", ["sh", "-c", f"cmake --preset {preset} >build-{preset}.log 2>&1 || "
                                           f"{{ cat build-{preset}.log; exit 1; }}; rm -f build-{preset}.log; "
                                           f"cmake --build --preset {preset} --target {' '.join(targets)}"])


def gtest(tally, name, binary, *arguments, environment=None):
    """Runs a GoogleTest executable; each case counts."""
    with tempfile.NamedTemporaryFile(suffix=".json") as report:
        begin = time.monotonic()
        status, output = run([binary, f"--gtest_output=json:{report.name}", "--gtest_brief=1", *arguments],
                             env={**os.environ, **(environment or {})})
        try:
            suites = json.load(report)["testsuites"]
        except ValueError:
            tally.fail(name, output)
            return
    passed = 0
    for suite in suites:
        for case in suite["testsuite"]:
            title = f"{name} {suite['name']}.{case['name']}"
            if case.get("failures"):
                tally.fail(title, "\n".join(f["failure"] for f in case["failures"]))
            elif case["result"] == "SKIPPED":
                tally.skip(title, "a feature is missing (see its output)")
            elif case["result"] == "COMPLETED":
                passed += 1
    if passed:
        tally.ok(name, passed, time.monotonic() - begin)
    if status != 0 and not any(case.get("failures") for s in suites for case in s["testsuite"]):
        tally.fail(name, output)


def test_binaries(preset, prefix="unit_"):
    folder = f"build/{preset}/tests"
    return sorted(f"{folder}/{name}" for name in os.listdir(folder) if name.startswith(prefix)
                  and os.access(f"{folder}/{name}", os.X_OK) and os.path.isfile(f"{folder}/{name}"))


def part_lint(tally, _long):
    for check in ("selftest", "text", "format", "headers", "shell", "man"):
        step(tally, f"lint {check}", ["tests/lint/run", check])


def part_unit(tally, _long):
    if build(tally, "debug", ["unit_tests"]):
        for binary in test_binaries("debug"):
            gtest(tally, f"unit {os.path.basename(binary)}", binary)


def part_tsan(tally, _long):
    if build(tally, "tsan", ["unit_dataplane", "unit_io"]):
        for binary in test_binaries("tsan"):
            gtest(tally, f"tsan {os.path.basename(binary)}", binary, "--gtest_filter=*Threads*")


def part_bpf(tally, long):
    if build(tally, "release", ["kernel_tests"]):
        for binary in test_binaries("release", "bpf_"):
            gtest(tally, os.path.basename(binary), binary, environment={"LB_LONG": "1"} if long else None)


def part_truth(tally, _long):
    if build(tally, "release", ["lbctl"]):
        lines(tally, "truth", ["tests/truth/run", "build/release/control/lbctl"])


def part_e2e(tally, long):
    if not build(tally, "release", ["all"]):
        return
    with preparing(LATER if "CI" in os.environ else []):
        lines(tally, "e2e", ["tests/e2e/run", *(["--long"] if long else [])])
        # What the engines have to do alike, once more with the other one.
        lines(tally, "e2e afxdp",
              ["tests/e2e/run", "--engine=afxdp", "traffic.", "packets.", "faults.", "restart.kill", "restart.up"])


def lines(tally, title, command):
    """Runs a program that prints `ok NAME`, `FAIL NAME` with what is wrong below, or `SKIP NAME: reason` for each case."""
    status, output = run(command)
    name, log, failed = None, [], tally.failed
    for line in [*output.splitlines(), "end"]:
        word, _, rest = line.partition(" ")
        if word in ("ok", "FAIL", "SKIP", "end"):
            if name:
                tally.fail(f"{title} {name}", "\n".join(log))
            name, log = None, []
        if word == "ok":
            tally.ok(f"{title} {rest.strip()}")
        elif word == "SKIP":
            tally.skip(f"{title} " + rest.partition(":")[0].strip(), rest.partition(":")[2].strip())
        elif word == "FAIL":
            name = rest.strip()
        elif name:
            log.append(line.removeprefix("     "))
    if status != 0 and tally.failed == failed:
        tally.fail(title, output)


def part_fuzz(tally, long):
    if not build(tally, "fuzz", ["fuzzers", "lbd"]):
        return
    folder = "build/fuzz/tests"
    for name in sorted(n for n in os.listdir(folder) if n.endswith("_fuzz")):
        corpus = f"tests/fuzz/corpus/{name}"
        begin = time.monotonic()
        with tempfile.TemporaryDirectory() as found:
            status, output = run([f"{folder}/{name}", found, corpus, f"-max_total_time={FUZZ_SECONDS[long]}",
                                  "-timeout=30", "-rss_limit_mb=4096", f"-artifact_prefix={folder}/{name}-",
                                  "-print_final_stats=1"],
                                 env={**os.environ, "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1"})
        skipped = [line for line in output.splitlines() if line.startswith("SKIP: ")]
        if status != 0:
            tally.fail(f"fuzz {name}", output)
        elif skipped:
            tally.skip(f"fuzz {name}", skipped[0].removeprefix("SKIP: "))
        else:
            tally.ok(f"fuzz {name}", seconds=time.monotonic() - begin)


def part_tidy(tally, long):
    if build(tally, "release", ["all"]):
        for path, complaints in tidy.check("build/release", long):
            if complaints is None:
                tally.ok(f"tidy {path}")
            else:
                tally.fail(f"tidy {path}", complaints)


def part_package(tally, _long):
    if build(tally, "release", ["all"]):
        step(tally, "package", ["tests/package"])


def part_bench(tally, _long):
    """That every benchmark runs, never how fast."""
    if not build(tally, "release", ["all"]):
        return
    folder = "build/release/tests"
    for name in sorted(n for n in os.listdir(folder) if n.endswith("_bench")):
        short = OWN_BENCHES.get(name, ["--benchmark_min_time=0.001", "--benchmark_repetitions=1"])
        step(tally, f"bench {name}", [f"{folder}/{name}", *short])


# What the parts behind e2e begin with.
LATER = [*(f"cmake --preset {preset} && cmake --build --preset {preset} --target {targets}" for preset, targets in
           (("debug", "unit_tests"), ("fuzz", "fuzzers lbd"), ("tsan", "unit_dataplane unit_io"))),
         "python3 -B tests/tidy.py build/release"]
# In this order: e2e leaves CPU time in which the parts behind it are prepared.
PARTS = {"lint": part_lint, "bpf": part_bpf, "truth": part_truth, "e2e": part_e2e, "unit": part_unit, "tsan": part_tsan,
         "fuzz": part_fuzz, "tidy": part_tidy, "package": part_package, "bench": part_bench}


def main():
    os.chdir(ROOT)
    long = "--long" in sys.argv[1:]
    names = [word for word in sys.argv[1:] if word != "--long"]
    unknown = [name for name in names if name not in PARTS and name != "all"]
    if unknown:
        print(f"tests/run: there is no part {unknown[0]}; there are {', '.join(PARTS)}", file=sys.stderr)
        return 2
    if not names or "all" in names:
        names = list(PARTS)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    tally = Tally()
    try:
        for name in names:
            PARTS[name](tally, long)
    except KeyboardInterrupt:
        print("interrupted")
        tally.failed += 1
    finally:
        tally.last_line()
    return 1 if tally.failed or not tally.passed else 0


sys.exit(main())
