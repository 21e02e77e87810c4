# SPDX-License-Identifier: Apache-2.0
"""The programs of tests/truth/programs: what their head comments say, and how they are built.

A head comment has lines `// KEY: VALUE[: REASON]`:
  flags         more options for the compiler
  truth-flags   options in place of `flags` for the build that valgrind runs
  lib           a source of programs/lib; built as a shared library, whose path is the program's argument
  expect        mapped=BYTES that the program itself has mapped at exit, 0 unless said, or mapped=any;
                heap=BYTES/BLOCKS where no other truth can say
  exit          its exit status, 0 unless said
  heap          `main`: only what main and its callees took is compared
  stacks        `no`: the sums are compared, not the stacks
  processes     `exec`: it executes programs; valgrind follows them
  valgrind, lsan   `no`: the tool cannot run it
"""
import hashlib
import pathlib
import re
import subprocess

HERE = pathlib.Path(__file__).resolve().parent
PROGRAMS = HERE / "programs"
KEYS = ("flags", "truth-flags", "lib", "expect", "exit", "heap", "stacks", "processes", "valgrind", "lsan")
RUN_SECONDS_MAX = 120


class Failure(Exception):
    """What was not as it must be; the text is for people."""


def run(command, **more):
    """A command to its end, without a terminal. Failure: it took too long."""
    try:
        return subprocess.run([str(word) for word in command], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              errors="replace", check=False, timeout=RUN_SECONDS_MAX, **more)
    except subprocess.TimeoutExpired as late:
        raise Failure(f"{command[0]} was not done after {late.timeout:.0f} s") from late


class Program:
    def __init__(self, source):
        self.source = source
        self.name = source.stem
        self._said = {}
        for line in source.read_text().splitlines():
            if not line.startswith("//"):
                break
            match = re.fullmatch(r"// ([a-z-]+): ([^:]+)(?:: .*)?", line)
            if match and match.group(1) in KEYS:
                self._said[match.group(1)] = match.group(2).strip()

    def says(self, key, default=""):
        return self._said.get(key, default)

    def can(self, tool):
        return self.says(tool) != "no"

    @property
    def mapped(self):
        """Bytes that it has mapped itself at exit; None: nobody knows."""
        match = re.search(r"mapped=(\w+)", self.says("expect", "mapped=0"))
        if not match:
            return 0
        return None if match.group(1) == "any" else int(match.group(1))

    @property
    def status(self):
        """With which it exits."""
        return int(self.says("exit", "0"))

    @property
    def heap(self):
        """(bytes, blocks) that it says itself; None: it does not."""
        match = re.search(r"heap=(\d+)/(\d+)", self.says("expect"))
        return (int(match.group(1)), int(match.group(2))) if match else None

    @property
    def sources(self):
        """Names of the files whose functions make its stacks."""
        return {self.source.name, "keep.h"} | ({f"{self.says('lib')}.c"} if self.says("lib") else set())

    def digest(self):
        files = [self.source, PROGRAMS / "keep.h"] + ([self._library_source()] if self.says("lib") else [])
        return hashlib.sha256(b"\0".join(file.read_bytes() for file in files)).hexdigest()[:16]

    def command(self, work, variant="plain", more=()):
        """Builds the program in `work` unless it is there; what runs it. Variants: plain, truth (for valgrind),
        and others, which have the options `more`."""
        folder = pathlib.Path(work) / variant / self.digest()
        binary = folder / self.name
        flags = self.says("truth-flags" if variant != "plain" and self.says("truth-flags") else "flags").split()
        if not binary.exists():
            folder.mkdir(parents=True, exist_ok=True)
            self._compile(self.source, binary, [*flags, *more])
        if not self.says("lib"):
            return [str(binary)]
        library = folder / f"lib{self.says('lib')}.so"
        if not library.exists():
            self._compile(self._library_source(), library, ["-shared", "-fPIC"])
        return [str(binary), str(library)]

    def _library_source(self):
        return PROGRAMS / "lib" / f"{self.says('lib')}.c"

    @staticmethod
    def _compile(source, target, flags):
        compiler = "gcc-12" if source.suffix == ".c" else "g++-12"
        made = target.with_name(target.name + ".made")
        done = run([compiler, "-g", "-O1", source, "-o", made, *flags])
        if done.returncode != 0:
            raise Failure(f"{source.name} does not compile:\n{done.stderr}")
        made.rename(target)


def all_programs():
    return [Program(path) for path in sorted(PROGRAMS.glob("*.c*"))]


def native(program, work):
    """What the program prints when nobody looks. Failure: it does not end as it says."""
    output = pathlib.Path(work) / f"{program.name}.native"
    output.parent.mkdir(parents=True, exist_ok=True)
    with open(output, "w", encoding="utf-8") as file:
        done = subprocess.run(program.command(work), stdin=subprocess.DEVNULL, stdout=file, stderr=file, check=False,
                              timeout=RUN_SECONDS_MAX)
    text = output.read_text(errors="replace")
    if done.returncode != program.status:
        raise Failure(f"by itself it ends with status {done.returncode}:\n{text}")
    said = re.search(r"^mapped (-?\d+)$", text, re.M)
    if said and int(said.group(1)) != program.mapped:
        raise Failure(f"the kernel counts {said.group(1)} bytes mapped, the program's head says {program.mapped}")
    return text
