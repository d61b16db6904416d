"""Errors a user can cause: each says where, what, and how to mend it, and is printed without a traceback."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runbook.engine.model import Finding


class UserError(Exception):
    """Something the person at the keyboard can mend.

    Args:
        what: what is wrong, in one sentence without a full stop.
        where: `file:line:column`, a host's name, or nothing.
        mend: how to mend it, as an imperative sentence.
    """

    exit_code = 1

    def __init__(self, what: str, *, where: str = "", mend: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.mend = mend

    def __str__(self) -> str:
        head = f"{self.where}: {self.what}" if self.where else self.what
        return f"{head}\n  {self.mend}" if self.mend else head

    @property
    def line(self) -> str:
        """All of it in one line, for a log."""
        return "; ".join(part.strip() for part in str(self).splitlines())


class RunbookInvalid(UserError):
    """A runbook does not load or does not lint; carries every finding, not only the first."""

    def __init__(self, findings: Sequence[Finding]) -> None:
        super().__init__(f"{len(findings)} error{'s' if len(findings) != 1 else ''} in the runbook")
        self.findings = tuple(findings)

    def __str__(self) -> str:
        lines = [f"{each.span}: {each.message}" + (f" ({each.hint})" if each.hint else "") for each in self.findings]
        return "\n  ".join([self.what, *lines])


class JournalUnusable(UserError):
    """The journal can't be opened or written: read-only, full, locked, newer, on a network file system."""


class RenderError(UserError):
    """A template or condition could not be evaluated with the values at hand."""


class Busy(UserError):
    """Another pass of the same runbook is at work on the same journal."""

    exit_code = 3


class Hung(Busy):
    """Another pass of the same runbook lives and does nothing any more: nobody looks."""

    exit_code = 4


class Fenced(UserError):
    """Another watch took the runbook over while this one gave no sign of life: it may write and send nothing more."""

    exit_code = 4


class HostUnreachable(UserError):
    """A host's agent can't be started or does not answer."""

    exit_code = 4
