# SPDX-License-Identifier: Apache-2.0
"""The allocators' own truth: glibc's mallinfo2, jemalloc's stats.allocated, and redis-server's used_memory.

An allocator counts what it took for a block, not what was asked for. So the sizes of the blocks that a tracer shows
as outstanding (--show-allocs) are given to the same allocator once more, and the sum of what it takes for them must
be what it said. Without a tracer the load's own sizes stand in.
"""
import json
import os
import pathlib
import queue
import re
import shutil
import socket
import subprocess
import tempfile
import threading
import time

import report as tracer
from program import HERE, Failure, run

# Cached blocks count as given out: no caches.
ENVIRONMENT = os.environ | {"GLIBC_TUNABLES": "glibc.malloc.tcache_count=0", "MALLOC_CONF": "tcache:false"}
REDIS_KEYS = 5000
WAIT_SECONDS_MAX = 120


def build(work, allocator):
    binary = pathlib.Path(work) / f"load-{allocator}"
    binary.parent.mkdir(parents=True, exist_ok=True)
    if not binary.exists():
        more = ["-l:libjemalloc.so.2"] if allocator == "jemalloc" else []
        done = run(["gcc-12", "-g", "-O1", HERE / "allocator/load.c", "-o", binary, *more])
        if done.returncode != 0:
            raise Failure(done.stderr)
    return binary


def number(text, name, separator=" "):
    found = re.search(rf"^{name}{separator}(\d+)\s*$", text, re.M)
    if not found:
        raise Failure(f"no {name} in {text!r}")
    return int(found.group(1))


def rounded(work, allocator, sizes):
    """What the allocator takes for blocks of these sizes."""
    done = subprocess.run([build(work, allocator), "round"], input="\n".join(map(str, sizes)), capture_output=True,
                          text=True, check=True, env=ENVIRONMENT, timeout=WAIT_SECONDS_MAX)
    return number(done.stdout, "rounded")


def load_complaints(allocator, lbctl, work):
    binary = build(work, allocator)
    if not lbctl:
        done = run([binary], env=ENVIRONMENT)
        sums = number(done.stdout, "allocated"), number(done.stdout, "rounded")
        return [] if sums[0] == sums[1] else [f"allocated {sums[0]}, rounded {sums[1]}"]
    found, printed, _ = tracer.trace(lbctl, [binary], ["--show-allocs"], env=ENVIRONMENT)
    allocated, ours = number(printed, "allocated"), rounded(work, allocator, found.block_sizes())
    if allocator == "jemalloc":  # it is C++: libstdc++'s pool came before main
        allocated += number(printed, "before")
    return [] if ours == allocated else [f"the blocks take {ours} bytes; {allocator} has given out {allocated}"]


class Redis:
    """A redis-server on a socket in a folder of its own, under the tracer if there is one, for a `with` block."""

    def __init__(self, lbctl):
        self._folder = tempfile.TemporaryDirectory(prefix="truth-redis-")
        self._socket = f"{self._folder.name}/socket"
        self._command = ["redis-server", "--port", "0", "--unixsocket", self._socket, "--save", "", "--appendonly",
                         "no", "--dir", self._folder.name, "--logfile", f"{self._folder.name}/log"]
        if lbctl:
            self._command = tracer.trace_command(lbctl, self._command, ["--show-allocs", "--interval", "1s"], "jsonl")
        self._traced = bool(lbctl)
        self._process = self._reader = self._connection = None
        self._reports = queue.Queue()

    def __enter__(self):
        with open(f"{self._folder.name}/said", "w", encoding="utf-8") as said:
            self._process = subprocess.Popen(self._command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                             stderr=said, text=True, env=ENVIRONMENT)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        end = time.monotonic() + WAIT_SECONDS_MAX
        while "PONG" not in self.tell("PING"):
            if self._process.poll() is not None or time.monotonic() > end:
                said = pathlib.Path(self._folder.name, "said").read_text(errors="replace")
                self.__exit__()
                raise Failure(f"redis-server does not answer; {self._command[0]} said:\n{said}")
        return self

    def _read(self):
        for line in self._process.stdout:
            self._reports.put(json.loads(line))

    def __exit__(self, *_):
        if self._connection:
            self._connection.close()
        self.tell("SHUTDOWN NOSAVE")
        try:
            self._process.wait(WAIT_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join()
        self._process.stdout.close()
        self._folder.cleanup()

    def tell(self, commands):
        return subprocess.run(["redis-cli", "-s", self._socket], input=commands, capture_output=True, text=True,
                              check=False, timeout=WAIT_SECONDS_MAX).stdout

    def used(self):
        """used_memory, always by the same connection, so that its own blocks are the same each time."""
        if not self._connection:
            self._connection = socket.socket(socket.AF_UNIX)
            self._connection.settimeout(WAIT_SECONDS_MAX)
            self._connection.connect(self._socket)
        self._connection.sendall(b"INFO memory\r\n")
        text = ""
        while "mem_allocator" not in text or not text.endswith("\r\n\r\n"):
            text += self._connection.recv(1 << 16).decode()
        return number(text, "used_memory", ":")

    def reading(self):
        """(used_memory, sizes of all blocks), of a report between two equal readings."""
        end = time.monotonic() + WAIT_SECONDS_MAX
        while time.monotonic() < end:
            used = self.used()
            sizes = self._sizes() if self._traced else []
            if used == self.used():
                return used, sizes
        raise Failure(f"used_memory does not stop changing in {WAIT_SECONDS_MAX} s")

    def _sizes(self):
        """Sizes of the blocks of a report that was begun after now: not of the first that comes, which may have been
        read before and be made ready since. Redis frees the buffers of a connection that is idle for two seconds, and
        makes them anew for the next INFO: of the sixth, some seconds later, which never has them."""
        while not self._reports.empty():
            self._reports.get()
        for _ in range(6):
            try:
                data = self._reports.get(timeout=WAIT_SECONDS_MAX)
            except queue.Empty as empty:
                raise Failure(f"no report in {WAIT_SECONDS_MAX} s") from empty
        return tracer.Report(data).block_sizes("redis-server")


def redis_load():
    lines = [f"SET string:{i} {'x' * (i * 37 % 2000)}" for i in range(REDIS_KEYS)]
    lines += [f"HSET hash:{i % 50} field:{i} {'y' * (i % 90)}" for i in range(REDIS_KEYS)]
    lines += [f"RPUSH list:{i % 7} {'z' * (i % 150)}" for i in range(REDIS_KEYS)]
    lines += [f"DEL string:{i}" for i in range(0, REDIS_KEYS, 3)]
    return "\n".join(lines) + "\n"


def redis_complaints(lbctl, work):
    """Redis counts what its zmalloc gave out; libc and Lua take blocks of the same jemalloc beside it. Those do not
    change under the load, so the growth is compared."""
    with Redis(lbctl) as redis:
        used, sizes = redis.reading()
        redis.tell(redis_load())
        used_after, sizes_after = redis.reading()
    grown = used_after - used
    if not lbctl:
        return [] if grown > 1 << 20 else [f"the load takes {grown} bytes only"]
    ours = rounded(work, "jemalloc", sizes_after) - rounded(work, "jemalloc", sizes)
    return [] if ours == grown else [f"the blocks grew by {ours} bytes; used_memory by {grown}"]


TESTS = {"glibc": lambda lbctl, work: load_complaints("glibc", lbctl, work),
         "jemalloc": lambda lbctl, work: load_complaints("jemalloc", lbctl, work),
         "redis": redis_complaints}


def missing(name):
    """What a test needs and is not there; empty: nothing."""
    if name != "glibc" and run(["sh", "-c", "ldconfig -p | grep -q libjemalloc.so.2"]).returncode != 0:
        return "libjemalloc2"
    return next((tool for tool in ("redis-server", "redis-cli") if name == "redis" and not shutil.which(tool)), "")
