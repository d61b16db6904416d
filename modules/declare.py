"""How a module says what it is: steps, probes, their parameters and the fields of their records.

A module is one file in `steps/` or `probes/`, named after its key in a runbook, that holds one dataclass of the
same name in CamelCase. The dataclass's fields are the module's parameters; the comment behind a field is its
description. Nothing else registers a module.
"""

import enum
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    ClassVar,
    Dict,
    Iterable,
    Iterator,
    List,
    Mapping,
    NamedTuple,
    Optional,
    Sequence,
    Tuple,
    Type,
)

from runbook.modules.frozen import frozen

if TYPE_CHECKING:
    from runbook.modules.actions import Action
    from runbook.modules.host import Host
    from runbook.modules.listening.sources import Source


class Impact(enum.Enum):
    """What a step can do to the work on a host, from nothing to the loss of data."""

    NONE = "none"
    LOW = "low"
    DISRUPTIVE = "disruptive"
    DESTRUCTIVE = "destructive"

    @property
    def rank(self) -> int:
        """The place in the order, from 0 (none) to 3 (destructive)."""
        return list(Impact).index(self)


class Kind(enum.Enum):
    """What a parameter or field means beyond its Python type; decides how YAML becomes the value."""

    DURATION = "duration"  # seconds as float; written 30s, 10m, 1h30m, 7d
    SIZE = "size"  # bytes as int; written 50GB, 4GiB
    PERCENT = "percent"  # 0 to 100 as float; written 85 or 85%
    CELSIUS = "celsius"  # degrees
    WATT = "watt"
    TIME = "time"  # seconds since the epoch
    PATH = "path"  # a file or directory on the host
    REGEX = "regex"  # a Python regular expression
    GLOB = "glob"  # a pattern of file names: *, ?, [a-z], **; host text is refused in it
    ARGV = "argv"  # a command as a list; a string is split before templating, no shell
    SCRIPT = "script"  # a shell script; host text is refused in it
    CONDITION = "condition"  # an expression over a record's fields; reaches a module only as text
    PROBE = "probe"  # one probe as {probe name: its parameters}; for wait_for
    SIGNAL = "signal"  # a signal's name, such as TERM
    BEGIN = "begin"  # where a first look at a log begins: `end`, `start`, `last 1000 lines` or `since 1h`


Duration = Annotated[float, Kind.DURATION]
Size = Annotated[int, Kind.SIZE]
Percent = Annotated[float, Kind.PERCENT]
Celsius = Annotated[float, Kind.CELSIUS]
Watt = Annotated[float, Kind.WATT]
Time = Annotated[float, Kind.TIME]
Path = Annotated[str, Kind.PATH]
Regex = Annotated[str, Kind.REGEX]
Glob = Annotated[str, Kind.GLOB]
Argv = Annotated[Tuple[str, ...], Kind.ARGV]
Script = Annotated[str, Kind.SCRIPT]
Condition = Annotated[str, Kind.CONDITION]
ProbeCall = Annotated[Mapping[str, Any], Kind.PROBE]
SignalName = Annotated[str, Kind.SIGNAL]
Begin = Annotated[str, Kind.BEGIN]


class Invalid(Exception):
    """A module's parameters can't be carried out together; the message says what to write instead."""


class Absent(Exception):
    """The host lacks what a probe looks at (no systemd, no NVIDIA driver): shown, no fault."""


class Unclear(Exception):
    """A look failed (a permission, a hang): the detector becomes `unknown`, with this reason."""


class Refused(Exception):
    """A step would leave what it may touch; nothing was done. The message says what and why."""


class Failed(Exception):
    """A step did not reach its end; the message is for the person at 3 a.m."""


class Blameless(Failed):
    """A step failed by what lies here, or by what it was told: whoever it needed is well, and no component is charged.

    Such are a full disk, a name that is not there, a token that opens nothing.
    """

    data: Mapping[str, Any] = {"local": True}


class NotYet(Failed):
    """A plan needs what is not there. In a check that is no failure: an operation before it may be what makes it."""


@frozen
class Record:
    """What a probe saw of one subject. Subclasses add the fields that `when` may use.

    A field that could not be seen at all is left as `UNSEEN`; one that has no value (a stopped daemon's pid) is None.
    """


class Unseen:
    """What stands in a record for a field that could not be seen."""

    def __repr__(self) -> str:
        return "UNSEEN"

    def __bool__(self) -> bool:
        return False


UNSEEN: Any = Unseen()


@frozen
class Step:
    """A call of a module that may change something. Subclasses are frozen dataclasses of their parameters."""

    impact: ClassVar[Impact]
    idempotent: ClassVar[bool] = True  # may be run again after a crash of which nothing is known
    engine: ClassVar[bool] = False  # a word of the engine: declared here, carried out in engine/
    on_subject: ClassVar[bool] = False  # acts on the incident's subject, such as a GPU, where no parameter names it
    guards: ClassVar[bool] = False  # undone too when a later operation of the same pass, with `rollback`, is lost
    gathers: ClassVar[bool] = False  # keeps what others wrote: the runbook's secrets travel with it, to be taken out
    reboots: ClassVar[bool] = False  # its end is the end of this boot: done is what another boot id shows
    budget: ClassVar[Optional[Tuple[int, float]]] = None  # its `limit` (how often per seconds) where none is written
    first: ClassVar[Optional[str]] = None  # the parameter that a scalar stands for; default the first field
    timeout: ClassVar[float] = 300.0  # seconds, unless the runbook says otherwise
    needs: ClassVar[Tuple[str, ...]] = ()  # distributions beyond the standard library and psutil; see needs.py
    writes: ClassVar[Tuple[str, ...]] = ()  # names of PATH parameters that it deletes, writes, moves or owns below
    pathlike: ClassVar[Tuple[str, ...]] = ()  # names of other parameters that are a path when they begin with a slash

    def check(self) -> None:
        """Raise `Invalid` where parameters contradict each other. Called by lint too, with literal values."""

    def needed(self) -> Tuple[str, ...]:
        """Which of `needs` this call can't do without; by default, all."""
        return self.needs

    def again(self) -> bool:
        """Whether this call may be run again after a crash of which nothing is known."""
        return self.idempotent

    def effective_impact(self) -> Impact:
        """What this call can do to the work on a host; by default, what its class says."""
        return self.impact

    def plan(self, host: "Host") -> "List[Action]":
        """Look at the host and say what is to be done; an empty list means nothing is.

        Raises:
            Failed: what is needed is not there, or the plan can't be made.
            Refused: the step would touch what it may not.
        """
        raise NotImplementedError

    def report(self, host: "Host") -> Dict[str, Any]:  # noqa: ARG002 -- subclasses use it
        """After the actions: values for `register`, beyond what the actions reported themselves."""
        return {}


class Tally(NamedTuple):
    """How far a set of things is that a probe looks at, such as jobs, and that ends some time."""

    counts: Mapping[str, int]  # by state
    active: int  # how many are not over
    failed: int  # how many are over, and not well
    left: Tuple[str, ...]  # of these, a line each, those that are given up first


@frozen
class Probe:
    """Code that looks at a host and changes nothing. Subclasses are frozen dataclasses of their parameters."""

    record: ClassVar[Type[Record]]  # the fields of its records
    subject: ClassVar[Optional[str]] = None  # the record's field that names the subject; None = the host itself
    events: ClassVar[bool] = False  # records are events (a log line) and not states (a gauge)
    engine: ClassVar[bool] = False  # answered by the engine from what it knows (error, component)
    heard: ClassVar[bool] = False  # the same, of what others tell a watch (alert)
    settles: ClassVar[float] = 60.0  # seconds in which a cure is seen, where a runbook's `verify` does not say
    first: ClassVar[Optional[str]] = None
    timeout: ClassVar[float] = 30.0  # seconds for one look
    needs: ClassVar[Tuple[str, ...]] = ()  # distributions beyond the standard library, psutil and pynvml
    counting: ClassVar[Optional[str]] = None  # the parameter with which its looks count, for `tally`

    @classmethod
    def tally(cls, state: Mapping[str, Any], records: Sequence[Mapping[str, Any]]) -> Optional[Tally]:  # noqa: ARG003 -- as above
        """Return how far what it looks at is, where that ends some time.

        Args:
            state: what the look remembered.
            records: the fields of what it saw.
        """
        return None

    @classmethod
    def deadline(cls, params: Mapping[str, Any]) -> float:
        """Seconds after which a look with these parameters is given up: later than by their own `timeout`."""
        own = params.get("timeout", params.get("timeout_", 0.0))
        return max(cls.timeout, own + 10.0) if isinstance(own, (int, float)) else cls.timeout

    @classmethod
    def vain(cls, opened: Mapping[str, Any], seen: Mapping[str, Any]) -> bool:  # noqa: ARG003 -- as above
        """Tell whether what a recovery led to has failed in its turn, so that its verification waits no longer.

        Args:
            opened: the fields of the record that the incident began with.
            seen: those of the subject now, with which the incident is not over.
        """
        return False

    def check(self) -> None:
        """Raise `Invalid` where parameters contradict each other."""

    def needed(self) -> Tuple[str, ...]:
        """Which of `needs` this call can't do without; by default, all."""
        return self.needs

    def look(self, host: "Host") -> Iterator[Record]:
        """Yield what is there.

        Raises:
            Absent: the host has no such thing.
            Unclear: the look failed, so that nothing can be said.
        """
        raise NotImplementedError

    def sources(self, host: "Host", records: Sequence[Record]) -> "Iterable[Source]":  # noqa: ARG002 -- as above
        """Say what can be heard of what was looked at, so that `watch` looks again at the moment it changes.

        Called after each look, with what that saw (nothing, where it failed). What is heard only says that it is time
        to look; a probe that says nothing is looked at as often as its runbook says.
        """
        return ()
