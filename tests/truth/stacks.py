# SPDX-License-Identifier: Apache-2.0
"""What all truths are given in: processes with outstanding blocks by stack, and names that compare.

Each tool names functions in its own way and sees its own wrappers at the leaf and the loader at the root. What they
all agree on are the functions that stand in the program's own sources; a stack is the tuple of those, leaf first.
"""
import collections
import dataclasses
import re


@dataclasses.dataclass
class Frame:
    function: str
    file: str = ""  # of the source, without its folder; empty: not known


@dataclasses.dataclass
class Record:
    """Outstanding blocks of one stack."""
    bytes: int
    blocks: int
    frames: list  # of Frame, leaf first, all that the tool showed


@dataclasses.dataclass
class Process:
    """One process at its exit."""
    bytes: int
    blocks: int
    records: list


def plain_name(text):
    """A function's name without its scope, template arguments, parameters, return type and what a compiler appended:
    the debug information of inlined functions has no more."""
    text = re.sub(r" ?\[[^\]]*\]$", "", text.strip())  # [clone ...], [abi:...]
    text = text.replace("(anonymous namespace)", "{anonymous}").replace("operator()", "operator call")
    text = re.sub(r"\.(isra|part|constprop|cold|lto_priv|actor|destroy)(\.\d+)*", "", text)
    plain, depth = "", 0
    for char in text:
        if char == "<" and not plain.endswith("operator"):
            depth += 1
        elif char == ">" and depth:
            depth -= 1
        elif not depth:
            if char == "(":
                break
            plain += char
    if "operator" in plain:
        return "operator" + plain.partition("operator")[2].rstrip()
    return plain.strip().split(" ")[-1].split("::")[-1]


def own_names(frames, sources):
    """The stack as all truths know it: names of the functions from `sources` (names of files)."""
    return tuple(plain_name(frame.function) for frame in frames if frame.file in sources)


def by_stack(processes, sources):
    """{names: (bytes, blocks)} over all processes; blocks that no function of the sources took are under ()."""
    sums = collections.Counter(), collections.Counter()
    for process in processes:
        for record in process.records:
            names = own_names(record.frames, sources)
            sums[0][names] += record.bytes
            sums[1][names] += record.blocks
    return {names: (sums[0][names], sums[1][names]) for names in sums[0] | sums[1]}


def below_main(processes, sources):
    """(bytes, blocks) of what main or a function that it calls took."""
    sums = by_stack(processes, sources)
    return tuple(sum(value[i] for names, value in sums.items() if "main" in names) for i in (0, 1))


def show(names):
    return " < ".join(names) or "(no function of the program)"
