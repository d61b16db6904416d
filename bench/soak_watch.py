"""`runbook watch`, with those of its own intervals shortened that no runbook can name: its upkeep of days and minutes.

The first argument is the factor; the others are those of `runbook`.
"""

from __future__ import annotations

import importlib
import sys

from runbook.engine.cli import main

UPKEEP = (
    ("runbook.engine.watch", "DAILY"),  # when the journal forgets
    ("runbook.engine.sitting", "OFTEN"),  # when the state does
    ("runbook.engine.recover.forgetting", "REACH"),  # how long what ended may be the root of something
)

if __name__ == "__main__":
    factor = float(sys.argv[1])
    for module, name in UPKEEP:
        loaded = importlib.import_module(module)
        setattr(loaded, name, getattr(loaded, name) / factor)
    sys.argv = ["runbook", *sys.argv[2:]]
    main()
