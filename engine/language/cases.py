"""Files of cases (`NAME.test.yaml`): what happens in a made-up world, and what a runbook must do about it."""

from __future__ import annotations

import pathlib
import re
from typing import TYPE_CHECKING, Any, Final, Literal

from runbook.engine.language import case_structure, load, params, pooled, source, units
from runbook.engine.language.case_model import Case, Ending, Happening, Past, People, Sight, Suite
from runbook.engine.language.nearest import nearest
from runbook.engine.language.values import Reader
from runbook.modules import catalogue

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from runbook.engine.language.source import Source
    from runbook.engine.model import Detector, Finding, Path, Runbook, StepCall

SUFFIXES: Final = (".test.yaml", ".test.yml")
_WORDS: Final = frozenset({"lines", "unknown", "absent", "path"})


def is_cases(name: str) -> bool:
    """Tell a file of cases by its name."""
    return name.endswith(SUFFIXES)


def examine(path: str | pathlib.Path) -> tuple[Suite | None, list[Finding], Source]:
    """Return what a file of cases holds, and everything that is wrong with it; nothing in it raises."""
    read = source.read(path)
    reader = Reader(read)
    if not reader.fits(case_structure.document(), "cases"):
        return None, reader.findings, read
    suite = _Loader(reader, pathlib.Path(path)).suite()
    return (None if reader.findings else suite), reader.findings, read


class _Loader:
    def __init__(self, reader: Reader, path: pathlib.Path) -> None:
        self.reader = reader
        self.path = path
        self.data = reader.source.data
        self.runbook: Runbook | None = None
        self.variables: frozenset[str] = frozenset()  # the runbook's own

    def suite(self) -> Suite | None:
        given = self.data.get("vars") or {}
        self.runbook = self._runbook(given)
        if self.runbook is None:
            return None
        for name in given:
            self._known(name, self.variables, "variable", ("vars", name), key=True)
        secrets = {name: f"secret-{name}" for name in self.runbook.secrets}
        for name, value in (self.data.get("secrets") or {}).items():
            self._known(name, self.runbook.secrets, "secret", ("secrets", name))
            secrets[name] = str(value)
        hosts = _texts(self.data.get("hosts")) or ("localhost",)
        cases = tuple(self._case(each, hosts, ("cases", number)) for number, each in enumerate(self.data["cases"]))
        names: set[str] = set()
        for number, case in enumerate(cases):
            if case.name in names:
                self.reader.add("RB015", f"there are two cases `{case.name}`", ("cases", number, "name"))
            names.add(case.name)
        return Suite(str(self.path), self.runbook, given, secrets, cases)

    def _runbook(self, given: Mapping[str, Any]) -> Runbook | None:
        own = self.data.get("runbook")
        name = re.sub(r"\.test(?=\.ya?ml$)", "", self.path.name)
        beside = self.path.parent / (own or name)
        if not beside.exists():
            hint = "write `runbook: FILE`" if own is None else "give its path from this file's directory"
            self.reader.add("RB013", f"there is no runbook {beside}", ("runbook",) if own else (), hint)
            return None
        examined = load.examine(beside)
        if examined.runbook is not None:
            self.variables = frozenset(examined.runbook.vars)
            examined = load.examine(beside, extra_vars=given) if given else examined
        errors = [finding for finding in examined.findings if finding.level == "error"]
        if examined.runbook is None or errors:
            first = errors[0] if errors else None
            said = f": {first.span}: {first.message}" if first else ""
            self.reader.add("RB013", f"the runbook does not load{said}", ("runbook",) if own else (), "mend it first")
            return None
        return examined.runbook

    def _case(self, given: Mapping[str, Any], hosts: tuple[str, ...], path: Path) -> Case:
        assert self.runbook is not None
        every = self.runbook.every if isinstance(self.runbook.every, float) else 60.0
        own = _texts(given.get("hosts")) or hosts
        for name in given.get("vars") or {}:
            self._known(name, self.variables, "variable", (*path, "vars", name), key=True)
        options = dict(given.get("options") or {})
        detectors = {detector.name for detector in self.runbook.detectors}
        for name in _texts(options.get("detectors")):
            self._known(name, detectors, "detector", (*path, "options", "detectors"))
        happens = [
            self._happening(each, own, (*path, "happens", number))
            for number, each in enumerate(given.get("happens") or ())
        ]
        span = self.reader.source.span(path)
        return Case(
            given["name"],
            span.line,
            own,
            max(0.1, self._seconds(given.get("every"), (*path, "every"), every)),
            None if given.get("lasts") is None else self._seconds(given["lasts"], (*path, "lasts"), 0.0),
            given.get("vars") or {},
            options,
            tuple(happens),
            self._expect(given["expect"], own, (*path, "expect")),
        )

    def _happening(self, given: Mapping[str, Any], hosts: tuple[str, ...], path: Path) -> Happening:
        at, after = given.get("at"), given.get("after")
        if at is not None and after is not None:
            self.reader.add("RB006", "a happening has `at` or `after`, not both", (*path, "after"))
        if after is not None:
            self._step(after, (*path, "after"))
        named = _texts(given.get("host"))
        for host in named:
            self._known(host, hosts, "host of this case", (*path, "host"))
        return Happening(
            self._seconds(at, (*path, "at"), 0.0) if after is None else None,
            after,
            named,
            {name: self._sight(name, sight, (*path, "see", name)) for name, sight in (given.get("see") or {}).items()},
            self._endings(given, "steps", path),
            self._endings(given, "operations", path),
            self._people(given.get("people"), (*path, "people")),
            self._components(given.get("components") or {}, (*path, "components")),
        )

    def _components(self, given: Mapping[str, Any], path: Path) -> dict[str, Past]:
        assert self.runbook is not None
        runbook = self.runbook
        alone = {each for each in runbook.components if each not in runbook.pools}
        used = {each.component for each in runbook.operations if each.component is not None}
        made = {}
        for name, said in given.items():
            self._known(name, alone | used | pooled.members(runbook.pools), "component", (*path, name), key=True)
            latency = self._seconds(said.get("latency"), (*path, name, "latency"), 1.0)
            made[name] = Past(said["attempts"], said.get("failures", 0), latency)
        return made

    def _sight(self, name: str, given: Any, path: Path) -> Sight:
        assert self.runbook is not None
        detector = self.runbook.detector(name)
        waits = {call.title for call in calls(self.runbook) if call.module == "wait_for"}
        if detector is None and name not in waits:
            self._known(name, {each.name for each in self.runbook.detectors} | waits, "detector", path, key=True)
        if given is None:
            return Sight("records")
        if isinstance(given, dict) and given.keys() & _WORDS and not given.keys() - _WORDS:
            return self._word(name, given, path)
        records = [given] if isinstance(given, dict) else given
        made = []
        for number, record in enumerate(records):
            at = path if isinstance(given, dict) else (*path, number)
            made.append(self._record(detector, record, at) if detector is not None else record)
        return Sight("records", tuple(made))

    def _word(self, name: str, given: Mapping[str, Any], path: Path) -> Sight:
        assert self.runbook is not None
        detector = self.runbook.detector(name)
        words: tuple[Literal["unknown", "absent"], ...] = ("unknown", "absent")
        for word in words:
            if word in given:
                return Sight(word, reason=str(given[word] or word))
        lines = given.get("lines")
        if detector is not None and detector.probe != "log":
            self.reader.add("RB011", f"`{name}` reads no log: write records", path, "a list of mappings of fields")
        if not isinstance(lines, (str, list)):
            self.reader.add("RB011", "expected the log's lines", path, "write `lines: [TEXT, …]`")
            return Sight("lines")
        listed = lines.splitlines() if isinstance(lines, str) else [str(line) for line in lines]
        return Sight("lines", lines=tuple(listed), path=given.get("path"))

    def _record(self, detector: Detector, given: Mapping[str, Any], path: Path) -> Mapping[str, Any]:
        probe = catalogue.probe(detector.probe)
        if probe.engine and not probe.heard:
            self.reader.add("RB011", f"`{detector.name}` is judged by the engine itself", path,
                            "let its members see something, or its operation fail; or write `components`")  # fmt: skip
            return given
        known = params.record_fields(catalogue.probe(detector.probe))
        made: dict[str, Any] = {}
        for name, value in given.items():
            made[name] = value
            if name == "subject":
                continue
            if name not in known:
                if detector.probe != "log":  # whose patterns' groups are fields as well
                    self._known(name, known, f"field of `{detector.probe}`", (*path, name), key=True)
                continue
            try:
                made[name] = params.one(known[name], value)
            except params.Wrong as wrong:
                self.reader.add("RB011", str(wrong), (*path, name))
        return made

    def _endings(self, given: Mapping[str, Any], key: str, path: Path) -> dict[str, Ending]:
        assert self.runbook is not None
        found: dict[str, Ending] = {}
        for name, ending in (given.get(key) or {}).items():
            at = (*path, key, name)
            if key == "steps":
                self._step(name, at, key=True)
            else:
                names = {operation.name for operation in self.runbook.operations}
                self._known(name, names, "operation", at, key=True)
            if not isinstance(ending, dict):
                found[name] = Ending()
                continue
            found[name] = Ending(
                ending.get("fails"),
                ending.get("exit_code", 1 if "fails" in ending else None),
                ending.get("output", ""),
                self._seconds(ending.get("takes"), (*at, "takes"), 1.0),
                ending.get("times"),
                ending.get("changed", True),
                ending.get("data") or {},
            )
        return found

    def _people(self, given: Mapping[str, Any] | None, path: Path) -> People | None:
        assert self.runbook is not None
        if given is None:
            return None
        names = {detector.name for detector in self.runbook.detectors}
        for key in ("approve", "reject", "ack"):
            for name in _texts(given.get(key)):
                self._known(name, names, "detector", (*path, key))
        return People(
            _texts(given.get("approve")),
            _texts(given.get("reject")),
            _texts(given.get("ack")),
            given.get("maintenance"),
            None if given.get("for") is None else self._seconds(given["for"], (*path, "for"), 0.0),
            given.get("off", False),
            _texts(given.get("reset")),
        )

    def _expect(self, given: Mapping[str, Any], hosts: tuple[str, ...], path: Path) -> Mapping[str, Any]:
        assert self.runbook is not None
        if not given:
            self.reader.add("RB006", "nothing is expected", path, "write incidents, steps, refused, notified, …")
        detectors = {detector.name for detector in self.runbook.detectors}
        made: dict[str, Any] = dict(given)
        for key, head in (("incidents", "detector"), ("steps", "step"), ("refused", "detector")):
            if key not in given:
                continue
            made[key] = []
            for number, item in enumerate(given[key]):
                at = (*path, key, number)
                entry = {head: item} if isinstance(item, str) else dict(item)
                name = entry.get(head)
                if name is not None and head == "detector":
                    self._known(name, detectors, "detector", at)
                elif name is not None:
                    self._step(name, at)
                if "host" in entry:
                    self._known(entry["host"], hosts, "host of this case", (*at, "host"))
                for moment in ("at", "by", "after"):
                    if moment in entry:
                        entry[moment] = self._seconds(entry[moment], (*at, moment), 0.0)
                self._pattern(entry.get("reason"), (*at, "reason"))
                made[key].append(entry)
        for key in ("notified", "unknown"):
            if key in given:
                made[key] = list(_texts(given[key]))
        for number, pattern in enumerate(made.get("notified", ())):
            self._pattern(pattern, (*path, "notified", number))
        for name in made.get("unknown", ()):
            self._known(name, detectors, "detector", (*path, "unknown"))
        names = {operation.name for operation in self.runbook.operations}
        for name in given.get("operations") or {}:
            self._known(name, names, "operation", (*path, "operations", name), key=True)
        return made

    def _pattern(self, text: str | None, path: Path) -> None:
        if text is not None:
            try:
                re.compile(text)
            except re.error as error:
                self.reader.add("RB011", f"this is no regular expression: {error}", path)

    def _step(self, name: str, path: Path, *, key: bool = False) -> None:
        assert self.runbook is not None
        known = {word for call in calls(self.runbook) for word in (call.title, call.module)}
        known |= {operation.name for operation in self.runbook.operations}
        self._known(name, known, "step", path, key=key)

    def _known(self, name: str, known: Iterable[str], what: str, path: Path, *, key: bool = False) -> None:
        names = set(known)
        if name in names:
            return
        near = nearest(str(name), names)
        listed = f"there are {', '.join(sorted(names))}" if names else "there are none"
        self.reader.add("RB012", f"there is no {what} `{name}`", path, f"did you mean {near}?" if near else listed,
                        key=key)  # fmt: skip

    def _seconds(self, value: Any, path: Path, default: float) -> float:
        if value is None:
            return default
        if isinstance(value, (int, float)):
            return float(value)
        try:
            return units.duration(value)
        except ValueError as error:
            self.reader.add("RB011", str(error), path)
            return default


def calls(runbook: Runbook) -> list[StepCall]:
    """Return every call of a module in a runbook, wherever it stands."""
    found: list[StepCall] = []
    for detector in runbook.detectors:
        found += [call for rung in detector.recover for call in rung.steps]
        found += [*detector.cured, *detector.unhealed]
    for operation in runbook.operations:
        found += [operation.step, *operation.fallback]
    for pool in runbook.pools.values():
        found += pool.switch
    return [*found, *runbook.finally_]


def _texts(value: Any) -> tuple[str, ...]:
    if value is None:
        return ()
    return (value,) if isinstance(value, str) else tuple(str(each) for each in value)
