"""Findings for programs: one JSON document."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runbook.engine.model import Finding


def render(findings: Sequence[Finding], files: Sequence[str], exit_code: int, fixed: int) -> str:
    """Return `{schema, exit_code, files, fixed, errors, warnings, findings: [{code, rule, level, …}]}`."""
    errors = sum(finding.level == "error" for finding in findings)
    document = {
        "schema": 1,
        "exit_code": exit_code,
        "files": list(files),
        "fixed": fixed,
        "errors": errors,
        "warnings": len(findings) - errors,
        "findings": [_finding(finding) for finding in findings],
    }
    return json.dumps(document, indent=2, ensure_ascii=True)


def _finding(finding: Finding) -> dict[str, Any]:
    span = finding.span
    return {
        "code": finding.code,
        "rule": finding.rule,
        "level": finding.level,
        "message": finding.message,
        "help": finding.hint,
        "file": span.file,
        "line": span.line,
        "column": span.column,
        "end_line": span.end_line,
        "end_column": span.end_column,
        "fixable": bool(finding.fixes),
    }
