# SPDX-License-Identifier: Apache-2.0
"""The forwarders that are compared. A case starts one, says where its packets come out, and stops it."""
import os
import shutil
import subprocess
import time

from lab import ONE_ARM_RS, TWO_ARM_RS, VIP

LBD_TOML = """\
[control]
socket = "{directory}/lbd.sock"
state = "{directory}/state.json"
[dataplane]
pins = ""
engine = "{engine}"
cpus = [{cpu}]
flows_max = {flows_max}
{ports}
[[service]]
address = "{vip}:80/{proto}"
scheduler = "mh"
vip_owner = "external"
[service.health]
type = "none"
{real_servers}"""


class Case:
    """name, what it is in a line, and `sink`: the interface of the outer namespace that counts."""
    sink = "gen0"
    what = ""

    def __init__(self, name):
        self.name = name

    def missing(self, tools):
        """Why it cannot run here, or None."""
        return None

    def start(self, lab, tools):
        raise NotImplementedError

    def stop(self, lab):
        lab.stop(self.process)


class Limit(Case):
    """bench-limit in one of its modes."""

    def __init__(self, name, what, mode, two_arm=False, options=()):
        super().__init__(name)
        self.what, self.mode, self.options = what, mode, list(options)
        self.two_arm = two_arm
        self.sink = "sink0" if two_arm else "gen0"

    def start(self, lab, tools):
        ports = ["--in", "dir0"] + (["--out", "dir1"] if self.two_arm else [])
        cpu = ["--cpu", str(lab.work_cpu)] if self.mode == "afxdp" else []
        self.process = lab.start(lab.director, tools.limit, self.mode, *ports, *cpu, *self.options,
                                 log=self.name)
        lab.wait_until(self.process, lambda: "ready" in lab.said(self.process), self.name)


class Sluice(Case):
    """Our lbd with one mh service of four real servers."""

    def __init__(self, name, what, engine, two_arm=False, proto="udp", flows_max=1 << 20):
        super().__init__(name)
        self.what, self.two_arm, self.proto, self.flows_max = what, two_arm, proto, flows_max
        self.engine = engine
        self.sink = "sink0" if two_arm else "gen0"

    def missing(self, tools):
        return None if tools.lbd and tools.lbctl else "lbd and lbctl are not built"

    def config(self, lab):
        ports = ["dir0", "dir1"] if self.two_arm else ["dir0"]
        servers = TWO_ARM_RS if self.two_arm else ONE_ARM_RS
        mac = lab.sink_mac if self.two_arm else lab.gen_mac
        return LBD_TOML.format(
            directory=lab.directory.name, cpu=lab.work_cpu, vip=VIP, proto=self.proto,
            flows_max=self.flows_max, engine=self.engine,
            ports="\n".join(f'[[port]]\ninterface = "{port}"' for port in ports),
            real_servers="\n".join(f'[[service.real_server]]\naddress = "{server}"\nmac = "{mac}"'
                                   for server in servers))

    def start(self, lab, tools):
        path = os.path.join(lab.directory.name, "lbd.toml")
        with open(path, "w", encoding="utf-8") as file:
            file.write(self.config(lab))
        for stale in ("state.json", "lbd.sock"):
            if os.path.exists(os.path.join(lab.directory.name, stale)):
                os.unlink(os.path.join(lab.directory.name, stale))
        self.process = lab.start(lab.director, tools.lbd, "--config", path, log=self.name)
        lab.wait_until(self.process, lambda: self.answers(lab, tools), self.name, seconds=20)

    def answers(self, lab, tools):
        done = subprocess.run([tools.lbctl, "--socket", f"{lab.directory.name}/lbd.sock", "show",
                               "rs", "--json"], capture_output=True, timeout=10, check=False)
        return done.returncode == 0


class Lru(Case):
    """The XDP program of lbd with one look-up in an LRU map for every packet."""
    what = "the program of sluice-hybrid with one LRU look-up a packet, one-armed"

    def start(self, lab, tools):
        self.process = lab.start(lab.director, tools.lru, "--in", "dir0", "--service", f"{VIP}:80/udp",
                                 "--mac", lab.gen_mac, log=self.name)
        lab.wait_until(self.process, lambda: "ready" in lab.said(self.process), self.name)


class Testpmd(Case):
    """DPDK's own forwarder over its AF_XDP driver."""
    what = "DPDK testpmd, macswap, net_af_xdp, one-armed"

    def missing(self, tools):
        return None if shutil.which("dpdk-testpmd") else "dpdk-testpmd is not installed (dpdk-dev)"

    def start(self, lab, tools):
        self.process = lab.start(
            lab.director, "dpdk-testpmd", "--no-huge", "--no-pci", "--no-telemetry", "-m", "256",
            "--file-prefix", f"bench{lab.suffix}", "-l", f"{lab.load_cpu},{lab.work_cpu}",
            "--main-lcore", str(lab.load_cpu),
            "--vdev", "net_af_xdp0,iface=dir0,start_queue=0,queue_count=1",
            "--", "--forward-mode=macswap", "--auto-start", "--nb-cores=1", "--no-lsc-interrupt",
            "--total-num-mbufs=16384", log=self.name, stdin=subprocess.PIPE)
        lab.wait_until(self.process, lambda: "Checking link" in lab.said(self.process), self.name)
        time.sleep(1)  # it starts to forward a little after that and does not say when


class Kernel(Case):
    """What the kernel's own stack does, set up by commands and undone by commands. Two-armed."""
    sink = "sink0"

    def __init__(self, name, what, up, down):
        super().__init__(name)
        self.what, self.up, self.down = what, up, down

    def missing(self, tools):
        return None if shutil.which(self.up[0][0]) else f"{self.up[0][0]} is not installed"

    def start(self, lab, tools):
        # The sender's end must take native XDP frames, so dir0 and dir1 have a program that passes.
        self.process = lab.start(lab.director, tools.limit, "pass", "--in", "dir0", "--out", "dir1",
                                 log=self.name)
        lab.wait_until(self.process, lambda: "ready" in lab.said(self.process), self.name)
        neighbour = ["ip", "neigh", "replace", TWO_ARM_RS[0], "lladdr", lab.sink_mac, "dev", "dir1"]
        for command in [neighbour, *self.up]:
            lab.inside(lab.director, *command)

    def stop(self, lab):
        for command in self.down:
            lab.inside(lab.director, *command, check=False)
        super().stop(lab)


NFT_DNAT = ("add table ip bench; "
            "add chain ip bench pre { type nat hook prerouting priority -100; }; "
            f"add rule ip bench pre ip daddr {VIP} udp dport 80 dnat to {TWO_ARM_RS[0]}")

ALL = [
    Sluice("sluice-hybrid", "lbd, mh service, 4 real servers, in the kernel, one-armed", "hybrid"),
    Limit("xdp-tx", "MAC swap in the kernel by XDP_TX, one-armed", "xdp-tx"),
    Lru("sluice-lru"),
    Sluice("sluice-hybrid-2arm", "the same lbd, in by one port, out by the other", "hybrid",
           two_arm=True),
    Limit("xdp-redirect", "MAC swap in the kernel, redirect to the other port", "xdp-redirect",
          two_arm=True),
    Sluice("sluice-afxdp", "lbd with engine = afxdp, one-armed", "afxdp"),
    Limit("limit-afxdp", "bare AF_XDP loop that swaps MACs, one-armed", "afxdp",
          options=["--wait", "poll"]),
    Sluice("sluice-afxdp-2arm", "the same lbd, in by one port, out by the other", "afxdp",
           two_arm=True),
    Limit("limit-afxdp-2arm", "the bare loop, two-armed", "afxdp", two_arm=True,
          options=["--wait", "poll"]),
    Testpmd("testpmd"),
    Kernel("nft-dnat", "nftables DNAT with conntrack, two-armed", [["nft", NFT_DNAT]],
           [["nft", "delete table ip bench"]]),
    Kernel("ip-forward", "kernel IP forwarding, two-armed",
           [["ip", "route", "add", f"{VIP}/32", "via", TWO_ARM_RS[0], "dev", "dir1"]],
           [["ip", "route", "del", f"{VIP}/32"]]),
]
BY_NAME = {case.name: case for case in ALL}
