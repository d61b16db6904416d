"""Everything that can be said against a runbook before it runs: what the loader found, and what the rules find."""

from __future__ import annotations

from runbook.engine.language.lint.check import check

__all__ = ["check"]
