"""`# noqa: RB012` on the line of a finding silences it there.

A comment without a code silences every warning of its line and no error: what would fail or endanger has to be named.
Nothing silences RB001, since a file that can't be read has no comments to trust, nor RB050, since silence carries
nothing out. A comment that silences nothing is itself a warning (RB016), so that they don't outlive their reason.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from runbook.engine.model import Edit, Finding

if TYPE_CHECKING:
    from collections.abc import Iterable

    from runbook.engine.language.source import Source

UNUSED = "RB016"
_CODES = r"[A-Za-z]+[0-9]+(?:[ \t]*,[ \t]*[A-Za-z]+[0-9]+)*"
_COMMENT = re.compile(rf"#\s*noqa\b(?::[ \t]*(?P<codes>{_CODES}))?", re.IGNORECASE)
_NEVER = frozenset({"RB001", "RB050", UNUSED})


@dataclass
class Mark:
    """One `# noqa` comment: where it stands, what it silences, and what it did silence."""

    lines: range  # what it silences: its line, or all lines of the block scalar (`|`, `>`) whose head it stands behind
    start: int  # offset of its `#`
    end: int
    codes: tuple[str, ...]  # none = every warning
    used: set[str] = field(default_factory=set)

    def silences(self, finding: Finding) -> bool:
        """Whether it is about this finding."""
        if finding.code in _NEVER:
            return False
        return finding.code in self.codes if self.codes else finding.level == "warning"


def apply(source: Source, findings: Iterable[Finding], *, complete: bool = True) -> list[Finding]:
    """Leave out what a comment silences, and add what is to be said about the comments themselves.

    Args:
        source: the file.
        findings: about this file, and others.
        complete: every rule was asked, so that what silences nothing now is superfluous.
    """
    marks = list(_marks(source)) if "noqa" in source.text.lower() else []
    kept = []
    for finding in findings:
        here = [one for one in marks if finding.span.line in one.lines] if finding.span.file == source.file else []
        mark = next((one for one in here if one.silences(finding)), None)
        if mark is None:
            kept.append(finding)
        else:
            mark.used.add(finding.code)
    return kept + [found for mark in marks if complete for found in _unused(source, mark)]


def _unused(source: Source, mark: Mark) -> Iterable[Finding]:
    if set(mark.codes) <= mark.used if mark.codes else mark.used:
        return
    idle = [code for code in mark.codes if code not in mark.used]
    edit = _without(source, mark, idle)
    what = f"{', '.join(idle)} {'is' if len(idle) == 1 else 'are'} not found" if idle else "no warning is found"
    yield Finding(
        UNUSED,
        "unused-noqa",
        "warning",
        f"this comment silences nothing: {what} on this line",
        source.stretch(mark.start, mark.end),
        "delete it",
        (edit,),
    )


def _without(source: Source, mark: Mark, idle: list[str]) -> Edit:
    left = [code for code in mark.codes if code not in idle]
    if left:
        return Edit(mark.start, mark.end, f"# noqa: {', '.join(left)}")
    rest = re.match(r"[^\r\n]*", source.text[mark.end :])
    more = rest[0].strip() if rest else ""
    start = mark.start
    if more:  # words behind it are a comment in their own right
        more = more.lstrip("-,:; ")
        return Edit(start, mark.end + len(rest[0] if rest else ""), more if more.startswith("#") else f"# {more}")
    while start and source.text[start - 1] in " \t":
        start -= 1
    return Edit(start, mark.end, "")


def _marks(source: Source) -> Iterable[Mark]:
    for start, end, covered in comments(source.text):
        found = _COMMENT.search(source.text, start, end)
        if found:
            codes = tuple(code.upper() for code in re.findall(r"[A-Za-z]+[0-9]+", found["codes"] or ""))
            first = source.stretch(start, end).line
            last = source.stretch(covered, covered).line
            yield Mark(range(first, max(first, last) + 1), found.start(), found.end(), codes)


def comments(text: str) -> list[tuple[int, int, int]]:
    """Return where the comments of a YAML text start and end, and how far they reach; a `#` within a value is none.

    PyYAML drops comments but knows where its tokens are: a comment stands between two of them, or behind the `|` of a
    block scalar, and then reaches to that scalar's end.
    """
    import yaml

    found = []
    at = 0
    readable = text.removeprefix("\ufeff")
    shift = len(text) - len(readable)
    try:
        for token in yaml.scan(readable, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
            start, end = token.start_mark.index + shift, token.end_mark.index + shift
            found += [(*hit, hit[1]) for hit in _hashes(text, at, start)]
            if isinstance(token, yaml.ScalarToken) and token.style in {"|", ">"}:
                head = re.compile(r"[^\r\n]*").match(text, start)
                found += [(*hit, max(hit[1], end - 1)) for hit in _hashes(text, start, head.end() if head else start)]
            at = max(at, end)
    except yaml.YAMLError:
        return found  # what follows the error is not trusted
    return found + [(*hit, hit[1]) for hit in _hashes(text, at, len(text))]


def _hashes(text: str, start: int, end: int) -> list[tuple[int, int]]:
    return [(start + hit.start(), start + hit.end()) for hit in _HASH.finditer(text[start:end])]


_HASH = re.compile(r"(?:(?<=\s)|\A)#[^\r\n]*")
