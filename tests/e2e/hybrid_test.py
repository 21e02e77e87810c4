# SPDX-License-Identifier: Apache-2.0
"""The hybrid engine: what stays in the kernel, and connections that live through changes of real servers."""
import random
import socket
import threading

from harness import Load, expect, seed_dr, serving, test, wait_for


def forwarded(lbd):
    """(packets that XDP forwarded, packets that went to workers) over all ports."""
    ports = lbd.show("show", "ports")["ports"]
    return (sum(p["sent"] + p["forwarded"] for p in ports), sum(p["handed"] for p in ports))


def flows(lbd):
    return sum(w["flows4"] + w["flows6"] for w in lbd.show("show", "workers")["workers"])


def quick(bed):
    """A config whose slots are open for two seconds after each change."""
    web = bed.web("mh", more='transition = "2s"')
    return bed.config(web.replace("[service.timeouts]\n", '[service.timeouts]\nestablished = "2s"\n'))


@test(seed_dr(1), seed_dr(2), ("two-arm", (), 1), ("ipv6", (), 1))
def steady_hashed_services_stay_in_the_kernel(bed):
    with serving(bed, config=quick(bed)) as lbd:
        def steady():
            slots = lbd.show("show", "slots", bed.service(80))
            return slots["open_slots"] == 0 and slots["exception_slots"] == 0
        wait_for("the slots to be steady after the start", 30, steady)
        wait_for("the flows of the start to be forgotten", 30, lambda: flows(lbd) == 0)
        before, handed = forwarded(lbd)
        with Load(bed) as load:
            load.more(300)
        load.expect_none_failed()
        after, handed_after = forwarded(lbd)
        expect(after - before > 1000, "XDP forwards:", before, after)
        expect(handed_after == handed, "nothing goes to a worker:", handed, handed_after)
        expect(flows(lbd) == 0, "nothing is remembered")


class Connections:
    """Keep-alive connections that ask, each its own server, until told to stop."""

    def __init__(self, bed, count):
        self.broken, self.answers, self._stop = [], 0, threading.Event()
        self._connections = [bed.connect(80) for _ in range(count)]
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        names = {}
        while not self._stop.is_set():
            for n, connection in enumerate(self._connections):
                try:
                    connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
                    name = connection.recv(4096).rpartition(b"\r\n")[2].decode().strip()
                except OSError as error:
                    self.broken.append((n, repr(error)))
                    return
                if names.setdefault(n, name) != name or not name:
                    self.broken.append((n, f"{names[n]} became {name!r}"))
                    return
                self.answers += 1

    def stop(self):
        self._stop.set()
        self._thread.join(10)
        for connection in self._connections:
            connection.close()


@test(seed_dr(1), seed_dr(2), ("two-arm", (), 1), ("ipv6", (), 1))
def connections_live_through_changes_of_real_servers(bed):
    """Re-weights, drains that are taken back, servers that leave new flows: no living connection notices."""
    chance = random.Random(7)
    with serving(bed, scheduler="mh") as lbd:
        living = Connections(bed, 60)
        try:
            for _ in range(25):
                rs = chance.choice(bed.rs)
                weight = chance.choice(["0", "1", "5", "50"])
                lbd.ctl("set-rs", bed.service(80), rs, "--weight", weight)
                seen = living.answers
                wait_for("answers", 10, lambda: living.broken or living.answers > seen + 60)
                expect(not living.broken, living.broken, lbd.show("show", "slots", bed.service(80)))
        finally:
            living.stop()
        expect(living.answers > 1500, living.answers)


def endpoint(address, port):
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def ask(connection):
    """Which real server answers on a connection."""
    connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    return connection.recv(4096).rpartition(b"\r\n")[2].decode().strip()


@test(seed_dr(1), ("two-arm", (), 1), ("ipv6", (), 1))
def explain_says_where_packets_go(bed):
    """What explain says of a SYN comes true with the connection, and of a later segment it says the same."""
    service = bed.service(80)
    with serving(bed, scheduler="mh") as lbd:
        flows_before = flows(lbd)
        names = {}
        for _ in range(12):
            with bed.inside("client"), socket.socket(socket.AF_INET6 if bed.v6 else socket.AF_INET) as connection:
                connection.settimeout(5)
                connection.bind(("", 0))
                port = connection.getsockname()[1]
                client = endpoint(bed.vars["TB_CLIENT_IP"], port)
                said = lbd.show("explain", client, service)
                expect(said["verdict"] == "forward" and said["real_server"] in bed.rs, said)
                expect(said["decided_by"] == "worker" or said["slot"]["state"] == "steady", said)
                connection.connect((bed.vip, 80))
                later = lbd.show("explain", client, service, "--flags", "ack")
                expect(later["real_server"] == said["real_server"], said, later)
                name = ask(connection)
                expect(names.setdefault(said["real_server"], name) == name, names, name, said)
        expect(len(set(names.values())) == len(names) > 1, names)
        expect(flows(lbd) <= flows_before + 12, "explain makes no flows")
        for rs in bed.rs:
            lbd.ctl("set-rs", service, rs, "--state", "down")
        client = endpoint(bed.vars["TB_CLIENT_IP"], 40000)
        dropped = lbd.ctl("explain", client, service, check=False)
        expect(dropped.returncode == 4 and "no_backend" in dropped.stdout, dropped.stdout, dropped.stderr)
        unmatched = lbd.ctl("explain", client, bed.service(81), check=False)
        expect(unmatched.returncode == 4 and "vip_unmatched" in unmatched.stdout, unmatched.stdout, unmatched.stderr)
