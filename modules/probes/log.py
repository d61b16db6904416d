"""The `log` probe: lines of log files that match."""

from dataclasses import make_dataclass
from functools import lru_cache
from typing import Any, ClassVar, Dict, Iterator, Literal, Mapping, Optional, Tuple, Type, Union

from runbook.modules.declare import Invalid, Path, Probe, Record, Regex, Time
from runbook.modules.frozen import frozen
from runbook.modules.host import Host

_FILLED = ("time", "gpu", "job", "action")  # fields that a group of the same name fills


@frozen
class LogLine(Record):
    """One line that matches; the pattern's named groups are fields as well, those of digits as numbers."""

    path: str  # the file in which it stands
    line_no: Optional[int]  # its number, from 1; null in a file that was first looked at far from its begin
    line: str  # the line, without colours; 8 KiB of it around the match where it is longer
    time: Optional[Time]  # when it was written, where it begins with a time
    signature: str  # the name of the pattern that matches, or the pattern itself where it has no name
    role: Optional[Literal["root", "cascade", "confirmation", "advice"]]  # of the signature
    gpu: Any  # the GPU it is about, from the group `gpu`
    job: Any  # the job it is about, from the group `job`
    action: Any  # what is to be done about it, from the group `action`


@frozen
class Log(Probe):
    r"""A line that matches appears in a log file. Each line is an event and comes up once, also after rotation.

    A look takes in what was written since the look before, in the file and in what rotation made of it (`x.log.1`,
    `x.log-20260131`, `x.1.log`), whichever process looked. Where the detector looks for the first time, it begins at
    the end: what was written before anybody watched is history, and healing it would come too late. `from: start` also
    takes in all that is there, which suits an `apply` by hand after a crash. A file that appears later is read from its
    beginning in both cases. The last line waits for its end, or for two seconds without a change.

    A lone carriage return, as progress bars write it, ends a line too, but neither `^` nor `$` matches there: a quoted
    text may hold one. A line that a pattern can't be matched with in time is passed over, and the detector says so.

    Named groups become fields: `(?P<rank>\d+)` is the number `rank`. The first pattern in order names the line.

    Example:
        - name: out of memory
          log:
            paths: /var/log/train/*.log
            patterns: {oom: 'CUDA out of memory.*GPU (?P<gpu>\d+)', killed: '(?i)oom-kill'}
          when: signature == 'oom'
    """

    record: ClassVar[Type[Record]] = LogLine
    events: ClassVar[bool] = True

    paths: Tuple[Path, ...]  # files, and patterns with `*`, `?`, `[a-z]` in a name or `**` for any directories
    patterns: Union[Tuple[Regex, ...], Mapping[str, Regex]]  # regular expressions; a mapping gives them names
    from_: Literal["end", "start"] = "end"  # where the very first look begins; later ones go on where it ended

    def check(self) -> None:
        """Refuse what matches nothing or everything, and groups that would hide a field."""
        import re

        for path in self.paths:
            if not path.startswith(("/", "~/")):
                raise Invalid(f"`{path}` is not a whole path: begin it with /")
        if not self.paths or not self.patterns:
            raise Invalid(f"there are no {'patterns' if self.paths else 'paths'}: nothing could match")
        for pattern in _texts(self.patterns):
            compiled = re.compile(pattern)
            if compiled.search("") is not None:
                raise Invalid(f"`{pattern}` matches an empty line, and so every line")
            for group in compiled.groupindex:
                if group in LogLine.__dataclass_fields__ and group not in _FILLED:
                    raise Invalid(f"the group `{group}` would hide the field `{group}`: give it another name")

    def look(self, host: Host) -> Iterator[Record]:
        """Read on where the last look ended."""
        from runbook.modules.logs.match import LiteralMatcher
        from runbook.modules.logs.moment import written
        from runbook.modules.logs.tail import Tail

        groups = _groups(self.patterns)
        tail = Tail(host.remembered, LiteralMatcher(self.patterns), host.now())
        lines = tail.new(self.paths, self.from_)
        host.remember(**tail.keep())
        for line in lines:
            named: Dict[str, Any] = {**dict.fromkeys(groups), **line.hit.groups}
            stamp = named.pop("time", None)
            moment = written(line.hit.line if stamp is None else str(stamp), host.now())
            filled = {name: named.pop(name, None) for name in _FILLED[1:]}
            made: Any = _record(tuple(sorted(named)))
            yield made(
                path=line.path,
                line_no=line.number,
                line=line.hit.line,
                time=moment,
                signature=line.hit.name,
                role=None,
                **filled,
                **named,
            )


@lru_cache(maxsize=256)
def _record(names: Tuple[str, ...]) -> Type[Record]:
    """Return the class of a line's record, which has the named groups of all patterns as fields too."""
    return make_dataclass("LogLine", [(name, Any) for name in names], bases=(LogLine,), frozen=True)


def _groups(patterns: Union[Tuple[str, ...], Mapping[str, str]]) -> Tuple[str, ...]:
    import re

    return tuple(sorted({group for pattern in _texts(patterns) for group in re.compile(pattern).groupindex}))


def _texts(patterns: Union[Tuple[str, ...], Mapping[str, str]]) -> Tuple[str, ...]:
    return tuple(patterns.values()) if isinstance(patterns, Mapping) else tuple(patterns)
