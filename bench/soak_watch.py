"""`runbook watch`, with those of its own intervals shortened that no runbook can name: its upkeep of days."""

from __future__ import annotations

import importlib
import sys

from runbook.engine.cli import main

UPKEEP = (
    ("runbook.engine.watching.watch", "DAILY", 30.0),  # seconds between two times that the journal forgets what is old
    ("runbook.engine.watching.watch", "TIDY", 6.0),  # and before the first
    ("runbook.engine.watching.sitting", "OFTEN", 6.0),  # when the state does
    ("runbook.engine.journal.prune", "LASTED", 60.0),  # how long a recovery may last from whose end a cooldown counts
    ("runbook.engine.recover.forgetting", "REACH", 1.2),  # how long what ended may be the root of something
)

if __name__ == "__main__":
    for module, name, seconds in UPKEEP:
        loaded = importlib.import_module(module)
        assert hasattr(loaded, name), name
        setattr(loaded, name, seconds)
    sys.argv[0] = "runbook"
    main()
