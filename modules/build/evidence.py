"""The first real error of a build's log: by the catalogue's signatures, and where none knows it, by how errors look."""

import re
from typing import NamedTuple, Optional, Sequence

from runbook.modules.logs.patterns import Pattern

_LARGEST = 64 << 20  # bytes of a log that are read
_SHOWN = 300  # characters of a line
_LOOKS = re.compile(
    r"(?:^|[\s:\]])(?:fatal error|error|undefined reference to|cannot find -l|\*\*\* No rule to make target)\b"
    r"|^ERROR\b|^CMake Error|^Traceback |Error \d+$|command not found$"
)
_COMMANDS = re.compile(rb"^\$ [^\n]*", re.MULTILINE)  # what was run, as work.py wrote it
_FOLLOWS = re.compile(r"^(?:FAILED: |ninja: build stopped|make(?:\[\d+\])?: \*\*\*)")


class Evidence(NamedTuple):
    """One line of the log."""

    line: str
    number: int  # from 1
    signature: str  # the catalogue's id; empty where it knows none

    def __str__(self) -> str:
        """The line, and where it stands."""
        named = f"{self.signature}, " if self.signature else ""
        return f"{self.line} ({named}line {self.number} of the log)"


def first(path: str, patterns: Sequence[Pattern]) -> Optional[Evidence]:
    """Return the line of a log that tells why the build failed, or None."""
    try:
        with open(path, "rb") as file:
            content = _COMMANDS.sub(b"", file.read(_LARGEST))
    except OSError:
        return None
    found = _known(content, patterns)
    if found is not None:
        return found
    late: Optional[Evidence] = None
    for number, line in enumerate(content.decode("utf-8", "replace").splitlines(), 1):
        if _LOOKS.search(line) or _FOLLOWS.search(line):
            seen = Evidence(line.strip()[:_SHOWN], number, "")
            if not _FOLLOWS.search(line):
                return seen
            late = late or seen
    return late


def _known(content: bytes, patterns: Sequence[Pattern]) -> Optional[Evidence]:
    """Return the first line that a signature of a cause knows; what only follows from one comes after that."""
    if not patterns:
        return None
    from runbook.modules.logs import match

    roles = {pattern.name: pattern.role for pattern in patterns}
    late: Optional[Evidence] = None
    block = content if content.endswith(b"\n") else content + b"\n"
    try:
        for hit in match.matcher(tuple(patterns), len(block)).hits(block):
            seen = Evidence(hit.line.strip().split("\n")[0][:_SHOWN], hit.index + 1, hit.name)
            if roles.get(hit.name) == "root":
                return seen
            late = late or seen
    except match.TooSlow:
        return late
    return late
