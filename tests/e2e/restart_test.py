# SPDX-License-Identifier: Apache-2.0
"""lbd killed, stopped, upgraded: what it has pinned goes on to forward, and the next lbd takes it over."""
import json
import os
import signal

import bed as testbed
from harness import Failure, Load, expect, seed_dr, serving, test

TWICE = (seed_dr(1), seed_dr(2), ("two-arm", (), 1), ("ipv6", (), 1))


def ask(connection, seconds=5):
    """A request on a connection that stays open; which real server answers."""
    connection.settimeout(seconds)
    connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    reply = connection.recv(4096)
    expect(reply.startswith(b"HTTP/1.1 200"), "an answer:", reply[:60])
    return reply.rsplit(b"\r\n", 1)[-1].strip()


def program_of(bed, port):
    link = json.loads(bed.sh("dir", "ip", "-j", "-d", "link", "show", "dev", port).stdout)[0]
    return link.get("xdp", {}).get("prog", {}).get("id")


def kills_and_starts(bed, scheduler):
    lbd = serving(bed, scheduler=scheduler).start()
    try:
        held = [bed.connect(80) for _ in range(30)]
        at_first = [ask(connection) for connection in held]
        expect(len(set(at_first)) == 3, "on all real servers:", at_first)
        program = program_of(bed, bed.ports()[0])
        lbd.stop(signal.SIGKILL)
        expect(program_of(bed, bed.ports()[0]) == program, "the program goes on")
        expect([ask(connection) for connection in held] == at_first, "while no lbd lives")
        for _ in range(10):
            bed.get()  # new ones as well
        lbd.start()
        expect("taken over from the lbd before" in lbd.log(), lbd.log())
        expect(program_of(bed, bed.ports()[0]) != program, "the new program runs")
        lbd.wait_serving()
        expect([ask(connection) for connection in held] == at_first, "and with the next one")
        open_slots = lbd.show("show", "slots", bed.service(80)).get("open_slots", 0)
        expect(open_slots == 0, "nothing has changed hands:", open_slots)
    finally:
        lbd.stop()


@test(*TWICE)
def kill_loses_no_flow_of_a_hashed_service(bed):
    kills_and_starts(bed, "mh")


@test(*TWICE)
def kill_loses_no_flow_of_a_stateful_service(bed):
    kills_and_starts(bed, "wlc")


@test(seed_dr(1), ("two-arm", (), 1))
def upgrades_under_load_lose_nothing(bed):
    config = bed.config(bed.web(), dataplane='stop_mode = "keep"\n')
    lbd = serving(bed, config=config).start()
    try:
        held = [bed.connect(80) for _ in range(12)]
        at_first = [ask(connection) for connection in held]
        with Load(bed) as load:
            for _ in range(3):
                load.more(30)
                lbd.stop()
                expect(bed.vip in bed.sh("dir", "ip", "addr").stdout, "the VIP stays")
                load.more(30)
                lbd.start()
            load.more(30)
        load.expect_none_failed()
        expect([ask(connection) for connection in held] == at_first, "each on its real server")
    finally:
        lbd.stop()
        reset(bed, lbd)


@test()
def real_servers_that_changed_meanwhile_open_their_slots(bed):
    lbd = serving(bed, scheduler="mh").start()
    try:
        held = [bed.connect(80) for _ in range(30)]
        at_first = [ask(connection) for connection in held]
        lbd.stop(signal.SIGKILL)
        lbd.file.write_text(bed.config(bed.web("mh", weights=(1, 1, 5))))
        lbd.start()
        slots = lbd.show("show", "slots", bed.service(80))
        expect(slots["open_slots"] > 0, "a transition from what was there:", slots)
        expect([ask(connection) for connection in held] == at_first, "each on its real server")
    finally:
        lbd.stop()


@test()
def what_a_clean_stop_leaves(bed):
    port = bed.ports()[0]
    for mode, program, vip, serves in (("keep", True, True, True), ("pass", True, False, False),
                                       ("detach", False, False, False)):
        with serving(bed, config=bed.config(bed.web(), dataplane=f'stop_mode = "{mode}"\n')) as lbd:
            expect(bed.get().startswith("rs"))
        expect((program_of(bed, port) is not None) == program, mode, "the program")
        expect((bed.vip in bed.sh("dir", "ip", "addr").stdout) == vip, mode, "the VIP")
        expect((bed.run / "bpf/lbd").exists() == program, mode, "the pins")
        try:
            answer = bed.get(seconds=1)
        except (OSError, Failure):
            answer = None
        expect((answer is not None) == serves, mode, "serves:", answer)
    said = reset(bed, lbd)
    expect("nothing of lbd" in said, said)


@test()
def reset_ends_what_was_kept(bed):
    with serving(bed, config=bed.config(bed.web(), dataplane='stop_mode = "keep"\n')) as lbd:
        said = reset(bed, lbd, check=False)
        expect("lbd lives" in said, said)
    said = reset(bed, lbd, "--leave-forwarding")
    expect("goes on to forward" in said, said)
    expect(bed.get().startswith("rs"), "it does")
    reset(bed, lbd)
    expect(program_of(bed, bed.ports()[0]) is None and bed.vip not in bed.sh("dir", "ip", "addr").stdout)
    expect(not (bed.run / "bpf/lbd").exists(), "the pins are gone")


@test()
def pins_that_do_not_fit_are_made_anew_without_a_gap(bed):
    config = bed.config(bed.web("mh"), dataplane='stop_mode = "keep"\n')
    lbd = serving(bed, config=config).start()
    try:
        held = [bed.connect(80) for _ in range(12)]
        at_first = [ask(connection) for connection in held]
        with Load(bed) as load:
            load.more(30)
            for change, reason in ((lambda text: text.replace("flows_max = 65536", "flows_max = 131072"), "flow buckets"),
                                   (lambda text: text, "another hash key")):
                lbd.stop()
                lbd.file.write_text(change(lbd.file.read_text()))
                if reason == "another hash key":
                    keys = json.loads((bed.run / "state.json").read_text())
                    os.remove(bed.run / "state.json")
                    expect(keys, "there was a state")
                lbd.start()
                expect(reason in lbd.log(), lbd.log())
                load.more(30)
                if reason == "flow buckets":
                    expect([ask(connection) for connection in held] == at_first, "by their hash")
        load.expect_none_failed()
    finally:
        lbd.stop()
        reset(bed, lbd)


@test()
def without_a_bpffs_nothing_outlives_and_lbd_says_so(bed):
    nowhere = f'pins = "{bed.run}/nowhere"\n'
    with serving(bed, config=bed.config(bed.web(), dataplane=nowhere)) as lbd:
        expect("not on a bpffs" in lbd.log(), lbd.log())
        expect(bed.get().startswith("rs"))
    file = bed.run / "refused.toml"
    file.write_text(bed.config(bed.web(), dataplane=nowhere + 'stop_mode = "keep"\n'))
    done = bed.sh("dir", testbed.BUILD / "control/lbd", "--config", file, check=False)
    expect(done.returncode == 1 and "stop_mode" in done.stderr and "bpffs" in done.stderr, done)


@test()
def no_adopt_starts_clean(bed):
    lbd = serving(bed).start()
    try:
        lbd.stop(signal.SIGKILL)
        lbd.arguments = ("--no-adopt", )
        lbd.start().wait_serving()
        expect("taken over" not in lbd.log(), lbd.log())
        expect(bed.get().startswith("rs"))
    finally:
        lbd.stop()


def reset(bed, lbd, *arguments, check=True):
    done = bed.sh("dir", testbed.BUILD / "control/lbctl", "--socket", lbd.socket, "reset", "--pins",
                  bed.run / "bpf/lbd", *arguments, check=check)
    return done.stdout + done.stderr
