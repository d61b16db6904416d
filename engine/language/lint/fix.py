"""`--fix`: carry out what findings offer, where it can't change what the runbook means.

Edits replace stretches of the text, so that comments and layout stay. A fix that leaves the file in a worse state than
it found it (it no longer parses, or has errors that it did not have) is not taken.
"""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from runbook.engine.errors import UserError
from runbook.engine.language.lint.catalogue import LAST_OF_LOADER

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from runbook.engine.model import Edit, Finding

_ROUNDS = 10  # a fix may uncover the next; none needs as many


def mend(path: Path, text: str, check: Callable[[Path], Sequence[Finding]]) -> int:
    """Mend a file as far as it can be, and return how many findings that took away.

    Every step is written beside the file and checked there before it takes the file's place; the mode stays, and a
    link keeps pointing to it.

    Raises:
        UserError: it can't be written.
    """
    target = Path(os.path.realpath(path))
    try:
        handle, made = tempfile.mkstemp(prefix=f".{target.stem}-", suffix=target.suffix, dir=target.parent)
        os.close(handle)
        draft = Path(made)
        try:
            better, count = _mended(text, lambda tried: _checked(draft, tried, check))
            if count:
                _write(draft, better)
                draft.chmod(stat.S_IMODE(target.stat().st_mode))
                draft.replace(target)
        finally:
            with contextlib.suppress(OSError):
                draft.unlink()
    except OSError as error:
        reason = error.strerror or str(error)
        what = f"the mended text can't be written: {reason}"
        raise UserError(what, where=str(path), mend="nothing was changed") from error
    return count


def _mended(text: str, check: Callable[[str], Sequence[Finding]]) -> tuple[str, int]:
    findings = list(check(text))
    count = 0
    for _ in range(_ROUNDS):
        chosen = _compatible(findings)
        while chosen:
            better = _edited(text, [edit for finding in chosen for edit in finding.fixes])
            after = list(check(better))
            if _of_loader(after) <= _of_loader(findings) and _left(chosen, after) < _left(chosen, findings):
                break
            chosen = chosen[: len(chosen) // 2]  # one of them does harm: try fewer
        if not chosen:
            break
        text, findings, count = better, after, count + len(chosen)
    return text, count


def _checked(draft: Path, text: str, check: Callable[[Path], Sequence[Finding]]) -> Sequence[Finding]:
    _write(draft, text)
    return check(draft)


def _write(path: Path, text: str) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _compatible(findings: Sequence[Finding]) -> list[Finding]:
    """The findings with fixes that don't touch each other, first come first served."""
    chosen: list[Finding] = []
    taken: list[Edit] = []
    for finding in findings:
        if finding.fixes and not any(_touch(edit, other) for edit in finding.fixes for other in taken):
            chosen.append(finding)
            taken += finding.fixes
    return chosen


def _touch(one: Edit, other: Edit) -> bool:
    return one.start <= other.end and other.start <= one.end


def _edited(text: str, edits: Sequence[Edit]) -> str:
    for edit in sorted(edits, key=lambda edit: edit.start, reverse=True):
        text = text[: edit.start] + edit.text + text[edit.end :]
    return text


def _of_loader(findings: Sequence[Finding]) -> int:
    """How much keeps the file from being a runbook; what other rules say is seen only when nothing does."""
    return sum(finding.code <= LAST_OF_LOADER for finding in findings)


def _left(chosen: Sequence[Finding], findings: Sequence[Finding]) -> int:
    said = {(finding.code, finding.message) for finding in chosen}
    return sum((finding.code, finding.message) in said for finding in findings)
