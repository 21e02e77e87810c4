# SPDX-License-Identifier: Apache-2.0
"""The promise: a living connection whose real server lives stays on it, through churn and floods of SYNs.

Short here, long with --long: 10,000 connections for three minutes.
"""
import json
import random
import subprocess
import threading
import time

import bed as testbed
from harness import LONG, expect, serving, test, wait_for


class Living:
    """Keep-alive connections, each of which asks again and again for its real server."""

    def __init__(self, bed, count, seconds=10):
        self._lock, self._stop = threading.Lock(), threading.Event()
        self.broken, self.excused, self.rounds = [], set(), 0
        self._connections = []
        for _ in range(count):
            connection = bed.connect(80, seconds=seconds)
            self._connections.append([connection, self._ask(connection)])
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    @staticmethod
    def _ask(connection):
        connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        return connection.recv(4096).rpartition(b"\r\n")[2].decode().strip()

    def excuse(self, name):
        """This real server is taken away: what it had may break."""
        with self._lock:
            self.excused.add(name)

    def _run(self):
        while not self._stop.is_set() and not self.broken:
            for entry in self._connections:
                if self._stop.is_set():
                    return
                if entry[1] in self.excused:
                    continue
                try:
                    name = self._ask(entry[0])
                except OSError as error:
                    name = repr(error)
                with self._lock:
                    if name != entry[1] and entry[1] not in self.excused:
                        self.broken.append((entry[1], name))
            self.rounds += 1

    def round(self, seconds):
        """Waits until every connection has been asked once more, from now on."""
        aim = self.rounds + 2
        wait_for("all connections to be asked", seconds, lambda: self.broken or self.rounds >= aim)
        expect(not self.broken, "broken:", self.broken[:5])

    def count(self, name=None):
        return sum(1 for _, rs in self._connections if rs == name) if name else len(self._connections)

    def stop(self):
        self._stop.set()
        self._thread.join(30)
        for connection, _ in self._connections:
            connection.close()


@test(("seed-dr", (), 1), ("two-arm", (), 2))
def nothing_breaks_by_churn_but_what_lost_its_server(bed):
    chance = random.Random(11)
    with serving(bed, scheduler="mh") as lbd:
        living = Living(bed, 10_000 if LONG else 300)
        service, last = bed.service(80), bed.rs[2]
        try:
            expect(living.count("rs1") and living.count("rs2") and living.count("rs3"), "all have some")
            end, changes = time.monotonic() + (180 if LONG else 12), 0

            def lose():
                living.excuse("rs3")
                lbd.ctl(*chance.choice([("del-rs", service, last), ("set-rs", service, last, "--state", "down")]),
                        check=False)

            def back():
                lbd.ctl("add-rs", service, last, check=False)
                lbd.ctl("set-rs", service, last, "--state", "up", "--weight", chance.randint(1, 9))

            def reweight():
                lbd.ctl("set-rs", service, chance.choice(bed.rs[:2]), "--weight", chance.choice([1, 3, 20, 100]))

            def drain():
                rs = chance.choice(bed.rs[:2])
                lbd.ctl("drain-rs", service, rs, "--timeout", "1h")
                lbd.ctl("set-rs", service, rs, "--weight", 1)

            while time.monotonic() < end and not living.broken:
                chance.choice([lose, back, reweight, reweight, drain])()
                changes += 1
            living.round(60)
            expect(changes > (200 if LONG else 20), changes)
        finally:
            living.stop()


def flood(bed, milliseconds):
    """SYNs from ever new sources to the VIP at the full rate of the generator; what it offered."""
    return subprocess.Popen(
        bed.command("client", testbed.BUILD / "testbed/bench.d/bench-load", "--out", "eth0", "--sink", "flood0",
                    "--dst-mac", bed.vars["TB_MAC_DIR"], "--dst-ip", bed.vip, "--src-ip", "10.1.0.1", "--proto", "tcp",
                    "--flows", "0", "--ms", str(milliseconds)), stdout=subprocess.PIPE, text=True)


@test(("seed-dr", (), 1))
def nothing_breaks_by_a_flood_of_syns(bed):
    bed.sh("client", "ip", "link", "add", "flood0", "type", "veth", "peer", "name", "flood1")
    for name in ("flood0", "flood1"):
        bed.sh("client", "ip", "link", "set", "dev", name, "up")
    bed.vars["TB_MAC_DIR"] = json.loads(bed.sh("dir", "ip", "-j", "link", "show", "dev", "eth0").stdout)[0]["address"]
    with serving(bed, config=bed.config(bed.web("mh", interval="5s"))) as lbd:
        living = Living(bed, 1000, seconds=60)

        def memory():
            with open(f"/proc/{lbd.process.pid}/status", encoding="ascii") as status:
                return next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))

        try:
            living.round(60)
            before = memory()
            for moment in ("steady", "transition"):
                if moment == "transition":
                    lbd.ctl("set-rs", bed.service(80), bed.rs[0], "--weight", 7)
                    slots = lbd.show("show", "slots", bed.service(80))
                    expect(slots["open_slots"] > 0, slots)
                generator = flood(bed, 30_000 if LONG else 2_000)
                said = json.loads(generator.communicate(timeout=90)[0])
                expect(said["sent"] > 100_000, said)
                living.round(120)
                expect(not living.broken, moment, living.broken[:5])
            workers = lbd.show("show", "workers")["workers"]
            known = sum(w["flows4"] for w in workers)
            expect(known <= 65_536, "the memory of flows is bounded:", known)
            expect(memory() < before + 16 * 1024, "the memory of lbd stays:", before, memory())
        finally:
            living.stop()
