"""What a file of cases holds: what happens in a made-up world, and what is expected of a runbook in it."""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003 -- a frozen class looks at its types
from dataclasses import field
from typing import TYPE_CHECKING, Any, Literal

from runbook.engine.language import load
from runbook.modules.frozen import frozen

if TYPE_CHECKING:
    from runbook.engine.model import Runbook


@frozen
class Sight:
    """What a look answers."""

    kind: Literal["records", "lines", "unknown", "absent"]
    records: tuple[Mapping[str, Any], ...] = ()
    lines: tuple[str, ...] = ()  # of a log, without their ends
    path: str | None = None  # in which file they stand
    reason: str = ""


@frozen
class Ending:
    """How a step ends."""

    fails: str | None = None
    exit_code: int | None = None
    output: str = ""
    takes: float = 1.0  # seconds
    times: int | None = None  # None = from now on
    changed: bool = True
    data: Mapping[str, Any] = field(default_factory=dict)


@frozen
class People:
    """What people do at one moment. Detectors name their incidents."""

    approve: tuple[str, ...] = ()
    reject: tuple[str, ...] = ()
    ack: tuple[str, ...] = ()
    maintenance: str | None = None
    lasts: float | None = None  # seconds
    off: bool = False
    reset: tuple[str, ...] = ()


@frozen
class Past:
    """What the attempts of a component have been."""

    attempts: int
    failures: int  # evenly spread among them
    latency: float  # seconds that each took


@frozen
class Happening:
    """What happens at a time, or after each success of a step."""

    at: float | None
    after: str | None
    hosts: tuple[str, ...]  # none = all
    sees: Mapping[str, Sight]
    steps: Mapping[str, Ending]
    operations: Mapping[str, Ending]
    people: People | None
    components: Mapping[str, Past] = field(default_factory=dict)


@frozen
class Case:
    """One case. Times in seconds."""

    name: str
    line: int
    hosts: tuple[str, ...]
    every: float
    lasts: float | None
    vars: Mapping[str, Any]
    options: Mapping[str, Any]
    happens: tuple[Happening, ...]
    expect: Mapping[str, Any]  # as written, its durations in seconds


@frozen
class Suite:
    """A file of cases with the runbook that they are about."""

    file: str
    runbook: Runbook
    vars: Mapping[str, Any]
    secrets: Mapping[str, str]
    cases: tuple[Case, ...]

    def varied(self, case: Case) -> Runbook:
        """Return the runbook with a case's own variables."""
        over = {**self.vars, **case.vars}
        return load.load(self.runbook.file, extra_vars=over) if case.vars else self.runbook
