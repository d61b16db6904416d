"""The `log` probe: lines of log files that match."""

from functools import lru_cache
from typing import (
    TYPE_CHECKING,
    Any,
    ClassVar,
    Dict,
    FrozenSet,
    Iterator,
    List,
    Literal,
    Mapping,
    Optional,
    Sequence,
    Tuple,
    Type,
    Union,
)

from runbook.modules.declare import Begin, Invalid, Path, Probe, Record, Regex, Time
from runbook.modules.frozen import field, fields, frozen
from runbook.modules.host import Host
from runbook.modules.logs.patterns import Pattern

if TYPE_CHECKING:
    from runbook.modules.listening.sources import Source

JournalKey = Literal["unit", "user_unit", "identifier", "priority", "directory"]
_FILLED = ("time", "gpu", "job", "action")  # fields that a group of the same name fills


@frozen
class LogLine(Record):
    """One line that matches; the pattern's named groups are fields as well, those of digits as numbers."""

    path: str  # the file in which it stands; `journal`, `kernel`, or the container
    line_no: Optional[int]  # its number, from 1; null where lines are not numbered, or the file was begun far behind
    line: str  # the line, without colours; 8 KiB of it around the match where it is longer
    time: Optional[Time]  # when it was written, where it begins with a time
    signature: str  # the name of the pattern that matches, or the pattern itself where it has no name
    role: Optional[Literal["root", "cascade", "confirmation", "advice"]]  # of the signature
    gpu: Any  # the GPU it is about: its index, where the line tells its PCI address, or the group `gpu`
    job: Any  # the job it is about: of the process or cgroup that the line tells, or the group `job`
    action: Optional[Literal["ignore", "app", "update", "reset", "reboot", "vendor"]]  # what it calls for; or a group


@frozen
class Log(Probe):
    r"""A line that matches appears in a log. Each line is an event and comes up once, also after rotation.

    A look takes in what was written since the look before, whichever process looked: in files and in what rotation made
    of them (`x.log.1`, `x.log-20260131`, `x.1.log`, `x.log.2.gz`; bz2 and xz too), in the journal, in what the kernel
    says, and in the JSON logs of docker's containers: one of these, or several.

    Where the detector looks for the first time, it begins at the end: what was written before anybody watched is
    history, and healing it would come too late. `from: start` also takes in all that is there, which suits an `apply`
    by hand after a crash; `from: last 1000 lines` and `from: since 1h` take in some of it. A file that appears later is
    read from its beginning, and so is what the kernel says after each start of the machine. The last line waits for its
    end, or for two seconds without a change.

    A traceback is one record, whatever stands before its lines or between them, and named by its last line if that
    matches. So is the kernel's report of an out-of-memory kill. `journal: {unit: vllm, priority: err}` reads entries of
    one unit.

    A lone carriage return, as progress bars write it, ends a line too, but neither `^` nor `$` matches there: a quoted
    text may hold one. A line that a pattern can't be matched with in time is passed over, and the detector says so.

    Named groups become fields: `(?P<rank>\d+)` is the number `rank`. The first pattern in order names the line; those
    of `signatures` come behind your own. `runbook doc signatures` lists the catalogue. For lines of the NVIDIA driver
    (`kmsg.xid`) `action` is what they call for, `gpu` the GPU's index, and `job` the Slurm job of the process.

    Example:
        - name: out of memory
          log:
            paths: /var/log/train/*.log
            patterns: {oom: 'CUDA out of memory.*GPU (?P<gpu>\d+)', killed: '(?i)oom-kill'}
          when: signature == 'oom'
    """

    record: ClassVar[Type[Record]] = LogLine
    events: ClassVar[bool] = True

    paths: Tuple[Path, ...] = ()  # files, and patterns with `*`, `?`, `[a-z]` in a name or `**` for any directories
    patterns: Union[Tuple[Regex, ...], Mapping[str, Regex]] = ()  # regular expressions; a mapping gives them names
    signatures: Tuple[str, ...] = ()  # entries of the catalogue by id, such as kmsg.xid, or cuda.* for several
    journal: Union[bool, Mapping[JournalKey, Union[Tuple[str, ...], str]]] = False  # true, or which of its entries
    kernel: bool = False  # what the kernel says
    docker: Tuple[str, ...] = ()  # containers, by name or id
    from_: Begin = "end"  # where the very first look begins; later ones go on where it ended
    _catalogue: Mapping[str, Any] = field(default_factory=dict)  # what the engine knows of `signatures`

    def check(self) -> None:
        """Refuse what matches nothing or everything, and groups that would hide a field."""
        import re

        from runbook.modules.logs import beginning

        for path in self.paths:
            if not path.startswith(("/", "~/")):
                raise Invalid(f"`{path}` is not a whole path: begin it with /")
        if not (self.paths or self.journal or self.kernel or self.docker):
            raise Invalid("there is nothing to read: write `paths`, `journal`, `kernel` or `docker`")
        if not (self.patterns or self.signatures):
            raise Invalid("there are no patterns and no signatures: nothing could match")
        if any(name.startswith("-") or not name for name in self.docker):
            raise Invalid("a container's name is never empty and never begins with -")
        beginning.parsed(self.from_)
        for pattern in _texts(self.patterns):
            compiled = re.compile(pattern)
            if compiled.search("") is not None:
                raise Invalid(f"`{pattern}` matches an empty line, and so every line")
            for group in compiled.groupindex:
                if group in _fields() and group not in _FILLED:
                    raise Invalid(f"the group `{group}` would hide the field `{group}`: give it another name")

    @classmethod
    def warm(cls, params: Mapping[str, Any]) -> None:
        """Make ready what every look with these parameters needs."""
        from runbook.modules.logs import catalogued, match, sources  # noqa: F401 -- imported for the looks to come

        # not compiled: that takes a second for a whole catalogue, and few of them are ever needed
        match.matcher(
            [*_named(params.get("patterns", ())), *catalogued.patterns(params.get(catalogued.PARAMETER, {}))], 0
        )
        if "xid" in params.get(catalogued.PARAMETER, {}):
            from runbook.modules import gpus, xid  # noqa: F401

            gpus.ready()

    def look(self, host: Host) -> Iterator[Record]:
        """Read on where the last look ended."""
        from runbook.modules.logs import catalogued, tail
        from runbook.modules.logs.sources import Sources

        others = self.journal or self.kernel or self.docker
        if not others and tail.idle(host.remembered, self.paths, host.now()):
            host.remember(**host.remembered)
            return
        patterns = [*_named(self.patterns), *catalogued.patterns(self._catalogue)]
        sources = Sources(host, patterns, self.from_)
        lines = sources.new(self.paths, self.journal, self.docker, kernel=self.kernel)
        host.remember(**sources.keep())
        if not lines:
            return
        from runbook.modules.logs.moment import written  # most looks find nothing

        groups = catalogued.groups(pattern.regex for pattern in patterns)
        roles = {pattern.name: pattern.role for pattern in reversed(patterns)}
        events = []
        for line in lines:
            named: Dict[str, Any] = {**dict.fromkeys(groups), **line.hit.groups}
            stamp = named.pop("time", None)
            moment = line.time if line.time is not None else written(line.hit.stamp or line.hit.line, host.now())
            events.append(
                {
                    "path": line.path,
                    "line_no": line.number,
                    "line": line.hit.line,
                    "time": moment if stamp is None else written(str(stamp), host.now()),
                    "signature": line.hit.name,
                    "role": roles.get(line.hit.name),
                    **dict.fromkeys(_FILLED[1:]),
                    **named,
                }
            )
        if self._catalogue:
            from runbook.modules import xid

            xid.settle(events, self._catalogue, host.now())
        for event in events:
            made: Any = _record(tuple(sorted(event.keys() - _fields())))
            yield made(**event)

    def sources(self, host: Host, records: "Sequence[Record]") -> "Iterator[Source]":  # noqa: ARG002 -- as declared
        """Hear of lines in files, entries of the journal, and what the kernel says."""
        from runbook.modules.logs import heard

        yield from heard.sources(host, self.paths, self.journal, self.docker, kernel=self.kernel)


@lru_cache(maxsize=256)
def _record(names: Tuple[str, ...]) -> Type[Record]:
    """Return the class of a line's record, which has the named groups of all patterns as fields too."""
    made: Type[Record] = type("LogLine", (LogLine,), {"__annotations__": dict.fromkeys(names, Any)})
    return frozen(made)


@lru_cache(maxsize=1)
def _fields() -> FrozenSet[str]:
    return frozenset(each.name for each in fields(LogLine))


def _named(patterns: Union[Tuple[str, ...], Mapping[str, str]]) -> List[Pattern]:
    named = patterns.items() if isinstance(patterns, Mapping) else [(pattern, pattern) for pattern in patterns]
    return [Pattern(name, regex) for name, regex in named]


def _texts(patterns: Union[Tuple[str, ...], Mapping[str, str]]) -> Tuple[str, ...]:
    return tuple(patterns.values()) if isinstance(patterns, Mapping) else tuple(patterns)
