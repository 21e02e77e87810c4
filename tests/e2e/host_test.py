# SPDX-License-Identifier: Apache-2.0
"""What lbctl does to a host without lbd: rs-setup on a real server, reset after an lbd that died."""
import glob
import json
import os
import signal

import bed as testbed
from harness import Lbd, expect, serving, test

LBCTL = testbed.BUILD / "control/lbctl"
# Addresses of the LAN that the topology does not use; on a real server they are what a VIP is.
FREE_V4, FREE_V6 = "192.168.1.240", "2001:db8:1::240"


def lbctl(bed, role, *argv, status=0):
    done = bed.sh(role, LBCTL, "--socket", bed.run / "none.sock", *argv, check=False)
    expect(done.returncode == status, argv, "ended with", done.returncode, done.stdout, done.stderr)
    return done.stdout


def resolves(bed, role, address, device="eth0"):
    """Whether somebody on the LAN answers ARP or a neighbour solicitation for the address."""
    bed.sh(role, "ping", "-c", "1", "-W", "1", address, check=False)
    states = json.loads(bed.sh(role, "ip", "-json", "neigh", "show", "to", address, "dev", device).stdout or "[]")
    return any("lladdr" in state for state in states)


def setup_is_silent(bed, vip):
    """rs-setup on rs1 for a new VIP: wrong before, right after, and nobody on the LAN learns of it."""
    lbctl(bed, "rs1", "rs-setup", vip, "--check", status=4)
    lbctl(bed, "rs1", "rs-setup", vip, "--apply")
    expect("nothing to do" in lbctl(bed, "rs1", "rs-setup", vip, "--apply"), "applied twice")
    lbctl(bed, "rs1", "rs-setup", vip, "--check")
    expect(not resolves(bed, "client", vip), "rs1 answers for the VIP")
    answer = json.loads(lbctl(bed, "rs1", "--json", "rs-setup", vip, "--check"))
    expect(answer["good"] and all(check["fix"] == "" for check in answer["checks"]), answer)


@test()
def rs_setup_of_an_ipv4_vip_is_silent_and_can_be_taken_back(bed):
    before = bed.sh("rs1", "ip", "address", "show", "dev", "lo").stdout
    setup_is_silent(bed, FREE_V4)
    lbctl(bed, "rs1", "rs-setup", FREE_V4, "--remove")
    expect(bed.sh("rs1", "ip", "address", "show", "dev", "lo").stdout == before, "lo is as it was")
    # The topology's own VIP is still on lo, so the sysctls stay.
    expect(bed.sh("rs1", "sysctl", "-n", "net.ipv4.conf.all.arp_ignore").stdout.strip() == "1")


@test(("ipv6", (), 1))
def rs_setup_of_an_ipv6_vip_is_silent_even_on_a_router(bed):
    bed.sh("rs1", "sysctl", "-q", "-w", "net.ipv6.conf.all.forwarding=1")
    setup_is_silent(bed, FREE_V6)
    shown = bed.sh("rs1", "ip", "address", "show", "dev", "lo").stdout
    expect("deprecated" in shown.split(FREE_V6)[1].split("inet6")[0], "no connection starts from it:", shown)
    lbctl(bed, "rs1", "rs-setup", FREE_V6, "--remove")


@test()
def rs_setup_finds_what_breaks_dr(bed):
    bed.sh("rs1", "ip", "address", "add", FREE_V4 + "/24", "dev", "eth0")
    text = lbctl(bed, "rs1", "rs-setup", FREE_V4, "--check", status=4)
    expect(f"ip address del {FREE_V4}/24 dev eth0" in text, text)
    bed.sh("rs1", "sysctl", "-q", "-w", "net.ipv4.conf.all.arp_ignore=0", "net.ipv4.conf.eth0.arp_ignore=0")
    text = lbctl(bed, "rs1", "rs-setup", bed.vip, "--check", status=4)
    expect("sysctl -w net.ipv4.conf.all.arp_ignore=1" in text, text)


def vip_is_on(bed, device):
    return bed.vip in bed.sh("dir", "ip", "address", "show", "dev", device).stdout


def reset_after_a_kill(bed):
    device = bed.ports()[0]
    with serving(bed) as lbd:
        socket = ("--socket", lbd.socket)
        expect(vip_is_on(bed, device), "lbd puts the VIP on the port")
        done = bed.sh("dir", LBCTL, *socket, "reset", check=False)
        expect(done.returncode == 1 and "lbd lives" in done.stderr, "refused while lbd lives:", done)
        lbd.stop(signal.SIGKILL)
        expect(vip_is_on(bed, device) and lbd.socket.exists(), "a killed lbd leaves things behind")
        text = bed.sh("dir", LBCTL, *socket, "reset", "--dry-run").stdout
        expect(f"would remove VIP {bed.vip} on {device}" in text and vip_is_on(bed, device), text)
        text = bed.sh("dir", LBCTL, *socket, "reset", "--interface", device).stdout
        expect(f"removed VIP {bed.vip} on {device}" in text, text)
        expect(not vip_is_on(bed, device) and not lbd.socket.exists(), "all is gone")
        inode = os.stat(bed.ns("dir")).st_ino
        expect(not glob.glob(f"/run/sluice/port-{inode}-*"), "its lock file as well")
        expect("nothing of lbd" in bed.sh("dir", LBCTL, *socket, "reset").stdout, "a second time")
        lbd.start()


@test(("seed-dr", (), 1), ("ipv6", (), 1))
def reset_removes_what_a_killed_lbd_left_and_nothing_else(bed):
    others = bed.sh("dir", "ip", "-o", "address", "show").stdout.splitlines()
    reset_after_a_kill(bed)
    left = bed.sh("dir", "ip", "-o", "address", "show").stdout.splitlines()
    expect([line.split()[3] for line in left] == [line.split()[3] for line in others], left)


@test(("two-arm", (), 1))
def reset_leaves_the_interfaces_of_two_living_lbds_alone(bed):
    inside, outside = bed.ports()
    client = bed.vars["TB_CLIENT_IP"]
    other = Lbd(bed, bed.config(f'''[[service]]
address = "{FREE_V4}:80/tcp"
[[service.real_server]]
address = "{client}"
state = "up"
''', ports=[inside]).replace("lbd.sock", "other.sock").replace("state.json", "other.json")
                .replace("bpf/lbd", "bpf/other"), name="other")
    config = bed.config(bed.web(), ports=[outside])
    with Lbd(bed, config) as lbd, other:
        before = bed.sh("dir", "ip", "-o", "address", "show").stdout
        done = bed.sh("dir", LBCTL, "--socket", bed.run / "none.sock", "reset", check=False)
        expect(inside in done.stdout + done.stderr and outside in done.stdout + done.stderr, "both named:", done)
        expect(bed.sh("dir", "ip", "-o", "address", "show").stdout == before, "no address is gone")
        for one in (lbd, other):
            ports = one.api("GET", "/v1/ports")[1]["ports"]
            expect(all(p["up"] and p["xdp_mode"] for p in ports), ports)
        for device in (inside, outside):
            expect("xdp" in bed.sh("dir", "ip", "link", "show", "dev", device).stdout, "the program is on", device)
