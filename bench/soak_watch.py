"""`runbook watch`, with those of its own intervals shortened that no runbook can name: days and minutes of upkeep.

The first argument is the factor; the others are those of `runbook`.
"""

from __future__ import annotations

import importlib
import sys

UPKEEP = (
    ("runbook.engine.watch", "DAILY"),  # when the journal forgets
    ("runbook.engine.sitting", "OFTEN"),  # when the state does
    ("runbook.engine.detect.lineage", "REACH"),  # how long what ended may be the root of something
    ("runbook.engine.recover.forgetting", "REACH"),
    ("runbook.modules.listening.hearing", "_FORGET"),
)


def main() -> int:
    """Run it."""
    factor = float(sys.argv[1])
    for module, name in UPKEEP:
        loaded = importlib.import_module(module)
        setattr(loaded, name, getattr(loaded, name) / factor)
    from runbook.engine.cli import main as program

    sys.argv = ["runbook", *sys.argv[2:]]
    return program()


if __name__ == "__main__":
    sys.exit(main())
