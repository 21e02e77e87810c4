# SPDX-License-Identifier: Apache-2.0
"""Ten thousand services: what they take, that they forward, and that they still do after changes and a restart."""
import signal
import socket

import bed as testbed
from harness import Lbd, expect, listen_udp, seed_dr, test, wait_for

FIRST, COUNT = 10000, 10000
LIMITS = f"services_max = {COUNT}\nrs_max = {3 * COUNT}"


def services(bed, weight=1, members=3):
    """UDP services on COUNT ports of one VIP, each with the same real servers."""
    members = "".join(f'[[service.real_server]]\naddress = "{address}"\nweight = {weight if n == 0 else 1}\n'
                      for n, address in enumerate(bed.rs[:members]))
    return "".join(f'[[service]]\naddress = "{bed.service(port, "udp")}"\nscheduler = "mh"\n'
                   f'[service.health]\ntype = "none"\n{members}' for port in range(FIRST, FIRST + COUNT))


def tables(bed):
    """Inner maps that lbd keeps: the tables and the index."""
    return len(list((bed.run / "bpf/lbd").glob("object_*"))) - 1


def asked(bed, port):
    """Who answers a datagram."""
    with bed.inside("client"):
        client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with client:
        client.settimeout(0.5)
        for _ in range(10):
            client.sendto(b"x", (bed.vip, port))
            try:
                return client.recv(64)
            except TimeoutError:
                continue
    return None


@test(seed_dr(1))
def ten_thousand_services_share_their_tables(bed):
    config = bed.config(services(bed), dataplane=LIMITS)
    ports = (FIRST, FIRST + COUNT // 2, FIRST + COUNT - 1)
    for port in ports:
        listen_udp(bed, port)
    with Lbd(bed, config) as lbd:
        check = bed.sh("dir", testbed.BUILD / "control/lbd", "--config", lbd.file, "--check").stdout
        expect("1 table of lookup arrays for 10000 services" in check, check)
        lbd.wait_serving(seconds=60)
        expect(tables(bed) == 1, tables(bed), "tables")
        for port in ports:
            expect(asked(bed, port), "nobody answers on port", port)

        one = bed.service(FIRST, "udp")
        lbd.ctl("set-rs", one, bed.rs[0], "--weight", "3")
        expect(tables(bed) == 2, tables(bed), "tables after a change of one service")
        expect("unchanged" not in lbd.configure(bed.config(services(bed, weight=2), dataplane=LIMITS)), lbd.log())
        wait_for("the others to change together", 30, lambda: tables(bed) <= 3)
        for port in ports:
            expect(asked(bed, port), "nobody answers on port", port)

        # A member less in each: a list and a key of the kernel's for each that change.
        lbd.configure(bed.config(services(bed, members=2), dataplane=LIMITS))
        wait_for("the others to change together", 30, lambda: tables(bed) <= 3)
        lbd.configure(bed.config(services(bed), dataplane=LIMITS))
        wait_for("the others to change together", 30, lambda: tables(bed) <= 3)

        lbd.process.send_signal(signal.SIGKILL)
        lbd.process.wait()
        expect(asked(bed, FIRST + 7) is None and asked(bed, ports[1]), "forwarded without lbd")
        lbd.spawn()
        wait_for("the next lbd", 60, lbd._settled)
        lbd.wait_serving(seconds=60)
        expect("taken over" in lbd.log(), lbd.log())
        expect(tables(bed) <= 3, tables(bed), "tables after a restart")
        for port in ports:
            expect(asked(bed, port), "nobody answers on port", port)
