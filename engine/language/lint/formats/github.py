"""Findings as commands that GitHub's workflow runner turns into annotations of a pull request."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runbook.engine.model import Finding


def render(findings: Sequence[Finding]) -> str:
    """Return one `::error file=…,line=…::message` a line."""
    return "\n".join(_line(finding) for finding in findings)


def _line(finding: Finding) -> str:
    span = finding.span
    place = {
        "file": span.file,
        "line": span.line,
        "endLine": span.end_line,
        "col": span.column,
        "title": f"{finding.code} {finding.rule}",
    }
    if span.line == span.end_line:  # the runner ignores endColumn of several lines
        place["endColumn"] = span.end_column
    properties = ",".join(f"{key}={_property(str(value))}" for key, value in place.items())
    message = f"{finding.message} ({finding.hint})" if finding.hint else finding.message
    return f"::{finding.level} {properties}::{_data(message)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
