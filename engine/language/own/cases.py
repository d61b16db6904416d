"""Files of the cases of users' modules (`steps/NAME.case.yaml`): whether they hold cases, and where they do not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from runbook.engine.language import source
from runbook.engine.language.nearest import nearest
from runbook.engine.model import Finding
from runbook.modules.frozen import frozen

if TYPE_CHECKING:
    import pathlib

    from runbook.engine.language.source import Source

SUFFIXES: Final = (".case.yaml", ".case.yml")


@frozen
class Listed:
    """What a file of cases holds, and what is wrong with it.

    Attributes:
        source: the text and its positions.
        bodies: the cases, each with its line; none where there is a finding.
        findings: in the order of the file.
    """

    source: Source
    bodies: tuple[tuple[Mapping[str, Any], int], ...]
    findings: tuple[Finding, ...]


def is_cases(name: str) -> bool:
    """Tell a file of a module's cases by its name."""
    return name.endswith(SUFFIXES)


def examine(file: str | pathlib.Path) -> Listed:
    """Return a file's cases and everything that is wrong with their keys; nothing in it raises."""
    read = source.read(file)
    findings = list(read.problems)
    listed = read.data if isinstance(read.data, list) else [None]
    for number, body in enumerate(listed if not findings else ()):
        findings += _wrong(read, number if isinstance(read.data, list) else None, body)
    if findings:
        return Listed(read, (), tuple(findings))
    return Listed(read, tuple((body, read.span((number,)).line) for number, body in enumerate(listed)), ())


def _wrong(read: Source, number: int | None, body: Any) -> list[Finding]:
    from runbook.modules.golden import case as golden

    at: tuple[int, ...] = () if number is None else (number,)
    unknown = sorted(map(str, set(body) - golden.KEYS)) if isinstance(body, Mapping) else []
    found = []
    for key in unknown:
        near = nearest(key, golden.KEYS)
        mend = f"did you mean `{near}`?" if near else f"there are {', '.join(sorted(golden.KEYS))}"
        found.append(_finding("RB007", f"`{key}` means nothing in a case", read.span((*at, key), key=True), mend))
    if not found and (wrong := golden.problem(body)):
        found.append(_finding("RB006", wrong, read.head(at)))
    return found


def _finding(code: str, what: str, where: Any, mend: str = "") -> Finding:
    return Finding(code, source.RULES[code], "error", what, where, mend)
