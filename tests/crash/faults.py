"""The command line with a fault at one point: `python faults.py WORDS…` is `runbook WORDS…`.

At point CRASH_AT (`points.py`) something of CRASH_KIND happens. Nothing of this is in the product: the engine is
patched here, and what the agent's ledger writes by where its modules are packed.

kill-engine, kill-agent, kill-both: kill -9; the agent with the step in hand and its programs.
fill: the disk that CRASH_DISK lies on is filled to the last block.
cut: the pipes between engine and agent are gone.
"""

from __future__ import annotations

import os
import sqlite3
import sys
from pathlib import Path

import points
from points import point

BEHIND = """
for _name in ("overwrite", "append", "sync"):
    globals()[_name] = counted(_name, globals()[_name])
"""


class Connection(sqlite3.Connection):
    """Has a point before and one behind each commit."""

    def execute(self, statement, *values):
        if statement != "COMMIT":
            return super().execute(statement, *values)
        point("engine: before a commit")
        found = super().execute(statement, *values)
        point("engine: after a commit")
        return found


def cut(agent) -> None:
    """Let the connection be gone, as behind a cable that was pulled."""
    nothing, writer = os.pipe()
    os.close(writer)
    os.dup2(nothing, agent._link._answers)
    os.dup2(os.open(os.devnull, os.O_WRONLY), agent._link._requests)


def arm() -> None:
    """Put the points into the engine, and into the modules that go to hosts."""
    from runbook.engine.fleet import agent, pack

    contents = dict(pack.contents())
    contents["runbook/modules/durable.py"] += (Path(points.__file__).read_text() + BEHIND).encode()
    pack.contents = lambda: contents
    connecting, sending, taking = sqlite3.connect, agent.Agent.send, agent.Agent._take

    def send(self, request):
        point(f"engine: before sending {request['op']}", lambda: cut(self))
        sent = sending(self, request)
        point(f"engine: after sending {request['op']}", lambda: cut(self))
        return sent

    def take(self):
        point("engine: before an answer is read", lambda: cut(self))
        taking(self)

    sqlite3.connect = lambda *args, **more: connecting(*args, **more, factory=Connection)
    agent.Agent.send, agent.Agent._take = send, take


if __name__ == "__main__":
    os.environ["CRASH_ENGINE"] = str(os.getpid())
    arm()
    from runbook.engine.cli import main

    sys.argv[0] = "runbook"
    sys.exit(main())
