"""What a drill is made of, and what its file may name: the same in every place, since each is a world of its own."""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003 -- a frozen class looks at its types
from dataclasses import field
from typing import TYPE_CHECKING, Any, Final, Literal

from runbook.modules.frozen import frozen

if TYPE_CHECKING:
    from runbook.engine.model import Runbook

SCRATCH: Final = "/drill"  # what may be broken, and written by steps
OWN: Final = "/drill.own"  # the journal, the agent's directory, HOME, TMPDIR
PORTS: Final = 20000  # the first port that is given out; the network is the place's own
GPUS: Final = f"{OWN}/gpus.json"  # what the faked GPUs tell
ANSWERING: Final = f"{OWN}/servers"  # how each server answers at the moment

Phase = Literal["before", "after", "repeated", "never"]


@frozen
class FileGiven:
    """A file or directory. Times in seconds, sizes in bytes."""

    path: str
    folder: bool = False
    content: str | None = None
    size: int | None = None
    weights: int | None = None  # so many bytes of sound safetensors
    copy: str | None = None  # the file that it is a copy of
    mode: int | None = None
    owner: str | None = None
    group: str | None = None
    age: float | None = None


@frozen
class DaemonGiven:
    """A program that runs."""

    name: str
    start: tuple[str, ...]
    pidfile: str
    ready: tuple[str, str] | None = None  # port, file or line, and which
    env: Mapping[str, str] = field(default_factory=dict)


@frozen
class ServerGiven:
    """A server of HTTP, as it is without a fault."""

    name: str
    port: int
    folder: str | None
    hub: bool  # it speaks as a Hugging Face hub does
    answers: Mapping[str, Any]


@frozen
class Given:
    """What is there before a fault, in the order in which it is made."""

    env: Mapping[str, str] = field(default_factory=dict)
    disks: Mapping[str, int] = field(default_factory=dict)  # bytes, by mount point
    files: tuple[FileGiven, ...] = ()
    gpus: tuple[Mapping[str, Any], ...] = ()
    programs: Mapping[str, str] = field(default_factory=dict)
    servers: tuple[ServerGiven, ...] = ()
    daemons: tuple[DaemonGiven, ...] = ()  # the servers' too
    run: tuple[tuple[str, ...], ...] = ()

    @property
    def faked(self) -> tuple[str, ...]:
        """What stands in for something that is not there."""
        return (*(("GPUs",) if self.gpus else ()), *sorted(self.programs))

    def daemon(self, name: str) -> DaemonGiven:
        """Return the daemon of that name."""
        return next(one for one in self.daemons if one.name == name)


@frozen
class Injection:
    """One thing that is done: its kind and what that needs, with paths whole and quantities in seconds and bytes."""

    kind: str
    params: Mapping[str, Any]
    said: str  # as a person reads it


@frozen
class Fault:
    """A fault, and what must come of it. Times in seconds."""

    name: str
    line: int
    runbook: Runbook  # with the variables of this fault
    detector: str  # or
    operation: str
    injections: tuple[Injection, ...]
    expect: str
    steps: tuple[str, ...] | None
    within: float
    every: float
    operations: Phase
    now: bool
    approve: bool
    needs: tuple[str, ...]
    given: Given

    @property
    def of_attempts(self) -> bool:
        """Only the attempts of operations can show it, and they are made once."""
        seen = self.runbook.detector(self.detector)
        return self.operations == "after" and (seen is None or seen.probe == "error")

    @property
    def about(self) -> str:
        """What must see it."""
        return self.detector or self.operation


@frozen
class Drill:
    """A file of faults with the runbook that they are about."""

    file: str
    runbook: Runbook
    secrets: Mapping[str, str]
    undrilled: Mapping[str, str]
    faults: tuple[Fault, ...]

    @property
    def uncovered(self) -> tuple[str, ...]:
        """The detectors that no fault is about, and that the file gives no reason for."""
        named = {fault.detector for fault in self.faults} | self.undrilled.keys()
        return tuple(one.name for one in self.runbook.detectors if one.name not in named and not one.is_input)
