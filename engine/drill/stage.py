"""The processes of a drill: one in namespaces of its own for each fault, with which all that it started ends.

This process forks a keeper; the keeper leaves for new namespaces and forks their first process; that one forks who
works, and buries the dead. Each is killed by the kernel when the one before it ends: nothing outlives a killed drill.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import signal
import sys
import traceback
from typing import TYPE_CHECKING, Any, NoReturn

import runbook.engine
import runbook.modules
from runbook.engine.drill import linux, verdict, walls
from runbook.engine.drill.exercise import exercise
from runbook.engine.drill.verdict import Verdict

if TYPE_CHECKING:
    from collections.abc import Callable

    from runbook.engine.language.drill_words import Drill, Fault

_NAMESPACES = (
    "a place of its own can't be made ({}): run it as root, or let users make namespaces "
    "(sysctl kernel.unprivileged_userns_clone=1, kernel.apparmor_restrict_unprivileged_userns=0)"
)


def perform(drill: Drill, fault: Fault) -> Verdict:
    """Inject one fault in a place of its own, and return what came of it; what was started has ended then."""
    reader, writer = os.pipe()
    gc.freeze()  # the children's collections need not copy what is shared
    here = os.getpid()
    keeper = os.fork()
    if keeper == 0:
        os.close(reader)
        _ending(lambda: _keep(here, writer, drill, fault))
    os.close(writer)
    try:
        with os.fdopen(reader, encoding="utf-8") as told:
            said = told.read()
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(keeper, signal.SIGTERM)
        os.waitpid(keeper, 0)
    return _read(said, fault)


def _read(said: str, fault: Fault) -> Verdict:
    if not said:
        return verdict.unshown(fault, "its process ended without a word")
    found = json.loads(said)
    if "unshown" in found:
        return verdict.unshown(fault, found["unshown"])
    if "bug" in found:
        raise RuntimeError(found["bug"])
    values: dict[str, Any] = {name: tuple(one) if isinstance(one, list) else one for name, one in found.items()}
    return Verdict(**values)


def _keep(parent: int, writer: int, drill: Drill, fault: Fault) -> int:
    """Leave for the new namespaces, and see to their end."""
    linux.end_with_parent(parent)
    os.setsid()  # a Ctrl-C at the terminal is for the one who asked
    try:
        doors = walls.leave()
    except OSError as error:
        _tell(writer, {"unshown": _NAMESPACES.format((error.strerror or str(error)).lower())})
        return 1
    first = os.fork()
    if first == 0:
        _ending(lambda: _begin(writer, drill, fault, doors))
    os.close(writer)
    signal.signal(signal.SIGTERM, lambda *_: os.kill(first, signal.SIGKILL))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    return os.waitstatus_to_exitcode(os.waitpid(first, 0)[1])


def _begin(writer: int, drill: Drill, fault: Fault, doors: frozenset[str]) -> int:
    """Be the first process of the place: its end is the end of all others."""
    linux.end_with_parent(0)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        walls.build(doors, _needed(drill, fault))
    except OSError as error:
        _tell(writer, {"unshown": f"the place can't be made: {error.filename}: {error.strerror}"})
        return 1
    worker = os.fork()
    if worker == 0:
        _ending(lambda: _work(writer, drill, fault))
    os.close(writer)
    while True:
        ended, status = os.wait()  # whoever lost its parent is ours
        if ended == worker:
            return os.waitstatus_to_exitcode(status)


def _needed(drill: Drill, fault: Fault) -> list[str]:
    """Return what a drill reads of this machine, which may lie where the place has directories of its own."""
    files = [drill.file, fault.runbook.file, *(one.copy for one in fault.given.files if one.copy is not None)]
    folders = [os.path.dirname(os.path.abspath(one)) for one in (drill.file, fault.runbook.file)]  # noqa: PTH100, PTH120
    python = [sys.prefix, sys.base_prefix, sys.exec_prefix, os.path.dirname(sys.executable), *sys.path]  # noqa: PTH120
    ours = [runbook.__path__[0], runbook.engine.__path__[0], runbook.modules.__path__[0]]
    return [*folders, *python, *ours, *os.environ.get("PATH", "").split(":"), *files]


def _work(writer: int, drill: Drill, fault: Fault) -> int:
    nowhere = os.open(os.devnull, os.O_RDWR)
    for number in range(3):
        os.dup2(nowhere, number)
    try:
        linux.lose_the_machine()
        found = exercise(drill, fault)
    except BaseException:  # noqa: BLE001 -- it is told to the one who asked
        _tell(writer, {"bug": traceback.format_exc()})
        return 1
    _tell(writer, {name: getattr(found, name) for name in Verdict.__dataclass_fields__})
    return 0


def _tell(writer: int, said: dict[str, Any]) -> None:
    data = json.dumps(said, default=str).encode()
    while data:
        data = data[os.write(writer, data) :]


def _ending(work: Callable[[], int]) -> NoReturn:
    """Do something in a forked child, and end it with what that returns."""
    code = 1
    try:
        code = work()
    finally:
        os._exit(code & 0xFF)
