# SPDX-License-Identifier: Apache-2.0
"""The benchmark's own network and its processes; both are gone when the `with` block ends.

    outer: gen0 (192.0.2.1)     ---- dir0 (192.0.2.2)    :director
    outer: sink0 (198.51.100.1) ---- dir1 (198.51.100.2) :director

gen0 sends; what a one-armed forwarder gives back arrives at gen0, what a two-armed one at sink0.
The round-trip test has a client in `outer` and a real server in `rs`:

    outer: gen0 --> dir0 :director: dir1 --> rs0 :rs: ret1 --> ret0 :outer
"""
import glob
import os
import signal
import subprocess
import tempfile
import time

VIP = "192.0.2.10"
GEN_IP, DIR_IP = "192.0.2.1", "192.0.2.2"
SINK_IP, OUT_IP = "198.51.100.1", "198.51.100.2"
ONE_ARM_RS = [f"192.0.2.{n}" for n in range(101, 105)]
TWO_ARM_RS = [f"198.51.100.{n}" for n in range(101, 105)]
CLIENT_IP = "10.1.0.1"


class BenchError(Exception):
    """A sentence for the user: what failed, and with which answer."""


def run(*command, check=True, timeout=60):
    """Output of a command; BenchError with its own words if it fails."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout,
                          stdin=subprocess.DEVNULL)
    if check and done.returncode != 0:
        said = (done.stderr or done.stdout).strip().splitlines()[-1:] or ["no message"]
        raise BenchError(f"{' '.join(command)}: {said[0]}")
    return done.stdout


def prefer():
    """A process group of its own gets the CPU before whatever else runs here."""
    try:
        with open("/proc/self/autogroup", "w", encoding="ascii") as group:
            group.write("-19")
    except OSError:
        pass
    try:
        os.setpriority(os.PRIO_PROCESS, 0, -19)
    except OSError:
        pass


class Lab:
    """Namespaces, veths, and the processes that were started in them."""

    def __init__(self, cpus):
        self.suffix = str(os.getpid())
        self.outer, self.director, self.rs = (f"slb-{self.suffix}-{n}" for n in ("out", "dir", "rs"))
        self.load_cpu, self.work_cpu = cpus
        self.processes = []
        self.directory = tempfile.TemporaryDirectory(prefix="sluice-bench-")

    def __enter__(self):
        try:
            self.build()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for process in list(self.processes):
            self.stop(process)
        for namespace in (self.outer, self.director, self.rs):
            try:  # what an lbd that was killed in there has left
                inode = os.stat(f"/run/netns/{namespace}").st_ino
            except OSError:
                continue
            for lock in glob.glob(f"/run/sluice/port-{inode}-*.lock"):
                os.unlink(lock)
            run("ip", "netns", "del", namespace, check=False)
        self.directory.cleanup()

    def inside(self, namespace, *command, check=True):
        return run("ip", "netns", "exec", namespace, *command, check=check)

    def pair(self, left, left_ns, right, right_ns):
        """One queue each; no checksum offload, so that nothing unfinished reaches XDP."""
        run("ip", "link", "add", left, "netns", left_ns, "numtxqueues", "1", "numrxqueues", "1",
            "type", "veth", "peer", "name", right, "netns", right_ns, "numtxqueues", "1",
            "numrxqueues", "1")
        for name, namespace in ((left, left_ns), (right, right_ns)):
            self.inside(namespace, "sysctl", "-qw", f"net.ipv6.conf.{name}.disable_ipv6=1")
            self.inside(namespace, "ethtool", "-K", name, "tx", "off", check=False)
            # The far ends poll at all times, as a switch would, not only while something counts there.
            if namespace == self.outer:
                self.inside(namespace, "ethtool", "-K", name, "gro", "on")
            run("ip", "-n", namespace, "link", "set", name, "up")

    def address(self, namespace, name, address):
        run("ip", "-n", namespace, "addr", "add", address, "dev", name)

    def mac(self, namespace, name):
        return run("ip", "-n", namespace, "-brief", "link", "show", "dev", name).split()[2]

    def build(self):
        for namespace in (self.outer, self.director, self.rs):
            run("ip", "netns", "add", namespace)
            run("ip", "-n", namespace, "link", "set", "lo", "up")
        self.pair("gen0", self.outer, "dir0", self.director)
        self.pair("sink0", self.outer, "dir1", self.director)
        for namespace, name, address in (
                (self.outer, "gen0", f"{GEN_IP}/24"), (self.director, "dir0", f"{DIR_IP}/24"),
                (self.outer, "sink0", f"{SINK_IP}/24"), (self.director, "dir1", f"{OUT_IP}/24")):
            self.address(namespace, name, address)
        for key in ("net.ipv4.ip_forward=1", "net.ipv4.conf.all.rp_filter=0",
                    "net.ipv4.conf.default.rp_filter=0", "net.ipv4.conf.dir0.rp_filter=0",
                    "net.ipv4.conf.dir1.rp_filter=0", "net.ipv4.conf.all.send_redirects=0"):
            self.inside(self.director, "sysctl", "-qw", key)
        self.gen_mac = self.mac(self.outer, "gen0")
        self.sink_mac = self.mac(self.outer, "sink0")
        self.dir_mac = self.mac(self.director, "dir0")

    def start(self, namespace, *command, log, cpu=None, stdin=None):
        """A process in a namespace; `log` is a name below the lab's directory."""
        where = open(os.path.join(self.directory.name, log), "w+", encoding="utf-8")
        pinned = ["taskset", "-c", str(cpu)] if cpu is not None else []
        process = subprocess.Popen(["ip", "netns", "exec", namespace, *pinned, *command],
                                   stdout=where, stderr=subprocess.STDOUT, text=True,
                                   stdin=stdin or subprocess.DEVNULL, start_new_session=True,
                                   preexec_fn=prefer)
        process.log = where
        self.processes.append(process)
        return process

    def said(self, process):
        process.log.flush()
        with open(process.log.name, encoding="utf-8", errors="replace") as log:
            return log.read()

    def wait_until(self, process, ready, what, seconds=10):
        """Waits for `ready()`; BenchError if the process ends or the time is over before."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if ready():
                return
            if process.poll() is not None:
                break
            time.sleep(0.02)
        said = self.said(process).strip().splitlines()[-1:] or ["it said nothing"]
        self.stop(process)
        raise BenchError(f"{what} did not start: {said[0]}")

    def stop(self, process, seconds=5):
        """SIGTERM, then SIGKILL; a process in a namespace of ours is ours."""
        if process in self.processes:
            self.processes.remove(process)
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(seconds)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        process.log.close()
