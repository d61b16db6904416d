"""Candidates by the texts that the patterns can't match without; needs nothing but Python."""

from typing import Sequence

from runbook.modules.logs.engines.lines import LineEngine
from runbook.modules.logs.patterns import Pattern


def made(patterns: Sequence[Pattern]) -> LineEngine:
    """Return the engine for these patterns."""
    return LineEngine("literals", patterns)
