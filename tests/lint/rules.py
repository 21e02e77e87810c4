# SPDX-License-Identifier: Apache-2.0
"""The house rules that a reader of text can check: each rule is a function from (path, text) to complaints.

A complaint is (line number, sentence). tests/lint/run applies the rules to the tree; tests/lint/selftest shows that
each of them can fail.
"""
import re

FILE_LINES_MAX = 600
FUNCTION_LINES_MAX = 70
CODE = (".c", ".h", ".cc")

TOP_LEVEL = {
    "CMakeLists.txt", "CMakePresets.json", "README.md", "CHANGELOG.md", "LICENSE", "LICENSES",
    "bpf", "dataplane", "control", "observe", "configs", "docs", "testbed", "tests",
}


def layer_of(path):
    """The layer of a file, for the include rules; None where they do not apply."""
    if path.startswith("tests/") or path.startswith("testbed/"):
        return None
    for prefix, layer in (("bpf/", "bpf"), ("dataplane/base/", "base"), ("dataplane/", "dataplane"),
                          ("control/client/", "client"), ("control/lbctl.cc", "client"),
                          ("control/json/", "json"), ("control/netlink.", "net"), ("control/unix_socket.", "net"),
                          ("control/vip_marker.h", "net"),
                          ("control/", "control"), ("observe/", "observe")):
        if path.startswith(prefix):
            return layer
    return None


# Layer -> layers it may include. bpf <- base <- dataplane <- control; observe: base and bpf; lbctl: the client
# half of control and observe.
MAY_INCLUDE = {
    "bpf": {"bpf"},
    "base": {"base", "bpf"},
    "dataplane": {"dataplane", "base", "bpf"},
    "json": {"json"},
    "net": {"net", "base"},
    "control": {"control", "json", "net", "dataplane", "base", "bpf"},
    "client": {"client", "json", "net", "observe", "base", "bpf"},
    "observe": {"observe", "base", "bpf"},
}

# What only some files may include: a pattern of the header, and of the files that may.
WRAPPED = [
    (r"^xdp/", r"^(dataplane/io/|testbed/|tests/)", "libxdp"),
    (r"^bpf/(bpf|libbpf|btf|xsk)\.h$", r"^(dataplane/base/bpf_|dataplane/base/pin_dir|dataplane/io/|testbed/|tests/)", "libbpf"),
    (r"^bpf/.*\.skel\.h$", r"^(dataplane/io/|observe/|testbed/|tests/)", "a BPF skeleton"),
    (r"^liburing", r"^(dataplane/io/|dataplane/base/)", "liburing"),
    (r"^libmnl/", r"^(dataplane/base/xdp_features|control/|tests/)", "libmnl"),
    (r"^boost/(asio|beast)", r"^(control/|tests/(unit|fuzz)/)", "Asio"),
    (r"^toml\+\+/", r"^control/", "toml++"),
]

INCLUDE = re.compile(r'^\s*#\s*include\s*[<"]([^>"]+)[>"]', re.M)


def line_of(text, position):
    return text.count("\n", 0, position) + 1


def include_rules(path, text):
    if not path.endswith(CODE):
        return
    layer = layer_of(path)
    for match in INCLUDE.finditer(text):
        header = match.group(1)
        other = layer_of(header)
        quoted = '"' in match.group(0)
        if quoted and layer and other and other not in MAY_INCLUDE[layer]:
            yield line_of(text, match.start()), f"{layer} may not include {header} ({other})"
        for pattern, allowed, name in WRAPPED:
            if re.match(pattern, header) and not path.endswith((".bpf.c", ".bpf.h")) and not re.match(allowed, path):
                yield line_of(text, match.start()), f"{name} ({header}) does not belong in this file"


def file_size(path, text):
    lines = text.count("\n")
    if path.endswith(CODE + (".sh", ".py")) and lines > FILE_LINES_MAX:
        yield lines, f"{lines} lines; {FILE_LINES_MAX} are the ceiling: one idea a file"


def blank_comments_and_strings(text):
    """The same text, same length, with comments, strings and preprocessor lines blanked."""
    def blank(match):
        return re.sub(r"[^\n]", " ", match.group(0))
    pattern = (r'//[^\n]*|/\*.*?\*/|R"(\w*)\(.*?\)\1"|"(?:\\.|[^"\\\n])*"|(?<![0-9a-fA-F])\'(?:\\.|[^\'\\\n])*\''
               r'|^[ \t]*#(?:\\\n|[^\n])*')
    return re.sub(pattern, blank, text, flags=re.S | re.M)


def functions(text):
    """(first line, last line, header) of each outermost function body."""
    text = blank_comments_and_strings(text)
    stack, start, inside = [], 0, 0
    for i, char in enumerate(text):
        if char == ";" and not inside:
            start = i + 1
        elif char == "{":
            header = " ".join(text[start:i].split())
            is_scope = re.match(r"(inline )?namespace\b|extern\b\s*$", header) or (
                re.search(r"\b(struct|class|union|enum)\b", header) and not header.endswith(")"))
            is_function = not inside and not is_scope and "(" in header and "=" not in header.split("(")[0]
            first = line_of(text, start + len(text[start:i]) - len(text[start:i].lstrip()))
            stack.append((is_function, first, header))
            inside += is_function
            if not inside:
                start = i + 1
        elif char == "}":
            if not stack:
                continue
            is_function, first, header = stack.pop()
            if is_function:
                inside -= 1
                yield first, line_of(text, i), header
            if not inside:
                start = i + 1


def function_size(path, text):
    if not path.endswith(CODE):
        return
    for first, last, header in functions(text):
        if last - first + 1 > FUNCTION_LINES_MAX:
            yield first, f"{last - first + 1} lines; {FUNCTION_LINES_MAX} are the ceiling: {header[:60]}"


def spdx(path, text):
    name = path.rsplit("/", 1)[-1]
    wanted = path.endswith(CODE + (".sh", ".py", ".toml", ".service")) or name == "CMakeLists.txt" or \
        text.startswith("#!")
    if wanted and "SPDX-License-Identifier: " not in "\n".join(text.split("\n")[:3]):
        yield 1, "no SPDX-License-Identifier in the first lines"
    if path.endswith(".bpf.c") and "(GPL-2.0-only OR BSD-2-Clause)" not in text.split("\n")[0]:
        yield 1, "a BPF object is (GPL-2.0-only OR BSD-2-Clause)"


def file_head(path, text):
    """A header opens with what it is: 2 to 6 lines of comment behind the SPDX line."""
    if not path.endswith(".h") or path.startswith("tests/"):
        return
    lines = text.split("\n")[1:]
    count = 0
    while count < len(lines) and re.match(r"(//|/?\*| \*)", lines[count]):
        count += 1
    if count < 1:
        yield 2, "a header opens with what it is, which thread runs it and who calls it"


UNFINISHED = re.compile(r"\b(TO" r"DO|FIX" r"ME|X" r"XX|HA" r"CK|not " r"implemented|unimp" r"lemented)\b")


def unfinished(path, text):
    for match in UNFINISHED.finditer(text):
        yield line_of(text, match.start()), f"unfinished: {match.group(0)}"


SLEEP = re.compile(r"(^|[^a-z_-])(sleep +[0-9]|sleep_for\(|usleep\(|time\.sleep\()", re.M)


def sleeps(path, text):
    # A measurement (testbed/bench.d) lasts a time; nothing is awaited there.
    exempt = ("tests/lint/", "testbed/bench.d/")
    if path.startswith(("tests/", "testbed/")) and not path.startswith(exempt):
        for match in SLEEP.finditer(text):
            yield line_of(text, match.start()), "a sleep: await an event instead"


def pragma_once(path, text):
    if path.endswith(".h") and not path.startswith("bpf/") and "#pragma once" not in text:
        yield 1, "no #pragma once"


def top_level(path, _text):
    first = path.split("/")[0]
    if first not in TOP_LEVEL and not first.startswith("."):
        yield 1, f"{first} does not belong on the top level"


def readme_first_screen(path, text):
    if path == "README.md":
        screen = "\n".join(text.split("\n")[:40])
        for command in ("testbed/demo", "tests/run"):
            if command not in screen:
                yield 1, f"the first screen does not name {command}"


def toml_keys_commented(path, text):
    """In configs/lbd.toml every key stands behind a comment that tells its unit, default or range."""
    if path != "configs/lbd.toml":
        return
    explained = False
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            explained = False
        elif re.match(r"#?\s?[a-z0-9_.]+\s*=", line):
            if not explained and "#" not in line.lstrip("#"):
                yield number, f"key without a comment: {line.strip()}"
        elif line.startswith("#"):
            explained = True


def one_toml_parser(files):
    """toml++ is in exactly one file. Over the tree: {path: text} to complaints (path, line, sentence)."""
    users = [path for path, text in files.items()
             if path.endswith(CODE) and re.search(r"#include\s*<toml\+\+/", text)]
    for path in users[1:]:
        yield path, 1, f"toml++ is already in {users[0]}"


RULES = [include_rules, file_size, function_size, spdx, file_head, unfinished, sleeps, pragma_once,
         top_level, readme_first_screen, toml_keys_commented]
