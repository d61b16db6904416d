"""What `--fix` can do about the loader's own findings, where only one thing can be meant."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from runbook.engine.model import Edit, Finding

if TYPE_CHECKING:
    from runbook.engine.language.source import Source

_BARE = re.compile(r"[0-9]{1,9}")
_BRACED = re.compile(r"""(["']?)\{\{[ \t]*((?:[^{}"'\\]|(?!\1)["'])+?)[ \t]*\}\}(["']?)""")


def offered(source: Source, finding: Finding) -> Finding:
    """Return a finding of the loader with the edit that mends it, if there is one."""
    if finding.fixes or finding.code not in {"RB010", "RB011"} or finding.span.file != source.file:
        return finding
    start, end = source.offset(finding.span)
    if finding.code == "RB011":
        edit = _second(source.text, start, end, finding)
    else:
        edit = _expression(source.text, start, finding)
    return finding if edit is None else replace(finding, fixes=(edit,))


def _second(text: str, start: int, end: int, finding: Finding) -> Edit | None:
    """`for: 30` is `for: 30s`: a number without a unit is seconds wherever expressions make one."""
    bare = _BARE.fullmatch(text[start:end])
    return Edit(end, end, "s") if bare and "duration" in finding.message else None


def _expression(text: str, start: int, finding: Finding) -> Edit | None:
    """`when: "{{ status != 200 }}"` is `when: "status != 200"`."""
    if "expression already" not in f"{finding.message} {finding.hint}":
        return None
    begin = start - 1 if text[start - 1 : start] in {'"', "'"} else start
    line = re.compile(r"[^\r\n]*").match(text, begin)
    found = _BRACED.match(text, begin, line.end() if line else begin)
    if found is None or found[1] != found[3]:
        return None
    return Edit(found.start(), found.end(), f"{found[1]}{found[2]}{found[3]}")
