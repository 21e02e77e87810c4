# SPDX-License-Identifier: Apache-2.0
"""Access lists: a denied client reaches no real server, others go on; limits; what survives a restart."""
import signal
import socket
import threading
import time

import harness
from harness import Failure, Lbd, Load, expect, listen_udp, seed_dr, serving, test, wait_for

FAMILIES = [seed_dr(1), seed_dr(2), ("two-arm", (), 1), ("ipv6", (), 1)]


class Stranger:
    """A second address of the client's host, that the lists of these tests are about."""

    def __init__(self, bed):
        self.bed, own = bed, bed.vars["TB_CLIENT_IP"]
        self.address = own.rpartition(":")[0] + ":77" if bed.v6 else own.rpartition(".")[0] + ".77"
        self.network = own.rpartition(":")[0] + ":0/112" if bed.v6 else own.rpartition(".")[0] + ".0/24"
        self.everybody = "::/0" if bed.v6 else "0.0.0.0/0"
        bits = "/64" if bed.v6 else "/24"
        # Deprecated: the host's other connections do not begin from it.
        more = ["nodad", "preferred_lft", "0"] if bed.v6 else []
        bed.sh("client", "ip", "addr", "add", self.address + bits, "dev", "eth0", *more)

    def get(self, seconds=5):
        with self.bed.inside("client"):
            connection = socket.create_connection((self.bed.vip, 80), timeout=seconds,
                                                  source_address=(self.address, 0))
        with connection:
            connection.settimeout(seconds)
            connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
            return connection.recv(4096)

    def expect_denied(self):
        try:
            answer = self.get(0.7)
        except TimeoutError:
            return
        raise Failure(f"a denied client was answered: {answer[:60]!r}")


@test(*FAMILIES)
def a_denied_client_reaches_nobody_and_others_go_on(bed):
    stranger = Stranger(bed)
    with serving(bed, scheduler="mh") as lbd, Load(bed) as load:
        expect(stranger.get(), "served before")
        lbd.ctl("add-acl", bed.service(80), stranger.address, "--deny")
        stranger.expect_denied()
        load.more(50)
        entry = lbd.show("show", "acl", bed.service(80), "--match", stranger.address)["entries"][0]
        expect(entry["dropped"] == entry["packets"] >= 1, entry)
        expect(lbd.total_drops("acl_denied") >= 1, "counted by reason")
        lbd.ctl("del-acl", bed.service(80), stranger.address)
        expect(stranger.get(), "served again")
        load.more(20)
    load.expect_none_failed()


@test(seed_dr(1), ("ipv6", (), 1))
def an_allow_list_shuts_the_others_out(bed):
    stranger = Stranger(bed)
    for scheduler in ("mh", "wrr"):
        with serving(bed, scheduler=scheduler) as lbd:
            lbd.ctl("add-acl", bed.service(80), bed.vars["TB_CLIENT_IP"], "--allow")
            lbd.ctl("add-acl", bed.service(80), stranger.everybody, "--deny")
            stranger.expect_denied()
            expect(bed.get(), "the one who is in the list is served")
            # That was about flows to come; here one lives already.
            with bed.connect(80) as living:
                living.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
                expect(living.recv(4096), "answered")
                lbd.ctl("add-acl", bed.service(80), bed.vars["TB_CLIENT_IP"], "--deny")
                living.settimeout(0.7)
                living.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
                try:
                    answer = living.recv(4096)
                except TimeoutError:
                    answer = None
                expect(answer is None, "a living flow is denied, too:", answer)
            lbd.ctl("del-acl", bed.service(80), "--all")


@test(seed_dr(1), seed_dr(2), ("ipv6", (), 1))
def fragments_and_options_of_a_denied_client_are_dropped(bed):
    stranger = Stranger(bed)
    received = listen_udp(bed, 5353)
    with serving(bed, port=5353, protocol="udp", scheduler="mh") as lbd:
        with bed.inside("client"):
            sender = socket.socket(socket.AF_INET6 if bed.v6 else socket.AF_INET, socket.SOCK_DGRAM)
            if not bed.v6:
                optioned = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
                optioned.setsockopt(socket.IPPROTO_IP, socket.IP_OPTIONS, b"\x01\x01\x01\x01")
                optioned.bind((stranger.address, 0))
        sender.bind((stranger.address, 0))

        def all_received():
            return [datagram for role in received.values() for datagram in role]
        sender.sendto(b"x" * 4000, (bed.vip, 5353))
        wait_for("a fragmented datagram", 5, lambda: any(len(payload) == 4000 for payload, _ in all_received()))
        lbd.ctl("add-acl", bed.service(5353, "udp"), stranger.network, "--deny")
        for role in received.values():
            role.clear()
        for _ in range(5):
            sender.sendto(b"x" * 4000, (bed.vip, 5353))
            if not bed.v6:
                optioned.sendto(b"x" * 10, (bed.vip, 5353))
                optioned.sendto(b"x" * 4000, (bed.vip, 5353))
        wait_for("later fragments to be given up", 10, lambda: lbd.total_drops("fragment_timeout") > 0)
        expect(lbd.total_drops("acl_denied") >= (5 if bed.v6 else 15), lbd.total_drops("acl_denied"))
        expect(not all_received(), "nothing reaches a real server:", len(all_received()))


@test(seed_dr(1))
def a_limit_holds_a_prefix_to_its_rate(bed):
    received = listen_udp(bed, 5353, echo=False)
    with serving(bed, port=5353, protocol="udp", scheduler="mh") as lbd:
        lbd.ctl("add-acl", bed.service(5353, "udp"), "0.0.0.0/0", "--limit", "200", "--burst", "20")
        with bed.inside("client"):
            sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        begin = time.monotonic()
        sent, pace = 0, threading.Event()
        while time.monotonic() < begin + 1.5:
            for _ in range(20):
                sender.sendto(b"x", (bed.vip, 5353))
                sent += 1
            pace.wait(0.001)
        most = 20 + 200 * (time.monotonic() - begin) + 1

        def count():
            return sum(len(role) for role in received.values())
        entry = lbd.show("show", "acl")["entries"][0]
        wait_for("what has passed", 5, lambda: count() >= entry["passed"])
        expect(entry["packets"] == sent, entry, sent)
        expect(entry["passed"] + entry["dropped"] == sent, entry)
        expect(200 <= count() <= most, count(), "of at most", most, "sent", sent)
        expect(lbd.total_drops("rate_limited") == entry["dropped"], entry)


@test(seed_dr(1))
def a_restart_keeps_the_lists_and_a_changed_file_wins(bed):
    stranger = Stranger(bed)
    config = bed.config(bed.web("mh"))
    lbd = Lbd(bed, config)
    lbd.start().wait_serving()
    lbd.ctl("add-acl", bed.service(80), stranger.address, "--deny")
    lbd.ctl("add-acl", bed.service(80), "10.0.0.0/8", "--limit", "10")
    lbd.stop(signal.SIGKILL)
    lbd.start().wait_serving()
    stranger.expect_denied()
    expect(bed.get(), "others are served")
    rows = [(e["prefix"], e["action"]) for e in lbd.show("show", "acl")["entries"]]
    expect(rows == [("10.0.0.0/8", "limit"), (stranger.address + "/32", "deny")], rows)
    saved = lbd.ctl("save").stdout
    expect(f'{{ prefix = "{stranger.address}/32", action = "deny" }}' in saved, saved)
    log = lbd.configure(bed.config(bed.web("mh", more='acl = [{ prefix = "10.0.0.0/8", action = "deny" }]')))
    expect(f"access list of {bed.service(80)}" in log, log)
    expect(stranger.get(), "the file's list is in force")
    expect(lbd.stop() == 0, lbd.log())


@test(seed_dr(1))
def a_long_list_comes_and_goes_under_load(bed):
    """A million entries with --long: no check fails meanwhile, no request is lost."""
    stranger, entries = Stranger(bed), 1_000_000 if harness.LONG else 30_000
    listed = bed.run / "list"
    with listed.open("w") as file:
        for n in range(entries):
            file.write(f"{n >> 16 | 16}.{n >> 8 & 255}.{n & 255}.0\n")
        file.write(stranger.address + "\n")
    with serving(bed, scheduler="mh") as lbd, Load(bed) as load:
        lbd.ctl("add-acl", bed.service(80), "--deny", "--file", listed, seconds=300)
        expect(lbd.show("show", "acl")["acl_entries"] == entries + 1, "all are there")
        stranger.expect_denied()
        load.more(20)
        lbd.ctl("del-acl", bed.service(80), "--all")
        expect(stranger.get(), "served again")
        load.more(20)
        expect("down" not in lbd.log().lower().replace("link down", ""), lbd.log())
    load.expect_none_failed()
