"""What lines match, said as plainly as it can be: line by line, pattern by pattern, with nothing but `re`."""

import json
import re

ANSI = re.compile(rb"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b\r\n]{0,2048}(?:\x07|\x1b\\)|[@-Z\\-_]|[ -/][0-~])")


def cleaned(line):
    line = ANSI.sub(b"", line.lstrip(b"\0")[: 64 * 1024].replace(b"\0", b" "))  # they are a hole
    if line.startswith(b'{"log":"'):
        try:
            record = json.loads(line)
        except ValueError:
            return line
        if isinstance(record.get("log"), str) and "stream" in record:
            inner = re.sub("\r\n|[\r\n]", " ", record["log"].rstrip("\r\n"))
            return ANSI.sub(b"", inner.encode("utf-8", "replace").replace(b"\0", b" "))
    return line


def lines(block):
    """Return (text, what ends it) for each line."""
    parts = re.split(rb"(\r\n|\n|\r)", block)
    found = [
        (cleaned(parts[at]).decode("utf-8", "replace"), parts[at + 1] if at + 1 < len(parts) else b"")
        for at in range(0, len(parts), 2)
    ]
    return found[:-1] if not parts[-1] else found


def matches(block, patterns, *, every=False):
    """Return (index, name) for each line that matches."""
    told = []
    all_lines = lines(block)
    for index, (text, end) in enumerate(all_lines):
        names = []
        for pattern in patterns:
            if pattern.name not in names and matching(pattern, all_lines, index, text, end):
                names.append(pattern.name)
                if not every:
                    break
        told += [(index, name) for name in names]
    return told


def matching(pattern, all_lines, index, text, end):
    first = max(0, index - pattern.lines + 1)
    before = "\r" if first and all_lines[first - 1][1] == b"\r" else ""
    window = before
    for earlier, its_end in all_lines[first:index]:
        window += earlier + ("\r" if its_end == b"\r" else "\n")
    begin = len(window)
    window += text + ("\r" if end == b"\r" else "")
    at = len(before)
    while at <= len(window):
        match = re.compile(pattern.regex).search(window, at)
        if match is None or match.end() >= begin:
            return match is not None
        at = (
            min(place for place in (window.find("\n", match.start()), window.find("\r", match.start())) if place >= 0)
            + 1
        )
    return False
