"""Where the probes `progress` and `metric` take their numbers from: JSON, a log, a page of metrics, a program, a file."""

import os
import re
import shlex
from dataclasses import field
from typing import Any, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple

from runbook.modules import numbers, prometheus
from runbook.modules.declare import Invalid, Unclear
from runbook.modules.frozen import frozen
from runbook.modules.host import Host
from runbook.modules.numbers import NoNumber

GLANCE = 256 * 1024  # bytes at the end of a log in which its last number is looked for at the first look
_WEB = ("http://", "https://")


@frozen
class Sample:
    """One number."""

    series: str  # whose it is: a path, a metric with its labels, a command line
    value: float
    time: Optional[float] = None  # when it was true, where the source says so
    labels: Mapping[str, str] = field(default_factory=dict)
    counter: bool = False  # it only rises, until it begins anew


@frozen
class Source:
    """One place that numbers come from, as a runbook names it."""

    json: Optional[str] = None
    field: Optional[str] = None
    log: Optional[str] = None
    pattern: Optional[str] = None
    url: Optional[str] = None
    metric: Optional[str] = None
    command: Tuple[str, ...] = ()
    file: Optional[str] = None
    timeout: float = 5.0

    @property
    def name(self) -> str:
        """What it is called: a path, an address, a command line."""
        return self.json or self.log or self.url or self.file or shlex.join(self.command)

    def check(self, allowed: Sequence[str]) -> None:
        """Refuse none or several places, and words that do not go together.

        Args:
            allowed: the parameters that name a place.
        """
        given = [name for name in allowed if getattr(self, name)]
        if len(given) != 1:
            which = "two places" if given else "no place"
            raise Invalid(f"it names {which} to take a number from: write one of {', '.join(allowed)}")
        needs = {"json": ["field"], "log": ["pattern"], "url": ["metric"], "file": [], "command": []}[given[0]]
        takes = ["field", "pattern", "metric"] if given[0] == "command" else needs
        for name in ("field", "pattern", "metric"):
            if getattr(self, name) is None and name in needs:
                raise Invalid(f"`{given[0]}` needs `{name}`: {_MEANING[name]}")
            if getattr(self, name) is not None and name not in takes:
                raise Invalid(f"`{name}` does not go with `{given[0]}`")
        if sum(getattr(self, name) is not None for name in takes) > 1:
            raise Invalid("`field`, `pattern` and `metric` are three ways to find a number: write one of them")
        self._places()
        self._words()

    def _places(self) -> None:
        from runbook.modules.web_address import parts

        for path in (self.json, self.log, self.file):
            if path is not None and not path.startswith(("/", "~/", *(_WEB if path is self.json else ()))):
                raise Invalid(f"`{path}` is not a whole path: begin it with /")
        for address in (self.json, self.url):
            if address is not None and address.startswith(_WEB) or address is not None and address is self.url:
                try:
                    parts(address)
                except ValueError as error:
                    raise Invalid(str(error)) from error

    def _words(self) -> None:
        try:
            if self.field is not None:
                numbers.path(self.field)
            if self.metric is not None:
                prometheus.selector(self.metric)
        except ValueError as error:
            raise Invalid(str(error)) from error
        if self.pattern is not None and re.compile(self.pattern).search("") is not None:
            raise Invalid(f"`{self.pattern}` matches an empty line, and so every line")

    def written(self) -> Optional[float]:
        """Return when the file behind it was last written; None where there is none."""
        path = self.log or self.file or (self.json if self.json and not self.json.startswith(_WEB) else None)
        if path is None:
            return None
        try:
            return os.stat(os.path.expanduser(path)).st_mtime
        except (OSError, ValueError):
            return None

    def read(self, host: Host, kept: Mapping[str, Any]) -> "Tuple[List[Sample], Dict[str, Any]]":
        """Return the numbers that are there now (of a log: those that are new), and what the next look has to be given.

        Raises:
            FileNotFoundError: the file is not there.
            NoNumber: there is none just now.
            Unclear: it can't be looked at.
        """
        if self.log is not None:
            return self._log(host, kept)
        if self.file is not None:
            try:
                return [Sample(self.name, float(os.stat(os.path.expanduser(self.file)).st_size))], {}
            except (FileNotFoundError, NotADirectoryError) as error:
                raise FileNotFoundError(self.file) from error
            except OSError as error:
                raise NoNumber(f"{self.file} can't be looked at: {error.strerror}") from error
        return list(self._in(self._text(host))), {}

    def _text(self, host: Host) -> str:
        address = self.url or (self.json if self.json and self.json.startswith(_WEB) else None)
        if address is not None:
            return self._page(address, host)
        if self.json is not None:
            return numbers.content(os.path.expanduser(self.json))
        done = host.run(*self.command, timeout=self.timeout)
        if done.exit_code:
            said = (done.stderr or done.stdout).strip().splitlines()[-1:]
            raise NoNumber(f"{self.name} ends with exit code {done.exit_code}{': ' + said[0][:200] if said else ''}")
        return done.stdout

    def _page(self, address: str, host: Host) -> str:
        from runbook.modules.web import Request, fetch

        answer = fetch(Request("GET", address, largest=numbers.LARGEST), self.timeout, host.env)
        if answer.error or answer.status != 200:
            raise NoNumber(f"{address} gives no page: {answer.error or f'status {answer.status}'}")
        return answer.body

    def _in(self, text: str) -> Iterator[Sample]:
        if self.metric is not None:
            wanted = prometheus.selector(self.metric)
            found = [Sample(s.name, s.value, s.time, s.labels, s.counter) for s in prometheus.series(text, wanted)]
            if not found:
                near = [name for name in prometheus.names(text) if wanted.name in name or name in wanted.name][:5]
                also = f"; there is {', '.join(near)}" if near and near != [wanted.name] else ""
                raise NoNumber(f"{self.name} has no `{self.metric}`{also}")
            yield from found
        elif self.field is not None:
            value = numbers.in_json(text, self.field, self.name)
            yield Sample(self.name if self.json is None else f"{self.name}:{self.field}", value)
        elif self.pattern is not None:
            for match in re.finditer(self.pattern, text):
                value = numbers.in_match(match)
                if value is not None:
                    yield Sample(*_labelled(self.name, match.groupdict()), value)
        else:
            yield Sample(self.name, numbers.as_a_whole(text, self.name))
