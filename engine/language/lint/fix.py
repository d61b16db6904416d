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

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from runbook.engine.model import Edit, Finding

_ROUNDS = 10  # a fix may uncover the next; none needs as many


def fixed(text: str, check: Callable[[str], Sequence[Finding]]) -> tuple[str, int]:
    """Return the text with everything mended that can be, and how many findings that were."""
    findings = check(text)
    count = 0
    for _ in range(_ROUNDS):
        chosen = _compatible(findings)
        if not chosen:
            break
        better = _edited(text, [edit for finding in chosen for edit in finding.fixes])
        after = check(better)
        if _errors(after) > _errors(findings) or len(after) >= len(findings):
            if len(chosen) == 1:
                findings = [finding for finding in findings if finding is not chosen[0]]
                continue
            better = _edited(text, chosen[0].fixes)
            after = check(better)
            if _errors(after) > _errors(findings) or len(after) >= len(findings):
                findings = [finding for finding in findings if finding is not chosen[0]]
                continue
            chosen = chosen[:1]
        text, findings, count = better, after, count + len(chosen)
    return text, count


def write(path: Path, text: str) -> None:
    """Replace a file by its mended text in one move; its mode stays, and a link keeps pointing to it.

    Raises:
        UserError: it can't be written.
    """
    target = Path(os.path.realpath(path))
    try:
        mode = stat.S_IMODE(target.stat().st_mode)
        handle, made = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
        try:
            with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            Path(made).chmod(mode)
            Path(made).replace(target)
        except BaseException:
            with contextlib.suppress(OSError):
                Path(made).unlink()
            raise
    except OSError as error:
        raise UserError(
            f"the mended text can't be written: {error.strerror}", where=str(path), mend="The file is as it was."
        ) from error


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


def _errors(findings: Sequence[Finding]) -> int:
    return sum(finding.level == "error" for finding in findings)
