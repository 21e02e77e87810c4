# SPDX-License-Identifier: Apache-2.0
"""The demo proper, on a finished build; called by testbed/demo, which see for its arguments.

Each step tells what it does, does it with the commands an operator would use, and judges the result. A request that
fails makes the exit status 1, but for those between the death of a real server and its detection.
"""
import argparse
import json
import os
import signal
import subprocess
import sys
import time

import bed as testbed

SERVICE = "192.168.1.222:80/tcp"
BOLD, GREEN, RED, PLAIN = ("\033[1m", "\033[32m", "\033[31m", "\033[0m") if (
    sys.stdout.isatty() and "NO_COLOR" not in os.environ) else ("", "", "", "")


def step(text):
    print(f"\n{BOLD}{text}{PLAIN}", flush=True)


def told(lbd, *argv):
    """Runs lbctl and shows the command and what it said."""
    print(f"$ lbctl {' '.join(argv)}")
    print(lbd.ctl(*argv).stdout.rstrip(), flush=True)


class Traffic:
    """The load client in the client's namespace, with its events on file."""

    def __init__(self, bed, name, *arguments):
        self.bed, self.events = bed, bed.run / f"{name}.events"
        self.child = bed.spawn("client", sys.executable, testbed.ROOT / "testbed/load.py", bed.vip, "80",
                               "--events", self.events, *arguments, stdout=subprocess.PIPE, text=True)
        testbed.wait_for("the first request", 5, lambda: self.events.exists() and self.events.stat().st_size)

    def finish(self, stop=True):
        if stop:
            self.child.send_signal(signal.SIGTERM)
        return json.loads(self.child.communicate(timeout=60)[0])

    def failures(self):
        """(start, error) of each failed request."""
        rows = [line.split(maxsplit=2) for line in self.events.read_text().splitlines()]
        return [(float(start), answer[1:]) for start, _, answer in rows if answer.startswith("!")]

    def served_since(self, since):
        rows = [line.split(maxsplit=2) for line in self.events.read_text().splitlines()]
        return sum(float(start) >= since and not answer.startswith("!") for start, _, answer in rows)


def print_answers(summary):
    for name, count in summary["answers"].items():
        print(f"  {name}  {count:6}  {'#' * (40 * count // max(1, summary['requests']))}")
    print(f"  {summary['requests']} requests, {summary['failed']} failed, slowest {summary['slowest_ms']} ms", flush=True)


def spread(bed):
    step("300 requests to the VIP: who answers?")
    summary = Traffic(bed, "spread", "--requests", "300").finish(stop=False)
    print_answers(summary)
    return summary["requests"], summary["failed"]


def drain(bed, lbd):
    step("Draining rs1 under load: its connections end by themselves, new ones go elsewhere")
    print("(A closed connection is remembered for fin_wait, 2 s here and 2 minutes by default, and then rs1 may go.)")
    traffic = Traffic(bed, "drain", "--per-connection", "10", "--clients", "16")
    told(lbd, "drain-rs", SERVICE, "192.168.1.54", "--timeout", "1m", "--wait")
    gone = time.time()
    testbed.wait_for("requests after the drain", 10, lambda: traffic.served_since(gone) > 200)
    summary = traffic.finish()
    print_answers(summary)
    return summary["requests"], summary["failed"]


def death(bed, lbd):
    step("Killing the nginx of rs3 under load: the health check notices, the rest goes on")
    traffic = Traffic(bed, "death")
    killed = time.time()
    bed.kill_nginx("rs3")
    testbed.wait_for("rs3 to be seen as down", 30, lambda: lbd.real_server("192.168.1.56")["health"] == "down")
    noticed = time.time()
    testbed.wait_for("requests after the death", 10, lambda: traffic.served_since(noticed) > 300)
    summary = traffic.finish()
    print_answers(summary)
    before = [error for start, error in traffic.failures() if killed - 1 <= start < noticed]
    others = len(traffic.failures()) - len(before)
    print(f"  noticed after {noticed - killed:.2f} s; {len(before)} failed until then, {others} after it")
    return summary["requests"], others, len(before)


def hold(bed, lbd):
    client = f"nsenter --net={bed.ns('client')} --"
    step("It all stays up (--keep). In another terminal, as root:")
    print(f"  {client} curl http://{bed.vip}/\n"
          f"  {testbed.BUILD}/control/lbctl --socket {lbd.socket} show rs\n"
          f"  {testbed.BUILD}/control/lbctl --socket {lbd.socket} stats --watch\n"
          f"  nsenter --net={bed.ns('dir')} -- ip addr\n"
          f"The log of lbd is {lbd.log_file}. Enter or Ctrl-C ends it and removes everything.", flush=True)
    sys.stdin.readline()


def show(bed, keep):
    """(requests, failed, failed before the death was noticed)"""
    step("Starting lbd on the director 192.168.1.129, with no service yet")
    with testbed.Lbd(bed, bed.config()) as lbd:
        told(lbd, "show", "ports")
        step("Adding the virtual IP and its three real servers")
        told(lbd, "add-vip", SERVICE, "--scheduler", "wrr", "--name", "web", "--health-interval", "200ms",
             "--health-timeout", "200ms", "--timeout", "fin_wait=2s")
        for address in bed.rs:
            told(lbd, "add-rs", SERVICE, address)
        lbd.wait_serving()
        counts = [spread(bed), drain(bed, lbd), death(bed, lbd)]
        step("What lbctl shows of it")
        for words in (("show", "vips"), ("show", "rs"), ("stats",), ("show", "drops")):
            told(lbd, *words)
        if keep:
            hold(bed, lbd)
    return sum(c[0] for c in counts), sum(c[1] for c in counts), counts[2][2]


def main():
    parser = argparse.ArgumentParser(prog="testbed/demo")
    parser.add_argument("--keep", action="store_true")
    parser.add_argument("--queues", type=int, choices=(1, 2), default=1)
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    step("Building the network: a client, a director and three real servers with nginx, in namespaces of their own")
    try:
        with testbed.Bed("seed-dr", queues=options.queues) as bed:
            requests, failed, unnoticed = show(bed, options.keep)
    except testbed.Failure as failure:
        print(f"{RED}testbed/demo: {failure}{PLAIN}")
        return 1
    except KeyboardInterrupt:
        return 130
    print()
    if unnoticed:
        print(f"{unnoticed} more requests met the killed nginx before the health check noticed.")
    if failed:
        print(f"{RED}{requests - unnoticed} requests served, {failed} failed.{PLAIN}")
        return 1
    print(f"{GREEN}{requests - unnoticed} requests served by three real servers through 192.168.1.222, none failed.{PLAIN}")
    return 0


sys.exit(main())
