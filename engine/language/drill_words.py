"""What files of drills may name: the same in every place, since each place is a world of its own."""

from __future__ import annotations

from typing import Final

SCRATCH: Final = "/drill"  # what may be broken, and written by steps
OWN: Final = "/drill.own"  # the journal, the agent's directory, HOME, TMPDIR
PORTS: Final = 20000  # the first port that is given out; the network is the place's own
