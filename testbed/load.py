#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A strict HTTP client: each request either brings a whole 200 answer in time, or counts as failed.

usage: load.py HOST PORT [--clients N] [--rate N] [--requests N] [--seconds S] [--per-connection N] [--timeout S]
               [--events FILE]
  Sends GET / until --requests are sent, --seconds are over or SIGTERM comes; then prints a JSON summary and exits
  with 1 when a request failed. --events: a line per request, `START END ANSWER` or `START END !ERROR`, in
  seconds of CLOCK_REALTIME. Refused, reset, timed out, cut short or not 200: all the same, failed.
"""
import argparse
import collections
import contextlib
import http.client
import json
import signal
import sys
import threading
import time


class Load:
    """Shared by the client threads."""

    def __init__(self, options):
        self.options, self.stop = options, threading.Event()
        self.lock = threading.Lock()
        self.left, self.answers = options.requests, collections.Counter()
        self.errors, self.slowest = collections.Counter(), 0.0
        self.events = open(options.events, "w", buffering=1) if options.events else None

    def take(self):
        """Whether there is another request to send."""
        with self.lock:
            if self.stop.is_set() or self.left == 0:
                return False
            if self.left is not None:
                self.left -= 1
            return True

    def record(self, start, answer, error):
        end = time.time()
        with self.lock:
            self.slowest = max(self.slowest, end - start)
            (self.errors if error else self.answers)[error or answer] += 1
            if self.events:
                self.events.write(f"{start:.6f} {end:.6f} {'!' + error if error else answer}\n")


def ask(connection):
    """(answer, error) of one request."""
    try:
        connection.request("GET", "/")
        reply = connection.getresponse()
        body = reply.read().decode(errors="replace").strip()
    except (OSError, http.client.HTTPException) as error:
        return None, type(error).__name__
    return body, None if reply.status == 200 else f"status{reply.status}"


def client(load):
    options = load.options
    pause = options.clients / options.rate
    while load.take():
        connection = http.client.HTTPConnection(options.host, options.port, timeout=options.timeout)
        with contextlib.closing(connection):
            for n in range(options.per_connection):
                if n > 0 and not load.take():
                    break
                start = time.time()
                answer, error = ask(connection)
                load.record(start, answer, error)
                if error:
                    break
                load.stop.wait(max(0.0, start + pause - time.time()))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("host")
    parser.add_argument("port", type=int)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--rate", type=float, default=400, help="requests a second of all clients")
    parser.add_argument("--requests", type=int)
    parser.add_argument("--seconds", type=float)
    parser.add_argument("--per-connection", type=int, default=1)
    parser.add_argument("--timeout", type=float, default=5)
    parser.add_argument("--events")
    load = Load(parser.parse_args())
    signal.signal(signal.SIGTERM, lambda *_: load.stop.set())
    threading.excepthook = lambda trouble: load.record(time.time(), None, f"client:{trouble.exc_value!r}")
    begin = time.monotonic()
    threads = [threading.Thread(target=client, args=(load,)) for _ in range(load.options.clients)]
    for thread in threads:
        thread.start()
    limit = load.options.seconds
    while any(thread.is_alive() for thread in threads):
        if limit and time.monotonic() - begin > limit:
            load.stop.set()
        threads[0].join(0.05) if threads[0].is_alive() else load.stop.wait(0.05)
    failed = sum(load.errors.values())
    print(json.dumps({"requests": failed + sum(load.answers.values()), "failed": failed,
                      "answers": dict(sorted(load.answers.items())), "errors": dict(load.errors),
                      "slowest_ms": round(load.slowest * 1000, 1), "seconds": round(time.monotonic() - begin, 2)}))
    return 1 if failed else 0


sys.exit(main())
