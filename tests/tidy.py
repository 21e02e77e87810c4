# SPDX-License-Identifier: Apache-2.0
"""clang-tidy over every source of a build, both cores, remembering what was clean.

A source is looked at again when it, a header of ours that it includes, or .clang-tidy changed. The memory is a
folder of empty files beside ccache's, one a clean state; those not met for a month go.
"""
import concurrent.futures
import hashlib
import json
import os
import subprocess
import time

MEMORY = os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "sluice-tidy")
FORGET_SECONDS = 30 * 86400


def sources(build):
    """Sources of ours that the build compiles, as paths from the root."""
    with open(f"{build}/compile_commands.json", encoding="utf-8") as file:
        paths = {os.path.relpath(os.path.join(c["directory"], c["file"])) for c in json.load(file)}
    return sorted(p for p in paths if not p.startswith(("..", "build/")))


def dependencies(build):
    """Source -> the files of ours it was compiled from, by ninja's log."""
    output = subprocess.run(["ninja", "-C", build, "-t", "deps"], capture_output=True, text=True, check=True).stdout
    found, current = {}, []
    for line in output.splitlines():
        if line.startswith("    "):
            path = os.path.relpath(os.path.join(build, line.strip()))
            if not path.startswith(("..", "build/")):
                current.append(path)
        else:
            if current:
                found.setdefault(current[0], sorted(current))
            current = []
    if current:
        found.setdefault(current[0], sorted(current))
    return found


def state(path, files):
    digest = hashlib.sha256()
    for name in [".clang-tidy", path, *files]:
        with open(name, "rb") as file:
            digest.update(name.encode() + b"\0" + file.read() + b"\0")
    return digest.hexdigest()


def look(build, path, mark):
    if os.path.exists(mark):
        os.utime(mark)
        return None
    command = ["clang-tidy-19", "--quiet", "-p", build, path]
    with open(path, encoding="utf-8") as file:
        asio = "boost/asio" in file.read()
    if path.startswith("tests/") or asio:  # the analyzer takes most of the time and finds GoogleTest and Asio
        command.insert(1, "--checks=-clang-analyzer-*")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        with open(mark, "w", encoding="utf-8"):
            pass
        return None
    return done.stdout


def check(build):
    """(path, complaints or None) for every source."""
    os.makedirs(MEMORY, exist_ok=True)
    for name in os.listdir(MEMORY):
        if os.stat(f"{MEMORY}/{name}").st_mtime < time.time() - FORGET_SECONDS:
            os.unlink(f"{MEMORY}/{name}")
    known = dependencies(build)
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        jobs = [(path, pool.submit(look, build, path, f"{MEMORY}/{state(path, known.get(path, []))}"))
                for path in sources(build)]
        for path, job in jobs:
            yield path, job.result()
