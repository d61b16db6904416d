"""What `runbook watch` prints to, and how it is stopped."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from runbook.engine.driver import Observer


@contextlib.contextmanager
def log(given: Mapping[str, Any]) -> Iterator[Observer]:
    """Give what a watch tells what happens to."""
    from runbook.engine.report.watching import watching

    verbosity = -1 if given["quiet"] else given["verbose"]
    with watching(given["form"], file=given["log"], verbosity=verbosity) as observer:
        yield observer


def stop_command() -> str:
    """Return the command that ends this watch, for whoever is told that it is there."""
    unit = _unit()
    if unit:
        user = "" if os.geteuid() == 0 else " --user"
        return f"systemctl{user} stop {unit}"
    return f"kill {os.getpid()}" + ("  (or Ctrl-C in its terminal)" if sys.stdout.isatty() else "")


def _unit() -> str:
    """Return the systemd unit that this process belongs to, if systemd started it."""
    if not os.environ.get("INVOCATION_ID"):
        return ""
    try:
        with open("/proc/self/cgroup", encoding="utf-8") as file:  # noqa: PTH123
            last = file.read().rstrip("\n").rpartition("/")[2]
    except OSError:
        return ""
    return last if last.endswith(".service") else ""
