# SPDX-License-Identifier: Apache-2.0
"""Changes of the set of real servers and of the config while clients are at work: nobody notices."""
import json
import subprocess
import time

import bed as testbed
from harness import Lbd, Load, expect, seed_dr, serving, test, wait_for


@test(seed_dr(1), seed_dr(2), ("two-arm", (), 1), ("ipv6", (), 1))
def drain_under_load_fails_no_request(bed):
    with serving(bed) as lbd:
        with Load(bed, "--per-connection", "8") as load:
            load.more(100)
            done = lbd.ctl("drain-rs", bed.service(80), bed.rs[0], "--timeout", "1m", "--wait")
            expect(lbd.real_server(bed.rs[0]) is None, "gone when its last flow has ended:", done.stdout)
            load.more(100)
        load.expect_none_failed()
        expect("rs1" not in {bed.get() for _ in range(20)}, "a drained RS answers nobody")


@test()
def drain_lets_a_long_connection_finish_and_sends_new_ones_elsewhere(bed):
    with serving(bed) as lbd:
        old = bed.connect(80)
        old.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        name = old.recv(4096).rpartition(b"\r\n")[2].decode().strip()
        address = bed.rs[int(name[2]) - 1]
        lbd.ctl("drain-rs", bed.service(80), address)
        expect(lbd.real_server(address)["draining"], "it is draining")
        expect(name not in {bed.get() for _ in range(30)}, "no new connection goes there")
        old.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        expect(name.encode() in old.recv(4096), "the old connection goes on")
        expect(lbd.real_server(address), "it stays while the connection lives")


@test()
def drain_timeout_cuts_what_is_left_and_says_so(bed):
    with serving(bed) as lbd:
        held = [bed.connect(80) for _ in range(6)]
        done = lbd.ctl("drain-rs", bed.service(80), bed.rs[0], "--timeout", "1s", "--wait", check=False)
        expect(done.returncode == 3, "partly done:", done.returncode, done.stdout, done.stderr)
        expect(lbd.real_server(bed.rs[0]) is None, "removed at the timeout")
        expect("2 flows still active" in done.stdout, "a third of 6 connections was left:", done.stdout)
        for connection in held:
            connection.close()


@test(seed_dr(2))
def add_and_remove_rs_under_load_moves_no_flow(bed):
    with serving(bed, scheduler="mh") as lbd:
        with Load(bed, "--per-connection", "20") as load:
            for _ in range(5):
                lbd.ctl("set-rs", bed.service(80), bed.rs[1], "--weight", "0")
                load.more(30)
                lbd.ctl("set-rs", bed.service(80), bed.rs[1], "--weight", "7")
                load.more(30)
        load.expect_none_failed()


@test(seed_dr(1), seed_dr(2))
def reload_under_load_fails_no_request(bed):
    with serving(bed) as lbd:
        with Load(bed, "--per-connection", "3") as load:
            for weight in (3, 0, 2, 5, 1):
                lbd.configure(bed.config(bed.web(weights=(1, weight, 1))))
                load.more(60)
        load.expect_none_failed()
        expect(lbd.real_server(bed.rs[1])["weight"] == 1, "the last file counts")


@test()
def many_control_changes_under_load_fail_no_request(bed):
    with serving(bed) as lbd:
        with Load(bed) as load:
            for n in range(60):
                status, _ = lbd.api("PATCH", _path(bed, 2), {"weight": n % 5})
                expect(status == 200, status)
                status, _ = lbd.api("POST", "/v1/services", {"address": bed.service(9000 + n)})
                expect(status == 200, status)
        load.expect_none_failed()
        expect(len(lbd.services()) == 61, "all services are there")


def _path(bed, rs):
    return f"/v1/services/{bed.service(80).replace('/', '%2F').replace(':', '%3A')}/real-servers/{bed.rs[rs]}"


@test()
def bad_reload_changes_nothing_and_says_why(bed):
    with serving(bed) as lbd:
        with Load(bed) as load:
            said = lbd.configure(bed.config(bed.web()).replace("scheduler", "sheduler"))
            expect("sheduler" in said and "scheduler" in said, "the log names key and cure:", said)
            done = lbd.ctl("reload", check=False)
            expect(done.returncode == 1 and "sheduler" in done.stdout + done.stderr, done)
            load.more(100)
        load.expect_none_failed()
        expect(len(lbd.services()[0]["real_servers"]) == 3, "nothing changed")


@test(seed_dr(1), ("ipv6", (), 1), ("two-arm", (), 1))
def death_of_an_rs_is_noticed_and_fails_nothing_after(bed):
    with serving(bed) as lbd:
        with Load(bed) as load:
            bed.kill_nginx("rs2")
            wait_for("rs2 to be down", 10, lambda: lbd.real_server(bed.rs[1])["health"] == "down")
            since = time.time()
            load.more(200)
            expect(not load.failures(since), "failed after it was noticed:", load.failures(since)[:5])
        expect(lbd.real_server(bed.rs[1])["health_reason"], "it says why")
        bed.start_nginx("rs2")
        lbd.wait_serving()
        expect("rs2" in {bed.get() for _ in range(12)}, "it serves again")


@test()
def state_by_hand_overrides_the_checks(bed):
    with serving(bed) as lbd:
        lbd.ctl("set-rs", bed.service(80), bed.rs[0], "--state", "down")
        expect("rs1" not in {bed.get() for _ in range(20)}, "down by hand")
        lbd.ctl("set-rs", bed.service(80), bed.rs[0], "--state", "auto")
        lbd.wait_serving()
        expect("rs1" in {bed.get() for _ in range(12)}, "back")


@test()
def sorry_server_takes_over_when_all_are_down(bed):
    more = f'sorry = {{ address = "{bed.rs[2]}" }}'
    with serving(bed, config=bed.config(bed.web(more=more, weights=(1, 1)))) as lbd:
        expect("rs3" not in {bed.get() for _ in range(20)}, "not while others are up")
        for address in bed.rs[:2]:
            lbd.ctl("set-rs", bed.service(80), address, "--state", "down")
        expect({bed.get() for _ in range(5)} == {"rs3"}, "the sorry server answers")


@test()
def save_prints_a_config_that_lbd_accepts(bed):
    with serving(bed) as lbd:
        lbd.ctl("add-vip", bed.service(443), "--scheduler", "mh", "--name", 'a "quoted" name', "--health", "none")
        lbd.ctl("add-rs", bed.service(443), bed.rs[0], "--weight", "9", "--mac", "02:00:00:00:00:99")
        saved = bed.run / "saved.toml"
        lbd.ctl("save", saved)
        expect(lbd.ctl("check", saved).returncode == 0)
        checked = subprocess.run([testbed.BUILD / "control/lbd", "--check", "--config", saved], capture_output=True,
                                 text=True, timeout=20, check=False)
        expect(checked.returncode == 0, checked.stdout, checked.stderr)
        for word in ("mh", "02:00:00:00:00:99", "weight", "443/tcp"):
            expect(word in saved.read_text(), word, "is in", saved.read_text())


@test()
def runtime_changes_survive_a_restart(bed):
    with Lbd(bed, bed.config(bed.web())) as lbd:
        lbd.wait_serving()
        lbd.ctl("add-vip", bed.service(8080), "--health", "none")
        lbd.ctl("add-rs", bed.service(8080), bed.rs[1], "--weight", "4")
        lbd.ctl("set-rs", bed.service(80), bed.rs[0], "--weight", "0")
        lbd.ctl("del-rs", bed.service(80), bed.rs[2])
        before = _desired(lbd)
        expect(lbd.stop() == 0, "clean stop")
        lbd.start()
        expect(_desired(lbd) == before, "before:", before, "after:", _desired(lbd))
        expect(bed.get(port=8080) == "rs2", "the service of run time serves")


def _desired(lbd):
    kept = [(s["address"], s["scheduler"], sorted((r["address"], r["weight"]) for r in s["real_servers"]))
            for s in lbd.services()]
    return json.dumps(sorted(kept))
