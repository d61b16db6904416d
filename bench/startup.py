"""How long `runbook --version` takes, against a Python that does nothing."""

from __future__ import annotations

import sys

import measure

NEEDS_ANSIBLE = False


def results(rounds: int) -> list[measure.Result]:
    """Measure."""
    programs = {
        "runbook --version": [measure.RUNBOOK, "--version"],
        "python -c pass": [sys.executable, "-c", "pass"],
        "runbook (its help)": [measure.RUNBOOK],
        "python -c 'import click'": [sys.executable, "-c", "import click"],
    }
    taken = measure.interleaved(programs, 3 * rounds)
    return [measure.ratio("start-up against an empty Python", "runbook --version", "python -c pass", taken, 4.5)]
