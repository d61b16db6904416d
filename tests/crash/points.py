"""Places where something becomes durable, or goes to or comes from the agent, counted in one file for all processes.

Runs in the engine, and as text behind modules/durable.py in the agent, so it keeps to Python 3.9.
"""

import contextlib
import fcntl
import os
import signal


def point(label, cut=None):
    """Count a point, and let happen what is asked for at it."""
    if not os.environ.get("CRASH_COUNTER"):
        return
    if os.environ["CRASH_AT"] not in _counted_in(os.environ["CRASH_COUNTER"], label):
        return
    kind, engine = os.environ["CRASH_KIND"], int(os.environ["CRASH_ENGINE"])
    if kind == "fill":
        _fill(os.environ["CRASH_DISK"])
    elif kind == "cut" and cut is not None:
        cut()
    elif kind == "kill-engine":
        _kill([engine])
    elif kind == "kill-agent":
        _kill(_below(engine))
    elif kind == "kill-both":
        _kill([engine, *_below(engine)])


def counted(name, function):
    """Return a function with a point before and one behind it."""

    def counting(*args, **more):
        point(f"agent: before {name}")
        found = function(*args, **more)
        point(f"agent: after {name}")
        return found

    return counting


def _counted_in(counter, label):
    """Return what this point is called: by its number among all, and by its number among those of its label."""
    held = os.open(counter, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        fcntl.flock(held, fcntl.LOCK_EX)
        before = os.pread(held, 1 << 20, 0).decode()
        number = before.count("\n") + 1
        os.write(held, f"{number} {label}\n".encode())
    finally:
        os.close(held)
    return str(number), f"{label} #{before.count(' ' + label + chr(10)) + 1}"


def _parent_of(pid):
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:  # noqa: PTH123 -- the agent starts faster without pathlib
            return int(file.read().rpartition(b")")[2].split()[1])
    except OSError:
        return 0


def _below(engine):
    """Return what the engine has started, and what that has: the agent, the step in hand, its programs."""
    parents = {int(name): _parent_of(name) for name in os.listdir("/proc") if name.isdigit()}  # noqa: PTH208
    found = [engine]
    for one in found:
        found += [pid for pid, parent in parents.items() if parent == one]
    return found[1:]


def _kill(pids):
    """Kill processes, ourselves last."""
    for pid in sorted(pids, key=lambda pid: pid == os.getpid()):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _fill(place):
    """Take the last block of a disk."""
    held = os.open(os.path.join(place, "fill"), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)  # noqa: PTH118
    with contextlib.suppress(OSError):
        while True:
            os.write(held, bytes(4096))
    os.close(held)
