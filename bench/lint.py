"""How long lint of a 200-line runbook takes, against Ansible's syntax check of a 30-line playbook."""

from __future__ import annotations

import measure

NEEDS_ANSIBLE = True


def results(rounds: int) -> list[measure.Result]:
    """Measure."""
    programs = {
        "runbook lint, 200 lines": [measure.RUNBOOK, "lint", "--strict", str(measure.DATA / "long.yaml")],
        "ansible-playbook --syntax-check, 30 lines": [
            measure.ANSIBLE, "-i", "localhost,", "--syntax-check", str(measure.DATA / "playbook.yml")
        ],
    }  # fmt: skip
    taken = measure.interleaved(programs, rounds)
    ours, theirs = programs
    return [measure.ratio("lint against Ansible's syntax check", ours, theirs, taken, 1 / 3)]
