# SPDX-License-Identifier: Apache-2.0
"""What breaks around lbd, and lbd itself killed: service comes back, nothing is left behind."""
import json
import os
import signal
import subprocess
import time

import bed as testbed
from harness import LONG, Failure, Lbd, Load, expect, seed_dr, serving, test, wait_for


def serves(bed):
    try:
        return bed.get(seconds=1)
    except (OSError, Failure):
        return None


@test(seed_dr(1), seed_dr(2), ("two-arm", (), 1), ("ipv6", (), 1))
def killed_lbd_restarts_and_serves(bed):
    lbd = serving(bed).start()
    try:
        with Load(bed, "--timeout", "3") as load:
            load.more(50)
            lbd.stop(signal.SIGKILL)
            killed = time.time()
            lbd.start()
            back = time.time()
            load.more(200)
            expect(not load.failures(back), "failed after the restart:", load.failures(back)[:5])
        expect(back - killed < 10, f"back after {back - killed:.1f} s")
    finally:
        lbd.stop()


@test()
def living_connections_of_a_killed_lbd_go_on_with_hashed_scheduler(bed):
    lbd = serving(bed, scheduler="mh").start()
    try:
        held = [bed.connect(80) for _ in range(30)]
        lbd.stop(signal.SIGKILL)
        lbd.start()
        for connection in held:
            connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
            expect(b"200 OK" in connection.recv(4096), "the connection lives")
    finally:
        lbd.stop()


@test(("seed-dr", (), 1), ("ipv6", (), 1))
def clean_stop_leaves_nothing(bed):
    before = leftovers(bed)
    with serving(bed) as lbd:
        ids = bpf_ids(lbd)
        expect(bed.vip in bed.sh("dir", "ip", "addr").stdout, "the VIP is on the port")
    expect(leftovers(bed) == before, "left:", leftovers(bed), "before:", before)
    expect(not lbd.socket.exists(), "the socket is gone")
    wait_for("its programs and maps to go", 5, lambda: not (ids & all_bpf_ids()))


def leftovers(bed):
    links = json.loads(bed.sh("dir", "ip", "-j", "-d", "addr").stdout)
    return [(link["ifname"], sorted(a["local"] for a in link["addr_info"]), link.get("xdp")) for link in links]


def bpf_ids(lbd):
    return {(o["kind"], o["id"]) for o in lbd.api("GET", "/v1/bpf")[1]["objects"]}


def all_bpf_ids():
    found = set()
    for kind, command in (("program", "prog"), ("map", "map"), ("link", "link")):
        rows = json.loads(subprocess.run(["bpftool", "-j", command, "show"], capture_output=True, text=True,
                                         check=True).stdout or "[]")
        found |= {(kind, row["id"]) for row in rows}
    return found


@test()
def reset_removes_what_a_killed_lbd_left(bed):
    port = bed.ports()[0]

    def strips():
        return "rx-vlan-offload: on" in bed.sh("dir", "ethtool", "-k", port).stdout

    bed.sh("dir", "ethtool", "-K", port, "rxvlan", "on")
    before = leftovers(bed)
    lbd = serving(bed).start()
    lbd.stop(signal.SIGKILL)
    expect(bed.vip in bed.sh("dir", "ip", "addr").stdout, "the VIP is still there")
    expect(not strips(), "VLAN tags are still left in frames")
    command = [testbed.BUILD / "control/lbctl", "--socket", lbd.socket, "reset",
               "--pins", bed.run / "bpf/lbd"]
    bed.sh("dir", *command, "--dry-run")
    expect(bed.vip in bed.sh("dir", "ip", "addr").stdout and not strips(), "a dry run changes nothing")
    bed.sh("dir", *command)
    expect(strips(), "and stripped again")
    expect(not os.path.exists(f"{lbd.socket}.offloads"), "the note is gone")
    expect(leftovers(bed) == before, "left:", leftovers(bed), "before:", before)


@test(seed_dr(1), ("two-arm", (), 1), ("ipv6", (), 1))
def link_down_and_up_again(bed):
    port = bed.ports()[-1]
    with serving(bed) as lbd:
        bed.sh("dir", "ip", "link", "set", "dev", port, "down")
        wait_for("lbd to see the link down", 5, lambda: not port_of(lbd, port)["up"])
        expect(serves(bed) is None, "no service without a link")
        bed.sh("dir", "ip", "link", "set", "dev", port, "up")
        if bed.v6:  # the kernel takes IPv6 addresses off at link down; the director's own is the operator's
            bed.sh("dir", "ip", "addr", "replace", f"{bed.vars['TB_DIR_IP']}/64", "dev", port, "nodad")
        wait_for("service after link up", 20, lambda: serves(bed))
        with Load(bed) as load:
            load.more(200)
        load.expect_none_failed()


def port_of(lbd, interface):
    return next(p for p in lbd.api("GET", "/v1/ports")[1]["ports"] if p["interface"] == interface)


@test(seed_dr(1), seed_dr(2), ("two-arm", (), 1))
def deleted_interface_ends_in_words_not_in_a_crash(bed):
    port = bed.ports()[-1]
    with serving(bed) as lbd:
        bed.sh("dir", "ip", "link", "del", "dev", port)
        wait_for("lbd to see that it is gone", 5, lambda: not port_of(lbd, port)["up"])
        expect(port in lbd.log(), "the log names it")
        expect(lbd.ctl("show", "rs").returncode == 0, "the API goes on")
        busy = cpu_seconds(lbd.process.pid)
        lbd.ctl("stats", "--rate", "--watch", "1", "--count", "2")
        expect(cpu_seconds(lbd.process.pid) - busy < 0.5, "it does not spin")


@test(("two-arm", (), 1))
def interface_that_is_made_again_ends_lbd_so_that_it_is_started_again(bed):
    port = bed.ports()[-1]
    lbd = serving(bed).start()
    bed.sh("dir", "ip", "link", "del", "dev", port)
    wait_for("lbd to see that it is gone", 5, lambda: not port_of(lbd, port)["up"])
    bed.sh("dir", "ip", "link", "add", "name", port, "type", "veth", "peer", "name", port + "-peer")
    wait_for("lbd to end", 10, lambda: lbd.process.poll() is not None)
    expect(lbd.process.returncode == 1, "the status that a service manager starts again after, not",
           lbd.process.returncode)
    expect(port in lbd.log().splitlines()[-1] or f"{port} was made again" in lbd.log(), lbd.log())
    expect(bed.vip not in bed.sh("dir", "ip", "addr").stdout, "the VIP is off")


def cpu_seconds(pid):
    fields = open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@test(seed_dr(1), ("ipv6", (), 1))
def rs_changes_its_mac(bed):
    mac = "02:00:00:00:aa:02"
    with serving(bed) as lbd:
        bed.sh("rs2", "ip", "link", "set", "dev", "eth0", "address", mac)
        if bed.v6:
            bed.sh("rs2", "ping", "-c", "1", "-W", "2", bed.vars["TB_CLIENT_IP"], check=False)
        # The first check that fails asks for it: interval and timeout of the check, and an answer.
        wait_for("lbd to learn the new MAC", 3, lambda: lbd.real_server(bed.rs[1])["resolved_mac"] == mac)
        lbd.wait_serving(seconds=20)
        with Load(bed) as load:
            load.more(200)
        load.expect_none_failed()
        expect("rs2" in load.summary["answers"], load.summary)


@test()
def rs_comes_up_after_lbd(bed):
    bed.sh("rs1", "ip", "link", "set", "dev", "eth0", "down")
    with Lbd(bed, bed.config(bed.web())) as lbd:
        lbd.wait_serving(count=2)
        rs = lbd.real_server(bed.rs[0])
        expect(rs["reason"], "it says why it gets nothing:", rs)
        bed.sh("rs1", "ip", "link", "set", "dev", "eth0", "up")
        lbd.wait_serving(seconds=30)


@test()
def attaching_and_detaching_leaves_no_trace(bed):
    rounds = 200 if LONG else 15
    before, ids = leftovers(bed), set()
    for _ in range(rounds):
        with Lbd(bed, bed.config(bed.web())) as lbd:
            ids |= bpf_ids(lbd)
    expect(leftovers(bed) == before, leftovers(bed))
    wait_for("programs and maps to go", 5, lambda: not (ids & all_bpf_ids()))


@test()
def a_thousand_services_come_and_go_without_a_leak(bed):
    with serving(bed) as lbd:
        def cycle(count):
            for n in range(count):
                lbd.api("POST", "/v1/services", {"address": bed.service(10000 + n)})
                lbd.api("DELETE", "/v1/services/" + bed.service(10000 + n).replace("/", "%2F").replace(":", "%3A"))
        cycle(200)
        wait_for("a moment between two checks", 10, lambda: not open_checks(lbd))
        fds, kilobytes, objects = held(lbd)
        cycle(2000 if LONG else 800)
        wait_for(f"{fds} descriptors again, of a moment between two checks", 10, lambda: held(lbd)[0] <= fds)
        after = held(lbd)
        expect(after[2] == objects, "BPF objects:", objects, after[2])
        expect(after[1] < kilobytes + 2048, "resident kB:", kilobytes, after[1])


def open_checks(lbd):
    """Sockets of lbd to port 80 of a real server."""
    return lbd.bed.sh("dir", "ss", "-Htn", "dport = :80").stdout.strip()


def held(lbd):
    status = open(f"/proc/{lbd.process.pid}/status").read()
    kilobytes = int(status.partition("VmRSS:")[2].split()[0])
    return len(os.listdir(f"/proc/{lbd.process.pid}/fd")), kilobytes, len(bpf_ids(lbd))


@test()
def stop_is_quick_under_load(bed):
    lbd = serving(bed).start()
    with Load(bed, "--timeout", "1", "--clients", "16", "--rate", "2000") as load:
        load.more(200)
        begin = time.monotonic()
        expect(lbd.stop() == 0, "status", lbd.process.returncode, lbd.log())
        expect(time.monotonic() - begin < 3, f"stopped in {time.monotonic() - begin:.1f} s")
