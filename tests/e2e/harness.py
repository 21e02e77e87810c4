# SPDX-License-Identifier: Apache-2.0
"""What the end-to-end tests are written with: @test, expectations, load and packets from a namespace.

A test is a function of a Bed; @test names its topologies, and each topology makes a test of it.
"""
import dataclasses
import hashlib
import json
import signal
import socket
import subprocess
import sys
import threading
from typing import Callable

import bed as testbed
from bed import Bed, Failure, Lbd, wait_for

__all__ = ["Bed", "Failure", "Lbd", "LONG", "Load", "Skip", "expect", "listen_udp", "seed_dr", "serving", "sha256", "sniff", "test",
           "wait_for", "EVERYWHERE"]
LONG = False
TESTS = []
# Every topology, with one queue or two: (topology, arguments, queues).
EVERYWHERE = [("seed-dr", (), 1), ("seed-dr", (), 2), ("two-arm", (), 1), ("two-arm", (), 2), ("ipv6", (), 1),
              ("ipv6", (), 2), ("vlan", (), 1), ("vlan", ("--client-tag",), 2)]


class Skip(Exception):
    """Why a test cannot run here."""


@dataclasses.dataclass
class Test:
    name: str
    function: Callable
    topology: str
    arguments: tuple
    queues: int
    redis: bool


def test(*where, redis=False):
    """Registers a test; `where` are entries as of EVERYWHERE, seed-dr with one queue unless given."""
    def register(function):
        module = function.__module__.removesuffix("_test")
        for topology, arguments, queues in where or [("seed-dr", (), 1)]:
            place = "".join([topology, *arguments, f"-{queues}q"])
            name = f"{module}.{function.__name__}" + (f"[{place}]" if len(where) > 1 else "")
            TESTS.append(Test(name, function, topology, arguments, queues, redis))
        return function
    return register


def run(chosen):
    with Bed(chosen.topology, *chosen.arguments, queues=chosen.queues, redis=chosen.redis) as bed:
        chosen.function(bed)


def expect(good, *what):
    """Fails with the words and values of `what` unless `good`."""
    if not good:
        raise Failure(" ".join(str(word) for word in what) or "expectation failed")


def serving(bed, scheduler="wrr", config=None, **more):
    """An lbd with one web service on all real servers, for a `with` block; waits until it serves."""
    lbd = Lbd(bed, config or bed.config(bed.web(scheduler, **more)))
    enter = lbd.start

    def start():
        enter()
        return lbd.wait_serving()
    lbd.start = start
    return lbd


class Load:
    """The strict load client in the client's namespace for a `with` block; afterwards `summary`."""

    def __init__(self, bed, *arguments):
        self._bed, self._arguments = bed, arguments
        self.events = bed.run / f"load-{id(self)}.events"
        self.summary = None

    def __enter__(self):
        self._child = self._bed.spawn("client", sys.executable, testbed.ROOT / "testbed/load.py", self._bed.vip, "80",
                                      "--events", self.events, *self._arguments, stdout=subprocess.PIPE, text=True)
        wait_for("the first request", 10, lambda: self.events.exists() and self.count() > 0)
        return self

    def count(self):
        """Requests done so far."""
        return self.events.read_bytes().count(b"\n")

    def more(self, requests, seconds=20):
        """Waits until so many more requests are done."""
        aim = self.count() + requests
        wait_for(f"{requests} more requests", seconds, lambda: self.count() >= aim)

    def failures(self, since=0.0):
        """Events of failed requests that began after `since` (time.time())."""
        rows = [line.split(maxsplit=2) for line in self.events.read_text().splitlines()]
        return [row for row in rows if row[2].startswith("!") and float(row[0]) >= since]

    def __exit__(self, kind, *_):
        self._child.send_signal(signal.SIGTERM)
        text = self._child.communicate(timeout=30)[0]
        if kind is None:
            self.summary = json.loads(text)

    def expect_none_failed(self):
        expect(self.summary["failed"] == 0, "requests failed:", self.summary, self.failures()[:5])


def sha256(path):
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def seed_dr(queues):
    return ("seed-dr", (), queues)


def listen_udp(bed, port, echo=True):
    """A UDP server on the VIP in each RS; received[role] gathers (payload, client). It answers with role:size."""
    received = {}
    family = socket.AF_INET6 if bed.v6 else socket.AF_INET
    for n in range(1, 4):
        role = f"rs{n}"
        with bed.inside(role):
            server = socket.socket(family, socket.SOCK_DGRAM)
            server.bind((bed.vip, port))
        received[role] = []
        threading.Thread(target=_udp_server, args=(server, role, received[role], echo), daemon=True).start()
    return received


def _udp_server(server, role, received, echo):
    while True:
        payload, client = server.recvfrom(65535)
        received.append((payload, client))
        if echo:
            server.sendto(f"{role}:{len(payload)}".encode(), client[:2])


class sniff:
    """Frames that reach an interface of a role, for a `with` block: `frames` grows, `await_frame` waits for one."""

    def __init__(self, bed, role, interface="eth0"):
        with bed.inside(role):
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
            self._socket.bind((interface, 0))
        self._socket.settimeout(0.2)
        self._done, self.frames = threading.Event(), []

    def __enter__(self):
        self._thread = threading.Thread(target=self._read)
        self._thread.start()
        return self

    def _read(self):
        while not self._done.is_set():
            try:
                frame, address = self._socket.recvfrom(65535)
            except TimeoutError:
                continue
            if address[2] != socket.PACKET_OUTGOING:
                self.frames.append(frame)

    def await_frame(self, what, good, seconds=5):
        return wait_for(what, seconds, lambda: next((f for f in list(self.frames) if good(f)), None))

    def __exit__(self, *_):
        self._done.set()
        self._thread.join()
        self._socket.close()
