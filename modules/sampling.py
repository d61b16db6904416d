"""Where `progress` and `metric` take numbers from: JSON, a log, a page of metrics, a program, a file's size."""

import os
import re
import shlex
from dataclasses import field as made_by
from typing import Any, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple

from runbook.modules import numbers, prometheus
from runbook.modules.declare import Invalid
from runbook.modules.frozen import frozen
from runbook.modules.host import Host
from runbook.modules.numbers import NoNumber

GLANCE = 256 * 1024  # bytes at the end of a log in which its last number is looked for at the first look
_WEB = ("http://", "https://")
_LETTERS = re.compile(r"(?<!\\)[A-Za-z]{2}")
_NEEDS = {"json": ("field",), "log": ("pattern",), "url": ("metric",), "file": (), "command": ()}
_WAYS = {
    "field": "the path to the number, such as metrics.loss",
    "pattern": r"a regular expression with a group for the number, such as 'loss=(?P<value>\S+)'",
    "metric": 'the name of the metric, such as vllm:num_requests_waiting or name{label="value"}',
}


@frozen
class Sample:
    """One number."""

    series: str  # whose it is: a path, a metric with its labels, a command line
    value: float
    time: Optional[float] = None  # when it was true, where the source says so
    labels: Mapping[str, str] = made_by(default_factory=dict)
    counter: bool = False  # it only rises, until it begins anew


@frozen
class Source:
    """One place that numbers come from, as a runbook names it."""

    json: Optional[str] = None
    log: Optional[str] = None
    url: Optional[str] = None
    file: Optional[str] = None
    command: Tuple[str, ...] = ()
    field: Optional[str] = None
    pattern: Optional[str] = None
    metric: Optional[str] = None
    timeout: float = 5.0

    @property
    def name(self) -> str:
        """What it is called: a path, an address, a command line."""
        return self.json or self.log or self.url or self.file or shlex.join(self.command)

    @property
    def path(self) -> Optional[str]:
        """The file that it is, if it is one."""
        path = self.log or self.file or (None if self.address else self.json)
        return None if path is None else os.path.expanduser(path)

    @property
    def address(self) -> Optional[str]:
        """The web address that it is, if it is one."""
        return self.url or (self.json if self.json is not None and self.json.startswith(_WEB) else None)

    def check(self, places: Sequence[str]) -> None:
        """Refuse none or several of the places that a probe knows, and words that do not go together."""
        given = [name for name in places if getattr(self, name)]
        if len(given) != 1:
            which = "are several places" if given else "is no place"
            raise Invalid(f"there {which} to take a number from: write one of {', '.join(places)}")
        [place] = given
        ways = [way for way in _WAYS if getattr(self, way) is not None]
        for way in _NEEDS[place]:
            if way not in ways:
                raise Invalid(f"`{place}` needs `{way}`: {_WAYS[way]}")
        for way in ways:
            if place != "command" and way not in _NEEDS[place]:
                raise Invalid(f"`{way}` does not go with `{place}`")
        if self.pattern is not None and not re.compile(self.pattern).groups and _LETTERS.search(self.pattern):
            raise Invalid(f"`{self.pattern}` takes no number out: put a group around it, as in `step (\\d+)`")
        if len(ways) > 1:
            raise Invalid(f"{' and '.join(ways)} are two ways to find one number: write one of them")
        self._words()

    def _words(self) -> None:
        from runbook.modules.web_address import parts

        if self.path is not None and not self.path.startswith("/"):
            raise Invalid(f"`{self.path}` is not a whole path: begin it with /")
        try:
            if self.address is not None:
                parts(self.address)
            if self.field is not None:
                numbers.path(self.field)
            if self.metric is not None:
                prometheus.selector(self.metric)
        except ValueError as error:
            raise Invalid(str(error)) from error
        if self.pattern is not None and re.compile(self.pattern).search("") is not None:
            raise Invalid(f"`{self.pattern}` matches an empty line, and so every line")

    def written(self) -> Optional[float]:
        """Return when the file was last written; None where there is none."""
        try:
            return None if self.path is None else os.stat(self.path).st_mtime
        except (OSError, ValueError):
            return None

    def read(self, host: Host, kept: Mapping[str, Any]) -> "Tuple[List[Sample], Dict[str, Any]]":
        """Return the numbers that are there now (of a log: the new ones), and what the next look has to be given.

        Raises:
            FileNotFoundError: the file is not there.
            NoNumber: there is none just now.
            Unclear: it can't be looked at.
        """
        if self.log is not None:
            return self._lines(host, kept)
        if self.file is not None:
            return [Sample(self.file, _size(os.path.expanduser(self.file)))], {}
        return list(self._in(self._text(host))), {}

    def _lines(self, host: Host, kept: Mapping[str, Any]) -> "Tuple[List[Sample], Dict[str, Any]]":
        """Read on where the last look ended; at the first, the last number that is there is the first sample."""
        from runbook.modules.logs.beginning import Beginning
        from runbook.modules.logs.match import matcher
        from runbook.modules.logs.moment import written
        from runbook.modules.logs.patterns import Pattern
        from runbook.modules.logs.tail import Tail, idle

        if kept and idle(kept, [str(self.log)], host.now()):
            return [], dict(kept)
        expression = re.compile(self.pattern or "")
        patterns = [Pattern(self.pattern or "", self.pattern or "")]
        finder = matcher(patterns, 0)
        tail = Tail(kept, patterns, host.now())
        lines = [] if kept else [hit.line for hit in finder.hits(_end(str(self.path)))][-1:]
        lines += [line.hit.line for line in tail.new([str(self.log)], Beginning())]
        found = []
        for line in lines:
            match = expression.search(line)
            value = None if match is None else numbers.in_match(match)
            if match is not None and value is not None:
                series, labels = _labelled(str(self.log), match.groupdict())
                found.append(Sample(series, value, written(line, host.now()), labels))
        return found, tail.keep()

    def _text(self, host: Host) -> str:
        if self.address is not None:
            from runbook.modules.web import Request, fetch

            answer = fetch(Request("GET", self.address, largest=numbers.LARGEST), self.timeout, host.env)
            if answer.error or answer.status != 200:
                raise NoNumber(f"{self.address} gives no page: {answer.error or f'status {answer.status}'}")
            return answer.body
        if self.path is not None:
            return numbers.content(self.path)
        done = host.run(*self.command, timeout=self.timeout)
        if done.exit_code:
            said = (done.stderr or done.stdout).strip().splitlines()[-1:]
            raise NoNumber(f"{self.name} ends with exit code {done.exit_code}{': ' + said[0][:200] if said else ''}")
        return done.stdout

    def _in(self, text: str) -> Iterator[Sample]:
        if self.metric is not None:
            yield from self._series(text)
        elif self.field is not None:
            yield Sample(self.name, numbers.in_json(text, self.field, self.name))
        elif self.pattern is not None:
            latest = {}
            for match in re.finditer(self.pattern, text):
                value = numbers.in_match(match)
                if value is not None:
                    series, labels = _labelled(self.name, match.groupdict())
                    latest[series] = Sample(series, value, labels=labels)
            yield from latest.values()
        else:
            yield Sample(self.name, numbers.as_a_whole(text, self.name))

    def _series(self, page: str) -> Iterator[Sample]:
        wanted = prometheus.selector(self.metric or "")
        found = list(prometheus.series(page, wanted))
        if not found:
            alike = [name for name in prometheus.names(page) if wanted.name.split(":")[-1] in name][:5]
            also = f"; it has {', '.join(alike)}" if alike else ""
            raise NoNumber(f"{self.name} has no series `{self.metric}`{also}")
        for one in found:
            yield Sample(one.name, one.value, one.time, one.labels, one.counter)


def told(cursor: Mapping[str, Any], left_out: int) -> Dict[str, Any]:
    """Return what the engine is to know: a log not read to its end, lines passed over, series that were too many."""
    found = {name: cursor[name] for name in ("behind", "trouble") if cursor.get(name)}
    if left_out:
        surplus = f"{left_out} series more than are kept: narrow them down by labels"
        found["trouble"] = "; ".join(filter(None, [found.get("trouble"), surplus]))
    return found


def _labelled(name: str, groups: Mapping[str, Optional[str]]) -> "Tuple[str, Dict[str, str]]":
    """Return the series that a match belongs to: its named groups but `value` are labels."""
    labels = {key: str(text) for key, text in sorted(groups.items()) if key != "value" and text is not None}
    shown = ",".join(f'{key}="{text}"' for key, text in labels.items())
    return (f"{name}{{{shown}}}" if shown else name), labels


def _size(path: str) -> float:
    try:
        return float(os.stat(path).st_size)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise FileNotFoundError(path) from error
    except (OSError, ValueError) as error:
        raise NoNumber(f"{path} can't be looked at: {getattr(error, 'strerror', error)}") from error


def _end(path: str) -> bytes:
    """Return the last whole lines of a log."""
    from runbook.modules.acting.regular_file import reading

    try:
        with reading(path) as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - GLANCE))
            found = file.read(GLANCE)
    except FileNotFoundError:
        return b""  # it may come yet
    except OSError as error:
        raise NoNumber(f"{path} can't be read: {error.strerror}") from error
    whole = found[found.find(b"\n") + 1 :] if size > GLANCE else found
    return whole[: whole.rfind(b"\n") + 1]
