# SPDX-License-Identifier: Apache-2.0
"""heaptrack's truth: for each stack the allocations, the temporary ones, and the bytes at the end and at the peak.

Its peak of a stack is what the stack had when the whole program was at its peak; a temporary allocation is one that
is freed before any thread makes another. thread_turns.c is made so that neither differs from other definitions.
It shows functions that were inlined in the wrong order, of which that program has none.
heaptrack frees libc's and libstdc++'s own blocks at exit, and its library adds blocks of the loader: only stacks of
the program's own functions compare.

usage: python3 tests/truth/heaptrack_truth.py COMMAND [ARGUMENT…]   prints JSON
"""
import collections
import json
import pathlib
import re
import shutil
import sys
import tempfile

sys.dont_write_bytecode = True
from program import Failure, run  # noqa: E402
from stacks import Frame  # noqa: E402

# heaptrack's name of a figure, and a tracer's name of the same.
COSTS = {"allocations": "calls", "temporary": "temporary", "leaked": "bytes", "peak": "peak_bytes"}


def parse(text):
    """[(frames, leaf first, number)] of a file as for flame graphs."""
    lines = []
    for line in text.splitlines():
        stack, _, number = line.rpartition(" ")
        frames = []
        for place in reversed([word for word in stack.split(";") if word.strip()]):
            match = re.fullmatch(r"(.*) \(([^()]*)\)", place)
            frames.append(Frame(match.group(1), match.group(2)) if match else Frame(place))
        lines.append((frames, int(number)))
    return lines


def truth(command):
    """{measure: [(frames, number)]} with the names of COSTS' values."""
    with tempfile.TemporaryDirectory(prefix="truth-heaptrack-") as folder:
        done = run(["heaptrack", "--output", f"{folder}/data", *command])
        data = [path for path in pathlib.Path(folder).iterdir() if path.name.startswith("data")]
        if not data:
            raise Failure(f"heaptrack wrote nothing:\n{done.stdout}{done.stderr}")
        figures = {}
        for cost, measure in COSTS.items():
            output = pathlib.Path(folder) / cost
            done = run(["heaptrack_print", "--file", data[0], "--disable-builtin-suppressions",
                        "--flamegraph-cost-type", cost, "--print-flamegraph", output])
            if not output.exists():
                raise Failure(f"heaptrack_print failed:\n{done.stdout}{done.stderr}")
            figures[measure] = parse(output.read_text(errors="replace"))
        return figures


def by_stack(lines, names_of):
    """{names: number}; `names_of` makes names of frames."""
    sums = collections.Counter()
    for frames, number in lines:
        sums[names_of(frames)] += number
    return dict(sums)


def available():
    return shutil.which("heaptrack") is not None and shutil.which("heaptrack_print") is not None


if __name__ == "__main__":
    json.dump({name: [[[vars(frame) for frame in frames], number] for frames, number in lines]
               for name, lines in truth(sys.argv[1:]).items()}, sys.stdout, indent=1)
