"""All findings about one file: the loader's, then each rule's, without what a `# noqa` silences."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runbook.engine.language.lint import catalogue, mending, noqa
from runbook.engine.language.lint.context import Context
from runbook.engine.language.signature_files import is_signatures
from runbook.engine.language.taint import ABOUT_HOST
from runbook.engine.model import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runbook.engine.language.lint.outside import Hosts
    from runbook.engine.language.load import Examined
    from runbook.engine.model import Span

_FINER = frozenset({"RB025", "RB028"})
_COMPARED = frozenset({"RB020", "RB021"})  # they say which comparison it is that can't be true


def check(examined: Examined, outside: frozenset[str] = frozenset(), hosts: Hosts | None = None) -> list[Finding]:
    """Return every finding about a file, in its order; one with an error must not be carried out.

    Args:
        examined: the file.
        outside: names that are defined elsewhere, by an inventory.
        hosts: the hosts and groups of that inventory.
    """
    if is_signatures(examined.source.data):
        from runbook.engine.language.lint import signatures

        return signatures.checked(examined.source)
    found = [mending.offered(examined.source, finding) for finding in examined.findings]
    context = Context(examined.source, examined.runbook, outside | ABOUT_HOST, hosts)
    for rule in catalogue.rules():
        if examined.runbook is not None or not getattr(rule, "NEEDS_RUNBOOK", True):
            found += _ask(rule, context)
    kept = _finer(_unique(found))
    kept = noqa.apply(examined.source, kept, complete=examined.runbook is not None)
    for used in examined.used:
        kept = noqa.apply(used, kept, complete=False)
    return sorted(kept, key=lambda finding: (finding.span.line, finding.span.column, finding.code))


def _ask(rule: catalogue.Rule, context: Context) -> Iterator[Finding]:
    for remark in rule.check(context):
        yield Finding(rule.CODE, rule.NAME, rule.LEVEL, remark.message, remark.span, remark.hint, remark.fixes)


def _finer(findings: list[Finding]) -> list[Finding]:
    """Leave out what is said of a whole where something in it is what is wrong, and is told."""
    finer = [found.span for found in findings if found.code in _FINER]
    compared = [found.span for found in findings if found.code in _COMPARED]
    cause = {"RB011": finer, "RB022": compared}
    return [found for found in findings if not any(_holds(found.span, span) for span in cause.get(found.code, ()))]


def _holds(outer: Span, inner: Span) -> bool:
    start = (outer.line, outer.column) <= (inner.line, inner.column)
    return start and (inner.line, inner.column) < (outer.end_line, max(outer.end_column, 2))


def _unique(findings: list[Finding]) -> list[Finding]:
    """Leave out what was said about the same place before, as where a default holds for many detectors."""
    return list({(found.code, found.message, found.span): found for found in findings}.values())
