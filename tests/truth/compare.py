# SPDX-License-Identifier: Apache-2.0
"""Compares a tracer's report on a program with what the other tools say of it; each complaint is a sentence."""
import dataclasses
import json
import pathlib

import heaptrack_truth
import lsan_truth
import report as tracer
import stacks
import valgrind_truth
from program import Failure, native

SHOWN_MAX = 8


@dataclasses.dataclass
class Truth:
    """What is known of a program without the tracer."""
    printed: str     # by the program alone
    valgrind: list   # Processes; None: it cannot run it
    lsan: list       # Processes; None: it cannot run it


def _stored(path, make, source):
    """The Processes that `make` gives, from a file when they were made before."""
    if path.exists() and path.stat().st_mtime > source.stat().st_mtime:
        return [stacks.Process(p["bytes"], p["blocks"], [
            stacks.Record(r["bytes"], r["blocks"], [stacks.Frame(**f) for f in r["frames"]]) for r in p["records"]])
            for p in json.loads(path.read_text())]
    made = make()
    path.write_text(json.dumps(made, default=vars))
    return made


def truth_of(program, work):
    """All truths of a program; they are made once in a folder. Failure: a tool fails, or two of them disagree."""
    work = pathlib.Path(work)
    printed = native(program, work)
    at = work / f"{program.name}-{program.digest()}"
    valgrind = lsan = None
    if program.can("valgrind"):
        # A mapping program asks how much is mapped, and under valgrind that is another figure.
        status = program.status if not program.says("expect").startswith("mapped=") else None
        valgrind = _stored(at.with_suffix(".valgrind"), lambda: valgrind_truth.truth(
            program.command(work, "truth"), program.says("processes") == "exec", status), program.source)
    if program.can("lsan"):
        lsan = _stored(at.with_suffix(".lsan"), lambda: lsan_truth.truth(program, work), program.source)
    truth = Truth(printed, valgrind, lsan)
    if valgrind is not None and lsan is not None and program.says("stacks") != "no":
        complaints = list(lsan_complaints(truth, stacks.by_stack(valgrind, program.sources), program))
        if complaints:
            raise Failure("valgrind and LeakSanitizer disagree: " + "\n".join(complaints))
    return truth


def heap_sums(processes, program):
    """Sorted [(bytes, blocks)] of each process that has any."""
    if program.says("heap") == "main":
        sums = [stacks.below_main([process], program.sources) for process in processes]
    else:
        sums = [(process.bytes, process.blocks) for process in processes]
    return sorted(pair for pair in sums if pair != (0, 0))


def sums_complaints(truth, processes, program):
    wanted = heap_sums(truth.valgrind, program) if truth.valgrind is not None else [program.heap]
    got = heap_sums(processes, program)
    if got != wanted:
        def words(sums):
            return "; ".join(f"{size} bytes in {blocks} blocks" for size, blocks in sums) or "nothing"
        yield f"outstanding by process: {words(got)}; the truth is {words(wanted)}"


def stack_complaints(truth, ours, program):
    theirs = stacks.by_stack(truth.valgrind, program.sources)
    if program.says("heap") == "main":
        theirs, ours = ({names: value for names, value in sums.items() if "main" in names} for sums in (theirs, ours))
    for names in sorted(theirs.keys() | ours.keys()):
        wanted, got = theirs.get(names, (0, 0)), ours.get(names, (0, 0))
        if wanted != got:
            yield (f"{stacks.show(names)}: {got[0]} bytes in {got[1]} blocks; valgrind has {wanted[0]} bytes in "
                   f"{wanted[1]} blocks")


def lsan_complaints(truth, ours, program):
    for names, (size, blocks) in stacks.by_stack(truth.lsan, program.sources).items():
        got = ours.get(names, (0, 0))
        # To LeakSanitizer a block of no bytes has one.
        if got[1] < blocks or got[0] + got[1] < size:
            yield (f"{stacks.show(names)}: LeakSanitizer has {size} bytes in {blocks} blocks, which are not among "
                   f"{got[0]} bytes in {got[1]} blocks")


def mapped_complaints(found, program):
    got = found.mapped()
    if program.mapped is not None and (got or 0) != program.mapped:
        yield f"mapped: {'no mappings in the report' if got is None else got}; the kernel has {program.mapped}"


def complaints_of(program, truth, lbctl, work):
    """What the tracer has wrong about a program."""
    found, printed, ended = tracer.trace(lbctl, program.command(work))
    complaints = []
    if ended != f"exit status {program.status}":
        complaints.append(f"traced it ends with {ended}, by itself with exit status {program.status}")
    if printed != truth.printed:
        complaints.append(f"traced it prints {printed!r}, by itself {truth.printed!r}")
    processes = list(found.processes().values())
    figures = found.figures.get("leak"), found.figures.get("blocks")
    sums = sum(p.bytes for p in processes), sum(p.blocks for p in processes)
    if figures != sums:
        complaints.append(f"its figures leak and blocks are {figures}, its rows add up to {sums}")
    complaints += sums_complaints(truth, processes, program)
    complaints += mapped_complaints(found, program)
    if program.says("stacks") != "no":
        ours = stacks.by_stack(processes, program.sources)
        if truth.valgrind is not None:
            complaints += stack_complaints(truth, ours, program)
        if truth.lsan is not None:
            complaints += lsan_complaints(truth, ours, program)
    if found.losses():
        complaints.append(f"it says itself: {found.losses()}")
    return complaints[:SHOWN_MAX]


def heaptrack_complaints(program, lbctl, work):
    """The tracer's figures by stack against heaptrack's, for stacks in which a function below main allocates; peaks
    of those that had blocks when the program was at its own peak."""
    def names_of(frames):
        return stacks.own_names(frames, program.sources)
    theirs = heaptrack_truth.truth(program.command(work))
    found, _, _ = tracer.trace(lbctl, program.command(work))
    complaints = []
    for measure, lines in theirs.items():
        wanted = heaptrack_truth.by_stack(lines, names_of)
        got = heaptrack_truth.by_stack([(frames, values[measure]) for _, values, frames in found.rows()], names_of)
        for names in sorted(wanted.keys() | got.keys()):
            other = not names or names[0] == "main" or measure == "peak_bytes" and not wanted.get(names)
            if not other and wanted.get(names, 0) != got.get(names, 0):
                complaints.append(f"{stacks.show(names)}: {measure} {got.get(names, 0)}, heaptrack's is "
                                  f"{wanted.get(names, 0)}")
    return complaints
