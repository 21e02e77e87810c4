# SPDX-License-Identifier: Apache-2.0
"""Valgrind's truth: blocks in use at exit, of each process, with their stacks.

Bytes are as they were asked for. What libc and libstdc++ keep until they are told to free it at exit (stdio buffers,
the pool for exceptions of 72,704 bytes) is in use, for a tracer sees it outstanding as well. Valgrind cannot run a
static binary, fail in operator new, or see mappings; programs say so in their heads (program.py).

It executes the breakpoints that uprobes of anybody have put into a library, and dies of SIGTRAP: no truth can be made
while a tracer is attached to files that the program uses.

usage: python3 tests/truth/valgrind_truth.py COMMAND [ARGUMENT…]   prints JSON
"""
import json
import pathlib
import re
import shutil
import sys
import tempfile

sys.dont_write_bytecode = True
from program import Failure, run  # noqa: E402
from stacks import Frame, Process, Record  # noqa: E402

OPTIONS = ["--leak-check=full", "--show-leak-kinds=all", "--leak-resolution=high", "--run-libc-freeres=no",
           "--run-cxx-freeres=no", "--default-suppressions=no", "--num-callers=200", "--error-limit=no",
           "--child-silent-after-fork=no", "--read-inline-info=yes",
           # A program's own operator new is left alone: what it asks malloc for counts.
           "--soname-synonyms=somalloc=nouserintercepts"]
TRIES = 5
SUMMARY = re.compile(r"in use at exit: ([\d,]+) bytes in ([\d,]+) blocks")
RECORD = re.compile(r"([\d,]+)(?: \(([\d,]+) direct, [\d,]+ indirect\))? bytes in ([\d,]+) blocks are .* in loss "
                    r"record")
FRAME = re.compile(r"(?:at|by) 0x[0-9A-F]+: (.*?)(?: \((?:in ([^()]*)|([^():]+):\d+)\))?$")


def number(text):
    return int(text.replace(",", ""))


def parse(text):
    """The Process of one log. None: it did not come to its exit (it executed another program)."""
    summary = SUMMARY.search(text)
    if not summary:
        return None
    process = Process(number(summary.group(1)), number(summary.group(2)), [])
    record = None
    for line in text[summary.end():].splitlines():
        line = re.sub(r"^==\d+== ?", "", line).strip()
        if head := RECORD.match(line):
            record = Record(number(head.group(2) or head.group(1)), number(head.group(3)), [])
            process.records.append(record)
        elif (frame := FRAME.match(line)) and record:
            record.frames.append(Frame(frame.group(1), frame.group(3) or ""))
        else:
            record = None
    seen = sum(r.bytes for r in process.records), sum(r.blocks for r in process.records)
    # Blocks of no bytes are in the summary and in no record; those are all that may be missing.
    if seen[0] != process.bytes:
        raise Failure(f"valgrind's records have {seen[0]} bytes, its summary {process.bytes}")
    return process


def _logs(command, children):
    """(what valgrind ended with, the log of each process)."""
    with tempfile.TemporaryDirectory(prefix="truth-valgrind-") as folder:
        options = [*OPTIONS, f"--log-file={folder}/%p"] + (["--trace-children=yes"] if children else [])
        done = run(["valgrind", *options, *command])
        return done, [path.read_text(errors="replace") for path in pathlib.Path(folder).iterdir()]


def truth(command, children=False, status=None):
    """The Processes of a command, each at its exit. `children`: programs that it executes, too. `status`: with which
    it must end; valgrind ends programs that do what it cannot do."""
    for _ in range(TRIES):
        done, logs = _logs(command, children)
        if not any("(SIGTRAP)" in log for log in logs):
            break
    else:
        raise Failure("valgrind meets a breakpoint: a tracer has its probes in the program or its libraries")
    processes = [process for process in map(parse, logs) if process]
    if any("Process terminating" in log for log in logs) or not processes or status not in (None, done.returncode):
        raise Failure(f"under valgrind it ends with status {done.returncode}:\n{done.stderr}{''.join(logs)}")
    return processes


def available():
    return shutil.which("valgrind") is not None


if __name__ == "__main__":
    json.dump(truth(sys.argv[1:], True), sys.stdout, indent=1, default=vars)
