# SPDX-License-Identifier: Apache-2.0
"""A topology of testbed/topologies as a Python object, and an lbd in it; for testbed/demo and tests/e2e.

Bed starts the topology and removes it at the end of its `with` block. Should this process die, the topology's standard
input ends, and it removes itself. Everything is stopped by pid.
"""
import contextlib
import ctypes
import http.client
import json
import os
import pathlib
import signal
import socket
import subprocess
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
BUILD = pathlib.Path(os.environ.get("SLUICE_BUILD", ROOT / "build/release"))
_libc = ctypes.CDLL(None, use_errno=True)
_CLONE_NEWNET = 0x40000000
_pause = threading.Event()  # never set: a wait for what no event tells of, another process for one


class Failure(Exception):
    """What went wrong, in words."""


def wait_for(what, seconds, probe):
    """The first true answer of probe(), asked every 20 ms; Failure naming `what` after `seconds`."""
    limit = time.monotonic() + seconds
    while True:
        answer = probe()
        if answer:
            return answer
        if time.monotonic() > limit:
            raise Failure(f"waited {seconds} s for {what}")
        _pause.wait(0.02)


ENGINE = None  # of every config that does not say: None is lbd's default


class Bed:
    """One running topology: addresses and namespaces are in `vars` by the names that it prints."""

    def __init__(self, topology, *arguments, queues=1, redis=False):
        self.topology, self.queues, self._children = topology, queues, []
        command = [str(ROOT / "testbed/topologies" / topology), "--queues", str(queues), *arguments]
        if redis:
            command.append("--redis")
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                         start_new_session=True)
        self.vars = {}
        for line in self._process.stdout:
            if line.strip() == "ready":
                break
            name, _, value = line.rstrip("\n").partition("=")
            self.vars[name] = value
        else:
            raise Failure(f"topology {topology} did not start (status {self._process.wait()})")
        self.run = pathlib.Path(self.vars["TB_RUN"])
        self.vip, self.rs = self.vars["TB_VIP"], self.vars["TB_RS"].split()
        self.v6 = ":" in self.vip

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for child in self._children:
            stop(child)
        self._process.stdin.close()
        self._process.wait(timeout=60)

    def service(self, port, protocol="tcp"):
        """The VIP as lbctl writes a service."""
        return f"[{self.vip}]:{port}/{protocol}" if self.v6 else f"{self.vip}:{port}/{protocol}"

    def url(self, path="/", host=None):
        host = host or self.vip
        return f"http://[{host}]{path}" if ":" in host else f"http://{host}{path}"

    def ns(self, role):
        return "/run/netns/" + self.vars["TB_NS_" + role.upper()]

    def command(self, role, *argv):
        """argv, to be run in the role's network namespace."""
        return ["nsenter", f"--net={self.ns(role)}", "--", *map(str, argv)]

    def sh(self, role, *argv, check=True, seconds=60, **more):
        """Runs argv there; its output is text. Failure when it fails, unless check=False."""
        done = subprocess.run(self.command(role, *argv), capture_output=True, text=True, timeout=seconds,
                              stdin=None if "input" in more else subprocess.DEVNULL, check=False, **more)
        if check and done.returncode != 0:
            raise Failure(f"`{' '.join(map(str, argv))}` in {role} ended with {done.returncode}: "
                          f"{done.stdout}{done.stderr}")
        return done

    def spawn(self, role, *argv, **more):
        """Starts argv there; it is stopped with the bed."""
        child = subprocess.Popen(self.command(role, *argv), stdin=subprocess.DEVNULL, **more)
        self._children.append(child)
        return child

    @contextlib.contextmanager
    def inside(self, role):
        """Sockets made in this block belong to the role's namespace, for as long as they live."""
        home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        there = os.open(self.ns(role), os.O_RDONLY)
        try:
            if _libc.setns(there, _CLONE_NEWNET) != 0:
                raise OSError(ctypes.get_errno(), "setns")
            yield
        finally:
            _libc.setns(home, _CLONE_NEWNET)
            os.close(home)
            os.close(there)

    def connect(self, port, host=None, seconds=5, role="client"):
        """A TCP connection to the VIP (or `host`)."""
        with self.inside(role):
            return socket.create_connection((host or self.vip, port), timeout=seconds)

    def get(self, path="/", host=None, port=80, seconds=5):
        """The body of an HTTP answer through the VIP, on a connection of its own."""
        with self.connect(port, host, seconds) as connection:
            connection.sendall(f"GET {path} HTTP/1.0\r\n\r\n".encode())
            reply = b"".join(iter(lambda: connection.recv(65536), b""))
        head, _, body = reply.partition(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200"):
            raise Failure(f"GET {path} answered {head[:60]!r}")
        return body.decode().strip()

    def start_nginx(self, role):
        """Starts a role's nginx again, after its pid in vars["TB_NGINX_ROLE"] was killed."""
        child = self.spawn(role, "nginx", "-c", self.run / role / "nginx.conf")
        wait_for(f"nginx of {role}", 5, lambda: self.listens(role, 80))
        return child

    def listens(self, role, port):
        return self.sh(role, "ss", "-Hltn", f"sport = :{port}").stdout.strip()

    def kill_nginx(self, role):
        os.kill(int(self.vars["TB_NGINX_" + role.upper()]), signal.SIGKILL)

    def ports(self):
        """The director's interfaces."""
        return [self.vars[name] for name in ("TB_IN_IF", "TB_OUT_IF") if name in self.vars]

    def config(self, services="", dataplane="", control="", ports=None):
        """An lbd.toml for this bed: small tables, its own socket, state and pins."""
        flows = "" if "flows_max" in dataplane else "flows_max = 65536\nflows_max_v6 = 65536\n"
        if "pins" not in dataplane:
            flows += f'pins = "{self.run}/bpf/lbd"\n'
        if ENGINE and "engine" not in dataplane:
            flows += f'engine = "{ENGINE}"\n'
        text = (f'[control]\nsocket = "{self.run}/lbd.sock"\nstate = "{self.run}/state.json"\n{control}\n'
                f"[dataplane]\n{flows}{dataplane}\n")
        for port in ports or self.ports():
            text += f'[[port]]\ninterface = "{port}"\n'
        return text + services

    def web(self, scheduler="wrr", port=80, protocol="tcp", interval="200ms", weights=(1, 1, 1), more=""):
        """A service on all real servers of this bed as TOML, checked every `interval`."""
        text = (f'[[service]]\naddress = "{self.service(port, protocol)}"\nscheduler = "{scheduler}"\n{more}\n'
                f'[service.health]\ninterval = "{interval}"\ntimeout = "{interval}"\n'
                # Closed connections end soon, so that a drain does.
                '[service.timeouts]\nfin_wait = "1s"\ntime_wait = "1s"\nclose = "1s"\nlast_ack = "1s"\n')
        for n, (address, weight) in enumerate(zip(self.rs, weights), 1):
            text += f'[[service.real_server]]\naddress = "{address}"\nweight = {weight}\n'
            if "TB_RS_VID" in self.vars and n < 3:
                text += f'mac = "{self.vars[f"TB_MAC_RS{n}"]}"\nvlan = {self.vars["TB_RS_VID"]}\nstate = "up"\n'
        return text


def stop(child, signal_number=signal.SIGTERM, seconds=10):
    """Ends a child; its status."""
    if child.poll() is None:
        child.send_signal(signal_number)
        try:
            child.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            child.kill()
    return child.wait()


class Lbd:
    """An lbd in the director of a bed, for the length of a `with` block. The socket answers when it begins."""

    def __init__(self, bed, config, *arguments, role="dir", name="lbd", program=BUILD / "control/lbd"):
        self.bed, self.role, self.arguments, self.program = bed, role, arguments, program
        self.file, self.log_file = bed.run / f"{name}.toml", bed.run / f"{name}.log"
        self.socket = bed.run / f"{name}.sock"
        self.file.write_text(config)
        self.process = None

    def __enter__(self):
        return self.start()

    def __exit__(self, kind, *_):
        status = self.stop()
        if kind is None and status != 0:
            raise Failure(f"lbd ended with {status}; its log:\n{self.log()}")

    def start(self):
        self.spawn()
        wait_for("lbd to answer", 20, self._settled)
        if self.process.poll() is not None:
            raise Failure(f"lbd ended with {self.process.returncode} at the start; its log:\n{self.log()}")
        return self

    def spawn(self):
        """Starts lbd and waits for nothing."""
        with self.log_file.open("a") as log:
            self.process = subprocess.Popen(
                self.bed.command(self.role, self.program, "--config", self.file, *self.arguments),
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def _settled(self):
        if self.process.poll() is not None:
            return True
        try:
            return self.api("GET", "/v1/version")[1]["pid"] == self.process.pid
        except OSError:
            return False

    def stop(self, signal_number=signal.SIGTERM):
        return stop(self.process, signal_number)

    def log(self):
        return self.log_file.read_text(errors="replace")

    def configure(self, config):
        """Replaces the file and reloads it by SIGHUP; returns when the log says what came of it."""
        self.file.write_text(config)
        before = len(self.log())
        self.process.send_signal(signal.SIGHUP)
        wait_for("the reload in the log", 10, lambda: "reload" in self.log()[before:])
        return self.log()[before:]

    def ctl(self, *argv, check=True, seconds=60):
        """Runs lbctl; the CompletedProcess. Failure on a status other than 0, unless check=False."""
        command = [str(BUILD / "control/lbctl"), "--socket", str(self.socket), *map(str, argv)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False,
                                  stdin=subprocess.DEVNULL)
        except subprocess.TimeoutExpired as late:
            raise Failure(f"`lbctl {' '.join(map(str, argv))}` was not done after {seconds} s: {late.stdout}") from None
        if check and done.returncode != 0:
            raise Failure(f"`lbctl {' '.join(map(str, argv))}` ended with {done.returncode}: "
                          f"{done.stdout}{done.stderr}")
        return done

    def show(self, *argv):
        return json.loads(self.ctl(*argv, "--json").stdout)

    def api(self, method, path, body=None):
        """(status, answer) of one call; the answer is parsed when it is JSON."""
        connection = _UnixHttp(str(self.socket))
        try:
            connection.request(method, path, body if isinstance(body, (str, bytes, type(None))) else json.dumps(body))
            reply = connection.getresponse()
            text = reply.read().decode(errors="replace")
        finally:
            connection.close()
        return reply.status, json.loads(text) if text[:1] in "{[" else text

    def services(self):
        return self.api("GET", "/v1/services")[1]["services"]

    def real_server(self, address, service=0):
        return next((rs for rs in self.services()[service]["real_servers"] if rs["address"] == address), None)

    def wait_serving(self, count=None, seconds=10):
        """Waits until `count` (default: all) real servers of each service take new flows."""
        def ready():
            services = self.services()
            good = [sum(not rs["reason"] for rs in s["real_servers"]) for s in services]
            wanted = [len(s["real_servers"]) if count is None else count for s in services]
            return good == wanted
        try:
            wait_for("the real servers to take flows", seconds, ready)
        except Failure as failure:
            raise Failure(f"{failure}: {self.ctl('show', 'rs', check=False).stdout}\n{self.log()}") from None
        return self

    def total_drops(self, reason):
        return next(d["total"] for d in self.api("GET", "/v1/drops")[1]["drops"] if d["reason"] == reason)


class _UnixHttp(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("lbd", timeout=30)
        self._path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)
