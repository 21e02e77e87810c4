# SPDX-License-Identifier: Apache-2.0
"""LeakSanitizer's truth: stacks of blocks that nothing points to at exit.

It counts less than what is outstanding (a block that a global holds is no leak), so its stacks must be among a
tracer's, with no more bytes and blocks than the tracer has there.

usage: python3 tests/truth/lsan_truth.py PROGRAM   (a name of tests/truth/programs) prints JSON
"""
import json
import os
import pathlib
import re
import sys
import tempfile

sys.dont_write_bytecode = True
from program import PROGRAMS, Failure, Program, run  # noqa: E402
from stacks import Frame, Process, Record  # noqa: E402

OPTIONS = "exitcode=0:fast_unwind_on_malloc=0:malloc_context_size=200:max_leaks=0"
RECORD = re.compile(r"(?:Direct|Indirect) leak of (\d+) byte\(s\) in (\d+) object\(s\) allocated from:")
FRAME = re.compile(r"\s*#\d+ 0x[0-9a-f]+ (?:in )?(.*?) (?:\(.*\)|([^ ]+?)(?::\d+)*)$")


def parse(text):
    process, record = Process(0, 0, []), None
    for line in text.splitlines():
        if head := RECORD.match(line):
            record = Record(int(head.group(1)), int(head.group(2)), [])
            process.records.append(record)
        elif (frame := FRAME.match(line)) and record:
            record.frames.append(Frame(frame.group(1), os.path.basename(frame.group(2) or "")))
        else:
            record = None
    process.bytes = sum(r.bytes for r in process.records)
    process.blocks = sum(r.blocks for r in process.records)
    return process


def truth(program, work):
    """The Processes of a program that had leaks, built with -fsanitize=leak in `work`."""
    command = program.command(work, "lsan", ["-fsanitize=leak"])
    with tempfile.TemporaryDirectory(prefix="truth-lsan-") as folder:
        done = run(command, env=os.environ | {"LSAN_OPTIONS": f"{OPTIONS}:log_path={folder}/log"})
        logs = [path.read_text(errors="replace") for path in pathlib.Path(folder).iterdir()]
    if done.returncode != program.status:
        raise Failure(f"under LeakSanitizer it ends with status {done.returncode}:\n{done.stdout}{done.stderr}")
    for log in logs:
        if "has encountered a fatal error" in log:
            raise Failure(f"LeakSanitizer failed:\n{log}")
    return [process for process in map(parse, logs) if process.records]


if __name__ == "__main__":
    found = [path for path in PROGRAMS.glob("*.c*") if path.stem == sys.argv[1]]
    with tempfile.TemporaryDirectory(prefix="truth-") as place:
        json.dump(truth(Program(found[0]), place), sys.stdout, indent=1, default=vars)
