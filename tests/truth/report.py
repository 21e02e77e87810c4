# SPDX-License-Identifier: Apache-2.0
"""The tracer: runs `lbctl observe leak` on a command, and reads its report (observe/output/json.h)."""
import collections
import json
import os
import pathlib
import re
import subprocess
import tempfile

from program import Failure
from stacks import Frame, Process, Record

RUN_SECONDS_MAX = 120
# Labels of the dimension "kind" whose rows are mappings and not blocks of an allocator.
MAPPINGS = ("mapping", "mappings", "mapped", "mmap", "brk")
BLOCKS_SECTION = "outstanding blocks"


class Report:
    def __init__(self, data):
        self._data = data
        self.figures = {figure["name"]: figure["value"] for figure in data["figures"]}
        self.honesty = data["honesty"]

    def _frames(self, row):
        """Leaf first, inlined functions in their places; without the kernel's."""
        if row["stack"] is None:
            return []
        frames = []
        for index in self._data["stacks"][row["stack"]]["frames"]:
            frame = self._data["frames"][index]
            if frame["kind"] == "user":
                places = frame["places"] or [{"function": "", "file": ""}]
                frames += [Frame(place["function"], os.path.basename(place["file"])) for place in places]
        return frames

    def rows(self, mappings=False):
        """(labels, values, frames) of the rows of blocks, or of mappings."""
        for row in self._data["rows"]:
            if (row["labels"].get("kind") in MAPPINGS) == mappings:
                yield row["labels"], row["values"], self._frames(row)

    def processes(self):
        """{label: Process} with the outstanding blocks of each."""
        found = collections.defaultdict(lambda: Process(0, 0, []))
        for labels, values, frames in self.rows():
            process = found[labels.get("process", "")]
            process.records.append(Record(values["bytes"], values["blocks"], frames))
            process.bytes += values["bytes"]
            process.blocks += values["blocks"]
        return dict(found)

    def mapped(self):
        """Bytes that the program has mapped; None: the report has no mappings. A thread's stack and what the
        loader maps are not the program's: it has main in its stack and is not made by pthread_create."""
        if "mapped" not in self.figures and not any(True for _ in self.rows(mappings=True)):
            return None
        total = 0
        for _, values, frames in self.rows(mappings=True):
            names = {re.sub(r"^_+", "", frame.function) for frame in frames}
            if "main" in names and not any(name.startswith(("pthread_create", "dl_", "dlopen")) for name in names):
                total += values["bytes"]
        return total

    def block_sizes(self, process=""):
        """Sizes of the outstanding blocks (--show-allocs) of the processes whose label has `process` in it."""
        for section in self._data["sections"]:
            if section["title"].startswith(BLOCKS_SECTION):
                size, owner = section["columns"].index("bytes"), section["columns"].index("process")
                return [int(line[size]) for line in section["lines"] if process in line[owner]]
        raise Failure(f"the report has no section {BLOCKS_SECTION!r}")

    def losses(self):
        """What keeps the figures from being exact, in words."""
        names = ("lost", "missed", "map_full", "stacks_lost", "frees_hidden", "unobserved_s")
        return ", ".join(f"{name} {self.honesty[name]}" for name in names if self.honesty.get(name))


def trace_command(lbctl, command, more=(), form="json"):
    return [str(word) for word in (lbctl, "observe", "leak", "--sample", "all", "-o", form, *more, "--", *command)]


def trace(lbctl, command, more=(), env=None):
    """(Report, what the command printed, how it ended in the tracer's words). Failure: the tracer failed."""
    with tempfile.TemporaryDirectory(prefix="truth-tracer-") as folder:
        output, printed = pathlib.Path(folder) / "report", pathlib.Path(folder) / "printed"
        with open(printed, "w", encoding="utf-8") as file:
            try:
                done = subprocess.run(trace_command(lbctl, command, ["--output", output, *more]), check=False, env=env,
                                      stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.PIPE, text=True,
                                      timeout=RUN_SECONDS_MAX)
            except subprocess.TimeoutExpired as late:
                raise Failure(f"the tracer was not done after {RUN_SECONDS_MAX} s") from late
        if done.returncode != 0 or not output.exists():
            raise Failure(f"the tracer ends with status {done.returncode}:\n{done.stderr}")
        ended = re.search(r"the command has ended: (.*)", done.stderr)
        return (Report(json.loads(output.read_text())), printed.read_text(errors="replace"),
                ended.group(1) if ended else "nothing")
