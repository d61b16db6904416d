"""Findings as SARIF 2.1.0, which code scanning services read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from runbook import __version__
from runbook.engine.language.lint import catalogue

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from runbook.engine.language.lint.catalogue import Documented
    from runbook.engine.model import Edit, Finding

_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"


def render(findings: Sequence[Finding], texts: Mapping[str, str]) -> str:
    """Return one SARIF log with one run; `texts` holds the files' contents by name."""
    rules = catalogue.everything()
    index = {rule.code: place for place, rule in enumerate(rules)}
    driver = {
        "name": "runbook",
        "version": __version__,
        "semanticVersion": f"{__version__}" if __version__.count(".") >= 2 else f"{__version__}.0",
        "rules": [_rule(rule) for rule in rules],
    }
    run = {
        "tool": {"driver": driver},
        "columnKind": "unicodeCodePoints",
        "artifacts": [{"location": _location(file)} for file in texts],
        "results": [_result(finding, index, texts.get(finding.span.file, "")) for finding in findings],
    }
    return json.dumps({"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}, indent=2, ensure_ascii=True)


def _rule(rule: Documented) -> dict[str, Any]:
    why = rule.section("Why is this bad")
    return {
        "id": rule.code,
        "name": "".join(part.capitalize() for part in rule.name.split("-")),
        "shortDescription": {"text": rule.summary},
        "fullDescription": {"text": f"{rule.section('What it does')}\n\n{why}".strip() or rule.summary},
        "help": {"text": rule.doc, "markdown": rule.doc},
        "defaultConfiguration": {"level": rule.level},
        "properties": {"tags": [rule.name]},
    }


def _result(finding: Finding, index: Mapping[str, int], text: str) -> dict[str, Any]:
    span = finding.span
    message = f"{finding.message}. {finding.hint}" if finding.hint else finding.message
    region = {
        "startLine": span.line,
        "startColumn": span.column,
        "endLine": span.end_line,
        "endColumn": span.end_column,
    }
    result: dict[str, Any] = {
        "ruleId": finding.code,
        "level": finding.level,
        "message": {"text": message},
        "locations": [{"physicalLocation": {"artifactLocation": _location(span.file), "region": region}}],
    }
    if finding.code in index:
        result["ruleIndex"] = index[finding.code]
    if finding.fixes:
        changes = [{"artifactLocation": _location(span.file), "replacements": [_edit(e, text) for e in finding.fixes]}]
        result["fixes"] = [{"description": {"text": finding.hint or "mend it"}, "artifactChanges": changes}]
    return result


def _edit(edit: Edit, text: str) -> dict[str, Any]:
    line, column = _point(text, edit.start)
    end_line, end_column = _point(text, edit.end)
    region = {"startLine": line, "startColumn": column, "endLine": end_line, "endColumn": end_column}
    return {"deletedRegion": region, "insertedContent": {"text": edit.text}}


def _point(text: str, offset: int) -> tuple[int, int]:
    before = text[:offset]
    return before.count("\n") + 1, offset - (before.rfind("\n") + 1) + 1


def _location(file: str) -> dict[str, str]:
    path = Path(file)
    return {"uri": path.as_uri() if path.is_absolute() else quote(path.as_posix())}
