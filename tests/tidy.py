# SPDX-License-Identifier: Apache-2.0
"""clang-tidy over every source of a build, all cores, remembering what was clean.

The daily run leaves out what costs most and finds least, and ends the analyzer's search early: a source takes 5 s
instead of 10 to 45. The long one does all of .clang-tidy.

A source is looked at again when it, a header of ours that it includes, or .clang-tidy changed. The memory is a
folder of empty files beside ccache's, one a clean state; those not met for a month go.
"""
import concurrent.futures
import hashlib
import json
import os
import subprocess
import sys
import time

MEMORY = os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "sluice-tidy")
FORGET_SECONDS = 30 * 86400
# A third of the time of all checks but the analyzer (--enable-check-profile).
LEFT_TO_LONG = ("performance-unnecessary-value-param", "misc-unused-using-decls", "modernize-use-using",
                "readability-redundant-control-flow", "readability-redundant-declaration",
                "bugprone-reserved-identifier", "bugprone-standalone-empty", "bugprone-multiple-statement-macro")
# Of clang's 225000 a function: takes a third of the time.
ANALYZER_NODES_MAX = 50000


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


def state(path, files, options):
    digest = hashlib.sha256("\0".join(options).encode())
    for name in [".clang-tidy", path, *files]:
        with open(name, "rb") as file:
            digest.update(name.encode() + b"\0" + file.read() + b"\0")
    return digest.hexdigest()


def options_for(path, long):
    """How clang-tidy is called for a source."""
    off = [] if long else list(LEFT_TO_LONG)
    with open(path, encoding="utf-8") as file:
        asio = "boost/asio" in file.read()
    if path.startswith(("tests/", "testbed/")) or asio:  # the analyzer finds GoogleTest, skeletons and Asio
        off.append("clang-analyzer-*")
    options = [f"--checks={','.join('-' + check for check in off)}"] if off else []
    if not long:
        words = ("-Xclang", "-analyzer-config", "-Xclang", f"max-nodes={ANALYZER_NODES_MAX}")
        options += [f"--extra-arg={word}" for word in words]
    return options


def look(build, path, options, mark):
    if os.path.exists(mark):
        os.utime(mark)
        return None
    command = ["clang-tidy-19", "--quiet", "-p", build, *options, path]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        with open(mark, "w", encoding="utf-8"):
            pass
        return None
    return done.stdout


def check(build, long=False):
    """(path, complaints or None) for every source."""
    os.makedirs(MEMORY, exist_ok=True)
    for name in os.listdir(MEMORY):
        if os.stat(f"{MEMORY}/{name}").st_mtime < time.time() - FORGET_SECONDS:
            os.unlink(f"{MEMORY}/{name}")
    known = dependencies(build)
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        jobs = []
        for path in sources(build):
            options = options_for(path, long)
            mark = f"{MEMORY}/{state(path, known.get(path, []), options)}"
            jobs.append((path, pool.submit(look, build, path, options, mark)))
        for path, job in jobs:
            yield path, job.result()


if __name__ == "__main__":
    found = [complaints for _, complaints in check(sys.argv[1]) if complaints is not None]
    sys.exit("\n".join(found) or 0)
