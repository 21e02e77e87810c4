# SPDX-License-Identifier: Apache-2.0
"""`observe leak --lbd`: the daemon does not grow under what the other tests do to it; a leak put into it is found."""
import json
import signal
import subprocess

import bed as testbed
from harness import Failure, Lbd, Load, expect, seed_dr, serving, test, wait_for

LEAK_SECONDS = 10  # within which a leak has to be found
TABLES_KEPT = 64  # of those that nobody uses, in case they come back (control/shared_tables.h)


def observe(lbd, *arguments):
    """Starts lbctl observe on this lbd; its output is read from the process."""
    command = [testbed.BUILD / "control/lbctl", "--socket", lbd.socket, "observe", *arguments]
    return subprocess.Popen([str(word) for word in command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True)


def ended(child, seconds):
    """(status, output, errors) of a child that is to end by itself."""
    try:
        out, err = child.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        child.kill()
        out, err = child.communicate()
        raise Failure(f"lbctl observe was not done after {seconds} s: {out}{err}") from None
    return child.returncode, out, err


def functions(report, row):
    frames = report["stacks"][row["stack"]]["frames"] if row.get("stack") is not None else []
    return [place["function"] for frame in frames for place in report["frames"][frame].get("places", [])]


def leaked(report):
    """Bytes outstanding whose stack has the leaking function; and those stacks."""
    rows = [row for row in report["rows"] if any("forget_a_buffer" in name for name in functions(report, row))]
    return sum(value(row, "bytes") for row in rows), [functions(report, row) for row in rows]


def value(row, measure):
    found = row["values"][measure]
    return found["value"] if isinstance(found, dict) else found


def one_round(bed, lbd):
    """What operators and the other tests do: changes, queries, reloads, a real server that goes and comes."""
    service = bed.service(81)
    lbd.ctl("add-vip", service, "--scheduler", "mh")
    lbd.ctl("add-rs", service, bed.rs[0])
    for words in (["show", "vips"], ["show", "rs"], ["show", "flows"], ["show", "drops"], ["stats"], ["show", "bpf"]):
        lbd.ctl(*words)
    lbd.ctl("del-vip", service)
    lbd.ctl("set-rs", bed.service(80), bed.rs[1], "--state", "down")
    lbd.ctl("set-rs", bed.service(80), bed.rs[1], "--state", "auto")
    lbd.ctl("reload")


@test(seed_dr(1), seed_dr(2))
def lbd_does_not_grow(bed):
    rounds = 4
    with serving(bed) as lbd, Load(bed, "--clients", "4") as load:
        one_round(bed, lbd)  # what is made once is there
        output = bed.run / "leak.jsonl"
        tracer = observe(lbd, "leak", "--lbd", "--interval", "1s", "-o", "jsonl", "--since-mark", "--output", output)
        wait_for("a first report", 30, lambda: output.exists() and b"\n" in output.read_bytes())
        one_round(bed, lbd)
        tracer.send_signal(signal.SIGUSR1)
        while not (line := tracer.stderr.readline()).startswith("marked"):
            expect(line, "lbctl observe has ended")
        for _ in range(rounds):
            one_round(bed, lbd)
            load.more(50)
        tracer.send_signal(signal.SIGINT)
        status, _, err = ended(tracer, 60)
    # A flow whose real server is set down is reset: that is no failure here.
    expect(load.summary["failed"] <= 2 * rounds, "requests failed:", load.summary)
    expect(status == 0, "observe leak:", status, err)
    report = json.loads(output.read_text().splitlines()[-1])
    figures = {figure["name"]: figure for figure in report["figures"]}
    expect(report["honesty"]["lost"] == 0 and report["honesty"]["events"] > 1000, report["honesty"])
    # Of each stack, what the rounds left: a leak of one block a round would be as many.
    grown = []
    for row in report["rows"]:
        names = functions(report, row)
        allowed = TABLES_KEPT if any("lb::TableKeeper::" in name for name in names) else rounds
        if row["labels"]["kind"] == "heap" and value(row, "blocks") >= allowed:
            grown.append((value(row, "blocks"), value(row, "bytes"), names))
    expect(not grown, "grew since the mark:", figures["leak"], grown[:3])


@test()
def a_leak_put_into_lbd_is_found(bed):
    config = bed.config(bed.web("wrr"))
    with Lbd(bed, config, program=testbed.BUILD / "tests/lbd_leaking") as lbd:
        lbd.wait_serving()
        tracer = observe(lbd, "leak", "--lbd", "--interval", "1s", "-o", "jsonl", "--duration", "60s")
        calls, seen, first_s = 0, [], None
        while len(seen) < 3:  # ends with the output
            line = tracer.stdout.readline()
            expect(line, "lbctl observe has ended:", seen)
            report = json.loads(line)
            seen += [found for found in [leaked(report)] if found[0] > 0]
            if seen and first_s is None:
                first_s = report["at_s"]
            for _ in range(10):
                lbd.api("GET", "/v1/version")
                calls += 1
        tracer.send_signal(signal.SIGINT)
        status, _, err = ended(tracer, 60)
    expect(status == 0, "observe leak:", status, err)
    expect(first_s < LEAK_SECONDS, "found after", first_s, "s")  # by the clock of the snapshots
    sizes = [size for size, _ in seen]
    expect(sizes == sorted(sizes) and sizes[-1] > sizes[0] and all(size % 4096 == 0 for size in sizes), "it grows:", sizes)
    expect(sizes[-1] <= 4096 * (calls + 100), "no more than was leaked:", sizes, calls)
    stack = [name[:80] for name in seen[-1][1][0]]
    expect("forget_a_buffer" in stack[0] and any("Director::Impl::on_request" in name for name in stack)
           and stack[-1] == "_start", "its stack:", stack)
