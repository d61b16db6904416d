"""The command line with a fault at one point: `python faults.py WORDS…` is `runbook WORDS…`.

Each place where something becomes durable, or goes to or comes from the agent, is a point, counted in one file for
engine and agent together. At point CRASH_AT something of CRASH_KIND happens. Nothing of this is in the product: the
engine is patched here, and the agent's ledger where its modules are packed.

kill-engine, kill-agent, kill-both: kill -9; the agent with the step in hand and its programs.
fill: the disk that CRASH_DISK lies on is filled to the last block.
cut: the pipes between engine and agent are gone.
"""

from __future__ import annotations

import os
import sqlite3
import sys

# Runs in the engine and, as text behind modules/ledger.py, in the agent on Python 3.9.
POINTS = '''
import fcntl as _fcntl
import os as _os
import signal as _signal


def _parent_of(pid):
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return int(file.read().rpartition(b")")[2].split()[1])
    except OSError:
        return 0


def _below(engine):
    """Return what the engine has started, and what that has: the agent, the step in hand, its programs."""
    parents = {int(name): _parent_of(name) for name in _os.listdir("/proc") if name.isdigit()}
    found = [engine]
    for one in found:
        found += [pid for pid, parent in parents.items() if parent == one]
    return found[1:]


def _kill(pids):
    """Kill processes, ourselves last."""
    for pid in sorted(pids, key=lambda pid: pid == _os.getpid()):
        try:
            _os.kill(pid, _signal.SIGKILL)
        except ProcessLookupError:
            pass


def _fill(place):
    """Take the last block, and give a write of any size nothing."""
    held = _os.open(_os.path.join(place, "fill"), _os.O_WRONLY | _os.O_CREAT | _os.O_APPEND, 0o600)
    try:
        while True:
            _os.write(held, b"\\\\0" * 4096)
    except OSError:
        _os.close(held)


def _point(label, cut=None):
    if not _os.environ.get("CRASH_COUNTER"):
        return
    held = _os.open(_os.environ["CRASH_COUNTER"], _os.O_RDWR | _os.O_APPEND | _os.O_CREAT, 0o600)
    _fcntl.flock(held, _fcntl.LOCK_EX)
    _os.write(held, b"x")
    number = _os.fstat(held).st_size
    _os.close(held)
    kind, engine = _os.environ.get("CRASH_KIND", ""), int(_os.environ["CRASH_ENGINE"])
    trace = _os.open(_os.environ["CRASH_COUNTER"] + ".trace", _os.O_WRONLY | _os.O_APPEND | _os.O_CREAT, 0o600)
    _os.write(trace, f"{number} {label}\\\\n".encode())
    _os.close(trace)
    if number != int(_os.environ.get("CRASH_AT", "0")):
        return
    if kind == "fill":
        _fill(_os.environ["CRASH_DISK"])
    elif kind == "cut" and cut is not None:
        cut()
    elif kind == "kill-engine":
        _kill([engine])
    elif kind == "kill-agent":
        _kill(_below(engine))
    elif kind == "kill-both":
        _kill([engine, *_below(engine)])
'''.replace("\\\\", "\\")
LEDGER = '''

def _counted(name, function):
    def counted(*args, **more):
        _point(f"agent: before {name}")
        found = function(*args, **more)
        _point(f"agent: after {name}")
        return found
    return counted


for _name in ("_overwrite", "_append", "_sync"):
    globals()[_name] = _counted(_name, globals()[_name])
'''

exec(POINTS)  # noqa: S102 -- the same text on both sides


class Connection(sqlite3.Connection):
    """Counts before and after each commit."""

    def execute(self, statement, *values):
        if statement != "COMMIT":
            return super().execute(statement, *values)
        _point("engine: before a commit")  # noqa: F821
        found = super().execute(statement, *values)
        _point("engine: after a commit")  # noqa: F821
        return found


def cut(agent) -> None:
    """Let the connection be gone, as behind a cable that was pulled."""
    nothing, writer = os.pipe()
    os.close(writer)
    os.dup2(nothing, agent._answers)
    os.dup2(os.open(os.devnull, os.O_WRONLY), agent._requests)


def armed() -> None:
    """Put the points into the engine and into the modules that go to hosts."""
    from runbook.engine.fleet import agent, pack

    contents = dict(pack.contents())
    contents["runbook/modules/ledger.py"] += (POINTS + LEDGER).encode()
    pack.contents = lambda: contents
    really = sqlite3.connect
    sqlite3.connect = lambda *args, **more: really(*args, **more, factory=Connection)
    sending, taking = agent.Agent.send, agent.Agent._take

    def send(self, request):
        _point(f"engine: before sending {request['op']}", lambda: cut(self))  # noqa: F821
        sent = sending(self, request)
        _point(f"engine: after sending {request['op']}", lambda: cut(self))  # noqa: F821
        return sent

    def take(self):
        _point("engine: before an answer is read", lambda: cut(self))  # noqa: F821
        taking(self)

    agent.Agent.send, agent.Agent._take = send, take


if __name__ == "__main__":
    os.environ["CRASH_ENGINE"] = str(os.getpid())
    armed()
    from runbook.engine.cli import main

    sys.argv[0] = "runbook"
    sys.exit(main())
